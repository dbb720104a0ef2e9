/* SPDX-License-Identifier: Apache-2.0
 * plan_expect.c - who comes in and what that leads where, without a grayd.
 *
 * Why: a folder of `gray publish` has no daemon that looks at its counters, but
 * the counters are there: they are looked at twice.  Recorded requests are
 * decided by both policies here, by the code that readers run.
 * Read next: impact/predict.c, control/change/expect.c (grayd's).
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/plan.h"
#include "impact/impact.h"

#define MEASURE_MAX 600.0 /* seconds that a person waits */

/* ---- what the options add ----------------------------------------------------------- */

/* "cart-2=10", or "cart-2": its next step. */
static int add_weight(json_t *weights, const char *text)
{
    const char *equals = strchr(text, '=');
    json_t *row = json_object();
    char *end = NULL;
    double weight;

    json_object_set_new(row, "release",
                        json_stringn(text, equals != NULL
                                               ? (size_t)(equals - text)
                                               : strlen(text)));
    json_array_append_new(weights, row);
    if (equals == NULL) {
        return 0;
    }
    weight = strtod(equals + 1, &end);
    if (*end == '%') {
        end++;
    }
    if (end == equals + 1 || *end != '\0' || !(weight >= 0 && weight <= 100)) {
        complain("--weight: NAME=PERCENT is wanted, from 0 to 100, not: %s",
                 text);
        return CLI_EXIT_USAGE;
    }
    json_object_set_new(row, "weight", json_real(weight));
    return 0;
}

int plan_options(const struct arguments *arguments, json_t *body)
{
    json_t *weights = json_array(), *requests;
    const char *text;
    size_t at = 0;
    int status = 0;

    while (status == 0 &&
           (text = arguments_next(arguments, CLI_WEIGHT, &at)) != NULL) {
        status = add_weight(weights, text);
    }
    if (json_array_size(weights) > 0) {
        json_object_set(body, "weights", weights);
    }
    json_decref(weights);
    requests = status == 0 ? plan_requests(arguments, &status) : NULL;
    if (requests != NULL) {
        json_object_set_new(body, "replay", requests);
    }
    return status;
}

/* A line that is a request goes on; what is none is said, and left out. */
static int take_line(json_t *requests, const char *path,
                     const struct line *line, unsigned *refused)
{
    struct request_problem problem = { 0 };
    struct request request;
    json_t *root = json_loadb(line->text, line->length,
                              JSON_REJECT_DUPLICATES, NULL);
    json_t *kept = root != NULL ? json_deep_copy(root) : NULL;

    if (root != NULL && request_from_json(&request, root, &problem) == 0) {
        request_free(&request);
        json_array_append_new(requests, kept);
        if (json_array_size(requests) > IMPACT_RECORDS_MAX) {
            json_array_remove(requests, 0);
        }
    } else {
        json_decref(kept);
        if ((*refused)++ == 0) {
            complain("%s:%llu: %s", path, (unsigned long long)line->number,
                     root == NULL ? "no JSON" : problem.sentence);
        }
    }
    json_decref(root);
    return 0;
}

json_t *plan_requests(const struct arguments *arguments, int *ret_status)
{
    const char *path = arguments_get(arguments, CLI_REPLAY);
    CLI_CLEANUP(file_closep) FILE *file = NULL;
    CLI_CLEANUP(line_free) struct line line = { 0 };
    json_t *requests;
    unsigned refused = 0;
    int got;

    *ret_status = 0;
    if (path == NULL) {
        return NULL;
    }
    file = port_open(path);
    if (file == NULL) {
        *ret_status = CLI_EXIT_SYSTEM;
        return NULL;
    }
    requests = json_array();
    while ((got = port_line(file, path, REQUEST_LINE_MAX, &line)) > 0) {
        if (line.length > 0) {
            take_line(requests, path, &line, &refused);
        }
    }
    if (refused > 1) {
        complain("%s: %u lines are no requests, and were left out", path,
                 refused);
    }
    if (got < 0) {
        json_decref(requests);
        *ret_status = CLI_EXIT_SYSTEM;
        return NULL;
    }
    return requests;
}

/* ---- replay ------------------------------------------------------------------------------ */

static int take_all(struct impact_records *records, const json_t *requests)
{
    const json_t *item;
    size_t i;

    json_array_foreach(requests, i, item) {
        struct request_problem problem = { 0 };
        json_t *own = json_deep_copy(item);

        impact_records_take(records, own, &problem);
        json_decref(own);
    }
    return records->count > 0 ? 0 : -1;
}

