/* SPDX-License-Identifier: Apache-2.0
 * look.c - marks for people: one, many, and how all of them are.
 *
 * Why: what stands in the table is the truth of this moment, what stands in
 * the journal is who said so, when and by which name.  A row is shown where
 * both agree: a record whose value its slot has now.  The journal is read in a
 * child (contain.h), tables under a lock that is only taken for writing when
 * one of them is exchanged.
 * Read next: marks.h, contain.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/marks/contain.h"
#include "control/marks/redis.h"

#define LIST_MAX 10000u
#define TEXT_MOST (64u << 20)
#define HISTORY_MAX 1000u
#define READER_TEXT 40

static const char *const state_words[] = {
    [GRAY_SLOT_EMPTY] = "absent",    [GRAY_SLOT_PENDING] = "pending",
    [GRAY_SLOT_IN] = "in",           [GRAY_SLOT_OUT] = "out",
    [GRAY_SLOT_REVOKED] = "revoked", [GRAY_SLOT_HOLD] = "hold",
    [GRAY_SLOT_VOID] = "void",
};

static const char *reason_word(uint32_t number)
{
    switch (number) {
#define GRAY_REASON(NAME, number, code, sentence, advice)                      \
    case number:                                                               \
        return code;
#include "engine/reasons.def"
#undef GRAY_REASON
    default:
        return "";
    }
}

/* The unit of a record: as it was sent, as its key says, or as bytes. */
static void put_unit(json_t *row, const struct record *record)
{
    struct gray_mark_key key = {{record->head.key[0], record->head.key[1]}};
    char hex[2 * GRAY_VALUE_MAX + 1];
    uint64_t number;
    json_t *text;

    if (record->unit.length == 0) {
        text = record->head.space == 0 &&
                       gray_mark_key_number(key, &number) == 0
                   ? json_sprintf("%llu", (unsigned long long)number)
                   : json_null();
        json_object_set_new(row, "unit", text);
        return;
    }
    text = json_stringn(record->unit.data, record->unit.length);
    json_object_set_new(row, "unit", text != NULL ? text : json_null());
    if (text == NULL) {
        for (uint32_t i = 0; i < record->unit.length; i++) {
            snprintf(hex + 2 * i, 3, "%02x",
                     (unsigned char)record->unit.data[i]);
        }
        json_object_set_new(row, "unitHex", json_string(hex));
    }
}

static json_t *text_of(struct gray_str text)
{
    json_t *value = json_stringn(text.data, text.length);

    return value != NULL ? value : json_string("");
}

static json_t *reader_of(uint32_t number)
{
    if (number >= 2 * GRAY_READERS_MAX) {
        return json_string("");
    }
    return number < GRAY_READERS_MAX
               ? json_sprintf("nginx-%u", number)
               : json_sprintf("library-%u", number - GRAY_READERS_MAX);
}

/* `value`: of the slot where it is this record's, else the record's. */
json_t *look_row(uint64_t sequence, const struct record *record,
                 uint64_t value)
{
    const struct record_head *head = &record->head;
    json_t *row = json_object();

    json_object_set_new(row, "sequence", json_integer((json_int_t)sequence));
    put_unit(row, record);
    json_object_set_new(row, "kind",
                        json_string(record_kind_word(head->kind)));
    json_object_set_new(
        row, "state", json_string(state_words[gray_slot_state(head->value)]));
    json_object_set_new(row, "settled",
                        json_boolean((value & GRAY_SLOT_SETTLED) != 0));
    json_object_set_new(row, "variant",
                        json_integer(gray_slot_variant(head->value)));
    json_object_set_new(row, "attempt",
                        json_integer(gray_slot_attempt(head->value)));
    json_object_set_new(row, "revision", json_integer(head->revision));
    json_object_set_new(row, "at", json_integer(head->at));
    json_object_set_new(row, "stage", json_integer(head->stage));
    json_object_set_new(row, "space", json_integer(head->space));
    json_object_set_new(row, "entrance", json_integer(head->entrance));
    json_object_set_new(row, "reader", reader_of(head->reader));
    json_object_set_new(row, "reason",
                        record->reason.length > 0
                            ? text_of(record->reason)
                            : json_string(reason_word(head->reason_code)));
    json_object_set_new(row, "actor", text_of(record->actor));
    return row;
}

