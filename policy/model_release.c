/* SPDX-License-Identifier: Apache-2.0
 * model_release.c - Release: what is released, to whom, and in which order.
 *
 * Why: this is the document that decides who meets the new version, so every
 * default of docs/documents.md is made explicit here and nothing later has to
 * know one.
 * Read next: model_condition.c, model_strategy.c, model_cross.c.
 */
#include "policy/check.h"

#include <string.h>

static const char *const step_words[] = {"deny", "allow", "mark", "rules",
                                         "evidence"};

/* ---- what it leads to ---------------------------------------------------- */

static bool check_target(struct gray_check *c, const struct where *at,
                         json_t *value, struct model_target *target)
{
    static const char *const keys[] = {"service", "version"};
    static const char example[] = "{service: cart, version: v2}";
    json_t *values[2];
    const char *service;
    if (!gray_check_map(c, at, value, keys, 2, values)) {
        return false;
    }
    if (values[0] == NULL || values[1] == NULL) {
        return gray_check_missing(
            c, at, values[0] == NULL ? "service" : "version", example);
    }
    if (!gray_check_name(c, AT_KEY(at, "service"), values[0], false,
                         &service) ||
        !gray_check_name(c, AT_KEY(at, "version"), values[1], true,
                         &target->version)) {
        return false;
    }
    target->service = gray_names_find(&c->services, service, strlen(service));
    if (target->service == UINT32_MAX) {
        return gray_check_error(c, GRAY_PROBLEM_UNKNOWN_SERVICE,
                                AT_KEY(at, "service"),
                                "there is no Service \"%s\"; write one, or "
                                "mend the name",
                                service);
    }
    const char *key = gray_arena_print(c->arena, "%u/%s", target->service,
                                       target->version);
    if (gray_names_find(&c->versions, key, strlen(key)) == UINT32_MAX) {
        return gray_check_error(c, GRAY_PROBLEM_UNKNOWN_VERSION,
                                AT_KEY(at, "version"),
                                "Service %s has no version \"%s\"; add it "
                                "there under versions",
                                service, target->version);
    }
    return true;
}

static bool check_targets(struct gray_check *c, const struct where *at,
                          json_t *value, struct model_variant *variant)
{
    static const char example[] = "[{service: cart, version: v2}]";
    if (!gray_check_list(c, at, value, GRAY_SET_MAX, example)) {
        return false;
    }
    size_t count = json_array_size(value);
    if (count == 0) {
        return gray_check_error(c, GRAY_PROBLEM_EMPTY, at,
                                "no service at all; write %s", example);
    }
    struct gray_names seen = {.arena = c->arena};
    struct model_target *targets =
        gray_arena_array(c->arena, count, sizeof(*targets));
    bool good = true;
    for (size_t i = 0; i < count; i++) {
        struct model_target *target = &targets[variant->target_count];
        const struct where *item = AT_ITEM(at, i);
        if (!check_target(c, item, json_array_get(value, i), target)) {
            good = false;
            continue;
        }
        const char *service = gray_arena_copy(
            c->arena, (const char *)&target->service, sizeof(uint32_t));
        if (!gray_names_add(&seen, service, sizeof(uint32_t), 0, NULL)) {
            good = gray_check_error(c, GRAY_PROBLEM_DUPLICATE, item,
                                    "a service has one version here; this "
                                    "one stands there already");
            continue;
        }
        variant->target_count++;
    }
    variant->targets = targets;
    return good;
}

static bool check_variant(struct gray_check *c, const struct where *at,
                          json_t *value, struct gray_names *seen,
                          uint32_t *sum, struct model_variant *variant)
{
    static const char *const keys[] = {"name", "weight", "services"};
    static const char *const examples[] = {
        "name: a", "weight: 50", "services: [{service: cart, version: v2}]"};
    json_t *values[3];
    uint32_t weight;
    if (!gray_check_map(c, at, value, keys, 3, values)) {
        return false;
    }
    for (size_t i = 0; i < 3; i++) {
        if (values[i] == NULL) {
            return gray_check_missing(c, at, keys[i], examples[i]);
        }
    }
    if (!gray_check_name(c, AT_KEY(at, "name"), values[0], false,
                         &variant->name) ||
        !gray_check_percent(c, AT_KEY(at, "weight"), values[1], &weight)) {
        return false;
    }
    if (!gray_names_add(seen, variant->name, strlen(variant->name), 0,
                        NULL)) {
        return gray_check_error(c, GRAY_PROBLEM_DUPLICATE,
                                AT_KEY(at, "name"),
                                "a variant \"%s\" is there already; give it "
                                "a name of its own",
                                variant->name);
    }
    *sum = weight > UINT32_MAX - *sum ? UINT32_MAX : *sum + weight;
    variant->upto = *sum;
    return check_targets(c, AT_KEY(at, "services"), values[2], variant);
}

