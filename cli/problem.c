/* SPDX-License-Identifier: Apache-2.0
 * problem.c - what grayd refused, as a person reads it.
 *
 * Why: a refusal must read the same whether a gate ran here or there: findings
 * line by line with their places, then one sentence, its code, and what to do
 * instead.  The exit code says which kind it was, for scripts.
 * Read next: remote.c, control/call/problems.def.
 */
#include <string.h>

#include "cli/remote.h"

int problem_exit(long status)
{
    switch (status) {
    case 401:
    case 403:
        return CLI_EXIT_DENIED;
    case 404:
        return CLI_EXIT_NOT_FOUND;
    case 412:
        return CLI_EXIT_STALE;
    case 409:
    case 413:
    case 422:
        return CLI_EXIT_REFUSED;
    default:
        return status >= 400 && status < 500 ? CLI_EXIT_USAGE
                                             : CLI_EXIT_SYSTEM;
    }
}

/* Bytes from elsewhere must not steer a terminal. */
static void put_clean(const char *text, FILE *out)
{
    CLI_CLEANUP(string_freep) char *copy = strdup(text);

    fputs(copy != NULL ? text_clean(copy) : "", out);
}

void findings_say(const json_t *findings, FILE *out)
{
    const json_t *finding;
    size_t i;

    json_array_foreach(findings, i, finding) {
        const char *file = text_at(finding, "file");
        const char *pointer = text_at(finding, "pointer");
        const char *document = text_at(finding, "document");

        if (*file != '\0') {
            put_clean(file, out);
            fputc(':', out);
            if (number_at(finding, "line") > 0) {
                fprintf(out, "%lld:%lld:",
                        (long long)number_at(finding, "line"),
                        (long long)number_at(finding, "column"));
            }
            fputc(' ', out);
        }
        put_clean(text_at(finding, "severity"), out);
        fputs(": ", out);
        put_clean(text_at(finding, "sentence"), out);
        fputs(" [", out);
        put_clean(text_at(finding, "code"), out);
        fputc(']', out);
        if (*document != '\0' || *pointer != '\0') {
            fputs(" (", out);
            put_clean(document, out);
            fputs(*document != '\0' && *pointer != '\0' ? " " : "", out);
            put_clean(pointer, out);
            fputc(')', out);
        }
        fputc('\n', out);
    }
}

int problem_say(const json_t *problem, long status, const char *place)
{
    const char *code = text_at(problem, "code");
    const char *detail = text_at(problem, "detail");
    const char *advice = text_at(problem, "advice");
    const char *pointer = text_at(problem, "pointer");

    fflush(stdout);
    findings_say(json_object_get(problem, "findings"), stderr);
    if (*detail == '\0') {
        complain("%s answered %ld and no problem of grayd's", place, status);
        return problem_exit(status);
    }
    complain("%s%s%s [%s]", detail, *pointer != '\0' ? " at " : "", pointer,
             code);
    if (*advice == '\0' && status == 401) {
        advice = "Give a token: --token-file FILE, $GRAY_TOKEN, or gray "
                 "context add NAME --server URL --token-file FILE.";
    } else if (*advice == '\0' && status == 403) {
        advice = "gray whoami says what this token may do and on which names; "
                 "an admin makes another one: gray token create.";
    } else if (*advice == '\0' && strcmp(code, "store-failed") == 0) {
        advice = "On its own host gray stop, freeze and kill go on without it.";
    }
    if (*advice != '\0') {
        complain("%s", advice);
    }
    return problem_exit(status);
}
