/* SPDX-License-Identifier: Apache-2.0
 * recon.c - gray recon run, report, explain: does the data say what was
 * decided?
 *
 * Why: whoever waits for a step wants one line and an exit code; whoever was
 * woken by an alarm wants to see which orders, and what is wrong with each.
 * Read next: docs/recon.md, control/read/checks.c.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/remote.h"

#define WAIT_SECONDS 600.0 /* of --wait without a number */
#define LOOK_MS 200

/* ---- what a report says ---------------------------------------------------------- */

static void say_rules(const json_t *last)
{
    static const char *const words[] = { "R1", "R2", "R3", "R4",
                                         "R5", "R6", "R7" };
    static const char *const say[] = {
        "every mark has its decision record",
        "the decision as of then is the mark's",
        "the mark has its row, and it agrees",
        "who was not hit obeys the old side",
        "as many are in as the share says",
        "whose decision was in has a mark and a row",
        "who was taken back has no uncorrected row"
    };
    CLI_CLEANUP(table_freep) struct table *table = table_new(5);
    const char *const heads[] = { "", "JUDGED", "DIFFER", "NOT JUDGED",
                                  "WHAT" };
    size_t i;

    for (i = 0; i < 5; i++) {
        table_cell(table, "%s", heads[i]);
    }
    for (i = 1; i < 4; i++) {
        table_right(table, i);
    }
    for (i = 0; i < 7; i++) {
        const json_t *rule = json_object_get(json_object_get(last, "rules"),
                                             words[i]);

        table_cell(table, "%s", words[i]);
        table_cell(table, "%lld", (long long)number_at(rule, "judged"));
        table_cell(table, "%lld", (long long)number_at(rule, "differences"));
        table_cell(table, "%lld", (long long)number_at(rule, "notJudged"));
        table_cell(table, "%s", say[i]);
    }
    table_print(table, stdout);
}

/* What could not be judged is not good: it is said, with its reasons. */
static void say_not_judged(const json_t *last)
{
    json_t *rules = json_object_get(last, "rules"), *rule, *count;
    const char *word, *why;

    json_object_foreach(rules, word, rule) {
        json_object_foreach(json_object_get(rule, "why"), why, count) {
            printf("%s: %lld not judged: %s\n", word,
                   (long long)json_integer_value(count), why);
        }
    }
}

static void say_not_covered(const json_t *last)
{
    const json_t *names = json_object_get(last, "notCovered"), *name;
    size_t i;

    if (json_array_size(names) == 0) {
        return;
    }
    printf("number columns of the gray rows that nobody compares:");
    json_array_foreach(names, i, name) {
        printf(" %s", json_string_value(name));
    }
    printf("\n");
}

static void say_differences(const json_t *report)
{
    CLI_CLEANUP(table_freep) struct table *table = table_new(4);
    const char *const heads[] = { "DIFFERENCE", "STATE", "AT", "WHAT" };
    const json_t *rows = json_object_get(report, "differences"), *row;
    size_t i;

    if (json_array_size(rows) == 0) {
        return;
    }
    printf("\n");
    for (i = 0; i < 4; i++) {
        table_cell(table, "%s", heads[i]);
    }
    json_array_foreach(rows, i, row) {
        table_cell(table, "%s", text_at(row, "id"));
        table_cell(table, "%s", text_at(row, "state"));
        table_cell(table, "%s", text_at(row, "at"));
        table_cell(table, "%s%s%s", text_at(row, "sentence"),
                   json_object_get(row, "explained") != NULL ? " - " : "",
                   text_at(json_object_get(row, "explained"), "reason"));
    }
    table_print(table, stdout);
}

static void say_more(const json_t *report)
{
    json_t *more = json_object_get(report, "more"), *count;
    const char *word;

    json_object_foreach(more, word, count) {
        printf("%s: %lld more differences that are not named\n", word,
               (long long)json_integer_value(count));
    }
}

