/* SPDX-License-Identifier: Apache-2.0
 * reader_file.h - what a reader writes of itself: readers/<id>.
 *
 * Why: the file outlives its reader, so it is where others read what one has
 * in force, what it counted, and what it died of.  Every byte of it is hostile
 * to whoever reads it.  Included by internal.h, behind what it is made of.
 * Read next: slot.c (who takes one), totals.c and witness.c (who read them).
 */
#ifndef GRAY_RUNTIME_READER_FILE_H
#define GRAY_RUNTIME_READER_FILE_H

#define READER_CRASHES 4u
#define READER_STRIPES 16u /* power of two */
enum reader_ending {
    READER_RUNS,  /* or was killed: kill -9 is nobody's crash */
    READER_ENDED, /* closed */
    READER_CRASHED
};
struct reader_file {
    struct gray_file_header header; /* generation 0, checksum 0 */
    int32_t pid;
    uint32_t kind;
    uint32_t series_max;
    uint32_t series_size;
    uint64_t policy_generation, fleet_generation, word_epoch, keys_generation;
    uint64_t marks_generation;
    char refusal[160];
    uint64_t next_generation; /* mapped and checked, waits for its instant */
    int64_t late_ms; /* how late it turned to policy_generation */
    /* ---- trial (trial.c), read by witness.c; atomic ---- */
    uint64_t suspect;      /* a crash now is held against this one; 0: none */
    int64_t suspect_since; /* CLOCK_MONOTONIC ms */
    uint64_t proven;       /* the last one that it lived through */
    int64_t proven_at;
    uint32_t ending; /* enum reader_ending */
    uint32_t pad;
    struct reader_crash {
        uint64_t generation; /* 0: free */
        int64_t at_ms;       /* CLOCK_BOOTTIME */
        int32_t pid, signal; /* 0: not known */
    } crashes[READER_CRASHES];
    uint32_t crash_next; /* place of the next one, modulo */
    uint32_t pad2;
    /* Threads of an application that ask, while on trial; apart, or they would
     * wait for each other's cache line. */
    struct {
        uint32_t threads;
        uint32_t pad[15];
    } inside[READER_STRIPES];
    uint64_t reasons[256];
    uint64_t entered[256]; /* the same, of live requests at an entrance */
    uint64_t events[32];
    struct gray_flow flows[GRAY_FLOWS_MAX];
    struct gray_series series[GRAY_SERIES_MAX];
    struct gray_ring ring;
};
/* Name of a kind, as in readers/<kind>-<number>; NULL when unknown. */
const char *runtime_reader_kind_word(uint32_t kind);
/* Takes a reader's file and its FIFO; fd holds the lock. */
struct reader_slot {
    int fd, wake_fd, dirfd;
    uint32_t number; /* <id> is <kind>-<number> */
    char id[64];
    struct reader_file *file;
};
int runtime_reader_slot_take(struct reader_slot *ret_slot, int dirfd,
                             enum gray_reader_kind kind,
                             struct gray_problem *ret_problem);
void runtime_reader_slot_close(struct reader_slot *slot);
/* In a child: the file, its lock and its ring are the parent's.  Only the
 * number of the FIFO's descriptor stays. */
void runtime_reader_slot_orphan(struct reader_slot *slot);
/* Does some process hold the lock of this open reader's file? */
bool runtime_reader_alive(int fd);
/* Every string ends, every number lies in its range. */
bool runtime_reader_file_sound(const struct reader_file *file);

#endif
