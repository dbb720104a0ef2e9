/* SPDX-License-Identifier: Apache-2.0
 * reader.h - the reading side: map, check, swap, acknowledge.
 *
 * Why: a reader never blocks a request for a new policy, and never leaves the
 * last good one for a bad one. Read next: reader.c, set.c.
 */
#ifndef GRAY_RUNTIME_READER_H
#define GRAY_RUNTIME_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "engine/engine.h"
#include "runtime/folder.h"

struct gray_runtime;      /* one process's hold on a folder */
struct gray_runtime_set;  /* one immutable loaded state: policy+fleet+lists */

enum gray_reader_kind { GRAY_READER_NGINX = 1, GRAY_READER_LIBRARY = 2,
                        GRAY_READER_CLI = 3 };
/* Maps `control`, takes a readers/<id> (by lock; a dead one's file is taken
 * over with its counters when it is sound, else replaced), makes its FIFO,
 * loads what is there.  Works without any snapshot (views are then empty).
 * `counted` false: no readers/ file (CLI).  0 even when no file could be taken
 * or the newest snapshot was refused: *ret_problem's code then says so, else
 * it is NULL; without a file the reader decides, uncounted and unwoken.
 * -ENOENT: no folder; -EPERM: others may change it; -EINVAL: bad `control`. */
int gray_runtime_open(struct gray_runtime **ret_runtime, const char *folder,
                      enum gray_reader_kind kind, bool counted,
                      struct gray_problem *ret_problem);
void gray_runtime_close(struct gray_runtime *runtime);
/* Readable (poll) when something changed; -1 when not counted. */
int gray_runtime_wake_fd(const struct gray_runtime *runtime);
/* Empties the FIFO. */
void gray_runtime_wake_drain(struct gray_runtime *runtime);
/* True when keys were made here, but cannot be read by this process (group,
 * mode, damage): cookies are neither signed nor verified. */
bool gray_runtime_keyless(const struct gray_runtime *runtime);
/* True when `control` names generations other than the loaded ones: a few
 * loads, may be asked per request. */
bool gray_runtime_stale(const struct gray_runtime *runtime);
/* Maps and checks the newest state; off the request path, may run in another
 * thread than the reader's own while nothing else changes this runtime.
 * *ret_set NULL: nothing newer, or nothing good (then ret_problem says why;
 * the current one stays, and the refusal is kept for status). */
int gray_runtime_load(struct gray_runtime *runtime,
                      struct gray_runtime_set **ret_set,
                      struct gray_problem *ret_problem);
/* Makes a loaded set the current one, acknowledges its generations in
 * readers/<id>, links its routes with counter series, frees the one before:
 * in the reader's own thread, when no request holds a view. */
void gray_runtime_swap(struct gray_runtime *runtime,
                       struct gray_runtime_set *set);
void gray_runtime_set_free(struct gray_runtime_set *set);
/* Was the folder removed and another one, with a policy, made in its place?
 * For a slow poll: a system call or two. */
bool gray_runtime_moved(const struct gray_runtime *runtime);
/* Then: goes over to that one, policy and all, in the reader's own thread with
 * no load under way.  The wake descriptor keeps its number; who has it in an
 * epoll set puts it there anew.  *ret_old is what was held before, for
 * gray_runtime_retire() when no request holds a view of it.  Negative as
 * gray_runtime_open(), or when nothing good is there yet: all is as before. */
int gray_runtime_follow(struct gray_runtime *runtime,
                        struct gray_runtime **ret_old,
                        struct gray_problem *ret_problem);
void gray_runtime_retire(struct gray_runtime *old);
/* The current view; NULL when there is no good snapshot or bypass is on (then
 * *ret_reason says which: NO_SNAPSHOT or BYPASS).  Valid until the next
 * swap. */
const struct gray_view *gray_runtime_view(const struct gray_runtime *runtime,
                                          enum gray_reason *ret_reason);
/* The same without regard to bypass; NULL only when nothing good was ever
 * loaded.  For a gateway that must still know where the baselines are. */
const struct gray_view *gray_runtime_loaded(const struct gray_runtime *runtime);
/* Raised by one with every swap: cached numbers (services, entrances) are
 * looked up again when it moved. */
uint64_t gray_runtime_epoch(const struct gray_runtime *runtime);
/* ---- what waits for the clock, and what a policy is held to ---------------- */

/* When the policy that lies ready takes over, ms of the wall clock; 0: none
 * waits.  For a timer on CLOCK_REALTIME, which a step of the clock moves. */
int64_t gray_runtime_turn_at(const struct gray_runtime *runtime);
/* The generation that `control` names as the one that waits; 0: none. */
uint64_t gray_runtime_next(const struct gray_runtime *runtime);
/* Whether there is something to do by the clock at all: one load. */
bool gray_runtime_on_clock(const struct gray_runtime *runtime);
/* Does it: turns when the instant has come (never back, whatever the clock
 * does), and ends the trial of a policy that this reader lived through.  True:
 * it turned, as by gray_runtime_swap(), and in the same circumstances; no load
 * may be under way. */
bool gray_runtime_clock(struct gray_runtime *runtime);
/* From a handler of signals, in a process that dies of `signal`: what was in
 * force is to blame if it is new here. */
void gray_runtime_crashed(struct gray_runtime *runtime, int signal);
/* Why the newest file on disk was refused; code NULL: it was not. */
const struct gray_problem *
gray_runtime_refusal(const struct gray_runtime *runtime);

#endif
