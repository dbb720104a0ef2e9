/* SPDX-License-Identifier: Apache-2.0
 * brute_values.c - the values that a request has for one attribute.
 *
 * Why: see brute.h.  Copied out of the request's own text, each time anew, by
 * the words of sources.def.
 * Read next: brute.c.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "tests/engine/brute.h"

void brute_add(struct brute_values *v, const char *from, size_t length)
{
    assert(v->count < BRUTE_VALUES && v->used + length + 1 <= BRUTE_ROOM);
    memcpy(v->room + v->used, from, length);
    v->room[v->used + length] = '\0';
    v->value[v->count++] = v->room + v->used;
    v->used += (uint32_t)length + 1;
}

static void add_pairs(struct brute_values *v, const struct brute_pair *pairs,
                      uint32_t count, const char *name, bool blind)
{
    uint32_t i;

    for (i = 0; i < count; i++) {
        if (blind ? strcasecmp(pairs[i].name, name) == 0
                  : strcmp(pairs[i].name, name) == 0) {
            brute_add(v, pairs[i].value, strlen(pairs[i].value));
        }
    }
}

/* Lower case, no port, no trailing dot. */
static void add_host(struct brute_values *v, const char *host)
{
    char text[512];
    size_t length, i;

    if (host == NULL || *host == '\0') {
        return;
    }
    length = *host == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");
    if (length > strlen(host)) {
        length = strlen(host);
    }
    if (length > 0 && host[length - 1] == '.') {
        length--;
    }
    for (i = 0; i < length; i++) {
        text[i] = (char)tolower((unsigned char)host[i]);
    }
    brute_add(v, text, length);
}

static void add_segment(struct brute_values *v, const char *target, int wanted)
{
    const char *at = target, *end = target + strcspn(target, "?#");
    int number = 1;

    if (*at++ != '/') {
        return;
    }
    while (at < end) {
        size_t length = strcspn(at, "/");

        if (at + length > end) {
            length = (size_t)(end - at);
        }
        if (number++ == wanted) {
            brute_add(v, at, length);
            return;
        }
        at += length + 1;
    }
}

/* Percent-decoding of `length` bytes into a string. */
static void decode(const char *from, size_t length, char *to)
{
    size_t i;

    for (i = 0; i < length; i++) {
        if (from[i] == '%' && i + 2 < length &&
            isxdigit((unsigned char)from[i + 1]) &&
            isxdigit((unsigned char)from[i + 2])) {
            char digits[3] = {from[i + 1], from[i + 2], '\0'};

            *to++ = (char)strtol(digits, NULL, 16);
            i += 2;
        } else {
            *to++ = from[i];
        }
    }
    *to = '\0';
}

static void add_query(struct brute_values *v, const char *target,
                      const char *name)
{
    char key[BRUTE_ROOM], value[BRUTE_ROOM];
    const char *at = target + strcspn(target, "?#");
    const char *end = target + strcspn(target, "#");
    size_t length, key_length;

    if (*at != '?') {
        return;
    }
    for (at++; at < end; at += length + 1) {
        length = strcspn(at, "&#");
        key_length = strcspn(at, "=&#");
        decode(at, key_length, key);
        if (key_length == 0 || strcmp(key, name) != 0) {
            continue;
        }
        if (key_length < length) {
            decode(at + key_length + 1, length - key_length - 1, value);
            brute_add(v, value, strlen(value));
        } else {
            brute_add(v, "", 0);
        }
        return;
    }
}

