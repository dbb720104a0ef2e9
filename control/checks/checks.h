/* SPDX-License-Identifier: Apache-2.0
 * checks.h - grayd's Checks: when each runs, what became of what it found.
 *
 * Why: a run asks other people's databases and may take as long as they like,
 * so it is a process of its own (gray-recon) that a thread of grayd starts,
 * watches and ends; nobody waits for it.  What is open is kept in
 * <state>/recon/NAME.json, written aside and renamed, so that a kill forgets
 * neither a difference nor its next look.
 * Threads: checks_open(), checks_close(), checks_alarms() and checks_said() by
 * the control thread; the others by any.
 * Read next: checks.c, run_child.c, keep.c, pending.h, ../../docs/recon.md.
 */
#ifndef GRAYD_CHECKS_H
#define GRAYD_CHECKS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "control/checks/check.h"

#define CHECKS_FOLDER "recon"
#define CHECKS_PROGRAM "gray-recon" /* beside grayd's own */
#define CHECKS_RUNNING_MAX 2u       /* at one time */

struct checks;
struct checks_options {
    const char *state;
    const char *program;     /* NULL: beside this program's own */
    const char *decision_log; /* files that grayd follows; NULL: none */
    int64_t (*now_ms)(void);
};
/* Reads what was kept, starts the thread. Negative with *ret_problem. */
int checks_open(struct checks **ret_checks,
                const struct checks_options *options,
                struct gray_problem *ret_problem);
/* Ends runs that go on, and the thread. NULL is harmless. */
void checks_close(struct checks *checks);
/* The documents in force and what was explained of them changed: {"NAME":
 * tree} of every Check, {"NAME": {ID: {by, reason, at}}}. */
void checks_set(struct checks *checks, const json_t *documents,
                const json_t *explained);

/* ---- runs ------------------------------------------------------------------- */

/* Asks for a run: from where the last one ended (`own` false), or over a window
 * of one's own (from CHECK_NEVER: everything; until 0: now). Its number; 0:
 * there is no such Check. */
uint64_t checks_run(struct checks *checks, const char *name, bool own,
                    int64_t from, int64_t until);
/* "CheckReport" of schemas.json. New reference; NULL: there is no such. */
json_t *checks_report(struct checks *checks, const char *name);
/* Rows of "checks" of Status, without the reports. New reference. */
json_t *checks_status(struct checks *checks);

/* ---- the gate ---------------------------------------------------------------- */

struct checks_gate {
    char name[GRAY_NAME_MAX + 1]; /* of the first Check in the way */
    uint64_t unexplained;         /* of all Checks of the release */
    bool failed;                  /* its last run did */
    char why[200];
};
/* Whether Checks of a release keep it from going on: true, and *ret_gate. */
bool checks_in_the_way(struct checks *checks, const char *release,
                       struct checks_gate *ret_gate);
/* Whether a run of this Check that began at `since` or later ended well. */
bool checks_ran_since(struct checks *checks, const char *name, int64_t since);
/* The differences of these ids (an array; NULL: all that are open and nobody
 * explained) as {ID: sentence}. New reference; NULL: there is no such Check. */
json_t *checks_open_of(struct checks *checks, const char *name,
                       const json_t *ids);

/* ---- alarms ------------------------------------------------------------------- */

/* Alarms that stand in no audit yet: {check, release, ids: [...], count,
 * differences: [{id, sentence}...]} of one Check; NULL: none. New reference. */
json_t *checks_alarms(struct checks *checks);
/* They do now. */
void checks_said(struct checks *checks, const json_t *alarms);

#endif
