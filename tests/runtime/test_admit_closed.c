/* SPDX-License-Identifier: Apache-2.0
 * test_admit_closed.c - what cannot be marked admits nobody; who is in is served.
 *
 * Why: a dead writer, a full disk, a full ring, a full table, a lease that ran
 * out and a table that is not there must each stop exactly those who would be
 * new, and no one else.
 * Read next: runtime/mark_ask.c (runtime_marked_closed), admit.c.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/runtime/hooks.h"
#include "tests/runtime/marked.h"

static struct marked_world *here;
static const struct marked_kind monotonic = { 0 };
static const struct marked_kind entity = { .stickiness = "entity",
                                           .lease = true };
static const struct marked_kind strict = { .strict = true };

static void world_begin(struct marked_world *world,
                        const struct marked_kind *kind)
{
    marked_begin(world, kind, GRAY_READER_NGINX);
    writer_lives(world, GRAY_WRITER_OK);
    hooks_clear();
    here = world;
}

static void must_be(const char *unit, bool in, enum gray_reason reason)
{
    struct marked_request request;

    request_ask(&request, here->runtime, unit);
    if (request_in(&request) != in || request_reason(&request) != reason) {
        fail_msg("%s: %s, %s", unit, request_in(&request) ? "in" : "out",
                 gray_reason_code(request_reason(&request)));
    }
    assert_int_equal(request.colour.hold, 0);
}

/* Lets "old" in while everything is well. */
static void let_in_old(void)
{
    struct marked_request request;

    request_begin(&request, here->runtime, "old");
    request_decide(&request);
    writer_round(here, here->runtime);
    must_be("old", true, GRAY_REASON_MARK);
}

static void kill_writer(void)
{
    here->drained->beat -= 2 * (uint64_t)GRAY_WRITER_DEAD_NS;
}

/* Until not even the shortest unit fits. */
static void fill_ring(void)
{
    struct gray_ring_record record = { .kind = GRAY_RING_MARKED,
                                       .state = GRAY_SLOT_IN,
                                       .scope = MARKED_SCOPE };

    for (uint32_t length = 1024; length > 0; length /= 2) {
        char unit[1024] = "";

        while (gray_ring_push(here->runtime, &record,
                              (struct gray_str){ unit, length }) == 0) {
        }
    }
}

static void fill_table(void)
{
    here->tables.table.live->used = gray_mark_table_room(&here->tables.table);
}

static void without_a_writer_strict_admits_nobody(void **state)
{
    struct marked_world world;

    (void)state;
    world_begin(&world, &strict);
    let_in_old();
    kill_writer();
    must_be("new", false, GRAY_REASON_MARKS_CLOSED);
    must_be("old", true, GRAY_REASON_MARK);
    writer_lives(&world, GRAY_WRITER_FULL);
    must_be("new", false, GRAY_REASON_MARKS_CLOSED);
    writer_lives(&world, GRAY_WRITER_FAILED);
    must_be("new", false, GRAY_REASON_MARKS_CLOSED);
    must_be("old", true, GRAY_REASON_MARK);
    world.drained->beat = 0; /* and where there never was one */
    must_be("new", false, GRAY_REASON_MARKS_CLOSED);
    assert_int_equal(slot_of(&world, "new"), 0);
    assert_int_equal(event_count(world.runtime, GRAY_EVENT_MARKS_CLOSED), 4);
    assert_int_equal(writer_round(&world, world.runtime), 0);
    writer_lives(&world, GRAY_WRITER_OK);
    let_in_old();
    marked_end(&world);
}

/* Another host may have been first: only the writer knows. */
static void what_hosts_share_waits_and_closes_like_strict(void **state)
{
    static const struct marked_kind shared = { .shared = true };
    struct marked_request request;
    struct marked_world world;

    (void)state;
    world_begin(&world, &shared);
    request_begin(&request, world.runtime, "old");
    assert_int_equal(request_decide(&request), GRAY_MARKED_WAIT);
    assert_int_equal(gray_slot_state(slot_of(&world, "old")),
                     GRAY_SLOT_PENDING);
    writer_round(&world, world.runtime);
    assert_int_equal(request_decide(&request), GRAY_MARKED_DECIDED);
    assert_true(request_in(&request));
    kill_writer();
    must_be("new", false, GRAY_REASON_MARKS_CLOSED);
    must_be("old", true, GRAY_REASON_MARK);
    marked_end(&world);
}

