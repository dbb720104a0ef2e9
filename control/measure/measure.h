/* SPDX-License-Identifier: Apache-2.0
 * measure.h - what comes in now, and what came lately: rates and recordings.
 *
 * Why: a plan says what would be by what is.  One thread looks at the counters
 * of this host's runtime folder now and then, and at the file into which
 * gateways record requests; who plans asks for both, as they are at this
 * moment.
 * Threads: everything but start and stop may be called on any.
 * Read next: measure.c, ../../impact/impact.h.
 */
#ifndef GRAYD_MEASURE_H
#define GRAYD_MEASURE_H

#include "control/grayd.h"
#include "impact/impact.h"

#define MEASURE_WINDOW_DEFAULT 60u /* s */
#define MEASURE_WINDOW_MAX 3600u
#define MEASURE_RECORDED_BYTES (32u << 20) /* of the end of the file */

/* Begins to look; grayd->measure is set. 0, or -1 with *ret_problem. */
int measure_start(struct grayd *grayd, struct gray_problem *ret_problem);
/* NULL is nothing. */
void measure_stop(struct measure *measure);
/* Counts anew, and reads what came within the window: all of it, and what came
 * under the policy in force. 0 and both to be freed; 1: there is nothing yet.
 * `present` has no seconds where only the other is known. */
int measure_traffic(struct measure *measure,
                    struct impact_traffic *ret_traffic,
                    struct impact_traffic *ret_present);
/* Recorded requests, the newest ones, to be given back (NULL: none); `fresh`:
 * the file is read anew where it has grown, else what the thread read last. */
struct measure_records {
    unsigned references; /* under the lock of measure.c */
    struct impact_records records;
};
const struct measure_records *measure_records_take(struct measure *measure,
                                                   bool fresh);
void measure_records_give(struct measure *measure,
                          const struct measure_records *records);

#endif
