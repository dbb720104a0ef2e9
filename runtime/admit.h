/* SPDX-License-Identifier: Apache-2.0
 * admit.h - decide, make the marks, and answer what stands there.
 *
 * Why: the engine is pure, marks are not: between what a request should be
 * told and what everybody will be told lies the slot.  This is the one loop
 * that gateway and libgray run: decide with the marks as they are, make those
 * that are new (admit.c), and decide again where somebody was faster, the
 * scope was closed meanwhile, or a mark is not durable yet.
 *
 *   gray_decide_marked() -> DECIDED: answer
 *                        -> WAIT: keep `state`; when woken, or when
 *                           `deadline` is over, call again
 *
 * Threads: a gray_marked belongs to one request.  The view must be the current
 * one at every call; a state may outlive a swap (it knows releases by scope).
 * Read next: admit.c, mark_ask.c, marks.h, ring.h, docs/marks.md.
 */
#ifndef GRAY_RUNTIME_ADMIT_H
#define GRAY_RUNTIME_ADMIT_H

#include "runtime/marks.h"
#include "runtime/reader.h"
#include "runtime/ring.h"

enum gray_marked_now { GRAY_MARKED_DECIDED, GRAY_MARKED_WAIT };

/* What this request itself did about one unit's mark in one release. */
struct gray_marked_scope {
    uint64_t scope;
    uint64_t key[2];
    uint64_t value;   /* that we put, asked for, or found and wait for */
    uint64_t head;    /* of our ring, behind the record that asks */
    uint32_t release; /* its number when we saw it last */
    uint8_t did;      /* enum marked_did of internal.h */
    uint8_t reason;   /* when closed: enum gray_reason */
    uint8_t waits;    /* 1: it is not settled yet */
    uint8_t seen;     /* 1: the last decision says the same as our mark */
    uint8_t held;     /* 1: the last decision asked, and it may be made yet */
};
#define GRAY_MARKED_SCOPES (2 * GRAY_ARMS_MAX) /* by both of its names */
struct gray_marked {
    struct gray_runtime *runtime;
    const struct gray_view *view;
    gray_mark_fn evidence;     /* asked for GRAY_STEP_EVIDENCE; NULL: none */
    void *evidence_context;
    uint32_t entrance_name;    /* gray_hash_name() of the entrance */
    int64_t now_ms;
    int64_t deadline;          /* set with WAIT: CLOCK_MONOTONIC ns; 0: nothing
                                  was waited for yet */
    int64_t since;             /* when it began to wait, the same clock */
    bool read_only;            /* explain: ask, never record, never wait; a
                                  mark that could not be made reads CLOSED */
    uint32_t scope_count;
    struct gray_marked_scope scopes[GRAY_MARKED_SCOPES];
};
#define GRAY_MARKED_WAIT_MS 50u /* at least, for a release without
                                   strictTimeout, and where grayd is asked */
/* Begins one request.  `runtime` may be NULL, and a view may have no tables
 * (compiled documents): then nothing is marked.  Evidence, entrance_name and
 * read_only are set by the caller afterwards. */
static inline void gray_marked_begin(struct gray_marked *marked,
                                     struct gray_runtime *runtime,
                                     const struct gray_view *view,
                                     int64_t now_ms)
{
    marked->runtime = runtime;
    marked->view = view;
    marked->evidence = NULL;
    marked->evidence_context = NULL;
    marked->entrance_name = 0;
    marked->now_ms = now_ms;
    marked->deadline = marked->since = 0;
    marked->read_only = false;
    marked->scope_count = 0;
}
/* The whole decision, as gray_decide(), with marks read and made.  Never
 * fails; a mark that cannot be made admits nobody, but for two cases that are
 * counted (marks-unkept): an async `monotonic` one in a full table, or where
 * there never was a writer and this reader may not write.  What the request
 * itself recorded is answered with the reason of its first decision. */
enum gray_marked_now gray_decide_marked(struct gray_marked *marked,
                                        uint32_t entrance,
                                        struct gray_input *in,
                                        struct gray_colour *ret_colour,
                                        struct gray_trace *trace);
/* One release, as gray_decide_release(). */
enum gray_marked_now gray_release_marked(struct gray_marked *marked,
                                         uint32_t release,
                                         struct gray_input *in,
                                         struct gray_verdict *ret_verdict,
                                         struct gray_trace *trace);
/* The engine's question, of a struct gray_marked: for gray_explain() and for
 * who only looks. */
struct gray_mark gray_marked_ask(void *context,
                                 const struct gray_mark_query *query);
/* Is there anything to wait for still?  Cheap; for a waiter that was woken. */
bool gray_marked_settled(const struct gray_marked *marked,
                         int64_t monotonic_ns);
/* The request ends while it waits (its client went): what it took stays and is
 * settled by the writer; nothing is to be freed. */

#endif
