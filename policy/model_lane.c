/* SPDX-License-Identifier: Apache-2.0
 * model_lane.c - Lane: members, selector, and the rules that lead into it.
 *
 * Why: a lane's rule is a condition and a share of the units for which it
 * holds; the share becomes one more test of the condition, so that readers
 * know conditions alone.
 * Read next: model_entrance.c (rules of all lanes in one order).
 */
#include "policy/check.h"

#include <string.h>

enum lane_key { KEY_KIND, KEY_NAME, KEY_GROUP, KEY_ENABLED, KEY_PRIORITY,
                KEY_MODE, KEY_SELECTOR, KEY_SERVICES, KEY_ENTRANCES,
                KEY_FALLBACK, KEY_UNIT, KEY_SALT, KEY_RULES, KEY_COUNT };

struct lane_context {
    struct model_unit unit;
    uint32_t unit_count;
    struct model_text salt;
};

static bool check_selector(struct gray_check *c, json_t *value,
                           struct model_lane *lane)
{
    const struct where *at = AT_KEY(NULL, "selector");
    if (value == NULL) {
        lane->selector = gray_arena_take(c->arena, sizeof(*lane->selector));
        lane->selector[0] = (struct model_label){"lane", lane->name};
        lane->selector_count = 1;
        return true;
    }
    if (!gray_check_labels(c, at, value, true, &lane->selector,
                           &lane->selector_count)) {
        return false;
    }
    bool named = false;
    for (uint32_t i = 0; i < lane->selector_count; i++) {
        named |= lane->selector[i].value != NULL;
        if (strcmp(lane->selector[i].key, "version") == 0) {
            return gray_check_error(
                c, GRAY_PROBLEM_RESERVED_LABEL, AT_KEY(at, "version"),
                "a lane cannot be selected by version: every endpoint has "
                "one, so no baseline would be left; use a label such as lane");
        }
    }
    if (!named) {
        return gray_check_error(c, GRAY_PROBLEM_EMPTY, at,
                                "the selector names no label that an "
                                "endpoint has; write {lane: %s}",
                                lane->name);
    }
    return true;
}

/* {when} and a share of the units, as one condition. */
static struct cond *with_share(struct gray_check *c, const struct where *at,
                               struct cond *when, uint32_t share,
                               const struct lane_context *context)
{
    struct cond *both = gray_arena_take(c->arena, sizeof(*both));
    struct cond *children =
        gray_arena_array(c->arena, 2, sizeof(*children));
    struct cond *percent = when == NULL ? both : &children[1];
    const char *pointer = gray_check_pointer(c, at);
    percent->kind = COND_TEST;
    percent->source = context->unit.source;
    percent->name = context->unit.name;
    percent->op = GRAY_CONDITION_PERCENT;
    percent->share = share;
    percent->salt = context->salt;
    percent->text.data = "";
    percent->pre.data = "";
    percent->pointer = pointer;
    if (when != NULL) {
        children[0] = *when;
        *both = (struct cond){.kind = COND_ALL,
                              .children = children,
                              .child_count = 2,
                              .name = {"", 0},
                              .text = {"", 0},
                              .pre = {"", 0},
                              .salt = {"", 0},
                              .pointer = pointer};
    }
    return both;
}

static bool check_rule(struct gray_check *c, const struct where *at,
                       json_t *value, size_t number, uint32_t lane,
                       const struct lane_context *context,
                       struct model_rule *rule)
{
    static const char *const keys[] = {"name", "when", "share"};
    const struct cond_scope scope = {.units = &context->unit,
                                     .unit_count = context->unit_count,
                                     .lane = true};
    json_t *values[3];
    uint32_t share = GRAY_SHARE_ALL;
    if (!gray_check_map(c, at, value, keys, 3, values)) {
        return false;
    }
    bool good = true;
    rule->lane = lane;
    rule->name = gray_arena_print(c->arena, "%s[%zu]", c->document->name,
                                  number);
    if (values[0] != NULL) {
        good &= gray_check_name(c, AT_KEY(at, "name"), values[0], false,
                                &rule->name);
    }
    if (values[1] == NULL && values[2] == NULL) {
        return gray_check_missing(c, at, "when", "when: COND, or a share");
    }
    if (values[1] != NULL) {
        rule->when = gray_arena_take(c->arena, sizeof(*rule->when));
        good &= gray_check_condition(c, AT_KEY(at, "when"), values[1],
                                     &scope, rule->when);
    }
    if (values[2] != NULL) {
        good &= gray_check_percent(c, AT_KEY(at, "share"), values[2], &share);
    }
    if (good && share < GRAY_SHARE_ALL) {
        if (context->unit_count == 0) {
            return gray_check_error(c, GRAY_PROBLEM_MISSING_UNIT,
                                    AT_KEY(at, "share"),
                                    "a share of units needs the unit; write "
                                    "unit: {cookie: uid} in this Lane");
        }
        rule->when = with_share(c, at, rule->when, share, context);
    }
    return good;
}

