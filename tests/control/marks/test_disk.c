/* SPDX-License-Identifier: Apache-2.0
 * test_disk.c - a full disk, a failing one, one that cannot be written.
 *
 * Why: a full disk is waited out with nothing lost; a sync that failed is
 * never tried again as if it were clean; and whoever is in is served in each
 * of them.  Calls are counted and fail where the C library is called.
 * Read next: control/marks/journal.c, thread.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/control/marks/fixture.h"
#include "tests/control/store/calls.h"

static struct host host;
static struct teller teller;
static struct marks_scope scope;
static _Atomic int fail_with; /* an errno; 0: calls succeed */
static _Atomic int fail_calls; /* enum call */
static _Atomic uint32_t failures, syncs;

static bool fails(enum call call)
{
    if (fail_with == 0 || (fail_calls & (int)call) == 0) {
        return false;
    }
    failures++;
    errno = fail_with;
    return true;
}

static void count(int fd)
{
    (void)fd;
    syncs++;
}

static void begin(void)
{
    scope = cart_scope(GRAY_DURABLE_STRICT, GRAY_STICKY_MONOTONIC);
    host_begin(&host);
    host_open(&host);
    host_prepare(&host, &scope);
    teller_begin(&teller, &host, GRAY_READER_NGINX);
    teller_admit(&teller, "first", GRAY_SLOT_IN, true);
    assert_true(teller_waits(&teller, "first", GRAY_SLOT_IN, true));
}

static void end(void)
{
    fail_with = 0;
    teller_end(&teller);
    host_end(&host);
}

static bool has_failed(void *context)
{
    return marks_writer(host.marks) == *(enum gray_writer_state *)context;
}

static bool writer_is(enum gray_writer_state state)
{
    return waits_for(has_failed, &state);
}

static bool says(const char *writer)
{
    json_t *status = marks_status(host.marks, 0, NULL);
    bool same = strcmp(json_string_value(json_object_get(status, "writer")),
                       writer) == 0;

    json_decref(status);
    return same;
}

/* What readers go by. */
static enum gray_writer_state told(bool *ret_alive)
{
    struct timespec now;

    clock_gettime(CLOCK_BOOTTIME, &now);
    return gray_writer_now(teller.runtime,
                           (int64_t)now.tv_sec * 1000000000 + now.tv_nsec,
                           ret_alive);
}

static void a_failing_disk_ends_the_writing_until_the_next_start(void **state)
{
    static const int calls[] = {SYNCS, WRITES, WRITES | SYNCS};
    struct written written;
    int64_t lease;
    bool alive;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        begin();
        fail_calls = calls[i];
        fail_with = EIO;
        teller_admit(&teller, "second", GRAY_SLOT_IN, true);
        assert_true(writer_is(GRAY_WRITER_FAILED));
        assert_true(says("failed"));
        assert_int_equal(told(&alive), GRAY_WRITER_FAILED);
        assert_true(alive);
        /* The disk is well again, and not trusted; nor is the lease renewed. */
        fail_with = 0;
        lease = host.folder.control->lease_deadline;
        teller_push(&teller, "third", GRAY_SLOT_IN, GRAY_SLOT_PENDING);
        assert_int_equal(marks_close_scope(host.marks, CART, 3000, NULL),
                         -EIO);
        assert_int_equal(host.folder.control->lease_deadline, lease);
        assert_int_equal(gray_slot_state(teller_see(&teller, "second")),
                         GRAY_SLOT_PENDING);
        assert_int_equal(gray_slot_state(teller_see(&teller, "first")),
                         GRAY_SLOT_IN);
        host_close(&host);
        host_open(&host);
        assert_true(teller_waits(&teller, "second", GRAY_SLOT_IN, true));
        host_close(&host);
        host_written(&host, "second", &written);
        assert_int_equal(written.of_unit, 1);
        assert_int_equal(written.count, 2);
        end();
    }
}

