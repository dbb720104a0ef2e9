/* SPDX-License-Identifier: Apache-2.0
 * program.h - running the programs of a policy.
 *
 * Why: rules, gates and deny lists are all the same kind of program; what they
 * run on is the request, the unit of the release under decision and the view.
 * Read next: program.c (the interpreter), ruleset.c (which rules to try).
 */
#ifndef GRAY_ENGINE_PROGRAM_H
#define GRAY_ENGINE_PROGRAM_H

#include "engine/engine.h"

/* What a program runs on; lives for one release of one decision. */
struct program {
    const struct gray_view *view;
    const struct gray_snapshot *policy;
    const struct gray_input *in;
    struct gray_str unit;     /* length 0: none */
    struct gray_trace *trace; /* NULL: nobody listens */
    uint32_t release;         /* GRAY_NONE: a lane rule */
    uint32_t rule;            /* for the trace */
    uint8_t step;             /* enum gray_step, for the trace */
};

/* Does the program hold?  None (count 0) does; a broken one does not. */
bool program_holds(struct program *run, uint32_t first, uint32_t count);

/* Number of the first rule of a set that holds (counted in the whole table);
 * GRAY_NONE when none does, or when there is no such set. */
uint32_t ruleset_first(struct program *run, uint32_t ruleset);

/* The three readers of texts; false: not of this form. (number.c) */
bool number_unsigned(struct gray_str text, uint64_t *ret_value);
bool number_signed(struct gray_str text, int64_t *ret_value);
/* RFC 3339, to milliseconds since the epoch. */
bool number_date(struct gray_str text, int64_t *ret_ms);
/* Does a version stand in this relation?  `op` is enum gray_semver_op. */
bool number_semver(struct gray_str text, uint32_t op, const uint32_t part[3],
                   struct gray_str pre);

/* Is the moment inside the window?  `steps` may be NULL: UTC. (window.c) */
bool window_holds(const struct gray_operand_time *window,
                  const struct gray_zone_step *steps, uint32_t step_count,
                  int64_t now_ms);

/* Adds to a trace, NULL allowed; `mark` is enum gray_mark_state, with
 * GRAY_TRACE_ALIAS where `unit` is the earlier name. (explain.c) */
void trace_condition(const struct program *run, uint32_t insn, bool result);
void trace_step(struct gray_trace *trace, uint32_t release, uint32_t rule,
                enum gray_step step, bool ended, uint32_t mark,
                struct gray_str unit);
void trace_verdict(struct gray_trace *trace,
                   const struct gray_verdict *verdict);

#endif
