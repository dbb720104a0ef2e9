/* SPDX-License-Identifier: Apache-2.0
 * told_parts.h - what writing and reading the copies of journals share.
 *
 * Read next: told.c, told_look.c.
 */
#ifndef GRAYD_HOSTS_TOLD_PARTS_H
#define GRAYD_HOSTS_TOLD_PARTS_H

#include <pthread.h>
#include <sqlite3.h>

#include "control/hosts/told.h"

#define TOLD_DIFFERS 100 /* of tally: units that are told differently */
#define TOLD_SETTLED 101 /* that are out, and settled */

enum told_statement {
#define TOLD_STATEMENT(NAME, sql) TOLD_##NAME,
#include "control/hosts/told.def"
#undef TOLD_STATEMENT
    TOLD_STATEMENTS
};
struct told {
    pthread_mutex_t lock;
    sqlite3 *db;
    sqlite3_stmt *statements[TOLD_STATEMENTS];
};
/* A statement, ready to be bound; under the lock. */
sqlite3_stmt *told_begin(struct told *told, enum told_statement number);
/* What SQLite says, as a problem; -ENOSPC or -EIO. */
int told_failed(struct told *told, struct gray_problem *ret_problem);

#endif
