/* SPDX-License-Identifier: Apache-2.0
 * test_model_marks.c - what a document says of marks is what readers read.
 *
 * Why: every default hangs on another key (SEMANTICS 4 and 5), and a reader
 * knows none of them: whatever is not in the compiled release does not hold.
 * Read next: ../../policy/model_marks.c, ../../policy/compile_release.c.
 */
#include "engine/engine.h"
#include "tests/policy/read_policy.h"

static struct gray_compiled compiled;
static struct gray_snapshot snapshot;
static struct gray_model *model;

static const struct gray_release *release_of(const char *lines)
{
    struct gray_compile_options options = {.revision = 1};
    struct gray_findings findings = {0};
    size_t size = strlen(lines) + 1024;
    char *text = take(size);

    snprintf(text, size, "%s%s%s", SERVICE, RELEASE, lines);
    gray_compiled_free(&compiled);
    gray_model_free(model);
    model = read_good(text);
    if (gray_compile(model, &options, &compiled, &findings) != 0) {
        gray_findings_print(&findings, stderr);
        fail();
    }
    gray_findings_free(&findings);
    free(text);
    assert_int_equal(gray_snapshot_open(&snapshot, compiled.policy.data,
                                        compiled.policy.size, NULL),
                     0);
    return gray_release_at(&snapshot, 0);
}

static int teardown(void **state)
{
    (void)state;
    gray_compiled_free(&compiled);
    gray_model_free(model);
    model = NULL;
    return 0;
}

