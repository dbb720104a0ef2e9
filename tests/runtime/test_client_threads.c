/* SPDX-License-Identifier: Apache-2.0
 * test_client_threads.c - one handle, sixteen threads, a policy every 10 ms.
 *
 * Why: what threads share in a handle is exchanged under their feet, and a
 * fault there shows once in a million answers, or never on this machine.  So
 * this is run by ThreadSanitizer as well (tools/build FOLDER tsan), which sees
 * what could have happened.  Threads ask by every question there is; meanwhile
 * policies are published, words closed and opened, marks made by a grayd of
 * our own, the folder replaced by another one.
 * Read next: runtime/libgray.c, client_pool.c.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "runtime/client.h"
#include "tests/runtime/folder.h"
#include "tests/runtime/marked.h"

#define THREADS 16u
#define UNITS 40u /* of each thread, and as many that all share */
#define APART_NS 10000000

static uint32_t publications = 120; /* test_client_threads [PUBLICATIONS] */

static struct stage {
    struct gray_client *client;
    uint32_t stop, failures;
    const char *first; /* what was wrong, first; atomic */
} stage;

static void stage_begin(struct gray_client *client)
{
    memset(&stage, 0, sizeof(stage));
    stage.client = client;
}

#define EXPECT(holds)                                                          \
    do {                                                                       \
        if (!(holds)) {                                                        \
            __atomic_store_n(&stage.first, #holds, __ATOMIC_RELEASE);          \
            __atomic_fetch_add(&stage.failures, 1, __ATOMIC_RELAXED);          \
        }                                                                      \
    } while (0)

static bool over(void)
{
    return __atomic_load_n(&stage.stop, __ATOMIC_ACQUIRE) != 0;
}

/* One publication every 10 ms, whatever it costs itself. */
struct beat {
    struct timespec at;
};

static void beat_wait(struct beat *beat)
{
    if (beat->at.tv_sec == 0) {
        clock_gettime(CLOCK_MONOTONIC, &beat->at);
    }
    beat->at.tv_nsec += APART_NS;
    beat->at.tv_sec += beat->at.tv_nsec / 1000000000;
    beat->at.tv_nsec %= 1000000000;
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &beat->at, NULL);
}

/* ---- every question -------------------------------------------------------
 */

struct asker {
    uint32_t number;
    uint64_t asked;
    int8_t told[2 * UNITS]; /* 0 not yet, 1 in, -1 out */
    struct gray_client_mark rows[UNITS];
    int8_t row_told[UNITS];
};

static int sum(void *input, void *result)
{
    const uint32_t *numbers = input;

    *(uint32_t *)result = numbers[0] + numbers[1];
    return 0;
}

static int sum_of_late(void *input, void *result)
{
    const uint32_t *numbers = input;

    *(uint32_t *)result = numbers[0] + numbers[1] + (numbers[0] % 5 == 0);
    return (int)(numbers[0] % 7 == 0);
}

static void try_out(uint32_t a, uint32_t b)
{
    uint32_t numbers[2] = {a, b}, result = 0;
    struct gray_client_trial trial = {.size = sizeof(trial),
                                      .name = a % 2 ? "sum" : "other-sum",
                                      .share = 500000,
                                      .control = sum,
                                      .candidate = sum_of_late,
                                      .input = numbers,
                                      .input_size = sizeof(numbers),
                                      .result_size = sizeof(result)};
    struct gray_client_counts counts = {.size = sizeof(counts)};

    EXPECT(gray_client_experiment(stage.client, &trial, &result) == 0);
    EXPECT(result == a + b);
    if (b % 16 == 0) {
        gray_client_experiment_read(stage.client, "sum", &counts);
        EXPECT(counts.same + counts.different <= counts.runs);
    }
}

