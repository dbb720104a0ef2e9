/* SPDX-License-Identifier: Apache-2.0
 * test_requests.c - a request line is read strictly and fed like nginx feeds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/cli/fixture.h"

static const char *refusal(const char *line, size_t length)
{
    static struct request_problem problem;
    struct request request;

    if (request_parse(&request, line, length, &problem) == 0) {
        request_free(&request);
        return "accepted";
    }
    assert_true(problem.sentence[0] != '\0');
    return problem.code;
}

static void bad_lines_are_refused_with_their_code(void **state)
{
    static const struct {
        const char *line, *code;
    } rows[] = {
        { "", "bad-json" },
        { "{", "bad-json" },
        { "{\"path\":\"/\"} x", "bad-json" },
        { "{\"path\":\"/\",\"path\":\"/\"}", "bad-json" },
        { "{\"path\":\"/\\u0000\"}", "bad-json" },
        { "{\"path\":\"/\xff\"}", "bad-json" },
        { "[]", "not-an-object" },
        { "1", "bad-json" },
        { "{}", "no-path" },
        { "{\"path\":\"/\",\"Path\":\"/\"}", "unknown-key" },
        { "{\"path\":\"/\",\"x\":1}", "unknown-key" },
        { "{\"path\":1}", "bad-type" },
        { "{\"path\":\"\"}", "bad-path" },
        { "{\"path\":\"a\"}", "bad-path" },
        { "{\"path\":\"/a b\"}", "bad-path" },
        { "{\"path\":\"/a\\n\"}", "bad-text" },
        { "{\"path\":\"/\",\"method\":null}", "bad-type" },
        { "{\"path\":\"/\",\"host\":\"a\\rb\"}", "bad-text" },
        { "{\"path\":\"/\",\"headers\":[]}", "bad-type" },
        { "{\"path\":\"/\",\"headers\":{\"\":\"x\"}}", "bad-header" },
        { "{\"path\":\"/\",\"headers\":{\"a b\":\"x\"}}", "bad-header" },
        { "{\"path\":\"/\",\"headers\":{\"a\":1}}", "bad-type" },
        { "{\"path\":\"/\",\"headers\":{\"a\":[\"1\",2]}}", "bad-type" },
        { "{\"path\":\"/\",\"headers\":{\"a\":\"x\\ny\"}}", "bad-text" },
        { "{\"path\":\"/\",\"source\":\"10.0.0\"}", "bad-source" },
        { "{\"path\":\"/\",\"source\":\"10.0.0.256\"}", "bad-source" },
        { "{\"path\":\"/\",\"now\":\"yesterday\"}", "bad-now" },
        { "{\"path\":\"/\",\"now\":-1}", "bad-now" },
        { "{\"path\":\"/\",\"now\":1.5}", "bad-now" },
        { "{\"path\":\"/\",\"class\":\"dead\"}", "bad-class" },
        { "{\"path\":\"/\",\"random\":-1}", "bad-random" },
        { "{\"path\":\"/\",\"attrs\":{\"a\":1}}", "bad-type" },
        { "{\"path\":\"/\",\"labels\":\"a\"}", "bad-type" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_string_equal(refusal(rows[i].line, strlen(rows[i].line)),
                            rows[i].code);
    }
    assert_string_equal(refusal("{\"path\":\"*\"}", 12), "accepted");
}

/* A line of exactly `length` bytes. */
static char *line_of(size_t length)
{
    const char head[] = "{\"path\":\"/", tail[] = "\"}";
    char *line = malloc(length + 1);

    assert_non_null(line);
    memset(line, 'a', length);
    memcpy(line, head, sizeof(head) - 1);
    memcpy(line + length - (sizeof(tail) - 1), tail, sizeof(tail));
    return line;
}

static void a_line_has_a_limit(void **state)
{
    char *line = line_of(REQUEST_LINE_MAX);

    (void)state;
    assert_string_equal(refusal(line, REQUEST_LINE_MAX), "accepted");
    free(line);
    line = line_of(REQUEST_LINE_MAX + 1);
    assert_string_equal(refusal(line, REQUEST_LINE_MAX + 1), "too-long");
    free(line);
}

static const char *refusal_of_headers(size_t count, size_t name_length)
{
    json_t *values = json_array(), *headers = json_object();
    char *name = malloc(name_length + 1), *line;
    const char *code;

    assert_non_null(name);
    memset(name, 'n', name_length);
    name[name_length] = '\0';
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(values, json_string("v"));
    }
    json_object_set_new(headers, name, values);
    values = json_pack("{s:s,s:o}", "path", "/", "headers", headers);
    line = json_dumps(values, JSON_COMPACT);
    code = refusal(line, strlen(line));
    json_decref(values);
    free(line);
    free(name);
    return code;
}

