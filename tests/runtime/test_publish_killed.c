/* SPDX-License-Identifier: Apache-2.0
 * test_publish_killed.c - a publisher that is killed at any point leaves the
 * old policy or the new one in force, never half.
 *
 * Why: each publication here is cut off after a random number of nanoseconds
 * of its own life by kill -9.  After every cut a fresh reader must find policy
 * and fleet of one revision, equal to the last whole one or the one that was
 * cut; the next publication must work and leave nothing lying about.
 * Read next: runtime/publish.c, runtime/repair.c.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/runtime/folder.h"

#define KILLS 400u

static uint64_t random_state = 42;

static uint64_t draw(uint64_t below)
{
    random_state += 0x9e3779b97f4a7c15u;
    return gray_mix64(random_state) % below;
}

/* Policies of even revisions have one endpoint of v2, of odd ones two: policy
 * and fleet can be told to belong together. */
static void text_of(char *text, size_t size, uint64_t revision)
{
    snprintf(text, size,
             "kind: Service\nname: cart\nbaseline: {version: v1}\nversions:\n"
             "  v1: {endpoints: ['127.0.0.1:%u']}\n"
             "  v2: {endpoints: ['127.0.0.1:9102']}\n"
             "---\nkind: List\nname: testers\nids: ['t%u']\n"
             "---\nkind: Release\nname: cart-2\nunit: {cookie: uid}\n"
             "services: [{service: cart, version: v2}]\n"
             "admission: {share: 1, allow: [{list: testers}]}\n",
             (unsigned)(10000 + revision), (unsigned)revision);
}

/* Revision in force for a fresh reader; policy, fleet and list must agree. */
static uint64_t revision_in_force(const char *path)
{
    struct gray_problem problem = { NULL, "", 0 };
    struct gray_runtime *runtime;
    const struct gray_view *view;
    const struct gray_endpoint *endpoint;
    uint64_t revision;
    char uid[32];

    assert_int_equal(gray_runtime_open(&runtime, path, GRAY_READER_CLI, false,
                                       &problem),
                     0);
    if (problem.code != NULL) {
        fail_msg("%s: %s", problem.code, problem.sentence);
    }
    view = gray_runtime_view(runtime, NULL);
    assert_non_null(view);
    revision = view->policy->header->revision;
    endpoint = gray_endpoint_at(
        view->fleet,
        view->link->members[view->link->subsets[0].members.first]);
    assert_int_equal(endpoint->port, 10000 + revision);
    snprintf(uid, sizeof(uid), "t%u", (unsigned)revision);
    assert_int_equal(view_admits(runtime, uid), 1);
    gray_runtime_close(runtime);
    return revision;
}

/* Forks a publisher that dies by SIGKILL after `ns` of its own; whether it was
 * killed. */
static bool publish_and_kill(const char *path, const struct gray_publish *what,
                             uint64_t ns)
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        struct sigevent event = { .sigev_notify = SIGEV_SIGNAL,
                                  .sigev_signo = SIGKILL };
        struct itimerspec after = { .it_value = { 0, (long)ns } };
        timer_t timer;

        if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0 ||
            timer_settime(timer, 0, &after, NULL) != 0) {
            _exit(2);
        }
        _exit(gray_publish(path, what, NULL, NULL) == 0 ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status)) {
        assert_int_equal(WTERMSIG(status), SIGKILL);
        return true;
    }
    assert_int_equal(WEXITSTATUS(status), 0);
    return false;
}

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void killed_at_any_point(void **state)
{
    char path[64], text[2048];
    uint64_t revision, before = 1, whole = 0;
    uint32_t killed = 0, taken = 0;

    (void)state;
    folder_new(path);
    text_of(text, sizeof(text), 1);
    assert_int_equal(documents_publish(path, text, 1, NULL), 0);
    for (revision = 2; revision < 2 + KILLS; revision++) {
        struct gray_publish what = { .group = (gid_t)-1 };
        struct gray_publish_list list;
        struct gray_compiled compiled;
        uint64_t found;

        text_of(text, sizeof(text), revision);
        documents_compile(text, revision, &compiled);
        assert_int_equal(compiled.list_count, 1);
        list = (struct gray_publish_list){ compiled.lists[0].name,
                                           compiled.lists[0].data,
                                           compiled.lists[0].size };
        what.policy = compiled.policy.data;
        what.policy_size = compiled.policy.size;
        what.fleet = compiled.fleet.data;
        what.fleet_size = compiled.fleet.size;
        what.lists = &list;
        what.list_count = 1;
        if (revision % 20 == 2) { /* how long one takes, now and then */
            uint64_t start = now_ns();

            assert_int_equal(gray_publish(path, &what, NULL, NULL), 0);
            whole = now_ns() - start;
        } else {
            killed += publish_and_kill(path, &what, draw(3 * whole) + 1000);
        }
        found = revision_in_force(path);
        assert_true(found == before || found == revision);
        taken += found == revision ? 1 : 0;
        before = found;
        gray_compiled_free(&compiled);
    }
    print_message("%u publishers, %u killed, %u publications in force\n", KILLS,
                  killed, taken);
    assert_true(killed > KILLS / 8);
    text_of(text, sizeof(text), revision);
    assert_int_equal(documents_publish(path, text, revision, NULL), 0);
    assert_int_equal(revision_in_force(path), revision);
    assert_int_equal(files_ending(path, ".new"), 0);
    assert_true(files_ending(path, ".snap") <= 2 + 3 + 2);
    snprintf(text, sizeof(text), "%s/lists", path);
    assert_true(files_ending(text, "") <= 2 + 3);
    folder_remove(path);
}

