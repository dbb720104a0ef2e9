/* SPDX-License-Identifier: Apache-2.0
 * harm.c - who is taken out again, and what that breaks: retreat and undo.
 *
 * Why: a unit that is in has data of the new version.  Where the old version
 * can read it, going back costs nothing; where it cannot (dataCompat:
 * irreversible), each mark that is taken back is a unit whose data breaks: so
 * a person says it, with a reason, and with the number that he was shown.
 * stop asks nothing, because it never does that.
 * Read next: move.c, control/marks/marks.h (who moves the marks).
 */
#include <stdio.h>

#include "control/release/internal.h"

/* ---- which marks go ------------------------------------------------------- */

/* Less of the bucket line than before, or an earlier dimension. */
static bool shrinks(const struct release_status *before,
                    const struct release_status *after)
{
    return after->dimension < before->dimension ||
           (after->dimension == before->dimension &&
            after->share < before->share);
}

enum release_revokes release_revokes(const struct release_status *before,
                                     const struct release_facts *facts,
                                     const struct release_event *event,
                                     const struct release_status *after)
{
    if (facts->stickiness == GRAY_STICKY_NONE) {
        return RELEASE_REVOKES_NONE;
    }
    if (after->state == RELEASE_ABORTED && !after->keep &&
        (before->state != RELEASE_ABORTED || before->keep)) {
        return RELEASE_REVOKES_ALL;
    }
    switch (event->verb) {
    case VERB_UNDO:
        return !shrinks(before, after) ? RELEASE_REVOKES_NONE
               : after->share == 0     ? RELEASE_REVOKES_ALL
                                       : RELEASE_REVOKES_ABOVE;
    case VERB_RETREAT:
        return event->cohort == RELEASE_COHORT_SHARE ? RELEASE_REVOKES_ABOVE
                                                     : RELEASE_REVOKES_COHORT;
    default:
        return RELEASE_REVOKES_NONE;
    }
}

bool release_harms(const struct release_status *before,
                   const struct release_facts *facts,
                   const struct release_event *event,
                   const struct release_status *after)
{
    if (facts->data_compat != GRAY_DATA_IRREVERSIBLE) {
        return false;
    }
    switch (event->verb) {
    case VERB_ABORT:
        return after->state == RELEASE_ABORTED && !after->keep;
    case VERB_KILL:
        return after->killed && !before->killed;
    case VERB_UNDO:
        return shrinks(before, after);
    case VERB_RETREAT:
        return true;
    default:
        return false;
    }
}

/* ---- may it be ------------------------------------------------------------ */

static int refuse_count(const struct release_facts *facts,
                        const struct release_event *event,
                        struct release_refusal *ret_refusal)
{
    const char *verb = release_verb_word(event->verb);
    char advice[300];

    if (event->marks == RELEASE_UNSAID) {
        snprintf(advice, sizeof(advice),
                 "gray stop %s lets nobody new in, and asks nothing",
                 facts->name);
        return release_refuse(ret_refusal, "marks-unknown", advice,
                              "%s is irreversible, and nobody can say now how "
                              "many marks %s would break.",
                              facts->name, verb);
    }
    snprintf(advice, sizeof(advice),
             "gray %s %s --breaks %llu, if that is meant; gray stop %s lets "
             "nobody new in and breaks none",
             verb, facts->name, (unsigned long long)event->marks, facts->name);
    if (event->breaks == RELEASE_UNSAID) {
        return release_refuse(ret_refusal, "would-break", advice,
                              "%s is irreversible: %llu units are in, and "
                              "what the new version wrote for them, the old "
                              "one cannot read.",
                              facts->name, (unsigned long long)event->marks);
    }
    return release_refuse(ret_refusal, "would-break", advice,
                          "%s is irreversible: %s would break %llu marks now, "
                          "not %llu.",
                          facts->name, verb, (unsigned long long)event->marks,
                          (unsigned long long)event->breaks);
}

int release_harm_allowed(const struct release_status *before,
                         const struct release_facts *facts,
                         const struct release_event *event,
                         const struct release_status *after,
                         struct release_refusal *ret_refusal)
{
    bool marked = facts->stickiness != GRAY_STICKY_NONE;
    char advice[300];

    if (!release_harms(before, facts, event, after) ||
        (marked && event->marks == 0 && event->breaks == RELEASE_UNSAID)) {
        return 0; /* or nobody is in */
    }
    if (!event->may_override) {
        snprintf(advice, sizeof(advice),
                 "gray stop %s lets nobody new in; an approver may do more",
                 facts->name);
        return release_refuse(ret_refusal, "forbidden", advice,
                              "%s is irreversible: %s breaks data, and needs "
                              "the right to override.",
                              facts->name, release_verb_word(event->verb));
    }
    return !marked || (event->marks != RELEASE_UNSAID &&
                       event->breaks == event->marks)
               ? 0
               : refuse_count(facts, event, ret_refusal);
}

/* ---- retreat -------------------------------------------------------------- */

