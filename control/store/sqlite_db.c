/* SPDX-License-Identifier: Apache-2.0
 * sqlite_db.c - a connection to the database, its statements and its errors.
 *
 * Why: what an error of SQLite means is decided in one place: which leave the
 * batch certainly unkept (full), which leave it unknown (any other failing
 * write or sync), and which say that the file cannot be trusted.
 * Read next: sqlite_commit.c, sqlite_read.c.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "control/store/sqlite.h"

#define BUSY_MS 5000 /* a reader that recovers after a crash is waited for */

static const char *const statement_sql[] = {
#define STORE_STATEMENT(NAME, sql) sql,
#include "control/store/statements.def"
#undef STORE_STATEMENT
};

int store_db_corrupt(const struct store_db *db, const char *what,
                     struct gray_problem *ret_problem)
{
    return store_problem_set(ret_problem, EILSEQ, "corrupt",
                             "%.40s/" STORE_FILE " is damaged (%.40s): restore "
                             "a copy, or start anew from the last export.",
                             db->folder, what);
}

int store_db_problem(struct store_db *db, struct gray_problem *ret_problem)
{
    int code = sqlite3_extended_errcode(db->handle);
    int system = sqlite3_system_errno(db->handle);
    const char *said = sqlite3_errmsg(db->handle);

    switch (code & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_ERROR: /* our statements are right: the layout is not */
        return store_db_corrupt(db, said, ret_problem);
    case SQLITE_NOMEM:
        return store_problem_set(ret_problem, ENOMEM, "no-memory",
                                 "No memory for the store.");
    case SQLITE_BUSY:
        return store_problem_set(ret_problem, EBUSY, "in-use",
                                 "%.80s is in use by another process.",
                                 db->folder);
    case SQLITE_CONSTRAINT:
        return store_problem_set(ret_problem, EINVAL, "bad-batch",
                                 "The store refuses the batch: %.100s.", said);
    default:
        break;
    }
    if (code == SQLITE_IOERR_CORRUPTFS || code == SQLITE_IOERR_SHORT_READ) {
        return store_db_corrupt(db, said, ret_problem);
    }
    if ((code & 0xff) == SQLITE_FULL || system == ENOSPC || system == EDQUOT) {
        return store_problem_set(ret_problem, ENOSPC, "store-failed",
                                 "No room left on the disk of %.80s: free "
                                 "some and try again.",
                                 db->folder);
    }
    if ((code & 0xff) == SQLITE_READONLY || system == EROFS) {
        return store_problem_set(ret_problem, EROFS, "store-failed",
                                 "%.80s cannot be written: %.40s.",
                                 db->folder, said);
    }
    return store_problem_set(ret_problem, EIO, "store-failed",
                             "%.60s: %.40s (SQLite %d%s%.30s).", db->folder,
                             said, code, system != 0 ? ", " : "",
                             system != 0 ? strerror(system) : "");
}

int store_db_pragma(struct store_db *db, const char *sql,
                    struct gray_problem *ret_problem)
{
    if (sqlite3_exec(db->handle, sql, NULL, NULL, NULL) != SQLITE_OK) {
        return store_db_problem(db, ret_problem);
    }
    return 0;
}

int store_db_number(struct store_db *db, const char *sql, int64_t *ret_number,
                    struct gray_problem *ret_problem)
{
    sqlite3_stmt *statement = NULL;
    int error = 0;

    if (sqlite3_prepare_v2(db->handle, sql, -1, &statement, NULL) !=
        SQLITE_OK) {
        return store_db_problem(db, ret_problem);
    }
    if (sqlite3_step(statement) == SQLITE_ROW) {
        *ret_number = sqlite3_column_int64(statement, 0);
    } else {
        error = store_db_problem(db, ret_problem);
    }
    sqlite3_finalize(statement);
    return error;
}

sqlite3_stmt *store_db_statement(struct store_db *db,
                                 enum store_statement which, int *ret_error,
                                 struct gray_problem *ret_problem)
{
    sqlite3_stmt **statement = &db->statements[which];

    if (*statement == NULL &&
        sqlite3_prepare_v3(db->handle, statement_sql[which], -1,
                           SQLITE_PREPARE_PERSISTENT, statement,
                           NULL) != SQLITE_OK) {
        *ret_error = store_db_problem(db, ret_problem);
        return NULL;
    }
    sqlite3_reset(*statement);
    sqlite3_clear_bindings(*statement);
    return *statement;
}

int store_db_step(struct store_db *db, sqlite3_stmt *statement,
                  struct gray_problem *ret_problem)
{
    int error = 0;

    switch (sqlite3_step(statement)) {
    case SQLITE_ROW:
        return 1;
    case SQLITE_DONE:
        break;
    default:
        error = store_db_problem(db, ret_problem);
        break;
    }
    sqlite3_reset(statement);
    return error;
}

int store_db_run(struct store_db *db, enum store_statement which,
                 struct gray_problem *ret_problem)
{
    int error = 0;
    sqlite3_stmt *statement = store_db_statement(db, which, &error, ret_problem);

    return statement == NULL ? error : store_db_step(db, statement, ret_problem);
}

