/* SPDX-License-Identifier: Apache-2.0
 * explain.c - why a request was decided as it was, as one line of JSON.
 *
 * Why: whoever asks "why is this user on the new version?" must get the same
 * answer from the gateway, the library and the command line, to the byte; so
 * the line is made here and nowhere else.  A decision without a trace pays one
 * branch for it.
 * Read next: docs/explain.md (the form), operand.c, text.c.
 */
#include <string.h>

#include "engine/operand.h"
#include "engine/program.h"
#include "engine/release.h"
#include "engine/text.h"
#include "engine/view.h"

#define VALUE_BYTES 64u

/* ---- the trace ------------------------------------------------------------ */

static struct gray_trace_step *add_step(struct gray_trace *trace)
{
    if (trace->step_count == GRAY_TRACE_STEPS) {
        trace->truncated = true;
        return NULL;
    }
    return &trace->steps[trace->step_count++];
}

/* The first value that the instruction looked at. */
static bool first_value(const struct program *run, uint32_t insn,
                        struct gray_str *ret_value)
{
    const struct gray_insn *record =
        VIEW_AT(run->policy, insns, gray_insn, insn);
    const struct gray_slot *slot =
        record == NULL
            ? NULL
            : VIEW_AT(run->policy, slots, gray_slot, record->slot);
    if (slot != NULL && slot->source == GRAY_SOURCE_UNIT) {
        *ret_value = run->unit;
        return run->unit.length != 0;
    }
    uint32_t number = slot == NULL ? GRAY_VALUES_MAX
                                   : view_first(run->in, record->slot);
    if (number == GRAY_VALUES_MAX) {
        return false;
    }
    const struct gray_value *value = &run->in->values[number];
    *ret_value = (struct gray_str){ value->data, value->length };
    return true;
}

void trace_condition(const struct program *run, uint32_t insn, bool result)
{
    struct gray_trace_step *step = add_step(run->trace);
    if (step == NULL) {
        return;
    }
    *step = (struct gray_trace_step){ .release = run->release,
                                      .rule = run->rule,
                                      .insn = insn,
                                      .step = run->step,
                                      .result = result };
    struct gray_str value;
    if (first_value(run, insn, &value)) {
        step->value = value;
        step->value_known = 1;
    }
}

void trace_step(struct gray_trace *trace, uint32_t release, uint32_t rule,
                enum gray_step taken, bool ended, uint32_t mark,
                struct gray_str unit)
{
    struct gray_trace_step *step = add_step(trace);
    if (step != NULL) {
        *step = (struct gray_trace_step){ .release = release,
                                          .rule = rule,
                                          .insn = GRAY_NONE,
                                          .step = (uint8_t)taken,
                                          .result = ended,
                                          .value_known = unit.length != 0,
                                          .mark = (uint8_t)mark,
                                          .value = unit };
    }
}

/* One line for a release: a carried arm that was stopped may be asked again. */
void trace_verdict(struct gray_trace *trace,
                   const struct gray_verdict *verdict)
{
    if (trace == NULL) {
        return;
    }
    for (uint32_t i = 0; i < trace->verdict_count; i++) {
        if (trace->verdicts[i].release == verdict->release) {
            trace->verdicts[i] = *verdict;
            return;
        }
    }
    if (trace->verdict_count == GRAY_TRACE_VERDICTS) {
        trace->truncated = true;
        return;
    }
    trace->verdicts[trace->verdict_count++] = *verdict;
}

/* ---- the line ------------------------------------------------------------- */

/* One explanation being written. */
struct line {
    struct text text;
    const struct gray_view *view;
    const struct gray_snapshot *s;
    const struct gray_input *in;
    const struct gray_entrance *entrance;
    struct gray_colour colour;
    struct gray_trace trace;
};

static void put_string(struct line *line, const char *key,
                       struct gray_str string)
{
    text_key(&line->text, key);
    text_quoted(&line->text, string);
}

static void put_word(struct line *line, const char *key, const char *word)
{
    put_string(line, key, (struct gray_str){ word, (uint32_t)strlen(word) });
}

