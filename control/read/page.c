/* SPDX-License-Identifier: Apache-2.0
 * page.c - pages: how many, from where, and whether there is more.
 *
 * Why: a list may be longer than anybody wants to hold in memory, and what
 * lies outside a scope must not be counted either, or a page would tell how
 * much there is.  So rows are made one by one, and the first one too many only
 * says that there is more.
 * Read next: documents.c, the plainest user.
 */
#include <stdio.h>
#include <string.h>

#include "control/read/internal.h"
#include "policy/parse.h"

void read_failed(struct reply *reply, const struct gray_problem *problem)
{
    grayd_log(LOG_LEVEL_ERROR,
              problem->code != NULL ? problem->code : "store-failed", "%s",
              problem->sentence);
    reply_problem(reply, PROBLEM_STORE, "The store cannot be read: %s",
                  problem->sentence);
}

void read_no_memory(struct reply *reply)
{
    reply_problem(reply, PROBLEM_INTERNAL, "Memory is at its end.");
}

bool read_head(struct hand *hand, struct store_head *ret_head,
               struct reply *reply)
{
    struct gray_problem problem = { 0 };

    if (store_read_head(hand->reader, ret_head, &problem) != 0) {
        read_failed(reply, &problem);
        return false;
    }
    return true;
}

bool read_revision(struct hand *hand, const struct call *call,
                   uint64_t *ret_revision, struct reply *reply)
{
    struct store_head head;
    uint64_t revision;

    if (!read_head(hand, &head, reply)) {
        return false;
    }
    revision = head.revision;
    if (!call_query_number(call, "revision", 1, INT64_MAX, &revision, reply)) {
        return false;
    }
    if (revision > head.revision) {
        reply_problem(reply, PROBLEM_NOT_FOUND,
                      "Revision %llu was not made yet; the newest is %llu.",
                      (unsigned long long)revision,
                      (unsigned long long)head.revision);
        reply_add(reply, "revision", read_number(head.revision));
        return false;
    }
    *ret_revision = revision;
    return true;
}

bool read_limit(const struct call *call, size_t *ret_limit,
                struct reply *reply)
{
    uint64_t limit = READ_PAGE_DEFAULT;

    if (!call_query_number(call, "limit", 1, CALL_PAGE_MAX, &limit, reply)) {
        return false;
    }
    *ret_limit = (size_t)limit;
    return true;
}

bool read_page(const struct call *call, const char **ret_after,
               size_t *ret_limit, struct reply *reply)
{
    const char *after = call_query_text(call, "after");

    if (after != NULL && strlen(after) > STORE_NAME_MAX) {
        reply_problem(reply, PROBLEM_BAD_QUERY,
                      "after is the last name of a page, of at most %u bytes.",
                      STORE_NAME_MAX);
        return false;
    }
    if (!read_limit(call, ret_limit, reply)) {
        return false;
    }
    *ret_after = after;
    return true;
}

/* ---- values --------------------------------------------------------------- */

json_t *read_tree(const struct store_item *item)
{
    return json_loadb(item->text, item->length, JSON_REJECT_DUPLICATES, NULL);
}

json_t *read_moment(int64_t ms)
{
    char text[CALL_MOMENT_SIZE];

    if (ms == 0) {
        return json_null();
    }
    call_moment(ms, text);
    return json_string(text);
}

json_t *read_number(uint64_t number)
{
    return json_integer((json_int_t)number);
}

/* ---- pages ---------------------------------------------------------------- */

