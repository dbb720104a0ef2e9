/* SPDX-License-Identifier: Apache-2.0
 * release.c - one release, one unit: in or out, and why.
 *
 * Why: the order of SEMANTICS 2 is data, so that a release may change it: a
 * list of steps of which the first that has an answer gives it.  The scope
 * word stands above them all.  What is not known never admits.
 *
 *   word -> [deny] [allow] [mark] [rules] [evidence] -> the last refusal
 *
 * Read next: mark.c, program.c, ruleset.c.
 */
#include "engine/hash.h"
#include "engine/program.h"
#include "engine/release.h"
#include "engine/view.h"

enum gray_word gray_release_word(const struct gray_view *view,
                                 const struct gray_release *release)
{
    if (view->words == NULL) {
        return GRAY_WORD_OPEN;
    }
    if (release == NULL || release->word >= view->word_count) {
        return GRAY_WORD_NO_ADMIT;
    }
    const struct gray_scope_word *word = &view->words[release->word];
    if (__atomic_load_n(&word->scope, __ATOMIC_RELAXED) != release->scope) {
        return GRAY_WORD_NO_ADMIT;
    }
    return (enum gray_word)(__atomic_load_n(&word->word, __ATOMIC_RELAXED) &
                            GRAY_WORD_MASK);
}

enum gray_reason gray_release_word_reason(enum gray_word word)
{
    switch (word) {
    case GRAY_WORD_OPEN:
        break;
    case GRAY_WORD_NO_ADMIT:
        return GRAY_REASON_NO_ADMIT;
    case GRAY_WORD_BASELINE:
        return GRAY_REASON_STOPPED;
    case GRAY_WORD_KILLED:
        return GRAY_REASON_KILLED;
    }
    return GRAY_REASON_NONE;
}

/* The unit in the request itself; *ret_issued: none, so the issued id. */
static inline struct gray_str find_unit(const struct gray_release *release,
                                 const struct gray_input *in, bool *ret_issued)
{
    *ret_issued = false;
    for (uint32_t i = 0; i < GRAY_UNIT_SLOTS; i++) {
        uint32_t slot = release->unit_slots[i];
        if (slot == GRAY_NONE) {
            break;
        }
        for (uint32_t k = view_first(in, slot); k < GRAY_VALUES_MAX;
             k = view_next(in, k)) {
            const struct gray_value *value = &in->values[k];
            if (value->length != 0 && value->length <= GRAY_VALUE_MAX) {
                return (struct gray_str){ value->data, value->length };
            }
        }
    }
    if (release->anonymous == GRAY_ANONYMOUS_COOKIE &&
        in->anonymous.length != 0 && in->anonymous.length <= GRAY_VALUE_MAX) {
        *ret_issued = true;
        return in->anonymous;
    }
    return (struct gray_str){ NULL, 0 };
}

struct gray_str gray_unit(const struct gray_view *view, uint32_t release,
                          const struct gray_input *in)
{
    const struct gray_release *record =
        VIEW_AT(view->policy, releases, gray_release, release);
    bool issued;
    if (record == NULL) {
        return (struct gray_str){ NULL, 0 };
    }
    return find_unit(record, in, &issued);
}

static uint8_t pick_variant(const struct decision *d)
{
    const struct gray_snapshot *s = d->run.policy;
    struct gray_span span = d->release->variants;
    if (span.count <= 1) {
        return 0;
    }
    uint32_t bucket =
        d->run.unit.length != 0
            ? hash_variant_bucket(view_text(s, d->release->salt), d->run.unit)
            : hash_draw(d->in->random, d->release->scope, 1);
    for (uint32_t i = 0; i + 1 < span.count; i++) {
        const struct gray_variant *variant =
            VIEW_AT(s, variants, gray_variant, span.first + i);
        if (variant != NULL && bucket < variant->upto) {
            return (uint8_t)i;
        }
    }
    return (uint8_t)(span.count - 1);
}

/* The unit is in. True: the step has answered.  `admit`: as of now, so a
 * cookie and a mark should say so; a variant that was told stays. */
