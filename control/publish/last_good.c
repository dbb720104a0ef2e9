/* SPDX-License-Identifier: Apache-2.0
 * last_good.c - a copy on disk of what is in force in the runtime folder.
 *
 *   <state>/last-good          a link to the newest whole copy
 *   <state>/last-good.<n>/     manifest policy.snap fleet.snap lists/ keys
 *                              words; policy.next fleet.next, which wait
 *
 * Why: tmpfs is empty after a restart of the host, and nginx must start with
 * the policy, the keys and above all the words of before: what was killed
 * stays killed.  A copy is written beside the old one, synced, and becomes
 * last-good by one rename, so that a kill or a full disk at any point leaves a
 * whole one.  Files that did not change are hard links to the copy before.
 * Read next: restore.c (the way back).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/failpoint.h"
#include "control/publish/internal.h"

/* One copy being made. */
struct keep {
    struct publisher *publisher;
    char before[32], name[32]; /* last-good.<n>; before "": none */
    int before_fd, fd;
    struct kept kept;
    struct gray_problem *problem;
};

static void keep_close(struct keep *keep)
{
    publisher_fd_close(&keep->before_fd);
    publisher_fd_close(&keep->fd);
    free(keep->kept.files);
}

static int file_add(struct kept *kept, const struct kept_file *file,
                    struct gray_problem *ret_problem)
{
    struct kept_file *grown = NULL;

    if (kept->count < LAST_GOOD_FILES_MAX) {
        grown = realloc(kept->files, (kept->count + 1) * sizeof(*grown));
    }
    if (grown == NULL) {
        return publisher_problem(ret_problem, ENOMEM, "memory",
                                 "Out of memory.");
    }
    kept->files = grown;
    grown[kept->count++] = *file;
    return 0;
}

/* ---- files --------------------------------------------------------------- */

/* The file of the copy before, if this process wrote it and it is the same. */
static const struct kept_file *same_before(const struct keep *keep,
                                           const char *name, uint64_t size,
                                           uint64_t checksum)
{
    const struct kept *kept = &keep->publisher->kept;

    for (size_t i = 0; keep->before_fd >= 0 && i < kept->count; i++) {
        if (strcmp(kept->files[i].name, name) == 0) {
            return kept->files[i].size == size && checksum != 0 &&
                           kept->files[i].checksum == checksum
                       ? &kept->files[i]
                       : NULL;
        }
    }
    return NULL;
}

