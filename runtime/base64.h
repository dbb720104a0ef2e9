/* SPDX-License-Identifier: Apache-2.0
 * base64.h - base64url without padding (RFC 4648, 5), strict; see base64.c.
 */
#ifndef GRAY_RUNTIME_BASE64_H
#define GRAY_RUNTIME_BASE64_H

#include <stddef.h>
#include <stdint.h>

/* Characters that `size` bytes take. */
static inline size_t base64_length(size_t size)
{
    return size / 3 * 4 + (size % 3 == 0 ? 0 : size % 3 + 1);
}
/* Writes base64_length(size) characters, no NUL; returns how many. */
size_t runtime_base64_encode(const uint8_t *bytes, size_t size, char *ret_text);
/* Number of bytes, or 0: a strange character, a length that cannot be, bits
 * left over that are not zero, or more than `size` bytes. */
size_t runtime_base64_decode(const char *text, size_t length,
                             uint8_t *ret_bytes, size_t size);

#endif
