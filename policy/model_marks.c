/* SPDX-License-Identifier: Apache-2.0
 * model_marks.c - how a release keeps its marks, and at which stages.
 *
 * Why: a mark outlives the rules that made it, so what is written here decides
 * who is served by which version long after; every default of
 * docs/documents.md is made explicit, and what could not be kept (marks where
 * none are, a backfill of entities) is refused in words.
 * Read next: model_release.c, gates_marks.c (what may not change later).
 */
#include "policy/check.h"

#include <string.h>

#include "policy/parse.h"

#define SECOND_MS 1000
static const char *const unknown_words[] = {"baseline", "refuse"};

/* A key of the document; blank ones were said already. */
static json_t *written(const struct gray_check *c, const char *key)
{
    json_t *value = json_object_get(c->document->tree, key);
    return json_is_null(value) ? NULL : value;
}

static bool needs_marks(struct gray_check *c, const char *key,
                        const char *what)
{
    return gray_check_error(c, GRAY_PROBLEM_NEEDS_MARKS, AT_KEY(NULL, key),
                            "%s %s; write stickiness: entity or monotonic, or "
                            "take the key out",
                            key, what);
}

/* ---- durability ------------------------------------------------------------ */

static bool check_time(struct gray_check *c, const char *key, int64_t least,
                       int64_t most, const char *limits, uint32_t *ret_ms)
{
    json_t *value = written(c, key);
    int64_t ms = -1;
    if (value == NULL) {
        return true;
    }
    if (json_is_integer(value) && json_integer_value(value) >= 0 &&
        json_integer_value(value) <= most) {
        ms = json_integer_value(value) * SECOND_MS;
    } else if (!json_is_string(value) ||
               !gray_parse_duration(json_string_value(value), &ms)) {
        return gray_check_error(c, GRAY_PROBLEM_BAD_DURATION,
                                AT_KEY(NULL, key),
                                "%s is no duration; write 50ms, 10s or 1m",
                                key);
    }
    if ((ms < least && (ms != 0 || least < SECOND_MS)) || ms > most) {
        return gray_check_error(c, GRAY_PROBLEM_OUT_OF_RANGE,
                                AT_KEY(NULL, key), "%s is from %s", key,
                                limits);
    }
    *ret_ms = (uint32_t)ms;
    return true;
}

static bool check_key_width(struct gray_check *c,
                            struct model_release *release)
{
    json_t *value = written(c, "strictKey");
    int64_t bits = 64;
    if (value == NULL) {
        return true;
    }
    if (!gray_check_integer(c, AT_KEY(NULL, "strictKey"), value, 64, 128,
                            &bits)) {
        return false;
    }
    if (bits != 64 && bits != 128) {
        return gray_check_error(c, GRAY_PROBLEM_OUT_OF_RANGE,
                                AT_KEY(NULL, "strictKey"),
                                "strictKey is 64, or 128 bits of a text's "
                                "hash");
    }
    release->mark_flags |= bits == 128 ? GRAY_MARKS_WIDE : 0;
    return true;
}

static bool check_word(struct gray_check *c, const char *key,
                       const char *const *words, size_t count,
                       uint8_t *ret_number)
{
    json_t *value = written(c, key);
    uint32_t number = *ret_number;
    bool good = value == NULL || gray_check_word(c, AT_KEY(NULL, key), value,
                                                 words, count, &number);
    *ret_number = (uint8_t)number;
    return good;
}

/* Keys that say nothing where there are no marks. */
static bool check_none(struct gray_check *c,
                       const struct model_release *release)
{
    static const char *const keys[] = {"strictTimeout", "strictKey",
                                       "sharedMarks"};
    bool good = true;
    if (release->durability == GRAY_DURABLE_STRICT) {
        good = needs_marks(c, "durability", "speaks of marks, and stickiness: "
                                            "none keeps none");
    }
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
        if (written(c, keys[i]) != NULL) {
            good = needs_marks(c, keys[i], "speaks of marks, and stickiness: "
                                           "none keeps none");
        }
    }
    if (release->admission_lease != 0) {
        good = needs_marks(c, "admissionLease",
                           "guards new marks, and stickiness: none makes "
                           "none");
    }
    return good;
}

