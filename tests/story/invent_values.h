/* SPDX-License-Identifier: Apache-2.0
 * invent_values.h - see invent_values.c.
 *
 * Why: the table of attributes is used by policies and requests.
 * Read next: invent_values.c.
 */
#ifndef GRAY_TESTS_INVENT_VALUES_H
#define GRAY_TESTS_INVENT_VALUES_H

#include "tests/story/invent.h"

enum world_number {
    W_METHOD,
    W_HOST,
    W_PATH,
    W_SEGMENT,
    W_USER,
    W_NUMBER,
    W_VERSION,
    W_DATE,
    W_PLAN,
    W_HOST_HEADER,
    W_UID,
    W_AB,
    W_ID,
    W_WORD,
    W_REGION,
    W_LEVEL,
    W_ZONE,
    W_LANE,
    W_CALLER,
    W_GRPC_SERVICE,
    W_GRPC_METHOD,
    W_UNIT,
    W_ADDRESS,
    WORLD_COUNT
};
/* An attribute as documents name it and what it may be; values NULL: ids. */
struct world {
    const char *source, *name;
    const char *const *values;
    uint32_t count;
};
extern const struct world worlds[WORLD_COUNT];

#define WORLD_ROOM 32u
/* A random value; it lies in `room` or for ever. */
const char *world_value(enum world_number world, struct dice *d, char *room);

/* ---- invent_cond.c ------------------------------------------------------ */

#define INVENT_DEPTH 3u
struct inventor {
    struct text *t;
    struct dice *d;
    const char *zone; /* one a policy: libc changes zones slowly */
    uint32_t lists;
    bool unit; /* may conditions here ask for the unit? */
    uint32_t salts;
};

static inline uint32_t pick(struct inventor *v, uint32_t n)
{
    return dice_below(v->d, n);
}
/* One condition over texts, one over sets, or any tree from this depth on. */
void invent_text(struct inventor *v, uint8_t op);
void invent_set(struct inventor *v, uint8_t op);
void invent_cond(struct inventor *v, uint32_t depth);

#endif
