/* SPDX-License-Identifier: Apache-2.0
 * base64.c - base64url without padding, exactly one spelling a value.
 *
 * Why: signed values travel in cookies and headers.  A decoder that forgave
 * stray bits would let one value have many spellings, and what is remembered
 * or denied by its bytes could be slipped past.
 * Read next: token.c.
 */
#include "runtime/base64.h"

static const char letters[64] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "abcdefghijklmnopqrstuvwxyz0123456789-_";

/* Value of a character plus one; 0: none. */
static const uint8_t values[256] =
    {
        ['A'] = 1, 2,  3,          4,          5,  6,  7,          8,  9,  10,
        11,        12, 13,         14,         15, 16, 17,         18, 19, 20,
        21,        22, 23,         24,         25, 26, ['a'] = 27, 28, 29, 30,
        31,        32, 33,         34,         35, 36, 37,         38, 39, 40,
        41,        42, 43,         44,         45, 46, 47,         48, 49, 50,
        51,        52, ['0'] = 53, 54,         55, 56, 57,         58, 59, 60,
        61,        62, ['-'] = 63, ['_'] = 64,
};

size_t runtime_base64_encode(const uint8_t *bytes, size_t size, char *ret_text)
{
    size_t i, at = 0;

    for (i = 0; i + 3 <= size; i += 3) {
        uint32_t group = (uint32_t)bytes[i] << 16 |
                         (uint32_t)bytes[i + 1] << 8 | bytes[i + 2];

        ret_text[at++] = letters[group >> 18];
        ret_text[at++] = letters[group >> 12 & 63];
        ret_text[at++] = letters[group >> 6 & 63];
        ret_text[at++] = letters[group & 63];
    }
    if (size - i == 1) {
        ret_text[at++] = letters[bytes[i] >> 2];
        ret_text[at++] = letters[(bytes[i] & 3) << 4];
    } else if (size - i == 2) {
        ret_text[at++] = letters[bytes[i] >> 2];
        ret_text[at++] = letters[(bytes[i] & 3) << 4 | bytes[i + 1] >> 4];
        ret_text[at++] = letters[(bytes[i + 1] & 15) << 2];
    }
    return at;
}

size_t runtime_base64_decode(const char *text, size_t length,
                             uint8_t *ret_bytes, size_t size)
{
    uint32_t group = 0, bits = 0;
    size_t i, at = 0;

    if (length % 4 == 1) {
        return 0;
    }
    for (i = 0; i < length; i++) {
        uint32_t value = values[(uint8_t)text[i]];

        if (value == 0) {
            return 0;
        }
        group = group << 6 | (value - 1);
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            if (at == size) {
                return 0;
            }
            ret_bytes[at++] = (uint8_t)(group >> bits);
        }
    }
    return (group & ((1u << bits) - 1)) == 0 ? at : 0;
}
