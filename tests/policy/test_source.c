/* SPDX-License-Identifier: Apache-2.0
 * test_source.c - the canonical source reads back to an equal model.
 *
 * Why: a snapshot carries it; a rollback to that snapshot must bring back the
 * very policy, and a second writing must not change a byte.
 * Read next: ../../policy/model_source.c, dump_model.c.
 */
#include "tests/policy/read_policy.h"

/* Every key of docs/documents.md, and every condition. */
static const char everything[] =
    "kind: Service\nname: cart\nprotocol: grpc\n"
    "baseline: {version: v1, zone: null}\nversions:\n"
    "  v1: {endpoints: ['127.0.0.1:1']}\n"
    "  v2:\n    endpoints:\n"
    "      - {address: '[::1]:2', weight: 7, labels: {zone: a}}\n"
    "      - {address: 'unix:/run/a \"b\\ c', weight: 1}\n"
    "      - {address: '127.0.0.1:3', labels: {lane: red}}\n"
    "---\nkind: Service\nname: pay\nprotocol: http\nbaseline: {version: v1}\n"
    "versions: {v1: {endpoints: ['127.0.0.1:9']}, v2: {endpoints: []}}\n"
    "---\nkind: Release\nname: cart-2\ndescription: \"a\\tnew\\u0001 cart\"\n"
    "services: [{service: cart, version: v2}, {service: pay, version: v2}]\n"
    "unit: [{cookie: uid, alias: {cookie: did}}, {header: X-User}, {path: "
    "{segment: 2}}, source]\n"
    "salt: s\npriority: -3\nentrances: [web, app, api]\n"
    "stickiness: entity\ndataCompat: reversible\n"
    "durability: strict\nstrictTimeout: 1s500ms\nadmissionLease: 60\n"
    "strictKey: 128\nsharedMarks: redis\nonUnknown: baseline\n"
    "stages:\n"
    "  - {name: create, writes: true, when: {path: {prefix: /create}}}\n"
    "  - {name: pay, writes: true, onUnknown: refuse, when: {any: [{path: "
    "{prefix: /pay}}, {unit: {list: team}}]}}\n"
    "  - {name: ship, of: pay, onUnknown: refuse, onMissing: baseline}\n"
    "dimensions: [create, pay]\n"
    "admission:\n  share: 12.3456\n  holdback: 1\n  anonymous: random\n"
    "  dimension: pay\n  order: [allow, deny, mark, rules]\n"
    "  deny: [{list: team}, {unit: {in: [b, a, a]}}]\n"
    "  allow: [{list: big}, {header: {name: X-C, exact: '', "
    "ignoreCase: false}}]\n"
    "  require: {all: [{not: {attr: {name: r, notIn: [z, y]}}}, {any: ["
    "{method: {in: [POST, GET]}}, {host: {suffix: .example}}]}]}\n"
    "  match:\n"
    "    - {idTail: ['09', '01']}\n"
    "    - {percent: {share: 0.5, salt: p}}\n"
    "    - {mod: {divisor: 100, in: [0, '5~9', 10, 50]}}\n"
    "    - {cookie: {name: a, contains: b}}\n"
    "    - {query: {name: q, glob: 'a*?'}}\n"
    "    - {label: {name: zone, regex: '[A-Z]+', ignoreCase: true}}\n"
    "    - {path: {prefix: /Shop, ignoreCase: true}}\n"
    "    - {path: {segment: 2, exact: x}}\n"
    "    - {source: {cidr: ['10.0.0.0/8', '::1/128']}}\n"
    "    - {grpcService: {exact: a.B}}\n"
    "    - {grpcMethod: {prefix: Get}}\n"
    "    - {caller: {exact: web}}\n"
    "    - {unit: {list: team}}\n"
    "    - {header: {name: x, present: true}}\n"
    "    - {header: {name: y, absent: true}}\n"
    "    - {header: {name: z, blank: true}}\n"
    "    - {header: {name: a, range: {end: 9}}}\n"
    "    - {header: {name: v, semver: '^1.2.3-rc.1'}}\n"
    "    - {header: {name: d, date: {after: '2026-01-01T00:00:00+08:00', "
    "before: '2027-01-01T00:00:00Z'}}}\n"
    "    - {time: {from: '2026-01-01T00:00:00Z', days: [sun, mon], "
    "hours: '22:00-06:00', zone: Asia/Shanghai}}\n"
    "strategy: {canary: {steps: [{setWeight: 12.5}, {pause: {}}, {ramp: "
    "{to: 50, duration: 10m}}], maxSurge: '25%'}}\n"
    "---\nkind: Release\nname: ab\nunit: {cookie: uid}\nvariants:\n"
    "  - {name: b, weight: 33.3333, services: [{service: cart, "
    "version: v2}]}\n"
    "  - {name: a, weight: 66.6667, services: [{service: cart, "
    "version: v1}]}\n"
    "---\nkind: Release\nname: plain\nunit: {cookie: uid}\npriority: 9\n"
    "services: [{service: cart, version: v2}]\n"
    "stickiness: monotonic\ndataCompat: stateless\nentrances: []\n"
    "durability: async\nstrictTimeout: 50ms\nadmissionLease: 0s\n"
    "strictKey: 64\nonUnknown: baseline\nstages: []\ndimensions: []\n"
    "admission: {share: 0, deny: [], order: [deny, allow, mark, rules, "
    "evidence], anonymous: baseline}\n"
    "---\nkind: Lane\nname: red\ngroup: shop\npriority: 5\n"
    "selector: {lane: red}\nservices: [pay, cart]\nfallback: [blue]\n"
    "entrances: [web]\nunit: {cookie: uid}\nsalt: t\nrules:\n"
    "  - {name: one, when: {list: team}, share: 0.0001}\n"
    "  - {when: {header: {name: x, exact: a}}, share: 100}\n"
    "  - {share: 50}\n"
    "---\nkind: Lane\nname: blue\nenabled: false\nmode: strict\n"
    "selector: {lane: blue, zone: null}\nservices: [cart]\nsalt: 'lane:blue'\n"
    "---\nkind: List\nname: team\nids: ['2', '10', '1', '2', \"\\u7070\"]\n"
    "---\nkind: List\nname: big\nstrict: true\nids: [a]\n";

