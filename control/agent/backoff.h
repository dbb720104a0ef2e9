/* SPDX-License-Identifier: Apache-2.0
 * backoff.h - when a broken call is tried again, so that thousands never come
 * together.
 *
 * Why: after an outage every host of a fleet notices at the same moment.  Each
 * waits a random time in [0, bound), where the bound begins with what the
 * server said (`spreadMs`: so long that all its hosts together come slowly
 * enough) and doubles up to a minute, or stays where it is above that: "full jitter" (M. Brooker, Exponential
 * Backoff And Jitter, AWS Architecture Blog, 2015).  A Retry-After is a least
 * time, with the jitter behind it.
 *
 * Pure: chance comes from the seed, time from the caller.  Agents and the
 * server's simulator share this file.
 */
#ifndef GRAYD_AGENT_BACKOFF_H
#define GRAYD_AGENT_BACKOFF_H

#include <stdint.h>

#define BACKOFF_SPREAD_MS 2000u   /* before a server said anything */
#define BACKOFF_MOST_MS 60000u    /* doubling ends here */
#define BACKOFF_SPREAD_MOST_MS 3600000u
#define BACKOFF_RETRY_AFTER_MOST_MS 600000u /* a server's word, at most */

struct backoff {
    uint64_t random; /* state of SplitMix64 */
    uint32_t spread_ms;
    uint32_t tries; /* broken ones, since the last good one */
};
/* Two hosts need different seeds. */
void backoff_init(struct backoff *backoff, uint64_t seed);
/* What the server says, at most BACKOFF_SPREAD_MOST_MS; 0: leave it so. */
void backoff_spread(struct backoff *backoff, uint64_t spread_ms);
/* One more broke: how long to wait before the next, in ms. `retry_after_ms`:
 * what the server asked for; 0: nothing. */
uint32_t backoff_next(struct backoff *backoff, uint64_t retry_after_ms);
/* One went well. */
void backoff_good(struct backoff *backoff);
/* Uniform in [0, below), or 0 where `below` is 0: for waits that are no
 * failure. */
uint32_t backoff_below(struct backoff *backoff, uint32_t below);

#endif
