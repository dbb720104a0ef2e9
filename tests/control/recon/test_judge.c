/* SPDX-License-Identifier: Apache-2.0
 * test_judge.c - one unit's facts and the sentences of R1 to R7.
 *
 * Why: a sentence of docs/recon.md is a line here: the facts of one unit on the
 * left, the differences that follow on the right, for each mode and
 * stickiness.  The rules of a day are a stand-in that says what the line says.
 * Read next: control/recon/judge.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control/marks/record.h"
#include "control/recon/judge.h"
#include "runtime/runtime.h"

#define HOUR INT64_C(3600000)

/* ---- the rules of a day, as this test says them --------------------------------- */

static struct rules_span spans[4];
static size_t span_count;
static uint8_t stickiness;
static bool decides_in, judges;

size_t rules_spans(const struct rules *rules,
                   const struct rules_span **ret_spans)
{
    (void)rules;
    *ret_spans = spans;
    return span_count;
}

const struct rules_span *rules_of(const struct rules *rules, uint64_t revision)
{
    const struct rules_span *found = NULL;

    (void)rules;
    for (size_t i = 0; i < span_count && spans[i].revision <= revision; i++) {
        found = &spans[i];
    }
    return found;
}

size_t rules_around(const struct rules *rules, int64_t at, int64_t slack,
                    uint64_t *ret_revisions, size_t most)
{
    size_t count = 0;

    (void)rules;
    for (size_t i = 0; i < span_count && count < most; i++) {
        if (spans[i].at <= at + slack && spans[i].until > at - slack) {
            ret_revisions[count++] = spans[i].revision;
        }
    }
    return count;
}

uint8_t rules_stickiness(const struct rules *rules)
{
    (void)rules;
    return stickiness;
}

uint32_t rules_lease_ms(const struct rules *rules)
{
    (void)rules;
    return 10000;
}

void rules_decide(struct rules *rules, uint64_t revision, int64_t at,
                  struct gray_str unit,
                  const struct rules_attribute *attributes,
                  struct rules_verdict *ret_verdict)
{
    (void)rules, (void)revision, (void)at, (void)unit, (void)attributes;
    *ret_verdict = (struct rules_verdict){
        .judged = judges,
        .in = decides_in,
        .reason = decides_in ? GRAY_REASON_SHARE : GRAY_REASON_OUT_OF_SHARE,
        .bucket = 5,
        .share = 10,
        .why = judges ? "" : "no column",
    };
}

/* ---- one unit ---------------------------------------------------------------------- */

static struct check check;
static struct check_compare compare = {"amount", "net", 0};
static struct check_constraint constraint = {.old = "amount",
                                             .equals = "amount"};
static struct facts facts;
static char found[600];

static void difference(void *context, const struct difference *d)
{
    size_t length = strlen(found);

    (void)context;
    snprintf(found + length, sizeof(found) - length, "%sR%d/%s",
             length > 0 ? " " : "", (int)d->rule + 1, d->what);
}

static void not_judged(void *context, enum recon_rule rule, const char *why)
{
    size_t length = strlen(found);

    (void)context, (void)why;
    snprintf(found + length, sizeof(found) - length, "%s?R%d",
             length > 0 ? " " : "", (int)rule + 1);
}

static void begin(bool entity, bool moves, bool in)
{
    check = (struct check){.moves = moves,
                           .compares = &compare,
                           .compare_count = 1,
                           .constraints = &constraint,
                           .constraint_count = 1,
                           .slack = 2000};
    check.rows[SIDE_UPSTREAM].there = check.rows[SIDE_GRAY].there =
        check.rows[SIDE_OLD].there = true;
    check.rows[SIDE_GRAY].corrected = "fixed";
    stickiness = entity ? GRAY_STICKY_ENTITY : GRAY_STICKY_MONOTONIC;
    decides_in = in;
    judges = true;
    span_count = 1;
    spans[0] = (struct rules_span){.revision = 1, .at = 0, .until = INT64_MAX,
                                   .share = 10, .word = GRAY_WORD_OPEN,
                                   .known = true};
    assert_true(facts_begin(&facts, (struct gray_str){"u", 1}));
}

static void mark(enum gray_slot_state state, int64_t at,
                 enum record_kind kind)
{
    struct fact_mark record;

    memset(&record, 0, sizeof(record));
    record.revision = 1;
    record.at = at;
    record.state = (uint8_t)state;
    record.kind = (uint8_t)kind;
    record.attempt = 1;
    record.reason = state == GRAY_SLOT_IN ? GRAY_REASON_SHARE
                                          : GRAY_REASON_OUT_OF_SHARE;
    record.reader = RECORD_READER_NONE;
    record.by_hand = kind != RECORD_ADMIT;
    assert_true(facts_add(&facts, FACT_MARK, &record, sizeof(record)));
}

