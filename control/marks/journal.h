/* SPDX-License-Identifier: Apache-2.0
 * journal.h - the journal of marks: an append-only log in LMDB.
 *
 * Why: what was acknowledged is one synced transaction away from its slot, and
 * everything that a start must know stands in the same transaction: how far
 * each ring was taken, what a scope's table was made with.  So a kill at any
 * point leaves a mark journaled once or not at all.
 *
 *   log     sequence (1, 2, 3, ...) -> a record (record.h)
 *   scopes  scope -> struct journal_scope
 *   rings   gray_ring_number() -> struct journal_ring
 *   head    0 -> struct journal_head
 *
 * Threads: one writes; readers (journal_reader_open()) have their own.
 * Read next: journal.c, record.h, rebuild.c.
 */
#ifndef GRAYD_MARKS_JOURNAL_H
#define GRAYD_MARKS_JOURNAL_H

#include <lmdb.h>
#include <stdbool.h>
#include <stdint.h>

#include "control/marks/record.h"

#define JOURNAL_LAYOUT 1u
#define JOURNAL_FOLDER "marks"
#define JOURNAL_MAP_DEFAULT (UINT64_C(1) << 40)
#define JOURNAL_MAP_LEAST (UINT64_C(1) << 32)
#define JOURNAL_BATCH_MAX 2048u /* records of one transaction */

struct journal_head {
    uint64_t checksum; /* XXH64 of what follows; so in each of these */
    uint64_t layout;
    uint64_t last;  /* sequence; 0: nothing was written */
    uint64_t first; /* of the last transaction that had records */
};
#define JOURNAL_SCOPE_CLOSED 1u /* a freeze was settled: no IN any more */
#define JOURNAL_SCOPE_LOST 2u   /* it had marks before there was this journal */
struct journal_scope {
    uint64_t checksum;
    uint64_t scope, instance; /* of its tables */
    uint64_t sip_key[2];
    uint64_t revision; /* that slots count from */
    int64_t began;     /* ms since the epoch */
    uint64_t records;  /* so far */
    uint64_t last;     /* sequence of the last one */
    uint32_t slot_size;
    uint32_t state;    /* JOURNAL_SCOPE_* */
    uint32_t attempt;  /* of the policy in force, as what follows */
    uint8_t stickiness, durability, flags, variants;
    char name[GRAY_NAME_MAX + 1];
};
struct journal_ring {
    uint64_t checksum;
    uint64_t instance, tail; /* bytes of it that were taken */
    uint64_t number;         /* gray_ring_number() */
};

struct journal {
    MDB_env *env;
    MDB_dbi log, scopes, rings, head;
    int lock_fd;
    bool read_only;
    uint64_t last, first; /* as in journal_head */
};
/* Makes <state>/marks (mode 0700) and the journal in it where they are
 * missing, and takes its lock.  *journal must be zero but for lock_fd -1; what
 * was opened is left to journal_close(), error or not.  -EBUSY "in-use":
 * another grayd has it; -EROFS: it can be read, not written, and is open for
 * reading; -EILSEQ: it cannot be believed; -EIO. */
int journal_open(struct journal *journal, const char *state, uint64_t map_size,
                 struct gray_problem *ret_problem);
/* The same journal, for reading, in this process or a child; no lock. */
int journal_reader_open(struct journal *journal, const char *state,
                        uint64_t map_size, struct gray_problem *ret_problem);
/* Was one ever made here? */
bool journal_exists(const char *state);
void journal_close(struct journal *journal);

/* What goes into one transaction. Sequences follow the last one. */
struct journal_batch {
    struct record *records;
    size_t record_count;
    struct journal_scope *scopes; /* whole; checksums are filled here */
    size_t scope_count;
    struct journal_ring *rings;
    size_t ring_count;
};
/* All of it, synced, or nothing. -ENOSPC: there is no room; may be tried
 * again.  Anything else: nothing more is to be written until it is opened
 * anew, for the outcome is not known. */
int journal_append(struct journal *journal, const struct journal_batch *batch,
                   struct gray_problem *ret_problem);

/* Takes room for so many bytes of records. -ENOSPC. */
int journal_reserve(struct journal *journal, uint64_t bytes,
                    struct gray_problem *ret_problem);

/* The visits below end early when a visit returns not 0, and return that;
 * else 0; -EILSEQ: something there cannot be believed. */
typedef int journal_scope_visit(void *context,
                                const struct journal_scope *scope);
int journal_scopes(struct journal *journal, journal_scope_visit *visit,
                   void *context, struct gray_problem *ret_problem);
typedef int journal_ring_visit(void *context, const struct journal_ring *ring);
int journal_rings(struct journal *journal, journal_ring_visit *visit,
                  void *context, struct gray_problem *ret_problem);
/* Records from sequence `from` on, in order, as they are believed, or
 * `backward` from it (0: the last) to the first; a gap in the numbers is
 * -EILSEQ. */
typedef int journal_record_visit(void *context, uint64_t sequence,
                                 const struct record *record,
                                 enum record_belief belief);
int journal_records(struct journal *journal, uint64_t from, bool backward,
                    journal_record_visit *visit, void *context,
                    struct gray_problem *ret_problem);
/* Bytes of the file. */
uint64_t journal_bytes(const struct journal *journal);

#endif