/* ---- in the child ----------------------------------------------------------- */

struct look {
    struct marks *marks;
    struct scope *scope;
    json_t *rows;
    uint64_t after, next;
    size_t limit;
    uint8_t state;
    bool open; /* those that are not settled alone */
    struct gray_mark_key key; /* of one unit's history */
    bool one;
};

static int list_visit(void *context, uint64_t sequence,
                      const struct record *record, enum record_belief belief)
{
    struct look *look = context;
    const struct record_head *head = &record->head;
    struct gray_mark_key key = {{head->key[0], head->key[1]}};
    uint64_t value;

    if (head->scope != look->scope->scope || belief != RECORD_GOOD) {
        return 0;
    }
    if (look->one) {
        if (key.k[0] == look->key.k[0] && key.k[1] == look->key.k[1]) {
            if (json_array_size(look->rows) == HISTORY_MAX) {
                json_array_remove(look->rows, 0); /* the newest are kept */
            }
            json_array_append_new(look->rows,
                                  look_row(sequence, record, head->value));
        }
        return 0;
    }
    value = scope_peek(look->scope, key);
    if ((look->state != 0 && gray_slot_state(head->value) != look->state) ||
        !slot_is_of(value, head->value) || head->kind == RECORD_SETTLE ||
        (look->open && (value & GRAY_SLOT_SETTLED) != 0) ||
        gray_slot_state(head->value) == GRAY_SLOT_VOID) {
        return 0;
    }
    if (json_array_size(look->rows) == look->limit) {
        return 1; /* there is more */
    }
    json_array_append_new(look->rows, look_row(sequence, record, value));
    look->next = sequence;
    return 0;
}

static int look_run(void *context, int out)
{
    struct look *look = context;
    struct journal journal = {.lock_fd = -1};
    int result = journal_reader_open(&journal, look->marks->state,
                                     look->marks->map_size, NULL);
    json_t *found;

    look->rows = json_array();
    if (result == 0) {
        result = journal_records(&journal, look->after + 1, false, list_visit,
                                 look, NULL);
    }
    if (result < 0) {
        return 1;
    }
    found = json_pack("{s:o,s:I}", "marks", look->rows, "next",
                      (json_int_t)(result == 1 ? look->next : 0));
    return found != NULL && json_dumpfd(found, out, JSON_COMPACT) == 0 ? 0 : 1;
}

/* Begins under `maps` and lets go of it: the child has what is mapped now. */
static json_t *look_journal(struct look *look,
                            struct gray_problem *ret_problem)
{
    struct contained child = {0};
    char *text = NULL;
    json_t *found = NULL;
    int result = contained_start(&child, look_run, look, ret_problem);

    pthread_rwlock_unlock(&look->marks->maps);
    if (result == 0) {
        result = contained_text(&child, TEXT_MOST, &text, ret_problem);
    }
    if (result == 0) {
        found = json_loads(text, 0, NULL);
    }
    if (result > 0 || (result == 0 && found == NULL)) {
        runtime_problem_set(ret_problem, EILSEQ, "marks-corrupt",
                            "The journal of marks is damaged or not there.");
    }
    free(text);
    return found;
}

/* ---- what is asked ------------------------------------------------------------- */

struct scope *marks_hold(struct marks *marks, uint64_t scope,
                         struct gray_problem *ret_problem)
{
    struct scope *found;

