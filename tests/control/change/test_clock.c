/* SPDX-License-Identifier: Apache-2.0
 * test_clock.c - the clock is set back while something waits for its moment.
 *
 * Why: a host that starts with a wrong clock and is put right an hour later
 * must not keep a policy out of force for that hour. The clock is the test's,
 * and stands still but for the step.
 * Read next: ../../../control/change/control.c.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "control/change/internal.h"
#include "tests/runtime/folder.h"

#define POLLS_MAX 6000 /* of 10 ms */

static _Atomic int64_t clock_now = INT64_C(1790000000000);

int64_t grayd_now(void)
{
    return atomic_load(&clock_now);
}

void grayd_log(enum log_level level, const char *code, const char *format, ...)
{
    (void)level;
    (void)code;
    (void)format;
}

void grayd_random_hex(char ret_hex[33])
{
    memset(ret_hex, 'a', 32);
    ret_hex[32] = '\0';
}

static void wait_in_force(struct grayd *grayd, uint64_t revision)
{
    struct timespec pause = { .tv_nsec = 10000000 };

    for (int i = 0; i < POLLS_MAX; i++) {
        if (atomic_load(&grayd->revision_in_force) == revision) {
            return;
        }
        nanosleep(&pause, NULL);
    }
    fail_msg("revision %llu never came into force",
             (unsigned long long)revision);
}

static void a_clock_set_back_holds_up_nothing(void **state)
{
    char top[64], store[80], runtime[80], other[80];
    struct grayd grayd = { .options = { .state = store, .runtime = runtime } };
    struct gray_problem problem = { 0 };
    uint64_t revision;

    (void)state;
    folder_new(top);
    snprintf(store, sizeof(store), "%s/state", top);
    snprintf(runtime, sizeof(runtime), "%s/run", top);
    if (control_start(&grayd, &problem) != 0) {
        fail_msg("%s: %s", problem.code, problem.sentence);
    }
    revision = atomic_load(&grayd.revision);
    assert_true(revision > 0);
    wait_in_force(&grayd, revision);
    /* In one step, or grayd makes a new one in between. */
    snprintf(other, sizeof(other), "%s/other", top);
    assert_int_equal(mkdir(other, 0700), 0);
    assert_int_equal(chmod(other, 0777), 0); /* refused: anybody writes */
    assert_int_equal(renameat2(AT_FDCWD, other, AT_FDCWD, runtime,
                               RENAME_EXCHANGE), 0);
    wait_in_force(&grayd, 0);
    assert_int_equal(rmdir(runtime), 0);
    atomic_fetch_sub(&clock_now, INT64_C(3600000));
    wait_in_force(&grayd, revision);
    control_stop(&grayd);
    folder_remove(top);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_clock_set_back_holds_up_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
