/* SPDX-License-Identifier: Apache-2.0
 * commit.c - the straight line of a change: commit, publish, answer.
 *
 * Why: what is in force, what is recorded and what was answered must never
 * say different things. Everything that can refuse comes before the commit;
 * the commit is one transaction; what comes after it can only be late, and is
 * tried again until it is done.
 * Read next: in_force.c, settle.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/change/internal.h"
#include "control/dump.h"
#include "control/hex.h"

#define HOUSEKEEPING_MS 5000

/* ---- what is committed ----------------------------------------------------- */

/* A release that goes. Once it let somebody in, its name stays taken: cookies
 * and marks of it are still about. */
static int put_end(struct change *change, const char *name)
{
    struct release_status status;
    struct release_facts facts;
    char key[STORE_NAME_MAX + 1];

    if (world_release(&change->control->world, name, &status, &facts) &&
        (status.started != 0 || status.share > 0 || status.attempt > 1)) {
        snprintf(key, sizeof(key), "tombstone/%s", name);
        if (change_put(change, STORE_SETTING, key,
                       json_pack("{s:I}", "at",
                                 (json_int_t)grayd_now())) != 0) {
            return -1;
        }
    }
    return change_put(change, STORE_RELEASE, name, NULL);
}

/* Puts for everything that differs between two worlds. */
static int put_differences(struct change *change)
{
    const struct world *before = &change->control->world;
    const struct world *after = &change->world;
    json_t *changes = world_changes(before, after), *item, *entry;
    const char *name;
    size_t i;
    int status = changes != NULL ? 0 : -1;

    json_array_foreach(changes, i, item) {
        char key[STORE_NAME_MAX + 1];

        world_key(json_string_value(json_object_get(item, "kind")),
                  json_string_value(json_object_get(item, "name")), key);
        status |= change_put(change, STORE_DOCUMENT, key,
                             json_incref(json_object_get(after->documents,
                                                         key)));
    }
    json_decref(changes);
    json_object_foreach(after->releases, name, entry) {
        if (json_object_get(before->releases, name) != entry) {
            status |= change_put(change, STORE_RELEASE, name,
                                 json_incref(json_object_get(entry,
                                                             "status")));
        }
    }
    json_object_foreach(before->releases, name, entry) {
        if (json_object_get(after->releases, name) == NULL) {
            status |= put_end(change, name);
        }
    }
    return status;
}

/* Whether what readers map must be made anew: documents, shares, attempts. */
static bool policy_differs(const struct world *before,
                           const struct world *after)
{
    json_t *changes = world_changes(before, after), *entry;
    bool differs = changes == NULL || json_array_size(changes) > 0;
    const char *name;

    json_decref(changes);
    json_object_foreach(after->releases, name, entry) {
        const json_t *now = json_object_get(entry, "status");
        const json_t *old = json_object_get(
            json_object_get(before->releases, name), "status");

        differs |= !json_equal(json_object_get(now, "share"),
                               json_object_get(old, "share")) ||
                   !json_equal(json_object_get(now, "attempt"),
                               json_object_get(old, "attempt")) ||
                   json_integer_value(json_object_get(now, "dimension")) !=
                       json_integer_value(json_object_get(old, "dimension"));
    }
    return differs;
}

static struct audit_entry entry_of(const struct change *change,
                                   const char *outcome, uint64_t revision)
{
    return (struct audit_entry) {
        .at = grayd_now(),
        .actor = change->actor,
        .role = change->role,
        .via = change->via,
        .action = change->action,
        .resource = change->resource,
        .outcome = outcome,
        .reason = change->reason,
        .triggered_by = change->triggered_by,
        .event_type = change->event_type,
        .request = change->call != NULL ? change->call->id : NULL,
        .revision = revision,
        .before = change->before,
        .after = change->after,
    };
}

static size_t effects_count(const struct store_effect *effects)
{
    size_t count = 0;

    while (effects != NULL && effects[count].kind != NULL) {
        count++;
    }
    return count;
}

static void effects_free(struct store_effect *effects)
{
    for (size_t i = 0; i < effects_count(effects); i++) {
        if (strcmp(effects[i].kind, EFFECT_REVOKE) == 0) {
            free((void *)(uintptr_t)effects[i].text);
        }
    }
    free(effects);
}

