/* SPDX-License-Identifier: Apache-2.0
 * test_lint.c - what looks wrong is said, what is right is not.
 *
 * Why: a lint that cries at good policies is switched off; so each case stands
 * beside one that must stay silent.
 * Read next: ../../policy/lint.c.
 */
#include "tests/policy/read_policy.h"

struct lint {
    const char *lines; /* behind a Service and the head of a Release */
    const char *code;
    enum gray_severity severity;
    const char *quiet; /* the same, and nothing to say */
};

static bool has(const char *lines, const char *code,
                enum gray_severity severity)
{
    char text[4096];
    struct gray_findings findings = {0};
    snprintf(text, sizeof(text), "%s%s%s", SERVICE, RELEASE, lines);
    struct gray_model *model = read_text(text, &findings);
    const struct gray_finding *found = find_code(&findings, code);
    bool yes = found != NULL && found->severity == severity;
    if ((found == NULL || severity != GRAY_ERROR) && model == NULL) {
        gray_findings_print(&findings, stderr);
        fail();
    }
    if (found != NULL) {
        assert_int_not_equal(found->line, 0);
        assert_non_null(found->document);
    }
    gray_findings_free(&findings);
    gray_model_free(model);
    return yes;
}

#define ALLOW(x) "admission: {allow: [" x "]}\n"
#define TEAM "---\nkind: List\nname: team\nids: ['1']\n"

static const struct lint cases[] = {
    {ALLOW("{host: {exact: a}}, {host: {exact: b}}, {host: {exact: a}}"),
     "unreachable-rule", GRAY_ERROR,
     ALLOW("{host: {exact: a}}, {host: {exact: b}}")},
    {ALLOW("{list: team}, {unit: {list: team}}") TEAM, "unreachable-rule",
     GRAY_ERROR,
     ALLOW("{list: team}, {header: {name: x, list: team}}") TEAM},
    {ALLOW("{host: {exact: a}}, {all: [{path: {prefix: /}}, {all: [{host: "
           "{exact: a}}, {method: {exact: GET}}]}]}"),
     "unreachable-rule", GRAY_ERROR,
     ALLOW("{host: {exact: a}}, {any: [{path: {prefix: /}}, {host: "
           "{exact: a}}]}")},
    {ALLOW("{not: {percent: {share: 0, salt: s}}}, {host: {exact: a}}"),
     "unreachable-rule", GRAY_ERROR,
     ALLOW("{not: {percent: {share: 1, salt: s}}}, {host: {exact: a}}")},
    {ALLOW("{all: [{host: {exact: a}}, {host: {exact: b}}]}"),
     "never-holds", GRAY_WARNING,
     ALLOW("{all: [{header: {name: x, exact: a}}, {header: {name: x, "
           "exact: b}}]}")},
    {ALLOW("{all: [{host: {in: [a, b]}}, {host: {exact: c}}]}"),
     "never-holds", GRAY_WARNING,
     ALLOW("{all: [{host: {in: [a, b]}}, {host: {exact: b}}]}")},
    {ALLOW("{all: [{cookie: {name: a, range: {end: 5}}}, {cookie: "
           "{name: a, range: {start: 5}}}]}"),
     "never-holds", GRAY_WARNING,
     ALLOW("{all: [{cookie: {name: a, range: {end: 6}}}, {cookie: "
           "{name: a, range: {start: 5}}}]}")},
    {ALLOW("{all: [{header: {name: x, absent: true}}, {header: {name: x, "
           "exact: a}}]}"),
     "never-holds", GRAY_WARNING,
     ALLOW("{all: [{header: {name: x, absent: true}}, {header: {name: x, "
           "notIn: [a]}}]}")},
    {ALLOW("{percent: {share: 0, salt: s}}"), "never-holds", GRAY_WARNING,
     ALLOW("{percent: {share: 0.0001, salt: s}}")},
    {ALLOW("{host: {exact: Shop.example}}"), "host-case", GRAY_WARNING,
     ALLOW("{host: {exact: shop.example}}")},
    {ALLOW("{path: {segment: 1, exact: a}}, {host: {mod: {divisor: 2, in: "
           "[1]}}}"),
     "mod-not-numeric", GRAY_WARNING,
     ALLOW("{mod: {divisor: 2, in: [1]}}")},
    {"admission: {allow: [{list: team}], deny: [{mod: {divisor: 2, in: "
     "[1]}}]}\n---\nkind: List\nname: team\nids: ['1', alice]\n",
     "mod-not-numeric", GRAY_WARNING,
     "admission: {allow: [{list: team}], deny: [{mod: {divisor: 2, in: "
     "[1]}}]}\n---\nkind: List\nname: team\nids: ['1', '22']\n"},
    {ALLOW("{header: {name: X-Gray-Lane, exact: red}}"),
     "stripped-header", GRAY_WARNING,
     ALLOW("{header: {name: X-Grey-Lane, exact: red}}")},
    {"admission: {share: 1}\n", "anonymous", GRAY_ADVICE,
     "admission: {share: 1, anonymous: cookie}\n"},
    {TEAM, "unused-list", GRAY_WARNING, ALLOW("{list: team}") TEAM},
    {"---\nkind: Lane\nname: red\nservices: [cart]\n", "unused-lane",
     GRAY_ADVICE,
     "---\nkind: Lane\nname: red\nservices: [cart]\nrules: [{when: "
     "{host: {exact: a}}}]\n"},
    {"---\nkind: Lane\nname: red\nservices: [cart]\n", "no-endpoint",
     GRAY_WARNING,
     "---\nkind: Lane\nname: red\nservices: [pay]\n---\nkind: Service\n"
     "name: pay\nbaseline: {version: v1}\nversions: {v1: {endpoints: "
     "['127.0.0.1:7', {address: '127.0.0.1:8', labels: {lane: red}}]}}\n"},
    {"---\nkind: Release\nname: x\nunit: {cookie: u}\npriority: 2\n"
     "services: [{service: cart, version: v1}]\n",
     "release-is-baseline", GRAY_WARNING, ""},
    {"---\nkind: Lane\nname: red\nservices: [cart]\nrules: [{when: {host: "
     "{exact: a}}}]\n---\nkind: Lane\nname: tan\nservices: [cart]\n"
     "rules: [{when: {host: {exact: a}}}]\n",
     "unreachable-rule", GRAY_ERROR,
     "---\nkind: Lane\nname: red\nservices: [cart]\nentrances: [a]\n"
     "rules: [{when: {host: {exact: a}}}]\n---\nkind: Lane\nname: tan\n"
     "services: [cart]\nentrances: [b]\n"
     "rules: [{when: {host: {exact: a}}}]\n"},
};

static void test_each_lint(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        if (!has(cases[i].lines, cases[i].code, cases[i].severity)) {
            fail_msg("%s not found in: %s", cases[i].code, cases[i].lines);
        }
        if (has(cases[i].quiet, cases[i].code, cases[i].severity)) {
            fail_msg("%s found in: %s", cases[i].code, cases[i].quiet);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_lint),
    };
    return cmocka_run_group_tests_name("lint", tests, NULL, NULL);
}
