/* SPDX-License-Identifier: Apache-2.0
 * decide.c - the colour of a request: its lane, and the arms it is in.
 *
 * Why: one request may meet many releases.  What it was told at an earlier
 * hop is kept (else a chain would answer with two tongues), what this
 * entrance asks for is decided here, and only admitted arms travel, so that a
 * request that is in nothing stays as it came.
 * Read next: release.c (one release), choose.c (what a colour leads to).
 */
#include <string.h>

#include "engine/program.h"
#include "engine/release.h"
#include "engine/view.h"

/* Keeps the arms sorted by release number, which is descending priority, and
 * the ones of highest priority when there are too many. */
static void insert_arm(struct gray_colour *colour,
                       const struct gray_verdict *verdict)
{
    uint32_t at = colour->arm_count;
    if (at == 0) {
        colour->arms[0] = *verdict;
        colour->arm_count = 1;
        return;
    }
    while (at > 0 && colour->arms[at - 1].release > verdict->release) {
        at--;
    }
    if (at == GRAY_ARMS_MAX) {
        return;
    }
    uint32_t last = colour->arm_count;
    if (last == GRAY_ARMS_MAX) {
        last--;
    } else {
        colour->arm_count++;
    }
    if (last > at) {
        memmove(&colour->arms[at + 1], &colour->arms[at],
                (last - at) * sizeof(colour->arms[0]));
    }
    colour->arms[at] = *verdict;
}

/* What was refused, for the case that nothing else gives a reason: the
 * refusal of the highest priority. */
static void note_refusal(struct gray_verdict *refusal,
                         const struct gray_verdict *verdict)
{
    if (refusal->release == GRAY_NONE || verdict->release < refusal->release) {
        *refusal = *verdict;
    }
}

static void give_reason(struct gray_colour *colour,
                        const struct gray_verdict *from)
{
    colour->reason = from->reason;
    colour->rule = from->rule;
    colour->bucket = from->bucket;
    colour->release = from->release;
}

static inline bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* "cart-2" or "pay-7:b", blanks around it as gray_arms_write() has them; false
 * when this policy has no such arm. */
static bool read_arm(const struct gray_snapshot *s, struct gray_str text,
                     uint32_t *ret_release, uint8_t *ret_variant)
{
    while (text.length > 0 && is_blank(text.data[0])) {
        text.data++;
        text.length--;
    }
    while (text.length > 0 && is_blank(text.data[text.length - 1])) {
        text.length--;
    }
    struct gray_str name = text, variant = { NULL, 0 };
    const char *colon = memchr(text.data, ':', text.length);
    if (colon != NULL) {
        name.length = (uint32_t)(colon - text.data);
        variant = (struct gray_str){ colon + 1, text.length - name.length - 1 };
    }
    uint32_t number = gray_find_release(s, name);
    const struct gray_release *release =
        VIEW_AT(s, releases, gray_release, number);
    if (release == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < release->variants.count; i++) {
        const struct gray_variant *own = VIEW_AT(s, variants, gray_variant,
                                                 release->variants.first + i);
        if (own != NULL && same_bytes(view_text(s, own->name), variant)) {
            *ret_release = number;
            *ret_variant = (uint8_t)i;
            return true;
        }
    }
    return false;
}

static bool carries(const struct gray_colour *colour, uint32_t release)
{
    for (uint32_t i = 0; i < colour->arm_count; i++) {
        if (colour->arms[i].release == release) {
            return true;
        }
    }
    return false;
}

