/* SPDX-License-Identifier: Apache-2.0
 * apply.c - `apply`: documents as somebody wrote them.
 *
 * Why: all or none. What somebody may not touch is refused before it is
 * looked at; what would let units drop out needs the right to override, and
 * says whose.
 * Read next: build.c, plan.c (the same without the commit), commit.c.
 */
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

#include "control/change/apply.h"
#include "control/change/counting.h"
#include "control/change/expect.h"
#include "control/dump.h"
#include "control/hex.h"
#include "policy/parse.h"

void application_clear(struct application *application)
{
    gray_documents_free(application->texts);
    json_decref(application->changes);
    json_decref(application->impact);
    *application = (struct application) { 0 };
}

/* ---- scope ------------------------------------------------------------------- */

static bool services_covered(const struct call *call, const json_t *targets,
                             struct reply *reply)
{
    const json_t *target;
    size_t i;

    json_array_foreach(targets, i, target) {
        const char *service =
            json_is_string(target)
                ? json_string_value(target)
                : json_string_value(json_object_get(target, "service"));

        if (service != NULL && !call_covers(call, service, reply)) {
            return false;
        }
    }
    return true;
}

bool document_covered(const struct call *call, const json_t *document,
                      struct reply *reply)
{
    const char *name = json_string_value(json_object_get(document, "name"));
    const char *release =
        json_string_value(json_object_get(document, "release"));
    const char *kind = json_string_value(json_object_get(document, "kind"));
    const json_t *variant;
    size_t i;

    if (name == NULL) {
        return true; /* refused by the check */
    }
    /* It makes grayd read files and databases of its host. */
    if (kind != NULL && strcmp(kind, "Check") == 0 &&
        !identity_has(&call->identity, RIGHT_ADMINISTER)) {
        reply_problem(reply, PROBLEM_FORBIDDEN,
                      "A Check makes grayd read files and databases: only the "
                      "role %s puts, changes or takes out one.",
                      role_word(ROLE_ADMIN));
        return false;
    }
    if (!call_covers(call, name, reply) ||
        (release != NULL && !call_covers(call, release, reply)) ||
        !services_covered(call, json_object_get(document, "services"),
                          reply)) {
        return false;
    }
    json_array_foreach(json_object_get(document, "variants"), i, variant) {
        if (!services_covered(call, json_object_get(variant, "services"),
                              reply)) {
            return false;
        }
    }
    return true;
}

/* What is changed or taken out lies in scope, as it was and as it will be. */
static bool changes_covered(const struct call *call, const json_t *changes,
                            const struct world *before,
                            const struct world *after, struct reply *reply)
{
    const json_t *item;
    size_t i;

    json_array_foreach(changes, i, item) {
        const char *kind = json_string_value(json_object_get(item, "kind"));
        const char *name = json_string_value(json_object_get(item, "name"));
        const json_t *old = world_document(before, kind, name);
        const json_t *now = world_document(after, kind, name);

        if ((old != NULL && !document_covered(call, old, reply)) ||
            (now != NULL && !document_covered(call, now, reply))) {
            return false;
        }
    }
    return true;
}

bool may_override(const struct call *call, const char *what,
                         struct reply *reply)
{
    if (identity_has(&call->identity, RIGHT_OVERRIDE)) {
        return true;
    }
    reply_problem(reply, PROBLEM_FORBIDDEN,
                  "%s needs the right to override; ask somebody with the role "
                  "%s.",
                  what, role_word(ROLE_APPROVER));
    return false;
}

/* ---- names that are gone for ever ---------------------------------------------- */

struct found {
    bool yes;
};

static int see_item(void *context, const struct store_item *item)
{
    (void)item;
    ((struct found *)context)->yes = true;
    return 1;
}

static bool names_are_new(struct store_reader *reader, const json_t *changes,
                          struct reply *reply)
{
    const json_t *item;
    size_t i;

