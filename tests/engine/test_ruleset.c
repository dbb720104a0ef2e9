/* SPDX-License-Identifier: Apache-2.0
 * test_ruleset.c - the index finds the rule that trying them all would find.
 *
 * Why: an index that misses one rule sends a user to the wrong version and
 * nobody sees it.  Random rules and requests are decided twice, with the index
 * and without, and the hostile cases (very many matching lists, collisions)
 * are made on purpose.
 * Read next: ../../engine/ruleset.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/program.h"
#include "tests/engine/policy_craft.h"

#define BUCKETS 512u
/* The compiler chooses them; these meet the words below halfway. */
static const uint8_t lengths[8] = { 1, 2, 4, 8, 12, 16, 24, 32 };

static struct policy_craft p;
static struct gray_snapshot snapshot;
static struct gray_input in;
static uint64_t seed;

static uint32_t next(uint32_t below)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % below;
}

/* ---- an index, made the plain way ---------------------------------------- */

struct key {
    uint32_t hash, rule;
};
static struct key keys[POLICY_RECORDS];
static uint32_t key_count, always[POLICY_RECORDS], always_count;
static uint8_t slot_keys[16], slot_prefixes[16];

static void add_key(uint32_t kind, uint32_t slot, const char *bytes,
                    uint32_t length, uint32_t rule)
{
    slot_keys[slot] |= (uint8_t)kind;
    keys[key_count++] =
        (struct key){ gray_hash_key(kind, slot, bytes, length), rule };
}

static void add_prefix(uint32_t slot, const char *text, uint32_t rule)
{
    uint32_t best = 0, length = (uint32_t)strlen(text);
    for (uint32_t i = 0; i < 8; i++) {
        best = lengths[i] <= length ? i : best;
    }
    slot_prefixes[slot] |= (uint8_t)(1u << best);
    add_key(GRAY_KEY_PREFIX, slot, text, lengths[best], rule);
}

static void end_index(uint32_t set)
{
    struct gray_index index = { .always = { p.number_count, always_count },
                                .slots = { 0, 0 },
                                .buckets = { 0, BUCKETS } };
    memcpy(p.numbers + p.number_count, always, always_count * 4);
    p.number_count += always_count;
    for (uint32_t i = 0; i < key_count; i++) {
        uint32_t at = keys[i].hash & (BUCKETS - 1);
        while (p.postings[at].used && p.postings[at].hash != keys[i].hash) {
            at = (at + 1) & (BUCKETS - 1);
        }
        if (p.postings[at].used) {
            continue;
        }
        p.postings[at] = (struct gray_posting){ keys[i].hash, 1,
                                                { p.number_count, 0 } };
        for (uint32_t k = 0; k < key_count; k++) {
            uint32_t count = p.postings[at].rules.count;
            if (keys[k].hash == keys[i].hash &&
                (count == 0 ||
                 p.numbers[p.number_count - 1] != keys[k].rule)) {
                p.numbers[p.number_count++] = keys[k].rule;
                p.postings[at].rules.count++;
            }
        }
    }
    p.posting_count = BUCKETS;
    for (uint32_t slot = 0; slot < p.slot_count; slot++) {
        if (slot_keys[slot] != 0) {
            struct gray_index_slot *keys_of =
                &p.index_slots[p.index_slot_count++];
            *keys_of = (struct gray_index_slot){ .slot = slot,
                                                 .keys = slot_keys[slot] };
            for (uint32_t i = 0; i < 8; i++) {
                if ((slot_prefixes[slot] >> i & 1) != 0) {
                    keys_of->lengths[keys_of->prefix_count++] = lengths[i];
                }
            }
        }
    }
    index.slots.count = p.index_slot_count;
    p.indexes[p.index_count] = index;
    p.rulesets[set].index = p.index_count++;
}

static void begin(void)
{
    policy_begin(&p);
    key_count = 0;
    always_count = 0;
    memset(slot_keys, 0, sizeof(slot_keys));
    memset(slot_prefixes, 0, sizeof(slot_prefixes));
}

static void open_policy(void)
{
    struct gray_problem problem = { 0 };
    if (policy_end(&p, &snapshot, &problem) != 0) {
        fail_msg("%s: %s", problem.code, problem.sentence);
    }
    gray_input_begin(&in, &snapshot, 0, 0);
}

static uint32_t first(uint32_t set, const char *unit)
{
    struct gray_view view = { .policy = &snapshot };
    struct program run = { .view = &view,
                           .policy = &snapshot,
                           .in = &in,
                           .unit = craft_str(unit),
                           .release = 0 };
    return ruleset_first(&run, set);
}

/* ---- random rules --------------------------------------------------------- */

static const char *const words[] = { "a",         "ab",     "abc",
                                     "abcd",      "Abcd",   "abcdefgh",
                                     "abcdefghi", "b",      "beta",
                                     "BETA",      "x",      "" };
