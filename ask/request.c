/* SPDX-License-Identifier: Apache-2.0
 * request.c - one request written as a line of JSON (docs/explain.md).
 *
 * Why: explain answers what the gateway would answer, so a request must reach
 * the engine as it does through nginx: header names in lower case, names that
 * nginx drops dropped, values without blanks at their ends, spellings of our
 * colour that the edge strips ignored.  A line that cannot be a request is
 * refused with a code, never guessed at.
 * Read next: request_feed.c, answer.c.
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "ask/ask.h"
#include "policy/parse.h"

#define NOW_MAX INT64_C(253402300799999) /* 9999-12-31T23:59:59.999Z */

static int refuse(struct request_problem *ret_problem, const char *code,
                  const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static int refuse(struct request_problem *ret_problem, const char *code,
                  const char *format, ...)
{
    va_list list;

    ret_problem->code = code;
    va_start(list, format);
    vsnprintf(ret_problem->sentence, sizeof(ret_problem->sentence), format,
              list);
    va_end(list);
    return -1;
}

static int read_now(struct request *request, json_t *value,
                    struct request_problem *ret_problem)
{
    int64_t now = -1;

    if (json_is_integer(value)) {
        now = json_integer_value(value);
    } else if (json_is_string(value) &&
               !gray_parse_moment(json_string_value(value), &now)) {
        now = -1;
    }
    if (now < 0 || now > NOW_MAX) {
        return refuse(ret_problem, "bad-now",
                      "now must be milliseconds since the epoch, or RFC 3339.");
    }
    request->now = now;
    request->has_now = true;
    return 0;
}

/* ---- shapes ----------------------------------------------------------------- */

/* Bytes that cannot stand in a line of HTTP. */
static bool is_line(const char *text)
{
    for (; *text != '\0'; text++) {
        if (((unsigned char)*text < 0x20 && *text != '\t') || *text == 0x7f) {
            return false;
        }
    }
    return true;
}

static int read_text(const char **ret_text, json_t *value, const char *key,
                     struct request_problem *ret_problem)
{
    const char *text = json_string_value(value);

    if (text == NULL) {
        return refuse(ret_problem, "bad-type", "%s must be a string.", key);
    }
    if (!is_line(text)) {
        return refuse(ret_problem, "bad-text",
                      "%s holds bytes that no request can hold.", key);
    }
    *ret_text = text;
    return 0;
}

/* A header's value, or a list of them. */
size_t values_count(json_t *values)
{
    return json_is_array(values) ? json_array_size(values) : 1;
}

json_t *values_at(json_t *values, size_t number)
{
    return json_is_array(values) ? json_array_get(values, number) : values;
}

static int check_header(const char *name, json_t *values, size_t *count,
                        struct request_problem *ret_problem)
{
    size_t size = values_count(values);

    if (*name == '\0' || strlen(name) > REQUEST_NAME_MAX || !is_line(name) ||
        strpbrk(name, " \t:") != NULL) {
        return refuse(ret_problem, "bad-header",
                      "a header's name has 1 to %u bytes without blanks and "
                      "colons.", REQUEST_NAME_MAX);
    }
    for (size_t i = 0; i < size; i++) {
        json_t *value = values_at(values, i);
        const char *text = NULL;

        if (read_text(&text, value, "a header's value", ret_problem) != 0) {
            return -1;
        }
    }
    *count += size;
    return *count <= REQUEST_HEADERS_MAX
               ? 0
               : refuse(ret_problem, "too-many-headers",
                        "a request has at most %u header values.",
                        REQUEST_HEADERS_MAX);
}

static int read_headers(json_t **ret_headers, json_t *value,
                        struct request_problem *ret_problem)
{
    const char *name;
    json_t *values;
    size_t count = 0;

    if (!json_is_object(value)) {
        return refuse(ret_problem, "bad-type", "headers must be an object.");
    }
    json_object_foreach(value, name, values) {
        if (check_header(name, values, &count, ret_problem) != 0) {
            return -1;
        }
    }
    *ret_headers = value;
    return 0;
}

static int read_pairs(json_t **ret_pairs, json_t *value, const char *key,
                      struct request_problem *ret_problem)
{
    const char *name, *text = NULL;
    json_t *one;

    if (!json_is_object(value)) {
        return refuse(ret_problem, "bad-type", "%s must be an object.", key);
    }
    json_object_foreach(value, name, one) {
        if (read_text(&text, one, key, ret_problem) != 0) {
            return -1;
        }
    }
    *ret_pairs = value;
    return 0;
}

static int read_source(struct request *request, json_t *value,
                       struct request_problem *ret_problem)
{
    const char *text = NULL;

    if (read_text(&text, value, "source", ret_problem) != 0) {
        return -1;
    }
    memset(request->address, 0, 10);
    memset(request->address + 10, 0xff, 2);
    if (inet_pton(AF_INET, text, request->address + 12) != 1 &&
        inet_pton(AF_INET6, text, request->address) != 1) {
        return refuse(ret_problem, "bad-source",
                      "source must be an IPv4 or IPv6 address.");
    }
    request->has_address = true;
    return 0;
}

static int read_class(struct request *request, json_t *value,
                      struct request_problem *ret_problem)
{
    static const char *const words[GRAY_CLASS_COUNT] = { "live", "shadow",
                                                         "load", "rehearsal" };
    const char *text = NULL;

    if (read_text(&text, value, "class", ret_problem) != 0) {
        return -1;
    }
    for (uint8_t i = 0; i < GRAY_CLASS_COUNT; i++) {
        if (strcmp(words[i], text) == 0) {
            request->traffic_class = i;
            return 0;
        }
    }
    return refuse(ret_problem, "bad-class",
                  "class must be live, shadow, load or rehearsal.");
}

static int read_random(struct request *request, json_t *value,
                       struct request_problem *ret_problem)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0) {
        return refuse(ret_problem, "bad-random",
                      "random must be an integer from 0 to 2^63 - 1.");
    }
    request->random = (uint64_t)json_integer_value(value);
    return 0;
}

