/* SPDX-License-Identifier: Apache-2.0
 * ahead.c - tables that know more than the journal: an older one, or a new.
 *
 * Why: who puts back yesterday's state folder, or loses it, and leaves the
 * runtime folder as it is, has tables whose durable marks no journal knows.
 * They are true and are served, but with the host's next start they would be
 * gone, and units that were told IN, durably, would be asked again.  So what a
 * table has and the journal has not is journaled by its key.  `drained` says up
 * to which commit slots were moved: a journal that ends sooner is an older one.
 * Until all is written it says the last number there is, so a kill in between
 * begins anew; what the journal has by then is not written twice.
 * Read next: sweep.c (marks that are not durable), scopes.c.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "control/marks/internal.h"

struct ahead {
    struct marks *marks;
    struct scope *scope;
    uint8_t *known[2]; /* by slot, of both tables: the journal has its value */
    struct missing {
        struct gray_mark_key key;
        uint64_t value;
        bool settles; /* the journal has all but that it is settled */
    } *missing;
    size_t count, room;
    uint64_t seen;
};

static void sequence_set(struct marks *marks, uint64_t sequence)
{
    if (marks->drained != NULL) {
        __atomic_store_n(&marks->drained->sequence, sequence,
                         __ATOMIC_RELEASE);
    }
}

void ahead_begin(struct marks *marks)
{
    marks->behind =
        atomic_load(&marks->writer) == GRAY_WRITER_OK &&
        __atomic_load_n(&marks->drained->sequence, __ATOMIC_ACQUIRE) >
            marks->journal.last;
}

void ahead_table(struct marks *marks, struct scope *scope)
{
    if (atomic_load(&marks->writer) == GRAY_WRITER_OK &&
        (marks->behind || !scope->known)) {
        scope->ahead = true;
        sequence_set(marks, UINT64_MAX);
    }
}

void ahead_committed(struct marks *marks)
{
    if (marks->drained != NULL &&
        __atomic_load_n(&marks->drained->sequence, __ATOMIC_ACQUIRE) !=
            UINT64_MAX) {
        sequence_set(marks, marks->journal.last);
    }
}

/* ---- what the journal has, what the table has ------------------------------------ */

enum known { KNOWN_NOT, KNOWN_ALL, KNOWN_BUT_SETTLED };

/* The byte of a key's slot in `known`, and what stands there; NULL: none. */
static uint8_t *known_of(const struct ahead *ahead, struct gray_mark_key key,
                         uint64_t *ret_value)
{
    const struct gray_mark_table *tables[] = {&ahead->scope->marks.table,
                                              &ahead->scope->marks.next};

    for (size_t i = 0; i < 2 && tables[i]->file != NULL; i++) {
        uint64_t *slot, value;

        if (runtime_mark_probe(tables[i], key, &slot) != MARK_HERE) {
            continue;
        }
        value = mark_load(mark_slot_value(tables[i], slot));
        if ((value & GRAY_SLOT_MOVED) == 0) {
            *ret_value = value;
            return ahead->known[i] + ((uint8_t *)slot - tables[i]->slots) /
                                         tables[i]->slot_size;
        }
    }
    return NULL;
}

static void beat(struct ahead *ahead)
{
    if (ahead->seen++ % MARKS_BEAT_EVERY == 0) {
        marks_beat(ahead->marks);
    }
}

/* The last record of a unit is the one that counts. */
static int see_record(void *context, uint64_t sequence,
                      const struct record *record, enum record_belief belief)
{
    struct ahead *ahead = context;
    uint64_t value = 0;
    uint8_t *known;

    (void)sequence;
    beat(ahead);
    if (belief != RECORD_GOOD || record->head.scope != ahead->scope->scope) {
        return 0;
    }
    known = known_of(ahead,
                     (struct gray_mark_key){
                         {record->head.key[0], record->head.key[1]}},
                     &value);
    if (known != NULL) {
        *known = !slot_is_of(value, record->head.value) ? KNOWN_NOT
                 : (value & ~record->head.value) != 0   ? KNOWN_BUT_SETTLED
                                                        : KNOWN_ALL;
    }
    return 0;
}