static int add_row(void *context, const struct store_item *item)
{
    struct page *page = context;
    size_t count = json_array_size(page->rows);
    json_t *row = NULL;

    if (page->prefix != NULL &&
        strncmp(item->name, page->prefix, strlen(page->prefix)) != 0) {
        return 1; /* names are sorted: no more of them */
    }
    if (page->row(page, item, &row) != 0) {
        page->failed = true;
        return 1;
    }
    if (row == NULL) {
        return 0;
    }
    if (!page->whole &&
        (count == page->limit ||
         (count > 0 && page->bytes + item->length > READ_PAGE_BYTES))) {
        json_decref(row);
        page->more = true;
        return 1;
    }
    page->bytes += item->length;
    page->last_revision = item->revision;
    snprintf(page->last, sizeof(page->last), "%s", item->name);
    page->failed = json_array_append_new(page->rows, row) != 0;
    return page->failed ? 1 : 0;
}

static bool page_done(struct page *page, int error,
                      const struct gray_problem *problem, struct reply *reply)
{
    if (error != 0) {
        read_failed(reply, problem);
    } else if (page->failed) {
        reply_problem(reply, PROBLEM_INTERNAL,
                      "An item of the store cannot be read, or memory is at "
                      "its end.");
    }
    return error == 0 && !page->failed;
}

bool page_items(struct page *page, struct hand *hand, enum store_space space,
                uint64_t revision, struct reply *reply)
{
    struct gray_problem problem = { 0 };
    const char *after = page->after;
    int error;

    page->rows = json_array();
    /* Names begin with the prefix: nothing before it is looked at. */
    if (page->prefix != NULL &&
        (after == NULL || strcmp(after, page->prefix) < 0)) {
        after = page->prefix;
    }
    error = page->rows == NULL
                ? 0
                : store_read_items(hand->reader, space, revision, after,
                                   SIZE_MAX, add_row, page, &problem);
    page->failed |= page->rows == NULL;
    return page_done(page, error, &problem, reply);
}

bool page_history(struct page *page, struct hand *hand,
                  enum store_space space, const char *name,
                  struct reply *reply)
{
    struct gray_problem problem = { 0 };
    uint64_t before = 0;
    int error;

    page->rows = json_array();
    if (!read_limit(page->call, &page->limit, reply) ||
        !call_query_number(page->call, "before", 1, INT64_MAX, &before,
                           reply)) {
        return false;
    }
    error = store_read_history(hand->reader, space, name, before, SIZE_MAX,
                               add_row, page, &problem);
    if (!page_done(page, error, &problem, reply)) {
        return false;
    }
    if (json_array_size(page->rows) == 0 && before == 0) {
        reply_problem(reply, PROBLEM_NOT_FOUND, "There never was a %s.", name);
        return false;
    }
    return true;
}

void page_reply(struct page *page, const char *key, bool has_revision,
                uint64_t revision, struct reply *reply)
{
    json_t *body = json_object();

    if (has_revision) {
        json_object_set_new(body, "revision", read_number(revision));
    }
    json_object_set_new(body, key, page->rows);
    page->rows = NULL;
    if (page->more) {
        json_object_set_new(body, "next", json_string(page->last));
    }
    reply_json(reply, 200, body);
    reply->etag = has_revision ? revision : 0;
}

/* ---- moments of a query ---------------------------------------------------- */

/* "2h", "3d", or RFC 3339. */
bool read_since(const struct call *call, const char *name, int64_t *ret_since,
                struct reply *reply)
{
    const char *text = call_query_text(call, name);
    size_t length = text != NULL ? strlen(text) : 0;
    int64_t days = 0, ms = 0;
    size_t i;

    if (text == NULL) {
        return true;
    }
    for (i = 0; i < length && i < 6 && text[i] >= '0' && text[i] <= '9'; i++) {
        days = days * 10 + (text[i] - '0');
    }
    if (i > 0 && i + 1 == length && text[i] == 'd') {
        ms = days * 86400000;
    } else if (gray_parse_moment(text, ret_since)) {
        return true;
    } else if (!gray_parse_duration(text, &ms)) {
        reply_problem(reply, PROBLEM_BAD_QUERY,
                      "%s is an age such as 30m, 2h or 3d, or a moment such "
                      "as 2026-01-31T08:00:00Z.",
                      name);
        return false;
    }
    *ret_since = call->now - ms;
    return true;
}
