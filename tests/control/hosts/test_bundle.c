/* SPDX-License-Identifier: Apache-2.0
 * test_bundle.c - what goes to hosts: the same for the same contents, and
 * nothing that belongs to the folder that it was read from.
 *
 * Read next: control/hosts/gather.c, bundle.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control/hosts/hosts.h"
#include "tests/runtime/folder.h"

static struct gathered gather_from(const char *path,
                                   const struct gathered *before)
{
    struct gathered files = { 0 };
    struct gray_problem problem = { 0 };

    if (gather(&files, path, before, &problem) != 0) {
        fail_msg("%s", problem.sentence);
    }
    return files;
}

static struct bundle *sign(const char *state, const struct gathered *files,
                           uint64_t sequence, uint32_t word, uint64_t epoch)
{
    struct bundle_word words[] = { { .scope = 0xabc, .epoch = epoch,
                                     .word = word } };
    struct gray_problem problem = { 0 };
    struct audit_signer *signer = NULL;
    struct bundle *bundle;

    if (audit_signer_open(&signer, state, "test/origin", &problem) != 0) {
        fail_msg("%s", problem.sentence);
    }
    bundle = bundle_make(signer, "srv", sequence, epoch, files, words, 1);
    assert_non_null(bundle);
    audit_signer_close(signer);
    return bundle;
}

/* The first word of a folder is somebody else's. */
static void take_a_word(const char *path)
{
    struct gray_publish nothing = { .group = (gid_t)-1 };
    struct gray_folder folder;

    assert_int_equal(gray_publish(path, &nothing, NULL, NULL), 0);
    assert_int_equal(gray_folder_open(&folder, path, true, NULL), 0);
    assert_int_equal(gray_word_number(&folder, 12345), 0);
    gray_folder_close(&folder);
}

static void a_policy_is_the_same_blob_from_whatever_folder(void **state)
{
    char one[64], two[64];
    struct gathered first, second;

    (void)state;
    folder_new(one);
    folder_new(two);
    take_a_word(two);
    shop_publish(one, "10", 7);
    shop_publish(two, "50", 6);
    shop_publish(two, "60", 6);
    shop_publish(two, "10", 7); /* other generations, the same policy */
    first = gather_from(one, NULL);
    second = gather_from(two, NULL);
    assert_int_not_equal(first.policy_generation, second.policy_generation);
    assert_string_equal(first.policy->sha256, second.policy->sha256);
    assert_string_equal(first.fleet->sha256, second.fleet->sha256);
    assert_int_equal(first.list_count, second.list_count);
    assert_int_equal(first.revision, 7);
    assert_true(first.keys->secret);
    assert_false(first.policy->secret);
    gathered_clear(&first);
    gathered_clear(&second);
    folder_remove(one);
    folder_remove(two);
}

/* What a host does with it: publishes it into a folder of its own. */
static void a_host_can_put_it_in_force(void **state)
{
    char one[64], two[64];
    struct gathered files, there;
    struct gray_problem problem = { 0 };
    struct gray_publish_list lists[8];
    struct gray_publish what = { .group = (gid_t)-1, .lists = lists };

    (void)state;
    folder_new(one);
    folder_new(two);
    shop_publish(one, "10", 7);
    files = gather_from(one, NULL);
    for (size_t i = 0; i < files.list_count; i++) {
        lists[i] = (struct gray_publish_list) {
            .name = files.lists[i].name, .data = files.lists[i].blob->data,
            .size = files.lists[i].blob->size
        };
    }
    what.list_count = files.list_count;
    what.policy = files.policy->data;
    what.policy_size = files.policy->size;
    what.fleet = files.fleet->data;
    what.fleet_size = files.fleet->size;
    if (gray_publish(two, &what, NULL, &problem) != 0) {
        fail_msg("%s", problem.sentence);
    }
    there = gather_from(two, NULL);
    assert_string_equal(files.policy->sha256, there.policy->sha256);
    assert_string_equal(files.fleet->sha256, there.fleet->sha256);
    gathered_clear(&files);
    gathered_clear(&there);
    folder_remove(one);
    folder_remove(two);
}