static void row(enum check_side side, int64_t at, const char *value,
                const char *fixed)
{
    char packed[200];
    struct gray_str values[2] = {{value, (uint32_t)strlen(value)},
                                 {fixed, fixed != NULL ? 3 : 0}};
    struct fact_row fact = {.key = {"k", 1},
                            .created = at,
                            .inside = true,
                            .values = values,
                            .value_count = 2};
    size_t length;

    if (side == SIDE_UPSTREAM) {
        values[1] = values[0];
    }
    length = fact_row_pack(&fact, packed, sizeof(packed));
    assert_true(length > 0);
    assert_true(facts_add(&facts, FACT_ROW + (int)side, packed, length));
}

static void says(const char *wanted)
{
    struct bins bins = {0};
    struct judge judge = {.check = &check,
                          .bins = &bins,
                          .from = 0,
                          .until = 100 * HOUR,
                          .report = {difference, not_judged, NULL}};

    found[0] = '\0';
    judge_unit(&judge, &facts);
    bins_free(&bins);
    assert_string_equal(found, wanted);
}

/* What the unit of an entity release has, one line a case. */
static void an_entity_in_is_the_new_side_s(void **state)
{
    (void)state;
    begin(true, true, true);
    mark(GRAY_SLOT_IN, HOUR, RECORD_ADMIT);
    row(SIDE_UPSTREAM, HOUR, "10", NULL);
    row(SIDE_GRAY, HOUR, "10.0", NULL);
    says("");
    begin(true, true, true);
    mark(GRAY_SLOT_IN, HOUR, RECORD_ADMIT);
    row(SIDE_UPSTREAM, HOUR, "10", NULL);
    row(SIDE_GRAY, HOUR, "11", NULL);
    row(SIDE_GRAY, HOUR, "11", NULL);
    row(SIDE_OLD, HOUR, "10", NULL);
    says("R3/gray-twice R3/both-sides R3/net");
    begin(true, true, true);
    mark(GRAY_SLOT_IN, HOUR, RECORD_ADMIT);
    says("R3/no-upstream");
    begin(true, true, true);
    mark(GRAY_SLOT_IN, HOUR, RECORD_ADMIT);
    row(SIDE_UPSTREAM, HOUR, "10", NULL);
    says("R6/no-gray");
    begin(true, true, false);
    mark(GRAY_SLOT_IN, HOUR, RECORD_ADMIT);
    row(SIDE_UPSTREAM, HOUR, "10", NULL);
    row(SIDE_GRAY, HOUR, "10", NULL);
    says("R2/decision");
}

static void where_a_hit_adds_everybody_is_on_the_old_side(void **state)
{
    (void)state;
    begin(true, false, true);
    mark(GRAY_SLOT_IN, HOUR, RECORD_ADMIT);
    row(SIDE_UPSTREAM, HOUR, "10", NULL);
    row(SIDE_GRAY, HOUR, "10", NULL);
    row(SIDE_OLD, HOUR, "10", NULL);
    says("");
    begin(true, false, true);
    mark(GRAY_SLOT_IN, HOUR, RECORD_ADMIT);
    row(SIDE_UPSTREAM, HOUR, "10", NULL);
    row(SIDE_GRAY, HOUR, "10", NULL);
    says("R4/no-old");
    begin(true, false, false);
    mark(GRAY_SLOT_OUT, HOUR, RECORD_ADMIT);
    row(SIDE_UPSTREAM, HOUR, "10", NULL);
    row(SIDE_OLD, HOUR, "12", NULL);
    says("R4/amount");
}

static void an_entity_out_is_the_old_side_s(void **state)
{
    (void)state;
    begin(true, true, false);
    mark(GRAY_SLOT_OUT, HOUR, RECORD_ADMIT);
    row(SIDE_UPSTREAM, HOUR, "10", NULL);
    row(SIDE_OLD, HOUR, "10", NULL);
    says("");
    begin(true, true, true);
    mark(GRAY_SLOT_OUT, HOUR, RECORD_ADMIT);
    row(SIDE_UPSTREAM, HOUR, "10", NULL);
    row(SIDE_OLD, HOUR, "10", NULL);
    says("R2/decision");
    begin(true, true, false);
    mark(GRAY_SLOT_OUT, HOUR, RECORD_ADMIT);
    row(SIDE_UPSTREAM, HOUR, "10", NULL);
    row(SIDE_GRAY, HOUR, "10", NULL);
    says("R4/gray-row");
    begin(true, true, false);
    row(SIDE_GRAY, HOUR, "10", NULL);
    says("R4/gray-alone");
}

