/* SPDX-License-Identifier: Apache-2.0
 * told.c - copies of hosts' journals: kept, and what follows from them.
 *
 * Why: a record is one row, and what stands follows from it in the same
 * transaction, so counts and conflicts are read and not computed.  Two hosts
 * told a unit differently when, in one attempt, one says in and another out,
 * or both say in of two variants: what may happen while one of them had not
 * the newest share yet.
 * Read next: told.def (statements), told_look.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "control/hosts/told_parts.h"
#include "runtime/marks.h"

#define BUSY_MS 5000

static const char *const schema[] = {
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL", /* the host sends it again */
    "CREATE TABLE IF NOT EXISTS host (id INTEGER PRIMARY KEY, name TEXT NOT "
    "NULL, journal TEXT NOT NULL, through INTEGER NOT NULL, UNIQUE (name, "
    "journal))",
    "CREATE TABLE IF NOT EXISTS record (id INTEGER PRIMARY KEY, host INTEGER "
    "NOT NULL, sequence INTEGER NOT NULL, scope INTEGER NOT NULL, space "
    "INTEGER NOT NULL, unit BLOB, state INTEGER NOT NULL, variant INTEGER NOT "
    "NULL, attempt INTEGER NOT NULL, revision INTEGER NOT NULL, stage INTEGER "
    "NOT NULL, entrance INTEGER NOT NULL, at INTEGER NOT NULL, kind TEXT NOT "
    "NULL, reader TEXT NOT NULL, actor TEXT NOT NULL, reason TEXT NOT NULL, "
    "settled INTEGER NOT NULL)",
    "CREATE INDEX IF NOT EXISTS record_order ON record (scope, id)",
    "CREATE INDEX IF NOT EXISTS record_unit ON record (scope, unit, space)",
    "CREATE TABLE IF NOT EXISTS mark (scope INTEGER, space INTEGER, unit "
    "BLOB, host INTEGER, state INTEGER NOT NULL, variant INTEGER NOT NULL, "
    "attempt INTEGER NOT NULL, record INTEGER NOT NULL, settled INTEGER NOT "
    "NULL, PRIMARY KEY (scope, "
    "space, unit, host)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS unit (scope INTEGER, space INTEGER, unit "
    "BLOB, state INTEGER NOT NULL, differs INTEGER NOT NULL, settled INTEGER "
    "NOT NULL, PRIMARY KEY "
    "(scope, space, unit)) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS unit_differs ON unit (scope) WHERE differs = "
    "1",
    "CREATE TABLE IF NOT EXISTS tally (scope INTEGER, state INTEGER, units "
    "INTEGER NOT NULL, PRIMARY KEY (scope, state)) WITHOUT ROWID",
    "PRAGMA user_version = 1",
};

static const char *const statements[TOLD_STATEMENTS] = {
#define TOLD_STATEMENT(NAME, sql) sql,
#include "control/hosts/told.def"
#undef TOLD_STATEMENT
};

int told_failed(struct told *told, struct gray_problem *ret_problem)
{
    int code = sqlite3_extended_errcode(told->db);

    if (ret_problem != NULL) {
        ret_problem->code = "hosts-store";
        snprintf(ret_problem->sentence, sizeof(ret_problem->sentence),
                 TOLD_FILE ": %.130s.", sqlite3_errmsg(told->db));
    }
    return (code & 0xff) == SQLITE_FULL ? -ENOSPC : -EIO;
}

/* ---- open and close ---------------------------------------------------------- */

static int prepare_all(struct told *told, struct gray_problem *ret_problem)
{
    for (size_t i = 0; i < sizeof(schema) / sizeof(schema[0]); i++) {
        if (sqlite3_exec(told->db, schema[i], NULL, NULL, NULL) != SQLITE_OK) {
            return told_failed(told, ret_problem);
        }
    }
    for (size_t i = 0; i < TOLD_STATEMENTS; i++) {
        if (sqlite3_prepare_v3(told->db, statements[i], -1,
                               SQLITE_PREPARE_PERSISTENT,
                               &told->statements[i], NULL) != SQLITE_OK) {
            return told_failed(told, ret_problem);
        }
    }
    return 0;
}

