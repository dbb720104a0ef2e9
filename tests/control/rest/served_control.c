/* SPDX-License-Identifier: Apache-2.0
 * served_control.c - a control thread that does as little as one can.
 *
 * Why: rest/ hands calls over and is told news; here both ends are watched.
 * Read next: served.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "control/change/counting.h"
#include "tests/control/rest/served.h"

static struct served_job *take_job(struct control *control)
{
    struct served_job *job;

    pthread_mutex_lock(&control->lock);
    while (control->first == NULL && !control->stopping) {
        pthread_cond_wait(&control->wake, &control->lock);
    }
    job = control->first;
    if (job != NULL) {
        control->first = job->next;
        if (control->first == NULL) {
            control->last = &control->first;
        }
    }
    pthread_mutex_unlock(&control->lock);
    return job;
}

static void *run(void *context)
{
    struct control *control = context;
    struct served_job *job;

    while ((job = take_job(control)) != NULL) {
        struct reply reply = {0};

        route_find_handler(job->call->route->number)(&control->hand, job->call,
                                                     &reply);
        job->done(job->context, &reply);
        free(job);
    }
    return NULL;
}

/* Nobody drops here. */
bool counting_is_wanted(const struct call *call)
{
    (void)call;
    return false;
}

void counting_ahead(struct hand *hand, struct call *call)
{
    (void)hand;
    (void)call;
}

void counting_free(struct counted *counted)
{
    (void)counted;
}

bool control_submit(struct grayd *grayd, const struct call *call,
                    control_done *done, void *context)
{
    struct control *control = grayd->control;
    struct served_job *job = calloc(1, sizeof(*job));

    if (job == NULL) {
        return false;
    }
    *job = (struct served_job){call, done, context, NULL};
    pthread_mutex_lock(&control->lock);
    *control->last = job;
    control->last = &job->next;
    pthread_cond_broadcast(&control->wake);
    pthread_mutex_unlock(&control->lock);
    return true;
}

void control_record_denied(struct grayd *grayd, const struct call *call,
                           enum problem_number problem)
{
    struct control *control = grayd->control;

    pthread_mutex_lock(&control->lock);
    control->denied++;
    snprintf(control->last_denied, sizeof(control->last_denied), "%s %s %d",
             call->route->name, call->identity.name, (int)problem);
    pthread_mutex_unlock(&control->lock);
}

void control_listen(struct grayd *grayd, control_listener *listener,
                    void *context)
{
    grayd->control->listener = listener;
    grayd->control->listener_context = context;
}

static void fail(const char *what, const struct gray_problem *problem)
{
    fprintf(stderr, "%s: %s\n", what, problem->sentence);
    abort();
}

void served_record(struct control *control, const char *action,
                   const char *resource, const char *outcome)
{
    struct audit_entry entry = {.at = grayd_now(),
                                .actor = "test",
                                .action = action,
                                .resource = resource,
                                .outcome = outcome};
    struct store_audit audit = {0};
    struct store_batch batch = {
        .at = entry.at, .audits = &audit, .audit_count = 1};
    struct gray_problem problem;
    uint64_t revision;

    pthread_mutex_lock(&control->commits);
    audit.sequence = atomic_load(&control->grayd->audit_sequence) + 1;
    audit.text = audit_record_text(audit.sequence, &entry, &audit.length);
    if (audit.text == NULL ||
        store_commit(control->store, &batch, &revision, &problem) != 0) {
        fail("commit", &problem);
    }
    free((void *)(uintptr_t)audit.text);
    atomic_store(&control->grayd->audit_sequence, audit.sequence);
    if (control->listener != NULL) {
        control->listener(control->listener_context, audit.sequence, 0);
    }
    pthread_mutex_unlock(&control->commits);
}

static void put(struct control *control, const char *id, const char *text)
{
    struct store_put item = {STORE_TOKEN, id, text,
                             text != NULL ? strlen(text) : 0};
    struct store_batch batch = {
        .at = grayd_now(), .puts = &item, .put_count = 1};
    struct gray_problem problem;
    uint64_t revision;

    pthread_mutex_lock(&control->commits);
    batch.expected_revision = atomic_load(&control->grayd->revision);
    if (store_commit(control->store, &batch, &revision, &problem) != 0) {
        fail("token", &problem);
    }
    atomic_store(&control->grayd->revision, revision);
    atomic_store(&control->grayd->revision_in_force, revision);
    pthread_mutex_unlock(&control->commits);
}

void served_token(struct control *control, enum role role, const char *scope,
                  int64_t expires, char ret_text[TOKEN_TEXT_MAX])
{
    struct identity wanted = {.role = role, .scope_count = 1};
    struct gray_problem problem;
    uint8_t random[40];
    json_t *item = NULL;
    char *text;

    snprintf(wanted.name, sizeof(wanted.name), "%s-%s", role_word(role),
             scope[0] != '\0' ? scope : "all");
    snprintf(wanted.scopes[0], sizeof(wanted.scopes[0]), "%s", scope);
    wanted.expires = expires;
    if (getrandom(random, sizeof(random), 0) != sizeof(random) ||
        token_make(&wanted, grayd_now(), "test", random, ret_text, &item,
                   &problem) != 0) {
        fail("token", &problem);
    }
    text = json_dumps(item, JSON_COMPACT);
    put(control, json_string_value(json_object_get(item, "id")), text);
    free(text);
    json_decref(item);
}

void served_revoke(struct control *control, const char *id)
{
    put(control, id, NULL);
    served_record(control, "token-revoke", "", "done");
}

int served_control_start(struct grayd *grayd, struct control *control)
{
    struct gray_problem problem;
    char path[GRAYD_PATH_MAX];

    control->grayd = grayd;
    control->last = &control->first;
    control->hand.grayd = grayd;
    grayd->control = control;
    pthread_mutex_init(&control->lock, NULL);
    pthread_mutex_init(&control->commits, NULL);
    pthread_cond_init(&control->wake, NULL);
    if (store_open(&control->store, grayd_store_path(grayd, path),
                   &problem) != 0) {
        fail("store", &problem);
    }
    if (store_reader_open(&control->hand.reader, path, &problem) != 0) {
        fail("reader", &problem);
    }
    return pthread_create(&control->thread, NULL, run, control);
}

void served_control_stop(struct control *control)
{
    pthread_mutex_lock(&control->lock);
    control->stopping = true;
    control->held = false;
    pthread_cond_broadcast(&control->wake);
    pthread_mutex_unlock(&control->lock);
    pthread_join(control->thread, NULL);
    store_reader_close(control->hand.reader);
    store_close(control->store);
    pthread_cond_destroy(&control->wake);
    pthread_mutex_destroy(&control->commits);
    pthread_mutex_destroy(&control->lock);
}
