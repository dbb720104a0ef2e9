/* SPDX-License-Identifier: Apache-2.0
 * test_mark_grow.c - a table that grows, step by step, and under a publisher.
 *
 * Why: at any moment of a growth a key has one true place, whoever asks with
 * whichever tables he has mapped; he who has not mapped enough knows nothing
 * rather than something wrong.
 * Read next: runtime/mark_grow.c; test_marks_killed.c (the same under kills).
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/runtime/folder.h"
#include "tests/runtime/tables.h"

struct world {
    struct tables tables;
    uint32_t slot_size;
};

static int world_of(void **state, uint32_t slot_size)
{
    struct world *world = calloc(1, sizeof(*world));
    struct gray_mark_table table;

    tables_begin(&world->tables);
    world->slot_size = slot_size;
    tables_make(&world->tables, 1, slot_size, 1000, &table);
    gray_mark_table_close(&table);
    assert_int_equal(
        gray_marks_name(&world->tables.folder, TABLE_SCOPE, 1, NULL), 0);
    *state = world;
    return 0;
}

static int world_narrow(void **state)
{
    return world_of(state, 16);
}

static int world_wide(void **state)
{
    return world_of(state, 32);
}

static int world_end(void **state)
{
    struct world *world = *state;

    tables_end(&world->tables);
    free(world);
    return 0;
}

static uint64_t generation(const struct world *world)
{
    return world->tables.folder.control->marks_generation;
}

/* Numbers below `count` are IN, each of its own variant. */
static void fill(const struct gray_marks *marks, uint64_t first, uint64_t end)
{
    uint64_t found, i;

    for (i = first; i < end; i++) {
        assert_int_equal(
            gray_mark_take(marks, key_number(&marks->table, i),
                           gray_mark_value(marks->table.file, GRAY_SLOT_IN, 1,
                                           (uint32_t)(i % 251), 101,
                                           TABLE_BEGAN),
                           &found),
            0);
    }
}

static void is_in(const struct gray_marks *marks, uint64_t number)
{
    uint64_t value = 0;

    assert_int_equal(
        gray_mark_find(marks, key_number(&marks->table, number), &value),
        GRAY_FIND_FOUND);
    assert_int_equal(gray_slot_state(value), GRAY_SLOT_IN);
    assert_int_equal(gray_slot_variant(value), number % 251);
}

static enum gray_mark_found asked(const struct gray_marks *marks,
                                  uint64_t number)
{
    uint64_t value;

    return gray_mark_find(marks, key_number(&marks->table, number), &value);
}

static int count_one(void *context, struct gray_mark_key key, uint64_t value)
{
    uint8_t *seen = context;
    uint64_t number = 0;

    assert_int_equal(gray_mark_key_number(key, &number), 0);
    assert_true(number < 4000);
    assert_int_equal(gray_slot_variant(value), number % 251);
    seen[number]++;
    return 0;
}

static void each_once(const struct gray_marks *marks, uint64_t count)
{
    uint8_t seen[4000] = { 0 };
    uint64_t i;

    assert_int_equal(gray_marks_each(marks, count_one, seen), 0);
    for (i = 0; i < 4000; i++) {
        assert_int_equal(seen[i], i < count ? 1 : 0);
    }
}

/* Announce, a bucket at a time, and between any two: all who are in are in,
 * all who are not are absent, somebody new is taken, and is seen once. */
