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
    bool no_admit; /* nobody new; who is in stays in */
    bool unknown;  /* the mark could not be read: only evidence counts */
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

/* The scope word in force; a word that belongs to somebody else says
 * GRAY_WORD_NO_ADMIT. */
enum gray_word gray_release_word(const struct gray_view *view,
                                 const struct gray_release *release);
/* Why such a word keeps a unit out. */
enum gray_reason gray_release_word_reason(enum gray_word word);

#endif
