/* SPDX-License-Identifier: Apache-2.0
 * publish.c - how a new policy or fleet comes into force.
 *
 * Why: whatever kills a publisher, readers must find the old state or the new
 * one.  All that can fail (allocation, checks, names) happens aside under
 * "*.new"; then come renames, and one store into `control`, which alone says
 * what is in force and what waits for its instant.  A policy names in its
 * header the fleet that was published with it, so that this one store turns
 * both.
 * Read next: next.c (what waits), repair.c (what a dead publisher leaves),
 * part.c (the check).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/internal.h"
#include "runtime/repair.h"

struct job {
    const struct gray_publish *what;
    struct gray_folder folder;
    int lists_fd;
    uint64_t policy_generation, fleet_generation; /* new ones; 0: none */
    bool later; /* the policy waits for its instant */
    uint64_t dropped; /* what waited before */
    struct gray_runtime_set set; /* what will be in force, for the check */
};

/* A copy whose header is ours: the caller's bytes stay as they are. */
static void *copy_with_header(const void *data, uint64_t size,
                              const char *magic, uint64_t generation,
                              uint64_t fleet)
{
    const struct gray_file_header *given = data;
    struct gray_file_header *header = malloc(size);

    if (header != NULL) {
        memcpy(header, data, size);
        runtime_file_header_fill(header, magic, size);
        header->generation = generation;
        header->revision = given->revision;
        header->effective_at = given->effective_at;
        header->max_skew = given->max_skew;
        header->fleet_generation = fleet;
    }
    return header;
}

static int no_memory(struct gray_problem *ret_problem)
{
    return runtime_problem_set(ret_problem, ENOMEM, "memory", "Out of memory.");
}

/* Words belong to the folder, not to the compiler: the same release keeps its
 * word whatever order a compiler counted in. */
static int words_assign(struct job *job, uint8_t *copy,
                        struct gray_problem *ret_problem)
{
    struct gray_policy *policy =
        (void *)(copy + sizeof(struct gray_file_header));
    struct gray_release *releases = (void *)(copy + policy->releases.offset);
    uint32_t i;

    for (i = 0; i < policy->releases.count; i++) {
        uint32_t word = gray_word_number(&job->folder, releases[i].scope);

        if (word == GRAY_NONE) {
            return runtime_problem_set(
                ret_problem, ENOSPC, "words-full",
                "The folder has seen %u releases, the most it "
                "keeps words for: make a new folder.",
                GRAY_WORDS_MAX);
        }
        releases[i].word = word;
    }
    return 0;
}

/* Writes "<stem>.<generation>.snap.new" and its second name "<stem>.snap.new",
 * then opens it as a reader would. */
static int prepare(struct job *job, const char *stem, enum part_kind kind,
                   void *copy, uint64_t size, struct part **ret_part,
                   struct gray_problem *ret_problem)
{
    struct gray_file_header *header = copy;
    char name[48], second[32];
    int error;

    header->checksum = runtime_file_checksum(copy, size);
    snprintf(name, sizeof(name), "%s.%llu.snap.new", stem,
             (unsigned long long)header->generation);
    snprintf(second, sizeof(second), "%s.snap.new", stem);
    error = runtime_file_write(job->folder.dirfd, name, copy, size, 0644,
                               (gid_t)-1, ret_problem);
    /* The short name stays with what is in force. */
    if (error == 0 && !job->later &&
        linkat(job->folder.dirfd, name, job->folder.dirfd, second, 0) != 0) {
        error = runtime_problem_set(
            ret_problem, errno, errno == ENOSPC ? "disk-full" : "io",
            "Cannot name %s: %s.", second, strerror(errno));
    }
    if (error == 0) {
        error = runtime_part_load(job->folder.dirfd, name, kind, geteuid(),
                                  ret_part, ret_problem);
    }
    return error;
}

