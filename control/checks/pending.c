/* SPDX-License-Identifier: Apache-2.0
 * pending.c - see pending.h.
 *
 * Why: a run says what differs in a window; whether a difference that it does
 * not name is gone hangs on whether its window had it, and whether the run
 * named all that it found.
 * Read next: pending.h.
 */
#include <stdlib.h>
#include <string.h>

#include "control/checks/pending.h"

static const char *const blocking[] = {"R1", "R2", "R3", "R6"};

static int64_t number(const json_t *object, const char *key)
{
    return (int64_t)json_integer_value(json_object_get(object, key));
}

static void set_number(json_t *object, const char *key, int64_t value)
{
    json_object_set_new(object, key, json_integer((json_int_t)value));
}

static const char *text(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));

    return value != NULL ? value : "";
}

static void count(json_t *pending, const char *key)
{
    set_number(pending, key, number(pending, key) + 1);
}

json_t *pending_new(void)
{
    return json_pack("{s:{},s:{},s:[],s:i,s:i}", "open", "more", "unsaid",
                     "settled", 0, "resolved", 0);
}

/* What the functions below go by. */
static bool difference_holds(const json_t *difference)
{
    return json_is_string(json_object_get(difference, "rule")) &&
           json_is_integer(json_object_get(difference, "at"));
}

bool pending_holds(const json_t *pending)
{
    const json_t *open = json_object_get(pending, "open"), *item;
    const char *id;
    bool good = json_is_object(open) &&
                json_is_object(json_object_get(pending, "more")) &&
                json_is_array(json_object_get(pending, "unsaid"));

    json_object_foreach((json_t *)(uintptr_t)open, id, item) {
        good &= difference_holds(item) &&
                json_is_integer(json_object_get(item, "first"));
    }
    return good;
}

/* ---- a look -------------------------------------------------------------------- */

static bool is_r5(const json_t *difference)
{
    return strcmp(text(difference, "rule"), "R5") == 0;
}

/* "from" null is the beginning of everything. */
static int64_t from_of(const json_t *object)
{
    return json_is_integer(json_object_get(object, "from"))
               ? number(object, "from")
               : INT64_MIN;
}

/* Whether a run of this window would have found it again. A share is judged as
 * a whole: by no smaller part of the time. */
static bool covers(const json_t *report, const json_t *difference)
{
    int64_t from = from_of(report), until = number(report, "until");

    if (is_r5(difference)) {
        return from <= from_of(difference) &&
               until >= number(difference, "until");
    }
    return number(difference, "at") >= from && number(difference, "at") < until;
}

static void alarm(json_t *pending, const char *id, json_t *difference)
{
    json_object_set_new(difference, "alarm", json_true());
    json_array_append_new(json_object_get(pending, "unsaid"),
                          json_string(id));
}

/* When an alarm is looked at again. */
static int64_t again(const struct pending_looks *looks)
{
    int64_t last = looks->count > 0 ? looks->delays[looks->count - 1] : 0;

    return last > PENDING_AGAIN_MS ? last : PENDING_AGAIN_MS;
}

/* It is there still. */
static void look(json_t *pending, const char *id, json_t *difference,
                 const struct pending_looks *looks, int64_t now)
{
    int64_t done = number(difference, "looks");

    set_number(difference, "seen", now);
    if (now < number(difference, "due")) {
        return; /* seen in passing */
    }
    if (json_is_true(json_object_get(difference, "alarm"))) {
        set_number(difference, "due", now + again(looks));
        return;
    }
    set_number(difference, "looks", ++done);
    if (done >= (int64_t)looks->count) {
        alarm(pending, id, difference);
        set_number(difference, "due", now + again(looks));
    } else {
        int64_t due = number(difference, "first") + looks->delays[done];

        set_number(difference, "due", due > now ? due : now + 1);
    }
}

static void add(json_t *pending, const char *id, const json_t *found,
                const json_t *report, const struct pending_looks *looks,
                int64_t now)
{
    json_t *difference = json_copy((json_t *)(uintptr_t)found);

    json_object_del(difference, "id");
    set_number(difference, "first", now);
    set_number(difference, "seen", now);
    set_number(difference, "looks", 0);
    set_number(difference, "due",
               now + (looks->count > 0 ? looks->delays[0] : again(looks)));
    json_object_set_new(difference, "alarm", json_false());
    if (is_r5(difference)) {
        json_object_set(difference, "from", json_object_get(report, "from"));
        json_object_set(difference, "until",
                        json_object_get(report, "until"));
    }
    json_object_set_new(json_object_get(pending, "open"), id, difference);
    if (looks->count == 0) {
        alarm(pending, id, difference);
    }
}

/* ---- a run --------------------------------------------------------------------- */

static int64_t found_of(const json_t *report, const char *rule)
{
    return number(json_object_get(json_object_get(report, "rules"), rule),
                  "differences");
}

/* What is open, was looked at, and was not found. */
static void drop_gone(json_t *pending, const json_t *report,
                      const json_t *found)
{
    json_t *open = json_object_get(pending, "open"), *difference;
    const char *id;
    void *next;

    json_object_foreach_safe(open, next, id, difference) {
        bool all = found_of(report, text(difference, "rule")) <=
                   (int64_t)PENDING_NAMED_MAX;

        if (!all || json_object_get(found, id) != NULL ||
            !covers(report, difference)) {
            continue;
        }
        count(pending, json_is_true(json_object_get(difference, "alarm"))
                           ? "resolved"
                           : "settled");
        json_object_del(open, id);
    }
}

