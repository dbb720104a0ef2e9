/* SPDX-License-Identifier: Apache-2.0
 * test_explain.c - the line says what was decided and why, to the byte.
 *
 * Why: three programs print this line and people compare them; and whoever is
 * asked "why me?" copies it into a ticket, so it must be right JSON whatever
 * bytes a client sent.
 * Read next: docs/explain.md, ../../engine/explain.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <jansson.h>

#include "engine/operand.h"
#include "engine/program.h"
#include "engine/text.h"
#include "tests/engine/policy_craft.h"

static struct policy_craft p;
static struct gray_snapshot snapshot;
static struct gray_input in;
static struct gray_scope_word word;
static struct gray_view view;
static char line[1 << 16];

static void open_policy(void)
{
    struct gray_problem problem = { 0 };
    if (policy_end(&p, &snapshot, &problem) != 0) {
        fail_msg("%s: %s", problem.code, problem.sentence);
    }
    view = (struct gray_view){ .policy = &snapshot,
                               .words = &word,
                               .word_count = 1 };
    gray_input_begin(&in, &snapshot, 0, 1);
}

static void feed(const char *name, const char *value)
{
    gray_input_header(&in, gray_hash_name(name, strlen(name)), craft_str(name),
                      craft_str(value));
}

/* cart-2 with a deny list of one rule and a lane rule at the first entrance. */
static void begin(void)
{
    policy_begin(&p);
    policy_release(&p, "cart-2", policy_slot(&p, GRAY_SOURCE_COOKIE, "uid"),
                   700000);
    policy_rule_of(&p, "deny[0]", GRAY_CONDITION_EXACT,
                   policy_slot(&p, GRAY_SOURCE_UNIT, ""),
                   policy_string(&p, "mallory"));
    p.releases[0].deny = policy_ruleset(&p, 1);
    policy_service(&p, "cart");
    p.routes[1] = p.routes[0];
    p.routes[1].version = policy_text(&p, "v2");
    p.routes[1].kind = GRAY_ROUTE_ARM;
    p.routes[1].release = 0;
    p.routes[1].variant = 0;
    p.route_count = 2;
    p.services[0].arms = (struct gray_span){ 1, 1 };
    p.entrance_releases[0] = 0;
    p.entrance_release_count = 1;
    p.entrances[0].releases = (struct gray_span){ 0, 1 };
    policy_service(&p, "other"); /* nothing here concerns it */
    word = (struct gray_scope_word){ .scope = p.releases[0].scope };
}

static size_t explain(void)
{
    memset(line, 'x', sizeof(line));
    return gray_explain(&view, 0, &in, NULL, NULL, line, sizeof(line));
}

static void the_line_of_an_admitted_unit(void **state)
{
    (void)state;
    begin();
    open_policy();
    feed("cookie", "uid=alice");
    size_t length = explain();
    assert_int_equal(length, strlen(line));
    assert_string_equal(
        line,
        "{\"revision\":7,\"release\":\"cart-2\",\"arms\":\"cart-2\","
        "\"lane\":\"\",\"version\":{\"cart\":\"\"},\"reason\":\"share\","
        "\"sentence\":\"The unit's bucket lies below the share.\","
        "\"rule\":\"\",\"bucket\":660047,\"class\":\"live\",\"releases\":["
        "{\"release\":\"cart-2\",\"in\":true,\"variant\":\"\","
        "\"reason\":\"share\",\"rule\":\"\",\"bucket\":660047,"
        "\"share\":700000,\"unit\":\"alice\",\"word\":\"open\",\"stage\":\"\","
        "\"record\":\"in\",\"hold\":false,\"pending\":false}],\"trace\":["
        "{\"release\":\"cart-2\",\"step\":\"deny\",\"rule\":\"deny[0]\","
        "\"condition\":\"exact\",\"source\":\"unit\",\"name\":\"\","
        "\"operand\":\"mallory\",\"value\":\"alice\",\"result\":false},"
        "{\"release\":\"cart-2\",\"step\":\"deny\",\"rule\":\"\","
        "\"condition\":\"\",\"source\":\"\",\"name\":\"\",\"operand\":\"\","
        "\"value\":\"alice\",\"result\":false},"
        "{\"release\":\"cart-2\",\"step\":\"rules\",\"rule\":\"\","
        "\"condition\":\"\",\"source\":\"\",\"name\":\"\",\"operand\":\"\","
        "\"value\":\"alice\",\"result\":true}],\"truncated\":false}");
}

