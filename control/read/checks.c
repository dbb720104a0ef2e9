/* SPDX-License-Identifier: Apache-2.0
 * checks.c - Checks over REST: run one, and what the last run found.
 *
 * Why: a run takes as long as somebody's database does, so it is asked for
 * here and looked at later; whoever waits, waits by asking for the report until
 * `done` is his number.
 * Read next: ../checks/checks.h, ../change/checking.c (explain).
 */
#include <string.h>

#include "control/checks/checks.h"
#include "control/read/internal.h"
#include "policy/parse.h"

static bool ready(struct hand *hand, struct reply *reply)
{
    if (hand->grayd->checks != NULL) {
        return true;
    }
    reply_problem(reply, PROBLEM_NOT_READY,
                  "grayd runs no Checks now: its log says why.");
    return false;
}

static void no_check(const struct call *call, struct reply *reply)
{
    reply_problem(reply, PROBLEM_NOT_FOUND, "There is no Check %s.",
                  call->name);
}

/* A moment of the body; "begin" is the beginning of everything. */
static bool moment(const struct call *call, const char *key,
                   int64_t *ret_ms, struct reply *reply)
{
    const char *text = json_string_value(json_object_get(call->body, key));

    if (text == NULL) {
        return true;
    }
    if (strcmp(key, "from") == 0 && strcmp(text, "begin") == 0) {
        *ret_ms = CHECK_NEVER;
        return true;
    }
    if (gray_parse_moment(text, ret_ms)) {
        return true;
    }
    reply_problem(reply, PROBLEM_BAD_BODY,
                  "/%s is no moment such as 2026-01-31T08:00:00Z%s.", key,
                  strcmp(key, "from") == 0 ? ", nor \"begin\"" : "");
    reply_add(reply, "pointer", json_sprintf("/%s", key));
    return false;
}

void route_handle_CHECK_RUN(struct hand *hand, const struct call *call,
                            struct reply *reply)
{
    bool own = json_object_get(call->body, "from") != NULL ||
               json_object_get(call->body, "until") != NULL;
    int64_t from = 0, until = 0;
    uint64_t number;

    if (!ready(hand, reply) || !moment(call, "from", &from, reply) ||
        !moment(call, "until", &until, reply)) {
        return;
    }
    if (until != 0 && from != CHECK_NEVER && from >= until) {
        reply_problem(reply, PROBLEM_BAD_BODY,
                      "/from is not before /until: nothing lies between.");
        return;
    }
    number = checks_run(hand->grayd->checks, call->name, own, from, until);
    if (number == 0) {
        no_check(call, reply);
        return;
    }
    reply_json(reply, 202, json_pack("{s:I}", "run", (json_int_t)number));
}

/* Moments as the API writes them. */
static void mend(json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    if (json_is_integer(value)) {
        json_object_set_new(object, key,
                            read_moment((int64_t)json_integer_value(value)));
    }
}

static void mend_brief(json_t *row)
{
    json_t *failed = json_object_get(row, "failed");

    mend(row, "swept");
    if (json_is_object(failed)) {
        failed = json_copy(failed); /* it is shared */
        mend(failed, "at");
        json_object_set_new(row, "failed", failed);
    }
}

void route_handle_CHECK_REPORT(struct hand *hand, const struct call *call,
                               struct reply *reply)
{
    json_t *report, *last, *row;
    size_t i;

    if (!ready(hand, reply)) {
        return;
    }
    report = checks_report(hand->grayd->checks, call->name);
    if (report == NULL) {
        no_check(call, reply);
        return;
    }
    mend_brief(report);
    last = json_object_get(report, "last");
    mend(last, "at");
    mend(last, "from");
    mend(last, "until");
    json_array_foreach(json_object_get(report, "differences"), i, row) {
        json_t *explained = json_object_get(row, "explained");

        mend(row, "at");
        mend(row, "first");
        mend(row, "seen");
        mend(row, "due");
        mend(row, "from");
        mend(row, "until");
        if (explained != NULL) {
            explained = json_copy(explained);
            mend(explained, "at");
            json_object_set_new(row, "explained", explained);
        }
    }
    reply_json(reply, 200, report);
}

void read_checks(struct hand *hand, const struct call *call, json_t *body)
{
    json_t *rows, *covered = json_array(), *row;
    size_t i;

    rows = hand->grayd->checks != NULL ? checks_status(hand->grayd->checks)
                                       : json_array();
    json_array_foreach(rows, i, row) {
        if (identity_covers(&call->identity,
                            json_string_value(json_object_get(row, "name")))) {
            mend_brief(row);
            json_array_append(covered, row);
        }
    }
    json_decref(rows);
    json_object_set_new(body, "checks", covered);
}
