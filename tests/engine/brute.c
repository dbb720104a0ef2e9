/* SPDX-License-Identifier: Apache-2.0
 * brute.c - walks a checked model for one request, as SEMANTICS 1, 2, 3, 7
 * say it.
 *
 * Why: see brute.h.  Every attribute is looked up in the request anew for each
 * test; nothing is remembered.
 * Read next: brute_values.c, brute_match.c.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/engine/brute.h"

/* ---- conditions --------------------------------------------------------- */

/* A request being decided for one release, or for a lane's rules (release
 * NULL). */
struct asked {
    struct brute *b;
    const struct brute_request *request;
    const struct model_release *release;
    const char *unit; /* NULL: none */
};

static bool holds_test(struct asked *a, const struct cond *test)
{
    static struct brute_values v;
    bool any = false;
    uint32_t i;

    if (test->op == GRAY_CONDITION_TIME) {
        return brute_in_window(test, a->request->now);
    }
    if (test->op == GRAY_CONDITION_CIDR) {
        for (i = 0; i < test->text_count && a->request->source != NULL; i++) {
            any |= brute_in_network(a->request->source, test->texts[i]);
        }
        return any;
    }
    if (test->source == GRAY_SOURCE_UNIT) {
        v.count = v.used = 0;
        if (a->unit != NULL) {
            brute_add(&v, a->unit, strlen(a->unit));
        }
    } else {
        brute_find_values(&v, a->request, test->source, test->name.data);
    }
    if (test->op == GRAY_CONDITION_PRESENT) {
        return v.count != 0;
    }
    if (test->op == GRAY_CONDITION_ABSENT) {
        return v.count == 0;
    }
    for (i = 0; i < v.count; i++) {
        any |= strlen(v.value[i]) <= GRAY_VALUE_MAX &&
               brute_match(a->b, test, v.value[i]);
    }
    if (test->op == GRAY_CONDITION_NOT_IN) {
        return !any;
    }
    return any || (test->op == GRAY_CONDITION_BLANK && v.count == 0);
}

static bool holds(struct asked *a, const struct cond *cond)
{
    uint32_t i;
    bool result;

    if (cond == NULL) {
        return true;
    }
    switch (cond->kind) {
    case COND_ALL:
        for (i = 0; i < cond->child_count; i++) {
            if (!holds(a, &cond->children[i])) {
                return false;
            }
        }
        return true;
    case COND_ANY:
        for (i = 0; i < cond->child_count; i++) {
            if (holds(a, &cond->children[i])) {
                return true;
            }
        }
        return false;
    case COND_NOT:
        return !holds(a, &cond->children[0]);
    default:
        result = holds_test(a, cond);
        a->b->counts[cond->op][result]++;
        return result;
    }
}

static const struct model_rule *
first_rule(struct asked *a, const struct model_rule *rules, uint32_t count)
{
    uint32_t i;

    for (i = 0; i < count; i++) {
        if (holds(a, rules[i].when)) {
            return &rules[i];
        }
    }
    return NULL;
}

/* ---- one release -------------------------------------------------------- */

static void find_unit(struct asked *a, char *room)
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

/* Stafford's mix 13, as for a draw where there is no unit. */
static uint32_t draw(const struct asked *a, uint64_t which)
{
    uint64_t z = gray_hash_scope(a->release->name, strlen(a->release->name));

    z = a->request->random ^ (z + which);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    z ^= z >> 31;
    return (uint32_t)((z >> 32) * 1000000 >> 32);
}

static bool let_in(const struct asked *a, struct brute_verdict *v,
                   uint8_t reason, const char *rule, bool admit)
{
    uint32_t bucket, i;

    v->in = true;
    v->reason = reason;
    v->rule = rule;
    v->admit = admit && a->unit != NULL &&
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
    return true;
}

static bool stay_in(const struct asked *a, struct brute_verdict *v,
                    uint8_t reason, struct gray_mark mark)
{
    let_in(a, v, reason, NULL, false);
    if (mark.variant < a->release->variant_count) {
        v->variant = mark.variant;
    }
    return true;
}

/* Out, as far as is known.  A freeze that kept somebody out is the reason
 * that counts in the end. */
