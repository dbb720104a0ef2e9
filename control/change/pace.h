/* SPDX-License-Identifier: Apache-2.0
 * pace.h - when the last entity outside is settled, by how they were so far.
 *
 * Why: people plan by this date, so none is better than one from a handful of
 * events, or from one file that somebody sent in parts.  It goes by the newest
 * thirty, so that it follows a pace that changes, and by as many more as it
 * takes until they are spread over the time that they are set against: they
 * came at three moments, each a tenth of it apart.  So it is put off while
 * nothing comes, and a job that reports each night has a pace after three
 * nights.  Pure: time is an argument.
 * Read next: outside.c (who looks), ../read/release_marks.c (who says it).
 */
#ifndef GRAYD_CHANGE_PACE_H
#define GRAYD_CHANGE_PACE_H

#include <stddef.h>
#include <stdint.h>

#define PACE_KEPT 720u     /* looks; beyond them the older half is thinned */
#define PACE_LEAST 10u     /* settlements that a date asks for */
#define PACE_SPAN_MS 10000 /* the time that they are set against, at least; */
#define PACE_MOMENTS 3u    /* at which some came, */
#define PACE_PARTS 10      /* each such a part of it apart */
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
/* One more look; of those that saw the same the first and the last are kept.
 * A clock that went back begins anew. */
void pace_add(struct pace *pace, struct pace_look look);

enum pace_says {
    PACE_NOBODY,  /* none is open */
    PACE_TOO_FEW, /* settlements, or too much at once */
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
