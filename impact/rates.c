/* SPDX-License-Identifier: Apache-2.0
 * rates.c - requests a second, from counters that only grow.
 *
 * Why: readers count since their file was made; what comes *now* is what they
 * counted in the last minute.  Each counter is followed by itself, so that one
 * that begins anew (a series that was retired, a file that was replaced) takes
 * nothing from the others.  The ratio of two counters does not depend on the
 * policy, how many are in does: so each sample says under which it was taken.
 * Read next: predict.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "impact/impact.h"

#define ROWS_MAX 20000u
#define INDEX_SIZE 65536u /* power of two, above 2 * ROWS_MAX */

enum row_kind { ROW_ENTERED, ROW_SERIES, ROW_FLOW };

/* One counter: what it said last, what came since it was first seen, and how
 * much that was at each sample. */
struct row {
    enum row_kind kind;
    char service[GRAY_NAME_MAX + 1], version[GRAY_NAME_MAX + 1];
    char lane[GRAY_NAME_MAX + 1], arm[GRAY_NAME_MAX + 1];
    uint64_t raw, fresh, total;
    bool seen; /* in this sample */
    uint64_t at[IMPACT_SAMPLES];
};

struct impact_rates {
    int64_t period_ns;
    struct row *rows;
    size_t row_count, row_capacity;
    uint32_t *index; /* row + 1; 0: free */
    /* A ring: `first` is the oldest of `count` samples. */
    size_t first, count;
    int64_t moments[IMPACT_SAMPLES];
    uint64_t admissions[IMPACT_SAMPLES];
};

struct impact_rates *impact_rates_new(int64_t period_ns)
{
    struct impact_rates *rates = calloc(1, sizeof(*rates));

    if (rates != NULL) {
        rates->period_ns = period_ns;
        rates->index = calloc(INDEX_SIZE, sizeof(*rates->index));
        if (rates->index == NULL) {
            free(rates);
            rates = NULL;
        }
    }
    return rates;
}

void impact_rates_free(struct impact_rates *rates)
{
    if (rates != NULL) {
        free(rates->rows);
        free(rates->index);
        free(rates);
    }
}

/* ---- rows ------------------------------------------------------------------ */

static uint64_t hash_names(const struct row *row)
{
    uint64_t hash = row->kind;

    hash = gray_mix64(hash ^ gray_hash_scope(row->service,
                                             strlen(row->service)));
    hash = gray_mix64(hash ^ gray_hash_scope(row->version,
                                             strlen(row->version)));
    hash = gray_mix64(hash ^ gray_hash_scope(row->lane, strlen(row->lane)));
    return gray_mix64(hash ^ gray_hash_scope(row->arm, strlen(row->arm)));
}

static bool same_names(const struct row *a, const struct row *b)
{
    return a->kind == b->kind && strcmp(a->service, b->service) == 0 &&
           strcmp(a->version, b->version) == 0 &&
           strcmp(a->lane, b->lane) == 0 && strcmp(a->arm, b->arm) == 0;
}

static uint32_t *place_of(const struct impact_rates *rates,
                          const struct row *names)
{
    uint32_t place = (uint32_t)hash_names(names) & (INDEX_SIZE - 1);

    while (rates->index[place] != 0 &&
           !same_names(&rates->rows[rates->index[place] - 1], names)) {
        place = (place + 1) & (INDEX_SIZE - 1);
    }
    return &rates->index[place];
}

/* The row of these names, made where there is none; NULL: no more fit. */
static struct row *row_of(struct impact_rates *rates, const struct row *names)
{
    uint32_t *place = place_of(rates, names);
    struct row *row;

    if (*place != 0) {
        return &rates->rows[*place - 1];
    }
    if (rates->row_count == ROWS_MAX) {
        return NULL;
    }
    if (rates->row_count == rates->row_capacity) {
        size_t capacity = rates->row_capacity * 2 + 64;
        void *grown = realloc(rates->rows, capacity * sizeof(*rates->rows));

        if (grown == NULL) {
            return NULL;
        }
        rates->rows = grown;
        rates->row_capacity = capacity;
    }
    row = &rates->rows[rates->row_count++];
    *place = (uint32_t)rates->row_count;
    *row = *names;
    return row;
}

static void note(struct impact_rates *rates, const struct row *names,
                 uint64_t value)
{
    struct row *row = row_of(rates, names);

    if (row != NULL) {
        row->fresh = row->seen ? row->fresh + value : value;
        row->seen = true;
    }
}

static void copy_name(char to[GRAY_NAME_MAX + 1], const char *from)
{
    size_t length = strnlen(from, GRAY_NAME_MAX);

    memcpy(to, from, length);
    to[length] = '\0';
}

static void note_all(struct impact_rates *rates,
                     const struct gray_totals *totals)
{
    note(rates, &(struct row) { .kind = ROW_ENTERED }, totals->entered);
    for (size_t i = 0; i < totals->series_count; i++) {
        const struct gray_series *series = &totals->series[i];
        struct row names = { .kind = ROW_SERIES };

        if (series->traffic_class != GRAY_CLASS_LIVE) {
            continue;
        }
        copy_name(names.service, series->service);
        copy_name(names.version, series->version);
        copy_name(names.lane, series->lane);
        copy_name(names.arm, series->arm);
        note(rates, &names, series->started);
    }
    for (size_t i = 0; i < totals->flow_count; i++) {
        struct row names = { .kind = ROW_FLOW };

        copy_name(names.service, totals->flows[i].service);
        copy_name(names.arm, totals->flows[i].arm);
        note(rates, &names, totals->flows[i].requests);
    }
}

