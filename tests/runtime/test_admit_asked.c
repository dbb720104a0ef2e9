/* SPDX-License-Identifier: Apache-2.0
 * test_admit_asked.c - a reader that may not write asks grayd for its marks.
 *
 * Why: applications map the tables read-only; what they admit must be a mark
 * like any other, and what grayd will not do must admit nobody.
 * Read next: runtime/admit.c (ask_writer), client_question.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/runtime/hooks.h"
#include "tests/runtime/marked.h"

static const struct marked_kind monotonic = { 0 };
static const struct marked_kind entity = { .stickiness = "entity",
                                           .lease = true,
                                           .refuse = true };

static void world_begin(struct marked_world *world,
                        const struct marked_kind *kind)
{
    marked_begin(world, kind, GRAY_READER_LIBRARY);
    writer_lives(world, GRAY_WRITER_OK);
    assert_false(world->runtime->set->marks[0].table.writable);
    hooks_clear();
}

static void grayd_makes_the_mark_that_it_is_asked_for(void **state)
{
    struct marked_world world;
    struct marked_request request;

    (void)state;
    world_begin(&world, &entity);
    request_begin(&request, world.runtime, "1007");
    assert_int_equal(request_decide(&request), GRAY_MARKED_WAIT);
    assert_int_equal(slot_of(&world, "1007"), 0);
    assert_false(gray_marked_settled(&request.marked, 0));
    assert_int_equal(request_decide(&request), GRAY_MARKED_WAIT);
    assert_int_equal(writer_round(&world, world.runtime), 1);
    assert_true(gray_marked_settled(&request.marked, 0));
    assert_int_equal(request_decide(&request), GRAY_MARKED_DECIDED);
    assert_true(request_in(&request));
    assert_int_equal(request_reason(&request), GRAY_REASON_SHARE);
    assert_int_equal(gray_slot_state(slot_of(&world, "1007")), GRAY_SLOT_IN);
    assert_int_equal(event_count(world.runtime, GRAY_EVENT_MARKS_ASKED), 1);
    request_ask(&request, world.runtime, "1007");
    assert_int_equal(request_reason(&request), GRAY_REASON_MARK);
    marked_end(&world);
}

static void what_grayd_will_not_make_admits_nobody(void **state)
{
    struct marked_world world;
    struct marked_request request;

    (void)state;
    world_begin(&world, &entity);
    world.refuses = true;
    request_begin(&request, world.runtime, "1007");
    assert_int_equal(request_decide(&request), GRAY_MARKED_WAIT);
    assert_int_equal(writer_round(&world, world.runtime), 1);
    assert_true(gray_marked_settled(&request.marked, 0));
    assert_int_equal(request_decide(&request), GRAY_MARKED_DECIDED);
    assert_false(request_in(&request));
    assert_int_equal(request.colour.hold, 0);
    assert_int_equal(request_reason(&request), GRAY_REASON_MARKS_CLOSED);
    marked_end(&world);
}

/* Somebody else's mark stands there when grayd comes to it. */
static void who_asks_obeys_whom_grayd_found_there(void **state)
{
    struct marked_world world;
    struct marked_request request;

    (void)state;
    world_begin(&world, &entity);
    request_begin(&request, world.runtime, "1007");
    assert_int_equal(request_decide(&request), GRAY_MARKED_WAIT);
    slot_put(&world, "1007", GRAY_SLOT_OUT);
    assert_int_equal(writer_round(&world, world.runtime), 1);
    assert_int_equal(request_decide(&request), GRAY_MARKED_DECIDED);
    assert_false(request_in(&request));
    assert_int_equal(request_reason(&request), GRAY_REASON_MARK_OUT);
    marked_end(&world);
}

