/* SPDX-License-Identifier: Apache-2.0
 * libgray.c - the public library over runtime and engine; see gray.h.
 *
 * Why: applications have many threads, the runtime has one.  Readers of the
 * current state stand in one of a few counters (two each, by phase); who
 * changes the state turns the phase twice and waits for the counters of the
 * phase before, so that no answer ever waits for a reload.
 * Read next: client_input.c (a request into the engine's form), client_fork.c,
 * reader.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runtime/client.h"

/* ---- readers and the one writer
 * ------------------------------------------------ */

unsigned runtime_client_stripe(void)
{
    uint64_t frame = (uint64_t)(uintptr_t)__builtin_frame_address(0);

    /* Stacks of threads lie far apart. */
    return (unsigned)((frame >> 16) * 0x9e3779b97f4a7c15u >> 60);
}

static struct client_hold enter(struct gray_client *client)
{
    struct client_hold hold;
    unsigned stripe = runtime_client_stripe();
    unsigned phase = __atomic_load_n(&client->phase, __ATOMIC_SEQ_CST) & 1;

    hold.inside = &client->stripes[stripe].inside[phase];
    __atomic_fetch_add(hold.inside, 1, __ATOMIC_SEQ_CST);
    /* After the count, so that whoever changed the state before sees us or we
     * see the change. */
    hold.runtime = __atomic_load_n(&client->runtime, __ATOMIC_SEQ_CST);
    hold.set = __atomic_load_n(&hold.runtime->set, __ATOMIC_SEQ_CST);
    hold.trial = gray_runtime_on_clock(hold.runtime)
                     ? runtime_trial_enter(hold.runtime, stripe)
                     : NULL;
    return hold;
}

void runtime_client_leave(struct client_hold hold)
{
    runtime_trial_leave(hold.trial);
    __atomic_fetch_sub(hold.inside, 1, __ATOMIC_RELEASE);
}

static void wait_for_readers(struct gray_client *client)
{
    unsigned turn, i;

    for (turn = 0; turn < 2; turn++) {
        unsigned before =
            __atomic_fetch_add(&client->phase, 1, __ATOMIC_SEQ_CST) & 1;

        for (i = 0; i < CLIENT_STRIPES; i++) {
            unsigned turns = 0;

            /* Most leave at once; who waits for a mark takes its time. */
            while (__atomic_load_n(&client->stripes[i].inside[before],
                                   __ATOMIC_SEQ_CST) != 0) {
                if (turns++ < 100) {
                    sched_yield();
                } else {
                    nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
                }
            }
        }
    }
}

static int client_reload(struct gray_client *client)
{
    struct gray_runtime *runtime = client->runtime;
    struct gray_runtime_set *set = NULL, *old;
    struct gray_problem problem = {NULL, "", 0};
    int error;

    if (!gray_runtime_stale(runtime)) {
        return 0;
    }
    error = gray_runtime_load(runtime, &set, &problem);
    if (set == NULL) {
        return error;
    }
    old = runtime_exchange(runtime, set);
    wait_for_readers(client);
    gray_runtime_set_free(old);
    return problem.code != NULL ? -EINVAL : 1;
}

/* What lies ready, when its instant has come; 1 when it turned. */
static int client_turn(struct gray_client *client)
{
    struct gray_runtime_set *next = runtime_turn_take(client->runtime);

    if (next == NULL) {
        return 0;
    }
    next = runtime_exchange(client->runtime, next);
    wait_for_readers(client);
    gray_runtime_set_free(next);
    return 1;
}

/* Whoever dies while it takes a policy died of that one. */
static int client_take(struct gray_client *client)
{
    uint32_t *trial =
        runtime_trial_enter(client->runtime, runtime_client_stripe());
    int result = client_reload(client);

    result = client_turn(client) == 1 && result >= 0 ? 1 : result;
    runtime_trial_leave(trial);
    return result;
}

/* To another folder at the same path, or to a file of this very process in
 * readers/.  1 when that is held now; else all is as before. */
static int go_over(struct gray_client *client)
{
    struct gray_runtime *old = client->runtime, *fresh = NULL;
    int error;

    runtime_forks_hold();
    error = runtime_open_again(old, &fresh, NULL);
    if (error != 0) {
        runtime_forks_release();
        return error;
    }
    __atomic_store_n(&client->runtime, fresh, __ATOMIC_SEQ_CST);
    runtime_forks_release();
    __atomic_store_n(&client->fd, gray_runtime_wake_fd(fresh),
                     __ATOMIC_RELEASE);
    wait_for_readers(client);
    gray_runtime_close(old);
    return 1;
}

/* 1 when another folder stands at the path and is held now. */
static int client_follow(struct gray_client *client)
{
    return gray_runtime_moved(client->runtime) && go_over(client) == 1;
}

/* A freeze returns when everybody has acknowledged, so that is said only when
 * no call is left that may have looked at the words before. */
