/* SPDX-License-Identifier: Apache-2.0
 * brute_release.c - see brute.h: one release, one unit, as SEMANTICS 2 to 4
 * say it.
 *
 * Why: what a mark, a stage and a freeze do to each other is where an engine
 * that is fast is easily wrong; here every mark is asked for before anything
 * else, and each rule of theirs stands in its own sentence.
 * Read next: ../../engine/release.c, ../../engine/mark.c (who is judged).
 */
#include <string.h>

#include "tests/engine/brute.h"

/* ---- one release -------------------------------------------------------- */

static void find_unit(struct brute_asked *a, char *room)
{
    static struct brute_values v;
    const struct model_release *release = a->release;
    uint32_t i, k;

    a->unit = NULL;
    for (i = 0; i < release->unit_count; i++) {
        brute_find_values(&v, a->request, release->units[i].source,
                          release->units[i].name.data);
        for (k = 0; k < v.count; k++) {
            if (*v.value[k] != '\0' && strlen(v.value[k]) <= GRAY_VALUE_MAX) {
                a->unit = strcpy(room, v.value[k]);
                return;
            }
        }
    }
    if (release->anonymous == GRAY_ANONYMOUS_COOKIE &&
        a->request->anonymous != NULL && *a->request->anonymous != '\0') {
        a->unit = a->request->anonymous;
    }
}

/* ---- stages ------------------------------------------------------------- */

/* Dimensions before the one that moves stand for all, those behind for none. */
static uint32_t share_of(const struct model_release *release,
                         const struct model_stage *stage)
{
    uint32_t number = stage->space - 1u;

    if (release->dimension_count == 0 || number == release->dimension) {
        return release->share;
    }
    return number < release->dimension ? 1000000 - release->holdback : 0;
}

static void choose_stage(struct brute_asked *a, struct brute_verdict *v)
{
    const struct model_release *release = a->release;
    const char *named = a->request->stage;
    uint32_t i;

    v->stage = GRAY_STAGE_NONE;
    a->share = release->share;
    a->decides = release->stage_count == 0;
    for (i = 0; i < release->stage_count; i++) {
        const struct model_stage *stage = &release->stages[i];

        if (named != NULL ? strcmp(named, stage->name) == 0
                          : brute_holds(a, stage->when)) {
            a->stage = stage;
            a->share = share_of(release, stage);
            a->decides =
                stage->writes || stage->on_missing == GRAY_MISSING_BACKFILL;
            v->stage = (uint8_t)i;
            return;
        }
    }
}

/* Stafford's mix 13, as for a draw where there is no unit. */
static uint32_t draw(const struct brute_asked *a, uint64_t which)
{
    uint64_t z = gray_hash_scope(a->release->name, strlen(a->release->name));

    z = a->request->random ^ (z + which);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    z ^= z >> 31;
    return (uint32_t)((z >> 32) * 1000000 >> 32);
}

/* Nothing but somebody who reads what was written comes after this. */
static bool writable(const struct brute_asked *a, bool in)
{
    bool again = a->mark.state == GRAY_MARK_REVOKED &&
                 a->mark.attempt < a->release->attempt;

    return a->decides && a->unit != NULL &&
           a->release->stickiness != GRAY_STICKY_NONE &&
           a->request->traffic_class == GRAY_CLASS_LIVE &&
           !a->cannot_write &&
           (a->mark.state == GRAY_MARK_ABSENT || (in && again) ||
            (a->earlier &&
             a->mark.state == (in ? GRAY_MARK_IN : GRAY_MARK_OUT)));
}

static bool let_in(const struct brute_asked *a, struct brute_verdict *v,
                   uint8_t reason, const char *rule, bool admit)
{
    uint32_t bucket, i;

    v->in = true;
    v->reason = reason;
    v->rule = rule;
    v->admit = admit && a->decides && a->unit != NULL &&
               a->release->stickiness != GRAY_STICKY_NONE &&
               a->request->traffic_class == GRAY_CLASS_LIVE;
    bucket = a->unit != NULL
                 ? brute_bucket(a->release->salt, ":variant:", a->unit)
                 : draw(a, 1);
    for (i = 0; i + 1 < a->release->variant_count; i++) {
        if (bucket < a->release->variants[i].upto) {
            break;
        }
    }
    v->variant = (uint8_t)i;
    if (a->mark.state == GRAY_MARK_IN &&
        a->mark.variant < a->release->variant_count) {
        v->variant = a->mark.variant;
    }
    v->record =
        admit && a->closed == 0 && writable(a, true) ? GRAY_MARK_IN : 0;
    return true;
}

