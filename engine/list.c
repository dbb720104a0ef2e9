/* SPDX-License-Identifier: Apache-2.0
 * list.c - is this id one of ten million?
 *
 * Why: white and black lists are far bigger than a policy, so they lie in
 * files of their own: a sorted array of 64-bit keys, and above it a directory
 * by the keys' highest bits.  The keys are mixed, so they are spread evenly: a
 * look-up is one read of the directory and one short scan, two or three cache
 * misses at any size, at less than nine bytes an id.
 * Read next: layout.h (gray_list_file), policy/list_build.c (who writes it).
 */

#include "engine/bounds.h"

/* The longest canonical decimal number below 2^64. */
#define DIGITS_MAX 20u
/* So far from where it should lie a key is looked for one by one, then by
 * halves: a hostile file costs no more than a logarithm. */
#define SCAN_MAX 32u
/* A cache line is eight keys wide: the lines at both sides are asked for
 * together with the one in the middle. */
#define NEIGHBOUR 6u
#define DIR_BITS_MAX 31u

/* The directory must rise from 0 to `count`: then every cell lies inside the
 * keys and a look-up needs no further check. */
static bool half_fits(const uint8_t *base, uint64_t size,
                      const struct gray_list_half *half)
{
    const uint32_t *dir;
    uint64_t cells, i;

    if (half->count == 0) {
        return true;
    }
    if (half->count > UINT32_MAX || half->dir_bits > DIR_BITS_MAX ||
        !bytes_fit(size, half->keys, half->count, sizeof(uint64_t), 8)) {
        return false;
    }
    cells = UINT64_C(1) << half->dir_bits;
    if (!bytes_fit(size, half->dir, cells + 1, sizeof(uint32_t), 4)) {
        return false;
    }
    dir = (const uint32_t *)(base + half->dir);
    if (dir[0] != 0 || dir[cells] != half->count) {
        return false;
    }
    for (i = 0; i < cells; i++) {
        if (dir[i] > dir[i + 1]) {
            return false;
        }
    }
    return true;
}

int gray_list_open(struct gray_list *ret_list, const void *data, uint64_t size,
                   struct gray_problem *ret_problem)
{
    const struct gray_file_header *header = data;
    const struct gray_list_file *file;
    const uint8_t *base = data;

    if (data == NULL || ((uintptr_t)data & 7) != 0 ||
        size < sizeof(*header) + sizeof(*file)) {
        return problem_say(ret_problem, "truncated",
                      "The list is shorter than its own header.", 0);
    }
    if (!header_fits(header, size, GRAY_MAGIC_LIST)) {
        return problem_say(ret_problem, "bad-header",
                      "This is no list of a layout that is known here.", 0);
    }
    file = (const struct gray_list_file *)(base + sizeof(*header));
    if (!half_fits(base, size, &file->numeric)) {
        return problem_say(ret_problem, "bad-list",
                      "The numeric ids or their directory are damaged.",
                      file->numeric.keys);
    }
    if (!half_fits(base, size, &file->text)) {
        return problem_say(ret_problem, "bad-list",
                      "The other ids or their directory are damaged.",
                      file->text.keys);
    }
    if (file->strings != 0 && !bytes_fit(size, file->strings, file->text.count,
                                         sizeof(uint64_t), 8)) {
        return problem_say(ret_problem, "bad-list",
                      "The strings of a strict list lie outside of it.",
                      file->strings);
    }
    ret_list->base = base;
    ret_list->size = size;
    ret_list->file = file;
    return 0;
}

/* Only the one way of writing a number that printf would take: "007" and "7"
 * are two ids. */
static bool parse_number(struct gray_str id, uint64_t *ret_number)
{
    uint64_t number = 0;
    uint32_t i, digit;

    if (id.length == 0 || id.length > DIGITS_MAX ||
        (id.data[0] == '0' && id.length > 1)) {
        return false;
    }
    for (i = 0; i < id.length; i++) {
        digit = (uint32_t)(unsigned char)id.data[i] - '0';
        if (digit > 9) {
            return false;
        }
        if (i == DIGITS_MAX - 1 &&
            (number > UINT64_MAX / 10 ||
             (number == UINT64_MAX / 10 && digit > UINT64_MAX % 10))) {
            return false;
        }
        number = number * 10 + digit;
    }
    *ret_number = number;
    return true;
}

/* The same in [first, last) by halves. */
static uint32_t halve(const uint64_t *keys, uint32_t first, uint32_t last,
                      uint64_t key)
{
    while (first < last) {
        uint32_t middle = first + (last - first) / 2;

        if (keys[middle] < key) {
            first = middle + 1;
        } else {
            last = middle;
        }
    }
    return first;
}

/* Number of the first key that is not below `key`; half->count when none.
 * Mixed keys lie evenly in a cell, so where one should lie can be computed,
 * and it is a few keys away at most: the directory may be coarse enough to
 * stay in a cache, and the keys cost one miss. */
static uint32_t lower_bound(const struct gray_list *list,
                            const struct gray_list_half *half, uint64_t key)
{
    const uint64_t *keys = (const uint64_t *)(list->base + half->keys);
    const uint32_t *dir = (const uint32_t *)(list->base + half->dir);
    uint64_t cell = half->dir_bits == 0 ? 0 : key >> (64 - half->dir_bits);
    uint64_t within = (key << half->dir_bits) >> 32;
    uint32_t first = dir[cell], last = dir[cell + 1], at, left = SCAN_MAX;

    if (first == last) {
        return first;
    }
    at = first + (uint32_t)(within * (last - first) >> 32);
    __builtin_prefetch(&keys[at > first + NEIGHBOUR ? at - NEIGHBOUR : first]);
    __builtin_prefetch(
        &keys[last - at > NEIGHBOUR ? at + NEIGHBOUR : last - 1]);
    if (keys[at] < key) {
        do {
            at++;
        } while (at < last && keys[at] < key && --left != 0);
        return left != 0 ? at : halve(keys, at, last, key);
    }
    while (at > first && keys[at - 1] >= key && --left != 0) {
        at--;
    }
    return left != 0 ? at : halve(keys, first, at, key);
}

static bool same_string(const struct gray_list *list, uint32_t number,
                        struct gray_str id)
{
    const uint64_t *offsets =
        (const uint64_t *)(list->base + list->file->strings);
    uint64_t offset = offsets[number];
    uint32_t length;

    if (!bytes_fit(list->size, offset, sizeof(length), 1, 1)) {
        return false;
    }
    memcpy(&length, list->base + offset, sizeof(length));
    offset += sizeof(length);
    return length == id.length && bytes_fit(list->size, offset, length, 1, 1) &&
           memcmp(list->base + offset, id.data, length) == 0;
}

bool gray_list_has(const struct gray_list *list, struct gray_str id)
{
    const struct gray_list_file *file = list->file;
    const struct gray_list_half *half = &file->numeric;
    const uint64_t *keys;
    uint64_t key;
    uint32_t i;
    bool number = parse_number(id, &key);

    if (id.length == 0) {
        return false;
    }
    if (!number) {
        half = &file->text;
    }
    if (half->count == 0) {
        return false;
    }
    key =
        number ? gray_mix64(key) : gray_siphash(id.data, id.length, file->key);
    keys = (const uint64_t *)(list->base + half->keys);
    for (i = lower_bound(list, half, key); i < half->count; i++) {
        if (keys[i] != key) {
            return false;
        }
        if (number || file->strings == 0 || same_string(list, i, id)) {
            return true;
        }
    }
    return false;
}
