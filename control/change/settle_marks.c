/* SPDX-License-Identifier: Apache-2.0
 * settle_marks.c - until a scope is closed for good, and marks are taken back.
 *
 * Why: a word in the folder stops whoever reads it; a reader that was stopped
 * by a signal in the middle of an admission reads nothing.  So a freeze is
 * done when every live reader has acknowledged its word, or its admission
 * lease has run out, and when the marks thread has then taken and synced what
 * stood in the rings.  Where a release has no lease nothing is promised: the
 * readers are named instead.  Marks are taken back after that, for whoever
 * comes in meanwhile would be missed.
 * Read next: control/marks/marks.h, docs/marks.md (Freeze).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/change/settle.h"
#include "control/marks/marks.h"

/* ---- closing --------------------------------------------------------------- */

struct closing *settle_find(struct settler *settler, const char *name)
{
    struct closing *closing = settler->closing;

    while (closing != NULL && strcmp(closing->name, name) != 0) {
        closing = closing->next;
    }
    return closing;
}

bool settle_is_closed(struct settler *settler, const char *name, int64_t now)
{
    const struct closing *closing = settle_find(settler, name);

    return closing == NULL || closing->stage == CLOSING_DONE ||
           (closing->stage == CLOSING_MARKS &&
            now - closing->ended >= SETTLE_MARKS_MS);
}

/* The readers' part: true when nobody is waited for any more. */
static void look_at_readers(struct settler *settler, struct closing *closing)
{
    const struct grayd *grayd = settler->control->grayd;
    struct gray_problem problem = { 0 };
    uint32_t patience =
        closing->lease_ms > 0 ? closing->lease_ms : CONTROL_SETTLE_MS;
    size_t live = 0;
    bool alone;
    json_t *late;
    int64_t now;

    closing->calling = true;
    pthread_mutex_unlock(&settler->lock);
    late = publisher_laggards(grayd->options.runtime, 0, closing->epoch, &live,
                              &problem);
    pthread_mutex_lock(&settler->lock);
    closing->calling = false;
    pthread_cond_broadcast(&settler->idle);
    now = settle_now();
    if (late != NULL) {
        json_decref(closing->late);
        closing->late = late;
        closing->live = live;
    }
    /* Of a leased scope hosts are waited for as long as their lease says,
     * which may be longer than that of this host's readers. */
    alone = settle_hosts(settler, closing, closing->stage == CLOSING_DONE);
    if (((late != NULL && json_array_size(late) == 0) ||
         now - closing->since >= patience) &&
        (alone || (closing->lease_ms == 0 &&
                   now - closing->since >= CONTROL_SETTLE_MS))) {
        closing->promised =
            (closing->lease_ms > 0 ||
             (late != NULL && json_array_size(late) == 0)) &&
            alone;
        closing->ended = closing->ended == 0 ? now : closing->ended;
        closing->stage = CLOSING_MARKS;
    }
}

static void look_at_marks(struct settler *settler, struct closing *closing)
{
    struct marks *marks = settler->control->grayd->marks;
    struct gray_problem problem = { 0 };
    int error = 0;

    if (marks != NULL) {
        closing->calling = true;
        pthread_mutex_unlock(&settler->lock);
        failpoint("before-close-scope");
        error = marks_close_scope(marks, closing->scope, SETTLE_SLICE_MS,
                                  &problem);
        pthread_mutex_lock(&settler->lock);
        closing->calling = false;
        pthread_cond_broadcast(&settler->idle);
    }
    if (error == 0 || error == -ENOENT) { /* or it keeps no marks */
        closing->problem[0] = '\0';
        closing->stage = CLOSING_DONE;
    } else {
        snprintf(closing->problem, sizeof(closing->problem), "%.190s",
                 problem.sentence[0] != '\0' ? problem.sentence
                                             : strerror(-error));
    }
}

/* Without a lease a late reader may let units in until it wakes; with one it is
 * named to who asks, who should not look for it when it has woken.  So whether
 * it still is late is asked now and then. */
static bool look_again(struct settler *settler, struct closing *closing)
{
    if (json_array_size(closing->late) == 0 &&
        json_array_size(closing->hosts.late) == 0) {
        return false;
    }
    if (settle_now() >= closing->next_look) {
        closing->next_look = settle_now() + SETTLE_SLOW_MS;
        look_at_readers(settler, closing);
        closing->stage = CLOSING_DONE;
    }
    return true;
}

