/* SPDX-License-Identifier: Apache-2.0
 * db_postgres.c - orders in PostgreSQL.
 *
 * Why: a shop with several hosts has a server.  A connection that breaks is
 * made anew by the next statement that needs one; what stood open in it is
 * gone, so only a statement that begins something may do that: everything
 * else is answered DB_SILENT, and the client asks again.
 */
#include "db.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct postgres {
    struct db db;
    PGconn *handle;
    unsigned timeout_ms;
};

static enum db_answer failed(struct postgres *self, const PGresult *result)
{
    const char *state =
        result != NULL ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
    snprintf(self->db.problem, sizeof(self->db.problem), "%s",
             PQerrorMessage(self->handle));
    self->db.problem[strcspn(self->db.problem, "\n")] = '\0';
    if (state == NULL || PQstatus(self->handle) != CONNECTION_OK) {
        return DB_SILENT;
    }
    /* 40: rolled back (deadlock); 53: no resources; 55P03: lock not had;
     * 57: cancelled, shutting down; 08: connection; 58: system */
    static const char *const silent[] = {"40", "53", "55P03", "57", "08", "58"};
    for (size_t i = 0; i < sizeof(silent) / sizeof(*silent); i++) {
        if (strncmp(state, silent[i], strlen(silent[i])) == 0) {
            return DB_SILENT;
        }
    }
    return DB_WRONG;
}

/* Every lock and statement has an end, so has a transaction whose owner was
 * stopped (before an admission lease of 10 s is over), and a commit is on
 * disk. */
static bool prepare(struct postgres *self)
{
    char sql[240];
    snprintf(sql, sizeof(sql),
             "SET lock_timeout = %u; SET statement_timeout = %u;"
             " SET idle_in_transaction_session_timeout = 5000;"
             " SET synchronous_commit = on; SET client_min_messages = error",
             self->timeout_ms, self->timeout_ms * 2);
    PGresult *result = PQexec(self->handle, sql);
    bool good = PQresultStatus(result) == PGRES_COMMAND_OK;
    PQclear(result);
    return good;
}

static void postgres_close(struct db *db)
{
    struct postgres *self = (struct postgres *)db;
    PQfinish(self->handle);
    free(self);
}

static struct db *postgres_open(const char *where, unsigned timeout_ms)
{
    struct postgres *self = calloc(1, sizeof(*self));
    if (self == NULL) {
        return NULL;
    }
    self->db.kind = &db_postgres;
    self->timeout_ms = timeout_ms;
    self->handle = PQconnectdb(where);
    if (PQstatus(self->handle) != CONNECTION_OK || !prepare(self)) {
        fprintf(stderr, "orders: postgres: %s", PQerrorMessage(self->handle));
        postgres_close(&self->db);
        return NULL;
    }
    return &self->db;
}

static int digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
}

/* bytea comes as \x0102; false: the row has no room. */
static bool take_value(const PGresult *result, int column, struct db_row *row)
{
    enum { OID_BYTEA = 17, OID_INT8 = 20, OID_INT4 = 23 };
    const char *text = PQgetvalue(result, 0, column);
    size_t length = (size_t)PQgetlength(result, 0, column);
    Oid type = PQftype(result, column);
    struct db_value *value = &row->values[column];
    if (type == OID_INT8 || type == OID_INT4) {
        *value = db_int(strtoll(text, NULL, 10));
        return true;
    }
    char *room = db_row_room(row, length + 1);
    if (room == NULL) {
        return false;
    }
    if (type == OID_BYTEA && length >= 2) {
        length = (length - 2) / 2;
        for (size_t k = 0; k < length; k++) {
            room[k] =
                (char)(digit(text[2 + 2 * k]) * 16 + digit(text[3 + 2 * k]));
        }
        *value = db_bytes(DB_BLOB, room, length);
    } else {
        memcpy(room, text, length);
        *value = db_bytes(DB_TEXT, room, length);
    }
    room[length] = '\0';
    return true;
}

static bool take_row(const PGresult *result, struct db_row *row)
{
    unsigned count = (unsigned)PQnfields(result);
    row->there = true;
    row->columns = count < DB_COLUMNS_MAX ? count : DB_COLUMNS_MAX;
    for (unsigned i = 0; i < row->columns; i++) {
        row->values[i] = (struct db_value){DB_NULL, 0, NULL, 0};
        if (!PQgetisnull(result, 0, (int)i) &&
            !take_value(result, (int)i, row)) {
            return false;
        }
    }
    return true;
}

static enum db_answer postgres_run(struct db *db, const char *sql,
                                   const struct db_value *values,
                                   unsigned count, struct db_row *ret_row)
{
    struct postgres *self = (struct postgres *)db;
    const char *texts[DB_COLUMNS_MAX];
    int lengths[DB_COLUMNS_MAX], formats[DB_COLUMNS_MAX];
    char numbers[DB_COLUMNS_MAX][24];
    if (PQstatus(self->handle) != CONNECTION_OK &&
        strcmp(sql, db->kind->begin) == 0) {
        PQreset(self->handle);
        if (PQstatus(self->handle) != CONNECTION_OK || !prepare(self)) {
            return failed(self, NULL);
        }
    }
    for (unsigned i = 0; i < count; i++) {
        texts[i] = values[i].type == DB_NULL ? NULL : values[i].data;
        lengths[i] = (int)values[i].length;
        /* binary: not ended by a NUL, and text needs no other form */
        formats[i] = values[i].type == DB_TEXT || values[i].type == DB_BLOB;
        if (values[i].type == DB_INT) {
            snprintf(numbers[i], sizeof(numbers[i]), "%lld",
                     (long long)values[i].number);
            texts[i] = numbers[i];
        }
    }
    PGresult *result = PQexecParams(self->handle, sql, (int)count, NULL, texts,
                                    lengths, formats, 0);
    ExecStatusType status = PQresultStatus(result);
    enum db_answer answer = DB_OK;
    if (status == PGRES_TUPLES_OK) {
        if (PQntuples(result) > 0 && !take_row(result, ret_row)) {
            answer = DB_WRONG;
        }
    } else if (status != PGRES_COMMAND_OK) {
        answer = failed(self, result);
    }
    ret_row->changed = strtoull(PQcmdTuples(result), NULL, 10);
    PQclear(result);
    return answer;
}

const struct db_kind db_postgres = {
    .word = "postgres",
    .begin = "BEGIN",
    .for_update = " FOR UPDATE",
    .blob = "BYTEA",
    .number = "BIGINT",
    .open = postgres_open,
    .run = postgres_run,
    .close = postgres_close,
};