int told_open(struct told **ret_told, const char *state,
              struct gray_problem *ret_problem)
{
    struct told *told = calloc(1, sizeof(*told));
    char path[4096];
    mode_t mask;
    int error;

    if (told == NULL) {
        ret_problem->code = "no-memory";
        strcpy(ret_problem->sentence, "There is no memory.");
        return -ENOMEM;
    }
    pthread_mutex_init(&told->lock, NULL);
    snprintf(path, sizeof(path), "%s/" TOLD_FILE, state);
    mask = umask(077);
    error = sqlite3_open_v2(path, &told->db,
                            SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE |
                                SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW,
                            NULL) == SQLITE_OK
                ? 0
                : told_failed(told, ret_problem);
    if (error == 0) {
        sqlite3_busy_timeout(told->db, BUSY_MS);
        error = prepare_all(told, ret_problem);
    }
    umask(mask);
    if (error != 0) {
        told_close(told);
        return error;
    }
    *ret_told = told;
    return 0;
}

void told_close(struct told *told)
{
    if (told == NULL) {
        return;
    }
    for (size_t i = 0; i < TOLD_STATEMENTS; i++) {
        sqlite3_finalize(told->statements[i]);
    }
    sqlite3_close(told->db);
    pthread_mutex_destroy(&told->lock);
    free(told);
}

/* ---- statements ----------------------------------------------------------------- */

sqlite3_stmt *told_begin(struct told *told, enum told_statement number)
{
    sqlite3_stmt *statement = told->statements[number];

    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return statement;
}

static void bind_unit(sqlite3_stmt *statement, const struct admission *record)
{
    sqlite3_bind_int64(statement, 1, (sqlite3_int64)record->scope);
    sqlite3_bind_int(statement, 2, record->space);
    sqlite3_bind_blob(statement, 3, record->unit, (int)record->unit_length,
                      SQLITE_STATIC);
}

/* Whether it was carried out. */
static bool run(sqlite3_stmt *statement)
{
    bool good = sqlite3_step(statement) == SQLITE_DONE;

    sqlite3_reset(statement);
    return good;
}

static bool run_word(struct told *told, enum told_statement number)
{
    return run(told_begin(told, number));
}

/* ---- what stands ------------------------------------------------------------------ */

struct stands {
    int state;    /* 0: nothing does */
    bool differs, settled;
};

/* Of the newest attempt among hosts: who is in anywhere is in. */
static bool together(struct told *told, const struct admission *record,
                     struct stands *ret_stands)
{
    sqlite3_stmt *rows = told_begin(told, TOLD_MARKS_OF);
    struct stands stands = { 0 };
    int attempt = -1, variant = -1, step;
    bool in = false, out = false, more = false, settled = false;

    bind_unit(rows, record);
    while ((step = sqlite3_step(rows)) == SQLITE_ROW) {
        int state = sqlite3_column_int(rows, 0);

        if (sqlite3_column_int(rows, 2) < attempt) {
            continue;
        }
        if (sqlite3_column_int(rows, 2) > attempt) {
            attempt = sqlite3_column_int(rows, 2);
            stands.state = state;
            in = out = more = settled = false;
            variant = -1;
        }
        if (state == GRAY_SLOT_IN) {
            more |= variant >= 0 && variant != sqlite3_column_int(rows, 1);
            variant = sqlite3_column_int(rows, 1);
            in = true;
            stands.state = state;
        }
        out |= state == GRAY_SLOT_OUT;
        settled |= sqlite3_column_int(rows, 3) != 0;
    }
    sqlite3_reset(rows);
    stands.differs = (in && out) || more;
    stands.settled = settled && stands.state == GRAY_SLOT_OUT;
    *ret_stands = stands;
    return step == SQLITE_DONE;
}

static bool find_unit(struct told *told, const struct admission *record,
                      struct stands *ret_stands)
{
    sqlite3_stmt *row = told_begin(told, TOLD_UNIT_FIND);
    int step;

