/* SPDX-License-Identifier: Apache-2.0
 * test_reader.c - readers take what is good, say what is not, and keep the
 * last good one.
 *
 * Read next: runtime/reader.c, test_mutants.c.
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
    struct gray_runtime *runtime;
};

static int world_make(void **state)
{
    struct gray_publish nothing = { .group = (gid_t)-1 };
    struct world *world = calloc(1, sizeof(*world));

    folder_new(world->path);
    assert_int_equal(gray_publish(world->path, &nothing, NULL, NULL), 0);
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
    folder_remove(world->path);
    free(world);
    return 0;
}

static int take(struct gray_runtime *runtime, struct gray_problem *problem)
{
    struct gray_runtime_set *set;
    int error = gray_runtime_load(runtime, &set, problem);

    gray_runtime_swap(runtime, set);
    return error;
}

static void wait_for_wake(struct gray_runtime *runtime)
{
    struct pollfd wait = { .fd = gray_runtime_wake_fd(runtime),
                           .events = POLLIN };

    assert_int_equal(poll(&wait, 1, 10000), 1);
    gray_runtime_wake_drain(runtime);
}

static struct gray_reader_status own_status(const struct world *world)
{
    struct gray_reader_status status;
    struct gray_totals totals;

    assert_int_equal(gray_totals_read(world->path, &totals, NULL), 0);
    assert_int_equal(totals.reader_count, 1);
    status = totals.readers[0];
    gray_totals_free(&totals);
    return status;
}

/* Nothing published: no view, and a reason; then woken, loaded, acknowledged. */
static void a_publication_is_seen_and_acknowledged(void **state)
{
    struct world *world = *state;
    enum gray_reason reason = GRAY_REASON_NONE;
    uint64_t epoch = gray_runtime_epoch(world->runtime);

    assert_null(gray_runtime_view(world->runtime, &reason));
    assert_int_equal(reason, GRAY_REASON_NO_SNAPSHOT);
    assert_false(gray_runtime_stale(world->runtime));
    shop_publish(world->path, "0", 1);
    assert_true(gray_runtime_stale(world->runtime));
    wait_for_wake(world->runtime);
    assert_int_equal(own_status(world).policy_generation, 0);
    assert_int_equal(take(world->runtime, NULL), 0);
    assert_false(gray_runtime_stale(world->runtime));
    assert_int_equal(gray_runtime_epoch(world->runtime), epoch + 1);
    assert_int_equal(own_status(world).policy_generation, 1);
    assert_int_equal(own_status(world).fleet_generation, 1);
    assert_int_equal(view_admits(world->runtime, "tester"), 1);
    assert_int_equal(view_admits(world->runtime, "somebody"), 0);
    shop_publish(world->path, "100", 2);
    assert_int_equal(take(world->runtime, NULL), 0);
    assert_int_equal(view_admits(world->runtime, "somebody"), 1);
}

/* The folder is removed and made again: the reader goes over, and what points
 * into the old counters may still be written to. */
static void a_folder_made_anew_is_followed(void **state)
{
    struct world *world = *state;
    struct gray_runtime *runtime = world->runtime, *old = NULL;
    struct gray_publish nothing = { .group = (gid_t)-1 };
    struct reader_file *counters = runtime->slot.file;
    uint64_t epoch;
    int fd = gray_runtime_wake_fd(runtime);

    shop_publish(world->path, "0", 1);
    assert_int_equal(take(runtime, NULL), 0);
    assert_false(gray_runtime_moved(runtime));
    epoch = gray_runtime_epoch(runtime);
    folder_remove(world->path);
    assert_false(gray_runtime_moved(runtime));
    assert_int_equal(view_admits(runtime, "somebody"), 0);
    /* nothing is published in the new one: the last good one stays */
    assert_int_equal(gray_publish(world->path, &nothing, NULL, NULL), 0);
    assert_false(gray_runtime_moved(runtime));
    shop_publish(world->path, "100", 1);
    assert_true(gray_runtime_moved(runtime));
    assert_false(gray_runtime_stale(runtime)); /* deaf till it follows */
    assert_int_equal(gray_runtime_follow(runtime, &old, NULL), 0);
    assert_int_equal(gray_runtime_wake_fd(runtime), fd);
    assert_ptr_not_equal(runtime->slot.file, counters);
    gray_runtime_retire(old);
    counters->reasons[1]++;
    assert_int_equal(counters->reasons[1], 1); /* nobody's any more */
    assert_false(gray_runtime_moved(runtime));
    assert_int_equal(gray_runtime_epoch(runtime), epoch + 1);
    assert_int_equal(view_admits(runtime, "somebody"), 1);
    assert_int_equal(own_status(world).policy_generation, 1);
    /* and it is woken from there on */
    gray_runtime_wake_drain(runtime);
    shop_publish(world->path, "100", 2);
    wait_for_wake(runtime);
    assert_int_equal(take(runtime, NULL), 0);
    assert_int_equal(own_status(world).policy_generation, 2);
}

