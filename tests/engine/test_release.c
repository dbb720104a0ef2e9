/* SPDX-License-Identifier: Apache-2.0
 * test_release.c - the order of a release is kept, and unknown never means go.
 *
 * Why: SEMANTICS 2 to 4 say what stands above what; each line of them is one
 * test here, over a policy that no compiler wrote.
 * Read next: ../../engine/release.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/hash.h"
#include "tests/engine/policy_craft.h"

static struct policy_craft p;
static struct gray_snapshot snapshot;
static struct gray_input in;
static struct gray_scope_word word;
static struct gray_view view;
static struct gray_verdict verdict;
static struct gray_release *release;

/* What the mark table and the cookie say. */
static struct gray_mark mark, evidence;
static uint32_t asked_mark, asked_evidence;
static uint32_t unit_slot;

static struct gray_mark ask(void *context, const struct gray_mark_query *query)
{
    assert_ptr_equal(context, &mark);
    assert_int_equal(query->release, 0);
    assert_true(query->unit.length > 0);
    if (query->step == GRAY_STEP_EVIDENCE) {
        asked_evidence++;
        return evidence;
    }
    asked_mark++;
    return mark;
}

static int setup(void **state)
{
    (void)state;
    policy_begin(&p);
    unit_slot = policy_slot(&p, GRAY_SOURCE_COOKIE, "uid");
    policy_release(&p, "cart-2", unit_slot, 0);
    release = &p.releases[0];
    mark = (struct gray_mark){ .state = GRAY_MARK_ABSENT };
    evidence = mark;
    asked_mark = 0;
    asked_evidence = 0;
    word = (struct gray_scope_word){ .scope = release->scope };
    return 0;
}

static void open_policy(void)
{
    struct gray_problem problem = { 0 };
    if (policy_end(&p, &snapshot, &problem) != 0) {
        fail_msg("%s: %s", problem.code, problem.sentence);
    }
    view = (struct gray_view){ .policy = &snapshot,
                               .words = &word,
                               .word_count = 1 };
    gray_input_begin(&in, &snapshot, 0, 1);
}

static void cookie(const char *value)
{
    gray_input_header(&in, gray_hash_name("cookie", 6), craft_str("cookie"),
                      craft_str(value));
}

static void expect(bool is_in, enum gray_reason reason)
{
    memset(&verdict, 0xa5, sizeof(verdict));
    gray_decide_release(&view, 0, &in, ask, &mark, &verdict, NULL);
    assert_string_equal(gray_reason_code(verdict.reason),
                        gray_reason_code(reason));
    assert_int_equal(verdict.in, is_in);
    assert_int_equal(verdict.release, 0);
    if (!is_in) {
        assert_int_equal(verdict.admit, 0);
    }
}

/* A rule that holds when the header is there. */
static uint32_t when_header(const char *name, uint16_t flags)
{
    uint32_t rule =
        policy_rule_of(&p, name, GRAY_CONDITION_PRESENT,
                       policy_slot(&p, GRAY_SOURCE_HEADER, name), 0);
    p.rules[rule].flags = flags;
    return policy_ruleset(&p, 1);
}

static void header(const char *name)
{
    gray_input_header(&in, gray_hash_name(name, strlen(name)), craft_str(name),
                      craft_str("1"));
}

static void zero_admits_nobody_and_all_everybody(void **state)
{
    (void)state;
    for (int all = 0; all < 2; all++) {
        setup(NULL);
        release->share = all ? GRAY_SHARE_ALL : 0;
        open_policy();
        for (int i = 0; i < 3000; i++) {
            char text[32] = "uid=";
            for (int k = 0, n = i * 7919; k < 6; k++, n /= 10) {
                text[4 + k] = (char)('0' + n % 10);
            }
            gray_input_begin(&in, &snapshot, 0, 1);
            cookie(text);
            expect(all, all ? GRAY_REASON_SHARE : GRAY_REASON_OUT_OF_SHARE);
            assert_true(verdict.bucket < GRAY_SHARE_ALL);
        }
    }
}

/* The bucket of alice under cart-2, from docs/vectors: 660047. */
static void the_share_ends_where_it_says(void **state)
{
    (void)state;
    for (uint32_t share = 660046; share <= 660049; share++) {
        setup(NULL);
        release->share = share;
        open_policy();
        cookie("uid=alice");
        expect(share > 660047, share > 660047 ? GRAY_REASON_SHARE
                                              : GRAY_REASON_OUT_OF_SHARE);
        assert_int_equal(verdict.bucket, 660047);
        assert_int_equal(verdict.admit, share > 660047);
    }
}

