/* SPDX-License-Identifier: Apache-2.0
 * test_turn.c - a policy lies ready and turns at its instant, never back.
 *
 * Why: the instant is one of the wall clock, which people and daemons move;
 * publishers may be dead by then; readers come and go meanwhile.  All of it is
 * tried here with a clock of our own.
 * Read next: runtime/turn.c, runtime/next.c, runtime/load.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/runtime/clocked.h"
#include "tests/runtime/folder.h"

#define HOUR_MS 3600000
#define SOON (CLOCKED_NOON + 10000)

/* A folder at 0 %, and a reader that has it. */
struct world {
    char path[64];
    struct gray_runtime *runtime;
};

static struct gray_runtime *reader(const char *path)
{
    struct gray_problem problem = { NULL, "", 0 };
    struct gray_runtime *runtime;

    assert_int_equal(gray_runtime_open(&runtime, path, GRAY_READER_NGINX, true,
                                       &problem),
                     0);
    return runtime;
}

static int world_make(void **state)
{
    struct world *world = calloc(1, sizeof(*world));

    clocked_begin();
    folder_new(world->path);
    shop_publish(world->path, "0", 1);
    world->runtime = reader(world->path);
    *state = world;
    return 0;
}

static int world_end(void **state)
{
    struct world *world = *state;

    gray_runtime_close(world->runtime);
    folder_remove(world->path);
    free(world);
    return 0;
}

static int take(struct gray_runtime *runtime)
{
    struct gray_runtime_set *set;
    int error = gray_runtime_load(runtime, &set, NULL);

    gray_runtime_swap(runtime, set);
    return error;
}

static struct gray_reader_status status_of(const struct world *world, size_t i)
{
    struct gray_reader_status status;
    struct gray_totals totals;

    assert_int_equal(gray_totals_read(world->path, &totals, NULL), 0);
    assert_true(totals.reader_count > i);
    status = totals.readers[i];
    gray_totals_free(&totals);
    return status;
}

static uint64_t event_count(const struct world *world, enum gray_event event)
{
    struct gray_totals totals;
    uint64_t count;

    assert_int_equal(gray_totals_read(world->path, &totals, NULL), 0);
    count = totals.events[event];
    gray_totals_free(&totals);
    return count;
}

static struct gray_named named(const struct world *world)
{
    struct gray_folder folder;
    struct gray_named now;

    assert_int_equal(gray_folder_open(&folder, world->path, false, NULL), 0);
    gray_folder_named(&folder, gray_wall_ms(), &now);
    gray_folder_close(&folder);
    return now;
}

static void what_waits_lies_ready_and_turns_at_its_instant(void **state)
{
    struct world *world = *state;
    struct gray_runtime *runtime = world->runtime;
    struct gray_published done =
        shop_publish_at(world->path, "100", 2, SOON, 250);

    assert_int_equal(done.policy_generation, 1);
    assert_int_equal(done.next_generation, 2);
    assert_true(gray_runtime_stale(runtime));
    assert_int_equal(take(runtime), 0);
    assert_false(gray_runtime_stale(runtime));
    assert_true(gray_runtime_on_clock(runtime));
    assert_int_equal(gray_runtime_turn_at(runtime), SOON);
    assert_int_equal(status_of(world, 0).policy_generation, 1);
    assert_int_equal(status_of(world, 0).next_generation, 2);
    assert_int_equal(named(world).policy, 1);
    assert_int_equal(named(world).next, 2);
    assert_int_equal(named(world).next_at, SOON);
    assert_int_equal(named(world).next_skew, 250);

    clocked_pass(9999);
    assert_false(gray_runtime_clock(runtime));
    assert_int_equal(view_admits(runtime, "somebody"), 0);
    clocked_pass(1);
    assert_true(gray_runtime_clock(runtime));
    assert_false(gray_runtime_clock(runtime));
    assert_int_equal(view_admits(runtime, "somebody"), 1);
    assert_int_equal(runtime->set->fleet->generation, 2);
    assert_int_equal(gray_runtime_turn_at(runtime), 0);
    assert_int_equal(status_of(world, 0).policy_generation, 2);
    assert_int_equal(status_of(world, 0).next_generation, 0);
    assert_int_equal(status_of(world, 0).late_ms, 0);
    /* With no publisher there, `control` is as it was. */
    assert_int_equal(runtime->control->policy_generation, 1);
    assert_int_equal(named(world).policy, 2);
    assert_int_equal(named(world).fleet, 2);
    assert_int_equal(named(world).next, 0);
    assert_false(gray_runtime_stale(runtime));
    assert_int_equal(take(runtime), 0);
    assert_null(gray_runtime_refusal(runtime)->code);
}

static void who_starts_before_waits_and_who_starts_after_does_not(void **state)
{
    struct world *world = *state;
    struct gray_runtime *second;

    shop_publish_at(world->path, "100", 2, SOON, 0);
    second = reader(world->path);
    assert_int_equal(view_admits(second, "somebody"), 0);
    assert_int_equal(gray_runtime_turn_at(second), SOON);
    gray_runtime_close(second);
    clocked_pass(HOUR_MS);
    second = reader(world->path);
    assert_int_equal(view_admits(second, "somebody"), 1);
    assert_int_equal(status_of(world, 1).late_ms, 0); /* it was not there */
    gray_runtime_close(second);
}

