/* SPDX-License-Identifier: Apache-2.0
 * dfa_minimise.c - the smallest automaton of a language, in one order.
 *
 * Why: snapshots are mapped by every worker, so each state counts; and the
 * same pattern must give the same bytes.  States that no value can tell apart
 * are merged by Hopcroft's algorithm (J. Hopcroft, 1971: n log n), then byte
 * classes with equal columns; what is left is numbered from the start, breadth
 * first, classes by their lowest byte.
 * Read next: dfa.c.
 */
#include <stdlib.h>
#include <string.h>

#include "policy/dfa.h"

#define NONE UINT32_MAX

/* Blocks are ranges of `items`; marked items of a block stand at its front. */
struct partition {
    const struct dfa *dfa;
    uint32_t *items, *place_of, *block_of; /* by place, state, state */
    uint32_t *first, *size, *marked;       /* by block */
    uint32_t blocks;
    uint32_t *from_first, *from; /* states that lead to a state, by class */
    uint32_t *queue, queued;     /* splitters: block * classes + class */
    uint8_t *in_queue;
    uint32_t *touched, touched_count;
    uint32_t *sources;
};

static void *take(size_t count, size_t size)
{
    return calloc(count + 1, size);
}

static void release(struct partition *p)
{
    free(p->items);
    free(p->place_of);
    free(p->block_of);
    free(p->first);
    free(p->size);
    free(p->marked);
    free(p->from_first);
    free(p->from);
    free(p->queue);
    free(p->in_queue);
    free(p->touched);
    free(p->sources);
}

static int reserve(struct partition *p)
{
    size_t states = p->dfa->states, cells = states * p->dfa->classes;

    p->items = take(states, sizeof(uint32_t));
    p->place_of = take(states, sizeof(uint32_t));
    p->block_of = take(states, sizeof(uint32_t));
    p->first = take(states, sizeof(uint32_t));
    p->size = take(states, sizeof(uint32_t));
    p->marked = take(states, sizeof(uint32_t));
    p->from_first = take(cells, sizeof(uint32_t));
    p->from = take(cells, sizeof(uint32_t));
    p->queue = take(cells, sizeof(uint32_t));
    p->in_queue = take(cells, 1);
    p->touched = take(states, sizeof(uint32_t));
    p->sources = take(states, sizeof(uint32_t));
    return p->items == NULL || p->place_of == NULL || p->block_of == NULL ||
                   p->first == NULL || p->size == NULL || p->marked == NULL ||
                   p->from_first == NULL || p->from == NULL ||
                   p->queue == NULL || p->in_queue == NULL ||
                   p->touched == NULL || p->sources == NULL
               ? -1
               : 0;
}

static bool accepts(const struct dfa *dfa, uint32_t state)
{
    return dfa->accept[state >> 5] >> (state & 31) & 1;
}

/* from[from_first[class * states + state] ..]: counted, then filled from the
 * back so that the sums become the starts. */
static void invert(struct partition *p)
{
    const struct dfa *dfa = p->dfa;
    uint32_t states = dfa->states, cell, state, class, sum = 0;

    for (state = 0; state < states; state++) {
        for (class = 0; class < dfa->classes; class++) {
            p->from_first[class * states +
                          dfa->table[state * dfa->classes + class]]++;
        }
    }
    for (cell = 0; cell < states * dfa->classes; cell++) {
        sum += p->from_first[cell];
        p->from_first[cell] = sum;
    }
    p->from_first[cell] = sum;
    for (state = states; state-- > 0;) {
        for (class = 0; class < dfa->classes; class++) {
            cell = class * states + dfa->table[state * dfa->classes + class];
            p->from[--p->from_first[cell]] = state;
        }
    }
}

static void enqueue(struct partition *p, uint32_t block)
{
    uint32_t class, splitter;

    for (class = 0; class < p->dfa->classes; class++) {
        splitter = block * p->dfa->classes + class;
        if (!p->in_queue[splitter]) {
            p->in_queue[splitter] = 1;
            p->queue[p->queued++] = splitter;
        }
    }
}

/* Accepting states and the others. */
static void first_blocks(struct partition *p)
{
    uint32_t states = p->dfa->states, state, place = 0;
    int pass;

    for (pass = 0; pass < 2; pass++) {
        uint32_t start = place;

        for (state = 0; state < states; state++) {
            if (accepts(p->dfa, state) == (pass == 1)) {
                p->items[place] = state;
                p->place_of[state] = place++;
                p->block_of[state] = p->blocks;
            }
        }
        if (place != start) {
            p->first[p->blocks] = start;
            p->size[p->blocks] = place - start;
            p->blocks++;
        }
    }
    for (uint32_t block = 0; block < p->blocks; block++) {
        enqueue(p, block);
    }
}

static void mark(struct partition *p, uint32_t state)
{
    uint32_t block = p->block_of[state], place = p->place_of[state];
    uint32_t front = p->first[block] + p->marked[block];
    uint32_t other = p->items[front];

    if (p->marked[block]++ == 0) {
        p->touched[p->touched_count++] = block;
    }
    p->items[place] = other;
    p->place_of[other] = place;
    p->items[front] = state;
    p->place_of[state] = front;
}

/* Marked and unmarked part; the smaller becomes the new block. */
static void split(struct partition *p, uint32_t block)
{
    uint32_t marked = p->marked[block], size = p->size[block];
    uint32_t i, added = p->blocks;

    p->marked[block] = 0;
    if (marked == size) {
        return;
    }
    p->blocks++;
    if (marked <= size - marked) {
        p->first[added] = p->first[block];
        p->size[added] = marked;
        p->first[block] += marked;
        p->size[block] = size - marked;
    } else {
        p->first[added] = p->first[block] + marked;
        p->size[added] = size - marked;
        p->size[block] = marked;
    }
    for (i = 0; i < p->size[added]; i++) {
        p->block_of[p->items[p->first[added] + i]] = added;
    }
    /* Also right where the old block waits in the queue with this class: then
     * both parts are splitters, as they must be. */
    enqueue(p, added);
}

