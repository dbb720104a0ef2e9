/* SPDX-License-Identifier: Apache-2.0
 * test_cost.c - gate 3: what may be published and what may not.
 *
 * Why: a hundred thousand rules that an index tells apart cost what ten do,
 * and a thousand patterns that every request must try do not.  The gate must
 * know the difference, and say which rule to change and how.
 * Read next: ../../policy/cost.c.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/policy/craft_model.h"

static const uint32_t members[] = {0, GRAY_NONE};

static struct gray_model *with_lane(struct model_lane *lane)
{
    struct gray_model *model = craft_model();

    *lane = craft_lane("red", members);
    model->lanes = lane;
    model->lane_count = 1;
    return model;
}

static struct gray_findings refused(const struct gray_model *model)
{
    struct gray_compile_options options = {0};
    struct gray_findings findings = {NULL, 0, 0, 0};
    struct gray_compiled compiled;

    assert_int_equal(gray_compile(model, &options, &compiled, &findings), -1);
    assert_int_equal(findings.errors, 1);
    assert_string_equal(findings.items[0].code, "too-costly");
    return findings;
}

static void a_hundred_thousand_distinct_rules_pass(void **state)
{
    uint32_t count = 100000, i;
    struct cond **conds = malloc(count * sizeof(*conds));
    struct craft_compiled compiled;
    struct model_lane lane;
    struct gray_model *model = with_lane(&lane);

    (void)state;
    for (i = 0; i < count; i++) {
        conds[i] = craft_test(GRAY_SOURCE_HEADER, "x-user",
                              GRAY_CONDITION_EXACT, craft_print("user-%u", i));
    }
    craft_lane_rules(model, conds, count);
    craft_compile(&compiled, model, false);
    assert_true(compiled.files.cost_bound_ns < 200);
    assert_int_equal(compiled.policy.policy->cost_bound,
                     compiled.files.cost_bound_ns);
    craft_compiled_free(&compiled);
    free(conds);
    craft_free();
}

static void a_thousand_patterns_for_all_are_refused(void **state)
{
    struct model_lane lane;
    struct gray_model *model = with_lane(&lane);
    struct gray_findings findings;
    struct cond *conds[1000];
    uint32_t i;

    (void)state;
    for (i = 0; i < 1000; i++) {
        conds[i] = craft_test(GRAY_SOURCE_HEADER, "x-user",
                              GRAY_CONDITION_REGEX,
                              craft_print(".*-%u", i % 50));
        conds[i]->pointer = craft_print("/rules/%u/when", i);
    }
    craft_lane_rules(model, conds, 1000);
    findings = refused(model);
    assert_string_equal(findings.items[0].document, "Lane/red");
    assert_string_equal(findings.items[0].pointer, "/rules/0/when");
    assert_non_null(strstr(findings.items[0].sentence, "1000 rules"));
    assert_non_null(strstr(findings.items[0].sentence, "red[0]"));
    assert_non_null(strstr(findings.items[0].sentence, "exact, in or prefix"));
    gray_findings_free(&findings);
    /* With an exact test beside each, only one of them is ever tried. */
    for (i = 0; i < 1000; i++) {
        conds[i] = craft_all(
            conds[i], craft_test(GRAY_SOURCE_HEADER, "x-tenant",
                                 GRAY_CONDITION_EXACT, craft_print("t%u", i)));
    }
    craft_lane_rules(model, conds, 1000);
    {
        struct craft_compiled compiled;

        craft_compile(&compiled, model, false);
        craft_compiled_free(&compiled);
    }
    craft_free();
}

/* A fixed beginning of a pattern is a prefix: no advice needed. */
static void patterns_with_a_fixed_beginning_are_told_apart(void **state)
{
    struct model_lane lane;
    struct gray_model *model = with_lane(&lane);
    struct craft_compiled compiled;
    struct cond *conds[1000];
    uint32_t i;

    (void)state;
    for (i = 0; i < 1000; i++) {
        conds[i] = craft_test(GRAY_SOURCE_PATH, "",
                              i % 2 ? GRAY_CONDITION_GLOB
                                    : GRAY_CONDITION_REGEX,
                              craft_print(i % 2 ? "/t%03u/*" : "/t%03u/.+",
                                          i));
    }
    craft_lane_rules(model, conds, 1000);
    craft_compile(&compiled, model, false);
    craft_compiled_free(&compiled);
    craft_free();
}

