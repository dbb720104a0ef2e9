/* SPDX-License-Identifier: Apache-2.0
 * test_words.c - a release keeps its word for as long as the folder lives.
 *
 * Read next: runtime/words.c.
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
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/runtime/folder.h"

struct world {
    char path[64];
    struct gray_folder folder;
};

static int world_make(void **state)
{
    struct gray_publish nothing = { .group = (gid_t)-1 };
    struct world *world = calloc(1, sizeof(*world));

    folder_new(world->path);
    assert_int_equal(gray_publish(world->path, &nothing, NULL, NULL), 0);
    assert_int_equal(gray_folder_open(&world->folder, world->path, true, NULL),
                     0);
    *state = world;
    return 0;
}

static int world_end(void **state)
{
    struct world *world = *state;

    gray_folder_close(&world->folder);
    folder_remove(world->path);
    free(world);
    return 0;
}

static void numbers_stay(void **state)
{
    struct world *world = *state;
    uint64_t scope;

    for (scope = 100; scope < 200; scope++) {
        assert_int_equal(gray_word_number(&world->folder, scope), scope - 100);
    }
    gray_folder_close(&world->folder);
    assert_int_equal(gray_folder_open(&world->folder, world->path, true, NULL),
                     0);
    for (scope = 199; scope >= 100; scope--) {
        assert_int_equal(gray_word_number(&world->folder, scope), scope - 100);
    }
    assert_int_equal(world->folder.control->word_count, 100);
    assert_int_equal(gray_word_number(&world->folder, 0), GRAY_NONE);
}

/* At the limit, and one beyond it. */
static void there_are_so_many_and_no_more(void **state)
{
    struct world *world = *state;
    uint64_t scope;

    for (scope = 1; scope <= GRAY_WORDS_MAX; scope++) {
        assert_int_equal(gray_word_number(&world->folder, scope), scope - 1);
    }
    assert_int_equal(gray_word_number(&world->folder, scope), GRAY_NONE);
    assert_int_equal(gray_word_number(&world->folder, 7), 6);
}

