/* SPDX-License-Identifier: Apache-2.0
 * sqlite.h - what the files of the SQLite driver share.
 *
 * Why: a store_db is one connection with its prepared statements.  Exactly one
 * connection, the writer's, ever writes or checkpoints: SQLite before 3.51.3
 * can lose a commit when two connections do (the WAL-reset bug), so readers
 * are kept from both.
 * Read next: store_sqlite.c, sqlite_commit.c, sqlite_read.c, sqlite_wal.c.
 */
#ifndef GRAYD_STORE_SQLITE_H
#define GRAYD_STORE_SQLITE_H

#include <sqlite3.h>

#include "control/store/driver.h"

#define STORE_APPLICATION_ID 0x67726179 /* "gray" */
#define STORE_LAYOUT 1
#define STORE_FILE "store.db"
#define STORE_NOTE "acknowledged"
#define STORE_PATH_SIZE (STORE_FOLDER_MAX + 32) /* of a file in the folder */
#define STORE_KEPT_MS 86400000 /* answers and effects done: a day */
#define STORE_DROPPED_MAX 64   /* rows of each kind a commit */
#define STORE_WAL_FRAMES 1000  /* then the writer checkpoints */

enum store_statement {
#define STORE_STATEMENT(NAME, sql) STATEMENT_##NAME,
#include "control/store/statements.def"
#undef STORE_STATEMENT
    STATEMENT_COUNT
};

struct store_db {
    sqlite3 *handle;
    sqlite3_stmt *statements[STATEMENT_COUNT];
    char folder[STORE_FOLDER_MAX + 1];
};

/* The writer. */
struct store_sqlite {
    struct store_db db;
    int lock;           /* flock'd */
    int note;           /* STORE_NOTE, open for writing */
    uint64_t commits;   /* as the database counts them */
    char instance[33];
    int wal_frames;     /* after the last commit */
    bool failed;        /* outcome unknown: nothing more is written */
    struct gray_problem failure;
};

/* ---- sqlite_db.c: connections, statements, errors ---------------------------- */

/* flags: SQLITE_OPEN_*; immutable: the disk is read-only and no WAL lies
 * there. Sets what both kinds of connection need and checks layout. */
int store_db_open(struct store_db *db, const char *folder, int flags,
                  bool immutable, struct gray_problem *ret_problem);
void store_db_close(struct store_db *db);
int store_db_pragma(struct store_db *db, const char *sql,
                    struct gray_problem *ret_problem);
/* One number that a statement gives. */
int store_db_number(struct store_db *db, const char *sql, int64_t *ret_number,
                    struct gray_problem *ret_problem);
/* A statement ready to be bound; NULL with the problem said. */
sqlite3_stmt *store_db_statement(struct store_db *db,
                                 enum store_statement which,
                                 int *ret_error,
                                 struct gray_problem *ret_problem);
/* 1: a row; 0: done; negative. Anything but a row resets the statement. */
int store_db_step(struct store_db *db, sqlite3_stmt *statement,
                  struct gray_problem *ret_problem);
/* Runs a statement that has no parameters and gives no row. */
int store_db_run(struct store_db *db, enum store_statement which,
                 struct gray_problem *ret_problem);
/* What the connection's last error means to a caller of the store. */
int store_db_problem(struct store_db *db, struct gray_problem *ret_problem);
int store_db_corrupt(const struct store_db *db, const char *what,
                     struct gray_problem *ret_problem);

/* Sums guard rows against bits that flip where SQLite does not look. */
struct store_sum {
    uint64_t parts[8];
    uint32_t count;
};
void store_sum_number(struct store_sum *sum, uint64_t number);
void store_sum_bytes(struct store_sum *sum, const void *bytes, size_t length);
int64_t store_sum_end(const struct store_sum *sum);
int64_t store_version_sum(enum store_space space, const char *name,
                          uint64_t since, uint64_t until, const void *text,
                          size_t length);
int64_t store_revision_sum(uint64_t revision, int64_t at);
int64_t store_effect_sum(uint64_t revision, const char *kind, const char *text);
int64_t store_answer_sum(const char *key, const struct store_answer *answer,
                         int64_t at);

/* ---- sqlite_commit.c ---------------------------------------------------------- */

int sqlite_commit(void *state, const struct store_batch *batch,
                  uint64_t *ret_revision, struct gray_problem *ret_problem);
/* Moves the WAL into the database; what remains is tried again later. */
int sqlite_checkpoint(struct store_sqlite *store, int mode,
                      struct gray_problem *ret_problem);

/* ---- sqlite_read.c ------------------------------------------------------------- */

/* Inside a transaction of the caller's. */
int sqlite_head(struct store_db *db, struct store_head *ret_head,
                struct gray_problem *ret_problem);
int sqlite_read_head(void *state, struct store_head *ret_head,
                     struct gray_problem *ret_problem);
int sqlite_read_revision_at(void *state, int64_t at, uint64_t *ret_revision,
                            struct gray_problem *ret_problem);
int sqlite_read_item(void *state, enum store_space space, const char *name,
                     uint64_t revision, store_visit *visit, void *context,
                     struct gray_problem *ret_problem);
int sqlite_read_items(void *state, enum store_space space, uint64_t revision,
                      const char *after, size_t limit, store_visit *visit,
                      void *context, struct gray_problem *ret_problem);
int sqlite_read_history(void *state, enum store_space space, const char *name,
                        uint64_t before, size_t limit, store_visit *visit,
                        void *context, struct gray_problem *ret_problem);
int sqlite_read_audit(void *state, uint64_t from, size_t limit,
                      store_record_visit *visit, void *context,
                      struct gray_problem *ret_problem);
int sqlite_read_pending(void *state, store_pending_visit *visit, void *context,
                        struct gray_problem *ret_problem);
int sqlite_read_answer(void *state, const char *key,
                       struct store_answer *ret_answer,
                       struct gray_problem *ret_problem);

/* ---- sqlite_note.c --------------------------------------------------------------- */

struct store_note {
    char instance[33]; /* "": nothing is noted */
    uint64_t commits;
};
int sqlite_note_open(const char *folder, int *ret_fd,
                     struct gray_problem *ret_problem);
void sqlite_note_write(int fd, const char *instance, uint64_t commits);
void sqlite_note_read(const char *folder, struct store_note *ret_note);
/* Whether the database has all that a note, read before, says. */
int sqlite_note_check(struct store_db *db, const struct store_note *note,
                      uint64_t *ret_commits, char ret_instance[33],
                      struct gray_problem *ret_problem);

/* ---- sqlite_wal.c --------------------------------------------------------------- */

/* Whether the WAL of a store that nobody has open is one that a crash could
 * leave: 0, or -EILSEQ. */
int sqlite_wal_check(const char *folder, struct gray_problem *ret_problem);

#endif
