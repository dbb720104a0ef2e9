/* SPDX-License-Identifier: Apache-2.0
 * gather.c - the files of a runtime folder as hosts are to have them.
 *
 * Why: what hosts get is what is in force here, byte for byte, and not a
 * second compilation of it.  Only what belongs to this folder is left out:
 * generations, the checksum over them, and the places of words, which each
 * folder gives out by itself.  So the same policy is the same blob whatever
 * folder it was read from.  A policy that lies ready for its instant is the
 * one that goes out.
 * Read next: bundle.h, runtime/publish.c (who fills these fields).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/hosts/bundle.h"
#include "engine/engine.h"
#include "runtime/internal.h"

#define KEYS_SIZE_MAX 4096u

/* A whole file; malloc'd. NULL with errno. */
static void *read_whole(int dirfd, const char *name, size_t *ret_size)
{
    CLEANUP_FD int fd =
        openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    struct stat status;
    uint8_t *data;
    size_t size, got = 0;

    if (fd < 0 || fstat(fd, &status) != 0) {
        return NULL;
    }
    size = (size_t)status.st_size;
    data = malloc(size > 0 ? size : 1);
    while (data != NULL && got < size) {
        ssize_t more = pread(fd, data + got, size - got, (off_t)got);

        if (more <= 0) {
            free(data);
            errno = more == 0 ? EIO : errno;
            return NULL;
        }
        got += (size_t)more;
    }
    *ret_size = size;
    return data;
}

static int failed(struct gray_problem *ret_problem, const char *name)
{
    int error = errno != 0 ? errno : EIO;

    return runtime_problem_set(ret_problem, error, "io",
                               "%s cannot be read for hosts: %s.", name,
                               strerror(error));
}

static void forget_folder(struct gray_file_header *header)
{
    header->generation = 0;
    header->checksum = 0;
    header->fleet_generation = 0;
}

/* ---- lists ------------------------------------------------------------------ */

static struct blob *list_before(const struct gathered *before,
                                const char *name)
{
    for (size_t i = 0; before != NULL && i < before->list_count; i++) {
        if (strcmp(before->lists[i].name, name) == 0) {
            return before->lists[i].blob; /* its name is its content */
        }
    }
    return NULL;
}

static int gather_list(struct gathered *gathered, int dirfd,
                       struct gray_str file, const struct gathered *before,
                       struct gray_problem *ret_problem)
{
    struct gathered_list *list = &gathered->lists[gathered->list_count];
    CLEANUP_FD int fd = -1;
    char path[48];

    snprintf(list->name, sizeof(list->name), "%.*s",
             (int)(file.length < 32 ? file.length : 32), file.data);
    for (size_t i = 0; i < gathered->list_count; i++) {
        if (strcmp(gathered->lists[i].name, list->name) == 0) {
            return 0; /* two lists with the same content */
        }
    }
    list->blob = blob_reference(list_before(before, list->name));
    if (list->blob == NULL) {
        snprintf(path, sizeof(path), "lists/%s", list->name);
        fd = openat(dirfd, path,
                    O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
        list->blob = fd >= 0 ? blob_map(fd) : NULL;
        if (list->blob == NULL) {
            return failed(ret_problem, path);
        }
    }
    gathered->list_count++;
    return 0;
}

static int gather_lists(struct gathered *gathered, int dirfd,
                        const struct gray_snapshot *policy,
                        const struct gathered *before,
                        struct gray_problem *ret_problem)
{
    struct gray_table table = policy->policy->lists;
    const struct gray_list_ref *refs =
        (const void *)(policy->base + table.offset);
    int error = 0;

    gathered->lists = calloc(table.count + 1, sizeof(*gathered->lists));
    if (gathered->lists == NULL) {
        errno = ENOMEM;
        return failed(ret_problem, "lists");
    }
    for (uint32_t i = 0; error == 0 && i < table.count; i++) {
        error = gather_list(gathered, dirfd, gray_text(policy, refs[i].file),
                            before, ret_problem);
    }
    return error;
}

/* ---- policy, fleet, keys ------------------------------------------------------- */

static int take_policy(struct gathered *gathered, int dirfd, void *data,
                       size_t size, const struct gathered *before,
                       struct gray_problem *ret_problem)
{
    struct gray_snapshot policy;
    struct gray_release *releases;
    int error = gray_snapshot_open(&policy, data, size, ret_problem) == 0
                    ? 0
                    : -EINVAL;

    if (error == 0) {
        gathered->revision = policy.header->revision;
        gathered->effective_at = policy.header->effective_at;
        gathered->max_skew_ms = policy.header->max_skew;
        error = gather_lists(gathered, dirfd, &policy, before, ret_problem);
    }
    if (error != 0) {
        free(data);
        return error;
    }
    releases = (void *)((uint8_t *)data + policy.policy->releases.offset);
    for (uint32_t i = 0; i < policy.policy->releases.count; i++) {
        releases[i].word = i;
    }
    forget_folder(data);
    gathered->policy = blob_make(data, size, false);
    errno = ENOMEM;
    return gathered->policy != NULL ? 0 : failed(ret_problem, "policy");
}

static int gather_policy(struct gathered *gathered, int dirfd,
                         const struct gathered *before,
                         struct gray_problem *ret_problem)
{
    char name[48];
    size_t size = 0;
    void *data;

