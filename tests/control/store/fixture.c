/* SPDX-License-Identifier: Apache-2.0
 * fixture.c - see fixture.h.
 *
 * Why: nothing here may hide a failure: whatever should not happen ends the
 * test.
 * Read next: fixture.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/control/store/fixture.h"
#include "tests/runtime/folder.h"

static uint64_t random_state = 42;

uint64_t draw(uint64_t below)
{
    random_state += 0x9e3779b97f4a7c15u;
    return gray_mix64(random_state) % below;
}

void place_new(struct place *place)
{
    folder_new(place->top);
    snprintf(place->store, sizeof(place->store), "%s/store", place->top);
}

void place_remove(const struct place *place)
{
    folder_remove(place->top);
}

struct store *store_new(const struct place *place)
{
    struct gray_problem problem = { NULL, "", 0 };
    struct store *store = NULL;

    if (store_open(&store, place->store, &problem) != 0) {
        fail_msg("open: %s: %s", problem.code, problem.sentence);
    }
    return store;
}

struct store_reader *reader_new(const struct place *place)
{
    struct gray_problem problem = { NULL, "", 0 };
    struct store_reader *reader = NULL;

    if (store_reader_open(&reader, place->store, &problem) != 0) {
        fail_msg("open: %s: %s", problem.code, problem.sentence);
    }
    return reader;
}

void store_refused(const struct place *place, int error, const char *code)
{
    struct gray_problem problem = { NULL, "", 0 };
    struct store *store = NULL;

    assert_int_equal(store_open(&store, place->store, &problem), error);
    assert_null(store);
    assert_string_equal(problem.code, code);
    assert_true(strlen(problem.sentence) > 20);
}

void audit_fill(struct store_audit *ret_audit, uint64_t sequence, char *text,
                size_t size)
{
    uint32_t hash;

    memset(ret_audit, 0, sizeof(*ret_audit));
    ret_audit->sequence = sequence;
    ret_audit->length = (size_t)snprintf(text, size, "{\"sequence\":%llu}",
                                         (unsigned long long)sequence);
    ret_audit->text = text;
    hash = gray_murmur3_32(text, ret_audit->length, 7);
    memset(ret_audit->hash, 0xa5, STORE_HASH);
    memcpy(ret_audit->hash, &hash, sizeof(hash));
}

bool audit_true(const struct store_record *record)
{
    struct store_audit wanted;
    char text[64];

    audit_fill(&wanted, record->sequence, text, sizeof(text));
    return record->length == wanted.length &&
           memcmp(record->text, text, wanted.length) == 0 &&
           memcmp(record->hash, wanted.hash, STORE_HASH) == 0;
}

int document_put(struct store *store, uint64_t expected, const char *name,
                 const char *text, struct gray_problem *ret_problem)
{
    char record[64];
    struct store_audit audit;
    struct store_put put = { STORE_DOCUMENT, name, text,
                             text == NULL ? 0 : strlen(text) };
    struct store_batch batch = { .at = 1000 * (int64_t)(expected + 1),
                                 .expected_revision = expected,
                                 .puts = &put,
                                 .put_count = 1,
                                 .audits = &audit,
                                 .audit_count = 1 };
    uint64_t revision = 0;
    int error;

    audit_fill(&audit, expected + 1, record, sizeof(record));
    error = store_commit(store, &batch, &revision, ret_problem);
    assert_int_equal(revision, error == 0 ? expected + 1 : 0);
    return error;
}

void document_put_well(struct store *store, uint64_t expected,
                       const char *name, const char *text)
{
    struct gray_problem problem = { NULL, "", 0 };

    if (document_put(store, expected, name, text, &problem) != 0) {
        fail_msg("commit: %s: %s", problem.code, problem.sentence);
    }
}

int seen_visit(void *context, const struct store_item *item)
{
    struct seen *seen = context;
    struct seen_item *kept = &seen->items[seen->count];

    assert_true(seen->count < sizeof(seen->items) / sizeof(seen->items[0]));
    snprintf(kept->name, sizeof(kept->name), "%s", item->name);
    snprintf(kept->text, sizeof(kept->text), "%s", item->text);
    kept->length = item->length;
    kept->revision = item->revision;
    kept->until = item->until;
    kept->at = item->at;
    kept->until_at = item->until_at;
    seen->count++;
    return seen->count == seen->stop_at;
}

struct store_head head_of(struct store_reader *reader)
{
    struct gray_problem problem = { NULL, "", 0 };
    struct store_head head = { .revision = 0 };

    if (store_read_head(reader, &head, &problem) != 0) {
        fail_msg("head: %s: %s", problem.code, problem.sentence);
    }
    return head;
}

static int count_one(void *context, const struct store_pending *effect)
{
    size_t *count = context;

    assert_non_null(effect->kind);
    (*count)++;
    return 0;
}

size_t pending_count(struct store_reader *reader)
{
    size_t count = 0;

    assert_int_equal(store_read_pending(reader, count_one, &count, NULL), 0);
    return count;
}
