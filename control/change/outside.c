/* SPDX-License-Identifier: Apache-2.0
 * outside.c - counts of marks: for whoever looks often, and for a forecast.
 *
 * Why: to count marks is to look at each of them, so what many look at (lists,
 * figures) is some seconds old.  A release at 100 % whose entities of before
 * are still open keeps the old version at work, and people ask until when.
 * Nothing says it but the pace at which they are settled: so their number is
 * looked at now and then, and whenever some are said to be, and kept in memory
 * alone.  When the last one is, that is an event of its own.
 * Read next: pace.c (the forecast), control/read/release_marks.c (who says it).
 */
#include <stdlib.h>
#include <string.h>

#include "control/change/internal.h"
#include "control/change/pace.h"
#include "control/marks/marks.h"

struct outside {
    struct outside *next;
    struct pace pace;
    bool converging; /* everyone is in, but for some that are open */
    char name[GRAY_NAME_MAX + 1];
};

void outside_free(struct control *control)
{
    while (control->outside != NULL) {
        struct outside *outside = control->outside;

        control->outside = outside->next;
        free(outside);
    }
}

/* Under the lock. NULL: there is none, and (`make`) no memory for one. */
static struct outside *outside_of(struct control *control, const char *name,
                                  bool make)
{
    struct outside *outside = control->outside;

    while (outside != NULL && strcmp(outside->name, name) != 0) {
        outside = outside->next;
    }
    if (outside == NULL && make && strlen(name) <= GRAY_NAME_MAX &&
        (outside = calloc(1, sizeof(*outside))) != NULL) {
        strcpy(outside->name, name);
        outside->next = control->outside;
        control->outside = outside;
    }
    return outside;
}

static bool is_watched(const struct world *world, const char *name,
                       struct release_status *ret_status)
{
    struct release_facts facts;

    return world_release(world, name, ret_status, &facts) &&
           facts.stickiness == GRAY_STICKY_ENTITY && ret_status->share > 0;
}

/* Whoever waits for the last one hears of it without asking. */
static void say_converged(struct control *control, const char *name,
                          int64_t now, uint64_t settled)
{
    char resource[STORE_NAME_MAX + 1];
    json_t *after = json_pack("{s:s,s:i,s:I}", "phase", "Healthy", "outOpen", 0,
                              "settled", (json_int_t)settled);

    snprintf(resource, sizeof(resource), "Release/%s", name);
    commit_records(control,
                   &(struct audit_entry) {
                       .at = now,
                       .actor = "grayd",
                       .via = "grayd",
                       .action = "converged",
                       .resource = resource,
                       .outcome = "done",
                       .triggered_by = "POLICY",
                       .event_type = "DEPLOYMENT_CONVERGED",
                       .after = after,
                   },
                   1);
    json_decref(after);
    control_tell(control);
}

/* A look, of a release that is watched. */
static void note(struct control *control, const char *name,
                 const struct release_status *status, struct pace_look look)
{
    bool promoted = status->state == RELEASE_PROMOTED, converged = false;
    struct outside *outside;

    pthread_mutex_lock(&control->lock);
    outside = outside_of(control, name, true);
    if (outside != NULL) {
        pace_add(&outside->pace, look);
        converged = promoted && outside->converging && look.open == 0;
        outside->converging = promoted && look.open > 0;
    }
    pthread_mutex_unlock(&control->lock);
    if (converged) {
        say_converged(control, name, look.at, look.settled);
    }
}

static uint64_t count_at(const json_t *counts, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(counts, key));
}

/* Entities that are open: the others were told the same, and are over. */
static uint64_t open_of(const json_t *counts)
{
    uint64_t out = count_at(counts, "out"), over = count_at(counts, "settled");

    return out > over ? out - over : 0;
}

/* Units that other hosts told count as those of this one do. */
static void add_hosts(struct grayd *grayd, const char *name, json_t *counts)
{
    static const char *const states[] = { "in", "out", "settled", "revoked",
                                          "hold" };
    struct told *told =
        grayd->hosts != NULL ? hosts_told(grayd->hosts) : NULL;
    json_t *there = told != NULL && counts != NULL
                        ? told_counts(told,
                                      gray_hash_scope(name, strlen(name)))
                        : NULL;
    bool some = false;

    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        json_int_t more =
            json_integer_value(json_object_get(there, states[i]));

        if (more != 0) {
            some = true;
            json_object_set_new(
                counts, states[i],
                json_integer(json_integer_value(
                                 json_object_get(counts, states[i])) +
                             more));
        }
    }
    if (some) {
        json_object_set(counts, "hosts", there);
        json_object_set(counts, "conflicts",
                        json_object_get(there, "conflicts"));
    }
    json_decref(there);
}

