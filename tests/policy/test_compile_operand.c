/* SPDX-License-Identifier: Apache-2.0
 * test_compile_operand.c - every condition decides what its author wrote.
 *
 * Why: a table of conditions, each with values that it must take and values
 * that it must not, goes through the whole compiler and the engine.
 * Read next: ../../policy/compile_operand.c, test_compile.c.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/policy/craft_model.h"

#define HEADER(op, text) \
    craft_test(GRAY_SOURCE_HEADER, "x-a", GRAY_CONDITION_##op, text)

static struct cond *no_case(struct cond *cond)
{
    cond->ignore_case = true;
    return cond;
}

static void text_conditions_decide_as_written(void **state)
{
    struct gray_model *model = craft_model();
    static const struct {
        uint8_t op;
        bool ignore_case;
        const char *text, *yes, *no;
    } rows[] = {
        {GRAY_CONDITION_EXACT, false, "alice", "alice", "Alice"},
        {GRAY_CONDITION_EXACT, true, "AliCe", "aLIcE", "alic"},
        {GRAY_CONDITION_PREFIX, false, "ali", "alice", "al"},
        {GRAY_CONDITION_PREFIX, true, "ALI", "alice", "bob"},
        {GRAY_CONDITION_SUFFIX, false, "ice", "alice", "iceland"},
        {GRAY_CONDITION_SUFFIX, true, "ICE", "alice", "icy"},
        {GRAY_CONDITION_CONTAINS, false, "lic", "alice", "alIce"},
        {GRAY_CONDITION_CONTAINS, true, "LIC", "alice", "alce"},
        {GRAY_CONDITION_GLOB, false, "a*c?", "alice", "alic"},
        {GRAY_CONDITION_GLOB, true, "A*C?", "alice", "xalice"},
        {GRAY_CONDITION_REGEX, false, "a[k-m]i(ce|x)", "alice", "alicee"},
        {GRAY_CONDITION_REGEX, true, "^A.*$", "alice", "balice"},
        {GRAY_CONDITION_PRESENT, false, NULL, "", NULL},
        {GRAY_CONDITION_BLANK, false, NULL, "", "x"},
        {GRAY_CONDITION_ABSENT, false, NULL, NULL, "x"},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct cond *cond =
            craft_test(GRAY_SOURCE_HEADER, "x-a", rows[i].op, rows[i].text);

        cond->ignore_case = rows[i].ignore_case;
        if (rows[i].yes != NULL) {
            assert_true(craft_header_allowed(model, cond, rows[i].yes));
        }
        if (rows[i].no != NULL) {
            assert_false(craft_header_allowed(model, cond, rows[i].no));
        }
    }
    assert_true(craft_allowed(model, HEADER(ABSENT, NULL), "/", NULL));
    assert_false(craft_allowed(model, HEADER(PRESENT, NULL), "/", NULL));
    craft_free();
}

static void sets_decide_as_written(void **state)
{
    static const char *const texts[] = {"a", "B", "b", "", NULL};
    struct gray_model *model = craft_model();
    struct cond *in =
        craft_texts(GRAY_SOURCE_HEADER, "x-a", GRAY_CONDITION_IN, texts);
    struct cond *not_in =
        craft_texts(GRAY_SOURCE_HEADER, "x-a", GRAY_CONDITION_NOT_IN, texts);

    (void)state;
    assert_true(craft_header_allowed(model, in, "B"));
    assert_false(craft_header_allowed(model, in, "A"));
    assert_true(craft_header_allowed(model, in, ""));
    assert_true(craft_header_allowed(model, not_in, "A"));
    assert_false(craft_header_allowed(model, not_in, "b"));
    assert_true(craft_header_allowed(model, no_case(in), "A"));
    assert_false(craft_header_allowed(model, no_case(not_in), "A"));
    craft_free();
}

static void numeric_conditions_decide_as_written(void **state)
{
    struct gray_model *model = craft_model();
    struct cond *range = HEADER(RANGE, NULL), *mod = HEADER(MOD, NULL),
                *tail = HEADER(ID_TAIL, NULL);
    struct gray_mod_range ranges[] = {{0, 0}, {5, 9}};
    uint32_t tails[] = {7, 42};

    (void)state;
    range->start = -5;
    range->end = 10;
    assert_true(craft_header_allowed(model, range, "-5"));
    assert_false(craft_header_allowed(model, range, "10"));
    mod->divisor = 100;
    mod->ranges = ranges;
    mod->range_count = 2;
    assert_true(craft_header_allowed(model, mod, "1207"));
    assert_true(craft_header_allowed(model, mod, "1200"));
    assert_false(craft_header_allowed(model, mod, "1201"));
    tail->tail_width = 2;
    tail->tails = tails;
    tail->tail_count = 2;
    assert_true(craft_header_allowed(model, tail, "a-107"));
    assert_true(craft_header_allowed(model, tail, "42"));
    assert_false(craft_header_allowed(model, tail, "7"));
    craft_free();
}

static void share_and_list_decide_as_written(void **state)
{
    struct gray_model *model = craft_model();
    struct cond *share = HEADER(PERCENT, NULL), *list = HEADER(LIST, NULL);
    struct model_text ids[] = {craft_text("1001"), craft_text("alice")};
    struct model_list lists[] = {{"other", false, ids, 1},
                                 {"testers", false, ids, 2}};
    uint32_t bucket = gray_bucket((struct gray_str){"s", 1},
                                  (struct gray_str){"alice", 5});

    (void)state;
    share->salt = craft_text("s");
    share->share = bucket;
    assert_false(craft_header_allowed(model, share, "alice"));
    share->share = bucket + 1;
    assert_true(craft_header_allowed(model, share, "alice"));
    model->lists = lists;
    model->list_count = 2;
    list->list = 1;
    assert_true(craft_header_allowed(model, list, "alice"));
    assert_true(craft_header_allowed(model, list, "1001"));
    assert_false(craft_header_allowed(model, list, "bob"));
    list->list = 0;
    assert_false(craft_header_allowed(model, list, "alice"));
    craft_free();
}

static bool address_allowed(struct gray_model *model, struct cond *cond,
                            const char *network, uint8_t last)
{
    uint8_t v4[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 1, 2, 0};
    uint8_t v6[16] = {0x20, 0x01, 0x0d, 0xb8};
    struct craft_compiled compiled;
    struct gray_verdict verdict;
    struct gray_input in;

    craft_allow(&model->releases[0], &cond, 1);
    craft_compile(&compiled, model, false);
    craft_input(&in, &compiled, "/", NULL);
    v4[15] = v6[15] = last;
    gray_input_address(&in, *network == '4' ? v4 : v6);
    gray_decide_release(&compiled.view, 0, &in, NULL, NULL, &verdict, NULL);
    craft_compiled_free(&compiled);
    return verdict.in != 0;
}

static void networks_decide_as_written(void **state)
{
    static const char *const small[] = {"10.1.2.0/30", "10.1.2.4/31",
                                        "10.1.2.3", NULL};
    static const char *const all6[] = {"::/0", NULL};
    static const char *const v6[] = {"2001:db8::/124", NULL};
    static const char *const all4[] = {"0.0.0.0/0", NULL};
    struct gray_model *model = craft_model();
    struct cond *cond =
        craft_texts(GRAY_SOURCE_ADDRESS, "", GRAY_CONDITION_CIDR, small);

    (void)state;
    assert_true(address_allowed(model, cond, "4", 0));
    assert_true(address_allowed(model, cond, "4", 5));
    assert_false(address_allowed(model, cond, "4", 6));
    assert_false(address_allowed(model, cond, "6", 0));
    cond = craft_texts(GRAY_SOURCE_ADDRESS, "", GRAY_CONDITION_CIDR, v6);
    assert_true(address_allowed(model, cond, "6", 15));
    assert_false(address_allowed(model, cond, "6", 16));
    /* Not even the widest IPv6 network means IPv4, and the other way round. */
    cond = craft_texts(GRAY_SOURCE_ADDRESS, "", GRAY_CONDITION_CIDR, all6);
    assert_true(address_allowed(model, cond, "6", 1));
    assert_false(address_allowed(model, cond, "4", 1));
    cond = craft_texts(GRAY_SOURCE_ADDRESS, "", GRAY_CONDITION_CIDR, all4);
    assert_true(address_allowed(model, cond, "4", 1));
    assert_false(address_allowed(model, cond, "6", 1));
    craft_free();
}

