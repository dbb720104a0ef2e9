/* SPDX-License-Identifier: Apache-2.0
 * test_store.c - the database of a dead grayd, falsified by its owner.
 *
 * Records are committed and checkpoints signed as grayd does it; then sqlite
 * itself changes the table, and the audit is verified over a reader.
 * Read next: control/audit/walk.c, control/store/store.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "tests/control/audit/log.h"

#define COUNT 40u
#define EVERY 10u

static void commit_one(struct store *store, const struct log *log)
{
    const struct log_record *record = &log->records[log->count - 1];
    struct store_audit audit = {.sequence = record->sequence,
                                .text = record->text,
                                .length = record->length};
    struct store_batch batch = {.at = 1767225600000,
                                .audits = &audit,
                                .audit_count = 1};
    struct gray_problem problem = {"", "", 0};
    uint64_t revision;

    memcpy(audit.hash, record->hash, AUDIT_HASH);
    if (store_commit(store, &batch, &revision, &problem) != 0) {
        fail_msg("%s: %s", problem.code, problem.sentence);
    }
}

/* A store of COUNT records and 3 more, checkpoints after each EVERY. */
static void make(struct log *log)
{
    struct store *store;
    struct gray_problem problem = {"", "", 0};
    size_t i;

    log_new(log);
    if (store_open(&store, log->state, &problem) != 0) {
        fail_msg("%s: %s", problem.code, problem.sentence);
    }
    for (i = 1; i <= COUNT + 3; i++) {
        log_add(log, 1);
        commit_one(store, log);
        if (i % EVERY == 0) {
            log_checkpoint(log);
        }
    }
    store_close(store);
}

static struct audit_report verify(const struct log *log)
{
    struct store_reader *reader;
    struct audit_report report = {0};
    struct gray_problem problem = {"", "", 0};

    if (store_reader_open(&reader, log->state, &problem) != 0 ||
        audit_verify(reader, log->state, NULL, &report, &problem) != 0) {
        fail_msg("%s: %s", problem.code, problem.sentence);
    }
    store_reader_close(reader);
    return report;
}

static void change(const struct log *log, const char *sql)
{
    char path[96], *message = NULL;
    sqlite3 *db;

    snprintf(path, sizeof(path), "%s/store.db", log->state);
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL),
                     SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK) {
        fail_msg("%s: %s", sql, message);
    }
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* Every record's text and hash as they are in memory. */
static void rewrite(const struct log *log)
{
    char path[96];
    sqlite3 *db;
    sqlite3_stmt *row;
    size_t i;

    change(log, "DELETE FROM audit");
    snprintf(path, sizeof(path), "%s/store.db", log->state);
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL),
                     SQLITE_OK);
    assert_int_equal(
        sqlite3_prepare_v2(db,
                           "INSERT INTO audit (sequence, text, hash)"
                           " VALUES (?1, ?2, ?3)",
                           -1, &row, NULL),
        SQLITE_OK);
    for (i = 0; i < log->count; i++) {
        const struct log_record *record = &log->records[i];

        sqlite3_bind_int64(row, 1, (int64_t)record->sequence);
        sqlite3_bind_text(row, 2, record->text, (int)record->length,
                          SQLITE_STATIC);
        sqlite3_bind_blob(row, 3, record->hash, AUDIT_HASH, SQLITE_STATIC);
        assert_int_equal(sqlite3_step(row), SQLITE_DONE);
        sqlite3_reset(row);
    }
    sqlite3_finalize(row);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void a_dead_grayds_audit_verifies(void **state)
{
    static struct log log;
    struct store_reader *reader;
    struct audit_report report;
    struct gray_problem problem = {"", "", 0};
    char line[VERIFIER_MAX];
    json_t *proof = NULL;

    (void)state;
    make(&log);
    report = verify(&log);
    assert_true(report.good);
    assert_int_equal(report.records, COUNT + 3);
    assert_int_equal(report.checkpoints, COUNT / EVERY);
    assert_int_equal(store_reader_open(&reader, log.state, NULL), 0);
    strcpy(line, audit_signer_verifier(log.signer));
    assert_int_equal(
        audit_verify(reader, log.state, line, &report, &problem), 0);
    assert_true(report.good);
    assert_int_equal(audit_prove(reader, log.state, 17, &proof, &problem), 0);
    assert_true(audit_proof_holds(proof, line));
    json_decref(proof);
    assert_int_equal(
        audit_prove(reader, log.state, COUNT + 1, &proof, &problem), 1);
    assert_int_equal(remove(log_path(&log, "key.pub")), 0);
    assert_true(audit_verify(reader, log.state, NULL, &report, &problem) < 0);
    assert_string_equal(problem.code, "no-verifier");
    store_reader_close(reader);
    log_end(&log);
}

static void what_its_owner_changes_is_named(void **state)
{
    static const struct {
        const char *sql;
        uint64_t first_bad;
    } changes[] = {
        {"UPDATE audit SET text = replace(text, 'ci-cart', 'ci-care')"
         " WHERE sequence = 1", 1},
        {"UPDATE audit SET text = replace(text, 'ci-cart', 'ci-care')"
         " WHERE sequence = 20", 20},
        {"UPDATE audit SET text = replace(text, 'ci-cart', 'ci-care')"
         " WHERE sequence = 43", 43},
        {"UPDATE audit SET text = '' WHERE sequence = 7", 7},
        {"UPDATE audit SET hash = zeroblob(32) WHERE sequence = 31", 31},
        {"DELETE FROM audit WHERE sequence = 1", 1},
        {"DELETE FROM audit WHERE sequence = 21", 21},
        {"DELETE FROM audit WHERE sequence >= 40", 40},
        {"DELETE FROM audit WHERE sequence >= 25", 25},
        {"DELETE FROM audit", 1},
        {"DELETE FROM audit WHERE sequence = 11;"
         "UPDATE audit SET sequence = -sequence WHERE sequence > 11;"
         "UPDATE audit SET sequence = -sequence - 1 WHERE sequence < 0", 11},
        {"UPDATE audit SET sequence = 1000 WHERE sequence = 5;"
         "UPDATE audit SET sequence = 5 WHERE sequence = 6;"
         "UPDATE audit SET sequence = 6 WHERE sequence = 1000", 5},
    };
    static struct log log;
    size_t i;

    (void)state;
    make(&log);
    for (i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        struct audit_report report;

        change(&log, changes[i].sql);
        report = verify(&log);
        if (report.good || report.first_bad != changes[i].first_bad) {
            fail_msg("%s: first bad %llu: %s", changes[i].sql,
                     (unsigned long long)report.first_bad, report.sentence);
        }
        rewrite(&log);
        assert_true(verify(&log).good);
    }
    log_edit(&log, 22); /* the tail written anew, its chain too */
    log_rechain(&log, 22);
    rewrite(&log);
    assert_int_equal(verify(&log).first_bad, 21);
    assert_non_null(strstr(verify(&log).sentence, "Records 21 to 30"));
    log_end(&log);
}

static void a_row_that_is_no_record_is_named(void **state)
{
    static struct log log;
    struct audit_report report;

    (void)state;
    make(&log);
    change(&log, "PRAGMA ignore_check_constraints = 1;"
                 "UPDATE audit SET hash = x'00' WHERE sequence = 14");
    report = verify(&log);
    assert_false(report.good);
    assert_int_equal(report.first_bad, 14);
    log_end(&log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_dead_grayds_audit_verifies),
        cmocka_unit_test(what_its_owner_changes_is_named),
        cmocka_unit_test(a_row_that_is_no_record_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
