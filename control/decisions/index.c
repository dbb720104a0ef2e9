/* SPDX-License-Identifier: Apache-2.0
 * index.c - the index of decision lines: opened, added to, kept small.
 *
 * Why: a SQLite file beside the store and not in it: what is lost here is read
 * again from the logs, so it is neither synced for each line nor allowed to
 * hold up a change.  A unit's lines stand together in the order of their time
 * (a table without rowid), so looking for one costs the same however many
 * there are of others.  Lines go in the order in which they came, by the
 * moment when they came: what a line says of its own time proves nothing.
 * Read next: search.c, tail.c.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "control/decisions/internal.h"
#include "control/grayd.h"

#define INDEX_FILE "decisions.db"
#define INDEX_LAYOUT 1
#define FORGET_LINES 500u          /* a call */
#define FREE_LEAST (256ull << 20)  /* bytes of the disk left for the rest */

static const char *const sql[SQL_COUNT] = {
    [SQL_BEGIN] = "BEGIN IMMEDIATE",
    [SQL_COMMIT] = "COMMIT",
    [SQL_ROLLBACK] = "ROLLBACK",
    [SQL_ADD_LINE] = "INSERT INTO line(added, text) VALUES(?1, ?2)",
    [SQL_ADD_UNIT] = "INSERT INTO unit(unit, time, line) VALUES(?1, ?2, ?3)",
    [SQL_ADD_TRACE] =
        "INSERT INTO trace(trace, time, line) VALUES(?1, ?2, ?3)",
    [SQL_SOURCE] = "SELECT position FROM source WHERE name = ?1",
    [SQL_MOVE_SOURCE] =
        "INSERT INTO source(name, position, bad) VALUES(?1, ?2, ?3)"
        " ON CONFLICT(name) DO UPDATE SET position = ?2, bad = bad + ?3",
    [SQL_BY_UNIT] =
        "SELECT line.id, line.text, unit.time FROM unit JOIN line"
        " ON line.id = unit.line WHERE unit.unit = ?1 AND unit.time >= ?2"
        " AND unit.time < ?3 AND (unit.time, unit.line) > (?4, ?5)"
        " ORDER BY unit.time, unit.line",
    [SQL_BY_TRACE] =
        "SELECT line.id, line.text, trace.time FROM trace JOIN line"
        " ON line.id = trace.line WHERE trace.trace = ?1 AND trace.time >= ?2"
        " AND trace.time < ?3 AND (trace.time, trace.line) > (?4, ?5)"
        " ORDER BY trace.time, trace.line",
    [SQL_NEXT] = "SELECT id, text FROM line WHERE id > ?1 ORDER BY id"
                 " LIMIT ?2",
    [SQL_OLDEST] = "SELECT id, text, added FROM line ORDER BY id LIMIT ?1",
    [SQL_DROP_LINE] = "DELETE FROM line WHERE id = ?1",
    [SQL_DROP_UNIT] =
        "DELETE FROM unit WHERE unit = ?1 AND time = ?2 AND line = ?3",
    [SQL_DROP_TRACE] =
        "DELETE FROM trace WHERE trace = ?1 AND time = ?2 AND line = ?3",
};

static const char schema[] =
    "PRAGMA journal_mode = WAL;"
    "PRAGMA synchronous = NORMAL;"
    "PRAGMA cache_size = -8192;"
    "CREATE TABLE IF NOT EXISTS line(id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " added INTEGER NOT NULL, text BLOB NOT NULL);"
    "CREATE TABLE IF NOT EXISTS unit(unit TEXT NOT NULL, time INTEGER NOT"
    " NULL, line INTEGER NOT NULL, PRIMARY KEY(unit, time, line))"
    " WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS trace(trace TEXT NOT NULL, time INTEGER NOT"
    " NULL, line INTEGER NOT NULL, PRIMARY KEY(trace, time, line))"
    " WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS source(name TEXT PRIMARY KEY, position"
    " INTEGER NOT NULL, bad INTEGER NOT NULL)"
    " WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS own(id TEXT NOT NULL);";

int decisions_say(struct gray_problem *ret_problem, int error,
                  const char *code, const char *format, ...)
{
    va_list arguments;

    ret_problem->code = code;
    va_start(arguments, format);
    vsnprintf(ret_problem->sentence, sizeof(ret_problem->sentence), format,
              arguments);
    va_end(arguments);
    return -error;
}

/* ---- statements ------------------------------------------------------------- */

