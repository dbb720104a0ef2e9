/* SPDX-License-Identifier: Apache-2.0
 * records.c - recorded requests, at most so many, the newest ones.
 *
 * Why: what a new policy means for the people who really come is told by
 * requests that really came.  They stand in the form that `gray explain`
 * reads, so that one file serves both, and a line that is none is counted and
 * passed over: a recording may be cut off anywhere.
 * Read next: ask/request.c, replay.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "impact/impact.h"

void impact_records_free(struct impact_records *records)
{
    for (size_t i = 0; i < records->count; i++) {
        request_free(&records->items[i]);
    }
    free(records->items);
    *records = (struct impact_records) { 0 };
}

static int make_room(struct impact_records *records)
{
    size_t capacity = records->capacity * 2 + 256;
    void *grown;

    if (records->count < records->capacity) {
        return 0;
    }
    if (records->count >= IMPACT_RECORDS_MAX) {
        /* in larger pieces, or each line would move all of them */
        size_t gone = IMPACT_RECORDS_MAX / 8;

        for (size_t i = 0; i < gone; i++) {
            request_free(&records->items[i]);
        }
        records->count -= gone;
        memmove(records->items, records->items + gone,
                records->count * sizeof(*records->items));
        return 0;
    }
    capacity = capacity < IMPACT_RECORDS_MAX ? capacity : IMPACT_RECORDS_MAX;
    grown = realloc(records->items, capacity * sizeof(*records->items));
    if (grown == NULL) {
        return -ENOMEM;
    }
    records->items = grown;
    records->capacity = capacity;
    return 0;
}

int impact_records_take(struct impact_records *records, json_t *root,
                        struct request_problem *ret_problem)
{
    struct request request;

    if (request_from_json(&request, root, ret_problem) != 0) {
        records->refused++;
        return -EINVAL;
    }
    if (make_room(records) != 0) {
        request_free(&request);
        ret_problem->code = "no-memory";
        strcpy(ret_problem->sentence, "memory is at its end.");
        return -ENOMEM;
    }
    if (request.has_now) {
        records->first = records->first == 0 || request.now < records->first
                             ? request.now
                             : records->first;
        records->last =
            request.now > records->last ? request.now : records->last;
    }
    records->items[records->count++] = request;
    return 0;
}

int impact_records_line(struct impact_records *records, const char *line,
                        size_t length, struct request_problem *ret_problem)
{
    json_t *root;
    int error;

    if (length > REQUEST_LINE_MAX) {
        ret_problem->code = "too-long";
        strcpy(ret_problem->sentence, "a request is longer than it may be.");
        records->refused++;
        return -EINVAL;
    }
    root = json_loadb(line, length, JSON_REJECT_DUPLICATES, NULL);
    if (root == NULL) {
        ret_problem->code = "bad-json";
        strcpy(ret_problem->sentence, "a line that is no JSON.");
        records->refused++;
        return -EINVAL;
    }
    error = impact_records_take(records, root, ret_problem);
    json_decref(root);
    return error;
}