/* One that cannot be believed is not followed. */
static void a_folder_of_anybody_is_not_followed(void **state)
{
    struct world *world = *state;
    struct gray_runtime *runtime = world->runtime, *old = NULL;
    struct gray_problem problem = { NULL, "", 0 };

    shop_publish(world->path, "0", 1);
    assert_int_equal(take(runtime, NULL), 0);
    folder_remove(world->path);
    shop_publish(world->path, "100", 1);
    assert_int_equal(chmod(world->path, 0777), 0);
    assert_true(gray_runtime_moved(runtime));
    assert_true(gray_runtime_follow(runtime, &old, &problem) < 0);
    assert_string_equal(problem.code, "untrusted-folder");
    assert_null(old);
    assert_int_equal(view_admits(runtime, "somebody"), 0);
    assert_int_equal(chmod(world->path, 0755), 0);
    assert_int_equal(gray_runtime_follow(runtime, &old, NULL), 0);
    gray_runtime_retire(old);
    assert_int_equal(view_admits(runtime, "somebody"), 1);
}

/* What did not change is shared, not mapped and checked again. */
static void unchanged_parts_are_shared(void **state)
{
    struct world *world = *state;
    struct gray_runtime *runtime = world->runtime;
    struct gray_publish fleet = { .group = (gid_t)-1 };
    struct gray_compiled compiled;
    struct part *policy, *list;
    char text[2048];

    shop_publish(world->path, "0", 1);
    assert_int_equal(take(runtime, NULL), 0);
    policy = runtime->set->policy;
    list = runtime->set->lists[0];
    shop_text(text, sizeof(text), "0");
    documents_compile(text, 2, &compiled);
    fleet.fleet = compiled.fleet.data;
    fleet.fleet_size = compiled.fleet.size;
    assert_int_equal(gray_publish(world->path, &fleet, NULL, NULL), 0);
    assert_int_equal(take(runtime, NULL), 0);
    assert_ptr_equal(runtime->set->policy, policy);
    assert_int_equal(runtime->set->fleet->generation, 2);
    shop_publish(world->path, "5", 3);
    assert_int_equal(take(runtime, NULL), 0);
    assert_ptr_not_equal(runtime->set->policy, policy);
    assert_ptr_equal(runtime->set->lists[0], list);
    gray_compiled_free(&compiled);
}

/* A damaged policy: the last good one stays, it is said where status looks,
 * nothing is acknowledged, and nobody tries again for each request. */
static void a_refusal_keeps_the_last_good_one(void **state)
{
    struct world *world = *state;
    struct gray_problem problem = { NULL, "", 0 };
    struct gray_folder folder;
    struct gray_reader_status status;
    size_t size;
    uint8_t *bytes;

    shop_publish(world->path, "0", 1);
    assert_int_equal(take(world->runtime, NULL), 0);
    shop_publish(world->path, "100", 2);
    bytes = file_bytes(world->path, "policy.snap", &size);
    bytes[size / 2] ^= 1;
    file_replace(world->path, "policy.snap", bytes, size);
    assert_int_equal(take(world->runtime, &problem), 0); /* the fleet is new */
    assert_string_equal(problem.code, "bad-checksum");
    assert_string_equal(gray_runtime_refusal(world->runtime)->code,
                        "bad-checksum");
    assert_int_equal(view_admits(world->runtime, "somebody"), 0);
    assert_false(gray_runtime_stale(world->runtime));
    status = own_status(world);
    assert_int_equal(status.policy_generation, 1);
    assert_int_equal(status.fleet_generation, 2);
    assert_non_null(strstr(status.refusal, "bad-checksum"));
    /* The next good one is taken, and the refusal is over. */
    shop_publish(world->path, "100", 3);
    assert_int_equal(take(world->runtime, NULL), 0);
    assert_int_equal(view_admits(world->runtime, "somebody"), 1);
    assert_null(gray_runtime_refusal(world->runtime)->code);
    assert_string_equal(own_status(world).refusal, "");
    /* `control` that goes back is not followed. */
    assert_int_equal(gray_folder_open(&folder, world->path, true, NULL), 0);
    folder.control->policy_generation = 1;
    assert_int_equal(take(world->runtime, &problem), -EINVAL);
    assert_string_equal(problem.code, "went-back");
    assert_int_equal(view_admits(world->runtime, "somebody"), 1);
    folder.control->policy_generation = 0;
    assert_int_equal(take(world->runtime, &problem), -EINVAL);
    assert_int_equal(view_admits(world->runtime, "somebody"), 1);
    gray_folder_close(&folder);
    free(bytes);
}