static void a_full_disk_is_waited_out_and_nothing_is_lost(void **state)
{
    struct written written;
    bool alive;

    (void)state;
    begin();
    fail_calls = WRITES;
    fail_with = ENOSPC;
    failures = 0;
    teller_admit(&teller, "second", GRAY_SLOT_IN, true);
    assert_true(writer_is(GRAY_WRITER_FULL));
    assert_true(says("full"));
    assert_int_equal(told(&alive), GRAY_WRITER_FULL);
    teller_admit(&teller, "third", GRAY_SLOT_IN, true);
    assert_int_equal(marks_close_scope(host.marks, CART, 3000, NULL), -ENOSPC);
    assert_true(failures > 0);
    fail_with = 0;
    assert_true(teller_waits(&teller, "second", GRAY_SLOT_IN, true));
    assert_true(teller_waits(&teller, "third", GRAY_SLOT_IN, true));
    assert_true(writer_is(GRAY_WRITER_OK));
    host_close(&host);
    host_written(&host, "third", &written);
    assert_int_equal(written.count, 3);
    end();
}

static uint32_t admitted;

/* Some more units, as many as the ring has room for. */
static bool admitted_until_full(void *context)
{
    char unit[24];

    (void)context;
    for (;;) {
        snprintf(unit, sizeof(unit), "%u", admitted);
        if (teller_push(&teller, unit, GRAY_SLOT_IN, GRAY_SLOT_PENDING) != 0) {
            break;
        }
        teller_take(&teller, unit, GRAY_SLOT_PENDING, &(uint64_t){0});
        admitted++;
    }
    return marks_writer(host.marks) == GRAY_WRITER_FULL;
}

static bool has_table(void *context)
{
    (void)context;
    teller_map(&teller);
    return teller.marks.table.file != NULL;
}

/* A release that is published while the disk is full has its table later. */
static void a_table_that_found_no_room_is_made_when_there_is(void **state)
{
    struct gray_problem problem = {NULL, "", 0};

    (void)state;
    scope = cart_scope(GRAY_DURABLE_STRICT, GRAY_STICKY_MONOTONIC);
    host_begin(&host);
    host_open(&host);
    fail_calls = WRITES;
    fail_with = ENOSPC;
    assert_int_equal(marks_prepare(host.marks, &scope, 1, 7, &problem),
                     -ENOSPC);
    assert_string_equal(problem.code, "marks-full");
    teller_begin(&teller, &host, GRAY_READER_NGINX);
    assert_null(teller.marks.table.file);
    fail_with = 0;
    assert_true(waits_for(has_table, NULL));
    teller_admit(&teller, "a", GRAY_SLOT_IN, true);
    assert_true(teller_waits(&teller, "a", GRAY_SLOT_IN, true));
    end();
}

/* A limit on the size of files is a full disk as well. */
static void a_limit_on_files_is_a_full_disk(void **state)
{
    struct rlimit before, limit;
    char path[128];
    struct stat status;

    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    begin();
    snprintf(path, sizeof(path), "%s/marks/data.mdb", host.state);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = (rlim_t)status.st_size + 65536;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    admitted = 0;
    assert_true(waits_for(admitted_until_full, NULL));
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_true(writer_is(GRAY_WRITER_OK));
    assert_true(teller_waits(&teller, "0", GRAY_SLOT_IN, true));
    end();
}

