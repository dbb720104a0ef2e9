/* SPDX-License-Identifier: Apache-2.0
 * search.c - which file of the folder is to be taken.
 *
 * Why: `control` names a generation; <stem>.snap is usually that one, but a
 * publisher may be just at work, or have died there.  And when the one in
 * force is bad, a process that starts has nothing in memory to stay with, so
 * it takes the newest good one that is kept.
 * Read next: part.c (what good means), reader.c.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "runtime/internal.h"

/* Is the short name a file of ours that is only of another generation?  One
 * that is damaged is not: it is to be refused and said, not stepped over. */
static bool of_another_generation(const struct search *search, const char *name)
{
    static const char *const magics[] = {GRAY_MAGIC_POLICY, GRAY_MAGIC_FLEET};
    struct gray_file_header header;
    CLEANUP_FD int fd = openat(search->dirfd, name,
                               O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0) {
        return errno == ENOENT;
    }
    return pread(fd, &header, sizeof(header), 0) == (ssize_t)sizeof(header) &&
           memcmp(header.magic, magics[search->kind == PART_FLEET],
                  sizeof(header.magic)) == 0 &&
           header.generation != search->generation;
}

/* The file of the generation in force: <stem>.snap, or when a publisher is
 * just at work, <stem>.<generation>.snap. */
int runtime_search_named(const struct search *search, struct part **ret_part,
                         struct gray_problem *ret_problem)
{
    char name[48], full[48];
    struct part *part = NULL;
    int error;

    snprintf(name, sizeof(name), "%s.snap", search->stem);
    snprintf(full, sizeof(full), "%s.%llu.snap", search->stem,
             (unsigned long long)search->generation);
    if (of_another_generation(search, name) &&
        faccessat(search->dirfd, full, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
        memcpy(name, full, sizeof(name));
    }
    error = runtime_part_load(search->dirfd, name, search->kind, search->owner,
                              &part, ret_problem);
    if (error == 0 && part->generation != search->generation) {
        error =
            runtime_problem_set(ret_problem, ENOENT, "wrong-generation",
                                "control names generation %llu, %s is %llu.",
                                (unsigned long long)search->generation, name,
                                (unsigned long long)part->generation);
        runtime_part_unref(part);
    }
    if (error == 0) {
        *ret_part = part;
    }
    return error;
}

static bool skipped(const struct search *search, uint64_t generation)
{
    for (uint32_t i = 0; search->skip != NULL && i < RUNTIME_AVOIDED; i++) {
        if (search->skip[i] == generation) {
            return true;
        }
    }
    return false;
}

/* The newest of those kept that is good: at a fresh start only. */
static struct part *find_kept(const struct search *search)
{
    uint64_t below =
        search->avoid != 0 ? search->avoid - 1 : search->generation;
    struct part *part = NULL;
    uint32_t tries;

    for (tries = 0; part == NULL && tries < 2 * GRAY_KEPT_GOOD; tries++) {
        int fd = openat(search->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
        struct dirent *entry;
        uint64_t newest = 0;
        char name[48];

        if (dir == NULL) {
            runtime_fd_close(&fd);
            return NULL;
        }
        while ((entry = readdir(dir)) != NULL) {
            uint64_t found =
                runtime_name_generation(entry->d_name, search->stem);

            newest = found > newest && found <= below ? found : newest;
        }
        closedir(dir);
        if (newest == 0) {
            return NULL;
        }
        below = newest - 1;
        if (skipped(search, newest)) {
            continue;
        }
        snprintf(name, sizeof(name), "%s.%llu.snap", search->stem,
                 (unsigned long long)newest);
        runtime_part_load(search->dirfd, name, search->kind, search->owner,
                          &part, NULL);
    }
    return part;
}

bool runtime_search_part(const struct search *search, struct part *current,
                         struct part **ret_part,
                         struct gray_problem *ret_problem)
{
    if (current == NULL && search->generation == 0) {
        *ret_part = NULL;
        return false;
    }
    if (current != NULL && current->generation == search->generation) {
        *ret_part = runtime_part_ref(current);
        return false;
    }
    if (current != NULL && search->generation < current->generation) {
        runtime_problem_set(ret_problem, EINVAL, "went-back",
                            "control names %s generation %llu after %llu.",
                            search->stem,
                            (unsigned long long)search->generation,
                            (unsigned long long)current->generation);
    } else if (search->avoid == 0 &&
               runtime_search_named(search, ret_part, ret_problem) == 0) {
        return false;
    }
    *ret_part = current != NULL ? runtime_part_ref(current) : find_kept(search);
    return true;
}
