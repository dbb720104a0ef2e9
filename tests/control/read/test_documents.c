/* SPDX-License-Identifier: Apache-2.0
 * test_documents.c - documents as they stand, as they stood, in scope.
 *
 * Read next: control/read/documents.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/control/read/fixture.h"

static void fill(struct desk *desk)
{
    desk_open(desk);
    put_document(desk, NOW, "Release", "cart-2", "\"a\":1");         /* 1 */
    put_document(desk, NOW + 1, "Service", "cart", "");              /* 2 */
    put_document(desk, NOW + 2, "List", "pay-testers", "");          /* 3 */
    put_document(desk, NOW + 3, "Release", "pay-7", "");             /* 4 */
    put_document(desk, NOW + 4, "Release", "cart-2", "\"a\":2");     /* 5 */
    put(desk, NOW + 5, STORE_DOCUMENT, "Release/pay-7", NULL);       /* 6 */
    put_document(desk, NOW + 6, "Lane", "cart-red", "");             /* 7 */
}

static void all_by_kind_and_name(void **state)
{
    struct desk desk;
    json_t *body;

    (void)state;
    fill(&desk);
    body = ask(&desk, "/v1/documents", 200);
    assert_string_equal(names_of(json_object_get(body, "documents"), "name"),
                        "cart-red pay-testers cart-2 cart");
    assert_string_equal(names_of(json_object_get(body, "documents"), "kind"),
                        "Lane List Release Service");
    assert_int_equal(number_at(body, "revision"), 7);
    assert_null(json_object_get(body, "next"));
    assert_int_equal(last_etag, 7);
    json_decref(body);
    body = ask(&desk, "/v1/documents?kind=Release", 200);
    assert_string_equal(names_of(json_object_get(body, "documents"), "name"),
                        "cart-2");
    json_decref(body);
    body = ask(&desk, "/v1/documents?kind=Releas", 400);
    assert_non_null(strstr(text_at(body, "detail"), "Lane, List, Release"));
    json_decref(body);
    desk_close(&desk);
}

static void as_of_a_revision(void **state)
{
    struct desk desk;
    json_t *body;

    (void)state;
    fill(&desk);
    body = ask(&desk, "/v1/documents?revision=4", 200);
    assert_string_equal(names_of(json_object_get(body, "documents"), "name"),
                        "pay-testers cart-2 pay-7 cart");
    assert_int_equal(number_at(body, "revision"), 4);
    json_decref(body);
    body = ask(&desk, "/v1/documents/Release/cart-2?revision=4", 200);
    assert_int_equal(number_at(json_object_get(body, "document"), "a"), 1);
    assert_int_equal(number_at(body, "revision"), 1);
    assert_int_equal(number_at(body, "until"), 5);
    assert_string_equal(text_at(body, "at"), "2026-01-01T00:00:00.000Z");
    json_decref(body);
    body = ask(&desk, "/v1/documents/Release/cart-2", 200);
    assert_int_equal(number_at(json_object_get(body, "document"), "a"), 2);
    assert_null(json_object_get(body, "until"));
    assert_int_equal(last_etag, 5);
    json_decref(body);
    json_decref(ask(&desk, "/v1/documents/Release/pay-7", 404));
    json_decref(ask(&desk, "/v1/documents/Release/pay-7?revision=5", 200));
    json_decref(ask(&desk, "/v1/documents/Release/pay-7?revision=3", 404));
    json_decref(ask(&desk, "/v1/documents?revision=7", 200));
    body = ask(&desk, "/v1/documents?revision=8", 404);
    assert_int_equal(number_at(body, "revision"), 7);
    json_decref(body);
    json_decref(ask(&desk, "/v1/documents?revision=0", 400));
    json_decref(ask(&desk, "/v1/documents?revision=x", 400));
    desk_close(&desk);
}

/* What lies outside is as if it were not there, whatever page it lies on. */
static void a_scope_hides_the_rest(void **state)
{
    struct desk desk;
    json_t *body;
    size_t pages;

    (void)state;
    fill(&desk);
    desk.scopes[0] = "cart";
    body = ask(&desk, "/v1/documents", 200);
    assert_string_equal(names_of(json_object_get(body, "documents"), "name"),
                        "cart-red cart-2 cart");
    json_decref(body);
    assert_string_equal(names_paged(&desk, "/v1/documents?limit=1",
                                    "documents", "name", "after", &pages),
                        "cart-red cart-2 cart");
    assert_int_equal(pages, 3);
    desk.scopes[0] = "nobody";
    body = ask(&desk, "/v1/documents?limit=1", 200);
    assert_int_equal(json_array_size(json_object_get(body, "documents")), 0);
    assert_null(json_object_get(body, "next"));
    json_decref(body);
    desk_close(&desk);
}

static void pages_end_where_they_should(void **state)
{
    struct desk desk;
    size_t pages;
    json_t *body;

    (void)state;
    desk_open(&desk);
    for (int i = 0; i < 250; i++) {
        char name[32];

        snprintf(name, sizeof(name), "l-%03d", i);
        put_document(&desk, NOW + i, "List", name, "");
    }
    body = ask(&desk, "/v1/documents", 200); /* the default: 100 */
    assert_int_equal(json_array_size(json_object_get(body, "documents")), 100);
    assert_string_equal(text_at(body, "next"), "List/l-099");
    json_decref(body);
    names_paged(&desk, "/v1/documents?limit=125", "documents", "name", "after",
                &pages);
    assert_int_equal(pages, 2);
    names_paged(&desk, "/v1/documents?limit=124", "documents", "name", "after",
                &pages);
    assert_int_equal(pages, 3);
    body = ask(&desk, "/v1/documents?limit=1000", 200);
    assert_int_equal(json_array_size(json_object_get(body, "documents")), 250);
    assert_null(json_object_get(body, "next"));
    json_decref(body);
    json_decref(ask(&desk, "/v1/documents?limit=1001", 400));
    json_decref(ask(&desk, "/v1/documents?limit=0", 400));
    json_decref(ask(&desk, "/v1/documents?kind=Release&after=List/l-009",
                    200));
    desk_close(&desk);
}

