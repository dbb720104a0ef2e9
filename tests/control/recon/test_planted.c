/* SPDX-License-Identifier: Apache-2.0
 * test_planted.c - what was planted is found, and nothing else is.
 *
 * Why: a Check that misses a defect is useless, and one that invents them is
 * switched off in a week.  A history of six hours, five revisions and a freeze
 * is judged by the rules of its day: ten defects of each kind, 100,000 orders.
 * With RECON_POSTGRES set the same is asked of a PostgreSQL (planted.py starts
 * one); RECON_ORDERS says how many orders.
 * Read next: world.h, control/recon/judge.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/control/recon/world.h"

static uint32_t orders(void)
{
    const char *text = getenv("RECON_ORDERS");

    return text != NULL ? (uint32_t)strtoul(text, NULL, 10) : 100000;
}

static struct world world_of(bool moves, uint32_t planted)
{
    struct world world = {.conninfo = getenv("RECON_POSTGRES"),
                          .moves = moves,
                          .orders = orders(),
                          .planted = planted};

    world_make(&world);
    return world;
}

static void show(const char *title, const json_t *value)
{
    char *text = json_dumps(value, JSON_INDENT(1) | JSON_SORT_KEYS);

    print_message("%s: %s\n", title, text);
    free(text);
}

static void same_as_planted(const struct world *world, const json_t *report)
{
    json_t *found = world_found(report);

    if (!json_equal(found, world->expected)) {
        show("planted", world->expected);
        show("differences", json_object_get(report, "differences"));
        fail_msg("what was found is not what was planted");
    }
    json_decref(found);
}

static json_int_t number(const json_t *report, const char *rule,
                         const char *key)
{
    return json_integer_value(json_object_get(
        json_object_get(json_object_get(report, "rules"), rule), key));
}

static void ten_of_each_kind_are_found_and_none_is_invented_moves(void **state)
{
    struct world world = world_of(true, WORLD_PLANTED);
    json_t *report = world_run(&world, CHECK_NEVER, WORLD_ENDS);

    (void)state;
    same_as_planted(&world, report);
    for (int i = 0; i < 7; i++) {
        char rule[3] = {'R', (char)('1' + i), '\0'};

        if (i != 4) {
            assert_int_equal(number(report, rule, "differences"),
                             WORLD_PLANTED);
        }
    }
    assert_int_equal(number(report, "R5", "differences"), 0);
    assert_true(number(report, "R5", "judged") >= 3);
    json_decref(report);
    world_end(&world);
}

static void ten_of_each_kind_are_found_and_none_is_invented_adds(void **state)
{
    struct world world = world_of(false, WORLD_PLANTED);
    json_t *report = world_run(&world, CHECK_NEVER, WORLD_ENDS);

    (void)state;
    same_as_planted(&world, report);
    assert_true(number(report, "R4", "judged") >=
                (json_int_t)world.orders - WORLD_PLANTED);
    json_decref(report);
    world_end(&world);
}

static void a_history_without_defects_has_no_difference(void **state)
{
    struct world world = world_of(true, 0);
    json_t *report = world_run(&world, CHECK_NEVER, WORLD_ENDS);

    (void)state;
    same_as_planted(&world, report);
    assert_int_equal(number(report, "R1", "judged"), world.orders);
    assert_int_equal(number(report, "R2", "judged"), world.orders);
    assert_int_equal(number(report, "R6", "judged"), world.orders);
    assert_int_equal(number(report, "R2", "notJudged"), 0);
    json_decref(report);
    world_end(&world);
}

/* Sweeps of half an hour each say together what one run over everything says:
 * a window's edge hides nothing and invents nothing. */
static void sweeps_find_together_what_one_run_finds(void **state)
{
    struct world world = world_of(true, WORLD_PLANTED);
    json_t *all = json_object();

    (void)state;
    /* An order lies at each half hour, its other row 40 ms behind it. */
    for (int64_t at = WORLD_BEGINS - WORLD_HOUR / 2 + 20; at < WORLD_ENDS;
         at += WORLD_HOUR / 2) {
        json_t *report = world_run(&world, at, at + WORLD_HOUR / 2);
        json_t *found = world_found(report), *units;
        const char *rule;

        json_object_foreach(found, rule, units) {
            if (json_object_get(all, rule) == NULL) {
                json_object_set_new(all, rule, json_object());
            }
            json_object_update(json_object_get(all, rule), units);
        }
        json_decref(found);
        json_decref(report);
    }
    if (!json_equal(all, world.expected)) {
        show("planted", world.expected);
        show("found", all);
        fail_msg("sweeps do not find what was planted");
    }
    json_decref(all);
    world_end(&world);
}

/* Marks and lines that an agent sent up are as good as one's own. */
static void what_another_host_told_and_logged_is_judged_like_this_one_s(
    void **state)
{
    struct world world = {.conninfo = getenv("RECON_POSTGRES"),
                          .moves = true,
                          .elsewhere = true,
                          .orders = 20000,
                          .planted = WORLD_PLANTED};
    json_t *report;

    (void)state;
    world_make(&world);
    report = world_run(&world, CHECK_NEVER, WORLD_ENDS);
    same_as_planted(&world, report);
    assert_true(number(report, "R1", "judged") > 19000);
    json_decref(report);
    world_end(&world);
}

/* Each decision is right, and too many of them are in, or too few, or all of
 * them come from one end of the line: three shares, four ways. */
static void units_that_were_dealt_unevenly_are_seen(void **state)
{
    (void)state;
    for (int bias = BIAS_MORE_IN; bias <= BIAS_NOT_HIGH; bias++) {
        static const char *const shares[] = {"share 10 %", "share 25 %",
                                             "share 50 %"};
        struct world world = {.conninfo = getenv("RECON_POSTGRES"),
                              .moves = true,
                              .orders = 100000, /* fewer say too little */
                              .bias = (enum bias)bias};
        const char *what = bias <= BIAS_FEWER_IN ? "count" : "line";
        json_t *report, *found;

        world_make(&world);
        report = world_run(&world, CHECK_NEVER, WORLD_ENDS);
        found = json_object_get(report, "differences");
        if (json_array_size(found) != 3) {
            show("differences", found);
            fail_msg("%d: %s", bias, what);
        }
        for (size_t i = 0; i < 3; i++) {
            const json_t *row = json_array_get(found, i);

            assert_string_equal(
                json_string_value(json_object_get(row, "unit")), shares[i]);
            assert_string_equal(
                json_string_value(json_object_get(row, "what")), what);
        }
        json_decref(report);
        world_end(&world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            ten_of_each_kind_are_found_and_none_is_invented_moves),
        cmocka_unit_test(
            ten_of_each_kind_are_found_and_none_is_invented_adds),
        cmocka_unit_test(a_history_without_defects_has_no_difference),
        cmocka_unit_test(sweeps_find_together_what_one_run_finds),
        cmocka_unit_test(
            what_another_host_told_and_logged_is_judged_like_this_one_s),
        cmocka_unit_test(units_that_were_dealt_unevenly_are_seen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
