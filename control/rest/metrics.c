/* SPDX-License-Identifier: Apache-2.0
 * metrics.c - /metrics: grayd's own figures, then those of the host.
 *
 * Why: names follow Prometheus' conventions (base units, _total on counters;
 * promtool checks them in a test); labels come from tables only, never from a
 * request, so that nobody can grow them.  What the gateways of this host
 * count is said in the same words as at their own status location, by the same
 * function (runtime/prometheus.c).
 * Read next: ../../runtime/prometheus.c.
 */
#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "control/hosts/hosts.h"
#include "control/read/read.h"
#include "control/rest/internal.h"
#include "runtime/counters.h"
#include "runtime/internal.h"

/* Upper edges of the histogram, microseconds; the last bucket is +Inf. */
static const unsigned edges_us[REST_BUCKETS - 1] = {
    100,   250,    500,    1000,   2500,   5000,
    10000, 50000, 250000, 1000000, 5000000};

struct route_figures {
    _Atomic uint64_t codes[REST_STATUS_MAX];
    _Atomic uint64_t buckets[REST_BUCKETS];
    _Atomic uint64_t sum_us;
};
struct metrics {
    struct route_figures figures[ROUTE_COUNT + 1]; /* the last: no route */
    _Atomic uint64_t denied[PROBLEM_COUNT];
};

int metrics_start(struct rest *rest)
{
    rest->metrics = calloc(1, sizeof(*rest->metrics));
    return rest->metrics != NULL ? 0 : -1;
}

void metrics_stop(struct rest *rest)
{
    free(rest->metrics);
    rest->metrics = NULL;
}

void metrics_count(struct rest *rest, const struct route *route, int status,
                   uint64_t ns)
{
    struct route_figures *figures =
        &rest->metrics->figures[route != NULL ? route->number : ROUTE_COUNT];
    uint64_t us = ns / 1000;
    size_t i;

    for (i = 0; i < REST_BUCKETS - 1 && us > edges_us[i]; i++) {
    }
    atomic_fetch_add_explicit(&figures->buckets[i], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&figures->sum_us, us, memory_order_relaxed);
    if (status >= 0 && (unsigned)status < REST_STATUS_MAX) {
        atomic_fetch_add_explicit(&figures->codes[status], 1,
                                  memory_order_relaxed);
    }
}

void metrics_count_denied(struct rest *rest, enum problem_number problem)
{
    atomic_fetch_add_explicit(&rest->metrics->denied[problem], 1,
                              memory_order_relaxed);
}

static void head(struct text *text, const char *name, const char *type,
                 const char *help)
{
    runtime_text_add(text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name,
                     type);
}

static void one(struct text *text, const char *name, const char *type,
                const char *help, uint64_t value)
{
    head(text, name, type, help);
    runtime_text_add(text, "%s %llu\n", name, (unsigned long long)value);
}

/* The name of a route in lower case; "none" for what no route took. */
static const char *label_of(size_t number, char buffer[64])
{
    const char *name = number < ROUTE_COUNT ? routes[number].name : "none";
    size_t i;

    for (i = 0; name[i] != '\0' && i < 63; i++) {
        buffer[i] = (char)tolower((unsigned char)name[i]);
    }
    buffer[i] = '\0';
    return buffer;
}

static void add_requests(struct text *text, const struct metrics *metrics)
{
    char label[64];
    size_t i, status;

    head(text, "grayd_http_requests_total", "counter",
         "requests answered, by route and status");
    for (i = 0; i <= ROUTE_COUNT; i++) {
        for (status = 0; status < REST_STATUS_MAX; status++) {
            uint64_t count = atomic_load(&metrics->figures[i].codes[status]);

            if (count != 0) {
                runtime_text_add(
                    text,
                    "grayd_http_requests_total{route=\"%s\",method=\"%s\","
                    "code=\"%zu\"} %llu\n",
                    label_of(i, label),
                    i < ROUTE_COUNT ? routes[i].method : "none", status,
                    (unsigned long long)count);
            }
        }
    }
}

