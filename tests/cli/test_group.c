/* SPDX-License-Identifier: Apache-2.0
 * test_group.c - whose workers a configuration of nginx speaks of.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "runtime/group.h"

static void user_and_group_are_found(void **state)
{
    static const struct {
        const char *conf, *user, *group;
    } rows[] = {
        { "user www-data;\nworker_processes auto;\n", "www-data",
          "www-data" },
        { "user  nginx  web ;", "nginx", "web" },
        { "pid /run/a;user\twww-data\r\n;", "www-data", "www-data" },
        { "# user old;\nuser new; # user other;", "new", "new" },
        { "events { user inner; }\nuser 'outer' \"grp\";", "outer", "grp" },
        { "http { server { user a; } user b; } user c;", "c", "c" },
        { "load_module \"a;b\"; user d;", "d", "d" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char user[64] = "?", group[64] = "?";

        assert_true(nginx_user_parse(rows[i].conf, user, group));
        assert_string_equal(user, rows[i].user);
        assert_string_equal(group, rows[i].group);
    }
}

static void nothing_is_guessed(void **state)
{
    static const char *const rows[] = {
        "", "user", "user;", "user www-data", "#user www-data;",
        "http { user www-data; }", "users www-data;", "{{{", "}}}user a",
        "'user www-data;'", "\"",
    };
    char user[64] = "?", group[64] = "?";

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_false(nginx_user_parse(rows[i], user, group));
    }
    assert_string_equal(user, "?");
    assert_string_equal(group, "?");
}

static void long_words_are_cut(void **state)
{
    static const char head[] = "user ";
    char conf[1000], user[64], group[64];

    (void)state;
    for (size_t length = 62; length <= 65; length++) {
        memset(conf, 'a', sizeof(conf));
        memcpy(conf, head, strlen(head));
        strcpy(conf + strlen(head) + length, ";");
        assert_true(nginx_user_parse(conf, user, group));
        assert_int_equal(strlen(user), length < 63 ? length : 63);
        assert_string_equal(user, group);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(user_and_group_are_found),
        cmocka_unit_test(nothing_is_guessed),
        cmocka_unit_test(long_words_are_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
