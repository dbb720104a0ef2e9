/* SPDX-License-Identifier: Apache-2.0
 * test_model.c - documents become exactly this model.
 *
 * Why: defaults, orders and numbers of the model are what the compiler relies
 * on; each is looked at here, with limits at and above.
 * Read next: ../../policy/model.h, ../../docs/documents.md.
 */
#include "tests/policy/read_policy.h"

#include "policy/check.h"

static void test_defaults_of_a_release(void **state)
{
    struct gray_model *m = read_good(SERVICE RELEASE);
    static const uint8_t order[8] = {GRAY_STEP_DENY, GRAY_STEP_ALLOW,
                                     GRAY_STEP_MARK, GRAY_STEP_RULES,
                                     GRAY_STEP_EVIDENCE, GRAY_STEP_END};
    const struct model_release *r = &m->releases[0];
    (void)state;
    assert_int_equal(m->release_count, 1);
    assert_string_equal(r->salt, "cart-2");
    assert_int_equal(r->priority, 0);
    assert_int_equal(r->share, 0);
    assert_int_equal(r->holdback, 0);
    assert_memory_equal(r->order, order, sizeof(order));
    assert_int_equal(r->stickiness, GRAY_STICKY_MONOTONIC);
    assert_int_equal(r->data_compat, GRAY_DATA_STATELESS);
    assert_int_equal(r->anonymous, GRAY_ANONYMOUS_BASELINE);
    assert_int_equal(r->unit_count, 1);
    assert_int_equal(r->units[0].source, GRAY_SOURCE_COOKIE);
    assert_string_equal(r->units[0].name.data, "uid");
    assert_int_equal(r->variant_count, 1);
    assert_string_equal(r->variants[0].name, "");
    assert_int_equal(r->variants[0].upto, GRAY_SHARE_ALL);
    assert_string_equal(r->variants[0].targets[0].version, "v2");
    assert_null(r->require);
    assert_int_equal(r->deny_count + r->allow_count + r->match_count, 0);
    assert_int_equal(m->entrance_count, 1);
    assert_string_equal(m->entrances[0].name, "");
    assert_int_equal(m->entrances[0].release_count, 1);
    gray_model_free(m);
}

static void test_entity_changes_two_defaults(void **state)
{
    struct gray_model *m = read_good(SERVICE RELEASE "stickiness: entity\n");
    (void)state;
    assert_int_equal(m->releases[0].data_compat, GRAY_DATA_IRREVERSIBLE);
    assert_int_equal(m->releases[0].order[0], GRAY_STEP_MARK);
    gray_model_free(m);
}

static void test_conditions_are_typed(void **state)
{
    struct gray_model *m = read_good(
        SERVICE RELEASE
        "admission:\n  share: 0.0001\n"
        "  allow: [{list: a}, {header: {name: X-Canary, exact: On}}]\n"
        "  match:\n"
        "    - {mod: {divisor: 100, in: [7, '0~3', '4~5', 9]}}\n"
        "    - {idTail: ['09', '01', '09']}\n"
        "    - {host: {in: [B.example, a.example]}}\n"
        "    - {attr: {name: R, exact: Hz, ignoreCase: true}}\n"
        "    - {path: {segment: 3, prefix: x}}\n"
        "    - {time: {days: [mon, sun], hours: '22:00-06:00'}}\n"
        "---\n{kind: List, name: a, ids: ['1']}\n");
    const struct model_release *r = &m->releases[0];
    (void)state;
    assert_int_equal(r->share, 1);
    assert_true(r->allow[0].writes);
    assert_false(r->allow[1].writes);
    assert_string_equal(r->allow[1].name, "allow[1]");
    assert_string_equal(r->allow[1].when->name.data, "x-canary");
    assert_string_equal(r->allow[1].when->text.data, "On");
    assert_string_equal(r->allow[1].when->pointer, "/admission/allow/1");
    const struct cond *mod = r->match[0].when;
    assert_int_equal(mod->source, GRAY_SOURCE_UNIT);
    assert_int_equal(mod->range_count, 3);
    assert_int_equal(mod->ranges[0].first, 0);
    assert_int_equal(mod->ranges[0].last, 5);
    assert_int_equal(mod->ranges[2].first, 9);
    const struct cond *tail = r->match[1].when;
    assert_int_equal(tail->tail_width, 2);
    assert_int_equal(tail->tail_count, 2);
    assert_int_equal(tail->tails[0], 1);
    assert_string_equal(r->match[2].when->texts[0].data, "a.example");
    assert_string_equal(r->match[2].when->texts[1].data, "b.example");
    assert_string_equal(r->match[3].when->name.data, "R");
    assert_string_equal(r->match[3].when->text.data, "hz");
    assert_int_equal(r->match[4].when->source, GRAY_SOURCE_SEGMENT);
    assert_string_equal(r->match[4].when->name.data, "3");
    const struct cond *when = r->match[5].when;
    assert_int_equal(when->days, 0x41);
    assert_int_equal(when->day_start, 79200);
    assert_int_equal(when->from, INT64_MIN);
    assert_string_equal(when->zone, "UTC");
    gray_model_free(m);
}

