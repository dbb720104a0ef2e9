/* SPDX-License-Identifier: Apache-2.0
 * test_schema.c - each keyword at its edge, and the pointer to what is wrong.
 *
 * Read next: ../../../control/call/schema.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control/call/call.h"

static json_t *read_json(const char *text)
{
    json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);

    assert_non_null(value);
    return value;
}

/* "" when it is good, else "POINTER: SENTENCE". */
static const char *check(const char *schema_text, const char *value_text)
{
    static char said[600];
    char pointer[256], sentence[256];
    json_t *schema = read_json(schema_text), *value = read_json(value_text);

    said[0] = '\0';
    if (schema_check(schema, value, pointer, sizeof(pointer), sentence,
                     sizeof(sentence)) != 0) {
        snprintf(said, sizeof(said), "%s: %s", pointer, sentence);
    }
    json_decref(schema);
    json_decref(value);
    return said;
}

static void test_types(void **state)
{
    static const char *const types[] = {"object", "array",   "string",
                                        "integer", "boolean", "null"};
    static const char *const values[] = {"{}", "[]", "\"a\"", "1", "true",
                                         "null"};
    char schema[64];
    size_t i, k;

    (void)state;
    for (i = 0; i < 6; i++) {
        snprintf(schema, sizeof(schema), "{\"type\":\"%s\"}", types[i]);
        for (k = 0; k < 6; k++) {
            assert_int_equal(check(schema, values[k])[0] == '\0', i == k);
        }
    }
    assert_string_equal(check("{\"type\":\"number\"}", "1.5"), "");
    assert_string_equal(check("{\"type\":\"number\"}", "1"), "");
    assert_string_not_equal(check("{\"type\":\"integer\"}", "1.5"), "");
    assert_string_equal(check("{\"type\":[\"string\",\"null\"]}", "null"), "");
    assert_string_not_equal(check("{\"type\":[\"string\",\"null\"]}", "1"),
                            "");
    assert_string_equal(check("{}", "[1]"), "");
}

static void test_objects(void **state)
{
    static const char schema[] =
        "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},"
        "\"b\":{}},\"required\":[\"a\"],\"additionalProperties\":false}";

    (void)state;
    assert_string_equal(check(schema, "{\"a\":1,\"b\":[]}"), "");
    assert_string_equal(check(schema, "{\"b\":1}"), ": \"a\" is missing");
    assert_string_equal(check(schema, "{\"a\":1,\"x/y~z\":1}"),
                        "/x~1y~0z: is not known here");
    assert_string_equal(check(schema, "{\"a\":\"1\"}"),
                        "/a: must be of type integer");
    assert_string_equal(
        check("{\"type\":\"object\",\"additionalProperties\":true}",
              "{\"q\":1}"),
        "");
    assert_string_equal(check("{\"type\":\"object\"}", "{\"q\":1}"), "");
}

static void test_bounds(void **state)
{
    (void)state;
    assert_string_equal(check("{\"maxLength\":2}", "\"\xc3\xa4\xe2\x82\xac\""),
                        "");
    assert_string_equal(check("{\"maxLength\":2}", "\"abc\""),
                        ": must be at most 2 characters");
    assert_string_equal(check("{\"minLength\":1}", "\"\""),
                        ": must be at least 1 characters");
    assert_string_equal(check("{\"minLength\":1}", "\"a\""), "");
    assert_string_equal(check("{\"minItems\":1,\"maxItems\":2}", "[1,2]"), "");
    assert_string_not_equal(check("{\"minItems\":1,\"maxItems\":2}", "[]"),
                            "");
    assert_string_not_equal(
        check("{\"minItems\":1,\"maxItems\":2}", "[1,2,3]"), "");
    assert_string_equal(check("{\"minimum\":1,\"maximum\":2}", "1"), "");
    assert_string_equal(check("{\"minimum\":1,\"maximum\":2}", "2"), "");
    assert_string_not_equal(check("{\"minimum\":1,\"maximum\":2}", "0.999"),
                            "");
    assert_string_not_equal(check("{\"minimum\":1,\"maximum\":2}", "3"), "");
    assert_string_equal(check("{\"maxLength\":1,\"maximum\":1}", "[1,2]"), "");
}

static void test_words_and_patterns(void **state)
{
    static const char pattern[] =
        "{\"pattern\":\"^[a-z0-9][a-z0-9._-]*$\"}";

    (void)state;
    assert_string_equal(check("{\"enum\":[\"a\",\"b\",1]}", "\"b\""), "");
    assert_string_equal(check("{\"enum\":[\"a\",\"b\",1]}", "1"), "");
    assert_string_equal(check("{\"enum\":[\"a\",\"b\",1]}", "\"c\""),
                        ": is none of: a b");
    assert_string_equal(check(pattern, "\"cart-2\""), "");
    assert_string_not_equal(check(pattern, "\"Cart\""), "");
    assert_string_not_equal(check(pattern, "\"\""), "");
    assert_string_not_equal(check(pattern, "\"a\\nb\""), "");
}

