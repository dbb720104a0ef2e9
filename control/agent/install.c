/* SPDX-License-Identifier: Apache-2.0
 * install.c - a bundle whose files are here, into the runtime folder.
 *
 * Why: the order is that of any change of grayd: words that tighten, tables of
 * marks, keys, lists and policy, words that loosen, a copy in last-good.  What
 * is the same as in force already is left alone, so that a freeze is a word
 * and not a publication.
 * Read next: bundle.c, control/publish/publisher.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/agent/internal.h"
#include "control/failpoint.h"
#include "control/grayd.h"

/* The files of one bundle, mapped. */
struct files {
    struct blob_map policy, fleet, keys;
    struct blob_map *lists;
    struct gray_publish_list *rows;
    size_t count;
};

static void files_close(struct files *files)
{
    blob_close(&files->policy);
    blob_close(&files->fleet);
    blob_close(&files->keys);
    for (size_t i = 0; files->lists != NULL && i < files->count; i++) {
        blob_close(&files->lists[i]);
    }
    free(files->lists);
    free(files->rows);
}

static int open_one(struct agent *agent, const struct manifest_blob *blob,
                    struct blob_map *ret_map, struct gray_problem *ret_problem)
{
    return blob->size == 0 ? 0 : blob_open(ret_map, &agent->place, blob,
                                           ret_problem);
}

static int files_open(struct agent *agent, const struct manifest *manifest,
                      struct files *files, struct gray_problem *ret_problem)
{
    int error = open_one(agent, &manifest->policy, &files->policy, ret_problem);

    if (error == 0) {
        error = open_one(agent, &manifest->fleet, &files->fleet, ret_problem);
    }
    if (error == 0) {
        error = open_one(agent, &manifest->keys, &files->keys, ret_problem);
    }
    files->lists = calloc(manifest->list_count + 1, sizeof(*files->lists));
    files->rows = calloc(manifest->list_count + 1, sizeof(*files->rows));
    if (error == 0 && (files->lists == NULL || files->rows == NULL)) {
        error = agent_problem(ret_problem, ENOMEM, "memory", "Out of memory.");
    }
    for (size_t i = 0; error == 0 && i < manifest->list_count; i++) {
        error = blob_open(&files->lists[i], &agent->place,
                          &manifest->lists[i].blob, ret_problem);
        if (error == 0) {
            files->rows[files->count++] = (struct gray_publish_list) {
                .name = manifest->lists[i].name,
                .data = files->lists[i].data,
                .size = files->lists[i].size,
            };
        }
    }
    return error;
}

/* ---- what the policy says of its releases ---------------------------------------- */

static int take_names(struct agent *agent, const struct gray_snapshot *policy)
{
    uint32_t count = policy->policy->releases.count;
    struct agent_name *names = calloc(count + 1, sizeof(*names));

    if (names == NULL) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct gray_release *release = gray_release_at(policy, i);
        struct gray_str name = gray_text(policy, release->name);

        names[i].scope = release->scope;
        names[i].leased = (release->mark_flags & GRAY_MARKS_LEASE) != 0;
        snprintf(names[i].name, sizeof(names[i].name), "%.*s",
                 (int)name.length, name.data);
    }
    free(agent->names);
    agent->names = names;
    agent->name_count = count;
    return 0;
}

/* Every release that keeps marks has its table before it is in force. */
static int prepare_marks(struct agent *agent, const struct files *files,
                         struct gray_problem *ret_problem)
{
    struct gray_problem problem = { 0 };
    struct gray_snapshot policy;
    struct marks_scope *scopes;
    size_t count = 0;

    if (files->policy.size == 0) {
        return 0;
    }
    if (gray_snapshot_open(&policy, files->policy.data, files->policy.size,
                           ret_problem) != 0) {
        return -EINVAL;
    }
    if (take_names(agent, &policy) != 0) {
        return agent_problem(ret_problem, ENOMEM, "memory", "Out of memory.");
    }
    scopes = agent->marks != NULL ? marks_scopes_of(&policy, &count) : NULL;
    if (scopes != NULL &&
        marks_prepare(agent->marks, scopes, count, policy.header->revision,
                      &problem) != 0) {
        grayd_log(LOG_LEVEL_ERROR, problem.code, "%s", problem.sentence);
        agent_trouble(agent, &problem);
    }
    free(scopes);
    failpoint("marks-prepared");
    return 0;
}

/* ---- words -------------------------------------------------------------------------- */

int install_tighten(struct agent *agent, const struct manifest *manifest,
                    struct gray_problem *ret_problem)
{
    size_t count = 0;
    struct publisher_word *words = words_wanted(agent, manifest, &count);
    int error;

