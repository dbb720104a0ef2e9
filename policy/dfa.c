/* SPDX-License-Identifier: Apache-2.0
 * dfa.c - a pattern's tree becomes a deterministic automaton.
 *
 * Why: Thompson's construction (K. Thompson, CACM 11(6), 1968), then the
 * subset construction (Rabin, Scott, 1959) over classes of bytes that no part
 * of the pattern tells apart.  Both can explode, so states, cells and steps
 * are counted, and a pattern like (a|b)*a(a|b){15} is refused in milliseconds
 * instead of eating the machine.
 * Read next: dfa_minimise.c, ../engine/program.c (which runs it).
 */
#include <stdlib.h>
#include <string.h>

#include "policy/dfa.h"

#define NONE UINT32_MAX
#define RAW_STATES_MAX (4 * GRAY_DFA_STATES_MAX) /* before minimising */
#define MEMBERS_MAX (4u << 20) /* sum of the sizes of all subsets */

/* BYTES: goes to `next` on a byte of the node's set; SPLIT: to both. */
enum nfa_kind { NFA_BYTES, NFA_SPLIT, NFA_ACCEPT };
struct nfa_state {
    enum nfa_kind kind;
    uint32_t next, other;
    uint32_t node; /* of the tree */
};

struct subset {
    uint32_t first, count; /* members[] */
    uint32_t hash;
};

struct builder {
    const struct tree *tree;
    struct dfa_error *error;
    uint32_t work;

    struct nfa_state *nfa;
    uint32_t nfa_count, nfa_max;

    uint32_t classes;
    uint8_t class_of[256], byte_of[256]; /* byte_of: one byte of the class */

    struct subset *subsets; /* by state of the DFA; [0] is empty */
    uint32_t states, state_capacity;
    uint32_t *members, member_count, member_capacity;
    uint32_t *cells, cell_count; /* hash to state */
    uint16_t *table;

    uint32_t *marks, mark; /* by NFA state: last closure that has it */
    uint32_t *found, found_count, *stack;
};

static int no_memory(struct builder *b)
{
    return dfa_fail(b->error, DFA_NO_MEMORY, 0, "Out of memory.");
}

static int too_large(struct builder *b)
{
    return dfa_fail(b->error, DFA_TOO_LARGE, 0,
                    "This pattern needs an automaton of more than %u states; "
                    "make its repetitions smaller, or anchor it by a fixed "
                    "beginning.", GRAY_DFA_STATES_MAX);
}

static int work(struct builder *b, uint32_t steps)
{
    b->work += steps;
    return b->work > DFA_WORK_MAX ? too_large(b) : 0;
}

/* ---- nondeterministic ---------------------------------------------------- */

static uint32_t new_state(struct builder *b, enum nfa_kind kind, uint32_t next,
                          uint32_t other)
{
    struct nfa_state *state;

    if (b->nfa_count == b->nfa_max) {
        too_large(b);
        return NONE;
    }
    state = &b->nfa[b->nfa_count];
    state->kind = kind;
    state->next = next;
    state->other = other;
    state->node = 0;
    return b->nfa_count++;
}

static uint32_t thread(struct builder *b, uint32_t node, uint32_t next);

static uint32_t thread_repeat(struct builder *b, const struct node *node,
                              uint32_t next)
{
    uint32_t at = next, body, i;

    if (node->at_most == UINT32_MAX) {
        at = new_state(b, NFA_SPLIT, NONE, next);
        if (at == NONE) {
            return NONE;
        }
        body = thread(b, node->left, at);
        if (body == NONE) {
            return NONE;
        }
        b->nfa[at].next = body;
    } else {
        for (i = node->at_least; i < node->at_most; i++) {
            body = thread(b, node->left, at);
            at = body == NONE ? NONE : new_state(b, NFA_SPLIT, body, next);
            if (at == NONE) {
                return NONE;
            }
        }
    }
    for (i = 0; i < node->at_least && at != NONE; i++) {
        at = thread(b, node->left, at);
    }
    return at;
}

/* States that accept what the node does and then go on at `next`; the first
 * of them. */
