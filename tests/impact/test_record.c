/* SPDX-License-Identifier: Apache-2.0
 * test_record.c - a recorded request decides as the request did, and tells no
 * more than the policy asked for.
 *
 * Read next: engine/record.c, ask/request.c.
 */
#include "tests/impact/policies.h"

/* The line of a request; explained by its policy to `ret_first`, and the line
 * explained again to `ret_second`. */
static void roundtrip(const char *policy, const char *request, char *ret_line,
                      size_t size)
{
    struct compiled_policy compiled;
    struct request_problem problem = { 0 };
    struct request first, second;
    static struct gray_input input;
    static char told[2][65536];
    uint32_t entrance;

    compile_text(&compiled, policy);
    assert_int_equal(request_parse(&first, request, strlen(request), &problem),
                     0);
    entrance = request_feed(&first, &compiled.view.snapshot, 1700000000000,
                            &input);
    assert_true(gray_record_write(
                    &input,
                    (struct gray_str) { first.entrance != NULL ? first.entrance
                                                               : "",
                                        first.entrance != NULL
                                            ? (uint32_t)strlen(first.entrance)
                                            : 0 },
                    ret_line, size) < size);
    gray_explain(&compiled.view.view, entrance, &input, NULL, NULL, told[0],
                 sizeof(told[0]));
    if (request_parse(&second, ret_line, strlen(ret_line), &problem) != 0) {
        fail_msg("%s: %s", ret_line, problem.sentence);
    }
    entrance = request_feed(&second, &compiled.view.snapshot, 0, &input);
    gray_explain(&compiled.view.view, entrance, &input, NULL, NULL, told[1],
                 sizeof(told[1]));
    assert_string_equal(told[0], told[1]);
    request_free(&first);
    request_free(&second);
    policy_end(&compiled);
}

static const char all_sources[] =
    SHOP CART_2("\n"
                "  share: 50\n"
                "  allow:\n"
                "    - {header: {name: x-canary, exact: always}}\n"
                "    - {header: {name: authorization, exact: secret}}\n"
                "    - {query: {name: \"a b\", exact: \"1&2=3\"}}\n"
                "    - {cookie: {name: tester, exact: \"yes\"}}\n"
                "    - {source: {cidr: [\"10.0.0.0/8\", \"2001:db8::/32\"]}}\n"
                "    - {attr: {name: region, exact: hz}}\n"
                "    - {method: {exact: POST}}\n"
                "    - {host: {exact: shop.example}}\n"
                "    - {path: {prefix: /beta/}}\n");

static void what_rules_look_at_is_decided_alike(void **state)
{
    static const char *const requests[] = {
        "{\"path\":\"/\"}",
        "{\"path\":\"/beta/x?other=1&a%20b=1%262%3d3\",\"host\":"
        "\"Shop.Example:80\",\"method\":\"POST\"}",
        "{\"path\":\"/x\",\"headers\":{\"cookie\":\"sid=secret; uid=1007; "
        "tester=yes\",\"X-Canary\":[\"no\",\"always\"],\"user-agent\":\"u\"},"
        "\"source\":\"10.1.2.3\",\"attrs\":{\"region\":\"hz\",\"else\":\"x\"}}",
        "{\"path\":\"/\",\"source\":\"2001:db8::1:0:7\",\"entrance\":\"app\","
        "\"headers\":{\"cookie\":\"uid=\\u7528\\u6237\\\"\\\\\"}}",
        "{\"path\":\"/\",\"headers\":{\"cookie\":\"uid=7\"},\"arms\":"
        "\"pay-7\",\"lane\":\"red\",\"now\":1600000000000}",
    };
    char line[8192];

    (void)state;
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        roundtrip(all_sources, requests[i], line, sizeof(line));
        assert_null(strstr(line, "user-agent"));
        assert_null(strstr(line, "other"));
        assert_null(strstr(line, "else"));
        assert_null(strstr(line, "sid"));
        assert_null(strstr(line, "secret"));
    }
}

/* What no rule looks at is not written, however plain it is. */
static void nothing_else_is_told(void **state)
{
    char line[8192];

    (void)state;
    roundtrip(SHOP CART_2("{share: 50}"),
              "{\"path\":\"/private/7?token=1\",\"method\":\"POST\",\"host\":"
              "\"h\",\"source\":\"10.0.0.1\",\"now\":1600000000000,"
              "\"headers\":{\"cookie\":\"uid=7; sid=1\",\"x-a\":\"b\"}}",
              line, sizeof(line));
    assert_string_equal(line, "{\"now\":1600000000000,\"path\":\"/\","
                              "\"headers\":{\"cookie\":\"uid=7\"}}");
}

/* A header that opens doors is left out even where a rule names it. */
static void a_secret_header_is_never_written(void **state)
{
    struct compiled_policy compiled;
    struct request_problem problem;
    struct request request;
    static struct gray_input input;
    static const char text[] =
        "{\"path\":\"/\",\"headers\":{\"authorization\":\"Bearer abc\"}}";
    char line[4096];

    (void)state;
    compile_text(&compiled, all_sources);
    assert_int_equal(request_parse(&request, text, strlen(text), &problem), 0);
    request_feed(&request, &compiled.view.snapshot, 1, &input);
    gray_record_write(&input, (struct gray_str) { "", 0 }, line, sizeof(line));
    assert_null(strstr(line, "abc"));
    assert_null(strstr(line, "authorization"));
    request_free(&request);
    policy_end(&compiled);
}

/* A buffer that is too small says how much room is needed. */
static void a_line_that_does_not_fit_says_so(void **state)
{
    struct compiled_policy compiled;
    static struct gray_input input;
    char line[512], whole[512];
    size_t length;

    (void)state;
    compile_text(&compiled, all_sources);
    gray_input_begin(&input, &compiled.view.snapshot, 7, 0);
    length = gray_record_write(&input, (struct gray_str) { "app", 3 }, whole,
                               sizeof(whole));
    assert_int_equal(strlen(whole), length);
    for (size_t room = 1; room <= length; room++) {
        assert_int_equal(gray_record_write(&input,
                                           (struct gray_str) { "app", 3 },
                                           line, room),
                         length);
        assert_int_equal(strlen(line), room - 1);
    }
    policy_end(&compiled);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_rules_look_at_is_decided_alike),
        cmocka_unit_test(nothing_else_is_told),
        cmocka_unit_test(a_secret_header_is_never_written),
        cmocka_unit_test(a_line_that_does_not_fit_says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
