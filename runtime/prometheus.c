/* SPDX-License-Identifier: Apache-2.0
 * prometheus.c - the same facts as status.c, in the text format 0.0.4.
 *
 * Why: one family stands together with its HELP and TYPE, as the format asks.
 * The histogram gives every twelfth of our 256 buckets, about a doubling each,
 * with exact edges; who wants finer ones reads the JSON.
 * Read next: status.c, counters.def.
 */
#include <stdlib.h>
#include <string.h>

#include "runtime/status.h"

#define BUCKET_STEP 12u
#define DURATION "gray_request_duration_seconds"

static void head(struct text *text, const char *name, const char *type,
                 const char *help)
{
    runtime_text_add(text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name,
                     type);
}

/* {service="cart",version="v2",lane="",arm="cart-2",class="live" */
static void labels(struct text *text, const struct gray_series *series)
{
    runtime_text_add(text, "{service=\"");
    runtime_text_label(text, series->service);
    runtime_text_add(text, "\",version=\"");
    runtime_text_label(text, series->version);
    runtime_text_add(text, "\",lane=\"");
    runtime_text_label(text, series->lane);
    runtime_text_add(text, "\",arm=\"");
    runtime_text_label(text, series->arm);
    runtime_text_add(text, "\",class=\"%s\"",
                     runtime_class_word(series->traffic_class));
}

static void counter(struct text *text, const struct gray_totals *totals,
                    const char *metric, const char *doc, size_t offset)
{
    size_t i;

    head(text, metric, "counter", doc);
    for (i = 0; i < totals->series_count; i++) {
        uint64_t value;

        memcpy(&value, (const char *)&totals->series[i] + offset,
               sizeof(value));
        runtime_text_add(text, "%s", metric);
        labels(text, &totals->series[i]);
        runtime_text_add(text, "} %llu\n", (unsigned long long)value);
    }
}

static void histogram(struct text *text, const struct gray_series *series)
{
    uint64_t seen = 0;
    uint32_t i;

    for (i = 0; i < GRAY_LATENCY_BUCKETS; i++) {
        seen += series->latency[i];
        if (i % BUCKET_STEP == BUCKET_STEP - 1 &&
            i != GRAY_LATENCY_BUCKETS - 1) {
            /* The last whole microsecond of this bucket: exact. */
            uint32_t last = runtime_latency_floor[i + 1] - 1;

            runtime_text_add(text, DURATION "_bucket");
            labels(text, series);
            runtime_text_add(text, ",le=\"%u.%06u\"} %llu\n", last / 1000000u,
                             last % 1000000u, (unsigned long long)seen);
        }
    }
    runtime_text_add(text, DURATION "_bucket");
    labels(text, series);
    runtime_text_add(text, ",le=\"+Inf\"} %llu\n" DURATION "_sum",
                     (unsigned long long)seen);
    labels(text, series);
    runtime_text_add(text, "} %llu.%06llu\n" DURATION "_count",
                     (unsigned long long)series->latency_sum_us / 1000000u,
                     (unsigned long long)series->latency_sum_us % 1000000u);
    labels(text, series);
    runtime_text_add(text, "} %llu\n", (unsigned long long)seen);
}

static void all_series(struct text *text, const struct gray_totals *totals)
{
    size_t i;

#define GRAY_COUNTER(NAME, field, metric, doc)                                 \
    counter(text, totals, metric, doc, offsetof(struct gray_series, field));
#include "runtime/counters.def"
#undef GRAY_COUNTER
    head(text, "gray_requests_in_flight", "gauge", "requests under way");
    for (i = 0; i < totals->series_count; i++) {
        runtime_text_add(text, "gray_requests_in_flight");
        labels(text, &totals->series[i]);
        runtime_text_add(text, "} %u\n", totals->series[i].in_flight);
    }
    head(text, DURATION, "histogram", "time from request to last byte");
    for (i = 0; i < totals->series_count; i++) {
        histogram(text, &totals->series[i]);
    }
}

static void all_releases(struct text *text, const struct status *s)
{
    const struct gray_snapshot *policy =
        s->policy != NULL ? &s->policy->policy : NULL;
    uint32_t pass, i;

    for (pass = 0; pass < 2; pass++) {
        const char *metric =
            pass == 0 ? "gray_release_share" : "gray_release_word";

        head(text, metric, "gauge",
             pass == 0 ? "share of the bucket line, 0 to 1"
                       : "0 open, 1 no-admit, 2 stopped, 3 killed");
        for (i = 0; policy != NULL && i < policy->policy->releases.count; i++) {
            const struct gray_release *release = gray_release_at(policy, i);
            struct gray_str name = gray_text(policy, release->name);

            runtime_text_add(text, "%s{release=\"%.*s\"} ", metric,
                             (int)name.length, name.data);
            if (pass == 0) {
                runtime_text_add(text, "%u.%06u\n",
                                 release->share / GRAY_SHARE_ALL,
                                 release->share % GRAY_SHARE_ALL);
            } else {
                runtime_text_add(text, "%u\n",
                                 runtime_status_word(s, release) &
                                     GRAY_WORD_MASK);
            }
        }
    }
}

