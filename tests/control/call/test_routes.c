/* SPDX-License-Identifier: Apache-2.0
 * test_routes.c - targets to routes, and everything that is no target.
 *
 * Read next: ../../../control/call/routes.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "control/call/call.h"

/* The problem's number + 1, or 0 with the call filled; the query goes. */
static int match(const char *method, const char *target, struct call *call,
                 char allow[64])
{
    const char *sentence = NULL;
    int done;

    memset(call, 0, sizeof(*call));
    done = route_match(method, target, strlen(target), call, allow, &sentence);
    assert_int_equal(done == 0, sentence == NULL);
    assert_int_equal(done == 0, call->route != NULL);
    return done;
}

static void test_every_route_is_found(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < ROUTE_COUNT; i++) {
        char target[512] = "", allow[64];
        const char *at = routes[i].path;
        struct call call;

        assert_int_equal(routes[i].number, i);
        while (*at != '\0') {
            size_t length = strcspn(at, "{");

            strncat(target, at, length);
            at += length;
            if (*at == '{') {
                strcat(target, "a%2Fb-");
                strncat(target, at + 1, strcspn(at + 1, "}"));
                at += strcspn(at, "}") + 1;
            }
        }
        assert_int_equal(match(routes[i].method, target, &call, allow), 0);
        assert_ptr_equal(call.route, &routes[i]);
        assert_int_equal(call.name[0] != '\0',
                         strstr(routes[i].path, "{name}") != NULL);
        if (call.name[0] != '\0') {
            assert_string_equal(call.name, "a/b-name");
        }
        if (strstr(routes[i].path, "{kind}") != NULL) {
            assert_string_equal(call.kind, "a/b-kind");
        }
        if (strstr(routes[i].path, "{verb}") != NULL) {
            assert_string_equal(call.verb, "a/b-verb");
        }
        if (strstr(routes[i].path, "{id}") != NULL) {
            assert_string_equal(call.item, "a/b-id");
        }
        json_decref(call.query);
    }
}

static void test_a_word_is_stronger_than_a_name(void **state)
{
    struct call call;
    char allow[64];

    (void)state;
    assert_int_equal(match("GET", "/v1/releases/a/history", &call, allow), 0);
    assert_int_equal(call.route->number, ROUTE_RELEASE_HISTORY);
    json_decref(call.query);
    assert_int_equal(match("POST", "/v1/releases/a/history", &call, allow), 0);
    assert_int_equal(call.route->number, ROUTE_RELEASE_VERB);
    json_decref(call.query);
    assert_int_equal(match("PUT", "/v1/releases/a/history", &call, allow),
                     PROBLEM_METHOD + 1);
    assert_string_equal(allow, "GET, HEAD, POST");
    assert_int_equal(match("HEAD", "/v1/releases", &call, allow), 0);
    json_decref(call.query);
    assert_int_equal(match("HEAD", "/v1/apply", &call, allow),
                     PROBLEM_METHOD + 1);
    assert_string_equal(allow, "POST");
    assert_int_equal(match("DELETE", "/v1/documents/a/b", &call, allow), 0);
    json_decref(call.query);
}

static void test_what_is_no_path(void **state)
{
    static const char *const bad[] = {
        "", "x", "*", "//", "/", "/v1/", "/v1//releases", "/v1/./releases",
        "/v1/../healthz", "/v1/releases/%2e", "/v1/releases/%2E%2e",
        "/v1/releases/%", "/v1/releases/%1", "/v1/releases/%g0",
        "/v1/releases/%00", "/v1/releases/%1f", "/v1/releases/%7f",
        "/v1/releases/%c0%80", "/v1/releases/\xff", "/v1/releases/%ed%a0%80",
        "/1/2/3/4/5/6/7/8/9", "http://localhost/healthz"};
    struct call call;
    char allow[64];
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(match("GET", bad[i], &call, allow),
                         PROBLEM_BAD_REQUEST + 1);
    }
    assert_int_equal(match("GET", "/v1/nothing", &call, allow),
                     PROBLEM_NOT_FOUND + 1);
    assert_int_equal(match("GET", "/V1/releases", &call, allow),
                     PROBLEM_NOT_FOUND + 1);
    assert_int_equal(match("GET", "/v1/releases/%E2%82%AC", &call, allow), 0);
    assert_string_equal(call.name, "\xe2\x82\xac");
    json_decref(call.query);
}

