/* SPDX-License-Identifier: Apache-2.0
 * test_mark_map.c - which mark tables a reader has, and whether it may write.
 *
 * Why: a reader that answers by another table than its neighbour flips; one
 * that keeps every table it ever saw eats the host; and who may not write must
 * not be able to.
 * Read next: runtime/mark_map.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/totals.h"
#include "tests/runtime/folder.h"
#include "tests/runtime/tables.h"

struct world {
    char path[64];
    struct gray_folder folder;
    struct gray_runtime *runtime;
    uint64_t scope;
};

static void publish(const struct world *world, const char *stickiness,
                    const char *share, uint64_t revision)
{
    char text[2048];
    size_t length;

    shop_text(text, sizeof(text), share);
    length = strlen(text);
    snprintf(text + length, sizeof(text) - length, "stickiness: %s\n",
             stickiness);
    assert_int_equal(documents_publish(world->path, text, revision, NULL), 0);
}

static int world_make(void **state)
{
    struct world *world = calloc(1, sizeof(*world));

    folder_new(world->path);
    world->scope = gray_hash_scope("cart-2", 6);
    publish(world, "monotonic", "0", 1);
    assert_int_equal(gray_folder_open(&world->folder, world->path, true, NULL),
                     0);
    assert_int_equal(gray_runtime_open(&world->runtime, world->path,
                                       GRAY_READER_NGINX, true, NULL),
                     0);
    *state = world;
    return 0;
}

static int world_end(void **state)
{
    struct world *world = *state;

    gray_runtime_close(world->runtime);
    gray_folder_close(&world->folder);
    folder_remove(world->path);
    free(world);
    return 0;
}

static const struct gray_marks *marks_of(const struct gray_runtime *runtime)
{
    const struct gray_view *view = gray_runtime_loaded(runtime);

    assert_non_null(view);
    return view->marks;
}

static struct gray_problem reload(struct gray_runtime *runtime)
{
    struct gray_problem problem = { NULL, "", 0 };
    struct gray_runtime_set *set;

    gray_runtime_load(runtime, &set, &problem);
    gray_runtime_swap(runtime, set);
    return problem;
}

/* How many times the process has files of marks/ mapped, deleted ones too. */
static int mappings(const struct world *world)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512], name[160];
    int count = 0;

    snprintf(name, sizeof(name), "%s/marks/%016llx.", world->path,
             (unsigned long long)world->scope);
    while (fgets(line, sizeof(line), maps) != NULL) {
        count += strstr(line, name) != NULL;
    }
    fclose(maps);
    return count;
}

static uint64_t acknowledged(const struct world *world)
{
    return world->runtime->slot.file->marks_generation;
}

static void a_worker_may_write_and_an_application_may_not(void **state)
{
    static const enum gray_reader_kind kinds[] = { GRAY_READER_LIBRARY,
                                                   GRAY_READER_CLI };
    struct world *world = *state;
    const struct gray_marks *marks = marks_of(world->runtime);
    struct gray_mark_key key;
    uint64_t in, found;
    size_t i;

    assert_non_null(marks);
    assert_non_null(marks[0].table.file);
    assert_true(marks[0].table.writable);
    assert_null(marks[0].next.file);
    key = key_text(&marks[0].table, "alice");
    in = value_of(&marks[0].table, GRAY_SLOT_IN);
    assert_int_equal(gray_mark_take(&marks[0], key, in, &found), 0);
    for (i = 0; i < 2; i++) {
        struct gray_runtime *other;
        const struct gray_marks *theirs;

        assert_int_equal(
            gray_runtime_open(&other, world->path, kinds[i],
                              kinds[i] == GRAY_READER_LIBRARY, NULL),
            0);
        theirs = marks_of(other);
        assert_false(theirs[0].table.writable);
        assert_int_equal(gray_mark_find(&theirs[0], key, &found),
                         GRAY_FIND_FOUND);
        assert_int_equal(found, in);
        assert_int_equal(gray_mark_take(&theirs[0],
                                        key_text(&marks[0].table, "bob"), in,
                                        &found),
                         -EPERM);
        assert_non_null(other->drained);
        gray_runtime_close(other);
    }
}

