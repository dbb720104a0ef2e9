/* SPDX-License-Identifier: Apache-2.0
 * close.c - until nobody new is let in here, whoever was late.
 *
 * Why: as control/change/settle_marks.c does it on one host: a scope is closed
 * when every live reader has acknowledged its word, or the lease that they had
 * when it came is over, and the marks thread has taken and synced what stood
 * in the rings.  Only then this host says to the server that it has closed.
 * Read next: control/marks/marks.h (freeze), lease.c.
 */
#include <errno.h>
#include <string.h>

#include "control/agent/internal.h"
#include "control/failpoint.h"

#define SLICE_MS 20      /* that one asks the marks thread to wait */
#define PATIENCE_MS 1000 /* with readers of a scope that has no lease */
#define OPEN_WAIT_MS 1000
#define MS INT64_C(1000000)

static struct closing *find(struct agent *agent, uint64_t scope)
{
    for (size_t i = 0; i < agent->closing_count; i++) {
        if (agent->closings[i].scope == scope) {
            return &agent->closings[i];
        }
    }
    return NULL;
}

static bool is_leased(const struct agent *agent, uint64_t scope)
{
    for (size_t i = 0; i < agent->name_count; i++) {
        if (agent->names[i].scope == scope) {
            return agent->names[i].leased;
        }
    }
    return false;
}

static void begin_one(struct agent *agent, uint64_t scope)
{
    int64_t until = agent_boot_ns() + PATIENCE_MS * MS;

    if (is_leased(agent, scope)) {
        pthread_mutex_lock(&agent->lock);
        until = agent->said.lease.until;
        pthread_mutex_unlock(&agent->lock);
    }
    agent->closings[agent->closing_count++] = (struct closing) {
        .scope = scope,
        .local = publisher_word_epoch(agent->publisher),
        .until = until,
    };
}

/* Somebody opened it, here or there: if it was closed to the end, the marks
 * thread is told so. False: again at the next look. */
static bool open_done(struct agent *agent, const struct closing *closing)
{
    int error = 0;

    if (closing->done && agent->marks != NULL) {
        error = marks_open_scope(agent->marks, closing->scope, SLICE_MS, NULL);
    }
    return error == 0 || error == -ENOENT;
}

void close_begin(struct agent *agent)
{
    size_t at = 0, kept = 0;
    uint64_t scope;
    uint32_t word;

    while (publisher_next_word(agent->publisher, &at, &scope, &word) == 0) {
        struct closing *closing = find(agent, scope);
        bool open = (word & GRAY_WORD_MASK) == GRAY_WORD_OPEN;

        if (!open && closing == NULL &&
            agent->closing_count < GRAY_WORDS_MAX) {
            begin_one(agent, scope);
        } else if (open && closing != NULL && open_done(agent, closing)) {
            closing->scope = 0;
        }
    }
    for (size_t i = 0; i < agent->closing_count; i++) {
        if (agent->closings[i].scope != 0) {
            agent->closings[kept++] = agent->closings[i];
        }
    }
    agent->closing_count = kept;
}

int close_open(struct agent *agent, uint64_t scope,
               struct gray_problem *ret_problem)
{
    struct closing *closing = find(agent, scope);
    int error;

    if (agent->marks == NULL) {
        return 0;
    }
    error = marks_open_scope(agent->marks, scope, OPEN_WAIT_MS, ret_problem);
    if (error != 0 && error != -ENOENT) { /* or it keeps no marks */
        return error;
    }
    if (closing != NULL) {
        closing->done = false; /* closed again, if it does not open now */
        closing->local = publisher_word_epoch(agent->publisher);
    }
    return 0;
}

/* Readers have it, or are not waited for any more. `have` is the epoch that
 * was asked for last in this look, and all live readers had. */
static bool readers_have(struct agent *agent, const struct closing *closing,
                         uint64_t *have)
{
    size_t live = 0, acknowledged = 0;

    if (*have >= closing->local || agent_boot_ns() >= closing->until) {
        return true;
    }
    if (publisher_acknowledged(agent->options.runtime, 0, closing->local,
                               &live, &acknowledged, NULL) == 0 &&
        acknowledged == live) {
        *have = closing->local;
        return true;
    }
    return false;
}

bool close_look(struct agent *agent)
{
    struct gray_problem problem = { 0 };
    bool waits = false;
    uint64_t have = 0;

    for (size_t i = 0; i < agent->closing_count; i++) {
        struct closing *closing = &agent->closings[i];
        int error = 0;

        if (closing->done) {
            continue;
        }
        if (!readers_have(agent, closing, &have)) {
            waits = true;
            continue;
        }
        if (agent->marks != NULL) {
            failpoint("before-close-scope");
            error = marks_close_scope(agent->marks, closing->scope, SLICE_MS,
                                      &problem);
        }
        closing->done = error == 0 || error == -ENOENT;
        waits = waits || !closing->done;
    }
    return waits;
}