static void the_holdback_is_never_admitted(void **state)
{
    (void)state;
    for (uint32_t holdback = 339952; holdback <= 339954; holdback++) {
        setup(NULL);
        release->share = GRAY_SHARE_ALL - holdback;
        release->holdback = holdback;
        open_policy();
        cookie("uid=alice");
        expect(holdback < 339953, holdback < 339953 ? GRAY_REASON_SHARE
                                                    : GRAY_REASON_HOLDBACK);
    }
}

static void deny_stands_above_allow_and_mark(void **state)
{
    (void)state;
    release->deny = when_header("x-deny", 0);
    release->allow = when_header("x-allow", 0);
    release->share = GRAY_SHARE_ALL;
    open_policy();
    cookie("uid=alice");
    header("x-deny");
    header("x-allow");
    mark.state = GRAY_MARK_IN;
    expect(false, GRAY_REASON_DENY);
    assert_int_equal(verdict.rule, 0);
    assert_int_equal(asked_mark, 0);
}

static void in_entity_scopes_the_mark_stands_first(void **state)
{
    const uint8_t order[8] = { GRAY_STEP_MARK,  GRAY_STEP_DENY,
                               GRAY_STEP_ALLOW, GRAY_STEP_RULES,
                               GRAY_STEP_END };
    (void)state;
    release->deny = when_header("x-deny", 0);
    release->stickiness = GRAY_STICKY_ENTITY;
    memcpy(release->order, order, 8);
    release->share = GRAY_SHARE_ALL;
    open_policy();
    cookie("uid=alice");
    header("x-deny");
    mark.state = GRAY_MARK_IN;
    expect(true, GRAY_REASON_MARK);
    assert_int_equal(verdict.admit, 0);
    mark.state = GRAY_MARK_OUT;
    expect(false, GRAY_REASON_MARK_OUT);
    mark.state = GRAY_MARK_ABSENT;
    expect(false, GRAY_REASON_DENY);
}

static void an_allow_by_list_writes_and_one_by_header_does_not(void **state)
{
    (void)state;
    release->allow = when_header("x-allow", 0);
    open_policy();
    cookie("uid=alice");
    header("x-allow");
    expect(true, GRAY_REASON_ALLOW);
    assert_int_equal(verdict.rule, 0);
    assert_int_equal(verdict.admit, 0);

    setup(NULL);
    release->allow = when_header("x-allow", GRAY_RULE_WRITES);
    open_policy();
    cookie("uid=alice");
    header("x-allow");
    expect(true, GRAY_REASON_ALLOW);
    assert_int_equal(verdict.admit, 1);

    gray_input_begin(&in, &snapshot, 0, 1);
    header("x-allow"); /* nobody to write down */
    expect(true, GRAY_REASON_ALLOW);
    assert_int_equal(verdict.admit, 0);
}

static void require_then_match_then_share(void **state)
{
    (void)state;
    release->share = GRAY_SHARE_ALL;
    release->require_insn =
        policy_insn(&p, GRAY_CONDITION_PRESENT,
                    policy_slot(&p, GRAY_SOURCE_HEADER, "x-region"), 0,
                    POLICY_JUMPS_END);
    release->require_count = 1;
    release->match = when_header("x-match", 0);
    open_policy();
    cookie("uid=alice");
    expect(false, GRAY_REASON_REQUIRE);
    assert_int_equal(verdict.bucket, GRAY_NONE);
    header("x-region");
    expect(false, GRAY_REASON_NO_MATCH);
    header("x-match");
    expect(true, GRAY_REASON_SHARE);
    assert_int_equal(verdict.rule, 0);
}

static void marks_say_what_was_told(void **state)
{
    static const struct {
        uint8_t state;
        bool is_in;
        enum gray_reason reason;
    } lines[] = {
        { GRAY_MARK_ABSENT, true, GRAY_REASON_SHARE },
        { GRAY_MARK_IN, true, GRAY_REASON_MARK },
        { GRAY_MARK_OUT, true, GRAY_REASON_SHARE }, /* asked again */
        { GRAY_MARK_REVOKED, false, GRAY_REASON_REVOKED },
        { GRAY_MARK_UNKNOWN, false, GRAY_REASON_MARK_UNKNOWN },
        { GRAY_MARK_HOLD, false, GRAY_REASON_MARK_UNKNOWN },
        { 77, false, GRAY_REASON_MARK_UNKNOWN },
    };
    (void)state;
    release->share = GRAY_SHARE_ALL;
    open_policy();
    cookie("uid=alice");
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        mark = (struct gray_mark){ .state = lines[i].state, .attempt = 1 };
        expect(lines[i].is_in, lines[i].reason);
    }
}

