/* SPDX-License-Identifier: Apache-2.0
 * cookie.c - reads and cuts a Cookie header.
 *
 * Why: our own sticky cookie must not reach a service, and what is left must
 * be the client's bytes: an old service sees what it saw before us.  Pairs end
 * at ';' only (RFC 6265), names are compared with case, values keep their
 * quotes.
 * Read next: colour.c, engine.h.
 */
#include "engine/bounds.h"

static inline bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* The next pair with its blanks, up to ';' or the end. */
static struct gray_str next_pair(struct gray_str cookies, uint32_t at)
{
    struct gray_str pair = {cookies.data + at, cookies.length - at};
    const char *stop =
        pair.length == 0 ? NULL : memchr(pair.data, ';', pair.length);

    if (stop != NULL) {
        pair.length = (uint32_t)(stop - pair.data);
    }
    return pair;
}

/* Splits "  name = value " into its two trimmed parts; false without '='. */
static bool split_pair(struct gray_str pair, struct gray_str *ret_name,
                       struct gray_str *ret_value)
{
    const char *at = pair.data, *end = pair.data + pair.length, *equals;

    equals = pair.length == 0 ? NULL : memchr(at, '=', pair.length);
    if (equals == NULL) {
        return false;
    }
    while (at < equals && is_blank(*at)) {
        at++;
    }
    ret_name->data = at;
    ret_name->length = (uint32_t)(equals - at);
    while (ret_name->length != 0 && is_blank(at[ret_name->length - 1])) {
        ret_name->length--;
    }
    at = equals + 1;
    while (at < end && is_blank(*at)) {
        at++;
    }
    while (end > at && is_blank(end[-1])) {
        end--;
    }
    ret_value->data = at;
    ret_value->length = (uint32_t)(end - at);
    return true;
}

static bool is_named(struct gray_str pair, const struct gray_str *names,
                     uint32_t name_count)
{
    struct gray_str name, value;
    uint32_t i;

    if (!split_pair(pair, &name, &value)) {
        return false;
    }
    for (i = 0; i < name_count; i++) {
        if (same_bytes(name, names[i])) {
            return true;
        }
    }
    return false;
}

size_t gray_cookie_strip(struct gray_str cookies, const struct gray_str *names,
                         uint32_t name_count, char *buffer, size_t size,
                         uint32_t *ret_removed)
{
    uint32_t at = 0, removed = 0;
    size_t length = 0;
    bool first = true;

    while (at <= cookies.length) {
        struct gray_str pair = next_pair(cookies, at);

        at += pair.length + 1;
        if (is_named(pair, names, name_count)) {
            removed++;
            continue;
        }
        /* The blank behind a separator that went is not the client's. */
        while (first && removed != 0 && pair.length != 0 &&
               is_blank(pair.data[0])) {
            pair.data++;
            pair.length--;
        }
        if (pair.length + (first ? 0u : 1u) > size - length) {
            break;
        }
        if (!first) {
            buffer[length++] = ';';
        }
        if (pair.length != 0) {
            memcpy(buffer + length, pair.data, pair.length);
        }
        length += pair.length;
        first = false;
    }
    *ret_removed = removed;
    return length;
}

struct gray_str gray_cookie_find(struct gray_str cookies, struct gray_str name)
{
    struct gray_str key, value, none = {NULL, 0};
    uint32_t at = 0;

    while (at < cookies.length) {
        struct gray_str pair = next_pair(cookies, at);

        at += pair.length + 1;
        if (split_pair(pair, &key, &value) && same_bytes(key, name)) {
            return value;
        }
    }
    return none;
}
