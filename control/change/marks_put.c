/* SPDX-License-Identifier: Apache-2.0
 * marks_put.c - marks by hand: those of before, and one unit's repair.
 *
 * Why: a release that takes over data must know who is in before it decides
 * about anybody: a unit that was written by the new logic elsewhere and is told
 * OUT here gets a second record.  So marks come in while nobody new is let in
 * (before the start, or frozen), never over another mark, in parts that each
 * are a change with who and why; the moment that the file was made for is kept
 * with them.  A repair goes over what stands there, one unit at a time.
 * Read next: control/marks/marks.h (marks_put), control/read/marks.c.
 */
#include <stdlib.h>
#include <string.h>

#include "control/call/marks.h"
#include "control/change/internal.h"
#include "control/marks/marks.h"
#include "policy/parse.h"

static uint64_t scope_of(const struct call *call)
{
    return gray_hash_scope(call->name, strlen(call->name));
}

/* Where it stands; false after having filled the reply. */
static bool begin(struct change *change, const struct call *call,
                  struct release_status *ret_status, struct reply *reply)
{
    struct release_facts facts;

    if (!world_release(&change->world, call->name, ret_status, &facts)) {
        reply_problem(reply, PROBLEM_NOT_FOUND, "There is no release %s.",
                      call->name);
    } else if (facts.stickiness == GRAY_STICKY_NONE) {
        reply_problem(reply, PROBLEM_REFUSED,
                      "%s keeps no marks (stickiness: none).", call->name);
        reply_add(reply, "code", json_string("no-marks"));
    } else if (change->control->grayd->marks == NULL) {
        reply_problem(reply, PROBLEM_STORE,
                      "grayd keeps no marks now: its log says why.");
    } else {
        return true;
    }
    return false;
}

static struct marks_put put_of(const json_t *wanted)
{
    struct marks_put put = {
        .unit = json_string_value(json_object_get(wanted, "unit")),
        .space = (uint8_t)json_integer_value(json_object_get(wanted, "space")),
        .variant = (uint8_t)json_integer_value(
            json_object_get(wanted, "variant")),
    };

    mark_state_parse(json_string_value(json_object_get(wanted, "state")),
                     &put.state);
    return put;
}

/* ---- import ------------------------------------------------------------------ */

static bool may_import(const struct call *call,
                       const struct release_status *status,
                       struct reply *reply)
{
    if (status->state == RELEASE_INITIALIZED ||
        status->state == RELEASE_FROZEN) {
        return true;
    }
    reply_problem(reply, PROBLEM_REFUSED,
                  "%s is %s and lets units in: marks of before are put in "
                  "while nobody new comes.",
                  call->name, release_state_word(status->state));
    reply_add(reply, "code", json_string("already-started"));
    reply_add(reply, "advice",
              json_sprintf("gray freeze %s first, or gray marks repair %s UNIT "
                           "for one of them",
                           call->name, call->name));
    return false;
}

static bool moment_is_good(const struct call *call, struct reply *reply)
{
    const char *text =
        json_string_value(json_object_get(call->body, "asOf"));
    int64_t at;

    if (text == NULL || gray_parse_moment(text, &at)) {
        return true;
    }
    reply_problem(reply, PROBLEM_BAD_BODY,
                  "asOf is a moment such as 2026-01-31T08:00:00Z.");
    reply_add(reply, "pointer", json_string("/asOf"));
    return false;
}

static json_t *put_all(struct control *control, const struct call *call,
                       struct reply *reply)
{
    const json_t *wanted = json_object_get(call->body, "marks"), *one;
    size_t count = json_array_size(wanted), i;
    struct marks_put *puts = calloc(count + 1, sizeof(*puts));
    const char *reason =
        json_string_value(json_object_get(call->body, "reason"));
    struct gray_problem problem = { 0 };
    json_t *answer = NULL;

    if (puts == NULL) {
        reply_problem(reply, PROBLEM_INTERNAL, "Memory is at its end.");
        return NULL;
    }
    json_array_foreach(wanted, i, one) {
        puts[i] = put_of(one);
    }
    if (marks_put(control->grayd->marks, scope_of(call), puts, count, false,
                  call->identity.name, reason != NULL ? reason : "import",
                  &answer, &problem) != 0) {
        reply_problem(reply, PROBLEM_STORE, "The marks were not taken: %s",
                      problem.sentence);
        answer = NULL;
    }
    free(puts);
    return answer;
}

