/* SPDX-License-Identifier: Apache-2.0
 * poll.c - long polls: thousands that wait, and one thread that answers them.
 *
 * Why: a poll costs its suspended connection and a waiter of two hundred bytes
 * in a wheel of moments, so that a tick looks at those whose time is over and
 * at no others.  Each ends at a moment of its own in the second half of its
 * time: what came together does not come together again.  When a bundle comes
 * all are answered, by this thread, without the lock.
 * Read next: hosts.c, ../rest/request.c (how a connection waits).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "control/hosts/internal.h"

/* ---- lists ------------------------------------------------------------------ */

static void link_waiter(struct waiter **list, struct waiter *waiter)
{
    waiter->next = *list;
    waiter->at = list;
    if (waiter->next != NULL) {
        waiter->next->at = &waiter->next;
    }
    *list = waiter;
}

static void unlink_waiter(struct waiter *waiter)
{
    *waiter->at = waiter->next;
    if (waiter->next != NULL) {
        waiter->next->at = waiter->at;
    }
}

static struct waiter **slot_of(struct hosts *hosts, int64_t deadline)
{
    return &hosts->slots[(uint64_t)(deadline / POLL_SLOT_MS) % POLL_SLOTS];
}

/* To those that the thread answers. Under the lock. */
static void end_waiter(struct hosts *hosts, struct waiter *waiter)
{
    struct host *host = registry_find(&hosts->registry, waiter->host);

    if (host != NULL && host->poll == waiter) {
        host->poll = NULL;
    }
    unlink_waiter(waiter);
    link_waiter(&hosts->ended, waiter);
    hosts->waiting--;
}

void poll_end_of(struct hosts *hosts, struct host *host)
{
    if (host->poll != NULL) {
        end_waiter(hosts, host->poll);
        pthread_cond_signal(&hosts->wake);
    }
}

/* ---- answers ------------------------------------------------------------------- */

static void give_back(void *owner)
{
    bundle_release(owner);
}

/* The newest bundle as an answer; who knows it gets 304 by its tag. */
static void answer_with(struct bundle *bundle, struct reply *reply)
{
    reply_clear(reply);
    if (bundle == NULL) {
        reply_problem(reply, PROBLEM_NOT_READY, "There is no bundle yet.");
        reply->retry_after = 1;
        return;
    }
    reply->status = 200;
    reply->type = "text/plain; charset=utf-8";
    reply->etag = bundle->sequence;
    reply->bytes = (struct reply_bytes) {
        .data = bundle->note,
        .length = bundle->length,
        .owner = bundle_reference(bundle),
        .release = give_back,
    };
}

/* Without the lock. */
static void answer_all(struct waiter *waiter, struct bundle *bundle)
{
    while (waiter != NULL) {
        struct waiter *next = waiter->next;
        struct reply reply = { 0 };

        answer_with(bundle, &reply);
        waiter->done(waiter->context, &reply);
        reply_clear(&reply);
        free(waiter);
        waiter = next;
    }
}

/* ---- the thread ------------------------------------------------------------------ */

static void end_slot(struct hosts *hosts, struct waiter **slot)
{
    while (*slot != NULL) {
        end_waiter(hosts, *slot);
    }
}

/* Under the lock: those whose time is over, or all. */
static void sweep(struct hosts *hosts)
{
    int64_t until = hosts->now() / POLL_SLOT_MS;

    if (hosts->fresh || hosts->ending) {
        for (size_t i = 0; i < POLL_SLOTS; i++) {
            end_slot(hosts, &hosts->slots[i]);
        }
        hosts->fresh = false;
    }
    if (until - hosts->swept > (int64_t)POLL_SLOTS) {
        hosts->swept = until - (int64_t)POLL_SLOTS; /* it was suspended */
    }
    for (; hosts->swept < until; hosts->swept++) {
        end_slot(hosts, &hosts->slots[(uint64_t)hosts->swept % POLL_SLOTS]);
    }
}

static void sleep_a_slot(struct hosts *hosts)
{
    struct timespec until;

    if (hosts->waiting == 0) {
        pthread_cond_wait(&hosts->wake, &hosts->lock);
        return;
    }
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += POLL_SLOT_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    pthread_cond_timedwait(&hosts->wake, &hosts->lock, &until);
}

