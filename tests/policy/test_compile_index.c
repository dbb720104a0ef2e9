/* SPDX-License-Identifier: Apache-2.0
 * test_compile_index.c - an index or a sieve never changes an answer.
 *
 * Why: a rule that stands under a key too narrow is missed without a trace.
 * Random rule sets, large and small, are compiled twice, with and without
 * index and sieve, and asked the same random questions; rule numbers must
 * agree, not just yes and no.
 * Read next: ../../policy/compile_index.c, ../../policy/compile_sieve.c.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/policy/craft_model.h"

static uint64_t seed;

static uint32_t below(uint32_t limit)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((seed >> 33) % limit);
}

/* Few and short values, so that questions meet rules. */
static char *word(void)
{
    static const char letters[] = "aAbB-/";
    char text[40];
    uint32_t i, length = below(4) == 0 ? below(36) : below(4);

    for (i = 0; i < length; i++) {
        text[i] = letters[below(6)];
    }
    text[i] = '\0';
    return craft_print("%s", text);
}

static struct cond *leaf(void)
{
    static const uint8_t sources[] = {GRAY_SOURCE_HEADER, GRAY_SOURCE_COOKIE,
                                      GRAY_SOURCE_QUERY, GRAY_SOURCE_PATH,
                                      GRAY_SOURCE_METHOD, GRAY_SOURCE_UNIT};
    static const uint8_t ops[] = {
        GRAY_CONDITION_EXACT,  GRAY_CONDITION_EXACT,  GRAY_CONDITION_EXACT,
        GRAY_CONDITION_PREFIX, GRAY_CONDITION_PREFIX, GRAY_CONDITION_SUFFIX,
        GRAY_CONDITION_IN,     GRAY_CONDITION_IN,     GRAY_CONDITION_NOT_IN,
        GRAY_CONDITION_ABSENT, GRAY_CONDITION_BLANK,  GRAY_CONDITION_PRESENT,
        GRAY_CONDITION_GLOB,   GRAY_CONDITION_REGEX};
    uint8_t source = sources[below(sizeof(sources))];
    uint8_t op = ops[below(sizeof(ops) - (below(8) != 0 ? 2 : 0))];
    bool named = source <= GRAY_SOURCE_QUERY && source >= GRAY_SOURCE_HEADER;
    const char *name = named ? craft_print("n%u", below(3)) : "";
    struct cond *cond;

    if (op == GRAY_CONDITION_IN || op == GRAY_CONDITION_NOT_IN) {
        const char *texts[80];
        uint32_t i, count = below(20) == 0 ? 70 : 1 + below(4);

        for (i = 0; i < count; i++) {
            texts[i] = word();
        }
        texts[count] = NULL;
        cond = craft_texts(source, name, op, texts);
    } else {
        const char *text = word();

        if (op == GRAY_CONDITION_GLOB) {
            text = craft_print("%s*", text);
        } else if (op == GRAY_CONDITION_REGEX) {
            text = craft_print("%s(%s)?", text, word());
        }
        cond = craft_test(source, name, op, text);
    }
    cond->ignore_case = below(3) == 0;
    return cond;
}

static struct cond *tree(uint32_t depth)
{
    struct cond *a;

    if (depth == 0 || below(3) == 0) {
        return leaf();
    }
    a = tree(depth - 1);
    switch (below(5)) {
    case 0:
        return craft_not(a);
    case 1:
    case 2:
        return craft_any(a, tree(depth - 1));
    default:
        return craft_all(a, tree(depth - 1));
    }
}

