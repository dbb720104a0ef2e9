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
#include "policy/shape.h"

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

static const struct shape check_shape[] = {
    {.key = "name", .type = SHAPE_NAME, .needed = "{name: orders-rows}"},
    {.key = NULL}};

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
    {.key = "check", .type = SHAPE_MAP, .members = check_shape},
    {.key = "experiment", .type = SHAPE_ANY},
    {.key = "plugin", .type = SHAPE_ANY},
    {.key = NULL}};

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
    if (!gray_check_shape(c, at, value, step_shape)) {
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
    {.key = "steps", .type = SHAPE_OWN, .own = check_steps},
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
            good &= gray_check_shape(c, AT_KEY(at, kind_words[i]), values[i],
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