static void a_future_layout_is_refused_with_a_sentence(void **state)
{
    struct world *world = *state;
    struct gray_problem problem = { NULL, "", 0 };
    struct gray_file_header *header;
    size_t size;

    shop_publish(world->path, "0", 1);
    assert_int_equal(take(world->runtime, NULL), 0);
    shop_publish(world->path, "100", 2);
    header = file_bytes(world->path, "policy.snap", &size);
    header->layout = GRAY_LAYOUT + 1;
    header->checksum = runtime_file_checksum(header, size);
    file_replace(world->path, "policy.snap", header, size);
    take(world->runtime, &problem);
    assert_string_equal(problem.code, "unknown-layout");
    assert_non_null(strstr(problem.sentence, "same version"));
    assert_int_equal(view_admits(world->runtime, "somebody"), 0);
    free(header);
}

/* A fresh start with a bad policy.snap: the newest good one that is kept. */
static void a_fresh_start_falls_back(void **state)
{
    struct world *world = *state;
    struct gray_problem problem = { NULL, "", 0 };
    struct gray_runtime *fresh;
    char full[128];

    shop_publish(world->path, "0", 1);
    shop_publish(world->path, "100", 2);
    shop_publish(world->path, "0", 3);
    file_replace(world->path, "policy.snap", "short", 5);
    file_replace(world->path, "policy.3.snap", "short", 5);
    assert_int_equal(gray_runtime_open(&fresh, world->path, GRAY_READER_NGINX,
                                       true, &problem),
                     0);
    assert_string_equal(problem.code, "bad-size");
    assert_int_equal(view_admits(fresh, "somebody"), 1); /* generation 2 */
    assert_int_equal(fresh->set->policy->generation, 2);
    gray_runtime_close(fresh);
    /* Its list gone, generation 2 is no good either; 1 has the same list. */
    snprintf(full, sizeof(full), "rm %s/lists/*", world->path);
    assert_int_equal(system(full), 0);
    assert_int_equal(gray_runtime_open(&fresh, world->path, GRAY_READER_NGINX,
                                       true, &problem),
                     0);
    assert_null(gray_runtime_view(fresh, NULL));
    gray_runtime_close(fresh);
}

/* A new policy whose list is gone: refused; the fleet that came with it is
 * taken all the same. */
static void a_policy_without_its_list_is_refused(void **state)
{
    struct world *world = *state;
    struct gray_problem problem = { NULL, "", 0 };
    char text[2048], full[128];

    shop_publish(world->path, "0", 1);
    assert_int_equal(take(world->runtime, NULL), 0);
    snprintf(text, sizeof(text),
             "kind: Service\nname: cart\nbaseline: {version: v1}\n"
             "versions: {v1: {endpoints: ['127.0.0.1:9101']},\n"
             "  v2: {endpoints: ['127.0.0.1:9102']}}\n"
             "---\nkind: List\nname: others\nids: [other]\n"
             "---\nkind: Release\nname: cart-2\nunit: {cookie: uid}\n"
             "services: [{service: cart, version: v2}]\n"
             "admission: {share: 100, allow: [{list: others}]}\n");
    assert_int_equal(documents_publish(world->path, text, 2, NULL), 0);
    snprintf(full, sizeof(full), "rm %s/lists/*", world->path);
    assert_int_equal(system(full), 0);
    take(world->runtime, &problem);
    assert_string_equal(problem.code, "missing");
    assert_int_equal(view_admits(world->runtime, "tester"), 1);
    assert_int_equal(view_admits(world->runtime, "somebody"), 0);
    assert_int_equal(world->runtime->set->fleet->generation, 2);
    assert_false(gray_runtime_stale(world->runtime));
}

