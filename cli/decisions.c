/* SPDX-License-Identifier: Apache-2.0
 * decisions.c - `gray explain --unit`: what one unit was told, and why.
 *
 * Why: "he says he saw the new cart at noon" is answered by the lines that
 * gateways wrote when they decided, not by deciding anew.  grayd finds them by
 * the unit; where it is dead the log files themselves are read.
 * Read next: explain.c (how a line is printed), control/decisions/decisions.h.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/remote.h"
#include "control/decisions/decisions.h"
#include "policy/parse.h"

#define SINCE_DEFAULT "24h"
#define LOG_LINE_MAX (1u << 20) /* longer: no log at all */

struct teller {
    const struct arguments *arguments;
    struct decisions_query query; /* of files */
    char unit[DECISION_VALUE_BYTES + 1];
    json_t *lines;
    size_t bad;
};

/* ---- printing ----------------------------------------------------------------- */

static void print_line(json_t *line, bool first)
{
    const char *host = text_at(line, "host"), *trace = text_at(line,
                                                              "trace_id");
    char moment[40];

    printf("%s%s  %s%s%s%s%s\n", first ? "" : "\n",
           moment_text(number_at(line, "time"), moment),
           text_at(line, "event"), *host != '\0' ? "  on " : "", host,
           *trace != '\0' ? "  trace " : "", trace);
    if (json_object_get(line, "releases") != NULL) {
        explanation_print(line);
    } else {
        printf("%s  service %s  arms %s\n", text_at(line, "reason"),
               text_at(line, "service"), text_at(line, "arms"));
    }
}

static int print_lines(const struct teller *teller, const json_t *index)
{
    size_t i;
    json_t *line;

    json_array_foreach(teller->lines, i, line) {
        if (arguments_json(teller->arguments)) {
            CLI_CLEANUP(string_freep) char *text =
                json_dumps(line, JSON_COMPACT | JSON_ENSURE_ASCII);

            printf("%s\n", text != NULL ? text : "");
        } else {
            print_line(line, i == 0);
        }
    }
    if (json_array_size(teller->lines) == 0 &&
        !arguments_json(teller->arguments)) {
        printf("nothing is known of it in that time\n");
    }
    if (number_at(index, "behind") > 0) {
        complain("%lld bytes of logs are not read yet: ask again in a moment",
                 (long long)number_at(index, "behind"));
    }
    if (*text_at(index, "trouble") != '\0') {
        complain("decisions may be missing: %s", text_at(index, "trouble"));
    }
    if (teller->bad > 0) {
        complain("%zu lines are none of a decision log", teller->bad);
    }
    return json_array_size(teller->lines) > 0 ? CLI_EXIT_OK
                                              : CLI_EXIT_NOT_FOUND;
}

/* ---- of grayd ------------------------------------------------------------------- */

static char *query_path(const struct arguments *arguments)
{
    static const struct {
        enum cli_option_number option;
        const char *name;
    } names[] = {
        { CLI_UNIT, "unit" },       { CLI_TRACE, "trace" },
        { CLI_RELEASE, "release" }, { CLI_UNTIL, "until" },
    };
    const char *since = arguments_get(arguments, CLI_SINCE);
    char *path = remote_path("/v1/decisions?since=%s",
                             since != NULL ? since : SINCE_DEFAULT);

    for (size_t i = 0; path != NULL && i < sizeof(names) / sizeof(names[0]);
         i++) {
        const char *value = arguments_get(arguments, names[i].option);

        if (value != NULL) {
            char form[32];
            char *part, *longer = NULL;

            snprintf(form, sizeof(form), "&%s=%%s", names[i].name);
            part = remote_path(form, value);
            if (part == NULL || asprintf(&longer, "%s%s", path, part) < 0) {
                longer = NULL;
            }
            free(part);
            free(path);
            path = longer;
        }
    }
    return path;
}

