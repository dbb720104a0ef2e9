/* SPDX-License-Identifier: Apache-2.0
 * release.c - one release, one unit: in or out, and why.
 *
 * Why: the order of SEMANTICS 2 is data, so that a release may change it: a
 * list of steps of which the first that has an answer gives it.  The scope
 * word stands above them all.  What is not known never admits.
 *
 *   word -> [deny] [allow] [mark] [rules] [evidence] -> the last refusal
 *
 * Read next: program.c, ruleset.c.
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

/* The unit is in. True: the step has answered. */
static bool let_in(struct decision *d, enum gray_reason reason, uint32_t rule,
                   bool admit)
{
    d->verdict->in = 1;
    d->verdict->reason = (uint8_t)reason;
    d->verdict->rule = rule;
    d->verdict->variant = pick_variant(d);
    d->verdict->admit = admit && d->run.unit.length != 0 &&
                        d->release->stickiness != GRAY_STICKY_NONE &&
                        d->in->traffic_class == GRAY_CLASS_LIVE;
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
    if (d->verdict->reason != GRAY_REASON_NO_ADMIT) {
        keep_out(d, reason, rule);
    }
    return false;
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
    if (d->no_admit) {
        return pass_on(d, GRAY_REASON_NO_ADMIT, number);
    }
    return let_in(d, GRAY_REASON_ALLOW, number,
                  (rule->flags & GRAY_RULE_WRITES) != 0);
}

static struct gray_mark ask_mark(const struct decision *d, enum gray_step step)
{
    struct gray_mark_query query = { .release = d->verdict->release,
                                     .unit = d->run.unit,
                                     .step = (uint8_t)step };
    return d->marks(d->marks_context, &query);
}

/* What was recorded stays true, variant included. */
static bool stay_in(struct decision *d, enum gray_reason reason,
                    const struct gray_mark *mark)
{
    let_in(d, reason, GRAY_NONE, false);
    if (mark->variant < d->release->variants.count) {
        d->verdict->variant = mark->variant;
    }
    return true;
}

/* UNKNOWN leaves one way in: a signed cookie that shows an earlier IN. */
static bool step_mark(struct decision *d, enum gray_mark_state *ret_state)
{
    struct gray_mark mark = ask_mark(d, GRAY_STEP_MARK);
    *ret_state = (enum gray_mark_state)mark.state;
    switch (mark.state) {
    case GRAY_MARK_ABSENT:
        return false;
    case GRAY_MARK_IN:
        return stay_in(d, GRAY_REASON_MARK, &mark);
    case GRAY_MARK_OUT:
        if (d->release->stickiness != GRAY_STICKY_ENTITY) {
            return false; /* a miss is asked again as the share grows */
        }
        return keep_out(d, GRAY_REASON_MARK_OUT, GRAY_NONE);
    case GRAY_MARK_REVOKED:
        if (mark.attempt < d->release->attempt) {
            return false; /* a new attempt may admit it again */
        }
        return keep_out(d, GRAY_REASON_REVOKED, GRAY_NONE);
    case GRAY_MARK_UNKNOWN:
        d->unknown = true;
        keep_out(d, GRAY_REASON_MARK_UNKNOWN, GRAY_NONE);
        return false;
    default: /* HOLD, and what nobody knows */
        return keep_out(d, GRAY_REASON_MARK_UNKNOWN, GRAY_NONE);
    }
}

/* An earlier attempt's cookie proves nothing: its units were revoked. */
static bool step_evidence(struct decision *d, enum gray_mark_state *ret_state)
{
    struct gray_mark mark = ask_mark(d, GRAY_STEP_EVIDENCE);
    *ret_state = (enum gray_mark_state)mark.state;
    if (mark.state != GRAY_MARK_IN || mark.attempt < d->release->attempt) {
        return false;
    }
    return stay_in(d, GRAY_REASON_COOKIE, &mark);
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
    if (bucket >= release->share) {
        return pass_on(d,
                       bucket >= GRAY_SHARE_ALL - release->holdback
                           ? GRAY_REASON_HOLDBACK
                           : GRAY_REASON_OUT_OF_SHARE,
                       GRAY_NONE);
    }
    if (d->no_admit) {
        return pass_on(d, GRAY_REASON_NO_ADMIT, GRAY_NONE);
    }
    return let_in(d, drawn ? GRAY_REASON_RANDOM : GRAY_REASON_SHARE, rule,
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
    const uint32_t marks = 1u << GRAY_STEP_MARK | 1u << GRAY_STEP_EVIDENCE;
    bool marked = d->marks != NULL && d->run.unit.length != 0 &&
                  d->release->stickiness != GRAY_STICKY_NONE;
    return 1u << GRAY_STEP_RULES | (marked ? marks : 0) |
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
        answered = step_mark(d, &state);
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
        trace_step(d->run.trace, d->verdict->release, d->verdict->rule, step,
                   answered, state, d->run.unit);
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
        if (step == GRAY_STEP_RULES && d->run.trace == NULL
                ? step_rules(d)
                : take_step(d, (enum gray_step)step)) {
            return;
        }
        if (d->unknown) {
            busy &= 1u << GRAY_STEP_EVIDENCE;
        }
    }
}

static inline void decide(struct decision *d)
{
    enum gray_word word = gray_release_word(d->run.view, d->release);
    if (word == GRAY_WORD_KILLED || word == GRAY_WORD_BASELINE) {
        keep_out(d, gray_release_word_reason(word), GRAY_NONE);
        return;
    }
    if (d->in->overflow) {
        keep_out(d, GRAY_REASON_INPUT_TOO_LARGE, GRAY_NONE);
        return;
    }
    d->no_admit = word != GRAY_WORD_OPEN;
    if (d->in->traffic_class == GRAY_CLASS_LOAD) {
        /* Nothing is recorded, yet the new version does the work: a frozen
         * release takes no load either. */
        if (d->no_admit) {
            keep_out(d, GRAY_REASON_NO_ADMIT, GRAY_NONE);
        } else {
            let_in(d, GRAY_REASON_LOAD, GRAY_NONE, false);
        }
        return;
    }
    take_steps(d);
}

void release_decide(struct decision *d, uint32_t release,
                    struct gray_verdict *ret_verdict)
{
    bool issued;
    *ret_verdict = (struct gray_verdict){ .release = release,
                                          .rule = GRAY_NONE,
                                          .bucket = GRAY_NONE,
                                          .reason = GRAY_REASON_ORDER_END };
    d->release = VIEW_AT(d->run.policy, releases, gray_release, release);
    if (d->release == NULL) {
        ret_verdict->reason = GRAY_REASON_NONE;
        return;
    }
    d->verdict = ret_verdict;
    d->no_admit = false;
    d->unknown = false;
    d->run.release = release;
    d->run.unit = find_unit(d->release, d->in, &issued);
    if (issued) {
        d->in->anonymous_used = true;
    }
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
