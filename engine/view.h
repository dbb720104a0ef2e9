/* SPDX-License-Identifier: Apache-2.0
 * view.h - bounded look-ups of records, for the engine's own files.
 *
 * Why: gray_snapshot_open() has checked where every table lies, so on the hot
 * path one comparison with the table's count is enough to stay inside the
 * mapping.  References and operands are bounded by the file's size, which is
 * just as cheap.  Nothing here calls anything.
 * Read next: snapshot.c (what is checked), program.c (the user).
 */
#ifndef GRAY_ENGINE_VIEW_H
#define GRAY_ENGINE_VIEW_H

#include "engine/bounds.h"
#include "engine/engine.h"

/* Record `number` of a table; NULL when there is none. */
static inline const void *view_record(const struct gray_snapshot *s,
                                      struct gray_table table, uint32_t number,
                                      size_t width)
{
    if (__builtin_expect(number >= table.count, 0)) {
        return NULL;
    }
    return s->base + table.offset + (uint64_t)number * width;
}
#define VIEW_AT(s, table, type, number)                                        \
    ((const struct type *)view_record((s), (s)->policy->table, (number),       \
                                      sizeof(struct type)))

/* First record of a span; NULL when the span leaves its table or is empty. */
static inline const void *view_span(const struct gray_snapshot *s,
                                    struct gray_table table,
                                    struct gray_span span, size_t width)
{
    if (span.count == 0 || !span_fits(span, table.count)) {
        return NULL;
    }
    return s->base + table.offset + (uint64_t)span.first * width;
}
#define VIEW_NUMBERS(s, table, span)                                           \
    ((const uint32_t *)view_span((s), (s)->policy->table, (span),              \
                                 sizeof(uint32_t)))

/* `length` bytes at `offset` of the file; NULL when they leave it. */
static inline const void *view_bytes(const struct gray_snapshot *s,
                                     uint64_t offset, uint64_t length)
{
    if (__builtin_expect(offset > s->size || length > s->size - offset, 0)) {
        return NULL;
    }
    return s->base + offset;
}

static inline struct gray_str view_text(const struct gray_snapshot *s,
                                        struct gray_ref ref)
{
    const char *data = view_bytes(s, ref.offset, ref.length);
    return (struct gray_str){ data, data == NULL ? 0 : ref.length };
}

static inline uint8_t view_lower(uint8_t c)
{
    return (uint8_t)(c | (uint32_t)((uint8_t)(c - 'A') < 26) << 5);
}

static inline uint64_t view_load8(const char *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof(word));
    return word;
}

static inline uint32_t view_load4(const char *at)
{
    uint32_t word;
    memcpy(&word, at, sizeof(word));
    return word;
}

/* Up to three bytes: first, middle and last. */
static inline uint32_t view_load3(const char *at, uint32_t length)
{
    const uint8_t *p = (const uint8_t *)at;
    return length == 0 ? 0
                       : (uint32_t)p[0] |
                             (uint32_t)p[length / 2] << (8 * (length / 2)) |
                             (uint32_t)p[length - 1] << (8 * (length - 1));
}

static inline uint64_t view_look(uint32_t kind, const char *at, uint32_t length)
{
    if (kind == GRAY_LOOK_TAIL) {
        return (uint64_t)length << 32 |
               (length >= 4 ? view_load4(at + length - 4)
                            : view_load3(at, length));
    }
    if (length >= 8) {
        return view_load8(at);
    }
    return length >= 4 ? view_load4(at) |
                             (uint64_t)view_load4(at + length - 4)
                                 << (8 * (length - 4))
                       : view_load3(at, length);
}

/* memcmp() == 0 for texts that mostly are short: no call. */
static inline bool view_same(const char *a, const char *b, uint32_t length)
{
    if (length >= 8) {
        uint32_t i = 0;
        for (; i + 8 < length; i += 8) {
            if (view_load8(a + i) != view_load8(b + i)) {
                return false;
            }
        }
        return view_load8(a + length - 8) == view_load8(b + length - 8);
    }
    if (length >= 4) {
        return view_load4(a) == view_load4(b) &&
               view_load4(a + length - 4) == view_load4(b + length - 4);
    }
    for (uint32_t i = 0; i < length; i++) {
        if (a[i] != b[i]) {
            return false;
        }
    }
    return true;
}

