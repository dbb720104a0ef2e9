/* SPDX-License-Identifier: Apache-2.0
 * dfa_parse.c - patterns as trees of byte sets.
 *
 * Why: a regular expression is read once, by a small grammar that has only
 * what an automaton can do, and every complaint names its byte:
 *   alternatives: concat ('|' concat)*      concat: repeat*
 *   repeat: atom ('*' | '+' | '?' | '{m}' | '{m,}' | '{m,n}')? '?'?
 *   atom: byte | '.' | class | '\' escape | '(' '?:'? alternatives ')'
 * `glob` and `contains` make the same trees, so there is one automaton builder.
 * Read next: dfa.h, dfa.c.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/dfa.h"

#define NODE_NONE UINT32_MAX

struct parser {
    struct tree tree;
    const char *pattern;
    uint32_t length, at, depth;
    bool ignore_case;
    struct dfa_error *error;
};

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

/* -1, and the same as a node: NODE_NONE. */
#define COMPLAIN(parser, where, ...) \
    dfa_fail((parser)->error, DFA_SYNTAX, (where), __VA_ARGS__)
#define FAIL(parser, where, ...) \
    ((uint32_t)COMPLAIN(parser, where, __VA_ARGS__))

/* ---- byte sets ----------------------------------------------------------- */

static void set_add(struct byte_set *set, uint8_t byte)
{
    set->bits[byte >> 6] |= UINT64_C(1) << (byte & 63);
}

static bool set_has(const struct byte_set *set, uint8_t byte)
{
    return set->bits[byte >> 6] >> (byte & 63) & 1;
}

static void set_range(struct byte_set *set, unsigned first, unsigned last)
{
    for (; first <= last; first++) {
        set_add(set, (uint8_t)first);
    }
}

static void set_join(struct byte_set *set, const struct byte_set *other)
{
    for (int i = 0; i < 4; i++) {
        set->bits[i] |= other->bits[i];
    }
}

static void set_invert(struct byte_set *set)
{
    for (int i = 0; i < 4; i++) {
        set->bits[i] = ~set->bits[i];
    }
}

