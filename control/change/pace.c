/* SPDX-License-Identifier: Apache-2.0
 * pace.c - see pace.h.
 */
#include <string.h>

#include "control/change/pace.h"

/* Every second look of the older half goes: hours become days. */
static void thin(struct pace *pace)
{
    size_t half = pace->count / 2, kept = 0;

    for (size_t i = 0; i < half; i += 2) {
        pace->looks[kept++] = pace->looks[i];
    }
    memmove(&pace->looks[kept], &pace->looks[half],
            (pace->count - half) * sizeof(pace->looks[0]));
    pace->count = kept + pace->count - half;
}

void pace_add(struct pace *pace, struct pace_look look)
{
    const struct pace_look *last =
        pace->count > 0 ? &pace->looks[pace->count - 1] : NULL;

    if (last != NULL && look.at < last->at) {
        pace->count = 0;
    } else if (last != NULL && look.settled == last->settled &&
               look.at - last->at < PACE_QUIET_MS) {
        return;
    }
    if (pace->count == PACE_KEPT) {
        thin(pace);
    }
    pace->looks[pace->count++] = look;
}

static uint64_t settled_between(const struct pace_look *before,
                                const struct pace_look *after)
{
    /* A repair takes one back. */
    return after->settled > before->settled ? after->settled - before->settled
                                            : 0;
}

struct pace_end pace_end(const struct pace *pace, struct pace_look now)
{
    struct pace_end end = {PACE_TOO_FEW, now.at, 0, 0};
    const struct pace_look *from = &now, *later = &now;
    uint32_t steps = 0;
    double left;

    if (now.open == 0) {
        end.says = PACE_NOBODY;
        return end;
    }
    for (size_t i = pace->count; i > 0; i--) {
        from = &pace->looks[i - 1];
        steps += settled_between(from, later) > 0 ? 1 : 0;
        later = from;
        if (steps >= PACE_STEPS && settled_between(from, &now) >= PACE_ENOUGH) {
            break;
        }
    }
    end.since = from->at;
    end.settled = settled_between(from, &now);
    if (end.settled < PACE_LEAST || steps < PACE_STEPS || from->at >= now.at) {
        return end;
    }
    end.says = PACE_GROWS;
    if (from->open <= now.open) {
        return end;
    }
    left = (double)now.open * (double)(now.at - from->at) /
           (double)(from->open - now.open);
    if (left < (double)PACE_FURTHEST_MS) {
        end.says = PACE_ENDS;
        end.ends = now.at + (int64_t)left;
    }
    return end;
}
