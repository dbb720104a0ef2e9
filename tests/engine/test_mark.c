/* SPDX-License-Identifier: Apache-2.0
 * test_mark.c - what was told stays true, and what is not known admits nobody.
 *
 * Why: SEMANTICS 2 and 4, line by line: for every state of a mark, at every
 * kind of stage, the answer, what is recorded, and whether anybody waits or
 * neither version may serve.  The policy is one that no compiler wrote.
 * Read next: ../../engine/mark.c, test_release.c, test_mark_request.c.
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
static struct gray_scope_word words[1];
static struct gray_view view;
static struct gray_release *release;
static struct gray_verdict verdict;

/* What the table, the table under the earlier name, and the cookie say. */
static struct gray_mark table, earlier, cookie_says, cookie_earlier;
static uint32_t asked, asked_earlier, asked_space;

static struct gray_mark ask(void *context, const struct gray_mark_query *query)
{
    (void)context;
    assert_true(query->unit.length > 0);
    assert_int_equal(query->alias != 0, query->unit.data[0] == 'd');
    asked_space = query->space;
    if (query->step == GRAY_STEP_EVIDENCE) {
        return query->alias ? cookie_earlier : cookie_says;
    }
    asked += !query->alias;
    asked_earlier += query->alias;
    return query->alias ? earlier : table;
}

static void mark_is(struct gray_mark *which, uint8_t state)
{
    *which = (struct gray_mark){ .state = state, .attempt = 2 };
}

static void begin(uint8_t stickiness, uint32_t share)
{
    static const uint8_t entity[8] = { GRAY_STEP_MARK,     GRAY_STEP_DENY,
                                       GRAY_STEP_ALLOW,    GRAY_STEP_RULES,
                                       GRAY_STEP_EVIDENCE, GRAY_STEP_END };
    policy_begin(&p);
    policy_release(&p, "cart-2", policy_slot(&p, GRAY_SOURCE_COOKIE, "uid"),
                   share);
    release = &p.releases[0];
    release->stickiness = stickiness;
    release->attempt = 2;
    release->alias_slot = policy_slot(&p, GRAY_SOURCE_COOKIE, "did");
    if (stickiness == GRAY_STICKY_ENTITY) {
        memcpy(release->order, entity, sizeof(entity));
        release->on_unknown = GRAY_UNKNOWN_REFUSE;
    }
    table = earlier = cookie_says = cookie_earlier = (struct gray_mark){ 0 };
}

