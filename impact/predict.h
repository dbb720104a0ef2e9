/* SPDX-License-Identifier: Apache-2.0
 * predict.h - what the two files of a prediction share.
 *
 * Why: the sums (predict.c) should be read without the comparing of documents
 * (rules.c) that says which of them are needed.
 * Read next: predict.c.
 */
#ifndef GRAY_IMPACT_PREDICT_H
#define GRAY_IMPACT_PREDICT_H

#include "impact/impact.h"

/* One arm of a release that is, or was, in force. */
struct predict_arm {
    const struct model_release *release;
    uint32_t variant;
    char name[GRAY_NAME_MAX + 1];
    uint64_t entered; /* entrance requests that carried it */
    /* The same a second: as it was measured, as the present policy has it, as
     * the new one would. */
    double in_window, in_now, in_then;
    bool changes;            /* its release does */
};
struct predict {
    const struct impact_question *q;
    struct impact *impact;
    struct predict_arm *arms; /* of one release beside each other */
    size_t arm_count;
    json_t *before, *after;   /* {"Kind/name": tree}; NULL: not needed */
    bool lists_differ;
};
/* Reads the documents of both models, where rules may differ. 0 or -ENOMEM. */
int predict_sources(struct predict *p);
void predict_clear(struct predict *p);
/* Does this release let in by the same rules as before, its share aside? */
bool predict_same_rules(const struct predict *p, const char *name);
/* What replay found; NULL: nothing. */
const struct impact_replayed *
predict_replayed(const struct impact_replay *replay, const char *name);
/* The part of all entrance requests that an arm has, of its release's `part`;
 * `weight` of its variant. */
double predict_split(const struct impact_question *q, enum impact_basis basis,
                     const char *arm, double part, double weight);

#endif
