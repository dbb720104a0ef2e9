/* SPDX-License-Identifier: Apache-2.0
 * test_predict.c - who comes in, what that leads where, and what is over.
 *
 * Read next: impact/predict.c.
 */
#include "tests/impact/policies.h"

#define NEAR(a, b) assert_true((a) > (b) - 0.01 && (a) < (b) + 0.01)

struct scene {
    struct gray_model *before, *after;
    struct impact_traffic traffic, present;
    struct impact_series series[8];
    struct impact_flow flows[8];
    struct impact_question question;
    struct impact impact;
};

static void begin(struct scene *s, const char *before, const char *after,
                  uint64_t entered)
{
    memset(s, 0, sizeof(*s));
    s->before = before != NULL ? model_of(before) : NULL;
    s->after = model_of(after);
    s->traffic = (struct impact_traffic) { .seconds = 10,
                                           .entered = entered,
                                           .series = s->series,
                                           .flows = s->flows };
    s->question = (struct impact_question) { .before = s->before,
                                             .after = s->after,
                                             .traffic = &s->traffic,
                                             .present = &s->traffic };
}

static void sent(struct scene *s, const char *service, const char *version,
                 uint64_t requests)
{
    struct impact_series *row = &s->series[s->traffic.series_count++];

    strcpy(row->service, service);
    strcpy(row->version, version);
    row->requests = requests;
}

static void carried(struct scene *s, const char *service, uint64_t requests)
{
    struct impact_flow *row = &s->flows[s->traffic.flow_count++];

    strcpy(row->service, service);
    strcpy(row->arm, "cart-2");
    row->requests = requests;
}

static void predict(struct scene *s)
{
    assert_int_equal(impact_predict(&s->question, &s->impact), 0);
}

static const struct impact_version *version(const struct scene *s,
                                            const char *service,
                                            const char *name)
{
    for (size_t i = 0; i < s->impact.version_count; i++) {
        const struct impact_version *row = &s->impact.versions[i];

        if (strcmp(row->service, service) == 0 &&
            strcmp(row->version, name) == 0) {
            return row;
        }
    }
    fail_msg("no row of %s %s", service, name);
    return NULL;
}

static void end(struct scene *s)
{
    impact_free(&s->impact);
    gray_model_free(s->before);
    gray_model_free(s->after);
}

/* 1,000 requests, 100 of them in; v2 calls order twice and stock, v1 once. */
static void ramp_from_ten(struct scene *s, const char *after)
{
    begin(s, SHOP CART_2("{share: 10}"), after, 1000);
    sent(s, "web", "v1", 1000);
    sent(s, "cart", "v1", 900);
    sent(s, "cart", "v2", 100);
    sent(s, "order", "v1", 1100);
    sent(s, "stock", "v1", 100);
    carried(s, "", 100);
    carried(s, "web", 100);
    carried(s, "cart", 100);
    carried(s, "order", 200);
    carried(s, "stock", 100);
}

static void who_is_in_grows_in_the_measure_of_the_share(void **state)
{
    struct scene s;

    (void)state;
    ramp_from_ten(&s, SHOP CART_2("{share: 40}"));
    predict(&s);
    assert_true(s.impact.measured);
    assert_int_equal(s.impact.releases[0].basis, IMPACT_MEASURED);
    NEAR(s.impact.releases[0].now, 10);
    NEAR(s.impact.releases[0].then, 40);
    NEAR(version(&s, "web", "v1")->then, 100);
    NEAR(version(&s, "cart", "v1")->now, 90);
    NEAR(version(&s, "cart", "v1")->then, 60);
    NEAR(version(&s, "cart", "v2")->then, 40);
    NEAR(version(&s, "order", "v1")->then, 140); /* 60 + 2 * 40 */
    NEAR(version(&s, "stock", "v1")->then, 40);
    assert_false(version(&s, "web", "v1")->touched);
    assert_true(version(&s, "order", "v1")->touched);
    end(&s);
}

