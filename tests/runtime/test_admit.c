/* SPDX-License-Identifier: Apache-2.0
 * test_admit.c - one request, one mark, and everybody else at the same moment.
 *
 * Why: between deciding and answering others take the slot, freeze the scope,
 * end the lease or die.  Hooks (hooks.h) make each of these happen exactly in
 * between.
 * Read next: runtime/admit.c, test_admit_closed.c, test_admit_asked.c.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "tests/runtime/hooks.h"
#include "tests/runtime/marked.h"

static struct marked_world *here;

/* ---- worlds ------------------------------------------------------------------- */

static const struct marked_kind monotonic = { 0 };
static const struct marked_kind entity = { .stickiness = "entity",
                                           .lease = true };
static const struct marked_kind strict = { .strict = true, .lease = true };
static const struct marked_kind strict_entity = { .stickiness = "entity",
                                                  .strict = true,
                                                  .lease = true };

static void world_begin(struct marked_world *world,
                        const struct marked_kind *kind)
{
    marked_begin(world, kind, GRAY_READER_NGINX);
    writer_lives(world, GRAY_WRITER_OK);
    here = world;
    hooks_clear();
}

static void settle_all(void)
{
    writer_round(here, here->runtime);
}

static void freeze(void)
{
    word_set(here, GRAY_WORD_NO_ADMIT);
}

/* As if its strictTimeout were over now. */
static void time_goes_by(struct marked_request *request)
{
    assert_int_not_equal(request->marked.deadline, 0);
    request->marked.deadline = request->marked.since = 1;
}

static enum gray_slot_state state_of(const char *unit)
{
    return gray_slot_state(slot_of(here, unit));
}

static bool is_durable(const char *unit)
{
    return (slot_of(here, unit) & GRAY_SLOT_DURABLE) != 0;
}

/* ---- one after the other -------------------------------------------------------- */

static uint64_t head_at_take;

static void note_head(void)
{
    head_at_take = gray_ring_head(here->runtime);
}

static void a_record_is_written_before_the_slot_is_taken(void **state)
{
    struct marked_world world;
    struct marked_request request;

    (void)state;
    world_begin(&world, &monotonic);
    before_take = note_head;
    request_ask(&request, world.runtime, "1007");
    assert_true(request_in(&request));
    assert_int_equal(request_reason(&request), GRAY_REASON_SHARE);
    assert_true(head_at_take > 0);
    assert_int_equal(gray_ring_head(world.runtime), head_at_take);
    assert_int_equal(state_of("1007"), GRAY_SLOT_IN);
    assert_false(is_durable("1007"));
    assert_int_equal(writer_round(&world, world.runtime), 1);
    assert_true(is_durable("1007"));
    request_ask(&request, world.runtime, "1007");
    assert_true(request_in(&request));
    assert_int_equal(request_reason(&request), GRAY_REASON_MARK);
    assert_int_equal(writer_round(&world, world.runtime), 0);
    assert_int_equal(event_count(world.runtime, GRAY_EVENT_MARKS_MADE), 1);
    marked_end(&world);
}

/* The request that was let in hears why, however often it is decided. */
static void the_first_reason_is_told_however_often_it_is_decided(void **state)
{
    struct marked_world world;
    struct marked_request request;

    (void)state;
    world_begin(&world, &monotonic);
    request_ask(&request, world.runtime, "1007");
    for (int i = 0; i < 5; i++) {
        settle_all();
        assert_int_equal(request_decide(&request), GRAY_MARKED_DECIDED);
        assert_true(request_in(&request));
        assert_int_equal(request_reason(&request), GRAY_REASON_SHARE);
    }
    assert_int_equal(event_count(world.runtime, GRAY_EVENT_MARKS_MADE), 1);
    marked_end(&world);
}

