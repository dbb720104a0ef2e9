/* SPDX-License-Identifier: Apache-2.0
 * words.c - scope words, the bypass, and waking everyone who must see them.
 *
 * Why: freeze, stop, kill and bypass must work at three in the morning with
 * every daemon dead, so they are single words in `control` that any program
 * of the folder's owner may set.  A word's place is never given to another
 * release: a kill must not land on whoever came later.
 * Read next: reader.c (who sees them).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "runtime/internal.h"

uint32_t gray_word_number(void *context, uint64_t scope)
{
    struct gray_folder *folder = context;
    struct gray_control *control = folder->control;
    uint32_t i;

    for (i = 0; i < GRAY_WORDS_MAX; i++) {
        uint64_t *place = &control->words[i].scope;
        uint64_t found = __atomic_load_n(place, __ATOMIC_ACQUIRE);
        uint32_t count;

        if (found == 0 && folder->writable && scope != 0 &&
            __atomic_compare_exchange_n(place, &found, scope, false,
                                        __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
            found = scope;
        }
        if (found == 0) {
            return GRAY_NONE;
        }
        if (found != scope) {
            continue;
        }
        count = __atomic_load_n(&control->word_count, __ATOMIC_RELAXED);
        while (folder->writable && count < i + 1 &&
               !__atomic_compare_exchange_n(&control->word_count, &count, i + 1,
                                            false, __ATOMIC_RELEASE,
                                            __ATOMIC_RELAXED)) {
        }
        return i;
    }
    return GRAY_NONE;
}

static int must_write(const struct gray_folder *folder,
                      struct gray_problem *ret_problem)
{
    if (!folder->writable) {
        return runtime_problem_set(ret_problem, EPERM, "read-only",
                                   "The folder was opened for reading only.");
    }
    return 0;
}

/* The place of a release's word. */
static int word_find(const struct gray_folder *folder, uint64_t scope,
                     uint32_t word, uint32_t *ret_number,
                     struct gray_problem *ret_problem)
{
    const struct gray_control *control = folder->control;
    uint32_t i;
    int error = must_write(folder, ret_problem);

    if (error != 0) {
        return error;
    }
    if ((word & ~(GRAY_WORD_MASK | GRAY_WORD_HOST)) != 0) {
        return runtime_problem_set(ret_problem, EINVAL, "bad-word",
                                   "%u is no scope word.", word);
    }
    for (i = 0; i < GRAY_WORDS_MAX; i++) {
        if (scope != 0 && __atomic_load_n(&control->words[i].scope,
                                          __ATOMIC_ACQUIRE) == scope) {
            *ret_number = i;
            return 0;
        }
    }
    return runtime_problem_set(
        ret_problem, ENOENT, "unknown-scope",
        "No release of this name was ever published here.");
}

static void word_tell(struct gray_folder *folder, uint32_t number)
{
    struct gray_control *control = folder->control;

    __atomic_fetch_add(&control->words[number].epoch, 1, __ATOMIC_RELEASE);
    __atomic_fetch_add(&control->word_epoch, 1, __ATOMIC_RELEASE);
    runtime_folder_wake(folder, NULL, NULL);
}

int gray_word_set(struct gray_folder *folder, uint64_t scope, uint32_t word,
                  uint32_t *ret_before, struct gray_problem *ret_problem)
{
    uint32_t number = 0, before;
    int error = word_find(folder, scope, word, &number, ret_problem);

    if (error != 0) {
        return error;
    }
    before = __atomic_exchange_n(&folder->control->words[number].word, word,
                                 __ATOMIC_ACQ_REL);
    word_tell(folder, number);
    if (ret_before != NULL) {
        *ret_before = before;
    }
    return 0;
}

int gray_word_replace(struct gray_folder *folder, uint64_t scope,
                      uint32_t expected, uint32_t word, uint32_t *ret_found,
                      struct gray_problem *ret_problem)
{
    uint32_t number = 0;
    int error = word_find(folder, scope, word, &number, ret_problem);

    if (error != 0) {
        return error;
    }
    if (!__atomic_compare_exchange_n(&folder->control->words[number].word,
                                     &expected, word, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_ACQUIRE)) {
        *ret_found = expected;
        return 1;
    }
    word_tell(folder, number);
    return 0;
}

int gray_bypass_set(struct gray_folder *folder, bool on,
                    struct gray_problem *ret_problem)
{
    int error = must_write(folder, ret_problem);

    if (error != 0) {
        return error;
    }
    __atomic_store_n(&folder->control->bypass, on ? 1u : 0u, __ATOMIC_RELEASE);
    __atomic_fetch_add(&folder->control->word_epoch, 1, __ATOMIC_RELEASE);
    runtime_folder_wake(folder, NULL, NULL);
    return 0;
}

/* One byte into a FIFO that some reader holds open.  We open a reading end of
 * our own first, so that a reader that dies now cannot cost us a SIGPIPE. */
static bool fifo_wake(int dirfd, const char *name)
{
    CLEANUP_FD int out = -1;
    CLEANUP_FD int in = -1;
    struct stat of_out, of_in;

    out = openat(dirfd, name,
                 O_WRONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY);
    if (out < 0) {
        return false; /* ENXIO: its reader is dead */
    }
    in = openat(dirfd, name,
                O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY);
    if (in < 0 || fstat(out, &of_out) != 0 || fstat(in, &of_in) != 0 ||
        !S_ISFIFO(of_out.st_mode) || !S_ISFIFO(of_in.st_mode) ||
        of_out.st_dev != of_in.st_dev || of_out.st_ino != of_in.st_ino) {
        return false;
    }
    /* A full FIFO wakes its reader as well as one byte more. */
    return write(out, "w", 1) == 1 || errno == EAGAIN;
}

bool runtime_reader_wake(int readers_fd, const char *id)
{
    char name[80];

    return snprintf(name, sizeof(name), "%s.wake", id) < (int)sizeof(name) &&
           fifo_wake(readers_fd, name);
}

void runtime_folder_wake(const struct gray_folder *folder,
                         uint32_t *ret_readers, uint32_t *ret_woken)
{
    uint32_t readers = 0, woken = 0, seen = 0;
    struct dirent *entry;
    DIR *dir = NULL;
    int fd = openat(folder->dirfd, "readers",
                    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd >= 0) {
        dir = fdopendir(fd);
        if (dir == NULL) {
            close(fd);
        }
    }
    while (dir != NULL && seen < GRAY_READERS_MAX * 2 + FILE_SLACK &&
           (entry = readdir(dir)) != NULL) {
        seen++;
        if (entry->d_name[0] == '.') {
            continue;
        }
        if (runtime_name_ends(entry->d_name, ".wake")) {
            woken += fifo_wake(fd, entry->d_name) ? 1 : 0;
        } else {
            CLEANUP_FD int file =
                openat(fd, entry->d_name,
                       O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);

            readers += file >= 0 && runtime_reader_alive(file) ? 1 : 0;
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
    if (ret_readers != NULL) {
        *ret_readers = readers;
    }
    if (ret_woken != NULL) {
        *ret_woken = woken;
    }
}
