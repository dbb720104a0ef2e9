/* SPDX-License-Identifier: Apache-2.0
 * mark_wait.c - how long a request waits for marks, and what it does then.
 *
 * Why: nobody may be told "there is no mark" while there may be one in a
 * moment.  So whoever has waited long enough first makes it void, and obeys
 * whoever was faster; and where it may not write, an entity is held.
 * Read next: admit.c.
 */
#include <time.h>

#include "runtime/internal.h"

int64_t runtime_marked_until(struct gray_marked *marked,
                             const struct gray_release *release, bool asked)
{
    uint32_t ms = release != NULL ? release->strict_timeout : 0;

    if (ms < GRAY_MARKED_WAIT_MS && (ms == 0 || asked)) {
        ms = GRAY_MARKED_WAIT_MS;
    }
    if (marked->since == 0) {
        marked->since = runtime_clock_ns(CLOCK_MONOTONIC);
    }
    return marked->since + (int64_t)ms * 1000000;
}

/* A request waits as long as the most patient of its releases, and no
 * longer. */
static void wait_for(struct gray_marked *marked,
                     const struct gray_marked_scope *s)
{
    int64_t until = runtime_marked_until(
        marked, gray_release_at(marked->view->policy, s->release),
        s->did == DID_ASKED);

    if (until > marked->deadline) {
        marked->deadline = until;
    }
}

bool runtime_marked_any_waits(struct gray_marked *marked)
{
    bool any = false;
    uint32_t i;

    for (i = 0; i < marked->scope_count; i++) {
        if (marked->scopes[i].waits) {
            wait_for(marked, &marked->scopes[i]);
            any = true;
        }
    }
    return any;
}

bool runtime_marked_time_over(const struct gray_marked *marked)
{
    return runtime_clock_ns(CLOCK_MONOTONIC) >= marked->deadline;
}

void runtime_marked_close(struct gray_marked *marked,
                          struct gray_marked_scope *s, enum gray_reason reason)
{
    s->did = DID_CLOSED;
    s->reason = (uint8_t)reason;
    s->waits = 0;
    gray_counters_event(marked->runtime, reason == GRAY_REASON_NOT_DURABLE
                                             ? GRAY_EVENT_MARKS_TIMED_OUT
                                             : GRAY_EVENT_MARKS_CLOSED);
}

/* It may become a mark yet, and this reader cannot prevent it.  Who is told
 * baseline may come in later, but an entity may not change sides. */
void runtime_marked_leave_open(struct gray_marked *marked,
                               struct gray_marked_scope *s,
                               const struct gray_release *release)
{
    if (release != NULL && release->stickiness == GRAY_STICKY_ENTITY) {
        s->did = DID_HOLD;
        s->waits = 0;
        gray_counters_event(marked->runtime, GRAY_EVENT_MARKS_TIMED_OUT);
    } else {
        runtime_marked_close(marked, s, GRAY_REASON_NOT_DURABLE);
    }
}

int runtime_marked_void(const struct gray_marks *marks,
                        const struct gray_marked_scope *s)
{
    uint64_t found = 0;

    return gray_mark_move(marks, (struct gray_mark_key){{s->key[0], s->key[1]}},
                          s->value, (s->value & ~UINT64_C(7)) | GRAY_SLOT_VOID,
                          GRAY_BY_READER, &found);
}

/* The time of what still waits is over: it is made void before anybody is
 * told so; whoever loses that race obeys what stands there. */
void runtime_marked_expire(struct gray_marked *marked)
{
    uint32_t i;

    for (i = 0; i < marked->scope_count; i++) {
        struct gray_marked_scope *s = &marked->scopes[i];
        const struct gray_release *release =
            gray_release_at(marked->view->policy, s->release);

        if (!s->waits) {
            continue;
        }
        if (s->did == DID_ASKED || release == NULL) {
            runtime_marked_leave_open(marked, s, release);
            continue;
        }
        switch (
            runtime_marked_void(runtime_marked_tables(marked, s->release), s)) {
        case 0:
            runtime_marked_close(marked, s, GRAY_REASON_NOT_DURABLE);
            break;
        case 1:
            s->waits = 0;
            break;
        default:
            runtime_marked_leave_open(marked, s, release);
        }
    }
}
