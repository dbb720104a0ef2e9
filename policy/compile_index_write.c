/* SPDX-License-Identifier: Apache-2.0
 * compile_index_write.c - an index as the engine reads it.
 *
 * Why: what compile_index.c files in the order of the rules, the engine asks by
 * hash and by slot; here the entries are sorted both ways and laid down.
 * Read next: ../engine/layout_policy.h (gray_index), ../engine/ruleset.c.
 */
#include <stdlib.h>
#include <string.h>

#include "policy/compile.h"

static int by_number(uint32_t a, uint32_t b)
{
    return a < b ? -1 : a > b;
}

static int by_hash(const void *left, const void *right)
{
    const struct index_entry *a = left, *b = right;
    int order = by_number(a->key.hash, b->key.hash);

    return order != 0 ? order : by_number(a->rule, b->rule);
}

static int by_slot(const void *left, const void *right)
{
    const struct index_entry *a = left, *b = right;
    int order = by_number(a->key.slot, b->key.slot);

    if (order == 0) {
        order = by_number(a->key.kind, b->key.kind);
    }
    if (order == 0) {
        order = by_number(a->key.prefix, b->key.prefix);
    }
    return order != 0 ? order : by_hash(left, right);
}

static int put_numbers(struct build *build, const uint32_t *numbers,
                       uint32_t count, struct gray_span *ret_span)
{
    uint32_t first = COUNT(build->numbers, uint32_t);
    uint32_t *out =
        bytes_add(build, &build->numbers, count * sizeof(*numbers));

    if (out == NULL) {
        return -1;
    }
    if (count != 0) {
        memcpy(out, numbers, count * sizeof(*numbers));
    }
    ret_span->first = first;
    ret_span->count = count;
    return 0;
}

/* One posting for each hash; entries are sorted by it. */
static int put_posting(struct build *build, const struct index_entry *entries,
                       uint32_t count, struct gray_span *ret_span)
{
    uint32_t i, *out;

    ret_span->first = COUNT(build->numbers, uint32_t);
    ret_span->count = 0;
    for (i = 0; i < count; i++) {
        if (i > 0 && entries[i].rule == entries[i - 1].rule) {
            continue;
        }
        out = bytes_add(build, &build->numbers, sizeof(*out));
        if (out == NULL) {
            return -1;
        }
        *out = entries[i].rule;
        ret_span->count++;
    }
    return 0;
}

static int put_postings(struct build *build, const struct index_entry *entries,
                        uint32_t count, struct gray_span *ret_buckets)
{
    uint32_t i, next, keys = 0, size = 2, at, first;
    struct gray_posting *buckets;
    struct gray_span span;

    for (i = 0; i < count; i++) {
        keys += i == 0 || entries[i].key.hash != entries[i - 1].key.hash;
    }
    while (size < 2 * keys) {
        size *= 2;
    }
    first = COUNT(build->postings, struct gray_posting);
    if (bytes_add(build, &build->postings,
                  (size_t)size * sizeof(*buckets)) == NULL) {
        return -1;
    }
    buckets = TABLE(build->postings, struct gray_posting) + first;
    for (i = 0; i < count; i = next) {
        next = i + 1;
        while (next < count &&
               entries[next].key.hash == entries[i].key.hash) {
            next++;
        }
        if (put_posting(build, &entries[i], next - i, &span) != 0) {
            return -1;
        }
        at = entries[i].key.hash & (size - 1);
        while (buckets[at].used) {
            at = (at + 1) & (size - 1);
        }
        buckets[at].hash = entries[i].key.hash;
        buckets[at].used = 1;
        buckets[at].rules = span;
    }
    ret_buckets->first = first;
    ret_buckets->count = size;
    return 0;
}

/* Entries come by ascending prefix; only lengths that a rule stands under are
 * worth a look of the engine's. */
static void add_length(struct gray_index_slot *slot, uint8_t length)
{
    uint8_t count = slot->prefix_count;

    if (count == 0 || slot->lengths[count - 1] != length) {
        slot->lengths[slot->prefix_count++] = length;
    }
}

/* Entries are sorted by slot. */
static int put_slots(struct build *build, const struct index_entry *entries,
                     uint32_t count, struct gray_span *ret_slots)
{
    struct gray_index_slot *slot = NULL;
    uint32_t i;

    ret_slots->first = COUNT(build->index_slots, struct gray_index_slot);
    ret_slots->count = 0;
    for (i = 0; i < count; i++) {
        if (i == 0 || entries[i].key.slot != entries[i - 1].key.slot) {
            slot = bytes_add(build, &build->index_slots, sizeof(*slot));
            if (slot == NULL) {
                return -1;
            }
            slot->slot = entries[i].key.slot;
            ret_slots->count++;
        }
        slot->keys |= entries[i].key.kind;
        if (entries[i].key.kind == GRAY_KEY_PREFIX) {
            add_length(slot, entries[i].key.prefix);
        }
    }
    return 0;
}

int index_write(struct build *build, struct gray_ruleset *set,
                struct index_entry *entries, uint32_t count,
                const struct bytes *always, struct set_cost *ret_cost)
{
    struct gray_index index = {{0}}, *out;

    if (put_numbers(build, TABLE(*always, uint32_t), COUNT(*always, uint32_t),
                    &index.always) != 0) {
        return -1;
    }
    if (count > 1) {
        qsort(entries, count, sizeof(*entries), by_hash);
    }
    if (put_postings(build, entries, count, &index.buckets) != 0) {
        return -1;
    }
    if (count > 1) {
        qsort(entries, count, sizeof(*entries), by_slot);
    }
    if (put_slots(build, entries, count, &index.slots) != 0) {
        return -1;
    }
    out = bytes_add(build, &build->indexes, sizeof(*out));
    if (out == NULL) {
        return -1;
    }
    *out = index;
    set->index = COUNT(build->indexes, struct gray_index) - 1;
    return cost_of_index(build, set, entries, count, &index.always, ret_cost);
}
