/* SPDX-License-Identifier: Apache-2.0
 * report.c - an impact as JSON, and as findings of gate 6.
 *
 * Why: grayd and `gray plan` say the same things in the same words, whichever
 * of them worked them out; people read sentences, scripts read numbers, and
 * both stand side by side.
 * Read next: predict.c, docs/plan.md.
 */
#include <math.h>
#include <string.h>

#include "impact/impact.h"
#include "policy/findings.h"

const char *impact_basis_word(enum impact_basis basis)
{
    static const char *const words[] = {
        [IMPACT_UNKNOWN] = "not-measured", [IMPACT_UNCHANGED] = "unchanged",
        [IMPACT_REPLAYED] = "replay",      [IMPACT_MEASURED] = "measured",
        [IMPACT_BY_SHARE] = "share",
    };

    return words[basis];
}

const char *impact_verdict_word(enum impact_verdict verdict)
{
    static const char *const words[] = {
        [IMPACT_NO_FIGURE] = "not-measured",
        [IMPACT_NO_CAPACITY] = "no-capacity",
        [IMPACT_FITS] = "fits",
        [IMPACT_IS_NEAR] = "near",
        [IMPACT_IS_OVER] = "over",
    };

    return words[verdict];
}

const char *impact_kind_word(enum impact_kind kind)
{
    static const char *const words[] = {
        [IMPACT_MORE] = "more",
        [IMPACT_LESS] = "less",
        [IMPACT_ONLY_NEW] = "only-new",
        [IMPACT_ONLY_OLD] = "only-old",
    };

    return words[kind];
}

/* ---- JSON --------------------------------------------------------------------- */

/* Three decimals; null where it is not known. */
static json_t *figure(double value)
{
    return value < 0 || !isfinite(value)
               ? json_null()
               : json_real(round(value * 1000) / 1000);
}

static json_t *share(bool there, uint32_t value)
{
    return there ? json_integer(value) : json_null();
}

static json_t *releases_json(const struct impact *impact)
{
    json_t *rows = json_array();

    for (size_t i = 0; i < impact->release_count; i++) {
        const struct impact_release *row = &impact->releases[i];

        json_array_append_new(
            rows, json_pack("{s:s,s:o,s:o,s:s,s:o,s:o}", "release", row->name,
                            "shareBefore", share(row->was, row->share_before),
                            "shareAfter", share(row->is, row->share_after),
                            "basis", impact_basis_word(row->basis), "now",
                            figure(row->now), "then", figure(row->then)));
    }
    return rows;
}

static json_t *versions_json(const struct impact *impact)
{
    json_t *rows = json_array();

    for (size_t i = 0; i < impact->version_count; i++) {
        const struct impact_version *row = &impact->versions[i];

        json_array_append_new(
            rows, json_pack("{s:s,s:s,s:b,s:b,s:o,s:o,s:o,s:s}", "service",
                            row->service, "version", row->version, "baseline",
                            row->baseline, "touched", row->touched, "now",
                            figure(row->now), "then", figure(row->then),
                            "capacity",
                            row->capacity > 0
                                ? json_integer((json_int_t)row->capacity)
                                : json_null(),
                            "verdict", impact_verdict_word(row->verdict)));
    }
    return rows;
}

/* What a call means, in words. */
static json_t *call_sentence(const struct impact_call *call)
{
    switch (call->kind) {
    case IMPACT_ONLY_NEW:
        return json_sprintf("%s is called by %s only: %.2f calls for each "
                            "request that comes in, %.1f a second.",
                            call->service, call->arm, call->new_ratio,
                            call->then);
    case IMPACT_ONLY_OLD:
        return json_sprintf("%s is no longer called by %s: %.1f requests a "
                            "second of it fall away.",
                            call->service, call->arm, call->linear);
    default:
        return json_sprintf("%s is called %.2f times as often by %s (%.2f "
                            "calls for each request that comes in, not %.2f): "
                            "%.1f a second, not %.1f.",
                            call->service, call->new_ratio / call->old_ratio,
                            call->arm, call->new_ratio, call->old_ratio,
                            call->then, call->linear);
    }
}

