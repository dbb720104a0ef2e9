/* SPDX-License-Identifier: Apache-2.0
 * marks.h - the durable truth of marks: rings in, journal, slots moved.
 *
 * Why: a mark in memory answers fast and is gone with the power; what was
 * acknowledged must not be.  One thread (the *marks thread*) takes every
 * reader's ring, appends what is new to an LMDB journal in one synced
 * transaction, and only then lets the slots say so.  It also makes, grows and
 * rebuilds the tables, revokes, repairs and imports: nobody else moves a mark
 * that is durable.
 *
 *   drain.c   rings -> a batch          settle.c  batch -> slots, wakes
 *   journal.c LMDB                      rebuild.c journal -> tables at boot
 *   work.c    revoke                    put.c     import, repair
 *   settled.c units that are over
 *   scopes.c  whose table is whose      grow.c    tables that grow
 *   sweep.c   marks without a record    ahead.c   an older journal
 *   look.c    what people are shown          replay.c  what a plan asks
 *   redis.c   put-if-absent             thread.c  the rounds of all this
 *   lease.c   leases of a server        policy.c  scopes of a policy
 *   ship.c    records for a server
 *
 * Threads: marks_open() and marks_close() by the control thread; the calls
 * below marked (any) by any thread, the others by the control thread.  Calls
 * that wait say so.
 * Errors: 0, or negative with *ret_problem.
 * Read next: docs/marks.md, runtime/marks.h, runtime/ring.h.
 */
#ifndef GRAYD_MARKS_H
#define GRAYD_MARKS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "policy/policy.h"
#include "runtime/runtime.h"

struct marks;

struct marks_options {
    const char *state;    /* the journal is <state>/marks/ */
    const char *runtime;
    const char *redis;    /* "127.0.0.1:6379", "unix:/path"; NULL: none */
    gid_t group;          /* of the tables; (gid_t)-1: the folder's */
    int64_t (*now_ms)(void);
    uint64_t map_size;    /* of the journal; 0: 1 TiB of address space */
    bool begun;           /* releases went on before this start: where there is
                             no journal, one was lost */
    bool leased;          /* somebody else grants the admission lease: it is
                             never written beyond marks_lease(); what `control`
                             has at the start stays */
};
/* Opens (makes) the journal, settles what a dead writer left, starts the
 * thread.  A journal that cannot be believed does not keep grayd from
 * starting: its scopes are UNKNOWN, and marks_status() says why. */
int marks_open(struct marks **ret_marks, const struct marks_options *options,
               struct gray_problem *ret_problem);
/* Drains once more, syncs, ends the thread. */
void marks_close(struct marks *marks);

/* With options.leased: the admission lease ends at `until` (CLOCK_BOOTTIME ns),
 * later than what was said before, or what was said stays (any). */
void marks_lease(struct marks *marks, int64_t until);

/* A release scope, as the policy to be published has it. */
struct marks_scope {
    char name[GRAY_NAME_MAX + 1];
    uint64_t scope;
    uint32_t attempt;
    uint8_t stickiness, durability, flags; /* GRAY_STICKY_*, _DURABLE_*, _MARKS_* */
    uint8_t variants;
};
/* The scopes of a policy that keep marks: malloc'd, with room for one more;
 * NULL: no memory. */
struct marks_scope *marks_scopes_of(const struct gray_snapshot *policy,
                                    size_t *ret_count);
/* Before a policy is published: every scope has its table (made, or rebuilt
 * from the journal in the background: UNKNOWN until then) and is known to the
 * thread.  Scopes left out are kept, and take no new mark. */
int marks_prepare(struct marks *marks, const struct marks_scope *scopes,
                  size_t count, uint64_t revision,
                  struct gray_problem *ret_problem);

/* ---- freeze ------------------------------------------------------------------ */

/* The scope word was tightened: everything that stands in a ring now is taken
 * and synced; from then on no IN of this scope becomes durable: it is void.
 * Called when readers have acknowledged, or their lease is over.  Waits for
 * the marks thread, at most `wait_ms`: -ETIME.  `settled` once; again: 0. */
int marks_close_scope(struct marks *marks, uint64_t scope, int wait_ms,
                      struct gray_problem *ret_problem);
/* The word is about to be open again: voids what is IN and not durable, then
 * takes new ones. Waits like it. */
int marks_open_scope(struct marks *marks, uint64_t scope, int wait_ms,
                     struct gray_problem *ret_problem);
/* Deadline of the admission lease, written by the marks thread every round
 * while the journal takes marks: CLOCK_BOOTTIME ns ahead. 10 s. */
#define MARKS_LEASE_MS 10000

/* ---- moves with an author ------------------------------------------------------ */

enum marks_cohort {
    MARKS_ALL,      /* every IN (abort --leave) */
    MARKS_OLDER_BUCKETS, /* IN whose bucket is not below `share`: the last
                            that came in by share, first out (retreat) */
    MARKS_NEWEST,   /* the last `count` that came in, by the journal */
    MARKS_LISTED    /* `units` */
};
struct marks_revoke {
    uint64_t scope;
    enum marks_cohort cohort;
    uint32_t share;      /* millionths; with the salt of the release */
    const char *salt;
    uint64_t count;
    uint8_t space;       /* OLDER_BUCKETS: of this space alone (a dimension's);
                            0: of all */
    const json_t *units; /* array of strings */
    uint32_t attempt;    /* the marks get: the one that ends */
    const char *actor, *reason;
};
/* Queues; each revoked mark is a journal record with actor and reason. Done in
 * the background: marks_status() says how many are left.  0 and *ret_id. */
