/* SPDX-License-Identifier: Apache-2.0
 * test_gates.c - what a change may do to those who are in.
 *
 * Why: each case is a release before and after and the code that must be
 * found, or none; {00,01} -> {0} must name 01.  The same policy twice must
 * never be refused.
 * Read next: ../../policy/gates.c, ../../policy/implies.c.
 */
#include "tests/policy/read_policy.h"

struct change {
    const char *before, *after;
    const char *code; /* of the one error; NULL: let through */
    const char *names; /* what its sentence must say */
};

/* Wraps the changing lines in a policy; "---" in them begins Lists. */
static struct gray_model *model_of(const char *lines)
{
    size_t size = strlen(lines) + 1024;
    char *text = take(size);
    snprintf(text, size, "%s%s%s", SERVICE, RELEASE, lines);
    struct gray_model *model = read_good(text);
    free(text);
    return model;
}

static size_t count_errors(const struct gray_findings *findings,
                           const char **ret_code, const char **ret_sentence)
{
    size_t count = 0;
    for (size_t i = 0; i < findings->count; i++) {
        if (findings->items[i].severity == GRAY_ERROR) {
            *ret_code = findings->items[i].code;
            *ret_sentence = findings->items[i].sentence;
            count++;
        }
    }
    return count;
}

static void check_change(const struct change *change)
{
    struct gray_findings findings = {0};
    struct gray_model *before = model_of(change->before);
    struct gray_model *after = model_of(change->after);
    const char *code = NULL, *sentence = "";
    int status = gray_gates_compare(before, after, NULL, &findings, NULL);
    size_t errors = count_errors(&findings, &code, &sentence);
    bool good = change->code == NULL
                    ? status == 0 && errors == 0
                    : status == -1 && errors == 1 &&
                          strcmp(code, change->code) == 0 &&
                          (change->names == NULL ||
                           strstr(sentence, change->names) != NULL);
    if (!good) {
        fprintf(stderr, "before:\n%safter:\n%swanted %s '%s', found:\n",
                change->before, change->after,
                change->code == NULL ? "nothing" : change->code,
                change->names == NULL ? "" : change->names);
        gray_findings_print(&findings, stderr);
        fail();
    }
    if (change->code != NULL) {
        assert_int_not_equal(findings.items[0].line, 0);
    }
    gray_findings_free(&findings);
    assert_int_equal(gray_gates_compare(before, before, NULL, &findings, NULL), 0);
    assert_int_equal(gray_gates_compare(after, after, NULL, &findings, NULL), 0);
    assert_int_equal(gray_gates_compare(NULL, after, NULL, &findings, NULL), 0);
    assert_int_equal(findings.count, 0);
    gray_findings_free(&findings);
    gray_model_free(before);
    gray_model_free(after);
}

static void check_changes(const struct change *changes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        check_change(&changes[i]);
    }
}
#define CHECK(changes)                                                     \
    check_changes(changes, sizeof(changes) / sizeof(*(changes)))

#define SHARE(n) "admission: {share: " n "}\n"
#define MATCH(x) "admission: {share: 10, match: [" x "]}\n"
#define REQUIRE(x) "admission: {share: 10, require: " x "}\n"
/* How one condition may grow is proven the same way wherever it stands. */
#define GROWS(x) MATCH(x)
#define ALLOW(x) "admission: {share: 10, allow: [" x "]}\n"
#define DENY(x) "admission: {share: 10, deny: [" x "]}\n"
#define EVERYONE(x) "admission: {share: 100, match: [" x "]}\n"
#define LIST(ids) "---\nkind: List\nname: team\nids: [" ids "]\n"

