/* SPDX-License-Identifier: Apache-2.0
 * reapplied.c - a document of a release that stands somewhere already.
 *
 * Why: whoever applies the same document twice must not move anything, and
 * whoever mends a text in it must not undo what was done by hand: only a share
 * that is declared anew says where to go.
 * Read next: move.c.
 */
#include <stdio.h>

#include "control/release/internal.h"

/* A share that a document declares anew. */
static int redeclare(const struct release_status *now,
                     const struct release_facts *after,
                     struct release_status *next, int64_t moment,
                     struct release_refusal *ret_refusal)
{
    int may = release_may_set(now, after, after->declared_share, ret_refusal);

    if (may != 0) {
        return may;
    }
    if (now->killed) {
        return release_refuse_killed(after, "a larger share", ret_refusal);
    }
    if (now->state == RELEASE_FROZEN) {
        char advice[300];

        snprintf(advice, sizeof(advice), "gray thaw %s first", after->name);
        return release_refuse(ret_refusal, "not-in-this-state", advice,
                              "%s is Frozen: a larger share would let nobody "
                              "in.",
                              after->name);
    }
    if (now->state == RELEASE_INITIALIZED) {
        next->started = moment;
    }
    release_arrive(next, after,
                   now->state == RELEASE_PAUSED ? RELEASE_PAUSED
                                                : RELEASE_PROGRESSING,
                   after->declared_share);
    return 0;
}

int release_reapplied(const struct release_status *now,
                      const struct release_facts *before,
                      const struct release_facts *after, int64_t moment,
                      const char *by, struct release_status *ret_next,
                      struct release_refusal *ret_refusal)
{
    struct release_status next = *now;
    struct release_refusal ignored;
    bool asks = !after->has_strategy && now->state != RELEASE_ABORTED &&
                (before->has_strategy ||
                 before->declared_share != after->declared_share);
    int result = 1;

    if (ret_refusal == NULL) {
        ret_refusal = &ignored;
    }
    if (now->state == RELEASE_COMPLETED) {
        return release_refuse(ret_refusal, "completed",
                              "a new change needs a release of another name",
                              "%s is Completed: its name is not used again.",
                              after->name);
    }
    if (asks && (after->declared_share > 0 || now->share > 0)) {
        result = redeclare(now, after, &next, moment, ret_refusal);
    }
    if (after->dimensions <= next.dimension && next.dimension > 0) {
        next.dimension = after->dimensions > 0 ? after->dimensions - 1 : 0;
        result = 0;
    }
    if (result == 1 && now->state == RELEASE_PROMOTED &&
        (now->share < release_share_all(after) ||
         release_more_dimensions(now, after))) {
        /* Less is held back than before; nobody comes in by that alone. */
        release_arrive(&next, after, RELEASE_PAUSED, now->share);
        result = 0;
    }
    if (result == 1 && release_step_at(after, now->share) != now->step) {
        next.step = release_step_at(after, now->share);
        result = 0;
    }
    if (result == 0) {
        next.since = moment;
        release_text(next.by, sizeof(next.by), by);
        next.reason[0] = '\0';
    }
    if (result >= 0) {
        *ret_next = result == 0 ? next : *now;
    }
    return result;
}
