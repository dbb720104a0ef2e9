/* SPDX-License-Identifier: Apache-2.0
 * read_rows.c - rows of a side, from its source into the spool.
 *
 * Why: of a row only its key, unit, moment and the values that somebody
 * compares are kept, in one order, so that who judges needs no names.  A window
 * is asked for in chunks: a statement that runs for a minute is a guest that
 * stays too long.
 * Read next: run_parts.h, source.h.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/marks/record.h"
#include "control/recon/run_parts.h"
#include "policy/parse.h"
#include "runtime/row_mark.h"

#define PACKED_MAX (4u << 20)
#define FLAT_MAX 4096u  /* bytes of a flat key */
#define CHUNKS_MAX 10000

struct reading {
    struct run *run;
    enum check_side side;
    const struct check_rows *rows;
    char *packed;
};

/* ---- columns -------------------------------------------------------------------- */

static int column_of(const char *const *names, unsigned columns,
                     const char *wanted)
{
    for (unsigned i = 0; wanted != NULL && i < columns; i++) {
        if (strcmp(names[i], wanted) == 0) {
            return (int)i;
        }
    }
    return -1;
}

static bool want(struct run_columns *c, const char *const *names,
                 unsigned columns, const char *wanted, int *ret_number,
                 const char **ret_missing)
{
    *ret_number = column_of(names, columns, wanted);
    if (wanted != NULL && *ret_number < 0) {
        *ret_missing = wanted;
        return false;
    }
    if (*ret_number >= 0) {
        c->covered[*ret_number] = true;
    }
    return true;
}

static bool want_value(struct run_columns *c, const char *const *names,
                       unsigned columns, const char *wanted,
                       const char **ret_missing)
{
    return c->value_count < FACTS_VALUES_MAX &&
           want(c, names, columns, wanted, &c->values[c->value_count++],
                ret_missing);
}

/* The values of a side, in the order that judge_rows.c knows. */
static bool want_values(const struct reading *r, struct run_columns *c,
                        const char *const *names, unsigned columns,
                        const char **ret_missing)
{
    const struct check *check = r->run->check;
    bool good = true;

    if (r->side == SIDE_MARKS) {
        return want_value(c, names, columns, r->rows->mark, ret_missing);
    }
    for (size_t i = 0; r->side == SIDE_UPSTREAM && i < check->attribute_count;
         i++) {
        good &= want_value(c, names, columns, check->attributes[i].column,
                           ret_missing);
    }
    for (size_t i = 0; r->side != SIDE_OLD && i < check->compare_count; i++) {
        good &= want_value(c, names, columns,
                           r->side == SIDE_GRAY ? check->compares[i].gray
                                                : check->compares[i].upstream,
                           ret_missing);
    }
    if (r->side == SIDE_GRAY) {
        return good && want_value(c, names, columns, r->rows->corrected,
                                  ret_missing);
    }
    for (size_t i = 0; i < check->constraint_count; i++) {
        good &= want_value(c, names, columns,
                           r->side == SIDE_OLD ? check->constraints[i].old
                                               : check->constraints[i].equals,
                           ret_missing);
    }
    return good;
}

static int find_columns(const struct reading *r, const char *const *names,
                        unsigned columns)
{
    struct run_columns *c = &r->run->columns[r->side];
    const char *missing = "more values than are looked at";
    bool good;

    memset(c, 0, sizeof(*c));
    c->count = columns;
    for (unsigned i = 0; i < columns; i++) {
        snprintf(c->names[i], sizeof(c->names[i]), "%s", names[i]);
    }
    good = want(c, names, columns, r->rows->unit, &c->unit, &missing) &&
           want(c, names, columns, r->rows->created, &c->created, &missing);
    for (unsigned i = 0; i < r->rows->key_count; i++) {
        good = good && want(c, names, columns, r->rows->keys[i], &c->keys[i],
                            &missing);
    }
    if (good && want_values(r, c, names, columns, &missing)) {
        return 0;
    }
    r->run->problem->code = "no-column";
    snprintf(r->run->problem->sentence, sizeof(r->run->problem->sentence),
             "The query of `%s` has no column %.63s.",
             check_side_words[r->side], missing);
    return -EINVAL;
}

/* ---- values ----------------------------------------------------------------------- */

/* A timestamp as PostgreSQL writes it, in UTC, to RFC 3339. */
static bool read_stamp(const char *text, int64_t *ret_ms)
{
    char whole[64];
    size_t length = strlen(text);
    const char *zone = length > 10 ? strpbrk(text + 10, "+-Z") : NULL;

    if (length > 40) {
        return false;
    }
    snprintf(whole, sizeof(whole), "%s%s", text,
             zone == NULL                    ? "Z"
             : strcspn(zone, ":") == 3 &&
                       strchr(zone, ':') == NULL ? ":00"
                                                 : "");
    return gray_parse_moment(whole, ret_ms);
}

