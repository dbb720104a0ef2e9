/* SPDX-License-Identifier: Apache-2.0
 * atom.c - see atom.h.
 *
 * Why: a state is one number, 0 where nothing that follows can make the test
 * hold.  Numbers are read as the engine reads them (number.c): whole value,
 * zeros in front allowed, mod without a sign and below 2^64.
 * Read next: classes.c.
 */
#include "policy/atom.h"

#include <string.h>

static uint8_t folded(const struct atom *atom, uint8_t byte)
{
    return atom->fold && byte >= 'A' && byte <= 'Z' ? (uint8_t)(byte | 0x20)
                                                    : byte;
}

/* ---- texts ------------------------------------------------------------------ */

/* Node 0 is none, node 1 the root. */
static uint32_t child_of(const struct atom *atom, uint32_t node, uint8_t byte)
{
    uint32_t child = atom->nodes[node].child;

    while (child != 0 && atom->nodes[child].byte != byte) {
        child = atom->nodes[child].next;
    }
    return child;
}

static void begin_tree(struct atom *atom, struct gray_arena *arena,
                       size_t bytes)
{
    atom->nodes = gray_arena_array(arena, bytes + 2, sizeof(*atom->nodes));
    atom->node_count = 2;
}

static void put_text(struct atom *atom, const char *data, uint32_t length)
{
    uint32_t node = 1;

    for (uint32_t i = 0; i < length; i++) {
        uint8_t byte = (uint8_t)data[i];
        uint32_t child = child_of(atom, node, byte);

        if (child == 0) {
            child = atom->node_count++;
            atom->nodes[child] = (struct atom_node){
                .next = atom->nodes[node].child, .byte = byte};
            atom->nodes[node].child = child;
        }
        node = child;
    }
    atom->nodes[node].accepts = true;
}

/* Where reading `byte` leads, when ends count as well. */
static uint32_t follow(const struct atom *atom, uint32_t node, uint8_t byte)
{
    for (;;) {
        uint32_t child = child_of(atom, node, byte);

        if (child != 0 || node == 1) {
            return child != 0 ? child : 1;
        }
        node = atom->nodes[node].fail;
    }
}

/* Nodes are made parents first, but not in the order of their depth: so a
 * queue. */
static void make_fails(struct atom *atom, struct gray_arena *arena)
{
    uint32_t *queue =
        gray_arena_array(arena, atom->node_count, sizeof(*queue));
    uint32_t head = 0, tail = 0;

    queue[tail++] = 1;
    atom->nodes[1].fail = 1;
    while (head < tail) {
        uint32_t node = queue[head++];

        for (uint32_t child = atom->nodes[node].child; child != 0;
             child = atom->nodes[child].next) {
            atom->nodes[child].fail =
                node == 1 ? 1
                          : follow(atom, atom->nodes[node].fail,
                                   atom->nodes[child].byte);
            queue[tail++] = child;
        }
    }
}

static void make_texts(struct atom *atom, struct gray_arena *arena,
                       const struct model_text *texts, uint64_t count)
{
    size_t bytes = 0;

    for (uint64_t i = 0; i < count; i++) {
        bytes += texts[i].length;
    }
    begin_tree(atom, arena, bytes);
    for (uint64_t i = 0; i < count; i++) {
        put_text(atom, texts[i].data, texts[i].length);
    }
}

static void make_tails(struct atom *atom, struct gray_arena *arena)
{
    const struct cond *test = atom->side.cond;

    begin_tree(atom, arena, (size_t)test->tail_width * test->tail_count);
    for (uint32_t i = 0; i < test->tail_count; i++) {
        char digits[16];
        uint32_t number = test->tails[i];

        for (uint32_t k = test->tail_width; k > 0; k--) {
            digits[k - 1] = (char)('0' + number % 10);
            number /= 10;
        }
        put_text(atom, digits, test->tail_width);
    }
    atom->depth = test->tail_width;
    make_fails(atom, arena);
}

/* ---- making ------------------------------------------------------------------- */

