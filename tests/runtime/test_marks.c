/* SPDX-License-Identifier: Apache-2.0
 * test_marks.c - one mark table: keys, slots, every move, and no other.
 *
 * Why: whatever a unit was told stays true only as long as these few functions
 * do exactly what docs/marks.md says, in both forms of a slot.
 * Read next: runtime/mark_slot.c; test_mark_table.c.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/runtime/folder.h"
#include "tests/runtime/tables.h"

struct world {
    struct tables tables;
    struct gray_marks narrow, wide;
    struct gray_marks *forms[2];
};

static int world_make(void **state)
{
    struct world *world = calloc(1, sizeof(*world));

    tables_begin(&world->tables);
    tables_make(&world->tables, 1, 16, 1000, &world->narrow.table);
    tables_make(&world->tables, 2, 32, 1000, &world->wide.table);
    world->forms[0] = &world->narrow;
    world->forms[1] = &world->wide;
    *state = world;
    return 0;
}

static int world_end(void **state)
{
    struct world *world = *state;

    tables_unmap(&world->narrow);
    tables_unmap(&world->wide);
    tables_end(&world->tables);
    free(world);
    return 0;
}

/* ---- keys --------------------------------------------------------------------- */

static void a_number_is_its_key_exactly(void **state)
{
    static const uint64_t numbers[] = { 0, 1, 9, 10, 1007, UINT32_MAX,
                                        INT64_MAX - 2, INT64_MAX - 1 };
    struct world *world = *state;
    struct gray_mark_table *table = &world->wide.table;
    uint64_t found;
    size_t i;

    for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        struct gray_mark_key key = key_number(table, numbers[i]);

        assert_int_equal(gray_mark_key_number(key, &found), 0);
        assert_int_equal(found, numbers[i]);
        assert_int_equal(key.k[0], gray_mix64(numbers[i] + 1));
        assert_int_not_equal(key.k[0], 0);
        assert_int_not_equal(key.k[0], runtime_mark_closed());
        assert_int_equal(key.k[1], 1);
    }
}

static void what_only_looks_like_a_number_is_a_text(void **state)
{
    static const char *const texts[] = {
        "", "00", "01", "-1", "+1", " 1", "1 ", "1.0", "0x1", "9223372036854775807",
        "9223372036854775808", "18446744073709551616", "99999999999999999999",
        "alice", "\xe4\xb8\xad",
    };
    struct world *world = *state;
    struct gray_mark_table *table = &world->wide.table;
    uint64_t found;
    size_t i, j;

    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct gray_mark_key key = key_text(table, texts[i]);

        assert_int_equal(gray_mark_key_number(key, &found), -1);
        assert_int_not_equal(key.k[0], 0);
        assert_int_not_equal(key.k[0], runtime_mark_closed());
        assert_int_not_equal(key.k[1], 0);
        assert_int_not_equal(key.k[1], MARK_CLOSED_WIDE);
        for (j = 0; j < i; j++) {
            assert_int_not_equal(key.k[0], key_text(table, texts[j]).k[0]);
        }
    }
}

/* Every length, and at every place of it every byte: the digits are read at
 * once where there are four to eight of them. */
static void each_byte_of_a_number_counts(void **state)
{
    struct world *world = *state;
    const struct gray_marks_file *file = world->wide.table.file;
    char text[20];

    for (uint32_t length = 1; length < 20; length++) {
        for (uint32_t at = 0; at < length; at++) {
            memcpy(text, "4816259370481625937", 19);
            for (int byte = 0; byte < 256; byte++) {
                struct gray_str unit = { text, length };
                bool number = byte >= '0' && byte <= '9' &&
                              (at != 0 || byte != '0' || length == 1);
                uint64_t wanted = 0, found;

                text[at] = (char)byte;
                for (uint32_t i = 0; i < length; i++) {
                    wanted = wanted * 10 + (uint64_t)(text[i] - '0');
                }
                number = number && wanted <= INT64_MAX - 1;
                struct gray_mark_key key = gray_mark_key(file, 0, unit);
                assert_int_equal(gray_mark_key_number(key, &found),
                                 number ? 0 : -1);
                if (number) {
                    assert_int_equal(found, wanted);
                }
            }
        }
    }
}

