/* SPDX-License-Identifier: Apache-2.0
 * checking.c - Checks, as the control thread sees them: what they are, what
 * they hold back, what they cry about.
 *
 * Why: a release that goes on over differences that nobody understands makes
 * more of them.  So whatever widens one asks its Checks first; a person may
 * say that he knows, with the exact number.  Explaining is a change like any
 * other: somebody's name and reason, in the store and the audit.
 * Read next: ../checks/checks.h, verbs.c, ../../docs/recon.md.
 */
#include <stdio.h>
#include <string.h>

#include "control/change/apply.h"
#include "control/checks/checks.h"

#define KIND "Check/"

/* ---- which Checks there are ------------------------------------------------------ */

static int keep_value(void *context, const struct store_item *item)
{
    *(json_t **)context = json_loadb(item->text, item->length, 0, NULL);
    return 1;
}

static json_t *explained_of(struct control *control, const char *name)
{
    struct gray_problem problem = { 0 };
    char key[STORE_NAME_MAX + 1];
    json_t *value = NULL;

    snprintf(key, sizeof(key), "explained/%.100s", name);
    store_read_item(control->reader, STORE_SETTING, key, 0, keep_value, &value,
                    &problem);
    return value;
}

void checking_follow(struct control *control)
{
    json_t *documents, *explained, *tree;
    const char *key;

    if (control->grayd->checks == NULL ||
        control->checks_revision == control->world.revision) {
        return;
    }
    documents = json_object();
    explained = json_object();
    json_object_foreach(control->world.documents, key, tree) {
        if (strncmp(key, KIND, strlen(KIND)) == 0) {
            const char *name = key + strlen(KIND);
            json_t *how = explained_of(control, name);

            json_object_set(documents, name, tree);
            if (how != NULL) {
                json_object_set_new(explained, name, how);
            }
        }
    }
    checks_set(control->grayd->checks, documents, explained);
    control->checks_revision = control->world.revision;
    json_decref(documents);
    json_decref(explained);
}

/* ---- alarms ----------------------------------------------------------------------------- */

void checking_tick(struct control *control)
{
    char resource[STORE_NAME_MAX + 1];
    json_t *alarms;

    checking_follow(control);
    if (control->grayd->checks == NULL ||
        (alarms = checks_alarms(control->grayd->checks)) == NULL) {
        return;
    }
    snprintf(resource, sizeof(resource), KIND "%s",
             json_string_value(json_object_get(alarms, "check")));
    json_t *after = json_pack("{s:O,s:O,s:O}", "release",
                              json_object_get(alarms, "release"), "count",
                              json_object_get(alarms, "count"), "differences",
                              json_object_get(alarms, "differences"));
    if (commit_records(control,
                       &(struct audit_entry) {
                           .at = grayd_now(),
                           .actor = "grayd",
                           .via = "grayd",
                           .action = "recon-alarm",
                           .resource = resource,
                           .outcome = "done",
                           .triggered_by = "ANALYSIS",
                           .after = after,
                       },
                       1) == 0) {
        checks_said(control->grayd->checks, alarms);
        grayd_log(LOG_LEVEL_WARN, "recon-alarm",
                  "%s: %lld differences are there after the last look",
                  resource,
                  (long long)json_integer_value(
                      json_object_get(alarms, "count")));
    }
    json_decref(after);
    json_decref(alarms);
}

/* ---- the gate ----------------------------------------------------------------------------- */

static bool has_check(const struct world *world, const char *release)
{
    const char *key;
    json_t *tree;

    json_object_foreach(world->documents, key, tree) {
        const char *of = json_string_value(json_object_get(tree, "release"));

        if (strncmp(key, KIND, strlen(KIND)) == 0 && of != NULL &&
            strcmp(of, release) == 0) {
            return true;
        }
    }
    return false;
}

/* Somebody may override, says why, and knows how many there are. */
static bool is_overridden(const struct call *call, uint64_t unexplained,
                          struct reply *reply)
{
    const json_t *said = json_object_get(call->body, "unexplained");
    const char *reason =
        json_string_value(json_object_get(call->body, "reason"));

    if (!json_is_integer(said)) {
        return false;
    }
    if (!may_override(call, "Going on over unexplained differences", reply)) {
        return false;
    }
    return reason != NULL && reason[0] != '\0' &&
           (uint64_t)json_integer_value(said) == unexplained;
}

static void refuse(struct reply *reply, const char *release,
                   const struct checks_gate *gate)
{
    if (gate->unexplained == 0) {
        reply_problem(reply, PROBLEM_REFUSED,
                      "The last run of Check %s failed, so nobody knows "
                      "whether %s does what it says: %s",
                      gate->name, release, gate->why);
        reply_add(reply, "code", json_string("check-failed"));
    } else {
        reply_problem(reply, PROBLEM_REFUSED,
                      "%s has %llu differences between what was decided and "
                      "what the data says that nobody explained (Check %s).",
                      release, (unsigned long long)gate->unexplained,
                      gate->name);
        reply_add(reply, "code", json_string("unexplained"));
    }
    reply_add(reply, "unexplained",
              json_integer((json_int_t)gate->unexplained));
    reply_add(reply, "advice",
              json_sprintf("gray recon report %s shows them, gray recon "
                           "explain %s says that one is known; --unexplained "
                           "%llu --reason TEXT goes on all the same",
                           gate->name, gate->name,
                           (unsigned long long)gate->unexplained));
}