static json_int_t unexplained(const json_t *report)
{
    json_t *counts = json_object_get(report, "unexplained"), *count;
    const char *word;
    json_int_t sum = 0;

    json_object_foreach(counts, word, count) {
        (void)word;
        sum += json_integer_value(count);
    }
    return sum;
}

static void say_head(const json_t *report)
{
    const json_t *last = json_object_get(report, "last");

    printf("Check %s of %s (%s): %lld open and unexplained (%lld suspects, "
           "%lld alarms), %lld explained, %lld settled, %lld resolved\n",
           text_at(report, "name"), text_at(report, "release"),
           text_at(report, "mode"), (long long)unexplained(report),
           (long long)number_at(report, "suspects"),
           (long long)number_at(report, "alarms"),
           (long long)number_at(report, "explained"),
           (long long)number_at(report, "settled"),
           (long long)number_at(report, "resolved"));
    if (json_is_object(json_object_get(report, "failed"))) {
        const json_t *failed = json_object_get(report, "failed");

        printf("the last run failed at %s: %s\n", text_at(failed, "at"),
               text_at(failed, "sentence"));
    }
    if (!json_is_object(last)) {
        printf("it has not run yet: gray recon run %s\n",
               text_at(report, "name"));
        return;
    }
    printf("last run: %lld pairs of %lld units, from %s until %s, in %lld "
           "ms\n\n",
           (long long)number_at(last, "pairs"),
           (long long)number_at(last, "units"),
           json_is_string(json_object_get(last, "from"))
               ? text_at(last, "from")
               : "the beginning",
           text_at(last, "until"), (long long)number_at(last, "ms"));
}

/* REFUSED: something is open that nobody explained, or the run failed. */
static int say_report(const struct arguments *arguments, json_t *report)
{
    bool bad = unexplained(report) > 0 ||
               json_is_object(json_object_get(report, "failed"));
    const json_t *last = json_object_get(report, "last");

    if (arguments_json(arguments)) {
        int status = json_print(json_incref(report), JSON_INDENT(2));

        return status != 0 ? status : bad ? CLI_EXIT_REFUSED : CLI_EXIT_OK;
    }
    say_head(report);
    if (json_is_object(last)) {
        say_rules(last);
        say_not_judged(last);
        say_not_covered(last);
    }
    say_differences(report);
    say_more(report);
    return bad ? CLI_EXIT_REFUSED : CLI_EXIT_OK;
}

static int get_report(struct remote *remote, const char *name,
                      json_t **ret_report)
{
    CLI_CLEANUP(string_freep) char *path =
        remote_path("/v1/checks/%s/report", name);

    return path != NULL ? remote_get(remote, path, ret_report)
                        : CLI_EXIT_SYSTEM;
}

int command_recon_report(const struct arguments *arguments)
{
    CLI_CLEANUP(remote_freep) struct remote *remote = NULL;
    CLI_CLEANUP(json_freep) json_t *report = NULL;
    int status = remote_open(&remote, arguments);

    status = status != 0
                 ? status
                 : get_report(remote, arguments->operands[0], &report);
    return status != 0 ? status : say_report(arguments, report);
}

/* ---- run --------------------------------------------------------------------------- */

/* Until the run of this number has ended, or the time is over. */
static int wait_run(struct remote *remote, const struct arguments *arguments,
                    json_int_t number, double seconds)
{
    CLI_CLEANUP(json_freep) json_t *report = NULL;
    int64_t end = port_monotonic_ms() + (int64_t)(seconds * 1000);

    for (;;) {
        int status;

        json_decref(report);
        report = NULL;
        status = get_report(remote, arguments->operands[0], &report);
        if (status != 0) {
            return status;
        }
        if (number_at(report, "done") >= number) {
            return say_report(arguments, report);
        }
        if (port_monotonic_ms() >= end) {
            complain("run %lld goes on after %g s; gray recon report %s shows "
                     "it when it has ended",
                     (long long)number, seconds, arguments->operands[0]);
            return CLI_EXIT_INCOMPLETE;
        }
        port_sleep_ms(LOOK_MS);
    }
}

