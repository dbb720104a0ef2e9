/* SPDX-License-Identifier: Apache-2.0
 * test_pace.c - the date at which the last entity outside is settled.
 *
 * Why: people take the old version away by this date, so a wrong one is worse
 * than none: none from a few, none from one file, none while as many begin,
 * and one that follows when the pace changes or comes to a stop.
 * Read next: control/change/pace.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "control/change/pace.h"

#define MINUTE INT64_C(60000)
#define BEGIN INT64_C(1800000000000)

static struct pace pace;
static struct pace_look now;

static void begin(uint64_t open)
{
    memset(&pace, 0, sizeof(pace));
    now = (struct pace_look){BEGIN, open, 0};
    pace_add(&pace, now);
}

/* Time goes on, and then some are settled. */
static void settle(int64_t ms, uint64_t count)
{
    now.at += ms;
    now.open -= count;
    now.settled += count;
    pace_add(&pace, now);
}

static void an_even_pace_ends_when_it_says(void **state)
{
    struct pace_end end;

    (void)state;
    begin(1000);
    for (int i = 0; i < 20; i++) {
        settle(MINUTE, 10);
    }
    end = pace_end(&pace, now);
    assert_int_equal(end.says, PACE_ENDS);
    /* 800 are left, ten a minute. */
    assert_int_equal(end.ends, now.at + 80 * MINUTE);
    assert_int_equal(end.settled, PACE_ENOUGH);
    assert_int_equal(end.since, now.at - 3 * MINUTE);
}

static void few_or_all_at_once_are_no_pace(void **state)
{
    (void)state;
    begin(1000);
    assert_int_equal(pace_end(&pace, now).says, PACE_TOO_FEW);
    settle(MINUTE, 3);
    settle(MINUTE, 3);
    settle(MINUTE, PACE_LEAST - 7);
    assert_int_equal(pace_end(&pace, now).says, PACE_TOO_FEW);
    assert_int_equal(pace_end(&pace, now).settled, PACE_LEAST - 1);
    settle(MINUTE, 1);
    assert_int_equal(pace_end(&pace, now).says, PACE_ENDS);
    /* A file of them that goes up in parts, in no time. */
    begin(200000);
    for (int i = 0; i < 75; i++) {
        settle(100, 2000);
        assert_int_equal(pace_end(&pace, now).says, PACE_TOO_FEW);
    }
    for (int i = 0; i < 600; i++) {
        settle(MINUTE, 0);
        assert_int_equal(pace_end(&pace, now).says, PACE_TOO_FEW);
    }
}

/* The same each night, at three, in parts. */
static void three_nights_are_a_pace(void **state)
{
    struct pace_end end;

    (void)state;
    begin(100000);
    for (int night = 0; night < 6; night++) {
        for (int i = 0; i < 10; i++) {
            settle(100, 100);
        }
        for (int i = 0; i < 24 * 60; i++) {
            settle(MINUTE, 0);
            end = pace_end(&pace, now);
            assert_int_equal(end.says, night < 2    ? PACE_TOO_FEW
                                       : night == 2 ? end.says
                                                    : PACE_ENDS);
        }
    }
    /* 94,000 are left, a thousand a night. */
    assert_true(end.ends - now.at > 94000 / 1000 * 24 * 60 * MINUTE / 2);
    assert_true(end.ends - now.at < 94000 / 1000 * 24 * 60 * MINUTE * 2);
}

static void as_many_that_begin_have_no_end(void **state)
{
    (void)state;
    begin(1000);
    for (int i = 0; i < 20; i++) {
        now.open += 10;
        settle(MINUTE, 10);
    }
    assert_int_equal(pace_end(&pace, now).says, PACE_GROWS);
    /* Half as many begin: it takes twice as long. */
    begin(1000);
    for (int i = 0; i < 20; i++) {
        now.open += 5;
        settle(MINUTE, 10);
    }
    assert_int_equal(pace_end(&pace, now).says, PACE_ENDS);
    assert_int_equal(pace_end(&pace, now).ends, now.at + 900 / 5 * MINUTE);
}

