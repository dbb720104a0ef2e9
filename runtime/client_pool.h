/* SPDX-License-Identifier: Apache-2.0
 * client_pool.h - the jobs of experiments, between a caller and the pool.
 *
 *   FREE -> HELD (caller fills) -> READY -> TAKEN (a thread) -> FREE
 *                                    ^         |
 *                                    +- the candidate was faster than the
 *                                       control: the caller hands it in again
 * Read next: client_pool.c, client_experiment.c.
 */
#ifndef GRAY_RUNTIME_CLIENT_POOL_H
#define GRAY_RUNTIME_CLIENT_POOL_H

#include "runtime/client.h"

#define POOL_BYTES_MAX 65536u

/* What is counted under one name; atomic. */
struct pool_tally {
    char name[GRAY_CLIENT_NAME_MAX + 1];
    uint64_t runs, same, different, failed, late, left_out;
    uint64_t control_ns, candidate_ns;
};

struct pool_job {
    uint32_t state; /* enum of client_pool.c; atomic */
    uint64_t flags; /* JOB_* and, above them, how often it was used; atomic */
    int64_t until_ns;         /* CLOCK_MONOTONIC; atomic */
    struct pool_tally *tally; /* atomic */
    struct gray_client_trial asked; /* its pointers are to code only */
    unsigned char *input, *results[2];   /* the control's, the candidate's */
    size_t input_room, result_room;
    int said[2];
    uint64_t spent_ns[2];
    bool over; /* the candidate ended behind its deadline */
};

/* The tally of a name; NULL: no more fit, or (with `make` false) there is
 * none. */
struct pool_tally *runtime_pool_tally(struct gray_client *client,
                                      const char *name, bool make);
/* A job whose copies are made, counted as left out when NULL: there is no
 * room. */
struct pool_job *
runtime_pool_hold(struct gray_client *client,
                  const struct gray_client_trial *experiment);
/* To the pool, now. */
void runtime_pool_hand_over(struct gray_client *client, struct pool_job *job);
/* What the control said, and its result; whoever is last of the two sides
 * sees to the comparison, but never in this thread. */
void runtime_pool_control(struct gray_client *client, struct pool_job *job,
                          int said, const void *result, uint64_t spent_ns);
/* Counts who is over the deadline and has not returned. */
void runtime_pool_look(struct gray_client *client);

#endif
