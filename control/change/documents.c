/* SPDX-License-Identifier: Apache-2.0
 * documents.c - one document at a time: delete, ids of a list, a lane on or
 * off.
 *
 * Why: a tester's id or a lane's switch should not need the file it came
 * from. Each is an ordinary change of a document: checked, compared with what
 * is in force, kept in the history.
 * Read next: apply.c, commit.c.
 */
#include <string.h>

#include "control/change/apply.h"
#include "control/change/counting.h"

static bool version_is_current(const struct change *change,
                               const struct call *call, const char *kind,
                               struct reply *reply)
{
    char key[STORE_NAME_MAX + 1];
    uint64_t revision;

    if (!world_key(kind, call->name, key) ||
        json_object_get(change->world.documents, key) == NULL) {
        reply_problem(reply, PROBLEM_NOT_FOUND, "There is no %s %s.", kind,
                      call->name);
        return false;
    }
    revision = (uint64_t)json_integer_value(
        json_object_get(change->world.since, key));
    if (call->has_if_match && call->if_match != revision) {
        reply_problem(reply, PROBLEM_STALE,
                      "%s %s changed at revision %llu; you looked at %llu.",
                      kind, call->name, (unsigned long long)revision,
                      (unsigned long long)call->if_match);
        reply_add(reply, "revision", json_integer((json_int_t)revision));
        return false;
    }
    return true;
}

/* Checks, fills the reply and commits a change of documents. */
static void commit_documents(struct change *change, const char *action,
                             const struct gray_gate_options *gates,
                             struct reply *reply)
{
    struct control *control = change->control;
    json_t *changes = world_changes(&control->world, &change->world);

    change->action = action;
    if (change->reason == NULL) {
        change->reason = json_string_value(
            json_object_get(change->call->body, "reason"));
    }
    if (json_array_size(changes) > 0 &&
        change_build(change, NULL, gates, reply) != 0) {
        json_decref(changes);
        return;
    }
    change_note(change);
    change->before = digest_changes(changes, &control->world);
    change->after = digest_changes(changes, &change->world);
    reply_json(reply, 200,
               json_pack("{s:I,s:O,s:o,s:o}", "revision",
                         (json_int_t)control->world.revision, "changes",
                         changes, "findings", change_findings(change),
                         "releases",
                         releases_concerned(changes, &change->world)));
    if (json_array_size(changes) > 0 || change->call->dry_run) {
        change_commit(change, reply);
    }
    json_decref(changes);
}

typedef void edit(struct change *change, const struct call *call,
                  struct reply *reply);

static void run_edit(struct hand *hand, const struct call *call, edit *make,
                     struct reply *reply)
{
    struct control *control = hand->grayd->control;
    struct change change;
    char word[ACTION_WORD_SIZE];

    if (change_begin(&change, control, call, reply) != 0) {
        return;
    }
    make(&change, call, reply);
    if (reply_is_problem(reply)) {
        change_refused(&change, action_word(call->route, word),
                       change.resource, reply);
    }
    change_end(&change);
}

/* ---- delete -------------------------------------------------------------------- */

/* Whether every service of the release has its version as baseline now, so
 * that nobody notices when the release goes. */
static bool baseline_moved(const struct world *world, const json_t *document)
{
    const json_t *targets = json_object_get(document, "services"), *target;
    size_t i;

    json_array_foreach(targets, i, target) {
        const char *service =
            json_string_value(json_object_get(target, "service"));
        const json_t *baseline = json_object_get(
            world_document(world, "Service", service != NULL ? service : ""),
            "baseline");

        if (!json_equal(json_object_get(baseline, "version"),
                        json_object_get(target, "version"))) {
            return false;
        }
    }
    return json_array_size(targets) > 0;
}

/* Nobody is in, or everybody is where the baseline is: it may go. Before that
 * the gates say who would drop out. */
static bool release_is_over(const struct world *world, const char *name)
{
    struct release_status status;
    struct release_facts facts;

    return world_release(world, name, &status, &facts) &&
           (status.share == 0 ||
            (status.share == GRAY_SHARE_ALL &&
             baseline_moved(world, world_document(world, "Release", name))));
}

/* What helps before this document can go. */
static void advise_delete(const struct change *change, const struct call *call,
                          struct reply *reply)
{
    struct release_status status;
    struct release_facts facts;

    if (strcmp(call->kind, "Lane") == 0) {
        reply_add(reply, "advice",
                  json_sprintf("gray lane disable %s sends everyone in it to "
                               "the baseline; then it can be deleted",
                               call->name));
    } else if (world_release(&change->control->world, call->name, &status,
                             &facts) &&
               strcmp(call->kind, "Release") == 0) {
        reply_add(reply, "advice",
                  status.share == GRAY_SHARE_ALL
                      ? json_sprintf("make its version the baseline of its "
                                     "services first (gray apply -f); it can "
                                     "be deleted then")
                      : json_sprintf("gray abort %s --reason TEXT sends "
                                     "everyone back; then it can be deleted",
                                     call->name));
    }
}

static void delete_document(struct change *change, const struct call *call,
                            struct reply *reply)
{
    bool release = strcmp(call->kind, "Release") == 0;
    struct gray_gate_options gates = {
        .prune = release && release_is_over(&change->world, call->name),
    };

