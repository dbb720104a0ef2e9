/* SPDX-License-Identifier: Apache-2.0
 * test_compile_prefix.c - no other lengths of prefixes would be better.
 *
 * Why: a bad choice is right and slow, so no answer shows it.  For small sets
 * every choice of lengths is tried, each counted the plain way, and the
 * compiler's must cost as little as the best of them.
 * Read next: ../../policy/compile_prefix.c.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/compile.h"

#define HEADS 60u
#define LONGEST 16u

static uint64_t seed = 20261121;

static uint32_t below(uint32_t limit)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((seed >> 33) % limit);
}

static struct rule_origin origins[HEADS];
static struct index_entry entries[HEADS];
static uint8_t bytes[HEADS * LONGEST];

/* How many bytes this head is filed by; bit n of `set`: length n + 1. */
static uint32_t filed_by(const struct index_entry *entry, uint32_t set)
{
    uint32_t length = entry->key.prefix;

    while (length > 0 && (set >> (length - 1) & 1) == 0) {
        length--;
    }
    return length;
}

static uint64_t weight(uint32_t i)
{
    return origins[i].ns + COST_CANDIDATE;
}

static uint64_t cost_of(uint32_t set, uint32_t count)
{
    uint64_t total = 0, cost = 0, squares, longest, sum;
    uint32_t length, i, k;

    for (i = 0; i < count; i++) {
        total += weight(i);
    }
    for (length = 0; length <= LONGEST; length++) {
        squares = longest = 0;
        for (i = 0; i < count; i++) {
            const uint8_t *head = bytes + entries[i].key.head;

            if (filed_by(&entries[i], set) != length) {
                continue;
            }
            sum = 0;
            for (k = 0; k < count; k++) {
                if (filed_by(&entries[k], set) == length &&
                    memcmp(head, bytes + entries[k].key.head, length) == 0) {
                    sum += weight(k);
                }
            }
            squares += weight(i) * sum; /* over a group: its square */
            longest = sum > longest ? sum : longest;
        }
        cost += length == 0 ? 2 * longest : longest + squares / total;
    }
    return cost;
}

static uint32_t chosen(uint32_t count, bool *ret_all)
{
    struct build build = {0};
    struct gray_ruleset set = {{0, count}, GRAY_NONE, 0};
    struct bytes slots = {0};
    const struct gray_index_slot *slot;
    uint32_t i, bits = 0;

    build.origins.data = (uint8_t *)origins;
    assert_int_equal(prefix_choose(&build, &set, entries, count, bytes, &slots,
                                   ret_all),
                     0);
    assert_int_equal(COUNT(slots, struct gray_index_slot), 1);
    slot = TABLE(slots, struct gray_index_slot);
    assert_int_equal(slot->slot, 5);
    assert_true(slot->prefix_count <= GRAY_PREFIXES_MAX);
    for (i = 0; i < slot->prefix_count; i++) {
        assert_true(i == 0 || slot->lengths[i - 1] < slot->lengths[i]);
        bits |= 1u << (slot->lengths[i] - 1);
    }
    for (i = 0; i <= LONGEST + 1; i++) {
        uint32_t length = i > LONGEST ? LONGEST : i;

        while (length > 0 && (bits >> (length - 1) & 1) == 0) {
            length--;
        }
        assert_int_equal(prefix_length(&slots, 5, i), length);
        assert_int_equal(prefix_length(&slots, 4, i), 0);
    }
    bytes_free(&slots);
    return bits;
}

static void fill(uint32_t count, uint32_t longest)
{
    uint32_t i, k;

    for (i = 0; i < count; i++) {
        uint32_t length = 1 + below(longest);

        for (k = 0; k < LONGEST; k++) {
            bytes[i * LONGEST + k] = below(4) == 0 ? 'b' : 'a';
        }
        origins[i].ns = below(3) == 0 ? 90 : 5;
        entries[i] = (struct index_entry){
            .key = {.slot = 5,
                    .kind = GRAY_KEY_PREFIX,
                    .prefix = (uint8_t)length,
                    .head = i * LONGEST},
            .rule = i};
    }
}

static void no_other_lengths_are_better(void **state)
{
    uint32_t round, set, count, used, lengths, i;
    uint64_t cost, least;
    bool all;

    (void)state;
    for (round = 0; round < 12; round++) {
        count = 20 + below(HEADS - 20);
        fill(count, 9 + round % 3);
        for (lengths = 0, i = 0; i < count; i++) {
            lengths |= 1u << (entries[i].key.prefix - 1);
        }
        used = chosen(count, &all);
        if (__builtin_popcount(lengths) <= (int)GRAY_PREFIXES_MAX) {
            assert_true(all);
            assert_int_equal(used, lengths);
            continue;
        }
        assert_false(all);
        least = UINT64_MAX;
        for (set = 1; set <= lengths; set++) {
            if ((set & ~lengths) == 0 &&
                __builtin_popcount(set) <= (int)GRAY_PREFIXES_MAX) {
                cost = cost_of(set, count);
                least = cost < least ? cost : least;
            }
        }
        assert_int_equal(cost_of(used, count), least);
    }
}

/* Eight lengths are all kept, whatever they cost; nine are not. */
static void eight_lengths_are_kept(void **state)
{
    uint32_t count, used;
    bool all;

    (void)state;
    for (count = 8; count <= 9; count++) {
        uint32_t i;

        fill(count, 1);
        for (i = 0; i < count; i++) {
            entries[i].key.prefix = (uint8_t)(i + 3);
        }
        used = chosen(count, &all);
        assert_int_equal(all, count == 8);
        assert_true(count != 8 || used == 0xffu << 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_other_lengths_are_better),
        cmocka_unit_test(eight_lengths_are_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