static uint32_t thread(struct builder *b, uint32_t number, uint32_t next)
{
    const struct node *node = &b->tree->nodes[number];
    uint32_t left, right;

    if (work(b, 1) != 0) {
        return NONE;
    }
    switch (node->kind) {
    case NODE_EMPTY:
        return next;
    case NODE_BYTES:
        left = new_state(b, NFA_BYTES, next, NONE);
        if (left != NONE) {
            b->nfa[left].node = number;
        }
        return left;
    case NODE_CONCAT:
        right = thread(b, node->right, next);
        return right == NONE ? NONE : thread(b, node->left, right);
    case NODE_ALTERNATE:
        left = thread(b, node->left, next);
        right = left == NONE ? NONE : thread(b, node->right, next);
        return right == NONE ? NONE : new_state(b, NFA_SPLIT, left, right);
    case NODE_REPEAT:
        return thread_repeat(b, node, next);
    }
    return NONE;
}

static bool has_byte(const struct node *node, uint8_t byte)
{
    return node->bytes.bits[byte >> 6] >> (byte & 63) & 1;
}

/* Bytes that every set of the pattern has or has not together. */
static void find_classes(struct builder *b)
{
    uint16_t split[512], next;
    uint32_t i;
    int byte;

    b->classes = 1;
    for (i = 0; i < b->tree->count; i++) {
        const struct node *node = &b->tree->nodes[i];

        if (node->kind != NODE_BYTES) {
            continue;
        }
        memset(split, 0xff, sizeof(split));
        next = 0;
        for (byte = 0; byte < 256; byte++) {
            uint16_t *cell = &split[b->class_of[byte] * 2 +
                                    has_byte(node, (uint8_t)byte)];

            if (*cell == UINT16_MAX) {
                *cell = next++;
            }
            b->class_of[byte] = (uint8_t)*cell;
        }
        b->classes = next;
    }
    for (byte = 255; byte >= 0; byte--) {
        b->byte_of[b->class_of[byte]] = (uint8_t)byte;
    }
}

/* ---- deterministic ------------------------------------------------------- */

/* Adds what can be reached from `start` without a byte to b->found. */
static int close_over(struct builder *b, uint32_t start)
{
    uint32_t depth = 0, at;

    b->stack[depth++] = start;
    while (depth != 0) {
        at = b->stack[--depth];
        if (b->marks[at] == b->mark) {
            continue;
        }
        b->marks[at] = b->mark;
        if (work(b, 1) != 0) {
            return -1;
        }
        if (b->nfa[at].kind == NFA_SPLIT) {
            b->stack[depth++] = b->nfa[at].other;
            b->stack[depth++] = b->nfa[at].next;
        } else {
            b->found[b->found_count++] = at;
        }
    }
    return 0;
}

static uint32_t mixed(uint32_t value)
{
    value = (value ^ value >> 16) * 0x7feb352du;
    value = (value ^ value >> 15) * 0x846ca68bu;
    return value ^ value >> 16;
}

static bool is_found(const struct builder *b, const struct subset *subset,
                     uint32_t hash)
{
    uint32_t i;

    if (subset->hash != hash || subset->count != b->found_count) {
        return false;
    }
    for (i = 0; i < subset->count; i++) {
        if (b->marks[b->members[subset->first + i]] != b->mark) {
            return false;
        }
    }
    return true;
}

static void put_cell(struct builder *b, uint32_t state)
{
    uint32_t at = b->subsets[state].hash & (b->cell_count - 1);

    while (b->cells[at] != NONE) {
        at = (at + 1) & (b->cell_count - 1);
    }
    b->cells[at] = state;
}

/* Room for twice as many states, at most half of the cells in use. */
static int grow_states(struct builder *b)
{
    uint32_t capacity = b->state_capacity == 0 ? 32 : b->state_capacity * 2;
    struct subset *subsets;
    uint16_t *table;
    uint32_t *cells, state;

    subsets = realloc(b->subsets, capacity * sizeof(*subsets));
    if (subsets == NULL) {
        return no_memory(b);
    }
    b->subsets = subsets;
    table = realloc(b->table, (size_t)capacity * b->classes * sizeof(*table));
    if (table == NULL) {
        return no_memory(b);
    }
    b->table = table;
    cells = malloc(2 * (size_t)capacity * sizeof(*cells));
    if (cells == NULL) {
        return no_memory(b);
    }
    free(b->cells);
    b->cells = cells;
    b->cell_count = 2 * capacity;
    b->state_capacity = capacity;
    memset(cells, 0xff, b->cell_count * sizeof(*cells));
    for (state = 0; state < b->states; state++) {
        put_cell(b, state);
    }
    return 0;
}