/* The arms that came in are obeyed, but for those of a stopped release. */
static void carry_arms(const struct gray_view *view,
                       const struct gray_input *in, struct gray_colour *colour,
                       struct gray_verdict *refusal, struct gray_trace *trace)
{
    const char *at = in->arms.data, *end = at + in->arms.length;
    while (at < end) {
        const char *stop = memchr(at, ',', (size_t)(end - at));
        if (stop == NULL) {
            stop = end;
        }
        struct gray_verdict verdict = { .release = GRAY_NONE,
                                        .rule = GRAY_NONE,
                                        .bucket = GRAY_NONE,
                                        .reason = GRAY_REASON_COLOUR,
                                        .stage = GRAY_STAGE_NONE,
                                        .in = 1 };
        struct gray_str text = { at, (uint32_t)(stop - at) };
        at = stop + 1;
        if (!read_arm(view->policy, text, &verdict.release,
                      &verdict.variant) ||
            carries(colour, verdict.release)) {
            continue;
        }
        enum gray_word word = gray_release_word(
            view,
            VIEW_AT(view->policy, releases, gray_release, verdict.release));
        if (word == GRAY_WORD_BASELINE || word == GRAY_WORD_KILLED) {
            verdict.in = 0;
            verdict.variant = 0;
            verdict.reason = gray_release_word_reason(word);
            note_refusal(refusal, &verdict);
            colour->fresh = 1;
        } else {
            insert_arm(colour, &verdict);
        }
        trace_verdict(trace, &verdict);
    }
}

/* ---- what is to be recorded ------------------------------------------------ */

static bool add_record(const struct gray_snapshot *s,
                       struct gray_colour *colour,
                       const struct gray_verdict *verdict)
{
    const struct gray_release *release =
        VIEW_AT(s, releases, gray_release, verdict->release);
    const struct gray_stage *stage =
        release == NULL || verdict->stage >= release->stages.count
            ? NULL
            : VIEW_AT(s, stages, gray_stage,
                      release->stages.first + verdict->stage);
    if (colour->record_count == GRAY_ARMS_MAX) {
        return false;
    }
    colour->records[colour->record_count++] = (struct gray_record){
        .release = verdict->release,
        .state = verdict->record,
        .variant = verdict->variant,
        .stage = verdict->stage,
        .space = stage == NULL ? 0 : stage->space,
    };
    return true;
}

static bool is_entity(const struct gray_snapshot *s, uint32_t release)
{
    const struct gray_release *record =
        VIEW_AT(s, releases, gray_release, release);
    return record != NULL && record->stickiness == GRAY_STICKY_ENTITY;
}

/* The arms that are new.  One request makes at most GRAY_ARMS_MAX marks,
 * entities first: an arm whose mark finds no room is left to the next
 * request, for whoever is let in unrecorded may fall out again. */
static __attribute__((noinline)) void
record_arms(const struct gray_snapshot *s, struct gray_colour *colour)
{
    for (int entity = 1; entity >= 0; entity--) {
        uint32_t kept = 0;
        for (uint32_t i = 0; i < colour->arm_count; i++) {
            const struct gray_verdict *arm = &colour->arms[i];
            if (arm->record != GRAY_MARK_IN ||
                is_entity(s, arm->release) != (entity == 1) ||
                add_record(s, colour, arm)) {
                colour->arms[kept++] = *arm;
            }
        }
        colour->arm_count = (uint8_t)kept;
    }
}

/* ---- arms ------------------------------------------------------------------- */

/* A refusal that asks for more than a reason. */
static void heed_refusal(const struct gray_snapshot *s,
                         struct gray_colour *colour,
                         const struct gray_verdict *verdict)
{
    colour->pending |= verdict->pending;
    if (verdict->record != 0) {
        add_record(s, colour, verdict);
    }
    if (verdict->hold && !colour->hold) { /* by priority: the first one */
        colour->hold = 1;
        give_reason(colour, verdict);
    }
}

/* The releases of this entrance that the request is not in yet. */
static inline void decide_arms(struct decision *d,
                               const struct gray_entrance *entrance,
                               struct gray_colour *colour,
                               struct gray_verdict *refusal)
{
    const uint32_t *releases =
        VIEW_NUMBERS(d->run.policy, entrance_releases, entrance->releases);
    if (releases == NULL) {
        return;
    }
    uint32_t recorded = 0;
    for (uint32_t i = 0; i < entrance->releases.count; i++) {
        struct gray_verdict verdict;
        if (colour->arm_count != 0 && carries(colour, releases[i])) {
            continue;
        }
        release_decide(d, releases[i], &verdict);
        if (verdict.in) {
            insert_arm(colour, &verdict);
            colour->fresh = 1;
            recorded |= verdict.record;
        } else {
            note_refusal(refusal, &verdict);
            if (verdict.record | verdict.hold | verdict.pending) {
                heed_refusal(d->run.policy, colour, &verdict);
            }
        }
    }
    if (recorded != 0) {
        record_arms(d->run.policy, colour);
    }
}