bool gray_check_marks(struct gray_check *c, struct model_release *release)
{
    static const char *const durability[] = {"async", "strict"};
    static const char *const shared[] = {"redis"};
    bool entity = release->stickiness == GRAY_STICKY_ENTITY;
    uint8_t word = 0;
    bool good =
        check_word(c, "durability", durability, 2, &release->durability);
    bool leased = release->stickiness != GRAY_STICKY_NONE &&
                  (entity || release->durability == GRAY_DURABLE_STRICT);
    release->strict_timeout = GRAY_STRICT_TIMEOUT_MS;
    release->admission_lease = leased ? GRAY_ADMISSION_LEASE_MS : 0;
    release->on_unknown = entity ? GRAY_UNKNOWN_REFUSE : GRAY_UNKNOWN_BASELINE;
    good &= check_time(c, "strictTimeout", 1, 10 * SECOND_MS, "1ms to 10s",
                       &release->strict_timeout);
    good &= check_time(c, "admissionLease", SECOND_MS, 3600 * SECOND_MS,
                       "1s to 1h, or 0s for none", &release->admission_lease);
    good &= check_key_width(c, release);
    good &= check_word(c, "sharedMarks", shared, 1, &word);
    good &= check_word(c, "onUnknown", unknown_words, 2,
                       &release->on_unknown);
    release->mark_flags |=
        (release->admission_lease != 0 ? GRAY_MARKS_LEASE : 0) |
        (written(c, "sharedMarks") != NULL ? GRAY_MARKS_SHARED : 0);
    if (release->on_unknown == GRAY_UNKNOWN_REFUSE && !entity) {
        good = gray_check_error(c, GRAY_PROBLEM_NEEDS_MARKS,
                                AT_KEY(NULL, "onUnknown"),
                                "only an entity is refused when its mark is "
                                "not known; a request falls back: write "
                                "stickiness: entity, or onUnknown: baseline");
    }
    return release->stickiness == GRAY_STICKY_NONE
               ? check_none(c, release) && good
               : good;
}

/* ---- stages ---------------------------------------------------------------- */

static const char stage_example[] =
    "[{name: create, writes: true, when: {path: {prefix: /new}}}, {name: "
    "update}]";

enum stage_key { STAGE_NAME, STAGE_WRITES, STAGE_WHEN, STAGE_MISSING,
                 STAGE_UNKNOWN, STAGE_OF, STAGE_KEYS };

static bool check_missing(struct gray_check *c, const struct where *at,
                          json_t *value, const struct model_release *release,
                          struct model_stage *stage)
{
    static const char *const words[] = {"baseline", "backfill"};
    uint32_t word;
    if (value == NULL) {
        return true;
    }
    if (!gray_check_word(c, at, value, words, 2, &word)) {
        return false;
    }
    stage->on_missing = (uint8_t)word;
    if (word == GRAY_MISSING_BACKFILL && stage->writes) {
        return gray_check_error(c, GRAY_PROBLEM_BAD_STAGE, at,
                                "a stage that writes decides whoever has no "
                                "mark; backfill is for one that reads");
    }
    if (word == GRAY_MISSING_BACKFILL &&
        release->stickiness == GRAY_STICKY_ENTITY) {
        return gray_check_error(c, GRAY_PROBLEM_BAD_STAGE, at,
                                "an entity without a mark was created by the "
                                "old version, whatever the rules say now: "
                                "write onMissing: baseline");
    }
    return true;
}

static bool check_unknown(struct gray_check *c, const struct where *at,
                          json_t *value, const struct model_release *release,
                          struct model_stage *stage)
{
    uint32_t word = stage->writes ? GRAY_UNKNOWN_BASELINE
                                  : release->on_unknown;
    if (value != NULL &&
        !gray_check_word(c, at, value, unknown_words, 2, &word)) {
        return false;
    }
    stage->on_unknown = (uint8_t)word;
    return word != GRAY_UNKNOWN_REFUSE ||
           release->stickiness == GRAY_STICKY_ENTITY ||
           gray_check_error(c, GRAY_PROBLEM_NEEDS_MARKS, at,
                            "only an entity is refused when its mark is not "
                            "known; write stickiness: entity, or onUnknown: "
                            "baseline");
}