static void spaces_are_apart_and_so_are_tables(void **state)
{
    struct world *world = *state;
    struct gray_marks_file other = *world->wide.table.file;
    struct gray_str number = { "1007", 4 }, text = { "alice", 5 };
    struct gray_mark_key keys[6];
    size_t i, j;

    other.sip_key[1]++;
    keys[0] = gray_mark_key(world->wide.table.file, 0, number);
    keys[1] = gray_mark_key(world->wide.table.file, 1, number);
    keys[2] = gray_mark_key(world->wide.table.file, 2, number);
    keys[3] = gray_mark_key(world->wide.table.file, 0, text);
    keys[4] = gray_mark_key(world->wide.table.file, 1, text);
    keys[5] = gray_mark_key(&other, 0, text);
    for (i = 0; i < 6; i++) {
        for (j = 0; j < i; j++) {
            assert_int_not_equal(keys[i].k[0], keys[j].k[0]);
            assert_true(keys[i].k[1] != keys[j].k[1] || j == 0);
        }
    }
}

/* The hash of a text that is 0 would be the key that means closed. */
static void no_text_has_the_key_that_means_closed(void **state)
{
    uint64_t found;
    struct gray_mark_key closed = { { runtime_mark_closed(), 1 } };

    (void)state;
    assert_int_equal(runtime_mark_closed(), gray_mix64(UINT64_C(1) << 63));
    assert_int_equal(gray_mark_key_number(closed, &found), -1);
}

/* ---- values ------------------------------------------------------------------ */

static void a_value_says_what_was_put_into_it(void **state)
{
    struct world *world = *state;
    const struct gray_marks_file *file = world->narrow.table.file;
    uint64_t value = gray_mark_value(file, GRAY_SLOT_IN, 3, 7, 142,
                                     TABLE_BEGAN + 5 * 60000 + 59999);
    struct gray_mark mark = gray_mark_of(file, value);

    assert_int_equal(mark.state, GRAY_MARK_IN);
    assert_int_equal(mark.attempt, 3);
    assert_int_equal(mark.variant, 7);
    assert_int_equal(mark.revision, 142);
    assert_int_equal(gray_mark_moment(file, value), TABLE_BEGAN + 5 * 60000);
    /* At the limits, and one beyond them. */
    assert_int_equal(
        gray_mark_value(file, GRAY_SLOT_OUT, 255, 255,
                        100 + GRAY_SLOT_REVISION_MAX,
                        TABLE_BEGAN + INT64_C(60000) * GRAY_SLOT_MINUTE_MAX),
        gray_mark_value(file, GRAY_SLOT_OUT, 256, 256,
                        101 + GRAY_SLOT_REVISION_MAX,
                        TABLE_BEGAN +
                            INT64_C(60000) * (GRAY_SLOT_MINUTE_MAX + 1)));
    value = gray_mark_value(file, GRAY_SLOT_OUT, 1, 0, 1, 0);
    assert_int_equal(gray_mark_of(file, value).revision, 100);
    assert_int_equal(gray_mark_moment(file, value), TABLE_BEGAN);
}

