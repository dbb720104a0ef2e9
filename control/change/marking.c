/* SPDX-License-Identifier: Apache-2.0
 * marking.c - what a change of words, shares and attempts means for marks.
 *
 * Why: a release's word, its scope at the marks thread and its marks are three
 * things, and each may be behind the others after a kill.  So nothing here is
 * done once: the world says which scopes are open, the store which marks are
 * still to be taken back, and this file follows both until they are so.
 * Read next: settle_marks.c (what takes time), control/marks/marks.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/change/internal.h"
#include "control/marks/marks.h"
#include "runtime/mark_look.h"

#define OPEN_WAIT_MS 1000 /* of the control thread for the marks thread */
#define COUNT_PAGE 1000u

static const bool verb_widens[] = {
#define RELEASE_VERB(NAME, word, right, reason, widens, summary) widens,
#include "control/release/release.def"
};

static uint64_t scope_of(const char *name)
{
    return gray_hash_scope(name, strlen(name));
}

static bool is_open(const struct world *world, const char *name)
{
    struct release_status status;
    struct release_facts facts;

    return world_release(world, name, &status, &facts) &&
           (release_word(&status) & GRAY_WORD_MASK) == GRAY_WORD_OPEN;
}

/* ---- tables ---------------------------------------------------------------- */

/* A release without a table is UNKNOWN to everybody: nobody comes in. */
static int prepare(struct control *control, struct gray_problem *ret_problem)
{
    struct marks_scope *scopes = control->scopes;
    size_t count = control->scope_count;

    if (control->shadow.scope != 0 && scopes != NULL) {
        scopes[count++] = control->shadow; /* there is room for one more */
    }
    return marks_prepare(control->grayd->marks, scopes, count,
                         control->scopes_revision, ret_problem);
}

void marking_prepare(struct control *control,
                     const struct gray_compiled *compiled)
{
    struct gray_problem problem = { 0 };
    struct gray_snapshot snapshot;
    struct marks_scope *scopes;
    size_t count = 0;

    if (control->grayd->marks == NULL ||
        gray_snapshot_open(&snapshot, compiled->policy.data,
                           compiled->policy.size, &problem) != 0) {
        return;
    }
    scopes = marks_scopes_of(&snapshot, &count);
    if (scopes == NULL) {
        return;
    }
    free(control->scopes);
    control->scopes = scopes;
    control->scope_count = count;
    control->scopes_revision = snapshot.header->revision;
    if (prepare(control, &problem) != 0) {
        grayd_log(LOG_LEVEL_ERROR, problem.code, "%s", problem.sentence);
    }
}

void marking_prepare_too(struct control *control,
                         const struct gray_compiled *compiled)
{
    struct gray_problem problem = { 0 };
    struct gray_snapshot snapshot;
    struct marks_scope *scopes = NULL, *grown = NULL;
    size_t count = 0;

    if (control->grayd->marks != NULL &&
        gray_snapshot_open(&snapshot, compiled->policy.data,
                           compiled->policy.size, &problem) == 0) {
        scopes = marks_scopes_of(&snapshot, &count);
    }
    if (scopes != NULL) {
        grown = realloc(control->scopes, (control->scope_count + count + 1) *
                                             sizeof(*grown));
    }
    if (grown != NULL) {
        control->scopes = grown;
        for (size_t i = 0; i < count; i++) {
            size_t j = 0;

            while (j < control->scope_count &&
                   grown[j].scope != scopes[i].scope) {
                j++;
            }
            if (j == control->scope_count) {
                grown[control->scope_count++] = scopes[i];
            }
        }
        if (prepare(control, &problem) != 0) {
            grayd_log(LOG_LEVEL_ERROR, problem.code, "%s", problem.sentence);
        }
    }
    free(scopes);
}

int marking_shadow(struct control *control, const struct marks_scope *shadow,
                   struct gray_problem *ret_problem)
{
    if (control->scopes == NULL) {
        control->scopes = calloc(2, sizeof(*control->scopes));
    }
    control->shadow = shadow != NULL ? *shadow : (struct marks_scope) { 0 };
    return control->scopes != NULL ? prepare(control, ret_problem) : -ENOMEM;
}