static bool check_stage(struct gray_check *c, const struct where *at,
                        json_t *value, struct model_release *release,
                        struct gray_names *seen, struct model_stage *stage)
{
    static const char *const keys[STAGE_KEYS] = {
        "name", "writes", "when", "onMissing", "onUnknown", "of"};
    const struct cond_scope scope = {.units = release->units,
                                     .unit_count = release->unit_count};
    json_t *values[STAGE_KEYS];
    bool good;
    if (!gray_check_map(c, at, value, keys, STAGE_KEYS, values)) {
        return false;
    }
    if (values[STAGE_NAME] == NULL) {
        return gray_check_missing(c, at, "name", "name: create");
    }
    if (!gray_check_name(c, AT_KEY(at, "name"), values[STAGE_NAME], false,
                         &stage->name)) {
        return false;
    }
    if (!gray_names_add(seen, stage->name, strlen(stage->name),
                        (uint32_t)(stage - release->stages), NULL)) {
        return gray_check_error(c, GRAY_PROBLEM_DUPLICATE,
                                AT_KEY(at, "name"),
                                "a stage \"%s\" is there already; give it a "
                                "name of its own",
                                stage->name);
    }
    good = values[STAGE_WRITES] == NULL ||
           gray_check_bool(c, AT_KEY(at, "writes"), values[STAGE_WRITES],
                           &stage->writes);
    if (values[STAGE_WHEN] != NULL) {
        stage->when = gray_arena_take(c->arena, sizeof(*stage->when));
        good &= gray_check_condition(c, AT_KEY(at, "when"),
                                     values[STAGE_WHEN], &scope, stage->when);
    }
    good &= check_missing(c, AT_KEY(at, "onMissing"), values[STAGE_MISSING],
                          release, stage);
    good &= check_unknown(c, AT_KEY(at, "onUnknown"), values[STAGE_UNKNOWN],
                          release, stage);
    return good;
}

/* ---- dimensions ------------------------------------------------------------ */

/* The dimension of this name; UINT32_MAX: there is none, which was said. */
static uint32_t find_dimension(struct gray_check *c, const struct where *at,
                               json_t *value,
                               const struct model_release *release)
{
    const char *name;
    if (!gray_check_name(c, at, value, false, &name)) {
        return UINT32_MAX;
    }
    for (uint32_t i = 0; i < release->dimension_count; i++) {
        if (strcmp(release->stages[release->dimensions[i]].name, name) == 0) {
            return i;
        }
    }
    gray_check_error(c, GRAY_PROBLEM_UNKNOWN_STAGE, at,
                     "there is no dimension \"%s\"; write one of dimensions",
                     name);
    return UINT32_MAX;
}

static bool add_dimension(struct gray_check *c, const struct where *at,
                          const char *name, const struct gray_names *names,
                          struct model_release *release)
{
    uint32_t number = gray_names_find(names, name, strlen(name));
    if (number == UINT32_MAX) {
        return gray_check_error(c, GRAY_PROBLEM_UNKNOWN_STAGE, at,
                                "there is no stage \"%s\"; write it under "
                                "stages, or mend the name",
                                name);
    }
    if (!release->stages[number].writes) {
        return gray_check_error(c, GRAY_PROBLEM_BAD_STAGE, at,
                                "stage %s only reads, so nothing can move "
                                "there; write writes: true",
                                name);
    }
    release->dimensions[release->dimension_count++] = number;
    release->stages[number].space = (uint8_t)release->dimension_count;
    return true;
}

/* Every other stage says whose marks it reads. */
static bool check_of(struct gray_check *c, const struct where *at,
                     json_t *value, struct model_release *release,
                     struct model_stage *stage)
{
    uint32_t number;
    if (release->dimension_count == 0 || stage->space != 0) {
        return value == NULL ||
               gray_check_error(c, GRAY_PROBLEM_BAD_STAGE, AT_KEY(at, "of"),
                                "of names the dimension whose marks a stage "
                                "reads; take it out here");
    }
    if (stage->writes) {
        return gray_check_error(c, GRAY_PROBLEM_BAD_STAGE,
                                AT_KEY(at, "writes"),
                                "stage %s writes and is no dimension, so two "
                                "things would move at once; add it to "
                                "dimensions",
                                stage->name);
    }
    if (value == NULL) {
        return gray_check_missing(c, at, "of",
                                  "of: NAME, the dimension whose marks this "
                                  "stage reads");
    }
    number = find_dimension(c, AT_KEY(at, "of"), value, release);
    if (number == UINT32_MAX) {
        return false;
    }
    stage->space = (uint8_t)(number + 1);
    return true;
}

