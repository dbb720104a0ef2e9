/* SPDX-License-Identifier: Apache-2.0
 * model_strategy.c - the shape of a release's `strategy`.
 *
 * Why: a strategy is carried here and driven by the control plane, but a word
 * that is wrong should be found when it is written, not at three in the
 * morning when its step is reached.  The vocabulary is that of Argo Rollouts
 * and Flagger where they have a word; each map is a table of its keys.
 * Read next: model_release.c.
 */
#include "policy/check.h"

#include <string.h>

#include "policy/parse.h"

enum shape_type {
    SHAPE_PERCENT, SHAPE_DURATION, /* "60s", or seconds */
    SHAPE_COUNT,                   /* a whole number from 0 */
    SHAPE_AMOUNT,                  /* a whole number, or "25%" */
    SHAPE_BOOL, SHAPE_TEXT, SHAPE_WORD, SHAPE_MAP, SHAPE_ANY,
    SHAPE_LIST_TEXT, SHAPE_LIST_ANY, SHAPE_STEPS
};
struct shape {
    const char *key;
    enum shape_type type;
    const struct shape *members; /* of a map; ends in a NULL key */
    const char *const *words;
    uint32_t word_count;
};
#define SHAPE_KEYS_MAX 24u

static const char *const curve_words[] = {"linear", "exponential"};
static const char *const failure_words[] = {"abort", "freeze", "pause"};
static const char *const abort_words[] = {"leave", "keep"};
static const char *const kind_words[] = {"canary", "blueGreen", "rolling"};

static const struct shape pause_shape[] = {
    {.key = "duration", .type = SHAPE_DURATION}, {.key = NULL}};
static const struct shape ramp_shape[] = {
    {.key = "to", .type = SHAPE_PERCENT},
    {.key = "duration", .type = SHAPE_DURATION},
    {.key = "curve", .type = SHAPE_WORD, .words = curve_words,
     .word_count = 2},
    {.key = NULL}};
static const struct shape analysis_shape[] = {
    {.key = "templates", .type = SHAPE_LIST_ANY},
    {.key = "args", .type = SHAPE_LIST_ANY},
    {.key = "dryRun", .type = SHAPE_LIST_ANY},
    {.key = "startingStep", .type = SHAPE_COUNT},
    {.key = NULL}};
static const struct shape scale_shape[] = {
    {.key = "replicas", .type = SHAPE_COUNT},
    {.key = "weight", .type = SHAPE_PERCENT},
    {.key = "matchTrafficWeight", .type = SHAPE_BOOL},
    {.key = NULL}};
static const struct shape header_route_shape[] = {
    {.key = "name", .type = SHAPE_TEXT},
    {.key = "match", .type = SHAPE_LIST_ANY},
    {.key = NULL}};
static const struct shape mirror_route_shape[] = {
    {.key = "name", .type = SHAPE_TEXT},
    {.key = "percentage", .type = SHAPE_PERCENT},
    {.key = "match", .type = SHAPE_LIST_ANY},
    {.key = NULL}};
static const struct shape window_shape[] = {
    {.key = "revisions", .type = SHAPE_COUNT}, {.key = NULL}};

/* A step is a map with one of these. */
static const struct shape step_shape[] = {
    {.key = "setWeight", .type = SHAPE_PERCENT},
    {.key = "pause", .type = SHAPE_MAP, .members = pause_shape},
    {.key = "ramp", .type = SHAPE_MAP, .members = ramp_shape},
    {.key = "analysis", .type = SHAPE_MAP, .members = analysis_shape},
    {.key = "setCanaryScale", .type = SHAPE_MAP, .members = scale_shape},
    {.key = "setHeaderRoute", .type = SHAPE_MAP,
     .members = header_route_shape},
    {.key = "setMirrorRoute", .type = SHAPE_MAP,
     .members = mirror_route_shape},
    {.key = "experiment", .type = SHAPE_ANY},
    {.key = "plugin", .type = SHAPE_ANY},
    {.key = NULL}};

#define COMMON_SHAPE                                                        \
    {.key = "onFailure", .type = SHAPE_WORD, .words = failure_words,        \
     .word_count = 3},                                                      \
    {.key = "onAbort", .type = SHAPE_WORD, .words = abort_words,            \
     .word_count = 2},                                                      \
    {.key = "maxHarmedRequests", .type = SHAPE_COUNT},                      \
    {.key = "maxHarmedUsers", .type = SHAPE_COUNT},                         \
    {.key = "analysis", .type = SHAPE_MAP, .members = analysis_shape},      \
    {.key = "progressDeadlineSeconds", .type = SHAPE_COUNT},                \
    {.key = "progressDeadlineAbort", .type = SHAPE_BOOL},                   \
    {.key = "rollbackWindow", .type = SHAPE_MAP, .members = window_shape},  \
    {.key = "revisionHistoryLimit", .type = SHAPE_COUNT},                   \
    {.key = "scaleDownDelaySeconds", .type = SHAPE_COUNT},                  \
    {.key = "abortScaleDownDelaySeconds", .type = SHAPE_COUNT}

