/* SPDX-License-Identifier: Apache-2.0
 * dfa_parse.c - patterns as trees of byte sets.
 *
 * Why: a regular expression is read once, by a small grammar that has only
 * what an automaton can do, and every complaint names its byte:
 *   alternatives: concat ('|' concat)*      concat: repeat*
 *   repeat: atom ('*' | '+' | '?' | '{m}' | '{m,}' | '{m,n}')? '?'?
 *   atom: byte | '.' | class | '\' escape | '(' '?:'? alternatives ')'
 * `glob` and `contains` make the same trees, so there is one automaton builder.
 * Read next: dfa_bytes.c (escapes, classes), dfa.c.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/dfa_parse.h"

int dfa_fail(struct dfa_error *ret_error, enum dfa_fault fault, uint32_t offset,
             const char *format, ...)
{
    va_list arguments;

    ret_error->fault = fault;
    ret_error->offset = offset;
    va_start(arguments, format);
    vsnprintf(ret_error->sentence, sizeof(ret_error->sentence), format,
              arguments);
    va_end(arguments);
    return -1;
}

/* ---- nodes --------------------------------------------------------------- */

static uint32_t new_node(struct parser *parser, enum node_kind kind)
{
    struct tree *tree = &parser->tree;
    struct node *nodes;
    uint32_t capacity;

    if (tree->count == tree->capacity) {
        capacity = tree->capacity == 0 ? 64 : tree->capacity * 2;
        nodes = realloc(tree->nodes, capacity * sizeof(*nodes));
        if (nodes == NULL) {
            dfa_fail(parser->error, DFA_NO_MEMORY, 0, "Out of memory.");
            return NODE_NONE;
        }
        tree->nodes = nodes;
        tree->capacity = capacity;
    }
    memset(&tree->nodes[tree->count], 0, sizeof(*tree->nodes));
    tree->nodes[tree->count].kind = kind;
    return tree->count++;
}

static uint32_t new_set(struct parser *parser, struct byte_set set)
{
    uint32_t node = new_node(parser, NODE_BYTES);

    if (node != NODE_NONE) {
        parser->tree.nodes[node].bytes = set;
    }
    return node;
}

/* Not for classes: one that excludes a letter would get it back. */
static uint32_t new_bytes(struct parser *parser, struct byte_set set)
{
    if (parser->ignore_case) {
        set_fold(&set);
    }
    return new_set(parser, set);
}

static uint32_t new_byte(struct parser *parser, uint8_t byte)
{
    struct byte_set set = {{0}};

    set_add(&set, byte);
    return new_bytes(parser, set);
}

static uint32_t new_pair(struct parser *parser, enum node_kind kind,
                         uint32_t left, uint32_t right)
{
    uint32_t node;

    if (left == NODE_NONE || right == NODE_NONE) {
        return NODE_NONE;
    }
    node = new_node(parser, kind);
    if (node != NODE_NONE) {
        parser->tree.nodes[node].left = left;
        parser->tree.nodes[node].right = right;
    }
    return node;
}

static uint32_t new_repeat(struct parser *parser, uint32_t child,
                           uint32_t at_least, uint32_t at_most)
{
    uint32_t node;

    if (child == NODE_NONE) {
        return NODE_NONE;
    }
    node = new_node(parser, NODE_REPEAT);
    if (node != NODE_NONE) {
        parser->tree.nodes[node].left = child;
        parser->tree.nodes[node].at_least = at_least;
        parser->tree.nodes[node].at_most = at_most;
    }
    return node;
}

/* ---- atoms --------------------------------------------------------------- */

static uint32_t alternatives(struct parser *parser);

/* Behind '('. */
static uint32_t group(struct parser *parser)
{
    uint32_t start = parser->at - 1, node;

    if (take(parser, '?') && !take(parser, ':')) {
        return FAIL(parser, start, "Only (?: is known: there is no look-around "
                                   "and there are no flags or names.");
    }
    if (parser->depth == DFA_DEPTH_MAX) {
        return FAIL(parser, start, "Groups are nested more than %u deep.",
                    DFA_DEPTH_MAX);
    }
    parser->depth++;
    node = alternatives(parser);
    parser->depth--;
    if (node == NODE_NONE) {
        return NODE_NONE;
    }
    if (!take(parser, ')')) {
        return FAIL(parser, start, "This group is never closed by ')'.");
    }
    return node;
}

