/* SPDX-License-Identifier: Apache-2.0
 * test_cookie.c - engine/cookie.c: our cookie goes, the client's bytes stay.
 *
 * Why: an old service must see the bytes that it saw before us.
 * Read next: craft.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#include "tests/engine/craft.h"

static void strips_ours_only(void **state)
{
    static const struct {
        const char *cookies, *left;
        uint32_t removed;
    } rows[] = {
        {"", "", 0},
        {"a=1", "a=1", 0},
        {" a=1 ;b;;  c=\"x y\" ;", " a=1 ;b;;  c=\"x y\" ;", 0},
        {"gray=x", "", 1},
        {"gray=", "", 1},
        {" gray = x ", "", 1},
        {"gray", "gray", 0},
        {"Gray=x; gray2=y; agray=z", "Gray=x; gray2=y; agray=z", 0},
        {"gray=x; a=1", "a=1", 1},
        {"a=1; gray=x", "a=1", 1},
        {"a=1; gray=x; b=2", "a=1; b=2", 1},
        {"a=1;gray=x;b=2", "a=1;b=2", 1},
        {"a=1; gray=x;", "a=1;", 1},
        {"gray=x; __Host-gray=y; gray=z", "", 3},
        {"gray=x;  a=1;  b=2; gray=y", "a=1;  b=2", 2},
        {"a==gray=x; __Host-gray=v1.k.p=.m; b", "a==gray=x; b", 1},
        {"a=\"x; gray=y\"", "a=\"x", 1},
    };
    const struct gray_str names[] = {craft_str("__Host-gray"),
                                     craft_str("gray")};
    char buffer[128];
    uint32_t removed;
    size_t i, length;

    (void)state;
    for (i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        removed = 99;
        length = gray_cookie_strip(craft_str(rows[i].cookies), names, 2, buffer,
                                   sizeof(buffer), &removed);
        if (length != strlen(rows[i].left) || removed != rows[i].removed ||
            memcmp(buffer, rows[i].left, length) != 0) {
            fail_msg("%s: %u went, left %.*s", rows[i].cookies, removed,
                     (int)length, buffer);
        }
        length = gray_cookie_strip(craft_str(rows[i].cookies), names, 0, buffer,
                                   sizeof(buffer), &removed);
        assert_int_equal(length, strlen(rows[i].cookies));
        assert_memory_equal(buffer, rows[i].cookies, length);
    }
}

static void strips_within_its_room(void **state)
{
    const struct gray_str name = craft_str("gray");
    char buffer[32];
    uint32_t removed;
    size_t size, length;

    (void)state;
    for (size = 0; size <= 9; size++) {
        memset(buffer, '#', sizeof(buffer));
        length = gray_cookie_strip(craft_str("aa=1; gray=x; b=2"), &name, 1,
                                   buffer, size, &removed);
        assert_int_equal(length, size < 4 ? 0 : size < 9 ? 4 : 9);
        assert_int_equal(buffer[length], '#');
    }
}

static void finds_the_first(void **state)
{
    static const struct {
        const char *cookies, *name, *value;
    } rows[] = {
        {"", "uid", NULL},
        {"uid=1", "uid", "1"},
        {"a=b; uid=1; uid=2", "uid", "1"},
        {"a=b;uid=1", "uid", "1"},
        {" uid = 1 2 ; b", "uid", "1 2"},
        {"uid=\"q\"", "uid", "\"q\""},
        {"uid=a=b", "uid", "a=b"},
        {"uid=", "uid", ""},
        {"uid", "uid", NULL},
        {"UID=1", "uid", NULL},
        {"uid2=1; auid=2; ui=3", "uid", NULL},
        {";;=;= ;uid=7", "uid", "7"},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct gray_str value = gray_cookie_find(craft_str(rows[i].cookies),
                                                 craft_str(rows[i].name));

        if (rows[i].value == NULL) {
            assert_null(value.data);
            assert_int_equal(value.length, 0);
        } else {
            assert_non_null(value.data);
            assert_int_equal(value.length, strlen(rows[i].value));
            assert_memory_equal(value.data, rows[i].value, value.length);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strips_ours_only),
        cmocka_unit_test(strips_within_its_room),
        cmocka_unit_test(finds_the_first),
    };

    return cmocka_run_group_tests_name("cookie", tests, NULL, NULL);
}
