/* SPDX-License-Identifier: Apache-2.0
 * run.c - a run, from the first row to the report.
 *
 * Why: upstream first, for it says which units are looked at; then marks,
 * which say whose rows of long ago matter; then decisions and the two other
 * sides; then each unit once, with everything that is known of it.
 * Read next: run_parts.h, judge.h, report.c.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/recon/logged.h"
#include "control/recon/run_parts.h"

#define PROBES 4
#define GRAYD_STORE "store" /* see ../grayd.h */

/* ---- which units ------------------------------------------------------------- */

int64_t run_early(const struct run *run)
{
    return run_is_whole(run) ? CHECK_NEVER
                             : run->options->from - run->check->overlap;
}

int64_t run_late(const struct run *run)
{
    return run->options->until == INT64_MAX
               ? INT64_MAX
               : run->options->until + run->check->overlap;
}

void run_bloom_add(struct run *run, struct gray_str unit)
{
    uint64_t hash;

    if (run->bloom == NULL) {
        return;
    }
    hash = XXH64(unit.data, unit.length, 1);
    for (int i = 0; i < PROBES; i++) {
        uint64_t bit = (hash + (uint64_t)i * (hash >> 33 | 1)) %
                       (RUN_BLOOM_BYTES * 8ull);

        run->bloom[bit >> 3] |= (uint8_t)(1u << (bit & 7));
    }
}

bool run_wants(const struct run *run, struct gray_str unit)
{
    uint64_t hash;
    bool all = true;

    if (run->bloom == NULL) {
        return true;
    }
    hash = XXH64(unit.data, unit.length, 1);
    for (int i = 0; i < PROBES; i++) {
        uint64_t bit = (hash + (uint64_t)i * (hash >> 33 | 1)) %
                       (RUN_BLOOM_BYTES * 8ull);

        all &= run->bloom[bit >> 3] >> (bit & 7) & 1;
    }
    return all;
}

int run_put(struct run *run, struct gray_str unit, int side, const void *data,
            size_t length)
{
    return spool_put(run->spool, unit, side, data, length, run->problem);
}

/* ---- decisions ----------------------------------------------------------------- */

static int put_decision(void *context, struct gray_str unit,
                        const struct fact_decision *decision)
{
    struct run *run = context;

    run->decisions++;
    return run_wants(run, unit)
               ? run_put(run, unit, FACT_DECISION, decision,
                         sizeof(*decision))
               : 0;
}

static int read_decisions(struct run *run)
{
    struct logged_counts counts = {0};
    json_t *patterns = run->check->logs != NULL
                           ? json_copy((json_t *)(uintptr_t)run->check->logs)
                           : json_array();
    int result;

    if (run->check->follows && run->options->decision_log != NULL) {
        json_array_append_new(patterns,
                              json_string(run->options->decision_log));
    }
    result = logged_each(patterns, run->check->release,
                         run_is_whole(run) ? 0 : run_early(run),
                         run_late(run), put_decision, run, &counts,
                         run->problem);
    run->bad_lines = counts.bad;
    json_decref(patterns);
    return result == 0 && run->check->follows ? run_read_index(run) : result;
}

/* ---- judging -------------------------------------------------------------------- */

struct judging {
    struct run *run;
    struct facts facts;
    bool any;
};

static int judge_fact(void *context, struct gray_str unit, int side,
                      const void *data, size_t length)
{
    struct judging *j = context;
    struct facts *facts = &j->facts;

    if (!j->any || facts->unit.length != unit.length ||
        memcmp(facts->unit.data, unit.data, unit.length) != 0) {
        if (j->any) {
            judge_unit(&j->run->judge, facts);
        }
        j->any = facts_begin(facts, unit);
    }
    return j->any && facts_add(facts, side, data, length) ? 0 : -ENOMEM;
}

