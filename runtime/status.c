/* SPDX-License-Identifier: Apache-2.0
 * status.c - what a folder says of itself, as JSON and for Prometheus.
 *
 * Why: the gateway's status location, `gray status` and `gray top` show the
 * same facts, made from the same tables (counters.def, events.def), with no
 * daemon in between.
 * Read next: totals.c (the sums), prometheus.c.
 */
#include <stdlib.h>
#include <string.h>

#include "runtime/status.h"

const char *runtime_class_word(uint32_t traffic_class)
{
    static const char *const words[] = {"live", "shadow", "load", "rehearsal"};

    return traffic_class < GRAY_CLASS_COUNT ? words[traffic_class] : "?";
}

const char *runtime_word_word(uint32_t word)
{
    static const char *const words[] = {"open", "no-admit", "stopped",
                                        "killed"};

    return words[word & GRAY_WORD_MASK];
}

uint64_t runtime_series_count(const struct gray_series *series)
{
    uint64_t total = 0;
    uint32_t i;

    for (i = 0; i < GRAY_LATENCY_BUCKETS; i++) {
        total += series->latency[i];
    }
    return total;
}

/* ---- what both texts need
 * ----------------------------------------------------- */

int runtime_status_read(struct status *ret_status, const char *path)
{
    struct status *s = ret_status;
    struct search search = {-1, "policy", PART_POLICY, 0, 0, 0};

    memset(s, 0, sizeof(*s));
    s->folder.dirfd = -1;
    if (gray_folder_open(&s->folder, path, false, &s->problem) != 0 ||
        runtime_totals_of_dir(s->folder.dirfd, &s->totals, &s->problem) != 0 ||
        runtime_folder_owner(s->folder.dirfd, &search.owner, &s->problem) !=
            0) {
        gray_folder_close(&s->folder);
        return -1;
    }
    search.dirfd = s->folder.dirfd;
    gray_folder_named(&s->folder, gray_wall_ms(), &s->named);
    gray_folder_crashes(&s->folder, s->named.policy, &s->crashes);
    if (!s->crashes.blocked && s->named.next != 0) {
        gray_folder_crashes(&s->folder, s->named.next, &s->next_crashes);
    }
    search.generation = s->named.policy;
    s->problem.code = NULL;
    runtime_search_part(&search, NULL, &s->policy, &s->problem);
    return 0;
}

void runtime_status_clear(struct status *s)
{
    runtime_part_unref(s->policy);
    gray_totals_free(&s->totals);
    gray_folder_close(&s->folder);
}

uint32_t runtime_status_word(const struct status *s,
                             const struct gray_release *release)
{
    const struct gray_scope_word *word;

    if (release->word >= GRAY_WORDS_MAX) {
        return GRAY_WORD_OPEN;
    }
    word = &s->folder.control->words[release->word];
    return word->scope == release->scope
               ? __atomic_load_n(&word->word, __ATOMIC_RELAXED)
               : (uint32_t)GRAY_WORD_OPEN;
}

/* ---- JSON
 * ------------------------------------------------------------------------ */

static void json_str(struct text *text, const char *key, struct gray_str value)
{
    runtime_text_add(text, "\"%s\":", key);
    runtime_text_json(text, value.data, value.length);
}

static void json_text(struct text *text, const char *key, const char *value)
{
    struct gray_str str = {value, (uint32_t)strlen(value)};

    json_str(text, key, str);
}

static void json_problem(struct text *text, const struct gray_problem *problem)
{
    runtime_text_add(text, "\"problem\":");
    if (problem->code == NULL) {
        runtime_text_add(text, "null");
        return;
    }
    runtime_text_add(text, "{");
    json_text(text, "code", problem->code);
    runtime_text_add(text, ",");
    json_text(text, "sentence", problem->sentence);
    runtime_text_add(text, "}");
}

static void json_releases(struct text *text, const struct status *s)
{
    const struct gray_snapshot *policy =
        s->policy != NULL ? &s->policy->policy : NULL;
    uint32_t i;

    runtime_text_add(text, ",\"releases\":[");
    for (i = 0; policy != NULL && i < policy->policy->releases.count; i++) {
        const struct gray_release *release = gray_release_at(policy, i);
        uint32_t word = runtime_status_word(s, release);

        runtime_text_add(text, "%s{", i > 0 ? "," : "");
        json_str(text, "release", gray_text(policy, release->name));
        runtime_text_add(
            text,
            ",\"word\":\"%s\",\"host\":%s,\"share\":%u,\"holdback\":%u,"
            "\"priority\":%d,\"attempt\":%u}",
            runtime_word_word(word), (word & GRAY_WORD_HOST) ? "true" : "false",
            release->share, release->holdback,
            (int32_t)(release->priority ^ 0x80000000u), release->attempt);
    }
    runtime_text_add(text, "]");
}

