/* SPDX-License-Identifier: Apache-2.0
 * outside.c - counts of marks: for whoever looks often, and for a forecast.
 *
 * Why: to count marks is to look at each of them, so what many look at (lists,
 * figures) is some seconds old.  A release at 100 % whose entities of before
 * are still open keeps the old version at work, and people ask until when.
 * Nothing says it but the rate at which they end: so their number is looked at
 * now and then, and kept for some hours, in memory alone.
 * Read next: control/read/release_marks.c (who forecasts).
 */
#include <stdlib.h>
#include <string.h>

#include "control/change/internal.h"
#include "control/marks/marks.h"

static bool is_watched(const struct world *world, const char *name)
{
    struct release_status status;
    struct release_facts facts;

    return world_release(world, name, &status, &facts) &&
           facts.stickiness == GRAY_STICKY_ENTITY && status.share > 0;
}

/* The oldest of the samples kept goes first. */
static void add_sample(json_t *samples, const char *name, int64_t now,
                       json_t *out)
{
    json_t *row = json_object_get(samples, name);

    if (row == NULL) {
        row = json_array();
        json_object_set_new(samples, name, row);
    }
    if (json_array_size(row) >= CONTROL_OUTSIDE_KEPT) {
        json_array_remove(row, 0);
    }
    json_array_append_new(row, json_pack("[IO]", (json_int_t)now, out));
}

void outside_tick(struct control *control, int64_t now)
{
    struct marks *marks = control->grayd->marks;
    const char *name;
    json_t *entry;

    if (marks == NULL ||
        !is_due(now, control->next_outside, CONTROL_OUTSIDE_MS)) {
        return;
    }
    json_object_foreach(control->world.releases, name, entry) {
        struct gray_problem problem = { 0 };
        json_t *status;

        if (!is_watched(&control->world, name)) {
            continue;
        }
        status = marks_status(marks, gray_hash_scope(name, strlen(name)),
                              &problem);
        pthread_mutex_lock(&control->lock);
        if (json_is_integer(json_object_get(status, "out"))) {
            add_sample(control->outside, name, now,
                       json_object_get(status, "out"));
        }
        pthread_mutex_unlock(&control->lock);
        json_decref(status);
    }
    /* A thousandth of the time, however many there are. */
    control->next_outside = now + CONTROL_OUTSIDE_MS +
                            1000 * (grayd_now() - now);
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

bool control_out_before(struct grayd *grayd, const char *name, int64_t *ret_at,
                        uint64_t *ret_out)
{
    struct control *control = grayd->control;
    const json_t *first;

    if (control == NULL) {
        return false;
    }
    pthread_mutex_lock(&control->lock);
    first = json_array_get(json_object_get(control->outside, name), 0);
    if (first != NULL) {
        *ret_at = (int64_t)json_integer_value(json_array_get(first, 0));
        *ret_out = (uint64_t)json_integer_value(json_array_get(first, 1));
    }
    pthread_mutex_unlock(&control->lock);
    return first != NULL;
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