static void test_shares_and_identity(void **state)
{
    static const struct change changes[] = {
        {SHARE("1"), SHARE("10"), NULL, NULL},
        {SHARE("10"), SHARE("10"), NULL, NULL},
        {SHARE("10"), SHARE("9.9999"), "share-lowered", "freeze"},
        {SHARE("10"), SHARE("0"), "share-lowered", "gray stop cart-2"},
        {"salt: a\n", "salt: b\n", "salt-changed", "\"a\""},
        {"salt: cart-2\n", "", NULL, NULL},
        {"priority: 1\n", "priority: 2\n", NULL, NULL},
        {"entrances: [a]\n", "entrances: [a, b]\n", NULL, NULL},
        {"entrances: [a]\n", "", NULL, NULL},
        {"entrances: [a, b]\n", "entrances: [b]\n", "may-drop", "entrance a"},
        {"", "entrances: [b]\n", "may-drop", "every entrance"},
    };
    (void)state;
    CHECK(changes);
}

static void test_tails(void **state)
{
    static const struct change changes[] = {
        {MATCH("{idTail: ['00', '01']}"), MATCH("{idTail: ['0']}"),
         "tail-dropped", "drops 01:"},
        {MATCH("{idTail: ['00', '01']}"), MATCH("{idTail: ['0', '1']}"), NULL,
         NULL},
        {MATCH("{idTail: ['00']}"), MATCH("{idTail: ['00', '01']}"), NULL,
         NULL},
        {MATCH("{idTail: ['00', '01']}"), MATCH("{idTail: ['01']}"),
         "tail-dropped", "drops 00:"},
        {MATCH("{idTail: ['0']}"), MATCH("{idTail: ['00', '10']}"),
         "tail-dropped", "20, 30, 40, 50, 60, 70, 80, 90"},
        {MATCH("{idTail: ['7']}"),
         MATCH("{idTail: ['07','17','27','37','47','57','67','77','87','97']}"),
         "tail-dropped", "fewer digits"},
        {MATCH("{all: [{idTail: ['7']}, {unit: {range: {start: 10}}}]}"),
         MATCH("{idTail: ['07','17','27','37','47','57','67','77','87','97']}"),
         NULL, NULL},
        /* Split over two rules, and moved into an any. */
        {MATCH("{idTail: ['00', '01']}"),
         MATCH("{idTail: ['00']}, {idTail: ['01', '02']}"), NULL, NULL},
        {MATCH("{idTail: ['00', '01']}"),
         MATCH("{any: [{idTail: ['00']}, {idTail: ['1']}]}"), NULL, NULL},
        {MATCH("{all: [{idTail: ['00', '01']}, {host: {exact: a}}]}"),
         MATCH("{all: [{idTail: ['0']}, {host: {exact: a}}]}"),
         "tail-dropped", "drops 01:"},
        {MATCH("{all: [{idTail: ['00']}, {host: {exact: a}}]}"),
         MATCH("{idTail: ['0']}"), NULL, NULL},
        {GROWS("{idTail: ['00', '01']}"), GROWS("{idTail: ['0']}"),
         "tail-dropped", "drops 01:"},
        /* Tails of another attribute prove nothing. */
        {MATCH("{idTail: ['00']}"),
         MATCH("{header: {name: x, idTail: ['00']}}"), "tail-dropped", NULL},
    };
    (void)state;
    CHECK(changes);
}

