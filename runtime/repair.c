/* SPDX-License-Identifier: Apache-2.0
 * repair.c - what a dead publisher left, and what nobody needs any more.
 *
 * Why: `control` alone says what is in force, so everything that it does not
 * name is a leftover: files under "*.new", generations above its own, and
 * short names (policy.snap) that were moved before the number was.  The last
 * good generations stay, and the lists that they name.
 * Read next: publish.c.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "runtime/repair.h"

#define KEPT_FLEETS 2u

static bool header_peek(int dirfd, const char *name,
                        struct gray_file_header *ret_header)
{
    CLEANUP_FD int fd =
        openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);

    return fd >= 0 && pread(fd, ret_header, sizeof(*ret_header), 0) ==
                          (ssize_t)sizeof(*ret_header);
}

typedef void (*entry_fn)(int dirfd, const char *name, void *context);

/* Calls `fn` for each plain entry; tmpfs allows unlinking on the way. */
static void each_entry(int dirfd, entry_fn fn, void *context)
{
    int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;

    if (dir == NULL) {
        runtime_fd_close(&fd);
        return;
    }
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] != '.') {
            fn(dirfd, entry->d_name, context);
        }
    }
    closedir(dir);
}

struct ages {
    uint64_t policy, fleet;               /* in force */
    uint64_t oldest_policy, oldest_fleet; /* to be kept */
    uint64_t next, next_fleet;            /* wait; 0: none */
};

static void drop_leftover(int dirfd, const char *name, void *context)
{
    const struct ages *ages = context;

    uint64_t policy = runtime_name_generation(name, "policy");
    uint64_t fleet = runtime_name_generation(name, "fleet");

    if (runtime_name_ends(name, ".new") ||
        (policy > ages->policy && policy != ages->next) ||
        (fleet > ages->fleet && fleet != ages->next_fleet)) {
        unlinkat(dirfd, name, 0);
    }
}

/* Makes <stem>.snap the generation in force again. */
static void short_name(int dirfd, const char *stem, uint64_t generation)
{
    struct gray_file_header header;
    char name[48], full[48], aside[48];

    snprintf(name, sizeof(name), "%s.snap", stem);
    snprintf(aside, sizeof(aside), "%s.snap.new", stem);
    snprintf(full, sizeof(full), "%s.%llu.snap", stem,
             (unsigned long long)generation);
    if (generation == 0) {
        unlinkat(dirfd, name, 0);
        return;
    }
    if (header_peek(dirfd, name, &header) && header.generation == generation) {
        return;
    }
    if (linkat(dirfd, full, dirfd, aside, 0) == 0 &&
        renameat(dirfd, aside, dirfd, name) != 0) {
        unlinkat(dirfd, aside, 0);
    }
}

void runtime_repair(struct gray_folder *folder, int lists_fd)
{
    struct gray_control *control = folder->control;
    struct gray_file_header header;
    struct ages ages = {0};
    char name[48];

    runtime_next_settle(folder);
    snprintf(name, sizeof(name), "policy.%llu.snap",
             (unsigned long long)control->policy_generation);
    if (header_peek(folder->dirfd, name, &header) &&
        header.generation == control->policy_generation &&
        header.fleet_generation > control->fleet_generation) {
        /* Died between the two stores: the policy's store turned both. */
        __atomic_store_n(&control->fleet_generation, header.fleet_generation,
                         __ATOMIC_RELEASE);
    }
    ages.policy = control->policy_generation;
    ages.fleet = control->fleet_generation;
    ages.next = control->next_generation;
    if (ages.next != 0 &&
        runtime_next_header(folder->dirfd, ages.next, &header)) {
        ages.next_fleet = header.fleet_generation;
    }
    each_entry(folder->dirfd, drop_leftover, &ages);
    each_entry(lists_fd, drop_leftover, &ages);
    short_name(folder->dirfd, "policy", ages.policy);
    short_name(folder->dirfd, "fleet", ages.fleet);
}

/* ---- old generations ------------------------------------------------------
 */

struct kept {
    uint64_t generations[GRAY_KEPT_GOOD]; /* descending */
    uint64_t next; /* waits, and is none of them */
};

static void keep_newest(int dirfd, const char *name, void *context)
{
    uint64_t generation = runtime_name_generation(name, "policy");
    struct kept *kept = context;
    size_t i, j;

    (void)dirfd;
    if (generation == kept->next) {
        return;
    }
    for (i = 0; generation != 0 && i < GRAY_KEPT_GOOD; i++) {
        if (generation > kept->generations[i]) {
            for (j = GRAY_KEPT_GOOD - 1; j > i; j--) {
                kept->generations[j] = kept->generations[j - 1];
            }
            kept->generations[i] = generation;
            return;
        }
    }
}

