/* SPDX-License-Identifier: Apache-2.0
 * release.h - what decide.c and explain.c ask about one release.
 *
 * Why: the scope word is read for carried arms as well as for decided ones,
 * and explain shows it; there must be one reading of it.  What all releases of
 * a request have in common is put together once.
 * Read next: release.c.
 */
#ifndef GRAY_ENGINE_RELEASE_H
#define GRAY_ENGINE_RELEASE_H

#include "engine/program.h"

/* A decision: begun once a request, used for each of its releases. */
struct decision {
    struct program run;
    struct gray_input *in;
    gray_mark_fn marks;
    void *marks_context;
    /* Of the release in turn: */
    const struct gray_release *release;
    struct gray_verdict *verdict;
    uint32_t share;
    uint8_t left;    /* bit of every step that may still be asked */
    bool decides;    /* a new answer may be given, and recorded */
    bool marked;     /* there is somebody to ask for a mark */
    struct known {   /* zero at first */
        const struct gray_stage *stage; /* NULL: none declared, none holds */
        struct gray_str alias; /* whose `mark` is; length 0: the unit's own */
        struct gray_mark mark; /* of the unit, else of its earlier name */
        uint8_t refuse; /* enum gray_reason why nobody new comes in */
        bool looked;    /* `mark` was asked for */
        bool unknown;   /* ... and it cannot be believed */
        bool closed;    /* ... and none can be made now */
    } is;
};

static inline void release_begin(struct decision *d,
                                 const struct gray_view *view,
                                 struct gray_input *in, gray_mark_fn marks,
                                 void *marks_context, struct gray_trace *trace)
{
    d->run.view = view;
    d->run.policy = view->policy;
    d->run.in = in;
    d->run.unit = (struct gray_str){ NULL, 0 };
    d->run.trace = trace;
    d->run.release = GRAY_NONE;
    d->run.rule = GRAY_NONE;
    d->run.step = GRAY_STEP_END;
    d->in = in;
    d->marks = marks;
    d->marks_context = marks_context;
}
/* What gray_decide_release() says. */
void release_decide(struct decision *d, uint32_t release,
                    struct gray_verdict *ret_verdict);

/* ---- mark.c ---------------------------------------------------------------- */

/* The stage of this request, for a release that has stages. */
void mark_stage(struct decision *d);
/* Asks for the mark; mark_look() once, and only where there is somebody to
 * ask. */
void mark_look_up(struct decision *d);
static inline void mark_look(struct decision *d)
{
    if (d->marked && !d->is.looked) {
        mark_look_up(d);
    }
}
/* Takes heed of what was found: false when no step but those in `left` may
 * answer any more; the verdict says why. */
bool mark_heed(struct decision *d);
/* Is an earlier admission proven otherwise?  *ret_mark is it, *ret_alias
 * whether under the earlier name. */
bool mark_evidence(struct decision *d, struct gray_mark *ret_mark,
                   bool *ret_alias);
/* Sums up the refusal of an entity: what it records, and whether neither
 * version may serve. */
void mark_refused(struct decision *d);
/* The word sends everyone to the baseline: an entity that begins now is the
 * old version's, and stays so when the word is taken back. */
void mark_overridden(struct decision *d);

/* May this answer be recorded: does nothing stand there that says otherwise,
 * and is nothing in the way?  (A refusal of new units is in the way of an IN
 * alone.) */
static inline bool mark_may_record(const struct decision *d,
                                   enum gray_mark_state state)
{
    return d->decides && d->run.unit.length != 0 &&
           d->release->stickiness != GRAY_STICKY_NONE &&
           d->in->traffic_class == GRAY_CLASS_LIVE && !d->is.closed &&
           (d->is.mark.state == GRAY_MARK_ABSENT ||
            (d->is.alias.length != 0 && d->is.mark.state == state) ||
            (d->is.mark.state == GRAY_MARK_REVOKED && state == GRAY_MARK_IN &&
             d->is.mark.attempt < d->release->attempt));
}

/* The scope word in force; a word that belongs to somebody else says
 * GRAY_WORD_NO_ADMIT. */
enum gray_word gray_release_word(const struct gray_view *view,
                                 const struct gray_release *release);
/* Why such a word keeps a unit out. */
enum gray_reason gray_release_word_reason(enum gray_word word);

#endif