    json_array_foreach(changes, i, item) {
        const char *name = json_string_value(json_object_get(item, "name"));
        char key[STORE_NAME_MAX + 1];
        struct found found = { false };
        struct gray_problem problem = { 0 };

        if (strcmp(json_string_value(json_object_get(item, "change")),
                   "added") != 0 ||
            strcmp(json_string_value(json_object_get(item, "kind")),
                   "Release") != 0) {
            continue;
        }
        snprintf(key, sizeof(key), "tombstone/%s", name);
        if (store_read_item(reader, STORE_SETTING, key, 0, see_item, &found,
                            &problem) < 0) {
            reply_problem(reply, PROBLEM_STORE, "%s", problem.sentence);
            return false;
        }
        if (found.yes) {
            reply_problem(reply, PROBLEM_CONFLICT,
                          "A release %s was there before, and cookies, marks "
                          "and records of it still are; take another name.",
                          name);
            reply_add(reply, "code", json_string("name-used"));
            reply_add(reply, "advice",
                      json_sprintf("take Release/%s out of the files, or "
                                   "give it another name; nothing of them was "
                                   "applied", name));
            return false;
        }
    }
    return true;
}

/* A share that a document makes larger is a set-weight. */
static bool shares_allowed(struct change *change, const json_t *changes,
                           struct reply *reply)
{
    const json_t *item;
    size_t i;

    json_array_foreach(changes, i, item) {
        const char *name = json_string_value(json_object_get(item, "name"));
        struct release_status before, after;
        struct release_facts facts;

        if (strcmp(json_string_value(json_object_get(item, "kind")),
                   "Release") == 0 &&
            world_release(&change->control->world, name, &before, &facts) &&
            world_release(&change->world, name, &after, &facts) &&
            after.share > before.share &&
            !checking_allows(change, name, reply)) {
            return false;
        }
    }
    return true;
}

/* ---- read and check -------------------------------------------------------------- */

static bool read_options(struct application *application,
                         const struct call *call, struct reply *reply)
{
    bool drops = json_object_get(call->body, "allowDrop") != NULL;

    application->prune = json_is_true(json_object_get(call->body, "prune"));
    if (drops && json_object_get(call->body, "effectiveAt") != NULL) {
        reply_problem(reply, PROBLEM_BAD_BODY,
                      "allowDrop is the number of units that drop now; how "
                      "many it will be at effectiveAt nobody knows.");
        reply_add(reply, "pointer", json_string("/allowDrop"));
        return false;
    }
    application->over_capacity =
        json_is_true(json_object_get(call->body, "overCapacity"));
    return (!application->prune ||
            may_override(call, "Taking out what no file has", reply)) &&
           (!application->over_capacity ||
            may_override(call, "Leading more requests to a version than it "
                               "bears", reply)) &&
           (!drops || may_override(call, "Letting units drop out", reply));
}

int application_read(struct application *application, struct change *change,
                     const struct call *call, struct reply *reply)
{
    struct control *control = change->control;
    struct release_refusal refusal = { 0 };
    struct gray_gate_options gates;
    struct expect expect;

    if (!read_options(application, call, reply)) {
        return -1;
    }
    application->texts = build_read_files(
        json_object_get(call->body, "files"), &change->build.findings);
    if (application->texts == NULL) {
        change_refuse_findings(change, reply);
        return -1;
    }
    if (build_apply(&change->world, application->texts, application->prune,
                    call->now, call->identity.name, &refusal) != 0) {
        change_refuse_move(&refusal, reply);
        return -1;
    }
    if (application->plans &&
        plan_weights(change, json_object_get(call->body, "weights"),
                     reply) != 0) {
        return -1;
    }
    application->changes = world_changes(&control->world, &change->world);
    if (!changes_covered(call, application->changes, &control->world,
                         &change->world, reply) ||
        !names_are_new(control->reader, application->changes, reply)) {
        return -1;
    }
    gates = (struct gray_gate_options) { .prune = application->prune };
    counting_options(call, &gates);
    expect = (struct expect) {
        .allowed = application->over_capacity,
        .always = application->plans,
        .replay = json_object_get(call->body, "replay"),
    };
    failpoint("apply-read");
    if (change_build(change, application->texts, &gates, reply) != 0) {
        if (application->plans) {
            application->impact = change_expect_refused(change, &expect);
        }
        return -1;
    }
    if (change_expect(change, &expect, &application->impact, reply) != 0) {
        return -1;
    }
    failpoint("apply-checked");
    return json_array_size(application->changes) == 0 ? 1 : 0;
}