/* What only looks. */
static void look_around(const char *unit)
{
    struct gray_client_request request = {.size = sizeof(request),
                                          .unit = unit};
    struct gray_client_answer answer = {.size = sizeof(answer)};
    struct gray_client_version version = {.size = sizeof(version)};
    struct gray_client_problem problem;
    char line[4096];

    EXPECT(gray_client_ask(stage.client, &request, &answer) == 0);
    EXPECT(gray_client_choose(stage.client, "order", answer.lane, answer.arms,
                              &version) == 0);
    EXPECT(version.version[0] == 'v' || version.version[0] == '\0');
    EXPECT(gray_client_explain(stage.client, &request, line, sizeof(line)) <
           sizeof(line));
    EXPECT(gray_client_revision(stage.client) > 0);
    gray_client_refusal(stage.client, &problem);
    EXPECT(gray_client_fd(stage.client) >= 0);
}

/* Whoever was told stays told, by the folder's mark. */
static void ask_by_mark(struct asker *asker, uint32_t unit, const char *name)
{
    struct gray_client_request request = {.size = sizeof(request),
                                          .unit = name};
    struct gray_client_verdict verdict = {.size = sizeof(verdict)};
    int8_t said;

    EXPECT(gray_client_release(stage.client, "order-2", &request, &verdict) ==
           0);
    EXPECT(verdict.hold == 0);
    said = verdict.in ? 1 : -1;
    EXPECT(asker->told[unit] == 0 || asker->told[unit] == said);
    asker->told[unit] = said;
}

/* And by the mark in a row of its own. */
static void ask_by_row(struct asker *asker, uint32_t unit, const char *name)
{
    struct gray_client_request request = {.size = sizeof(request),
                                          .unit = name};
    struct gray_client_decision d = {.size = sizeof(d)};
    int8_t said, *told = &asker->row_told[unit % UNITS];
    struct gray_client_mark *row = &asker->rows[unit % UNITS];

    EXPECT(gray_client_decide(stage.client, "order-2", &request,
                              *told ? GRAY_CLIENT_MARK : GRAY_CLIENT_ABSENT,
                              row, &d) == 0);
    said = d.says == GRAY_CLIENT_IN ? 1 : -1;
    EXPECT(*told == 0 || *told == said);
    EXPECT(d.store == (*told == 0));
    if (d.store) {
        *row = d.mark;
        *told = said;
    }
}