static bool let_in(struct decision *d, enum gray_reason reason, uint32_t rule,
                   bool admit)
{
    d->verdict->in = 1;
    d->verdict->reason = (uint8_t)reason;
    d->verdict->rule = rule;
    d->verdict->variant = d->is.mark.state == GRAY_MARK_IN &&
                                  d->is.mark.variant < d->release->variants.count
                              ? d->is.mark.variant
                              : pick_variant(d);
    d->verdict->admit = admit && d->decides && d->run.unit.length != 0 &&
                        d->release->stickiness != GRAY_STICKY_NONE &&
                        d->in->traffic_class == GRAY_CLASS_LIVE;
    if (admit && d->is.refuse == GRAY_REASON_NONE &&
        mark_may_record(d, GRAY_MARK_IN)) {
        d->verdict->record = GRAY_MARK_IN;
    }
    return true;
}

/* The unit is out, and no later step is asked. */
static bool keep_out(struct decision *d, enum gray_reason reason, uint32_t rule)
{
    d->verdict->in = 0;
    d->verdict->reason = (uint8_t)reason;
    d->verdict->rule = rule;
    return true;
}

/* The unit is out as far as this step knows.  That it would have come in but
 * for a freeze says more than what a later step finds. */
static bool pass_on(struct decision *d, enum gray_reason reason, uint32_t rule)
{
    if (d->is.refuse == GRAY_REASON_NONE || d->verdict->reason != d->is.refuse) {
        keep_out(d, reason, rule);
    }
    return false;
}

/* Somebody new: wherever the order has the mark, it is looked at before. */
static inline bool come_in(struct decision *d, enum gray_reason reason,
                           uint32_t rule, bool admit)
{
    mark_look(d);
    if (d->is.mark.state > GRAY_MARK_REVOKED && !mark_heed(d)) {
        return false;
    }
    if (d->is.refuse != GRAY_REASON_NONE) {
        return pass_on(d, (enum gray_reason)d->is.refuse, rule);
    }
    return let_in(d, reason, rule, admit);
}

static bool step_deny(struct decision *d)
{
    uint32_t rule = ruleset_first(&d->run, d->release->deny);
    if (rule == GRAY_NONE) {
        return false;
    }
    return keep_out(d, GRAY_REASON_DENY, rule);
}

static bool step_allow(struct decision *d)
{
    uint32_t number = ruleset_first(&d->run, d->release->allow);
    const struct gray_rule *rule =
        VIEW_AT(d->run.policy, rules, gray_rule, number);
    if (rule == NULL) {
        return false;
    }
    return come_in(d, GRAY_REASON_ALLOW, number,
                   (rule->flags & GRAY_RULE_WRITES) != 0);
}

/* No mark, at a stage that makes none: whoever is not in stays out. */
static bool missing(struct decision *d)
{
    if (d->decides) {
        return false;
    }
    pass_on(d, d->run.unit.length != 0 ? GRAY_REASON_MARK_MISSING
                                       : GRAY_REASON_NO_UNIT,
            GRAY_NONE);
    d->left &= 1u << GRAY_STEP_EVIDENCE;
    return d->release->stickiness == GRAY_STICKY_ENTITY;
}

/* What was recorded stays true, variant included. */
static bool step_mark(struct decision *d)
{
    bool alias;
    mark_look(d);
    if (!mark_heed(d)) {
        return (d->left >> GRAY_STEP_EVIDENCE & 1) == 0;
    }
    alias = d->is.alias.length != 0;
    switch (d->is.mark.state) {
    case GRAY_MARK_IN:
        return let_in(d, alias ? GRAY_REASON_ALIAS : GRAY_REASON_MARK,
                      GRAY_NONE, alias);
    case GRAY_MARK_OUT:
        if (d->release->stickiness != GRAY_STICKY_ENTITY) {
            return missing(d); /* asked again as the share grows */
        }
        if (alias && mark_may_record(d, GRAY_MARK_OUT)) {
            d->verdict->record = GRAY_MARK_OUT;
        }
        return keep_out(d, alias ? GRAY_REASON_ALIAS : GRAY_REASON_MARK_OUT,
                        GRAY_NONE);
    case GRAY_MARK_REVOKED:
        if (d->is.mark.attempt < d->release->attempt) {
            return missing(d); /* a new attempt may admit it again */
        }
        return keep_out(d, GRAY_REASON_REVOKED, GRAY_NONE);
    default:
        return missing(d);
    }
}