static void it_follows_what_comes_and_is_put_off_when_nothing_does(void **state)
{
    int64_t slow, fast, later;

    (void)state;
    begin(10000);
    for (int i = 0; i < 50; i++) {
        settle(10 * MINUTE, 1);
    }
    slow = pace_end(&pace, now).ends - now.at;
    for (int i = 0; i < 50; i++) {
        settle(MINUTE, 1);
    }
    fast = pace_end(&pace, now).ends - now.at;
    assert_true(fast * 9 < slow);
    now.at += 60 * MINUTE;
    assert_int_equal(pace_end(&pace, now).says, PACE_ENDS);
    later = pace_end(&pace, now).ends - now.at;
    assert_true(later > fast);
    /* And at last there is none. */
    now.at += 10 * 24 * 60 * MINUTE;
    assert_int_equal(pace_end(&pace, now).says, PACE_TOO_FEW);
}

static void nobody_left_is_said(void **state)
{
    (void)state;
    begin(3);
    settle(MINUTE, 3);
    assert_int_equal(pace_end(&pace, now).says, PACE_NOBODY);
    assert_int_equal(
        pace_end(&pace, (struct pace_look){now.at, 0, 0}).says, PACE_NOBODY);
}

static void hours_become_days_and_memory_stays(void **state)
{
    struct pace_end end;

    (void)state;
    begin(100000);
    for (int i = 0; i < 20000; i++) { /* one an hour: more than two years */
        now.at += 60 * MINUTE;
        if (i % 24 == 0) {
            now.open--;
            now.settled++;
        }
        pace_add(&pace, now);
        assert_true(pace.count <= PACE_KEPT);
    }
    for (size_t i = 1; i < pace.count; i++) {
        assert_true(pace.looks[i].at > pace.looks[i - 1].at);
        assert_true(pace.looks[i].settled >= pace.looks[i - 1].settled);
    }
    end = pace_end(&pace, now);
    assert_true(end.settled >= PACE_ENOUGH);
    assert_true(end.since <= now.at - 29 * 24 * 60 * MINUTE);
    /* One a day, and 99,166 are left. */
    assert_int_equal(end.says, PACE_GROWS);
}

static void a_clock_that_goes_back_begins_anew(void **state)
{
    (void)state;
    begin(1000);
    for (int i = 0; i < 20; i++) {
        settle(MINUTE, 10);
    }
    settle(-60 * MINUTE, 10);
    assert_int_equal(pace.count, 1);
    assert_int_equal(pace_end(&pace, now).says, PACE_TOO_FEW);
    /* And one that went back since the last look tells no date. */
    now.at -= MINUTE;
    assert_int_equal(pace_end(&pace, now).says, PACE_TOO_FEW);
    /* Of looks that saw the same the first and the last are kept. */
    begin(10);
    for (int i = 0; i < 9; i++) {
        settle(1000, 0);
    }
    assert_int_equal(pace.count, 2);
    assert_int_equal(pace.looks[0].at, BEGIN);
    assert_int_equal(pace.looks[1].at, now.at);
    settle(1000, 1);
    assert_int_equal(pace.count, 3);
}

static void a_repair_takes_one_back_and_no_more(void **state)
{
    (void)state;
    begin(1000);
    for (int i = 0; i < 20; i++) {
        settle(MINUTE, 10);
    }
    now.settled--;
    now.open++;
    now.at += MINUTE;
    pace_add(&pace, now);
    assert_int_equal(pace_end(&pace, now).says, PACE_ENDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_even_pace_ends_when_it_says),
        cmocka_unit_test(few_or_all_at_once_are_no_pace),
        cmocka_unit_test(three_nights_are_a_pace),
        cmocka_unit_test(as_many_that_begin_have_no_end),
        cmocka_unit_test(it_follows_what_comes_and_is_put_off_when_nothing_does),
        cmocka_unit_test(nobody_left_is_said),
        cmocka_unit_test(hours_become_days_and_memory_stays),
        cmocka_unit_test(a_clock_that_goes_back_begins_anew),
        cmocka_unit_test(a_repair_takes_one_back_and_no_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