/* Out, as far as is known.  A freeze that kept somebody out is the reason
 * that counts in the end. */
static bool note_out(const struct brute_asked *a, struct brute_verdict *v,
                     uint8_t reason)
{
    if (a->closed == 0 || v->reason != a->closed) {
        v->reason = reason;
        v->rule = NULL;
    }
    return false;
}

static bool keep_out(struct brute_verdict *v, uint8_t reason, const char *rule)
{
    v->reason = reason;
    v->rule = rule;
    return true;
}

/* NULL: the unit had no other name. */
static const char *earlier_name(const struct brute_asked *a)
{
    static struct brute_values v;
    const char *name = NULL;
    uint32_t i;

    if (a->release->alias.name.data != NULL) {
        brute_find_values(&v, a->request, a->release->alias.source,
                          a->release->alias.name.data);
        for (i = 0; i < v.count && name == NULL; i++) {
            if (*v.value[i] != '\0' && strlen(v.value[i]) <= GRAY_VALUE_MAX) {
                name = v.value[i];
            }
        }
    }
    if (name == NULL && a->release->anonymous == GRAY_ANONYMOUS_COOKIE &&
        a->request->anonymous != NULL && *a->request->anonymous != '\0') {
        name = a->request->anonymous;
    }
    return name == NULL || strcmp(name, a->unit) == 0 ? NULL : name;
}

static struct gray_mark ask_of(const struct brute_asked *a, const char *unit,
                               bool evidence)
{
    return a->b->marks(a->b->marks_context,
                       (uint32_t)(a->release - a->b->model->releases), unit,
                       evidence, a->stage == NULL ? 0 : a->stage->space);
}

static bool is_marked(const struct brute_asked *a)
{
    return a->b->marks != NULL && a->unit != NULL &&
           a->release->stickiness != GRAY_STICKY_NONE;
}

/* The mark of the unit, else that of its earlier name. */
static void look(struct brute_asked *a)
{
    struct gray_mark before = {GRAY_MARK_ABSENT, 0, 0, 0};

    if (!is_marked(a)) {
        return;
    }
    a->mark = ask_of(a, a->unit, false);
    if (a->mark.state != GRAY_MARK_ABSENT &&
        a->mark.state != GRAY_MARK_CLOSED) {
        return;
    }
    a->cannot_write = a->mark.state == GRAY_MARK_CLOSED;
    if (earlier_name(a) != NULL) {
        before = ask_of(a, earlier_name(a), false);
    }
    if (a->cannot_write || before.state == GRAY_MARK_CLOSED) {
        uint8_t why = before.state == GRAY_MARK_CLOSED ? before.variant
                                                       : a->mark.variant;

        a->cannot_write = true;
        if (a->closed == 0) {
            a->closed = why != 0 ? why : GRAY_REASON_MARKS_CLOSED;
        }
    }
    if (before.state == GRAY_MARK_ABSENT ||
        before.state == GRAY_MARK_CLOSED ||
        before.state == GRAY_MARK_REVOKED ||
        (before.state == GRAY_MARK_OUT &&
         a->release->stickiness != GRAY_STICKY_ENTITY)) {
        return;
    }
    a->mark = before;
    a->earlier = true;
}

/* What cannot be believed: true, and nothing but evidence is left. */
static bool in_doubt(struct brute_asked *a, struct brute_verdict *v)
{
    switch (a->mark.state) {
    case GRAY_MARK_ABSENT:
    case GRAY_MARK_IN:
    case GRAY_MARK_OUT:
    case GRAY_MARK_REVOKED:
    case GRAY_MARK_CLOSED:
        return false;
    case GRAY_MARK_PENDING:
        v->pending = true;
        return keep_out(v, GRAY_REASON_MARK_PENDING, NULL);
    default:
        return keep_out(v, GRAY_REASON_MARK_UNKNOWN, NULL);
    }
}

