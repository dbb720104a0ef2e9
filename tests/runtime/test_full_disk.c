/* SPDX-License-Identifier: Apache-2.0
 * test_full_disk.c - on a full tmpfs publishing fails and nothing changes.
 *
 * Why: a hole in a mapped file of a full tmpfs is a SIGBUS in every reader, so
 * files are allocated before they are named.  The tmpfs here is a small one of
 * our own in a private mount namespace, filled more or less from run to run,
 * so that every allocation of a publication fails once.
 * Read next: runtime/file.c.
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
#include <sys/statvfs.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/runtime/folder.h"

#define SIZE "5m"

/* Leaves this many bytes free. */
static void fill(const char *path, size_t free_bytes)
{
    struct statvfs status;
    char full[128];
    size_t left;
    int fd;

    snprintf(full, sizeof(full), "%s/ballast", path);
    unlink(full);
    assert_int_equal(statvfs(path, &status), 0);
    left = status.f_bavail * status.f_bsize;
    if (left <= free_bytes) {
        return;
    }
    fd = open(full, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    assert_int_equal(posix_fallocate(fd, 0, (off_t)(left - free_bytes)), 0);
    close(fd);
}

static int mount_make(void **state)
{
    static char path[64];

    folder_new(path);
    if (unshare(CLONE_NEWNS) != 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", path, "tmpfs", 0, "size=" SIZE ",mode=0755") != 0) {
        folder_remove(path);
        print_message("no right to mount here: not tested\n");
        *state = NULL;
        return 0;
    }
    *state = path;
    return 0;
}

static int mount_end(void **state)
{
    if (*state != NULL) {
        umount(*state);
        rmdir(*state);
    }
    return 0;
}

static void every_allocation_fails_once(void **state)
{
    const char *path = *state;
    struct gray_runtime *runtime;
    size_t free_bytes, control_size, again_size;
    uint32_t failed = 0, published = 0;
    char text[4096];
    char *ids;
    void *control, *again;
    int i;

    if (path == NULL) {
        skip();
    }
    shop_publish(path, "0", 1);
    assert_int_equal(gray_runtime_open(&runtime, path, GRAY_READER_NGINX, true,
                                       NULL),
                     0);
    /* A new list each time, so that there is much to be written. */
    for (free_bytes = 0; free_bytes <= 12 * 4096; free_bytes += 4096) {
        struct gray_problem problem = { NULL, "", 0 };
        struct gray_runtime_set *set;
        uint64_t before =
            gray_runtime_view(runtime, NULL)->policy->header->revision;
        uint64_t revision = before + 1;
        int error;

        ids = text;
        ids += sprintf(ids, "kind: Service\nname: cart\n"
                            "baseline: {version: v1}\nversions:\n"
                            "  v1: {endpoints: ['127.0.0.1:9101']}\n"
                            "  v2: {endpoints: ['127.0.0.1:9102']}\n"
                            "---\nkind: Release\nname: cart-2\n"
                            "services: [{service: cart, version: v2}]\n"
                            "unit: {cookie: uid}\n"
                            "admission: {allow: [{list: testers}]}\n"
                            "---\nkind: List\nname: testers\nids: ['tester'");
        for (i = 0; i < 200; i++) {
            ids += sprintf(ids, ",'a%u-%d'", (unsigned)free_bytes, i);
        }
        strcpy(ids, "]\n");
        control = file_bytes(path, "control", &control_size);
        fill(path, free_bytes);
        error = documents_publish(path, text, revision, &problem);
        gray_runtime_load(runtime, &set, NULL);
        gray_runtime_swap(runtime, set);
        assert_null(gray_runtime_refusal(runtime)->code);
        assert_int_equal(view_admits(runtime, "tester"), 1);
        if (error == 0) {
            published++;
            assert_int_equal(
                gray_runtime_view(runtime, NULL)->policy->header->revision,
                revision);
        } else {
            failed++;
            assert_string_equal(problem.code, "disk-full");
            assert_null(set);
            again = file_bytes(path, "control", &again_size);
            /* Words may have been given; generations may not move. */
            assert_memory_equal(control, again,
                                offsetof(struct gray_control, word_count));
            free(again);
            assert_int_equal(files_ending(path, ".new"), 0);
        }
        free(control);
    }
    print_message("%u publications failed, %u did not\n", failed, published);
    assert_true(failed >= 3 && published >= 1);
    gray_runtime_close(runtime);
}

/* Room for the policy, and none for the marks of its new release. */
static void without_room_for_a_mark_table_nothing_is_published(void **state)
{
    const char *path = *state;
    struct gray_problem problem = { NULL, "", 0 };
    struct gray_control *control;
    char text[4096], table[64];
    uint64_t generation;
    size_t size;

    if (path == NULL) {
        skip();
    }
    control = file_bytes(path, "control", &size);
    generation = control->policy_generation;
    free(control);
    shop_text(text, sizeof(text), "0");
    strcat(text, "---\nkind: Service\nname: order\nbaseline: {version: v1}\n"
                 "versions:\n  v1: {endpoints: ['127.0.0.1:9201']}\n"
                 "  v2: {endpoints: ['127.0.0.1:9202']}\n"
                 "---\nkind: Release\nname: order-2\n"
                 "services: [{service: order, version: v2}]\n"
                 "unit: {cookie: uid}\nadmission: {share: 10}\n");
    snprintf(table, sizeof(table), "marks/%016llx.1",
             (unsigned long long)gray_hash_scope("order-2", 7));
    fill(path, 600000);
    assert_true(documents_publish(path, text, 77, &problem) < 0);
    assert_string_equal(problem.code, "disk-full");
    control = file_bytes(path, "control", &size);
    assert_int_equal(control->policy_generation, generation);
    free(control);
    assert_false(file_exists(path, table));
    assert_int_equal(files_ending(path, ".new"), 0);
    fill(path, 2000000);
    assert_int_equal(documents_publish(path, text, 77, &problem), 0);
    assert_true(file_exists(path, table));
}

/* A reader that finds no room decides all the same, uncounted. */
static void a_reader_without_room_still_decides(void **state)
{
    const char *path = *state;
    struct gray_problem problem = { NULL, "", 0 };
    struct gray_runtime *runtime;

    if (path == NULL) {
        skip();
    }
    fill(path, 0);
    assert_int_equal(gray_runtime_open(&runtime, path, GRAY_READER_LIBRARY,
                                       true, &problem),
                     0);
    assert_string_equal(problem.code, "disk-full");
    assert_int_equal(gray_runtime_wake_fd(runtime), -1);
    assert_int_equal(view_admits(runtime, "tester"), 1);
    assert_null(gray_counters_series(runtime, 0, GRAY_CLASS_LIVE));
    gray_counters_event(runtime, GRAY_EVENT_NO_VIEW);
    gray_counters_reason(runtime, GRAY_REASON_SHARE, false);
    gray_runtime_close(runtime);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_allocation_fails_once),
        cmocka_unit_test(without_room_for_a_mark_table_nothing_is_published),
        cmocka_unit_test(a_reader_without_room_still_decides),
    };

    return cmocka_run_group_tests(tests, mount_make, mount_end);
}
