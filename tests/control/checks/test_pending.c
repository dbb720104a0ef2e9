/* SPDX-License-Identifier: Apache-2.0
 * test_pending.c - the life of a difference.
 *
 * Why: a difference that cries at once is late data crying; one that is
 * forgotten between two looks is a defect that nobody hears of.
 * Read next: control/checks/pending.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "control/checks/pending.h"

static const int64_t delays[] = {5000, 30000, 300000};
static const struct pending_looks looks = {delays, 3};
static const int64_t T = 1000000;

/* A run over [from, until) that found these ids, each "RULE/UNIT" at `at`. */
static json_t *report(int64_t from, int64_t until, const char *ids, int64_t at)
{
    json_t *rows = json_array(), *rules = json_object(), *whole;
    char copy[400], *id, *rest;

    snprintf(copy, sizeof(copy), "%s", ids);
    for (id = strtok_r(copy, " ", &rest); id != NULL;
         id = strtok_r(NULL, " ", &rest)) {
        char rule[3] = {id[0], id[1], '\0'};
        json_int_t count = json_integer_value(json_object_get(
            json_object_get(rules, rule), "differences"));

        json_array_append_new(rows, json_pack("{s:s,s:s,s:s,s:s,s:s,s:I}",
                                              "id", id, "rule", rule, "unit",
                                              id + 3, "what", "x", "sentence",
                                              "it differs", "at",
                                              (json_int_t)at));
        json_object_set_new(rules, rule, json_pack("{s:I}", "differences",
                                                   count + 1));
    }
    whole = from == INT64_MIN ? json_null() : json_integer((json_int_t)from);
    return json_pack("{s:o,s:I,s:o,s:o}", "from", whole, "until",
                     (json_int_t)until, "differences", rows, "rules", rules);
}

static void run(json_t *pending, int64_t from, int64_t until, const char *ids,
                int64_t at, int64_t now)
{
    json_t *found = report(from, until, ids, at);

    pending_take(pending, found, &looks, now);
    assert_true(pending_holds(pending));
    json_decref(found);
}

static const json_t *open_of(const json_t *pending, const char *id)
{
    return json_object_get(json_object_get(pending, "open"), id);
}

static bool is_alarm(const json_t *pending, const char *id)
{
    return json_is_true(json_object_get(open_of(pending, id), "alarm"));
}

static json_int_t number(const json_t *pending, const char *key)
{
    return json_integer_value(json_object_get(pending, key));
}

static void it_is_an_alarm_after_its_last_look_and_not_before(void **state)
{
    json_t *pending = pending_new();

    (void)state;
    run(pending, 0, T, "R3/a", T - 1, T);
    assert_int_equal(pending_due(pending), T + 5000);
    assert_false(is_alarm(pending, "R3/a"));
    run(pending, 0, T, "R3/a", T - 1, T + 4000); /* seen in passing */
    assert_int_equal(pending_due(pending), T + 5000);
    run(pending, 0, T, "R3/a", T - 1, T + 5000);
    assert_int_equal(pending_due(pending), T + 30000);
    run(pending, 0, T, "R3/a", T - 1, T + 30000);
    assert_int_equal(pending_due(pending), T + 300000);
    assert_int_equal(json_array_size(json_object_get(pending, "unsaid")), 0);
    assert_false(is_alarm(pending, "R3/a"));
    run(pending, 0, T, "R3/a", T - 1, T + 300000);
    assert_true(is_alarm(pending, "R3/a"));
    assert_int_equal(json_array_size(json_object_get(pending, "unsaid")), 1);
    run(pending, 0, T, "R3/a", T - 1, T + 700000);
    assert_int_equal(json_array_size(json_object_get(pending, "unsaid")), 1);
    json_decref(pending);
}

static void what_is_gone_is_settled_or_resolved(void **state)
{
    json_t *pending = pending_new();

    (void)state;
    run(pending, 0, T, "R3/a R6/b", T - 1, T);
    run(pending, 0, T, "R6/b", T - 1, T + 5000);
    assert_null(open_of(pending, "R3/a"));
    assert_int_equal(number(pending, "settled"), 1);
    for (int i = 1; i < 3; i++) {
        run(pending, 0, T, "R6/b", T - 1, T + delays[i]);
    }
    assert_true(is_alarm(pending, "R6/b"));
    run(pending, 0, T, "", T - 1, T + 900000);
    assert_int_equal(number(pending, "resolved"), 1);
    assert_int_equal(pending_blocking(pending), 0);
    assert_int_equal(pending_due(pending), INT64_MAX);
    json_decref(pending);
}

