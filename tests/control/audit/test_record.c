/* SPDX-License-Identifier: Apache-2.0
 * test_record.c - one event has one spelling, and nobody can prevent it.
 *
 * Read next: control/audit/chain.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control/audit/internal.h"

static void keys_are_sorted_and_nothing_is_blank(void **state)
{
    json_t *before = json_pack("{s:i, s:{s:s, s:s}}", "weight", 1, "a", "z",
                               "1", "b", "2");
    json_t *after = json_pack("{s:i}", "weight", 5);
    struct audit_entry entry = {
        .at = 1767225600123,
        .actor = "ci-cart",
        .role = "operator",
        .via = "token",
        .action = "set-weight",
        .resource = "Release/cart-2",
        .outcome = "refused",
        .code = "one-at-a-time",
        .reason = "\xe5\x85\xa8\xe9\x87\x8f \"now\"\n",
        .triggered_by = "USER",
        .event_type = "DEPLOYMENT_STARTED",
        .request = "r-1",
        .revision = 7,
        .before = before,
        .after = after,
    };
    size_t length = 0;
    char *text = audit_record_text(42, &entry, &length);

    (void)state;
    assert_string_equal(
        text,
        "{\"action\":\"set-weight\",\"actor\":\"ci-cart\","
        "\"after\":{\"weight\":5},\"at\":1767225600123,"
        "\"before\":{\"a\":{\"b\":\"2\",\"z\":\"1\"},\"weight\":1},"
        "\"code\":\"one-at-a-time\",\"eventType\":\"DEPLOYMENT_STARTED\","
        "\"outcome\":\"refused\","
        "\"reason\":\"\xe5\x85\xa8\xe9\x87\x8f \\\"now\\\"\\n\","
        "\"request\":\"r-1\",\"resource\":\"Release/cart-2\",\"revision\":7,"
        "\"role\":\"operator\",\"seq\":42,\"triggeredBy\":\"USER\","
        "\"via\":\"token\"}");
    assert_int_equal(length, strlen(text));
    free(text);
    json_decref(before);
    json_decref(after);
}

static void what_is_not_known_is_left_out(void **state)
{
    struct audit_entry entry = {.at = 1, .actor = "grayd", .resource = ""};
    size_t length = 0;
    char *text = audit_record_text(1, &entry, &length);

    (void)state;
    assert_string_equal(
        text, "{\"actor\":\"grayd\",\"at\":1,\"resource\":\"\",\"seq\":1}");
    free(text);
}

/* The reason of a record made with this reason. */
static void assert_reason(const char *given, const char *kept)
{
    struct audit_entry entry = {.actor = "a", .reason = given};
    size_t length = 0;
    char *text = audit_record_text(1, &entry, &length);
    json_t *record;

    assert_non_null(text);
    record = json_loadb(text, length, 0, NULL);
    assert_non_null(record);
    assert_string_equal(json_string_value(json_object_get(record, "reason")),
                        kept);
    json_decref(record);
    free(text);
}

static void bytes_that_are_no_utf8_become_a_sign(void **state)
{
    (void)state;
    assert_reason("a\xff" "b", "a\xef\xbf\xbd" "b");
    assert_reason("\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd");
    assert_reason("\xed\xa0\x80", /* a surrogate: three bytes, each alone */
                  "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
    assert_reason("cut \xe5\x85", "cut \xef\xbf\xbd\xef\xbf\xbd");
    assert_reason("\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80");
}

static void a_long_text_is_cut_at_a_character(void **state)
{
    char given[2 * AUDIT_REASON_MAX + 1], kept[AUDIT_REASON_MAX + 8];

    (void)state;
    memset(given, 'x', sizeof(given));
    given[AUDIT_REASON_MAX] = '\0'; /* at the limit: whole */
    assert_reason(given, given);
    given[AUDIT_REASON_MAX] = 'x'; /* one more: cut, and it shows */
    given[AUDIT_REASON_MAX + 1] = '\0';
    memset(kept, 'x', AUDIT_REASON_MAX);
    strcpy(kept + AUDIT_REASON_MAX, "\xe2\x80\xa6");
    assert_reason(given, kept);
    /* a character across the limit is not cut in two */
    strcpy(given + AUDIT_REASON_MAX - 1, "\xe5\x85\xa8 and more");
    strcpy(kept + AUDIT_REASON_MAX - 1, "\xe2\x80\xa6");
    assert_reason(given, kept);
    /* bad bytes grow, and still the limit holds */
    memset(given, 0xff, sizeof(given) - 1);
    given[sizeof(given) - 1] = '\0';
    {
        struct audit_entry entry = {.actor = given, .reason = given};
        size_t length = 0;
        char *text = audit_record_text(1, &entry, &length);

        assert_non_null(text);
        assert_in_range(length, 1, AUDIT_WORD_MAX + AUDIT_REASON_MAX + 64);
        free(text);
    }
}

static void a_large_document_is_said_by_its_hash(void **state)
{
    char big[AUDIT_SIDE_MAX + 1], hex[2 * AUDIT_HASH + 1], wanted[160];
    uint8_t hash[AUDIT_HASH];
    struct audit_entry entry = {.actor = "a"};
    json_t *side;
    size_t extra, length = 0;
    char *text, *compact;

    (void)state;
    for (extra = 0; extra < 2; extra++) {
        memset(big, 'y', sizeof(big));
        big[AUDIT_SIDE_MAX - 2 + extra] = '\0'; /* and two quotation marks */
        side = json_string(big);
        compact = json_dumps(side, JSON_ENCODE_ANY);
        SHA256((const uint8_t *)compact, strlen(compact), hash);
        hex_write(hash, AUDIT_HASH, hex);
        snprintf(wanted, sizeof(wanted),
                 "{\"bytes\":%zu,\"sha256\":\"%s\"}", strlen(compact), hex);
        entry.after = side;
        text = audit_record_text(1, &entry, &length);
        assert_non_null(text);
        if (extra == 0) {
            assert_non_null(strstr(text, big));
        } else {
            assert_null(strstr(text, "yyy"));
            assert_non_null(strstr(text, wanted));
        }
        free(text);
        free(compact);
        json_decref(side);
    }
}

static void the_chain_is_what_it_is_said_to_be(void **state)
{
    uint8_t before[AUDIT_HASH], bytes[1 + AUDIT_HASH + 6], wanted[AUDIT_HASH],
        hash[AUDIT_HASH];

    (void)state;
    memset(before, 0xab, sizeof(before));
    bytes[0] = 0x00;
    memcpy(bytes + 1, before, AUDIT_HASH);
    memcpy(bytes + 1 + AUDIT_HASH, "record", 6);
    SHA256(bytes, sizeof(bytes), wanted);
    audit_chain(before, "record", 6, hash);
    assert_memory_equal(hash, wanted, AUDIT_HASH);
    audit_chain(before, "record", 6, before); /* in place */
    assert_memory_equal(before, wanted, AUDIT_HASH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_sorted_and_nothing_is_blank),
        cmocka_unit_test(what_is_not_known_is_left_out),
        cmocka_unit_test(bytes_that_are_no_utf8_become_a_sign),
        cmocka_unit_test(a_long_text_is_cut_at_a_character),
        cmocka_unit_test(a_large_document_is_said_by_its_hash),
        cmocka_unit_test(the_chain_is_what_it_is_said_to_be),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
