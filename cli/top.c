/* SPDX-License-Identifier: Apache-2.0
 * top.c - `gray top`: rates, errors and latency of the last interval.
 *
 * Why: while a share grows, one looks at new and old side by side.  Two looks
 * at the readers' counters give one table; on a terminal it is redrawn in
 * place, elsewhere tables follow each other, so that it can be logged.
 * Read next: latency.c, status.c.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/latency.h"

struct rate {
    double rps, errors, p50, p99;
};

static const struct gray_series *find(const struct gray_totals *totals,
                                      const struct gray_series *series)
{
    for (size_t i = 0; i < totals->series_count; i++) {
        if (totals->series[i].series == series->series &&
            totals->series[i].traffic_class == series->traffic_class) {
            return &totals->series[i];
        }
    }
    return NULL;
}

/* Counters may fall when a dead reader's file is replaced: then this interval
 * shows what the new ones hold. */
static struct rate rate_of(const struct gray_series *now,
                           const struct gray_series *before, double seconds)
{
    bool usable = before != NULL && before->started <= now->started &&
                  series_errors(before) <= series_errors(now);
    uint64_t started = now->started - (usable ? before->started : 0);
    uint64_t errors = series_errors(now) -
                      (usable ? series_errors(before) : 0);
    const uint32_t *buckets = usable ? before->latency : NULL;

    for (unsigned i = 0; buckets != NULL && i < GRAY_LATENCY_BUCKETS; i++) {
        if (before->latency[i] > now->latency[i]) {
            buckets = NULL;
        }
    }
    return (struct rate) {
        .rps = (double)started / seconds,
        .errors = (double)errors / seconds,
        .p50 = latency_ms(now->latency, buckets, 50),
        .p99 = latency_ms(now->latency, buckets, 99),
    };
}

static void print_row(struct table *table, const struct gray_series *series,
                      const struct rate *rate)
{
    table_cell(table, "%s", series->service);
    table_cell(table, "%s", series->version);
    table_cell(table, "%s%s", *series->lane != '\0' ? "lane " : series->arm,
               series->lane);
    table_cell(table, "%s", class_text(series->traffic_class));
    table_cell(table, "%.1f", rate->rps);
    table_cell(table, "%.1f", rate->errors);
    table_cell(table, "%.2f %%",
               rate->rps > 0 ? 100 * rate->errors / rate->rps : 0.0);
    table_cell(table, "%.2f", rate->p50);
    table_cell(table, "%.2f", rate->p99);
    table_cell(table, "%u", series->in_flight);
}

static void top_table(const struct gray_totals *now,
                      const struct gray_totals *before, double seconds)
{
    CLI_CLEANUP(table_freep) struct table *table = table_new(10);
    const char *const heads[] = { "SERVICE", "VERSION", "LANE/ARM", "CLASS",
                                  "REQ/S", "ERR/S", "ERR", "P50 MS", "P99 MS",
                                  "IN FLIGHT" };
    char moment[40];

    for (unsigned i = 0; i < 10; i++) {
        table_cell(table, "%s", heads[i]);
    }
    for (unsigned i = 4; i < 10; i++) {
        table_right(table, i);
    }
    for (size_t i = 0; i < now->series_count; i++) {
        struct rate rate = rate_of(&now->series[i],
                                   find(before, &now->series[i]), seconds);

        print_row(table, &now->series[i], &rate);
    }
    printf("%s, over %.1f s\n", moment_text(port_now_ms(), moment), seconds);
    table_print(table, stdout);
}

static void top_json(const struct gray_totals *now,
                     const struct gray_totals *before, double seconds)
{
    json_t *rows = json_array();

    for (size_t i = 0; i < now->series_count; i++) {
        const struct gray_series *series = &now->series[i];
        struct rate rate = rate_of(series, find(before, series), seconds);

        json_array_append_new(
            rows, json_pack("{s:s,s:s,s:s,s:s,s:s,s:f,s:f,s:f,s:f,s:i}",
                            "service", series->service, "version",
                            series->version, "lane", series->lane, "arm",
                            series->arm, "class",
                            class_text(series->traffic_class), "rps",
                            rate.rps, "errorsPerSecond", rate.errors, "p50Ms",
                            rate.p50, "p99Ms", rate.p99, "inFlight",
                            (int)series->in_flight));
    }
    json_print(json_pack("{s:I,s:f,s:o}", "at", (json_int_t)port_now_ms(),
                         "seconds", seconds, "series", rows),
               JSON_COMPACT);
}

static int look(const char *folder, struct gray_totals *ret_totals)
{
    struct gray_problem problem = { 0 };

    if (gray_totals_read(folder, ret_totals, &problem) != 0) {
        complain_problem(folder, &problem);
        return CLI_EXIT_SYSTEM;
    }
    return CLI_EXIT_OK;
}

int command_top(const struct arguments *arguments)
{
    const char *folder = arguments_runtime(arguments);
    bool json = arguments_json(arguments);
    bool redraw = !json && isatty(STDOUT_FILENO) == 1;
    double count = 0, interval = 1;
    struct gray_totals before = { 0 }, now = { 0 };
    int64_t then = port_monotonic_ms();
    int status = arguments_number(arguments, CLI_COUNT, 0, 1e9, &count);

    status = status != 0 ? status
                         : arguments_number(arguments, CLI_INTERVAL, 0.05,
                                            3600, &interval);
    status = status != 0 ? status : look(folder, &before);
    for (uint64_t i = 0; status == 0 && (count == 0 || i < (uint64_t)count);
         i++) {
        int64_t moment;

        port_sleep_ms((int64_t)(interval * 1000));
        status = look(folder, &now);
        if (status != 0) {
            break;
        }
        moment = port_monotonic_ms();
        printf("%s", redraw ? "\033[H\033[2J" : i > 0 && !json ? "\n" : "");
        (json ? top_json : top_table)(&now, &before,
                                      (double)(moment - then) / 1000);
        status = output_finish(status);
        gray_totals_free(&before);
        before = now;
        memset(&now, 0, sizeof(now));
        then = moment;
    }
    gray_totals_free(&before);
    return status;
}
