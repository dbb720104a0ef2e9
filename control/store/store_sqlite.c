/* SPDX-License-Identifier: Apache-2.0
 * store_sqlite.c - the store as one SQLite database in a folder of its own.
 *
 *   store.db, store.db-wal, store.db-shm   the database, its log and the
 *                                          log's index (SQLite's own)
 *   lock                                   flock'd; the pid of who has it
 *   acknowledged                           how many commits, see sqlite_note.c
 *
 * Why: a database is made aside and renamed when it is whole, so one that is
 * empty or cut short was damaged and is never taken for a new one.
 * Read next: sqlite_commit.c, sqlite_read.c, sqlite_note.c, sqlite_wal.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "control/store/sqlite.h"

#define NEW_FILE STORE_FILE ".new"

static const char layout_sql[] =
    "CREATE TABLE store ("
    " id INTEGER PRIMARY KEY CHECK (id = 1),"
    " instance TEXT NOT NULL CHECK (length(instance) = 32),"
    " commits INTEGER NOT NULL) STRICT;"
    "INSERT INTO store VALUES (1, lower(hex(randomblob(16))), 0);"
    "CREATE TABLE revision ("
    " revision INTEGER PRIMARY KEY,"
    " at INTEGER NOT NULL,"
    " sum INTEGER NOT NULL) STRICT;"
    "CREATE TABLE version ("
    " space TEXT NOT NULL,"
    " name TEXT NOT NULL,"
    " since INTEGER NOT NULL REFERENCES revision,"
    " until INTEGER REFERENCES revision CHECK (until > since),"
    " text TEXT NOT NULL,"
    " sum INTEGER NOT NULL,"
    " PRIMARY KEY (space, name, since)) STRICT;"
    "CREATE UNIQUE INDEX version_now ON version (space, name)"
    " WHERE until IS NULL;"
    "CREATE TABLE audit ("
    " sequence INTEGER PRIMARY KEY,"
    " text TEXT NOT NULL,"
    " hash BLOB NOT NULL CHECK (length(hash) = 32)) STRICT;"
    "CREATE TABLE effect ("
    " id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " revision INTEGER NOT NULL REFERENCES revision,"
    " kind TEXT NOT NULL,"
    " text TEXT NOT NULL,"
    " done INTEGER,"
    " sum INTEGER NOT NULL) STRICT;"
    "CREATE INDEX effect_pending ON effect (id) WHERE done IS NULL;"
    "CREATE INDEX effect_done ON effect (done) WHERE done IS NOT NULL;"
    "CREATE TABLE answer ("
    " key TEXT PRIMARY KEY,"
    " request BLOB NOT NULL CHECK (length(request) = 32),"
    " status INTEGER NOT NULL,"
    " body TEXT NOT NULL,"
    " at INTEGER NOT NULL,"
    " sum INTEGER NOT NULL) STRICT;"
    "CREATE INDEX answer_at ON answer (at);";

/* ---- the folder --------------------------------------------------------------- */

static int folder_problem(const char *folder, int error,
                          struct gray_problem *ret_problem)
{
    return store_problem_set(ret_problem, error,
                             error == ENOSPC || error == EROFS || error == EIO
                                 ? "store-failed"
                                 : "bad-folder",
                             "%.100s: %s.", folder, strerror(error));
}

/* Opens the folder, made when it is not there. */
static int folder_open(const char *folder, int *ret_fd,
                       struct gray_problem *ret_problem)
{
    bool made = mkdir(folder, 0700) == 0;
    struct stat status;
    int error = 0, fd;

    if (!made && errno != EEXIST) {
        return folder_problem(folder, errno, ret_problem);
    }
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) != 0 ||
        (made && fchmod(fd, 0700) != 0)) {
        error = folder_problem(folder, errno, ret_problem);
    } else if (status.st_uid != geteuid() ||
               (!made && (status.st_mode & 077) != 0)) {
        error = store_problem_set(
            ret_problem, EPERM, "untrusted-folder",
            "%.60s has uid %u and mode %04o: the store needs a folder of its "
            "own that nobody else may enter (mode 0700).",
            folder, (unsigned)status.st_uid, (unsigned)status.st_mode & 07777);
    }
    if (error != 0) {
        if (fd >= 0) {
            close(fd);
        }
        return error;
    }
    *ret_fd = fd;
    return 0;
}

