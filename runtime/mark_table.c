/* SPDX-License-Identifier: Apache-2.0
 * mark_table.c - the file of a mark table: made, mapped, believed.
 *
 * Why: nginx's workers may write into it, so nothing in it is believed once it
 * is mapped: its sizes and its key are copied and checked before.  It is
 * allocated whole before it gets its name, so that a full tmpfs is an error of
 * whoever makes it and not a SIGBUS of whoever decides.
 * Read next: mark_slot.c (what is done in it), mark_grow.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "runtime/mark_slot.h"

_Static_assert(sizeof(struct gray_marks_file) == 4096, "one page");
_Static_assert(offsetof(struct gray_marks_file, used) % 64 == 0, "own line");

#define BEGAN_MAX (INT64_C(1) << 52) /* ms: nothing overflows */
/* Pages of a file lie behind each other: the first one, then buckets. */
#define SLOTS_AT sizeof(struct gray_marks_file)
#define BUCKETS_MAX GRAY_MARKS_MAX

void runtime_mark_table_name(char *ret_name, uint64_t scope, uint32_t number)
{
    snprintf(ret_name, MARK_NAME_SIZE, "%016llx.%u", (unsigned long long)scope,
             number);
}

/* ---- make -------------------------------------------------------------------
 */

static int options_check(const struct gray_mark_table_options *options,
                         struct gray_problem *ret_problem)
{
    if ((options->slot_size != 16 && options->slot_size != 32) ||
        options->marks == 0 || options->marks > GRAY_MARKS_MAX / 2 ||
        options->number == 0 || options->name == NULL ||
        strlen(options->name) > GRAY_NAME_MAX || options->began < 0 ||
        options->began > BEGAN_MAX || options->state < GRAY_TABLE_REBUILDING ||
        options->state > GRAY_TABLE_BROKEN) {
        return runtime_problem_set(ret_problem, EINVAL, "bad-table",
                                   "No mark table can be made like this.");
    }
    return 0;
}

static void file_fill(struct gray_marks_file *file,
                      const struct gray_mark_table_options *options)
{
    uint64_t slots = options->marks * 100 / GRAY_MARKS_FULL_PERCENT + 100;
    uint64_t buckets = (slots * options->slot_size + GRAY_MARKS_BUCKET - 1) /
                       GRAY_MARKS_BUCKET;

    memset(file, 0, sizeof(*file));
    runtime_file_header_fill(&file->header, GRAY_MAGIC_MARKS,
                             SLOTS_AT + buckets * GRAY_MARKS_BUCKET);
    file->header.generation = options->number;
    file->header.revision = options->revision;
    file->scope = options->scope;
    file->instance = options->instance;
    memcpy(file->sip_key, options->sip_key, sizeof(file->sip_key));
    file->began = options->began;
    file->buckets = buckets;
    file->slot_size = options->slot_size;
    file->state = options->state;
    snprintf(file->name, sizeof(file->name), "%s", options->name);
}

static int file_make(int fd, int marks_fd, const struct gray_marks_file *file,
                     gid_t group)
{
    struct stat status;
    int error = posix_fallocate(fd, 0, (off_t)file->header.length);

    if (error != 0) {
        return error;
    }
    if (group == (gid_t)-1) {
        if (fstatat(marks_fd, "..", &status, 0) != 0) {
            return errno;
        }
        group = status.st_gid;
    }
    errno = EIO;
    if (pwrite(fd, file, sizeof(*file), 0) != (ssize_t)sizeof(*file) ||
        fchown(fd, (uid_t)-1, group) != 0 || fchmod(fd, 0664) != 0) {
        return errno;
    }
    return 0;
}

int gray_mark_table_make(int marks_fd,
                         const struct gray_mark_table_options *options,
                         struct gray_problem *ret_problem)
{
    char name[MARK_NAME_SIZE], aside[MARK_NAME_SIZE + 8];
    struct gray_marks_file file;
    CLEANUP_FD int fd = -1;
    int error = options_check(options, ret_problem);

