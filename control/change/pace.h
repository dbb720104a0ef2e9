/* SPDX-License-Identifier: Apache-2.0
 * pace.h - when the last entity outside is settled, by how they were so far.
 *
 * Why: people plan by this date, so none is better than one from a handful of
 * events or from one file that somebody sent: it asks for ten of them, in three
 * steps, and goes by the newest thirty, so that it follows a pace that changes
 * and is put off while nothing comes.  Pure: time is an argument.
 * Read next: outside.c (who looks), ../read/release_marks.c (who says it).
 */
#ifndef GRAYD_CHANGE_PACE_H
#define GRAYD_CHANGE_PACE_H

#include <stddef.h>
#include <stdint.h>

#define PACE_KEPT 720u     /* looks; beyond them the older half is thinned */
#define PACE_QUIET_MS 10000 /* between two looks that saw the same */
#define PACE_LEAST 10u     /* settlements that a date asks for */
#define PACE_STEPS 3u      /* looks at which their number had grown */
#define PACE_ENOUGH 30u    /* the newest ones that it goes by */
#define PACE_FURTHEST_MS (INT64_C(3650) * 86400000) /* ten years: no end */

struct pace_look {
    int64_t at;             /* ms since the epoch */
    uint64_t open, settled; /* entities outside: that are not, that are settled */
};
struct pace { /* zero: nobody looked yet */
    size_t count;
    struct pace_look looks[PACE_KEPT]; /* the oldest first */
};
/* One more look.  A clock that went back begins anew. */
void pace_add(struct pace *pace, struct pace_look look);

enum pace_says {
    PACE_NOBODY,  /* none is open */
    PACE_TOO_FEW, /* settlements, or they came at once */
    PACE_GROWS,   /* as many begin outside as are settled */
    PACE_ENDS     /* at `ends` */
};
struct pace_end {
    enum pace_says says;
    int64_t since, ends; /* ms since the epoch; since: what it goes by begins */
    uint64_t settled;    /* since then */
};
/* By the looks so far and this one. */
struct pace_end pace_end(const struct pace *pace, struct pace_look now);

#endif
