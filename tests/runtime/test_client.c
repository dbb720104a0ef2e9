/* SPDX-License-Identifier: Apache-2.0
 * test_client.c - libgray answers as the engine does, from many threads, and
 * shows nothing but gray.h.
 *
 * Read next: runtime/gray.h, runtime/libgray.c.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/gray.h"
#include "tests/runtime/folder.h"

#define NOW 1767225600000

struct world {
    char path[64];
    struct gray_client *client;
};

static int world_make(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    struct gray_client_problem problem;

    folder_new(world->path);
    shop_publish(world->path, "30", 1);
    assert_int_equal(gray_client_open(&world->client, world->path, &problem),
                     0);
    assert_null(problem.code);
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

static int ask(struct gray_client *client, const char *uid,
               struct gray_client_answer *answer)
{
    char cookie[128];
    struct gray_client_pair header = { "Cookie", cookie };
    struct gray_client_request request = { .size = sizeof(request),
                                           .method = "GET",
                                           .host = "shop.example:80",
                                           .target = "/cart?x=1",
                                           .headers = &header,
                                           .header_count = 1,
                                           .source = "10.0.0.1",
                                           .now_ms = NOW,
                                           .random = 1 };

    snprintf(cookie, sizeof(cookie), "uid=%s", uid);
    answer->size = sizeof(*answer);
    return gray_client_ask(client, &request, answer);
}

static void it_answers_as_the_engine_does(void **state)
{
    struct world *world = *state;
    struct gray_runtime *runtime;
    struct gray_client_answer answer;
    uint32_t i, in = 0;
    char uid[32];

    assert_int_equal(gray_runtime_open(&runtime, world->path, GRAY_READER_CLI,
                                       false, NULL),
                     0);
    for (i = 0; i < 5000; i++) {
        int wanted;

        snprintf(uid, sizeof(uid), "user%u", i);
        wanted = view_admits(runtime, uid);
        assert_int_equal(ask(world->client, uid, &answer), 0);
        assert_string_equal(answer.arms, wanted ? "cart-2" : "");
        assert_string_equal(answer.reason, wanted ? "share" : "out-of-share");
        assert_string_equal(answer.release, "cart-2");
        assert_int_equal(answer.revision, 1);
        assert_true((answer.bucket < 300000) == (wanted == 1));
        in += (uint32_t)wanted;
    }
    assert_true(in > 1350 && in < 1650);
    gray_runtime_close(runtime);
}

static void explain_gives_the_engines_bytes(void **state)
{
    struct world *world = *state;
    char ours[8192], theirs[8192];
    struct gray_client_pair header = { "cookie", "uid=alice" };
    struct gray_client_request request = { .size = sizeof(request),
                                           .target = "/cart",
                                           .headers = &header,
                                           .header_count = 1,
                                           .now_ms = NOW,
                                           .random = 1 };
    struct gray_str name = { "cookie", 6 }, value = { "uid=alice", 9 };
    struct gray_runtime *runtime;
    struct gray_input in;
    size_t length, wanted;

    assert_int_equal(gray_runtime_open(&runtime, world->path, GRAY_READER_CLI,
                                       false, NULL),
                     0);
    gray_input_begin(&in, gray_runtime_view(runtime, NULL)->policy, NOW, 1);
    gray_input_target(&in, (struct gray_str){ "/cart", 5 });
    gray_input_header(&in, gray_hash_name("cookie", 6), name, value);
    wanted = gray_explain(gray_runtime_view(runtime, NULL), 0, &in, NULL, NULL,
                          theirs, sizeof(theirs));
    length = gray_client_explain(world->client, &request, ours, sizeof(ours));
    assert_int_equal(length, wanted);
    assert_true(length > 100);
    assert_string_equal(ours, theirs);
    assert_int_equal(gray_client_explain(world->client, &request, ours, 10),
                     wanted);
    gray_runtime_close(runtime);
}

static void one_release_and_one_unit(void **state)
{
    struct world *world = *state;
    struct gray_client_request request = { .size = sizeof(request),
                                           .unit = "tester" };
    struct gray_client_verdict verdict = { .size = sizeof(verdict) };

    assert_int_equal(gray_client_release(world->client, "cart-2", &request,
                                         &verdict),
                     0);
    assert_int_equal(verdict.in, 1);
    assert_string_equal(verdict.reason, "allow");
    /* The unit that is said stands before one that the request carries. */
    request.headers = &(struct gray_client_pair){ "cookie", "uid=tester" };
    request.header_count = 1;
    request.unit = "user2";
    assert_int_equal(gray_client_release(world->client, "cart-2", &request,
                                         &verdict),
                     0);
    assert_string_not_equal(verdict.reason, "allow");
    request.unit = NULL;
    assert_int_equal(gray_client_release(world->client, "cart-2", &request,
                                         &verdict),
                     0);
    assert_string_equal(verdict.reason, "allow");
    verdict.in = 7;
    assert_int_equal(gray_client_release(world->client, "no-such", &request,
                                         &verdict),
                     -ENOENT);
    assert_int_equal(verdict.in, 0);
}

