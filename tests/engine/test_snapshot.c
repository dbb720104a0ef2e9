/* SPDX-License-Identifier: Apache-2.0
 * test_snapshot.c - a policy.snap that is wrong anywhere is refused with a code.
 *
 * Why: what the check lets through, every worker runs on.  One sound file is
 * damaged in one place at a time, as records (each kind of fault has its code)
 * and as bytes (no fault may crash, whatever the answer).
 * Read next: ../../engine/snapshot.c, check.c, check_release.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/engine/policy_craft.h"

static struct policy_craft p;
static struct gray_snapshot snapshot;

/* Offsets of operand records that faults go into. */
static struct {
    uint32_t set, dfa, mod, tail, share, list, cidr, semver, time;
} at;

static void *operand(uint32_t offset)
{
    return p.file.bytes + offset;
}

static uint32_t put_dfa(void)
{
    static const uint8_t class_of[256] = { ['x'] = 1 };
    static const uint16_t table[] = { 0, 0, 0, 2, 0, 0 };
    static const uint32_t accept[2] = { 4, 0 };
    struct gray_operand_dfa dfa = { .states = 3, .classes = 2 };
    dfa.class_of = (uint32_t)craft_put(&p.file, class_of, 256);
    dfa.table = (uint32_t)craft_put(&p.file, table, sizeof(table));
    dfa.accept = (uint32_t)craft_put(&p.file, accept, 8);
    dfa.pattern = policy_text(&p, "x");
    return policy_operand(&p, &dfa, sizeof(dfa));
}

static void put_operands(void)
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
    at.set = policy_set(&p, set);
    at.dfa = put_dfa();
    mod.ranges.offset = (uint32_t)craft_put(&p.file, ranges, sizeof(ranges));
    at.mod = policy_operand(&p, &mod, sizeof(mod));
    tail.tails.offset = (uint32_t)craft_put(&p.file, tails, sizeof(tails));
    at.tail = policy_operand(&p, &tail, sizeof(tail));
    share.salt = policy_text(&p, "salt");
    at.share = policy_operand(&p, &share, sizeof(share));
    at.list = policy_operand(&p, &list, sizeof(list));
    cidr.ranges.offset = (uint32_t)craft_put(&p.file, nets, sizeof(nets));
    at.cidr = policy_operand(&p, &cidr, sizeof(cidr));
    at.semver = policy_operand(&p, &semver, sizeof(semver));
    time.zone.offset = (uint32_t)craft_put(&p.file, zone, sizeof(zone));
    at.time = policy_operand(&p, &time, sizeof(time));
}

static void put_rules(void)
{
    uint32_t header = policy_slot(&p, GRAY_SOURCE_HEADER, "x-user");
    uint32_t address = policy_slot(&p, GRAY_SOURCE_ADDRESS, "");
    put_operands();
    policy_insn(&p, GRAY_CONDITION_IN, header, at.set, 1, GRAY_JUMP_FALSE);
    policy_insn(&p, GRAY_CONDITION_REGEX, header, at.dfa, 2, GRAY_JUMP_FALSE);
    policy_insn(&p, GRAY_CONDITION_MOD, header, at.mod, 3, GRAY_JUMP_FALSE);
    policy_insn(&p, GRAY_CONDITION_ID_TAIL, header, at.tail, 4,
                GRAY_JUMP_FALSE);
    policy_insn(&p, GRAY_CONDITION_PERCENT, header, at.share, 5,
                GRAY_JUMP_FALSE);
    policy_insn(&p, GRAY_CONDITION_LIST, header, at.list, 6, GRAY_JUMP_FALSE);
    policy_insn(&p, GRAY_CONDITION_CIDR, address, at.cidr, 7, GRAY_JUMP_FALSE);
    policy_insn(&p, GRAY_CONDITION_SEMVER, header, at.semver, 8,
                GRAY_JUMP_FALSE);
    policy_insn(&p, GRAY_CONDITION_TIME, GRAY_NONE, at.time, 9,
                GRAY_JUMP_FALSE);
    policy_insn(&p, GRAY_CONDITION_EXACT, header, policy_string(&p, "v"),
                POLICY_JUMPS_END);
    policy_rule(&p, "deny[0]", 10);
    policy_rule_of(&p, "deny[1]", GRAY_CONDITION_PRESENT, header, 0);
    p.releases[0].deny = policy_ruleset(&p, 2);
    p.numbers[0] = 0; /* always */
    p.numbers[1] = 1; /* of the posting */
    p.numbers[2] = 1; /* route of the release */
    p.number_count = 3;
    p.index_slots[0] =
        (struct gray_index_slot){ header, GRAY_KEY_PRESENT, 0, 0 };
    p.index_slot_count = 1;
    uint32_t hash = gray_hash_key(GRAY_KEY_PRESENT, header, "", 0);
    p.postings[hash & 1] = (struct gray_posting){ hash, 1, { 1, 1 } };
    p.posting_count = 2;
    p.indexes[0] = (struct gray_index){ { 0, 1 }, { 0, 1 }, { 0, 2 } };
    p.index_count = 1;
    p.rulesets[0].index = 0;
}

