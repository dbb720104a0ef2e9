/* SPDX-License-Identifier: Apache-2.0
 * publisher.c - opens the runtime folder, and brings a revision into force.
 *
 * Why: what tightens comes first and what loosens last, so that at no moment
 * somebody is let in by half a change; and what is in force is on disk before
 * anybody is told that it is done.
 * Read next: words.c, last_good.c, restore.c, readers.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/failpoint.h"
#include "control/publish/internal.h"

/* ---- one grayd a folder -------------------------------------------------- */

int publisher_lock(int dirfd, int *ret_fd, struct gray_problem *ret_problem)
{
    CLEANUP_FD int fd = openat(dirfd, "grayd.lock",
                               O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC,
                               0600);
    char pid[24] = "";

    if (fd < 0) {
        return publisher_failed(ret_problem, "grayd.lock");
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK) {
            return publisher_failed(ret_problem, "grayd.lock");
        }
        if (pread(fd, pid, sizeof(pid) - 1, 0) < 0) {
            pid[0] = '\0';
        }
        return publisher_problem(ret_problem, EBUSY, "in-use",
                                 "Another grayd (pid %ld) publishes to this "
                                 "folder.",
                                 strtol(pid, NULL, 10));
    }
    snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) != 0 ||
        pwrite(fd, pid, strlen(pid), 0) != (ssize_t)strlen(pid)) {
        return publisher_failed(ret_problem, "grayd.lock");
    }
    *ret_fd = fd;
    fd = -1;
    return 0;
}

static int state_open(const char *state, int *ret_fd,
                      struct gray_problem *ret_problem)
{
    int fd;

    if (mkdir(state, 0700) != 0 && errno != EEXIST) {
        return publisher_failed(ret_problem, state);
    }
    fd = open(state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return publisher_failed(ret_problem, state);
    }
    *ret_fd = fd;
    return 0;
}

/* Makes the folder where it is missing, opens it and takes its lock. */
static int folder_take(struct publisher *publisher,
                       struct gray_problem *ret_problem)
{
    struct gray_publish make = {
        .group = publisher->group,
        .allow_any_filesystem = publisher->allow_any_filesystem,
    };
    struct gray_folder folder = {.dirfd = -1};
    CLEANUP_FD int lock = -1;
    struct stat status;
    int error = gray_publish(publisher->runtime, &make, NULL, ret_problem);

    if (error == 0) {
        error =
            gray_folder_open(&folder, publisher->runtime, true, ret_problem);
    }
    if (error != 0) {
        return error;
    }
    error = publisher_lock(folder.dirfd, &lock, ret_problem);
    if (error == 0 && fstatat(folder.dirfd, "control", &status, 0) != 0) {
        error = publisher_failed(ret_problem, "control");
    }
    if (error != 0) {
        gray_folder_close(&folder);
        return error;
    }
    publisher->renewed = publisher->folder.dirfd >= 0;
    gray_folder_close(&publisher->folder);
    publisher_fd_close(&publisher->lock_fd);
    publisher->folder = folder;
    publisher->lock_fd = lock;
    lock = -1;
    publisher->control_dev = status.st_dev;
    publisher->control_ino = status.st_ino;
    publisher->revision_of = 0;
    memset(publisher->seen, 0, sizeof(publisher->seen));
    return 0;
}

enum at_path { AT_PATH_OWN, AT_PATH_OTHER, AT_PATH_NONE };

/* What lies where the folder was, by its control file. */
static enum at_path look(const struct publisher *publisher)
{
    struct stat status;
    char path[PATH_MAX];

    if (snprintf(path, sizeof(path), "%s/control", publisher->runtime) >=
            (int)sizeof(path) ||
        lstat(path, &status) != 0) {
        return AT_PATH_NONE;
    }
    return status.st_dev == publisher->control_dev &&
                   status.st_ino == publisher->control_ino
               ? AT_PATH_OWN
               : AT_PATH_OTHER;
}