#define WORDS (sizeof(words) / sizeof(words[0]))

/* One rule over slot 0..3 (3: the unit), under the key it cannot do without;
 * half of them ask for a second header as well. */
static void random_rule(uint32_t number)
{
    uint32_t slot = next(4), kind = next(5), second = next(2);
    const char *word = words[next(WORDS - 1)];
    uint16_t then = second ? 1 : GRAY_JUMP_TRUE;
    char lower[16];
    switch (kind) {
    case 0:
        policy_insn(&p, GRAY_CONDITION_EXACT, slot, policy_string(&p, word),
                    then, GRAY_JUMP_FALSE);
        add_key(GRAY_KEY_EXACT, slot, word, (uint32_t)strlen(word), number);
        break;
    case 1:
        for (uint32_t i = 0; i <= strlen(word); i++) {
            lower[i] = (char)(word[i] | (word[i] >= 'A' && word[i] <= 'Z'
                                             ? 0x20
                                             : 0));
        }
        policy_insn(&p, GRAY_CONDITION_EXACT, slot, policy_string(&p, lower),
                    then, GRAY_JUMP_FALSE);
        p.insns[p.insn_count - 1].flags = GRAY_INSN_IGNORE_CASE;
        add_key(GRAY_KEY_EXACT_NOCASE, slot, lower, (uint32_t)strlen(word),
                number);
        break;
    case 2:
        policy_insn(&p, GRAY_CONDITION_PREFIX, slot, policy_string(&p, word),
                    then, GRAY_JUMP_FALSE);
        add_prefix(slot, word, number);
        break;
    case 3:
        policy_insn(&p, GRAY_CONDITION_PRESENT, slot, 0, then,
                    GRAY_JUMP_FALSE);
        add_key(GRAY_KEY_PRESENT, slot, "", 0, number);
        break;
    default:
        policy_insn(&p, GRAY_CONDITION_ABSENT, slot, 0, then,
                    GRAY_JUMP_FALSE);
        always[always_count++] = number;
        break;
    }
    if (second) {
        policy_insn(&p, GRAY_CONDITION_SUFFIX, next(4),
                    policy_string(&p, words[next(WORDS)]), POLICY_JUMPS_END);
    }
    policy_rule(&p, "r", 1 + second);
}

static void random_request(void)
{
    static const char *const names[] = { "h0", "h1", "h2" };
    for (uint32_t i = next(5); i > 0; i--) {
        const char *name = names[next(3)];
        gray_input_header(&in, gray_hash_name(name, 2), craft_str(name),
                          craft_str(words[next(WORDS)]));
    }
}

static void index_and_brute_force_agree(void **state)
{
    uint32_t hits = 0, misses = 0;
    (void)state;
    seed = 20261121;
    for (int round = 0; round < 200; round++) {
        uint32_t rules = 1 + next(60);
        begin();
        policy_slot(&p, GRAY_SOURCE_HEADER, "h0");
        policy_slot(&p, GRAY_SOURCE_HEADER, "h1");
        policy_slot(&p, GRAY_SOURCE_HEADER, "h2");
        policy_slot(&p, GRAY_SOURCE_UNIT, "");
        for (uint32_t i = 0; i < rules; i++) {
            random_rule(i);
        }
        policy_ruleset(&p, rules); /* the same rules, twice */
        p.rulesets[1] = p.rulesets[0];
        p.ruleset_count = 2;
        end_index(0);
        open_policy();
        for (int i = 0; i < 200; i++) {
            gray_input_begin(&in, &snapshot, 0, 0);
            random_request();
            const char *unit = words[next(WORDS)];
            uint32_t with = first(0, unit), without = first(1, unit);
            assert_int_equal(with, without);
            hits += with != GRAY_NONE;
            misses += with == GRAY_NONE;
        }
    }
    assert_true(hits > 1000 && misses > 1000);
}

/* 64 values and the presence of one make 65 lists, more than are merged at
 * once; the first rule that holds stands in the last of them. */
