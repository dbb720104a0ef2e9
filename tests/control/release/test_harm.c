/* SPDX-License-Identifier: Apache-2.0
 * test_harm.c - retreat, dimensions, and what needs the count of marks.
 *
 * Read next: control/release/harm.c.
 */
#include "tests/control/release/release_case.h"

#define ENTITY                                                              \
    "{'kind':'Release','name':'cart-2','stickiness':'entity','strategy':{"  \
    "'canary':{'steps':[{'setWeight':1},{'setWeight':50}]}}}"
#define STAGED                                                              \
    "{'kind':'Release','name':'cart-2','stickiness':'entity','dataCompat':" \
    "'reversible','dimensions':['create','pay'],'strategy':{'canary':{"     \
    "'steps':[{'setWeight':10},{'setWeight':60}]}}}"

static struct release_event retreat(enum release_cohort cohort, uint32_t share)
{
    struct release_event event = event_of(VERB_RETREAT);

    event.cohort = cohort;
    event.share = share;
    return event;
}

static void a_retreat_makes_it_smaller_and_begins_an_attempt(void **state)
{
    struct release_facts facts = facts_of(STEPPED);
    struct release_status now = stand(&facts, RELEASE_PAUSED), before;
    struct release_event event =
        retreat(RELEASE_COHORT_SHARE, 10 * PERCENT);

    (void)state;
    weigh(&now, &facts, 50);
    before = now;
    go(&now, &facts, &event);
    assert_int_equal(now.share, 10 * PERCENT);
    assert_int_equal(now.state, RELEASE_PAUSED);
    assert_int_equal(now.step, 2);
    assert_int_equal(now.attempt, before.attempt + 1);
    assert_int_equal(release_revokes(&before, &facts, &event, &now),
                     RELEASE_REVOKES_ABOVE);
    assert_int_equal(release_move(&now, &facts, &event, &now, NULL), 1);
    event.share = 20 * PERCENT;
    refuse_event(&now, &facts, &event, "would-grow", "gray set-weight cart-2");
    event.share = 0;
    refuse_event(&now, &facts, &event, "zero-weight", "gray abort cart-2");
    event.share = RELEASE_NO_SHARE;
    refuse_event(&now, &facts, &event, "cohort-missing", "--last N");
    event.reason = " ";
    refuse_event(&now, &facts, &event, "reason-missing", "gray retreat");
    now.attempt = RELEASE_ATTEMPT_MAX;
    event = retreat(RELEASE_COHORT_SHARE, PERCENT);
    refuse_event(&now, &facts, &event, "too-many-attempts", NULL);
}

/* Frozen stays frozen, Promoted is not any more, who is out stays out. */
static void a_retreat_lets_nobody_in(void **state)
{
    struct release_facts facts = facts_of(STEPPED);
    struct release_facts none =
        facts_of("{'kind':'Release','name':'cart-2','stickiness':'none',"
                 "'admission':{'share':5}}");
    struct release_status now = stand(&facts, RELEASE_PROMOTED);
    struct release_status bare = begin(&none);
    struct release_event event = retreat(RELEASE_COHORT_SHARE, PERCENT);

    (void)state;
    say(&now, &facts, VERB_FREEZE);
    go(&now, &facts, &event);
    assert_int_equal(now.state, RELEASE_FROZEN);
    assert_false(now.frozen_promoted);
    assert_string_equal(now.completion, "");
    say(&now, &facts, VERB_THAW);
    assert_int_equal(now.state, RELEASE_PAUSED);
    now = stand(&facts, RELEASE_PROMOTED);
    go(&now, &facts, &event);
    assert_int_equal(now.state, RELEASE_PAUSED);
    event.share = PERCENT / 2;
    refuse_event(&bare, &none, &event, "no-marks", "gray stop cart-2");
}

/* Units of a list, or the newest, are taken out of a share that stays: they
 * come in again by a larger one, which is then a new attempt. */