    if (!version_is_current(change, call, call->kind, reply) ||
        !document_covered(call, world_document(&change->world, call->kind,
                                               call->name), reply)) {
        return;
    }
    world_put(&change->world, call->kind, call->name, NULL);
    change->reason = call_query_text(call, "reason");
    commit_documents(change, "delete", &gates, reply);
    if (reply->status == 422) {
        advise_delete(change, call, reply);
    }
}

void route_handle_DOCUMENT_DELETE(struct hand *hand, const struct call *call,
                                  struct reply *reply)
{
    run_edit(hand, call, delete_document, reply);
}

/* ---- a list's ids ---------------------------------------------------------------- */

/* Takes an id in, once. */
static bool take_id(json_t *out, json_t *there, const json_t *id)
{
    const char *text = json_string_value(id);

    return json_object_get(there, text) != NULL ||
           (json_object_set_new(there, text, json_true()) == 0 &&
            json_array_append(out, (json_t *)(uintptr_t)id) == 0);
}

/* NULL: out of memory. */
static json_t *edited_ids(const json_t *ids, const json_t *add,
                          const json_t *remove)
{
    json_t *gone = json_object(), *there = json_object(), *out = json_array();
    const json_t *id;
    bool good = true;
    size_t i;

    json_array_foreach(remove, i, id) {
        good &= json_object_set_new(gone, json_string_value(id),
                                    json_true()) == 0;
    }
    json_array_foreach(ids, i, id) {
        if (json_is_string(id) &&
            json_object_get(gone, json_string_value(id)) == NULL) {
            good &= take_id(out, there, id);
        }
    }
    json_array_foreach(add, i, id) {
        good &= take_id(out, there, id);
    }
    json_decref(gone);
    json_decref(there);
    if (!good) {
        json_decref(out);
        out = NULL;
    }
    return out;
}

/* A document with one member changed, into the world; takes `value` over.
 * False after having filled the reply. */
static bool put_edited(struct change *change, const char *kind,
                       const json_t *old, const char *key, json_t *value,
                       struct reply *reply)
{
    json_t *copy = tree_copy(old);
    bool good = json_object_set_new(copy, key, value) == 0 &&
                (json_equal(copy, old) ||
                 world_put(&change->world, kind, change->call->name,
                           copy) == 0);

    json_decref(copy);
    if (!good) {
        reply_problem(reply, PROBLEM_INTERNAL, "Memory is at its end.");
    }
    return good;
}

/* The list as it should be, in the world; false after filling the reply. */
static bool put_ids(struct change *change, const struct call *call,
                    struct gray_gate_options *gates, struct reply *reply)
{
    const json_t *old = world_document(&change->world, "List", call->name);

    if (!version_is_current(change, call, "List", reply)) {
        return false;
    }
    counting_options(call, gates);
    if (gates->allow_drop &&
        !may_override(call, "Letting units drop out", reply)) {
        return false;
    }
    return put_edited(change, "List", old, "ids",
                      edited_ids(json_object_get(old, "ids"),
                                 json_object_get(call->body, "add"),
                                 json_object_get(call->body, "remove")),
                      reply);
}

int list_ids_check(struct change *change, const struct call *call,
                   struct reply *reply)
{
    struct gray_gate_options gates = { 0 };

    return put_ids(change, call, &gates, reply)
               ? change_build(change, NULL, &gates, reply)
               : -1;
}

static void edit_list(struct change *change, const struct call *call,
                      struct reply *reply)
{
    struct gray_gate_options gates = { 0 };

    if (put_ids(change, call, &gates, reply)) {
        commit_documents(change, "list-ids", &gates, reply);
    }
}

void route_handle_LIST_IDS(struct hand *hand, const struct call *call,
                           struct reply *reply)
{
    run_edit(hand, call, edit_list, reply);
}

/* ---- a lane on or off -------------------------------------------------------------- */

static void switch_lane(struct change *change, const struct call *call,
                        bool on, struct reply *reply)
{
    const json_t *old = world_document(&change->world, "Lane", call->name);
    const json_t *enabled = json_object_get(old, "enabled");
    bool was = enabled == NULL || json_is_true(enabled);

    if (!version_is_current(change, call, "Lane", reply) ||
        !document_covered(call, old, reply)) {
        return;
    }
    if (was != on && !put_edited(change, "Lane", old, "enabled",
                                 json_boolean(on), reply)) {
        return;
    }
    commit_documents(change, on ? "lane-enable" : "lane-disable",
                     &(struct gray_gate_options) { .prune = true }, reply);
}

static void enable_lane(struct change *change, const struct call *call,
                        struct reply *reply)
{
    switch_lane(change, call, true, reply);
}

static void disable_lane(struct change *change, const struct call *call,
                         struct reply *reply)
{
    switch_lane(change, call, false, reply);
}

void route_handle_LANE_ENABLE(struct hand *hand, const struct call *call,
                              struct reply *reply)
{
    run_edit(hand, call, enable_lane, reply);
}

void route_handle_LANE_DISABLE(struct hand *hand, const struct call *call,
                               struct reply *reply)
{
    run_edit(hand, call, disable_lane, reply);
}