static void refine(struct partition *p)
{
    uint32_t states = p->dfa->states, i, k, count;

    while (p->queued != 0) {
        uint32_t splitter = p->queue[--p->queued];
        uint32_t block = splitter / p->dfa->classes;
        uint32_t class = splitter % p->dfa->classes;

        p->in_queue[splitter] = 0;
        count = 0;
        for (i = 0; i < p->size[block]; i++) {
            uint32_t cell =
                class * states + p->items[p->first[block] + i];

            for (k = p->from_first[cell]; k < p->from_first[cell + 1]; k++) {
                p->sources[count++] = p->from[k];
            }
        }
        p->touched_count = 0;
        for (i = 0; i < count; i++) {
            mark(p, p->sources[i]);
        }
        for (i = 0; i < p->touched_count; i++) {
            split(p, p->touched[i]);
        }
    }
}

/* ---- classes and numbers ------------------------------------------------- */

/* One state of each block. */
static uint32_t state_of(const struct partition *p, uint32_t block)
{
    return p->items[p->first[block]];
}

static uint32_t cell_block(const struct partition *p, uint32_t block,
                           uint32_t class)
{
    return p->block_of[p->dfa->table[state_of(p, block) * p->dfa->classes +
                                     class]];
}

static bool same_column(const struct partition *p, uint32_t a, uint32_t b)
{
    uint32_t block;

    for (block = 0; block < p->blocks; block++) {
        if (cell_block(p, block, a) != cell_block(p, block, b)) {
            return false;
        }
    }
    return true;
}

static uint32_t column_hash(const struct partition *p, uint32_t class)
{
    uint32_t block, hash = 0;

    for (block = 0; block < p->blocks; block++) {
        hash = (hash ^ cell_block(p, block, class)) * 0x01000193u;
    }
    return hash;
}

/* Sets class_of; class_from[new] is an old class with this column. */
static uint32_t merge_classes(const struct partition *p, uint8_t *class_of,
                              uint8_t *class_from)
{
    uint32_t count = 0, byte, class, hashes[256];
    uint16_t known[256]; /* by old class */

    memset(known, 0xff, sizeof(known));
    for (byte = 0; byte < 256; byte++) {
        uint8_t old = p->dfa->class_of[byte];

        if (known[old] == UINT16_MAX) {
            uint32_t hash = column_hash(p, old);

            for (class = 0; class < count; class++) {
                if (hashes[class] == hash &&
                    same_column(p, class_from[class], old)) {
                    break;
                }
            }
            if (class == count) {
                hashes[count] = hash;
                class_from[count++] = old;
            }
            known[old] = (uint16_t)class;
        }
        class_of[byte] = (uint8_t)known[old];
    }
    return count;
}

/* Writes the automaton anew; `order` by new number, breadth first. */
static int renumber(struct partition *p, struct dfa *dfa,
                    struct dfa_error *ret_error)
{
    uint32_t dead = p->block_of[0], start = p->block_of[1], count = 2, i, c;
    uint8_t class_of[256], class_from[256];
    uint32_t classes = merge_classes(p, class_of, class_from);
    uint32_t *number = take(p->blocks, sizeof(*number)),
             *order = take(p->blocks + 2, sizeof(*order)), *accept;
    uint16_t *table = take((size_t)(p->blocks + 2) * classes, sizeof(*table));

    accept = take((p->blocks + 2 + 31) / 32, sizeof(*accept));
    if (number == NULL || order == NULL || table == NULL || accept == NULL) {
        free(number);
        free(order);
        free(table);
        free(accept);
        return dfa_fail(ret_error, DFA_NO_MEMORY, 0, "Out of memory.");
    }
    memset(number, 0xff, p->blocks * sizeof(*number));
    order[0] = dead;
    order[1] = start;
    number[start] = 1;
    number[dead] = 0; /* also where nothing is accepted at all */
    for (i = 1; i < count; i++) {
        for (c = 0; c < classes; c++) {
            uint32_t next = cell_block(p, order[i], class_from[c]);

            if (number[next] == NONE) {
                number[next] = count;
                order[count++] = next;
            }
            table[i * classes + c] = (uint16_t)number[next];
        }
        if (accepts(p->dfa, state_of(p, order[i]))) {
            accept[i >> 5] |= UINT32_C(1) << (i & 31);
        }
    }
    free(number);
    free(order);
    free(dfa->table);
    free(dfa->accept);
    dfa->table = table;
    dfa->accept = accept;
    dfa->states = count;
    dfa->classes = classes;
    memcpy(dfa->class_of, class_of, sizeof(dfa->class_of));
    return 0;
}

int dfa_minimise(struct dfa *dfa, struct dfa_error *ret_error)
{
    struct partition p;
    int result;

    memset(&p, 0, sizeof(p));
    p.dfa = dfa;
    if (reserve(&p) != 0) {
        release(&p);
        return dfa_fail(ret_error, DFA_NO_MEMORY, 0, "Out of memory.");
    }
    invert(&p);
    first_blocks(&p);
    refine(&p);
    if (p.blocks > GRAY_DFA_STATES_MAX) {
        result = dfa_fail(ret_error, DFA_TOO_LARGE, 0,
                          "This pattern needs an automaton of more than %u "
                          "states; make its repetitions smaller.",
                          GRAY_DFA_STATES_MAX);
    } else {
        result = renumber(&p, dfa, ret_error);
    }
    release(&p);
    return result;
}
