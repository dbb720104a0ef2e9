/* SPDX-License-Identifier: Apache-2.0
 * layout_policy.h - how policy.snap lies in memory.
 *
 * Why: see layout.h, which says what holds for every file and includes this
 * one. Read next: ../policy/compile_write.c (who writes it), check.c (who
 * checks it).
 */
#ifndef GRAY_ENGINE_LAYOUT_POLICY_H
#define GRAY_ENGINE_LAYOUT_POLICY_H

#include "engine/layout.h"

/* Directly after the file header. */
struct gray_policy {
    struct gray_table strings;   /* bytes; every gray_ref of names lies here */
    struct gray_table slots;     /* gray_slot */
    struct gray_table slot_hash; /* uint32_t slot or GRAY_NONE; power of two,
                                    linear probing from gray_slot.hash */
    struct gray_table insns;     /* gray_insn */
    struct gray_table operands;  /* bytes, 8-aligned */
    struct gray_table rules;     /* gray_rule */
    struct gray_table rulesets;  /* gray_ruleset */
    struct gray_table indexes;   /* gray_index */
    struct gray_table sieves;    /* gray_sieve_cell */
    struct gray_table index_slots; /* gray_index_slot */
    struct gray_table postings;    /* gray_posting */
    struct gray_table numbers;     /* uint32_t: lists of rule numbers */
    struct gray_table releases;    /* gray_release, by descending priority */
    struct gray_table variants;    /* gray_variant */
    struct gray_table stages;      /* gray_stage */
    struct gray_table services;    /* gray_service */
    struct gray_table routes;      /* gray_route */
    struct gray_table selectors;   /* gray_selector */
    struct gray_table lanes;       /* gray_lane */
    struct gray_table entrances;   /* gray_entrance; [0] is the unnamed one */
    struct gray_table entrance_releases; /* uint32_t release numbers */
    struct gray_table lists;             /* gray_list_ref */
    struct gray_table release_names; /* gray_name, sorted by hash, then name */
    struct gray_table service_names;
    struct gray_table lane_names;
    struct gray_table entrance_names;
    struct gray_ref source;  /* canonical JSON of the documents */
    uint64_t header_filter;  /* bit (gray_hash_name & 63) of the name of every
                                HEADER slot; of "cookie" where there is a
                                COOKIE slot; of "content-type" where there is
                                a GRPC_* slot */
    uint32_t needs;          /* bit 1 << GRAY_SOURCE_* of every slot's source */
    uint32_t cost_bound;     /* of one decision, ns, as gate 3 computed it */
    uint64_t list_key[2];    /* reserved */
};

/* A named thing, to be found by its name: see gray_hash_name(). */
struct gray_name {
    struct gray_ref name;
    uint32_t hash;
    uint32_t index;
};

/* One attribute that the policy looks at. */
struct gray_slot {
    struct gray_ref name; /* header names in lower case; empty if unnamed */
    uint32_t hash;        /* gray_hash_name(name), + source * 0x9e3779b1 */
    uint8_t source;       /* GRAY_SOURCE_* */
    uint8_t pad[3];
};

/* One step of a program: a test and where to go.  Jumps lead forward only, so
 * a program ends after at most its own length of steps.  Targets count from
 * the program's first instruction.  Programs do not share instructions, so
 * that a file is checked in time that follows its size; operands may be
 * shared. */
#define GRAY_JUMP_FALSE 0xfffeu
#define GRAY_JUMP_TRUE 0xffffu
#define GRAY_INSN_IGNORE_CASE 1u
struct gray_insn {
    uint8_t op;       /* GRAY_CONDITION_* */
    uint8_t flags;    /* GRAY_INSN_* */
    uint16_t pad;
    uint16_t on_true; /* target, GRAY_JUMP_TRUE or GRAY_JUMP_FALSE */
    uint16_t on_false;
    uint32_t slot;    /* number of the slot; GRAY_NONE for TIME; a slot of
                         source UNIT means the unit of the release */
    uint32_t operand; /* offset of the operand record; 0 for NONE */
};

/* Operand records, by shape. Offsets in them count from the file's start. */
struct gray_operand_string {
    struct gray_ref text; /* lower case where GRAY_INSN_IGNORE_CASE */
};
/* An open-addressed set: cells[hash & (cells.count - 1)], linear probing.
 * hash = murmur3 of the bytes (lower case where GRAY_INSN_IGNORE_CASE). */
