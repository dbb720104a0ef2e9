/* SPDX-License-Identifier: Apache-2.0
 * test_decide.c - what came in is kept, what is asked here is added, in order.
 *
 * Why: the colour is what makes a whole chain of services answer alike; a hop
 * that decides again, or forgets, splits it (SEMANTICS 7).
 * Read next: ../../engine/decide.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/engine/policy_craft.h"

static struct policy_craft p;
static struct gray_snapshot snapshot;
static struct gray_input in;
static struct gray_scope_word words[64];
static struct gray_view view;
static struct gray_colour colour;
static uint32_t uid, edge;

/* Releases r00, r01, ... at the entrance "edge"; the unnamed one has none. */
static void begin(uint32_t releases, uint32_t share)
{
    policy_begin(&p);
    memset(words, 0, sizeof(words));
    uid = policy_slot(&p, GRAY_SOURCE_COOKIE, "uid");
    edge = policy_entrance(&p, "edge");
    for (uint32_t i = 0; i < releases; i++) {
        char name[] = "r00";
        name[1] = (char)('0' + i / 10);
        name[2] = (char)('0' + i % 10);
        policy_release(&p, name, uid, share);
        p.entrance_releases[p.entrance_release_count++] = i;
        words[i].scope = p.releases[i].scope;
    }
    p.entrances[edge].releases = (struct gray_span){ 0, releases };
}

static void open_policy(void)
{
    struct gray_problem problem = { 0 };
    if (policy_end(&p, &snapshot, &problem) != 0) {
        fail_msg("%s: %s", problem.code, problem.sentence);
    }
    view = (struct gray_view){ .policy = &snapshot,
                               .words = words,
                               .word_count = 64 };
    gray_input_begin(&in, &snapshot, 0, 1);
}

static void feed(const char *name, const char *value)
{
    gray_input_header(&in, gray_hash_name(name, strlen(name)), craft_str(name),
                      craft_str(value));
}

static void decide(uint32_t entrance)
{
    memset(&colour, 0xa5, sizeof(colour));
    gray_decide(&view, entrance, &in, NULL, NULL, &colour, NULL);
}

static void nothing_concerns_nobody(void **state)
{
    (void)state;
    begin(0, 0);
    open_policy();
    decide(edge);
    assert_int_equal(colour.reason, GRAY_REASON_NONE);
    assert_int_equal(colour.lane, GRAY_NONE);
    assert_int_equal(colour.release, GRAY_NONE);
    assert_int_equal(colour.arm_count, 0);
    assert_int_equal(colour.fresh, 0);
    decide(GRAY_NONE);
    assert_int_equal(colour.reason, GRAY_REASON_NONE);
    decide(12345);
    assert_int_equal(colour.reason, GRAY_REASON_NONE);
}

static void each_release_is_asked_alone_in_order(void **state)
{
    (void)state;
    begin(3, GRAY_SHARE_ALL);
    p.releases[1].share = 0;
    open_policy();
    feed("cookie", "uid=alice");
    decide(edge);
    assert_int_equal(colour.arm_count, 2);
    assert_int_equal(colour.arms[0].release, 0);
    assert_int_equal(colour.arms[1].release, 2);
    assert_int_equal(colour.reason, GRAY_REASON_SHARE);
    assert_int_equal(colour.release, 0);
    assert_int_equal(colour.bucket, colour.arms[0].bucket);
    assert_int_equal(colour.fresh, 1);
    decide(0); /* the unnamed entrance asks nothing here */
    assert_int_equal(colour.arm_count, 0);
}

static void a_refusal_gives_the_reason_when_nothing_else_does(void **state)
{
    (void)state;
    begin(2, 0);
    open_policy();
    decide(edge);
    assert_int_equal(colour.reason, GRAY_REASON_NO_UNIT);
    assert_int_equal(colour.release, 0);
    assert_int_equal(colour.fresh, 0);
}

static void carried_arms_are_kept_and_others_added(void **state)
{
    (void)state;
    begin(4, 0);
    p.releases[0].share = GRAY_SHARE_ALL;
    open_policy();
    feed("cookie", "uid=alice");
    gray_input_colour(&in, craft_str(""),
                      craft_str("r02,unknown,r01,,r02,r03:b"),
                      GRAY_CLASS_LIVE);
    decide(edge);
    assert_int_equal(colour.arm_count, 3);
    assert_int_equal(colour.arms[0].release, 0);
    assert_int_equal(colour.arms[0].reason, GRAY_REASON_SHARE);
    assert_int_equal(colour.arms[1].release, 1);
    assert_int_equal(colour.arms[1].reason, GRAY_REASON_COLOUR);
    assert_int_equal(colour.arms[1].admit, 0);
    assert_int_equal(colour.arms[2].release, 2);
    assert_int_equal(colour.fresh, 1);

    decide(GRAY_NONE); /* not an entrance: only what came in */
    assert_int_equal(colour.arm_count, 2);
    assert_int_equal(colour.reason, GRAY_REASON_COLOUR);
    assert_int_equal(colour.release, 1);
    assert_int_equal(colour.fresh, 0);
}