    snprintf(name, sizeof(name), "policy.%llu.snap",
             (unsigned long long)gathered->policy_generation);
    data = read_whole(dirfd, name, &size);
    return data != NULL
               ? take_policy(gathered, dirfd, data, size, before, ret_problem)
               : failed(ret_problem, name);
}

static int gather_fleet(struct gathered *gathered, int dirfd,
                        struct gray_problem *ret_problem)
{
    char name[48];
    size_t size = 0;
    void *data;

    snprintf(name, sizeof(name), "fleet.%llu.snap",
             (unsigned long long)gathered->fleet_generation);
    data = read_whole(dirfd, name, &size);
    if (data == NULL || size < sizeof(struct gray_file_header)) {
        free(data);
        return failed(ret_problem, name);
    }
    forget_folder(data);
    gathered->fleet = blob_make(data, size, false);
    errno = ENOMEM;
    return gathered->fleet != NULL ? 0 : failed(ret_problem, name);
}

static int gather_keys(struct gathered *gathered, int dirfd,
                       struct gray_problem *ret_problem)
{
    size_t size = 0;
    void *data = read_whole(dirfd, "keys", &size);

    if (data == NULL && errno == ENOENT) {
        return 0;
    }
    if (data == NULL || size > KEYS_SIZE_MAX) {
        free(data);
        return failed(ret_problem, "keys");
    }
    gathered->keys = blob_make(data, size, true);
    errno = ENOMEM;
    return gathered->keys != NULL ? 0 : failed(ret_problem, "keys");
}

/* ---- together ------------------------------------------------------------------ */

static void keep_policy(struct gathered *gathered,
                        const struct gathered *before)
{
    gathered->revision = before->revision;
    gathered->effective_at = before->effective_at;
    gathered->max_skew_ms = before->max_skew_ms;
    gathered->policy = blob_reference(before->policy);
    gathered->lists = calloc(before->list_count + 1, sizeof(*before->lists));
    for (size_t i = 0; gathered->lists != NULL && i < before->list_count;
         i++) {
        gathered->lists[i] = before->lists[i];
        blob_reference(before->lists[i].blob);
        gathered->list_count++;
    }
}

static void read_generations(struct gathered *gathered,
                             const struct gray_folder *folder)
{
    const struct gray_control *control = folder->control;
    struct gray_named named = { 0 };
    struct stat status;

    /* What waits for its instant goes out before it, and waits there. */
    gray_folder_named(folder, gray_wall_ms(), &named);
    gathered->policy_generation = named.next != 0 ? named.next : named.policy;
    gathered->fleet_generation =
        named.next_fleet != 0 ? named.next_fleet : named.fleet;
    gathered->keys_generation =
        __atomic_load_n(&control->keys_generation, __ATOMIC_ACQUIRE);
    gathered->control_ino =
        fstatat(folder->dirfd, "control", &status, 0) == 0 ? status.st_ino : 0;
}

static int gather_all(struct gathered *gathered, int dirfd,
                      const struct gathered *before,
                      struct gray_problem *ret_problem)
{
    bool same = before != NULL &&
                before->control_ino == gathered->control_ino;
    int error = 0;

    if (same && before->policy != NULL &&
        before->policy_generation == gathered->policy_generation) {
        keep_policy(gathered, before);
    } else if (gathered->policy_generation != 0) {
        error = gather_policy(gathered, dirfd, before, ret_problem);
    }
    if (error == 0 && same && before->fleet != NULL &&
        before->fleet_generation == gathered->fleet_generation) {
        gathered->fleet = blob_reference(before->fleet);
    } else if (error == 0 && gathered->fleet_generation != 0) {
        error = gather_fleet(gathered, dirfd, ret_problem);
    }
    return error == 0 ? gather_keys(gathered, dirfd, ret_problem) : error;
}

int gather(struct gathered *ret_gathered, const char *runtime,
           const struct gathered *before, struct gray_problem *ret_problem)
{
    struct gathered gathered = { 0 };
    struct gray_folder folder;
    int error = gray_folder_open(&folder, runtime, false, ret_problem);

    if (error != 0) {
        return error;
    }
    read_generations(&gathered, &folder);
    error = gather_all(&gathered, folder.dirfd, before, ret_problem);
    gray_folder_close(&folder);
    if (error != 0) {
        gathered_clear(&gathered);
        return error;
    }
    *ret_gathered = gathered;
    return 0;
}

void gathered_clear(struct gathered *gathered)
{
    blob_release(gathered->policy);
    blob_release(gathered->fleet);
    blob_release(gathered->keys);
    for (size_t i = 0; i < gathered->list_count; i++) {
        blob_release(gathered->lists[i].blob);
    }
    free(gathered->lists);
    *gathered = (struct gathered) { 0 };
}
