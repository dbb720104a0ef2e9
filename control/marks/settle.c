/* SPDX-License-Identifier: Apache-2.0
 * settle.c - a record that was taken, the journal, and then its slot.
 *
 * Why: the table is what people were told, so the table is journaled, and a
 * record only says who, when and by which name.  A record is of a slot when
 * the slot has its very value; one that was overtaken, voided or never put
 * was never answered and is nothing.  It is pushed before its slot is taken,
 * so one without a slot is looked at again for a while (limbo).
 *   slot             journal       then
 *   PENDING          its answer -> IN or OUT, durable
 *   IN, OUT          as it is   -> durable
 *   VOID in between  and VOID      (as a record of the next batch)
 *   IN of a scope whose freeze is settled: VOID, never journaled.
 * Read next: docs/marks.md, drain.c, journal.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/marks/redis.h"

#define VOIDED_MS 1000 /* who takes a void slot again does so sooner */

/* ---- the batch ------------------------------------------------------------- */

bool batch_has_room(const struct batch *batch, size_t text)
{
    return batch->count < JOURNAL_BATCH_MAX &&
           text <= batch->text_room - batch->text_length;
}

void batch_clear(struct batch *batch)
{
    memset(batch->seen, 0, sizeof(batch->seen));
    batch->count = batch->scope_count = batch->ring_count = 0;
    batch->text_length = 0;
    batch->waits = batch->whole = false;
}

#define SEEN_SIZE (4u * JOURNAL_BATCH_MAX)

/* Its place in `seen`: where it stands, or would. */
static size_t seen_place(const struct batch *batch, const struct scope *scope,
                         struct gray_mark_key key)
{
    size_t at = (size_t)gray_mix64(key.k[0] ^ scope->scope) % SEEN_SIZE;

    while (batch->seen[at] != 0) {
        const struct entry *entry = &batch->entries[batch->seen[at] - 1];

        if (entry->scope == scope && entry->key.k[0] == key.k[0] &&
            entry->key.k[1] == key.k[1]) {
            break;
        }
        at = (at + 1) % SEEN_SIZE;
    }
    return at;
}

bool batch_has(const struct batch *batch, const struct scope *scope,
               struct gray_mark_key key)
{
    return batch->seen[seen_place(batch, scope, key)] != 0;
}

static struct gray_str text_keep(struct batch *batch, struct gray_str text)
{
    char *to = batch->texts + batch->text_length;

    if (text.length > 0) {
        memcpy(to, text.data, text.length);
    }
    batch->text_length += text.length;
    return (struct gray_str){to, text.length};
}

void batch_add(struct marks *marks, struct scope *scope,
               const struct record *record, uint64_t from, bool moves)
{
    struct batch *batch = marks->batch;
    struct gray_mark_key key = {{record->head.key[0], record->head.key[1]}};
    size_t at = batch->count, place = seen_place(batch, scope, key);
    struct record *kept = &batch->records[at];

    *kept = *record;
    kept->unit = text_keep(batch, record->unit);
    kept->actor = text_keep(batch, record->actor);
    kept->reason = text_keep(batch, record->reason);
    batch->entries[at] = (struct entry){
        .scope = scope,
        .key = key,
        .from = from,
        .to = record->head.value,
        .moves = moves,
    };
    batch->seen[place] = at + 1;
    batch->count++;
}

/* ---- what a record leads to --------------------------------------------------- */

static bool is_closed(const struct scope *scope)
{
    return (scope->kept.state & JOURNAL_SCOPE_CLOSED) != 0;
}

/* The slot has the record's value and is not durable: into the batch, or, when
 * it comes after the freeze, out of sight.  False: to be looked at again. */
static bool consider(struct marks *marks, struct scope *scope,
                     uint32_t reader, const struct gray_ring_record *r,
                     struct gray_str unit, uint64_t value)
{
    struct gray_mark_key key = {{r->key[0], r->key[1]}};
    enum gray_slot_state state = gray_slot_state(value);
    uint64_t found;
    struct record record = {
        .head = {
            .scope = r->scope,
            .key = {r->key[0], r->key[1]},
            .at = r->now,
            .revision = r->revision,
            .reader = reader,
            .entrance = r->entrance,
            .reason_code = (uint16_t)r->reason,
            .kind = RECORD_ADMIT,
            .stage = r->stage,
            .space = r->space,
        },
        .unit = unit,
    };

