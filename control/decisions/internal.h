/* SPDX-License-Identifier: Apache-2.0
 * internal.h - what the files of control/decisions/ share.
 *
 * Why: one connection does everything, under one lock: Debian's SQLite can
 * lose a commit when two connections write or checkpoint (control/store says
 * more), and a search holds the lock for one page only.
 * Read next: index.c.
 */
#ifndef GRAYD_DECISIONS_INTERNAL_H
#define GRAYD_DECISIONS_INTERNAL_H

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>

#include "control/decisions/decisions.h"

enum decisions_statement {
    SQL_BEGIN, SQL_COMMIT, SQL_ROLLBACK,
    SQL_ADD_LINE, SQL_ADD_UNIT, SQL_ADD_TRACE,
    SQL_SOURCE, SQL_MOVE_SOURCE,
    SQL_BY_UNIT, SQL_BY_TRACE, SQL_NEXT, SQL_OLDEST,
    SQL_DROP_LINE, SQL_DROP_UNIT, SQL_DROP_TRACE,
    SQL_COUNT
};
struct decisions {
    pthread_mutex_t lock;
    sqlite3 *handle;
    sqlite3_stmt *statements[SQL_COUNT];
    struct decisions_limits limits;
    char folder[4096];
    uint64_t lines;               /* kept; under the lock */
    _Atomic uint64_t bad, behind;
    char trouble[160];            /* under the lock */
};

/* A statement, reset; NULL with the problem said. Under the lock. */
sqlite3_stmt *index_statement(struct decisions *decisions,
                              enum decisions_statement which,
                              struct gray_problem *ret_problem);
/* Runs a statement that gives no row. */
int index_run(struct decisions *decisions, sqlite3_stmt *statement,
              struct gray_problem *ret_problem);
/* The connection's last error. Returns -ENOSPC, -EBADMSG or -EIO. */
int index_problem(struct decisions *decisions,
                  struct gray_problem *ret_problem);
int decisions_say(struct gray_problem *ret_problem, int error,
                  const char *code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
