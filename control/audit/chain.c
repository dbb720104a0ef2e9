/* SPDX-License-Identifier: Apache-2.0
 * chain.c - what a record says, byte for byte, and the hash that binds it.
 *
 * Why: a hash is over bytes, so one event must have one spelling: JSON with
 * sorted keys and no blanks.  Nobody may prevent a record by what he sends:
 * bad UTF-8 becomes U+FFFD, a long text is cut and ends in an ellipsis, a
 * large document is replaced by its size and its SHA-256.
 * Read next: tree.c.
 */
#include <stdlib.h>
#include <string.h>

#include "control/audit/internal.h"
#include "control/dump.h"
#include "policy/utf8.h"

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */
#define ELLIPSIS "\xe2\x80\xa6"    /* U+2026 */

/* At most `limit` bytes and an ellipsis, well-formed; NULL: no memory. */
static json_t *clean_string(const char *text, size_t limit)
{
    size_t length = strnlen(text, limit + 1), at = 0, used = 0;
    /* each bad byte grows to three; and the ellipsis */
    char *room = malloc(limit + 2 * sizeof(ELLIPSIS));
    json_t *value;

    if (room == NULL) {
        return NULL;
    }
    while (at < length) {
        /* the longest character has four bytes; strnlen() may have cut it */
        size_t left = strnlen(text + at, 4);
        size_t step = gray_utf8_step(text + at, left);
        const char *bytes = step == 0 ? REPLACEMENT : text + at;
        size_t size = step == 0 ? sizeof(REPLACEMENT) - 1 : step;

        if (used + size > limit) {
            memcpy(room + used, ELLIPSIS, sizeof(ELLIPSIS) - 1);
            used += sizeof(ELLIPSIS) - 1;
            break;
        }
        memcpy(room + used, bytes, size);
        used += size;
        at += step == 0 ? 1 : step;
    }
    value = json_stringn(room, used);
    free(room);
    return value;
}

static int set_string(json_t *record, const char *key, const char *text,
                      size_t limit)
{
    if (text == NULL) {
        return 0;
    }
    return json_object_set_new_nocheck(record, key, clean_string(text, limit));
}

/* {"bytes":N,"sha256":HEX}: what stands for a document that is too large. */
static json_t *side_digest(const char *text, size_t length)
{
    char hex[2 * AUDIT_HASH + 1];
    uint8_t hash[AUDIT_HASH];

    SHA256((const uint8_t *)text, length, hash);
    hex_write(hash, AUDIT_HASH, hex);
    return json_pack("{s:I, s:s}", "bytes", (json_int_t)length, "sha256", hex);
}

static int set_side(json_t *record, const char *key, const json_t *side)
{
    char *text;
    json_t *value;
    size_t length;

    if (side == NULL) {
        return 0;
    }
    text = json_text(side, JSON_SORT_KEYS | JSON_COMPACT | JSON_ENCODE_ANY,
                     &length);
    if (text == NULL) {
        return -1;
    }
    value = length > AUDIT_SIDE_MAX ? side_digest(text, length)
                                    : json_deep_copy(side);
    free(text);
    return json_object_set_new_nocheck(record, key, value);
}

static int fill(json_t *record, uint64_t sequence,
                const struct audit_entry *entry)
{
    int bad = 0;

    bad |= json_object_set_new(record, "seq",
                               json_integer((json_int_t)sequence));
    bad |= json_object_set_new(record, "at", json_integer(entry->at));
    if (entry->revision != 0) {
        bad |= json_object_set_new(record, "revision",
                                   json_integer((json_int_t)entry->revision));
    }
    bad |= set_string(record, "actor", entry->actor, AUDIT_WORD_MAX);
    bad |= set_string(record, "role", entry->role, AUDIT_WORD_MAX);
    bad |= set_string(record, "via", entry->via, AUDIT_WORD_MAX);
    bad |= set_string(record, "action", entry->action, AUDIT_WORD_MAX);
    bad |= set_string(record, "resource", entry->resource, AUDIT_WORD_MAX);
    bad |= set_string(record, "outcome", entry->outcome, AUDIT_WORD_MAX);
    bad |= set_string(record, "code", entry->code, AUDIT_WORD_MAX);
    bad |= set_string(record, "reason", entry->reason, AUDIT_REASON_MAX);
    bad |= set_string(record, "triggeredBy", entry->triggered_by,
                      AUDIT_WORD_MAX);
    bad |= set_string(record, "eventType", entry->event_type, AUDIT_WORD_MAX);
    bad |= set_string(record, "request", entry->request, AUDIT_WORD_MAX);
    bad |= set_side(record, "before", entry->before);
    bad |= set_side(record, "after", entry->after);
    return bad;
}

char *audit_record_text(uint64_t sequence, const struct audit_entry *entry,
                        size_t *ret_length)
{
    json_t *record = json_object();
    char *text = NULL;

    if (record != NULL && fill(record, sequence, entry) == 0) {
        text = json_text(record, JSON_SORT_KEYS | JSON_COMPACT, ret_length);
    }
    json_decref(record);
    return text;
}

void audit_chain(const uint8_t before[AUDIT_HASH], const char *text,
                 size_t length, uint8_t ret_hash[AUDIT_HASH])
{
    static const uint8_t mark = 0x00;
    SHA256_CTX context;

    SHA256_Init(&context);
    SHA256_Update(&context, &mark, 1);
    SHA256_Update(&context, before, AUDIT_HASH);
    SHA256_Update(&context, text, length);
    SHA256_Final(ret_hash, &context);
}
