/* SPDX-License-Identifier: Apache-2.0
 * test_model.c - two thousand random steps against a plain table.
 *
 * Why: validity intervals are easy to get wrong by one.  The model keeps, for
 * every revision, the text of every item; the store must give the same answer
 * as of each of them, by item, by list, by page and by history.
 * Read next: control/store/sqlite_read.c.
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

#define STEPS 2000u
#define NAMES 14u
#define SPACES 2u

/* model[revision][space][name]: number of the text, 0: none. */
static uint32_t model[STEPS + 1][SPACES][NAMES];
static uint32_t texts;
static uint64_t revision, sequence;

static void name_of(char name[16], size_t i)
{
    snprintf(name, 16, "%s%02zu", i % 3 == 0 ? "List/" : "Service/", i);
}

/* A batch of one to four items of one space, some of which end. */
static void step(struct store *store)
{
    char names[4][16], text[4][24], record[64];
    struct store_put puts[4];
    struct store_audit audit;
    size_t space = draw(SPACES), first = draw(NAMES), i;
    bool stale = draw(10) == 0;
    struct store_batch batch = { .at = (int64_t)(10 * revision + 10),
                                 .expected_revision = revision - stale,
                                 .puts = puts,
                                 .put_count = 1 + draw(4),
                                 .audits = &audit,
                                 .audit_count = draw(2) };
    uint64_t made = 0;

    memcpy(model[revision + 1], model[revision], sizeof(model[0]));
    for (i = 0; i < batch.put_count; i++) {
        size_t name = (first + i) % NAMES;
        bool ends = draw(4) == 0;

        name_of(names[i], name);
        texts++;
        puts[i].space = (enum store_space)space;
        puts[i].name = names[i];
        puts[i].text = ends ? NULL : text[i];
        puts[i].length =
            (size_t)snprintf(text[i], sizeof(text[i]), "%u", texts);
        model[revision + 1][space][name] = ends ? 0 : texts;
    }
    audit_fill(&audit, sequence + 1, record, sizeof(record));
    if (stale) {
        assert_int_equal(store_commit(store, &batch, &made, NULL), -EAGAIN);
        return;
    }
    assert_int_equal(store_commit(store, &batch, &made, NULL), 0);
    revision++;
    sequence += batch.audit_count;
    assert_int_equal(made, revision);
}

/* The list as of a revision, in pages of `page`. */
static void list_compare(struct store_reader *reader, uint64_t as_of,
                         size_t space, size_t page)
{
    uint64_t row = as_of == 0 ? revision : as_of;
    struct seen seen = { .count = 0 };
    size_t before, i, found = 0;
    char name[16];

    do {
        before = seen.count;
        assert_int_equal(
            store_read_items(reader, (enum store_space)space, as_of,
                             before == 0 ? NULL : seen.items[before - 1].name,
                             page, seen_visit, &seen, NULL),
            0);
        assert_true(seen.count - before <= page);
    } while (seen.count > before);
    for (i = 0; i < NAMES; i++) {
        name_of(name, i);
        if (model[row][space][i] != 0) {
            size_t k = 0;

            while (k < seen.count && strcmp(seen.items[k].name, name) != 0) {
                k++;
            }
            assert_true(k < seen.count);
            assert_int_equal(strtoul(seen.items[k].text, NULL, 10),
                             model[row][space][i]);
            assert_true(seen.items[k].revision <= row);
            assert_true(seen.items[k].until == 0 ||
                        seen.items[k].until > row);
            found++;
        }
    }
    assert_int_equal(found, seen.count);
    for (i = 1; i < seen.count; i++) {
        assert_true(strcmp(seen.items[i - 1].name, seen.items[i].name) < 0);
    }
}

static void item_compare(struct store_reader *reader, uint64_t as_of,
                         size_t space, size_t i)
{
    struct seen seen = { .count = 0 };
    char name[16];
    int none;

    name_of(name, i);
    none = store_read_item(reader, (enum store_space)space, name, as_of,
                           seen_visit, &seen, NULL);
    assert_int_equal(none, model[as_of][space][i] == 0 ? 1 : 0);
    if (none == 0) {
        assert_int_equal(strtoul(seen.items[0].text, NULL, 10),
                         model[as_of][space][i]);
        assert_int_equal(seen.items[0].at, 10 * seen.items[0].revision);
    }
}

/* Backwards through the versions: each holds in just its interval. */
static void history_compare(struct store_reader *reader, size_t space,
                            size_t i)
{
    uint64_t before = 0, r;
    char name[16];

    name_of(name, i);
    do {
        struct seen seen = { .count = 0 };

        assert_int_equal(store_read_history(reader, (enum store_space)space,
                                            name, before, 1, seen_visit, &seen,
                                            NULL),
                         0);
        if (seen.count == 0) {
            break;
        }
        for (r = seen.items[0].revision;
             r <= revision &&
             (seen.items[0].until == 0 || r < seen.items[0].until);
             r++) {
            assert_int_equal(strtoul(seen.items[0].text, NULL, 10),
                             model[r][space][i]);
        }
        for (; before != 0 && r < before; r++) {
            assert_int_equal(model[r][space][i], 0);
        }
        assert_true(before == 0 || seen.items[0].revision < before);
        before = seen.items[0].revision;
    } while (true);
    for (r = 0; r < (before == 0 ? revision + 1 : before); r++) {
        assert_int_equal(model[r][space][i], 0);
    }
}

static void any_revision_answers_as_the_model(void **state)
{
    struct place place;
    struct store *store;
    struct store_reader *reader;
    uint64_t r;
    size_t i, space;
    uint32_t n;

    (void)state;
    place_new(&place);
    store = store_new(&place);
    reader = reader_new(&place);
    for (n = 0; n < STEPS; n++) {
        step(store);
        for (space = 0; n % 10 == 0 && space < SPACES; space++) {
            list_compare(reader, 0, space, 1 + draw(NAMES));
        }
        if (n % 500 == 250) {
            store_close(store);
            store = store_new(&place);
        }
    }
    for (r = 1; r <= revision; r++) {
        for (space = 0; space < SPACES; space++) {
            list_compare(reader, r, space, 1 + draw(NAMES));
            item_compare(reader, r, space, draw(NAMES));
        }
    }
    for (i = 0; i < NAMES; i++) {
        history_compare(reader, 0, i);
        history_compare(reader, 1, i);
    }
    print_message("%u steps, %llu revisions, %u texts\n", STEPS,
                  (unsigned long long)revision, texts);
    assert_true(revision > STEPS / 2);
    assert_int_equal(head_of(reader).audit_sequence, sequence);
    store_reader_close(reader);
    store_close(store);
    place_remove(&place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_revision_answers_as_the_model),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
