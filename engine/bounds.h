/* SPDX-License-Identifier: Apache-2.0
 * bounds.h - does a piece of a file lie inside the file?
 *
 * Why: everything that opens a mapping asks the same three questions, and an
 * overflow in one of the answers would let a file point outside itself.  All
 * sums are made in 64 bits from 32-bit parts, so they cannot wrap.
 * Read next: fleet.c, list.c.
 */
#ifndef GRAY_ENGINE_BOUNDS_H
#define GRAY_ENGINE_BOUNDS_H

#include <string.h>

#include "engine/engine.h"

/* Tells a problem: always -1, so that a check may return it. */
static inline int problem_say(struct gray_problem *ret_problem,
                              const char *code, const char *sentence,
                              uint64_t offset)
{
    if (ret_problem != NULL) {
        size_t length = strlen(sentence);
        if (length >= sizeof(ret_problem->sentence)) {
            length = sizeof(ret_problem->sentence) - 1;
        }
        memcpy(ret_problem->sentence, sentence, length);
        ret_problem->sentence[length] = '\0';
        ret_problem->code = code;
        ret_problem->offset = offset;
    }
    return -1;
}

/* [offset, offset + count * width) lies in `size` bytes and offset is a
 * multiple of `align`.  count * width must not wrap: width is a record. */
static inline bool bytes_fit(uint64_t size, uint64_t offset, uint64_t count,
                             uint64_t width, uint64_t align)
{
    return offset <= size && (offset & (align - 1)) == 0 &&
           count <= (size - offset) / width;
}

static inline bool table_fits(uint64_t size, struct gray_table table,
                              uint64_t width, uint64_t align)
{
    return bytes_fit(size, table.offset, table.count, width, align);
}

static inline bool span_fits(struct gray_span span, uint32_t count)
{
    return (uint64_t)span.first + span.count <= count;
}

/* An empty reference points nowhere and is always right. */
static inline bool ref_fits(struct gray_ref ref, struct gray_table strings)
{
    return ref.length == 0 || (ref.offset >= strings.offset &&
                               (uint64_t)ref.offset + ref.length <=
                                   (uint64_t)strings.offset + strings.count);
}

static inline bool same_bytes(struct gray_str a, struct gray_str b)
{
    return a.length == b.length &&
           (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

/* The file header that every file begins with: magic, layout, length. */
static inline bool header_fits(const struct gray_file_header *header,
                               uint64_t size, const char *magic)
{
    return strncmp(header->magic, magic, sizeof(header->magic)) == 0 &&
           header->layout == GRAY_LAYOUT &&
           header->header_size == sizeof(*header) && header->length == size;
}

#endif
