/* SPDX-License-Identifier: Apache-2.0
 * test_commit.c - a batch is kept whole or not at all, and only a good one.
 *
 * Why: what grayd acknowledged is what stands here; each refusal must leave
 * head, items, audit, effects and answers as they were.
 * Read next: control/store/store.c, control/store/sqlite_commit.c.
 */
#include <errno.h>
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

static int set_up(void **state)
{
    (void)state;
    place_new(&place);
    store = store_new(&place);
    reader = reader_new(&place);
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

static void expect(const struct store_batch *batch, int error,
                   const char *code)
{
    struct gray_problem problem = { NULL, "", 0 };
    uint64_t revision = 77;

    assert_int_equal(store_commit(store, batch, &revision, &problem), error);
    if (error != 0) {
        assert_string_equal(problem.code, code);
        assert_true(strlen(problem.sentence) > 15);
        assert_int_equal(revision, 77);
    }
}

static void the_spaces_have_their_words(void **state)
{
    (void)state;
    assert_string_equal(store_space_word(STORE_DOCUMENT), "document");
    assert_string_equal(store_space_word(STORE_SPACE_COUNT), "?");
}

static void a_new_store_is_empty(void **state)
{
    struct store_head head = head_of(reader);
    struct seen seen = { .count = 0 };
    uint8_t zeros[STORE_HASH] = { 0 };
    int i;

    (void)state;
    assert_int_equal(head.revision, 0);
    assert_int_equal(head.audit_sequence, 0);
    assert_memory_equal(head.audit_hash, zeros, STORE_HASH);
    assert_int_equal(strspn(head.instance, "0123456789abcdef"), 32);
    for (i = 0; i < STORE_SPACE_COUNT; i++) {
        assert_int_equal(store_read_items(reader, i, 0, NULL, 9, seen_visit,
                                          &seen, NULL),
                         0);
    }
    assert_int_equal(seen.count, 0);
    assert_int_equal(pending_count(reader), 0);
}

static void a_stale_change_is_a_conflict(void **state)
{
    struct gray_problem problem = { NULL, "", 0 };
    struct seen seen = { .count = 0 };

    (void)state;
    document_put_well(store, 0, "Release/a", "1");
    assert_int_equal(document_put(store, 0, "Release/a", "2", &problem),
                     -EAGAIN);
    assert_string_equal(problem.code, "conflict");
    assert_int_equal(document_put(store, 2, "Release/a", "2", &problem),
                     -EAGAIN);
    assert_int_equal(head_of(reader).revision, 1);
    assert_int_equal(head_of(reader).audit_sequence, 1);
    assert_int_equal(store_read_item(reader, STORE_DOCUMENT, "Release/a", 0,
                                     seen_visit, &seen, NULL),
                     0);
    assert_string_equal(seen.items[0].text, "1");
}

/* Without puts a batch makes no revision and asks for none. */
static void an_audit_alone_makes_no_revision(void **state)
{
    struct store_audit audit;
    char text[64];
    struct store_batch batch = { .at = 5, .audits = &audit, .audit_count = 1,
                                 .expected_revision = 99 };
    uint64_t revision = 0;

    (void)state;
    document_put_well(store, 0, "Release/a", "1");
    audit_fill(&audit, 2, text, sizeof(text));
    assert_int_equal(store_commit(store, &batch, &revision, NULL), 0);
    assert_int_equal(revision, 1);
    assert_int_equal(head_of(reader).audit_sequence, 2);
    assert_memory_equal(head_of(reader).audit_hash, audit.hash, STORE_HASH);
}

static void the_audit_has_no_gap(void **state)
{
    struct store_put put = { STORE_DOCUMENT, "Release/a", "1", 1 };
    struct store_audit audits[2];
    char text[2][64];
    struct store_batch batch = { .puts = &put, .put_count = 1,
                                 .audits = audits, .audit_count = 2 };
    static const uint64_t bad[][2] = { { 0, 1 }, { 1, 1 }, { 1, 3 }, { 2, 3 } };
    size_t i;

    (void)state;
    for (i = 0; i < 4; i++) {
        audit_fill(&audits[0], bad[i][0], text[0], 64);
        audit_fill(&audits[1], bad[i][1], text[1], 64);
        expect(&batch, -EINVAL, "bad-batch");
        assert_int_equal(head_of(reader).revision, 0);
        assert_int_equal(head_of(reader).audit_sequence, 0);
    }
    audit_fill(&audits[0], 1, text[0], 64);
    audit_fill(&audits[1], 2, text[1], 64);
    expect(&batch, 0, NULL);
    assert_int_equal(head_of(reader).audit_sequence, 2);
}

static void an_item_is_put_once_a_batch(void **state)
{
    struct store_put puts[2] = { { STORE_DOCUMENT, "Release/a", "1", 1 },
                                 { STORE_DOCUMENT, "Release/a", "2", 1 } };
    struct store_batch batch = { .puts = puts, .put_count = 2 };
    struct gray_problem problem = { NULL, "", 0 };
    uint64_t revision;

    (void)state;
    assert_int_equal(store_commit(store, &batch, &revision, &problem),
                     -EINVAL);
    assert_string_equal(problem.sentence, "Release/a is put twice.");
    puts[1].text = NULL;
    expect(&batch, -EINVAL, "bad-batch");
    puts[1].space = STORE_RELEASE;
    puts[1].text = "2";
    expect(&batch, 0, NULL);
}

static void names_and_kinds_have_limits(void **state)
{
    char name[STORE_KEY_MAX + 2];
    struct store_put put = { STORE_DOCUMENT, name, "1", 1 };
    struct store_effect effect = { "publish", "{}" };
    struct store_answer answer = { .key = "a b", .status = 200, .body = "{}" };
    struct store_batch puts = { .puts = &put, .put_count = 1 };
    struct store_batch effects = { .effects = &effect, .effect_count = 1 };
    struct store_batch answers = { .answer = &answer };
    struct { const struct store_batch *batch; const char **word; size_t max; }
    cases[] = { { &puts, &put.name, STORE_NAME_MAX },
                { &effects, &effect.kind, STORE_KIND_MAX },
                { &answers, &answer.key, STORE_KEY_MAX } };
    size_t i;

    (void)state;
    for (i = 0; i < 3; i++) {
        *cases[i].word = name;
        memset(name, 'n', sizeof(name));
        name[cases[i].max + 1] = '\0';
        expect(cases[i].batch, -EINVAL, "bad-batch");
        name[0] = '\0';
        expect(cases[i].batch, -EINVAL, "bad-batch");
        *cases[i].word = NULL;
        expect(cases[i].batch, -EINVAL, "bad-batch");
        *cases[i].word = name;
        name[0] = 'n';
        name[cases[i].max] = '\0';
        expect(cases[i].batch, 0, NULL);
    }
    put.space = STORE_SPACE_COUNT;
    expect(&puts, -EINVAL, "bad-batch");
    effect.kind = "k";
    effect.text = NULL;
    expect(&effects, -EINVAL, "bad-batch");
    answer.key = "k";
    answer.body = NULL;
    expect(&answers, -EINVAL, "bad-batch");
}

static void texts_have_a_limit(void **state)
{
    char *text = malloc(STORE_TEXT_MAX + 2);
    struct store_put put = { STORE_DOCUMENT, "List/big", text,
                             STORE_TEXT_MAX + 1 };
    struct store_audit audit = { .sequence = 1, .text = text,
                                 .length = STORE_TEXT_MAX + 1 };
    struct store_batch batch = { .puts = &put, .put_count = 1 };
    struct store_batch audits = { .audits = &audit, .audit_count = 1 };
    struct seen seen = { .count = 0 };

    (void)state;
    assert_non_null(text);
    memset(text, 'x', STORE_TEXT_MAX + 2);
    expect(&batch, -EINVAL, "bad-batch");
    expect(&audits, -EINVAL, "bad-batch");
    put.length = STORE_TEXT_MAX;
    text[17] = '\0';
    expect(&batch, -EINVAL, "bad-batch");
    text[17] = 'x';
    expect(&batch, 0, NULL);
    assert_int_equal(store_read_item(reader, STORE_DOCUMENT, "List/big", 0,
                                     seen_visit, &seen, NULL),
                     0);
    assert_int_equal(seen.items[0].length, STORE_TEXT_MAX);
    audit.length = 0;
    expect(&audits, -EINVAL, "bad-batch");
    put.length = 0; /* an empty text is one */
    batch.expected_revision = 1;
    expect(&batch, 0, NULL);
    free(text);
}

struct pendings {
    struct { uint64_t id, revision; char kind[16], text[16]; } effects[8];
    size_t count, stop_at;
};

static int pending_keep(void *context, const struct store_pending *effect)
{
    struct pendings *kept = context;

    assert_true(kept->count < 8);
    kept->effects[kept->count].id = effect->id;
    kept->effects[kept->count].revision = effect->revision;
    snprintf(kept->effects[kept->count].kind, 16, "%s", effect->kind);
    snprintf(kept->effects[kept->count].text, 16, "%s", effect->text);
    kept->count++;
    return kept->count == kept->stop_at;
}

static void effects_wait_until_they_are_done(void **state)
{
    struct store_put put = { STORE_RELEASE, "a", "1", 1 };
    struct store_effect effects[2] = { { "publish", "1" }, { "words", "2" } };
    struct store_batch ask = { .at = 10, .puts = &put, .put_count = 1,
                               .effects = effects, .effect_count = 2 };
    struct store_batch done = { .at = 20 };
    struct pendings kept = { .count = 0 };
    uint64_t ids[2];

    (void)state;
    expect(&ask, 0, NULL);
    assert_int_equal(store_read_pending(reader, pending_keep, &kept, NULL), 0);
    assert_int_equal(kept.count, 2);
    assert_string_equal(kept.effects[0].kind, "publish");
    assert_string_equal(kept.effects[1].text, "2");
    assert_int_equal(kept.effects[0].revision, 1);
    assert_true(kept.effects[0].id < kept.effects[1].id);
    ids[0] = kept.effects[0].id;
    ids[1] = 4711; /* unknown: harmless */
    done.effects_done = ids;
    done.effects_done_count = 2;
    expect(&done, 0, NULL);
    expect(&done, 0, NULL); /* done already: harmless */
    kept = (struct pendings){ .stop_at = 1 };
    assert_int_equal(store_read_pending(reader, pending_keep, &kept, NULL), 0);
    assert_int_equal(kept.count, 1);
    assert_string_equal(kept.effects[0].kind, "words");
}

static void answers_are_kept_for_a_day(void **state)
{
    struct store_answer answer = { .key = "alice 17", .status = 201,
                                   .body = "{\"a\":1}" };
    struct store_answer found = { .key = NULL };
    struct store_batch batch = { .at = 1000, .answer = &answer };
    struct store_batch later = { .at = 1000 + DAY };

    (void)state;
    memset(answer.request, 3, STORE_HASH);
    assert_int_equal(store_read_answer(reader, answer.key, &found, NULL), 1);
    expect(&batch, 0, NULL);
    assert_int_equal(store_read_answer(reader, answer.key, &found, NULL), 0);
    assert_null(found.key);
    assert_int_equal(found.status, 201);
    assert_int_equal(found.at, 1000);
    assert_string_equal(found.body, answer.body);
    assert_memory_equal(found.request, answer.request, STORE_HASH);
    free((char *)(uintptr_t)found.body);
    batch.at = 1000 + DAY;
    expect(&batch, -EAGAIN, "conflict");
    expect(&later, 0, NULL); /* just a day: still there */
    assert_int_equal(store_read_answer(reader, answer.key, &found, NULL), 0);
    free((char *)(uintptr_t)found.body);
    batch.at = 1001 + DAY; /* older than a day: the key is free */
    answer.status = 204;
    expect(&batch, 0, NULL);
    assert_int_equal(store_read_answer(reader, answer.key, &found, NULL), 0);
    assert_int_equal(found.status, 204);
    free((char *)(uintptr_t)found.body);
    later.at = 1002 + 2 * (int64_t)DAY;
    expect(&later, 0, NULL); /* any commit drops it */
    assert_int_equal(store_read_answer(reader, answer.key, &found, NULL), 1);
}

/* No commit pays for all that has grown old at once. */
static void what_is_old_goes_a_few_at_a_time(void **state)
{
    struct store_answer found = { .key = NULL };
    char key[32];
    int i, left = 0;

    (void)state;
    for (i = 0; i < 100; i++) {
        struct store_answer answer = { .key = key, .status = 1, .body = "" };
        struct store_batch batch = { .at = i, .answer = &answer };

        snprintf(key, sizeof(key), "k %d", i);
        expect(&batch, 0, NULL);
    }
    expect(&(struct store_batch){ .at = DAY + 1000 }, 0, NULL);
    for (i = 0; i < 100; i++) {
        snprintf(key, sizeof(key), "k %d", i);
        if (store_read_answer(reader, key, &found, NULL) == 0) {
            free((char *)(uintptr_t)found.body);
            left++;
            assert_true(i >= 64); /* the oldest went */
        }
    }
    assert_int_equal(left, 36);
    expect(&(struct store_batch){ .at = DAY + 1000 }, 0, NULL);
    assert_int_equal(store_read_answer(reader, "k 99", &found, NULL), 1);
}

static void commits_are_counted(void **state)
{
    struct store_counts counts;
    struct gray_problem problem;

    (void)state;
    document_put_well(store, 0, "Release/a", "1");
    document_put_well(store, 1, "Release/a", "2");
    document_put(store, 1, "Release/a", "3", &problem);
    store_count(store, &counts);
    assert_int_equal(counts.commits, 2);
    assert_int_equal(counts.refused, 1);
    assert_int_equal(counts.failed, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(the_spaces_have_their_words),
        TEST(a_new_store_is_empty),
        TEST(a_stale_change_is_a_conflict),
        TEST(an_audit_alone_makes_no_revision),
        TEST(the_audit_has_no_gap),
        TEST(an_item_is_put_once_a_batch),
        TEST(names_and_kinds_have_limits),
        TEST(texts_have_a_limit),
        TEST(effects_wait_until_they_are_done),
        TEST(answers_are_kept_for_a_day),
        TEST(what_is_old_goes_a_few_at_a_time),
        TEST(commits_are_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
