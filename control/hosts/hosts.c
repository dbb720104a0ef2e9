/* SPDX-License-Identifier: Apache-2.0
 * hosts.c - bundles, hosts and promises under one lock.
 *
 * Why: a report is answered on the thread of its connection, thousands a
 * second, so nothing here waits, reads a file or asks the store; what has to
 * be committed (a new host, a word that somebody set on one) is left for the
 * control thread to fetch.  The newest epoch and the leases are under the same
 * lock: a report is granted its lease either before a word is there, and then
 * the promise counts it, or after, and then it gets none.
 * Read next: registry.c (the arithmetic), poll.c, list.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "control/grayd.h"
#include "control/hosts/internal.h"

#define NAMED_MAX 100u
#define RETRY_MOST_S 30

static int64_t boot_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- open and close ---------------------------------------------------------- */

int hosts_open(struct hosts **ret_hosts, const struct hosts_options *options,
               struct gray_problem *ret_problem)
{
    struct hosts *hosts = calloc(1, sizeof(*hosts));
    pthread_condattr_t clock;
    int error;

    if (hosts == NULL) {
        ret_problem->code = "no-memory";
        strcpy(ret_problem->sentence, "There is no memory for hosts.");
        return -ENOMEM;
    }
    hosts->now = options->now != NULL ? options->now : boot_ms;
    hosts->wall = options->wall != NULL ? options->wall : grayd_now;
    snprintf(hosts->server, sizeof(hosts->server), "%s", options->server);
    snprintf(hosts->newest.server, sizeof(hosts->newest.server), "%s",
             options->server);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_mutex_init(&hosts->lock, NULL);
    pthread_cond_init(&hosts->wake, &clock);
    pthread_condattr_destroy(&clock);
    /* Hosts are fed and stopped without them, too. */
    if (options->state != NULL &&
        told_open(&hosts->told, options->state, ret_problem) != 0) {
        grayd_log(LOG_LEVEL_ERROR, ret_problem->code, "%s",
                  ret_problem->sentence);
    }
    error = poll_start(hosts, ret_problem);
    if (error != 0) {
        hosts_close(hosts);
        return error;
    }
    *ret_hosts = hosts;
    return 0;
}

void hosts_close(struct hosts *hosts)
{
    if (hosts == NULL) {
        return;
    }
    hosts_end(hosts);
    registry_clear(&hosts->registry);
    bundle_release(hosts->bundle);
    bundle_release(hosts->before);
    told_close(hosts->told);
    pthread_mutex_destroy(&hosts->lock);
    pthread_cond_destroy(&hosts->wake);
    free(hosts);
}

int64_t hosts_now(const struct hosts *hosts)
{
    return hosts->now();
}

/* ---- the newest bundle --------------------------------------------------------- */

void hosts_put(struct hosts *hosts, struct bundle *bundle)
{
    struct bundle *gone;

    pthread_mutex_lock(&hosts->lock);
    gone = hosts->before;
    hosts->before = hosts->bundle;
    hosts->bundle = bundle;
    hosts->newest.sequence = bundle->sequence;
    hosts->newest.revision = bundle->revision;
    hosts->newest.epoch = bundle->epoch;
    hosts->fresh = true;
    pthread_cond_signal(&hosts->wake);
    pthread_mutex_unlock(&hosts->lock);
    bundle_release(gone);
}

struct blob *hosts_blob(struct hosts *hosts, const char *sha256)
{
    struct blob *blob;

    pthread_mutex_lock(&hosts->lock);
    blob = bundle_find(hosts->bundle, sha256);
    if (blob == NULL) {
        blob = bundle_find(hosts->before, sha256);
    }
    blob_reference(blob);
    pthread_mutex_unlock(&hosts->lock);
    return blob;
}

void hosts_newest(struct hosts *hosts, struct registry_newest *ret_newest)
{
    pthread_mutex_lock(&hosts->lock);
    *ret_newest = hosts->newest;
    pthread_mutex_unlock(&hosts->lock);
}

/* ---- hosts ------------------------------------------------------------------------- */

int hosts_keep(struct hosts *hosts, const char *name, bool assume)
{
    struct host *host;

    pthread_mutex_lock(&hosts->lock);
    host = registry_add(&hosts->registry, name);
    if (host != NULL) {
        host->kept = true;
        if (assume) {
            host_assume_lease(host, hosts->now());
        }
    }
    pthread_mutex_unlock(&hosts->lock);
    return host != NULL ? 0 : -ENOMEM;
}

