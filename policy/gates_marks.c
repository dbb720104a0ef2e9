/* SPDX-License-Identifier: Apache-2.0
 * gates_marks.c - marks and stages before and after.
 *
 * Why: a mark is read by the policy of its day and of every later one.  What
 * says how marks are kept, which requests make them, and of which dimension
 * they are, stays as it is once anybody is in; a dimension opens when the one
 * before it stands for everybody.
 * Read next: model_marks.c, gates.c.
 */
#include "policy/gates.h"

#include <string.h>

static bool anybody_is_in(const struct model_release *old)
{
    return old->share > 0 || old->dimension > 0;
}

static void compare_keeping(struct gates *g, const struct model_release *old,
                            const struct model_release *now)
{
    static const char *const words[] = {"none", "monotonic", "entity"};
    if (now->stickiness != old->stickiness) {
        gray_gate_say(g, GRAY_ERROR, GRAY_PROBLEM_MARKS_CHANGED,
                      "/stickiness",
                      "stickiness was %s: the marks that are there would be "
                      "read as something else; write the old word, or end "
                      "this release (gray stop %s) and begin one of another "
                      "name",
                      words[old->stickiness], now->name);
    }
    if ((now->mark_flags ^ old->mark_flags) & GRAY_MARKS_WIDE) {
        gray_gate_say(g, GRAY_ERROR, GRAY_PROBLEM_MARKS_CHANGED, "/strictKey",
                      "strictKey was %u: marks under keys of another width "
                      "are not found any more; write the old one",
                      old->mark_flags & GRAY_MARKS_WIDE ? 128u : 64u);
    }
    if (old->alias.name.data != NULL &&
        (now->alias.name.data == NULL ||
         now->alias.source != old->alias.source ||
         strcmp(now->alias.name.data, old->alias.name.data) != 0)) {
        gray_gate_say(g, GRAY_WARNING, GRAY_PROBLEM_MAY_DROP, "/unit",
                      "the earlier name stood in %s: whoever was let in "
                      "under it and has not come back since is decided anew",
                      old->alias.name.data);
    }
}

/* ---- stages ---------------------------------------------------------------- */

static const struct model_stage *find_stage(const struct model_release *in,
                                            const char *name)
{
    for (uint32_t i = 0; i < in->stage_count; i++) {
        if (strcmp(in->stages[i].name, name) == 0) {
            return &in->stages[i];
        }
    }
    return NULL;
}

static void say_stage(struct gates *g, const char *name, const char *what)
{
    gray_gate_say(g, GRAY_ERROR, GRAY_PROBLEM_STAGES_CHANGED, "/stages",
                  "stage %s %s: units that are in, or were told that they "
                  "are not, would be answered otherwise; end this release "
                  "and begin one of another name",
                  name, what);
}

static void compare_stage(struct gates *g, const struct model_stage *old,
                          const struct model_stage *now)
{
    if (now == NULL) {
        say_stage(g, old->name, "is gone");
    } else if (old->writes != now->writes) {
        say_stage(g, old->name,
                  now->writes ? "would begin to write" : "would stop writing");
    } else if (old->space != now->space) {
        say_stage(g, old->name, "would use the marks of another dimension");
    } else if (!gray_cond_equal(old->when, g->before, now->when, g->after)) {
        gray_gate_say(g, GRAY_WARNING, GRAY_PROBLEM_STAGES_CHANGED,
                      now->when == NULL ? "/stages" : now->when->pointer,
                      "stage %s is chosen by other conditions than before: "
                      "requests that made marks may only read from now on, "
                      "or the other way round",
                      old->name);
    }
}

static void compare_stages(struct gates *g, const struct model_release *old,
                           const struct model_release *now)
{
    if ((old->stage_count == 0) != (now->stage_count == 0)) {
        gray_gate_say(g, GRAY_ERROR, GRAY_PROBLEM_STAGES_CHANGED, "/stages",
                      "the release had %s: requests that %s before would %s "
                      "now; end this release and begin one of another name",
                      old->stage_count == 0 ? "no stages" : "stages",
                      old->stage_count == 0 ? "made marks" : "only read",
                      old->stage_count == 0 ? "only read" : "make marks");
        return;
    }
    for (uint32_t i = 0; i < old->stage_count; i++) {
        compare_stage(g, &old->stages[i],
                      find_stage(now, old->stages[i].name));
    }
    for (uint32_t i = 0; i < now->stage_count; i++) {
        /* A dimension that comes last is not open yet. */
        if (now->stages[i].writes &&
            now->stages[i].space <= old->dimension_count &&
            find_stage(old, now->stages[i].name) == NULL) {
            say_stage(g, now->stages[i].name, "would begin to write");
        }
    }
}

/* ---- dimensions ------------------------------------------------------------ */

static const char *dimension_name(const struct model_release *release)
{
    return release->dimension_count == 0
               ? "-"
               : release->stages[release->dimensions[release->dimension]]
                     .name;
}

static void compare_dimension(struct gates *g,
                              const struct model_release *old,
                              const struct model_release *now)
{
    static const char pointer[] = "/admission/dimension";
    if (now->dimension < old->dimension) {
        gray_gate_say(g, GRAY_ERROR, GRAY_PROBLEM_SHARE_LOWERED, pointer,
                      "%s moved and %s would again: users who are in would "
                      "fall out. To stop new ones, freeze (gray freeze %s)",
                      dimension_name(old), dimension_name(now), now->name);
    } else if (now->dimension > old->dimension + 1) {
        gray_gate_say(g, GRAY_ERROR, GRAY_PROBLEM_TWO_DIMENSIONS, pointer,
                      "%s moved, and %s is not the one behind it: open one "
                      "dimension at a time",
                      dimension_name(old), dimension_name(now));
    } else if (now->dimension > old->dimension &&
               old->share + old->holdback < GRAY_SHARE_ALL) {
        gray_gate_say(g, GRAY_ERROR, GRAY_PROBLEM_DIMENSION_EARLY, pointer,
                      "%s stands at %g %%; %s opens when it stands at %g %%",
                      dimension_name(old), old->share / 10000.0,
                      dimension_name(now),
                      (GRAY_SHARE_ALL - old->holdback) / 10000.0);
    }
    if (now->dimension > 0 && now->holdback > old->holdback) {
        gray_gate_say(g, GRAY_ERROR, GRAY_PROBLEM_SHARE_LOWERED,
                      "/admission/holdback",
                      "the hold-back grows, so the dimensions before %s would "
                      "shrink: users who are in would fall out",
                      dimension_name(now));
    }
}

void gray_gate_marks(struct gates *g, const struct model_release *old,
                     const struct model_release *now)
{
    compare_dimension(g, old, now);
    if (anybody_is_in(old)) {
        compare_keeping(g, old, now);
        compare_stages(g, old, now);
    }
}
