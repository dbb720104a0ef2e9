/* SPDX-License-Identifier: Apache-2.0
 * rehearse.h - freeze, rollback and thaw, tried on a shadow of a release.
 *
 * Why: a rollback plan that was never rehearsed is not trusted (P5).
 * Threads: a planner's; nothing of the control thread's is touched.
 * Read next: rehearse.c, rehearse_shadow.c.
 */
#ifndef GRAYD_REHEARSE_H
#define GRAYD_REHEARSE_H

#include "control/change/build.h"
#include "control/grayd.h"
#include "control/marks/marks.h"

#define REHEARSE_SUFFIX "~rehearsal" /* no document can have such a name */
#define REHEARSE_MARKED 100u         /* units that are in */
#define REHEARSE_NEW 20u             /* that come at each step */
#define REHEARSE_WAIT_MS 10000       /* for the marks thread, at each step */

/* One rehearsal: what its planner and the control thread hand each other. */
struct rehearsal {
    struct grayd *grayd;
    const struct call *call;   /* that asked for it */
    struct marks_scope shadow; /* prepared beside the policy's */
    bool prepare;              /* false: the shadow ends */
    json_t *result;            /* to be written down; NULL: not yet */
    int error;
    struct gray_problem problem;
};
/* Lets the control thread prepare the shadow, or end it. Waits. 0 or negative
 * with rehearsal->problem. */
int rehearse_prepare(struct rehearsal *rehearsal, bool prepare);
/* The steps on a shadow of the release as it stands in `world`, which is
 * changed: an array of {"step","good","sentence","ms"}, up to the first that
 * is not good. New reference; NULL with rehearsal->problem: it could not
 * begin. */
json_t *rehearse_steps(struct rehearsal *rehearsal, struct world *world);

#endif
