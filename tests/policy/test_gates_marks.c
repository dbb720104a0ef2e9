/* SPDX-License-Identifier: Apache-2.0
 * test_gates_marks.c - marks, stages and dimensions over a change.
 *
 * Why: a mark outlives the document that made it.  Each case is a release
 * before and after and the code that must be found, or none; the same policy
 * twice is never refused.
 * Read next: ../../policy/gates_marks.c, test_gates.c.
 */
#include "tests/policy/read_policy.h"

struct change {
    const char *before, *after;
    const char *code;  /* of the one finding; NULL: none */
    const char *names; /* what its sentence says */
    bool warning;
};

static struct gray_model *model_of(const char *lines)
{
    size_t size = strlen(lines) + 1024;
    char *text = take(size);
    snprintf(text, size, "%s%s%s", SERVICE, RELEASE, lines);
    struct gray_model *model = read_good(text);
    free(text);
    return model;
}

static void fail_with(const struct change *change,
                      const struct gray_findings *findings)
{
    fprintf(stderr, "before:\n%safter:\n%swanted %s '%s', found:\n",
            change->before, change->after,
            change->code == NULL ? "nothing" : change->code,
            change->names == NULL ? "" : change->names);
    gray_findings_print(findings, stderr);
    fail();
}

static void check_change(const struct change *change)
{
    struct gray_counter nobody = {count_nobody, NULL};
    struct gray_gate_options options = {.allow_drop = true,
                                        .counter = &nobody};
    struct gray_findings findings = {0}, allowed = {0};
    struct gray_model *before = model_of(change->before);
    struct gray_model *after = model_of(change->after);
    bool refused = change->code != NULL && !change->warning;
    int status = gray_gates_compare(before, after, NULL, &findings, NULL);

    if (status != (refused ? -1 : 0) ||
        findings.count != (change->code != NULL) ||
        (change->code != NULL &&
         (strcmp(findings.items[0].code, change->code) != 0 ||
          strstr(findings.items[0].sentence, change->names) == NULL ||
          findings.items[0].line == 0))) {
        fail_with(change, &findings);
    }
    assert_int_equal(
        gray_gates_compare(before, after, &options, &allowed, NULL), 0);
    assert_int_equal(allowed.count, findings.count);
    gray_findings_free(&allowed);
    assert_int_equal(gray_gates_compare(before, before, NULL, &allowed, NULL),
                     0);
    assert_int_equal(gray_gates_compare(after, after, NULL, &allowed, NULL), 0);
    assert_int_equal(allowed.count, 0);
    gray_findings_free(&findings);
    gray_model_free(before);
    gray_model_free(after);
}

#define CHECK(changes)                                                     \
    for (size_t i = 0; i < sizeof(changes) / sizeof(*(changes)); i++) {    \
        check_change(&changes[i]);                                         \
    }

#define IN "admission: {share: 10}\n"
#define OUT "admission: {share: 0}\n"

static void test_how_marks_are_kept_stays(void **state)
{
    static const struct change changes[] = {
        {IN, "stickiness: entity\n" IN, "marks-changed", "was monotonic",
         false},
        {IN, "stickiness: none\n" IN, "marks-changed", "was monotonic", false},
        {"stickiness: entity\n" IN, IN, "marks-changed", "was entity", false},
        {OUT, "stickiness: entity\n" OUT, NULL, NULL, false},
        {IN, "strictKey: 128\n" IN, "marks-changed", "strictKey was 64",
         false},
        {"strictKey: 128\n" IN, IN, "marks-changed", "strictKey was 128",
         false},
        {"strictKey: 128\n" OUT, OUT, NULL, NULL, false},
        {IN, "durability: strict\n" IN, NULL, NULL, false},
        {"durability: strict\n" IN, "durability: strict\nstrictTimeout: 1s\n"
                                    "admissionLease: 20s\n" IN,
         NULL, NULL, false},
        {IN, "sharedMarks: redis\n" IN, NULL, NULL, false},
    };
    (void)state;
    CHECK(changes);
}

#define CREATE "{name: create, writes: true, when: {path: {prefix: /new}}}"
#define UPDATE "{name: update, when: {path: {prefix: /up}}}"
#define STAGES(list) "stages: [" list "]\n"

static void test_who_writes_stays(void **state)
{
    static const struct change changes[] = {
        {IN, STAGES(CREATE) IN, "stages-changed", "no stages", false},
        {STAGES(CREATE) IN, IN, "stages-changed", "had stages", false},
        {OUT, STAGES(CREATE) OUT, NULL, NULL, false},
        {STAGES(CREATE "," UPDATE) IN, STAGES(CREATE) IN, "stages-changed",
         "update is gone", false},
        {STAGES(CREATE) IN, STAGES(CREATE "," UPDATE) IN, NULL, NULL, false},
        {STAGES(CREATE "," UPDATE) IN, STAGES(UPDATE "," CREATE) IN, NULL,
         NULL, false},
        {STAGES(CREATE "," UPDATE) IN,
         STAGES(CREATE ",{name: update, writes: true, when: {path: {prefix: "
                       "/up}}}") IN,
         "stages-changed", "update would begin to write", false},
        {STAGES(CREATE ",{name: more, writes: true}") IN,
         STAGES(CREATE ",{name: more}") IN, "stages-changed",
         "more would stop writing", false},
        {STAGES(CREATE) IN, STAGES(CREATE ",{name: more, writes: true}") IN,
         "stages-changed", "more would begin to write", false},
        {STAGES(CREATE) IN,
         STAGES("{name: create, writes: true, when: {path: {prefix: /n}}}") IN,
         "stages-changed", "other conditions", true},
        {STAGES(CREATE "," UPDATE) IN,
         STAGES(CREATE ",{name: update, onMissing: backfill, when: {path: "
                       "{prefix: /up}}}") IN,
         NULL, NULL, false},
    };
    (void)state;
    CHECK(changes);
}

