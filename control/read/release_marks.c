/* SPDX-License-Identifier: Apache-2.0
 * release_marks.c - what status says about marks at three in the morning.
 *
 * Why: who is in, who still comes, who stays outside and until when, which
 * reader has not heard the freeze, and whether the disk keeps up: facts of the
 * marks thread beside two estimates, each with what it was made from, so that
 * nobody takes one for a fact.
 * Read next: ../marks/marks.h (marks_status), ../change/settle_marks.c.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "control/change/change.h"
#include "control/marks/marks.h"
#include "control/read/internal.h"

static double number_of(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

/* ---- how many still enter ---------------------------------------------------- */

/* A share that held for a while let in its part of all there are; the same part
 * of the line is larger now. An entity is decided once: who is outside does not
 * come in any more. */
static void estimate(json_t *marks, const struct release_status *status,
                     bool entity)
{
    double in = number_of(marks, "in"), all, left;
    json_t *how = NULL, *value = json_null();

    if (entity) {
        how = json_string("entities are decided once: only those that begin "
                          "from now on enter");
    } else if (status->seen_share == 0 || status->seen_in == 0) {
        how = json_string("there was no smaller share to compare with");
    } else {
        all = (double)status->seen_in * GRAY_SHARE_ALL / status->seen_share;
        left = floor(all * status->share / GRAY_SHARE_ALL - in + 0.5);
        json_decref(value);
        value = json_integer(left > 0 ? (json_int_t)left : 0);
        how = json_sprintf("%llu units were in at %g %%, so there are about "
                           "%.0f in all; an estimate",
                           (unsigned long long)status->seen_in,
                           status->seen_share / 10000.0, all);
    }
    json_object_set_new(marks, "stillToEnter", value);
    json_object_set_new(marks, "estimate", how);
}

/* ---- when nobody is outside any more ------------------------------------------ */

static void forecast(json_t *marks, struct grayd *grayd, const char *name)
{
    int64_t from, now;
    uint64_t then, out = (uint64_t)number_of(marks, "out");
    json_t *ends = json_null(), *how;

    if (out == 0) {
        how = json_string("no entity is outside");
    } else if (!control_out_before(grayd, name, &from, &then) ||
               then <= out || (now = grayd_now()) <= from) {
        how = json_string("their number did not fall since grayd looks: no "
                          "end can be told");
    } else {
        double rate = (double)(then - out) / (double)(now - from); /* per ms */

        json_decref(ends);
        ends = read_moment(now + (int64_t)((double)out / rate));
        how = json_sprintf("%llu were outside %.0f minutes ago; a forecast by "
                           "that rate",
                           (unsigned long long)then,
                           (double)(now - from) / 60000.0);
    }
    json_object_set_new(marks, "outEnds", ends);
    json_object_set_new(marks, "forecast", how);
}

/* ---- together ------------------------------------------------------------------ */

static int keep_value(void *context, const struct store_item *item)
{
    *(json_t **)context = read_tree(item);
    return 1;
}

static void add_rehearsal(struct hand *hand, json_t *view, const char *name)
{
    struct gray_problem problem = { 0 };
    char key[STORE_NAME_MAX + 1];
    json_t *rehearsal = NULL;

    snprintf(key, sizeof(key), "rehearsal/%s", name);
    if (store_read_item(hand->reader, STORE_SETTING, key, 0, keep_value,
                        &rehearsal, &problem) == 0 &&
        rehearsal != NULL) {
        json_object_set_new(
            rehearsal, "current",
            json_boolean(json_equal(json_object_get(rehearsal, "document"),
                                    json_object_get(view, "document"))));
        json_object_set_new(view, "rehearsal", rehearsal);
    }
}

void read_release_marks(struct hand *hand, json_t *view,
                        const struct release_status *status,
                        const struct release_facts *facts, int64_t age_ms)
{
    const char *name = json_string_value(json_object_get(view, "name"));
    bool entity = facts->stickiness == GRAY_STICKY_ENTITY;
    struct grayd *grayd = hand->grayd;
    json_t *admission = control_admission(grayd, name), *marks = NULL;

    if (admission != NULL) {
        json_object_set_new(view, "admission", admission);
    }
    add_rehearsal(hand, view, name);
    if (facts->stickiness != GRAY_STICKY_NONE) {
        marks = control_marks(grayd, name, age_ms);
    }
    if (marks == NULL) {
        return;
    }
    if (number_of(marks, "queued") == 0 && control_revokes(grayd, name)) {
        json_object_set_new(marks, "queued", json_integer(1)); /* to begin */
    }
    estimate(marks, status, entity);
    if (entity) {
        forecast(marks, grayd, name);
    }
    if (entity && status->state == RELEASE_PROMOTED &&
        number_of(marks, "out") > 0) {
        json_object_set_new(view, "phase", json_string("Converging"));
    }
    json_object_set_new(view, "marks", marks);
}

void read_marks_writer(struct grayd *grayd, json_t *body)
{
    struct gray_problem problem = { 0 };
    json_t *writer = grayd->marks != NULL
                         ? marks_status(grayd->marks, 0, &problem)
                         : json_pack("{s:s,s:s}", "writer", "failed", "trouble",
                                     "the journal of marks could not be "
                                     "opened; the log says why");

    if (writer != NULL) {
        json_object_set_new(body, "marks", writer);
    }
}

static int add_name(void *context, const struct store_item *item)
{
    return json_object_set_new(context, item->name, json_null());
}

json_t *read_marks_of_all(struct hand *hand)
{
    json_t *names = json_object(), *found = json_object(), *null;
    struct gray_problem problem = { 0 };
    const char *name;

    /* A reader answers one question at a time: first the names. */
    if (store_read_items(hand->reader, STORE_RELEASE, 0, NULL, SIZE_MAX,
                         add_name, names, &problem) == 0) {
        json_object_foreach(names, name, null) {
            json_t *marks =
                control_marks(hand->grayd, name, CONTROL_COUNTS_MS);

            if (marks != NULL) {
                json_object_set_new(found, name, marks);
            }
        }
    }
    json_decref(names);
    return found;
}
