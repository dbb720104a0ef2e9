/* SPDX-License-Identifier: Apache-2.0
 * latency.h - what status and top make of a counter series, see latency.c.
 *
 * Why: one way to name a quantile and an error, in both tables.
 */
#ifndef GRAY_CLI_LATENCY_H
#define GRAY_CLI_LATENCY_H

#include <stdint.h>

#include "runtime/runtime.h"

/* gray_latency_quantile_us() in milliseconds. */
double latency_ms(const uint32_t *now, const uint32_t *before,
                  uint32_t percent);
/* Responses that count against a version: 5xx, and failed gRPC calls. */
uint64_t series_errors(const struct gray_series *series);
/* "live", "shadow", "load", "rehearsal". */
const char *class_text(uint32_t traffic_class);

#endif