static void test_a_nul_does_not_end_a_pattern(void **state)
{
    json_t *schema = read_json("{\"pattern\":\"^a*$\"}");
    json_t *value = json_stringn("a\0B", 3);
    char pointer[64], sentence[64];

    (void)state;
    assert_int_equal(schema_check(schema, value, pointer, sizeof(pointer),
                                  sentence, sizeof(sentence)),
                     -1);
    json_decref(schema);
    json_decref(value);
}

static void test_references_and_places(void **state)
{
    static const char list[] =
        "{\"items\":{\"$ref\":\"#/components/schemas/Reason\"}}";

    (void)state;
    assert_string_equal(check(list, "[{\"reason\":\"r\"},{}]"), "");
    assert_string_equal(check(list, "[{},{\"reason\":1}]"),
                        "/1/reason: must be of type string");
    assert_string_equal(check("{\"$ref\":\"#/components/schemas/Nothing\"}",
                              "1"),
                        ": its schema is not there");
    assert_string_equal(check("{\"$ref\":\"other.json\"}", "1"),
                        ": its schema is not there");
}

static void test_small_buffers(void **state)
{
    json_t *schema = read_json("{\"additionalProperties\":false}");
    char name[200] = "", pointer[16], sentence[8];
    json_t *value;
    size_t i;

    (void)state;
    for (i = 0; i < 60; i++) {
        strcat(name, "\xe2\x82\xac");
    }
    value = json_pack("{s:i}", name, 1);
    for (i = 2; i <= sizeof(pointer); i++) {
        json_t *said;

        assert_int_equal(schema_check(schema, value, pointer, i, sentence,
                                      sizeof(sentence)),
                         -1);
        assert_true(strlen(pointer) < i && strlen(sentence) < 8);
        said = json_string(pointer); /* still UTF-8 */
        assert_non_null(said);
        json_decref(said);
    }
    json_decref(schema);
    json_decref(value);
}

static void test_all_schemas_are_there(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < ROUTE_COUNT; i++) {
        const struct route *route = &routes[i];

        assert_true(route->request[0] == '\0' ||
                    schema_find(route->request) != NULL);
        assert_true(strchr(route->response, '/') != NULL ||
                    schema_find(route->response) != NULL);
    }
    assert_non_null(schema_find("Problem"));
    assert_null(schema_find("Nothing"));
    assert_int_equal(schema_check(NULL, NULL, (char[64]){0}, 64,
                                  (char[64]){0}, 64),
                     -1);
}

static void test_replies(void **state)
{
    struct reply reply = {0};
    char pointer[64], sentence[64], *long_name = malloc(5000);
    size_t i;

    (void)state;
    for (i = 0; i + 3 < 5000; i += 3) {
        memcpy(long_name + i, "\xe2\x82\xac", 4);
    }
    for (i = 0; i < PROBLEM_COUNT; i++) {
        reply_problem(&reply, (enum problem_number)i, "%s%s",
                      i % 3 == 0 ? "" : i % 3 == 1 ? "a" : "ab", long_name);
        assert_non_null(reply.body); /* cut between characters */
        assert_true(reply_is_problem(&reply));
        assert_int_equal(schema_check(schema_find("Problem"), reply.body,
                                      pointer, sizeof(pointer), sentence,
                                      sizeof(sentence)),
                         0);
        assert_int_equal(reply.retry_after, i == PROBLEM_BUSY ? 1 : 0);
    }
    reply_problem(&reply, PROBLEM_STORE, "a\xff\xe2\x82z\xe2\x82");
    assert_string_equal(
        json_string_value(json_object_get(reply.body, "detail")), "a???z");
    reply_add(&reply, "advice", json_string("wait"));
    assert_string_equal(
        json_string_value(json_object_get(reply.body, "advice")), "wait");
    reply_json(&reply, 200, json_object());
    assert_false(reply_is_problem(&reply));
    assert_null(reply.type);
    reply_json(&reply, 200, NULL);
    assert_int_equal(reply.status, 500);
    reply_add(&reply, "advice", json_string("nowhere"));
    reply_clear(&reply);
    free(long_name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_objects),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_words_and_patterns),
        cmocka_unit_test(test_a_nul_does_not_end_a_pattern),
        cmocka_unit_test(test_references_and_places),
        cmocka_unit_test(test_small_buffers),
        cmocka_unit_test(test_all_schemas_are_there),
        cmocka_unit_test(test_replies),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
