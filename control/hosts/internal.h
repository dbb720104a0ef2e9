/* SPDX-License-Identifier: Apache-2.0
 * internal.h - what hosts.c and poll.c share.
 *
 * Why: a poll that waits and a bundle that comes meet under one lock.
 * Read next: hosts.c, poll.c.
 */
#ifndef GRAYD_HOSTS_INTERNAL_H
#define GRAYD_HOSTS_INTERNAL_H

#include <pthread.h>

#include "control/hosts/hosts.h"

#define POLL_SLOT_MS 100
#define POLL_SLOTS 1024u /* of a wheel: longer than any poll waits */

/* A poll that waits. */
struct waiter {
    struct reply_later later; /* first */
    struct hosts *hosts;
    char host[REPORT_NAME_MAX + 1];
    uint64_t known;
    int64_t deadline; /* now-clock */
    reply_done *done;
    void *context;
    struct waiter *next, **at; /* in its slot, or among those to be answered */
};
struct hosts {
    char server[REPORT_ID_MAX + 1];
    struct told *told; /* NULL: there is none */
    int64_t (*now)(void);
    int64_t (*wall)(void);
    pthread_mutex_t lock; /* of everything below */
    pthread_cond_t wake;
    pthread_t thread;
    bool has_thread, ending, fresh; /* fresh: a bundle came */
    struct registry registry;
    struct registry_newest newest;
    struct bundle *bundle, *before;
    struct waiter *slots[POLL_SLOTS];
    struct waiter *ended; /* to be answered by the thread */
    size_t waiting;
    int64_t swept;   /* now-clock, in slots: those before it are empty */
    uint64_t random; /* of when polls end */
    struct shed polls, reports; /* connections that come */
    bool words;      /* some report said words */
    bool news;       /* some host is not kept yet */
};

/* ---- poll.c ---------------------------------------------------------------- */

int poll_start(struct hosts *hosts, struct gray_problem *ret_problem);
/* Lets go of a host's poll, where it has one; under the lock. */
void poll_end_of(struct hosts *hosts, struct host *host);

#endif
