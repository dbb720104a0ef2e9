/* SPDX-License-Identifier: Apache-2.0
 * test_client_experiment.c - new code beside the old one, which nobody feels.
 *
 * Why: an experiment may cost nobody anything: not the wrong result, not time,
 * not memory that is gone.  Candidates here wait for words of the test, so
 * nothing hangs on how fast this machine is.
 * Read next: runtime/client_experiment.c, client_pool.c.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "runtime/client_pool.h"
#include "tests/runtime/folder.h"

struct world {
    char path[64];
    struct gray_client *client;
};

static int world_make(void **state)
{
    struct world *world = calloc(1, sizeof(*world));

    folder_new(world->path);
    shop_publish(world->path, "30", 1);
    assert_int_equal(gray_client_open(&world->client, world->path, NULL), 0);
    *state = world;
    return 0;
}

static int world_end(void **state)
{
    struct world *world = *state;

    gray_client_close(world->client);
    folder_remove(world->path);
    free(world);
    return 0;
}

/* ---- code to be compared --------------------------------------------------
 */

struct input {
    int number;
    int fails;    /* what the candidate returns */
    sem_t *begun; /* posted by the candidate; may be NULL */
    sem_t *go;    /* then it waits for this one; may be NULL */
    int *kept;    /* references, counted by keep and drop */
};

static int control(void *input, void *result)
{
    struct input *in = input;

    *(int *)result = in->number * 2;
    return in->number < 0 ? -1 : 0;
}

static pthread_t ran_in;

static int candidate(void *input, void *result)
{
    struct input *in = input;

    __atomic_store_n(&ran_in, pthread_self(), __ATOMIC_RELAXED);
    if (in->begun != NULL) {
        sem_post(in->begun);
    }
    if (in->go != NULL) {
        while (sem_wait(in->go) != 0) {
        }
    }
    *(int *)result = in->number + in->number;
    in->number = -77; /* its own copy */
    return in->fails;
}

static int wrong(void *input, void *result)
{
    candidate(input, result);
    ++*(int *)result;
    return 0;
}

static int wrong_and_failing(void *input, void *result)
{
    wrong(input, result);
    return -1;
}

static int near(void *input, const void *one, const void *other)
{
    (void)input;
    return abs(*(const int *)one - *(const int *)other) > 1;
}

static struct gray_client_trial experiment_of(struct input *input)
{
    return (struct gray_client_trial){.size = sizeof(struct gray_client_trial),
                                      .name = "double",
                                      .share = 1000000,
                                      .deadline_ms = 600000,
                                      .control = control,
                                      .candidate = candidate,
                                      .input = input,
                                      .input_size = sizeof(*input),
                                      .result_size = sizeof(int)};
}

static struct gray_client_counts counts_of(struct gray_client *client,
                                           const char *name)
{
    struct gray_client_counts counts = {.size = sizeof(counts)};

    assert_int_equal(gray_client_experiment_read(client, name, &counts), 0);
    return counts;
}

/* Bounded wait for what the pool does. */
static struct gray_client_counts judged(struct gray_client *client,
                                        uint64_t wanted)
{
    struct gray_client_counts c;
    uint32_t i = 0;

    do {
        c = counts_of(client, "double");
        sched_yield();
    } while (c.same + c.different + c.late < wanted && i++ < 50000000);
    assert_int_equal(c.same + c.different + c.late, wanted);
    return c;
}

/* ---- what the caller gets ---------------------------------------------------
 */

static void the_caller_gets_the_controls_result_alone(void **state)
{
    struct world *world = *state;
    struct gray_client_counts counts;
    int i, result;

    for (i = 0; i < 400; i++) {
        struct input input = {.number = i, .fails = i % 4 == 3 ? 9 : 0};
        struct gray_client_trial e = experiment_of(&input);

        e.candidate = i % 4 == 1 ? wrong : candidate;
        result = -1;
        assert_int_equal(gray_client_experiment(world->client, &e, &result), 0);
        assert_int_equal(result, 2 * i);
        assert_int_equal(input.number, i); /* the candidate had a copy */
        judged(world->client, (uint64_t)i + 1);
        assert_false(pthread_equal(__atomic_load_n(&ran_in, __ATOMIC_RELAXED),
                                   pthread_self()));
    }
    counts = counts_of(world->client, "double");
    assert_int_equal(counts.runs, 400);
    assert_int_equal(counts.same, 200);
    assert_int_equal(counts.different, 200);
    assert_int_equal(counts.failed, 100);
    assert_int_equal(counts.late + counts.left_out, 0);
    assert_true(counts.control_ns > 0 && counts.candidate_ns > 0);
}

