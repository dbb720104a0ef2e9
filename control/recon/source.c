/* SPDX-License-Identifier: Apache-2.0
 * source.c - what is asked is the same for every database.
 *
 * Why: the query of a Check stands in a statement of ours as a table, so the
 * window is put around it without reading it; whatever it tries beside being
 * one SELECT does not parse, or is refused by the read-only transaction.
 * Read next: source.h.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/recon/source.h"

int source_failed(struct gray_problem *ret_problem, const char *name,
                  const char *said)
{
    size_t length;

    ret_problem->code = "source-failed";
    snprintf(ret_problem->sentence, sizeof(ret_problem->sentence),
             "Source %s: %s", name, said);
    length = strcspn(ret_problem->sentence, "\n");
    ret_problem->sentence[length] = '\0';
    return -EIO;
}

/* A line of its own for the query: it may end in a comment. */
char *source_statement(const struct source_query *query, unsigned *ret_bound)
{
    size_t length = strlen(query->text);
    unsigned bound = SOURCE_BOUND_NONE;
    char *text = NULL, window[256] = "";

    while (length > 0 && strchr("; \t\r\n", query->text[length - 1]) != NULL) {
        length--;
    }
    if (query->created != NULL) {
        bound |= query->from != CHECK_NEVER ? SOURCE_BOUND_FROM : 0u;
        bound |= query->until != INT64_MAX ? SOURCE_BOUND_UNTIL : 0u;
    }
    if (bound != SOURCE_BOUND_NONE) {
        snprintf(window, sizeof(window), " WHERE %s%.64s%s%s%s%.64s%s",
                 bound & SOURCE_BOUND_FROM ? "\"" : "",
                 bound & SOURCE_BOUND_FROM ? query->created : "",
                 bound & SOURCE_BOUND_FROM ? "\" >= $1" : "",
                 bound == (SOURCE_BOUND_FROM | SOURCE_BOUND_UNTIL) ? " AND "
                                                                   : "",
                 bound & SOURCE_BOUND_UNTIL ? "\"" : "",
                 bound & SOURCE_BOUND_UNTIL ? query->created : "",
                 bound & SOURCE_BOUND_UNTIL
                     ? bound & SOURCE_BOUND_FROM ? "\" < $2" : "\" < $1"
                     : "");
    }
    if (asprintf(&text, "SELECT * FROM (\n%.*s\n) AS checked%s", (int)length,
                 query->text, window) < 0) {
        return NULL;
    }
    *ret_bound = bound;
    return text;
}

struct source *source_open(const json_t *source, int64_t timeout_ms,
                           struct gray_problem *ret_problem)
{
    const char *name = json_string_value(json_object_get(source, "name"));
    const struct source_kind *kind =
        json_object_get(source, "sqlite") != NULL ? &source_sqlite
                                                  : &source_postgres;
    struct source *opened = kind->open(source, timeout_ms, ret_problem);

    if (opened != NULL) {
        opened->kind = kind;
        snprintf(opened->name, sizeof(opened->name), "%s",
                 name != NULL ? name : "");
    }
    return opened;
}

int source_each(struct source *source, const struct source_query *query,
                source_row *row, void *context,
                struct gray_problem *ret_problem)
{
    return source->kind->each(source, query, row, context, ret_problem);
}

void source_close(struct source *source)
{
    if (source != NULL) {
        source->kind->close(source);
    }
}
