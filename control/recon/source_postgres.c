/* SPDX-License-Identifier: Apache-2.0
 * source_postgres.c - rows of a PostgreSQL database that somebody else runs.
 *
 * Why: one REPEATABLE READ, READ ONLY transaction a run, so that all queries of
 * a source see one moment; a cursor, so that a million rows are fetched by
 * thousands; the server's own limits on statements and locks.  A password comes
 * from a file that the Check names, or from libpq's own places.
 * Read next: source.h.
 */
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "control/recon/source.h"

#define FETCH "FETCH FORWARD 5000 FROM checked_rows"
#define PASSWORD_MAX 1024u
#define CONNECT_SECONDS "10"

struct postgres {
    struct source source;
    PGconn *handle;
};

static void postgres_close(struct source *source)
{
    struct postgres *self = (struct postgres *)source;

    PQfinish(self->handle);
    free(self);
}

/* One line of a file; "" where none is asked for. */
static bool read_password(const char *path, char ret_word[PASSWORD_MAX])
{
    FILE *file;
    bool good;

    ret_word[0] = '\0';
    if (path == NULL) {
        return true;
    }
    file = fopen(path, "re");
    good = file != NULL && fgets(ret_word, PASSWORD_MAX, file) != NULL;
    ret_word[strcspn(ret_word, "\r\n")] = '\0';
    if (file != NULL) {
        fclose(file);
    }
    return good;
}

static bool begin(struct postgres *self, int64_t timeout_ms)
{
    char sql[400];
    PGresult *result;
    bool good;

    snprintf(sql, sizeof(sql),
             "SET default_transaction_read_only = on;"
             " SET statement_timeout = %lld; SET lock_timeout = 5000;"
             " SET idle_in_transaction_session_timeout = %lld;"
             " SET TimeZone = 'UTC'; SET DateStyle = ISO;"
             " SET client_min_messages = error;"
             " BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
             (long long)timeout_ms, (long long)timeout_ms * 10);
    result = PQexec(self->handle, sql);
    good = PQresultStatus(result) == PGRES_COMMAND_OK;
    PQclear(result);
    return good;
}

static struct source *postgres_open(const json_t *source, int64_t timeout_ms,
                                    struct gray_problem *ret_problem)
{
    const json_t *where = json_object_get(source, "postgresql");
    const char *name = json_string_value(json_object_get(source, "name"));
    const char *conninfo =
        json_string_value(json_object_get(where, "connection"));
    const char *file =
        json_string_value(json_object_get(where, "passwordFile"));
    char password[PASSWORD_MAX];
    const char *words[] = {"application_name", "connect_timeout", "dbname",
                           "client_encoding", "password", NULL};
    const char *values[] = {"gray-recon", CONNECT_SECONDS, conninfo, "UTF8",
                            password, NULL};
    struct postgres *self = calloc(1, sizeof(*self));

    if (self == NULL || conninfo == NULL || name == NULL) {
        free(self);
        source_failed(ret_problem, name != NULL ? name : "?",
                      "it has no connection, or memory is at its end");
        return NULL;
    }
    if (!read_password(file, password)) {
        source_failed(ret_problem, name, "its passwordFile cannot be read");
        free(self);
        return NULL;
    }
    if (file == NULL) {
        words[4] = NULL;
    }
    self->handle = PQconnectdbParams(words, values, 1);
    explicit_bzero(password, sizeof(password));
    if (PQstatus(self->handle) != CONNECTION_OK || !begin(self, timeout_ms)) {
        source_failed(ret_problem, name, PQerrorMessage(self->handle));
        postgres_close(&self->source);
        return NULL;
    }
    return &self->source;
}

/* A moment as its column takes it. */
static void bound_value(const struct source_query *query, int64_t ms,
                        char ret_text[48])
{
    int64_t left = ms % 1000, seconds = ms / 1000 - (left < 0);

    if (query->time == CHECK_TIME_STAMP) {
        time_t whole = (time_t)seconds;
        struct tm tm;

        gmtime_r(&whole, &tm);
        snprintf(ret_text, 48, "%04d-%02d-%02d %02d:%02d:%02d.%03d+00",
                 tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
                 tm.tm_min, tm.tm_sec, (int)(left < 0 ? left + 1000 : left));
    } else {
        snprintf(ret_text, 48, "%lld",
                 (long long)(query->time == CHECK_TIME_S ? ms / 1000 : ms));
    }
}

