/* SPDX-License-Identifier: Apache-2.0
 * utf8.h - one step through UTF-8.
 *
 * Why: documents, places and sentences must agree on what a character is and
 * which bytes are none.  Well-formed as in Unicode 15, table 3-7: no overlong
 * form, no surrogate, nothing above U+10FFFF.
 * Read next: documents.c.
 */
#ifndef GRAY_POLICY_UTF8_H
#define GRAY_POLICY_UTF8_H

#include <stddef.h>

/* Bytes of the character at `text`, 0 when it is malformed. length >= 1. */
static inline size_t gray_utf8_step(const char *text, size_t length)
{
    const unsigned char *b = (const unsigned char *)text;
    if (b[0] < 0x80) {
        return 1;
    }
    if (b[0] < 0xc2 || b[0] > 0xf4) {
        return 0;
    }
    size_t size = b[0] < 0xe0 ? 2 : b[0] < 0xf0 ? 3 : 4;
    if (length < size) {
        return 0;
    }
    unsigned char low = 0x80, high = 0xbf;
    switch (b[0]) {
    case 0xe0:
        low = 0xa0;
        break;
    case 0xed:
        high = 0x9f;
        break;
    case 0xf0:
        low = 0x90;
        break;
    case 0xf4:
        high = 0x8f;
        break;
    default:
        break;
    }
    if (b[1] < low || b[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < size; i++) {
        if ((b[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return size;
}

#endif
