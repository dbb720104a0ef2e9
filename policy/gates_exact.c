/* SPDX-License-Identifier: Apache-2.0
 * gates_exact.c - what is left of a suspicion when it was looked into.
 *
 * Why: comparing rule by rule is quick and names what was lost ("drops 01"),
 * but it cannot see that another rule lets the same units in, or that nobody
 * fits.  So what it suspects is decided by exact.c: either the suspicion goes,
 * or there is a request that falls out, or nobody can tell, and why.
 * Read next: exact.c, gates_rules.c.
 */
#include <string.h>

#include "policy/exact.h"
#include "policy/gates.h"

static bool has_code(const struct gray_finding *finding, const char *code)
{
    return strcmp(finding->code, code) == 0;
}

/* Whether a finding says that somebody drops, and no more. */
static bool is_of_drops(const struct gray_finding *finding)
{
    return has_code(finding, "may-drop") || has_code(finding, "tail-dropped") ||
           has_code(finding, "ids-dropped");
}

static bool is_suspected(const struct gray_findings *findings)
{
    for (size_t i = 0; i < findings->count; i++) {
        if (is_of_drops(&findings->items[i])) {
            return true;
        }
    }
    return false;
}

static void pass_on(struct gates *g, const struct gray_finding *finding,
                    const char *more)
{
    gray_gate_say(g, finding->severity,
                  gray_problem_number(finding->code), finding->pointer,
                  "%s%s", finding->sentence != NULL ? finding->sentence : "",
                  more);
}

/* A finding that names what is lost is better than an example. */
static bool is_named(const struct gray_findings *findings)
{
    for (size_t i = 0; i < findings->count; i++) {
        if (findings->items[i].severity == GRAY_ERROR &&
            !has_code(&findings->items[i], "may-drop")) {
            return true;
        }
    }
    return false;
}

static void say_witness(struct gates *g, const char *pointer,
                        const struct exact *exact)
{
    gray_gate_say(
        g, GRAY_ERROR, GRAY_PROBLEM_DROPS, pointer,
        "units that are in would fall out, %s %s: %s Only widen it (more "
        "alternatives, a shorter prefix, a larger range, a List of ids to "
        "deny), or send everyone back first (gray stop %s)",
        exact->told ? "for instance" : "for instance some like",
        exact->witness, exact->because, g->release);
}

static void decide(struct gates *g, const struct gray_findings *suspicions,
                   const struct exact *exact)
{
    bool named = is_named(suspicions), said = false;

    for (size_t i = 0; i < suspicions->count; i++) {
        const struct gray_finding *finding = &suspicions->items[i];
        bool error = finding->severity == GRAY_ERROR;

        if (!is_of_drops(finding)) {
            pass_on(g, finding, "");
        } else if (!error) {
            if (exact->single || exact->answer != EXACT_SAFE) {
                pass_on(g, finding, "");
            }
        } else if (exact->answer == EXACT_UNKNOWN) {
            pass_on(g, finding, gray_arena_print(&g->arena,
                                                 " (not decided: %s)",
                                                 exact->why));
        } else if (exact->answer == EXACT_DROPS) {
            if (!has_code(finding, "may-drop")) {
                pass_on(g, finding, "");
            } else if (!named && !said) {
                say_witness(g, finding->pointer, exact);
                said = true;
            }
        }
    }
}

/* A suspicion for which there was no memory is one still. */
static void say_lost(struct gates *g, const struct gray_findings *suspicions)
{
    size_t kept = 0;

    for (size_t i = 0; i < suspicions->count; i++) {
        kept += suspicions->items[i].severity == GRAY_ERROR;
    }
    if (kept < suspicions->errors && suspicions->count < GRAY_FINDINGS_MAX) {
        gray_gate_say(g, GRAY_ERROR, GRAY_PROBLEM_OUT_OF_MEMORY, NULL,
                      "memory is at its end while comparing");
    }
}

void gray_gate_settle(struct gates *g, const struct model_release *old,
                      const struct model_release *now)
{
    struct gray_findings *suspicions = &g->suspicions;
    struct exact exact = {.answer = EXACT_SAFE};

    if (is_suspected(suspicions)) {
        struct exact_question question = {g->before, g->after, old, now,
                                          g->options.now};

        gray_exact(&g->arena, &question, &exact);
    }
    decide(g, suspicions, &exact);
    say_lost(g, suspicions);
    gray_findings_free(suspicions);
}