/* The lock goes with the process; the pid in it is for people. */
static int folder_lock(const char *folder, int dirfd, int *ret_lock,
                       struct gray_problem *ret_problem)
{
    char pid[24] = "";
    ssize_t length;
    int fd = openat(dirfd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC,
                    0600);

    if (fd < 0) {
        return folder_problem(folder, errno, ret_problem);
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        length = pread(fd, pid, sizeof(pid) - 1, 0);
        pid[length > 0 ? length : 0] = '\0';
        pid[strspn(pid, "0123456789")] = '\0';
        close(fd);
        return store_problem_set(ret_problem, EBUSY, "in-use",
                                 "%.60s is in use by another grayd (process "
                                 "%s): stop it first.",
                                 folder, pid[0] != '\0' ? pid : "unknown");
    }
    snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
    if (fchmod(fd, 0600) == 0 && ftruncate(fd, 0) == 0) {
        length = pwrite(fd, pid, strlen(pid), 0);
        (void)length; /* no room for the pid: the lock is held all the same */
    }
    *ret_lock = fd;
    return 0;
}

/* ---- making one ----------------------------------------------------------------- */

static int layout_make(struct store_db *db, struct gray_problem *ret_problem)
{
    char sql[256];
    int error;

    error = store_db_pragma(db, "PRAGMA journal_mode=DELETE;"
                                "PRAGMA synchronous=FULL; BEGIN",
                            ret_problem);
    if (error == 0) {
        error = store_db_pragma(db, layout_sql, ret_problem);
    }
    if (error == 0) {
        snprintf(sql, sizeof(sql),
                 "INSERT INTO revision VALUES (0, 0, %lld);"
                 "PRAGMA application_id=%d; PRAGMA user_version=%d; COMMIT;"
                 "PRAGMA journal_mode=WAL",
                 (long long)store_revision_sum(0, 0), STORE_APPLICATION_ID,
                 STORE_LAYOUT);
        error = store_db_pragma(db, sql, ret_problem);
    }
    return error;
}

static void new_remove(int dirfd)
{
    static const char *const names[] = { NEW_FILE, NEW_FILE "-journal",
                                         NEW_FILE "-wal", NEW_FILE "-shm" };
    size_t i;

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        unlinkat(dirfd, names[i], 0);
    }
}

static int database_make(const char *folder, int dirfd,
                         struct gray_problem *ret_problem)
{
    struct store_db db = { .handle = NULL };
    char path[STORE_PATH_SIZE];
    int error, fd;

    new_remove(dirfd);
    /* SQLite gives its other files the mode of this one. */
    fd = openat(dirfd, NEW_FILE, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        return folder_problem(folder, errno, ret_problem);
    }
    error = fchmod(fd, 0600) != 0 ? folder_problem(folder, errno, ret_problem)
                                  : 0;
    close(fd);
    snprintf(db.folder, sizeof(db.folder), "%s", folder);
    snprintf(path, sizeof(path), "%s/" NEW_FILE, folder);
    if (error == 0) {
        if (sqlite3_open_v2(path, &db.handle,
                            SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX |
                                SQLITE_OPEN_EXRESCODE,
                            NULL) != SQLITE_OK) {
            error = store_db_problem(&db, ret_problem);
        } else {
            error = layout_make(&db, ret_problem);
        }
        store_db_close(&db);
    }
    if (error == 0 &&
        (fsync(dirfd) != 0 ||
         renameat(dirfd, NEW_FILE, dirfd, STORE_FILE) != 0 ||
         fsync(dirfd) != 0)) {
        error = folder_problem(folder, errno, ret_problem);
    }
    if (error != 0) {
        new_remove(dirfd);
    }
    return error;
}

/* What lies in the folder, before SQLite looks (which makes a new database of
 * an empty file, and drops a log that has lost its database). */