enum settle_again settle_closings(struct settler *settler)
{
    struct closing *closing;
    enum settle_again again = SETTLE_NEVER;

    for (closing = settler->closing; closing != NULL && !settler->stopping;
         closing = closing->next) {
        if (closing->stage == CLOSING_READERS) {
            look_at_readers(settler, closing);
        }
        if (closing->stage == CLOSING_MARKS && !settler->stopping) {
            look_at_marks(settler, closing);
        }
        if (closing->stage != CLOSING_DONE) {
            again = SETTLE_SOON;
        } else if (!settler->stopping && look_again(settler, closing) &&
                   again == SETTLE_NEVER) {
            again = SETTLE_LATER;
        }
    }
    return again;
}

void settler_close(struct settler *settler, const struct settle_scope *scope)
{
    struct closing *closing;

    pthread_mutex_lock(&settler->lock);
    if (settle_find(settler, scope->name) == NULL &&
        (closing = calloc(1, sizeof(*closing))) != NULL) {
        memcpy(closing->name, scope->name, sizeof(closing->name));
        closing->scope = gray_hash_scope(scope->name, strlen(scope->name));
        closing->epoch = scope->epoch;
        closing->lease_ms = scope->lease_ms;
        closing->host_epoch = scope->host_epoch;
        closing->since = settle_now();
        closing->next = settler->closing;
        settler->closing = closing;
        pthread_cond_signal(&settler->wake);
    }
    pthread_mutex_unlock(&settler->lock);
}

bool settler_open(struct settler *settler, const char *name)
{
    struct closing *closing, **at;

    pthread_mutex_lock(&settler->lock);
    while ((closing = settle_find(settler, name)) != NULL &&
           closing->calling) {
        pthread_cond_wait(&settler->idle, &settler->lock);
    }
    if (closing != NULL) {
        for (at = &settler->closing; *at != closing; at = &(*at)->next) {
        }
        *at = closing->next;
        json_decref(closing->late);
        json_decref(closing->hosts.late);
        free(closing);
    }
    pthread_mutex_unlock(&settler->lock);
    return closing != NULL;
}

bool settler_closes(struct settler *settler, const char *name)
{
    bool found;

    pthread_mutex_lock(&settler->lock);
    found = settle_find(settler, name) != NULL;
    pthread_mutex_unlock(&settler->lock);
    return found;
}

/* ---- what is said about it ------------------------------------------------- */

static void name_readers(const json_t *late, char *text, size_t size)
{
    size_t used = 0, i;
    const json_t *row;

    text[0] = '\0';
    json_array_foreach(late, i, row) {
        if (used + 60 > size) {
            snprintf(text + used, size - used, ", ...");
            return;
        }
        used += (size_t)snprintf(
            text + used, size - used, "%s%.30s (pid %lld)",
            i > 0 ? ", " : "",
            json_string_value(json_object_get(row, "id")),
            (long long)json_integer_value(json_object_get(row, "pid")));
    }
}

/* When nobody waits for the word any more. */
static json_t *sentence_at_end(const struct closing *closing,
                               const char *names, const char *hosts)
{
    size_t late = json_array_size(closing->late);
    const char *many = late == 1 ? "reader has" : "readers have";
    const char *over = hosts[0] != '\0' && closing->promised
                           ? ", and what lease there was ran out"
                           : "";

    if (late == 0 && (hosts[0] == '\0' || closing->promised)) {
        return json_sprintf("nobody new is let in any more: all %zu readers "
                            "acknowledged, and what they had told is synced"
                            "%s%s",
                            closing->live, hosts, over);
    }
    if (late == 0) {
        return json_sprintf("all %zu readers of this host acknowledged%s, and "
                            "%s has no admission lease: until they do they may "
                            "still let units in",
                            closing->live, hosts, closing->name);
    }
    if (closing->promised) {
        return json_sprintf("nobody new is let in any more: %zu %s not "
                            "acknowledged (%s), and the admission lease of "
                            "%g s ran out%s",
                            late, many, names, closing->lease_ms / 1000.0,
                            hosts);
    }
    return json_sprintf("%zu %s not acknowledged within a second (%s)%s, and "
                        "%s has no admission lease: until they do they may "
                        "still let units in",
                        late, many, names, hosts, closing->name);
}

