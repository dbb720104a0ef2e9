/* SPDX-License-Identifier: Apache-2.0
 * marks.c - marks as they stand: one, a page, all, and beside a file.
 *
 * Why: "what was this unit told, when and by whom" is asked by support, by the
 * auditor and by whoever moves a release's data; the answer is the journal's.
 * Read next: ../marks/marks.h, ../change/marks_put.c (who writes).
 */
#include <stdlib.h>
#include <string.h>

#include "control/call/marks.h"
#include "control/dump.h"
#include "control/hosts/hosts.h"
#include "control/marks/marks.h"
#include "control/read/internal.h"
#include "runtime/mark_look.h"

#define EXPORT_PAGE 1000u
#define VERIFY_NAMED 100u

/* ---- what every route asks first ------------------------------------------- */

static int see(void *context, const struct store_item *item)
{
    (void)item;
    *(bool *)context = true;
    return 1;
}

/* The release, and a marks thread. False after having filled the reply. */
static bool begin(struct hand *hand, const struct call *call,
                  uint64_t *ret_scope, struct reply *reply)
{
    struct gray_problem problem = { 0 };
    bool found = false;
    int error = store_read_item(hand->reader, STORE_RELEASE, call->name, 0,
                                see, &found, &problem);

    if (error < 0) {
        read_failed(reply, &problem);
    } else if (!found) {
        reply_problem(reply, PROBLEM_NOT_FOUND, "There is no release %s.",
                      call->name);
    } else if (hand->grayd->marks == NULL) {
        reply_problem(reply, PROBLEM_STORE,
                      "grayd keeps no marks now: its log says why.");
    } else {
        *ret_scope = gray_hash_scope(call->name, strlen(call->name));
        return true;
    }
    return false;
}

/* Which marks are asked for; state 0: any. */
struct filter {
    uint8_t state;
    bool open; /* those that are not settled alone */
};

static bool query_state(const struct call *call, struct filter *ret_filter,
                        struct reply *reply)
{
    const char *word = call_query_text(call, "state");

    if (word != NULL && strcmp(word, "open") == 0) {
        *ret_filter = (struct filter) { GRAY_SLOT_OUT, true };
        return true;
    }
    if (word == NULL || mark_state_parse(word, &ret_filter->state) == 0) {
        return true;
    }
    reply_problem(reply, PROBLEM_BAD_QUERY,
                  "state is in, out, revoked or hold; or open: out, and not "
                  "settled.");
    return false;
}

static void marks_failed(struct reply *reply,
                         const struct gray_problem *problem)
{
    reply_problem(reply, PROBLEM_STORE, "The marks cannot be read: %s",
                  problem->sentence);
}

/* ---- one, and a page -------------------------------------------------------- */

/* Moments as the API writes them, and nothing for what there is none of. */
static void mend_row(json_t *row)
{
    const json_t *at = json_object_get(row, "at");

    if (json_integer_value(json_object_get(row, "stage")) ==
        GRAY_STAGE_NONE) {
        json_object_set_new(row, "stage", json_null());
    }
    if (json_is_integer(json_object_get(row, "entrance")) &&
        json_integer_value(json_object_get(row, "entrance")) == 0) {
        json_object_set_new(row, "entrance", json_null());
    }
    if (json_is_integer(at) && json_integer_value(at) == 0) {
        json_object_del(row, "at"); /* there is no mark */
    } else if (json_is_integer(at)) {
        json_object_set_new(row, "at",
                            read_moment((int64_t)json_integer_value(at)));
    }
}

static void mend_rows(json_t *rows)
{
    json_t *row;
    size_t i;

    json_array_foreach(rows, i, row) {
        mend_row(row);
    }
}

/* Positions from here on are of marks that other hosts told. */
#define HOSTS_AT (UINT64_C(1) << 52)

static struct told *told_of(struct hand *hand)
{
    return hand->grayd->hosts != NULL ? hosts_told(hand->grayd->hosts) : NULL;
}

/* Behind those of this host: `page` has room for some, or is the last. */
static void add_told(struct told *told, uint64_t scope,
                     const struct filter *filter, size_t limit, json_t *page)
{
    json_t *rows = json_object_get(page, "marks");
    size_t room = limit - json_array_size(rows);
    json_t *more = told_list(told, scope, filter->state, filter->open, 0,
                             room > 0 ? room : 1);
    json_int_t next = json_integer_value(json_object_get(more, "next"));

    if (room > 0) {
        json_array_extend(rows, json_object_get(more, "marks"));
    } else if (json_array_size(json_object_get(more, "marks")) > 0) {
        json_object_set_new(page, "next", json_integer((json_int_t)HOSTS_AT));
    }
    if (room > 0 && next != 0) {
        json_object_set_new(page, "next",
                            json_integer((json_int_t)HOSTS_AT + next));
    }
    json_decref(more);
}

