/* SPDX-License-Identifier: Apache-2.0
 * sqlite_commit.c - a batch becomes one transaction, or nothing.
 *
 * Why: when SQLite says "full" nothing of the batch is in the log and the next
 * one overwrites it.  Any other failing write or sync may have left a whole
 * commit in the log that was never acknowledged: only recovery tells, so the
 * store stops there.
 * Read next: statements.def, sqlite_db.c.
 */
#include <errno.h>
#include <string.h>

#include "control/failpoint.h"
#include "control/store/sqlite.h"

/* What the callbacks and puts of one commit share. */
struct commit {
    struct store_db *db;
    const struct store_batch *batch;
    struct store_head head;
    uint64_t revision; /* that this commit makes or leaves in force */
    struct gray_problem *problem;
};

static int conflict(struct commit *commit, const char *sentence)
{
    return store_problem_set(commit->problem, EAGAIN, "conflict", "%s",
                             sentence);
}

static int revision_put(struct commit *commit)
{
    int64_t at = commit->batch->at;
    int error = 0;
    sqlite3_stmt *row = store_db_statement(commit->db, STATEMENT_PUT_REVISION,
                                           &error, commit->problem);

    if (row == NULL) {
        return error;
    }
    sqlite3_bind_int64(row, 1, (int64_t)commit->revision);
    sqlite3_bind_int64(row, 2, at);
    sqlite3_bind_int64(row, 3, store_revision_sum(commit->revision, at));
    return store_db_step(commit->db, row, commit->problem);
}

/* Ends the version of an item that is valid now, if there is one. */
static int version_end(struct commit *commit, const struct store_put *put)
{
    const char *word = store_space_word(put->space);
    uint64_t since;
    int64_t sum;
    int error = 0;
    sqlite3_stmt *row = store_db_statement(commit->db, STATEMENT_ITEM_NOW,
                                           &error, commit->problem);

    if (row == NULL) {
        return error;
    }
    sqlite3_bind_text(row, 1, word, -1, SQLITE_STATIC);
    sqlite3_bind_text(row, 2, put->name, -1, SQLITE_STATIC);
    error = store_db_step(commit->db, row, commit->problem);
    if (error != 1) {
        return error;
    }
    since = (uint64_t)sqlite3_column_int64(row, 2);
    sum = store_version_sum(put->space, put->name, since, commit->revision,
                            sqlite3_column_text(row, 1),
                            (size_t)sqlite3_column_bytes(row, 1));
    sqlite3_reset(row);
    if (since == commit->revision) {
        return store_problem_set(commit->problem, EINVAL, "bad-batch",
                                 "%.100s is put twice.", put->name);
    }
    row = store_db_statement(commit->db, STATEMENT_END_VERSION, &error,
                             commit->problem);
    if (row == NULL) {
        return error;
    }
    sqlite3_bind_text(row, 1, word, -1, SQLITE_STATIC);
    sqlite3_bind_text(row, 2, put->name, -1, SQLITE_STATIC);
    sqlite3_bind_int64(row, 3, (int64_t)since);
    sqlite3_bind_int64(row, 4, (int64_t)commit->revision);
    sqlite3_bind_int64(row, 5, sum);
    return store_db_step(commit->db, row, commit->problem);
}

static int version_put(struct commit *commit, const struct store_put *put)
{
    int error = version_end(commit, put);
    sqlite3_stmt *row;

    if (error != 0 || put->text == NULL) {
        return error;
    }
    row = store_db_statement(commit->db, STATEMENT_PUT_VERSION, &error,
                             commit->problem);
    if (row == NULL) {
        return error;
    }
    sqlite3_bind_text(row, 1, store_space_word(put->space), -1, SQLITE_STATIC);
    sqlite3_bind_text(row, 2, put->name, -1, SQLITE_STATIC);
    sqlite3_bind_int64(row, 3, (int64_t)commit->revision);
    sqlite3_bind_text64(row, 4, put->text, put->length, SQLITE_STATIC,
                        SQLITE_UTF8);
    sqlite3_bind_int64(row, 5,
                       store_version_sum(put->space, put->name,
                                         commit->revision, 0, put->text,
                                         put->length));
    return store_db_step(commit->db, row, commit->problem);
}