static void a_version_and_its_endpoint(void **state)
{
    struct world *world = *state;
    struct gray_client_version version = { .size = sizeof(version) };

    assert_int_equal(gray_client_choose(world->client, "cart", NULL, NULL,
                                        &version),
                     0);
    assert_string_equal(version.version, "v1");
    assert_string_equal(version.endpoint, "127.0.0.1:9101");
    assert_int_equal(gray_client_choose(world->client, "cart", NULL, "cart-2",
                                        &version),
                     0);
    assert_string_equal(version.version, "v2");
    assert_string_equal(version.endpoint, "127.0.0.1:9102");
    assert_string_equal(version.reason, "arm");
    assert_int_equal(gray_client_choose(world->client, "unknown", NULL, NULL,
                                        &version),
                     0);
    assert_string_equal(version.version, "");
    assert_string_equal(version.reason, "unknown-service");
}

static void a_colour_that_came_in_is_obeyed(void **state)
{
    struct world *world = *state;
    struct gray_client_request request = { .size = sizeof(request),
                                           .entrance = "-",
                                           .arms = "cart-2,other-1:b" };
    struct gray_client_answer answer = { .size = sizeof(answer) };
    char baggage[8192];

    assert_int_equal(gray_client_ask(world->client, &request, &answer), 0);
    assert_string_equal(answer.arms, "cart-2,other-1:b");
    assert_string_equal(answer.reason, "colour");
    assert_true(gray_client_baggage("a=1,gray.arms=old", NULL, answer.arms,
                                    baggage, sizeof(baggage)) > 0);
    assert_non_null(strstr(baggage, "a=1"));
    assert_non_null(strstr(baggage, "gray.arms="));
    assert_null(strstr(baggage, "old"));
    assert_int_equal(gray_client_baggage(NULL, NULL, NULL, baggage,
                                         sizeof(baggage)),
                     0);
}

static void an_unknown_entrance_is_the_unnamed_one(void **state)
{
    struct world *world = *state;
    struct gray_client_request request = { .size = sizeof(request),
                                           .target = "/",
                                           .unit = "1" };
    struct gray_client_answer plain = { .size = sizeof(plain) };
    struct gray_client_answer named = { .size = sizeof(named) };
    struct gray_client_answer none = { .size = sizeof(none) };

    assert_int_equal(gray_client_ask(world->client, &request, &plain), 0);
    request.entrance = "nobody-named-it";
    assert_int_equal(gray_client_ask(world->client, &request, &named), 0);
    request.entrance = "-";
    assert_int_equal(gray_client_ask(world->client, &request, &none), 0);
    assert_string_not_equal(plain.reason, none.reason);
    assert_string_equal(named.reason, plain.reason);
    assert_string_equal(named.arms, plain.arms);
}