static void at_every_moment_a_mark_has_one_place(void **state)
{
    struct world *world = *state;
    struct gray_folder *folder = &world->tables.folder;
    struct gray_marks marks, before;
    uint64_t at = 0, next = 700, i, buckets;
    int done = 0;

    tables_map(&world->tables, true, &marks);
    fill(&marks, 0, next);
    tables_unmap(&marks);
    tables_map(&world->tables, true, &before);
    i = generation(world);
    assert_int_equal(
        gray_marks_announce(folder, TABLE_SCOPE, 0, (gid_t)-1, NULL), 0);
    assert_true(generation(world) > i);
    assert_int_equal(
        gray_marks_announce(folder, TABLE_SCOPE, 0, (gid_t)-1, NULL), 1);
    tables_map(&world->tables, true, &marks);
    assert_true(gray_mark_table_room(&marks.next) >
                2 * gray_mark_table_room(&marks.table) - 500);
    buckets = marks.table.buckets;
    while (done == 0) {
        done = gray_marks_copy(&marks, &at, 7, NULL);
        for (i = 0; i < next; i += 13) {
            is_in(&marks, i);
            assert_int_not_equal(asked(&before, i), GRAY_FIND_ABSENT);
        }
        assert_int_equal(asked(&marks, 3999), GRAY_FIND_ABSENT);
        fill(&marks, next, next + 1);
        next++;
        each_once(&marks, next);
    }
    assert_int_equal(done, 1);
    assert_int_equal(at, buckets);
    for (i = 0; i < next; i++) {
        is_in(&marks, i);
        assert_int_equal(asked(&before, i), GRAY_FIND_UNKNOWN);
    }
    assert_int_equal(asked(&before, 3999), GRAY_FIND_UNKNOWN);
    assert_int_equal(gray_marks_switch(folder, TABLE_SCOPE, NULL), 0);
    assert_int_equal(gray_marks_switch(folder, TABLE_SCOPE, NULL), -ENOENT);
    /* Who has not heard of it yet goes on with both. */
    fill(&marks, next, next + 1);
    tables_unmap(&marks);
    tables_map(&world->tables, true, &marks);
    assert_null(marks.next.file);
    assert_int_equal(marks.table.file->header.generation, 2);
    each_once(&marks, next + 1);
    assert_int_equal(gray_mark_table_used(&marks.table), next + 1);
    assert_int_equal(gray_marks_drop(folder, TABLE_SCOPE, false, NULL), 0);
    assert_false(file_exists(world->tables.path, "marks/1234567890abcdef.1"));
    assert_true(file_exists(world->tables.path, "marks/1234567890abcdef.2"));
    tables_unmap(&marks);
    tables_unmap(&before);
}

/* A writer who knows the old table alone, and one who waits in a slot of it. */
static void who_has_not_mapped_the_next_writes_nothing_wrong(void **state)
{
    struct world *world = *state;
    struct gray_marks marks, before;
    struct gray_mark_key key;
    uint64_t at = 0, in, out, found, *slot;

    tables_map(&world->tables, true, &before);
    fill(&before, 0, 100);
    key = key_number(&before.table, 500);
    in = value_of(&before.table, GRAY_SLOT_IN);
    out = value_of(&before.table, GRAY_SLOT_OUT);
    /* Claimed, and then its writer stopped. */
    assert_int_equal(
        runtime_mark_claim(&before.table, key, UINT64_MAX, &slot), MARK_HERE);
    assert_int_equal(gray_marks_announce(&world->tables.folder, TABLE_SCOPE, 0,
                                         (gid_t)-1, NULL),
                     0);
    tables_map(&world->tables, true, &marks);
    assert_int_equal(gray_marks_copy(&marks, &at, UINT64_MAX, NULL), 1);
    assert_int_equal(gray_mark_take(&before, key, in, &found), -EAGAIN);
    assert_int_equal(
        gray_mark_take(&before, key_number(&before.table, 501), in, &found),
        -EAGAIN);
    assert_int_equal(gray_mark_move(&before, key_number(&before.table, 5), in,
                                    in | GRAY_SLOT_DURABLE, GRAY_BY_WRITER,
                                    &found),
                     -EAGAIN);
    assert_int_equal(gray_mark_take(&marks, key, out, &found), 0);
    /* He goes on: his compare-and-swap is too late, whatever it was for. */
    found = 0;
    assert_false(
        mark_swap(mark_slot_value(&before.table, slot), &found, in));
    assert_int_equal(found, GRAY_SLOT_MOVED);
    assert_int_equal(gray_mark_take(&marks, key, in, &found), 1);
    assert_int_equal(found, out);
    tables_unmap(&marks);
    tables_unmap(&before);
}

