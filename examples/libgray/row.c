/* SPDX-License-Identifier: Apache-2.0
 * row.c - the mark in your own row, in your own transaction.
 *
 * For whatever is written by one version and read by the next: an order
 * belongs to the logic that made it.  `create` asks without a mark and keeps
 * the one it gets beside the order; `pay` hands it back.  SQLite stands for
 * your database: what matters is one transaction and a unique key.
 *
 * usage: row FOLDER DATABASE create|pay ORDER
 * build: cc row.c $(pkg-config --cflags --libs libgray sqlite3)
 */
#include <gray.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

/* ABSENT, MARK with *ret_mark, or UNKNOWN: never say ABSENT when you do not
 * know. */
static enum gray_client_had look_up(sqlite3 *db, const char *order,
                                    struct gray_client_mark *ret_mark)
{
    enum gray_client_had had = GRAY_CLIENT_UNKNOWN;
    sqlite3_stmt *query = NULL;
    if (sqlite3_prepare_v2(db, "SELECT mark FROM orders WHERE id = ?", -1,
                           &query, NULL) == SQLITE_OK &&
        sqlite3_bind_text(query, 1, order, -1, SQLITE_STATIC) == SQLITE_OK) {
        int step = sqlite3_step(query);
        if (step == SQLITE_DONE) {
            had = GRAY_CLIENT_ABSENT;
        } else if (step == SQLITE_ROW &&
                   sqlite3_column_bytes(query, 0) ==
                       (int)sizeof(ret_mark->bytes)) {
            memcpy(ret_mark->bytes, sqlite3_column_blob(query, 0),
                   sizeof(ret_mark->bytes));
            had = GRAY_CLIENT_MARK;
        }
    }
    sqlite3_finalize(query);
    return had;
}

static int keep(sqlite3 *db, const char *order,
                const struct gray_client_mark *mark)
{
    sqlite3_stmt *insert = NULL;
    int kept =
        sqlite3_prepare_v2(db, "INSERT INTO orders (id, mark) VALUES (?, ?)",
                           -1, &insert, NULL) == SQLITE_OK &&
        sqlite3_bind_text(insert, 1, order, -1, SQLITE_STATIC) == SQLITE_OK &&
        sqlite3_bind_blob(insert, 2, mark->bytes, sizeof(mark->bytes),
                          SQLITE_STATIC) == SQLITE_OK &&
        sqlite3_step(insert) == SQLITE_DONE;
    sqlite3_finalize(insert);
    return kept;
}

/* 0 done, 1 to be asked again. */
static int work(struct gray_client *client, sqlite3 *db, const char *stage,
                const char *order)
{
    struct gray_client_request request = {
        .size = sizeof(request), .unit = order, .stage = stage};
    struct gray_client_decision decision = {.size = sizeof(decision)};
    struct gray_client_mark mark;
    sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    enum gray_client_had had = look_up(db, order, &mark);
    int error = gray_client_decide(client, "order-2", &request, had, &mark,
                                   &decision);
    /* a conflict of the key: somebody was first, and his mark counts */
    if (error != 0 || decision.says == GRAY_CLIENT_HOLD ||
        (decision.store && !keep(db, order, &decision.mark))) {
        sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
        printf("%s %s: 503, Retry-After: 1 (%s)\n", stage, order,
               decision.reason != NULL ? decision.reason : "asked wrongly");
        return 1;
    }
    printf("%s %s: %s logic, because: %s\n", stage, order,
           decision.says == GRAY_CLIENT_IN ? "new" : "old", decision.sentence);
    return sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct gray_client *client;
    struct gray_client_problem problem;
    sqlite3 *db;
    if (argc != 5 || gray_client_open(&client, argv[1], &problem) != 0) {
        fprintf(stderr, "row: %s\n", argc != 5
                                         ? "FOLDER DATABASE create|pay ORDER"
                                         : problem.sentence);
        return 1;
    }
    if (sqlite3_open(argv[2], &db) != SQLITE_OK ||
        sqlite3_exec(db,
                     "CREATE TABLE IF NOT EXISTS orders"
                     " (id TEXT PRIMARY KEY, mark BLOB NOT NULL)",
                     NULL, NULL, NULL) != SQLITE_OK) {
        fprintf(stderr, "row: %s\n", sqlite3_errmsg(db));
        return 1;
    }
    int code = work(client, db, argv[3], argv[4]);
    sqlite3_close(db);
    gray_client_close(client);
    return code;
}
