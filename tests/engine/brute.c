/* SPDX-License-Identifier: Apache-2.0
 * brute.c - walks a checked model for one request, as SEMANTICS 1, 2, 3, 7
 * say it.
 *
 * Why: see brute.h.  Every attribute is looked up in the request anew for each
 * test; nothing is remembered.
 * Read next: brute_release.c, brute_values.c, brute_match.c.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/engine/brute.h"

/* ---- conditions --------------------------------------------------------- */

static bool holds_test(struct brute_asked *a, const struct cond *test)
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

bool brute_holds(struct brute_asked *a, const struct cond *cond)
{
    uint32_t i;
    bool result;

    if (cond == NULL) {
        return true;
    }
    switch (cond->kind) {
    case COND_ALL:
        for (i = 0; i < cond->child_count; i++) {
            if (!brute_holds(a, &cond->children[i])) {
                return false;
            }
        }
        return true;
    case COND_ANY:
        for (i = 0; i < cond->child_count; i++) {
            if (brute_holds(a, &cond->children[i])) {
                return true;
            }
        }
        return false;
    case COND_NOT:
        return !brute_holds(a, &cond->children[0]);
    default:
        result = holds_test(a, cond);
        a->b->counts[cond->op][result]++;
        return result;
    }
}

const struct model_rule *
brute_first_rule(struct brute_asked *a, const struct model_rule *rules, uint32_t count)
{
    uint32_t i;

    for (i = 0; i < count; i++) {
        if (brute_holds(a, rules[i].when)) {
            return &rules[i];
        }
    }
    return NULL;
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
                                        .stage = GRAY_STAGE_NONE,
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
    struct brute_asked a = {.b = b, .request = request};
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

        if (b->model->lanes[rule->lane].enabled && brute_holds(&a, rule->when)) {
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
    uint32_t i, speaks = GRAY_NONE, holds = GRAY_NONE;

    for (i = 0; i < b->model->release_count; i++) {
        v = &r->verdicts[i];
        if (v->asked && v->in && r->arm_count < GRAY_ARMS_MAX) {
            r->arms[r->arm_count++] = i;
        }
        if (v->asked && !v->in && speaks == GRAY_NONE) {
            speaks = i;
        }
        r->pending |= v->pending;
        if (v->hold && !r->hold) {
            r->hold = true;
            holds = i;
        }
    }
    if (r->hold) { /* before any arm or lane */
        r->release = holds;
        r->reason = r->verdicts[holds].reason;
        r->rule = r->verdicts[holds].rule;
        return;
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
        struct brute_asked a = {.b = b,
                          .request = request,
                          .release = &b->model->releases[number]};

        if (!r->verdicts[number].asked || !r->verdicts[number].in) {
            brute_release(&a, word_of(b, number), &r->verdicts[number]);
        }
    }
    sum_up(b, r);
}
