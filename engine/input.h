/* SPDX-License-Identifier: Apache-2.0
 * input.h - what a decision wants to know of one request.
 *
 * Why: gateway, libgray and CLI feed the same record by the same functions, so
 * that the same request is the same input everywhere. Read next: input.c.
 */
#ifndef GRAY_ENGINE_INPUT_H
#define GRAY_ENGINE_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/snapshot.h"

struct gray_value {
    const char *data;
    uint32_t slot;
    uint32_t length; /* above GRAY_VALUE_MAX: too long, matches nothing */
};
struct gray_address {
    uint8_t bytes[16]; /* IPv4 as ::ffff:a.b.c.d */
    bool known;
};
/* What the policy in force wants to know of one request.  Lives on a stack or
 * in a request's pool; points into the caller's bytes, which must outlive it.
 * Not cleared as a whole: gray_input_begin() sets the counts. */
struct gray_input {
    const struct gray_snapshot *policy;
    int64_t now;     /* ms since the epoch */
    uint64_t random; /* 64 random bits; used only where `anonymous: random` */
    uint32_t value_count;
    uint32_t scratch_used;
    uint8_t traffic_class; /* enum gray_class */
    bool overflow;         /* more values than GRAY_VALUES_MAX */
    bool grpc;             /* content-type says application/grpc */
    uint16_t too_long;     /* values longer than GRAY_VALUE_MAX */
    struct gray_address address;
    struct gray_str path;
    struct gray_str lane;  /* of the trusted incoming colour; empty: none */
    struct gray_str arms;  /* "cart-2,pay-7:b" */
    struct gray_str own_lane;  /* label `lane` of the own instance */
    struct gray_str anonymous; /* id issued to a client without a unit */
    struct gray_str stage;     /* that the caller names; empty: by the
                                  release's own rules */
    bool unproven;       /* there is no evidence: GRAY_STEP_EVIDENCE is not
                            asked */
    bool anonymous_used; /* out: a release took it; the answer must carry it */
    /* Values by slot & 63: whether there are any, the first one's number, and
     * what follows each, to GRAY_VALUES_MAX. */
    uint64_t present;
    uint8_t first[64];
    uint8_t next[GRAY_VALUES_MAX];
    struct gray_value values[GRAY_VALUES_MAX];
    char scratch[2 * GRAY_VALUE_MAX]; /* decoded query values, host */
};

/* All of these may be called in any order after begin, headers in the order
 * of the request; what the policy does not look at costs a few
 * instructions. */
void gray_input_begin(struct gray_input *in, const struct gray_snapshot *policy,
                      int64_t now_ms, uint64_t random);
void gray_input_method(struct gray_input *in, struct gray_str method);
/* As in the Host header: gray lowers it and takes off port and dot. */
void gray_input_host(struct gray_input *in, struct gray_str host);
/* As on the wire: "/a/b?c=d"; feeds path, segments, query and gRPC names. */
void gray_input_target(struct gray_input *in, struct gray_str target);
/* `hash` is gray_hash_name(name).  Feeds header, cookie and content-type.  Call
 * it only for names that gray_input_wants() says yes to, or for all. */
void gray_input_header(struct gray_input *in, uint32_t hash,
                       struct gray_str name, struct gray_str value);
/* Cheap filter: false means that the name cannot matter. */
static inline bool gray_input_wants(const struct gray_snapshot *policy,
                                    uint32_t hash)
{
    return (policy->policy->header_filter >> (hash & 63)) & 1;
}
void gray_input_address(struct gray_input *in, const uint8_t bytes[16]);
/* GRAY_SOURCE_ATTR, LABEL or CALLER (name empty).  LABEL "lane" is also the
 * lane of the own instance, whether or not a rule looks at it.
 * GRAY_SOURCE_UNIT (name empty) is the id that was issued to this client, or
 * the one that would be issued now: releases with `anonymous: cookie` take it
 * for their unit where the request has none, and then set
 * in->anonymous_used. */
void gray_input_named(struct gray_input *in, enum gray_source source,
                      struct gray_str name, struct gray_str value);
/* A unit that the caller knows: what every release finds first. After begin. */
void gray_input_unit(struct gray_input *in, struct gray_str unit);
/* A colour from somebody who may give one (SEMANTICS 7). */
void gray_input_colour(struct gray_input *in, struct gray_str lane,
                       struct gray_str arms, enum gray_class traffic_class);

#endif
