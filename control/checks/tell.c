/* SPDX-License-Identifier: Apache-2.0
 * tell.c - what others are told of Checks: reports, status, gate, alarms.
 *
 * Why: a report is read by people and by programs, the gate by the control
 * thread before a release goes on; both read the same value under the same
 * lock, and get copies.
 * Read next: checks.h, pending.h.
 */
#include <stdio.h>
#include <string.h>

#include "control/checks/internal.h"

#define ALARMS_NAMED 20u /* in one record of the audit */

static struct entry *find(struct checks *checks, const char *name)
{
    struct entry *entry = checks->entries;

    while (entry != NULL && strcmp(entry->name, name) != 0) {
        entry = entry->next;
    }
    return entry;
}

static json_t *pending_of(const struct entry *entry)
{
    return json_object_get(entry->kept, "pending");
}

/* ---- reports --------------------------------------------------------------------- */

static json_t *open_rows(const struct entry *entry)
{
    json_t *open = json_object_get(pending_of(entry), "open"), *difference;
    json_t *rows = json_array();
    const char *id;

    json_object_foreach(open, id, difference) {
        json_t *row = json_copy(difference);
        const char *state =
            json_object_get(difference, "explained") != NULL ? "explained"
            : json_is_true(json_object_get(difference, "alarm"))
                ? "alarm"
                : "suspect";

        json_object_set_new(row, "id", json_string(id));
        json_object_set_new(row, "state", json_string(state));
        json_object_del(row, "alarm");
        json_array_append_new(rows, row);
    }
    return rows;
}

static json_t *brief(const struct entry *entry)
{
    const json_t *pending = pending_of(entry), *open, *difference;
    json_int_t suspects = 0, alarms = 0, explained = 0;
    const char *id;

    open = json_object_get(pending, "open");
    json_object_foreach((json_t *)(uintptr_t)open, id, difference) {
        (void)id;
        if (json_object_get(difference, "explained") != NULL) {
            explained++;
        } else if (json_is_true(json_object_get(difference, "alarm"))) {
            alarms++;
        } else {
            suspects++;
        }
    }
    return json_pack(
        "{s:s,s:s,s:s,s:I,s:O,s:O,s:b,s:O,s:O,s:o,s:I,s:I,s:I,s:I,s:O,s:O}",
        "name", entry->name, "release", entry->check.release, "mode",
        entry->check.moves ? "moves" : "adds", "everyMs",
        (json_int_t)entry->check.every, "run",
        json_object_get(entry->kept, "run"), "done",
        json_object_get(entry->kept, "done"), "running",
        entry->run.pid != 0 || entry->asked, "failed",
        json_object_get(entry->kept, "failed"), "swept",
        json_object_get(entry->kept, "swept"), "unexplained",
        pending_counts(pending), "blocking",
        (json_int_t)pending_blocking(pending), "suspects", suspects, "alarms",
        alarms, "explained", explained, "settled",
        json_object_get(pending, "settled"), "resolved",
        json_object_get(pending, "resolved"));
}

json_t *checks_report(struct checks *checks, const char *name)
{
    json_t *report = NULL;
    struct entry *entry;

    pthread_mutex_lock(&checks->lock);
    entry = find(checks, name);
    if (entry != NULL) {
        json_t *last = json_object_get(entry->kept, "last");

        report = brief(entry);
        json_object_set_new(report, "last",
                            last != NULL ? json_deep_copy(last)
                                         : json_null());
        json_object_set_new(report, "differences", open_rows(entry));
        json_object_set_new(
            report, "more",
            json_deep_copy(json_object_get(pending_of(entry), "more")));
    }
    pthread_mutex_unlock(&checks->lock);
    return report;
}

json_t *checks_status(struct checks *checks)
{
    json_t *rows = json_array();

    pthread_mutex_lock(&checks->lock);
    for (const struct entry *e = checks->entries; e != NULL; e = e->next) {
        json_array_append_new(rows, brief(e));
    }
    pthread_mutex_unlock(&checks->lock);
    return rows;
}

/* ---- the gate ----------------------------------------------------------------------- */

bool checks_in_the_way(struct checks *checks, const char *release,
                       struct checks_gate *ret_gate)
{
    struct checks_gate gate = {.unexplained = 0};
    bool found = false;

