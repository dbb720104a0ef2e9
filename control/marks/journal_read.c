/* SPDX-License-Identifier: Apache-2.0
 * journal_read.c - scopes, rings and records of the journal, in order.
 *
 * Why: whoever reads gets one view of one moment, whatever is appended
 * meanwhile, and believes of it what its sums say.  A number that is missing
 * is damage: records are never taken out.
 * Read next: journal.h, rebuild.c, look.c (who read).
 */
#include <errno.h>
#include <string.h>

#include "control/marks/journal_parts.h"
#include "runtime/internal.h"

/* ---- read ------------------------------------------------------------------------- */

struct sweep {
    struct journal *journal;
    MDB_txn *txn;
    MDB_cursor *cursor;
    struct journal_head head;
};

static void sweep_end(struct sweep *sweep)
{
    if (sweep->cursor != NULL) {
        mdb_cursor_close(sweep->cursor);
    }
    if (sweep->txn != NULL) {
        mdb_txn_abort(sweep->txn);
    }
}

static int sweep_begin(struct sweep *sweep, struct journal *journal,
                       MDB_dbi dbi, struct gray_problem *ret_problem)
{
    int error = journal->env != NULL
                    ? mdb_txn_begin(journal->env, NULL, MDB_RDONLY,
                                    &sweep->txn)
                    : EIO;

    sweep->journal = journal;
    error = error != 0 ? error
                       : mdb_cursor_open(sweep->txn, dbi, &sweep->cursor);
    error = error != 0 ? error
                       : journal_head_read(journal, sweep->txn, &sweep->head);
    if (error == -1) {
        return journal_not_believed(ret_problem, "its head does not hold");
    }
    return error != 0 ? journal_failed(ret_problem, "read", error) : 0;
}

/* A visit of a small value; -EILSEQ: it does not hold. */
typedef int small_visit(void *visit, void *context, const MDB_val *value,
                        uint64_t number);

static int small_each(struct journal *journal, MDB_dbi dbi, small_visit *each,
                      void *visit, void *context,
                      struct gray_problem *ret_problem)
{
    struct sweep sweep = {.journal = journal};
    MDB_val key, value;
    int result = sweep_begin(&sweep, journal, dbi, ret_problem);
    int error = 0;

    while (result == 0 && (error = mdb_cursor_get(sweep.cursor, &key, &value,
                                                  MDB_NEXT)) == 0) {
        uint64_t number = 0;

        if (key.mv_size == sizeof(number)) {
            memcpy(&number, key.mv_data, sizeof(number));
        }
        result = each(visit, context, &value, number);
        if (result == -EILSEQ) {
            journal_not_believed(ret_problem, "a scope or a ring does not hold");
        }
    }
    if (result == 0 && error != MDB_NOTFOUND) {
        result = journal_failed(ret_problem, "read", error);
    }
    sweep_end(&sweep);
    return result;
}

static int scope_each(void *visit, void *context, const MDB_val *value,
                      uint64_t number)
{
    struct journal_scope scope;

    if (!journal_small_read(value, &scope, sizeof(scope)) || scope.scope != number ||
        scope.scope == 0 || (scope.slot_size != 16 && scope.slot_size != 32) ||
        memchr(scope.name, '\0', sizeof(scope.name)) == NULL) {
        return -EILSEQ;
    }
    return (*(journal_scope_visit **)visit)(context, &scope);
}

int journal_scopes(struct journal *journal, journal_scope_visit *visit,
                   void *context, struct gray_problem *ret_problem)
{
    return small_each(journal, journal->scopes, scope_each, &visit, context,
                      ret_problem);
}

static int ring_each(void *visit, void *context, const MDB_val *value,
                     uint64_t number)
{
    struct journal_ring ring;

    if (!journal_small_read(value, &ring, sizeof(ring)) || ring.number != number ||
        ring.number >= 2 * GRAY_READERS_MAX) {
        return -EILSEQ;
    }
    return (*(journal_ring_visit **)visit)(context, &ring);
}

int journal_rings(struct journal *journal, journal_ring_visit *visit,
                  void *context, struct gray_problem *ret_problem)
{
    return small_each(journal, journal->rings, ring_each, &visit, context,
                      ret_problem);
}

/* The record under the cursor. */
static int record_each(const struct sweep *sweep, const MDB_val *key,
                       const MDB_val *value, uint64_t expected,
                       journal_record_visit *visit, void *context,
                       struct gray_problem *ret_problem)
{
    struct record record;
    uint64_t sequence = 0;
    enum record_belief belief;

    if (key->mv_size == sizeof(sequence)) {
        memcpy(&sequence, key->mv_data, sizeof(sequence));
    }
    if (sequence != expected || sequence > sweep->head.last) {
        return journal_not_believed(ret_problem, "records are missing in the log");
    }
    belief = record_read(value->mv_data, value->mv_size, sequence, &record);
    return visit(context, sequence, &record, belief);
}

int journal_records(struct journal *journal, uint64_t from, bool backward,
                    journal_record_visit *visit, void *context,
                    struct gray_problem *ret_problem)
{
    struct sweep sweep = {.journal = journal};
    MDB_val key, value;
    uint64_t at, end;
    int result = sweep_begin(&sweep, journal, journal->log, ret_problem);
    int error = 0;

    at = from > 0 ? from : backward ? sweep.head.last : 1;
    end = backward ? 1 : sweep.head.last;
    if (result == 0 && at >= 1 && at <= sweep.head.last) {
        key = (MDB_val){sizeof(at), &at};
        error = mdb_cursor_get(sweep.cursor, &key, &value, MDB_SET_KEY);
        while (result == 0 && error == 0) {
            result = record_each(&sweep, &key, &value, at, visit, context,
                                 ret_problem);
            if (result != 0 || at == end) {
                break;
            }
            at = backward ? at - 1 : at + 1;
            error = mdb_cursor_get(sweep.cursor, &key, &value,
                                   backward ? MDB_PREV : MDB_NEXT);
        }
        if (result == 0 && error == MDB_NOTFOUND) {
            result = journal_not_believed(ret_problem, "records are missing in the log");
        } else if (result == 0 && error != 0) {
            result = journal_failed(ret_problem, "read", error);
        }
    }
    sweep_end(&sweep);
    return result;
}
