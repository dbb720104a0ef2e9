/* SPDX-License-Identifier: Apache-2.0
 * schedule.c - changes that wait for their moment.
 *
 * Why: "at 03:00" should not need a person at 03:00. What is to be applied is
 * checked when it is asked for, kept with who asked, and checked again when
 * its moment comes, for the world may have moved: what no longer fits is
 * refused then, and the audit says so.  Some seconds before, its policy goes
 * into the folder for that instant, see ahead.c.
 * Read next: ahead.c, apply.c.
 */
#include <stdlib.h>
#include <string.h>

#include "control/change/apply.h"
#include "policy/parse.h"

#define SCHEDULE_RETRY_MS 1000

static bool ahead_is(const struct control *control, const char *id)
{
    return control->ahead.id[0] != '\0' && strcmp(control->ahead.id, id) == 0;
}

static bool moment_of(const struct call *call, int64_t *ret_at)
{
    const char *text =
        json_string_value(json_object_get(call->body, "effectiveAt"));

    return text != NULL && gray_parse_moment(text, ret_at);
}

bool schedule_is_due(const struct call *call)
{
    int64_t at;

    return moment_of(call, &at) && at <= grayd_now();
}

static json_t *identity_json(const struct identity *identity)
{
    json_t *scopes = json_array();

    for (size_t i = 0; i < identity->scope_count; i++) {
        json_array_append_new(scopes, json_string(identity->scopes[i]));
    }
    return json_pack("{s:s,s:s,s:s,s:o}", "name", identity->name, "role",
                     role_word(identity->role), "via", identity->via,
                     "scopes", scopes);
}

static void identity_read(const json_t *value, struct identity *ret_identity)
{
    const json_t *scope;
    size_t i;

    *ret_identity = (struct identity) { 0 };
    snprintf(ret_identity->name, sizeof(ret_identity->name), "%s",
             json_string_value(json_object_get(value, "name")));
    snprintf(ret_identity->via, sizeof(ret_identity->via), "%s",
             json_string_value(json_object_get(value, "via")));
    role_parse(json_string_value(json_object_get(value, "role")),
               &ret_identity->role);
    json_array_foreach(json_object_get(value, "scopes"), i, scope) {
        if (ret_identity->scope_count < IDENTITY_SCOPES_MAX) {
            snprintf(ret_identity->scopes[ret_identity->scope_count++],
                     sizeof(ret_identity->scopes[0]), "%s",
                     json_string_value(scope));
        }
    }
}

void schedule_put(struct change *change, const json_t *changes,
                  struct reply *reply)
{
    struct control *control = change->control;
    const struct call *call = change->call;
    char id[33], moment[CALL_MOMENT_SIZE];
    int64_t at;

    if (!moment_of(call, &at)) {
        reply_problem(reply, PROBLEM_BAD_BODY,
                      "effectiveAt is a moment such as "
                      "2026-01-31T08:00:00Z.");
        reply_add(reply, "pointer", json_string("/effectiveAt"));
        return;
    }
    grayd_random_hex(id);
    call_moment(at, moment);
    /* What was put into the world waits with the item. */
    world_free(&change->world);
    if (world_copy(&change->world, &control->world) != 0) {
        reply_problem(reply, PROBLEM_INTERNAL, "Memory is at its end.");
        return;
    }
    change->action = "schedule";
    change->reason = json_string_value(json_object_get(call->body, "reason"));
    snprintf(change->resource, sizeof(change->resource), "Scheduled/%s", id);
    change->after = json_pack("{s:s,s:O}", "at", moment, "changes", changes);
    change_put(change, STORE_SCHEDULED, id,
               json_pack("{s:I,s:o,s:O,s:O,s:I}", "at", (json_int_t)at, "by",
                         identity_json(&call->identity), "body", call->body,
                         "changes", changes, "revision",
                         (json_int_t)control->world.revision));
    reply_json(reply, 202,
               json_pack("{s:I,s:O,s:o,s:s}", "revision",
                         (json_int_t)control->world.revision, "changes",
                         changes, "findings", change_findings(change),
                         "scheduled", id));
    change_commit(change, reply);
    control->next_due = 0;
}

