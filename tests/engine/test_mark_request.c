/* SPDX-License-Identifier: Apache-2.0
 * test_mark_request.c - what a whole request records, waits for, and holds.
 *
 * Why: one request may meet many releases, and makes at most GRAY_ARMS_MAX
 * marks; whoever is let in without the mark that it should have may fall out
 * again, and one release that must not be guessed speaks for all.
 * Read next: ../../engine/decide.c, test_mark.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/engine/policy_craft.h"

static struct policy_craft p;
static struct gray_snapshot snapshot;
static struct gray_input in;
static struct gray_view view;

static void open_policy(void)
{
    struct gray_problem problem = { 0 };
    if (policy_end(&p, &snapshot, &problem) != 0) {
        fail_msg("%s: %s", problem.code, problem.sentence);
    }
    view = (struct gray_view){ .policy = &snapshot };
}

static void request(const char *cookies)
{
    gray_input_begin(&in, &snapshot, 0, 1);
    gray_input_header(&in, gray_hash_name("cookie", 6), craft_str("cookie"),
                      craft_str(cookies));
}

static struct gray_mark by_release[20];

static struct gray_mark ask_each(void *context,
                                 const struct gray_mark_query *query)
{
    (void)context;
    return query->step == GRAY_STEP_EVIDENCE ? (struct gray_mark){ 0 }
                                             : by_release[query->release];
}

/* `count` releases of the unnamed entrance; the first `entities` are. */
static void many(uint32_t count, uint32_t entities)
{
    memset(by_release, 0, sizeof(by_release));
    policy_begin(&p);
    for (uint32_t i = 0; i < count; i++) {
        char name[16];
        snprintf(name, sizeof(name), "r-%u", i);
        policy_release(&p, name, policy_slot(&p, GRAY_SOURCE_COOKIE, "uid"),
                       GRAY_SHARE_ALL);
        p.releases[i].priority = 1000 - i;
        if (i < entities) {
            p.releases[i].stickiness = GRAY_STICKY_ENTITY;
            p.releases[i].on_unknown = GRAY_UNKNOWN_REFUSE;
        }
        p.entrance_releases[i] = i;
    }
    p.entrance_release_count = count;
    p.entrances[0].releases = (struct gray_span){ 0, count };
}

static struct gray_colour decided(void)
{
    struct gray_colour colour;
    memset(&colour, 0xa5, sizeof(colour));
    request("uid=alice");
    gray_decide(&view, 0, &in, ask_each, NULL, &colour, NULL);
    return colour;
}

static void the_colour_says_what_to_record(void **state)
{
    (void)state;
    many(4, 2);
    p.releases[1].share = 0;
    p.releases[0].stages = (struct gray_span){ 0, 1 };
    p.stages[0] = (struct gray_stage){ .name = p.releases[0].name,
                                       .share = GRAY_SHARE_ALL,
                                       .writes = 1,
                                       .space = 3 };
    p.stage_count = 1;
    open_policy();
    by_release[3].state = GRAY_MARK_IN;
    request("uid=alice");
    struct gray_colour colour;
    in.stage = craft_str("r-0");
    gray_decide(&view, 0, &in, ask_each, NULL, &colour, NULL);
    assert_int_equal(colour.arm_count, 3);
    assert_int_equal(colour.record_count, 3);
    assert_int_equal(colour.records[0].release, 1);
    assert_int_equal(colour.records[0].state, GRAY_MARK_OUT);
    assert_int_equal(colour.records[0].stage, GRAY_STAGE_NONE);
    assert_int_equal(colour.records[1].release, 0);
    assert_int_equal(colour.records[1].state, GRAY_MARK_IN);
    assert_int_equal(colour.records[1].stage, 0);
    assert_int_equal(colour.records[1].space, 3);
    assert_int_equal(colour.records[2].release, 2);
    assert_int_equal(colour.hold + colour.pending, 0);
}

static void one_that_holds_speaks_for_the_request(void **state)
{
    (void)state;
    many(4, 3);
    open_policy();
    by_release[1].state = GRAY_MARK_UNKNOWN;
    by_release[2].state = GRAY_MARK_HOLD;
    struct gray_colour colour = decided();
    assert_int_equal(colour.hold, 1);
    assert_int_equal(colour.pending, 0);
    assert_int_equal(colour.release, 1);
    assert_int_equal(colour.reason, GRAY_REASON_MARK_HOLD);
    by_release[1].state = by_release[2].state = GRAY_MARK_PENDING;
    colour = decided();
    assert_int_equal(colour.pending, 1);
    assert_int_equal(colour.hold, 0);
    assert_int_equal(colour.reason, GRAY_REASON_SHARE);
    assert_int_equal(colour.record_count, 2);
}

/* At the limit every arm is recorded; above it whoever finds no room is not
 * let in, and no arm is recorded that is not kept. */
static void no_arm_is_let_in_unrecorded(void **state)
{
    (void)state;
    for (uint32_t refused = 0; refused <= 4; refused++) {
        many(GRAY_ARMS_MAX + 2, 4);
        for (uint32_t i = 0; i < refused; i++) {
            p.releases[i].share = 0;
        }
        open_policy();
        struct gray_colour colour = decided();
        assert_int_equal(colour.record_count, GRAY_ARMS_MAX);
        assert_int_equal(colour.arm_count, GRAY_ARMS_MAX - refused);
        for (uint32_t i = 0; i < colour.arm_count; i++) {
            bool recorded = false;
            assert_int_equal(colour.arms[i].release, refused + i);
            for (uint32_t k = 0; k < colour.record_count; k++) {
                recorded |= colour.records[k].release == refused + i &&
                            colour.records[k].state == GRAY_MARK_IN;
            }
            assert_true(recorded);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_colour_says_what_to_record),
        cmocka_unit_test(one_that_holds_speaks_for_the_request),
        cmocka_unit_test(no_arm_is_let_in_unrecorded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
