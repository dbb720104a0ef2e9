/* SPDX-License-Identifier: Apache-2.0
 * http.c - parsing of heads, addresses and numbers.
 *
 * Why: what is shared by shop.c and users.c stands here once.  A head is
 * parsed only when all of it has come, so there is no parser state to carry
 * between reads; heads are small and the second look costs little.
 */
#include "http.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

bool text_is(struct text text, const char *word)
{
    return text.data != NULL && strlen(word) == text.length &&
           strncasecmp(text.data, word, text.length) == 0;
}

static struct text trim(const char *begin, const char *end)
{
    while (begin < end && (*begin == ' ' || *begin == '\t')) {
        begin++;
    }
    while (end > begin && (end[-1] == ' ' || end[-1] == '\t')) {
        end--;
    }
    return (struct text){begin, (size_t)(end - begin)};
}

struct text http_header(const struct http_head *head, const char *name)
{
    for (unsigned i = 0; i < head->header_count; i++) {
        if (text_is(head->headers[i].name, name)) {
            return head->headers[i].value;
        }
    }
    return (struct text){NULL, 0};
}

struct text http_cookie(const struct http_head *head, const char *name)
{
    size_t name_length = strlen(name);
    for (unsigned i = 0; i < head->header_count; i++) {
        if (!text_is(head->headers[i].name, "cookie")) {
            continue;
        }
        const char *at = head->headers[i].value.data;
        const char *end = at + head->headers[i].value.length;
        while (at < end) {
            const char *stop = memchr(at, ';', (size_t)(end - at));
            stop = stop != NULL ? stop : end;
            struct text pair = trim(at, stop);
            if (pair.length > name_length && pair.data[name_length] == '=' &&
                memcmp(pair.data, name, name_length) == 0) {
                return (struct text){pair.data + name_length + 1,
                                     pair.length - name_length - 1};
            }
            at = stop + 1;
        }
    }
    return (struct text){NULL, 0};
}

static int parse_first_line(const char *at, const char *end,
                            enum http_kind kind, struct http_head *head)
{
    const char *space = memchr(at, ' ', (size_t)(end - at));
    if (space == NULL) {
        return -1;
    }
    if (kind == HTTP_ANSWER) {
        if (end - space < 4 || memcmp(at, "HTTP/1.", 7) != 0 ||
            !isdigit((unsigned char)space[1]) ||
            !isdigit((unsigned char)space[2]) ||
            !isdigit((unsigned char)space[3])) {
            return -1;
        }
        head->status = (unsigned)((space[1] - '0') * 100 +
                                  (space[2] - '0') * 10 + (space[3] - '0'));
        head->keep_alive = at[7] != '0';
        return 0;
    }
    const char *target = space + 1;
    const char *version = memchr(target, ' ', (size_t)(end - target));
    if (version == NULL || version == target || space == at ||
        end - version != 9 || memcmp(version, " HTTP/1.", 8) != 0) {
        return -1;
    }
    head->method = (struct text){at, (size_t)(space - at)};
    head->target = (struct text){target, (size_t)(version - target)};
    head->keep_alive = version[8] != '0';
    return 0;
}

static int parse_length(struct text value, size_t *ret_length)
{
    size_t length = 0;
    if (value.length == 0 || value.length > 9) {
        return -1;
    }
    for (size_t i = 0; i < value.length; i++) {
        if (!isdigit((unsigned char)value.data[i])) {
            return -1;
        }
        length = length * 10 + (size_t)(value.data[i] - '0');
    }
    if (length > HTTP_BODY_MAX) {
        return -1;
    }
    *ret_length = length;
    return 0;
}

