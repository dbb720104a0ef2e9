/* SPDX-License-Identifier: Apache-2.0
 * test_damage.c - bits flip, files are cut: a sentence, or all is there.
 *
 * Why: SQLite's own check does not see a changed byte in a text.  Every mutant
 * of a database here must be refused when it is opened, or when what was
 * changed is read, or give all the answers of the database that it was made
 * from.  A changed audit record is the audit's to find: it counts as found
 * when its hash no longer fits.
 * Read next: control/store/sqlite_db.c, test_wal.c.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/control/store/fixture.h"
#include "tests/runtime/folder.h"

#define REVISIONS 40u
#define FLIPS_PER_PAGE 15u
#define PAGE 4096u

static struct place place;
static uint8_t *database, *note;
static size_t database_size, note_size;

/* What a store answers, in one number; damaged once it says so. */
struct content {
    uint64_t hash;
    uint64_t rows;
    bool damaged;
};

static void mix(struct content *content, const void *bytes, size_t length)
{
    content->hash = gray_mix64(content->hash ^
                               gray_murmur3_32(bytes, length, 1)) + length;
    content->rows++;
}

static int mix_item(void *context, const struct store_item *item)
{
    uint64_t numbers[4] = { item->revision, item->until, (uint64_t)item->at,
                            (uint64_t)item->until_at };

    mix(context, item->name, strlen(item->name));
    mix(context, item->text, item->length);
    mix(context, numbers, sizeof(numbers));
    return 0;
}

static int mix_record(void *context, const struct store_record *record)
{
    struct content *content = context;

    content->damaged = content->damaged || !audit_true(record);
    mix(context, record->text, record->length);
    return 0;
}

static int mix_effect(void *context, const struct store_pending *effect)
{
    mix(context, effect->kind, strlen(effect->kind));
    mix(context, effect->text, strlen(effect->text));
    mix(context, &effect->id, sizeof(effect->id));
    return 0;
}

static void judge(struct content *content, int error)
{
    if (error < 0) {
        assert_true(error == -EILSEQ || error == -EINVAL);
        content->damaged = true;
    }
    mix(content, &error, sizeof(error));
}

static struct content content_read(struct store_reader *reader)
{
    struct content content = { .hash = 0 };
    struct store_answer answer;
    struct store_head head;
    uint64_t revision, at;
    char key[32];
    int error;

    judge(&content, store_read_head(reader, &head, NULL));
    if (content.damaged) {
        return content;
    }
    mix(&content, &head, offsetof(struct store_head, instance) + 33);
    for (revision = 0; revision <= REVISIONS; revision++) {
        judge(&content, store_read_items(reader, STORE_DOCUMENT, revision,
                                         NULL, 100, mix_item, &content, NULL));
        error = store_revision_at(reader, (int64_t)(1000 * revision), &at,
                                  NULL);
        judge(&content, error);
        mix(&content, &at, error == 0 ? sizeof(at) : 0);
        snprintf(key, sizeof(key), "k %u", (unsigned)revision);
        error = store_read_answer(reader, key, &answer, NULL);
        judge(&content, error);
        if (error == 0) {
            mix(&content, answer.body, strlen(answer.body));
            free((char *)(uintptr_t)answer.body);
        }
    }
    judge(&content, store_read_audit(reader, 0, SIZE_MAX, mix_record, &content,
                                     NULL));
    judge(&content, store_read_pending(reader, mix_effect, &content, NULL));
    return content;
}