static json_t *parse(void)
{
    json_error_t error;
    json_t *root = json_loads(line, JSON_REJECT_DUPLICATES, &error);
    if (root == NULL) {
        fail_msg("%s in %s", error.text, line);
    }
    return root;
}

static const char *word_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static const json_t *first_of(const json_t *root, const char *key)
{
    return json_array_get(json_object_get(root, key), 0);
}

static void the_line_of_a_refused_unit(void **state)
{
    json_t *root;
    (void)state;
    begin();
    open_policy();
    explain();
    root = parse();
    assert_string_equal(word_of(root, "reason"), "no-unit");
    assert_string_equal(word_of(root, "release"), "cart-2");
    assert_string_equal(word_of(root, "arms"), "");
    assert_true(json_is_null(json_object_get(root, "bucket")));
    assert_true(
        json_is_null(json_object_get(first_of(root, "trace"), "value")));
    json_decref(root);

    feed("cookie", "uid=mallory");
    explain();
    root = parse();
    assert_string_equal(word_of(root, "reason"), "deny");
    assert_string_equal(word_of(root, "rule"), "deny[0]");
    assert_true(
        json_is_true(json_object_get(first_of(root, "trace"), "result")));
    json_decref(root);

    word.word = GRAY_WORD_KILLED;
    explain();
    root = parse();
    assert_string_equal(word_of(root, "reason"), "killed");
    assert_string_equal(word_of(first_of(root, "releases"), "word"), "killed");
    assert_int_equal(json_array_size(json_object_get(root, "trace")), 0);
    json_decref(root);
}

/* A carried arm that was stopped and is asked again stands there once. */
static void one_line_for_each_release(void **state)
{
    json_t *root;
    (void)state;
    begin();
    open_policy();
    word.word = GRAY_WORD_BASELINE;
    gray_input_colour(&in, craft_str("green"), craft_str("cart-2,old:x"),
                      GRAY_CLASS_SHADOW);
    explain();
    root = parse();
    assert_int_equal(json_array_size(json_object_get(root, "releases")), 1);
    assert_string_equal(word_of(root, "lane"), "green");
    assert_string_equal(word_of(root, "arms"), "old:x");
    assert_string_equal(word_of(root, "class"), "shadow");
    json_decref(root);
}

/* Whether a caller could look up marks does not show, what it found does. */
static struct gray_mark one_mark;
static struct gray_mark mark_fn(void *context,
                                const struct gray_mark_query *query)
{
    (void)context;
    return query->step == GRAY_STEP_MARK ? one_mark : (struct gray_mark){ 0 };
}

static void marks_show_when_there_are_any(void **state)
{
    static char with[1 << 14];
    (void)state;
    begin();
    open_policy();
    feed("cookie", "uid=alice");
    explain();
    gray_explain(&view, 0, &in, mark_fn, NULL, with, sizeof(with));
    assert_string_equal(with, line);
    one_mark = (struct gray_mark){ .state = GRAY_MARK_IN, .attempt = 1 };
    gray_explain(&view, 0, &in, mark_fn, NULL, with, sizeof(with));
    assert_non_null(strstr(with, "\"step\":\"mark\",\"rule\":\"\","
                                 "\"condition\":\"\",\"source\":\"\","
                                 "\"name\":\"\",\"operand\":\"in\","
                                 "\"value\":\"alice\",\"result\":true"));
    one_mark = (struct gray_mark){ .state = GRAY_MARK_ABSENT };
}

/* Of the unit; the earlier name, which begins with d, was let in. */
static struct gray_mark alias_fn(void *context,
                                 const struct gray_mark_query *query)
{
    (void)context;
    if (query->step != GRAY_STEP_MARK) {
        return (struct gray_mark){ 0 };
    }
    return query->alias ? (struct gray_mark){ .state = GRAY_MARK_IN }
                        : one_mark;
}