static void both_failing_alike_is_the_same(void **state)
{
    struct world *world = *state;
    struct input input = {.number = -5, .fails = -1};
    struct gray_client_trial e = experiment_of(&input);
    struct gray_client_counts counts;
    int result;

    assert_int_equal(gray_client_experiment(world->client, &e, &result), -1);
    assert_int_equal(judged(world->client, 1).same, 1);
    e.candidate = wrong_and_failing; /* results of failures are none */
    assert_int_equal(gray_client_experiment(world->client, &e, &result), -1);
    assert_int_equal(judged(world->client, 2).same, 2);
    e.candidate = candidate;
    input.fails = 0;
    assert_int_equal(gray_client_experiment(world->client, &e, &result), -1);
    counts = judged(world->client, 3);
    assert_int_equal(counts.different, 1);
    assert_int_equal(counts.failed, 0); /* of the candidate alone */
}

static void a_comparator_says_what_differs(void **state)
{
    struct world *world = *state;
    struct input input = {.number = 4};
    struct gray_client_trial e = experiment_of(&input);
    int result;

    e.candidate = wrong;
    e.differ = near;
    assert_int_equal(gray_client_experiment(world->client, &e, &result), 0);
    assert_int_equal(judged(world->client, 1).same, 1);
}

/* ---- order, time, room
 * -------------------------------------------------------- */

static int order_seen; /* 1: the candidate had begun when the control ran */
static sem_t order_begun;

/* With the candidate first a control can wait until it has begun; else it
 * waits in vain, a fifth of a second. */
static int control_waits(void *input, void *result)
{
    struct timespec until;

    (void)input;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 200000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    order_seen = sem_timedwait(&order_begun, &until) == 0;
    *(int *)result = 8;
    return 0;
}

static void which_one_begins_is_left_to_chance(void **state)
{
    struct world *world = *state;
    uint32_t i, first = 0;
    int result;

    sem_init(&order_begun, 0, 0);
    for (i = 0; i < 24; i++) {
        struct input input = {.number = 4, .begun = &order_begun};
        struct gray_client_trial e = experiment_of(&input);

        e.control = control_waits;
        assert_int_equal(gray_client_experiment(world->client, &e, &result), 0);
        judged(world->client, i + 1);
        first += (uint32_t)order_seen;
        while (sem_trywait(&order_begun) == 0) {
        }
    }
    /* Of 24 throws of a coin: outside of these three times in a million. */
    assert_in_range(first, 2, 22);
    sem_destroy(&order_begun);
}

static sem_t hang_begun, hang_go; /* outlive the test, as its candidates do */

static void call_what_hangs(struct gray_client *client, int number)
{
    struct input input = {
        .number = number, .begun = &hang_begun, .go = &hang_go};
    struct gray_client_trial e = experiment_of(&input);
    int result;

    e.deadline_ms = 1;
    /* returns, though no candidate does */
    assert_int_equal(gray_client_experiment(client, &e, &result), 0);
    assert_int_equal(result, 2 * number);
}

/* Four candidates that never end: the pool is busy for ever, and nobody who
 * calls waits; close() leaves them behind. */
static void candidates_that_hang_cost_the_callers_nothing(void **state)
{
    struct world *world = *state;
    struct gray_client_counts counts;
    int i, begun = 0;

    sem_init(&hang_begun, 0, 0);
    sem_init(&hang_go, 0, 0);
    for (i = 0; begun < 4; i++) { /* some are late before they begin */
        assert_true(i < 1000000);
        call_what_hangs(world->client, i);
        begun += sem_trywait(&hang_begun) == 0;
    }
    for (i = 0; i < 64; i++) { /* that many places there are */
        call_what_hangs(world->client, i);
    }
    do { /* bounded by the deadline of a millisecond */
        counts = counts_of(world->client, "double");
    } while (counts.late < 4);
    assert_int_equal(counts.same + counts.different, 0);
    begun = (int)counts.left_out;
    call_what_hangs(world->client, 7);
    counts = counts_of(world->client, "double");
    assert_int_equal(counts.left_out, begun + 1);
    gray_client_close(world->client); /* returns */
    for (i = 0; i < 4; i++) {
        sem_post(&hang_go); /* and they end, some time */
    }
    assert_int_equal(gray_client_open(&world->client, world->path, NULL), 0);
}

