/* SPDX-License-Identifier: Apache-2.0
 * test_disk.c - a full or read-only disk keeps no copy, and stops nothing.
 *
 * Why: the disk under /var is full on the very night that a release must be
 * stopped.  The disk here is a small tmpfs of our own in a private mount
 * namespace.
 * Read next: control/publish/last_good.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/control/publish/fixture.h"

static struct place place;

static int disk_make(void **state)
{
    place_new(&place);
    *state = NULL;
    if (mkdir(place.state, 0700) != 0 || unshare(CLONE_NEWNS) != 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", place.state, "tmpfs", 0, "size=256k,mode=0700") != 0) {
        print_message("no right to mount here: not tested\n");
        return 0;
    }
    *state = &place;
    return 0;
}

static int disk_end(void **state)
{
    if (*state != NULL) {
        umount(place.state);
    }
    place_remove(&place);
    return 0;
}

/* Leaves this many bytes free. */
static void fill(size_t free_bytes)
{
    struct statvfs status;
    char path[128];
    size_t left;
    int fd;

    snprintf(path, sizeof(path), "%s/ballast", place.state);
    unlink(path);
    assert_int_equal(statvfs(place.state, &status), 0);
    left = status.f_bavail * status.f_bsize;
    if (left <= free_bytes) {
        return;
    }
    fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    assert_int_equal(posix_fallocate(fd, 0, (off_t)(left - free_bytes)), 0);
    close(fd);
}

static void every_write_fails_once(void **state)
{
    struct publisher *publisher;
    uint64_t revision = 1, kept = 1;
    unsigned failed = 0, good = 0;

    if (*state == NULL) {
        skip();
    }
    publisher = publisher_new(&place);
    revision_put_well(publisher, 1, NULL, 0);
    for (size_t left = 0; left <= 20 * 4096; left += 4096) {
        struct publisher_word word = {"cart-2", GRAY_WORD_NO_ADMIT};
        struct gray_problem problem = {0};
        int result;

        revision++;
        word.word = revision % 2 == 0 ? GRAY_WORD_NO_ADMIT : GRAY_WORD_OPEN;
        fill(left);
        result = revision_put(publisher, revision, &word, 1, &problem);
        /* In force it is, whatever the disk says. */
        assert_int_equal(revision_found(place.runtime), revision);
        assert_int_equal(word_found(place.runtime, "cart-2"), word.word);
        if (result == 0) {
            good++;
            kept = revision;
        } else {
            failed++;
            assert_int_equal(result, 1);
            assert_string_equal(problem.code, "disk-full");
            assert_int_equal(copies_count(&place), 1);
        }
        assert_int_equal(restore_elsewhere(&place), kept);
        folder_remove(place.other);
    }
    print_message("%u copies failed, %u did not\n", failed, good);
    assert_true(failed >= 3 && good >= 1);
    publisher_close(publisher);
}

static void a_read_only_disk(void **state)
{
    struct publisher_word word = {"cart-2", GRAY_WORD_KILLED};
    struct gray_problem problem = {0};
    struct publisher *publisher;

    if (*state == NULL) {
        skip();
    }
    fill(SIZE_MAX);
    publisher = publisher_new(&place);
    revision_put_well(publisher, 60, NULL, 0);
    assert_int_equal(mount(NULL, place.state, NULL, MS_REMOUNT | MS_RDONLY,
                           NULL),
                     0);
    assert_int_equal(publisher_words(publisher, &word, 1, &problem), 1);
    assert_string_equal(problem.code, "read-only");
    assert_int_equal(word_found(place.runtime, "cart-2"), GRAY_WORD_KILLED);
    assert_int_equal(mount(NULL, place.state, NULL, MS_REMOUNT, NULL), 0);
    /* The next change keeps the word that could not be kept. */
    assert_int_equal(publisher_bypass(publisher, false, &problem), 0);
    assert_int_equal(restore_elsewhere(&place), 60);
    assert_int_equal(word_found(place.other, "cart-2"), GRAY_WORD_KILLED);
    publisher_close(publisher);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_write_fails_once),
        cmocka_unit_test(a_read_only_disk),
    };

    return cmocka_run_group_tests(tests, disk_make, disk_end);
}