bool checking_allows(struct change *change, const char *release,
                     struct reply *reply)
{
    struct checks *checks = change->control->grayd->checks;
    struct checks_gate gate = { 0 };

    if (checks == NULL && has_check(&change->control->world, release)) {
        gate.failed = true;
        snprintf(gate.name, sizeof(gate.name), "of this release");
        snprintf(gate.why, sizeof(gate.why),
                 "grayd runs no Checks now; its log says why.");
    } else if (checks == NULL ||
               !checks_in_the_way(checks, release, &gate)) {
        return true;
    }
    if (is_overridden(change->call, gate.unexplained, reply)) {
        return true;
    }
    if (!reply_is_problem(reply)) {
        refuse(reply, release, &gate);
    }
    return false;
}

/* A step that waits for a good run, between the weight that is in force and
 * the next one. */
bool checking_passes(struct change *change, const char *release,
                     const struct release_status *before,
                     const struct release_status *after, struct reply *reply)
{
    struct checks *checks = change->control->grayd->checks;
    const json_t *steps = json_object_get(
        json_object_get(
            json_object_get(world_document(&change->world, "Release", release),
                            "strategy"),
            "canary"),
        "steps");
    size_t from = before->share == 0 ? 0 : before->step + 1u;
    size_t until = after->state == RELEASE_PROMOTED ? json_array_size(steps)
                                                    : after->step;

    for (size_t i = from; i < until; i++) {
        const char *name = json_string_value(json_object_get(
            json_object_get(json_array_get(steps, i), "check"), "name"));

        if (name == NULL ||
            (checks != NULL && checks_ran_since(checks, name, before->since))) {
            continue;
        }
        reply_problem(reply, PROBLEM_REFUSED,
                      "Step %zu of %s waits for Check %s: no run that began "
                      "since the release stands here ended well.",
                      i + 1, release, name);
        reply_add(reply, "code", json_string("check-wanted"));
        reply_add(reply, "advice",
                  json_sprintf("gray recon run %s --wait 300", name));
        return false;
    }
    return true;
}

/* ---- explain ---------------------------------------------------------------------------------- */

static bool read_explain(const struct call *call, struct checks *checks,
                         json_t **ret_found, struct reply *reply)
{
    const json_t *ids = json_object_get(call->body, "differences"), *id;
    bool all = json_is_true(json_object_get(call->body, "all"));
    size_t i;

    if ((ids != NULL) == all) {
        reply_problem(reply, PROBLEM_BAD_BODY,
                      "Say differences, or all: true.");
        return false;
    }
    *ret_found = checks_open_of(checks, call->name, ids);
    if (*ret_found == NULL) {
        reply_problem(reply, PROBLEM_NOT_FOUND, "There is no Check %s.",
                      call->name);
        return false;
    }
    json_array_foreach(ids, i, id) {
        if (json_object_get(*ret_found, json_string_value(id)) == NULL) {
            reply_problem(reply, PROBLEM_NOT_FOUND,
                          "%.200s is no open difference of Check %s.",
                          json_string_value(id), call->name);
            return false;
        }
    }
    return true;
}

/* What was explained before stays, as far as it still says anything. */
static json_t *explain_more(struct change *change, const json_t *found)
{
    const struct call *call = change->call;
    json_t *all = explained_of(change->control, call->name), *sentence;
    const char *reason =
        json_string_value(json_object_get(call->body, "reason"));
    const char *id;

    all = all != NULL ? all : json_object();
    json_object_foreach((json_t *)(uintptr_t)found, id, sentence) {
        (void)sentence;
        json_object_set_new(all, id,
                            json_pack("{s:s,s:s,s:I}", "by",
                                      call->identity.name, "reason", reason,
                                      "at", (json_int_t)call->now));
    }
    return all;
}

static void explain(struct change *change, const struct call *call,
                    struct reply *reply)
{
    struct checks *checks = change->control->grayd->checks;
    char key[STORE_NAME_MAX + 1];
    json_t *found = NULL;

    if (checks == NULL) {
        reply_problem(reply, PROBLEM_NOT_READY, "grayd runs no Checks now.");
        return;
    }
    if (read_explain(call, checks, &found, reply)) {
        snprintf(key, sizeof(key), "explained/%.100s", call->name);
        change->action = "recon-explain";
        change->reason =
            json_string_value(json_object_get(call->body, "reason"));
        change->after = json_pack("{s:O}", "differences", found);
        change_put(change, STORE_SETTING, key, explain_more(change, found));
        reply_json(reply, 200,
                   json_pack("{s:I,s:I}", "explained",
                             (json_int_t)json_object_size(found), "revision",
                             (json_int_t)change->control->world.revision));
        change_commit(change, reply);
        checking_follow(change->control);
    }
    json_decref(found);
}

void route_handle_CHECK_EXPLAIN(struct hand *hand, const struct call *call,
                                struct reply *reply)
{
    struct change change;

    if (change_begin(&change, hand->grayd->control, call, reply) == 0) {
        snprintf(change.resource, sizeof(change.resource), KIND "%.100s",
                 call->name);
        explain(&change, call, reply);
        if (reply_is_problem(reply)) {
            change_refused(&change, "recon-explain", change.resource, reply);
        }
        change_end(&change);
    }
}