static int grow(struct builder *b)
{
    uint32_t capacity = b->member_capacity;
    uint32_t *members;

    if (b->member_count + b->found_count > MEMBERS_MAX) {
        return too_large(b);
    }
    while (capacity < b->member_count + b->found_count) {
        capacity = capacity == 0 ? 256 : capacity * 2;
    }
    if (capacity != b->member_capacity) {
        members = realloc(b->members, capacity * sizeof(*members));
        if (members == NULL) {
            return no_memory(b);
        }
        b->members = members;
        b->member_capacity = capacity;
    }
    return b->states == b->state_capacity ? grow_states(b) : 0;
}

static uint32_t hash_found(const struct builder *b)
{
    uint32_t hash = b->found_count, i;

    for (i = 0; i < b->found_count; i++) {
        hash += mixed(b->found[i]);
    }
    return hash;
}

/* The state of the subset in b->found; a new one when there is none. */
static int intern(struct builder *b, uint16_t *ret_state)
{
    uint32_t hash = hash_found(b), at;
    struct subset *subset;

    at = b->cell_count == 0 ? 0 : hash & (b->cell_count - 1);
    while (b->cell_count != 0 && b->cells[at] != NONE) {
        if (is_found(b, &b->subsets[b->cells[at]], hash)) {
            *ret_state = (uint16_t)b->cells[at];
            return 0;
        }
        at = (at + 1) & (b->cell_count - 1);
    }
    if (b->states == RAW_STATES_MAX ||
        (b->states + 1) * b->classes > DFA_CELLS_MAX) {
        return too_large(b);
    }
    if (grow(b) != 0) {
        return -1;
    }
    subset = &b->subsets[b->states];
    subset->first = b->member_count;
    subset->count = b->found_count;
    subset->hash = hash;
    if (b->found_count != 0) {
        memcpy(b->members + b->member_count, b->found,
               b->found_count * sizeof(*b->found));
    }
    b->member_count += b->found_count;
    put_cell(b, b->states);
    *ret_state = (uint16_t)b->states++;
    return 0;
}

static void begin_subset(struct builder *b)
{
    b->found_count = 0;
    b->mark++;
}

static int step(struct builder *b, uint32_t state, uint32_t class,
                uint16_t *ret_state)
{
    uint8_t byte = b->byte_of[class];
    uint32_t i;

    begin_subset(b);
    if (work(b, b->subsets[state].count + 1) != 0) {
        return -1;
    }
    for (i = 0; i < b->subsets[state].count; i++) {
        const struct nfa_state *at =
            &b->nfa[b->members[b->subsets[state].first + i]];

        if (at->kind == NFA_BYTES && has_byte(&b->tree->nodes[at->node],
                                              byte) &&
            close_over(b, at->next) != 0) {
            return -1;
        }
    }
    return intern(b, ret_state);
}

static int make_states(struct builder *b, uint32_t start)
{
    uint32_t state, class;
    uint16_t next;

    begin_subset(b);
    if (intern(b, &next) != 0) {
        return -1;
    }
    begin_subset(b);
    if (close_over(b, start) != 0 || intern(b, &next) != 0) {
        return -1;
    }
    for (state = 0; state < b->states; state++) {
        for (class = 0; class < b->classes; class++) {
            if (step(b, state, class, &next) != 0) {
                return -1;
            }
            b->table[state * b->classes + class] = next;
        }
    }
    return 0;
}

/* States that thread() will make for a node, at most `limit`; children have
 * lower numbers, so one pass over the tree is enough. */
