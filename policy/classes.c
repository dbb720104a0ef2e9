/* SPDX-License-Identifier: Apache-2.0
 * classes.c - see classes.h.
 *
 * Why: a search in breadth over the product of all automata meets every way of
 * answering, each by one of its shortest values, and ends, for the product is
 * finite; a bound on its size says when it is too large to be searched.  Bytes
 * that no test tells apart are tried once.
 * Read next: atom.c, order.c.
 */
#include "policy/classes.h"

#include <string.h>

/* ---- bytes ---------------------------------------------------------------------- */

/* Bytes that a value of this source can have. */
static bool may_stand(uint8_t source, uint8_t byte)
{
    bool control = (byte < 0x20 && byte != '\t') || byte == 0x7f;

    switch (source) {
    case GRAY_SOURCE_HEADER:
        return !control;
    case GRAY_SOURCE_COOKIE:
        return !control && byte != ';';
    case GRAY_SOURCE_METHOD:
        return !control && byte != ' ' && byte != '\t';
    case GRAY_SOURCE_HOST:
        return !control && byte != ' ' && byte != '\t' && byte != ':' &&
               byte != '/' && (byte < 'A' || byte > 'Z');
    case GRAY_SOURCE_PATH:
        return !control && byte != ' ' && byte != '\t' && byte != '?' &&
               byte != '#';
    case GRAY_SOURCE_SEGMENT:
    case GRAY_SOURCE_GRPC_SERVICE:
    case GRAY_SOURCE_GRPC_METHOD:
        return !control && byte != ' ' && byte != '\t' && byte != '?' &&
               byte != '#' && byte != '/';
    default:
        return byte != 0;
    }
}

struct search {
    struct classes *classes;
    const struct atom **run; /* atoms with an automaton */
    uint32_t *number;        /* theirs */
    uint32_t stride;         /* of a state: one number an automaton, and 1 once
                                the value is not empty */
    uint8_t bytes[256];      /* one of each group */
    uint32_t byte_count;
    uint32_t *states, *parents;
    uint8_t *reading;        /* the byte that led here */
    uint32_t count, capacity;
    uint32_t *table, table_size;
};

static bool same_group(const struct search *s, const struct byte_set *special,
                       uint8_t a, uint8_t b)
{
    if (byte_in(special, a) || byte_in(special, b)) {
        return false;
    }
    for (uint32_t i = 0; i + 1 < s->stride; i++) {
        if (s->run[i]->kind == ATOM_PATTERN &&
            s->run[i]->dfa.class_of[a] != s->run[i]->dfa.class_of[b]) {
            return false;
        }
    }
    return true;
}

static void add_group(struct search *s, const struct byte_set *special,
                      uint8_t byte)
{
    if (!may_stand(s->classes->source, byte)) {
        return;
    }
    for (uint32_t i = 0; i < s->byte_count; i++) {
        if (s->bytes[i] == byte || same_group(s, special, s->bytes[i], byte)) {
            return;
        }
    }
    s->bytes[s->byte_count++] = byte;
}

/* The ones that are easy to read come first, and stand for their group. */
static void find_bytes(struct search *s)
{
    static const char plain[] = "1234567890xabcdefghijklmnopqrstuvwyzXABCDEFGHI"
                                "JKLMNOPQRSTUVWYZ-_.";
    struct byte_set special = {{0}};

    for (uint32_t i = 0; i + 1 < s->stride; i++) {
        gray_atom_bytes(s->run[i], &special);
    }
    for (const char *c = plain; *c != '\0'; c++) {
        add_group(s, &special, (uint8_t)*c);
    }
    for (uint32_t byte = 0x20; byte < 0x120; byte++) {
        add_group(s, &special, (uint8_t)byte);
    }
}

/* ---- states ----------------------------------------------------------------------- */

static void grow(struct search *s)
{
    struct gray_arena *arena = s->classes->arena;
    uint32_t capacity = s->capacity == 0 ? 256 : s->capacity * 2;
    size_t bytes = (size_t)s->stride * sizeof(uint32_t);
    uint32_t *states = gray_arena_array(arena, capacity, bytes);
    uint32_t *parents = gray_arena_array(arena, capacity, sizeof(*parents));
    uint8_t *reading = gray_arena_array(arena, capacity, 1);

    if (s->count > 0) {
        memcpy(states, s->states, s->count * bytes);
        memcpy(parents, s->parents, s->count * sizeof(*parents));
        memcpy(reading, s->reading, s->count);
    }
    s->states = states;
    s->parents = parents;
    s->reading = reading;
    s->capacity = capacity;
    s->table_size = capacity * 2;
    s->table = gray_arena_array(arena, s->table_size, sizeof(*s->table));
    for (uint32_t i = 0; i < s->count; i++) {
        uint64_t hash =
            gray_mix_bytes(0, s->states + (size_t)i * s->stride, bytes);
        uint32_t at = (uint32_t)hash & (s->table_size - 1);

        while (s->table[at] != 0) {
            at = (at + 1) & (s->table_size - 1);
        }
        s->table[at] = i + 1;
    }
}

