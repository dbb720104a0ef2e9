/* SPDX-License-Identifier: Apache-2.0
 * test_body.c - bodies at their bounds; records and moments.
 *
 * Read next: ../../../control/call/body.c, ../../../control/call/record.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control/call/call.h"

static int parse(const char *text, size_t length, char *sentence)
{
    json_t *body = NULL;
    int done = body_parse(text, length, &body, sentence, 128);

    assert_int_equal(done == 0, body != NULL);
    json_decref(body);
    return done;
}

static void test_depth(void **state)
{
    char text[3 * CALL_DEPTH_MAX], sentence[128];
    unsigned depth, i;

    (void)state;
    for (depth = CALL_DEPTH_MAX; depth <= CALL_DEPTH_MAX + 1; depth++) {
        size_t at = (size_t)sprintf(text, "{\"a\":");

        for (i = 1; i < depth; i++) {
            text[at++] = '[';
        }
        for (i = 1; i < depth; i++) {
            text[at++] = ']';
        }
        text[at++] = '}';
        assert_int_equal(parse(text, at, sentence),
                         depth == CALL_DEPTH_MAX ? 0 : -1);
    }
    assert_string_equal(sentence, "nested too deeply");
    /* brackets inside a text are no depth */
    assert_int_equal(parse("{\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[[\":"
                           "1}",
                           46, sentence),
                     0);
    /* more closed than opened: the reader says so */
    assert_int_equal(parse("]]]]{}", 6, sentence), -1);
}

static void test_values(void **state)
{
    size_t values, at, size = 2 * CALL_VALUES_MAX + 100;
    char *text = malloc(size), sentence[128];

    (void)state;
    for (values = CALL_VALUES_MAX; values <= CALL_VALUES_MAX + 1; values++) {
        size_t i;

        at = (size_t)sprintf(text, "{\"a\":[1");
        for (i = 3; i < values; i++) {
            text[at++] = ',';
            text[at++] = '1';
        }
        text[at++] = ']';
        text[at++] = '}';
        assert_int_equal(parse(text, at, sentence),
                         values == CALL_VALUES_MAX ? 0 : -1);
    }
    assert_string_equal(sentence, "too many values");
    free(text);
}

static void test_what_is_refused(void **state)
{
    static const char *const bad[] = {
        "", "{", "[]", "1", "null", "{}x", "{\"a\":1,\"a\":2}", "{\"a\":NaN}",
        "{\"a\":1e999}", "{\"a\":99999999999999999999}", "{\"\\ud800\":1}",
        "{\"a\":\"\xff\"}", "{\"a\":\"\\u0000\"}", "{\"a\":01}", "{\"a\":\"\n\"}",
        "\xef\xbb\xbf{}", "{\"a\\\\\\\":1}", "\"", "\\"};
    char sentence[128];
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        sentence[0] = '\0';
        assert_int_equal(parse(bad[i], strlen(bad[i]), sentence), -1);
        assert_true(sentence[0] != '\0');
    }
    /* what stands in a body is not said back */
    assert_int_equal(parse("{\"a\": gray_secret}", 18, sentence), -1);
    assert_null(strstr(sentence, "secret"));
    assert_int_equal(parse("{\"a\":1} ", 8, sentence), 0);
}

static void test_moments(void **state)
{
    static const struct {
        int64_t ms;
        const char *text;
    } moments[] = {{0, "1970-01-01T00:00:00.000Z"},
                   {1, "1970-01-01T00:00:00.001Z"},
                   {-1, "1969-12-31T23:59:59.999Z"},
                   {951782400123, "2000-02-29T00:00:00.123Z"},
                   {1795309289794, "2026-11-22T01:01:29.794Z"}};
    char text[CALL_MOMENT_SIZE];
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(moments) / sizeof(moments[0]); i++) {
        call_moment(moments[i].ms, text);
        assert_string_equal(text, moments[i].text);
    }
    call_moment(INT64_MAX, text);
    call_moment(INT64_MIN, text);
    assert_true(strlen(text) < CALL_MOMENT_SIZE);
}

static void test_records(void **state)
{
    static const char text[] =
        "{\"action\":\"abort\",\"at\":1000,\"outcome\":\"done\","
        "\"resource\":\"Release/cart-2\",\"seq\":7}";
    struct identity cart = {.name = "a", .scope_count = 1}, all = cart;
    json_t *record = record_public(text, strlen(text));
    char pointer[64], sentence[64];

    (void)state;
    strcpy(cart.scopes[0], "cart");
    assert_int_equal(schema_check(schema_find("AuditRecord"), record, pointer,
                                  sizeof(pointer), sentence,
                                  sizeof(sentence)),
                     0);
    assert_int_equal(json_integer_value(json_object_get(record, "sequence")),
                     7);
    assert_true(record_covered(&cart, record));
    json_object_set_new(record, "resource", json_string("Release/pay-1"));
    assert_false(record_covered(&cart, record));
    assert_true(record_covered(&all, record));
    json_object_set_new(record, "resource", json_string("cart-3"));
    assert_true(record_covered(&cart, record));
    /* An id is no name, whatever it begins with. */
    json_object_set_new(record, "resource", json_string("Token/cart"));
    assert_false(record_covered(&cart, record));
    assert_true(record_covered(&all, record));
    json_object_set_new(record, "resource", json_string("Scheduled/cart"));
    assert_false(record_covered(&cart, record));
    json_object_set_new(record, "resource", json_string(""));
    assert_false(record_covered(&cart, record));
    /* An apply of several documents: of those who may see each of them. */
    json_object_set_new(record, "before", json_array());
    json_object_set_new(record, "after", json_loads(
        "[{\"document\":\"Release/cart-2\"},{\"document\":\"List/cart\"}]",
        0, NULL));
    assert_true(record_covered(&cart, record));
    json_object_set_new(record, "before", json_loads(
        "[{\"document\":\"Service/pay\"}]", 0, NULL));
    assert_false(record_covered(&cart, record));
    assert_true(record_covered(&all, record));
    json_object_set_new(record, "after", json_loads("[{}]", 0, NULL));
    json_object_set_new(record, "before", json_array());
    assert_false(record_covered(&cart, record));
    json_object_del(record, "resource");
    assert_false(record_covered(&cart, record));
    assert_true(record_covered(&all, record));
    json_decref(record);
    assert_null(record_public("{\"seq\":1}", 9));
    assert_null(record_public("{\"at\":1}", 8));
    assert_null(record_public("[]", 2));
    assert_null(record_public("", 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_depth),   cmocka_unit_test(test_values),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_moments), cmocka_unit_test(test_records),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