static void original_make(void)
{
    static char text[9000];
    struct store *store = store_new(&place);
    uint64_t revision;

    for (revision = 0; revision < REVISIONS; revision++) {
        char name[32], key[32], record[64];
        struct store_put put = { STORE_DOCUMENT, name, text, 0 };
        struct store_audit audit;
        struct store_effect effect = { "publish", key };
        struct store_answer answer = { .key = key, .status = 200,
                                       .body = "{}" };
        struct store_batch batch = { .at = 1000 * (int64_t)(revision + 1),
                                     .expected_revision = revision,
                                     .puts = &put, .put_count = 1,
                                     .audits = &audit, .audit_count = 1,
                                     .effects = &effect, .effect_count = 1,
                                     .effects_done = &revision,
                                     .effects_done_count = revision % 2,
                                     .answer = &answer };

        snprintf(name, sizeof(name), "Release/%u", (unsigned)revision % 7);
        snprintf(key, sizeof(key), "k %u", (unsigned)revision);
        memset(text, 'a' + (int)revision % 26, sizeof(text));
        put.length = 20 + revision * revision * 5;
        put.text = revision % 9 == 8 ? NULL : text;
        audit_fill(&audit, revision + 1, record, sizeof(record));
        assert_int_equal(store_commit(store, &batch, &(uint64_t){ 0 }, NULL),
                         0);
    }
    store_close(store);
    database = file_bytes(place.store, "store.db", &database_size);
    note = file_bytes(place.store, "acknowledged", &note_size);
}

static void put_back(const uint8_t *bytes, size_t size)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/store.db-wal", place.store);
    unlink(path);
    snprintf(path, sizeof(path), "%s/store.db-shm", place.store);
    unlink(path);
    file_replace(place.store, "store.db", bytes, size);
    file_replace(place.store, "acknowledged", note, note_size);
}

/* 0: refused when opened; 1: found when read; 2: all is there. */
static int mutant_judge(const struct content *whole)
{
    struct gray_problem problem = { NULL, "", 0 };
    struct store_reader *reader = NULL;
    struct store *store = NULL;
    struct content content;
    int error;

    /* A reader looks less closely: it may not fall, that is all. */
    if (store_reader_open(&reader, place.store, NULL) == 0) {
        content_read(reader);
        store_reader_close(reader);
        reader = NULL;
    }
    error = store_open(&store, place.store, &problem);
    if (error != 0) {
        assert_true(error == -EILSEQ || error == -EINVAL);
        assert_true(strlen(problem.sentence) > 20);
        assert_true(strcmp(problem.code, "corrupt") == 0 ||
                    strcmp(problem.code, "unknown-layout") == 0);
        return 0;
    }
    error = store_reader_open(&reader, place.store, &problem);
    if (error != 0) {
        fail_msg("opened, yet a reader says: %s", problem.sentence);
    }
    content = content_read(reader);
    store_reader_close(reader);
    store_close(store);
    if (content.damaged) {
        return 1;
    }
    assert_int_equal(content.hash, whole->hash);
    return 2;
}

static struct content whole_read(void)
{
    struct store_reader *reader;
    struct content whole;

    put_back(database, database_size);
    reader = reader_new(&place);
    whole = content_read(reader);
    store_reader_close(reader);
    assert_false(whole.damaged);
    assert_true(whole.rows > 500);
    return whole;
}

static int set_up(void **state)
{
    (void)state;
    place_new(&place);
    original_make();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(database);
    free(note);
    place_remove(&place);
    return 0;
}

static void flipped_bits_are_found_or_harmless(void **state)
{
    struct content whole = whole_read();
    uint8_t *bytes = malloc(database_size);
    uint32_t found[3] = { 0 };
    size_t at, i;

    (void)state;
    assert_non_null(bytes);
    memcpy(bytes, database, database_size);
    for (at = 0; at < 100; at++) {
        bytes[at] ^= (uint8_t)(1u << draw(8));
        put_back(bytes, database_size);
        found[mutant_judge(&whole)]++;
        bytes[at] = database[at];
    }
    for (i = 0; i < database_size / PAGE * FLIPS_PER_PAGE; i++) {
        at = i / FLIPS_PER_PAGE * PAGE + draw(PAGE);
        bytes[at] ^= (uint8_t)(1u << draw(8));
        put_back(bytes, database_size);
        found[mutant_judge(&whole)]++;
        bytes[at] = database[at];
    }
    print_message("%u flips refused when opened, %u when read, %u harmless\n",
                  found[0], found[1], found[2]);
    assert_true(found[0] > 20 && found[1] > 50);
    free(bytes);
}

