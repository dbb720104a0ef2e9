/* SPDX-License-Identifier: Apache-2.0
 * start.c - from what a dead grayd left to one that runs, and back.
 *
 * Why: a start is a recovery: the store says what was acknowledged, the folder
 * what is in force, the host what people did meanwhile. In that order: read
 * the store, take over what was set on the host, then publish what is
 * missing. The first start makes the one token that there is.
 * Read next: control.c, in_force.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/change/internal.h"
#include "control/checks/checks.h"
#include "control/marks/marks.h"
#include "runtime/group.h"

#define FIRST_TOKEN_FILE "first-token"
#define FIRST_TOKEN_DAYS 30

/* ---- the audit so far -------------------------------------------------------- */

static int count_record(void *context, const struct store_record *record)
{
    struct control *control = context;

    audit_tree_append(&control->tree, record->text, record->length);
    memcpy(control->chain, record->hash, AUDIT_HASH);
    control->sequence = record->sequence;
    return 0;
}

static int read_audit(struct control *control, const char *instance,
                      struct gray_problem *ret_problem)
{
    char origin[64];
    int error = store_read_audit(control->reader, 1, SIZE_MAX, count_record,
                                 control, ret_problem);

    snprintf(origin, sizeof(origin), "graylane/%s", instance);
    return error != 0 ? error
                      : audit_signer_open(&control->signer,
                                          control->grayd->options.state,
                                          origin, ret_problem);
}

/* ---- the first token ----------------------------------------------------------- */

static int see_item(void *context, const struct store_item *item)
{
    (void)item;
    *(bool *)context = true;
    return 1;
}

/* Written whole and synced before its hash is committed: a token that nobody
 * knows is worse than none. */
static int write_token(const char *state, const char *text)
{
    char path[4096], aside[4200];
    int fd, error = 0;

    snprintf(path, sizeof(path), "%s/" FIRST_TOKEN_FILE, state);
    snprintf(aside, sizeof(aside), "%s.new", path);
    unlink(aside);
    fd = open(aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
              0600);
    if (fd < 0) {
        return -errno;
    }
    if (dprintf(fd, "%s\n", text) < 0 || fchmod(fd, 0600) != 0 ||
        fsync(fd) != 0 || rename(aside, path) != 0) {
        error = -errno;
    }
    close(fd);
    return error;
}

int first_token(struct control *control, struct gray_problem *ret_problem)
{
    struct identity admin = {
        .name = "first-admin",
        .role = ROLE_ADMIN,
        .expires = grayd_now() + FIRST_TOKEN_DAYS * INT64_C(86400000),
        .scope_count = 1, /* "": every name */
    };
    struct change change;
    struct reply reply = { 0 };
    char text[TOKEN_TEXT_MAX];
    uint8_t random[40];
    json_t *item = NULL;
    bool have = false;
    int error = store_read_items(control->reader, STORE_TOKEN, 0, NULL, 1,
                                 see_item, &have, ret_problem);

    /* Revision 0: a store in which all tokens were revoked gets no new one. */
    if (error != 0 || have || control->world.revision > 0) {
        return error;
    }
    if (getrandom(random, sizeof(random), 0) != sizeof(random) ||
        token_make(&admin, grayd_now(), "grayd", random, text, &item,
                   ret_problem) != 0) {
        return -EIO;
    }
    failpoint("token-made");
    error = write_token(control->grayd->options.state, text);
    failpoint("token-written");
    explicit_bzero(text, sizeof(text));
    if (error != 0 || change_begin(&change, control, NULL, &reply) != 0) {
        ret_problem->code = "first-token";
        snprintf(ret_problem->sentence, sizeof(ret_problem->sentence),
                 "The first token cannot be written to %.80s: %s.",
                 control->grayd->options.state, strerror(-error));
        json_decref(item);
        reply_clear(&reply);
        return error != 0 ? error : -ENOMEM;
    }
    change.actor = "grayd";
    change.via = "grayd";
    change.action = "token-make";
    change.triggered_by = "POLICY";
    change.after = token_public(item);
    change_put(&change, STORE_TOKEN,
               json_string_value(json_object_get(item, "id")), item);
    reply_json(&reply, 200, json_object());
    change_commit(&change, &reply);
    change_end(&change);
    error = reply_is_problem(&reply) ? -EIO : 0;
    reply_clear(&reply);
    return error;
}

