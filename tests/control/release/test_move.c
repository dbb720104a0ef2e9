/* SPDX-License-Identifier: Apache-2.0
 * test_move.c - what the table cannot say, verb by verb.
 *
 * Read next: control/release/move.c.
 */
#include "tests/control/release/release_case.h"

#define WITH(more) "{'kind':'Release','name':'cart-2'," more "}"

static void a_release_begins(void **state)
{
    struct release_facts stepped = facts_of(STEPPED), plain = facts_of(PLAIN);
    struct release_facts all = facts_of(WITH("'admission':{'share':100}"));
    struct release_facts none = facts_of(WITH("'priority':1"));
    struct release_facts held =
        facts_of(WITH("'admission':{'share':95,'holdback':5}"));
    struct release_status status = begin(&stepped);

    (void)state;
    assert_int_equal(status.state, RELEASE_INITIALIZED);
    assert_int_equal(status.share, 0);
    assert_int_equal(status.attempt, 1);
    assert_int_equal(status.started, 0);
    assert_string_equal(status.by, "eve");
    status = begin(&plain);
    assert_int_equal(status.state, RELEASE_PROGRESSING);
    assert_int_equal(status.share, 5 * PERCENT);
    assert_int_equal(status.started, 1000);
    status = begin(&all);
    assert_int_equal(status.state, RELEASE_PROMOTED);
    assert_string_equal(status.completion, "Promoted");
    assert_int_equal(begin(&none).state, RELEASE_INITIALIZED);
    assert_int_equal(begin(&held).state, RELEASE_PROMOTED);
}

static void start_knows_how_far(void **state)
{
    struct release_facts facts = facts_of(STEPPED);
    struct release_facts none = facts_of(WITH("'priority':1"));
    struct release_facts green = facts_of(
        WITH("'admission':{'share':3},'strategy':{'blueGreen':{}}"));
    struct release_event event = event_of(VERB_START);
    struct release_status status = begin(&facts);

    (void)state;
    say(&status, &facts, VERB_START);
    assert_int_equal(status.share, 1 * PERCENT);
    assert_int_equal(status.started, 2000);
    nothing(&status, &facts, VERB_START);
    event.share = 7 * PERCENT;
    refuse_event(&status, &facts, &event, "not-in-this-state", NULL);
    status = begin(&facts);
    go(&status, &facts, &event);
    assert_int_equal(status.share, 7 * PERCENT);
    assert_int_equal(status.step, 0);
    status = begin(&facts);
    event.share = 10 * PERCENT;
    go(&status, &facts, &event);
    assert_int_equal(status.step, 2);
    status = begin(&none);
    refuse(&status, &none, VERB_START, "no-weight", "gray set-weight cart-2 1");
    event.share = 0;
    refuse_event(&status, &none, &event, "zero-weight", NULL);
    status = begin(&green);
    say(&status, &green, VERB_START);
    assert_int_equal(status.share, 3 * PERCENT);
    status = begin(&facts);
    event.share = GRAY_SHARE_ALL;
    go(&status, &facts, &event);
    assert_int_equal(status.state, RELEASE_PROMOTED);
}

static void a_weight_only_grows(void **state)
{
    struct release_facts facts = facts_of(STEPPED);
    struct release_status status = stand(&facts, RELEASE_PAUSED);
    struct release_event event = event_of(VERB_SET_WEIGHT);

    (void)state;
    refuse_event(&status, &facts, &event, "weight-missing", NULL);
    weigh(&status, &facts, 20);
    assert_int_equal(status.state, RELEASE_PAUSED);
    assert_int_equal(status.step, 2);
    event.share = 20 * PERCENT;
    assert_int_equal(release_move(&status, &facts, &event, &status, NULL), 1);
    event.share = 20 * PERCENT - 1;
    refuse_event(&status, &facts, &event, "would-shrink",
                 "gray freeze cart-2");
    refuse_event(&status, &facts, &event, "would-shrink", "gray abort cart-2");
    event.share = 0;
    refuse_event(&status, &facts, &event, "zero-weight", "gray abort cart-2");
    event.share = GRAY_SHARE_ALL + 1;
    refuse_event(&status, &facts, &event, "beyond-all", NULL);
    weigh(&status, &facts, 100);
    assert_int_equal(status.state, RELEASE_PROMOTED);
    assert_string_equal(status.completion, "Promoted");
    event.share = GRAY_SHARE_ALL;
    assert_int_equal(release_move(&status, &facts, &event, &status, NULL), 1);
}

