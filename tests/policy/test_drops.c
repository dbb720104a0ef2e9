/* SPDX-License-Identifier: Apache-2.0
 * test_drops.c - units counted one by one, and how many may go.
 *
 * Why: the numbers behind --allow-drop must be those of the engine, whichever
 * way a change is written, so each case here is a change, units that are in,
 * and how many of them a person would count.
 * Read next: ../../policy/standing.h, ../../policy/gates_drops.c.
 */
#include "tests/policy/read_policy.h"

#include "policy/standing.h"

/* Units that are in, as "1,2,u3"; everyone came in at the entrance "a". */
struct crowd {
    const char *units;
    uint8_t variant;
    enum gray_counted counted;
};

static enum gray_counted count_crowd(void *context,
                                     struct gray_standing *standing,
                                     struct gray_tally *ret_tally,
                                     char ret_why[160])
{
    const struct crowd *crowd = context;
    const char *at = crowd->units;

    while (*at != '\0') {
        size_t length = strcspn(at, ",");
        struct gray_standing_mark mark = {
            .unit = {at, (uint32_t)length},
            .entrance = gray_hash_name("a", 1),
            .variant = crowd->variant};

        gray_standing_add(standing, &mark, ret_tally);
        at += length + (at[length] == ',');
    }
    if (crowd->counted != GRAY_COUNTED_EXACT) {
        strcpy(ret_why, "the journal ended");
    }
    return crowd->counted;
}

struct change {
    const char *before, *after;
    const char *units;
    uint64_t drops, at_once, denied;
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

static int compare(const struct change *change, struct crowd *crowd,
                   int64_t allowed, struct gray_findings *findings,
                   struct gray_drops *drops)
{
    struct gray_model *before = model_of(change->before);
    struct gray_model *after = model_of(change->after);
    struct gray_counter counter = {count_crowd, crowd};
    struct gray_gate_options options = {.counter = &counter,
                                        .allow_drop = allowed >= 0,
                                        .drop = (uint64_t)allowed};
    int status =
        gray_gates_compare(before, after, &options, findings, drops);

