/* SPDX-License-Identifier: Apache-2.0
 * folder.c - the folder itself: made, opened, locked, and its `control`.
 *
 * Why: everything else in the folder is believed because of what is checked
 * here: that the folder lies in memory (tmpfs), belongs to root or to us, and
 * that nobody else may put files into it.  `control` is made once and never
 * replaced, for every reader keeps it mapped as long as it lives.
 * Read next: publish.c, words.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/statfs.h>
#include <time.h>
#include <unistd.h>

#include "runtime/internal.h"

int runtime_folder_owner(int dirfd, uid_t *ret_owner,
                         struct gray_problem *ret_problem)
{
    struct stat status;

    if (fstat(dirfd, &status) != 0) {
        return runtime_problem_set(ret_problem, errno, "io", "The folder: %s.",
                                   strerror(errno));
    }
    if ((status.st_uid != 0 && status.st_uid != geteuid()) ||
        (status.st_mode & 022) != 0) {
        return runtime_problem_set(
            ret_problem, EPERM, "untrusted-folder",
            "The folder must belong to root (or to you) and be "
            "writable by its owner alone; it has uid %u, mode "
            "%04o.",
            (unsigned)status.st_uid, (unsigned)status.st_mode & 07777);
    }
    *ret_owner = status.st_uid;
    return 0;
}

int runtime_control_map(int dirfd, uid_t owner, bool writable,
                        struct gray_control **ret_control,
                        struct gray_problem *ret_problem)
{
    CLEANUP_FD int fd = -1;
    struct gray_file_header header;
    struct stat status;
    void *memory;
    int error;

    fd = openat(dirfd, "control",
                (writable ? O_RDWR : O_RDONLY) | O_NOFOLLOW | O_CLOEXEC |
                    O_NONBLOCK);
    if (fd < 0) {
        return runtime_problem_set(
            ret_problem, errno, errno == ENOENT ? "no-control" : "io",
            "control cannot be opened: %s.", strerror(errno));
    }
    error = runtime_file_trusted(fd, owner, "control", &status, ret_problem);
    if (error != 0) {
        return error;
    }
    if (pread(fd, &header, sizeof(header), 0) != (ssize_t)sizeof(header)) {
        return runtime_problem_set(
            ret_problem, EINVAL, "bad-size",
            "control has %lld bytes, which cannot be right.",
            (long long)status.st_size);
    }
    error = runtime_file_header_check(&header, GRAY_MAGIC_CONTROL,
                                      (uint64_t)status.st_size, "control",
                                      ret_problem);
    if (error == 0 && status.st_size != sizeof(struct gray_control)) {
        error = runtime_problem_set(ret_problem, EINVAL, "bad-size",
                                    "control has %lld bytes, %zu belong there.",
                                    (long long)status.st_size,
                                    sizeof(struct gray_control));
    }
    if (error != 0) {
        return error;
    }
    memory = mmap(NULL, sizeof(struct gray_control),
                  writable ? PROT_READ | PROT_WRITE : PROT_READ,
                  MAP_SHARED | MAP_POPULATE, fd, 0);
    if (memory == MAP_FAILED) {
        return runtime_problem_set(ret_problem, errno, "io",
                                   "control cannot be mapped: %s.",
                                   strerror(errno));
    }
    *ret_control = memory;
    return 0;
}

void gray_folder_close(struct gray_folder *folder)
{
    if (folder->control != NULL) {
        munmap(folder->control, sizeof(*folder->control));
        folder->control = NULL;
    }
    runtime_fd_close(&folder->dirfd);
}

static int now_ms(uint64_t *ret_ms)
{
    struct timespec now;

    if (clock_gettime(CLOCK_MONOTONIC, &now) != 0) {
        return -1;
    }
    *ret_ms = (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
    return 0;
}

int runtime_folder_lock(const struct gray_folder *folder, int *ret_fd,
                        struct gray_problem *ret_problem)
{
    uint64_t start = 0, now = 0;
    int fd =
        openat(folder->dirfd, "publish.lock",
               O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);

    if (fd < 0) {
        return runtime_problem_set(
            ret_problem, errno, errno == ENOSPC ? "disk-full" : "io",
            "publish.lock cannot be opened: %s.", strerror(errno));
    }
    now_ms(&start);
    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        struct timespec pause = {.tv_sec = 0, .tv_nsec = 2000000};
        int error = errno;

        now_ms(&now);
        if ((error != EWOULDBLOCK && error != EINTR) ||
            now - start > LOCK_WAIT_MS) {
            close(fd);
            return runtime_problem_set(
                ret_problem, error == EWOULDBLOCK ? EBUSY : error, "busy",
                "Another publisher holds publish.lock: %s.", strerror(error));
        }
        nanosleep(&pause, NULL);
    }
    *ret_fd = fd;
    return 0;
}

static int subfolder_make(int dirfd, const char *name, mode_t mode,
                          struct gray_problem *ret_problem)
{
    CLEANUP_FD int fd = -1;
    bool made = mkdirat(dirfd, name, 0700) == 0;
    struct stat status;

    if (!made && errno != EEXIST) {
        return runtime_problem_set(
            ret_problem, errno, errno == ENOSPC ? "disk-full" : "io",
            "Cannot make the folder %s: %s.", name, strerror(errno));
    }
    fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) != 0 || status.st_uid != geteuid()) {
        return runtime_problem_set(ret_problem, EPERM, "untrusted-folder",
                                   "%s is not a folder of our own.", name);
    }
    if ((status.st_mode & 07777) != mode && fchmod(fd, mode) != 0) {
        return runtime_problem_set(ret_problem, errno, "io",
                                   "Cannot set the mode of %s: %s.", name,
                                   strerror(errno));
    }
    return 0;
}

/* Under the lock: a control that is there is kept, whatever it says. */
static int control_make(const struct gray_folder *folder,
                        struct gray_problem *ret_problem)
{
    struct gray_control empty;
    int error;