    if (state == GRAY_SLOT_EMPTY || state == GRAY_SLOT_VOID ||
        (state == GRAY_SLOT_REVOKED &&
         gray_slot_attempt(value) < r->attempt)) {
        return false; /* it is not there yet, or was voided, perhaps before */
    }
    if ((value & GRAY_SLOT_DURABLE) != 0 ||
        (state != GRAY_SLOT_PENDING && state != GRAY_SLOT_IN &&
         state != GRAY_SLOT_OUT)) {
        return true; /* it is in the journal, or was voided */
    }
    if (slot_plain(value) != slot_plain(r->value)) {
        atomic_fetch_add(&scope->counts.overtaken, 1);
        return true;
    }
    if (state == GRAY_SLOT_PENDING) {
        state = (enum gray_slot_state)r->state;
    }
    if (state == GRAY_SLOT_IN && is_closed(scope)) {
        if (gray_mark_move(&scope->marks, key, value,
                           slot_with(value, GRAY_SLOT_VOID, false),
                           GRAY_BY_WRITER, &found) == 0) {
            atomic_fetch_add(&scope->counts.late, 1);
        }
        marks->batch->waits = true;
        return true;
    }
    if (batch_has(marks->batch, scope, key)) {
        return false; /* by another record, or its VOID: after the commit */
    }
    record.head.value = slot_with(value, state, true);
    marks->batch->waits |= gray_slot_state(value) == GRAY_SLOT_PENDING;
    batch_add(marks, scope, &record, value, true);
    return true;
}

/* ---- those that may not write themselves ------------------------------------------ */

static bool may_ask(const struct marks *marks, const struct scope *scope,
                    const struct gray_ring_record *r, bool *ret_strict)
{
    const struct journal_scope *kept = &scope->kept;
    uint32_t word = scope_word(marks, scope);
    bool in = r->state == GRAY_SLOT_IN;
    int32_t left = (int32_t)(r->until - (uint32_t)marks_monotonic_ms());

    *ret_strict = kept->durability == GRAY_DURABLE_STRICT ||
                  (kept->flags & GRAY_MARKS_SHARED) != 0;
    return scope->listed && r->attempt == kept->attempt &&
           r->variant < kept->variants &&
           (in || kept->stickiness == GRAY_STICKY_ENTITY) &&
           /* Who begins outside stays outside, whatever stops the release. */
           (word == GRAY_WORD_OPEN || !in) &&
           !(in && is_closed(scope)) && r->revision <= marks->revision &&
           left > 0; /* who gave up may have been told something since */
}

/* Takes the slot for an application: 0 and *value, what stands there now. */
static int ask(struct marks *marks, struct scope *scope,
               struct gray_ring_record *r, uint64_t *ret_value)
{
    struct gray_mark_key key = {{r->key[0], r->key[1]}};
    bool strict = false;
    uint64_t wanted, found = 0;
    int taken = -EPERM;

    if (may_ask(marks, scope, r, &strict)) {
        wanted = gray_mark_value(scope->marks.table.file,
                                 strict ? GRAY_SLOT_PENDING
                                        : (enum gray_slot_state)r->state,
                                 r->attempt, r->variant, r->revision, r->now);
        r->value = wanted;
        taken = gray_mark_take(&scope->marks, key, wanted, &found);
    }
    if (taken < 0) {
        atomic_fetch_add(&scope->counts.refused, 1);
        marks->batch->waits = true; /* for an answer, be it no */
        return -EPERM;
    }
    *ret_value = taken == 0 ? r->value : found;
    return 0;
}

/* ---- limbo ------------------------------------------------------------------------- */

static void limbo_give_up(struct scope *scope,
                          const struct gray_ring_record *record)
{
    if (record->kind == GRAY_RING_SETTLED) {
        atomic_fetch_add(&scope->counts.nobody, 1);
    } else {
        atomic_fetch_add(&scope->counts.unseen, 1);
        scope->swept = false; /* whoever comes is found by a sweep */
    }
}

static void limbo_add(struct marks *marks, uint32_t reader,
                      const struct gray_ring_record *record,
                      struct gray_str unit)
{
    struct limbo *limbo;

