/* SPDX-License-Identifier: Apache-2.0
 * invent.h - random policies as JSON text, and random requests for them.
 *
 * Why: engine, gateway, libgray and CLI must agree on anything that can be
 * written, not on what their authors thought of.  Attributes have small sets
 * of values, and conditions are made from the same sets, so that both answers
 * of each condition come up often.  The same number gives the same policy.
 * Read next: invent.c, agree.c.
 */
#ifndef GRAY_TESTS_INVENT_H
#define GRAY_TESTS_INVENT_H

#include <stdio.h>

#include "tests/engine/brute.h"

/* Moments of requests lie within a year from here: 2026-01-01T00:00:00Z. */
#define INVENT_NOW INT64_C(1767225600000)

struct dice {
    uint64_t state;
};
uint64_t dice_roll(struct dice *d);
/* Below n, n > 0. */
uint32_t dice_below(struct dice *d, uint32_t n);
/* True once in n times. */
bool dice_one_in(struct dice *d, uint32_t n);

/* A text that grows; freed by whoever owns it. */
struct text {
    char *data;
    size_t length, capacity;
};
void text_add(struct text *t, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void text_add_bytes(struct text *t, const char *bytes, size_t length);
/* As a JSON string with its quotes. */
void text_add_json(struct text *t, const char *value);

/* Writes a policy: one JSON array of documents. */
void invent_policy(struct text *t, struct dice *d);

#define INVENT_ROOM 16384u
struct invented {
    struct brute_request request;
    const char *entrance; /* a name; NULL: not an entrance */
    char room[INVENT_ROOM];
    uint32_t used;
};
/* Strings of the request lie in `in`, which must not be moved. */
void invent_request(struct invented *in, struct dice *d);
/* The line that `gray explain --requests` takes. */
void invent_line(const struct invented *in, struct text *t);
void invent_write(const struct invented *in, FILE *file);

#endif
