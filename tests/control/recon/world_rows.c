/* SPDX-License-Identifier: Apache-2.0
 * world_rows.c - the rows of a world, in SQLite or in PostgreSQL.
 *
 * Why: a million rows must be there in seconds: one transaction, or COPY.
 * Read next: world.h, world.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/control/recon/world.h"

static const char *const tables[] = {"requests", "orders_new", "orders_old"};

static void sql(struct world *world, const char *text)
{
    if (world->pg == NULL) {
        assert_int_equal(sqlite3_exec(world->db, text, NULL, NULL, NULL),
                         SQLITE_OK);
    } else {
        PGresult *result = PQexec(world->pg, text);

        if (PQresultStatus(result) != PGRES_COMMAND_OK) {
            fail_msg("%s", PQerrorMessage(world->pg));
        }
        PQclear(result);
    }
}

void world_open_database(struct world *world)
{
    static const char *const inserts[] = {
        "INSERT INTO requests VALUES (?, ?, ?, ?)",
        "INSERT INTO orders_new VALUES (?, ?, ?, ?)",
        "INSERT INTO orders_old VALUES (?, ?, ?, ?)"};

    if (world->conninfo != NULL) {
        world->pg = PQconnectdb(world->conninfo);
        assert_int_equal(PQstatus(world->pg), CONNECTION_OK);
        sql(world, "SET client_min_messages = error");
        sql(world, "DROP TABLE IF EXISTS requests, orders_new, orders_old");
    } else {
        assert_int_equal(sqlite3_open(world->sqlite, &world->db), SQLITE_OK);
        sql(world, "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF");
    }
    sql(world, "CREATE TABLE requests (order_id TEXT, amount NUMERIC, "
               "region TEXT, created BIGINT)");
    sql(world, "CREATE TABLE orders_new (order_id TEXT, net NUMERIC, "
               "fixed TEXT, created BIGINT)");
    sql(world, "CREATE TABLE orders_old (order_id TEXT, amount NUMERIC, "
               "state TEXT, created BIGINT)");
    if (world->pg == NULL) {
        sql(world, "BEGIN");
        for (int i = 0; i < 3; i++) {
            assert_int_equal(sqlite3_prepare_v2(world->db, inserts[i], -1,
                                                &world->inserts[i], NULL),
                             SQLITE_OK);
        }
    }
}

void world_put_row(struct world *world, enum world_table table, const char *id,
                    double amount, const char *word, int64_t created)
{
    char line[200];
    int length;

    if (world->pg == NULL) {
        sqlite3_stmt *insert = world->inserts[table];

        sqlite3_bind_text(insert, 1, id, -1, SQLITE_STATIC);
        sqlite3_bind_double(insert, 2, amount);
        sqlite3_bind_text(insert, 3, word, -1, SQLITE_STATIC);
        sqlite3_bind_int64(insert, 4, created);
        assert_int_equal(sqlite3_step(insert), SQLITE_DONE);
        sqlite3_reset(insert);
        return;
    }
    length = snprintf(line, sizeof(line), "%s\t%.2f\t%s\t%lld\n", id, amount,
                      word != NULL ? word : "\\N", (long long)created);
    if (world->copied[table] + (size_t)length > world->copy_room[table]) {
        world->copy_room[table] = world->copy_room[table] * 2 + 65536;
        world->copies[table] =
            realloc(world->copies[table], world->copy_room[table]);
        assert_non_null(world->copies[table]);
    }
    memcpy(world->copies[table] + world->copied[table], line, (size_t)length);
    world->copied[table] += (size_t)length;
}

void world_close_database(struct world *world)
{
    if (world->pg == NULL) {
        sql(world, "COMMIT");
        for (int i = 0; i < 3; i++) {
            sqlite3_finalize(world->inserts[i]);
        }
        sqlite3_close(world->db);
        return;
    }
    for (int i = 0; i < 3; i++) {
        char text[64];
        PGresult *result;

        snprintf(text, sizeof(text), "COPY %s FROM STDIN", tables[i]);
        result = PQexec(world->pg, text);
        assert_int_equal(PQresultStatus(result), PGRES_COPY_IN);
        PQclear(result);
        for (size_t at = 0; at < world->copied[i]; at += 1u << 20) {
            size_t left = world->copied[i] - at;

            assert_int_equal(PQputCopyData(world->pg, world->copies[i] + at,
                                           (int)(left < 1u << 20 ? left
                                                                 : 1u << 20)),
                             1);
        }
        assert_int_equal(PQputCopyEnd(world->pg, NULL), 1);
        result = PQgetResult(world->pg);
        assert_int_equal(PQresultStatus(result), PGRES_COMMAND_OK);
        PQclear(result);
        PQclear(PQgetResult(world->pg));
        free(world->copies[i]);
    }
    PQfinish(world->pg);
}
