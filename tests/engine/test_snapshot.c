/* SPDX-License-Identifier: Apache-2.0
 * test_snapshot.c - a policy.snap that is wrong anywhere is refused with a code.
 *
 * Why: what the check lets through, every worker runs on.  One sound file is
 * damaged in one record at a time; each kind of fault has its code.
 * Read next: ../../engine/snapshot.c, check_release.c; test_check.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/engine/sound_policy.h"

static struct policy_craft p;
static struct gray_snapshot snapshot;
static struct sound_operands at;

static void sound(void)
{
    sound_policy(&p, &at);
}

static void *operand(uint32_t offset)
{
    return p.file.bytes + offset;
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
FAULT(no_lane_no_stage, p.rules[2].action = GRAY_STAGES_MAX)
FAULT(rule_flag, p.rules[2].flags = 2)
FAULT(rule_name, p.rules[2].name.offset = 3)
FAULT(ruleset_outside, p.rulesets[1].rules.count = 4)
FAULT(no_index, p.rulesets[0].index = 1)
FAULT(sieve_outside, p.rulesets[1].sieve.count = 3)
FAULT(sieve_of_an_index, p.rulesets[0].sieve = p.rulesets[1].sieve;
      p.sieves[1].rule = 1)
FAULT(sieve_slot, p.sieves[1].slot = 99)
FAULT(sieve_look, p.sieves[1].look = GRAY_LOOK_COUNT)
FAULT(sieve_sure, p.sieves[1].sure = 2)
FAULT(sieve_rule, p.sieves[1].rule = 1)
FAULT(sieve_run_short, p.sieves[0].same = 0)
FAULT(sieve_run_long, p.sieves[0].same = 2)
FAULT(sieve_run_split, p.sieves[1].slot = 0; p.sieves[1].look = GRAY_LOOK_TAIL)
FAULT(sieve_rule_lost, p.rulesets[1].rules.first = 1;
      p.rulesets[1].rules.count = 2)
FAULT(sieve_rule_unknown, p.rulesets[1].unsieved = 2)
FAULT(index_numbers, p.numbers[0] = 2)
FAULT(index_span, p.indexes[0].always.count = 5)
FAULT(index_no_power, p.indexes[0].buckets.count = 3)
FAULT(index_slot, p.index_slots[0].slot = 9)
static void prefixes(uint8_t count, uint8_t first, uint8_t second)
{
    struct gray_index_slot *slot = &p.index_slots[0];
    slot->keys |= GRAY_KEY_PREFIX;
    slot->prefix_count = count;
    slot->lengths[0] = first;
    slot->lengths[1] = second;
    for (uint8_t i = 2; i < 8; i++) {
        slot->lengths[i] = i + 1;
    }
    slot->pad = 9; /* would do as a ninth length */
}
FAULT(prefix_no_lengths, p.index_slots[0].keys |= GRAY_KEY_PREFIX)
FAULT(prefix_no_key, prefixes(1, 1, 0);
      p.index_slots[0].keys = GRAY_KEY_PRESENT)
FAULT(prefix_too_many, prefixes(9, 1, 2))
FAULT(prefix_empty, prefixes(1, 0, 0))
FAULT(prefix_order, prefixes(2, 2, 2))
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
FAULT(salt_hash, p.releases[0].salt_hash++)
FAULT(salt_rest, p.releases[0].salt_rest++)
FAULT(release_share, p.releases[0].share = GRAY_SHARE_ALL + 1)
FAULT(release_holdback, p.releases[0].holdback = GRAY_SHARE_ALL - 9999)
FAULT(order_unknown, p.releases[0].order[0] = GRAY_STEP_COUNT)
FAULT(order_twice, p.releases[0].order[1] = GRAY_STEP_DENY)
static void order_endless(void)
{
    static const uint8_t order[8] = { 1, 2, 3, 4, 5, 1, 2, 3 };
    memcpy(p.releases[0].order, order, 8);
}
static void priority(void)
{
    policy_release(&p, "pay-7", 0, 0);
    p.releases[1].priority = p.releases[0].priority + 1;
}
FAULT(stickiness, p.releases[0].stickiness = 3)
FAULT(data_compat, p.releases[0].data_compat = 3)
FAULT(anonymous, p.releases[0].anonymous = 3)
FAULT(hash_version, p.releases[0].hash_version = 2)
FAULT(attempt, p.releases[0].attempt = GRAY_ATTEMPT_MAX + 1)
FAULT(durability, p.releases[0].durability = 2)
FAULT(on_unknown, p.releases[0].on_unknown = 2)
FAULT(mark_flags, p.releases[0].mark_flags = 8)
FAULT(lease_without, p.releases[0].admission_lease = 1)
FAULT(alias_nowhere, p.releases[0].alias_slot = 99)
FAULT(alias_of_unit,
      p.releases[0].alias_slot = policy_slot(&p, GRAY_SOURCE_UNIT, ""))