/* Somebody new. */
static bool come_in(struct brute_asked *a, struct brute_verdict *v, uint8_t reason,
                    const char *rule, bool admit)
{
    if (in_doubt(a, v)) {
        return false;
    }
    if (a->closed != 0) {
        if (v->reason != a->closed) {
            v->reason = a->closed;
            v->rule = rule;
        }
        return false;
    }
    return let_in(a, v, reason, rule, admit);
}

/* A stage that only reads has no answer but an earlier one. */
static bool missing(struct brute_asked *a, struct brute_verdict *v)
{
    if (a->decides) {
        return false;
    }
    a->only_evidence = true;
    note_out(a, v, a->unit != NULL ? GRAY_REASON_MARK_MISSING
                                   : GRAY_REASON_NO_UNIT);
    return a->release->stickiness == GRAY_STICKY_ENTITY;
}

static bool step_mark(struct brute_asked *a, struct brute_verdict *v)
{
    if (in_doubt(a, v)) {
        return a->mark.state != GRAY_MARK_UNKNOWN;
    }
    switch (a->mark.state) {
    case GRAY_MARK_IN:
        return let_in(a, v, a->earlier ? GRAY_REASON_ALIAS : GRAY_REASON_MARK,
                      NULL, a->earlier);
    case GRAY_MARK_OUT:
        if (a->release->stickiness != GRAY_STICKY_ENTITY) {
            return missing(a, v);
        }
        v->record = a->earlier && writable(a, false) ? GRAY_MARK_OUT : 0;
        return keep_out(
            v, a->earlier ? GRAY_REASON_ALIAS : GRAY_REASON_MARK_OUT, NULL);
    case GRAY_MARK_REVOKED:
        return a->mark.attempt >= a->release->attempt
                   ? keep_out(v, GRAY_REASON_REVOKED, NULL)
                   : missing(a, v);
    default:
        return missing(a, v);
    }
}

static bool proves(const struct brute_asked *a, struct gray_mark mark)
{
    return mark.state == GRAY_MARK_IN && mark.attempt >= a->release->attempt;
}

static bool step_evidence(struct brute_asked *a, struct brute_verdict *v)
{
    struct gray_mark mark;
    bool earlier = false;

    if (!is_marked(a)) {
        return false;
    }
    mark = ask_of(a, a->unit, true);
    if (!proves(a, mark)) {
        if (earlier_name(a) == NULL) {
            return false;
        }
        mark = ask_of(a, earlier_name(a), true);
        earlier = true;
    }
    if (!proves(a, mark)) {
        return false;
    }
    let_in(a, v, GRAY_REASON_COOKIE, NULL, earlier);
    if (mark.variant < a->release->variant_count) {
        v->variant = mark.variant;
    }
    v->record = a->closed == 0 && writable(a, true) ? GRAY_MARK_IN : 0;
    return true;
}

static bool step_rules(struct brute_asked *a, struct brute_verdict *v)
{
    const struct model_release *release = a->release;
    const struct model_rule *rule = NULL;

    if (!brute_holds(a, release->require)) {
        return note_out(a, v, GRAY_REASON_REQUIRE);
    }
    if (release->match_count != 0) {
        rule = brute_first_rule(a, release->match, release->match_count);
        if (rule == NULL) {
            return note_out(a, v, GRAY_REASON_NO_MATCH);
        }
    }
    if (a->unit != NULL) {
        v->bucket = brute_bucket(release->salt, ":", a->unit);
    } else if (release->anonymous == GRAY_ANONYMOUS_RANDOM) {
        v->bucket = draw(a, 0);
    } else {
        return note_out(a, v, GRAY_REASON_NO_UNIT);
    }
    if (v->bucket >= a->share) {
        return note_out(a, v, v->bucket >= 1000000 - release->holdback
                                  ? GRAY_REASON_HOLDBACK
                                  : GRAY_REASON_OUT_OF_SHARE);
    }
    return come_in(a, v,
                   a->unit != NULL ? GRAY_REASON_SHARE : GRAY_REASON_RANDOM,
                   rule == NULL ? NULL : rule->name, true);
}

