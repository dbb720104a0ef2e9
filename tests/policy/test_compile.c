/* SPDX-License-Identifier: Apache-2.0
 * test_compile.c - what a compiled policy decides is what its model says.
 *
 * Why: a table of conditions, each with values that it must take and values
 * that it must not, goes through the whole compiler and the engine; then the
 * routes, the names and the sameness of two runs.
 * Read next: test_compile_index.c, craft_model.h.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/policy/craft_model.h"

/* Does the allow rule `cond` let this request in? */
static bool allowed(struct gray_model *model, struct cond *cond,
                    const char *target, const char *const *headers)
{
    struct craft_compiled compiled;
    struct gray_verdict verdict;
    struct gray_input in;

    craft_allow(&model->releases[0], &cond, 1);
    craft_compile(&compiled, model, false);
    craft_input(&in, &compiled, target, headers);
    gray_decide_release(&compiled.view, 0, &in, NULL, NULL, &verdict, NULL);
    craft_compiled_free(&compiled);
    return verdict.in != 0;
}

static bool header_allowed(struct gray_model *model, struct cond *cond,
                           const char *value)
{
    const char *headers[3] = {"cookie: uid=1001",
                              craft_print("x-a: %s", value), NULL};

    return allowed(model, cond, "/", headers);
}

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
            assert_true(header_allowed(model, cond, rows[i].yes));
        }
        if (rows[i].no != NULL) {
            assert_false(header_allowed(model, cond, rows[i].no));
        }
    }
    assert_true(allowed(model, HEADER(ABSENT, NULL), "/", NULL));
    assert_false(allowed(model, HEADER(PRESENT, NULL), "/", NULL));
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
    assert_true(header_allowed(model, in, "B"));
    assert_false(header_allowed(model, in, "A"));
    assert_true(header_allowed(model, in, ""));
    assert_true(header_allowed(model, not_in, "A"));
    assert_false(header_allowed(model, not_in, "b"));
    assert_true(header_allowed(model, no_case(in), "A"));
    assert_false(header_allowed(model, no_case(not_in), "A"));
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
    assert_true(header_allowed(model, range, "-5"));
    assert_false(header_allowed(model, range, "10"));
    mod->divisor = 100;
    mod->ranges = ranges;
    mod->range_count = 2;
    assert_true(header_allowed(model, mod, "1207"));
    assert_true(header_allowed(model, mod, "1200"));
    assert_false(header_allowed(model, mod, "1201"));
    tail->tail_width = 2;
    tail->tails = tails;
    tail->tail_count = 2;
    assert_true(header_allowed(model, tail, "a-107"));
    assert_true(header_allowed(model, tail, "42"));
    assert_false(header_allowed(model, tail, "7"));
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
    assert_false(header_allowed(model, share, "alice"));
    share->share = bucket + 1;
    assert_true(header_allowed(model, share, "alice"));
    model->lists = lists;
    model->list_count = 2;
    list->list = 1;
    assert_true(header_allowed(model, list, "alice"));
    assert_true(header_allowed(model, list, "1001"));
    assert_false(header_allowed(model, list, "bob"));
    list->list = 0;
    assert_false(header_allowed(model, list, "alice"));
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
    assert_true(header_allowed(model, semver, "1.2.0"));
    assert_false(header_allowed(model, semver, "1.2.0-rc.1"));
    date->start = 1767225600000; /* 2026-01-01T00:00:00Z */
    date->end = date->start + 86400000;
    assert_true(header_allowed(model, date, "2026-01-01T08:00:00+08:00"));
    assert_false(header_allowed(model, date, "2026-01-02T00:00:00Z"));
    /* craft_input() decides at 2026-01-01T00:00:00Z, a Thursday; in Shanghai
     * that is 08:00. */
    window->from = INT64_MIN;
    window->until = INT64_MAX;
    window->days = 1u << 3;
    window->day_start = 8 * 3600;
    window->day_end = 9 * 3600;
    window->zone = "Asia/Shanghai";
    assert_true(allowed(model, window, "/", NULL));
    window->zone = "UTC";
    assert_false(allowed(model, window, "/", NULL));
    window->zone = "Asia/Shanghai";
    window->days = 1u << 2;
    assert_false(allowed(model, window, "/", NULL));
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
            assert_int_equal(allowed(model, tree,
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
    assert_true(allowed(model, cond, "/", headers));
    assert_false(allowed(model, cond, "/", nobody));
    craft_free();
}

/* ---- routes -------------------------------------------------------------- */

static struct gray_str address_of(const struct craft_compiled *c,
                                  uint32_t route, uint32_t place)
{
    struct gray_subset subset = c->link.subsets[route];
    struct gray_str none = {"-", 1};

    if (place >= subset.members.count) {
        return none;
    }
    return gray_fleet_text(
        &c->fleet,
        gray_endpoint_at(&c->fleet,
                         c->link.members[subset.members.first + place])->text);
}

#define assert_text(str, wanted) \
    do { \
        struct gray_str text_ = (str); \
        assert_int_equal(text_.length, strlen(wanted)); \
        assert_memory_equal(text_.data, wanted, text_.length); \
    } while (0)

static void nobody_else_is_sent_into_a_lane(void **state)
{
    const uint32_t members[] = {0, GRAY_NONE};
    struct gray_model *model = craft_model();
    struct model_lane lane = craft_lane("red", members);
    struct craft_compiled compiled;
    const struct gray_service *cart, *order;

    (void)state;
    model->lanes = &lane;
    model->lane_count = 1;
    craft_compile(&compiled, model, false);
    cart = gray_service_at(&compiled.policy, 0);
    order = gray_service_at(&compiled.policy, 1);
    assert_int_equal(cart->arms.count, 1);
    assert_int_equal(cart->lanes.count, 1);
    assert_int_equal(order->lanes.count, 0);
    assert_text(address_of(&compiled, cart->baseline, 0), "127.0.0.1:9100");
    assert_text(address_of(&compiled, cart->baseline, 1), "-");
    assert_text(address_of(&compiled, cart->arms.first, 0), "127.0.0.1:9101");
    assert_text(address_of(&compiled, cart->lanes.first, 0), "127.0.0.1:9102");
    assert_text(address_of(&compiled, order->baseline, 1), "-");
    craft_compiled_free(&compiled);

    /* A lane that is off has no route, and its endpoints serve nobody. */
    lane.enabled = false;
    craft_compile(&compiled, model, false);
    cart = gray_service_at(&compiled.policy, 0);
    assert_int_equal(cart->lanes.count, 0);
    assert_text(address_of(&compiled, cart->baseline, 1), "-");
    craft_compiled_free(&compiled);
    craft_free();
}

/* red -> [blue, green], blue -> [], green -> []: red needs blue followed by
 * green, which is not how blue goes on by itself. */
static void a_fallback_chain_is_each_lanes_own(void **state)
{
    const uint32_t members[] = {0, 1, GRAY_NONE}, few[] = {0, GRAY_NONE};
    struct gray_model *model = craft_model();
    uint32_t chain[] = {0, 1};
    struct model_lane lanes[3];
    struct craft_compiled compiled;
    const struct gray_service *service;
    const struct gray_route *route;
    uint32_t first;

    (void)state;
    lanes[0] = craft_lane("blue", members);
    lanes[1] = craft_lane("green", few);
    lanes[2] = craft_lane("red", members);
    lanes[2].fallback = chain;
    lanes[2].fallback_count = 2;
    model->lanes = lanes;
    model->lane_count = 3;
    craft_compile(&compiled, model, false);
    service = gray_service_at(&compiled.policy, 0);
    first = service->lanes.first;
    assert_int_equal(service->lanes.count, 3);
    assert_int_equal(gray_route_at(&compiled.policy, first)->fallback,
                     GRAY_NONE);
    route = gray_route_at(&compiled.policy, first + 2);
    assert_int_equal(route->lane, 2);
    route = gray_route_at(&compiled.policy, route->fallback);
    assert_int_equal(route->lane, 0);
    assert_int_equal(route->fallback, first + 1);
    assert_int_equal(route->series,
                     gray_route_at(&compiled.policy, first)->series);
    /* order is not in green, so there blue's own route will do. */
    service = gray_service_at(&compiled.policy, 1);
    first = service->lanes.first;
    assert_int_equal(service->lanes.count, 2);
    assert_int_equal(gray_route_at(&compiled.policy, first + 1)->fallback,
                     first);
    craft_compiled_free(&compiled);
    craft_free();
}

static void releases_govern_by_priority(void **state)
{
    struct gray_model *model = craft_model();
    struct model_release *releases = craft(2 * sizeof(*releases));
    struct craft_compiled compiled;
    const struct gray_service *cart;
    const struct gray_route *route;
    struct gray_str name = {"cart-3", 6};
    uint32_t number;

    (void)state;
    releases[0] = releases[1] = model->releases[0];
    releases[0].name = releases[0].salt = "cart-3";
    releases[0].priority = 5;
    releases[1].priority = -5;
    model->releases = releases;
    model->release_count = 2;
    craft_compile(&compiled, model, false);
    cart = gray_service_at(&compiled.policy, 0);
    assert_int_equal(cart->arms.count, 2);
    route = gray_route_at(&compiled.policy, cart->arms.first);
    assert_int_equal(route->release, 0);
    number = gray_find_release(&compiled.policy, name);
    assert_int_equal(number, 0);
    assert_true(gray_release_at(&compiled.policy, 0)->priority >
                gray_release_at(&compiled.policy, 1)->priority);
    assert_true(route->series == gray_hash_scope("cart|v2||cart-3", 15));
    assert_int_equal(gray_release_at(&compiled.policy, 1)->routes.count, 1);
    craft_compiled_free(&compiled);
    craft_free();
}

/* ---- the files ----------------------------------------------------------- */

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
        cmocka_unit_test(text_conditions_decide_as_written),
        cmocka_unit_test(sets_decide_as_written),
        cmocka_unit_test(numeric_conditions_decide_as_written),
        cmocka_unit_test(share_and_list_decide_as_written),
        cmocka_unit_test(networks_decide_as_written),
        cmocka_unit_test(versions_and_moments_decide_as_written),
        cmocka_unit_test(trees_short_circuit_as_boolean_algebra_says),
        cmocka_unit_test(unit_in_rules_is_the_releases_own),
        cmocka_unit_test(nobody_else_is_sent_into_a_lane),
        cmocka_unit_test(a_fallback_chain_is_each_lanes_own),
        cmocka_unit_test(releases_govern_by_priority),
        cmocka_unit_test(the_same_model_gives_the_same_bytes),
        cmocka_unit_test(every_bad_operand_is_named),
        cmocka_unit_test(a_program_is_bounded),
        cmocka_unit_test(scope_words_are_the_runtimes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
