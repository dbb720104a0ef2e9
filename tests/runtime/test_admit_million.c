/* SPDX-License-Identifier: Apache-2.0
 * test_admit_million.c - decide, mark, decide again, a million times.
 *
 * Why: test point 1 of RELIABILITY.md: making the mark must not change what is
 * decided, and nothing that happens later may change what was told.  A million
 * units are each decided, recorded, made durable and decided again; then once
 * more under another share, frozen and thawed.
 * Read next: runtime/admit.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/runtime/hooks.h"
#include "tests/runtime/marked.h"

#define UNITS 1000000u
#define ROUND 1024u /* units between two rounds of the writer: a ring's worth */

/* Room for all of them, by growing as grayd does. */
static void grow(struct marked_world *world)
{
    struct gray_runtime_set *set = NULL;
    struct gray_problem problem;
    uint64_t at = 0;
    int done;

    assert_int_equal(gray_marks_announce(&world->folder, MARKED_SCOPE,
                                         UNITS + UNITS / 10, (gid_t)-1,
                                         &problem),
                     0);
    gray_mark_table_close(&world->tables.table);
    marked_map(world);
    do {
        done = gray_marks_copy(&world->tables, &at, 4096, &problem);
        assert_true(done >= 0);
    } while (done == 0);
    assert_int_equal(gray_marks_switch(&world->folder, MARKED_SCOPE, &problem),
                     0);
    gray_mark_table_close(&world->tables.table);
    gray_mark_table_close(&world->tables.next);
    marked_map(world);
    assert_int_equal(gray_runtime_load(world->runtime, &set, NULL), 0);
    gray_runtime_swap(world->runtime, set);
}

static bool told(struct marked_world *world, uint32_t number,
                 enum gray_reason *ret_reason)
{
    struct marked_request request;
    char unit[16];

    snprintf(unit, sizeof(unit), number % 2 == 0 ? "%u" : "u%u", number);
    request_ask(&request, world->runtime, unit);
    *ret_reason = request_reason(&request);
    return request_in(&request);
}

static void same_again(struct marked_world *world, const uint8_t *in,
                       enum gray_reason if_in, enum gray_reason if_out)
{
    for (uint32_t i = 0; i < UNITS; i++) {
        enum gray_reason reason;

        if (told(world, i, &reason) != (in[i] != 0) ||
            reason != (in[i] ? if_in : if_out)) {
            fail_msg("unit %u was told %s, and is told otherwise: %s", i,
                     in[i] ? "in" : "out", gray_reason_code(reason));
        }
    }
    assert_int_equal(writer_round(world, world->runtime), 0);
}

static void decide_mark_decide_again_a_million_times_never_differs(void **state)
{
    struct marked_kind kind = { .stickiness = "entity", .share = "37" };
    struct marked_world world;
    uint8_t *in = calloc(UNITS, 1);
    uint32_t count = 0, recorded = 0;

    (void)state;
    assert_non_null(in);
    marked_begin(&world, &kind, GRAY_READER_NGINX);
    grow(&world);
    for (uint32_t i = 0; i < UNITS; i++) {
        enum gray_reason reason;

        if (i % ROUND == 0) {
            writer_lives(&world, GRAY_WRITER_OK);
            recorded += writer_round(&world, world.runtime);
        }
        in[i] = told(&world, i, &reason);
        count += in[i];
        assert_int_equal(reason, in[i] ? GRAY_REASON_SHARE
                                       : GRAY_REASON_OUT_OF_SHARE);
        /* At once, before the writer has seen it. */
        assert_int_equal(told(&world, i, &reason), in[i]);
        assert_int_equal(reason,
                         in[i] ? GRAY_REASON_MARK : GRAY_REASON_MARK_OUT);
    }
    recorded += writer_round(&world, world.runtime);
    assert_int_equal(recorded, UNITS); /* each once */
    assert_int_equal(event_count(world.runtime, GRAY_EVENT_MARKS_MADE), UNITS);
    assert_true(count > UNITS / 100 * 36 && count < UNITS / 100 * 38);
    kind.share = "100";
    marked_publish(&world, &kind);
    word_set(&world, GRAY_WORD_NO_ADMIT);
    same_again(&world, in, GRAY_REASON_MARK, GRAY_REASON_MARK_OUT);
    word_set(&world, GRAY_WORD_OPEN);
    kind.share = "0";
    marked_publish(&world, &kind);
    same_again(&world, in, GRAY_REASON_MARK, GRAY_REASON_MARK_OUT);
    marked_end(&world);
    free(in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decide_mark_decide_again_a_million_times_never_differs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