static void add_durations(struct text *text, const struct metrics *metrics)
{
    static const char name[] = "grayd_http_request_duration_seconds";
    char label[64];
    size_t i, k;

    head(text, name, "histogram",
         "from the first byte of a request to the first of its answer");
    for (i = 0; i <= ROUTE_COUNT; i++) {
        const struct route_figures *figures = &metrics->figures[i];
        uint64_t seen = 0, sum = atomic_load(&figures->sum_us);

        for (k = 0; k < REST_BUCKETS; k++) {
            seen += atomic_load(&figures->buckets[k]);
        }
        if (seen == 0) {
            continue;
        }
        label_of(i, label);
        for (seen = 0, k = 0; k < REST_BUCKETS; k++) {
            seen += atomic_load(&figures->buckets[k]);
            runtime_text_add(text, "%s_bucket{route=\"%s\",le=\"", name, label);
            if (k < REST_BUCKETS - 1) {
                runtime_text_add(text, "%g", edges_us[k] / 1e6);
            } else {
                runtime_text_add(text, "+Inf");
            }
            runtime_text_add(text, "\"} %llu\n", (unsigned long long)seen);
        }
        runtime_text_add(text,
                         "%s_sum{route=\"%s\"} %llu.%06llu\n"
                         "%s_count{route=\"%s\"} %llu\n",
                         name, label, (unsigned long long)sum / 1000000u,
                         (unsigned long long)sum % 1000000u, name, label,
                         (unsigned long long)seen);
    }
}

static void add_denied(struct text *text, const struct metrics *metrics)
{
    head(text, "grayd_denied_total", "counter",
         "requests turned away: nobody, or without the right");
    runtime_text_add(
        text,
        "grayd_denied_total{code=\"unauthenticated\"} %llu\n"
        "grayd_denied_total{code=\"forbidden\"} %llu\n",
        (unsigned long long)atomic_load(
            &metrics->denied[PROBLEM_UNAUTHENTICATED]),
        (unsigned long long)atomic_load(&metrics->denied[PROBLEM_FORBIDDEN]));
}

static void add_state(struct text *text, struct rest *rest)
{
    struct grayd *grayd = rest->grayd;
    unsigned planner, control;

    pthread_mutex_lock(&rest->lock);
    planner = rest->waiting[WHERE_PLANNER];
    control = rest->waiting[WHERE_CONTROL];
    pthread_mutex_unlock(&rest->lock);
    head(text, "grayd_build_info", "gauge", "always 1");
    runtime_text_add(text, "grayd_build_info{version=\"%s\"} 1\n",
                     GRAY_VERSION);
    one(text, "grayd_revision", "gauge", "newest revision committed",
        atomic_load(&grayd->revision));
    one(text, "grayd_revision_in_force", "gauge",
        "revision in force on this host, 0: none",
        atomic_load(&grayd->revision_in_force));
    one(text, "grayd_audit_sequence", "gauge", "newest record of the audit",
        atomic_load(&grayd->audit_sequence));
    one(text, "grayd_store_failed", "gauge", "1: nothing can be changed",
        atomic_load(&grayd->store_failed) ||
            atomic_load(&grayd->store_full));
    one(text, "grayd_store_commits_total", "counter",
        "commits with a record of the audit, since the start",
        events_commits(rest->events));
    one(text, "grayd_connections", "gauge", "open connections",
        atomic_load(&rest->connections));
    one(text, "grayd_events_watchers", "gauge", "clients of /v1/events",
        events_watchers(rest->events));
    one(text, "grayd_body_bytes", "gauge", "bodies of requests in memory",
        atomic_load(&rest->bodies));
    head(text, "grayd_queue_length", "gauge",
         "calls handed to another thread and not answered yet");
    runtime_text_add(text,
                     "grayd_queue_length{queue=\"planner\"} %u\n"
                     "grayd_queue_length{queue=\"control\"} %u\n",
                     planner, control);
}

/* ---- marks --------------------------------------------------------------------- */