static void keep(void *input)
{
    __atomic_fetch_add(((struct input *)input)->kept, 1, __ATOMIC_SEQ_CST);
}

static void drop(void *input)
{
    __atomic_fetch_sub(((struct input *)input)->kept, 1, __ATOMIC_SEQ_CST);
}

/* It ends only when it was counted as late: its result, a wrong one, is then
 * looked at by nobody. */
static void who_comes_too_late_is_not_compared(void **state)
{
    struct world *world = *state;
    struct gray_client_counts counts;
    uint32_t i;
    int kept = 0, result;
    sem_t go;

    sem_init(&go, 0, 0);
    for (i = 0; i < 20; i++) {
        struct input input = {.number = 3, .go = &go, .kept = &kept};
        struct gray_client_trial e = experiment_of(&input);

        e.deadline_ms = 1;
        e.candidate = wrong;
        e.keep = keep;
        e.drop = drop;
        assert_int_equal(gray_client_experiment(world->client, &e, &result), 0);
        do { /* bounded by the deadline */
            counts = counts_of(world->client, "double");
        } while (counts.late <= i);
        sem_post(&go);
        while (__atomic_load_n(&kept, __ATOMIC_SEQ_CST) != 0) {
            sched_yield(); /* bounded: it has what it waits for */
        }
        sem_trywait(&go); /* it had not begun */
    }
    assert_int_equal(counts.late, 20);
    assert_int_equal(counts.same + counts.different, 0);
    sem_destroy(&go);
}

/* ---- memory, samples, bypass
 * ---------------------------------------------------- */

static void what_is_kept_is_dropped(void **state)
{
    struct world *world = *state;
    uint32_t i;
    int kept = 0, result;

    for (i = 0; i < 1000; i++) { /* some find no room */
        struct input input = {.number = (int)i, .kept = &kept};
        struct gray_client_trial e = experiment_of(&input);

        e.keep = keep;
        e.drop = drop;
        assert_int_equal(gray_client_experiment(world->client, &e, &result), 0);
    }
    gray_client_close(world->client); /* also what nobody began */
    assert_int_equal(__atomic_load_n(&kept, __ATOMIC_SEQ_CST), 0);
    assert_int_equal(gray_client_open(&world->client, world->path, NULL), 0);
}

static bool sampled(struct gray_client *client, const char *unit,
                    uint32_t share, const char *name)
{
    struct input input = {.number = 1};
    struct gray_client_trial e = experiment_of(&input);
    struct gray_client_counts before = {.size = sizeof(before)};
    struct gray_client_counts after = {.size = sizeof(after)};
    int result;

    e.unit = unit;
    e.share = share;
    e.name = name;
    gray_client_experiment_read(client, name, &before);
    assert_int_equal(gray_client_experiment(client, &e, &result), 0);
    gray_client_experiment_read(client, name, &after);
    return after.runs + after.left_out > before.runs + before.left_out;
}

static void units_are_sampled_the_same_ones_always(void **state)
{
    struct world *world = *state;
    uint32_t i, few = 0, more = 0, others = 0;
    char unit[16];

    for (i = 0; i < 2000; i++) {
        bool in;

        snprintf(unit, sizeof(unit), "u%u", i);
        in = sampled(world->client, unit, 100000, "one");
        assert_int_equal(in, sampled(world->client, unit, 100000, "one"));
        few += in;
        if (in) { /* a share grows and drops nobody */
            assert_true(sampled(world->client, unit, 300000, "one"));
        }
        more += sampled(world->client, unit, 300000, "one");
        others += in && sampled(world->client, unit, 100000, "two");
        assert_false(sampled(world->client, unit, 0, "one"));
    }
    assert_in_range(few, 140, 260);
    assert_in_range(more, 500, 700);
    assert_in_range(others, 2, 60); /* another name, other units */
    for (i = 0, few = 0; i < 2000; i++) {
        few += sampled(world->client, NULL, 100000, "chance");
    }
    assert_in_range(few, 140, 260);
}