struct gray_operand_set {
    struct gray_table cells; /* gray_set_cell, power of two, never full */
    uint32_t count;
    uint32_t pad;
};
struct gray_set_cell {
    struct gray_ref text; /* offset 0: free */
    uint32_t hash;
    uint32_t pad;
};
/* next = table[state * classes + class_of[byte]]; state 0 is dead, the start
 * state is 1; accepts when bit `state` of accept is set at the end. */
struct gray_operand_dfa {
    uint32_t states;         /* 2 .. GRAY_DFA_STATES_MAX */
    uint32_t classes;        /* 1 .. 256 */
    uint32_t class_of;       /* offset of 256 bytes */
    uint32_t table;          /* offset of states * classes uint16_t */
    uint32_t accept;         /* offset of (states + 31) / 32 uint32_t */
    uint32_t pad;
    struct gray_ref pattern; /* as written, for explain */
};
struct gray_operand_range {
    int64_t start, end; /* [start, end) */
};
struct gray_operand_mod {
    uint64_t divisor;         /* > 0 */
    struct gray_table ranges; /* gray_mod_range, ascending, disjoint */
};
struct gray_mod_range {
    uint64_t first, last; /* inclusive remainders */
};
struct gray_operand_tail {
    uint32_t width;          /* digits, 1 .. 9 */
    uint32_t pad;
    struct gray_table tails; /* uint32_t, ascending */
};
struct gray_operand_share {
    struct gray_ref salt;
    uint32_t share; /* millionths */
    uint32_t pad;
};
struct gray_operand_list {
    uint32_t list; /* number in gray_policy.lists */
    uint32_t pad;
};
struct gray_operand_cidr {
    struct gray_table ranges; /* gray_cidr_range, ascending, disjoint */
};
struct gray_cidr_range {
    uint8_t first[16], last[16]; /* IPv4 as ::ffff:a.b.c.d */
};
enum gray_semver_op {
    GRAY_SEMVER_EQ, GRAY_SEMVER_NE, GRAY_SEMVER_LT, GRAY_SEMVER_LE,
    GRAY_SEMVER_GT, GRAY_SEMVER_GE, GRAY_SEMVER_TILDE, GRAY_SEMVER_CARET
};
struct gray_operand_semver {
    uint32_t op;
    uint32_t part[3];    /* major, minor, patch */
    struct gray_ref pre; /* pre-release, without '-'; empty if none */
};
struct gray_operand_date {
    int64_t after, before; /* ms since the epoch, [after, before) */
};
struct gray_operand_time {
    int64_t from, until; /* ms since the epoch, [from, until) */
    uint32_t days;       /* bit 0 Monday .. bit 6 Sunday, of the start */
    uint32_t start, end; /* seconds of the local day; end <= start: over
                            midnight; 0 and 86400: the whole day */
    uint32_t pad;
    struct gray_table zone; /* gray_zone_step, ascending; [0].at = INT64_MIN */
};
struct gray_zone_step {
    int64_t at;     /* seconds since the epoch from which it holds */
    int32_t offset; /* seconds east of UTC */
    uint32_t pad;
};

/* One rule: when its program holds, its action is taken. */
#define GRAY_RULE_WRITES 1u /* an allow by list writes a mark */
struct gray_rule {
    struct gray_ref name; /* for explain: "deny[0]", or the rule's own name */
    uint32_t first_insn;
    uint16_t insn_count;  /* 0: always true */
    uint16_t flags;
    uint32_t action;      /* of a lane rule: the lane; else GRAY_NONE */
    uint32_t pad;
};

/* Rules in order; the first whose program holds wins. */
struct gray_ruleset {
    struct gray_span rules;
    uint32_t index;          /* number of a gray_index, GRAY_NONE: none */
    uint32_t pad;
    struct gray_span sieve;  /* sieves[], of a set without an index; count 0:
                                none, so all rules are tried */
    uint64_t unsieved;       /* bit of each rule that has no cell in it */
};