static void put_routes(void)
{
    policy_service(&p, "cart");
    p.routes[1] = p.routes[0];
    p.routes[1].kind = GRAY_ROUTE_ARM;
    p.routes[1].release = 0;
    p.routes[1].variant = 0;
    p.selectors[0] = (struct gray_selector){ policy_text(&p, "version"),
                                             policy_text(&p, "v2") };
    p.selector_count = 1;
    p.routes[1].selector = (struct gray_span){ 0, 1 };
    for (uint32_t i = 0; i < 2; i++) {
        p.routes[2 + i] = p.routes[0];
        p.routes[2 + i].kind = GRAY_ROUTE_LANE;
        p.routes[2 + i].lane = i;
    }
    p.routes[2].fallback = 3;
    p.route_count = 4;
    p.services[0].arms = (struct gray_span){ 1, 1 };
    p.services[0].lanes = (struct gray_span){ 2, 2 };
    p.releases[0].routes = (struct gray_span){ 2, 1 };
}

/* One sound policy that has one of everything. */
static void sound(void)
{
    policy_begin(&p);
    policy_lane(&p, "red");
    policy_lane(&p, "blue");
    policy_release(&p, "cart-2",
                   policy_slot(&p, GRAY_SOURCE_COOKIE, "uid"), 10000);
    p.releases[0].require_insn = policy_insn(
        &p, GRAY_CONDITION_ABSENT,
        policy_slot(&p, GRAY_SOURCE_HEADER, "x-bot"), 0, POLICY_JUMPS_END);
    p.releases[0].require_count = 1;
    put_rules();
    put_routes();
    uint32_t rule = policy_rule_of(&p, "to-red", GRAY_CONDITION_PRESENT, 0, 0);
    p.rules[rule].action = 0;
    uint32_t edge = policy_entrance(&p, "edge");
    p.entrances[edge].lane_rules = policy_ruleset(&p, 1);
    p.entrance_releases[0] = 0;
    p.entrance_release_count = 1;
    p.entrances[edge].releases = (struct gray_span){ 0, 1 };
    p.lists[0] = (struct gray_list_ref){
        policy_text(&p, "testers"),
        policy_text(&p, "0123456789abcdef0123456789abcdef")
    };
    p.list_count = 1;
}

static void a_sound_file_opens(void **state)
{
    struct gray_problem problem = { 0 };
    (void)state;
    sound();
    if (policy_end(&p, &snapshot, &problem) != 0) {
        fail_msg("%s: %s", problem.code, problem.sentence);
    }
    assert_int_equal(gray_find_release(&snapshot, craft_str("cart-2")), 0);
    assert_int_equal(gray_find_release(&snapshot, craft_str("cart")),
                     GRAY_NONE);
    assert_int_equal(gray_find_service(&snapshot, craft_str("cart")), 0);
    assert_int_equal(gray_find_lane(&snapshot, craft_str("blue")), 1);
    assert_int_equal(gray_find_entrance(&snapshot, craft_str("edge")), 1);
    assert_int_equal(gray_find_entrance(&snapshot, craft_str("")), 0);
    assert_non_null(gray_release_at(&snapshot, 0));
    assert_null(gray_release_at(&snapshot, 1));
    assert_null(gray_route_at(&snapshot, GRAY_NONE));
    assert_memory_equal(
        gray_text(&snapshot, gray_lane_at(&snapshot, 0)->name).data, "red", 3);
    struct gray_ref outside = { (uint32_t)snapshot.size - 1, 2 };
    assert_int_equal(gray_text(&snapshot, outside).length, 0);
}