/* grayd does not come: it may still, and nobody here can make it void. */
static void without_an_answer_an_entity_is_held_and_others_are_outside(
    void **state)
{
    struct marked_world world;
    struct marked_request request;

    (void)state;
    world_begin(&world, &entity);
    request_begin(&request, world.runtime, "1007");
    assert_int_equal(request_decide(&request), GRAY_MARKED_WAIT);
    request.marked.deadline = request.marked.since = 1;
    assert_int_equal(request_decide(&request), GRAY_MARKED_DECIDED);
    assert_false(request_in(&request));
    assert_int_equal(request.colour.hold, 1);
    assert_int_equal(event_count(world.runtime, GRAY_EVENT_HOLDS), 1);
    /* It comes late: then that is the answer of the next question. */
    writer_round(&world, world.runtime);
    request_ask(&request, world.runtime, "1007");
    assert_true(request_in(&request));
    marked_end(&world);

    world_begin(&world, &monotonic);
    request_begin(&request, world.runtime, "1007");
    assert_int_equal(request_decide(&request), GRAY_MARKED_WAIT);
    request.marked.deadline = request.marked.since = 1;
    assert_int_equal(request_decide(&request), GRAY_MARKED_DECIDED);
    assert_false(request_in(&request));
    assert_int_equal(request.colour.hold, 0);
    assert_int_equal(request_reason(&request), GRAY_REASON_NOT_DURABLE);
    marked_end(&world);
}

/* A stage that writes is baseline where nothing is known; here something is:
 * the mark may be made any moment. */
static void what_may_be_made_yet_is_held_whatever_on_unknown_says(void **state)
{
    struct marked_kind baseline = entity;
    struct marked_world world;
    struct marked_request request;
    struct gray_verdict verdict;

    (void)state;
    baseline.refuse = false;
    world_begin(&world, &baseline);
    request_begin(&request, world.runtime, "1007");
    assert_int_equal(request_decide(&request), GRAY_MARKED_WAIT);
    request.marked.deadline = request.marked.since = 1;
    assert_int_equal(request_decide(&request), GRAY_MARKED_DECIDED);
    assert_int_equal(request.colour.hold, 1);
    assert_int_equal(request_reason(&request), GRAY_REASON_MARK_HOLD);
    assert_int_equal(gray_release_marked(&request.marked, 0, &request.in,
                                         &verdict, NULL),
                     GRAY_MARKED_DECIDED);
    assert_int_equal(verdict.hold, 1);
    assert_int_equal(verdict.in, 0);
    /* But what is killed is baseline, and nobody asks. */
    word_set(&world, GRAY_WORD_KILLED);
    assert_int_equal(request_decide(&request), GRAY_MARKED_DECIDED);
    assert_int_equal(request.colour.hold, 0);
    marked_end(&world);
}

/* Asked, held, and asked again when grayd is silent: what the first record may
 * still become, the second request must not contradict. */
static void ask_again_of_a_silent_grayd(const struct marked_kind *kind)
{
    struct marked_world world;
    struct marked_request request;

    world_begin(&world, kind);
    request_begin(&request, world.runtime, "1007");
    assert_int_equal(request_decide(&request), GRAY_MARKED_WAIT);
    request.marked.deadline = request.marked.since = 1;
    assert_int_equal(request_decide(&request), GRAY_MARKED_DECIDED);
    assert_int_equal(request.colour.hold, 1);
    world.drained->beat -= GRAY_WRITER_DEAD_NS + 100000000;
    request_ask(&request, world.runtime, "1007");
    assert_int_equal(request.colour.hold, 1);
    /* Of another process it knows only that its beat ended lately. */
    world.runtime->asked_ns = 0;
    request_ask(&request, world.runtime, "1007");
    assert_int_equal(request.colour.hold, 1);
    writer_round(&world, world.runtime);
    request_ask(&request, world.runtime, "1007");
    assert_true(request_in(&request));
    /* So long that whatever was asked is too old by now. */
    world.drained->beat -= 2 * (uint64_t)GRAY_WRITER_DEAD_NS;
    request_ask(&request, world.runtime, "1008");
    assert_int_equal(request.colour.hold, 0);
    assert_int_equal(request_reason(&request), GRAY_REASON_MARKS_CLOSED);
    /* A full disk: it lives, and has what was asked just now. */
    writer_lives(&world, GRAY_WRITER_OK);
    request_begin(&request, world.runtime, "1009");
    assert_int_equal(request_decide(&request), GRAY_MARKED_WAIT);
    writer_lives(&world, GRAY_WRITER_FULL);
    request_ask(&request, world.runtime, "1008");
    assert_int_equal(request.colour.hold, 1);
    world.runtime->asked_ns -= INT64_C(2000000000);
    request_ask(&request, world.runtime, "1008");
    assert_int_equal(request_reason(&request), GRAY_REASON_MARKS_CLOSED);
    marked_end(&world);
}