static void bypass_and_no_handle_leave_the_control_alone(void **state)
{
    struct world *world = *state;
    struct gray_folder folder;
    struct input input = {.number = 21, .fails = 1};
    struct gray_client_trial e = experiment_of(&input);
    struct gray_client_counts counts = {.size = sizeof(counts)};
    int result = 0;

    assert_int_equal(gray_client_experiment(NULL, &e, &result), 0);
    assert_int_equal(result, 42);
    assert_int_equal(gray_folder_open(&folder, world->path, true, NULL), 0);
    __atomic_store_n(&folder.control->bypass, 1, __ATOMIC_RELAXED);
    result = 0;
    assert_int_equal(gray_client_experiment(world->client, &e, &result), 0);
    assert_int_equal(result, 42);
    assert_int_equal(
        gray_client_experiment_read(world->client, "double", &counts), -ENOENT);
    __atomic_store_n(&folder.control->bypass, 0, __ATOMIC_RELAXED);
    assert_int_equal(gray_client_experiment(world->client, &e, &result), 0);
    assert_int_equal(judged(world->client, 1).failed, 1);
    gray_folder_close(&folder);
}

static void sizes_and_records_have_limits(void **state)
{
    static unsigned char big[POOL_BYTES_MAX + 1], out[POOL_BYTES_MAX + 1];
    struct world *world = *state;
    struct input input = {.number = 1};
    struct gray_client_trial e = experiment_of(&input);
    struct gray_client_counts counts = {.size = 3};
    char name[GRAY_CLIENT_NAME_MAX + 2];
    uint32_t i;

    memcpy(big, &input, sizeof(input));
    e.input = big;
    e.input_size = e.result_size = POOL_BYTES_MAX;
    assert_int_equal(gray_client_experiment(world->client, &e, out), 0);
    e.input_size++;
    assert_int_equal(gray_client_experiment(world->client, &e, out), -EINVAL);
    e.input_size--;
    e.result_size++;
    assert_int_equal(gray_client_experiment(world->client, &e, out), -EINVAL);
    e.result_size--;
    e.size--;
    assert_int_equal(gray_client_experiment(world->client, &e, out), -EINVAL);
    e.size++;
    memset(name, 'n', sizeof(name));
    name[GRAY_CLIENT_NAME_MAX + 1] = '\0';
    e.name = name;
    assert_int_equal(gray_client_experiment(world->client, &e, out), -EINVAL);
    name[GRAY_CLIENT_NAME_MAX] = '\0';
    assert_int_equal(gray_client_experiment(world->client, &e, out), 0);
    assert_int_equal(gray_client_experiment_read(world->client, name, &counts),
                     -EINVAL);
    counts.size = sizeof(counts);
    for (i = 2; i <= 64; i++) { /* "double" and the long one are there */
        snprintf(name, sizeof(name), "name-%u", i);
        assert_int_equal(gray_client_experiment(world->client, &e, out), 0);
        assert_int_equal(
            gray_client_experiment_read(world->client, name, &counts),
            i < 64 ? 0 : -ENOENT);
    }
}

/* ---- the folder's sums
 * ------------------------------------------------------------ */

static void operators_see_the_sums(void **state)
{
    struct world *world = *state;
    struct input input = {.number = 1};
    struct gray_client_trial e = experiment_of(&input);
    struct gray_totals totals;
    int result;

    gray_client_experiment(world->client, &e, &result);
    e.candidate = wrong;
    gray_client_experiment(world->client, &e, &result);
    judged(world->client, 2);
    /* the pool counts for people last */
    gray_client_close(world->client);
    assert_int_equal(gray_totals_read(world->path, &totals, NULL), 0);
    assert_int_equal(totals.events[GRAY_EVENT_EXPERIMENT_SAME], 1);
    assert_int_equal(totals.events[GRAY_EVENT_EXPERIMENT_DIFFERENT], 1);
    gray_totals_free(&totals);
    assert_int_equal(gray_client_open(&world->client, world->path, NULL), 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, world_make, world_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(the_caller_gets_the_controls_result_alone),
        CASE(both_failing_alike_is_the_same),
        CASE(a_comparator_says_what_differs),
        CASE(which_one_begins_is_left_to_chance),
        CASE(candidates_that_hang_cost_the_callers_nothing),
        CASE(who_comes_too_late_is_not_compared),
        CASE(what_is_kept_is_dropped),
        CASE(units_are_sampled_the_same_ones_always),
        CASE(bypass_and_no_handle_leave_the_control_alone),
        CASE(sizes_and_records_have_limits),
        CASE(operators_see_the_sums),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