static void the_single_missing_hit_is_said_once(void **state)
{
    (void)state;
    begin(true, true, true);
    row(SIDE_UPSTREAM, HOUR, "10", NULL);
    row(SIDE_OLD, HOUR, "10", NULL);
    says("R6/no-mark");
    begin(true, true, true);
    row(SIDE_UPSTREAM, HOUR, "10", NULL);
    row(SIDE_GRAY, HOUR, "10", NULL);
    says("R6/no-mark");
    begin(true, true, false);
    row(SIDE_UPSTREAM, HOUR, "10", NULL);
    row(SIDE_OLD, HOUR, "10", NULL);
    says("");
}

static void a_freeze_lets_nobody_in_and_misses_nobody(void **state)
{
    const struct rules_span open = {.revision = 1, .at = 0, .until = HOUR,
                                    .word = GRAY_WORD_OPEN, .known = true};
    const struct rules_span frozen = {.revision = 2, .at = HOUR,
                                      .until = 2 * HOUR,
                                      .word = GRAY_WORD_NO_ADMIT,
                                      .known = true};

    (void)state;
    begin(true, true, true);
    spans[0] = open;
    spans[1] = frozen;
    span_count = 2;
    row(SIDE_UPSTREAM, HOUR + HOUR / 2, "10", NULL);
    row(SIDE_OLD, HOUR + HOUR / 2, "10", NULL);
    says("");
    mark(GRAY_SLOT_IN, HOUR + HOUR / 2, RECORD_ADMIT);
    says("R2/frozen R6/no-gray");
    begin(true, true, true);
    spans[0] = open;
    spans[1] = frozen;
    span_count = 2;
    /* Its reader had not heard yet: within lease and slack of the freeze. */
    mark(GRAY_SLOT_IN, HOUR + 5000, RECORD_ADMIT);
    row(SIDE_UPSTREAM, HOUR + 5000, "10", NULL);
    row(SIDE_GRAY, HOUR + 5000, "10", NULL);
    says("");
}

static void who_was_taken_back_has_no_uncorrected_gray_row(void **state)
{
    (void)state;
    for (int entity = 0; entity < 2; entity++) {
        begin(entity, true, true);
        mark(GRAY_SLOT_IN, HOUR, RECORD_ADMIT);
        mark(GRAY_SLOT_REVOKED, 9 * HOUR, RECORD_REVOKE);
        row(SIDE_UPSTREAM, 2 * HOUR, "10", NULL);
        row(SIDE_GRAY, 2 * HOUR, "10", NULL);
        says("R7/gray-row");
        begin(entity, true, true);
        mark(GRAY_SLOT_IN, HOUR, RECORD_ADMIT);
        mark(GRAY_SLOT_REVOKED, 9 * HOUR, RECORD_REVOKE);
        row(SIDE_UPSTREAM, 2 * HOUR, "10", NULL);
        row(SIDE_GRAY, 2 * HOUR, "10", "yes");
        says("");
    }
}

static void a_user_is_in_since_his_mark_and_not_before(void **state)
{
    (void)state;
    begin(false, true, true);
    mark(GRAY_SLOT_IN, 5 * HOUR, RECORD_ADMIT);
    row(SIDE_UPSTREAM, 6 * HOUR, "10", NULL);
    row(SIDE_GRAY, 6 * HOUR, "10", NULL);
    says("");
    begin(false, true, false); /* out by the smaller share of then */
    mark(GRAY_SLOT_IN, 5 * HOUR, RECORD_IMPORT);
    row(SIDE_UPSTREAM, 4 * HOUR, "10", NULL);
    row(SIDE_GRAY, 4 * HOUR, "10", NULL);
    says("?R2"); /* who was imported was in before */
    begin(false, true, true);
    mark(GRAY_SLOT_IN, 5 * HOUR, RECORD_ADMIT);
    row(SIDE_UPSTREAM, 4 * HOUR, "10", NULL);
    row(SIDE_OLD, 4 * HOUR, "10", NULL);
    says("R6/late-mark");
    begin(false, true, true);
    mark(GRAY_SLOT_IN, 5 * HOUR, RECORD_ADMIT);
    row(SIDE_UPSTREAM, 5 * HOUR - 1000, "10", NULL); /* either is right */
    row(SIDE_OLD, 5 * HOUR - 1000, "10", NULL);
    says("");
    begin(false, true, true);
    mark(GRAY_SLOT_IN, HOUR, RECORD_ADMIT); /* needs no row at all */
    says("");
}