static void test_predicates(void **state)
{
    static const struct change changes[] = {
        {GROWS("{attr: {name: r, in: [a]}}"),
         GROWS("{attr: {name: r, in: [a, b]}}"), NULL, NULL},
        {GROWS("{attr: {name: r, in: [a, b]}}"),
         GROWS("{attr: {name: r, in: [b]}}"), "ids-dropped", "drops a:"},
        {GROWS("{attr: {name: r, exact: a}}"),
         GROWS("{attr: {name: r, prefix: a}}"), NULL, NULL},
        {GROWS("{path: {prefix: /shop}}"), GROWS("{path: {prefix: /}}"),
         NULL, NULL},
        {GROWS("{path: {prefix: /}}"), GROWS("{path: {prefix: /shop}}"),
         "drops", NULL},
        {GROWS("{attr: {name: age, range: {start: 18, end: 30}}}"),
         GROWS("{attr: {name: age, range: {start: 18}}}"), NULL, NULL},
        {GROWS("{attr: {name: age, range: {start: 18}}}"),
         GROWS("{attr: {name: age, range: {start: 18, end: 99}}}"),
         "drops", NULL},
        {GROWS("{source: {cidr: [10.1.0.0/16]}}"),
         GROWS("{source: {cidr: [10.0.0.0/8]}}"), NULL, NULL},
        {GROWS("{source: {cidr: [10.0.0.0/8]}}"),
         GROWS("{source: {cidr: [10.1.0.0/16]}}"), "drops", NULL},
        {GROWS("{source: {cidr: [10.0.0.0/8]}}"),
         GROWS("{source: {cidr: [10.0.0.0/16]}}"), "drops", NULL},
        {GROWS("{header: {name: v, semver: '>=2.0.0'}}"),
         GROWS("{header: {name: v, semver: '>=1.0.0'}}"), NULL, NULL},
        {GROWS("{header: {name: v, semver: '>=1.0.0'}}"),
         GROWS("{header: {name: v, semver: '>=2.0.0'}}"), "drops", NULL},
        {GROWS("{mod: {divisor: 10, in: ['1~2']}}"),
         GROWS("{mod: {divisor: 10, in: ['0~3', 7]}}"), NULL, NULL},
        {GROWS("{mod: {divisor: 10, in: ['1~4']}}"),
         GROWS("{mod: {divisor: 10, in: ['0~3']}}"), "drops", NULL},
        {GROWS("{percent: {share: 10, salt: s}}"),
         GROWS("{percent: {share: 20, salt: s}}"), NULL, NULL},
        {GROWS("{percent: {share: 10, salt: s}}"),
         GROWS("{percent: {share: 20, salt: t}}"), "drops", NULL},
        {GROWS("{time: {hours: '09:00-18:00'}}"),
         GROWS("{time: {hours: '08:00-20:00'}}"), NULL, NULL},
        {GROWS("{time: {hours: '09:00-18:00'}}"),
         GROWS("{time: {hours: '08:00-20:00', days: [mon]}}"), "drops",
         NULL},
    };
    (void)state;
    CHECK(changes);
}

static void test_trees_and_texts(void **state)
{
    static const struct change changes[] = {
        {GROWS("{all: [{host: {exact: a}}, {path: {prefix: /a}}]}"),
         GROWS("{host: {exact: a}}"), NULL, NULL},
        {GROWS("{host: {exact: a}}"),
         GROWS("{all: [{host: {exact: a}}, {path: {prefix: /a}}]}"),
         "drops", NULL},
        {GROWS("{not: {attr: {name: r, in: [a, b]}}}"),
         GROWS("{not: {attr: {name: r, in: [a]}}}"), NULL, NULL},
        {GROWS("{not: {attr: {name: r, in: [a]}}}"),
         GROWS("{not: {attr: {name: r, in: [a, b]}}}"), "drops", NULL},
        {GROWS("{attr: {name: r, notIn: [a, b]}}"),
         GROWS("{attr: {name: r, notIn: [a]}}"), NULL, NULL},
        {GROWS("{attr: {name: r, notIn: [a]}}"),
         GROWS("{attr: {name: r, notIn: [a, b]}}"), "drops", NULL},
        {GROWS("{attr: {name: r, exact: a}}"),
         GROWS("{attr: {name: r, present: true}}"), NULL, NULL},
        {GROWS("{attr: {name: r, absent: true}}"),
         GROWS("{attr: {name: r, present: true}}"), "drops", NULL},
        {GROWS("{attr: {name: r, exact: aB}}"),
         GROWS("{attr: {name: r, exact: AB, ignoreCase: true}}"), NULL,
         NULL},
        {GROWS("{attr: {name: r, exact: AB, ignoreCase: true}}"),
         GROWS("{attr: {name: r, exact: ab}}"), "ids-dropped", NULL},
        {GROWS("{attr: {name: r, regex: 'a.*'}}"),
         GROWS("{attr: {name: r, regex: 'a.*'}}"), NULL, NULL},
        {GROWS("{attr: {name: r, regex: 'a.*'}}"),
         GROWS("{attr: {name: r, regex: '.*'}}"), NULL, NULL},
        {GROWS("{attr: {name: r, regex: '.*'}}"),
         GROWS("{attr: {name: r, regex: '.*b'}}"), "drops", NULL},
        {SHARE("10"), GROWS("{host: {exact: a}}"), "drops", NULL},
        {GROWS("{host: {exact: a}}"), SHARE("10"), NULL, NULL},
        {SHARE("10"), MATCH("{host: {exact: a}}"), "drops", NULL},
        {SHARE("0"), GROWS("{host: {exact: a}}"), "two-dimensions", NULL},
        {MATCH("{host: {exact: a}}"), SHARE("10"), NULL, NULL},
        {MATCH("{host: {exact: a}}"),
         MATCH("{host: {exact: b}}, {host: {exact: a}}"), NULL, NULL},
    };
    (void)state;
    CHECK(changes);
}