static void test_defaults_hang_on_stickiness_and_durability(void **state)
{
    static const struct {
        const char *lines;
        uint8_t durability, on_unknown, flags;
        uint32_t timeout, lease;
    } rows[] = {
        {"", GRAY_DURABLE_ASYNC, GRAY_UNKNOWN_BASELINE, 0, 50, 0},
        {"stickiness: none\n", GRAY_DURABLE_ASYNC, GRAY_UNKNOWN_BASELINE, 0,
         50, 0},
        {"durability: strict\n", GRAY_DURABLE_STRICT, GRAY_UNKNOWN_BASELINE,
         GRAY_MARKS_LEASE, 50, 10000},
        {"stickiness: entity\n", GRAY_DURABLE_ASYNC, GRAY_UNKNOWN_REFUSE,
         GRAY_MARKS_LEASE, 50, 10000},
        {"stickiness: entity\nadmissionLease: 0s\nonUnknown: baseline\n",
         GRAY_DURABLE_ASYNC, GRAY_UNKNOWN_BASELINE, 0, 50, 0},
        {"admissionLease: 90\nstrictKey: 128\nsharedMarks: redis\n"
         "durability: strict\nstrictTimeout: 2s5ms\n",
         GRAY_DURABLE_STRICT, GRAY_UNKNOWN_BASELINE,
         GRAY_MARKS_LEASE | GRAY_MARKS_WIDE | GRAY_MARKS_SHARED, 2005, 90000},
        {"strictKey: 64\nstrictTimeout: 1ms\n", GRAY_DURABLE_ASYNC,
         GRAY_UNKNOWN_BASELINE, 0, 1, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        const struct gray_release *release = release_of(rows[i].lines);

        assert_int_equal(release->durability, rows[i].durability);
        assert_int_equal(release->on_unknown, rows[i].on_unknown);
        assert_int_equal(release->mark_flags, rows[i].flags);
        assert_int_equal(release->strict_timeout, rows[i].timeout);
        assert_int_equal(release->admission_lease, rows[i].lease);
        assert_int_equal(release->stages.count, 0);
        assert_int_equal(release->stage_rules, GRAY_NONE);
        assert_int_equal(release->alias_slot, GRAY_NONE);
    }
}

static const struct gray_stage *stage_of(const struct gray_release *release,
                                         uint32_t number)
{
    assert_true(number < release->stages.count);
    return (const struct gray_stage *)(const void *)(snapshot.base +
                                                     snapshot.policy->stages
                                                         .offset) +
           release->stages.first + number;
}

static void test_stages_are_what_was_written(void **state)
{
    const struct gray_release *release = release_of(
        "stickiness: entity\nadmission: {share: 10}\nstages:\n"
        "  - {name: create, writes: true, when: {path: {prefix: /new}}}\n"
        "  - {name: update, when: {path: {prefix: /up}}}\n"
        "  - {name: late, writes: true, onUnknown: refuse}\n"
        "  - {name: soft, onUnknown: baseline}\n");
    static const struct {
        const char *name;
        uint8_t writes, on_unknown;
    } rows[] = {{"create", 1, GRAY_UNKNOWN_BASELINE},
                {"update", 0, GRAY_UNKNOWN_REFUSE},
                {"late", 1, GRAY_UNKNOWN_REFUSE},
                {"soft", 0, GRAY_UNKNOWN_BASELINE}};
    (void)state;
    assert_int_equal(release->stages.count, 4);
    for (uint32_t i = 0; i < 4; i++) {
        const struct gray_stage *stage = stage_of(release, i);
        struct gray_str name = gray_text(&snapshot, stage->name);

        assert_int_equal(name.length, strlen(rows[i].name));
        assert_memory_equal(name.data, rows[i].name, name.length);
        assert_int_equal(stage->writes, rows[i].writes);
        assert_int_equal(stage->on_unknown, rows[i].on_unknown);
        assert_int_equal(stage->on_missing, GRAY_MISSING_BASELINE);
        assert_int_equal(stage->space, 0);
        assert_int_equal(stage->share, 100000);
    }
}

static void decide(const char *path, struct gray_verdict *ret_verdict)
{
    struct gray_view view = {.policy = &snapshot};
    struct gray_input in;

    gray_input_begin(&in, &snapshot, 0, 0);
    gray_input_target(&in, (struct gray_str){path, (uint32_t)strlen(path)});
    gray_input_header(&in, gray_hash_name("cookie", 6),
                      (struct gray_str){"cookie", 6},
                      (struct gray_str){"uid=alice; did=d7", 17});
    gray_decide_release(&view, 0, &in, NULL, NULL, ret_verdict, NULL);
}

static void test_the_first_stage_that_holds_is_the_requests(void **state)
{
    static const struct {
        const char *path;
        uint8_t stage, in;
    } rows[] = {{"/new", 0, 1}, {"/new/up", 0, 1}, {"/up", 1, 0},
                {"/other", GRAY_STAGE_NONE, 0}, {"/pay", 2, 1}};
    (void)state;
    release_of("admission: {share: 100}\nstages:\n"
               "  - {name: create, writes: true, when: {path: {prefix: "
               "/new}}}\n"
               "  - {name: update, when: {path: {prefix: /up}}}\n"
               "  - {name: fill, onMissing: backfill, when: {path: {prefix: "
               "/pay}}}\n");
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct gray_verdict verdict;

        decide(rows[i].path, &verdict);
        assert_int_equal(verdict.stage, rows[i].stage);
        assert_int_equal(verdict.in, rows[i].in);
        assert_int_equal(verdict.record, rows[i].in ? GRAY_MARK_IN : 0);
    }
}

static void test_a_stage_without_when_always_holds(void **state)
{
    struct gray_verdict verdict;
    (void)state;
    release_of("admission: {share: 100}\nstages: [{name: create, writes: "
               "true, when: {path: {prefix: /new}}}, {name: rest}]\n");
    decide("/x", &verdict);
    assert_int_equal(verdict.stage, 1);
    assert_int_equal(verdict.reason, GRAY_REASON_MARK_MISSING);
}

/* Everyone before the dimension that moves, nobody after; each its marks. */
static void test_dimensions_have_shares_and_spaces(void **state)
{
    static const uint32_t shares[3][5] = {
        {50000, 0, 50000, 0, 0},
        {900000, 50000, 900000, 50000, 0},
        {900000, 900000, 900000, 900000, 50000}};
    static const uint8_t spaces[5] = {1, 2, 1, 2, 3};
    static const char *const names[3] = {"create", "pay", "ship"};
    (void)state;
    for (uint32_t moves = 0; moves < 3; moves++) {
        char lines[1024];

        snprintf(lines, sizeof(lines),
                 "stages: [{name: create, writes: true}, {name: pay, writes: "
                 "true}, {name: up, of: create}, {name: refund, of: pay}, "
                 "{name: ship, writes: true}]\ndimensions: [create, pay, "
                 "ship]\nadmission: {share: 5, holdback: 10, dimension: %s}\n",
                 names[moves]);
        const struct gray_release *release = release_of(lines);
        for (uint32_t i = 0; i < 5; i++) {
            assert_int_equal(stage_of(release, i)->share, shares[moves][i]);
            assert_int_equal(stage_of(release, i)->space, spaces[i]);
        }
        assert_int_equal(release->share, 50000);
    }
}

