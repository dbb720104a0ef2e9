/* SPDX-License-Identifier: Apache-2.0
 * read_told.c - what other hosts told, and logged: grayd's own copies.
 *
 * Why: agents send their journals and their decision logs up, and grayd keeps
 * both in SQLite beside its store (../hosts/told.c, ../decisions/index.c).  A
 * Check is about all hosts, so both are read here, read-only, as they stand: a
 * server without agents, or without a log, has none of them.
 * Read next: run_parts.h, logged.h.
 */
#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "control/decisions/decisions.h"
#include "control/hosts/told.h"
#include "control/marks/record.h"
#include "control/recon/logged.h"
#include "control/recon/run_parts.h"
#include "engine/engine.h"

#define BUSY_MS 5000

static int failed(struct run *run, const char *what, sqlite3 *db)
{
    run->problem->code = "copy-failed";
    snprintf(run->problem->sentence, sizeof(run->problem->sentence),
             "%s cannot be read: %s", what,
             db != NULL ? sqlite3_errmsg(db) : "memory is at its end");
    return -EIO;
}

/* 0 and a statement; 1: there is no such file. */
static int ask(struct run *run, const char *what, const char *path,
               const char *sql, sqlite3 **ret_db,
               sqlite3_stmt **ret_statement)
{
    int code = sqlite3_open_v2(path, ret_db,
                               SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX,
                               NULL);

    *ret_statement = NULL;
    if (code == SQLITE_CANTOPEN) {
        return 1;
    }
    if (code != SQLITE_OK ||
        sqlite3_busy_timeout(*ret_db, BUSY_MS) != SQLITE_OK ||
        sqlite3_prepare_v2(*ret_db, sql, -1, ret_statement, NULL) !=
            SQLITE_OK) {
        return failed(run, what, *ret_db);
    }
    return 0;
}

/* ---- marks of hosts ------------------------------------------------------------- */

static uint8_t kind_of(const char *word)
{
    for (uint8_t kind = RECORD_ADMIT; kind <= RECORD_VOID; kind++) {
        if (word != NULL && strcmp(record_kind_word(kind), word) == 0) {
            return kind;
        }
    }
    return RECORD_ADMIT;
}

static uint16_t reason_of(const char *word)
{
#define GRAY_REASON(NAME, number, code, sentence, advice)                      \
    if (word != NULL && strcmp(word, code) == 0) {                             \
        return number;                                                         \
    }
#include "engine/reasons.def"
#undef GRAY_REASON
    return 0;
}

/* "library-3", as ../marks/look.c writes it. */
static uint32_t reader_of(const char *word)
{
    unsigned number;

    if (word != NULL && sscanf(word, "library-%u", &number) == 1) {
        return GRAY_READERS_MAX + number;
    }
    return word != NULL && sscanf(word, "nginx-%u", &number) == 1
               ? number
               : RECORD_READER_NONE;
}

/* unit, state, variant, attempt, revision, at, kind, reader, actor, reason */
static int take_mark(struct run *run, sqlite3_stmt *row, bool first)
{
    struct gray_str unit = {sqlite3_column_blob(row, 0),
                            (uint32_t)sqlite3_column_bytes(row, 0)};
    struct fact_mark mark;
    bool inside;

    memset(&mark, 0, sizeof(mark));
    mark.at = sqlite3_column_int64(row, 5);
    mark.state = (uint8_t)sqlite3_column_int(row, 1);
    inside = run_is_inside(run, mark.at);
    if (unit.data == NULL || unit.length == 0) {
        run->nameless += inside && !first;
        return 0;
    }
    if (first) {
        if (inside) {
            run_bloom_add(run, unit);
            run->revoked |= mark.state == GRAY_SLOT_REVOKED;
        }
        return 0;
    }
    if (!run_wants(run, unit)) {
        return 0;
    }
    mark.variant = (uint8_t)sqlite3_column_int(row, 2);
    mark.attempt = (uint8_t)sqlite3_column_int(row, 3);
    mark.revision = (uint64_t)sqlite3_column_int64(row, 4);
    mark.kind = kind_of((const char *)sqlite3_column_text(row, 6));
    mark.reader = reader_of((const char *)sqlite3_column_text(row, 7));
    mark.by_hand = sqlite3_column_bytes(row, 8) > 0;
    mark.reason = reason_of((const char *)sqlite3_column_text(row, 9));
    mark.host = 1;
    run->marks++;
    return run_put(run, unit, FACT_MARK, &mark, sizeof(mark));
}