static void open_policy(void)
{
    struct gray_problem problem = { 0 };
    if (policy_end(&p, &snapshot, &problem) != 0) {
        fail_msg("%s: %s", problem.code, problem.sentence);
    }
    memset(words, 0, sizeof(words));
    words[0].scope = release->scope;
    view = (struct gray_view){ .policy = &snapshot,
                               .words = words,
                               .word_count = 1 };
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

static void header(const char *name, const char *value)
{
    gray_input_header(&in, gray_hash_name(name, strlen(name)), craft_str(name),
                      craft_str(value));
}

static void request(const char *cookies)
{
    gray_input_begin(&in, &snapshot, 0, 1);
    if (cookies != NULL) {
        header("cookie", cookies);
    }
}

static void expect(bool is_in, enum gray_reason reason, uint8_t record)
{
    memset(&verdict, 0xa5, sizeof(verdict));
    asked = asked_earlier = 0;
    gray_decide_release(&view, 0, &in, ask, NULL, &verdict, NULL);
    assert_string_equal(gray_reason_code(verdict.reason),
                        gray_reason_code(reason));
    assert_int_equal(verdict.in, is_in);
    assert_int_equal(verdict.record, record);
    assert_int_equal(verdict.hold, reason == GRAY_REASON_MARK_HOLD);
    assert_int_equal(verdict.pending, reason == GRAY_REASON_MARK_PENDING);
    assert_in_range(asked, 0, 1);
    assert_in_range(asked_earlier, 0, 1);
}

/* ---- every state, everywhere -------------------------------------------------- */

enum { WRITES, READS, BACKFILLS, NONE_HOLDS, UNDECLARED, PLACES };

/* Everybody would come in by share. */
static const struct {
    uint8_t stickiness, state, place;
    bool is_in;
    uint8_t reason, record;
} lines[] = {
#define LINE(sticky, state, place, in, reason, record)                         \
    { GRAY_STICKY_##sticky,  GRAY_MARK_##state, place, in,                     \
      GRAY_REASON_##reason, GRAY_MARK_##record },
    LINE(MONOTONIC, ABSENT, UNDECLARED, true, SHARE, IN)
    LINE(MONOTONIC, IN, UNDECLARED, true, MARK, ABSENT)
    LINE(MONOTONIC, OUT, UNDECLARED, true, SHARE, ABSENT)
    LINE(MONOTONIC, REVOKED, UNDECLARED, false, REVOKED, ABSENT)
    LINE(MONOTONIC, UNKNOWN, UNDECLARED, false, MARK_UNKNOWN, ABSENT)
    LINE(MONOTONIC, HOLD, UNDECLARED, false, MARK_UNKNOWN, ABSENT)
    LINE(MONOTONIC, PENDING, UNDECLARED, false, MARK_PENDING, ABSENT)
    LINE(MONOTONIC, CLOSED, UNDECLARED, false, LEASE_OVER, ABSENT)
    LINE(MONOTONIC, ABSENT, WRITES, true, SHARE, IN)
    LINE(MONOTONIC, ABSENT, READS, false, MARK_MISSING, ABSENT)
    LINE(MONOTONIC, ABSENT, BACKFILLS, true, SHARE, IN)
    LINE(MONOTONIC, ABSENT, NONE_HOLDS, false, MARK_MISSING, ABSENT)
    LINE(MONOTONIC, OUT, READS, false, MARK_MISSING, ABSENT)
    LINE(MONOTONIC, IN, READS, true, MARK, ABSENT)
    LINE(MONOTONIC, IN, NONE_HOLDS, true, MARK, ABSENT)
    LINE(MONOTONIC, REVOKED, READS, false, REVOKED, ABSENT)
    LINE(MONOTONIC, UNKNOWN, READS, false, MARK_UNKNOWN, ABSENT)
    LINE(MONOTONIC, PENDING, READS, false, MARK_PENDING, ABSENT)
    LINE(MONOTONIC, CLOSED, READS, false, MARK_MISSING, ABSENT)
    LINE(ENTITY, ABSENT, UNDECLARED, true, SHARE, IN)
    LINE(ENTITY, IN, UNDECLARED, true, MARK, ABSENT)
    LINE(ENTITY, OUT, UNDECLARED, false, MARK_OUT, ABSENT)
    LINE(ENTITY, REVOKED, UNDECLARED, false, REVOKED, ABSENT)
    LINE(ENTITY, UNKNOWN, UNDECLARED, false, MARK_HOLD, ABSENT)
    LINE(ENTITY, HOLD, UNDECLARED, false, MARK_HOLD, ABSENT)
    LINE(ENTITY, PENDING, UNDECLARED, false, MARK_PENDING, ABSENT)
    LINE(ENTITY, CLOSED, UNDECLARED, false, LEASE_OVER, ABSENT)
    LINE(ENTITY, ABSENT, WRITES, true, SHARE, IN)
    LINE(ENTITY, ABSENT, READS, false, MARK_MISSING, ABSENT)
    LINE(ENTITY, ABSENT, NONE_HOLDS, false, MARK_MISSING, ABSENT)
    LINE(ENTITY, IN, READS, true, MARK, ABSENT)
    LINE(ENTITY, OUT, READS, false, MARK_OUT, ABSENT)
    LINE(ENTITY, UNKNOWN, WRITES, false, MARK_UNKNOWN, ABSENT)
    LINE(ENTITY, UNKNOWN, READS, false, MARK_HOLD, ABSENT)
    LINE(ENTITY, UNKNOWN, NONE_HOLDS, false, MARK_HOLD, ABSENT)
    LINE(ENTITY, HOLD, WRITES, false, MARK_UNKNOWN, ABSENT)
    LINE(ENTITY, HOLD, READS, false, MARK_HOLD, ABSENT)
#undef LINE
};

static void add_stages(void)
{
    uint32_t backfills;
    policy_stage(&p, "create", true);
    policy_stage(&p, "update", false);
    p.stages[1].on_unknown = release->on_unknown;
    backfills = policy_stage(&p, "fill", false);
    if (release->stickiness != GRAY_STICKY_ENTITY) {
        p.stages[backfills].on_missing = GRAY_MISSING_BACKFILL;
    }
}

static void every_state_at_every_stage(void **state)
{
    static const char *const names[PLACES] = { "create", "update", "fill",
                                               "elsewhere", "create" };
    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        begin(lines[i].stickiness, GRAY_SHARE_ALL);
        if (lines[i].place != UNDECLARED) {
            add_stages();
        }
        open_policy();
        request("uid=alice");
        in.stage = craft_str(names[lines[i].place]);
        mark_is(&table, lines[i].state);
        if (lines[i].state == GRAY_MARK_CLOSED) {
            table.variant = GRAY_REASON_LEASE_OVER;
        }
        expect(lines[i].is_in, lines[i].reason, lines[i].record);
        assert_int_equal(verdict.stage, lines[i].place < NONE_HOLDS
                                            ? lines[i].place
                                            : GRAY_STAGE_NONE);
        /* Without a unit nobody is asked, and nothing is recorded. */
        request(NULL);
        in.stage = craft_str(names[lines[i].place]);
        expect(false, GRAY_REASON_NO_UNIT, 0);
    }
}

/* Whoever might wait, or is outside, is never recorded as let in: all states,
 * shares, words, classes and earlier names against each other. */
static void what_is_not_known_writes_nothing(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 2u * 2 * 4 * 4 * 3; i++) {
        begin(i & 1 ? GRAY_STICKY_ENTITY : GRAY_STICKY_MONOTONIC,
              i & 2 ? GRAY_SHARE_ALL : 0);
        release->allow = when_header("x-allow", GRAY_RULE_WRITES);
        release->deny = when_header("x-deny", 0);
        open_policy();
        words[0].word = i >> 2 & 3;
        for (uint32_t k = 0; k < 9 * 9; k++) {
            request("uid=alice; did=d1");
            in.traffic_class = (uint8_t)(i >> 4 & 3);
            if (i >> 6 == 1) {
                header("x-allow", "1");
            } else if (i >> 6 == 2) {
                header("x-deny", "1");
            }
            mark_is(&table, (uint8_t)(k % 9));
            mark_is(&earlier, (uint8_t)(k / 9));
            gray_decide_release(&view, 0, &in, ask, NULL, &verdict, NULL);
            bool nothing = table.state == GRAY_MARK_ABSENT &&
                           in.traffic_class == GRAY_CLASS_LIVE;
            assert_true(verdict.record == 0 || nothing);
            assert_true(verdict.record != GRAY_MARK_IN ||
                        (verdict.in && words[0].word == GRAY_WORD_OPEN));
            assert_true(verdict.record != GRAY_MARK_OUT ||
                        (!verdict.in && (i & 1) != 0));
            assert_false(verdict.in && (verdict.hold || verdict.pending));
            if (words[0].word >= GRAY_WORD_BASELINE) {
                assert_false(verdict.in || verdict.hold ||
                             verdict.record == GRAY_MARK_IN);
            }
        }
    }
}