    pthread_mutex_lock(&checks->lock);
    for (const struct entry *e = checks->entries; e != NULL; e = e->next) {
        const json_t *failed = json_object_get(e->kept, "failed");
        uint64_t blocking = pending_blocking(pending_of(e));

        if (strcmp(e->check.release, release) != 0 ||
            (blocking == 0 && !json_is_object(failed))) {
            continue;
        }
        gate.unexplained += blocking;
        if (!found) {
            const char *why =
                json_string_value(json_object_get(failed, "sentence"));

            snprintf(gate.name, sizeof(gate.name), "%s", e->name);
            gate.failed = json_is_object(failed);
            snprintf(gate.why, sizeof(gate.why), "%.190s",
                     why != NULL ? why : "");
        }
        found = true;
    }
    pthread_mutex_unlock(&checks->lock);
    *ret_gate = gate;
    return found;
}

bool checks_ran_since(struct checks *checks, const char *name, int64_t since)
{
    const json_t *good;
    struct entry *entry;
    bool ran = false;

    pthread_mutex_lock(&checks->lock);
    entry = find(checks, name);
    if (entry != NULL) {
        good = json_object_get(entry->kept, "goodSince");
        ran = json_is_integer(good) &&
              (int64_t)json_integer_value(good) >= since &&
              !json_is_object(json_object_get(entry->kept, "failed"));
    }
    pthread_mutex_unlock(&checks->lock);
    return ran;
}

static bool is_among(const json_t *ids, const char *id)
{
    const json_t *item;
    size_t i;

    json_array_foreach(ids, i, item) {
        const char *text = json_string_value(item);

        if (text != NULL && strcmp(text, id) == 0) {
            return true;
        }
    }
    return false;
}

json_t *checks_open_of(struct checks *checks, const char *name,
                       const json_t *ids)
{
    json_t *found = NULL, *open, *difference;
    struct entry *entry;
    const char *id;

    pthread_mutex_lock(&checks->lock);
    entry = find(checks, name);
    if (entry != NULL) {
        found = json_object();
        open = json_object_get(pending_of(entry), "open");
        json_object_foreach(open, id, difference) {
            if (ids != NULL
                    ? is_among(ids, id)
                    : json_object_get(difference, "explained") == NULL) {
                json_object_set(found, id,
                                json_object_get(difference, "sentence"));
            }
        }
    }
    pthread_mutex_unlock(&checks->lock);
    return found;
}

/* ---- alarms ---------------------------------------------------------------------------- */

static json_t *alarms_of(const struct entry *entry)
{
    json_t *unsaid = json_object_get(pending_of(entry), "unsaid"), *id;
    json_t *open = json_object_get(pending_of(entry), "open");
    json_t *named = json_array();
    size_t i;

    json_array_foreach(unsaid, i, id) {
        const json_t *difference =
            json_object_get(open, json_string_value(id));

        if (difference != NULL && json_array_size(named) < ALARMS_NAMED) {
            json_array_append_new(
                named, json_pack("{s:O,s:O}", "id", id, "sentence",
                                 json_object_get(difference, "sentence")));
        }
    }
    return json_pack("{s:s,s:s,s:o,s:I,s:o}", "check", entry->name, "release",
                     entry->check.release, "ids", json_deep_copy(unsaid),
                     "count", (json_int_t)json_array_size(unsaid),
                     "differences", named);
}

json_t *checks_alarms(struct checks *checks)
{
    json_t *alarms = NULL;

    pthread_mutex_lock(&checks->lock);
    for (const struct entry *e = checks->entries; e != NULL && alarms == NULL;
         e = e->next) {
        if (json_array_size(json_object_get(pending_of(e), "unsaid")) > 0) {
            alarms = alarms_of(e);
        }
    }
    pthread_mutex_unlock(&checks->lock);
    return alarms;
}

void checks_said(struct checks *checks, const json_t *alarms)
{
    const char *name = json_string_value(json_object_get(alarms, "check"));
    const json_t *said = json_object_get(alarms, "ids");
    struct entry *entry;

    pthread_mutex_lock(&checks->lock);
    entry = find(checks, name);
    if (entry != NULL) {
        json_t *unsaid = json_object_get(pending_of(entry), "unsaid");

        for (size_t i = json_array_size(unsaid); i > 0; i--) {
            const char *id = json_string_value(json_array_get(unsaid, i - 1));

            if (id != NULL && is_among(said, id)) {
                json_array_remove(unsaid, i - 1);
            }
        }
        entry->dirty = true;
    }
    pthread_mutex_unlock(&checks->lock);
}
