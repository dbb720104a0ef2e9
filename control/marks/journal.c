/* SPDX-License-Identifier: Apache-2.0
 * journal.c - the journal of marks in LMDB: open, append, read.
 *
 * Why: LMDB keeps the last two states whole and never writes over either, so
 * a kill or a power cut leaves one of them; its commit is one fdatasync() of
 * the pages and one synced write of the root.  Keys only grow, so pages are
 * filled whole and read back in one sweep.
 * An error of which it cannot be said what was written ends the writing: a
 * sync that failed and is tried again says yes and lies.
 * Read next: journal.h, settle.c (who appends), rebuild.c (who reads).
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/marks/journal.h"
#include "runtime/internal.h"

#define JOURNAL_FILE_MODE 0600
#define JOURNAL_READERS 256u

/* ---- errors ---------------------------------------------------------------- */

/* LMDB's error in ours. */
static int error_of(int lmdb)
{
    switch (lmdb) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG: /* a limit on the size of files is a full disk */
    case ENOMEM:
    case MDB_MAP_FULL:
        return ENOSPC;
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INVALID:
    case MDB_VERSION_MISMATCH:
    case MDB_INCOMPATIBLE:
    case MDB_BAD_TXN:
    case MDB_BAD_VALSIZE:
        return EILSEQ;
    case EROFS:
    case EACCES:
    case EPERM:
        return EROFS;
    default:
        return EIO;
    }
}

static int failed(struct gray_problem *ret_problem, const char *what,
                  int lmdb)
{
    int error = error_of(lmdb);

    return runtime_problem_set(
        ret_problem, error,
        error == ENOSPC    ? "marks-full"
        : error == EILSEQ  ? "marks-corrupt"
        : error == EROFS   ? "marks-read-only"
                           : "marks-failed",
        "The journal of marks cannot be %s: %s.", what, mdb_strerror(lmdb));
}

static int not_believed(struct gray_problem *ret_problem, const char *what)
{
    return runtime_problem_set(ret_problem, EILSEQ, "marks-corrupt",
                               "The journal of marks is damaged: %s.", what);
}

/* ---- sums of what is small --------------------------------------------------- */

static uint64_t sum_of(const void *data, size_t size)
{
    return XXH64((const char *)data + sizeof(uint64_t),
                 size - sizeof(uint64_t), JOURNAL_LAYOUT);
}

/* A value of exactly this size whose sum fits; copied. */
static bool small_read(const MDB_val *value, void *ret_data, size_t size)
{
    uint64_t sum;

    if (value->mv_size != size) {
        return false;
    }
    memcpy(ret_data, value->mv_data, size);
    memcpy(&sum, ret_data, sizeof(sum));
    return sum == sum_of(ret_data, size);
}

/* Fills the sum, which comes first. */
static int small_put(MDB_txn *txn, MDB_dbi dbi, uint64_t number, void *data,
                     size_t size)
{
    uint64_t sum = sum_of(data, size);
    MDB_val key = {sizeof(number), &number}, value = {size, data};

    memcpy(data, &sum, sizeof(sum));
    return mdb_put(txn, dbi, &key, &value, 0);
}

/* ---- open ---------------------------------------------------------------------- */

static int folder_path(const char *state, char ret_path[PATH_MAX],
                       struct gray_problem *ret_problem)
{
    if (snprintf(ret_path, PATH_MAX, "%s/" JOURNAL_FOLDER, state) >=
        PATH_MAX) {
        return runtime_problem_set(ret_problem, ENAMETOOLONG, "bad-folder",
                                   "The path of the state folder is too long.");
    }
    return 0;
}

static int folder_make(const char *path, struct gray_problem *ret_problem)
{
    struct stat status;

    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        return failed(ret_problem, "made", errno);
    }
    if (lstat(path, &status) != 0) {
        return failed(ret_problem, "opened", errno);
    }
    if (!S_ISDIR(status.st_mode) || status.st_uid != geteuid() ||
        (status.st_mode & 077) != 0) {
        return runtime_problem_set(
            ret_problem, EPERM, "untrusted-folder",
            "%.100s must be a folder of our own that nobody else may enter.",
            path);
    }
    return 0;
}

static int lock_take(struct journal *journal, const char *path,
                     struct gray_problem *ret_problem)
{
    CLEANUP_FD int dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int flags = O_CREAT | O_NOFOLLOW | O_CLOEXEC;