int release_refuse_attempts(const struct release_facts *facts,
                            const struct release_status *now,
                            struct release_refusal *ret_refusal)
{
    return release_refuse(ret_refusal, "too-many-attempts",
                          "a new change needs a release of another name",
                          "%s was tried %u times, the most there is.",
                          facts->name, now->attempt);
}

static int retreat_to(const struct release_status *now,
                      const struct release_facts *facts, uint32_t share,
                      struct release_status *next,
                      struct release_refusal *ret_refusal)
{
    char advice[300], wanted[RELEASE_PERCENT_MAX], other[RELEASE_PERCENT_MAX];

    if (share == now->share) {
        return 1;
    }
    if (share == 0) {
        snprintf(advice, sizeof(advice),
                 "gray abort %s sends everyone to the baseline", facts->name);
        return release_refuse(ret_refusal, "zero-weight", advice,
                              "A retreat to 0 leaves nobody in: that is an "
                              "abort.");
    }
    if (share > now->share) {
        snprintf(advice, sizeof(advice), "gray set-weight %s %s", facts->name,
                 release_percent(share, wanted));
        return release_refuse(ret_refusal, "would-grow", advice,
                              "%s is at %s %%: a retreat only makes it "
                              "smaller.",
                              facts->name, release_percent(now->share, other));
    }
    if (now->attempt >= RELEASE_ATTEMPT_MAX) {
        return release_refuse_attempts(facts, now, ret_refusal);
    }
    release_arrive(next, facts,
                   now->state == RELEASE_FROZEN ? RELEASE_FROZEN
                                                : RELEASE_PAUSED,
                   share);
    next->attempt++; /* so that a larger share lets them in again */
    next->retreated = false;
    return 0;
}

int release_retreat(const struct release_status *now,
                    const struct release_facts *facts,
                    const struct release_event *event,
                    struct release_status *next,
                    struct release_refusal *ret_refusal)
{
    char advice[300];

    if (facts->stickiness == GRAY_STICKY_NONE) {
        snprintf(advice, sizeof(advice),
                 "gray stop %s sends everyone to the baseline", facts->name);
        return release_refuse_unmarked(facts, advice, ret_refusal);
    }
    if (event->busy) {
        snprintf(advice, sizeof(advice),
                 "gray status %s says how many are left", facts->name);
        return release_refuse(ret_refusal, "still-revoking", advice,
                              "Marks of %s are still being revoked: one after "
                              "the other.",
                              facts->name);
    }
    switch (event->cohort) {
    case RELEASE_COHORT_SHARE:
        if (event->share == RELEASE_NO_SHARE) {
            break;
        }
        return retreat_to(now, facts, event->share, next, ret_refusal);
    case RELEASE_COHORT_NEWEST:
    case RELEASE_COHORT_LISTED:
        next->retreated = true;
        return 0;
    default:
        break;
    }
    snprintf(advice, sizeof(advice),
             "gray retreat %s --to PERCENT, --last N, or --list FILE",
             facts->name);
    return release_refuse(ret_refusal, "cohort-missing", advice,
                          "retreat does not know whom to take out.");
}

/* ---- undo ----------------------------------------------------------------- */

/* Whoever is taken out now, or was by an abort, must be let in by a larger
 * share later. */
static int undo_to(const struct release_status *now,
                   const struct release_facts *facts,
                   enum release_state_number to, uint32_t share,
                   struct release_status *next,
                   struct release_refusal *ret_refusal)
{
    if (facts->stickiness != GRAY_STICKY_NONE &&
        (share < now->share ||
         (now->state == RELEASE_ABORTED && !now->keep))) {
        if (next->attempt >= RELEASE_ATTEMPT_MAX) {
            return release_refuse_attempts(facts, next, ret_refusal);
        }
        next->attempt++;
        next->retreated = false;
    }
    release_arrive(next, facts, to, share);
    return 0;
}

int release_undo(const struct release_status *now,
                 const struct release_facts *facts,
                 const struct release_event *event,
                 struct release_status *next,
                 struct release_refusal *ret_refusal)
{
    const struct release_status *earlier = event->earlier;
    char advice[300];

    if (earlier == NULL) {
        return release_refuse(ret_refusal, "no-earlier", NULL,
                              "%s did not exist at that revision.",
                              facts->name);
    }
    if (earlier->share == 0) {
        /* It was started once: its name stays taken. */
        next->dimension = 0;
        return undo_to(now, facts, RELEASE_INITIALIZED, 0, next, ret_refusal);
    }
    if (earlier->dimension != now->dimension && now->share > 0) {
        snprintf(advice, sizeof(advice),
                 "gray retreat %s takes units of this dimension out, gray "
                 "abort %s those of all",
                 facts->name, facts->name);
        return release_refuse(ret_refusal, "other-dimension", advice,
                              "%s was in another dimension then: marks of one "
                              "are not taken back by a share of the other.",
                              facts->name);
    }
    next->dimension = earlier->dimension;
    if (undo_to(now, facts, RELEASE_PAUSED, earlier->share, next,
                ret_refusal) != 0) {
        return -1;
    }
    if (next->state == RELEASE_PROMOTED) {
        release_text(next->completion, sizeof(next->completion), "RolledBack");
    }
    return 0;
}
