/* SPDX-License-Identifier: Apache-2.0
 * test_trial.c - a policy that crashes readers twice is passed over by whoever
 * starts, and nothing else is.
 *
 * Why: the files of the dead are all that is left to go by, and a false alarm
 * takes a release back on one host of a fleet.  Readers here are children that
 * end as the test says; thirty seconds pass on a clock of our own.
 * Read next: runtime/trial.c, runtime/witness.c.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/witness.h"
#include "tests/runtime/clocked.h"
#include "tests/runtime/folder.h"

/* A folder at 0 % that everybody has lived through, and 100 % after it. */
struct world {
    char path[64];
};

static struct gray_runtime *reader(const struct world *world,
                                   enum gray_reader_kind kind)
{
    struct gray_problem problem = { NULL, "", 0 };
    struct gray_runtime *runtime;

    assert_int_equal(gray_runtime_open(&runtime, world->path, kind, true,
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
    shop_publish(world->path, "100", 2);
    *state = world;
    return 0;
}

static int world_end(void **state)
{
    struct world *world = *state;

    folder_remove(world->path);
    free(world);
    return 0;
}

/* How a reader ends, so many ms after it took what is in force. */
enum end { SEGV, BUSY, KILL, CLOSE, ASKING, IDLE };
static void reader_ends(const struct world *world, int64_t after, enum end end)
{
    pid_t child = fork();
    int status;

    if (child == 0) {
        struct gray_runtime *runtime = reader(
            world, end >= ASKING ? GRAY_READER_LIBRARY : GRAY_READER_NGINX);

        clocked_pass(after);
        if (end != IDLE && end != BUSY) { /* too busy to look at the clock */
            gray_runtime_clock(runtime);
        }
        if (end == SEGV || end == BUSY) {
            gray_runtime_crashed(runtime, SIGSEGV);
        } else if (end == CLOSE) {
            gray_runtime_close(runtime);
        } else if (end == ASKING) {
            runtime->slot.file->inside[3].threads = 1;
        }
        kill(getpid(), SIGKILL);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    clocked_pass(after);
}

/* Share that who starts now decides by. */
static int share_at_start(const struct world *world, bool *ret_avoided)
{
    struct gray_runtime *runtime = reader(world, GRAY_READER_NGINX);
    const char *code = gray_runtime_refusal(runtime)->code;
    int share = view_admits(runtime, "somebody") == 1 ? 100 : 0;

    *ret_avoided = code != NULL && strcmp(code, "crashes-readers") == 0;
    gray_runtime_close(runtime);
    return share;
}

static void is_taken(const struct world *world)
{
    bool avoided;

    assert_int_equal(share_at_start(world, &avoided), 100);
    assert_false(avoided);
}

static void is_passed_over(const struct world *world)
{
    bool avoided;

    assert_int_equal(share_at_start(world, &avoided), 0);
    assert_true(avoided);
}

static struct gray_crashes crashes(const struct world *world,
                                   uint64_t generation)
{
    struct gray_crashes found;
    struct gray_folder folder;

    assert_int_equal(gray_folder_open(&folder, world->path, false, NULL), 0);
    gray_folder_crashes(&folder, generation, &found);
    gray_folder_close(&folder);
    return found;
}

static void two_crashes_soon_after_the_turn_are_enough(void **state)
{
    struct world *world = *state;
    struct gray_totals totals;

    reader_ends(world, 1000, SEGV);
    is_taken(world);
    assert_int_equal(crashes(world, 2).count, 1);
    assert_false(crashes(world, 2).blocked);
    reader_ends(world, 29000, SEGV);
    is_passed_over(world);
    assert_int_equal(crashes(world, 2).count, 2);
    assert_int_equal(crashes(world, 2).signal, SIGSEGV);
    assert_true(crashes(world, 2).pid > 0);
    assert_true(crashes(world, 2).blocked);
    assert_false(crashes(world, 1).blocked);
    assert_int_equal(gray_totals_read(world->path, &totals, NULL), 0);
    assert_int_equal(totals.events[GRAY_EVENT_SNAPSHOT_AVOIDED], 1);
    assert_non_null(strstr(totals.readers[0].refusal, "gray unblock"));
    assert_int_equal(totals.readers[0].policy_generation, 1);
    gray_totals_free(&totals);
    /* A new one is a new one. */
    shop_publish(world->path, "100", 3);
    is_taken(world);
}

static void crashes_later_than_thirty_seconds_do_not_count(void **state)
{
    struct world *world = *state;

    reader_ends(world, 30001, SEGV);
    reader_ends(world, 30001, SEGV);
    reader_ends(world, 30001, BUSY);
    reader_ends(world, 30001, BUSY);
    assert_int_equal(crashes(world, 2).count, 0);
    is_taken(world);
}

static void crashes_far_apart_do_not_add_up(void **state)
{
    struct world *world = *state;

    reader_ends(world, 1000, SEGV);
    clocked_pass(GRAY_CRASHES_APART_MS);
    reader_ends(world, 1000, SEGV);
    assert_int_equal(crashes(world, 2).count, 2);
    is_taken(world);
    reader_ends(world, 1000, SEGV); /* near the second one */
    is_passed_over(world);
}

/* What a reader lived through before anybody crashed is not to blame. */
static void what_was_proven_stays(void **state)
{
    struct world *world = *state;

    reader_ends(world, 30001, CLOSE);
    reader_ends(world, 1000, SEGV);
    reader_ends(world, 1000, SEGV);
    assert_int_equal(crashes(world, 2).count, 2);
    is_taken(world);
}

/* Not every reader meets the request that kills. */
static void a_reader_that_lives_saves_nobody_after_the_first_crash(void **state)
{
    struct world *world = *state;
    struct gray_runtime *lives = reader(world, GRAY_READER_NGINX);

    clocked_pass(20000);
    reader_ends(world, 1000, SEGV);
    clocked_pass(15000);
    assert_false(gray_runtime_clock(lives));
    assert_int_equal(lives->slot.file->proven, 2);
    assert_false(gray_runtime_on_clock(lives));
    reader_ends(world, 1000, SEGV);
    is_passed_over(world);
    assert_int_equal(view_admits(lives, "somebody"), 1); /* it stays */
    gray_runtime_close(lives);
}

static void an_end_and_a_kill_are_no_crash(void **state)
{
    struct world *world = *state;

    reader_ends(world, 1000, CLOSE);
    reader_ends(world, 1000, CLOSE);
    reader_ends(world, 1000, KILL);
    reader_ends(world, 1000, KILL);
    assert_int_equal(crashes(world, 2).count, 0);
    is_taken(world);
}

static void an_application_counts_when_it_died_asking(void **state)
{
    struct world *world = *state;

    reader_ends(world, 1000, IDLE);
    reader_ends(world, 1000, IDLE);
    is_taken(world);
    reader_ends(world, 1000, ASKING); /* nobody took its file over */
    assert_int_equal(crashes(world, 2).count, 1);
    reader_ends(world, 1000, ASKING); /* it did, and left its own */
    assert_int_equal(crashes(world, 2).count, 2);
    is_passed_over(world);
}

static void a_person_may_say_that_it_is_not_to_blame(void **state)
{
    struct world *world = *state;
    struct gray_runtime *runtime;
    struct gray_folder folder;
    struct gray_runtime_set *set;

    reader_ends(world, 1000, SEGV);
    reader_ends(world, 1000, SEGV);
    runtime = reader(world, GRAY_READER_NGINX);
    assert_int_equal(view_admits(runtime, "somebody"), 0);
    /* Whatever is loaded meanwhile, it is passed over. */
    assert_int_equal(gray_keys_rotate(world->path, (gid_t)-1, NULL), 0);
    gray_runtime_load(runtime, &set, NULL);
    gray_runtime_swap(runtime, set);
    assert_int_equal(view_admits(runtime, "somebody"), 0);
    assert_false(gray_runtime_stale(runtime));
    assert_int_equal(gray_folder_open(&folder, world->path, true, NULL), 0);
    gray_crashes_accept(&folder, 2);
    gray_folder_close(&folder);
    assert_true(gray_runtime_stale(runtime));
    assert_int_equal(gray_runtime_load(runtime, &set, NULL), 0);
    gray_runtime_swap(runtime, set);
    assert_int_equal(view_admits(runtime, "somebody"), 1);
    assert_null(gray_runtime_refusal(runtime)->code);
    assert_false(gray_runtime_stale(runtime));
    gray_runtime_close(runtime);
    is_taken(world);
    assert_true(crashes(world, 2).accepted);
    assert_false(crashes(world, 2).blocked);
}

static void the_one_before_may_be_passed_over_too(void **state)
{
    struct world *world = *state;

    reader_ends(world, 1000, SEGV);
    reader_ends(world, 1000, SEGV);
    shop_publish(world->path, "100", 3);
    reader_ends(world, 1000, SEGV);
    reader_ends(world, 1000, SEGV);
    is_passed_over(world);
}

/* One that waits, and crashes who looks at it, is not turned to. */
static void one_that_waits_is_on_trial_while_it_is_looked_at(void **state)
{
    struct world *world = *state;
    struct gray_runtime *runtime;
    int i, status;

    shop_publish(world->path, "0", 3);
    shop_publish_at(world->path, "100", 4, CLOCKED_NOON + 60000, 0);
    for (i = 0; i < 2; i++) {
        pid_t child = fork();

        if (child == 0) {
            runtime = reader(world, GRAY_READER_NGINX);
            runtime_trial_begin(runtime, 4); /* as load.c does */
            gray_runtime_crashed(runtime, SIGBUS);
            kill(getpid(), SIGKILL);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
    }
    runtime = reader(world, GRAY_READER_NGINX);
    assert_string_equal(gray_runtime_refusal(runtime)->code,
                        "crashes-readers");
    assert_int_equal(gray_runtime_turn_at(runtime), 0);
    clocked_pass(60000);
    assert_false(gray_runtime_clock(runtime));
    assert_int_equal(view_admits(runtime, "somebody"), 0);
    gray_runtime_close(runtime);
    is_passed_over(world);
}

/* A word of somebody who may not sign is believed by himself alone. */
static void a_strangers_crashes_are_his_own(void **state)
{
    struct world *world = *state;
    char name[128];

    if (geteuid() != 0) {
        skip();
    }
    reader_ends(world, 1000, SEGV);
    reader_ends(world, 1000, SEGV);
    snprintf(name, sizeof(name), "%s/readers/nginx-0", world->path);
    assert_int_equal(chown(name, 65534, 65534), 0);
    assert_int_equal(crashes(world, 2).count, 0);
    is_taken(world);
    /* His group may read the keys: he can sign anyhow. */
    assert_int_equal(gray_keys_rotate(world->path, 65534, NULL), 0);
    assert_int_equal(crashes(world, 2).count, 2);
}

/* Numbers of a believed file are looked at all the same. */
static void nonsense_adds_nothing(void **state)
{
    struct reader_file *file = calloc(1, sizeof(*file));
    struct witness witness = { 0 };
    uint64_t i;

    (void)state;
    assert_non_null(file);
    file->kind = GRAY_READER_LIBRARY;
    file->suspect = 7;
    file->inside[0].threads = 1;
    file->suspect_since = INT64_MIN;
    file->crash_next = UINT32_MAX;
    file->proven_at = INT64_MIN;
    for (i = 0; i < READER_CRASHES; i++) {
        file->crashes[i].generation = 7;
        file->crashes[i].at_ms = i % 2 == 0 ? INT64_MIN : INT64_MAX;
    }
    runtime_witness_add(&witness, file, false);
    assert_false(runtime_witness_blocks(&witness, 8));
    /* Many generations: the newest are told apart. */
    for (i = 0; i < 3 * WITNESS_TRIALS; i++) {
        memset(file, 0, sizeof(*file));
        file->crashes[0].generation = 100 + i;
        file->crashes[0].at_ms = (int64_t)i;
        runtime_witness_add(&witness, file, true);
    }
    assert_int_equal(witness.trial_count, WITNESS_TRIALS);
    assert_null(runtime_witness_of(&witness, 100));
    assert_non_null(runtime_witness_of(&witness, 99 + i));
    free(file);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_make, world_end)
    const struct CMUnitTest tests[] = {
        TEST(two_crashes_soon_after_the_turn_are_enough),
        TEST(crashes_later_than_thirty_seconds_do_not_count),
        TEST(crashes_far_apart_do_not_add_up),
        TEST(what_was_proven_stays),
        TEST(a_reader_that_lives_saves_nobody_after_the_first_crash),
        TEST(an_end_and_a_kill_are_no_crash),
        TEST(an_application_counts_when_it_died_asking),
        TEST(a_person_may_say_that_it_is_not_to_blame),
        TEST(the_one_before_may_be_passed_over_too),
        TEST(one_that_waits_is_on_trial_while_it_is_looked_at),
        TEST(a_strangers_crashes_are_his_own),
        TEST(nonsense_adds_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