static void an_entity_that_was_told_out_stays_out_at_a_hundred(void **state)
{
    struct marked_kind none = entity;
    struct marked_world world;
    struct marked_request request;

    (void)state;
    none.share = "0";
    world_begin(&world, &none);
    request_ask(&request, world.runtime, "1007");
    assert_false(request_in(&request));
    assert_int_equal(request_reason(&request), GRAY_REASON_OUT_OF_SHARE);
    assert_int_equal(state_of("1007"), GRAY_SLOT_OUT);
    marked_publish(&world, &entity);
    request_ask(&request, world.runtime, "1007");
    assert_false(request_in(&request));
    assert_int_equal(request_reason(&request), GRAY_REASON_MARK_OUT);
    request_ask(&request, world.runtime, "1008");
    assert_true(request_in(&request));
    marked_end(&world);
}

/* A mark that is hit costs no clock; what is recorded does. */
static void no_clock_is_read_where_nothing_is_recorded(void **state)
{
    struct marked_kind none = monotonic;
    struct marked_world world;
    struct marked_request request;

    (void)state;
    world_begin(&world, &monotonic);
    request_ask(&request, world.runtime, "1007");
    assert_true(clock_reads > 0);
    clock_reads = 0;
    request_ask(&request, world.runtime, "1007");
    assert_int_equal(clock_reads, 0);
    none.share = "0";
    marked_publish(&world, &none);
    clock_reads = 0; /* who publishes, and who takes it in, may look */
    request_ask(&request, world.runtime, "1007");
    assert_true(request_in(&request));
    request_ask(&request, world.runtime, "1008");
    assert_false(request_in(&request));
    assert_int_equal(clock_reads, 0);
    marked_end(&world);
}

/* ---- strict ----------------------------------------------------------------------- */

static void a_strict_one_waits_until_it_is_durable(void **state)
{
    struct marked_world world;
    struct marked_request first, second;
    struct gray_runtime *other;

    (void)state;
    world_begin(&world, &strict);
    other = marked_reader(&world, GRAY_READER_NGINX);
    request_begin(&first, world.runtime, "1007");
    assert_int_equal(request_decide(&first), GRAY_MARKED_WAIT);
    assert_int_equal(state_of("1007"), GRAY_SLOT_PENDING);
    assert_true(first.marked.deadline >
                runtime_clock_ns(CLOCK_MONOTONIC) - 50000000);
    assert_false(gray_marked_settled(&first.marked, 0));
    assert_true(gray_marked_settled(&first.marked, first.marked.deadline));
    /* Who finds it waits too; and waking for nothing changes nothing. */
    request_begin(&second, other, "1007");
    assert_int_equal(request_decide(&second), GRAY_MARKED_WAIT);
    assert_int_equal(request_decide(&first), GRAY_MARKED_WAIT);
    settle_all();
    assert_true(gray_marked_settled(&first.marked, 0));
    assert_true(gray_marked_settled(&second.marked, 0));
    assert_int_equal(request_decide(&first), GRAY_MARKED_DECIDED);
    assert_int_equal(request_decide(&second), GRAY_MARKED_DECIDED);
    assert_true(request_in(&first) && request_in(&second));
    assert_int_equal(request_reason(&first), GRAY_REASON_SHARE);
    assert_int_equal(request_reason(&second), GRAY_REASON_MARK);
    assert_true(is_durable("1007"));
    gray_runtime_close(other);
    marked_end(&world);
}

static void what_is_not_durable_in_time_is_void_before_anybody_is_told(
    void **state)
{
    struct marked_world world;
    struct marked_request request, next;

    (void)state;
    world_begin(&world, &strict_entity);
    request_begin(&request, world.runtime, "1007");
    assert_int_equal(request_decide(&request), GRAY_MARKED_WAIT);
    time_goes_by(&request);
    assert_int_equal(request_decide(&request), GRAY_MARKED_DECIDED);
    assert_false(request_in(&request));
    assert_int_equal(request.colour.hold, 0);
    assert_int_equal(request_reason(&request), GRAY_REASON_NOT_DURABLE);
    assert_int_equal(slot_of(&world, "1007"), 0);
    assert_int_equal(event_count(world.runtime, GRAY_EVENT_MARKS_TIMED_OUT), 1);
    /* The record is still in the ring: it makes nobody in. */
    assert_int_equal(writer_round(&world, world.runtime), 1);
    assert_int_equal(slot_of(&world, "1007"), 0);
    /* Asked again, the unit is decided afresh, and has one mark. */
    request_begin(&next, world.runtime, "1007");
    assert_int_equal(request_decide(&next), GRAY_MARKED_WAIT);
    settle_all();
    assert_int_equal(request_decide(&next), GRAY_MARKED_DECIDED);
    assert_true(request_in(&next));
    /* And the first request keeps its own answer. */
    marked_end(&world);
}