static void who_gets_it_late_turns_at_once_and_says_so(void **state)
{
    struct world *world = *state;

    shop_publish_at(world->path, "100", 2, SOON, 2500);
    clocked_pass(12500);
    assert_int_equal(take(world->runtime), 0);
    assert_int_equal(view_admits(world->runtime, "somebody"), 1);
    assert_int_equal(status_of(world, 0).late_ms, 2500);
    assert_int_equal(event_count(world, GRAY_EVENT_TURNED_LATE), 0);
    /* Published late altogether, as an agent that was cut off does. */
    shop_publish_at(world->path, "50", 3, CLOCKED_NOON, 2500);
    assert_int_equal(named(world).policy, 3);
    assert_int_equal(take(world->runtime), 0);
    assert_int_equal(status_of(world, 0).late_ms, 12500);
    assert_int_equal(event_count(world, GRAY_EVENT_TURNED_LATE), 1);
    shop_publish(world->path, "0", 4);
    assert_int_equal(take(world->runtime), 0);
    assert_int_equal(status_of(world, 0).late_ms, 0);
}

static void the_newest_publication_counts(void **state)
{
    struct world *world = *state;
    struct gray_published done;

    shop_publish_at(world->path, "100", 2, SOON, 0);
    assert_int_equal(take(world->runtime), 0);
    done = shop_publish_at(world->path, "100", 3, SOON + 5000, 0);
    assert_int_equal(done.dropped, 2);
    assert_int_equal(done.next_generation, 3);
    assert_false(file_exists(world->path, "policy.2.snap"));
    assert_false(file_exists(world->path, "fleet.2.snap"));
    clocked_pass(10000);
    assert_int_equal(take(world->runtime), 0);
    assert_int_equal(gray_runtime_turn_at(world->runtime), SOON + 5000);
    assert_int_equal(view_admits(world->runtime, "somebody"), 0);
    /* At once: what waits would take this back when it turned. */
    done = shop_publish_at(world->path, "0", 4, 0, 0);
    assert_int_equal(done.dropped, 3);
    assert_int_equal(done.policy_generation, 4);
    assert_int_equal(done.next_generation, 0);
    assert_false(file_exists(world->path, "policy.3.snap"));
    assert_true(file_exists(world->path, "fleet.4.snap"));
    clocked_pass(10000);
    assert_false(gray_runtime_clock(world->runtime)); /* not loaded yet */
    assert_int_equal(take(world->runtime), 0);
    assert_int_equal(view_admits(world->runtime, "somebody"), 0);
    assert_int_equal(status_of(world, 0).policy_generation, 4);
    assert_null(gray_runtime_refusal(world->runtime)->code);
}

/* Who turned stays turned, and tells who starts meanwhile. */
static void a_clock_that_is_put_back_turns_nobody_back(void **state)
{
    struct world *world = *state;
    struct gray_runtime *second;
    struct gray_folder folder;

    shop_publish_at(world->path, "100", 2, SOON, 0);
    assert_int_equal(take(world->runtime), 0);
    clocked_pass(10000);
    assert_true(gray_runtime_clock(world->runtime));
    clocked_wall_ms -= HOUR_MS;
    assert_int_equal(named(world).policy, 2);
    assert_int_equal(gray_keys_rotate(world->path, (gid_t)-1, NULL), 0);
    assert_int_equal(take(world->runtime), 0);
    assert_int_equal(view_admits(world->runtime, "somebody"), 1);
    assert_null(gray_runtime_refusal(world->runtime)->code);
    second = reader(world->path);
    assert_int_equal(view_admits(second, "somebody"), 1);
    gray_runtime_close(second);
    /* And the next publisher writes it down before it publishes. */
    shop_publish_at(world->path, "0", 3, clocked_wall_ms + 5000, 0);
    assert_int_equal(gray_folder_open(&folder, world->path, false, NULL), 0);
    assert_int_equal(folder.control->policy_generation, 2);
    assert_int_equal(folder.control->next_generation, 3);
    gray_folder_close(&folder);
}

static void before_the_instant_the_clock_is_believed(void **state)
{
    struct world *world = *state;

    shop_publish_at(world->path, "100", 2, SOON, 1000);
    assert_int_equal(take(world->runtime), 0);
    clocked_wall_ms -= HOUR_MS;
    clocked_pass(15000);
    assert_false(gray_runtime_clock(world->runtime));
    assert_int_equal(view_admits(world->runtime, "somebody"), 0);
    clocked_wall_ms += 2 * HOUR_MS;
    assert_true(gray_runtime_clock(world->runtime));
    assert_int_equal(view_admits(world->runtime, "somebody"), 1);
    /* It says what its clock said. */
    assert_int_equal(status_of(world, 0).late_ms, HOUR_MS + 5000);
    assert_int_equal(event_count(world, GRAY_EVENT_TURNED_LATE), 1);
}

