/* SPDX-License-Identifier: Apache-2.0
 * fixture.h - a store in a folder of its own for each test.
 *
 * Why: every test commits, reads back what it committed, and wants the folder
 * gone afterwards.  Audit records of these tests carry a hash that can be told
 * from their text, so that a changed record is seen.
 * Read next: test_commit.c.
 */
#ifndef GRAYD_TESTS_STORE_FIXTURE_H
#define GRAYD_TESTS_STORE_FIXTURE_H

#include "control/store/store.h"

#define DAY 86400000

/* A folder for a test, and the store's inside it (not made). */
struct place {
    char top[64];
    char store[80];
};
void place_new(struct place *place);
void place_remove(const struct place *place);

struct store *store_new(const struct place *place);
struct store_reader *reader_new(const struct place *place);
/* Opens, expects this refusal and a sentence. */
void store_refused(const struct place *place, int error, const char *code);

/* A document put (text NULL: ended), with its audit record, against the head;
 * what store_commit() gave. */
int document_put(struct store *store, uint64_t expected, const char *name,
                 const char *text, struct gray_problem *ret_problem);
/* The same, must be acknowledged. */
void document_put_well(struct store *store, uint64_t expected,
                       const char *name, const char *text);
void audit_fill(struct store_audit *ret_audit, uint64_t sequence, char *text,
                size_t size);
bool audit_true(const struct store_record *record);

struct seen_item {
    char name[STORE_NAME_MAX + 1], text[64];
    size_t length;
    uint64_t revision, until;
    int64_t at, until_at;
};
struct seen {
    struct seen_item items[64];
    size_t count, stop_at; /* 0: never */
};
/* Keeps what it is shown (of long texts the beginning). */
int seen_visit(void *context, const struct store_item *item);

struct store_head head_of(struct store_reader *reader);
size_t pending_count(struct store_reader *reader);

/* xorshift, so that a run can be repeated. */
uint64_t draw(uint64_t below);

#endif