static void who_loses_the_race_for_void_obeys_the_winner(void **state)
{
    struct marked_world world;
    struct marked_request request;

    (void)state;
    world_begin(&world, &strict_entity);
    request_begin(&request, world.runtime, "1007");
    assert_int_equal(request_decide(&request), GRAY_MARKED_WAIT);
    time_goes_by(&request);
    before_move = settle_all;
    assert_int_equal(request_decide(&request), GRAY_MARKED_DECIDED);
    assert_true(request_in(&request));
    assert_int_equal(request_reason(&request), GRAY_REASON_SHARE);
    assert_true(is_durable("1007"));
    marked_end(&world);
}

/* Two wait for one mark: the first whose time is over makes it void, the other
 * decides afresh and makes its own. */
static void who_waits_for_anothers_mark_decides_afresh_when_it_is_void(
    void **state)
{
    struct marked_world world;
    struct marked_request first, second;

    (void)state;
    world_begin(&world, &strict);
    request_begin(&first, world.runtime, "1007");
    request_begin(&second, world.runtime, "1007");
    assert_int_equal(request_decide(&first), GRAY_MARKED_WAIT);
    assert_int_equal(request_decide(&second), GRAY_MARKED_WAIT);
    time_goes_by(&first);
    assert_int_equal(request_decide(&first), GRAY_MARKED_DECIDED);
    assert_false(request_in(&first));
    assert_true(gray_marked_settled(&second.marked, 0));
    assert_int_equal(request_decide(&second), GRAY_MARKED_WAIT);
    assert_int_equal(state_of("1007"), GRAY_SLOT_PENDING);
    settle_all();
    assert_int_equal(request_decide(&second), GRAY_MARKED_DECIDED);
    assert_true(request_in(&second));
    assert_int_equal(request_reason(&second), GRAY_REASON_SHARE);
    /* The first has waited long enough, and now there is something to obey. */
    assert_int_equal(request_decide(&first), GRAY_MARKED_DECIDED);
    assert_true(request_in(&first));
    marked_end(&world);
}

/* And the other way round: it is ours that somebody else makes void. */
static void whose_mark_was_made_void_by_another_makes_it_again(void **state)
{
    struct marked_world world;
    struct marked_request first, second;

    (void)state;
    world_begin(&world, &strict);
    request_begin(&first, world.runtime, "1007");
    request_begin(&second, world.runtime, "1007");
    assert_int_equal(request_decide(&first), GRAY_MARKED_WAIT);
    assert_int_equal(request_decide(&second), GRAY_MARKED_WAIT);
    time_goes_by(&second);
    assert_int_equal(request_decide(&second), GRAY_MARKED_DECIDED);
    assert_false(request_in(&second));
    assert_true(gray_marked_settled(&first.marked, 0));
    assert_int_equal(request_decide(&first), GRAY_MARKED_WAIT);
    assert_int_equal(state_of("1007"), GRAY_SLOT_PENDING);
    settle_all();
    assert_int_equal(request_decide(&first), GRAY_MARKED_DECIDED);
    assert_true(request_in(&first));
    assert_true(is_durable("1007"));
    marked_end(&world);
}

/* ---- somebody is faster --------------------------------------------------------- */

static void put_out(void)
{
    slot_put(here, "1007", GRAY_SLOT_OUT);
}