static int layout_check(struct store_db *db, struct gray_problem *ret_problem)
{
    int64_t application = 0, layout = 0;
    int error = store_db_number(db, "PRAGMA application_id", &application,
                                ret_problem);

    if (error == 0) {
        error = store_db_number(db, "PRAGMA user_version", &layout,
                                ret_problem);
    }
    if (error != 0) {
        return error;
    }
    if (application != STORE_APPLICATION_ID) {
        return store_problem_set(ret_problem, EINVAL, "unknown-layout",
                                 "%.80s/" STORE_FILE
                                 " is a database, but no store of grayd.",
                                 db->folder);
    }
    if (layout != STORE_LAYOUT) {
        return store_problem_set(
            ret_problem, EINVAL, "unknown-layout",
            "%.60s has layout %lld, this grayd knows only %d: "
            "start the grayd that made it.",
            db->folder, (long long)layout, STORE_LAYOUT);
    }
    return 0;
}

/* As a URI, so that "immutable" can be said; what a URI gives a meaning is
 * escaped. */
static void uri_write(char *uri, size_t size, const char *folder,
                      bool immutable)
{
    size_t at = (size_t)snprintf(uri, size, "file:");
    const char *p;

    for (p = folder; *p != '\0' && at + 4 < size; p++) {
        if (strchr("%?#", *p) != NULL) {
            at += (size_t)snprintf(uri + at, size - at, "%%%02x",
                                   (unsigned char)*p);
        } else {
            uri[at++] = *p;
        }
    }
    snprintf(uri + at, size - at, "/" STORE_FILE "%s",
             immutable ? "?immutable=1" : "");
}

int store_db_open(struct store_db *db, const char *folder, int flags,
                  bool immutable, struct gray_problem *ret_problem)
{
    char uri[3 * STORE_PATH_SIZE];
    int error;

    memset(db, 0, sizeof(*db));
    strcpy(db->folder, folder);
    uri_write(uri, sizeof(uri), folder, immutable);
    if (sqlite3_open_v2(uri, &db->handle,
                        flags | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX |
                            SQLITE_OPEN_EXRESCODE,
                        NULL) != SQLITE_OK) {
        error = db->handle == NULL
                    ? store_problem_set(ret_problem, ENOMEM, "no-memory",
                                        "No memory for the store.")
                    : store_db_problem(db, ret_problem);
        store_db_close(db);
        return error;
    }
    sqlite3_busy_timeout(db->handle, BUSY_MS);
    sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(db->handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    /* No connection checkpoints by itself, neither now nor when it closes. */
    sqlite3_db_config(db->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    sqlite3_wal_autocheckpoint(db->handle, 0);
    error = store_db_pragma(db,
                            "PRAGMA cell_size_check=1; PRAGMA temp_store=2;"
                            "PRAGMA mmap_size=0; PRAGMA foreign_keys=1",
                            ret_problem);
    if (error == 0) {
        error = layout_check(db, ret_problem);
    }
    if (error != 0) {
        store_db_close(db);
    }
    return error;
}

void store_db_close(struct store_db *db)
{
    int i;

    for (i = 0; i < STATEMENT_COUNT; i++) {
        sqlite3_finalize(db->statements[i]);
        db->statements[i] = NULL;
    }
    sqlite3_close(db->handle);
    db->handle = NULL;
}

void store_sum_number(struct store_sum *sum, uint64_t number)
{
    sum->parts[sum->count++] = number;
}

void store_sum_bytes(struct store_sum *sum, const void *bytes, size_t length)
{
    store_sum_number(sum, XXH3_64bits(bytes, length));
}

int64_t store_sum_end(const struct store_sum *sum)
{
    return (int64_t)XXH3_64bits(sum->parts,
                                sum->count * sizeof(sum->parts[0]));
}

int64_t store_version_sum(enum store_space space, const char *name,
                          uint64_t since, uint64_t until, const void *text,
                          size_t length)
{
    const char *word = store_space_word(space);
    struct store_sum sum = { .count = 0 };

    store_sum_bytes(&sum, word, strlen(word));
    store_sum_bytes(&sum, name, strlen(name));
    store_sum_number(&sum, since);
    store_sum_number(&sum, until);
    store_sum_bytes(&sum, text, length);
    return store_sum_end(&sum);
}

int64_t store_revision_sum(uint64_t revision, int64_t at)
{
    struct store_sum sum = { .count = 0 };

    store_sum_number(&sum, revision);
    store_sum_number(&sum, (uint64_t)at);
    return store_sum_end(&sum);
}

int64_t store_effect_sum(uint64_t revision, const char *kind, const char *text)
{
    struct store_sum sum = { .count = 0 };

    store_sum_number(&sum, revision);
    store_sum_bytes(&sum, kind, strlen(kind));
    store_sum_bytes(&sum, text, strlen(text));
    return store_sum_end(&sum);
}

int64_t store_answer_sum(const char *key, const struct store_answer *answer,
                         int64_t at)
{
    struct store_sum sum = { .count = 0 };

    store_sum_bytes(&sum, key, strlen(key));
    store_sum_bytes(&sum, answer->request, STORE_HASH);
    store_sum_number(&sum, (uint64_t)answer->status);
    store_sum_bytes(&sum, answer->body, strlen(answer->body));
    store_sum_number(&sum, (uint64_t)at);
    return store_sum_end(&sum);
}
