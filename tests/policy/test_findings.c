/* SPDX-License-Identifier: Apache-2.0
 * test_findings.c - findings are bounded, clean, placed and complete.
 *
 * Why: a hostile document must neither flood the terminal nor paint on it, and
 * all problems of an honest one must come at once.
 * Read next: ../../policy/findings.c, ../../policy/locate.c.
 */
#include "tests/policy/read_policy.h"

#include <jansson.h>

#include "policy/findings.h"

static void test_all_problems_at_once(void **state)
{
    struct gray_findings findings = {0};
    (void)state;
    assert_null(read_text(SERVICE RELEASE
                          "salt: 7\npriority: x\n"
                          "admission:\n  share: 101\n  holdbak: 1\n"
                          "  match: [{idTail: [0]}, {cidr: x}]\n"
                          "---\nkind: Lane\nname: red\nservices: [card]\n"
                          "---\nkind: Service\nname: pay\n"
                          "baseline: {version: v1}\n"
                          "versions: {v1: {endpoints: []}}\n",
                          &findings));
    assert_int_equal(findings.errors, 7);
    static const char *const codes[] = {
        "wrong-type", "bad-percent", "unknown-key", "unquoted-tail",
        "unknown-condition", "unknown-service"};
    for (size_t i = 0; i < sizeof(codes) / sizeof(*codes); i++) {
        assert_non_null(find_code(&findings, codes[i]));
    }
    gray_findings_free(&findings);
    /* The lane hid it; without the lane's fault it is said. */
    assert_null(read_text("kind: Service\nname: pay\n"
                          "baseline: {version: v1}\n"
                          "versions: {v1: {endpoints: []}}\n",
                          &findings));
    assert_non_null(find_code(&findings, "empty-baseline"));
    gray_findings_free(&findings);
}

static char *many_bad_ids(unsigned count)
{
    char *text = take(64 + count * 4u);
    char *end = text + sprintf(text, "kind: List\nname: a\nids:\n");
    for (unsigned i = 0; i < count; i++) {
        end += sprintf(end, "- 7\n");
    }
    return text;
}

static void test_bounded_at_a_thousand(void **state)
{
    (void)state;
    for (unsigned more = 0; more < 2; more++) {
        struct gray_findings findings = {0};
        unsigned count = GRAY_FINDINGS_MAX + more * 5000;
        char *text = many_bad_ids(count);
        assert_null(read_text(text, &findings));
        assert_int_equal(findings.errors, count);
        assert_int_equal(findings.count, GRAY_FINDINGS_MAX + more);
        assert_int_equal(findings.items[999].line, 1003);
        assert_string_equal(findings.items[findings.count - 1].code,
                            more ? "too-many-problems" : "wrong-type");
        free(text);
        gray_findings_free(&findings);
    }
}

static void test_nothing_paints_on_the_terminal(void **state)
{
    struct gray_findings findings = {0};
    char *printed = NULL;
    size_t size = 0;
    (void)state;
    assert_null(read_text("kind: List\nname: \"a\\e[31m\\u7070\"\nids: []\n"
                          "\"\\e]0;x\\a\": 1\n",
                          &findings));
    FILE *out = open_memstream(&printed, &size);
    gray_findings_print(&findings, out);
    fclose(out);
    for (size_t i = 0; i < size; i++) {
        assert_true(printed[i] == '\n' || (unsigned char)printed[i] >= 0x20);
    }
    assert_non_null(strstr(printed, "\xe7\x81\xb0"));
    free(printed);
    gray_findings_free(&findings);
}

static void test_printed_and_as_json(void **state)
{
    struct gray_findings findings = {0};
    char *printed = NULL;
    size_t size = 0;
    (void)state;
    assert_null(read_text("kind: List\nname: a\nidz: []\n", &findings));
    FILE *out = open_memstream(&printed, &size);
    gray_findings_print(&findings, out);
    fclose(out);
    assert_non_null(strstr(
        printed, "policy.yaml:3:1: error: unknown key \"idz\" (did you mean "
                 "ids?); write one of kind, name, ids, file, strict "
                 "[unknown-key] (List/a /idz)\n"));
    char *json = gray_findings_json(&findings);
    json_t *array = json_loads(json, 0, NULL);
    json_t *first = json_array_get(array, 0);
    assert_int_equal(json_array_size(array), findings.count);
    assert_string_equal(json_string_value(json_object_get(first, "code")),
                        "unknown-key");
    assert_int_equal(json_integer_value(json_object_get(first, "line")), 3);
    assert_string_equal(json_string_value(json_object_get(first, "severity")),
                        "error");
    assert_string_equal(json_string_value(json_object_get(first, "document")),
                        "List/a");
    json_decref(array);
    free(json);
    free(printed);
    gray_findings_free(&findings);
}

static void test_codes_are_words_and_unique(void **state)
{
    const char *const *codes, *const *meanings;
    size_t count = gray_problem_codes(&codes, &meanings);
    (void)state;
    assert_int_equal(count, GRAY_PROBLEM_COUNT);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(
            strspn(codes[i], "abcdefghijklmnopqrstuvwxyz0123456789-"),
            strlen(codes[i]));
        assert_true(strlen(meanings[i]) > 10);
        for (size_t k = 0; k < i; k++) {
            assert_string_not_equal(codes[i], codes[k]);
        }
    }
}

static void test_places_after_the_documents_are_gone(void **state)
{
    struct gray_findings findings = {0};
    struct gray_model *model = read_good(
        SERVICE RELEASE "admission:\n  allow:\n    - {host: {regex: 'a('}}\n");
    struct gray_finding_head head = {
        .severity = GRAY_ERROR,
        .problem = GRAY_PROBLEM_BAD_PATTERN,
        .document = "Release/cart-2",
        .pointer = model->releases[0].allow[0].when->pointer};
    (void)state;
    gray_findings_add(&findings, &head, "no end of the group");
    head.pointer = "/admission/allow/7/host";
    gray_findings_add(&findings, &head, "what is not there");
    gray_model_locate(model, &findings, 0);
    assert_string_equal(findings.items[0].file, "policy.yaml");
    assert_int_equal(findings.items[0].line, 14);
    assert_int_equal(findings.items[0].column, 7);
    assert_int_equal(findings.items[1].line, 14); /* of the list */
    assert_int_equal(findings.items[1].column, 5);
    gray_findings_free(&findings);
    gray_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_problems_at_once),
        cmocka_unit_test(test_bounded_at_a_thousand),
        cmocka_unit_test(test_nothing_paints_on_the_terminal),
        cmocka_unit_test(test_printed_and_as_json),
        cmocka_unit_test(test_codes_are_words_and_unique),
        cmocka_unit_test(test_places_after_the_documents_are_gone),
    };
    return cmocka_run_group_tests_name("findings", tests, NULL, NULL);
}
