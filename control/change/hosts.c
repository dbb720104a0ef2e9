/* SPDX-License-Identifier: Apache-2.0
 * hosts.c - what of hosts has to be committed: who there is, and what people
 * said on them.
 *
 * Why: a host that may be granted a lease must be known after a kill, so it is
 * in the store before its first one.  A word that a person set on a host at
 * three in the morning becomes the release's state, for all hosts, as one that
 * was set on the server's own host does; it only ever tightens.
 * Read next: bundling.c, in_force.c (the server's own host).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/change/internal.h"

#define JOINS_MAX 256u /* in one transaction */

/* ---- new hosts ---------------------------------------------------------------- */

static void describe(struct change *change, const char *action, json_t *after)
{
    change->actor = change->via = "grayd";
    change->action = action;
    change->triggered_by = "POLICY";
    change->after = after;
}

static size_t put_new(struct change *change, json_t *names, int64_t now)
{
    struct hosts *hosts = change->control->grayd->hosts;
    char name[REPORT_NAME_MAX + 1];
    size_t at = 0, count = 0;

    while (count < JOINS_MAX && hosts_next_new(hosts, &at, name)) {
        change_put(change, STORE_HOST, name,
                   json_pack("{s:I}", "since", (json_int_t)now));
        json_array_append_new(names, json_string(name));
        count++;
    }
    return count;
}

static void keep_new(struct control *control, int64_t now)
{
    char name[REPORT_NAME_MAX + 1];
    struct change change;
    struct reply reply = { 0 };
    json_t *names, *item;
    size_t at = 0, i;

    if (!hosts_next_new(control->grayd->hosts, &at, name) ||
        change_begin(&change, control, NULL, &reply) != 0) {
        reply_clear(&reply);
        return;
    }
    names = json_array();
    put_new(&change, names, now);
    describe(&change, "host-new", json_pack("{s:O}", "hosts", names));
    reply_json(&reply, 200, json_object());
    failpoint("before-host-kept");
    change_commit(&change, &reply);
    if (!reply_is_problem(&reply)) {
        json_array_foreach(names, i, item) {
            hosts_keep(control->grayd->hosts, json_string_value(item), false);
        }
    }
    change_end(&change);
    reply_clear(&reply);
    json_decref(names);
}

/* ---- words ---------------------------------------------------------------------- */

static const char *name_of(const struct control *control, uint64_t scope)
{
    const char *name;
    json_t *entry;

    json_object_foreach(control->world.releases, name, entry) {
        (void)entry;
        if (gray_hash_scope(name, strlen(name)) == scope) {
            return name;
        }
    }
    return NULL;
}

static uint64_t epoch_of(void *context, uint64_t scope)
{
    const struct control *control = context;
    const char *name = name_of(control, scope);

    return name != NULL ? bundling_epoch(control, name) : 0;
}

static void adopt(struct control *control, const char *host,
                  const struct report_word *word, int64_t now)
{
    const char *release = name_of(control, word->scope);
    char name[GRAY_NAME_MAX + 1], actor[64];
    struct release_status status;
    struct release_facts facts;
    json_t *action;

    if (release == NULL) {
        return;
    }
    snprintf(name, sizeof(name), "%s", release);
    if (!world_release(&control->world, name, &status, &facts) ||
        word->word <= (release_word(&status) & GRAY_WORD_MASK)) {
        return;
    }
    snprintf(actor, sizeof(actor), "%.40s: %.20s", host,
             word->actor[0] != '\0' ? word->actor : "?");
    action = json_pack("{s:s,s:s}", "action",
                       bundle_word_text(word->word), "reason", word->reason);
    in_force_adopt_word(control, name, word->word, actor, action, now);
    json_decref(action);
}