/* Eight bytes in lower case (ASCII) at once. */
static inline uint64_t view_lower8(uint64_t word)
{
    const uint64_t ones = 0x0101010101010101u;
    uint64_t low = word & 0x7f * ones;
    uint64_t from_a = low + (0x80 - 'A') * ones;
    uint64_t past_z = low + (0x80 - 'Z' - 1) * ones;
    return word | ((from_a ^ past_z) & ~word & 0x80 * ones) >> 2;
}

/* `lower` is in lower case already. */
static inline bool view_same_nocase(const char *lower, const char *text,
                                    uint32_t length)
{
    uint32_t i = 0;
    if (length >= 8) {
        for (; i + 8 < length; i += 8) {
            if (view_load8(lower + i) != view_lower8(view_load8(text + i))) {
                return false;
            }
        }
        return view_load8(lower + length - 8) ==
               view_lower8(view_load8(text + length - 8));
    }
    for (; i < length; i++) {
        if ((uint8_t)lower[i] != view_lower((uint8_t)text[i])) {
            return false;
        }
    }
    return true;
}

/* Does the policy look at anything from this source? */
static inline bool view_needs(const struct gray_snapshot *s, uint32_t source)
{
    return (s->policy->needs >> source) & 1;
}

/* The values of one slot: number of the first, then of the next one, until
 * GRAY_VALUES_MAX.  Chains are gray_input_*()'s own, so they are not bounded
 * again; only where a policy has more than 64 slots do they mix some. */
static inline uint32_t view_next(const struct gray_input *in, uint32_t number)
{
    uint32_t next = in->next[number];
    while (__builtin_expect(next != GRAY_VALUES_MAX, 0) &&
           in->values[next].slot != in->values[number].slot) {
        next = in->next[next];
    }
    return next;
}
static inline uint32_t view_first(const struct gray_input *in, uint32_t slot)
{
    if ((in->present >> (slot & 63) & 1) == 0) {
        return GRAY_VALUES_MAX;
    }
    uint32_t number = in->first[slot & 63];
    while (__builtin_expect(in->values[number].slot != slot, 0)) {
        number = in->next[number];
        if (number == GRAY_VALUES_MAX) {
            break;
        }
    }
    return number;
}

#define VIEW_COOKIES 4u /* gray_snapshot.cookies */

/* What slots and their hash table agree on. */
#define VIEW_SLOT_HASH(source) ((uint32_t)(source)*0x9e3779b1u)

/* Number of the slot of an attribute, GRAY_NONE when nobody looks at it.
 * `hash` is gray_hash_name(name); header names are compared without case. */
static inline uint32_t view_slot(const struct gray_snapshot *s, uint32_t source,
                                 uint32_t hash, const char *name,
                                 uint32_t length)
{
    const struct gray_policy *policy = s->policy;
    const uint8_t *base = s->base;
    const uint32_t *cells =
        (const uint32_t *)(const void *)(base + policy->slot_hash.offset);
    const struct gray_slot *slots =
        (const struct gray_slot *)(const void *)(base + policy->slots.offset);
    uint32_t left = policy->slot_hash.count, mask = left - 1;
    uint32_t count = policy->slots.count;
    hash += VIEW_SLOT_HASH(source);
    /* hash, source and padding of the record at once */
    uint64_t wanted = (uint64_t)source << 32 | hash;
    for (uint32_t at = hash; left > 0; at++, left--) {
        uint32_t number = cells[at & mask];
        if (number >= count) {
            return GRAY_NONE;
        }
        const struct gray_slot *slot = &slots[number];
        if (view_load8((const char *)&slot->hash) != wanted ||
            slot->name.length != length) {
            continue;
        }
        const char *own = view_bytes(s, slot->name.offset, length);
        if (own != NULL && (view_same(own, name, length) ||
                            (source == GRAY_SOURCE_HEADER &&
                             view_same_nocase(own, name, length)))) {
            return number;
        }
    }
    return GRAY_NONE;
}

#endif