/* ---- what is said ------------------------------------------------------------------ */

json_t *releases_concerned(const json_t *changes, const struct world *world)
{
    json_t *views = json_array();
    const json_t *item;
    size_t i;

    json_array_foreach(changes, i, item) {
        const char *kind = json_string_value(json_object_get(item, "kind"));
        const char *name = json_string_value(json_object_get(item, "name"));
        json_t *view = strcmp(kind, "Release") == 0
                           ? world_release_view(world, name)
                           : NULL;

        if (view != NULL) {
            json_array_append_new(views, view);
        }
    }
    return views;
}

json_t *digest_changes(const json_t *changes, const struct world *world)
{
    json_t *digests = json_array();
    const json_t *item;
    size_t i;

    json_array_foreach(changes, i, item) {
        const char *kind = json_string_value(json_object_get(item, "kind"));
        const char *name = json_string_value(json_object_get(item, "name"));
        const json_t *tree = world_document(world, kind, name);
        char *text = tree != NULL
                         ? json_text(tree, JSON_COMPACT | JSON_SORT_KEYS, NULL)
                         : NULL;
        uint8_t hash[SHA256_DIGEST_LENGTH];
        char digits[2 * SHA256_DIGEST_LENGTH + 1];

        if (text == NULL) {
            continue;
        }
        SHA256((const uint8_t *)text, strlen(text), hash);
        hex_write(hash, sizeof(hash), digits);
        json_array_append_new(digests,
                              json_pack("{s:o,s:s}", "document",
                                        json_sprintf("%s/%s", kind, name),
                                        "sha256", digits));
        free(text);
    }
    return digests;
}

/* ---- apply ----------------------------------------------------------------------------- */

static void fill_changed(struct reply *reply, const struct application *a,
                         const struct change *change)
{
    reply_json(reply, 200,
               json_pack("{s:I,s:O,s:o,s:o}", "revision",
                         (json_int_t)change->control->world.revision,
                         "changes", a->changes, "findings",
                         change_findings(change), "releases",
                         releases_concerned(a->changes, &change->world)));
}

static void apply_now(struct application *a, struct change *change,
                      struct reply *reply)
{
    change->action = "apply";
    change->reason = json_string_value(
        json_object_get(change->call->body, "reason"));
    if (json_array_size(a->changes) == 1) {
        const json_t *only = json_array_get(a->changes, 0);

        world_key(json_string_value(json_object_get(only, "kind")),
                  json_string_value(json_object_get(only, "name")),
                  change->resource);
    }
    change->before = digest_changes(a->changes, &change->control->world);
    change->after = digest_changes(a->changes, &change->world);
    change_note(change);
    fill_changed(reply, a, change);
    change_commit(change, reply);
}

void apply_run(const struct call *call, struct change *change,
               struct reply *reply)
{
    struct application a = { 0 };
    int status;

    if (!change_base_is_current(change, reply)) {
        return;
    }
    status = application_read(&a, change, call, reply);
    if (status == 0 && !shares_allowed(change, a.changes, reply)) {
        status = -1;
    }
    if (status == 1) {
        fill_changed(reply, &a, change);
        if (call->dry_run) {
            json_object_set_new(reply->body, "dryRun", json_true());
        }
    } else if (status == 0 &&
               json_object_get(call->body, "effectiveAt") != NULL &&
               !schedule_is_due(call)) {
        schedule_put(change, a.changes, reply);
    } else if (status == 0) {
        apply_now(&a, change, reply);
    }
    application_clear(&a);
}

void route_handle_APPLY(struct hand *hand, const struct call *call,
                        struct reply *reply)
{
    struct control *control = hand->grayd->control;
    struct change change;

    if (change_begin(&change, control, call, reply) != 0) {
        return;
    }
    apply_run(call, &change, reply);
    if (reply_is_problem(reply)) {
        change_refused(&change, "apply", "", reply);
    }
    change_end(&change);
}
