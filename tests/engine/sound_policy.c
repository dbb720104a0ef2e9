/* SPDX-License-Identifier: Apache-2.0
 * sound_policy.c - a policy that has one of everything, for planting faults.
 *
 * Why: see sound_policy.h.
 * Read next: ../../engine/layout.h.
 */
#include <string.h>

#include "tests/engine/sound_policy.h"

static uint32_t put_dfa(struct policy_craft *p)
{
    static const uint8_t class_of[256] = { ['x'] = 1 };
    static const uint16_t table[] = { 0, 0, 0, 2, 0, 0 };
    static const uint32_t accept[2] = { 4, 0 };
    struct gray_operand_dfa dfa = { .states = 3, .classes = 2 };
    dfa.class_of = (uint32_t)craft_put(&p->file, class_of, 256);
    dfa.table = (uint32_t)craft_put(&p->file, table, sizeof(table));
    dfa.accept = (uint32_t)craft_put(&p->file, accept, 8);
    dfa.pattern = policy_text(p, "x");
    return policy_operand(p, &dfa, sizeof(dfa));
}

static void put_operands(struct policy_craft *p, struct sound_operands *at)
{
    static const struct gray_mod_range ranges[] = { { 1, 2 }, { 5, 9 } };
    static const uint32_t tails[] = { 1, 7 };
    static const struct gray_cidr_range nets[] = {
        { { 1 }, { 1, 5 } }, { { 2 }, { 2, 9 } }
    };
    static const struct gray_zone_step zone[] = { { INT64_MIN, 0, 0 },
                                                  { 0, 3600, 0 } };
    struct gray_operand_mod mod = { 10, { 0, 2 } };
    struct gray_operand_tail tail = { 2, 0, { 0, 2 } };
    struct gray_operand_share share = { { 0, 0 }, 1000, 0 };
    struct gray_operand_list list = { 0, 0 };
    struct gray_operand_cidr cidr = { { 0, 2 } };
    struct gray_operand_semver semver = { GRAY_SEMVER_GE, { 1, 2, 3 },
                                          { 0, 0 } };
    struct gray_operand_time time = { .days = 127, .end = 86400,
                                      .zone = { 0, 2 } };
    static const char *const set[] = { "a", "b", "c", NULL };
    at->set = policy_set(p, set);
    at->dfa = put_dfa(p);
    mod.ranges.offset = (uint32_t)craft_put(&p->file, ranges, sizeof(ranges));
    at->mod = policy_operand(p, &mod, sizeof(mod));
    tail.tails.offset = (uint32_t)craft_put(&p->file, tails, sizeof(tails));
    at->tail = policy_operand(p, &tail, sizeof(tail));
    share.salt = policy_text(p, "salt");
    at->share = policy_operand(p, &share, sizeof(share));
    at->list = policy_operand(p, &list, sizeof(list));
    cidr.ranges.offset = (uint32_t)craft_put(&p->file, nets, sizeof(nets));
    at->cidr = policy_operand(p, &cidr, sizeof(cidr));
    at->semver = policy_operand(p, &semver, sizeof(semver));
    time.zone.offset = (uint32_t)craft_put(&p->file, zone, sizeof(zone));
    at->time = policy_operand(p, &time, sizeof(time));
}

