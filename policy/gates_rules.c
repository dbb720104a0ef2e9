/* SPDX-License-Identifier: Apache-2.0
 * gates_rules.c - lists of rules before and after.
 *
 * Why: a list of 100,000 rules in which one changed must be compared in the
 * time of reading it, so equal rules find each other by hash, and the few that
 * are left are proven one against the others within a budget.
 * Read next: implies.c, dropped.c.
 */
#include "policy/gates.h"

#include <stdio.h>
#include <string.h>

/* Rules of one list by the hash of their conditions. */
struct rule_set {
    const struct model_rule *rules;
    uint32_t count;
    const struct gray_model *model;
    struct gray_names hashes;
    struct side *sides;
};

static struct rule_set rule_set(struct gates *g,
                                const struct model_rule *rules,
                                uint32_t count,
                                const struct gray_model *model)
{
    struct rule_set set = {.rules = rules, .count = count, .model = model,
                           .hashes = {.arena = &g->arena}};
    set.sides = gray_arena_array(&g->arena, count, sizeof(*set.sides));
    for (uint32_t i = 0; i < count; i++) {
        uint64_t hash = gray_cond_hash(rules[i].when, model);
        const char *key =
            gray_arena_copy(&g->arena, (const char *)&hash, sizeof(hash));
        gray_names_add(&set.hashes, key, sizeof(hash), i, NULL);
        set.sides[i] = (struct side){rules[i].when, model};
    }
    return set;
}

/* The same rule in the other list; UINT32_MAX: there is none. */
static uint32_t find_same(const struct rule_set *set, struct side rule)
{
    uint64_t hash = gray_cond_hash(rule.cond, rule.model);
    uint32_t number =
        gray_names_find(&set->hashes, (const char *)&hash, sizeof(hash));
    return number != UINT32_MAX &&
                   gray_cond_equal(rule.cond, rule.model,
                                   set->rules[number].when, set->model)
               ? number
               : UINT32_MAX;
}

/* Whether one rule, or all of them together, let in all that `rule` does. */
static bool covered(struct gates *g, struct side rule,
                    const struct rule_set *set, struct dropped *ret_dropped)
{
    uint32_t same = find_same(set, rule);
    memset(ret_dropped, 0, sizeof(*ret_dropped));
    if (same != UINT32_MAX &&
        gray_implies(&g->proof, rule, set->sides[same])) {
        return true;
    }
    for (uint32_t i = 0; i < set->count && g->proof.budget > 0; i++) {
        if (gray_implies(&g->proof, rule, set->sides[i])) {
            return true;
        }
    }
    gray_dropped(&g->proof, rule, set->sides, set->count, ret_dropped);
    return ret_dropped->known && ret_dropped->count == 0 &&
           !ret_dropped->shorter;
}

/* ---- what was lost, in words --------------------------------------------- */

/* An old conjunct that lists values, over the attribute of a new one. */
static const struct cond *counterpart(struct side old, const struct cond *now)
{
    const struct cond *list = old.cond->kind == COND_ALL ? old.cond->children
                                                         : old.cond;
    uint32_t count = old.cond->kind == COND_ALL ? old.cond->child_count : 1;
    for (uint32_t i = 0; i < count; i++) {
        if (list[i].kind == COND_TEST && now->kind == COND_TEST &&
            gray_same_attribute(&list[i], now)) {
            return &list[i];
        }
    }
    return NULL;
}

/* Looks inside of `all` for the one part that became narrower. */
static void lost_part(struct gates *g, struct side old, struct side now,
                      struct dropped *ret_dropped)
{
    const struct cond *list = now.cond->kind == COND_ALL ? now.cond->children
                                                         : now.cond;
    uint32_t count = now.cond->kind == COND_ALL ? now.cond->child_count : 1;
    const struct cond *narrower = NULL;
    for (uint32_t i = 0; i < count; i++) {
        struct side part = {&list[i], now.model};
        if (gray_implies(&g->proof, old, part)) {
            continue;
        }
        if (narrower != NULL) {
            return; /* two parts: no short sentence is true */
        }
        narrower = &list[i];
    }
    const struct cond *was =
        narrower == NULL ? NULL : counterpart(old, narrower);
    if (was != NULL) {
        struct side old_part = {was, old.model};
        struct side new_part = {narrower, now.model};
        gray_dropped(&g->proof, old_part, &new_part, 1, ret_dropped);
    }
}

