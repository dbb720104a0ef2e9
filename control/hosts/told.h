/* SPDX-License-Identifier: Apache-2.0
 * told.h - what units were told on other hosts: copies of their journals.
 *
 * Why: "how many are in?" and "what was 1007 told?" are asked of all hosts.
 * Each host's journal is the truth of what that host said; here is a copy by
 * host and number, in SQLite beside the marks journal (which is LMDB, written
 * by one thread in order of one clock, and asked by key alone: this is asked
 * by unit, by release and across hosts).  It is committed without a sync of
 * its own: after a power cut its end may lack what the host was told that we
 * have, our number is lower then, and the host sends that part again.
 * Threads: any; one lock inside.
 * Errors: 0, or negative with *ret_problem.
 * Read next: told.c, admission.h, docs/agent.md (admissions).
 */
#ifndef GRAYD_HOSTS_TOLD_H
#define GRAYD_HOSTS_TOLD_H

#include "control/hosts/admission.h"

#define TOLD_FILE "hosts.db"
#define TOLD_NAMED_MAX 100u /* conflicts that are named */

struct told;
/* Opens or makes <state>/hosts.db. */
int told_open(struct told **ret_told, const char *state,
              struct gray_problem *ret_problem);
/* NULL is harmless. */
void told_close(struct told *told);
/* The newest number of a host's journal that is here; 0: none. */
int told_through(struct told *told, const char *host, const char *journal,
                 uint64_t *ret_through, struct gray_problem *ret_problem);
/* Records `after` + 1, ... of a host's journal: what is here already is
 * skipped, the rest kept, all or none. *ret_through is then the newest number.
 * -ERANGE: there is a gap, and *ret_through the number that is here. */
int told_put(struct told *told, const char *host, const char *journal,
             uint64_t after, const struct admission *records, size_t count,
             uint64_t *ret_through, struct gray_problem *ret_problem);

/* ---- looking ---------------------------------------------------------------- */

/* {in, out, settled (of those that are out), revoked, hold, conflicts}: units of a release, each once whatever
 * the number of hosts that told it; in where one of them says so. New
 * reference; NULL: it cannot be read. */
json_t *told_counts(struct told *told, uint64_t scope);
/* Marks as they stand on hosts, as rows of marks_list() with "host", from a
 * position on (0: the first); `state` 0: any; `open`: those that are not
 * settled alone. {marks, next}; next 0: these
 * were the last. */
json_t *told_list(struct told *told, uint64_t scope, uint8_t state, bool open,
                  uint64_t after, size_t limit);
/* What a unit was told: {hosts: [row], history: [row]}, the newest 1,000. */
json_t *told_unit(struct told *told, uint64_t scope, uint8_t space,
                  const char *unit);
/* [{unit, space, told: [{host, state, attempt, variant, revision}]}] of units
 * that two hosts told differently in one attempt; at most TOLD_NAMED_MAX. */
json_t *told_conflicts(struct told *told, uint64_t scope);

#endif
