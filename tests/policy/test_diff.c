/* SPDX-License-Identifier: Apache-2.0
 * test_diff.c - what a difference says to people and to programs.
 *
 * Why: it is what somebody approves; a change that it leaves out was approved
 * by nobody.
 * Read next: ../../policy/diff.c.
 */
#include "tests/policy/read_policy.h"

#include <jansson.h>

static const char one[] = SERVICE RELEASE
    "admission: {share: 1, allow: [{host: {exact: a}}, {host: {exact: c}}]}\n"
    "---\nkind: List\nname: gone\nids: ['1']\n";
static const char two[] = SERVICE RELEASE
    "admission: {share: 10, allow: [{host: {exact: a}}, {host: {exact: b}}, "
    "{host: {exact: c}}]}\nsalt: s/t\n"
    "---\nkind: List\nname: new\nids: ['1']\n";

static void test_for_people(void **state)
{
    struct gray_model *a = read_good(one), *b = read_good(two);
    char *text = gray_model_diff(a, b, 0);
    (void)state;
    assert_string_equal(
        text, "- List/gone\n+ List/new\n~ Release/cart-2\n"
              "    + /admission/allow/1: {\"host\":{\"exact\":\"b\"}}\n"
              "    ~ /admission/share: 1 -> 10\n"
              "    + /salt: \"s/t\"\n");
    free(text);
    text = gray_model_diff(a, a, 0);
    assert_string_equal(text, "");
    free(text);
    gray_model_free(a);
    gray_model_free(b);
}

static void test_for_programs(void **state)
{
    struct gray_model *a = read_good(one), *b = read_good(two);
    char *text = gray_model_diff(a, b, 1);
    json_t *list = json_loads(text, 0, NULL);
    (void)state;
    assert_int_equal(json_array_size(list), 3);
    json_t *changes =
        json_object_get(json_array_get(list, 2), "changes");
    assert_int_equal(json_array_size(changes), 3);
    json_t *share = json_array_get(changes, 1);
    assert_string_equal(
        json_string_value(json_object_get(share, "pointer")),
        "/admission/share");
    assert_int_equal(json_integer_value(json_object_get(share, "before")), 1);
    assert_int_equal(json_integer_value(json_object_get(share, "after")), 10);
    json_decref(list);
    free(text);
    gray_model_free(a);
    gray_model_free(b);
}

static void test_against_nothing(void **state)
{
    struct gray_model *a = read_good(one);
    char *text = gray_model_diff(NULL, a, 0);
    (void)state;
    assert_string_equal(text,
                        "+ List/gone\n+ Release/cart-2\n+ Service/cart\n");
    free(text);
    text = gray_model_diff(a, NULL, 0);
    assert_string_equal(text,
                        "- List/gone\n- Release/cart-2\n- Service/cart\n");
    free(text);
    gray_model_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_for_people),
        cmocka_unit_test(test_for_programs),
        cmocka_unit_test(test_against_nothing),
    };
    return cmocka_run_group_tests_name("diff", tests, NULL, NULL);
}
