/* SPDX-License-Identifier: Apache-2.0
 * rules_parts.h - what history and views of a release share.
 *
 * Why: one knows when, the other what.  Read next: rules.c, rules_view.c.
 */
#ifndef GRAYD_RECON_RULES_PARTS_H
#define GRAYD_RECON_RULES_PARTS_H

#include "control/recon/rules.h"

#define RULES_VIEWS 64u /* compiled at one time */

struct rules_change {
    uint64_t revision;
    int64_t at;
};
struct rules_view;
struct rules {
    struct store_reader *reader;
    const struct check *check;
    struct rules_span *spans;
    size_t span_count, span_room;
    struct rules_change *changes; /* by revision, each once */
    size_t change_count, change_room;
    json_t *lists;    /* {name: null} of every version */
    json_t *document; /* the newest version */
    struct release_facts facts; /* of it */
    uint8_t space;
    bool failed;
    struct rules_view *views[RULES_VIEWS];
    uint64_t used; /* counts uses, for the one used longest ago */
};
/* The change by which a revision's rules were made; 0: there were none. */
uint64_t rules_change_of(const struct rules *rules, uint64_t revision);
/* The space of the Check's stage, in the newest document. */
uint8_t rules_view_space(struct rules *rules);
void rules_views_clear(struct rules *rules);

#endif
