/* SPDX-License-Identifier: Apache-2.0
 * test_disk.c - a full disk, a read-only disk, a folder that others may enter,
 * and two grayds on one folder.
 *
 * Why: each must be refused in a sentence, keep nothing by halves, and pass
 * once its cause has gone.  The tmpfs here is a small one of our own in a
 * private mount namespace, filled more or less from run to run, so that the
 * log runs out of room at different places.
 * Read next: control/store/store_sqlite.c.
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
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "tests/control/store/fixture.h"

#define PAGE 4096u

static struct place place;
static bool mounted;

static int set_up(void **state)
{
    (void)state;
    place_new(&place);
    mounted = unshare(CLONE_NEWNS) == 0 &&
              mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
              mount("tmpfs", place.top, "tmpfs", 0, "size=2m,mode=0755") == 0;
    if (!mounted) {
        print_message("no right to mount here: not tested\n");
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    if (mounted) {
        umount(place.top);
    }
    place_remove(&place);
    return 0;
}

/* Leaves this many bytes free. */
static void fill(size_t free_bytes)
{
    char path[128];
    struct statvfs status;
    size_t left;
    int fd;

    snprintf(path, sizeof(path), "%s/ballast", place.top);
    unlink(path);
    assert_int_equal(statvfs(place.top, &status), 0);
    left = status.f_bavail * status.f_bsize;
    if (left <= free_bytes) {
        return;
    }
    fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    assert_int_equal(posix_fallocate(fd, 0, (off_t)(left - free_bytes)), 0);
    close(fd);
}

/* Commits a text of 12 pages at every number of free pages: it is kept whole
 * or the disk is full and nothing is; with room it is kept. */
static void a_full_disk_keeps_nothing(void **state)
{
    static char text[12 * PAGE];
    struct gray_problem problem = { NULL, "", 0 };
    struct store_reader *reader;
    struct store *store;
    uint32_t pages, full = 0, kept = 0;
    uint64_t revision = 0;

    (void)state;
    if (!mounted) {
        skip();
    }
    memset(text, 'x', sizeof(text) - 1);
    store = store_new(&place);
    reader = reader_new(&place);
    document_put_well(store, revision++, "Release/a", "small");
    for (pages = 0; pages < 24; pages++) {
        int error;

        fill(pages * PAGE);
        error = document_put(store, revision, "Release/a", text, &problem);
        if (error != 0) {
            assert_int_equal(error, -ENOSPC);
            assert_string_equal(problem.code, "store-failed");
            full++;
        } else {
            kept++;
            revision++;
        }
        assert_int_equal(head_of(reader).revision, revision);
        assert_int_equal(head_of(reader).audit_sequence, revision);
        if (error != 0 && pages % 3 == 0) { /* or try again in less room */
            fill(SIZE_MAX);
            document_put_well(store, revision++, "Release/a", "small");
        }
    }
    print_message("%u commits found the disk full, %u did not\n", full, kept);
    assert_true(full >= 5 && kept >= 1);
    /* Full, closed, opened, and still whole. */
    fill(0);
    store_reader_close(reader);
    store_close(store);
    fill(SIZE_MAX);
    store = store_new(&place);
    reader = reader_new(&place);
    assert_int_equal(head_of(reader).revision, revision);
    document_put_well(store, revision, "Release/a", "more");
    store_reader_close(reader);
    store_close(store);
}

/* Neither making nor opening one without room leaves a half one. */
static void a_store_needs_room_to_begin(void **state)
{
    uint32_t pages, refused = 0;

    (void)state;
    if (!mounted) {
        skip();
    }
    for (pages = 0; pages < 40; pages++) {
        struct gray_problem problem = { NULL, "", 0 };
        struct store *store = NULL;
        int error;

        fill(pages * PAGE);
        error = store_open(&store, place.store, &problem);
        if (error != 0) {
            refused++;
            assert_int_equal(error, -ENOSPC);
            assert_string_equal(problem.code, "store-failed");
        }
        store_close(store);
    }
    print_message("%u times no room to begin\n", refused);
    assert_true(refused >= 10);
    fill(SIZE_MAX);
    store_close(store_new(&place));
}

static void remount(unsigned long flags)
{
    assert_int_equal(mount(NULL, place.top, NULL, MS_REMOUNT | flags, NULL),
                     0);
}