#define FAR INT64_C(4102444800000) /* 2100 */

/* Revision that lies ready for a fresh reader; 0: nothing waits. */
static uint64_t revision_that_waits(const char *path)
{
    struct gray_runtime *runtime;
    uint64_t revision = 0;

    assert_int_equal(gray_runtime_open(&runtime, path, GRAY_READER_CLI, false,
                                       NULL),
                     0);
    assert_null(gray_runtime_refusal(runtime)->code);
    if (runtime->set->next != NULL) {
        const struct gray_view *view = &runtime->set->next->view;
        const struct gray_endpoint *endpoint = gray_endpoint_at(
            view->fleet,
            view->link->members[view->link->subsets[0].members.first]);

        revision = view->policy->header->revision;
        assert_int_equal(endpoint->port, 10000 + revision);
    }
    gray_runtime_close(runtime);
    return revision;
}

/* Some wait for a far instant, some do not: in force is what was, or what came
 * at once; and what waits is whole, and never older than what is in force. */
static void killed_where_one_waits(void **state)
{
    uint64_t revision, before = 1, waited = 0, whole = 2000000;
    uint32_t killed = 0, left = 0;
    char path[64], text[2048];

    (void)state;
    folder_new(path);
    text_of(text, sizeof(text), 1);
    assert_int_equal(documents_publish(path, text, 1, NULL), 0);
    for (revision = 2; revision < 2 + KILLS / 2; revision++) {
        struct gray_publish what = { .group = (gid_t)-1 };
        struct gray_publish_list list;
        struct gray_compiled compiled;
        bool later = draw(3) != 0;
        uint64_t found, next;

        text_of(text, sizeof(text), revision);
        documents_compile(text, revision, &compiled);
        list = (struct gray_publish_list){ compiled.lists[0].name,
                                           compiled.lists[0].data,
                                           compiled.lists[0].size };
        if (later) {
            ((struct gray_file_header *)(void *)compiled.policy.data)
                ->effective_at = FAR;
        }
        what.policy = compiled.policy.data;
        what.policy_size = compiled.policy.size;
        what.fleet = compiled.fleet.data;
        what.fleet_size = compiled.fleet.size;
        what.lists = &list;
        what.list_count = 1;
        killed += publish_and_kill(path, &what, draw(whole) + 1000);
        found = revision_in_force(path);
        next = revision_that_waits(path);
        assert_true(found == before || (!later && found == revision));
        assert_true(next == 0 || next == waited || (later && next == revision));
        assert_true(next == 0 || next > found);
        /* What waited ends only with a publication that replaced it. */
        assert_true(next != 0 || waited == 0 || found == revision);
        left += next != 0;
        before = found;
        waited = next;
        gray_compiled_free(&compiled);
    }
    print_message("%u publishers, %u killed, %u left one that waits\n",
                  KILLS / 2, killed, left);
    assert_true(killed > 10 && left > 10);
    text_of(text, sizeof(text), revision);
    assert_int_equal(documents_publish(path, text, revision, NULL), 0);
    assert_int_equal(revision_in_force(path), revision);
    assert_int_equal(revision_that_waits(path), 0);
    assert_int_equal(files_ending(path, ".new"), 0);
    assert_true(files_ending(path, ".snap") <= 2 + 3 + 2);
    folder_remove(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(killed_at_any_point),
        cmocka_unit_test(killed_where_one_waits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
