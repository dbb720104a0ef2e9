/* SPDX-License-Identifier: Apache-2.0
 * pace.c - see pace.h.
 */
#include <stdbool.h>
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
    struct pace_look *last =
        pace->count > 0 ? &pace->looks[pace->count - 1] : NULL;

    if (last != NULL && look.at < last->at) {
        pace->count = 0;
    } else if (pace->count > 1 && look.settled == last->settled &&
               look.settled == last[-1].settled) {
        *last = look;
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

/* Are they spread over the time from look `first` on? */
static bool is_spread(const struct pace *pace, size_t first,
                      const struct pace_look *now)
{
    const struct pace_look *from = &pace->looks[first], *before = from;
    int64_t span = now->at - from->at, seen = 0;
    uint32_t moments = 0;

    if (span < PACE_SPAN_MS) {
        return false;
    }
    for (size_t i = first + 1; i <= pace->count; i++) {
        const struct pace_look *look =
            i < pace->count ? &pace->looks[i] : now;

        if (settled_between(before, look) > 0 &&
            (moments == 0 || look->at - seen >= span / PACE_PARTS)) {
            moments++;
            seen = look->at;
        }
        before = look;
    }
    return moments >= PACE_MOMENTS;
}

struct pace_end pace_end(const struct pace *pace, struct pace_look now)
{
    struct pace_end end = {PACE_TOO_FEW, now.at, 0, 0};
    const struct pace_look *from = &now;
    bool spread = false;
    double left;

    if (now.open == 0) {
        end.says = PACE_NOBODY;
        return end;
    }
    if (pace->count > 0 && pace->looks[pace->count - 1].at > now.at) {
        return end; /* the clock went back */
    }
    for (size_t i = pace->count; i > 0 && !spread; i--) {
        from = &pace->looks[i - 1];
        end.settled = settled_between(from, &now);
        spread = end.settled >= (i > 1 ? PACE_ENOUGH : PACE_LEAST) &&
                 is_spread(pace, i - 1, &now);
    }
    end.since = from->at;
    if (!spread) {
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