/* ---- stages --------------------------------------------------------------------- */

static void a_stage_is_found_by_name_or_by_its_rules(void **state)
{
    (void)state;
    begin(GRAY_STICKY_MONOTONIC, GRAY_SHARE_ALL);
    add_stages();
    p.stages[0].space = 1;
    for (uint32_t i = 0; i < 2; i++) {
        uint32_t rule = policy_rule_of(
            &p, "stage", GRAY_CONDITION_PRESENT,
            policy_slot(&p, GRAY_SOURCE_HEADER, i ? "x-update" : "x-create"),
            0);
        p.rules[rule].action = i;
    }
    release->stage_rules = policy_ruleset(&p, 2);
    open_policy();
    request("uid=alice");
    expect(false, GRAY_REASON_MARK_MISSING, 0);
    assert_int_equal(verdict.stage, GRAY_STAGE_NONE);
    header("x-update", "1");
    expect(false, GRAY_REASON_MARK_MISSING, 0);
    assert_int_equal(verdict.stage, 1);
    assert_int_equal(asked_space, 0);
    header("x-create", "1");
    expect(true, GRAY_REASON_SHARE, GRAY_MARK_IN);
    assert_int_equal(verdict.stage, 0);
    assert_int_equal(asked_space, 1);
    in.stage = craft_str("update"); /* who names it knows better */
    expect(false, GRAY_REASON_MARK_MISSING, 0);
    in.stage = craft_str("updat");
    expect(false, GRAY_REASON_MARK_MISSING, 0);
    assert_int_equal(verdict.stage, GRAY_STAGE_NONE);
}

