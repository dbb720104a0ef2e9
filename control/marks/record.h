/* SPDX-License-Identifier: Apache-2.0
 * record.h - one record of the journal: how it lies on disk, how far it is
 * believed.
 *
 * Why: a mark must survive a damaged byte: as long as the key, or the unit
 * that it is made from, can be believed, the unit is held (HOLD) and not taken
 * for one that was never here.  So a record has three sums: of all, of its key
 * and of its unit.
 * Read next: record.c, journal.h.
 */
#ifndef GRAYD_MARKS_RECORD_H
#define GRAYD_MARKS_RECORD_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/marks.h"

#define RECORD_WORDS_MAX 255u /* bytes of actor; of reason: 4 times as many */
#define RECORD_REASON_MAX 1020u
#define RECORD_READER_NONE UINT32_MAX

enum record_kind { /* numbers never change */
    RECORD_ADMIT = 1, RECORD_REVOKE, RECORD_REPAIR, RECORD_IMPORT, RECORD_VOID,
    RECORD_SETTLE /* the mark stays as it was; its unit's business is over */
};
const char *record_kind_word(uint32_t kind);

/* On disk, little-endian; then unit, actor and reason, one after the other. */
struct record_head {
    uint64_t checksum;   /* XXH64 of all that follows; its seed: the sequence */
    uint32_t key_check;  /* low half of XXH64 of scope and key, same seed */
    uint32_t unit_check; /* of scope, space and unit */
    uint64_t scope;
    uint64_t key[2];
    uint64_t value;      /* of the slot once it is durable */
    int64_t at;          /* ms since the epoch */
    uint32_t revision;
    uint32_t reader;     /* gray_ring_number(); RECORD_READER_NONE */
    uint32_t entrance;   /* gray_hash_name() of its name; 0 */
    uint16_t reason_code; /* enum gray_reason */
    uint16_t unit_length;
    uint16_t reason_length;
    uint8_t kind;        /* enum record_kind */
    uint8_t stage, space;
    uint8_t actor_length;
    uint8_t pad[2];
};
struct record {
    struct record_head head;
    struct gray_str unit, actor, reason;
};
/* Bytes of a record on disk. */
size_t record_size(const struct record *record);
/* Writes it to `to` (record_size() bytes; no alignment asked for). */
void record_write(const struct record *record, uint64_t sequence, void *to);

enum record_belief {
    RECORD_GOOD,    /* as it was written */
    RECORD_BY_KEY,  /* damaged; scope and key hold */
    RECORD_BY_UNIT, /* damaged; scope, space and unit hold */
    RECORD_LOST     /* nothing can be said */
};
/* Reads `size` bytes of anybody's; texts of *ret_record point into them.  What
 * does not hold is 0.  Pure. */
enum record_belief record_read(const void *bytes, size_t size,
                               uint64_t sequence, struct record *ret_record);

#endif
