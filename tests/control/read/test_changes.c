/* SPDX-License-Identifier: Apache-2.0
 * test_changes.c - who changed what since when, and every attempt.
 *
 * Read next: control/read/changes.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/control/read/fixture.h"

static void fill(struct desk *desk)
{
    desk_open(desk);
    record(desk, NOW - 72 * HOUR, "start", "Release/cart-2", "done");   /* 1 */
    record(desk, NOW - 49 * HOUR, "abort", "Release/cart-2", "denied"); /* 2 */
    record(desk, NOW - 3 * HOUR, "start", "Release/pay-7", "done");     /* 3 */
    record(desk, NOW - 2 * HOUR, "pause", "Release/cart-2", "done");    /* 4 */
    record(desk, NOW - HOUR, "apply", "", "done");                      /* 5 */
    record(desk, NOW - 1, "kill", "Release/cart-2", "refused");         /* 6 */
    record(desk, NOW, "resume", "Release/cart-2", "dry-run");           /* 7 */
    record(desk, NOW, "promote", "Release/cart-2", "done");             /* 8 */
}

static void what_was_done_newest_last(void **state)
{
    struct desk desk;
    json_t *body;
    size_t pages;

    (void)state;
    fill(&desk);
    body = ask(&desk, "/v1/changes", 200);
    assert_string_equal(
        names_of(json_object_get(body, "changes"), "sequence"), "1 3 4 5 8");
    assert_null(json_object_get(body, "next"));
    json_decref(body);
    assert_string_equal(names_paged(&desk, "/v1/changes?limit=2", "changes",
                                    "sequence", "after", &pages),
                        "1 3 4 5 8");
    assert_int_equal(pages, 3);
    body = ask(&desk, "/v1/changes?after=4", 200);
    assert_string_equal(
        names_of(json_object_get(body, "changes"), "sequence"), "5 8");
    json_decref(body);
    desk_close(&desk);
}

static void since_an_age_or_a_moment(void **state)
{
    static const struct {
        const char *since, *wanted;
    } rows[] = {
        { "2h", "4 5 8" },
        { "119m", "5 8" },
        { "3d", "1 3 4 5 8" },
        { "2d", "3 4 5 8" },
        { "0d", "8" },
        { "2025-12-31T22:00:00Z", "4 5 8" },
        { "2026-01-01T06:00:00%2B08:00", "4 5 8" },
        { "2026-01-01T00:00:00.001Z", "" },
    };
    struct desk desk;

    (void)state;
    fill(&desk);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char target[128];
        json_t *body;

        snprintf(target, sizeof(target), "/v1/changes?since=%s",
                 rows[i].since);
        body = ask(&desk, target, 200);
        assert_string_equal(
            names_of(json_object_get(body, "changes"), "sequence"),
            rows[i].wanted);
        json_decref(body);
    }
    json_decref(ask(&desk, "/v1/changes?since=yesterday", 400));
    json_decref(ask(&desk, "/v1/changes?since=d", 400));
    json_decref(ask(&desk, "/v1/changes?since=", 400));
    desk_close(&desk);
}

/* A record about everything needs the scope over every name. */
static void only_what_is_in_scope(void **state)
{
    struct desk desk;
    json_t *body;

    (void)state;
    fill(&desk);
    desk.scopes[0] = "cart";
    body = ask(&desk, "/v1/changes", 200);
    assert_string_equal(
        names_of(json_object_get(body, "changes"), "sequence"), "1 4 8");
    json_decref(body);
    desk_close(&desk);
}

static void every_attempt_is_in_the_audit(void **state)
{
    struct desk desk;
    json_t *body, *first;
    size_t pages;

    (void)state;
    fill(&desk);
    body = ask(&desk, "/v1/audit", 200);
    assert_string_equal(
        names_of(json_object_get(body, "records"), "sequence"),
        "1 2 3 4 5 6 7 8");
    first = json_array_get(json_object_get(body, "records"), 1);
    assert_string_equal(text_at(first, "outcome"), "denied");
    assert_string_equal(text_at(first, "at"), "2025-12-29T23:00:00.000Z");
    assert_string_equal(text_at(first, "actor"), "ann");
    json_decref(body);
    assert_string_equal(names_paged(&desk, "/v1/audit?limit=3", "records",
                                    "sequence", "after", &pages),
                        "1 2 3 4 5 6 7 8");
    assert_int_equal(pages, 3);
    json_decref(ask(&desk, "/v1/audit?after=-1", 400));
    desk_close(&desk);
}

/* A page looks at a bounded number of records, and then goes on. */
static void a_narrow_scope_in_a_long_history(void **state)
{
    enum { COUNT = READ_SCAN_MAX + 10, STEP = 1000 };
    struct store_audit *audits = calloc(STEP, sizeof(*audits));
    static char texts[STEP][160];
    struct gray_problem problem = { 0 };
    struct desk desk;
    uint64_t revision;
    json_t *body;
    size_t pages;

    (void)state;
    assert_non_null(audits);
    desk_open(&desk);
    for (int at = 0; at < COUNT; at += STEP) {
        struct store_batch batch = { .at = NOW, .audits = audits };

        for (int i = 0; i < STEP && at + i < COUNT; i++) {
            audits[i].sequence = (uint64_t)(at + i + 1);
            audits[i].text = texts[i];
            audits[i].length = (size_t)snprintf(
                texts[i], sizeof(texts[i]),
                "{\"action\":\"a\",\"at\":%lld,\"outcome\":\"done\","
                "\"resource\":\"Release/%s\",\"seq\":%d}",
                (long long)NOW, at + i + 1 == COUNT ? "rare" : "often",
                at + i + 1);
            batch.audit_count++;
        }
        if (store_commit(desk.store, &batch, &revision, &problem) != 0) {
            fail_msg("commit: %s", problem.sentence);
        }
    }
    free(audits);
    desk.scopes[0] = "rare";
    body = ask(&desk, "/v1/changes", 200);
    assert_int_equal(json_array_size(json_object_get(body, "changes")), 0);
    assert_int_equal(number_at(body, "next"), READ_SCAN_MAX);
    json_decref(body);
    assert_string_equal(names_paged(&desk, "/v1/changes?limit=5", "changes",
                                    "sequence", "after", &pages),
                        "20010");
    assert_int_equal(pages, 2);
    desk_close(&desk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_done_newest_last),
        cmocka_unit_test(since_an_age_or_a_moment),
        cmocka_unit_test(only_what_is_in_scope),
        cmocka_unit_test(every_attempt_is_in_the_audit),
        cmocka_unit_test(a_narrow_scope_in_a_long_history),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
