/* SPDX-License-Identifier: Apache-2.0
 * mark.c - what a release was told of a unit, and what it will be told.
 *
 * Why: a mark stands above what rules say now (P1), but only a stage that
 * writes may make one (P2), and what is not known must neither admit nor
 * record: half of a pair written by each version is the fault that gray
 * releases are feared for.  All of that is decided here, pure; the table is
 * somebody else's.
 *
 *   stage -> mark of the unit -> of its earlier name -> heed -> record
 *
 * Read next: release.c (who asks), ../docs/marks.md, ../runtime/admit.h.
 */
#include "engine/release.h"
#include "engine/view.h"

/* ---- stages ---------------------------------------------------------------- */

static uint32_t stage_named(const struct decision *d, struct gray_str name)
{
    struct gray_span span = d->release->stages;
    for (uint32_t i = 0; i < span.count; i++) {
        const struct gray_stage *stage =
            VIEW_AT(d->run.policy, stages, gray_stage, span.first + i);
        if (stage != NULL &&
            same_bytes(view_text(d->run.policy, stage->name), name)) {
            return i;
        }
    }
    return GRAY_NONE;
}

/* A request of no stage, or of one that nobody declared, only reads. */
void mark_stage(struct decision *d)
{
    uint32_t number = GRAY_NONE;
    d->decides = false;
    if (d->in->stage.length != 0) {
        number = stage_named(d, d->in->stage);
    } else {
        d->run.step = GRAY_STEP_END;
        const struct gray_rule *rule =
            VIEW_AT(d->run.policy, rules, gray_rule,
                    ruleset_first(&d->run, d->release->stage_rules));
        number = rule == NULL ? GRAY_NONE : rule->action;
    }
    if (number >= d->release->stages.count) {
        return;
    }
    d->is.stage = VIEW_AT(d->run.policy, stages, gray_stage,
                       d->release->stages.first + number);
    if (d->is.stage != NULL) {
        d->verdict->stage = (uint8_t)number;
        d->share = d->is.stage->share;
        d->decides = d->is.stage->writes ||
                     d->is.stage->on_missing == GRAY_MISSING_BACKFILL;
    }
}

/* ---- looking --------------------------------------------------------------- */

static struct gray_mark ask(const struct decision *d, enum gray_step step,
                            struct gray_str unit, bool alias)
{
    struct gray_mark_query query = {
        .release = d->verdict->release,
        .unit = unit,
        .step = (uint8_t)step,
        .space = d->is.stage == NULL ? 0 : d->is.stage->space,
        .alias = alias,
    };
    return d->marks(d->marks_context, &query);
}

/* The name that the unit had before this request knew it; length 0: none. */
static struct gray_str earlier_name(const struct decision *d)
{
    const struct gray_release *release = d->release;
    const struct gray_str none = { NULL, 0 };
    struct gray_str name = none;
    for (uint32_t k = release->alias_slot == GRAY_NONE
                          ? GRAY_VALUES_MAX
                          : view_first(d->in, release->alias_slot);
         k < GRAY_VALUES_MAX && name.length == 0; k = view_next(d->in, k)) {
        const struct gray_value *value = &d->in->values[k];
        if (value->length <= GRAY_VALUE_MAX) {
            name = (struct gray_str){ value->data, value->length };
        }
    }
    if (name.length == 0 && release->anonymous == GRAY_ANONYMOUS_COOKIE &&
        d->in->anonymous.length <= GRAY_VALUE_MAX) {
        name = d->in->anonymous;
    }
    return name.length == 0 || same_bytes(name, d->run.unit) ? none : name;
}

/* Nothing is known of the unit: is anything of the name that it had? */
static __attribute__((noinline)) void look_behind(struct decision *d)
{
    struct gray_str name = earlier_name(d);
    if (name.length == 0) {
        return;
    }
    struct gray_mark mark = ask(d, GRAY_STEP_MARK, name, true);
    switch (mark.state) {
    case GRAY_MARK_ABSENT:
    case GRAY_MARK_REVOKED:
        return;
    case GRAY_MARK_OUT:
        if (d->release->stickiness != GRAY_STICKY_ENTITY) {
            return;
        }
        break;
    case GRAY_MARK_CLOSED:
        d->is.closed = true;
        d->is.mark = mark;
        return;
    default:
        break;
    }
    d->is.mark = mark;
    d->is.alias = name;
}

