/* SPDX-License-Identifier: Apache-2.0
 * db.h - one statement at a time to SQLite or PostgreSQL, in the same words.
 *
 * Why: the order service must show that keeping a mark in one's own row needs
 * nothing of a database but a transaction and a unique key.  So both are asked
 * with the same SQL ($1, $2 ... in the order of their first use), and what the
 * service must know of a failure is one thing only: did the store answer (then
 * a missing row is a missing row), or did it not (then nothing is known).
 *
 * Threads: a connection is one thread's at a time: db_take(), db_give().
 * Read next: db.c (the pool), db_sqlite.c, db_postgres.c, order_stages.c.
 */
#ifndef SHOP_DB_H
#define SHOP_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DB_COLUMNS_MAX 16u
#define DB_ROW_MAX 2048u /* bytes of all texts and blobs of a row */

enum db_type { DB_NULL, DB_INT, DB_TEXT, DB_BLOB };
struct db_value {
    enum db_type type;
    int64_t number;
    const void *data; /* of TEXT and BLOB */
    size_t length;
};
/* The first row that a statement gave, copied. */
struct db_row {
    bool there;
    unsigned columns;
    struct db_value values[DB_COLUMNS_MAX];
    uint64_t changed; /* rows that it inserted or updated */
    size_t used;
    char bytes[DB_ROW_MAX];
};

enum db_answer {
    DB_OK,
    DB_SILENT, /* not in time, locked, gone: nothing is known */
    DB_WRONG   /* refused: a fault of ours or of the table's */
};
struct db;
struct db_kind {
    const char *word;       /* "sqlite" of --store sqlite:PATH */
    const char *begin;      /* a transaction that is going to write */
    const char *for_update; /* behind a SELECT: nobody else writes this row */
    const char *blob, *number; /* column types */
    unsigned connections; /* at most; 0: as many as the service's threads */
    /* NULL with a sentence on stderr.  `timeout_ms`: for any lock. */
    struct db *(*open)(const char *where, unsigned timeout_ms);
    enum db_answer (*run)(struct db *db, const char *sql,
                          const struct db_value *values, unsigned count,
                          struct db_row *ret_row);
    void (*close)(struct db *db);
};
extern const struct db_kind db_sqlite, db_postgres;

/* What every connection begins with. */
struct db {
    const struct db_kind *kind;
    struct db *next;   /* of the idle ones */
    char problem[160]; /* of the last statement that failed */
};

/* "sqlite:PATH" or "postgres:CONNINFO", up to `connections` at once; makes the
 * tables where there are none.  -1 with a sentence on stderr. */
int db_setup(const char *store, unsigned connections, unsigned timeout_ms);
void db_teardown(void);
/* Waits for a connection that nobody uses.  Never NULL. */
struct db *db_take(void);
void db_give(struct db *db);
/* Runs one statement; `ret_row` may be NULL. */
enum db_answer db_run(struct db *db, const char *sql,
                      const struct db_value *values, unsigned count,
                      struct db_row *ret_row);
/* Room in the row for bytes of a column; NULL: there is none. */
char *db_row_room(struct db_row *row, size_t length);

static inline struct db_value db_int(int64_t number)
{
    return (struct db_value){DB_INT, number, NULL, 0};
}
static inline struct db_value db_bytes(enum db_type type, const void *data,
                                       size_t length)
{
    return (struct db_value){type, 0, data, length};
}

#endif