/* Runs of bytes, as a disk loses them: a sector of zeros, one of noise. */
static void lost_sectors_are_found_or_harmless(void **state)
{
    struct content whole = whole_read();
    uint8_t *bytes = malloc(database_size);
    uint32_t found[3] = { 0 };
    size_t at, i;

    (void)state;
    assert_non_null(bytes);
    for (at = 0; at < database_size; at += 2048) {
        memcpy(bytes, database, database_size);
        for (i = 0; i < 512; i++) {
            bytes[at + i] = at % PAGE == 0 ? 0 : (uint8_t)draw(256);
        }
        put_back(bytes, database_size);
        found[mutant_judge(&whole)]++;
    }
    print_message("%u sectors refused when opened, %u when read, "
                  "%u harmless\n",
                  found[0], found[1], found[2]);
    assert_true(found[0] > 20);
    free(bytes);
}

static void cut_files_are_refused(void **state)
{
    struct content whole = whole_read();
    size_t size;

    (void)state;
    for (size = 0; size < database_size; size += 1024) {
        put_back(database, size);
        assert_int_equal(mutant_judge(&whole), 0);
    }
    put_back(database, database_size - 1);
    assert_int_equal(mutant_judge(&whole), 0);
    put_back(database, database_size);
    assert_int_equal(mutant_judge(&whole), 2);
}

static void noise_is_no_database(void **state)
{
    struct content whole = whole_read();
    uint8_t noise[3 * PAGE];
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(noise); i++) {
        noise[i] = (uint8_t)draw(256);
    }
    put_back(noise, sizeof(noise));
    assert_int_equal(mutant_judge(&whole), 0);
}

/* Gone, or put back from before: what the note says is missed. */
static void what_is_missing_is_missed(void **state)
{
    struct gray_problem problem = { NULL, "", 0 };
    struct store_reader *reader = NULL;
    struct store *store;
    char path[128];

    (void)state;
    put_back(database, database_size);
    store = store_new(&place);
    document_put_well(store, REVISIONS, "Release/new", "1");
    store_close(store);
    file_replace(place.store, "store.db", database, database_size);
    store_refused(&place, -EILSEQ, "corrupt");
    assert_int_equal(store_reader_open(&reader, place.store, &problem),
                     -EILSEQ);
    assert_non_null(strstr(problem.sentence, "lacks 1 acknowledged"));
    snprintf(path, sizeof(path), "%s/store.db", place.store);
    assert_int_equal(unlink(path), 0);
    store_refused(&place, -EILSEQ, "corrupt");
    /* As the sentence advises: an old copy, without the note. */
    put_back(database, database_size);
    snprintf(path, sizeof(path), "%s/acknowledged", place.store);
    assert_int_equal(unlink(path), 0);
    store_close(store_new(&place));
    /* A database of another store. */
    note[0] = note[0] == 'a' ? 'b' : 'a';
    put_back(database, database_size);
    store_close(store_new(&place)); /* an unreadable note says nothing */
    note[0] = note[0] == 'a' ? 'b' : 'a';
}

static void a_database_of_another_store_is_refused(void **state)
{
    uint8_t *mine = note;
    struct place other;
    size_t size;

    (void)state;
    place_new(&other);
    store_close(store_new(&other));
    note = file_bytes(other.store, "acknowledged", &size);
    put_back(database, database_size);
    store_refused(&place, -EILSEQ, "corrupt");
    free(note);
    note = mine;
    place_remove(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flipped_bits_are_found_or_harmless),
        cmocka_unit_test(lost_sectors_are_found_or_harmless),
        cmocka_unit_test(cut_files_are_refused),
        cmocka_unit_test(noise_is_no_database),
        cmocka_unit_test(what_is_missing_is_missed),
        cmocka_unit_test(a_database_of_another_store_is_refused),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
