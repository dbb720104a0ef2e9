/* SPDX-License-Identifier: Apache-2.0
 * test_classes.c - automata of tests against the engine, and classes found.
 *
 * Why: the gate believes that a class's shortest value stands for all of them,
 * so each automaton must say of every value what the engine says of it, and no
 * way of answering may be missing.
 * Read next: ../../policy/classes.c, ../../policy/atom.c, vary.h.
 */
#include "tests/policy/read_policy.h"

#include "policy/classes.h"
#include "tests/policy/vary.h"

#define POLICIES 400u
#define VALUES 400u

/* Values as tests of ids and texts take them apart. */
static void draw_value(struct vary_dice *d, char to[32])
{
    static const char *const texts[] = {
        "",      "0",     "00",   "000",     "007",   "-0",  "-1",
        "100",   "101",   "gold", "Gold",    "gol",   " ",   "\t ",
        "x07",   "7x",    "+7",   "1.2.3",   "cart",  "/",   "99999",
        "18446744073709551615", "18446744073709551616", "9223372036854775807",
        "0000000000000000000000000000007"};

    if (vary_below(d, 3) == 0) {
        strcpy(to, texts[vary_below(d, sizeof(texts) / sizeof(*texts))]);
        return;
    }
    snprintf(to, 32, "%s%0*u",
             vary_below(d, 8) == 0 ? "-" : vary_below(d, 8) == 0 ? "u" : "",
             (int)vary_below(d, 6), vary_below(d, 30000));
}

/* Each test of ids in a policy and the next one, as a release of its own. */
static void check_policy(uint32_t number)
{
    struct vary_release old, now;
    struct gray_arena arena = {0};
    struct gray_compiled files;
    struct gray_compile_options options = {.revision = 1};
    struct gray_findings findings = {0};
    struct gray_snapshot snapshot;
    struct gray_list lists[8];
    struct gray_view view = {.policy = &snapshot, .lists = lists};
    struct vary_dice dice = {number};
    struct vary_request nothing = {0};
    uint32_t count;

    vary_pair(number, &old, &now);
    char *text = vary_probes(&old, &now, &count);
    struct gray_model *model = read_good(text);
    assert_int_equal(gray_compile(model, &options, &files, &findings), 0);
    assert_int_equal(gray_snapshot_open(&snapshot, files.policy.data,
                                        files.policy.size, NULL),
                     0);
    view.list_count = snapshot.policy->lists.count;
    const struct gray_list_ref *refs =
        (const void *)(snapshot.base + snapshot.policy->lists.offset);
    for (uint32_t i = 0; i < view.list_count; i++) {
        struct gray_str file = gray_text(&snapshot, refs[i].file);
        for (size_t k = 0; k < files.list_count; k++) {
            if (strncmp(files.lists[k].name, file.data, file.length) == 0) {
                assert_int_equal(gray_list_open(&lists[i], files.lists[k].data,
                                                files.lists[k].size, NULL),
                                 0);
            }
        }
    }
    for (uint32_t i = 0; i < model->release_count; i++) {
        struct side side = {model->releases[i].match[0].when, model};
        struct classes classes = {.arena = &arena,
                                  .source = GRAY_SOURCE_COOKIE};
        struct atom atom;

        assert_int_equal(gray_atom_make(&arena, side, &atom), 0);
        classes.atoms = &atom;
        classes.atom_count = 1;
        for (uint32_t k = 0; k < VALUES; k++) {
            char value[32], room[64];
            struct gray_input in;
            struct gray_verdict verdict;
            struct answers answers;

            draw_value(&dice, value);
            if (*value == '\0' || strpbrk(value, " \t") != NULL) {
                continue; /* no unit, or not what a cookie keeps */
            }
            vary_feed(&nothing, value, room, &snapshot, &in);
            gray_decide_release(&view, i, &in, NULL, NULL, &verdict, NULL);
            gray_classes_answers(
                &classes,
                (struct model_text){value, (uint32_t)strlen(value)},
                &answers);
            if (answer_of(&answers, 0) != verdict.in) {
                fprintf(stderr, "%s\nrelease %s: \"%s\" is %s\n", text,
                        model->releases[i].name, value,
                        verdict.in ? "in" : "out");
                fail();
            }
        }
        gray_atom_free(&atom);
    }
    gray_compiled_free(&files);
    gray_findings_free(&findings);
    gray_arena_free(&arena);
    gray_model_free(model);
    free(text);
    vary_free();
}

