/* SPDX-License-Identifier: Apache-2.0
 * dfa.h - patterns as finite automata with a known size.
 *
 * Why: a pattern is tried on the request path, so its time must be linear in
 * the value and its memory known before it is published.  A pattern that needs
 * more than GRAY_DFA_STATES_MAX states is refused here, quickly.
 * What a regular expression may say: literals, ".", classes [a-z] [^..],
 * \d \w \s \D \W \S, escapes \. \\ \n \t \r \f \v \xHH, groups (..) and (?:..),
 * alternation, * + ? {m} {m,} {m,n} (also lazy: the language is the same), ^
 * and $ where the whole value begins and ends.  It works on bytes: "." is one
 * byte but a newline; a literal beyond ASCII is its UTF-8 bytes.  A match is
 * one of the whole value.  No back-references, no look-around.
 * Read next: dfa_parse.c, dfa.c, dfa_minimise.c.
 */
#ifndef GRAY_POLICY_DFA_H
#define GRAY_POLICY_DFA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/layout.h"

#define DFA_PATTERN_MAX 4096u /* bytes of a pattern */
#define DFA_DEPTH_MAX 64u     /* groups inside groups */
#define DFA_REPEAT_MAX 1024u  /* m, n of {m,n} */
#define DFA_NFA_MAX 32768u  /* states before they are made deterministic */
#define DFA_CELLS_MAX (1u << 21) /* states * classes before minimising */
#define DFA_WORK_MAX (24u << 20) /* steps; some 100 ms */

enum dfa_kind { DFA_REGEX, DFA_GLOB, DFA_CONTAINS };

/* next = table[state * classes + class_of[byte]]; 0 is dead, 1 the start. */
struct dfa {
    uint32_t states, classes;
    uint8_t class_of[256];
    uint16_t *table;
    uint32_t *accept; /* bit by state */
    uint32_t work;    /* steps that it took to make */
};
enum dfa_fault { DFA_SYNTAX, DFA_TOO_LARGE, DFA_NO_MEMORY };
struct dfa_error {
    enum dfa_fault fault;
    char sentence[160];
    uint32_t offset;  /* byte inside the pattern */
};

/* 0, or -1 with *ret_error filled and *ret_dfa untouched.  Owned by the caller,
 * dfa_free(). */
int dfa_build(struct dfa *ret_dfa, enum dfa_kind kind, const char *pattern,
              uint32_t length, bool ignore_case, struct dfa_error *ret_error);
void dfa_free(struct dfa *dfa);
bool dfa_match(const struct dfa *dfa, const char *data, size_t length);

/* ---- between dfa_parse.c and dfa.c --------------------------------------- */

/* A set of bytes. */
struct byte_set {
    uint64_t bits[4];
};

/* The tree of a pattern, in one array; children have lower numbers. */
enum node_kind { NODE_EMPTY, NODE_BYTES, NODE_CONCAT, NODE_ALTERNATE,
                 NODE_REPEAT };
struct node {
    enum node_kind kind;
    uint32_t left, right;     /* children; REPEAT: left */
    uint32_t at_least, at_most; /* REPEAT; at_most UINT32_MAX: no end */
    struct byte_set bytes;
};
struct tree {
    struct node *nodes;
    uint32_t count, capacity;
    uint32_t root;
};
int dfa_parse(struct tree *ret_tree, enum dfa_kind kind, const char *pattern,
              uint32_t length, bool ignore_case, struct dfa_error *ret_error);
int dfa_fail(struct dfa_error *ret_error, enum dfa_fault fault, uint32_t offset,
             const char *format, ...) __attribute__((format(printf, 4, 5)));
/* Merges states and byte classes that cannot be told apart and numbers the
 * states from the start in byte order; frees nothing of `dfa` on failure. */
int dfa_minimise(struct dfa *dfa, struct dfa_error *ret_error);

#endif