    pthread_rwlock_rdlock(&marks->maps);
    found = scope_find(marks, scope);
    if (found == NULL || found->marks.table.file == NULL) {
        pthread_rwlock_unlock(&marks->maps);
        runtime_problem_set(ret_problem, ENOENT, "no-marks",
                            "The release keeps no marks here.");
        return NULL;
    }
    return found;
}

json_t *marks_get(struct marks *marks, uint64_t scope, uint8_t space,
                  const char *unit, struct gray_problem *ret_problem)
{
    struct look look = {.marks = marks, .one = true};
    struct gray_str text = {unit, (uint32_t)strlen(unit)};
    const struct gray_marks_file *file;
    json_t *found, *answer = NULL;
    struct gray_mark mark = {0};
    int64_t at = 0;
    bool ready;
    uint64_t value;

    look.scope = marks_hold(marks, scope, ret_problem);
    if (look.scope == NULL) {
        return NULL;
    }
    file = look.scope->marks.table.file;
    look.key = gray_mark_key(file, space, text);
    ready = scope_ready(look.scope);
    value = scope_peek(look.scope, look.key);
    if (value != 0) {
        mark = gray_mark_of(file, value);
        at = gray_mark_moment(file, value);
    }
    found = look_journal(&look, ret_problem);
    if (found != NULL) {
        answer = json_pack(
            "{s:s,s:s,s:b,s:b,s:i,s:i,s:I,s:I,s:I,s:O}", "unit", unit, "state",
            ready ? state_words[gray_slot_state(value)] : "unknown", "durable",
            (value & GRAY_SLOT_DURABLE) != 0, "settled",
            (value & GRAY_SLOT_SETTLED) != 0, "variant",
            (int)gray_slot_variant(value), "attempt",
            (int)gray_slot_attempt(value), "revision",
            (json_int_t)mark.revision, "minute",
            (json_int_t)(value >> GRAY_SLOT_MINUTE_SHIFT), "at",
            (json_int_t)at, "history", json_object_get(found, "marks"));
        json_decref(found);
        if (answer == NULL) {
            runtime_problem_set(ret_problem, EINVAL, "bad-unit",
                                "The unit is no UTF-8 text.");
        }
    }
    return answer;
}

json_t *marks_list(struct marks *marks, uint64_t scope, uint8_t state,
                   bool open, uint64_t after, size_t limit,
                   struct gray_problem *ret_problem)
{
    struct look look = {
        .marks = marks,
        .after = after,
        .state = state,
        .open = open,
        .limit = limit < LIST_MAX ? limit : LIST_MAX,
    };

    look.scope = marks_hold(marks, scope, ret_problem);
    return look.scope != NULL ? look_journal(&look, ret_problem) : NULL;
}

/* ---- status ---------------------------------------------------------------------- */

struct figures {
    uint64_t states[GRAY_SLOT_VOID + 1];
    uint64_t not_durable, settled;
};

static int count_one(void *context, struct gray_mark_key key, uint64_t value)
{
    struct figures *figures = context;
    enum gray_slot_state state = gray_slot_state(value);

    (void)key;
    figures->states[state]++;
    if ((value & GRAY_SLOT_DURABLE) == 0 && state != GRAY_SLOT_VOID &&
        state != GRAY_SLOT_HOLD) {
        figures->not_durable++;
    }
    if (state == GRAY_SLOT_OUT && (value & GRAY_SLOT_SETTLED) != 0) {
        figures->settled++;
    }
    return 0;
}

static const char *table_word(const struct scope *scope)
{
    switch (gray_mark_table_state(&scope->marks.table)) {
    case GRAY_TABLE_READY:
        return "ready";
    case GRAY_TABLE_REBUILDING:
        return "rebuilding";
    case GRAY_TABLE_BROKEN:
        return "broken";
    }
    return "missing";
}

static json_t *table_json(const struct scope *scope)
{
    const struct gray_mark_table *table = &scope->marks.table;

    return json_pack("{s:I,s:I,s:I,s:s,s:b}", "marks",
                     (json_int_t)(gray_mark_table_used(table) +
                                  gray_mark_table_used(&scope->marks.next)),
                     "room",
                     (json_int_t)gray_mark_table_room(table), "bytes",
                     (json_int_t)table->size, "state", table_word(scope),
                     "growing", scope->next != 0);
}