static int prepare_policy(struct job *job, struct gray_problem *ret_problem)
{
    const struct gray_publish *what = job->what;
    struct gray_snapshot given;
    void *copy;
    int error;

    if (what->policy_size == 0) {
        return 0;
    }
    ret_problem->code = NULL;
    /* Checked before the first word is taken from the folder for good. */
    if (gray_snapshot_open(&given, what->policy, what->policy_size,
                           ret_problem) != 0) {
        return -EINVAL;
    }
    copy = copy_with_header(what->policy, what->policy_size, GRAY_MAGIC_POLICY,
                            job->policy_generation, job->fleet_generation);
    if (copy == NULL) {
        return no_memory(ret_problem);
    }
    error = words_assign(job, copy, ret_problem);
    if (error == 0) {
        error = prepare(job, "policy", PART_POLICY, copy, what->policy_size,
                        &job->set.policy, ret_problem);
    }
    free(copy);
    return error;
}

static int prepare_fleet(struct job *job, struct gray_problem *ret_problem)
{
    const struct gray_publish *what = job->what;
    void *copy;
    int error;

    if (what->fleet_size == 0) {
        return 0;
    }
    if (what->fleet_size < sizeof(struct gray_file_header)) {
        return runtime_problem_set(ret_problem, EINVAL, "bad-size",
                                   "A fleet of %llu bytes has no header.",
                                   (unsigned long long)what->fleet_size);
    }
    copy = copy_with_header(what->fleet, what->fleet_size, GRAY_MAGIC_FLEET,
                            job->fleet_generation, 0);
    if (copy == NULL) {
        return no_memory(ret_problem);
    }
    error = prepare(job, "fleet", PART_FLEET, copy, what->fleet_size,
                    &job->set.fleet, ret_problem);
    free(copy);
    return error;
}

/* A list's name is its content: one that is there and sound stays. */
static int prepare_list(struct job *job, const struct gray_publish_list *list,
                        struct gray_problem *ret_problem)
{
    struct gray_str given = {list->name, (uint32_t)strlen(list->name)};
    struct gray_file_header *copy;
    struct part *part = NULL;
    char name[40], aside[48];
    int error;

    if (!runtime_part_list_name(given, name) ||
        list->size < sizeof(struct gray_file_header)) {
        return runtime_problem_set(
            ret_problem, EINVAL, "bad-list-name",
            "A list must be named by 32 hexadecimal digits and "
            "have a header.");
    }
    if (runtime_part_load(job->lists_fd, name, PART_LIST, geteuid(), &part,
                          NULL) == 0) {
        bool same = part->size == list->size;

        runtime_part_unref(part);
        if (same) {
            return 0;
        }
    }
    snprintf(aside, sizeof(aside), "%s.new", name);
    copy = copy_with_header(list->data, list->size, GRAY_MAGIC_LIST, 0, 0);
    if (copy == NULL) {
        return no_memory(ret_problem);
    }
    copy->checksum = runtime_file_checksum(copy, list->size);
    error = runtime_file_write(job->lists_fd, aside, copy, list->size, 0644,
                               (gid_t)-1, ret_problem);
    free(copy);
    part = NULL;
    if (error == 0) {
        error = runtime_part_load(job->lists_fd, aside, PART_LIST, geteuid(),
                                  &part, ret_problem);
        runtime_part_unref(part);
    }
    if (error == 0 &&
        renameat(job->lists_fd, aside, job->lists_fd, name) != 0) {
        error = runtime_problem_set(ret_problem, errno, "io",
                                    "Cannot name list %s.", name);
    }
    return error;
}

/* The new policy with its lists and with the fleet that will be in force. */
static int check_together(struct job *job, struct gray_problem *ret_problem)
{
    struct gray_control *control = job->folder.control;
    char name[48];

    if (job->set.policy == NULL) {
        return 0;
    }
    if (job->set.fleet == NULL && control->fleet_generation != 0) {
        snprintf(name, sizeof(name), "fleet.%llu.snap",
                 (unsigned long long)control->fleet_generation);
        runtime_part_load(job->folder.dirfd, name, PART_FLEET, geteuid(),
                          &job->set.fleet, NULL);
    }
    return runtime_set_complete(&job->set, job->lists_fd, geteuid(), NULL,
                                control, ret_problem);
}

