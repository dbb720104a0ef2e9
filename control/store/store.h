/* SPDX-License-Identifier: Apache-2.0
 * store.h - what grayd must never forget, in transactions.
 *
 * Why: documents, release states, tokens, the audit and the outbox change
 * together or not at all, and every later question ("who was in at nine?") is
 * answered from what stands here.  A store keeps *items*: a text (JSON) under
 * a space and a name, each version with the revision and the moment from
 * which and until which it was valid.  All writing is one call,
 * store_commit(): a batch that says which revision it was made against, so
 * that an etcd store can carry it as one guarded transaction.
 *
 * Threads: one thread commits (the control thread).  Reading goes through a
 * store_reader, one a thread; a reader sees what was committed before its
 * call began.
 * Errors: 0, or negative with *ret_problem: -EAGAIN "conflict" (another
 * revision is in force), -EINVAL "bad-batch" or "no-revision" (what was asked
 * is wrong), -EBUSY "in-use" (another grayd has the store), -ENOSPC, -EROFS
 * "store-failed": nothing of the batch was kept; -EILSEQ "corrupt": what is
 * there cannot be trusted.  After an error of writing or syncing that leaves
 * the outcome unknown (-EIO "store-failed") the store refuses every further
 * commit until it is opened anew: an fsync that failed is never tried again
 * as if it were clean.  Opening then tells by its head what was kept.
 * Read next: spaces.def, store_sqlite.c.
 */
#ifndef GRAYD_STORE_H
#define GRAYD_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/engine.h"

#define STORE_FOLDER_MAX 400u        /* bytes of the folder's path */
#define STORE_NAME_MAX 192u          /* bytes of an item's name */
#define STORE_TEXT_MAX (64u << 20)   /* bytes of an item's text */
#define STORE_HASH 32u
#define STORE_KIND_MAX 64u           /* bytes of an effect's kind */
#define STORE_KEY_MAX 512u           /* bytes of an answer's key */

struct store;
struct store_reader;

enum store_space {
#define STORE_SPACE(NAME, word, doc) STORE_##NAME,
#include "control/store/spaces.def"
#undef STORE_SPACE
    STORE_SPACE_COUNT
};
const char *store_space_word(enum store_space space);

/* ---- open ------------------------------------------------------------------ */

/* Opens or makes the store in a folder of its own (made with mode 0700; one
 * that others may enter is refused, "untrusted-folder"), takes its lock,
 * checks it, and recovers what a killed process left.  Further codes:
 * "unknown-layout", "bad-folder". */
int store_open(struct store **ret_store, const char *folder,
               struct gray_problem *ret_problem);
/* Checkpoints and lets go; NULL is harmless. */
void store_close(struct store *store);
/* A reader of the same folder; needs no lock, works beside a running grayd
 * and after its death. */
int store_reader_open(struct store_reader **ret_reader, const char *folder,
                      struct gray_problem *ret_problem);
void store_reader_close(struct store_reader *reader);

/* ---- write ------------------------------------------------------------------ */

struct store_put {
    enum store_space space;
    const char *name;
    const char *text;   /* NULL: the item ends (its history stays; one that
                         * is not there stays so) */
    size_t length;
};
/* The audit record made for this batch; see audit/audit.h. */
struct store_audit {
    uint64_t sequence;  /* the last one + 1 */
    const char *text;   /* canonical JSON */
    size_t length;
    uint8_t hash[STORE_HASH]; /* of the chain, this record included */
};
/* Something to be done after the commit, at least once. */
struct store_effect {
    const char *kind;   /* "publish", "words", ... */
    const char *text;   /* JSON */
};
/* What was answered to a call with an idempotency key; kept for a day. */
struct store_answer {
    const char *key;    /* actor, a blank, the client's key */
    uint8_t request[STORE_HASH]; /* of the request's method, path and body */
    int status;
    const char *body;
    int64_t at;         /* when it was given; the batch's moment in a commit */
};
struct store_batch {
    int64_t at;         /* ms since the epoch */
    /* Looked at when there are puts; the commit then makes revision
     * expected_revision + 1. */
    uint64_t expected_revision;
    const struct store_put *puts;
    size_t put_count;
    const struct store_audit *audits;
    size_t audit_count;
    const struct store_effect *effects;
    size_t effect_count;
    const uint64_t *effects_done; /* ids */
    size_t effects_done_count;
    const struct store_answer *answer; /* NULL: none */
};
/* All of it, synced, or nothing. *ret_revision is the one now in force.
 * -EINVAL "bad-batch": a size beyond its limit, an item put twice, an audit
 * sequence that is not the last one + 1. An answer under a key that has one
 * of the last day is a "conflict". Ids of effects that are unknown or done
 * already do no harm. */
