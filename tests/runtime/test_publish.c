/* SPDX-License-Identifier: Apache-2.0
 * test_publish.c - a policy comes into force whole, or not at all.
 *
 * Read next: runtime/publish.c, test_publish_killed.c (kill -9).
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/runtime/folder.h"

static mode_t mode_of(const char *path, const char *name)
{
    struct stat status;
    char full[256];

    snprintf(full, sizeof(full), "%s/%s", path, name);
    assert_int_equal(lstat(full, &status), 0);
    return status.st_mode & 07777;
}

/* The folder is made with the modes that the trust rules ask for. */
static void first_publish_makes_the_folder(void **state)
{
    char parent[64], path[80];
    struct gray_folder folder;

    (void)state;
    folder_new(parent);
    snprintf(path, sizeof(path), "%s/made", parent);
    umask(0077);
    shop_publish(path, "10", 7);
    umask(0022);
    assert_int_equal(mode_of(path, "."), 0755);
    assert_int_equal(mode_of(path, "readers"), 01777);
    assert_int_equal(mode_of(path, "lists"), 0755);
    assert_int_equal(mode_of(path, "marks"), 0755);
    assert_int_equal(mode_of(path, "control"), 0644);
    assert_int_equal(mode_of(path, "keys"), 0640);
    assert_int_equal(mode_of(path, "policy.snap"), 0644);
    assert_int_equal(mode_of(path, "fleet.snap"), 0644);
    assert_int_equal(gray_folder_open(&folder, path, false, NULL), 0);
    assert_int_equal(folder.control->policy_generation, 1);
    assert_int_equal(folder.control->fleet_generation, 1);
    assert_int_equal(folder.control->keys_generation, 1);
    gray_folder_close(&folder);
    folder_remove(parent);
}

/* The last three policies stay, the lists that they name, and no more. */
static void three_good_ones_are_kept(void **state)
{
    char path[64], text[2048], lists[80];
    uint64_t i;

    (void)state;
    folder_new(path);
    for (i = 1; i <= 6; i++) {
        snprintf(text, sizeof(text),
                 "kind: Service\nname: cart\nbaseline: {version: v1}\n"
                 "versions: {v1: {endpoints: ['127.0.0.1:9101']},\n"
                 "  v2: {endpoints: ['127.0.0.1:9102']}}\n"
                 "---\nkind: List\nname: testers\nids: ['t%d']\n"
                 "---\nkind: Release\nname: cart-2\nunit: {cookie: uid}\n"
                 "services: [{service: cart, version: v2}]\n"
                 "admission: {allow: [{list: testers}]}\n",
                 (int)i);
        assert_int_equal(documents_publish(path, text, i, NULL), 0);
    }
    assert_false(file_exists(path, "policy.3.snap"));
    assert_true(file_exists(path, "policy.4.snap"));
    assert_true(file_exists(path, "policy.5.snap"));
    assert_true(file_exists(path, "policy.6.snap"));
    assert_int_equal(files_ending(path, ".new"), 0);
    snprintf(lists, sizeof(lists), "%s/lists", path);
    assert_int_equal(files_ending(lists, "") - 2, 3); /* . and .. */
    folder_remove(path);
}

/* A file that the readers' own loader refuses is never named. */
static void a_bad_policy_changes_nothing(void **state)
{
    struct gray_problem problem = { NULL, "", 0 };
    struct gray_publish what = { .group = (gid_t)-1 };
    struct gray_compiled compiled;
    char path[64], text[2048];
    size_t before_size, after_size;
    void *before, *after;

    (void)state;
    folder_new(path);
    shop_publish(path, "10", 1);
    before = file_bytes(path, "control", &before_size);
    shop_text(text, sizeof(text), "20");
    documents_compile(text, 2, &compiled);
    ((struct gray_policy *)(compiled.policy.data +
                            sizeof(struct gray_file_header)))
        ->rules.count = 1u << 30;
    what.policy = compiled.policy.data;
    what.policy_size = compiled.policy.size;
    assert_int_not_equal(gray_publish(path, &what, NULL, &problem), 0);
    assert_non_null(problem.code);
    after = file_bytes(path, "control", &after_size);
    assert_memory_equal(before, after, before_size);
    assert_int_equal(files_ending(path, ".snap"), 4); /* two, two names each */
    assert_int_equal(files_ending(path, ".new"), 0);
    free(before);
    free(after);
    gray_compiled_free(&compiled);
    folder_remove(path);
}