    bind_unit(row, record);
    *ret_stands = (struct stands) { 0 };
    step = sqlite3_step(row);
    if (step == SQLITE_ROW) {
        ret_stands->state = sqlite3_column_int(row, 0);
        ret_stands->differs = sqlite3_column_int(row, 1) != 0;
        ret_stands->settled = sqlite3_column_int(row, 2) != 0;
    }
    sqlite3_reset(row);
    return step == SQLITE_ROW || step == SQLITE_DONE;
}

static bool add_tally(struct told *told, uint64_t scope, int state, int units)
{
    sqlite3_stmt *statement = told_begin(told, TOLD_TALLY);

    if (state == 0 || units == 0) {
        return true;
    }
    sqlite3_bind_int64(statement, 1, (sqlite3_int64)scope);
    sqlite3_bind_int(statement, 2, state);
    sqlite3_bind_int(statement, 3, units);
    return run(statement);
}

static bool put_unit(struct told *told, const struct admission *record,
                     const struct stands *before, const struct stands *now)
{
    sqlite3_stmt *statement =
        told_begin(told, now->state != 0 ? TOLD_UNIT_PUT : TOLD_UNIT_END);

    if (now->state == before->state && now->differs == before->differs &&
        now->settled == before->settled) {
        return true;
    }
    bind_unit(statement, record);
    if (now->state != 0) {
        sqlite3_bind_int(statement, 4, now->state);
        sqlite3_bind_int(statement, 5, now->differs);
        sqlite3_bind_int(statement, 6, now->settled);
    }
    return run(statement) &&
           (now->state == before->state ||
            (add_tally(told, record->scope, before->state, -1) &&
             add_tally(told, record->scope, now->state, 1))) &&
           add_tally(told, record->scope, TOLD_SETTLED,
                     (int)now->settled - (int)before->settled) &&
           add_tally(told, record->scope, TOLD_DIFFERS,
                     (int)now->differs - (int)before->differs);
}

/* ---- a record ---------------------------------------------------------------------- */

static bool put_record(struct told *told, sqlite3_int64 host,
                       uint64_t sequence, const struct admission *r)
{
    sqlite3_stmt *s = told_begin(told, TOLD_RECORD);

    sqlite3_bind_int64(s, 1, host);
    sqlite3_bind_int64(s, 2, (sqlite3_int64)sequence);
    sqlite3_bind_int64(s, 3, (sqlite3_int64)r->scope);
    sqlite3_bind_int(s, 4, r->space);
    if (r->unit_length > 0) {
        sqlite3_bind_blob(s, 5, r->unit, (int)r->unit_length, SQLITE_STATIC);
    }
    sqlite3_bind_int(s, 6, r->state);
    sqlite3_bind_int(s, 7, r->variant);
    sqlite3_bind_int(s, 8, (int)r->attempt);
    sqlite3_bind_int64(s, 9, r->revision);
    sqlite3_bind_int(s, 10, (int)r->stage);
    sqlite3_bind_int64(s, 11, r->entrance);
    sqlite3_bind_int64(s, 12, r->at);
    sqlite3_bind_text(s, 13, r->kind, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 14, r->reader, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 15, r->actor, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 16, r->reason, -1, SQLITE_STATIC);
    sqlite3_bind_int(s, 17, r->settled);
    return run(s);
}

static bool put_mark(struct told *told, sqlite3_int64 host,
                     const struct admission *record)
{
    bool ends = record->state == GRAY_SLOT_VOID;
    sqlite3_stmt *s = told_begin(told, ends ? TOLD_MARK_END : TOLD_MARK_PUT);

    bind_unit(s, record);
    sqlite3_bind_int64(s, 4, host);
    if (!ends) {
        sqlite3_bind_int(s, 5, record->state);
        sqlite3_bind_int(s, 6, record->variant);
        sqlite3_bind_int(s, 7, (int)record->attempt);
        sqlite3_bind_int64(s, 8, sqlite3_last_insert_rowid(told->db));
        sqlite3_bind_int(s, 9, record->settled);
    }
    return run(s);
}

static bool keep(struct told *told, sqlite3_int64 host, uint64_t sequence,
                 const struct admission *record)
{
    struct stands before, now;

    if (!put_record(told, host, sequence, record)) {
        return false;
    }
    if (record->unit_length == 0) {
        return true; /* whose it is nobody knows */
    }
    return find_unit(told, record, &before) && put_mark(told, host, record) &&
           together(told, record, &now) &&
           put_unit(told, record, &before, &now);
}

