/* SPDX-License-Identifier: Apache-2.0
 * registry.h - what each host said last, and what it may do until when.
 *
 * Why: the promise of a freeze is arithmetic over what hosts reported and what
 * they were granted, so it stands here by itself: no clock, no lock, no file.
 * Moments are of two clocks, both given by the caller: `now` counts through a
 * suspend (CLOCK_BOOTTIME, ms) and measures leases, `wall` is shown to people.
 *
 *   a host is known, and has no lease   hears: leaseMs 0
 *   `kept` (the store has it)           a report of the newest epoch: a lease
 *   this server began                   every kept host may have one from now
 *
 * Read next: docs/agent.md (Lease), report.h, hosts.h.
 */
#ifndef GRAYD_HOSTS_REGISTRY_H
#define GRAYD_HOSTS_REGISTRY_H

#include "control/hosts/report.h"

#define HOSTS_LEASE_MS 10000    /* granted by a report */
#define HOSTS_MAX 100000u       /* that are known */
#define HOSTS_SEEN 8u           /* epochs whose first report is remembered */
#define HOSTS_PER_S 50u         /* that come after an outage */
#define HOSTS_SPREAD_LEAST_MS 1000
/* A host that was not heard for so long is cut off: one period of reports and
 * what the network may take. */
#define HOSTS_AWAY_MS (HOSTS_LEASE_MS / 3 + 1000)

/* Which bundle is the newest, of which server. */
struct registry_newest {
    char server[REPORT_ID_MAX + 1];
    uint64_t sequence, revision, epoch;
};
struct host {
    char name[REPORT_NAME_MAX + 1];
    bool kept;          /* the store has it: it may be granted a lease */
    bool heard;         /* since this server began */
    int64_t lease_until; /* now-clock; 0: it has none */
    int64_t heard_at, heard_wall;
    char journal[REPORT_ID_MAX + 1]; /* whose copy `through` counts in */
    uint64_t through;   /* records of it that are kept here */
    bool has_through;
    void *poll;         /* that waits: poll.c's; NULL: none */
    int64_t skew_ms;    /* its clock less ours, when a report came */
    struct report report;
    struct {
        uint64_t epoch;
        int64_t at;
    } seen[HOSTS_SEEN]; /* the newest first; at 0: none */
};
struct registry {
    struct host **hosts; /* by name */
    size_t count, room;
};
void registry_clear(struct registry *registry);
/* NULL: there is no such host. */
struct host *registry_find(const struct registry *registry, const char *name);
/* Finds or makes one. NULL: no memory, or HOSTS_MAX are known. */
struct host *registry_add(struct registry *registry, const char *name);
void registry_remove(struct registry *registry, const char *name);

/* ---- leases and promises (pure) ---------------------------------------------- */

/* A kept host of before this start: nobody knows what it was granted last. */
void host_assume_lease(struct host *host, int64_t now);
/* Takes a report over (*report is empty afterwards) and grants what it earns:
 * ms of lease, 0 none. */
int64_t host_report(struct host *host, struct report *report,
                    const struct registry_newest *newest, int64_t now,
                    int64_t wall);
enum host_stands {
    HOST_ACKNOWLEDGED, /* it, all its live readers, and its marks */
    HOST_LEASE_OVER,   /* it may not admit any more, whatever it knows */
    HOST_LATE
};
/* How a host stands to a word of this epoch, in a scope whose own lease is
 * `lease_ms` (0: none, and then only an acknowledgement counts). */
enum host_stands host_stands(const struct host *host,
                             const struct registry_newest *newest,
                             uint64_t epoch, int64_t lease_ms, int64_t now);
/* When nobody has to wait for it any more, at the latest; 0: no lease says. */
int64_t host_over_at(const struct host *host, uint64_t epoch,
                     int64_t lease_ms);
/* Whether it has put a bundle in force, its readers' part included. */
bool host_follows(const struct host *host,
                  const struct registry_newest *newest, uint64_t sequence);
/* "current", "behind", "late" (readers), "refuses", "ahead" (of a server that
 * knew more), "away", "unheard" (not since this server began). Static. */
const char *host_state(const struct host *host,
                       const struct registry_newest *newest, int64_t now);
/* In how many ms all of so many hosts come back at HOSTS_PER_S. */
int64_t hosts_spread(size_t count);

/* ---- shedding (pure) ------------------------------------------------------------ */

/* At most HOSTS_PER_S in any second: the moments of the last ones. */
struct shed {
    int64_t last[HOSTS_PER_S]; /* now-clock; a ring */
    size_t next;               /* place of the oldest */
    uint64_t taken, refused;
};
/* May one more come now?  `now` is more than 1000. */
bool shed_take(struct shed *shed, int64_t now);

#endif
