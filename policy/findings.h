/* SPDX-License-Identifier: Apache-2.0
 * findings.h - how the parts of the policy compiler report problems.
 *
 * Why: a finding's place costs a scan of the text, and most policies have no
 * findings; so a check names document and JSON pointer, and the places of all
 * findings of a step are found together at its end.
 * Read next: problems.def, check.h (gates 1 and 2), locate.h.
 */
#ifndef GRAY_POLICY_FINDINGS_H
#define GRAY_POLICY_FINDINGS_H

#include <stdarg.h>

#include "policy/policy.h"

#define GRAY_FINDINGS_MAX 1000u

enum gray_problem_number {
#define GRAY_PROBLEM(NAME, code, meaning) GRAY_PROBLEM_##NAME,
#include "policy/problems.def"
#undef GRAY_PROBLEM
    GRAY_PROBLEM_COUNT
};

/* The number of a code; GRAY_PROBLEM_COUNT: there is no such code. */
enum gray_problem_number gray_problem_number(const char *code);
/* Everything about a finding but its sentence; strings are copied. */
struct gray_finding_head {
    enum gray_severity severity;
    enum gray_problem_number problem;
    const char *file;
    uint32_t line, column;
    const char *pointer, *document;
};
/* Adds one.  Beyond GRAY_FINDINGS_MAX only errors are counted, and the last
 * item says so.  Returns the item, NULL when it was not kept. */
struct gray_finding *gray_findings_add(struct gray_findings *findings,
                                       const struct gray_finding_head *head,
                                       const char *format, ...)
    __attribute__((format(printf, 3, 4)));
struct gray_finding *gray_findings_addv(struct gray_findings *findings,
                                        const struct gray_finding_head *head,
                                        const char *format, va_list arguments)
    __attribute__((format(printf, 3, 0)));

/* Fills file, line and column of the findings from number `first` on that have
 * a document ("Release/cart-2"), a pointer and no line yet.  For steps after
 * gray_model_check(): the model still holds the texts. */
struct gray_model;
void gray_model_locate(const struct gray_model *model,
                       struct gray_findings *findings, size_t first);

#endif
