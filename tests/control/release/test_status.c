/* SPDX-License-Identifier: Apache-2.0
 * test_status.c - a state survives the store; what is damaged is refused.
 *
 * Read next: control/release/status.c.
 */
#include <stdlib.h>

#include "tests/control/release/release_case.h"

static void there_and_back(void **state)
{
    struct release_facts facts = facts_of(STEPPED);

    (void)state;
    for (int i = 0; i <= RELEASE_COMPLETED; i++) {
        struct release_status now =
            stand(&facts, (enum release_state_number)i);
        struct release_status parsed;
        json_t *stored;

        memset(now.reason, 'r', RELEASE_REASON_MAX);
        memset(now.by, 'b', IDENTITY_NAME_MAX);
        now.attempt = RELEASE_ATTEMPT_MAX;
        stored = release_status_json(&now);
        assert_non_null(stored);
        memset(&parsed, 0, sizeof(parsed));
        assert_int_equal(release_status_parse(stored, &parsed), 0);
        assert_memory_equal(&parsed, &now, sizeof(now));
        json_decref(stored);
    }
}

/* One member changed. */
static void refused(const struct release_status *now, const char *key,
                    json_t *value)
{
    json_t *stored = release_status_json(now);
    struct release_status parsed, untouched;

    memset(&parsed, 3, sizeof(parsed));
    memset(&untouched, 3, sizeof(untouched));
    if (value == NULL) {
        json_object_del(stored, key);
    } else {
        json_object_set_new(stored, key, value);
    }
    if (release_status_parse(stored, &parsed) != -1) {
        fail_msg("taken with another %s", key);
    }
    assert_memory_equal(&parsed, &untouched, sizeof(parsed));
    json_decref(stored);
}

static void what_is_wrong_is_refused(void **state)
{
    static const char *const keys[] = {
        "state", "share", "step", "attempt", "killed", "keep",
        "frozenPromoted", "completion", "since", "started", "by", "reason"};
    struct release_facts facts = facts_of(STEPPED);
    struct release_status now = stand(&facts, RELEASE_PROGRESSING);
    struct release_status ended = stand(&facts, RELEASE_ABORTED);
    struct release_status over = stand(&facts, RELEASE_COMPLETED);
    char longest[RELEASE_REASON_MAX + 2];

    (void)state;
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        refused(&now, keys[i], NULL);
        refused(&now, keys[i], json_array());
        refused(&now, keys[i], json_null());
    }
    memset(longest, 'r', sizeof(longest));
    longest[sizeof(longest) - 1] = '\0';
    refused(&now, "reason", json_string(longest));
    refused(&now, "by", json_string(longest));
    refused(&now, "by", json_stringn("a\0b", 3));
    refused(&now, "state", json_string("Running"));
    refused(&now, "completion", json_string("Half"));
    refused(&now, "completion", json_string("Aborted"));
    refused(&now, "share", json_integer(GRAY_SHARE_ALL + 1));
    refused(&now, "share", json_integer(-1));
    refused(&now, "share", json_real(5));
    refused(&now, "attempt", json_integer(0));
    refused(&now, "attempt", json_integer(RELEASE_ATTEMPT_MAX + 1));
    refused(&now, "killed", json_integer(0));
    refused(&now, "keep", json_true());
    refused(&now, "frozenPromoted", json_true());
    refused(&now, "state", json_string("Initialized")); /* with a share */
    refused(&ended, "share", json_integer(1));
    refused(&ended, "completion", json_string(""));
    refused(&over, "completion", json_string("Aborted")); /* with a share */
    assert_int_equal(release_status_parse(NULL, &now), -1);
}

/* Bytes of a stored state, changed here and there, cut, doubled. */
static void any_bytes(void **state)
{
    struct release_facts facts = facts_of(STEPPED);
    struct release_status now = stand(&facts, RELEASE_FROZEN), parsed;
    json_t *stored = release_status_json(&now);
    char *text = json_dumps(stored, JSON_COMPACT), copy[2048];
    uint64_t dice = 99;
    unsigned taken = 0;

    (void)state;
    json_decref(stored);
    assert_true(strlen(text) < sizeof(copy));
    for (unsigned i = 0; i < 200000; i++) {
        size_t length = strlen(text);
        json_t *value;

        memcpy(copy, text, length);
        for (uint64_t changes = 1 + draw(&dice, 3); changes > 0; changes--) {
            copy[draw(&dice, length)] =
                draw(&dice, 2) ? (char)('0' + draw(&dice, 10))
                               : (char)draw(&dice, 256);
        }
        value = json_loadb(copy, length - (draw(&dice, 9) == 0), 0, NULL);
        if (release_status_parse(value, &parsed) == 0) {
            json_t *again = release_status_json(&parsed);
            struct release_status second;

            taken++;
            assert_non_null(again);
            assert_int_equal(release_status_parse(again, &second), 0);
            assert_int_equal(release_word(&second), release_word(&parsed));
            json_decref(again);
        }
        json_decref(value);
    }
    free(text);
    assert_true(taken > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_and_back),
        cmocka_unit_test(what_is_wrong_is_refused),
        cmocka_unit_test(any_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
