/* SPDX-License-Identifier: Apache-2.0
 * status.c - `gray status`: what is in force here, and who obeys it.
 *
 * Why: the first question of every night shift.  Facts come from the folder
 * itself: `control`, the policy in force, and each reader's own file; who did
 * what last comes from actions.log.
 * Read next: releases.c, wait.c, top.c (the same counters, live).
 */
#include <stdlib.h>
#include <string.h>

#include "cli/agent.h"
#include "cli/cli.h"
#include "cli/latency.h"
#include "cli/remote.h"

struct status {
    const char *folder;
    struct gray_folder open;
    struct in_force in_force;
    struct gray_named named;
    struct gray_crashes crashes; /* under what is in force, or waits */
    bool has_policy;
    struct gray_problem problem; /* why the policy cannot be read */
    struct gray_totals totals;
    json_t *actions;
    json_t *agent; /* NULL: there is none here */
};

static void status_free(struct status *s)
{
    if (s->open.control != NULL) {
        gray_folder_close(&s->open);
    }
    in_force_free(&s->in_force);
    gray_totals_free(&s->totals);
    json_decref(s->actions);
    json_decref(s->agent);
}

static int status_read(struct status *s)
{
    struct gray_problem problem = { 0 };
    int found;

    if (gray_folder_open(&s->open, s->folder, false, &problem) != 0) {
        s->open.control = NULL;
        complain_problem(s->folder, &problem);
        return CLI_EXIT_SYSTEM;
    }
    gray_folder_named(&s->open, port_now_ms(), &s->named);
    gray_folder_crashes(&s->open, s->named.policy, &s->crashes);
    if (!s->crashes.blocked && s->named.next != 0) {
        gray_folder_crashes(&s->open, s->named.next, &s->crashes);
    }
    found = in_force_read(&s->in_force, s->folder, &s->problem);
    s->has_policy = found == 0;
    if (gray_totals_read(s->folder, &s->totals, &problem) != 0) {
        complain_problem(s->folder, &problem);
        return CLI_EXIT_SYSTEM;
    }
    s->actions = actions_read(s->folder);
    s->agent = agent_told(s->folder);
    if (found < 0) {
        complain_problem(s->folder, &s->problem);
        return CLI_EXIT_SYSTEM;
    }
    return CLI_EXIT_OK;
}

static const char *kind_text(uint32_t kind)
{
    static const char *const texts[] = { "?", "nginx", "library", "cli" };

    return texts[kind < 4 ? kind : 0];
}

static const struct {
    unsigned number;
    const char *word;
} events[] = {
#define GRAY_EVENT(NAME, number, word, doc) { number, word },
#include "runtime/events.def"
#undef GRAY_EVENT
};
#define EVENT_COUNT (sizeof(events) / sizeof(events[0]))

/* ---- JSON ----------------------------------------------------------------------------- */

static json_t *readers_json(const struct gray_totals *totals)
{
    json_t *rows = json_array();

    for (size_t i = 0; i < totals->reader_count; i++) {
        const struct gray_reader_status *reader = &totals->readers[i];

        json_array_append_new(
            rows,
            json_pack("{s:s,s:s,s:i,s:b,s:I,s:I,s:I,s:I,s:I,s:s}", "id",
                      reader->id,
                      "kind", kind_text(reader->kind), "pid",
                      (int)reader->pid, "alive", (int)reader->alive,
                      "policyGeneration",
                      (json_int_t)reader->policy_generation,
                      "fleetGeneration", (json_int_t)reader->fleet_generation,
                      "wordEpoch", (json_int_t)reader->word_epoch,
                      "nextGeneration", (json_int_t)reader->next_generation,
                      "lateMs", (json_int_t)reader->late_ms, "refusal",
                      reader->refusal));
    }
    return rows;
}