static void add_cookie(struct brute_values *v, const struct brute_request *r,
                       const char *name)
{
    char header[BRUTE_ROOM], *pair, *rest, *equals, *end;
    uint32_t i;

    for (i = 0; i < r->header_count; i++) {
        if (strcasecmp(r->headers[i].name, "cookie") != 0) {
            continue;
        }
        snprintf(header, sizeof(header), "%s", r->headers[i].value);
        for (pair = strtok_r(header, ";", &rest); pair != NULL;
             pair = strtok_r(NULL, ";", &rest)) {
            pair += strspn(pair, " \t");
            equals = strchr(pair, '=');
            if (equals == NULL || (size_t)(equals - pair) != strlen(name) ||
                memcmp(pair, name, strlen(name)) != 0) {
                continue;
            }
            end = equals + strlen(equals);
            while (end > equals + 1 && (end[-1] == ' ' || end[-1] == '\t')) {
                end--;
            }
            brute_add(v, equals + 1, (size_t)(end - equals - 1));
            return;
        }
    }
}

static void add_grpc(struct brute_values *v, const struct brute_request *r,
                     bool method)
{
    const char *end = r->target + strcspn(r->target, "?#"), *slash;
    bool grpc = false;
    uint32_t i;

    for (i = 0; i < r->header_count; i++) {
        grpc |= strcasecmp(r->headers[i].name, "content-type") == 0 &&
                strncasecmp(r->headers[i].value, "application/grpc", 16) == 0;
    }
    if (!grpc || r->target[0] != '/' || end - r->target < 2) {
        return;
    }
    slash = strchr(r->target + 1, '/');
    if (slash == NULL || slash >= end) {
        return;
    }
    if (method) {
        brute_add(v, slash + 1, (size_t)(end - slash - 1));
    } else {
        brute_add(v, r->target + 1, (size_t)(slash - r->target - 1));
    }
}

/* The address in the one form that all hosts write. */
static void add_address(struct brute_values *v, const char *source)
{
    uint8_t bytes[16];
    char text[INET6_ADDRSTRLEN];

    if (source == NULL) {
        return;
    }
    if (inet_pton(AF_INET, source, bytes) == 1) {
        inet_ntop(AF_INET, bytes, text, sizeof(text));
    } else if (inet_pton(AF_INET6, source, bytes) == 1) {
        inet_ntop(AF_INET6, bytes, text, sizeof(text));
    } else {
        return;
    }
    brute_add(v, text, strlen(text));
}

void brute_find_values(struct brute_values *v, const struct brute_request *r,
                       uint8_t source, const char *name)
{
    v->count = 0;
    v->used = 0;
    switch (source) {
    case GRAY_SOURCE_METHOD:
        if (r->method != NULL) {
            brute_add(v, r->method, strlen(r->method));
        }
        break;
    case GRAY_SOURCE_HOST:
        add_host(v, r->host);
        break;
    case GRAY_SOURCE_PATH:
        if (*r->target != '\0') {
            brute_add(v, r->target, strcspn(r->target, "?#"));
        }
        break;
    case GRAY_SOURCE_HEADER:
        add_pairs(v, r->headers, r->header_count, name, true);
        if (v->count == 0 && r->host != NULL && strcasecmp(name, "host") == 0) {
            brute_add(v, r->host, strlen(r->host)); /* it came as one */
        }
        break;
    case GRAY_SOURCE_COOKIE:
        add_cookie(v, r, name);
        break;
    case GRAY_SOURCE_QUERY:
        add_query(v, r->target, name);
        break;
    case GRAY_SOURCE_ADDRESS:
        add_address(v, r->source);
        break;
    case GRAY_SOURCE_ATTR:
        add_pairs(v, r->attrs, r->attr_count, name, false);
        break;
    case GRAY_SOURCE_LABEL:
        add_pairs(v, r->labels, r->label_count, name, false);
        break;
    case GRAY_SOURCE_CALLER:
        if (r->caller != NULL) {
            brute_add(v, r->caller, strlen(r->caller));
        }
        break;
    case GRAY_SOURCE_GRPC_SERVICE:
    case GRAY_SOURCE_GRPC_METHOD:
        add_grpc(v, r, source == GRAY_SOURCE_GRPC_METHOD);
        break;
    case GRAY_SOURCE_SEGMENT:
        add_segment(v, r->target, atoi(name));
        break;
    default:
        abort();
    }
}
