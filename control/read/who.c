/* SPDX-License-Identifier: Apache-2.0
 * who.c - who made a revision.
 *
 * Why: an item of the store says since when it stands so; that somebody made
 * it so stands in the audit, in the record of the same transaction.  Records
 * and revisions grow together, so the record is found by halving; records that
 * made no revision lie between, and of those only so many are stepped over.
 * Read next: documents.c, ../change/commit.c.
 */
#include <stdio.h>
#include <string.h>

#include "control/read/internal.h"

#define STEP_OVER_MAX 1000u /* attempts between two changes */

struct made {
    uint64_t sequence, revision; /* of the first record that made one */
    char actor[IDENTITY_NAME_MAX + 1];
    size_t seen;
};

static int find_made(void *context, const struct store_record *record)
{
    struct made *made = context;
    json_t *tree = json_loadb(record->text, record->length, 0, NULL);
    const char *actor = json_string_value(json_object_get(tree, "actor"));
    json_int_t revision =
        json_integer_value(json_object_get(tree, "revision"));

    if (revision > 0) { /* attempts have none */
        made->sequence = record->sequence;
        made->revision = (uint64_t)revision;
        snprintf(made->actor, sizeof(made->actor), "%s",
                 actor != NULL ? actor : "");
    }
    json_decref(tree);
    return made->revision != 0 || ++made->seen == STEP_OVER_MAX;
}

/* Looks at records below *high, which becomes the end of what is left for
 * older revisions. */
static bool find_actor(struct hand *hand, uint64_t revision, uint64_t *high,
                       char ret_actor[IDENTITY_NAME_MAX + 1])
{
    uint64_t low = 1, end = *high;

    while (low < end) {
        uint64_t middle = low + (end - low) / 2;
        struct gray_problem problem = { 0 };
        struct made made = { 0 };

        if (store_read_audit(hand->reader, middle, SIZE_MAX, find_made, &made,
                             &problem) != 0 ||
            (made.revision == 0 && made.seen == STEP_OVER_MAX)) {
            return false;
        }
        if (made.revision == revision) {
            *high = made.sequence + 1;
            memcpy(ret_actor, made.actor, sizeof(made.actor));
            return made.actor[0] != '\0';
        }
        if (made.revision != 0 && made.revision < revision) {
            low = made.sequence + 1;
        } else {
            end = middle;
        }
    }
    return false;
}

void read_actors(struct hand *hand, json_t *rows)
{
    char actor[IDENTITY_NAME_MAX + 1];
    struct gray_problem problem = { 0 };
    struct store_head head;
    uint64_t high;
    json_t *row;
    size_t i;

    if (store_read_head(hand->reader, &head, &problem) != 0) {
        return;
    }
    high = head.audit_sequence + 1;
    json_array_foreach(rows, i, row) {
        uint64_t revision = (uint64_t)json_integer_value(
            json_object_get(row, "revision"));

        if (find_actor(hand, revision, &high, actor)) {
            json_object_set_new(row, "by", json_string(actor));
        }
    }
}