static void ask(const struct craft_compiled *indexed,
                const struct craft_compiled *plain)
{
    const char *headers[8];
    struct gray_input in[2];
    struct gray_colour colour[2];
    uint32_t i, count = below(5);
    const char *target;

    for (i = 0; i < count; i++) {
        headers[i] = below(3) == 0
                         ? craft_print("cookie: n%u=%s; uid=%s", below(3),
                                       word(), word())
                         : craft_print("n%u: %s", below(3), word());
    }
    headers[count] = NULL;
    target = craft_print("/%s?n%u=%s", word(), below(3), word());
    craft_input(&in[0], indexed, target, headers);
    craft_input(&in[1], plain, target, headers);
    gray_decide(&indexed->view, 0, &in[0], NULL, NULL, &colour[0], NULL);
    gray_decide(&plain->view, 0, &in[1], NULL, NULL, &colour[1], NULL);
    assert_int_equal(colour[0].lane_rule, colour[1].lane_rule);
    assert_int_equal(colour[0].lane, colour[1].lane);
    assert_int_equal(colour[0].arm_count, colour[1].arm_count);
    if (colour[0].arm_count != 0) {
        assert_int_equal(colour[0].arms[0].rule, colour[1].arms[0].rule);
    }
}

static void random_rules_answer_alike_with_and_without(void **state)
{
    const uint32_t members[] = {0, GRAY_NONE};
    uint32_t round, i, hits = 0, sieves = 0;

    (void)state;
    for (round = 0; round < 160; round++) {
        struct gray_model *model = craft_model();
        struct model_lane lane = craft_lane("red", members);
        struct craft_compiled indexed, plain;
        struct cond *conds[40];
        struct gray_compile_options options = {.revision = 7};
        struct gray_findings findings = {NULL, 0, 0, 0};
        uint32_t count = round % 2 == 0 ? 10 + below(14) : 1 + below(8);

        model->lanes = &lane;
        model->lane_count = 1;
        for (i = 0; i < count; i++) {
            conds[i] = tree(3);
        }
        craft_lane_rules(model, conds, count);
        craft_allow(&model->releases[0], conds, count < 10 ? count : 10);
        if (gray_compile(model, &options, &indexed.files, &findings) != 0) {
            /* Gate 3 may refuse what chance made; nothing else may. */
            assert_string_equal(findings.items[0].code, "too-costly");
            gray_findings_free(&findings);
            craft_free();
            continue;
        }
        gray_compiled_free(&indexed.files);
        craft_compile(&indexed, model, false);
        craft_compile(&plain, model, true);
        assert_int_equal(plain.policy.policy->indexes.count, 0);
        assert_int_equal(plain.policy.policy->sieves.count, 0);
        hits += indexed.policy.policy->indexes.count != 0;
        sieves += indexed.policy.policy->sieves.count != 0;
        for (i = 0; i < 400; i++) {
            ask(&indexed, &plain);
        }
        craft_compiled_free(&indexed);
        craft_compiled_free(&plain);
        craft_free();
    }
    assert_true(hits >= 40 && sieves >= 60);
}

/* The key with the fewest rules is taken: here the second of each pair. */
static void the_rarest_key_is_taken(void **state)
{
    const uint32_t members[] = {0, GRAY_NONE};
    struct gray_model *model = craft_model();
    struct model_lane lane = craft_lane("red", members);
    const struct gray_posting *postings;
    struct craft_compiled compiled;
    struct cond *conds[100];
    uint32_t i, longest = 0;

    (void)state;
    model->lanes = &lane;
    model->lane_count = 1;
    for (i = 0; i < 100; i++) {
        conds[i] = craft_all(
            craft_test(GRAY_SOURCE_HEADER, "x-env", GRAY_CONDITION_EXACT,
                       "prod"),
            craft_all(craft_test(GRAY_SOURCE_HEADER, "x-user",
                                 GRAY_CONDITION_EXACT, craft_print("u%u", i)),
                      craft_test(GRAY_SOURCE_PATH, "", GRAY_CONDITION_PREFIX,
                                 "/")));
    }
    craft_lane_rules(model, conds, 100);
    craft_compile(&compiled, model, false);
    postings = (const void *)(compiled.policy.base +
                              compiled.policy.policy->postings.offset);
    for (i = 0; i < compiled.policy.policy->postings.count; i++) {
        if (postings[i].used && postings[i].rules.count > longest) {
            longest = postings[i].rules.count;
        }
    }
    assert_int_equal(longest, 1);
    assert_true(compiled.files.cost_bound_ns < 300);
    craft_compiled_free(&compiled);
    craft_free();
}

