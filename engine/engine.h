/* SPDX-License-Identifier: Apache-2.0
 * engine.h - the pure decision of Graylane.
 *
 * Why: gateway, libgray, CLI and grayd must give the same answer to the bit,
 * so the decision is one piece of code that knows nothing of any of them.  It
 * has no clock, file, socket, global or allocation: everything comes in as an
 * argument, everything goes out through a caller's record.  All functions are
 * safe in threads as long as the records handed in are not shared; none
 * blocks.  Nothing here trusts a byte of a mapping: gray_*_open() checks all
 * of it, and the interpreter bounds every step again.
 * Read next: layout.h (the files), program.c (conditions), decide.c (order).
 */
#ifndef GRAY_ENGINE_H
#define GRAY_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/layout.h"

/* ---- words and small things --------------------------------------------- */

enum gray_source {
#define GRAY_SOURCE(NAME, number, word, named, doc) GRAY_SOURCE_##NAME = number,
#include "engine/sources.def"
#undef GRAY_SOURCE
};
enum gray_condition {
#define GRAY_CONDITION(NAME, number, word, OPERAND, cost, missing, doc) \
    GRAY_CONDITION_##NAME = number,
#include "engine/conditions.def"
#undef GRAY_CONDITION
};
enum gray_reason {
#define GRAY_REASON(NAME, number, code, sentence, advice) \
    GRAY_REASON_##NAME = number,
#include "engine/reasons.def"
#undef GRAY_REASON
};

/* Bytes that somebody else owns; need not end in NUL. */
struct gray_str {
    const char *data;
    uint32_t length;
};

/* Why a file was refused: a stable code ("bad-jump"), a sentence, and the
 * byte offset of the offending record. */
struct gray_problem {
    const char *code;
    char sentence[160];
    uint64_t offset;
};

/* The code ("out-of-share"), sentence and advice of a reason; never NULL. */
const char *gray_reason_code(enum gray_reason reason);
const char *gray_reason_sentence(enum gray_reason reason);
const char *gray_reason_advice(enum gray_reason reason);
/* The document's word of a condition or source; "?" when unknown. */
const char *gray_condition_word(uint32_t op);
const char *gray_source_word(uint32_t source);

/* ---- hashes and buckets (hash.c) ---------------------------------------- */

/* MurmurHash3 x86 32-bit (Austin Appleby, public domain). */
uint32_t gray_murmur3_32(const void *data, size_t length, uint32_t seed);
/* SipHash-2-4 (Aumasson, Bernstein). */
uint64_t gray_siphash(const void *data, size_t length, const uint64_t key[2]);
/* A bijection of 64-bit numbers (Stafford's mix 13). */
uint64_t gray_mix64(uint64_t value);
/* h = h * 31 + lower case byte, from 0: what nginx keeps with every header,
 * so that the gateway need not hash a name again. */
uint32_t gray_hash_name(const char *name, size_t length);
/* 64-bit identity of a release, a scope, a series. Never 0. */
uint64_t gray_hash_scope(const char *name, size_t length);
/* Key of an index posting; ignore_case hashes the bytes in lower case. */
uint32_t gray_hash_key(uint32_t kind, uint32_t slot, const char *bytes,
                       size_t length);
/* (uint64(murmur3_32(salt ":" unit, 0)) * 1,000,000) >> 32: SEMANTICS 3.
 * A frozen contract, see docs/vectors/buckets.json. */
uint32_t gray_bucket(struct gray_str salt, struct gray_str unit);

/* ---- opened files ------------------------------------------------------- */

/* A checked policy. Points into the caller's mapping, which must outlive it. */
struct gray_snapshot {
    const uint8_t *base;
    uint64_t size;
    const struct gray_file_header *header;
    const struct gray_policy *policy;
    /* What gray_snapshot_open() found out for the hot path. */
    uint32_t slot_of[GRAY_SOURCE_TIME + 1]; /* of sources without a name */
    uint32_t cookie_slots[4];               /* all COOKIE slots, if so few */
    uint32_t cookie_count;                  /* 5: more, look them up */
};
/* Checks every table, reference, program, automaton and index of `size` bytes
 * at `data` (8-aligned).  0, or -1 with *ret_problem filled and *ret_snapshot
 * untouched.  Does not check the checksum: runtime does.  O(size). */