static void test_releases_by_priority_and_entrances(void **state)
{
    struct gray_model *m = read_good(
        SERVICE
        "{kind: Release, name: b, unit: {cookie: u}, priority: 1, "
        "entrances: [web], services: [{service: cart, version: v2}]}\n---\n"
        "{kind: Release, name: a, unit: {cookie: u}, priority: -2, "
        "services: [{service: cart, version: v2}]}\n---\n"
        "{kind: Release, name: c, unit: {cookie: u}, priority: 7, "
        "entrances: [app, web], services: [{service: cart, version: v2}]}\n");
    (void)state;
    assert_string_equal(m->releases[0].name, "c");
    assert_string_equal(m->releases[1].name, "b");
    assert_string_equal(m->releases[2].name, "a");
    assert_int_equal(m->entrance_count, 3);
    assert_string_equal(m->entrances[1].name, "app");
    assert_string_equal(m->entrances[2].name, "web");
    assert_int_equal(m->entrances[0].release_count, 1);
    assert_int_equal(m->entrances[0].releases[0], 2);
    assert_int_equal(m->entrances[1].release_count, 2);
    assert_int_equal(m->entrances[2].release_count, 3);
    assert_int_equal(m->entrances[2].releases[0], 0);
    gray_model_free(m);
}

static void test_lane_rules_in_order(void **state)
{
    struct gray_model *m = read_good(
        SERVICE
        "{kind: Lane, name: red, services: [cart], priority: 5, "
        "unit: {cookie: u}, rules: ["
        "{name: one, when: {unit: {exact: x}}, share: 25}, {share: 10}]}\n"
        "---\n{kind: Lane, name: blue, services: [cart], priority: 5, "
        "rules: [{when: {host: {exact: a}}}]}\n"
        "---\n{kind: Lane, name: zero, services: [cart], priority: 1, "
        "mode: strict, selector: {zone: z}, rules: [{when: {host: {exact: "
        "b}}}]}\n"
        "---\n{kind: Lane, name: off, enabled: false, services: [cart], "
        "rules: [{when: {host: {exact: c}}}]}\n");
    const struct model_entrance *e = &m->entrances[0];
    (void)state;
    assert_int_equal(e->lane_rule_count, 4);
    assert_string_equal(e->lane_rules[0].name, "zero[0]");
    assert_string_equal(e->lane_rules[1].name, "blue[0]");
    assert_string_equal(e->lane_rules[2].name, "one");
    assert_string_equal(e->lane_rules[3].name, "red[1]");
    assert_string_equal(m->lanes[e->lane_rules[2].lane].name, "red");
    /* The share is one more test, and the unit is the attribute itself. */
    const struct cond *when = e->lane_rules[2].when;
    assert_int_equal(when->kind, COND_ALL);
    assert_int_equal(when->children[0].source, GRAY_SOURCE_COOKIE);
    assert_string_equal(when->children[0].name.data, "u");
    assert_int_equal(when->children[1].op, GRAY_CONDITION_PERCENT);
    assert_int_equal(when->children[1].share, 250000);
    assert_string_equal(when->children[1].salt.data, "lane:red");
    assert_int_equal(e->lane_rules[3].when->op, GRAY_CONDITION_PERCENT);
    assert_string_equal(m->lanes[0].selector[0].key, "lane");
    assert_string_equal(m->lanes[0].selector[0].value, "blue");
    assert_true(m->lanes[3].strict);
    assert_false(m->lanes[1].enabled);
    gray_model_free(m);
}