    if (dirfd < 0) {
        return failed(ret_problem, "opened", errno);
    }
    journal->lock_fd = openat(dirfd, "grayd.lock", O_RDWR | flags, 0600);
    if (journal->lock_fd < 0 && errno == EROFS) {
        return 0; /* nobody writes there */
    }
    if (journal->lock_fd < 0) {
        return failed(ret_problem, "opened", errno);
    }
    if (flock(journal->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        return runtime_problem_set(ret_problem, EBUSY, "in-use",
                                   "Another grayd has the journal %.100s.",
                                   path);
    }
    return 0;
}

static int tables_open(struct journal *journal, MDB_txn *txn, unsigned make)
{
    unsigned flags = MDB_INTEGERKEY | make;
    int error = mdb_dbi_open(txn, "log", flags, &journal->log);

    error = error != 0 ? error
                       : mdb_dbi_open(txn, "scopes", flags, &journal->scopes);
    error = error != 0 ? error
                       : mdb_dbi_open(txn, "rings", flags, &journal->rings);
    return error != 0 ? error
                      : mdb_dbi_open(txn, "head", flags, &journal->head);
}

/* 0, or LMDB's error; -1: not to be believed. */
static int head_read(struct journal *journal, MDB_txn *txn,
                     struct journal_head *ret_head)
{
    uint64_t number = 0;
    MDB_val key = {sizeof(number), &number}, value;
    int error = mdb_get(txn, journal->head, &key, &value);

    if (error == MDB_NOTFOUND) {
        memset(ret_head, 0, sizeof(*ret_head));
        return 0;
    }
    if (error != 0) {
        return error;
    }
    return small_read(&value, ret_head, sizeof(*ret_head)) &&
                   ret_head->layout == JOURNAL_LAYOUT &&
                   ret_head->first <= ret_head->last
               ? 0
               : -1;
}

static int env_open(struct journal *journal, const char *path,
                    uint64_t map_size, unsigned flags)
{
    int error = mdb_env_create(&journal->env);

    error = error != 0
                ? error
                : mdb_env_set_mapsize(journal->env, map_size != 0
                                                        ? map_size
                                                        : JOURNAL_MAP_DEFAULT);
    error = error != 0 ? error : mdb_env_set_maxdbs(journal->env, 4);
    error = error != 0 ? error
                       : mdb_env_set_maxreaders(journal->env, JOURNAL_READERS);
    error = error != 0 ? error
                       : mdb_env_open(journal->env, path, MDB_NOTLS | flags,
                                      JOURNAL_FILE_MODE);
    if (error != 0) {
        mdb_env_close(journal->env);
        journal->env = NULL;
    }
    return error;
}

static int begin(struct journal *journal, unsigned flags,
                 struct gray_problem *ret_problem)
{
    struct journal_head head = {0};
    MDB_txn *txn = NULL;
    int error = mdb_txn_begin(journal->env, NULL, flags, &txn);

    if (error != 0) {
        return failed(ret_problem, "opened", error);
    }
    error = tables_open(journal, txn, flags == 0 ? MDB_CREATE : 0);
    if (error == MDB_NOTFOUND && flags != 0) {
        mdb_txn_abort(txn);
        return not_believed(ret_problem, "it has not the tables of one");
    }
    error = error != 0 ? error : head_read(journal, txn, &head);
    if (error != 0) {
        mdb_txn_abort(txn);
        return error == -1
                   ? not_believed(ret_problem, "its head does not hold")
                   : failed(ret_problem, "opened", error);
    }
    error = mdb_txn_commit(txn);
    if (error != 0) {
        return failed(ret_problem, "made", error);
    }
    journal->last = head.last;
    journal->first = head.first;
    return 0;
}

int journal_open(struct journal *journal, const char *state, uint64_t map_size,
                 struct gray_problem *ret_problem)
{
    char path[PATH_MAX];
    int error = folder_path(state, path, ret_problem), dead = 0;