/* ---- the folder ------------------------------------------------------------------ */

static int keep_bypass(void *context, const struct store_item *item)
{
    json_t *value = json_loadb(item->text, item->length, 0, NULL);

    *(bool *)context = json_is_true(json_object_get(value, "on"));
    json_decref(value);
    return 1;
}

/* (gid_t)-1 where nobody knows; main() has refused a name that is none. */
static gid_t group_of(const struct grayd_options *options)
{
    const struct group *entry =
        options->group != NULL ? getgrnam(options->group) : NULL;

    return entry != NULL ? entry->gr_gid : gray_keys_group(options->runtime);
}

static int find_bypass(void *context, const struct store_pending *effect)
{
    *(bool *)context |= strcmp(effect->kind, EFFECT_BYPASS) == 0;
    return 0;
}

/* A fresh folder is told what held before; one that lived on tells us, but for
 * what was committed and had not reached it. */
static int recover_folder(struct control *control,
                          struct gray_problem *ret_problem)
{
    struct grayd *grayd = control->grayd;
    bool bypass = false;
    bool fresh = publisher_revision(control->publisher) == 0;
    bool pending = false, stranger;
    char why[300];
    int error = store_read_item(control->reader, STORE_SETTING, "bypass", 0,
                                keep_bypass, &bypass, ret_problem);

    error = error < 0 ? error
                      : store_read_pending(control->reader, find_bypass,
                                           &pending, ret_problem);
    if (error < 0) {
        return error;
    }
    atomic_store(&grayd->bypass, bypass);
    if ((fresh && bypass) || pending) {
        publisher_bypass(control->publisher, bypass, ret_problem);
    }
    if (!fresh) {
        in_force_adopt(control, grayd_now());
    }
    failpoint("start-adopted");
    schedule_resume(control, grayd_now());
    /* A new store, beside a folder that lives on: what is in force there is
     * left so until something is applied. */
    stranger = json_object_size(control->world.documents) == 0 &&
               control->world.revision <
                   publisher_revision(control->publisher);
    if (stranger) {
        grayd_log(LOG_LEVEL_WARN, "policy-unknown",
                  "%s has a policy of revision %llu in force, and this store "
                  "has no documents: it stays in force until some are applied",
                  grayd->options.runtime,
                  (unsigned long long)publisher_revision(control->publisher));
    }
    /* What readers have turned to before it was committed is committed by the
     * first tick; until then it stays. */
    if (fresh || (!stranger && control->ahead.id[0] == '\0' &&
                  publisher_revision(control->publisher) !=
                      control->world.revision)) {
        in_force_publish(control, NULL, why);
    } else {
        in_force_known(control);
        in_force_words(control, why);
    }
    return 0;
}

/* ---- start and stop ---------------------------------------------------------------- */

static int make_state_folder(const char *path, struct gray_problem *ret_problem)
{
    if (mkdir(path, 0700) == 0 || errno == EEXIST) {
        return 0;
    }
    ret_problem->code = "bad-folder";
    snprintf(ret_problem->sentence, sizeof(ret_problem->sentence),
             "The state folder %.100s cannot be made: %s.", path,
             strerror(errno));
    return -errno;
}

/* Checks that cannot be run keep nobody from anything but from going on. */
static void open_checks(struct control *control)
{
    struct grayd *grayd = control->grayd;
    struct gray_problem problem = { 0 };
    struct checks_options options = {
        .state = grayd->options.state,
        .decision_log = grayd->options.decision_log,
        .now_ms = grayd_now,
    };

    if (checks_open(&grayd->checks, &options, &problem) != 0) {
        grayd->checks = NULL;
        grayd_log(LOG_LEVEL_ERROR, problem.code, "%s", problem.sentence);
    }
    control->checks_revision = UINT64_MAX; /* to be told */
    checking_follow(control);
}

/* A journal that cannot be opened keeps nobody from stopping a release: its
 * marks are UNKNOWN then, and nobody new comes in. */