/* ---- samples --------------------------------------------------------------- */

/* Where the sample goes: the newest one that is closer to the one before than
 * a period is written over, but for the first one under a policy. */
static size_t next_sample(struct impact_rates *rates, uint64_t admission)
{
    if (rates->count >= 2) {
        size_t last = (rates->first + rates->count - 1) % IMPACT_SAMPLES;
        size_t before = (last + IMPACT_SAMPLES - 1) % IMPACT_SAMPLES;

        if (rates->moments[last] - rates->moments[before] <
                rates->period_ns &&
            rates->admissions[last] == admission &&
            rates->admissions[before] == admission) {
            return last;
        }
    }
    if (rates->count == IMPACT_SAMPLES) {
        rates->first = (rates->first + 1) % IMPACT_SAMPLES;
        rates->count--;
    }
    return (rates->first + rates->count++) % IMPACT_SAMPLES;
}

int impact_rates_add(struct impact_rates *rates,
                     const struct gray_totals *totals, uint64_t admission,
                     int64_t now_ns)
{
    bool begun = rates->count > 0;
    size_t known = rates->row_count, at;

    if (totals->bad_readers > 0 && begun) {
        return 0; /* what is missing now would come back all at once */
    }
    note_all(rates, totals);
    at = next_sample(rates, admission);
    rates->moments[at] = now_ns;
    rates->admissions[at] = admission;
    for (size_t i = 0; i < rates->row_count; i++) {
        struct row *row = &rates->rows[i];

        if (row->seen) {
            /* One that was not there before has all of it from since then. */
            uint64_t from = i < known ? row->raw : begun ? 0 : row->fresh;

            row->total += row->fresh > from ? row->fresh - from : 0;
            row->raw = row->fresh;
            row->seen = false;
        }
        row->at[at] = row->total;
    }
    return 0;
}

/* ---- reading ----------------------------------------------------------------- */

/* The sample that the time is counted from; the newest one: there is none. */
static size_t sample_from(const struct impact_rates *rates, int64_t window_ns,
                          bool present)
{
    size_t last = (rates->first + rates->count - 1) % IMPACT_SAMPLES;
    size_t from = last;

    for (size_t i = 1; i < rates->count; i++) {
        size_t at = (last + IMPACT_SAMPLES - i) % IMPACT_SAMPLES;

        if (rates->moments[last] - rates->moments[at] > window_ns ||
            (present &&
             rates->admissions[at] != rates->admissions[last])) {
            break;
        }
        from = at;
    }
    return from;
}

static struct impact_series *series_of(struct impact_traffic *traffic,
                                       const struct row *row)
{
    struct impact_series *series;

    for (size_t i = 0; i < traffic->series_count; i++) {
        series = &traffic->series[i];
        if (strcmp(series->service, row->service) == 0 &&
            strcmp(series->version, row->version) == 0) {
            return series;
        }
    }
    series = &traffic->series[traffic->series_count++];
    *series = (struct impact_series) { .requests = 0 };
    memcpy(series->service, row->service, sizeof(series->service));
    memcpy(series->version, row->version, sizeof(series->version));
    return series;
}

static void take_row(struct impact_traffic *traffic, const struct row *row,
                     uint64_t requests)
{
    struct impact_flow *flow;

    switch (row->kind) {
    case ROW_ENTERED:
        traffic->entered = requests;
        break;
    case ROW_SERIES:
        series_of(traffic, row)->requests += requests;
        break;
    case ROW_FLOW:
        flow = &traffic->flows[traffic->flow_count++];
        memcpy(flow->service, row->service, sizeof(flow->service));
        memcpy(flow->arm, row->arm, sizeof(flow->arm));
        flow->requests = requests;
        break;
    }
}

int impact_rates_read(const struct impact_rates *rates, int64_t window_ns,
                      bool present, struct impact_traffic *ret_traffic)
{
    struct impact_traffic traffic = { 0 };
    size_t from, last;

    if (rates->count < 2) {
        return 1;
    }
    last = (rates->first + rates->count - 1) % IMPACT_SAMPLES;
    from = sample_from(rates, window_ns, present);
    if (from == last) {
        return 1;
    }
    traffic.series = calloc(rates->row_count + 1, sizeof(*traffic.series));
    traffic.flows = calloc(rates->row_count + 1, sizeof(*traffic.flows));
    if (traffic.series == NULL || traffic.flows == NULL) {
        impact_traffic_free(&traffic);
        return -ENOMEM;
    }
    traffic.seconds =
        (double)(rates->moments[last] - rates->moments[from]) / 1e9;
    for (size_t i = 0; i < rates->row_count; i++) {
        const struct row *row = &rates->rows[i];

        if (row->at[last] > row->at[from]) {
            take_row(&traffic, row, row->at[last] - row->at[from]);
        }
    }
    *ret_traffic = traffic;
    return 0;
}

void impact_traffic_free(struct impact_traffic *traffic)
{
    free(traffic->series);
    free(traffic->flows);
    *traffic = (struct impact_traffic) { 0 };
}
