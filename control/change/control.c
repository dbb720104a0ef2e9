/* SPDX-License-Identifier: Apache-2.0
 * control.c - the queue, the tick and the thread that changes things.
 *
 * Why: one thread, one call after the other: no two changes ever meet, so a
 * change needs no lock and its checks hold until it is committed. Calls wait
 * in a bounded queue; what is turned away waits to be recorded, and under a
 * flood is counted instead.
 * Read next: commit.c, start.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "control/change/internal.h"

/* ---- from other threads -------------------------------------------------- */

bool control_submit(struct grayd *grayd, const struct call *call,
                    control_done *done, void *context)
{
    struct control *control = grayd->control;
    bool taken = false;

    pthread_mutex_lock(&control->lock);
    if (control->queue_count < GRAYD_QUEUE_MAX && !control->stopping) {
        size_t at = (control->queue_first + control->queue_count++) %
                    GRAYD_QUEUE_MAX;

        control->queue[at] = (struct job) { call, done, context };
        taken = true;
        pthread_cond_signal(&control->wake);
    }
    pthread_mutex_unlock(&control->lock);
    return taken;
}

size_t control_waiting(struct grayd *grayd)
{
    struct control *control = grayd->control;
    size_t count;

    pthread_mutex_lock(&control->lock);
    count = control->queue_count;
    pthread_mutex_unlock(&control->lock);
    return count;
}

void control_record_denied(struct grayd *grayd, const struct call *call,
                           enum problem_number problem)
{
    struct control *control = grayd->control;

    pthread_mutex_lock(&control->lock);
    if (control->denied_count < CONTROL_DENIED_MAX) {
        struct denied *denied = &control->denied[control->denied_count++];

        denied->call = *call;
        denied->call.query = NULL;
        denied->call.body = NULL;
        denied->call.counted = NULL;
        denied->problem = problem;
        pthread_cond_signal(&control->wake);
    } else {
        control->denied_lost++;
    }
    pthread_mutex_unlock(&control->lock);
}

void control_listen(struct grayd *grayd, control_listener *listener,
                    void *context)
{
    struct control *control = grayd->control;

    pthread_mutex_lock(&control->lock);
    if (control->listener_count < CONTROL_LISTENERS_MAX) {
        control->listeners[control->listener_count].listener = listener;
        control->listeners[control->listener_count++].context = context;
    }
    pthread_mutex_unlock(&control->lock);
}

void control_tell(struct control *control)
{
    struct grayd *grayd = control->grayd;
    struct listener listeners[CONTROL_LISTENERS_MAX];
    size_t count;

    atomic_store(&grayd->revision, control->world.revision);
    atomic_store(&grayd->audit_sequence, control->sequence);
    pthread_mutex_lock(&control->lock);
    count = control->listener_count;
    memcpy(listeners, control->listeners, sizeof(listeners));
    pthread_mutex_unlock(&control->lock);
    for (size_t i = 0; i < count; i++) {
        listeners[i].listener(listeners[i].context, control->sequence,
                              atomic_load(&grayd->revision_in_force));
    }
}

/* ---- one call ------------------------------------------------------------ */

/* An answer given before: 1 and the reply filled. */
static int answered_before(struct control *control, const struct call *call,
                           struct reply *reply)
{
    char key[STORE_KEY_MAX + 1];
    struct store_answer answer = { 0 };
    struct gray_problem problem = { 0 };
    json_t *body;
    int found;

    if (call->key[0] == '\0') {
        return 0;
    }
    snprintf(key, sizeof(key), "%s %s", call->identity.name, call->key);
    found = store_read_answer(control->reader, key, &answer, &problem);
    if (found < 0) {
        reply_problem(reply, PROBLEM_STORE, "%s", problem.sentence);
        return 1;
    }
    if (found == 1) {
        return 0;
    }
    body = json_loads(answer.body, 0, NULL);
    if (memcmp(answer.request, call->request_hash, STORE_HASH) != 0) {
        reply_problem(reply, PROBLEM_KEY_REUSED,
                      "The key was used for another request before; take a "
                      "new one for each change.");
        json_decref(body);
    } else {
        reply_json(reply, answer.status, body);
    }
    free((void *)(uintptr_t)answer.body);
    return 1;
}

/* A freeze is done when nobody new is let in any more, whoever asked first. */
static const char *closed_by(struct control *control, const struct call *call)
{
    struct release_status status;
    struct release_facts facts;
    enum release_verb verb;

    return call->route->number == ROUTE_RELEASE_VERB && !call->dry_run &&
                   release_verb_parse(call->verb, &verb) == 0 &&
                   (verb == VERB_FREEZE || verb == VERB_STOP) &&
                   settler_closes(control->settler, call->name) &&
                   world_release(&control->world, call->name, &status,
                                 &facts) &&
                   status.state == RELEASE_FROZEN
               ? call->name
               : NULL;
}

static void run_job(struct control *control, const struct job *job)
{
    struct reply reply = { 0 };
    uint64_t before = control->world.revision;
    const char *closed;

    failpoint("call-taken");
    in_force_follow(control);
    if (answered_before(control, job->call, &reply) == 0) {
        route_find_handler(job->call->route->number)(&control->hand,
                                                     job->call, &reply);
    }
    if (json_object_get(reply.body, "scheduled") != NULL) {
        schedule_tick(control, grayd_now()); /* its instant may be near */
    }
    bundling_follow(control);
    marking_follow(control);
    closed = reply_is_problem(&reply) ? NULL : closed_by(control, job->call);
    if (reply_is_problem(&reply) ||
        (control->world.revision == before && closed == NULL)) {
        job->done(job->context, &reply);
        return;
    }
    settler_add(control->settler, job, closed, &reply);
}