FAULT(stages_outside, p.releases[0].stages.count = 3)
static void stages_too_many(void)
{
    for (uint32_t i = 2; i <= GRAY_STAGES_MAX; i++) {
        policy_stage(&p, "more", false);
    }
}
FAULT(stages_of_none, p.releases[0].stickiness = GRAY_STICKY_NONE)
FAULT(stage_rules_alone, p.releases[0].stages.count = 0)
FAULT(no_stage_rules, p.releases[0].stage_rules = 9)
FAULT(no_stage, p.rules[3].action = 2)
FAULT(stage_nowhere, p.rules[3].action = GRAY_NONE)
FAULT(stage_name, p.stages[1].name.length = 0)
FAULT(stage_name_outside, p.stages[1].name.offset = 1u << 31)
FAULT(stage_long, p.stages[1].name.length = GRAY_NAME_MAX + 1)
FAULT(stage_share, p.stages[1].share = GRAY_SHARE_ALL + 1)
FAULT(stage_over_holdback,
      (p.releases[0].holdback = 10, p.stages[1].share = GRAY_SHARE_ALL - 9))
FAULT(stage_writes, p.stages[1].writes = 2)
FAULT(stage_missing, p.stages[1].on_missing = 2)
FAULT(stage_unknown, p.stages[1].on_unknown = 2)
FAULT(stage_space, p.stages[1].space = GRAY_STAGES_MAX + 1)
FAULT(backfill_of_entity,
      (p.releases[0].stickiness = GRAY_STICKY_ENTITY,
       p.stages[1].on_missing = GRAY_MISSING_BACKFILL))
static void marks_after_rules(void)
{
    p.releases[0].order[2] = GRAY_STEP_RULES;
    p.releases[0].order[3] = GRAY_STEP_MARK;
}
FAULT(no_marks_asked, p.releases[0].order[2] = GRAY_STEP_END)
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
    { no_lane, "bad-entrance" },
    { no_lane_no_stage, "bad-rule" },
    { rule_flag, "bad-rule" },
    { rule_name, "bad-rule" },
    { ruleset_outside, "bad-ruleset" },
    { no_index, "bad-index" },
    { sieve_outside, "bad-sieve" },
    { sieve_of_an_index, "bad-sieve" },
    { sieve_slot, "bad-sieve" },
    { sieve_look, "bad-sieve" },
    { sieve_sure, "bad-sieve" },
    { sieve_rule, "bad-sieve" },
    { sieve_run_short, "bad-sieve" },
    { sieve_run_long, "bad-sieve" },
    { sieve_run_split, "bad-sieve" },
    { sieve_rule_lost, "bad-sieve" },
    { sieve_rule_unknown, "bad-sieve" },
    { index_numbers, "bad-index" },
    { index_span, "bad-index" },
    { index_no_power, "bad-index" },
    { index_slot, "bad-index" },
    { prefix_no_lengths, "bad-index" },
    { prefix_no_key, "bad-index" },
    { prefix_too_many, "bad-index" },
    { prefix_empty, "bad-index" },
    { prefix_order, "bad-index" },
    { posting_rule, "bad-index" },
    { posting_hidden, "bad-index" },
    { postings_full, "bad-index" },
    { release_scope, "bad-release" },
    { salt_hash, "bad-release" },
    { salt_rest, "bad-release" },
    { release_share, "bad-share" },
    { release_holdback, "bad-share" },
    { order_unknown, "bad-order" },
    { order_twice, "bad-order" },
    { order_endless, "bad-order" },
    { priority, "bad-release" },
    { stickiness, "bad-release" },
    { data_compat, "bad-release" },
    { anonymous, "bad-release" },
    { hash_version, "bad-release" },
    { attempt, "bad-release" },
    { durability, "bad-release" },
    { on_unknown, "bad-release" },
    { mark_flags, "bad-release" },
    { lease_without, "bad-release" },
    { alias_nowhere, "bad-release" },
    { alias_of_unit, "bad-release" },
    { stages_outside, "bad-stage" },
    { stages_too_many, "bad-stage" },
    { stages_of_none, "bad-stage" },
    { stage_rules_alone, "bad-stage" },
    { no_stage_rules, "bad-stage" },
    { no_stage, "bad-stage" },
    { stage_nowhere, "bad-stage" },
    { stage_name, "bad-stage" },
    { stage_name_outside, "bad-stage" },
    { stage_long, "bad-stage" },
    { stage_share, "bad-stage" },
    { stage_over_holdback, "bad-stage" },
    { stage_writes, "bad-stage" },
    { stage_missing, "bad-stage" },
    { stage_unknown, "bad-stage" },
    { stage_space, "bad-stage" },
    { backfill_of_entity, "bad-stage" },
    { marks_after_rules, "bad-stage" },
    { no_marks_asked, "bad-stage" },
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
    REFUSED(policy->stages.count = UINT32_MAX, "bad-table");
    REFUSED(policy->lanes.offset = 0, "bad-table");
    for (uint64_t size = 0; size < p.file.length; size++) {
        assert_int_equal(gray_snapshot_open(&snapshot, p.file.bytes, size,
                                            &problem),
                         -1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sound_file_opens),
        cmocka_unit_test(every_fault_has_its_code),
        cmocka_unit_test(the_frame_is_looked_at_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
