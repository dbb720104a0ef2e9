/* SPDX-License-Identifier: Apache-2.0
 * folder.c - see folder.h.
 *
 * Why: nothing here may hide a failure: whatever should not happen ends the
 * test.
 * Read next: folder.h.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/runtime/folder.h"

void folder_new(char ret_path[64])
{
    strcpy(ret_path, "/dev/shm/graylane-test.XXXXXX");
    assert_non_null(mkdtemp(ret_path));
    assert_int_equal(chmod(ret_path, 0755), 0);
}

static int remove_one(const char *path, const struct stat *status, int type,
                      struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

void folder_remove(const char *path)
{
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void documents_compile(const char *text, uint64_t revision,
                       struct gray_compiled *ret_compiled)
{
    struct gray_findings findings = { 0 };
    struct gray_documents *docs = gray_documents_new();
    struct gray_compile_options options = { .revision = revision,
                                            .now = 1767225600000 };
    struct gray_model *model;

    gray_documents_add_text(docs, "test", text, strlen(text), &findings);
    model = gray_model_check(docs, &findings);
    if (model == NULL ||
        gray_compile(model, &options, ret_compiled, &findings) != 0) {
        gray_findings_print(&findings, stderr);
        fail_msg("the test's documents are bad");
    }
    gray_model_free(model);
    gray_documents_free(docs);
    gray_findings_free(&findings);
}

static int compiled_publish(const char *path,
                            const struct gray_compiled *given,
                            struct gray_published *ret_published,
                            struct gray_problem *ret_problem)
{
    struct gray_publish_list lists[16];
    struct gray_compiled compiled = *given;
    struct gray_publish what;
    size_t i;

    assert_true(compiled.list_count <= 16);
    for (i = 0; i < compiled.list_count; i++) {
        lists[i].name = compiled.lists[i].name;
        lists[i].data = compiled.lists[i].data;
        lists[i].size = compiled.lists[i].size;
    }
    what = (struct gray_publish){ .policy = compiled.policy.data,
                                  .policy_size = compiled.policy.size,
                                  .fleet = compiled.fleet.data,
                                  .fleet_size = compiled.fleet.size,
                                  .lists = lists,
                                  .list_count = compiled.list_count,
                                  .group = (gid_t)-1 };
    return gray_publish(path, &what, ret_published, ret_problem);
}

int documents_publish(const char *path, const char *text, uint64_t revision,
                      struct gray_problem *ret_problem)
{
    struct gray_compiled compiled;
    int error;

    documents_compile(text, revision, &compiled);
    error = compiled_publish(path, &compiled, NULL, ret_problem);
    gray_compiled_free(&compiled);
    return error;
}

struct gray_published shop_publish_at(const char *path, const char *share,
                                      uint64_t revision, int64_t effective_at,
                                      uint16_t max_skew)
{
    struct gray_problem problem = { NULL, "", 0 };
    struct gray_published done;
    struct gray_compiled compiled;
    struct gray_file_header *header;
    char text[2048];

    shop_text(text, sizeof(text), share);
    documents_compile(text, revision, &compiled);
    header = (void *)compiled.policy.data;
    header->effective_at = effective_at;
    header->max_skew = max_skew;
    if (compiled_publish(path, &compiled, &done, &problem) != 0) {
        fail_msg("publish: %s: %s", problem.code, problem.sentence);
    }
    gray_compiled_free(&compiled);
    return done;
}

void shop_text(char *buffer, size_t size, const char *share)
{
    int length = snprintf(
        buffer, size,
        "kind: Service\nname: cart\nbaseline: {version: v1}\nversions:\n"
        "  v1: {endpoints: ['127.0.0.1:9101']}\n"
        "  v2: {endpoints: ['127.0.0.1:9102']}\n"
        "---\nkind: List\nname: testers\nids: ['tester', '1001']\n"
        "---\nkind: Release\nname: cart-2\n"
        "services: [{service: cart, version: v2}]\nunit: {cookie: uid}\n"
        "admission:\n  share: %s\n  allow: [{list: testers}]\n",
        share);

    assert_true(length > 0 && (size_t)length < size);
}

void shop_publish(const char *path, const char *share, uint64_t revision)
{
    struct gray_problem problem = { NULL, "", 0 };
    char text[2048];

    shop_text(text, sizeof(text), share);
    if (documents_publish(path, text, revision, &problem) != 0) {
        fail_msg("publish: %s: %s", problem.code, problem.sentence);
    }
}

void *file_bytes(const char *path, const char *name, size_t *ret_size)
{
    struct stat status;
    char full[256];
    void *bytes;
    int fd;

    snprintf(full, sizeof(full), "%s/%s", path, name);
    fd = open(full, O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &status), 0);
    bytes = malloc((size_t)status.st_size + 1);
    assert_non_null(bytes);
    assert_int_equal(read(fd, bytes, (size_t)status.st_size), status.st_size);
    close(fd);
    *ret_size = (size_t)status.st_size;
    return bytes;
}

void file_replace(const char *path, const char *name, const void *bytes,
                  size_t size)
{
    char full[256], aside[280];
    int fd;

    snprintf(full, sizeof(full), "%s/%s", path, name);
    snprintf(aside, sizeof(aside), "%s.test", full);
    fd = open(aside, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size), size);
    close(fd);
    assert_int_equal(rename(aside, full), 0);
}

bool file_exists(const char *path, const char *name)
{
    char full[256];

    snprintf(full, sizeof(full), "%s/%s", path, name);
    return access(full, F_OK) == 0;
}

size_t files_ending(const char *path, const char *suffix)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    size_t count = 0;

    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL) {
        count += runtime_name_ends(entry->d_name, suffix) ? 1 : 0;
    }
    closedir(dir);
    return count;
}

int view_admits(const struct gray_runtime *runtime, const char *uid)
{
    const struct gray_view *view = gray_runtime_view(runtime, NULL);
    struct gray_str name = { "cookie", 6 };
    struct gray_colour colour;
    struct gray_input in;
    char cookie[128];

    if (view == NULL) {
        return -1;
    }
    snprintf(cookie, sizeof(cookie), "uid=%s", uid);
    gray_input_begin(&in, view->policy, 1767225600000, 0);
    gray_input_header(&in, gray_hash_name(name.data, name.length), name,
                      (struct gray_str){ cookie, (uint32_t)strlen(cookie) });
    gray_decide(view, 0, &in, NULL, NULL, &colour, NULL);
    return colour.arm_count;
}