static void json_ms(struct text *text, const char *key, uint64_t us)
{
    runtime_text_add(text, ",\"%s\":%llu.%03llu", key,
                     (unsigned long long)us / 1000,
                     (unsigned long long)us % 1000);
}

static void json_series(struct text *text, const struct gray_totals *totals)
{
    size_t i;

    runtime_text_add(text, ",\"series\":[");
    for (i = 0; i < totals->series_count; i++) {
        const struct gray_series *series = &totals->series[i];

        runtime_text_add(text, "%s{", i > 0 ? "," : "");
        json_text(text, "service", series->service);
        runtime_text_add(text, ",");
        json_text(text, "version", series->version);
        runtime_text_add(text, ",");
        json_text(text, "lane", series->lane);
        runtime_text_add(text, ",");
        json_text(text, "arm", series->arm);
        runtime_text_add(text, ",\"class\":\"%s\",\"in_flight\":%u",
                         runtime_class_word(series->traffic_class),
                         series->in_flight);
#define GRAY_COUNTER(NAME, field, metric, doc)                                 \
    runtime_text_add(text, ",\"" #field "\":%llu",                             \
                     (unsigned long long)series->field);
#include "runtime/counters.def"
#undef GRAY_COUNTER
        runtime_text_add(text, ",\"count\":%llu",
                         (unsigned long long)runtime_series_count(series));
        json_ms(text, "latency_sum_ms", series->latency_sum_us);
        json_ms(text, "p50_ms",
                gray_latency_quantile_us(series->latency, NULL, 50));
        json_ms(text, "p95_ms",
                gray_latency_quantile_us(series->latency, NULL, 95));
        json_ms(text, "p99_ms",
                gray_latency_quantile_us(series->latency, NULL, 99));
        runtime_text_add(text, "}");
    }
    runtime_text_add(text, "]");
}

static void json_flows(struct text *text, const struct gray_totals *totals)
{
    size_t i;

    runtime_text_add(text, ",\"entered\":%llu,\"flows\":[",
                     (unsigned long long)totals->entered);
    for (i = 0; i < totals->flow_count; i++) {
        const struct gray_flow *flow = &totals->flows[i];

        runtime_text_add(text, "%s{", i > 0 ? "," : "");
        json_text(text, "arm", flow->arm);
        runtime_text_add(text, ",");
        json_text(text, "service", flow->service);
        runtime_text_add(text, ",\"requests\":%llu}",
                         (unsigned long long)flow->requests);
    }
    runtime_text_add(text, "]");
}

static void json_bad(struct text *text, const struct gray_totals *totals)
{
    size_t i;

    runtime_text_add(text, ",\"bad\":[");
    for (i = 0; i < totals->bad_readers && i < GRAY_BAD_READERS_SHOWN; i++) {
        runtime_text_add(text, "%s{", i > 0 ? "," : "");
        json_text(text, "id", totals->bad[i].id);
        runtime_text_add(text, ",\"uid\":%u}",
                         totals->bad[i].uid);
    }
    runtime_text_add(text, "]");
}

static void json_readers(struct text *text, const struct status *s)
{
    uint64_t generation = s->named.policy;
    size_t i;

    runtime_text_add(text, ",\"readers\":[");
    for (i = 0; i < s->totals.reader_count; i++) {
        const struct gray_reader_status *r = &s->totals.readers[i];
        uint64_t lag = r->policy_generation < generation
                           ? generation - r->policy_generation
                           : 0;

        runtime_text_add(text, "%s{", i > 0 ? "," : "");
        json_text(text, "id", r->id);
        runtime_text_add(text,
                         ",\"pid\":%d,\"kind\":\"%s\",\"alive\":%s,"
                         "\"policy_generation\":%llu,\"fleet_generation\":%llu,"
                         "\"word_epoch\":%llu,\"lag\":%llu,"
                         "\"next_generation\":%llu,\"late_ms\":%lld,",
                         r->pid, runtime_reader_kind_word(r->kind),
                         r->alive ? "true" : "false",
                         (unsigned long long)r->policy_generation,
                         (unsigned long long)r->fleet_generation,
                         (unsigned long long)r->word_epoch,
                         (unsigned long long)(r->alive ? lag : 0),
                         (unsigned long long)r->next_generation,
                         (long long)r->late_ms);
        json_text(text, "refusal", r->refusal);
        runtime_text_add(text, "}");
    }
    runtime_text_add(text, "],\"bad_readers\":%zu", s->totals.bad_readers);
    json_bad(text, &s->totals);
}

