/* SPDX-License-Identifier: Apache-2.0
 * follow.c - from a folder that was removed to the one made in its place.
 *
 * Why: a reader keeps `control` mapped as long as it lives, so whoever removes
 * the folder and publishes anew would leave every reader in the old one, deaf,
 * until it is started again.  A slow look tells the two apart: another
 * `control` stands at the path, with something published.  Until then, and
 * when the new one cannot be believed, the last good state stays in force.
 *
 *   moved -> follow (the new state is current) -> readers gone -> retire
 *
 * Requests that began before still point into the old counters: those pages
 * become anonymous memory at the same address and are never taken away.
 * Read next: reader.c, slot.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "runtime/internal.h"

static int control_path(const struct gray_runtime *runtime, char path[4096])
{
    int length = snprintf(path, 4096, "%s/control", runtime->path);

    return length > 0 && length < 4096 ? 0 : -ENAMETOOLONG;
}

bool gray_runtime_moved(const struct gray_runtime *runtime)
{
    CLEANUP_FD int fd = -1;
    struct gray_control there;
    struct stat status;
    char path[4096];

    if (control_path(runtime, path) != 0 || lstat(path, &status) != 0 ||
        (status.st_dev == runtime->control_dev &&
         status.st_ino == runtime->control_ino)) {
        return false;
    }
    fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    return fd >= 0 &&
           pread(fd, &there, sizeof(there), 0) == (ssize_t)sizeof(there) &&
           there.policy_generation != 0;
}

/* Of an nginx worker, which is one thread but for a load under way; libgray
 * has many, and goes over by one pointer (libgray.c). */
static void exchange(struct gray_runtime *runtime, struct gray_runtime *other)
{
    struct gray_runtime kept = *runtime;
    struct gray_problem *refusal = runtime->refusal == &runtime->refusals[0]
                                       ? &runtime->refusals[1]
                                       : &runtime->refusals[0];

    runtime->dirfd = other->dirfd;
    runtime->lists_fd = other->lists_fd;
    runtime->marks_fd = other->marks_fd;
    runtime->owner = other->owner;
    runtime->control_dev = other->control_dev;
    runtime->control_ino = other->control_ino;
    runtime->slot = other->slot;
    runtime->index = other->index;
    runtime->free_from = other->free_from;
    __atomic_store_n(&runtime->control, other->control, __ATOMIC_RELEASE);
    __atomic_store_n(&runtime->drained, other->drained, __ATOMIC_RELEASE);
    __atomic_store_n(&runtime->tried_policy, other->tried_policy,
                     __ATOMIC_RELEASE);
    __atomic_store_n(&runtime->tried_fleet, other->tried_fleet,
                     __ATOMIC_RELEASE);
    __atomic_store_n(&runtime->tried_keys, other->tried_keys, __ATOMIC_RELEASE);
    __atomic_store_n(&runtime->tried_marks, other->tried_marks,
                     __ATOMIC_RELEASE);
    __atomic_store_n(&runtime->tried_next, other->tried_next, __ATOMIC_RELEASE);
    __atomic_store_n(&runtime->tried_accepted, other->tried_accepted,
                     __ATOMIC_RELEASE);
    memcpy(runtime->avoided, other->avoided, sizeof(runtime->avoided));
    runtime->witnessed = other->witnessed;
    __atomic_store_n(&runtime->turn_at, other->turn_at, __ATOMIC_RELEASE);
    __atomic_store_n(&runtime->on_clock, other->on_clock, __ATOMIC_RELEASE);
    __atomic_store_n(&runtime->set, other->set, __ATOMIC_SEQ_CST);
    __atomic_store_n(&runtime->epoch, kept.epoch + 1, __ATOMIC_RELEASE);
    *refusal = *other->refusal;
    __atomic_store_n(&runtime->refusal, refusal, __ATOMIC_RELEASE);
    kept.path = other->path;
    *other = kept;
}

int runtime_open_again(struct gray_runtime *runtime,
                       struct gray_runtime **ret_fresh,
                       struct gray_problem *ret_problem)
{
    struct gray_runtime *fresh = NULL;
    int error = gray_runtime_open(&fresh, runtime->path, runtime->kind,
                                  runtime->counted, ret_problem);

    if (error != 0) {
        return error;
    }
    if (fresh->set == NULL || fresh->set->policy == NULL) {
        gray_runtime_close(fresh);
        return -ENOENT; /* nothing better than what we have */
    }
    /* Whoever waits on the descriptor goes on waiting on its number. */
    if (runtime->slot.wake_fd >= 0 && fresh->slot.wake_fd >= 0 &&
        dup3(fresh->slot.wake_fd, runtime->slot.wake_fd, O_CLOEXEC) >= 0) {
        close(fresh->slot.wake_fd);
        fresh->slot.wake_fd = runtime->slot.wake_fd;
        runtime->slot.wake_fd = -1;
    }
    fresh->follows = runtime->follows + 1;
    *ret_fresh = fresh;
    return 0;
}

int gray_runtime_follow(struct gray_runtime *runtime,
                        struct gray_runtime **ret_old,
                        struct gray_problem *ret_problem)
{
    struct gray_runtime *fresh = NULL;
    int error = runtime_open_again(runtime, &fresh, ret_problem);

    if (error != 0) {
        return error;
    }
    exchange(runtime, fresh);
    *ret_old = fresh;
    return 0;
}

/* The address stays ours, what lay there goes.  Without memory for that it
 * stays what it was: an unlinked file. */
static void forget_pages(void *at, size_t size)
{
    if (at != NULL) {
        (void)mmap(at, size, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    }
}

void gray_runtime_retire(struct gray_runtime *old)
{
    if (old == NULL) {
        return;
    }
    forget_pages(old->slot.file, sizeof(*old->slot.file));
    forget_pages(old->control, sizeof(*old->control));
    forget_pages((void *)(uintptr_t)old->drained, sizeof(*old->drained));
    runtime_fd_close(&old->slot.wake_fd);
    runtime_fd_close(&old->slot.fd);
    runtime_fd_close(&old->slot.dirfd);
    old->slot.file = NULL;
    old->control = NULL;
    old->drained = NULL;
    gray_runtime_close(old);
}