/* A literal beyond ASCII: all of its UTF-8 bytes, so that a repetition behind
 * it repeats the whole letter. */
static uint32_t letter(struct parser *parser)
{
    uint8_t c = (uint8_t)parser->pattern[parser->at++];
    uint32_t node = new_byte(parser, c);
    int rest = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc0 ? 1 : 0;

    while (rest-- > 0 && ((uint8_t)peek(parser) & 0xc0) == 0x80) {
        uint32_t next =
            new_byte(parser, (uint8_t)parser->pattern[parser->at++]);

        node = new_pair(parser, NODE_CONCAT, node, next);
    }
    return node;
}

static uint32_t atom(struct parser *parser)
{
    struct byte_set set = {{0}};
    uint32_t start = parser->at;
    char c = peek(parser);
    bool single;

    switch (c) {
    case '(':
        parser->at++;
        return group(parser);
    case '[':
        parser->at++;
        return parse_class(parser, &set) != 0 ? NODE_NONE
                                              : new_set(parser, set);
    case '.':
        parser->at++;
        set_add(&set, '\n');
        set_invert(&set);
        return new_bytes(parser, set);
    case '\\':
        parser->at++;
        return parse_escape(parser, &set, &single) != 0
                   ? NODE_NONE
                   : new_bytes(parser, set);
    case '*':
    case '+':
    case '?':
        return FAIL(parser, start, "There is nothing here to repeat; write "
                                   "\\%c for the sign itself.", c);
    case '{':
        return FAIL(parser, start, "There is nothing here to repeat; write \\{ "
                                   "for the sign itself.");
    case '^':
    case '$':
        return FAIL(parser, start, "'%c' may stand only where the whole value "
                                   "%s; write \\%c for the sign itself.",
                    c, c == '^' ? "begins" : "ends", c);
    default:
        return letter(parser);
    }
}

/* ---- repetition, concatenation, alternatives ----------------------------- */

static bool count(struct parser *parser, uint32_t *ret_count)
{
    uint32_t start = parser->at, value = 0;

    while (peek(parser) >= '0' && peek(parser) <= '9' &&
           parser->at - start < 6) {
        value = value * 10 + (uint32_t)(parser->pattern[parser->at++] - '0');
    }
    *ret_count = value;
    return parser->at != start;
}

/* Behind '{'. */
static int bounds(struct parser *parser, uint32_t *ret_least,
                  uint32_t *ret_most)
{
    uint32_t start = parser->at - 1, least, most;

    if (!count(parser, &least)) {
        return COMPLAIN(parser, start,
                        "A repetition is {m}, {m,} or {m,n}; write \\{ for the "
                        "sign itself.");
    }
    most = least;
    if (take(parser, ',') && !count(parser, &most)) {
        most = UINT32_MAX;
    }
    if (!take(parser, '}')) {
        return COMPLAIN(parser, start,
                        "A repetition is {m}, {m,} or {m,n}; write \\{ for the "
                        "sign itself.");
    }
    if (least > DFA_REPEAT_MAX ||
        (most != UINT32_MAX && (most > DFA_REPEAT_MAX || most < least))) {
        return COMPLAIN(parser, start,
                        "The numbers of a repetition rise, up to %u.",
                        DFA_REPEAT_MAX);
    }
    *ret_least = least;
    *ret_most = most;
    return 0;
}

static uint32_t repeat(struct parser *parser)
{
    uint32_t node = atom(parser), least, most;
    char c;

    if (node == NODE_NONE) {
        return NODE_NONE;
    }
    c = peek(parser);
    if (c == '\0' || strchr("*+?{", c) == NULL) {
        return node;
    }
    parser->at++;
    least = c == '+';
    most = c == '?' ? 1 : UINT32_MAX;
    if (c == '{' && bounds(parser, &least, &most) != 0) {
        return NODE_NONE;
    }
    take(parser, '?'); /* lazy: the same language */
    c = peek(parser);
    if (c != '\0' && strchr("*+?{", c) != NULL) {
        return FAIL(parser, parser->at,
                    "A repetition of a repetition (or a possessive one) is "
                    "not known; put the first into (?:...).");
    }
    return new_repeat(parser, node, least, most);
}

