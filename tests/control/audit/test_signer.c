/* SPDX-License-Identifier: Apache-2.0
 * test_signer.c - one key, its owner's alone; checkpoints whole or not at all.
 *
 * write(), fsync() and renameat() are this program's own and fail when told
 * to: what a full disk, a dying disk and a kill leave is then looked at.
 * Read next: control/audit/signer.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/control/audit/log.h"

/* ---- calls that fail when told to -------------------------------------- */

static int fsync_fails_at, fsync_calls; /* 0: never; from 1 */
static int rename_fails_at, rename_calls;
static ssize_t write_room = -1; /* bytes that the disk still has; -1: many */

int fsync(int fd)
{
    if (++fsync_calls == fsync_fails_at) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fsync, fd);
}

int renameat(int old_fd, const char *old_name, int new_fd,
             const char *new_name)
{
    if (++rename_calls == rename_fails_at) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_renameat, old_fd, old_name, new_fd, new_name);
}

ssize_t write(int fd, const void *bytes, size_t size)
{
    if (fd > 2 && write_room >= 0) {
        if (write_room == 0) {
            errno = ENOSPC;
            return -1;
        }
        if (size > (size_t)write_room) {
            size = (size_t)write_room;
        }
        write_room -= (ssize_t)size;
    }
    return syscall(SYS_write, fd, bytes, size);
}

static void nothing_fails(void)
{
    fsync_fails_at = fsync_calls = 0;
    rename_fails_at = rename_calls = 0;
    write_room = -1;
}

/* ---- the key ----------------------------------------------------------- */

static mode_t mode_of(const struct log *log, const char *name)
{
    struct stat status;

    assert_int_equal(stat(log_path(log, name), &status), 0);
    return status.st_mode & 07777;
}

static int reopen(struct log *log, struct gray_problem *ret_problem)
{
    audit_signer_close(log->signer);
    log->signer = NULL;
    return audit_signer_open(&log->signer, log->state, "another.example",
                             ret_problem);
}

static void the_key_is_its_owners_whatever_the_umask(void **state)
{
    static const mode_t masks[] = {0, 022, 0077, 0777};
    static struct log log;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(masks) / sizeof(masks[0]); i++) {
        mode_t before;
        struct stat status;

        memset(&log, 0, sizeof(log));
        log_folder_new(log.state);
        before = umask(masks[i]);
        assert_int_equal(audit_signer_open(&log.signer, log.state,
                                           "test.example", NULL),
                         0);
        umask(before);
        assert_int_equal(mode_of(&log, "key"), 0600);
        assert_int_equal(mode_of(&log, "key.pub"), 0644);
        assert_int_equal(stat(log_path(&log, "key.new"), &status), -1);
        assert_int_equal(mode_of(&log, ".") & 077, 0);
        log_end(&log);
    }
}

static void the_key_stays_and_keeps_its_name(void **state)
{
    static struct log log;
    char line[VERIFIER_MAX];

    (void)state;
    log_new(&log);
    strcpy(line, audit_signer_verifier(log.signer));
    assert_int_equal(strncmp(line, "test.example/log+", 17), 0);
    assert_int_equal(reopen(&log, NULL), 0);
    assert_string_equal(audit_signer_verifier(log.signer), line);
    log_fill(&log, 4, 2);
    assert_true(log_walk(&log).good);
    log_end(&log);
}

static void expect_refused(struct log *log, const char *code)
{
    struct gray_problem problem = {"", "", 0};

    assert_true(reopen(log, &problem) < 0);
    assert_string_equal(problem.code, code);
    assert_null(log->signer);
}

