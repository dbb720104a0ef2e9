/* SPDX-License-Identifier: Apache-2.0
 * test_chi_square.c - against the critical values of published tables.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "policy/chi_square.h"

static void tails_are_those_of_the_tables(void **state)
{
    /* NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.4. */
    static const struct {
        double statistic;
        unsigned df;
        double chance;
    } rows[] = {
        { 3.841, 1, 0.05 },   { 10.828, 1, 0.001 },  { 16.919, 9, 0.05 },
        { 21.666, 9, 0.01 },  { 27.877, 9, 0.001 },  { 123.225, 99, 0.05 },
        { 134.642, 99, 0.01 }, { 148.230, 99, 0.001 }, { 4.168, 9, 0.9 },
        { 81.449, 99, 0.9 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        double chance = chi_square_tail(rows[i].statistic, rows[i].df);

        assert_true(fabs(chance - rows[i].chance) < 0.002 * rows[i].chance);
    }
    assert_true(chi_square_tail(0, 9) == 1);
    assert_true(chi_square_tail(1e6, 9) < 1e-12);
}

static void even_bins_give_nothing(void **state)
{
    const uint64_t even[4] = { 25, 25, 25, 25 };
    const uint64_t one[4] = { 100, 0, 0, 0 };
    const uint64_t none[4] = { 0 };

    (void)state;
    assert_true(chi_square_even(even, 4) == 0);
    assert_true(fabs(chi_square_even(one, 4) - 300) < 1e-9);
    assert_true(chi_square_even(none, 4) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tails_are_those_of_the_tables),
        cmocka_unit_test(even_bins_give_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
