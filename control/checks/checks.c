/* SPDX-License-Identifier: Apache-2.0
 * checks.c - the thread that starts runs and takes what they found.
 *
 * Why: see checks.h.  Four times a second it looks: has a run ended, is a look
 * due, does somebody ask, has a sweep's time come.  At most two runs go on at
 * one time, and one of a Check; what waits, waits.
 * Read next: internal.h, pending.h, tell.c (what others are told).
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "control/checks/internal.h"
#include "control/grayd.h"

#define ROUND_MS 250
#define WHY_SIZE 400u

/* ---- what a run found ------------------------------------------------------------ */

static struct pending_looks looks_of(const struct entry *entry)
{
    return (struct pending_looks){entry->check.recheck,
                                  entry->check.recheck_count};
}

/* What somebody explained stays so as long as the difference does. */
static void explain_all(struct entry *entry)
{
    json_t *pending = json_object_get(entry->kept, "pending"), *how;
    const char *id;

    json_object_foreach(entry->explained, id, how) {
        const char *by = json_string_value(json_object_get(how, "by"));
        const char *why = json_string_value(json_object_get(how, "reason"));

        pending_explain(pending, id, by != NULL ? by : "",
                        why != NULL ? why : "",
                        (int64_t)json_integer_value(
                            json_object_get(how, "at")));
    }
}

static void set_number(json_t *object, const char *key, int64_t value)
{
    json_object_set_new(object, key, json_integer((json_int_t)value));
}

static void take(struct entry *entry, const struct checks_run *run,
                 json_t *report, const char *why, int64_t now)
{
    struct pending_looks looks = looks_of(entry);
    json_t *kept = entry->kept;

    set_number(kept, "done", (int64_t)run->number);
    entry->dirty = true;
    if (report == NULL) {
        json_object_set_new(kept, "failed",
                            json_pack("{s:I,s:s}", "at", (json_int_t)now,
                                      "sentence", why));
        grayd_log(LOG_LEVEL_WARN, "check-failed", "Check %s: %s", entry->name,
                  why);
        return;
    }
    pending_take(json_object_get(kept, "pending"), report, &looks, now);
    explain_all(entry);
    json_object_set_new(kept, "failed", json_null());
    if (run->why != RUN_LOOK) {
        json_t *brief = json_copy(report);

        json_object_del(brief, "differences"); /* they are open, each once */
        set_number(brief, "ms", now - run->began);
        json_object_set_new(kept, "last", brief);
        set_number(kept, "goodSince", run->began);
    }
    if (run->why == RUN_SWEEP) {
        set_number(kept, "swept", run->until);
    }
}

/* ---- what is to be run -------------------------------------------------------------- */

/* From where the last sweep ended, less the overlap; the first one from the
 * release's beginning, which the run itself knows (see ../recon/worker.c). */
static int64_t sweep_from(const struct entry *entry)
{
    const json_t *swept = json_object_get(entry->kept, "swept");

    return json_is_integer(swept)
               ? (int64_t)json_integer_value(swept) - entry->check.overlap
               : 0;
}

/* The most urgent thing of one Check: true, with its window. */
static bool wanted(struct entry *entry, int64_t now, struct checks_run *run,
                   int64_t *ret_from, int64_t *ret_until)
{
    const json_t *pending = json_object_get(entry->kept, "pending");

    *ret_until = now;
    if (entry->asked) {
        run->why = entry->asked_own ? RUN_ASKED : RUN_SWEEP;
        run->number = entry->asked_number;
        *ret_from = entry->asked_own ? entry->asked_from : sweep_from(entry);
        *ret_until = entry->asked_own && entry->asked_until > 0
                         ? entry->asked_until
                         : now;
        return true;
    }
    run->number = (uint64_t)json_integer_value(
                      json_object_get(entry->kept, "run")) +
                  1;
    if (pending_due(pending) <= now &&
        pending_window(pending, now, ret_from, ret_until)) {
        run->why = RUN_LOOK;
        return true;
    }
    if (entry->check.every > 0 && now >= entry->next_sweep) {
        run->why = RUN_SWEEP;
        *ret_from = sweep_from(entry);
        return true;
    }
    return false;
}

static void start(struct checks *checks, struct entry *entry, int64_t now)
{
    struct checks_run run = {.out = -1};
    int64_t from = 0, until = now;
    char why[WHY_SIZE];

    if (!wanted(entry, now, &run, &from, &until)) {
        return;
    }
    set_number(entry->kept, "run", (int64_t)run.number);
    entry->asked = false;
    if (run.why != RUN_LOOK) {
        entry->next_sweep = now + entry->check.every;
    }
    if (child_start(checks, entry, from, until, &run, why, sizeof(why)) != 0) {
        take(entry, &run, NULL, why, now);
        return;
    }
    entry->run = run;
}