static void every_state_of_a_mark_has_its_word(void **state)
{
    static const struct {
        uint8_t state;
        const char *word, *verdict;
    } rows[] = {
        { GRAY_MARK_OUT, "out", "\"record\":\"\",\"hold\":false" },
        { GRAY_MARK_REVOKED, "revoked", "\"reason\":\"revoked\"" },
        { GRAY_MARK_UNKNOWN, "unknown", "\"hold\":true" },
        { GRAY_MARK_HOLD, "hold", "\"reason\":\"mark-hold\"" },
        { GRAY_MARK_PENDING, "pending", "\"pending\":true" },
        { GRAY_MARK_CLOSED, "closed", "\"reason\":\"marks-closed\"" },
    };
    static char with[1 << 14], part[128];
    (void)state;
    begin();
    p.releases[0].stickiness = GRAY_STICKY_ENTITY;
    p.releases[0].on_unknown = GRAY_UNKNOWN_REFUSE;
    open_policy();
    feed("cookie", "uid=alice");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        one_mark = (struct gray_mark){ .state = rows[i].state, .attempt = 1 };
        gray_explain(&view, 0, &in, mark_fn, NULL, with, sizeof(with));
        snprintf(part, sizeof(part),
                 "\"step\":\"mark\",\"rule\":\"\",\"condition\":\"\","
                 "\"source\":\"\",\"name\":\"\",\"operand\":\"%s\"",
                 rows[i].word);
        assert_non_null(strstr(with, part));
        assert_non_null(strstr(with, rows[i].verdict));
    }
    one_mark = (struct gray_mark){ .state = GRAY_MARK_ABSENT };
}

static void stages_and_earlier_names_show(void **state)
{
    static char with[1 << 14];
    uint32_t rule;
    (void)state;
    begin();
    p.releases[0].alias_slot = policy_slot(&p, GRAY_SOURCE_COOKIE, "did");
    policy_stage(&p, "create", true);
    p.stages[0].share = 5000;
    rule = policy_rule_of(&p, "create", GRAY_CONDITION_PRESENT,
                          policy_slot(&p, GRAY_SOURCE_HEADER, "x-new"), 0);
    p.rules[rule].action = 0;
    p.releases[0].stage_rules = policy_ruleset(&p, 1);
    open_policy();
    feed("cookie", "uid=alice; did=d7");
    feed("x-new", "1");
    gray_explain(&view, 0, &in, alias_fn, NULL, with, sizeof(with));
    assert_non_null(strstr(with, "\"reason\":\"alias\""));
    assert_non_null(strstr(with, "\"share\":5000,\"unit\":\"alice\",\"word\":"
                                 "\"open\",\"stage\":\"create\",\"record\":"
                                 "\"in\""));
    assert_non_null(strstr(with, "\"step\":\"stage\",\"rule\":\"create\","
                                 "\"condition\":\"present\""));
    assert_non_null(strstr(with, "\"step\":\"alias\",\"rule\":\"\","
                                 "\"condition\":\"\",\"source\":\"\","
                                 "\"name\":\"\",\"operand\":\"in\","
                                 "\"value\":\"d7\",\"result\":true"));
}

