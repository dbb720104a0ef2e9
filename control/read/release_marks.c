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

/* "3 days", "2 hours", "40 seconds": what a person says of a span. */
static void span_say(int64_t ms, char *text, size_t size)
{
    static const struct {
        int64_t ms;
        const char *word;
    } units[] = { { 86400000, "day" }, { 3600000, "hour" },
                  { 60000, "minute" }, { 1000, "second" } };
    size_t i = 0;
    int64_t count;

    while (i < 3 && ms < 2 * units[i].ms) {
        i++;
    }
    count = (ms + units[i].ms / 2) / units[i].ms;
    count = count > 0 ? count : 1;
    snprintf(text, size, "%lld %s%s", (long long)count, units[i].word,
             count == 1 ? "" : "s");
}

static json_t *forecast_text(const struct pace_end *end, int64_t now,
                             uint64_t out, uint64_t open)
{
    unsigned long long settled = end->settled;
    char span[40], left[40];

    span_say(now - end->since, span, sizeof(span));
    switch (end->says) {
    case PACE_NOBODY:
        return json_string(out == 0 ? "no entity is outside"
                                    : "all of them are settled");
    case PACE_ENDS:
        span_say(end->ends - now, left, sizeof(left));
        return json_sprintf("%llu of them were settled in the last %s; at that "
                            "pace the other %llu need %s",
                            settled, span, (unsigned long long)open, left);
    case PACE_GROWS:
        return json_sprintf("no end in sight: %llu were settled in the last "
                            "%s, and as many began outside",
                            settled, span);
    default:
        break;
    }
    if (settled == 0) {
        return json_string("no end in sight: none was settled since grayd "
                           "looks (gray marks settle)");
    }
    return json_sprintf("no end in sight: %llu settled in the last %s are too "
                        "%s to go by",
                        settled, span,
                        settled < PACE_LEAST ? "few" : "much at once");
}

static void forecast(json_t *marks, struct grayd *grayd, const char *name)
{
    uint64_t out = (uint64_t)number_of(marks, "out");
    uint64_t settled = (uint64_t)number_of(marks, "settled");
    struct pace_look look = { grayd_now(), out > settled ? out - settled : 0,
                              settled };
    struct pace_end end = control_pace(grayd, name, look);

    json_object_set_new(marks, "outOpen", json_integer((json_int_t)look.open));
    json_object_set_new(marks, "outEnds",
                        end.says == PACE_ENDS ? read_moment(end.ends)
                                              : json_null());
    json_object_set_new(marks, "forecast",
                        forecast_text(&end, look.at, out, look.open));
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
        number_of(marks, "outOpen") > 0) {
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
