/* SPDX-License-Identifier: Apache-2.0
 * test_client_turn.c - an application turns at the instant, by its own next
 * question; and what it died of while it asked is known afterwards.
 *
 * Why: nobody wakes an application at the instant, so the question itself must
 * look, and no answer may be of the policy before once the instant is over.
 * Clocks are real here: the library is the one that programs load.
 * Read next: runtime/libgray.c, runtime/turn.c, runtime/trial.c.
 */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/gray.h"
#include "tests/runtime/folder.h"

#define AHEAD_MS 400
#define LOOKS_MAX 100000000u /* bounded, whatever the machine does */

static int64_t wall_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Revision that answers; whatever is asked. */
static uint64_t asked(struct gray_client *client, const char *target)
{
    struct gray_client_pair header = { "Cookie", "uid=somebody" };
    struct gray_client_request request = { .size = sizeof(request),
                                           .target = target,
                                           .headers = &header,
                                           .header_count = 1 };
    struct gray_client_answer answer = { .size = sizeof(answer) };

    assert_int_equal(gray_client_ask(client, &request, &answer), 0);
    return answer.revision;
}

static struct gray_reader_status only_reader(const char *path)
{
    struct gray_reader_status status;
    struct gray_totals totals;

    assert_int_equal(gray_totals_read(path, &totals, NULL), 0);
    assert_int_equal(totals.reader_count, 1);
    status = totals.readers[0];
    gray_totals_free(&totals);
    return status;
}

static void no_answer_is_of_the_policy_before(void **state)
{
    struct gray_client *client;
    int64_t instant;
    uint32_t looks, old = 0;
    char path[64];

    (void)state;
    folder_new(path);
    shop_publish(path, "0", 1);
    assert_int_equal(gray_client_open(&client, path, NULL), 0);
    instant = wall_ms() + AHEAD_MS;
    shop_publish_at(path, "100", 2, instant, 0);
    for (looks = 0; looks < LOOKS_MAX; looks++) {
        int64_t before = wall_ms();
        uint64_t revision = asked(client, "/cart");
        int64_t after = wall_ms();

        assert_true(revision == 1 || after >= instant);
        assert_true(revision == 2 || before < instant);
        old += revision == 1;
        if (old == 1) {
            assert_int_equal(only_reader(path).next_generation, 2);
        }
        if (revision == 2) {
            break;
        }
    }
    assert_true(old > 0);
    assert_int_equal(only_reader(path).policy_generation, 2);
    assert_int_equal(only_reader(path).next_generation, 0);
    gray_client_close(client);
    folder_remove(path);
}

/* With a thread that polls, as a server does: it acknowledges without being
 * asked. */
static void a_poll_turns_as_well(void **state)
{
    struct gray_client *client;
    int64_t instant;
    uint32_t looks;
    int turned = 0;
    char path[64];

    (void)state;
    folder_new(path);
    shop_publish(path, "0", 1);
    assert_int_equal(gray_client_open(&client, path, NULL), 0);
    instant = wall_ms() + AHEAD_MS;
    shop_publish_at(path, "100", 2, instant, 0);
    assert_int_equal(gray_client_poll(client), 1); /* lies ready */
    for (looks = 0; looks < LOOKS_MAX && turned == 0; looks++) {
        turned = gray_client_poll(client);
    }
    assert_int_equal(turned, 1);
    assert_true(wall_ms() >= instant);
    assert_int_equal(only_reader(path).policy_generation, 2);
    gray_client_close(client);
    folder_remove(path);
}

struct crowd {
    struct gray_client *client;
    int64_t instant;
    bool stop;
    bool bad; /* an answer of the new one before the instant */
};

static void *asks(void *context)
{
    struct crowd *crowd = context;

    while (!__atomic_load_n(&crowd->stop, __ATOMIC_RELAXED)) {
        if (asked(crowd->client, "/cart") == 2 &&
            wall_ms() < crowd->instant) {
            crowd->bad = true;
        }
    }
    return NULL;
}

static void threads_turn_together(void **state)
{
    struct crowd crowd = { 0 };
    pthread_t threads[4];
    char path[64];
    uint32_t i;

    (void)state;
    folder_new(path);
    shop_publish(path, "0", 1);
    assert_int_equal(gray_client_open(&crowd.client, path, NULL), 0);
    crowd.instant = wall_ms() + AHEAD_MS;
    shop_publish_at(path, "100", 2, crowd.instant, 0);
    for (i = 0; i < 4; i++) {
        pthread_create(&threads[i], NULL, asks, &crowd);
    }
    for (i = 0; i < LOOKS_MAX && asked(crowd.client, "/cart") == 1; i++) {
    }
    __atomic_store_n(&crowd.stop, true, __ATOMIC_RELAXED);
    for (i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_false(crowd.bad);
    /* Who had turned has turned for all. */
    assert_int_equal(asked(crowd.client, "/cart"), 2);
    gray_client_close(crowd.client);
    folder_remove(path);
}

/* A child that ends in the middle of a question, or between two. */
static void child_ends(const char *path, bool asking)
{
    const struct rlimit none = { 0, 0 };
    pid_t child = fork();
    int status;

    if (child == 0) {
        struct gray_client *client;

        setrlimit(RLIMIT_CORE, &none);
        signal(SIGSEGV, SIG_DFL);
        if (gray_client_open(&client, path, NULL) == 0) {
            asked(client, asking ? (const char *)64 : "/cart");
        }
        kill(getpid(), SIGSEGV);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
}

static void who_dies_while_it_asks_died_of_it(void **state)
{
    struct gray_crashes crashes;
    struct gray_folder folder;
    struct gray_client *client;
    char path[64];

    (void)state;
    folder_new(path);
    shop_publish(path, "0", 1);
    shop_publish(path, "100", 2);
    child_ends(path, false); /* for reasons of its own */
    child_ends(path, false);
    assert_int_equal(gray_client_open(&client, path, NULL), 0);
    assert_int_equal(asked(client, "/cart"), 2);
    gray_client_close(client);
    child_ends(path, true);
    child_ends(path, true);
    assert_int_equal(gray_folder_open(&folder, path, false, NULL), 0);
    gray_folder_crashes(&folder, 2, &crashes);
    assert_int_equal(crashes.count, 2);
    assert_true(crashes.blocked);
    gray_folder_close(&folder);
    assert_int_equal(gray_client_open(&client, path, NULL), 0);
    assert_int_equal(asked(client, "/cart"), 1);
    gray_client_close(client);
    folder_remove(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_answer_is_of_the_policy_before),
        cmocka_unit_test(a_poll_turns_as_well),
        cmocka_unit_test(threads_turn_together),
        cmocka_unit_test(who_dies_while_it_asks_died_of_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