static void *ask_everything(void *context)
{
    struct asker *asker = context;
    uint32_t i;

    for (i = 0; !over(); i++) {
        uint32_t unit = i % (2 * UNITS);
        char name[32];

        snprintf(name, sizeof(name), "%u-%u",
                 unit < UNITS ? asker->number : THREADS, unit);
        ask_by_mark(asker, unit, name);
        if (unit < UNITS) {
            ask_by_row(asker, unit, name);
        }
        look_around(name);
        try_out(asker->number, i);
        __atomic_fetch_add(&asker->asked, 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

/* ---- with marks ------------------------------------------------------------
 */

static void *be_grayd(void *context)
{
    struct marked_world *world = context;

    while (!over()) {
        writer_lives(world, GRAY_WRITER_OK);
        writer_round(world, stage.client->runtime);
    }
    return NULL;
}

static void told_once(struct asker askers[THREADS])
{
    uint32_t i, unit, in = 0, out = 0;

    for (i = 0; i < THREADS; i++) {
        assert_true(askers[i].asked > 2 * UNITS);
        for (unit = 0; unit < 2 * UNITS; unit++) {
            in += askers[i].told[unit] > 0;
            out += askers[i].told[unit] < 0;
            if (unit >= UNITS) { /* all threads ask about it */
                assert_int_equal(askers[i].told[unit], askers[0].told[unit]);
            }
        }
    }
    assert_true(in > 100 && out > 100);
}

static void nobody_flips_while_policies_and_words_change(void **state)
{
    struct marked_kind kind = {
        .stickiness = "entity", .share = "40", .patience = 10000};
    static struct asker askers[THREADS];
    struct marked_world world;
    struct gray_client *client;
    struct beat beat = {{0, 0}};
    pthread_t threads[THREADS], grayd;
    uint32_t i;

    (void)state;
    marked_begin(&world, &kind, GRAY_READER_CLI);
    assert_int_equal(gray_client_open(&client, world.path, NULL), 0);
    stage_begin(client);
    writer_lives(&world, GRAY_WRITER_OK);
    assert_int_equal(pthread_create(&grayd, NULL, be_grayd, &world), 0);
    for (i = 0; i < THREADS; i++) {
        askers[i].number = i;
        assert_int_equal(
            pthread_create(&threads[i], NULL, ask_everything, &askers[i]), 0);
    }
    for (i = 0; i < publications; i++) {
        kind.share = i % 2 ? "60" : "40";
        marked_publish(&world, &kind);
        if (i % 10 == 5) {
            word_set(&world, GRAY_WORD_NO_ADMIT);
        } else if (i % 10 == 8) {
            word_set(&world, GRAY_WORD_OPEN);
        }
        beat_wait(&beat);
    }
    for (i = 0; i < 1000; i++) { /* until each was everywhere twice */
        uint64_t least = UINT64_MAX;
        uint32_t j;

        for (j = 0; j < THREADS; j++) {
            uint64_t asked =
                __atomic_load_n(&askers[j].asked, __ATOMIC_RELAXED);

            least = asked < least ? asked : least;
        }
        if (least > 4 * UNITS) {
            break;
        }
        beat_wait(&beat);
    }
    __atomic_store_n(&stage.stop, 1, __ATOMIC_RELEASE);
    for (i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(pthread_join(grayd, NULL), 0);
    if (stage.failures != 0) {
        fail_msg("%u times not: %s", stage.failures, stage.first);
    }
    told_once(askers);
    assert_int_equal(gray_client_revision(client), world.revision);
    gray_client_close(client);
    marked_end(&world);
}

/* ---- another folder ---------------------------------------------------------
 */

static void *ask_of_any_folder(void *context)
{
    struct asker *asker = context;
    uint32_t i;

    for (i = 0; !over(); i++) {
        struct gray_client_request request = {.size = sizeof(request),
                                              .unit = "tester"};
        struct gray_client_verdict verdict = {.size = sizeof(verdict)};

        EXPECT(gray_client_release(stage.client, "cart-2", &request,
                                   &verdict) == 0);
        look_around("tester");
        try_out(asker->number, i);
        if (asker->number == 0) {
            gray_client_poll(stage.client);
        }
        __atomic_fetch_add(&asker->asked, 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

static void threads_go_over_to_another_folder(void **state)
{
    static struct asker askers[THREADS];
    char path[64], aside[80];
    struct gray_client *client;
    struct beat beat = {{0, 0}};
    pthread_t threads[THREADS];
    uint32_t i;

    (void)state;
    folder_new(path);
    snprintf(aside, sizeof(aside), "%s.aside", path);
    shop_publish(path, "30", 1);
    assert_int_equal(gray_client_open(&client, path, NULL), 0);
    stage_begin(client);
    for (i = 0; i < THREADS; i++) {
        askers[i].number = i;
        assert_int_equal(
            pthread_create(&threads[i], NULL, ask_of_any_folder, &askers[i]),
            0);
    }
    for (i = 0; i < publications / 2; i++) {
        if (i % 6 == 5) {
            assert_int_equal(rename(path, aside), 0);
        }
        shop_publish(path, i % 2 ? "60" : "30", 2 + i);
        if (i % 6 == 5) {
            folder_remove(aside);
        }
        beat_wait(&beat);
    }
    for (i = 0;
         i < 1000 && gray_client_revision(client) != publications / 2 + 1;
         i++) {
        beat_wait(&beat);
    }
    __atomic_store_n(&stage.stop, 1, __ATOMIC_RELEASE);
    for (i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_true(askers[i].asked > 0);
    }
    if (stage.failures != 0) {
        fail_msg("%u times not: %s", stage.failures, stage.first);
    }
    assert_int_equal(gray_client_revision(client), publications / 2 + 1);
    gray_client_close(client);
    folder_remove(path);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_flips_while_policies_and_words_change),
        cmocka_unit_test(threads_go_over_to_another_folder),
    };

    if (argc > 1) {
        publications = (uint32_t)strtoul(argv[1], NULL, 10);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