/* ---- commit ---------------------------------------------------------------- */

static void took_record(struct control *control,
                        const struct store_audit *audit)
{
    audit_tree_append(&control->tree, audit->text, audit->length);
    memcpy(control->chain, audit->hash, AUDIT_HASH);
    control->sequence = audit->sequence;
}

static int make_record(const uint8_t *chain, uint64_t sequence,
                       const struct audit_entry *entry,
                       struct store_audit *ret_audit)
{
    ret_audit->sequence = sequence;
    ret_audit->text = audit_record_text(sequence, entry, &ret_audit->length);
    if (ret_audit->text == NULL) {
        return -1;
    }
    audit_chain(chain, ret_audit->text, ret_audit->length, ret_audit->hash);
    return 0;
}

/* False: no memory, and it is said once more another time. */
static bool effect_done(struct control *control, uint64_t id)
{
    if (control->done_count == control->done_capacity) {
        size_t capacity = control->done_capacity * 2 + 64;
        uint64_t *more = realloc(control->done_effects,
                                 capacity * sizeof(*more));

        if (more == NULL) {
            return false;
        }
        control->done_effects = more;
        control->done_capacity = capacity;
    }
    control->done_effects[control->done_count++] = id;
    return true;
}

static int commit_batch(struct control *control, struct store_batch *batch,
                        struct gray_problem *ret_problem)
{
    uint64_t revision = control->world.revision;
    int error;

    batch->at = grayd_now();
    batch->expected_revision = revision;
    /* Marks that were taken back are not taken back again: a change that lets
     * units in commits that they were, too. */
    for (size_t i = 0; i < control->revoked_count; i++) {
        effect_done(control, control->revoked[i]);
    }
    batch->effects_done = control->done_effects;
    batch->effects_done_count = control->done_count;
    error = store_commit(control->store, batch, &revision, ret_problem);
    for (size_t i = 0; i < batch->put_count; i++) {
        if (batch->puts[i].space == STORE_TOKEN) { /* whatever came of it */
            atomic_fetch_add(&control->grayd->tokens_changed, 1);
        }
    }
    if (error != 0) {
        grayd_log(LOG_LEVEL_ERROR, ret_problem->code, "%s",
                  ret_problem->sentence);
        if (error == -EIO || error == -EILSEQ) {
            atomic_store(&control->grayd->store_failed, true);
        }
        atomic_store(&control->grayd->store_full,
                     error == -ENOSPC || error == -EROFS);
        return error;
    }
    atomic_store(&control->grayd->store_full, false);
    control->done_count = 0;
    control->revoked_count = 0;
    for (size_t i = 0; i < batch->audit_count; i++) {
        took_record(control, &batch->audits[i]);
    }
    if (batch->put_count > 0) {
        control->world.revision = revision;
    }
    return 0;
}

int commit_records(struct control *control, const struct audit_entry *entries,
                   size_t count)
{
    struct store_audit *audits = calloc(count, sizeof(*audits));
    struct store_batch batch = { .audits = audits };
    struct gray_problem problem = { 0 };
    int error = audits != NULL ? 0 : -ENOMEM;

    for (size_t i = 0; error == 0 && i < count; i++) {
        error = make_record(i == 0 ? control->chain : audits[i - 1].hash,
                            control->sequence + 1 + i, &entries[i],
                            &audits[i]);
        batch.audit_count += error == 0;
    }
    if (error == 0) {
        error = commit_batch(control, &batch, &problem);
    }
    for (size_t i = 0; i < batch.audit_count; i++) {
        free((void *)(uintptr_t)audits[i].text);
    }
    free(audits);
    if (error == 0) {
        control_tell(control);
    }
    return error;
}

/* Who may not is denied, here as at the door. */
static const char *outcome_of(const char *code)
{
    return code != NULL && strcmp(code, "forbidden") == 0 ? "denied"
                                                           : "refused";
}

