/* SPDX-License-Identifier: Apache-2.0
 * hex.h - bytes as lower case hexadecimal digits, and back, strictly.
 *
 * Why: ids and hashes stand in JSON as digits; one spelling each, so that
 * equal texts and equal bytes are the same thing.
 */
#ifndef GRAYD_HEX_H
#define GRAYD_HEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Writes 2 * size digits and a NUL. */
static inline void hex_write(const uint8_t *bytes, size_t size, char *ret_text)
{
    size_t i;

    for (i = 0; i < size; i++) {
        ret_text[2 * i] = "0123456789abcdef"[bytes[i] >> 4];
        ret_text[2 * i + 1] = "0123456789abcdef"[bytes[i] & 15];
    }
    ret_text[2 * size] = '\0';
}

static inline int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
}

/* Reads `size` bytes from 2 * size digits. 0, or -1: another character (a NUL
 * too, so a shorter text is safe to give). */
static inline int hex_read(const char *text, uint8_t *ret_bytes, size_t size)
{
    size_t i;

    for (i = 0; i < size; i++) {
        int high = hex_digit(text[2 * i]);
        int low = high < 0 ? -1 : hex_digit(text[2 * i + 1]);

        if (low < 0) {
            return -1;
        }
        ret_bytes[i] = (uint8_t)(high << 4 | low);
    }
    return 0;
}

#endif