static void a_release_without_marks_has_no_table(void **state)
{
    struct world *world = *state;

    publish(world, "none", "0", 2);
    assert_null(reload(world->runtime).code);
    assert_null(marks_of(world->runtime));
    assert_int_equal(mappings(world), 0);
    /* The table stays: whoever is sticky again finds his marks. */
    publish(world, "monotonic", "0", 3);
    assert_null(reload(world->runtime).code);
    assert_int_equal(marks_of(world->runtime)[0].table.file->header.generation,
                     1);
    assert_int_equal(marks_of(world->runtime)[0].table.file->header.revision,
                     1);
}

static void sets_share_a_table_and_the_last_one_unmaps_it(void **state)
{
    struct world *world = *state;
    struct gray_runtime_set *set, *old;
    const void *live = marks_of(world->runtime)[0].table.live;

    assert_int_equal(mappings(world), 1);
    publish(world, "monotonic", "50", 2);
    assert_int_equal(gray_runtime_load(world->runtime, &set, NULL), 0);
    old = runtime_exchange(world->runtime, set);
    assert_ptr_equal(marks_of(world->runtime)[0].table.live, live);
    assert_int_equal(mappings(world), 1);
    gray_runtime_set_free(old);
    assert_int_equal(mappings(world), 1);
    publish(world, "none", "50", 3);
    assert_int_equal(gray_runtime_load(world->runtime, &set, NULL), 0);
    old = runtime_exchange(world->runtime, set);
    assert_int_equal(mappings(world), 1); /* of those who still look */
    gray_runtime_set_free(old);
    assert_int_equal(mappings(world), 0);
}

static void a_growth_is_seen_acknowledged_and_left_behind(void **state)
{
    struct world *world = *state;
    struct gray_folder *folder = &world->folder;
    uint64_t generation = folder->control->marks_generation, at = 0;
    struct pollfd wait = { .fd = gray_runtime_wake_fd(world->runtime),
                           .events = POLLIN };
    const struct gray_marks *marks;

    assert_int_equal(acknowledged(world), generation);
    assert_int_equal(gray_marks_behind(folder), 0);
    assert_int_equal(
        gray_marks_announce(folder, world->scope, 0, (gid_t)-1, NULL), 0);
    assert_true(gray_runtime_stale(world->runtime));
    assert_int_equal(poll(&wait, 1, 10000), 1);
    assert_int_equal(gray_marks_behind(folder), 1);
    assert_null(reload(world->runtime).code);
    assert_false(gray_runtime_stale(world->runtime));
    assert_int_equal(gray_marks_behind(folder), 0);
    assert_int_equal(acknowledged(world), generation + 1);
    marks = marks_of(world->runtime);
    assert_int_equal(marks[0].table.file->header.generation, 1);
    assert_int_equal(marks[0].next.file->header.generation, 2);
    assert_true(marks[0].next.writable);
    assert_int_equal(mappings(world), 2);
    assert_int_equal(gray_marks_copy(&marks[0], &at, UINT64_MAX, NULL), 1);
    assert_int_equal(gray_marks_switch(folder, world->scope, NULL), 0);
    assert_int_equal(gray_marks_behind(folder), 1);
    assert_int_equal(gray_marks_drop(folder, world->scope, false, NULL), 0);
    assert_null(reload(world->runtime).code);
    assert_int_equal(gray_marks_behind(folder), 0);
    marks = marks_of(world->runtime);
    assert_int_equal(marks[0].table.file->header.generation, 2);
    assert_null(marks[0].next.file);
    assert_int_equal(mappings(world), 1);
}

/* A number may come again; what counts is the file. */
static void a_table_made_anew_under_its_number_is_another(void **state)
{
    struct world *world = *state;
    uint64_t instance = marks_of(world->runtime)[0].table.file->instance;

    assert_int_equal(gray_marks_drop(&world->folder, world->scope, true, NULL),
                     0);
    publish(world, "monotonic", "0", 2);
    assert_null(reload(world->runtime).code);
    assert_int_equal(marks_of(world->runtime)[0].table.file->header.generation,
                     1);
    assert_int_not_equal(marks_of(world->runtime)[0].table.file->instance,
                         instance);
}

