/* SPDX-License-Identifier: Apache-2.0
 * remote_explain.c - explanations of grayd, byte for byte.
 *
 * Why: the line that says why must be the same wherever it is asked for, so it
 * is cut out of the answer as it stands there, and never written anew.  Many
 * requests are asked in parts that fit a body.
 * Read next: explain.c, control/read/explain.c.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/remote.h"

#define PART_BYTES (700u << 10) /* grayd takes 1 MiB, as JSON of its own */

/* The end of the value that begins at `at`: braces outside of strings. */
static char *value_end(char *at)
{
    unsigned depth = 0;
    bool quoted = false;

    for (; *at != '\0'; at++) {
        if (quoted) {
            if (*at == '\\' && at[1] != '\0') {
                at++;
            } else if (*at == '"') {
                quoted = false;
            }
        } else if (*at == '"') {
            quoted = true;
        } else if (*at == '{' || *at == '[') {
            depth++;
        } else if ((*at == '}' || *at == ']') && --depth == 0) {
            return at + 1;
        }
    }
    return at;
}

/* grayd writes {"revision":N,"explanations":[{...},{...}]}. */
static size_t cut_lines(char *text, explained_line *line, void *context)
{
    char *at = strstr(text, "\"explanations\":[");
    size_t count = 0;

    at = at != NULL ? strchr(at, '[') + 1 : NULL;
    while (at != NULL && *at == '{') {
        char *end = value_end(at);
        char after = *end;

        *end = '\0';
        line(context, at);
        count++;
        at = after == ',' ? end + 1 : NULL;
    }
    return count;
}

static int ask_part(struct remote *remote, json_t *part, json_int_t revision,
                    explained_line *line, void *context)
{
    CLI_CLEANUP(json_freep) json_t *body = json_pack("{s:O}", "requests",
                                                     part);
    CLI_CLEANUP(json_freep) json_t *answer = NULL;
    CLI_CLEANUP(string_freep) char *text = NULL;
    int status;

    if (revision > 0) {
        json_object_set_new(body, "revision", json_integer(revision));
    }
    status = remote_ask(remote,
                        &(struct remote_call) { .method = "POST",
                                                .path = "/v1/explain",
                                                .body = body,
                                                .repeatable = true,
                                                .seconds = REMOTE_LONG_SECONDS,
                                                .ret_text = &text },
                        &answer);
    if (status == 0 &&
        cut_lines(text, line, context) != json_array_size(part)) {
        complain("%s: not an answer for each request", remote_place(remote));
        status = CLI_EXIT_SYSTEM;
    }
    return status;
}

int remote_explain(struct remote *remote, const json_t *requests,
                   json_int_t revision, explained_line *line, void *context)
{
    size_t i = 0;
    int status = 0;

    while (status == 0 && i < json_array_size(requests)) {
        CLI_CLEANUP(json_freep) json_t *part = json_array();
        size_t bytes = 0;

        for (; i < json_array_size(requests) &&
               json_array_size(part) < REMOTE_REQUESTS; i++) {
            json_t *request = json_array_get(requests, i);

            bytes += json_dumpb(request, NULL, 0, JSON_COMPACT) + 1;
            if (bytes > PART_BYTES && json_array_size(part) > 0) {
                break;
            }
            json_array_append(part, request);
        }
        status = ask_part(remote, part, revision, line, context);
    }
    return status;
}