static void what_nobody_writes_reads_hold(void **state)
{
    struct world *world = *state;
    struct gray_mark_key key = key_number(&world->narrow.table, 5);
    static const uint64_t bad[] = { 7, 7 | GRAY_SLOT_DURABLE,
                                    GRAY_SLOT_DURABLE, 1u << 8,
                                    UINT64_C(1) << 63, GRAY_SLOT_IN | 1u << 5,
                                    GRAY_SLOT_IN | 1u << 7 };
    uint64_t *slot, value;
    size_t i;

    assert_int_equal(gray_mark_take(&world->narrow, key,
                                    value_of(&world->narrow.table,
                                             GRAY_SLOT_IN),
                                    &value),
                     0);
    assert_int_equal(runtime_mark_probe(&world->narrow.table, key, &slot),
                     MARK_HERE);
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        slot[1] = bad[i];
        assert_int_equal(gray_mark_find(&world->narrow, key, &value),
                         GRAY_FIND_FOUND);
        assert_int_equal(gray_slot_state(value), GRAY_SLOT_HOLD);
        assert_int_equal(
            gray_mark_of(world->narrow.table.file, value).state,
            GRAY_MARK_HOLD);
        /* It is no miss: nobody takes it. */
        assert_int_equal(gray_mark_take(&world->narrow, key,
                                        value_of(&world->narrow.table,
                                                 GRAY_SLOT_IN),
                                        &value),
                         1);
        assert_int_equal(value, bad[i]);
    }
}

/* ---- moves --------------------------------------------------------------------- */

/* A second opinion: SEMANTICS 4 as a matrix, row by row, not the .def. */
static int allowed(enum gray_slot_state from, enum gray_slot_state to)
{
    /* 0 none, 1 reader, 2 writer, 3 both */
    static const uint8_t matrix[7][8] = {
        /* to:     E  P  I  O  R  H  V */
        /* E */ { 0, 3, 3, 3, 2, 2, 0 },
        /* P */ { 0, 0, 2, 2, 0, 2, 3 },
        /* I */ { 0, 0, 0, 0, 2, 2, 3 },
        /* O */ { 0, 0, 2, 0, 0, 2, 3 },
        /* R */ { 0, 3, 3, 0, 0, 2, 0 },
        /* H */ { 0, 0, 2, 2, 0, 0, 0 },
        /* V */ { 0, 3, 3, 3, 0, 0, 0 },
    };

    return matrix[from][to];
}

static void put_raw(const struct gray_marks *marks, struct gray_mark_key key,
                    uint64_t value)
{
    uint64_t *slot;

    assert_int_equal(
        runtime_mark_claim(&marks->table, key, UINT64_MAX, &slot), MARK_HERE);
    *mark_slot_value(&marks->table, slot) = value;
}

static uint64_t raw(const struct gray_marks *marks, struct gray_mark_key key)
{
    uint64_t *slot;

    return runtime_mark_probe(&marks->table, key, &slot) == MARK_HERE
               ? *mark_slot_value(&marks->table, slot)
               : 0;
}

static void one_move(const struct gray_marks *marks, struct gray_mark_key key,
                     enum gray_slot_state from, enum gray_slot_state to,
                     enum gray_mark_by by)
{
    const struct gray_marks_file *file = marks->table.file;
    uint64_t old = from == GRAY_SLOT_EMPTY
                       ? 0
                       : gray_mark_value(file, from, 1, 0, 101, TABLE_BEGAN);
    uint64_t new = to == GRAY_SLOT_EMPTY
                       ? 0
                       : gray_mark_value(file, to, 2, 0, 102, TABLE_BEGAN);
    bool good = (allowed(from, to) & (int)by) != 0;
    uint64_t found = 99;

    put_raw(marks, key, old);
    assert_int_equal(gray_mark_may_move(old, new, by), good);
    assert_int_equal(gray_mark_move(marks, key, old, new, by, &found),
                     good ? 0 : -EINVAL);
    assert_int_equal(raw(marks, key), good ? new : old);
    assert_int_equal(found, 99);
}

static void every_move_of_the_table_is_made_and_no_other(void **state)
{
    struct world *world = *state;
    int form, from, to, by;

    for (form = 0; form < 2; form++) {
        struct gray_mark_key key = key_text(&world->forms[form]->table, "u");

        for (from = 0; from <= GRAY_SLOT_VOID; from++) {
            for (to = 0; to <= GRAY_SLOT_VOID; to++) {
                for (by = GRAY_BY_READER; by <= GRAY_BY_WRITER; by++) {
                    one_move(world->forms[form], key, from, to, by);
                }
            }
        }
    }
}