static bool make_pattern(struct atom *atom)
{
    const struct cond *test = atom->side.cond;
    struct dfa_error error;

    atom->kind = ATOM_PATTERN;
    atom->fold = false; /* the automaton knows */
    return dfa_build(&atom->dfa,
                     test->op == GRAY_CONDITION_REGEX  ? DFA_REGEX
                     : test->op == GRAY_CONDITION_GLOB ? DFA_GLOB
                                                       : DFA_CONTAINS,
                     test->text.data, test->text.length, test->ignore_case,
                     &error) == 0;
}

static void make_list(struct atom *atom, struct gray_arena *arena)
{
    const struct model_list *list =
        &atom->side.model->lists[atom->side.cond->list];

    atom->kind = ATOM_LIST;
    if (list->id_count <= GRAY_ATOM_IDS_MAX) {
        atom->kind = ATOM_SET;
        make_texts(atom, arena, list->ids, list->id_count);
    }
}

int gray_atom_make(struct gray_arena *arena, struct side side,
                   struct atom *ret_atom)
{
    const struct cond *test = side.cond;
    struct atom atom = {.side = side, .fold = test->ignore_case};

    switch (test->op) {
    case GRAY_CONDITION_EXACT:
        atom.kind = ATOM_SET;
        make_texts(&atom, arena, &test->text, 1);
        break;
    case GRAY_CONDITION_IN:
    case GRAY_CONDITION_NOT_IN:
        atom.kind = ATOM_SET;
        make_texts(&atom, arena, test->texts, test->text_count);
        break;
    case GRAY_CONDITION_LIST:
        make_list(&atom, arena);
        break;
    case GRAY_CONDITION_PREFIX:
        atom.kind = ATOM_PREFIX;
        make_texts(&atom, arena, &test->text, 1);
        break;
    case GRAY_CONDITION_SUFFIX:
        atom.kind = ATOM_ENDING;
        make_texts(&atom, arena, &test->text, 1);
        atom.depth = test->text.length;
        make_fails(&atom, arena);
        break;
    case GRAY_CONDITION_ID_TAIL:
        atom.kind = ATOM_ENDING;
        make_tails(&atom, arena);
        break;
    case GRAY_CONDITION_CONTAINS:
    case GRAY_CONDITION_GLOB:
    case GRAY_CONDITION_REGEX:
        if (!make_pattern(&atom)) {
            return -1;
        }
        break;
    case GRAY_CONDITION_RANGE:
        atom.kind = ATOM_RANGE;
        break;
    case GRAY_CONDITION_MOD:
        atom.kind = test->divisor <= GRAY_ATOM_DIVISOR_MAX ? ATOM_MOD
                                                           : ATOM_OPAQUE;
        break;
    case GRAY_CONDITION_BLANK:
        atom.kind = ATOM_BLANK;
        break;
    case GRAY_CONDITION_SEMVER:
    case GRAY_CONDITION_DATE:
        atom.kind = ATOM_ORDER;
        break;
    case GRAY_CONDITION_CIDR:
        atom.kind = ATOM_NETWORK;
        break;
    default:
        return 1;
    }
    *ret_atom = atom;
    return 0;
}

void gray_atom_free(struct atom *atom)
{
    if (atom->kind == ATOM_PATTERN) {
        dfa_free(&atom->dfa);
    }
}

bool gray_atom_runs(const struct atom *atom)
{
    return atom->kind < ATOM_ORDER && atom->kind != ATOM_LIST;
}

/* ---- numbers: range ------------------------------------------------------------- */

/* A range knows the sign, how many digits were read behind zeros, and for each
 * bound whether they are below, equal to or above as many of its own first
 * ones:  1 + ((sign * 21 + digits) * 3 + below start) * 3 + below end, and
 * digits 0 once for "nothing yet" (state 1, or 2 behind the sign). */
#define NUMBER_DIGITS 20u
enum relation { RELATION_LESS, RELATION_EQUAL, RELATION_MORE };
struct read_number {
    bool negative, begun; /* a digit was read */
    uint32_t digits;      /* behind zeros; NUMBER_DIGITS: so many, or more */
    enum relation low, high;
};

