/* SPDX-License-Identifier: Apache-2.0
 * check.h - a Check, read from its document.
 *
 * Why: the shape was checked when it was put (policy/model_check.c); here it
 * becomes numbers and columns, with every default in its place.
 * Read next: check.c, ../../docs/recon.md.
 */
#ifndef GRAYD_CHECKS_CHECK_H
#define GRAYD_CHECKS_CHECK_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/engine.h"

#define CHECK_KEYS_MAX 8u
#define CHECK_RECHECKS_MAX 8u
#define CHECK_NEVER INT64_MIN /* a window without a beginning */

enum check_side { SIDE_UPSTREAM, SIDE_GRAY, SIDE_OLD,
                  SIDE_MARKS, /* marks that rows keep themselves */
                  SIDE_COUNT };
extern const char *const check_side_words[SIDE_COUNT];

enum check_time { CHECK_TIME_NONE, CHECK_TIME_MS, CHECK_TIME_S,
                  CHECK_TIME_STAMP };

/* Rows of one side; texts are the document's. */
struct check_rows {
    bool there;
    const json_t *source; /* {name, sqlite | postgresql} */
    const char *query, *separator;
    const char *keys[CHECK_KEYS_MAX];
    unsigned key_count;
    const char *unit;     /* column; NULL: the key */
    const char *created;  /* column; NULL: there is none */
    enum check_time time;
    const char *corrected; /* column, of gray; NULL: none */
    const char *mark;      /* column, of marks: hexadecimal digits */
};
struct check_attribute {
    uint8_t source;     /* GRAY_SOURCE_* */
    const char *name;   /* "" where the source has none */
    const char *column; /* NULL: it was never there */
};
struct check_compare {
    const char *upstream, *gray;
    double tolerance;
};
struct check_constraint {
    const char *old;
    const char *equals; /* column of upstream; NULL */
    double tolerance;
    const json_t *in, *not_in, *range; /* NULL: not asked */
    bool present, absent;
};
struct check {
    json_t *tree; /* owned */
    const char *name, *release, *stage; /* stage NULL: none */
    bool moves;   /* mode */
    struct check_rows rows[SIDE_COUNT];
    struct check_attribute *attributes;
    size_t attribute_count;
    struct check_compare *compares;
    size_t compare_count;
    struct check_constraint *constraints;
    size_t constraint_count;
    const json_t *logs; /* NULL: none */
    bool decisions, journal;
    bool follows; /* the logs that grayd itself follows, too */
    int64_t every, overlap, chunk, slack, timeout; /* ms; every 0: never */
    int64_t recheck[CHECK_RECHECKS_MAX];
    unsigned recheck_count;
};
/* Takes a reference to `tree`. 0; -EINVAL: no Check, with a sentence (of a
 * buffer) that says what is missing; -ENOMEM. */
int check_read(struct check *ret_check, json_t *tree, char *ret_sentence,
               size_t sentence_size);
void check_free(struct check *check);

#endif
