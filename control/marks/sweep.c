/* SPDX-License-Identifier: Apache-2.0
 * sweep.c - marks that stand in a table and whose record nobody has.
 *
 * Why: a record may be lost with its reader's file, and a worker that was
 * stopped for minutes takes its slot long after its record was given up.  Such
 * a mark was answered and must become durable; its unit's text is gone, unless
 * it is a number, and its key is not.  Found is what is not durable before all
 * rings are taken and still not after: a record lies in its ring before its
 * slot can be seen.  One that is PENDING was never answered, and is void.
 * Read next: settle.c.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/marks/internal.h"

#define FOUND_MAX 65536u
#define AGAIN_MS 5000     /* between two sweeps of a scope */

struct found {
    struct gray_mark_key key;
    uint64_t value;
};
struct sweep {
    struct marks *marks;
    struct found *found;
    size_t count;
    uint64_t seen;
};

static int sweep_visit(void *context, struct gray_mark_key key, uint64_t value)
{
    struct sweep *sweep = context;
    enum gray_slot_state state = gray_slot_state(value);

    if (sweep->seen++ % MARKS_BEAT_EVERY == 0) {
        marks_beat(sweep->marks);
    }
    if ((value & GRAY_SLOT_DURABLE) != 0 ||
        (state != GRAY_SLOT_PENDING && state != GRAY_SLOT_IN &&
         state != GRAY_SLOT_OUT)) {
        return 0;
    }
    sweep->found[sweep->count++] = (struct found){key, value};
    return sweep->count == FOUND_MAX ? 1 : 0;
}

static bool in_limbo(const struct marks *marks, const struct scope *scope,
                     struct gray_mark_key key)
{
    for (size_t i = 0; i < marks->limbo_count; i++) {
        const struct gray_ring_record *record = &marks->limbo[i]->record;

        if (record->scope == scope->scope && record->key[0] == key.k[0] &&
            record->key[1] == key.k[1]) {
            return true;
        }
    }
    return false;
}

static bool is_void(const struct scope *scope, enum gray_slot_state state)
{
    return state == GRAY_SLOT_PENDING ||
           (state == GRAY_SLOT_IN &&
            (scope->kept.state & JOURNAL_SCOPE_CLOSED) != 0);
}

static void adopt(struct marks *marks, struct scope *scope,
                  const struct found *found)
{
    const struct gray_marks_file *file = scope->marks.table.file;
    enum gray_slot_state state = gray_slot_state(found->value);
    uint64_t other, number;
    char text[24];
    struct record record = {
        .head = {
            .scope = scope->scope,
            .key = {found->key.k[0], found->key.k[1]},
            .value = slot_with(found->value, state, true),
            .at = gray_mark_moment(file, found->value),
            .revision = gray_mark_of(file, found->value).revision,
            .reader = RECORD_READER_NONE,
            .kind = RECORD_ADMIT,
        },
    };

    if (file->slot_size == 16) {
        record.head.key[1] = 0;
    }
    if (gray_mark_key_number(found->key, &number) == 0) {
        record.unit.data = text;
        record.unit.length = (uint32_t)snprintf(text, sizeof(text), "%" PRIu64,
                                                number);
    }
    if (scope_peek(scope, found->key) != found->value ||
        in_limbo(marks, scope, found->key)) {
        return;
    }
    if (is_void(scope, state)) {
        if (gray_mark_move(&scope->marks, found->key, found->value,
                           slot_with(found->value, GRAY_SLOT_VOID, false),
                           GRAY_BY_WRITER, &other) == 0) {
            atomic_fetch_add(&scope->counts.voided, 1);
        }
        return;
    }
    if (!batch_has(marks->batch, scope, found->key)) {
        batch_add(marks, scope, &record, found->value, true);
    }
}

static void sweep_scope(struct marks *marks, struct scope *scope)
{
    struct sweep sweep = {
        .marks = marks,
        .found = malloc(FOUND_MAX * sizeof(*sweep.found)),
    };

    if (sweep.found == NULL) {
        return;
    }
    scope->swept = true; /* what comes from here on asks for another */
    scope->sweep_at = marks_monotonic_ms() + AGAIN_MS;
    if (gray_marks_each(&scope->marks, sweep_visit, &sweep) == 1) {
        scope->swept = false; /* the rest is another sweep's */
        scope->sweep_at = 0;
    }
    if (sweep.count > 0 && marks_drain_all(marks, NULL) != 0) {
        scope->swept = false;
    } else {
        for (size_t i = 0; i < sweep.count; i++) {
            if (!batch_has_room(marks->batch, 0) &&
                marks_drain_all(marks, NULL) != 0) {
                scope->swept = false;
                break;
            }
            adopt(marks, scope, &sweep.found[i]);
        }
    }
    free(sweep.found);
}

void sweep_soon(struct marks *marks)
{
    for (size_t i = 0; i < 2 * MARKS_SCOPES_MAX; i++) {
        if (marks->scopes[i] != NULL) {
            marks->scopes[i]->swept = false;
        }
    }
}

void sweep_step(struct marks *marks)
{
    int64_t now = marks_monotonic_ms();

    if (atomic_load(&marks->writer) != GRAY_WRITER_OK) {
        return;
    }
    for (size_t i = 0; i < 2 * MARKS_SCOPES_MAX; i++) {
        struct scope *scope = marks->scopes[i];

        if (scope != NULL && !scope->swept && now >= scope->sweep_at &&
            scope_ready(scope)) {
            sweep_scope(marks, scope);
            break; /* one a round */
        }
    }
}
