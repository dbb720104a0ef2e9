/* SPDX-License-Identifier: Apache-2.0
 * db_sqlite.c - orders in a SQLite file.
 *
 * Why: `make run` and most tests need no server.  One connection a process,
 * whose threads take turns; several processes share the file through SQLite's
 * own locks.  A rollback journal and not a WAL: 3.40.1 has the WAL-reset bug,
 * and a shop's orders are few.
 */
#include "db.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

struct sqlite {
    struct db db;
    sqlite3 *handle;
};

static enum db_answer failed(struct sqlite *self, int code)
{
    snprintf(self->db.problem, sizeof(self->db.problem), "%s",
             sqlite3_errmsg(self->handle));
    switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_IOERR:
    case SQLITE_FULL:
    case SQLITE_CANTOPEN:
        return DB_SILENT;
    default:
        return DB_WRONG;
    }
}

static void sqlite_close(struct db *db)
{
    struct sqlite *self = (struct sqlite *)db;
    sqlite3_close(self->handle);
    free(self);
}

static struct db *sqlite_open(const char *where, unsigned timeout_ms)
{
    struct sqlite *self = calloc(1, sizeof(*self));
    if (self == NULL) {
        return NULL;
    }
    self->db.kind = &db_sqlite;
    if (sqlite3_open_v2(where, &self->handle,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE |
                            SQLITE_OPEN_FULLMUTEX,
                        NULL) != SQLITE_OK ||
        sqlite3_busy_timeout(self->handle, (int)timeout_ms) != SQLITE_OK ||
        sqlite3_exec(self->handle,
                     "PRAGMA journal_mode = TRUNCATE;"
                     "PRAGMA synchronous = FULL",
                     NULL, NULL, NULL) != SQLITE_OK) {
        fprintf(stderr, "orders: %s: %s\n", where,
                sqlite3_errmsg(self->handle));
        sqlite_close(&self->db);
        return NULL;
    }
    return &self->db;
}

static int bind(sqlite3_stmt *statement, int place,
                const struct db_value *value)
{
    switch (value->type) {
    case DB_INT:
        return sqlite3_bind_int64(statement, place, value->number);
    case DB_TEXT:
        return sqlite3_bind_text(statement, place, value->data,
                                 (int)value->length, SQLITE_STATIC);
    case DB_BLOB:
        return sqlite3_bind_blob(statement, place, value->data,
                                 (int)value->length, SQLITE_STATIC);
    default:
        return sqlite3_bind_null(statement, place);
    }
}

/* False: the row has no room. */
static bool take_row(sqlite3_stmt *statement, struct db_row *row)
{
    unsigned count = (unsigned)sqlite3_column_count(statement);
    row->there = true;
    row->columns = count < DB_COLUMNS_MAX ? count : DB_COLUMNS_MAX;
    for (unsigned i = 0; i < row->columns; i++) {
        int type = sqlite3_column_type(statement, (int)i);
        struct db_value *value = &row->values[i];
        *value = (struct db_value){DB_NULL, 0, NULL, 0};
        if (type == SQLITE_INTEGER) {
            *value = db_int(sqlite3_column_int64(statement, (int)i));
        } else if (type != SQLITE_NULL) {
            const void *data = sqlite3_column_blob(statement, (int)i);
            size_t length = (size_t)sqlite3_column_bytes(statement, (int)i);
            char *room = db_row_room(row, length + 1);
            if (room == NULL) {
                return false;
            }
            for (size_t k = 0; k < length; k++) {
                room[k] = ((const char *)data)[k];
            }
            room[length] = '\0';
            *value =
                db_bytes(type == SQLITE_BLOB ? DB_BLOB : DB_TEXT, room, length);
        }
    }
    return true;
}

static enum db_answer sqlite_run(struct db *db, const char *sql,
                                 const struct db_value *values, unsigned count,
                                 struct db_row *ret_row)
{
    struct sqlite *self = (struct sqlite *)db;
    sqlite3_stmt *statement = NULL;
    int before = sqlite3_total_changes(self->handle);
    int code = sqlite3_prepare_v2(self->handle, sql, -1, &statement, NULL);
    for (unsigned i = 0; i < count && code == SQLITE_OK; i++) {
        code = bind(statement, (int)i + 1, &values[i]);
    }
    if (code == SQLITE_OK) {
        code = sqlite3_step(statement);
    }
    bool fits = true;
    if (code == SQLITE_ROW) {
        fits = take_row(statement, ret_row);
    }
    enum db_answer answer = DB_OK;
    if ((code != SQLITE_ROW && code != SQLITE_DONE) || !fits) {
        answer = failed(self, code);
    }
    sqlite3_finalize(statement);
    ret_row->changed = (uint64_t)(sqlite3_total_changes(self->handle) - before);
    return answer;
}

const struct db_kind db_sqlite = {
    .word = "sqlite",
    .begin = "BEGIN IMMEDIATE",
    .for_update = "",
    .blob = "BLOB",
    .number = "INTEGER",
    .connections = 1,
    .open = sqlite_open,
    .run = sqlite_run,
    .close = sqlite_close,
};