static void a_list_leaves_the_share_and_widening_begins_an_attempt(void **state)
{
    struct release_facts facts = facts_of(STEPPED);
    struct release_status now = stand(&facts, RELEASE_PROGRESSING), before;
    struct release_event event =
        retreat(RELEASE_COHORT_LISTED, RELEASE_NO_SHARE);

    (void)state;
    before = now;
    go(&now, &facts, &event);
    assert_int_equal(now.share, before.share);
    assert_int_equal(now.state, RELEASE_PROGRESSING);
    assert_int_equal(now.attempt, before.attempt);
    assert_true(now.retreated);
    assert_int_equal(release_revokes(&before, &facts, &event, &now),
                     RELEASE_REVOKES_COHORT);
    event.cohort = RELEASE_COHORT_NEWEST;
    go(&now, &facts, &event);
    say(&now, &facts, VERB_PAUSE);
    say(&now, &facts, VERB_RESUME);
    assert_int_equal(now.attempt, before.attempt);
    say(&now, &facts, VERB_PROMOTE);
    assert_int_equal(now.attempt, before.attempt + 1);
    assert_false(now.retreated);
    say(&now, &facts, VERB_PROMOTE);
    assert_int_equal(now.attempt, before.attempt + 1);
    event = event_of(VERB_SET_WEIGHT);
    event.share = PERCENT;
    refuse_event(&now, &facts, &event, "would-shrink", "gray retreat cart-2");
}

static void nothing_widens_while_marks_are_revoked(void **state)
{
    struct release_facts facts = facts_of(STEPPED);
    struct release_status now = stand(&facts, RELEASE_ABORTED);
    struct release_event event = event_of(VERB_RETRY);

    (void)state;
    event.busy = true;
    refuse_event(&now, &facts, &event, "still-revoking",
                 "gray status cart-2");
    event.busy = false;
    go(&now, &facts, &event);
    event = event_of(VERB_FREEZE);
    event.busy = true;
    go(&now, &facts, &event);
    event.verb = VERB_THAW;
    refuse_event(&now, &facts, &event, "still-revoking", "gray thaw cart-2");
}

/* ---- what the old version cannot read ------------------------------------- */

static void harm(const struct release_status *now,
                 const struct release_facts *facts,
                 struct release_event event)
{
    struct release_status next = *now;

    event.marks = 7;
    refuse_event(now, facts, &event, "forbidden", "gray stop cart-2");
    event.may_override = true;
    refuse_event(now, facts, &event, "would-break", "--breaks 7");
    event.breaks = 6;
    refuse_event(now, facts, &event, "would-break", "--breaks 7");
    event.marks = RELEASE_UNSAID;
    refuse_event(now, facts, &event, "marks-unknown", "gray stop cart-2");
    event.breaks = RELEASE_UNSAID;
    refuse_event(now, facts, &event, "marks-unknown", "gray stop cart-2");
    event.marks = 7;
    event.breaks = 7;
    go(&next, facts, &event);
    /* Nobody is in: nothing breaks. */
    event = (struct release_event) {
        .verb = event.verb, .share = event.share, .cohort = event.cohort,
        .earlier = event.earlier, .by = "ann", .reason = "r", .now = 1,
        .breaks = RELEASE_UNSAID,
    };
    next = *now;
    go(&next, facts, &event);
    event.reason = NULL;
    refuse_event(now, facts, &event, "reason-missing", NULL);
}

static void irreversible_needs_a_person_and_the_count(void **state)
{
    struct release_facts facts = facts_of(ENTITY), easy = facts;
    struct release_status now = stand(&facts, RELEASE_PAUSED), next;
    struct release_status earlier = stand(&facts, RELEASE_INITIALIZED);
    struct release_event event = event_of(VERB_UNDO);

    (void)state;
    assert_int_equal(facts.data_compat, GRAY_DATA_IRREVERSIBLE);
    weigh(&now, &facts, 50);
    harm(&now, &facts, event_of(VERB_ABORT));
    harm(&now, &facts, event_of(VERB_KILL));
    harm(&now, &facts, retreat(RELEASE_COHORT_SHARE, PERCENT));
    harm(&now, &facts, retreat(RELEASE_COHORT_LISTED, RELEASE_NO_SHARE));
    event.earlier = &earlier;
    harm(&now, &facts, event);
    /* What keeps everybody in, and the one button, ask nothing. */
    for (int i = 0; i < 3; i++) {
        event = event_of(i == 0   ? VERB_STOP
                         : i == 1 ? VERB_FREEZE
                                  : VERB_ABORT);
        event.marks = 7;
        event.on_abort = 1;
        next = now;
        go(&next, &facts, &event);
        assert_int_equal(release_revokes(&now, &facts, &event, &next),
                         RELEASE_REVOKES_NONE);
    }
    easy.data_compat = GRAY_DATA_REVERSIBLE;
    event = event_of(VERB_ABORT);
    event.marks = 7;
    next = now;
    go(&next, &easy, &event);
    assert_int_equal(release_revokes(&now, &easy, &event, &next),
                     RELEASE_REVOKES_ALL);
}