static void versions_and_moments_decide_as_written(void **state)
{
    struct gray_model *model = craft_model();
    struct cond *semver = HEADER(SEMVER, NULL), *date = HEADER(DATE, NULL);
    struct cond *window =
        craft_test(GRAY_SOURCE_TIME, "", GRAY_CONDITION_TIME, NULL);

    (void)state;
    semver->semver_op = GRAY_SEMVER_GE;
    semver->version[0] = 1;
    semver->version[1] = 2;
    assert_true(craft_header_allowed(model, semver, "1.2.0"));
    assert_false(craft_header_allowed(model, semver, "1.2.0-rc.1"));
    date->start = 1767225600000; /* 2026-01-01T00:00:00Z */
    date->end = date->start + 86400000;
    assert_true(craft_header_allowed(model, date, "2026-01-01T08:00:00+08:00"));
    assert_false(craft_header_allowed(model, date, "2026-01-02T00:00:00Z"));
    /* craft_input() decides at 2026-01-01T00:00:00Z, a Thursday; in Shanghai
     * that is 08:00. */
    window->from = INT64_MIN;
    window->until = INT64_MAX;
    window->days = 1u << 3;
    window->day_start = 8 * 3600;
    window->day_end = 9 * 3600;
    window->zone = "Asia/Shanghai";
    assert_true(craft_allowed(model, window, "/", NULL));
    window->zone = "UTC";
    assert_false(craft_allowed(model, window, "/", NULL));
    window->zone = "Asia/Shanghai";
    window->days = 1u << 2;
    assert_false(craft_allowed(model, window, "/", NULL));
    craft_free();
}

