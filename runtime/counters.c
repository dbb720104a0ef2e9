/* SPDX-License-Identifier: Apache-2.0
 * counters.c - a reader's own counters, reached by an array index.
 *
 * Why: counting must cost a request a few instructions and no lock, and must
 * survive the worker that counted.  A series is known for ever by its 64-bit
 * identity; where it lies in a reader's file is decided when a policy is
 * swapped in, so that the request path only indexes by route and class.  A
 * place is given to another series only when the policy has no route of the
 * old one any more and no request of it is under way.
 * Read next: latency.c, totals.c (who adds up).
 */
#include <stdio.h>
#include <string.h>

#include "runtime/internal.h"

static uint32_t index_place(uint64_t series, uint32_t traffic_class)
{
    return (uint32_t)((series ^
                       (uint64_t)traffic_class * 0x9e3779b97f4a7c15u) >>
                      20) &
           (SERIES_INDEX - 1);
}

static void index_add(struct series_index *index, uint32_t slot,
                      uint64_t series, uint32_t traffic_class)
{
    uint32_t place = index_place(series, traffic_class);

    while (index->cells[place] != 0) {
        place = (place + 1) & (SERIES_INDEX - 1);
    }
    index->cells[place] = (uint16_t)(slot + 1);
}

void runtime_series_index_build(struct series_index *index,
                                const struct reader_file *file)
{
    uint32_t i;

    memset(index, 0, sizeof(*index));
    for (i = 0; i < GRAY_SERIES_MAX; i++) {
        if (file->series[i].series != 0) {
            index_add(index, i, file->series[i].series,
                      file->series[i].traffic_class);
        }
    }
}

static struct gray_series *series_find(const struct gray_runtime *runtime,
                                       uint64_t series, uint32_t traffic_class)
{
    uint32_t place = index_place(series, traffic_class);
    uint32_t tries;

    for (tries = 0; tries < SERIES_INDEX; tries++) {
        uint32_t cell = runtime->index.cells[place];
        struct gray_series *found;

        if (cell == 0) {
            return NULL;
        }
        found = &runtime->slot.file->series[cell - 1];
        if (found->series == series && found->traffic_class == traffic_class) {
            return found;
        }
        place = (place + 1) & (SERIES_INDEX - 1);
    }
    return NULL;
}

void runtime_name_copy(char ret[GRAY_NAME_MAX + 1], struct gray_str name)
{
    uint32_t length = name.length < GRAY_NAME_MAX ? name.length : GRAY_NAME_MAX;

    memset(ret, 0, GRAY_NAME_MAX + 1);
    if (length > 0) {
        memcpy(ret, name.data, length);
    }
}

void runtime_arm_name(char ret[GRAY_NAME_MAX + 1],
                      const struct gray_snapshot *policy,
                      const struct gray_release *release, uint32_t variant)
{
    const struct gray_variant *v =
        variant < release->variants.count
            ? gray_variant_at(policy, release->variants.first + variant)
            : NULL;
    struct gray_str name = gray_text(policy, release->name), more = {"", 0};

    runtime_name_copy(ret, name);
    if (v != NULL) {
        more = gray_text(policy, v->name);
    }
    if (more.length > 0) {
        snprintf(ret, GRAY_NAME_MAX + 1, "%.*s:%.*s", (int)name.length,
                 name.data, (int)more.length, more.data);
    }
}

static void series_name(struct gray_series *series,
                        const struct gray_snapshot *policy,
                        const struct gray_route *route)
{
    const struct gray_service *service =
        gray_service_at(policy, route->service);
    const struct gray_lane *lane = gray_lane_at(policy, route->lane);
    const struct gray_release *release =
        gray_release_at(policy, route->release);
    struct gray_str none = {"", 0};

    runtime_name_copy(series->service,
              service != NULL ? gray_text(policy, service->name) : none);
    runtime_name_copy(series->version, gray_text(policy, route->version));
    runtime_name_copy(series->lane,
              lane != NULL ? gray_text(policy, lane->name) : none);
    if (release != NULL) {
        runtime_arm_name(series->arm, policy, release, route->variant);
    }
}

/* A free place, or NULL. */
static struct gray_series *series_new(struct gray_runtime *runtime,
                                      const struct gray_snapshot *policy,
                                      const struct gray_route *route,
                                      uint32_t traffic_class)
{
    struct reader_file *file = runtime->slot.file;

    for (; runtime->free_from < GRAY_SERIES_MAX; runtime->free_from++) {
        struct gray_series *series = &file->series[runtime->free_from];

        if (series->series != 0) {
            continue;
        }
        memset(series, 0, sizeof(*series));
        series->traffic_class = traffic_class;
        series_name(series, policy, route);
        __atomic_store_n(&series->series, route->series, __ATOMIC_RELEASE);
        index_add(&runtime->index, runtime->free_from, route->series,
                  traffic_class);
        return series;
    }
    return NULL;
}

