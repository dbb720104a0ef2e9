/* SPDX-License-Identifier: Apache-2.0
 * gates.c - gates 4 and 5: what a new policy would do to those who are in.
 *
 * Why: a user who met the new version and falls back has data that the old one
 * may not read, so `in before AND NOT in after` must be empty, and what cannot
 * be proven is refused.  One release may be widened in one way at a time, or
 * nobody knows afterwards which of the two did the harm.
 * Read next: implies.c, dropped.c, gates_rules.c.
 */
#include "policy/gates.h"
#include "policy/standing.h"

#include <string.h>

void gray_gate_say(struct gates *g, enum gray_severity severity,
                   enum gray_problem_number problem, const char *pointer,
                   const char *format, ...)
{
    struct gray_finding_head head = {
        .severity = severity,
        .problem = problem,
        .pointer = pointer,
        .document = g->document};
    va_list arguments;
    va_start(arguments, format);
    gray_findings_addv(g->findings, &head, format, arguments);
    va_end(arguments);
}

/* ---- identity ------------------------------------------------------------ */

static void compare_identity(struct gates *g, const struct model_release *old,
                             const struct model_release *now)
{
    bool same = old->unit_count <= now->unit_count;
    if (strcmp(old->salt, now->salt) != 0) {
        gray_gate_say(g, GRAY_ERROR, GRAY_PROBLEM_SALT_CHANGED, "/salt",
                      "the salt was \"%s\"; another one deals all units anew "
                      "and throws out most who are in: write the old one",
                      old->salt);
    }
    for (uint32_t i = 0; same && i < old->unit_count; i++) {
        same = old->units[i].source == now->units[i].source &&
               strcmp(old->units[i].name.data, now->units[i].name.data) == 0;
    }
    if (!same) {
        gray_gate_say(g, GRAY_ERROR, GRAY_PROBLEM_UNIT_CHANGED, "/unit",
                      "the unit was found elsewhere before; another place "
                      "makes everyone who is in somebody else: keep the old "
                      "places first (new ones may follow them)");
    }
    if (now->share < old->share && now->dimension == old->dimension) {
        gray_gate_say(g, GRAY_ERROR, GRAY_PROBLEM_SHARE_LOWERED,
                      "/admission/share",
                      "the share was %g and would be %g: users who are in "
                      "would fall out. To stop new ones, freeze (gray freeze "
                      "%s); to take all back, abort (gray stop %s); to take "
                      "some back, retreat (publish it under another name with "
                      "salt: %s)",
                      old->share / 10000.0, now->share / 10000.0, now->name,
                      now->name, old->salt);
    }
    if (now->attempt != old->attempt && old->share > 0) {
        gray_gate_say(g, GRAY_ERROR, GRAY_PROBLEM_MAY_DROP, "/attempt",
                      "the attempt was %u; a new one counts no cookie and no "
                      "mark of the old one, so it begins at share 0 (gray "
                      "stop %s first)",
                      old->attempt, now->name);
    }
}

