/* SPDX-License-Identifier: Apache-2.0
 * take.c - decision lines of another host, carried here by its agent.
 *
 * Why: who asks what a unit met asks one grayd, whichever host decided.  A
 * host's own index is the queue: it sends what lies above the number that this
 * one has, so nothing is lost or told twice through broken calls; which agent
 * said it is added to each line, for a line may name any host.
 * Read next: ../agent/push_decisions.c, docs/agent.md.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/decisions/decisions.h"
#include "control/grayd.h"

static bool write_lines(FILE *out, const struct call *call)
{
    const json_t *lines = json_object_get(call->body, "lines");
    json_t *line;
    bool good = true;
    size_t i;

    json_array_foreach(lines, i, line) {
        good &= json_object_set_new(line, "agent", json_string(call->name)) ==
                0;
        good &= json_dumpf(line, out, JSON_COMPACT | JSON_ENSURE_ASCII) == 0;
        fputc('\n', out);
    }
    return good;
}

static void reply_through(struct decisions *decisions, const char *source,
                          int error, const struct gray_problem *why,
                          struct reply *reply)
{
    struct gray_problem problem = { 0 };
    uint64_t through = 0;

    if (error != 0 && error != -ESTALE) {
        reply_problem(reply, PROBLEM_NOT_READY, "%s", why->sentence);
        return;
    }
    if (decisions_position(decisions, source, &through, &problem) != 0) {
        reply_problem(reply, PROBLEM_NOT_READY, "%s", problem.sentence);
        return;
    }
    if (error == 0) {
        reply_json(reply, 200,
                   json_pack("{s:I}", "through", (json_int_t)through));
        return;
    }
    reply_problem(reply, PROBLEM_GAP, "%s", why->sentence);
    reply_add(reply, "through", json_integer((json_int_t)through));
}

void route_handle_HOST_DECISIONS(struct hand *hand, const struct call *call,
                                 struct reply *reply)
{
    struct decisions *decisions = hand->grayd->decisions;
    const json_t *body = call->body;
    char source[CALL_SEGMENT_MAX + DECISIONS_ID + 16];
    struct gray_problem problem = { 0 };
    struct decisions_batch batch = { .source = source, .expects = true };
    char *text = NULL;
    FILE *out;
    bool good;
    int error;

    if (decisions == NULL) {
        reply_problem(reply, PROBLEM_NOT_READY,
                      "The index of decisions could not be opened.");
        return;
    }
    out = open_memstream(&text, &batch.length);
    good = out != NULL && write_lines(out, call);
    if (out == NULL || fclose(out) != 0 || !good) {
        free(text);
        reply_problem(reply, PROBLEM_INTERNAL, "No memory.");
        return;
    }
    snprintf(source, sizeof(source), "host:%s:%s", call->name,
             json_string_value(json_object_get(body, "index")));
    batch.text = text;
    batch.before =
        (uint64_t)json_integer_value(json_object_get(body, "after"));
    batch.after =
        (uint64_t)json_integer_value(json_object_get(body, "through"));
    error = decisions_add(decisions, &batch, &problem);
    reply_through(decisions, source, error, &problem, reply);
    free(text);
}
