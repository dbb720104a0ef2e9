/* SPDX-License-Identifier: Apache-2.0
 * internal.h - what the files of control/publish/ share among themselves.
 *
 * Why: whoever keeps last-good and whoever restores it must mean the same
 * files; see last_good.c for how they lie on disk.
 * Read next: publisher.c.
 */
#ifndef GRAYD_PUBLISH_INTERNAL_H
#define GRAYD_PUBLISH_INTERNAL_H

#include <stdio.h>

#include "control/publish/publisher.h"

#define LAST_GOOD "last-good"         /* a link to last-good.<number> */
#define LAST_GOOD_HEAD "graylane last-good 1"
#define LAST_GOOD_FILES_MAX 65536u
#define LAST_GOOD_MANIFEST_MAX (16u << 20)
#define LAST_GOOD_NAME_MAX 40u        /* "lists/" and 32 digits */
#define LAST_GOOD_WORDS_MAX (1u << 20)

/* One file of last-good. */
struct kept_file {
    char name[LAST_GOOD_NAME_MAX];
    uint64_t size;
    uint64_t checksum; /* of its header, as runtime filled it; 0: none */
    char sha256[65];
};
struct kept {
    struct kept_file *files;
    size_t count;
};

struct publisher {
    char *runtime;
    int state_fd, lock_fd;
    gid_t group;
    bool allow_any_filesystem;
    struct gray_folder folder;
    dev_t control_dev; /* of the folder's control: another one at the path */
    ino_t control_ino; /* means that somebody removed the folder */
    bool renewed;      /* another folder was taken than the one before */
    struct kept kept;  /* files of last-good that this process wrote */
    uint64_t revision, revision_of; /* generation whose revision that is */
    /* Words of the host that were handed out. */
    struct {
        uint32_t word, epoch;
    } seen[GRAY_WORDS_MAX];
};

/* Fills *ret_problem (may be NULL) and returns -error. */
int publisher_problem(struct gray_problem *ret_problem, int error,
                      const char *code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* The same of errno, about a file. */
int publisher_failed(struct gray_problem *ret_problem, const char *name);

/* ---- disk.c -------------------------------------------------------------- */

void publisher_fd_close(int *fd);
#define CLEANUP_FD __attribute__((cleanup(publisher_fd_close)))
void publisher_free(void *pointer); /* of a pointer's place */
#define CLEANUP_FREE __attribute__((cleanup(publisher_free)))

/* SHA-256 as 64 hex digits. 0, or -1. */
int publisher_sha256(const void *data, size_t size, char ret_hex[65]);
/* A whole file, at most `most` bytes; malloc'd, ended by a NUL beyond size. */
int publisher_read(int dirfd, const char *name, uint64_t most, void **ret_data,
                   uint64_t *ret_size, struct gray_problem *ret_problem);
/* A new file, synced; *ret_file says what it is. */
int publisher_write(int dirfd, const char *name, const void *data,
                    uint64_t size, struct kept_file *ret_file,
                    struct gray_problem *ret_problem);
/* Copies an open file into a new one, synced. */
int publisher_copy(int from, int dirfd, const char *name,
                   struct kept_file *ret_file,
                   struct gray_problem *ret_problem);
/* A folder of last-good with all that is in it; what cannot go stays. */
void publisher_remove(int dirfd, const char *name);
/* 32 lower-case hex digits. */
bool publisher_list_name(const char *name, size_t length);

/* ---- words.c ------------------------------------------------------------- */

/* Those of the words that tighten, or those that loosen. */
int publisher_words_set(struct publisher *publisher,
                        const struct publisher_word *words, size_t word_count,
                        bool tighten, bool *ret_changed,
                        struct gray_problem *ret_problem);

/* ---- last_good.c --------------------------------------------------------- */

/* Copies what is in force in the folder to last-good. */
int publisher_keep(struct publisher *publisher,
                   struct gray_problem *ret_problem);
/* Goes to the folder at the path, where that is another one by now; `make`:
 * makes it where there is none. */
int publisher_follow(struct publisher *publisher, bool make,
                     struct gray_problem *ret_problem);
/* Takes <runtime>/grayd.lock of a folder. */
int publisher_lock(int dirfd, int *ret_fd, struct gray_problem *ret_problem);

#endif
