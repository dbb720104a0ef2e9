/* SPDX-License-Identifier: Apache-2.0
 * push.c - records of this host's marks, by number, until the server has all.
 *
 * Why: whoever was admitted here must be known everywhere, sooner or later;
 * so the journal is the queue, the server says how far it has it, and a call
 * that broke is made again from that number.
 * Read next: control/marks/ship.c, docs/agent.md (admissions).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/agent/internal.h"

#define RECORDS_MOST 1000u
#define REFUSED "admissions-refused"
#define BYTES_MOST 1000000u /* of a body */

static char *body_of(struct agent *agent, uint64_t after, const json_t *rows,
                     size_t count)
{
    json_t *part = json_array(), *body;
    char *text;

    for (size_t i = 0; i < count; i++) {
        json_array_append(part, json_array_get(rows, i));
    }
    body = json_pack("{s:s,s:I,s:o}", "journal", agent->journal, "after",
                     (json_int_t)after, "records", part);
    text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    return text;
}

/* As many as fit. */
static char *body_that_fits(struct agent *agent, uint64_t after,
                            const json_t *rows)
{
    size_t count = json_array_size(rows);
    char *text = body_of(agent, after, rows, count);

    while (text != NULL && strlen(text) > BYTES_MOST && count > 1) {
        free(text);
        count = (count + 1) / 2;
        text = body_of(agent, after, rows, count);
    }
    return text;
}

int push_answered(struct agent *agent, const struct link_answer *answer,
                  const char *code, const char *what, uint64_t *through)
{
    json_t *body = json_loadb(answer->text != NULL ? answer->text : "",
                              answer->length, 0, NULL);
    json_t *number = json_object_get(body, "through");
    struct gray_problem problem = { 0 };
    int result = -EIO;

    if ((answer->status == 200 || answer->status == 409) &&
        json_is_integer(number) && json_integer_value(number) >= 0) {
        uint64_t said = (uint64_t)json_integer_value(number);

        result = said != *through ? 0 : -EAGAIN;
        *through = said;
        agent_well(agent, code);
    } else {
        agent_problem(&problem, EPERM, code, "The server answered %d to %s.",
                      answer->status, what);
        agent_trouble(agent, &problem);
    }
    json_decref(body);
    return result;
}

static int take_answer(struct agent *agent, const struct link_answer *answer,
                       uint64_t through)
{
    int result = push_answered(agent, answer, REFUSED, "records of marks",
                               &through);

    pthread_mutex_lock(&agent->lock);
    agent->said.through = through;
    pthread_mutex_unlock(&agent->lock);
    return result;
}

int push_records(struct agent *agent)
{
    struct gray_problem problem = { 0 };
    struct link_answer answer = { 0 };
    uint64_t through, last;
    char *path, *text = NULL;
    json_t *rows;
    int result;

    if (agent->marks == NULL) {
        return 1;
    }
    pthread_mutex_lock(&agent->lock);
    through = agent->said.through;
    pthread_mutex_unlock(&agent->lock);
    last = marks_last(agent->marks);
    if (through >= last) {
        return 1;
    }
    rows = marks_ship(agent->marks, through, RECORDS_MOST, &problem);
    if (json_array_size(rows) == 0) {
        if (rows == NULL) {
            agent_trouble(agent, &problem);
        }
        json_decref(rows);
        return -EIO;
    }
    path = link_path("/v1/hosts/%s/admissions", agent->host);
    text = body_that_fits(agent, through, rows);
    result = text != NULL
                 ? link_ask(agent->report,
                            &(struct link_call) {
                                .path = path, .body = text,
                                .first_byte_ms = AGENT_CALL_MS },
                            &answer)
                 : -ENOMEM;
    if (result == 0) {
        result = take_answer(agent, &answer, through);
    }
    pthread_mutex_lock(&agent->lock);
    if (agent->said.news) {
        result = result == 0 ? 1 : result; /* what is to be said goes first */
    }
    pthread_mutex_unlock(&agent->lock);
    free(answer.text);
    free(text);
    free(path);
    json_decref(rows);
    return result;
}