/* ---- words ----------------------------------------------------------------- */

static int open_scope(struct control *control, const char *name,
                      struct gray_problem *ret_problem)
{
    int error = 0;

    settler_open(control->settler, name);
    if (control->grayd->marks != NULL) {
        error = marks_open_scope(control->grayd->marks, scope_of(name),
                                 OPEN_WAIT_MS, ret_problem);
    }
    return error == -ENOENT ? 0 : error; /* it keeps no marks */
}

bool marking_open(struct control *control, const struct world *after,
                  struct reply *reply)
{
    struct gray_problem problem = { 0 };
    const char *name;
    json_t *entry;

    json_object_foreach(after->releases, name, entry) {
        if (entry == json_object_get(control->world.releases, name) ||
            !is_open(after, name) || !settler_closes(control->settler, name)) {
            continue;
        }
        control->marks_behind = true; /* closed again, should nothing come */
        if (open_scope(control, name, &problem) != 0) {
            reply_problem(reply, PROBLEM_BUSY,
                          "The marks of %s cannot be opened now: %s", name,
                          problem.sentence);
            return false;
        }
    }
    return true;
}

static void follow_word(struct control *control, const char *name)
{
    struct release_status status;
    struct release_facts facts;
    struct gray_problem problem = { 0 };
    struct settle_scope scope = {
        .epoch = publisher_word_epoch(control->publisher)
    };

    if (!world_release(&control->world, name, &status, &facts)) {
        return;
    }
    if ((release_word(&status) & GRAY_WORD_MASK) != GRAY_WORD_OPEN) {
        snprintf(scope.name, sizeof(scope.name), "%s", name);
        scope.lease_ms = facts.lease_ms;
        scope.host_epoch = bundling_epoch(control, name);
        settler_close(control->settler, &scope);
    } else if (settler_closes(control->settler, name) &&
               open_scope(control, name, &problem) != 0) {
        grayd_log(LOG_LEVEL_WARN, problem.code, "%s", problem.sentence);
        control->marks_behind = true;
    }
}

/* ---- marks taken back ------------------------------------------------------ */

static bool is_done(const struct control *control, uint64_t effect)
{
    for (size_t i = 0; i < control->revoked_count; i++) {
        if (control->revoked[i] == effect) {
            return true;
        }
    }
    return false;
}

static int begin_revoke(void *context, const struct store_pending *effect)
{
    struct control *control = context;
    struct settle_scope scope = {
        .epoch = publisher_word_epoch(control->publisher),
        .generation = atomic_load(&control->grayd->generation),
    };
    struct release_status status;
    struct release_facts facts;
    const char *name;
    json_t *what;

    if (strcmp(effect->kind, EFFECT_REVOKE) != 0 ||
        is_done(control, effect->id)) {
        return 0;
    }
    what = json_loads(effect->text, 0, NULL);
    name = json_string_value(json_object_get(what, "release"));
    if (name == NULL || strlen(name) > GRAY_NAME_MAX) {
        json_decref(what);
        return 0;
    }
    if (world_release(&control->world, name, &status, &facts)) {
        scope.lease_ms = facts.lease_ms;
    }
    memcpy(scope.name, name, strlen(name));
    settler_revoke(control->settler, effect->id, what, &scope);
    return 0;
}

void marking_collect(struct control *control)
{
    uint64_t effect;

    while (settler_revoked(control->settler, &effect)) {
        if (control->revoked_count == control->revoked_capacity) {
            size_t capacity = control->revoked_capacity * 2 + 16;
            uint64_t *more =
                realloc(control->revoked, capacity * sizeof(*more));

            if (more == NULL) {
                control->marks_behind = true; /* it is begun once more */
                return;
            }
            control->revoked = more;
            control->revoked_capacity = capacity;
        }
        control->revoked[control->revoked_count++] = effect;
    }
}

