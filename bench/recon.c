/* SPDX-License-Identifier: Apache-2.0
 * recon.c - pairs of facts that a Check judges in a second.
 *
 * Why: a Check that needs an hour for a day of orders is looked at once a week.
 * The history is that of tests/control/recon/world.h: each order has its mark,
 * its line of a decision log, its upstream row and a row on one side, and is
 * decided again by the rules of its moment.  A pair is one mark with its rule
 * and its record, or one upstream row with its rule and its rows (as in the
 * report).  Nothing may be found: a million good pairs are good.
 *
 * usage: bench_recon [ORDERS] ; RECON_POSTGRES: a connection, instead of SQLite
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "tests/control/recon/world.h"

#define ORDERS 200000u
#define RUNS 3

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct world world;

static void measure(void **state)
{
    double best = 0;
    json_int_t pairs = 0;

    (void)state;
    world_make(&world);
    for (int i = 0; i < RUNS; i++) {
        double start = now(), rate;
        json_t *report = world_run(&world, CHECK_NEVER, WORLD_ENDS);

        pairs = json_integer_value(json_object_get(report, "pairs"));
        rate = (double)pairs / (now() - start);
        best = rate > best ? rate : best;
        assert_int_equal(
            json_array_size(json_object_get(report, "differences")), 0);
        json_decref(report);
    }
    printf("recon_pairs %lld pairs, none invented\n", (long long)pairs);
    printf("recon_pairs_per_s %.0f pairs/s (%s)\n", best,
           world.conninfo != NULL ? "PostgreSQL" : "SQLite");
    world_end(&world);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(measure)};

    world = (struct world){
        .conninfo = getenv("RECON_POSTGRES"),
        .moves = true,
        .orders = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : ORDERS,
    };
    cmocka_set_message_output(CM_OUTPUT_SUBUNIT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