int publisher_follow(struct publisher *publisher, bool make,
                     struct gray_problem *ret_problem)
{
    enum at_path found = look(publisher);

    return found == AT_PATH_OWN || (found == AT_PATH_NONE && !make)
               ? 0
               : folder_take(publisher, ret_problem);
}

bool publisher_renewed(struct publisher *publisher)
{
    bool renewed;

    publisher_follow(publisher, false, NULL); /* or stay where it is */
    renewed = publisher->renewed || look(publisher) != AT_PATH_OWN;
    publisher->renewed = false;
    return renewed;
}

int publisher_open(struct publisher **ret_publisher, const char *runtime,
                   const char *state, gid_t group, bool allow_any_filesystem,
                   struct gray_problem *ret_problem)
{
    struct publisher *publisher = calloc(1, sizeof(*publisher));
    int error;

    if (publisher == NULL) {
        return publisher_problem(ret_problem, ENOMEM, "memory",
                                 "Out of memory.");
    }
    publisher->state_fd = publisher->lock_fd = publisher->folder.dirfd = -1;
    publisher->group = group;
    publisher->allow_any_filesystem = allow_any_filesystem;
    publisher->runtime = strdup(runtime);
    error = publisher->runtime != NULL
                ? folder_take(publisher, ret_problem)
                : publisher_problem(ret_problem, ENOMEM, "memory",
                                    "Out of memory.");
    if (error == 0) {
        error = state_open(state, &publisher->state_fd, ret_problem);
    }
    if (error != 0) {
        publisher_close(publisher);
        return error;
    }
    *ret_publisher = publisher;
    return 0;
}

void publisher_close(struct publisher *publisher)
{
    if (publisher == NULL) {
        return;
    }
    gray_folder_close(&publisher->folder);
    publisher_fd_close(&publisher->state_fd);
    publisher_fd_close(&publisher->lock_fd);
    free(publisher->kept.files);
    free(publisher->runtime);
    free(publisher);
}

/* ---- a revision ---------------------------------------------------------- */

uint32_t publisher_word_number(void *context, uint64_t scope)
{
    struct publisher *publisher = context;

    return gray_word_number(&publisher->folder, scope);
}

/* Before anything that is signed by them, or that may be signed here. */
static int put_keys(struct publisher *publisher,
                    const struct publisher_parts *parts,
                    struct gray_problem *ret_problem)
{
    int error = parts->keys_size > 0
                    ? gray_keys_restore(publisher->runtime, publisher->group,
                                        parts->keys, parts->keys_size,
                                        ret_problem)
                    : 0;

    if (error == 0) {
        failpoint("keys-put");
    }
    return error;
}

static int publish(struct publisher *publisher,
                   const struct publisher_parts *parts,
                   struct gray_published *ret_published,
                   struct gray_problem *ret_problem)
{
    struct gray_publish what = {
        .policy = parts->policy,
        .policy_size = parts->policy_size,
        .fleet = parts->fleet,
        .fleet_size = parts->fleet_size,
        .lists = parts->lists,
        .list_count = parts->list_count,
        .group = publisher->group,
        .allow_any_filesystem = publisher->allow_any_filesystem,
        .journalled = true,
    };
    int error = put_keys(publisher, parts, ret_problem);

    return error != 0 ? error
                      : gray_publish(publisher->runtime, &what, ret_published,
                                     ret_problem);
}

int publisher_put_parts(struct publisher *publisher,
                        const struct publisher_parts *parts,
                        const struct publisher_word *words, size_t word_count,
                        struct gray_published *ret_published,
                        struct gray_problem *ret_problem)
{
    bool changed = false;
    int error = publisher_follow(publisher, true, ret_problem);

