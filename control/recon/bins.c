/* SPDX-License-Identifier: Apache-2.0
 * bins.c - counts a share, and their chance.
 *
 * Why: see bins.h.  Two tests: how many are in (two cells: in and out), and
 * where on the line those in lie (ten cells).  A share so small or so large
 * that a cell would expect fewer than five is told as not judged.
 * Read next: bins.h.
 */
#include <stdlib.h>
#include <string.h>

#include "control/recon/bins.h"
#include "engine/engine.h"
#include "policy/chi_square.h"

#define CELL_LEAST 5.0 /* expected in a cell, for the test to hold */

static struct bins_share *find(struct bins *bins, uint32_t share)
{
    size_t low = 0, high = bins->count;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (bins->shares[middle].share < share) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low < bins->count && bins->shares[low].share == share) {
        return &bins->shares[low];
    }
    if (bins->count == BINS_SHARES_MAX) {
        return NULL;
    }
    if (bins->count == bins->room) {
        size_t room = bins->room * 2 + 16;
        void *more = realloc(bins->shares, room * sizeof(*bins->shares));

        if (more == NULL) {
            bins->failed = true;
            return NULL;
        }
        bins->shares = more;
        bins->room = room;
    }
    memmove(bins->shares + low + 1, bins->shares + low,
            (bins->count - low) * sizeof(*bins->shares));
    bins->count++;
    bins->shares[low] = (struct bins_share){.share = share};
    return &bins->shares[low];
}

void bins_add(struct bins *bins, uint32_t share, uint32_t bucket, bool in)
{
    struct bins_share *found = find(bins, share);

    if (found == NULL) {
        return;
    }
    found->decided++;
    found->in += in;
    if (in && share > 0) {
        uint64_t part = (uint64_t)bucket * BINS_LINE / share;

        found->line[part < BINS_LINE ? part : BINS_LINE - 1]++;
    }
}

bool bins_judge(struct bins_share *share)
{
    double all = (double)share->decided, off;

    share->expected = all * share->share / GRAY_SHARE_ALL;
    share->chance = share->chance_line = 1;
    if (share->decided < BINS_LEAST) {
        return true;
    }
    off = (double)share->in - share->expected;
    if (share->expected >= CELL_LEAST && all - share->expected >= CELL_LEAST) {
        share->chance = chi_square_tail(
            off * off / share->expected + off * off / (all - share->expected),
            1);
    } else if (share->share == 0 || share->share == GRAY_SHARE_ALL) {
        share->chance = off != 0 ? 0 : 1; /* exactly nobody, everybody */
    }
    if ((double)share->in / BINS_LINE >= CELL_LEAST) {
        share->chance_line = chi_square_tail(
            chi_square_even(share->line, BINS_LINE), BINS_LINE - 1);
    }
    return share->chance >= BINS_CHANCE && share->chance_line >= BINS_CHANCE;
}

void bins_free(struct bins *bins)
{
    free(bins->shares);
    *bins = (struct bins){0};
}