static void put_number(struct line *line, const char *key, uint64_t number)
{
    text_key(&line->text, key);
    text_unsigned(&line->text, number);
}

static void put_bool(struct line *line, const char *key, bool value)
{
    text_key(&line->text, key);
    text_raw(&line->text, value ? "true" : "false");
}

static void put_bucket(struct line *line, uint32_t bucket)
{
    if (bucket == GRAY_NONE) {
        text_key(&line->text, "bucket");
        text_raw(&line->text, "null");
    } else {
        put_number(line, "bucket", bucket);
    }
}

/* A value of the request: cut. */
static void put_value(struct line *line, const char *key, bool known,
                      struct gray_str value)
{
    text_key(&line->text, key);
    if (!known) {
        text_raw(&line->text, "null");
        return;
    }
    text_byte(&line->text, '"');
    text_escaped(&line->text, value, VALUE_BYTES);
    text_byte(&line->text, '"');
}

static struct gray_str release_name(const struct line *line, uint32_t number)
{
    const struct gray_release *release =
        VIEW_AT(line->s, releases, gray_release, number);
    return release == NULL ? (struct gray_str){ NULL, 0 }
                           : view_text(line->s, release->name);
}

static struct gray_str rule_name(const struct line *line, uint32_t number)
{
    const struct gray_rule *rule = VIEW_AT(line->s, rules, gray_rule, number);
    return rule == NULL ? (struct gray_str){ NULL, 0 }
                        : view_text(line->s, rule->name);
}

static const char *class_word(uint32_t traffic_class)
{
    static const char *const words[GRAY_CLASS_COUNT] = {
        [GRAY_CLASS_LIVE] = "live",
        [GRAY_CLASS_SHADOW] = "shadow",
        [GRAY_CLASS_LOAD] = "load",
        [GRAY_CLASS_REHEARSAL] = "rehearsal",
    };
    return traffic_class < GRAY_CLASS_COUNT ? words[traffic_class] : "?";
}

static const char *scope_word(enum gray_word word)
{
    switch (word) {
    case GRAY_WORD_OPEN:
        return "open";
    case GRAY_WORD_NO_ADMIT:
        return "no-admit";
    case GRAY_WORD_BASELINE:
        return "baseline";
    case GRAY_WORD_KILLED:
        return "killed";
    }
    return "?";
}

static const char *step_word(const struct gray_trace_step *step)
{
    static const char *const words[GRAY_STEP_COUNT] = {
        [GRAY_STEP_END] = "stage", /* before the first step */
        [GRAY_STEP_DENY] = "deny",   [GRAY_STEP_ALLOW] = "allow",
        [GRAY_STEP_MARK] = "mark",   [GRAY_STEP_RULES] = "rules",
        [GRAY_STEP_EVIDENCE] = "evidence",
    };
    if (step->release == GRAY_NONE) {
        return "lane";
    }
    if ((step->mark & GRAY_TRACE_ALIAS) != 0) {
        return "alias";
    }
    return step->step < GRAY_STEP_COUNT && words[step->step] != NULL
               ? words[step->step]
               : "";
}

static const char *mark_word(uint32_t state)
{
    static const char *const words[] = {
        "", "in", "out", "revoked", "unknown", "hold", "pending", "closed",
    };
    state &= ~GRAY_TRACE_ALIAS;
    return state <= GRAY_MARK_CLOSED ? words[state] : "?";
}

/* Does a release of this entrance, or one that the request carries, govern
 * the service, or is it a member of the lane? */
