/* SPDX-License-Identifier: Apache-2.0
 * latency.h - what status and top make of a counter series, see latency.c.
 *
 * Why: one way to name a quantile and an error, in both tables.
 */
#ifndef GRAY_CLI_LATENCY_H
#define GRAY_CLI_LATENCY_H

#include <stdint.h>

#include "runtime/runtime.h"

/* Milliseconds in the middle of the bucket that holds quantile q of
 * GRAY_LATENCY_BUCKETS buckets, `before` (NULL: none) taken off; 0 when there
 * is nothing. */
double latency_quantile(const uint32_t *now, const uint32_t *before, double q);
/* Responses that count against a version: 5xx, and failed gRPC calls. */
uint64_t series_errors(const struct gray_series *series);
/* "live", "shadow", "load", "rehearsal". */
const char *class_text(uint32_t traffic_class);

#endif