static bool stands_in(const char *name, const char *const *list,
                      uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(list[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static void compare_entrances(struct gates *g,
                              const struct model_release *old,
                              const struct model_release *now)
{
    if (now->entrance_count == 0) {
        return;
    }
    if (old->entrance_count == 0) {
        gray_gate_say(g, GRAY_ERROR, GRAY_PROBLEM_MAY_DROP, "/entrances",
                      "the release stood at every entrance; whoever comes in "
                      "by another one would fall out");
        return;
    }
    for (uint32_t i = 0; i < old->entrance_count; i++) {
        if (!stands_in(old->entrances[i],
                       (const char *const *)now->entrances,
                       now->entrance_count)) {
            gray_gate_say(g, GRAY_ERROR, GRAY_PROBLEM_MAY_DROP, "/entrances",
                          "the release stood at entrance %s; whoever comes in "
                          "there would fall out",
                          old->entrances[i]);
        }
    }
}

/* ---- variants ------------------------------------------------------------ */

static const char *service_name(const struct gray_model *model,
                                const struct model_target *target)
{
    return model->services[target->service].name;
}

static void compare_targets(struct gates *g, const struct model_variant *old,
                            const struct model_variant *now)
{
    for (uint32_t i = 0; i < old->target_count; i++) {
        const char *service = service_name(g->before, &old->targets[i]);
        const struct model_target *found = NULL;
        for (uint32_t k = 0; k < now->target_count && found == NULL; k++) {
            if (strcmp(service_name(g->after, &now->targets[k]), service) ==
                0) {
                found = &now->targets[k];
            }
        }
        if (found == NULL) {
            gray_gate_say(g, GRAY_ERROR, GRAY_PROBLEM_TARGET_DROPPED,
                          g->services, "service %s would no longer be part: "
                                       "there, whoever is in falls back to "
                                       "the baseline",
                          service);
        } else if (strcmp(found->version, old->targets[i].version) != 0) {
            gray_gate_say(g, GRAY_WARNING, GRAY_PROBLEM_TARGET_CHANGED,
                          g->services, "whoever is in meets version %s of %s "
                                       "instead of %s at once",
                          found->version, service, old->targets[i].version);
        }
    }
}

static void compare_variants(struct gates *g,
                             const struct model_release *old,
                             const struct model_release *now)
{
    bool same = old->variant_count == now->variant_count;
    bool single = old->variant_count == 1 && old->variants[0].name[0] == '\0';
    g->services = single ? "/services" : "/variants";
    for (uint32_t i = 0; same && i < old->variant_count; i++) {
        same = strcmp(old->variants[i].name, now->variants[i].name) == 0 &&
               old->variants[i].upto == now->variants[i].upto;
    }
    if (!same) {
        gray_gate_say(g, GRAY_ERROR, GRAY_PROBLEM_VARIANT_MOVED, NULL,
                      "names, order or weights of the variants changed: "
                      "units would move from one to another; end this release "
                      "and begin a new one");
        return;
    }
    for (uint32_t i = 0; i < old->variant_count; i++) {
        compare_targets(g, &old->variants[i], &now->variants[i]);
    }
}

/* ---- gate 5 -------------------------------------------------------------- */

static void compare_dimensions(struct gates *g,
                               const struct model_release *old,
                               const struct model_release *now)
{
    /* A dimension that opens moves from nobody to its share. */
    bool opens = now->dimension > old->dimension;
    bool share = opens || now->share > old->share;
    bool require = gray_gate_require_changed(g, old, now);
    bool match = gray_gate_match_changed(g, old, now);
    if (share + require + match < 2) {
        return;
    }
    gray_gate_say(g, GRAY_ERROR, GRAY_PROBLEM_TWO_DIMENSIONS,
                  opens   ? "/admission/dimension"
                  : share ? "/admission/share"
                          : "/admission/match",
                  "%s%s%s change in one revision; change one at a time, and "
                  "the next when the first is where it should be",
                  opens   ? "dimension"
                  : share ? "share"
                          : "",
                  require ? share ? ", require"
                                                        : "require"
                                                : "",
                  match ? ", match" : "");
}

/* ---- both policies ------------------------------------------------------- */

static const struct model_release *find_release(const struct gray_model *model,
                                                const char *name)
{
    for (uint32_t i = 0; i < model->release_count; i++) {
        if (strcmp(model->releases[i].name, name) == 0) {
            return &model->releases[i];
        }
    }
    return NULL;
}

static void compare_release(struct gates *g, const struct model_release *old,
                            const struct model_release *now)
{
    compare_identity(g, old, now);
    compare_entrances(g, old, now);
    compare_variants(g, old, now);
    gray_gate_rules(g, old, now);
    gray_gate_marks(g, old, now);
    compare_dimensions(g, old, now);
}

/* Documents are the whole policy: what they leave out ends.  One file given
 * where a folder was meant would end all the rest, so that must be said. */
static enum gray_severity ended_severity(const struct gates *g, bool harms)
{
    return harms && !g->options.prune ? GRAY_ERROR : GRAY_WARNING;
}

static const char *ended_advice(const struct gates *g, bool harms)
{
    return harms && !g->options.prune
               ? ". The documents given are the whole policy: give them all "
                 "together, or say --prune if it is to go"
               : "";
}

static void compare_services(struct gates *g)
{
    uint32_t k = 0; /* both are in the order of their names */
    for (uint32_t i = 0; i < g->before->service_count; i++) {
        const char *name = g->before->services[i].name;
        while (k < g->after->service_count &&
               strcmp(g->after->services[k].name, name) < 0) {
            k++;
        }
        if (k == g->after->service_count ||
            strcmp(g->after->services[k].name, name) != 0) {
            g->document = gray_arena_print(&g->arena, "Service/%s", name);
            gray_gate_say(g, ended_severity(g, true),
                          GRAY_PROBLEM_SERVICE_ENDED, NULL,
                          "service %s is gone: what nginx sends there "
                          "(gray_service %s) is answered by the upstream's own "
                          "servers, or 503%s",
                          name, name, ended_advice(g, true));
        }
    }
}

static void compare_lanes(struct gates *g)
{
    for (uint32_t i = 0; i < g->before->lane_count; i++) {
        const struct model_lane *old = &g->before->lanes[i];
        const struct model_lane *now = NULL;
        for (uint32_t k = 0; k < g->after->lane_count; k++) {
            if (strcmp(g->after->lanes[k].name, old->name) == 0) {
                now = &g->after->lanes[k];
            }
        }
        if (old->enabled && (now == NULL || !now->enabled)) {
            bool gone = now == NULL; /* not switched off by name */

            g->document = gray_arena_print(&g->arena, "Lane/%s", old->name);
            gray_gate_say(g, ended_severity(g, gone), GRAY_PROBLEM_LANE_ENDED,
                          gone ? NULL : "/enabled",
                          "lane %s is %s: its requests go where requests "
                          "without a lane go%s",
                          old->name, gone ? "gone" : "switched off",
                          ended_advice(g, gone));
        }
    }
}

static bool has_finding(const struct gray_findings *findings, size_t first,
                        const char *code)
{
    for (size_t i = first; i < findings->count; i++) {
        if (strcmp(findings->items[i].code, code) == 0) {
            return true;
        }
    }
    return false;
}

/* Keeps in mind that a release has errors, to be counted when all are known. */
static void note_concern(struct gates *g, const struct model_release *old,
                         const struct model_release *now)
{
    size_t errors = g->findings->errors - g->document_errors;
    bool denies = has_finding(g->findings, g->document_first, "deny-added");

    if (errors > 0 || denies) {
        g->concerns[g->concern_count++] = (struct concern){
            .old = old, .now = now, .document = g->document,
            .first = g->document_first, .last = g->findings->count,
            .errors = errors, .denies = denies,
            .lost_tails = gray_arena_copy(&g->arena, g->lost_tails,
                                          strlen(g->lost_tails))};
    }
    g->lost_tails[0] = '\0';
}

static void compare_all(struct gates *g)
{
    g->concerns = gray_arena_array(&g->arena, g->before->release_count,
                                   sizeof(*g->concerns));
    for (uint32_t i = 0; i < g->before->release_count; i++) {
        const struct model_release *old = &g->before->releases[i];
        const struct model_release *now = find_release(g->after, old->name);
        g->document = gray_arena_print(&g->arena, "Release/%s", old->name);
        g->release = old->name;
        g->document_first = g->findings->count;
        g->document_errors = g->findings->errors;
        if (now == NULL) {
            bool somebody = old->share > 0 || old->allow_count > 0;

            gray_gate_say(g, ended_severity(g, somebody),
                          GRAY_PROBLEM_RELEASE_ENDED, NULL,
                          "this ends the release %s (share %g %%): whoever is "
                          "in is served by the baseline from then on%s",
                          old->name, old->share / 10000.0,
                          ended_advice(g, somebody));
        } else {
            compare_release(g, old, now);
        }
        note_concern(g, old, now);
    }
    gray_gate_drops(g);
    g->release = NULL;
    compare_services(g);
    compare_lanes(g);
}

static bool compare_guarded(struct gates *g)
{
    jmp_buf full;
    if (setjmp(full) != 0) {
        g->arena.full = NULL;
        return false;
    }
    g->arena.full = &full;
    compare_all(g);
    g->arena.full = NULL;
    return true;
}

int gray_gates_compare(const struct gray_model *before,
                       const struct gray_model *after,
                       const struct gray_gate_options *options,
                       struct gray_findings *findings,
                       struct gray_drops *ret_drops)
{
    struct gates g = {.before = before,
                      .after = after,
                      .options = options != NULL
                                     ? *options
                                     : (struct gray_gate_options){0},
                      .findings = findings,
                      .drops = ret_drops,
                      .proof = {.budget = GRAY_PROOF_BUDGET}};
    size_t first = findings->count, errors = findings->errors;
    if (ret_drops != NULL) {
        *ret_drops = (struct gray_drops){NULL, 0};
    }
    if (before == NULL) {
        return 0;
    }
    if (!compare_guarded(&g)) {
        struct gray_finding_head head = {
            .severity = GRAY_ERROR, .problem = GRAY_PROBLEM_OUT_OF_MEMORY};
        gray_findings_add(findings, &head,
                          "memory is at its end while comparing");
    }
    gray_findings_free(&g.suspicions);
    gray_standing_close(g.standing);
    gray_arena_free(&g.arena);
    gray_model_locate(after, findings, first);
    return findings->errors == errors ? 0 : -1;
}
