/* SPDX-License-Identifier: Apache-2.0
 * releases.c - where releases stand and stood, and what may be done.
 *
 * Why: the same view as the verbs answer with (change/view.c), made from the
 * store as of one revision, so that a release and its document always belong
 * together.  A reader answers one question at a time: first the states are
 * collected, then the document of each is asked for.
 * Read next: page.c, ../change/view.c.
 */
#include <string.h>

#include "control/change/change.h"
#include "control/read/internal.h"

/* ---- states first ---------------------------------------------------------- */

/* {"name", "status" as stored, "revision"} */
static int state_row(struct page *page, const struct store_item *item,
                     json_t **ret_row)
{
    if (identity_covers(&page->call->identity, item->name)) {
        *ret_row = json_pack("{s:s,s:o,s:I}", "name", item->name, "status",
                             read_tree(item), "revision",
                             (json_int_t)item->revision);
        return *ret_row != NULL ? 0 : -1;
    }
    return 0;
}

/* ---- then documents --------------------------------------------------------- */

struct document {
    json_t *tree;
    uint64_t revision;
};

static int keep_document(void *context, const struct store_item *item)
{
    struct document *document = context;

    document->tree = read_tree(item);
    document->revision = item->revision;
    return 1;
}

/* "Release" of a row, with its document as of a revision, and with counts of
 * marks at most so old (-1: none). NULL after having
 * filled the reply. */
static json_t *view_of(struct hand *hand, const json_t *row, uint64_t revision,
                       int64_t marks_age, struct reply *reply)
{
    const char *name = json_string_value(json_object_get(row, "name"));
    struct document document = { NULL, 0 };
    struct gray_problem problem = { 0 };
    struct release_status status;
    struct release_facts facts;
    char key[STORE_NAME_MAX + 1];
    json_t *view = NULL;

    if (release_status_parse(json_object_get(row, "status"), &status) != 0) {
        reply_problem(reply, PROBLEM_INTERNAL,
                      "The state of %s cannot be read.", name);
        return NULL;
    }
    if (world_key("Release", name, key) &&
        store_read_item(hand->reader, STORE_DOCUMENT, key, revision,
                        keep_document, &document, &problem) < 0) {
        read_failed(reply, &problem);
        return NULL;
    }
    view = release_view(name, &status, document.tree, document.revision,
                        (uint64_t)json_integer_value(
                            json_object_get(row, "revision")));
    if (view == NULL) {
        read_no_memory(reply);
    } else if (marks_age >= 0 && release_facts_read(document.tree, &facts) == 0) {
        read_release_marks(hand, view, &status, &facts, marks_age);
    }
    json_decref(document.tree);
    return view;
}

/* Replaces rows by views; `revision` 0: each as of its own revision, and then
 * without marks, which are those of now. */
static bool make_views(struct hand *hand, json_t *rows, uint64_t revision,
                       struct reply *reply)
{
    json_t *row;
    size_t i;

    json_array_foreach(rows, i, row) {
        uint64_t own = (uint64_t)json_integer_value(
            json_object_get(row, "revision"));
        json_t *view =
            view_of(hand, row, revision != 0 ? revision : own,
                    revision != 0 ? CONTROL_COUNTS_MS : -1, reply);

        if (view == NULL || json_array_set_new(rows, i, view) != 0) {
            return false;
        }
    }
    return true;
}

json_t *read_releases(struct hand *hand, const struct call *call,
                      uint64_t revision, struct reply *reply)
{
    struct page page = { .call = call, .row = state_row, .limit = SIZE_MAX,
                         .whole = true };

    if (revision == 0) {
        return json_array();
    }
    if (page_items(&page, hand, STORE_RELEASE, revision, reply) &&
        make_views(hand, page.rows, revision, reply)) {
        return page.rows;
    }
    json_decref(page.rows);
    return NULL;
}

/* ---- the routes -------------------------------------------------------------- */

void route_handle_RELEASES(struct hand *hand, const struct call *call,
                           struct reply *reply)
{
    struct page page = { .call = call, .row = state_row };
    struct store_head head;

    if (read_page(call, &page.after, &page.limit, reply) &&
        read_head(hand, &head, reply) &&
        page_items(&page, hand, STORE_RELEASE, head.revision, reply) &&
        make_views(hand, page.rows, head.revision, reply)) {
        page_reply(&page, "releases", true, head.revision, reply);
    }
    json_decref(page.rows);
}

/* If-Match of the verbs is the state's revision. While the document is newer
 * there is none: a client would be told that nothing changed. */
static uint64_t etag_of(const json_t *view)
{
    json_int_t state = json_integer_value(json_object_get(view, "revision"));
    json_int_t document =
        json_integer_value(json_object_get(view, "document"));

    return document <= state ? (uint64_t)state : 0;
}

static int keep_row(void *context, const struct store_item *item)
{
    *(json_t **)context =
        json_pack("{s:s,s:o,s:I}", "name", item->name, "status",
                  read_tree(item), "revision", (json_int_t)item->revision);
    return 1;
}

void route_handle_RELEASE(struct hand *hand, const struct call *call,
                          struct reply *reply)
{
    struct gray_problem problem = { 0 };
    struct store_head head;
    json_t *row = NULL, *view;
    int error;

    if (!read_head(hand, &head, reply)) {
        return;
    }
    error = store_read_item(hand->reader, STORE_RELEASE, call->name,
                            head.revision, keep_row, &row, &problem);
    if (error < 0) {
        read_failed(reply, &problem);
    } else if (error == 1) {
        reply_problem(reply, PROBLEM_NOT_FOUND, "There is no release %s.",
                      call->name);
    } else if (row == NULL) {
        read_no_memory(reply);
    } else {
        view = view_of(hand, row, head.revision, 0, reply);
        if (view != NULL) {
            reply_json(reply, 200, view);
            reply->etag = etag_of(view);
        }
    }
    json_decref(row);
}

void route_handle_RELEASE_HISTORY(struct hand *hand, const struct call *call,
                                  struct reply *reply)
{
    struct page page = { .call = call, .row = state_row };
    json_t *body;

    if (page_history(&page, hand, STORE_RELEASE, call->name, reply) &&
        make_views(hand, page.rows, 0, reply)) {
        body = json_pack("{s:O}", "versions", page.rows);
        if (body != NULL && page.more) {
            json_object_set_new(body, "next",
                                read_number(page.last_revision));
        }
        reply_json(reply, 200, body);
    }
    json_decref(page.rows);
}