static void what_did_not_change_is_not_read_again(void **state)
{
    char path[64];
    struct gathered first, second;

    (void)state;
    folder_new(path);
    shop_publish(path, "10", 7);
    first = gather_from(path, NULL);
    second = gather_from(path, &first);
    assert_ptr_equal(first.policy, second.policy);
    assert_ptr_equal(first.fleet, second.fleet);
    gathered_clear(&second);
    shop_publish(path, "20", 8);
    second = gather_from(path, &first);
    assert_ptr_not_equal(first.policy, second.policy);
    assert_string_not_equal(first.policy->sha256, second.policy->sha256);
    if (first.list_count > 0) {
        assert_ptr_equal(first.lists[0].blob, second.lists[0].blob);
    }
    gathered_clear(&first);
    gathered_clear(&second);
    folder_remove(path);
}

static void the_digest_tells_contents_apart_and_not_numbers(void **state)
{
    char path[64], audit[64];
    struct gathered files;
    struct bundle *a, *b, *c;

    (void)state;
    folder_new(path);
    folder_new(audit);
    shop_publish(path, "10", 7);
    files = gather_from(path, NULL);
    a = sign(audit, &files, 40, GRAY_WORD_NO_ADMIT, 39);
    b = sign(audit, &files, 42, GRAY_WORD_NO_ADMIT, 39);
    c = sign(audit, &files, 42, GRAY_WORD_OPEN, 39);
    assert_string_equal(a->digest, b->digest);
    assert_string_not_equal(a->digest, c->digest);
    assert_string_not_equal(a->note, b->note);
    assert_non_null(strstr(a->note, "\"sequence\":40"));
    assert_non_null(strstr(a->note, "{\"epoch\":39,\"scope\":"
                                    "\"0000000000000abc\",\"word\":"
                                    "\"no-admit\"}"));
    assert_ptr_equal(bundle_find(a, files.policy->sha256), files.policy);
    assert_null(bundle_find(a, "00"));
    bundle_release(a);
    bundle_release(b);
    bundle_release(c);
    gathered_clear(&files);
    folder_remove(path);
    folder_remove(audit);
}

static void the_last_two_bundles_are_served_and_no_older_one(void **state)
{
    char path[64], audit[64];
    struct hosts_options options = { .server = "srv" };
    struct gray_problem problem = { 0 };
    struct gathered files[3];
    struct hosts *hosts = NULL;
    struct blob *blob;

    (void)state;
    folder_new(path);
    folder_new(audit);
    assert_int_equal(hosts_open(&hosts, &options, &problem), 0);
    for (int i = 0; i < 3; i++) {
        char share[8];

        snprintf(share, sizeof(share), "%d", 10 + i);
        shop_publish(path, share, (uint64_t)(7 + i));
        files[i] = gather_from(path, NULL);
        hosts_put(hosts, sign(audit, &files[i], (uint64_t)(40 + i),
                              GRAY_WORD_OPEN, 1));
    }
    assert_null(hosts_blob(hosts, files[0].policy->sha256));
    for (int i = 1; i < 3; i++) {
        blob = hosts_blob(hosts, files[i].policy->sha256);
        assert_ptr_equal(blob, files[i].policy);
        blob_release(blob);
    }
    for (int i = 0; i < 3; i++) {
        gathered_clear(&files[i]);
    }
    hosts_close(hosts);
    folder_remove(path);
    folder_remove(audit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_policy_is_the_same_blob_from_whatever_folder),
        cmocka_unit_test(a_host_can_put_it_in_force),
        cmocka_unit_test(what_did_not_change_is_not_read_again),
        cmocka_unit_test(the_digest_tells_contents_apart_and_not_numbers),
        cmocka_unit_test(the_last_two_bundles_are_served_and_no_older_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
