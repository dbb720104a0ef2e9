/* SPDX-License-Identifier: Apache-2.0
 * test_latency.c - the bucket of a latency is the formula's, to the
 * microsecond.
 *
 * Read next: runtime/latency.c.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "runtime/internal.h"

/* floor(log(us / 100) / log(1.0555)), 0 .. 255 */
static uint32_t by_formula(uint64_t us)
{
    long double bucket =
        floorl(logl((long double)us / 100) / logl(1.0555L));

    return bucket < 0 ? 0 : bucket > 255 ? 255 : (uint32_t)bucket;
}

static void every_microsecond_of_the_first_second(void **state)
{
    uint64_t us;

    (void)state;
    assert_int_equal(gray_latency_bucket(0), 0);
    for (us = 1; us <= 1000000; us++) {
        if (gray_latency_bucket(us) != by_formula(us)) {
            fail_msg("%u us: %u, not %u", (unsigned)us,
                     gray_latency_bucket(us), by_formula(us));
        }
    }
}

static void every_edge(void **state)
{
    uint32_t i;

    (void)state;
    for (i = 1; i < GRAY_LATENCY_BUCKETS; i++) {
        uint64_t edge = runtime_latency_floor[i];

        assert_int_equal(gray_latency_bucket(edge), i);
        assert_int_equal(gray_latency_bucket(edge - 1), i - 1);
        assert_int_equal(gray_latency_bucket(edge), by_formula(edge));
        assert_int_equal(gray_latency_bucket(edge - 1), by_formula(edge - 1));
    }
    assert_int_equal(gray_latency_bucket(UINT64_MAX), 255);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_microsecond_of_the_first_second),
        cmocka_unit_test(every_edge),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