int index_problem(struct decisions *decisions,
                  struct gray_problem *ret_problem)
{
    int code = sqlite3_errcode(decisions->handle) & 0xff;
    int error = code == SQLITE_FULL                              ? ENOSPC
                : code == SQLITE_CORRUPT || code == SQLITE_NOTADB ? EBADMSG
                                                                  : EIO;

    if (sqlite3_system_errno(decisions->handle) == ENOSPC) {
        error = ENOSPC;
    }
    return decisions_say(ret_problem, error, "decisions-failed",
                         "The index of decisions in %.60s: %.60s.",
                         decisions->folder,
                         sqlite3_errmsg(decisions->handle));
}

sqlite3_stmt *index_statement(struct decisions *decisions,
                              enum decisions_statement which,
                              struct gray_problem *ret_problem)
{
    sqlite3_stmt **statement = &decisions->statements[which];

    if (*statement == NULL &&
        sqlite3_prepare_v3(decisions->handle, sql[which], -1,
                           SQLITE_PREPARE_PERSISTENT, statement,
                           NULL) != SQLITE_OK) {
        index_problem(decisions, ret_problem);
        return NULL;
    }
    sqlite3_reset(*statement);
    return *statement;
}

int index_run(struct decisions *decisions, sqlite3_stmt *statement,
              struct gray_problem *ret_problem)
{
    int error = 0;

    if (sqlite3_step(statement) != SQLITE_DONE) {
        error = index_problem(decisions, ret_problem);
    }
    sqlite3_reset(statement);
    return error;
}

static int run(struct decisions *decisions, enum decisions_statement which,
               struct gray_problem *ret_problem)
{
    sqlite3_stmt *statement = index_statement(decisions, which, ret_problem);

    return statement != NULL ? index_run(decisions, statement, ret_problem)
                             : -EIO;
}

static int64_t number_of(struct decisions *decisions, const char *text)
{
    sqlite3_stmt *statement = NULL;
    int64_t number = -1;

    if (sqlite3_prepare_v2(decisions->handle, text, -1, &statement, NULL) ==
            SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW) {
        number = sqlite3_column_int64(statement, 0);
    }
    sqlite3_finalize(statement);
    return number;
}

/* ---- open, close ------------------------------------------------------------- */

static void close_handle(struct decisions *decisions)
{
    for (size_t i = 0; i < SQL_COUNT; i++) {
        sqlite3_finalize(decisions->statements[i]);
        decisions->statements[i] = NULL;
    }
    sqlite3_close(decisions->handle);
    decisions->handle = NULL;
}

/* 0; negative: not to be used as it lies there. */
static int open_handle(struct decisions *decisions,
                       struct gray_problem *ret_problem)
{
    char path[sizeof(decisions->folder) + sizeof(INDEX_FILE) + 1], text[64];
    int64_t layout, lines;

    snprintf(path, sizeof(path), "%s/" INDEX_FILE, decisions->folder);
    if (sqlite3_open_v2(path, &decisions->handle,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE |
                            SQLITE_OPEN_FULLMUTEX,
                        NULL) != SQLITE_OK ||
        sqlite3_exec(decisions->handle, schema, NULL, NULL, NULL) !=
            SQLITE_OK) {
        return index_problem(decisions, ret_problem);
    }
    layout = number_of(decisions, "PRAGMA user_version");
    if (layout != INDEX_LAYOUT && layout != 0) {
        return decisions_say(ret_problem, EBADMSG, "decisions-failed",
                             "The index of decisions is of layout %lld.",
                             (long long)layout);
    }
    snprintf(text, sizeof(text), "PRAGMA user_version = %d", INDEX_LAYOUT);
    lines = number_of(decisions, "SELECT count(*) FROM line");
    if (sqlite3_exec(decisions->handle, text, NULL, NULL, NULL) !=
            SQLITE_OK ||
        lines < 0) {
        return index_problem(decisions, ret_problem);
    }
    decisions->lines = (uint64_t)lines;
    lines = number_of(decisions, "SELECT coalesce(sum(bad), 0) FROM source");
    atomic_store(&decisions->bad, lines > 0 ? (uint64_t)lines : 0);
    return 0;
}

/* What was an index is kept for whoever wants to look at it. */
static void move_aside(const struct decisions *decisions)
{
    static const char *const names[] = { INDEX_FILE, INDEX_FILE "-wal",
                                         INDEX_FILE "-shm" };
    char from[sizeof(decisions->folder) + 64], to[sizeof(from) + 16];

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(from, sizeof(from), "%s/%s", decisions->folder, names[i]);
        snprintf(to, sizeof(to), "%s.damaged", from);
        rename(from, to);
    }
}