void mark_look_up(struct decision *d)
{
    d->is.looked = true;
    d->is.mark = ask(d, GRAY_STEP_MARK, d->run.unit, false);
    d->is.closed = d->is.mark.state == GRAY_MARK_CLOSED;
    if (d->is.mark.state == GRAY_MARK_ABSENT || d->is.closed) {
        uint8_t why = d->is.mark.variant;
        if (d->release->alias_slot != GRAY_NONE ||
            d->in->anonymous.length != 0) {
            look_behind(d);
        }
        if (d->is.closed && d->is.refuse == GRAY_REASON_NONE) {
            why = d->is.mark.state == GRAY_MARK_CLOSED ? d->is.mark.variant : why;
            d->is.refuse = why != 0 ? why : GRAY_REASON_MARKS_CLOSED;
        }
    }
}

static bool stop(struct decision *d, enum gray_reason reason, uint32_t left)
{
    d->verdict->in = 0;
    d->verdict->reason = (uint8_t)reason;
    d->verdict->rule = GRAY_NONE;
    d->left &= (uint8_t)left;
    return false;
}

bool mark_heed(struct decision *d)
{
    const uint32_t mark = 1u << GRAY_STEP_MARK;
    switch (d->is.mark.state) {
    case GRAY_MARK_ABSENT:
    case GRAY_MARK_IN:
    case GRAY_MARK_OUT:
    case GRAY_MARK_REVOKED:
    case GRAY_MARK_CLOSED:
        return true;
    case GRAY_MARK_PENDING:
        d->verdict->pending = 1;
        return stop(d, GRAY_REASON_MARK_PENDING, mark);
    case GRAY_MARK_UNKNOWN: /* one way in is left: a signed cookie */
        d->is.unknown = true;
        return stop(d, GRAY_REASON_MARK_UNKNOWN,
                    mark | 1u << GRAY_STEP_EVIDENCE);
    default: /* HOLD, and what nobody knows */
        d->is.unknown = true;
        return stop(d, GRAY_REASON_MARK_UNKNOWN, mark);
    }
}

/* An earlier attempt's cookie proves nothing: its units were revoked. */
static bool proves(const struct decision *d, struct gray_mark mark)
{
    return mark.state == GRAY_MARK_IN && mark.attempt >= d->release->attempt;
}

bool mark_evidence(struct decision *d, struct gray_mark *ret_mark,
                   bool *ret_alias)
{
    *ret_alias = false;
    *ret_mark = ask(d, GRAY_STEP_EVIDENCE, d->run.unit, false);
    if (proves(d, *ret_mark)) {
        return true;
    }
    struct gray_str name = earlier_name(d);
    if (name.length == 0) {
        return false;
    }
    struct gray_mark mark = ask(d, GRAY_STEP_EVIDENCE, name, true);
    if (!proves(d, mark)) {
        return false;
    }
    *ret_mark = mark;
    *ret_alias = true;
    return true;
}

/* ---- refusals -------------------------------------------------------------- */

/* The first answer to an entity: it stays outside until it is settled. */
static const uint64_t told_out =
    UINT64_C(1) << GRAY_REASON_DENY | UINT64_C(1) << GRAY_REASON_REQUIRE |
    UINT64_C(1) << GRAY_REASON_NO_MATCH |
    UINT64_C(1) << GRAY_REASON_OUT_OF_SHARE |
    UINT64_C(1) << GRAY_REASON_HOLDBACK | UINT64_C(1) << GRAY_REASON_NO_ADMIT;

void mark_refused(struct decision *d)
{
    struct gray_verdict *verdict = d->verdict;
    if (d->is.unknown) {
        uint8_t on_unknown = d->is.stage == NULL ? d->release->on_unknown
                                              : d->is.stage->on_unknown;
        if (on_unknown == GRAY_UNKNOWN_REFUSE) {
            verdict->hold = 1;
            verdict->reason = GRAY_REASON_MARK_HOLD;
        }
        return;
    }
    if (verdict->reason < 64 && (told_out >> verdict->reason & 1) != 0) {
        mark_look(d); /* where the order asks for the mark later */
        if (mark_may_record(d, GRAY_MARK_OUT)) {
            verdict->record = GRAY_MARK_OUT;
        }
    }
}

void mark_overridden(struct decision *d)
{
    if (d->release->stages.count != 0) {
        mark_stage(d);
    }
    mark_look(d);
    if (d->marked && mark_may_record(d, GRAY_MARK_OUT)) {
        d->verdict->record = GRAY_MARK_OUT;
    }
}