    if (faccessat(folder->dirfd, "control", F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
        return 0;
    }
    memset(&empty, 0, sizeof(empty));
    runtime_file_header_fill(&empty.header, GRAY_MAGIC_CONTROL, sizeof(empty));
    unlinkat(folder->dirfd, "control.new", 0);
    error = runtime_file_write(folder->dirfd, "control.new", &empty,
                               sizeof(empty), 0644, (gid_t)-1, ret_problem);
    if (error != 0) {
        return error;
    }
    if (renameat(folder->dirfd, "control.new", folder->dirfd, "control") != 0) {
        error = errno;
        unlinkat(folder->dirfd, "control.new", 0);
        return runtime_problem_set(ret_problem, error, "io",
                                   "Cannot name control: %s.", strerror(error));
    }
    return 0;
}

static int folder_check_tmpfs(int dirfd, const char *path,
                              struct gray_problem *ret_problem)
{
    struct statfs status;

    if (fstatfs(dirfd, &status) != 0) {
        return runtime_problem_set(ret_problem, errno, "io", "%s: %s.", path,
                                   strerror(errno));
    }
    if (status.f_type != TMPFS_MAGIC && status.f_type != RAMFS_MAGIC) {
        return runtime_problem_set(
            ret_problem, EINVAL, "not-tmpfs",
            "%.60s is not on tmpfs: readers would wait for a "
            "disk. Use a folder under /dev/shm, or mount a "
            "tmpfs there.",
            path);
    }
    return 0;
}

static int marks_make(int dirfd, struct gray_problem *ret_problem)
{
    CLEANUP_FD int fd = -1;
    int error = subfolder_make(dirfd, "marks", 0755, ret_problem);

    if (error != 0) {
        return error;
    }
    fd =
        openat(dirfd, "marks", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd >= 0 ? runtime_marks_folder_make(fd, ret_problem)
                   : runtime_problem_set(ret_problem, errno, "io",
                                         "marks/: %s.", strerror(errno));
}

static int folder_fill(struct gray_folder *folder, uid_t owner,
                       struct gray_problem *ret_problem)
{
    CLEANUP_FD int lock = -1;
    int error = runtime_folder_lock(folder, &lock, ret_problem);

    if (error == 0) {
        error = subfolder_make(folder->dirfd, "readers", 01777, ret_problem);
    }
    if (error == 0) {
        error = subfolder_make(folder->dirfd, "lists", 0755, ret_problem);
    }
    if (error == 0) {
        error = marks_make(folder->dirfd, ret_problem);
    }
    if (error == 0) {
        error = control_make(folder, ret_problem);
    }
    if (error == 0) {
        error = runtime_control_map(folder->dirfd, owner, true,
                                    &folder->control, ret_problem);
    }
    return error;
}

int runtime_folder_make(struct gray_folder *ret_folder, const char *path,
                        bool any_fs, struct gray_problem *ret_problem)
{
    struct gray_folder folder = {.dirfd = -1, .writable = true};
    bool made = mkdir(path, 0700) == 0;
    uid_t owner = 0;
    int error = 0;

    folder.dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder.dirfd < 0) {
        return runtime_problem_set(ret_problem, errno, "no-folder",
                                   "%.80s cannot be made or opened: %s.", path,
                                   strerror(errno));
    }
    if (!any_fs) {
        error = folder_check_tmpfs(folder.dirfd, path, ret_problem);
    }
    if (error == 0 && made && fchmod(folder.dirfd, 0755) != 0) {
        error = runtime_problem_set(ret_problem, errno, "io", "%.80s: %s.",
                                    path, strerror(errno));
    }
    if (error == 0) {
        error = runtime_folder_owner(folder.dirfd, &owner, ret_problem);
    }
    if (error == 0 && owner != geteuid()) {
        error = runtime_problem_set(
            ret_problem, EPERM, "not-owner",
            "%.80s belongs to uid %u: publish as that user.", path,
            (unsigned)owner);
    }
    if (error == 0) {
        error = folder_fill(&folder, owner, ret_problem);
    }
    if (error != 0) {
        gray_folder_close(&folder);
        if (made) {
            rmdir(path); /* goes only when nothing was put into it */
        }
        return error;
    }
    *ret_folder = folder;
    return 0;
}

int gray_folder_open(struct gray_folder *ret_folder, const char *path,
                     bool writable, struct gray_problem *ret_problem)
{
    struct gray_folder folder = {.dirfd = -1, .writable = writable};
    uid_t owner = 0;
    int error;

    folder.dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder.dirfd < 0) {
        return runtime_problem_set(
            ret_problem, errno, "no-folder",
            "%.80s cannot be opened: %s. gray publish makes it.", path,
            strerror(errno));
    }
    error = runtime_folder_owner(folder.dirfd, &owner, ret_problem);
    if (error == 0) {
        error = runtime_control_map(folder.dirfd, owner, writable,
                                    &folder.control, ret_problem);
    }
    if (error != 0) {
        gray_folder_close(&folder);
        return error;
    }
    *ret_folder = folder;
    return 0;
}
