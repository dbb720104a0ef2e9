/* SPDX-License-Identifier: Apache-2.0
 * facts.c - packing and unpacking of what is known of a unit.
 *
 * Why: see facts.h.  A unit's facts are copied out of the spool, for the spool
 * goes on to the next row while they are judged; the memory is kept from unit
 * to unit.
 * Read next: facts.h, spool.c.
 */
#include <stdlib.h>
#include <string.h>

#include "control/recon/facts.h"

#define NO_VALUE UINT32_MAX
#define BYTES_MAX (64u << 20) /* of all rows of one unit */

struct packed {
    int64_t created;
    uint32_t key_length, value_count;
    uint8_t inside, pad[7];
};

static size_t put(char *buffer, size_t at, const void *data, size_t length)
{
    memcpy(buffer + at, data, length);
    return at + length;
}

size_t fact_row_pack(const struct fact_row *row, char *buffer, size_t size)
{
    struct packed head = {.created = row->created,
                          .key_length = row->key.length,
                          .value_count = row->value_count,
                          .inside = row->inside};
    size_t need = sizeof(head) + row->key.length + 1, at = 0;

    for (unsigned i = 0; i < row->value_count; i++) {
        need += sizeof(uint32_t) + row->values[i].length + 1u;
    }
    if (need > size) {
        return 0;
    }
    at = put(buffer, at, &head, sizeof(head));
    at = put(buffer, at, row->key.data, row->key.length);
    buffer[at++] = '\0';
    for (unsigned i = 0; i < row->value_count; i++) {
        uint32_t length =
            row->values[i].data != NULL ? row->values[i].length : NO_VALUE;

        at = put(buffer, at, &length, sizeof(length));
        if (length != NO_VALUE) {
            at = put(buffer, at, row->values[i].data, length);
            buffer[at++] = '\0';
        }
    }
    return at;
}

/* Room for bytes of this unit. Pointers into it stay: it is a row of blocks
 * only while one unit is read, so it is taken once, large enough. */
static char *take(struct facts *facts, size_t length)
{
    char *place;

    if (facts->bytes == NULL) {
        facts->bytes = malloc(BYTES_MAX); /* touched as far as it is used */
        facts->size = facts->bytes != NULL ? BYTES_MAX : 0;
    }
    if (length > facts->size - facts->used) {
        return NULL;
    }
    place = facts->bytes + facts->used;
    facts->used += (length + 7) & ~(size_t)7;
    return place;
}

static struct gray_str *take_values(struct facts *facts, unsigned count)
{
    size_t most = (size_t)FACTS_ROWS_MAX * SIDE_COUNT * 8;

    if (facts->values == NULL) {
        facts->values = malloc(most * sizeof(*facts->values));
        facts->value_room = facts->values != NULL ? most : 0;
    }
    if (count > facts->value_room - facts->value_used) {
        return NULL;
    }
    facts->value_used += count;
    return facts->values + facts->value_used - count;
}

bool facts_begin(struct facts *facts, struct gray_str unit)
{
    char *copy;

    facts->used = facts->value_used = 0;
    facts->mark_count = facts->decision_count = 0;
    for (int i = 0; i < SIDE_COUNT; i++) {
        facts->rows[i] = (struct fact_rows){.items = facts->room[i]};
    }
    copy = take(facts, unit.length + 1);
    if (copy == NULL) {
        facts->failed = true;
        return false;
    }
    memcpy(copy, unit.length > 0 ? unit.data : "", unit.length);
    copy[unit.length] = '\0';
    facts->unit = (struct gray_str){copy, unit.length};
    return true;
}

/* The newest of a row of fixed ones. */
static bool keep(void *items, size_t *count, size_t most, size_t size,
                 const void *data, size_t length)
{
    if (length != size) {
        return false;
    }
    if (*count == most) {
        memmove(items, (char *)items + size, (most - 1) * size);
        (*count)--;
    }
    memcpy((char *)items + (*count)++ * size, data, size);
    return true;
}

static bool unpack(struct facts *facts, struct fact_row *row,
                   const char *bytes, size_t length)
{
    struct packed head;
    size_t at = sizeof(head);

    if (length < sizeof(head)) {
        return false;
    }
    memcpy(&head, bytes, sizeof(head));
    if (head.key_length >= length - at ||
        bytes[at + head.key_length] != '\0' ||
        head.value_count > FACTS_VALUES_MAX) {
        return false;
    }
    *row = (struct fact_row){.key = {bytes + at, head.key_length},
                             .created = head.created,
                             .inside = head.inside != 0,
                             .value_count = head.value_count};
    at += head.key_length + 1;
    row->values = take_values(facts, head.value_count);
    if (row->values == NULL) {
        return head.value_count == 0;
    }
    for (unsigned i = 0; i < head.value_count; i++) {
        uint32_t size;

        if (length - at < sizeof(size)) {
            return false;
        }
        memcpy(&size, bytes + at, sizeof(size));
        at += sizeof(size);
        row->values[i] = (struct gray_str){NULL, 0};
        if (size != NO_VALUE) {
            if (size >= length - at || bytes[at + size] != '\0') {
                return false;
            }
            row->values[i] = (struct gray_str){bytes + at, size};
            at += size + 1;
        }
    }
    return at == length;
}

static bool add_row(struct facts *facts, int side, const void *data,
                    size_t length)
{
    struct fact_rows *rows = &facts->rows[side];
    char *copy;

    if (rows->count == FACTS_ROWS_MAX) {
        rows->too_many = true;
        return true;
    }
    if (facts->room[side] == NULL) {
        facts->room[side] = calloc(FACTS_ROWS_MAX, sizeof(*rows->items));
        rows->items = facts->room[side];
    }
    copy = take(facts, length);
    if (rows->items == NULL) {
        return false;
    }
    if (copy == NULL) {
        rows->too_many = true;
        return true;
    }
    memcpy(copy, data, length);
    if (!unpack(facts, &rows->items[rows->count], copy, length)) {
        rows->too_many = true;
        return true;
    }
    rows->count++;
    return true;
}

bool facts_add(struct facts *facts, int side, const void *data, size_t length)
{
    bool good;

    if (side == FACT_MARK) {
        good = keep(facts->marks, &facts->mark_count, FACTS_MARKS_MAX,
                    sizeof(*facts->marks), data, length);
    } else if (side == FACT_DECISION) {
        good = keep(facts->decisions, &facts->decision_count,
                    FACTS_DECISIONS_MAX, sizeof(*facts->decisions), data,
                    length);
    } else {
        good = side < FACT_ROW + SIDE_COUNT &&
               add_row(facts, side - FACT_ROW, data, length);
    }
    facts->failed |= !good;
    return good;
}

void facts_free(struct facts *facts)
{
    for (int i = 0; i < SIDE_COUNT; i++) {
        free(facts->room[i]);
    }
    free(facts->bytes);
    free(facts->values);
    *facts = (struct facts){0};
}
