/* SPDX-License-Identifier: Apache-2.0
 * sqlite_read.c - the questions that a store answers.
 *
 * Why: each call is one read transaction, so that what it visits belongs to
 * one moment.  A list as of an old revision goes from name to name and asks
 * for each the version then valid: its cost follows the names listed, not the
 * length of their history.
 * Read next: statements.def, sqlite_db.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/store/sqlite.h"

/* Ends a call's transaction; the call's own error is the one to tell. */
static int finish(struct store_db *db, int error)
{
    if (!sqlite3_get_autocommit(db->handle)) {
        store_db_run(db, STATEMENT_ROLLBACK, NULL);
    }
    return error;
}

static const char *text_column(sqlite3_stmt *row, int column)
{
    const char *text = (const char *)sqlite3_column_text(row, column);

    return text == NULL ? "" : text;
}

static bool hash_column(sqlite3_stmt *row, int column,
                        uint8_t ret_hash[STORE_HASH])
{
    if (sqlite3_column_bytes(row, column) != (int)STORE_HASH) {
        return false;
    }
    memcpy(ret_hash, sqlite3_column_blob(row, column), STORE_HASH);
    return true;
}

static int head_revision(struct store_db *db, struct store_head *head,
                         struct gray_problem *ret_problem)
{
    int error = 0;
    sqlite3_stmt *row = store_db_statement(db, STATEMENT_HEAD, &error,
                                           ret_problem);

    if (row == NULL) {
        return error;
    }
    error = store_db_step(db, row, ret_problem);
    if (error < 0) {
        return error;
    }
    if (error == 0) {
        return store_db_corrupt(db, "no revision", ret_problem);
    }
    head->revision = (uint64_t)sqlite3_column_int64(row, 0);
    head->at = sqlite3_column_int64(row, 1);
    error = sqlite3_column_int64(row, 2) ==
                    store_revision_sum(head->revision, head->at)
                ? 0
                : store_db_corrupt(db, "the newest revision", ret_problem);
    sqlite3_reset(row);
    return error;
}

static int head_audit(struct store_db *db, struct store_head *head,
                      struct gray_problem *ret_problem)
{
    int error = 0;
    sqlite3_stmt *row = store_db_statement(db, STATEMENT_HEAD_AUDIT, &error,
                                           ret_problem);

    if (row == NULL) {
        return error;
    }
    error = store_db_step(db, row, ret_problem);
    if (error <= 0) {
        return error;
    }
    head->audit_sequence = (uint64_t)sqlite3_column_int64(row, 0);
    error = hash_column(row, 1, head->audit_hash)
                ? 0
                : store_db_corrupt(db, "the newest audit record",
                                   ret_problem);
    sqlite3_reset(row);
    return error;
}

int sqlite_head(struct store_db *db, struct store_head *ret_head,
                struct gray_problem *ret_problem)
{
    const struct store_note none = { .commits = 0 };
    struct store_head head = { .revision = 0 };
    uint64_t commits;
    int error = head_revision(db, &head, ret_problem);

    if (error == 0) {
        error = head_audit(db, &head, ret_problem);
    }
    if (error != 0) {
        return error;
    }
    error = sqlite_note_check(db, &none, &commits, head.instance,
                              ret_problem);
    if (error != 0) {
        return error;
    }
    *ret_head = head;
    return 0;
}

int sqlite_read_head(void *state, struct store_head *ret_head,
                     struct gray_problem *ret_problem)
{
    struct store_db *db = state;
    int error = store_db_run(db, STATEMENT_BEGIN_READ, ret_problem);

    if (error == 0) {
        error = sqlite_head(db, ret_head, ret_problem);
    }
    return finish(db, error);
}

int sqlite_read_revision_at(void *state, int64_t at, uint64_t *ret_revision,
                            struct gray_problem *ret_problem)
{
    struct store_db *db = state;
    uint64_t revision = 0;
    int error = 0;
    sqlite3_stmt *row = store_db_statement(db, STATEMENT_REVISION_AT, &error,
                                           ret_problem);

