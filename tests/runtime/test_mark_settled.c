/* SPDX-License-Identifier: Apache-2.0
 * test_mark_settled.c - the bit of a mark whose unit's business is over.
 *
 * Why: the bit is counted and decides nothing: whoever meets it, by whatever
 * compare-and-swap, must be told what he would have been told without it.
 * Read next: runtime/marks.h (GRAY_SLOT_SETTLED), mark_slot.c.
 */
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

static void settled_is_a_move_of_its_own_and_the_writers(void **state)
{
    struct world *world = *state;
    static const enum gray_slot_state may[] = { GRAY_SLOT_IN, GRAY_SLOT_OUT,
                                                GRAY_SLOT_REVOKED };
    const uint64_t over = GRAY_SLOT_SETTLED, hard = GRAY_SLOT_DURABLE;
    const struct gray_mark_table *table = &world->narrow.table;
    uint64_t in = value_of(table, GRAY_SLOT_IN) | hard;
    uint64_t out = value_of(table, GRAY_SLOT_OUT) | hard;
    uint64_t revoked = value_of(table, GRAY_SLOT_REVOKED) | hard;
    uint64_t soft = value_of(table, GRAY_SLOT_OUT);
    size_t i;

    for (i = 0; i < 3; i++) {
        uint64_t value = value_of(table, may[i]) | hard;

        assert_int_equal(gray_slot_state(value | over), may[i]);
        assert_int_equal(gray_mark_of(table->file, value | over).state,
                         gray_mark_of(table->file, value).state);
        assert_true(gray_mark_may_move(value, value | over, GRAY_BY_WRITER));
        assert_false(gray_mark_may_move(value, value | over, GRAY_BY_READER));
        assert_false(gray_mark_may_move(value | over, value, GRAY_BY_WRITER));
        assert_false(
            gray_mark_may_move(value | over, value | over, GRAY_BY_WRITER));
        assert_true(gray_mark_may_move(0, value | over, GRAY_BY_WRITER) ==
                    gray_mark_may_move(0, value, GRAY_BY_WRITER));
        assert_false(gray_mark_may_move(0, value | over, GRAY_BY_READER));
    }
    /* Of what is durable alone, and not in one step with that. */
    assert_int_equal(gray_slot_state(soft | over), GRAY_SLOT_HOLD);
    assert_false(gray_mark_may_move(soft, soft | over, GRAY_BY_WRITER));
    assert_false(gray_mark_may_move(soft, out | over, GRAY_BY_WRITER));
    for (i = 0; i <= GRAY_SLOT_VOID; i++) {
        if (i < GRAY_SLOT_IN || i > GRAY_SLOT_REVOKED) {
            assert_int_equal(gray_slot_state(i | hard | over), GRAY_SLOT_HOLD);
            assert_false(gray_mark_may_move(in, i | hard | over,
                                            GRAY_BY_WRITER));
        }
    }
    /* What was told changes: it is open again, or was over and is taken back.
     * Nobody settles by the way. */
    assert_true(gray_mark_may_move(out | over, in, GRAY_BY_WRITER));
    assert_false(gray_mark_may_move(out | over, in, GRAY_BY_READER));
    assert_true(gray_mark_may_move(in | over, revoked | over, GRAY_BY_WRITER));
    assert_true(gray_mark_may_move(in | over, revoked, GRAY_BY_WRITER));
    assert_false(gray_mark_may_move(in, revoked | over, GRAY_BY_WRITER));
    assert_false(gray_mark_may_move(out | over,
                                    value_of(table, GRAY_SLOT_VOID),
                                    GRAY_BY_ANY));
    /* Taken back and over: a later attempt lets it in as anybody. */
    assert_true(gray_mark_may_move(
        revoked | over,
        value_of(table, GRAY_SLOT_IN) + (UINT64_C(1) << 8), GRAY_BY_READER));
    assert_false(gray_mark_may_move(
        revoked | over,
        (value_of(table, GRAY_SLOT_IN) + (UINT64_C(1) << 8)) | over,
        GRAY_BY_READER));
}

/* Whoever meets it obeys it as he would the mark without it. */
static void who_is_settled_is_told_what_he_was_told(void **state)
{
    struct world *world = *state;
    int form;

    for (form = 0; form < 2; form++) {
        const struct gray_marks *marks = world->forms[form];
        struct gray_mark_key key = key_text(&marks->table, "u");
        uint64_t out = value_of(&marks->table, GRAY_SLOT_OUT) |
                       GRAY_SLOT_DURABLE;
        uint64_t found = 0;

        assert_int_equal(gray_mark_move(marks, key, 0, out, GRAY_BY_WRITER,
                                        &found),
                         0);
        assert_int_equal(gray_mark_move(marks, key, out,
                                        out | GRAY_SLOT_SETTLED,
                                        GRAY_BY_WRITER, &found),
                         0);
        assert_int_equal(gray_mark_find(marks, key, &found), GRAY_FIND_FOUND);
        assert_int_equal(gray_mark_of(marks->table.file, found).state,
                         GRAY_MARK_OUT);
        assert_int_equal(
            gray_mark_take(marks, key, value_of(&marks->table, GRAY_SLOT_IN),
                           &found),
            1);
        assert_int_equal(found, out | GRAY_SLOT_SETTLED);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, world_make, world_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(settled_is_a_move_of_its_own_and_the_writers),
        CASE(who_is_settled_is_told_what_he_was_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