static void whoever_is_slower_obeys_what_stands_there(void **state)
{
    struct marked_world world;
    struct marked_request request;

    (void)state;
    world_begin(&world, &entity);
    before_take = put_out;
    request_ask(&request, world.runtime, "1007");
    assert_false(request_in(&request));
    assert_int_equal(request_reason(&request), GRAY_REASON_MARK_OUT);
    assert_int_equal(state_of("1007"), GRAY_SLOT_OUT);
    assert_int_equal(event_count(world.runtime, GRAY_EVENT_MARKS_OBEYED), 1);
    assert_int_equal(event_count(world.runtime, GRAY_EVENT_MARKS_MADE), 0);
    /* The record of it changes nothing either. */
    settle_all();
    assert_int_equal(state_of("1007"), GRAY_SLOT_OUT);
    marked_end(&world);
}

/* The writer may take the slot by the record before its reader does. */
static void the_writer_that_was_faster_made_our_own_mark(void **state)
{
    struct marked_world world;
    struct marked_request request;

    (void)state;
    world_begin(&world, &strict);
    before_take = settle_all;
    request_ask(&request, world.runtime, "1007");
    assert_true(request_in(&request));
    assert_true(is_durable("1007"));
    marked_end(&world);
}

/* While it waited a policy came that denies the unit: the mark stays true. */
static void a_mark_stays_true_though_rules_say_otherwise_by_now(void **state)
{
    struct marked_kind denies = strict;
    struct marked_world world;
    struct marked_request request;

    (void)state;
    world_begin(&world, &strict);
    request_begin(&request, world.runtime, "1007");
    assert_int_equal(request_decide(&request), GRAY_MARKED_WAIT);
    settle_all();
    denies.share = "0";
    marked_publish(&world, &denies);
    assert_int_equal(request_decide(&request), GRAY_MARKED_DECIDED);
    assert_true(request_in(&request));
    assert_int_equal(request_reason(&request), GRAY_REASON_MARK);
    marked_end(&world);
}

/* ---- freeze ----------------------------------------------------------------------- */

static void frozen_between_slot_and_answer_nobody_is_told_in(void **state)
{
    struct marked_world world;
    struct marked_request request, other;

    (void)state;
    world_begin(&world, &entity);
    after_take = freeze;
    request_begin(&request, world.runtime, "1007");
    assert_int_equal(request_decide(&request), GRAY_MARKED_WAIT);
    assert_int_equal(state_of("1007"), GRAY_SLOT_IN);
    /* Whoever finds it waits as well. */
    request_begin(&other, world.runtime, "1007");
    assert_int_equal(request_decide(&other), GRAY_MARKED_WAIT);
    time_goes_by(&request);
    assert_int_equal(request_decide(&request), GRAY_MARKED_DECIDED);
    assert_false(request_in(&request));
    assert_int_equal(slot_of(&world, "1007"), 0);
    /* The other one is decided as a new one: outside, and it stays outside. */
    assert_int_equal(request_decide(&other), GRAY_MARKED_DECIDED);
    assert_false(request_in(&other));
    assert_int_equal(state_of("1007"), GRAY_SLOT_OUT);
    word_set(&world, GRAY_WORD_OPEN);
    request_ask(&other, world.runtime, "1007");
    assert_false(request_in(&other));
    marked_end(&world);
}

/* Its record was taken before the freeze was settled: then it counts. */
static void frozen_but_durable_is_in(void **state)
{
    struct marked_world world;
    struct marked_request request;

    (void)state;
    world_begin(&world, &entity);
    after_take = freeze;
    request_begin(&request, world.runtime, "1007");
    assert_int_equal(request_decide(&request), GRAY_MARKED_WAIT);
    settle_all();
    assert_int_equal(request_decide(&request), GRAY_MARKED_DECIDED);
    assert_true(request_in(&request));
    marked_end(&world);
}

static void without_a_lease_a_mark_that_stands_counts(void **state)
{
    struct marked_world world;
    struct marked_request request;

    (void)state;
    world_begin(&world, &monotonic);
    after_take = freeze;
    request_ask(&request, world.runtime, "1007");
    assert_true(request_in(&request));
    assert_int_equal(request_reason(&request), GRAY_REASON_MARK);
    marked_end(&world);
}