    if (row == NULL) {
        return error;
    }
    sqlite3_bind_int64(row, 1, at);
    error = store_db_step(db, row, ret_problem);
    if (error < 0) {
        return error;
    }
    if (error == 1) {
        revision = (uint64_t)sqlite3_column_int64(row, 0);
        error = sqlite3_column_int64(row, 2) ==
                        store_revision_sum(revision,
                                           sqlite3_column_int64(row, 1))
                    ? 0
                    : store_db_corrupt(db, "a revision", ret_problem);
        sqlite3_reset(row);
    }
    if (error == 0) {
        *ret_revision = revision;
    }
    return error;
}

/* Reads a version out of a row and checks its sum. */
static int item_read(struct store_db *db, enum store_space space,
                     sqlite3_stmt *row, struct store_item *ret_item,
                     struct gray_problem *ret_problem)
{
    ret_item->name = text_column(row, 0);
    ret_item->text = text_column(row, 1);
    ret_item->length = (size_t)sqlite3_column_bytes(row, 1);
    ret_item->revision = (uint64_t)sqlite3_column_int64(row, 2);
    ret_item->until = (uint64_t)sqlite3_column_int64(row, 3);
    ret_item->at = sqlite3_column_int64(row, 5);
    ret_item->until_at = sqlite3_column_int64(row, 7);
    if (sqlite3_column_int64(row, 4) !=
            store_version_sum(space, ret_item->name, ret_item->revision,
                              ret_item->until, ret_item->text,
                              ret_item->length) ||
        sqlite3_column_int64(row, 6) !=
            store_revision_sum(ret_item->revision, ret_item->at) ||
        (ret_item->until != 0 &&
         sqlite3_column_int64(row, 8) !=
             store_revision_sum(ret_item->until, ret_item->until_at))) {
        return store_db_corrupt(db, "a version of an item", ret_problem);
    }
    return 0;
}

/* A revision that has not been made is no question. */
static int revision_check(struct store_db *db, uint64_t revision,
                          struct gray_problem *ret_problem)
{
    struct store_head head = { .revision = 0 };
    int error = head_revision(db, &head, ret_problem);

    if (error == 0 && revision > head.revision) {
        return store_problem_set(ret_problem, EINVAL, "no-revision",
                                 "Revision %llu has not been made, the newest "
                                 "is %llu.",
                                 (unsigned long long)revision,
                                 (unsigned long long)head.revision);
    }
    return error;
}

/* 0: visited, *ret_stop says whether to go on; 1: none. */
static int item_visit(struct store_db *db, enum store_space space,
                      const char *name, uint64_t revision, store_visit *visit,
                      void *context, int *ret_stop,
                      struct gray_problem *ret_problem)
{
    struct store_item item;
    int error = 0;
    sqlite3_stmt *row =
        store_db_statement(db, revision == 0 ? STATEMENT_ITEM_NOW
                                             : STATEMENT_ITEM_AT,
                           &error, ret_problem);

    if (row == NULL) {
        return error;
    }
    sqlite3_bind_text(row, 1, store_space_word(space), -1, SQLITE_STATIC);
    sqlite3_bind_text(row, 2, name, -1, SQLITE_STATIC);
    if (revision != 0) {
        sqlite3_bind_int64(row, 3, (int64_t)revision);
    }
    error = store_db_step(db, row, ret_problem);
    if (error != 1) {
        return error < 0 ? error : 1;
    }
    error = item_read(db, space, row, &item, ret_problem);
    if (error == 0 && revision != 0 && item.until != 0 &&
        item.until <= revision) {
        error = 1;
    }
    if (error == 0) {
        *ret_stop = visit(context, &item);
    }
    sqlite3_reset(row);
    return error;
}

int sqlite_read_item(void *state, enum store_space space, const char *name,
                     uint64_t revision, store_visit *visit, void *context,
                     struct gray_problem *ret_problem)
{
    struct store_db *db = state;
    int stop, error = store_db_run(db, STATEMENT_BEGIN_READ, ret_problem);