/* ---- denied attempts ----------------------------------------------------- */

/* What of an attempt outlives its call. */
struct attempt {
    char action[CALL_SEGMENT_MAX + 1], resource[STORE_NAME_MAX + 1];
    const char *code;
};

static const char *const problem_codes[PROBLEM_COUNT] = {
#define GRAYD_PROBLEM(NAME, status, code, title) code,
#include "control/call/problems.def"
};

static void describe(const struct denied *denied, struct attempt *ret_attempt,
                     struct audit_entry *ret_entry)
{
    const struct call *call = &denied->call;
    const struct identity *identity = &call->identity;
    bool known = identity->name[0] != '\0';
    char word[ACTION_WORD_SIZE];

    *ret_attempt = (struct attempt) { .code = problem_codes[denied->problem] };
    snprintf(ret_attempt->action, sizeof(ret_attempt->action), "%s",
             call->verb[0] != '\0'  ? call->verb
             : call->route != NULL  ? action_word(call->route, word)
                                    : "unknown");
    call_resource(call, ret_attempt->resource);
    *ret_entry = (struct audit_entry) {
        .at = call->now,
        .actor = known ? identity->name : NULL,
        .role = known ? role_word(identity->role) : NULL,
        .via = known ? identity->via : NULL,
        .action = ret_attempt->action,
        .resource = ret_attempt->resource,
        .outcome = "denied",
        .code = ret_attempt->code,
        .triggered_by = "USER",
        .request = call->id,
    };
}

static void record_lost(struct control *control, uint64_t lost)
{
    json_t *number = json_pack("{s:I}", "attempts", (json_int_t)lost);

    commit_records(control,
                   &(struct audit_entry) {
                       .at = grayd_now(),
                       .actor = "grayd",
                       .via = "grayd",
                       .action = "flood",
                       .resource = "",
                       .outcome = "denied",
                       .triggered_by = "INTERNAL_ERROR",
                       .after = number,
                   },
                   1);
    json_decref(number);
}

/* All that wait in one transaction: a flood must not cost a sync each. */
static void record_all_denied(struct control *control)
{
    struct denied *denied;
    struct attempt *attempts;
    struct audit_entry *entries;
    size_t count;
    uint64_t lost;

    pthread_mutex_lock(&control->lock);
    count = control->denied_count;
    pthread_mutex_unlock(&control->lock);
    if (count == 0) {
        return;
    }
    denied = malloc(count * sizeof(*denied));
    attempts = malloc(count * sizeof(*attempts));
    entries = malloc(count * sizeof(*entries));
    if (denied == NULL || attempts == NULL || entries == NULL) {
        goto out;
    }
    pthread_mutex_lock(&control->lock);
    memcpy(denied, control->denied, count * sizeof(*denied));
    control->denied_count -= count;
    memmove(control->denied, control->denied + count,
            control->denied_count * sizeof(*denied));
    lost = control->denied_lost;
    control->denied_lost = 0;
    pthread_mutex_unlock(&control->lock);
    for (size_t i = 0; i < count; i++) {
        describe(&denied[i], &attempts[i], &entries[i]);
    }
    commit_records(control, entries, count);
    if (lost > 0) {
        record_lost(control, lost);
    }
out:
    free(denied);
    free(attempts);
    free(entries);
}

/* ---- the thread ---------------------------------------------------------- */

static bool take_job(struct control *control, struct job *ret_job)
{
    if (control->queue_count == 0) {
        return false;
    }
    *ret_job = control->queue[control->queue_first];
    control->queue_first = (control->queue_first + 1) % GRAYD_QUEUE_MAX;
    control->queue_count--;
    return true;
}

static void tick(struct control *control)
{
    int64_t now = grayd_now();
    char why[300];

    in_force_adopt(control, now);
    schedule_tick(control, now);
    crashes_tick(control, now);
    if ((control->policy_behind || control->words_behind) &&
        is_due(now, control->next_retry, CONTROL_RETRY_MS)) {
        control->next_retry = now + CONTROL_RETRY_MS;
        if (control->policy_behind) {
            in_force_publish(control, NULL, why);
        } else {
            in_force_words(control, why);
        }
        control_tell(control);
    }
    bundling_tick(control, now);
    marking_follow(control);
    outside_tick(control, now);
    checking_tick(control);
    commit_housekeeping(control, now);
}

static void *control_main(void *context)
{
    struct control *control = context;
    struct timespec until;
    struct job job;
    bool have;

    for (;;) {
        pthread_mutex_lock(&control->lock);
        if (control->queue_count == 0 && control->denied_count == 0 &&
            !control->stopping) {
            clock_gettime(CLOCK_MONOTONIC, &until);
            until.tv_nsec += GRAYD_TICK_MS * 1000000L;
            until.tv_sec += until.tv_nsec / 1000000000L;
            until.tv_nsec %= 1000000000L;
            pthread_cond_timedwait(&control->wake, &control->lock, &until);
        }
        have = take_job(control, &job);
        if (!have && control->stopping) {
            pthread_mutex_unlock(&control->lock);
            break;
        }
        pthread_mutex_unlock(&control->lock);
        if (have) {
            run_job(control, &job);
        }
        record_all_denied(control);
        tick(control);
    }
    record_all_denied(control);
    return NULL;
}

int control_thread_start(struct control *control)
{
    int error = pthread_create(&control->thread, NULL, control_main, control);

    control->running = error == 0;
    return -error;
}
