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
    uint64_t pad[7];
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
/* Unmaps and closes; harmless when called again. */
void gray_folder_close(struct gray_folder *folder);

#endif
