/* SPDX-License-Identifier: Apache-2.0
 * test_killed.c - grayd is killed at each step from a ring to a slot.
 *
 * Why: between the commit and the slot a mark is in the journal and nobody has
 * been told; before it is in a ring and somebody waits.  Whoever comes next
 * must make of it one record and one answer.  A child is grayd and dies at
 * named places, and at any moment while the test admits; readers live on.
 * Read next: control/marks/marks.c (recover), scopes.c (redo).
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

#include "tests/control/marks/fixture.h"

#define UNITS 40
#define KILLS 100u
#define EACH 60u /* admitted during one life at most */

static struct host host;
static struct teller teller;
static struct marks_scope scope;
static char point_file[96];

static void point_set(const char *name)
{
    int fd = open(point_file, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, name, strlen(name)), (ssize_t)strlen(name));
    close(fd);
}

static void begin(uint8_t stickiness)
{
    scope = cart_scope(GRAY_DURABLE_STRICT, stickiness);
    host_begin(&host);
    snprintf(point_file, sizeof(point_file), "%s/point", host.state);
    setenv("GRAYD_FAILPOINT", point_file, 1);
    host_open(&host);
    host_prepare(&host, &scope);
    host_close(&host);
    teller_begin(&teller, &host, GRAY_READER_NGINX);
}

static void end(void)
{
    teller_end(&teller);
    host_end(&host);
}

/* A grayd of its own process; what it does once it runs, then waits. */
static pid_t grayd_begin(void (*does)(void))
{
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        alarm(60); /* should nobody kill it */
        host_open(&host);
        host_prepare(&host, &scope);
        if (does != NULL) {
            does();
        }
        for (;;) {
            pause();
        }
    }
    return child;
}