/* A sieve says which rules of a small set can hold at all, before any program
 * runs.  A rule has a cell for each alternative of one condition that it
 * cannot do without: a value of `slot` whose look (gray_look()) is `word` in
 * the bits of `mask`.  Cells lie by slot and look, so that a value is looked at
 * once for all that are alike. */
#define GRAY_SIEVE_RULES_MAX 64u /* rules of a set with a sieve */
enum gray_look_kind {
    GRAY_LOOK_HEAD, /* the first eight bytes, the first one lowest; zero where
                       there are none */
    GRAY_LOOK_TAIL, /* length << 32 | the last four bytes in the same way */
    GRAY_LOOK_COUNT
};
struct gray_sieve_cell {
    uint64_t word, mask;
    uint32_t slot;
    uint8_t look; /* enum gray_look_kind */
    uint8_t rule; /* number within the set */
    uint8_t same; /* cells of this slot and look from here on, with this one */
    uint8_t sure; /* 1: what passes holds, the program need not run */
};

/* Which rules of a set can hold at all, given a request's values.  A rule
 * stands under one necessary condition of its own (its access key): a value of
 * a slot, a prefix of one, or its presence.  Keys are hashes: a collision only
 * adds a candidate.  Candidates are tried in ascending order. */
struct gray_index {
    struct gray_span always;  /* numbers[]: rules with no access key */
    struct gray_span slots;   /* index_slots[], ascending slot */
    struct gray_span buckets; /* postings[], power of two, linear probing */
};
#define GRAY_KEY_EXACT 1u
#define GRAY_KEY_EXACT_NOCASE 2u
#define GRAY_KEY_PREFIX 4u
#define GRAY_KEY_PRESENT 8u
/* Prefixes are keyed by as many of their first bytes as tell the rules of this
 * set and slot apart: the compiler chooses the lengths (compile_prefix.c), and
 * a rule stands under the longest of them that its own prefix has.  They are
 * few because each of them is looked up for every value. */
#define GRAY_PREFIXES_MAX 8u /* lengths of one slot */
#define GRAY_PREFIX_MAX 255u /* bytes of a prefix that a key can stand for */
struct gray_index_slot {
    uint32_t slot;
    uint8_t keys;         /* GRAY_KEY_* in use */
    uint8_t prefix_count; /* of lengths; 0 when keys has no PREFIX */
    uint8_t lengths[8];   /* 1 .. GRAY_PREFIX_MAX, ascending */
    uint16_t pad;
};
struct gray_posting {
    uint32_t hash;           /* gray_hash_key(kind, slot, bytes) */
    uint32_t used;           /* 0: free bucket */
    struct gray_span rules;  /* numbers[]: ascending, relative to the set */
};

/* How a release treats a unit, step by step (SEMANTICS 2). */
enum gray_step {
    GRAY_STEP_END, GRAY_STEP_DENY, GRAY_STEP_ALLOW, GRAY_STEP_MARK,
    GRAY_STEP_RULES,    /* require, match, hold-back, share */
    GRAY_STEP_EVIDENCE, /* a signed cookie that shows an earlier IN */
    GRAY_STEP_COUNT
};
enum gray_stickiness { GRAY_STICKY_NONE, GRAY_STICKY_MONOTONIC,
                       GRAY_STICKY_ENTITY };
enum gray_durability { GRAY_DURABLE_ASYNC, GRAY_DURABLE_STRICT };
enum gray_on_unknown { GRAY_UNKNOWN_BASELINE, GRAY_UNKNOWN_REFUSE };
enum gray_on_missing { GRAY_MISSING_BASELINE, GRAY_MISSING_BACKFILL };
#define GRAY_MARKS_LEASE 1u  /* admits only while the host's lease runs */
#define GRAY_MARKS_WIDE 2u   /* strictKey: 128: 32-byte slots */
#define GRAY_MARKS_SHARED 4u /* first admissions are asked of Redis */
enum gray_data_compat { GRAY_DATA_STATELESS, GRAY_DATA_REVERSIBLE,
                        GRAY_DATA_IRREVERSIBLE };
enum gray_anonymous { GRAY_ANONYMOUS_BASELINE, GRAY_ANONYMOUS_COOKIE,
                      GRAY_ANONYMOUS_RANDOM };

