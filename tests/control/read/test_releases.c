/* SPDX-License-Identifier: Apache-2.0
 * test_releases.c - where releases stand and stood.
 *
 * Read next: control/read/releases.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tests/control/read/fixture.h"

static void fill(struct desk *desk)
{
    desk_open(desk);
    put_shop(desk);                                       /* 1, 2 */
    put_release(desk, NOW, "cart-2", 10000);              /* 3 */
    put_release(desk, NOW + HOUR, "cart-2", 100000);      /* 4 */
    put_document(desk, NOW, "Release", "pay-7",
                 "\"services\":[{\"service\":\"pay\",\"version\":\"7\"}]");
    put_release(desk, NOW, "pay-7", 0);                   /* 6 */
}

static void one_release(void **state)
{
    struct desk desk;
    json_t *body;

    (void)state;
    fill(&desk);
    body = ask(&desk, "/v1/releases/cart-2", 200);
    assert_string_equal(text_at(body, "state"), "Progressing");
    assert_int_equal(number_at(body, "share"), 100000);
    assert_int_equal(number_at(body, "revision"), 4);
    assert_int_equal(number_at(body, "document"), 2);
    assert_string_equal(text_at(body, "since"), "2026-01-01T01:00:00.000Z");
    assert_string_equal(
        json_string_value(json_array_get(json_object_get(body, "services"),
                                         0)),
        "cart=v2");
    assert_int_equal(last_etag, 4);
    json_decref(body);
    json_decref(ask(&desk, "/v1/releases/cart-3", 404));
    put_document(&desk, NOW, "Release", "cart-2", "\"services\":[]");
    json_decref(ask(&desk, "/v1/releases/cart-2", 200));
    assert_int_equal(last_etag, 0);
    put(&desk, NOW, STORE_RELEASE, "cart-2", NULL);
    json_decref(ask(&desk, "/v1/releases/cart-2", 404));
    desk_close(&desk);
}

static void all_in_scope_by_pages(void **state)
{
    struct desk desk;
    json_t *body;
    size_t pages;

    (void)state;
    fill(&desk);
    body = ask(&desk, "/v1/releases", 200);
    assert_int_equal(number_at(body, "revision"), 6);
    assert_string_equal(names_of(json_object_get(body, "releases"), "name"),
                        "cart-2 pay-7");
    json_decref(body);
    assert_string_equal(names_paged(&desk, "/v1/releases?limit=1", "releases",
                                    "name", "after", &pages),
                        "cart-2 pay-7");
    assert_int_equal(pages, 2);
    desk.scopes[0] = "pay";
    assert_string_equal(names_paged(&desk, "/v1/releases?limit=1", "releases",
                                    "name", "after", &pages),
                        "pay-7");
    assert_int_equal(pages, 1);
    desk_close(&desk);
}

static void a_history_with_the_document_of_its_time(void **state)
{
    struct desk desk;
    json_t *body, *rows;
    size_t pages;

    (void)state;
    fill(&desk);
    put_document(&desk, NOW, "Release", "cart-2",
                 "\"services\":[{\"service\":\"cart\",\"version\":\"v3\"}]");
    put_release(&desk, NOW + 2 * HOUR, "cart-2", 200000); /* 8 */
    put(&desk, NOW, STORE_RELEASE, "cart-2", NULL);       /* 9 */
    body = ask(&desk, "/v1/releases/cart-2/history", 200);
    rows = json_object_get(body, "versions");
    assert_string_equal(names_of(rows, "share"), "200000 100000 10000");
    assert_string_equal(names_of(rows, "document"), "7 2 2");
    json_decref(body);
    assert_string_equal(
        names_paged(&desk, "/v1/releases/cart-2/history?limit=2", "versions",
                    "revision", "before", &pages),
        "8 4 3");
    assert_int_equal(pages, 2);
    json_decref(ask(&desk, "/v1/releases/never/history", 404));
    desk_close(&desk);
}

/* A state that contradicts itself is not shown as if it were one. */
static void a_broken_state_is_said(void **state)
{
    struct desk desk;

    (void)state;
    fill(&desk);
    put(&desk, NOW, STORE_RELEASE, "broken", "{\"state\":\"Nowhere\"}");
    json_decref(ask(&desk, "/v1/releases/broken", 500));
    json_decref(ask(&desk, "/v1/releases", 500));
    desk_close(&desk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_release),
        cmocka_unit_test(all_in_scope_by_pages),
        cmocka_unit_test(a_history_with_the_document_of_its_time),
        cmocka_unit_test(a_broken_state_is_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
