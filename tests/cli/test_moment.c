/* SPDX-License-Identifier: Apache-2.0
 * test_moment.c - RFC 3339 as the standard has it, and nothing near it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cli/cli.h"

static void moments_are_exact(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
    } rows[] = {
        { "1970-01-01T00:00:00Z", 0 },
        { "2026-01-01T00:00:00Z", 1767225600000 },
        { "2026-01-01T08:00:00+08:00", 1767225600000 },
        { "2025-12-31T23:30:00-00:30", 1767225600000 },
        { "2024-02-29T12:00:00.25Z", 1709208000250 },
        { "2000-02-29t00:00:00.123456z", 951782400123 },
        { "1969-12-31T23:59:59Z", -1000 },
        { "9999-12-31T23:59:59.999Z", 253402300799999 },
        { "2016-12-31T23:59:60Z", 1483228800000 },
    };
    char text[40];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int64_t ms = 42;

        assert_int_equal(moment_parse(rows[i].text, &ms), 0);
        assert_int_equal(ms, rows[i].ms);
    }
    assert_string_equal(moment_text(1767225600000, text),
                        "2026-01-01T00:00:00Z");
}

static void what_is_no_moment_is_refused(void **state)
{
    static const char *const rows[] = {
        "", "2026-01-01", "2026-01-01T00:00:00", "2026-01-01 00:00:00Z",
        "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z", "2026-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z", "2026-01-32T00:00:00Z", "2026-01-01T24:00:00Z",
        "2026-01-01T00:60:00Z", "2026-01-01T00:00:61Z", "2026-01-01T00:00:00.Z",
        "2026-01-01T00:00:00+0800", "2026-01-01T00:00:00+24:00",
        "2026-01-01T00:00:00Zz", "26-01-01T00:00:00Z", "+026-01-01T00:00:00Z",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int64_t ms = 42;

        assert_int_equal(moment_parse(rows[i], &ms), -1);
        assert_int_equal(ms, 42);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moments_are_exact),
        cmocka_unit_test(what_is_no_moment_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