static void durable_is_the_writers_and_is_never_undone(void **state)
{
    struct world *world = *state;
    uint64_t in = value_of(&world->narrow.table, GRAY_SLOT_IN);
    uint64_t out = value_of(&world->narrow.table, GRAY_SLOT_OUT);
    uint64_t hard = in | GRAY_SLOT_DURABLE;

    assert_true(gray_mark_may_move(in, hard, GRAY_BY_WRITER));
    assert_true(gray_mark_may_move(out, out | GRAY_SLOT_DURABLE,
                                   GRAY_BY_WRITER));
    assert_false(gray_mark_may_move(in, hard, GRAY_BY_READER));
    assert_false(gray_mark_may_move(hard, in, GRAY_BY_WRITER));
    assert_false(gray_mark_may_move(hard, hard, GRAY_BY_WRITER));
    assert_false(gray_mark_may_move(in, in, GRAY_BY_WRITER));
    assert_false(gray_mark_may_move(0, hard, GRAY_BY_READER));
    assert_true(gray_mark_may_move(0, hard, GRAY_BY_WRITER));
    /* Another minute, variant or attempt is another mark. */
    assert_false(gray_mark_may_move(in, hard + (UINT64_C(1) << 44),
                                    GRAY_BY_WRITER));
    /* What the journal has is never void. */
    assert_true(gray_mark_may_move(in, in + GRAY_SLOT_VOID - GRAY_SLOT_IN,
                                   GRAY_BY_READER));
    assert_false(gray_mark_may_move(hard, in + GRAY_SLOT_VOID - GRAY_SLOT_IN,
                                    GRAY_BY_WRITER));
    /* The bit of the copier is nobody's to put or to take. */
    assert_false(gray_mark_may_move(in, hard | GRAY_SLOT_MOVED,
                                    GRAY_BY_WRITER));
    assert_false(gray_mark_may_move(in | GRAY_SLOT_MOVED, hard,
                                    GRAY_BY_WRITER));
    assert_false(gray_mark_may_move(0, in | 1u << 6, GRAY_BY_WRITER));
    assert_false(gray_mark_may_move(0, 7, GRAY_BY_WRITER));
}

static void a_move_from_what_is_not_there_says_what_is(void **state)
{
    struct world *world = *state;
    int form;

    for (form = 0; form < 2; form++) {
        struct gray_marks *marks = world->forms[form];
        struct gray_mark_key key = key_text(&marks->table, "bob");
        uint64_t pending = value_of(&marks->table, GRAY_SLOT_PENDING);
        uint64_t in = value_of(&marks->table, GRAY_SLOT_IN);
        uint64_t found = 99;

        assert_int_equal(gray_mark_move(marks, key, pending, in,
                                        GRAY_BY_WRITER, &found),
                         -ENOENT);
        assert_int_equal(gray_mark_take(marks, key, pending, &found), 0);
        assert_int_equal(gray_mark_move(marks, key, 0, pending,
                                        GRAY_BY_READER, &found),
                         1);
        assert_int_equal(found, pending);
        assert_int_equal(gray_mark_move(marks, key, pending,
                                        in | GRAY_SLOT_DURABLE,
                                        GRAY_BY_WRITER, &found),
                         0);
        assert_int_equal(gray_mark_move(marks, key, pending, in,
                                        GRAY_BY_WRITER, &found),
                         1);
        assert_int_equal(found, in | GRAY_SLOT_DURABLE);
    }
}

/* ---- take ------------------------------------------------------------------------ */