static void a_new_attempt_may_admit_the_revoked(void **state)
{
    (void)state;
    release->share = GRAY_SHARE_ALL;
    release->attempt = 2;
    open_policy();
    cookie("uid=alice");
    mark = (struct gray_mark){ .state = GRAY_MARK_REVOKED, .attempt = 1 };
    expect(true, GRAY_REASON_SHARE);
    mark.attempt = 2;
    expect(false, GRAY_REASON_REVOKED);
}

static void a_signed_cookie_shows_an_earlier_admission(void **state)
{
    (void)state;
    open_policy();
    cookie("uid=alice");
    evidence = (struct gray_mark){ .state = GRAY_MARK_IN, .attempt = 1 };
    expect(true, GRAY_REASON_COOKIE);
    assert_int_equal(verdict.admit, 0);
    evidence.attempt = 0; /* of an attempt that was aborted */
    expect(false, GRAY_REASON_OUT_OF_SHARE);
    evidence = (struct gray_mark){ .state = GRAY_MARK_OUT, .attempt = 1 };
    expect(false, GRAY_REASON_OUT_OF_SHARE);
}

/* The cookie is read only when the answer hangs on it. */
static void evidence_is_asked_last(void **state)
{
    (void)state;
    release->share = GRAY_SHARE_ALL;
    open_policy();
    cookie("uid=alice");
    expect(true, GRAY_REASON_SHARE);
    assert_int_equal(asked_mark, 1);
    assert_int_equal(asked_evidence, 0);
}

/* SEMANTICS 4: UNKNOWN with a valid gray cookie serves the cookie's arm and
 * writes nothing; never the share, never an allow. */
static void unknown_admits_by_cookie_alone(void **state)
{
    (void)state;
    release->share = GRAY_SHARE_ALL;
    open_policy();
    cookie("uid=alice");
    mark.state = GRAY_MARK_UNKNOWN;
    expect(false, GRAY_REASON_MARK_UNKNOWN);
    assert_int_equal(asked_evidence, 1);
    evidence = (struct gray_mark){ .state = GRAY_MARK_IN, .attempt = 1 };
    expect(true, GRAY_REASON_COOKIE);
    assert_int_equal(verdict.admit, 0);
}

static void no_stickiness_asks_for_no_marks(void **state)
{
    (void)state;
    release->stickiness = GRAY_STICKY_NONE;
    release->share = GRAY_SHARE_ALL;
    open_policy();
    cookie("uid=alice");
    mark.state = GRAY_MARK_REVOKED;
    expect(true, GRAY_REASON_SHARE);
    assert_int_equal(verdict.admit, 0);
    assert_int_equal(asked_mark + asked_evidence, 0);
}

static void scope_words_stand_above_all(void **state)
{
    (void)state;
    release->share = GRAY_SHARE_ALL;
    release->allow = when_header("x-allow", 0);
    open_policy();
    cookie("uid=alice");
    mark = (struct gray_mark){ .state = GRAY_MARK_IN, .attempt = 1 };
    word.word = GRAY_WORD_BASELINE | GRAY_WORD_HOST;
    expect(false, GRAY_REASON_STOPPED);
    word.word = GRAY_WORD_KILLED;
    expect(false, GRAY_REASON_KILLED);
    assert_int_equal(asked_mark, 0);
    word.word = GRAY_WORD_NO_ADMIT;
    expect(true, GRAY_REASON_MARK);
    mark.state = GRAY_MARK_ABSENT;
    expect(false, GRAY_REASON_NO_ADMIT);
    header("x-allow");
    expect(false, GRAY_REASON_NO_ADMIT);
    evidence = mark;
    evidence.state = GRAY_MARK_IN;
    expect(true, GRAY_REASON_COOKIE);
}

/* Who would not come in anyway is told why. */
static void a_freeze_does_not_hide_other_reasons(void **state)
{
    (void)state;
    open_policy();
    cookie("uid=alice");
    word.word = GRAY_WORD_NO_ADMIT;
    expect(false, GRAY_REASON_OUT_OF_SHARE);
}

static void a_foreign_word_never_means_open(void **state)
{
    (void)state;
    release->share = GRAY_SHARE_ALL;
    open_policy();
    cookie("uid=alice");
    word.scope++;
    expect(false, GRAY_REASON_NO_ADMIT);
    word.scope--;
    view.word_count = 0;
    expect(false, GRAY_REASON_NO_ADMIT);
    view.words = NULL; /* nobody keeps words at all */
    expect(true, GRAY_REASON_SHARE);
}