    if (words == NULL) {
        return agent_problem(ret_problem, ENOMEM, "memory", "Out of memory.");
    }
    error = publisher_tighten(agent->publisher, words, count, ret_problem);
    free(words);
    if (error < 0) {
        return error;
    }
    error = words_yield(agent, manifest, false, ret_problem);
    if (error != 0) {
        return error;
    }
    pthread_mutex_lock(&agent->lock);
    epochs_reached(&agent->said.epochs, manifest->epoch,
                   publisher_word_epoch(agent->publisher));
    pthread_mutex_unlock(&agent->lock);
    close_begin(agent);
    watch_readers(agent);
    return 0;
}

/* The scopes that are about to be open are told to the marks thread first. */
static int open_scopes(struct agent *agent, const struct publisher_word *words,
                       size_t count, struct gray_problem *ret_problem)
{
    int error = 0;

    for (size_t i = 0; error == 0 && i < count; i++) {
        uint64_t scope;
        uint32_t word;
        size_t at = 0;

        if (words[i].word != GRAY_WORD_OPEN) {
            continue;
        }
        while (publisher_next_word(agent->publisher, &at, &scope, &word) ==
               0) {
            if (scope == words[i].scope && word != GRAY_WORD_OPEN &&
                (word & GRAY_WORD_HOST) == 0) {
                error = close_open(agent, scope, ret_problem);
                break;
            }
        }
    }
    return error;
}

/* ---- all of it ------------------------------------------------------------------------ */

static bool same_blob(const struct manifest_blob *one,
                      const struct manifest_blob *other)
{
    return one->size == other->size && strcmp(one->sha256, other->sha256) == 0;
}

/* Lists follow from the policy, by name. */
static bool same_files(const struct manifest *one,
                       const struct manifest *other)
{
    return same_blob(&one->policy, &other->policy) &&
           same_blob(&one->fleet, &other->fleet) &&
           same_blob(&one->keys, &other->keys);
}

static int put(struct agent *agent, const struct files *files,
               const struct manifest *manifest, bool parts,
               struct gray_problem *ret_problem)
{
    struct publisher_parts what = {
        .policy = files->policy.data, .policy_size = files->policy.size,
        .fleet = files->fleet.data,   .fleet_size = files->fleet.size,
        .keys = files->keys.data,     .keys_size = files->keys.size,
        .lists = files->rows,         .list_count = files->count,
    };
    struct gray_published done = { 0 };
    size_t count = 0;
    struct publisher_word *words = words_wanted(agent, manifest, &count);
    int error = words != NULL ? 0
                              : agent_problem(ret_problem, ENOMEM, "memory",
                                              "Out of memory.");

    if (agent->starting) {
        count = 0; /* those that tighten are there */
    }
    if (error == 0) {
        error = open_scopes(agent, words, count, ret_problem);
    }
    if (error == 0 && parts && files->policy.size > 0) {
        error = publisher_put_parts(agent->publisher, &what, words, count,
                                    &done, ret_problem);
        if (error >= 0) {
            bool waits = done.next_generation != 0;

            agent->turn_at = waits ? manifest->effective_at : 0;
            agent->generation = waits ? done.next_generation
                                      : done.policy_generation;
        }
    } else if (error == 0) {
        error = publisher_words(agent->publisher, words, count, ret_problem);
    }
    free(words);
    if (error >= 0 && !agent->starting) {
        int yielded = words_yield(agent, manifest, true, ret_problem);

        error = yielded < 0 ? yielded : error;
    }
    return error;
}

static void in_force(struct agent *agent, struct manifest *manifest,
                     bool parts)
{
    int64_t late = parts && manifest->effective_at > 0
                       ? grayd_now() - manifest->effective_at : 0;

    if (manifest != &agent->in_force) {
        manifest_clear(&agent->in_force);
        agent->in_force = *manifest;
        *manifest = (struct manifest) { .sequence = 0 };
    }
    manifest = &agent->in_force;
    agent->whole = true;
    pthread_mutex_lock(&agent->lock);
    agent->said.sequence = manifest->sequence;
    agent->said.revision = manifest->revision;
    if (parts) {
        agent->said.late_ms = late > 0 ? late : 0;
    }
    epochs_reached(&agent->said.epochs, manifest->epoch,
                   publisher_word_epoch(agent->publisher));
    pthread_mutex_unlock(&agent->lock);
    agent_refuse(agent, 0, NULL);
    close_begin(agent);
    watch_readers(agent);
}

int install_bundle(struct agent *agent, struct manifest *manifest, bool all,
                   struct gray_problem *ret_problem)
{
    bool parts = all || (!agent->starting &&
                         (!agent->whole ||
                          !same_files(&agent->in_force, manifest)));
    struct files files = { .count = 0 };
    int error = 0;

    if (parts || agent->names == NULL) {
        error = files_open(agent, manifest, &files, ret_problem);
        if (error == 0) {
            error = prepare_marks(agent, &files, ret_problem);
        }
    }
    if (error == 0) {
        error = put(agent, &files, manifest, parts, ret_problem);
    }
    if (error >= 0) {
        agent_trouble(agent, error == 1 ? ret_problem : NULL);
        in_force(agent, manifest, parts);
        error = 0;
    }
    files_close(&files);
    return error;
}
