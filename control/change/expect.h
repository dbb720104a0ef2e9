/* SPDX-License-Identifier: Apache-2.0
 * expect.h - gate 6: what a change that is built would do to traffic.
 *
 * Why: plan, apply and the verbs that let more units in expect the same of the
 * same change, and refuse it for the same reason.
 * Threads: on the control thread, or on a planner's with a control of its own.
 * Read next: expect.c, ../../impact/impact.h.
 */
#ifndef GRAYD_EXPECT_H
#define GRAYD_EXPECT_H

#include "control/change/internal.h"

struct expect {
    bool allowed;         /* more than a version bears is only warned of */
    bool same_rules;      /* shares alone differ */
    bool always;          /* also where no version says what it bears */
    const json_t *replay; /* requests of the caller's, in place of those that
                             were recorded; NULL: none */
};
/* Adds what is found to change->build.findings. 0, with the expectation as
 * "Impact" of schemas.json in *ret_impact (NULL: not wanted), or -1 with the
 * reply filled: it is refused, and *ret_impact is there as well. */
int change_expect(struct change *change, const struct expect *expect,
                  json_t **ret_impact, struct reply *reply);
/* The same of a change that another gate refuses already, for who only looks:
 * whoever reads a plan wants the whole of it. NULL where the documents are no
 * policy. New reference. */
json_t *change_expect_refused(struct change *change,
                              const struct expect *expect);
/* The weights of a "PlanWanted", as if their verbs had been given; a release
 * without one goes to its next step. 0, or -1 with the reply filled. */
int plan_weights(struct change *change, const json_t *weights,
                 struct reply *reply);

#endif