void marking_follow(struct control *control)
{
    struct gray_problem problem = { 0 };
    const char *name;
    json_t *entry;

    marking_collect(control);
    if (!control->marks_behind || control->policy_behind ||
        control->words_behind || control->folder_lost) {
        return;
    }
    control->marks_behind = false;
    json_object_foreach(control->world.releases, name, entry) {
        (void)entry;
        follow_word(control, name);
    }
    if (store_read_pending(control->reader, begin_revoke, control, &problem) !=
        0) {
        control->marks_behind = true;
    }
}

static int cohort_of(enum release_revokes revokes,
                     const struct release_event *event)
{
    return revokes == RELEASE_REVOKES_ALL     ? MARKS_ALL
           : revokes == RELEASE_REVOKES_ABOVE ? MARKS_OLDER_BUCKETS
           : event->cohort == RELEASE_COHORT_LISTED ? MARKS_LISTED
                                                    : MARKS_NEWEST;
}

static const char *salt_of(const struct world *world, const char *name)
{
    const char *salt = json_string_value(
        json_object_get(world_document(world, "Release", name), "salt"));

    return salt != NULL ? salt : name;
}

/* A share is of one dimension, and so are the marks that it takes back: those
 * of dimension n lie in space n + 1 (policy/model_marks.c). */
static int space_of(const struct release_facts *facts,
                    const struct release_status *status)
{
    return facts->dimensions > 0 ? (int)status->dimension + 1 : 0;
}

int marking_revoke(struct change *change, const char *name,
                   const struct release_status *before,
                   const struct release_facts *facts,
                   const struct release_event *event,
                   const struct release_status *after)
{
    const json_t *body = change->call != NULL ? change->call->body : NULL;
    enum release_revokes revokes =
        release_revokes(before, facts, event, after);
    json_t *what;

    if (revokes == RELEASE_REVOKES_NONE) {
        return 0;
    }
    what = json_pack(
        "{s:s,s:i,s:i,s:I,s:s,s:I,s:I,s:s,s:s}", "release", name, "cohort",
        cohort_of(revokes, event), "space", space_of(facts, after), "share", (json_int_t)after->share, "salt",
        salt_of(&change->world, name), "count",
        json_integer_value(json_object_get(body, "last")), "attempt",
        (json_int_t)before->attempt, "actor", event->by, "reason",
        event->reason != NULL ? event->reason : "");
    if (what != NULL && json_object_get(body, "units") != NULL &&
        revokes == RELEASE_REVOKES_COHORT) {
        json_object_set(what, "units", json_object_get(body, "units"));
    }
    if (what != NULL && event->cohort == RELEASE_COHORT_NEWEST) {
        /* So that a kill in the middle does not begin to count anew. */
        json_object_set_new(what, "before",
                            json_integer((json_int_t)event->revoked));
    }
    if (change->revokes == NULL) {
        change->revokes = json_array();
    }
    return json_array_append_new(change->revokes, what);
}

/* ---- what the machine asks ------------------------------------------------- */

static json_t *status_of(struct control *control, const char *name)
{
    struct gray_problem problem = { 0 };
    json_t *status = marks_status(control->grayd->marks, scope_of(name),
                                  &problem);
    const char *state = json_string_value(
        json_object_get(json_object_get(status, "table"), "state"));

    if (status != NULL && (state == NULL || strcmp(state, "ready") != 0)) {
        json_decref(status); /* rebuilding, broken: nobody knows */
        status = NULL;
    }
    return status;
}

static bool is_above(const char *unit, const char *salt, uint32_t share)
{
    struct gray_str salt_text = { salt, (uint32_t)strlen(salt) };
    struct gray_str text = { unit, (uint32_t)strlen(unit) };

    return gray_bucket(salt_text, text) >= share;
}

