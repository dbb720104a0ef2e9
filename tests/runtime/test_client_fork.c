/* SPDX-License-Identifier: Apache-2.0
 * test_client_fork.c - a handle in a child is the child's.
 *
 * Why: servers fork after they have opened what they need.  Two processes that
 * share one file in readers/ would push into one ring; a child that keeps its
 * parent's lock makes a dead parent look alive, and a freeze waits for it.
 * Each child here does its part and says by its exit code whether it was so.
 * Read next: runtime/client_fork.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
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

#include "runtime/client.h"
#include "tests/runtime/folder.h"

struct world {
    char path[64];
    struct gray_client *client;
};

static int world_make(void **state)
{
    struct world *world = calloc(1, sizeof(*world));

    folder_new(world->path);
    shop_publish(world->path, "30", 1);
    assert_int_equal(gray_client_open(&world->client, world->path, NULL), 0);
    *state = world;
    return 0;
}

static int world_end(void **state)
{
    struct world *world = *state;

    gray_client_close(world->client);
    folder_remove(world->path);
    free(world);
    return 0;
}

#define MUST(holds)                                                            \
    do {                                                                       \
        if (!(holds)) {                                                        \
            fprintf(stderr, "child: line %d: %s\n", __LINE__, #holds);         \
            _exit(1);                                                          \
        }                                                                      \
    } while (0)

static void child_was_good(pid_t pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static bool is_in(struct gray_client *client, const char *unit)
{
    struct gray_client_request request = {.size = sizeof(request),
                                          .unit = unit};
    struct gray_client_verdict verdict = {.size = sizeof(verdict)};

    return gray_client_release(client, "cart-2", &request, &verdict) == 0 &&
           verdict.in;
}

static struct gray_totals totals_of(const char *path)
{
    struct gray_totals totals;

    assert_int_equal(gray_totals_read(path, &totals, NULL), 0);
    return totals;
}

static uint32_t readers_alive(const char *path, pid_t ret_pids[8])
{
    struct gray_totals totals = totals_of(path);
    uint32_t alive = 0;
    size_t i;

    for (i = 0; i < totals.reader_count; i++) {
        if (totals.readers[i].alive && alive < 8) {
            ret_pids[alive++] = totals.readers[i].pid;
        }
    }
    gray_totals_free(&totals);
    return alive;
}

static void the_first_call_registers_the_child(void **state)
{
    struct world *world = *state;
    struct gray_client *client = world->client;
    bool parent_says = is_in(client, "1007");
    int fd = gray_client_fd(client);
    uint64_t before =
        client->runtime->slot.file->reasons[GRAY_REASON_SHARE] +
        client->runtime->slot.file->reasons[GRAY_REASON_OUT_OF_SHARE];
    pid_t pids[8], pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        MUST(client->runtime->slot.file == NULL); /* nobody, so far */
        MUST(readers_alive(world->path, pids) == 1);
        MUST(is_in(client, "1007") == parent_says);
        MUST(readers_alive(world->path, pids) == 2);
        MUST(pids[0] == getpid() || pids[1] == getpid());
        MUST(gray_client_fd(client) == fd);
        MUST(client->runtime->slot.file->pid == getpid());
        gray_client_close(client);
        _exit(0);
    }
    child_was_good(pid);
    assert_int_equal(readers_alive(world->path, pids), 1);
    assert_int_equal(pids[0], getpid());
    assert_true(file_exists(world->path, "readers/library-0.wake"));
    assert_int_equal(
        client->runtime->slot.file->reasons[GRAY_REASON_SHARE] +
            client->runtime->slot.file->reasons[GRAY_REASON_OUT_OF_SHARE],
        before); /* the child counted for itself */
}