/* Only files of the folder's owner, that nobody else can change, are mapped. */
static void an_untrusted_file_is_refused(void **state)
{
    struct world *world = *state;
    struct gray_problem problem = { NULL, "", 0 };
    char full[128];
    int i;

    shop_publish(world->path, "0", 1);
    assert_int_equal(take(world->runtime, NULL), 0);
    for (i = 0; i < 4; i++) {
        shop_publish(world->path, "100", (uint64_t)i + 2);
        snprintf(full, sizeof(full), "%s/policy.snap", world->path);
        switch (i) {
        case 0:
            assert_int_equal(chmod(full, 0666), 0);
            break;
        case 1:
            assert_int_equal(chown(full, 65534, (gid_t)-1), 0);
            break;
        case 2:
            assert_int_equal(unlink(full), 0);
            snprintf(full, sizeof(full), "%s/policy.%d.snap", world->path,
                     i + 2);
            assert_int_equal(unlink(full), 0);
            break;
        default:
            assert_int_equal(unlink(full), 0);
            assert_int_equal(mkfifo(full, 0644), 0);
            snprintf(full, sizeof(full), "%s/policy.%d.snap", world->path,
                     i + 2);
            assert_int_equal(unlink(full), 0);
            break;
        }
        take(world->runtime, &problem);
        assert_string_equal(problem.code, i < 2    ? "untrusted-file"
                                          : i == 2 ? "missing"
                                                   : "not-a-file");
        assert_int_equal(view_admits(world->runtime, "somebody"), 0);
    }
    shop_publish(world->path, "100", 9);
    assert_int_equal(take(world->runtime, NULL), 0);
    assert_int_equal(view_admits(world->runtime, "somebody"), 1);
}

#define PUBLICATIONS 200
#define READERS 2

/* A reader's process: waits on its FIFO alone, never sleeps, and ends when it
 * has seen the last revision.  It says "seen" after each. */
static void reader_process(const char *path, int out)
{
    struct gray_runtime *runtime;
    uint64_t seen = 0;

    if (gray_runtime_open(&runtime, path, GRAY_READER_NGINX, true, NULL) != 0) {
        _exit(1);
    }
    for (;;) {
        struct pollfd wait = { .fd = gray_runtime_wake_fd(runtime),
                               .events = POLLIN };
        const struct gray_view *view = gray_runtime_view(runtime, NULL);
        uint64_t now = view != NULL ? view->policy->header->revision : 0;

        if (now < seen || now > seen + 1 ||
            write(out, &now, sizeof(now)) != (ssize_t)sizeof(now)) {
            _exit(2);
        }
        seen = now;
        if (seen == PUBLICATIONS) {
            gray_runtime_close(runtime);
            _exit(0);
        }
        do {
            if (poll(&wait, 1, 20000) != 1) {
                _exit(3);
            }
            gray_runtime_wake_drain(runtime);
        } while (!gray_runtime_stale(runtime));
        if (take(runtime, NULL) != 0) {
            _exit(4);
        }
    }
}

static void every_publication_reaches_every_process(void **state)
{
    struct world *world = *state;
    int pipes[READERS][2], status, i;
    pid_t children[READERS];
    uint64_t revision, seen;

    for (i = 0; i < READERS; i++) {
        assert_int_equal(pipe(pipes[i]), 0);
        children[i] = fork();
        if (children[i] == 0) {
            reader_process(world->path, pipes[i][1]);
        }
    }
    for (revision = 0; revision <= PUBLICATIONS; revision++) {
        if (revision > 0) {
            shop_publish(world->path, revision % 2 ? "100" : "0", revision);
        }
        for (i = 0; i < READERS; i++) {
            struct pollfd wait = { .fd = pipes[i][0], .events = POLLIN };

            assert_int_equal(poll(&wait, 1, 30000), 1);
            assert_int_equal(read(pipes[i][0], &seen, sizeof(seen)),
                             sizeof(seen));
            assert_int_equal(seen, revision);
        }
    }
    for (i = 0; i < READERS; i++) {
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
        close(pipes[i][0]);
        close(pipes[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define WITH_WORLD(name) \
    cmocka_unit_test_setup_teardown(name, world_make, world_end)
        WITH_WORLD(a_publication_is_seen_and_acknowledged),
        WITH_WORLD(a_folder_made_anew_is_followed),
        WITH_WORLD(a_folder_of_anybody_is_not_followed),
        WITH_WORLD(unchanged_parts_are_shared),
        WITH_WORLD(a_refusal_keeps_the_last_good_one),
        WITH_WORLD(a_future_layout_is_refused_with_a_sentence),
        WITH_WORLD(a_fresh_start_falls_back),
        WITH_WORLD(a_policy_without_its_list_is_refused),
        WITH_WORLD(an_untrusted_file_is_refused),
        WITH_WORLD(every_publication_reaches_every_process),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
