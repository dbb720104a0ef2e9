/* SPDX-License-Identifier: Apache-2.0
 * dfa_parse.h - what the two halves of the pattern parser share.
 *
 * Why: the grammar of expressions and that of one byte of them are read apart.
 * Read next: dfa_parse.c, dfa_bytes.c.
 */
#ifndef GRAY_POLICY_DFA_PARSE_H
#define GRAY_POLICY_DFA_PARSE_H

#include "policy/dfa.h"

#define NODE_NONE UINT32_MAX

struct parser {
    struct tree tree;
    const char *pattern;
    uint32_t length, at, depth;
    bool ignore_case;
    struct dfa_error *error;
};

/* -1, and the same as a node: NODE_NONE. */
#define COMPLAIN(parser, where, ...) \
    dfa_fail((parser)->error, DFA_SYNTAX, (where), __VA_ARGS__)
#define FAIL(parser, where, ...) \
    ((uint32_t)COMPLAIN(parser, where, __VA_ARGS__))

static inline bool more(const struct parser *parser)
{
    return parser->at < parser->length;
}

static inline char peek(const struct parser *parser)
{
    return more(parser) ? parser->pattern[parser->at] : '\0';
}

static inline bool take(struct parser *parser, char wanted)
{
    if (more(parser) && parser->pattern[parser->at] == wanted) {
        parser->at++;
        return true;
    }
    return false;
}

void set_add(struct byte_set *set, uint8_t byte);
void set_invert(struct byte_set *set);
/* Both cases of every ASCII letter that is in it. */
void set_fold(struct byte_set *set);
/* Behind a backslash.  Adds several bytes, or one (*ret_single).  0 or -1. */
int parse_escape(struct parser *parser, struct byte_set *set,
                 bool *ret_single);
/* Behind '[', to ']' included. 0 or -1. */
int parse_class(struct parser *parser, struct byte_set *ret_set);

#endif