static void must_be_killed(pid_t child)
{
    int status = 0;

    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static const char *unit_of(uint32_t number)
{
    static char unit[24];

    snprintf(unit, sizeof(unit), "unit-%u", number);
    return unit;
}

/* Exactly one record of each of these units, and none of others. */
static void each_once(uint32_t count)
{
    struct written written;

    host_close(&host);
    for (uint32_t i = 0; i < count; i += 1 + count / 50) {
        host_written(&host, unit_of(i), &written);
        assert_int_equal(written.of_unit, 1);
        assert_int_equal(written.kinds[RECORD_ADMIT], count);
        assert_int_equal(written.count, count);
    }
}

static void a_mark_is_one_record_wherever_its_writer_dies(void **state)
{
    static const char *const points[] = {
        "marks-before-commit", "marks-committed", "marks-settled",
        "marks-told"};

    (void)state;
    for (size_t p = 0; p < sizeof(points) / sizeof(points[0]); p++) {
        pid_t child;

        begin(GRAY_STICKY_MONOTONIC);
        point_set(points[p]);
        child = grayd_begin(NULL);
        for (uint32_t i = 0; i < UNITS; i++) {
            teller_admit(&teller, unit_of(i), GRAY_SLOT_IN, true);
        }
        must_be_killed(child);
        point_set("");
        host_open(&host);
        for (uint32_t i = 0; i < UNITS; i++) {
            assert_true(teller_waits(&teller, unit_of(i), GRAY_SLOT_IN, true));
        }
        each_once(UNITS);
        end();
    }
}

static void make_void(const char *unit)
{
    struct gray_mark_key key = gray_mark_key(
        teller.marks.table.file, 0,
        (struct gray_str){unit, (uint32_t)strlen(unit)});
    uint64_t value = teller_see(&teller, unit), found;

    assert_int_equal(gray_slot_state(value), GRAY_SLOT_PENDING);
    assert_int_equal(gray_mark_move(&teller.marks, key, value,
                                    (value & ~UINT64_C(7)) | GRAY_SLOT_VOID,
                                    GRAY_BY_READER, &found),
                     0);
}

static bool is_ready(void *context)
{
    (void)context;
    teller_map(&teller);
    return teller.marks.table.file != NULL &&
           gray_mark_table_state(&teller.marks.table) == GRAY_TABLE_READY;
}

/* Its waiter gave up and said no while the writer was dead: so it stays, in
 * the table, in the journal, and in a table made from it. */
static void who_was_told_no_meanwhile_is_not_in_after_all(void **state)
{
    static const char *const points[] = {"marks-before-commit",
                                         "marks-committed"};
    struct written written;

    (void)state;
    for (size_t p = 0; p < 2; p++) {
        pid_t child;

        begin(GRAY_STICKY_ENTITY);
        point_set(points[p]);
        child = grayd_begin(NULL);
        teller_admit(&teller, "unit-0", GRAY_SLOT_IN, true);
        must_be_killed(child);
        make_void("unit-0");
        point_set("");
        host_open(&host);
        assert_int_equal(teller_see(&teller, "unit-0"), 0);
        host_close(&host);
        host_written(&host, "unit-0", &written);
        assert_int_equal(written.kinds[RECORD_ADMIT], p);
        assert_int_equal(written.kinds[RECORD_VOID], p);
        assert_int_equal(gray_marks_drop(&host.folder, CART, true, NULL), 0);
        host_open(&host);
        host_prepare(&host, &scope);
        assert_true(waits_for(is_ready, NULL));
        assert_int_equal(teller_see(&teller, "unit-0"), 0);
        end();
    }
}

static void settle_all(void)
{
    struct marks_unit units[UNITS];
    char names[UNITS][24];
    json_t *answer = NULL;

    for (uint32_t i = 0; i < UNITS; i++) {
        memcpy(names[i], unit_of(i), sizeof(names[i]));
        units[i] = (struct marks_unit){names[i], MARKS_EVERY_SPACE};
    }
    marks_settle(host.marks, CART, units, UNITS, false, "a", "r", &answer,
                 NULL);
    json_decref(answer);
}

/* Said again after whatever death, by the nightly job that had no answer. */
static void what_is_settled_is_one_record_wherever_its_writer_dies(void **state)
{
    static const char *const points[] = {
        "marks-before-commit", "marks-committed", "marks-settled",
        "marks-told"};
    struct written written;

    (void)state;
    for (size_t p = 0; p < sizeof(points) / sizeof(points[0]); p++) {
        begin(GRAY_STICKY_ENTITY);
        point_set("");
        host_open(&host);
        host_prepare(&host, &scope);
        for (uint32_t i = 0; i < UNITS; i++) {
            teller_admit(&teller, unit_of(i), GRAY_SLOT_OUT, true);
        }
        for (uint32_t i = 0; i < UNITS; i++) {
            assert_true(
                teller_waits(&teller, unit_of(i), GRAY_SLOT_OUT, true));
        }
        host_close(&host);
        point_set(points[p]);
        must_be_killed(grayd_begin(settle_all));
        point_set("");
        host_open(&host);
        for (uint32_t i = 0; i < UNITS; i++) {
            uint64_t value = teller_see(&teller, unit_of(i));

            assert_int_equal(gray_slot_state(value), GRAY_SLOT_OUT);
            assert_int_equal((value & GRAY_SLOT_SETTLED) != 0, p > 0);
        }
        settle_all();
        host_close(&host);
        host_written(&host, unit_of(7), &written);
        assert_int_equal(written.kinds[RECORD_ADMIT], UNITS);
        assert_int_equal(written.kinds[RECORD_SETTLE], UNITS);
        assert_int_equal(written.of_unit, 2);
        /* The journal alone says the same. */
        assert_int_equal(gray_marks_drop(&host.folder, CART, true, NULL), 0);
        host_open(&host);
        host_prepare(&host, &scope);
        assert_true(waits_for(is_ready, NULL));
        for (uint32_t i = 0; i < UNITS; i++) {
            assert_true(
                (teller_see(&teller, unit_of(i)) & GRAY_SLOT_SETTLED) != 0);
        }
        end();
    }
}

static void close_cart(void)
{
    marks_close_scope(host.marks, CART, 60000, NULL);
}

static void a_freeze_that_was_not_settled_is_settled_by_the_next(void **state)
{
    static const char *const points[] = {"marks-drained", "marks-closed"};

    (void)state;
    for (size_t p = 0; p < 2; p++) {
        pid_t child;

        begin(GRAY_STICKY_ENTITY);
        teller_admit(&teller, "before", GRAY_SLOT_IN, true);
        assert_int_equal(gray_word_set(&host.folder, CART, GRAY_WORD_NO_ADMIT,
                                       NULL, NULL),
                         0);
        point_set(points[p]);
        child = grayd_begin(close_cart);
        must_be_killed(child);
        point_set("");
        assert_true((teller_see(&teller, "before") & GRAY_SLOT_DURABLE) != 0);
        teller_admit(&teller, "late", GRAY_SLOT_IN, true);
        host_open(&host);
        assert_int_equal(marks_close_scope(host.marks, CART, 10000, NULL), 0);
        /* Taken before the freeze was settled, or void. */
        assert_true(teller_waits(&teller, "late",
                                 p == 0 ? GRAY_SLOT_IN : GRAY_SLOT_EMPTY,
                                 p == 0));
        teller_admit(&teller, "later", GRAY_SLOT_IN, true);
        assert_true(teller_waits(&teller, "later", GRAY_SLOT_EMPTY, false));
        end();
    }
}

/* Killed after a random number of admissions, nobody waited for: what was seen
 * durable stays, and each admission becomes one record. */
static void whenever_it_dies_nothing_acknowledged_is_lost(void **state)
{
    uint32_t admitted = 0, acknowledged = 0;
    unsigned seed = 20261201;

    (void)state;
    begin(GRAY_STICKY_MONOTONIC);
    point_set("");
    for (uint32_t i = 0; i < KILLS; i++) {
        pid_t child = grayd_begin(NULL);
        uint32_t until = admitted + (uint32_t)rand_r(&seed) % EACH + 1;
        bool wait = rand_r(&seed) % 2 == 0;

        for (; admitted < until; admitted++) {
            teller_admit(&teller, unit_of(admitted), GRAY_SLOT_IN, true);
        }
        if (wait) {
            assert_true(teller_waits(&teller, unit_of(admitted - 1),
                                     GRAY_SLOT_IN, true));
            acknowledged++;
        }
        kill(child, SIGKILL);
        must_be_killed(child);
        if (wait) {
            assert_true((teller_see(&teller, unit_of(admitted - 1)) &
                         GRAY_SLOT_DURABLE) != 0);
        }
    }
    host_open(&host);
    for (uint32_t i = 0; i < admitted; i++) {
        assert_true(teller_waits(&teller, unit_of(i), GRAY_SLOT_IN, true));
    }
    print_message("%u kills, %u admissions, %u waited for\n", KILLS, admitted,
                  acknowledged);
    each_once(admitted);
    /* The journal alone says the same. */
    assert_int_equal(gray_marks_drop(&host.folder, CART, true, NULL), 0);
    host_open(&host);
    host_prepare(&host, &scope);
    assert_true(waits_for(is_ready, NULL));
    for (uint32_t i = 0; i < admitted; i++) {
        assert_int_equal(gray_slot_state(teller_see(&teller, unit_of(i))),
                         GRAY_SLOT_IN);
    }
    end();
}

/* A reader is killed with its records in its ring: they are taken, and whoever
 * takes over its file goes on behind them. */
static void a_dead_readers_records_are_taken_like_others(void **state)
{
    struct written written;
    int status;
    pid_t child;

    (void)state;
    begin(GRAY_STICKY_MONOTONIC);
    point_set("");
    teller_end(&teller);
    child = fork();
    if (child == 0) {
        teller_begin(&teller, &host, GRAY_READER_NGINX);
        teller_admit(&teller, "unit-0", GRAY_SLOT_IN, true);
        teller_push(&teller, "never", GRAY_SLOT_IN, GRAY_SLOT_PENDING);
        kill(getpid(), SIGKILL);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    teller_begin(&teller, &host, GRAY_READER_NGINX);
    teller_admit(&teller, "unit-1", GRAY_SLOT_IN, true);
    host_open(&host);
    assert_true(teller_waits(&teller, "unit-0", GRAY_SLOT_IN, true));
    assert_true(teller_waits(&teller, "unit-1", GRAY_SLOT_IN, true));
    host_close(&host);
    host_written(&host, "unit-0", &written);
    assert_int_equal(written.count, 2);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mark_is_one_record_wherever_its_writer_dies),
        cmocka_unit_test(
            what_is_settled_is_one_record_wherever_its_writer_dies),
        cmocka_unit_test(who_was_told_no_meanwhile_is_not_in_after_all),
        cmocka_unit_test(a_freeze_that_was_not_settled_is_settled_by_the_next),
        cmocka_unit_test(whenever_it_dies_nothing_acknowledged_is_lost),
        cmocka_unit_test(a_dead_readers_records_are_taken_like_others),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
