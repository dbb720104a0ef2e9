/* SPDX-License-Identifier: Apache-2.0
 * fuzz_ring.c - any bytes as a part of a reader's ring, read as grayd does.
 *
 * Why: a reader's file belongs to whoever runs the reader.  What must hold:
 * the reading ends, stays inside the copy, and what it calls a record is one.
 * The input is the place (8 bytes, as head counts), then the bytes.
 * Read next: runtime/ring.c, control/marks/drain.c.
 */
#include <errno.h>
#include <string.h>

#include "runtime/runtime.h"
#include "tests/fuzz/fuzz.h"

static void must_be_a_record(const struct gray_ring_record *record,
                             const struct gray_str *unit, uint64_t at)
{
    MUST(record->sequence == at);
    MUST(record->size % 8 == 0 && record->size <= GRAY_RING_RECORD_MAX);
    MUST(record->unit_length == unit->length);
    MUST(unit->length > 0 && unit->length <= GRAY_VALUE_MAX);
    MUST(sizeof(*record) + unit->length <= record->size);
    MUST(record->reason < 256);
    if (record->kind == GRAY_RING_SETTLED) {
        MUST(record->state == 0 && record->value == 0 && record->until == 0);
        MUST(record->space < GRAY_STAGES_MAX ||
             record->space == GRAY_RING_EVERY_SPACE);
        return;
    }
    MUST(record->kind == GRAY_RING_MARKED || record->kind == GRAY_RING_ASKED);
    MUST(record->state == GRAY_SLOT_IN || record->state == GRAY_SLOT_OUT);
    MUST((record->value & GRAY_SLOT_LATER) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gray_ring_record record;
    struct gray_ring_copy copy;
    struct gray_str unit;
    uint64_t at, last;
    uint32_t sum = 0;
    int got;

    if (size < sizeof(at)) {
        return 0;
    }
    memcpy(&at, data, sizeof(at));
    size -= sizeof(at);
    at &= ~UINT64_C(0) >> 1;
    copy = (struct gray_ring_copy){data + sizeof(at), at, at + size};
    do {
        last = copy.at;
        got = gray_ring_read(&copy, &record, &unit);
        MUST(copy.at >= last && copy.at <= copy.end);
        MUST(copy.bytes == data + sizeof(at) + (copy.at - at));
        if (got == 1) {
            must_be_a_record(&record, &unit, last);
            MUST((const uint8_t *)unit.data >= data + sizeof(at));
            MUST((const uint8_t *)unit.data + unit.length <=
                 data + sizeof(at) + size);
            for (uint32_t i = 0; i < unit.length; i++) {
                sum += (uint8_t)unit.data[i];
            }
        }
    } while (got == 1);
    MUST(got == 0 || got == -EBADMSG);
    MUST(got != 0 || copy.at == copy.end);
    MUST(sum <= 255u * size);
    return 0;
}