bool hosts_next_new(struct hosts *hosts, size_t *at,
                    char ret_name[REPORT_NAME_MAX + 1])
{
    const struct registry *registry = &hosts->registry;
    bool found = false;

    pthread_mutex_lock(&hosts->lock);
    for (; hosts->news && !found && *at < registry->count; (*at)++) {
        const struct host *host = registry->hosts[*at];

        found = !host->kept && host->heard;
        if (found) {
            strcpy(ret_name, host->name);
        }
    }
    hosts->news = found; /* all were seen: until the next report says so */
    pthread_mutex_unlock(&hosts->lock);
    return found;
}

size_t hosts_known(struct hosts *hosts)
{
    size_t known;

    pthread_mutex_lock(&hosts->lock);
    known = hosts->registry.count;
    pthread_mutex_unlock(&hosts->lock);
    return known;
}

int hosts_may_forget(struct hosts *hosts, const char *name, int64_t *ret_until)
{
    const struct host *host;
    int error = 0;

    pthread_mutex_lock(&hosts->lock);
    host = registry_find(&hosts->registry, name);
    if (host == NULL) {
        error = -ENOENT;
    } else if (host->lease_until > hosts->now()) {
        *ret_until = host->lease_until;
        error = -EBUSY;
    }
    pthread_mutex_unlock(&hosts->lock);
    return error;
}

void hosts_forget(struct hosts *hosts, const char *name)
{
    struct host *host;

    pthread_mutex_lock(&hosts->lock);
    host = registry_find(&hosts->registry, name);
    if (host != NULL) {
        poll_end_of(hosts, host);
        registry_remove(&hosts->registry, name);
    }
    pthread_mutex_unlock(&hosts->lock);
}

bool hosts_next_word(struct hosts *hosts, size_t *at, hosts_epoch_of *epoch_of,
                     void *context, char ret_host[REPORT_NAME_MAX + 1],
                     struct report_word *ret_word)
{
    const struct registry *registry = &hosts->registry;
    bool found = false;

    pthread_mutex_lock(&hosts->lock);
    while (hosts->words && !found &&
           *at / REPORT_WORDS_MAX < registry->count) {
        const struct host *host = registry->hosts[*at / REPORT_WORDS_MAX];
        size_t number = *at % REPORT_WORDS_MAX;

        if (number >= host->report.word_count) {
            *at += REPORT_WORDS_MAX - number; /* the next host */
            continue;
        }
        *ret_word = host->report.words[number];
        strcpy(ret_host, host->name);
        (*at)++;
        /* Who has not seen our newest word yet is to look at it first. */
        found = host->report.sequence >= epoch_of(context, ret_word->scope);
    }
    if (!found) {
        hosts->words = false; /* until the next report that says some */
    }
    pthread_mutex_unlock(&hosts->lock);
    return found;
}

struct told *hosts_told(struct hosts *hosts)
{
    return hosts->told;
}

void hosts_note_through(struct hosts *hosts, const char *name,
                        const char *journal, uint64_t through)
{
    struct host *host;

    pthread_mutex_lock(&hosts->lock);
    host = registry_find(&hosts->registry, name);
    if (host != NULL) {
        snprintf(host->journal, sizeof(host->journal), "%s", journal);
        host->through = through;
        host->has_through = true;
    }
    pthread_mutex_unlock(&hosts->lock);
}

/* Where nobody asked yet since the start, or its journal is another one. */
static uint64_t ask_through(struct hosts *hosts, const char *name,
                            const char *journal)
{
    struct gray_problem problem = { 0 };
    uint64_t through = 0;

    if (hosts->told != NULL && journal[0] != '\0' &&
        told_through(hosts->told, name, journal, &through, &problem) == 0) {
        hosts_note_through(hosts, name, journal, through);
    }
    return through;
}

json_t *hosts_report(struct hosts *hosts, const char *name,
                     struct report *report)
{
    struct host *host;
    int64_t lease = 0, spread;
    uint64_t sequence, through = 0;
    char journal[REPORT_ID_MAX + 1];
    bool known = false;

