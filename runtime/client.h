/* SPDX-License-Identifier: Apache-2.0
 * client.h - what the files of libgray share; see libgray.c.
 */
#ifndef GRAY_RUNTIME_CLIENT_H
#define GRAY_RUNTIME_CLIENT_H

#include <pthread.h>
#include <sched.h>

#include "runtime/gray.h"
#include "runtime/internal.h"

#define CLIENT_STRIPES 16u
struct client_pool;
struct gray_client {
    struct gray_runtime *runtime; /* atomic: another one when the folder is
                                     another, or the process is */
    pthread_mutex_t loading;      /* held by whoever reloads */
    uint64_t seed;
    int fd;       /* what gray_client_fd() says; atomic */
    struct client_pool *pool; /* of experiments; atomic, NULL: none yet */
    struct gray_client *next; /* client_fork.c's list */
    bool locked;              /* `loading` is held over a fork */
    unsigned orphan;          /* enum client_orphan; atomic */
    unsigned phase;           /* atomic */
    struct {
        _Alignas(64) uint64_t inside[2]; /* readers, by phase; atomic */
        uint64_t draws; /* atomic */
    } stripes[CLIENT_STRIPES];
};

/* ---- client_fork.c: a handle in a child ----------------------------------- */

enum client_orphan {
    CLIENT_OURS,   /* this process is registered, or tried to be */
    CLIENT_ORPHAN, /* a parent's: the next call registers this process */
    CLIENT_REFUSED /* that failed: gray_client_poll() tries again */
};
/* No fork happens in between: what holds files in readers/ is in the list.
 * Nothing that waits for readers stands between the two. */
void runtime_forks_hold(void);
void runtime_forks_release(void);
/* From watch() to forget(), both with forks held, a fork makes the child's
 * copy an orphan. */
void runtime_client_watch(struct gray_client *client);
void runtime_client_forget(struct gray_client *client);

/* ---- client_pool.c: experiments ------------------------------------------- */

/* Waits for candidates as long as their deadlines say. */
void runtime_client_pool_end(struct gray_client *client);

/* ---- libgray.c: the state that answers ------------------------------------ */

/* A state that cannot go away before runtime_client_leave(). */
struct client_hold {
    uint64_t *inside;
    struct gray_runtime *runtime;
    const struct gray_runtime_set *set;
    uint32_t *trial; /* counts us while the policy is new; NULL: it is not */
};
/* Which of the stripes this thread uses: few share one. */
unsigned runtime_client_stripe(void);
/* Takes what is new, unless another thread is at it, then holds the state. */
struct client_hold runtime_client_enter(struct gray_client *client);
void runtime_client_leave(struct client_hold hold);

/* What decides now; NULL with a reason under bypass or without a policy. */
const struct gray_view *runtime_client_view(struct client_hold hold,
                                            enum gray_reason *ret_reason);

/* From here to runtime_client_done() the state that answers cannot go away. */
struct question {
    struct gray_client_request request; /* whole, moment and draw said */
    bool own_moment; /* the caller said which */
    struct client_hold hold;
    const struct gray_view *view; /* NULL: `reason` says why */
    enum gray_reason reason;
    struct gray_input in;      /* when there is a view and no error */
    struct gray_marked marked; /* likewise */
    uint64_t follows;          /* of the runtime that `marked` is of */
};
/* Begins one: negative for a record that cannot be understood; done() all the
 * same. */
int runtime_client_begin(struct gray_client *client,
                         const struct gray_client_request *request,
                         struct question *ret_question);
/* An answer that was given is counted under its reason. */
void runtime_client_done(const struct question *question, int error);
/* Lets the state go while the thread sleeps a little, and takes up the present
 * one: what was decided is to be decided again.  False: there is none any
 * more, `reason` says why. */
bool runtime_client_sleep(struct gray_client *client,
                          struct question *question, uint32_t *step_us);
/* Whom an answer speaks of, in the caller's record. */
void runtime_client_text(char *ret, size_t size, struct gray_str text);
void runtime_client_variant(const struct gray_view *view, uint32_t release,
                            uint32_t variant, char *ret, size_t size);
int32_t runtime_client_bucket(uint32_t bucket);
uint64_t runtime_client_revision(struct client_hold hold);

/* Fills `in` from a request; points into the request's strings.  -EINVAL for
 * a record that cannot be understood. */
int runtime_client_input(struct gray_client *client,
                         const struct gray_snapshot *policy,
                         const struct gray_client_request *request,
                         struct gray_input *in);
/* Number of the entrance asked for. */
uint32_t runtime_client_entrance(const struct gray_snapshot *policy,
                                 const struct gray_client_request *request);
int64_t runtime_client_now_ms(void);
uint64_t runtime_client_random(struct gray_client *client);
/* What the library itself draws by: new for each process. */
void runtime_client_seed(struct gray_client *client);

#endif
