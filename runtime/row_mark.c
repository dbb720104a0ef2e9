/* SPDX-License-Identifier: Apache-2.0
 * row_mark.c - see row_mark.h.
 *
 * Why: the layout is kept by rows of other people's databases: it never
 * changes, a new one gets a new version.
 * Read next: row_mark.h.
 */
#include <string.h>

#include "runtime/marks.h"
#include "runtime/row_mark.h"

#define ROW_VERSION 1

static void put32(unsigned char *to, uint32_t number)
{
    uint32_t i;

    for (i = 0; i < 4; i++) {
        to[i] = (unsigned char)(number >> (8 * i));
    }
}

static uint32_t get32(const unsigned char *from)
{
    return (uint32_t)from[0] | (uint32_t)from[1] << 8 |
           (uint32_t)from[2] << 16 | (uint32_t)from[3] << 24;
}

/* Against mistakes, not against malice: the row is the application's own. */
static uint32_t row_check(const unsigned char bytes[16], uint64_t scope,
                          struct gray_str unit)
{
    uint64_t key[2] = {scope, 0}, sum;

    memcpy(&key[1], bytes, 4);
    key[1] ^= (uint64_t)get32(bytes + 4) << 32 ^
              (uint64_t)get32(bytes + 8) * 0x9e3779b97f4a7c15u;
    sum = gray_siphash(unit.data, unit.length, key);
    return (uint32_t)(sum ^ sum >> 32);
}

void gray_row_mark_write(unsigned char bytes[GRAY_ROW_MARK_SIZE],
                         const struct gray_row_mark *mark, uint64_t scope,
                         struct gray_str unit)
{
    bytes[0] = ROW_VERSION;
    bytes[1] = mark->state;
    bytes[2] = mark->variant;
    bytes[3] = mark->attempt;
    put32(bytes + 4, mark->revision);
    put32(bytes + 8, mark->seconds);
    put32(bytes + 12, row_check(bytes, scope, unit));
}

bool gray_row_mark_read(const unsigned char bytes[GRAY_ROW_MARK_SIZE],
                        uint64_t scope, struct gray_str unit,
                        struct gray_row_mark *ret_mark)
{
    struct gray_row_mark mark = {.version = bytes[0],
                                 .state = bytes[1],
                                 .variant = bytes[2],
                                 .attempt = bytes[3],
                                 .revision = get32(bytes + 4),
                                 .seconds = get32(bytes + 8),
                                 .check = get32(bytes + 12)};

    if (mark.version != ROW_VERSION || unit.length == 0 ||
        (mark.state != GRAY_MARK_IN && mark.state != GRAY_MARK_OUT) ||
        mark.check != row_check(bytes, scope, unit)) {
        return false;
    }
    *ret_mark = mark;
    return true;
}
