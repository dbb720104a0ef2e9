/* SPDX-License-Identifier: Apache-2.0
 * program.c - every condition of SEMANTICS 1, and the interpreter.
 *
 * Why: a rule is a chain of tests that jump forward only, so it ends after at
 * most its own length of steps whatever the file says; each step is bounded
 * again although the file was checked.  A value that is missing or longer than
 * GRAY_VALUE_MAX matches nothing; of repeated values any may match.
 * Read next: conditions.def, number.c, window.c, ../policy/compile_program.c.
 */
#include <string.h>

#include "engine/hash.h"
#include "engine/program.h"
#include "engine/view.h"

/* Operand records, bounded by the file. */
#define OPERAND(run, insn, type)                                               \
    ((const struct type *)view_bytes((run)->policy, (insn)->operand,           \
                                     sizeof(struct type)))
#define OPERAND_TABLE(run, table, type)                                        \
    ((const type *)view_bytes((run)->policy, (table).offset,                   \
                              (uint64_t)(table).count * sizeof(type)))

static inline bool same(struct gray_str own, const char *data, uint32_t flags)
{
    return (flags & GRAY_INSN_IGNORE_CASE) != 0
               ? view_same_nocase(own.data, data, own.length)
               : view_same(own.data, data, own.length);
}

/* exact, prefix, suffix: `own` is the operand's text. */
static inline bool test_string(const struct gray_insn *insn,
                               struct gray_str own, const char *data,
                               uint32_t length)
{
    if (length < own.length ||
        (insn->op == GRAY_CONDITION_EXACT && length != own.length)) {
        return false;
    }
    if (insn->op == GRAY_CONDITION_SUFFIX) {
        data += length - own.length;
    }
    return same(own, data, insn->flags);
}

static bool test_set(const struct program *run, const struct gray_insn *insn,
                     struct gray_str value)
{
    const struct gray_operand_set *set = OPERAND(run, insn, gray_operand_set);
    if (set == NULL) {
        return false;
    }
    const struct gray_set_cell *cells =
        OPERAND_TABLE(run, set->cells, struct gray_set_cell);
    if (cells == NULL || set->cells.count == 0) {
        return false;
    }
    uint32_t hash = (insn->flags & GRAY_INSN_IGNORE_CASE) != 0
                        ? hash_lower(value.data, value.length, 0)
                        : gray_murmur3_32(value.data, value.length, 0);
    uint32_t mask = set->cells.count - 1;
    for (uint32_t i = 0; i <= mask; i++) {
        const struct gray_set_cell *cell = &cells[(hash + i) & mask];
        if (cell->text.offset == 0) {
            return false;
        }
        if (cell->hash != hash || cell->text.length != value.length) {
            continue;
        }
        struct gray_str own = view_text(run->policy, cell->text);
        if (own.length == value.length && same(own, value.data, insn->flags)) {
            return true;
        }
    }
    return false;
}

/* contains, glob, regex */
static bool test_dfa(const struct program *run, const struct gray_insn *insn,
                     struct gray_str value)
{
    const struct gray_snapshot *s = run->policy;
    const struct gray_operand_dfa *dfa = OPERAND(run, insn, gray_operand_dfa);
    if (dfa == NULL || dfa->states > GRAY_DFA_STATES_MAX ||
        dfa->classes > 256) {
        return false;
    }
    const uint8_t *class_of = view_bytes(s, dfa->class_of, 256);
    const uint16_t *table =
        view_bytes(s, dfa->table, 2u * dfa->states * dfa->classes);
    const uint32_t *accept =
        view_bytes(s, dfa->accept, (dfa->states + 31) / 32 * 4u);
    if (class_of == NULL || table == NULL || accept == NULL ||
        dfa->states < 2) {
        return false;
    }
    uint32_t state = 1, states = dfa->states, classes = dfa->classes;
    for (uint32_t i = 0; i < value.length; i++) {
        uint32_t class = class_of[(uint8_t)value.data[i]];
        if (class >= classes) {
            return false;
        }
        state = table[state * classes + class];
        if (state == 0 || state >= states) {
            return false;
        }
    }
    return (accept[state / 32] >> (state % 32) & 1) != 0;
}

static bool test_mod(const struct program *run, const struct gray_insn *insn,
                     struct gray_str value)
{
    const struct gray_operand_mod *mod = OPERAND(run, insn, gray_operand_mod);
    uint64_t id;
    if (mod == NULL || mod->divisor == 0 || !number_unsigned(value, &id)) {
        return false;
    }
    const struct gray_mod_range *ranges =
        OPERAND_TABLE(run, mod->ranges, struct gray_mod_range);
    id %= mod->divisor;
    for (uint32_t low = 0, high = ranges == NULL ? 0 : mod->ranges.count;
         low < high;) {
        uint32_t middle = low + (high - low) / 2;
        if (id < ranges[middle].first) {
            high = middle;
        } else if (id > ranges[middle].last) {
            low = middle + 1;
        } else {
            return true;
        }
    }
    return false;
}

