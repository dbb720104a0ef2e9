/* SPDX-License-Identifier: Apache-2.0
 * slot.c - a reader's own file in readers/, and the FIFO that wakes it.
 *
 * Why: counters must outlive the worker that wrote them, and nobody must ever
 * wonder whether a worker lives.  So the file stays and the kernel keeps its
 * lock exactly as long as its owner lives; whoever starts next takes over the
 * first file of its kind and user that nobody holds, counters and all.
 * readers/ is writable by everyone: only files that we own are opened for
 * writing, and a name is believed only after lock and inode fit.
 * Read next: counters.c (what is written), totals.c (who reads it).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "runtime/witness.h"

const char *runtime_reader_kind_word(uint32_t kind)
{
    switch (kind) {
    case GRAY_READER_NGINX:
        return "nginx";
    case GRAY_READER_LIBRARY:
        return "library";
    case GRAY_READER_CLI:
        return "cli";
    default:
        return NULL;
    }
}

/* A lock of the open file, not of the process: other descriptors of ours do
 * not drop it (fcntl(2), "Open file description locks"). */
static bool lock_take(int fd)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    return fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

bool runtime_reader_alive(int fd)
{
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};

    /* Only a writer's lock counts: anyone may take a reading one. */
    return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type == F_WRLCK;
}

static bool text_ends(const char *bytes, size_t size)
{
    return memchr(bytes, '\0', size) != NULL;
}

/* At a million a second that is nine years: more was never counted. */
#define COUNT_MAX (UINT64_C(1) << 48)

static bool counts_possible(const uint64_t *counts, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++) {
        if (counts[i] > COUNT_MAX) {
            return false;
        }
    }
    return true;
}

static bool series_sound(const struct reader_file *file, uint32_t number)
{
    const struct gray_series *s = &file->series[number];

    return s->series == 0 ||
           (file->kind != GRAY_READER_LIBRARY && /* it counts no routes */
            s->traffic_class < GRAY_CLASS_COUNT &&
            text_ends(s->service, sizeof(s->service)) &&
            text_ends(s->version, sizeof(s->version)) &&
            text_ends(s->lane, sizeof(s->lane)) &&
            text_ends(s->arm, sizeof(s->arm)) &&
#define GRAY_COUNTER(NAME, field, metric, doc) s->field <= COUNT_MAX &&
#include "runtime/counters.def"
#undef GRAY_COUNTER
            s->latency_sum_us <= COUNT_MAX * 1000);
}

bool runtime_reader_file_sound(const struct reader_file *file)
{
    uint32_t i;

    if (runtime_reader_kind_word(file->kind) == NULL ||
        file->series_max != GRAY_SERIES_MAX ||
        file->series_size != sizeof(struct gray_series) ||
        !text_ends(file->refusal, sizeof(file->refusal)) ||
        !counts_possible(file->reasons, 256) ||
        !counts_possible(file->entered, 256) ||
        !counts_possible(file->events, 32)) {
        return false;
    }
    for (i = 0; i < GRAY_SERIES_MAX; i++) {
        if (!series_sound(file, i)) {
            return false;
        }
    }
    for (i = 0; i < GRAY_FLOWS_MAX; i++) {
        const struct gray_flow *f = &file->flows[i];

        if (f->scope != 0 && (file->kind == GRAY_READER_LIBRARY ||
                              f->requests > COUNT_MAX ||
                              !text_ends(f->service, sizeof(f->service)) ||
                              !text_ends(f->arm, sizeof(f->arm)))) {
            return false;
        }
    }
    return true;
}

static int file_map(int fd, struct reader_file **ret_file)
{
    void *memory = mmap(NULL, sizeof(struct reader_file),
                        PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (memory == MAP_FAILED) {
        return -errno;
    }
    *ret_file = memory;
    return 0;
}

/* A dead one's file: ours, whole, sound, of our kind?  Then its counters go
 * on.  1 taken, 0 not to be used (and gone, where we could), -1 leave it. */
static int slot_revive(struct reader_slot *slot, enum gray_reader_kind kind)
{
    struct gray_file_header header;
    struct stat status, named;
    uint32_t i;
    int fd = openat(slot->dirfd, slot->id,
                    O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0) {
        return errno == ENOENT ? 0 : -1;
    }
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) ||
        status.st_uid != geteuid() || status.st_nlink != 1 || !lock_take(fd) ||
        fstatat(slot->dirfd, slot->id, &named, AT_SYMLINK_NOFOLLOW) != 0 ||
        named.st_ino != status.st_ino || named.st_dev != status.st_dev) {
        close(fd);
        return -1;
    }
    if (status.st_size == sizeof(struct reader_file) &&
        pread(fd, &header, sizeof(header), 0) == (ssize_t)sizeof(header) &&
        runtime_file_header_check(&header, GRAY_MAGIC_READER,
                                  (uint64_t)status.st_size, slot->id,
                                  NULL) == 0 &&
        posix_fallocate(fd, 0, sizeof(struct reader_file)) == 0 &&
        fchmod(fd, 0644) == 0 && file_map(fd, &slot->file) == 0) {
        if (slot->file->kind == (uint32_t)kind &&
            runtime_reader_file_sound(slot->file)) {
            for (i = 0; i < GRAY_SERIES_MAX; i++) {
                slot->file->series[i].in_flight = 0;
            }
            runtime_trial_inherit(slot->file);
            slot->file->ending = READER_RUNS;
            memset(slot->file->inside, 0, sizeof(slot->file->inside));
            slot->file->suspect = 0;
            slot->file->next_generation = 0;
            slot->fd = fd;
            return 1;
        }
        munmap(slot->file, sizeof(*slot->file));
        slot->file = NULL;
    }
    unlinkat(slot->dirfd, slot->id, 0);
    close(fd);
    return 0;
}