    if (marks->limbo_count == MARKS_LIMBO_MAX ||
        (limbo = malloc(sizeof(*limbo) + unit.length)) == NULL) {
        limbo_give_up(scope_find(marks, record->scope), record);
        return;
    }
    limbo->record = *record;
    limbo->reader = reader;
    limbo->since = marks_monotonic_ms();
    limbo->next = limbo->since;
    memcpy(limbo->unit, unit.data, unit.length);
    marks->limbo[marks->limbo_count++] = limbo;
}

/* Looks at the slot. False: it is not there yet. */
static bool look(struct marks *marks, struct scope *scope, uint32_t reader,
                 const struct gray_ring_record *record, struct gray_str unit)
{
    struct gray_mark_key key = {{record->key[0], record->key[1]}};
    struct gray_ring_record own = *record;
    uint64_t value = 0;

    if (!scope_ready(scope)) {
        return false;
    }
    if (record->kind == GRAY_RING_SETTLED) {
        return settled_heard(marks, scope, reader, record, unit);
    }
    if (record->kind == GRAY_RING_ASKED) {
        return ask(marks, scope, &own, &value) != 0 ||
               consider(marks, scope, reader, &own, unit, value);
    }
    return consider(marks, scope, reader, &own, unit, scope_peek(scope, key));
}

/* Its waiter's time was over, and nobody has taken it again since. */
static bool was_voided(const struct scope *scope,
                       const struct gray_ring_record *record)
{
    struct gray_mark_key key = {{record->key[0], record->key[1]}};

    return record->kind != GRAY_RING_SETTLED &&
           scope_peek(scope, key) ==
               slot_with(record->value, GRAY_SLOT_VOID, false);
}

void settle_limbo_now(struct marks *marks)
{
    for (size_t i = 0; i < marks->limbo_count; i++) {
        marks->limbo[i]->next = 0;
    }
}

bool settle_limbo_left(const struct marks *marks)
{
    for (size_t i = 0; i < marks->limbo_count; i++) {
        if (marks->limbo[i]->next == 0) {
            return true;
        }
    }
    return false;
}

void settle_limbo(struct marks *marks)
{
    int64_t now = marks_monotonic_ms();
    size_t kept = 0;

    for (size_t i = 0; i < marks->limbo_count; i++) {
        struct limbo *limbo = marks->limbo[i];
        struct scope *scope = scope_find(marks, limbo->record.scope);
        struct gray_str unit = {limbo->unit, limbo->record.unit_length};
        int64_t age = now - limbo->since;
        bool done = scope == NULL;

        if (!done && now >= limbo->next &&
            batch_has_room(marks->batch, unit.length)) {
            limbo->next = now + 1 + age / 4;
            done = look(marks, scope, limbo->reader, &limbo->record, unit) ||
                   (age > VOIDED_MS && was_voided(scope, &limbo->record));
            if (!done && age > MARKS_LIMBO_MS && scope_ready(scope)) {
                limbo_give_up(scope, &limbo->record);
                done = true;
            }
        }
        if (done) {
            free(limbo);
        } else {
            marks->limbo[kept++] = limbo;
        }
    }
    marks->limbo_count = kept;
}

void settle_take(struct marks *marks, uint32_t reader,
                 const struct gray_ring_record *record, struct gray_str unit)
{
    struct scope *scope = scope_find(marks, record->scope);
    struct gray_mark_key key;

    if (scope == NULL || scope->marks.table.file == NULL) {
        atomic_fetch_add(&marks->strays, 1);
        return;
    }
    /* The text must be the key's, or anybody could put any name to a mark;
     * who says that a unit is over has no key. */
    key = gray_mark_key(scope->marks.table.file, record->space, unit);
    if (record->kind != GRAY_RING_SETTLED &&
        (key.k[0] != record->key[0] ||
         (scope->kept.slot_size == 32 && key.k[1] != record->key[1]))) {
        atomic_fetch_add(&marks->bad_records, 1);
        return;
    }
    if (!look(marks, scope, reader, record, unit)) {
        limbo_add(marks, reader, record, unit);
    }
}

/* ---- commit -------------------------------------------------------------------------- */

