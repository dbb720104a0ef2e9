/* SPDX-License-Identifier: Apache-2.0
 * witness.c - what the files of readers, living and dead, bear witness to.
 *
 * Why: a policy that kills its readers must be found with every daemon dead,
 * by who starts next.  The kernel keeps the files of the dead, each says what
 * it died under; a policy that has turned once is known from them, too, when
 * the clock was put back.  But readers/ is everybody's: who could make his
 * word count here could take a release back on the whole host.  So only those
 * are believed who can sign cookies, and everybody believes himself.
 * Read next: witness.h, trial.c, docs/gateway.md (crashes).
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/witness.h"

static struct trial *trial_of(struct witness *witness, uint64_t generation)
{
    struct trial *oldest = &witness->trials[0];
    uint32_t i;

    for (i = 0; i < witness->trial_count; i++) {
        if (witness->trials[i].generation == generation) {
            return &witness->trials[i];
        }
        if (witness->trials[i].generation < oldest->generation) {
            oldest = &witness->trials[i];
        }
    }
    if (witness->trial_count < WITNESS_TRIALS) {
        oldest = &witness->trials[witness->trial_count++];
    } else if (oldest->generation > generation) {
        return NULL; /* older than all of them */
    }
    *oldest = (struct trial){.generation = generation, .proven_at = INT64_MAX};
    return oldest;
}

static void add_crash(struct witness *witness, const struct reader_crash *crash)
{
    struct trial *trial =
        crash->generation != 0 ? trial_of(witness, crash->generation) : NULL;
    uint32_t i;

    if (trial == NULL || trial->crash_count == WITNESS_CRASHES ||
        crash->at_ms < 0) {
        return;
    }
    for (i = trial->crash_count++;
         i > 0 && trial->crashes[i - 1].at_ms > crash->at_ms; i--) {
        trial->crashes[i] = trial->crashes[i - 1];
    }
    trial->crashes[i] = *crash;
}

void runtime_witness_add(struct witness *witness,
                         const struct reader_file *file, bool alive)
{
    struct trial *trial;
    uint32_t i;

    if (file->policy_generation > witness->turned) {
        witness->turned = file->policy_generation;
    }
    if (file->proven != 0 &&
        (trial = trial_of(witness, file->proven)) != NULL &&
        file->proven_at < trial->proven_at) {
        trial->proven_at = file->proven_at;
    }
    for (i = 0; i < READER_CRASHES; i++) {
        add_crash(witness, &file->crashes[i]);
    }
    if (!alive) {
        /* Nobody took this file over yet. */
        struct reader_file copy = *file;

        copy.crash_next = 0;
        copy.crashes[0].generation = 0;
        runtime_trial_inherit(&copy);
        add_crash(witness, &copy.crashes[0]);
    }
}

struct believed {
    uid_t owner;
    gid_t group; /* (gid_t)-1: none */
};

static void read_one(struct witness *witness, int readers_fd, const char *id,
                     const struct believed *believed)
{
    CLEANUP_FD int fd = openat(readers_fd, id,
                               O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    struct reader_file *file = NULL;
    const size_t size = offsetof(struct reader_file, reasons);
    struct stat status;

    if (fd < 0 || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) ||
        status.st_nlink != 1 || status.st_size != sizeof(*file) ||
        (status.st_uid != believed->owner && status.st_uid != 0 &&
         status.st_uid != geteuid() && status.st_gid != believed->group)) {
        return;
    }
    file = calloc(1, sizeof(*file));
    if (file != NULL && pread(fd, file, size, 0) == (ssize_t)size &&
        runtime_file_header_check(&file->header, GRAY_MAGIC_READER,
                                  (uint64_t)status.st_size, id, NULL) == 0) {
        runtime_witness_add(witness, file, runtime_reader_alive(fd));
    }
    free(file);
}

void runtime_witness_read(int dirfd, struct witness *ret_witness)
{
    struct believed believed = {.group = (gid_t)-1};
    int fd = openat(dirfd, "readers",
                    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;
    struct stat status;
    uint32_t seen = 0;

    memset(ret_witness, 0, sizeof(*ret_witness));
    if (dir == NULL || fstat(dirfd, &status) != 0) {
        runtime_fd_close(&fd);
        return;
    }
    believed.owner = status.st_uid;
    if (fstatat(dirfd, "keys", &status, AT_SYMLINK_NOFOLLOW) == 0 &&
        status.st_uid == believed.owner && (status.st_mode & S_IRGRP) != 0) {
        believed.group = status.st_gid;
    }
    while (seen++ < GRAY_READERS_MAX * 2 + FILE_SLACK &&
           (entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] != '.' &&
            !runtime_name_ends(entry->d_name, ".wake") &&
            !runtime_name_ends(entry->d_name, ".new")) {
            read_one(ret_witness, fd, entry->d_name, &believed);
        }
    }
    closedir(dir);
}

const struct trial *runtime_witness_of(const struct witness *witness,
                                       uint64_t generation)
{
    uint32_t i;

    for (i = 0; i < witness->trial_count; i++) {
        if (witness->trials[i].generation == generation) {
            return &witness->trials[i];
        }
    }
    return NULL;
}

bool runtime_witness_blocks(const struct witness *witness, uint64_t generation)
{
    const struct trial *trial = runtime_witness_of(witness, generation);
    uint32_t i;

    /* In the order of time: the second counts even when another reader lived
     * through it meanwhile, for not every reader meets the same requests. */
    for (i = GRAY_CRASHES_MAX - 1; trial != NULL && i < trial->crash_count;
         i++) {
        const struct reader_crash *first =
            &trial->crashes[i - (GRAY_CRASHES_MAX - 1)];

        if (first->at_ms < trial->proven_at &&
            trial->crashes[i].at_ms - first->at_ms <= GRAY_CRASHES_APART_MS) {
            return true;
        }
    }
    return false;
}

void gray_folder_crashes(const struct gray_folder *folder, uint64_t generation,
                         struct gray_crashes *ret_crashes)
{
    struct gray_crashes crashes = {.generation = generation};
    const struct trial *trial;
    struct witness witness;

    runtime_witness_read(folder->dirfd, &witness);
    trial = runtime_witness_of(&witness, generation);
    if (trial != NULL && trial->crash_count > 0) {
        const struct reader_crash *last =
            &trial->crashes[trial->crash_count - 1];

        crashes.count = trial->crash_count;
        crashes.signal = last->signal;
        crashes.pid = last->pid;
        crashes.accepted =
            __atomic_load_n(&folder->control->accepted_generation,
                            __ATOMIC_ACQUIRE) == generation;
        crashes.blocked = !crashes.accepted &&
                          runtime_witness_blocks(&witness, generation);
    }
    *ret_crashes = crashes;
}

void gray_crashes_accept(struct gray_folder *folder, uint64_t generation)
{
    __atomic_store_n(&folder->control->accepted_generation, generation,
                     __ATOMIC_RELEASE);
    runtime_folder_wake(folder, NULL, NULL);
}