/* A signed cookie that shows an earlier IN; what stands there is kept in a
 * mark as well, if nothing is in the way. */
static bool step_evidence(struct decision *d, enum gray_mark_state *ret_state)
{
    struct gray_mark mark;
    bool alias;
    bool proven = mark_evidence(d, &mark, &alias);
    *ret_state = (enum gray_mark_state)mark.state;
    if (!proven) {
        return false;
    }
    mark_look(d); /* where the order asks for it later */
    let_in(d, GRAY_REASON_COOKIE, GRAY_NONE, alias);
    if (mark.variant < d->release->variants.count) {
        d->verdict->variant = mark.variant;
    }
    if (d->is.refuse == GRAY_REASON_NONE && mark_may_record(d, GRAY_MARK_IN)) {
        d->verdict->record = GRAY_MARK_IN;
    }
    return true;
}

/* The share, and the hold-back at the other end of the bucket line. */
static bool step_share(struct decision *d, uint32_t rule)
{
    const struct gray_release *release = d->release;
    bool drawn = d->run.unit.length == 0;
    uint32_t bucket;
    if (!drawn) {
        bucket = hash_salted_bucket(release->salt_hash, release->salt_rest,
                                    release->salt.length, d->run.unit);
    } else if (release->anonymous == GRAY_ANONYMOUS_RANDOM) {
        bucket = hash_draw(d->in->random, release->scope, 0);
    } else {
        return pass_on(d, GRAY_REASON_NO_UNIT, GRAY_NONE);
    }
    d->verdict->bucket = bucket;
    if (bucket >= d->share) {
        return pass_on(d,
                       bucket >= GRAY_SHARE_ALL - release->holdback
                           ? GRAY_REASON_HOLDBACK
                           : GRAY_REASON_OUT_OF_SHARE,
                       GRAY_NONE);
    }
    return come_in(d, drawn ? GRAY_REASON_RANDOM : GRAY_REASON_SHARE, rule,
                   true);
}

static bool step_rules(struct decision *d)
{
    const struct gray_release *release = d->release;
    uint32_t rule = GRAY_NONE;
    if (release->require_count != 0 &&
        !program_holds(&d->run, release->require_insn,
                       release->require_count)) {
        return pass_on(d, GRAY_REASON_REQUIRE, GRAY_NONE);
    }
    if (release->match != GRAY_NONE) {
        rule = ruleset_first(&d->run, release->match);
        if (rule == GRAY_NONE) {
            return pass_on(d, GRAY_REASON_NO_MATCH, GRAY_NONE);
        }
    }
    return step_share(d, rule);
}

/* Bit `step` of every step that has anything to ask.  Most releases have few
 * of them. */
static inline uint32_t busy_steps(const struct decision *d)
{
    uint32_t marks = 1u << GRAY_STEP_MARK |
                     (uint32_t)!d->in->unproven << GRAY_STEP_EVIDENCE;
    return (d->decides ? 1u << GRAY_STEP_RULES : 1u << GRAY_STEP_MARK) |
           (d->marked ? marks : 0) |
           (uint32_t)(d->release->deny != GRAY_NONE) << GRAY_STEP_DENY |
           (uint32_t)(d->release->allow != GRAY_NONE) << GRAY_STEP_ALLOW;
}

/* Whether somebody could have been asked for a mark must not show in a trace:
 * the line is the same everywhere. */
static bool worth_a_line(enum gray_step step, enum gray_mark_state state)
{
    return state != GRAY_MARK_ABSENT ||
           (step != GRAY_STEP_MARK && step != GRAY_STEP_EVIDENCE);
}

/* One step; true when it has answered for good. */
static __attribute__((noinline)) bool
take_step(struct decision *d, enum gray_step step)
{
    enum gray_mark_state state = GRAY_MARK_ABSENT;
    bool answered = false;
    d->run.step = (uint8_t)step;
    switch (step) {
    case GRAY_STEP_DENY:
        answered = step_deny(d);
        break;
    case GRAY_STEP_ALLOW:
        answered = step_allow(d);
        break;
    case GRAY_STEP_MARK:
        answered = step_mark(d);
        state = (enum gray_mark_state)d->is.mark.state;
        break;
    case GRAY_STEP_RULES:
        answered = step_rules(d);
        break;
    case GRAY_STEP_EVIDENCE:
        answered = step_evidence(d, &state);
        break;
    default:
        return false;
    }
    if (d->run.trace != NULL && worth_a_line(step, state)) {
        bool alias = step == GRAY_STEP_MARK && d->is.alias.length != 0;
        trace_step(d->run.trace, d->verdict->release, d->verdict->rule, step,
                   answered, alias ? state | GRAY_TRACE_ALIAS : state,
                   alias ? d->is.alias : d->run.unit);
    }
    return answered;
}

