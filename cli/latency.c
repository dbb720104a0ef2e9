/* SPDX-License-Identifier: Apache-2.0
 * latency.c - quantiles of the counters' latency buckets, and their rates.
 *
 * Why: status shows the whole life of a series, top the last interval; both
 * read the same 256 buckets (0.1 ms * 1.0555^i).
 */
#include <math.h>

#include "cli/latency.h"

double latency_quantile(const uint32_t *now, const uint32_t *before, double q)
{
    uint64_t total = 0, sum = 0;
    unsigned i;

    for (i = 0; i < GRAY_LATENCY_BUCKETS; i++) {
        total += now[i] - (before != NULL ? before[i] : 0);
    }
    if (total == 0) {
        return 0;
    }
    for (i = 0; i + 1 < GRAY_LATENCY_BUCKETS; i++) {
        sum += now[i] - (before != NULL ? before[i] : 0);
        if ((double)sum >= q * (double)total) {
            break;
        }
    }
    return 0.1 * pow(1.0555, i + 0.5);
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