#define TWO                                                                \
    "stages: [{name: create, writes: true}, {name: pay, writes: true}, "   \
    "{name: up, of: create}]\ndimensions: [create, pay]\n"
#define THREE                                                              \
    "stages: [{name: create, writes: true}, {name: pay, writes: true}, "   \
    "{name: up, of: create}, {name: ship, writes: true}]\n"                \
    "dimensions: [create, pay, ship]\n"
#define AT(where, rest) "admission: {dimension: " where ", " rest "}\n"

static void test_one_dimension_opens_after_the_other(void **state)
{
    static const struct change changes[] = {
        {TWO AT("create", "share: 100"), TWO AT("pay", "share: 1"), NULL, NULL,
         false},
        {TWO AT("create", "share: 100"), TWO AT("pay", "share: 0"), NULL, NULL,
         false},
        {TWO AT("create", "share: 90, holdback: 10"),
         TWO AT("pay", "share: 5, holdback: 10"), NULL, NULL, false},
        {TWO AT("create", "share: 89.9999, holdback: 10"),
         TWO AT("pay", "share: 5, holdback: 10"), "dimension-early",
         "create stands at 89.9999 %; pay opens when it stands at 90 %",
         false},
        {TWO AT("create", "share: 0"), TWO AT("pay", "share: 0"),
         "dimension-early", "create stands at 0 %", false},
        {TWO AT("pay", "share: 5"), TWO AT("create", "share: 100"),
         "share-lowered", "pay moved and create would", false},
        {THREE AT("create", "share: 100"), THREE AT("ship", "share: 1"),
         "two-dimensions", "ship is not the one behind it", false},
        {TWO AT("pay", "share: 5"), TWO AT("pay", "share: 4"), "share-lowered",
         "was 5", false},
        {TWO AT("pay", "share: 5"), TWO AT("pay", "share: 5, holdback: 3"),
         "share-lowered", "hold-back grows", false},
        /* P3: nothing else with it. */
        {TWO AT("create", "share: 100, match: [{path: {prefix: /a}}]"),
         TWO AT("pay", "share: 1, match: [{path: {prefix: /a}}, {path: "
                       "{prefix: /b}}]"),
         "two-dimensions", "dimension, match change", false},
        /* One that comes last begins to write for nobody who was answered. */
        {TWO AT("create", "share: 10"), THREE AT("create", "share: 10"), NULL,
         NULL, false},
        {TWO AT("create", "share: 10"),
         "stages: [{name: create, writes: true}, {name: pay, writes: true}, "
         "{name: up, of: pay}]\ndimensions: [create, pay]\n" AT("create",
                                                                "share: 10"),
         "stages-changed", "up would use the marks of another", false},
    };
    (void)state;
    CHECK(changes);
}

static void test_an_earlier_name_is_missed(void **state)
{
    struct gray_findings findings = {0};
    struct gray_model *before = read_good(
        SERVICE "kind: Release\nname: cart-2\nservices: [{service: cart, "
                "version: v2}]\nunit: {cookie: uid, alias: {cookie: did}}\n" IN);
    struct gray_model *after = model_of(IN);

    (void)state;
    assert_int_equal(gray_gates_compare(before, after, NULL, &findings, NULL), 0);
    assert_int_equal(findings.count, 1);
    assert_string_equal(findings.items[0].code, "may-drop");
    assert_int_equal(gray_gates_compare(after, before, NULL, &findings, NULL), 0);
    assert_int_equal(findings.count, 1);
    gray_findings_free(&findings);
    gray_model_free(before);
    gray_model_free(after);
}

/* Who publishes without a writer is told; who has one is not. */
static void test_strict_without_a_writer_is_said(void **state)
{
    struct gray_findings findings = {0};
    struct gray_model *async = model_of(IN);
    struct gray_model *strict = model_of("durability: strict\n" IN);

    (void)state;
    gray_model_warn_durable(async, &findings);
    assert_int_equal(findings.count, 0);
    gray_model_warn_durable(strict, &findings);
    assert_int_equal(findings.count, 1);
    assert_int_equal(findings.errors, 0);
    assert_string_equal(findings.items[0].code, "only-in-memory");
    assert_string_equal(findings.items[0].document, "Release/cart-2");
    assert_int_not_equal(findings.items[0].line, 0);
    assert_non_null(strstr(findings.items[0].sentence, "gray apply"));
    gray_findings_free(&findings);
    gray_model_free(async);
    gray_model_free(strict);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_how_marks_are_kept_stays),
        cmocka_unit_test(test_who_writes_stays),
        cmocka_unit_test(test_one_dimension_opens_after_the_other),
        cmocka_unit_test(test_an_earlier_name_is_missed),
        cmocka_unit_test(test_strict_without_a_writer_is_said),
    };
    return cmocka_run_group_tests_name("gates_marks", tests, NULL, NULL);
}