/* As marks_list(), of all hosts: this one first. */
static json_t *list_all(struct hand *hand, uint64_t scope,
                        const struct filter *filter, uint64_t after,
                        size_t limit, struct gray_problem *ret_problem)
{
    struct told *told = told_of(hand);
    json_int_t next;
    json_t *page;

    if (after < HOSTS_AT || told == NULL) {
        page = marks_list(hand->grayd->marks, scope, filter->state,
                          filter->open, after, limit, ret_problem);
        if (page != NULL && told != NULL &&
            json_integer_value(json_object_get(page, "next")) == 0) {
            add_told(told, scope, filter, limit, page);
        }
        return page;
    }
    page = told_list(told, scope, filter->state, filter->open,
                     after - HOSTS_AT, limit);
    next = json_integer_value(json_object_get(page, "next"));
    if (page == NULL) {
        ret_problem->code = "hosts-store";
        strcpy(ret_problem->sentence, TOLD_FILE " cannot be read.");
    } else if (next != 0) {
        json_object_set_new(page, "next",
                            json_integer((json_int_t)HOSTS_AT + next));
    }
    return page;
}

/* What this host does not know the first of the others says. */
static void stand_in(json_t *mark, const json_t *host)
{
    static const char *const members[] = { "state",    "variant", "attempt",
                                           "revision", "at" };
    const char *state = json_string_value(json_object_get(mark, "state"));

    if (state == NULL || strcmp(state, "absent") != 0) {
        return;
    }
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        json_object_set(mark, members[i], json_object_get(host, members[i]));
    }
    json_object_set_new(mark, "durable", json_true()); /* in its journal */
}

static void add_told_unit(struct told *told, uint64_t scope, uint8_t space,
                          const char *unit, json_t *mark)
{
    json_t *there = told_unit(told, scope, space, unit);
    json_t *hosts = json_object_get(there, "hosts");

    if (json_array_size(hosts) > 0) {
        mend_rows(hosts);
        json_object_set(mark, "hosts", hosts);
        stand_in(mark, json_array_get(hosts, 0));
        json_array_extend(json_object_get(mark, "history"),
                          json_object_get(there, "history"));
    }
    json_decref(there);
}

void route_handle_MARKS_CONFLICTS(struct hand *hand, const struct call *call,
                                  struct reply *reply)
{
    struct told *told = told_of(hand);
    json_t *found, *counts, *row;
    uint64_t scope = 0;
    size_t i;

    if (!begin(hand, call, &scope, reply)) {
        return;
    }
    found = told != NULL ? told_conflicts(told, scope) : json_array();
    counts = told != NULL ? told_counts(told, scope) : NULL;
    json_array_foreach(found, i, row) {
        mend_rows(json_object_get(row, "told"));
    }
    reply_json(reply, 200,
               json_pack("{s:o,s:I}", "conflicts", found, "count",
                         json_integer_value(json_object_get(counts,
                                                            "conflicts"))));
    json_decref(counts);
}

void route_handle_MARK(struct hand *hand, const struct call *call,
                       struct reply *reply)
{
    const char *unit = call_query_text(call, "unit");
    struct gray_problem problem = { 0 };
    uint64_t scope = 0, space = 0;
    json_t *mark;

    if (!begin(hand, call, &scope, reply) ||
        !call_query_number(call, "space", 0, GRAY_STAGES_MAX - 1, &space,
                           reply)) {
        return;
    }
    if (unit == NULL || unit[0] == '\0') {
        reply_problem(reply, PROBLEM_BAD_QUERY, "Say unit=UNIT.");
        return;
    }
    mark = marks_get(hand->grayd->marks, scope, (uint8_t)space, unit,
                     &problem);
    if (mark == NULL) {
        marks_failed(reply, &problem);
    } else {
        if (told_of(hand) != NULL) {
            add_told_unit(told_of(hand), scope, (uint8_t)space, unit, mark);
        }
        mend_row(mark);
        mend_rows(json_object_get(mark, "history"));
        reply_json(reply, 200, mark);
    }
}

void route_handle_MARKS(struct hand *hand, const struct call *call,
                        struct reply *reply)
{
    struct gray_problem problem = { 0 };
    struct filter filter = { 0, false };
    uint64_t scope = 0, after = 0;
    size_t limit = 0;
    json_t *page;

    if (!begin(hand, call, &scope, reply) ||
        !query_state(call, &filter, reply) ||
        !call_query_number(call, "after", 0, INT64_MAX, &after, reply) ||
        !read_limit(call, &limit, reply)) {
        return;
    }
    page = list_all(hand, scope, &filter, after, limit, &problem);
    if (page == NULL) {
        marks_failed(reply, &problem);
        return;
    }
    if (json_integer_value(json_object_get(page, "next")) == 0) {
        json_object_del(page, "next");
    }
    mend_rows(json_object_get(page, "marks"));
    reply_json(reply, 200, page);
}

/* ---- all of them, in pieces ------------------------------------------------- */

struct export {
    struct reply_stream stream; /* first */
    uint64_t scope, after;
    struct filter filter;
    bool ended;
};