    if (error != 0) {
        return error;
    }
    file_fill(&file, options);
    runtime_mark_table_name(name, options->scope, options->number);
    snprintf(aside, sizeof(aside), "%s.new", name);
    unlinkat(marks_fd, aside, 0);
    fd = openat(marks_fd, aside,
                O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    error = fd < 0 ? errno : file_make(fd, marks_fd, &file, options->group);
    if (error == 0 &&
        renameat2(marks_fd, aside, marks_fd, name, RENAME_NOREPLACE) != 0) {
        error = errno;
    }
    if (error != 0) {
        unlinkat(marks_fd, aside, 0);
        return runtime_problem_set(
            ret_problem, error, error == ENOSPC ? "disk-full" : "io",
            "The mark table %s (%llu bytes) cannot be made: %s.", name,
            (unsigned long long)file.header.length, strerror(error));
    }
    return 0;
}

/* ---- open -------------------------------------------------------------------
 */

static int refuse(struct gray_problem *ret_problem, const char *name,
                  const char *why)
{
    return runtime_problem_set(ret_problem, EINVAL, "bad-table",
                               "The mark table %s %s.", name, why);
}

static int file_check(const struct gray_marks_file *file, const char *name,
                      uint64_t scope, uint32_t number, uint64_t size,
                      struct gray_problem *ret_problem)
{
    int error = runtime_file_header_check(&file->header, GRAY_MAGIC_MARKS, size,
                                          name, ret_problem);

    if (error != 0) {
        return error;
    }
    if (file->scope != scope || file->header.generation != number) {
        return refuse(ret_problem, name, "is another one by its own words");
    }
    if ((file->slot_size != 16 && file->slot_size != 32) ||
        file->buckets == 0 || file->buckets > BUCKETS_MAX ||
        size != SLOTS_AT + file->buckets * GRAY_MARKS_BUCKET) {
        return refuse(ret_problem, name, "has a size that does not fit");
    }
    if (file->began < 0 || file->began > BEGAN_MAX ||
        file->header.revision > UINT32_MAX ||
        memchr(file->name, '\0', sizeof(file->name)) == NULL) {
        return refuse(ret_problem, name, "has a damaged head");
    }
    return 0;
}

/* Owner and modes: workers' group may write, others may not. */
static int open_trusted(int marks_fd, const char *name, uid_t owner,
                        bool *writable, struct stat *ret_status,
                        struct gray_problem *ret_problem)
{
    int flags = O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
    int fd = *writable ? openat(marks_fd, name, O_RDWR | flags) : -1;

    if (fd < 0) {
        *writable = false;
        fd = openat(marks_fd, name, O_RDONLY | flags);
    }
    if (fd < 0 || fstat(fd, ret_status) != 0) {
        int error = errno;

        runtime_fd_close(&fd);
        return runtime_problem_set(
            ret_problem, error, error == ENOENT ? "missing" : "io",
            "The mark table %s cannot be opened: %s.", name, strerror(error));
    }
    if (!S_ISREG(ret_status->st_mode) || ret_status->st_uid != owner ||
        (ret_status->st_mode & 02) != 0) {
        close(fd);
        return runtime_problem_set(
            ret_problem, EPERM, "untrusted-file",
            "The mark table %s can be changed by others (uid %u, mode %04o).",
            name, (unsigned)ret_status->st_uid,
            (unsigned)ret_status->st_mode & 07777);
    }
    return fd;
}

static int table_map(struct gray_mark_table *table, int fd,
                     const struct gray_marks_file *file, const char *name,
                     struct gray_problem *ret_problem)
{
    struct gray_marks_file *copy = malloc(sizeof(*copy));
    void *memory;

    if (copy == NULL) {
        return runtime_problem_set(ret_problem, ENOMEM, "memory",
                                   "Out of memory.");
    }
    memory = mmap(NULL, file->header.length,
                  table->writable ? PROT_READ | PROT_WRITE : PROT_READ,
                  MAP_SHARED | (table->writable ? MAP_POPULATE : 0), fd, 0);
    if (memory == MAP_FAILED) {
        int error = errno;

        free(copy);
        return runtime_problem_set(ret_problem, error, "io",
                                   "The mark table %s cannot be mapped: %s.",
                                   name, strerror(error));
    }
    *copy = *file;
    table->file = copy;
    table->live = memory;
    table->slots = (uint8_t *)memory + SLOTS_AT;
    table->size = file->header.length;
    table->buckets = file->buckets;
    table->secret = file->sip_key[0];
    table->slot_size = file->slot_size;
    return 0;
}

int runtime_mark_table_open(struct gray_mark_table *ret_table, int marks_fd,
                            uint64_t scope, uint32_t number, uid_t owner,
                            bool writable, struct stat *ret_status,
                            struct gray_problem *ret_problem)
{
    struct gray_mark_table table = {.writable = writable};
    char name[MARK_NAME_SIZE];
    struct gray_marks_file file;
    int error, fd;