/* A policy whose list does not come along is refused before it is in force. */
static void a_missing_list_changes_nothing(void **state)
{
    struct gray_problem problem = { NULL, "", 0 };
    struct gray_publish what = { .group = (gid_t)-1 };
    struct gray_compiled compiled;
    struct gray_folder folder;
    char path[64], text[2048];

    (void)state;
    folder_new(path);
    shop_text(text, sizeof(text), "20");
    documents_compile(text, 2, &compiled);
    what.policy = compiled.policy.data;
    what.policy_size = compiled.policy.size;
    assert_int_equal(gray_publish(path, &what, NULL, &problem), -ENOENT);
    assert_string_equal(problem.code, "missing");
    assert_int_equal(gray_folder_open(&folder, path, false, NULL), 0);
    assert_int_equal(folder.control->policy_generation, 0);
    gray_folder_close(&folder);
    assert_int_equal(files_ending(path, ".snap"), 0);
    gray_compiled_free(&compiled);
    folder_remove(path);
}

/* A damaged list of the same name is written again. */
static void a_damaged_list_is_repaired(void **state)
{
    struct gray_runtime *runtime;
    char path[64], name[400], lists[80];
    FILE *found;

    (void)state;
    folder_new(path);
    shop_publish(path, "0", 1);
    snprintf(lists, sizeof(lists), "ls %s/lists", path);
    found = popen(lists, "r");
    assert_non_null(fgets(name, sizeof(name), found));
    pclose(found);
    name[strcspn(name, "\n")] = '\0';
    snprintf(lists, sizeof(lists), "%s/lists", path);
    file_replace(lists, name, "damaged", 7);
    shop_publish(path, "0", 2);
    assert_int_equal(gray_runtime_open(&runtime, path, GRAY_READER_CLI, false,
                                       NULL),
                     0);
    assert_int_equal(view_admits(runtime, "tester"), 1);
    assert_int_equal(view_admits(runtime, "nobody"), 0);
    gray_runtime_close(runtime);
    folder_remove(path);
}

/* Not on tmpfs: refused with advice, and nothing is made. */
static void a_disk_is_refused(void **state)
{
    struct gray_problem problem = { NULL, "", 0 };
    struct gray_publish what = { .group = (gid_t)-1 };
    char parent[] = "/var/tmp/graylane-test.XXXXXX", path[80];

    (void)state;
    assert_non_null(mkdtemp(parent));
    snprintf(path, sizeof(path), "%s/made", parent);
    assert_int_equal(gray_publish(path, &what, NULL, &problem), -EINVAL);
    assert_string_equal(problem.code, "not-tmpfs");
    assert_non_null(strstr(problem.sentence, "/dev/shm"));
    assert_int_equal(access(path, F_OK), -1);
    what.allow_any_filesystem = true;
    assert_int_equal(gray_publish(path, &what, NULL, &problem), 0);
    folder_remove(parent);
}

/* A folder that others may write is no folder of ours. */
static void a_folder_of_everyone_is_refused(void **state)
{
    struct gray_problem problem = { NULL, "", 0 };
    struct gray_runtime *runtime;
    struct gray_folder folder;
    char path[64];

    (void)state;
    folder_new(path);
    shop_publish(path, "10", 1);
    assert_int_equal(chmod(path, 0777), 0);
    assert_int_equal(gray_folder_open(&folder, path, true, &problem), -EPERM);
    assert_string_equal(problem.code, "untrusted-folder");
    assert_int_equal(gray_runtime_open(&runtime, path, GRAY_READER_CLI, false,
                                       &problem),
                     -EPERM);
    folder_remove(path);
}

/* A reader of a policy published with a new fleet never sees the new policy
 * with the old fleet, even when the publisher died between the two numbers. */
