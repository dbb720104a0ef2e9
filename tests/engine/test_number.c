/* SPDX-License-Identifier: Apache-2.0
 * test_number.c - a value is wholly a number, a date or a version, or nothing.
 *
 * Why: "12abc" is not 12, and 2026-02-30 is no day; a rule over such a value
 * must not hold by accident.
 * Read next: ../../engine/number.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/program.h"
#include "tests/engine/craft.h"

static void integers(void **state)
{
    static const struct {
        const char *text;
        bool good;
        int64_t value;
    } lines[] = {
        { "0", true, 0 },
        { "007", true, 7 },
        { "-5", true, -5 },
        { "9223372036854775807", true, INT64_MAX },
        { "-9223372036854775808", true, INT64_MIN },
        { "9223372036854775808", false, 0 },
        { "-9223372036854775809", false, 0 },
        { "18446744073709551616", false, 0 },
        { "", false, 0 },
        { "-", false, 0 },
        { "+5", false, 0 },
        { " 5", false, 0 },
        { "5 ", false, 0 },
        { "5x", false, 0 },
        { "0x5", false, 0 },
        { "1e3", false, 0 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        int64_t value = 99;
        assert_int_equal(number_signed(craft_str(lines[i].text), &value),
                         lines[i].good);
        assert_true(value == (lines[i].good ? lines[i].value : 99));
    }
}

static void unsigned_integers(void **state)
{
    uint64_t value = 1;
    (void)state;
    assert_true(number_unsigned(craft_str("18446744073709551615"), &value));
    assert_true(value == UINT64_MAX);
    assert_false(number_unsigned(craft_str("18446744073709551616"), &value));
    assert_false(number_unsigned(craft_str("-1"), &value));
}

static void dates(void **state)
{
    static const struct {
        const char *text;
        bool good;
        int64_t ms;
    } lines[] = {
        { "1970-01-01T00:00:00Z", true, 0 },
        { "2026-01-01T00:00:00Z", true, 1767225600000 },
        { "2026-01-01t08:00:00+08:00", true, 1767225600000 },
        { "2025-12-31 19:00:00-05:00", true, 1767225600000 },
        { "2026-01-01T00:00:00.5Z", true, 1767225600500 },
        { "2026-01-01T00:00:00.123999Z", true, 1767225600123 },
        { "2024-02-29T00:00:00Z", true, 1709164800000 },
        { "0000-03-01T00:00:00Z", true, -62162035200000 },
        { "2023-02-29T00:00:00Z", false, 0 },
        { "2026-02-30T00:00:00Z", false, 0 },
        { "2026-13-01T00:00:00Z", false, 0 },
        { "2026-00-01T00:00:00Z", false, 0 },
        { "2026-01-01T24:00:00Z", false, 0 },
        { "2026-01-01T00:60:00Z", false, 0 },
        { "2026-01-01T00:00:61Z", false, 0 },
        { "2026-01-01T00:00:00", false, 0 },
        { "2026-01-01T00:00:00.Z", false, 0 },
        { "2026-01-01T00:00:00+8:00", false, 0 },
        { "2026-01-01T00:00:00+24:00", false, 0 },
        { "2026-01-01", false, 0 },
        { "", false, 0 },
        { "1767225600000", false, 0 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        int64_t ms = 99;
        assert_int_equal(number_date(craft_str(lines[i].text), &ms),
                         lines[i].good);
        assert_true(ms == (lines[i].good ? lines[i].ms : 99));
    }
}

static bool holds(const char *version, uint32_t op, uint32_t a, uint32_t b,
                  uint32_t c, const char *pre)
{
    uint32_t part[3] = { a, b, c };
    return number_semver(craft_str(version), op, part, craft_str(pre));
}

static void versions(void **state)
{
    (void)state;
    assert_true(holds("1.2.3", GRAY_SEMVER_EQ, 1, 2, 3, ""));
    assert_true(holds("v1.2", GRAY_SEMVER_EQ, 1, 2, 0, ""));
    assert_true(holds("1.2.3+build.5", GRAY_SEMVER_EQ, 1, 2, 3, ""));
    assert_true(holds("1.2.4", GRAY_SEMVER_NE, 1, 2, 3, ""));
    assert_true(holds("1.10.0", GRAY_SEMVER_GT, 1, 9, 0, ""));
    assert_true(holds("1.2.3-rc.1", GRAY_SEMVER_LT, 1, 2, 3, ""));
    assert_true(holds("1.2.3", GRAY_SEMVER_GE, 1, 2, 3, ""));
    assert_true(holds("1.2.3", GRAY_SEMVER_LE, 1, 2, 3, ""));
    assert_true(holds("1.2.9", GRAY_SEMVER_TILDE, 1, 2, 3, ""));
    assert_false(holds("1.3.0", GRAY_SEMVER_TILDE, 1, 2, 3, ""));
    assert_true(holds("1.9.0", GRAY_SEMVER_CARET, 1, 2, 3, ""));
    assert_false(holds("2.0.0", GRAY_SEMVER_CARET, 1, 2, 3, ""));
}

/* semver.org 2.0.0, item 11: each is lower than the one after it. */
static void versions_ascend_as_the_standard_says(void **state)
{
    static const char *const pre[] = { "alpha", "alpha.1", "alpha.beta",
                                       "beta",  "beta.2",  "beta.11",
                                       "rc.1",  "" };
    (void)state;
    for (size_t i = 0; i < 8; i++) {
        for (size_t k = 0; k < 8; k++) {
            char text[32] = "1.0.0";
            if (*pre[i] != '\0') {
                strcat(text, "-");
                strcat(text, pre[i]);
            }
            assert_int_equal(holds(text, GRAY_SEMVER_LT, 1, 0, 0, pre[k]),
                             i < k);
            assert_int_equal(holds(text, GRAY_SEMVER_EQ, 1, 0, 0, pre[k]),
                             i == k);
            assert_int_equal(holds(text, GRAY_SEMVER_GT, 1, 0, 0, pre[k]),
                             i > k);
        }
    }
}

static void what_is_no_version_stands_in_no_relation(void **state)
{
    static const char *const bad[] = { "", "v", "1.", "1..2", "a.b.c", "1.2.3-",
                                       "1.2.3-a..b", "1.2.3-ä", "1.2.3+",
                                       "1.2.3.4", "-1.0.0", "4294967296.0.0" };
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        for (uint32_t op = 0; op < 9; op++) {
            assert_false(holds(bad[i], op, 1, 2, 3, ""));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers),
        cmocka_unit_test(unsigned_integers),
        cmocka_unit_test(dates),
        cmocka_unit_test(versions),
        cmocka_unit_test(versions_ascend_as_the_standard_says),
        cmocka_unit_test(what_is_no_version_stands_in_no_relation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
