/* SPDX-License-Identifier: Apache-2.0
 * redis.h - first admissions that hosts share, by put-if-absent.
 *
 * Why: two hosts may be asked for the first time about one unit in the same
 * second; where a release says so, the first of them wins for both.  Redis is
 * never the truth: each host obeys its own durable mark before it asks, and
 * puts back what Redis lost.  Without Redis nobody new comes in.
 * Threads: the marks thread; redis_word() any.
 * Read next: redis.c, redis_push.c.
 */
#ifndef GRAYD_MARKS_REDIS_H
#define GRAYD_MARKS_REDIS_H

#include <hiredis/hiredis.h>
#include <stdatomic.h>

#include "control/marks/internal.h"

#define REDIS_CONNECT_MS 20
#define REDIS_COMMAND_MS 100
#define REDIS_BACKOFF_MS 50     /* doubled with each failure, up to */
#define REDIS_BACKOFF_MOST 2000
#define REDIS_CHECK_MS 500      /* between two looks at whether it was emptied */
#define REDIS_GRACE_MS 2000     /* for others to put back theirs */
#define REDIS_NEWEST 65536u     /* marks put back before anybody is let in */
#define REDIS_SLICE 1024u       /* commands of one pipeline */
#define REDIS_RUN "gray:marks:run"

enum redis_state { SHARED_LOST, SHARED_PUSHING, SHARED_OK };
struct redis {
    char address[256];
    redisContext *context; /* NULL: not connected */
    _Atomic int state;     /* enum redis_state */
    char run[33];          /* what REDIS_RUN was; "": never seen */
    int64_t retry_at, backoff, check_at, grace_until; /* ms, monotonic */
    uint64_t cursor;       /* the next record to be put back; 0: all are */
    uint64_t pushed;       /* since it was connected */
    bool emptied;          /* all must be put back first */
};
int redis_new(struct redis **ret_redis, const char *address,
              struct gray_problem *ret_problem);
void redis_free(struct redis *redis);
/* "none" (NULL), "ok", or "lost": new marks are refused. Any thread. */
const char *redis_word(const struct redis *redis);
/* Forgets the connection; tried again later. */
void redis_lose(struct redis *redis, const char *why);
/* Connects, looks, puts back: what a round has to do. Whether there is more. */
bool redis_step(struct marks *marks);
/* Asks for each new mark of a shared scope in the batch; what another host
 * won is obeyed, what cannot be asked is void and leaves the batch. */
void redis_ask(struct marks *marks);
/* One slice of putting back; false: the connection was lost. */
bool redis_push(struct marks *marks);
/* "in:1:3": state, variant, attempt. */
int redis_value(char *to, size_t size, uint64_t value);
/* gray:mark:<scope>:<space>:<unit>; its length. */
size_t redis_key(char *to, size_t size, uint64_t scope, uint8_t space,
                 struct gray_str unit);

#endif