static void *poll_main(void *context)
{
    struct hosts *hosts = context;
    struct waiter *ended;
    struct bundle *bundle;

    pthread_setname_np(pthread_self(), "hosts");
    pthread_mutex_lock(&hosts->lock);
    while (!hosts->ending || hosts->waiting > 0 || hosts->ended != NULL) {
        sweep(hosts);
        if (hosts->ended == NULL) {
            if (!hosts->ending) {
                sleep_a_slot(hosts);
            }
            continue;
        }
        ended = hosts->ended;
        hosts->ended = NULL;
        bundle = bundle_reference(hosts->bundle);
        pthread_mutex_unlock(&hosts->lock);
        answer_all(ended, bundle);
        bundle_release(bundle);
        pthread_mutex_lock(&hosts->lock);
    }
    pthread_mutex_unlock(&hosts->lock);
    return NULL;
}

int poll_start(struct hosts *hosts, struct gray_problem *ret_problem)
{
    int error;

    if (getrandom(&hosts->random, sizeof(hosts->random), 0) !=
        sizeof(hosts->random)) {
        hosts->random = (uint64_t)hosts->now();
    }
    hosts->random |= 1;
    hosts->swept = hosts->now() / POLL_SLOT_MS;
    error = pthread_create(&hosts->thread, NULL, poll_main, hosts);
    if (error != 0) {
        ret_problem->code = "no-thread";
        strcpy(ret_problem->sentence, "No thread can be started.");
    }
    hosts->has_thread = error == 0;
    return -error;
}

void hosts_end(struct hosts *hosts)
{
    if (hosts == NULL) {
        return;
    }
    pthread_mutex_lock(&hosts->lock);
    hosts->ending = true;
    pthread_cond_signal(&hosts->wake);
    pthread_mutex_unlock(&hosts->lock);
    if (hosts->has_thread) {
        pthread_join(hosts->thread, NULL);
        hosts->has_thread = false;
    }
}

/* ---- a poll ---------------------------------------------------------------------- */

/* xorshift64*: spread, not secret. Under the lock. */
static uint64_t random_below(struct hosts *hosts, uint64_t limit)
{
    hosts->random ^= hosts->random >> 12;
    hosts->random ^= hosts->random << 25;
    hosts->random ^= hosts->random >> 27;
    return (hosts->random * UINT64_C(2685821657736338717) >> 11) % limit;
}

static void begin_wait(struct reply_later *later, reply_done *done,
                       void *context)
{
    struct waiter *waiter = (struct waiter *)later;
    struct hosts *hosts = waiter->hosts;
    struct host *host;

    waiter->done = done;
    waiter->context = context;
    pthread_mutex_lock(&hosts->lock);
    if (hosts->ending) { /* its thread may be gone already */
        struct bundle *bundle = bundle_reference(hosts->bundle);

        pthread_mutex_unlock(&hosts->lock);
        waiter->next = NULL;
        answer_all(waiter, bundle);
        bundle_release(bundle);
        return;
    }
    host = registry_find(&hosts->registry, waiter->host);
    if (host != NULL) {
        poll_end_of(hosts, host); /* of a connection that is no more */
        host->poll = waiter;
    }
    link_waiter(slot_of(hosts, waiter->deadline), waiter);
    if (hosts->waiting++ == 0) {
        hosts->swept = hosts->now() / POLL_SLOT_MS;
        pthread_cond_signal(&hosts->wake);
    }
    if (waiter->known != hosts->newest.sequence) {
        end_waiter(hosts, waiter); /* one came meanwhile */
        pthread_cond_signal(&hosts->wake);
    }
    pthread_mutex_unlock(&hosts->lock);
}

static void drop_wait(struct reply_later *later)
{
    free(later);
}

void hosts_poll(struct hosts *hosts, const char *name, uint64_t known,
                int64_t wait_ms, struct reply *reply)
{
    struct waiter *waiter = calloc(1, sizeof(*waiter));
    struct bundle *bundle = NULL;

    if (waiter == NULL) {
        reply_problem(reply, PROBLEM_INTERNAL, "No memory.");
        return;
    }
    pthread_mutex_lock(&hosts->lock);
    registry_add(&hosts->registry, name);
    if (hosts->bundle != NULL &&
        (known != hosts->newest.sequence || wait_ms == 0 || hosts->ending)) {
        bundle = bundle_reference(hosts->bundle);
    }
    waiter->deadline = hosts->now() + wait_ms / 2 +
                       (int64_t)random_below(hosts,
                                             (uint64_t)(wait_ms / 2 + 1));
    pthread_mutex_unlock(&hosts->lock);
    if (bundle != NULL) {
        free(waiter);
        answer_with(bundle, reply);
        bundle_release(bundle);
        return;
    }
    waiter->later.begin = begin_wait;
    waiter->later.drop = drop_wait;
    waiter->hosts = hosts;
    waiter->known = known;
    strcpy(waiter->host, name);
    reply->later = &waiter->later;
}