int gray_snapshot_open(struct gray_snapshot *ret_snapshot, const void *data,
                       uint64_t size, struct gray_problem *ret_problem);

struct gray_fleet {
    const uint8_t *base;
    uint64_t size;
    const struct gray_file_header *header;
    const struct gray_fleet_body *body;
};
int gray_fleet_open(struct gray_fleet *ret_fleet, const void *data,
                    uint64_t size, struct gray_problem *ret_problem);

struct gray_list {
    const uint8_t *base;
    uint64_t size;
    const struct gray_list_file *file;
};
/* Checks offsets and directories (not the order of every key: a wrong order
 * can only miss).  O(directory). */
int gray_list_open(struct gray_list *ret_list, const void *data, uint64_t size,
                   struct gray_problem *ret_problem);
bool gray_list_has(const struct gray_list *list, struct gray_str id);

/* Records by number; NULL when the number is out of the table. Inline in
 * view.h for the engine's own files. */
const struct gray_release *gray_release_at(const struct gray_snapshot *s,
                                           uint32_t number);
const struct gray_service *gray_service_at(const struct gray_snapshot *s,
                                           uint32_t number);
const struct gray_route *gray_route_at(const struct gray_snapshot *s,
                                       uint32_t number);
const struct gray_lane *gray_lane_at(const struct gray_snapshot *s,
                                     uint32_t number);
const struct gray_variant *gray_variant_at(const struct gray_snapshot *s,
                                           uint32_t number);
const struct gray_endpoint *gray_endpoint_at(const struct gray_fleet *f,
                                             uint32_t number);
/* The bytes of a reference; empty when it does not lie in the file. */
struct gray_str gray_text(const struct gray_snapshot *s, struct gray_ref ref);
struct gray_str gray_fleet_text(const struct gray_fleet *f,
                                struct gray_ref ref);
/* Numbers by name; GRAY_NONE when there is none. */
uint32_t gray_find_release(const struct gray_snapshot *s, struct gray_str name);
uint32_t gray_find_service(const struct gray_snapshot *s, struct gray_str name);
uint32_t gray_find_lane(const struct gray_snapshot *s, struct gray_str name);
uint32_t gray_find_entrance(const struct gray_snapshot *s,
                            struct gray_str name);

/* ---- what a decision looks at ------------------------------------------- */

/* Endpoints of one route, in link->members. */
struct gray_subset {
    struct gray_span members;
    uint32_t ready; /* how many may take requests now */
    uint32_t pad;
};
/* Routes of a policy joined with the endpoints of a fleet: the two files have
 * generations of their own, so whoever maps them builds this once per pair,
 * off the request path. */
struct gray_link {
    struct gray_subset *subsets; /* by route */
    uint32_t subset_count;
    uint32_t *members;           /* endpoint numbers */
    uint32_t member_count;
};
/* Bytes of memory that gray_link_build() needs for this pair. */
size_t gray_link_size(const struct gray_snapshot *policy,
                      const struct gray_fleet *fleet);
/* Fills *ret_link inside `memory` (8-aligned, at least gray_link_size()). */
int gray_link_build(struct gray_link *ret_link,
                    const struct gray_snapshot *policy,
                    const struct gray_fleet *fleet, void *memory, size_t size);

/* Everything a decision reads besides the request.  Immutable but `words`,
 * which is read with relaxed atomic loads. */
struct gray_view {
    const struct gray_snapshot *policy;
    const struct gray_fleet *fleet;     /* NULL: choices find nothing */
    const struct gray_link *link;       /* NULL with fleet */
    const struct gray_list *lists;      /* by number of policy.lists */
    uint32_t list_count;
    const struct gray_scope_word *words; /* NULL: all open */
    uint32_t word_count;
};

/* ---- the request (input.c) ---------------------------------------------- */

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

/* ---- marks -------------------------------------------------------------- */

