/* SPDX-License-Identifier: Apache-2.0
 * verbs.c - start, set-weight, pause, ... kill, stop, finish.
 *
 * Why: what a verb does is the machine's to say (release/); here it meets the
 * world. What lets units in is compiled before it is committed, so that a
 * refusal changes nothing; what keeps them out never waits for a compiler:
 * the word is in the folder as soon as it is committed.
 * Read next: release/release.def, commit.c.
 */
#include <math.h>
#include <string.h>

#include "control/change/apply.h"
#include "control/change/expect.h"

static const char *const state_docs[] = {
#define RELEASE_STATE(NAME, word, phase, doc) doc,
#include "control/release/release.def"
};
static const bool verb_widens[] = {
#define RELEASE_VERB(NAME, word, right, reason, widens, summary) widens,
#include "control/release/release.def"
};

/* One release moved, not committed yet. */
struct moved {
    char name[GRAY_NAME_MAX + 1];
    enum release_verb verb;
    struct release_status before, after;
    bool changed;
};

/* ---- the event --------------------------------------------------------------- */

static bool read_weight(const json_t *body, uint32_t *ret_share,
                        struct reply *reply)
{
    const char *key = json_object_get(body, "to") != NULL ? "to" : "weight";
    const json_t *weight = json_object_get(body, key);
    double millionths = json_number_value(weight) * 10000;

    if (weight == NULL) {
        return true;
    }
    if (fabs(millionths - round(millionths)) > 1e-6) {
        reply_problem(reply, PROBLEM_BAD_BODY,
                      "A weight has at most 4 decimals.");
        reply_add(reply, "pointer", json_sprintf("/%s", key));
        return false;
    }
    *ret_share = (uint32_t)llround(millionths);
    return true;
}

/* Whom retreat takes out: exactly one of three. */
static bool read_cohort(const json_t *body, struct release_event *event,
                        struct reply *reply)
{
    const json_t *breaks = json_object_get(body, "breaks");
    bool to = json_object_get(body, "to") != NULL;
    bool last = json_object_get(body, "last") != NULL;
    bool listed = json_object_get(body, "units") != NULL;

    if (breaks != NULL) {
        event->breaks = (uint64_t)json_integer_value(breaks);
    }
    if (to + last + listed > 1) {
        reply_problem(reply, PROBLEM_BAD_BODY,
                      "retreat takes one of to, last and units.");
        return false;
    }
    event->cohort = to       ? RELEASE_COHORT_SHARE
                    : last   ? RELEASE_COHORT_NEWEST
                    : listed ? RELEASE_COHORT_LISTED
                             : RELEASE_COHORT_NONE;
    return true;
}

static bool read_event(const struct call *call, struct release_event *event,
                       struct reply *reply)
{
    const char *on_abort =
        json_string_value(json_object_get(call->body, "onAbort"));

    *event = (struct release_event) {
        .share = RELEASE_NO_SHARE,
        .full = json_is_true(json_object_get(call->body, "full")),
        .on_abort = on_abort == NULL              ? 0
                    : strcmp(on_abort, "keep") == 0 ? 1
                                                    : 2,
        .by = call->identity.name,
        .reason = json_string_value(json_object_get(call->body, "reason")),
        .now = call->now,
        .may_override = identity_has(&call->identity, RIGHT_OVERRIDE),
        .breaks = RELEASE_UNSAID,
    };
    if (release_verb_parse(call->verb, &event->verb) != 0) {
        reply_problem(reply, PROBLEM_NOT_FOUND,
                      "%s is no verb of a release; GET /v1/releases/%s says "
                      "what it may do.",
                      call->verb, call->name);
        return false;
    }
    if (!identity_has(&call->identity, release_verb_right(event->verb))) {
        reply_problem(reply, PROBLEM_FORBIDDEN,
                      "%s needs the role %s.", call->verb,
                      role_word(ROLE_APPROVER));
        return false;
    }
    return read_cohort(call->body, event, reply) &&
           read_weight(call->body, &event->share, reply);
}