static bool note_out(struct brute_verdict *v, uint8_t reason)
{
    if (v->reason != GRAY_REASON_NO_ADMIT) {
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

static struct gray_mark ask_mark(const struct asked *a, bool evidence)
{
    struct gray_mark absent = {GRAY_MARK_ABSENT, 0, 0, 0};

    if (a->b->marks == NULL || a->unit == NULL ||
        a->release->stickiness == GRAY_STICKY_NONE) {
        return absent;
    }
    return a->b->marks(a->b->marks_context,
                       (uint32_t)(a->release - a->b->model->releases), a->unit,
                       evidence);
}

static bool step_mark(struct asked *a, struct brute_verdict *v,
                      bool *ret_unknown)
{
    struct gray_mark mark = ask_mark(a, false);

    switch (mark.state) {
    case GRAY_MARK_ABSENT:
        return false;
    case GRAY_MARK_IN:
        return stay_in(a, v, GRAY_REASON_MARK, mark);
    case GRAY_MARK_OUT:
        return a->release->stickiness == GRAY_STICKY_ENTITY &&
               keep_out(v, GRAY_REASON_MARK_OUT, NULL);
    case GRAY_MARK_REVOKED:
        return mark.attempt >= a->release->attempt &&
               keep_out(v, GRAY_REASON_REVOKED, NULL);
    case GRAY_MARK_UNKNOWN:
        keep_out(v, GRAY_REASON_MARK_UNKNOWN, NULL);
        *ret_unknown = true;
        return false;
    default:
        return keep_out(v, GRAY_REASON_MARK_UNKNOWN, NULL);
    }
}

static bool step_rules(struct asked *a, struct brute_verdict *v, bool frozen)
{
    const struct model_release *release = a->release;
    const struct model_rule *rule = NULL;

    if (!holds(a, release->require)) {
        return note_out(v, GRAY_REASON_REQUIRE);
    }
    if (release->match_count != 0) {
        rule = first_rule(a, release->match, release->match_count);
        if (rule == NULL) {
            return note_out(v, GRAY_REASON_NO_MATCH);
        }
    }
    if (a->unit != NULL) {
        v->bucket = brute_bucket(release->salt, ":", a->unit);
    } else if (release->anonymous == GRAY_ANONYMOUS_RANDOM) {
        v->bucket = draw(a, 0);
    } else {
        return note_out(v, GRAY_REASON_NO_UNIT);
    }
    if (v->bucket >= release->share) {
        return note_out(v, v->bucket >= 1000000 - release->holdback
                               ? GRAY_REASON_HOLDBACK
                               : GRAY_REASON_OUT_OF_SHARE);
    }
    if (frozen) {
        return note_out(v, GRAY_REASON_NO_ADMIT);
    }
    return let_in(a, v,
                  a->unit != NULL ? GRAY_REASON_SHARE : GRAY_REASON_RANDOM,
                  rule == NULL ? NULL : rule->name, true);
}

static bool step(struct asked *a, struct brute_verdict *v, uint8_t which,
                 bool frozen, bool *ret_unknown)
{
    const struct model_release *release = a->release;
    const struct model_rule *rule;
    struct gray_mark mark;

    switch (which) {
    case GRAY_STEP_DENY:
        rule = first_rule(a, release->deny, release->deny_count);
        return rule != NULL && keep_out(v, GRAY_REASON_DENY, rule->name);
    case GRAY_STEP_ALLOW:
        rule = first_rule(a, release->allow, release->allow_count);
        if (rule == NULL) {
            return false;
        }
        if (frozen) {
            if (v->reason != GRAY_REASON_NO_ADMIT) {
                v->reason = GRAY_REASON_NO_ADMIT;
                v->rule = rule->name;
            }
            return false;
        }
        return let_in(a, v, GRAY_REASON_ALLOW, rule->name, rule->writes);
    case GRAY_STEP_MARK:
        return step_mark(a, v, ret_unknown);
    case GRAY_STEP_RULES:
        return step_rules(a, v, frozen);
    default:
        mark = ask_mark(a, true);
        return mark.state == GRAY_MARK_IN && mark.attempt >= release->attempt &&
               stay_in(a, v, GRAY_REASON_COOKIE, mark);
    }
}

static void decide_release(struct asked *a, uint8_t word,
                           struct brute_verdict *v)
{
    bool frozen = word == GRAY_WORD_NO_ADMIT, unknown = false;
    char room[GRAY_VALUE_MAX + 1];
    uint32_t i;

    *v = (struct brute_verdict){
        .asked = true, .reason = GRAY_REASON_ORDER_END, .bucket = GRAY_NONE};
    find_unit(a, room);
    if (word == GRAY_WORD_KILLED || word == GRAY_WORD_BASELINE) {
        keep_out(v,
                 word == GRAY_WORD_KILLED ? GRAY_REASON_KILLED
                                          : GRAY_REASON_STOPPED,
                 NULL);
        return;
    }
    if (a->request->traffic_class == GRAY_CLASS_LOAD) {
        if (frozen) {
            keep_out(v, GRAY_REASON_NO_ADMIT, NULL);
        } else {
            let_in(a, v, GRAY_REASON_LOAD, NULL, false);
        }
        return;
    }
    for (i = 0; i < 8 && a->release->order[i] != GRAY_STEP_END; i++) {
        if (unknown && a->release->order[i] != GRAY_STEP_EVIDENCE) {
            continue;
        }
        if (step(a, v, a->release->order[i], frozen, &unknown)) {
            return;
        }
    }
}

/* ---- the colour --------------------------------------------------------- */

static uint8_t word_of(const struct brute *b, uint32_t release)
{
    return b->words == NULL ? GRAY_WORD_OPEN : b->words[release];
}

static void carry_one(struct brute *b, const char *arm, struct brute_answer *r)
{
    char name[256];
    const char *variant;
    uint32_t i, k;

    snprintf(name, sizeof(name), "%s", arm);
    variant = strchr(arm, ':') == NULL ? "" : strchr(arm, ':') + 1;
    name[strcspn(name, ":")] = '\0';
    for (i = 0; i < b->model->release_count; i++) {
        const struct model_release *release = &b->model->releases[i];
        struct brute_verdict *v = &r->verdicts[i];
        uint8_t word = word_of(b, i);

        if (strcmp(release->name, name) != 0 || (v->asked && v->in)) {
            continue;
        }
        for (k = 0; k < release->variant_count; k++) {
            if (strcmp(release->variants[k].name, variant) != 0) {
                continue;
            }
            *v = (struct brute_verdict){.asked = true,
                                        .in = true,
                                        .reason = GRAY_REASON_COLOUR,
                                        .variant = (uint8_t)k,
                                        .bucket = GRAY_NONE};
            if (word == GRAY_WORD_KILLED || word == GRAY_WORD_BASELINE) {
                v->in = false;
                v->variant = 0;
                v->reason = word == GRAY_WORD_KILLED ? GRAY_REASON_KILLED
                                                     : GRAY_REASON_STOPPED;
            }
        }
    }
}

/* A lane that is switched off still is passed on; it has no routes. */
static uint32_t find_lane(const struct gray_model *model, const char *name)
{
    uint32_t i;

    for (i = 0; i < model->lane_count; i++) {
        if (strcmp(model->lanes[i].name, name) == 0) {
            return i;
        }
    }
    return GRAY_NONE;
}

static void decide_lane(struct brute *b, const struct brute_request *request,
                        uint32_t entrance, struct brute_answer *r)
{
    struct asked a = {b, request, NULL, NULL};
    const struct model_entrance *own =
        entrance == GRAY_NONE ? NULL : &b->model->entrances[entrance];
    uint32_t i;

    if (request->lane != NULL && *request->lane != '\0') {
        r->lane = find_lane(b->model, request->lane);
        r->lane_reason = GRAY_REASON_COLOUR;
        return;
    }
    for (i = 0; own != NULL && i < own->lane_rule_count; i++) {
        const struct model_rule *rule = &own->lane_rules[i];

        if (b->model->lanes[rule->lane].enabled && holds(&a, rule->when)) {
            r->lane = rule->lane;
            r->lane_rule = rule->name;
            r->lane_reason = GRAY_REASON_LANE_RULE;
            return;
        }
    }
    for (i = 0; i < request->label_count; i++) {
        if (strcmp(request->labels[i].name, "lane") == 0 &&
            request->labels[i].value[0] != '\0') {
            r->lane = find_lane(b->model, request->labels[i].value);
            if (r->lane != GRAY_NONE) {
                r->lane_reason = GRAY_REASON_LANE_LABEL;
            }
            return;
        }
    }
}

/* Arms by priority, and the reason of the whole: the first arm's, else the
 * lane's, else the first refusal's. */
static void sum_up(const struct brute *b, struct brute_answer *r)
{
    const struct brute_verdict *v;
    uint32_t i, speaks = GRAY_NONE;

    for (i = 0; i < b->model->release_count; i++) {
        v = &r->verdicts[i];
        if (v->asked && v->in && r->arm_count < GRAY_ARMS_MAX) {
            r->arms[r->arm_count++] = i;
        }
        if (v->asked && !v->in && speaks == GRAY_NONE) {
            speaks = i;
        }
    }
    if (r->arm_count != 0) {
        speaks = r->arms[0];
    } else if (r->lane_reason != GRAY_REASON_NONE) {
        r->reason = r->lane_reason;
        r->rule = r->lane_rule;
        return;
    }
    if (speaks != GRAY_NONE) {
        r->release = speaks;
        r->reason = r->verdicts[speaks].reason;
        r->bucket = r->verdicts[speaks].bucket;
        r->rule = r->verdicts[speaks].rule;
    }
}

void brute_decide(struct brute *b, const struct brute_request *request,
                  uint32_t entrance, struct brute_answer *ret_answer)
{
    struct brute_answer *r = ret_answer;
    char arms[BRUTE_ROOM], *arm, *rest;
    uint32_t i;

    assert(b->model->release_count <= BRUTE_RELEASES);
    memset(r, 0, sizeof(*r));
    r->lane = r->release = r->bucket = GRAY_NONE;
    decide_lane(b, request, entrance, r);
    if (request->arms != NULL) {
        snprintf(arms, sizeof(arms), "%s", request->arms);
        for (arm = strtok_r(arms, ",", &rest); arm != NULL;
             arm = strtok_r(NULL, ",", &rest)) {
            carry_one(b, arm, r);
        }
    }
    for (i = 0; entrance != GRAY_NONE &&
                i < b->model->entrances[entrance].release_count;
         i++) {
        uint32_t number = b->model->entrances[entrance].releases[i];
        struct asked a = {b, request, &b->model->releases[number], NULL};

        if (!r->verdicts[number].asked || !r->verdicts[number].in) {
            decide_release(&a, word_of(b, number), &r->verdicts[number]);
        }
    }
    sum_up(b, r);
}