static void test_lists(void **state)
{
    static const struct change changes[] = {
        {ALLOW("{list: team}") LIST("'1', '2'"),
         ALLOW("{list: team}") LIST("'1', '2', '3'"), NULL, NULL},
        {ALLOW("{list: team}") LIST("'1', '2'"),
         ALLOW("{list: team}") LIST("'2'"), "ids-dropped", "drops 1:"},
        {EVERYONE("{list: team}") LIST("'1', '2', '3'"),
         EVERYONE("{list: team}") LIST("'2'"), "ids-dropped", "drops 1, 3: 2 "},
        {GROWS("{list: team}") LIST("'1', '2'"),
         GROWS("{unit: {in: ['1', '2']}}"), NULL, NULL},
        {EVERYONE("{unit: {in: ['1', '2']}}"),
         EVERYONE("{list: team}") LIST("'1'"), "ids-dropped", "drops 2:"},
        {EVERYONE("{not: {list: team}}") LIST("'1'"),
         EVERYONE("{not: {list: team}}") LIST("'1', '2'"), "drops", "\"2\""},
        /* Nobody of a list is in whose bucket lies above the share. */
        {MATCH("{list: team}") LIST("'1', '2', '3'"),
         MATCH("{list: team}") LIST("'2'"), NULL, NULL},
        {GROWS("{not: {list: team}}") LIST("'1', '2'"),
         GROWS("{not: {list: team}}") LIST("'1'"), NULL, NULL},
        {ALLOW("{list: team}") LIST("'1'"), SHARE("10"), "ids-dropped", NULL},
        /* What counts for single requests drops nobody. */
        {ALLOW("{header: {name: x-c, exact: a}}"), SHARE("10"), NULL, NULL},
        {SHARE("10"), ALLOW("{list: team}") LIST("'1'"), NULL, NULL},
        /* Denying by id is the one allowed drop. */
        {SHARE("10"), DENY("{list: team}") LIST("'1'"), NULL, NULL},
        {SHARE("10"), DENY("{unit: {exact: '5'}}"), NULL, NULL},
        {SHARE("10"), DENY("{header: {name: x, exact: a}}"), "drops",
         "List of ids"},
        {SHARE("10"), DENY("{idTail: ['0']}"), "drops", NULL},
        {DENY("{host: {exact: a}}"), SHARE("10"), NULL, NULL},
    };
    (void)state;
    CHECK(changes);
}