static json_t *sentence_of(const struct closing *closing)
{
    size_t late = json_array_size(closing->late);
    char names[400], hosts[500];

    name_readers(closing->late, names, sizeof(names));
    settle_hosts_sentence(closing, hosts, sizeof(hosts));
    if (closing->stage == CLOSING_READERS) {
        return json_sprintf("%zu %s not acknowledged yet: %s%s", late,
                            late == 1 ? "reader has" : "readers have", names,
                            hosts);
    }
    if (closing->stage == CLOSING_MARKS) {
        return json_sprintf("the marks are not settled yet: %s",
                            closing->problem[0] != '\0'
                                ? closing->problem
                                : "the marks thread is at work");
    }
    return sentence_at_end(closing, names, hosts);
}

json_t *settle_admission(struct settler *settler, const char *name)
{
    const struct closing *closing = settle_find(settler, name);
    int64_t left;
    json_t *said;

    if (closing == NULL) {
        return NULL;
    }
    said = json_pack("{s:b,s:o,s:O*,s:I}", "closed",
                     (int)(closing->stage == CLOSING_DONE &&
                           closing->promised),
                     "sentence", sentence_of(closing), "late", closing->late,
                     "waitedMs",
                     (json_int_t)((closing->stage == CLOSING_READERS
                                       ? settle_now()
                                       : closing->ended) -
                                  closing->since));
    if (said != NULL && closing->late == NULL) {
        json_object_set_new(said, "late", json_array());
    }
    settle_hosts_admission(closing, said);
    if (said != NULL && closing->lease_ms > 0) {
        left = closing->since + closing->lease_ms - settle_now();
        json_object_set_new(said, "leaseMs",
                            json_integer(closing->lease_ms));
        json_object_set_new(said, "leaseLeftMs",
                            json_integer(left > 0 ? left : 0));
    }
    return said;
}

json_t *settler_admission(struct settler *settler, const char *name)
{
    json_t *said;

    pthread_mutex_lock(&settler->lock);
    said = settle_admission(settler, name);
    pthread_mutex_unlock(&settler->lock);
    return said;
}

/* ---- marks taken back ------------------------------------------------------ */

static const char *text_of(const json_t *what, const char *key)
{
    return json_string_value(json_object_get(what, key));
}

static int64_t number_of(const json_t *what, const char *key)
{
    return (int64_t)json_integer_value(json_object_get(what, key));
}

/* Of a list of the newest those are left that a kill left over: nobody else
 * takes marks of this release back meanwhile. */
static uint64_t taken_back(struct marks *marks, uint64_t scope)
{
    struct gray_problem problem = { 0 };
    json_t *status = marks_status(marks, scope, &problem);
    uint64_t revoked =
        (uint64_t)json_integer_value(json_object_get(status, "revoked"));

    json_decref(status);
    return revoked;
}

static int queue(struct marks *marks, const struct revoking *revoking,
                 struct gray_problem *ret_problem)
{
    const json_t *what = revoking->what;
    struct marks_revoke revoke = {
        .scope = gray_hash_scope(revoking->name, strlen(revoking->name)),
        .cohort = (enum marks_cohort)number_of(what, "cohort"),
        .share = (uint32_t)number_of(what, "share"),
        .salt = text_of(what, "salt"),
        .count = (uint64_t)number_of(what, "count"),
        .space = (uint8_t)number_of(what, "space"),
        .units = json_object_get(what, "units"),
        .attempt = (uint32_t)number_of(what, "attempt"),
        .actor = text_of(what, "actor"),
        .reason = text_of(what, "reason"),
    };
    uint64_t id;

    if (revoke.cohort == MARKS_NEWEST) {
        uint64_t done = taken_back(marks, revoke.scope) -
                        (uint64_t)number_of(what, "before");

        revoke.count -= done < revoke.count ? done : revoke.count;
    }
    return marks_revoke(marks, &revoke, &id, ret_problem);
}

/* Whoever may still let units in by what was before has had his time. */
static bool readers_are_over(struct settler *settler,
                             struct revoking *revoking)
{
    const struct grayd *grayd = settler->control->grayd;
    uint32_t patience =
        revoking->lease_ms > 0 ? revoking->lease_ms : CONTROL_SETTLE_MS;
    struct gray_problem problem = { 0 };
    size_t live = 0, have = 0;

