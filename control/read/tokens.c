/* SPDX-License-Identifier: Apache-2.0
 * tokens.c - identities, and changes that wait for their moment.
 *
 * Why: both are items with an id; of a token nothing is ever shown that could
 * make somebody be it (its hash neither), of a waiting change only what it
 * will do, and only to whoever may see all that it touches.
 * Read next: page.c, ../change/schedule.c.
 */
#include "control/read/internal.h"

/* ---- tokens ------------------------------------------------------------------ */

static int token_row(struct page *page, const struct store_item *item,
                     json_t **ret_row)
{
    json_t *stored = read_tree(item);
    json_t *row = stored != NULL ? token_view(stored, page->call->now) : NULL;

    *ret_row = row;
    json_decref(stored);
    return row != NULL ? 0 : -1;
}

void route_handle_TOKENS(struct hand *hand, const struct call *call,
                         struct reply *reply)
{
    struct page page = { .call = call, .row = token_row };

    if (read_page(call, &page.after, &page.limit, reply) &&
        page_items(&page, hand, STORE_TOKEN, 0, reply)) {
        page_reply(&page, "tokens", false, 0, reply);
    }
    json_decref(page.rows);
}

/* ---- what waits ---------------------------------------------------------------- */

static bool covers_changes(const struct identity *identity,
                           const json_t *changes)
{
    const json_t *change;
    size_t i;

    json_array_foreach(changes, i, change) {
        if (!identity_covers(identity, json_string_value(json_object_get(
                                           change, "name")))) {
            return false;
        }
    }
    return true;
}

static int scheduled_row(struct page *page, const struct store_item *item,
                         json_t **ret_row)
{
    json_t *stored = read_tree(item);
    json_t *changes = json_object_get(stored, "changes");
    json_t *reason =
        json_object_get(json_object_get(stored, "body"), "reason");
    json_t *row = NULL;
    int status = -1;

    if (stored != NULL &&
        !covers_changes(&page->call->identity, changes)) {
        status = 0;
    } else if (stored != NULL) {
        row = json_pack("{s:s,s:o,s:O,s:O,s:O}", "id", item->name, "at",
                        read_moment(json_integer_value(
                            json_object_get(stored, "at"))),
                        "by",
                        json_object_get(json_object_get(stored, "by"),
                                        "name"),
                        "changes", changes, "revision",
                        json_object_get(stored, "revision"));
        if (row != NULL && json_is_string(reason)) {
            json_object_set(row, "reason", reason);
        }
        *ret_row = row;
        status = row != NULL ? 0 : -1;
    }
    json_decref(stored);
    return status;
}

void route_handle_SCHEDULED(struct hand *hand, const struct call *call,
                            struct reply *reply)
{
    struct page page = { .call = call, .row = scheduled_row, .whole = true };

    if (page_items(&page, hand, STORE_SCHEDULED, 0, reply)) {
        page_reply(&page, "scheduled", false, 0, reply);
    }
    json_decref(page.rows);
}