static json_int_t conflict_count(const json_t *answer)
{
    const json_t *all = json_object_get(answer, "conflictCount");

    return all != NULL ? json_integer_value(all)
                       : (json_int_t)json_array_size(json_object_get(
                             answer, "conflicts"));
}

/* What the audit and the store keep of a part. */
static void note_import(struct change *change, const struct call *call,
                        const json_t *answer)
{
    const json_t *as_of = json_object_get(call->body, "asOf");
    char key[STORE_NAME_MAX + 1];

    change->action = "marks-import";
    change->reason = json_string_value(json_object_get(call->body, "reason"));
    change->after = json_pack("{s:O*,s:O*,s:O*,s:I}", "asOf", as_of, "put",
                              json_object_get(answer, "put"), "same",
                              json_object_get(answer, "same"), "conflicts",
                              conflict_count(answer));
    snprintf(key, sizeof(key), "import/%s", call->name);
    change_put(change, STORE_SETTING, key,
               json_pack("{s:O*,s:I,s:s,s:O}", "asOf", as_of, "at",
                         (json_int_t)call->now, "by", call->identity.name,
                         "part", change->after));
}

static void import(struct change *change, const struct call *call,
                   struct reply *reply)
{
    struct release_status status;
    json_t *answer;

    if (!begin(change, call, &status, reply) ||
        !may_import(call, &status, reply) || !moment_is_good(call, reply)) {
        return;
    }
    if (call->dry_run) {
        reply_json(reply, 200,
                   json_pack("{s:i,s:i,s:[]}", "put", 0, "same", 0,
                             "conflicts"));
        change->action = "marks-import";
        change_commit(change, reply);
        return;
    }
    /* The marks first: a part that is said to be in must be. Said again it
     * finds what it put. */
    failpoint("before-marks-put");
    answer = put_all(change->control, call, reply);
    failpoint("after-marks-put");
    if (answer == NULL) {
        return;
    }
    note_import(change, call, answer);
    json_object_set_new(answer, "conflictCount",
                        json_integer(conflict_count(answer)));
    if (json_object_get(call->body, "asOf") != NULL) {
        json_object_set(answer, "asOf", json_object_get(call->body, "asOf"));
    }
    reply_json(reply, 200, answer);
    change_commit(change, reply);
}

static void handle(struct hand *hand, const struct call *call,
                   const char *action, struct reply *reply,
                   void (*run)(struct change *change, const struct call *call,
                               struct reply *reply))
{
    struct change change;

    if (change_begin(&change, hand->grayd->control, call, reply) != 0) {
        return;
    }
    run(&change, call, reply);
    if (reply_is_problem(reply)) {
        change_refused(&change, action, change.resource, reply);
    }
    change_end(&change);
}

void route_handle_MARKS_IMPORT(struct hand *hand, const struct call *call,
                               struct reply *reply)
{
    handle(hand, call, "marks-import", reply, import);
}

/* ---- settled ----------------------------------------------------------------- */

static json_t *settle_all(struct control *control, const struct call *call,
                          struct reply *reply)
{
    const json_t *wanted = json_object_get(call->body, "units"), *unit;
    const json_t *space = json_object_get(call->body, "space");
    size_t count = json_array_size(wanted), i;
    struct marks_unit *units = calloc(count + 1, sizeof(*units));
    const char *reason =
        json_string_value(json_object_get(call->body, "reason"));
    struct gray_problem problem = { 0 };
    json_t *answer = NULL;

    if (units == NULL) {
        reply_problem(reply, PROBLEM_INTERNAL, "Memory is at its end.");
        return NULL;
    }
    json_array_foreach(wanted, i, unit) {
        units[i].unit = json_string_value(unit);
        units[i].space = space != NULL ? (uint8_t)json_integer_value(space)
                                       : MARKS_EVERY_SPACE;
    }
    if (marks_settle(control->grayd->marks, scope_of(call), units, count,
                     call->dry_run, call->identity.name,
                     reason != NULL ? reason : "settled", &answer,
                     &problem) != 0) {
        reply_problem(reply, PROBLEM_STORE, "Nothing was settled: %s",
                      problem.sentence);
        answer = NULL;
    }
    free(units);
    return answer;
}

