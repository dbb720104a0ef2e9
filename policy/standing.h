/* SPDX-License-Identifier: Apache-2.0
 * standing.h - would a unit that is in still be in?
 *
 * Why: a policy that got narrower is one thing, and how many people that means
 * is another: each mark of the release is asked for, one after the other, by
 * both policies and the engine.  A mark knows its unit and not the request of
 * its day, so a unit drops when there is any request with which it would have
 * been let in before and would not be now.
 * What a drop means hangs on the release: a mark that is kept (monotonic,
 * entity) holds its unit in wherever the mark is read; `at_once` are those whom
 * not even their mark holds.
 * Read next: standing.c, gates_drops.c, ../control/marks/replay.c (who asks).
 */
#ifndef GRAY_POLICY_STANDING_H
#define GRAY_POLICY_STANDING_H

#include "policy/exact.h"

#define STANDING_TAILS_MAX 10u
#define STANDING_EXAMPLES_MAX 5u
#define STANDING_EXAMPLE_SIZE 72u

/* A mark that is IN. */
struct gray_standing_mark {
    struct gray_str unit;
    uint32_t entrance; /* gray_hash_name() of where it was made; 0: unnamed */
#define GRAY_STANDING_ANYWHERE UINT32_MAX /* it is not known where */
    uint8_t variant, space;
};
/* What was found so far; zero to begin with. */
struct gray_tally {
    uint64_t marks;   /* looked at */
    uint64_t drops;   /* would not be let in any more */
    uint64_t at_once; /* ... of them: fall out although they have a mark */
    uint64_t denied;  /* by a deny that names ids: not among the drops */
    uint64_t others;  /* drops that end in none of the tails */
    uint64_t by_tail[STANDING_TAILS_MAX];
    char examples[STANDING_EXAMPLES_MAX][STANDING_EXAMPLE_SIZE];
    uint32_t example_count;
};
struct gray_standing;
/* `then` of the question NULL: the release is gone, and everyone drops.
 * `tails`: "01", by which drops are told apart; copied.  NULL: no memory. Used
 * by one thread at a time, and after a fork by the child. */
struct gray_standing *
gray_standing_open(const struct exact_question *question,
                   const char *const *tails, uint32_t tail_count);
void gray_standing_close(struct gray_standing *standing);
/* The release as it was, with its scope. */
const struct model_release *
gray_standing_release(const struct gray_standing *standing);
/* NULL: every sort of request is asked; else why not all are, so that a count
 * may be too low. */
const char *
gray_standing_incomplete(const struct gray_standing *standing);
/* Asks for one mark and adds it. */
void gray_standing_add(struct gray_standing *standing,
                       const struct gray_standing_mark *mark,
                       struct gray_tally *tally);

#endif
