/* SPDX-License-Identifier: Apache-2.0
 * test_gates_memory.c - gates while memory is at its end.
 *
 * Why: a gate that has no memory must not let pass what it could not look at,
 * nor lose what it took; each allocation fails in its turn.
 * Read next: ../../policy/exact.c, ../../policy/standing.c.
 */
#include "tests/failing_memory.h"
#include "tests/policy/read_policy.h"

#include "policy/standing.h"

static enum gray_counted count_some(void *context,
                                    struct gray_standing *standing,
                                    struct gray_tally *ret_tally,
                                    char ret_why[160])
{
    static const char *const units[] = {"1", "21", "100", "u01"};

    (void)context;
    (void)ret_why;
    for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++) {
        struct gray_standing_mark mark = {
            .unit = {units[i], (uint32_t)strlen(units[i])}};

        gray_standing_add(standing, &mark, ret_tally);
    }
    return GRAY_COUNTED_EXACT;
}

static const char before_text[] = SERVICE RELEASE
    "admission: {share: 50, match: [{all: [{idTail: ['1', '0']}, {any: "
    "[{header: {name: x, regex: 'a+'}}, {time: {hours: '09:00-18:00', zone: "
    "Asia/Shanghai}}, {percent: {share: 20, salt: s}}]}]}], allow: [{list: "
    "team}]}\n---\nkind: List\nname: team\nids: ['7']\n";
static const char after_text[] = SERVICE RELEASE
    "admission: {share: 50, match: [{all: [{idTail: ['1', '0']}, {any: "
    "[{header: {name: x, regex: 'a'}}, {time: {hours: '09:00-18:00', zone: "
    "Asia/Shanghai}}, {percent: {share: 20, salt: s}}]}]}], allow: [{list: "
    "team}]}\n---\nkind: List\nname: team\nids: ['7']\n";

/* True: it was let through. */
static bool passes(const struct gray_model *before,
                   const struct gray_model *after, bool allow)
{
    struct gray_counter counter = {count_some, NULL};
    struct gray_gate_options options = {
        .counter = &counter, .allow_drop = allow, .drop = 1000};
    struct gray_findings findings = {0};
    struct gray_drops drops = {NULL, 0};
    int status =
        gray_gates_compare(before, after, &options, &findings, &drops);
    char *text = gray_drops_json(&drops);

    assert_true((status == 0) == (findings.errors == 0));
    free(text);
    gray_drops_free(&drops);
    gray_findings_free(&findings);
    return status == 0;
}

static void fail_each(bool allow)
{
    struct gray_model *before = read_good(before_text);
    struct gray_model *after = read_good(after_text);
    long count = 0;

    assert_false(passes(before, after, allow));
    assert_true(passes(after, before, false));
    for (;; count++) {
        bool reached;

        bool through;

        until = count;
        through = passes(before, after, allow);
        reached = until < 0;
        until = -1;
        if (through) {
            fprintf(stderr, "let through when allocation %ld failed\n",
                    count);
        }
        assert_false(through);
        if (!reached) {
            break;
        }
    }
    assert_true(count > 100);
    gray_model_free(before);
    gray_model_free(after);
}

static void test_nothing_passes_without_memory(void **state)
{
    (void)state;
    fail_each(false);
    fail_each(true);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_passes_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
