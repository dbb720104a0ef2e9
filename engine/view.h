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
    return (uint8_t)(c | ((uint8_t)(c - 'A') < 26 ? 0x20 : 0));
}

/* `lower` is in lower case already. */
static inline bool view_same_nocase(const char *lower, const char *text,
                                    uint32_t length)
{
    for (uint32_t i = 0; i < length; i++) {
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

/* What slots and their hash table agree on. */
#define VIEW_SLOT_HASH(source) ((uint32_t)(source)*0x9e3779b1u)

/* Number of the slot of an attribute, GRAY_NONE when nobody looks at it.
 * `hash` is gray_hash_name(name); header names are compared without case. */
static inline uint32_t view_slot(const struct gray_snapshot *s, uint32_t source,
                                 uint32_t hash, const char *name,
                                 uint32_t length)
{
    const struct gray_policy *policy = s->policy;
    const uint32_t *cells =
        (const uint32_t *)(const void *)(s->base + policy->slot_hash.offset);
    uint32_t mask = policy->slot_hash.count - 1;
    if (policy->slot_hash.count == 0) {
        return GRAY_NONE;
    }
    hash += VIEW_SLOT_HASH(source);
    for (uint32_t step = 0; step <= mask; step++) {
        uint32_t number = cells[(hash + step) & mask];
        const struct gray_slot *slot = VIEW_AT(s, slots, gray_slot, number);
        if (slot == NULL) {
            return GRAY_NONE;
        }
        if (slot->hash != hash || slot->source != source ||
            slot->name.length != length) {
            continue;
        }
        struct gray_str own = view_text(s, slot->name);
        if (own.length == length &&
            (source == GRAY_SOURCE_HEADER
                 ? view_same_nocase(own.data, name, length)
                 : length == 0 || memcmp(own.data, name, length) == 0)) {
            return number;
        }
    }
    return GRAY_NONE;
}

#endif