int decisions_open(struct decisions **ret_decisions, const char *state,
                   const struct decisions_limits *limits,
                   struct gray_problem *ret_problem)
{
    struct decisions *decisions = calloc(1, sizeof(*decisions));
    int error;

    if (decisions == NULL) {
        return decisions_say(ret_problem, ENOMEM, "no-memory", "No memory.");
    }
    decisions->limits = *limits;
    pthread_mutex_init(&decisions->lock, NULL);
    snprintf(decisions->folder, sizeof(decisions->folder),
             "%.4000s/" DECISIONS_FOLDER, state);
    mkdir(state, 0700); /* where this is the first that is kept there */
    if (mkdir(decisions->folder, 0700) != 0 && errno != EEXIST) {
        error = decisions_say(ret_problem, errno, "bad-folder",
                              "The folder %.100s cannot be made: %.40s.",
                              decisions->folder, strerror(errno));
        decisions_close(decisions);
        return error;
    }
    error = open_handle(decisions, ret_problem);
    if (error == -EBADMSG) {
        grayd_log(LOG_LEVEL_WARN, "decisions-anew",
                  "%s It is moved aside, and the logs are read again.",
                  ret_problem->sentence);
        close_handle(decisions);
        move_aside(decisions);
        error = open_handle(decisions, ret_problem);
    }
    if (error != 0) {
        decisions_close(decisions);
        return error;
    }
    *ret_decisions = decisions;
    return 0;
}

void decisions_close(struct decisions *decisions)
{
    close_handle(decisions);
    pthread_mutex_destroy(&decisions->lock);
    free(decisions);
}

/* ---- adding ------------------------------------------------------------------ */

/* Under the lock. */
static int read_position(struct decisions *decisions, const char *source,
                         uint64_t *ret_position,
                         struct gray_problem *ret_problem)
{
    sqlite3_stmt *statement =
        index_statement(decisions, SQL_SOURCE, ret_problem);
    int error = 0, step;

    if (statement == NULL) {
        return -EIO;
    }
    sqlite3_bind_text(statement, 1, source, -1, SQLITE_STATIC);
    step = sqlite3_step(statement);
    *ret_position = 0;
    if (step == SQLITE_ROW) {
        *ret_position = (uint64_t)sqlite3_column_int64(statement, 0);
    } else if (step != SQLITE_DONE) {
        error = index_problem(decisions, ret_problem);
    }
    sqlite3_reset(statement);
    return error;
}

int decisions_position(struct decisions *decisions, const char *source,
                       uint64_t *ret_position,
                       struct gray_problem *ret_problem)
{
    int error;

    pthread_mutex_lock(&decisions->lock);
    error = read_position(decisions, source, ret_position, ret_problem);
    pthread_mutex_unlock(&decisions->lock);
    return error;
}

/* A row that only the first start makes. */
int decisions_id(struct decisions *decisions, char ret_id[DECISIONS_ID + 1],
                 struct gray_problem *ret_problem)
{
    char text[160];
    sqlite3_stmt *statement = NULL;
    int error = 0;

    grayd_random_hex(ret_id);
    snprintf(text, sizeof(text),
             "INSERT INTO own(id) SELECT '%s' WHERE NOT EXISTS (SELECT 1"
             " FROM own)",
             ret_id);
    pthread_mutex_lock(&decisions->lock);
    if (sqlite3_exec(decisions->handle, text, NULL, NULL, NULL) !=
            SQLITE_OK ||
        sqlite3_prepare_v2(decisions->handle, "SELECT id FROM own", -1,
                           &statement, NULL) != SQLITE_OK ||
        sqlite3_step(statement) != SQLITE_ROW) {
        error = index_problem(decisions, ret_problem);
    } else {
        snprintf(ret_id, DECISIONS_ID + 1, "%s",
                 (const char *)sqlite3_column_text(statement, 0));
    }
    sqlite3_finalize(statement);
    pthread_mutex_unlock(&decisions->lock);
    return error;
}

static int add_key(struct decisions *decisions, enum decisions_statement which,
                   const char *key, int64_t time, int64_t line,
                   struct gray_problem *ret_problem)
{
    sqlite3_stmt *statement = index_statement(decisions, which, ret_problem);