static void everyone_is_all_but_the_held_back(void **state)
{
    struct release_facts facts =
        facts_of(WITH("'admission':{'share':1,'holdback':5}"));
    struct release_status status = begin(&facts);
    struct release_event event = event_of(VERB_SET_WEIGHT);

    (void)state;
    event.share = 96 * PERCENT;
    refuse_event(&status, &facts, &event, "beyond-all",
                 "gray set-weight cart-2 95");
    weigh(&status, &facts, 95);
    assert_int_equal(status.state, RELEASE_PROMOTED);
}

static void promote_walks_the_weights(void **state)
{
    static const uint32_t shares[] = {10, 50, 100};
    static const uint32_t steps[] = {2, 3, 4};
    struct release_facts facts = facts_of(STEPPED), plain = facts_of(PLAIN);
    struct release_event full = event_of(VERB_PROMOTE);
    struct release_status status = stand(&facts, RELEASE_PAUSED);

    (void)state;
    full.full = true;
    assert_int_equal(release_next_share(&status, &facts), 10 * PERCENT);
    for (size_t i = 0; i < 3; i++) {
        say(&status, &facts, VERB_PROMOTE);
        assert_int_equal(status.share, shares[i] * PERCENT);
        assert_int_equal(status.step, steps[i]);
        assert_int_equal(status.state, i < 2 ? RELEASE_PROGRESSING
                                             : RELEASE_PROMOTED);
    }
    assert_string_equal(status.completion, "Promoted");
    assert_int_equal(release_next_share(&status, &facts), RELEASE_NO_SHARE);
    nothing(&status, &facts, VERB_PROMOTE);
    status = stand(&facts, RELEASE_PROGRESSING);
    go(&status, &facts, &full);
    assert_int_equal(status.state, RELEASE_PROMOTED);
    assert_string_equal(status.completion, "FastPromoted");
    status = begin(&plain);
    refuse(&status, &plain, VERB_PROMOTE, "no-weight", "--full");
    assert_int_equal(release_next_share(&status, &plain), RELEASE_NO_SHARE);
    go(&status, &plain, &full);
    assert_int_equal(status.state, RELEASE_PROMOTED);
    /* Beyond the last weight is everyone. */
    facts = facts_of(WITH("'strategy':{'canary':{'steps':[{'setWeight':5}]}}"));
    status = stand(&facts, RELEASE_PROGRESSING);
    weigh(&status, &facts, 5);
    say(&status, &facts, VERB_PROMOTE);
    assert_int_equal(status.state, RELEASE_PROMOTED);
}

static void freeze_needs_marks_and_remembers(void **state)
{
    struct release_facts facts = facts_of(STEPPED);
    struct release_facts none =
        facts_of(WITH("'stickiness':'none','admission':{'share':5}"));
    struct release_status status = begin(&none);
    struct release_event keep = event_of(VERB_ABORT);

    (void)state;
    refuse(&status, &none, VERB_FREEZE, "no-marks", "gray stop cart-2");
    keep.on_abort = 1;
    refuse_event(&status, &none, &keep, "no-marks", "gray abort cart-2");
    status = stand(&facts, RELEASE_PROGRESSING);
    say(&status, &facts, VERB_FREEZE);
    assert_int_equal(release_word(&status), GRAY_WORD_NO_ADMIT);
    nothing(&status, &facts, VERB_FREEZE);
    refuse(&status, &facts, VERB_PROMOTE, "not-in-this-state",
           "gray thaw cart-2");
    say(&status, &facts, VERB_THAW);
    assert_int_equal(status.state, RELEASE_PAUSED);
    assert_int_equal(status.share, 1 * PERCENT);
    nothing(&status, &facts, VERB_THAW);
    weigh(&status, &facts, 100);
    say(&status, &facts, VERB_FREEZE);
    assert_true(status.frozen_promoted);
    say(&status, &facts, VERB_THAW);
    assert_int_equal(status.state, RELEASE_PROMOTED);
    assert_false(status.frozen_promoted);
    assert_string_equal(status.completion, "Promoted");
}