/* ---- undo: where it stood ---------------------------------------------------- */

struct earlier {
    json_t *value;
};

static int keep_value(void *context, const struct store_item *item)
{
    ((struct earlier *)context)->value =
        json_loadb(item->text, item->length, 0, NULL);
    return 1;
}

static json_t *read_earlier(struct control *control, enum store_space space,
                            const char *name, uint64_t revision)
{
    struct earlier earlier = { NULL };
    struct gray_problem problem = { 0 };

    store_read_item(control->reader, space, name, revision, keep_value,
                    &earlier, &problem);
    return earlier.value;
}

/* The document and the state of that revision; the document goes into the
 * world. False after having filled the reply. */
static bool go_back(struct change *change, const char *name,
                    struct release_status *ret_earlier, struct reply *reply)
{
    const struct call *call = change->call;
    uint64_t revision = (uint64_t)json_integer_value(
        json_object_get(call->body, "toRevision"));
    char key[STORE_NAME_MAX + 1];
    json_t *document, *status;
    bool good;

    if (revision == 0 || revision > change->world.revision ||
        !world_key("Release", name, key)) {
        reply_problem(reply, PROBLEM_BAD_BODY,
                      "undo needs toRevision, one of GET /v1/releases/%s/"
                      "history.",
                      name);
        reply_add(reply, "pointer", json_string("/toRevision"));
        return false;
    }
    document = read_earlier(change->control, STORE_DOCUMENT, key, revision);
    status = read_earlier(change->control, STORE_RELEASE, name, revision);
    good = document != NULL && status != NULL &&
           release_status_parse(status, ret_earlier) == 0 &&
           document_covered(call, document, reply);
    if (good) {
        good = world_put(&change->world, "Release", name, document) == 0;
    } else if (!reply_is_problem(reply)) {
        reply_problem(reply, PROBLEM_NOT_FOUND,
                      "At revision %llu there was no release %s.",
                      (unsigned long long)revision, name);
    }
    json_decref(document);
    json_decref(status);
    return good;
}

/* ---- one move ------------------------------------------------------------------ */

/* Moves a release of change->world. 0 and *ret_moved, or -1 and the reply. */
static int move_release(struct change *change, const char *name,
                        struct release_event *event, struct moved *ret_moved,
                        struct reply *reply)
{
    struct moved moved = { .verb = event->verb };
    struct release_facts facts;
    struct release_status earlier;
    struct release_refusal refusal = { 0 };
    int status;

    if (!world_release(&change->world, name, &moved.before, &facts)) {
        reply_problem(reply, PROBLEM_NOT_FOUND, "There is no release %s.",
                      name);
        return -1;
    }
    if (event->verb == VERB_UNDO) {
        if (!go_back(change, name, &earlier, reply)) {
            return -1;
        }
        event->earlier = &earlier;
        /* Its steps are those of the document that it goes back to. */
        if (release_facts_read(world_document(&change->world, "Release",
                                              name), &facts) != 0) {
            reply_problem(reply, PROBLEM_INTERNAL, "Memory is at its end.");
            return -1;
        }
    }
    marking_ask(change->control, name, &moved.before, &facts,
                change->call->body, event);
    status = release_move(&moved.before, &facts, event, &moved.after,
                          &refusal);
    if (status < 0) {
        change_refuse_move(&refusal, reply);
        return -1;
    }
    snprintf(moved.name, sizeof(moved.name), "%s", name);
    moved.changed = status == 0;
    if (moved.changed &&
        !bundling_allows(change, name, &moved.before, &facts, event,
                         &moved.after, reply)) {
        return -1;
    }
    if (moved.changed &&
        (world_put_release(&change->world, name, &moved.after) != 0 ||
         marking_revoke(change, name, &moved.before, &facts, event,
                        &moved.after) != 0)) {
        reply_problem(reply, PROBLEM_INTERNAL, "Memory is at its end.");
        return -1;
    }
    *ret_moved = moved;
    return 0;
}

