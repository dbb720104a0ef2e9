/* SPDX-License-Identifier: Apache-2.0
 * internal.h - what the files of control/release/ share among themselves.
 *
 * Why: verbs, documents and host words reach a state in the same way, so that
 * no two of them can disagree on what a share means.
 * Read next: move.c.
 */
#ifndef GRAYD_RELEASE_INTERNAL_H
#define GRAYD_RELEASE_INTERNAL_H

#include "control/release/release.h"

#define RELEASE_PERCENT_MAX 24u /* bytes of a percent as text */

struct release_verb_facts {
    const char *word;
    unsigned right;
    bool reason, widens;
};
/* NULL: no such verb. */
const struct release_verb_facts *release_verb_find(enum release_verb verb);
/* Where the table leads. False: it does not know this move. */
bool release_table(enum release_state_number from, enum release_verb verb,
                   enum release_state_number *ret_to);
/* Is this a state into which the verb leads? Then there is nothing to do. */
bool release_leads_to(enum release_verb verb, enum release_state_number state);

/* The largest share: all of the bucket line but what is held back. */
uint32_t release_share_all(const struct release_facts *facts);
/* Is there a dimension behind the one that moves? */
bool release_more_dimensions(const struct release_status *status,
                             const struct release_facts *facts);
/* What an attempt, and each dimension, begins with; 0: nothing says it. */
uint32_t release_first_share(const struct release_facts *facts);
/* The step whose weight is in force at this share. */
uint32_t release_step_at(const struct release_facts *facts, uint32_t share);
/* 1, 12.5, 0.0001 as people write percents. */
const char *release_percent(uint32_t share, char buffer[RELEASE_PERCENT_MAX]);

/* A copy of a text that fits, cut between characters. */
void release_text(char *buffer, size_t size, const char *text);
/* Goes to a share in a state; to Promoted where that is everyone in the last
 * dimension. A larger one after a retreat is a new attempt. */
void release_arrive(struct release_status *status,
                    const struct release_facts *facts,
                    enum release_state_number state, uint32_t share);
void release_end(struct release_status *status, bool keep);
void release_freeze(struct release_status *status);
void release_thaw(struct release_status *status);
/* Always -1, for `return`. The advice may be NULL. */
int release_refuse(struct release_refusal *ret_refusal, const char *code,
                   const char *advice, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
int release_refuse_attempts(const struct release_facts *facts,
                            const struct release_status *now,
                            struct release_refusal *ret_refusal);
/* What would harm needs a person, a reason and the count (harm.c). 0 or -1. */
int release_harm_allowed(const struct release_status *before,
                         const struct release_facts *facts,
                         const struct release_event *event,
                         const struct release_status *after,
                         struct release_refusal *ret_refusal);
/* Takes units out again: `next` is filled. 0, 1: nothing to do, -1. */
int release_retreat(const struct release_status *now,
                    const struct release_facts *facts,
                    const struct release_event *event,
                    struct release_status *next,
                    struct release_refusal *ret_refusal);
/* To where it stood earlier. 0 or -1. */
int release_undo(const struct release_status *now,
                 const struct release_facts *facts,
                 const struct release_event *event,
                 struct release_status *next,
                 struct release_refusal *ret_refusal);
int release_refuse_unmarked(const struct release_facts *facts,
                            const char *advice,
                            struct release_refusal *ret_refusal);
int release_refuse_killed(const struct release_facts *facts, const char *what,
                          struct release_refusal *ret_refusal);
/* Whether a share may be set now: neither more than everyone nor less than
 * now, not 0. 0, 1: it is so already, or -1. */
int release_may_set(const struct release_status *now,
                    const struct release_facts *facts, uint32_t share,
                    struct release_refusal *ret_refusal);

#endif