/* Each fault is planted into the sound policy before it is laid out. */
#define FAULT(name, statement)                                                 \
    static void name(void)                                                     \
    {                                                                          \
        statement;                                                             \
    }
#define OPERAND(kind, field) ((struct gray_operand_##kind *)operand(at.field))

FAULT(jump_back, p.insns[2].on_true = 1)
FAULT(jump_nowhere, p.insns[2].on_true = 10)
FAULT(jump_to_itself, p.insns[2].on_false = 1)
FAULT(unknown_condition, p.insns[2].op = 99)
FAULT(no_slot, p.insns[2].slot = 55)
FAULT(no_slot_at_all, p.insns[2].slot = GRAY_NONE)
FAULT(cidr_of_a_header, p.insns[7].slot = 1)
FAULT(unknown_flag, p.insns[2].flags = 2)
FAULT(operand_outside, p.insns[10].operand = 0xfffffff0u)
FAULT(operand_crooked, p.insns[10].operand += 4)
FAULT(operand_in_header, p.insns[10].operand = 0)
FAULT(text_outside, OPERAND(string, set)->text.length = 1u << 30)
FAULT(set_not_a_power, OPERAND(set, set)->cells.count = 63)
FAULT(set_too_big, OPERAND(set, set)->cells.count = 1u << 30)
FAULT(set_miscounted, OPERAND(set, set)->count = 2)
static void set_moved(void)
{
    struct gray_set_cell *cells = operand(OPERAND(set, set)->cells.offset);
    for (uint32_t i = 0; i < 64; i++) {
        if (cells[i].text.offset != 0) {
            cells[(i + 32) % 64] = cells[i];
            memset(&cells[i], 0, sizeof(cells[i]));
            return;
        }
    }
}
static void set_full(void)
{
    struct gray_operand_set *set = OPERAND(set, set);
    struct gray_set_cell *cells = operand(set->cells.offset);
    for (uint32_t i = 0; i < 64; i++) {
        if (cells[i].text.offset != 0) {
            cells[0] = cells[i];
        }
    }
    set->cells.count = 1;
    set->count = 1;
}
FAULT(dfa_states, OPERAND(dfa, dfa)->states = GRAY_DFA_STATES_MAX + 1)
FAULT(dfa_one_state, OPERAND(dfa, dfa)->states = 1)
FAULT(dfa_classes, OPERAND(dfa, dfa)->classes = 257)
FAULT(dfa_class, ((uint8_t *)operand(OPERAND(dfa, dfa)->class_of))[9] = 2)
FAULT(dfa_next, ((uint16_t *)operand(OPERAND(dfa, dfa)->table))[3] = 3)
FAULT(dfa_table_outside, OPERAND(dfa, dfa)->table = 0xfffffff0u)
FAULT(dfa_accept_outside, OPERAND(dfa, dfa)->accept = 0xfffffffcu)
FAULT(mod_by_zero, OPERAND(mod, mod)->divisor = 0)
FAULT(mod_order, ((struct gray_mod_range *)operand(
                     OPERAND(mod, mod)->ranges.offset))[1].first = 2)
FAULT(tail_width, OPERAND(tail, tail)->width = 10)
FAULT(tail_too_wide,
      ((uint32_t *)operand(OPERAND(tail, tail)->tails.offset))[1] = 100)
FAULT(tail_order,
      ((uint32_t *)operand(OPERAND(tail, tail)->tails.offset))[0] = 7)
FAULT(percent_over, OPERAND(share, share)->share = GRAY_SHARE_ALL + 1)
FAULT(no_list, OPERAND(list, list)->list = 1)
FAULT(cidr_order, ((struct gray_cidr_range *)operand(
                      OPERAND(cidr, cidr)->ranges.offset))[1].first[0] = 1)
FAULT(semver_op, OPERAND(semver, semver)->op = 8)
FAULT(time_days, OPERAND(time, time)->days = 128)
FAULT(time_end, OPERAND(time, time)->end = 86401)
FAULT(zone_start, ((struct gray_zone_step *)operand(
                      OPERAND(time, time)->zone.offset))[0].at = 0)
