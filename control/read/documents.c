/* SPDX-License-Identifier: Apache-2.0
 * documents.c - documents by kind and name, as of a revision, and their
 * history.
 *
 * Why: what stands in the store is what somebody applied, so it is shown as it
 * was applied; whoever asks about last Tuesday gives the revision of then.  A
 * document that was taken out keeps its history.
 * Read next: page.c.
 */
#include <stdio.h>
#include <string.h>

#include "control/read/internal.h"
#include "policy/check.h"

static json_t *document_row(const struct store_item *item)
{
    const char *slash = strchr(item->name, '/');
    json_t *tree = read_tree(item), *row;

    if (slash == NULL || tree == NULL) {
        json_decref(tree);
        return NULL;
    }
    row = json_pack("{s:s%,s:s,s:I,s:o,s:o}", "kind", item->name,
                    (size_t)(slash - item->name), "name", slash + 1,
                    "revision", (json_int_t)item->revision, "at",
                    read_moment(item->at), "document", tree);
    if (row != NULL && item->until != 0) {
        json_object_set_new(row, "until", read_number(item->until));
    }
    return row;
}

/* ---- all of them ---------------------------------------------------------- */

static int covered_row(struct page *page, const struct store_item *item,
                       json_t **ret_row)
{
    const char *slash = strchr(item->name, '/');

    if (slash == NULL ||
        !identity_covers(&page->call->identity, slash + 1)) {
        return 0;
    }
    *ret_row = document_row(item);
    return *ret_row != NULL ? 0 : -1;
}

static bool kind_prefix(const struct call *call, char ret_prefix[32],
                        const char **ret_given, struct reply *reply)
{
    const char *kind = call_query_text(call, "kind");
    char valid[128] = "";

    if (kind == NULL) {
        return true;
    }
    for (int i = 0; i < KIND_COUNT; i++) {
        if (strcmp(kind, gray_kind_words[i]) == 0) {
            snprintf(ret_prefix, 32, "%s/", kind);
            *ret_given = ret_prefix;
            return true;
        }
        snprintf(valid + strlen(valid), sizeof(valid) - strlen(valid), "%s%s",
                 i > 0 ? ", " : "", gray_kind_words[i]);
    }
    reply_problem(reply, PROBLEM_BAD_QUERY, "kind is one of %s.", valid);
    return false;
}

void route_handle_DOCUMENTS(struct hand *hand, const struct call *call,
                            struct reply *reply)
{
    struct page page = { .call = call, .row = covered_row };
    char prefix[32];
    uint64_t revision;

    if (!read_page(call, &page.after, &page.limit, reply) ||
        !kind_prefix(call, prefix, &page.prefix, reply) ||
        !read_revision(hand, call, &revision, reply)) {
        return;
    }
    if (page_items(&page, hand, STORE_DOCUMENT, revision, reply)) {
        page_reply(&page, "documents", true, revision, reply);
    }
    json_decref(page.rows);
}

/* ---- one ------------------------------------------------------------------ */

struct found {
    json_t *row;
    uint64_t revision;
};

static int keep_document(void *context, const struct store_item *item)
{
    struct found *found = context;

    found->row = document_row(item);
    found->revision = item->revision;
    return 1;
}

void route_handle_DOCUMENT(struct hand *hand, const struct call *call,
                           struct reply *reply)
{
    struct found found = { NULL, 0 };
    struct gray_problem problem = { 0 };
    char key[STORE_NAME_MAX + 1];
    uint64_t revision;
    int error;

    if (!read_revision(hand, call, &revision, reply)) {
        return;
    }
    error = world_key(call->kind, call->name, key)
                ? store_read_item(hand->reader, STORE_DOCUMENT, key, revision,
                                  keep_document, &found, &problem)
                : 1;
    if (error < 0) {
        read_failed(reply, &problem);
    } else if (error == 1) {
        reply_problem(reply, PROBLEM_NOT_FOUND,
                      call_query_text(call, "revision") != NULL
                          ? "There was no %s %s."
                          : "There is no %s %s.",
                      call->kind, call->name);
    } else if (found.row == NULL) {
        read_no_memory(reply);
    } else {
        json_t *rows = json_pack("[O]", found.row);

        read_actors(hand, rows);
        json_decref(rows);
        reply_json(reply, 200, found.row);
        reply->etag = found.revision;
    }
}

/* ---- its history ----------------------------------------------------------- */

static int version_row(struct page *page, const struct store_item *item,
                       json_t **ret_row)
{
    (void)page;
    *ret_row = document_row(item);
    return *ret_row != NULL ? 0 : -1;
}

void route_handle_DOCUMENT_HISTORY(struct hand *hand, const struct call *call,
                                   struct reply *reply)
{
    struct page page = { .call = call, .row = version_row };
    char key[STORE_NAME_MAX + 1];
    json_t *body;

    if (!world_key(call->kind, call->name, key)) {
        reply_problem(reply, PROBLEM_NOT_FOUND, "There never was a %s %s.",
                      call->kind, call->name);
        return;
    }
    if (page_history(&page, hand, STORE_DOCUMENT, key, reply)) {
        read_actors(hand, page.rows);
        body = json_pack("{s:O}", "versions", page.rows);
        if (body != NULL && page.more) {
            json_object_set_new(body, "next",
                                read_number(page.last_revision));
        }
        reply_json(reply, 200, body);
    }
    json_decref(page.rows);
}