static void the_next_publisher_writes_it_down(void **state)
{
    struct world *world = *state;
    struct gray_publish nothing = { .group = (gid_t)-1 };
    struct gray_published done;

    shop_publish_at(world->path, "100", 2, SOON, 0);
    assert_int_equal(gray_publish(world->path, &nothing, &done, NULL), 0);
    assert_int_equal(done.policy_generation, 1);
    clocked_pass(10000);
    assert_int_equal(gray_publish(world->path, &nothing, &done, NULL), 0);
    assert_int_equal(done.policy_generation, 2);
    assert_int_equal(done.fleet_generation, 2);
    assert_int_equal(world->runtime->control->next_generation, 0);
    assert_int_equal(take(world->runtime), 0);
    assert_int_equal(view_admits(world->runtime, "somebody"), 1);
    /* The one before is a good one to go back to, and what waits is none. */
    shop_publish_at(world->path, "0", 3, SOON + HOUR_MS, 0);
    shop_publish_at(world->path, "0", 4, SOON + HOUR_MS, 0);
    shop_publish_at(world->path, "0", 5, SOON + HOUR_MS, 0);
    assert_true(file_exists(world->path, "policy.1.snap"));
    assert_true(file_exists(world->path, "policy.2.snap"));
    assert_true(file_exists(world->path, "policy.5.snap"));
    assert_int_equal(files_ending(world->path, ".new"), 0);
}

static void a_bad_one_that_waits_is_refused_and_never_turned_to(void **state)
{
    struct world *world = *state;
    uint8_t *bytes;
    size_t size;

    shop_publish_at(world->path, "100", 2, SOON, 0);
    bytes = file_bytes(world->path, "policy.2.snap", &size);
    bytes[size / 2] ^= 1;
    file_replace(world->path, "policy.2.snap", bytes, size);
    free(bytes);
    take(world->runtime);
    assert_string_equal(gray_runtime_refusal(world->runtime)->code,
                        "bad-checksum");
    assert_int_equal(gray_runtime_turn_at(world->runtime), 0);
    clocked_pass(20000);
    assert_false(gray_runtime_clock(world->runtime));
    assert_int_equal(view_admits(world->runtime, "somebody"), 0);
    assert_non_null(strstr(status_of(world, 0).refusal, "bad-checksum"));
}

/* A killed publisher between its stores: either state is whole. */
static void what_was_overtaken_is_cleared_away(void **state)
{
    struct world *world = *state;
    struct gray_folder folder;
    size_t size;
    void *bytes;

    shop_publish_at(world->path, "100", 2, SOON, 0);
    bytes = file_bytes(world->path, "policy.2.snap", &size);
    shop_publish(world->path, "0", 3);
    file_replace(world->path, "policy.2.snap", bytes, size);
    free(bytes);
    assert_int_equal(gray_folder_open(&folder, world->path, true, NULL), 0);
    folder.control->next_generation = 2;
    assert_int_equal(named(world).next, 0);
    clocked_pass(20000);
    assert_int_equal(named(world).policy, 3);
    take(world->runtime);
    assert_int_equal(view_admits(world->runtime, "somebody"), 0);
    shop_publish(world->path, "0", 4);
    assert_int_equal(folder.control->next_generation, 0);
    assert_false(file_exists(world->path, "policy.2.snap"));
    gray_folder_close(&folder);
}

static void words_do_not_wait(void **state)
{
    struct world *world = *state;
    struct gray_folder folder;

    shop_publish(world->path, "100", 2);
    assert_int_equal(take(world->runtime), 0);
    shop_publish_at(world->path, "100", 3, SOON, 0);
    assert_int_equal(take(world->runtime), 0);
    assert_int_equal(view_admits(world->runtime, "somebody"), 1);
    assert_int_equal(gray_folder_open(&folder, world->path, true, NULL), 0);
    assert_int_equal(gray_word_set(&folder, gray_hash_scope("cart-2", 6),
                                   GRAY_WORD_KILLED, NULL, NULL),
                     0);
    gray_folder_close(&folder);
    assert_int_equal(view_admits(world->runtime, "somebody"), 0);
    clocked_pass(10000);
    assert_true(gray_runtime_clock(world->runtime));
    assert_int_equal(view_admits(world->runtime, "somebody"), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_make, world_end)
    const struct CMUnitTest tests[] = {
        TEST(what_waits_lies_ready_and_turns_at_its_instant),
        TEST(who_starts_before_waits_and_who_starts_after_does_not),
        TEST(who_gets_it_late_turns_at_once_and_says_so),
        TEST(the_newest_publication_counts),
        TEST(a_clock_that_is_put_back_turns_nobody_back),
        TEST(before_the_instant_the_clock_is_believed),
        TEST(the_next_publisher_writes_it_down),
        TEST(a_bad_one_that_waits_is_refused_and_never_turned_to),
        TEST(what_was_overtaken_is_cleared_away),
        TEST(words_do_not_wait),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
