/* SPDX-License-Identifier: Apache-2.0
 * vary.h - a random policy and what somebody would make of it next.
 *
 * Why: gate 4 meets edits, not unrelated policies: one more tail, a range moved,
 * a rule split in two, an id taken out of a list, the same said in other words.
 * A pair is one release, and the same release after one to three such edits.
 * Requests are drawn from the values that the conditions are made of, and from
 * beside them.  The same number gives the same pair.
 * Read next: vary.c, vary_print.c, test_monotone.c.
 */
#ifndef GRAY_TESTS_VARY_H
#define GRAY_TESTS_VARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/engine.h"

#define VARY_CHILDREN 4u
#define VARY_VALUES 12u
#define VARY_RULES 4u
#define VARY_IDS 12u
#define VARY_ATOMS 48u

enum vary_kind { VARY_TEST, VARY_ALL, VARY_ANY, VARY_NOT };
enum vary_attribute {
    VARY_UID, VARY_PLAN, VARY_REGION, VARY_PATH, VARY_HOST, VARY_QUERY,
    VARY_VERSION, VARY_DATE, VARY_SOURCE, VARY_TIME, VARY_ATTRIBUTES
};
struct vary_node {
    enum vary_kind kind;
    struct vary_node *children[VARY_CHILDREN];
    uint32_t child_count;
    enum vary_attribute attribute;
    uint8_t op;       /* GRAY_CONDITION_* */
    bool unit;        /* of VARY_UID: by the unit, not by the cookie */
    bool ignore_case;
    int64_t number[2]; /* range, mod: divisor; cidr: bits; share; hours */
    uint32_t width;    /* idTail */
    int32_t values[VARY_VALUES];
    uint32_t count;
    char text[64];     /* exact, prefix ...; semver; salt */
};
struct vary_release {
    struct vary_node *deny[VARY_RULES], *allow[VARY_RULES], *match[VARY_RULES],
        *require;
    uint32_t deny_count, allow_count, match_count;
    uint32_t share; /* percent */
    int32_t ids[2][VARY_IDS];
    uint32_t id_count[2];
    bool turned; /* rules before allow */
    bool entity;
};
struct vary_dice {
    uint64_t state;
};
uint32_t vary_below(struct vary_dice *dice, uint32_t n);

/* A release, and the one after an edit or some. Freed by vary_free(), together
 * with all nodes that were ever made. */
void vary_pair(uint64_t seed, struct vary_release *ret_old,
               struct vary_release *ret_new);
void vary_free(void);

/* ---- vary_print.c --------------------------------------------------------------- */

/* The whole policy as YAML (malloc'd). */
char *vary_print(const struct vary_release *release);
/* A policy in which each test of the unit in both is the match of a release of
 * its own ("p0", "p1" ...), percent left out; malloc'd; *ret_count of them. */
char *vary_probes(const struct vary_release *a, const struct vary_release *b,
                  uint32_t *ret_count);
/* Salt and share of each percent of the unit in both. */
struct vary_share {
    char salt[16];
    uint32_t share; /* millionths */
};
uint32_t vary_shares(const struct vary_release *a,
                     const struct vary_release *b,
                     struct vary_share shares[VARY_ATOMS]);

/* A request without its unit; texts lie in it. */
struct vary_request {
    char plans[3][24];
    uint32_t plan_count;
    char region[24], host[32], target[128], version[24];
    uint8_t address[16];
    bool has_region, has_host, has_version, has_address;
    int64_t now;
};
void vary_request(struct vary_dice *dice, struct vary_request *ret_request);
void vary_feed(const struct vary_request *request, const char *uid,
               char room[64], const struct gray_snapshot *snapshot,
               struct gray_input *in);

#endif