/* Of an irreversible release only: it takes as long as there are marks. */
static uint64_t count_above(struct control *control, const char *name,
                            uint32_t share, int space)
{
    const char *salt = salt_of(&control->world, name);
    uint64_t after = 0, count = 0;
    struct gray_problem problem = { 0 };

    for (;;) {
        json_t *page = marks_list(control->grayd->marks, scope_of(name),
                                  GRAY_SLOT_IN, false, after, COUNT_PAGE,
                                  &problem);
        const json_t *next = json_object_get(page, "next"), *row;
        size_t i;

        if (page == NULL) {
            return RELEASE_UNSAID;
        }
        json_array_foreach(json_object_get(page, "marks"), i, row) {
            const char *unit =
                json_string_value(json_object_get(row, "unit"));

            count += unit != NULL && is_above(unit, salt, share) &&
                     (space == 0 || space == json_integer_value(
                                                 json_object_get(row,
                                                                 "space")));
        }
        after = (uint64_t)json_integer_value(next);
        json_decref(page);
        if (after == 0) {
            return count;
        }
    }
}

static uint64_t count_listed(struct control *control, const char *name,
                             const json_t *units)
{
    struct gray_problem problem = { 0 };
    struct gray_mark_look look;
    uint64_t count = 0;
    const json_t *unit;
    size_t i;

    if (gray_mark_look_open(&look, control->grayd->options.runtime,
                            scope_of(name), &problem) != 0) {
        return RELEASE_UNSAID;
    }
    json_array_foreach(units, i, unit) {
        for (uint8_t space = 0; space < GRAY_STAGES_MAX; space++) {
            struct gray_str text = { json_string_value(unit),
                                     (uint32_t)json_string_length(unit) };
            uint64_t value = 0;

            count += gray_mark_look_find(&look, space, text, &value) ==
                         GRAY_FIND_FOUND &&
                     gray_slot_state(value) == GRAY_SLOT_IN;
        }
    }
    gray_mark_look_close(&look);
    return count;
}

static uint64_t count_broken(struct control *control, const char *name,
                             const json_t *body, int space,
                             const struct release_event *event, uint64_t in)
{
    uint64_t last = (uint64_t)json_integer_value(
        json_object_get(body, "last"));

    if (event->verb == VERB_UNDO && event->earlier != NULL &&
        event->earlier->share > 0) {
        return count_above(control, name, event->earlier->share, space);
    }
    if (event->verb != VERB_RETREAT) {
        return in;
    }
    switch (event->cohort) {
    case RELEASE_COHORT_SHARE:
        return count_above(control, name, event->share, space);
    case RELEASE_COHORT_NEWEST:
        return last < in ? last : in;
    case RELEASE_COHORT_LISTED:
        return count_listed(control, name, json_object_get(body, "units"));
    default:
        return in;
    }
}

void marking_ask(struct control *control, const char *name,
                 const struct release_status *now,
                 const struct release_facts *facts, const json_t *body,
                 struct release_event *event)
{
    struct marks *marks = control->grayd->marks;
    bool harmful = facts->data_compat == GRAY_DATA_IRREVERSIBLE &&
                   (event->verb == VERB_ABORT || event->verb == VERB_KILL ||
                    event->verb == VERB_UNDO || event->verb == VERB_RETREAT);
    json_t *status;

    marking_collect(control);
    event->marks = event->in = 0;
    event->busy = settler_revokes(control->settler, name) ||
                  (marks != NULL && marks_busy(marks, scope_of(name)));
    /* What stops does not count first: that takes as long as there are
     * marks. */
    if (marks == NULL || facts->stickiness == GRAY_STICKY_NONE ||
        now->started == 0 ||
        !(harmful || event->verb == VERB_RETREAT || verb_widens[event->verb])) {
        return;
    }
    status = status_of(control, name);
    event->in =
        (uint64_t)json_integer_value(json_object_get(status, "in"));
    event->revoked =
        (uint64_t)json_integer_value(json_object_get(status, "revoked"));
    if (harmful) {
        event->marks = status == NULL ? RELEASE_UNSAID
                                      : count_broken(control, name, body,
                                                     space_of(facts, now),
                                                     event, event->in);
    }
    json_decref(status);
}
