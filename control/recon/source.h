/* SPDX-License-Identifier: Apache-2.0
 * source.h - rows of somebody's database, read-only, one after the other.
 *
 * Why: a Check may ask a live shop, so nothing of ours can write there, hold a
 * lock for long or take more than a row's memory: one snapshot transaction, a
 * limit on each statement, values bound and never pasted.
 * Threads: a source is its thread's.  Errors: negative with *ret_problem
 * ("source-failed", and what the database said).
 * Read next: source.c, source_sqlite.c, source_postgres.c.
 */
#ifndef GRAYD_RECON_SOURCE_H
#define GRAYD_RECON_SOURCE_H

#include "control/checks/check.h"

#define SOURCE_COLUMNS_MAX 64u
#define SOURCE_CELL_MAX (1u << 20) /* bytes of one value */

struct source_cell {
    const char *data; /* NUL-terminated; NULL: no value */
    uint32_t length;
    bool number;      /* of a numeric type */
};
struct source_query {
    const char *text;    /* one SELECT */
    const char *created; /* column that the window is of; NULL: all rows */
    enum check_time time;
    int64_t from, until; /* ms; CHECK_NEVER and INT64_MAX: open */
};
/* First called without cells, once the names are known; then with each row.
 * Not 0 ends it and is returned. */
typedef int source_row(void *context, const char *const *names,
                       const struct source_cell *cells, unsigned columns);

struct source;
struct source_kind {
    struct source *(*open)(const json_t *source, int64_t timeout_ms,
                           struct gray_problem *ret_problem);
    int (*each)(struct source *source, const struct source_query *query,
                source_row *row, void *context,
                struct gray_problem *ret_problem);
    void (*close)(struct source *source);
};
extern const struct source_kind source_sqlite, source_postgres;
/* What both begin with. */
struct source {
    const struct source_kind *kind;
    char name[GRAY_NAME_MAX + 1];
};

/* Opens {name, sqlite | postgresql}. NULL with *ret_problem. */
struct source *source_open(const json_t *source, int64_t timeout_ms,
                           struct gray_problem *ret_problem);
/* Every row of the query in its window. */
int source_each(struct source *source, const struct source_query *query,
                source_row *row, void *context,
                struct gray_problem *ret_problem);
/* NULL is harmless. */
void source_close(struct source *source);

/* For the two kinds: the statement with its window around the query, where
 * `bound` says which of $1 and $2 are to be bound. malloc'd, or NULL. */
enum source_bound { SOURCE_BOUND_NONE = 0, SOURCE_BOUND_FROM = 1,
                    SOURCE_BOUND_UNTIL = 2 };
char *source_statement(const struct source_query *query, unsigned *ret_bound);
/* -EIO and the problem "source-failed". */
int source_failed(struct gray_problem *ret_problem, const char *name,
                  const char *said);

#endif
