/* SPDX-License-Identifier: Apache-2.0
 * mark_slot.h - what the files of the mark table share among themselves.
 *
 * Why: a copier claims and closes slots by the same steps as everyone else.
 * Read next: mark_slot.c.
 */
#ifndef GRAY_RUNTIME_MARK_SLOT_H
#define GRAY_RUNTIME_MARK_SLOT_H

#include "runtime/internal.h"

/* What no key ever is: the keys of a free slot that the copier closed.  A key
 * whose second word is not there yet is closed by the second one. */
#define MARK_CLOSED_WIDE UINT64_MAX
uint64_t runtime_mark_closed(void);

/* A slot as 64-bit words: key, value; or key, key, value, reserved. */
static inline uint32_t mark_slot_words(const struct gray_mark_table *table)
{
    return table->slot_size / 8;
}
static inline uint64_t *mark_slot_value(const struct gray_mark_table *table,
                                        uint64_t *slot)
{
    return slot + (table->slot_size == 32 ? 2 : 1);
}
static inline uint64_t mark_load(const uint64_t *place)
{
    return __atomic_load_n(place, __ATOMIC_ACQUIRE);
}
static inline bool mark_swap(uint64_t *place, uint64_t *expected,
                             uint64_t value)
{
    return __atomic_compare_exchange_n(place, expected, value, false,
                                       __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

enum mark_place {
    MARK_HERE,   /* the slot is the key's */
    MARK_FREE,   /* the first free one, or one half claimed that may become it:
                    the key stands nowhere in this table */
    MARK_CLOSED, /* it would be the key's, but may not: look in the next table */
    MARK_END,    /* no free one within reach: nor can there ever be one */
    MARK_BUSY    /* lost too many races: nothing is known */
};
/* Where a key stands or would stand. */
enum mark_place runtime_mark_probe(const struct gray_mark_table *table,
                                   struct gray_mark_key key,
                                   uint64_t **ret_slot);
/* The same, and a free one is claimed.  MARK_FREE is then never returned;
 * `limit` (keys used) or above: MARK_END instead of a new claim, with the free
 * slot in *ret_slot (else it is NULL). */
enum mark_place runtime_mark_claim(const struct gray_mark_table *table,
                                   struct gray_mark_key key, uint64_t limit,
                                   uint64_t **ret_slot);
/* Closes a slot that is free, or half claimed.  False: it is claimed. */
bool runtime_mark_close(const struct gray_mark_table *table, uint64_t *slot);

/* ---- mark_grow.c -------------------------------------------------------- */

/* The word of a scope of a folder that may be written. */
int runtime_marks_word(const struct gray_folder *folder, uint64_t scope,
                       struct gray_scope_word **ret_word,
                       struct gray_problem *ret_problem);
/* marks/ of a folder. */
int runtime_marks_open(const struct gray_folder *folder, int *ret_fd,
                       struct gray_problem *ret_problem);
/* gray_marks_name() of somebody who wakes everyone himself. */
int runtime_marks_name(struct gray_folder *folder, uint64_t scope,
                       uint32_t number, struct gray_problem *ret_problem);

/* marks/<this>: name of a table; ret_name has MARK_NAME_SIZE bytes. */
#define MARK_NAME_SIZE 40
void runtime_mark_table_name(char *ret_name, uint64_t scope, uint32_t number);

#endif