/* ---- when it is time --------------------------------------------------------- */

struct due {
    int64_t now;
    int64_t next; /* of those that are not due */
    char id[STORE_NAME_MAX + 1], next_id[STORE_NAME_MAX + 1];
    json_t *item, *next_item;
};

static int earliest(void *context, const struct store_item *item)
{
    struct due *due = context;
    json_t *value = json_loadb(item->text, item->length, 0, NULL);
    json_int_t at = json_integer_value(json_object_get(value, "at"));

    if (value != NULL && at > due->now && at < due->next) {
        due->next = at;
        json_decref(due->next_item);
        due->next_item = json_incref(value);
        snprintf(due->next_id, sizeof(due->next_id), "%s", item->name);
    }
    if (value != NULL && at <= due->now &&
        (due->item == NULL ||
         at < json_integer_value(json_object_get(due->item, "at")))) {
        json_decref(due->item);
        due->item = json_incref(value);
        snprintf(due->id, sizeof(due->id), "%s", item->name);
    }
    json_decref(value);
    return 0;
}

/* Neither the item nor the world is to blame: it is tried again. */
static bool could_not(const struct reply *reply)
{
    return reply->status >= 500 || reply->body == NULL;
}

void schedule_call(const json_t *item, const char *id, int64_t now,
                   struct call *ret_call)
{
    *ret_call = (struct call) {
        .route = &routes[ROUTE_APPLY],
        .now = now,
        .query = json_object(),
        .body = json_object_get(item, "body"),
    };
    identity_read(json_object_get(item, "by"), &ret_call->identity);
    snprintf(ret_call->id, sizeof(ret_call->id), "%.32s", id);
}

/* 0; -1: it waits on. */
static int run_due(struct control *control, const struct due *due)
{
    struct call call;
    struct reply reply = { 0 };
    struct change change;
    int status;

    failpoint("schedule-due");
    schedule_call(due->item, due->id, due->now, &call);
    control->ahead.due = ahead_holds(control, due->id);
    if (change_begin(&change, control, &call, &reply) == 0) {
        change.triggered_by = "SCHEDULE";
        change_put(&change, STORE_SCHEDULED, due->id, NULL);
        apply_run(&call, &change, &reply);
        if (reply_is_problem(&reply) && !could_not(&reply)) {
            change_refused(&change, "apply", "", &reply);
        }
        change_end(&change);
    }
    if (could_not(&reply)) {
        grayd_log(LOG_LEVEL_WARN, "schedule",
                  "%s was due and could not be committed; it waits on",
                  due->id);
        goto out;
    }
    /* Refused, or nothing to do: it waits no longer either way. */
    if ((reply_is_problem(&reply) ||
         json_array_size(json_object_get(reply.body, "changes")) == 0) &&
        change_begin(&change, control, &call, &reply) == 0) {
        reply_json(&reply, 200, json_object());
        change.action = "schedule-end";
        change.triggered_by = "SCHEDULE";
        change_put(&change, STORE_SCHEDULED, due->id, NULL);
        change_commit(&change, &reply);
        change_end(&change);
    }
    /* Readers may have turned to what the world has refused since. */
    if (ahead_is(control, due->id) && control->ahead.due) {
        ahead_drop(control);
    }
out:
    status = could_not(&reply) ? -1 : 0;
    control->ahead.due = false;
    reply_clear(&reply);
    json_decref(call.query);
    return status;
}

/* When the next item is to be looked at again. */
static int64_t look_ahead(struct control *control, const struct due *due)
{
    if (due->next - due->now > AHEAD_MS) {
        return due->next != INT64_MAX ? due->next - AHEAD_MS : INT64_MAX;
    }
    if (!ahead_holds(control, due->next_id)) {
        ahead_publish(control, due->next_id, due->next_item, due->next);
    }
    return ahead_holds(control, due->next_id) ||
                   due->next - due->now < SCHEDULE_RETRY_MS
               ? due->next
               : due->now + SCHEDULE_RETRY_MS;
}