static void set_fold(struct byte_set *set)
{
    for (unsigned c = 'a'; c <= 'z'; c++) {
        unsigned upper = c - 'a' + 'A';

        if (set_has(set, (uint8_t)c) || set_has(set, (uint8_t)upper)) {
            set_add(set, (uint8_t)c);
            set_add(set, (uint8_t)upper);
        }
    }
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

static uint32_t new_bytes(struct parser *parser, struct byte_set set)
{
    uint32_t node = new_node(parser, NODE_BYTES);

    if (node != NODE_NONE) {
        if (parser->ignore_case) {
            set_fold(&set);
        }
        parser->tree.nodes[node].bytes = set;
    }
    return node;
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

static bool more(const struct parser *parser)
{
    return parser->at < parser->length;
}

static char peek(const struct parser *parser)
{
    return more(parser) ? parser->pattern[parser->at] : '\0';
}

static bool take(struct parser *parser, char wanted)
{
    if (more(parser) && parser->pattern[parser->at] == wanted) {
        parser->at++;
        return true;
    }
    return false;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* \d \w \s and their opposites. */
static bool shorthand(char c, struct byte_set *set)
{
    switch (c) {
    case 'd':
    case 'D':
        set_range(set, '0', '9');
        break;
    case 'w':
    case 'W':
        set_range(set, '0', '9');
        set_range(set, 'a', 'z');
        set_range(set, 'A', 'Z');
        set_add(set, '_');
        break;
    case 's':
    case 'S':
        set_range(set, '\t', '\r');
        set_add(set, ' ');
        break;
    default:
        return false;
    }
    if (c >= 'A' && c <= 'Z') {
        set_invert(set);
    }
    return true;
}

static const char *escape_complaint(char c)
{
    if (c >= '1' && c <= '9') {
        return "A back-reference cannot be decided in linear time.";
    }
    if (c == 'b' || c == 'B' || c == 'A' || c == 'z' || c == 'Z') {
        return "An assertion inside a pattern is not known; the whole value "
               "is matched anyway.";
    }
    return "This escape is not known; known are \\d \\w \\s \\D \\W \\S \\n \\t "
           "\\r \\f \\v \\xHH and signs.";
}

/* Behind a backslash. A set of several bytes, or of one (*ret_single). 0 or
 * -1. */
static int escape(struct parser *parser, struct byte_set *set,
                  bool *ret_single)
{
    static const char letters[] = "ntrfv", bytes[] = "\n\t\r\f\v";
    uint32_t start = parser->at - 1;
    const char *letter;
    int high, low;
    char c;

    if (!more(parser)) {
        return COMPLAIN(parser, start,
                        "A backslash stands at the end; write \\\\.");
    }
    c = parser->pattern[parser->at++];
    *ret_single = false;
    if (shorthand(c, set)) {
        return 0;
    }
    *ret_single = true;
    letter = c == '\0' ? NULL : strchr(letters, c);
    if (letter != NULL) {
        set_add(set, (uint8_t)bytes[letter - letters]);
        return 0;
    }
    if (c == 'x') {
        high = hex_digit(peek(parser));
        parser->at += high >= 0;
        low = high < 0 ? -1 : hex_digit(peek(parser));
        parser->at += low >= 0;
        if (low < 0) {
            return COMPLAIN(parser, start,
                            "\\x takes two hexadecimal digits.");
        }
        set_add(set, (uint8_t)(high * 16 + low));
        return 0;
    }
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
        (c >= 'A' && c <= 'Z') || (uint8_t)c >= 0x80) {
        return COMPLAIN(parser, start, "%s", escape_complaint(c));
    }
    set_add(set, (uint8_t)c);
    return 0;
}

/* One member of a class: a byte, or a shorthand (*ret_single false). */
static int class_member(struct parser *parser, struct byte_set *set,
                        bool *ret_single, uint8_t *ret_byte)
{
    unsigned byte;

    if (take(parser, '\\')) {
        if (escape(parser, set, ret_single) != 0) {
            return -1;
        }
        for (byte = 0; *ret_single && byte < 256; byte++) {
            if (set_has(set, (uint8_t)byte)) {
                *ret_byte = (uint8_t)byte;
            }
        }
        return 0;
    }
    *ret_byte = (uint8_t)peek(parser);
    if (*ret_byte >= 0x80) {
        return COMPLAIN(parser, parser->at,
                        "A class holds single bytes; write letters beyond "
                        "ASCII as (x|y).");
    }
    if (*ret_byte == '[' && parser->at + 1 < parser->length &&
        strchr(":.=", parser->pattern[parser->at + 1]) != NULL &&
        parser->pattern[parser->at + 1] != '\0') {
        return COMPLAIN(parser, parser->at,
                        "Named classes are not known; write \\d, \\w, \\s or "
                        "a range.");
    }
    set_add(set, *ret_byte);
    *ret_single = true;
    parser->at++;
    return 0;
}

static int class_range(struct parser *parser, struct byte_set *set)
{
    struct byte_set one = {{0}}, other = {{0}};
    uint32_t start = parser->at;
    uint8_t first = 0, last = 0;
    bool single;

    if (class_member(parser, &one, &single, &first) != 0) {
        return -1;
    }
    if (peek(parser) == '-' && parser->at + 1 < parser->length &&
        parser->pattern[parser->at + 1] != ']') {
        parser->at++;
        if (!single) {
            return COMPLAIN(parser, start,
                            "A range goes from one byte to another.");
        }
        if (class_member(parser, &other, &single, &last) != 0) {
            return -1;
        }
        if (!single || last < first) {
            return COMPLAIN(parser, start,
                            "A range goes from a lower byte to a higher one.");
        }
        set_range(set, first, last);
        return 0;
    }
    set_join(set, &one);
    return 0;
}

/* Behind '['. */
static uint32_t class(struct parser *parser)
{
    struct byte_set set = {{0}};
    uint32_t start = parser->at - 1;
    bool inverted = take(parser, '^'), first = true;

    while (more(parser) && (first || peek(parser) != ']')) {
        first = false;
        if (class_range(parser, &set) != 0) {
            return NODE_NONE;
        }
    }
    if (!take(parser, ']')) {
        return FAIL(parser, start, "This class is never closed by ']'.");
    }
    if (parser->ignore_case) {
        set_fold(&set);
    }
    if (inverted) {
        set_invert(&set);
        /* Folding once more could only take back what was just excluded. */
        uint32_t node = new_node(parser, NODE_BYTES);

        if (node != NODE_NONE) {
            parser->tree.nodes[node].bytes = set;
        }
        return node;
    }
    return new_bytes(parser, set);
}

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
        return class(parser);
    case '.':
        parser->at++;
        set_add(&set, '\n');
        set_invert(&set);
        return new_bytes(parser, set);
    case '\\':
        parser->at++;
        return escape(parser, &set, &single) != 0 ? NODE_NONE
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