/* Dimensions: everyone before the one that moves, nobody after. */
static void each_stage_has_its_share(void **state)
{
    (void)state;
    begin(GRAY_STICKY_ENTITY, 500000);
    add_stages();
    p.stages[0].share = GRAY_SHARE_ALL;
    p.stages[1].share = 0;
    p.stages[1].writes = 1;
    p.stages[1].space = 2;
    open_policy();
    request("uid=alice"); /* bucket 660047 */
    in.stage = craft_str("create");
    expect(true, GRAY_REASON_SHARE, GRAY_MARK_IN);
    in.stage = craft_str("update");
    expect(false, GRAY_REASON_OUT_OF_SHARE, GRAY_MARK_OUT);
    assert_int_equal(asked_space, 2);
    assert_int_equal(verdict.bucket, 660047);
}

/* ---- refusals that are recorded --------------------------------------------------- */

static void an_entity_stays_outside_from_its_first_answer(void **state)
{
    (void)state;
    for (int entity = 0; entity < 2; entity++) {
        uint8_t record = entity ? GRAY_MARK_OUT : 0;
        begin(entity ? GRAY_STICKY_ENTITY : GRAY_STICKY_MONOTONIC, 660047);
        release->deny = when_header("x-deny", 0);
        release->match = when_header("x-match", 0);
        release->holdback = 1000;
        open_policy();
        request("uid=alice");
        expect(false, GRAY_REASON_NO_MATCH, record);
        header("x-match", "1");
        expect(false, GRAY_REASON_OUT_OF_SHARE, record);
        header("x-deny", "1");
        expect(false, GRAY_REASON_DENY, record);
        in.traffic_class = GRAY_CLASS_SHADOW;
        expect(false, GRAY_REASON_DENY, 0);
        in.traffic_class = GRAY_CLASS_LIVE;
        mark_is(&table, GRAY_MARK_REVOKED); /* REVOKED never becomes OUT */
        table.attempt = 1;
        expect(false, GRAY_REASON_DENY, 0);

        begin(entity ? GRAY_STICKY_ENTITY : GRAY_STICKY_MONOTONIC, 0);
        release->holdback = GRAY_SHARE_ALL;
        release->require_insn = policy_insn(
            &p, GRAY_CONDITION_PRESENT,
            policy_slot(&p, GRAY_SOURCE_HEADER, "x-here"), 0,
            POLICY_JUMPS_END);
        release->require_count = 1;
        open_policy();
        request("uid=alice");
        expect(false, GRAY_REASON_REQUIRE, record);
        header("x-here", "1");
        expect(false, GRAY_REASON_HOLDBACK, record);
    }
}

/* SEMANTICS 5: an order created meanwhile stays outside after the thaw; when
 * no mark can be made at all, none is. */
static void a_freeze_records_out_and_a_closed_scope_nothing(void **state)
{
    (void)state;
    for (int entity = 0; entity < 2; entity++) {
        begin(entity ? GRAY_STICKY_ENTITY : GRAY_STICKY_MONOTONIC,
              GRAY_SHARE_ALL);
        open_policy();
        words[0].word = GRAY_WORD_NO_ADMIT;
        request("uid=alice");
        expect(false, GRAY_REASON_NO_ADMIT, entity ? GRAY_MARK_OUT : 0);
        mark_is(&table, GRAY_MARK_IN);
        expect(true, GRAY_REASON_MARK, 0);
        mark_is(&table, GRAY_MARK_CLOSED); /* the freeze says it first */
        table.variant = GRAY_REASON_NOT_DURABLE;
        expect(false, GRAY_REASON_NO_ADMIT, 0);
        words[0].word = GRAY_WORD_OPEN;
        expect(false, GRAY_REASON_NOT_DURABLE, 0);
        table.variant = 0;
        expect(false, GRAY_REASON_MARKS_CLOSED, 0);
        mark_is(&cookie_says, GRAY_MARK_IN);
        expect(true, GRAY_REASON_COOKIE, 0);
        words[0].word = GRAY_WORD_KILLED;
        mark_is(&table, GRAY_MARK_IN);
        expect(false, GRAY_REASON_KILLED, 0);
        /* What begins now is the old version's, whatever comes later. */
        mark_is(&table, GRAY_MARK_ABSENT);
        expect(false, GRAY_REASON_KILLED, entity ? GRAY_MARK_OUT : 0);
        words[0].word = GRAY_WORD_BASELINE;
        expect(false, GRAY_REASON_STOPPED, entity ? GRAY_MARK_OUT : 0);
        mark_is(&table, GRAY_MARK_UNKNOWN);
        expect(false, GRAY_REASON_STOPPED, 0);
    }
}

