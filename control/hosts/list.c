/* SPDX-License-Identifier: Apache-2.0
 * list.c - every host as people see it.
 *
 * Why: at three in the morning the question is which host is not where it
 * should be, and until when it may still admit.
 * Read next: registry.c (host_state), ../read/hosts.c.
 */
#include <string.h>

#include "control/hosts/internal.h"

const char *const hosts_state_words[8] = { "current", "behind", "late",
                                           "refuses", "ahead",  "away",
                                           "unheard", NULL };

static json_t *words_of(const struct report *report)
{
    json_t *rows = json_array();

    for (size_t i = 0; i < report->word_count; i++) {
        char scope[17];

        snprintf(scope, sizeof(scope), "%016llx",
                 (unsigned long long)report->words[i].scope);
        json_array_append_new(
            rows, json_pack("{s:s,s:s,s:s}", "scope", scope, "word",
                            bundle_word_text(report->words[i].word), "actor",
                            report->words[i].actor));
    }
    return rows;
}

static json_t *refused_of(const struct report *report)
{
    return report->refused == 0
               ? json_null()
               : json_pack("{s:I,s:s,s:s}", "sequence",
                           (json_int_t)report->refused, "code",
                           report->refused_code, "sentence",
                           report->refused_sentence);
}

static json_t *marks_of(const struct report *report)
{
    return json_pack("{s:I,s:o}", "lag", (json_int_t)report->marks_lag,
                     "closed",
                     report->has_marks
                         ? json_integer((json_int_t)report->marks_closed)
                         : json_null());
}

static json_t *row_of(const struct hosts *hosts, const struct host *host,
                      int64_t now)
{
    const struct report *report = &host->report;
    const struct registry_newest *newest = &hosts->newest;
    int64_t left = host->lease_until - now;
    uint64_t lag = report->sequence < newest->sequence
                       ? newest->sequence - report->sequence
                       : 0;
    json_t *row = json_pack(
        "{s:s,s:s,s:b,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "name", host->name,
        "state", host_state(host, newest, now), "kept", (int)host->kept,
        "sequence", (json_int_t)report->sequence, "revision",
        (json_int_t)report->revision, "epoch", (json_int_t)report->epoch,
        "lag", (json_int_t)lag, "leaseLeftMs",
        (json_int_t)(left > 0 ? left : 0), "readers", (json_int_t)report->live,
        "lateReaders", (json_int_t)report->late, "heardAt",
        (json_int_t)host->heard_wall);

    if (row == NULL || !host->heard) {
        return row;
    }
    json_object_set_new(row, "heardAgoMs", json_integer(now - host->heard_at));
    json_object_set_new(row, "clockSkewMs", json_integer(host->skew_ms));
    json_object_set_new(row, "lateMs", json_integer(report->late_ms));
    json_object_set_new(row, "boot", json_string(report->boot));
    json_object_set_new(row, "build", json_string(report->build));
    json_object_set_new(row, "refused", refused_of(report));
    json_object_set_new(row, "words", words_of(report));
    json_object_set_new(row, "marks", marks_of(report));
    if (report->late_readers != NULL) {
        json_object_set(row, "late", report->late_readers);
    }
    return row;
}

json_t *hosts_list(struct hosts *hosts, const char *after, size_t limit,
                   bool *ret_more)
{
    json_t *rows = json_array();
    bool more = false;
    int64_t now;

    pthread_mutex_lock(&hosts->lock);
    now = hosts->now();
    for (size_t i = 0; i < hosts->registry.count && !more; i++) {
        const struct host *host = hosts->registry.hosts[i];

        if (after != NULL && strcmp(host->name, after) <= 0) {
            continue;
        }
        more = json_array_size(rows) >= limit;
        if (!more) {
            json_array_append_new(rows, row_of(hosts, host, now));
        }
    }
    pthread_mutex_unlock(&hosts->lock);
    *ret_more = more;
    return rows;
}

void hosts_count(struct hosts *hosts, struct hosts_figures *ret_figures)
{
    struct hosts_figures figures = { 0 };

    pthread_mutex_lock(&hosts->lock);
    figures.known = hosts->registry.count;
    figures.polls = hosts->waiting;
    figures.sequence = hosts->newest.sequence;
    figures.epoch = hosts->newest.epoch;
    figures.taken = hosts->polls.taken + hosts->reports.taken;
    figures.refused = hosts->polls.refused + hosts->reports.refused;
    for (size_t i = 0; i < hosts->registry.count; i++) {
        const struct host *host = hosts->registry.hosts[i];
        const char *state = host_state(host, &hosts->newest, hosts->now());
        uint64_t at = host->report.sequence;

        for (size_t k = 0; hosts_state_words[k] != NULL; k++) {
            figures.states[k] += strcmp(hosts_state_words[k], state) == 0;
        }
        if (host->heard && at < figures.sequence &&
            figures.sequence - at > figures.lag_most) {
            figures.lag_most = figures.sequence - at;
        }
    }
    pthread_mutex_unlock(&hosts->lock);
    *ret_figures = figures;
}
