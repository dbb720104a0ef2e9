/* SPDX-License-Identifier: Apache-2.0
 * test_table.c - every state x every verb: the table decides, nothing else.
 *
 * Why: a move that is not in the picture is the one that nobody thought of.
 * Read next: control/release/release.def.
 */
#include "tests/control/release/release_case.h"

static const struct {
    enum release_state_number from;
    enum release_verb verb;
    enum release_state_number to;
} moves[] = {
#define RELEASE_MOVE(FROM, VERB, TO) \
    {RELEASE_##FROM, VERB_##VERB, RELEASE_##TO},
#include "control/release/release.def"
};
static const bool reasons[] = {
#define RELEASE_VERB(NAME, word, right, reason, widens, summary) reason,
#include "control/release/release.def"
};
static const bool widens_of[] = {
#define RELEASE_VERB(NAME, word, right, reason, widens, summary) widens,
#include "control/release/release.def"
};

static bool in_table(enum release_state_number from, enum release_verb verb,
                     enum release_state_number *ret_to)
{
    for (size_t i = 0; i < sizeof(moves) / sizeof(moves[0]); i++) {
        if (moves[i].from == from && moves[i].verb == verb) {
            *ret_to = moves[i].to;
            return true;
        }
    }
    return false;
}

/* What no edit of the table may bring in. */
static void the_picture_is_safe(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(moves) / sizeof(moves[0]); i++) {
        enum release_verb verb = moves[i].verb;

        assert_int_not_equal(moves[i].from, RELEASE_COMPLETED);
        if (moves[i].from == RELEASE_FROZEN) {
            assert_true(verb == VERB_THAW || !widens_of[verb]);
            assert_int_not_equal(moves[i].to, RELEASE_PROGRESSING);
        }
        if (moves[i].from == RELEASE_ABORTED) {
            assert_true(verb == VERB_RETRY || verb == VERB_FINISH);
        }
        /* Who lets units in is refused while killed; who ends, never is. */
        assert_true(moves[i].to != RELEASE_PROGRESSING || widens_of[verb]);
        assert_true(moves[i].to != RELEASE_ABORTED || !widens_of[verb]);
    }
}

static bool across(enum release_verb verb)
{
    return verb == VERB_KILL || verb == VERB_UNKILL || verb == VERB_UNDO;
}

static void check_pair(const struct release_facts *facts,
                       enum release_state_number from, enum release_verb verb,
                       unsigned *ret_moved)
{
    struct release_status now = stand(facts, from), next = now;
    struct release_status earlier = stand(facts, RELEASE_PAUSED);
    struct release_event event = event_of(verb);
    struct release_refusal refusal = {0};
    enum release_state_number to = from;
    bool allowed = in_table(from, verb, &to);
    int result;

    event.earlier = &earlier;
    if (verb == VERB_SET_WEIGHT) {
        event.share = 30 * PERCENT;
    } else if (verb == VERB_RETREAT) {
        event.cohort = RELEASE_COHORT_SHARE;
        event.share = PERCENT / 2;
    }
    result = release_move(&now, facts, &event, &next, &refusal);
    if (across(verb)) {
        assert_int_equal(result < 0, from == RELEASE_COMPLETED &&
                                         verb != VERB_UNKILL);
        return;
    }
    if (allowed) {
        assert_int_equal(result, 0);
        assert_int_equal(next.state, to);
        assert_int_equal(next.since, event.now);
        assert_string_equal(next.by, "ann");
        assert_string_equal(next.reason, "because");
        (*ret_moved)++;
        return;
    }
    /* Refused, or so already; nothing changes either way. */
    assert_true(result == -1 || result == 1);
    assert_memory_equal(&next, &now, sizeof(next));
    if (result == -1) {
        assert_string_equal(refusal.code, "not-in-this-state");
        assert_non_null(strstr(refusal.sentence,
                               release_state_word(now.state)));
        assert_true(strncmp(refusal.advice, "gray ", 5) == 0 ||
                    from == RELEASE_COMPLETED);
        assert_true(from == RELEASE_COMPLETED ||
                    strstr(refusal.advice, "cart-2") != NULL);
    }
}

