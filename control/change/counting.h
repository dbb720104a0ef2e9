/* SPDX-License-Identifier: Apache-2.0
 * counting.h - marks counted for a change, before the control thread has it.
 *
 * Why: whoever allows units to drop says how many (allowDrop), so they are
 * counted: over a million marks that takes a while, and the thread that changes
 * anything must not wait.  So a planner thread counts first, by a rehearsal of
 * the change, and the control thread takes its numbers if the policy in force
 * is still the one that was compared with.
 * Read next: counting.c, ../marks/replay.c, ../rest/request.c (the order).
 */
#ifndef GRAYD_COUNTING_H
#define GRAYD_COUNTING_H

#include "control/call/call.h"
#include "policy/policy.h"

#define COUNTING_MS 20000 /* for one release */

struct grayd;
struct counted;
/* Counts now, over the journal; NULL of marks: nobody can. */
struct gray_counter counting_now(struct grayd *grayd);
/* Does this call wait for a count (APPLY, LIST_IDS with allowDrop)? Any
 * thread. */
bool counting_is_wanted(const struct call *call);
/* Rehearses it on the caller's thread and keeps what was counted in the call,
 * to be freed by counting_free(). */
void counting_ahead(struct hand *hand, struct call *call);
void counting_free(struct counted *counted);
/* Numbers that were counted ahead, for a change of this revision; they are none
 * where another one is in force, or nobody counted. `call` is borrowed. */
struct counting_kept {
    const struct call *call;
    uint64_t revision; /* in force */
};
struct gray_counter counting_kept(struct counting_kept *kept);
/* Fills the options from the body's allowDrop. */
void counting_options(const struct call *call,
                      struct gray_gate_options *options);

#endif
