/* SPDX-License-Identifier: Apache-2.0
 * bundling.c - numbers of bundles, and making them.
 *
 * Why: see bundling.h.  What was made last is noted beside the store
 * (<state>/bundle): after a restart the same number with other contents (a
 * folder that was lost, keys that were made anew) takes a new number, by a
 * change of grayd's own.
 * Read next: ../hosts/bundle.h, commit.c (who calls).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/change/internal.h"

#define NOTE_FILE "bundle"
#define RETRY_MS 1000

/* ---- words ------------------------------------------------------------------ */

static uint32_t word_of(const struct world *world, const char *name)
{
    struct release_status status;
    struct release_facts facts;

    return world_release(world, name, &status, &facts)
               ? release_word(&status) & GRAY_WORD_MASK
               : GRAY_WORD_OPEN;
}

uint64_t bundling_epoch(const struct control *control, const char *name)
{
    return (uint64_t)json_integer_value(
        json_object_get(control->bundling.epochs, name));
}

/* Words of all releases; with `before` the stricter of both. malloc'd. */
static struct bundle_word *words_read(const struct control *control,
                                      const struct world *before,
                                      size_t *ret_count)
{
    size_t room = json_object_size(control->world.releases) +
                  json_object_size(control->bundling.epochs);
    struct bundle_word *words = calloc(room + 1, sizeof(*words));
    size_t count = 0;
    const char *name;
    json_t *entry;

    if (words == NULL) {
        return NULL;
    }
    /* Who was never closed has no epoch, and is not listed. */
    json_object_foreach(control->bundling.epochs, name, entry) {
        uint32_t word = word_of(&control->world, name);
        uint32_t old = before != NULL ? word_of(before, name) : word;

        words[count++] = (struct bundle_word) {
            .scope = gray_hash_scope(name, strlen(name)),
            .epoch = (uint64_t)json_integer_value(entry),
            .word = old > word ? old : word,
        };
    }
    *ret_count = count;
    return words;
}

/* ---- what was made last --------------------------------------------------------- */

static void note_path(const struct control *control, char path[GRAYD_PATH_MAX],
                      const char *suffix)
{
    snprintf(path, GRAYD_PATH_MAX, "%s/" NOTE_FILE "%s",
             control->grayd->options.state, suffix);
}

static void note_read(struct control *control)
{
    char path[GRAYD_PATH_MAX], digest[BUNDLE_SHA256];
    unsigned long long made = 0;
    FILE *file;

    note_path(control, path, "");
    file = fopen(path, "re");
    if (file == NULL) {
        return;
    }
    if (fscanf(file, "%20llu %64[0-9a-f]", &made, digest) == 2 &&
        strlen(digest) == BUNDLE_SHA256 - 1) {
        control->bundling.made = made;
        memcpy(control->bundling.digest, digest, sizeof(digest));
    }
    fclose(file);
}

/* Written and synced before anybody is given the bundle. */
static int note_write(struct control *control, const struct bundle *bundle)
{
    char path[GRAYD_PATH_MAX], aside[GRAYD_PATH_MAX];
    int fd, error = 0;

    note_path(control, path, "");
    note_path(control, aside, ".new");
    fd = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
              0600);
    if (fd < 0) {
        return -errno;
    }
    if (dprintf(fd, "%llu %s\n", (unsigned long long)bundle->sequence,
                bundle->digest) < 0 ||
        fdatasync(fd) != 0) {
        error = -errno;
    }
    close(fd);
    if (error == 0 && rename(aside, path) != 0) {
        error = -errno;
    }
    return error;
}

/* ---- making --------------------------------------------------------------------- */

static struct bundle *make(struct control *control, uint64_t sequence,
                           const struct world *before)
{
    struct bundling *bundling = &control->bundling;
    size_t count = 0;
    struct bundle_word *words = words_read(control, before, &count);
    struct bundle *bundle =
        words != NULL
            ? bundle_make(control->signer, control->grayd->instance, sequence,
                          bundling->epoch, &bundling->files, words, count)
            : NULL;

    free(words);
    return bundle;
}