static void test_automata_say_what_the_engine_says(void **state)
{
    (void)state;
    for (uint32_t i = 1; i <= POLICIES; i++) {
        check_policy(i);
    }
}

/* ---- classes ------------------------------------------------------------------ */

/* The classes of tests that are the alternatives of one condition. */
static uint32_t count_classes(const char *tests, const char **ret_incomplete)
{
    char text[1024];
    struct gray_arena arena = {0};
    struct atom atoms[16];
    uint64_t steps = GRAY_CLASS_STEPS_MAX;
    struct classes classes = {.arena = &arena, .source = GRAY_SOURCE_COOKIE,
                              .atoms = atoms, .steps = &steps};

    snprintf(text, sizeof(text), "%s%sadmission: {share: 1, match: [{any: "
             "[%s]}]}\n", SERVICE, RELEASE, tests);
    struct gray_model *model = read_good(text);
    const struct cond *any = model->releases[0].match[0].when;
    for (uint32_t i = 0; i < any->child_count; i++) {
        struct side side = {&any->children[i], model};

        assert_int_equal(gray_atom_make(&arena, side, &atoms[i]), 0);
        classes.atom_count++;
    }
    gray_classes_make(&classes);
    for (uint32_t i = 0; i < classes.atom_count; i++) {
        gray_atom_free(&atoms[i]);
    }
    *ret_incomplete = classes.incomplete;
    uint32_t count = classes.count;
    gray_arena_free(&arena);
    gray_model_free(model);
    return count;
}

static void test_every_way_of_answering_is_found(void **state)
{
    static const struct {
        const char *tests;
        uint32_t classes; /* the empty value for itself */
    } cases[] = {
        {"{idTail: ['00', '01']}, {idTail: ['0']}", 5},
        {"{unit: {prefix: a}}, {unit: {suffix: a}}", 5},
        {"{unit: {prefix: ab}}, {unit: {exact: abc}}", 4},
        {"{unit: {range: {start: 5, end: 20}}}, {mod: {divisor: 7, in: [3]}}",
         5},
        {"{unit: {regex: '[a-z]{3}'}}, {unit: {glob: '*x'}}", 5},
        {"{unit: {exact: AB, ignoreCase: true}}, {unit: {exact: Ab}}", 4},
        {"{unit: {range: {start: -5, end: 5}}}, {unit: {exact: '-5'}}, "
         "{unit: {prefix: '-'}}",
         6},
    };
    const char *incomplete;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        uint32_t count = count_classes(cases[i].tests, &incomplete);

        assert_null(incomplete);
        if (count != cases[i].classes) {
            fprintf(stderr, "%s: %u classes\n", cases[i].tests, count);
        }
        assert_int_equal(count, cases[i].classes);
    }
}

static void test_what_is_too_large_says_so(void **state)
{
    const char *incomplete;

    (void)state;
    count_classes("{mod: {divisor: 9999991, in: [1]}}, {idTail: ['0']}",
                  &incomplete);
    assert_non_null(incomplete);
    count_classes("{mod: {divisor: 99991, in: [1]}}, {mod: {divisor: 99989, "
                  "in: [1]}}",
                  &incomplete);
    assert_non_null(incomplete);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_automata_say_what_the_engine_says),
        cmocka_unit_test(test_every_way_of_answering_is_found),
        cmocka_unit_test(test_what_is_too_large_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
