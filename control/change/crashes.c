/* SPDX-License-Identifier: Apache-2.0
 * crashes.c - what grayd makes of a policy that crashes readers.
 *
 * Why: readers pass over such a policy by themselves; grayd says so to people
 * (log, audit) and lets no release advance, for a larger share of a policy that
 * kills its readers is a larger outage.  What narrows stays allowed, and new
 * documents are the cure: they make a new policy, which is taken by everyone.
 * Read next: runtime/witness.c (who counts), verbs.c (who asks).
 */
#include <string.h>

#include "control/change/internal.h"

#define CRASHES_LOOK_MS 1000

static void record(struct control *control, const char *action,
                   const json_t *who, const struct gray_crashes *crashes,
                   int64_t now)
{
    const char *actor = json_string_value(json_object_get(who, "actor"));
    const char *reason = json_string_value(json_object_get(who, "reason"));
    char name[64];
    json_t *facts = json_pack(
        "{s:I,s:I,s:I,s:I}", "generation", (json_int_t)crashes->generation,
        "readers", (json_int_t)crashes->count, "pid", (json_int_t)crashes->pid,
        "signal", (json_int_t)crashes->signal);

    snprintf(name, sizeof(name), "host: %.50s", actor != NULL ? actor : "");
    commit_records(control,
                   &(struct audit_entry) {
                       .at = now,
                       .actor = actor != NULL ? name : "host",
                       .via = "host",
                       .action = action,
                       .resource = "",
                       .outcome = "done",
                       .reason = reason,
                       .triggered_by = actor != NULL ? "USER"
                                                     : "INTERNAL_ERROR",
                       .after = facts,
                   },
                   1);
    json_decref(facts);
}

void crashes_tick(struct control *control, int64_t now)
{
    const struct gray_crashes before = control->crashes;
    struct gray_crashes *crashes = &control->crashes;
    bool same;

    if (!is_due(now, control->next_crashes, CRASHES_LOOK_MS) ||
        atomic_load(&control->grayd->store_failed) || control->folder_lost) {
        return;
    }
    control->next_crashes = now + CRASHES_LOOK_MS;
    publisher_crashes(control->publisher, crashes);
    same = before.generation == crashes->generation;
    if (crashes->blocked && !(same && before.blocked)) {
        grayd_log(LOG_LEVEL_ERROR, "crashes-readers",
                  "generation %llu crashed %u readers (the last one: pid %d, "
                  "signal %d): who starts takes the last good one, and no "
                  "release advances until something is applied",
                  (unsigned long long)crashes->generation, crashes->count,
                  (int)crashes->pid, (int)crashes->signal);
        record(control, "blocked", NULL, crashes, now);
    } else if (same && before.blocked && crashes->accepted) {
        json_t *who = publisher_folder_action(control->publisher, "unblock");

        grayd_log(LOG_LEVEL_WARN, "unblocked",
                  "generation %llu is taken again, as somebody on the host "
                  "said", (unsigned long long)crashes->generation);
        record(control, "unblock", who, crashes, now);
        json_decref(who);
    }
}

bool crashes_allow(struct control *control, struct reply *reply)
{
    struct gray_crashes crashes;

    publisher_crashes(control->publisher, &crashes);
    if (!crashes.blocked) {
        return true;
    }
    reply_problem(reply, PROBLEM_REFUSED,
                  "The policy in force (generation %llu) crashed %u readers of "
                  "this host, so nothing is widened on it.",
                  (unsigned long long)crashes.generation, crashes.count);
    reply_add(reply, "code", json_string("crashes-readers"));
    reply_add(reply, "advice",
              json_string("apply documents without what crashes them; or, where "
                          "the policy is not to blame, on the host: gray "
                          "unblock --reason TEXT"));
    return false;
}