static void any_bytes_make_right_json(void **state)
{
    static const struct {
        const char *value, *shown;
    } lines[] = {
        { "plain", "plain" },
        { "a\"b\\c", "a\\\"b\\\\c" },
        { "tab\tend\x7f", "tab\\u0009end\\u007f" },
        { "\xe7\x81\xb0\xe5\xba\xa6", "\\u7070\\u5ea6" },
        { "\xf0\x9f\x98\x80!", "\\ud83d\\ude00!" },
        { "\xff\xc0\x80\xed\xa0\x80", "\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd"
                                      "\\ufffd" },
        { "\xe7\x81", "\\ufffd\\ufffd" },
        { "\xf4\x90\x80\x80", "\\ufffd\\ufffd\\ufffd\\ufffd" },
        { "\xe0\x80\x80", "\\ufffd\\ufffd\\ufffd" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        char room[200];
        struct text text = { .buffer = room, .size = sizeof(room) };
        text_escaped(&text, craft_str(lines[i].value), 64);
        text_end(&text);
        assert_string_equal(room, lines[i].shown);
    }
}

static void values_are_cut_to_64_bytes(void **state)
{
    char value[80] = "uid=", expected[80];
    (void)state;
    begin();
    open_policy();
    memset(value + 4, 'v', 64);
    strcpy(value + 68, "W");
    feed("cookie", value);
    explain();
    memcpy(expected, "\"unit\":\"", 8);
    memset(expected + 8, 'v', 64);
    strcpy(expected + 72, "\"");
    assert_non_null(strstr(line, expected));
    assert_null(strstr(line, "W"));

    /* Never in the middle of a character. */
    struct text text = { .buffer = line, .size = sizeof(line) };
    text_escaped(&text, craft_str("ab\xe7\x81\xb0"), 4);
    text_end(&text);
    assert_string_equal(line, "ab");
}

/* Every size of buffer: the length is the whole one, the NUL is inside, and
 * what is there is the beginning. */
static void a_buffer_too_small_is_cut(void **state)
{
    static char whole[1 << 14];
    (void)state;
    begin();
    open_policy();
    feed("cookie", "uid=alice");
    size_t length =
        gray_explain(&view, 0, &in, NULL, NULL, whole, sizeof(whole));
    for (size_t size = 0; size <= length + 1; size++) {
        char *room = malloc(size + 1);
        memset(room, 'x', size + 1);
        assert_int_equal(
            gray_explain(&view, 0, &in, NULL, NULL, room, size), length);
        assert_int_equal(room[size], 'x');
        if (size > 0) {
            size_t kept = size - 1 < length ? size - 1 : length;
            assert_int_equal(room[kept], '\0');
            assert_memory_equal(room, whole, kept);
        }
        free(room);
    }
}

static void a_long_trace_is_said_to_be_cut(void **state)
{
    json_t *root;
    (void)state;
    for (uint32_t rules = GRAY_TRACE_STEPS - 2; rules < GRAY_TRACE_STEPS;
         rules++) {
        begin();
        for (uint32_t i = 0; i < rules; i++) {
            policy_rule_of(&p, "d", GRAY_CONDITION_EXACT, 0,
                           policy_string(&p, "nobody"));
        }
        p.releases[0].deny = policy_ruleset(&p, rules);
        open_policy();
        feed("cookie", "uid=alice");
        explain();
        root = parse();
        assert_int_equal(json_is_true(json_object_get(root, "truncated")),
                         rules == GRAY_TRACE_STEPS - 1);
        assert_int_equal(json_array_size(json_object_get(root, "trace")),
                         GRAY_TRACE_STEPS);
        json_decref(root);
    }
}

/* A trace changes nothing of the answer. */
static void looking_does_not_change_the_answer(void **state)
{
    static struct gray_trace trace;
    struct gray_colour with, without;
    (void)state;
    begin();
    open_policy();
    feed("cookie", "uid=alice");
    memset(&with, 0, sizeof(with));
    memset(&without, 0, sizeof(without));
    gray_decide(&view, 0, &in, NULL, NULL, &with, &trace);
    gray_decide(&view, 0, &in, NULL, NULL, &without, NULL);
    assert_memory_equal(&with, &without, sizeof(with));
    assert_int_equal(trace.verdict_count, 1);
}

static void show(uint32_t op, const void *record, size_t size,
                 const char *expected)
{
    char room[65];
    struct text text = { .buffer = room, .size = sizeof(room) };
    struct gray_insn insn = { .op = (uint8_t)op };
    struct gray_snapshot s = { .base = p.file.bytes };
    insn.operand = policy_operand(&p, record, size);
    s.size = p.file.length;
    operand_write(&text, &s, &insn);
    text_end(&text);
    assert_string_equal(room, expected);
}

static void operands_as_people_read_them(void **state)
{
    static const struct gray_mod_range ranges[] = { { 0, 0 }, { 5, 9 } };
    static const uint32_t tails[] = { 0, 7, 123 };
    static const struct gray_cidr_range net = {
        { [10] = 0xff, 0xff, 10, 0, 0, 0 },
        { [10] = 0xff, 0xff, 10, 255, 255, 255 }
    };
    struct gray_operand_range range = { -5, 10 };
    struct gray_operand_mod mod = { 100, { 0, 2 } };
    struct gray_operand_tail tail = { 3, 0, { 0, 3 } };
    struct gray_operand_share share = { { 0, 0 }, 10000, 0 };
    struct gray_operand_cidr cidr = { { 0, 1 } };
    struct gray_operand_semver semver = { GRAY_SEMVER_GE, { 1, 2, 3 },
                                          { 0, 0 } };
    struct gray_operand_time time = { 0, 1000, 31, 32400, 64800, 0, { 0, 0 } };
    static const char *const set[] = { "a", NULL };
    (void)state;
    policy_begin(&p);
    mod.ranges.offset = (uint32_t)craft_put(&p.file, ranges, sizeof(ranges));
    tail.tails.offset = (uint32_t)craft_put(&p.file, tails, sizeof(tails));
    cidr.ranges.offset = (uint32_t)craft_put(&p.file, &net, sizeof(net));
    share.salt = policy_text(&p, "cart-2");
    semver.pre = policy_text(&p, "rc.1");
    show(GRAY_CONDITION_RANGE, &range, sizeof(range), "-5..10");
    show(GRAY_CONDITION_DATE, &range, sizeof(range), "-5..10");
    show(GRAY_CONDITION_MOD, &mod, sizeof(mod), "100:0,5~9");
    show(GRAY_CONDITION_ID_TAIL, &tail, sizeof(tail), "000,007,123");
    show(GRAY_CONDITION_PERCENT, &share, sizeof(share), "10000:cart-2");
    show(GRAY_CONDITION_CIDR, &cidr, sizeof(cidr), "10.0.0.0-10.255.255.255");
    show(GRAY_CONDITION_SEMVER, &semver, sizeof(semver), ">=1.2.3-rc.1");
    show(GRAY_CONDITION_TIME, &time, sizeof(time), "0..1000/MTWTF--/32400..64800");
    uint32_t at = policy_set(&p, set);
    struct gray_operand_set copy;
    memcpy(&copy, p.file.bytes + at, sizeof(copy));
    show(GRAY_CONDITION_IN, &copy, sizeof(copy), "a");
    show(GRAY_CONDITION_PRESENT, &range, sizeof(range), "");
}

static void words_of_all_kinds(void **state)
{
    (void)state;
    assert_string_equal(gray_condition_word(GRAY_CONDITION_ID_TAIL), "idTail");
    assert_string_equal(gray_condition_word(200), "?");
    assert_string_equal(gray_source_word(GRAY_SOURCE_ADDRESS), "source");
    assert_string_equal(gray_source_word(0), "?");
    assert_string_equal(gray_reason_code(GRAY_REASON_OUT_OF_SHARE),
                        "out-of-share");
    assert_string_equal(gray_reason_code((enum gray_reason)250), "?");
    for (int i = 0; i <= GRAY_REASON_ORDER_END; i++) {
        assert_string_not_equal(gray_reason_code((enum gray_reason)i), "?");
        assert_true(strlen(gray_reason_sentence((enum gray_reason)i)) > 10);
        assert_non_null(gray_reason_advice((enum gray_reason)i));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_line_of_an_admitted_unit),
        cmocka_unit_test(the_line_of_a_refused_unit),
        cmocka_unit_test(one_line_for_each_release),
        cmocka_unit_test(marks_show_when_there_are_any),
        cmocka_unit_test(every_state_of_a_mark_has_its_word),
        cmocka_unit_test(stages_and_earlier_names_show),
        cmocka_unit_test(any_bytes_make_right_json),
        cmocka_unit_test(values_are_cut_to_64_bytes),
        cmocka_unit_test(a_buffer_too_small_is_cut),
        cmocka_unit_test(a_long_trace_is_said_to_be_cut),
        cmocka_unit_test(looking_does_not_change_the_answer),
        cmocka_unit_test(operands_as_people_read_them),
        cmocka_unit_test(words_of_all_kinds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