    strcpy(journal, report->journal);
    pthread_mutex_lock(&hosts->lock);
    host = registry_add(&hosts->registry, name);
    if (host != NULL) {
        lease = host_report(host, report, &hosts->newest, hosts->now(),
                            hosts->wall());
        hosts->words |= host->report.word_count > 0;
        hosts->news |= !host->kept;
        known = host->has_through && strcmp(host->journal, journal) == 0;
        through = host->through;
    }
    spread = hosts_spread(hosts->registry.count);
    sequence = hosts->newest.sequence;
    pthread_mutex_unlock(&hosts->lock);
    report_clear(report);
    if (!known) {
        through = ask_through(hosts, name, journal);
    }
    return host != NULL
               ? json_pack("{s:I,s:I,s:I,s:I,s:I}", "leaseMs",
                           (json_int_t)lease, "sequence", (json_int_t)sequence,
                           "spreadMs", (json_int_t)spread, "admissionsThrough",
                           (json_int_t)through, "clockMs",
                           (json_int_t)hosts->wall())
               : NULL;
}

bool hosts_admit(struct hosts *hosts, bool polls, unsigned *ret_retry_s)
{
    bool may;

    pthread_mutex_lock(&hosts->lock);
    may = shed_take(polls ? &hosts->polls : &hosts->reports, hosts->now());
    if (!may) {
        int64_t spread = hosts_spread(hosts->registry.count) / 2000;

        *ret_retry_s = spread < 1               ? 1
                       : spread > RETRY_MOST_S ? RETRY_MOST_S
                                               : (unsigned)spread;
    }
    pthread_mutex_unlock(&hosts->lock);
    return may;
}

/* ---- promises ---------------------------------------------------------------------- */

static json_t *late_row(const struct host *host, uint64_t epoch,
                        int64_t lease_ms, int64_t now)
{
    json_t *row = json_pack("{s:s,s:I,s:b}", "host", host->name, "epoch",
                            (json_int_t)host->report.epoch, "heard",
                            (int)host->heard);
    int64_t left = host_over_at(host, epoch, lease_ms) - now;

    if (row != NULL && host->report.late_readers != NULL) {
        json_object_set(row, "readers", host->report.late_readers);
    }
    if (row != NULL && lease_ms != 0) {
        json_object_set_new(row, "leaseLeftMs",
                            json_integer(left > 0 ? left : 0));
    }
    return row;
}

void hosts_stand(struct hosts *hosts, uint64_t epoch, int64_t lease_ms,
                 struct hosts_stand *ret_stand)
{
    struct hosts_stand stand = { 0 };
    int64_t now;

    pthread_mutex_lock(&hosts->lock);
    now = hosts->now();
    for (size_t i = 0; i < hosts->registry.count; i++) {
        const struct host *host = hosts->registry.hosts[i];
        enum host_stands how =
            host_stands(host, &hosts->newest, epoch, lease_ms, now);

        if (!host->kept && !host->heard) {
            continue; /* it only polled: nobody knows of any reader there */
        }
        stand.known++;
        stand.waited += how == HOST_LATE;
        stand.over += how == HOST_LEASE_OVER;
        if (how != HOST_ACKNOWLEDGED &&
            json_array_size(stand.late) < NAMED_MAX) {
            stand.late = stand.late != NULL ? stand.late : json_array();
            json_array_append_new(stand.late,
                                  late_row(host, epoch, lease_ms, now));
        }
    }
    pthread_mutex_unlock(&hosts->lock);
    *ret_stand = stand;
}

void hosts_behind(struct hosts *hosts, uint64_t sequence, size_t *ret_known,
                  size_t *ret_have, json_t **ret_names)
{
    json_t *names = ret_names != NULL ? json_array() : NULL;
    size_t have = 0, known = 0;

    pthread_mutex_lock(&hosts->lock);
    for (size_t i = 0; i < hosts->registry.count; i++) {
        const struct host *host = hosts->registry.hosts[i];

        if (!host->kept && !host->heard) {
            continue; /* it only polled */
        }
        known++;
        if (host_follows(host, &hosts->newest, sequence)) {
            have++;
        } else if (names != NULL && json_array_size(names) < NAMED_MAX) {
            json_array_append_new(names, json_string(host->name));
        }
    }
    *ret_known = known;
    *ret_have = have;
    pthread_mutex_unlock(&hosts->lock);
    if (ret_names != NULL) {
        *ret_names = names;
    }
}
