/* SPDX-License-Identifier: Apache-2.0
 * request_feed.c - a checked request, fed to the engine as the gateway does.
 *
 * Why: the answer can only be the gateway's when every attribute reaches the
 * engine in the same form: what nginx drops is dropped, what the edge strips
 * is not seen, and a trusted colour comes only from the keys made for it.
 * Read next: engine/input.c.
 */
#include <string.h>
#include <strings.h>

#include "ask/ask.h"

static struct gray_str text_of(const char *text)
{
    return (struct gray_str) { text, (uint32_t)strlen(text) };
}

/* Copies the name in lower case. False where nginx drops the header. */
static bool header_name(const char *name, char lower[REQUEST_NAME_MAX + 1])
{
    size_t i = 0;

    for (; name[i] != '\0'; i++) {
        unsigned char c = (unsigned char)name[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
              (c >= '0' && c <= '9') || c == '-')) {
            return false;
        }
        lower[i] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
    }
    lower[i] = '\0';
    return true;
}

static struct gray_str header_value(const char *text)
{
    size_t length;

    text += strspn(text, " ");
    length = strlen(text);
    while (length > 0 && text[length - 1] == ' ') {
        length--;
    }
    return (struct gray_str) { text, (uint32_t)length };
}

static void feed_header(struct gray_input *in, const char *name, json_t *values)
{
    char lower[REQUEST_NAME_MAX + 1];
    enum gray_header_kind kind;
    struct gray_str text;
    uint32_t hash;

    if (!header_name(name, lower)) {
        return;
    }
    text = text_of(lower);
    kind = gray_header_kind(text);
    if (kind == GRAY_HEADER_LANE || kind == GRAY_HEADER_CTX ||
        kind == GRAY_HEADER_FORGED) {
        return;
    }
    hash = gray_hash_name(lower, text.length);
    if (!gray_input_wants(in->policy, hash)) {
        return;
    }
    for (size_t i = 0; i < values_count(values); i++) {
        gray_input_header(
            in, hash, text,
            header_value(json_string_value(values_at(values, i))));
    }
}

static void feed_headers(struct gray_input *in, const struct request *request)
{
    const char *name;
    json_t *values;
    bool has_host = false;

    json_object_foreach(request->headers, name, values) {
        has_host |= strcasecmp(name, "host") == 0;
        feed_header(in, name, values);
    }
    /* In nginx the host is a header as well, whatever the HTTP version. */
    if (request->host != NULL && !has_host) {
        json_t *value = json_object_get(request->root, "host");

        feed_header(in, "host", value);
    }
}

static void feed_pairs(struct gray_input *in, enum gray_source source,
                       json_t *pairs)
{
    const char *name;
    json_t *value;

    json_object_foreach(pairs, name, value) {
        gray_input_named(in, source, text_of(name),
                         text_of(json_string_value(value)));
    }
}

/* The Host header as the gateway sees it, whichever key gave it. */
static const char *host_of(const struct request *request)
{
    const char *name;
    json_t *values;

    if (request->host != NULL) {
        return request->host;
    }
    json_object_foreach(request->headers, name, values) {
        if (strcasecmp(name, "host") == 0) {
            return json_string_value(values_at(values, 0));
        }
    }
    return NULL;
}

uint32_t request_feed(const struct request *request,
                      const struct gray_snapshot *policy, int64_t now_ms,
                      struct gray_input *ret_input)
{
    struct gray_str none = { "", 0 };
    const char *host = host_of(request);
    uint32_t entrance;

    gray_input_begin(ret_input, policy,
                     request->has_now ? request->now : now_ms,
                     request->random);
    gray_input_method(ret_input,
                      text_of(request->method != NULL ? request->method
                                                      : "GET"));
    if (host != NULL) {
        gray_input_host(ret_input, text_of(host));
    }
    gray_input_target(ret_input, text_of(request->path));
    feed_headers(ret_input, request);
    if (request->has_address) {
        gray_input_address(ret_input, request->address);
    }
    feed_pairs(ret_input, GRAY_SOURCE_ATTR, request->attrs);
    feed_pairs(ret_input, GRAY_SOURCE_LABEL, request->labels);
    if (request->caller != NULL && request->caller[0] != '\0') {
        gray_input_named(ret_input, GRAY_SOURCE_CALLER, none,
                         text_of(request->caller));
    }
    if (request->anonymous != NULL && request->anonymous[0] != '\0') {
        gray_input_named(ret_input, GRAY_SOURCE_UNIT, none,
                         text_of(request->anonymous));
    }
    if (request->stage != NULL) {
        ret_input->stage = text_of(request->stage);
    }
    if (request->lane != NULL || request->arms != NULL ||
        request->traffic_class != GRAY_CLASS_LIVE) {
        gray_input_colour(
            ret_input, request->lane != NULL ? text_of(request->lane) : none,
            request->arms != NULL ? text_of(request->arms) : none,
            request->traffic_class);
    }
    if (request->entrance != NULL && strcmp(request->entrance, "-") == 0) {
        return GRAY_NONE; /* no entrance: only the colour counts */
    }
    entrance = gray_find_entrance(
        policy, request->entrance != NULL ? text_of(request->entrance) : none);
    /* An entrance that no document names decides like the unnamed one. */
    return entrance != GRAY_NONE ? entrance : 0;
}
