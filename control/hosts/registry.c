/* SPDX-License-Identifier: Apache-2.0
 * registry.c - hosts by name, their leases, and how they stand to a word.
 *
 * Why: a host that is cut off goes on admitting until its lease ends, and ends
 * it by its own clock.  So ours is longer by a hundredth: no two clocks of
 * machines differ so much in ten seconds.  What a host says of a future that
 * we do not know (a restored server) acknowledges nothing.
 * Read next: registry.h, hosts.c.
 */
#include <stdlib.h>
#include <string.h>

#include "control/hosts/registry.h"

/* ---- by name ---------------------------------------------------------------- */

/* The first place whose name is not before this one. */
static size_t place_of(const struct registry *registry, const char *name)
{
    size_t low = 0, high = registry->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (strcmp(registry->hosts[middle]->name, name) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct host *registry_find(const struct registry *registry, const char *name)
{
    size_t at = place_of(registry, name);

    return at < registry->count &&
                   strcmp(registry->hosts[at]->name, name) == 0
               ? registry->hosts[at]
               : NULL;
}

static bool make_room(struct registry *registry)
{
    size_t room = registry->room * 2 + 64;
    struct host **more;

    if (registry->count < registry->room) {
        return true;
    }
    more = realloc(registry->hosts, room * sizeof(*more));
    if (more != NULL) {
        registry->hosts = more;
        registry->room = room;
    }
    return more != NULL;
}

struct host *registry_add(struct registry *registry, const char *name)
{
    struct host *host = registry_find(registry, name);
    size_t at = place_of(registry, name);

    if (host != NULL || strlen(name) > REPORT_NAME_MAX ||
        registry->count >= HOSTS_MAX || !make_room(registry) ||
        (host = calloc(1, sizeof(*host))) == NULL) {
        return host;
    }
    strcpy(host->name, name);
    memmove(&registry->hosts[at + 1], &registry->hosts[at],
            (registry->count - at) * sizeof(host));
    registry->hosts[at] = host;
    registry->count++;
    return host;
}

static void host_free(struct host *host)
{
    report_clear(&host->report);
    free(host);
}

void registry_remove(struct registry *registry, const char *name)
{
    size_t at = place_of(registry, name);

    if (registry_find(registry, name) == NULL) {
        return;
    }
    host_free(registry->hosts[at]);
    registry->count--;
    memmove(&registry->hosts[at], &registry->hosts[at + 1],
            (registry->count - at) * sizeof(registry->hosts[0]));
}

void registry_clear(struct registry *registry)
{
    for (size_t i = 0; i < registry->count; i++) {
        host_free(registry->hosts[i]);
    }
    free(registry->hosts);
    *registry = (struct registry) { 0 };
}

/* ---- leases --------------------------------------------------------------------- */

static int64_t lease_end(int64_t now)
{
    return now + HOSTS_LEASE_MS + HOSTS_LEASE_MS / 100;
}

void host_assume_lease(struct host *host, int64_t now)
{
    host->lease_until = lease_end(now);
}

/* Of this server, and not of a future that it does not know. */
static bool is_ours(const struct report *report,
                    const struct registry_newest *newest)
{
    return strcmp(report->server, newest->server) == 0 &&
           report->sequence <= newest->sequence &&
           report->epoch <= newest->epoch;
}

static void note_epoch(struct host *host, int64_t now)
{
    if (host->seen[0].at != 0 && host->seen[0].epoch == host->report.epoch) {
        return;
    }
    memmove(&host->seen[1], &host->seen[0],
            sizeof(host->seen) - sizeof(host->seen[0]));
    host->seen[0].epoch = host->report.epoch;
    host->seen[0].at = now;
}

int64_t host_report(struct host *host, struct report *report,
                    const struct registry_newest *newest, int64_t now,
                    int64_t wall)
{
    report_clear(&host->report);
    host->report = *report;
    *report = (struct report) { 0 };
    host->heard = true;
    host->heard_at = now;
    host->heard_wall = wall;
    host->skew_ms =
        host->report.clock_ms != 0 ? host->report.clock_ms - wall : 0;
    note_epoch(host, now);
    if (!host->kept || !is_ours(&host->report, newest) ||
        host->report.epoch != newest->epoch) {
        return 0;
    }
    host->lease_until = lease_end(now);
    return HOSTS_LEASE_MS;
}

/* When it first reported this epoch or a later one; 0: it has not. */
static int64_t reached_at(const struct host *host, uint64_t epoch)
{
    int64_t at = 0;

    for (size_t i = 0; i < HOSTS_SEEN && host->seen[i].at != 0 &&
                       host->seen[i].epoch >= epoch; i++) {
        at = host->seen[i].at;
    }
    return at;
}

/* A word that the host has, and a reader of it has not, is obeyed by that
 * reader when the scope's own lease has run out, counted from the word: the
 * host renews its lease for the other scopes. */
int64_t host_over_at(const struct host *host, uint64_t epoch, int64_t lease_ms)
{
    int64_t reached = reached_at(host, epoch);

    if (lease_ms == 0) {
        return 0;
    }
    if (reached != 0 && reached + lease_ms < host->lease_until) {
        return reached + lease_ms;
    }
    return host->lease_until;
}

enum host_stands host_stands(const struct host *host,
                             const struct registry_newest *newest,
                             uint64_t epoch, int64_t lease_ms, int64_t now)
{
    const struct report *report = &host->report;

    if (host->heard && is_ours(report, newest) && report->epoch >= epoch &&
        report->readers_epoch >= epoch &&
        (!report->has_marks || report->marks_closed >= epoch)) {
        return HOST_ACKNOWLEDGED;
    }
    return lease_ms != 0 && now >= host_over_at(host, epoch, lease_ms)
               ? HOST_LEASE_OVER
               : HOST_LATE;
}

bool host_follows(const struct host *host,
                  const struct registry_newest *newest, uint64_t sequence)
{
    return host->heard && is_ours(&host->report, newest) &&
           host->report.sequence >= sequence && host->report.late == 0;
}

const char *host_state(const struct host *host,
                       const struct registry_newest *newest, int64_t now)
{
    const struct report *report = &host->report;

    if (!host->heard) {
        return "unheard";
    }
    if (now - host->heard_at > HOSTS_AWAY_MS) {
        return "away";
    }
    if (report->refused != 0) {
        return "refuses";
    }
    if (report->sequence > 0 && !is_ours(report, newest)) {
        return "ahead";
    }
    if (report->sequence < newest->sequence) {
        return "behind";
    }
    return report->late > 0 ? "late" : "current";
}

int64_t hosts_spread(size_t count)
{
    int64_t spread = (int64_t)count * 1000 / HOSTS_PER_S;

    return spread > HOSTS_SPREAD_LEAST_MS ? spread : HOSTS_SPREAD_LEAST_MS;
}

/* ---- shedding --------------------------------------------------------------------- */

bool shed_take(struct shed *shed, int64_t now)
{
    int64_t oldest = shed->last[shed->next];

    if (oldest != 0 && now - oldest < 1000) {
        shed->refused++;
        return false;
    }
    shed->last[shed->next] = now;
    shed->next = (shed->next + 1) % HOSTS_PER_S;
    shed->taken++;
    return true;
}
