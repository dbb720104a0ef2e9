/* SPDX-License-Identifier: Apache-2.0
 * in_force.c - the world into the runtime folder, and what people did there.
 *
 * Why: the store says what should be, the folder what is; between them lie a
 * full disk, a kill and a person at three in the morning with `gray kill`.
 * What could not be published is tried again by the tick; a word that was set
 * on the host becomes the release's state, with who and why where the folder
 * knows it.
 * Read next: publish/publisher.h, release/release.h (release_adopt).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/change/internal.h"

/* ---- words ----------------------------------------------------------------- */

struct words {
    struct publisher_word *items;
    size_t count;
};

static uint32_t word_of(const struct world *world, const char *name)
{
    struct release_status status;
    const json_t *entry = json_object_get(world->releases, name);

    return entry != NULL &&
                   release_status_parse(json_object_get(entry, "status"),
                                        &status) == 0
               ? release_word(&status) & GRAY_WORD_MASK
               : GRAY_WORD_OPEN;
}

/* Words of all releases, or of those whose word grew since `before`. */
static int words_read(struct words *ret_words, const struct world *world,
                      const struct world *before)
{
    size_t count = json_object_size(world->releases);
    const char *name;
    json_t *entry;

    *ret_words = (struct words) {
        .items = calloc(count + 1, sizeof(*ret_words->items))
    };
    if (ret_words->items == NULL) {
        return -1;
    }
    json_object_foreach(world->releases, name, entry) {
        struct publisher_word *item = &ret_words->items[ret_words->count];

        (void)entry;
        item->word = word_of(world, name);
        if (before == NULL || item->word > word_of(before, name)) {
            snprintf(item->name, sizeof(item->name), "%s", name);
            ret_words->count++;
        }
    }
    return 0;
}

void in_force_tighten(struct control *control, const struct world *before)
{
    struct words words;
    struct gray_problem problem = { 0 };

    if (words_read(&words, &control->world, before) != 0) {
        return; /* the publication that follows says so */
    }
    /* A person's verb in grayd beats what was set on the host before. */
    if (publisher_words_force(control->publisher, words.items, words.count,
                              &problem) != 0) {
        grayd_log(LOG_LEVEL_ERROR, problem.code, "%s", problem.sentence);
    }
    free(words.items);
}

static bool published(struct control *control, int status,
                      const struct gray_problem *problem, bool policy,
                      char ret_why[300])
{
    bool good = status >= 0;

    if (status != 0) {
        snprintf(ret_why, 300, "%s", problem->sentence);
        grayd_log(good ? LOG_LEVEL_WARN : LOG_LEVEL_ERROR, problem->code, "%s",
                  problem->sentence);
    }
    if (policy) {
        control->policy_behind = !good;
    }
    control->words_behind = !good;
    control->next_retry = grayd_now() + CONTROL_RETRY_MS;
    control->marks_behind = control->bundling.behind = true;
    if (good && !control->policy_behind) {
        atomic_store(&control->grayd->revision_in_force,
                     control->world.revision);
    }
    return good;
}

bool in_force_words(struct control *control, char ret_why[300])
{
    struct gray_problem problem = { 0 };
    struct words words;
    int status;

    if (words_read(&words, &control->world, NULL) != 0) {
        problem = (struct gray_problem) { .code = "no-memory",
                                          .sentence = "Memory is at its end." };
        return published(control, -ENOMEM, &problem, false, ret_why);
    }
    status = publisher_words(control->publisher, words.items, words.count,
                             &problem);
    free(words.items);
    return published(control, status, &problem, false, ret_why);
}

/* ---- the policy ------------------------------------------------------------ */

static int build_world(struct control *control, struct build *build,
                       struct gray_problem *ret_problem)
{
    struct gray_compile_options options = {
        .revision = control->world.revision,
        .now = grayd_now(),
        .word_of = publisher_word_number,
        .word_context = control->publisher,
    };

    if (build_check(build, &control->world, NULL) == 0 &&
        build_compile(build, &options) == 0) {
        return 0;
    }
    ret_problem->code = "not-compiled";
    snprintf(ret_problem->sentence, sizeof(ret_problem->sentence),
             "The documents in the store no longer compile: %.100s",
             build->findings.count > 0 ? build->findings.items[0].sentence
                                       : "memory is at its end");
    return -EINVAL;
}

