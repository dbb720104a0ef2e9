/* SPDX-License-Identifier: Apache-2.0
 * record.c - a record of the journal to bytes and back.
 *
 * Why: see record.h.  The sums are seeded with the sequence, so that a record
 * that was moved to another place in the log is not taken for that one's.
 * Read next: journal.c, rebuild.c (who believes it).
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <string.h>

#include "control/marks/record.h"

_Static_assert(sizeof(struct record_head) == 80, "the layout of the journal");

#define AFTER_CHECKSUM sizeof(uint64_t)

const char *record_kind_word(uint32_t kind)
{
    static const char *const words[] = {
        [RECORD_ADMIT] = "admit",   [RECORD_REVOKE] = "revoke",
        [RECORD_REPAIR] = "repair", [RECORD_IMPORT] = "import",
        [RECORD_VOID] = "void",     [RECORD_SETTLE] = "settle",
    };

    return kind >= RECORD_ADMIT && kind <= RECORD_SETTLE ? words[kind] : NULL;
}

static uint32_t key_check(const struct record_head *head, uint64_t sequence)
{
    return (uint32_t)XXH64((const char *)head +
                               offsetof(struct record_head, scope),
                           sizeof(head->scope) + sizeof(head->key), sequence);
}

static uint32_t unit_check(const struct record_head *head, const void *unit,
                           uint64_t sequence)
{
    return (uint32_t)XXH64(unit, head->unit_length,
                           XXH64(&head->scope, sizeof(head->scope),
                                 sequence + head->space));
}

static size_t texts_of(const struct record_head *head)
{
    return (size_t)head->unit_length + head->actor_length +
           head->reason_length;
}

size_t record_size(const struct record *record)
{
    return sizeof(record->head) + record->unit.length +
           record->actor.length + record->reason.length;
}

static char *text_write(char *to, struct gray_str text)
{
    if (text.length > 0) {
        memcpy(to, text.data, text.length);
    }
    return to + text.length;
}

void record_write(const struct record *record, uint64_t sequence, void *to)
{
    struct record_head head = record->head;
    char *texts = (char *)to + sizeof(head);

    head.unit_length = (uint16_t)record->unit.length;
    head.actor_length = (uint8_t)record->actor.length;
    head.reason_length = (uint16_t)record->reason.length;
    memset(head.pad, 0, sizeof(head.pad));
    text_write(text_write(text_write(texts, record->unit), record->actor),
               record->reason);
    head.key_check = key_check(&head, sequence);
    head.unit_check = unit_check(&head, texts, sequence);
    memcpy(to, &head, sizeof(head));
    head.checksum =
        XXH64((char *)to + AFTER_CHECKSUM,
              sizeof(head) - AFTER_CHECKSUM + texts_of(&head), sequence);
    memcpy(to, &head.checksum, sizeof(head.checksum));
}

static bool head_holds(const struct record_head *head, size_t size)
{
    return size == sizeof(*head) + texts_of(head) &&
           head->unit_length <= GRAY_VALUE_MAX &&
           head->reason_length <= RECORD_REASON_MAX &&
           record_kind_word(head->kind) != NULL;
}

enum record_belief record_read(const void *bytes, size_t size,
                               uint64_t sequence, struct record *ret_record)
{
    const char *texts = (const char *)bytes + sizeof(struct record_head);
    struct record_head head;

    memset(ret_record, 0, sizeof(*ret_record));
    if (size < sizeof(head)) {
        return RECORD_LOST;
    }
    memcpy(&head, bytes, sizeof(head));
    if (head_holds(&head, size) &&
        XXH64((const char *)bytes + AFTER_CHECKSUM, size - AFTER_CHECKSUM,
              sequence) == head.checksum) {
        ret_record->head = head;
        ret_record->unit = (struct gray_str){texts, head.unit_length};
        ret_record->actor =
            (struct gray_str){texts + head.unit_length, head.actor_length};
        ret_record->reason = (struct gray_str){
            texts + head.unit_length + head.actor_length, head.reason_length};
        return RECORD_GOOD;
    }
    ret_record->head.scope = head.scope;
    if (key_check(&head, sequence) == head.key_check) {
        memcpy(ret_record->head.key, head.key, sizeof(head.key));
        return RECORD_BY_KEY;
    }
    if (head.unit_length > 0 && head.unit_length <= size - sizeof(head) &&
        unit_check(&head, texts, sequence) == head.unit_check) {
        ret_record->head.space = head.space;
        ret_record->unit = (struct gray_str){texts, head.unit_length};
        return RECORD_BY_UNIT;
    }
    ret_record->head.scope = 0;
    return RECORD_LOST;
}