struct gray_release {
    struct gray_ref name;
    struct gray_ref salt; /* enrolment; variants add ":variant" */
    uint64_t scope;       /* gray_hash_scope(name): identity for ever */
    uint32_t word;        /* number of its scope word in `control` */
    uint32_t priority;    /* int32 with its sign bit flipped: sorts unsigned */
    uint32_t share;       /* millionths */
    uint32_t holdback;    /* millionths, at the end of the bucket line */
    uint8_t order[8];     /* enum gray_step, ended by GRAY_STEP_END */
    uint8_t stickiness, data_compat, anonymous, hash_version;
    uint32_t attempt;
    uint32_t unit_slots[GRAY_UNIT_SLOTS]; /* tried in order; GRAY_NONE ends */
    uint32_t require_insn;                /* program; count 0: holds */
    uint32_t require_count;
    uint32_t deny, allow, match;          /* rulesets; GRAY_NONE: none */
    uint32_t stage_rules; /* ruleset whose action is a stage's number within
                             the release; GRAY_NONE: none */
    struct gray_span stages;   /* stages[], as declared; none: every request
                                  may write */
    uint32_t alias_slot;       /* where the unit's earlier name stands;
                                  GRAY_NONE: none */
    uint32_t strict_timeout;   /* ms that a request waits for its mark */
    uint32_t admission_lease;  /* ms; 0 without GRAY_MARKS_LEASE */
    uint8_t durability, on_unknown, mark_flags, pad;
    uint32_t salt_hash, salt_rest; /* gray_hash_salt(salt) */
    struct gray_span variants; /* variants[], at least one */
    struct gray_span routes;   /* numbers[] of routes: what it governs */
};

/* One arm of a release; the only one of most has an empty name. */
struct gray_variant {
    struct gray_ref name;
    uint32_t upto; /* cumulative weight in millionths; the last: 1,000,000 */
    uint32_t pad;
};

/* Which part of a unit's life a request belongs to (SEMANTICS 4): a stage that
 * writes may record, the others only read. */
struct gray_stage {
    struct gray_ref name;
    uint32_t share;     /* millionths; the release's own but for dimensions:
                           everyone before the one that moves, nobody after */
    uint8_t writes;     /* 1: stage create */
    uint8_t on_missing; /* enum gray_on_missing: ABSENT where it only reads */
    uint8_t on_unknown; /* enum gray_on_unknown */
    uint8_t space;      /* its marks are apart from those of other spaces */
};

enum gray_route_kind { GRAY_ROUTE_BASELINE, GRAY_ROUTE_ARM, GRAY_ROUTE_LANE };
#define GRAY_ROUTE_STRICT 1u /* of a lane: no endpoint means 503 */

/* One way a service can be reached; also the identity of a counter series. */
struct gray_route {
    struct gray_ref version;    /* what $gray_version says: "v2" or a lane */
    uint32_t service;
    uint8_t kind;               /* enum gray_route_kind */
    uint8_t flags;
    uint16_t pad;
    uint32_t release, variant;  /* of an ARM, else GRAY_NONE; the variant's
                                   number within its release */
    uint32_t lane;              /* of a LANE, else GRAY_NONE */
    uint32_t fallback;          /* route tried next when nothing is
                                   registered; GRAY_NONE: arms, baseline */
    struct gray_span selector;  /* selectors[]: all must hold */
    uint64_t series;            /* gray_hash_scope("service|version|lane|arm"):
                                   identity of its counters for ever */
};

/* key = value; an empty value means: the endpoint must NOT have this key. */
struct gray_selector {
    struct gray_ref key, value;
};

struct gray_service {
    struct gray_ref name;
    uint32_t baseline;          /* number of its baseline route */
    uint32_t pad;
    struct gray_span arms;      /* routes[]: descending priority of release */
    struct gray_span lanes;     /* routes[]: ascending lane */
};

struct gray_lane {
    struct gray_ref name, group;
    uint32_t flags; /* GRAY_ROUTE_STRICT */
    uint32_t pad;
};

struct gray_entrance {
    struct gray_ref name;
    uint32_t lane_rules;        /* ruleset, by (priority, id); GRAY_NONE */
    uint32_t pad;
    struct gray_span releases;  /* entrance_releases[], by priority */
};

struct gray_list_ref {
    struct gray_ref name;
    struct gray_ref file; /* name under lists/: 32 hexadecimal digits */
};

#endif