static void test_require_is_fixed(void **state)
{
    static const struct change changes[] = {
        {REQUIRE("{host: {exact: a}}"), REQUIRE("{host: {exact: a}}"), NULL,
         NULL},
        {REQUIRE("{host: {in: [a]}}"), REQUIRE("{host: {in: [a, b]}}"),
         "require-changed", NULL},
        {REQUIRE("{host: {exact: a}}"), SHARE("10"), "require-changed", NULL},
        {SHARE("10"), REQUIRE("{host: {exact: a}}"), "require-changed", NULL},
        {"admission: {require: {host: {exact: a}}}\n",
         "admission: {require: {host: {exact: b}}}\n", NULL, NULL},
        {REQUIRE("{list: team}") LIST("'1'"),
         REQUIRE("{list: team}") LIST("'1', '2'"), NULL, NULL},
        {"admission: {share: 100, require: {list: team}}\n" LIST("'1', '2'"),
         "admission: {share: 100, require: {list: team}}\n" LIST("'1'"),
         "ids-dropped", "drops 2:"},
    };
    (void)state;
    CHECK(changes);
}

static void test_one_variable_at_a_time(void **state)
{
    static const struct change changes[] = {
        {"admission: {share: 10, match: [{idTail: ['00']}]}\n",
         "admission: {share: 20, match: [{idTail: ['00', '01']}]}\n",
         "two-dimensions", "share, match"},
        {"admission: {share: 10, require: {host: {exact: a}}}\n",
         "admission: {share: 20}\n", "require-changed", NULL},
        {"admission: {share: 10, require: {list: team}}\n" LIST("'1'"),
         "admission: {share: 20, require: {list: team}}\n" LIST("'1', '2'"),
         "two-dimensions", "share, require"},
        {"admission: {share: 10, require: {host: {exact: a}}, "
         "match: [{idTail: ['00']}]}\n",
         "admission: {share: 10, match: [{idTail: ['0']}]}\n",
         "require-changed", NULL},
        {"admission: {share: 10, match: [{list: team}]}\n" LIST("'1'"),
         "admission: {share: 20, match: [{list: team}]}\n" LIST("'1', '2'"),
         "two-dimensions", "share, match"},
        {"admission: {share: 10, match: [{list: team}]}\n" LIST("'1'"),
         "admission: {share: 20, match: [{list: team}]}\n" LIST("'1'"), NULL,
         NULL},
        {"admission: {share: 10, match: [{host: {exact: a}}, "
         "{host: {exact: b}}]}\n",
         "admission: {share: 20, match: [{host: {exact: b}}, "
         "{host: {exact: a}}]}\n",
         NULL, NULL},
    };
    (void)state;
    CHECK(changes);
}

