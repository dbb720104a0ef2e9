/* SPDX-License-Identifier: Apache-2.0
 * test_mark_table.c - a mark table as a file: full, not ready, not ours.
 *
 * Why: what cannot be believed, or is not there, must read UNKNOWN and nothing
 * else; and a full one refuses who is new and nobody else.
 * Read next: runtime/mark_table.c; test_marks.c.
 */
#include <errno.h>
#include <grp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/runtime/folder.h"
#include "tests/runtime/tables.h"

struct world {
    struct tables tables;
    struct gray_marks narrow, wide;
    struct gray_marks *forms[2];
};

static int world_make(void **state)
{
    struct world *world = calloc(1, sizeof(*world));

    tables_begin(&world->tables);
    tables_make(&world->tables, 1, 16, 1000, &world->narrow.table);
    tables_make(&world->tables, 2, 32, 1000, &world->wide.table);
    world->forms[0] = &world->narrow;
    world->forms[1] = &world->wide;
    *state = world;
    return 0;
}

static int world_end(void **state)
{
    struct world *world = *state;

    tables_unmap(&world->narrow);
    tables_unmap(&world->wide);
    tables_end(&world->tables);
    free(world);
    return 0;
}

/* ---- tables that are full, not ready, not ours ------------------------------------- */

static void a_table_takes_what_it_has_room_for_and_no_more(void **state)
{
    struct world *world = *state;
    int form;

    for (form = 0; form < 2; form++) {
        struct gray_marks *marks = world->forms[form];
        uint64_t in = value_of(&marks->table, GRAY_SLOT_IN), found, i, taken;
        int error = 0;

        for (i = 0; error == 0; i++) {
            bool full = gray_marks_full(marks);

            error = gray_mark_take(marks, key_number(&marks->table, i), in,
                                   &found);
            assert_int_equal(full, error == -ENOSPC);
        }
        assert_int_equal(error, -ENOSPC);
        taken = i - 1;
        assert_true(taken >= 1000 && taken < 1200);
        assert_int_equal(gray_mark_table_used(&marks->table), taken);
        assert_true(gray_mark_table_room(&marks->table) > taken);
        for (i = 0; i < taken; i++) {
            assert_int_equal(
                gray_mark_find(marks, key_number(&marks->table, i), &found),
                GRAY_FIND_FOUND);
        }
        assert_int_equal(
            gray_mark_find(marks, key_number(&marks->table, i), &found),
            GRAY_FIND_ABSENT);
        /* Whoever has a slot still moves. */
        assert_int_equal(gray_mark_move(marks, key_number(&marks->table, 0),
                                        in, in | GRAY_SLOT_DURABLE,
                                        GRAY_BY_WRITER, &found),
                         0);
    }
}

static void a_table_that_is_not_ready_is_unknown_but_to_its_writer(void **state)
{
    struct world *world = *state;
    struct gray_marks *marks = &world->narrow, none = { 0 };
    struct gray_mark_key key = key_number(&marks->table, 3);
    uint64_t in = value_of(&marks->table, GRAY_SLOT_IN), found;
    static const uint32_t states[] = { 0, GRAY_TABLE_REBUILDING,
                                       GRAY_TABLE_BROKEN, 4, UINT32_MAX };
    size_t i;

    assert_int_equal(gray_mark_find(&none, key, &found), GRAY_FIND_UNKNOWN);
    assert_int_equal(gray_mark_take(&none, key, in, &found), -EAGAIN);
    assert_int_equal(
        gray_mark_move(&none, key, 0, in, GRAY_BY_WRITER, &found), -EAGAIN);
    for (i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        marks->table.live->state = states[i];
        assert_int_equal(gray_mark_find(marks, key, &found),
                         GRAY_FIND_UNKNOWN);
        assert_int_equal(gray_mark_take(marks, key, in, &found), -EAGAIN);
        assert_int_equal(
            gray_mark_move(marks, key, 0, in, GRAY_BY_READER, &found),
            -EAGAIN);
    }
    marks->table.live->state = GRAY_TABLE_REBUILDING;
    assert_int_equal(gray_mark_move(marks, key, 0, in | GRAY_SLOT_DURABLE,
                                    GRAY_BY_WRITER, &found),
                     0);
    assert_int_equal(
        gray_mark_table_state_set(&marks->table, GRAY_TABLE_READY), 0);
    assert_int_equal(gray_mark_find(marks, key, &found), GRAY_FIND_FOUND);
    assert_int_equal(found, in | GRAY_SLOT_DURABLE);
}

