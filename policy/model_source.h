/* SPDX-License-Identifier: Apache-2.0
 * model_source.h - what the writer of the canonical source knows of a value.
 *
 * Why: whether a value is a default, and whether the order of a list means
 * anything, hangs on where the value stands. Read next: model_source.c,
 * model_defaults.c.
 */
#ifndef GRAY_POLICY_MODEL_SOURCE_H
#define GRAY_POLICY_MODEL_SOURCE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* What a value is, as far as its canonical form hangs on it. */
enum role {
    ROLE_PLAIN, ROLE_LANE, ROLE_LIST, ROLE_RELEASE, ROLE_SERVICE,
    ROLE_ADMISSION, ROLE_CONDS, ROLE_COND, ROLE_TEST, ROLE_SET, ROLE_RULES,
    ROLE_RULE, ROLE_VERSIONS, ROLE_VERSION, ROLE_ENDPOINTS, ROLE_ENDPOINT,
    ROLE_UNIT, ROLE_STAGES, ROLE_STAGE, ROLE_DURATION
};

/* The document that is being written. */
struct gray_source_place {
    const json_t *document;
    const char *name;
};

/* Does `map`, whose role is `role`, mean the same without this member? */
bool gray_source_default(const struct gray_source_place *w, enum role role,
                         const json_t *map, const char *key,
                         const json_t *value);
/* A duration of a document, in ms; -1: it is none. */
int64_t gray_source_duration(const json_t *value);

#endif