static struct gray_model *read_source(const char *source, size_t length)
{
    struct gray_findings findings = {0};
    struct gray_documents *docs = gray_documents_new();
    assert_int_equal(
        gray_documents_add_text(docs, "source", source, length, &findings),
        0);
    struct gray_model *model = gray_model_check(docs, &findings);
    if (model == NULL) {
        gray_findings_print(&findings, stderr);
    }
    assert_non_null(model);
    gray_documents_free(docs);
    gray_findings_free(&findings);
    return model;
}

static void test_reads_back_equal(void **state)
{
    size_t length, again_length;
    struct gray_model *model = read_good(everything);
    char *source = gray_model_source(model, &length);
    struct gray_model *again = read_source(source, length);
    char *again_source = gray_model_source(again, &again_length);
    char *dump = dump_model(model), *again_dump = dump_model(again);
    (void)state;
    assert_int_equal(length, strlen(source));
    assert_string_equal(dump, again_dump);
    assert_string_equal(source, again_source);
    free(source);
    free(again_source);
    free(dump);
    free(again_dump);
    gray_model_free(model);
    gray_model_free(again);
}

static void test_leaves_defaults_out_and_sorts(void **state)
{
    size_t length;
    struct gray_model *model = read_good(everything);
    char *source = gray_model_source(model, &length);
    (void)state;
    assert_non_null(strstr(
        source, "\n{\"kind\":\"Release\",\"name\":\"plain\",\"priority\":9,"
                "\"services\":[{\"service\":\"cart\",\"version\":\"v2\"}],"
                "\"unit\":{\"cookie\":\"uid\"}},\n"));
    assert_non_null(strstr(source, "\"ids\":[\"1\",\"10\",\"2\","));
    assert_non_null(strstr(source, "\"in\":[\"a\",\"b\"]"));
    assert_non_null(strstr(source, "\"entrances\":[\"api\",\"app\",\"web\"]"));
    assert_non_null(strstr(source, "{\"list\":\"team\"}"));
    assert_null(strstr(source, "{\"unit\":{\"list\""));
    assert_non_null(strstr(source, "\"share\":12.3456"));
    assert_non_null(strstr(source, "\"strictTimeout\":\"1500ms\""));
    assert_non_null(strstr(source, "\"admissionLease\":\"60s\""));
    assert_non_null(strstr(
        source, "{\"name\":\"ship\",\"of\":\"pay\",\"onUnknown\":"
                "\"refuse\"}"));
    assert_true(strstr(source, "\"kind\":\"Lane\"") <
                strstr(source, "\"kind\":\"List\""));
    free(source);
    gray_model_free(model);
}

static void test_two_ways_of_writing_are_one(void **state)
{
    static const char one[] =
        SERVICE RELEASE "admission: {share: 10.0, match: [{unit: {list: "
                        "team}}, {attr: {name: r, in: [b, a]}}]}\n"
                        "---\n{kind: List, name: team, ids: ['1', '2']}\n";
    static const char two[] =
        "[{\"name\":\"team\",\"kind\":\"List\",\"ids\":[\"2\",\"1\",\"2\"],"
        "\"strict\":false},{\"kind\":\"Release\",\"name\":\"cart-2\","
        "\"unit\":[{\"cookie\":\"uid\"}],\"salt\":\"cart-2\",\"services\":"
        "[{\"service\":\"cart\",\"version\":\"v2\"}],\"admission\":{\"match\":"
        "[{\"list\":\"team\"},{\"attr\":{\"in\":[\"a\",\"b\",\"a\"],\"name\":"
        "\"r\"}}],\"share\":1e1}},{\"kind\":\"Service\",\"name\":\"cart\","
        "\"baseline\":{\"version\":\"v1\"},\"versions\":{\"v2\":{\"endpoints\""
        ":[{\"address\":\"127.0.0.1:2\",\"weight\":1}]},\"v1\":{\"endpoints\":"
        "[\"127.0.0.1:1\"]}}}]";
    struct gray_model *a = read_good(one), *b = read_good(two);
    (void)state;
    assert_string_equal(a->source, b->source);
    gray_model_free(a);
    gray_model_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_back_equal),
        cmocka_unit_test(test_leaves_defaults_out_and_sorts),
        cmocka_unit_test(test_two_ways_of_writing_are_one),
    };
    return cmocka_run_group_tests_name("source", tests, NULL, NULL);
}
