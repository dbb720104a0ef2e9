/* SPDX-License-Identifier: Apache-2.0
 * world.h - a history of orders, told to grayd's store, a journal, a log and a
 * database, with defects planted where they are asked for.
 *
 * Why: whether a Check finds what is wrong and nothing else can only be told of
 * a history that is known: six hours, five revisions that let people in, each
 * with its own rules, and a freeze.  Who is in is decided here by a model of
 * its own (share, testers, regions), not by the code that is tested.
 * Read next: world.c, test_planted.c, bench/recon.c.
 */
#ifndef GRAYD_TESTS_RECON_WORLD_H
#define GRAYD_TESTS_RECON_WORLD_H

#include <jansson.h>
#include <libpq-fe.h>
#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>

#include "control/checks/check.h"
#include "control/marks/journal.h"
#include "control/store/store.h"
#include "runtime/marks.h"

#define WORLD_BEGINS INT64_C(1600000000000) /* ms; before any clock
                                               that runs this */
#define WORLD_HOUR INT64_C(3600000)
#define WORLD_ENDS (WORLD_BEGINS + 6 * WORLD_HOUR)
#define WORLD_PLANTED 10u /* of each kind */

/* What may be wrong with one order. */
enum defect {
    DEFECT_NONE,
    R1_NOT_LOGGED, R1_LOGGED_OTHERWISE,
    R2_OUT_AND_RULES_IN, R2_IN_WHILE_FROZEN,
    R3_AMOUNT, R3_TWICE, R3_NO_UPSTREAM,
    R4_CONSTRAINT, R4_ON_BOTH_SIDES,
    R6_NO_MARK, R6_NO_GRAY_ROW,
    R7_NOT_CORRECTED,
    DEFECT_COUNT
};
enum bias { BIAS_NONE, BIAS_MORE_IN, BIAS_FEWER_IN, BIAS_NOT_LOW,
            BIAS_NOT_HIGH };

struct world {
    char top[64], state[80], folder[96], log[96], sqlite[96];
    const char *conninfo; /* PostgreSQL; NULL: SQLite */
    bool moves;
    bool elsewhere; /* another host tells and logs all of it */
    uint32_t orders;
    uint32_t planted; /* of each kind: WORLD_PLANTED or 0 */
    enum bias bias;   /* R5: whose ids are dealt unevenly */
    struct store *store;
    uint64_t revision;
    struct journal journal;
    struct record *batch;
    size_t batch_count;
    char (*units)[16];
    uint64_t sequence, told;
    FILE *log_file;
    sqlite3 *db;
    sqlite3_stmt *inserts[3];
    PGconn *pg;
    char *copies[3]; /* lines for COPY, a table each */
    size_t copied[3], copy_room[3];
    json_t *expected; /* {"R1": {"A17": null}, ...} of what was planted */
};
/* ---- rows (world_rows.c) --------------------------------------------------- */

enum world_table { REQUESTS, ORDERS_NEW, ORDERS_OLD };
void world_open_database(struct world *world);
void world_put_row(struct world *world, enum world_table table,
                   const char *id, double amount, const char *word,
                   int64_t created);
void world_close_database(struct world *world);

/* ---- another host (world_hosts.c) ----------------------------------------------- */

/* The batch of marks, or the log that was written, as that host's. */
void world_tell_host(struct world *world);
void world_log_host(struct world *world);

/* ---- together ----------------------------------------------------------------- */

/* Tells the whole history. Fails the test by assert. */
void world_make(struct world *world);
void world_end(struct world *world);
/* The Check that fits it. New reference. */
json_t *world_check(const struct world *world);
/* Runs it over everything. New reference. */
json_t *world_run(const struct world *world, int64_t from, int64_t until);
/* {"R1": {unit: null}}: the units of a report's differences. New reference. */
json_t *world_found(const json_t *report);

#endif