    if (statement == NULL) {
        return -EIO;
    }
    sqlite3_bind_text(statement, 1, key, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 2, time);
    sqlite3_bind_int64(statement, 3, line);
    return index_run(decisions, statement, ret_problem);
}

static int add_line(struct decisions *decisions,
                    const struct decision *decision, const char *text,
                    size_t length, struct gray_problem *ret_problem)
{
    sqlite3_stmt *statement =
        index_statement(decisions, SQL_ADD_LINE, ret_problem);
    int64_t line;
    int error;

    if (statement == NULL) {
        return -EIO;
    }
    sqlite3_bind_int64(statement, 1, grayd_now());
    sqlite3_bind_blob(statement, 2, text, (int)length, SQLITE_STATIC);
    error = index_run(decisions, statement, ret_problem);
    line = sqlite3_last_insert_rowid(decisions->handle);
    for (size_t i = 0; error == 0 && i < decision->unit_count; i++) {
        error = add_key(decisions, SQL_ADD_UNIT, decision->units[i],
                        decision->time, line, ret_problem);
    }
    return error != 0 || *decision->trace == '\0'
               ? error
               : add_key(decisions, SQL_ADD_TRACE, decision->trace,
                         decision->time, line, ret_problem);
}

static int add_lines(struct decisions *decisions,
                     const struct decisions_batch *batch, size_t *ret_good,
                     size_t *ret_bad, struct gray_problem *ret_problem)
{
    const char *at = batch->text, *end = at + batch->length;
    int error = 0;

    while (error == 0 && at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t length = (size_t)((stop != NULL ? stop : end) - at);
        struct decision decision;
        char sentence[128];

        if (decision_read(at, length, &decision, sentence,
                          sizeof(sentence)) == 0) {
            error = add_line(decisions, &decision, at, length, ret_problem);
            decision_clear(&decision);
            ++*ret_good;
        } else {
            ++*ret_bad;
        }
        at += length + 1;
    }
    return error;
}

static int move_source(struct decisions *decisions,
                       const struct decisions_batch *batch, size_t bad,
                       struct gray_problem *ret_problem)
{
    sqlite3_stmt *statement =
        index_statement(decisions, SQL_MOVE_SOURCE, ret_problem);

    if (statement == NULL) {
        return -EIO;
    }
    sqlite3_bind_text(statement, 1, batch->source, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 2, (int64_t)batch->after);
    sqlite3_bind_int64(statement, 3, (int64_t)bad);
    return index_run(decisions, statement, ret_problem);
}

static int check_place(struct decisions *decisions,
                       const struct decisions_batch *batch,
                       struct gray_problem *ret_problem)
{
    uint64_t stands = 0;
    int error = batch->expects ? read_position(decisions, batch->source,
                                               &stands, ret_problem)
                               : 0;

    return error != 0 || !batch->expects || stands == batch->before
               ? error
               : decisions_say(ret_problem, ESTALE, "decisions-gap",
                               "%.60s stands at %llu, not at %llu.",
                               batch->source, (unsigned long long)stands,
                               (unsigned long long)batch->before);
}

/* The same disk holds marks and the store: it is not ours to fill. */
static int check_room(const struct decisions *decisions,
                      struct gray_problem *ret_problem)
{
    struct statvfs disk;

    if (statvfs(decisions->folder, &disk) == 0 &&
        (uint64_t)disk.f_bavail * disk.f_frsize < FREE_LEAST &&
        disk.f_bavail < disk.f_blocks / 4) {
        return decisions_say(ret_problem, ENOSPC, "decisions-room",
                             "The disk of %.80s is nearly full: no decisions "
                             "are taken into the index until there is room.",
                             decisions->folder);
    }
    return 0;
}

int decisions_add(struct decisions *decisions,
                  const struct decisions_batch *batch,
                  struct gray_problem *ret_problem)
{
    size_t good = 0, bad = batch->bad;
    struct gray_problem ignored;
    int error = check_room(decisions, ret_problem);

    if (error != 0) {
        return error;
    }
    pthread_mutex_lock(&decisions->lock);
    error = run(decisions, SQL_BEGIN, ret_problem);
    if (error == 0) {
        error = check_place(decisions, batch, ret_problem);
        error = error != 0 ? error
                           : add_lines(decisions, batch, &good, &bad,
                                       ret_problem);
        error = error != 0
                    ? error
                    : move_source(decisions, batch, bad, ret_problem);
        error = error != 0 ? error : run(decisions, SQL_COMMIT, ret_problem);
        if (error != 0) {
            run(decisions, SQL_ROLLBACK, &ignored);
        } else {
            decisions->lines += good;
            atomic_fetch_add(&decisions->bad, bad);
        }
    }
    pthread_mutex_unlock(&decisions->lock);
    return error;
}

