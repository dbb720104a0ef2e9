/* SPDX-License-Identifier: Apache-2.0
 * test_read.c - every question about now and about then.
 *
 * Why: "who was in at nine?" is answered by revisions and moments, so their
 * edges are looked at here; and a reader beside a writer must see whole
 * commits only.
 * Read next: control/store/sqlite_read.c, test_model.c.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/control/store/fixture.h"

static struct place place;
static struct store *store;
static struct store_reader *reader;

/* Revisions: 1 a=1, 2 b=1, 3 a=2, 4 a ends, 5 c=1, 6 a=3; at 1000 each. */
static int set_up(void **state)
{
    (void)state;
    place_new(&place);
    store = store_new(&place);
    reader = reader_new(&place);
    document_put_well(store, 0, "Release/a", "a1");
    document_put_well(store, 1, "Release/b", "b1");
    document_put_well(store, 2, "Release/a", "a2");
    document_put_well(store, 3, "Release/a", NULL);
    document_put_well(store, 4, "Release/c", "c1");
    document_put_well(store, 5, "Release/a", "a3");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    store_reader_close(reader);
    store_close(store);
    place_remove(&place);
    return 0;
}

static void item_is(const char *name, uint64_t revision, const char *text)
{
    struct seen seen = { .count = 0 };
    int found = store_read_item(reader, STORE_DOCUMENT, name, revision,
                                seen_visit, &seen, NULL);

    assert_int_equal(found, text == NULL ? 1 : 0);
    assert_int_equal(seen.count, text == NULL ? 0 : 1);
    if (text != NULL) {
        assert_string_equal(seen.items[0].text, text);
        assert_string_equal(seen.items[0].name, name);
        assert_int_equal(seen.items[0].length, strlen(text));
    }
}

static void an_item_as_of_each_revision(void **state)
{
    static const char *const a[] = { "a3", "a1", "a1", "a2", NULL, NULL,
                                     "a3" };
    uint64_t revision;

    (void)state;
    for (revision = 0; revision <= 6; revision++) {
        item_is("Release/a", revision, a[revision]);
        item_is("Release/b", revision, revision == 1 ? NULL : "b1");
    }
    item_is("Release/d", 0, NULL);
    item_is("Release/d", 3, NULL);
    item_is("Release", 3, NULL);
}

static void a_version_knows_its_interval(void **state)
{
    struct seen seen = { .count = 0 };

    (void)state;
    assert_int_equal(store_read_item(reader, STORE_DOCUMENT, "Release/a", 3,
                                     seen_visit, &seen, NULL),
                     0);
    assert_int_equal(seen.items[0].revision, 3);
    assert_int_equal(seen.items[0].until, 4);
    assert_int_equal(seen.items[0].at, 3000);
    assert_int_equal(seen.items[0].until_at, 4000);
    assert_int_equal(store_read_item(reader, STORE_DOCUMENT, "Release/a", 0,
                                     seen_visit, &seen, NULL),
                     0);
    assert_int_equal(seen.items[1].until, 0);
    assert_int_equal(seen.items[1].until_at, 0);
}

static void lists_go_by_name(void **state)
{
    struct seen seen = { .count = 0 };

    (void)state;
    assert_int_equal(store_read_items(reader, STORE_DOCUMENT, 0, NULL, 10,
                                      seen_visit, &seen, NULL),
                     0);
    assert_int_equal(seen.count, 3);
    assert_string_equal(seen.items[0].text, "a3");
    assert_string_equal(seen.items[2].text, "c1");
    seen.count = 0;
    assert_int_equal(store_read_items(reader, STORE_DOCUMENT, 5, NULL, 10,
                                      seen_visit, &seen, NULL),
                     0);
    assert_int_equal(seen.count, 2);
    assert_string_equal(seen.items[0].text, "b1");
    seen.count = 0;
    assert_int_equal(store_read_items(reader, STORE_RELEASE, 0, NULL, 10,
                                      seen_visit, &seen, NULL),
                     0);
    assert_int_equal(seen.count, 0);
}

/* The same pages from the newest and from an old revision. */
static void lists_come_in_pages(void **state)
{
    uint64_t revision;

    (void)state;
    for (revision = 0; revision <= 6; revision += 6) {
        struct seen seen = { .count = 0 };

        assert_int_equal(store_read_items(reader, STORE_DOCUMENT, revision,
                                          "Release/a", 1, seen_visit, &seen,
                                          NULL),
                         0);
        assert_int_equal(seen.count, 1);
        assert_string_equal(seen.items[0].text, "b1");
        seen = (struct seen){ .stop_at = 2 };
        assert_int_equal(store_read_items(reader, STORE_DOCUMENT, revision,
                                          "", 10, seen_visit, &seen, NULL),
                         -EINVAL);
        assert_int_equal(store_read_items(reader, STORE_DOCUMENT, revision,
                                          NULL, 10, seen_visit, &seen, NULL),
                         0);
        assert_int_equal(seen.count, 2);
        seen = (struct seen){ .count = 0 };
        assert_int_equal(store_read_items(reader, STORE_DOCUMENT, revision,
                                          NULL, 0, seen_visit, &seen, NULL),
                         0);
        assert_int_equal(store_read_items(reader, STORE_DOCUMENT, revision,
                                          "Release/c", SIZE_MAX, seen_visit,
                                          &seen, NULL),
                         0);
        assert_int_equal(seen.count, 0);
    }
}

