/* SPDX-License-Identifier: Apache-2.0
 * model_defaults.c - what a document need not say.
 *
 * Why: the canonical source leaves every default out, so that a text that
 * spells one out and one that does not are the same policy.  The defaults are
 * those that the checks make explicit; tests/policy/test_source.c holds the two
 * together.
 * Read next: model_source.c, model_release.c, model_marks.c.
 */
#include "policy/model_source.h"

#include <string.h>

#include "policy/model.h"
#include "policy/parse.h"

static bool is_text(const json_t *value, const char *text)
{
    return json_is_string(value) && strcmp(json_string_value(value), text) == 0;
}

static bool is_zero(const json_t *value)
{
    return json_is_number(value) && json_number_value(value) == 0;
}

static bool is_empty(const json_t *value)
{
    return json_is_array(value) && json_array_size(value) == 0;
}

static bool is_default_order(const json_t *value, bool entity)
{
    static const char *const plain[] = {"deny", "allow", "mark", "rules",
                                        "evidence"};
    static const char *const marked[] = {"mark", "deny", "allow", "rules",
                                         "evidence"};
    const char *const *words = entity ? marked : plain;
    if (json_array_size(value) != 5) {
        return false;
    }
    for (size_t i = 0; i < 5; i++) {
        if (!is_text(json_array_get(value, i), words[i])) {
            return false;
        }
    }
    return true;
}

static bool is_entity(const struct gray_source_place *w)
{
    return is_text(json_object_get(w->document, "stickiness"), "entity");
}

static bool is_default_selector(const struct gray_source_place *w, const json_t *value)
{
    return json_object_size(value) == 1 &&
           is_text(json_object_get(value, "lane"), w->name);
}

/* A duration of a document, in ms; -1: none. */
int64_t gray_source_duration(const json_t *value)
{
    int64_t ms = -1;
    if (json_is_integer(value)) {
        return json_integer_value(value) * 1000;
    }
    return json_is_string(value) &&
                   gray_parse_duration(json_string_value(value), &ms)
               ? ms
               : -1;
}

static bool is_number(const json_t *value, double number)
{
    return json_is_number(value) && json_number_value(value) == number;
}

/* What a release says of unknown marks where it says nothing. */
static const char *default_unknown(const struct gray_source_place *w)
{
    return is_entity(w) ? "refuse" : "baseline";
}

static bool marks_default(const struct gray_source_place *w, const char *key,
                          const json_t *value)
{
    if (strcmp(key, "admissionLease") == 0) {
        bool leased = is_entity(w) ||
                      is_text(json_object_get(w->document, "durability"),
                              "strict");
        return gray_source_duration(value) ==
               (leased ? (int64_t)GRAY_ADMISSION_LEASE_MS : 0);
    }
    return (strcmp(key, "durability") == 0 && is_text(value, "async")) ||
           (strcmp(key, "strictTimeout") == 0 &&
            gray_source_duration(value) == GRAY_STRICT_TIMEOUT_MS) ||
           (strcmp(key, "strictKey") == 0 && is_number(value, 64)) ||
           (strcmp(key, "onUnknown") == 0 &&
            is_text(value, default_unknown(w))) ||
           (strcmp(key, "stages") == 0 && is_empty(value)) ||
           (strcmp(key, "dimensions") == 0 && is_empty(value));
}

/* `stage` is the map that `value` stands in. */
static bool stage_default(const struct gray_source_place *w, const json_t *stage,
                          const char *key, const json_t *value)
{
    if (strcmp(key, "onUnknown") == 0) {
        json_t *own = json_object_get(w->document, "onUnknown");
        const char *word = own == NULL ? default_unknown(w)
                                       : json_string_value(own);
        return is_text(value, json_is_true(json_object_get(stage, "writes"))
                                  ? "baseline"
                                  : word);
    }
    return (strcmp(key, "writes") == 0 && json_is_false(value)) ||
           (strcmp(key, "onMissing") == 0 && is_text(value, "baseline"));
}

static bool is_first_dimension(const struct gray_source_place *w, const json_t *value)
{
    const json_t *list = json_object_get(w->document, "dimensions");
    return json_is_string(value) &&
           is_text(json_array_get(list, 0), json_string_value(value));
}

static bool release_default(const struct gray_source_place *w, const char *key,
                            const json_t *value)
{
    if (marks_default(w, key, value)) {
        return true;
    }
    if (strcmp(key, "dataCompat") == 0) {
        return is_text(value, is_entity(w) ? "irreversible" : "stateless");
    }
    return (strcmp(key, "salt") == 0 && is_text(value, w->name)) ||
           (strcmp(key, "priority") == 0 && is_zero(value)) ||
           (strcmp(key, "entrances") == 0 && is_empty(value)) ||
           (strcmp(key, "stickiness") == 0 && is_text(value, "monotonic"));
}

static bool lane_default(const struct gray_source_place *w, const char *key,
                         const json_t *value)
{
    if (strcmp(key, "salt") == 0) {
        return json_is_string(value) &&
               strncmp(json_string_value(value), "lane:", 5) == 0 &&
               strcmp(json_string_value(value) + 5, w->name) == 0;
    }
    return (strcmp(key, "group") == 0 && is_text(value, w->name)) ||
           (strcmp(key, "enabled") == 0 && json_is_true(value)) ||
           (strcmp(key, "priority") == 0 && is_zero(value)) ||
           (strcmp(key, "mode") == 0 && is_text(value, "permissive")) ||
           (strcmp(key, "selector") == 0 && is_default_selector(w, value)) ||
           is_empty(value);
}

static bool admission_default(const struct gray_source_place *w, const char *key,
                              const json_t *value)
{
    if (strcmp(key, "order") == 0) {
        return is_default_order(value, is_entity(w));
    }
    if (strcmp(key, "dimension") == 0) {
        return is_first_dimension(w, value);
    }
    return is_zero(value) || is_empty(value) ||
           (strcmp(key, "anonymous") == 0 && is_text(value, "baseline"));
}

bool gray_source_default(const struct gray_source_place *w, enum role role,
                         const json_t *map, const char *key,
                         const json_t *value)
{
    switch (role) {
    case ROLE_STAGE:
        return stage_default(w, map, key, value);
    case ROLE_RELEASE:
        return release_default(w, key, value);
    case ROLE_LANE:
        return strcmp(key, "services") != 0 && lane_default(w, key, value);
    case ROLE_SERVICE:
        return strcmp(key, "protocol") == 0 && is_text(value, "http");
    case ROLE_ADMISSION:
        return admission_default(w, key, value);
    case ROLE_TEST:
        return strcmp(key, "ignoreCase") == 0 && json_is_false(value);
    case ROLE_RULE:
        return strcmp(key, "share") == 0 && json_is_number(value) &&
               json_number_value(value) == 100;
    case ROLE_ENDPOINT:
        return strcmp(key, "weight") == 0 && json_is_number(value) &&
               json_number_value(value) == 1;
    default:
        return false;
    }
}