    error = error != 0 ? error : folder_make(path, ret_problem);
    error = error != 0 ? error : lock_take(journal, path, ret_problem);
    if (error != 0) {
        return error;
    }
    error = env_open(journal, path, map_size, 0);
    if (error != 0 && error_of(error) == EROFS) {
        failed(ret_problem, "written", error);
        error = journal_reader_open(journal, state, map_size, ret_problem);
        return error != 0 ? error : -EROFS;
    }
    if (error != 0) {
        return failed(ret_problem, "opened", error);
    }
    mdb_reader_check(journal->env, &dead); /* of children that were killed */
    return begin(journal, 0, ret_problem);
}

int journal_reader_open(struct journal *journal, const char *state,
                        uint64_t map_size, struct gray_problem *ret_problem)
{
    char path[PATH_MAX];
    int error = folder_path(state, path, ret_problem);

    if (error != 0) {
        return error;
    }
    error = env_open(journal, path, map_size, MDB_RDONLY);
    if (error != 0) {
        return failed(ret_problem, "opened", error);
    }
    journal->read_only = true;
    return begin(journal, MDB_RDONLY, ret_problem);
}

bool journal_exists(const char *state)
{
    char path[PATH_MAX];

    return snprintf(path, sizeof(path), "%s/" JOURNAL_FOLDER "/data.mdb",
                    state) < (int)sizeof(path) &&
           access(path, F_OK) == 0;
}

void journal_close(struct journal *journal)
{
    if (journal->env != NULL) {
        mdb_env_close(journal->env);
        journal->env = NULL;
    }
    runtime_fd_close(&journal->lock_fd);
}

/* ---- append --------------------------------------------------------------------- */

static int records_put(const struct journal *journal, MDB_txn *txn,
                       const struct journal_batch *batch)
{
    for (size_t i = 0; i < batch->record_count; i++) {
        uint64_t sequence = journal->last + 1 + i;
        MDB_val key = {sizeof(sequence), &sequence};
        MDB_val value = {record_size(&batch->records[i]), NULL};
        int error = mdb_put(txn, journal->log, &key, &value,
                            MDB_APPEND | MDB_RESERVE);

        if (error != 0) {
            return error;
        }
        record_write(&batch->records[i], sequence, value.mv_data);
    }
    return 0;
}

static int rest_put(struct journal *journal, MDB_txn *txn,
                    const struct journal_batch *batch)
{
    struct journal_head head = {
        .layout = JOURNAL_LAYOUT,
        .last = journal->last + batch->record_count,
        .first = journal->last + 1,
    };
    int error = 0;

    for (size_t i = 0; i < batch->scope_count && error == 0; i++) {
        error = small_put(txn, journal->scopes, batch->scopes[i].scope,
                          &batch->scopes[i], sizeof(batch->scopes[i]));
    }
    for (size_t i = 0; i < batch->ring_count && error == 0; i++) {
        error = small_put(txn, journal->rings, batch->rings[i].number,
                          &batch->rings[i], sizeof(batch->rings[i]));
    }
    if (error != 0 || batch->record_count == 0) {
        return error;
    }
    return small_put(txn, journal->head, 0, &head, sizeof(head));
}

int journal_append(struct journal *journal, const struct journal_batch *batch,
                   struct gray_problem *ret_problem)
{
    MDB_txn *txn = NULL;
    int error;

    if (journal->env == NULL || journal->read_only) {
        return failed(ret_problem, "written", EROFS);
    }
    error = mdb_txn_begin(journal->env, NULL, 0, &txn);
    if (error != 0) {
        return failed(ret_problem, "written", error);
    }
    error = records_put(journal, txn, batch);
    error = error != 0 ? error : rest_put(journal, txn, batch);
    if (error != 0) {
        mdb_txn_abort(txn);
        return failed(ret_problem, "written", error);
    }
    error = mdb_txn_commit(txn);
    if (error != 0) {
        return failed(ret_problem, "synced", error);
    }
    if (batch->record_count > 0) {
        journal->first = journal->last + 1;
        journal->last += batch->record_count;
    }
    return 0;
}

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
                       : head_read(journal, sweep->txn, &sweep->head);
    if (error == -1) {
        return not_believed(ret_problem, "its head does not hold");
    }
    return error != 0 ? failed(ret_problem, "read", error) : 0;
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
            not_believed(ret_problem, "a scope or a ring does not hold");
        }
    }
    if (result == 0 && error != MDB_NOTFOUND) {
        result = failed(ret_problem, "read", error);
    }
    sweep_end(&sweep);
    return result;
}

static int scope_each(void *visit, void *context, const MDB_val *value,
                      uint64_t number)
{
    struct journal_scope scope;

    if (!small_read(value, &scope, sizeof(scope)) || scope.scope != number ||
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

    if (!small_read(value, &ring, sizeof(ring)) || ring.number != number ||
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
        return not_believed(ret_problem, "records are missing in the log");
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
            result = not_believed(ret_problem, "records are missing in the log");
        } else if (result == 0 && error != 0) {
            result = failed(ret_problem, "read", error);
        }
    }
    sweep_end(&sweep);
    return result;
}

uint64_t journal_bytes(const struct journal *journal)
{
    struct stat status;
    int fd = -1;

    return journal->env != NULL && mdb_env_get_fd(journal->env, &fd) == 0 &&
                   fstat(fd, &status) == 0
               ? (uint64_t)status.st_size
               : 0;
}