static void who_only_reads_takes_nothing(void **state)
{
    struct world *world = *state;
    struct gray_marks readers = { 0 };
    uint64_t found, in = value_of(&world->narrow.table, GRAY_SLOT_IN);
    struct gray_mark_key key = key_text(&world->narrow.table, "eve");

    assert_int_equal(gray_mark_table_open(&readers.table,
                                          world->tables.marks_fd, TABLE_SCOPE,
                                          1, geteuid(), false, NULL),
                     0);
    assert_false(readers.table.writable);
    assert_int_equal(gray_mark_take(&readers, key, in, &found), -EPERM);
    assert_int_equal(
        gray_mark_table_state_set(&readers.table, GRAY_TABLE_BROKEN), -EPERM);
    assert_int_equal(gray_mark_take(&world->narrow, key, in, &found), 0);
    assert_int_equal(gray_mark_find(&readers, key, &found), GRAY_FIND_FOUND);
    tables_unmap(&readers);
}

/* ---- each --------------------------------------------------------------------------- */

struct seen {
    uint64_t sum, count, stop_after;
};

static int see(void *context, struct gray_mark_key key, uint64_t value)
{
    struct seen *seen = context;
    uint64_t number = 0;

    assert_int_equal(gray_mark_key_number(key, &number), 0);
    assert_int_not_equal(value, 0);
    seen->sum += number;
    seen->count++;
    return seen->count == seen->stop_after ? 17 : 0;
}

static void every_mark_is_seen_once(void **state)
{
    struct world *world = *state;
    int form;

    for (form = 0; form < 2; form++) {
        struct gray_marks *marks = world->forms[form];
        struct seen seen = { 0, 0, 0 }, first = { 0, 0, 10 };
        uint64_t i, found, *slot;

        for (i = 0; i < 500; i++) {
            assert_int_equal(
                gray_mark_take(marks, key_number(&marks->table, i),
                               value_of(&marks->table, GRAY_SLOT_IN), &found),
                0);
        }
        /* A claimed key without a value is nobody's. */
        assert_int_equal(runtime_mark_claim(&marks->table,
                                            key_number(&marks->table, 999),
                                            UINT64_MAX, &slot),
                         MARK_HERE);
        assert_int_equal(gray_marks_each(marks, see, &seen), 0);
        assert_int_equal(seen.count, 500);
        assert_int_equal(seen.sum, 500 * 499 / 2);
        assert_int_equal(gray_marks_each(marks, see, &first), 17);
        assert_int_equal(first.count, 10);
    }
}

/* ---- the file --------------------------------------------------------------------------- */

static void a_table_is_whole_and_the_groups(void **state)
{
    struct world *world = *state;
    struct gray_mark_table_options again = {
        .scope = TABLE_SCOPE, .name = "cart-2", .number = 1, .slot_size = 16,
        .state = GRAY_TABLE_READY, .marks = 10, .group = (gid_t)-1,
    };
    struct gray_problem problem;
    struct stat status;
    char path[160];

    snprintf(path, sizeof(path), "%s/marks/1234567890abcdef.1",
             world->tables.path);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0664);
    assert_true((uint64_t)status.st_blocks * 512 >= (uint64_t)status.st_size);
    assert_int_equal(status.st_size, world->narrow.table.size);
    assert_int_equal(
        gray_mark_table_make(world->tables.marks_fd, &again, &problem),
        -EEXIST);
    assert_false(file_exists(world->tables.path,
                             "marks/1234567890abcdef.1.new"));
    again.number = 3;
    again.marks = GRAY_MARKS_MAX;
    assert_int_equal(
        gray_mark_table_make(world->tables.marks_fd, &again, &problem),
        -EINVAL);
    again.marks = 10;
    again.slot_size = 24;
    assert_int_equal(
        gray_mark_table_make(world->tables.marks_fd, &again, &problem),
        -EINVAL);
}

static void refused(const struct world *world, const char *code)
{
    struct gray_problem problem = { NULL, "", 0 };
    struct gray_mark_table table = { 0 };

    assert_true(gray_mark_table_open(&table, world->tables.marks_fd,
                                     TABLE_SCOPE, 1, geteuid(), false,
                                     &problem) < 0);
    assert_null(table.file);
    assert_string_equal(problem.code, code);
}

static void a_table_that_cannot_be_right_is_refused(void **state)
{
    struct world *world = *state;
    struct gray_marks_file *live = world->narrow.table.live;
    struct gray_marks_file good = *live;
    char path[160];

    live->header.magic[0] ^= 1;
    refused(world, "bad-magic");
    *live = good;
    live->header.layout++;
    refused(world, "unknown-layout");
    *live = good;
    live->header.length++;
    refused(world, "bad-length");
    *live = good;
    live->header.generation++;
    refused(world, "bad-table");
    *live = good;
    live->scope++;
    refused(world, "bad-table");
    *live = good;
    live->buckets--;
    refused(world, "bad-table");
    live->buckets = UINT64_MAX / 64 + 2;
    refused(world, "bad-table");
    *live = good;
    live->slot_size = 64;
    refused(world, "bad-table");
    *live = good;
    live->began = INT64_MIN;
    refused(world, "bad-table");
    *live = good;
    memset(live->name, 'x', sizeof(live->name));
    refused(world, "bad-table");
    *live = good;
    snprintf(path, sizeof(path), "%s/marks/1234567890abcdef.1",
             world->tables.path);
    assert_int_equal(chmod(path, 0666), 0);
    refused(world, "untrusted-file");
    assert_int_equal(chmod(path, 0664), 0);
    assert_int_equal(truncate(path, 100), 0);
    refused(world, "bad-table");
    assert_int_equal(unlink(path), 0);
    refused(world, "missing");
}

