/* SPDX-License-Identifier: Apache-2.0
 * restore.c - last-good back into a runtime folder that was lost.
 *
 * Why: this runs before nginx, without a store and without a compiler, from a
 * disk that may be damaged.  Everything is read and checked (the manifest's
 * SHA-256, then the engine's own look) before the folder is touched; then
 * keys, then words, and last of all the policy, so that nobody decides by it
 * before what was killed is killed.
 * Read next: last_good.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/publish/internal.h"

#define RESTORE_FILE_MAX (UINT64_C(8) << 30)

struct restored_file {
    struct kept_file file;
    void *data;
};
struct restore {
    int fd; /* of last-good */
    struct restored_file *files;
    size_t count;
    bool bypass;
    struct gray_scope_word *words;
    size_t word_count;
    struct gray_problem *problem;
};

static void restore_close(struct restore *restore)
{
    publisher_fd_close(&restore->fd);
    for (size_t i = 0; i < restore->count; i++) {
        free(restore->files[i].data);
    }
    free(restore->files);
    free(restore->words);
}

static int damaged(struct restore *restore, const char *name)
{
    return publisher_problem(restore->problem, EILSEQ, "damaged",
                             LAST_GOOD "/%.60s is damaged: nothing was "
                             "restored. Start grayd, or publish anew.",
                             name);
}

static int read_file(struct restore *restore, const char *name, uint64_t most,
                     void **ret_data, uint64_t *ret_size)
{
    struct gray_problem problem = {0};
    int error =
        publisher_read(restore->fd, name, most, ret_data, ret_size, &problem);

    if (error == -ENOENT) {
        return damaged(restore, name);
    }
    return error == 0 ? 0
                      : publisher_problem(restore->problem, -error,
                                          problem.code,
                                          LAST_GOOD "/%.100s",
                                          problem.sentence);
}

static const struct restored_file *find(const struct restore *restore,
                                        const char *name)
{
    for (size_t i = 0; i < restore->count; i++) {
        if (strcmp(restore->files[i].file.name, name) == 0) {
            return &restore->files[i];
        }
    }
    return NULL;
}

/* ---- the manifest -------------------------------------------------------- */

static bool known_name(const char *name)
{
    return strcmp(name, "policy.snap") == 0 ||
           strcmp(name, "fleet.snap") == 0 ||
           strcmp(name, "policy.next") == 0 ||
           strcmp(name, "fleet.next") == 0 || strcmp(name, "keys") == 0 ||
           strcmp(name, "words") == 0 ||
           (strncmp(name, "lists/", 6) == 0 &&
            publisher_list_name(name + 6, strlen(name + 6)));
}

static int manifest_line(struct restore *restore, const char *line)
{
    struct kept_file file = {.size = 0};
    unsigned long long size = 0;
    struct restored_file *grown;
    int end = 0;

    if (sscanf(line, "file %64[0-9a-f] %19llu %39s%n", file.sha256, &size,
               file.name, &end) != 3 ||
        line[end] != '\0' || !known_name(file.name) ||
        restore->count == LAST_GOOD_FILES_MAX) {
        return damaged(restore, "manifest");
    }
    file.size = size;
    grown = realloc(restore->files,
                    (restore->count + 1) * sizeof(*restore->files));
    if (grown == NULL) {
        return publisher_problem(restore->problem, ENOMEM, "memory",
                                 "Out of memory.");
    }
    restore->files = grown;
    grown[restore->count++] = (struct restored_file){.file = file};
    return 0;
}

/* The last line is the SHA-256 of all before it. */
static bool manifest_whole(char *text, size_t size)
{
    char sum[65], line[80];
    size_t tail = strlen("end ") + 64 + 1;

    if (size < tail || memchr(text, '\0', size) != NULL ||
        publisher_sha256(text, size - tail, sum) != 0) {
        return false;
    }
    snprintf(line, sizeof(line), "end %s\n", sum);
    if (strcmp(text + size - tail, line) != 0) {
        return false;
    }
    text[size - tail] = '\0';
    return true;
}

static int manifest_read(struct restore *restore)
{
    CLEANUP_FREE void *text = NULL;
    uint64_t size = 0;
    char *save = NULL, *line;
    int error = read_file(restore, "manifest", LAST_GOOD_MANIFEST_MAX, &text,
                          &size);

    if (error != 0) {
        return error;
    }
    if (!manifest_whole(text, size)) {
        return damaged(restore, "manifest");
    }
    line = strtok_r(text, "\n", &save);
    if (line == NULL || strcmp(line, LAST_GOOD_HEAD) != 0) {
        return publisher_problem(restore->problem, EINVAL, "unknown-layout",
                                 LAST_GOOD "/manifest is not of this version "
                                           "of grayd.");
    }
    while (error == 0 && (line = strtok_r(NULL, "\n", &save)) != NULL) {
        error = manifest_line(restore, line);
    }
    return error;
}