    gray_model_free(before);
    gray_model_free(after);
    return status;
}

static void check_change(const struct change *change)
{
    struct crowd crowd = {change->units, 0, GRAY_COUNTED_EXACT};
    struct gray_findings findings = {0};
    struct gray_drops drops;
    uint64_t marks = 0, at_once = 0, denied = 0;

    compare(change, &crowd, -1, &findings, &drops);
    for (size_t i = 0; i < drops.count; i++) {
        const struct gray_drop *drop = &drops.items[i];

        assert_string_equal(drop->release, "cart-2");
        marks += drop->meant ? 0 : drop->marks;
        at_once += drop->meant ? 0 : drop->at_once;
        denied += drop->meant ? drop->marks : 0;
    }
    if (marks != change->drops || at_once != change->at_once ||
        denied != change->denied) {
        fprintf(stderr,
                "before:\n%safter:\n%s%s: %llu drop, %llu at once, %llu "
                "denied\n",
                change->before, change->after, change->units,
                (unsigned long long)marks, (unsigned long long)at_once,
                (unsigned long long)denied);
        gray_findings_print(&findings, stderr);
        fail();
    }
    gray_findings_free(&findings);
    gray_drops_free(&drops);
    /* So many, and no other number. */
    if (change->drops > 0) {
        assert_int_equal(compare(change, &crowd, (int64_t)change->drops - 1,
                                 &findings, NULL),
                         -1);
        assert_non_null(find_code(&findings, "drop-count"));
        gray_findings_free(&findings);
    }
    assert_int_equal(compare(change, &crowd, (int64_t)change->drops, &findings,
                             NULL),
                     0);
    gray_findings_free(&findings);
}

#define ALL(x) "admission: {share: 100, match: [" x "]}\n"
#define LIST(ids) "---\nkind: List\nname: team\nids: [" ids "]\n"

static void test_units_are_counted_by_the_engine(void **state)
{
    static const struct change changes[] = {
        {ALL("{idTail: ['00', '01']}"), ALL("{idTail: ['0']}"),
         "100,101,u201,7", 2, 0, 0},
        /* Whoever the old policy does not let in either is no drop of it. */
        {ALL("{idTail: ['00']}"), ALL("{idTail: ['02']}"), "101,102,100", 1, 0,
         0},
        {ALL("{unit: {range: {start: 0, end: 100}}}"),
         ALL("{unit: {range: {start: 0, end: 50}}}"), "49,50,99,100", 2, 0, 0},
        {ALL("{list: team}") LIST("'a', 'b', 'c'"),
         ALL("{list: team}") LIST("'a'"), "a,b,c,d", 2, 0, 0},
        /* By requests that a unit may come with: there is one that drops. */
        {ALL("{header: {name: x, in: [a, b]}}"),
         ALL("{header: {name: x, in: [a]}}"), "1,2,3", 3, 0, 0},
        {ALL("{all: [{header: {name: x, in: [a, b]}}, {idTail: ['1']}]}"),
         ALL("{all: [{header: {name: x, in: [a]}}, {idTail: ['1']}]}"),
         "1,2,31", 2, 0, 0},
        {"admission: {share: 100}\n", "admission: {share: 50}\n",
         "1,2,3,4,5,6,7,8", 4, 0, 0},
        {"salt: a\nadmission: {share: 50}\n", "salt: b\n"
         "admission: {share: 50}\n", "1,2,3,4,5,6,7,8,9,10", 4, 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(changes) / sizeof(*changes); i++) {
        check_change(&changes[i]);
    }
}

static void test_a_mark_does_not_always_hold(void **state)
{
    static const struct change changes[] = {
        /* Deny stands above the mark of a monotonic release ... */
        {ALL("{idTail: ['0', '1']}"),
         "admission: {share: 100, match: [{idTail: ['0', '1']}], deny: "
         "[{idTail: ['01']}]}\n",
         "10,101,11", 1, 1, 0},
        /* ... below that of an entity: it only lets nobody new in, ... */
        {"stickiness: entity\n" ALL("{idTail: ['0', '1']}"),
         "stickiness: entity\nadmission: {share: 100, match: [{idTail: ['0', "
         "'1']}], deny: [{idTail: ['01']}]}\n",
         "10,101,11", 1, 0, 0},
        /* ... and one that names ids is meant. */
        {ALL("{idTail: ['0', '1']}"),
         "admission: {share: 100, match: [{idTail: ['0', '1']}], deny: "
         "[{unit: {in: ['101', '5']}}]}\n",
         "10,101,11", 0, 0, 1},
        /* Found elsewhere, everyone is somebody else. */
        {"admission: {share: 100}\n",
         "entrances: [b]\nadmission: {share: 100}\n", "1,2", 2, 2, 0},
        {"admission: {share: 100}\n",
         "strictKey: 128\nadmission: {share: 100}\n", "1,2", 0, 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(changes) / sizeof(*changes); i++) {
        check_change(&changes[i]);
    }
}

static void test_what_was_not_counted_whole_allows_nothing(void **state)
{
    static const struct change change = {
        ALL("{idTail: ['00', '01']}"), ALL("{idTail: ['0']}"), "100,101", 1,
        0, 0};
    struct crowd crowd = {change.units, 0, GRAY_COUNTED_AT_LEAST};
    struct gray_findings findings = {0};

    (void)state;
    assert_int_equal(compare(&change, &crowd, 1, &findings, NULL), -1);
    assert_non_null(strstr(find_code(&findings, "drop-count")->sentence,
                           "the journal ended"));
    assert_non_null(strstr(find_code(&findings, "marks-drop")->sentence,
                           "at least 1 of the 2"));
    gray_findings_free(&findings);
    crowd.counted = GRAY_COUNTED_NONE;
    assert_int_equal(compare(&change, &crowd, 1, &findings, NULL), -1);
    gray_findings_free(&findings);
}

static void test_where_no_marks_are_kept_none_drop(void **state)
{
    static const struct change change = {
        "stickiness: none\n" ALL("{idTail: ['00', '01']}"),
        "stickiness: none\n" ALL("{idTail: ['0']}"), "100,101", 0, 0, 0};
    struct crowd crowd = {change.units, 0, GRAY_COUNTED_EXACT};
    struct gray_findings findings = {0};

    (void)state;
    assert_int_equal(compare(&change, &crowd, -1, &findings, NULL), -1);
    gray_findings_free(&findings);
    assert_int_equal(compare(&change, &crowd, 1, &findings, NULL), -1);
    gray_findings_free(&findings);
    assert_int_equal(compare(&change, &crowd, 0, &findings, NULL), 0);
    gray_findings_free(&findings);
}

static void test_units_that_would_be_another_variant_s(void **state)
{
    static const char two[] =
        "kind: Release\nname: cart-2\nunit: {cookie: uid}\n"
        "admission: {share: 100}\nvariants:\n"
        "  - {name: a, weight: 50, services: [{service: cart, version: v2}]}\n"
        "  - {name: %s, weight: 50, services: [{service: cart, version: "
        "v2}]}\n";
    struct gray_findings findings = {0};
    struct gray_model *models[2];
    uint64_t marks[2];

    (void)state;
    for (int i = 0; i < 2; i++) {
        char text[1024];
        int head = snprintf(text, sizeof(text), "%s", SERVICE);

        snprintf(text + head, sizeof(text) - (size_t)head, two,
                 i == 0 ? "b" : "c");
        models[i] = read_good(text);
    }
    for (uint8_t variant = 0; variant < 2; variant++) {
        struct crowd crowd = {"1,2,3", variant, GRAY_COUNTED_EXACT};
        struct gray_counter counter = {count_crowd, &crowd};
        struct gray_gate_options options = {.counter = &counter};
        struct gray_drops drops;

        gray_gates_compare(models[0], models[1], &options, &findings, &drops);
        assert_int_equal(drops.count, 1);
        assert_string_equal(drops.items[0].kind, "variant-moved");
        marks[variant] = drops.items[0].marks;
        gray_drops_free(&drops);
        gray_findings_free(&findings);
    }
    assert_int_equal(marks[0], 0);
    assert_int_equal(marks[1], 3);
    gray_model_free(models[0]);
    gray_model_free(models[1]);
}

static void test_drops_as_json(void **state)
{
    static const struct change change = {
        ALL("{idTail: ['00', '01']}"), ALL("{idTail: ['0']}"),
        "100,101,201,301,401,501,601", 0, 0, 0};
    struct crowd crowd = {change.units, 0, GRAY_COUNTED_EXACT};
    struct gray_findings findings = {0};
    struct gray_drops drops;
    char *text;

    (void)state;
    compare(&change, &crowd, -1, &findings, &drops);
    text = gray_drops_json(&drops);
    assert_string_equal(
        text, "[{\"release\":\"cart-2\",\"kind\":\"tail-dropped\",\"what\":"
              "\"01\",\"marks\":6,\"atOnce\":0,\"counted\":\"exact\","
              "\"meant\":false,\"examples\":[\"101\",\"201\",\"301\",\"401\","
              "\"501\"]}]");
    free(text);
    gray_drops_free(&drops);
    gray_findings_free(&findings);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_units_are_counted_by_the_engine),
        cmocka_unit_test(test_a_mark_does_not_always_hold),
        cmocka_unit_test(test_what_was_not_counted_whole_allows_nothing),
        cmocka_unit_test(test_where_no_marks_are_kept_none_drop),
        cmocka_unit_test(test_units_that_would_be_another_variant_s),
        cmocka_unit_test(test_drops_as_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
