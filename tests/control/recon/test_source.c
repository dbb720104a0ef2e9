/* SPDX-License-Identifier: Apache-2.0
 * test_source.c - somebody's database is asked, and never changed.
 *
 * Why: a Check stands in a document, and whoever wrote its query may have
 * meant something else than a question.  Whatever it tries, the file stays as
 * it was; a window is bound and not pasted; a statement has an end.  (The same
 * of PostgreSQL, where RECON_POSTGRES names one: see planted.py.)
 * Read next: control/recon/source.h.
 */
#include <errno.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <libpq-fe.h>

#include "control/recon/source.h"

static char path[64];

static void execute(const char *sql)
{
    const char *postgres = getenv("RECON_POSTGRES");
    sqlite3 *db;

    if (postgres != NULL) {
        PGconn *handle = PQconnectdb(postgres);
        PGresult *result = PQexec(handle, sql);

        if (PQresultStatus(result) != PGRES_COMMAND_OK) {
            fail_msg("%s", PQerrorMessage(handle));
        }
        PQclear(result);
        PQfinish(handle);
        return;
    }
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static int setup(void **state)
{
    int fd;

    (void)state;
    snprintf(path, sizeof(path), "/dev/shm/gray-source-XXXXXX");
    fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    execute("DROP TABLE IF EXISTS rows_of");
    execute("CREATE TABLE rows_of (id TEXT, amount NUMERIC, at_ms BIGINT)");
    execute("INSERT INTO rows_of VALUES ('a', 1.5, 1000), ('b', NULL, 2000),"
            " ('c', 3, 3000)");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    execute("DROP TABLE rows_of");
    return unlink(path);
}

struct seen {
    char text[400];
};

static int see(void *context, const char *const *names,
               const struct source_cell *cells, unsigned columns)
{
    struct seen *seen = context;

    for (unsigned i = 0; i < columns; i++) {
        size_t length = strlen(seen->text);

        snprintf(seen->text + length, sizeof(seen->text) - length, "%s%s ",
                 cells == NULL ? names[i]
                 : cells[i].data != NULL ? cells[i].data
                                         : "-",
                 cells != NULL && cells[i].data != NULL && cells[i].number
                     ? "#"
                     : "");
    }
    return 0;
}

static int ask(const char *text, int64_t from, int64_t until,
               int64_t timeout_ms, struct seen *seen,
               struct gray_problem *ret_problem)
{
    const char *postgres = getenv("RECON_POSTGRES");
    json_t *where = postgres != NULL
                        ? json_pack("{s:s,s:{s:s}}", "name", "shop",
                                    "postgresql", "connection", postgres)
                        : json_pack("{s:s,s:{s:s}}", "name", "shop", "sqlite",
                                    "path", path);
    struct source_query query = {.text = text,
                                 .created = from == 0 && until == 0 ? NULL
                                                                    : "at_ms",
                                 .time = CHECK_TIME_MS,
                                 .from = from,
                                 .until = until};
    struct source *source = source_open(where, timeout_ms, ret_problem);
    int result;

    assert_non_null(source);
    seen->text[0] = '\0';
    result = source_each(source, &query, see, seen, ret_problem);
    source_close(source);
    json_decref(where);
    return result;
}

static void rows_of_the_window_come_and_no_others(void **state)
{
    static const char all[] = "SELECT id, amount, at_ms FROM rows_of; -- all";
    struct gray_problem problem = {0};
    struct seen seen;

    (void)state;
    assert_int_equal(ask("SELECT id FROM rows_of ORDER BY id -- so", 0, 0,
                         5000, &seen, &problem),
                     0);
    assert_string_equal(seen.text, "id a b c ");
    assert_int_equal(ask("SELECT id, amount, at_ms FROM rows_of", 1000, 2001,
                         5000, &seen, &problem),
                     0);
    assert_string_equal(seen.text, "id amount at_ms a 1.5# 1000# b - 2000# ");
    assert_int_equal(ask("SELECT * FROM rows_of ;\n", CHECK_NEVER, 2000, 5000,
                         &seen, &problem),
                     0);
    assert_string_equal(seen.text, "id amount at_ms a 1.5# 1000# ");
    assert_int_equal(ask("SELECT id, at_ms FROM rows_of", 3000, INT64_MAX,
                         5000, &seen, &problem),
                     0);
    assert_string_equal(seen.text, "id at_ms c 3000# ");
    assert_int_not_equal(ask(all, 0, 0, 5000, &seen, &problem), 1);
}

static void nothing_can_be_changed(void **state)
{
    static const char *const tries[] = {
        "DELETE FROM rows_of",
        "DELETE FROM rows_of RETURNING id",
        "SELECT 1) AS x; DELETE FROM rows_of; SELECT * FROM (SELECT 1",
        "SELECT 1; DROP TABLE rows_of",
        "WITH gone AS (DELETE FROM rows_of RETURNING id) SELECT id FROM gone",
        "UPDATE rows_of SET amount = 0",
        "INSERT INTO rows_of VALUES ('x', 1, 1) RETURNING id",
        "ATTACH '/dev/shm/x' AS y",
        "PRAGMA query_only = OFF",
        "SELECT load_extension('x')",
        "CREATE TABLE x (y)",
        "",
        "SELECT WHERE FROM",
    };
    struct gray_problem problem = {0};
    struct seen seen;

    (void)state;
    for (size_t i = 0; i < sizeof(tries) / sizeof(*tries); i++) {
        problem.code = NULL;
        if (ask(tries[i], 0, 0, 5000, &seen, &problem) != -EIO ||
            strcmp(problem.code, "source-failed") != 0) {
            fail_msg("not refused: %s", tries[i]);
        }
        assert_null(strchr(problem.sentence, '\n'));
    }
    assert_int_equal(ask("SELECT id, amount FROM rows_of ORDER BY id", 0, 0,
                         5000, &seen, &problem),
                     0);
    assert_string_equal(seen.text, "id amount a 1.5# b - c 3# ");
}

static void a_statement_has_an_end(void **state)
{
    struct gray_problem problem = {0};
    struct seen seen;

    (void)state;
    assert_int_equal(
        ask("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
            "SELECT count(*) AS i FROM n",
            0, 0, 100, &seen, &problem),
        -EIO);
    assert_string_equal(problem.code, "source-failed");
}

static void what_is_not_there_is_said(void **state)
{
    struct gray_problem problem = {0};
    json_t *where = json_pack("{s:s,s:{s:s}}", "name", "shop", "sqlite",
                              "path", "/dev/shm/gray-source-none");

    (void)state;
    assert_null(source_open(where, 1000, &problem));
    assert_non_null(strstr(problem.sentence, "Source shop: "));
    json_decref(where);
    where = json_pack("{s:s,s:{s:s,s:s}}", "name", "pg", "postgresql",
                      "connection", "host=/nowhere dbname=x", "passwordFile",
                      "/nowhere/either");
    assert_null(source_open(where, 1000, &problem));
    assert_non_null(strstr(problem.sentence, "passwordFile"));
    json_decref(where);
    where = json_pack("{s:s,s:{s:s}}", "name", "pg", "postgresql",
                      "connection", "host=/nowhere dbname=x");
    assert_null(source_open(where, 1000, &problem));
    assert_string_equal(problem.code, "source-failed");
    json_decref(where);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(rows_of_the_window_come_and_no_others,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_can_be_changed, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_statement_has_an_end, setup,
                                        teardown),
        cmocka_unit_test(what_is_not_there_is_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
