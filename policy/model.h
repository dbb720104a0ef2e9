/* SPDX-License-Identifier: Apache-2.0
 * model.h - a policy after all checks, before it is compiled.
 *
 * Why: checks want names, places and sentences; the compiler wants plain
 * typed values that cannot be wrong any more.  This is the border between
 * them: whoever holds a gray_model may rely on every rule written here.
 * All strings are NUL-terminated UTF-8 owned by the model's arena, with their
 * length beside them where bytes may be NUL.  Shares are millionths.
 * Read next: model_release.c (how a document becomes this), compile.c.
 */
#ifndef GRAY_POLICY_MODEL_H
#define GRAY_POLICY_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/engine.h"

struct model_text {
    const char *data;
    uint32_t length;
};

/* The node of a condition tree. */
enum cond_kind { COND_TEST, COND_ALL, COND_ANY, COND_NOT };
struct cond {
    enum cond_kind kind;
    /* ALL, ANY: at least one child; NOT: exactly one. */
    struct cond *children;
    uint32_t child_count;
    /* TEST: */
    uint8_t source;         /* GRAY_SOURCE_* */
    struct model_text name; /* of the attribute; header names lower case */
    uint8_t op;             /* GRAY_CONDITION_* */
    bool ignore_case;
    struct model_text text;    /* exact prefix suffix contains glob regex */
    struct model_text *texts;  /* in notIn, cidr ("10.0.0.0/8"), sorted by bytes,
                                  without repetitions */
    uint32_t text_count;
    int64_t start, end;        /* range; date: after, before in ms */
    uint64_t divisor;          /* mod */
    struct gray_mod_range *ranges; /* mod: ascending, disjoint */
    uint32_t range_count;
    uint32_t tail_width;       /* idTail */
    uint32_t *tails;           /* ascending */
    uint32_t tail_count;
    uint32_t share;            /* percent */
    struct model_text salt;    /* percent: never empty after checks */
    uint32_t list;             /* list: number in model->lists */
    uint32_t semver_op;        /* enum gray_semver_op */
    uint32_t version[3];
    struct model_text pre;
    int64_t from, until;       /* time: ms; INT64_MIN, INT64_MAX: open */
    uint32_t days, day_start, day_end; /* time, see gray_operand_time */
    const char *zone;          /* time: "Asia/Shanghai"; exists in tzdata */
    const char *pointer;       /* JSON pointer of this node, for findings */
};

struct model_rule {
    const char *name;  /* "allow[1]", or the rule's own name */
    struct cond *when; /* NULL: always */
    uint32_t lane;     /* of a lane rule: number in model->lanes */
    bool writes;       /* allow: the condition is a list over the unit */
};

struct model_label {
    const char *key, *value; /* selectors: value NULL means key is absent */
};

struct model_endpoint {
    const char *address; /* "127.0.0.1:9001", "[::1]:80", "unix:/path" */
    uint8_t bytes[16];
    uint16_t port;
    uint8_t family;      /* enum gray_family */
    uint32_t weight;
    struct model_label *labels; /* "version" always among them */
    uint32_t label_count;
};

/* One build of a service, as it stands under `versions`. */
struct model_version {
    const char *name;
    uint32_t endpoint_count;
    /* Requests a second that it bears as a whole: the lower of what is said of
     * it and of its endpoints together; 0: nothing is said. */
    uint64_t capacity;
};

struct model_service {
    const char *name;
    const char *document; /* index of the document, for findings */
    struct model_label *baseline; /* selector, at least one label */
    uint32_t baseline_count;
    const char *baseline_version; /* what $gray_version says for it */
    struct model_endpoint *endpoints;
    uint32_t endpoint_count;
    struct model_version *versions; /* as written, at least one */
    uint32_t version_count;
};

/* What a variant runs: service number and the version there. */
struct model_target {
    uint32_t service;
    const char *version;
};
struct model_variant {
    const char *name;  /* "" for the only one */
    uint32_t upto;     /* cumulative, the last 1,000,000 */
    struct model_target *targets;
    uint32_t target_count;
};
struct model_unit {
    uint8_t source;
    struct model_text name;
};

/* Defaults of durability. */
#define GRAY_STRICT_TIMEOUT_MS 50u
#define GRAY_ADMISSION_LEASE_MS 10000u

/* A part of a unit's life, in the order of asking. */
struct model_stage {
    const char *name;
    struct cond *when;  /* NULL: always */
    bool writes;
    uint8_t on_missing; /* enum gray_on_missing */
    uint8_t on_unknown; /* enum gray_on_unknown */
    uint8_t space;      /* of its marks: 0, or of dimension space - 1 */
    uint32_t share;     /* of its dimension, else of the release */
};

struct model_release {
    const char *name;
    const char *salt;
    int32_t priority;
    uint32_t share, holdback;
    uint8_t durability, on_unknown, mark_flags; /* as in gray_release */
    uint32_t strict_timeout, admission_lease;   /* ms; lease 0: none */
    struct model_stage *stages; /* none: every request may write */
    uint32_t stage_count;
    uint32_t *dimensions; /* numbers of stages, in the order of opening */
    uint32_t dimension_count;
    uint32_t dimension;   /* number in dimensions of the one that moves */
    struct model_unit alias; /* name.data NULL: there is none */
    uint8_t order[8];
    uint8_t stickiness, data_compat, anonymous;
    uint32_t attempt;
    struct model_unit units[GRAY_UNIT_SLOTS];
    uint32_t unit_count;
    struct cond *require; /* NULL: none */
    struct model_rule *deny, *allow, *match;
    uint32_t deny_count, allow_count, match_count;
    struct model_variant *variants; /* at least one */
    uint32_t variant_count;
    const char **entrances; /* names; none: every entrance */
    uint32_t entrance_count;
};

struct model_lane {
    const char *name, *group;
    bool strict, enabled;
    struct model_label *selector; /* default {lane: name} */
    uint32_t selector_count;
    uint32_t *services;  /* members */
    uint32_t service_count;
    uint32_t *fallback;  /* lanes tried in order when permissive */
    uint32_t fallback_count;
};

struct model_list {
    const char *name;
    bool strict;
    struct model_text *ids; /* sorted by bytes, without repetitions */
    uint64_t id_count;
};

struct model_entrance {
    const char *name; /* [0] is "" */
    struct model_rule *lane_rules; /* of all groups, by (priority, name) */
    uint32_t lane_rule_count;
    uint32_t *releases;            /* by descending priority */
    uint32_t release_count;
};

struct gray_model {
    struct model_service *services;   /* by name */
    uint32_t service_count;
    struct model_release *releases;   /* descending priority, then name */
    uint32_t release_count;
    struct model_lane *lanes;         /* by name; disabled ones among them */
    uint32_t lane_count;
    struct model_list *lists;         /* by name */
    uint32_t list_count;
    struct model_entrance *entrances; /* [0] "", then by name */
    uint32_t entrance_count;
    char *source;                     /* canonical JSON */
    size_t source_length;
    void *arena;
};

#endif