/* Places of series that the new policy does not have: `used` by place. */
static void series_retire(struct gray_runtime *runtime, const uint8_t *used)
{
    struct reader_file *file = runtime->slot.file;
    uint32_t i;

    for (i = 0; i < GRAY_SERIES_MAX; i++) {
        struct gray_series *series = &file->series[i];

        if (used[i] == 0 && series->series != 0 && series->in_flight == 0) {
            __atomic_store_n(&series->series, 0, __ATOMIC_RELEASE);
        }
    }
    runtime_series_index_build(&runtime->index, file);
    runtime->free_from = 0;
}

static uint32_t series_link_known(struct gray_runtime *runtime,
                                  struct gray_runtime_set *set, uint8_t *used)
{
    uint32_t route, traffic_class, missing = 0;

    for (route = 0; route < set->route_count; route++) {
        const struct gray_route *r = gray_route_at(&set->policy->policy, route);

        for (traffic_class = 0; traffic_class < GRAY_CLASS_COUNT;
             traffic_class++) {
            struct gray_series *found =
                series_find(runtime, r->series, traffic_class);

            set->series[route * GRAY_CLASS_COUNT + traffic_class] = found;
            if (found != NULL) {
                used[found - runtime->slot.file->series] = 1;
            } else if (traffic_class == GRAY_CLASS_LIVE) {
                missing++;
            }
        }
    }
    return missing;
}

void runtime_series_link(struct gray_runtime *runtime,
                         struct gray_runtime_set *set)
{
    uint8_t used[GRAY_SERIES_MAX] = {0};
    uint32_t route, missing, unused = 0, i;

    if (runtime->slot.file == NULL || set->policy == NULL ||
        runtime->kind == GRAY_READER_LIBRARY) { /* it sees no routes */
        return;
    }
    runtime_flows_retire(runtime, set);
    missing = series_link_known(runtime, set, used);
    for (i = 0; i < GRAY_SERIES_MAX; i++) {
        unused += runtime->slot.file->series[i].series == 0 ? 1 : 0;
    }
    if (missing > unused) {
        series_retire(runtime, used);
    }
    for (route = 0; missing > 0 && route < set->route_count; route++) {
        struct gray_series **place = &set->series[route * GRAY_CLASS_COUNT];
        const struct gray_route *r = gray_route_at(&set->policy->policy, route);

        if (*place == NULL) {
            *place = series_find(runtime, r->series, GRAY_CLASS_LIVE);
        }
        if (*place == NULL) {
            *place =
                series_new(runtime, &set->policy->policy, r, GRAY_CLASS_LIVE);
        }
    }
}

/* ---- on the request path ----------------------------------------------------
 */

struct gray_series *gray_counters_series(struct gray_runtime *runtime,
                                         uint32_t route,
                                         enum gray_class traffic_class)
{
    struct gray_runtime_set *set = runtime->set;
    const struct gray_route *r;
    struct gray_series **place;

    if (runtime->slot.file == NULL || set == NULL ||
        route >= set->route_count || traffic_class >= GRAY_CLASS_COUNT) {
        return NULL;
    }
    place = &set->series[route * GRAY_CLASS_COUNT + traffic_class];
    if (*place != NULL) {
        return *place;
    }
    r = gray_route_at(&set->policy->policy, route);
    *place = series_find(runtime, r->series, traffic_class);
    if (*place == NULL) {
        *place = series_new(runtime, &set->policy->policy, r, traffic_class);
    }
    if (*place == NULL) {
        gray_counters_event(runtime, GRAY_EVENT_SERIES_FULL);
    }
    return *place;
}

/* An nginx worker is one thread, so a plain store will do; the library's
 * callers are many. */
static void count(const struct gray_runtime *runtime, uint64_t *place)
{
    if (runtime->kind == GRAY_READER_LIBRARY) {
        __atomic_fetch_add(place, 1, __ATOMIC_RELAXED);
    } else {
        __atomic_store_n(place, *place + 1, __ATOMIC_RELAXED);
    }
}

void gray_counters_reason(struct gray_runtime *runtime, enum gray_reason reason,
                          bool entrance)
{
    struct reader_file *file = runtime->slot.file;

    if (file != NULL && (uint32_t)reason < 256) {
        count(runtime, entrance ? &file->entered[reason]
                                : &file->reasons[reason]);
    }
}

uint64_t *gray_counters_decisions(struct gray_runtime *runtime)
{
    struct reader_file *file = runtime->slot.file;

    _Static_assert(offsetof(struct reader_file, entered) ==
                       offsetof(struct reader_file, reasons) +
                           GRAY_DECISIONS_ENTRANCE * sizeof(uint64_t),
                   "those at an entrance stand behind the others");
    return file != NULL ? (uint64_t *)((uint8_t *)file +
                                       offsetof(struct reader_file, reasons))
                        : NULL;
}

void gray_counters_event(struct gray_runtime *runtime, enum gray_event event)
{
    if (runtime->slot.file != NULL && (uint32_t)event < 32) {
        count(runtime, &runtime->slot.file->events[event]);
    }
}