static int add_moment(const struct arguments *arguments,
                      enum cli_option_number option, const char *key,
                      json_t *body)
{
    const char *said = arguments_get(arguments, option);
    char text[40];
    int64_t ms = 0;
    int status = 0;

    if (said == NULL) {
        return 0;
    }
    if (option == CLI_SINCE && strcmp(said, "begin") == 0) {
        json_object_set_new(body, key, json_string(said));
        return 0;
    }
    status = moment_read(option == CLI_SINCE ? "--since" : "--until", said,
                         &ms);
    if (status == 0) {
        json_object_set_new(body, key, json_string(moment_text(ms, text)));
    }
    return status;
}

int command_recon_run(const struct arguments *arguments)
{
    CLI_CLEANUP(remote_freep) struct remote *remote = NULL;
    CLI_CLEANUP(json_freep) json_t *answer = NULL;
    CLI_CLEANUP(json_freep) json_t *body = json_object();
    CLI_CLEANUP(string_freep) char *path =
        remote_path("/v1/checks/%s/run", arguments->operands[0]);
    double seconds = WAIT_SECONDS;
    int status = arguments_number(arguments, CLI_WAIT, 0, 86400, &seconds);

    status = status != 0 ? status
                         : add_moment(arguments, CLI_SINCE, "from", body);
    status = status != 0 ? status
                         : add_moment(arguments, CLI_UNTIL, "until", body);
    status = status != 0 ? status : remote_open(&remote, arguments);
    if (status == 0 && path != NULL) {
        struct remote_call call = { .method = "POST", .path = path,
                                    .body = body, .repeatable = true };

        status = remote_ask(remote, &call, &answer);
    }
    if (status != 0) {
        return status;
    }
    if (seconds == 0) {
        if (arguments_json(arguments)) {
            return json_print(json_incref(answer), JSON_INDENT(2));
        }
        printf("run %lld of Check %s has begun\n",
               (long long)number_at(answer, "run"), arguments->operands[0]);
        return CLI_EXIT_OK;
    }
    return wait_run(remote, arguments, number_at(answer, "run"), seconds);
}

/* ---- explain ----------------------------------------------------------------------- */

int command_recon_explain(const struct arguments *arguments)
{
    CLI_CLEANUP(remote_freep) struct remote *remote = NULL;
    CLI_CLEANUP(json_freep) json_t *answer = NULL;
    CLI_CLEANUP(json_freep) json_t *body = json_object();
    CLI_CLEANUP(string_freep) char *path =
        remote_path("/v1/checks/%s/explain", arguments->operands[0]);
    int status;

    if (arguments_get(arguments, CLI_REASON) == NULL) {
        complain("say why with --reason: whoever reads the audit asks");
        return CLI_EXIT_USAGE;
    }
    if (arguments->operand_count == 2 &&
        strcmp(arguments->operands[1], "all") == 0) {
        json_object_set_new(body, "all", json_true());
    } else {
        json_t *ids = json_array();

        for (size_t i = 1; i < arguments->operand_count; i++) {
            json_array_append_new(ids, json_string(arguments->operands[i]));
        }
        json_object_set_new(body, "differences", ids);
    }
    remote_reason(body, arguments);
    status = remote_open(&remote, arguments);
    status = status != 0 ? status
                         : remote_change(remote, arguments, "POST", path, body,
                                         &answer);
    if (status != 0) {
        return status;
    }
    if (arguments_json(arguments)) {
        return json_print(json_incref(answer), JSON_INDENT(2));
    }
    printf("%lld differences of Check %s are explained\n",
           (long long)number_at(answer, "explained"), arguments->operands[0]);
    return CLI_EXIT_OK;
}