/* What it means for users. */
static json_t *sentence_of(const struct moved *moved)
{
    const struct release_status *now = &moved->after;

    const char *means =
        now->killed ? "killed: everyone goes to the baseline"
        : now->state == RELEASE_ABORTED &&
                release_word(now) == GRAY_WORD_BASELINE
            ? "its share is 0; everyone goes to the baseline"
        : now->state == RELEASE_ABORTED
            ? "its share is 0; nobody new enters, those in stay in"
            : state_docs[now->state];

    return json_sprintf("%s is %s%s at %g %%: %s", moved->name,
                        moved->changed ? "" : "already ",
                        release_state_word(now->state), now->share / 10000.0,
                        means);
}

/* What a release leaves behind: documents, and entities that are open. */
static json_t *residue_of(const struct change *change, const char *name)
{
    json_t *documents = json_array(), *residue, *tree;
    const char *key;
    uint64_t open = control_open(change->control->grayd, name);

    json_object_foreach(change->world.documents, key, tree) {
        json_array_append(documents, tree);
    }
    residue = release_residue(name, documents);
    json_decref(documents);
    if (open > 0) {
        json_array_append_new(
            residue,
            json_sprintf("Release/%s: %llu entities that began outside are not "
                         "settled; the old version is needed until they are "
                         "(gray marks list %s open).",
                         name, (unsigned long long)open, name));
    }
    return residue;
}

static json_t *moved_json(const struct change *change,
                          const struct moved *moved)
{
    char undo[300] = "";
    json_t *view = world_release_view(&change->world, moved->name);
    json_t *before = world_release_view(&change->control->world, moved->name);
    json_t *body;

    release_undo_command(moved->name, moved->verb, &moved->before,
                         &moved->after, undo, sizeof(undo));
    body = json_pack("{s:o,s:o,s:b,s:o,s:s,s:I}", "release", view, "before",
                     before, "changed", moved->changed, "sentence",
                     sentence_of(moved), "undo", undo, "revision",
                     (json_int_t)change->control->world.revision);
    if (moved->verb == VERB_FINISH && body != NULL) {
        json_object_set_new(body, "residue", residue_of(change, moved->name));
    }
    return body;
}

/* ---- the routes ------------------------------------------------------------------ */

static bool state_is_current(const struct change *change,
                             const struct call *call, struct reply *reply)
{
    uint64_t revision = (uint64_t)json_integer_value(json_object_get(
        json_object_get(change->world.releases, call->name), "revision"));

    if (!call->has_if_match || call->if_match == revision) {
        return true;
    }
    reply_problem(reply, PROBLEM_STALE,
                  "%s moved at revision %llu; you looked at %llu.", call->name,
                  (unsigned long long)revision,
                  (unsigned long long)call->if_match);
    reply_add(reply, "revision", json_integer((json_int_t)revision));
    return false;
}

/* Checks, compiles and asks gate 6 of a move that lets more units in. */
static int build_wider(struct change *change, const struct moved *moved,
                       struct reply *reply)
{
    const struct call *call = change->call;
    struct expect expect = {
        .allowed = json_is_true(json_object_get(call->body, "overCapacity")),
        .same_rules = moved->verb != VERB_UNDO,
    };

    if (expect.allowed &&
        !may_override(call, "Leading more requests to a version than it bears",
                      reply)) {
        return -1;
    }
    if (change_build(change, NULL, NULL, reply) != 0) {
        return -1;
    }
    return moved->after.share > moved->before.share
               ? change_expect(change, &expect, NULL, reply)
               : 0;
}