/* The copier died after it had taken a mark along and before it said so; the
 * mark became void; and another copier began again. */
static void what_a_dead_copier_took_along_is_not_believed(void **state)
{
    struct world *world = *state;
    struct gray_marks marks;
    struct gray_mark_key key;
    uint64_t at = 0, in, late, found, *slot;

    tables_map(&world->tables, true, &marks);
    fill(&marks, 0, 100);
    tables_unmap(&marks);
    assert_int_equal(gray_marks_announce(&world->tables.folder, TABLE_SCOPE, 0,
                                         (gid_t)-1, NULL),
                     0);
    tables_map(&world->tables, true, &marks);
    key = key_number(&marks.table, 42);
    assert_int_equal(gray_mark_find(&marks, key, &in), GRAY_FIND_FOUND);
    assert_int_equal(runtime_mark_claim(&marks.next, key, UINT64_MAX, &slot),
                     MARK_HERE);
    *mark_slot_value(&marks.next, slot) = in;
    late = (in & ~UINT64_C(7)) | GRAY_SLOT_VOID;
    assert_int_equal(
        gray_mark_move(&marks, key, in, late, GRAY_BY_WRITER, &found), 0);
    assert_int_equal(gray_mark_find(&marks, key, &found), GRAY_FIND_ABSENT);
    assert_int_equal(gray_marks_copy(&marks, &at, UINT64_MAX, NULL), 1);
    assert_int_equal(gray_mark_find(&marks, key, &found), GRAY_FIND_ABSENT);
    assert_int_equal(gray_mark_find(&marks, key_number(&marks.table, 41),
                                    &found),
                     GRAY_FIND_FOUND);
    tables_unmap(&marks);
}

static void what_is_void_is_left_behind_and_the_rest_is_as_it_was(void **state)
{
    struct world *world = *state;
    struct gray_marks marks;
    uint64_t at = 0, found, before[8];
    int i;

    tables_map(&world->tables, true, &marks);
    for (i = 1; i <= GRAY_SLOT_VOID; i++) {
        struct gray_mark_key key = key_number(&marks.table, (uint64_t)i);
        uint64_t *slot;

        before[i] = gray_mark_value(marks.table.file, i, 3, 9, 120,
                                    TABLE_BEGAN + 7 * 60000) |
                    (i < GRAY_SLOT_HOLD ? GRAY_SLOT_DURABLE : 0) |
                    (i >= GRAY_SLOT_IN && i <= GRAY_SLOT_REVOKED
                         ? GRAY_SLOT_SETTLED
                         : 0);
        assert_int_equal(
            runtime_mark_claim(&marks.table, key, UINT64_MAX, &slot),
            MARK_HERE);
        *mark_slot_value(&marks.table, slot) = before[i];
    }
    tables_unmap(&marks);
    assert_int_equal(gray_marks_announce(&world->tables.folder, TABLE_SCOPE, 0,
                                         (gid_t)-1, NULL),
                     0);
    tables_map(&world->tables, true, &marks);
    assert_int_equal(gray_marks_copy(&marks, &at, UINT64_MAX, NULL), 1);
    for (i = 1; i < GRAY_SLOT_VOID; i++) {
        assert_int_equal(
            gray_mark_find(&marks, key_number(&marks.table, (uint64_t)i),
                           &found),
            GRAY_FIND_FOUND);
        assert_int_equal(found, before[i]);
    }
    assert_int_equal(asked(&marks, GRAY_SLOT_VOID), GRAY_FIND_ABSENT);
    assert_int_equal(gray_mark_table_used(&marks.next), GRAY_SLOT_VOID - 1);
    tables_unmap(&marks);
}