static int files_check(const char *folder, int dirfd,
                       const struct store_note *note,
                       struct gray_problem *ret_problem)
{
    struct store_db named = { .handle = NULL };
    struct stat file, wal;
    bool has_wal = fstatat(dirfd, STORE_FILE "-wal", &wal,
                           AT_SYMLINK_NOFOLLOW) == 0 && wal.st_size > 0;

    snprintf(named.folder, sizeof(named.folder), "%s", folder);
    if (fstatat(dirfd, STORE_FILE, &file, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno != ENOENT) {
            return folder_problem(folder, errno, ret_problem);
        }
        if (has_wal || note->instance[0] != '\0') {
            return store_problem_set(
                ret_problem, EILSEQ, "corrupt",
                "%.50s/" STORE_FILE " is gone: restore a copy, or empty the "
                "folder to start anew from the last export.",
                folder);
        }
        return database_make(folder, dirfd, ret_problem);
    }
    if (!S_ISREG(file.st_mode) || file.st_size < 512) {
        return store_db_corrupt(&named, "cut short", ret_problem);
    }
    return has_wal ? sqlite_wal_check(folder, ret_problem) : 0;
}

/* ---- open ----------------------------------------------------------------------- */

static int frames_note(void *context, sqlite3 *handle, const char *name,
                       int frames)
{
    struct store_sqlite *store = context;

    (void)handle;
    (void)name;
    store->wal_frames = frames;
    return SQLITE_OK;
}

/* SQLite's own check, in its first sentence. */
static int integrity_check(struct store_db *db,
                           struct gray_problem *ret_problem)
{
    sqlite3_stmt *row = NULL;
    const char *said;
    int error = 0;

    if (sqlite3_prepare_v2(db->handle, "PRAGMA integrity_check(1)", -1, &row,
                           NULL) != SQLITE_OK ||
        sqlite3_step(row) != SQLITE_ROW) {
        error = store_db_problem(db, ret_problem);
    } else {
        said = (const char *)sqlite3_column_text(row, 0);
        if (said == NULL || strcmp(said, "ok") != 0) {
            error = store_db_corrupt(db, said == NULL ? "unreadable" : said,
                                     ret_problem);
        }
    }
    sqlite3_finalize(row);
    return error;
}

static int writer_prepare(struct store_sqlite *store,
                          const struct store_note *note,
                          struct gray_problem *ret_problem)
{
    struct store_db *db = &store->db;
    struct store_head head;
    int i, error;

    error = integrity_check(db, ret_problem);
    if (error == 0) {
        error = sqlite_note_check(db, note, &store->commits, store->instance,
                                  ret_problem);
    }
    if (error == 0) {
        error = store_db_pragma(db, "PRAGMA journal_mode=WAL;"
                                    "PRAGMA synchronous=FULL;"
                                    "PRAGMA journal_size_limit=67108864",
                                ret_problem);
    }
    if (error == 0) {
        /* Also makes durable what an earlier failed sync left in doubt. */
        error = sqlite_checkpoint(store, SQLITE_CHECKPOINT_TRUNCATE,
                                  ret_problem);
        error = error == -ENOSPC ? 0 : error;
    }
    if (error == 0) {
        error = sqlite_read_head(db, &head, ret_problem);
    }
    for (i = 0; error == 0 && i < STATEMENT_COUNT; i++) {
        store_db_statement(db, i, &error, ret_problem);
    }
    if (error == 0) {
        error = sqlite_note_open(db->folder, &store->note, ret_problem);
    }
    if (error == 0) {
        sqlite_note_write(store->note, store->instance, store->commits);
    }
    return error;
}

static void sqlite_close(void *state)
{
    struct store_sqlite *store = state;

    if (store->db.handle != NULL && !store->failed) {
        sqlite_checkpoint(store, SQLITE_CHECKPOINT_TRUNCATE, NULL);
        sqlite3_db_config(store->db.handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE,
                          0, NULL);
    }
    store_db_close(&store->db);
    if (store->note >= 0) {
        close(store->note);
    }
    if (store->lock >= 0) {
        close(store->lock);
    }
    free(store);
}

