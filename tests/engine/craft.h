/* SPDX-License-Identifier: Apache-2.0
 * craft.h - builds small files of the runtime folder by hand, for tests.
 *
 * Why: the engine's tests must be able to say what no compiler would write,
 * and must not lean on the compiler that they are the judge of.  One buffer,
 * appended to; every piece begins at a multiple of 8.
 * Read next: craft.c, test_choose.c.
 */
#ifndef GRAY_TESTS_CRAFT_H
#define GRAY_TESTS_CRAFT_H

#include "engine/engine.h"

#define CRAFT_BYTES (256u << 10)

struct craft {
    _Alignas(8) uint8_t bytes[CRAFT_BYTES];
    uint64_t length;
};

struct gray_str craft_str(const char *text);
/* Begins with a file header of this magic and `body` zero bytes. */
void craft_begin(struct craft *c, const char *magic, size_t body);
/* Writes the length into the header; the file is c->bytes. */
void craft_end(struct craft *c);
/* Appends bytes, returns their offset. */
uint64_t craft_put(struct craft *c, const void *bytes, size_t length);
/* Appends `count` records. */
struct gray_table craft_table(struct craft *c, const void *records,
                              uint32_t count, size_t width);

/* ---- a list ------------------------------------------------------------- */

/* Ids as they stand in a document; `dir_bits` of both directories. */
void craft_list(struct craft *c, const char *const *ids, uint32_t count,
                uint32_t dir_bits, bool strict);

/* ---- a fleet ------------------------------------------------------------ */

#define CRAFT_LABELS 4u
struct craft_endpoint {
    const char *service, *address;
    uint32_t weight;
    uint8_t state;
    /* key, value, key, value ... */
    const char *labels[2 * CRAFT_LABELS];
};
/* Endpoints of one service stand together. */
void craft_fleet(struct craft *c, const struct craft_endpoint *endpoints,
                 uint32_t count);

/* ---- the part of a policy that a choice reads --------------------------- */

struct craft_release {
    const char *name;
    uint8_t data_compat, stickiness;
    const char *variants[4]; /* names; the first may be "" */
};
struct craft_route {
    const char *service; /* routes of one service stand together: first the
                            baseline, then arms, then lanes */
    uint8_t kind, flags;
    uint32_t release, variant, lane, fallback;
    const char *selector[2 * CRAFT_LABELS]; /* value "" means absent */
};
/* Fills *ret_snapshot over c->bytes without the engine's check, for these
 * files have no rules. */
void craft_policy(struct craft *c, const struct craft_release *releases,
                  uint32_t release_count, const struct craft_route *routes,
                  uint32_t route_count, struct gray_snapshot *ret_snapshot);

#endif