void in_force_known(struct control *control)
{
    struct build build = { 0 };
    struct gray_problem problem = { 0 };

    if (build_world(control, &build, &problem) == 0) {
        marking_prepare(control, &build.compiled);
        gray_model_free(control->model); /* of a word just adopted */
        control->model = build.model;
        build.model = NULL;
    }
    control->marks_behind = true;
    build_clear(&build);
}

static int put_policy(struct control *control, struct build *build,
                      struct gray_problem *ret_problem)
{
    struct gray_published done = { 0 };
    struct words words;
    int status;

    if (words_read(&words, &control->world, NULL) != 0) {
        ret_problem->code = "no-memory";
        return -ENOMEM;
    }
    marking_prepare(control, &build->compiled);
    failpoint("before-publish");
    /* Published ahead, of this very world: readers turned by themselves. */
    status = control->ahead.due &&
                     control->world.revision == control->ahead.base + 1
                 ? publisher_turned(control->publisher,
                                    control->ahead.generation, words.items,
                                    words.count, &done, ret_problem)
                 : -EAGAIN;
    if (status == -EAGAIN) {
        status = publisher_put(control->publisher, &build->compiled,
                               words.items, words.count, &done, ret_problem);
    }
    free(words.items);
    if (status >= 0) {
        if (control->ahead.id[0] != '\0') {
            control->ahead = (struct ahead) { 0 }; /* replaced, or in force */
            control->next_due = 0;
        }
        atomic_store(&control->grayd->generation, done.policy_generation);
        atomic_store(&control->grayd->admission,
                     world_admission(&control->world));
    }
    return status;
}

static bool bypass_wanted(const struct control *control)
{
    return atomic_load(&control->grayd->bypass);
}

/* Somebody removed the folder: what is mapped still is nobody's any more, and
 * all that is in force goes into a new one. */
void in_force_follow(struct control *control)
{
    struct grayd *grayd = control->grayd;

    if (!publisher_renewed(control->publisher)) {
        return;
    }
    if (!control->folder_lost) {
        grayd_log(LOG_LEVEL_WARN, "folder-lost",
                  "somebody removed %s; it is made again",
                  grayd->options.runtime);
        control->next_retry = 0;
    }
    control->folder_lost = control->policy_behind = true;
    atomic_store(&grayd->revision_in_force, 0);
}

/* Makes the folder where there is none, and says the bypass in it. */
static int make_folder(struct control *control,
                       struct gray_problem *ret_problem)
{
    int status;

    if (!control->folder_lost) {
        return 0;
    }
    status = publisher_words(control->publisher, NULL, 0, ret_problem);
    if (status >= 0 && bypass_wanted(control)) {
        status = publisher_bypass(control->publisher, true, ret_problem);
    }
    if (status < 0) {
        return status;
    }
    publisher_renewed(control->publisher); /* by this grayd */
    control->folder_lost = false;
    return 0;
}

bool in_force_publish(struct control *control, struct build *build,
                      char ret_why[300])
{
    struct build own = { 0 };
    struct gray_problem problem = { 0 };
    int status = make_folder(control, &problem);

    if (status == 0 && json_object_size(control->world.documents) == 0 &&
        publisher_revision(control->publisher) == 0) {
        return published(control, 0, &problem, true, ret_why);
    }
    if (status == 0 && build == NULL) {
        build = &own;
        status = build_world(control, build, &problem);
    }
    if (status == 0) {
        /* What stands in the world is compared with from now on, in force
         * already or not. */
        gray_model_free(control->model);
        control->model = build->model;
        build->model = NULL;
        status = put_policy(control, build, &problem);
    }
    build_clear(&own);
    return published(control, status, &problem, true, ret_why);
}

/* ---- what people did on the host ------------------------------------------- */

static const char *release_of_scope(const struct control *control,
                                    uint64_t scope)
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

/* "host: alice" by the folder's own memory of actions. */
static void who_did_it(const json_t *action, char ret_actor[64])
{
    const char *actor = json_string_value(json_object_get(action, "actor"));

    snprintf(ret_actor, 64, "host%s%.50s", actor != NULL ? ": " : "",
             actor != NULL ? actor : "");
}