/* What an earlier hop wrote with blanks was neither obeyed nor passed on. */
static void blanks_around_carried_arms_are_none(void **state)
{
    (void)state;
    begin(3, 0);
    open_policy();
    gray_input_colour(&in, craft_str(""), craft_str(" r00 ,\tr02, , \t"),
                      GRAY_CLASS_LIVE);
    decide(GRAY_NONE);
    assert_int_equal(colour.arm_count, 2);
    assert_int_equal(colour.arms[0].release, 0);
    assert_int_equal(colour.arms[1].release, 2);
    gray_input_colour(&in, craft_str(""), craft_str("r 00,r01 :"),
                      GRAY_CLASS_LIVE);
    decide(GRAY_NONE);
    assert_int_equal(colour.arm_count, 0);
}

static void a_variant_travels_by_its_name(void **state)
{
    (void)state;
    begin(1, 0);
    p.releases[0].variants = (struct gray_span){ p.variant_count, 2 };
    p.variants[p.variant_count].name = policy_text(&p, "a");
    p.variants[p.variant_count++].upto = 500000;
    p.variants[p.variant_count].name = policy_text(&p, "b");
    p.variants[p.variant_count++].upto = GRAY_SHARE_ALL;
    open_policy();
    gray_input_colour(&in, craft_str(""), craft_str("r00:b"),
                      GRAY_CLASS_LIVE);
    decide(GRAY_NONE);
    assert_int_equal(colour.arm_count, 1);
    assert_int_equal(colour.arms[0].variant, 1);
    gray_input_colour(&in, craft_str(""), craft_str("r00,r00:c"),
                      GRAY_CLASS_LIVE);
    decide(GRAY_NONE);
    assert_int_equal(colour.arm_count, 0);
}

static void a_stopped_release_takes_its_carried_arm_away(void **state)
{
    static const struct {
        uint32_t word;
        enum gray_reason reason;
    } lines[] = {
        { GRAY_WORD_BASELINE, GRAY_REASON_STOPPED },
        { GRAY_WORD_KILLED, GRAY_REASON_KILLED },
    };
    (void)state;
    begin(1, GRAY_SHARE_ALL);
    open_policy();
    gray_input_colour(&in, craft_str(""), craft_str("r00"), GRAY_CLASS_LIVE);
    for (int i = 0; i < 2; i++) {
        words[0].word = lines[i].word;
        decide(GRAY_NONE);
        assert_int_equal(colour.arm_count, 0);
        assert_int_equal(colour.reason, lines[i].reason);
        assert_int_equal(colour.fresh, 1);
        decide(edge);
        assert_int_equal(colour.arm_count, 0);
    }
    words[0].word = GRAY_WORD_NO_ADMIT; /* who is in stays in */
    decide(GRAY_NONE);
    assert_int_equal(colour.arm_count, 1);
    words[0].scope++;
    decide(GRAY_NONE);
    assert_int_equal(colour.arm_count, 1);
}

/* 16 arms, and one more: the highest priorities stay. */
static void arms_at_the_limit(void **state)
{
    (void)state;
    begin(GRAY_ARMS_MAX + 1, GRAY_SHARE_ALL);
    p.releases[3].share = 0;
    open_policy();
    feed("cookie", "uid=alice");
    decide(edge);
    assert_int_equal(colour.arm_count, GRAY_ARMS_MAX);
    assert_int_equal(colour.arms[GRAY_ARMS_MAX - 1].release, GRAY_ARMS_MAX);
    gray_input_colour(&in, craft_str(""), craft_str("r03"), GRAY_CLASS_LIVE);
    decide(edge);
    assert_int_equal(colour.arm_count, GRAY_ARMS_MAX);
    for (uint32_t i = 0; i < GRAY_ARMS_MAX; i++) {
        assert_int_equal(colour.arms[i].release, i);
    }
    gray_input_colour(&in, craft_str(""), craft_str("r16"), GRAY_CLASS_LIVE);
    decide(edge);
    assert_int_equal(colour.arms[GRAY_ARMS_MAX - 1].release, GRAY_ARMS_MAX);
}

static void add_lanes(void)
{
    static const char *const names[] = { "red", "blue" };
    for (uint32_t i = 0; i < 2; i++) {
        uint32_t lane = policy_lane(&p, names[i]);
        uint32_t rule = policy_rule_of(
            &p, i ? "by-blue" : "by-red", GRAY_CONDITION_EXACT,
            policy_slot(&p, GRAY_SOURCE_HEADER, "x-team"),
            policy_string(&p, names[i]));
        p.rules[rule].action = lane;
    }
    p.entrances[edge].lane_rules = policy_ruleset(&p, 2);
}

