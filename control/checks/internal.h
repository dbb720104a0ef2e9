/* SPDX-License-Identifier: Apache-2.0
 * internal.h - what the files of control/checks/ share.
 *
 * Why: one lock over all Checks; the thread holds it while it decides, never
 * while it reads, writes or waits for a child.
 * Read next: checks.c.
 */
#ifndef GRAYD_CHECKS_INTERNAL_H
#define GRAYD_CHECKS_INTERNAL_H

#include <pthread.h>
#include <sys/types.h>

#include "control/checks/checks.h"
#include "control/checks/pending.h"

enum run_why { RUN_SWEEP, RUN_LOOK, RUN_ASKED };
struct checks_run {
    pid_t pid;         /* 0: none goes on */
    int out;           /* a file without a name: what it says */
    enum run_why why;
    uint64_t number;
    int64_t began, ends; /* ms; ends: it is killed then */
    int64_t until;
};
struct entry {
    char name[GRAY_NAME_MAX + 1];
    struct check check;
    json_t *explained; /* {ID: {by, reason, at}}; NULL: none */
    json_t *kept;      /* what the file has: see keep.c */
    struct checks_run run;
    bool asked, asked_own; /* somebody wants a run */
    int64_t asked_from, asked_until;
    uint64_t asked_number;
    int64_t next_sweep;
    bool dirty;        /* `kept` is not in its file */
    bool gone;         /* its document is */
    struct entry *next;
};
struct checks {
    struct checks_options options;
    char folder[400], program[400];
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stopping;
    struct entry *entries;
};

/* ---- keep.c -------------------------------------------------------------------- */

/* {"pending", "last": a report, "run": number of the last one that was begun,
 * "done": of the last that ended, "swept": ms, "failed": {at, sentence} or
 * null, "goodSince": when the last good run began}; of a file, or new. Never
 * NULL but for memory. */
json_t *keep_read(const struct checks *checks, const char *name);
/* A text of it, beside the old one, synced, renamed. 0, or negative. */
int keep_write(const struct checks *checks, const char *name,
               const json_t *kept);
void keep_forget(const struct checks *checks, const char *name);

/* ---- run_child.c ----------------------------------------------------------------- */

/* Starts a run over a window. 0; negative: it could not be, and why. */
int child_start(const struct checks *checks, const struct entry *entry,
                int64_t from, int64_t until, struct checks_run *ret_run,
                char *ret_why, size_t why_size);
/* 1: it goes on; 0: it ended, and *ret_report, or *ret_why (the sentence of a
 * run that failed). */
int child_ended(struct checks_run *run, int64_t now, json_t **ret_report,
                char *ret_why, size_t why_size);
void child_kill(struct checks_run *run);

#endif