static bool test_tail(const struct program *run, const struct gray_insn *insn,
                      struct gray_str value)
{
    const struct gray_operand_tail *tail = OPERAND(run, insn, gray_operand_tail);
    if (tail == NULL || tail->width > 9 || value.length < tail->width) {
        return false;
    }
    uint32_t digits = 0;
    for (uint32_t i = value.length - tail->width; i < value.length; i++) {
        uint32_t digit = (uint32_t)((uint8_t)value.data[i] - '0');
        if (digit > 9) {
            return false;
        }
        digits = digits * 10 + digit;
    }
    const uint32_t *tails = OPERAND_TABLE(run, tail->tails, uint32_t);
    for (uint32_t low = 0, high = tails == NULL ? 0 : tail->tails.count;
         low < high;) {
        uint32_t middle = low + (high - low) / 2;
        if (tails[middle] == digits) {
            return true;
        }
        if (tails[middle] < digits) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return false;
}

static bool test_list(const struct program *run, const struct gray_insn *insn,
                      struct gray_str value)
{
    const struct gray_operand_list *list = OPERAND(run, insn, gray_operand_list);
    return list != NULL && list->list < run->view->list_count &&
           run->view->lists != NULL &&
           gray_list_has(&run->view->lists[list->list], value);
}

static bool test_semver(const struct program *run,
                        const struct gray_insn *insn, struct gray_str value)
{
    const struct gray_operand_semver *operand =
        OPERAND(run, insn, gray_operand_semver);
    return operand != NULL &&
           number_semver(value, operand->op, operand->part,
                         view_text(run->policy, operand->pre));
}

static bool test_blank(struct gray_str value)
{
    for (uint32_t i = 0; i < value.length; i++) {
        if (value.data[i] != ' ' && value.data[i] != '\t') {
            return false;
        }
    }
    return true;
}

/* One value, not too long, against one condition that is not of a string. */
static __attribute__((noinline)) bool test_value(const struct program *run, const struct gray_insn *insn,
                       struct gray_str value)
{
    switch (insn->op) {
    case GRAY_CONDITION_BLANK:
        return test_blank(value);
    case GRAY_CONDITION_IN:
    case GRAY_CONDITION_NOT_IN:
        return test_set(run, insn, value);
    case GRAY_CONDITION_CONTAINS:
    case GRAY_CONDITION_GLOB:
    case GRAY_CONDITION_REGEX:
        return test_dfa(run, insn, value);
    case GRAY_CONDITION_RANGE: {
        const struct gray_operand_range *range =
            OPERAND(run, insn, gray_operand_range);
        int64_t number;
        return range != NULL && number_signed(value, &number) &&
               number >= range->start && number < range->end;
    }
    case GRAY_CONDITION_MOD:
        return test_mod(run, insn, value);
    case GRAY_CONDITION_ID_TAIL:
        return test_tail(run, insn, value);
    case GRAY_CONDITION_PERCENT: {
        const struct gray_operand_share *share =
            OPERAND(run, insn, gray_operand_share);
        return share != NULL && value.length != 0 &&
               gray_bucket(view_text(run->policy, share->salt), value) <
                   share->share;
    }
    case GRAY_CONDITION_LIST:
        return test_list(run, insn, value);
    case GRAY_CONDITION_SEMVER:
        return test_semver(run, insn, value);
    case GRAY_CONDITION_DATE: {
        const struct gray_operand_date *date =
            OPERAND(run, insn, gray_operand_date);
        int64_t ms;
        return date != NULL && number_date(value, &ms) && ms >= date->after &&
               ms < date->before;
    }
    default:
        return false;
    }
}

static bool test_cidr(const struct program *run, const struct gray_insn *insn)
{
    const struct gray_operand_cidr *cidr = OPERAND(run, insn, gray_operand_cidr);
    if (cidr == NULL || !run->in->address.known) {
        return false;
    }
    const struct gray_cidr_range *ranges =
        OPERAND_TABLE(run, cidr->ranges, struct gray_cidr_range);
    for (uint32_t low = 0, high = ranges == NULL ? 0 : cidr->ranges.count;
         low < high;) {
        uint32_t middle = low + (high - low) / 2;
        if (memcmp(run->in->address.bytes, ranges[middle].first, 16) < 0) {
            high = middle;
        } else if (memcmp(run->in->address.bytes, ranges[middle].last, 16) >
                   0) {
            low = middle + 1;
        } else {
            return true;
        }
    }
    return false;
}

static bool test_time(const struct program *run, const struct gray_insn *insn)
{
    const struct gray_operand_time *window =
        OPERAND(run, insn, gray_operand_time);
    if (window == NULL) {
        return false;
    }
    const struct gray_zone_step *steps =
        OPERAND_TABLE(run, window->zone, struct gray_zone_step);
    return window_holds(window, steps, steps == NULL ? 0 : window->zone.count,
                        run->in->now);
}

/* What the values of an attribute say. */
enum answer { ANSWER_MISSING, ANSWER_DIFFERS, ANSWER_MATCHES };

static inline bool is_string(uint32_t op)
{
    return op == GRAY_CONDITION_EXACT || op == GRAY_CONDITION_PREFIX ||
           op == GRAY_CONDITION_SUFFIX;
}

/* The text of a string's operand; data NULL when it leaves the file. */
static inline struct gray_str string_text(const struct program *run,
                                          const struct gray_insn *insn)
{
    const struct gray_operand_string *operand =
        OPERAND(run, insn, gray_operand_string);
    if (operand == NULL) {
        return (struct gray_str){ NULL, 0 };
    }
    return view_text(run->policy, operand->text);
}

/* No value is in the slot: it may be the one of the unit, which has none of
 * its own. */
static __attribute__((noinline)) enum answer
ask_unit(const struct program *run, const struct gray_insn *insn)
{
    if (run->unit.length == 0 || insn->slot == GRAY_NONE ||
        insn->slot != run->policy->slot_of[GRAY_SOURCE_UNIT]) {
        return ANSWER_MISSING;
    }
    if (is_string(insn->op)) {
        struct gray_str own = string_text(run, insn);
        return own.data != NULL && test_string(insn, own, run->unit.data,
                                               run->unit.length)
                   ? ANSWER_MATCHES
                   : ANSWER_DIFFERS;
    }
    return test_value(run, insn, run->unit) ? ANSWER_MATCHES : ANSWER_DIFFERS;
}

/* Strings are what most rules ask for: without a call. */
static inline enum answer ask_strings(const struct program *run,
                                      const struct gray_insn *insn,
                                      uint32_t number)
{
    const struct gray_input *in = run->in;
    struct gray_str own = string_text(run, insn);
    if (own.data == NULL) {
        return ANSWER_DIFFERS;
    }
    do {
        const struct gray_value *value = &in->values[number];
        if (value->length <= GRAY_VALUE_MAX &&
            test_string(insn, own, value->data, value->length)) {
            return ANSWER_MATCHES;
        }
        number = view_next(in, number);
    } while (number < GRAY_VALUES_MAX);
    return ANSWER_DIFFERS;
}

static __attribute__((noinline)) enum answer
ask_others(const struct program *run, const struct gray_insn *insn,
           uint32_t number)
{
    const struct gray_input *in = run->in;
    do {
        struct gray_str value = { in->values[number].data,
                                  in->values[number].length };
        if (value.length <= GRAY_VALUE_MAX && test_value(run, insn, value)) {
            return ANSWER_MATCHES;
        }
        number = view_next(in, number);
    } while (number < GRAY_VALUES_MAX);
    return ANSWER_DIFFERS;
}

/* Every condition but those of strings. */
static __attribute__((noinline)) bool
other_holds(const struct program *run, const struct gray_insn *insn)
{
    if (insn->op == GRAY_CONDITION_TIME) {
        return test_time(run, insn);
    }
    if (insn->op == GRAY_CONDITION_CIDR) {
        return test_cidr(run, insn);
    }
    uint32_t number = view_first(run->in, insn->slot);
    enum answer answer = number < GRAY_VALUES_MAX
                             ? ask_others(run, insn, number)
                             : ask_unit(run, insn);
    switch (insn->op) {
    case GRAY_CONDITION_PRESENT:
        return answer != ANSWER_MISSING;
    case GRAY_CONDITION_ABSENT:
        return answer == ANSWER_MISSING;
    case GRAY_CONDITION_BLANK:
        return answer != ANSWER_DIFFERS;
    case GRAY_CONDITION_NOT_IN:
        return answer != ANSWER_MATCHES;
    default:
        return answer == ANSWER_MATCHES;
    }
}

static inline bool condition_holds(const struct program *run,
                                   const struct gray_insn *insn)
{
    if (!is_string(insn->op)) {
        return other_holds(run, insn);
    }
    uint32_t number = view_first(run->in, insn->slot);
    return (number < GRAY_VALUES_MAX ? ask_strings(run, insn, number)
                                     : ask_unit(run, insn)) == ANSWER_MATCHES;
}

bool program_holds(struct program *run, uint32_t first, uint32_t count)
{
    if (count == 0) {
        return true;
    }
    const struct gray_insn *insns =
        view_span(run->policy, run->policy->policy->insns,
                  (struct gray_span){ first, count }, sizeof(*insns));
    uint32_t at = 0;
    while (insns != NULL) {
        const struct gray_insn *insn = insns + at;
        bool result = condition_holds(run, insn);
        if (run->trace != NULL) {
            trace_condition(run, first + at, result);
        }
        uint32_t next = result ? insn->on_true : insn->on_false;
        if (next == GRAY_JUMP_TRUE) {
            return true;
        }
        if (next <= at || next >= count) {
            return false; /* GRAY_JUMP_FALSE, and whatever leads nowhere */
        }
        at = next;
    }
    return false;
}
