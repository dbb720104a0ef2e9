/* SPDX-License-Identifier: Apache-2.0
 * reply.c - filling replies; refusals as RFC 9457 bodies.
 *
 * Why: a refusal is a code for programs, a sentence for people, and nothing
 * about the inside.  Out of memory leaves a reply without body, which the
 * transport answers by a constant.
 * Read next: problems.def, call.c.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/call/call.h"
#include "policy/utf8.h"

static const struct {
    int status;
    const char *code, *type, *title;
} problems[PROBLEM_COUNT] = {
#define GRAYD_PROBLEM(NAME, status, code, title) \
    {status, code, "urn:graylane:problem:" code, title},
#include "control/call/problems.def"
};

static const char problem_type[] = "application/problem+json";

void text_mend(char *text)
{
    size_t i, step, length = strlen(text);

    for (i = 0; i < length; i += step) {
        step = gray_utf8_step(text + i, length - i);
        if (step == 0 && length - i < 4 && (text[i] & 0xc0) == 0xc0) {
            text[i] = '\0';
            return;
        }
        if (step == 0) {
            text[i] = '?';
            step = 1;
        }
    }
}

void reply_clear(struct reply *reply)
{
    json_decref(reply->body);
    free(reply->text);
    if (reply->stream != NULL) {
        reply->stream->close(reply->stream);
    }
    if (reply->later != NULL) {
        reply->later->drop(reply->later);
    }
    if (reply->bytes.owner != NULL) {
        reply->bytes.release(reply->bytes.owner);
    }
    memset(reply, 0, sizeof(*reply));
}

void reply_json(struct reply *reply, int status, json_t *body)
{
    reply_clear(reply);
    reply->status = body != NULL ? status : 500;
    reply->body = body;
}

void reply_problem(struct reply *reply, enum problem_number problem,
                   const char *format, ...)
{
    char detail[1024];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(detail, sizeof(detail), format, arguments);
    va_end(arguments);
    text_mend(detail);
    reply_clear(reply);
    reply->status = problems[problem].status;
    reply->type = problem_type;
    reply->body = json_pack(
        "{s:s, s:s, s:i, s:s, s:s}", "type", problems[problem].type, "title",
        problems[problem].title, "status", problems[problem].status, "code",
        problems[problem].code, "detail", detail);
    if (problem == PROBLEM_BUSY) {
        reply->retry_after = 1;
    }
}

void reply_add(struct reply *reply, const char *key, json_t *value)
{
    if (reply->body != NULL) {
        json_object_set_new(reply->body, key, value);
    } else {
        json_decref(value);
    }
}

bool reply_is_problem(const struct reply *reply)
{
    return reply->status >= 400;
}