static void all_readers(struct text *text, const struct gray_totals *totals)
{
    size_t i;

    head(text, "gray_reader_policy_generation", "gauge",
         "generation that a living reader decides by");
    for (i = 0; i < totals->reader_count; i++) {
        const struct gray_reader_status *r = &totals->readers[i];

        if (r->alive) {
            runtime_text_add(
                text, "gray_reader_policy_generation{reader=\"%s\"} %llu\n",
                r->id, (unsigned long long)r->policy_generation);
        }
    }
    head(text, "gray_reader_late_ms", "gauge",
         "how long after its instant a living reader turned to its policy");
    for (i = 0; i < totals->reader_count; i++) {
        const struct gray_reader_status *r = &totals->readers[i];

        if (r->alive) {
            runtime_text_add(text, "gray_reader_late_ms{reader=\"%s\"} %lld\n",
                             r->id, (long long)r->late_ms);
        }
    }
    head(text, "gray_reader_refusing", "gauge",
         "1: this living reader refused the newest snapshot");
    for (i = 0; i < totals->reader_count; i++) {
        const struct gray_reader_status *r = &totals->readers[i];

        if (r->alive) {
            runtime_text_add(text, "gray_reader_refusing{reader=\"%s\"} %d\n",
                             r->id, r->refusal[0] != '\0');
        }
    }
    head(text, "gray_bad_readers", "gauge",
         "files in readers/ that were not believed");
    runtime_text_add(text, "gray_bad_readers %zu\n", totals->bad_readers);
}

static void all_totals(struct text *text, const struct gray_totals *totals)
{
    uint32_t i;

    head(text, "gray_events_total", "counter", "what readers met, by event");
#define GRAY_EVENT(NAME, number, word, doc)                                    \
    runtime_text_add(text, "gray_events_total{event=\"%s\"} %llu\n", word,     \
                     (unsigned long long)totals->events[number]);
#include "runtime/events.def"
#undef GRAY_EVENT
    head(text, "gray_decisions_total", "counter", "decisions by reason");
    for (i = 0; i < 256; i++) {
        if (totals->reasons[i] != 0) {
            runtime_text_add(text, "gray_decisions_total{reason=\"%s\"} %llu\n",
                             gray_reason_code((enum gray_reason)i),
                             (unsigned long long)totals->reasons[i]);
        }
    }
}

static void gauge(struct text *text, const char *name, const char *help,
                  uint64_t value)
{
    head(text, name, "gauge", help);
    runtime_text_add(text, "%s %llu\n", name, (unsigned long long)value);
}

void runtime_status_prometheus(struct text *text, const struct status *s)
{
    const struct gray_control *control = s->folder.control;
    const char *writer = control != NULL ? gray_writer_word(&s->folder) : "";

    gauge(text, "gray_up", "1: the runtime folder can be read",
          control != NULL);
    gauge(text, "gray_policy_good", "1: the policy in force is sound",
          s->policy != NULL && s->problem.code == NULL);
    if (control == NULL) {
        return;
    }
    gauge(text, "gray_policy_generation", "policy in force on this host",
          s->named.policy);
    gauge(text, "gray_next_generation",
          "policy that waits for its instant; 0: none", s->named.next);
    gauge(text, "gray_policy_blocked",
          "1: who starts passes over a policy that crashed readers",
          s->crashes.blocked || s->next_crashes.blocked);
    gauge(text, "gray_fleet_generation", "fleet in force on this host",
          s->named.fleet);
    gauge(text, "gray_policy_revision", "its number in the history",
          s->policy != NULL ? s->policy->policy.header->revision : 0);
    gauge(text, "gray_bypass", "1: the modules are transparent",
          control->bypass);
    if (strcmp(writer, "none") != 0) {
        gauge(text, "gray_marks_writer", "1: marks are made durable",
              strcmp(writer, "ok") == 0);
    }
    all_releases(text, s);
    all_series(text, &s->totals);
    all_readers(text, &s->totals);
    all_totals(text, &s->totals);
}

char *gray_status_prometheus(const char *folder, size_t *ret_length)
{
    struct text text = {NULL, 0, 0, false};
    struct status s;

    runtime_status_read(&s, folder);
    runtime_status_prometheus(&text, &s);
    runtime_status_clear(&s);
    return runtime_text_take(&text, ret_length);
}
