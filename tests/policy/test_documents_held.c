/* SPDX-License-Identifier: Apache-2.0
 * test_documents_held.c - trees kept by grayd, shares that no document says.
 */
#include "tests/policy/read_policy.h"

#include <jansson.h>
#include <string.h>

static const char shop[] =
    "[{\"kind\":\"Service\",\"name\":\"cart\",\"baseline\":{\"version\":"
    "\"v1\"},\"versions\":{\"v1\":{\"endpoints\":[\"127.0.0.1:1\"]},\"v2\":{"
    "\"endpoints\":[\"127.0.0.1:2\"]}}},"
    "{\"kind\":\"Release\",\"name\":\"cart-2\",\"services\":[{\"service\":"
    "\"cart\",\"version\":\"v2\"}],\"unit\":{\"cookie\":\"uid\"},"
    "\"admission\":{\"share\":5,\"match\":[{\"idTail\":[\"1\"]}]}}]";

static struct gray_model *model_of(json_t *trees, uint32_t share,
                                   uint32_t attempt,
                                   struct gray_findings *findings)
{
    struct gray_documents *docs = gray_documents_new();
    struct gray_model *model;

    assert_int_equal(gray_documents_add_tree(docs, "in force", trees), 0);
    assert_int_equal(gray_documents_hold(docs, "cart-2", share, attempt), 0);
    model = gray_model_check(docs, findings);
    gray_documents_free(docs);
    return model;
}

static void test_a_held_share_stands_in_model_and_source(void **state)
{
    json_t *trees = json_loads(shop, 0, NULL);
    json_t *before = json_deep_copy(trees);
    struct gray_findings findings = {0};
    struct gray_model *model = model_of(trees, 125000, 3, &findings);

    (void)state;
    assert_non_null(model);
    assert_int_equal(model->releases[0].share, 125000);
    assert_int_equal(model->releases[0].attempt, 3);
    assert_non_null(strstr(model->source, "\"share\":12.5"));
    assert_non_null(strstr(model->source, "\"attempt\":3"));
    assert_true(json_equal(trees, before)); /* never written to */
    gray_model_free(model);
    gray_findings_free(&findings);
    json_decref(before);
    json_decref(trees);
}

static void test_a_held_share_of_zero_needs_no_strategy(void **state)
{
    json_t *trees = json_loads(shop, 0, NULL);
    struct gray_findings findings = {0};
    struct gray_model *model = model_of(trees, 0, 1, &findings);
    struct gray_documents *docs = gray_documents_new();
    struct gray_model *again;

    (void)state;
    assert_non_null(model);
    assert_int_equal(model->releases[0].share, 0);
    /* What a snapshot then carries can be read back. */
    assert_int_equal(gray_documents_add_text(docs, "source", model->source,
                                             model->source_length, &findings),
                     0);
    again = gray_model_check(docs, &findings);
    assert_non_null(again);
    assert_string_equal(again->source, model->source);
    gray_model_free(again);
    gray_model_free(model);
    gray_documents_free(docs);
    gray_findings_free(&findings);
    json_decref(trees);
}

static void test_files_are_refused_when_asked(void **state)
{
    static const char text[] =
        "kind: List\nname: testers\nfile: /etc/hostname\n";
    struct gray_findings findings = {0};
    struct gray_documents *docs = gray_documents_new();

    (void)state;
    gray_documents_refuse_files(docs);
    assert_int_equal(gray_documents_add_text(docs, "t", text, strlen(text),
                                             &findings), 0);
    assert_null(gray_model_check(docs, &findings));
    assert_string_equal(findings.items[0].code, "cannot-read");
    assert_int_equal(findings.items[0].line, 3);
    gray_documents_free(docs);
    gray_findings_free(&findings);
}

static struct gray_model *attempt_of(uint32_t share, uint32_t attempt)
{
    json_t *trees = json_loads(shop, 0, NULL);
    struct gray_findings findings = {0};
    struct gray_model *model = model_of(trees, share, attempt, &findings);

    gray_findings_free(&findings);
    json_decref(trees);
    return model;
}

static void test_a_new_attempt_begins_at_nothing(void **state)
{
    struct gray_model *old = attempt_of(50000, 1), *now = attempt_of(50000, 2);
    struct gray_model *ended = attempt_of(0, 1);
    struct gray_counter nobody = {count_nobody, NULL};
    struct gray_gate_options options = {.allow_drop = true,
                                        .counter = &nobody};
    struct gray_findings findings = {0};

    (void)state;
    assert_int_equal(gray_gates_compare(old, now, NULL, &findings, NULL), -1);
    assert_string_equal(findings.items[0].code, "may-drop");
    assert_int_equal(gray_gates_compare(old, now, &options, &findings, NULL),
                     0);
    assert_int_equal(gray_gates_compare(ended, now, NULL, &findings, NULL), 0);
    options.drop = 1;
    assert_int_equal(gray_gates_compare(old, now, &options, &findings, NULL),
                     -1);
    gray_model_free(old);
    gray_model_free(now);
    gray_model_free(ended);
    gray_findings_free(&findings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_held_share_stands_in_model_and_source),
        cmocka_unit_test(test_a_held_share_of_zero_needs_no_strategy),
        cmocka_unit_test(test_files_are_refused_when_asked),
        cmocka_unit_test(test_a_new_attempt_begins_at_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
