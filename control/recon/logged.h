/* SPDX-License-Identifier: Apache-2.0
 * logged.h - decision records by release and unit.
 *
 * Why: R1 asks whether somebody wrote down that he decided so.  What is read
 * now are the gateways' own files (`gray_log`); a log that is shipped and
 * searchable will be another source behind the same visit.
 * Read next: logged.c, ../../docs/gateway.md (gray_log).
 */
#ifndef GRAYD_RECON_LOGGED_H
#define GRAYD_RECON_LOGGED_H

#include "control/recon/facts.h"


struct logged_counts {
    uint64_t files, lines, bad; /* bad: lines that are no record */
};
/* Not 0 ends it and is returned. `unit` lives as long as the visit. */
typedef int logged_visit(void *context, struct gray_str unit,
                            const struct fact_decision *decision);
/* Every decision about units of a release in files of these patterns (an array
 * of texts), made within [from, until]. -EIO "log-failed": one cannot be read;
 * that there is none is no error. */
int logged_each(const json_t *patterns, const char *release, int64_t from,
                   int64_t until, logged_visit *visit, void *context,
                   struct logged_counts *counts,
                   struct gray_problem *ret_problem);
/* One line (NUL-terminated): 1 and *ret_decision with its unit in `buffer` of
 * LOGGED_UNIT_MAX bytes, 0: of something else, -1: it is no record. Pure. */
#define LOGGED_UNIT_MAX 1025u
int logged_parse(const char *line, size_t length, const char *release,
                    char buffer[LOGGED_UNIT_MAX],
                    struct gray_str *ret_unit,
                    struct fact_decision *ret_decision);

#endif