static bool check_variants(struct gray_check *c, const struct where *at,
                           json_t *value, struct model_release *release)
{
    static const char example[] =
        "[{name: a, weight: 50, services: [...]}, {name: b, ...}]";
    if (!gray_check_list(c, at, value, 255, example)) {
        return false;
    }
    size_t count = json_array_size(value);
    if (count == 0) {
        return gray_check_error(c, GRAY_PROBLEM_EMPTY, at,
                                "no variant at all; write %s", example);
    }
    struct gray_names seen = {.arena = c->arena};
    uint32_t sum = 0;
    bool good = true;
    release->variants =
        gray_arena_array(c->arena, count, sizeof(*release->variants));
    release->variant_count = (uint32_t)count;
    for (size_t i = 0; i < count; i++) {
        good &= check_variant(c, AT_ITEM(at, i), json_array_get(value, i),
                              &seen, &sum, &release->variants[i]);
    }
    if (good && sum != GRAY_SHARE_ALL) {
        return gray_check_error(c, GRAY_PROBLEM_WEIGHT_SUM, at,
                                "the weights make %.4f; make them 100",
                                sum / 10000.0);
    }
    return good;
}

static bool check_arms(struct gray_check *c, json_t *services,
                       json_t *variants, struct model_release *release)
{
    if (services != NULL && variants != NULL) {
        return gray_check_error(c, GRAY_PROBLEM_DUPLICATE,
                                AT_KEY(NULL, "variants"),
                                "services and variants both; write one of "
                                "them");
    }
    if (variants != NULL) {
        return check_variants(c, AT_KEY(NULL, "variants"), variants, release);
    }
    if (services == NULL) {
        return gray_check_missing(c, NULL, "services",
                                  "services: [{service: cart, version: v2}]");
    }
    release->variants =
        gray_arena_take(c->arena, sizeof(*release->variants));
    release->variant_count = 1;
    release->variants[0].name = "";
    release->variants[0].upto = GRAY_SHARE_ALL;
    return check_targets(c, AT_KEY(NULL, "services"), services,
                         &release->variants[0]);
}

/* ---- admission ----------------------------------------------------------- */

static void default_order(struct model_release *release)
{
    static const uint8_t plain[8] = {GRAY_STEP_DENY, GRAY_STEP_ALLOW,
                                     GRAY_STEP_MARK, GRAY_STEP_RULES,
                                     GRAY_STEP_EVIDENCE, GRAY_STEP_END};
    static const uint8_t entity[8] = {GRAY_STEP_MARK, GRAY_STEP_DENY,
                                      GRAY_STEP_ALLOW, GRAY_STEP_RULES,
                                      GRAY_STEP_EVIDENCE, GRAY_STEP_END};
    memcpy(release->order,
           release->stickiness == GRAY_STICKY_ENTITY ? entity : plain,
           sizeof(plain));
}

static bool check_order(struct gray_check *c, const struct where *at,
                        json_t *value, struct model_release *release)
{
    default_order(release);
    if (value == NULL) {
        return true;
    }
    if (!gray_check_list(c, at, value, GRAY_SET_MAX,
                         "[deny, allow, mark, rules, evidence]")) {
        return false;
    }
    uint8_t order[8] = {0};
    uint32_t seen = 0;
    size_t count = json_array_size(value);
    for (size_t i = 0; i < count; i++) {
        uint32_t step;
        if (!gray_check_word(c, AT_ITEM(at, i), json_array_get(value, i),
                             step_words, 5, &step)) {
            return false;
        }
        if (seen & (1u << step)) {
            return gray_check_error(c, GRAY_PROBLEM_BAD_ORDER, AT_ITEM(at, i),
                                    "%s stands twice; each step is taken "
                                    "once",
                                    step_words[step]);
        }
        seen |= 1u << step;
        order[i] = (uint8_t)(GRAY_STEP_DENY + step);
    }
    uint32_t needed = (release->deny_count > 0 ? 1u : 0) |
                      (release->allow_count > 0 ? 2u : 0) | 8u;
    for (uint32_t step = 0; step < 5; step++) {
        if (needed & ~seen & (1u << step)) {
            return gray_check_error(c, GRAY_PROBLEM_BAD_ORDER, at,
                                    "order has no step %s, so what is "
                                    "written under it would do nothing; add "
                                    "it",
                                    step_words[step]);
        }
    }
    memcpy(release->order, order, sizeof(order));
    return true;
}