/* '^' where the value begins, '$' where it ends: of no effect on a match of
 * the whole value. */
static void anchor(struct parser *parser, char sign)
{
    if (parser->depth == 0 && peek(parser) == sign) {
        if (sign == '^' || parser->at + 1 == parser->length ||
            parser->pattern[parser->at + 1] == '|') {
            parser->at++;
        }
    }
}

static uint32_t concat(struct parser *parser)
{
    uint32_t node = NODE_NONE, next;

    anchor(parser, '^');
    for (;;) {
        anchor(parser, '$');
        if (!more(parser) || peek(parser) == '|' || peek(parser) == ')') {
            break;
        }
        next = repeat(parser);
        if (next == NODE_NONE) {
            return NODE_NONE;
        }
        node = node == NODE_NONE ? next
                                 : new_pair(parser, NODE_CONCAT, node, next);
        if (node == NODE_NONE) {
            return NODE_NONE;
        }
    }
    return node == NODE_NONE ? new_node(parser, NODE_EMPTY) : node;
}

static uint32_t alternatives(struct parser *parser)
{
    uint32_t node = concat(parser);

    while (node != NODE_NONE && take(parser, '|')) {
        node = new_pair(parser, NODE_ALTERNATE, node, concat(parser));
    }
    return node;
}

static uint32_t regex(struct parser *parser)
{
    uint32_t node = alternatives(parser);

    if (node != NODE_NONE && more(parser)) {
        return FAIL(parser, parser->at, "This ')' closes nothing; write \\) "
                                        "for the sign itself.");
    }
    return node;
}

/* ---- glob and contains --------------------------------------------------- */

static uint32_t any_bytes(struct parser *parser)
{
    struct byte_set set = {{0}};

    set_invert(&set);
    return new_repeat(parser, new_bytes(parser, set), 0, UINT32_MAX);
}

/* `stars`: '*' and '?' mean what a glob means by them. */
static uint32_t literal(struct parser *parser, uint32_t node, bool stars)
{
    for (; node != NODE_NONE && more(parser); parser->at++) {
        uint8_t byte = (uint8_t)parser->pattern[parser->at];
        struct byte_set set = {{0}};
        uint32_t next;

        if (stars && byte == '*') {
            next = any_bytes(parser);
        } else if (stars && byte == '?') {
            set_invert(&set);
            next = new_bytes(parser, set);
        } else {
            next = new_byte(parser, byte);
        }
        node = new_pair(parser, NODE_CONCAT, node, next);
    }
    return node;
}

int dfa_parse(struct tree *ret_tree, enum dfa_kind kind, const char *pattern,
              uint32_t length, bool ignore_case, struct dfa_error *ret_error)
{
    struct parser parser = {{NULL, 0, 0, 0}, pattern, length, 0, 0,
                            ignore_case, ret_error};
    uint32_t root = NODE_NONE;

    if (length > DFA_PATTERN_MAX) {
        return dfa_fail(ret_error, DFA_TOO_LARGE, DFA_PATTERN_MAX,
                        "A pattern has at most %u bytes.", DFA_PATTERN_MAX);
    }
    switch (kind) {
    case DFA_REGEX:
        root = regex(&parser);
        break;
    case DFA_GLOB:
        root = literal(&parser, new_node(&parser, NODE_EMPTY), true);
        break;
    case DFA_CONTAINS:
        root = literal(&parser, any_bytes(&parser), false);
        root = new_pair(&parser, NODE_CONCAT, root, any_bytes(&parser));
        break;
    }
    if (root == NODE_NONE) {
        free(parser.tree.nodes);
        return -1;
    }
    parser.tree.root = root;
    *ret_tree = parser.tree;
    return 0;
}
