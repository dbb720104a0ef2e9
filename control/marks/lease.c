/* SPDX-License-Identifier: Apache-2.0
 * lease.c - until when this host may let somebody in.
 *
 * Why: where grayd itself keeps the marks, the lease says that it lives: every
 * beat renews it.  Where an agent does, the lease is the server's: it says that
 * the server has heard this host, and a beat only ever writes it as far as that
 * goes.  Either way the journal must take marks.
 * Read next: thread.c (beats), control/agent/lease.c.
 */
#include "control/marks/internal.h"

#define ALWAYS INT64_MAX

static int64_t *deadline_of(struct marks *marks)
{
    return &marks->folder.control->lease_deadline;
}

void lease_begin(struct marks *marks, bool leased)
{
    int64_t now = __atomic_load_n(deadline_of(marks), __ATOMIC_ACQUIRE);

    /* 0 in `control` means that nobody grants leases: from now on somebody
     * does, and one that is over is not 0. */
    atomic_store(&marks->lease_until, !leased ? ALWAYS : now > 0 ? now : 1);
}

void lease_write(struct marks *marks, int64_t now_ns)
{
    int64_t own = now_ns + MARKS_LEASE_MS * INT64_C(1000000);
    int64_t most = atomic_load(&marks->lease_until);

    __atomic_store_n(deadline_of(marks), own < most ? own : most,
                     __ATOMIC_RELEASE);
}

void marks_lease(struct marks *marks, int64_t until)
{
    int64_t now = atomic_load(&marks->lease_until);

    while (until > now && !atomic_compare_exchange_weak(&marks->lease_until,
                                                        &now, until)) {
    }
}
