/* SPDX-License-Identifier: Apache-2.0
 * source_sqlite.c - rows of a SQLite file that belongs to somebody else.
 *
 * Why: opened read-only, query_only on top of it, no other file attached, one
 * read transaction, and a progress handler that ends a statement in time.
 * Read next: source.h.
 */
#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "control/recon/source.h"

#define BUSY_MS 5000
#define PROGRESS_STEPS 10000 /* of its machine, between two looks at a clock */

struct sqlite {
    struct source source;
    sqlite3 *db;
    int64_t timeout_ms, ends; /* CLOCK_MONOTONIC ms */
};

static int64_t monotonic_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int look_at_clock(void *context)
{
    return monotonic_ms() > ((struct sqlite *)context)->ends;
}

/* A statement may read tables and call functions, and nothing else. */
static int allow(void *context, int action, const char *a, const char *b,
                 const char *c, const char *d)
{
    (void)context, (void)a, (void)b, (void)c, (void)d;
    switch (action) {
    case SQLITE_SELECT:
    case SQLITE_READ:
    case SQLITE_FUNCTION:
    case SQLITE_RECURSIVE:
        return SQLITE_OK;
    default:
        return SQLITE_DENY;
    }
}

static void sqlite_close(struct source *source)
{
    struct sqlite *self = (struct sqlite *)source;

    sqlite3_close(self->db);
    free(self);
}

static struct source *sqlite_open(const json_t *source, int64_t timeout_ms,
                                  struct gray_problem *ret_problem)
{
    const char *path = json_string_value(
        json_object_get(json_object_get(source, "sqlite"), "path"));
    const char *name = json_string_value(json_object_get(source, "name"));
    struct sqlite *self = calloc(1, sizeof(*self));

    if (self == NULL || path == NULL || name == NULL) {
        free(self);
        source_failed(ret_problem, name != NULL ? name : "?",
                      "it has no path, or memory is at its end");
        return NULL;
    }
    self->timeout_ms = timeout_ms;
    if (sqlite3_open_v2(path, &self->db,
                        SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX,
                        NULL) != SQLITE_OK ||
        sqlite3_busy_timeout(self->db, BUSY_MS) != SQLITE_OK ||
        sqlite3_exec(self->db, "PRAGMA query_only = ON; BEGIN", NULL, NULL,
                     NULL) != SQLITE_OK ||
        sqlite3_set_authorizer(self->db, allow, NULL) != SQLITE_OK) {
        source_failed(ret_problem, name, sqlite3_errmsg(self->db));
        sqlite_close(&self->source);
        return NULL;
    }
    sqlite3_progress_handler(self->db, PROGRESS_STEPS, look_at_clock, self);
    return &self->source;
}

/* Milliseconds as the column has them. */
static int64_t bound_value(const struct source_query *query, int64_t ms)
{
    return query->time == CHECK_TIME_S ? ms / 1000 : ms;
}

static int prepare(struct sqlite *self, const struct source_query *query,
                   sqlite3_stmt **ret_statement)
{
    unsigned bound = 0;
    char *text = source_statement(query, &bound);
    const char *tail = "";
    int place = 0, code = text == NULL ? SQLITE_NOMEM : SQLITE_OK;

    if (code == SQLITE_OK) {
        code = sqlite3_prepare_v2(self->db, text, -1, ret_statement, &tail);
    }
    if (code == SQLITE_OK && tail[strspn(tail, " \t\r\n")] != '\0') {
        code = SQLITE_MISUSE; /* more than one statement */
    }
    if (code == SQLITE_OK && !sqlite3_stmt_readonly(*ret_statement)) {
        code = SQLITE_READONLY;
    }
    if (code == SQLITE_OK && (bound & SOURCE_BOUND_FROM) != 0) {
        code = sqlite3_bind_int64(*ret_statement, ++place,
                                  bound_value(query, query->from));
    }
    if (code == SQLITE_OK && (bound & SOURCE_BOUND_UNTIL) != 0) {
        code = sqlite3_bind_int64(*ret_statement, ++place,
                                  bound_value(query, query->until));
    }
    free(text);
    return code;
}

static int take_row(sqlite3_stmt *statement, unsigned columns,
                    struct source_cell *cells)
{
    for (unsigned i = 0; i < columns; i++) {
        int type = sqlite3_column_type(statement, (int)i);

        cells[i] = (struct source_cell){NULL, 0, false};
        if (type != SQLITE_NULL) {
            cells[i].data = (const char *)sqlite3_column_text(statement,
                                                              (int)i);
            cells[i].length =
                (uint32_t)sqlite3_column_bytes(statement, (int)i);
            cells[i].number = type == SQLITE_INTEGER || type == SQLITE_FLOAT;
            if (cells[i].data == NULL || cells[i].length > SOURCE_CELL_MAX) {
                return SQLITE_TOOBIG;
            }
        }
    }
    return SQLITE_OK;
}

static int sqlite_each(struct source *source, const struct source_query *query,
                       source_row *row, void *context,
                       struct gray_problem *ret_problem)
{
    struct sqlite *self = (struct sqlite *)source;
    const char *names[SOURCE_COLUMNS_MAX];
    struct source_cell cells[SOURCE_COLUMNS_MAX];
    sqlite3_stmt *statement = NULL;
    unsigned columns = 0;
    int code, result = 0;

    self->ends = monotonic_ms() + self->timeout_ms;
    code = prepare(self, query, &statement);
    if (code == SQLITE_OK) {
        columns = (unsigned)sqlite3_column_count(statement);
        code = columns > SOURCE_COLUMNS_MAX ? SQLITE_TOOBIG : code;
    }
    for (unsigned i = 0; code == SQLITE_OK && i < columns; i++) {
        names[i] = sqlite3_column_name(statement, (int)i);
    }
    if (code == SQLITE_OK) {
        result = row(context, names, NULL, columns);
    }
    while (code == SQLITE_OK && result == 0 &&
           (code = sqlite3_step(statement)) == SQLITE_ROW) {
        code = take_row(statement, columns, cells);
        if (code == SQLITE_OK) {
            result = row(context, names, cells, columns);
        }
    }
    if (result == 0 && code != SQLITE_DONE) {
        result = source_failed(ret_problem, self->source.name,
                               code == SQLITE_INTERRUPT
                                   ? "the statement took longer than `timeout`"
                               : code == SQLITE_MISUSE
                                   ? "a query is one SELECT"
                               : code == SQLITE_TOOBIG
                                   ? "too many columns, or a value above 1 MiB"
                                   : sqlite3_errmsg(self->db));
    }
    sqlite3_finalize(statement);
    return result;
}

const struct source_kind source_sqlite = {
    .open = sqlite_open, .each = sqlite_each, .close = sqlite_close};