static void test_units_variants_targets(void **state)
{
    static const char head[] = "kind: Release\nname: r\n";
    static const struct {
        const char *before, *after, *code;
    } cases[] = {
        {"unit: {cookie: uid}\nservices: [{service: cart, version: v2}]\n",
         "unit: {header: uid}\nservices: [{service: cart, version: v2}]\n",
         "unit-changed"},
        {"unit: {cookie: uid}\nservices: [{service: cart, version: v2}]\n",
         "unit: [{cookie: uid}, {header: uid}]\n"
         "services: [{service: cart, version: v2}]\n",
         NULL},
        {"unit: [{cookie: uid}, {header: uid}]\n"
         "services: [{service: cart, version: v2}]\n",
         "unit: [{header: uid}, {cookie: uid}]\n"
         "services: [{service: cart, version: v2}]\n",
         "unit-changed"},
        {"unit: {cookie: uid}\nvariants: [{name: a, weight: 50, services: "
         "[{service: cart, version: v2}]}, {name: b, weight: 50, services: "
         "[{service: cart, version: v2}]}]\n",
         "unit: {cookie: uid}\nvariants: [{name: a, weight: 60, services: "
         "[{service: cart, version: v2}]}, {name: b, weight: 40, services: "
         "[{service: cart, version: v2}]}]\n",
         "variant-moved"},
        {"unit: {cookie: uid}\nservices: [{service: cart, version: v2}, "
         "{service: pay, version: v2}]\n",
         "unit: {cookie: uid}\nservices: [{service: cart, version: v2}]\n",
         "target-dropped"},
        {"unit: {cookie: uid}\nservices: [{service: cart, version: v2}]\n",
         "unit: {cookie: uid}\nservices: [{service: cart, version: v2}, "
         "{service: pay, version: v2}]\n",
         NULL},
    };
    static const char pay[] =
        "kind: Service\nname: pay\nbaseline: {version: v1}\nversions:\n"
        "  v1: {endpoints: ['127.0.0.1:3']}\n"
        "  v2: {endpoints: ['127.0.0.1:4']}\n---\n";
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char text[2048];
        struct gray_findings findings = {0};
        snprintf(text, sizeof(text), "%s%s%s%s", SERVICE, pay, head,
                 cases[i].before);
        struct gray_model *before = read_good(text);
        snprintf(text, sizeof(text), "%s%s%s%s", SERVICE, pay, head,
                 cases[i].after);
        struct gray_model *after = read_good(text);
        gray_gates_compare(before, after, NULL, &findings, NULL);
        assert_int_equal(findings.errors, cases[i].code == NULL ? 0 : 1);
        assert_int_equal(cases[i].code != NULL,
                         cases[i].code != NULL &&
                             find_code(&findings, cases[i].code) != NULL);
        gray_model_free(before);
        gray_model_free(after);
        gray_findings_free(&findings);
    }
}

static void test_warnings(void **state)
{
    struct gray_findings findings = {0};
    struct gray_model *before = model_of(SHARE("10"));
    struct gray_model *denied =
        model_of(DENY("{list: team}") LIST("'7', '8'"));
    (void)state;
    assert_int_equal(gray_gates_compare(before, denied, NULL, &findings, NULL), 0);
    const struct gray_finding *added = find_code(&findings, "deny-added");
    assert_non_null(added);
    assert_int_equal(added->severity, GRAY_WARNING);
    assert_non_null(strstr(added->sentence, "7, 8 (2 in all)"));
    gray_findings_free(&findings);
    gray_model_free(before);
    gray_model_free(denied);
}

/* A folder meant, one file given: whatever `after` leaves out is named, and
 * goes only when that was said. `harms`: somebody would notice. */
static void check_ended(const char *before_lines, struct gray_model *after,
                        const char *document, const char *code, bool harms)
{
    struct gray_findings findings = {0};
    struct gray_model *before = model_of(before_lines);
    const struct gray_finding *found;
    assert_int_equal(gray_gates_compare(before, after, NULL, &findings, NULL),
                     harms ? -1 : 0);
    found = find_code(&findings, code);
    assert_non_null(found);
    assert_string_equal(found->document, document);
    assert_int_equal(found->severity, harms ? GRAY_ERROR : GRAY_WARNING);
    assert_int_equal(strstr(found->sentence, "--prune") != NULL, harms);
    gray_findings_free(&findings);
    assert_int_equal(gray_gates_compare(before, after,
                           &(struct gray_gate_options) { .prune = true }, &findings, NULL), 0);
    found = find_code(&findings, code);
    assert_non_null(found);
    assert_int_equal(found->severity, GRAY_WARNING);
    assert_null(strstr(found->sentence, "--prune"));
    gray_findings_free(&findings);
    gray_model_free(before);
}

#define LANE(more) "---\nkind: Lane\nname: red\nservices: [cart]\n" more