static void test_service_endpoints(void **state)
{
    struct gray_model *m = read_good(
        "kind: Service\nname: cart\nbaseline: {zone: null}\nversions:\n"
        "  v1: {endpoints: ['10.0.0.1:80']}\n"
        "  v2: {endpoints: [{address: '[::1]:81', weight: 1000000, "
        "labels: {zone: a}}]}\n");
    const struct model_service *s = &m->services[0];
    (void)state;
    assert_string_equal(s->baseline_version, "baseline");
    assert_null(s->baseline[0].value);
    assert_int_equal(s->endpoint_count, 2);
    assert_memory_equal(s->endpoints[0].bytes, "\x0a\0\0\1", 4);
    assert_int_equal(s->endpoints[0].port, 80);
    assert_int_equal(s->endpoints[0].weight, 1);
    assert_int_equal(s->endpoints[1].weight, 1000000);
    assert_int_equal(s->endpoints[1].label_count, 2);
    assert_string_equal(s->endpoints[1].labels[0].key, "version");
    assert_string_equal(s->endpoints[1].labels[1].value, "a");
    gray_model_free(m);
}

static void a_capacity_is_the_lower_of_the_whole_and_its_endpoints(
    void **state)
{
    struct gray_model *m = read_good(
        "kind: Service\nname: cart\nbaseline: {version: v1}\nversions:\n"
        "  v1: {endpoints: ['10.0.0.1:80']}\n"
        "  v2: {endpoints: ['10.0.0.2:80', '10.0.0.3:80'], "
        "capacity: {maxRatePerEndpoint: 50}}\n"
        "  v3: {endpoints: ['10.0.0.4:80', '10.0.0.5:80'], "
        "capacity: {maxRate: 70, maxRatePerEndpoint: 50}}\n"
        "  v4: {endpoints: [], capacity: {maxRate: 70}}\n"
        "  v5: {endpoints: ['10.0.0.6:80'], "
        "capacity: {maxRate: 70, maxRatePerEndpoint: 50}}\n");
    const struct model_version *versions = m->services[0].versions;
    static const uint64_t wanted[] = {0, 100, 70, 70, 50};
    (void)state;
    assert_int_equal(m->services[0].version_count, 5);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(versions[i].name[1], '1' + (char)i);
        assert_int_equal(versions[i].capacity, wanted[i]);
    }
    assert_int_equal(versions[1].endpoint_count, 2);
    assert_non_null(strstr(m->source, "\"maxRatePerEndpoint\":50"));
    gray_model_free(m);
}

/* A text of `count` bytes in a policy at the place of %s. */
static bool accepted(const char *format, size_t count, const char *code)
{
    struct gray_findings findings = {0};
    char *bytes = take(count + 1), *text = take(count + 2048);
    memset(bytes, 'a', count);
    bytes[count] = '\0';
    sprintf(text, format, bytes);
    struct gray_model *model = read_text(text, &findings);
    bool good = model != NULL;
    if (!good && find_code(&findings, code) == NULL) {
        gray_findings_print(&findings, stderr);
    }
    assert_int_equal(find_code(&findings, code) == NULL, good);
    gray_model_free(model);
    gray_findings_free(&findings);
    free(bytes);
    free(text);
    return good;
}