static void only_what_is_absent_or_revoked_before_is_taken(void **state)
{
    struct world *world = *state;
    int form, state_now;

    for (form = 0; form < 2; form++) {
        struct gray_marks *marks = world->forms[form];
        const struct gray_marks_file *file = marks->table.file;
        struct gray_mark_key key = key_number(&marks->table, 77);
        uint64_t in = gray_mark_value(file, GRAY_SLOT_IN, 2, 0, 101,
                                      TABLE_BEGAN);
        uint64_t found;

        for (state_now = 0; state_now <= GRAY_SLOT_VOID; state_now++) {
            uint64_t old = state_now == 0
                               ? 0
                               : gray_mark_value(file, state_now, 1, 0, 101,
                                                 TABLE_BEGAN);
            bool free = state_now == GRAY_SLOT_EMPTY ||
                        state_now == GRAY_SLOT_VOID ||
                        state_now == GRAY_SLOT_REVOKED;

            put_raw(marks, key, old);
            assert_int_equal(gray_mark_take(marks, key, in, &found),
                             free ? 0 : 1);
            assert_int_equal(raw(marks, key), free ? in : old);
            assert_true(free || found == old);
        }
        /* Revoked in this very attempt: not again. */
        put_raw(marks, key,
                gray_mark_value(file, GRAY_SLOT_REVOKED, 2, 0, 101,
                                TABLE_BEGAN));
        assert_int_equal(gray_mark_take(marks, key, in, &found), 1);
        assert_int_equal(gray_slot_state(found), GRAY_SLOT_REVOKED);
    }
}

static void a_reader_cannot_put_just_anything(void **state)
{
    struct world *world = *state;
    struct gray_mark_table *table = &world->narrow.table;
    struct gray_mark_key key = key_number(table, 1);
    uint64_t in = value_of(table, GRAY_SLOT_IN), found;
    uint64_t bad[] = { 0, 7, in | GRAY_SLOT_DURABLE, in | GRAY_SLOT_MOVED,
                       in | 1u << 5, value_of(table, GRAY_SLOT_REVOKED),
                       value_of(table, GRAY_SLOT_HOLD),
                       value_of(table, GRAY_SLOT_VOID) };
    size_t i;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(gray_mark_take(&world->narrow, key, bad[i], &found),
                         -EINVAL);
    }
    assert_int_equal(gray_mark_find(&world->narrow, key, &found),
                     GRAY_FIND_ABSENT);
    assert_int_equal(gray_mark_table_used(table), 0);
}

static void a_half_claimed_wide_slot_is_whoevers_comes(void **state)
{
    struct world *world = *state;
    struct gray_marks *marks = &world->wide;
    struct gray_mark_key dead = { { 0x1111222233334444u, 77 } };
    struct gray_mark_key same_first = { { 0x1111222233334444u, 78 } };
    uint64_t in = value_of(&marks->table, GRAY_SLOT_IN);
    uint64_t out = value_of(&marks->table, GRAY_SLOT_OUT), found;
    uint64_t *slot;

    /* A writer died between the two words of its key. */
    assert_int_equal(runtime_mark_probe(&marks->table, dead, &slot),
                     MARK_FREE);
    slot[0] = dead.k[0];
    assert_int_equal(gray_mark_find(marks, dead, &found), GRAY_FIND_ABSENT);
    assert_int_equal(gray_mark_take(marks, same_first, out, &found), 0);
    assert_int_equal(slot[1], 78);
    assert_int_equal(gray_mark_take(marks, dead, in, &found), 0);
    assert_int_equal(slot[4 + 1], 77);
    assert_int_equal(gray_mark_find(marks, dead, &found), GRAY_FIND_FOUND);
    assert_int_equal(found, in);
    assert_int_equal(gray_mark_find(marks, same_first, &found),
                     GRAY_FIND_FOUND);
    assert_int_equal(found, out);
}

/* ---- probing -------------------------------------------------------------------- */

static uint64_t bucket_of(const struct gray_mark_table *table,
                          const uint64_t *slot)
{
    return ((uint64_t)(uintptr_t)slot - (uint64_t)(uintptr_t)table->slots) /
           GRAY_MARKS_BUCKET;
}

