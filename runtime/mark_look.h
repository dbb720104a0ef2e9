/* SPDX-License-Identifier: Apache-2.0
 * mark_look.h - one release's marks as they stand, for whoever only looks.
 *
 * Why: `gray --local marks get` must answer with grayd dead, and grayd itself
 * compares thousands of units without its journal: both map the tables that
 * `control` names, read-only, and ask nobody.
 * Threads: a look belongs to one thread.
 * Read next: mark_look.c, marks.h.
 */
#ifndef GRAY_RUNTIME_MARK_LOOK_H
#define GRAY_RUNTIME_MARK_LOOK_H

#include "runtime/marks.h"

struct gray_mark_look {
    struct gray_folder folder;
    struct gray_marks marks;
};
/* Maps the tables of a scope. 0; -ENOENT with "no-marks": it has none here;
 * else negative with *ret_problem. */
int gray_mark_look_open(struct gray_mark_look *ret_look, const char *folder,
                        uint64_t scope, struct gray_problem *ret_problem);
/* What stands there; GRAY_FIND_UNKNOWN while the table is rebuilt, or where it
 * went on to one that came after this look was opened. */
enum gray_mark_found gray_mark_look_find(const struct gray_mark_look *look,
                                         uint8_t space, struct gray_str unit,
                                         uint64_t *ret_value);
/* Harmless when called again. */
void gray_mark_look_close(struct gray_mark_look *look);
/* "in", "out", "revoked", "hold", "pending", "absent", "unknown": the words of
 * the API. */
const char *gray_mark_word(enum gray_mark_found found, uint64_t value);

#endif
