/* SPDX-License-Identifier: Apache-2.0
 * mark_map.c - which mark tables a reader has mapped.
 *
 * Why: tables are large and outlive policies, so the sets that follow each
 * other share them, by the very file; what no set names any more is unmapped
 * with the last request that could look into it.  A table that is not there is
 * no error: whoever asks gets UNKNOWN, and nobody new is admitted.
 * Read next: set.c, mark_slot.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "runtime/mark_slot.h"

#define WORD_TRIES 8u /* a word that changes all the time is read as it is */

void runtime_word_tables(const struct gray_scope_word *word,
                         uint32_t *ret_table, uint32_t *ret_next)
{
    uint32_t table, next, tries = 0;

    do {
        table = __atomic_load_n(&word->table, __ATOMIC_ACQUIRE);
        next = __atomic_load_n(&word->next, __ATOMIC_ACQUIRE);
    } while (__atomic_load_n(&word->table, __ATOMIC_ACQUIRE) != table &&
             ++tries < WORD_TRIES);
    *ret_table = table;
    *ret_next = next != table ? next : 0;
}

/* ---- parts
 * -------------------------------------------------------------------- */

static struct marks_part *part_of(const struct gray_runtime_set *old,
                                  const struct stat *status)
{
    uint32_t i;

    for (i = 0; old != NULL && i < old->mark_part_count; i++) {
        struct marks_part *part = old->mark_parts[i];

        if (part->dev == status->st_dev && part->ino == status->st_ino) {
            __atomic_fetch_add(&part->refs, 1, __ATOMIC_RELAXED);
            return part;
        }
    }
    return NULL;
}

static void part_unref(struct marks_part *part)
{
    if (__atomic_sub_fetch(&part->refs, 1, __ATOMIC_ACQ_REL) == 0) {
        gray_mark_table_close(&part->table);
        free(part);
    }
}

struct source {
    int marks_fd;
    uid_t owner;
    bool writable;
    const struct gray_runtime_set *old;
};

/* The old set's, where that is the very file. */
static int part_get(const struct source *from, uint64_t scope, uint32_t number,
                    struct marks_part **ret_part,
                    struct gray_problem *ret_problem)
{
    char name[MARK_NAME_SIZE];
    struct marks_part *part;
    struct stat status;
    int error;

    runtime_mark_table_name(name, scope, number);
    if (fstatat(from->marks_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0) {
        part = part_of(from->old, &status);
        if (part != NULL) {
            *ret_part = part;
            return 0;
        }
    }
    part = calloc(1, sizeof(*part));
    if (part == NULL) {
        return runtime_problem_set(ret_problem, ENOMEM, "memory",
                                   "Out of memory.");
    }
    error = runtime_mark_table_open(&part->table, from->marks_fd, scope, number,
                                    from->owner, from->writable, &status,
                                    ret_problem);
    if (error != 0) {
        free(part);
        return error;
    }
    part->refs = 1;
    part->dev = status.st_dev;
    part->ino = status.st_ino;
    *ret_part = part;
    return 0;
}

/* ---- of one set
 * ----------------------------------------------------------------- */

static int map_one(struct gray_runtime_set *set, const struct source *from,
                   uint64_t scope, uint32_t number,
                   struct gray_mark_table *ret_table,
                   struct gray_problem *ret_problem)
{
    struct marks_part *part = NULL;
    int error;

    if (number == 0) {
        return 0;
    }
    error = part_get(from, scope, number, &part, ret_problem);
    if (error == 0) {
        set->mark_parts[set->mark_part_count++] = part;
        *ret_table = part->table;
    }
    return error;
}

static bool has_marks(const struct gray_release *release)
{
    return release->stickiness != GRAY_STICKY_NONE;
}

int runtime_set_marks(struct gray_runtime_set *set, int marks_fd, uid_t owner,
                      bool writable, const struct gray_runtime_set *old,
                      const struct gray_control *control,
                      struct gray_problem *ret_problem)
{
    struct source from = {marks_fd, owner, writable, old};
    struct gray_problem problem = {NULL, "", 0};
    const struct gray_release *releases;
    uint32_t count, i, sticky = 0;
    int result = 0;

    if (set->policy == NULL || control == NULL) {
        return 0;
    }
    count = set->policy->policy.policy->releases.count;
    releases = (const void *)(set->policy->policy.base +
                              set->policy->policy.policy->releases.offset);
    for (i = 0; i < count; i++) {
        sticky += has_marks(&releases[i]) ? 1 : 0;
    }
    if (sticky == 0) {
        return 0;
    }
    set->marks = calloc(count, sizeof(*set->marks));
    set->mark_parts = calloc((size_t)sticky * 2, sizeof(*set->mark_parts));
    if (set->marks == NULL || set->mark_parts == NULL) {
        free(set->marks);
        set->marks = NULL;
        return runtime_problem_set(ret_problem, ENOMEM, "memory",
                                   "Out of memory.");
    }
    for (i = 0; i < count; i++) {
        uint32_t number = releases[i].word, table, next;
        uint64_t scope = releases[i].scope;
        struct gray_marks *marks = &set->marks[i];
        int error;

        if (!has_marks(&releases[i]) || number >= GRAY_WORDS_MAX ||
            __atomic_load_n(&control->words[number].scope, __ATOMIC_ACQUIRE) !=
                scope) {
            continue;
        }
        runtime_word_tables(&control->words[number], &table, &next);
        error = map_one(set, &from, scope, table, &marks->table, &problem);
        if (error == 0) {
            error = map_one(set, &from, scope, next, &marks->next, &problem);
        }
        if (error != 0 && error != -ENOENT && result == 0) {
            result = error;
            *ret_problem = problem;
        }
    }
    set->view.marks = set->marks;
    return result;
}

void runtime_set_marks_free(struct gray_runtime_set *set)
{
    uint32_t i;

    for (i = 0; i < set->mark_part_count; i++) {
        part_unref(set->mark_parts[i]);
    }
    free(set->mark_parts);
    free(set->marks);
}

/* ---- marks/drained
 * ----------------------------------------------------------------- */

const struct gray_drained *runtime_drained_map(int marks_fd, uid_t owner)
{
    CLEANUP_FD int fd =
        marks_fd < 0 ? -1
                     : openat(marks_fd, "drained",
                              O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    struct gray_file_header header;
    struct stat status;
    void *memory;

    if (fd < 0 ||
        runtime_file_trusted(fd, owner, "drained", &status, NULL) != 0 ||
        status.st_size != sizeof(struct gray_drained) ||
        pread(fd, &header, sizeof(header), 0) != (ssize_t)sizeof(header) ||
        runtime_file_header_check(&header, GRAY_MAGIC_DRAINED,
                                  (uint64_t)status.st_size, "drained",
                                  NULL) != 0) {
        return NULL;
    }
    memory = mmap(NULL, sizeof(struct gray_drained), PROT_READ,
                  MAP_SHARED | MAP_POPULATE, fd, 0);
    return memory != MAP_FAILED ? memory : NULL;
}