static uint64_t number_of(const json_t *object, const char *key)
{
    json_int_t number = json_integer_value(json_object_get(object, key));

    return number > 0 ? (uint64_t)number : 0;
}

static void add_writer(struct text *text, struct grayd *grayd)
{
    json_t *body = json_object();
    const json_t *writer, *journal;
    const char *word;

    read_marks_writer(grayd, body);
    writer = json_object_get(body, "marks");
    journal = json_object_get(writer, "journal");
    word = json_string_value(json_object_get(writer, "writer"));
    one(text, "grayd_marks_writer_ok", "gauge",
        "1: marks become durable; 0: strict releases let nobody new in",
        word != NULL && strcmp(word, "ok") == 0);
    one(text, "grayd_marks_journal_sequence", "gauge",
        "newest record of the journal of marks",
        number_of(journal, "sequence"));
    one(text, "grayd_marks_journal_bytes", "gauge", "size of the journal",
        number_of(journal, "bytes"));
    one(text, "grayd_marks_lag_bytes", "gauge",
        "of rings that are not in the journal yet", number_of(journal, "lag"));
    head(text, "grayd_marks_lag_seconds", "gauge",
         "age of the oldest record that is not in the journal yet");
    runtime_text_add(text, "grayd_marks_lag_seconds %llu.%03llu\n",
                     (unsigned long long)number_of(journal, "lagMs") / 1000,
                     (unsigned long long)number_of(journal, "lagMs") % 1000);
    one(text, "grayd_marks_lost_records_total", "counter",
        "admissions that found no room in their ring",
        number_of(writer, "lostRecords"));
    one(text, "grayd_marks_bad_records_total", "counter",
        "records of rings that were not believed",
        number_of(writer, "badRecords"));
    one(text, "grayd_marks_revoke_queue", "gauge",
        "marks that are looked at still, to be taken back",
        number_of(writer, "queued"));
    json_decref(body);
}

/* By name of release and state: both are in force, neither a request's. */
static void add_releases(struct text *text, const json_t *releases)
{
    static const char *const states[] = {"in",   "out",     "revoked",
                                         "hold", "pending", "notDurable",
                                         "late", "void"};
    const json_t *marks;
    const char *name;

    head(text, "grayd_marks", "gauge", "marks of a release, by state");
    json_object_foreach((json_t *)(uintptr_t)releases, name, marks) {
        for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
            runtime_text_add(
                text, "grayd_marks{release=\"%s\",state=\"%s\"} %llu\n", name,
                states[i],
                (unsigned long long)number_of(marks, states[i]));
        }
    }
    head(text, "grayd_marks_table_bytes", "gauge", "size of a mark table");
    json_object_foreach((json_t *)(uintptr_t)releases, name, marks) {
        runtime_text_add(text, "grayd_marks_table_bytes{release=\"%s\"} %llu\n",
                         name,
                         (unsigned long long)number_of(
                             json_object_get(marks, "table"), "bytes"));
    }
    head(text, "grayd_marks_settled", "gauge",
         "of those with state out: their business is over");
    json_object_foreach((json_t *)(uintptr_t)releases, name, marks) {
        runtime_text_add(text, "grayd_marks_settled{release=\"%s\"} %llu\n",
                         name,
                         (unsigned long long)number_of(marks, "settled"));
    }
    head(text, "grayd_marks_closed", "gauge",
         "1: nobody new is let in, and what was told until then is on disk");
    json_object_foreach((json_t *)(uintptr_t)releases, name, marks) {
        runtime_text_add(text, "grayd_marks_closed{release=\"%s\"} %d\n", name,
                         json_is_true(json_object_get(marks, "closed")));
    }
}

static void add_marks(struct text *text, struct hand *hand)
{
    json_t *releases = read_marks_of_all(hand);

    add_writer(text, hand->grayd);
    add_releases(text, releases);
    json_decref(releases);
}

/* ---- hosts --------------------------------------------------------------------- */