static json_t *calls_json(const struct impact *impact)
{
    json_t *rows = json_array();

    for (size_t i = 0; i < impact->call_count; i++) {
        const struct impact_call *call = &impact->calls[i];

        json_array_append_new(
            rows,
            json_pack("{s:s,s:s,s:s,s:s,s:o,s:o,s:o,s:o,s:o,s:o}", "arm",
                      call->arm, "service", call->service, "version",
                      call->version, "kind", impact_kind_word(call->kind),
                      "oldRatio", figure(call->old_ratio), "newRatio",
                      figure(call->new_ratio), "factor",
                      call->old_ratio > 0
                          ? figure(call->new_ratio / call->old_ratio)
                          : json_null(),
                      "linear", figure(call->linear), "then",
                      figure(call->then), "sentence", call_sentence(call)));
    }
    return rows;
}

static json_t *examples(const char (*units)[IMPACT_UNIT_BYTES + 1],
                        uint32_t count)
{
    json_t *list = json_array();

    for (uint32_t i = 0; i < count; i++) {
        json_t *text = json_string(units[i]);

        /* bytes that are no UTF-8, or were cut inside a character */
        json_array_append_new(list, text != NULL ? text : json_string("?"));
    }
    return list;
}

static json_t *replay_json(const struct impact_replay *replay)
{
    json_t *rows = json_array();

    for (size_t i = 0; i < replay->release_count; i++) {
        const struct impact_replayed *row = &replay->releases[i];

        json_array_append_new(
            rows,
            json_pack("{s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:o,s:o}", "release",
                      row->release, "before", (json_int_t)row->before, "after",
                      (json_int_t)row->after, "comes",
                      (json_int_t)row->comes, "drops", (json_int_t)row->drops,
                      "unitsCome", (json_int_t)row->units_come, "unitsDrop",
                      (json_int_t)row->units_drop, "come",
                      examples(row->come, row->come_count), "drop",
                      examples(row->drop, row->drop_count)));
    }
    return json_pack("{s:I,s:I,s:I,s:I,s:I,s:o}", "replayed",
                     (json_int_t)replay->replayed, "refused",
                     (json_int_t)replay->refused, "changed",
                     (json_int_t)replay->changed, "first",
                     (json_int_t)replay->first, "last",
                     (json_int_t)replay->last, "releases", rows);
}

json_t *impact_json(const struct impact *impact,
                    const struct impact_replay *replay)
{
    return json_pack("{s:b,s:o,s:I,s:o,s:s,s:o,s:o,s:o,s:o}", "measured",
                     impact->measured, "seconds", figure(impact->seconds),
                     "entered", (json_int_t)impact->entered, "entrance",
                     impact->measured ? figure(impact->entrance)
                                      : json_null(),
                     "verdict", impact_verdict_word(impact->worst), "releases",
                     releases_json(impact), "versions", versions_json(impact),
                     "calls", calls_json(impact), "replay",
                     replay != NULL ? replay_json(replay) : json_null());
}

/* ---- findings ------------------------------------------------------------------- */

void impact_findings(const struct impact *impact, bool allowed,
                     struct gray_findings *findings)
{
    for (size_t i = 0; i < impact->version_count; i++) {
        const struct impact_version *row = &impact->versions[i];
        bool over = row->verdict == IMPACT_IS_OVER;
        bool grows = row->then > row->now * 1.001;
        char document[GRAY_NAME_MAX + 16];
        char pointer[GRAY_NAME_MAX + 32];
        struct gray_finding_head head = {
            .severity = over && grows && !allowed ? GRAY_ERROR : GRAY_WARNING,
            .problem = over ? GRAY_PROBLEM_OVER_CAPACITY
                            : GRAY_PROBLEM_NEAR_CAPACITY,
            .pointer = pointer,
            .document = document,
        };

        if (!over && !(row->touched && row->verdict == IMPACT_IS_NEAR)) {
            continue;
        }
        snprintf(document, sizeof(document), "Service/%s", row->service);
        snprintf(pointer, sizeof(pointer), "/versions/%s/capacity",
                 row->version);
        gray_findings_add(
            findings, &head,
            "%s %s would get %.1f requests a second (%.1f now), %.0f %% of "
            "the %llu that it bears%s",
            row->service, row->version, row->then, row->now,
            row->then * 100 / (double)row->capacity,
            (unsigned long long)row->capacity,
            head.severity == GRAY_ERROR
                ? "; add endpoints, go in smaller steps, or say "
                  "--over-capacity"
                : "");
    }
}
