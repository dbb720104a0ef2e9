/* SPDX-License-Identifier: Apache-2.0
 * latency.c - what status and top make of a series of counters.
 *
 * Why: status shows the whole life of a series, top the last interval; both
 * take quantiles from the runtime, as the gateway's status location does.
 * Read next: runtime/latency.c.
 */
#include "cli/latency.h"

double latency_ms(const uint32_t *now, const uint32_t *before,
                  uint32_t percent)
{
    return (double)gray_latency_quantile_us(now, before, percent) / 1000;
}

uint64_t series_errors(const struct gray_series *series)
{
    return series->status_5xx + series->grpc_failed;
}

const char *class_text(uint32_t traffic_class)
{
    static const char *const texts[GRAY_CLASS_COUNT] = { "live", "shadow",
                                                         "load", "rehearsal" };

    return traffic_class < GRAY_CLASS_COUNT ? texts[traffic_class] : "?";
}
