/* SPDX-License-Identifier: Apache-2.0
 * changes.c - what happened: what was done, and for those who may see it every
 * attempt.
 *
 * Why: the audit is the one memory of who did what; /v1/changes shows of it
 * what was done to names in scope, as /v1/events tells it.  Records are looked
 * at in the order of their numbers; a page looks at a bounded number of them,
 * so that a narrow scope in a long history does not hold a thread, and then
 * carries `next` although it may be short.
 * Read next: ../call/record.c, ../rest/events.c.
 */
#include <string.h>

#include "control/read/internal.h"
#include "policy/parse.h"

struct records {
    const struct call *call;
    bool done_only;      /* what was done, of names in scope */
    int64_t since;       /* ms; INT64_MIN: any */
    size_t limit, bytes, scanned;
    json_t *rows;
    uint64_t last;       /* record looked at last */
    bool more, failed;
};

/* ---- one record ----------------------------------------------------------- */

static bool is_wanted(const struct records *records, const json_t *record)
{
    const char *outcome =
        json_string_value(json_object_get(record, "outcome"));
    const char *at = json_string_value(json_object_get(record, "at"));
    int64_t moment = 0;

    if (!records->done_only) {
        return true;
    }
    return outcome != NULL && strcmp(outcome, "done") == 0 && at != NULL &&
           (records->since == INT64_MIN ||
            (gray_parse_moment(at, &moment) && moment >= records->since)) &&
           record_covered(&records->call->identity, record);
}

static int add_record(void *context, const struct store_record *record)
{
    struct records *records = context;
    json_t *row = record_public(record->text, record->length);

    if (row == NULL) {
        records->failed = true;
        return 1;
    }
    if (records->scanned++ == READ_SCAN_MAX) {
        json_decref(row);
        records->more = true;
        return 1;
    }
    if (!is_wanted(records, row)) {
        json_decref(row);
        records->last = record->sequence;
        return 0;
    }
    if (json_array_size(records->rows) == records->limit ||
        records->bytes > READ_PAGE_BYTES) {
        json_decref(row);
        records->more = true;
        return 1;
    }
    records->last = record->sequence;
    records->bytes += record->length;
    records->failed = json_array_append_new(records->rows, row) != 0;
    return records->failed ? 1 : 0;
}

static void reply_records(struct records *records, struct hand *hand,
                          uint64_t from, const char *key, struct reply *reply)
{
    struct gray_problem problem = { 0 };
    json_t *body;
    int error;

    records->rows = json_array();
    error = store_read_audit(hand->reader, from, SIZE_MAX, add_record,
                             records, &problem);
    if (error != 0) {
        read_failed(reply, &problem);
    } else if (records->failed) {
        reply_problem(reply, PROBLEM_INTERNAL,
                      "A record of the audit cannot be read, or memory is at "
                      "its end: verify the audit.");
    } else {
        body = json_pack("{s:O}", key, records->rows);
        if (body != NULL && records->more) {
            json_object_set_new(body, "next", read_number(records->last));
        }
        reply_json(reply, 200, body);
    }
    json_decref(records->rows);
}

/* ---- since when ------------------------------------------------------------ */

struct moment {
    bool some;
    int64_t at;
};

static int take_moment(void *context, const struct store_record *record)
{
    struct moment *moment = context;
    json_t *row = record_public(record->text, record->length);
    const char *at = json_string_value(json_object_get(row, "at"));

    moment->some = at != NULL && gray_parse_moment(at, &moment->at);
    json_decref(row);
    return 1;
}

/* The first record of a moment or later: records stand in the order of time,
 * but where the host's clock was set back; there some of the records of both
 * times may be missed. False after having filled the reply. */
static bool first_since(struct hand *hand, int64_t since, uint64_t last,
                        uint64_t *ret_first, struct reply *reply)
{
    uint64_t low = 1, high = last + 1;

    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        struct gray_problem problem = { 0 };
        struct moment moment = { false, 0 };

        if (store_read_audit(hand->reader, middle, 1, take_moment, &moment,
                             &problem) != 0) {
            read_failed(reply, &problem);
            return false;
        }
        if (!moment.some || moment.at >= since) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    *ret_first = low;
    return true;
}

/* ---- the routes -------------------------------------------------------------- */

void route_handle_CHANGES(struct hand *hand, const struct call *call,
                          struct reply *reply)
{
    struct records records = { .call = call, .done_only = true,
                               .since = INT64_MIN };
    uint64_t after = 0, first = 1;
    struct store_head head;

    if (!read_limit(call, &records.limit, reply) ||
        !call_query_number(call, "after", 0, INT64_MAX, &after, reply) ||
        !read_since(call, "since", &records.since, reply) ||
        !read_head(hand, &head, reply) ||
        (records.since != INT64_MIN &&
         !first_since(hand, records.since, head.audit_sequence, &first,
                      reply))) {
        return;
    }
    records.last = after;
    reply_records(&records, hand, after + 1 > first ? after + 1 : first,
                  "changes", reply);
}

void route_handle_AUDIT(struct hand *hand, const struct call *call,
                        struct reply *reply)
{
    struct records records = { .call = call, .since = INT64_MIN };
    uint64_t after = 0;

    if (read_limit(call, &records.limit, reply) &&
        call_query_number(call, "after", 0, INT64_MAX, &after, reply)) {
        records.last = after;
        reply_records(&records, hand, after + 1, "records", reply);
    }
}