static void without_a_policy_all_is_baseline(void **state)
{
    struct gray_publish nothing = { .group = (gid_t)-1 };
    struct gray_client_version version = { .size = sizeof(version) };
    struct gray_client_problem problem = { NULL, "" };
    struct gray_client_answer answer;
    struct gray_client *client = NULL;
    struct gray_folder folder;
    char path[64], line[64];
    struct gray_client_request request = { .size = sizeof(request) };

    (void)state;
    folder_new(path);
    assert_int_equal(gray_client_open(&client, "/dev/shm/graylane-none",
                                      &problem),
                     -ENOENT);
    assert_string_equal(problem.code, "no-folder");
    assert_null(client);
    assert_int_equal(gray_client_open(&client, path, NULL), -ENOENT);
    assert_int_equal(gray_publish(path, &nothing, NULL, NULL), 0);
    assert_int_equal(gray_client_open(&client, path, &problem), 0);
    assert_int_equal(ask(client, "tester", &answer), 0);
    assert_string_equal(answer.reason, "no-snapshot");
    assert_string_equal(answer.arms, "");
    assert_int_equal(gray_client_explain(client, &request, line, sizeof(line)),
                     0);
    shop_publish(path, "0", 5);
    assert_int_equal(ask(client, "tester", &answer), 0);
    assert_string_equal(answer.reason, "allow");
    assert_int_equal(gray_client_revision(client), 5);
    assert_int_equal(gray_folder_open(&folder, path, true, NULL), 0);
    assert_int_equal(gray_bypass_set(&folder, true, NULL), 0);
    assert_int_equal(ask(client, "tester", &answer), 0);
    assert_string_equal(answer.reason, "bypass");
    assert_string_equal(answer.arms, "");
    assert_int_equal(gray_client_choose(client, "cart", NULL, "cart-2",
                                        &version),
                     0);
    assert_string_equal(version.version, "v1");
    gray_folder_close(&folder);
    gray_client_close(client);
    gray_client_close(NULL);
    folder_remove(path);
}

static void bad_records_are_refused(void **state)
{
    struct world *world = *state;
    struct gray_client_request request = { .size = sizeof(request) };
    struct gray_client_answer answer = { .size = sizeof(answer), .revision = 99 };

    request.size--;
    assert_int_equal(gray_client_ask(world->client, &request, &answer),
                     -EINVAL);
    request.size = sizeof(request);
    answer.size--;
    assert_int_equal(gray_client_ask(world->client, &request, &answer),
                     -EINVAL);
    answer.size = sizeof(answer);
    request.source = "10.0.0.256";
    assert_int_equal(gray_client_ask(world->client, &request, &answer),
                     -EINVAL);
    request.source = NULL;
    request.traffic_class = "lively";
    assert_int_equal(gray_client_ask(world->client, &request, &answer),
                     -EINVAL);
    assert_int_equal(answer.revision, 99);
    request.traffic_class = "live";
    assert_int_equal(gray_client_ask(world->client, &request, &answer), 0);
}

/* A refusal is told, and the last good policy answers on. */
static void a_bad_policy_is_told(void **state)
{
    struct world *world = *state;
    struct gray_client_problem problem;
    struct gray_client_answer answer;

    shop_publish(world->path, "0", 2);
    file_replace(world->path, "policy.snap", "bad", 3);
    gray_client_refusal(world->client, &problem);
    assert_string_equal(problem.code, "bad-size");
    assert_int_equal(ask(world->client, "user1", &answer), 0);
    assert_int_equal(answer.revision, 1);
    shop_publish(world->path, "0", 3);
    assert_int_equal(gray_client_poll(world->client), 1);
    assert_int_equal(gray_client_poll(world->client), 0);
    gray_client_refusal(world->client, &problem);
    assert_null(problem.code);
}

/* ---- threads -------------------------------------------------------------------- */

