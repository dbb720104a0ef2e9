/* SPDX-License-Identifier: Apache-2.0
 * test_documents_memory.c - reading and checking without enough memory.
 *
 * Why: grayd reads documents in the process that everything else hangs on.
 * Every allocation of ours is made to fail in turn, by the linker's --wrap,
 * and every one of jansson's by its own hook: nothing is handed out, nothing
 * leaks (as the sanitizers see), and the next reading is right again.
 * Read next: ../../policy/arena.h, ../../policy/model.c.
 */
#include "tests/policy/read_policy.h"

#include <jansson.h>

#include "tests/failing_memory.h"

static const char yaml[] = SERVICE
    "kind: Release\nname: cart-2\nservices: [{service: cart, version: v2}]\n"
    "unit: {cookie: uid, alias: {cookie: did}}\n"
    "durability: strict\nstrictTimeout: 1s\nstages: [{name: a, writes: true, "
    "when: {path: {prefix: /a}}}, {name: b, of: a}]\ndimensions: [a]\n"
    "admission: {share: 1, match: [{idTail: ['1']}], allow: [{list: team}, "
    "{header: {name: x, in: [a, b]}}]}\n"
    "---\nkind: Lane\nname: red\nservices: [cart]\nunit: {cookie: u}\n"
    "rules: [{when: {host: {exact: a}}, share: 5}]\n"
    "---\nkind: List\nname: team\nids: ['2', '1']\n";
static const char json[] =
    "[{\"kind\": \"List\", \"name\": \"team\", \"ids\": [\"1\", \"2\"]},"
    "{\"kind\": \"Service\", \"name\": \"cart\", \"baseline\": {\"version\": "
    "\"v1\"}, \"versions\": {\"v1\": {\"endpoints\": [\"127.0.0.1:1\"]}}}]";
static const char wrong[] = SERVICE RELEASE
    "admission: {share: 101, mach: [{idTail: [1]}], allow: [{list: team}]}\n";

/* 1: a whole model; 0: refused. */
static int read_once(const char *text)
{
    struct gray_findings findings = {0};
    struct gray_documents *docs = gray_documents_new();
    struct gray_model *model = NULL;
    int whole = 0;
    if (docs != NULL &&
        gray_documents_add_text(docs, "t", text, strlen(text), &findings) ==
            0) {
        model = gray_model_check(docs, &findings);
        if (model != NULL) {
            size_t length;
            free(gray_model_source(model, &length));
            free(gray_model_diff(NULL, model, 1));
            whole = gray_gates_compare(model, model, NULL, &findings, NULL) == 0;
        } else {
            /* What is not good is said, or at least counted. */
            whole = findings.errors == 0 ? -1 : 0;
        }
    }
    free(gray_findings_json(&findings));
    gray_model_free(model);
    gray_documents_free(docs);
    gray_findings_free(&findings);
    return whole;
}

static void fail_each(const char *text, int expected)
{
    long count = 0;
    (void)count;
    assert_int_equal(read_once(text), expected);
    for (;; count++) {
        until = count;
        int whole = read_once(text);
        bool reached = until < 0;
        until = -1;
        assert_int_not_equal(whole, -1);
        assert_true(whole <= expected);
        if (!reached) {
            break;
        }
    }
    assert_true(count > 20);
    assert_int_equal(read_once(text), expected);
}

static void test_each_allocation_of_ours(void **state)
{
    (void)state;
    fail_each(yaml, 1);
    fail_each(json, 1);
    fail_each(wrong, 0);
}

/* jansson's seed of its hashes is made once, outside of what fails. */
static void test_each_allocation_of_jansson(void **state)
{
    (void)state;
    json_object_seed(1);
    json_set_alloc_funcs(__wrap_malloc, free);
    fail_each(yaml, 1);
    fail_each(json, 1);
    fail_each(wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_allocation_of_ours),
        cmocka_unit_test(test_each_allocation_of_jansson),
    };
    return cmocka_run_group_tests_name("documents_memory", tests, NULL, NULL);
}