/* A small disk of its own, filled to the last page. */
static void a_small_disk_fills_and_has_room_again(void **state)
{
    char ballast[128];
    struct statvfs room;
    int fd;

    (void)state;
    scope = cart_scope(GRAY_DURABLE_STRICT, GRAY_STICKY_MONOTONIC);
    host_begin(&host);
    if (unshare(CLONE_NEWNS) != 0 ||
        (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 &&
         errno != EINVAL) ||
        mount("tmpfs", host.state, "tmpfs", 0, "size=4m,mode=0755") != 0) {
        print_message("no right to mount here: not tested\n");
        host_end(&host);
        skip();
    }
    host_open(&host);
    host_prepare(&host, &scope);
    teller_begin(&teller, &host, GRAY_READER_NGINX);
    snprintf(ballast, sizeof(ballast), "%s/ballast", host.state);
    fd = open(ballast, O_CREAT | O_WRONLY, 0600);
    assert_int_equal(statvfs(host.state, &room), 0);
    assert_int_equal(posix_fallocate(fd, 0, (off_t)(room.f_bavail - 8) *
                                                (off_t)room.f_bsize),
                     0);
    close(fd);
    admitted = 0;
    assert_true(waits_for(admitted_until_full, NULL));
    unlink(ballast);
    assert_true(writer_is(GRAY_WRITER_OK));
    assert_true(teller_waits(&teller, "0", GRAY_SLOT_IN, true));
    /* Closed while it cannot be written, it is read: who is in comes back. */
    host_close(&host);
    assert_int_equal(mount(NULL, host.state, NULL, MS_REMOUNT | MS_RDONLY,
                           NULL),
                     0);
    assert_int_equal(gray_marks_drop(&host.folder, CART, true, NULL), 0);
    host_open(&host);
    assert_int_equal(marks_writer(host.marks), GRAY_WRITER_FAILED);
    marks_prepare(host.marks, &scope, 1, 7, NULL);
    teller_map(&teller);
    assert_true(teller_waits(&teller, "0", GRAY_SLOT_IN, true));
    host_close(&host);
    teller_end(&teller);
    umount(host.state);
    host_end(&host);
}

/* No room for a map of a terabyte: a smaller one does. */
static void a_short_address_space_is_made_do_with(void **state)
{
    struct gray_problem problem = {NULL, "", 0};
    struct journal journal = {.lock_fd = -1};
    struct rlimit before, limit;
    uint64_t mapped = 0;
    FILE *sizes = fopen("/proc/self/statm", "r");

    (void)state;
    assert_non_null(sizes);
    assert_int_equal(fscanf(sizes, "%lu", &mapped), 1);
    fclose(sizes);
    host_begin(&host);
    assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
    limit = before;
    limit.rlim_cur = (rlim_t)mapped * 4096 + (UINT64_C(40) << 30);
    assert_int_equal(setrlimit(RLIMIT_AS, &limit), 0);
    if (journal_open(&journal, host.state, 0, &problem) != 0) {
        fail_msg("%s", problem.sentence);
    }
    assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
    journal_close(&journal);
    host_end(&host);
}

static void two_writers_never_share_a_journal(void **state)
{
    struct gray_problem problem = {NULL, "", 0};
    struct journal journal = {.lock_fd = -1};

    (void)state;
    begin();
    assert_int_equal(journal_open(&journal, host.state, 0, &problem), -EBUSY);
    assert_string_equal(problem.code, "in-use");
    journal_close(&journal);
    end();
}

static void a_folder_that_others_may_enter_is_not_used(void **state)
{
    struct gray_problem problem = {NULL, "", 0};
    struct journal journal = {.lock_fd = -1};
    char path[128];

    (void)state;
    host_begin(&host);
    snprintf(path, sizeof(path), "%s/marks", host.state);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(chmod(path, 0750), 0);
    assert_int_equal(journal_open(&journal, host.state, 0, &problem), -EPERM);
    assert_string_equal(problem.code, "untrusted-folder");
    journal_close(&journal);
    host_end(&host);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failing_disk_ends_the_writing_until_the_next_start),
        cmocka_unit_test(a_full_disk_is_waited_out_and_nothing_is_lost),
        cmocka_unit_test(
            a_table_that_found_no_room_is_made_when_there_is),
        cmocka_unit_test(a_limit_on_files_is_a_full_disk),
        cmocka_unit_test(a_short_address_space_is_made_do_with),
        cmocka_unit_test(two_writers_never_share_a_journal),
        cmocka_unit_test(a_folder_that_others_may_enter_is_not_used),
        cmocka_unit_test(a_small_disk_fills_and_has_room_again),
    };

    call_watch.fails = fails;
    call_watch.sync = count;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