/* Thawed before its time was over, and made void by another meanwhile. */
static void what_was_made_void_in_a_freeze_is_made_again_after_the_thaw(
    void **state)
{
    static const struct marked_kind leased = { .lease = true };
    struct marked_world world;
    struct marked_request first, second;

    (void)state;
    world_begin(&world, &leased);
    after_take = freeze;
    request_begin(&first, world.runtime, "1007");
    assert_int_equal(request_decide(&first), GRAY_MARKED_WAIT);
    request_begin(&second, world.runtime, "1007");
    assert_int_equal(request_decide(&second), GRAY_MARKED_WAIT);
    time_goes_by(&second);
    assert_int_equal(request_decide(&second), GRAY_MARKED_DECIDED);
    assert_false(request_in(&second));
    assert_int_equal(slot_of(&world, "1007"), 0);
    word_set(&world, GRAY_WORD_OPEN);
    assert_int_equal(request_decide(&first), GRAY_MARKED_DECIDED);
    assert_true(request_in(&first));
    assert_int_equal(state_of("1007"), GRAY_SLOT_IN);
    marked_end(&world);
}

static void created_during_a_freeze_it_stays_outside_after_the_thaw(
    void **state)
{
    struct marked_world world;
    struct marked_request request;

    (void)state;
    world_begin(&world, &strict_entity);
    freeze();
    request_begin(&request, world.runtime, "1007");
    assert_int_equal(request_decide(&request), GRAY_MARKED_WAIT);
    settle_all();
    assert_int_equal(request_decide(&request), GRAY_MARKED_DECIDED);
    assert_false(request_in(&request));
    assert_int_equal(request_reason(&request), GRAY_REASON_NO_ADMIT);
    assert_int_equal(state_of("1007"), GRAY_SLOT_OUT);
    word_set(&world, GRAY_WORD_OPEN);
    request_ask(&request, world.runtime, "1007");
    assert_false(request_in(&request));
    marked_end(&world);
}

static void kill(void)
{
    word_set(here, GRAY_WORD_KILLED);
}

static void killed_between_slot_and_answer_is_baseline(void **state)
{
    struct marked_world world;
    struct marked_request request;

    (void)state;
    world_begin(&world, &monotonic);
    after_take = kill;
    request_ask(&request, world.runtime, "1007");
    assert_false(request_in(&request));
    assert_int_equal(request_reason(&request), GRAY_REASON_KILLED);
    marked_end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_is_written_before_the_slot_is_taken),
        cmocka_unit_test(the_first_reason_is_told_however_often_it_is_decided),
        cmocka_unit_test(an_entity_that_was_told_out_stays_out_at_a_hundred),
        cmocka_unit_test(no_clock_is_read_where_nothing_is_recorded),
        cmocka_unit_test(a_strict_one_waits_until_it_is_durable),
        cmocka_unit_test(
            what_is_not_durable_in_time_is_void_before_anybody_is_told),
        cmocka_unit_test(who_loses_the_race_for_void_obeys_the_winner),
        cmocka_unit_test(
            who_waits_for_anothers_mark_decides_afresh_when_it_is_void),
        cmocka_unit_test(whose_mark_was_made_void_by_another_makes_it_again),
        cmocka_unit_test(whoever_is_slower_obeys_what_stands_there),
        cmocka_unit_test(the_writer_that_was_faster_made_our_own_mark),
        cmocka_unit_test(a_mark_stays_true_though_rules_say_otherwise_by_now),
        cmocka_unit_test(frozen_between_slot_and_answer_nobody_is_told_in),
        cmocka_unit_test(frozen_but_durable_is_in),
        cmocka_unit_test(without_a_lease_a_mark_that_stands_counts),
        cmocka_unit_test(
            what_was_made_void_in_a_freeze_is_made_again_after_the_thaw),
        cmocka_unit_test(
            created_during_a_freeze_it_stays_outside_after_the_thaw),
        cmocka_unit_test(killed_between_slot_and_answer_is_baseline),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
