/* SPDX-License-Identifier: Apache-2.0
 * record.c - what a policy looked at of one request, as one line of JSON.
 *
 * Why: see record.h. The values are those that the decision was made by, so a
 * replay of the line decides by the same: an argument of the query stands
 * decoded there and is encoded again, a segment is found again in the path.
 * Read next: input.c (where the values come from), ask/request.c (who reads
 * the line).
 */
#include <string.h>

#include "engine/record.h"
#include "engine/text.h"
#include "engine/view.h"

/* Of headers that a rule looks at as a whole: what they hold opens doors. */
static const char *const secret[] = { "cookie", "authorization",
                                      "proxy-authorization" };

static const struct gray_slot *slot_of(const struct gray_input *in,
                                       uint32_t value)
{
    return VIEW_AT(in->policy, slots, gray_slot, in->values[value].slot);
}

static bool is_written(const struct gray_input *in, uint32_t value,
                       enum gray_source source)
{
    const struct gray_slot *slot = slot_of(in, value);
    struct gray_str name;

    if (slot == NULL || slot->source != (uint32_t)source ||
        in->values[value].length > GRAY_VALUE_MAX) {
        return false;
    }
    if (source != GRAY_SOURCE_HEADER) {
        return true;
    }
    name = view_text(in->policy, slot->name);
    for (size_t i = 0; i < sizeof(secret) / sizeof(secret[0]); i++) {
        if (name.length == strlen(secret[i]) &&
            memcmp(name.data, secret[i], name.length) == 0) {
            return false;
        }
    }
    return true;
}

static struct gray_str value_of(const struct gray_input *in, uint32_t value)
{
    return (struct gray_str){ in->values[value].data,
                              in->values[value].length };
}

static struct gray_str name_of(const struct gray_input *in, uint32_t value)
{
    return view_text(in->policy, slot_of(in, value)->name);
}

static void put_named(struct text *text, const char *key,
                      struct gray_str value)
{
    if (value.length > 0) {
        text_key(text, key);
        text_quoted(text, value);
    }
}

/* The first value of a source without a name. */
static void put_source(struct text *text, const struct gray_input *in,
                       enum gray_source source, const char *key)
{
    for (uint32_t i = 0; i < in->value_count; i++) {
        if (is_written(in, i, source)) {
            text_key(text, key);
            text_quoted(text, value_of(in, i));
            return;
        }
    }
}

/* ---- the target -------------------------------------------------------------- */

static bool looks_at(const struct gray_input *in, enum gray_source source)
{
    return in->policy->slot_of[source] != GRAY_NONE;
}

static bool looks_at_segments(const struct gray_input *in)
{
    for (uint32_t i = 0; i < in->value_count; i++) {
        if (is_written(in, i, GRAY_SOURCE_SEGMENT)) {
            return true;
        }
    }
    return false;
}

static void put_encoded(struct text *text, struct gray_str bytes)
{
    static const char digits[] = "0123456789ABCDEF";

    for (uint32_t i = 0; i < bytes.length; i++) {
        uint8_t c = (uint8_t)bytes.data[i];

        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
            (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.') {
            text_byte(text, (char)c);
        } else {
            text_byte(text, '%');
            text_byte(text, digits[c >> 4]);
            text_byte(text, digits[c & 15]);
        }
    }
}

static void put_target(struct text *text, const struct gray_input *in)
{
    char mark = '?';

    text_key(text, "path");
    text_byte(text, '"');
    if (in->path.length > 0 && in->path.data[0] == '/' &&
        (looks_at(in, GRAY_SOURCE_PATH) || looks_at_segments(in) ||
         looks_at(in, GRAY_SOURCE_GRPC_SERVICE) ||
         looks_at(in, GRAY_SOURCE_GRPC_METHOD))) {
        text_escaped(text, in->path, UINT32_MAX);
    } else {
        text_byte(text, '/');
    }
    for (uint32_t i = 0; i < in->value_count; i++) {
        if (is_written(in, i, GRAY_SOURCE_QUERY)) {
            text_byte(text, mark);
            put_encoded(text, name_of(in, i));
            text_byte(text, '=');
            put_encoded(text, value_of(in, i));
            mark = '&';
        }
    }
    text_byte(text, '"');
}

/* ---- headers ------------------------------------------------------------------ */