static void a_key_that_cannot_be_trusted_is_refused(void **state)
{
    static struct log log;
    static const mode_t open_modes[] = {0640, 0604, 0620, 0602, 0610, 0601};
    char path[128], line[VERIFIER_MAX], *key;
    size_t i, length;

    (void)state;
    log_new(&log);
    strcpy(path, log_path(&log, "key"));
    for (i = 0; i < sizeof(open_modes) / sizeof(open_modes[0]); i++) {
        assert_int_equal(chmod(path, open_modes[i]), 0);
        expect_refused(&log, "untrusted-file");
    }
    assert_int_equal(chmod(path, 0600), 0);
    if (geteuid() == 0) {
        assert_int_equal(chown(path, 65534, (gid_t)-1), 0);
        expect_refused(&log, "untrusted-file");
        assert_int_equal(chown(path, 0, (gid_t)-1), 0);
    }
    assert_int_equal(reopen(&log, NULL), 0);
    key = log_read_file(path, &length);
    log_write_file(path, key, length / 2); /* half a key */
    expect_refused(&log, "bad-key");
    log_write_file(path, "", 0);
    expect_refused(&log, "bad-key");
    assert_int_equal(remove(path), 0); /* gone: never made anew in silence */
    expect_refused(&log, "key-missing");
    assert_int_equal(symlink("/dev/zero", path), 0);
    expect_refused(&log, "io");
    assert_int_equal(remove(path), 0);
    log_write_file(path, key, length);
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(reopen(&log, NULL), 0);
    strcpy(line, "PeterNeumann+c74f20a3+"
                 "ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW\n");
    log_write_file(log_path(&log, "key.pub"), line, strlen(line));
    expect_refused(&log, "bad-key"); /* the public half of another */
    log_write_file(log_path(&log, "key.pub"), "nonsense\n", 9);
    expect_refused(&log, "bad-key");
    free(key);
    log_end(&log);
}

static void a_bad_origin_is_refused(void **state)
{
    static struct log log;
    struct gray_problem problem = {"", "", 0};

    (void)state;
    log_folder_new(log.state);
    assert_true(audit_signer_open(&log.signer, log.state, "a b", &problem) <
                0);
    assert_string_equal(problem.code, "bad-origin");
    log_folder_remove(log.state);
}

/* Whatever call fails while a key is made: the next start has one key. */
static void a_first_start_that_dies_is_repaired(void **state)
{
    static struct log log;
    int at, kind, fails = 0;

    (void)state;
    for (kind = 0; kind < 3; kind++) {
        for (at = 1; at < 12; at++) {
            struct gray_problem problem = {"", "", 0};

            memset(&log, 0, sizeof(log));
            log_folder_new(log.state);
            nothing_fails();
            fsync_fails_at = kind == 0 ? at : 0;
            rename_fails_at = kind == 1 ? at : 0;
            write_room = kind == 2 ? (at - 1) * 25 : -1;
            if (audit_signer_open(&log.signer, log.state, "test.example",
                                  &problem) != 0) {
                fails++;
                assert_true(strcmp(problem.code, "io") == 0 ||
                            strcmp(problem.code, "disk-full") == 0);
                nothing_fails();
                assert_int_equal(audit_signer_open(&log.signer, log.state,
                                                   "test.example", NULL),
                                 0);
            }
            nothing_fails();
            log_fill(&log, 2, 1);
            assert_true(log_walk(&log).good);
            log_end(&log);
        }
    }
    assert_in_range(fails, 12, 33);
}

/* ---- checkpoints ------------------------------------------------------- */

static void what_a_crash_left_is_cut_off(void **state)
{
    static struct log log;
    size_t length, cut, first;
    char *notes, path[128];
    struct audit_report report;

    (void)state;
    log_new(&log);
    log_fill(&log, 20, 10);
    strcpy(path, log_path(&log, "checkpoints"));
    notes = log_read_file(path, &length);
    first = (size_t)(strstr(strstr(notes, NOTE_DASH), "\n\n") + 2 - notes);
    for (cut = 0; cut <= length; cut += 7) {
        size_t whole = cut < first ? 0 : cut < length ? 1 : 2;

        log_write_file(path, notes, cut);
        assert_int_equal(reopen(&log, NULL), 0);
        log_checkpoint(&log);
        report = log_walk(&log);
        assert_true(report.good);
        assert_int_equal(report.checkpoints, whole + 1);
        assert_null(strstr(report.sentence, "torn"));
    }
    /* a file whose end was allocated and never written */
    notes = realloc(notes, length + 512);
    memset(notes + length, 0, 512);
    log_write_file(path, notes, length + 512);
    report = log_walk(&log);
    assert_true(report.good && strstr(report.sentence, "torn") != NULL);
    assert_int_equal(reopen(&log, NULL), 0);
    log_checkpoint(&log);
    assert_int_equal(log_walk(&log).checkpoints, 3);
    free(notes);
    log_end(&log);
}