/* Dies with its log left behind. */
static void commit_and_die(uint64_t expected)
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        struct store *store = NULL;

        if (store_open(&store, place.store, NULL) == 0) {
            document_put(store, expected, "Release/a", "last", NULL);
        }
        kill(getpid(), SIGKILL);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
}

static void a_read_only_disk_is_read(void **state)
{
    struct seen seen = { .count = 0 };
    struct store_reader *reader;
    struct store *store;

    (void)state;
    if (!mounted) {
        skip();
    }
    remount(MS_RDONLY);
    store_refused(&place, -EROFS, "store-failed");
    remount(0);
    store = store_new(&place);
    document_put_well(store, 0, "Release/a", "first");
    store_close(store);
    remount(MS_RDONLY);
    store_refused(&place, -EROFS, "store-failed");
    reader = reader_new(&place);
    assert_int_equal(head_of(reader).revision, 1);
    store_reader_close(reader);
    remount(0);
    commit_and_die(1);
    remount(MS_RDONLY);
    reader = reader_new(&place);
    assert_int_equal(store_read_item(reader, STORE_DOCUMENT, "Release/a", 0,
                                     seen_visit, &seen, NULL),
                     0);
    assert_string_equal(seen.items[0].text, "last");
    store_reader_close(reader);
    remount(0);
    store_close(store_new(&place));
}

static void modes_are_ours_whatever_the_umask(void **state)
{
    static const mode_t masks[] = { 0, 022, 0277, 0777 };
    static const char *const names[] = { "store.db", "store.db-wal",
                                         "store.db-shm", "lock",
                                         "acknowledged" };
    char path[128];
    struct stat status;
    size_t i, k;

    (void)state;
    for (i = 0; i < 4; i++) {
        struct place one;
        struct store *store;
        mode_t before;

        place_new(&one);
        before = umask(masks[i]);
        store = store_new(&one);
        document_put_well(store, 0, "Release/a", "1");
        umask(before);
        assert_int_equal(stat(one.store, &status), 0);
        assert_int_equal(status.st_mode & 07777, 0700);
        for (k = 0; k < 5; k++) {
            snprintf(path, sizeof(path), "%s/%s", one.store, names[k]);
            assert_int_equal(stat(path, &status), 0);
            assert_int_equal(status.st_mode & 07777, 0600);
        }
        store_close(store);
        place_remove(&one);
    }
}

