/* SPDX-License-Identifier: Apache-2.0
 * decide.h - marks in, verdicts and the colour of a request out.
 *
 * Why: one pure function answers for every program on a host. Read next:
 * decide.c, release.c.
 */
#ifndef GRAY_ENGINE_DECIDE_H
#define GRAY_ENGINE_DECIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/input.h"

/* ---- marks -------------------------------------------------------------- */

enum gray_mark_state {
    GRAY_MARK_ABSENT, GRAY_MARK_IN, GRAY_MARK_OUT, GRAY_MARK_REVOKED,
    GRAY_MARK_UNKNOWN, GRAY_MARK_HOLD,
    GRAY_MARK_PENDING, /* somebody's mark is not durable yet: to be waited for */
    GRAY_MARK_CLOSED   /* there is none, and none can be made now: nobody new;
                          `variant` is the enum gray_reason that says why */
};
struct gray_mark {
    uint8_t state;    /* enum gray_mark_state */
    uint8_t variant;  /* number within the release */
    uint16_t attempt;
    uint32_t revision;
};
/* What a request is asked about: the unit, or the name that it had before. */
struct gray_mark_query {
    uint32_t release;
    struct gray_str unit;
    uint8_t step;  /* GRAY_STEP_MARK (the table) or GRAY_STEP_EVIDENCE (a
                      signed cookie, asked only when the answer hangs on it) */
    uint8_t space; /* gray_stage.space */
    uint8_t alias; /* 1: `unit` is the earlier name */
};
/* Asked lazily, at most once a step and name.  Must be pure for the length of
 * one decision. */
typedef struct gray_mark (*gray_mark_fn)(void *context,
                                         const struct gray_mark_query *query);

/* ---- the decision ------------------------------------------------------- */

/* What one release answered. */
struct gray_verdict {
    uint32_t release;
    uint32_t rule;   /* number of the rule that decided; GRAY_NONE */
    uint32_t bucket; /* GRAY_NONE when no bucket was computed */
    uint8_t in;      /* 1: the new version */
    uint8_t reason;  /* enum gray_reason */
    uint8_t variant; /* number within the release */
    uint8_t admit;   /* 1: an IN that a cookie should record */
    uint8_t record;  /* what a mark should record of the unit, GRAY_MARK_IN or
                        GRAY_MARK_OUT; 0: nothing, or it stands already */
    uint8_t stage;   /* number within the release; GRAY_STAGE_NONE */
    uint8_t hold;    /* 1: neither version may serve (onUnknown: refuse) */
    uint8_t pending; /* 1: a mark is not durable yet; wait, and decide again */
};
#define GRAY_STAGE_NONE 255u
/* A mark that is to be made before the answer is given: gray_admit() of
 * runtime/marks.h makes it. */
struct gray_record {
    uint32_t release;
    uint8_t state; /* GRAY_MARK_IN, GRAY_MARK_OUT */
    uint8_t variant, stage, space;
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
    uint8_t hold;        /* 1: a release asks that the request be refused:
                            `reason` and `release` say which */
    uint8_t pending;     /* 1: a mark is not durable yet */
    uint8_t record_count; /* a policy has at most GRAY_ARMS_MAX `entity`
                             releases an entrance, so none is left out */
    struct gray_verdict arms[GRAY_ARMS_MAX]; /* admitted, by priority */
    struct gray_record records[GRAY_ARMS_MAX];
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

#endif