/* Two processes that ask for the same releases at once get the same words. */
static void two_at_once_agree(void **state)
{
    struct world *world = *state;
    struct gray_folder other;
    uint64_t scope;
    int status, gate[2];
    char byte = 0;
    pid_t child;

    assert_int_equal(pipe(gate), 0);
    child = fork();
    if (child == 0) {
        if (gray_folder_open(&other, world->path, true, NULL) != 0 ||
            read(gate[0], &byte, 1) != 1) {
            _exit(1);
        }
        for (scope = 1; scope <= 2000; scope++) {
            gray_word_number(&other, scope);
        }
        _exit(0);
    }
    assert_int_equal(write(gate[1], &byte, 1), 1);
    for (scope = 2000; scope >= 1; scope--) {
        gray_word_number(&world->folder, scope);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(world->folder.control->word_count, 2000);
    for (scope = 1; scope <= 2000; scope++) {
        uint32_t number = gray_word_number(&world->folder, scope);

        assert_true(number < 2000);
        assert_int_equal(world->folder.control->words[number].scope, scope);
    }
    close(gate[0]);
    close(gate[1]);
}

/* Setting a word tells what it was, raises the epochs and wakes readers, who
 * acknowledge. */
static void a_word_wakes_and_is_acknowledged(void **state)
{
    struct world *world = *state;
    struct gray_runtime *runtime;
    struct gray_totals totals;
    struct pollfd wait;
    uint32_t before = 99;

    gray_word_number(&world->folder, 77);
    assert_int_equal(gray_runtime_open(&runtime, world->path,
                                       GRAY_READER_NGINX, true, NULL),
                     0);
    assert_int_equal(gray_word_set(&world->folder, 77,
                                   GRAY_WORD_KILLED | GRAY_WORD_HOST, &before,
                                   NULL),
                     0);
    assert_int_equal(before, GRAY_WORD_OPEN);
    wait.fd = gray_runtime_wake_fd(runtime);
    wait.events = POLLIN;
    assert_int_equal(poll(&wait, 1, 10000), 1);
    gray_runtime_wake_drain(runtime);
    assert_int_equal(poll(&wait, 1, 0), 0);
    assert_int_equal(gray_totals_read(world->path, &totals, NULL), 0);
    assert_int_equal(totals.reader_count, 1);
    assert_int_equal(totals.readers[0].word_epoch, 1);
    gray_totals_free(&totals);
    assert_int_equal(gray_word_set(&world->folder, 77, GRAY_WORD_OPEN, &before,
                                   NULL),
                     0);
    assert_int_equal(before, GRAY_WORD_KILLED | GRAY_WORD_HOST);
    assert_int_equal(world->folder.control->words[0].epoch, 2);
    gray_runtime_close(runtime);
}

static void bad_words_are_refused(void **state)
{
    struct world *world = *state;
    struct gray_problem problem = { NULL, "", 0 };
    struct gray_folder looking;
    uint32_t before = 99;

    gray_word_number(&world->folder, 77);
    assert_int_equal(gray_word_set(&world->folder, 78, 0, &before, &problem),
                     -ENOENT);
    assert_int_equal(gray_word_set(&world->folder, 0, 0, &before, &problem),
                     -ENOENT);
    assert_int_equal(gray_word_set(&world->folder, 77, 8, &before, &problem),
                     -EINVAL);
    assert_int_equal(gray_folder_open(&looking, world->path, false, NULL), 0);
    assert_int_equal(gray_word_set(&looking, 77, 1, &before, &problem), -EPERM);
    assert_int_equal(gray_bypass_set(&looking, true, &problem), -EPERM);
    assert_int_equal(before, 99);
    assert_int_equal(looking.control->word_epoch, 0);
    gray_folder_close(&looking);
}

/* Who looked at a word replaces that word, or learns what it is by now. */
static void a_word_is_replaced_where_it_was_seen(void **state)
{
    struct world *world = *state;
    struct gray_problem problem = { NULL, "", 0 };
    uint32_t found = 99;

    gray_word_number(&world->folder, 77);
    assert_int_equal(gray_word_replace(&world->folder, 77, GRAY_WORD_OPEN,
                                       GRAY_WORD_KILLED, &found, &problem),
                     0);
    assert_int_equal(found, 99);
    assert_int_equal(world->folder.control->words[0].word, GRAY_WORD_KILLED);
    assert_int_equal(world->folder.control->word_epoch, 1);
    assert_int_equal(gray_word_replace(&world->folder, 77, GRAY_WORD_OPEN,
                                       GRAY_WORD_BASELINE, &found, &problem),
                     1);
    assert_int_equal(found, GRAY_WORD_KILLED);
    assert_int_equal(world->folder.control->words[0].word, GRAY_WORD_KILLED);
    assert_int_equal(world->folder.control->word_epoch, 1);
    assert_int_equal(gray_word_replace(&world->folder, 78, 0, 0, &found,
                                       &problem),
                     -ENOENT);
    assert_int_equal(gray_word_replace(&world->folder, 77, 0, 8, &found,
                                       &problem),
                     -EINVAL);
}

/* Bypass: no view at once, without a reload. */
static void bypass_is_seen_at_once(void **state)
{
    struct world *world = *state;
    enum gray_reason reason = GRAY_REASON_NONE;
    struct gray_runtime *runtime;

    assert_int_equal(gray_runtime_open(&runtime, world->path, GRAY_READER_CLI,
                                       false, NULL),
                     0);
    assert_null(gray_runtime_view(runtime, &reason));
    assert_int_equal(reason, GRAY_REASON_NO_SNAPSHOT);
    assert_int_equal(gray_bypass_set(&world->folder, true, NULL), 0);
    assert_null(gray_runtime_view(runtime, &reason));
    assert_int_equal(reason, GRAY_REASON_BYPASS);
    assert_int_equal(gray_bypass_set(&world->folder, false, NULL), 0);
    assert_null(gray_runtime_view(runtime, &reason));
    assert_int_equal(reason, GRAY_REASON_NO_SNAPSHOT);
    gray_runtime_close(runtime);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define WITH_WORLD(name) \
    cmocka_unit_test_setup_teardown(name, world_make, world_end)
        WITH_WORLD(numbers_stay),
        WITH_WORLD(there_are_so_many_and_no_more),
        WITH_WORLD(two_at_once_agree),
        WITH_WORLD(a_word_wakes_and_is_acknowledged),
        WITH_WORLD(bad_words_are_refused),
        WITH_WORLD(a_word_is_replaced_where_it_was_seen),
        WITH_WORLD(bypass_is_seen_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