static void put_rules(struct policy_craft *p, struct sound_operands *at)
{
    uint32_t header = policy_slot(p, GRAY_SOURCE_HEADER, "x-user");
    uint32_t address = policy_slot(p, GRAY_SOURCE_ADDRESS, "");
    put_operands(p, at);
    policy_insn(p, GRAY_CONDITION_IN, header, at->set, 1, GRAY_JUMP_FALSE);
    policy_insn(p, GRAY_CONDITION_REGEX, header, at->dfa, 2, GRAY_JUMP_FALSE);
    policy_insn(p, GRAY_CONDITION_MOD, header, at->mod, 3, GRAY_JUMP_FALSE);
    policy_insn(p, GRAY_CONDITION_ID_TAIL, header, at->tail, 4,
                GRAY_JUMP_FALSE);
    policy_insn(p, GRAY_CONDITION_PERCENT, header, at->share, 5,
                GRAY_JUMP_FALSE);
    policy_insn(p, GRAY_CONDITION_LIST, header, at->list, 6, GRAY_JUMP_FALSE);
    policy_insn(p, GRAY_CONDITION_CIDR, address, at->cidr, 7, GRAY_JUMP_FALSE);
    policy_insn(p, GRAY_CONDITION_SEMVER, header, at->semver, 8,
                GRAY_JUMP_FALSE);
    policy_insn(p, GRAY_CONDITION_TIME, GRAY_NONE, at->time, 9,
                GRAY_JUMP_FALSE);
    policy_insn(p, GRAY_CONDITION_EXACT, header, policy_string(p, "v"),
                POLICY_JUMPS_END);
    policy_rule(p, "deny[0]", 10);
    policy_rule_of(p, "deny[1]", GRAY_CONDITION_PRESENT, header, 0);
    p->releases[0].deny = policy_ruleset(p, 2);
    p->numbers[0] = 0; /* always */
    p->numbers[1] = 1; /* of the posting */
    p->numbers[2] = 1; /* route of the release */
    p->number_count = 3;
    p->index_slots[0] =
        (struct gray_index_slot){ header, GRAY_KEY_PRESENT, 0, { 0 }, 0 };
    p->index_slot_count = 1;
    uint32_t hash = gray_hash_key(GRAY_KEY_PRESENT, header, "", 0);
    p->postings[hash & 1] = (struct gray_posting){ hash, 1, { 1, 1 } };
    p->posting_count = 2;
    p->indexes[0] = (struct gray_index){ { 0, 1 }, { 0, 1 }, { 0, 2 } };
    p->index_count = 1;
    p->rulesets[0].index = 0;
}

/* The only rule of the set may be reached by a value of either slot. */
static void put_sieve(struct policy_craft *p, uint32_t set)
{
    p->sieves[0] = (struct gray_sieve_cell){ .slot = 0,
                                             .look = GRAY_LOOK_TAIL,
                                             .same = 1 };
    p->sieves[1] = (struct gray_sieve_cell){ .slot = 1,
                                             .look = GRAY_LOOK_HEAD,
                                             .same = 1 };
    p->sieve_count = 2;
    p->rulesets[set].sieve = (struct gray_span){ 0, 2 };
}

static void put_routes(struct policy_craft *p)
{
    policy_service(p, "cart");
    p->routes[1] = p->routes[0];
    p->routes[1].kind = GRAY_ROUTE_ARM;
    p->routes[1].release = 0;
    p->routes[1].variant = 0;
    p->selectors[0] = (struct gray_selector){ policy_text(p, "version"),
                                             policy_text(p, "v2") };
    p->selector_count = 1;
    p->routes[1].selector = (struct gray_span){ 0, 1 };
    for (uint32_t i = 0; i < 2; i++) {
        p->routes[2 + i] = p->routes[0];
        p->routes[2 + i].kind = GRAY_ROUTE_LANE;
        p->routes[2 + i].lane = i;
    }
    p->routes[2].fallback = 3;
    p->route_count = 4;
    p->services[0].arms = (struct gray_span){ 1, 1 };
    p->services[0].lanes = (struct gray_span){ 2, 2 };
    p->releases[0].routes = (struct gray_span){ 2, 1 };
}

void sound_policy(struct policy_craft *p, struct sound_operands *at)
{
    policy_begin(p);
    policy_lane(p, "red");
    policy_lane(p, "blue");
    policy_release(p, "cart-2",
                   policy_slot(p, GRAY_SOURCE_COOKIE, "uid"), 10000);
    p->releases[0].require_insn = policy_insn(
        p, GRAY_CONDITION_ABSENT,
        policy_slot(p, GRAY_SOURCE_HEADER, "x-bot"), 0, POLICY_JUMPS_END);
    p->releases[0].require_count = 1;
    put_rules(p, at);
    put_routes(p);
    uint32_t rule = policy_rule_of(p, "to-red", GRAY_CONDITION_PRESENT, 0, 0);
    p->rules[rule].action = 0;
    uint32_t edge = policy_entrance(p, "edge");
    p->entrances[edge].lane_rules = policy_ruleset(p, 1);
    put_sieve(p, p->entrances[edge].lane_rules);
    policy_stage(p, "create", true);
    policy_stage(p, "update", false);
    rule = policy_rule_of(p, "create", GRAY_CONDITION_PRESENT, 0, 0);
    p->rules[rule].action = 0;
    p->releases[0].stage_rules = policy_ruleset(p, 1);
    p->releases[0].alias_slot = 0;
    p->entrance_releases[0] = 0;
    p->entrance_release_count = 1;
    p->entrances[edge].releases = (struct gray_span){ 0, 1 };
    p->lists[0] = (struct gray_list_ref){
        policy_text(p, "testers"),
        policy_text(p, "0123456789abcdef0123456789abcdef")
    };
    p->list_count = 1;
}