static void headers_have_limits(void **state)
{
    (void)state;
    assert_string_equal(refusal_of_headers(REQUEST_HEADERS_MAX, 1),
                        "accepted");
    assert_string_equal(refusal_of_headers(REQUEST_HEADERS_MAX + 1, 1),
                        "too-many-headers");
    assert_string_equal(refusal_of_headers(1, REQUEST_NAME_MAX), "accepted");
    assert_string_equal(refusal_of_headers(1, REQUEST_NAME_MAX + 1),
                        "bad-header");
}

/* ---- feeding ------------------------------------------------------------- */

#define SERVICE                                                             \
    "{\"kind\":\"Service\",\"name\":\"cart\",\"baseline\":{\"version\":"    \
    "\"v1\"},\"versions\":{\"v1\":{\"endpoints\":[\"127.0.0.1:1\"]},"      \
    "\"v2\":{\"endpoints\":[\"127.0.0.1:2\"]}}}"

/* Is a request let in by an allow rule of this condition? */
static bool allowed(const char *condition, const char *line)
{
    char text[2048];
    struct policy *policy;
    struct request request;
    struct request_problem problem = { 0 };
    struct gray_input input;
    struct gray_verdict verdict;
    uint32_t entrance;

    snprintf(text, sizeof(text),
             "[" SERVICE ",{\"kind\":\"Release\",\"name\":\"r\",\"services\":"
             "[{\"service\":\"cart\",\"version\":\"v2\"}],\"unit\":{\"cookie\":"
             "\"uid\"},\"admission\":{\"allow\":[%s]}}]", condition);
    policy = fixture_policy(text);
    if (request_parse(&request, line, strlen(line), &problem) != 0) {
        fail_msg("%s: %s", line, problem.sentence);
    }
    entrance = request_feed(&request, policy->view->policy, 1000, &input);
    assert_int_equal(entrance, 0);
    gray_decide_release(policy->view, 0, &input, NULL, NULL, &verdict, NULL);
    request_free(&request);
    fixture_free(policy);
    return verdict.in && verdict.reason == GRAY_REASON_ALLOW;
}

static const struct {
    const char *condition, *line;
    bool in;
} feeds[] = {
    /* Names are lowered, values lose blanks at their ends. */
    { "{\"header\":{\"name\":\"x-user\",\"exact\":\"a\"}}",
      "{\"path\":\"/\",\"headers\":{\"X-User\":\"  a \"}}", true },
    /* Every repeated value is tried. */
    { "{\"header\":{\"name\":\"x-user\",\"exact\":\"b\"}}",
      "{\"path\":\"/\",\"headers\":{\"x-user\":[\"a\",\"b\"]}}", true },
    /* nginx drops names with an underscore or other strange bytes. */
    { "{\"header\":{\"name\":\"x_user\",\"present\":true}}",
      "{\"path\":\"/\",\"headers\":{\"x_user\":\"a\"}}", false },
    { "{\"header\":{\"name\":\"x-user\",\"absent\":true}}",
      "{\"path\":\"/\",\"headers\":{\"x-user.\":\"a\"}}", true },
    /* The first cookie counts, over all headers. */
    { "{\"cookie\":{\"name\":\"c\",\"exact\":\"1\"}}",
      "{\"path\":\"/\",\"headers\":{\"cookie\":[\"a=2; c=1\",\"c=2\"]}}",
      true },
    { "{\"cookie\":{\"name\":\"c\",\"exact\":\"2\"}}",
      "{\"path\":\"/\",\"headers\":{\"cookie\":[\"c=1\",\"c=2\"]}}",
      false },
    /* The host, by either key. */
    { "{\"host\":{\"exact\":\"shop.example\"}}",
      "{\"path\":\"/\",\"host\":\"Shop.Example:8080\"}", true },
    { "{\"host\":{\"exact\":\"shop.example\"}}",
      "{\"path\":\"/\",\"headers\":{\"Host\":\"shop.example.\"}}", true },
    { "{\"header\":{\"name\":\"host\",\"exact\":\"a.b:1\"}}",
      "{\"path\":\"/\",\"host\":\"a.b:1\"}", true },
    { "{\"method\":{\"exact\":\"GET\"}}", "{\"path\":\"/\"}", true },
    { "{\"method\":{\"exact\":\"PUT\"}}",
      "{\"path\":\"/\",\"method\":\"PUT\"}", true },
    { "{\"query\":{\"name\":\"a\",\"exact\":\"x y\"}}",
      "{\"path\":\"/p?a=x%20y\"}", true },
    { "{\"path\":{\"exact\":\"/p\"}}", "{\"path\":\"/p?a=1\"}", true },
    { "{\"source\":{\"cidr\":[\"10.0.0.0/8\"]}}",
      "{\"path\":\"/\",\"source\":\"10.1.2.3\"}", true },
    { "{\"source\":{\"cidr\":[\"2001:db8::/32\"]}}",
      "{\"path\":\"/\",\"source\":\"2001:db8::1\"}", true },
    { "{\"attr\":{\"name\":\"region\",\"exact\":\"hz\"}}",
      "{\"path\":\"/\",\"attrs\":{\"region\":\"hz\"}}", true },
    /* A header is never a trusted attribute. */
    { "{\"attr\":{\"name\":\"region\",\"exact\":\"hz\"}}",
      "{\"path\":\"/\",\"headers\":{\"region\":\"hz\"}}", false },
    { "{\"label\":{\"name\":\"zone\",\"exact\":\"a\"}}",
      "{\"path\":\"/\",\"labels\":{\"zone\":\"a\"}}", true },
    { "{\"caller\":{\"exact\":\"web\"}}",
      "{\"path\":\"/\",\"caller\":\"web\"}", true },
    /* What the edge strips is not seen. */
    { "{\"header\":{\"name\":\"x-gray-lane\",\"present\":true}}",
      "{\"path\":\"/\",\"headers\":{\"X-Gray-Lane\":\"red\"}}", false },
    /* Our own cookies are gone before a rule looks. */
    { "{\"header\":{\"name\":\"cookie\",\"exact\":\"a=1\"}}",
      "{\"path\":\"/\",\"headers\":{\"Cookie\":\"gray=x; a=1\"}}", true },
    { "{\"header\":{\"name\":\"cookie\",\"absent\":true}}",
      "{\"path\":\"/\",\"headers\":{\"cookie\":\"__Host-gray=x\"}}",
      true },
    { "{\"cookie\":{\"name\":\"gray\",\"absent\":true}}",
      "{\"path\":\"/\",\"headers\":{\"cookie\":[\"b=2\",\"gray=x\"]}}",
      true },
    /* Baggage is what the client sent. */
    { "{\"header\":{\"name\":\"baggage\",\"exact\":\"k=v,gray.lane=r\"}}",
      "{\"path\":\"/\",\"headers\":{\"baggage\":\"k=v,gray.lane=r\"}}",
      true },
    { "{\"time\":{\"from\":\"2026-01-01T00:00:00Z\"}}",
      "{\"path\":\"/\",\"now\":\"2026-01-01T00:00:00Z\"}", true },
    { "{\"time\":{\"from\":\"2026-01-01T00:00:00Z\"}}",
      "{\"path\":\"/\",\"now\":1767225599999}", false },
    { "{\"time\":{\"from\":\"2026-01-01T00:00:00Z\"}}", "{\"path\":\"/\"}",
      false },
};

