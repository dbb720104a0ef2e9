/* SPDX-License-Identifier: Apache-2.0
 * settle.c - answers that wait until the host's readers have seen the change.
 *
 * Why: "done" should mean that it is in force, and nobody should have to ask
 * again. Waiting on the control thread would hold up the next change, so
 * replies that are complete wait here, a short and bounded time, and are
 * answered with how many readers there are and how many have it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "control/change/internal.h"

#define POLL_NS 2000000L

struct waiting {
    struct waiting *next;
    struct job job;
    struct reply reply;
    uint64_t revision, generation;
    int64_t deadline;
};
struct settler {
    struct control *control;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct waiting *first;
    bool stopping;
};

static int64_t monotonic_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool settled(const struct settler *settler, struct waiting *waiting)
{
    const struct grayd *grayd = settler->control->grayd;
    struct gray_problem problem = { 0 };
    size_t live = 0, acknowledged = 0;
    json_t *in_force;
    int error = publisher_acknowledged(grayd->options.runtime,
                                       waiting->generation, UINT64_MAX, &live,
                                       &acknowledged, &problem);

    if (error == 0 && acknowledged < live &&
        monotonic_ms() < waiting->deadline) {
        return false;
    }
    in_force = json_pack("{s:I,s:I,s:I,s:I}", "revision",
                         (json_int_t)waiting->revision, "generation",
                         (json_int_t)waiting->generation, "readers",
                         (json_int_t)live, "acknowledged",
                         (json_int_t)acknowledged);
    if (waiting->reply.body != NULL) {
        json_object_set_new(waiting->reply.body, "inForce", in_force);
    } else {
        json_decref(in_force);
    }
    return true;
}

/* Answers those that are settled; the lock is held outside of calls. */
static void look(struct settler *settler)
{
    struct waiting **at = &settler->first;

    while (*at != NULL) {
        struct waiting *waiting = *at;
        bool done;

        pthread_mutex_unlock(&settler->lock);
        done = settled(settler, waiting);
        pthread_mutex_lock(&settler->lock);
        if (!done) {
            at = &waiting->next;
            continue;
        }
        failpoint("settled");
        *at = waiting->next; /* others are only ever added at the end */
        pthread_mutex_unlock(&settler->lock);
        waiting->job.done(waiting->job.context, &waiting->reply);
        free(waiting);
        pthread_mutex_lock(&settler->lock);
    }
}

static void *settle_main(void *context)
{
    struct settler *settler = context;
    struct timespec pause = { .tv_nsec = POLL_NS };

    pthread_mutex_lock(&settler->lock);
    while (!settler->stopping || settler->first != NULL) {
        if (settler->first == NULL) {
            pthread_cond_wait(&settler->wake, &settler->lock);
            continue;
        }
        look(settler);
        if (settler->first != NULL) {
            pthread_mutex_unlock(&settler->lock);
            nanosleep(&pause, NULL);
            pthread_mutex_lock(&settler->lock);
        }
    }
    pthread_mutex_unlock(&settler->lock);
    return NULL;
}

int settler_start(struct settler **ret_settler, struct control *control)
{
    struct settler *settler = calloc(1, sizeof(*settler));
    int error;

    if (settler == NULL) {
        return -ENOMEM;
    }
    settler->control = control;
    pthread_mutex_init(&settler->lock, NULL);
    pthread_cond_init(&settler->wake, NULL);
    error = pthread_create(&settler->thread, NULL, settle_main, settler);
    if (error != 0) {
        free(settler);
        return -error;
    }
    *ret_settler = settler;
    return 0;
}

void settler_stop(struct settler *settler)
{
    if (settler == NULL) {
        return;
    }
    pthread_mutex_lock(&settler->lock);
    settler->stopping = true;
    pthread_cond_signal(&settler->wake);
    pthread_mutex_unlock(&settler->lock);
    pthread_join(settler->thread, NULL);
    pthread_mutex_destroy(&settler->lock);
    pthread_cond_destroy(&settler->wake);
    free(settler);
}

void settler_add(struct settler *settler, const struct job *job,
                 struct reply *reply)
{
    struct grayd *grayd = settler->control->grayd;
    struct waiting *waiting = calloc(1, sizeof(*waiting));
    struct waiting **last;

    if (waiting == NULL ||
        atomic_load(&grayd->revision_in_force) != atomic_load(&grayd->revision)) {
        free(waiting);
        job->done(job->context, reply);
        return;
    }
    waiting->job = *job;
    waiting->reply = *reply;
    waiting->revision = atomic_load(&grayd->revision);
    waiting->generation = atomic_load(&grayd->generation);
    waiting->deadline = monotonic_ms() + CONTROL_SETTLE_MS;
    pthread_mutex_lock(&settler->lock);
    for (last = &settler->first; *last != NULL; last = &(*last)->next) {
    }
    *last = waiting;
    pthread_cond_signal(&settler->wake);
    pthread_mutex_unlock(&settler->lock);
}