/* ---- forgetting -------------------------------------------------------------- */

static uint64_t used_bytes(struct decisions *decisions)
{
    int64_t pages = number_of(decisions, "PRAGMA page_count");
    int64_t empty = number_of(decisions, "PRAGMA freelist_count");
    int64_t size = number_of(decisions, "PRAGMA page_size");

    return pages > empty ? (uint64_t)(pages - empty) * (uint64_t)size : 0;
}

static int drop_line(struct decisions *decisions, int64_t line,
                     const char *text, size_t length,
                     struct gray_problem *ret_problem)
{
    struct decision decision;
    char sentence[128];
    sqlite3_stmt *statement;
    int error = 0;

    if (decision_read(text, length, &decision, sentence, sizeof(sentence)) ==
        0) {
        for (size_t i = 0; error == 0 && i < decision.unit_count; i++) {
            error = add_key(decisions, SQL_DROP_UNIT, decision.units[i],
                            decision.time, line, ret_problem);
        }
        if (error == 0 && *decision.trace != '\0') {
            error = add_key(decisions, SQL_DROP_TRACE, decision.trace,
                            decision.time, line, ret_problem);
        }
        decision_clear(&decision);
    }
    statement = error == 0 ? index_statement(decisions, SQL_DROP_LINE,
                                             ret_problem)
                           : NULL;
    if (statement == NULL) {
        return error != 0 ? error : -EIO;
    }
    sqlite3_bind_int64(statement, 1, line);
    return index_run(decisions, statement, ret_problem);
}

/* Those of the oldest lines that are too old, or all when it is too large. */
static int drop_oldest(struct decisions *decisions, int64_t before,
                       size_t *ret_dropped, struct gray_problem *ret_problem)
{
    sqlite3_stmt *oldest =
        index_statement(decisions, SQL_OLDEST, ret_problem);
    int error = oldest == NULL ? -EIO : 0, step = SQLITE_DONE;

    if (error == 0) {
        sqlite3_bind_int64(oldest, 1, FORGET_LINES);
    }
    while (error == 0 && (step = sqlite3_step(oldest)) == SQLITE_ROW &&
           sqlite3_column_int64(oldest, 2) < before) {
        error = drop_line(decisions, sqlite3_column_int64(oldest, 0),
                          sqlite3_column_blob(oldest, 1),
                          (size_t)sqlite3_column_bytes(oldest, 1),
                          ret_problem);
        ++*ret_dropped;
    }
    if (error == 0 && step != SQLITE_ROW && step != SQLITE_DONE) {
        error = index_problem(decisions, ret_problem);
    }
    sqlite3_reset(oldest);
    return error;
}

int64_t decisions_forget(struct decisions *decisions, int64_t now,
                         struct gray_problem *ret_problem)
{
    struct gray_problem ignored;
    int64_t before = now - (int64_t)decisions->limits.days * 86400000;
    size_t dropped = 0;
    int error;

    pthread_mutex_lock(&decisions->lock);
    if (used_bytes(decisions) > (uint64_t)decisions->limits.mib << 20) {
        before = INT64_MAX;
    }
    error = run(decisions, SQL_BEGIN, ret_problem);
    if (error == 0) {
        error = drop_oldest(decisions, before, &dropped, ret_problem);
        error = error != 0 ? error : run(decisions, SQL_COMMIT, ret_problem);
        if (error != 0) {
            run(decisions, SQL_ROLLBACK, &ignored);
        } else {
            decisions->lines -= dropped;
        }
    }
    pthread_mutex_unlock(&decisions->lock);
    return error != 0 ? error : (int64_t)dropped;
}

void decisions_status(struct decisions *decisions,
                      struct decisions_status *ret_status)
{
    pthread_mutex_lock(&decisions->lock);
    ret_status->lines = decisions->lines;
    ret_status->bytes = used_bytes(decisions);
    ret_status->oldest = number_of(
        decisions, "SELECT coalesce((SELECT added FROM line ORDER BY id"
                   " LIMIT 1), 0)");
    snprintf(ret_status->trouble, sizeof(ret_status->trouble), "%s",
             decisions->trouble);
    pthread_mutex_unlock(&decisions->lock);
    ret_status->bad = atomic_load(&decisions->bad);
    ret_status->behind = atomic_load(&decisions->behind);
}