static json_t *journal_json(struct marks *marks, uint64_t sequence)
{
    int64_t oldest = atomic_load(&marks->oldest);
    int64_t age = oldest != 0 ? marks->now_ms() - oldest : 0;

    return json_pack("{s:I,s:I,s:I,s:I}", "sequence", (json_int_t)sequence,
                     "lag", (json_int_t)atomic_load(&marks->bytes_behind),
                     "lagMs", (json_int_t)(age > 0 ? age : 0), "bytes",
                     (json_int_t)journal_bytes(&marks->journal));
}

static void writer_json(struct marks *marks, json_t *status)
{
    static const char *const words[] = {
        [GRAY_WRITER_NONE] = "none",
        [GRAY_WRITER_OK] = "ok",
        [GRAY_WRITER_FULL] = "full",
        [GRAY_WRITER_FAILED] = "failed",
    };

    json_object_set_new(status, "writer",
                        json_string(words[atomic_load(&marks->writer)]));
    pthread_mutex_lock(&marks->lock);
    json_object_set_new(status, "trouble", json_string(marks->trouble));
    pthread_mutex_unlock(&marks->lock);
    json_object_set_new(status, "redis",
                        json_string(redis_word(marks->redis)));
}

static json_t *status_of_writer(struct marks *marks)
{
    json_t *status = json_pack(
        "{s:o,s:I,s:I,s:I,s:I,s:I}", "journal",
        journal_json(marks, atomic_load(&marks->sequence)), "commits",
        (json_int_t)atomic_load(&marks->commits), "badRecords",
        (json_int_t)atomic_load(&marks->bad_records), "lostRecords",
        (json_int_t)atomic_load(&marks->lost_records), "strays",
        (json_int_t)atomic_load(&marks->strays), "queued",
        (json_int_t)work_left(marks, 0));

    if (status != NULL) {
        writer_json(marks, status);
    }
    return status;
}

json_t *marks_status(struct marks *marks, uint64_t number,
                     struct gray_problem *ret_problem)
{
    struct figures figures = {{0}, 0, 0};
    struct scope *scope;
    json_t *status;

    if (number == 0) {
        return status_of_writer(marks);
    }
    scope = marks_hold(marks, number, ret_problem);
    if (scope == NULL) {
        return NULL;
    }
    gray_marks_each(&scope->marks, count_one, &figures);
    status = json_pack(
        "{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:o,s:o,s:I,s:b}", "in",
        (json_int_t)figures.states[GRAY_SLOT_IN], "out",
        (json_int_t)figures.states[GRAY_SLOT_OUT], "settled",
        (json_int_t)figures.settled, "settledNobody",
        (json_int_t)atomic_load(&scope->counts.nobody), "revoked",
        (json_int_t)figures.states[GRAY_SLOT_REVOKED], "hold",
        (json_int_t)figures.states[GRAY_SLOT_HOLD], "pending",
        (json_int_t)figures.states[GRAY_SLOT_PENDING], "notDurable",
        (json_int_t)figures.not_durable, "void",
        (json_int_t)atomic_load(&scope->counts.voided), "late",
        (json_int_t)atomic_load(&scope->counts.late), "refused",
        (json_int_t)atomic_load(&scope->counts.refused), "table",
        table_json(scope), "journal", journal_json(marks, atomic_load(&scope->last)),
        "queued", (json_int_t)work_left(marks, number), "closed",
        (int)atomic_load(&scope->closed));
    pthread_rwlock_unlock(&marks->maps);
    if (status == NULL) {
        runtime_problem_set(ret_problem, ENOMEM, "memory", "Out of memory.");
        return NULL;
    }
    writer_json(marks, status);
    return status;
}