static void abort_ends_and_retry_begins(void **state)
{
    struct release_facts facts = facts_of(STEPPED);
    struct release_facts keeps = facts_of(WITH(
        "'strategy':{'canary':{'onAbort':'keep','steps':[{'setWeight':2}]}}"));
    struct release_event event = event_of(VERB_ABORT);
    struct release_status status = stand(&facts, RELEASE_PROMOTED);

    (void)state;
    say(&status, &facts, VERB_ABORT);
    assert_int_equal(status.share, 0);
    assert_string_equal(status.completion, "Aborted");
    assert_int_equal(release_word(&status), GRAY_WORD_BASELINE);
    nothing(&status, &facts, VERB_ABORT);
    nothing(&status, &facts, VERB_STOP);
    refuse(&status, &facts, VERB_START, "not-in-this-state",
           "gray retry cart-2 begins a new attempt");
    event.on_abort = 1;
    refuse_event(&status, &facts, &event, "not-in-this-state", NULL);
    say(&status, &facts, VERB_RETRY);
    assert_int_equal(status.state, RELEASE_PROGRESSING);
    assert_int_equal(status.share, 1 * PERCENT);
    assert_int_equal(status.attempt, 2);
    assert_string_equal(status.completion, "");
    assert_int_equal(release_word(&status), GRAY_WORD_OPEN);
    status = stand(&keeps, RELEASE_PROGRESSING);
    say(&status, &keeps, VERB_ABORT);
    assert_true(status.keep);
    assert_int_equal(release_word(&status), GRAY_WORD_NO_ADMIT);
    say(&status, &keeps, VERB_RETRY);
    assert_false(status.keep);
    event.on_abort = 2;
    go(&status, &keeps, &event);
    assert_false(status.keep);
}

static void retry_needs_a_weight_and_an_attempt(void **state)
{
    struct release_facts facts = facts_of(WITH("'priority':1"));
    struct release_event event = event_of(VERB_RETRY);
    struct release_status status = stand(&facts, RELEASE_ABORTED);

    (void)state;
    refuse(&status, &facts, VERB_RETRY, "no-weight", "gray retry cart-2 1");
    event.share = 4 * PERCENT;
    go(&status, &facts, &event);
    assert_int_equal(status.share, 4 * PERCENT);
    status = stand(&facts, RELEASE_ABORTED);
    status.attempt = RELEASE_ATTEMPT_MAX - 1;
    go(&status, &facts, &event);
    assert_int_equal(status.attempt, RELEASE_ATTEMPT_MAX);
    say(&status, &facts, VERB_ABORT);
    refuse_event(&status, &facts, &event, "too-many-attempts", NULL);
}

