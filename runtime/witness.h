/* SPDX-License-Identifier: Apache-2.0
 * witness.h - what the files of readers, living and dead, bear witness to.
 *
 * Why: see witness.c.  Read next: trial.c (who writes it), load.c (who asks).
 */
#ifndef GRAY_RUNTIME_WITNESS_H
#define GRAY_RUNTIME_WITNESS_H

#include "runtime/internal.h"

#define WITNESS_TRIALS 16u  /* generations that are told apart */
#define WITNESS_CRASHES 8u  /* of one of them */

struct witness {
    uint64_t turned; /* the newest policy that one of them has in force */
    uint32_t trial_count;
    struct trial {
        uint64_t generation;
        int64_t proven_at; /* earliest; INT64_MAX: never */
        uint32_t crash_count;
        struct reader_crash crashes[WITNESS_CRASHES];
    } trials[WITNESS_TRIALS];
};

/* Reads all files that are believed: of the folder's owner, of ourselves, or
 * of the group that may read the signing keys.  What cannot be read says
 * nothing. */
void runtime_witness_read(int dirfd, struct witness *ret_witness);
/* Adds one file's words (its part before `reasons`). */
void runtime_witness_add(struct witness *witness,
                         const struct reader_file *file, bool alive);
/* NULL: nobody says anything about it. */
const struct trial *runtime_witness_of(const struct witness *witness,
                                       uint64_t generation);
/* Two crashes near each other, the first before anybody had lived through it:
 * it is not to be taken by who starts. */
bool runtime_witness_blocks(const struct witness *witness,
                            uint64_t generation);

/* ---- trial.c: the writing side -------------------------------------------- */

/* From here a crash is held against this generation. */
void runtime_trial_begin(struct gray_runtime *runtime, uint64_t generation);
/* It was only looked at: what is in force is on trial, if it still is. */
void runtime_trial_back(struct gray_runtime *runtime, uint64_t suspect,
                        int64_t since);
/* Is there one whose time is over?  Any thread. */
bool runtime_trial_over(const struct gray_runtime *runtime);
/* True while there is one; ends it when its time is over. */
bool runtime_trial_look(struct gray_runtime *runtime);
/* Into a dead reader's file: what it died of is known to who takes it over. */
void runtime_trial_inherit(struct reader_file *file);

#endif