static int tell_remote(struct teller *teller)
{
    CLI_CLEANUP(remote_freep) struct remote *remote = NULL;
    CLI_CLEANUP(string_freep) char *path = NULL, *short_path = NULL;
    CLI_CLEANUP(json_freep) json_t *last = NULL;
    int status = remote_open(&remote, teller->arguments);

    if (status != 0) {
        return status;
    }
    path = query_path(teller->arguments);
    status = remote_pages(remote, path, "decisions", "after", 0,
                          &teller->lines);
    if (status != 0) {
        return status;
    }
    if (asprintf(&short_path, "%s&limit=1", path) < 0) {
        short_path = NULL;
        return CLI_EXIT_SYSTEM;
    }
    status = remote_get(remote, short_path, &last);
    return status != 0 ? status
                       : print_lines(teller, json_object_get(last, "index"));
}

/* ---- of files --------------------------------------------------------------------- */

static int compare_lines(const void *a, const void *b)
{
    int64_t one = number_at(*(json_t *const *)a, "time");
    int64_t two = number_at(*(json_t *const *)b, "time");

    return one < two ? -1 : one > two;
}

static void sort_lines(json_t *lines)
{
    size_t count = json_array_size(lines), i;
    json_t **all = calloc(count + 1, sizeof(*all));

    if (all == NULL) {
        return;
    }
    for (i = 0; i < count; i++) {
        all[i] = json_incref(json_array_get(lines, i));
    }
    qsort(all, count, sizeof(*all), compare_lines);
    for (i = 0; i < count; i++) {
        json_array_set_new(lines, i, all[i]);
    }
    free(all);
}

static void take_line(struct teller *teller, const struct line *line)
{
    const struct decisions_query *query = &teller->query;
    struct decision decision;
    char sentence[128];

    if (line->length == 0) {
        return;
    }
    if (decision_read(line->text, line->length, &decision, sentence,
                      sizeof(sentence)) != 0) {
        teller->bad++;
        return;
    }
    if (decision.time >= query->since && decision.time < query->until &&
        (query->trace == NULL || strcmp(decision.trace, query->trace) == 0) &&
        decision_speaks_of(&decision, query->unit, query->release)) {
        json_array_append(teller->lines, decision.tree);
    }
    decision_clear(&decision);
}

static int read_log(struct teller *teller, const char *name)
{
    CLI_CLEANUP(file_closep) FILE *file = port_open(name);
    struct line line = { 0 };
    int got;

    if (file == NULL) {
        return CLI_EXIT_SYSTEM;
    }
    while ((got = port_line(file, name, LOG_LINE_MAX, &line)) > 0) {
        take_line(teller, &line);
    }
    line_free(&line);
    return got < 0 ? CLI_EXIT_SYSTEM : 0;
}

static int tell_files(struct teller *teller)
{
    const struct arguments *arguments = teller->arguments;
    const char *since = arguments_get(arguments, CLI_SINCE);
    const char *until = arguments_get(arguments, CLI_UNTIL);
    const char *unit = arguments_get(arguments, CLI_UNIT), *name;
    size_t at = 0;
    int status = moment_read("--since", since != NULL ? since : SINCE_DEFAULT,
                             &teller->query.since);

    teller->query.until = INT64_MAX;
    if (status == 0 && until != NULL) {
        status = moment_read("--until", until, &teller->query.until);
    }
    if (unit != NULL) {
        decision_unit(unit, teller->unit);
        teller->query.unit = teller->unit;
    }
    teller->query.trace = arguments_get(arguments, CLI_TRACE);
    teller->query.release = arguments_get(arguments, CLI_RELEASE);
    teller->lines = json_array();
    while (status == 0 &&
           (name = arguments_next(arguments, CLI_LOG, &at)) != NULL) {
        status = read_log(teller, name);
    }
    if (status != 0) {
        return status;
    }
    sort_lines(teller->lines);
    return print_lines(teller, NULL);
}

int decisions_explain(const struct arguments *arguments)
{
    struct teller teller = { .arguments = arguments };
    int status;

    if (arguments_has(arguments, CLI_UNIT) &&
        arguments_has(arguments, CLI_TRACE)) {
        complain("either --unit or --trace, not both");
        return CLI_EXIT_USAGE;
    }
    status = arguments_has(arguments, CLI_LOG) ? tell_files(&teller)
                                               : tell_remote(&teller);
    json_decref(teller.lines);
    return status;
}
