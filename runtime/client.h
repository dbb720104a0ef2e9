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