static void calls_that_are_not_linear_are_named(void **state)
{
    struct scene s;

    (void)state;
    ramp_from_ten(&s, SHOP CART_2("{share: 40}"));
    predict(&s);
    assert_int_equal(s.impact.call_count, 2);
    assert_string_equal(s.impact.calls[0].service, "order");
    assert_int_equal(s.impact.calls[0].kind, IMPACT_MORE);
    NEAR(s.impact.calls[0].old_ratio, 1);
    NEAR(s.impact.calls[0].new_ratio, 2);
    NEAR(s.impact.calls[0].linear, 40);
    NEAR(s.impact.calls[0].then, 80);
    assert_string_equal(s.impact.calls[1].service, "stock");
    assert_int_equal(s.impact.calls[1].kind, IMPACT_ONLY_NEW);
    NEAR(s.impact.calls[1].then, 40);
    end(&s);
}

static void a_call_that_falls_away_is_named(void **state)
{
    struct scene s;

    (void)state;
    begin(&s, SHOP CART_2("{share: 10}"), SHOP CART_2("{share: 20}"), 10000);
    sent(&s, "cart", "v1", 9000);
    sent(&s, "cart", "v2", 1000);
    sent(&s, "order", "v1", 9000);
    carried(&s, "", 1000);
    carried(&s, "cart", 1000);
    predict(&s);
    assert_int_equal(s.impact.call_count, 1);
    assert_int_equal(s.impact.calls[0].kind, IMPACT_ONLY_OLD);
    NEAR(version(&s, "order", "v1")->then, 800);
    end(&s);
}

/* What chance does is no news, and a hundred requests are not many. */
static void chance_is_not_named(void **state)
{
    struct scene s;

    (void)state;
    begin(&s, SHOP CART_2("{share: 10}"), SHOP CART_2("{share: 20}"), 1000);
    sent(&s, "cart", "v1", 900);
    sent(&s, "cart", "v2", 100);
    sent(&s, "order", "v1", 925);
    carried(&s, "", 100);
    carried(&s, "cart", 100);
    carried(&s, "order", 115); /* 1.15, beside 0.9: 2.4 deviations */
    predict(&s);
    assert_int_equal(s.impact.call_count, 0);
    end(&s);
}

static void nobody_in_yet_is_the_share_of_all_by_the_old_ratio(void **state)
{
    struct scene s;

    (void)state;
    begin(&s, SHOP CART_2("{share: 0}"), SHOP CART_2("{share: 5}"), 1000);
    sent(&s, "cart", "v1", 800);
    sent(&s, "order", "v1", 1600);
    predict(&s);
    assert_int_equal(s.impact.releases[0].basis, IMPACT_BY_SHARE);
    NEAR(s.impact.releases[0].then, 5);
    NEAR(version(&s, "cart", "v2")->then, 4);
    NEAR(version(&s, "cart", "v1")->then, 76);
    NEAR(version(&s, "order", "v1")->then, 160); /* as before */
    assert_int_equal(s.impact.call_count, 0);
    end(&s);
}

static void replay_says_more_than_a_share(void **state)
{
    struct scene s;
    struct impact_replayed row = { .release = "cart-2", .after = 300 };
    struct impact_arm arm = { .arm = "cart-2", .after = 300 };
    struct impact_replay replay = { .replayed = 1000, .releases = &row,
                                    .release_count = 1, .arms = &arm,
                                    .arm_count = 1 };

    (void)state;
    ramp_from_ten(&s, SHOP CART_2("{share: 40}"));
    s.question.replay = &replay;
    predict(&s);
    assert_int_equal(s.impact.releases[0].basis, IMPACT_REPLAYED);
    NEAR(s.impact.releases[0].then, 30);
    NEAR(version(&s, "cart", "v2")->then, 30);
    impact_free(&s.impact);
    s.present = s.traffic;
    s.flows[0].requests = 60;
    row.after = 60; /* not a hundred, but as many as were counted */
    predict(&s);
    assert_int_equal(s.impact.releases[0].basis, IMPACT_REPLAYED);
    impact_free(&s.impact);
    row.after = 59; /* fewer than who is in now */
    predict(&s);
    assert_int_equal(s.impact.releases[0].basis, IMPACT_MEASURED);
    end(&s);
}