/* Takes the bundle over. */
static int put(struct control *control, struct bundle *bundle)
{
    struct bundling *bundling = &control->bundling;
    int error = note_write(control, bundle);

    if (error != 0) {
        grayd_log(LOG_LEVEL_ERROR, "no-bundle",
                  "The number of a bundle cannot be noted: %s.",
                  strerror(-error));
        bundle_release(bundle);
        return error;
    }
    bundling->made = bundle->sequence;
    memcpy(bundling->digest, bundle->digest, sizeof(bundling->digest));
    hosts_put(control->grayd->hosts, bundle);
    return 0;
}

/* A number of its own, by a change of grayd itself. */
static void take_number(struct control *control)
{
    struct change change;
    struct reply reply = { 0 };

    if (change_begin(&change, control, NULL, &reply) != 0) {
        reply_clear(&reply);
        return;
    }
    change.actor = change.via = "grayd";
    change.action = "bundle";
    change.triggered_by = "POLICY";
    change.renumber = true;
    reply_json(&reply, 200, json_object());
    change_commit(&change, &reply);
    change_end(&change);
    reply_clear(&reply);
}

void bundling_number(struct control *control)
{
    const struct bundling *bundling = &control->bundling;

    if (control->grayd->hosts != NULL &&
        hosts_known(control->grayd->hosts) > 0 &&
        bundling->made == bundling->sequence &&
        !atomic_load(&control->grayd->store_failed)) {
        take_number(control);
    }
}

static bool is_same(const struct bundling *bundling,
                    const struct bundle *bundle)
{
    return strcmp(bundling->digest, bundle->digest) == 0;
}

/* 0; 1: it needs a number of its own; negative: it could not be made. */
static int make_newest(struct control *control)
{
    struct bundling *bundling = &control->bundling;
    struct gray_problem problem = { 0 };
    struct registry_newest newest;
    struct gathered files;
    struct bundle *bundle;
    int error = gather(&files, control->grayd->options.runtime,
                       &bundling->files, &problem);

    if (error != 0) {
        grayd_log(LOG_LEVEL_ERROR, problem.code, "%s", problem.sentence);
        return error;
    }
    gathered_clear(&bundling->files);
    bundling->files = files;
    bundle = make(control, bundling->sequence, NULL);
    if (bundle == NULL) {
        return -ENOMEM;
    }
    hosts_newest(control->grayd->hosts, &newest);
    if (is_same(bundling, bundle) && newest.sequence != 0) {
        bundle_release(bundle); /* that one is out already */
        return 0;
    }
    /* Where there is no host nobody has the other one. */
    if (bundling->made == bundling->sequence && !is_same(bundling, bundle) &&
        hosts_known(control->grayd->hosts) > 0) {
        bundle_release(bundle);
        return 1;
    }
    return put(control, bundle);
}

void bundling_follow(struct control *control)
{
    struct bundling *bundling = &control->bundling;
    int64_t now = grayd_now();
    int status;

    if (control->grayd->hosts == NULL || !bundling->behind ||
        control->policy_behind || control->words_behind ||
        control->folder_lost ||
        !is_due(now, bundling->next_try, RETRY_MS)) {
        return;
    }
    bundling->behind = false;
    status = make_newest(control);
    if (status == 1 && !atomic_load(&control->grayd->store_failed)) {
        take_number(control);
        status = make_newest(control);
    }
    if (status != 0) {
        bundling->behind = true;
        bundling->next_try = now + RETRY_MS;
    }
}

/* ---- a change --------------------------------------------------------------------- */

static int put_epoch(struct change *change, const char *name, uint64_t epoch)
{
    char key[STORE_NAME_MAX + 1];

    snprintf(key, sizeof(key), "word/%s", name);
    return change_put(change, STORE_SETTING, key,
                      json_pack("{s:I}", "epoch", (json_int_t)epoch)) |
           json_object_set_new(change->epochs, name,
                               json_integer((json_int_t)epoch));
}