static void stop_asks_nothing(void **state)
{
    struct release_facts facts = facts_of(STEPPED);
    struct release_facts hard = facts_of(
        WITH("'dataCompat':'irreversible','admission':{'share':5}"));
    struct release_facts bare = facts_of(WITH(
        "'dataCompat':'irreversible','stickiness':'none',"
        "'admission':{'share':5}"));
    struct release_facts unstarted =
        facts_of(WITH("'dataCompat':'irreversible'"));
    struct release_event event = event_of(VERB_STOP);
    struct release_status status = stand(&facts, RELEASE_FROZEN);

    (void)state;
    event.reason = NULL;
    go(&status, &facts, &event);
    assert_int_equal(status.state, RELEASE_ABORTED);
    assert_int_equal(release_word(&status), GRAY_WORD_BASELINE);
    status = begin(&hard);
    go(&status, &hard, &event);
    assert_int_equal(status.state, RELEASE_FROZEN);
    assert_int_equal(status.share, 5 * PERCENT);
    nothing(&status, &hard, VERB_STOP);
    status = stand(&hard, RELEASE_PROMOTED);
    go(&status, &hard, &event);
    assert_true(status.frozen_promoted);
    status = begin(&bare);
    go(&status, &bare, &event);
    assert_int_equal(release_word(&status), GRAY_WORD_NO_ADMIT);
    status = begin(&unstarted);
    go(&status, &unstarted, &event);
    assert_int_equal(status.state, RELEASE_ABORTED);
    assert_int_equal(release_word(&status), GRAY_WORD_NO_ADMIT);
}

static void kill_lies_across(void **state)
{
    struct release_facts facts = facts_of(STEPPED);

    (void)state;
    for (int from = 0; from < RELEASE_COMPLETED; from++) {
        struct release_status before =
            stand(&facts, (enum release_state_number)from);
        struct release_status status = before;

        say(&status, &facts, VERB_KILL);
        assert_int_equal(release_word(&status), GRAY_WORD_KILLED);
        assert_int_equal(status.state, from);
        assert_int_equal(status.share, before.share);
        nothing(&status, &facts, VERB_KILL);
        say(&status, &facts, VERB_UNKILL);
        assert_int_equal(release_word(&status), release_word(&before));
        nothing(&status, &facts, VERB_UNKILL);
    }
}

static void undo_goes_where_it_stood(void **state)
{
    struct release_facts facts = facts_of(STEPPED);
    struct release_status earlier = stand(&facts, RELEASE_INITIALIZED);
    struct release_status status = stand(&facts, RELEASE_PROMOTED);
    struct release_event event = event_of(VERB_UNDO);

    (void)state;
    refuse_event(&status, &facts, &event, "no-earlier", NULL);
    event.earlier = &earlier;
    go(&status, &facts, &event);
    assert_int_equal(status.state, RELEASE_INITIALIZED);
    assert_int_equal(status.share, 0);
    earlier = stand(&facts, RELEASE_FROZEN);
    go(&status, &facts, &event);
    assert_int_equal(status.state, RELEASE_PAUSED);
    assert_int_equal(status.share, 1 * PERCENT);
    earlier = stand(&facts, RELEASE_PROMOTED);
    status = stand(&facts, RELEASE_ABORTED);
    status.attempt = 3;
    go(&status, &facts, &event);
    assert_int_equal(status.state, RELEASE_PROMOTED);
    assert_int_equal(status.attempt, 4); /* the abort took their marks */
    assert_string_equal(status.completion, "RolledBack");
    assert_int_equal(release_word(&status), GRAY_WORD_OPEN);
    status = stand(&facts, RELEASE_COMPLETED);
    refuse_event(&status, &facts, &event, "not-in-this-state", NULL);
}

static void an_unknown_verb_is_refused(void **state)
{
    struct release_facts facts = facts_of(STEPPED);
    struct release_status status = begin(&facts);

    (void)state;
    refuse(&status, &facts, VERB_COUNT, "unknown-verb", NULL);
    refuse(&status, &facts, (enum release_verb)-1, "unknown-verb", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_release_begins),
        cmocka_unit_test(start_knows_how_far),
        cmocka_unit_test(a_weight_only_grows),
        cmocka_unit_test(everyone_is_all_but_the_held_back),
        cmocka_unit_test(promote_walks_the_weights),
        cmocka_unit_test(freeze_needs_marks_and_remembers),
        cmocka_unit_test(abort_ends_and_retry_begins),
        cmocka_unit_test(retry_needs_a_weight_and_an_attempt),
        cmocka_unit_test(stop_asks_nothing),
        cmocka_unit_test(kill_lies_across),
        cmocka_unit_test(undo_goes_where_it_stood),
        cmocka_unit_test(an_unknown_verb_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
