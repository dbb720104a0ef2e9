/* SPDX-License-Identifier: Apache-2.0
 * told_look.c - what units were told on other hosts, for people.
 *
 * Why: rows have the members of marks_list(), so that whoever lists, exports
 * or compares marks takes both alike; "host" says whose they are.
 * Read next: told.c, ../read/marks.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/hex.h"
#include "control/hosts/told_parts.h"
#include "runtime/marks.h"

#define HISTORY_MAX 1000
#define STATE_AT 3 /* column of TOLD_COLUMNS */

static void put_unit(json_t *row, const void *unit, int length)
{
    json_t *text = unit != NULL ? json_stringn(unit, (size_t)length) : NULL;
    char hex[2 * GRAY_VALUE_MAX + 1];

    json_object_set_new(row, "unit", text != NULL ? text : json_null());
    if (unit != NULL && text == NULL && length <= (int)GRAY_VALUE_MAX) {
        hex_write(unit, (size_t)length, hex);
        json_object_set_new(row, "unitHex", json_string(hex));
    }
}

static const char *column(sqlite3_stmt *rows, int number)
{
    const unsigned char *text = sqlite3_column_text(rows, number);

    return text != NULL ? (const char *)text : "";
}

/* A row of TOLD_COLUMNS. */
static json_t *row_of(sqlite3_stmt *rows)
{
    const char *state = admission_state_word(
        (uint8_t)sqlite3_column_int(rows, STATE_AT));
    json_t *row = json_pack(
        "{s:I,s:s,s:i,s:i,s:I,s:i,s:i,s:I,s:I,s:s,s:s,s:s,s:s,s:s,s:b}",
        "sequence", (json_int_t)sqlite3_column_int64(rows, 1), "state",
        state != NULL ? state : "hold", "variant", sqlite3_column_int(rows, 4),
        "attempt", sqlite3_column_int(rows, 5), "revision",
        (json_int_t)sqlite3_column_int64(rows, 6), "stage",
        sqlite3_column_int(rows, 7), "space", sqlite3_column_int(rows, 8),
        "entrance", (json_int_t)sqlite3_column_int64(rows, 9), "at",
        (json_int_t)sqlite3_column_int64(rows, 10), "kind", column(rows, 11),
        "reader", column(rows, 12), "actor", column(rows, 13), "reason",
        column(rows, 14), "host", column(rows, 15), "settled",
        sqlite3_column_int(rows, 16) != 0);

    if (row != NULL) {
        put_unit(row, sqlite3_column_blob(rows, 2),
                 sqlite3_column_bytes(rows, 2));
    }
    return row;
}

/* NULL: it broke off. */
static json_t *rows_of(sqlite3_stmt *rows, uint64_t *ret_last)
{
    json_t *found = json_array();
    int step;

    while ((step = sqlite3_step(rows)) == SQLITE_ROW) {
        *ret_last = (uint64_t)sqlite3_column_int64(rows, 0);
        json_array_append_new(found, row_of(rows));
    }
    sqlite3_reset(rows);
    if (step != SQLITE_DONE) {
        json_decref(found);
        return NULL;
    }
    return found;
}

json_t *told_list(struct told *told, uint64_t scope, uint8_t state, bool open,
                  uint64_t after, size_t limit)
{
    uint64_t last = 0;
    sqlite3_stmt *rows;
    json_t *found;

    pthread_mutex_lock(&told->lock);
    rows = told_begin(told, TOLD_LIST);
    sqlite3_bind_int64(rows, 1, (sqlite3_int64)scope);
    sqlite3_bind_int64(rows, 2, (sqlite3_int64)after);
    sqlite3_bind_int(rows, 3, state);
    sqlite3_bind_int64(rows, 4, (sqlite3_int64)limit);
    sqlite3_bind_int(rows, 5, open);
    found = rows_of(rows, &last);
    pthread_mutex_unlock(&told->lock);
    if (found == NULL) {
        return NULL;
    }
    return json_pack("{s:o,s:I}", "marks", found, "next",
                     (json_int_t)(json_array_size(found) < limit ? 0 : last));
}

