/* SPDX-License-Identifier: Apache-2.0
 * routes.c - the route table as data, and from a request's target to a route.
 *
 * Why: a target is split before it is decoded, so that an encoded slash stays
 * inside its segment and no path means two things.  Whatever is odd (a bad
 * percent, a control character, an empty or a "." segment) is refused rather
 * than guessed at.
 * Read next: routes.def, ../rest/request.c.
 */
#include <stdio.h>
#include <string.h>

#include "control/call/call.h"
#include "policy/utf8.h"

const struct route routes[ROUTE_COUNT] = {
#define GRAYD_ROUTE(NAME, METHOD, path, RIGHT, RESOURCE, WHERE, query, \
                    request, response, summary)                        \
    {ROUTE_##NAME, #NAME, #METHOD, path, RIGHT_##RIGHT,                \
     RESOURCE_##RESOURCE, WHERE_##WHERE, query, request, response, summary},
#include "control/call/routes.def"
};

#define SEGMENTS_MAX 8u

struct target {
    char segments[SEGMENTS_MAX][CALL_SEGMENT_MAX + 1];
    size_t count;
};

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Percent decoding of [text, text + length) into a buffer of `room` + 1 bytes.
 * The length, or -1: malformed, too long, not UTF-8, or a control character. */
static int decode(const char *text, size_t length, bool plus, char *buffer,
                  size_t room)
{
    size_t i, step, at = 0;

    for (i = 0; i < length; i++) {
        char c = text[i];

        if (c == '%') {
            int high, low;

            if (length - i < 3 || (high = hex_value(text[i + 1])) < 0 ||
                (low = hex_value(text[i + 2])) < 0) {
                return -1;
            }
            c = (char)(high * 16 + low);
            i += 2;
        } else if (plus && c == '+') {
            c = ' ';
        }
        if (at == room || (unsigned char)c < 0x20 || c == 0x7f) {
            return -1;
        }
        buffer[at++] = c;
    }
    buffer[at] = '\0';
    for (i = 0; i < at; i += step) {
        step = gray_utf8_step(buffer + i, at - i);
        if (step == 0) {
            return -1;
        }
    }
    return (int)at;
}

static int split_path(const char *path, size_t length, struct target *target)
{
    const char *end = path + length;

    target->count = 0;
    if (length == 0 || path[0] != '/') {
        return -1;
    }
    while (path < end) {
        const char *from = path + 1;
        const char *slash = memchr(from, '/', (size_t)(end - from));
        const char *to = slash != NULL ? slash : end;
        char *segment = target->segments[target->count];

        if (target->count == SEGMENTS_MAX ||
            decode(from, (size_t)(to - from), false, segment,
                   CALL_SEGMENT_MAX) <= 0 ||
            strcmp(segment, ".") == 0 || strcmp(segment, "..") == 0) {
            return -1;
        }
        target->count++;
        path = to;
    }
    return 0;
}

static int add_argument(json_t *query, const char *text, size_t length)
{
    char name[CALL_SEGMENT_MAX + 1], value[CALL_VALUE_MAX + 1];
    const char *equal = memchr(text, '=', length);
    size_t name_length = equal != NULL ? (size_t)(equal - text) : length;

    if (equal == NULL ||
        decode(text, name_length, true, name, sizeof(name) - 1) <= 0 ||
        decode(equal + 1, length - name_length - 1, true, value,
               sizeof(value) - 1) < 0 ||
        json_object_get(query, name) != NULL ||
        json_object_size(query) == CALL_QUERY_MAX) {
        return -1;
    }
    return json_object_set_new(query, name, json_string(value));
}

static int split_query(const char *text, size_t length, json_t *query)
{
    const char *end = text + length;

    while (text < end) {
        const char *amp = memchr(text, '&', (size_t)(end - text));
        const char *to = amp != NULL ? amp : end;

        if (add_argument(query, text, (size_t)(to - text)) != 0) {
            return -1;
        }
        text = amp != NULL ? amp + 1 : end;
    }
    return 0;
}

