/* SPDX-License-Identifier: Apache-2.0
 * policy_craft.h - builds a whole policy.snap by hand, record by record.
 *
 * Why: the engine's tests must be able to write what no compiler would, and
 * must not be judged by the compiler.  Records wait in arrays that a test may
 * change as it likes; policy_end() lays them out and opens the file with the
 * engine's own check.
 * Read next: policy_craft.c, test_snapshot.c.
 */
#ifndef GRAY_TESTS_POLICY_CRAFT_H
#define GRAY_TESTS_POLICY_CRAFT_H

#include "tests/engine/craft.h"

#define POLICY_RECORDS 512u
#define POLICY_JUMPS_END GRAY_JUMP_TRUE, GRAY_JUMP_FALSE

struct policy_craft {
    struct craft file;
    struct gray_policy policy; /* tables are filled by policy_end() */
    struct gray_slot slots[POLICY_RECORDS];
    uint32_t slot_hash[2 * POLICY_RECORDS];
    struct gray_insn insns[POLICY_RECORDS];
    struct gray_rule rules[POLICY_RECORDS];
    struct gray_ruleset rulesets[POLICY_RECORDS];
    struct gray_sieve_cell sieves[POLICY_RECORDS];
    struct gray_index indexes[POLICY_RECORDS];
    struct gray_index_slot index_slots[POLICY_RECORDS];
    struct gray_posting postings[2 * POLICY_RECORDS];
    uint32_t numbers[4 * POLICY_RECORDS];
    struct gray_release releases[POLICY_RECORDS];
    struct gray_variant variants[POLICY_RECORDS];
    struct gray_stage stages[POLICY_RECORDS];
    struct gray_service services[POLICY_RECORDS];
    struct gray_route routes[POLICY_RECORDS];
    struct gray_selector selectors[POLICY_RECORDS];
    struct gray_lane lanes[POLICY_RECORDS];
    struct gray_entrance entrances[POLICY_RECORDS];
    uint32_t entrance_releases[POLICY_RECORDS];
    struct gray_list_ref lists[POLICY_RECORDS];
    struct gray_name names[4][POLICY_RECORDS]; /* release service lane entr. */
    uint32_t slot_hash_count, index_count, index_slot_count, posting_count;
    uint32_t slot_count, insn_count, rule_count, ruleset_count,
        sieve_count;
    uint32_t number_count, release_count, variant_count, stage_count,
        service_count;
    uint32_t route_count, selector_count, lane_count, entrance_count;
    uint32_t entrance_release_count, list_count;
    uint64_t revision;
};

/* Empties it and adds the unnamed entrance. */
void policy_begin(struct policy_craft *p);
struct gray_ref policy_text(struct policy_craft *p, const char *text);
/* Number of the slot; the same for the same name. */
uint32_t policy_slot(struct policy_craft *p, enum gray_source source,
                     const char *name);
/* Appends an operand record; its offset. */
uint32_t policy_operand(struct policy_craft *p, const void *record,
                        size_t size);
/* An operand of one text, for exact, prefix, suffix. */
uint32_t policy_string(struct policy_craft *p, const char *text);
/* An operand set of these texts (NULL ends). */
uint32_t policy_set(struct policy_craft *p, const char *const *texts);
/* One instruction; its number. */
uint32_t policy_insn(struct policy_craft *p, enum gray_condition op,
                     uint32_t slot, uint32_t operand, uint16_t on_true,
                     uint16_t on_false);
/* A rule over the last `count` instructions. */
uint32_t policy_rule(struct policy_craft *p, const char *name, uint32_t count);
/* A rule of one instruction that ends at once. */
uint32_t policy_rule_of(struct policy_craft *p, const char *name,
                        enum gray_condition op, uint32_t slot,
                        uint32_t operand);
/* A set of the last `count` rules, without an index. */
uint32_t policy_ruleset(struct policy_craft *p, uint32_t count);
/* A release of one nameless variant in the default order, over a unit slot,
 * without rules, at every entrance there is so far. */
uint32_t policy_release(struct policy_craft *p, const char *name,
                        uint32_t unit_slot, uint32_t share);
/* A stage of the release that was made last; its number within it. */
uint32_t policy_stage(struct policy_craft *p, const char *name, bool writes);
uint32_t policy_lane(struct policy_craft *p, const char *name);
uint32_t policy_entrance(struct policy_craft *p, const char *name);
/* A service with its baseline route of version "v1". */
uint32_t policy_service(struct policy_craft *p, const char *name);
/* Lays all out and opens it.  What gray_snapshot_open() says. */
int policy_end(struct policy_craft *p, struct gray_snapshot *ret_snapshot,
               struct gray_problem *ret_problem);

#endif