enum gray_mark_state {
    GRAY_MARK_ABSENT, GRAY_MARK_IN, GRAY_MARK_OUT, GRAY_MARK_REVOKED,
    GRAY_MARK_UNKNOWN, GRAY_MARK_HOLD
};
struct gray_mark {
    uint8_t state;    /* enum gray_mark_state */
    uint8_t variant;  /* number within the release */
    uint16_t attempt;
    uint32_t revision;
};
/* Asked lazily, at most once a step: `step` is GRAY_STEP_MARK (the table) or
 * GRAY_STEP_EVIDENCE (a signed cookie, asked only when the answer hangs on
 * it).  Must be pure for the length of one decision. */
typedef struct gray_mark (*gray_mark_fn)(void *context, uint32_t release,
                                         struct gray_str unit,
                                         enum gray_step step);

/* ---- the decision (decide.c) -------------------------------------------- */

/* What one release answered. */
struct gray_verdict {
    uint32_t release;
    uint32_t rule;   /* number of the rule that decided; GRAY_NONE */
    uint32_t bucket; /* GRAY_NONE when no bucket was computed */
    uint8_t in;      /* 1: the new version */
    uint8_t reason;  /* enum gray_reason */
    uint8_t variant; /* number within the release */
    uint8_t admit;   /* 1: an IN that a mark or cookie should record */
};
/* What the request carries from here on. */
struct gray_colour {
    uint32_t lane;       /* number; GRAY_NONE: none, or unknown by this
                            policy: then gray_input.lane is passed on */
    uint32_t lane_rule;  /* rule that chose it; GRAY_NONE */
    uint8_t lane_reason; /* enum gray_reason */
    uint8_t traffic_class;
    uint8_t arm_count;
    uint8_t reason;      /* of the request as a whole: the first arm's, the
                            lane's, else the first refusal's */
    uint32_t rule, bucket, release; /* belonging to `reason`; GRAY_NONE */
    uint8_t fresh;       /* 1: lane or arms are not just what came in: some
                            were decided here or taken away */
    uint8_t pad[3];
    struct gray_verdict arms[GRAY_ARMS_MAX]; /* admitted, by priority */
};

struct gray_trace;

/* The whole decision at `entrance` (a number; GRAY_NONE: not an entrance, only
 * the incoming colour counts).  `marks` may be NULL (all ABSENT).  `trace` may
 * be NULL.  Never fails: what cannot be decided is baseline with a reason. */
void gray_decide(const struct gray_view *view, uint32_t entrance,
                 struct gray_input *in, gray_mark_fn marks,
                 void *marks_context, struct gray_colour *ret_colour,
                 struct gray_trace *trace);

/* One release for one unit; what gray_decide() does for each release of the
 * entrance, and what libgray offers applications. */
void gray_decide_release(const struct gray_view *view, uint32_t release,
                         struct gray_input *in, gray_mark_fn marks,
                         void *marks_context, struct gray_verdict *ret_verdict,
                         struct gray_trace *trace);

/* The unit of a release in this request; length 0 when there is none. */
struct gray_str gray_unit(const struct gray_view *view, uint32_t release,
                          const struct gray_input *in);

/* ---- the choice (choose.c) ---------------------------------------------- */

struct gray_choice {
    uint32_t route;   /* the route taken; GRAY_NONE: none can serve */
    uint32_t wanted;  /* the route that the colour asked for */
    uint8_t reason;   /* enum gray_reason */
    uint8_t refuse;   /* 1: answer 503 (strict lane, or nothing ready) */
    uint8_t pad[2];
};
/* Which endpoints of `service` serve a request of this colour (SEMANTICS 7).
 * Arms are looked up by number; scope words are read again, so that a kill
 * holds at every hop. */
void gray_choose(const struct gray_view *view, uint32_t service,
                 const struct gray_colour *colour,
                 struct gray_choice *ret_choice);
/* One endpoint of a subset by power of two choices on load / weight; `load`
 * by endpoint number (requests in flight), `tried` a bitmap over the subset's
 * members (first 64) not to be taken again.  GRAY_NONE when none is left. */
uint32_t gray_pick(const struct gray_view *view, uint32_t route,
                   const uint32_t *load, uint64_t tried, uint64_t random);