static void add_hosts(struct text *text, struct grayd *grayd)
{
    struct hosts_figures figures;

    if (grayd->hosts == NULL) {
        return;
    }
    hosts_count(grayd->hosts, &figures);
    head(text, "grayd_hosts", "gauge", "hosts with agents, by how they stand");
    for (size_t i = 0; hosts_state_words[i] != NULL; i++) {
        runtime_text_add(text, "grayd_hosts{state=\"%s\"} %zu\n",
                         hosts_state_words[i], figures.states[i]);
    }
    one(text, "grayd_hosts_lag_bundles", "gauge",
        "bundles that the host furthest behind has not",
        figures.lag_most);
    one(text, "grayd_hosts_polls", "gauge", "polls of hosts that wait",
        figures.polls);
    one(text, "grayd_bundle_sequence", "gauge",
        "number of the newest bundle of hosts", figures.sequence);
    head(text, "grayd_hosts_connections_total", "counter",
         "connections of hosts that came anew; refused: above the rate");
    runtime_text_add(
        text,
        "grayd_hosts_connections_total{outcome=\"taken\"} %llu\n"
        "grayd_hosts_connections_total{outcome=\"refused\"} %llu\n",
        (unsigned long long)figures.taken,
        (unsigned long long)figures.refused);
}

/* What Prometheus' own client libraries say of a process. */
static void add_process(struct text *text, const struct grayd *grayd)
{
    struct rusage usage;
    struct rlimit limit;
    unsigned long size = 0, resident = 0;
    size_t open = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    DIR *folder = opendir("/proc/self/fd");

    if (file != NULL) {
        if (fscanf(file, "%lu %lu", &size, &resident) != 2) {
            size = resident = 0;
        }
        fclose(file);
    }
    while (folder != NULL && readdir(folder) != NULL) {
        open++;
    }
    if (folder != NULL) {
        closedir(folder);
        open -= open < 3 ? open : 3; /* ".", "..", and this folder */
    }
    if (getrusage(RUSAGE_SELF, &usage) == 0) {
        head(text, "process_cpu_seconds_total", "counter",
             "user and system time");
        runtime_text_add(
            text, "process_cpu_seconds_total %llu.%06llu\n",
            (unsigned long long)(usage.ru_utime.tv_sec +
                                 usage.ru_stime.tv_sec +
                                 (usage.ru_utime.tv_usec +
                                  usage.ru_stime.tv_usec) /
                                     1000000),
            (unsigned long long)((usage.ru_utime.tv_usec +
                                  usage.ru_stime.tv_usec) %
                                 1000000));
    }
    one(text, "process_virtual_memory_bytes", "gauge", "virtual memory",
        (uint64_t)size * (uint64_t)sysconf(_SC_PAGESIZE));
    one(text, "process_resident_memory_bytes", "gauge", "resident memory",
        (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE));
    one(text, "process_open_fds", "gauge", "open file descriptors", open);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        one(text, "process_max_fds", "gauge", "file descriptors allowed",
            limit.rlim_cur);
    }
    head(text, "process_start_time_seconds", "gauge",
         "start, seconds since the epoch");
    runtime_text_add(text, "process_start_time_seconds %lld.%03lld\n",
                     (long long)grayd->started / 1000,
                     (long long)grayd->started % 1000);
}

void route_handle_METRICS(struct hand *hand, const struct call *call,
                          struct reply *reply)
{
    struct rest *rest = hand->grayd->rest;
    struct text text = {NULL, 0, 0, false};
    size_t length = 0;
    char *host;

    add_state(&text, rest);
    add_requests(&text, rest->metrics);
    add_durations(&text, rest->metrics);
    add_denied(&text, rest->metrics);
    add_marks(&text, hand);
    add_hosts(&text, hand->grayd);
    add_process(&text, hand->grayd);
    host = gray_status_prometheus(hand->grayd->options.runtime, &length);
    if (host != NULL) {
        runtime_text_add(&text, "%s", host);
        free(host);
    }
    reply->text = runtime_text_take(&text, &reply->length);
    reply->status = reply->text != NULL ? 200 : 500;
    reply->type = call->route->response;
}
