/* SPDX-License-Identifier: Apache-2.0
 * gates.h - what the files of gates 4 and 5 share.
 *
 * Why: gates.c compares what stands once in a release, gates_rules.c the lists
 * of rules, gates_exact.c decides what those leave open; all report in the
 * words of the release at hand.
 * Read next: gates.c, gates_rules.c.
 */
#ifndef GRAY_POLICY_GATES_H
#define GRAY_POLICY_GATES_H

#include "policy/implies.h"
#include "policy/policy.h"

struct gates {
    const struct gray_model *before, *after;
    struct gray_gate_options options;
    struct gray_findings *findings;
    struct gray_findings suspicions; /* of rules, until they are settled */
    struct gray_arena arena;
    struct proof proof;
    struct gray_drops *drops;  /* NULL: not wanted */
    struct concern *concerns;  /* releases with errors, by count */
    uint32_t concern_count;
    size_t document_first;     /* first finding of the release at hand */
    size_t document_errors;    /* and the errors before it */
    char lost_tails[256];      /* "01, 11 ..." of the release at hand */
    struct gray_standing *standing; /* that is open */
    const char *document; /* "Release/cart-2" */
    const char *release;  /* its name alone, for commands */
    const char *services; /* pointer to its services or variants */
};
/* A release that has errors of its own. */
struct concern {
    const struct model_release *old, *now; /* now NULL: it ends */
    const char *document;
    size_t first, last; /* findings of it: [first, last) */
    size_t errors;
    char *lost_tails;
    bool denies;        /* ids are denied that were not */
};
void gray_gate_say(struct gates *g, enum gray_severity severity,
                   enum gray_problem_number problem, const char *pointer,
                   const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* deny, allow, require and match of one release, before and after. */
void gray_gate_rules(struct gates *g, const struct model_release *old,
                     const struct model_release *now);
/* Passes on of g->suspicions what is left when they were looked into
 * (gates_exact.c). */
void gray_gate_settle(struct gates *g, const struct model_release *old,
                      const struct model_release *now);
/* Counts the marks of all concerns, says so, and lets errors be warnings where
 * exactly so many may drop (gates_drops.c). */
void gray_gate_drops(struct gates *g);
/* How marks are kept, stages and dimensions (gates_marks.c). */
void gray_gate_marks(struct gates *g, const struct model_release *old,
                     const struct model_release *now);
/* Whether they let in others than before: `require` by its lists alone (its
 * text may not change), `match` by text or lists. */
bool gray_gate_require_changed(struct gates *g,
                               const struct model_release *old,
                               const struct model_release *now);
bool gray_gate_match_changed(struct gates *g, const struct model_release *old,
                             const struct model_release *now);

#endif