void schedule_tick(struct control *control, int64_t now)
{
    struct due due = { .now = now, .next = INT64_MAX };
    struct gray_problem problem = { 0 };
    bool overtaken = control->ahead.id[0] != '\0' &&
                     !ahead_holds(control, control->ahead.id);

    if ((now < control->next_due && !overtaken) ||
        atomic_load(&control->grayd->store_failed)) {
        return;
    }
    if (store_read_items(control->reader, STORE_SCHEDULED, 0, NULL, SIZE_MAX,
                         earliest, &due, &problem) != 0 ||
        (due.item != NULL && run_due(control, &due) != 0)) {
        control->next_due = now + SCHEDULE_RETRY_MS;
    } else {
        /* Until then nothing is read: a body may be large. */
        control->next_due = due.item != NULL ? now : look_ahead(control, &due);
    }
    json_decref(due.item);
    json_decref(due.next_item);
}

void schedule_resume(struct control *control, int64_t now)
{
    struct due due = { .now = now, .next = INT64_MAX };
    struct gray_problem problem = { 0 };

    if (store_read_items(control->reader, STORE_SCHEDULED, 0, NULL, SIZE_MAX,
                         earliest, &due, &problem) == 0) {
        if (due.item != NULL) {
            ahead_resume(control, due.id,
                         json_integer_value(json_object_get(due.item, "at")));
        } else if (due.next_item != NULL) {
            ahead_resume(control, due.next_id, due.next);
        }
    }
    json_decref(due.item);
    json_decref(due.next_item);
}

/* ---- take it back -------------------------------------------------------------- */

static int keep_item(void *context, const struct store_item *item)
{
    *(json_t **)context = json_loadb(item->text, item->length, 0, NULL);
    return 1;
}

static bool changes_in_scope(const struct call *call, const json_t *changes,
                             struct reply *reply)
{
    const json_t *item;
    size_t i;

    json_array_foreach(changes, i, item) {
        if (!call_covers(call,
                         json_string_value(json_object_get(item, "name")),
                         reply)) {
            return false;
        }
    }
    return true;
}

static void take_back(struct change *change, const struct call *call,
                      struct reply *reply)
{
    struct control *control = change->control;
    struct gray_problem problem = { 0 };
    json_t *item = NULL;
    int found;

    snprintf(change->resource, sizeof(change->resource), "Scheduled/%.60s",
             call->item);
    if (!change_base_is_current(change, reply)) {
        return;
    }
    found = store_read_item(control->reader, STORE_SCHEDULED, call->item, 0,
                            keep_item, &item, &problem);
    if (found != 0 || item == NULL) {
        reply_problem(reply, found < 0 ? PROBLEM_STORE : PROBLEM_NOT_FOUND,
                      "Nothing with this id waits for its moment.");
    } else if (ahead_is(control, call->item) &&
               control->ahead.at - call->now < AHEAD_NO_RETURN_MS) {
        reply_problem(reply, PROBLEM_CONFLICT,
                      "Its instant is here: readers are turning to it. Apply "
                      "what should be in force instead.");
        reply_add(reply, "code", json_string("turning"));
    } else if (changes_in_scope(call, json_object_get(item, "changes"),
                                reply)) {
        change->action = "schedule-cancel";
        change->reason = call_query_text(call, "reason");
        change_put(change, STORE_SCHEDULED, call->item, NULL);
        reply_json(reply, 200,
                   json_pack("{s:I,s:[]}", "revision",
                             (json_int_t)control->world.revision, "changes"));
        change_commit(change, reply);
        if (!reply_is_problem(reply) && !call->dry_run &&
            ahead_is(control, call->item)) {
            ahead_drop(control);
        }
    }
    json_decref(item);
}

void route_handle_SCHEDULED_CANCEL(struct hand *hand, const struct call *call,
                                   struct reply *reply)
{
    struct change change;

    if (change_begin(&change, hand->grayd->control, call, reply) == 0) {
        take_back(&change, call, reply);
        if (reply_is_problem(reply)) {
            change_refused(&change, "schedule-cancel", change.resource, reply);
        }
        change_end(&change);
    }
}