static void open_marks(struct control *control)
{
    struct grayd *grayd = control->grayd;
    struct gray_problem problem = { 0 };
    struct marks_options options = {
        .state = grayd->options.state,
        .runtime = grayd->options.runtime,
        .redis = grayd->options.redis,
        .group = group_of(&grayd->options),
        .now_ms = grayd_now,
        .begun = json_object_size(control->world.releases) > 0,
    };

    if (marks_open(&grayd->marks, &options, &problem) != 0) {
        grayd->marks = NULL;
        grayd_log(LOG_LEVEL_ERROR, problem.code, "%s", problem.sentence);
    }
}

static int open_all(struct control *control, struct gray_problem *ret_problem)
{
    struct grayd *grayd = control->grayd;
    const struct grayd_options *options = &grayd->options;
    struct store_head head;
    char path[GRAYD_PATH_MAX];
    int error = make_state_folder(options->state, ret_problem);

    grayd_store_path(grayd, path);
    error = error != 0 ? error
                       : store_open(&control->store, path, ret_problem);
    error = error != 0 ? error
                       : store_reader_open(&control->reader, path,
                                           ret_problem);
    error = error != 0 ? error
                       : store_read_head(control->reader, &head, ret_problem);
    if (error != 0) {
        return error;
    }
    snprintf(grayd->instance, sizeof(grayd->instance), "%s", head.instance);
    control->hand.reader = control->reader;
    error = read_audit(control, head.instance, ret_problem);
    error = error != 0 ? error
                       : world_load(&control->world, control->reader,
                                    ret_problem);
    error = error != 0 ? error
                       : publisher_open(&control->publisher, options->runtime,
                                        options->state,
                                        group_of(options),
                                        options->allow_any_filesystem,
                                        ret_problem);
    failpoint("start-opened");
    if (error == 0) {
        open_marks(control);
        open_checks(control);
    }
    error = error != 0 ? error : bundling_open(control, ret_problem);
    error = error != 0 ? error : settler_start(&control->settler, control);
    error = error != 0 ? error : first_token(control, ret_problem);
    return error != 0 ? error : recover_folder(control, ret_problem);
}

static void control_free(struct control *control)
{
    checks_close(control->grayd->checks);
    control->grayd->checks = NULL;
    settler_stop(control->settler);
    if (control->grayd->marks != NULL) {
        marks_close(control->grayd->marks);
        control->grayd->marks = NULL;
    }
    bundling_close(control);
    free(control->revoked);
    free(control->scopes);
    outside_free(control);
    json_decref(control->counts);
    audit_signer_close(control->signer);
    publisher_close(control->publisher);
    store_reader_close(control->reader);
    store_close(control->store);
    gray_model_free(control->model);
    world_free(&control->world);
    free(control->done_effects);
    free(control->denied);
    pthread_mutex_destroy(&control->lock);
    pthread_cond_destroy(&control->wake);
    free(control);
}

int control_start(struct grayd *grayd, struct gray_problem *ret_problem)
{
    struct control *control = calloc(1, sizeof(*control));
    pthread_condattr_t clock;
    int error = 0;

    if (control == NULL) {
        return -ENOMEM;
    }
    control->grayd = grayd;
    control->hand.grayd = grayd;
    grayd->control = control;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_mutex_init(&control->lock, NULL);
    pthread_cond_init(&control->wake, &clock);
    pthread_condattr_destroy(&clock);
    control->counts = json_object();
    control->denied = calloc(CONTROL_DENIED_MAX, sizeof(*control->denied));
    error = control->denied == NULL ? -ENOMEM
                                    : open_all(control, ret_problem);
    if (error == 0) {
        bundling_follow(control);
        marking_follow(control);
        control_tell(control); /* while nobody else touches it */
    }
    error = error != 0 ? error : control_thread_start(control);
    if (error != 0) {
        grayd->control = NULL;
        control_free(control);
        return error;
    }
    return 0;
}

void control_stop(struct grayd *grayd)
{
    struct control *control = grayd->control;

    if (control == NULL) {
        return;
    }
    pthread_mutex_lock(&control->lock);
    control->stopping = true;
    pthread_cond_signal(&control->wake);
    pthread_mutex_unlock(&control->lock);
    pthread_join(control->thread, NULL);
    commit_housekeeping(control, grayd_now());
    grayd->control = NULL;
    control_free(control);
}
