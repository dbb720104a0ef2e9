/* SPDX-License-Identifier: Apache-2.0
 * test_compile.c - the files that come out, and what is refused.
 *
 * Why: a revision is known by its bytes, so the same model must give the same;
 * and whatever cannot be compiled must be named, all of it at once.
 * Read next: test_compile_operand.c, test_compile_routes.c, craft_model.h.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/policy/craft_model.h"

#define HEADER(op, text) \
    craft_test(GRAY_SOURCE_HEADER, "x-a", GRAY_CONDITION_##op, text)

static void the_same_model_gives_the_same_bytes(void **state)
{
    const uint32_t members[] = {0, GRAY_NONE};
    struct gray_model *model = craft_model();
    struct model_lane lane = craft_lane("red", members);
    struct model_text ids[] = {craft_text("1"), craft_text("x")};
    struct model_list list = {"l", false, ids, 2};
    struct craft_compiled one, two;
    struct cond *conds[30];
    uint32_t i;

    (void)state;
    model->lanes = &lane;
    model->lane_count = 1;
    model->lists = &list;
    model->list_count = 1;
    for (i = 0; i < 30; i++) {
        conds[i] = craft_test(GRAY_SOURCE_HEADER, craft_print("x-%u", i % 7),
                              i % 3 == 0   ? GRAY_CONDITION_EXACT
                              : i % 3 == 1 ? GRAY_CONDITION_PREFIX
                                           : GRAY_CONDITION_REGEX,
                              craft_print("value-%u", i % 11));
    }
    craft_lane_rules(model, conds, 30);
    craft_compile(&one, model, false);
    craft_compile(&two, model, false);
    assert_int_equal(one.files.policy.size, two.files.policy.size);
    assert_memory_equal(one.files.policy.data, two.files.policy.data,
                        one.files.policy.size);
    assert_int_equal(one.files.fleet.size, two.files.fleet.size);
    assert_memory_equal(one.files.fleet.data, two.files.fleet.data,
                        one.files.fleet.size);
    assert_memory_equal(one.files.lists[0].data, two.files.lists[0].data,
                        one.files.lists[0].size);
    assert_int_equal(one.policy.header->revision, 7);
    craft_compiled_free(&one);
    craft_compiled_free(&two);
    craft_free();
}

struct hashed {
    uint32_t hash, number;
};

static int by_hash(const void *left, const void *right)
{
    const struct hashed *a = left, *b = right;

    return a->hash < b->hash ? -1 : a->hash > b->hash;
}

/* Strings are kept once, found by a 32-bit hash; two of one hash are two. */
static void two_texts_of_one_hash_stay_two(void **state)
{
    enum { COUNT = 400000 };
    struct gray_model *model = craft_model();
    struct hashed *all = malloc(COUNT * sizeof(*all));
    struct cond *conds[2];
    char *texts[2];
    uint32_t i;

    (void)state;
    for (i = 0; i < COUNT; i++) {
        char text[16];

        snprintf(text, sizeof(text), "c%07u", i);
        all[i] = (struct hashed){gray_murmur3_32(text, 8, 0), i};
    }
    qsort(all, COUNT, sizeof(*all), by_hash);
    for (i = 1; i < COUNT && all[i].hash != all[i - 1].hash; i++) {
    }
    assert_true(i < COUNT);
    texts[0] = craft_print("c%07u", all[i - 1].number);
    texts[1] = craft_print("c%07u", all[i].number);
    free(all);
    conds[0] = HEADER(EXACT, texts[0]);
    conds[1] = HEADER(EXACT, texts[1]);
    craft_allow(&model->releases[0], conds, 2);
    assert_true(craft_header_allowed(model, craft_any(conds[0], conds[1]),
                               texts[1]));
    assert_true(craft_header_allowed(model, craft_any(conds[0], conds[1]),
                               texts[0]));
    craft_free();
}

static void lists_of_one_content_are_one_file(void **state)
{
    struct gray_model *model = craft_model();
    struct model_text ids[] = {craft_text("1"), craft_text("2")};
    struct model_list lists[] = {{"a", false, ids, 2},
                                 {"b", false, ids, 2},
                                 {"c", false, ids, 1}};
    struct craft_compiled compiled;

    (void)state;
    model->lists = lists;
    model->list_count = 3;
    craft_compile(&compiled, model, false);
    assert_int_equal(compiled.files.list_count, 2);
    assert_int_equal(compiled.policy.policy->lists.count, 3);
    craft_compiled_free(&compiled);
    craft_free();
}

static struct gray_findings compile_findings(const struct gray_model *model)
{
    struct gray_compile_options options = {0};
    struct gray_findings findings = {NULL, 0, 0, 0};
    struct gray_compiled compiled;