void change_refused(const struct change *change, const char *action,
                    const char *resource, const struct reply *reply)
{
    const struct call *call = change->call;
    const char *code =
        json_string_value(json_object_get(reply->body, "code"));

    commit_records(
        change->control,
        &(struct audit_entry) {
            .at = grayd_now(),
            .actor = call->identity.name,
            .role = role_word(call->identity.role),
            .via = call->identity.via,
            .action = action,
            .resource = resource,
            .outcome = outcome_of(code),
            .code = code,
            .reason = json_string_value(json_object_get(call->body, "reason")),
            .triggered_by = change->triggered_by,
            .request = call->id,
        },
        1);
}

static void dry_run(struct change *change, struct reply *reply)
{
    struct audit_entry entry = entry_of(change, "dry-run", 0);

    commit_records(change->control, &entry, 1);
    json_object_set_new(reply->body, "dryRun", json_true());
    json_object_set_new(
        reply->body, "revision",
        json_integer((json_int_t)change->control->world.revision));
}

/* What is to be done after the commit; ended by a kind of NULL. The texts of
 * revokes are owned. NULL: no memory. */
static struct store_effect *effects_of(const struct change *change,
                                       bool publish)
{
    size_t count = json_array_size(change->revokes), i, used = 0;
    struct store_effect *effects = calloc(count + 3, sizeof(*effects));
    const json_t *what;

    if (effects == NULL) {
        return NULL;
    }
    if (publish) {
        effects[used++] =
            (struct store_effect) { .kind = "publish", .text = "{}" };
    }
    if (change->effect != NULL) {
        effects[used++] =
            (struct store_effect) { .kind = change->effect, .text = "{}" };
    }
    json_array_foreach(change->revokes, i, what) {
        char *text = json_text(what, JSON_COMPACT, NULL);

        if (text == NULL) {
            effects_free(effects);
            return NULL;
        }
        effects[used++] =
            (struct store_effect) { .kind = EFFECT_REVOKE, .text = text };
    }
    return effects;
}

/* The transaction. Its reply is the one that a repeated call gets. */
static int commit_change(struct change *change, const struct reply *reply,
                         bool publish)
{
    struct control *control = change->control;
    const struct call *call = change->call;
    struct audit_entry entry = entry_of(change, "done",
                                        control->world.revision + 1);
    struct store_effect *effects = effects_of(change, publish);
    struct store_audit audit = { 0 };
    struct store_batch batch = { .puts = change->puts,
                                 .put_count = change->put_count,
                                 .audits = &audit, .audit_count = 1,
                                 .effects = effects,
                                 .effect_count = effects_count(effects) };
    char key[STORE_KEY_MAX + 1];
    struct store_answer answer = { .key = key, .status = reply->status };
    struct gray_problem problem = { 0 };
    char *body = NULL;
    int error = effects != NULL
                    ? make_record(control->chain, control->sequence + 1,
                                  &entry, &audit)
                    : -ENOMEM;

    if (error == 0 && call != NULL && call->key[0] != '\0') {
        snprintf(key, sizeof(key), "%s %s", call->identity.name, call->key);
        body = json_text(reply->body, JSON_COMPACT, NULL);
        answer.body = body;
        memcpy(answer.request, call->request_hash, STORE_HASH);
        batch.answer = &answer;
        error = body != NULL ? 0 : -ENOMEM;
    }
    if (error == 0) {
        failpoint("before-commit");
        error = commit_batch(control, &batch, &problem);
        failpoint("after-commit");
    }
    free(body);
    free((void *)(uintptr_t)audit.text);
    effects_free(effects);
    return error;
}

void change_note(struct change *change)
{
    json_t *changes = world_changes(&change->control->world, &change->world);
    json_t *item;
    size_t i;

    json_array_foreach(changes, i, item) {
        char key[STORE_NAME_MAX + 1];

        world_key(json_string_value(json_object_get(item, "kind")),
                  json_string_value(json_object_get(item, "name")), key);
        if (json_object_get(change->world.documents, key) != NULL) {
            change->failed |= json_object_set_new(
                change->world.since, key,
                json_integer((json_int_t)change->control->world.revision +
                             1)) != 0;
        }
    }
    json_decref(changes);
}

static void not_published(struct reply *reply, const char *why)
{
    if (reply->body != NULL) {
        json_object_set_new(reply->body, "notPublished", json_string(why));
    }
}

/* After the commit: the new world is the world, and goes into the folder. */
static void bring_into_force(struct change *change, bool publish,
                             struct reply *reply)
{
    struct control *control = change->control;
    struct world before = control->world;
    char why[300];
    bool good;