static inline void take_steps(struct decision *d)
{
    uint32_t busy = busy_steps(d), step;
    /* One byte a step; what ends them is zero, as is what lies beyond. */
    uint64_t order = view_load8((const char *)d->release->order);
    for (; (step = order & 0xff) != GRAY_STEP_END; order >>= 8) {
        if ((busy >> (step & 31) & 1) == 0) {
            continue;
        }
        /* Most have these alone: without a call. */
        if (d->run.trace != NULL          ? take_step(d, (enum gray_step)step)
            : step == GRAY_STEP_RULES     ? step_rules(d)
            : step == GRAY_STEP_MARK      ? step_mark(d)
                                          : take_step(d, (enum gray_step)step)) {
            return;
        }
        busy &= d->left;
    }
}

static inline void decide(struct decision *d)
{
    enum gray_word word = gray_release_word(d->run.view, d->release);
    if (word == GRAY_WORD_KILLED || word == GRAY_WORD_BASELINE) {
        keep_out(d, gray_release_word_reason(word), GRAY_NONE);
        if (d->release->stickiness == GRAY_STICKY_ENTITY && !d->in->overflow) {
            mark_overridden(d);
        }
        return;
    }
    if (d->in->overflow) {
        keep_out(d, GRAY_REASON_INPUT_TOO_LARGE, GRAY_NONE);
        return;
    }
    d->is.refuse = (uint8_t)gray_release_word_reason(word);
    if (d->in->traffic_class == GRAY_CLASS_LOAD) {
        /* Nothing is recorded, yet the new version does the work: a frozen
         * release takes no load either. */
        if (d->is.refuse != GRAY_REASON_NONE) {
            keep_out(d, GRAY_REASON_NO_ADMIT, GRAY_NONE);
        } else {
            let_in(d, GRAY_REASON_LOAD, GRAY_NONE, false);
        }
        return;
    }
    if (__builtin_expect(d->release->stages.count != 0, 0)) {
        mark_stage(d);
    }
    take_steps(d);
    if (d->release->stickiness == GRAY_STICKY_ENTITY && !d->verdict->in) {
        mark_refused(d);
    }
}

void release_decide(struct decision *d, uint32_t release,
                    struct gray_verdict *ret_verdict)
{
    bool issued;
    *ret_verdict = (struct gray_verdict){ .release = release,
                                          .rule = GRAY_NONE,
                                          .bucket = GRAY_NONE,
                                          .stage = GRAY_STAGE_NONE,
                                          .reason = GRAY_REASON_ORDER_END };
    d->release = VIEW_AT(d->run.policy, releases, gray_release, release);
    if (d->release == NULL) {
        ret_verdict->reason = GRAY_REASON_NONE;
        return;
    }
    d->verdict = ret_verdict;
    d->share = d->release->share;
    d->left = UINT8_MAX;
    d->decides = true;
    d->is = (struct known){ 0 };
    d->run.release = release;
    d->run.unit = find_unit(d->release, d->in, &issued);
    if (issued) {
        d->in->anonymous_used = true;
    }
    d->marked = d->marks != NULL && d->run.unit.length != 0 &&
                d->release->stickiness != GRAY_STICKY_NONE;
    decide(d);
    if (d->run.trace != NULL) {
        trace_verdict(d->run.trace, ret_verdict);
    }
}

void gray_decide_release(const struct gray_view *view, uint32_t release,
                         struct gray_input *in, gray_mark_fn marks,
                         void *marks_context, struct gray_verdict *ret_verdict,
                         struct gray_trace *trace)
{
    struct decision d;
    release_begin(&d, view, in, marks, marks_context, trace);
    release_decide(&d, release, ret_verdict);
}