FAULT(zone_order, ((struct gray_zone_step *)operand(
                      OPERAND(time, time)->zone.offset))[1].at = INT64_MIN)
FAULT(program_outside, p.rules[0].first_insn = p.insn_count)
FAULT(program_shared, p.rules[1] = p.rules[0])
FAULT(require_outside, p.releases[0].require_count = 5000)
FAULT(no_lane, p.rules[2].action = 2)
FAULT(rule_flag, p.rules[2].flags = 2)
FAULT(rule_name, p.rules[2].name.offset = 3)
FAULT(ruleset_outside, p.rulesets[1].rules.count = 2)
FAULT(no_index, p.rulesets[0].index = 1)
FAULT(index_numbers, p.numbers[0] = 2)
FAULT(index_span, p.indexes[0].always.count = 5)
FAULT(index_no_power, p.indexes[0].buckets.count = 3)
FAULT(index_slot, p.index_slots[0].slot = 9)
FAULT(posting_rule, p.numbers[1] = 7)
static void posting_hidden(void)
{
    struct gray_posting one = p.postings[0].used ? p.postings[0]
                                                 : p.postings[1];
    p.posting_count = 4;
    p.indexes[0].buckets.count = 4;
    memset(p.postings, 0, sizeof(p.postings[0]) * 4);
    p.postings[(one.hash + 2) & 3] = one;
}
static void postings_full(void)
{
    p.postings[0].used = 1;
    p.postings[1].used = 1;
    p.postings[0].rules = p.postings[1].rules = (struct gray_span){ 1, 1 };
}
FAULT(release_scope, p.releases[0].scope++)
FAULT(release_share, p.releases[0].share = GRAY_SHARE_ALL + 1)
FAULT(release_holdback, p.releases[0].holdback = GRAY_SHARE_ALL - 9999)
FAULT(order_unknown, p.releases[0].order[0] = GRAY_STEP_COUNT)
FAULT(order_twice, p.releases[0].order[1] = GRAY_STEP_DENY)
static void order_endless(void)
{
    static const uint8_t order[8] = { 1, 2, 3, 4, 5, 1, 2, 3 };
    memcpy(p.releases[0].order, order, 8);
}
FAULT(stickiness, p.releases[0].stickiness = 3)
FAULT(data_compat, p.releases[0].data_compat = 3)
FAULT(anonymous, p.releases[0].anonymous = 3)
FAULT(hash_version, p.releases[0].hash_version = 2)
FAULT(unit_slot, p.releases[0].unit_slots[0] = 99)
FAULT(unit_gap, p.releases[0].unit_slots[2] = 0)
FAULT(unit_of_unit,
      p.releases[0].unit_slots[0] = policy_slot(&p, GRAY_SOURCE_UNIT, ""))
FAULT(no_deny, p.releases[0].deny = 9)
FAULT(no_variants, p.releases[0].variants.count = 0)
FAULT(variants_outside, p.releases[0].variants.first = 1)
FAULT(variant_short, p.variants[0].upto = GRAY_SHARE_ALL - 1)
FAULT(variant_over, p.variants[0].upto = GRAY_SHARE_ALL + 1)
FAULT(release_route, p.numbers[2] = 0)
FAULT(route_service, p.routes[1].service = 1)
FAULT(route_kind, p.routes[1].kind = 3)
FAULT(route_release,
      (p.routes[1].release = 1, p.releases[0].routes.count = 0))
FAULT(route_variant, p.routes[1].variant = 1)
FAULT(route_lane, p.routes[2].lane = 2)
FAULT(route_cycle, p.routes[3].fallback = 2)
FAULT(route_to_itself, p.routes[3].fallback = 3)
FAULT(route_fallback, p.routes[3].fallback = 99)
FAULT(selector_outside, p.routes[1].selector.count = 2)
FAULT(selector_key, p.selectors[0].key.length = 0)
FAULT(no_baseline, p.services[0].baseline = 1)
FAULT(arms_of_others, p.services[0].arms.first = 0)
FAULT(lanes_order, (p.routes[2].lane = 1, p.routes[3].lane = 0))
FAULT(entrance_release, p.entrance_releases[0] = 1)
FAULT(entrance_rules, p.rules[2].action = GRAY_NONE)
FAULT(entrance_no_rules, p.entrances[1].lane_rules = 9)
FAULT(no_entrance, p.entrance_count = 0)
FAULT(first_entrance, p.entrances[0].name = p.lanes[0].name)
FAULT(list_file, p.lists[0].file.length = 31)
static void list_elsewhere(void)
{
    p.lists[0].file = policy_text(&p, "../../../../../../../etc/passwd0");
}
FAULT(two_alike, p.lanes[1].name = p.lanes[0].name)
FAULT(source_outside, p.policy.source.offset = 1u << 31; 
      p.policy.source.length = 1)