static int read_path(struct request *request, json_t *value,
                     struct request_problem *ret_problem)
{
    if (read_text(&request->path, value, "path", ret_problem) != 0) {
        return -1;
    }
    if ((request->path[0] != '/' && strcmp(request->path, "*") != 0) ||
        strpbrk(request->path, " \t") != NULL) {
        return refuse(ret_problem, "bad-path",
                      "path begins with / and has no blanks.");
    }
    return 0;
}

/* ---- one request -------------------------------------------------------------- */

static int read_key(struct request *request, const char *key, json_t *value,
                    struct request_problem *ret_problem)
{
    const struct {
        const char *key;
        const char **text;
    } texts[] = {
        { "method", &request->method },     { "host", &request->host },
        { "caller", &request->caller },     { "entrance", &request->entrance },
        { "lane", &request->lane },         { "arms", &request->arms },
        { "anonymous", &request->anonymous }, { "stage", &request->stage },
    };
    const struct {
        const char *key;
        int (*read)(struct request *, json_t *, struct request_problem *);
    } others[] = {
        { "path", read_path },     { "source", read_source },
        { "now", read_now },       { "class", read_class },
        { "random", read_random },
    };

    if (strcmp(key, "headers") == 0) {
        return read_headers(&request->headers, value, ret_problem);
    }
    if (strcmp(key, "attrs") == 0) {
        return read_pairs(&request->attrs, value, key, ret_problem);
    }
    if (strcmp(key, "labels") == 0) {
        return read_pairs(&request->labels, value, key, ret_problem);
    }
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (strcmp(texts[i].key, key) == 0) {
            return read_text(texts[i].text, value, key, ret_problem);
        }
    }
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (strcmp(others[i].key, key) == 0) {
            return others[i].read(request, value, ret_problem);
        }
    }
    return refuse(ret_problem, "unknown-key",
                  "no such key: %.60s (valid: method, host, path, headers, "
                  "source, now, attrs, labels, caller, entrance, lane, arms, "
                  "class, random, anonymous, stage)", key);
}