/* ---- allow ------------------------------------------------------------------------- */

static void an_allow_asks_the_mark_before_it_admits(void **state)
{
    (void)state;
    for (uint16_t flags = 0; flags <= GRAY_RULE_WRITES; flags++) {
        uint8_t record = flags ? GRAY_MARK_IN : 0;
        begin(GRAY_STICKY_MONOTONIC, 0);
        p.variants[1] = p.variants[0];
        p.variants[0].upto = 0; /* nobody's by bucket */
        p.variant_count = 2;
        release->variants.count = 2;
        release->allow = when_header("x-allow", flags);
        open_policy();
        request("uid=alice");
        header("x-allow", "1");
        expect(true, GRAY_REASON_ALLOW, record);
        assert_int_equal(verdict.variant, 1);
        mark_is(&table, GRAY_MARK_REVOKED);
        expect(true, GRAY_REASON_ALLOW, 0);
        table.attempt = 1;
        expect(true, GRAY_REASON_ALLOW, record);
        mark_is(&table, GRAY_MARK_IN); /* the variant that was told */
        expect(true, GRAY_REASON_ALLOW, 0);
        assert_int_equal(verdict.variant, 0);
        mark_is(&table, GRAY_MARK_UNKNOWN);
        expect(false, GRAY_REASON_MARK_UNKNOWN, 0);
        mark_is(&table, GRAY_MARK_PENDING);
        expect(false, GRAY_REASON_MARK_PENDING, 0);
        mark_is(&table, GRAY_MARK_HOLD);
        expect(false, GRAY_REASON_MARK_UNKNOWN, 0);
        mark_is(&table, GRAY_MARK_CLOSED);
        expect(false, GRAY_REASON_MARKS_CLOSED, 0);
    }
}

/* ---- the earlier name ----------------------------------------------------------------- */

static void the_earlier_answer_is_kept(void **state)
{
    (void)state;
    for (int entity = 0; entity < 2; entity++) {
        begin(entity ? GRAY_STICKY_ENTITY : GRAY_STICKY_MONOTONIC, 0);
        add_stages();
        open_policy();
        request("uid=alice; did=d1");
        in.stage = craft_str("create");
        mark_is(&earlier, GRAY_MARK_IN);
        expect(true, GRAY_REASON_ALIAS, GRAY_MARK_IN);
        assert_int_equal(verdict.admit, 1);
        words[0].word = GRAY_WORD_NO_ADMIT; /* stays in, nothing new */
        expect(true, GRAY_REASON_ALIAS, 0);
        words[0].word = GRAY_WORD_OPEN;
        mark_is(&table, GRAY_MARK_CLOSED);
        expect(true, GRAY_REASON_ALIAS, 0);
        mark_is(&table, GRAY_MARK_ABSENT);
        in.stage = craft_str("update"); /* only reads */
        expect(true, GRAY_REASON_ALIAS, 0);
        assert_int_equal(verdict.admit, 0);
        in.stage = craft_str("create");
        mark_is(&earlier, GRAY_MARK_OUT);
        expect(false, entity ? GRAY_REASON_ALIAS : GRAY_REASON_OUT_OF_SHARE,
               entity ? GRAY_MARK_OUT : 0);
        mark_is(&earlier, GRAY_MARK_UNKNOWN);
        expect(false, GRAY_REASON_MARK_UNKNOWN, 0);
        mark_is(&earlier, GRAY_MARK_PENDING);
        expect(false, GRAY_REASON_MARK_PENDING, 0);
        mark_is(&earlier, GRAY_MARK_CLOSED);
        expect(false, GRAY_REASON_OUT_OF_SHARE, 0);
        mark_is(&table, GRAY_MARK_IN); /* its own mark is enough */
        expect(true, GRAY_REASON_MARK, 0);
        assert_int_equal(asked_earlier, 0);
        request("uid=alice; did=");
        mark_is(&table, GRAY_MARK_ABSENT);
        in.stage = craft_str("create");
        expect(false, GRAY_REASON_OUT_OF_SHARE, entity ? GRAY_MARK_OUT : 0);
        assert_int_equal(asked_earlier, 0);
    }
}