static void under_kill_everybody_is_the_old_side_s(void **state)
{
    (void)state;
    begin(false, true, true);
    spans[0].until = 2 * HOUR;
    spans[1] = (struct rules_span){.revision = 2, .at = 2 * HOUR,
                                   .until = 3 * HOUR,
                                   .word = GRAY_WORD_KILLED, .known = true};
    span_count = 2;
    mark(GRAY_SLOT_IN, HOUR, RECORD_ADMIT);
    row(SIDE_UPSTREAM, 2 * HOUR + HOUR / 2, "10", NULL);
    row(SIDE_OLD, 2 * HOUR + HOUR / 2, "10", NULL);
    says("");
}

static void what_is_not_known_is_never_called_good(void **state)
{
    struct fact_mark record;

    (void)state;
    begin(true, true, true);
    judges = false;
    mark(GRAY_SLOT_IN, HOUR, RECORD_ADMIT);
    row(SIDE_UPSTREAM, HOUR, "10", NULL);
    row(SIDE_GRAY, HOUR, "10", NULL);
    says("?R2");
    begin(true, true, true);
    judges = false;
    row(SIDE_UPSTREAM, HOUR, "10", NULL);
    row(SIDE_OLD, HOUR, "10", NULL);
    says("?R6");
    begin(true, true, true);
    memset(&record, 0, sizeof(record));
    record.state = GRAY_SLOT_IN;
    record.damaged = 1;
    facts_add(&facts, FACT_MARK, &record, sizeof(record));
    says("?R1 ?R2 ?R3 ?R4 ?R5 ?R6 ?R7");
    begin(true, true, true);
    mark(GRAY_SLOT_IN, HOUR, RECORD_ADMIT);
    for (unsigned i = 0; i <= FACTS_ROWS_MAX; i++) {
        row(SIDE_GRAY, HOUR, "10", NULL);
    }
    says("?R1 ?R2 ?R3 ?R4 ?R5 ?R6 ?R7");
}

static void decide_logged(bool in, uint64_t revision)
{
    struct fact_decision decision = {.revision = revision, .in = in};

    assert_true(
        facts_add(&facts, FACT_DECISION, &decision, sizeof(decision)));
}

static void every_mark_has_its_decision_record(void **state)
{
    static json_t *logs;

    (void)state;
    logs = json_array();
    for (int i = 0; i < 5; i++) {
        static const char *const wanted[] = {
            "R1/no-decision", "", "R1/other-decision", "R1/other-decision",
            ""};

        begin(true, true, true);
        check.decisions = true;
        check.logs = logs;
        mark(GRAY_SLOT_IN, HOUR, i == 4 ? RECORD_REPAIR : RECORD_ADMIT);
        row(SIDE_UPSTREAM, HOUR, "10", NULL);
        row(SIDE_GRAY, HOUR, "10", NULL);
        if (i == 1) {
            decide_logged(false, 1);
            decide_logged(true, 1);
        } else if (i == 2) {
            decide_logged(false, 1);
        } else if (i == 3) {
            decide_logged(true, 2);
        }
        says(i == 4 ? "?R2" : wanted[i]);
    }
    json_decref(logs);
}

/* VOID was told nobody: the mark never was. */
static void what_is_void_never_was(void **state)
{
    (void)state;
    begin(true, true, false);
    mark(GRAY_SLOT_IN, HOUR, RECORD_ADMIT);
    mark(GRAY_SLOT_VOID, HOUR + 1, RECORD_VOID);
    row(SIDE_UPSTREAM, HOUR, "10", NULL);
    row(SIDE_OLD, HOUR, "10", NULL);
    says("");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_entity_in_is_the_new_side_s),
        cmocka_unit_test(where_a_hit_adds_everybody_is_on_the_old_side),
        cmocka_unit_test(an_entity_out_is_the_old_side_s),
        cmocka_unit_test(the_single_missing_hit_is_said_once),
        cmocka_unit_test(a_freeze_lets_nobody_in_and_misses_nobody),
        cmocka_unit_test(who_was_taken_back_has_no_uncorrected_gray_row),
        cmocka_unit_test(a_user_is_in_since_his_mark_and_not_before),
        cmocka_unit_test(under_kill_everybody_is_the_old_side_s),
        cmocka_unit_test(what_is_not_known_is_never_called_good),
        cmocka_unit_test(every_mark_has_its_decision_record),
        cmocka_unit_test(what_is_void_never_was),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