#define THREADS 6
#define PUBLICATIONS 150u

struct asker {
    struct gray_client *client;
    const bool *stop;
    uint64_t asked, newest;
};

/* Revisions of even number admit everybody, odd ones nobody; but that in a
 * folder that is being removed the table of marks may be gone already. */
static void *ask_again_and_again(void *context)
{
    struct asker *asker = context;
    struct gray_client_answer answer;

    while (!__atomic_load_n(asker->stop, __ATOMIC_RELAXED)) {
        if (ask(asker->client, "user1", &answer) != 0 ||
            answer.revision < asker->newest ||
            ((answer.arms[0] != '\0') != (answer.revision % 2 == 0) &&
             strcmp(answer.reason, "mark-unknown") != 0)) {
            return "an answer of two policies, or of an older one";
        }
        asker->newest = answer.revision;
        asker->asked++;
    }
    return NULL;
}

static void many_threads_ask_while_policies_change(void **state)
{
    struct world *world = *state;
    struct asker askers[THREADS];
    pthread_t threads[THREADS];
    bool stop = false;
    uint64_t revision, asked = 0;
    int i;

    shop_publish(world->path, "100", 2);
    for (i = 0; i < THREADS; i++) {
        askers[i] = (struct asker){ world->client, &stop, 0, 0 };
        assert_int_equal(pthread_create(&threads[i], NULL,
                                        ask_again_and_again, &askers[i]),
                         0);
    }
    for (revision = 3; revision < 3 + PUBLICATIONS; revision++) {
        struct pollfd wait = { .fd = gray_client_fd(world->client),
                               .events = POLLIN };

        if (revision % 10 == 0) {
            folder_remove(world->path); /* publishing makes another one */
        }
        shop_publish(world->path, revision % 2 ? "0" : "100", revision);
        (void)poll(&wait, 1, 0);
        gray_client_poll(world->client);
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    for (i = 0; i < THREADS; i++) {
        void *complaint;

        assert_int_equal(pthread_join(threads[i], &complaint), 0);
        if (complaint != NULL) {
            fail_msg("%s", (const char *)complaint);
        }
        asked += askers[i].asked;
    }
    /* Each of the polls above may have found another thread at it; only a poll
     * finds out that a folder was made anew. */
    gray_client_poll(world->client);
    assert_int_equal(gray_client_revision(world->client), revision - 1);
    assert_true(asked > THREADS);
}

/* The library's own inside is not to be reached from outside. */
static void only_gray_h_is_exported(void **state)
{
    static const char *const inside[] = { "gray_decide", "gray_runtime_open",
                                          "gray_publish", "gray_snapshot_open",
                                          "runtime_part_load" };
    void *library = dlopen("libgray.so.0", RTLD_NOW | RTLD_NOLOAD);
    size_t i;

    (void)state;
    assert_non_null(library);
    assert_non_null(dlsym(library, "gray_client_ask"));
    for (i = 0; i < sizeof(inside) / sizeof(inside[0]); i++) {
        assert_null(dlsym(library, inside[i]));
    }
    dlclose(library);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define WITH_WORLD(name) \
    cmocka_unit_test_setup_teardown(name, world_make, world_end)
        WITH_WORLD(it_answers_as_the_engine_does),
        WITH_WORLD(explain_gives_the_engines_bytes),
        WITH_WORLD(one_release_and_one_unit),
        WITH_WORLD(a_version_and_its_endpoint),
        WITH_WORLD(a_colour_that_came_in_is_obeyed),
        WITH_WORLD(an_unknown_entrance_is_the_unnamed_one),
        cmocka_unit_test(without_a_policy_all_is_baseline),
        WITH_WORLD(bad_records_are_refused),
        WITH_WORLD(a_bad_policy_is_told),
        WITH_WORLD(many_threads_ask_while_policies_change),
        cmocka_unit_test(only_gray_h_is_exported),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