static void an_issued_id_is_an_earlier_name(void **state)
{
    (void)state;
    begin(GRAY_STICKY_MONOTONIC, 0);
    release->anonymous = GRAY_ANONYMOUS_COOKIE;
    release->alias_slot = GRAY_NONE;
    open_policy();
    request("uid=alice");
    gray_input_named(&in, GRAY_SOURCE_UNIT, craft_str(""), craft_str("d7"));
    mark_is(&earlier, GRAY_MARK_IN);
    expect(true, GRAY_REASON_ALIAS, GRAY_MARK_IN);
    assert_false(in.anonymous_used);
    mark_is(&earlier, GRAY_MARK_ABSENT);
    expect(false, GRAY_REASON_OUT_OF_SHARE, 0);
    mark_is(&cookie_earlier, GRAY_MARK_IN);
    expect(true, GRAY_REASON_COOKIE, GRAY_MARK_IN);
    assert_int_equal(verdict.admit, 1);
    cookie_earlier.attempt = 1;
    expect(false, GRAY_REASON_OUT_OF_SHARE, 0);
}

static void a_cookie_becomes_a_mark_where_there_is_none(void **state)
{
    (void)state;
    begin(GRAY_STICKY_MONOTONIC, 0);
    add_stages();
    open_policy();
    request("uid=alice");
    mark_is(&cookie_says, GRAY_MARK_IN);
    in.stage = craft_str("create");
    expect(true, GRAY_REASON_COOKIE, GRAY_MARK_IN);
    in.stage = craft_str("update"); /* may let in, and only reads */
    expect(true, GRAY_REASON_COOKIE, 0);
    in.stage = craft_str("create");
    words[0].word = GRAY_WORD_NO_ADMIT;
    expect(true, GRAY_REASON_COOKIE, 0);
    words[0].word = GRAY_WORD_OPEN;
    mark_is(&table, GRAY_MARK_UNKNOWN);
    expect(true, GRAY_REASON_COOKIE, 0);
    mark_is(&table, GRAY_MARK_HOLD); /* even a cookie does not help */
    expect(false, GRAY_REASON_MARK_UNKNOWN, 0);
    mark_is(&table, GRAY_MARK_OUT);
    expect(true, GRAY_REASON_COOKIE, 0);
}

/* A cookie that is asked before the mark must not record where one stands:
 * the second implementation of the vectors found that it did. */
static void a_cookie_asked_first_records_nothing_over_a_mark(void **state)
{
    static const uint8_t order[8] = { GRAY_STEP_EVIDENCE, GRAY_STEP_MARK,
                                      GRAY_STEP_RULES, GRAY_STEP_END };
    (void)state;
    begin(GRAY_STICKY_MONOTONIC, 0);
    memcpy(release->order, order, sizeof(order));
    open_policy();
    request("uid=alice");
    mark_is(&cookie_says, GRAY_MARK_IN);
    expect(true, GRAY_REASON_COOKIE, GRAY_MARK_IN);
    for (uint8_t i = GRAY_MARK_IN; i <= GRAY_MARK_CLOSED; i++) {
        mark_is(&table, i);
        expect(true, GRAY_REASON_COOKIE, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_state_at_every_stage),
        cmocka_unit_test(what_is_not_known_writes_nothing),
        cmocka_unit_test(a_stage_is_found_by_name_or_by_its_rules),
        cmocka_unit_test(each_stage_has_its_share),
        cmocka_unit_test(an_entity_stays_outside_from_its_first_answer),
        cmocka_unit_test(a_freeze_records_out_and_a_closed_scope_nothing),
        cmocka_unit_test(an_allow_asks_the_mark_before_it_admits),
        cmocka_unit_test(the_earlier_answer_is_kept),
        cmocka_unit_test(an_issued_id_is_an_earlier_name),
        cmocka_unit_test(a_cookie_becomes_a_mark_where_there_is_none),
        cmocka_unit_test(a_cookie_asked_first_records_nothing_over_a_mark),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