static bool check_shares(struct gray_check *c, const struct where *at,
                         json_t *share, json_t *holdback, bool driven,
                         struct model_release *release)
{
    bool good = true;
    if (share != NULL) {
        good &= gray_check_percent(c, AT_KEY(at, "share"), share,
                                   &release->share);
    }
    if (holdback != NULL) {
        good &= gray_check_percent(c, AT_KEY(at, "holdback"), holdback,
                                   &release->holdback);
    }
    if (good && release->share + release->holdback > GRAY_SHARE_ALL) {
        good = gray_check_error(c, GRAY_PROBLEM_SHARE_SUM,
                                AT_KEY(at, "holdback"),
                                "share and holdback make %.4f together; at "
                                "most 100 is there",
                                (release->share + release->holdback) /
                                    10000.0);
    }
    if (good && release->match_count > 0 && release->share == 0 &&
        !driven) {
        good = gray_check_error(c, GRAY_PROBLEM_MATCH_WITHOUT_SHARE,
                                AT_KEY(at, "match"),
                                "match says who may come in, share how many "
                                "of them; write share: 100 for all, or use "
                                "allow");
    }
    return good;
}

static bool check_admission(struct gray_check *c, json_t *value,
                            bool driven, struct model_release *release)
{
    static const char *const keys[] = {"share", "holdback", "deny", "allow",
                                       "require", "match", "anonymous",
                                       "order", "dimension"};
    static const char *const anonymous[] = {"baseline", "cookie", "random"};
    const struct where *at = AT_KEY(NULL, "admission");
    const struct cond_scope scope = {.units = release->units,
                                     .unit_count = release->unit_count};
    json_t *values[9] = {0};
    bool good = true;
    if (value != NULL) {
        good = gray_check_map(c, at, value, keys, 9, values);
    }
    good &= gray_check_rules(c, AT_KEY(at, "deny"), values[2], &scope,
                             &release->deny, &release->deny_count);
    good &= gray_check_rules(c, AT_KEY(at, "allow"), values[3], &scope,
                             &release->allow, &release->allow_count);
    for (uint32_t i = 0; i < release->allow_count; i++) {
        struct cond *when = release->allow[i].when;
        release->allow[i].writes = when->kind == COND_TEST &&
                                   when->op == GRAY_CONDITION_LIST &&
                                   when->source == GRAY_SOURCE_UNIT;
    }
    if (values[4] != NULL) {
        release->require =
            gray_arena_take(c->arena, sizeof(*release->require));
        good &= gray_check_condition(c, AT_KEY(at, "require"), values[4],
                                     &scope, release->require);
    }
    good &= gray_check_rules(c, AT_KEY(at, "match"), values[5], &scope,
                             &release->match, &release->match_count);
    good &= check_shares(c, at, values[0], values[1],
                         driven || values[8] != NULL, release);
    if (values[6] != NULL) {
        uint32_t word;
        if (gray_check_word(c, AT_KEY(at, "anonymous"), values[6], anonymous,
                            3, &word)) {
            release->anonymous = (uint8_t)word;
        } else {
            good = false;
        }
    }
    good &= check_order(c, AT_KEY(at, "order"), values[7], release);
    return good;
}

/* ---- the document -------------------------------------------------------- */

enum release_key { KEY_KIND, KEY_NAME, KEY_DESCRIPTION, KEY_SERVICES,
                   KEY_VARIANTS, KEY_UNIT, KEY_SALT, KEY_PRIORITY,
                   KEY_ENTRANCES, KEY_STICKINESS, KEY_DATA_COMPAT,
                   KEY_ADMISSION, KEY_STRATEGY, KEY_ATTEMPT,
                   KEY_DURABILITY, KEY_STRICT_TIMEOUT, KEY_ADMISSION_LEASE,
                   KEY_STRICT_KEY, KEY_SHARED_MARKS, KEY_ON_UNKNOWN,
                   KEY_STAGES, KEY_DIMENSIONS, KEY_COUNT };

static bool check_words(struct gray_check *c, json_t *const *values,
                        struct model_release *release)
{
    static const char *const sticky[] = {"none", "monotonic", "entity"};
    static const char *const compat[] = {"stateless", "reversible",
                                         "irreversible"};
    uint32_t word = GRAY_STICKY_MONOTONIC;
    bool good = true;
    if (values[KEY_STICKINESS] != NULL) {
        good &= gray_check_word(c, AT_KEY(NULL, "stickiness"),
                                values[KEY_STICKINESS], sticky, 3, &word);
    }
    release->stickiness = (uint8_t)word;
    word = release->stickiness == GRAY_STICKY_ENTITY ? GRAY_DATA_IRREVERSIBLE
                                                     : GRAY_DATA_STATELESS;
    if (values[KEY_DATA_COMPAT] != NULL) {
        good &= gray_check_word(c, AT_KEY(NULL, "dataCompat"),
                                values[KEY_DATA_COMPAT], compat, 3, &word);
    }
    release->data_compat = (uint8_t)word;
    return good;
}