/* What lets units in waits for the release's Checks; the way back does not. */
static bool checks_allow(struct change *change, const struct moved *moved,
                         struct reply *reply)
{
    return !verb_widens[moved->verb] || moved->verb == VERB_UNDO ||
           (checking_allows(change, moved->name, reply) &&
            (moved->verb != VERB_PROMOTE ||
             checking_passes(change, moved->name, &moved->before,
                             &moved->after, reply)));
}

static void run_verb(struct change *change, const struct call *call,
                     struct reply *reply)
{
    struct release_event event;
    struct moved moved;

    if (!read_event(call, &event, reply) ||
        !state_is_current(change, call, reply) ||
        (verb_widens[event.verb] && !crashes_allow(change->control, reply)) ||
        move_release(change, call->name, &event, &moved, reply) != 0 ||
        (moved.changed && !checks_allow(change, &moved, reply)) ||
        (moved.changed && verb_widens[moved.verb] &&
         build_wider(change, &moved, reply) != 0) ||
        (moved.changed && !call->dry_run &&
         !marking_open(change->control, &change->world, reply))) {
        return;
    }
    failpoint("verb-moved");
    change->action = release_verb_word(moved.verb);
    change->reason = event.reason;
    change->event_type = release_event_type(moved.verb, &moved.before,
                                            &moved.after);
    change->before = world_release_brief(&change->control->world, moved.name);
    change->after = world_release_brief(&change->world, moved.name);
    change_note(change);
    reply_json(reply, 200, moved_json(change, &moved));
    if (moved.changed || call->dry_run) {
        change_commit(change, reply);
    }
}

void route_handle_RELEASE_VERB(struct hand *hand, const struct call *call,
                               struct reply *reply)
{
    struct control *control = hand->grayd->control;
    struct change change;

    if (change_begin(&change, control, call, reply) != 0) {
        return;
    }
    run_verb(&change, call, reply);
    if (reply_is_problem(reply)) {
        change_refused(&change, call->verb, change.resource, reply);
    }
    change_end(&change);
}

/* Every release in scope that can be stopped; one transaction. */
static json_t *stop_all(struct change *change, const struct call *call,
                        bool *ret_changed)
{
    json_t *rows = json_array(), *entry;
    const char *name;
    struct release_event event = {
        .verb = VERB_STOP,
        .share = RELEASE_NO_SHARE,
        .by = call->identity.name,
        .reason = json_string_value(json_object_get(call->body, "reason")),
        .now = call->now,
        .breaks = RELEASE_UNSAID,
    };

    json_object_foreach(change->control->world.releases, name, entry) {
        struct reply ignored = { 0 };
        struct moved moved;

        (void)entry;
        if (identity_covers(&call->identity, name) &&
            move_release(change, name, &event, &moved, &ignored) == 0) {
            json_array_append_new(rows, moved_json(change, &moved));
            *ret_changed |= moved.changed;
        }
        reply_clear(&ignored);
    }
    return rows;
}

void route_handle_STOP_ALL(struct hand *hand, const struct call *call,
                           struct reply *reply)
{
    struct control *control = hand->grayd->control;
    struct change change;
    bool changed = false;
    json_t *rows, *entry;
    const char *name;

    if (change_begin(&change, control, call, reply) != 0) {
        return;
    }
    if (!change_base_is_current(&change, reply)) {
        change_refused(&change, "stop-all", "", reply);
        change_end(&change);
        return;
    }
    rows = stop_all(&change, call, &changed);
    change.action = "stop-all";
    change.reason = json_string_value(json_object_get(call->body, "reason"));
    change.event_type = "ROLLBACK_STARTED";
    change.after = json_object();
    json_object_foreach(control->world.releases, name, entry) {
        json_object_set_new(change.after, name,
                            world_release_brief(&change.world, name));
    }
    reply_json(reply, 200,
               json_pack("{s:o,s:I}", "moved", rows, "revision",
                         (json_int_t)control->world.revision));
    if (changed || call->dry_run) {
        change_commit(&change, reply);
    }
    change_end(&change);
}
