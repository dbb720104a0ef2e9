/* SPDX-License-Identifier: Apache-2.0
 * test_check.c - damaged bytes do no harm, and checking costs no more than it
 * may.
 *
 * Why: no list of faults is complete.  Every byte of a sound file is damaged
 * in three ways, and the interpreter is run on instructions that nobody
 * checked; under sanitizers this shows any step outside the file.
 * Read next: ../../engine/check.c, test_snapshot.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/engine/sound_policy.h"

static struct policy_craft p;
static struct gray_snapshot snapshot;
static struct sound_operands at;

static void sound(void)
{
    sound_policy(&p, &at);
}

static void decide_on(const struct gray_snapshot *s)
{
    static const char *const headers[][2] = { { "cookie", "uid=alice" },
                                              { "x-user", "b" },
                                              { "x-user", "1.2.3" } };
    static struct gray_trace trace;
    static char text[1 << 14];
    struct gray_view view = { .policy = s };
    struct gray_colour colour;
    struct gray_input in;
    uint8_t address[16] = { 1, 3 };
    gray_input_begin(&in, s, 5, 5);
    gray_input_target(&in, craft_str("/a/b?c=d"));
    for (int i = 0; i < 3; i++) {
        gray_input_header(&in,
                          gray_hash_name(headers[i][0], strlen(headers[i][0])),
                          craft_str(headers[i][0]), craft_str(headers[i][1]));
    }
    gray_input_address(&in, address);
    gray_input_colour(&in, craft_str("red"), craft_str("cart-2"),
                      GRAY_CLASS_LIVE);
    trace.step_count = 0;
    trace.verdict_count = 0;
    gray_decide(&view, 1, &in, NULL, NULL, &colour, &trace);
    gray_explain(&view, 1, &in, NULL, NULL, text, sizeof(text));
}

/* Every byte damaged in three ways: refused, or decided on without harm (the
 * test is run under sanitizers). The copy ends where the file ends. */
static void damaged_bytes_do_no_harm(void **state)
{
    static const uint8_t flips[] = { 0x01, 0x80, 0xff };
    uint32_t refused = 0, opened = 0;
    (void)state;
    sound();
    assert_int_equal(policy_end(&p, &snapshot, NULL), 0);
    uint8_t *copy = malloc(p.file.length);
    assert_non_null(copy);
    for (uint64_t i = 0; i < p.file.length; i++) {
        for (int flip = 0; flip < 3; flip++) {
            memcpy(copy, p.file.bytes, p.file.length);
            copy[i] ^= flips[flip];
            if (gray_snapshot_open(&snapshot, copy, p.file.length, NULL) != 0) {
                refused++;
            } else {
                opened++;
                decide_on(&snapshot);
            }
        }
    }
    free(copy);
    assert_true(refused > 1000 && opened > 1000);
}

/* The same, as if nobody had checked: the interpreter bounds every step. */
static void the_interpreter_bounds_every_step(void **state)
{
    uint64_t seed = 99;
    (void)state;
    sound();
    assert_int_equal(policy_end(&p, &snapshot, NULL), 0);
    struct gray_snapshot whole = snapshot;
    const struct gray_policy *policy = whole.policy;
    uint8_t *records = p.file.bytes + policy->insns.offset;
    size_t length = policy->insns.count * sizeof(struct gray_insn);
    static uint8_t kept[POLICY_RECORDS * sizeof(struct gray_insn)];
    memcpy(kept, records, length);
    for (int round = 0; round < 20000; round++) {
        for (int k = 0; k < 3; k++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            records[(seed >> 33) % length] = (uint8_t)(seed >> 20);
        }
        /* Operands keep their alignment, as any mapping's reader must. */
        for (uint32_t i = 0; i < policy->insns.count; i++) {
            ((struct gray_insn *)(void *)records)[i].operand &= ~7u;
        }
        decide_on(&whole);
        if (round % 50 == 49) {
            memcpy(records, kept, length);
        }
    }
}

/* Instructions may share an operand; a file whose operands are many and share
 * one long text would make the check hash it again and again. */
static void sharing_has_its_price(void **state)
{
    enum { CELLS = 64, TWINS = 400, LONG = 64 << 10 };
    static struct gray_set_cell cells[CELLS];
    static char text[LONG + 1];
    struct gray_problem problem = { 0 };
    (void)state;
    memset(text, 'x', LONG);
    for (int greedy = 0; greedy < 2; greedy++) {
        struct gray_operand_set set = { { 0, CELLS }, 1, 0 };
        uint32_t hash = gray_murmur3_32(text, LONG, 0), first = 0;
        policy_begin(&p);
        uint32_t slot = policy_slot(&p, GRAY_SOURCE_HEADER, "x-user");
        memset(cells, 0, sizeof(cells));
        cells[hash & (CELLS - 1)].text = policy_text(&p, text);
        cells[hash & (CELLS - 1)].hash = hash;
        set.cells.offset = (uint32_t)craft_put(&p.file, cells, sizeof(cells));
        for (uint32_t i = 0; i < TWINS; i++) {
            if (i == 0 || greedy) {
                first = policy_operand(&p, &set, sizeof(set));
            }
            policy_rule_of(&p, "r", GRAY_CONDITION_IN, slot, first);
        }
        assert_int_equal(policy_end(&p, &snapshot, &problem), -greedy);
    }
    assert_string_equal(problem.code, "too-costly");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(damaged_bytes_do_no_harm),
        cmocka_unit_test(the_interpreter_bounds_every_step),
        cmocka_unit_test(sharing_has_its_price),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