/* The parent dies; a child that never used the handle lives on. */
static void a_dead_parent_is_not_kept_alive_by_its_child(void **state)
{
    struct world *world = *state;
    pid_t pids[8], parent;
    int hold[2], tell[2];
    char byte;

    assert_int_equal(pipe(hold), 0);
    assert_int_equal(pipe(tell), 0);
    gray_client_close(world->client);
    world->client = NULL;
    parent = fork();
    assert_true(parent >= 0);
    if (parent == 0) {
        pid_t child;

        MUST(gray_client_open(&world->client, world->path, NULL) == 0);
        child = fork();
        MUST(child >= 0);
        if (child == 0) {
            close(hold[1]);
            MUST(write(tell[1], "f", 1) == 1); /* it is there */
            MUST(read(hold[0], &byte, 1) == 0); /* until the test ends it */
            _exit(0);
        }
        _exit(0); /* without a close: killed, so to say */
    }
    close(hold[0]);
    close(tell[1]);
    child_was_good(parent);
    assert_int_equal(read(tell[0], &byte, 1), 1);
    assert_int_equal(readers_alive(world->path, pids), 0);
    close(hold[1]); /* the child ends */
    assert_int_equal(read(tell[0], &byte, 1), 0);
    close(tell[0]);
}

/* The parent's bell is its own: a child that comes to it first leaves it
 * ringing, and has one of its own from its first call on. */
static void wakes_go_to_whom_they_are_meant_for(void **state)
{
    struct world *world = *state;
    struct gray_client *client = world->client;
    struct pollfd wait = {.fd = gray_client_fd(client), .events = POLLIN};
    int go[2], ready[2];
    char byte = 'g';
    pid_t pid;

    while (gray_client_poll(client) != 0) {
    }
    assert_int_equal(pipe(go), 0);
    assert_int_equal(pipe(ready), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct pollfd own = {.fd = gray_client_fd(client), .events = POLLIN};

        MUST(read(go[0], &byte, 1) == 1);
        MUST(gray_client_poll(client) == 1); /* it is somebody now */
        MUST(gray_client_revision(client) == 2);
        MUST(gray_client_poll(client) == 0);
        MUST(write(ready[1], &byte, 1) == 1);
        MUST(poll(&own, 1, 20000) == 1);
        MUST(gray_client_poll(client) == 1);
        MUST(gray_client_revision(client) == 3);
        _exit(0);
    }
    shop_publish(world->path, "60", 2);
    assert_int_equal(write(go[1], &byte, 1), 1);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(poll(&wait, 1, 0), 1); /* as the publisher left it */
    assert_int_equal(gray_client_poll(client), 1);
    assert_int_equal(gray_client_revision(client), 2);
    shop_publish(world->path, "70", 3);
    child_was_good(pid);
    assert_int_equal(gray_client_poll(client), 1);
    assert_int_equal(gray_client_revision(client), 3);
    close(go[0]);
    close(go[1]);
    close(ready[0]);
    close(ready[1]);
}

/* Threads ask and reload while the process forks: whatever one of them held
 * is free in the child. */
struct busy {
    struct gray_client *client;
    uint32_t stop;
};

static void *ask_on(void *context)
{
    struct busy *busy = context;
    char unit[16];
    uint32_t i = 0;

    while (!__atomic_load_n(&busy->stop, __ATOMIC_ACQUIRE)) {
        snprintf(unit, sizeof(unit), "u%u", i++ % 1000);
        is_in(busy->client, unit);
        gray_client_poll(busy->client);
    }
    return NULL;
}

static void whatever_threads_held_is_free_in_the_child(void **state)
{
    struct world *world = *state;
    struct busy busy = {.client = world->client};
    pthread_t threads[3];
    uint32_t i;

    for (i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, ask_on, &busy), 0);
    }
    for (i = 0; i < 60; i++) {
        pid_t pid;

        shop_publish(world->path, i % 2 == 0 ? "40" : "50", 10 + i);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            alarm(60); /* who is locked out hangs */
            MUST(gray_client_revision(world->client) == 10 + i);
            is_in(world->client, "1007");
            gray_client_close(world->client);
            _exit(0);
        }
        child_was_good(pid);
    }
    __atomic_store_n(&busy.stop, 1, __ATOMIC_RELEASE);
    for (i = 0; i < 3; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
}

/* Two threads of a child ask at once: one registers it, both are answered by
 * what it is registered for. */
static void *ask_first(void *context)
{
    struct gray_client *client = context;

    is_in(client, "1007");
    return (void *)(uintptr_t)(client->orphan == CLIENT_OURS &&
                               client->runtime->slot.file != NULL);
}

