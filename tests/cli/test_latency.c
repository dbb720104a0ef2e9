/* SPDX-License-Identifier: Apache-2.0
 * test_latency.c - quantiles lie within one bucket of the truth.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cli/latency.h"

static void quantiles_are_within_a_bucket(void **state)
{
    uint32_t now[GRAY_LATENCY_BUCKETS] = { 0 };
    uint32_t before[GRAY_LATENCY_BUCKETS] = { 0 };
    double p50, p99;

    (void)state;
    assert_true(latency_ms(now, NULL, 50) == 0);
    for (unsigned i = 1; i <= 1000; i++) {
        now[gray_latency_bucket(i * 100)]++; /* 0.1 ms to 100 ms */
    }
    p50 = latency_ms(now, NULL, 50);
    p99 = latency_ms(now, NULL, 99);
    assert_true(p50 > 50 / 1.0555 && p50 < 50 * 1.0555);
    assert_true(p99 > 99 / 1.0555 && p99 < 99 * 1.0555);

    /* What was there before does not count. */
    for (unsigned i = 0; i < GRAY_LATENCY_BUCKETS; i++) {
        before[i] = now[i];
    }
    assert_true(latency_ms(now, before, 50) == 0);
    now[gray_latency_bucket(1000000)] += 10;
    p50 = latency_ms(now, before, 50);
    assert_true(p50 > 1000 / 1.0555 && p50 < 1000 * 1.0555);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantiles_are_within_a_bucket),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