static void history_goes_back(void **state)
{
    struct seen seen = { .count = 0 };

    (void)state;
    assert_int_equal(store_read_history(reader, STORE_DOCUMENT, "Release/a",
                                        0, 10, seen_visit, &seen, NULL),
                     0);
    assert_int_equal(seen.count, 3);
    assert_string_equal(seen.items[0].text, "a3");
    assert_string_equal(seen.items[1].text, "a2");
    assert_int_equal(seen.items[1].until, 4);
    assert_string_equal(seen.items[2].text, "a1");
    seen = (struct seen){ .count = 0 };
    assert_int_equal(store_read_history(reader, STORE_DOCUMENT, "Release/a",
                                        6, 1, seen_visit, &seen, NULL),
                     0);
    assert_int_equal(seen.count, 1);
    assert_string_equal(seen.items[0].text, "a2");
    assert_int_equal(store_read_history(reader, STORE_DOCUMENT, "Release/a",
                                        1, 9, seen_visit, &seen, NULL),
                     0);
    assert_int_equal(seen.count, 1);
}

static void a_revision_not_made_is_no_question(void **state)
{
    struct gray_problem problem = { NULL, "", 0 };
    struct seen seen = { .count = 0 };

    (void)state;
    assert_int_equal(store_read_item(reader, STORE_DOCUMENT, "Release/a", 7,
                                     seen_visit, &seen, &problem),
                     -EINVAL);
    assert_string_equal(problem.code, "no-revision");
    assert_int_equal(store_read_items(reader, STORE_DOCUMENT, UINT64_MAX,
                                      NULL, 9, seen_visit, &seen, &problem),
                     -EINVAL);
    assert_int_equal(seen.count, 0);
    /* The reader goes on. */
    item_is("Release/c", 0, "c1");
}

static void moments_have_revisions(void **state)
{
    static const struct { int64_t at; uint64_t revision; } cases[] = {
        { -1, 0 }, { 0, 0 }, { 999, 0 }, { 1000, 1 }, { 1999, 1 },
        { 2000, 2 }, { 6000, 6 }, { INT64_MAX, 6 } };
    struct store_put put = { STORE_SETTING, "x", "1", 1 };
    struct store_batch back = { .at = 2500, .expected_revision = 6,
                                .puts = &put, .put_count = 1 };
    uint64_t revision = 99;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(store_revision_at(reader, cases[i].at, &revision,
                                           NULL),
                         0);
        assert_int_equal(revision, cases[i].revision);
    }
    /* A clock that was set back: the last one made is the one in force. */
    assert_int_equal(store_commit(store, &back, &revision, NULL), 0);
    assert_int_equal(store_revision_at(reader, 2400, &revision, NULL), 0);
    assert_int_equal(revision, 2);
    assert_int_equal(store_revision_at(reader, 2500, &revision, NULL), 0);
    assert_int_equal(revision, 7);
}

static int read_within(void *context, const struct store_item *item)
{
    struct gray_problem problem = { NULL, "", 0 };
    struct seen seen = { .count = 0 };
    struct store_head head;
    uint32_t *visits = context;

    (*visits)++;
    assert_int_equal(store_read_item(reader, STORE_DOCUMENT, item->name, 0,
                                     seen_visit, &seen, &problem),
                     -EINVAL);
    assert_string_equal(problem.code, "nested-read");
    assert_int_equal(store_read_head(reader, &head, NULL), -EINVAL);
    return 0;
}

/* A second question would end the first one's transaction. */
static void a_visit_does_not_read(void **state)
{
    uint32_t visits = 0;

    (void)state;
    assert_int_equal(store_read_items(reader, STORE_DOCUMENT, 0, NULL, 10,
                                      read_within, &visits, NULL),
                     0);
    assert_int_equal(visits, 3);
    item_is("Release/a", 0, "a3");
}

struct records {
    uint64_t first, last;
    size_t count, stop_at;
};

static int record_keep(void *context, const struct store_record *record)
{
    struct records *kept = context;

    assert_true(audit_true(record));
    kept->first = kept->count == 0 ? record->sequence : kept->first;
    kept->last = record->sequence;
    kept->count++;
    return kept->count == kept->stop_at;
}