static void behind_the_last_bucket_comes_the_first(void **state)
{
    struct world *world = *state;
    int form;

    for (form = 0; form < 2; form++) {
        struct gray_marks *marks = world->forms[form];
        const struct gray_mark_table *table = &marks->table;
        uint64_t in = value_of(table, GRAY_SLOT_IN), number, found, *slot;
        uint32_t room = GRAY_MARKS_BUCKET / table->slot_size, taken = 0;
        struct gray_mark_key key = { { 0, 0 } };
        struct gray_mark_table empty;

        /* An empty one of the same size and secret says where keys begin. */
        tables_make(&world->tables, 3 + (uint32_t)form, table->slot_size, 1000,
                    &empty);
        for (number = 0; taken <= room; number++) {
            key = key_number(table, number);
            assert_int_equal(runtime_mark_probe(&empty, key, &slot), MARK_FREE);
            if (bucket_of(&empty, slot) == table->buckets - 1) {
                assert_int_equal(gray_mark_take(marks, key, in, &found), 0);
                taken++;
            }
        }
        gray_mark_table_close(&empty);
        /* One more than the last bucket has room for. */
        assert_int_equal(runtime_mark_probe(table, key, &slot), MARK_HERE);
        assert_int_equal(bucket_of(table, slot), 0);
        assert_int_equal(gray_mark_find(marks, key, &found), GRAY_FIND_FOUND);
    }
}

/* At the limit a free slot is found, one further it is not: then nobody can
 * know what stands where, so it is UNKNOWN. */
static void a_probe_goes_so_far_and_no_further(void **state)
{
    struct world *world = *state;
    struct gray_marks marks = { 0 };
    struct gray_mark_key key;
    uint64_t in, found, first, i, *slot, *words;

    tables_make(&world->tables, 3, 16, 20000, &marks.table);
    assert_true(marks.table.buckets > 2 * GRAY_MARKS_REACH);
    words = (uint64_t *)(void *)marks.table.slots;
    in = value_of(&marks.table, GRAY_SLOT_IN);
    for (i = 0;; i++) {
        key = key_number(&marks.table, i);
        assert_int_equal(runtime_mark_probe(&marks.table, key, &slot),
                         MARK_FREE);
        first = bucket_of(&marks.table, slot);
        if (first + GRAY_MARKS_REACH + 1 < marks.table.buckets) {
            break;
        }
    }
    for (i = 0; i < GRAY_MARKS_REACH * 8 - 2; i += 2) {
        words[first * 8 + i] = 1; /* nobody's key */
    }
    assert_int_equal(gray_mark_find(&marks, key, &found), GRAY_FIND_ABSENT);
    words[first * 8 + i] = 1;
    assert_int_equal(gray_mark_find(&marks, key, &found), GRAY_FIND_UNKNOWN);
    assert_int_equal(gray_mark_take(&marks, key, in, &found), -ENOSPC);
    gray_mark_table_close(&marks.table);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, world_make, world_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_number_is_its_key_exactly),
        CASE(what_only_looks_like_a_number_is_a_text),
        CASE(each_byte_of_a_number_counts),
        CASE(spaces_are_apart_and_so_are_tables),
        CASE(no_text_has_the_key_that_means_closed),
        CASE(a_value_says_what_was_put_into_it),
        CASE(what_nobody_writes_reads_hold),
        CASE(every_move_of_the_table_is_made_and_no_other),
        CASE(durable_is_the_writers_and_is_never_undone),
        CASE(a_move_from_what_is_not_there_says_what_is),
        CASE(only_what_is_absent_or_revoked_before_is_taken),
        CASE(a_reader_cannot_put_just_anything),
        CASE(a_half_claimed_wide_slot_is_whoevers_comes),
        CASE(behind_the_last_bucket_comes_the_first),
        CASE(a_probe_goes_so_far_and_no_further),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