FAULT(slot_hash_wrong, p.slots[0].hash++)
FAULT(slot_source, p.slots[0].source = 200)
FAULT(slot_unannounced, p.policy.needs &= ~(1u << GRAY_SOURCE_COOKIE))
FAULT(filter_without, p.policy.header_filter = 0)
static void slot_upper(void)
{
    p.slots[2].name = policy_text(&p, "X-User");
}
static void slot_table_full(void)
{
    for (uint32_t i = 0; i < p.slot_count; i++) {
        p.slot_hash[i] = i;
    }
    p.slot_hash_count = p.slot_count;
}
static void slot_table_empty(void)
{
    memset(p.slot_hash, 0xff, sizeof(p.slot_hash));
    p.slot_hash_count = 8;
}

static const struct {
    void (*plant)(void);
    const char *code;
} faults[] = {
    { jump_back, "bad-jump" },
    { jump_nowhere, "bad-jump" },
    { jump_to_itself, "bad-jump" },
    { unknown_condition, "bad-condition" },
    { no_slot, "bad-instruction" },
    { no_slot_at_all, "bad-instruction" },
    { cidr_of_a_header, "bad-instruction" },
    { unknown_flag, "bad-instruction" },
    { operand_outside, "bad-operand" },
    { operand_crooked, "bad-operand" },
    { operand_in_header, "bad-operand" },
    { text_outside, "bad-operand" },
    { set_not_a_power, "bad-operand" },
    { set_too_big, "bad-operand" },
    { set_miscounted, "bad-operand" },
    { set_moved, "bad-operand" },
    { set_full, "bad-operand" },
    { dfa_states, "bad-operand" },
    { dfa_one_state, "bad-operand" },
    { dfa_classes, "bad-operand" },
    { dfa_class, "bad-operand" },
    { dfa_next, "bad-operand" },
    { dfa_table_outside, "bad-operand" },
    { dfa_accept_outside, "bad-operand" },
    { mod_by_zero, "bad-operand" },
    { mod_order, "bad-operand" },
    { tail_width, "bad-operand" },
    { tail_too_wide, "bad-operand" },
    { tail_order, "bad-operand" },
    { percent_over, "bad-operand" },
    { no_list, "bad-operand" },
    { cidr_order, "bad-operand" },
    { semver_op, "bad-operand" },
    { time_days, "bad-operand" },
    { time_end, "bad-operand" },
    { zone_start, "bad-operand" },
    { zone_order, "bad-operand" },
    { program_outside, "bad-program" },
    { program_shared, "bad-program" },
    { require_outside, "bad-program" },
    { no_lane, "bad-rule" },
    { rule_flag, "bad-rule" },
    { rule_name, "bad-rule" },
    { ruleset_outside, "bad-ruleset" },
    { no_index, "bad-index" },
    { index_numbers, "bad-index" },
    { index_span, "bad-index" },
    { index_no_power, "bad-index" },
    { index_slot, "bad-index" },
    { posting_rule, "bad-index" },
    { posting_hidden, "bad-index" },
    { postings_full, "bad-index" },
    { release_scope, "bad-release" },
    { release_share, "bad-share" },
    { release_holdback, "bad-share" },
    { order_unknown, "bad-order" },
    { order_twice, "bad-order" },
    { order_endless, "bad-order" },
    { stickiness, "bad-release" },
    { data_compat, "bad-release" },
    { anonymous, "bad-release" },
    { hash_version, "bad-release" },
    { unit_slot, "bad-release" },
    { unit_gap, "bad-release" },
    { unit_of_unit, "bad-release" },
    { no_deny, "bad-release" },
    { no_variants, "bad-variant" },
    { variants_outside, "bad-variant" },
    { variant_short, "bad-variant" },
    { variant_over, "bad-variant" },
    { release_route, "bad-release" },
    { route_service, "bad-route" },
    { route_kind, "bad-route" },
    { route_release, "bad-route" },
    { route_variant, "bad-route" },
    { route_lane, "bad-route" },
    { route_cycle, "route-cycle" },
    { route_to_itself, "route-cycle" },
    { route_fallback, "bad-route" },
    { selector_outside, "bad-selector" },
    { selector_key, "bad-selector" },
    { no_baseline, "bad-service" },
    { arms_of_others, "bad-service" },
    { lanes_order, "bad-service" },
    { entrance_release, "bad-entrance" },
    { entrance_rules, "bad-entrance" },
    { entrance_no_rules, "bad-entrance" },
    { no_entrance, "bad-entrance" },
    { first_entrance, "bad-entrance" },
    { list_file, "bad-list" },
    { list_elsewhere, "bad-list" },
    { two_alike, "bad-names" },
    { source_outside, "bad-source" },
    { slot_hash_wrong, "bad-slot" },
    { slot_source, "bad-slot" },
    { slot_unannounced, "bad-slot" },
    { filter_without, "bad-slot" },
    { slot_upper, "bad-slot" },
    { slot_table_full, "bad-slot-table" },
    { slot_table_empty, "bad-slot-table" },
};

