/* SPDX-License-Identifier: Apache-2.0
 * atom.h - one test of one attribute as an automaton over bytes.
 *
 * Why: gate 4 must know which answers the tests of an attribute can give
 * together.  Each of them that looks at a value's bytes is an automaton with
 * few states, so all of them are run at once, over every value that there can
 * be (classes.c).  What an automaton says is held against what the engine says
 * of the same value, so that the two cannot drift apart.
 * Read next: atom.c, classes.h.
 */
#ifndef GRAY_POLICY_ATOM_H
#define GRAY_POLICY_ATOM_H

#include "policy/arena.h"
#include "policy/dfa.h"
#include "policy/implies.h"

enum atom_kind {
    ATOM_SET,     /* exact, in, notIn, a short list: any of these */
    ATOM_LIST,    /* a long list: by its ids, without an automaton */
    ATOM_PREFIX,
    ATOM_ENDING,  /* suffix, idTail */
    ATOM_PATTERN, /* contains, glob, regex */
    ATOM_RANGE,
    ATOM_MOD,
    ATOM_BLANK,
    ATOM_ORDER,   /* semver, date: no automaton, see order.c */
    ATOM_NETWORK, /* cidr: no automaton, see order.c */
    ATOM_OPAQUE   /* mod by a number too large: not taken apart */
};

/* A tree of texts: children of a node in a chain.  `fail` leads to the longest
 * end of what was read that begins a text (Aho and Corasick, 1975). */
struct atom_node {
    uint32_t child, next, fail;
    uint8_t byte;
    bool accepts;
};
struct atom {
    struct side side; /* the test, and its model */
    enum atom_kind kind;
    bool fold;        /* letters are compared in lower case */
    struct atom_node *nodes;
    uint32_t node_count, depth; /* ENDING: bytes of each text */
    struct dfa dfa;   /* PATTERN: to be freed by gray_atom_free() */
};

/* Lists of up to so many ids are automata. */
#define GRAY_ATOM_IDS_MAX 512u
/* 0; 1: not one that looks at bytes (present, percent, time ...); -1: it cannot
 * be made (a pattern too large, which the compiler refuses too, no memory). */
int gray_atom_make(struct gray_arena *arena, struct side side,
                   struct atom *ret_atom);
void gray_atom_free(struct atom *atom);
/* A remainder by more than this is not taken apart. */
#define GRAY_ATOM_DIVISOR_MAX (1u << 20)
/* Whether it has an automaton: not a long list, no order, no network. */
bool gray_atom_runs(const struct atom *atom);
#define GRAY_ATOM_DEAD 0u
uint32_t gray_atom_start(const struct atom *atom);
uint32_t gray_atom_step(const struct atom *atom, uint32_t state, uint8_t byte);
bool gray_atom_accepts(const struct atom *atom, uint32_t state);
/* Puts the bytes that it tells from others into the set. */
void gray_atom_bytes(const struct atom *atom, struct byte_set *bytes);

static inline bool byte_in(const struct byte_set *set, uint8_t byte)
{
    return (set->bits[byte >> 6] >> (byte & 63) & 1) != 0;
}
static inline void byte_put(struct byte_set *set, uint8_t byte)
{
    set->bits[byte >> 6] |= UINT64_C(1) << (byte & 63);
}

#endif
