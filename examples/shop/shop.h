/* SPDX-License-Identifier: Apache-2.0
 * shop.h - the four pieces of one shop service.
 *
 * Why: shop.c is the program, client.c answers, call.c asks the next service of
 * the chain, log.c writes down who was really served; each can be read alone.
 * One thread, one epoll: everything here belongs to that thread.
 */
#ifndef SHOP_SHOP_H
#define SHOP_SHOP_H

#include "http.h"

struct shop_service {
    const char *name, *next;
};
struct shop_options {
    const struct shop_service *service;
    const char *version, *next_url;
    bool discount; /* what the new cart does differently */
    long fail_permille, delay_ms;
};

/* What epoll hands back: the first member of everything that is watched. */
struct watch {
    int fd;
    void (*ready)(struct watch *watch, uint32_t events);
    struct watch *doomed;
};
/* Edge-triggered, both directions; 0 or -1. */
int watch_add(struct watch *watch);
/* Freed after the present batch of events, which may still name it. */
void watch_free_later(struct watch *watch);

/* ---- client.c ------------------------------------------------------------ */

void client_setup(const struct shop_options *options);
void client_accept(int fd);
/* Closes what is idle; the rest closes after the answer it waits for. */
void client_drain(void);
unsigned client_count(void);
/* Sends the answers that --delay held back long enough. */
void client_tick(int64_t now_us);
int client_wait_ms(int64_t now_us, int most);

/* ---- call.c -------------------------------------------------------------- */

struct call;
/* status 0: no answer was had, and `body` says why.  Called exactly once,
 * unless call_forget() came first; never from inside call_start(). */
typedef void (*call_done)(void *owner, unsigned status, struct text body);

int call_setup(const char *next_url, const char *service);
/* GET /<service> at the next hop, with the request's cookie, baggage,
 * traceparent and x-gray-lane and nothing else.  NULL: it could not be begun.
 */
struct call *call_start(const struct http_head *request, call_done done,
                        void *owner);
void call_forget(struct call *call);
/* Ends calls that have had no answer for 5 s; also closes idle connections
 * when `all`. */
void call_tick(int64_t now_us, bool all);

/* ---- log.c --------------------------------------------------------------- */

int log_open(const char *path, const char *service, const char *version);
void log_request(struct text uid, struct text method, struct text target,
                 unsigned status);
/* Writes what is 100 ms old, or everything when `all`. */
void log_tick(int64_t now_us, bool all);

#endif
