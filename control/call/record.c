/* SPDX-License-Identifier: Apache-2.0
 * record.c - records of the audit as REST shows them, and who may see them.
 *
 * Why: /v1/changes, /v1/events and /v1/audit show the same record in the same
 * words; a scope decides by the name that the record is about.
 * Read next: ../audit/chain.c, ../rest/events.c.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "control/call/call.h"

void call_moment(int64_t ms, char ret_text[CALL_MOMENT_SIZE])
{
    int64_t rest = ((ms % 1000) + 1000) % 1000;
    time_t seconds = (time_t)((ms - rest) / 1000);
    struct tm parts;
    size_t at;

    if (gmtime_r(&seconds, &parts) == NULL) {
        memset(&parts, 0, sizeof(parts));
        parts.tm_mday = 1;
        parts.tm_year = 70;
    }
    at = strftime(ret_text, CALL_MOMENT_SIZE, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(ret_text + at, CALL_MOMENT_SIZE - at, ".%03uZ", (unsigned)rest);
}

json_t *record_public(const char *text, size_t length)
{
    json_t *record = json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL);
    json_t *sequence = json_object_get(record, "seq");
    json_t *at = json_object_get(record, "at");
    char moment[CALL_MOMENT_SIZE];

    if (!json_is_integer(sequence) || !json_is_integer(at)) {
        json_decref(record);
        return NULL;
    }
    call_moment(json_integer_value(at), moment);
    if (json_object_set(record, "sequence", sequence) != 0 ||
        json_object_del(record, "seq") != 0 ||
        json_object_set_new(record, "at", json_string(moment)) != 0) {
        json_decref(record);
        return NULL;
    }
    return record;
}

/* Behind these stand ids: a scope that happens to begin like one covers
 * nobody's token and nobody's schedule. */
static const char *const no_names[] = { "Token/", "Scheduled/" };

bool resource_covered(const struct identity *identity, const char *resource)
{
    const char *slash = resource != NULL ? strchr(resource, '/') : NULL;
    size_t i;

    for (i = 0; slash != NULL && i < sizeof(no_names) / sizeof(no_names[0]);
         i++) {
        if (strncmp(resource, no_names[i], strlen(no_names[i])) == 0) {
            return identity_covers(identity, NULL);
        }
    }
    return identity_covers(identity, slash != NULL ? slash + 1 : resource);
}

/* Whether a side of a change names documents, and all are covered. */
static bool side_covered(const struct identity *identity, const json_t *side,
                         bool *names)
{
    const json_t *item;
    size_t i;

    json_array_foreach(side, i, item) {
        const char *document =
            json_string_value(json_object_get(item, "document"));

        if (document == NULL || !resource_covered(identity, document)) {
            return false;
        }
        *names = true;
    }
    return true;
}

bool record_covered(const struct identity *identity, const json_t *record)
{
    const char *resource =
        json_string_value(json_object_get(record, "resource"));
    bool names = false;

    if (resource != NULL && resource[0] != '\0') {
        return resource_covered(identity, resource);
    }
    /* Of several documents: seen by whoever may see each of them. */
    return resource_covered(identity, resource) ||
           (side_covered(identity, json_object_get(record, "before"),
                         &names) &&
            side_covered(identity, json_object_get(record, "after"), &names) &&
            names);
}

static void moment_replace(json_t *value, const char *key)
{
    const json_t *at = json_object_get(value, key);
    char text[CALL_MOMENT_SIZE];

    if (json_is_integer(at) && json_integer_value(at) > 0) {
        call_moment(json_integer_value(at), text);
        json_object_set_new(value, key, json_string(text));
    } else if (at != NULL) {
        json_object_set_new(value, key, json_null());
    }
}

json_t *token_view(const json_t *item, int64_t now)
{
    json_t *view = token_public(item);
    const json_t *expires = json_object_get(view, "expires");
    json_int_t at = json_integer_value(expires);

    if (view != NULL) {
        json_object_set_new(view, "expired", json_boolean(at > 0 && at <= now));
        moment_replace(view, "expires");
        moment_replace(view, "created");
    }
    return view;
}
