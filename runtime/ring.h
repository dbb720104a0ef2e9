/* SPDX-License-Identifier: Apache-2.0
 * ring.h - a reader's admissions on their way to the journal.
 *
 * Why: a mark that others can see must be found by grayd whoever dies, so its
 * record lies in the reader's own file before its slot is taken.  Only the
 * reader writes its ring; grayd reads it by pread, believes nothing, and says
 * in marks/drained how far it came.
 *
 *   readers/<kind>-<n>: struct gray_ring at its end       writer: that reader
 *   marks/drained: struct gray_drained, mapped by everyone   writer: grayd
 *   marks/wake: a FIFO (mode 0666) that wakes grayd's marks thread
 *
 * Threads: gray_ring_push() of one ring by any thread of an application; by
 * the one thread of an nginx worker without a lock.
 * Read next: ring.c, admit.c (who pushes), control/marks/drain.c (who takes).
 */
#ifndef GRAY_RUNTIME_RING_H
#define GRAY_RUNTIME_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/engine.h"
#include "runtime/folder.h"
#include "runtime/reader.h"

#define GRAY_RING_SIZE 262144u /* bytes; power of two */
#define GRAY_RING_RECORD_MAX 1280u /* bytes of one record */

enum gray_ring_kind {
    GRAY_RING_MARKED = 1, /* the reader takes the slot itself */
    GRAY_RING_ASKED = 2,  /* the reader may not write: grayd takes it */
    GRAY_RING_SETTLED = 3 /* the unit's business is over: of `space`, or of each
                             (GRAY_RING_EVERY_SPACE); no key, state or value */
};
#define GRAY_RING_EVERY_SPACE UINT8_MAX
/* A record: this, then the unit, then padding to 8 bytes.  `size` counts all;
 * a record never wraps: a `size` of 0, or less than these bytes to the end,
 * means go on at the beginning. */
struct gray_ring_record {
    uint32_t size;
    uint8_t kind, state; /* enum gray_ring_kind; GRAY_SLOT_IN or _OUT (SETTLED:
                            0) */
    uint8_t stage, space;
    uint64_t sequence;   /* where it begins, as head counts; a jump is refused */
    uint64_t scope;
    uint64_t key[2];
    uint64_t value;      /* as it was, or would be, put into the slot */
    int64_t now;         /* ms since the epoch */
    uint32_t revision;
    uint32_t word_epoch; /* of the scope, when the reader decided */
    uint16_t unit_length;
    uint8_t variant, attempt;
    uint32_t entrance;   /* gray_hash_name() of its name */
    uint32_t reason;     /* enum gray_reason */
    uint32_t until;      /* ASKED: low half of the CLOCK_MONOTONIC ms from which
                            on nobody waits for it, so it is nothing; else 0 */
};
struct gray_ring {
    uint64_t instance; /* random, new with each file; never 0.  Who takes over
                          a dead one's file goes on behind its records */
    uint64_t head;     /* bytes ever written; atomic, released last */
    uint64_t lost;     /* records that found no room; atomic */
    uint64_t pad[5];
    uint8_t bytes[GRAY_RING_SIZE];
};
/* marks/drained. */
struct gray_drained {
    struct gray_file_header header;
    uint64_t beat;    /* CLOCK_BOOTTIME ns of the writer's last round; 0: there
                         is none, and never was; atomic */
    uint32_t sleeping; /* 1: the writer waits for its FIFO; atomic */
    uint32_t state;   /* enum gray_writer_state; atomic */
    uint64_t sequence; /* of the journal that the slots here were moved by; the
                          writer's own, to know an older journal by */
    uint64_t pad[5];
    struct gray_drained_ring {
        uint64_t instance; /* of the ring that `tail` counts in; atomic */
        uint64_t tail;     /* bytes taken, and whose slots say so; atomic */
    } rings[2 * GRAY_READERS_MAX]; /* nginx-<n> at n, library-<n> behind */
};
enum gray_writer_state {
    GRAY_WRITER_NONE,   /* `gray publish` alone: nothing is ever durable */
    GRAY_WRITER_OK,
    GRAY_WRITER_FULL,   /* the disk has no room: retried */
    GRAY_WRITER_FAILED  /* an I/O or sync error: until grayd is started anew */
};
#define GRAY_WRITER_DEAD_NS 1000000000 /* without a beat so long: dead */

/* ---- who pushes ----------------------------------------------------------- */

/* Pushes one record (its size, sequence and unit_length are filled here) and
 * wakes a writer that sleeps, the only system calls here.  0; -ENOBUFS: no
 * room (counted as lost; for SETTLED, which says nothing that cannot be said
 * again, half of the ring is none, and nothing is counted); -EMSGSIZE: a unit longer than GRAY_VALUE_MAX, or
 * none; -ENOENT: this reader has no file. */
int gray_ring_push(struct gray_runtime *runtime,
                   const struct gray_ring_record *record,
                   struct gray_str unit);
/* Whether the writer can make marks durable now; `now_ns` is CLOCK_BOOTTIME. */
enum gray_writer_state gray_writer_now(const struct gray_runtime *runtime,
                                       int64_t now_ns, bool *ret_alive);
/* The same in a word, of a folder that is only looked at: "none", "ok", "full",
 * "failed", or "dead": there is one, and it has not been seen for a second. */
const char *gray_writer_word(const struct gray_folder *folder);
/* Has grayd taken everything that this reader pushed up to `head`? */
bool gray_ring_taken(const struct gray_runtime *runtime, uint64_t head);
uint64_t gray_ring_head(const struct gray_runtime *runtime);

/* ---- who takes ------------------------------------------------------------ */

/* Number of a reader in gray_drained.rings, by its file's kind (enum
 * gray_reader_kind) and number; GRAY_NONE: it has no ring. */
uint32_t gray_ring_number(uint32_t kind, uint32_t number);
/* How much of a ring to copy, having taken it up to `tail`: the bytes from
 * offset tail % GRAY_RING_SIZE on, as many as this says; the rest of what
 * there is follows from the beginning, in another call.  0: there is nothing.
 * -EBADMSG: more was written than the ring holds, or less than was taken:
 * records are lost, go on at `head`. */
int64_t gray_ring_span(uint64_t tail, uint64_t head);
/* A part of a ring as it was copied by pread: believed in nothing. */
struct gray_ring_copy {
    const uint8_t *bytes;
    uint64_t at, end; /* bytes[0] stands for `at`, as head counts; both in one
                         lap of the ring, as gray_ring_span() says */
};
/* The next record: 1 with *ret_record (size, sequence, kind, states, lengths
 * and reason hold; scope, key, stage and space are the caller's to check) and
 * *ret_unit, which points into the bytes; 0: all was read, `at` is `end`.
 * -EBADMSG: not a record; go on at the ring's head.  Pure. */
int gray_ring_read(struct gray_ring_copy *copy,
                   struct gray_ring_record *ret_record,
                   struct gray_str *ret_unit);

#endif