static void without_a_writer_async_goes_on_and_keeps_its_records(void **state)
{
    struct marked_world world;

    (void)state;
    world_begin(&world, &monotonic);
    kill_writer();
    must_be("new", true, GRAY_REASON_SHARE);
    must_be("new", true, GRAY_REASON_MARK);
    assert_int_equal(writer_round(&world, world.runtime), 1);
    assert_true(slot_of(&world, "new") & GRAY_SLOT_DURABLE);
    marked_end(&world);
}

/* `gray publish` alone: marks live as long as the folder, and nothing piles up
 * in a ring that nobody takes. */
static void a_folder_without_grayd_has_marks_and_no_records(void **state)
{
    struct marked_world world;

    (void)state;
    marked_begin(&world, &entity, GRAY_READER_NGINX);
    here = &world;
    must_be("new", true, GRAY_REASON_SHARE);
    must_be("new", true, GRAY_REASON_MARK);
    assert_int_equal(gray_ring_head(world.runtime), 0);
    marked_end(&world);
}

static void a_full_ring_closes_strict_and_async_goes_on_unrecorded(void **state)
{
    struct marked_world world;

    (void)state;
    world_begin(&world, &strict);
    let_in_old();
    fill_ring();
    must_be("new", false, GRAY_REASON_MARKS_CLOSED);
    must_be("old", true, GRAY_REASON_MARK);
    assert_int_equal(slot_of(&world, "new"), 0);
    marked_end(&world);

    world_begin(&world, &monotonic);
    fill_ring();
    must_be("new", true, GRAY_REASON_SHARE);
    must_be("new", true, GRAY_REASON_MARK);
    assert_int_equal(event_count(world.runtime, GRAY_EVENT_MARKS_UNKEPT), 1);
    marked_end(&world);
}

static void a_full_table_closes_entities_and_lets_monotonic_in_unmarked(
    void **state)
{
    struct marked_world world;

    (void)state;
    world_begin(&world, &entity);
    let_in_old();
    fill_table();
    must_be("new", false, GRAY_REASON_MARKS_CLOSED);
    must_be("old", true, GRAY_REASON_MARK);
    assert_int_equal(writer_round(&world, world.runtime), 0);
    marked_end(&world);

    world_begin(&world, &monotonic);
    fill_table();
    must_be("new", true, GRAY_REASON_SHARE);
    must_be("new", true, GRAY_REASON_SHARE);
    assert_int_equal(slot_of(&world, "new"), 0);
    assert_int_equal(event_count(world.runtime, GRAY_EVENT_MARKS_UNKEPT), 2);
    marked_end(&world);
}

/* Full between the look and the take: the record is written, but no slot says
 * the same, so it is nothing. */
static void a_table_that_fills_in_between_closes_an_entity(void **state)
{
    struct marked_world world;

    (void)state;
    world_begin(&world, &entity);
    before_take = fill_table;
    must_be("new", false, GRAY_REASON_MARKS_CLOSED);
    assert_int_equal(slot_of(&world, "new"), 0);
    marked_end(&world);
}

/* ---- the lease ------------------------------------------------------------------ */

static void lease_ends(void)
{
    __atomic_store_n(&here->folder.control->lease_deadline, 1,
                     __ATOMIC_RELEASE);
}

static void when_the_lease_is_over_nobody_new_comes_in(void **state)
{
    struct marked_kind none = entity;
    struct marked_world world;

    (void)state;
    world_begin(&world, &entity);
    let_in_old();
    lease_ends();
    must_be("new", false, GRAY_REASON_LEASE_OVER);
    must_be("old", true, GRAY_REASON_MARK);
    assert_int_equal(slot_of(&world, "new"), 0); /* it was told nothing yet */
    world.folder.control->lease_deadline = 0; /* none was ever given */
    must_be("new", false, GRAY_REASON_LEASE_OVER);
    /* Who is told out needs no lease. */
    none.share = "0";
    marked_publish(&world, &none);
    must_be("other", false, GRAY_REASON_OUT_OF_SHARE);
    assert_int_equal(gray_slot_state(slot_of(&world, "other")), GRAY_SLOT_OUT);
    marked_end(&world);

    world_begin(&world, &monotonic); /* this one has none */
    lease_ends();
    must_be("new", true, GRAY_REASON_SHARE);
    marked_end(&world);
}

static void a_lease_that_ends_before_the_answer_makes_it_void(void **state)
{
    struct marked_world world;

    (void)state;
    world_begin(&world, &entity);
    after_take = lease_ends;
    must_be("new", false, GRAY_REASON_LEASE_OVER);
    assert_int_equal(slot_of(&world, "new"), 0);
    marked_end(&world);
}

/* ---- unknown --------------------------------------------------------------------- */

