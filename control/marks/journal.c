/* SPDX-License-Identifier: Apache-2.0
 * journal.c - the journal of marks in LMDB: open, append, read.
 *
 * Why: LMDB keeps the last two states whole and never writes over either, so
 * a kill or a power cut leaves one of them; its commit is one fdatasync() of
 * the pages and one synced write of the root.  Keys only grow, so pages are
 * filled whole and read back in one sweep.
 * Room is taken before anything is written: LMDB calls a write that came to an
 * end half way an I/O error, and a full disk is none.
 * An error of which it cannot be said what was written ends the writing: a
 * sync that failed and is tried again says yes and lies.
 * Read next: journal.h, journal_read.c, settle.c (who appends).
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

#include "control/marks/journal_parts.h"
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

int journal_failed(struct gray_problem *ret_problem, const char *what,
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

int journal_not_believed(struct gray_problem *ret_problem, const char *what)
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
bool journal_small_read(const MDB_val *value, void *ret_data, size_t size)
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
        return journal_failed(ret_problem, "made", errno);
    }
    if (lstat(path, &status) != 0) {
        return journal_failed(ret_problem, "opened", errno);
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
        return journal_failed(ret_problem, "opened", errno);
    }
    journal->lock_fd = openat(dirfd, "grayd.lock", O_RDWR | flags, 0600);
    if (journal->lock_fd < 0 && errno == EROFS) {
        return 0; /* nobody writes there */
    }
    if (journal->lock_fd < 0) {
        return journal_failed(ret_problem, "opened", errno);
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
int journal_head_read(struct journal *journal, MDB_txn *txn,
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
    return journal_small_read(&value, ret_head, sizeof(*ret_head)) &&
                   ret_head->layout == JOURNAL_LAYOUT &&
                   ret_head->first <= ret_head->last
               ? 0
               : -1;
}

static int env_try(struct journal *journal, const char *path,
                   uint64_t map_size, unsigned flags)
{
    int error = mdb_env_create(&journal->env);

    error = error != 0
                ? error
                : mdb_env_set_mapsize(journal->env, map_size);
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

/* Where there is not so much address space, what there is. */
static int env_open(struct journal *journal, const char *path,
                    uint64_t map_size, unsigned flags)
{
    uint64_t size = map_size != 0 ? map_size : JOURNAL_MAP_DEFAULT;
    int error = env_try(journal, path, size, flags);

    while (error == ENOMEM && size / 4 >= JOURNAL_MAP_LEAST) {
        size /= 4;
        error = env_try(journal, path, size, flags);
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
        return journal_failed(ret_problem, "opened", error);
    }
    error = tables_open(journal, txn, flags == 0 ? MDB_CREATE : 0);
    if (error == MDB_NOTFOUND && flags != 0) {
        mdb_txn_abort(txn);
        return journal_not_believed(ret_problem, "it has not the tables of one");
    }
    error = error != 0 ? error : journal_head_read(journal, txn, &head);
    if (error != 0) {
        mdb_txn_abort(txn);
        return error == -1
                   ? journal_not_believed(ret_problem, "its head does not hold")
                   : journal_failed(ret_problem, "opened", error);
    }
    error = mdb_txn_commit(txn);
    if (error != 0) {
        return journal_failed(ret_problem, "made", error);
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
        journal_failed(ret_problem, "written", error);
        error = journal_reader_open(journal, state, map_size, ret_problem);
        return error != 0 ? error : -EROFS;
    }
    if (error != 0) {
        return journal_failed(ret_problem, "opened", error);
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
        return journal_failed(ret_problem, "opened", error);
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

/* ---- room ---------------------------------------------------------------------- */

#define TREE_BYTES (UINT64_C(1) << 20) /* pages of one transaction beside its
                                          records, and far more */

int journal_reserve(struct journal *journal, uint64_t bytes,
                    struct gray_problem *ret_problem)
{
    struct stat status;
    MDB_envinfo info;
    MDB_stat pages;
    uint64_t end;
    int fd = -1, error;

    if (journal->env == NULL || journal->read_only ||
        mdb_env_info(journal->env, &info) != 0 ||
        mdb_env_stat(journal->env, &pages) != 0 ||
        mdb_env_get_fd(journal->env, &fd) != 0 || fstat(fd, &status) != 0) {
        return journal_failed(ret_problem, "written", EROFS);
    }
    end = ((uint64_t)info.me_last_pgno + 1) * pages.ms_psize + bytes +
          TREE_BYTES;
    if (end <= (uint64_t)status.st_size) {
        return 0;
    }
    error = posix_fallocate(fd, status.st_size,
                            (off_t)(end - (uint64_t)status.st_size));
    return error == 0 ? 0 : journal_failed(ret_problem, "written", error);
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

static uint64_t bytes_of(const struct journal_batch *batch)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < batch->record_count; i++) {
        bytes += 2 * sizeof(uint64_t) + record_size(&batch->records[i]);
    }
    return bytes * 2; /* pages are not filled to the last byte */
}

int journal_append(struct journal *journal, const struct journal_batch *batch,
                   struct gray_problem *ret_problem)
{
    MDB_txn *txn = NULL;
    int error;

    error = journal_reserve(journal, bytes_of(batch), ret_problem);
    if (error != 0) {
        return error;
    }
    error = mdb_txn_begin(journal->env, NULL, 0, &txn);
    if (error != 0) {
        return journal_failed(ret_problem, "written", error);
    }
    error = records_put(journal, txn, batch);
    error = error != 0 ? error : rest_put(journal, txn, batch);
    if (error != 0) {
        mdb_txn_abort(txn);
        return journal_failed(ret_problem, "written", error);
    }
    error = mdb_txn_commit(txn);
    if (error != 0) {
        return journal_failed(ret_problem, "synced", error);
    }
    if (batch->record_count > 0) {
        journal->first = journal->last + 1;
        journal->last += batch->record_count;
    }
    return 0;
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
