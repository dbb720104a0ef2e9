/* SPDX-License-Identifier: Apache-2.0
 * mark_ensure.c - tables of a folder that is published without grayd.
 *
 * Why: a policy with marks must not come into force before its marks have
 * somewhere to be, and without grayd nobody else makes or grows a table.
 * Whatever a publisher or grayd left that died in a growth is ended here.
 * Read next: mark_grow.c, publish.c (who calls).
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "runtime/mark_slot.h"

#define STEP_BUCKETS 65536u
#define ACKNOWLEDGE_MS 1000u
#define STUCK 100u /* steps without a bucket done */

static void wait_for_readers(const struct gray_folder *folder)
{
    struct timespec pause = {.tv_nsec = 5000000};
    uint32_t waited;

    for (waited = 0; waited < ACKNOWLEDGE_MS && gray_marks_behind(folder) != 0;
         waited += 5) {
        nanosleep(&pause, NULL);
    }
}

static int copy_whole(const struct gray_marks *marks,
                      struct gray_problem *ret_problem)
{
    uint64_t at = 0, before = 0;
    uint32_t stuck = 0;
    int done;

    do {
        done = gray_marks_copy(marks, &at, STEP_BUCKETS, ret_problem);
        stuck = at == before ? stuck + 1 : 0;
        before = at;
    } while (done == 0 && stuck < STUCK);
    return done < 0    ? done
           : done == 0 ? runtime_problem_set(ret_problem, EAGAIN, "busy",
                                             "A mark changes all the time.")
                       : 0;
}

static int map_both(int marks_fd, const struct gray_scope_word *word,
                    bool writable, struct gray_marks *ret_marks,
                    struct gray_problem *ret_problem)
{
    uint32_t table, next;
    int error;

    runtime_word_tables(word, &table, &next);
    error = gray_mark_table_open(&ret_marks->table, marks_fd, word->scope,
                                 table, geteuid(), writable, ret_problem);
    if (error == 0 && next != 0) {
        error = gray_mark_table_open(&ret_marks->next, marks_fd, word->scope,
                                     next, geteuid(), writable, ret_problem);
    }
    return error;
}

static void unmap_both(struct gray_marks *marks)
{
    gray_mark_table_close(&marks->table);
    gray_mark_table_close(&marks->next);
}

/* Announced already; from the first slot, for who began may be dead. */
static int grow_whole(struct gray_folder *folder, int marks_fd,
                      const struct gray_scope_word *word,
                      struct gray_problem *ret_problem)
{
    struct gray_marks marks = {{NULL}, {NULL}};
    int error;

    wait_for_readers(folder);
    error = map_both(marks_fd, word, true, &marks, ret_problem);
    if (error == 0) {
        error = copy_whole(&marks, ret_problem);
    }
    unmap_both(&marks);
    if (error == 0) {
        error = gray_marks_switch(folder, word->scope, ret_problem);
    }
    if (error == 0) {
        error = gray_marks_drop(folder, word->scope, false, ret_problem);
    }
    return error;
}

/* A grayd that lives holds its lock, and grows tables itself; while we hold
 * it (shared, for a moment) none begins to. */
static bool is_grayds(const struct gray_folder *folder, int *ret_lock)
{
    *ret_lock = openat(folder->dirfd, "grayd.lock",
                       O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    return *ret_lock >= 0 && flock(*ret_lock, LOCK_SH | LOCK_NB) != 0;
}

static int ensure_room(struct gray_folder *folder, int marks_fd,
                       const struct gray_scope_word *word, gid_t group,
                       struct gray_problem *ret_problem)
{
    struct gray_marks marks = {{NULL}, {NULL}};
    CLEANUP_FD int lock = -1;
    bool grows, crowded;
    int error;

    if (is_grayds(folder, &lock)) {
        return 0;
    }
    error = map_both(marks_fd, word, false, &marks, ret_problem);
    grows = marks.next.file != NULL;
    crowded = gray_marks_crowded(&marks);
    unmap_both(&marks);
    if (error != 0 || (!grows && !crowded)) {
        return error;
    }
    if (!grows) {
        error = gray_marks_announce(folder, word->scope, 0, group, ret_problem);
    }
    return error < 0 ? error : grow_whole(folder, marks_fd, word, ret_problem);
}

int gray_marks_ensure(struct gray_folder *folder, uint64_t scope,
                      const char *name, uint32_t slot_size, uint64_t revision,
                      int64_t now_ms, gid_t group,
                      struct gray_problem *ret_problem)
{
    struct gray_mark_table_options options = {
        .scope = scope,
        .revision = revision,
        .began = now_ms,
        .name = name,
        .number = 1,
        .slot_size = slot_size,
        .state = GRAY_TABLE_READY,
        .marks = GRAY_MARKS_FIRST,
        .group = group,
    };
    struct gray_scope_word *word = NULL;
    CLEANUP_FD int marks_fd = -1;
    int error = runtime_marks_open(folder, &marks_fd, ret_problem);

    if (error == 0 && gray_word_number(folder, scope) == GRAY_NONE) {
        error = runtime_problem_set(ret_problem, ENOSPC, "words-full",
                                    "There is no scope word left.");
    }
    if (error == 0) {
        error = runtime_marks_word(folder, scope, &word, ret_problem);
    }
    if (error != 0) {
        return error;
    }
    if (word->table != 0) {
        error = ensure_room(folder, marks_fd, word, group, ret_problem);
        return error == 0 ? 1 : error;
    }
    error = gray_marks_drop(folder, scope, false, ret_problem);
    if (error == 0) {
        error = runtime_file_random(&options.instance, sizeof(options.instance),
                                    ret_problem);
    }
    if (error == 0) {
        error = runtime_file_random(options.sip_key, sizeof(options.sip_key),
                                    ret_problem);
    }
    if (error == 0) {
        error = gray_mark_table_make(marks_fd, &options, ret_problem);
    }
    return error == 0
               ? runtime_marks_name(folder, scope, options.number, ret_problem)
               : error;
}
