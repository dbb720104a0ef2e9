/* SPDX-License-Identifier: Apache-2.0
 * folder.c - the runtime folder as the marks thread holds it.
 *
 * Why: `drained` is kept over restarts, because readers have it mapped and
 * because it says how far rings were taken that had nothing for the journal.
 * A folder that somebody removed is followed by its path, as readers do.
 * Read next: runtime/ring.h, thread.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "control/marks/internal.h"

static int drained_map(struct marks *marks, struct gray_problem *ret_problem)
{
    CLEANUP_FD int fd = -1;
    void *memory;

    fd = openat(marks->marks_fd, "drained",
                O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    memory = fd >= 0 ? mmap(NULL, sizeof(struct gray_drained),
                            PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_POPULATE, fd, 0)
                     : MAP_FAILED;
    if (memory == MAP_FAILED) {
        return runtime_problem_set(ret_problem, errno, "io",
                                   "marks/drained cannot be mapped: %s.",
                                   strerror(errno));
    }
    marks->drained = memory;
    return 0;
}

static int wake_open(struct marks *marks, struct gray_problem *ret_problem)
{
    struct stat status;

    marks->wake_fd = openat(marks->marks_fd, "wake",
                            O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
    if (marks->wake_fd < 0 || fstat(marks->wake_fd, &status) != 0 ||
        !S_ISFIFO(status.st_mode)) {
        return runtime_problem_set(ret_problem, EIO, "io",
                                   "marks/wake cannot be opened.");
    }
    return 0;
}

static int subfolder(const struct marks *marks, const char *name, int *ret_fd,
                     struct gray_problem *ret_problem)
{
    *ret_fd = openat(marks->folder.dirfd, name,
                     O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return *ret_fd >= 0 ? 0
                        : runtime_problem_set(ret_problem, errno, "io",
                                              "%s/ cannot be opened: %s.",
                                              name, strerror(errno));
}

int marks_folder_open(struct marks *marks, struct gray_problem *ret_problem)
{
    struct stat status;
    int error = gray_folder_open(&marks->folder, marks->runtime, true,
                                 ret_problem);

    if (error != 0) {
        marks->folder.dirfd = -1;
        return error;
    }
    error = subfolder(marks, "marks", &marks->marks_fd, ret_problem);
    error = error != 0 ? error
                       : subfolder(marks, "readers", &marks->readers_fd,
                                   ret_problem);
    error = error != 0 ? error
                       : runtime_marks_folder_make(marks->marks_fd,
                                                   ret_problem);
    error = error != 0 ? error : drained_map(marks, ret_problem);
    error = error != 0 ? error : wake_open(marks, ret_problem);
    if (error == 0 &&
        fstatat(marks->folder.dirfd, "control", &status, 0) != 0) {
        error = runtime_problem_set(ret_problem, errno, "io", "control: %s.",
                                    strerror(errno));
    }
    if (error != 0) {
        marks_folder_close(marks);
        return error;
    }
    marks->control_dev = status.st_dev;
    marks->control_ino = status.st_ino;
    __atomic_store_n(&marks->drained->state,
                     (uint32_t)atomic_load(&marks->writer), __ATOMIC_RELEASE);
    return 0;
}

void marks_folder_close(struct marks *marks)
{
    if (marks->drained != NULL) {
        munmap(marks->drained, sizeof(*marks->drained));
        marks->drained = NULL;
    }
    runtime_fd_close(&marks->wake_fd);
    runtime_fd_close(&marks->marks_fd);
    runtime_fd_close(&marks->readers_fd);
    if (marks->folder.dirfd >= 0) {
        gray_folder_close(&marks->folder);
    }
}

bool marks_folder_moved(const struct marks *marks)
{
    struct stat status;
    char path[PATH_MAX];

    if (snprintf(path, sizeof(path), "%s/control", marks->runtime) >=
            (int)sizeof(path) ||
        lstat(path, &status) != 0) {
        return false; /* none is there: stay where we are */
    }
    return marks->folder.dirfd < 0 || status.st_dev != marks->control_dev ||
           status.st_ino != marks->control_ino;
}