/* Full, and growing already: nobody new is turned away. */
static void a_full_table_that_grows_takes_who_is_new(void **state)
{
    struct world *world = *state;
    struct gray_marks marks;
    uint64_t i, in, found, at = 0;
    int error = 0;

    tables_map(&world->tables, true, &marks);
    in = value_of(&marks.table, GRAY_SLOT_IN);
    assert_false(gray_marks_crowded(&marks));
    for (i = 0; error == 0; i++) {
        error =
            gray_mark_take(&marks, key_number(&marks.table, i), in, &found);
    }
    assert_int_equal(error, -ENOSPC);
    assert_true(gray_marks_crowded(&marks));
    tables_unmap(&marks);
    assert_int_equal(gray_marks_announce(&world->tables.folder, TABLE_SCOPE, 0,
                                         (gid_t)-1, NULL),
                     0);
    tables_map(&world->tables, true, &marks);
    assert_false(gray_marks_crowded(&marks));
    assert_false(gray_marks_full(&marks));
    assert_int_equal(
        gray_mark_take(&marks, key_number(&marks.table, i), in, &found), 0);
    assert_int_equal(asked(&marks, i), GRAY_FIND_FOUND);
    assert_int_equal(gray_mark_table_used(&marks.next), 1);
    /* And not more than there is room for when all is moved. */
    for (error = 0; error == 0; i++) {
        bool full = gray_marks_full(&marks);

        error =
            gray_mark_take(&marks, key_number(&marks.table, i), in, &found);
        assert_int_equal(full, error == -ENOSPC);
    }
    assert_int_equal(gray_marks_copy(&marks, &at, UINT64_MAX, NULL), 1);
    assert_true(gray_mark_table_used(&marks.next) <=
                gray_mark_table_room(&marks.next) / 100 *
                    GRAY_MARKS_FULL_PERCENT);
    assert_int_equal(gray_mark_table_used(&marks.table), 0);
    assert_int_equal(gray_mark_table_used(&marks.next), i - 1);
    tables_unmap(&marks);
}

static void names_of_others_are_not_touched(void **state)
{
    struct world *world = *state;
    struct gray_folder *folder = &world->tables.folder;
    int fd = world->tables.marks_fd;

    assert_int_equal(close(openat(fd, "1234567890abcdef.9", O_CREAT | O_RDWR,
                                  0600)),
                     0);
    assert_int_equal(close(openat(fd, "1234567890abcdff.1", O_CREAT | O_RDWR,
                                  0600)),
                     0);
    assert_int_equal(gray_marks_drop(folder, TABLE_SCOPE, false, NULL), 0);
    assert_true(file_exists(world->tables.path, "marks/1234567890abcdef.1"));
    assert_false(file_exists(world->tables.path, "marks/1234567890abcdef.9"));
    assert_int_equal(gray_marks_name(folder, TABLE_SCOPE, 9, NULL), -EEXIST);
    assert_int_equal(gray_marks_drop(folder, TABLE_SCOPE, true, NULL), 0);
    assert_false(file_exists(world->tables.path, "marks/1234567890abcdef.1"));
    assert_true(file_exists(world->tables.path, "marks/1234567890abcdff.1"));
    assert_true(file_exists(world->tables.path, "marks/drained"));
    assert_true(file_exists(world->tables.path, "marks/wake"));
    assert_int_equal(
        gray_marks_announce(folder, TABLE_SCOPE, 0, (gid_t)-1, NULL),
        -ENOENT);
    assert_int_equal(gray_marks_drop(folder, 77, false, NULL), -ENOENT);
}

/* ---- without grayd ----------------------------------------------------------- */

static int ensure(const struct world *world)
{
    return gray_marks_ensure((void *)(uintptr_t)&world->tables.folder,
                             TABLE_SCOPE, "cart-2", world->slot_size, 7,
                             TABLE_BEGAN, (gid_t)-1, NULL);
}

