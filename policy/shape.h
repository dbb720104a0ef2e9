/* SPDX-License-Identifier: Apache-2.0
 * shape.h - maps of a document as tables of their keys.
 *
 * Why: what is carried here and read elsewhere (a strategy, a Check) must be
 * right when it is written; a table of keys and types says it once.
 * Read next: shape.c, model_strategy.c, model_check.c.
 */
#ifndef GRAY_POLICY_SHAPE_H
#define GRAY_POLICY_SHAPE_H

#include "policy/check.h"

#define SHAPE_KEYS_MAX 24u
#define SHAPE_ITEMS_MAX 256u      /* of a list of maps */
#define SHAPE_SQL_MAX 65536u      /* bytes of a query */

enum shape_type {
    SHAPE_PERCENT, SHAPE_DURATION, /* "60s", or seconds */
    SHAPE_COUNT,                   /* a whole number from 0 */
    SHAPE_AMOUNT,                  /* a whole number, or "25%" */
    SHAPE_NUMBER,                  /* from 0 */
    SHAPE_BOOL, SHAPE_TEXT, SHAPE_NAME, SHAPE_SQL, SHAPE_WORD, SHAPE_MAP,
    SHAPE_ANY, SHAPE_LIST_TEXT, SHAPE_LIST_ANY, SHAPE_LIST_MAP,
    SHAPE_LIST_DURATION, SHAPE_OWN
};
struct shape {
    const char *key;             /* NULL ends a table */
    enum shape_type type;
    const struct shape *members; /* MAP, LIST_MAP */
    const char *const *words;    /* WORD */
    uint32_t word_count;
    const char *needed;          /* an example: the key must be there */
    bool (*own)(struct gray_check *c, const struct where *at, json_t *value);
};
/* Whether a map has these keys and no others, each of its type; says what is
 * wrong. */
bool gray_check_shape(struct gray_check *c, const struct where *at,
                      json_t *value, const struct shape *members);

#endif
