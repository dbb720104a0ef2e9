/* SPDX-License-Identifier: Apache-2.0
 * http.h - just enough HTTP/1.1 for the shop and its users.
 *
 * Why: the example must be a real service on real connections (keep-alive,
 * pipelining, bodies by Content-Length), yet small enough to be read in one
 * sitting.  Chunked bodies are refused, never guessed at.
 * Read next: shop.c (the service), users.c (who calls it).
 */
#ifndef SHOP_HTTP_H
#define SHOP_HTTP_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_HEAD_MAX 16384u     /* bytes of a request's or answer's head */
#define HTTP_BODY_MAX (1u << 20) /* bytes of a body */
#define HTTP_HEADERS_MAX 64u

/* Bytes of somebody else's buffer, without a NUL. */
struct text {
    const char *data;
    size_t length;
};

/* One head, as it lies in the buffer it was parsed from. */
struct http_head {
    struct text method, target; /* of a request */
    unsigned status;            /* of an answer */
    size_t length;              /* of the head with its empty line */
    size_t body_length;
    bool keep_alive;
    unsigned header_count;
    struct {
        struct text name, value;
    } headers[HTTP_HEADERS_MAX];
};

enum http_kind { HTTP_REQUEST, HTTP_ANSWER };

/* 1: *ret_head is filled; 0: more bytes are needed; -1: not what we speak. */
int http_parse(const char *data, size_t length, enum http_kind kind,
               struct http_head *ret_head);
/* First header of this name, without case; data NULL when it is not there. */
struct text http_header(const struct http_head *head, const char *name);
/* First cookie of this name in the request; data NULL when it is not there. */
struct text http_cookie(const struct http_head *head, const char *name);
bool text_is(struct text text, const char *word);

/* "127.0.0.1:8080" or "[::1]:8080", loopback only: examples and tests must not
 * send or serve one byte beyond this machine. -1 with a sentence on stderr. */
int http_address(const char *program, const char *word,
                 struct sockaddr_storage *ret_address, socklen_t *ret_length);
/* A number of an option within [low, high]; ends the program (2) otherwise. */
long http_number(const char *program, const char *option, const char *word,
                 long low, long high);
int64_t http_clock_us(void); /* monotonic */

#endif