static bool check_lane_rules(struct gray_check *c, json_t *value,
                             uint32_t lane,
                             const struct lane_context *context,
                             struct lane_rules *rules)
{
    const struct where *at = AT_KEY(NULL, "rules");
    if (value == NULL) {
        return true;
    }
    if (!gray_check_list(c, at, value, GRAY_RULES_MAX,
                         "[{name: team, when: COND}]")) {
        return false;
    }
    size_t count = json_array_size(value);
    struct gray_names seen = {.arena = c->arena};
    bool good = true;
    rules->rules = gray_arena_array(c->arena, count, sizeof(*rules->rules));
    rules->count = (uint32_t)count;
    for (size_t i = 0; i < count; i++) {
        struct model_rule *rule = &rules->rules[i];
        const struct where *item = AT_ITEM(at, i);
        if (!check_rule(c, item, json_array_get(value, i), i, lane, context,
                        rule)) {
            good = false;
        } else if (!gray_names_add(&seen, rule->name, strlen(rule->name), 0,
                                   NULL)) {
            good = gray_check_error(c, GRAY_PROBLEM_DUPLICATE,
                                    AT_KEY(item, "name"),
                                    "a rule \"%s\" is there already; give it "
                                    "a name of its own",
                                    rule->name);
        }
    }
    return good;
}

static bool check_references(struct gray_check *c, json_t *const *values,
                             struct model_lane *lane,
                             struct lane_rules *rules)
{
    struct name_list services = {0}, fallback = {0};
    const struct where *at = AT_KEY(NULL, "fallback");
    bool good = true;
    if (values[KEY_SERVICES] == NULL) {
        good = gray_check_missing(c, NULL, "services",
                                  "services: [cart, order], its members");
    } else {
        good &= gray_check_names(c, AT_KEY(NULL, "services"),
                                 values[KEY_SERVICES], &c->services,
                                 GRAY_PROBLEM_UNKNOWN_SERVICE, false,
                                 &services);
    }
    if (values[KEY_ENTRANCES] != NULL) {
        good &= gray_check_names(c, AT_KEY(NULL, "entrances"),
                                 values[KEY_ENTRANCES], NULL,
                                 GRAY_PROBLEM_UNKNOWN_WORD, false,
                                 &rules->entrances);
    }
    if (values[KEY_FALLBACK] != NULL) {
        good &= gray_check_names(c, at, values[KEY_FALLBACK], &c->lanes,
                                 GRAY_PROBLEM_UNKNOWN_LANE, true, &fallback);
        if (lane->strict && fallback.count > 0) {
            good = gray_check_error(c, GRAY_PROBLEM_STRICT_FALLBACK, at,
                                    "a strict lane never falls back; take "
                                    "fallback out, or write mode: "
                                    "permissive");
        }
        for (uint32_t i = 0; i < fallback.count; i++) {
            if (strcmp(fallback.names[i], lane->name) == 0) {
                good = gray_check_error(c, GRAY_PROBLEM_DUPLICATE, at,
                                        "a lane cannot fall back to itself; "
                                        "take %s out",
                                        lane->name);
            }
        }
    }
    lane->services = services.numbers;
    lane->service_count = services.count;
    lane->fallback = fallback.numbers;
    lane->fallback_count = fallback.count;
    return good;
}

static bool check_settings(struct gray_check *c, json_t *const *values,
                           struct model_lane *lane,
                           struct lane_context *context,
                           struct lane_rules *rules)
{
    static const char *const modes[] = {"permissive", "strict"};
    bool good = true;
    uint32_t mode = 0;
    lane->group = lane->name;
    lane->enabled = true;
    if (values[KEY_GROUP] != NULL) {
        good &= gray_check_name(c, AT_KEY(NULL, "group"), values[KEY_GROUP],
                                false, &lane->group);
    }
    if (values[KEY_ENABLED] != NULL) {
        good &= gray_check_bool(c, AT_KEY(NULL, "enabled"),
                                values[KEY_ENABLED], &lane->enabled);
    }
    if (values[KEY_MODE] != NULL) {
        good &= gray_check_word(c, AT_KEY(NULL, "mode"), values[KEY_MODE],
                                modes, 2, &mode);
    }
    lane->strict = mode == 1;
    if (values[KEY_PRIORITY] != NULL) {
        good &= gray_check_integer(c, AT_KEY(NULL, "priority"),
                                   values[KEY_PRIORITY], INT32_MIN, INT32_MAX,
                                   &rules->priority);
    }
    if (values[KEY_UNIT] != NULL) {
        good &= gray_check_unit(c, AT_KEY(NULL, "unit"), values[KEY_UNIT], 1,
                                &context->unit, &context->unit_count,
                                NULL);
    }
    context->salt.data = gray_arena_print(c->arena, "lane:%s", lane->name);
    context->salt.length = (uint32_t)strlen(context->salt.data);
    if (values[KEY_SALT] != NULL) {
        good &= gray_check_text(c, AT_KEY(NULL, "salt"), values[KEY_SALT],
                                GRAY_TEXT_MAX, &context->salt);
        if (context->salt.length == 0) {
            good = gray_check_error(c, GRAY_PROBLEM_EMPTY,
                                    AT_KEY(NULL, "salt"),
                                    "the salt is empty; leave the key out");
        }
    }
    return good;
}

bool gray_check_lane(struct gray_check *c, uint32_t number,
                     struct lane_rules *ret_rules)
{
    static const char *const keys[KEY_COUNT] = {
        "kind",     "name",     "group",     "enabled",  "priority",
        "mode",     "selector", "services",  "entrances", "fallback",
        "unit",     "salt",     "rules"};
    struct model_lane *lane = &c->model->lanes[number];
    struct lane_context context = {0};
    json_t *values[KEY_COUNT];
    bool good = gray_check_map(c, NULL, c->document->tree, keys, KEY_COUNT,
                               values);
    lane->name = c->document->name;
    good &= check_settings(c, values, lane, &context, ret_rules);
    good &= check_selector(c, values[KEY_SELECTOR], lane);
    good &= check_references(c, values, lane, ret_rules);
    good &= check_lane_rules(c, values[KEY_RULES], number, &context,
                             ret_rules);
    return good;
}