static bool declare(struct postgres *self, const struct source_query *query)
{
    char values[2][48], *text, *sql = NULL;
    const char *pointers[2];
    unsigned bound = 0;
    int count = 0;
    PGresult *result = NULL;
    bool good = false;

    text = source_statement(query, &bound);
    if (bound & SOURCE_BOUND_FROM) {
        bound_value(query, query->from, values[count++]);
    }
    if (bound & SOURCE_BOUND_UNTIL) {
        bound_value(query, query->until, values[count++]);
    }
    pointers[0] = values[0];
    pointers[1] = values[1];
    if (text != NULL &&
        asprintf(&sql, "DECLARE checked_rows NO SCROLL CURSOR FOR %s",
                 text) >= 0) {
        result = PQexecParams(self->handle, sql, count, NULL, pointers, NULL,
                              NULL, 0);
        good = PQresultStatus(result) == PGRES_COMMAND_OK;
        free(sql);
    }
    PQclear(result);
    free(text);
    return good;
}

static bool is_number(Oid type)
{
    enum { INT8 = 20, INT2 = 21, INT4 = 23, FLOAT4 = 700, FLOAT8 = 701,
           MONEY = 790, NUMERIC = 1700 };

    return type == INT8 || type == INT2 || type == INT4 || type == FLOAT4 ||
           type == FLOAT8 || type == MONEY || type == NUMERIC;
}

struct visit {
    source_row *row;
    void *context;
    unsigned columns;
    bool named, too_large;
};

static int visit_page(struct visit *visit, const PGresult *page)
{
    const char *names[SOURCE_COLUMNS_MAX];
    struct source_cell cells[SOURCE_COLUMNS_MAX];
    int rows = PQntuples(page), result = 0;

    visit->columns = (unsigned)PQnfields(page);
    if (visit->columns > SOURCE_COLUMNS_MAX) {
        visit->too_large = true;
        return -1;
    }
    for (unsigned i = 0; i < visit->columns; i++) {
        names[i] = PQfname(page, (int)i);
    }
    if (!visit->named) {
        visit->named = true;
        result = visit->row(visit->context, names, NULL, visit->columns);
    }
    for (int r = 0; r < rows && result == 0; r++) {
        for (unsigned i = 0; i < visit->columns; i++) {
            bool null = PQgetisnull(page, r, (int)i);
            uint32_t length = (uint32_t)PQgetlength(page, r, (int)i);

            visit->too_large |= length > SOURCE_CELL_MAX;
            cells[i] = (struct source_cell){
                null ? NULL : PQgetvalue(page, r, (int)i), null ? 0 : length,
                is_number(PQftype(page, (int)i))};
        }
        result = visit->too_large ? -1
                                  : visit->row(visit->context, names, cells,
                                               visit->columns);
    }
    return result;
}

static int postgres_each(struct source *source,
                         const struct source_query *query, source_row *row,
                         void *context, struct gray_problem *ret_problem)
{
    struct postgres *self = (struct postgres *)source;
    struct visit visit = {.row = row, .context = context};
    bool good = declare(self, query);
    int result = 0, rows = 1;

    while (good && result == 0 && rows > 0) {
        PGresult *page = PQexec(self->handle, FETCH);

        good = PQresultStatus(page) == PGRES_TUPLES_OK;
        rows = good ? PQntuples(page) : 0;
        if (good) {
            result = visit_page(&visit, page);
        }
        PQclear(page);
    }
    if (!good || visit.too_large) {
        return source_failed(ret_problem, self->source.name,
                             visit.too_large
                                 ? "too many columns, or a value above 1 MiB"
                                 : PQerrorMessage(self->handle));
    }
    PQclear(PQexec(self->handle, "CLOSE checked_rows"));
    return result;
}

const struct source_kind source_postgres = {.open = postgres_open,
                                            .each = postgres_each,
                                            .close = postgres_close};