static void say_dropped(struct gates *g, const char *pointer,
                        const char *rule, const struct dropped *dropped)
{
    if (dropped->known && dropped->count > 0 && dropped->tails) {
        snprintf(g->lost_tails, sizeof(g->lost_tails), "%s", dropped->names);
        gray_gate_say(g, GRAY_ERROR, GRAY_PROBLEM_TAIL_DROPPED, pointer,
                      "%s drops %s: units whose id ends so are in and would "
                      "fall out (%llu tail(s) in all); keep them, or send "
                      "everyone back first (gray stop %s)",
                      rule, dropped->names, (unsigned long long)dropped->count,
                      g->release);
    } else if (dropped->known && dropped->count > 0) {
        gray_gate_say(g, GRAY_ERROR, GRAY_PROBLEM_IDS_DROPPED, pointer,
                      "%s drops %s: %llu value(s) that may be in would fall "
                      "out; keep them, or send everyone back first (gray stop "
                      "%s)",
                      rule, dropped->names, (unsigned long long)dropped->count,
                      g->release);
    } else if (dropped->known && dropped->shorter) {
        gray_gate_say(g, GRAY_ERROR, GRAY_PROBLEM_TAIL_DROPPED, pointer,
                      "%s: ids with fewer digits than the new tails end in "
                      "none of them and would fall out; keep the old tails "
                      "beside the new ones",
                      rule);
    } else {
        gray_gate_say(g, GRAY_ERROR, GRAY_PROBLEM_MAY_DROP, pointer,
                      "it cannot be proven that %s still lets in all whom it "
                      "let in before; only widen it (more alternatives, a "
                      "shorter prefix, a larger range), or leave it and add "
                      "another rule",
                      rule);
    }
}

/* Where the new document speaks of it: the rule of that number, if any. */
static const char *place_of(const struct rule_set *set, uint32_t number,
                            const char *otherwise)
{
    return number < set->count && set->rules[number].when != NULL
               ? set->rules[number].when->pointer
               : otherwise;
}

static void check_covered(struct gates *g, const struct rule_set *old,
                          const struct rule_set *now, uint32_t number,
                          const char *list)
{
    struct dropped dropped;
    const char *pointer = place_of(now, number, list);
    const char *rule = old->rules[number].name;
    if (covered(g, old->sides[number], now, &dropped)) {
        return;
    }
    if (number < now->count &&
        (!dropped.known || (now->sides[number].cond != NULL &&
                            now->sides[number].cond->kind == COND_ALL))) {
        memset(&dropped, 0, sizeof(dropped));
        lost_part(g, old->sides[number], now->sides[number], &dropped);
    }
    say_dropped(g, pointer, rule, &dropped);
}

/* ---- the four lists ------------------------------------------------------ */

static void compare_match(struct gates *g, const struct model_release *old,
                          const struct model_release *now)
{
    if (now->match_count == 0) {
        return; /* everyone matches */
    }
    if (old->match_count == 0) {
        if (old->share > 0) {
            gray_gate_say(g, GRAY_ERROR, GRAY_PROBLEM_MAY_DROP,
                          "/admission/match",
                          "everyone below the share was in, and match would "
                          "keep those who do not fit out");
        }
        return;
    }
    struct rule_set before =
        rule_set(g, old->match, old->match_count, g->before);
    struct rule_set after =
        rule_set(g, now->match, now->match_count, g->after);
    for (uint32_t i = 0; i < before.count && old->share > 0; i++) {
        check_covered(g, &before, &after, i, "/admission/match");
    }
}

static void compare_require(struct gates *g, const struct model_release *old,
                            const struct model_release *now)
{
    if (old->share == 0 || (old->require == NULL && now->require == NULL)) {
        return; /* nobody is in by it yet */
    }
    if (!gray_cond_equal(old->require, g->before, now->require, g->after)) {
        gray_gate_say(g, GRAY_ERROR, GRAY_PROBLEM_REQUIRE_CHANGED,
                      "/admission/require",
                      "require is the gate that stays as it is for a "
                      "release's life; let in more by match, share or a list, "
                      "or end this release and begin one of another name");
        return;
    }
    struct model_rule rules[2] = {{.name = "require", .when = old->require},
                                  {.name = "require", .when = now->require}};
    struct rule_set before = rule_set(g, &rules[0], 1, g->before);
    struct rule_set after = rule_set(g, &rules[1], 1, g->after);
    check_covered(g, &before, &after, 0, "/admission/require");
}

