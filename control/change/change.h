/* SPDX-License-Identifier: Apache-2.0
 * change.h - the one thread that changes anything, and how it is asked.
 *
 * Why: with one writer a change is a straight line: look at what is in force,
 * check, commit (documents, states, audit record, outbox and the answer for
 * the idempotency key in one transaction), publish, answer.  Whoever was
 * refused is recorded too.
 * Read next: control.c (queue and tick), commit.c (the straight line),
 * apply.c, verbs.c.
 */
#ifndef GRAYD_CHANGE_H
#define GRAYD_CHANGE_H

#include "control/audit/audit.h"
#include "control/call/call.h"
#include "control/change/pace.h"
#include "control/grayd.h"

/* Opens store, audit and publisher; brings the runtime folder to the newest
 * revision, adopts words that were set on the host meanwhile, makes the first
 * token (written to <state>/first-token, mode 0600, once), and starts the
 * thread. */
int control_start(struct grayd *grayd, struct gray_problem *ret_problem);
/* Lets the calls in the queue end, writes a checkpoint, closes. */
void control_stop(struct grayd *grayd);

/* Hands a call over; `done` is called on the control thread with the reply,
 * which then belongs to it. The call must live until then. False when the
 * queue is full (nothing was taken). */
typedef reply_done control_done;
bool control_submit(struct grayd *grayd, const struct call *call,
                    control_done *done, void *context);
/* How many calls wait. */
size_t control_waiting(struct grayd *grayd);
/* An attempt that was turned away before it came here (no right, no scope, a
 * bad token): one record, in the control thread's own time. Bounded: beyond
 * 1,000 waiting ones they are counted and recorded as a number. */
void control_record_denied(struct grayd *grayd, const struct call *call,
                           enum problem_number problem);

/* "Admission" of schemas.json: how far a word that admits nobody new has come;
 * NULL: it is open. New reference; any thread. */
json_t *control_admission(struct grayd *grayd, const char *name);
/* marks_status() of a release, at most so old (0: of now). New reference; NULL:
 * it keeps none; any thread. */
json_t *control_marks(struct grayd *grayd, const char *name, int64_t age_ms);
#define CONTROL_COUNTS_MS 5000 /* how old counts of lists and figures may be */
/* Whether marks of a release are still to be taken back; any thread. */
bool control_revokes(struct grayd *grayd, const char *name);
/* Entities that are outside and not settled; 0 where nobody knows. */
uint64_t control_open(struct grayd *grayd, const char *name);
/* When the last entity outside is settled, by how they were so far; any
 * thread. */
struct pace_end control_pace(struct grayd *grayd, const char *name,
                             struct pace_look now);

/* Whoever waits for news: called on the control thread after each commit and
 * each publication; must not block. */
typedef void control_listener(void *context, uint64_t audit_sequence,
                              uint64_t revision_in_force);
void control_listen(struct grayd *grayd, control_listener *listener,
                    void *context);

#endif
