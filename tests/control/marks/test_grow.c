/* SPDX-License-Identifier: Apache-2.0
 * test_grow.c - a table grows while marks are made, and across a kill.
 *
 * Why: growth moves every mark to another place.  Whoever looks finds each in
 * the old table, in the new one, or does not know: never that it is not there.
 * Read next: control/marks/grow.c, runtime/mark_grow.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/control/marks/fixture.h"

#define MANY 150000u /* of GRAY_MARKS_FIRST: it grows twice */

static struct host host;
static struct teller teller;

static const char *unit_of(uint32_t number)
{
    static char unit[24];

    snprintf(unit, sizeof(unit), "u%u", number);
    return unit;
}

static bool is_whole(void *context)
{
    const struct gray_scope_word *word =
        &host.folder.control
             ->words[gray_word_number(&host.folder, CART)];

    (void)context;
    return __atomic_load_n(&word->next, __ATOMIC_ACQUIRE) == 0;
}

static bool is_idle(void *context)
{
    json_t *status = marks_status(host.marks, CART, NULL);
    bool idle = json_integer_value(json_object_get(status, "notDurable")) == 0;

    (void)context;
    json_decref(status);
    return idle;
}

/* As a reader does: maps what is named when it changes. */
static void follow(void)
{
    static uint64_t seen;
    uint64_t now = __atomic_load_n(&host.folder.control->marks_generation,
                                   __ATOMIC_ACQUIRE);

    if (now != seen) {
        seen = now;
        teller_map(&teller);
        __atomic_store_n(&teller.runtime->slot.file->marks_generation, now,
                         __ATOMIC_RELEASE);
    }
}

/* Whether it was made: the ring or the table may have no room for a moment. */
static bool admitted(void *context)
{
    uint32_t number = *(uint32_t *)context;
    uint64_t found;
    int taken;

    follow();
    if (teller_push(&teller, unit_of(number), GRAY_SLOT_IN, GRAY_SLOT_IN) !=
        0) {
        return false;
    }
    taken = teller_take(&teller, unit_of(number), GRAY_SLOT_IN, &found);
    return taken == 0 || taken == 1;
}

static void admit(uint32_t number)
{
    assert_true(waits_for(admitted, &number));
}

/* Its unit is over; it moves on as it stands. */
static void settle(uint32_t number)
{
    struct marks_unit unit = {unit_of(number), 0};
    json_t *answer = NULL;

    assert_int_equal(marks_settle(host.marks, CART, &unit, 1, false, "a", "r",
                                  &answer, NULL),
                     0);
    assert_int_equal(json_integer_value(json_object_get(answer, "settled")),
                     1);
    json_decref(answer);
}

static void a_table_grows_under_whoever_writes(void **state)
{
    struct marks_scope scope =
        cart_scope(GRAY_DURABLE_ASYNC, GRAY_STICKY_MONOTONIC);
    struct written written;
    uint32_t first;

    (void)state;
    host_begin(&host);
    host_open(&host);
    host_prepare(&host, &scope);
    teller_begin(&teller, &host, GRAY_READER_NGINX);
    first = teller.number;
    for (uint32_t i = 0; i < MANY; i++) {
        admit(i);
        if (i % 1000 == 999) { /* nobody who is in is ever out */
            settle(i);
            for (uint32_t n = 0; n < i; n += 991) {
                follow();
                assert_int_equal(
                    gray_slot_state(teller_see(&teller, unit_of(n))),
                    GRAY_SLOT_IN);
            }
        }
    }
    assert_true(waits_for(is_whole, NULL));
    assert_true(waits_for(is_idle, NULL));
    follow();
    assert_true(teller.number > first + 1);
    for (uint32_t i = 0; i < MANY; i++) {
        uint64_t value = teller_see(&teller, unit_of(i));

        assert_int_equal(gray_slot_state(value), GRAY_SLOT_IN);
        assert_true((value & GRAY_SLOT_DURABLE) != 0);
        assert_int_equal((value & GRAY_SLOT_SETTLED) != 0, i % 1000 == 999);
    }
    host_close(&host);
    host_written(&host, "u77", &written);
    assert_int_equal(written.of_unit, 1);
    assert_int_equal(written.kinds[RECORD_ADMIT], MANY);
    assert_int_equal(written.kinds[RECORD_SETTLE], MANY / 1000);
    assert_int_equal(written.count, MANY + MANY / 1000);
    teller_end(&teller);
    host_end(&host);
}

/* Announced by one who died: the next goes on from the start. */
static void a_growth_that_was_begun_is_ended_by_the_next(void **state)
{
    struct marks_scope scope =
        cart_scope(GRAY_DURABLE_ASYNC, GRAY_STICKY_MONOTONIC);
    struct gray_problem problem = {NULL, "", 0};
    uint64_t at = 0;

    (void)state;
    host_begin(&host);
    host_open(&host);
    host_prepare(&host, &scope);
    teller_begin(&teller, &host, GRAY_READER_NGINX);
    for (uint32_t i = 0; i < 1000; i++) {
        admit(i);
    }
    assert_true(waits_for(is_idle, NULL));
    host_close(&host);
    assert_int_equal(gray_marks_announce(&host.folder, CART, 0, (gid_t)-1,
                                         &problem),
                     0);
    follow();
    assert_int_equal(gray_marks_copy(&teller.marks, &at, 5000, &problem), 0);
    assert_true(at > 0);
    admit(1000);
    host_open(&host);
    host_prepare(&host, &scope);
    assert_true(waits_for(is_whole, NULL));
    assert_true(waits_for(is_idle, NULL));
    follow();
    for (uint32_t i = 0; i <= 1000; i++) {
        assert_int_equal(gray_slot_state(teller_see(&teller, unit_of(i))),
                         GRAY_SLOT_IN);
    }
    teller_end(&teller);
    host_end(&host);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_grows_under_whoever_writes),
        cmocka_unit_test(a_growth_that_was_begun_is_ended_by_the_next),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
