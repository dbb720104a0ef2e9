/* SPDX-License-Identifier: Apache-2.0
 * agree_compare.c - see agree.h: the engine's records against brute force.
 *
 * Why: they name things by numbers of a snapshot, brute force by those of a
 * model; names are what must be the same.
 * Read next: agree.c, ../engine/brute.c.
 */
#include <string.h>

#include "tests/story/agree.h"

static bool same_text(struct gray_str text, const char *wanted)
{
    return wanted != NULL && text.length == strlen(wanted) &&
           memcmp(text.data, wanted, text.length) == 0;
}

static bool same_rule(const struct gray_snapshot *s, uint32_t number,
                      const char *wanted)
{
    const struct gray_rule *rules =
        (const void *)(s->base + s->policy->rules.offset);

    if (number >= s->policy->rules.count) {
        return wanted == NULL;
    }
    return same_text(gray_text(s, rules[number].name), wanted);
}

static bool same_verdict(const struct gray_snapshot *s,
                         const struct gray_verdict *found,
                         const struct brute_verdict *wanted)
{
    return wanted->asked && found->in == wanted->in &&
           found->reason == wanted->reason && found->bucket == wanted->bucket &&
           (!wanted->in || found->variant == wanted->variant) &&
           found->admit == wanted->admit && found->record == wanted->record &&
           found->stage == wanted->stage && found->hold == wanted->hold && found->pending == wanted->pending &&
           same_rule(s, found->rule, wanted->rule);
}

/* Every arm and every refusal that is to be recorded, and no other. */
static bool same_records(const struct scene *scene,
                         const struct gray_colour *found,
                         const struct brute_answer *wanted)
{
    uint32_t i, k, count = 0;

    for (i = 0; i < scene->model->release_count; i++) {
        const struct brute_verdict *v = &wanted->verdicts[i];

        if (!v->asked || v->record == 0) {
            continue;
        }
        for (k = 0; k < found->record_count; k++) {
            if (found->records[k].release == i &&
                found->records[k].state == v->record &&
                (!v->in || found->records[k].variant == v->variant)) {
                break;
            }
        }
        if (k == found->record_count) {
            return false;
        }
        count++;
    }
    return count == found->record_count;
}

bool compare_colour(const struct scene *scene, uint32_t which,
                    const struct gray_colour *found,
                    const struct brute_answer *wanted)
{
    const struct gray_snapshot *s = &scene->snapshots[which];
    const struct gray_lane *lane = gray_lane_at(s, found->lane);
    uint32_t i;

    if (found->arm_count != wanted->arm_count ||
        found->reason != wanted->reason || found->bucket != wanted->bucket ||
        found->release != wanted->release || found->hold != wanted->hold ||
        found->pending != wanted->pending ||
        !same_records(scene, found, wanted) ||
        found->lane_reason != wanted->lane_reason ||
        !same_rule(s, found->rule, wanted->rule) ||
        !same_rule(s, found->lane_rule, wanted->lane_rule) ||
        (lane == NULL) != (wanted->lane == GRAY_NONE) ||
        (lane != NULL && !same_text(gray_text(s, lane->name),
                                    scene->model->lanes[wanted->lane].name))) {
        return false;
    }
    for (i = 0; i < found->arm_count; i++) {
        if (found->arms[i].release != wanted->arms[i] ||
            !same_verdict(s, &found->arms[i],
                          &wanted->verdicts[wanted->arms[i]])) {
            return false;
        }
    }
    return true;
}

bool compare_trace(const struct scene *scene, const struct gray_trace *t,
                   const struct brute_answer *wanted)
{
    const struct gray_verdict *last[BRUTE_RELEASES] = {NULL};
    uint32_t i;

    for (i = 0; i < t->verdict_count; i++) {
        last[t->verdicts[i].release] = &t->verdicts[i];
    }
    for (i = 0; i < scene->model->release_count; i++) {
        if ((last[i] != NULL) != wanted->verdicts[i].asked ||
            (last[i] != NULL && !same_verdict(&scene->snapshots[1], last[i],
                                              &wanted->verdicts[i]))) {
            return false;
        }
    }
    return true;
}

void compare_show(const struct scene *scene, const struct gray_colour *found,
                  const struct gray_trace *trace,
                  const struct brute_answer *wanted)
{
    uint32_t i;

    fprintf(stderr, "reason %s, brute force %s; lane %d, %d; bucket %d, %d\n",
            gray_reason_code((enum gray_reason)found->reason),
            gray_reason_code((enum gray_reason)wanted->reason),
            (int)found->lane, (int)wanted->lane, (int)found->bucket,
            (int)wanted->bucket);
    for (i = 0; i < trace->verdict_count; i++) {
        const struct gray_verdict *v = &trace->verdicts[i];
        const struct brute_verdict *w = &wanted->verdicts[v->release];

        fprintf(stderr,
                "  %s: in %u %s variant %u bucket %d admit %u, brute force: "
                "in %d %s variant %u bucket %d admit %d rule %s\n",
                scene->model->releases[v->release].name, v->in,
                gray_reason_code((enum gray_reason)v->reason), v->variant,
                (int)v->bucket, v->admit, w->in,
                gray_reason_code((enum gray_reason)w->reason), w->variant,
                (int)w->bucket, w->admit, w->rule == NULL ? "" : w->rule);
    }
}