static uint64_t count_nfa(const struct node *node, const uint32_t *counts,
                          uint64_t limit)
{
    uint64_t left, sum = 0;

    switch (node->kind) {
    case NODE_EMPTY:
        break;
    case NODE_BYTES:
        sum = 1;
        break;
    case NODE_CONCAT:
        sum = (uint64_t)counts[node->left] + counts[node->right];
        break;
    case NODE_ALTERNATE:
        sum = (uint64_t)counts[node->left] + counts[node->right] + 1;
        break;
    case NODE_REPEAT:
        left = counts[node->left];
        sum = left * node->at_least +
              (left + 1) * (node->at_most == UINT32_MAX
                                ? 1
                                : node->at_most - node->at_least);
        break;
    }
    return sum < limit ? sum : limit;
}

static int reserve(struct builder *b)
{
    uint32_t *counts = malloc(b->tree->count * sizeof(*counts)), i;

    if (counts == NULL) {
        return no_memory(b);
    }
    for (i = 0; i < b->tree->count; i++) {
        counts[i] = (uint32_t)count_nfa(&b->tree->nodes[i], counts,
                                        DFA_NFA_MAX);
    }
    b->nfa_max = counts[b->tree->root] + 1; /* and ACCEPT */
    free(counts);
    if (b->nfa_max > DFA_NFA_MAX) {
        return too_large(b);
    }
    b->nfa = malloc(b->nfa_max * sizeof(*b->nfa));
    b->marks = calloc(b->nfa_max, sizeof(*b->marks));
    b->found = malloc(b->nfa_max * sizeof(*b->found));
    b->stack = malloc((2 * (size_t)b->nfa_max + 2) * sizeof(*b->stack));
    if (b->nfa == NULL || b->marks == NULL || b->found == NULL ||
        b->stack == NULL) {
        return no_memory(b);
    }
    return 0;
}

static void release(struct builder *b)
{
    free(b->nfa);
    free(b->subsets);
    free(b->members);
    free(b->cells);
    free(b->table);
    free(b->marks);
    free(b->found);
    free(b->stack);
}

static int finish(struct builder *b, uint32_t accept, struct dfa *ret_dfa)
{
    struct dfa dfa;
    uint32_t state, i;

    memset(&dfa, 0, sizeof(dfa));
    dfa.work = b->work;
    dfa.states = b->states;
    dfa.classes = b->classes;
    memcpy(dfa.class_of, b->class_of, sizeof(dfa.class_of));
    dfa.accept = calloc((b->states + 31) / 32, sizeof(*dfa.accept));
    if (dfa.accept == NULL) {
        return no_memory(b);
    }
    for (state = 0; state < b->states; state++) {
        for (i = 0; i < b->subsets[state].count; i++) {
            if (b->members[b->subsets[state].first + i] == accept) {
                dfa.accept[state >> 5] |= UINT32_C(1) << (state & 31);
            }
        }
    }
    dfa.table = b->table;
    b->table = NULL;
    if (dfa_minimise(&dfa, b->error) != 0) {
        dfa_free(&dfa);
        return -1;
    }
    *ret_dfa = dfa;
    return 0;
}

int dfa_build(struct dfa *ret_dfa, enum dfa_kind kind, const char *pattern,
              uint32_t length, bool ignore_case, struct dfa_error *ret_error)
{
    struct tree tree;
    struct builder b;
    uint32_t accept, start;
    int result = -1;

    memset(&b, 0, sizeof(b));
    b.tree = &tree;
    b.error = ret_error;
    if (dfa_parse(&tree, kind, pattern, length, ignore_case, ret_error) != 0) {
        return -1;
    }
    if (reserve(&b) == 0) {
        find_classes(&b);
        accept = new_state(&b, NFA_ACCEPT, NONE, NONE);
        start = thread(&b, tree.root, accept);
        if (start != NONE && make_states(&b, start) == 0) {
            result = finish(&b, accept, ret_dfa);
        }
    }
    release(&b);
    free(tree.nodes);
    return result;
}

void dfa_free(struct dfa *dfa)
{
    if (dfa == NULL) {
        return;
    }
    free(dfa->table);
    free(dfa->accept);
    dfa->table = NULL;
    dfa->accept = NULL;
}

bool dfa_match(const struct dfa *dfa, const char *data, size_t length)
{
    uint32_t state = 1;
    size_t i;

    for (i = 0; i < length && state != 0; i++) {
        state = dfa->table[state * dfa->classes +
                           dfa->class_of[(uint8_t)data[i]]];
    }
    return dfa->accept[state >> 5] >> (state & 31) & 1;
}
