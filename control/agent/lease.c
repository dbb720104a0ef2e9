/* SPDX-License-Identifier: Apache-2.0
 * lease.c - for how long this host may let somebody in.
 *
 * Why: the server waits until a host that it does not hear has no lease any
 * more.  It counts from its answer, the host from its question, so the host's
 * end comes first however slow the way is.  An answer that was under way while
 * a newer epoch came is an answer to a world that is gone.
 * Read next: rules.h, docs/agent.md (Lease).
 */
#include "control/agent/rules.h"

#define MS INT64_C(1000000)

bool lease_grant(struct lease *lease, int64_t sent, uint64_t epoch,
                 uint64_t newest_epoch, uint64_t lease_ms)
{
    int64_t until;

    if (lease_ms == 0 || epoch < newest_epoch) {
        return false;
    }
    if (lease_ms > LEASE_GRANT_MAX_MS) {
        lease_ms = LEASE_GRANT_MAX_MS;
    }
    lease->grant = (uint32_t)lease_ms;
    until = sent + (int64_t)lease_ms * MS;
    if (until <= lease->until) {
        return false;
    }
    lease->until = until;
    return true;
}

int64_t lease_next_report(const struct lease *lease, int64_t sent)
{
    uint32_t every = lease->grant > 0 ? lease->grant / 3 : LEASE_REPORT_MS;

    return sent + (int64_t)(every > 0 ? every : 1) * MS;
}

bool clock_offset(int64_t sent, int64_t answered, int64_t theirs,
                  int64_t *ret_offset)
{
    int64_t took = answered - sent;

    if (theirs <= 0 || took < 0 || took > CLOCK_CALL_MOST_MS) {
        return false;
    }
    *ret_offset = sent + took / 2 - theirs;
    return true;
}
