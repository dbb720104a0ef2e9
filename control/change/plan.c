/* SPDX-License-Identifier: Apache-2.0
 * plan.c - `plan`: what apply, or the next step of a ramp, would do.
 *
 * Why: plan is the line of apply without the commit, on another thread and a
 * world of its own, so that looking never waits for changing.  A weight that is
 * only thought of goes through the very machine that set-weight goes through,
 * so that what plan passes is not refused afterwards.
 * Read next: apply.c, expect.c.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "control/change/apply.h"
#include "control/change/counting.h"
#include "control/change/expect.h"
#include "impact/impact.h"

/* ---- weights -------------------------------------------------------------------- */

/* Where this item leads its release; RELEASE_NO_SHARE: nowhere. */
static uint32_t wanted_share(const json_t *item,
                             const struct release_status *status,
                             const struct release_facts *facts)
{
    const json_t *weight = json_object_get(item, "weight");

    return weight == NULL
               ? release_next_share(status, facts)
               : (uint32_t)llround(json_number_value(weight) * 10000);
}

static int move_one(struct change *change, const json_t *item, size_t number,
                    struct reply *reply)
{
    const char *name = json_string_value(json_object_get(item, "release"));
    const struct call *call = change->call;
    struct release_status status, next;
    struct release_facts facts;
    struct release_refusal refusal = { 0 };
    struct release_event event = {
        .verb = VERB_SET_WEIGHT,
        .by = call->identity.name,
        .now = call->now,
        .breaks = RELEASE_UNSAID,
    };
    int moved;

    if (!world_release(&change->world, name, &status, &facts)) {
        reply_problem(reply, PROBLEM_NOT_FOUND, "There is no release %s.",
                      name);
        reply_add(reply, "pointer", json_sprintf("/weights/%zu", number));
        return -1;
    }
    event.share = wanted_share(item, &status, &facts);
    if (status.state == RELEASE_INITIALIZED) {
        event.verb = VERB_START; /* without a weight at its first one */
    } else if (event.share == RELEASE_NO_SHARE) {
        reply_problem(reply, PROBLEM_REFUSED,
                      "%s has no further step; say which weight is meant.",
                      name);
        return -1;
    }
    moved = release_move(&status, &facts, &event, &next, &refusal);
    if (moved < 0) {
        change_refuse_move(&refusal, reply);
        return -1;
    }
    if (moved == 0 && world_put_release(&change->world, name, &next) != 0) {
        reply_problem(reply, PROBLEM_INTERNAL, "Memory is at its end.");
        return -1;
    }
    return 0;
}

int plan_weights(struct change *change, const json_t *weights,
                 struct reply *reply)
{
    const json_t *item;
    size_t i;

    json_array_foreach(weights, i, item) {
        if (!call_covers(change->call, json_string_value(json_object_get(
                                           item, "release")), reply)) {
            return -1;
        }
    }
    json_array_foreach(weights, i, item) {
        if (move_one(change, item, i, reply) != 0) {
            return -1;
        }
    }
    return 0;
}

/* ---- what the caller may see --------------------------------------------------------- */

/* Whether the name that a row has under `key`, up to a colon, is the caller's. */
static bool row_covered(const struct identity *identity, const json_t *row,
                        const char *key)
{
    const char *text = json_string_value(json_object_get(row, key));
    char name[STORE_NAME_MAX + 1];

    snprintf(name, sizeof(name), "%.*s",
             text != NULL ? (int)strcspn(text, ":") : 0,
             text != NULL ? text : "");
    return text == NULL || identity_covers(identity, name);
}

/* Traffic of one team is none of another's business, names included; but what
 * a change does to a service behind it must be seen by who plans it. */
static void leave_covered(const struct identity *identity, json_t *rows,
                          const char *key)
{
    for (size_t i = json_array_size(rows); i-- > 0;) {
        const json_t *row = json_array_get(rows, i);

        if (!row_covered(identity, row, key) &&
            !json_is_true(json_object_get(row, "touched"))) {
            json_array_remove(rows, i);
        }
    }
}