static void settled(struct change *change, const struct call *call,
                    struct reply *reply)
{
    struct release_status status;
    char key[STORE_NAME_MAX + 1];
    json_t *answer;
    uint64_t out;

    if (!begin(change, call, &status, reply)) {
        return;
    }
    outside_before(change->control, call->name);
    /* The marks first, as for an import: said again it finds what it did. */
    failpoint("before-marks-settled");
    answer = settle_all(change->control, call, reply);
    failpoint("after-marks-settled");
    if (answer == NULL) {
        return;
    }
    out = (uint64_t)json_integer_value(json_object_get(answer, "out"));
    change->action = "marks-settle";
    change->reason = json_string_value(json_object_get(call->body, "reason"));
    change->after = json_pack("{s:O,s:O,s:O,s:O}", "settled",
                              json_object_get(answer, "settled"), "already",
                              json_object_get(answer, "already"), "unknown",
                              json_object_get(answer, "unknown"), "refused",
                              json_object_get(answer, "refused"));
    snprintf(key, sizeof(key), "settled/%s", call->name);
    change_put(change, STORE_SETTING, key,
               json_pack("{s:I,s:s,s:O}", "at", (json_int_t)call->now, "by",
                         call->identity.name, "part", change->after));
    reply_json(reply, 200, answer);
    change_commit(change, reply);
    if (!call->dry_run) {
        outside_settled(change->control, call->name, out);
    }
}

void route_handle_MARKS_SETTLED(struct hand *hand, const struct call *call,
                                struct reply *reply)
{
    handle(hand, call, "marks-settle", reply, settled);
}

/* ---- repair ------------------------------------------------------------------- */

static json_t *state_now(struct control *control, const struct call *call,
                         const struct marks_put *put,
                         struct gray_problem *ret_problem)
{
    json_t *mark = marks_get(control->grayd->marks, scope_of(call), put->space,
                             put->unit, ret_problem);
    json_t *state = json_incref(json_object_get(mark, "state"));

    json_decref(mark);
    return state;
}

static void repair(struct change *change, const struct call *call,
                   struct reply *reply)
{
    struct control *control = change->control;
    const char *reason =
        json_string_value(json_object_get(call->body, "reason"));
    struct marks_put put = put_of(call->body);
    struct gray_problem problem = { 0 };
    struct release_status status;
    char key[STORE_NAME_MAX + 1];
    json_t *before, *after, *answer = NULL;

    if (!begin(change, call, &status, reply)) {
        return;
    }
    before = state_now(control, call, &put, &problem);
    if (before == NULL ||
        (!call->dry_run &&
         marks_put(control->grayd->marks, scope_of(call), &put, 1, true,
                   call->identity.name, reason, &answer, &problem) != 0)) {
        reply_problem(reply, PROBLEM_REFUSED, "%s was not repaired: %s",
                      put.unit, problem.sentence);
        json_decref(before);
        return;
    }
    if (json_array_size(json_object_get(answer, "conflicts")) > 0) {
        reply_problem(reply, PROBLEM_REFUSED,
                      "%s stays %s: no repair leads from there to %s.",
                      put.unit, json_string_value(before),
                      json_string_value(json_object_get(call->body, "state")));
        json_decref(before);
        json_decref(answer);
        return;
    }
    json_decref(answer);
    after = call->dry_run
                ? json_incref(json_object_get(call->body, "state"))
                : state_now(control, call, &put, &problem);
    change->action = "marks-repair";
    change->reason = reason;
    change->before = json_pack("{s:s,s:O}", "unit", put.unit, "state", before);
    change->after = json_pack("{s:s,s:O*}", "unit", put.unit, "state", after);
    reply_json(reply, 200,
               json_pack("{s:s,s:o,s:o}", "unit", put.unit, "before", before,
                         "after", after != NULL ? after : json_string("?")));
    snprintf(key, sizeof(key), "repair/%s", call->name);
    change_put(change, STORE_SETTING, key,
               json_pack("{s:s,s:I}", "unit", put.unit, "at",
                         (json_int_t)call->now));
    change_commit(change, reply);
}

void route_handle_MARK_REPAIR(struct hand *hand, const struct call *call,
                              struct reply *reply)
{
    handle(hand, call, "marks-repair", reply, repair);
}