static void describe_adoption(struct change *change, const char *name,
                              const char *actor, const json_t *action)
{
    change->actor = actor;
    change->via = "host";
    change->triggered_by = "USER";
    change->action = json_string_value(json_object_get(action, "action"));
    change->reason = json_string_value(json_object_get(action, "reason"));
    if (change->action == NULL) {
        change->action = "host-word";
    }
    world_key("Release", name, change->resource);
    change->before = world_release_brief(&change->control->world, name);
    change->after = world_release_brief(&change->world, name);
}

bool in_force_adopt_word(struct control *control, const char *name,
                         uint32_t word, const char *actor,
                         const json_t *action, int64_t now)
{
    struct release_status status, next;
    struct release_facts facts;
    struct change change;
    struct reply reply = { 0 };
    bool good;

    if (!world_release(&control->world, name, &status, &facts)) {
        return false;
    }
    if (release_adopt(&status, &facts, word, now, actor,
                      json_string_value(json_object_get(action, "reason")),
                      &next) != 0) {
        return true;
    }
    if (change_begin(&change, control, NULL, &reply) != 0) {
        reply_clear(&reply);
        return false; /* the word stays, and is adopted later */
    }
    failpoint("host-word-seen");
    good = world_put_release(&change.world, name, &next) == 0 &&
           marking_revoke(&change, name, &status, &facts,
                          &(struct release_event) {
                              .verb = VERB_ABORT, .by = next.by,
                              .reason = next.reason },
                          &next) == 0;
    if (good) {
        describe_adoption(&change, name, actor, action);
        reply_json(&reply, 200, json_object());
        change_commit(&change, &reply);
        good = !reply_is_problem(&reply);
    }
    change_end(&change);
    reply_clear(&reply);
    if (good) {
        grayd_log(LOG_LEVEL_WARN, "host-word",
                  "%s: what %s set on the host is its state now", name, actor);
    }
    return good;
}

static void adopt_word(struct control *control, const char *name,
                       uint32_t word, int64_t now)
{
    struct release_status status;
    struct release_facts facts;
    struct gray_problem problem = { 0 };
    char actor[64];
    json_t *action = publisher_host_action(control->publisher, name);

    /* The word is set first and the line about it a moment later. */
    if (control->host_word_seen == 0 || control->host_word_seen > now) {
        control->host_word_seen = now; /* or the clock was set back */
    }
    if (action == NULL &&
        now - control->host_word_seen < CONTROL_HOST_WAIT_MS) {
        return;
    }
    control->host_word_seen = 0;
    who_did_it(action, actor);
    if (in_force_adopt_word(control, name, word, actor, action, now)) {
        failpoint("host-word-adopted");
        if (world_release(&control->world, name, &status, &facts)) {
            publisher_word_force(control->publisher, name,
                                 release_word(&status), &problem);
        }
    }
    json_decref(action);
}

static void adopt_bypass(struct control *control)
{
    bool on = publisher_bypassed(control->publisher);
    struct change change;
    struct reply reply = { 0 };

    if (on == bypass_wanted(control) ||
        change_begin(&change, control, NULL, &reply) != 0) {
        reply_clear(&reply);
        return;
    }
    change.actor = "host";
    change.via = "host";
    change.action = "bypass";
    change.triggered_by = "USER";
    change.after = json_pack("{s:b}", "on", on);
    change_put(&change, STORE_SETTING, "bypass", json_pack("{s:b}", "on", on));
    reply_json(&reply, 200, json_object());
    change_commit(&change, &reply);
    change_end(&change);
    if (!reply_is_problem(&reply)) {
        atomic_store(&control->grayd->bypass, on);
    }
    reply_clear(&reply);
}

void in_force_adopt(struct control *control, int64_t now)
{
    uint64_t scope;
    uint32_t word;
    size_t at = 0;

    if (atomic_load(&control->grayd->store_failed)) {
        return; /* the host's word stands as it is */
    }
    while (publisher_host_word(control->publisher, &at, &scope, &word) == 0) {
        const char *name = release_of_scope(control, scope);
        char kept[GRAY_NAME_MAX + 1]; /* a commit ends the world that has it */

        if (name != NULL) {
            snprintf(kept, sizeof(kept), "%s", name);
            adopt_word(control, kept, word & GRAY_WORD_MASK, now);
        }
    }
    in_force_follow(control);
    if (!control->folder_lost) {
        adopt_bypass(control);
    }
}