static void every_fault_has_its_code(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        struct gray_problem problem = { 0 };
        struct gray_snapshot untouched = { .size = 77 };
        sound();
        faults[i].plant();
        if (policy_end(&p, &untouched, &problem) == 0) {
            fail_msg("fault %zu (%s) was let through", i, faults[i].code);
        }
        if (strcmp(problem.code, faults[i].code) != 0) {
            fail_msg("fault %zu: %s, not %s", i, problem.code, faults[i].code);
        }
        assert_true(strlen(problem.sentence) > 10);
        assert_true(problem.offset < p.file.length);
        assert_true(untouched.size == 77);
    }
}

/* Faults of the frame: after the file was laid out. */
static void the_frame_is_looked_at_first(void **state)
{
    struct gray_file_header *header = (void *)p.file.bytes;
    struct gray_policy *policy = (void *)(header + 1);
    struct gray_problem problem;
    (void)state;
    sound();
    assert_int_equal(policy_end(&p, &snapshot, NULL), 0);
#define REFUSED(change, expected)                                              \
    do {                                                                       \
        struct gray_file_header old = *header;                                 \
        struct gray_policy old_policy = *policy;                               \
        change;                                                                \
        assert_int_equal(gray_snapshot_open(&snapshot, p.file.bytes,           \
                                            p.file.length, &problem),          \
                         -1);                                                  \
        assert_string_equal(problem.code, expected);                           \
        *header = old;                                                         \
        *policy = old_policy;                                                  \
    } while (0)
    REFUSED(header->magic[0] = 'X', "bad-magic");
    REFUSED(header->layout++, "bad-layout");
    REFUSED(header->header_size++, "bad-layout");
    REFUSED(header->length++, "bad-length");
    REFUSED(policy->insns.count = UINT32_MAX, "bad-table");
    REFUSED(policy->insns.offset = UINT32_MAX & ~7u, "bad-table");
    REFUSED(policy->rules.offset += 4, "bad-table");
    REFUSED(policy->lanes.offset = 0, "bad-table");
    for (uint64_t size = 0; size < p.file.length; size++) {
        assert_int_equal(gray_snapshot_open(&snapshot, p.file.bytes, size,
                                            &problem),
                         -1);
    }
}

static void decide_on(const struct gray_snapshot *s)
{
    static const char *const headers[][2] = { { "cookie", "uid=alice" },
                                              { "x-user", "b" },
                                              { "x-user", "1.2.3" } };
    static struct gray_trace trace;
    static char text[1 << 14];
    struct gray_view view = { .policy = s };
    struct gray_colour colour;
    struct gray_input in;
    uint8_t address[16] = { 1, 3 };
    gray_input_begin(&in, s, 5, 5);
    gray_input_target(&in, craft_str("/a/b?c=d"));
    for (int i = 0; i < 3; i++) {
        gray_input_header(&in,
                          gray_hash_name(headers[i][0], strlen(headers[i][0])),
                          craft_str(headers[i][0]), craft_str(headers[i][1]));
    }
    gray_input_address(&in, address);
    gray_input_colour(&in, craft_str("red"), craft_str("cart-2"),
                      GRAY_CLASS_LIVE);
    trace.step_count = 0;
    trace.verdict_count = 0;
    gray_decide(&view, 1, &in, NULL, NULL, &colour, &trace);
    gray_explain(&view, 1, &in, NULL, NULL, text, sizeof(text));
}