    change->world.revision = control->world.revision;
    control->world = change->world;
    change->world = before;
    control->marks_behind = true;
    in_force_tighten(control, &before);
    bundling_committed(change, &before);
    failpoint("after-tighten");
    good = publish || control->folder_lost
               ? in_force_publish(control,
                                  change->built ? &change->build : NULL, why)
               : in_force_words(control, why);
    if (!good) {
        not_published(reply, why);
    }
    failpoint("after-publish");
}

void change_commit(struct change *change, struct reply *reply)
{
    struct control *control = change->control;
    bool publish = policy_differs(&control->world, &change->world);
    int error;

    if (change->call != NULL && change->call->dry_run) {
        dry_run(change, reply);
        return;
    }
    if (put_differences(change) != 0 || bundling_put(change, publish) != 0 ||
        change->failed || reply->body == NULL) {
        reply_problem(reply, PROBLEM_INTERNAL, "Memory is at its end.");
        return;
    }
    json_object_set_new(
        reply->body, "revision",
        json_integer((json_int_t)control->world.revision + 1));
    error = commit_change(change, reply, publish);
    if (error != 0) {
        reply_problem(reply, error == -EAGAIN ? PROBLEM_CONFLICT
                                              : PROBLEM_STORE,
                      "The store did not take the change (%s); nothing was "
                      "changed.",
                      strerror(-error));
        return;
    }
    reply->etag = control->world.revision;
    bring_into_force(change, publish, reply);
    control_tell(control);
    failpoint("before-answer");
}

/* ---- housekeeping ---------------------------------------------------------- */

static int forget_pending(void *context, const struct store_pending *effect)
{
    /* A revoke is done when its marks are: marking_collect(). */
    return strcmp(effect->kind, EFFECT_REVOKE) == 0 ||
                   effect_done(context, effect->id)
               ? 0
               : 1;
}

/* Into the log as well: a journal that leaves the host is the witness that
 * nobody on it can rewrite. */
static void say_checkpoint(const struct control *control)
{
    uint8_t root[AUDIT_HASH];
    char root_text[2 * AUDIT_HASH + 1], chain_text[2 * AUDIT_HASH + 1];

    audit_tree_root(&control->tree, root);
    hex_write(root, sizeof(root), root_text);
    hex_write(control->chain, sizeof(control->chain), chain_text);
    grayd_log(LOG_LEVEL_INFO, "checkpoint", "%llu records, root %s, chain %s",
              (unsigned long long)control->tree.size, root_text, chain_text);
}

static void sign_checkpoint(struct control *control, int64_t now)
{
    struct gray_problem problem = { 0 };

    if (control->tree.size == control->signed_size) {
        return;
    }
    failpoint("before-checkpoint");
    if (audit_checkpoint(control->signer, &control->tree, control->chain, now,
                         NULL, &problem) != 0) {
        grayd_log(LOG_LEVEL_ERROR, problem.code, "%s", problem.sentence);
        return;
    }
    control->signed_size = control->tree.size;
    say_checkpoint(control);
    failpoint("after-checkpoint");
}

void commit_housekeeping(struct control *control, int64_t now)
{
    struct gray_problem problem = { 0 };
    struct store_batch batch = { 0 };

    if (is_due(now, control->next_checkpoint, AUDIT_CHECKPOINT_S * 1000) ||
        control->stopping) {
        control->next_checkpoint = now + AUDIT_CHECKPOINT_S * 1000;
        sign_checkpoint(control, now);
    }
    if (!is_due(now, control->next_housekeeping, HOUSEKEEPING_MS) ||
        control->policy_behind ||
        atomic_load(&control->grayd->store_failed)) {
        return;
    }
    control->next_housekeeping = now + HOUSEKEEPING_MS;
    control->done_count = 0;
    if (store_read_pending(control->reader, forget_pending, control,
                           &problem) == 0 &&
        /* On a disk that was full an empty one, to see whether it still is. */
        (control->done_count > 0 || control->revoked_count > 0 ||
         atomic_load(&control->grayd->store_full))) {
        failpoint("before-effects-done");
        commit_batch(control, &batch, &problem);
    }
}
