/* SPDX-License-Identifier: Apache-2.0
 * test_compile_documents.c - from YAML to a decision, and errors to their line.
 *
 * Why: the border between reader and compiler is a struct; that both mean the
 * same by it shows only when a text goes through both.
 * Read next: ../../policy/policy.h.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/policy/craft_model.h"

#define SERVICE \
    "kind: Service\nname: cart\nbaseline: {version: v1}\nversions:\n" \
    "  v1: {endpoints: [\"127.0.0.1:9101\"]}\n" \
    "  v2: {endpoints: [\"127.0.0.1:9102\"]}\n---\n"

/* -1 with findings, or the compiled policy. */
static int compile_text(const char *text, struct gray_compiled *ret_compiled,
                        struct gray_findings *findings)
{
    struct gray_compile_options options = {.revision = 3};
    struct gray_documents *docs = gray_documents_new();
    struct gray_model *model = NULL;
    int result = -1;

    assert_non_null(docs);
    if (gray_documents_add_text(docs, "shop.yaml", text, strlen(text),
                                findings) == 0) {
        model = gray_model_check(docs, findings);
    }
    if (model != NULL) {
        result = gray_compile(model, &options, ret_compiled, findings);
    }
    gray_model_free(model);
    gray_documents_free(docs);
    return result;
}

static void a_bad_pattern_has_its_line(void **state)
{
    static const char text[] =
        SERVICE
        "kind: Release\nname: cart-2\nservices: [{service: cart, version: v2}]"
        "\nunit: {cookie: uid}\nadmission:\n  share: 10\n  allow:\n"
        "    - header: {name: x-a, exact: a}\n"
        "    - any:\n"
        "      - header: {name: x-a, regex: \"a+b(\"}\n";
    struct gray_findings findings = {NULL, 0, 0, 0};
    struct gray_compiled compiled;

    (void)state;
    assert_int_equal(compile_text(text, &compiled, &findings), -1);
    assert_int_equal(findings.errors, 1);
    for (size_t i = 0; i < findings.count; i++) {
        const struct gray_finding *item = &findings.items[i];

        if (item->severity == GRAY_ERROR) {
            assert_string_equal(item->code, "bad-pattern");
            assert_string_equal(item->document, "Release/cart-2");
            assert_string_equal(item->file, "shop.yaml");
            assert_int_equal(item->line, 17);
        }
    }
    gray_findings_free(&findings);
}

static uint32_t share_of(const struct gray_view *view, const char *header)
{
    uint32_t i, hits = 0;

    for (i = 0; i < 2000; i++) {
        struct craft_compiled shell = {.policy = *view->policy};
        char cookie[40];
        const char *headers[3] = {header, cookie, NULL};
        struct gray_colour colour;
        struct gray_input in;

        snprintf(cookie, sizeof(cookie), "cookie: uid=%u", i);
        craft_input(&in, &shell, "/", headers);
        in.policy = view->policy;
        gray_decide(view, 0, &in, NULL, NULL, &colour, NULL);
        hits += colour.lane != GRAY_NONE;
    }
    return hits;
}

static void a_lane_rule_has_its_share(void **state)
{
    static const char text[] =
        SERVICE
        "kind: Lane\nname: red\nservices: [cart]\nunit: {cookie: uid}\n"
        "rules:\n"
        "  - {name: tenth, when: {header: {name: x-t, exact: a}}, share: 10}\n"
        "  - {name: whole, when: {header: {name: x-t, exact: b}}}\n";
    struct gray_findings findings = {NULL, 0, 0, 0};
    struct gray_compiled compiled;
    struct gray_snapshot snapshot;
    struct gray_view view = {0};
    uint32_t hits;

    (void)state;
    if (compile_text(text, &compiled, &findings) != 0) {
        gray_findings_print(&findings, stderr);
        fail();
    }
    assert_int_equal(gray_snapshot_open(&snapshot, compiled.policy.data,
                                        compiled.policy.size, NULL), 0);
    view.policy = &snapshot;
    hits = share_of(&view, "x-t: a");
    assert_in_range(hits, 2000 / 10 - 60, 2000 / 10 + 60);
    assert_int_equal(share_of(&view, "x-t: b"), 2000);
    assert_int_equal(share_of(&view, "x-t: c"), 0);
    gray_compiled_free(&compiled);
    gray_findings_free(&findings);
}

/* The same documents in another order and another dress: the same bytes. */
static void one_policy_has_one_snapshot(void **state)
{
    static const char yaml[] =
        SERVICE "kind: List\nname: l\nids: [\"2\", \"1\"]\n---\n"
                "kind: Release\nname: r\n"
                "services: [{service: cart, version: v2}]\nunit: {cookie: u}\n"
                "admission: {share: 50, deny: [{list: l}]}\n";
    static const char json[] =
        "[{\"kind\":\"Release\",\"name\":\"r\",\"unit\":{\"cookie\":\"u\"},"
        "\"admission\":{\"deny\":[{\"list\":\"l\"}],\"share\":50},"
        "\"services\":[{\"version\":\"v2\",\"service\":\"cart\"}]},"
        "{\"kind\":\"List\",\"name\":\"l\",\"ids\":[\"1\",\"2\"]},"
        "{\"kind\":\"Service\",\"name\":\"cart\",\"baseline\":{\"version\":"
        "\"v1\"},\"versions\":{\"v2\":{\"endpoints\":[\"127.0.0.1:9102\"]},"
        "\"v1\":{\"endpoints\":[\"127.0.0.1:9101\"]}}}]";
    struct gray_findings findings = {NULL, 0, 0, 0};
    struct gray_compiled one, two;

    (void)state;
    assert_int_equal(compile_text(yaml, &one, &findings), 0);
    assert_int_equal(compile_text(json, &two, &findings), 0);
    assert_int_equal(one.list_count, 1);
    assert_string_equal(one.lists[0].name, two.lists[0].name);
    assert_int_equal(one.policy.size, two.policy.size);
    assert_memory_equal(one.policy.data, two.policy.data, one.policy.size);
    gray_compiled_free(&one);
    gray_compiled_free(&two);
    gray_findings_free(&findings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bad_pattern_has_its_line),
        cmocka_unit_test(a_lane_rule_has_its_share),
        cmocka_unit_test(one_policy_has_one_snapshot),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
