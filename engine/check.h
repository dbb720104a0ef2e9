/* SPDX-License-Identifier: Apache-2.0
 * check.h - what the checks of a policy.snap share.
 *
 * Why: a snapshot is checked whole before anything of it is used, in time that
 * follows its size.  Records may be shared, so work is counted: a file that
 * would make its reader look at the same bytes over and over is refused.
 * Read next: snapshot.c (tables and records), check.c (programs, indexes).
 */
#ifndef GRAY_ENGINE_CHECK_H
#define GRAY_ENGINE_CHECK_H

#include "engine/view.h"

#define CHECK_SEEN 1024u /* operands remembered as right */

struct check {
    const struct gray_snapshot *s;
    const struct gray_policy *policy;
    struct gray_problem *problem;
    uint64_t budget;     /* steps that the rest of the file may cost */
    uint32_t insns_used; /* programs share no instructions */
    uint32_t seen[CHECK_SEEN]; /* offset | shape, see check.c */
};

/* All give 0, or -1 with the problem filled. */
int check_refuse(struct check *check, const char *code, const char *sentence,
                 const void *record);
int check_spend(struct check *check, uint64_t steps);
int check_program(struct check *check, uint32_t first, uint32_t count);
int check_rules(struct check *check);
int check_rulesets(struct check *check);

/* A reference lies behind the headers and inside the file. */
static inline bool check_ref(const struct check *check, struct gray_ref ref)
{
    return ref.length == 0 ||
           (ref.offset >= sizeof(struct gray_file_header) +
                              sizeof(struct gray_policy) &&
            view_bytes(check->s, ref.offset, ref.length) != NULL);
}

/* `table` of records of `width` bytes lies behind the headers, aligned. */
static inline bool check_table(const struct check *check,
                               struct gray_table table, uint64_t width,
                               uint64_t align)
{
    return table.count == 0 ||
           (table.offset >= sizeof(struct gray_file_header) +
                                sizeof(struct gray_policy) &&
            table_fits(check->s->size, table, width, align));
}

static inline bool check_power(uint32_t count)
{
    return count != 0 && (count & (count - 1)) == 0;
}

#endif