static bool read_created(const struct source_cell *cell, enum check_time time,
                         int64_t *ret_ms)
{
    char *end;
    double number;

    if (cell->data == NULL) {
        return false;
    }
    if (time == CHECK_TIME_STAMP) {
        return read_stamp(cell->data, ret_ms);
    }
    number = strtod(cell->data, &end);
    if (end == cell->data || *end != '\0' || number < 0 || number > 9e15) {
        return false;
    }
    *ret_ms = (int64_t)(time == CHECK_TIME_S ? number * 1000 : number);
    return true;
}

/* The columns of a key, joined; false: a part is missing, or has the separator
 * in it, so that two keys could be one text. */
static bool read_key(const struct reading *r, const struct source_cell *cells,
                     char buffer[FLAT_MAX], struct gray_str *ret_key)
{
    const struct run_columns *c = &r->run->columns[r->side];
    size_t length = 0, gap = strlen(r->rows->separator);

    if (r->rows->key_count == 1) {
        *ret_key = (struct gray_str){cells[c->keys[0]].data,
                                     cells[c->keys[0]].length};
        return ret_key->data != NULL && ret_key->length > 0;
    }
    for (unsigned i = 0; i < r->rows->key_count; i++) {
        const struct source_cell *cell = &cells[c->keys[i]];

        if (cell->data == NULL || length + gap + cell->length >= FLAT_MAX ||
            (gap > 0 && strstr(cell->data, r->rows->separator) != NULL)) {
            return false;
        }
        if (i > 0) {
            memcpy(buffer + length, r->rows->separator, gap);
            length += gap;
        }
        memcpy(buffer + length, cell->data, cell->length);
        length += cell->length;
    }
    *ret_key = (struct gray_str){buffer, (uint32_t)length};
    return length > 0;
}

/* ---- marks that rows keep -------------------------------------------------------------- */

static int digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* 16 bytes from hexadecimal digits, as they are or as bytea is written. */
static bool read_hex(struct gray_str text,
                     unsigned char ret_bytes[GRAY_ROW_MARK_SIZE])
{
    const char *at = text.data;

    if (text.length == 2 * GRAY_ROW_MARK_SIZE + 2 && at[0] == '\\') {
        at += 2;
    } else if (text.length != 2 * GRAY_ROW_MARK_SIZE) {
        return false;
    }
    for (unsigned i = 0; i < GRAY_ROW_MARK_SIZE; i++) {
        int high = digit(at[2 * i]), low = digit(at[2 * i + 1]);

        if (high < 0 || low < 0) {
            return false;
        }
        ret_bytes[i] = (unsigned char)(high * 16 + low);
    }
    return true;
}

/* No mark, or 16 zeros: it was made while there was nothing to be told. What is
 * no mark of this unit in this release holds it. */
static int put_mark(struct run *run, struct gray_str unit,
                    const struct source_cell *cell)
{
    struct gray_str text = {cell->data, cell->length};
    static const unsigned char zeros[GRAY_ROW_MARK_SIZE];
    unsigned char bytes[GRAY_ROW_MARK_SIZE];
    uint64_t scope = gray_hash_scope(run->check->release,
                                     strlen(run->check->release));
    struct gray_row_mark row = {.state = GRAY_MARK_ABSENT};
    struct fact_mark mark;
    bool good = text.data != NULL && read_hex(text, bytes);

    if (text.data == NULL ||
        (good && memcmp(bytes, zeros, sizeof(zeros)) == 0)) {
        return 0;
    }
    good = good && gray_row_mark_read(bytes, scope, unit, &row);
    memset(&mark, 0, sizeof(mark));
    mark.revision = row.revision;
    mark.at = (int64_t)row.seconds * 1000;
    mark.reader = RECORD_READER_NONE;
    mark.state = row.state == GRAY_MARK_IN ? GRAY_SLOT_IN : GRAY_SLOT_OUT;
    mark.kind = RECORD_ADMIT;
    mark.attempt = row.attempt;
    mark.variant = row.variant;
    mark.damaged = !good;
    mark.by_row = 1;
    if (run_is_inside(run, mark.at)) { /* it says itself when it was made */
        run_bloom_add(run, unit);
    } else if (!run_wants(run, unit)) {
        return 0;
    }
    run->marks++;
    return run_put(run, unit, FACT_MARK, &mark, sizeof(mark));
}

