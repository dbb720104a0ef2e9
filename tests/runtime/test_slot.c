/* SPDX-License-Identifier: Apache-2.0
 * test_slot.c - a reader's file outlives its reader, and only its own kind
 * and user take it over.
 *
 * Read next: runtime/slot.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/runtime/folder.h"

struct world {
    char path[64], readers[80];
};

static int world_make(void **state)
{
    struct gray_publish nothing = { .group = (gid_t)-1 };
    struct world *world = calloc(1, sizeof(*world));

    folder_new(world->path);
    snprintf(world->readers, sizeof(world->readers), "%s/readers",
             world->path);
    assert_int_equal(gray_publish(world->path, &nothing, NULL, NULL), 0);
    *state = world;
    return 0;
}

static int world_end(void **state)
{
    struct world *world = *state;

    folder_remove(world->path);
    free(world);
    return 0;
}

static struct gray_runtime *reader(const struct world *world,
                                   enum gray_reader_kind kind)
{
    struct gray_problem problem = { NULL, "", 0 };
    struct gray_runtime *runtime;

    assert_int_equal(gray_runtime_open(&runtime, world->path, kind, true,
                                       &problem),
                     0);
    assert_null(problem.code);
    return runtime;
}

/* Counters go on after a clean end; requests under way do not. */
static void a_dead_ones_counters_go_on(void **state)
{
    struct world *world = *state;
    struct gray_runtime *first = reader(world, GRAY_READER_NGINX), *second;

    gray_counters_event(first, GRAY_EVENT_BAD_COOKIE);
    first->slot.file->series[0].series = 5;
    first->slot.file->series[0].started = 41;
    first->slot.file->series[0].in_flight = 3;
    gray_runtime_close(first);
    second = reader(world, GRAY_READER_NGINX);
    assert_string_equal(second->slot.id, "nginx-0");
    assert_int_equal(second->slot.file->events[GRAY_EVENT_BAD_COOKIE], 1);
    assert_int_equal(second->slot.file->series[0].started, 41);
    assert_int_equal(second->slot.file->series[0].in_flight, 0);
    assert_int_equal(second->slot.file->pid, getpid());
    gray_runtime_close(second);
}