static json_t *of_unit(struct told *told, enum told_statement number,
                       uint64_t scope, uint8_t space, const void *unit,
                       size_t length)
{
    sqlite3_stmt *rows = told_begin(told, number);
    uint64_t last;

    sqlite3_bind_int64(rows, 1, (sqlite3_int64)scope);
    sqlite3_bind_blob(rows, 2, unit, (int)length, SQLITE_STATIC);
    sqlite3_bind_int(rows, 3, space);
    if (number == TOLD_HISTORY) {
        sqlite3_bind_int(rows, 4, HISTORY_MAX);
    }
    return rows_of(rows, &last);
}

json_t *told_unit(struct told *told, uint64_t scope, uint8_t space,
                  const char *unit)
{
    size_t length = strlen(unit);
    json_t *stands, *history;

    pthread_mutex_lock(&told->lock);
    stands = of_unit(told, TOLD_STANDS, scope, space, unit, length);
    history = of_unit(told, TOLD_HISTORY, scope, space, unit, length);
    pthread_mutex_unlock(&told->lock);
    return json_pack("{s:o,s:o}", "hosts", stands, "history", history);
}

json_t *told_counts(struct told *told, uint64_t scope)
{
    json_t *counts = json_pack("{s:i,s:i,s:i,s:i,s:i,s:i}", "in", 0, "out", 0,
                               "settled", 0, "revoked", 0, "hold", 0,
                               "conflicts", 0);
    sqlite3_stmt *rows;
    int step;

    pthread_mutex_lock(&told->lock);
    rows = told_begin(told, TOLD_COUNTS);
    sqlite3_bind_int64(rows, 1, (sqlite3_int64)scope);
    while ((step = sqlite3_step(rows)) == SQLITE_ROW) {
        int state = sqlite3_column_int(rows, 0);
        const char *word = state == TOLD_DIFFERS   ? "conflicts"
                           : state == TOLD_SETTLED ? "settled"
                               : admission_state_word((uint8_t)state);

        if (word != NULL) {
            json_object_set_new(
                counts, word,
                json_integer((json_int_t)sqlite3_column_int64(rows, 1)));
        }
    }
    sqlite3_reset(rows);
    pthread_mutex_unlock(&told->lock);
    if (step != SQLITE_DONE) {
        json_decref(counts);
        return NULL;
    }
    return counts;
}

json_t *told_conflicts(struct told *told, uint64_t scope)
{
    json_t *found = json_array(), *row;
    sqlite3_stmt *rows;
    size_t i;

    pthread_mutex_lock(&told->lock);
    rows = told_begin(told, TOLD_CONFLICTS);
    sqlite3_bind_int64(rows, 1, (sqlite3_int64)scope);
    sqlite3_bind_int(rows, 2, (int)TOLD_NAMED_MAX);
    while (sqlite3_step(rows) == SQLITE_ROW) {
        const void *unit = sqlite3_column_blob(rows, 1);
        int length = sqlite3_column_bytes(rows, 1);

        row = json_pack("{s:i}", "space", sqlite3_column_int(rows, 0));
        put_unit(row, unit, length);
        json_object_set_new(
            row, "told",
            of_unit(told, TOLD_STANDS, scope,
                    (uint8_t)sqlite3_column_int(rows, 0), unit,
                    (size_t)length));
        json_array_append_new(found, row);
    }
    sqlite3_reset(rows);
    pthread_mutex_unlock(&told->lock);
    json_array_foreach(found, i, row) {
        json_t *told_rows = json_object_get(row, "told"), *one;
        size_t k;

        json_array_foreach(told_rows, k, one) {
            json_object_del(one, "unit"); /* said once, above */
        }
    }
    return found;
}
