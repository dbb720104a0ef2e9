/* SPDX-License-Identifier: Apache-2.0
 * window.c - is a moment inside a window of a named zone?
 *
 * Why: "weekdays from nine to six in Shanghai" depends on the zone's rules,
 * which are data that hosts have in different versions.  The compiler writes
 * the zone's steps into the snapshot, so every reader sees the same clock.
 * Read next: layout.h (gray_operand_time), ../policy/compile_operand.c.
 */
#include "engine/program.h"

#define DAY 86400

static int64_t floor_divide(int64_t value, int64_t by)
{
    return value / by - (value % by < 0);
}

static int32_t offset_at(const struct gray_zone_step *steps, uint32_t count,
                         int64_t seconds)
{
    uint32_t low = 0, high = count; /* the last step with at <= seconds */
    if (steps == NULL || count == 0) {
        return 0;
    }
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (steps[middle].at <= seconds) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return steps[low].offset;
}

bool window_holds(const struct gray_operand_time *window,
                  const struct gray_zone_step *steps, uint32_t step_count,
                  int64_t now_ms)
{
    if (now_ms < window->from || now_ms >= window->until) {
        return false;
    }
    int64_t now = floor_divide(now_ms, 1000);
    int64_t local = now + offset_at(steps, step_count, now);
    int64_t day = floor_divide(local, DAY);
    uint32_t second = (uint32_t)(local - day * DAY);
    /* 1970-01-01 was a Thursday; bit 0 is Monday. */
    uint32_t today = (uint32_t)((day % 7 + 7 + 3) % 7);
    uint32_t yesterday = (today + 6) % 7;

    if (window->start < window->end) {
        return second >= window->start && second < window->end &&
               (window->days >> today & 1) != 0;
    }
    /* Over midnight: the day asked for is the one on which it began. */
    return (second >= window->start && (window->days >> today & 1) != 0) ||
           (second < window->end && (window->days >> yesterday & 1) != 0);
}