static void look(struct control *control, const char *name,
                 const struct release_status *status, int64_t now)
{
    struct gray_problem problem = { 0 };
    json_t *counts =
        marks_status(control->grayd->marks,
                     gray_hash_scope(name, strlen(name)), &problem);

    add_hosts(control->grayd, name, counts);
    /* A table that is being read back knows nothing yet. */
    if (counts != NULL &&
        strcmp(json_string_value(json_object_get(
                   json_object_get(counts, "table"), "state")),
               "ready") == 0) {
        note(control, name, status,
             (struct pace_look) { now, open_of(counts),
                                  count_at(counts, "settled") });
    }
    json_decref(counts);
}

void outside_tick(struct control *control, int64_t now)
{
    struct release_status status;
    const char *name;
    json_t *entry;

    if (control->grayd->marks == NULL ||
        !is_due(now, control->next_outside, CONTROL_OUTSIDE_MS)) {
        return;
    }
    json_object_foreach(control->world.releases, name, entry) {
        if (is_watched(&control->world, name, &status)) {
            look(control, name, &status, now);
        }
    }
    /* A thousandth of the time, however many there are. */
    control->next_outside = now + CONTROL_OUTSIDE_MS +
                            1000 * (grayd_now() - now);
}

/* What the last look saw; false: nobody looked yet. */
static bool last_look(struct control *control, const char *name,
                      struct pace_look *ret_look)
{
    const struct outside *outside;
    bool found;

    pthread_mutex_lock(&control->lock);
    outside = outside_of(control, name, false);
    found = outside != NULL && outside->pace.count > 0;
    if (found) {
        *ret_look = outside->pace.looks[outside->pace.count - 1];
    }
    pthread_mutex_unlock(&control->lock);
    return found;
}

void outside_before(struct control *control, const char *name)
{
    struct release_status status;
    struct pace_look last;

    if (is_watched(&control->world, name, &status) &&
        !last_look(control, name, &last)) {
        look(control, name, &status, grayd_now());
    }
}

void outside_settled(struct control *control, const char *name, uint64_t out)
{
    struct release_status status;
    struct pace_look last;

    if (out == 0 || !is_watched(&control->world, name, &status)) {
        return;
    }
    /* To count is to look at every mark: only for the last one. */
    if (!last_look(control, name, &last) || last.open <= out) {
        look(control, name, &status, grayd_now());
        return;
    }
    note(control, name, &status,
         (struct pace_look) { grayd_now(), last.open - out,
                              last.settled + out });
}

/* ---- counts, and how old they may be ------------------------------------------ */

static json_t *counted_before(struct control *control, const char *name,
                              int64_t least)
{
    json_t *kept, *counts = NULL;

    pthread_mutex_lock(&control->lock);
    kept = json_object_get(control->counts, name);
    if (json_integer_value(json_object_get(kept, "at")) >= least) {
        counts = json_deep_copy(json_object_get(kept, "counts"));
    }
    pthread_mutex_unlock(&control->lock);
    return counts;
}

json_t *control_marks(struct grayd *grayd, const char *name, int64_t age_ms)
{
    struct control *control = grayd->control;
    int64_t now = grayd_now();
    struct gray_problem problem = { 0 };
    json_t *counts;

    if (grayd->marks == NULL || control == NULL) {
        return NULL;
    }
    counts = age_ms > 0 ? counted_before(control, name, now - age_ms) : NULL;
    if (counts != NULL) {
        return counts;
    }
    counts = marks_status(grayd->marks, gray_hash_scope(name, strlen(name)),
                          &problem);
    add_hosts(grayd, name, counts);
    if (counts != NULL) {
        json_t *copy = json_deep_copy(counts);

        pthread_mutex_lock(&control->lock);
        json_object_set_new(control->counts, name,
                            json_pack("{s:I,s:o}", "at", (json_int_t)now,
                                      "counts", copy));
        pthread_mutex_unlock(&control->lock);
    }
    return counts;
}

uint64_t control_open(struct grayd *grayd, const char *name)
{
    json_t *counts = control_marks(grayd, name, 0);
    uint64_t open = counts != NULL ? open_of(counts) : 0;

    json_decref(counts);
    return open;
}

struct pace_end control_pace(struct grayd *grayd, const char *name,
                             struct pace_look now)
{
    static const struct pace nobody_looked;
    struct control *control = grayd->control;
    const struct outside *outside;
    struct pace_end end;

    if (control == NULL) {
        return pace_end(&nobody_looked, now);
    }
    pthread_mutex_lock(&control->lock);
    outside = outside_of(control, name, false);
    end = pace_end(outside != NULL ? &outside->pace : &nobody_looked, now);
    pthread_mutex_unlock(&control->lock);
    return end;
}

json_t *control_admission(struct grayd *grayd, const char *name)
{
    return grayd->control != NULL
               ? settler_admission(grayd->control->settler, name)
               : NULL;
}

bool control_revokes(struct grayd *grayd, const char *name)
{
    return grayd->control != NULL &&
           settler_revokes(grayd->control->settler, name);
}
