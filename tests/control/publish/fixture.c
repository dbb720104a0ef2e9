/* SPDX-License-Identifier: Apache-2.0
 * fixture.c - see fixture.h.
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/control/publish/fixture.h"

void place_new(struct place *place)
{
    folder_new(place->top);
    snprintf(place->runtime, sizeof(place->runtime), "%s/run", place->top);
    snprintf(place->state, sizeof(place->state), "%s/state", place->top);
    snprintf(place->other, sizeof(place->other), "%s/other", place->top);
}

void place_remove(const struct place *place)
{
    folder_remove(place->top);
}

struct publisher *publisher_new(const struct place *place)
{
    struct gray_problem problem = {0};
    struct publisher *publisher = NULL;

    if (publisher_open(&publisher, place->runtime, place->state, (gid_t)-1,
                       false, &problem) != 0) {
        fail_msg("%s: %s", problem.code, problem.sentence);
    }
    return publisher;
}

void revision_compile(uint64_t revision, struct gray_compiled *ret_compiled)
{
    char text[2048];
    unsigned number = (unsigned)revision;

    snprintf(text, sizeof(text),
             "kind: Service\nname: cart\nbaseline: {version: v1}\nversions:\n"
             "  v1: {endpoints: ['127.0.0.1:%u']}\n"
             "  v2: {endpoints: ['127.0.0.1:9102']}\n"
             "---\nkind: List\nname: testers\nids: ['t%u']\n"
             "---\nkind: Release\nname: cart-2\nunit: {cookie: uid}\n"
             "services: [{service: cart, version: v2}]\n"
             "admission: {share: %u, allow: [{list: testers}]}\n"
             "---\nkind: Release\nname: pay-7\nunit: {cookie: uid}\n"
             "priority: 1\nservices: [{service: cart, version: v2}]\n"
             "admission: {share: 0, allow: [{header: {name: x, exact: y}}]}\n",
             10000 + number, number, 1 + number % 50);
    documents_compile(text, revision, ret_compiled);
}

int revision_put(struct publisher *publisher, uint64_t revision,
                 const struct publisher_word *words, size_t word_count,
                 struct gray_problem *ret_problem)
{
    struct gray_published published;
    struct gray_compiled compiled;
    int result;

    revision_compile(revision, &compiled);
    result = publisher_put(publisher, &compiled, words, word_count, &published,
                           ret_problem);
    gray_compiled_free(&compiled);
    return result;
}

void revision_put_well(struct publisher *publisher, uint64_t revision,
                       const struct publisher_word *words, size_t word_count)
{
    struct gray_problem problem = {0};

    if (revision_put(publisher, revision, words, word_count, &problem) != 0) {
        fail_msg("%s: %s", problem.code, problem.sentence);
    }
}

uint64_t revision_found(const char *runtime)
{
    struct gray_problem problem = {0};
    struct gray_runtime *reader;
    const struct gray_view *view;
    const struct gray_endpoint *endpoint;
    uint64_t revision;
    char uid[32];

    assert_int_equal(gray_runtime_open(&reader, runtime, GRAY_READER_CLI,
                                       false, &problem),
                     0);
    if (problem.code != NULL) {
        fail_msg("%s: %s", problem.code, problem.sentence);
    }
    view = gray_runtime_loaded(reader);
    assert_non_null(view);
    revision = view->policy->header->revision;
    endpoint = gray_endpoint_at(
        view->fleet,
        view->link->members[view->link->subsets[0].members.first]);
    assert_int_equal(endpoint->port, 10000 + revision);
    if ((word_found(runtime, "cart-2") & GRAY_WORD_MASK) == GRAY_WORD_OPEN) {
        snprintf(uid, sizeof(uid), "t%u", (unsigned)revision);
        assert_int_equal(view_admits(reader, uid), 1);
    }
    gray_runtime_close(reader);
    return revision;
}

uint32_t word_found(const char *runtime, const char *name)
{
    uint64_t scope = gray_hash_scope(name, strlen(name));
    struct gray_folder folder;
    uint32_t number, word;

    assert_int_equal(gray_folder_open(&folder, runtime, false, NULL), 0);
    number = gray_word_number(&folder, scope);
    word = number != GRAY_NONE ? folder.control->words[number].word : 0;
    gray_folder_close(&folder);
    return word;
}

void host_says(const char *runtime, const char *name, uint32_t word)
{
    struct gray_folder folder;

    assert_int_equal(gray_folder_open(&folder, runtime, true, NULL), 0);
    assert_int_equal(gray_word_set(&folder,
                                   gray_hash_scope(name, strlen(name)),
                                   word | GRAY_WORD_HOST, NULL, NULL),
                     0);
    gray_folder_close(&folder);
}

uint64_t restore_elsewhere(const struct place *place)
{
    struct gray_problem problem = {0};
    uint64_t revision;

    if (publisher_restore(place->state, place->other, (gid_t)-1, false,
                          &problem) != 0) {
        fail_msg("%s: %s", problem.code, problem.sentence);
    }
    revision = revision_found(place->other);
    return revision;
}

size_t copies_count(const struct place *place)
{
    DIR *dir = opendir(place->state);
    struct dirent *entry;
    size_t count = 0;

    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL) {
        count += strncmp(entry->d_name, "last-good.", 10) == 0;
    }
    closedir(dir);
    return count;
}