/* ---- documents ----------------------------------------------------------------------- */

static struct entry *find(struct checks *checks, const char *name)
{
    struct entry *entry = checks->entries;

    while (entry != NULL && strcmp(entry->name, name) != 0) {
        entry = entry->next;
    }
    return entry;
}

static void entry_free(struct entry *entry)
{
    child_kill(&entry->run);
    check_free(&entry->check);
    json_decref(entry->kept);
    json_decref(entry->explained);
    free(entry);
}

static void put(struct checks *checks, const char *name, json_t *tree,
                json_t *explained)
{
    struct entry *entry = find(checks, name);
    struct check check;
    char why[WHY_SIZE] = "";

    if (check_read(&check, tree, why, sizeof(why)) != 0) {
        grayd_log(LOG_LEVEL_ERROR, "check-unreadable", "Check %s: %s", name,
                  why);
        return;
    }
    if (entry == NULL) {
        entry = calloc(1, sizeof(*entry));
        if (entry == NULL || (entry->kept = keep_read(checks, name)) == NULL) {
            free(entry);
            check_free(&check);
            return;
        }
        snprintf(entry->name, sizeof(entry->name), "%s", name);
        entry->run.out = -1;
        entry->next = checks->entries;
        checks->entries = entry;
    } else if (!json_equal(entry->check.tree, tree)) {
        child_kill(&entry->run); /* it asks what nobody asks any more */
        entry->next_sweep = 0;
    }
    check_free(&entry->check);
    entry->check = check;
    entry->gone = false;
    json_decref(entry->explained);
    entry->explained = json_incref(explained);
    explain_all(entry);
}

void checks_set(struct checks *checks, const json_t *documents,
                const json_t *explained)
{
    const char *name;
    json_t *tree;

    pthread_mutex_lock(&checks->lock);
    for (struct entry *e = checks->entries; e != NULL; e = e->next) {
        e->gone = true;
    }
    json_object_foreach((json_t *)(uintptr_t)documents, name, tree) {
        put(checks, name, tree, json_object_get(explained, name));
    }
    for (struct entry **place = &checks->entries; *place != NULL;) {
        struct entry *entry = *place;

        if (entry->gone) {
            *place = entry->next;
            keep_forget(checks, entry->name);
            entry_free(entry);
        } else {
            place = &entry->next;
        }
    }
    pthread_cond_signal(&checks->wake);
    pthread_mutex_unlock(&checks->lock);
}

uint64_t checks_run(struct checks *checks, const char *name, bool own,
                    int64_t from, int64_t until)
{
    struct entry *entry;
    uint64_t number = 0;

    pthread_mutex_lock(&checks->lock);
    entry = find(checks, name);
    if (entry != NULL) {
        number = (uint64_t)json_integer_value(
                     json_object_get(entry->kept, "run")) +
                 1;
        if (entry->asked && entry->asked_own && own) { /* one run for both */
            from = from < entry->asked_from ? from : entry->asked_from;
            until = until == 0 || entry->asked_until == 0 ? 0
                    : until > entry->asked_until          ? until
                                                          : entry->asked_until;
        }
        own = own || (entry->asked && entry->asked_own);
        entry->asked = true;
        entry->asked_own = own;
        entry->asked_from = from;
        entry->asked_until = until;
        entry->asked_number = number;
        pthread_cond_signal(&checks->wake);
    }
    pthread_mutex_unlock(&checks->lock);
    return number;
}

/* ---- the thread ------------------------------------------------------------------------ */

static void round_of(struct checks *checks)
{
    int64_t now = checks->options.now_ms();
    unsigned running = 0;

    for (struct entry *e = checks->entries; e != NULL; e = e->next) {
        json_t *report = NULL;
        char why[WHY_SIZE] = "";

        if (e->run.pid == 0) {
            continue;
        }
        struct checks_run run = e->run;
        if (child_ended(&e->run, now, &report, why, sizeof(why)) == 0) {
            take(e, &run, report, why, now);
            json_decref(report);
        } else {
            running++;
        }
    }
    for (struct entry *e = checks->entries;
         e != NULL && running < CHECKS_RUNNING_MAX; e = e->next) {
        if (e->run.pid == 0) {
            start(checks, e, now);
            running += e->run.pid != 0;
        }
    }
}