static void policy_and_fleet_turn_together(void **state)
{
    struct gray_runtime *runtime;
    struct gray_folder folder;
    char path[64];

    (void)state;
    folder_new(path);
    shop_publish(path, "10", 1);
    shop_publish(path, "20", 2);
    assert_int_equal(gray_folder_open(&folder, path, true, NULL), 0);
    folder.control->fleet_generation = 1; /* as if it had died there */
    assert_int_equal(gray_runtime_open(&runtime, path, GRAY_READER_CLI, false,
                                       NULL),
                     0);
    assert_int_equal(runtime->set->policy->generation, 2);
    assert_int_equal(runtime->set->fleet->generation, 2);
    gray_runtime_close(runtime);
    shop_publish(path, "30", 3);
    assert_int_equal(folder.control->fleet_generation, 3);
    gray_folder_close(&folder);
    folder_remove(path);
}

/* Two that looked at the same generation do not both replace it. */
static void who_was_overtaken_is_told(void **state)
{
    struct gray_problem problem = { NULL, "", 0 };
    struct gray_publish what = { .group = (gid_t)-1,
                                 .expect_generation = true,
                                 .expected_generation = 1 };
    struct gray_compiled compiled;
    struct gray_published published;
    char path[64], text[2048];

    (void)state;
    folder_new(path);
    shop_publish(path, "10", 1);
    shop_text(text, sizeof(text), "20");
    documents_compile(text, 2, &compiled);
    what.policy = compiled.policy.data;
    what.policy_size = compiled.policy.size;
    assert_int_equal(gray_publish(path, &what, &published, &problem), 0);
    assert_int_equal(published.policy_generation, 2);
    assert_int_equal(gray_publish(path, &what, NULL, &problem), -EAGAIN);
    assert_string_equal(problem.code, "overtaken");
    assert_int_equal(files_ending(path, ".new"), 0);
    gray_compiled_free(&compiled);
    folder_remove(path);
}

/* What a dead publisher left is cleared away, and its number is not trusted. */
static void leftovers_are_cleared(void **state)
{
    struct gray_runtime *runtime;
    struct gray_folder folder;
    char path[64], from[128], to[128];

    (void)state;
    folder_new(path);
    shop_publish(path, "10", 1);
    shop_publish(path, "20", 2);
    assert_int_equal(gray_folder_open(&folder, path, true, NULL), 0);
    /* Died after the names, before the number: the old one is in force. */
    folder.control->policy_generation = 1;
    folder.control->fleet_generation = 1;
    snprintf(from, sizeof(from), "%s/policy.9.snap.new", path);
    assert_int_equal(close(open(from, O_CREAT | O_WRONLY, 0600)), 0);
    snprintf(to, sizeof(to), "%s/policy.snap.new", path);
    assert_int_equal(link(from, to), 0);
    assert_int_equal(gray_runtime_open(&runtime, path, GRAY_READER_CLI, false,
                                       NULL),
                     0);
    assert_int_equal(runtime->set->policy->generation, 1);
    assert_int_equal(runtime->set->policy->policy.header->revision, 1);
    assert_null(gray_runtime_refusal(runtime)->code);
    gray_runtime_close(runtime);
    shop_publish(path, "30", 3);
    assert_int_equal(files_ending(path, ".new"), 0);
    /* A number that was given is not given again. */
    assert_int_equal(folder.control->policy_generation, 3);
    gray_folder_close(&folder);
    assert_int_equal(gray_runtime_open(&runtime, path, GRAY_READER_CLI, false,
                                       NULL),
                     0);
    assert_int_equal(runtime->set->policy->policy.header->revision, 3);
    gray_runtime_close(runtime);
    folder_remove(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_publish_makes_the_folder),
        cmocka_unit_test(three_good_ones_are_kept),
        cmocka_unit_test(a_bad_policy_changes_nothing),
        cmocka_unit_test(a_missing_list_changes_nothing),
        cmocka_unit_test(a_damaged_list_is_repaired),
        cmocka_unit_test(a_disk_is_refused),
        cmocka_unit_test(a_folder_of_everyone_is_refused),
        cmocka_unit_test(policy_and_fleet_turn_together),
        cmocka_unit_test(leftovers_are_cleared),
        cmocka_unit_test(who_was_overtaken_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
