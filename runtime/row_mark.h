/* SPDX-License-Identifier: Apache-2.0
 * row_mark.h - the 16 bytes of a mark that lies in an application's own row.
 *
 * Why: libgray hands them out and takes them back; reconciliation reads them
 * in the rows, years later.  Both must mean the same by them, so they are
 * written and read here.  A check over scope and unit keeps a mark from being
 * taken for another row's; it is against mistakes, not against malice.
 * Read next: client_mark.c, ../control/recon/read_rows.c.
 */
#ifndef GRAY_RUNTIME_ROW_MARK_H
#define GRAY_RUNTIME_ROW_MARK_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/engine.h"

#define GRAY_ROW_MARK_SIZE 16u

/* As the bytes lie: numbers in little-endian order. */
struct gray_row_mark {
    uint8_t version, state; /* GRAY_MARK_IN, GRAY_MARK_OUT */
    uint8_t variant, attempt;
    uint32_t revision, seconds; /* since the epoch, until 2106 */
    uint32_t check;
};
/* Version and check are filled here. */
void gray_row_mark_write(unsigned char ret_bytes[GRAY_ROW_MARK_SIZE],
                         const struct gray_row_mark *mark, uint64_t scope,
                         struct gray_str unit);
/* False: not a mark, or not this unit's in this release. */
bool gray_row_mark_read(const unsigned char bytes[GRAY_ROW_MARK_SIZE],
                        uint64_t scope, struct gray_str unit,
                        struct gray_row_mark *ret_mark);

#endif
