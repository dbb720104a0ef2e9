/* SPDX-License-Identifier: Apache-2.0
 * test_window.c - a window is open when its own zone says so.
 *
 * Why: nights that cross midnight and the hour that a zone repeats or leaves
 * out are where such windows go wrong.
 * Read next: ../../engine/window.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/program.h"
#include "tests/engine/craft.h"

#define ALWAYS .from = INT64_MIN, .until = INT64_MAX
#define HOUR 3600u

static int64_t ms(const char *date)
{
    int64_t value = 0;
    assert_true(number_date(craft_str(date), &value));
    return value;
}

static bool open_at(const struct gray_operand_time *window, const char *date)
{
    return window_holds(window, NULL, 0, ms(date));
}

static void from_and_until(void **state)
{
    struct gray_operand_time window = { .from = ms("2026-11-21T00:00:00Z"),
                                        .until = ms("2026-11-22T00:00:00Z"),
                                        .days = 127,
                                        .end = 24 * HOUR };
    (void)state;
    assert_false(window_holds(&window, NULL, 0, window.from - 1));
    assert_true(window_holds(&window, NULL, 0, window.from));
    assert_true(window_holds(&window, NULL, 0, window.until - 1));
    assert_false(window_holds(&window, NULL, 0, window.until));
}

static void hours_of_days(void **state)
{
    /* Monday to Friday, nine to six; 2026-11-21 is a Saturday. */
    struct gray_operand_time window = { ALWAYS, .days = 31, .start = 9 * HOUR,
                                        .end = 18 * HOUR };
    (void)state;
    assert_false(open_at(&window, "2026-11-21T12:00:00Z"));
    assert_true(open_at(&window, "2026-11-20T12:00:00Z"));
    assert_true(open_at(&window, "2026-11-23T09:00:00Z"));
    assert_false(open_at(&window, "2026-11-23T08:59:59.999Z"));
    assert_true(open_at(&window, "2026-11-23T17:59:59.999Z"));
    assert_false(open_at(&window, "2026-11-23T18:00:00Z"));
    assert_true(open_at(&window, "1969-12-31T12:00:00Z")); /* a Wednesday */
    assert_false(open_at(&window, "1969-12-28T12:00:00Z")); /* a Sunday */
}

static void over_midnight_belongs_to_the_day_it_began(void **state)
{
    /* Friday 22:00 to Saturday 04:00. */
    struct gray_operand_time window = { ALWAYS, .days = 1 << 4,
                                        .start = 22 * HOUR, .end = 4 * HOUR };
    (void)state;
    assert_true(open_at(&window, "2026-11-20T22:00:00Z"));
    assert_true(open_at(&window, "2026-11-21T03:59:59Z"));
    assert_false(open_at(&window, "2026-11-21T04:00:00Z"));
    assert_false(open_at(&window, "2026-11-20T03:00:00Z"));
    assert_false(open_at(&window, "2026-11-21T23:00:00Z"));
}

static void the_zone_moves_the_clock(void **state)
{
    /* Berlin in 2026: summer time from 29 March to 25 October, 01:00 UTC. */
    const struct gray_zone_step berlin[] = {
        { INT64_MIN, 3600, 0 },
        { ms("2026-03-29T01:00:00Z") / 1000, 7200, 0 },
        { ms("2026-10-25T01:00:00Z") / 1000, 3600, 0 },
    };
    struct gray_operand_time window = { ALWAYS, .days = 127, .start = 9 * HOUR,
                                        .end = 10 * HOUR };
    (void)state;
    assert_true(window_holds(&window, berlin, 3, ms("2026-01-05T08:30:00Z")));
    assert_false(window_holds(&window, berlin, 3, ms("2026-01-05T07:30:00Z")));
    assert_true(window_holds(&window, berlin, 3, ms("2026-07-05T07:30:00Z")));
    assert_false(window_holds(&window, berlin, 3, ms("2026-07-05T08:30:00Z")));
    assert_true(window_holds(&window, berlin, 3, ms("2026-12-05T08:30:00Z")));
    window.start = 2 * HOUR;
    window.end = 3 * HOUR;
    assert_false(window_holds(&window, berlin, 3, ms("2026-03-29T01:30:00Z")));
    assert_true(window_holds(&window, berlin, 3, ms("2026-10-25T00:30:00Z")));
    assert_true(window_holds(&window, berlin, 3, ms("2026-10-25T01:30:00Z")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(from_and_until),
        cmocka_unit_test(hours_of_days),
        cmocka_unit_test(over_midnight_belongs_to_the_day_it_began),
        cmocka_unit_test(the_zone_moves_the_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
