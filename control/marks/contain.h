/* SPDX-License-Identifier: Apache-2.0
 * contain.h - reads the journal in a process of its own.
 *
 * Why: LMDB maps its file and trusts it; a damaged page may end whoever looks
 * at it.  So who only reads does it in a child: it may die, and grayd says so.
 * A child never outlives the thread that made it.
 * Read next: contain.c, look.c, rebuild.c.
 */
#ifndef GRAYD_MARKS_CONTAIN_H
#define GRAYD_MARKS_CONTAIN_H

#include <stddef.h>
#include <sys/types.h>

#include "engine/engine.h"

/* Runs in the child, with the caller's memory as it was, no descriptor but
 * `out` and the standard ones, and no other thread: it takes no lock.  0 to
 * 100: what it found. */
typedef int contained_run(void *context, int out);
struct contained {
    pid_t pid; /* 0: none */
    int out;   /* what it writes; not blocking */
};
int contained_start(struct contained *ret_child, contained_run *run,
                    void *context, struct gray_problem *ret_problem);
/* 1: it runs still; 0: it ended, and *ret_found; -EILSEQ: it died. */
int contained_ended(struct contained *child, int *ret_found,
                    struct gray_problem *ret_problem);
/* Kills it, where it runs, and forgets it. */
void contained_end(struct contained *child);
/* Waits for its end and reads all that it writes (at most `most` bytes,
 * NUL-terminated, malloc'd).  What it found, or negative. */
int contained_text(struct contained *child, size_t most, char **ret_text,
                   struct gray_problem *ret_problem);

#endif