/* ---- files --------------------------------------------------------------- */

static int engine_check(struct restore *restore,
                        const struct restored_file *kept)
{
    struct gray_problem problem = {0};
    struct gray_snapshot policy;
    struct gray_fleet fleet;
    struct gray_list list;
    int found = 0;

    if (strncmp(kept->file.name, "policy.", 7) == 0) {
        found = gray_snapshot_open(&policy, kept->data, kept->file.size,
                                   &problem);
    } else if (strncmp(kept->file.name, "fleet.", 6) == 0) {
        found =
            gray_fleet_open(&fleet, kept->data, kept->file.size, &problem);
    } else if (strncmp(kept->file.name, "lists/", 6) == 0) {
        found = gray_list_open(&list, kept->data, kept->file.size, &problem);
    }
    if (found != 0) {
        return publisher_problem(restore->problem, EINVAL, problem.code,
                                 LAST_GOOD "/%.60s: %.80s",
                                 kept->file.name, problem.sentence);
    }
    return 0;
}

static int file_read(struct restore *restore, struct restored_file *kept)
{
    uint64_t size = 0;
    char sum[65];
    int error = read_file(restore, kept->file.name, RESTORE_FILE_MAX,
                          &kept->data, &size);

    if (error != 0) {
        return error;
    }
    if (size != kept->file.size ||
        publisher_sha256(kept->data, size, sum) != 0 ||
        strcmp(sum, kept->file.sha256) != 0) {
        return damaged(restore, kept->file.name);
    }
    return engine_check(restore, kept);
}

static int words_read(struct restore *restore)
{
    const struct restored_file *kept = find(restore, "words");
    char *save = NULL, *line;
    unsigned bypass = 0;
    int end = 0;

    restore->words = calloc(GRAY_WORDS_MAX, sizeof(*restore->words));
    if (restore->words == NULL) {
        return publisher_problem(restore->problem, ENOMEM, "memory",
                                 "Out of memory.");
    }
    line = strtok_r(kept->data, "\n", &save);
    if (line == NULL || sscanf(line, "bypass %1u%n", &bypass, &end) != 1 ||
        line[end] != '\0') {
        return damaged(restore, "words");
    }
    restore->bypass = bypass != 0;
    while ((line = strtok_r(NULL, "\n", &save)) != NULL) {
        unsigned long long scope = 0;
        unsigned word = 0;

        if (sscanf(line, "word %16llx %1u%n", &scope, &word, &end) != 2 ||
            line[end] != '\0' || scope == 0 ||
            (word & ~(GRAY_WORD_MASK | GRAY_WORD_HOST)) != 0 ||
            restore->word_count == GRAY_WORDS_MAX) {
            return damaged(restore, "words");
        }
        restore->words[restore->word_count].scope = scope;
        restore->words[restore->word_count++].word = word;
    }
    return 0;
}

static int read_all(struct restore *restore)
{
    int error = manifest_read(restore);

    if (error == 0 && (find(restore, "policy.snap") == NULL ||
                       find(restore, "keys") == NULL ||
                       find(restore, "words") == NULL)) {
        error = damaged(restore, "manifest");
    }
    for (size_t i = 0; error == 0 && i < restore->count; i++) {
        error = file_read(restore, &restore->files[i]);
    }
    return error == 0 ? words_read(restore) : error;
}

/* ---- into the folder ----------------------------------------------------- */

/* Has this folder a policy? 1: yes. */
static int folder_living(const char *runtime, struct gray_problem *ret_problem)
{
    struct gray_problem problem = {0};
    struct gray_folder folder;
    int living;

    if (gray_folder_open(&folder, runtime, false, &problem) != 0) {
        if (problem.code != NULL && (strcmp(problem.code, "no-folder") == 0 ||
                                     strcmp(problem.code, "no-control") == 0)) {
            return 0;
        }
        return publisher_problem(ret_problem, EINVAL, problem.code, "%s",
                                 problem.sentence);
    }
    living = __atomic_load_n(&folder.control->policy_generation,
                             __ATOMIC_ACQUIRE) != 0;
    gray_folder_close(&folder);
    return living;
}