static uint32_t pack(struct read_number number)
{
    return 1 + (((((uint32_t)number.negative * 2 + number.begun) *
                      (NUMBER_DIGITS + 1) +
                  number.digits) *
                     3 +
                 number.low) *
                    3 +
                number.high);
}

static struct read_number unpack(uint32_t state)
{
    struct read_number number;

    state--;
    number.high = (enum relation)(state % 3);
    state /= 3;
    number.low = (enum relation)(state % 3);
    state /= 3;
    number.digits = state % (NUMBER_DIGITS + 1);
    state /= NUMBER_DIGITS + 1;
    number.begun = state % 2 != 0;
    number.negative = state / 2 != 0;
    return number;
}

static uint32_t digits_of(uint64_t bound, char room[NUMBER_DIGITS + 4])
{
    char buffer[GRAY_DIGITS];
    const char *text = gray_digits(bound, buffer);
    uint32_t length = bound == 0 ? 0 : (uint32_t)strlen(text);

    memcpy(room, text, length);
    return length;
}

/* What is left of a relation after one more digit. */
static enum relation relate(enum relation so_far, uint64_t bound, uint32_t at,
                            char digit)
{
    char digits[NUMBER_DIGITS + 4];
    uint32_t length = digits_of(bound, digits);

    if (so_far != RELATION_EQUAL || at >= length) {
        return so_far;
    }
    return digit < digits[at]   ? RELATION_LESS
           : digit > digits[at] ? RELATION_MORE
                                : RELATION_EQUAL;
}

static enum relation compare(uint32_t digits, enum relation relation,
                             uint64_t bound)
{
    char room[NUMBER_DIGITS + 4];
    uint32_t length = digits_of(bound, room);

    return digits < length   ? RELATION_LESS
           : digits > length ? RELATION_MORE
                             : relation;
}

static uint64_t magnitude(int64_t value)
{
    return value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
}

static uint32_t step_range(const struct cond *test, uint32_t state,
                           uint8_t byte)
{
    struct read_number number = unpack(state);
    char digit = (char)byte;

    if (byte == '-' && !number.begun && !number.negative) {
        number.negative = true;
        return pack(number);
    }
    if (byte < '0' || byte > '9') {
        return GRAY_ATOM_DEAD;
    }
    number.begun = true;
    if (number.digits == 0 && byte == '0') {
        return pack(number);
    }
    if (number.digits == NUMBER_DIGITS) {
        return pack(number);
    }
    number.low =
        relate(number.low, magnitude(test->start), number.digits, digit);
    number.high =
        relate(number.high, magnitude(test->end), number.digits, digit);
    number.digits++;
    return pack(number);
}

/* Is the number that was read at least `bound`? */
static bool at_least(const struct read_number *number, enum relation relation,
                     int64_t bound)
{
    enum relation against =
        compare(number->digits, relation, magnitude(bound));
    bool zero = number->digits == 0;

    if (number->negative && !zero) {
        return bound < 0 && against != RELATION_MORE;
    }
    return bound < 0 || (zero ? bound == 0 : against != RELATION_LESS);
}

static bool accepts_range(const struct cond *test, uint32_t state)
{
    struct read_number number = unpack(state);

    return number.begun && at_least(&number, number.low, test->start) &&
           !at_least(&number, number.high, test->end);
}

/* ---- numbers: mod --------------------------------------------------------------- */

/* Digits behind zeros up to 20, how the 20 stand to 2^64 - 1, the remainder:
 * 2 + (digits * 3 + relation) * divisor + remainder; 1: nothing yet. */