static int put_row(const struct reading *r, const struct source_cell *cells)
{
    const struct run_columns *c = &r->run->columns[r->side];
    struct gray_str values[FACTS_VALUES_MAX], unit;
    struct fact_row row = {.created = CHECK_NEVER,
                           .values = values,
                           .value_count = c->value_count};
    char flat[FLAT_MAX];
    size_t length;

    if (!read_key(r, cells, flat, &row.key) ||
        (c->created >= 0 &&
         !read_created(&cells[c->created], r->rows->time, &row.created))) {
        r->run->bad_rows++;
        return 0;
    }
    unit = row.key;
    if (c->unit >= 0) {
        unit = (struct gray_str){cells[c->unit].data, cells[c->unit].length};
    }
    row.inside = c->created >= 0 ? run_is_inside(r->run, row.created)
                                 : run_is_whole(r->run);
    if (unit.data == NULL || unit.length == 0 ||
        unit.length > GRAY_VALUE_MAX) {
        r->run->bad_rows++;
        return 0;
    }
    if (r->side == SIDE_MARKS) {
        return put_mark(r->run, unit, &cells[c->values[0]]);
    }
    if (r->side == SIDE_UPSTREAM) {
        run_bloom_add(r->run, unit);
    } else if (!row.inside && !run_wants(r->run, unit)) {
        return 0;
    }
    for (unsigned i = 0; i < c->value_count; i++) {
        values[i] = c->values[i] >= 0
                        ? (struct gray_str){cells[c->values[i]].data,
                                            cells[c->values[i]].length}
                        : (struct gray_str){NULL, 0};
    }
    length = fact_row_pack(&row, r->packed, PACKED_MAX);
    if (length == 0) {
        r->run->bad_rows++;
        return 0;
    }
    return run_put(r->run, unit, FACT_ROW + (int)r->side, r->packed, length);
}

static int visit_row(void *context, const char *const *names,
                     const struct source_cell *cells, unsigned columns)
{
    struct reading *r = context;
    struct run_columns *c = &r->run->columns[r->side];

    if (cells == NULL) {
        return find_columns(r, names, columns);
    }
    r->run->rows[r->side]++;
    for (unsigned i = 0; i < columns; i++) {
        c->number[i] |= cells[i].number;
    }
    return put_row(r, cells);
}

/* ---- windows ------------------------------------------------------------------------ */

static struct source *source_for(struct run *run, const json_t *source)
{
    const char *name = json_string_value(json_object_get(source, "name"));

    for (size_t i = 0; i < run->source_count; i++) {
        if (strcmp(run->sources[i]->name, name) == 0) {
            return run->sources[i];
        }
    }
    if (run->source_count == sizeof(run->sources) / sizeof(*run->sources)) {
        return NULL;
    }
    run->sources[run->source_count] =
        source_open(source, run->check->timeout, run->problem);
    return run->sources[run->source_count] != NULL
               ? run->sources[run->source_count++]
               : NULL;
}

static int read_chunks(struct reading *r, struct source *source)
{
    const struct check *check = r->run->check;
    struct source_query query = {.text = r->rows->query,
                                 .created = r->rows->created,
                                 .time = r->rows->time,
                                 .from = run_early(r->run),
                                 .until = run_late(r->run)};
    int64_t end = query.until, chunk = check->chunk;
    int result = 0;

    if (r->side == SIDE_GRAY && r->run->revoked) {
        query.from = CHECK_NEVER; /* R7 asks for rows of long ago */
    }
    if (query.from == CHECK_NEVER || end == INT64_MAX ||
        query.created == NULL || chunk <= 0) {
        return source_each(source, &query, visit_row, r, r->run->problem);
    }
    while ((end - query.from) / chunk > CHUNKS_MAX) {
        chunk *= 2;
    }
    do {
        query.until = end - query.from > chunk ? query.from + chunk : end;
        result = source_each(source, &query, visit_row, r, r->run->problem);
        query.from = query.until;
    } while (result == 0 && query.from < end);
    return result;
}

int run_read_rows(struct run *run, enum check_side side)
{
    struct reading r = {.run = run,
                        .side = side,
                        .rows = &run->check->rows[side]};
    struct source *source;
    int result;

    if (!r.rows->there) {
        return 0;
    }
    source = source_for(run, r.rows->source);
    r.packed = malloc(PACKED_MAX);
    if (source == NULL || r.packed == NULL) {
        free(r.packed);
        return -EIO;
    }
    result = read_chunks(&r, source);
    free(r.packed);
    return result;
}