static const struct shape canary_shape[] = {
    {.key = "steps", .type = SHAPE_STEPS},
    {.key = "maxTrafficWeight", .type = SHAPE_COUNT},
    {.key = "managedRoutes", .type = SHAPE_LIST_ANY},
    {.key = "maxSurge", .type = SHAPE_AMOUNT},
    {.key = "maxUnavailable", .type = SHAPE_AMOUNT},
    COMMON_SHAPE,
    {.key = NULL}};
static const struct shape blue_green_shape[] = {
    {.key = "autoPromotionEnabled", .type = SHAPE_BOOL},
    {.key = "autoPromotionSeconds", .type = SHAPE_COUNT},
    {.key = "previewReplicaCount", .type = SHAPE_COUNT},
    {.key = "prePromotionAnalysis", .type = SHAPE_MAP,
     .members = analysis_shape},
    {.key = "postPromotionAnalysis", .type = SHAPE_MAP,
     .members = analysis_shape},
    COMMON_SHAPE,
    {.key = NULL}};
static const struct shape rolling_shape[] = {
    {.key = "maxSurge", .type = SHAPE_AMOUNT},
    {.key = "maxUnavailable", .type = SHAPE_AMOUNT},
    {.key = "batches", .type = SHAPE_LIST_ANY},
    {.key = "pause", .type = SHAPE_MAP, .members = pause_shape},
    COMMON_SHAPE,
    {.key = NULL}};

static bool check_value(struct gray_check *c, const struct where *at,
                        json_t *value, const struct shape *shape);

static bool check_shape(struct gray_check *c, const struct where *at,
                        json_t *value, const struct shape *members)
{
    const char *keys[SHAPE_KEYS_MAX] = {NULL};
    json_t *values[SHAPE_KEYS_MAX];
    size_t count = 0;
    while (members[count].key != NULL && count < SHAPE_KEYS_MAX) {
        keys[count] = members[count].key;
        count++;
    }
    if (!gray_check_map(c, at, value, keys, count, values)) {
        return false;
    }
    bool good = true;
    for (size_t i = 0; i < count; i++) {
        if (values[i] != NULL) {
            good &= check_value(c, AT_KEY(at, keys[i]), values[i],
                                &members[i]);
        }
    }
    return good;
}

static bool check_duration(struct gray_check *c, const struct where *at,
                           json_t *value)
{
    int64_t ms;
    if (json_is_integer(value) && json_integer_value(value) >= 0) {
        return true;
    }
    if (!json_is_string(value) ||
        !gray_parse_duration(json_string_value(value), &ms)) {
        return gray_check_error(c, GRAY_PROBLEM_BAD_DURATION, at,
                                "%s is no duration; write 60s, 10m or 1h30m, "
                                "or a number of seconds",
                                at->key == NULL ? "this" : at->key);
    }
    return true;
}

static bool check_amount(struct gray_check *c, const struct where *at,
                         json_t *value)
{
    if (json_is_integer(value) && json_integer_value(value) >= 0) {
        return true;
    }
    const char *text = json_is_string(value) ? json_string_value(value) : "";
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 3 || strcmp(text + digits, "%") != 0) {
        return gray_check_error(c, GRAY_PROBLEM_WRONG_TYPE, at,
                                "%s must be a whole number of instances or a "
                                "percent in quotes such as \"25%%\"",
                                at->key);
    }
    return true;
}

/* A weight that falls again would drop users who are in. */
static bool check_growth(struct gray_check *c, const struct where *at,
                         const char *key, json_t *inner, uint32_t *weight)
{
    json_t *target = strcmp(key, "setWeight") == 0 ? inner
                     : strcmp(key, "ramp") == 0
                         ? json_object_get(inner, "to")
                         : NULL;
    uint32_t now;
    if (target == NULL || !json_is_number(target) ||
        !gray_parse_percent(json_number_value(target), &now)) {
        return true;
    }
    if (now < *weight) {
        return gray_check_error(c, GRAY_PROBLEM_BAD_STRATEGY, at,
                                "%s lowers the weight from %g to %g, and "
                                "users who are in would fall out; steps only "
                                "grow",
                                key, *weight / 10000.0, now / 10000.0);
    }
    *weight = now;
    return true;
}

