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
struct gray_client {
    struct gray_runtime *runtime;
    pthread_mutex_t loading; /* held by whoever reloads */
    uint64_t seed, draws;
    unsigned phase; /* atomic */
    struct {
        _Alignas(64) uint64_t inside[2]; /* readers, by phase; atomic */
    } stripes[CLIENT_STRIPES];
};

/* A state that cannot go away before runtime_client_leave(). */
struct client_hold {
    uint64_t *inside;
    const struct gray_runtime_set *set;
};
struct client_hold runtime_client_enter(struct gray_client *client);
void runtime_client_leave(struct client_hold hold);
/* Takes what is new unless another thread is at it. */
void runtime_client_refresh(struct gray_client *client);

/* What decides now; NULL with a reason under bypass or without a policy. */
const struct gray_view *runtime_client_view(const struct gray_client *client,
                                            struct client_hold hold,
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
    const struct gray_control *control; /* of the folder that `marked` is of */
};
/* Begins one: negative for a record that cannot be understood; done() all the
 * same. */
int runtime_client_begin(struct gray_client *client,
                         const struct gray_client_request *request,
                         struct question *ret_question);
/* An answer that was given is counted under its reason. */
void runtime_client_done(struct gray_client *client,
                         const struct question *question, int error);
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

#endif
