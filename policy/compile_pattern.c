/* SPDX-License-Identifier: Apache-2.0
 * compile_pattern.c - regex, glob and contains in a snapshot.
 *
 * Why: an automaton is the largest operand and the dearest to make, and the
 * same pattern often stands in many rules, so each is laid down once.  The
 * index asks here with which bytes every match begins: most patterns of paths
 * have a fixed start, and then only requests with that start try them.
 * Read next: dfa.h, compile_index.c.
 */
#include <stdlib.h>
#include <string.h>

#include "policy/compile.h"
#include "policy/dfa.h"

struct known_dfa {
    struct gray_ref pattern;
    uint32_t operand;
    uint8_t op, ignore_case;
};

static uint32_t copy_dfa(struct build *build, const struct dfa *dfa,
                         struct gray_ref pattern)
{
    size_t cells = (size_t)dfa->states * dfa->classes * sizeof(uint16_t);
    size_t words = (dfa->states + 31) / 32 * sizeof(uint32_t);
    uint32_t offset = operand_room(build, sizeof(struct gray_operand_dfa));
    uint32_t class_of = operand_room(build, sizeof(dfa->class_of));
    uint32_t table = operand_room(build, cells);
    uint32_t accept = operand_room(build, words);
    struct gray_operand_dfa *out;

    if (offset == 0 || class_of == 0 || table == 0 || accept == 0) {
        return 0;
    }
    out = operand_at(build, offset);
    out->states = dfa->states;
    out->classes = dfa->classes;
    out->class_of = class_of;
    out->table = table;
    out->accept = accept;
    out->pattern = pattern;
    memcpy(operand_at(build, class_of), dfa->class_of, sizeof(dfa->class_of));
    memcpy(operand_at(build, table), dfa->table, cells);
    memcpy(operand_at(build, accept), dfa->accept, words);
    build->dfa_bytes += cells;
    if (operand_relocate(build, offset + offsetof(struct gray_operand_dfa,
                                          class_of)) != 0 ||
        operand_relocate(build, offset + offsetof(struct gray_operand_dfa,
                                          table)) != 0 ||
        operand_relocate(build, offset + offsetof(struct gray_operand_dfa,
                                          accept)) != 0) {
        return 0;
    }
    return offset;
}

static uint32_t new_dfa(struct build *build, const struct cond *test,
                        struct gray_ref pattern)
{
    enum dfa_kind kind = test->op == GRAY_CONDITION_REGEX  ? DFA_REGEX
                         : test->op == GRAY_CONDITION_GLOB ? DFA_GLOB
                                                           : DFA_CONTAINS;
    struct dfa_error error;
    struct dfa dfa;
    uint32_t offset;

    if (build->dfa_bytes > BUILD_DFA_BYTES_MAX ||
        build->dfa_work > BUILD_DFA_WORK_MAX) {
        build_finding(build, GRAY_ERROR, GRAY_PROBLEM_BAD_PATTERN,
                      test->pointer,
                      "All patterns before this one together need more than "
                      "%u MiB, or too long to compile; use exact, in or "
                      "prefix for some of them.",
                      BUILD_DFA_BYTES_MAX >> 20);
        return 0;
    }
    if (dfa_build(&dfa, kind, test->text.data, test->text.length,
                  test->ignore_case, &error) != 0) {
        build->no_memory |= error.fault == DFA_NO_MEMORY;
        build->dfa_work += error.fault == DFA_TOO_LARGE ? DFA_WORK_MAX : 0;
        build_finding(build, GRAY_ERROR, GRAY_PROBLEM_BAD_PATTERN,
                      test->pointer, "%s (At byte %u of the pattern.)",
                      error.sentence, error.offset + 1);
        return 0;
    }
    build->dfa_work += dfa.work;
    offset = copy_dfa(build, &dfa, pattern);
    dfa_free(&dfa);
    return offset;
}

uint32_t build_pattern(struct build *build, const struct cond *test)
{
    struct gray_ref pattern =
        build_string(build, test->text.data, test->text.length);
    uint32_t hash = pattern.offset + test->op * 2u + test->ignore_case;
    uint32_t cursor = 0, number, offset;
    struct known_dfa *known;

    for (;;) {
        number = map_next(&build->dfa_map, hash, &cursor);
        if (number == GRAY_NONE) {
            break;
        }
        known = TABLE(build->automata, struct known_dfa) + number;
        if (known->pattern.offset == pattern.offset &&
            known->pattern.length == pattern.length &&
            known->op == test->op &&
            known->ignore_case == test->ignore_case) {
            return known->operand;
        }
    }
    offset = new_dfa(build, test, pattern);
    number = COUNT(build->automata, struct known_dfa);
    known = bytes_add(build, &build->automata, sizeof(*known));
    if (known == NULL ||
        map_add(build, &build->dfa_map, hash, number) != 0) {
        return 0;
    }
    known->pattern = pattern;
    known->operand = offset;
    known->op = test->op;
    known->ignore_case = test->ignore_case;
    return offset;
}

static bool accepts(const uint32_t *accept, uint32_t state)
{
    return accept[state >> 5] >> (state & 31) & 1;
}

/* The one state that is not dead and follows `state`, by one byte only;
 * GRAY_NONE when there are several ways, 0 when there is none. */
static uint32_t only_next(const struct gray_operand_dfa *dfa,
                          const uint16_t *table, const uint8_t *class_of,
                          uint32_t state, uint8_t *ret_byte)
{
    uint32_t next = 0, byte, target;

    for (byte = 0; byte < 256; byte++) {
        target = table[state * dfa->classes + class_of[byte]];
        if (target != 0) {
            if (next != 0) {
                return GRAY_NONE;
            }
            next = target;
            *ret_byte = (uint8_t)byte;
        }
    }
    return next;
}

uint32_t build_fixed_start(struct build *build, const struct cond *test,
                           char *buffer, uint32_t size, bool *ret_whole)
{
    uint32_t offset = build_pattern(build, test), state = 1, length = 0, next;
    const struct gray_operand_dfa *dfa;
    const uint16_t *table;
    const uint32_t *accept;
    const uint8_t *class_of;
    uint8_t byte = 0;

    *ret_whole = false;
    if (offset == 0) {
        return 0;
    }
    dfa = operand_at(build, offset);
    table = operand_at(build, dfa->table);
    accept = operand_at(build, dfa->accept);
    class_of = operand_at(build, dfa->class_of);
    for (;;) {
        next = only_next(dfa, table, class_of, state, &byte);
        if (accepts(accept, state)) {
            *ret_whole = next == 0;
            return length;
        }
        if (next == 0 || next == GRAY_NONE || length == size) {
            return length;
        }
        buffer[length++] = (char)byte;
        state = next;
    }
}
