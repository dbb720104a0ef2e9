/* SPDX-License-Identifier: Apache-2.0
 * push_decisions.c - lines of this host's decision logs, by number, until the
 * server has all.
 *
 * Why: people ask the server what a unit met.  As with records of marks the
 * host's own index is the queue and the server says how far it has it; marks
 * and reports go first, for nothing hangs on these lines but curiosity.
 * Read next: push.c, ../decisions/take.c, docs/agent.md.
 */
#include <errno.h>
#include <stdlib.h>

#include "control/agent/internal.h"
#include "control/decisions/decisions.h"

#define LINES_MOST 500u
#define BYTES_MOST 700000u /* of a body; the server takes 1 MiB */
#define REFUSED "decisions-refused"

struct part {
    json_t *lines;
    size_t bytes;
    uint64_t last;
};

static int add_line(void *context, uint64_t line,
                    const struct decision *decision, const char *text,
                    size_t length)
{
    struct part *part = context;

    (void)text;
    if (part->bytes + length > BYTES_MOST && part->last != 0) {
        return 1;
    }
    part->bytes += length;
    part->last = line;
    return json_array_append(part->lines, decision->tree);
}

static int send_part(struct agent *agent, const struct part *part)
{
    char id[DECISIONS_ID + 1];
    struct gray_problem problem = { 0 };
    struct link_answer answer = { 0 };
    char *path = NULL, *text = NULL;
    json_t *body;
    int result = -ENOMEM;

    if (decisions_id(agent->options.decisions, id, &problem) != 0) {
        agent_trouble(agent, &problem);
        return -EIO;
    }
    body = json_pack("{s:s,s:I,s:I,s:O}", "index", id, "after",
                     (json_int_t)agent->decided, "through",
                     (json_int_t)part->last, "lines", part->lines);
    text = json_dumps(body, JSON_COMPACT);
    path = link_path("/v1/hosts/%s/decisions", agent->host);
    if (text != NULL && path != NULL) {
        result = link_ask(agent->report,
                          &(struct link_call) { .path = path, .body = text,
                                                .first_byte_ms =
                                                    AGENT_CALL_MS },
                          &answer);
    }
    if (result == 0) {
        result = push_answered(agent, &answer, REFUSED,
                               "lines of decision logs", &agent->decided);
    }
    json_decref(body);
    free(answer.text);
    free(text);
    free(path);
    return result;
}

int push_decisions(struct agent *agent)
{
    struct gray_problem problem = { 0 };
    struct part part = { 0 };
    int result = 1;

    if (agent->options.decisions == NULL) {
        return 1;
    }
    part.lines = json_array();
    if (part.lines == NULL ||
        decisions_next(agent->options.decisions, agent->decided, LINES_MOST,
                       add_line, &part, &problem) != 0) {
        agent_trouble(agent, &problem);
        result = -EIO;
    } else if (part.last != 0) {
        result = send_part(agent, &part);
    }
    json_decref(part.lines);
    pthread_mutex_lock(&agent->lock);
    if (agent->said.news && result == 0) {
        result = 1; /* what is to be said goes first */
    }
    pthread_mutex_unlock(&agent->lock);
    return result;
}
