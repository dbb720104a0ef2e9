/* SPDX-License-Identifier: Apache-2.0
 * fuzz_mark_record.c - any bytes as a record of the journal of marks.
 *
 * Why: a disk may give back anything.  What is believed must be what was
 * written: a record that holds is written again to the very same bytes; one
 * that holds in part has a key or a unit and nothing else.
 * Read next: control/marks/record.c.
 */
#include <string.h>

#include "control/marks/record.h"
#include "tests/fuzz/fuzz.h"

/* The last byte chooses: as it is, or with sums that fit. */
static void seal(uint8_t *bytes, size_t size)
{
    struct record record;
    struct record_head head;

    if (size < sizeof(head)) {
        return;
    }
    memset(&record, 0, sizeof(record));
    memcpy(&head, bytes, sizeof(head));
    record.head = head;
    if (size != sizeof(head) + (size_t)head.unit_length + head.actor_length +
                    head.reason_length) {
        return;
    }
    record.unit = (struct gray_str){(char *)bytes + sizeof(head),
                                    head.unit_length};
    record.actor = (struct gray_str){record.unit.data + head.unit_length,
                                     head.actor_length};
    record.reason = (struct gray_str){record.actor.data + head.actor_length,
                                      head.reason_length};
    record_write(&record, 17, bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct record record;
    uint8_t *bytes, *again;

    if (size == 0) {
        return 0;
    }
    bytes = malloc(size);
    again = malloc(size);
    memcpy(bytes, data, size);
    if ((data[size - 1] & 1) != 0) {
        seal(bytes, size - 1);
    }
    switch (record_read(bytes, size - 1, 17, &record)) {
    case RECORD_GOOD:
        MUST(record_size(&record) == size - 1);
        MUST(record.head.pad[0] != 0 || record.head.pad[1] != 0 ||
             (record_write(&record, 17, again),
              memcmp(again, bytes, size - 1) == 0));
        break;
    case RECORD_BY_KEY:
        MUST(record.unit.length == 0 && record.head.value == 0);
        break;
    case RECORD_BY_UNIT:
        MUST(record.unit.length > 0 && record.head.value == 0 &&
             (const uint8_t *)record.unit.data + record.unit.length <=
                 bytes + size - 1);
        break;
    case RECORD_LOST:
        MUST(record.head.scope == 0 && record.unit.length == 0);
        break;
    }
    free(again);
    free(bytes);
    return 0;
}
