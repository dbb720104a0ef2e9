/* SPDX-License-Identifier: Apache-2.0
 * db.c - the connections of the order service, and its two tables.
 *
 * Why: `orders` holds what is, one row an order, and with it the mark that
 * says which logic the order belongs to; `ledger` only grows and says which
 * logic did what, so that whoever distrusts the service can judge it by the
 * rows alone.  No constraint keeps the columns of the two logics apart: it is
 * the mark that must, and a constraint would hide its failure.
 * Read next: order_stages.c (who writes which column).
 */
#include "db.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct {
    const struct db_kind *kind;
    struct db *idle;
    pthread_mutex_t lock;
    pthread_cond_t given;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER, .given = PTHREAD_COND_INITIALIZER};

/* %1$s: a whole number, %2$s: bytes. */
static const char *const schema[] = {
    "CREATE TABLE IF NOT EXISTS orders ("
    " order_id TEXT PRIMARY KEY,"
    " user_id TEXT NOT NULL,"
    " amount %1$s NOT NULL,"
    " state TEXT NOT NULL,"
    " mark %2$s NOT NULL CHECK (length(mark) = 16),"
    /* the old logic's */
    " price_cents %1$s, discount_cents %1$s, paid_cents %1$s,"
    " refunded_cents %1$s,"
    /* the new logic's */
    " net_amount %1$s, tax_amount %1$s, promo TEXT, captured %1$s,"
    " credited %1$s)",
    "CREATE TABLE IF NOT EXISTS ledger ("
    " order_id TEXT NOT NULL,"
    " stage TEXT NOT NULL,"
    " logic TEXT NOT NULL,"
    " at_ms %1$s NOT NULL,"
    " PRIMARY KEY (order_id, stage))",
};

static int make_tables(struct db *db)
{
    char sql[1024];
    for (size_t i = 0; i < sizeof(schema) / sizeof(*schema); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(sql, sizeof(sql), schema[i], db->kind->number, db->kind->blob);
#pragma GCC diagnostic pop
        /* two services that start at once meet in the catalogue: again */
        enum db_answer answer = DB_WRONG;
        for (int tries = 0; tries < 3 && answer != DB_OK; tries++) {
            answer = db_run(db, sql, NULL, 0, NULL);
        }
        if (answer != DB_OK) {
            fprintf(stderr, "orders: %s\n", db->problem);
            return -1;
        }
    }
    return 0;
}

int db_setup(const char *store, unsigned connections, unsigned timeout_ms)
{
    static const struct db_kind *const kinds[] = {&db_sqlite, &db_postgres};
    const char *where = strchr(store, ':');
    size_t length = where != NULL ? (size_t)(where - store) : 0;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        if (where != NULL && strlen(kinds[i]->word) == length &&
            memcmp(kinds[i]->word, store, length) == 0) {
            pool.kind = kinds[i];
        }
    }
    if (pool.kind == NULL) {
        fprintf(stderr,
                "orders: --store '%s' is none of sqlite:PATH,"
                " postgres:CONNINFO\n",
                store);
        return -1;
    }
    if (pool.kind->connections != 0 && pool.kind->connections < connections) {
        connections = pool.kind->connections;
    }
    for (unsigned i = 0; i < connections; i++) {
        struct db *db = pool.kind->open(where + 1, timeout_ms);
        if (db == NULL) {
            return -1;
        }
        db_give(db);
        if (i == 0 && make_tables(db) != 0) {
            return -1;
        }
    }
    return 0;
}

void db_teardown(void)
{
    while (pool.idle != NULL) {
        struct db *db = pool.idle;
        pool.idle = db->next;
        db->kind->close(db);
    }
}

struct db *db_take(void)
{
    pthread_mutex_lock(&pool.lock);
    while (pool.idle == NULL) {
        pthread_cond_wait(&pool.given, &pool.lock);
    }
    struct db *db = pool.idle;
    pool.idle = db->next;
    pthread_mutex_unlock(&pool.lock);
    return db;
}

void db_give(struct db *db)
{
    pthread_mutex_lock(&pool.lock);
    db->next = pool.idle;
    pool.idle = db;
    pthread_cond_signal(&pool.given);
    pthread_mutex_unlock(&pool.lock);
}

enum db_answer db_run(struct db *db, const char *sql,
                      const struct db_value *values, unsigned count,
                      struct db_row *ret_row)
{
    struct db_row unwanted;
    struct db_row *row = ret_row != NULL ? ret_row : &unwanted;
    row->there = false;
    row->columns = 0;
    row->changed = 0;
    row->used = 0;
    return db->kind->run(db, sql, values, count, row);
}

char *db_row_room(struct db_row *row, size_t length)
{
    if (length > sizeof(row->bytes) - row->used) {
        return NULL;
    }
    char *room = row->bytes + row->used;
    row->used += length;
    return room;
}