    runtime_mark_table_name(name, scope, number);
    fd = open_trusted(marks_fd, name, owner, &table.writable, ret_status,
                      ret_problem);
    if (fd < 0) {
        return fd;
    }
    if (pread(fd, &file, sizeof(file), 0) != (ssize_t)sizeof(file)) {
        error = refuse(ret_problem, name, "is too short");
    } else {
        error = file_check(&file, name, scope, number,
                           (uint64_t)ret_status->st_size, ret_problem);
    }
    if (error == 0) {
        error = table_map(&table, fd, &file, name, ret_problem);
    }
    close(fd);
    if (error == 0) {
        *ret_table = table;
    }
    return error;
}

int gray_mark_table_open(struct gray_mark_table *ret_table, int marks_fd,
                         uint64_t scope, uint32_t number, uid_t owner,
                         bool writable, struct gray_problem *ret_problem)
{
    struct stat status;

    return runtime_mark_table_open(ret_table, marks_fd, scope, number, owner,
                                   writable, &status, ret_problem);
}

void gray_mark_table_close(struct gray_mark_table *table)
{
    if (table->file != NULL) {
        munmap(table->live, table->size);
        free((void *)(uintptr_t)table->file);
        memset(table, 0, sizeof(*table));
    }
}

/* ---- what may change while it is mapped
 * --------------------------------------- */

uint64_t gray_mark_table_used(const struct gray_mark_table *table)
{
    return table->file != NULL
               ? __atomic_load_n(&table->live->used, __ATOMIC_RELAXED)
               : 0;
}

uint64_t gray_mark_table_room(const struct gray_mark_table *table)
{
    return table->file != NULL
               ? table->buckets * (GRAY_MARKS_BUCKET / table->slot_size)
               : 0;
}

enum gray_table_state gray_mark_table_state(const struct gray_mark_table *table)
{
    uint32_t state;

    if (table->file == NULL) {
        return (enum gray_table_state)0;
    }
    state = __atomic_load_n(&table->live->state, __ATOMIC_ACQUIRE);
    return state == GRAY_TABLE_READY || state == GRAY_TABLE_REBUILDING
               ? (enum gray_table_state)state
               : GRAY_TABLE_BROKEN;
}

int gray_mark_table_state_set(const struct gray_mark_table *table,
                              enum gray_table_state state)
{
    if (table->file == NULL || !table->writable) {
        return -EPERM;
    }
    __atomic_store_n(&table->live->state, (uint32_t)state, __ATOMIC_RELEASE);
    return 0;
}

/* ---- the rest of marks/
 * -------------------------------------------------------- */

static bool drained_sound(int marks_fd)
{
    CLEANUP_FD int fd = openat(marks_fd, "drained",
                               O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    struct gray_file_header header;
    struct stat status;

    return fd >= 0 &&
           runtime_file_trusted(fd, geteuid(), "drained", &status, NULL) == 0 &&
           status.st_size == sizeof(struct gray_drained) &&
           pread(fd, &header, sizeof(header), 0) == (ssize_t)sizeof(header) &&
           runtime_file_header_check(&header, GRAY_MAGIC_DRAINED,
                                     sizeof(struct gray_drained), "drained",
                                     NULL) == 0;
}

static int drained_make(int marks_fd, struct gray_problem *ret_problem)
{
    struct gray_drained *empty;
    int error;

    if (drained_sound(marks_fd)) {
        return 0;
    }
    empty = calloc(1, sizeof(*empty));
    if (empty == NULL) {
        return runtime_problem_set(ret_problem, ENOMEM, "memory",
                                   "Out of memory.");
    }
    runtime_file_header_fill(&empty->header, GRAY_MAGIC_DRAINED,
                             sizeof(*empty));
    unlinkat(marks_fd, "drained.new", 0);
    error = runtime_file_write(marks_fd, "drained.new", empty, sizeof(*empty),
                               0644, (gid_t)-1, ret_problem);
    free(empty);
    if (error == 0 &&
        renameat(marks_fd, "drained.new", marks_fd, "drained") != 0) {
        error = runtime_problem_set(ret_problem, errno, "io",
                                    "Cannot name marks/drained: %s.",
                                    strerror(errno));
    }
    return error;
}

int runtime_marks_folder_make(int marks_fd, struct gray_problem *ret_problem)
{
    struct stat status;
    int error = drained_make(marks_fd, ret_problem);

    if (error != 0) {
        return error;
    }
    if (fstatat(marks_fd, "wake", &status, AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISFIFO(status.st_mode) && (status.st_mode & 07777) == 0666) {
        return 0;
    }
    /* Whoever may decide may wake; what is written is not looked at. */
    unlinkat(marks_fd, "wake", 0);
    if (mkfifoat(marks_fd, "wake", 0600) != 0 ||
        fchmodat(marks_fd, "wake", 0666, 0) != 0) {
        return runtime_problem_set(ret_problem, errno, "io",
                                   "Cannot make marks/wake: %s.",
                                   strerror(errno));
    }
    return 0;
}