static void leave_covered_impact(const struct identity *identity,
                                 json_t *impact)
{
    leave_covered(identity, json_object_get(impact, "releases"), "release");
    leave_covered(identity, json_object_get(impact, "versions"), "service");
    leave_covered(identity, json_object_get(impact, "calls"), "arm");
    leave_covered(identity, json_object_get(json_object_get(impact, "replay"),
                                            "releases"), "release");
}

/* ---- what is said ------------------------------------------------------------------ */

/* Of releases in the caller's scope. */
static json_t *drops_json(const struct change *change)
{
    char *text = gray_drops_json(&change->drops);
    json_t *drops = text != NULL ? json_loads(text, 0, NULL) : NULL;

    free(text);
    leave_covered(&change->call->identity, drops, "release");
    return drops != NULL ? drops : json_array();
}

static void fill_plan(struct reply *reply, const struct application *a,
                      const struct change *change, bool accepted)
{
    char *diff = change->build.model != NULL
                     ? gray_model_diff(change->control->model,
                                       change->build.model, 0)
                     : NULL;

    reply_json(reply, 200,
               json_pack("{s:I,s:O,s:o,s:s,s:I,s:b}", "revision",
                         (json_int_t)change->control->world.revision,
                         "changes", a->changes, "findings",
                         change_findings(change), "diff",
                         diff != NULL ? diff : "", "costBoundNs",
                         (json_int_t)change->build.compiled.cost_bound_ns,
                         "accepted", accepted));
    if (change->build.model != NULL) {
        json_t *notes = impact_notes(change->build.model);

        leave_covered(&change->call->identity, notes, "release");
        json_object_set_new(reply->body, "notes", notes);
    }
    if (a->impact != NULL) {
        leave_covered_impact(&change->call->identity, a->impact);
        json_object_set(reply->body, "impact", a->impact);
    }
    json_object_set_new(reply->body, "drops", drops_json(change));
    free(diff);
}

int control_borrow(struct control *own, struct hand *hand,
                   struct reply *reply)
{
    struct gray_problem problem = { 0 };
    struct build build = { 0 };

    *own = (struct control) { .grayd = hand->grayd, .reader = hand->reader };
    if (world_load(&own->world, hand->reader, &problem) != 0) {
        reply_problem(reply, PROBLEM_STORE, "%s", problem.sentence);
        return -1;
    }
    if (json_object_size(own->world.documents) > 0 &&
        build_check(&build, &own->world, NULL) == 0) {
        own->model = build.model;
        build.model = NULL;
    }
    build_clear(&build);
    return 0;
}

void control_give_back(struct control *own)
{
    gray_model_free(own->model);
    world_free(&own->world);
}

void route_handle_PLAN(struct hand *hand, const struct call *call,
                       struct reply *reply)
{
    struct control *own = malloc(sizeof(*own));
    struct gray_counter counter = counting_now(hand->grayd);
    struct application a = { .plans = true };
    struct change change;

    if (own == NULL) {
        reply_problem(reply, PROBLEM_INTERNAL, "Memory is at its end.");
        return;
    }
    if (control_borrow(own, hand, reply) != 0) {
        free(own);
        return;
    }
    if (change_begin(&change, own, call, reply) == 0) {
        int status;

        change.counter = &counter;
        status = application_read(&a, &change, call, reply);
        if (status >= 0) {
            fill_plan(reply, &a, &change, true);
        } else if (reply->status == 422 && a.changes != NULL) {
            /* Looking never fails: what apply would refuse is said. */
            fill_plan(reply, &a, &change, false);
        } else if (reply->status == 422) {
            a.changes = json_array();
            fill_plan(reply, &a, &change, false);
        } else if (reply->status == 403) {
            control_record_denied(hand->grayd, call, PROBLEM_FORBIDDEN);
        }
        change_end(&change);
    }
    application_clear(&a);
    control_give_back(own);
    free(own);
}