/* One that changed, as it is now: written without the lock. */
static json_t *take_dirty(struct checks *checks, char ret_name[GRAY_NAME_MAX + 1])
{
    for (struct entry *e = checks->entries; e != NULL; e = e->next) {
        if (e->dirty) {
            e->dirty = false;
            snprintf(ret_name, GRAY_NAME_MAX + 1, "%s", e->name);
            return json_deep_copy(e->kept);
        }
    }
    return NULL;
}

static void write_all(struct checks *checks)
{
    char name[GRAY_NAME_MAX + 1];
    json_t *kept;

    while ((kept = take_dirty(checks, name)) != NULL) {
        pthread_mutex_unlock(&checks->lock);
        int error = keep_write(checks, name, kept);
        json_decref(kept);
        pthread_mutex_lock(&checks->lock);
        if (error != 0) {
            struct entry *entry = find(checks, name);

            grayd_log(LOG_LEVEL_ERROR, "check-not-kept",
                      "What Check %s found cannot be kept: %s", name,
                      strerror(-error));
            if (entry != NULL) {
                entry->dirty = true; /* at the next round */
            }
            return;
        }
    }
}

static void *checks_main(void *context)
{
    struct checks *checks = context;
    struct timespec until;

    pthread_setname_np(pthread_self(), "checks");
    pthread_mutex_lock(&checks->lock);
    while (!checks->stopping) {
        round_of(checks);
        write_all(checks);
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += ROUND_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        pthread_cond_timedwait(&checks->wake, &checks->lock, &until);
    }
    pthread_mutex_unlock(&checks->lock);
    return NULL;
}

/* ---- open, close -------------------------------------------------------------------- */

static bool find_program(struct checks *checks)
{
    ssize_t length;
    char *slash;

    if (checks->options.program != NULL) {
        return snprintf(checks->program, sizeof(checks->program), "%s",
                        checks->options.program) <
               (int)sizeof(checks->program);
    }
    length = readlink("/proc/self/exe", checks->program,
                      sizeof(checks->program) - sizeof(CHECKS_PROGRAM) - 1);
    if (length <= 0) {
        return false;
    }
    checks->program[length] = '\0';
    slash = strrchr(checks->program, '/');
    if (slash == NULL ||
        (size_t)(slash + 1 - checks->program) + sizeof(CHECKS_PROGRAM) >
            sizeof(checks->program)) {
        return false;
    }
    strcpy(slash + 1, CHECKS_PROGRAM);
    return true;
}

int checks_open(struct checks **ret_checks,
                const struct checks_options *options,
                struct gray_problem *ret_problem)
{
    struct checks *checks = calloc(1, sizeof(*checks));
    pthread_condattr_t clock;
    int error = ENOMEM;

    if (checks != NULL) {
        checks->options = *options;
        pthread_condattr_init(&clock);
        pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
        pthread_mutex_init(&checks->lock, NULL);
        pthread_cond_init(&checks->wake, &clock);
        pthread_condattr_destroy(&clock);
        error = snprintf(checks->folder, sizeof(checks->folder),
                         "%s/" CHECKS_FOLDER, options->state) >=
                            (int)sizeof(checks->folder) ||
                        !find_program(checks)
                    ? ENAMETOOLONG
                : mkdir(checks->folder, 0700) != 0 && errno != EEXIST ? errno
                                                                      : 0;
        error = error != 0 ? error
                           : pthread_create(&checks->thread, NULL,
                                            checks_main, checks);
    }
    if (error != 0) {
        free(checks);
        ret_problem->code = "checks";
        snprintf(ret_problem->sentence, sizeof(ret_problem->sentence),
                 "Checks cannot be run: %s.", strerror(error));
        return -error;
    }
    *ret_checks = checks;
    return 0;
}

void checks_close(struct checks *checks)
{
    if (checks == NULL) {
        return;
    }
    pthread_mutex_lock(&checks->lock);
    checks->stopping = true;
    pthread_cond_signal(&checks->wake);
    pthread_mutex_unlock(&checks->lock);
    pthread_join(checks->thread, NULL);
    pthread_mutex_lock(&checks->lock);
    write_all(checks);
    pthread_mutex_unlock(&checks->lock);
    while (checks->entries != NULL) {
        struct entry *entry = checks->entries;

        checks->entries = entry->next;
        entry_free(entry);
    }
    pthread_mutex_destroy(&checks->lock);
    pthread_cond_destroy(&checks->wake);
    free(checks);
}