static int64_t open_of(const json_t *pending, const char *rule)
{
    json_t *open = json_object_get(pending, "open"), *difference;
    int64_t found = 0;
    const char *id;

    json_object_foreach(open, id, difference) {
        found += strcmp(text(difference, "rule"), rule) == 0;
    }
    return found;
}

/* Differences beyond those that are named: until a run that had its whole
 * window finds fewer. */
static void count_more(json_t *pending, const json_t *report)
{
    json_t *more = json_object_get(pending, "more"), *rules, *rule;
    const char *word;

    rules = json_object_get(report, "rules");
    json_object_foreach(rules, word, rule) {
        int64_t beyond = number(rule, "differences") -
                         (int64_t)PENDING_NAMED_MAX;
        int64_t left = open_of(pending, word) - (int64_t)PENDING_NAMED_MAX;

        beyond = beyond > 0 ? beyond : 0;
        beyond += left > 0 ? left : 0;
        if (beyond > 0 || from_of(report) == INT64_MIN ||
            from_of(report) <= from_of(json_object_get(pending, "moreIn"))) {
            if (beyond > 0) {
                set_number(more, word, beyond);
            } else {
                json_object_del(more, word);
            }
        }
    }
    if (json_object_size(more) > 0) {
        json_object_set_new(pending, "moreIn",
                            json_pack("{s:O}", "from",
                                      json_object_get(report, "from")));
    } else {
        json_object_del(pending, "moreIn");
    }
}

void pending_take(json_t *pending, const json_t *report,
                  const struct pending_looks *looks, int64_t now)
{
    json_t *found = json_object(), *open = json_object_get(pending, "open");
    json_t *row;
    size_t i;

    json_array_foreach(json_object_get(report, "differences"), i, row) {
        json_object_set(found, text(row, "id"), row);
    }
    drop_gone(pending, report, found);
    json_array_foreach(json_object_get(report, "differences"), i, row) {
        const char *id = text(row, "id");
        json_t *difference = json_object_get(open, id);

        if (*id == '\0' || !difference_holds(row)) {
            continue; /* a run of ours says none such */
        }
        if (difference == NULL) {
            if (open_of(pending, text(row, "rule")) <
                (int64_t)PENDING_NAMED_MAX) {
                add(pending, id, row, report, looks, now);
            }
            continue;
        }
        json_object_set(difference, "sentence",
                        json_object_get(row, "sentence"));
        look(pending, id, difference, looks, now);
    }
    count_more(pending, report);
    json_decref(found);
}

/* ---- the next look ----------------------------------------------------------------- */

static bool is_explained(const json_t *difference)
{
    return json_object_get(difference, "explained") != NULL;
}

int64_t pending_due(const json_t *pending)
{
    json_t *open = json_object_get(pending, "open"), *difference;
    int64_t due = INT64_MAX;
    const char *id;

    json_object_foreach(open, id, difference) {
        if (!is_explained(difference) && number(difference, "due") < due) {
            due = number(difference, "due");
        }
    }
    return due;
}

bool pending_window(const json_t *pending, int64_t now, int64_t *ret_from,
                    int64_t *ret_until)
{
    json_t *open = json_object_get(pending, "open"), *difference;
    int64_t from = INT64_MAX, until = INT64_MIN;
    const char *id;

    json_object_foreach(open, id, difference) {
        int64_t at = number(difference, "at"), first = at, last = at + 1;

        if (is_explained(difference) || number(difference, "due") > now) {
            continue;
        }
        if (is_r5(difference)) {
            first = from_of(difference);
            last = number(difference, "until");
        }
        from = first < from ? first : from;
        until = last > until ? last : until;
    }
    *ret_from = from;
    *ret_until = until;
    return until > from;
}

/* ---- people ---------------------------------------------------------------------- */

bool pending_explain(json_t *pending, const char *id, const char *by,
                     const char *reason, int64_t at)
{
    json_t *difference =
        json_object_get(json_object_get(pending, "open"), id);

    if (difference == NULL || at < number(difference, "first")) {
        return false; /* it was explained, gone, and is there anew */
    }
    json_object_set_new(difference, "explained",
                        json_pack("{s:s,s:s,s:I}", "by", by, "reason", reason,
                                  "at", (json_int_t)at));
    return true;
}

json_t *pending_counts(const json_t *pending)
{
    json_t *counts = json_object(), *difference, *more;
    json_t *open = json_object_get(pending, "open");
    const char *id;

    json_object_foreach(open, id, difference) {
        if (!is_explained(difference)) {
            count(counts, text(difference, "rule"));
        }
    }
    open = json_object_get(pending, "more");
    json_object_foreach(open, id, more) {
        set_number(counts, id,
                   number(counts, id) + (int64_t)json_integer_value(more));
    }
    return counts;
}

uint64_t pending_blocking(const json_t *pending)
{
    json_t *counts = pending_counts(pending);
    uint64_t sum = 0;

    for (size_t i = 0; i < sizeof(blocking) / sizeof(*blocking); i++) {
        sum += (uint64_t)number(counts, blocking[i]);
    }
    json_decref(counts);
    return sum;
}
