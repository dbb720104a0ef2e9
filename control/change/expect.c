/* SPDX-License-Identifier: Apache-2.0
 * expect.c - gate 6: what a change that is built would do to traffic.
 *
 * Why: a step that leads more requests to a version than it bears is refused
 * before it is taken, by plan and by whoever takes it alike.  What is in force
 * is read as readers read it; what would be is opened from the bytes that would
 * be published.  Where nothing is measured nothing is refused: plan says so.
 * Read next: ../measure/measure.h, ../../impact/predict.c.
 */
#include "control/change/expect.h"

#include <stdlib.h>

#include "control/measure/measure.h"

/* Both sides of a replay. */
struct sides {
    struct gray_runtime *runtime;
    struct ask_view opened;
    struct gray_scope_word *words;
    struct impact_side before, after;
};

static void sides_clear(struct sides *sides)
{
    gray_runtime_close(sides->runtime);
    ask_view_close(&sides->opened);
    free(sides->words);
}

/* False: there is nothing to decide by. */
static bool sides_open(struct sides *sides, const struct change *change)
{
    const char *folder = change->control->grayd->options.runtime;
    struct gray_problem problem = { 0 };

    if (ask_view_open(&sides->opened, &change->build.compiled, &problem) !=
        0) {
        return false;
    }
    sides->after.view = &sides->opened.view;
    if (gray_runtime_open(&sides->runtime, folder, GRAY_READER_CLI, false,
                          &problem) == 0) {
        sides->before.view = gray_runtime_loaded(sides->runtime);
        sides->before.runtime = sides->runtime;
    }
    return sides->before.view == NULL ||
           impact_words(sides->before.view, &sides->opened,
                        &sides->words) == 0;
}

static int replay(const struct change *change,
                  const struct impact_records *records,
                  struct impact_replay *ret_replay)
{
    struct sides sides = { 0 };
    int error = records->count > 0 && sides_open(&sides, change)
                    ? impact_replay(&sides.before, &sides.after, records,
                                    change->call->now, ret_replay)
                    : -1;

    sides_clear(&sides);
    return error;
}

/* Requests that the caller gave. False after having filled the reply. */
static bool read_given(const json_t *given, struct impact_records *records,
                       struct reply *reply)
{
    const json_t *item;
    size_t i;

    json_array_foreach(given, i, item) {
        struct request_problem why = { 0 };
        json_t *own = json_deep_copy(item); /* cookies are stripped from it */
        int error = impact_records_take(records, own, &why);

        json_decref(own);
        if (error != 0) {
            reply_problem(reply, PROBLEM_BAD_BODY, "/replay/%zu: %s [%s]", i,
                          why.sentence, why.code);
            reply_add(reply, "pointer", json_sprintf("/replay/%zu", i));
            return false;
        }
    }
    return true;
}

static bool has_capacity(const struct gray_model *model)
{
    for (uint32_t i = 0; i < model->service_count; i++) {
        for (uint32_t v = 0; v < model->services[i].version_count; v++) {
            if (model->services[i].versions[v].capacity > 0) {
                return true;
            }
        }
    }
    return false;
}

/* Replays what the caller gave, or else what was recorded. */
static bool replay_any(const struct change *change,
                       const struct expect *expect,
                       struct impact_replay *ret_replay, struct reply *reply,
                       bool *ret_done)
{
    struct measure *measure = change->control->grayd->measure;
    const struct measure_records *recorded = NULL;
    struct impact_records given = { 0 };
    bool good = true;

    *ret_done = false;
    if (expect->replay != NULL) {
        good = read_given(expect->replay, &given, reply);
        *ret_done = good && replay(change, &given, ret_replay) == 0;
        impact_records_free(&given);
    } else if (measure != NULL) {
        recorded = measure_records_take(measure, expect->always);
        *ret_done = recorded != NULL &&
                    replay(change, &recorded->records, ret_replay) == 0;
        measure_records_give(measure, recorded);
    }
    return good;
}

int change_expect(struct change *change, const struct expect *expect,
                  json_t **ret_impact, struct reply *reply)
{
    struct measure *measure = change->control->grayd->measure;
    struct impact_traffic traffic = { 0 }, present = { 0 };
    struct impact_replay replayed = { 0 };
    struct impact impact = { 0 };
    struct impact_question question = {
        .before = change->control->model,
        .after = change->build.model,
        .same_rules = expect->same_rules,
    };
    size_t errors = change->build.findings.errors;
    bool has_replay = false;

    if (!expect->always && !has_capacity(change->build.model)) {
        return 0;
    }
    if (!replay_any(change, expect, &replayed, reply, &has_replay)) {
        return -1;
    }
    question.replay = has_replay ? &replayed : NULL;
    if (measure != NULL && measure_traffic(measure, &traffic, &present) == 0) {
        question.traffic = &traffic;
        question.present = present.seconds > 0 ? &present : NULL;
    }
    if (impact_predict(&question, &impact) == 0) {
        impact_findings(&impact, expect->allowed, &change->build.findings);
        if (ret_impact != NULL) {
            *ret_impact = impact_json(&impact, question.replay);
        }
    }
    impact_free(&impact);
    impact_replay_free(&replayed);
    impact_traffic_free(&traffic);
    impact_traffic_free(&present);
    if (change->build.findings.errors > errors) {
        gray_model_locate(change->build.model, &change->build.findings, 0);
        change_refuse_findings(change, reply);
        return -1;
    }
    return 0;
}

json_t *change_expect_refused(struct change *change,
                              const struct expect *expect)
{
    struct gray_compile_options options = {
        .revision = change->control->world.revision + 1,
        .now = grayd_now(),
    };
    struct reply ignored = { 0 };
    json_t *impact = NULL;

    if (change->build.model != NULL &&
        (change->build.compiled.policy.data != NULL ||
         build_compile(&change->build, &options) == 0)) {
        change_expect(change, expect, &impact, &ignored);
        reply_clear(&ignored);
    }
    return impact;
}