int marks_revoke(struct marks *marks, const struct marks_revoke *what,
                 uint64_t *ret_id, struct gray_problem *ret_problem);
/* Whether anything queued for this scope is still to be done (any). */
bool marks_busy(struct marks *marks, uint64_t scope);

struct marks_put { /* repair and import */
    const char *unit;
    uint8_t space, state, variant; /* state: GRAY_SLOT_IN, _OUT, _REVOKED */
};
/* Puts marks, whatever stood there where `repair`, else only where nothing
 * does.  Waits until they are durable.  *ret_json: {put, same, conflicts:
 * [{unit, state}]} (new reference; at most 1,000 conflicts are named). */
int marks_put(struct marks *marks, uint64_t scope, const struct marks_put *puts,
              size_t count, bool repair, const char *actor, const char *reason,
              json_t **ret_json, struct gray_problem *ret_problem);

#define MARKS_EVERY_SPACE UINT8_MAX
struct marks_unit {
    const char *unit;
    uint8_t space; /* MARKS_EVERY_SPACE: wherever it has a mark */
};
/* Their business is over, somebody says: the marks stay what they are, and are
 * counted as settled; `dry_run`: they would be. Waits until it is durable.  *ret_json (units): {settled
 * now, out: marks of those that were outside, already, unknown: without a mark, refused: damaged or not durable,
 * unknownUnits: [unit], refusedUnits: [{unit, state}]} (new reference; at most
 * 1,000 are named). */
int marks_settle(struct marks *marks, uint64_t scope,
                 const struct marks_unit *units, size_t count, bool dry_run,
                 const char *actor, const char *reason, json_t **ret_json,
                 struct gray_problem *ret_problem);

/* ---- looking (any) ---------------------------------------------------------------- */

/* {unit, state, durable, settled, variant, attempt, revision, minute, at,
 * history: [...]} of one unit; state as below, or "unknown" while the table is
 * not ready; history from the journal (rows as below, kind: admit, revoke,
 * repair, import, void or settle), oldest first, the newest 1,000. Reads the whole log. New
 * reference. */
json_t *marks_get(struct marks *marks, uint64_t scope, uint8_t space,
                  const char *unit, struct gray_problem *ret_problem);
/* Marks as they stand, in the order of the journal, from sequence `after` on,
 * at most `limit`; `state` 0: any; `open`: those that are not settled alone.
 * {marks: [{sequence, unit, state, settled, variant, attempt, revision, at,
 * stage, space, kind, entrance, reader, reason, actor}], next}: a row is of the
 * record that made the mark what it is, settled as it stands now; next 0: these were the last.  A unit that is no UTF-8 is null, with
 * its bytes as unitHex; null alone: its text was lost.  At most 10,000. */
json_t *marks_list(struct marks *marks, uint64_t scope, uint8_t state,
                   bool open, uint64_t after, size_t limit,
                   struct gray_problem *ret_problem);
/* Of one scope: {in, out, settled (of those that are out: the rest is open),
 * settledNobody (heard of a program, of units without a mark), revoked, hold, pending, notDurable, void, late,
 * refused, table: {marks, room, bytes, state: "ready"|"rebuilding"|"broken"|
 * "missing", growing}, journal: {sequence, lag (bytes of rings that are not in
 * it), lagMs, bytes}, writer: "ok"|"full"|"failed", trouble (a sentence, or
 * ""), redis: "none"|"ok"|"lost", queued, closed}; counts are taken from the
 * table now.  Scope 0: of the writer as a whole: {journal, commits,
 * badRecords, lostRecords, strays, queued, writer, trouble, redis}. New
 * reference. */
json_t *marks_status(struct marks *marks, uint64_t scope,
                     struct gray_problem *ret_problem);
/* Asks `standing` (policy/standing.h) of every mark of a scope that is IN, in a
 * child, for `bound_ms` at most; as gray_counter.count. Waits for it. */
struct gray_standing;
struct gray_tally;
enum gray_counted marks_replay(struct marks *marks, uint64_t scope,
                               struct gray_standing *standing,
                               int64_t bound_ms, struct gray_tally *ret_tally,
                               char ret_why[160]);
enum gray_writer_state marks_writer(const struct marks *marks);

/* ---- shipping (any): what an agent sends to its server ------------------------------ */

/* The number of the last record; 0: there is none. */
uint64_t marks_last(const struct marks *marks);
/* Records in the order of the journal, of every scope, from `after` + 1 on
 * without a gap, at most `limit` (10,000): an array of rows as above, each
 * with its `scope` (16 hex digits).  One that is damaged is a row of state
 * "hold", so that numbers stay whole.  New reference. */
json_t *marks_ship(struct marks *marks, uint64_t after, size_t limit,
                   struct gray_problem *ret_problem);
/* Names this journal: made with it, and gone with it. */
void marks_journal_id(struct marks *marks, char ret_id[33]);

#endif