int store_commit(struct store *store, const struct store_batch *batch,
                 uint64_t *ret_revision, struct gray_problem *ret_problem);

struct store_counts {
    uint64_t commits;  /* acknowledged */
    uint64_t refused;  /* conflicts and bad batches */
    uint64_t failed;   /* by disk, damage or memory */
};
/* Since it was opened; from any thread. */
void store_count(const struct store *store, struct store_counts *ret_counts);

/* ---- read -------------------------------------------------------------------- */

struct store_head {
    uint64_t revision;        /* 0: nothing was ever put */
    int64_t at;               /* of that revision */
    uint64_t audit_sequence;  /* 0: no record */
    uint8_t audit_hash[STORE_HASH]; /* zeros before the first */
    char instance[33];        /* random hex, made with the store */
};
int store_read_head(struct store_reader *reader, struct store_head *ret_head,
                    struct gray_problem *ret_problem);

/* The revision in force at a moment (ms): the last one made at or before it
 * by the clock of the commits; 0: none was. Costs a look at each later one. */
int store_revision_at(struct store_reader *reader, int64_t at,
                      uint64_t *ret_revision,
                      struct gray_problem *ret_problem);

struct store_item {
    const char *name, *text; /* valid until the visit returns; end in NUL */
    size_t length;
    uint64_t revision;  /* from which this version is valid */
    uint64_t until;     /* first revision without it; 0: still valid */
    int64_t at;         /* when it became valid */
    int64_t until_at;   /* when it ended; 0: still valid */
};
/* Returns 0 to go on, 1 to stop. No visit may read with the reader that visits
 * ("nested-read"); one that takes long keeps the log from being reused. */
typedef int store_visit(void *context, const struct store_item *item);

/* One item as of a revision (0: now). 0 with the visit called; 1: there is
 * (was) none. -EINVAL "no-revision": that one has not been made. */
int store_read_item(struct store_reader *reader, enum store_space space,
                    const char *name, uint64_t revision, store_visit *visit,
                    void *context, struct gray_problem *ret_problem);
/* Items of a space as of a revision (0: now) by name, after `after` (NULL:
 * from the first), at most `limit`. */
int store_read_items(struct store_reader *reader, enum store_space space,
                     uint64_t revision, const char *after, size_t limit,
                     store_visit *visit, void *context,
                     struct gray_problem *ret_problem);
/* Every version of one item, newest first, beginning below revision `before`
 * (0: the newest). */
int store_read_history(struct store_reader *reader, enum store_space space,
                       const char *name, uint64_t before, size_t limit,
                       store_visit *visit, void *context,
                       struct gray_problem *ret_problem);

struct store_record {
    uint64_t sequence;
    const char *text;
    size_t length;
    uint8_t hash[STORE_HASH];
};
typedef int store_record_visit(void *context,
                               const struct store_record *record);
/* Audit records from a sequence number on, ascending. */
int store_read_audit(struct store_reader *reader, uint64_t from, size_t limit,
                     store_record_visit *visit, void *context,
                     struct gray_problem *ret_problem);

struct store_pending {
    uint64_t id;
    const char *kind, *text;
    uint64_t revision;  /* of the commit that asked for it */
};
typedef int store_pending_visit(void *context,
                                const struct store_pending *effect);
/* Effects not yet done, oldest first. */
int store_read_pending(struct store_reader *reader, store_pending_visit *visit,
                       void *context, struct gray_problem *ret_problem);
/* An earlier answer: 0 and *ret_answer (its strings malloc'd, freed by the
 * caller: key NULL, body), 1: none. */
int store_read_answer(struct store_reader *reader, const char *key,
                      struct store_answer *ret_answer,
                      struct gray_problem *ret_problem);

#endif
