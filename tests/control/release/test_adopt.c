/* SPDX-License-Identifier: Apache-2.0
 * test_adopt.c - whatever word the host says, from whatever state, it wins.
 *
 * Read next: control/release/adopt.c.
 */
#include "tests/control/release/release_case.h"

static struct release_status adopt(const struct release_status *now,
                                   const struct release_facts *facts,
                                   uint32_t word, int expected)
{
    struct release_status next;

    assert_int_equal(release_adopt(now, facts, word, 3000, "host: ann",
                                   "three in the morning", &next),
                     expected);
    return next;
}

static void every_word_from_every_state(void **state)
{
    struct release_facts facts = facts_of(STEPPED);

    (void)state;
    for (int from = 0; from <= RELEASE_COMPLETED; from++) {
        for (unsigned variant = 0; variant < 2; variant++) {
            struct release_status now =
                stand(&facts, (enum release_state_number)from);

            if (variant == 1 && from != RELEASE_COMPLETED) {
                say(&now, &facts, VERB_KILL);
            }
            for (uint32_t word = 0; word <= GRAY_WORD_KILLED; word++) {
                bool same = word == release_word(&now);
                struct release_status next =
                    adopt(&now, &facts, word | GRAY_WORD_HOST, same ? 1 : 0);

                assert_int_equal(release_word(&next), word);
                assert_true(next.share <= now.share);
                if (same) {
                    assert_memory_equal(&next, &now, sizeof(next));
                    continue;
                }
                assert_string_equal(next.by, "host: ann");
                assert_string_equal(next.reason, "three in the morning");
                assert_int_equal(next.since, 3000);
                /* And it is a state that can be stored. */
                json_t *stored = release_status_json(&next);
                assert_int_equal(release_status_parse(stored, &now), 0);
                json_decref(stored);
                now = stand(&facts, (enum release_state_number)from);
                if (variant == 1 && from != RELEASE_COMPLETED) {
                    say(&now, &facts, VERB_KILL);
                }
            }
        }
    }
}

static void each_word_has_its_state(void **state)
{
    struct release_facts facts = facts_of(STEPPED);
    struct release_status now = stand(&facts, RELEASE_PROMOTED);
    struct release_status frozen =
        adopt(&now, &facts, GRAY_WORD_NO_ADMIT, 0);
    struct release_status aborted =
        adopt(&now, &facts, GRAY_WORD_BASELINE, 0);
    struct release_status killed = adopt(&now, &facts, GRAY_WORD_KILLED, 0);
    struct release_status open;

    (void)state;
    assert_int_equal(frozen.state, RELEASE_FROZEN);
    assert_true(frozen.frozen_promoted);
    assert_int_equal(adopt(&frozen, &facts, GRAY_WORD_OPEN, 0).state,
                     RELEASE_PROMOTED);
    assert_int_equal(aborted.state, RELEASE_ABORTED);
    assert_int_equal(aborted.share, 0);
    assert_string_equal(aborted.completion, "Aborted");
    /* Opened again: nobody comes in by that alone, and it is a new attempt. */
    open = adopt(&aborted, &facts, GRAY_WORD_OPEN, 0);
    assert_int_equal(open.state, RELEASE_INITIALIZED);
    assert_int_equal(open.share, 0);
    assert_int_equal(open.attempt, 2);
    say(&open, &facts, VERB_START);
    assert_true(killed.killed);
    assert_int_equal(killed.state, RELEASE_PROMOTED);
    open = adopt(&killed, &facts, GRAY_WORD_OPEN, 0);
    assert_false(open.killed);
    assert_int_equal(open.share, GRAY_SHARE_ALL);
    /* A release that has not begun, held and let go, has still not begun. */
    now = begin(&facts);
    frozen = adopt(&now, &facts, GRAY_WORD_NO_ADMIT, 0);
    assert_int_equal(frozen.state, RELEASE_FROZEN);
    say(&frozen, &facts, VERB_THAW);
    assert_int_equal(frozen.state, RELEASE_INITIALIZED);
}

static void what_is_over_stays_over(void **state)
{
    struct release_facts facts = facts_of(STEPPED);
    struct release_status now = stand(&facts, RELEASE_COMPLETED);
    struct release_status ended = adopt(&now, &facts, GRAY_WORD_BASELINE, 0);

    (void)state;
    assert_int_equal(ended.state, RELEASE_COMPLETED);
    assert_int_equal(release_word(&ended), GRAY_WORD_BASELINE);
    ended = adopt(&ended, &facts, GRAY_WORD_OPEN, 0);
    assert_int_equal(ended.state, RELEASE_COMPLETED);
    assert_int_equal(release_word(&ended), GRAY_WORD_BASELINE);
}

static void long_texts_are_cut_between_characters(void **state)
{
    struct release_facts facts = facts_of(STEPPED);
    struct release_status now = begin(&facts), next;
    char reason[RELEASE_REASON_MAX + 40];

    (void)state;
    reason[0] = 'x';
    for (size_t i = 1; i + 3 < sizeof(reason); i += 3) {
        memcpy(reason + i, "\xe7\x81\xb0", 4); /* a character of 3 bytes */
    }
    assert_int_equal(release_adopt(&now, &facts, GRAY_WORD_KILLED, 1, NULL,
                                   reason, &next),
                     0);
    assert_string_equal(next.by, "");
    assert_int_equal(strlen(next.reason) % 3, 1);
    assert_true(strlen(next.reason) > RELEASE_REASON_MAX - 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_word_from_every_state),
        cmocka_unit_test(each_word_has_its_state),
        cmocka_unit_test(what_is_over_stays_over),
        cmocka_unit_test(long_texts_are_cut_between_characters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