static void the_first_lane_rule_that_holds(void **state)
{
    (void)state;
    begin(0, 0);
    add_lanes();
    open_policy();
    feed("x-team", "blue");
    feed("x-team", "red");
    decide(edge);
    assert_int_equal(colour.lane, 0);
    assert_int_equal(colour.lane_rule, 0);
    assert_int_equal(colour.lane_reason, GRAY_REASON_LANE_RULE);
    assert_int_equal(colour.reason, GRAY_REASON_LANE_RULE);
    assert_int_equal(colour.rule, 0);
    assert_int_equal(colour.fresh, 1);
    decide(GRAY_NONE);
    assert_int_equal(colour.lane, GRAY_NONE);
    assert_int_equal(colour.lane_reason, GRAY_REASON_NONE);
}

static void the_lane_that_came_in_stays(void **state)
{
    (void)state;
    begin(0, 0);
    add_lanes();
    open_policy();
    feed("x-team", "blue");
    gray_input_colour(&in, craft_str("red"), craft_str(""), GRAY_CLASS_LIVE);
    decide(edge);
    assert_int_equal(colour.lane, 0);
    assert_int_equal(colour.lane_reason, GRAY_REASON_COLOUR);
    assert_int_equal(colour.lane_rule, GRAY_NONE);
    assert_int_equal(colour.fresh, 0);
    gray_input_colour(&in, craft_str("green"), craft_str(""),
                      GRAY_CLASS_LIVE); /* one that this policy lacks */
    decide(edge);
    assert_int_equal(colour.lane, GRAY_NONE);
    assert_int_equal(colour.lane_reason, GRAY_REASON_COLOUR);
    assert_int_equal(colour.fresh, 0);
}

static void the_own_lane_comes_last(void **state)
{
    (void)state;
    begin(0, 0);
    add_lanes();
    open_policy();
    gray_input_named(&in, GRAY_SOURCE_LABEL, craft_str("lane"),
                     craft_str("blue"));
    decide(GRAY_NONE);
    assert_int_equal(colour.lane, 1);
    assert_int_equal(colour.lane_reason, GRAY_REASON_LANE_LABEL);
    feed("x-team", "red");
    decide(edge);
    assert_int_equal(colour.lane, 0);
    gray_input_colour(&in, craft_str("red"), craft_str(""), GRAY_CLASS_LIVE);
    decide(GRAY_NONE);
    assert_int_equal(colour.lane, 0);
    assert_int_equal(colour.lane_reason, GRAY_REASON_COLOUR);
}

static void too_large_a_request_goes_to_the_baseline(void **state)
{
    (void)state;
    begin(1, GRAY_SHARE_ALL);
    add_lanes();
    open_policy();
    feed("cookie", "uid=alice");
    for (uint32_t i = 0; i < GRAY_VALUES_MAX; i++) {
        feed("x-team", "red");
    }
    decide(edge);
    assert_int_equal(colour.reason, GRAY_REASON_INPUT_TOO_LARGE);
    assert_int_equal(colour.arm_count, 0);
    assert_int_equal(colour.lane, GRAY_NONE);
}

/* Twice the same question, twice the same answer, to the byte. */
static void the_same_input_gives_the_same_bytes(void **state)
{
    struct gray_colour first;
    (void)state;
    begin(5, 500000);
    add_lanes();
    open_policy();
    feed("cookie", "uid=alice");
    memset(&first, 0, sizeof(first));
    gray_decide(&view, edge, &in, NULL, NULL, &first, NULL);
    decide(edge);
    assert_memory_equal(&first, &colour,
                        offsetof(struct gray_colour, arms) +
                            first.arm_count * sizeof(first.arms[0]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_concerns_nobody),
        cmocka_unit_test(each_release_is_asked_alone_in_order),
        cmocka_unit_test(a_refusal_gives_the_reason_when_nothing_else_does),
        cmocka_unit_test(carried_arms_are_kept_and_others_added),
        cmocka_unit_test(blanks_around_carried_arms_are_none),
        cmocka_unit_test(a_variant_travels_by_its_name),
        cmocka_unit_test(a_stopped_release_takes_its_carried_arm_away),
        cmocka_unit_test(arms_at_the_limit),
        cmocka_unit_test(the_first_lane_rule_that_holds),
        cmocka_unit_test(the_lane_that_came_in_stays),
        cmocka_unit_test(the_own_lane_comes_last),
        cmocka_unit_test(too_large_a_request_goes_to_the_baseline),
        cmocka_unit_test(the_same_input_gives_the_same_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
