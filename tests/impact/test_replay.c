/* SPDX-License-Identifier: Apache-2.0
 * test_replay.c - who changes sides between two policies, counted and named.
 *
 * Read next: impact/replay.c, impact/records.c.
 */
#include <errno.h>

#include "tests/impact/policies.h"

static void record(struct impact_records *records, const char *format,
                   unsigned number)
{
    struct request_problem problem;
    char line[256];
    int length = snprintf(line, sizeof(line), format, number);

    assert_int_equal(impact_records_line(records, line, (size_t)length,
                                         &problem),
                     0);
}

#define VISIT "{\"path\":\"/\",\"now\":1700000000000," \
              "\"headers\":{\"cookie\":\"uid=%u\"}}"

static void replay(const char *before, const char *after,
                   const struct impact_records *records,
                   struct impact_replay *ret_replay)
{
    struct compiled_policy old = { 0 }, new;
    struct impact_side sides[2] = { { 0 }, { 0 } };

    if (before != NULL) {
        compile_text(&old, before);
        sides[0].view = &old.view.view;
    }
    compile_text(&new, after);
    sides[1].view = &new.view.view;
    assert_int_equal(impact_replay(&sides[0], &sides[1], records,
                                   1700000000000, ret_replay),
                     0);
    if (before != NULL) {
        policy_end(&old);
    }
    policy_end(&new);
}

static void those_who_come_in_are_counted_and_named(void **state)
{
    struct impact_records records = { 0 };
    struct impact_replay result;

    (void)state;
    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; i < 1000; i++) {
            record(&records, VISIT, i);
        }
    }
    replay(SHOP CART_2("{share: 10}"), SHOP CART_2("{share: 30}"), &records,
           &result);
    assert_int_equal(result.replayed, 2000);
    assert_int_equal(result.release_count, 1);
    assert_in_range(result.releases[0].before, 140, 260);
    assert_in_range(result.releases[0].after, 500, 700);
    assert_int_equal(result.releases[0].drops, 0);
    assert_int_equal(result.releases[0].comes,
                     result.releases[0].after - result.releases[0].before);
    assert_int_equal(result.releases[0].units_come * 2,
                     result.releases[0].comes);
    assert_int_equal(result.changed, result.releases[0].comes);
    assert_int_equal(result.releases[0].come_count, IMPACT_EXAMPLES);
    assert_int_equal(result.arms[0].after, result.releases[0].after);
    assert_int_equal(result.first, 1700000000000);
    impact_replay_free(&result);
    impact_records_free(&records);
}

static void who_drops_out_is_named(void **state)
{
    struct impact_records records = { 0 };
    struct impact_replay result;

    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        record(&records, VISIT, i);
    }
    replay(SHOP CART_2("{share: 100, match: [{idTail: [\"00\", \"01\"]}]}"),
           SHOP CART_2("{share: 100, match: [{idTail: [\"00\"]}]}"), &records,
           &result);
    assert_int_equal(result.releases[0].drops, 0); /* one digit has no tail */
    impact_replay_free(&result);
    for (unsigned i = 100; i < 400; i++) {
        record(&records, VISIT, i);
    }
    replay(SHOP CART_2("{share: 100, match: [{idTail: [\"00\", \"01\"]}]}"),
           SHOP CART_2("{share: 100, match: [{idTail: [\"00\"]}]}"), &records,
           &result);
    assert_int_equal(result.releases[0].drops, 3);
    assert_int_equal(result.releases[0].units_drop, 3);
    assert_string_equal(result.releases[0].drop[0], "101");
    assert_string_equal(result.releases[0].drop[2], "301");
    impact_replay_free(&result);
    impact_records_free(&records);
}

/* Other releases before it: the same one, by its name. */
static void a_release_is_the_same_under_another_number(void **state)
{
    struct impact_records records = { 0 };
    struct impact_replay result;

    (void)state;
    for (unsigned i = 0; i < 200; i++) {
        record(&records, VISIT, i);
    }
    replay(SHOP CART_2("{share: 50}"),
           SHOP "---\nkind: Release\nname: aaa\nunit: {cookie: uid}\n"
                "priority: 9\nservices: [{service: stock, version: v1}]\n"
                "admission: {share: 100}\n" CART_2("{share: 50}"),
           &records, &result);
    assert_int_equal(result.release_count, 2);
    for (size_t i = 0; i < 2; i++) {
        const struct impact_replayed *row = &result.releases[i];

        assert_int_equal(row->drops, 0);
        assert_int_equal(row->comes,
                         strcmp(row->release, "aaa") == 0 ? 200 : 0);
    }
    impact_replay_free(&result);
    replay(NULL, SHOP CART_2("{share: 100}"), &records, &result);
    assert_int_equal(result.releases[0].comes, 200);
    impact_replay_free(&result);
    impact_records_free(&records);
}

/* A stopped release admits nobody, whatever its share becomes. */
static void words_hold_in_the_new_policy(void **state)
{
    struct compiled_policy old, new;
    struct gray_scope_word *words = NULL, stopped[1];
    struct impact_records records = { 0 };
    struct impact_replay result;
    struct impact_side sides[2] = { { 0 }, { 0 } };

    (void)state;
    compile_text(&old, SHOP CART_2("{share: 50}"));
    compile_text(&new, SHOP CART_2("{share: 100}"));
    stopped[0] = (struct gray_scope_word) {
        .scope = gray_hash_scope("cart-2", 6), .word = GRAY_WORD_BASELINE
    };
    old.view.view.words = stopped;
    old.view.view.word_count = 1;
    sides[0].view = &old.view.view;
    sides[1].view = &new.view.view;
    assert_int_equal(impact_words(&old.view.view, &new.view, &words), 0);
    for (unsigned i = 0; i < 50; i++) {
        record(&records, VISIT, i);
    }
    assert_int_equal(impact_replay(&sides[0], &sides[1], &records, 0, &result),
                     0);
    assert_int_equal(result.releases[0].after, 0);
    impact_replay_free(&result);
    impact_records_free(&records);
    free(words);
    policy_end(&old);
    policy_end(&new);
}

static void the_newest_requests_stay(void **state)
{
    struct impact_records records = { 0 };
    struct request_problem problem;
    const char *cookie;

    (void)state;
    for (unsigned i = 0; i < IMPACT_RECORDS_MAX + 1; i++) {
        record(&records, VISIT, i);
    }
    assert_in_range(records.count, IMPACT_RECORDS_MAX / 2,
                    IMPACT_RECORDS_MAX);
    cookie = json_string_value(json_array_get(
        json_object_get(records.items[records.count - 1].headers, "cookie"),
        0));
    assert_string_equal(cookie, "uid=10000");
    assert_int_equal(impact_records_line(&records, "{\"path\":", 8, &problem),
                     -EINVAL);
    assert_int_equal(impact_records_line(&records, "{\"bad\":1}", 9, &problem),
                     -EINVAL);
    assert_string_equal(problem.code, "unknown-key");
    assert_int_equal(records.refused, 2);
    impact_records_free(&records);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(those_who_come_in_are_counted_and_named),
        cmocka_unit_test(who_drops_out_is_named),
        cmocka_unit_test(a_release_is_the_same_under_another_number),
        cmocka_unit_test(words_hold_in_the_new_policy),
        cmocka_unit_test(the_newest_requests_stay),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