/* Epochs of words that differ; those that tighten have the first number. */
static int put_epochs(struct change *change)
{
    const struct world *before = &change->control->world;
    const struct world *after = &change->world;
    uint64_t first = change->control->bundling.sequence + 1;
    const char *name;
    json_t *entry;
    int error = 0;

    json_object_foreach(after->releases, name, entry) {
        uint32_t old = word_of(before, name), word = word_of(after, name);

        (void)entry;
        change->tightens |= word > old;
        if (word != old) {
            error |= put_epoch(change, name, word > old ? first : first + 1);
            change->epoch = word < old         ? first + 1
                            : change->epoch > first ? change->epoch
                                                    : first;
        }
    }
    return error;
}

int bundling_put(struct change *change, bool publish)
{
    const struct bundling *bundling = &change->control->bundling;

    if (change->control->grayd->hosts == NULL) {
        return 0;
    }
    change->epochs = json_object();
    change->epoch = bundling->epoch;
    if (change->epochs == NULL || put_epochs(change) != 0) {
        return -1;
    }
    if (!publish && !change->renumber &&
        json_object_size(change->epochs) == 0) {
        return 0;
    }
    change->sequence = bundling->sequence + 2;
    return change_put(change, STORE_SETTING, "bundle",
                      json_pack("{s:I,s:I}", "sequence",
                                (json_int_t)change->sequence, "epoch",
                                (json_int_t)change->epoch));
}

void bundling_committed(struct change *change, const struct world *before)
{
    struct control *control = change->control;
    struct bundling *bundling = &control->bundling;
    struct bundle *bundle;

    if (change->sequence == 0) {
        return;
    }
    json_object_update(bundling->epochs, change->epochs);
    bundling->epoch = change->epoch;
    bundling->sequence = change->sequence;
    bundling->behind = true;
    bundling->next_try = 0;
    if (!change->tightens) {
        return;
    }
    /* With the files of before: what is in force where nothing was yet is
     * nothing, too. */
    bundle = make(control, bundling->sequence - 1, before);
    if (bundle == NULL || put(control, bundle) != 0) {
        grayd_log(LOG_LEVEL_ERROR, "no-bundle",
                  "words that tighten wait for the next bundle");
    }
    failpoint("bundle-tightened");
}

/* ---- open and close ---------------------------------------------------------------- */

static int read_setting(void *context, const struct store_item *item)
{
    struct bundling *bundling = context;
    json_t *value = json_loadb(item->text, item->length, 0, NULL);
    json_t *epoch = json_object_get(value, "epoch");

    if (strncmp(item->name, "word/", 5) == 0) {
        json_object_set(bundling->epochs, item->name + 5, epoch);
    } else if (strcmp(item->name, "bundle") == 0) {
        bundling->sequence = (uint64_t)json_integer_value(
            json_object_get(value, "sequence"));
        bundling->epoch = (uint64_t)json_integer_value(epoch);
    }
    json_decref(value);
    return 0;
}

static int read_host(void *context, const struct store_item *item)
{
    return hosts_keep(context, item->name, true) == 0 ? 0 : 1;
}

int bundling_open(struct control *control, struct gray_problem *ret_problem)
{
    struct hosts_options options = {
        .server = control->grayd->instance,
        .state = control->grayd->options.state,
    };
    struct bundling *bundling = &control->bundling;
    int error;

    bundling->epochs = json_object();
    bundling->behind = true;
    bundling->sequence = 1;
    if (bundling->epochs == NULL) {
        return -ENOMEM;
    }
    note_read(control);
    error = hosts_open(&control->grayd->hosts, &options, ret_problem);
    error = error != 0
                ? error
                : store_read_items(control->reader, STORE_SETTING, 0, NULL,
                                   SIZE_MAX, read_setting, bundling,
                                   ret_problem);
    return error != 0 ? error
                      : store_read_items(control->reader, STORE_HOST, 0, NULL,
                                         SIZE_MAX, read_host,
                                         control->grayd->hosts, ret_problem);
}

void bundling_close(struct control *control)
{
    hosts_close(control->grayd->hosts);
    control->grayd->hosts = NULL;
    gathered_clear(&control->bundling.files);
    json_decref(control->bundling.epochs);
}