    if (error == 0 && revision != 0) {
        error = revision_check(db, revision, ret_problem);
    }
    if (error == 0) {
        error = item_visit(db, space, name, revision, visit, context, &stop,
                           ret_problem);
    }
    return finish(db, error);
}

/* Visits all rows of a statement over versions. */
static int rows_visit(struct store_db *db, enum store_space space,
                      sqlite3_stmt *row, store_visit *visit, void *context,
                      struct gray_problem *ret_problem)
{
    struct store_item item;
    int error;

    while ((error = store_db_step(db, row, ret_problem)) == 1) {
        error = item_read(db, space, row, &item, ret_problem);
        if (error != 0 || visit(context, &item) != 0) {
            sqlite3_reset(row);
            break;
        }
    }
    return error;
}

static int items_now(struct store_db *db, enum store_space space,
                     const char *after, size_t limit, store_visit *visit,
                     void *context, struct gray_problem *ret_problem)
{
    int error = 0;
    sqlite3_stmt *row =
        store_db_statement(db, STATEMENT_ITEMS_NOW, &error, ret_problem);

    if (row == NULL) {
        return error;
    }
    sqlite3_bind_text(row, 1, store_space_word(space), -1, SQLITE_STATIC);
    sqlite3_bind_text(row, 2, after, -1, SQLITE_STATIC);
    sqlite3_bind_int64(row, 3, limit > INT64_MAX ? INT64_MAX : (int64_t)limit);
    return rows_visit(db, space, row, visit, context, ret_problem);
}

static int items_at(struct store_db *db, enum store_space space,
                    uint64_t revision, const char *after, size_t limit,
                    store_visit *visit, void *context,
                    struct gray_problem *ret_problem)
{
    char name[STORE_NAME_MAX + 1];
    int error = revision_check(db, revision, ret_problem), stop = 0;

    strcpy(name, after);
    while (error == 0 && stop == 0 && limit > 0) {
        sqlite3_stmt *row =
            store_db_statement(db, STATEMENT_NAME_NEXT, &error, ret_problem);

        if (row == NULL) {
            return error;
        }
        sqlite3_bind_text(row, 1, store_space_word(space), -1, SQLITE_STATIC);
        sqlite3_bind_text(row, 2, name, -1, SQLITE_TRANSIENT);
        error = store_db_step(db, row, ret_problem);
        if (error != 1) {
            return error;
        }
        if (sqlite3_column_bytes(row, 0) > (int)STORE_NAME_MAX) {
            sqlite3_reset(row);
            return store_db_corrupt(db, "a name", ret_problem);
        }
        strcpy(name, text_column(row, 0));
        sqlite3_reset(row);
        error = item_visit(db, space, name, revision, visit, context, &stop,
                           ret_problem);
        limit -= error == 0 ? 1 : 0;
        error = error == 1 ? 0 : error;
    }
    return error;
}

int sqlite_read_items(void *state, enum store_space space, uint64_t revision,
                      const char *after, size_t limit, store_visit *visit,
                      void *context, struct gray_problem *ret_problem)
{
    struct store_db *db = state;
    int error = store_db_run(db, STATEMENT_BEGIN_READ, ret_problem);

    after = after == NULL ? "" : after;
    if (error == 0) {
        error = revision == 0 ? items_now(db, space, after, limit, visit,
                                          context, ret_problem)
                              : items_at(db, space, revision, after, limit,
                                         visit, context, ret_problem);
    }
    return finish(db, error);
}

int sqlite_read_history(void *state, enum store_space space, const char *name,
                        uint64_t before, size_t limit, store_visit *visit,
                        void *context, struct gray_problem *ret_problem)
{
    struct store_db *db = state;
    int error = 0;
    sqlite3_stmt *row =
        store_db_statement(db, STATEMENT_HISTORY, &error, ret_problem);

    if (row == NULL) {
        return error;
    }
    sqlite3_bind_text(row, 1, store_space_word(space), -1, SQLITE_STATIC);
    sqlite3_bind_text(row, 2, name, -1, SQLITE_STATIC);
    sqlite3_bind_int64(row, 3, before == 0 || before > INT64_MAX
                                   ? INT64_MAX
                                   : (int64_t)before);
    sqlite3_bind_int64(row, 4, limit > INT64_MAX ? INT64_MAX : (int64_t)limit);
    return rows_visit(db, space, row, visit, context, ret_problem);
}

