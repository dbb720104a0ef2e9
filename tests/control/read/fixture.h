/* SPDX-License-Identifier: Apache-2.0
 * fixture.h - a real store to be asked through the route table.
 *
 * Why: a question is written as a client writes it (method and target), finds
 * its route and handler by the table, and every answer is held against the
 * schema that the table names.  What is in the store was committed as grayd
 * commits: with audit records in one chain.
 * Read next: test_documents.c.
 */
#ifndef GRAYD_TESTS_READ_FIXTURE_H
#define GRAYD_TESTS_READ_FIXTURE_H

#include "control/audit/audit.h"
#include "control/change/world.h"
#include "control/read/internal.h"

#define NOW INT64_C(1767225600000) /* 2026-01-01T00:00:00Z */
#define HOUR INT64_C(3600000)

struct desk {
    char top[64], state[80], runtime[80];
    struct store *store;
    struct grayd grayd;
    struct hand hand;
    uint64_t revision, sequence;
    uint8_t chain[STORE_HASH];
    struct audit_tree tree;
    const char *actor;     /* of the next records; NULL: ann */
    const char *scopes[4]; /* of whoever asks; none: every name */
};
void desk_open(struct desk *desk);
void desk_close(struct desk *desk);

/* A record alone: an attempt, a dry run, or what made no revision. */
void record(struct desk *desk, int64_t at, const char *action,
            const char *resource, const char *outcome);
/* An item (text NULL: it ends) with its record, as one revision. */
void put(struct desk *desk, int64_t at, enum store_space space,
         const char *name, const char *text);
/* A document of any kind with these members: {"kind","name",...}. */
void put_document(struct desk *desk, int64_t at, const char *kind,
                  const char *name, const char *members);
/* The release's state at this share in millionths, Progressing. */
void put_release(struct desk *desk, int64_t at, const char *name,
                 uint32_t share);
/* Service cart with v1 and v2, and the document of release cart-2: two
 * revisions. */
void put_shop(struct desk *desk);

/* Asks; the status must be this one, and the body of the route's shape. New
 * reference; of text and streams a JSON string. */
json_t *ask(struct desk *desk, const char *target, int status);
/* The same of a POST. Takes the body over. */
json_t *post(struct desk *desk, const char *target, json_t *body, int status);
/* The reply's own ETag and raw text of the last question. */
extern uint64_t last_etag;
extern char *last_text;

const char *text_at(const json_t *object, const char *key);
json_int_t number_at(const json_t *object, const char *key);
/* "a b c": the names (or this key) of the rows, in their order. */
const char *names_of(const json_t *rows, const char *key);
/* Asks page by page until there is no `next`; all rows' `name_key` joined, and
 * how many pages there were. */
const char *names_paged(struct desk *desk, const char *target,
                        const char *key, const char *name_key,
                        const char *cursor, size_t *ret_pages);

#endif