/* Without marks nobody knows how many: a person answers for it. */
static void without_marks_a_person_is_enough(void **state)
{
    struct release_facts facts =
        facts_of("{'kind':'Release','name':'cart-2','stickiness':'none',"
                 "'dataCompat':'irreversible','admission':{'share':5}}");
    struct release_status now = begin(&facts);
    struct release_event event = event_of(VERB_KILL);

    (void)state;
    event.marks = RELEASE_UNSAID;
    refuse_event(&now, &facts, &event, "forbidden", "gray stop cart-2");
    event.may_override = true;
    go(&now, &facts, &event);
}

/* ---- dimensions ------------------------------------------------------------- */

static void the_next_dimension_begins_at_the_whole_of_the_one_before(
    void **state)
{
    static const uint32_t shares[] = {10, 60, 100, 10, 60, 100};
    struct release_facts facts = facts_of(STAGED);
    struct release_status now = begin(&facts), earlier;
    struct release_event event = event_of(VERB_SET_WEIGHT);

    (void)state;
    say(&now, &facts, VERB_START);
    earlier = now;
    for (uint32_t i = 0; i < 6; i++) {
        if (i > 0) {
            assert_int_equal(release_next_share(&now, &facts),
                             shares[i] * PERCENT);
            say(&now, &facts, VERB_PROMOTE);
        }
        assert_int_equal(now.share, shares[i] * PERCENT);
        assert_int_equal(now.dimension, i / 3);
        assert_int_equal(now.state, i == 5 ? RELEASE_PROMOTED
                                           : RELEASE_PROGRESSING);
        if (i == 2) {
            event.share = 20 * PERCENT;
            refuse_event(&now, &facts, &event, "would-shrink",
                         "gray promote cart-2 opens the next dimension");
        }
        if (i == 3) {
            struct release_event undo = event_of(VERB_UNDO);

            undo.earlier = &earlier;
            refuse_event(&now, &facts, &undo, "other-dimension",
                         "gray retreat cart-2");
        }
    }
    nothing(&now, &facts, VERB_PROMOTE);
    say(&now, &facts, VERB_ABORT);
    assert_int_equal(now.dimension, 0);
    say(&now, &facts, VERB_RETRY);
    assert_int_equal(now.dimension, 0);
    assert_int_equal(now.share, 10 * PERCENT);
}

static void full_is_the_whole_of_one_dimension(void **state)
{
    struct release_facts facts = facts_of(STAGED);
    struct release_status now = stand(&facts, RELEASE_PROGRESSING);
    struct release_event event = event_of(VERB_PROMOTE);

    (void)state;
    event.full = true;
    go(&now, &facts, &event);
    assert_int_equal(now.state, RELEASE_PROGRESSING);
    assert_int_equal(now.dimension, 0);
    go(&now, &facts, &event);
    assert_int_equal(now.dimension, 1);
    assert_int_equal(now.state, RELEASE_PROMOTED);
}

static void leases_and_dimensions_are_read(void **state)
{
    struct release_facts facts = facts_of(ENTITY);

    (void)state;
    assert_int_equal(facts.lease_ms, RELEASE_LEASE_MS);
    assert_int_equal(facts_of(PLAIN).lease_ms, 0);
    facts = facts_of("{'kind':'Release','name':'a','durability':'strict'}");
    assert_true(facts.strict);
    assert_int_equal(facts.lease_ms, RELEASE_LEASE_MS);
    facts = facts_of("{'kind':'Release','name':'a','admissionLease':'3s'}");
    assert_int_equal(facts.lease_ms, 3000);
    assert_int_equal(facts_of(STAGED).dimensions, 2);
    for (size_t i = 0; i < 3; i++) {
        static const char *const bad[] = {
            "{'kind':'Release','name':'a','admissionLease':'soon'}",
            "{'kind':'Release','name':'a','durability':'sure'}",
            "{'kind':'Release','name':'a','dimensions':{}}"};
        json_t *document = document_of(bad[i]);

        assert_int_equal(release_facts_read(document, &facts), -1);
        json_decref(document);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_retreat_makes_it_smaller_and_begins_an_attempt),
        cmocka_unit_test(a_retreat_lets_nobody_in),
        cmocka_unit_test(
            a_list_leaves_the_share_and_widening_begins_an_attempt),
        cmocka_unit_test(nothing_widens_while_marks_are_revoked),
        cmocka_unit_test(irreversible_needs_a_person_and_the_count),
        cmocka_unit_test(without_marks_a_person_is_enough),
        cmocka_unit_test(
            the_next_dimension_begins_at_the_whole_of_the_one_before),
        cmocka_unit_test(full_is_the_whole_of_one_dimension),
        cmocka_unit_test(leases_and_dimensions_are_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
