/* SPDX-License-Identifier: Apache-2.0
 * decisions.h - every judgement that a unit met, found by the unit.
 *
 * Why: gateways write why they decided into JSON lines (docs/gateway.md,
 * gray_log), each worker of each host into its own file.  "What happened to
 * alice since noon" must not mean a grep over all of them.  So lines are
 * carried from the files, by a thread of grayd that nobody waits for, into an
 * index of its own in the state folder; it may be lost and is read again.
 *
 *   file -> tail.c -> line.c (what it speaks of) -> index.c <- query
 *
 * A source is a file or another host; its position is committed with its
 * lines, so a kill neither loses nor doubles one.  Old lines go by age and by
 * size: marks and the store need the disk more.
 * Threads: a decisions may be used by several; one lock, short holds.
 *   agent's index -> its lines -> take.c (POST /v1/hosts/{name}/decisions)
 *
 * Read next: line.c, index.c, tail.c, thread.c, take.c, ../read/decisions.c.
 */
#ifndef GRAYD_DECISIONS_H
#define GRAYD_DECISIONS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/engine.h"

#define DECISIONS_FOLDER "decisions"   /* in the state folder */
#define DECISION_LINE_MAX 65536u       /* bytes of a line; longer ones are bad */
#define DECISION_UNITS_MAX 32u         /* units that a line speaks of */
#define DECISION_VALUE_BYTES 64u       /* explain cuts units to so many */
#define DECISIONS_DAYS_DEFAULT 14u
#define DECISIONS_MIB_DEFAULT 1024u

/* ---- one line (line.c) --------------------------------------------------- */

struct decision {
    json_t *tree;            /* owned; the texts below lie in it */
    int64_t time;            /* ms since the epoch */
    const char *trace;       /* "" none */
    const char *units[DECISION_UNITS_MAX]; /* each once */
    size_t unit_count;
};
/* Reads one line of the decision log. 0, or -1 with a sentence: it is none.
 * Pure. */
int decision_read(const char *text, size_t length,
                  struct decision *ret_decision, char *ret_sentence,
                  size_t sentence_size);
void decision_clear(struct decision *decision);
/* Whether a release of this name judged the unit in it. NULL: any. */
bool decision_speaks_of(const struct decision *decision, const char *unit,
                        const char *release);
/* A unit as a line spells it: at most DECISION_VALUE_BYTES of it, whole
 * characters. */
void decision_unit(const char *unit,
                   char ret_unit[DECISION_VALUE_BYTES + 1]);

/* ---- the index (index.c, search.c) ------------------------------------------ */

struct decisions;
struct decisions_limits {
    uint32_t days;  /* older lines go */
    uint32_t mib;   /* and the oldest, above so much on disk */
};
/* Opens or makes the index in `state`; a damaged one is moved aside and begun
 * anew. 0, or negative with the problem. */
int decisions_open(struct decisions **ret_decisions, const char *state,
                   const struct decisions_limits *limits,
                   struct gray_problem *ret_problem);
void decisions_close(struct decisions *decisions);

/* Where a source stands: the first byte, or line, that was not taken; 0 when it
 * is new. 0, or negative with the problem. */
int decisions_position(struct decisions *decisions, const char *source,
                       uint64_t *ret_position,
                       struct gray_problem *ret_problem);
struct decisions_batch {
    const char *source;  /* "log:8c51a0..." or "host:h1" */
    uint64_t after;      /* the position behind it */
    uint64_t before;     /* where it must stand, ... */
    bool expects;        /* ... if this says so: else -ESTALE, and nothing */
    const char *text;    /* whole lines, each with its line end */
    size_t length;
    size_t bad;          /* lines that the reader itself had to skip */
};
/* Takes all lines of a batch and the new position, or nothing. Lines that are
 * none are counted and skipped. 0, or negative: -ENOSPC, -EIO, -ESTALE. */
int decisions_add(struct decisions *decisions,
                  const struct decisions_batch *batch,
                  struct gray_problem *ret_problem);
/* Lets the oldest lines go, a bounded number a call: how many, or negative.
 * `now`: ms. */
int64_t decisions_forget(struct decisions *decisions, int64_t now,
                         struct gray_problem *ret_problem);

/* 32 hex digits: another one where the index was begun anew. */
#define DECISIONS_ID 32u
int decisions_id(struct decisions *decisions, char ret_id[DECISIONS_ID + 1],
                 struct gray_problem *ret_problem);

struct decisions_query {
    const char *unit;    /* NULL: any; then trace is given */
    const char *trace;
    const char *release; /* NULL: any */
    int64_t since, until;/* ms; [since, until) */
    int64_t after_time;  /* the place of the last line seen, */
    uint64_t after_line; /* in order of time; 0, 0: from the first */
    size_t limit;
};
/* 0: go on. */
typedef int decisions_visit(void *context, uint64_t line,
                            const struct decision *decision,
                            const char *text, size_t length);
/* Lines in the order of their time. 0, or negative with the problem. */
int decisions_find(struct decisions *decisions,
                   const struct decisions_query *query,
                   decisions_visit *visit, void *context,
                   struct gray_problem *ret_problem);
/* The next lines in the order in which they came, above `after`: for whoever
 * carries them on. */
int decisions_next(struct decisions *decisions, uint64_t after, size_t limit,
                   decisions_visit *visit, void *context,
                   struct gray_problem *ret_problem);

struct decisions_status {
    uint64_t lines, bad;      /* kept; skipped, ever */
    uint64_t bytes;           /* on disk */
    int64_t oldest;           /* when it came, ms; 0: none */
    uint64_t behind;          /* bytes of files not read yet */
    char trouble[160];        /* "": none */
};
void decisions_status(struct decisions *decisions,
                      struct decisions_status *ret_status);

/* ---- files (tail.c, thread.c) ------------------------------------------------- */

/* Reads what the files of a glob pattern hold and the index does not, at most
 * some MiB a call. Returns bytes taken, or negative with the problem; what
 * cannot be read is looked at again the next time. */
int64_t decisions_tail(struct decisions *decisions, const char *pattern,
                       struct gray_problem *ret_problem);
/* A thread that does so every second, and forgets. NULL after having said why
 * not. The pattern is borrowed. */
struct decisions_thread;
struct decisions_thread *decisions_follow(struct decisions *decisions,
                                          const char *pattern);
void decisions_unfollow(struct decisions_thread *thread);

#endif
