/* SPDX-License-Identifier: Apache-2.0
 * explain.h - why: every step and condition that was tried, as one line.
 *
 * Why: whoever asks at 3 a.m. must get the same answer from the gateway, the
 * library and the command. Read next: explain.c, ../docs/explain.md.
 */
#ifndef GRAY_ENGINE_EXPLAIN_H
#define GRAY_ENGINE_EXPLAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/decide.h"

#define GRAY_TRACE_STEPS 96u
#define GRAY_TRACE_VERDICTS 32u
#define GRAY_TRACE_ALIAS 0x80u
/* One condition or step that was tried. */
struct gray_trace_step {
    uint32_t release;        /* GRAY_NONE: a lane rule */
    uint32_t rule;           /* GRAY_NONE: not inside a rule */
    uint32_t insn;           /* its instruction; GRAY_NONE: a step */
    uint8_t step;            /* enum gray_step */
    uint8_t result;          /* 0, 1; a step: 0 went on, 1 ended here */
    uint8_t value_known;
    uint8_t mark;            /* enum gray_mark_state; MARK, EVIDENCE only;
                                with GRAY_TRACE_ALIAS: of the earlier name */
    struct gray_str value;   /* the first value looked at; a step: the unit */
};
struct gray_trace {
    uint32_t step_count, verdict_count;
    bool truncated;
    struct gray_trace_step steps[GRAY_TRACE_STEPS];
    struct gray_verdict verdicts[GRAY_TRACE_VERDICTS]; /* every release asked */
};

/* Decides with a trace and writes one line of JSON without a line end, in the
 * form that docs/explain.md says.  The same bytes for the same input
 * everywhere.  Returns the length that the whole text has; it was cut off
 * (NUL-terminated, never valid JSON) when that is not below `size`.  Values
 * are cut to 64 bytes, escaped to ASCII. */
size_t gray_explain(const struct gray_view *view, uint32_t entrance,
                    struct gray_input *in, gray_mark_fn marks,
                    void *marks_context, char *buffer, size_t size);

#endif
