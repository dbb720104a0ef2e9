/* SPDX-License-Identifier: Apache-2.0
 * requests.c - one request written as a line of JSON (docs/explain.md).
 *
 * Why: explain answers what the gateway would answer, so a request must reach
 * the engine as it does through nginx: header names in lower case, names that
 * nginx drops dropped, values without blanks at their ends, spellings of our
 * colour that the edge strips ignored.  A line that cannot be a request is
 * refused with a code, never guessed at.
 * Read next: explain.c (who feeds lines), engine/input.c.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <stdarg.h>
#include <string.h>

#include "cli/cli.h"

#define NOW_MAX INT64_C(253402300799999) /* 9999-12-31T23:59:59.999Z */

static int refuse(struct request_problem *ret_problem, const char *code,
                  const char *format, ...) CLI_PRINTF(3, 4);
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

/* ---- moments ---------------------------------------------------------------- */

static bool digits(const char **at, int count, int *ret_value)
{
    int value = 0;

    for (int i = 0; i < count; i++) {
        if (!isdigit((unsigned char)**at)) {
            return false;
        }
        value = value * 10 + (*(*at)++ - '0');
    }
    *ret_value = value;
    return true;
}

static bool skip(const char **at, const char *any)
{
    return **at != '\0' && strchr(any, **at) != NULL && (*at)++ != NULL;
}

/* Days since 1970-01-01 of a Gregorian date (Howard Hinnant's
 * days_from_civil). */
static int64_t days_of(int year, int month, int day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t of_era = y - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year -
           719468;
}

static bool is_date(int year, int month, int day)
{
    static const uint8_t lengths[] = { 31, 28, 31, 30, 31, 30,
                                       31, 31, 30, 31, 30, 31 };
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

    return month >= 1 && month <= 12 && day >= 1 &&
           day <= lengths[month - 1] + (leap && month == 2);
}

int request_moment(const char *text, int64_t *ret_ms)
{
    int year, month, day, hour, minute, second, off_hour = 0, off_minute = 0;
    int64_t part = 0, scale = 100, offset = 0;
    bool fraction, west;

    if (!digits(&text, 4, &year) || !skip(&text, "-") ||
        !digits(&text, 2, &month) || !skip(&text, "-") ||
        !digits(&text, 2, &day) || !skip(&text, "Tt") ||
        !digits(&text, 2, &hour) || !skip(&text, ":") ||
        !digits(&text, 2, &minute) || !skip(&text, ":") ||
        !digits(&text, 2, &second)) {
        return -1;
    }
    fraction = skip(&text, ".");
    if (fraction && !isdigit((unsigned char)*text)) {
        return -1;
    }
    for (; fraction && isdigit((unsigned char)*text); text++, scale /= 10) {
        part += (*text - '0') * scale;
    }
    if (!skip(&text, "Zz")) {
        west = *text == '-';
        if (!skip(&text, "+-") || !digits(&text, 2, &off_hour) ||
            !skip(&text, ":") || !digits(&text, 2, &off_minute)) {
            return -1;
        }
        offset = (west ? -1 : 1) * (off_hour * 3600 + off_minute * 60);
    }
    if (*text != '\0' || !is_date(year, month, day) || hour > 23 ||
        minute > 59 || second > 60 || off_hour > 23 || off_minute > 59) {
        return -1;
    }
    *ret_ms = (days_of(year, month, day) * 86400 + hour * 3600 + minute * 60 +
               second - offset) * 1000 + part;
    return 0;
}

static int read_now(struct request *request, json_t *value,
                    struct request_problem *ret_problem)
{
    int64_t now = -1;