void settle_voids(struct marks *marks)
{
    size_t done = 0;

    while (done < marks->void_count && batch_has_room(marks->batch, 0)) {
        struct scope *scope = marks->voids[done].scope;
        struct record record = {
            .head = {
                .scope = scope->scope,
                .key = {marks->voids[done].key.k[0],
                        marks->voids[done].key.k[1]},
                .value = slot_with(marks->voids[done].value, GRAY_SLOT_VOID,
                                   false),
                .at = marks->now_ms(),
                .reader = RECORD_READER_NONE,
                .kind = RECORD_VOID,
            },
        };

        batch_add(marks, scope, &record, 0, false);
        done++;
    }
    marks->void_count -= done;
    memmove(marks->voids, marks->voids + done,
            marks->void_count * sizeof(marks->voids[0]));
}

/* Each scope of the batch once, as it will be. */
static void batch_scopes(struct marks *marks)
{
    struct batch *batch = marks->batch;

    batch->scope_count = 0;
    for (size_t i = 0; i < batch->count; i++) {
        const struct scope *scope = batch->entries[i].scope;
        size_t at = batch->scope_count;

        while (at > 0 && batch->scopes[at - 1].scope != scope->scope) {
            at--;
        }
        if (at == 0) {
            at = ++batch->scope_count;
            batch->scopes[at - 1] = scope->kept;
        }
        batch->scopes[at - 1].records++;
        batch->scopes[at - 1].last = marks->journal.last + 1 + i;
    }
}

static void void_later(struct marks *marks, const struct entry *entry)
{
    atomic_fetch_add(&entry->scope->counts.voided, 1);
    /* No more than a batch, which is written before the next one is taken. */
    marks->voids[marks->void_count].scope = entry->scope;
    marks->voids[marks->void_count].key = entry->key;
    marks->voids[marks->void_count++].value = entry->to;
}

void settle_slots(struct marks *marks)
{
    const struct batch *batch = marks->batch;

    for (size_t i = 0; i < batch->count; i++) {
        const struct entry *entry = &batch->entries[i];
        uint64_t found = 0;
        int result;

        if (!entry->moves) {
            continue;
        }
        result = gray_mark_move(&entry->scope->marks, entry->key, entry->from,
                                entry->to, GRAY_BY_WRITER, &found);
        /* Only a waiter moves what is not durable, and only to VOID. */
        if (result == 1 &&
            batch->records[i].head.kind == RECORD_ADMIT &&
            slot_plain(found) != slot_plain(entry->to)) {
            void_later(marks, entry);
        } else if (result < 0) {
            entry->scope->swept = false;
        }
    }
}

static void wake_readers(struct marks *marks)
{
    uint32_t count = 0;
    bool all;

    for (uint32_t i = 0; i < MARKS_READERS_MAX; i++) {
        count += marks->readers[i] != NULL ? 1 : 0;
    }
    all = marks->batch->waits && count <= MARKS_WAKE_ALL;
    for (uint32_t i = 0; i < MARKS_READERS_MAX; i++) {
        struct reader *reader = marks->readers[i];

        if (reader != NULL && (all || (reader->woken && marks->batch->waits))) {
            runtime_reader_wake(marks->readers_fd, reader->id);
        }
        if (reader != NULL) {
            reader->woken = false;
        }
    }
}

int settle_commit(struct marks *marks, struct gray_problem *ret_problem)
{
    struct batch *batch = marks->batch;

    if (!batch->whole) {
        redis_ask(marks);
    }
    if (batch->count > 0) {
        struct journal_batch what = {
            .records = batch->records,
            .record_count = batch->count,
            .scopes = batch->scopes,
            .rings = batch->rings,
        };
        int error;

        readers_tails(marks);
        batch_scopes(marks);
        what.scope_count = batch->scope_count;
        what.ring_count = batch->ring_count;
        batch->whole = true;
        failpoint("marks-before-commit");
        error = journal_append(&marks->journal, &what, ret_problem);
        if (error != 0) {
            return error;
        }
        failpoint("marks-committed");
        atomic_fetch_add(&marks->commits, 1);
        atomic_store(&marks->sequence, marks->journal.last);
        for (size_t i = 0; i < batch->scope_count; i++) {
            scope_kept(scope_find(marks, batch->scopes[i].scope),
                       &batch->scopes[i]);
        }
        ahead_committed(marks);
        settle_slots(marks);
        failpoint("marks-settled");
    }
    readers_committed(marks);
    wake_readers(marks);
    failpoint("marks-told");
    batch_clear(batch);
    return 0;
}