/* A page of large documents ends before its limit. */
static void pages_end_by_bytes(void **state)
{
    size_t size = READ_PAGE_BYTES / 2, pages;
    char *text = malloc(size + 64);
    struct desk desk;
    json_t *body;

    (void)state;
    assert_non_null(text);
    desk_open(&desk);
    strcpy(text, "{\"a\":\"");
    memset(text + 6, 'x', size);
    strcpy(text + 6 + size, "\"}");
    put(&desk, NOW, STORE_DOCUMENT, "List/a", text);
    put(&desk, NOW, STORE_DOCUMENT, "List/b", text);
    put(&desk, NOW, STORE_DOCUMENT, "List/c", text);
    body = ask(&desk, "/v1/documents", 200);
    assert_string_equal(names_of(json_object_get(body, "documents"), "name"),
                        "a");
    assert_string_equal(text_at(body, "next"), "List/a");
    json_decref(body);
    assert_string_equal(names_paged(&desk, "/v1/documents?limit=9",
                                    "documents", "name", "after", &pages),
                        "a b c");
    assert_int_equal(pages, 3);
    desk_close(&desk);
    free(text);
}

static void a_history_is_newest_first(void **state)
{
    struct desk desk;
    json_t *body;
    size_t pages;

    (void)state;
    fill(&desk);
    body = ask(&desk, "/v1/documents/Release/cart-2/history", 200);
    assert_string_equal(
        names_of(json_object_get(body, "versions"), "revision"), "5 1");
    assert_int_equal(
        number_at(json_array_get(json_object_get(body, "versions"), 1),
                  "until"),
        5);
    json_decref(body);
    /* What was taken out keeps its history. */
    body = ask(&desk, "/v1/documents/Release/pay-7/history", 200);
    assert_string_equal(names_of(json_object_get(body, "versions"), "until"),
                        "6");
    json_decref(body);
    assert_string_equal(
        names_paged(&desk, "/v1/documents/Release/cart-2/history?limit=1",
                    "versions", "revision", "before", &pages),
        "5 1");
    assert_int_equal(pages, 2);
    json_decref(ask(&desk, "/v1/documents/Release/never/history", 404));
    json_decref(ask(&desk, "/v1/documents/Nothing/cart-2/history", 404));
    desk_close(&desk);
}

/* Attempts lie between, and do not say that they made it. */
static void a_version_says_who_made_it(void **state)
{
    static const char *const actors[] = { "ann", "bob", "ci" };
    struct desk desk;
    char wanted[1024] = "";
    json_t *body;

    (void)state;
    desk_open(&desk);
    for (int i = 0; i < 40; i++) {
        for (int k = 0; k < i % 7; k++) {
            record(&desk, NOW, "apply", "List/a", "denied");
        }
        desk.actor = actors[i * i % 3];
        put_document(&desk, NOW, "List", "a", "");
        snprintf(wanted + strlen(wanted), sizeof(wanted) - strlen(wanted),
                 "%s%s", i > 0 ? " " : "", actors[(39 - i) * (39 - i) % 3]);
    }
    body = ask(&desk, "/v1/documents/List/a/history", 200);
    assert_string_equal(names_of(json_object_get(body, "versions"), "by"),
                        wanted);
    json_decref(body);
    body = ask(&desk, "/v1/documents/List/a?revision=2", 200);
    assert_string_equal(text_at(body, "by"), "bob");
    json_decref(body);
    desk_close(&desk);
}

/* Where nobody can tell in a bounded time, nothing is said. */
static void too_many_attempts_between(void **state)
{
    struct desk desk;
    json_t *body;

    (void)state;
    desk_open(&desk);
    put_document(&desk, NOW, "List", "a", "");
    for (int i = 0; i < 2100; i++) {
        record(&desk, NOW, "apply", "List/a", "denied");
    }
    body = ask(&desk, "/v1/documents/List/a", 200);
    assert_null(json_object_get(body, "by"));
    json_decref(body);
    desk_close(&desk);
}

static void an_empty_store_has_nothing(void **state)
{
    struct desk desk;
    json_t *body;

    (void)state;
    desk_open(&desk);
    body = ask(&desk, "/v1/documents", 200);
    assert_int_equal(number_at(body, "revision"), 0);
    assert_int_equal(json_array_size(json_object_get(body, "documents")), 0);
    json_decref(body);
    json_decref(ask(&desk, "/v1/documents/Release/cart-2", 404));
    json_decref(ask(&desk, "/v1/documents?revision=1", 404));
    desk_close(&desk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_by_kind_and_name),
        cmocka_unit_test(as_of_a_revision),
        cmocka_unit_test(a_scope_hides_the_rest),
        cmocka_unit_test(pages_end_where_they_should),
        cmocka_unit_test(pages_end_by_bytes),
        cmocka_unit_test(a_history_is_newest_first),
        cmocka_unit_test(a_version_says_who_made_it),
        cmocka_unit_test(too_many_attempts_between),
        cmocka_unit_test(an_empty_store_has_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
