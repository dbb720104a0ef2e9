/* SPDX-License-Identifier: Apache-2.0
 * test_backoff.c - thousands that were cut off at once come back one by one.
 *
 * Read next: control/agent/backoff.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "control/agent/backoff.h"

#define HOSTS 1000u

static struct backoff host(uint64_t seed, uint64_t spread_ms)
{
    struct backoff backoff;

    backoff_init(&backoff, seed * UINT64_C(0x2545f4914f6cdd1d));
    backoff_spread(&backoff, spread_ms);
    return backoff;
}

/* The most of them in any second. */
static unsigned worst_second(uint64_t spread_ms)
{
    unsigned seconds[64] = { 0 }, worst = 0;

    for (uint64_t i = 0; i < HOSTS; i++) {
        struct backoff backoff = host(i, spread_ms);
        uint32_t at = backoff_next(&backoff, 0);

        assert_true(at < spread_ms);
        seconds[at / 1000]++;
    }
    for (size_t i = 0; i < 64; i++) {
        worst = seconds[i] > worst ? seconds[i] : worst;
    }
    return worst;
}

static void a_thousand_come_at_fifty_a_second(void **state)
{
    (void)state;
    /* 50 are expected in each of 20 s; 5 standard deviations are 35. */
    assert_in_range(worst_second(20000), 50, 85);
    assert_int_equal(worst_second(1000), HOSTS); /* a herd, without spread */
}

static void the_mean_is_the_middle(void **state)
{
    uint64_t sum = 0;

    (void)state;
    for (uint64_t i = 0; i < 100000; i++) {
        struct backoff backoff = host(i, 20000);

        sum += backoff_next(&backoff, 0);
    }
    assert_in_range(sum / 100000, 9900, 10100);
}

static void each_break_doubles_the_bound_up_to_a_minute(void **state)
{
    static const uint32_t bounds[] = { 1000,  2000,  4000,  8000, 16000,
                                       32000, 60000, 60000, 60000 };

    (void)state;
    for (size_t try = 0; try < sizeof(bounds) / sizeof(bounds[0]); try++) {
        uint32_t most = 0;

        for (uint64_t i = 0; i < 2000; i++) {
            struct backoff backoff = host(i, 1000);
            uint32_t wait = 0;

            for (size_t n = 0; n <= try; n++) {
                wait = backoff_next(&backoff, 0);
            }
            assert_true(wait < bounds[try]);
            most = wait > most ? wait : most;
        }
        assert_true(most > bounds[try] - bounds[try] / 50);
    }
}

static void one_that_went_well_begins_anew(void **state)
{
    struct backoff backoff = host(7, 1000);

    (void)state;
    for (unsigned i = 0; i < 40; i++) {
        backoff_next(&backoff, 0);
    }
    for (unsigned i = 0; i < 100; i++) {
        backoff_good(&backoff);
        assert_true(backoff_next(&backoff, 0) < 1000);
    }
}

static void retry_after_is_the_least_with_jitter_behind_it(void **state)
{
    uint32_t least = UINT32_MAX, most = 0;

    (void)state;
    for (uint64_t i = 0; i < 2000; i++) {
        struct backoff backoff = host(i, 1000);
        uint32_t wait = backoff_next(&backoff, 5000);

        least = wait < least ? wait : least;
        most = wait > most ? wait : most;
    }
    assert_in_range(least, 5000, 5020);
    assert_in_range(most, 5980, 5999);
}

static void what_a_server_says_has_a_limit(void **state)
{
    struct backoff backoff = host(1, UINT64_MAX);
    uint32_t wait;

    (void)state;
    assert_int_equal(backoff.spread_ms, BACKOFF_SPREAD_MOST_MS);
    wait = backoff_next(&backoff, UINT64_MAX);
    assert_in_range(wait, BACKOFF_RETRY_AFTER_MOST_MS,
                    BACKOFF_RETRY_AFTER_MOST_MS + BACKOFF_SPREAD_MOST_MS);
    /* Above a minute it does not double. */
    backoff = host(1, 200000);
    for (unsigned i = 0; i < 100; i++) {
        assert_true(backoff_next(&backoff, 0) < 200000);
    }
    backoff_spread(&backoff, 0);
    assert_int_equal(backoff.spread_ms, 200000);
    assert_int_equal(backoff_below(&backoff, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thousand_come_at_fifty_a_second),
        cmocka_unit_test(the_mean_is_the_middle),
        cmocka_unit_test(each_break_doubles_the_bound_up_to_a_minute),
        cmocka_unit_test(one_that_went_well_begins_anew),
        cmocka_unit_test(retry_after_is_the_least_with_jitter_behind_it),
        cmocka_unit_test(what_a_server_says_has_a_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