static void audit_records_ascend(void **state)
{
    struct records kept = { .count = 0 };

    (void)state;
    assert_int_equal(store_read_audit(reader, 0, 100, record_keep, &kept,
                                      NULL),
                     0);
    assert_int_equal(kept.count, 6);
    assert_int_equal(kept.first, 1);
    kept = (struct records){ .stop_at = 2 };
    assert_int_equal(store_read_audit(reader, 3, 100, record_keep, &kept,
                                      NULL),
                     0);
    assert_int_equal(kept.first, 3);
    assert_int_equal(kept.last, 4);
    kept = (struct records){ .count = 0 };
    assert_int_equal(store_read_audit(reader, UINT64_MAX, SIZE_MAX,
                                      record_keep, &kept, NULL),
                     0);
    assert_int_equal(kept.count, 0);
}

static void bad_names_are_no_question(void **state)
{
    char name[STORE_KEY_MAX + 2];
    struct store_answer answer;
    struct seen seen = { .count = 0 };

    (void)state;
    memset(name, 'n', sizeof(name));
    name[STORE_NAME_MAX + 1] = '\0';
    assert_int_equal(store_read_item(reader, STORE_DOCUMENT, name, 0,
                                     seen_visit, &seen, NULL),
                     -EINVAL);
    assert_int_equal(store_read_items(reader, STORE_DOCUMENT, 1, name, 5,
                                      seen_visit, &seen, NULL),
                     -EINVAL);
    assert_int_equal(store_read_history(reader, STORE_DOCUMENT, name, 0, 5,
                                        seen_visit, &seen, NULL),
                     -EINVAL);
    assert_int_equal(store_read_items(reader, STORE_SPACE_COUNT, 1, "a", 5,
                                      seen_visit, &seen, NULL),
                     -EINVAL);
    name[STORE_NAME_MAX] = '\0';
    item_is(name, 0, NULL);
    item_is(name, 2, NULL);
    memset(name, 'n', sizeof(name));
    name[STORE_KEY_MAX + 1] = '\0';
    assert_int_equal(store_read_answer(reader, name, &answer, NULL), -EINVAL);
    name[STORE_KEY_MAX] = '\0';
    assert_int_equal(store_read_answer(reader, name, &answer, NULL), 1);
}

/* Two items are always put together with one text, and an audit record: a
 * reader of its own thread never sees them differ, nor a head that goes back
 * or has one without the other. */
#define TOGETHER 400

static void *watch(void *context)
{
    struct store_reader *own = NULL;
    uint64_t before = 0, reads = 0;
    struct seen seen;

    if (store_reader_open(&own, place.store, NULL) != 0) {
        return context;
    }
    while (before < 6 + TOGETHER) {
        struct store_head head;

        seen.count = seen.stop_at = 0;
        if (store_read_items(own, STORE_RELEASE, 0, NULL, 10, seen_visit,
                             &seen, NULL) != 0 ||
            store_read_head(own, &head, NULL) != 0 ||
            head.revision < before || head.audit_sequence != head.revision ||
            (seen.count != 0 && seen.count != 2) ||
            (seen.count == 2 &&
             strcmp(seen.items[0].text, seen.items[1].text) != 0)) {
            store_reader_close(own);
            return context;
        }
        before = head.revision;
        reads++;
    }
    store_reader_close(own);
    return reads > 0 ? NULL : context;
}

static void readers_see_whole_commits(void **state)
{
    pthread_t threads[2];
    int mark;
    void *wrong;
    int i;

    (void)state;
    for (i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, watch, &mark), 0);
    }
    for (i = 0; i < TOGETHER; i++) {
        char text[32], record[64];
        struct store_audit audit;
        struct store_put puts[2] = { { STORE_RELEASE, "left", text, 0 },
                                     { STORE_RELEASE, "right", text, 0 } };
        struct store_batch batch = { .expected_revision = 6 + (uint64_t)i,
                                     .puts = puts, .put_count = 2,
                                     .audits = &audit, .audit_count = 1 };
        uint64_t revision;

        audit_fill(&audit, 7 + (uint64_t)i, record, sizeof(record));
        puts[0].length = puts[1].length =
            (size_t)snprintf(text, sizeof(text), "text %d", i);
        assert_int_equal(store_commit(store, &batch, &revision, NULL), 0);
    }
    for (i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(threads[i], &wrong), 0);
        assert_null(wrong);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(an_item_as_of_each_revision),
        TEST(a_version_knows_its_interval),
        TEST(lists_go_by_name),
        TEST(lists_come_in_pages),
        TEST(history_goes_back),
        TEST(a_revision_not_made_is_no_question),
        TEST(moments_have_revisions),
        TEST(a_visit_does_not_read),
        TEST(audit_records_ascend),
        TEST(bad_names_are_no_question),
        TEST(readers_see_whole_commits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
