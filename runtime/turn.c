/* SPDX-License-Identifier: Apache-2.0
 * turn.c - a reader turns to a policy at its instant.
 *
 * Why: a fleet that turns one host after the other gives two answers to one
 * user for as long as that takes.  So what is to be in force lies ready in
 * every reader, checked and linked, and at the instant one pointer is
 * exchanged, by the reader's own wall clock and with no publisher alive.  A
 * turn never goes back: what was turned to stays in force when the clock is
 * put back.  Who got it too late turns at once and says by how much.
 * Read next: load.c (what lies ready), trial.c, gateway's worker (its timer).
 */
#include <string.h>

#include "runtime/witness.h"

static const struct gray_file_header *header_of(const struct part *policy)
{
    return policy->policy.header;
}

int64_t gray_runtime_turn_at(const struct gray_runtime *runtime)
{
    const struct gray_runtime_set *set = runtime->set;

    return set != NULL && set->next != NULL
               ? header_of(set->next->policy)->effective_at
               : 0;
}

uint64_t gray_runtime_next(const struct gray_runtime *runtime)
{
    const struct gray_control *control = runtime->control;
    uint64_t next = load_u64(&control->next_generation);

    return next > load_u64(&control->policy_generation) ? next : 0;
}

bool gray_runtime_on_clock(const struct gray_runtime *runtime)
{
    return __atomic_load_n(&runtime->on_clock, __ATOMIC_RELAXED) != 0;
}

static void lateness(struct gray_runtime *runtime, const struct part *policy)
{
    const struct gray_file_header *header = header_of(policy);
    int64_t late = header->effective_at != 0
                       ? gray_wall_ms() - header->effective_at
                       : 0;

    late = late > 0 ? late : 0;
    __atomic_store_n(&runtime->slot.file->late_ms, late, __ATOMIC_RELEASE);
    if (header->max_skew != 0 && late > header->max_skew) {
        gray_counters_event(runtime, GRAY_EVENT_TURNED_LATE);
    }
}

void runtime_turn_note(struct gray_runtime *runtime,
                       const struct gray_runtime_set *old,
                       const struct gray_runtime_set *set)
{
    bool other = set->policy != NULL && (old == NULL ||
                                         old->policy != set->policy);
    bool waits = set->next != NULL;

    if (runtime->slot.file != NULL && other) {
        runtime_trial_begin(runtime, set->policy->generation);
        /* Who was not there before is not late. */
        if (old != NULL && old->policy != NULL) {
            lateness(runtime, set->policy);
        } else {
            __atomic_store_n(&runtime->slot.file->late_ms, 0, __ATOMIC_RELEASE);
        }
    }
    __atomic_store_n(&runtime->turn_at,
                     waits ? header_of(set->next->policy)->effective_at
                           : INT64_MAX,
                     __ATOMIC_RELEASE);
    __atomic_store_n(&runtime->on_clock,
                     waits || runtime_trial_look(runtime), __ATOMIC_RELEASE);
}

bool runtime_turn_due(const struct gray_runtime *runtime)
{
    int64_t at = __atomic_load_n(&runtime->turn_at, __ATOMIC_ACQUIRE);

    return (at != INT64_MAX && at <= gray_wall_ms()) ||
           runtime_trial_over(runtime);
}

/* Another publication may have taken its place, and not be loaded yet. */
static bool still_named(const struct gray_runtime *runtime, uint64_t generation)
{
    const struct gray_control *control = runtime->control;

    return load_u64(&control->next_generation) == generation ||
           load_u64(&control->policy_generation) == generation;
}

struct gray_runtime_set *runtime_turn_take(struct gray_runtime *runtime)
{
    struct gray_runtime_set *set = runtime->set, *next = NULL;
    bool waits = set != NULL && set->next != NULL;

    if (waits && gray_runtime_turn_at(runtime) <= gray_wall_ms() &&
        still_named(runtime, set->next->policy->generation)) {
        next = set->next;
        set->next = NULL;
        waits = false;
    }
    __atomic_store_n(&runtime->on_clock,
                     waits || runtime_trial_look(runtime), __ATOMIC_RELEASE);
    return next;
}

bool gray_runtime_clock(struct gray_runtime *runtime)
{
    struct gray_runtime_set *next = runtime_turn_take(runtime);

    if (next != NULL) {
        gray_runtime_swap(runtime, next);
    }
    return next != NULL;
}
