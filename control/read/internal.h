/* SPDX-License-Identifier: Apache-2.0
 * internal.h - what the files of control/read/ share among themselves.
 *
 * Why: every list has the same limits and the same way to its next page, so
 * both are written once.  A page ends at its limit, or where its texts have
 * grown large: whoever asks gets `next` either way.
 * Read next: page.c.
 */
#ifndef GRAYD_READ_INTERNAL_H
#define GRAYD_READ_INTERNAL_H

#include "control/change/world.h"
#include "control/read/read.h"

#define READ_PAGE_DEFAULT 100u
#define READ_PAGE_BYTES (8u << 20) /* of texts; the first item always fits */
#define READ_SCAN_MAX 20000u       /* records looked at for one page */

/* ---- what every handler asks first (page.c) ------------------------------- */

/* The newest revision. False after having filled the reply. */
bool read_head(struct hand *hand, struct store_head *ret_head,
               struct reply *reply);
/* The revision asked for: the query's, else the newest one. False after having
 * filled the reply; one that was not made yet is not found. */
bool read_revision(struct hand *hand, const struct call *call,
                   uint64_t *ret_revision, struct reply *reply);
/* `limit` of the query; the default when it says none. */
bool read_limit(const struct call *call, size_t *ret_limit,
                struct reply *reply);
/* A moment of the query: an age ("2h", "3d") or RFC 3339; untouched when it is
 * not there. False after having filled the reply. */
bool read_since(const struct call *call, const char *name, int64_t *ret_since,
                struct reply *reply);
/* The tree of an item's text; NULL: it is not JSON, or no memory. */
json_t *read_tree(const struct store_item *item);
/* RFC 3339 in UTC; null for 0. New reference. */
json_t *read_moment(int64_t ms);
json_t *read_number(uint64_t number);
void read_no_memory(struct reply *reply);

/* ---- pages ---------------------------------------------------------------- */

/* A row of an item; *ret_row NULL: not to be shown (no right, another kind).
 * 0, or -1: the item cannot be read. */
struct page;
typedef int page_row(struct page *page, const struct store_item *item,
                     json_t **ret_row);
struct page {
    const struct call *call;
    page_row *row;
    void *context;     /* of row() */
    const char *after; /* the last name seen; NULL: from the first */
    const char *prefix; /* of the names looked at; NULL: all */
    size_t limit;
    json_t *rows;
    size_t bytes;
    uint64_t last_revision;
    char last[STORE_NAME_MAX + 1]; /* of the row shown last */
    bool whole;        /* no limit: neither of rows nor of bytes */
    bool more, failed;
};
/* Fills page->rows from the items of a space as of a revision (0: now).
 * False after having filled the reply; page->rows is the caller's either way.
 */
bool page_items(struct page *page, struct hand *hand, enum store_space space,
                uint64_t revision, struct reply *reply);
/* The same from the versions of one item, newest first, below `before`. */
bool page_history(struct page *page, struct hand *hand,
                  enum store_space space, const char *name,
                  struct reply *reply);
/* {"KEY":rows, "revision":..., "next":...} as the reply; takes the rows over.
 * `revision` 0 with `has_revision` false: left out. */
void page_reply(struct page *page, const char *key, bool has_revision,
                uint64_t revision, struct reply *reply);

/* ---- who made it (who.c) ------------------------------------------------------ */

/* Adds "by" to rows with a "revision", newest first; where the audit does not
 * tell it is left out. */
void read_actors(struct hand *hand, json_t *rows);

/* ---- what its units were told (release_marks.c) ------------------------------ */

/* Adds marks, admission and rehearsal to a view of a release as it stands now;
 * counts at most so old. */
void read_release_marks(struct hand *hand, json_t *view,
                        const struct release_status *status,
                        const struct release_facts *facts, int64_t age_ms);

/* ---- hosts (hosts.c) ------------------------------------------------------------ */

/* [Host] of schemas.json, after a name. New reference. */
json_t *read_hosts(struct grayd *grayd, const char *after, size_t limit,
                   bool *ret_more);

/* ---- a release as it stood (releases.c) ------------------------------------ */

/* Every release that the call covers. NULL after having filled the reply. */
json_t *read_releases(struct hand *hand, const struct call *call,
                      uint64_t revision, struct reply *reply);

#endif