/* What follows a fixed start may be left out: it is no part of the start. */
static void a_pattern_may_end_where_it_began(void **state)
{
    static const char *const targets[] = {"/a", "/ab", "/abc", "/b"};
    const uint32_t members[] = {0, GRAY_NONE};
    struct gray_model *model = craft_model();
    struct model_lane lane = craft_lane("red", members);
    struct craft_compiled compiled;
    struct cond *conds[9];
    struct gray_input in;
    struct gray_colour colour;
    uint32_t i;

    (void)state;
    model->lanes = &lane;
    model->lane_count = 1;
    for (i = 0; i < 9; i++) {
        conds[i] = craft_test(GRAY_SOURCE_PATH, "", GRAY_CONDITION_REGEX,
                              "/a(b(c)?)?");
    }
    craft_lane_rules(model, conds, 9);
    craft_compile(&compiled, model, false);
    assert_int_equal(compiled.policy.policy->indexes.count, 1);
    for (i = 0; i < 4; i++) {
        craft_input(&in, &compiled, targets[i], NULL);
        gray_decide(&compiled.view, 0, &in, NULL, NULL, &colour, NULL);
        assert_int_equal(colour.lane, i < 3 ? 0 : GRAY_NONE);
    }
    craft_compiled_free(&compiled);
    craft_free();
}

/* Both models are asked the same; returns the rule. */
static uint32_t ask_both(const struct craft_compiled *indexed,
                         const struct craft_compiled *plain,
                         const char *target)
{
    struct gray_input in[2];
    struct gray_colour colour[2];

    craft_input(&in[0], indexed, target, NULL);
    craft_input(&in[1], plain, target, NULL);
    gray_decide(&indexed->view, 0, &in[0], NULL, NULL, &colour[0], NULL);
    gray_decide(&plain->view, 0, &in[1], NULL, NULL, &colour[1], NULL);
    assert_int_equal(colour[0].lane_rule, colour[1].lane_rule);
    return colour[0].lane_rule;
}

/* Rules of a large fleet differ in their last bytes; ten lengths in all. */
static void numbers_at_the_end_are_told_apart(void **state)
{
    static const char *const targets[] = {
        "/svc/%u/x", "/svc/%u", "/svc/%u/", "/api/v1/tenant-%u/cart",
        "/api/v1/tenant-%u", "/api/v1/tenant-%u0/", "/svc/0%u/", "/api/%u"};
    const uint32_t members[] = {0, GRAY_NONE}, count = 40000;
    struct gray_model *model = craft_model();
    struct model_lane lane = craft_lane("red", members);
    struct cond **conds = malloc(count * sizeof(*conds));
    struct craft_compiled indexed, plain;
    uint32_t i, number, rule, hits = 0, misses = 0;

    (void)state;
    assert_non_null(conds);
    model->lanes = &lane;
    model->lane_count = 1;
    for (i = 0; i < count; i += 2) {
        conds[i] = craft_test(GRAY_SOURCE_PATH, "", GRAY_CONDITION_GLOB,
                              craft_print("/svc/%u/*", i / 2));
        conds[i + 1] =
            craft_test(GRAY_SOURCE_PATH, "", GRAY_CONDITION_PREFIX,
                       craft_print("/api/v1/tenant-%u/", i / 2));
    }
    craft_lane_rules(model, conds, count);
    craft_compile(&indexed, model, false);
    craft_compile(&plain, model, true);
    assert_int_equal(indexed.policy.policy->indexes.count, 1);
    assert_true(indexed.files.cost_bound_ns < GRAY_COST_BOUND_NS);
    for (i = 0; i < 240; i++) {
        /* As many of each number of digits. */
        static const uint32_t below_of[] = {10, 100, 1000, 10000, 21000};

        number = below(below_of[i % 5]);
        rule = ask_both(&indexed, &plain, craft_print(targets[i % 8], number));
        hits += rule != GRAY_NONE;
        misses += rule == GRAY_NONE;
    }
    assert_true(hits > 60 && misses > 60);
    craft_compiled_free(&indexed);
    craft_compiled_free(&plain);
    free(conds);
    craft_free();
}

/* Bytes of a path, few different ones: prefixes of each other are many. */
static char *deep_path(uint32_t length)
{
    char *text = craft(length + 1);
    uint32_t i;

    text[0] = '/';
    for (i = 1; i < length; i++) {
        text[i] = i % 40 != 0 ? 'a' : "ab"[below(2)];
    }
    return text;
}