static void what_no_crash_leaves_is_refused(void **state)
{
    static struct log log;
    static char junk[9 * NOTE_MAX];

    (void)state;
    log_new(&log);
    memset(junk, 'x', sizeof(junk));
    log_write_file(log_path(&log, "checkpoints"), junk, NOTE_MAX + 1);
    expect_refused(&log, "corrupt");
    log_write_file(log_path(&log, "checkpoints"), junk, sizeof(junk));
    expect_refused(&log, "corrupt");
    log_write_file(log_path(&log, "checkpoints"), junk, NOTE_MAX);
    assert_int_equal(reopen(&log, NULL), 0);
    log_end(&log);
}

static int try_checkpoint(struct log *log, struct gray_problem *ret_problem)
{
    return audit_checkpoint(log->signer, &log->tree, log->chain, 1, NULL,
                            ret_problem);
}

static void what_contradicts_a_checkpoint_is_not_signed(void **state)
{
    static struct log log;
    struct gray_problem problem = {"", "", 0};
    struct audit_tree early;
    uint8_t chain[AUDIT_HASH];
    int again;

    (void)state;
    log_new(&log);
    log_add(&log, 3);
    early = log.tree;
    memcpy(chain, log.chain, AUDIT_HASH);
    log_add(&log, 1);
    log_checkpoint(&log);
    for (again = 0; again < 2; again++) { /* after a start anew, too */
        assert_true(audit_checkpoint(log.signer, &early, chain, 1, NULL,
                                     &problem) < 0);
        assert_string_equal(problem.code, "audit-behind");
        log.chain[0] ^= 1;
        assert_true(try_checkpoint(&log, &problem) < 0);
        assert_string_equal(problem.code, "audit-behind");
        log.chain[0] ^= 1;
        log_checkpoint(&log);
        assert_int_equal(reopen(&log, NULL), 0);
    }
    assert_true(log_walk(&log).good);
    log_end(&log);
}

static void a_full_disk_leaves_no_half_checkpoint(void **state)
{
    static struct log log;
    struct gray_problem problem = {"", "", 0};
    ssize_t room;

    (void)state;
    log_new(&log);
    log_fill(&log, 2, 1);
    log_add(&log, 1);
    for (room = 0; room <= 220; room += 10) {
        write_room = room;
        assert_true(try_checkpoint(&log, &problem) < 0);
        assert_string_equal(problem.code, "disk-full");
        nothing_fails();
        assert_int_equal(log_walk(&log).checkpoints, 2);
        assert_null(strstr(log_walk(&log).sentence, "torn"));
    }
    log_checkpoint(&log); /* as soon as there is room again */
    assert_int_equal(log_walk(&log).checkpoints, 3);
    log_end(&log);
}

static void after_a_failed_fsync_nothing_more_is_signed(void **state)
{
    static struct log log;
    struct gray_problem problem = {"", "", 0};

    (void)state;
    log_new(&log);
    log_fill(&log, 2, 1);
    nothing_fails();
    fsync_fails_at = 1;
    assert_true(try_checkpoint(&log, &problem) < 0);
    assert_string_equal(problem.code, "io");
    nothing_fails();
    assert_true(try_checkpoint(&log, &problem) < 0);
    assert_string_equal(problem.code, "audit-failed");
    assert_int_equal(reopen(&log, NULL), 0);
    assert_int_equal(try_checkpoint(&log, &problem), 0);
    assert_true(log_walk(&log).good);
    log_end(&log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_key_is_its_owners_whatever_the_umask),
        cmocka_unit_test(the_key_stays_and_keeps_its_name),
        cmocka_unit_test(a_key_that_cannot_be_trusted_is_refused),
        cmocka_unit_test(a_bad_origin_is_refused),
        cmocka_unit_test(a_first_start_that_dies_is_repaired),
        cmocka_unit_test(what_a_crash_left_is_cut_off),
        cmocka_unit_test(what_no_crash_leaves_is_refused),
        cmocka_unit_test(what_contradicts_a_checkpoint_is_not_signed),
        cmocka_unit_test(a_full_disk_leaves_no_half_checkpoint),
        cmocka_unit_test(after_a_failed_fsync_nothing_more_is_signed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