static void only_as_many_values_count_as_a_request_has(void **state)
{
    struct model_lane lane;
    struct gray_model *model = with_lane(&lane);
    struct craft_compiled few, many;
    struct cond *conds[500];
    uint32_t i;

    (void)state;
    for (i = 0; i < 500; i++) {
        conds[i] = craft_test(GRAY_SOURCE_HEADER, craft_print("x-%u", i),
                              GRAY_CONDITION_PRESENT, NULL);
    }
    craft_lane_rules(model, conds, GRAY_VALUES_MAX);
    craft_compile(&few, model, false);
    craft_lane_rules(model, conds, GRAY_VALUES_MAX + 1);
    craft_compile(&many, model, false);
    assert_int_equal(few.files.cost_bound_ns, many.files.cost_bound_ns);
    craft_compiled_free(&many);
    craft_lane_rules(model, conds, GRAY_VALUES_MAX - 1);
    craft_compile(&many, model, false);
    assert_true(few.files.cost_bound_ns > many.files.cost_bound_ns);
    craft_compiled_free(&few);
    craft_compiled_free(&many);
    craft_free();
}

static void too_many_releases_at_one_entrance_are_refused(void **state)
{
    struct gray_model *model = craft_model();
    struct model_release *releases = craft(100 * sizeof(*releases));
    uint32_t *numbers = craft(100 * sizeof(*numbers)), i;
    struct gray_findings findings;
    struct craft_compiled compiled;

    (void)state;
    for (i = 0; i < 100; i++) {
        releases[i] = model->releases[0];
        releases[i].name = releases[i].salt = craft_print("r%02u", i);
        releases[i].priority = (int32_t)(100 - i);
        numbers[i] = i;
    }
    model->releases = releases;
    model->release_count = 100;
    model->entrances[0].releases = numbers;
    model->entrances[0].release_count = 40;
    craft_compile(&compiled, model, false);
    craft_compiled_free(&compiled);
    model->entrances[0].release_count = 100;
    findings = refused(model);
    assert_non_null(strstr(findings.items[0].sentence, "entrances of their"));
    gray_findings_free(&findings);
    craft_free();
}

/* The costliest path, not the sum of all tests: a chain of `any` groups is as
 * dear as its longest way through. */
static void a_program_costs_its_longest_path(void **state)
{
    struct gray_model *model = craft_model();
    struct craft_compiled one, two;
    struct cond *cheap = craft_test(GRAY_SOURCE_HEADER, "x-a",
                                    GRAY_CONDITION_EXACT, "a");
    struct cond *dear = craft_test(GRAY_SOURCE_HEADER, "x-b",
                                   GRAY_CONDITION_REGEX, "b.*");

    (void)state;
    model->releases[0].require = craft_any(cheap, dear);
    craft_compile(&one, model, false);
    model->releases[0].require = dear;
    craft_compile(&two, model, false);
    assert_int_equal(one.files.cost_bound_ns, two.files.cost_bound_ns + 5);
    craft_compiled_free(&one);
    craft_compiled_free(&two);
    craft_free();
}

/* Deny, allow, match, require: a request may have to go through them all. */
static void every_set_of_a_release_counts(void **state)
{
    struct gray_model *model = craft_model();
    struct model_release *release = &model->releases[0];
    struct cond *cond = craft_test(GRAY_SOURCE_HEADER, "x-a",
                                   GRAY_CONDITION_EXACT, "a");
    struct craft_compiled compiled;
    uint32_t before = 0, step;

    (void)state;
    craft_allow(release, &cond, 1);
    release->allow_count = 0;
    for (step = 0; step < 5; step++) {
        release->deny = release->match = release->allow;
        release->deny_count = step >= 1;
        release->allow_count = step >= 2;
        release->match_count = step >= 3;
        release->require = step >= 4 ? cond : NULL;
        craft_compile(&compiled, model, false);
        assert_true(compiled.files.cost_bound_ns > before);
        before = compiled.files.cost_bound_ns;
        craft_compiled_free(&compiled);
    }
    craft_free();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hundred_thousand_distinct_rules_pass),
        cmocka_unit_test(a_thousand_patterns_for_all_are_refused),
        cmocka_unit_test(patterns_with_a_fixed_beginning_are_told_apart),
        cmocka_unit_test(only_as_many_values_count_as_a_request_has),
        cmocka_unit_test(too_many_releases_at_one_entrance_are_refused),
        cmocka_unit_test(every_set_of_a_release_counts),
        cmocka_unit_test(a_program_costs_its_longest_path),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
