/* SPDX-License-Identifier: Apache-2.0
 * rehearse.c - a rehearsal asked for, and kept with what it was made of.
 *
 * Why: it takes seconds and touches nothing live, so a planner's thread does
 * it; that it was done is a change like any other, so the control thread
 * writes it down, with the revision of the release's document: what was
 * rehearsed of another document is not believed.
 * Read next: rehearse_shadow.c (the steps).
 */
#include <errno.h>
#include <string.h>

#include "control/change/internal.h"
#include "control/change/rehearse.h"

#define STEPS 4u

/* ---- the control thread's part ------------------------------------------------ */

static void record(struct change *change, const struct call *call,
                   json_t *rehearsal, struct reply *reply)
{
    char key[STORE_NAME_MAX + 1];

    change->action = "rehearse";
    change->reason = json_string_value(json_object_get(call->body, "reason"));
    change->after = json_pack("{s:O,s:O}", "passed",
                              json_object_get(rehearsal, "passed"), "document",
                              json_object_get(rehearsal, "document"));
    snprintf(key, sizeof(key), "rehearsal/%s", call->name);
    change_put(change, STORE_SETTING, key, json_incref(rehearsal));
    reply_json(reply, 200, json_deep_copy(rehearsal));
    change_commit(change, reply);
    if (!reply_is_problem(reply)) {
        json_object_set(reply->body, "revision",
                        json_object_get(rehearsal, "revision"));
    }
}

static void on_control(struct control *control, const struct call *call,
                       struct reply *reply)
{
    struct rehearsal *rehearsal = control->rehearsal;
    struct change change;

    if (rehearsal->result == NULL) {
        rehearsal->error = marking_shadow(
            control, rehearsal->prepare ? &rehearsal->shadow : NULL,
            &rehearsal->problem);
        reply_json(reply, 200, json_object());
        return;
    }
    if (change_begin(&change, control, call, reply) == 0) {
        record(&change, call, rehearsal->result, reply);
        change_end(&change);
    }
}

/* ---- from the planner to it and back ------------------------------------------ */

struct handed {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool done;
    struct reply *reply;
};

static void handed_back(void *context, struct reply *reply)
{
    struct handed *handed = context;

    pthread_mutex_lock(&handed->lock);
    *handed->reply = *reply;
    handed->done = true;
    pthread_cond_signal(&handed->wake);
    pthread_mutex_unlock(&handed->lock);
}

static void hand_over(struct rehearsal *rehearsal, struct reply *reply)
{
    struct handed handed = { .lock = PTHREAD_MUTEX_INITIALIZER,
                             .wake = PTHREAD_COND_INITIALIZER,
                             .reply = reply };
    struct call second = *rehearsal->call;

    second.key[0] = '\0';
    if (!control_submit(rehearsal->grayd, &second, handed_back, &handed)) {
        reply_problem(reply, PROBLEM_BUSY, "Too many changes wait.");
        return;
    }
    pthread_mutex_lock(&handed.lock);
    while (!handed.done) {
        pthread_cond_wait(&handed.wake, &handed.lock);
    }
    pthread_mutex_unlock(&handed.lock);
}

int rehearse_prepare(struct rehearsal *rehearsal, bool prepare)
{
    struct reply reply = { 0 };

    rehearsal->prepare = prepare;
    rehearsal->error = -EAGAIN;
    hand_over(rehearsal, &reply);
    reply_clear(&reply);
    return rehearsal->error;
}

/* ---- trying it: a planner ------------------------------------------------------ */

static json_t *rehearsal_of(const struct world *world, const struct call *call,
                            json_t *steps)
{
    char key[STORE_NAME_MAX + 1], moment[CALL_MOMENT_SIZE];
    const json_t *last = json_array_get(steps, json_array_size(steps) - 1);
    bool passed = json_array_size(steps) == STEPS &&
                  json_is_true(json_object_get(last, "good"));

    world_key("Release", call->name, key);
    call_moment(grayd_now(), moment);
    return json_pack(
        "{s:s,s:o,s:b,s:O*,s:O*,s:s,s:s,s:O*,s:O}", "release", call->name,
        "scope", json_sprintf("%s" REHEARSE_SUFFIX, call->name), "passed",
        (int)passed, "revision",
        json_object_get(json_object_get(world->releases, call->name),
                        "revision"),
        "document", json_object_get(world->since, key), "at", moment, "by",
        call->identity.name, "reason",
        json_object_get(call->body, "reason"), "steps", steps);
}

static void rehearse(struct rehearsal *rehearsal, struct world *world,
                     struct reply *reply)
{
    const struct call *call = rehearsal->call;
    struct release_status status;
    struct release_facts facts;
    json_t *steps;
    struct world shadow;

    if (!world_release(world, call->name, &status, &facts)) {
        reply_problem(reply, PROBLEM_NOT_FOUND, "There is no release %s.",
                      call->name);
        return;
    }
    if (facts.stickiness == GRAY_STICKY_NONE) {
        reply_problem(reply, PROBLEM_REFUSED,
                      "%s keeps no marks (stickiness: none): there is nothing "
                      "to rehearse.",
                      call->name);
        reply_add(reply, "code", json_string("no-marks"));
        return;
    }
    if (world_copy(&shadow, world) != 0) {
        reply_problem(reply, PROBLEM_INTERNAL, "Memory is at its end.");
        return;
    }
    steps = rehearse_steps(rehearsal, &shadow);
    world_free(&shadow);
    if (steps == NULL) {
        reply_problem(reply, PROBLEM_BUSY, "The rehearsal did not begin: %s",
                      rehearsal->problem.sentence);
        return;
    }
    rehearsal->result = rehearsal_of(world, call, steps);
    hand_over(rehearsal, reply);
    json_decref(rehearsal->result);
    json_decref(steps);
}

/* One at a time: its shadow is prepared with every policy. */
static bool take_turn(struct control *control, struct rehearsal *rehearsal)
{
    bool mine;

    pthread_mutex_lock(&control->lock);
    mine = control->rehearsal == NULL;
    if (mine) {
        control->rehearsal = rehearsal;
    }
    pthread_mutex_unlock(&control->lock);
    return mine;
}

static void plan(struct hand *hand, const struct call *call,
                 struct reply *reply)
{
    struct control *control = hand->grayd->control;
    struct rehearsal rehearsal = { .grayd = hand->grayd, .call = call };
    struct gray_problem problem = { 0 };
    struct world world;

    if (hand->grayd->marks == NULL) {
        reply_problem(reply, PROBLEM_STORE,
                      "grayd keeps no marks now: its log says why.");
        return;
    }
    if (!take_turn(control, &rehearsal)) {
        reply_problem(reply, PROBLEM_BUSY,
                      "Another release is being rehearsed.");
        reply->retry_after = 5;
        return;
    }
    if (world_load(&world, hand->reader, &problem) != 0) {
        reply_problem(reply, PROBLEM_STORE, "The store cannot be read: %s",
                      problem.sentence);
    } else {
        rehearse(&rehearsal, &world, reply);
        world_free(&world);
    }
    pthread_mutex_lock(&control->lock);
    control->rehearsal = NULL;
    pthread_mutex_unlock(&control->lock);
}

void route_handle_REHEARSE(struct hand *hand, const struct call *call,
                           struct reply *reply)
{
    if (hand == &hand->grayd->control->hand) {
        on_control(hand->grayd->control, call, reply);
    } else {
        plan(hand, call, reply);
    }
}