/* Keeps a state that is new; true when it was. */
static bool keep(struct search *s, const uint32_t *state, uint32_t parent,
                 uint8_t byte)
{
    size_t bytes = (size_t)s->stride * sizeof(uint32_t);
    uint32_t at;

    if (s->count == s->capacity) {
        grow(s);
    }
    at = (uint32_t)gray_mix_bytes(0, state, bytes) & (s->table_size - 1);
    for (; s->table[at] != 0; at = (at + 1) & (s->table_size - 1)) {
        if (memcmp(s->states + (size_t)(s->table[at] - 1) * s->stride, state,
                   bytes) == 0) {
            return false;
        }
    }
    s->table[at] = ++s->count;
    memcpy(s->states + (size_t)(s->count - 1) * s->stride, state, bytes);
    s->parents[s->count - 1] = parent;
    s->reading[s->count - 1] = byte;
    return true;
}

static struct model_text text_of(const struct search *s, uint32_t state)
{
    uint32_t length = 0;
    char *text;

    for (uint32_t i = state; i != 0; i = s->parents[i]) {
        length++;
    }
    text = gray_arena_take(s->classes->arena, length + 1);
    for (uint32_t i = state, at = length; i != 0; i = s->parents[i]) {
        text[--at] = (char)s->reading[i];
    }
    return (struct model_text){text, length};
}

static void answers_at(const struct search *s, uint32_t state,
                       struct answers *ret)
{
    const uint32_t *at = s->states + (size_t)state * s->stride;

    memset(ret, 0, sizeof(*ret));
    for (uint32_t i = 0; i + 1 < s->stride; i++) {
        if (gray_atom_accepts(s->run[i], at[i])) {
            answer_put(ret, s->number[i]);
        }
    }
    if (at[s->stride - 1] != 0) {
        answer_put(ret, GRAY_ATOMS_MAX);
    }
}

/* ---- classes ------------------------------------------------------------------------ */

static bool is_positive_set(const struct atom *atom)
{
    return atom->kind == ATOM_SET || atom->kind == ATOM_LIST;
}

static void put_class(struct classes *c, struct model_text text,
                      const struct answers *answers, bool apart)
{
    struct value_class item = {.text = text, .answers = *answers,
                               .apart = apart};

    for (uint32_t i = 0; i < c->count && !apart; i++) {
        if (!c->items[i].apart &&
            answers_equal(&c->items[i].answers, answers)) {
            return;
        }
    }
    if (c->count == GRAY_CLASSES_MAX) {
        c->incomplete = "its values fall into too many classes";
        return;
    }
    if (c->count == c->capacity) {
        uint32_t capacity = c->capacity == 0 ? 16 : c->capacity * 2;
        struct value_class *items =
            gray_arena_array(c->arena, capacity, sizeof(*items));

        if (c->count > 0) {
            memcpy(items, c->items, c->count * sizeof(*items));
        }
        c->items = items;
        c->capacity = capacity;
    }
    for (uint32_t i = 0; i < c->atom_count; i++) {
        item.few |= is_positive_set(&c->atoms[i]) && answer_of(answers, i);
    }
    c->items[c->count++] = item;
}

static bool spend(struct classes *c, uint64_t steps)
{
    if (*c->steps < steps) {
        c->incomplete = "its tests together are too large to be searched";
        return false;
    }
    *c->steps -= steps;
    return true;
}

static void search_all(struct search *s)
{
    struct classes *c = s->classes;
    uint32_t *next = gray_arena_array(c->arena, s->stride, sizeof(*next));

    for (uint32_t i = 0; i + 1 < s->stride; i++) {
        next[i] = gray_atom_start(s->run[i]);
    }
    keep(s, next, 0, 0);
    for (uint32_t state = 0; state < s->count; state++) {
        struct answers answers;

        answers_at(s, state, &answers);
        put_class(c, text_of(s, state), &answers, false);
        for (uint32_t b = 0; b < s->byte_count; b++) {
            const uint32_t *at = s->states + (size_t)state * s->stride;

            for (uint32_t i = 0; i + 1 < s->stride; i++) {
                next[i] = gray_atom_step(s->run[i], at[i], s->bytes[b]);
            }
            next[s->stride - 1] = 1;
            keep(s, next, state, s->bytes[b]);
        }
        if (!spend(c, (uint64_t)s->byte_count * s->stride + c->count) ||
            s->count > GRAY_CLASS_STATES_MAX) {
            c->incomplete = "its tests together are too large to be searched";
            return;
        }
    }
}

/* Ids of long lists are values of their own. What of the others lies in a list
 * by chance is exchanged for something that does not. */
static void add_ids(struct classes *c)
{
    for (uint32_t i = 0; i < c->atom_count; i++) {
        const struct model_list *list;

        if (c->atoms[i].kind != ATOM_LIST) {
            continue;
        }
        list = &c->atoms[i].side.model->lists[c->atoms[i].side.cond->list];
        for (uint64_t k = 0; k < list->id_count; k++) {
            if (!spend(c, c->count + 16 * c->atom_count)) {
                return;
            }
            gray_classes_add(c, list->ids[k], false);
        }
    }
}

