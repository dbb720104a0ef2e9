/* SPDX-License-Identifier: Apache-2.0
 * planner.c - a few threads for calls that compute for a while.
 *
 * Why: reading a 64 MB body or planning a policy takes longer than a
 * connection's thread may be away; how many do so at once, and how many wait,
 * is bounded.
 * Read next: request.c.
 */
#include <stdio.h>
#include <stdlib.h>

#include "control/rest/internal.h"

#define THREADS_MAX 64u

struct planner {
    struct rest *rest;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct exchange *first, **last;
    unsigned queued, thread_count;
    bool stopping;
    pthread_t threads[THREADS_MAX];
};

/* The next exchange; NULL: stop. */
static struct exchange *take(struct planner *planner)
{
    struct exchange *exchange;

    pthread_mutex_lock(&planner->lock);
    while (planner->first == NULL && !planner->stopping) {
        pthread_cond_wait(&planner->wake, &planner->lock);
    }
    exchange = planner->first;
    if (exchange != NULL) {
        planner->first = exchange->next;
        planner->queued--;
        if (planner->first == NULL) {
            planner->last = &planner->first;
        }
    }
    pthread_mutex_unlock(&planner->lock);
    return exchange;
}

static void *plan(void *context)
{
    struct planner *planner = context;
    struct exchange *exchange;

    pthread_setname_np(pthread_self(), "planner");
    while ((exchange = take(planner)) != NULL) {
        request_plan(exchange, rest_hand(planner->rest));
    }
    return NULL;
}

bool planner_submit(struct planner *planner, struct exchange *exchange)
{
    bool good;

    exchange->next = NULL;
    pthread_mutex_lock(&planner->lock);
    good = planner->queued < REST_PLANNER_MAX;
    if (good) {
        *planner->last = exchange;
        planner->last = &exchange->next;
        planner->queued++;
        pthread_cond_signal(&planner->wake);
    }
    pthread_mutex_unlock(&planner->lock);
    return good;
}

int planner_start(struct rest *rest, unsigned threads,
                  struct gray_problem *ret_problem)
{
    struct planner *planner = calloc(1, sizeof(*planner));

    if (planner == NULL) {
        rest_problem(ret_problem, "no-memory", "No memory for planners.");
        return -1;
    }
    planner->rest = rest;
    planner->last = &planner->first;
    pthread_mutex_init(&planner->lock, NULL);
    pthread_cond_init(&planner->wake, NULL);
    threads = threads < THREADS_MAX ? threads : THREADS_MAX;
    while (planner->thread_count < threads &&
           pthread_create(&planner->threads[planner->thread_count], NULL, plan,
                          planner) == 0) {
        planner->thread_count++;
    }
    if (planner->thread_count == 0) {
        planner_stop(planner);
        rest_problem(ret_problem, "no-thread", "No thread can be started.");
        return -1;
    }
    rest->planner = planner;
    return 0;
}

void planner_stop(struct planner *planner)
{
    unsigned i;

    if (planner == NULL) {
        return;
    }
    pthread_mutex_lock(&planner->lock);
    planner->stopping = true;
    pthread_cond_broadcast(&planner->wake);
    pthread_mutex_unlock(&planner->lock);
    for (i = 0; i < planner->thread_count; i++) {
        pthread_join(planner->threads[i], NULL);
    }
    pthread_cond_destroy(&planner->wake);
    pthread_mutex_destroy(&planner->lock);
    free(planner);
}