/* Before a release is in force its marks have somewhere to be.  A table that
 * is there and cannot be grown, or cannot be believed, is no reason not to
 * publish: it may be the cure. */
static int prepare_marks(struct job *job, struct gray_problem *ret_problem)
{
    const struct gray_snapshot *policy;
    const struct gray_release *releases;
    uint32_t i;

    if (job->policy_generation == 0 || job->what->journalled) {
        return 0;
    }
    policy = &job->set.policy->policy;
    releases = (const void *)(policy->base + policy->policy->releases.offset);
    for (i = 0; i < policy->policy->releases.count; i++) {
        const struct gray_release *release = &releases[i];
        const struct gray_scope_word *word;
        struct gray_str text = gray_text(policy, release->name);
        char name[GRAY_NAME_MAX + 1];
        int error;

        if (release->stickiness == GRAY_STICKY_NONE) {
            continue;
        }
        snprintf(name, sizeof(name), "%.*s", (int)text.length, text.data);
        error = gray_marks_ensure(
            &job->folder, release->scope, name,
            (release->mark_flags & GRAY_MARKS_WIDE) != 0 ? 32 : 16,
            policy->header->revision, gray_wall_ms(), job->what->group,
            ret_problem);
        word = &job->folder.control->words[release->word];
        if (error < 0 && __atomic_load_n(&word->table, __ATOMIC_ACQUIRE) == 0) {
            return error;
        }
    }
    return 0;
}

static int name_finally(struct job *job, const char *stem, uint64_t generation,
                        struct gray_problem *ret_problem)
{
    char from[48], to[48];
    int dirfd = job->folder.dirfd;
    int error = 0;

    snprintf(from, sizeof(from), "%s.%llu.snap.new", stem,
             (unsigned long long)generation);
    snprintf(to, sizeof(to), "%s.%llu.snap", stem,
             (unsigned long long)generation);
    if (renameat(dirfd, from, dirfd, to) != 0) {
        error = errno;
    }
    snprintf(from, sizeof(from), "%s.snap.new", stem);
    snprintf(to, sizeof(to), "%s.snap", stem);
    if (error == 0 && !job->later && renameat(dirfd, from, dirfd, to) != 0) {
        error = errno;
    }
    if (error != 0) {
        return runtime_problem_set(ret_problem, error, "io",
                                   "Cannot name %s: %s.", to, strerror(error));
    }
    return 0;
}

static int commit(struct job *job, struct gray_problem *ret_problem)
{
    struct gray_control *control = job->folder.control;
    int error = 0;

    if (job->fleet_generation != 0) {
        error = name_finally(job, "fleet", job->fleet_generation, ret_problem);
    }
    if (error == 0 && job->policy_generation != 0) {
        error =
            name_finally(job, "policy", job->policy_generation, ret_problem);
    }
    if (error != 0) {
        return error;
    }
    if (job->policy_generation != 0) {
        control->last_policy = job->policy_generation;
        job->dropped = control->next_generation;
    }
    if (job->fleet_generation != 0) {
        control->last_fleet = job->fleet_generation;
    }
    if (job->later) {
        __atomic_store_n(&control->next_generation, job->policy_generation,
                         __ATOMIC_RELEASE);
    } else if (job->policy_generation != 0) {
        __atomic_store_n(&control->policy_generation, job->policy_generation,
                         __ATOMIC_RELEASE);
    }
    if (job->fleet_generation != 0 && !job->later) {
        __atomic_store_n(&control->fleet_generation, job->fleet_generation,
                         __ATOMIC_RELEASE);
    }
    if (job->dropped != 0) {
        runtime_next_remove(&job->folder, job->dropped);
        if (!job->later) {
            __atomic_store_n(&control->next_generation, 0, __ATOMIC_RELEASE);
        }
    }
    return 0;
}