/* The kernel drops the lock of a killed reader; status says it is dead. */
static void a_killed_reader_is_dead_at_once(void **state)
{
    struct world *world = *state;
    struct gray_totals totals;
    struct gray_published published;
    struct gray_publish nothing = { .group = (gid_t)-1 };
    struct gray_runtime *next;
    int ready[2], status;
    char byte = 0;
    pid_t child;

    assert_int_equal(pipe(ready), 0);
    child = fork();
    if (child == 0) {
        struct gray_runtime *runtime;

        if (gray_runtime_open(&runtime, world->path, GRAY_READER_NGINX, true,
                              NULL) != 0 ||
            write(ready[1], &byte, 1) != 1) {
            _exit(1);
        }
        for (;;) {
            pause();
        }
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(gray_totals_read(world->path, &totals, NULL), 0);
    assert_true(totals.readers[0].alive);
    assert_int_equal(totals.readers[0].pid, child);
    gray_totals_free(&totals);
    assert_int_equal(gray_publish(world->path, &nothing, &published, NULL), 0);
    assert_int_equal(published.readers, 1);
    assert_int_equal(published.woken, 1);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(gray_totals_read(world->path, &totals, NULL), 0);
    assert_int_equal(totals.reader_count, 1);
    assert_false(totals.readers[0].alive);
    gray_totals_free(&totals);
    /* Its FIFO is still there: waking it neither blocks nor kills us. */
    assert_true(file_exists(world->readers, "nginx-0.wake"));
    assert_int_equal(gray_publish(world->path, &nothing, &published, NULL), 0);
    assert_int_equal(published.readers, 0);
    assert_int_equal(published.woken, 0);
    next = reader(world, GRAY_READER_NGINX);
    assert_string_equal(next->slot.id, "nginx-0");
    gray_runtime_close(next);
    close(ready[0]);
    close(ready[1]);
}

static void the_living_and_other_kinds_keep_theirs(void **state)
{
    struct world *world = *state;
    struct gray_runtime *a = reader(world, GRAY_READER_NGINX);
    struct gray_runtime *b = reader(world, GRAY_READER_NGINX);
    struct gray_runtime *c = reader(world, GRAY_READER_LIBRARY);

    assert_string_equal(a->slot.id, "nginx-0");
    assert_string_equal(b->slot.id, "nginx-1");
    assert_string_equal(c->slot.id, "library-0");
    gray_runtime_close(a);
    gray_runtime_close(b);
    gray_runtime_close(c);
}

/* Damaged, short, of another layout, a link, a hole: replaced by a new one, or
 * left where it cannot be ours. */
static void an_unsound_file_is_replaced(void **state)
{
    struct world *world = *state;
    struct gray_runtime *runtime = reader(world, GRAY_READER_NGINX);
    char full[128];
    size_t size, i;
    uint8_t *good;

    gray_counters_event(runtime, GRAY_EVENT_BAD_COOKIE);
    gray_runtime_close(runtime);
    good = file_bytes(world->readers, "nginx-0", &size);
    snprintf(full, sizeof(full), "%s/nginx-0", world->readers);
    for (i = 0; i < 5; i++) {
        struct reader_file *file = (void *)good;

        switch (i) {
        case 0:
            file_replace(world->readers, "nginx-0", good, size - 1);
            break;
        case 1:
            file->header.layout = GRAY_LAYOUT + 1;
            file_replace(world->readers, "nginx-0", good, size);
            file->header.layout = GRAY_LAYOUT;
            break;
        case 2:
            file->kind = GRAY_READER_LIBRARY;
            file_replace(world->readers, "nginx-0", good, size);
            file->kind = GRAY_READER_NGINX;
            break;
        case 3:
            file->series[9].series = 1;
            memset(file->series[9].lane, 'x', sizeof(file->series[9].lane));
            file_replace(world->readers, "nginx-0", good, size);
            break;
        default:
            file_replace(world->readers, "nginx-0", "", 0);
            break;
        }
        runtime = reader(world, GRAY_READER_NGINX);
        assert_string_equal(runtime->slot.id, "nginx-0");
        assert_int_equal(runtime->slot.file->events[GRAY_EVENT_BAD_COOKIE], 0);
        assert_int_equal(runtime->slot.file->series[9].series, 0);
        gray_runtime_close(runtime);
    }
    /* A link or a folder under the name is not followed: the next number. */
    assert_int_equal(unlink(full), 0);
    assert_int_equal(symlink("/etc/passwd", full), 0);
    runtime = reader(world, GRAY_READER_NGINX);
    assert_string_equal(runtime->slot.id, "nginx-1");
    gray_runtime_close(runtime);
    assert_int_equal(unlink(full), 0);
    free(good);
}

/* A file of another user is neither written nor believed to be ours. */
static void a_strangers_file_is_left(void **state)
{
    struct world *world = *state;
    struct gray_runtime *runtime = reader(world, GRAY_READER_NGINX);
    char full[128];

    gray_runtime_close(runtime);
    snprintf(full, sizeof(full), "%s/nginx-0", world->readers);
    assert_int_equal(chown(full, 65534, 65534), 0);
    runtime = reader(world, GRAY_READER_NGINX);
    assert_string_equal(runtime->slot.id, "nginx-1");
    gray_runtime_close(runtime);
}

/* A user without rights over the folder reads, counts and is woken too. */
static void an_unprivileged_reader_works(void **state)
{
    struct world *world = *state;
    struct gray_publish nothing = { .group = (gid_t)-1 };
    struct gray_published published;
    int ready[2], go[2], status;
    char byte = 0;
    pid_t child;

    assert_int_equal(pipe(ready) | pipe(go), 0);
    child = fork();
    if (child == 0) {
        struct gray_runtime *runtime;

        if (setgid(65534) != 0 || setuid(65534) != 0 ||
            gray_runtime_open(&runtime, world->path, GRAY_READER_NGINX, true,
                              NULL) != 0 ||
            gray_runtime_wake_fd(runtime) < 0 ||
            write(ready[1], &byte, 1) != 1 || read(go[0], &byte, 1) != 1 ||
            read(gray_runtime_wake_fd(runtime), &byte, 1) != 1) {
            _exit(1);
        }
        _exit(runtime->set->keys.count == 0 ? 0 : 2); /* keys are not its */
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(gray_publish(world->path, &nothing, &published, NULL), 0);
    assert_int_equal(published.woken, 1);
    assert_int_equal(write(go[1], &byte, 1), 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    close(ready[0]);
    close(ready[1]);
    close(go[0]);
    close(go[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define WITH_WORLD(name) \
    cmocka_unit_test_setup_teardown(name, world_make, world_end)
        WITH_WORLD(a_dead_ones_counters_go_on),
        WITH_WORLD(a_killed_reader_is_dead_at_once),
        WITH_WORLD(the_living_and_other_kinds_keep_theirs),
        WITH_WORLD(an_unsound_file_is_replaced),
        WITH_WORLD(a_strangers_file_is_left),
        WITH_WORLD(an_unprivileged_reader_works),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
