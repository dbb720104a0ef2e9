/* SPDX-License-Identifier: Apache-2.0
 * mark_slot.c - finding, taking and moving one unit's mark.
 *
 * Why: many processes write at once, any of them may be killed between any
 * two instructions, and still a key stands once and a value is whole.
 *
 *   key:   0 -> key, once, by compare-and-swap (wide: then the second word)
 *   value: 0 -> value -> ..., each step by compare-and-swap, each step asked
 *          of mark_moves.def
 *
 * All probe in the same order and take the first free slot.  Keys never go
 * away, so a probe that meets a free slot has seen all there is.  A table that
 * grows closes its free slots and marks its values MOVED: both mean "look in
 * the next table", and neither is ever undone.  Bytes are not believed: every
 * loop here is bounded whatever stands in the table.
 * Read next: mark_grow.c, mark_moves.def.
 */
#include <errno.h>

#include "runtime/mark_slot.h"

#define TRIES                                                                  \
    64u /* lost races of one call; each one is somebody's progress             \
         */
#define BUCKET_WORDS (GRAY_MARKS_BUCKET / 8)

/* ---- moves ------------------------------------------------------------------
 */

static const uint8_t moves[GRAY_SLOT_VOID + 1][GRAY_SLOT_VOID + 1] = {
#define GRAY_MARK_MOVE(FROM, TO, by, when)                                     \
    [GRAY_SLOT_##FROM][GRAY_SLOT_##TO] = GRAY_BY_##by,
#include "runtime/mark_moves.def"
#undef GRAY_MARK_MOVE
};

/* It becomes durable, or is settled once it is (what is not reads HOLD), and
 * nothing else changes. */
static bool may_grow(uint64_t from, uint64_t to)
{
    enum gray_slot_state state = gray_slot_state(to);
    uint64_t change = from ^ to;

    return (to & change) == change &&
           (change == GRAY_SLOT_DURABLE || change == GRAY_SLOT_SETTLED) &&
           (state == GRAY_SLOT_IN || state == GRAY_SLOT_OUT ||
            state == GRAY_SLOT_REVOKED);
}

/* What was told changes, and is said to be over in the same breath: only where
 * the journal is read again, or where both were so before. */
static bool settles_too(uint64_t from, uint64_t to)
{
    return (to & GRAY_SLOT_SETTLED) != 0 &&
           (gray_slot_state(to) == GRAY_SLOT_HOLD ||
            (from != 0 && (from & GRAY_SLOT_SETTLED) == 0));
}

bool gray_mark_may_move(uint64_t from, uint64_t to, enum gray_mark_by by)
{
    enum gray_slot_state old = gray_slot_state(from);
    enum gray_slot_state new = gray_slot_state(to);

    if (((from | to) & GRAY_SLOT_MOVED) != 0 || (to & 7) != new ||
        (to & GRAY_SLOT_RESERVED) != 0 ||
        ((to & GRAY_SLOT_DURABLE) != 0 && by != GRAY_BY_WRITER)) {
        return false;
    }
    if (old == new) {
        return by == GRAY_BY_WRITER && may_grow(from, to);
    }
    if ((moves[old][new] & by) == 0 || settles_too(from, to)) {
        return false;
    }
    if (new == GRAY_SLOT_VOID) {
        return (from & GRAY_SLOT_DURABLE) == 0;
    }
    return old != GRAY_SLOT_REVOKED || by == GRAY_BY_WRITER ||
           gray_slot_attempt(to) > gray_slot_attempt(from);
}

/* ---- where a key stands
 * ------------------------------------------------------ */

static uint64_t home(const struct gray_mark_table *table,
                     struct gray_mark_key key)
{
    uint64_t mixed = gray_mix64(key.k[0] ^ table->secret);

    return (uint64_t)((unsigned __int128)mixed * table->buckets >> 64);
}

/* One slot of a probe. MARK_END: it is another key's. */
static enum mark_place look(const uint64_t *slot, struct gray_mark_key key,
                            uint64_t closed, bool wide)
{
    uint64_t first = mark_load(slot), second;

    if (first != key.k[0]) {
        return first == 0        ? MARK_FREE
               : first == closed ? MARK_CLOSED
                                 : MARK_END;
    }
    if (!wide) {
        return MARK_HERE;
    }
    second = mark_load(slot + 1);
    return second == key.k[1]           ? MARK_HERE
           : second == 0                ? MARK_FREE
           : second == MARK_CLOSED_WIDE ? MARK_CLOSED
                                        : MARK_END;
}

enum mark_place runtime_mark_probe(const struct gray_mark_table *table,
                                   struct gray_mark_key key,
                                   uint64_t **ret_slot)
{
    uint64_t *slots = (uint64_t *)(void *)table->slots;
    uint64_t reach =
        table->buckets < GRAY_MARKS_REACH ? table->buckets : GRAY_MARKS_REACH;
    uint64_t closed = runtime_mark_closed();
    uint64_t bucket = home(table, key);
    uint32_t words = mark_slot_words(table), i;

    for (; reach > 0; reach--) {
        uint64_t *slot = slots + bucket * BUCKET_WORDS;

        for (i = 0; i < BUCKET_WORDS; i += words) {
            enum mark_place place =
                look(slot + i, key, closed, table->slot_size == 32);

            if (place != MARK_END) {
                *ret_slot = slot + i;
                return place;
            }
        }
        bucket = bucket + 1 < table->buckets ? bucket + 1 : 0;
    }
    *ret_slot = NULL;
    return MARK_END;
}

enum mark_place runtime_mark_claim(const struct gray_mark_table *table,
                                   struct gray_mark_key key, uint64_t limit,
                                   uint64_t **ret_slot)
{
    uint64_t *used = &table->live->used;
    uint32_t tries;

    for (tries = 0; tries < TRIES; tries++) {
        enum mark_place place = runtime_mark_probe(table, key, ret_slot);
        uint64_t *slot = *ret_slot;
        uint64_t found = 0;

        if (place != MARK_FREE) {
            return place;
        }
        if (mark_load(slot) == 0) {
            if (__atomic_load_n(used, __ATOMIC_RELAXED) >= limit) {
                return MARK_END;
            }
            if (mark_swap(slot, &found, key.k[0])) {
                __atomic_fetch_add(used, 1, __ATOMIC_RELAXED);
            }
        }
        if (mark_load(slot) != key.k[0]) {
            continue; /* another key was faster: the next free one */
        }
        found = 0;
        if (table->slot_size == 16 || mark_swap(slot + 1, &found, key.k[1]) ||
            found == key.k[1]) {
            return MARK_HERE;
        }
    }
    return MARK_BUSY;
}

bool runtime_mark_close(const struct gray_mark_table *table, uint64_t *slot)
{
    uint64_t closed = runtime_mark_closed(), found = 0;

    if (mark_swap(slot, &found, closed) || found == closed) {
        return true;
    }
    if (table->slot_size == 16) {
        return false;
    }
    found = 0;
    return mark_swap(slot + 1, &found, MARK_CLOSED_WIDE) ||
           found == MARK_CLOSED_WIDE;
}

/* ---- find
 * ------------------------------------------------------------------------- */

void gray_mark_prefetch(const struct gray_marks *marks,
                        struct gray_mark_key key)
{
    if (marks->table.file != NULL) {
        __builtin_prefetch(marks->table.slots +
                           home(&marks->table, key) * GRAY_MARKS_BUCKET);
    }
    if (marks->next.file != NULL) {
        __builtin_prefetch(marks->next.slots +
                           home(&marks->next, key) * GRAY_MARKS_BUCKET);
    }
}

/* Most keys stand, or would stand, in the first slot that is looked at.
 * False: look further. */
static inline bool find_first(const struct gray_mark_table *table,
                              struct gray_mark_key key, uint64_t *ret_value)
{
    const uint64_t *slot;
    uint64_t first;

    if (table->slot_size != 16 || table->file == NULL ||
        __atomic_load_n(&table->live->state, __ATOMIC_ACQUIRE) !=
            GRAY_TABLE_READY) {
        return false;
    }
    slot = (const uint64_t *)(const void *)table->slots +
           home(table, key) * BUCKET_WORDS;
    first = mark_load(slot);
    *ret_value = first == key.k[0] ? mark_load(slot + 1) : 0;
    return first == 0 ||
           (first == key.k[0] && (*ret_value & GRAY_SLOT_MOVED) == 0);
}

/* MARK_FREE: absent; MARK_CLOSED, MARK_END: to be looked for in the next. */
static enum mark_place find_in(const struct gray_mark_table *table,
                               struct gray_mark_key key, uint64_t *ret_value)
{
    uint64_t *slot;
    enum mark_place place = runtime_mark_probe(table, key, &slot);
    uint64_t value;

    if (place != MARK_HERE) {
        return place;
    }
    value = mark_load(mark_slot_value(table, slot));
    if ((value & GRAY_SLOT_MOVED) != 0) {
        return MARK_CLOSED;
    }
    if (value == 0 || gray_slot_state(value) == GRAY_SLOT_VOID) {
        return MARK_FREE;
    }
    *ret_value = value;
    return MARK_HERE;
}

static __attribute__((noinline)) enum gray_mark_found
find_further(const struct gray_marks *marks, struct gray_mark_key key,
             uint64_t *ret_value)
{
    const struct gray_mark_table *table = &marks->table;

    while (gray_mark_table_state(table) == GRAY_TABLE_READY) {
        enum mark_place place = find_in(table, key, ret_value);

        if (place == MARK_HERE) {
            return GRAY_FIND_FOUND;
        }
        if (place == MARK_FREE) {
            return GRAY_FIND_ABSENT;
        }
        if (table == &marks->next) {
            break;
        }
        table = &marks->next;
    }
    return GRAY_FIND_UNKNOWN;
}

enum gray_mark_found gray_mark_find(const struct gray_marks *marks,
                                    struct gray_mark_key key,
                                    uint64_t *ret_value)
{
    uint64_t value;

    if (!find_first(&marks->table, key, &value)) {
        return find_further(marks, key, ret_value);
    }
    if (value == 0 || gray_slot_state(value) == GRAY_SLOT_VOID) {
        return GRAY_FIND_ABSENT;
    }
    *ret_value = value;
    return GRAY_FIND_FOUND;
}

/* ---- room ----- */

/* So many keys may stand in a table before nobody new is put there. */
static uint64_t full(const struct gray_mark_table *table)
{
    return gray_mark_table_room(table) / 100 * GRAY_MARKS_FULL_PERCENT;
}

/* While it grows, whatever stands in the old table must find room in the next
 * one: together they take no more than that has room for. */
static uint64_t limit_of(const struct gray_marks *marks,
                         const struct gray_mark_table *table)
{
    bool old = table == &marks->table;
    uint64_t limit = full(table), both, other;

    if (marks->next.file == NULL) {
        return limit;
    }
    both = full(&marks->next);
    other = gray_mark_table_used(old ? &marks->next : &marks->table);
    both = both > other ? both - other : 0;
    return limit < both ? limit : both;
}

bool gray_marks_full(const struct gray_marks *marks)
{
    const struct gray_mark_table *table =
        marks->next.file != NULL ? &marks->next : &marks->table;

    return gray_mark_table_used(table) >= limit_of(marks, table);
}

/* ---- take and move
 * ------------------------------------------------------------------- */

struct want {
    struct gray_mark_key key;
    uint64_t from, to;
    enum gray_mark_by by;
    bool take; /* from whatever `by` may move; else exactly `from` */
};
#define GO_ON 2 /* to the next table */

static int change_value(const struct want *want, uint64_t *place,
                        uint64_t *ret_found)
{
    uint64_t found = mark_load(place);
    uint32_t tries;

    for (tries = 0; tries < TRIES; tries++) {
        if ((found & GRAY_SLOT_MOVED) != 0) {
            return GO_ON;
        }
        if (want->take ? !gray_mark_may_move(found, want->to, want->by)
                       : found != want->from) {
            *ret_found = found;
            return 1;
        }
        if (mark_swap(place, &found, want->to)) {
            return 0;
        }
    }
    return -EAGAIN;
}

static int change_in(const struct gray_marks *marks,
                     const struct gray_mark_table *table,
                     const struct want *want, uint64_t *ret_found)
{
    bool grows = table == &marks->table && marks->next.file != NULL;
    bool claims = want->take || want->from == 0;
    uint64_t limit = claims ? limit_of(marks, table) : 0;
    uint32_t tries;

    for (tries = 0; tries < TRIES; tries++) {
        uint64_t *slot = NULL;
        enum mark_place place =
            claims ? runtime_mark_claim(table, want->key, limit, &slot)
                   : runtime_mark_probe(table, want->key, &slot);

        switch (place) {
        case MARK_HERE:
            return change_value(want, mark_slot_value(table, slot), ret_found);
        case MARK_CLOSED:
            return grows ? GO_ON : -EAGAIN;
        case MARK_FREE:
            return -ENOENT;
        case MARK_BUSY:
            return -EAGAIN;
        case MARK_END:
            break;
        }
        if (!grows) {
            return claims ? -ENOSPC : -ENOENT;
        }
        /* Full while it grows: the copier would close this slot anyway. */
        if (slot == NULL || runtime_mark_close(table, slot)) {
            return GO_ON;
        }
    }
    return -EAGAIN;
}

static int change(const struct gray_marks *marks, const struct want *want,
                  uint64_t *ret_found)
{
    const struct gray_mark_table *table = &marks->table;
    int error;

    for (;;) {
        enum gray_table_state state = gray_mark_table_state(table);

        if (state == 0 ||
            (want->by != GRAY_BY_WRITER && state != GRAY_TABLE_READY)) {
            return -EAGAIN;
        }
        if (!table->writable) {
            return -EPERM;
        }
        error = change_in(marks, table, want, ret_found);
        if (error != GO_ON) {
            return error;
        }
        if (table == &marks->next || marks->next.file == NULL) {
            return -EAGAIN;
        }
        table = &marks->next;
    }
}

int gray_mark_take(const struct gray_marks *marks, struct gray_mark_key key,
                   uint64_t value, uint64_t *ret_found)
{
    struct want want = {
        .key = key, .to = value, .by = GRAY_BY_READER, .take = true};
    enum gray_slot_state state = gray_slot_state(value);

    if (!gray_mark_may_move(0, value, GRAY_BY_READER) ||
        (state != GRAY_SLOT_PENDING && state != GRAY_SLOT_IN &&
         state != GRAY_SLOT_OUT)) {
        return -EINVAL;
    }
    return change(marks, &want, ret_found);
}

int gray_mark_move(const struct gray_marks *marks, struct gray_mark_key key,
                   uint64_t from, uint64_t to, enum gray_mark_by by,
                   uint64_t *ret_found)
{
    struct want want = {.key = key, .from = from, .to = to, .by = by};

    if (!gray_mark_may_move(from, to, by)) {
        return -EINVAL;
    }
    return change(marks, &want, ret_found);
}

/* ---- every one
 * -------------------------------------------------------------------------- */

/* Does the old table still answer for this key? */
static bool stands_in(const struct gray_mark_table *old,
                      struct gray_mark_key key)
{
    uint64_t *slot;

    return old != NULL && runtime_mark_probe(old, key, &slot) == MARK_HERE &&
           (mark_load(mark_slot_value(old, slot)) & GRAY_SLOT_MOVED) == 0;
}

static int each_in(const struct gray_mark_table *table,
                   const struct gray_mark_table *old, gray_mark_visit *visit,
                   void *context)
{
    uint32_t words = mark_slot_words(table);
    uint64_t *slot = (uint64_t *)(void *)table->slots;
    uint64_t *end = slot + table->buckets * BUCKET_WORDS;
    uint64_t closed = runtime_mark_closed();

    for (; slot < end; slot += words) {
        struct gray_mark_key key = {{mark_load(slot), 1}};
        uint64_t value = mark_load(mark_slot_value(table, slot));
        int stop;

        if (words == 4) {
            key.k[1] = mark_load(slot + 1);
        }
        if (key.k[0] == 0 || key.k[0] == closed || key.k[1] == 0 ||
            key.k[1] == MARK_CLOSED_WIDE || value == 0 ||
            (value & GRAY_SLOT_MOVED) != 0 || stands_in(old, key)) {
            continue;
        }
        stop = visit(context, key, value);
        if (stop != 0) {
            return stop;
        }
    }
    return 0;
}

int gray_marks_each(const struct gray_marks *marks, gray_mark_visit *visit,
                    void *context)
{
    int stop = 0;

    if (marks->table.file != NULL) {
        stop = each_in(&marks->table, NULL, visit, context);
    }
    if (stop == 0 && marks->next.file != NULL) {
        stop = each_in(&marks->next,
                       marks->table.file != NULL ? &marks->table : NULL, visit,
                       context);
    }
    return stop;
}
