/* SPDX-License-Identifier: Apache-2.0
 * mark_grow.c - a table becomes larger while everyone goes on writing.
 *
 * Why: nobody may wait for it, and whoever is killed in the middle must leave
 * every mark in exactly one true place.  For each slot of the old table, in
 * any order, as often as it takes:
 *
 *   free            -> closed: its key can stand in the next table only
 *   half claimed    -> closed by its second word
 *   no value, VOID  -> MOVED: nothing to take along
 *   a value         -> put into the next table, then MOVED, if it is still the
 *                      same; else put again
 *
 * Until it is MOVED the old value is the true one, and what the next table
 * says of that key is read by nobody: so a copier that dies is followed by one
 * that begins again.  Names (`table`, `next`) change in `control` only.
 * Read next: mark_slot.c, mark_ensure.c, docs/marks.md (Growth).
 */
#include <errno.h>
#include <fcntl.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "runtime/mark_slot.h"

#define TRIES 1000u /* values that change under the copier, of one slot */

/* ---- names in `control` -----------------------------------------------------
 */

static struct gray_scope_word *word_of(const struct gray_folder *folder,
                                       uint64_t scope)
{
    uint32_t i;

    for (i = 0; scope != 0 && i < GRAY_WORDS_MAX; i++) {
        struct gray_scope_word *word = &folder->control->words[i];

        if (__atomic_load_n(&word->scope, __ATOMIC_ACQUIRE) == scope) {
            return word;
        }
    }
    return NULL;
}

int runtime_marks_word(const struct gray_folder *folder, uint64_t scope,
                       struct gray_scope_word **ret_word,
                       struct gray_problem *ret_problem)
{
    struct gray_scope_word *word = word_of(folder, scope);

    if (!folder->writable) {
        return runtime_problem_set(ret_problem, EPERM, "read-only",
                                   "The folder was opened for reading only.");
    }
    if (word == NULL) {
        return runtime_problem_set(
            ret_problem, ENOENT, "unknown-scope",
            "No release of this name was ever published here.");
    }
    /* A switch that died between its two stores. */
    if (word->next != 0 && word->next == word->table) {
        __atomic_store_n(&word->next, 0, __ATOMIC_RELEASE);
    }
    *ret_word = word;
    return 0;
}

static void tell(struct gray_folder *folder)
{
    __atomic_fetch_add(&folder->control->marks_generation, 1, __ATOMIC_RELEASE);
    runtime_folder_wake(folder, NULL, NULL);
}

int runtime_marks_open(const struct gray_folder *folder, int *ret_fd,
                       struct gray_problem *ret_problem)
{
    int fd = openat(folder->dirfd, "marks",
                    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0) {
        return runtime_problem_set(ret_problem, errno, "io", "marks/: %s.",
                                   strerror(errno));
    }
    *ret_fd = fd;
    return 0;
}

/* Everyone is woken by whoever calls this. */
int runtime_marks_name(struct gray_folder *folder, uint64_t scope,
                       uint32_t number, struct gray_problem *ret_problem)
{
    struct gray_scope_word *word = NULL;
    int error;

    if (gray_word_number(folder, scope) == GRAY_NONE) {
        return runtime_problem_set(ret_problem, ENOSPC, "words-full",
                                   "There is no scope word left.");
    }
    error = runtime_marks_word(folder, scope, &word, ret_problem);
    if (error != 0) {
        return error;
    }
    if (word->table != 0) {
        return runtime_problem_set(ret_problem, EEXIST, "has-table",
                                   "The scope has a mark table.");
    }
    __atomic_store_n(&word->table, number, __ATOMIC_RELEASE);
    __atomic_fetch_add(&folder->control->marks_generation, 1, __ATOMIC_RELEASE);
    return 0;
}

int gray_marks_name(struct gray_folder *folder, uint64_t scope, uint32_t number,
                    struct gray_problem *ret_problem)
{
    int error = runtime_marks_name(folder, scope, number, ret_problem);

    if (error == 0) {
        runtime_folder_wake(folder, NULL, NULL);
    }
    return error;
}

/* ---- announce
 * ----------------------------------------------------------------- */

bool gray_marks_crowded(const struct gray_marks *marks)
{
    return marks->table.file != NULL && marks->next.file == NULL &&
           gray_mark_table_used(&marks->table) >=
               gray_mark_table_room(&marks->table) / 100 *
                   GRAY_MARKS_GROW_PERCENT;
}

/* Doubles what is small; of what is large a quarter more, so that a mark costs
 * 24 bytes on the average. */
#define SMALL 1000000u
static uint64_t marks_for(const struct gray_mark_table *table)
{
    uint64_t now = gray_mark_table_room(table) / 100 * GRAY_MARKS_FULL_PERCENT;
    uint64_t larger = now < SMALL ? now * 2 : now + now / 4;

    return larger < GRAY_MARKS_MAX / 2 ? larger : GRAY_MARKS_MAX / 2;
}