static const struct gray_str names[] = {
    { GRAY_COOKIE_NAME, sizeof(GRAY_COOKIE_NAME) - 1 },
    { GRAY_COOKIE_NAME_HOST, sizeof(GRAY_COOKIE_NAME_HOST) - 1 },
};

/* What they held is evidence, see evidence.c. */
static void cookies_keep(struct request *request, json_t *value)
{
    struct gray_str text = { json_string_value(value),
                             (uint32_t)json_string_length(value) };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct gray_str found = gray_cookie_find(text, names[i]);

        if (found.data == NULL ||
            json_object_get(request->own_cookies, names[i].data) != NULL) {
            continue;
        }
        if (request->own_cookies == NULL) {
            request->own_cookies = json_object();
        }
        json_object_set_new(request->own_cookies, names[i].data,
                            json_stringn(found.data, found.length));
    }
}

/* The edge takes our own cookies out of a Cookie header before any rule looks at
 * it; what holds nothing else is gone. */
static json_t *cookies_left(json_t *value)
{
    struct gray_str text = { json_string_value(value),
                             (uint32_t)json_string_length(value) };
    char *buffer = malloc(text.length + 1);
    json_t *left = NULL;
    uint32_t removed = 0;
    size_t length;

    if (buffer != NULL) {
        length = gray_cookie_strip(text, names, 2, buffer, text.length,
                                   &removed);
        left = removed == 0 ? json_incref(value)
               : length > 0 ? json_stringn(buffer, length)
                            : NULL;
    }
    free(buffer);
    return left;
}

static void strip_cookies(struct request *request)
{
    json_t *headers = request->headers;
    const char *name;
    json_t *values;

    json_object_foreach(headers, name, values) {
        json_t *left, *one;

        if (strcasecmp(name, "cookie") != 0) {
            continue;
        }
        left = json_array();
        for (size_t i = 0; i < values_count(values); i++) {
            cookies_keep(request, values_at(values, i));
            one = cookies_left(values_at(values, i));
            if (one != NULL) {
                json_array_append_new(left, one);
            }
        }
        json_object_set_new(headers, name, left); /* the key is there */
    }
}

int request_from_json(struct request *ret_request, json_t *root,
                      struct request_problem *ret_problem)
{
    struct request request = { 0 };
    const char *key;
    json_t *value;

    if (!json_is_object(root)) {
        return refuse(ret_problem, "not-an-object",
                      "a request is one JSON object.");
    }
    json_object_foreach(root, key, value) {
        if (read_key(&request, key, value, ret_problem) != 0) {
            return -1;
        }
    }
    if (request.path == NULL) {
        return refuse(ret_problem, "no-path", "path is missing.");
    }
    strip_cookies(&request);
    request.root = json_incref(root);
    *ret_request = request;
    return 0;
}

int request_parse(struct request *ret_request, const char *line, size_t length,
                  struct request_problem *ret_problem)
{
    json_error_t error;
    json_t *root;
    int status;

    if (length > REQUEST_LINE_MAX) {
        return refuse(ret_problem, "too-long",
                      "a request has at most %u bytes.", REQUEST_LINE_MAX);
    }
    root = json_loadb(line, length, JSON_REJECT_DUPLICATES, &error);
    if (root == NULL) {
        return refuse(ret_problem, "bad-json", "column %d: %.120s",
                      error.column, error.text);
    }
    status = request_from_json(ret_request, root, ret_problem);
    json_decref(root);
    return status;
}

void request_free(struct request *request)
{
    json_decref(request->root);
    json_decref(request->own_cookies);
    request->root = request->own_cookies = NULL;
}
