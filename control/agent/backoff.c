/* SPDX-License-Identifier: Apache-2.0
 * backoff.c - full jitter: a random time below a bound that doubles.
 *
 * Read next: backoff.h.
 */
#include "control/agent/backoff.h"

#define DOUBLINGS_MOST 16u

void backoff_init(struct backoff *backoff, uint64_t seed)
{
    *backoff = (struct backoff) {
        .random = seed,
        .spread_ms = BACKOFF_SPREAD_MS,
    };
}

void backoff_spread(struct backoff *backoff, uint64_t spread_ms)
{
    if (spread_ms > 0) {
        backoff->spread_ms = spread_ms < BACKOFF_SPREAD_MOST_MS
                                 ? (uint32_t)spread_ms
                                 : BACKOFF_SPREAD_MOST_MS;
    }
}

/* SplitMix64 (G. Steele, D. Lea, C. Flood, OOPSLA 2014). */
static uint64_t draw(struct backoff *backoff)
{
    uint64_t z = backoff->random += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint32_t backoff_below(struct backoff *backoff, uint32_t below)
{
    return (uint32_t)(((draw(backoff) >> 32) * below) >> 32);
}

uint32_t backoff_next(struct backoff *backoff, uint64_t retry_after_ms)
{
    uint32_t doublings =
        backoff->tries < DOUBLINGS_MOST ? backoff->tries : DOUBLINGS_MOST;
    uint64_t bound = (uint64_t)backoff->spread_ms << doublings;

    if (bound > BACKOFF_MOST_MS) {
        bound = backoff->spread_ms > BACKOFF_MOST_MS ? backoff->spread_ms
                                                     : BACKOFF_MOST_MS;
    }
    if (retry_after_ms > BACKOFF_RETRY_AFTER_MOST_MS) {
        retry_after_ms = BACKOFF_RETRY_AFTER_MOST_MS;
    }
    backoff->tries++;
    return (uint32_t)retry_after_ms +
           backoff_below(backoff, (uint32_t)bound);
}

void backoff_good(struct backoff *backoff)
{
    backoff->tries = 0;
}
