/* SPDX-License-Identifier: Apache-2.0
 * search.c - lines of the index: by unit, by trace, and in the order in which
 * they came.
 *
 * Why: whoever asks what a unit met gets it in the order of time, a page at a
 * time; each page holds the lock only while its own rows are read.
 * Read next: ../read/decisions.c.
 */
#include <errno.h>

#include "control/decisions/internal.h"

/* Visits at most `limit` rows of (line, text, time) that speak of what is
 * looked for. */
static int visit_rows(struct decisions *decisions, sqlite3_stmt *rows,
                      const char *unit, const char *release, size_t limit,
                      decisions_visit *visit, void *context,
                      struct gray_problem *ret_problem)
{
    int step = SQLITE_DONE, error = 0;
    bool more = true;

    while (more && limit > 0 && (step = sqlite3_step(rows)) == SQLITE_ROW) {
        const char *text = sqlite3_column_blob(rows, 1);
        size_t length = (size_t)sqlite3_column_bytes(rows, 1);
        struct decision decision;
        char sentence[128];

        if (decision_read(text, length, &decision, sentence,
                          sizeof(sentence)) != 0) {
            continue;
        }
        if (decision_speaks_of(&decision, unit, release)) {
            more = visit(context, (uint64_t)sqlite3_column_int64(rows, 0),
                         &decision, text, length) == 0;
            limit--;
        }
        decision_clear(&decision);
    }
    if (more && limit > 0 && step != SQLITE_DONE) {
        error = index_problem(decisions, ret_problem);
    }
    sqlite3_reset(rows);
    return error;
}

int decisions_find(struct decisions *decisions,
                   const struct decisions_query *query,
                   decisions_visit *visit, void *context,
                   struct gray_problem *ret_problem)
{
    char unit[DECISION_VALUE_BYTES + 1];
    sqlite3_stmt *rows;
    int error;

    if (query->unit != NULL) {
        decision_unit(query->unit, unit);
    }
    pthread_mutex_lock(&decisions->lock);
    rows = index_statement(decisions,
                           query->unit != NULL ? SQL_BY_UNIT : SQL_BY_TRACE,
                           ret_problem);
    if (rows == NULL) {
        error = -EIO;
    } else {
        sqlite3_bind_text(rows, 1, query->unit != NULL ? unit : query->trace,
                          -1, SQLITE_STATIC);
        sqlite3_bind_int64(rows, 2, query->since);
        sqlite3_bind_int64(rows, 3, query->until);
        sqlite3_bind_int64(rows, 4, query->after_time);
        sqlite3_bind_int64(rows, 5, (int64_t)query->after_line);
        error = visit_rows(decisions, rows,
                           query->unit != NULL ? unit : NULL, query->release,
                           query->limit, visit, context, ret_problem);
    }
    pthread_mutex_unlock(&decisions->lock);
    return error;
}

int decisions_next(struct decisions *decisions, uint64_t after, size_t limit,
                   decisions_visit *visit, void *context,
                   struct gray_problem *ret_problem)
{
    sqlite3_stmt *rows;
    int error;

    pthread_mutex_lock(&decisions->lock);
    rows = index_statement(decisions, SQL_NEXT, ret_problem);
    if (rows == NULL) {
        error = -EIO;
    } else {
        sqlite3_bind_int64(rows, 1, (int64_t)after);
        sqlite3_bind_int64(rows, 2, (int64_t)limit);
        error = visit_rows(decisions, rows, NULL, NULL, limit, visit, context,
                           ret_problem);
    }
    pthread_mutex_unlock(&decisions->lock);
    return error;
}