static bool check_identity(struct gray_check *c, json_t *const *values,
                           struct model_release *release)
{
    bool good = true;
    struct model_text text = {release->name, (uint32_t)strlen(release->name)};
    if (values[KEY_SALT] != NULL) {
        good &= gray_check_text(c, AT_KEY(NULL, "salt"), values[KEY_SALT],
                                GRAY_TEXT_MAX, &text);
        if (text.length == 0) {
            good = gray_check_error(c, GRAY_PROBLEM_EMPTY,
                                    AT_KEY(NULL, "salt"),
                                    "the salt is empty; leave the key out "
                                    "(it is the name then)");
        }
    }
    release->salt = text.data;
    if (values[KEY_PRIORITY] != NULL) {
        int64_t priority = 0;
        good &= gray_check_integer(c, AT_KEY(NULL, "priority"),
                                   values[KEY_PRIORITY], INT32_MIN, INT32_MAX,
                                   &priority);
        release->priority = (int32_t)priority;
    }
    if (values[KEY_UNIT] != NULL) {
        good &= gray_check_unit(c, AT_KEY(NULL, "unit"), values[KEY_UNIT],
                                GRAY_UNIT_SLOTS, release->units,
                                &release->unit_count, &release->alias);
        if (release->alias.name.data != NULL &&
            release->stickiness == GRAY_STICKY_NONE) {
            good = gray_check_error(c, GRAY_PROBLEM_NEEDS_MARKS,
                                    AT_KEY(NULL, "unit"),
                                    "alias keeps an earlier answer, and "
                                    "stickiness: none keeps none; write "
                                    "stickiness: monotonic, or take alias "
                                    "out");
        }
    }
    if (values[KEY_DESCRIPTION] != NULL) {
        struct model_text description;
        good &= gray_check_text(c, AT_KEY(NULL, "description"),
                                values[KEY_DESCRIPTION], 4096, &description);
    }
    if (values[KEY_ENTRANCES] != NULL) {
        struct name_list list = {0};
        good &= gray_check_names(c, AT_KEY(NULL, "entrances"),
                                 values[KEY_ENTRANCES], NULL,
                                 GRAY_PROBLEM_UNKNOWN_WORD, false, &list);
        release->entrances = list.names;
        release->entrance_count = list.count;
    }
    return good;
}

/* A share of units needs units. */
static bool check_has_unit(struct gray_check *c, bool strategy,
                           const struct model_release *release)
{
    bool share = release->share > 0 &&
                 release->anonymous != GRAY_ANONYMOUS_RANDOM;
    if (release->unit_count == 0 &&
        (share || strategy || release->stage_count != 0 ||
         release->stickiness == GRAY_STICKY_ENTITY)) {
        return gray_check_missing(c, NULL, "unit",
                                  "unit: {cookie: uid}, so that each user "
                                  "stays where they are");
    }
    return true;
}

bool gray_check_release(struct gray_check *c, struct model_release *release)
{
    static const char *const keys[KEY_COUNT] = {
        "kind",      "name",       "description", "services",  "variants",
        "unit",      "salt",       "priority",    "entrances", "stickiness",
        "dataCompat", "admission", "strategy",    "attempt",
        "durability", "strictTimeout", "admissionLease", "strictKey",
        "sharedMarks", "onUnknown", "stages", "dimensions"};
    json_t *values[KEY_COUNT];
    bool good = gray_check_map(c, NULL, c->document->tree, keys, KEY_COUNT,
                               values);
    bool strategy = values[KEY_STRATEGY] != NULL;
    /* With a strategy, or an attempt, a share of 0 is a time of its life. */
    bool driven = strategy || values[KEY_ATTEMPT] != NULL;
    int64_t attempt = 1;
    release->name = c->document->name;
    if (values[KEY_ATTEMPT] != NULL) {
        good &= gray_check_integer(c, AT_KEY(NULL, "attempt"),
                                   values[KEY_ATTEMPT], 1,
                                   GRAY_ATTEMPT_MAX,
                                   &attempt);
    }
    release->attempt = (uint32_t)attempt;
    good &= check_words(c, values, release);
    good &= gray_check_marks(c, release);
    bool identity = check_identity(c, values, release);
    good &= identity;
    good &= check_arms(c, values[KEY_SERVICES], values[KEY_VARIANTS],
                       release);
    good &= check_admission(c, values[KEY_ADMISSION], driven, release);
    good &= gray_check_stages(c, release);
    if (identity) {
        good &= check_has_unit(c, strategy, release);
    }
    if (strategy) {
        good &= gray_check_strategy(c, AT_KEY(NULL, "strategy"),
                                    values[KEY_STRATEGY]);
    }
    return good;
}