static void without_a_unit(void **state)
{
    uint32_t count = 0;
    (void)state;
    release->share = GRAY_SHARE_ALL;
    release->allow = when_header("x-allow", 0);
    open_policy();
    expect(false, GRAY_REASON_NO_UNIT);
    cookie("uid="); /* nothing is no unit */
    expect(false, GRAY_REASON_NO_UNIT);
    assert_int_equal(asked_mark + asked_evidence, 0);
    header("x-allow");
    expect(true, GRAY_REASON_ALLOW);

    setup(NULL);
    release->anonymous = GRAY_ANONYMOUS_RANDOM;
    release->share = 300000;
    open_policy();
    for (uint64_t i = 0; i < 10000; i++) {
        gray_input_begin(&in, &snapshot, 0, i);
        gray_decide_release(&view, 0, &in, ask, &mark, &verdict, NULL);
        assert_int_equal(verdict.reason, verdict.in ? GRAY_REASON_RANDOM
                                                    : GRAY_REASON_OUT_OF_SHARE);
        assert_int_equal(verdict.admit, 0);
        count += verdict.in;
    }
    assert_in_range(count, 2863, 3137); /* 3 sigma */
}

static void an_issued_id_stands_in_for_a_unit(void **state)
{
    (void)state;
    release->anonymous = GRAY_ANONYMOUS_COOKIE;
    release->share = GRAY_SHARE_ALL;
    open_policy();
    gray_input_named(&in, GRAY_SOURCE_UNIT, craft_str(""), craft_str("a17"));
    expect(true, GRAY_REASON_SHARE);
    assert_int_equal(
        verdict.bucket,
        gray_bucket(craft_str("cart-2"), craft_str("a17")));
    assert_true(in.anonymous_used);
    assert_int_equal(gray_unit(&view, 0, &in).length, 3);
    cookie("uid=alice");
    in.anonymous_used = false;
    expect(true, GRAY_REASON_SHARE);
    assert_int_equal(verdict.bucket, 660047);
    assert_false(in.anonymous_used);

    setup(NULL); /* anonymous: baseline takes no issued id */
    release->share = GRAY_SHARE_ALL;
    open_policy();
    gray_input_named(&in, GRAY_SOURCE_UNIT, craft_str(""), craft_str("a17"));
    expect(false, GRAY_REASON_NO_UNIT);
    assert_false(in.anonymous_used);
}

static void the_first_unit_present_counts(void **state)
{
    static char long_unit[GRAY_VALUE_MAX + 2];
    (void)state;
    release->unit_slots[1] = policy_slot(&p, GRAY_SOURCE_HEADER, "x-user");
    release->share = GRAY_SHARE_ALL;
    open_policy();
    gray_input_header(&in, gray_hash_name("x-user", 6), craft_str("x-user"),
                      craft_str("bob"));
    assert_memory_equal(gray_unit(&view, 0, &in).data, "bob", 3);
    cookie("uid=alice");
    assert_memory_equal(gray_unit(&view, 0, &in).data, "alice", 5);
    /* At the limit and one above it. */
    memset(long_unit, 'u', sizeof(long_unit) - 1);
    gray_input_begin(&in, &snapshot, 0, 0);
    gray_input_header(&in, gray_hash_name("x-user", 6), craft_str("x-user"),
                      craft_str(long_unit + 1));
    assert_int_equal(gray_unit(&view, 0, &in).length, GRAY_VALUE_MAX);
    gray_input_begin(&in, &snapshot, 0, 0);
    gray_input_header(&in, gray_hash_name("x-user", 6), craft_str("x-user"),
                      craft_str(long_unit));
    assert_int_equal(gray_unit(&view, 0, &in).length, 0);
    assert_int_equal(gray_unit(&view, 99, &in).length, 0);
}