/* ---- a host ------------------------------------------------------------------------- */

/* 0 and its number; made where it is missing and `make`; 1: there is none. */
static int find_host(struct told *told, const char *host, const char *journal,
                     bool make, sqlite3_int64 *ret_id, uint64_t *ret_through)
{
    sqlite3_stmt *row = told_begin(told, TOLD_HOST_FIND);
    int step;

    sqlite3_bind_text(row, 1, host, -1, SQLITE_STATIC);
    sqlite3_bind_text(row, 2, journal, -1, SQLITE_STATIC);
    step = sqlite3_step(row);
    if (step == SQLITE_ROW) {
        *ret_id = sqlite3_column_int64(row, 0);
        *ret_through = (uint64_t)sqlite3_column_int64(row, 1);
    }
    sqlite3_reset(row);
    if (step != SQLITE_DONE) {
        return step == SQLITE_ROW ? 0 : -EIO;
    }
    *ret_through = 0;
    if (!make) {
        return 1;
    }
    row = told_begin(told, TOLD_HOST_MAKE);
    sqlite3_bind_text(row, 1, host, -1, SQLITE_STATIC);
    sqlite3_bind_text(row, 2, journal, -1, SQLITE_STATIC);
    if (!run(row)) {
        return -EIO;
    }
    *ret_id = sqlite3_last_insert_rowid(told->db);
    return 0;
}

int told_through(struct told *told, const char *host, const char *journal,
                 uint64_t *ret_through, struct gray_problem *ret_problem)
{
    sqlite3_int64 id;
    int found;

    pthread_mutex_lock(&told->lock);
    found = find_host(told, host, journal, false, &id, ret_through);
    if (found < 0) {
        found = told_failed(told, ret_problem);
    }
    pthread_mutex_unlock(&told->lock);
    return found < 0 ? found : 0;
}

static bool move_host(struct told *told, sqlite3_int64 id, uint64_t through)
{
    sqlite3_stmt *statement = told_begin(told, TOLD_HOST_MOVE);

    sqlite3_bind_int64(statement, 1, id);
    sqlite3_bind_int64(statement, 2, (sqlite3_int64)through);
    return run(statement);
}

/* In a transaction. 0, -ERANGE, or -EIO: SQLite says why. */
static int put_all(struct told *told, const char *host, const char *journal,
                   uint64_t after, const struct admission *records,
                   size_t count, uint64_t *ret_through)
{
    sqlite3_int64 id = 0;
    uint64_t through = 0;

    if (find_host(told, host, journal, true, &id, &through) != 0) {
        return -EIO;
    }
    *ret_through = through;
    if (after > through) {
        return -ERANGE;
    }
    for (size_t i = 0; i < count; i++) {
        uint64_t sequence = after + 1 + i;

        if (sequence > through && !keep(told, id, sequence, &records[i])) {
            return -EIO;
        }
    }
    if (after + count > through) {
        *ret_through = after + count;
        return move_host(told, id, *ret_through) ? 0 : -EIO;
    }
    return 0;
}

int told_put(struct told *told, const char *host, const char *journal,
             uint64_t after, const struct admission *records, size_t count,
             uint64_t *ret_through, struct gray_problem *ret_problem)
{
    uint64_t through = 0;
    int error;

    pthread_mutex_lock(&told->lock);
    if (!run_word(told, TOLD_BEGIN)) {
        error = told_failed(told, ret_problem);
        pthread_mutex_unlock(&told->lock);
        return error;
    }
    error = put_all(told, host, journal, after, records, count, &through);
    if (error == 0 && !run_word(told, TOLD_COMMIT)) {
        error = -EIO;
    }
    if (error == -EIO) {
        error = told_failed(told, ret_problem);
    }
    if (error != 0) {
        run_word(told, TOLD_ROLLBACK);
    }
    pthread_mutex_unlock(&told->lock);
    if (error == 0 || error == -ERANGE) {
        *ret_through = through;
    }
    return error;
}