static bool check_step(struct gray_check *c, const struct where *at,
                       json_t *value, uint32_t *weight)
{
    const char *words[SHAPE_KEYS_MAX];
    size_t count = 0;
    while (step_shape[count].key != NULL) {
        words[count] = step_shape[count].key;
        count++;
    }
    if (!json_is_object(value) || json_object_size(value) != 1) {
        return gray_check_error(c, GRAY_PROBLEM_BAD_STRATEGY, at,
                                "a step is a map with one of %s",
                                gray_check_words(c, words, count));
    }
    if (!check_shape(c, at, value, step_shape)) {
        return false;
    }
    void *member = json_object_iter(value);
    const char *key = json_object_iter_key(member);
    json_t *inner = json_object_iter_value(member);
    const struct where *place = AT_KEY(at, key);
    if (strcmp(key, "ramp") == 0 &&
        (json_object_get(inner, "to") == NULL ||
         json_object_get(inner, "duration") == NULL)) {
        return gray_check_missing(c, place, "to or duration",
                                  "{to: 50, duration: 10m}");
    }
    return check_growth(c, place, key, inner, weight);
}

static bool check_steps(struct gray_check *c, const struct where *at,
                        json_t *value)
{
    if (!gray_check_list(c, at, value, GRAY_STEPS_MAX,
                         "[{setWeight: 1}, {pause: {duration: 60s}}]")) {
        return false;
    }
    bool good = true;
    uint32_t weight = 0;
    for (size_t i = 0; i < json_array_size(value); i++) {
        json_t *step = json_array_get(value, i);
        good &= check_step(c, AT_ITEM(at, i), step, &weight);
    }
    return good;
}

static bool check_items(struct gray_check *c, const struct where *at,
                        json_t *value, bool texts)
{
    struct model_text text;
    if (!gray_check_list(c, at, value, GRAY_SET_MAX, "[a, b]")) {
        return false;
    }
    bool good = true;
    for (size_t i = 0; i < json_array_size(value); i++) {
        json_t *item = json_array_get(value, i);
        if (texts) {
            good &= gray_check_text(c, AT_ITEM(at, i), item, GRAY_TEXT_MAX,
                                    &text);
        } else if (json_is_null(item)) {
            good = gray_check_error(c, GRAY_PROBLEM_BLANK, AT_ITEM(at, i),
                                    "a blank item; take it out");
        }
    }
    return good;
}

static bool check_value(struct gray_check *c, const struct where *at,
                        json_t *value, const struct shape *shape)
{
    uint32_t number;
    int64_t count;
    bool yes;
    struct model_text text;
    switch (shape->type) {
    case SHAPE_PERCENT:
        return gray_check_percent(c, at, value, &number);
    case SHAPE_DURATION:
        return check_duration(c, at, value);
    case SHAPE_COUNT:
        return gray_check_integer(c, at, value, 0, INT64_MAX, &count);
    case SHAPE_AMOUNT:
        return check_amount(c, at, value);
    case SHAPE_BOOL:
        return gray_check_bool(c, at, value, &yes);
    case SHAPE_TEXT:
        return gray_check_text(c, at, value, GRAY_TEXT_MAX, &text);
    case SHAPE_WORD:
        return gray_check_word(c, at, value, shape->words, shape->word_count,
                               &number);
    case SHAPE_MAP:
        return check_shape(c, at, value, shape->members);
    case SHAPE_LIST_TEXT:
    case SHAPE_LIST_ANY:
        return check_items(c, at, value, shape->type == SHAPE_LIST_TEXT);
    case SHAPE_STEPS:
        return check_steps(c, at, value);
    case SHAPE_ANY:
        break;
    }
    return true;
}

bool gray_check_strategy(struct gray_check *c, const struct where *at,
                         json_t *value)
{
    static const struct shape *const shapes[] = {
        canary_shape, blue_green_shape, rolling_shape};
    json_t *values[3];
    if (!gray_check_map(c, at, value, kind_words, 3, values)) {
        return false;
    }
    bool good = true;
    size_t found = 0;
    for (size_t i = 0; i < 3; i++) {
        if (values[i] != NULL) {
            found++;
            good &= check_shape(c, AT_KEY(at, kind_words[i]), values[i],
                                shapes[i]);
        }
    }
    if (found != 1 && json_object_size(value) == found) {
        return gray_check_error(c, GRAY_PROBLEM_BAD_STRATEGY, at,
                                "a strategy is just one of canary, blueGreen "
                                "and rolling");
    }
    if (values[0] != NULL && json_object_get(values[0], "steps") == NULL) {
        return gray_check_missing(c, AT_KEY(at, "canary"), "steps",
                                  "steps: [{setWeight: 1}, {pause: {}}]");
    }
    return good;
}