static void a_child_with_threads_registers_once(void **state)
{
    struct world *world = *state;
    uint32_t i;

    for (i = 0; i < 20; i++) {
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0) {
            pthread_t threads[4];
            pid_t pids[8];
            void *good;
            uint32_t j;

            for (j = 0; j < 4; j++) {
                MUST(pthread_create(&threads[j], NULL, ask_first,
                                    world->client) == 0);
            }
            for (j = 0; j < 4; j++) {
                MUST(pthread_join(threads[j], &good) == 0 && good != NULL);
            }
            MUST(readers_alive(world->path, pids) == 2);
            _exit(0);
        }
        child_was_good(pid);
    }
}

/* Draws of parent and child are not the same ones. */
static void chance_is_not_inherited(void **state)
{
    struct world *world = *state;
    uint64_t ours, theirs = 0;
    int tell[2];
    pid_t pid;

    assert_int_equal(pipe(tell), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        theirs = world->client->seed;
        MUST(write(tell[1], &theirs, sizeof(theirs)) == sizeof(theirs));
        _exit(0);
    }
    ours = world->client->seed;
    assert_int_equal(read(tell[0], &theirs, sizeof(theirs)), sizeof(theirs));
    assert_true(ours != theirs);
    child_was_good(pid);
    close(tell[0]);
    close(tell[1]);
}

/* No folder any more: the child is told so by poll(), answers by what its
 * parent knew, and comes in when there is one again. */
static void a_child_without_a_folder_goes_on_uncounted(void **state)
{
    struct world *world = *state;
    struct gray_client *client = world->client;
    bool parent_says = is_in(client, "1007");
    char aside[80];
    pid_t pid;

    snprintf(aside, sizeof(aside), "%s.aside", world->path);
    assert_int_equal(rename(world->path, aside), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        MUST(is_in(client, "1007") == parent_says);
        MUST(gray_client_poll(client) == -ENOENT);
        MUST(client->runtime->slot.file == NULL);
        MUST(rename(aside, world->path) == 0);
        MUST(gray_client_poll(client) == 1);
        MUST(client->runtime->slot.file != NULL);
        _exit(0);
    }
    child_was_good(pid);
}

/* A child closes a handle that it never used. */
static void closing_in_the_child_takes_nothing_from_the_parent(void **state)
{
    struct world *world = *state;
    pid_t pids[8], pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        gray_client_close(world->client);
        _exit(0);
    }
    child_was_good(pid);
    assert_int_equal(readers_alive(world->path, pids), 1);
    assert_true(file_exists(world->path, "readers/library-0.wake"));
    shop_publish(world->path, "60", 2);
    assert_int_equal(gray_client_revision(world->client), 2);
}

static int say_one(void *input, void *result)
{
    (void)input;
    *(int *)result = 1;
    return 0;
}

static void experiments_begin_anew_in_the_child(void **state)
{
    struct world *world = *state;
    struct gray_client_trial e = {.size = sizeof(e),
                                  .name = "one",
                                  .share = 1000000,
                                  .deadline_ms = 600000,
                                  .control = say_one,
                                  .candidate = say_one,
                                  .result_size = sizeof(int)};
    struct gray_client_counts counts = {.size = sizeof(counts)};
    int result;
    pid_t pid;

    assert_int_equal(gray_client_experiment(world->client, &e, &result), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        alarm(60);
        MUST(gray_client_experiment_read(world->client, "one", &counts) ==
             -ENOENT);
        MUST(gray_client_experiment(world->client, &e, &result) == 0);
        do {
            MUST(gray_client_experiment_read(world->client, "one", &counts) ==
                 0);
            sched_yield();
        } while (counts.same == 0); /* the alarm bounds it */
        gray_client_close(world->client);
        _exit(0);
    }
    child_was_good(pid);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, world_make, world_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(the_first_call_registers_the_child),
        CASE(a_dead_parent_is_not_kept_alive_by_its_child),
        CASE(wakes_go_to_whom_they_are_meant_for),
        CASE(whatever_threads_held_is_free_in_the_child),
        CASE(a_child_with_threads_registers_once),
        CASE(chance_is_not_inherited),
        CASE(a_child_without_a_folder_goes_on_uncounted),
        CASE(closing_in_the_child_takes_nothing_from_the_parent),
        CASE(experiments_begin_anew_in_the_child),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