    return settle_now() - revoking->since >= patience ||
           (publisher_acknowledged(grayd->options.runtime,
                                   revoking->generation, revoking->epoch,
                                   &live, &have, &problem) == 0 &&
            have == live);
}

/* Without the lock. True: it is done. */
static bool go_on(struct settler *settler, struct revoking *revoking)
{
    struct marks *marks = settler->control->grayd->marks;
    uint64_t scope = gray_hash_scope(revoking->name, strlen(revoking->name));
    struct gray_problem problem = { 0 };

    if (marks == NULL) {
        return true; /* there are none */
    }
    if (!revoking->queued && readers_are_over(settler, revoking)) {
        failpoint("before-revoke");
        int error = queue(marks, revoking, &problem);

        if (error == -ENOENT || error == -EINVAL) {
            grayd_log(LOG_LEVEL_WARN, problem.code, "%s: %s", revoking->name,
                      problem.sentence);
            return true; /* there are no such marks */
        }
        revoking->queued = error == 0;
    }
    return revoking->queued && !marks_busy(marks, scope);
}

enum settle_again settle_revokings(struct settler *settler)
{
    struct revoking *revoking;
    enum settle_again again = SETTLE_NEVER;

    for (revoking = settler->revoking; revoking != NULL && !settler->stopping;
         revoking = revoking->next) {
        const struct closing *closing = settle_find(settler, revoking->name);

        if (!revoking->done &&
            (closing == NULL || closing->stage == CLOSING_DONE)) {
            bool done;

            revoking->calling = true;
            pthread_mutex_unlock(&settler->lock);
            done = go_on(settler, revoking);
            pthread_mutex_lock(&settler->lock);
            revoking->calling = false;
            revoking->done = done;
        }
        if (!revoking->done) {
            again = SETTLE_SOON;
        }
    }
    return again;
}

void settler_revoke(struct settler *settler, uint64_t effect, json_t *what,
                    const struct settle_scope *scope)
{
    struct revoking *revoking, **last;

    pthread_mutex_lock(&settler->lock);
    for (last = &settler->revoking; *last != NULL; last = &(*last)->next) {
        if ((*last)->effect == effect) {
            json_decref(what);
            pthread_mutex_unlock(&settler->lock);
            return;
        }
    }
    revoking = calloc(1, sizeof(*revoking));
    if (revoking != NULL) {
        memcpy(revoking->name, scope->name, sizeof(revoking->name));
        revoking->effect = effect;
        revoking->what = what;
        revoking->epoch = scope->epoch;
        revoking->generation = scope->generation;
        revoking->lease_ms = scope->lease_ms;
        revoking->since = settle_now();
        *last = revoking;
        pthread_cond_signal(&settler->wake);
    } else {
        json_decref(what); /* the store has it; the next look finds it */
    }
    pthread_mutex_unlock(&settler->lock);
}

bool settler_revokes(struct settler *settler, const char *name)
{
    const struct revoking *revoking;

    pthread_mutex_lock(&settler->lock);
    for (revoking = settler->revoking;
         revoking != NULL &&
         (revoking->done || strcmp(revoking->name, name) != 0);
         revoking = revoking->next) {
    }
    pthread_mutex_unlock(&settler->lock);
    return revoking != NULL;
}

bool settler_revoked(struct settler *settler, uint64_t *ret_effect)
{
    struct revoking **at, *done;

    pthread_mutex_lock(&settler->lock);
    for (at = &settler->revoking;
         *at != NULL && (!(*at)->done || (*at)->calling); at = &(*at)->next) {
    }
    done = *at;
    if (done != NULL) {
        *at = done->next;
        *ret_effect = done->effect;
        json_decref(done->what);
        free(done);
    }
    pthread_mutex_unlock(&settler->lock);
    return done != NULL;
}

void settle_marks_free(struct settler *settler)
{
    struct closing *closing;
    struct revoking *revoking;

    while ((closing = settler->closing) != NULL) {
        settler->closing = closing->next;
        json_decref(closing->late);
        json_decref(closing->hosts.late);
        free(closing);
    }
    while ((revoking = settler->revoking) != NULL) {
        settler->revoking = revoking->next;
        json_decref(revoking->what);
        free(revoking);
    }
}