static void test_queries(void **state)
{
    static const char *const bad[] = {
        "a", "=a", "a=1&a=2", "a=1&&b=2", "&a=1", "a=%00", "a=%zz", "a=%ff",
        "%=1", "a=1&b"};
    struct call call;
    char target[CALL_TARGET_MAX + 2], allow[64];
    size_t i;

    (void)state;
    assert_int_equal(
        match("GET", "/v1/documents?kind=a%26b+c&x=&y=1%3D2=3", &call, allow),
        0);
    assert_string_equal(call_query_text(&call, "kind"), "a&b c");
    assert_string_equal(call_query_text(&call, "x"), "");
    assert_string_equal(call_query_text(&call, "y"), "1=2=3");
    assert_null(call_query_text(&call, "z"));
    json_decref(call.query);
    assert_int_equal(match("GET", "/v1/documents?", &call, allow), 0);
    assert_int_equal(json_object_size(call.query), 0);
    json_decref(call.query);
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(target, sizeof(target), "/v1/documents?%s", bad[i]);
        assert_int_equal(match("GET", target, &call, allow),
                         PROBLEM_BAD_QUERY + 1);
    }
    memset(target, 'a', sizeof(target));
    target[0] = '/';
    target[CALL_TARGET_MAX + 1] = '\0';
    assert_int_equal(match("GET", target, &call, allow),
                     PROBLEM_BAD_REQUEST + 1);
}

static void test_names_of_the_query(void **state)
{
    struct reply reply = {0};
    struct call call;
    char allow[64];
    uint64_t number = 77;

    (void)state;
    assert_int_equal(match("GET", "/v1/documents?limit=5", &call, allow), 0);
    assert_true(call_check_query(&call, &reply));
    assert_true(call_query_number(&call, "limit", 1, 5, &number, &reply));
    assert_int_equal(number, 5);
    assert_true(call_query_number(&call, "after", 1, 5, &number, &reply));
    assert_int_equal(number, 5);
    assert_false(call_query_number(&call, "limit", 1, 4, &number, &reply));
    assert_int_equal(reply.status, 400);
    assert_false(call_query_number(&call, "limit", 6, 9, &number, &reply));
    assert_int_equal(number, 5);
    json_decref(call.query);
    assert_int_equal(match("GET", "/v1/documents?lim=5", &call, allow), 0);
    assert_false(call_check_query(&call, &reply));
    json_decref(call.query);
    assert_int_equal(match("GET", "/v1/documents?dryRun=true", &call, allow),
                     0);
    assert_false(call_check_query(&call, &reply));
    json_decref(call.query);
    assert_int_equal(match("POST", "/v1/apply?dryRun=true", &call, allow), 0);
    assert_true(call_check_query(&call, &reply));
    assert_true(call.dry_run);
    json_decref(call.query);
    reply_clear(&reply);
}

static void test_numbers(void **state)
{
    static const char *const bad[] = {"", "a", "1a", "-1", "+1", " 1", "0x1",
                                      "99999999999999999999", "1.0"};
    struct reply reply = {0};
    struct call call = {0};
    uint64_t number = 77;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        call.query = json_pack("{s:s}", "n", bad[i]);
        assert_false(call_query_number(&call, "n", 0, UINT64_MAX, &number,
                                       &reply));
        assert_int_equal(number, 77);
        json_decref(call.query);
    }
    call.query = json_pack("{s:s}", "n", "9999999999999999999");
    assert_true(
        call_query_number(&call, "n", 0, UINT64_MAX, &number, &reply));
    assert_true(number == 9999999999999999999u);
    json_decref(call.query);
    reply_clear(&reply);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_route_is_found),
        cmocka_unit_test(test_a_word_is_stronger_than_a_name),
        cmocka_unit_test(test_what_is_no_path),
        cmocka_unit_test(test_queries),
        cmocka_unit_test(test_names_of_the_query),
        cmocka_unit_test(test_numbers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