/* SEMANTICS 7: the colour that came in, else the first rule of the entrance,
 * else the lane of the own instance. */
static inline void decide_lane(struct decision *d,
                               const struct gray_entrance *entrance,
                               struct gray_colour *colour)
{
    const struct gray_snapshot *s = d->run.policy;
    const struct gray_input *in = d->in;
    if (in->lane.length != 0) {
        colour->lane = gray_find_lane(s, in->lane);
        colour->lane_reason = GRAY_REASON_COLOUR;
        return;
    }
    if (entrance != NULL && entrance->lane_rules != GRAY_NONE) {
        uint32_t number = ruleset_first(&d->run, entrance->lane_rules);
        const struct gray_rule *rule = VIEW_AT(s, rules, gray_rule, number);
        if (rule != NULL && rule->action < s->policy->lanes.count) {
            colour->lane = rule->action;
            colour->lane_rule = number;
            colour->lane_reason = GRAY_REASON_LANE_RULE;
            colour->fresh = 1;
            return;
        }
    }
    if (in->own_lane.length != 0) {
        colour->lane = gray_find_lane(s, in->own_lane);
        if (colour->lane != GRAY_NONE) {
            colour->lane_reason = GRAY_REASON_LANE_LABEL;
            colour->fresh = 1;
        }
    }
}

static void begin_colour(struct gray_colour *colour,
                         const struct gray_input *in)
{
    colour->lane_reason = GRAY_REASON_NONE;
    colour->arm_count = 0;
    colour->reason = GRAY_REASON_NONE;
    colour->fresh = 0;
    colour->hold = colour->pending = colour->record_count = 0;
    colour->lane = GRAY_NONE;
    colour->lane_rule = GRAY_NONE;
    colour->rule = GRAY_NONE;
    colour->bucket = GRAY_NONE;
    colour->release = GRAY_NONE;
    colour->traffic_class = in->traffic_class;
}

void gray_decide(const struct gray_view *view, uint32_t entrance,
                 struct gray_input *in, gray_mark_fn marks,
                 void *marks_context, struct gray_colour *ret_colour,
                 struct gray_trace *trace)
{
    struct gray_verdict refusal = { .release = GRAY_NONE,
                                    .rule = GRAY_NONE,
                                    .bucket = GRAY_NONE };
    struct decision d;
    const struct gray_entrance *own =
        VIEW_AT(view->policy, entrances, gray_entrance, entrance);
    begin_colour(ret_colour, in);
    if (__builtin_expect(in->overflow, 0)) {
        ret_colour->reason = GRAY_REASON_INPUT_TOO_LARGE;
        ret_colour->fresh = in->lane.length != 0 || in->arms.length != 0;
        return;
    }
    release_begin(&d, view, in, marks, marks_context, trace);
    decide_lane(&d, own, ret_colour);
    if (in->arms.length != 0) {
        carry_arms(view, in, ret_colour, &refusal, trace);
    }
    if (own != NULL) {
        decide_arms(&d, own, ret_colour, &refusal);
    }
    if (ret_colour->hold) {
        return; /* it has said why */
    }
    if (ret_colour->arm_count != 0) {
        give_reason(ret_colour, &ret_colour->arms[0]);
    } else if (ret_colour->lane_reason != GRAY_REASON_NONE) {
        ret_colour->reason = ret_colour->lane_reason;
        ret_colour->rule = ret_colour->lane_rule;
    } else if (refusal.release != GRAY_NONE) {
        give_reason(ret_colour, &refusal);
    }
}