static void leave_lists(struct classes *c, uint32_t number)
{
    char room[GRAY_SAMPLE_ROOM];
    struct answers found;

    for (uint32_t i = 1; i < 256; i++) {
        struct model_text value = c->items[number].text;

        gray_classes_answers(c, value, &found);
        if (answers_equal(&found, &c->items[number].answers)) {
            return;
        }
        if (gray_classes_sample(c, number, i, room, &value)) {
            c->items[number].text.data =
                gray_arena_copy(c->arena, value.data, value.length);
            c->items[number].text.length = value.length;
            return;
        }
    }
    c->incomplete = "a class of its values lies in a list";
}

void gray_classes_make(struct classes *c)
{
    struct search s = {.classes = c};
    uint32_t made;

    s.run = gray_arena_array(c->arena, c->atom_count + 1, sizeof(*s.run));
    s.number =
        gray_arena_array(c->arena, c->atom_count + 1, sizeof(*s.number));
    for (uint32_t i = 0; i < c->atom_count; i++) {
        if (gray_atom_runs(&c->atoms[i])) {
            s.run[s.stride] = &c->atoms[i];
            s.number[s.stride++] = i;
        } else if (c->atoms[i].kind == ATOM_OPAQUE) {
            c->incomplete = "it has a remainder by a large number";
        }
    }
    s.stride++;
    if (c->source != GRAY_SOURCE_ADDRESS) { /* those are found by order.c */
        find_bytes(&s);
        search_all(&s);
    }
    made = c->count;
    add_ids(c);
    for (uint32_t i = 0; i < made; i++) {
        leave_lists(c, i);
    }
    gray_classes_order(c);
}

/* ---- any value ------------------------------------------------------------------------ */

static bool in_list(const struct atom *atom, const struct model_text *value)
{
    const struct model_list *list =
        &atom->side.model->lists[atom->side.cond->list];
    uint64_t low = 0, high = list->id_count;

    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        int order = gray_text_compare(&list->ids[middle], value);

        if (order == 0) {
            return true;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return false;
}

void gray_classes_answers(const struct classes *c, struct model_text value,
                          struct answers *ret)
{
    memset(ret, 0, sizeof(*ret));
    for (uint32_t i = 0; i < c->atom_count; i++) {
        const struct atom *atom = &c->atoms[i];
        uint32_t state = gray_atom_start(atom);

        if (!gray_atom_runs(atom)) {
            if (atom->kind == ATOM_LIST && in_list(atom, &value)) {
                answer_put(ret, i);
            }
            continue;
        }
        for (uint32_t k = 0; k < value.length && state != GRAY_ATOM_DEAD;
             k++) {
            state = gray_atom_step(atom, state, (uint8_t)value.data[k]);
        }
        if (gray_atom_accepts(atom, state)) {
            answer_put(ret, i);
        }
    }
    if (value.length > 0) {
        answer_put(ret, GRAY_ATOMS_MAX);
    }
}

void gray_classes_add(struct classes *c, struct model_text value, bool apart)
{
    struct answers answers;

    gray_classes_answers(c, value, &answers);
    put_class(c, value, &answers, apart);
}

/* ---- others like it --------------------------------------------------------------------- */

static uint64_t draw(uint64_t *seed)
{
    *seed += 0x9e3779b97f4a7c15u;
    return gray_mix64(*seed);
}

/* Some bytes of it exchanged for others, digits for digits mostly. */
static void exchange(char *text, uint32_t length, uint64_t *seed)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    uint64_t keep_last = draw(seed) % 4;

    for (uint32_t i = 0; i + keep_last < length; i++) {
        if (draw(seed) % 2 == 0) {
            bool digit = text[i] >= '0' && text[i] <= '9';

            text[i] = digit ? (char)('0' + draw(seed) % 10)
                            : letters[draw(seed) % (sizeof(letters) - 1)];
        }
    }
}

bool gray_classes_sample(const struct classes *c, uint32_t number,
                         uint32_t try_number, char room[GRAY_SAMPLE_ROOM],
                         struct model_text *ret_value)
{
    struct model_text own = c->items[number].text;
    char digits[GRAY_DIGITS];
    const char *count = gray_digits(try_number / 4 + 1, digits);
    uint32_t length = (uint32_t)strlen(count);
    uint64_t seed = try_number;
    struct answers found;

    if (c->items[number].apart || own.length + length > GRAY_VALUE_MAX) {
        return false;
    }
    switch (try_number % 4) {
    case 0: /* 17 */
        memcpy(room, count, length);
        break;
    case 1: /* 17 and the value */
        memcpy(room, count, length);
        memcpy(room + length, own.data, own.length);
        length += own.length;
        break;
    case 2:
        memcpy(room, own.data, own.length);
        memcpy(room + own.length, count, length);
        length += own.length;
        break;
    default:
        memcpy(room, own.data, own.length);
        length = own.length;
        exchange(room, length, &seed);
        break;
    }
    *ret_value = (struct model_text){room, length};
    gray_classes_answers(c, *ret_value, &found);
    return answers_equal(&found, &c->items[number].answers);
}
