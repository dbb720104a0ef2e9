/* SPDX-License-Identifier: Apache-2.0
 * dfa_bytes.c - the bytes that one place of a pattern stands for.
 *
 * Why: escapes and classes are where dialects differ most; what is known is
 * listed here, and everything else is refused with the place and what to
 * write, never guessed.
 * Read next: dfa_parse.c.
 */
#include <string.h>

#include "policy/dfa_parse.h"

void set_add(struct byte_set *set, uint8_t byte)
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

void set_invert(struct byte_set *set)
{
    for (int i = 0; i < 4; i++) {
        set->bits[i] = ~set->bits[i];
    }
}

void set_fold(struct byte_set *set)
{
    for (unsigned c = 'a'; c <= 'z'; c++) {
        unsigned upper = c - 'a' + 'A';

        if (set_has(set, (uint8_t)c) || set_has(set, (uint8_t)upper)) {
            set_add(set, (uint8_t)c);
            set_add(set, (uint8_t)upper);
        }
    }
}

/* ---- escapes and classes ------------------------------------------------- */

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
    return "This escape is not known; known are \\d \\w \\s \\D \\W \\S \\n "
           "\\t \\r \\f \\v \\xHH and signs.";
}

int parse_escape(struct parser *parser, struct byte_set *set, bool *ret_single)
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
        if (parse_escape(parser, set, ret_single) != 0) {
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

int parse_class(struct parser *parser, struct byte_set *ret_set)
{
    struct byte_set set = {{0}};
    uint32_t start = parser->at - 1;
    bool inverted = take(parser, '^'), first = true;

    while (more(parser) && (first || peek(parser) != ']')) {
        first = false;
        if (class_range(parser, &set) != 0) {
            return -1;
        }
    }
    if (!take(parser, ']')) {
        return COMPLAIN(parser, start,
                        "This class is never closed by ']'.");
    }
    if (parser->ignore_case) {
        set_fold(&set);
    }
    if (inverted) {
        set_invert(&set);
    }
    *ret_set = set;
    return 0;
}