static char *lines_of(const json_t *marks, size_t *ret_length)
{
    size_t length = 0, i;
    char *text = NULL;
    FILE *out = open_memstream(&text, &length);
    const json_t *row;
    bool good = out != NULL;

    json_array_foreach(marks, i, row) {
        char *line = good ? json_text(row, JSON_COMPACT, NULL) : NULL;

        good = line != NULL && fprintf(out, "%s\n", line) > 0;
        free(line);
    }
    if (out == NULL || fclose(out) != 0 || !good) {
        free(text);
        return NULL;
    }
    *ret_length = length;
    return text;
}

static int next_piece(struct reply_stream *stream, struct hand *hand,
                      char **ret_text, size_t *ret_length)
{
    struct export *export = (struct export *)stream;
    struct gray_problem problem = { 0 };
    json_t *page;

    for (;;) {
        if (export->ended) {
            return 0;
        }
        page = list_all(hand, export->scope, &export->filter, export->after,
                        EXPORT_PAGE, &problem);
        if (page == NULL) {
            return -1;
        }
        export->after = (uint64_t)json_integer_value(
            json_object_get(page, "next"));
        export->ended = export->after == 0;
        if (json_array_size(json_object_get(page, "marks")) > 0) {
            break;
        }
        json_decref(page); /* a page of other states */
    }
    mend_rows(json_object_get(page, "marks"));
    *ret_text = lines_of(json_object_get(page, "marks"), ret_length);
    json_decref(page);
    return *ret_text != NULL ? 1 : -1;
}

static void close_export(struct reply_stream *stream)
{
    free(stream);
}

void route_handle_MARKS_EXPORT(struct hand *hand, const struct call *call,
                               struct reply *reply)
{
    struct filter filter = { 0, false };
    struct export *export;
    uint64_t scope = 0;

    if (!begin(hand, call, &scope, reply) ||
        !query_state(call, &filter, reply)) {
        return;
    }
    export = calloc(1, sizeof(*export));
    if (export == NULL) {
        read_no_memory(reply);
        return;
    }
    export->stream.more = next_piece;
    export->stream.close = close_export;
    export->scope = scope;
    export->filter = filter;
    reply->status = 200;
    reply->type = call->route->response;
    reply->stream = &export->stream;
}

/* ---- beside a file ----------------------------------------------------------- */

struct verified {
    json_int_t same, missing, other;
    json_t *missing_units, *other_units;
};

static void name_other(struct verified *verified, const char *unit,
                       const char *wanted, const char *stands)
{
    verified->other++;
    if (json_array_size(verified->other_units) < VERIFY_NAMED) {
        json_array_append_new(verified->other_units,
                              json_pack("{s:s,s:s,s:s}", "unit", unit,
                                        "wanted", wanted, "state", stands));
    }
}

static void verify_one(const struct gray_mark_look *look, const json_t *wanted,
                       struct verified *verified)
{
    const char *unit = json_string_value(json_object_get(wanted, "unit"));
    const char *state = json_string_value(json_object_get(wanted, "state"));
    const json_t *variant = json_object_get(wanted, "variant");
    struct gray_str text = { unit, (uint32_t)strlen(unit) };
    uint64_t value = 0;
    enum gray_mark_found found = gray_mark_look_find(
        look, (uint8_t)json_integer_value(json_object_get(wanted, "space")),
        text, &value);
    const char *stands = gray_mark_word(found, value);

    if (strcmp(stands, state) == 0 &&
        (variant == NULL ||
         json_integer_value(variant) == gray_slot_variant(value))) {
        verified->same++;
    } else if (strcmp(stands, "absent") == 0) {
        verified->missing++;
        if (json_array_size(verified->missing_units) < VERIFY_NAMED) {
            json_array_append(verified->missing_units,
                              json_object_get(wanted, "unit"));
        }
    } else {
        name_other(verified, unit, state, stands);
    }
}

/* By the table: what readers answer by, without the journal. */
void route_handle_MARKS_VERIFY(struct hand *hand, const struct call *call,
                               struct reply *reply)
{
    struct verified verified = { .missing_units = json_array(),
                                 .other_units = json_array() };
    struct gray_problem problem = { 0 };
    struct gray_mark_look look;
    uint64_t scope = 0;
    const json_t *wanted;
    size_t i;

    if (!begin(hand, call, &scope, reply)) {
        goto out;
    }
    if (gray_mark_look_open(&look, hand->grayd->options.runtime, scope,
                            &problem) != 0) {
        marks_failed(reply, &problem);
        goto out;
    }
    json_array_foreach(json_object_get(call->body, "marks"), i, wanted) {
        verify_one(&look, wanted, &verified);
    }
    gray_mark_look_close(&look);
    reply_json(reply, 200,
               json_pack("{s:I,s:I,s:I,s:O,s:O}", "same", verified.same,
                         "missing", verified.missing, "other", verified.other,
                         "missingUnits", verified.missing_units, "otherUnits",
                         verified.other_units));
out:
    json_decref(verified.missing_units);
    json_decref(verified.other_units);
}