static void a_publisher_makes_a_table_once_and_grows_it(void **state)
{
    struct world *world = *state;
    struct gray_marks marks;
    uint64_t instance;

    assert_int_equal(
        gray_marks_drop(&world->tables.folder, TABLE_SCOPE, true, NULL), 0);
    assert_int_equal(ensure(world), 0);
    assert_int_equal(ensure(world), 1);
    tables_map(&world->tables, true, &marks);
    instance = marks.table.file->instance;
    assert_int_not_equal(instance, 0);
    assert_int_equal(marks.table.file->began, TABLE_BEGAN);
    assert_int_equal(marks.table.file->header.revision, 7);
    assert_string_equal(marks.table.file->name, "cart-2");
    assert_true(gray_mark_table_room(&marks.table) / 100 *
                    GRAY_MARKS_FULL_PERCENT >=
                GRAY_MARKS_FIRST);
    fill(&marks, 0, 60000);
    assert_true(gray_marks_crowded(&marks));
    tables_unmap(&marks);
    assert_int_equal(ensure(world), 1);
    tables_map(&world->tables, true, &marks);
    assert_null(marks.next.file);
    assert_int_equal(marks.table.file->header.generation, 2);
    assert_int_equal(marks.table.file->instance, instance);
    assert_int_equal(gray_mark_table_used(&marks.table), 60000);
    is_in(&marks, 59999);
    assert_false(file_exists(world->tables.path, "marks/1234567890abcdef.1"));
    tables_unmap(&marks);
}

/* What a publisher left that died while it grew, and in the middle of a
 * switch. */
static void the_next_publisher_ends_what_a_dead_one_began(void **state)
{
    struct world *world = *state;
    struct gray_folder *folder = &world->tables.folder;
    uint32_t word = gray_word_number(folder, TABLE_SCOPE);
    struct gray_marks marks;
    uint64_t at = 0;

    tables_map(&world->tables, true, &marks);
    fill(&marks, 0, 500);
    tables_unmap(&marks);
    assert_int_equal(
        gray_marks_announce(folder, TABLE_SCOPE, 0, (gid_t)-1, NULL), 0);
    tables_map(&world->tables, true, &marks);
    assert_int_equal(gray_marks_copy(&marks, &at, 50, NULL), 0);
    tables_unmap(&marks);
    assert_int_equal(ensure(world), 1);
    folder->control->words[word].next = folder->control->words[word].table;
    tables_map(&world->tables, true, &marks);
    assert_null(marks.next.file);
    each_once(&marks, 500);
    tables_unmap(&marks);
    assert_int_equal(ensure(world), 1);
    assert_int_equal(folder->control->words[word].next, 0);
    assert_int_equal(folder->control->words[word].table, 2);
}

static void beside_a_living_grayd_nothing_is_grown(void **state)
{
    struct world *world = *state;
    struct gray_marks marks;
    int fd;

    tables_map(&world->tables, true, &marks);
    fill(&marks, 0, 950);
    assert_true(gray_marks_crowded(&marks));
    tables_unmap(&marks);
    fd = openat(world->tables.folder.dirfd, "grayd.lock",
                O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
    assert_int_equal(ensure(world), 1);
    tables_map(&world->tables, true, &marks);
    assert_int_equal(marks.table.file->header.generation, 1);
    tables_unmap(&marks);
    close(fd);
    assert_int_equal(ensure(world), 1);
    tables_map(&world->tables, true, &marks);
    assert_int_equal(marks.table.file->header.generation, 2);
    tables_unmap(&marks);
}

#define NARROW(name) \
    cmocka_unit_test_setup_teardown(name, world_narrow, world_end)
#define WIDE(name) cmocka_unit_test_setup_teardown(name, world_wide, world_end)
#define BOTH(name) NARROW(name), WIDE(name)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(at_every_moment_a_mark_has_one_place),
        BOTH(who_has_not_mapped_the_next_writes_nothing_wrong),
        BOTH(what_a_dead_copier_took_along_is_not_believed),
        BOTH(what_is_void_is_left_behind_and_the_rest_is_as_it_was),
        BOTH(a_full_table_that_grows_takes_who_is_new),
        NARROW(names_of_others_are_not_touched),
        BOTH(a_publisher_makes_a_table_once_and_grows_it),
        BOTH(the_next_publisher_ends_what_a_dead_one_began),
        NARROW(beside_a_living_grayd_nothing_is_grown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