/* Prefixes of many lengths, also of more bytes than a key stands for. */
static void more_lengths_than_are_kept_lose_no_rule(void **state)
{
    const uint32_t members[] = {0, GRAY_NONE};
    uint32_t round, i, k, hits = 0;

    (void)state;
    /* compilers draw in different orders above: the same rules for all */
    seed = 0;
    for (round = 0; round < 8; round++) {
        struct gray_model *model = craft_model();
        struct model_lane lane = craft_lane("red", members);
        const struct gray_index_slot *slot;
        struct craft_compiled indexed, plain;
        struct cond *conds[60];

        model->lanes = &lane;
        model->lane_count = 1;
        for (i = 0; i < 60; i++) {
            conds[i] = craft_test(
                GRAY_SOURCE_PATH, "",
                i % 20 ? GRAY_CONDITION_PREFIX : GRAY_CONDITION_GLOB,
                craft_print(i % 20 ? "%s" : "%s*", deep_path(1 + below(320))));
            if (i % 5 == 0) {
                conds[i] = craft_any(conds[i],
                                     craft_test(GRAY_SOURCE_METHOD, "",
                                                GRAY_CONDITION_EXACT, "PUT"));
            }
            conds[i] = craft_all(
                conds[i], craft_test(GRAY_SOURCE_PATH, "",
                                     GRAY_CONDITION_SUFFIX,
                                     craft_print("z%u", below(4))));
        }
        craft_lane_rules(model, conds, 60);
        craft_compile(&indexed, model, false);
        craft_compile(&plain, model, true);
        slot = (const void *)(indexed.policy.base +
                              indexed.policy.policy->index_slots.offset);
        while (slot->prefix_count == 0) {
            slot++;
        }
        assert_int_equal(slot->prefix_count, GRAY_PREFIXES_MAX);
        for (i = 0; i < 300; i++) {
            /* drawn one after another: compilers differ in what is first */
            uint32_t end = below(4);
            char *target =
                craft_print("%sz%u", deep_path(1 + below(400)), end);

            k = ask_both(&indexed, &plain, target);
            hits += k != GRAY_NONE;
        }
        craft_compiled_free(&indexed);
        craft_compiled_free(&plain);
        craft_free();
    }
    assert_true(hits > 400 && hits < 8 * 300);
}

/* At the limit of keys for one rule, and beyond it. */
static void a_rule_stands_under_64_keys_at_most(void **state)
{
    const uint32_t members[] = {0, GRAY_NONE};
    uint32_t count, i;

    (void)state;
    for (count = 64; count <= 65; count++) {
        struct gray_model *model = craft_model();
        struct model_lane lane = craft_lane("red", members);
        struct craft_compiled compiled;
        const struct gray_index_slot *slot;
        const char *texts[70];
        struct cond *conds[9];

        model->lanes = &lane;
        model->lane_count = 1;
        for (i = 0; i < count; i++) {
            texts[i] = craft_print("t%u", i);
        }
        texts[count] = NULL;
        for (i = 0; i < 9; i++) {
            conds[i] = craft_texts(GRAY_SOURCE_HEADER, "x-a",
                                   GRAY_CONDITION_IN, texts);
        }
        craft_lane_rules(model, conds, 9);
        craft_compile(&compiled, model, false);
        slot = (const void *)(compiled.policy.base +
                              compiled.policy.policy->index_slots.offset);
        assert_int_equal(slot->keys,
                         count == 64 ? GRAY_KEY_EXACT : GRAY_KEY_PRESENT);
        craft_compiled_free(&compiled);
        craft_free();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_rules_answer_alike_with_and_without),
        cmocka_unit_test(the_rarest_key_is_taken),
        cmocka_unit_test(a_pattern_may_end_where_it_began),
        cmocka_unit_test(numbers_at_the_end_are_told_apart),
        cmocka_unit_test(more_lengths_than_are_kept_lose_no_rule),
        cmocka_unit_test(a_rule_stands_under_64_keys_at_most),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