static int sqlite_open(void **ret_state, const char *folder,
                       struct gray_problem *ret_problem)
{
    struct store_sqlite *store = calloc(1, sizeof(*store));
    struct store_note note = { .commits = 0 };
    int error, dirfd = -1;

    if (store == NULL) {
        return store_problem_set(ret_problem, ENOMEM, "no-memory",
                                 "No memory for the store.");
    }
    store->lock = store->note = -1;
    error = folder_open(folder, &dirfd, ret_problem);
    if (error == 0) {
        error = folder_lock(folder, dirfd, &store->lock, ret_problem);
    }
    if (error == 0) {
        sqlite_note_read(folder, &note);
        error = files_check(folder, dirfd, &note, ret_problem);
    }
    if (error == 0) {
        error = store_db_open(&store->db, folder, SQLITE_OPEN_READWRITE, false,
                              ret_problem);
    }
    if (error == 0) {
        sqlite3_wal_hook(store->db.handle, frames_note, store);
        error = writer_prepare(store, &note, ret_problem);
        store->failed = error != 0; /* then nothing more is written */
    }
    if (dirfd >= 0) {
        close(dirfd);
    }
    if (error != 0) {
        sqlite_close(store);
        return error;
    }
    *ret_state = store;
    return 0;
}

/* ---- readers ---------------------------------------------------------------------- */

static void sqlite_reader_close(void *state)
{
    store_db_close(state);
    free(state);
}

/* On a read-only disk SQLite cannot keep its index of the log beside the
 * database; without a log there is nothing to index. */
static bool reads_unchanging(const char *folder)
{
    char path[STORE_PATH_SIZE];
    struct statvfs disk;
    struct stat wal;

    snprintf(path, sizeof(path), "%s/" STORE_FILE "-wal", folder);
    return statvfs(folder, &disk) == 0 && (disk.f_flag & ST_RDONLY) != 0 &&
           (stat(path, &wal) != 0 || wal.st_size == 0);
}

static int sqlite_reader_open(void **ret_state, const char *folder,
                              struct gray_problem *ret_problem)
{
    struct store_note note;
    struct store_db *db;
    char path[STORE_PATH_SIZE], instance[33];
    struct stat status;
    uint64_t commits;
    int error;

    sqlite_note_read(folder, &note); /* before the database, see there */
    snprintf(path, sizeof(path), "%s/" STORE_FILE, folder);
    if (stat(path, &status) != 0) {
        return store_problem_set(ret_problem, errno,
                                 errno == ENOENT ? "no-store" : "bad-folder",
                                 "%.100s cannot be read: %s.", path,
                                 strerror(errno));
    }
    db = calloc(1, sizeof(*db));
    if (db == NULL) {
        return store_problem_set(ret_problem, ENOMEM, "no-memory",
                                 "No memory for a reader of the store.");
    }
    if (status.st_size < 512) {
        snprintf(db->folder, sizeof(db->folder), "%s", folder);
        error = store_db_corrupt(db, "cut short", ret_problem);
    } else {
        error = store_db_open(db, folder, SQLITE_OPEN_READONLY,
                              reads_unchanging(folder), ret_problem);
    }
    if (error == 0) {
        error = store_db_pragma(db, "PRAGMA query_only=1", ret_problem);
    }
    if (error == 0) {
        error = sqlite_note_check(db, &note, &commits, instance, ret_problem);
    }
    if (error != 0) {
        sqlite_reader_close(db);
        return error;
    }
    *ret_state = db;
    return 0;
}

const struct store_driver store_sqlite_driver = {
    .word = "sqlite",
    .open = sqlite_open,
    .close = sqlite_close,
    .commit = sqlite_commit,
    .reader_open = sqlite_reader_open,
    .reader_close = sqlite_reader_close,
    .read_head = sqlite_read_head,
    .read_revision_at = sqlite_read_revision_at,
    .read_item = sqlite_read_item,
    .read_items = sqlite_read_items,
    .read_history = sqlite_read_history,
    .read_audit = sqlite_read_audit,
    .read_pending = sqlite_read_pending,
    .read_answer = sqlite_read_answer,
};