void bundling_tick(struct control *control, int64_t now)
{
    struct hosts *hosts = control->grayd->hosts;
    char host[REPORT_NAME_MAX + 1];
    struct report_word word;
    size_t at = 0;

    if (hosts == NULL) {
        return;
    }
    if (publisher_keys(control->publisher) !=
        control->bundling.files.keys_generation) {
        control->bundling.behind = true;
    }
    if (!atomic_load(&control->grayd->store_failed)) {
        keep_new(control, now);
        while (hosts_next_word(hosts, &at, epoch_of, control, host, &word)) {
            adopt(control, host, &word, now);
        }
    }
    bundling_follow(control);
}

/* ---- marks of other hosts --------------------------------------------------------- */

/* An abort needs no mark: its word is in force on every host. What opens the
 * word again, or stands on marks being gone, does. */
static bool needs_them_gone(const struct release_status *before,
                            const struct release_facts *facts,
                            const struct release_event *event,
                            const struct release_status *after)
{
    if (event->verb == VERB_RETRY) {
        return !before->keep;
    }
    return event->verb != VERB_ABORT && event->verb != VERB_STOP &&
           event->verb != VERB_KILL &&
           release_revokes(before, facts, event, after) !=
               RELEASE_REVOKES_NONE;
}

bool bundling_allows(const struct change *change, const char *name,
                     const struct release_status *before,
                     const struct release_facts *facts,
                     const struct release_event *event,
                     const struct release_status *after, struct reply *reply)
{
    struct hosts *hosts = change->control->grayd->hosts;
    struct told *told = hosts != NULL ? hosts_told(hosts) : NULL;
    json_t *counts;
    json_int_t in;

    if (told == NULL || !needs_them_gone(before, facts, event, after)) {
        return true;
    }
    counts = told_counts(told, gray_hash_scope(name, strlen(name)));
    in = json_integer_value(json_object_get(counts, "in"));
    json_decref(counts);
    if (in == 0) {
        return true;
    }
    reply_problem(reply, PROBLEM_REFUSED,
                  "%lld units of %s are in on other hosts, where their marks "
                  "cannot be taken back from here: they would stay in.",
                  (long long)in, name);
    reply_add(reply, "code", json_string("hosts-keep-marks"));
    reply_add(reply, "advice",
              json_string("abort or freeze it, and go on with a release of a "
                          "new name"));
    return false;
}

/* ---- a host that is gone ----------------------------------------------------------- */

static void forget(struct change *change, const struct call *call,
                   struct reply *reply)
{
    struct control *control = change->control;
    struct hosts *hosts = control->grayd->hosts;
    int64_t until = 0;
    int error;

    if (!change_base_is_current(change, reply)) {
        return;
    }
    error = hosts_may_forget(hosts, call->name, &until);
    if (error == -ENOENT) {
        reply_problem(reply, PROBLEM_NOT_FOUND, "There is no host %s.",
                      call->name);
        return;
    }
    if (error != 0) {
        reply_problem(reply, PROBLEM_CONFLICT,
                      "%s may have an admission lease for another %.1f s: a "
                      "freeze still counts on it.",
                      call->name,
                      (double)(until - hosts_now(hosts)) / 1000.0);
        reply_add(reply, "code", json_string("lease-runs"));
        return;
    }
    change->action = "host-forget";
    change->reason = call_query_text(call, "reason");
    change_put(change, STORE_HOST, call->name, NULL);
    reply_json(reply, 200,
               json_pack("{s:I,s:[]}", "revision",
                         (json_int_t)control->world.revision, "changes"));
    change_commit(change, reply);
    if (!reply_is_problem(reply) && !call->dry_run) {
        hosts_forget(hosts, call->name);
    }
}

void route_handle_HOST_FORGET(struct hand *hand, const struct call *call,
                              struct reply *reply)
{
    struct change change;

    if (change_begin(&change, hand->grayd->control, call, reply) == 0) {
        snprintf(change.resource, sizeof(change.resource), "Host/%.100s",
                 call->name);
        forget(&change, call, reply);
        if (reply_is_problem(reply)) {
            change_refused(&change, "host-forget", change.resource, reply);
        }
        change_end(&change);
    }
}
