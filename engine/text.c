/* SPDX-License-Identifier: Apache-2.0
 * text.c - writes text into a buffer that may be too small.
 *
 * Why: see text.h.  JSON is escaped to ASCII so that the line is the same
 * bytes in a header, a log and a terminal.
 * Read next: explain.c, operand.c.
 */
#include <string.h>

#include "engine/text.h"

void text_end(struct text *text)
{
    if (text->size != 0) {
        text->buffer[text->length < text->size ? text->length
                                               : text->size - 1] = '\0';
    }
}

void text_byte(struct text *text, char byte)
{
    if (text->length < text->size) {
        text->buffer[text->length] = byte;
    }
    text->length++;
    text->last = byte;
}

void text_raw(struct text *text, const char *string)
{
    while (*string != '\0') {
        text_byte(text, *string++);
    }
}

void text_unsigned(struct text *text, uint64_t value)
{
    char digits[20];
    int n = 0;
    do {
        digits[n++] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    while (n > 0) {
        text_byte(text, digits[--n]);
    }
}

void text_signed(struct text *text, int64_t value)
{
    if (value < 0) {
        text_byte(text, '-');
        text_unsigned(text, 0 - (uint64_t)value);
    } else {
        text_unsigned(text, (uint64_t)value);
    }
}

static void unit16(struct text *text, uint32_t value)
{
    text_raw(text, "\\u");
    for (int shift = 12; shift >= 0; shift -= 4) {
        text_byte(text, "0123456789abcdef"[value >> shift & 15]);
    }
}

/* One character of UTF-8 (Unicode 15, table 3-7); its length, or 0. */
static uint32_t read_utf8(const uint8_t *at, uint32_t left, uint32_t *ret_code)
{
    uint32_t length = at[0] < 0xc2   ? 0
                      : at[0] < 0xe0 ? 2
                      : at[0] < 0xf0 ? 3
                      : at[0] < 0xf5 ? 4
                                     : 0;
    if (length == 0 || length > left) {
        return 0;
    }
    uint32_t code = at[0] & (0x7fu >> length);
    for (uint32_t i = 1; i < length; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            return 0;
        }
        code = code << 6 | (at[i] & 0x3f);
    }
    if ((length == 3 && (code < 0x800 || (code >> 11) == 0x1b)) ||
        (length == 4 && (code < 0x10000 || code > 0x10ffff))) {
        return 0;
    }
    *ret_code = code;
    return length;
}

void text_escaped(struct text *text, struct gray_str string, uint32_t limit)
{
    const uint8_t *at = (const uint8_t *)string.data;
    uint32_t left = string.length;
    uint32_t room = limit;
    while (left > 0) {
        uint32_t code = at[0], length = 1;
        if (code >= 0x80 && (length = read_utf8(at, left, &code)) == 0) {
            code = 0xfffd;
            length = 1;
        }
        if (length > room) {
            return;
        }
        if (code == '"' || code == '\\') {
            text_byte(text, '\\');
            text_byte(text, (char)code);
        } else if (code >= 0x10000) {
            unit16(text, 0xd800 + ((code - 0x10000) >> 10));
            unit16(text, 0xdc00 + (code & 0x3ff));
        } else if (code < 0x20 || code >= 0x7f) {
            unit16(text, code);
        } else {
            text_byte(text, (char)code);
        }
        at += length;
        left -= length;
        room -= length;
    }
}

void text_quoted(struct text *text, struct gray_str string)
{
    text_byte(text, '"');
    text_escaped(text, string, UINT32_MAX);
    text_byte(text, '"');
}

void text_key(struct text *text, const char *key)
{
    if (text->last != '{') {
        text_byte(text, ',');
    }
    text_byte(text, '"');
    text_raw(text, key);
    text_raw(text, "\":");
}