/* Other rules let in others: who is in now says nothing. */
static void another_rule_is_not_measured_by_who_is_in(void **state)
{
    static const char *const after[] = {
        SHOP CART_2("{share: 40, require: {header: {name: a, exact: b}}}"),
        SHOP CART_2("{share: 40, allow: [{list: testers}]}")
        "---\nkind: List\nname: testers\nids: ['1']\n",
    };
    struct scene s;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        ramp_from_ten(&s, after[i]);
        predict(&s);
        assert_int_equal(s.impact.releases[0].basis, IMPACT_BY_SHARE);
        end(&s);
    }
}

/* The same list by name, with other ids: not the same rule. */
static void another_list_is_another_rule(void **state)
{
#define WITH_LIST(share, ids)                                    \
    SHOP CART_2("{share: " share ", allow: [{list: testers}]}")   \
    "---\nkind: List\nname: testers\nids: " ids "\n"
    struct scene s;

    (void)state;
    ramp_from_ten(&s, WITH_LIST("40", "['1', '2']"));
    gray_model_free(s.before);
    s.question.before = s.before = model_of(WITH_LIST("10", "['1']"));
    predict(&s);
    assert_int_equal(s.impact.releases[0].basis, IMPACT_BY_SHARE);
    end(&s);
    ramp_from_ten(&s, WITH_LIST("40", "['1']"));
    gray_model_free(s.before);
    s.question.before = s.before = model_of(WITH_LIST("10", "['1']"));
    predict(&s);
    assert_int_equal(s.impact.releases[0].basis, IMPACT_MEASURED);
    end(&s);
}

/* A share that grew a moment ago: the window is of the old one. */
static void now_is_what_the_present_policy_lets_in(void **state)
{
    struct scene s;
    struct impact_flow flows[] = { { .arm = "cart-2", .requests = 40 } };

    (void)state;
    ramp_from_ten(&s, SHOP CART_2("{share: 40}"));
    gray_model_free(s.before);
    s.question.before = s.before = model_of(SHOP CART_2("{share: 20}"));
    s.present = (struct impact_traffic) { .seconds = 2, .entered = 200,
                                          .flows = flows, .flow_count = 1 };
    s.question.present = &s.present;
    predict(&s);
    NEAR(s.impact.releases[0].now, 20);
    NEAR(s.impact.releases[0].then, 40);
    NEAR(version(&s, "cart", "v2")->now, 20);
    NEAR(version(&s, "cart", "v2")->then, 40);
    NEAR(version(&s, "order", "v1")->now, 120);
    end(&s);
}

static void a_release_that_goes_sends_everybody_back(void **state)
{
    struct scene s;

    (void)state;
    ramp_from_ten(&s, SHOP);
    predict(&s);
    assert_false(s.impact.releases[0].is);
    NEAR(s.impact.releases[0].then, 0);
    NEAR(version(&s, "cart", "v1")->then, 100);
    NEAR(version(&s, "cart", "v2")->then, 0);
    NEAR(version(&s, "order", "v1")->then, 100);
    NEAR(version(&s, "stock", "v1")->then, 0);
    end(&s);
}

static void below_a_hundred_requests_nothing_is_said(void **state)
{
    struct scene s;
    struct gray_findings findings = { 0 };

    (void)state;
    begin(&s, SHOP CART_2("{share: 0}"), SHOP CART_2("{share: 100}"), 99);
    sent(&s, "cart", "v1", 99);
    predict(&s);
    assert_false(s.impact.measured);
    assert_true(version(&s, "cart", "v2")->then < 0);
    assert_int_equal(s.impact.worst, IMPACT_NO_FIGURE);
    impact_findings(&s.impact, false, &findings);
    assert_int_equal(findings.count, 0);
    impact_free(&s.impact);
    s.traffic.entered = 100;
    predict(&s);
    assert_true(s.impact.measured);
    end(&s);
}

static size_t errors(const struct scene *s, bool allowed, size_t *ret_count)
{
    struct gray_findings findings = { 0 };
    size_t count;

    impact_findings(&s->impact, allowed, &findings);
    count = findings.errors;
    *ret_count = findings.count;
    gray_findings_free(&findings);
    return count;
}