static int see_slot(void *context, struct gray_mark_key key, uint64_t value)
{
    struct ahead *ahead = context;
    enum gray_slot_state state = gray_slot_state(value);
    uint64_t stands = 0;
    const uint8_t *known;

    beat(ahead);
    if (state != GRAY_SLOT_HOLD && state != GRAY_SLOT_REVOKED &&
        (value & GRAY_SLOT_DURABLE) == 0) {
        return 0; /* by its ring, or by a sweep */
    }
    known = known_of(ahead, key, &stands);
    if (known == NULL || *known == KNOWN_ALL || stands != value) {
        return 0;
    }
    if (ahead->count == ahead->room) {
        size_t room = ahead->room > 0 ? 2 * ahead->room : 1024;
        struct missing *more =
            realloc(ahead->missing, room * sizeof(*ahead->missing));

        if (more == NULL) {
            return -1;
        }
        ahead->missing = more;
        ahead->room = room;
    }
    ahead->missing[ahead->count++] =
        (struct missing){key, value, *known == KNOWN_BUT_SETTLED};
    return 0;
}

/* ---- writing it ---------------------------------------------------------------------- */

static void write_one(const struct ahead *ahead, const struct missing *missing)
{
    const struct gray_marks_file *file = ahead->scope->marks.table.file;
    char text[24];
    uint64_t number;
    struct record record = {
        .head = {
            .scope = ahead->scope->scope,
            .key = {missing->key.k[0],
                    file->slot_size == 16 ? 0 : missing->key.k[1]},
            .value = missing->value,
            .at = gray_mark_moment(file, missing->value),
            .revision = gray_mark_of(file, missing->value).revision,
            .reader = RECORD_READER_NONE,
            .kind = missing->settles ? RECORD_SETTLE : RECORD_REPAIR,
        },
        .actor = {"grayd", 5},
        .reason = {"the journal did not have it", 27},
    };

    if (gray_mark_key_number(missing->key, &number) == 0) {
        record.unit.data = text;
        record.unit.length = (uint32_t)snprintf(text, sizeof(text), "%" PRIu64,
                                                number);
    }
    /* The slot stays as it is. */
    batch_add(ahead->marks, ahead->scope, &record, missing->value, false);
}

/* 0, or -1: to be tried again. */
static int write_all(const struct ahead *ahead)
{
    struct marks *marks = ahead->marks;
    int error = marks_drain_all(marks, NULL);

    for (size_t i = 0; i < ahead->count && error == 0; i++) {
        const struct missing *missing = &ahead->missing[i];

        if (!batch_has_room(marks->batch, 128)) {
            error = marks_drain_all(marks, NULL);
        }
        if (error == 0 &&
            scope_peek(ahead->scope, missing->key) == missing->value &&
            !batch_has(marks->batch, ahead->scope, missing->key)) {
            write_one(ahead, missing);
        }
    }
    return error != 0 || marks_drain_all(marks, NULL) != 0 ? -1 : 0;
}

static uint8_t *bytes_for(const struct gray_mark_table *table)
{
    return calloc(table->file != NULL ? table->buckets *
                                            (GRAY_MARKS_BUCKET /
                                             table->slot_size)
                                      : 1,
                  1);
}

static int catch_up(struct marks *marks, struct scope *scope)
{
    struct ahead ahead = {
        .marks = marks,
        .scope = scope,
        .known = {bytes_for(&scope->marks.table),
                  bytes_for(&scope->marks.next)},
    };
    int error = -1;

    if (ahead.known[0] != NULL && ahead.known[1] != NULL &&
        (marks->journal.last == 0 ||
         journal_records(&marks->journal, 1, false, see_record, &ahead,
                         NULL) == 0) &&
        gray_marks_each(&scope->marks, see_slot, &ahead) == 0) {
        error = ahead.count > 0 ? write_all(&ahead) : 0;
    }
    if (error == 0 && ahead.count > 0) {
        grayd_log(LOG_LEVEL_WARN, "marks-ahead",
                  "%s: %zu durable marks stood in the table and not in the "
                  "journal, which is new or an older copy; it has them now, "
                  "by their keys",
                  scope->kept.name, ahead.count);
    }
    free(ahead.known[0]);
    free(ahead.known[1]);
    free(ahead.missing);
    return error;
}

void ahead_step(struct marks *marks)
{
    bool left = false, did = false;

    if (marks->drained == NULL ||
        __atomic_load_n(&marks->drained->sequence, __ATOMIC_ACQUIRE) !=
            UINT64_MAX ||
        atomic_load(&marks->writer) != GRAY_WRITER_OK) {
        return;
    }
    for (size_t i = 0; i < 2 * MARKS_SCOPES_MAX; i++) {
        struct scope *scope = marks->scopes[i];

        if (scope == NULL || !scope->ahead) {
            continue;
        }
        if (!did && scope->known && scope_ready(scope)) {
            scope->ahead = catch_up(marks, scope) != 0;
            did = true;
        }
        left = left || scope->ahead;
    }
    if (!left) {
        marks->behind = false;
        sequence_set(marks, marks->journal.last);
    }
}