    memset(&compiled, 0, sizeof(compiled));
    assert_int_equal(gray_compile(model, &options, &compiled, &findings), -1);
    assert_null(compiled.policy.data);
    assert_true(findings.errors > 0);
    return findings;
}

/* One bad pattern must not hide the next. */
static void every_bad_operand_is_named(void **state)
{
    static const char *const bad[] = {"10.0.0.0/33", NULL};
    struct gray_model *model = craft_model();
    struct gray_findings findings;
    struct cond *conds[4];

    (void)state;
    conds[0] = HEADER(REGEX, "a(");
    conds[1] = HEADER(REGEX, "(a|b)*a(a|b){15}");
    conds[2] = craft_texts(GRAY_SOURCE_ADDRESS, "", GRAY_CONDITION_CIDR, bad);
    conds[3] = craft_test(GRAY_SOURCE_TIME, "", GRAY_CONDITION_TIME, NULL);
    conds[3]->zone = "../etc/passwd";
    conds[1]->pointer = "/admission/allow/1/header/regex";
    craft_allow(&model->releases[0], conds, 4);
    findings = compile_findings(model);
    assert_int_equal(findings.errors, 4);
    assert_string_equal(findings.items[0].code, "bad-pattern");
    assert_string_equal(findings.items[0].document, "Release/cart-2");
    assert_non_null(strstr(findings.items[0].sentence, "byte 2"));
    assert_string_equal(findings.items[1].code, "bad-pattern");
    assert_string_equal(findings.items[1].pointer,
                        "/admission/allow/1/header/regex");
    assert_string_equal(findings.items[2].code, "bad-cidr");
    assert_string_equal(findings.items[3].code, "unknown-zone");
    gray_findings_free(&findings);
    craft_free();
}

static void a_program_is_bounded(void **state)
{
    struct gray_model *model = craft_model();
    struct cond *any = craft(sizeof(*any));
    struct gray_findings findings;
    struct craft_compiled compiled;
    uint32_t i;

    (void)state;
    any->kind = COND_ANY;
    any->pointer = "/admission/require";
    any->child_count = 400; /* cheap enough for gate 3 */
    any->children = craft((GRAY_PROGRAM_MAX + 1) * sizeof(*any->children));
    for (i = 0; i <= GRAY_PROGRAM_MAX; i++) {
        any->children[i] = *HEADER(PRESENT, NULL);
    }
    model->releases[0].require = any;
    craft_compile(&compiled, model, false);
    assert_int_equal(gray_release_at(&compiled.policy, 0)->require_count, 400);
    craft_compiled_free(&compiled);
    any->child_count = GRAY_PROGRAM_MAX;
    findings = compile_findings(model);
    assert_string_equal(findings.items[0].code, "too-costly");
    gray_findings_free(&findings);
    any->child_count = GRAY_PROGRAM_MAX + 1;
    findings = compile_findings(model);
    assert_string_equal(findings.items[0].code, "too-many");
    gray_findings_free(&findings);
    craft_free();
}

static uint32_t fixed_word(void *context, uint64_t scope)
{
    uint64_t *seen = context;

    *seen = scope;
    return 11;
}

static uint32_t no_word(void *context, uint64_t scope)
{
    (void)context;
    (void)scope;
    return GRAY_NONE;
}

static void scope_words_are_the_runtimes(void **state)
{
    struct gray_model *model = craft_model();
    uint64_t seen = 0;
    struct gray_compile_options options = {.word_of = fixed_word,
                                           .word_context = &seen};
    struct gray_findings findings = {NULL, 0, 0, 0};
    struct gray_compiled compiled;
    struct gray_snapshot snapshot;

    (void)state;
    assert_int_equal(gray_compile(model, &options, &compiled, &findings), 0);
    assert_int_equal(gray_snapshot_open(&snapshot, compiled.policy.data,
                                        compiled.policy.size, NULL),
                     0);
    assert_int_equal(gray_release_at(&snapshot, 0)->word, 11);
    assert_true(seen == gray_hash_scope("cart-2", 6));
    gray_compiled_free(&compiled);
    options.word_of = no_word;
    assert_int_equal(gray_compile(model, &options, &compiled, &findings), -1);
    assert_string_equal(findings.items[0].code, "too-many");
    gray_findings_free(&findings);
    craft_free();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_model_gives_the_same_bytes),
        cmocka_unit_test(two_texts_of_one_hash_stay_two),
        cmocka_unit_test(lists_of_one_content_are_one_file),
        cmocka_unit_test(every_bad_operand_is_named),
        cmocka_unit_test(a_program_is_bounded),
        cmocka_unit_test(scope_words_are_the_runtimes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