static void client_acknowledge(struct gray_client *client)
{
    struct gray_runtime *runtime = client->runtime;
    uint64_t epoch =
        __atomic_load_n(&runtime->control->word_epoch, __ATOMIC_ACQUIRE);

    if (runtime->slot.file != NULL &&
        __atomic_load_n(&runtime->slot.file->word_epoch, __ATOMIC_RELAXED) !=
            epoch) {
        wait_for_readers(client);
        runtime_acknowledge_words(runtime, epoch);
    }
}

static unsigned orphan(const struct gray_client *client)
{
    return __atomic_load_n(&client->orphan, __ATOMIC_ACQUIRE);
}

/* A child answers by nothing that it has not registered for, so who comes
 * second waits here. */
static int client_adopt(struct gray_client *client)
{
    int result = 0;

    pthread_mutex_lock(&client->loading);
    if (orphan(client) != CLIENT_OURS) {
        result = go_over(client);
        __atomic_store_n(&client->orphan,
                         result == 1 ? CLIENT_OURS : CLIENT_REFUSED,
                         __ATOMIC_RELEASE);
        client_acknowledge(client);
    }
    pthread_mutex_unlock(&client->loading);
    return result;
}

int gray_client_poll(struct gray_client *client)
{
    int result;

    if (orphan(client) != CLIENT_OURS) {
        return client_adopt(client);
    }
    if (pthread_mutex_trylock(&client->loading) != 0) {
        return 0;
    }
    gray_runtime_wake_drain(client->runtime);
    result = client_follow(client);
    result = result != 0 ? result : client_take(client);
    client_acknowledge(client);
    pthread_mutex_unlock(&client->loading);
    return result;
}

struct client_hold runtime_client_enter(struct gray_client *client)
{
    struct client_hold hold;

    if (orphan(client) == CLIENT_ORPHAN) {
        client_adopt(client);
    }
    hold = enter(client);
    if (gray_runtime_stale(hold.runtime) ||
        (gray_runtime_on_clock(hold.runtime) &&
         runtime_turn_due(hold.runtime))) {
        runtime_client_leave(hold);
        gray_client_poll(client);
        hold = enter(client);
    }
    return hold;
}

/* ---- the handle
 * ------------------------------------------------------------------ */

static void problem_copy(struct gray_client_problem *ret_problem,
                         const struct gray_problem *problem)
{
    if (ret_problem != NULL) {
        ret_problem->code = problem->code;
        snprintf(ret_problem->sentence, sizeof(ret_problem->sentence), "%s",
                 problem->code != NULL ? problem->sentence : "");
    }
}

int gray_client_open(struct gray_client **ret_client, const char *folder,
                     struct gray_client_problem *ret_problem)
{
    struct gray_problem problem = {NULL, "", 0};
    struct gray_client *client = NULL;
    int error;

    if (posix_memalign((void **)&client, 64, sizeof(*client)) != 0) {
        runtime_problem_set(&problem, ENOMEM, "memory", "Out of memory.");
        problem_copy(ret_problem, &problem);
        return -ENOMEM;
    }
    memset(client, 0, sizeof(*client));
    runtime_client_seed(client);
    runtime_forks_hold();
    error = gray_runtime_open(&client->runtime,
                              folder != NULL ? folder : GRAY_RUNTIME_DEFAULT,
                              GRAY_READER_LIBRARY, true, &problem);
    problem_copy(ret_problem, &problem);
    if (error != 0) {
        runtime_forks_release();
        free(client);
        return error;
    }
    pthread_mutex_init(&client->loading, NULL);
    runtime_client_watch(client);
    runtime_forks_release();
    client->fd = gray_runtime_wake_fd(client->runtime);
    client_acknowledge(client); /* nobody is inside yet */
    *ret_client = client;
    return 0;
}

void gray_client_close(struct gray_client *client)
{
    if (client == NULL) {
        return;
    }
    runtime_client_pool_end(client);
    runtime_forks_hold();
    runtime_client_forget(client);
    gray_runtime_close(client->runtime);
    runtime_forks_release();
    pthread_mutex_destroy(&client->loading);
    free(client);
}

int gray_client_fd(const struct gray_client *client)
{
    return __atomic_load_n(&client->fd, __ATOMIC_ACQUIRE);
}

uint64_t gray_client_revision(struct gray_client *client)
{
    struct client_hold hold = runtime_client_enter(client);
    uint64_t revision = runtime_client_revision(hold);

    runtime_client_leave(hold);
    return revision;
}

void gray_client_refusal(struct gray_client *client,
                         struct gray_client_problem *ret_problem)
{
    runtime_client_leave(runtime_client_enter(client)); /* the newest */
    pthread_mutex_lock(&client->loading);
    problem_copy(ret_problem, gray_runtime_refusal(client->runtime));
    pthread_mutex_unlock(&client->loading);
}