static void a_run_elsewhere_says_nothing_of_it(void **state)
{
    json_t *pending = pending_new();

    (void)state;
    run(pending, 0, T, "R3/a", T - 1, T);
    run(pending, T, 2 * T, "", 0, T + 5000);
    assert_non_null(open_of(pending, "R3/a"));
    run(pending, 0, T - 1, "", 0, T + 5000); /* its end is not in it */
    assert_non_null(open_of(pending, "R3/a"));
    json_decref(pending);
}

static void a_share_is_looked_at_again_over_its_whole_time(void **state)
{
    json_t *pending = pending_new();
    int64_t from, until;

    (void)state;
    run(pending, 0, T, "R5/s", T - 1, T);
    assert_false(pending_window(pending, T, &from, &until));
    assert_true(pending_window(pending, T + 5000, &from, &until));
    assert_int_equal(from, 0);
    assert_int_equal(until, T);
    run(pending, T / 2, T, "", 0, T + 5000);
    assert_non_null(open_of(pending, "R5/s"));
    run(pending, INT64_MIN, T, "", 0, T + 5000);
    assert_null(open_of(pending, "R5/s"));
    assert_int_equal(pending_blocking(pending), 0);
    json_decref(pending);
}

static void the_next_look_has_every_one_that_is_due_and_no_more(void **state)
{
    json_t *pending = pending_new();
    int64_t from, until;

    (void)state;
    run(pending, 0, T, "R1/a", 100, T);
    run(pending, 0, T, "R1/a R2/b", 500, T + 3000); /* b is seen first now */
    assert_true(pending_window(pending, T + 5000, &from, &until));
    assert_int_equal(from, 100);
    assert_int_equal(until, 101);
    assert_true(pending_window(pending, T + 8000, &from, &until));
    assert_int_equal(from, 100);
    assert_int_equal(until, 501);
    json_decref(pending);
}

static void what_somebody_explained_blocks_no_more_until_it_is_there_anew(
    void **state)
{
    json_t *pending = pending_new();

    (void)state;
    run(pending, 0, T, "R1/a R4/b R6/c", T - 1, T);
    assert_int_equal(pending_blocking(pending), 2); /* R4 blocks nobody */
    assert_true(pending_explain(pending, "R1/a", "ann", "known", T + 1));
    assert_false(pending_explain(pending, "R1/z", "ann", "known", T + 1));
    assert_int_equal(pending_blocking(pending), 1);
    run(pending, 0, T, "R6/c", T - 1, T + 2); /* a and b are gone */
    run(pending, 0, T, "R1/a R6/c", T - 1, T + 3);
    assert_false(pending_explain(pending, "R1/a", "ann", "known", T + 1));
    assert_int_equal(pending_blocking(pending), 2);
    json_decref(pending);
}

static void more_than_are_named_block_until_a_run_finds_fewer(void **state)
{
    json_t *pending = pending_new(), *found = report(0, T, "", 0);
    json_t *rows = json_object_get(found, "differences");

    (void)state;
    for (unsigned i = 0; i < PENDING_NAMED_MAX; i++) {
        json_array_append_new(
            rows, json_pack("{s:o,s:s,s:s,s:s,s:s,s:i}", "id",
                            json_sprintf("R3/%u", i), "rule", "R3", "unit",
                            "u", "what", "x", "sentence", "s", "at", 5));
    }
    json_object_set_new(json_object_get(found, "rules"), "R3",
                        json_pack("{s:i}", "differences", 5000));
    pending_take(pending, found, &looks, T);
    assert_int_equal(pending_blocking(pending), 5000);
    run(pending, 0, T, "R3/7", 5, T + 5000);
    assert_int_equal(pending_blocking(pending), 1);
    json_decref(found);
    json_decref(pending);
}

static void without_looks_it_is_an_alarm_at_once(void **state)
{
    const struct pending_looks none = {NULL, 0};
    json_t *pending = pending_new(), *found = report(0, T, "R2/a", T - 1);

    (void)state;
    pending_take(pending, found, &none, T);
    assert_true(is_alarm(pending, "R2/a"));
    assert_int_equal(json_array_size(json_object_get(pending, "unsaid")), 1);
    json_decref(found);
    json_decref(pending);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_an_alarm_after_its_last_look_and_not_before),
        cmocka_unit_test(what_is_gone_is_settled_or_resolved),
        cmocka_unit_test(a_run_elsewhere_says_nothing_of_it),
        cmocka_unit_test(a_share_is_looked_at_again_over_its_whole_time),
        cmocka_unit_test(the_next_look_has_every_one_that_is_due_and_no_more),
        cmocka_unit_test(
            what_somebody_explained_blocks_no_more_until_it_is_there_anew),
        cmocka_unit_test(more_than_are_named_block_until_a_run_finds_fewer),
        cmocka_unit_test(without_looks_it_is_an_alarm_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
