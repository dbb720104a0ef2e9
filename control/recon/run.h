/* SPDX-License-Identifier: Apache-2.0
 * run.h - one run of a Check: everything read, joined, judged, reported.
 *
 * Why: `gray-recon` is a process of its own, so that neither a slow database
 * nor a huge result can touch grayd; tests and the bench call the same.
 * Threads: one.  Read next: run.c, read_rows.c, worker.c.
 */
#ifndef GRAYD_RECON_RUN_H
#define GRAYD_RECON_RUN_H

#include "control/checks/check.h"

#define RUN_NAMED_MAX 1000u /* differences of one R that are named */

struct run_options {
    const char *state;  /* of grayd: its store and journal are read */
    const char *folder; /* for files without a name; it exists */
    const char *decision_log; /* files that grayd follows; NULL: none */
    int64_t now;        /* ms */
    int64_t from, until; /* what is judged; from CHECK_NEVER: everything */
    uint64_t map_size;  /* of the journal; 0: its own */
};
/* What a run found, as docs/recon.md and rest.md (CheckRun) say. 0 and a new
 * reference; negative with *ret_problem: it could not be run to its end, and
 * nothing is known. */
int recon_run(const struct check *check, const struct run_options *options,
              json_t **ret_report, struct gray_problem *ret_problem);

#endif