/* The file gets its name when it is whole and locked, so that nobody ever
 * sees a living reader's file as dead. */
static int slot_create(struct reader_slot *slot, enum gray_reader_kind kind)
{
    struct gray_file_header header;
    char aside[96];
    int error = 0;
    int fd;

    snprintf(aside, sizeof(aside), "%s.%d.new", slot->id, (int)getpid());
    unlinkat(slot->dirfd, aside, 0);
    fd = openat(slot->dirfd, aside,
                O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        return -errno;
    }
    runtime_file_header_fill(&header, GRAY_MAGIC_READER,
                             sizeof(struct reader_file));
    error = -posix_fallocate(fd, 0, sizeof(struct reader_file));
    if (error == 0 && (!lock_take(fd) || fchmod(fd, 0644) != 0)) {
        error = -errno;
    }
    if (error == 0) {
        error = file_map(fd, &slot->file);
    }
    if (error == 0) {
        memcpy(&slot->file->header, &header, sizeof(header));
        slot->file->kind = (uint32_t)kind;
        slot->file->series_max = GRAY_SERIES_MAX;
        slot->file->series_size = sizeof(struct gray_series);
        slot->file->pid = (int32_t)getpid();
        if (renameat2(slot->dirfd, aside, slot->dirfd, slot->id,
                      RENAME_NOREPLACE) != 0) {
            error = -errno;
        }
    }
    if (error != 0) {
        if (slot->file != NULL) {
            munmap(slot->file, sizeof(*slot->file));
            slot->file = NULL;
        }
        unlinkat(slot->dirfd, aside, 0);
        close(fd);
        return error;
    }
    slot->fd = fd;
    return 0;
}

/* Whoever holds the lock of <id> owns <id>.wake. */
static int slot_fifo(struct reader_slot *slot)
{
    struct stat status;
    char name[80];
    int fd;

    snprintf(name, sizeof(name), "%s.wake", slot->id);
    unlinkat(slot->dirfd, name, 0);
    if (mkfifoat(slot->dirfd, name, 0600) != 0) {
        return -errno;
    }
    fd =
        openat(slot->dirfd, name, O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    if (fstat(fd, &status) != 0 || !S_ISFIFO(status.st_mode) ||
        status.st_uid != geteuid()) {
        close(fd);
        return -EPERM;
    }
    slot->wake_fd = fd;
    return 0;
}

int runtime_reader_slot_take(struct reader_slot *ret_slot, int dirfd,
                             enum gray_reader_kind kind,
                             struct gray_problem *ret_problem)
{
    struct reader_slot slot = {.fd = -1, .wake_fd = -1};
    const char *word = runtime_reader_kind_word(kind);
    uint32_t i;
    int error = -EINVAL;

    slot.dirfd = openat(dirfd, "readers",
                        O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (slot.dirfd < 0) {
        return runtime_problem_set(ret_problem, errno, "io", "readers/: %s.",
                                   strerror(errno));
    }
    for (i = 0; word != NULL && i < GRAY_READERS_MAX; i++) {
        int taken;

        slot.number = i;
        snprintf(slot.id, sizeof(slot.id), "%s-%u", word, i);
        taken = slot_revive(&slot, kind);
        if (taken < 0) {
            error = -EBUSY;
            continue;
        }
        error = taken > 0 ? 0 : slot_create(&slot, kind);
        if (error == 0) {
            error = slot_fifo(&slot);
            if (error == 0) {
                slot.file->pid = (int32_t)getpid();
                runtime_ring_begin(&slot.file->ring);
                *ret_slot = slot;
                return 0;
            }
        }
        if (slot.file != NULL) {
            munmap(slot.file, sizeof(*slot.file));
            slot.file = NULL;
        }
        runtime_fd_close(&slot.fd);
        if (error != -EEXIST && error != -EPERM && error != -EACCES) {
            break; /* a full disk stays full under the next number */
        }
    }
    close(slot.dirfd);
    return runtime_problem_set(
        ret_problem, -error, error == -ENOSPC ? "disk-full" : "no-reader",
        "No file in readers/ could be taken: %s.", strerror(-error));
}

void runtime_reader_slot_close(struct reader_slot *slot)
{
    char name[80];

    if (slot->file == NULL) {
        runtime_fd_close(&slot->wake_fd); /* an orphan's */
        return;
    }
    slot->file->ending = READER_ENDED;
    snprintf(name, sizeof(name), "%s.wake", slot->id);
    unlinkat(slot->dirfd, name, 0);
    runtime_fd_close(&slot->wake_fd);
    munmap(slot->file, sizeof(*slot->file));
    slot->file = NULL;
    runtime_fd_close(&slot->fd);
    runtime_fd_close(&slot->dirfd);
}

void runtime_reader_slot_orphan(struct reader_slot *slot)
{
    if (slot->file == NULL) {
        return;
    }
    munmap(slot->file, sizeof(*slot->file));
    slot->file = NULL;
    /* Or the parent's file would look alive as long as we do. */
    runtime_fd_close(&slot->fd);
    runtime_fd_close(&slot->dirfd);
}
