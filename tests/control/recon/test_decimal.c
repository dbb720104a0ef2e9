/* SPDX-License-Identifier: Apache-2.0
 * test_decimal.c - values of two databases, as people compare them.
 *
 * Why: one cent is a difference, a trailing zero is none, and a tolerance of
 * 0.01 is that and not its double.
 * Read next: control/recon/decimal.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "control/recon/decimal.h"

static struct gray_str str(const char *text)
{
    return (struct gray_str){text, text != NULL ? (uint32_t)strlen(text) : 0};
}

static void what_is_the_same_is_the_same(void **state)
{
    static const struct {
        const char *a, *b;
        double tolerance;
        bool same;
    } cases[] = {
        {"12.50", "12.5", 0, true},
        {"1e2", "100", 0, true},
        {"-0", "0.00", 0, true},
        {"+7", "7", 0, true},
        {"0.3", "0.1", 0.2, true},
        {"1.02", "1.01", 0.01, true},
        {"1.021", "1.01", 0.01, false},
        {"100", "99.99", 0, false},
        {"1e-7", "0.0000001", 0, true},
        {"999999999999999999.01", "999999999999999999.02", 0, false},
        {"999999999999999999.01", "999999999999999999.02", 0.01, true},
        {"A17", "A17", 0, true},
        {"A17", "A18", 1000, false},
        {"", "0", 0, false},
        {"12,5", "12.5", 0, false},
        {"0x10", "16", 0, false},
        {"1e99", "1e98", 0, false},
        {"1e50", "1", 0, false},
        {NULL, NULL, 0, true},
        {NULL, "0", 1, false},
        {"1234567890123456789012345678901234567", "1", 0, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        bool same = decimal_same(str(cases[i].a), str(cases[i].b),
                                 cases[i].tolerance);

        if (same != cases[i].same ||
            decimal_same(str(cases[i].b), str(cases[i].a),
                         cases[i].tolerance) != same) {
            fail_msg("%s and %s within %g", cases[i].a, cases[i].b,
                     cases[i].tolerance);
        }
    }
}

static void numbers_are_in_order(void **state)
{
    static const char *const rising[] = {"-1e30", "-2.5", "-2.49", "0",
                                         "1e-9",  "9.99", "10",    "1e60"};
    int order;

    (void)state;
    for (size_t i = 0; i < 8; i++) {
        for (size_t j = 0; j < 8; j++) {
            assert_true(decimal_order(str(rising[i]), str(rising[j]), &order));
            assert_int_equal(order < 0, i < j);
            assert_int_equal(order > 0, i > j);
        }
    }
    assert_false(decimal_order(str("x"), str("1"), &order));
    assert_false(decimal_order(str(NULL), str("1"), &order));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_the_same_is_the_same),
        cmocka_unit_test(numbers_are_in_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