/* Decides by what is in force in the folder (NULL: by `before`). */
static int replay_here(struct plan *plan, const json_t *requests,
                       struct impact_replay *ret_replay)
{
    struct impact_records records = { 0 };
    struct impact_side before = { 0 }, after = { .view = plan->policy.view };
    struct gray_compile_options options = { .revision = 1,
                                            .now = port_now_ms() };
    struct gray_problem problem = { 0 };
    CLI_CLEANUP(policy_free) struct policy old = { 0 };
    struct gray_scope_word *words = NULL;
    int status = take_all(&records, requests);

    if (plan->against != NULL) {
        old.model = plan->against;
        if (policy_compile(&old, &options) == 0) {
            before.view = old.view;
        }
        old.model = NULL; /* the plan's */
    } else if (plan->before != NULL &&
               gray_runtime_open(&old.runtime,
                                 arguments_runtime(plan->arguments),
                                 GRAY_READER_CLI, false, &problem) == 0) {
        before.runtime = old.runtime;
        before.view = gray_runtime_loaded(old.runtime);
    }
    if (status == 0 && before.view != NULL) {
        status = impact_words(before.view, &plan->policy.own, &words);
    }
    if (status == 0) {
        status = impact_replay(&before, &after, &records, port_now_ms(),
                               ret_replay);
    }
    plan->policy.own.view.words = NULL;
    plan->policy.own.view.word_count = 0;
    free(words);
    impact_records_free(&records);
    return status;
}

/* ---- traffic ------------------------------------------------------------------------------ */

static int count_folder(struct impact_rates *rates, const char *folder)
{
    struct gray_problem problem = { 0 };
    struct gray_totals totals;

    if (gray_totals_read(folder, &totals, &problem) != 0) {
        complain_problem(folder, &problem);
        return CLI_EXIT_SYSTEM;
    }
    impact_rates_add(rates, &totals, 1, port_monotonic_ms() * 1000000);
    gray_totals_free(&totals);
    return 0;
}

/* 0 with *ret_traffic; 1: it was not asked for; else an exit code. */
static int measure_folder(const struct plan *plan,
                          struct impact_traffic *ret_traffic, int *ret_status)
{
    const char *folder = arguments_runtime(plan->arguments);
    struct impact_rates *rates;
    double seconds = 0;
    int read = 1;

    *ret_status = arguments_number(plan->arguments, CLI_MEASURE, 1,
                                   MEASURE_MAX, &seconds);
    if (*ret_status != 0 || seconds == 0) {
        return 1;
    }
    if (plan->before == NULL || plan->against != NULL) {
        complain("--measure counts in the runtime folder, where a policy is "
                 "in force");
        *ret_status = CLI_EXIT_USAGE;
        return 1;
    }
    rates = impact_rates_new(1);
    if (rates == NULL) {
        *ret_status = CLI_EXIT_SYSTEM;
        return 1;
    }
    *ret_status = count_folder(rates, folder);
    if (*ret_status == 0) {
        port_sleep_ms((int64_t)(seconds * 1000));
        *ret_status = count_folder(rates, folder);
    }
    if (*ret_status == 0) {
        read = impact_rates_read(rates, INT64_MAX, false, ret_traffic);
    }
    impact_rates_free(rates);
    return read;
}

int plan_expect(struct plan *plan)
{
    struct impact_traffic traffic = { 0 };
    struct impact_replay replay = { 0 };
    struct impact impact = { 0 };
    struct impact_question question = { .before = plan->before,
                                        .after = plan->policy.model };
    CLI_CLEANUP(json_freep) json_t *requests = NULL;
    int status = 0;

    requests = plan_requests(plan->arguments, &status);
    if (status == 0 && requests != NULL &&
        replay_here(plan, requests, &replay) == 0) {
        question.replay = &replay;
    }
    if (status == 0 && measure_folder(plan, &traffic, &status) == 0) {
        question.traffic = question.present = &traffic;
    }
    if (status == 0 && impact_predict(&question, &impact) == 0) {
        size_t errors = plan->policy.findings.errors;

        impact_findings(&impact,
                        arguments_has(plan->arguments, CLI_OVER_CAPACITY),
                        &plan->policy.findings);
        gray_model_locate(plan->policy.model, &plan->policy.findings, 0);
        plan->impact = impact_json(&impact, question.replay);
        status = plan->policy.findings.errors > errors ? CLI_EXIT_REFUSED : 0;
    }
    impact_free(&impact);
    impact_replay_free(&replay);
    impact_traffic_free(&traffic);
    return status;
}