/* Opens table 9 as nobody of this group would; 1: may write, 0: may not. */
static int opens_as(const struct world *world, gid_t group)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        struct gray_mark_table table;

        if (setgroups(0, NULL) != 0 || setgid(group) != 0 ||
            setuid(65534) != 0 ||
            gray_mark_table_open(&table, world->tables.marks_fd, TABLE_SCOPE,
                                 9, 0, true, NULL) != 0) {
            _exit(2);
        }
        _exit(table.writable ? 1 : 0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void the_group_of_the_workers_writes_and_others_read(void **state)
{
    struct world *world = *state;
    struct gray_mark_table_options options = {
        .scope = TABLE_SCOPE, .name = "cart-2", .number = 9, .slot_size = 16,
        .state = GRAY_TABLE_READY, .marks = 10, .group = 4242,
    };

    if (geteuid() != 0) {
        skip(); /* only root gives files to groups, and becomes others */
    }
    assert_int_equal(
        gray_mark_table_make(world->tables.marks_fd, &options, NULL), 0);
    assert_int_equal(opens_as(world, 4242), 1);
    assert_int_equal(opens_as(world, 4243), 0);
}

/* ---- a hostile worker ------------------------------------------------------------------------ */

/* Writes keys, closed keys, values, heads and noise over both tables. */
static void scribble(const struct gray_marks *marks, uint64_t seed)
{
    uint64_t *words = (void *)marks->table.live;
    uint64_t count = marks->table.size / 8;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
        uint64_t at = gray_mix64(++seed), value = gray_mix64(++seed);

        switch (value % 8) {
        case 0:
            value = runtime_mark_closed();
            break;
        case 1:
            value = 0;
            break;
        case 2:
            value = gray_mix64(value % 500 + 1);
            break;
        case 3:
            value = UINT64_C(1) << value % 64 | value % 7;
            break;
        case 4:
            value = GRAY_TABLE_READY | UINT64_C(16) << 32;
            break;
        default:
            break;
        }
        __atomic_store_n(&words[at % count], value, __ATOMIC_RELAXED);
        __atomic_store_n(&marks->table.live->state, GRAY_TABLE_READY,
                         __ATOMIC_RELAXED);
    }
}

static int just_count(void *context, struct gray_mark_key key, uint64_t value)
{
    (void)key;
    (void)value;
    return ++*(uint64_t *)context > 1000000; /* a table has fewer slots */
}

static void nothing_that_a_hostile_worker_writes_holds_anybody_up(void **state)
{
    struct world *world = *state;
    int form, status;

    for (form = 0; form < 2; form++) {
        struct gray_marks marks = *world->forms[form];
        uint64_t i, found, seen = 0, at = 0;
        pid_t pid;

        tables_make(&world->tables, 5 + (uint32_t)form,
                    marks.table.slot_size, 2000, &marks.next);
        pid = fork();
        if (pid == 0) {
            scribble(&marks, (uint64_t)form);
        }
        assert_true(pid > 0);
        for (i = 0; i < 300000; i++) {
            struct gray_mark_key key = key_number(&marks.table, i % 500);
            uint64_t in = value_of(&marks.table, GRAY_SLOT_IN);

            gray_mark_find(&marks, key, &found);
            gray_mark_take(&marks, key, in, &found);
            gray_mark_move(&marks, key, in, in | GRAY_SLOT_DURABLE,
                           GRAY_BY_WRITER, &found);
            if (i % 1000 == 0) {
                assert_int_equal(gray_marks_each(&marks, just_count, &seen),
                                 0);
                gray_marks_copy(&marks, &at, 10, NULL);
            }
        }
        kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        gray_mark_table_close(&marks.next);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, world_make, world_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_table_takes_what_it_has_room_for_and_no_more),
        CASE(a_table_that_is_not_ready_is_unknown_but_to_its_writer),
        CASE(who_only_reads_takes_nothing),
        CASE(every_mark_is_seen_once),
        CASE(a_table_is_whole_and_the_groups),
        CASE(a_table_that_cannot_be_right_is_refused),
        CASE(the_group_of_the_workers_writes_and_others_read),
        CASE(nothing_that_a_hostile_worker_writes_holds_anybody_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