/* cart v2 bears 50: at 39, 40, 50 and 51 % of 100 requests a second. */
static void a_capacity_is_met_at_its_edges(void **state)
{
    static const struct {
        const char *after;
        enum impact_verdict verdict;
        size_t errors, count;
    } cases[] = {
        { SHOP CART_2("{share: 39}"), IMPACT_FITS, 0, 0 },
        { SHOP CART_2("{share: 40}"), IMPACT_IS_NEAR, 0, 1 },
        { SHOP CART_2("{share: 50}"), IMPACT_IS_NEAR, 0, 1 },
        { SHOP CART_2("{share: 51}"), IMPACT_IS_OVER, 1, 1 },
    };
    struct scene s;
    size_t count = 0;

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        ramp_from_ten(&s, cases[i].after);
        predict(&s);
        assert_int_equal(version(&s, "cart", "v2")->verdict,
                         cases[i].verdict);
        assert_int_equal(errors(&s, false, &count), cases[i].errors);
        assert_int_equal(count, cases[i].count);
        assert_int_equal(errors(&s, true, &count), 0); /* allowed: warned of */
        assert_int_equal(count, cases[i].count);
        end(&s);
    }
}

/* Over already, and the change leads nothing more to it. */
static void what_is_over_already_refuses_nothing_else(void **state)
{
    struct scene s;
    size_t count = 0;

    (void)state;
    begin(&s, SHOP CART_2("{share: 80}"), SHOP CART_2("{share: 80}"), 1000);
    sent(&s, "cart", "v1", 200);
    sent(&s, "cart", "v2", 800);
    carried(&s, "", 800);
    carried(&s, "cart", 800);
    predict(&s);
    assert_int_equal(s.impact.releases[0].basis, IMPACT_UNCHANGED);
    assert_int_equal(errors(&s, false, &count), 0);
    assert_int_equal(count, 1);
    end(&s);
}

static void variants_have_their_weights(void **state)
{
#define TWO(share)                                                       \
    SHOP "---\nkind: Release\nname: cart-2\nunit: {cookie: uid}\n"       \
    "variants:\n"                                                        \
    "  - {name: a, weight: 75, services: [{service: cart, version: v2}]}\n" \
    "  - {name: b, weight: 25, services: [{service: stock, version: v1}]}\n" \
    "admission: {share: " share "}\n"
    struct scene s;

    (void)state;
    begin(&s, TWO("0"), TWO("40"), 1000);
    sent(&s, "cart", "v1", 1000);
    predict(&s);
    NEAR(s.impact.releases[0].then, 40);
    NEAR(version(&s, "cart", "v2")->then, 30);
    NEAR(version(&s, "cart", "v1")->then, 70);
    end(&s);
}

static void words_and_json_say_the_same(void **state)
{
    struct scene s;
    json_t *value, *call;

    (void)state;
    ramp_from_ten(&s, SHOP CART_2("{share: 51}"));
    predict(&s);
    value = impact_json(&s.impact, NULL);
    assert_non_null(value);
    assert_string_equal(json_string_value(json_object_get(value, "verdict")),
                        "over");
    assert_true(json_is_null(json_object_get(value, "replay")));
    call = json_array_get(json_object_get(value, "calls"), 1);
    assert_true(json_is_null(json_object_get(call, "factor")));
    assert_string_equal(
        json_string_value(json_object_get(call, "sentence")),
        "stock is called by cart-2 only: 1.00 calls for each request that "
        "comes in, 51.0 a second.");
    json_decref(value);
    end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_is_in_grows_in_the_measure_of_the_share),
        cmocka_unit_test(calls_that_are_not_linear_are_named),
        cmocka_unit_test(a_call_that_falls_away_is_named),
        cmocka_unit_test(chance_is_not_named),
        cmocka_unit_test(nobody_in_yet_is_the_share_of_all_by_the_old_ratio),
        cmocka_unit_test(replay_says_more_than_a_share),
        cmocka_unit_test(another_rule_is_not_measured_by_who_is_in),
        cmocka_unit_test(another_list_is_another_rule),
        cmocka_unit_test(now_is_what_the_present_policy_lets_in),
        cmocka_unit_test(a_release_that_goes_sends_everybody_back),
        cmocka_unit_test(below_a_hundred_requests_nothing_is_said),
        cmocka_unit_test(a_capacity_is_met_at_its_edges),
        cmocka_unit_test(what_is_over_already_refuses_nothing_else),
        cmocka_unit_test(variants_have_their_weights),
        cmocka_unit_test(words_and_json_say_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
