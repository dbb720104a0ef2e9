/* SPDX-License-Identifier: Apache-2.0
 * rules.h - the rules of a day: what a release said, as of a revision.
 *
 * Why: history obeyed other rules than today's.  The store keeps every
 * document and every state with the revision and the moment from which and
 * until which it was valid; here they are compiled anew, with the share and
 * attempt of then, and the engine's own code decides.
 * Threads: one.  Errors: negative with *ret_problem.
 * Read next: rules.c, ../change/build.h.
 */
#ifndef GRAYD_RECON_RULES_H
#define GRAYD_RECON_RULES_H

#include "control/checks/check.h"
#include "control/release/release.h"
#include "control/store/store.h"

#define RULES_UNKNOWN UINT64_MAX

struct rules;
/* Reads the history of the Check's release. -ENOENT: there never was one. */
int rules_open(struct rules **ret_rules, struct store_reader *reader,
               const struct check *check, struct gray_problem *ret_problem);
void rules_close(struct rules *rules);

/* Where the release stood: one for each change of its state, oldest first. */
struct rules_span {
    uint64_t revision;    /* from which */
    int64_t at, until;    /* ms; until INT64_MAX: still */
    uint32_t share, word; /* GRAY_WORD_* */
    bool known;           /* its state could be read */
};
size_t rules_spans(const struct rules *rules,
                   const struct rules_span **ret_spans);
/* The one of a revision; NULL: there was no such release. */
const struct rules_span *rules_of(const struct rules *rules,
                                  uint64_t revision);
/* The revision of the rules (documents, lists and state of the release) that
 * were in force at a moment, and those within `slack` of it: at most `most`,
 * oldest first. 0: none was. */
size_t rules_around(const struct rules *rules, int64_t at, int64_t slack,
                    uint64_t *ret_revisions, size_t most);

/* Facts of the newest document: stickiness, lease, the space of the stage. */
uint8_t rules_stickiness(const struct rules *rules);
uint32_t rules_lease_ms(const struct rules *rules);
uint8_t rules_space(const struct rules *rules);

struct rules_attribute {
    struct gray_str value; /* data NULL: the row has none */
};
struct rules_verdict {
    bool judged;        /* false: `why` says what is missing */
    bool in;
    uint8_t variant, reason; /* enum gray_reason */
    uint32_t bucket, share;  /* bucket GRAY_NONE: none was computed */
    const char *why;    /* static, or of the rules */
};
/* Decides for a unit without a mark, with the Check's attributes in their
 * order (NULL: there is no row; then only rules that look at none are judged)
 * and the word open. */
void rules_decide(struct rules *rules, uint64_t revision, int64_t at,
                  struct gray_str unit,
                  const struct rules_attribute *attributes,
                  struct rules_verdict *ret_verdict);

#endif