/* Every byte damaged in three ways: refused, or decided on without harm (the
 * test is run under sanitizers). The copy ends where the file ends. */
static void damaged_bytes_do_no_harm(void **state)
{
    static const uint8_t flips[] = { 0x01, 0x80, 0xff };
    uint32_t refused = 0, opened = 0;
    (void)state;
    sound();
    assert_int_equal(policy_end(&p, &snapshot, NULL), 0);
    uint8_t *copy = malloc(p.file.length);
    assert_non_null(copy);
    for (uint64_t i = 0; i < p.file.length; i++) {
        for (int flip = 0; flip < 3; flip++) {
            memcpy(copy, p.file.bytes, p.file.length);
            copy[i] ^= flips[flip];
            if (gray_snapshot_open(&snapshot, copy, p.file.length, NULL) != 0) {
                refused++;
            } else {
                opened++;
                decide_on(&snapshot);
            }
        }
    }
    free(copy);
    assert_true(refused > 1000 && opened > 1000);
}

/* The same, as if nobody had checked: the interpreter bounds every step. */
static void the_interpreter_bounds_every_step(void **state)
{
    uint64_t seed = 99;
    (void)state;
    sound();
    assert_int_equal(policy_end(&p, &snapshot, NULL), 0);
    struct gray_snapshot whole = snapshot;
    const struct gray_policy *policy = whole.policy;
    uint8_t *records = p.file.bytes + policy->insns.offset;
    size_t length = policy->insns.count * sizeof(struct gray_insn);
    static uint8_t kept[POLICY_RECORDS * sizeof(struct gray_insn)];
    memcpy(kept, records, length);
    for (int round = 0; round < 20000; round++) {
        for (int k = 0; k < 3; k++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            records[(seed >> 33) % length] = (uint8_t)(seed >> 20);
        }
        /* Operands keep their alignment, as any mapping's reader must. */
        for (uint32_t i = 0; i < policy->insns.count; i++) {
            ((struct gray_insn *)(void *)records)[i].operand &= ~7u;
        }
        decide_on(&whole);
        if (round % 50 == 49) {
            memcpy(records, kept, length);
        }
    }
}

/* Instructions may share an operand; a file whose operands are many and share
 * one long text would make the check hash it again and again. */
static void sharing_has_its_price(void **state)
{
    enum { CELLS = 64, TWINS = 400, LONG = 64 << 10 };
    static struct gray_set_cell cells[CELLS];
    static char text[LONG + 1];
    struct gray_problem problem = { 0 };
    (void)state;
    memset(text, 'x', LONG);
    for (int greedy = 0; greedy < 2; greedy++) {
        struct gray_operand_set set = { { 0, CELLS }, 1, 0 };
        uint32_t hash = gray_murmur3_32(text, LONG, 0), first = 0;
        policy_begin(&p);
        uint32_t slot = policy_slot(&p, GRAY_SOURCE_HEADER, "x-user");
        memset(cells, 0, sizeof(cells));
        cells[hash & (CELLS - 1)].text = policy_text(&p, text);
        cells[hash & (CELLS - 1)].hash = hash;
        set.cells.offset = (uint32_t)craft_put(&p.file, cells, sizeof(cells));
        for (uint32_t i = 0; i < TWINS; i++) {
            if (i == 0 || greedy) {
                first = policy_operand(&p, &set, sizeof(set));
            }
            policy_rule_of(&p, "r", GRAY_CONDITION_IN, slot, first);
        }
        assert_int_equal(policy_end(&p, &snapshot, &problem), -greedy);
    }
    assert_string_equal(problem.code, "too-costly");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sound_file_opens),
        cmocka_unit_test(every_fault_has_its_code),
        cmocka_unit_test(the_frame_is_looked_at_first),
        cmocka_unit_test(damaged_bytes_do_no_harm),
        cmocka_unit_test(the_interpreter_bounds_every_step),
        cmocka_unit_test(sharing_has_its_price),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
