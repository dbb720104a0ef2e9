/* SPDX-License-Identifier: Apache-2.0
 * plan.h - what the files of `gray plan` share.
 *
 * Why: a plan is worked out here or by grayd (plan.c, plan_remote.c) and read
 * in one way (plan_page.c).
 * Read next: plan.c.
 */
#ifndef GRAY_CLI_PLAN_H
#define GRAY_CLI_PLAN_H

#include "cli/remote.h"

/* One that is worked out on this host. */
struct plan {
    const struct arguments *arguments;
    struct policy policy;
    struct in_force in_force;
    struct gray_model *against; /* of documents */
    const struct gray_model *before; /* NULL: nothing is in force */
    char place[256];            /* what is compared with, in words */
    json_t *impact;             /* NULL: it was not worked out */
    struct gray_drops drops;
};

/* Gate 6 here: fills plan->impact. 0, REFUSED, or another exit code after
 * complaining. */
int plan_expect(struct plan *plan);
/* Prints "Plan" of schemas.json; `place` says what it is compared with. */
void plan_page(const json_t *plan, const char *place);
/* Adds weights of --weight and requests of --replay to the body of a plan. 0, or an exit code after complaining. */
int plan_options(const struct arguments *arguments, json_t *body);
/* The requests of --replay, at most IMPACT_RECORDS_MAX, the last ones; NULL
 * with *ret_status 0: the option was not given. */
json_t *plan_requests(const struct arguments *arguments, int *ret_status);

#endif