    if (error == 0) {
        error = publisher_words_set(publisher, words, word_count, true,
                                    &changed, ret_problem);
    }
    if (error == 0) {
        failpoint("words-tightened");
        error = publish(publisher, parts, ret_published, ret_problem);
    }
    if (error == 0) {
        failpoint("policy-published");
        error = publisher_words_set(publisher, words, word_count, false,
                                    &changed, ret_problem);
    }
    if (error != 0) {
        return error;
    }
    failpoint("words-loosened");
    return publisher_keep(publisher, ret_problem) == 0 ? 0 : 1;
}

int publisher_put(struct publisher *publisher,
                  const struct gray_compiled *compiled,
                  const struct publisher_word *words, size_t word_count,
                  struct gray_published *ret_published,
                  struct gray_problem *ret_problem)
{
    CLEANUP_FREE struct gray_publish_list *lists =
        calloc(compiled->list_count + 1, sizeof(*lists));
    struct publisher_parts parts = {
        .policy = compiled->policy.data,
        .policy_size = compiled->policy.size,
        .fleet = compiled->fleet.data,
        .fleet_size = compiled->fleet.size,
        .lists = lists,
        .list_count = compiled->list_count,
    };

    if (lists == NULL) {
        return publisher_problem(ret_problem, ENOMEM, "memory",
                                 "Out of memory.");
    }
    for (size_t i = 0; i < compiled->list_count; i++) {
        lists[i].name = compiled->lists[i].name;
        lists[i].data = compiled->lists[i].data;
        lists[i].size = compiled->lists[i].size;
    }
    return publisher_put_parts(publisher, &parts, words, word_count,
                               ret_published, ret_problem);
}

int publisher_turned(struct publisher *publisher, uint64_t generation,
                     const struct publisher_word *words, size_t word_count,
                     struct gray_published *ret_published,
                     struct gray_problem *ret_problem)
{
    struct gray_publish nothing = {
        .group = publisher->group,
        .allow_any_filesystem = publisher->allow_any_filesystem,
        .journalled = true,
    };
    bool changed = false;
    int error = publisher_words_set(publisher, words, word_count, true,
                                    &changed, ret_problem);

    if (error == 0) {
        error = gray_publish(publisher->runtime, &nothing, ret_published,
                             ret_problem);
    }
    if (error == 0 && ret_published->policy_generation != generation) {
        error = publisher_problem(ret_problem, EAGAIN, "not-turned",
                                  "Generation %llu is not in force.",
                                  (unsigned long long)generation);
    }
    if (error == 0) {
        error = publisher_words_set(publisher, words, word_count, false,
                                    &changed, ret_problem);
    }
    if (error != 0) {
        return error;
    }
    return publisher_keep(publisher, ret_problem) == 0 ? 0 : 1;
}

void publisher_named(struct publisher *publisher, struct gray_named *ret_named)
{
    gray_folder_named(&publisher->folder, gray_wall_ms(), ret_named);
}

void publisher_crashes(struct publisher *publisher,
                       struct gray_crashes *ret_crashes)
{
    struct gray_named named;

    publisher_named(publisher, &named);
    gray_folder_crashes(&publisher->folder, named.policy, ret_crashes);
    if (!ret_crashes->blocked && named.next != 0) {
        gray_folder_crashes(&publisher->folder, named.next, ret_crashes);
    }
}

uint64_t publisher_revision(struct publisher *publisher)
{
    struct gray_named named;
    uint64_t generation;
    struct gray_file_header header;
    CLEANUP_FD int fd = -1;
    char name[48];

    publisher_named(publisher, &named);
    generation = named.policy;
    if (generation == 0 || generation == publisher->revision_of) {
        return generation == 0 ? 0 : publisher->revision;
    }
    snprintf(name, sizeof(name), "policy.%llu.snap",
             (unsigned long long)generation);
    fd = openat(publisher->folder.dirfd, name,
                O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || pread(fd, &header, sizeof(header), 0) !=
                      (ssize_t)sizeof(header) ||
        header.generation != generation) {
        return 0;
    }
    publisher->revision = header.revision;
    publisher->revision_of = generation;
    return publisher->revision;
}