static void test_an_earlier_name_has_its_place(void **state)
{
    static const char alias[] =
        SERVICE "kind: Release\nname: cart-2\nservices: [{service: cart, "
                "version: v2}]\nunit: [{cookie: uid}, {header: X-User, alias: "
                "{cookie: did}}]\nadmission: {share: 10}\n";
    struct gray_compile_options options = {.revision = 1};
    struct gray_findings findings = {0};
    const struct gray_slot *slot;

    (void)state;
    gray_compiled_free(&compiled);
    gray_model_free(model);
    model = read_good(alias);
    assert_int_equal(gray_compile(model, &options, &compiled, &findings), 0);
    gray_findings_free(&findings);
    assert_int_equal(gray_snapshot_open(&snapshot, compiled.policy.data,
                                        compiled.policy.size, NULL),
                     0);
    const struct gray_release *release = gray_release_at(&snapshot, 0);
    assert_int_not_equal(release->alias_slot, GRAY_NONE);
    slot = (const struct gray_slot *)(const void *)(snapshot.base +
                                                    snapshot.policy->slots
                                                        .offset) +
           release->alias_slot;
    assert_int_equal(slot->source, GRAY_SOURCE_COOKIE);
    assert_memory_equal(gray_text(&snapshot, slot->name).data, "did", 3);
    assert_true(gray_input_wants(&snapshot, gray_hash_name("cookie", 6)));
}

static void test_a_held_dimension_moves(void **state)
{
    static const char text[] =
        SERVICE RELEASE
        "stages: [{name: create, writes: true}, {name: pay, writes: true}]\n"
        "dimensions: [create, pay]\nadmission: {share: 1}\n";
    static const char *const words[] = {NULL, "\"dimension\":\"pay\""};
    (void)state;
    for (uint32_t dimension = 0; dimension < 2; dimension++) {
        struct gray_findings findings = {0};
        struct gray_documents *docs = gray_documents_new();
        struct gray_model *held;

        assert_int_equal(gray_documents_add_text(docs, "p.yaml", text,
                                                 strlen(text), &findings),
                         0);
        assert_int_equal(gray_documents_hold_dimension(docs, "cart-2", 70000,
                                                       2, dimension),
                         0);
        held = gray_model_check(docs, &findings);
        assert_non_null(held);
        assert_int_equal(held->releases[0].dimension, dimension);
        assert_int_equal(held->releases[0].share, 70000);
        assert_int_equal(held->releases[0].stages[0].share,
                         dimension == 0 ? 70000 : 1000000);
        if (words[dimension] == NULL) {
            assert_null(strstr(held->source, "\"dimension\":"));
        } else {
            assert_non_null(strstr(held->source, words[dimension]));
        }
        gray_model_free(held);
        gray_documents_free(docs);
        gray_findings_free(&findings);
    }
}

static void test_stages_that_make_no_mark_are_warned_of(void **state)
{
    struct gray_findings findings = {0};
    struct gray_model *odd =
        read_text(SERVICE RELEASE "stages: [{name: update}]\n", &findings);
    (void)state;
    assert_non_null(odd);
    assert_non_null(find_code(&findings, "nothing-writes"));
    gray_model_free(odd);
    gray_findings_free(&findings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults_hang_on_stickiness_and_durability),
        cmocka_unit_test(test_stages_are_what_was_written),
        cmocka_unit_test(test_the_first_stage_that_holds_is_the_requests),
        cmocka_unit_test(test_a_stage_without_when_always_holds),
        cmocka_unit_test(test_dimensions_have_shares_and_spaces),
        cmocka_unit_test(test_an_earlier_name_has_its_place),
        cmocka_unit_test(test_a_held_dimension_moves),
        cmocka_unit_test(test_stages_that_make_no_mark_are_warned_of),
    };
    return cmocka_run_group_tests_name("model_marks", tests, NULL, teardown);
}