static void compare_allow(struct gates *g, const struct model_release *old,
                          const struct model_release *now)
{
    struct rule_set before =
        rule_set(g, old->allow, old->allow_count, g->before);
    struct rule_set after =
        rule_set(g, now->allow, now->allow_count, g->after);
    for (uint32_t i = 0; i < before.count; i++) {
        struct dropped dropped;
        if (old->allow[i].writes) {
            check_covered(g, &before, &after, i, "/admission/allow");
        } else if (!covered(g, before.sides[i], &after, &dropped)) {
            gray_gate_say(g, GRAY_WARNING, GRAY_PROBLEM_MAY_DROP,
                          place_of(&after, i, "/admission/allow"),
                          "%s no longer lets in all whom it let in before; it "
                          "counted for single requests alone",
                          old->allow[i].name);
        }
    }
}

/* A new entry of ids is the one allowed drop. */
static void compare_deny(struct gates *g, const struct model_release *old,
                         const struct model_release *now)
{
    struct rule_set before =
        rule_set(g, old->deny, old->deny_count, g->before);
    struct rule_set after = rule_set(g, now->deny, now->deny_count, g->after);
    for (uint32_t i = 0; i < after.count; i++) {
        struct dropped added;
        if (covered(g, after.sides[i], &before, &added)) {
            continue;
        }
        const struct cond *when = now->deny[i].when;
        if (added.known && !added.tails &&
            when->source == GRAY_SOURCE_UNIT) {
            gray_gate_say(g, GRAY_WARNING, GRAY_PROBLEM_DENY_ADDED,
                          when->pointer,
                          "denied from now on, even where already in: %s "
                          "(%llu in all)",
                          added.names, (unsigned long long)added.count);
        } else {
            gray_gate_say(g, GRAY_ERROR, GRAY_PROBLEM_MAY_DROP,
                          when->pointer,
                          "%s would throw out whoever is in and fits it, and "
                          "nobody can say who; deny by a List of ids",
                          now->deny[i].name);
        }
    }
}

/* Another order of the steps. */
static void compare_order(struct gates *g, const struct model_release *old,
                          const struct model_release *now)
{
    if (memcmp(old->order, now->order, sizeof(old->order)) != 0 &&
        old->stickiness == now->stickiness &&
        old->deny_count + now->deny_count > 0) {
        gray_gate_say(g, GRAY_ERROR, GRAY_PROBLEM_MAY_DROP,
                      "/admission/order",
                      "another order of the steps may deny units that are "
                      "in; keep the order for the life of the release");
    }
}

void gray_gate_rules(struct gates *g, const struct model_release *old,
                     const struct model_release *now)
{
    struct gray_findings *all = g->findings;

    g->findings = &g->suspicions;
    compare_order(g, old, now);
    compare_deny(g, old, now);
    compare_allow(g, old, now);
    compare_require(g, old, now);
    compare_match(g, old, now);
    g->findings = all;
    gray_gate_settle(g, old, now);
}

/* ---- gate 5 -------------------------------------------------------------- */

bool gray_gate_require_changed(struct gates *g,
                               const struct model_release *old,
                               const struct model_release *now)
{
    return gray_cond_equal(old->require, g->before, now->require, g->after) &&
           !gray_cond_same(old->require, g->before, now->require, g->after);
}

bool gray_gate_match_changed(struct gates *g, const struct model_release *old,
                             const struct model_release *now)
{
    if (old->match_count != now->match_count) {
        return true;
    }
    struct rule_set before =
        rule_set(g, old->match, old->match_count, g->before);
    for (uint32_t i = 0; i < now->match_count; i++) {
        struct side rule = {now->match[i].when, g->after};
        uint32_t same = find_same(&before, rule);
        if (same == UINT32_MAX ||
            !gray_cond_same(old->match[same].when, g->before,
                            now->match[i].when, g->after)) {
            return true;
        }
    }
    return false;
}
