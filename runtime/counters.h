/* SPDX-License-Identifier: Apache-2.0
 * counters.h - counters of a reader, and the sums over all of them.
 *
 * Why: each reader writes its own file and nobody else's, so that counting
 * needs no lock; whoever sums believes no byte. Read next: counters.c,
 * totals.c, counters.def, events.def.
 */
#ifndef GRAY_RUNTIME_COUNTERS_H
#define GRAY_RUNTIME_COUNTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "engine/engine.h"
#include "runtime/reader.h"

/* One series of one reader: a route, a traffic class.  Only its reader writes,
 * with relaxed 64-bit stores; others read by pread and trust nothing. */
#define GRAY_LATENCY_BUCKETS 256u /* 0.1 ms * 1.0555^i */
struct gray_series {
    uint64_t series; /* gray_route.series; 0: free */
    uint32_t traffic_class;
    uint32_t in_flight;
    char service[GRAY_NAME_MAX + 1], version[GRAY_NAME_MAX + 1];
    char lane[GRAY_NAME_MAX + 1], arm[GRAY_NAME_MAX + 1];
#define GRAY_COUNTER(NAME, field, metric, doc) uint64_t field;
#include "runtime/counters.def"
#undef GRAY_COUNTER
    uint64_t latency_sum_us;
    uint32_t latency[GRAY_LATENCY_BUCKETS];
};
/* Requests of live traffic that carry an arm: where they got it, at an entrance
 * (service ""), or sent on to a service, whoever served them there. */
struct gray_flow {
    uint64_t scope; /* gray_hash_scope() of the release; 0: free */
    uint64_t requests;
    char service[GRAY_NAME_MAX + 1], arm[GRAY_NAME_MAX + 1];
};
/* Sums over live and dead readers of a folder, for status, Prometheus and the
 * CLI.  Every byte of readers/ is hostile: bounds, sizes, locks checked. */
#define GRAY_BAD_READERS_SHOWN 64u
struct gray_totals {
    struct gray_series *series;
    size_t series_count;
    struct gray_flow *flows;
    size_t flow_count;
    uint64_t entered;      /* live requests decided at an entrance */
    uint64_t reasons[256]; /* decisions by reason */
    uint64_t events[32];   /* by GRAY_EVENT_* of events.def */
    struct gray_reader_status {
        char id[64];
        int32_t pid;
        uint32_t kind;
        bool alive;
        uint64_t policy_generation, fleet_generation, word_epoch;
        uint64_t next_generation; /* lies ready, waits for its instant; 0 */
        int64_t late_ms; /* how late it turned to policy_generation */
        char refusal[160]; /* "" : none */
    } *readers;
    size_t reader_count;
    size_t bad_readers; /* files that were not believed; some of them: */
    struct gray_bad_reader {
        char id[64];  /* its name, '?' for what is no name's byte */
        uint32_t uid; /* whose it is */
    } bad[GRAY_BAD_READERS_SHOWN];
};
int gray_totals_read(const char *folder, struct gray_totals *ret_totals,
                     struct gray_problem *ret_problem);
void gray_totals_free(struct gray_totals *totals);
/* JSON and Prometheus text (exposition format 0.0.4) of a folder; malloc'd. */
char *gray_status_json(const char *folder, size_t *ret_length);
char *gray_status_prometheus(const char *folder, size_t *ret_length);

enum gray_event {
#define GRAY_EVENT(NAME, number, word, doc) GRAY_EVENT_##NAME = number,
#include "runtime/events.def"
#undef GRAY_EVENT
};
/* The reader's own slots; NULL when not counted. On the request path. */
struct gray_series *gray_counters_series(struct gray_runtime *runtime,
                                         uint32_t route,
                                         enum gray_class traffic_class);
/* `entrance`: of a live request, where it first came to us. */
void gray_counters_reason(struct gray_runtime *runtime,
                          enum gray_reason reason, bool entrance);
/* The same for who counts every request by an addition of its own: decisions
 * by reason, and from GRAY_DECISIONS_ENTRANCE on those of live requests at an
 * entrance. Until the next swap; NULL when not counted. */
#define GRAY_DECISIONS_ENTRANCE 256u
uint64_t *gray_counters_decisions(struct gray_runtime *runtime);
/* Where live requests with this arm are counted that are sent to a service
 * (number), or get it at an entrance (GRAY_NONE); NULL: nowhere. By the policy
 * that was swapped in last, until the next one is. */
struct gray_flow *gray_counters_flow(struct gray_runtime *runtime,
                                     uint32_t service,
                                     const struct gray_verdict *verdict);
void gray_counters_event(struct gray_runtime *runtime, enum gray_event event);
/* Bucket of a latency: floor(log(us / 100) / log(1.0555)), 0 .. 255. */
uint32_t gray_latency_bucket(uint64_t microseconds);
/* Microseconds below which `percent` of the latencies in `buckets` lie, those
 * in `before` (NULL: none; else no bucket may be above) taken off.  Evenly
 * spread inside a bucket: at most 5.55 % off.  0 when there are none. */
uint64_t gray_latency_quantile_us(
    const uint32_t buckets[GRAY_LATENCY_BUCKETS],
    const uint32_t before[GRAY_LATENCY_BUCKETS], uint32_t percent);

#endif
