/* SPDX-License-Identifier: Apache-2.0
 * bundling.h - which bundle hosts are to have, and the number that it bears.
 *
 * Why: a bundle's number stands in the same transaction as the change that
 * makes it, so that it never goes back and never means two things; the bundle
 * itself is made after, from what is in force, and made again when it could
 * not be.  A change takes two numbers: words that tighten go out under the
 * first before anything is compiled, all of it under the second.
 * Threads: the control thread.
 * Read next: bundling.c, hosts.c, ../hosts/hosts.h, docs/agent.md.
 */
#ifndef GRAYD_BUNDLING_H
#define GRAYD_BUNDLING_H

#include "control/change/change.h"
#include "control/release/release.h"
#include "control/hosts/hosts.h"

struct change;
struct bundling {
    uint64_t sequence; /* committed: of the bundle of the world as it is */
    uint64_t epoch;    /* committed: of the word that changed last */
    json_t *epochs;    /* {release: epoch of its word} */
    struct gathered files;
    char digest[BUNDLE_SHA256]; /* of the bundle made last; "": none yet */
    uint64_t made;              /* its number */
    bool behind;                /* it is not of the world as it is */
    int64_t next_try;
};

/* Reads numbers and hosts of the store; opens control->grayd->hosts. 0, or
 * negative with *ret_problem. */
int bundling_open(struct control *control, struct gray_problem *ret_problem);
void bundling_close(struct control *control);
/* Adds to a change the numbers that it takes, where hosts are to hear of it;
 * `publish`: its policy differs. 0, or -1: no memory. */
int bundling_put(struct change *change, bool publish);
/* It was committed; control->world is the new one. Words that tighten go out
 * at once. */
void bundling_committed(struct change *change, const struct world *before);
/* Makes the newest bundle, where what is in force has none yet. */
void bundling_follow(struct control *control);
/* What is in force or lies ready is about to be another one without a change:
 * takes a new number, where hosts have a bundle of the present one. */
void bundling_number(struct control *control);
/* Every tick: keys that were rotated, hosts that are new, words that people
 * set on hosts. */
void bundling_tick(struct control *control, int64_t now);
/* Marks are taken back on this host alone. False after having filled the reply:
 * a move needs that those of other hosts are, too. */
bool bundling_allows(const struct change *change, const char *name,
                     const struct release_status *before,
                     const struct release_facts *facts,
                     const struct release_event *event,
                     const struct release_status *after,
                     struct reply *reply);
/* Epoch of a release's word for hosts; 0: it was never anything but open. */
uint64_t bundling_epoch(const struct control *control, const char *name);

#endif