static int words_put(struct restore *restore, struct gray_folder *folder)
{
    int error = 0;

    for (size_t i = 0; error == 0 && i < restore->word_count; i++) {
        uint64_t scope = restore->words[i].scope;

        if (gray_word_number(folder, scope) == GRAY_NONE) {
            return publisher_problem(restore->problem, ENOSPC, "words-full",
                                     "The folder has no room for words.");
        }
        error = gray_word_set(folder, scope, restore->words[i].word, NULL,
                              restore->problem);
    }
    return error == 0 && restore->bypass
               ? gray_bypass_set(folder, true, restore->problem)
               : error;
}

/* What was in force, or (".next") what waited then: it waits on, or has its
 * instant behind it, and is in force. */
static int policy_put(struct restore *restore, const char *runtime,
                      const char *suffix, struct gray_publish *what,
                      struct gray_published *ret_published)
{
    char policy_name[LAST_GOOD_NAME_MAX], fleet_name[LAST_GOOD_NAME_MAX];
    CLEANUP_FREE struct gray_publish_list *lists =
        calloc(restore->count, sizeof(*lists));
    const struct restored_file *policy, *fleet;

    snprintf(policy_name, sizeof(policy_name), "policy%s", suffix);
    snprintf(fleet_name, sizeof(fleet_name), "fleet%s", suffix);
    policy = find(restore, policy_name);
    fleet = find(restore, fleet_name);
    if (policy == NULL) {
        return 0;
    }
    if (lists == NULL) {
        return publisher_problem(restore->problem, ENOMEM, "memory",
                                 "Out of memory.");
    }
    what->lists = lists;
    what->list_count = 0;
    for (size_t i = 0; i < restore->count; i++) {
        const struct restored_file *kept = &restore->files[i];

        if (strncmp(kept->file.name, "lists/", 6) == 0) {
            lists[what->list_count].name = kept->file.name + 6;
            lists[what->list_count].data = kept->data;
            lists[what->list_count++].size = kept->file.size;
        }
    }
    what->policy = policy->data;
    what->policy_size = policy->file.size;
    what->fleet = fleet != NULL ? fleet->data : NULL;
    what->fleet_size = fleet != NULL ? fleet->file.size : 0;
    /* Whoever publishes meanwhile knows better. */
    what->expect_generation = true;
    what->expected_generation = ret_published->policy_generation;
    return gray_publish(runtime, what, ret_published, restore->problem);
}

static int put_all(struct restore *restore, const char *runtime,
                   struct gray_publish *what)
{
    const struct restored_file *keys = find(restore, "keys");
    struct gray_published done = {0};
    struct gray_folder folder = {.dirfd = -1};
    CLEANUP_FD int lock = -1;
    int error = gray_publish(runtime, what, NULL, restore->problem);

    if (error == 0) {
        error = gray_folder_open(&folder, runtime, true, restore->problem);
    }
    if (error != 0) {
        return error;
    }
    error = publisher_lock(folder.dirfd, &lock, restore->problem);
    if (error == 0) {
        error = gray_keys_restore(runtime, what->group, keys->data,
                                  keys->file.size, restore->problem);
    }
    if (error == 0) {
        error = words_put(restore, &folder);
    }
    if (error == 0) {
        error = policy_put(restore, runtime, ".snap", what, &done);
    }
    if (error == 0) {
        error = policy_put(restore, runtime, ".next", what, &done);
    }
    gray_folder_close(&folder);
    return error;
}

int publisher_restore(const char *state, const char *runtime, gid_t group,
                      bool allow_any_filesystem,
                      struct gray_problem *ret_problem)
{
    __attribute__((cleanup(restore_close))) struct restore restore = {
        .fd = -1, .problem = ret_problem,
    };
    struct gray_publish what = {.group = group,
                                .journalled = true,
                                .allow_any_filesystem = allow_any_filesystem};
    char path[4096];
    int error = folder_living(runtime, ret_problem);

    if (error != 0) {
        return error;
    }
    if (snprintf(path, sizeof(path), "%s/" LAST_GOOD, state) >=
        (int)sizeof(path)) {
        errno = ENAMETOOLONG;
        return publisher_failed(ret_problem, state);
    }
    restore.fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (restore.fd < 0) {
        return errno == ENOENT ? 1 : publisher_failed(ret_problem, path);
    }
    error = read_all(&restore);
    return error == 0 ? put_all(&restore, runtime, &what) : error;
}