static int audits_put(struct commit *commit)
{
    const struct store_batch *batch = commit->batch;
    uint64_t sequence = commit->head.audit_sequence;
    int error = 0;
    size_t i;

    for (i = 0; error == 0 && i < batch->audit_count; i++) {
        const struct store_audit *audit = &batch->audits[i];
        sqlite3_stmt *row;

        if (audit->sequence != ++sequence) {
            return store_problem_set(
                commit->problem, EINVAL, "bad-batch",
                "Audit record %llu is out of order, %llu comes next.",
                (unsigned long long)audit->sequence,
                (unsigned long long)sequence);
        }
        row = store_db_statement(commit->db, STATEMENT_PUT_AUDIT, &error,
                                 commit->problem);
        if (row == NULL) {
            return error;
        }
        sqlite3_bind_int64(row, 1, (int64_t)audit->sequence);
        sqlite3_bind_text64(row, 2, audit->text, audit->length, SQLITE_STATIC,
                            SQLITE_UTF8);
        sqlite3_bind_blob(row, 3, audit->hash, STORE_HASH, SQLITE_STATIC);
        error = store_db_step(commit->db, row, commit->problem);
    }
    return error;
}

static int effects_put(struct commit *commit)
{
    const struct store_batch *batch = commit->batch;
    int error = 0;
    size_t i;

    for (i = 0; error == 0 && i < batch->effect_count; i++) {
        const struct store_effect *effect = &batch->effects[i];
        sqlite3_stmt *row = store_db_statement(
            commit->db, STATEMENT_PUT_EFFECT, &error, commit->problem);

        if (row == NULL) {
            return error;
        }
        sqlite3_bind_int64(row, 1, (int64_t)commit->revision);
        sqlite3_bind_text(row, 2, effect->kind, -1, SQLITE_STATIC);
        sqlite3_bind_text(row, 3, effect->text, -1, SQLITE_STATIC);
        sqlite3_bind_int64(row, 4,
                           store_effect_sum(commit->revision, effect->kind,
                                            effect->text));
        error = store_db_step(commit->db, row, commit->problem);
    }
    for (i = 0; error == 0 && i < batch->effects_done_count; i++) {
        sqlite3_stmt *row = store_db_statement(
            commit->db, STATEMENT_END_EFFECT, &error, commit->problem);

        if (row == NULL) {
            return error;
        }
        sqlite3_bind_int64(row, 1, (int64_t)batch->effects_done[i]);
        sqlite3_bind_int64(row, 2, batch->at);
        error = store_db_step(commit->db, row, commit->problem);
    }
    return error;
}

static int answer_put(struct commit *commit)
{
    const struct store_answer *answer = commit->batch->answer;
    int64_t at = commit->batch->at;
    int error = 0;
    sqlite3_stmt *row = store_db_statement(commit->db, STATEMENT_DROP_ANSWER,
                                           &error, commit->problem);

    if (row == NULL) {
        return error;
    }
    sqlite3_bind_text(row, 1, answer->key, -1, SQLITE_STATIC);
    sqlite3_bind_int64(row, 2, at - STORE_KEPT_MS);
    error = store_db_step(commit->db, row, commit->problem);
    if (error != 0) {
        return error;
    }
    row = store_db_statement(commit->db, STATEMENT_PUT_ANSWER, &error,
                             commit->problem);
    if (row == NULL) {
        return error;
    }
    sqlite3_bind_text(row, 1, answer->key, -1, SQLITE_STATIC);
    sqlite3_bind_blob(row, 2, answer->request, STORE_HASH, SQLITE_STATIC);
    sqlite3_bind_int(row, 3, answer->status);
    sqlite3_bind_text(row, 4, answer->body, -1, SQLITE_STATIC);
    sqlite3_bind_int64(row, 5, at);
    sqlite3_bind_int64(row, 6, store_answer_sum(answer->key, answer, at));
    error = store_db_step(commit->db, row, commit->problem);
    if (error == -EINVAL) {
        return conflict(commit, "This key of a call has been answered.");
    }
    return error;
}

/* A few of what is older than a day; no commit pays for a year of it. */
static int old_drop(struct commit *commit, enum store_statement which)
{
    int error = 0;
    sqlite3_stmt *row =
        store_db_statement(commit->db, which, &error, commit->problem);

    if (row == NULL) {
        return error;
    }
    sqlite3_bind_int64(row, 1, commit->batch->at - STORE_KEPT_MS);
    sqlite3_bind_int(row, 2, STORE_DROPPED_MAX);
    return store_db_step(commit->db, row, commit->problem);
}