static int make_next(int marks_fd, const struct gray_mark_table *table,
                     uint64_t marks, gid_t group,
                     struct gray_problem *ret_problem)
{
    const struct gray_marks_file *file = table->file;
    struct gray_mark_table_options options = {
        .scope = file->scope,
        .instance = file->instance,
        .sip_key = {file->sip_key[0], file->sip_key[1]},
        .revision = file->header.revision,
        .began = file->began,
        .name = file->name,
        .number = (uint32_t)file->header.generation + 1,
        .slot_size = file->slot_size,
        .state = gray_mark_table_state(table),
        .marks = marks != 0 ? marks : marks_for(table),
        .group = group,
    };
    char name[MARK_NAME_SIZE];

    /* What a dead one made and did not name. */
    runtime_mark_table_name(name, options.scope, options.number);
    unlinkat(marks_fd, name, 0);
    return gray_mark_table_make(marks_fd, &options, ret_problem);
}

int gray_marks_announce(struct gray_folder *folder, uint64_t scope,
                        uint64_t marks, gid_t group,
                        struct gray_problem *ret_problem)
{
    struct gray_scope_word *word = NULL;
    struct gray_mark_table table = {NULL};
    CLEANUP_FD int marks_fd = -1;
    struct stat status;
    int error = runtime_marks_word(folder, scope, &word, ret_problem);

    if (error == 0) {
        error = runtime_marks_open(folder, &marks_fd, ret_problem);
    }
    if (error != 0) {
        return error;
    }
    if (word->next != 0) {
        return 1;
    }
    error = runtime_mark_table_open(&table, marks_fd, scope, word->table,
                                    geteuid(), false, &status, ret_problem);
    if (error != 0) {
        return error;
    }
    error = make_next(marks_fd, &table, marks,
                      group != (gid_t)-1 ? group : status.st_gid, ret_problem);
    gray_mark_table_close(&table);
    if (error == 0) {
        __atomic_store_n(&word->next, word->table + 1, __ATOMIC_RELEASE);
        tell(folder);
    }
    return error;
}

/* ---- acknowledge
 * ---------------------------------------------------------------- */

