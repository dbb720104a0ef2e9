/* SPDX-License-Identifier: Apache-2.0
 * test_tokens.c - identities without their secrets, and what waits.
 *
 * Read next: control/read/tokens.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/control/read/fixture.h"

/* Makes a token; its text lies in ret_text. */
static void put_token(struct desk *desk, const char *name, uint8_t number,
                      int64_t ttl, char ret_text[TOKEN_TEXT_MAX])
{
    struct identity wanted = { .role = ROLE_OPERATOR,
                               .expires = NOW - HOUR + ttl,
                               .scopes = { "cart" },
                               .scope_count = 1 };
    struct gray_problem problem = { 0 };
    uint8_t random[40];
    json_t *item = NULL;
    char *text;

    strcpy(wanted.name, name);
    memset(random, number, sizeof(random));
    if (token_make(&wanted, NOW - HOUR, "root", random, ret_text, &item,
                   &problem) != 0) {
        fail_msg("%s", problem.sentence);
    }
    text = json_dumps(item, JSON_COMPACT);
    put(desk, NOW, STORE_TOKEN, text_at(item, "id"), text);
    free(text);
    json_decref(item);
}

static void tokens_without_secrets(void **state)
{
    char first[TOKEN_TEXT_MAX], second[TOKEN_TEXT_MAX], *dumped;
    struct desk desk;
    json_t *body, *rows;
    size_t pages;

    (void)state;
    desk_open(&desk);
    put_token(&desk, "ci-cart", 1, HOUR / 2, first);
    put_token(&desk, "ci-pay", 2, 2 * HOUR, second);
    body = ask(&desk, "/v1/tokens", 200);
    rows = json_object_get(body, "tokens");
    assert_string_equal(names_of(rows, "name"), "ci-cart ci-pay");
    assert_true(json_is_true(
        json_object_get(json_array_get(rows, 0), "expired")));
    assert_true(json_is_false(
        json_object_get(json_array_get(rows, 1), "expired")));
    assert_string_equal(text_at(json_array_get(rows, 1), "expires"),
                        "2026-01-01T01:00:00.000Z");
    assert_string_equal(text_at(json_array_get(rows, 1), "createdBy"), "root");
    dumped = json_dumps(body, 0);
    assert_null(strstr(dumped, "hash"));
    assert_null(strstr(dumped, first + 22)); /* gray_<16>_ */
    free(dumped);
    json_decref(body);
    assert_string_equal(names_paged(&desk, "/v1/tokens?limit=1", "tokens",
                                    "name", "after", &pages),
                        "ci-cart ci-pay");
    assert_int_equal(pages, 2);
    desk_close(&desk);
}

static void what_waits_in_scope(void **state)
{
    static const char waits[] =
        "{\"at\":1767229200000,\"by\":{\"name\":\"ann\",\"role\":\"operator\","
        "\"via\":\"token\",\"scopes\":[\"\"]},\"body\":{\"files\":[{\"name\":"
        "\"a\",\"text\":\"hidden\"}],\"reason\":\"night\"},\"changes\":["
        "{\"kind\":\"Release\",\"name\":\"cart-2\",\"change\":\"changed\"}%s],"
        "\"revision\":4}";
    static const char more[] =
        ",{\"kind\":\"Release\",\"name\":\"pay-7\",\"change\":\"added\"}";
    struct desk desk;
    char text[1024], *dumped;
    json_t *body, *row;

    (void)state;
    desk_open(&desk);
    snprintf(text, sizeof(text), waits, "");
    put(&desk, NOW, STORE_SCHEDULED, "one", text);
    snprintf(text, sizeof(text), waits, more);
    put(&desk, NOW, STORE_SCHEDULED, "two", text);
    body = ask(&desk, "/v1/scheduled", 200);
    assert_string_equal(names_of(json_object_get(body, "scheduled"), "id"),
                        "one two");
    row = json_array_get(json_object_get(body, "scheduled"), 0);
    assert_string_equal(text_at(row, "at"), "2026-01-01T01:00:00.000Z");
    assert_string_equal(text_at(row, "by"), "ann");
    assert_string_equal(text_at(row, "reason"), "night");
    dumped = json_dumps(body, 0);
    assert_null(strstr(dumped, "hidden"));
    free(dumped);
    json_decref(body);
    desk.scopes[0] = "cart";
    body = ask(&desk, "/v1/scheduled", 200);
    assert_string_equal(names_of(json_object_get(body, "scheduled"), "id"),
                        "one");
    json_decref(body);
    desk_close(&desk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_without_secrets),
        cmocka_unit_test(what_waits_in_scope),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