static void a_request_reaches_the_engine_as_through_nginx(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(feeds) / sizeof(feeds[0]); i++) {
        if (allowed(feeds[i].condition, feeds[i].line) != feeds[i].in) {
            fail_msg("%s of %s", feeds[i].condition, feeds[i].line);
        }
    }
}

static void a_colour_comes_only_from_its_keys(void **state)
{
    struct policy *policy = fixture_policy("[" SERVICE "]");
    const char line[] = "{\"path\":\"/\",\"lane\":\"red\",\"arms\":\"a,b\","
                        "\"class\":\"load\",\"entrance\":\"nowhere\","
                        "\"anonymous\":\"a0\",\"random\":7,"
                        "\"stage\":\"pay\","
                        "\"headers\":{\"x-gray-arms\":\"c\"}}";
    struct request request;
    struct request_problem problem;
    struct gray_input input;

    (void)state;
    assert_int_equal(request_parse(&request, line, strlen(line), &problem), 0);
    /* An entrance that no document names decides like the unnamed one. */
    assert_int_equal(request_feed(&request, policy->view->policy, 1, &input),
                     0);
    assert_memory_equal(input.lane.data, "red", 3);
    assert_int_equal(input.lane.length, 3);
    request.entrance = "-"; /* not an entrance at all */
    assert_true(request_feed(&request, policy->view->policy, 1, &input) ==
                GRAY_NONE);

    assert_memory_equal(input.arms.data, "a,b", 3);
    assert_int_equal(input.arms.length, 3);
    assert_int_equal(input.traffic_class, GRAY_CLASS_LOAD);
    assert_int_equal(input.random, 7);
    assert_int_equal(input.anonymous.length, 2);
    assert_int_equal(input.stage.length, 3);
    assert_memory_equal(input.stage.data, "pay", 3);
    request_free(&request);
    fixture_free(policy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_lines_are_refused_with_their_code),
        cmocka_unit_test(a_line_has_a_limit),
        cmocka_unit_test(headers_have_limits),
        cmocka_unit_test(a_request_reaches_the_engine_as_through_nginx),
        cmocka_unit_test(a_colour_comes_only_from_its_keys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