static bool check_dimensions(struct gray_check *c,
                             const struct gray_names *names,
                             struct model_release *release)
{
    const struct where *at = AT_KEY(NULL, "dimensions");
    json_t *value = written(c, "dimensions");
    struct name_list list = {0};
    json_t *moving = json_object_get(written(c, "admission"), "dimension");
    bool good = true;
    if (value != NULL && json_array_size(value) != 0) {
        good = gray_check_names(c, at, value, NULL,
                                GRAY_PROBLEM_UNKNOWN_STAGE, true, &list);
        release->dimensions = gray_arena_array(c->arena, list.count,
                                               sizeof(uint32_t));
        for (uint32_t i = 0; i < list.count; i++) {
            good &= add_dimension(c, AT_ITEM(at, i), list.names[i], names,
                                  release);
        }
    } else if (value != NULL && !json_is_array(value)) {
        return gray_check_names(c, at, value, NULL,
                                GRAY_PROBLEM_UNKNOWN_STAGE, true, &list);
    }
    if (good && moving != NULL && !json_is_null(moving)) {
        release->dimension = find_dimension(
            c, AT_KEY(AT_KEY(NULL, "admission"), "dimension"), moving,
            release);
        good = release->dimension != UINT32_MAX;
    }
    return good;
}

/* Everyone before the dimension that moves, nobody after. */
static void put_shares(struct model_release *release)
{
    for (uint32_t i = 0; i < release->stage_count; i++) {
        struct model_stage *stage = &release->stages[i];
        uint32_t number = stage->space == 0 ? release->dimension
                                            : stage->space - 1u;
        stage->share = number < release->dimension
                           ? GRAY_SHARE_ALL - release->holdback
                       : number == release->dimension ? release->share
                                                      : 0;
    }
}

/* Who only reads is kept from the rules by the mark alone, and an entity's
 * mark is its answer. */
static bool check_mark_first(struct gray_check *c,
                             const struct model_release *release)
{
    for (uint32_t i = 0; i < 8 && release->order[i] != GRAY_STEP_END; i++) {
        if (release->order[i] == GRAY_STEP_MARK) {
            return true;
        }
        if (release->order[i] == GRAY_STEP_RULES) {
            break;
        }
    }
    return gray_check_error(c, GRAY_PROBLEM_BAD_ORDER,
                            AT_KEY(AT_KEY(NULL, "admission"), "order"),
                            "%s asks for the mark before the rules; put mark "
                            "before rules",
                            release->stage_count != 0 ? "a release with stages"
                                                      : "an entity");
}

bool gray_check_stages(struct gray_check *c, struct model_release *release)
{
    const struct where *at = AT_KEY(NULL, "stages");
    struct gray_names names = {.arena = c->arena};
    json_t *value = written(c, "stages");
    bool good = true;
    if (value != NULL &&
        !gray_check_list(c, at, value, GRAY_STAGES_MAX, stage_example)) {
        return false;
    }
    release->stage_count = (uint32_t)json_array_size(value);
    release->stages = gray_arena_array(c->arena, release->stage_count,
                                       sizeof(*release->stages));
    for (uint32_t i = 0; i < release->stage_count; i++) {
        good &= check_stage(c, AT_ITEM(at, i), json_array_get(value, i),
                            release, &names, &release->stages[i]);
    }
    if (!good) {
        return false;
    }
    if (release->stage_count != 0 &&
        release->stickiness == GRAY_STICKY_NONE) {
        return needs_marks(c, "stages",
                           "say which requests make marks, and stickiness: "
                           "none makes none");
    }
    if (!check_dimensions(c, &names, release)) {
        return false;
    }
    for (uint32_t i = 0; i < release->stage_count; i++) {
        json_t *of = json_object_get(json_array_get(value, i), "of");
        good &= check_of(c, AT_ITEM(at, i), json_is_null(of) ? NULL : of,
                         release, &release->stages[i]);
    }
    put_shares(release);
    if (release->stage_count != 0 ||
        release->stickiness == GRAY_STICKY_ENTITY) {
        good &= check_mark_first(c, release);
    }
    return good;
}