static void json_totals(struct text *text, const struct gray_totals *totals)
{
    const char *comma = "";
    uint32_t i;

    runtime_text_add(text, ",\"events\":{");
#define GRAY_EVENT(NAME, number, word, doc)                                    \
    runtime_text_add(text, "%s\"%s\":%llu", number > 0 ? "," : "", word,       \
                     (unsigned long long)totals->events[number]);
#include "runtime/events.def"
#undef GRAY_EVENT
    runtime_text_add(text, "},\"reasons\":{");
    for (i = 0; i < 256; i++) {
        if (totals->reasons[i] != 0 &&
            strcmp(gray_reason_code((enum gray_reason)i), "?") != 0) {
            runtime_text_add(text, "%s", comma);
            runtime_text_add(text, "\"%s\":%llu",
                             gray_reason_code((enum gray_reason)i),
                             (unsigned long long)totals->reasons[i]);
            comma = ",";
        }
    }
    runtime_text_add(text, "}");
}

/* What waits, what crashed readers, and how far the clock is off. */
static void json_instant(struct text *text, const struct status *s)
{
    const struct gray_named *named = &s->named;
    const struct gray_crashes *crashes =
        s->next_crashes.count > 0 ? &s->next_crashes : &s->crashes;

    runtime_text_add(
        text, ",\"effective_at\":%lld,\"max_skew_ms\":%u,"
              "\"clock_offset_ms\":%lld,\"next\":",
        s->policy != NULL
            ? (long long)s->policy->policy.header->effective_at
            : 0ll,
        s->policy != NULL ? s->policy->policy.header->max_skew : 0u,
        (long long)__atomic_load_n(&s->folder.control->clock_offset_ms,
                                   __ATOMIC_ACQUIRE));
    if (named->next != 0) {
        runtime_text_add(text,
                         "{\"generation\":%llu,\"revision\":%llu,"
                         "\"effective_at\":%lld,\"max_skew_ms\":%u}",
                         (unsigned long long)named->next,
                         (unsigned long long)named->next_revision,
                         (long long)named->next_at, named->next_skew);
    } else {
        runtime_text_add(text, "null");
    }
    runtime_text_add(text, ",\"crashes\":");
    if (crashes->count > 0) {
        runtime_text_add(text,
                         "{\"generation\":%llu,\"count\":%u,\"signal\":%d,"
                         "\"pid\":%d,\"blocked\":%s,\"accepted\":%s}",
                         (unsigned long long)crashes->generation,
                         crashes->count, crashes->signal, crashes->pid,
                         crashes->blocked ? "true" : "false",
                         crashes->accepted ? "true" : "false");
    } else {
        runtime_text_add(text, "null");
    }
}

void runtime_status_json(struct text *text, const struct status *s,
                         const char *folder)
{
    const struct gray_control *control = s->folder.control;

    runtime_text_add(text, "{");
    json_text(text, "folder", folder);
    runtime_text_add(text, ",");
    json_problem(text, &s->problem);
    if (control != NULL) {
        runtime_text_add(
            text,
            ",\"revision\":%llu,\"policy_generation\":%llu,"
            "\"fleet_generation\":%llu,\"keys_generation\":%llu,"
            "\"word_epoch\":%llu,\"bypass\":%s,\"marks_writer\":\"%s\"",
            s->policy != NULL
                ? (unsigned long long)s->policy->policy.header->revision
                : 0ull,
            (unsigned long long)s->named.policy,
            (unsigned long long)s->named.fleet,
            (unsigned long long)control->keys_generation,
            (unsigned long long)control->word_epoch,
            control->bypass != 0 ? "true" : "false",
            gray_writer_word(&s->folder));
        json_instant(text, s);
        json_releases(text, s);
        json_series(text, &s->totals);
        json_flows(text, &s->totals);
        json_readers(text, s);
        json_totals(text, &s->totals);
    }
    runtime_text_add(text, "}\n");
}

char *gray_status_json(const char *folder, size_t *ret_length)
{
    struct text text = {NULL, 0, 0, false};
    struct status s;

    runtime_status_read(&s, folder);
    runtime_status_json(&text, &s, folder);
    runtime_status_clear(&s);
    return runtime_text_take(&text, ret_length);
}