/* What this publication is, and the numbers that it gets. */
static int number(struct job *job, struct gray_problem *ret_problem)
{
    const struct gray_publish *what = job->what;
    const struct gray_control *control = job->folder.control;
    const struct gray_file_header *header = what->policy;
    uint64_t policy = control->policy_generation > control->last_policy
                          ? control->policy_generation
                          : control->last_policy;
    uint64_t fleet = control->fleet_generation > control->last_fleet
                         ? control->fleet_generation
                         : control->last_fleet;

    if (policy == UINT64_MAX || fleet == UINT64_MAX) {
        return runtime_problem_set(ret_problem, EINVAL, "bad-generation",
                                   "control is damaged: make a new folder.");
    }
    if (what->expect_generation &&
        control->policy_generation != what->expected_generation) {
        return runtime_problem_set(
            ret_problem, EAGAIN, "overtaken",
            "Somebody published generation %llu meanwhile; look at it and "
            "publish again.",
            (unsigned long long)control->policy_generation);
    }
    job->policy_generation = what->policy_size > 0 ? policy + 1 : 0;
    job->fleet_generation = what->fleet_size > 0 ? fleet + 1 : 0;
    job->later = what->policy_size >= sizeof(*header) &&
                 header->effective_at > gray_wall_ms();
    return 0;
}

static int job_run(struct job *job, struct gray_problem *ret_problem)
{
    const struct gray_publish *what = job->what;
    size_t i;
    int error;

    runtime_repair(&job->folder, job->lists_fd);
    error = number(job, ret_problem);
    if (error != 0) {
        return error;
    }
    error = prepare_fleet(job, ret_problem);
    for (i = 0; error == 0 && i < what->list_count; i++) {
        error = prepare_list(job, &what->lists[i], ret_problem);
    }
    if (error == 0) {
        error = prepare_policy(job, ret_problem);
    }
    if (error == 0) {
        error = check_together(job, ret_problem);
    }
    if (error == 0) {
        error = runtime_keys_ensure(&job->folder, what->group, ret_problem);
    }
    if (error == 0) {
        error = prepare_marks(job, ret_problem);
    }
    if (error == 0) {
        error = commit(job, ret_problem);
    }
    if (error != 0) {
        runtime_repair(&job->folder, job->lists_fd);
    }
    return error;
}

static void set_drop(struct gray_runtime_set *set)
{
    struct gray_runtime_set *moved = malloc(sizeof(*moved));

    /* gray_runtime_set_free() owns the set's own memory too. */
    if (moved != NULL) {
        *moved = *set;
        gray_runtime_set_free(moved);
    }
}

int gray_publish(const char *folder, const struct gray_publish *what,
                 struct gray_published *ret_published,
                 struct gray_problem *ret_problem)
{
    struct job job = {.what = what, .lists_fd = -1};
    struct gray_problem ignored;
    CLEANUP_FD int lock = -1;
    uint32_t readers = 0, woken = 0;
    int error;

    if (ret_problem == NULL) {
        ret_problem = &ignored;
    }
    error = runtime_folder_make(&job.folder, folder, what->allow_any_filesystem,
                                ret_problem);
    if (error != 0) {
        return error;
    }
    error = runtime_folder_lock(&job.folder, &lock, ret_problem);
    if (error == 0) {
        job.lists_fd = openat(job.folder.dirfd, "lists",
                              O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        error = job.lists_fd >= 0
                    ? job_run(&job, ret_problem)
                    : runtime_problem_set(ret_problem, errno, "io",
                                          "lists: %s.", strerror(errno));
    }
    if (error == 0) {
        runtime_folder_wake(&job.folder, &readers, &woken);
        if (ret_published != NULL) {
            ret_published->policy_generation =
                job.folder.control->policy_generation;
            ret_published->fleet_generation =
                job.folder.control->fleet_generation;
            ret_published->next_generation =
                job.later ? job.policy_generation : 0;
            ret_published->dropped = job.dropped;
            ret_published->readers = readers;
            ret_published->woken = woken;
        }
    }
    if (job.lists_fd >= 0) {
        runtime_prune(&job.folder, job.lists_fd);
    }
    set_drop(&job.set);
    runtime_fd_close(&job.lists_fd);
    gray_folder_close(&job.folder);
    return error;
}