static int parse_framing(enum http_kind kind, struct http_head *head)
{
    bool has_length = false;
    for (unsigned i = 0; i < head->header_count; i++) {
        struct text name = head->headers[i].name;
        struct text value = head->headers[i].value;
        if (text_is(name, "transfer-encoding")) {
            return -1;
        }
        if (text_is(name, "content-length")) {
            if (has_length || parse_length(value, &head->body_length) != 0) {
                return -1;
            }
            has_length = true;
        } else if (text_is(name, "connection")) {
            if (text_is(value, "close")) {
                head->keep_alive = false;
            } else if (text_is(value, "keep-alive")) {
                head->keep_alive = true;
            }
        }
    }
    if (kind == HTTP_ANSWER && !has_length && head->status >= 200 &&
        head->status != 204 && head->status != 304) {
        return -1; /* would end with the connection: not what we speak */
    }
    return 0;
}

int http_parse(const char *data, size_t length, enum http_kind kind,
               struct http_head *ret_head)
{
    const char *end = memmem(data, length, "\r\n\r\n", 4);
    if (end == NULL) {
        return length >= HTTP_HEAD_MAX ? -1 : 0;
    }
    struct http_head *head = ret_head;
    head->method = head->target = (struct text){NULL, 0};
    head->status = 0;
    head->body_length = 0;
    head->header_count = 0;
    head->length = (size_t)(end - data) + 4;
    end += 2;
    const char *line = data;
    for (bool first = true; line < end; first = false) {
        const char *stop = memmem(line, (size_t)(end - line), "\r\n", 2);
        if (first) {
            if (parse_first_line(line, stop, kind, head) != 0) {
                return -1;
            }
        } else {
            const char *colon = memchr(line, ':', (size_t)(stop - line));
            if (colon == NULL || colon == line ||
                head->header_count == HTTP_HEADERS_MAX) {
                return -1;
            }
            head->headers[head->header_count].name =
                (struct text){line, (size_t)(colon - line)};
            head->headers[head->header_count].value = trim(colon + 1, stop);
            head->header_count++;
        }
        line = stop + 2;
    }
    return parse_framing(kind, head) != 0 ? -1 : 1;
}

int http_address(const char *program, const char *word,
                 struct sockaddr_storage *ret_address, socklen_t *ret_length)
{
    char host[64];
    const char *colon = strrchr(word, ':');
    const char *end = colon;
    const char *begin = word;
    if (colon != NULL && *word == '[' && colon > word && colon[-1] == ']') {
        begin++;
        end--;
    }
    if (colon == NULL || end <= begin ||
        (size_t)(end - begin) >= sizeof(host)) {
        fprintf(stderr, "%s: %s: an address is 127.0.0.1:PORT\n", program,
                word);
        return -1;
    }
    memcpy(host, begin, (size_t)(end - begin));
    host[end - begin] = '\0';
    long port = http_number(program, "port", colon + 1, 1, 65535);
    struct sockaddr_in v4 = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6,
                              .sin6_port = htons((uint16_t)port)};
    memset(ret_address, 0, sizeof(*ret_address));
    if (inet_pton(AF_INET, host, &v4.sin_addr) == 1 &&
        ntohl(v4.sin_addr.s_addr) >> 24 == 127) {
        memcpy(ret_address, &v4, sizeof(v4));
        *ret_length = sizeof(v4);
        return 0;
    }
    if (inet_pton(AF_INET6, host, &v6.sin6_addr) == 1 &&
        IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr)) {
        memcpy(ret_address, &v6, sizeof(v6));
        *ret_length = sizeof(v6);
        return 0;
    }
    fprintf(stderr, "%s: %s: only loopback addresses are used here\n", program,
            word);
    return -1;
}

long http_number(const char *program, const char *option, const char *word,
                 long low, long high)
{
    char *end;
    errno = 0;
    long number = strtol(word, &end, 10);
    if (errno != 0 || end == word || *end != '\0' || number < low ||
        number > high) {
        fprintf(stderr, "%s: %s: %s is not a whole number from %ld to %ld\n",
                program, option, word, low, high);
        exit(2);
    }
    return number;
}

int64_t http_clock_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}
