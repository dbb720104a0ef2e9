/* SPDX-License-Identifier: Apache-2.0
 * settle.c - answers that wait until the host's readers have seen the change.
 *
 * Why: "done" should mean that it is in force, and nobody should have to ask
 * again. Waiting on the control thread would hold up the next change, so
 * replies that are complete wait here, a bounded time, and are answered with
 * how many readers there are and how many have it. A freeze waits longer, for
 * its promise: see settle_marks.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "control/change/settle.h"

int64_t settle_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void add_in_force(struct settler *settler, struct waiting *waiting,
                         size_t live, size_t acknowledged)
{
    json_t *in_force =
        json_pack("{s:I,s:I,s:I,s:I}", "revision",
                  (json_int_t)waiting->revision, "generation",
                  (json_int_t)waiting->generation, "readers",
                  (json_int_t)live, "acknowledged",
                  (json_int_t)acknowledged);

    settle_hosts_in_force(settler, waiting, in_force);
    if (waiting->reply.body != NULL) {
        json_object_set_new(waiting->reply.body, "inForce", in_force);
    } else {
        json_decref(in_force);
    }
}

/* Without the lock. */
static bool acknowledged(struct settler *settler, struct waiting *waiting)
{
    const struct grayd *grayd = settler->control->grayd;
    struct gray_problem problem = { 0 };
    size_t live = 0, have = 0;
    bool over = settle_now() >= waiting->deadline;
    int error;

    /* Hosts first: what they said is kept, readers are looked for. */
    if (!over && !settle_hosts_have(settler, waiting)) {
        return false;
    }
    error = publisher_acknowledged(
        grayd->options.runtime,
        waiting->ahead != 0 ? waiting->ahead : waiting->generation, UINT64_MAX,
        &live, &have, &problem);
    if (!over && error == 0 && have < live) {
        return false;
    }
    if (waiting->ahead != 0) {
        json_object_set_new(
            waiting->reply.body, "ahead",
            json_pack("{s:I,s:I,s:I}", "generation",
                      (json_int_t)waiting->ahead, "readers", (json_int_t)live,
                      "ready", (json_int_t)have));
        return true;
    }
    add_in_force(settler, waiting, live, have);
    return true;
}

/* How far a release is closed. */
static void add_admission(struct settler *settler, json_t *moved,
                          const char *name)
{
    json_t *admission = settle_admission(settler, name);

    if (admission != NULL && json_object_set_new(moved, "admission",
                                                 admission) != 0) {
        return; /* no body, or no memory: it is left out */
    }
}

/* Of a stop of all, as far as it has come: nobody waits for the slowest. */
static void add_admissions(struct settler *settler, json_t *rows)
{
    json_t *row;
    size_t i;

    json_array_foreach(rows, i, row) {
        const json_t *release = json_object_get(row, "release");
        const char *word =
            json_string_value(json_object_get(release, "word"));

        if (word != NULL && strcmp(word, "no-admit") == 0) {
            add_admission(settler, row,
                          json_string_value(json_object_get(release,
                                                            "name")));
        }
    }
}

/* Answers those that are settled; the lock is held outside of calls. */
static void look(struct settler *settler)
{
    struct waiting **at = &settler->waiting;

    while (*at != NULL) {
        struct waiting *waiting = *at;
        bool done = settler->stopping || waiting->closed[0] == '\0' ||
                    settle_is_closed(settler, waiting->closed, settle_now());

        if (done) {
            pthread_mutex_unlock(&settler->lock);
            done = acknowledged(settler, waiting);
            pthread_mutex_lock(&settler->lock);
        }
        if (!done) {
            at = &waiting->next;
            continue;
        }
        if (waiting->closed[0] != '\0') {
            add_admission(settler, waiting->reply.body, waiting->closed);
        }
        add_admissions(settler,
                       json_object_get(waiting->reply.body, "moved"));
        failpoint("settled");
        *at = waiting->next; /* others are only ever added at the end */
        pthread_mutex_unlock(&settler->lock);
        waiting->job.done(waiting->job.context, &waiting->reply);
        free(waiting);
        pthread_mutex_lock(&settler->lock);
    }
}

static void sleep_for(struct settler *settler, long ns)
{
    struct timespec pause = { .tv_nsec = ns };

    pthread_mutex_unlock(&settler->lock);
    nanosleep(&pause, NULL);
    pthread_mutex_lock(&settler->lock);
}

/* Or until somebody has more to do. */
static void wait_for(struct settler *settler, long ms)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += ms * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    pthread_cond_timedwait(&settler->wake, &settler->lock, &until);
}

static void *settle_main(void *context)
{
    struct settler *settler = context;

    pthread_mutex_lock(&settler->lock);
    while (!settler->stopping || settler->waiting != NULL) {
        enum settle_again closings = settle_closings(settler);
        enum settle_again revokings = settle_revokings(settler);
        enum settle_again again =
            closings > revokings ? closings : revokings;

        look(settler);
        if (settler->waiting != NULL || again == SETTLE_SOON) {
            sleep_for(settler, SETTLE_POLL_NS);
        } else if (again == SETTLE_LATER && !settler->stopping) {
            wait_for(settler, SETTLE_SLOW_MS);
        } else if (!settler->stopping) {
            pthread_cond_wait(&settler->wake, &settler->lock);
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
    pthread_cond_init(&settler->idle, NULL);
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
    settle_marks_free(settler);
    pthread_mutex_destroy(&settler->lock);
    pthread_cond_destroy(&settler->wake);
    pthread_cond_destroy(&settler->idle);
    free(settler);
}

/* The generation of what this reply has scheduled; 0: it does not lie ready. */
static uint64_t ahead_of(const struct control *control,
                         const struct reply *reply)
{
    const char *id =
        json_string_value(json_object_get(reply->body, "scheduled"));

    return id != NULL && ahead_holds(control, id) ? control->ahead.generation
                                                  : 0;
}

void settler_add(struct settler *settler, const struct job *job,
                 const char *closed, struct reply *reply)
{
    struct grayd *grayd = settler->control->grayd;
    struct waiting *waiting = calloc(1, sizeof(*waiting));
    struct registry_newest newest;
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
    waiting->deadline = settle_now() + CONTROL_SETTLE_MS;
    if (grayd->hosts != NULL) {
        hosts_newest(grayd->hosts, &newest);
        waiting->sequence = newest.sequence;
    }
    waiting->ahead = ahead_of(settler->control, reply);
    snprintf(waiting->closed, sizeof(waiting->closed), "%s",
             closed != NULL ? closed : "");
    pthread_mutex_lock(&settler->lock);
    for (last = &settler->waiting; *last != NULL; last = &(*last)->next) {
    }
    *last = waiting;
    pthread_cond_signal(&settler->wake);
    pthread_mutex_unlock(&settler->lock);
}
