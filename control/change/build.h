/* SPDX-License-Identifier: Apache-2.0
 * build.h - a world checked, compared and compiled.
 *
 * Why: apply, plan, delete, verbs and the start of grayd all need the same
 * line: documents (with the shares that grayd holds) -> model -> gates ->
 * snapshot. Pure but for memory: nothing is read, written or asked.
 * Read next: build.c, policy/policy.h.
 */
#ifndef GRAYD_BUILD_H
#define GRAYD_BUILD_H

#include "control/call/call.h"
#include "control/change/world.h"
#include "policy/policy.h"

struct build {
    struct gray_findings findings;
    struct gray_model *model;
    struct gray_compiled compiled;
};
void build_clear(struct build *build);

/* Checks a world (gates 1, 2, lint). `texts` are documents as somebody wrote
 * them, which stand in place of the world's own of the same kind and name, so
 * that findings name their lines; the others are added to them. NULL: none.
 * 0, or -1 with findings. */
int build_check(struct build *build, const struct world *world,
                struct gray_documents *texts);
/* Gate 3 and the snapshot. */
int build_compile(struct build *build,
                  const struct gray_compile_options *options);
/* New reference. Of what he did not write now advice is left out, and warnings
 * about documents outside the scope of `reader` (NULL: everybody). */
json_t *build_findings(const struct build *build,
                       const struct identity *reader);
/* Documents of an "Apply" body, read with their names. NULL with findings, or
 * out of memory. */
struct gray_documents *build_read_files(const json_t *files,
                                        struct gray_findings *findings);
/* The world with these documents put in; with `prune` all others taken out.
 * Release states follow: new releases begin, changed ones are reapplied, those
 * taken out end. 0, or -1 with *ret_refusal. */
int build_apply(struct world *world, const struct gray_documents *texts,
                bool prune, int64_t now, const char *by,
                struct release_refusal *ret_refusal);

#endif