static void who_asks_again_of_a_silent_grayd_is_held_until_it_cannot_be(
    void **state)
{
    struct marked_kind strict = entity;

    (void)state;
    ask_again_of_a_silent_grayd(&entity);
    strict.strict = true;
    ask_again_of_a_silent_grayd(&strict);
}

static void where_nobody_could_make_it_nobody_is_asked(void **state)
{
    struct marked_world world;
    struct marked_request request;

    (void)state;
    world_begin(&world, &monotonic);
    world.drained->beat -= 2 * (uint64_t)GRAY_WRITER_DEAD_NS;
    request_ask(&request, world.runtime, "1007");
    assert_false(request_in(&request));
    assert_int_equal(request_reason(&request), GRAY_REASON_MARKS_CLOSED);
    /* There never was one: by the share, as everywhere in this folder. */
    world.drained->beat = 0;
    request_ask(&request, world.runtime, "1007");
    assert_true(request_in(&request));
    assert_int_equal(request_reason(&request), GRAY_REASON_SHARE);
    assert_int_equal(event_count(world.runtime, GRAY_EVENT_MARKS_UNKEPT), 1);
    assert_int_equal(gray_ring_head(world.runtime), 0);
    marked_end(&world);

    marked_begin(&world, &entity, GRAY_READER_LIBRARY);
    request_ask(&request, world.runtime, "1007");
    assert_false(request_in(&request));
    assert_int_equal(request_reason(&request), GRAY_REASON_MARKS_CLOSED);
    marked_end(&world);
}

/* One answer by whoever is asked: gateways let in by the share alone here. */
static void where_the_table_is_full_the_share_decides_as_at_the_gateway(
    void **state)
{
    struct marked_world world;
    struct marked_request request;

    (void)state;
    world_begin(&world, &monotonic);
    world.tables.table.live->used = gray_mark_table_room(&world.tables.table);
    request_ask(&request, world.runtime, "1007");
    assert_true(request_in(&request));
    assert_int_equal(request_reason(&request), GRAY_REASON_SHARE);
    assert_int_equal(event_count(world.runtime, GRAY_EVENT_MARKS_UNKEPT), 1);
    assert_int_equal(gray_ring_head(world.runtime), 0);
    marked_end(&world);
    world_begin(&world, &entity);
    world.tables.table.live->used = gray_mark_table_room(&world.tables.table);
    request_ask(&request, world.runtime, "1007");
    assert_false(request_in(&request));
    assert_int_equal(request_reason(&request), GRAY_REASON_MARKS_CLOSED);
    marked_end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grayd_makes_the_mark_that_it_is_asked_for),
        cmocka_unit_test(what_grayd_will_not_make_admits_nobody),
        cmocka_unit_test(who_asks_obeys_whom_grayd_found_there),
        cmocka_unit_test(
            without_an_answer_an_entity_is_held_and_others_are_outside),
        cmocka_unit_test(
            what_may_be_made_yet_is_held_whatever_on_unknown_says),
        cmocka_unit_test(
            who_asks_again_of_a_silent_grayd_is_held_until_it_cannot_be),
        cmocka_unit_test(where_nobody_could_make_it_nobody_is_asked),
        cmocka_unit_test(
            where_the_table_is_full_the_share_decides_as_at_the_gateway),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
