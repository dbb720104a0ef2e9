/* SPDX-License-Identifier: Apache-2.0
 * folder.h - a runtime folder: its limits, `control`, and looking into it.
 *
 * Why: writers and readers meet in `control`; both take its shape from here.
 * Read next: folder.c, publish.h, reader.h.
 */
#ifndef GRAY_RUNTIME_FOLDER_H
#define GRAY_RUNTIME_FOLDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "engine/engine.h"

#define GRAY_RUNTIME_DEFAULT "/run/graylane"
#define GRAY_WORDS_MAX 4096u  /* scope words in `control` */
#define GRAY_KEPT_GOOD 3u     /* policy.<gen>.snap kept */
#define GRAY_SERIES_MAX 1024u /* counter series of one reader */
#define GRAY_FLOWS_MAX 512u   /* pairs of service and arm of one reader */
#define GRAY_READERS_MAX 1024u

/* ---- control ------------------------------------------------------------ */

/* The file `control`, mapped shared by everyone; written by publisher only.
 * All fields after the header are read and written with atomics. */
struct gray_control {
    struct gray_file_header header;
    uint64_t policy_generation;
    uint64_t fleet_generation;
    uint64_t keys_generation;
    uint64_t word_epoch;    /* raised with every change of a word or bypass */
    uint32_t bypass;        /* 1: the modules are transparent */
    uint32_t word_count;    /* words in use, never falls */
    int64_t lease_deadline; /* CLOCK_BOOTTIME ns; 0: no lease */
    uint64_t marks_generation; /* raised when a word's table or next changes */
    /* A policy that is there and waits for its header's effective_at; 0, or not
     * above policy_generation: none.  See gray_folder_named(). */
    uint64_t next_generation;
    uint64_t last_policy, last_fleet; /* the highest numbers ever given */
    uint64_t accepted_generation; /* crashes under it count for nothing */
    int64_t clock_offset_ms; /* of this host's wall clock, as far as whoever
                                publishes knows it; positive: fast */
    uint64_t pad[2];
    struct gray_scope_word words[GRAY_WORDS_MAX];
};

struct gray_folder {
    int dirfd;
    struct gray_control *control; /* PROT_WRITE when opened for writing */
    bool writable;
};
/* Maps `control` of a folder. 0, or negative with *ret_problem: no folder, no
 * `control` in it, a layout of another version. */
int gray_folder_open(struct gray_folder *ret_folder, const char *path,
                     bool writable, struct gray_problem *ret_problem);
/* What is in force in a folder at a moment.  Whoever waits for its instant
 * turns by its own clock, with no publisher there to say it in `control`, so
 * this is asked instead of control.policy_generation. */
struct gray_named {
    uint64_t policy, fleet; /* in force; 0: none */
    uint64_t next;          /* waits for next_at; 0: none */
    uint64_t next_fleet;    /* that comes with it */
    uint64_t next_revision;
    int64_t next_at; /* ms of the wall clock */
    uint32_t next_skew;
};
/* `now_ms` is the wall clock.  What some reader has turned to is in force,
 * whatever a clock that was put back says. */
void gray_folder_named(const struct gray_folder *folder, int64_t now_ms,
                       struct gray_named *ret_named);
/* The wall clock, ms since the epoch: what gray_folder_named() is asked with.
 */
int64_t gray_wall_ms(void);
/* Readers that crashed under a policy while it was new to this host. */
struct gray_crashes {
    uint64_t generation;
    uint32_t count;
    int32_t signal; /* of the last one; 0: it is not known (an application) */
    int32_t pid;
    bool blocked;  /* who starts goes to the last good one */
    bool accepted; /* no: a person said that it is not to blame */
};
#define GRAY_TRIAL_MS 30000      /* a crash so soon after the turn counts */
#define GRAY_CRASHES_APART_MS 120000 /* two further apart do not add up */
#define GRAY_CRASHES_MAX 2u      /* so many block it */
/* What the files of readers say about a generation.  Only readers whose user
 * or group could sign cookies here, or is our own, are believed. */
void gray_folder_crashes(const struct gray_folder *folder, uint64_t generation,
                         struct gray_crashes *ret_crashes);
/* A person says that a generation is not to blame: it is taken by everyone
 * again; wakes all. */
void gray_crashes_accept(struct gray_folder *folder, uint64_t generation);
/* How far this host's wall clock is off, for readers and status to say. */
void gray_clock_offset_set(struct gray_folder *folder, int64_t offset_ms);
/* Unmaps and closes; harmless when called again. */
void gray_folder_close(struct gray_folder *folder);

#endif
