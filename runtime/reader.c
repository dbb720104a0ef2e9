/* SPDX-License-Identifier: Apache-2.0
 * reader.c - a process's hold on the folder: load, swap, acknowledge.
 *
 * Why: a new policy is mapped and checked beside the requests and becomes the
 * current one by one pointer.  What is not good is refused and said, and the
 * last good one stays: a bad file must never be worse than no file.  At a
 * fresh start, when there is no last good one in memory, the newest good one
 * of the folder is taken.
 * Read next: load.c (what is taken), turn.c (what waits), set.c, slot.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "runtime/witness.h"

/* ---- open and close -------------------------------------------------------
 */

static int runtime_attach(struct gray_runtime *runtime, const char *folder,
                          struct gray_problem *ret_problem)
{
    struct stat status;
    int error;

    runtime->path = strdup(folder);
    if (runtime->path == NULL) {
        return runtime_problem_set(ret_problem, ENOMEM, "memory",
                                   "Out of memory.");
    }
    runtime->dirfd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (runtime->dirfd < 0) {
        return runtime_problem_set(
            ret_problem, errno, "no-folder",
            "%.80s cannot be opened: %s. gray publish makes it.", folder,
            strerror(errno));
    }
    error = runtime_folder_owner(runtime->dirfd, &runtime->owner, ret_problem);
    if (error != 0) {
        return error;
    }
    runtime->lists_fd = openat(runtime->dirfd, "lists",
                               O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    runtime->marks_fd = openat(runtime->dirfd, "marks",
                               O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    runtime->drained = runtime_drained_map(runtime->marks_fd, runtime->owner);
    error = runtime_control_map(runtime->dirfd, runtime->owner, false,
                                &runtime->control, ret_problem);
    /* Within one folder it is never replaced. */
    if (error == 0 &&
        fstatat(runtime->dirfd, "control", &status, AT_SYMLINK_NOFOLLOW) == 0) {
        runtime->control_dev = status.st_dev;
        runtime->control_ino = status.st_ino;
    }
    return error;
}

int gray_runtime_open(struct gray_runtime **ret_runtime, const char *folder,
                      enum gray_reader_kind kind, bool counted,
                      struct gray_problem *ret_problem)
{
    struct gray_problem problem = {NULL, "", 0};
    struct gray_runtime *runtime = calloc(1, sizeof(*runtime));
    struct gray_runtime_set *set = NULL;
    uint32_t *inside;
    int error;

    if (runtime == NULL) {
        return runtime_problem_set(ret_problem, ENOMEM, "memory",
                                   "Out of memory.");
    }
    runtime->dirfd = runtime->lists_fd = runtime->marks_fd = -1;
    runtime->slot.fd = runtime->slot.wake_fd = runtime->slot.dirfd = -1;
    runtime->kind = kind;
    runtime->counted = counted;
    runtime->refusal = &runtime->refusals[0];
    error = runtime_attach(runtime, folder, &problem);
    if (error != 0) {
        gray_runtime_close(runtime);
        if (ret_problem != NULL) {
            *ret_problem = problem;
        }
        return error;
    }
    /* Without a file of its own a reader still decides; it is only neither
     * counted nor woken. */
    if (counted && runtime_reader_slot_take(&runtime->slot, runtime->dirfd,
                                            kind, &problem) == 0) {
        runtime_series_index_build(&runtime->index, runtime->slot.file);
    }
    if (ret_problem != NULL) {
        *ret_problem = problem;
    }
    runtime_trial_remember(runtime);
    inside = runtime_trial_enter(runtime, 0);
    gray_runtime_load(runtime, &set, ret_problem);
    gray_runtime_swap(runtime, set);
    runtime_trial_leave(inside);
    *ret_runtime = runtime;
    return 0;
}

void gray_runtime_close(struct gray_runtime *runtime)
{
    if (runtime == NULL) {
        return;
    }
    gray_runtime_set_free(runtime->set);
    runtime_reader_slot_close(&runtime->slot);
    if (runtime->control != NULL) {
        munmap(runtime->control, sizeof(*runtime->control));
    }
    if (runtime->drained != NULL) {
        munmap((void *)(uintptr_t)runtime->drained, sizeof(*runtime->drained));
    }
    runtime_fd_close(&runtime->marks_fd);
    runtime_fd_close(&runtime->lists_fd);
    runtime_fd_close(&runtime->dirfd);
    free(runtime->path);
    free(runtime);
}

/* ---- waking and acknowledging ---------------------------------------------
 */

int gray_runtime_wake_fd(const struct gray_runtime *runtime)
{
    return runtime->slot.wake_fd;
}

void runtime_acknowledge_words(struct gray_runtime *runtime, uint64_t epoch)
{
    if (runtime->slot.file != NULL) {
        __atomic_store_n(&runtime->slot.file->word_epoch, epoch,
                         __ATOMIC_RELEASE);
    }
}

static void acknowledge(struct gray_runtime *runtime)
{
    struct reader_file *file = runtime->slot.file;
    const struct gray_runtime_set *set = runtime->set;

    if (file == NULL) {
        return;
    }
    if (set != NULL) {
        __atomic_store_n(&file->policy_generation,
                         set->policy != NULL ? set->policy->generation : 0,
                         __ATOMIC_RELEASE);
        __atomic_store_n(&file->fleet_generation,
                         set->fleet != NULL ? set->fleet->generation : 0,
                         __ATOMIC_RELEASE);
        /* After the policy: who turns has it ready, or has turned. */
        __atomic_store_n(&file->next_generation,
                         set->next != NULL ? set->next->policy->generation : 0,
                         __ATOMIC_RELEASE);
        __atomic_store_n(&file->keys_generation, set->keys_generation,
                         __ATOMIC_RELEASE);
        __atomic_store_n(&file->marks_generation, set->marks_generation,
                         __ATOMIC_RELEASE);
    }
    /* Words are read from `control` itself, so that whoever has read the epoch
     * decides by the words that were set before it was raised.  A library has
     * threads that are in the middle of it: libgray.c waits for them first. */
    if (runtime->kind != GRAY_READER_LIBRARY) {
        runtime_acknowledge_words(runtime,
                                  load_u64(&runtime->control->word_epoch));
    }
}

void gray_runtime_wake_drain(struct gray_runtime *runtime)
{
    char bytes[256];

    while (runtime->slot.wake_fd >= 0 &&
           read(runtime->slot.wake_fd, bytes, sizeof(bytes)) > 0) {
    }
    acknowledge(runtime);
}

bool gray_runtime_stale(const struct gray_runtime *runtime)
{
    const struct gray_control *control = runtime->control;

    return load_u64(&control->policy_generation) !=
               load_u64(&runtime->tried_policy) ||
           load_u64(&control->fleet_generation) !=
               load_u64(&runtime->tried_fleet) ||
           load_u64(&control->keys_generation) !=
               load_u64(&runtime->tried_keys) ||
           load_u64(&control->marks_generation) !=
               load_u64(&runtime->tried_marks) ||
           load_u64(&control->next_generation) !=
               load_u64(&runtime->tried_next) ||
           (runtime->avoided[0] != 0 &&
            load_u64(&control->accepted_generation) !=
                load_u64(&runtime->tried_accepted));
}

/* ---- the current state ------------------------------------------------------
 */

struct gray_runtime_set *runtime_exchange(struct gray_runtime *runtime,
                                          struct gray_runtime_set *set)
{
    struct gray_runtime_set *old = runtime->set;

    runtime_series_link(runtime, set);
    runtime_turn_note(runtime, old, set);
    __atomic_store_n(&runtime->set, set, __ATOMIC_RELEASE);
    __atomic_store_n(&runtime->epoch, runtime->epoch + 1, __ATOMIC_RELEASE);
    acknowledge(runtime);
    if (set->policy != NULL && (old == NULL || old->policy != set->policy)) {
        gray_counters_event(runtime, GRAY_EVENT_SNAPSHOT_LOADED);
    }
    return old;
}

void gray_runtime_swap(struct gray_runtime *runtime,
                       struct gray_runtime_set *set)
{
    if (set == NULL) {
        acknowledge(runtime);
        return;
    }
    gray_runtime_set_free(runtime_exchange(runtime, set));
}

const struct gray_view *gray_runtime_view(const struct gray_runtime *runtime,
                                          enum gray_reason *ret_reason)
{
    const struct gray_runtime_set *set =
        __atomic_load_n(&runtime->set, __ATOMIC_ACQUIRE);

    if (__atomic_load_n(&runtime->control->bypass, __ATOMIC_RELAXED) != 0) {
        if (ret_reason != NULL) {
            *ret_reason = GRAY_REASON_BYPASS;
        }
        return NULL;
    }
    if (set == NULL || set->policy == NULL) {
        if (ret_reason != NULL) {
            *ret_reason = GRAY_REASON_NO_SNAPSHOT;
        }
        return NULL;
    }
    return &set->view;
}

const struct gray_view *gray_runtime_loaded(const struct gray_runtime *runtime)
{
    const struct gray_runtime_set *set =
        __atomic_load_n(&runtime->set, __ATOMIC_ACQUIRE);

    return set != NULL && set->policy != NULL ? &set->view : NULL;
}

uint64_t gray_runtime_epoch(const struct gray_runtime *runtime)
{
    return load_u64(&runtime->epoch);
}

const struct gray_problem *
gray_runtime_refusal(const struct gray_runtime *runtime)
{
    return __atomic_load_n(&runtime->refusal, __ATOMIC_ACQUIRE);
}