static uint32_t step_mod(const struct cond *test, uint32_t state, uint8_t byte)
{
    static const char most[] = "18446744073709551615";
    uint32_t divisor = (uint32_t)test->divisor;
    uint32_t digits = 0, relation = RELATION_EQUAL, rest = 0;
    uint32_t digit = (uint32_t)(byte - '0');

    if (byte < '0' || byte > '9') {
        return GRAY_ATOM_DEAD;
    }
    if (state > 1) {
        rest = (state - 2) % divisor;
        relation = (state - 2) / divisor % 3;
        digits = (state - 2) / divisor / 3;
    }
    if (digits == 0 && digit == 0) {
        return 2 + RELATION_EQUAL * divisor;
    }
    if (digits == NUMBER_DIGITS) {
        return GRAY_ATOM_DEAD;
    }
    if (relation == RELATION_EQUAL && byte != (uint8_t)most[digits]) {
        relation = byte < (uint8_t)most[digits] ? RELATION_LESS
                                                : RELATION_MORE;
    }
    digits++;
    rest = (uint32_t)(((uint64_t)rest * 10 + digit) % divisor);
    if (digits == NUMBER_DIGITS && relation == RELATION_MORE) {
        return GRAY_ATOM_DEAD;
    }
    return 2 + (digits * 3 + relation) * divisor + rest;
}

static bool accepts_mod(const struct cond *test, uint32_t state)
{
    uint64_t rest = state > 1 ? (state - 2) % test->divisor : 0;

    for (uint32_t i = 0; state > 1 && i < test->range_count; i++) {
        if (rest >= test->ranges[i].first && rest <= test->ranges[i].last) {
            return true;
        }
    }
    return false;
}

/* ---- running -------------------------------------------------------------------- */

uint32_t gray_atom_start(const struct atom *atom)
{
    struct read_number number = {.low = RELATION_EQUAL,
                                 .high = RELATION_EQUAL};

    return atom->kind == ATOM_RANGE ? pack(number) : 1;
}

uint32_t gray_atom_step(const struct atom *atom, uint32_t state, uint8_t byte)
{
    if (state == GRAY_ATOM_DEAD) {
        return GRAY_ATOM_DEAD;
    }
    switch (atom->kind) {
    case ATOM_SET:
        return child_of(atom, state, folded(atom, byte));
    case ATOM_PREFIX:
        return atom->nodes[state].accepts
                   ? state
                   : child_of(atom, state, folded(atom, byte));
    case ATOM_ENDING:
        return follow(atom, state, folded(atom, byte));
    case ATOM_PATTERN:
        return atom->dfa.table[state * atom->dfa.classes +
                               atom->dfa.class_of[byte]];
    case ATOM_RANGE:
        return step_range(atom->side.cond, state, byte);
    case ATOM_MOD:
        return step_mod(atom->side.cond, state, byte);
    case ATOM_BLANK:
        return byte == ' ' || byte == '\t' ? 1 : GRAY_ATOM_DEAD;
    default:
        return GRAY_ATOM_DEAD;
    }
}

bool gray_atom_accepts(const struct atom *atom, uint32_t state)
{
    if (state == GRAY_ATOM_DEAD) {
        return false;
    }
    switch (atom->kind) {
    case ATOM_SET:
    case ATOM_PREFIX:
    case ATOM_ENDING:
        return atom->nodes[state].accepts;
    case ATOM_PATTERN:
        return (atom->dfa.accept[state / 32] >> (state % 32) & 1) != 0;
    case ATOM_RANGE:
        return accepts_range(atom->side.cond, state);
    case ATOM_MOD:
        return accepts_mod(atom->side.cond, state);
    case ATOM_BLANK:
        return true;
    default:
        return false;
    }
}

/* ---- bytes ------------------------------------------------------------------------ */

static void put_digits(struct byte_set *bytes)
{
    for (uint8_t byte = '0'; byte <= '9'; byte++) {
        byte_put(bytes, byte);
    }
}

void gray_atom_bytes(const struct atom *atom, struct byte_set *bytes)
{
    for (uint32_t i = 2; i < atom->node_count; i++) {
        uint8_t byte = atom->nodes[i].byte;

        byte_put(bytes, byte);
        if (atom->fold && byte >= 'a' && byte <= 'z') {
            byte_put(bytes, (uint8_t)(byte - 0x20));
        }
    }
    switch (atom->kind) {
    case ATOM_RANGE:
        byte_put(bytes, '-');
        put_digits(bytes);
        break;
    case ATOM_MOD:
        put_digits(bytes);
        break;
    case ATOM_BLANK:
        byte_put(bytes, ' ');
        byte_put(bytes, '\t');
        break;
    default:
        break; /* patterns have classes of their own, see classes.c */
    }
}
