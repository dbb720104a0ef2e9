/* SPDX-License-Identifier: Apache-2.0
 * totals.h - adding up readers' files, one at a time; see totals.c.
 *
 * Why: the fuzzer feeds bytes to the very function that status uses.
 */
#ifndef GRAY_RUNTIME_TOTALS_H
#define GRAY_RUNTIME_TOTALS_H

#include "runtime/internal.h"

#define TOTAL_SERIES_MAX 16384u /* distinct series; the rest is left out */
#define TALLY_INDEX 32768u      /* power of two, above 2 * that - 1 */
#define TOTAL_FLOWS_MAX 4096u   /* the same of flows */
#define FLOW_INDEX 16384u
struct tally {
    struct gray_totals *totals;
    size_t capacity, flow_capacity;
    uint16_t index[TALLY_INDEX];
    uint16_t flow_index[FLOW_INDEX];
    uid_t owner; /* of the folder */
    gid_t group; /* of nginx's workers; -1: not known */
};
/* Adds the bytes of readers/<id>, which is `uid`'s, to tally->totals, or counts
 * them as bad. */
int runtime_tally_add(struct tally *tally, const char *id, uid_t uid,
                      const void *bytes, size_t size, bool alive);
int runtime_totals_of_dir(int folder_fd, struct gray_totals *ret_totals,
                          struct gray_problem *ret_problem);

#endif
