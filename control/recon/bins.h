/* SPDX-License-Identifier: Apache-2.0
 * bins.h - do so many come in as the share says, and from all of the line?
 *
 * Why: R5.  Decisions that are right one by one may still be of units that were
 * dealt unevenly: ids whose hash is no chance, a tail that shards something
 * else.  For each share in force the units that it decided are counted, and
 * compared with what chance would give.
 * Read next: bins.c, ../../policy/chi_square.h.
 */
#ifndef GRAYD_RECON_BINS_H
#define GRAYD_RECON_BINS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BINS_LINE 10u        /* parts of the line below the share */
#define BINS_LEAST 100u      /* units decided: fewer are not judged */
#define BINS_CHANCE 1e-6     /* less likely than this is a difference */
#define BINS_SHARES_MAX 4096u

struct bins_share {
    uint32_t share;
    uint64_t decided, in;
    uint64_t line[BINS_LINE]; /* of those in, by their bucket */
    double expected;          /* filled by bins_judge() */
    double chance, chance_line; /* 1: not judged */
};
struct bins {
    struct bins_share *shares; /* ascending */
    size_t count, room;
    bool failed; /* no memory */
};
/* One unit that a share decided. */
void bins_add(struct bins *bins, uint32_t share, uint32_t bucket, bool in);
/* Fills expected and chances of one; true: it fits. */
bool bins_judge(struct bins_share *share);
void bins_free(struct bins *bins);

#endif
