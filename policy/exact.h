/* SPDX-License-Identifier: Apache-2.0
 * exact.h - `in before AND NOT in after`, decided.
 *
 * Why: implies.c proves what it sees at a glance; what it cannot prove is not
 * yet a drop.  Here both editions of a release are asked of every sort of
 * request that their conditions can tell apart, and either there is one that
 * falls out, which is named, or there is none.
 * Read next: exact.c, pair.h, classes.h.
 */
#ifndef GRAY_POLICY_EXACT_H
#define GRAY_POLICY_EXACT_H

#include "policy/model.h"
#include "policy/pair.h"

#define EXACT_REQUESTS_MAX UINT64_C(1000000) /* asked of one release */

enum exact_answer { EXACT_SAFE, EXACT_DROPS, EXACT_UNKNOWN };
struct exact {
    enum exact_answer answer; /* of those whom nobody named to be denied */
    bool single;  /* requests that were let in for themselves alone are not
                     any more */
    bool denied;  /* ids are denied that were in */
    const char *why;     /* UNKNOWN */
    const char *witness; /* DROPS: a request, in the arena */
    const char *because; /* DROPS: the reason that it now gets */
    bool told;           /* the engine was asked of the witness as it stands;
                            else only of its like */
};
struct exact_question {
    const struct gray_model *before, *after;
    const struct model_release *old, *then; /* of them */
    int64_t now; /* ms since the epoch: what was before it does not count */
};
/* Never fails: what cannot be told is UNKNOWN.  Memory by the arena, which must
 * have somewhere to go when it is full. */
void gray_exact(struct gray_arena *arena,
                const struct exact_question *question,
                struct exact *ret_exact);

#endif