static void what_is_not_known_never_writes_and_never_admits(void **state)
{
    struct marked_kind refuse = entity;
    struct marked_world world;
    struct marked_request request;
    struct gray_marks *marks;

    (void)state;
    refuse.refuse = true;
    world_begin(&world, &refuse);
    let_in_old();
    gray_mark_table_state_set(&world.tables.table, GRAY_TABLE_REBUILDING);
    request_ask(&request, world.runtime, "old");
    assert_false(request_in(&request));
    assert_int_equal(request.colour.hold, 1);
    request_ask(&request, world.runtime, "new");
    assert_int_equal(request.colour.hold, 1);
    gray_mark_table_state_set(&world.tables.table, GRAY_TABLE_READY);
    assert_int_equal(slot_of(&world, "new"), 0);
    must_be("old", true, GRAY_REASON_MARK);
    /* No table at all is the same. */
    marks = world.runtime->set->marks;
    marks[0].table = (struct gray_mark_table){ 0 };
    request_ask(&request, world.runtime, "old");
    assert_int_equal(request.colour.hold, 1);
    assert_int_equal(writer_round(&world, world.runtime), 0);
    marked_end(&world);
}

static void rebuild(void)
{
    gray_mark_table_state_set(&here->tables.table, GRAY_TABLE_REBUILDING);
}

static void a_table_that_becomes_unknown_in_between_admits_nobody(void **state)
{
    struct marked_world world;

    (void)state;
    world_begin(&world, &monotonic);
    before_take = rebuild;
    must_be("new", false, GRAY_REASON_MARK_UNKNOWN);
    marked_end(&world);
}

/* ---- explain ---------------------------------------------------------------------- */

static void who_only_looks_is_told_what_would_be_and_leaves_nothing(void **state)
{
    struct marked_world world;
    struct marked_request request;
    struct gray_runtime *command;

    (void)state;
    world_begin(&world, &strict);
    let_in_old();
    command = marked_reader(&world, GRAY_READER_CLI);
    request_begin(&request, command, "old");
    request.marked.read_only = true;
    assert_int_equal(request_decide(&request), GRAY_MARKED_DECIDED);
    assert_int_equal(request_reason(&request), GRAY_REASON_MARK);
    request_begin(&request, command, "new");
    request.marked.read_only = true;
    assert_int_equal(request_decide(&request), GRAY_MARKED_DECIDED);
    assert_int_equal(request_reason(&request), GRAY_REASON_SHARE);
    /* Not even with the means to do so. */
    request_begin(&request, world.runtime, "new");
    request.marked.read_only = true;
    assert_int_equal(request_decide(&request), GRAY_MARKED_DECIDED);
    assert_int_equal(request_reason(&request), GRAY_REASON_SHARE);
    assert_int_equal(slot_of(&world, "new"), 0);
    slot_put(&world, "busy", GRAY_SLOT_PENDING);
    request_begin(&request, command, "busy");
    request.marked.read_only = true;
    assert_int_equal(request_decide(&request), GRAY_MARKED_DECIDED);
    assert_int_equal(request_reason(&request), GRAY_REASON_MARK_PENDING);
    kill_writer();
    request_begin(&request, command, "new");
    request.marked.read_only = true;
    assert_int_equal(request_decide(&request), GRAY_MARKED_DECIDED);
    assert_false(request_in(&request));
    assert_int_equal(request_reason(&request), GRAY_REASON_MARKS_CLOSED);
    assert_int_equal(slot_of(&world, "new"), 0);
    gray_runtime_close(command);
    marked_end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_writer_strict_admits_nobody),
        cmocka_unit_test(what_hosts_share_waits_and_closes_like_strict),
        cmocka_unit_test(without_a_writer_async_goes_on_and_keeps_its_records),
        cmocka_unit_test(a_folder_without_grayd_has_marks_and_no_records),
        cmocka_unit_test(
            a_full_ring_closes_strict_and_async_goes_on_unrecorded),
        cmocka_unit_test(
            a_full_table_closes_entities_and_lets_monotonic_in_unmarked),
        cmocka_unit_test(a_table_that_fills_in_between_closes_an_entity),
        cmocka_unit_test(when_the_lease_is_over_nobody_new_comes_in),
        cmocka_unit_test(a_lease_that_ends_before_the_answer_makes_it_void),
        cmocka_unit_test(what_is_not_known_never_writes_and_never_admits),
        cmocka_unit_test(a_table_that_becomes_unknown_in_between_admits_nobody),
        cmocka_unit_test(
            who_only_looks_is_told_what_would_be_and_leaves_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