static enum gray_mark_found asked(const struct world *world)
{
    const struct gray_marks *marks = marks_of(world->runtime);
    struct gray_mark_key key = { { 77, 1 } };
    uint64_t value;

    assert_non_null(marks);
    return gray_mark_find(&marks[0], key, &value);
}

static void a_table_that_is_missing_or_refused_is_unknown(void **state)
{
    struct world *world = *state;
    struct gray_problem problem;
    char path[160];

    assert_int_equal(asked(world), GRAY_FIND_ABSENT);
    snprintf(path, sizeof(path), "%s/marks/%016llx.1", world->path,
             (unsigned long long)world->scope);
    assert_int_equal(chmod(path, 0666), 0);
    gray_runtime_close(world->runtime);
    assert_int_equal(gray_runtime_open(&world->runtime, world->path,
                                       GRAY_READER_NGINX, true, &problem),
                     0);
    assert_string_equal(problem.code, "untrusted-file");
    assert_int_equal(view_admits(world->runtime, "tester"), 1);
    assert_int_equal(asked(world), GRAY_FIND_UNKNOWN);
    assert_string_equal(gray_runtime_refusal(world->runtime)->code,
                        "untrusted-file");
    assert_int_equal(unlink(path), 0);
    publish(world, "monotonic", "0", 2);
    assert_null(reload(world->runtime).code);
    assert_int_equal(asked(world), GRAY_FIND_UNKNOWN);
    assert_null(gray_runtime_refusal(world->runtime)->code);
}

static void a_publisher_without_room_for_a_table_publishes_nothing(void **state)
{
    struct world *world = *state;
    char path[128], marks[128];
    int status;
    pid_t pid;

    assert_int_equal(gray_marks_drop(&world->folder, world->scope, true, NULL),
                     0);
    snprintf(path, sizeof(path), "%s/marks", world->path);
    snprintf(marks, sizeof(marks), "%s/marks.away", world->path);
    /* An object of that name, and not one of ours. */
    pid = fork();
    if (pid == 0) {
        struct gray_problem problem;
        char text[2048];
        bool good;

        good = rename(path, marks) == 0 && symlink("/nowhere", path) == 0;
        shop_text(text, sizeof(text), "100");
        good = good &&
               documents_publish(world->path, text, 2, &problem) != 0 &&
               unlink(path) == 0 && rename(marks, path) == 0;
        _exit(good ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(world->folder.control->policy_generation, 1);
}

static void the_folder_of_marks_has_its_other_files(void **state)
{
    struct world *world = *state;
    struct stat status;
    char path[128];

    snprintf(path, sizeof(path), "%s/marks/drained", world->path);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0644);
    assert_int_equal(status.st_size, sizeof(struct gray_drained));
    assert_true((uint64_t)status.st_blocks * 512 >= (uint64_t)status.st_size);
    assert_non_null(world->runtime->drained);
    assert_int_equal(world->runtime->drained->state, GRAY_WRITER_NONE);
    snprintf(path, sizeof(path), "%s/marks/wake", world->path);
    assert_int_equal(stat(path, &status), 0);
    assert_true(S_ISFIFO(status.st_mode));
    assert_int_equal(status.st_mode & 07777, 0666);
    /* What is there and sound stays as it is, for it is mapped. */
    snprintf(path, sizeof(path), "%s/marks/drained", world->path);
    assert_int_equal(stat(path, &status), 0);
    publish(world, "monotonic", "5", 2);
    {
        ino_t before = status.st_ino;

        assert_int_equal(stat(path, &status), 0);
        assert_int_equal(status.st_ino, before);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, world_make, world_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_worker_may_write_and_an_application_may_not),
        CASE(a_release_without_marks_has_no_table),
        CASE(sets_share_a_table_and_the_last_one_unmaps_it),
        CASE(a_growth_is_seen_acknowledged_and_left_behind),
        CASE(a_table_made_anew_under_its_number_is_another),
        CASE(a_table_that_is_missing_or_refused_is_unknown),
        CASE(a_publisher_without_room_for_a_table_publishes_nothing),
        CASE(the_folder_of_marks_has_its_other_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