static void more_lists_than_are_merged_at_once(void **state)
{
    char value[16];
    (void)state;
    begin();
    policy_slot(&p, GRAY_SOURCE_HEADER, "h0");
    for (uint32_t i = 0; i < 70; i++) {
        snprintf(value, sizeof(value), "v%u", i);
        policy_insn(&p, GRAY_CONDITION_EXACT, 0, policy_string(&p, value), 1,
                    GRAY_JUMP_FALSE);
        add_key(GRAY_KEY_EXACT, 0, value, (uint32_t)strlen(value), i);
        /* Only rules 2 and 50 hold in the end. */
        policy_insn(&p, i == 2 || i == 50 ? GRAY_CONDITION_PRESENT
                                          : GRAY_CONDITION_ABSENT,
                    0, 0, POLICY_JUMPS_END);
        policy_rule(&p, "r", 2);
    }
    policy_insn(&p, GRAY_CONDITION_EXACT, 0, policy_string(&p, "no"),
                POLICY_JUMPS_END);
    add_key(GRAY_KEY_PRESENT, 0, "", 0, 70);
    policy_rule(&p, "r", 1);
    policy_ruleset(&p, 71);
    end_index(0);
    open_policy();
    for (uint32_t i = 0; i < GRAY_VALUES_MAX; i++) {
        char *kept = in.scratch + 16 * i; /* values must outlive the input */
        uint32_t which = i == GRAY_VALUES_MAX - 1 ? 2 : i + 3;
        snprintf(kept, 16, "v%u", which);
        gray_input_header(&in, gray_hash_name("h0", 2), craft_str("h0"),
                          craft_str(kept));
    }
    assert_int_equal(first(0, ""), 2);
}

/* Prefix keys of all eight lengths on many slots make more than 64 lists. */
static void prefixes_of_every_length_on_every_slot(void **state)
{
    static const char text[] = "abcdefghijklmnopqrstuvwxyzabcdefgh";
    char name[16], prefix[40];
    uint32_t rules = 0;
    (void)state;
    begin();
    for (uint32_t slot = 0; slot < 8; slot++) {
        snprintf(name, sizeof(name), "h%u", slot);
        policy_slot(&p, GRAY_SOURCE_HEADER, name);
    }
    policy_slot(&p, GRAY_SOURCE_HEADER, "never");
    for (uint32_t i = 0; i < 8; i++) {
        for (uint32_t slot = 0; slot < 8; slot++, rules++) {
            memcpy(prefix, text, lengths[i]);
            prefix[lengths[i]] = '\0';
            policy_insn(&p, GRAY_CONDITION_PREFIX, slot,
                        policy_string(&p, prefix), 1, GRAY_JUMP_FALSE);
            policy_insn(&p, rules == 63 || rules == 30
                                ? GRAY_CONDITION_ABSENT
                                : GRAY_CONDITION_PRESENT,
                        8, 0, POLICY_JUMPS_END);
            add_prefix(slot, prefix, rules);
            policy_rule(&p, "r", 2);
        }
    }
    for (uint32_t slot = 0; slot < 8; slot++, rules++) {
        policy_insn(&p, GRAY_CONDITION_PRESENT, slot, 0, POLICY_JUMPS_END);
        add_key(GRAY_KEY_PRESENT, slot, "", 0, rules);
        policy_rule(&p, "r", 1);
    }
    policy_ruleset(&p, rules);
    end_index(0);
    open_policy();
    for (uint32_t slot = 8; slot-- > 0;) {
        snprintf(name, sizeof(name), "h%u", slot);
        gray_input_header(&in, gray_hash_name(name, 2), craft_str(name),
                          craft_str(text));
    }
    assert_int_equal(first(0, ""), 30);
}

static void too_long_a_value_is_present_and_no_more(void **state)
{
    static char text[GRAY_VALUE_MAX + 2];
    (void)state;
    begin();
    policy_slot(&p, GRAY_SOURCE_HEADER, "h0");
    policy_rule_of(&p, "prefix", GRAY_CONDITION_PREFIX, 0,
                   policy_string(&p, "a"));
    add_prefix(0, "a", 0);
    policy_rule_of(&p, "present", GRAY_CONDITION_PRESENT, 0, 0);
    add_key(GRAY_KEY_PRESENT, 0, "", 0, 1);
    policy_ruleset(&p, 2);
    end_index(0);
    open_policy();
    memset(text, 'a', GRAY_VALUE_MAX + 1);
    gray_input_header(&in, gray_hash_name("h0", 2), craft_str("h0"),
                      craft_str(text));
    assert_int_equal(first(0, ""), 1);
    gray_input_begin(&in, &snapshot, 0, 0);
    gray_input_header(&in, gray_hash_name("h0", 2), craft_str("h0"),
                      craft_str(text + 1));
    assert_int_equal(first(0, ""), 0);
}

static void no_such_set_holds_nothing(void **state)
{
    (void)state;
    begin();
    policy_ruleset(&p, 0);
    open_policy();
    assert_int_equal(first(0, ""), GRAY_NONE);
    assert_int_equal(first(1, ""), GRAY_NONE);
    assert_int_equal(first(GRAY_NONE, ""), GRAY_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(index_and_brute_force_agree),
        cmocka_unit_test(more_lists_than_are_merged_at_once),
        cmocka_unit_test(prefixes_of_every_length_on_every_slot),
        cmocka_unit_test(too_long_a_value_is_present_and_no_more),
        cmocka_unit_test(no_such_set_holds_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