static int each_mark(struct run *run, sqlite3 *db, sqlite3_stmt *statement,
                     bool first)
{
    int code = SQLITE_ROW, result = 0;

    while (result == 0 &&
           (code = sqlite3_step(statement)) == SQLITE_ROW) {
        result = take_mark(run, statement, first);
    }
    sqlite3_reset(statement);
    return result != 0 || code == SQLITE_DONE
               ? result
               : failed(run, "What hosts told", db);
}

int run_read_hosts(struct run *run, bool first)
{
    static const char sql[] =
        "SELECT unit, state, variant, attempt, revision, at, kind, reader,"
        " actor, reason FROM record WHERE scope = ?1 AND space = ?2"
        " ORDER BY at, id";
    sqlite3_stmt *statement = NULL;
    sqlite3 *db = NULL;
    char path[4096];
    int result;

    snprintf(path, sizeof(path), "%s/" TOLD_FILE, run->options->state);
    result = ask(run, "What hosts told", path, sql, &db, &statement);
    if (result == 0) {
        sqlite3_bind_int64(statement, 1,
                           (int64_t)gray_hash_scope(
                               run->check->release,
                               strlen(run->check->release)));
        sqlite3_bind_int(statement, 2, rules_space(run->rules));
        result = each_mark(run, db, statement, first);
    }
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return result == 1 ? 0 : result;
}

/* ---- lines of hosts ----------------------------------------------------------------- */

static int take_line(struct run *run, const char *line, size_t length)
{
    char buffer[LOGGED_UNIT_MAX];
    struct fact_decision decision;
    struct gray_str unit;

    if (line == NULL || logged_parse(line, length, run->check->release,
                                     buffer, &unit, &decision) != 1) {
        return 0;
    }
    run->decisions++;
    return run_wants(run, unit)
               ? run_put(run, unit, FACT_DECISION, &decision,
                         sizeof(decision))
               : 0;
}

/* Lines that name the release and came since the window began: a line never
 * comes before its time. */
int run_read_index(struct run *run)
{
    static const char sql[] = "SELECT text FROM line WHERE added >= ?1 AND"
                              " instr(text, CAST(?2 AS BLOB)) > 0";
    char path[4096], name[GRAY_NAME_MAX + 3];
    sqlite3_stmt *statement = NULL;
    sqlite3 *db = NULL;
    int result, code = SQLITE_ROW;

    snprintf(path, sizeof(path), "%s/" DECISIONS_FOLDER "/decisions.db",
             run->options->state);
    snprintf(name, sizeof(name), "\"%s\"", run->check->release);
    result = ask(run, "The index of decisions", path, sql, &db, &statement);
    if (result == 0) {
        sqlite3_bind_int64(statement, 1, run_is_whole(run) ? 0
                                                           : run_early(run));
        sqlite3_bind_text(statement, 2, name, -1, SQLITE_STATIC);
        while (result == 0 &&
               (code = sqlite3_step(statement)) == SQLITE_ROW) {
            result = take_line(run, sqlite3_column_blob(statement, 0),
                               (size_t)sqlite3_column_bytes(statement, 0));
        }
        if (result == 0 && code != SQLITE_DONE) {
            result = failed(run, "The index of decisions", db);
        }
    }
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return result == 1 ? 0 : result;
}