/* What could not even be brought to a unit. */
static void not_judged_at_all(struct run *run)
{
    for (uint64_t i = 0; i < run->nameless; i++) {
        judge_unknown(&run->judge, R1, "a mark whose unit was lost");
        judge_unknown(&run->judge, R2, "a mark whose unit was lost");
        judge_unknown(&run->judge, R3, "a mark whose unit was lost");
    }
    for (uint64_t i = 0; i < run->bad_rows; i++) {
        judge_unknown(&run->judge, R3, "a row without key, unit or moment");
        judge_unknown(&run->judge, R6, "a row without key, unit or moment");
    }
}

static int judge_all(struct run *run)
{
    struct judging *j = calloc(1, sizeof(*j));
    int result = -ENOMEM;

    if (j != NULL) {
        j->run = run;
        result = spool_each(run->spool, judge_fact, j, run->problem);
        if (result == 0 && j->any) {
            judge_unit(&run->judge, &j->facts);
        }
        facts_free(&j->facts);
    }
    free(j);
    if (result == 0) {
        run_judge_bins(run);
        not_judged_at_all(run);
    }
    return result;
}

/* ---- one run --------------------------------------------------------------------- */

static int begin(struct run *run)
{
    char path[4096];
    int error;

    snprintf(path, sizeof(path), "%s/" GRAYD_STORE, run->options->state);
    run->not_judged = json_object();
    run->differences = json_array();
    if (!run_is_whole(run)) {
        run->bloom = calloc(1, RUN_BLOOM_BYTES);
        if (run->bloom == NULL) {
            return -ENOMEM;
        }
    }
    error = store_reader_open(&run->reader, path, run->problem);
    error = error != 0 ? error
                       : rules_open(&run->rules, run->reader, run->check,
                                    run->problem);
    return error != 0 ? error
                      : spool_open(&run->spool, run->options->folder,
                                   run->problem);
}

static void end(struct run *run)
{
    for (size_t i = 0; i < run->source_count; i++) {
        source_close(run->sources[i]);
    }
    spool_close(run->spool);
    rules_close(run->rules);
    store_reader_close(run->reader);
    bins_free(&run->bins);
    free(run->bloom);
    json_decref(run->not_judged);
    json_decref(run->differences);
    free(run);
}

/* From 0 is from where the release began: rows of before are none of its. */
static void begin_with_release(struct run *run)
{
    const struct rules_span *spans;

    if (run->window.from == 0 && rules_spans(run->rules, &spans) > 0) {
        run->window.from = spans[0].at - run->check->overlap;
    }
}

static int go(struct run *run)
{
    int error = begin(run);

    if (error != 0) {
        return error;
    }
    begin_with_release(run);
    run->judge = (struct judge){
        .check = run->check,
        .rules = run->rules,
        .bins = &run->bins,
        .from = run->options->from,
        .until = run->options->until,
        .report = {run_difference, run_not_judged, run},
    };
    error = run_read_rows(run, SIDE_UPSTREAM);
    error = error != 0 ? error : run_read_rows(run, SIDE_MARKS);
    error = error != 0 ? error : run_read_marks(run);
    error = error != 0 ? error : read_decisions(run);
    error = error != 0 ? error : run_read_rows(run, SIDE_GRAY);
    error = error != 0 ? error : run_read_rows(run, SIDE_OLD);
    error = error != 0 ? error : judge_all(run);
    return error == 0 && (run->failed || run->bins.failed) ? -ENOMEM : error;
}

int recon_run(const struct check *check, const struct run_options *options,
              json_t **ret_report, struct gray_problem *ret_problem)
{
    struct run *run = calloc(1, sizeof(*run));
    json_t *report = NULL;
    int error = -ENOMEM;

    ret_problem->code = NULL;
    if (run != NULL) {
        run->check = check;
        run->window = *options;
        run->options = &run->window;
        run->problem = ret_problem;
        error = go(run);
        report = error == 0 ? run_report(run) : NULL;
        end(run);
    }
    if (error == 0 && report == NULL) {
        error = -ENOMEM;
    }
    if (error != 0 && ret_problem->code == NULL) {
        ret_problem->code = "no-memory";
        snprintf(ret_problem->sentence, sizeof(ret_problem->sentence),
                 "Memory is at its end.");
    }
    *ret_report = report;
    return error;
}