static bool is_shown(const struct line *line,
                     const struct gray_service *service)
{
    struct gray_span own = { 0, 0 };
    const uint32_t *asked = NULL;
    if (line->entrance != NULL) {
        own = line->entrance->releases;
        asked = VIEW_NUMBERS(line->s, entrance_releases, own);
    }
    for (uint32_t i = 0; i < service->arms.count; i++) {
        const struct gray_route *route =
            VIEW_AT(line->s, routes, gray_route, service->arms.first + i);
        uint32_t low = 0, high = asked == NULL ? 0 : own.count;
        while (low < high) {
            uint32_t middle = low + (high - low) / 2;
            if (asked[middle] < route->release) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        if (asked != NULL && low < own.count && asked[low] == route->release) {
            return true;
        }
        for (uint32_t k = 0; k < line->colour.arm_count; k++) {
            if (line->colour.arms[k].release == route->release) {
                return true;
            }
        }
    }
    for (uint32_t i = 0; i < service->lanes.count; i++) {
        const struct gray_route *route =
            VIEW_AT(line->s, routes, gray_route, service->lanes.first + i);
        if (line->colour.lane != GRAY_NONE &&
            route->lane == line->colour.lane) {
            return true;
        }
    }
    return false;
}

static void put_versions(struct line *line)
{
    text_key(&line->text, "version");
    text_byte(&line->text, '{');
    for (uint32_t i = 0; i < line->s->policy->services.count; i++) {
        const struct gray_service *service =
            VIEW_AT(line->s, services, gray_service, i);
        if (!is_shown(line, service)) {
            continue;
        }
        struct gray_choice choice;
        gray_choose(line->view, i, &line->colour, &choice);
        const struct gray_route *route =
            VIEW_AT(line->s, routes, gray_route, choice.route);
        struct gray_str name = view_text(line->s, service->name);
        if (line->text.last != '{') {
            text_byte(&line->text, ',');
        }
        text_quoted(&line->text, name);
        text_byte(&line->text, ':');
        text_quoted(&line->text, route == NULL
                                     ? (struct gray_str){ NULL, 0 }
                                     : view_text(line->s, route->version));
    }
    text_byte(&line->text, '}');
}

/* The stage of a verdict; NULL: none. */
static const struct gray_stage *stage_of(const struct line *line,
                                         const struct gray_release *release,
                                         uint32_t number)
{
    return release == NULL || number >= release->stages.count
               ? NULL
               : VIEW_AT(line->s, stages, gray_stage,
                         release->stages.first + number);
}

static void put_verdict(struct line *line, const struct gray_verdict *verdict)
{
    const struct gray_release *release =
        VIEW_AT(line->s, releases, gray_release, verdict->release);
    const struct gray_variant *variant =
        release == NULL || !verdict->in
            ? NULL
            : VIEW_AT(line->s, variants, gray_variant,
                      release->variants.first + verdict->variant);
    const struct gray_stage *stage = stage_of(line, release, verdict->stage);
    struct gray_str unit = gray_unit(line->view, verdict->release, line->in);
    text_byte(&line->text, '{');
    put_string(line, "release", release_name(line, verdict->release));
    put_bool(line, "in", verdict->in);
    put_string(line, "variant",
               variant == NULL ? (struct gray_str){ NULL, 0 }
                               : view_text(line->s, variant->name));
    put_word(line, "reason",
             gray_reason_code((enum gray_reason)verdict->reason));
    put_string(line, "rule", rule_name(line, verdict->rule));
    put_bucket(line, verdict->bucket);
    put_number(line, "share", stage != NULL     ? stage->share
                                : release != NULL ? release->share
                                                  : 0);
    put_value(line, "unit", true, unit);
    put_word(line, "word", scope_word(gray_release_word(line->view, release)));
    put_string(line, "stage", stage == NULL ? (struct gray_str){ NULL, 0 }
                                            : view_text(line->s, stage->name));
    put_word(line, "record", mark_word(verdict->record));
    put_bool(line, "hold", verdict->hold);
    put_bool(line, "pending", verdict->pending);
    text_byte(&line->text, '}');
}

static void put_step(struct line *line, const struct gray_trace_step *step)
{
    const struct gray_insn *insn =
        VIEW_AT(line->s, insns, gray_insn, step->insn);
    const struct gray_slot *slot =
        insn == NULL ? NULL : VIEW_AT(line->s, slots, gray_slot, insn->slot);
    char buffer[VALUE_BYTES + 1];
    struct text operand = { .buffer = buffer, .size = sizeof(buffer) };
    const char *source = "";
    if (insn == NULL) {
        text_raw(&operand, mark_word(step->mark));
    } else {
        operand_write(&operand, line->s, insn);
        source = insn->op == GRAY_CONDITION_TIME
                     ? gray_source_word(GRAY_SOURCE_TIME)
                     : gray_source_word(slot == NULL ? 0 : slot->source);
    }
    struct gray_str shown = { buffer, (uint32_t)(operand.length < sizeof(buffer)
                                                     ? operand.length
                                                     : sizeof(buffer) - 1) };
    text_byte(&line->text, '{');
    put_string(line, "release", release_name(line, step->release));
    put_word(line, "step", step_word(step));
    put_string(line, "rule", rule_name(line, step->rule));
    put_word(line, "condition",
             insn == NULL ? "" : gray_condition_word(insn->op));
    put_word(line, "source", source);
    put_string(line, "name", slot == NULL ? (struct gray_str){ NULL, 0 }
                                          : view_text(line->s, slot->name));
    put_value(line, "operand", true, shown);
    put_value(line, "value", step->value_known, step->value);
    put_bool(line, "result", step->result);
    text_byte(&line->text, '}');
}

static void put_colour(struct line *line)
{
    const struct gray_lane *lane =
        VIEW_AT(line->s, lanes, gray_lane, line->colour.lane);
    char arms[GRAY_ARMS_MAX * (2 * GRAY_NAME_MAX + 2) + 1024];
    size_t length = gray_arms_write(line->view, &line->colour, line->in->arms,
                                    arms, sizeof(arms));
    put_string(line, "release", release_name(line, line->colour.release));
    put_string(line, "arms", (struct gray_str){ arms, (uint32_t)length });
    text_key(&line->text, "lane");
    text_byte(&line->text, '"');
    if (lane != NULL) {
        text_escaped(&line->text, view_text(line->s, lane->name), UINT32_MAX);
    } else if (!line->in->overflow) {
        text_escaped(&line->text, line->in->lane, VALUE_BYTES);
    }
    text_byte(&line->text, '"');
}

static void put_line(struct line *line)
{
    enum gray_reason reason = (enum gray_reason)line->colour.reason;
    text_byte(&line->text, '{');
    put_number(line, "revision", line->s->header->revision);
    put_colour(line);
    put_versions(line);
    put_word(line, "reason", gray_reason_code(reason));
    put_word(line, "sentence", gray_reason_sentence(reason));
    put_string(line, "rule", rule_name(line, line->colour.rule));
    put_bucket(line, line->colour.bucket);
    put_word(line, "class", class_word(line->colour.traffic_class));
    text_key(&line->text, "releases");
    text_byte(&line->text, '[');
    for (uint32_t i = 0; i < line->trace.verdict_count; i++) {
        if (i > 0) {
            text_byte(&line->text, ',');
        }
        put_verdict(line, &line->trace.verdicts[i]);
    }
    text_byte(&line->text, ']');
    text_key(&line->text, "trace");
    text_byte(&line->text, '[');
    for (uint32_t i = 0; i < line->trace.step_count; i++) {
        if (i > 0) {
            text_byte(&line->text, ',');
        }
        put_step(line, &line->trace.steps[i]);
    }
    text_byte(&line->text, ']');
    put_bool(line, "truncated", line->trace.truncated);
    text_byte(&line->text, '}');
}

size_t gray_explain(const struct gray_view *view, uint32_t entrance,
                    struct gray_input *in, gray_mark_fn marks,
                    void *marks_context, char *buffer, size_t size)
{
    struct line line = { .text = { .buffer = buffer, .size = size },
                         .view = view,
                         .s = view->policy,
                         .in = in };
    line.entrance = VIEW_AT(view->policy, entrances, gray_entrance, entrance);
    gray_decide(view, entrance, in, marks, marks_context, &line.colour,
                &line.trace);
    put_line(&line);
    text_end(&line.text);
    return line.text.length;
}
