/* SPDX-License-Identifier: Apache-2.0
 * thread.c - follows the decision logs of this host, once a second.
 *
 * Why: a thread of its own, because a slow disk or a huge file must hold up
 * neither a change nor a mark.  Trouble is said once, kept for status, and
 * tried again; nothing waits for this thread.
 * Read next: tail.c.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "control/decisions/internal.h"
#include "control/grayd.h"

#define BEAT_MS 1000
#define FORGET_ROUNDS 50u /* a beat */

struct decisions_thread {
    struct decisions *decisions;
    const char *pattern;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stop;
};

/* "" when all is well; said where it changes. */
static void note_trouble(struct decisions *decisions, const char *code,
                         const char *sentence)
{
    bool same;

    pthread_mutex_lock(&decisions->lock);
    same = strcmp(decisions->trouble, sentence) == 0;
    snprintf(decisions->trouble, sizeof(decisions->trouble), "%s", sentence);
    pthread_mutex_unlock(&decisions->lock);
    if (!same && *sentence != '\0') {
        grayd_log(LOG_LEVEL_WARN, code, "%s", sentence);
    } else if (!same) {
        grayd_log(LOG_LEVEL_INFO, "decisions", "decisions are read again");
    }
}

static void look(struct decisions_thread *thread)
{
    struct decisions *decisions = thread->decisions;
    struct gray_problem problem = { 0 };
    int64_t did = decisions_tail(decisions, thread->pattern, &problem);

    for (unsigned i = 0; did >= 0 && i < FORGET_ROUNDS; i++) {
        int64_t dropped = decisions_forget(decisions, grayd_now(), &problem);

        did = dropped;
        if (dropped <= 0) {
            break;
        }
    }
    note_trouble(decisions, problem.code, did < 0 ? problem.sentence : "");
}

static void *follow(void *context)
{
    struct decisions_thread *thread = context;

    pthread_mutex_lock(&thread->lock);
    while (!thread->stop) {
        struct timespec until;

        pthread_mutex_unlock(&thread->lock);
        look(thread);
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += BEAT_MS / 1000;
        pthread_mutex_lock(&thread->lock);
        if (!thread->stop) {
            pthread_cond_timedwait(&thread->wake, &thread->lock, &until);
        }
    }
    pthread_mutex_unlock(&thread->lock);
    return NULL;
}

struct decisions_thread *decisions_follow(struct decisions *decisions,
                                          const char *pattern)
{
    struct decisions_thread *thread = calloc(1, sizeof(*thread));
    pthread_condattr_t monotonic;

    if (thread == NULL) {
        return NULL;
    }
    thread->decisions = decisions;
    thread->pattern = pattern;
    pthread_mutex_init(&thread->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&thread->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (pthread_create(&thread->thread, NULL, follow, thread) != 0) {
        grayd_log(LOG_LEVEL_ERROR, "decisions",
                  "no thread can be started: decisions are not followed");
        pthread_cond_destroy(&thread->wake);
        pthread_mutex_destroy(&thread->lock);
        free(thread);
        return NULL;
    }
    return thread;
}

void decisions_unfollow(struct decisions_thread *thread)
{
    if (thread == NULL) {
        return;
    }
    pthread_mutex_lock(&thread->lock);
    thread->stop = true;
    pthread_cond_signal(&thread->wake);
    pthread_mutex_unlock(&thread->lock);
    pthread_join(thread->thread, NULL);
    pthread_cond_destroy(&thread->wake);
    pthread_mutex_destroy(&thread->lock);
    free(thread);
}
