/* SPDX-License-Identifier: Apache-2.0
 * client_experiment.c - old and new code side by side, see gray.h.
 *
 * Why: whoever replaces code wants to know whether the new one computes the
 * same, from what people really ask.  That must be free of risk: the answer is
 * the old code's, whatever the new one does, and comes as fast as without it.
 * Which of the two is begun first is left to chance, so that none is always
 * the one that finds warm caches.
 * Read next: client_pool.c (where the candidate runs).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "runtime/client_pool.h"

/* Apart from every release's salt. */
#define SALT "gray-experiment:"

static bool is_sound(const struct gray_client_trial *e)
{
    return e->size == sizeof(*e) && e->control != NULL && e->name != NULL &&
           e->name[0] != '\0' &&
           strnlen(e->name, GRAY_CLIENT_NAME_MAX + 1) <= GRAY_CLIENT_NAME_MAX &&
           e->input_size <= POOL_BYTES_MAX && e->result_size <= POOL_BYTES_MAX;
}

static bool is_sampled(const struct gray_client_trial *e, uint64_t draw)
{
    char salt[sizeof(SALT) + GRAY_CLIENT_NAME_MAX];
    struct gray_str unit = {e->unit, 0}, name = {salt, 0};

    if (e->unit == NULL) {
        return ((draw >> 32) * GRAY_SHARE_ALL) >> 32 < e->share;
    }
    unit.length = (uint32_t)strnlen(e->unit, GRAY_VALUE_MAX);
    name.length = (uint32_t)snprintf(salt, sizeof(salt), "%s%s", SALT, e->name);
    return gray_bucket(name, unit) < e->share;
}

/* `gray bypass on` is for experiments as well. */
static bool is_bypassed(struct gray_client *client)
{
    struct client_hold hold = runtime_client_enter(client);
    bool bypass =
        __atomic_load_n(&hold.runtime->control->bypass, __ATOMIC_RELAXED) != 0;

    runtime_client_leave(hold);
    return bypass;
}

int gray_client_experiment(struct gray_client *client,
                           const struct gray_client_trial *experiment,
                           void *result)
{
    const struct gray_client_trial *e = experiment;
    struct pool_job *job = NULL;
    uint64_t draw;
    bool first;
    int64_t start;
    int said;

    if (!is_sound(e)) {
        return -EINVAL;
    }
    draw = client != NULL ? runtime_client_random(client) : 0;
    if (client != NULL && e->candidate != NULL && is_sampled(e, draw) &&
        !is_bypassed(client)) {
        job = runtime_pool_hold(client, e);
    }
    if (job == NULL) {
        return e->control(e->input, result);
    }
    first = (draw & 1) != 0;
    if (first) {
        runtime_pool_hand_over(client, job);
    }
    start = runtime_clock_ns(CLOCK_MONOTONIC);
    said = e->control(e->input, result);
    runtime_pool_control(client, job, said, result,
                         (uint64_t)(runtime_clock_ns(CLOCK_MONOTONIC) - start));
    if (!first) {
        runtime_pool_hand_over(client, job);
    }
    return said;
}

int gray_client_experiment_read(struct gray_client *client, const char *name,
                                struct gray_client_counts *ret_counts)
{
    struct gray_client_counts counts = {.size = sizeof(counts)};
    const struct pool_tally *tally;

    if (ret_counts->size != sizeof(counts)) {
        return -EINVAL;
    }
    tally = runtime_pool_tally(client, name, false);
    if (tally == NULL) {
        return -ENOENT;
    }
    runtime_pool_look(client);
#define READ(field)                                                            \
    counts.field = __atomic_load_n(&tally->field, __ATOMIC_ACQUIRE)
    READ(same);
    READ(different);
    READ(failed);
    READ(late);
    READ(left_out);
    READ(control_ns);
    READ(candidate_ns);
    READ(runs); /* last, so that there are never less of them than outcomes */
#undef READ
    *ret_counts = counts;
    return 0;
}