static void a_folder_of_others_is_refused(void **state)
{
    struct place one;
    struct stat status;
    int fd;

    (void)state;
    place_new(&one);
    assert_int_equal(mkdir(one.store, 0700), 0);
    assert_int_equal(chmod(one.store, 0750), 0);
    store_refused(&one, -EPERM, "untrusted-folder");
    assert_int_equal(stat(one.store, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0750);
    assert_int_equal(chmod(one.store, 0700), 0);
    if (geteuid() == 0) {
        assert_int_equal(chown(one.store, 4711, (gid_t)-1), 0);
        store_refused(&one, -EPERM, "untrusted-folder");
    }
    assert_int_equal(rmdir(one.store), 0);
    fd = open(one.store, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    close(fd);
    store_refused(&one, -ENOTDIR, "bad-folder");
    strcat(one.store, "/x");
    store_refused(&one, -ENOTDIR, "bad-folder");
    place_remove(&one);
}

/* A folder's name may have what a URI gives a meaning. */
static void any_name_of_a_folder_will_do(void **state)
{
    struct place one;
    struct store *store;
    struct store_reader *reader;

    (void)state;
    place_new(&one);
    snprintf(one.store, sizeof(one.store), "%s/a b?c#d%%20", one.top);
    store = store_new(&one);
    document_put_well(store, 0, "Release/a", "1");
    reader = reader_new(&one);
    assert_int_equal(head_of(reader).revision, 1);
    store_reader_close(reader);
    store_close(store);
    place_remove(&one);
}

static void paths_have_a_limit(void **state)
{
    struct gray_problem problem = { NULL, "", 0 };
    struct store_reader *reader = NULL;
    struct store *store = NULL;
    char path[STORE_FOLDER_MAX + 2];
    struct place one;
    size_t length;

    (void)state;
    place_new(&one);
    length = (size_t)snprintf(path, sizeof(path), "%s/", one.top);
    memset(path + length, 'd', sizeof(path) - length);
    path[200] = '\0';
    assert_int_equal(mkdir(path, 0700), 0);
    path[200] = '/';
    path[STORE_FOLDER_MAX + 1] = '\0';
    assert_int_equal(store_open(&store, path, &problem), -EINVAL);
    assert_string_equal(problem.code, "bad-folder");
    assert_int_equal(store_reader_open(&reader, path, &problem), -EINVAL);
    path[STORE_FOLDER_MAX] = '\0';
    assert_int_equal(store_open(&store, path, &problem), 0);
    document_put_well(store, 0, "Release/a", "1");
    assert_int_equal(store_reader_open(&reader, path, &problem), 0);
    assert_int_equal(head_of(reader).revision, 1);
    store_reader_close(reader);
    store_close(store);
    assert_int_equal(store_open(&store, "", &problem), -EINVAL);
    assert_int_equal(store_open(&store, NULL, &problem), -EINVAL);
    place_remove(&one);
}

static void no_store_is_nothing_to_read(void **state)
{
    struct gray_problem problem = { NULL, "", 0 };
    struct store_reader *reader = NULL;
    struct place one;
    struct stat status;

    (void)state;
    place_new(&one);
    assert_int_equal(store_reader_open(&reader, one.store, &problem), -ENOENT);
    assert_string_equal(problem.code, "no-store");
    assert_int_equal(stat(one.store, &status), -1); /* none was made */
    place_remove(&one);
}

static void two_grayds_are_one_too_many(void **state)
{
    struct gray_problem problem = { NULL, "", 0 };
    struct store *store, *second = NULL;
    struct place one;
    char pid[32];
    int ends[2], back[2], status;
    pid_t child;
    char byte = 0;

    (void)state;
    place_new(&one);
    store = store_new(&one);
    assert_int_equal(store_open(&second, one.store, &problem), -EBUSY);
    assert_string_equal(problem.code, "in-use");
    snprintf(pid, sizeof(pid), "process %ld)", (long)getpid());
    assert_non_null(strstr(problem.sentence, pid));
    document_put_well(store, 0, "Release/a", "1");
    store_close(store);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(pipe2(back, O_CLOEXEC), 0);
    child = fork();
    if (child == 0) {
        byte = store_open(&store, one.store, NULL) == 0 ? 'y' : 'n';
        status = (int)write(ends[1], &byte, 1);
        status = (int)read(back[0], &byte, 1); /* until it is killed */
        _exit(status);
    }
    assert_int_equal(read(ends[0], &byte, 1), 1);
    assert_int_equal(byte, 'y');
    assert_int_equal(store_open(&second, one.store, &problem), -EBUSY);
    snprintf(pid, sizeof(pid), "process %ld)", (long)child);
    assert_non_null(strstr(problem.sentence, pid));
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
    store_close(store_new(&one));
    close(ends[0]);
    close(ends[1]);
    close(back[0]);
    close(back[1]);
    place_remove(&one);
}

static void sql(const struct place *one, const char *text)
{
    char path[128];
    sqlite3 *db;

    snprintf(path, sizeof(path), "%s/store.db", one->store);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void other_layouts_are_refused(void **state)
{
    static const char *const others[] = { "PRAGMA user_version=2",
                                          "PRAGMA user_version=0",
                                          "PRAGMA application_id=7" };
    struct gray_problem problem = { NULL, "", 0 };
    struct store_reader *reader = NULL;
    struct place one;
    size_t i;

    (void)state;
    place_new(&one);
    store_close(store_new(&one));
    for (i = 0; i < 3; i++) {
        sql(&one, others[i]);
        store_refused(&one, -EINVAL, "unknown-layout");
        assert_int_equal(store_reader_open(&reader, one.store, &problem),
                         -EINVAL);
        assert_string_equal(problem.code, "unknown-layout");
    }
    sql(&one, "PRAGMA user_version=1");
    store_refused(&one, -EINVAL, "unknown-layout");
    sql(&one, "PRAGMA application_id=1735549305"); /* "gray" */
    store_close(store_new(&one));
    place_remove(&one);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_full_disk_keeps_nothing),
        TEST(a_store_needs_room_to_begin),
        TEST(a_read_only_disk_is_read),
        cmocka_unit_test(modes_are_ours_whatever_the_umask),
        cmocka_unit_test(a_folder_of_others_is_refused),
        cmocka_unit_test(any_name_of_a_folder_will_do),
        cmocka_unit_test(paths_have_a_limit),
        cmocka_unit_test(no_store_is_nothing_to_read),
        cmocka_unit_test(two_grayds_are_one_too_many),
        cmocka_unit_test(other_layouts_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
