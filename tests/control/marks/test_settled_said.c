/* SPDX-License-Identifier: Apache-2.0
 * test_settled_said.c - programs say through their rings that units are over.
 *
 * Why: a program that closes an order says so and goes on; grayd may be dead
 * at that moment, or have the order's own record before it in the same ring.
 * Read next: control/marks/settled.c, runtime/client_settle.c.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/control/marks/fixture.h"

static struct host host;
static struct teller teller;
static struct marks_scope scope;

static void begin(void)
{
    scope = cart_scope(GRAY_DURABLE_ASYNC, GRAY_STICKY_ENTITY);
    host_begin(&host);
    host_open(&host);
    host_prepare(&host, &scope);
    teller_begin(&teller, &host, GRAY_READER_LIBRARY);
}

static void end(void)
{
    teller_end(&teller);
    host_end(&host);
}

static void told(const char *unit, enum gray_slot_state state)
{
    teller_admit(&teller, unit, state, false);
    assert_true(teller_waits(&teller, unit, state, true));
}

static json_int_t counted(const char *what)
{
    json_t *status = marks_status(host.marks, CART, NULL);
    json_int_t number;

    assert_true(json_is_integer(json_object_get(status, what)));
    number = json_integer_value(json_object_get(status, what));
    json_decref(status);
    return number;
}

static bool is_settled(const char *unit)
{
    uint64_t value = teller_see(&teller, unit);

    assert_true(value != UINT64_MAX);
    return (value & GRAY_SLOT_SETTLED) != 0;
}

static int say(const char *unit)
{
    struct gray_ring_record record = {
        .kind = GRAY_RING_SETTLED,
        .stage = GRAY_STAGE_NONE,
        .space = GRAY_RING_EVERY_SPACE,
        .scope = CART,
        .now = NOW + 5,
    };

    return gray_ring_push(teller.runtime, &record,
                          (struct gray_str){unit, (uint32_t)strlen(unit)});
}

static bool settled_now(void *context)
{
    return is_settled(context);
}

static bool nobody_counted(void *context)
{
    return counted("settledNobody") == *(json_int_t *)context;
}

static void a_program_says_it_through_its_ring(void **state)
{
    struct written written;
    json_int_t one = 1;

    (void)state;
    begin();
    told("a", GRAY_SLOT_OUT);
    told("b", GRAY_SLOT_OUT);
    assert_int_equal(say("a"), 0);
    assert_true(waits_for(settled_now, (void *)(uintptr_t) "a"));
    assert_int_equal(say("a"), 0);
    assert_int_equal(say("nobody"), 0);
    assert_true(waits_for(nobody_counted, &one));
    assert_int_equal(counted("settled"), 1);
    /* Nobody is there to hear it: it is heard later. */
    host_close(&host);
    assert_int_equal(say("b"), 0);
    host_open(&host);
    host_prepare(&host, &scope);
    assert_true(waits_for(settled_now, (void *)(uintptr_t) "b"));
    host_close(&host);
    host_written(&host, "b", &written);
    assert_int_equal(written.kinds[RECORD_SETTLE], 2);
    assert_int_equal(written.last.kind, RECORD_SETTLE);
    assert_int_equal(written.last.at, NOW + 5);
    assert_int_equal(written.last.reader, GRAY_READERS_MAX);
    end();
}

/* It is asked for and settled in one breath: the one comes before the other. */
static void what_is_asked_for_and_settled_at_once_is_both(void **state)
{
    (void)state;
    begin();
    teller_admit(&teller, "a", GRAY_SLOT_OUT, false);
    assert_int_equal(say("a"), 0);
    assert_true(waits_for(settled_now, (void *)(uintptr_t) "a"));
    assert_int_equal(gray_slot_state(teller_see(&teller, "a")), GRAY_SLOT_OUT);
    end();
}

static void it_leaves_room_for_those_who_wait(void **state)
{
    int said = 0, error;

    (void)state;
    begin();
    host_close(&host);
    while ((error = say("a")) == 0 && said < 100000) {
        said++;
    }
    assert_int_equal(error, -ENOBUFS);
    assert_true(said > 100);
    assert_int_equal(teller.runtime->slot.file->ring.lost, 0);
    assert_int_equal(
        teller_push(&teller, "b", GRAY_SLOT_OUT, GRAY_SLOT_OUT), 0);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_program_says_it_through_its_ring),
        cmocka_unit_test(what_is_asked_for_and_settled_at_once_is_both),
        cmocka_unit_test(it_leaves_room_for_those_who_wait),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