static void drop_old(int dirfd, const char *name, void *context)
{
    const struct ages *ages = context;
    uint64_t policy = runtime_name_generation(name, "policy");
    uint64_t fleet = runtime_name_generation(name, "fleet");

    if ((policy != 0 && policy < ages->oldest_policy) ||
        (fleet != 0 && fleet < ages->oldest_fleet)) {
        unlinkat(dirfd, name, 0);
    }
}

/* ---- lists that no kept policy names --------------------------------------
 */

struct named {
    char (*names)[40];
    size_t count;
};

static int name_add(struct named *named, const char *name)
{
    void *grown =
        realloc(named->names, (named->count + 1) * sizeof(*named->names));

    if (grown == NULL) {
        return -ENOMEM;
    }
    named->names = grown;
    snprintf(named->names[named->count++], sizeof(*named->names), "%s", name);
    return 0;
}

/* Reads no more of a policy than its list names: it was checked whole when it
 * was published. */
static int policy_names(const struct gray_snapshot *policy, struct named *named)
{
    struct gray_table table = policy->policy->lists;
    const struct gray_list_ref *refs;
    char name[40];
    uint32_t i;

    if (table.offset > policy->size ||
        table.count > (policy->size - table.offset) / sizeof(*refs) ||
        table.offset % 8 != 0) {
        return -EINVAL;
    }
    refs = (const void *)(policy->base + table.offset);
    for (i = 0; i < table.count; i++) {
        if (!runtime_part_list_name(gray_text(policy, refs[i].file), name) ||
            name_add(named, name) != 0) {
            return -EINVAL;
        }
    }
    return 0;
}

static int file_names(int dirfd, uint64_t generation, struct named *named)
{
    CLEANUP_FD int fd = -1;
    struct gray_snapshot policy;
    struct stat status;
    char name[48];
    void *data;
    int error;

    snprintf(name, sizeof(name), "policy.%llu.snap",
             (unsigned long long)generation);
    fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 ||
        runtime_file_trusted(fd, geteuid(), name, &status, NULL) != 0 ||
        status.st_size < (off_t)(sizeof(struct gray_file_header) +
                                 sizeof(struct gray_policy))) {
        return -EINVAL;
    }
    data = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (data == MAP_FAILED) {
        return -errno;
    }
    policy.base = data;
    policy.size = (uint64_t)status.st_size;
    policy.header = data;
    policy.policy = (const void *)(policy.base + sizeof(*policy.header));
    error = runtime_file_header_check(policy.header, GRAY_MAGIC_POLICY,
                                      policy.size, name, NULL);
    if (error == 0) {
        error = policy_names(&policy, named);
    }
    munmap(data, (size_t)status.st_size);
    return error;
}

static void drop_list(int dirfd, const char *name, void *context)
{
    const struct named *named = context;
    size_t i;

    for (i = 0; i < named->count; i++) {
        if (strcmp(named->names[i], name) == 0) {
            return;
        }
    }
    unlinkat(dirfd, name, 0);
}

static void count_entry(int dirfd, const char *name, void *context)
{
    (void)dirfd;
    (void)name;
    ++*(size_t *)context;
}

void runtime_prune(struct gray_folder *folder, int lists_fd)
{
    struct gray_control *control = folder->control;
    struct kept kept = {.next = control->next_generation};
    struct named named = {NULL, 0};
    struct ages ages;
    size_t lists = 0, i;
    int error = 0;

    each_entry(folder->dirfd, keep_newest, &kept);
    ages.oldest_policy = kept.generations[GRAY_KEPT_GOOD - 1];
    ages.oldest_fleet = control->fleet_generation >= KEPT_FLEETS
                            ? control->fleet_generation - KEPT_FLEETS + 1
                            : 0;
    each_entry(folder->dirfd, drop_old, &ages);
    each_entry(lists_fd, count_entry, &lists);
    for (i = 0; lists > 0 && error == 0 && i < GRAY_KEPT_GOOD; i++) {
        if (kept.generations[i] != 0) {
            error = file_names(folder->dirfd, kept.generations[i], &named);
        }
    }
    if (lists > 0 && error == 0 && kept.next != 0) {
        error = file_names(folder->dirfd, kept.next, &named);
    }
    if (lists > 0 && error == 0) {
        each_entry(lists_fd, drop_list, &named);
    }
    free(named.names);
}