    if (json_is_integer(value)) {
        now = json_integer_value(value);
    } else if (json_is_string(value) &&
               request_moment(json_string_value(value), &now) != 0) {
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

static int check_header(const char *name, json_t *values, size_t *count,
                        struct request_problem *ret_problem)
{
    size_t size = json_is_array(values) ? json_array_size(values) : 1;

    if (*name == '\0' || strlen(name) > REQUEST_NAME_MAX || !is_line(name) ||
        strpbrk(name, " \t:") != NULL) {
        return refuse(ret_problem, "bad-header",
                      "a header's name has 1 to %u bytes without blanks and "
                      "colons.", REQUEST_NAME_MAX);
    }
    for (size_t i = 0; i < size; i++) {
        json_t *value = json_is_array(values) ? json_array_get(values, i)
                                              : values;
        const char *text;

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
    const char *name, *text;
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
    const char *text;

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
    const char *text;

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
        { "anonymous", &request->anonymous },
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
                  "class, random, anonymous)", key);
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
    request->root = NULL;
}

/* ---- feeding ------------------------------------------------------------------ */

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
    for (size_t i = 0; i < (json_is_array(values) ? json_array_size(values)
                                                  : 1); i++) {
        json_t *one = json_is_array(values) ? json_array_get(values, i)
                                            : values;

        gray_input_header(in, hash, text,
                          header_value(json_string_value(one)));
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
            return json_string_value(json_is_array(values)
                                         ? json_array_get(values, 0)
                                         : values);
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
    if (request->lane != NULL || request->arms != NULL ||
        request->traffic_class != GRAY_CLASS_LIVE) {
        gray_input_colour(
            ret_input, request->lane != NULL ? text_of(request->lane) : none,
            request->arms != NULL ? text_of(request->arms) : none,
            request->traffic_class);
    }
    entrance = gray_find_entrance(
        policy, request->entrance != NULL ? text_of(request->entrance) : none);
    /* An entrance that no document names decides like the unnamed one. */
    return entrance != GRAY_NONE ? entrance : 0;
}

/* ---- one request by options --------------------------------------------------- */

static void add_pair(json_t *root, const char *key, const char *text,
                     char separator)
{
    const char *at = strchr(text, separator);
    json_t *pairs = json_object_get(root, key);
    json_t *before;
    char name[REQUEST_NAME_MAX + 2];

    if (pairs == NULL) {
        pairs = json_object();
        json_object_set_new(root, key, pairs);
    }
    snprintf(name, sizeof(name), "%.*s",
             (int)(at != NULL ? at - text : (ptrdiff_t)strlen(text)), text);
    at = at != NULL ? at + 1 + strspn(at + 1, " ") : "";
    before = json_object_get(pairs, name);
    if (before != NULL && separator == ':') {
        if (!json_is_array(before)) {
            json_object_set_new(pairs, name, json_pack("[O]", before));
            before = json_object_get(pairs, name);
        }
        json_array_append_new(before, json_string(at));
    } else {
        json_object_set_new(pairs, name, json_string(at));
    }
}

static void add_number(json_t *root, const char *key, const char *text)
{
    json_t *number = json_loads(text, JSON_DECODE_ANY, NULL);

    json_object_set_new(root, key,
                        json_is_integer(number) ? json_incref(number)
                                                : json_string(text));
    json_decref(number);
}

json_t *request_options(const struct arguments *arguments)
{
    const struct {
        uint64_t option;
        const char *key;
        char separator; /* 0: plain text; '0': a number where it is one */
    } keys[] = {
        { CLI_METHOD, "method", 0 },     { CLI_HOST, "host", 0 },
        { CLI_PATH, "path", 0 },         { CLI_HEADER, "headers", ':' },
        { CLI_SOURCE, "source", 0 },     { CLI_NOW, "now", '0' },
        { CLI_ATTR, "attrs", '=' },      { CLI_LABEL, "labels", '=' },
        { CLI_CALLER, "caller", 0 },     { CLI_ENTRANCE, "entrance", 0 },
        { CLI_LANE, "lane", 0 },         { CLI_ARMS, "arms", 0 },
        { CLI_CLASS, "class", 0 },       { CLI_RANDOM, "random", '0' },
    };
    json_t *root = json_pack("{s:s}", "path", "/");

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        const char *text;
        size_t at = 0;

        while ((text = arguments_next(arguments, keys[i].option, &at)) !=
               NULL) {
            if (keys[i].separator == 0) {
                json_object_set_new(root, keys[i].key, json_string(text));
            } else if (keys[i].separator == '0') {
                add_number(root, keys[i].key, text);
            } else {
                add_pair(root, keys[i].key, text, keys[i].separator);
            }
        }
    }
    return root;
}