static void the_table_decides(void **state)
{
    struct release_facts facts = facts_of(STEPPED);
    unsigned moved = 0;

    (void)state;
    for (int from = 0; from <= RELEASE_COMPLETED; from++) {
        for (int verb = 0; verb < VERB_COUNT; verb++) {
            check_pair(&facts, (enum release_state_number)from,
                       (enum release_verb)verb, &moved);
        }
    }
    assert_int_equal(moved, sizeof(moves) / sizeof(moves[0]));
}

/* What lets units in is refused while killed, from everywhere. */
static void killed_blocks_what_widens(void **state)
{
    struct release_facts facts = facts_of(STEPPED);

    (void)state;
    for (int from = 0; from < RELEASE_COMPLETED; from++) {
        struct release_status now =
            stand(&facts, (enum release_state_number)from);

        say(&now, &facts, VERB_KILL);
        for (int verb = 0; verb < VERB_COUNT; verb++) {
            struct release_event event = event_of((enum release_verb)verb);
            struct release_status earlier = now, next = now;

            event.share = 60 * PERCENT;
            event.earlier = &earlier;
            if (widens_of[verb]) {
                refuse_event(&now, &facts, &event, "killed",
                             "gray unkill cart-2");
            } else if (release_move(&now, &facts, &event, &next, NULL) == 0) {
                assert_int_equal(next.killed, verb != VERB_UNKILL);
                assert_true(next.share <= now.share);
            }
        }
    }
}

static void reasons_are_asked_for(void **state)
{
    struct release_facts facts = facts_of(STEPPED);
    struct release_status now = stand(&facts, RELEASE_PROGRESSING);
    char longest[RELEASE_REASON_MAX + 2];

    (void)state;
    for (int verb = 0; verb < VERB_COUNT; verb++) {
        struct release_event event = event_of((enum release_verb)verb);
        struct release_refusal refusal = {0};
        struct release_status next;

        event.reason = verb % 2 == 0 ? NULL : " \t";
        event.earlier = &now;
        if (reasons[verb]) {
            refuse_event(&now, &facts, &event, "reason-missing",
                         "--reason TEXT");
        } else if (release_move(&now, &facts, &event, &next, &refusal) < 0) {
            assert_string_not_equal(refusal.code, "reason-missing");
        }
    }
    memset(longest, 'r', sizeof(longest));
    longest[RELEASE_REASON_MAX] = '\0';
    {
        struct release_event event = event_of(VERB_KILL);

        event.reason = longest;
        go(&now, &facts, &event);
        assert_string_equal(now.reason, longest);
        longest[RELEASE_REASON_MAX] = 'r';
        longest[RELEASE_REASON_MAX + 1] = '\0';
        event.verb = VERB_UNKILL;
        refuse_event(&now, &facts, &event, "reason-too-long", NULL);
    }
}

static void words(void **state)
{
    enum release_verb verb;

    (void)state;
    for (int i = 0; i < VERB_COUNT; i++) {
        verb = VERB_COUNT;
        assert_int_equal(
            release_verb_parse(release_verb_word((enum release_verb)i), &verb),
            0);
        assert_int_equal(verb, i);
    }
    assert_int_equal(release_verb_parse("Start", &verb), -1);
    assert_int_equal(release_verb_parse("", &verb), -1);
    assert_int_equal(release_verb_right(VERB_START), RIGHT_CHANGE);
    assert_int_equal(release_verb_right(VERB_UNDO), RIGHT_OVERRIDE);
    assert_int_equal(release_verb_right(VERB_COUNT), ~0u);
    assert_string_equal(release_verb_word(VERB_COUNT), "?");
    assert_string_equal(release_state_word(RELEASE_FROZEN), "Frozen");
    assert_string_equal(release_phase_word(RELEASE_ABORTED), "Degraded");
    assert_string_equal(
        release_state_word((enum release_state_number)99), "?");
    assert_string_equal(
        release_phase_word((enum release_state_number)99), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_picture_is_safe),
        cmocka_unit_test(the_table_decides),
        cmocka_unit_test(killed_blocks_what_widens),
        cmocka_unit_test(reasons_are_asked_for),
        cmocka_unit_test(words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