static void variants_have_a_line_of_their_own(void **state)
{
    static const uint32_t upto[] = { 300000, 300000, GRAY_SHARE_ALL };
    uint32_t counts[3] = { 0, 0, 0 };
    (void)state;
    release->share = 500000;
    release->variants =
        (struct gray_span){ p.variant_count, 3 };
    for (int i = 0; i < 3; i++) {
        p.variants[p.variant_count].name = policy_text(&p, i ? "x" : "a");
        p.variants[p.variant_count++].upto = upto[i];
    }
    open_policy();
    for (uint32_t i = 0; i < 10000; i++) {
        char text[] = "uid=00000";
        for (uint32_t k = 8, n = i; k > 3; k--, n /= 10) {
            text[k] = (char)('0' + n % 10);
        }
        gray_input_begin(&in, &snapshot, 0, 1);
        cookie(text);
        gray_decide_release(&view, 0, &in, NULL, NULL, &verdict, NULL);
        if (verdict.in) {
            uint32_t bucket =
                hash_variant_bucket(craft_str("cart-2"), craft_str(text + 4));
            assert_int_equal(verdict.variant, bucket < 300000 ? 0 : 2);
            counts[verdict.variant]++;
        }
    }
    assert_int_equal(counts[1], 0);
    assert_in_range(counts[0], 1380, 1620);
    assert_in_range(counts[2], 3350, 3650);
    gray_input_begin(&in, &snapshot, 0, 1);
    cookie("uid=alice");
    mark = (struct gray_mark){ GRAY_MARK_IN, 1, 1, 0 };
    expect(true, GRAY_REASON_MARK);
    assert_int_equal(verdict.variant, 1); /* what was told */
    mark.variant = 200;
    expect(true, GRAY_REASON_MARK);
    assert_true(verdict.variant < 3);
}

static void classes_that_are_not_live(void **state)
{
    (void)state;
    open_policy();
    cookie("uid=alice");
    gray_input_colour(&in, craft_str(""), craft_str(""), GRAY_CLASS_LOAD);
    expect(true, GRAY_REASON_LOAD);
    assert_int_equal(verdict.admit, 0);
    word.word = GRAY_WORD_NO_ADMIT;
    expect(false, GRAY_REASON_NO_ADMIT);
    word.word = GRAY_WORD_KILLED;
    expect(false, GRAY_REASON_KILLED);

    setup(NULL);
    release->share = GRAY_SHARE_ALL;
    open_policy();
    cookie("uid=alice");
    gray_input_colour(&in, craft_str(""), craft_str(""), GRAY_CLASS_SHADOW);
    expect(true, GRAY_REASON_SHARE);
    assert_int_equal(verdict.admit, 0);
    in.traffic_class = GRAY_CLASS_REHEARSAL;
    expect(true, GRAY_REASON_SHARE);
    assert_int_equal(verdict.admit, 0);
    in.traffic_class = GRAY_CLASS_LIVE;
    expect(true, GRAY_REASON_SHARE);
    assert_int_equal(verdict.admit, 1);
}

static void too_large_a_request_is_not_decided(void **state)
{
    (void)state;
    release->share = GRAY_SHARE_ALL;
    open_policy();
    cookie("uid=alice");
    in.overflow = true;
    expect(false, GRAY_REASON_INPUT_TOO_LARGE);
}

static void an_order_without_rules_ends(void **state)
{
    (void)state;
    release->order[0] = GRAY_STEP_ALLOW;
    release->order[1] = GRAY_STEP_END;
    release->share = GRAY_SHARE_ALL;
    open_policy();
    cookie("uid=alice");
    expect(false, GRAY_REASON_ORDER_END);
}

#define RELEASE_TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RELEASE_TEST(zero_admits_nobody_and_all_everybody),
        RELEASE_TEST(the_share_ends_where_it_says),
        RELEASE_TEST(the_holdback_is_never_admitted),
        RELEASE_TEST(deny_stands_above_allow_and_mark),
        RELEASE_TEST(in_entity_scopes_the_mark_stands_first),
        RELEASE_TEST(an_allow_by_list_writes_and_one_by_header_does_not),
        RELEASE_TEST(require_then_match_then_share),
        RELEASE_TEST(marks_say_what_was_told),
        RELEASE_TEST(a_new_attempt_may_admit_the_revoked),
        RELEASE_TEST(a_signed_cookie_shows_an_earlier_admission),
        RELEASE_TEST(evidence_is_asked_last),
        RELEASE_TEST(unknown_admits_by_cookie_alone),
        RELEASE_TEST(no_stickiness_asks_for_no_marks),
        RELEASE_TEST(scope_words_stand_above_all),
        RELEASE_TEST(a_freeze_does_not_hide_other_reasons),
        RELEASE_TEST(a_foreign_word_never_means_open),
        RELEASE_TEST(without_a_unit),
        RELEASE_TEST(an_issued_id_stands_in_for_a_unit),
        RELEASE_TEST(the_first_unit_present_counts),
        RELEASE_TEST(variants_have_a_line_of_their_own),
        RELEASE_TEST(classes_that_are_not_live),
        RELEASE_TEST(too_large_a_request_is_not_decided),
        RELEASE_TEST(an_order_without_rules_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