static void test_limits_of_texts(void **state)
{
    static const struct {
        const char *format, *code;
        size_t limit;
    } cases[] = {
        {"kind: List\nname: %s\nids: []\n", "bad-name", GRAY_NAME_MAX},
        {"kind: List\nname: a\nids: ['%s']\n", "too-long", GRAY_VALUE_MAX},
        {SERVICE RELEASE "salt: %s\n", "too-long", GRAY_TEXT_MAX},
        {SERVICE RELEASE "admission: {allow: [{host: {exact: %s}}]}\n",
         "too-long", GRAY_VALUE_MAX},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        assert_true(accepted(cases[i].format,
                             cases[i].limit, cases[i].code));
        assert_false(accepted(cases[i].format, cases[i].limit + 1,
                              cases[i].code));
    }
}

static void test_limit_of_a_set(void **state)
{
    (void)state;
    for (unsigned more = 0; more < 2; more++) {
        unsigned count = GRAY_SET_MAX + more;
        struct gray_findings findings = {0};
        char *text = take(1024 + count * 12u);
        char *end = text + sprintf(text, "%s%s%s", SERVICE, RELEASE,
                                   "admission: {allow: [{unit: {in: [");
        for (unsigned i = 0; i < count; i++) {
            end += sprintf(end, "%su%u", i == 0 ? "" : ",", i);
        }
        strcpy(end, "]}}]}\n");
        struct gray_model *model = read_text(text, &findings);
        assert_int_equal(model == NULL, more);
        assert_int_equal(find_code(&findings, "too-many") != NULL, more);
        gray_model_free(model);
        gray_findings_free(&findings);
        free(text);
    }
}

static void test_limits_of_counts(void **state)
{
    static const struct {
        const char *head, *item, *tail;
        unsigned limit;
    } cases[] = {
        {"{kind: List, name: z, ids: []}\n",
         "---\n{kind: Release, name: r%u, unit: {cookie: u}, priority: %u, "
         "services: [{service: cart, version: v2}]}\n",
         "", GRAY_RELEASES_MAX},
        {RELEASE "entrances: [", "e%u,", "]\n", GRAY_ENTRANCES_MAX - 1},
        {RELEASE "strategy: {canary: {steps: [", "{pause: {}},", "]}}\n",
         GRAY_STEPS_MAX},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        for (unsigned more = 0; more < 2; more++) {
            unsigned count = cases[i].limit + more;
            struct gray_findings findings = {0};
            char *text = take(1024 + count * 160u);
            char *end = text + sprintf(text, "%s%s", SERVICE, cases[i].head);
            for (unsigned k = 0; k < count; k++) {
                end += sprintf(end, cases[i].item, k, k);
            }
            strcpy(end, cases[i].tail);
            struct gray_model *model = read_text(text, &findings);
            assert_int_equal(model == NULL, more);
            assert_int_equal(find_code(&findings, "too-many") != NULL, more);
            gray_model_free(model);
            gray_findings_free(&findings);
            free(text);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults_of_a_release),
        cmocka_unit_test(test_entity_changes_two_defaults),
        cmocka_unit_test(test_conditions_are_typed),
        cmocka_unit_test(test_releases_by_priority_and_entrances),
        cmocka_unit_test(test_lane_rules_in_order),
        cmocka_unit_test(test_service_endpoints),
        cmocka_unit_test(
            a_capacity_is_the_lower_of_the_whole_and_its_endpoints),
        cmocka_unit_test(test_limits_of_texts),
        cmocka_unit_test(test_limit_of_a_set),
        cmocka_unit_test(test_limits_of_counts),
    };
    return cmocka_run_group_tests_name("model", tests, NULL, NULL);
}