static void test_left_out(void **state)
{
    struct gray_model *cart = read_good(SERVICE);
    struct gray_model *pay = read_good(
        "kind: Service\nname: pay\nbaseline: {version: v1}\nversions:\n"
        "  v1: {endpoints: [\"127.0.0.1:3\"]}\n");
    struct gray_model *lane_off =
        model_of(SHARE("10") LANE("enabled: false\n"));
    (void)state;
    check_ended(SHARE("10"), cart, "Release/cart-2", "release-ended", true);
    check_ended(SHARE("0"), cart, "Release/cart-2", "release-ended", false);
    /* nobody by share, testers by name */
    check_ended("admission: {allow: [{header: {name: x, exact: y}}]}\n", cart,
                "Release/cart-2", "release-ended", true);
    check_ended(SHARE("0"), pay, "Service/cart", "service-ended", true);
    check_ended(SHARE("0") LANE(""), cart, "Lane/red", "lane-ended", true);
    /* switched off by its own document: that is what was said */
    check_ended(SHARE("10") LANE(""), lane_off, "Lane/red", "lane-ended",
                false);
    gray_model_free(cart);
    gray_model_free(pay);
    gray_model_free(lane_off);
}

/* Many rules of which one changes: found by hash, not in pairs. */
static struct gray_model *many_rules(unsigned count, unsigned changed,
                                     const char *text)
{
    char *policy = take(1024 + (size_t)count * 64);
    char *end = policy + sprintf(policy, "%s%s%s", SERVICE, RELEASE,
                                 "admission:\n  share: 10\n  match:\n");
    for (unsigned i = 0; i < count; i++) {
        end += i == changed
                   ? sprintf(end, "    - {header: {name: x, %s}}\n", text)
                   : sprintf(end, "    - {header: {name: x, exact: u%u}}\n",
                             i);
    }
    struct gray_model *model = read_good(policy);
    free(policy);
    return model;
}

static void test_many_rules(void **state)
{
    struct gray_findings findings = {0};
    struct gray_model *before = many_rules(20000, 19999, "exact: new");
    struct gray_model *wider = many_rules(20000, 19999, "in: [new, old]");
    struct gray_model *other = many_rules(20000, 19999, "exact: old");
    (void)state;
    assert_int_equal(gray_gates_compare(before, wider, NULL, &findings, NULL), 0);
    assert_int_equal(gray_gates_compare(before, other, NULL, &findings, NULL), -1);
    assert_int_equal(findings.errors, 1);
    assert_non_null(strstr(find_code(&findings, "ids-dropped")->sentence,
                           "drops new:"));
    gray_findings_free(&findings);
    gray_model_free(before);
    gray_model_free(wider);
    gray_model_free(other);
}

/* One of them said in other words: no rule implies it alone, and all together
 * are too many to be tried. */
static void test_one_of_many_rules_in_other_words(void **state)
{
    struct gray_findings findings = {0};
    struct gray_model *before = many_rules(20000, 7, "prefix: ab");
    struct gray_model *same =
        many_rules(20000, 7, "regex: 'ab.*|ab[\\n].*|ab(.|\\n)*'");
    struct gray_model *less = many_rules(20000, 7, "regex: 'ab.*c'");
    const struct gray_finding *found;

    (void)state;
    assert_int_equal(gray_gates_compare(before, same, NULL, &findings, NULL),
                     0);
    assert_int_equal(gray_gates_compare(before, less, NULL, &findings, NULL),
                     -1);
    found = find_code(&findings, "drops");
    assert_non_null(found);
    assert_non_null(strstr(found->sentence, "header x \"ab"));
    gray_findings_free(&findings);
    gray_model_free(before);
    gray_model_free(same);
    gray_model_free(less);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shares_and_identity),
        cmocka_unit_test(test_tails),
        cmocka_unit_test(test_predicates),
        cmocka_unit_test(test_trees_and_texts),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_require_is_fixed),
        cmocka_unit_test(test_one_variable_at_a_time),
        cmocka_unit_test(test_units_variants_targets),
        cmocka_unit_test(test_warnings),
        cmocka_unit_test(test_left_out),
        cmocka_unit_test(test_many_rules),
        cmocka_unit_test(test_one_of_many_rules_in_other_words),
    };
    return cmocka_run_group_tests_name("gates", tests, NULL, NULL);
}
