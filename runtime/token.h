/* SPDX-License-Identifier: Apache-2.0
 * token.h - signed values: the sticky cookie and the signed context.
 *
 * Why: what a client keeps for us is evidence only when nobody else can have
 * written it. Read next: token.c, keys.c.
 */
#ifndef GRAY_RUNTIME_TOKEN_H
#define GRAY_RUNTIME_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "engine/engine.h"
#include "runtime/reader.h"

#define GRAY_COOKIE_NAME "gray"
#define GRAY_COOKIE_NAME_HOST "__Host-gray"
#define GRAY_COOKIE_MAX 1024u /* bytes of a cookie's value */

struct gray_cookie_mark {
    uint64_t scope;
    uint64_t unit_hash;
    uint32_t revision;
    uint16_t attempt;
    uint8_t state, variant; /* enum gray_mark_state */
};
struct gray_cookie {
    uint64_t anonymous; /* 0: none; the issued unit is "a" + 16 hex digits */
    int64_t issued, expires; /* s since the epoch */
    uint32_t mark_count;
    struct gray_cookie_mark marks[GRAY_ARMS_MAX];
};
/* Verifies and decodes v1.<kid>.<payload>.<mac>.  0, or -1: bad, expired, of
 * another key or name: as if absent. */
int gray_cookie_read(const struct gray_runtime *runtime, struct gray_str name,
                     struct gray_str value, int64_t now_s,
                     struct gray_cookie *ret_cookie);
/* What it says of this unit in this release; NULL, or nothing: ABSENT. */
struct gray_mark gray_cookie_mark(const struct gray_cookie *cookie,
                                  uint64_t scope, struct gray_str unit);
/* Encodes and signs with the newest key. Length, or 0 without a key. */
size_t gray_cookie_write(const struct gray_runtime *runtime,
                         struct gray_str name, const struct gray_cookie *cookie,
                         char *buffer, size_t size);
/* X-Gray-Ctx: v1.<kid>.<payload>.<mac>: a colour signed by this house. */
struct gray_context {
    char lane[GRAY_NAME_MAX + 1];
    char arms[512];
    uint8_t traffic_class;
    int64_t expires; /* s since the epoch */
};
int gray_context_read(const struct gray_runtime *runtime, struct gray_str value,
                      int64_t now_s, struct gray_context *ret_context);
size_t gray_context_write(const struct gray_runtime *runtime,
                          const struct gray_context *context, char *buffer,
                          size_t size);
/* 64-bit hash of a unit for cookies, keyed by nothing: it hides no secret. */
uint64_t gray_unit_hash(struct gray_str unit);

#endif