static int batch_put(struct commit *commit)
{
    const struct store_batch *batch = commit->batch;
    int error = sqlite_head(commit->db, &commit->head, commit->problem);
    size_t i;

    if (error != 0) {
        return error;
    }
    commit->revision = commit->head.revision;
    if (batch->put_count > 0) {
        if (batch->expected_revision != commit->head.revision) {
            return store_problem_set(
                commit->problem, EAGAIN, "conflict",
                "Revision %llu is in force, the change was made against %llu.",
                (unsigned long long)commit->head.revision,
                (unsigned long long)batch->expected_revision);
        }
        commit->revision++;
        error = revision_put(commit);
    }
    for (i = 0; error == 0 && i < batch->put_count; i++) {
        error = version_put(commit, &batch->puts[i]);
    }
    if (error == 0) {
        error = audits_put(commit);
    }
    if (error == 0) {
        error = effects_put(commit);
    }
    if (error == 0 && batch->answer != NULL) {
        error = answer_put(commit);
    }
    if (error == 0) {
        error = old_drop(commit, STATEMENT_DROP_ANSWERS);
    }
    if (error == 0) {
        error = old_drop(commit, STATEMENT_DROP_EFFECTS);
    }
    if (error == 0) {
        error = store_db_run(commit->db, STATEMENT_COUNT_COMMIT,
                             commit->problem);
    }
    return error;
}

/* After it nothing is written until the store is opened anew. */
static void store_stop(struct store_sqlite *store,
                       const struct gray_problem *why)
{
    store->failed = true;
    store_problem_set(&store->failure, EIO, "store-failed",
                      "The store stopped after a failed write and must be "
                      "opened anew: %.90s",
                      why->sentence);
}

int sqlite_checkpoint(struct store_sqlite *store, int mode,
                      struct gray_problem *ret_problem)
{
    int error = 0, code;

    code = sqlite3_wal_checkpoint_v2(store->db.handle, NULL, mode, NULL, NULL);
    if (code == SQLITE_OK) {
        store->wal_frames = 0;
    } else if ((code & 0xff) != SQLITE_BUSY) {
        error = store_db_problem(&store->db, ret_problem);
    }
    return error;
}

/* Readers and a full disk may leave some of the WAL where it is; a failing
 * sync of the database file is as bad as one of the WAL. */
static void checkpoint_due(struct store_sqlite *store)
{
    struct gray_problem problem = { NULL, "", 0 };
    int error;

    if (store->wal_frames < STORE_WAL_FRAMES) {
        return;
    }
    error = sqlite_checkpoint(store, SQLITE_CHECKPOINT_PASSIVE, &problem);
    if (error != 0 && error != -ENOSPC && error != -ENOMEM) {
        store_stop(store, &problem);
    }
}

/* SQLite goes on writing to files that have no name any more: what it then
 * takes is gone with this process. */
static int still_there(struct store_sqlite *store)
{
    struct gray_problem moved;
    int gone = 0;

    if (sqlite3_file_control(store->db.handle, "main",
                             SQLITE_FCNTL_HAS_MOVED, &gone) != SQLITE_OK ||
        gone == 0) {
        return 0;
    }
    store_problem_set(&moved, EIO, "store-failed",
                      "%.100s was removed or renamed.", store->db.folder);
    store_stop(store, &moved);
    return -EIO;
}

int sqlite_commit(void *state, const struct store_batch *batch,
                  uint64_t *ret_revision, struct gray_problem *ret_problem)
{
    struct store_sqlite *store = state;
    struct gray_problem problem = { NULL, "", 0 };
    struct commit commit = { .db = &store->db, .batch = batch,
                             .problem = &problem };
    int error, code;

    if (store->failed || still_there(store) != 0) {
        if (ret_problem != NULL) {
            *ret_problem = store->failure;
        }
        return -EIO;
    }
    error = store_db_run(&store->db, STATEMENT_BEGIN_WRITE, &problem);
    if (error == 0) {
        error = batch_put(&commit);
    }
    if (error == 0) {
        failpoint("store-written");
        error = store_db_run(&store->db, STATEMENT_COMMIT, &problem);
        failpoint("store-committed");
    }
    if (error == 0) {
        *ret_revision = commit.revision;
        store->commits++;
        sqlite_note_write(store->note, store->instance, store->commits);
        failpoint("store-noted");
        checkpoint_due(store);
        return 0;
    }
    code = sqlite3_errcode(store->db.handle) & 0xff;
    if (error == -EILSEQ || code == SQLITE_IOERR || code == SQLITE_READONLY) {
        store_stop(store, &problem);
        error = error == -EILSEQ ? error : -EIO;
    }
    if (!sqlite3_get_autocommit(store->db.handle) &&
        store_db_run(&store->db, STATEMENT_ROLLBACK, NULL) != 0 &&
        !store->failed) {
        store_stop(store, &problem);
    }
    if (ret_problem != NULL) {
        *ret_problem = problem;
    }
    return error;
}