static bool step(struct brute_asked *a, struct brute_verdict *v, uint8_t which)
{
    const struct model_release *release = a->release;
    const struct model_rule *rule;

    switch (which) {
    case GRAY_STEP_DENY:
        rule = brute_first_rule(a, release->deny, release->deny_count);
        return rule != NULL && keep_out(v, GRAY_REASON_DENY, rule->name);
    case GRAY_STEP_ALLOW:
        rule = brute_first_rule(a, release->allow, release->allow_count);
        return rule != NULL && come_in(a, v, GRAY_REASON_ALLOW, rule->name,
                                       rule->writes);
    case GRAY_STEP_MARK:
        return step_mark(a, v);
    case GRAY_STEP_RULES:
        return step_rules(a, v);
    default:
        return step_evidence(a, v);
    }
}

/* The first answer to an entity is kept, also when it is a refusal. */
static void sum_refusal(const struct brute_asked *a, struct brute_verdict *v)
{
    static const uint8_t told[] = {
        GRAY_REASON_DENY,         GRAY_REASON_REQUIRE,  GRAY_REASON_NO_MATCH,
        GRAY_REASON_OUT_OF_SHARE, GRAY_REASON_HOLDBACK, GRAY_REASON_NO_ADMIT};
    uint32_t i;

    if (a->release->stickiness != GRAY_STICKY_ENTITY) {
        return;
    }
    if (v->reason == GRAY_REASON_MARK_UNKNOWN &&
        (a->stage == NULL ? a->release->on_unknown : a->stage->on_unknown) ==
            GRAY_UNKNOWN_REFUSE) {
        v->reason = GRAY_REASON_MARK_HOLD;
        v->hold = true;
    }
    for (i = 0; i < sizeof(told); i++) {
        if (v->reason == told[i] && writable(a, false)) {
            v->record = GRAY_MARK_OUT;
        }
    }
}

static void take_steps(struct brute_asked *a, struct brute_verdict *v)
{
    bool doubt = false;
    uint32_t i;

    for (i = 0; i < 8 && a->release->order[i] != GRAY_STEP_END; i++) {
        uint8_t which = a->release->order[i];

        if ((which == GRAY_STEP_RULES && !a->decides) ||
            (a->only_evidence && which != GRAY_STEP_EVIDENCE)) {
            continue;
        }
        if (doubt && which != GRAY_STEP_MARK &&
            (which != GRAY_STEP_EVIDENCE ||
             a->mark.state != GRAY_MARK_UNKNOWN)) {
            continue;
        }
        if (step(a, v, which)) {
            return;
        }
        doubt = v->reason == GRAY_REASON_MARK_UNKNOWN ||
                v->reason == GRAY_REASON_MARK_PENDING;
    }
}

void brute_release(struct brute_asked *a, uint8_t word,
                   struct brute_verdict *v)
{
    bool frozen = word == GRAY_WORD_NO_ADMIT;
    char room[GRAY_VALUE_MAX + 1];

    *v = (struct brute_verdict){
        .asked = true,
        .reason = GRAY_REASON_ORDER_END,
        .bucket = GRAY_NONE,
        .stage = GRAY_STAGE_NONE};
    find_unit(a, room);
    if (word == GRAY_WORD_KILLED || word == GRAY_WORD_BASELINE) {
        keep_out(v,
                 word == GRAY_WORD_KILLED ? GRAY_REASON_KILLED
                                          : GRAY_REASON_STOPPED,
                 NULL);
        if (a->release->stickiness == GRAY_STICKY_ENTITY) {
            choose_stage(a, v);
            look(a);
            if (writable(a, false)) {
                v->record = GRAY_MARK_OUT;
            }
        }
        return;
    }
    a->closed = frozen ? GRAY_REASON_NO_ADMIT : 0;
    if (a->request->traffic_class == GRAY_CLASS_LOAD) {
        if (frozen) {
            keep_out(v, GRAY_REASON_NO_ADMIT, NULL);
        } else {
            let_in(a, v, GRAY_REASON_LOAD, NULL, false);
        }
        return;
    }
    choose_stage(a, v);
    look(a);
    take_steps(a, v);
    if (!v->in) {
        sum_refusal(a, v);
    }
}