/* ---- trace and explain (explain.c) -------------------------------------- */

#define GRAY_TRACE_STEPS 96u
#define GRAY_TRACE_VERDICTS 32u
/* One condition or step that was tried. */
struct gray_trace_step {
    uint32_t release;        /* GRAY_NONE: a lane rule */
    uint32_t rule;           /* GRAY_NONE: not inside a rule */
    uint32_t insn;           /* its instruction; GRAY_NONE: a step */
    uint8_t step;            /* enum gray_step */
    uint8_t result;          /* 0, 1; a step: 0 went on, 1 ended here */
    uint8_t value_known;
    uint8_t mark;            /* enum gray_mark_state; MARK, EVIDENCE only */
    struct gray_str value;   /* the first value looked at; a step: the unit */
};
struct gray_trace {
    uint32_t step_count, verdict_count;
    bool truncated;
    struct gray_trace_step steps[GRAY_TRACE_STEPS];
    struct gray_verdict verdicts[GRAY_TRACE_VERDICTS]; /* every release asked */
};

/* Decides with a trace and writes one line of JSON without a line end, in the
 * form that docs/explain.md says.  The same bytes for the same input
 * everywhere.  Returns the length that the whole text has; it was cut off
 * (NUL-terminated, never valid JSON) when that is not below `size`.  Values
 * are cut to 64 bytes, escaped to ASCII. */
size_t gray_explain(const struct gray_view *view, uint32_t entrance,
                    struct gray_input *in, gray_mark_fn marks,
                    void *marks_context, char *buffer, size_t size);

/* ---- colour on the wire (colour.c) -------------------------------------- */

/* What a header of a client is to us, whatever its spelling ('_' for '-'). */
enum gray_header_kind {
    GRAY_HEADER_PLAIN, GRAY_HEADER_LANE, /* x-gray-lane */
    GRAY_HEADER_CTX,                     /* x-gray-ctx, signed */
    GRAY_HEADER_BAGGAGE, GRAY_HEADER_COOKIE,
    GRAY_HEADER_FORGED /* any other x-gray-*, an alias of a lane or tag */
};
enum gray_header_kind gray_header_kind(struct gray_str name);

/* Bytes of what one request may carry: 16 arms with their variants. */
#define GRAY_CARRIED_MAX (2u * GRAY_ARMS_MAX * (GRAY_NAME_MAX + 1))
struct gray_carried {
    struct gray_str lane, arms, traffic_class; /* empty: none */
    uint32_t seen; /* how many gray.* members */
    uint32_t decoded_used;
    char decoded[GRAY_CARRIED_MAX]; /* a list of arms has its commas encoded */
};
/* Finds gray.lane, gray.arms, gray.class in a baggage header (W3C).  The
 * strings point into the header or into *ret itself, so *ret is not to be
 * moved.  -1 when a gray member stands twice or is malformed. */
int gray_baggage_read(struct gray_str baggage, struct gray_carried *ret);
/* Copies `baggage` without its gray.* members, then appends lane and arms
 * where not empty, within 64 members and 8,192 bytes (gray members first to
 * stay).  Returns the length written, 0 when nothing is left; never more than
 * `size`. */
size_t gray_baggage_write(struct gray_str baggage, struct gray_str lane,
                          struct gray_str arms, enum gray_class traffic_class,
                          char *buffer, size_t size);
/* "cart-2,pay-7:b" of a colour, joined with unknown arms that came in. */
size_t gray_arms_write(const struct gray_view *view,
                       const struct gray_colour *colour,
                       struct gray_str carried, char *buffer, size_t size);
/* Copies a Cookie header without the cookies of these names. Returns the
 * length; *ret_removed says how many went. */
size_t gray_cookie_strip(struct gray_str cookies, const struct gray_str *names,
                         uint32_t name_count, char *buffer, size_t size,
                         uint32_t *ret_removed);
/* First value of a cookie in a Cookie header; length 0 and data NULL when it
 * is not there. */
struct gray_str gray_cookie_find(struct gray_str cookies, struct gray_str name);

#endif