/* Does a living reader decide by other tables than `control` names? */
static bool is_behind(int readers_fd, const char *id, uint64_t generation)
{
    CLEANUP_FD int fd =
        openat(readers_fd, id, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
    uint64_t acknowledged;
    struct gray_file_header header;

    return fd >= 0 && runtime_reader_alive(fd) &&
           pread(fd, &header, sizeof(header), 0) == (ssize_t)sizeof(header) &&
           runtime_file_header_check(&header, GRAY_MAGIC_READER,
                                     sizeof(struct reader_file), id,
                                     NULL) == 0 &&
           pread(fd, &acknowledged, sizeof(acknowledged),
                 offsetof(struct reader_file, marks_generation)) ==
               (ssize_t)sizeof(acknowledged) &&
           acknowledged < generation;
}

uint32_t gray_marks_behind(const struct gray_folder *folder)
{
    uint64_t generation =
        __atomic_load_n(&folder->control->marks_generation, __ATOMIC_ACQUIRE);
    int fd = openat(folder->dirfd, "readers",
                    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    uint32_t behind = 0, seen = 0;
    struct dirent *entry;

    if (dir == NULL) {
        runtime_fd_close(&fd);
        return 0;
    }
    while (seen++ < GRAY_READERS_MAX * 2 + FILE_SLACK &&
           (entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] != '.' &&
            !runtime_name_ends(entry->d_name, ".wake") &&
            !runtime_name_ends(entry->d_name, ".new")) {
            behind += is_behind(fd, entry->d_name, generation) ? 1 : 0;
        }
    }
    closedir(dir);
    return behind;
}

/* ---- copy
 * -------------------------------------------------------------------------- */

/* What the next table says of a key that has not moved is the copier's alone,
 * so it is simply stored. */
static int put_next(const struct gray_mark_table *next,
                    struct gray_mark_key key, uint64_t value)
{
    bool leave = gray_slot_state(value) == GRAY_SLOT_VOID;
    enum mark_place place;
    uint64_t *slot;

    if (value == 0) {
        return 0; /* nor was there ever anything else */
    }
    /* VOID is left behind, unless a dead copier took along what it was. */
    place = leave ? runtime_mark_probe(next, key, &slot)
                  : runtime_mark_claim(next, key, UINT64_MAX, &slot);
    switch (place) {
    case MARK_HERE:
        __atomic_store_n(mark_slot_value(next, slot), value, __ATOMIC_RELEASE);
        return 0;
    case MARK_FREE:
        return 0;
    case MARK_END:
        return leave ? 0 : -ENOSPC;
    case MARK_CLOSED: /* by nobody who goes by these rules */
        return -EBADMSG;
    default:
        return -EAGAIN;
    }
}

static int move_slot(const struct gray_marks *marks, uint64_t *slot,
                     uint64_t closed)
{
    const struct gray_mark_table *table = &marks->table;
    uint64_t *place = mark_slot_value(table, slot);
    bool wide = table->slot_size == 32;
    uint32_t tries;
    int error;

    for (tries = 0; tries < TRIES; tries++) {
        struct gray_mark_key key = {{mark_load(slot), 1}};
        uint64_t value;

        if (wide && key.k[0] != 0) {
            key.k[1] = mark_load(slot + 1);
        }
        if (key.k[0] == closed || key.k[1] == MARK_CLOSED_WIDE) {
            return 0;
        }
        if (key.k[0] == 0 || key.k[1] == 0) {
            if (runtime_mark_close(table, slot)) {
                return 0;
            }
            continue; /* claimed meanwhile */
        }
        value = mark_load(place);
        if ((value & GRAY_SLOT_MOVED) != 0) {
            return 0;
        }
        error = put_next(&marks->next, key, value);
        if (error != 0) {
            return error;
        }
        if (mark_swap(place, &value, value | GRAY_SLOT_MOVED)) {
            /* `used` of both say what stands where: see limit_of(). */
            __atomic_fetch_sub(&table->live->used, 1, __ATOMIC_RELAXED);
            return 0;
        }
    }
    return -EAGAIN;
}

int gray_marks_copy(const struct gray_marks *marks, uint64_t *at,
                    uint64_t buckets, struct gray_problem *ret_problem)
{
    const struct gray_mark_table *table = &marks->table;
    uint64_t closed = runtime_mark_closed();
    uint32_t words, i;

    if (table->file == NULL || marks->next.file == NULL || !table->writable ||
        !marks->next.writable || table->slot_size != marks->next.slot_size) {
        return runtime_problem_set(ret_problem, EINVAL, "bad-table",
                                   "There is nothing to copy, or nowhere to.");
    }
    words = mark_slot_words(table);
    for (; *at < table->buckets && buckets > 0; buckets--) {
        uint64_t *slot =
            (uint64_t *)(void *)(table->slots + *at * GRAY_MARKS_BUCKET);

        for (i = 0; i < GRAY_MARKS_BUCKET / 8; i += words) {
            int error = move_slot(marks, slot + i, closed);

            if (error == -EAGAIN) {
                return 0; /* somebody is very busy just here: again */
            }
            if (error != 0) {
                return runtime_problem_set(
                    ret_problem, -error,
                    error == -ENOSPC ? "table-full" : "bad-table",
                    "The next mark table of %s is %s.", table->file->name,
                    error == -ENOSPC ? "full" : "damaged");
            }
        }
        ++*at;
    }
    return *at >= table->buckets ? 1 : 0;
}

/* ---- switch, drop
 * ---------------------------------------------------------------- */

int gray_marks_switch(struct gray_folder *folder, uint64_t scope,
                      struct gray_problem *ret_problem)
{
    struct gray_scope_word *word = NULL;
    int error = runtime_marks_word(folder, scope, &word, ret_problem);

    if (error != 0) {
        return error;
    }
    if (word->next == 0) {
        return runtime_problem_set(ret_problem, ENOENT, "no-next",
                                   "The mark table does not grow.");
    }
    __atomic_store_n(&word->table, word->next, __ATOMIC_RELEASE);
    __atomic_store_n(&word->next, 0, __ATOMIC_RELEASE);
    tell(folder);
    return 0;
}

int gray_marks_drop(struct gray_folder *folder, uint64_t scope, bool all,
                    struct gray_problem *ret_problem)
{
    char stem[MARK_NAME_SIZE], table[MARK_NAME_SIZE], next[MARK_NAME_SIZE];
    struct gray_scope_word *word = NULL;
    struct dirent *entry;
    int fd = -1, error;
    DIR *dir;

    error = runtime_marks_word(folder, scope, &word, ret_problem);
    if (error == 0) {
        error = runtime_marks_open(folder, &fd, ret_problem);
    }
    if (error != 0) {
        return error;
    }
    if (all && word->table != 0) {
        __atomic_store_n(&word->next, 0, __ATOMIC_RELEASE);
        __atomic_store_n(&word->table, 0, __ATOMIC_RELEASE);
        tell(folder);
    }
    runtime_mark_table_name(table, scope, word->table);
    runtime_mark_table_name(next, scope, word->next);
    snprintf(stem, sizeof(stem), "%016llx.", (unsigned long long)scope);
    dir = fdopendir(fd);
    if (dir == NULL) {
        error = errno;
        close(fd);
        return runtime_problem_set(ret_problem, error, "io", "marks/: %s.",
                                   strerror(error));
    }
    /* Number 0 is nobody's, so nothing is kept by that name. */
    while ((entry = readdir(dir)) != NULL) {
        if (strncmp(entry->d_name, stem, strlen(stem)) == 0 &&
            strcmp(entry->d_name, table) != 0 &&
            strcmp(entry->d_name, next) != 0) {
            unlinkat(fd, entry->d_name, 0);
        }
    }
    closedir(dir);
    return 0;
}