int sqlite_read_audit(void *state, uint64_t from, size_t limit,
                      store_record_visit *visit, void *context,
                      struct gray_problem *ret_problem)
{
    struct store_db *db = state;
    struct store_record record;
    int error = 0;
    sqlite3_stmt *row =
        store_db_statement(db, STATEMENT_AUDIT_FROM, &error, ret_problem);

    if (row == NULL) {
        return error;
    }
    sqlite3_bind_int64(row, 1, from > INT64_MAX ? INT64_MAX : (int64_t)from);
    sqlite3_bind_int64(row, 2, limit > INT64_MAX ? INT64_MAX : (int64_t)limit);
    while ((error = store_db_step(db, row, ret_problem)) == 1) {
        record.sequence = (uint64_t)sqlite3_column_int64(row, 0);
        record.text = text_column(row, 1);
        record.length = (size_t)sqlite3_column_bytes(row, 1);
        error = hash_column(row, 2, record.hash)
                    ? 0
                    : store_db_corrupt(db, "an audit record", ret_problem);
        if (error != 0 || visit(context, &record) != 0) {
            sqlite3_reset(row);
            break;
        }
    }
    return error;
}

int sqlite_read_pending(void *state, store_pending_visit *visit, void *context,
                        struct gray_problem *ret_problem)
{
    struct store_db *db = state;
    struct store_pending effect;
    int error = 0;
    sqlite3_stmt *row =
        store_db_statement(db, STATEMENT_PENDING, &error, ret_problem);

    if (row == NULL) {
        return error;
    }
    while ((error = store_db_step(db, row, ret_problem)) == 1) {
        effect.id = (uint64_t)sqlite3_column_int64(row, 0);
        effect.kind = text_column(row, 1);
        effect.text = text_column(row, 2);
        effect.revision = (uint64_t)sqlite3_column_int64(row, 3);
        error = sqlite3_column_int64(row, 4) ==
                        store_effect_sum(effect.revision, effect.kind,
                                         effect.text)
                    ? 0
                    : store_db_corrupt(db, "an effect", ret_problem);
        if (error != 0 || visit(context, &effect) != 0) {
            sqlite3_reset(row);
            break;
        }
    }
    return error;
}

int sqlite_read_answer(void *state, const char *key,
                       struct store_answer *ret_answer,
                       struct gray_problem *ret_problem)
{
    struct store_db *db = state;
    struct store_answer answer = { .key = NULL };
    int error = 0;
    sqlite3_stmt *row =
        store_db_statement(db, STATEMENT_ANSWER, &error, ret_problem);

    if (row == NULL) {
        return error;
    }
    sqlite3_bind_text(row, 1, key, -1, SQLITE_STATIC);
    error = store_db_step(db, row, ret_problem);
    if (error != 1) {
        return error < 0 ? error : 1;
    }
    answer.status = sqlite3_column_int(row, 1);
    answer.body = text_column(row, 2);
    answer.at = sqlite3_column_int64(row, 3);
    error = 0;
    if (!hash_column(row, 0, answer.request) ||
        sqlite3_column_int64(row, 4) !=
            store_answer_sum(key, &answer, answer.at)) {
        error = store_db_corrupt(db, "an answer", ret_problem);
    } else {
        answer.body = strdup(answer.body);
        if (answer.body == NULL) {
            error = store_problem_set(ret_problem, ENOMEM, "no-memory",
                                      "No memory for an answer.");
        }
    }
    sqlite3_reset(row);
    if (error == 0) {
        *ret_answer = answer;
    }
    return error;
}