/* Copies what {kind} and the like stand for. */
static void take_variable(struct call *call, const char *name, size_t length,
                          const char *value)
{
    static const struct {
        const char *word;
        size_t offset;
    } places[] = {{"{kind}", offsetof(struct call, kind)},
                  {"{name}", offsetof(struct call, name)},
                  {"{verb}", offsetof(struct call, verb)},
                  {"{id}", offsetof(struct call, item)}};
    size_t i;

    for (i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        if (strlen(places[i].word) == length &&
            memcmp(places[i].word, name, length) == 0) {
            snprintf((char *)call + places[i].offset, CALL_SEGMENT_MAX + 1,
                     "%s", value);
        }
    }
}

/* Whether a route's path is this one; *ret_literals says how much of it by
 * word. call may be NULL. */
static bool path_is(const struct route *route, const struct target *target,
                    unsigned *ret_literals, struct call *call)
{
    const char *at = route->path;
    size_t i;

    *ret_literals = 0;
    for (i = 0; i < target->count && *at == '/'; i++) {
        size_t length = strcspn(++at, "/");

        if (at[0] == '{') {
            if (call != NULL) {
                take_variable(call, at, length, target->segments[i]);
            }
        } else if (strlen(target->segments[i]) == length &&
                   memcmp(at, target->segments[i], length) == 0) {
            ++*ret_literals;
        } else {
            return false;
        }
        at += length;
    }
    return i == target->count && *at == '\0';
}

static void allow_method(char allow[64], const char *method)
{
    size_t length = strlen(allow);
    const char *also = strcmp(method, "GET") == 0 ? ", HEAD" : "";

    if (strstr(allow, method) == NULL) {
        snprintf(allow + length, 64 - length, "%s%s%s",
                 length != 0 ? ", " : "", method, also);
    }
}

static const struct route *find_route(const char *method,
                                      const struct target *target,
                                      char ret_allow[64])
{
    const struct route *found = NULL;
    unsigned literals, most = 0;
    size_t i;

    ret_allow[0] = '\0';
    if (strcmp(method, "HEAD") == 0) {
        method = "GET";
    }
    for (i = 0; i < ROUTE_COUNT; i++) {
        if (!path_is(&routes[i], target, &literals, NULL)) {
            continue;
        }
        allow_method(ret_allow, routes[i].method);
        if (strcmp(routes[i].method, method) == 0 &&
            (found == NULL || literals > most)) {
            found = &routes[i];
            most = literals;
        }
    }
    return found;
}

int route_match(const char *method, const char *text, size_t length,
                struct call *call, char ret_allow[64],
                const char **ret_sentence)
{
    struct target target;
    const struct route *route;
    const char *mark = memchr(text, '?', length);
    size_t path = mark != NULL ? (size_t)(mark - text) : length;
    unsigned literals;
    json_t *query;

    ret_allow[0] = '\0';
    if (length > CALL_TARGET_MAX || split_path(text, path, &target) != 0) {
        *ret_sentence = "The path is empty, too long, or not plain UTF-8.";
        return PROBLEM_BAD_REQUEST + 1;
    }
    route = find_route(method, &target, ret_allow);
    if (route == NULL) {
        *ret_sentence = ret_allow[0] != '\0'
                            ? "See the header Allow for what it takes."
                            : "No route of GET /v1/openapi.json is this path.";
        return (ret_allow[0] != '\0' ? PROBLEM_METHOD : PROBLEM_NOT_FOUND) + 1;
    }
    query = json_object();
    if (query == NULL ||
        (mark != NULL &&
         split_query(mark + 1, length - path - 1, query) != 0)) {
        json_decref(query);
        *ret_sentence = "The query is not NAME=VALUE&..., each name once, in "
                        "UTF-8 with percent encoding.";
        return PROBLEM_BAD_QUERY + 1;
    }
    path_is(route, &target, &literals, call);
    call->route = route;
    call->query = query;
    return 0;
}
