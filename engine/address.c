/* SPDX-License-Identifier: Apache-2.0
 * address.c - an address as text.
 *
 * Why: a unit must be the same bytes on every host, so the form is fixed:
 * dotted decimal for IPv4, RFC 5952 for IPv6 (lower case, no leading zeros,
 * the longest run of two or more zero groups as "::", the first of equals).
 * Read next: input.c.
 */
#include <string.h>

#include "engine/address.h"

static uint32_t write_decimal(uint32_t value, char *room)
{
    uint32_t n = 0;
    if (value >= 100) {
        room[n++] = (char)('0' + value / 100);
    }
    if (value >= 10) {
        room[n++] = (char)('0' + value / 10 % 10);
    }
    room[n++] = (char)('0' + value % 10);
    return n;
}

static uint32_t write_hex(uint32_t value, char *room)
{
    uint32_t n = 0;
    for (int shift = 12; shift >= 0; shift -= 4) {
        uint32_t digit = value >> shift & 15;
        if (digit != 0 || n != 0 || shift == 0) {
            room[n++] = "0123456789abcdef"[digit];
        }
    }
    return n;
}

uint32_t address_write(const uint8_t bytes[16], char *room)
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
    uint32_t n = 0;
    if (memcmp(bytes, mapped, sizeof(mapped)) == 0) {
        for (int i = 12; i < 16; i++) {
            n += write_decimal(bytes[i], room + n);
            if (i < 15) {
                room[n++] = '.';
            }
        }
        return n;
    }
    int run_at = 8, run = 1; /* one zero group is not shortened */
    for (int i = 0; i < 8;) {
        int j = i;
        while (j < 8 && bytes[2 * j] == 0 && bytes[2 * j + 1] == 0) {
            j++;
        }
        if (j - i > run) {
            run_at = i;
            run = j - i;
        }
        i = j + 1;
    }
    for (int i = 0; i < 8; i++) {
        if (i == run_at) {
            room[n++] = ':';
            room[n++] = ':';
            i += run - 1;
            continue;
        }
        if (i > 0 && i != run_at + run) {
            room[n++] = ':';
        }
        n += write_hex((uint32_t)bytes[2 * i] << 8 | bytes[2 * i + 1],
                       room + n);
    }
    return n;
}