/* All eight combinations of three tests under every tree of two operators. */
static void trees_short_circuit_as_boolean_algebra_says(void **state)
{
    struct gray_model *model = craft_model();
    unsigned shape, bits;

    (void)state;
    for (shape = 0; shape < 32; shape++) {
        struct cond *tests[3], *tree;
        unsigned i;

        for (i = 0; i < 3; i++) {
            tests[i] = craft_test(GRAY_SOURCE_QUERY, craft_print("q%u", i),
                                  GRAY_CONDITION_EXACT, "1");
        }
        tree = (shape & 1 ? craft_all : craft_any)(tests[0], tests[1]);
        tree = shape & 4 ? craft_not(tree) : tree;
        tree = shape & 16 ? (shape & 2 ? craft_all : craft_any)(tests[2], tree)
                          : (shape & 2 ? craft_all : craft_any)(tree, tests[2]);
        tree = shape & 8 ? craft_not(tree) : tree;
        for (bits = 0; bits < 8; bits++) {
            bool a = bits & 1, b = bits & 2, c = bits & 4;
            bool left = shape & 1 ? a && b : a || b, want;

            left = shape & 4 ? !left : left;
            want = shape & 2 ? left && c : left || c;
            want = shape & 8 ? !want : want;
            assert_int_equal(craft_allowed(model, tree,
                                     craft_print("/?q0=%d&q1=%d&q2=%d", a, b,
                                                 c),
                                     NULL),
                             want);
        }
    }
    craft_free();
}

static void unit_in_rules_is_the_releases_own(void **state)
{
    static const char *const headers[] = {"cookie: uid=alice", NULL};
    static const char *const nobody[] = {"cookie: other=alice", NULL};
    struct gray_model *model = craft_model();
    struct cond *cond =
        craft_test(GRAY_SOURCE_UNIT, "", GRAY_CONDITION_EXACT, "alice");

    (void)state;
    assert_true(craft_allowed(model, cond, "/", headers));
    assert_false(craft_allowed(model, cond, "/", nobody));
    craft_free();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_conditions_decide_as_written),
        cmocka_unit_test(sets_decide_as_written),
        cmocka_unit_test(numeric_conditions_decide_as_written),
        cmocka_unit_test(share_and_list_decide_as_written),
        cmocka_unit_test(networks_decide_as_written),
        cmocka_unit_test(versions_and_moments_decide_as_written),
        cmocka_unit_test(trees_short_circuit_as_boolean_algebra_says),
        cmocka_unit_test(unit_in_rules_is_the_releases_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