/* All values of the header whose first one this is. */
static void put_header(struct text *text, const struct gray_input *in,
                       uint32_t first)
{
    bool begun = false;

    if (text->last != '{') {
        text_byte(text, ',');
    }
    text_quoted(text, name_of(in, first));
    text_raw(text, ":[");
    for (uint32_t i = first; i < in->value_count; i++) {
        if (in->values[i].slot == in->values[first].slot &&
            is_written(in, i, GRAY_SOURCE_HEADER)) {
            if (begun) {
                text_byte(text, ',');
            }
            text_quoted(text, value_of(in, i));
            begun = true;
        }
    }
    text_byte(text, ']');
}

static bool came_before(const struct gray_input *in, uint32_t value)
{
    for (uint32_t i = 0; i < value; i++) {
        if (in->values[i].slot == in->values[value].slot &&
            is_written(in, i, GRAY_SOURCE_HEADER)) {
            return true;
        }
    }
    return false;
}

static void put_cookies(struct text *text, const struct gray_input *in)
{
    bool begun = false;

    for (uint32_t i = 0; i < in->value_count; i++) {
        if (!is_written(in, i, GRAY_SOURCE_COOKIE)) {
            continue;
        }
        if (!begun) {
            text_key(text, "cookie");
        }
        text_raw(text, begun ? "; " : "\"");
        text_escaped(text, name_of(in, i), UINT32_MAX);
        text_byte(text, '=');
        text_escaped(text, value_of(in, i), UINT32_MAX);
        begun = true;
    }
    if (begun) {
        text_byte(text, '"');
    }
}

static void put_headers(struct text *text, const struct gray_input *in)
{
    text_key(text, "headers");
    text_byte(text, '{');
    for (uint32_t i = 0; i < in->value_count; i++) {
        if (is_written(in, i, GRAY_SOURCE_HEADER) && !came_before(in, i)) {
            put_header(text, in, i);
        }
    }
    put_cookies(text, in);
    if (in->grpc && (looks_at(in, GRAY_SOURCE_GRPC_SERVICE) ||
                     looks_at(in, GRAY_SOURCE_GRPC_METHOD))) {
        text_key(text, "content-type");
        text_raw(text, "\"application/grpc\"");
    }
    text_byte(text, '}');
}

/* ---- the rest ------------------------------------------------------------------ */

static void put_pairs(struct text *text, const struct gray_input *in,
                      enum gray_source source, const char *key)
{
    bool begun = false;

    for (uint32_t i = 0; i < in->value_count; i++) {
        if (!is_written(in, i, source)) {
            continue;
        }
        if (!begun) {
            text_key(text, key);
        }
        text_byte(text, begun ? ',' : '{');
        text_quoted(text, name_of(in, i));
        text_byte(text, ':');
        text_quoted(text, value_of(in, i));
        begun = true;
    }
    if (begun) {
        text_byte(text, '}');
    }
}

/* IPv4, or IPv6 in groups of four digits, none left out. */
static void put_address(struct text *text, const struct gray_input *in)
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
    const uint8_t *bytes = in->address.bytes;

    if (!in->address.known || !looks_at(in, GRAY_SOURCE_ADDRESS)) {
        return;
    }
    text_key(text, "source");
    text_byte(text, '"');
    if (memcmp(bytes, mapped, sizeof(mapped)) == 0) {
        for (int i = 12; i < 16; i++) {
            text_unsigned(text, bytes[i]);
            text_raw(text, i < 15 ? "." : "");
        }
    } else {
        for (int i = 0; i < 16; i++) {
            text_byte(text, "0123456789abcdef"[bytes[i] >> 4]);
            text_byte(text, "0123456789abcdef"[bytes[i] & 15]);
            text_raw(text, i % 2 == 1 && i < 15 ? ":" : "");
        }
    }
    text_byte(text, '"');
}

size_t gray_record_write(const struct gray_input *in, struct gray_str entrance,
                         char *buffer, size_t size)
{
    struct text text = { .buffer = buffer, .size = size };

    text_byte(&text, '{');
    text_key(&text, "now");
    text_signed(&text, in->now);
    put_source(&text, in, GRAY_SOURCE_METHOD, "method");
    put_source(&text, in, GRAY_SOURCE_HOST, "host");
    put_target(&text, in);
    put_headers(&text, in);
    put_address(&text, in);
    put_pairs(&text, in, GRAY_SOURCE_ATTR, "attrs");
    put_pairs(&text, in, GRAY_SOURCE_LABEL, "labels");
    put_source(&text, in, GRAY_SOURCE_CALLER, "caller");
    put_named(&text, "anonymous", in->anonymous);
    put_named(&text, "stage", in->stage);
    put_named(&text, "lane", in->lane);
    put_named(&text, "arms", in->arms);
    put_named(&text, "entrance", entrance);
    text_byte(&text, '}');
    text_end(&text);
    return text.length;
}