/* A file of the runtime folder under a name of the copy. */
static int keep_file(struct keep *keep, const char *from, const char *name)
{
    CLEANUP_FD int fd = openat(keep->publisher->folder.dirfd, from,
                               O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    const struct kept_file *same;
    struct gray_file_header header;
    struct kept_file file;
    struct stat status;
    int error;

    if (fd < 0 || fstat(fd, &status) != 0 ||
        pread(fd, &header, sizeof(header), 0) != (ssize_t)sizeof(header)) {
        return publisher_failed(keep->problem, from);
    }
    same = same_before(keep, name, (uint64_t)status.st_size, header.checksum);
    if (same != NULL &&
        linkat(keep->before_fd, name, keep->fd, name, 0) == 0) {
        return file_add(&keep->kept, same, keep->problem);
    }
    error = publisher_copy(fd, keep->fd, name, &file, keep->problem);
    if (error != 0) {
        return error;
    }
    file.checksum = header.checksum;
    return file_add(&keep->kept, &file, keep->problem);
}

static int keep_lists(struct keep *keep, const struct gray_snapshot *policy)
{
    struct gray_table table = policy->policy->lists;
    const struct gray_list_ref *refs =
        (const void *)(policy->base + table.offset);
    int error = 0;

    for (uint32_t i = 0; error == 0 && i < table.count; i++) {
        struct gray_str file = gray_text(policy, refs[i].file);
        char name[LAST_GOOD_NAME_MAX];
        bool there = false;

        snprintf(name, sizeof(name), "lists/%.*s", (int)file.length,
                 file.data);
        /* Two lists may have the same content. */
        for (size_t j = 0; j < keep->kept.count; j++) {
            there |= strcmp(keep->kept.files[j].name, name) == 0;
        }
        if (!there) {
            error = keep_file(keep, name, name);
        }
    }
    return error;
}

/* The lists that a policy names, found by the engine's own look at it. */
static int keep_lists_of(struct keep *keep, const char *policy_name)
{
    CLEANUP_FD int fd = openat(keep->publisher->folder.dirfd, policy_name,
                               O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    struct gray_problem problem = {0};
    struct gray_snapshot policy;
    struct stat status;
    void *data;
    int error;

    if (fd < 0 || fstat(fd, &status) != 0) {
        return publisher_failed(keep->problem, policy_name);
    }
    data = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (data == MAP_FAILED) {
        return publisher_failed(keep->problem, policy_name);
    }
    if (gray_snapshot_open(&policy, data, (uint64_t)status.st_size,
                           &problem) != 0) {
        error = publisher_problem(keep->problem, EINVAL, problem.code, "%s",
                                  problem.sentence);
    } else {
        error = keep_lists(keep, &policy);
    }
    munmap(data, (size_t)status.st_size);
    return error;
}

/* ---- words --------------------------------------------------------------- */

static int keep_words(struct keep *keep)
{
    const struct gray_control *control = keep->publisher->folder.control;
    uint32_t count = __atomic_load_n(&control->word_count, __ATOMIC_ACQUIRE);
    CLEANUP_FREE char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    struct kept_file file;
    int error;

    if (out == NULL) {
        return publisher_problem(keep->problem, ENOMEM, "memory",
                                 "Out of memory.");
    }
    fprintf(out, "bypass %u\n",
            __atomic_load_n(&control->bypass, __ATOMIC_ACQUIRE) != 0);
    for (uint32_t i = 0; i < count && i < GRAY_WORDS_MAX; i++) {
        uint64_t scope =
            __atomic_load_n(&control->words[i].scope, __ATOMIC_ACQUIRE);
        uint32_t word =
            __atomic_load_n(&control->words[i].word, __ATOMIC_ACQUIRE);

        if (scope != 0) {
            fprintf(out, "word %016llx %u\n", (unsigned long long)scope,
                    word & (GRAY_WORD_MASK | GRAY_WORD_HOST));
        }
    }
    if (fclose(out) != 0) {
        return publisher_problem(keep->problem, ENOMEM, "memory",
                                 "Out of memory.");
    }
    error = publisher_write(keep->fd, "words", text, length, &file,
                            keep->problem);
    return error == 0 ? file_add(&keep->kept, &file, keep->problem) : error;
}

/* ---- the manifest -------------------------------------------------------- */

static int keep_manifest(struct keep *keep)
{
    CLEANUP_FREE char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    struct kept_file file;
    char sum[65];

    if (out == NULL) {
        return publisher_problem(keep->problem, ENOMEM, "memory",
                                 "Out of memory.");
    }
    fprintf(out, LAST_GOOD_HEAD "\n");
    for (size_t i = 0; i < keep->kept.count; i++) {
        fprintf(out, "file %s %llu %s\n", keep->kept.files[i].sha256,
                (unsigned long long)keep->kept.files[i].size,
                keep->kept.files[i].name);
    }
    fflush(out);
    if (text == NULL || publisher_sha256(text, length, sum) != 0) {
        fclose(out);
        return publisher_problem(keep->problem, ENOMEM, "memory",
                                 "Out of memory.");
    }
    fprintf(out, "end %s\n", sum);
    if (fclose(out) != 0) {
        return publisher_problem(keep->problem, ENOMEM, "memory",
                                 "Out of memory.");
    }
    return publisher_write(keep->fd, "manifest", text, length, &file,
                           keep->problem);
}

/* ---- the copy ------------------------------------------------------------ */

/* Copies that a kill left half made, or did not come to remove. */
static void remove_stale(const struct keep *keep)
{
    int fd = openat(keep->publisher->state_fd, ".",
                    O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;

    if (dir == NULL) {
        publisher_fd_close(&fd);
        return;
    }
    while ((entry = readdir(dir)) != NULL) {
        if (strncmp(entry->d_name, LAST_GOOD ".", sizeof(LAST_GOOD)) != 0 ||
            strcmp(entry->d_name, keep->before) == 0) {
            continue;
        }
        if (strcmp(entry->d_name, LAST_GOOD ".new") == 0) {
            unlinkat(keep->publisher->state_fd, entry->d_name, 0);
        } else {
            publisher_remove(keep->publisher->state_fd, entry->d_name);
        }
    }
    closedir(dir);
}

static int copy_begin(struct keep *keep)
{
    int state_fd = keep->publisher->state_fd;
    unsigned long long number = 0;
    ssize_t length = readlinkat(state_fd, LAST_GOOD, keep->before,
                                sizeof(keep->before) - 1);

    keep->before[length > 0 ? length : 0] = '\0';
    if (sscanf(keep->before, LAST_GOOD ".%18llu", &number) == 1) {
        keep->before_fd =
            openat(state_fd, keep->before,
                   O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    }
    remove_stale(keep);
    snprintf(keep->name, sizeof(keep->name), LAST_GOOD ".%llu", number + 1);
    if (mkdirat(state_fd, keep->name, 0700) != 0) {
        return publisher_failed(keep->problem, keep->name);
    }
    keep->fd = openat(state_fd, keep->name,
                      O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (keep->fd < 0 || mkdirat(keep->fd, "lists", 0700) != 0) {
        return publisher_failed(keep->problem, keep->name);
    }
    return 0;
}

/* A policy with its fleet (0: none) and lists, under names that end so. */
static int keep_policy(struct keep *keep, uint64_t policy, uint64_t fleet,
                       const char *suffix)
{
    char from[48], name[LAST_GOOD_NAME_MAX];
    int error = 0;

    if (fleet != 0) {
        snprintf(from, sizeof(from), "fleet.%llu.snap",
                 (unsigned long long)fleet);
        snprintf(name, sizeof(name), "fleet%s", suffix);
        error = keep_file(keep, from, name);
    }
    snprintf(from, sizeof(from), "policy.%llu.snap",
             (unsigned long long)policy);
    snprintf(name, sizeof(name), "policy%s", suffix);
    if (error == 0) {
        error = keep_file(keep, from, name);
    }
    return error == 0 ? keep_lists_of(keep, from) : error;
}

static int copy_fill(struct keep *keep)
{
    struct gray_named named;
    int error;

    publisher_named(keep->publisher, &named);
    error = keep_policy(keep, named.policy, named.fleet, ".snap");
    if (error == 0 && named.next != 0) {
        error = keep_policy(keep, named.next, named.next_fleet, ".next");
    }
    if (error == 0) {
        error = keep_file(keep, "keys", "keys");
    }
    if (error == 0) {
        error = keep_words(keep);
    }
    return error == 0 ? keep_manifest(keep) : error;
}

/* Synced inside, then outside; then the name turns. */
static int copy_end(struct keep *keep)
{
    int state_fd = keep->publisher->state_fd;
    CLEANUP_FD int lists = openat(keep->fd, "lists",
                                  O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (lists < 0 || fsync(lists) != 0 || fsync(keep->fd) != 0 ||
        fsync(state_fd) != 0 ||
        symlinkat(keep->name, state_fd, LAST_GOOD ".new") != 0 ||
        renameat(state_fd, LAST_GOOD ".new", state_fd, LAST_GOOD) != 0) {
        return publisher_failed(keep->problem, keep->name);
    }
    /* The name has turned: what fails now cannot turn it back. */
    return fsync(state_fd) == 0 ? 0 : publisher_failed(keep->problem,
                                                       LAST_GOOD);
}

static void keep_swap(struct keep *keep)
{
    struct kept old = keep->publisher->kept;

    keep->publisher->kept = keep->kept;
    keep->kept = old;
    if (keep->before[0] != '\0') {
        publisher_remove(keep->publisher->state_fd, keep->before);
    }
}

int publisher_keep(struct publisher *publisher,
                   struct gray_problem *ret_problem)
{
    __attribute__((cleanup(keep_close))) struct keep keep = {
        .publisher = publisher, .before_fd = -1, .fd = -1,
        .problem = ret_problem,
    };
    int error;

    struct gray_named named;

    publisher_named(publisher, &named);
    if (named.policy == 0) {
        return 0; /* nothing was ever in force */
    }
    error = copy_begin(&keep);
    if (error == 0) {
        failpoint("copy-begun");
        error = copy_fill(&keep);
    }
    if (error == 0) {
        failpoint("copy-filled");
        error = copy_end(&keep);
    }
    if (error == 0) {
        failpoint("copy-turned");
        keep_swap(&keep);
    } else if (keep.name[0] != '\0') {
        unlinkat(publisher->state_fd, LAST_GOOD ".new", 0);
        publisher_remove(publisher->state_fd, keep.name);
    }
    return error;
}