static json_t *series_json(const struct gray_series *series)
{
    json_t *row = json_pack(
        "{s:s,s:s,s:s,s:s,s:s,s:i,s:f,s:f}", "service", series->service,
        "version", series->version, "lane", series->lane, "arm", series->arm,
        "class", class_text(series->traffic_class), "inFlight",
        (int)series->in_flight, "p50Ms",
        latency_ms(series->latency, NULL, 50), "p99Ms",
        latency_ms(series->latency, NULL, 99));

#define GRAY_COUNTER(NAME, field, metric, doc) \
    json_object_set_new(row, #field, json_integer((json_int_t)series->field));
#include "runtime/counters.def"
#undef GRAY_COUNTER
    return row;
}

static json_t *counts_json(const struct gray_totals *totals,
                           json_t **ret_reasons)
{
    json_t *counts = json_object();

    *ret_reasons = json_object();
    for (size_t i = 0; i < EVENT_COUNT; i++) {
        json_object_set_new(
            counts, events[i].word,
            json_integer((json_int_t)totals->events[events[i].number]));
    }
    for (unsigned i = 0; i < 256; i++) {
        if (totals->reasons[i] > 0) {
            json_object_set_new(*ret_reasons,
                                gray_reason_code((enum gray_reason)i),
                                json_integer((json_int_t)totals->reasons[i]));
        }
    }
    return counts;
}

static json_t *next_json(const struct gray_named *named)
{
    return named->next == 0
               ? json_null()
               : json_pack("{s:I,s:I,s:I,s:I}", "generation",
                           (json_int_t)named->next, "revision",
                           (json_int_t)named->next_revision, "effectiveAt",
                           (json_int_t)named->next_at, "maxSkewMs",
                           (json_int_t)named->next_skew);
}

static json_t *crashes_json(const struct gray_crashes *crashes)
{
    return crashes->count == 0
               ? json_null()
               : json_pack("{s:I,s:I,s:i,s:i,s:b,s:b}", "generation",
                           (json_int_t)crashes->generation, "count",
                           (json_int_t)crashes->count, "signal",
                           (int)crashes->signal, "pid", (int)crashes->pid,
                           "blocked", (int)crashes->blocked, "accepted",
                           (int)crashes->accepted);
}

static json_t *bad_json(const struct gray_totals *totals)
{
    json_t *rows = json_array();

    for (size_t i = 0;
         i < totals->bad_readers && i < GRAY_BAD_READERS_SHOWN; i++) {
        json_array_append_new(
            rows, json_pack("{s:s,s:I}", "id", totals->bad[i].id, "uid",
                            (json_int_t)totals->bad[i].uid));
    }
    return rows;
}

static int status_json(const struct status *s)
{
    const struct gray_control *control = s->open.control;
    const struct gray_file_header *header =
        s->has_policy ? s->in_force.snapshot.header : NULL;
    json_t *series = json_array(), *reasons, *counts;

    for (size_t i = 0; i < s->totals.series_count; i++) {
        json_array_append_new(series, series_json(&s->totals.series[i]));
    }
    counts = counts_json(&s->totals, &reasons);
    return json_print(
        json_pack("{s:s,s:I,s:I,s:I,s:o,s:o,s:I,s:I,s:b,s:I,s:s,s:o,s:o,s:I,"
                  "s:o,s:o,s:o,s:o,s:O,s:O*}",
                  "folder", s->folder, "generation",
                  (json_int_t)s->named.policy, "fleetGeneration",
                  (json_int_t)s->named.fleet, "clockOffsetMs",
                  (json_int_t)control->clock_offset_ms, "next",
                  next_json(&s->named), "crashes", crashes_json(&s->crashes),
                  "revision",
                  header != NULL ? (json_int_t)header->revision : (json_int_t)0,
                  "effectiveAt",
                  header != NULL ? (json_int_t)header->effective_at
                                 : (json_int_t)0,
                  "bypass", (int)control->bypass, "wordEpoch",
                  (json_int_t)control->word_epoch, "marksWriter",
                  gray_writer_word(&s->open), "releases",
                  s->has_policy ? releases_json(&s->in_force.snapshot, control)
                                : json_array(),
                  "readers", readers_json(&s->totals), "badReaders",
                  (json_int_t)s->totals.bad_readers, "bad",
                  bad_json(&s->totals), "series", series,
                  "events", counts, "reasons", reasons, "lastActions",
                  s->actions, "agent", s->agent),
        JSON_INDENT(2));
}

/* ---- tables ----------------------------------------------------------------------------- */

static const char *text_in(json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text != NULL ? text : "";
}

static void print_actions(const struct status *s)
{
    CLI_CLEANUP(table_freep) struct table *table = table_new(6);
    json_t *line;
    size_t i;

    json_array_foreach(s->actions, i, line) {
        json_int_t revision =
            json_integer_value(json_object_get(line, "revision"));

        table_cell(table, "last");
        table_cell(table, "%s", text_in(line, "at"));
        table_cell(table, "%s", text_in(line, "action"));
        if (revision > 0) {
            table_cell(table, "revision %lld", (long long)revision);
        } else {
            table_cell(table, "%s", text_in(line, "release"));
        }
        table_cell(table, "by %s", text_in(line, "actor"));
        table_cell(table, "%s", text_in(line, "reason"));
    }
    table_print(table, stdout);
}

#define BAD_PRINTED 8u

static void print_bad(const struct gray_totals *totals)
{
    size_t count = totals->bad_readers;

    printf("%zu file%s in readers/ %s not believed:", count,
           count == 1 ? "" : "s", count == 1 ? "was" : "were");
    for (size_t i = 0; i < count && i < BAD_PRINTED; i++) {
        printf("%s %s (uid %u)", i > 0 ? "," : "", totals->bad[i].id,
               totals->bad[i].uid);
    }
    printf("%s\n", count > BAD_PRINTED ? ", ..." : "");
}

static void print_readers(const struct status *s)
{
    CLI_CLEANUP(table_freep) struct table *table = table_new(10);
    const char *const heads[] = { "READER", "KIND", "PID", "STATE", "POLICY",
                                  "READY", "LATE MS", "FLEET", "WORDS",
                                  "REFUSED" };

    if (s->totals.reader_count == 0) {
        printf("no reader has looked at this folder yet\n");
        return;
    }
    for (int i = 0; i < 10; i++) {
        table_cell(table, "%s", heads[i]);
    }
    for (size_t i = 0; i < s->totals.reader_count; i++) {
        const struct gray_reader_status *reader = &s->totals.readers[i];

        table_cell(table, "%s", reader->id);
        table_cell(table, "%s", kind_text(reader->kind));
        table_cell(table, "%d", (int)reader->pid);
        table_cell(table, "%s", reader->alive ? "alive" : "gone");
        table_cell(table, "%llu",
                   (unsigned long long)reader->policy_generation);
        if (reader->next_generation != 0) {
            table_cell(table, "%llu",
                       (unsigned long long)reader->next_generation);
        } else {
            table_cell(table, "-");
        }
        table_cell(table, "%lld", (long long)reader->late_ms);
        table_cell(table, "%llu",
                   (unsigned long long)reader->fleet_generation);
        table_cell(table, "%llu", (unsigned long long)reader->word_epoch);
        table_cell(table, "%s", reader->refusal);
    }
    table_print(table, stdout);
}

static void print_series(const struct status *s)
{
    CLI_CLEANUP(table_freep) struct table *table = table_new(11);
    const char *const heads[] = { "SERVICE", "VERSION", "LANE", "ARM", "CLASS",
                                  "STARTED", "2XX", "4XX", "5XX", "P50 MS",
                                  "P99 MS" };

    if (s->totals.series_count == 0) {
        return;
    }
    for (unsigned i = 0; i < 11; i++) {
        table_cell(table, "%s", heads[i]);
    }
    for (unsigned i = 5; i < 11; i++) {
        table_right(table, i);
    }
    for (size_t i = 0; i < s->totals.series_count; i++) {
        const struct gray_series *series = &s->totals.series[i];

        table_cell(table, "%s", series->service);
        table_cell(table, "%s", series->version);
        table_cell(table, "%s", series->lane);
        table_cell(table, "%s", series->arm);
        table_cell(table, "%s", class_text(series->traffic_class));
        table_cell(table, "%llu", (unsigned long long)series->started);
        table_cell(table, "%llu", (unsigned long long)series->status_2xx);
        table_cell(table, "%llu", (unsigned long long)series->status_4xx);
        table_cell(table, "%llu", (unsigned long long)series_errors(series));
        table_cell(table, "%.2f",
                   latency_ms(series->latency, NULL, 50));
        table_cell(table, "%.2f",
                   latency_ms(series->latency, NULL, 99));
    }
    table_print(table, stdout);
}

static void print_events(const struct status *s)
{
    for (size_t i = 0; i < EVENT_COUNT; i++) {
        uint64_t count = s->totals.events[events[i].number];

        if (count > 0) {
            printf("event %s: %llu\n", events[i].word,
                   (unsigned long long)count);
        }
    }
    for (unsigned i = 0; i < 256; i++) {
        if (s->totals.reasons[i] > 0) {
            printf("decisions %s: %llu\n",
                   gray_reason_code((enum gray_reason)i),
                   (unsigned long long)s->totals.reasons[i]);
        }
    }
}

/* Why strict scopes let nobody in, where that is so. */
static void print_writer(const struct status *s)
{
    const char *writer = gray_writer_word(&s->open);

    if (strcmp(writer, "ok") != 0 && strcmp(writer, "none") != 0) {
        printf("marks: their writer (grayd) is %s: nobody new comes in where a "
               "mark must be durable first; who is in stays in\n",
               writer);
    }
}

/* What lies ready, who has it, and a clock that will miss the instant. */
static void print_next(const struct status *s)
{
    int64_t offset = s->open.control->clock_offset_ms;
    size_t live = 0, ready = 0;
    char moment[40];

    for (size_t i = 0; i < s->totals.reader_count; i++) {
        const struct gray_reader_status *reader = &s->totals.readers[i];

        live += reader->alive;
        ready += reader->alive && reader->next_generation == s->named.next;
    }
    if (s->named.next != 0) {
        printf("generation %llu, revision %llu lies ready in %zu of %zu "
               "readers; they turn at %s\n",
               (unsigned long long)s->named.next,
               (unsigned long long)s->named.next_revision, ready, live,
               moment_text(s->named.next_at, moment));
    }
    if (s->named.next_skew != 0 && (offset > (int64_t)s->named.next_skew ||
                                    -offset > (int64_t)s->named.next_skew)) {
        printf("the clock of this host is off by %lld ms, more than the %u ms "
               "that the policy allows: it turns at another moment than its "
               "fleet\n", (long long)offset, s->named.next_skew);
    }
}

static void print_crashes(const struct status *s)
{
    const struct gray_crashes *crashes = &s->crashes;

    if (crashes->count == 0) {
        return;
    }
    printf("generation %llu crashed %u readers (the last one: pid %d, signal "
           "%d)%s\n",
           (unsigned long long)crashes->generation, crashes->count,
           (int)crashes->pid, (int)crashes->signal,
           crashes->accepted  ? "; somebody said that it is not to blame"
           : crashes->blocked ? ": who starts takes the last good one"
                              : "");
    if (crashes->blocked) {
        printf("  publish another policy, or where it is not to blame: gray "
               "unblock --reason TEXT\n");
    }
}

static void status_print(const struct status *s)
{
    const struct gray_control *control = s->open.control;
    char moment[40];

    printf("%s: generation %llu", s->folder,
           (unsigned long long)s->named.policy);
    if (s->has_policy) {
        const struct gray_file_header *header = s->in_force.snapshot.header;

        printf(", revision %llu", (unsigned long long)header->revision);
        if (header->effective_at != 0) {
            printf(", effective at %s",
                   moment_text(header->effective_at, moment));
        }
    }
    printf(", fleet %llu, words %llu\n",
           (unsigned long long)s->named.fleet,
           (unsigned long long)control->word_epoch);
    print_next(s);
    print_crashes(s);
    if (control->bypass) {
        printf("bypass is on: every request goes to the baseline "
               "(gray bypass off)\n");
    }
    if (s->agent != NULL) {
        agent_print(s->agent, stdout);
    }
    print_writer(s);
    if (s->has_policy) {
        releases_print(&s->in_force.snapshot, control, stdout);
    } else if (s->named.policy > 0) {
        printf("the policy on disk cannot be read; who has a good one keeps it "
               "(gray publish -f DOCS --ignore-unreadable)\n");
    } else {
        printf("no policy is in force (gray publish -f DOCS)\n");
    }
    print_actions(s);
    print_readers(s);
    if (s->totals.bad_readers > 0) {
        print_bad(&s->totals);
    }
    print_series(s);
    print_events(s);
}

/* The release of the name alone, as the folder knows it. */
static int folder_release(const struct status *s, const char *name)
{
    if (!s->has_policy ||
        release_find(&s->in_force.snapshot, name) == GRAY_NONE) {
        return CLI_EXIT_NOT_FOUND;
    }
    complain("only grayd knows where a release stands; gray status alone shows "
             "its share and word here");
    return CLI_EXIT_USAGE;
}

static int folder_status(const struct arguments *arguments)
{
    CLI_CLEANUP(status_free) struct status s = {
        .folder = arguments_runtime(arguments), .open = { .dirfd = -1 }
    };
    int status = status_read(&s);

    if (s.open.control == NULL) {
        return status;
    }
    if (arguments->operand_count > 0) {
        return folder_release(&s, arguments->operands[0]);
    }
    if (arguments_json(arguments)) {
        status_json(&s);
    } else {
        status_print(&s);
    }
    return status;
}

int command_status(const struct arguments *arguments)
{
    CLI_CLEANUP(remote_freep) struct remote *remote = NULL;
    int status = remote_or_folder(&remote, arguments, true);

    if (status == 0 && remote != NULL) {
        status = remote_status(remote, arguments);
        if (!remote_fall_back(remote, status)) {
            return status;
        }
        status = 0;
    }
    return status != 0 ? status : folder_status(arguments);
}
