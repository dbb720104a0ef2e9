/* SPDX-License-Identifier: Apache-2.0
 * decisions.c - every judgement that a unit met.
 *
 * Why: a line that a gateway wrote is answered as it wrote it: whoever compares
 * it with the log, or explains the same request anew, gets the same bytes.
 * What stands beside the lines says whether they are all there are: how far
 * the logs are read, and since when lines are kept.
 * Read next: ../decisions/decisions.h.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/decisions/decisions.h"
#include "control/read/internal.h"

struct found {
    FILE *out;
    size_t count, limit;
    bool more;
    int64_t time;  /* of the last one shown */
    uint64_t line;
};

static int add_line(void *context, uint64_t line,
                    const struct decision *decision, const char *text,
                    size_t length)
{
    struct found *found = context;

    if (found->count == found->limit ||
        ftello(found->out) > (off_t)READ_PAGE_BYTES) {
        found->more = true;
        return 1;
    }
    if (found->count++ > 0) {
        fputc(',', found->out);
    }
    fwrite(text, 1, length, found->out);
    found->time = decision->time;
    found->line = line;
    return 0;
}

/* "TIME.LINE", as `next` says it. */
static bool read_after(const struct call *call, struct decisions_query *query,
                       struct reply *reply)
{
    const char *text = call_query_text(call, "after");
    unsigned long long line = 0;
    long long time = 0;
    int end = 0;

    if (text == NULL) {
        return true;
    }
    if (sscanf(text, "%19lld.%19llu%n", &time, &line, &end) != 2 ||
        text[end] != '\0' || time < 0) {
        reply_problem(reply, PROBLEM_BAD_QUERY,
                      "after is what `next` of the page before said.");
        return false;
    }
    query->after_time = time;
    query->after_line = line;
    return true;
}

static bool read_query(const struct call *call, struct decisions_query *query,
                       struct reply *reply)
{
    query->unit = call_query_text(call, "unit");
    query->trace = call_query_text(call, "trace");
    query->release = call_query_text(call, "release");
    query->until = INT64_MAX;
    if ((query->unit != NULL) == (query->trace != NULL)) {
        reply_problem(reply, PROBLEM_BAD_QUERY,
                      "Whose decisions? Say unit or trace, one of them.");
        return false;
    }
    return read_since(call, "since", &query->since, reply) &&
           read_since(call, "until", &query->until, reply) &&
           read_after(call, query, reply);
}

static void write_index(FILE *out, struct decisions *decisions)
{
    struct decisions_status status;
    json_t *trouble;
    char since[CALL_MOMENT_SIZE];

    decisions_status(decisions, &status);
    call_moment(status.oldest, since);
    trouble = json_string(status.trouble);
    fprintf(out,
            "\"index\":{\"lines\":%llu,\"bad\":%llu,\"bytes\":%llu,"
            "\"behind\":%llu,\"since\":%s%s%s,\"trouble\":",
            (unsigned long long)status.lines, (unsigned long long)status.bad,
            (unsigned long long)status.bytes,
            (unsigned long long)status.behind, status.oldest > 0 ? "\"" : "",
            status.oldest > 0 ? since : "null", status.oldest > 0 ? "\"" : "");
    if (status.trouble[0] == '\0') {
        fputs("null", out);
    } else {
        json_dumpf(trouble, out, JSON_ENCODE_ANY);
    }
    fputs("}}\n", out);
    json_decref(trouble);
}

static void answer(struct decisions *decisions,
                   struct decisions_query *query, size_t limit,
                   struct reply *reply)
{
    struct gray_problem problem = { 0 };
    struct found found = { .limit = limit };
    char *text = NULL;
    size_t length = 0;
    int error;

    found.out = open_memstream(&text, &length);
    if (found.out == NULL) {
        read_no_memory(reply);
        return;
    }
    query->limit = limit + 1; /* is there another? */
    fputs("{\"decisions\":[", found.out);
    error = decisions_find(decisions, query, add_line, &found, &problem);
    fputs("],", found.out);
    if (found.more) {
        fprintf(found.out, "\"next\":\"%lld.%llu\",", (long long)found.time,
                (unsigned long long)found.line);
    }
    write_index(found.out, decisions);
    if (fclose(found.out) != 0 || error != 0) {
        free(text);
        reply_problem(reply, PROBLEM_NOT_READY, "%s",
                      error != 0 ? problem.sentence : "No memory.");
        return;
    }
    reply->status = 200;
    reply->text = text;
    reply->length = length;
    reply->type = "application/json";
}

void route_handle_DECISIONS(struct hand *hand, const struct call *call,
                            struct reply *reply)
{
    struct decisions_query query = { 0 };
    size_t limit;

    if (!read_query(call, &query, reply) ||
        !read_limit(call, &limit, reply)) {
        return;
    }
    if (hand->grayd->decisions == NULL) {
        reply_problem(reply, PROBLEM_NOT_READY,
                      "The index of decisions could not be opened; grayd said "
                      "why when it started.");
        return;
    }
    answer(hand->grayd->decisions, &query, limit, reply);
}
