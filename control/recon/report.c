/* SPDX-License-Identifier: Apache-2.0
 * report.c - what a run found, as JSON.
 *
 * Why: people and the gate read the same: numbers first, each R with what was
 * judged, what differs and what could not be judged and why; then differences
 * by name, as many as a person reads; then what nobody compares.
 * Read next: run.c, ../../docs/recon.md.
 */
#include <stdio.h>
#include <string.h>

#include "control/recon/run_parts.h"

static const char *const rule_words[RECON_RULES] = {"R1", "R2", "R3", "R4",
                                                    "R5", "R6", "R7"};

/* A text, or its bytes in hexadecimal where it is none. */
static json_t *text_json(struct gray_str text)
{
    json_t *value = json_stringn(text.data, text.length);
    char hex[2 * 64 + 1] = "";

    if (value != NULL) {
        return value;
    }
    for (uint32_t i = 0; i < text.length && i < 64; i++) {
        snprintf(hex + 2 * i, 3, "%02x", (unsigned char)text.data[i]);
    }
    return json_sprintf("0x%s", hex);
}

static json_t *id_json(enum recon_rule rule, const json_t *unit,
                       const json_t *key, const char *what)
{
    return json_sprintf("%s/%s%s%s/%s", rule_words[rule],
                        json_string_value(unit), key != NULL ? "/" : "",
                        key != NULL ? json_string_value(key) : "", what);
}

void run_difference(void *context, const struct difference *difference)
{
    struct run *run = context;
    enum recon_rule rule = difference->rule;
    json_t *unit, *key = NULL, *row;

    if (run->judge.counts.differences[rule] > RUN_NAMED_MAX) {
        return;
    }
    unit = text_json(difference->unit);
    if (difference->key.length > 0) {
        key = text_json(difference->key);
    }
    row = json_pack("{s:o,s:s,s:o,s:s,s:s,s:I}", "id",
                    id_json(rule, unit, key, difference->what), "rule",
                    rule_words[rule], "unit", unit, "what", difference->what,
                    "sentence", difference->sentence, "at",
                    (json_int_t)difference->at);
    if (row != NULL && key != NULL) {
        json_object_set(row, "key", key);
    }
    json_decref(key);
    run->failed |= row == NULL ||
                   json_array_append_new(run->differences, row) != 0;
}

void run_not_judged(void *context, enum recon_rule rule, const char *why)
{
    struct run *run = context;
    json_t *counts = json_object_get(run->not_judged, rule_words[rule]);
    json_t *count;

    if (counts == NULL) {
        counts = json_object();
        json_object_set_new(run->not_judged, rule_words[rule], counts);
    }
    count = json_object_get(counts, why);
    if (count != NULL) {
        json_integer_set(count, json_integer_value(count) + 1);
    } else {
        json_object_set_new(counts, why, json_integer(1));
    }
}

/* ---- R5 --------------------------------------------------------------------------- */

static void say_bins(struct run *run, const struct bins_share *share,
                     const char *what, double chance)
{
    char unit[40], sentence[300];
    struct difference difference = {.rule = R5, .what = what,
                                    .sentence = sentence,
                                    .at = run->options->now};
    int length = snprintf(unit, sizeof(unit), "share %g %%",
                          share->share / 10000.0);

    difference.unit = (struct gray_str){unit, (uint32_t)length};
    snprintf(sentence, sizeof(sentence),
             "of %llu units that the share decided %llu are in, and it says "
             "%.0f; chance alone gives such %s once in %.2g times",
             (unsigned long long)share->decided,
             (unsigned long long)share->in, share->expected,
             strcmp(what, "count") == 0 ? "a number" : "an uneven line",
             chance > 0 ? 1 / chance : 1e300);
    run->judge.counts.differences[R5]++;
    run_difference(run, &difference);
}

void run_judge_bins(struct run *run)
{
    for (size_t i = 0; i < run->bins.count; i++) {
        struct bins_share *share = &run->bins.shares[i];

        bool fits = bins_judge(share);

        if (share->decided < BINS_LEAST) {
            run->judge.counts.not_judged[R5]++;
            run_not_judged(run, R5, "fewer units than say anything");
            continue;
        }
        run->judge.counts.judged[R5]++;
        if (!fits && share->chance < BINS_CHANCE) {
            say_bins(run, share, "count", share->chance);
        }
        if (!fits && share->chance_line < BINS_CHANCE) {
            say_bins(run, share, "line", share->chance_line);
        }
    }
}

static json_t *shares_json(const struct run *run)
{
    json_t *rows = json_array();

    for (size_t i = 0; i < run->bins.count; i++) {
        const struct bins_share *s = &run->bins.shares[i];

        json_array_append_new(
            rows, json_pack("{s:I,s:I,s:I,s:f,s:f,s:f}", "share",
                            (json_int_t)s->share, "decided",
                            (json_int_t)s->decided, "in", (json_int_t)s->in,
                            "expected", s->expected, "chance", s->chance,
                            "chanceLine", s->chance_line));
    }
    return rows;
}

/* ---- the whole ----------------------------------------------------------------------- */

static json_t *rules_json(const struct run *run)
{
    const struct judge_counts *c = &run->judge.counts;
    json_t *rules = json_object();

    for (int i = R1; i < RECON_RULES; i++) {
        json_t *why = json_object_get(run->not_judged, rule_words[i]);

        json_object_set_new(
            rules, rule_words[i],
            json_pack("{s:I,s:I,s:I,s:o}", "judged",
                      (json_int_t)c->judged[i], "differences",
                      (json_int_t)c->differences[i], "notJudged",
                      (json_int_t)c->not_judged[i], "why",
                      why != NULL ? json_incref(why) : json_object()));
    }
    return rules;
}

/* Number columns of the gray query that nobody compares. */
static json_t *not_covered(const struct run *run)
{
    const struct run_columns *c = &run->columns[SIDE_GRAY];
    json_t *names = json_array();

    for (unsigned i = 0; i < c->count; i++) {
        if (c->number[i] && !c->covered[i]) {
            json_array_append_new(names, json_string(c->names[i]));
        }
    }
    return names;
}

json_t *run_report(struct run *run)
{
    const struct check *check = run->check;
    json_t *from = run_is_whole(run)
                       ? json_null()
                       : json_integer((json_int_t)run->options->from);

    return json_pack(
        "{s:s,s:s,s:s,s:I,s:o,s:I,s:I,s:I,s:{s:I,s:I,s:I,s:I,s:I,s:I,s:I,"
        "s:I},s:o,s:o,s:o,s:O}",
        "check", check->name, "release", check->release, "mode",
        check->moves ? "moves" : "adds", "at", (json_int_t)run->options->now,
        "from", from, "until", (json_int_t)run->options->until, "units",
        (json_int_t)run->judge.counts.units, "pairs",
        (json_int_t)run->judge.counts.pairs, "read", "marks",
        (json_int_t)run->marks, "nameless", (json_int_t)run->nameless,
        "decisions", (json_int_t)run->decisions, "badLines",
        (json_int_t)run->bad_lines, "upstream",
        (json_int_t)run->rows[SIDE_UPSTREAM], "gray",
        (json_int_t)run->rows[SIDE_GRAY], "old",
        (json_int_t)run->rows[SIDE_OLD], "badRows",
        (json_int_t)run->bad_rows, "rules", rules_json(run), "notCovered",
        not_covered(run), "shares", shares_json(run), "differences",
        run->differences);
}
