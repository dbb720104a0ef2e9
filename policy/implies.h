/* SPDX-License-Identifier: Apache-2.0
 * implies.h - whether one condition holds whenever another does.
 *
 * Why: gate 4 must know that nobody who is in falls out.  That is provable for
 * the changes people make (one more id, a wider range, a shorter prefix), and
 * where it is not, the answer is no: never a guess in favour of a change.
 * Read next: implies.c, gates.c.
 */
#ifndef GRAY_POLICY_IMPLIES_H
#define GRAY_POLICY_IMPLIES_H

#include "policy/check.h"

/* A condition of one model. NULL: always holds. */
struct side {
    const struct cond *cond;
    const struct gray_model *model;
};

/* Comparisons that are left; at 0 nothing is proven any more. */
struct proof {
    uint64_t budget;
};
#define GRAY_PROOF_BUDGET 50000000ull

/* True only when `b` holds for every request for which `a` does. */
bool gray_implies(struct proof *proof, struct side a, struct side b);

/* The values that `a` (exact, in, list, idTail) lists and that none of the
 * conditions in `b` lets in. */
struct dropped {
    bool known;      /* false: `a` lists no values */
    bool tails;      /* tails, not whole values */
    bool shorter;    /* ids with fewer digits than the new tails are out */
    uint64_t count;
    bool cut;        /* `names` names the first of them alone */
    char names[256]; /* "01, 11 ..." */
};
void gray_dropped(struct proof *proof, struct side a, const struct side *b,
                  uint32_t count, struct dropped *ret_dropped);

/* Whether `b` holds for every request whose attribute has this value. */
bool gray_value_fits(struct proof *proof, struct side b,
                     const struct cond *attribute,
                     const struct model_text *value);

/* Whether an attribute is the same in both. */
bool gray_same_attribute(const struct cond *a, const struct cond *b);

#endif
