/* SPDX-License-Identifier: Apache-2.0
 * judge.c - the mark of a unit: what it is now, R1 and R2.
 *
 * Why: see judge.h.  The last record of the journal is what stands; what stood
 * before says when the unit was in.  A mark is judged in the time in which it
 * was made, and only there: the next sweep does not judge it again.
 * Read next: judge_rows.c.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "control/marks/record.h"
#include "control/recon/judge.h"
#include "runtime/runtime.h"

#define LOGGED_BYTES 64u /* of a unit, in a decision log */
#define ROW_MARK_MS 999  /* a mark in a row says the second */
#define LATE_MS 1000     /* beyond the lease, until a freeze is settled */

/* ---- saying ------------------------------------------------------------------ */

void judge_say(struct judge *judge, enum recon_rule rule,
               const struct fact_row *row, int64_t at, const char *what,
               const char *format, ...)
{
    char sentence[400];
    struct difference difference = {
        .rule = rule,
        .unit = judge->facts->unit,
        .what = what,
        .sentence = sentence,
        .at = at,
    };
    va_list arguments;

    if (row != NULL &&
        (row->key.length != difference.unit.length ||
         memcmp(row->key.data, difference.unit.data, row->key.length) != 0)) {
        difference.key = row->key;
    }
    va_start(arguments, format);
    vsnprintf(sentence, sizeof(sentence), format, arguments);
    va_end(arguments);
    judge->counts.judged[rule]++;
    judge->counts.differences[rule]++;
    judge->report.difference(judge->report.context, &difference);
}

void judge_good(struct judge *judge, enum recon_rule rule)
{
    judge->counts.judged[rule]++;
}

void judge_unknown(struct judge *judge, enum recon_rule rule, const char *why)
{
    judge->counts.not_judged[rule]++;
    judge->report.not_judged(judge->report.context, rule, why);
}

/* ---- what the mark is -------------------------------------------------------- */

static void came_in(struct mark_facts *mark, int64_t since)
{
    if (mark->in_count > 0 &&
        mark->in[mark->in_count - 1].until == INT64_MAX) {
        return;
    }
    if (mark->in_count == sizeof(mark->in) / sizeof(*mark->in)) {
        memmove(mark->in, mark->in + 1,
                sizeof(mark->in) - sizeof(*mark->in));
        mark->in_count--;
    }
    mark->in[mark->in_count].since = since;
    mark->in[mark->in_count++].until = INT64_MAX;
}

static void went_out(struct mark_facts *mark, int64_t at)
{
    if (mark->in_count > 0 &&
        mark->in[mark->in_count - 1].until == INT64_MAX) {
        mark->in[mark->in_count - 1].until = at;
    }
}

/* What was void was told nobody. */
static void never_was(struct mark_facts *mark)
{
    if (mark->now != NULL && mark->now->state == GRAY_SLOT_IN &&
        mark->in_count > 0) {
        mark->in_count--;
    }
    mark->now = mark->admit = NULL;
}

/* Records of one journal are in its order; those of several hosts are put in
 * the order of their moments. */
static size_t in_order(const struct facts *facts,
                       const struct fact_mark *ret_order[FACTS_MARKS_MAX])
{
    for (size_t i = 0; i < facts->mark_count; i++) {
        const struct fact_mark *record = &facts->marks[i];
        size_t at = i;

        while (at > 0 && record->host != ret_order[at - 1]->host &&
               record->at < ret_order[at - 1]->at) {
            ret_order[at] = ret_order[at - 1];
            at--;
        }
        ret_order[at] = record;
    }
    return facts->mark_count;
}

static void read_mark(struct judge *judge)
{
    const struct fact_mark *order[FACTS_MARKS_MAX];
    size_t count = in_order(judge->facts, order);
    struct mark_facts *mark = &judge->mark;

    *mark = (struct mark_facts){0};
    for (size_t i = 0; i < count; i++) {
        const struct fact_mark *record = order[i];

        mark->held |= record->damaged || record->state == GRAY_SLOT_HOLD;
        switch (record->state) {
        case GRAY_SLOT_IN:
            /* Whoever was imported was in before. */
            came_in(mark, record->kind == RECORD_IMPORT ? CHECK_NEVER
                                                        : record->at);
            mark->now = mark->admit = record;
            break;
        case GRAY_SLOT_OUT:
            mark->now = mark->admit = record;
            break;
        case GRAY_SLOT_REVOKED:
            went_out(mark, record->at);
            mark->now = record;
            break;
        case GRAY_SLOT_VOID:
            never_was(mark);
            break;
        default:
            break;
        }
    }
}

static bool is_entity(const struct judge *judge)
{
    return rules_stickiness(judge->rules) == GRAY_STICKY_ENTITY;
}

/* The mark that R1 to R3 speak of: an answer, made in the time judged. */
static bool is_answer(const struct judge *judge)
{
    const struct fact_mark *admit = judge->mark.admit;

    return admit != NULL && admit->at >= judge->from &&
           admit->at < judge->until &&
           (admit->state == GRAY_SLOT_IN || is_entity(judge));
}

/* ---- R1 ------------------------------------------------------------------------ */

static bool may_be_logged(struct gray_str unit)
{
    bool good = unit.length < LOGGED_BYTES;

    for (uint32_t i = 0; i < unit.length; i++) {
        good &= (unsigned char)unit.data[i] >= 0x20 &&
                (unsigned char)unit.data[i] < 0x7f;
    }
    return good;
}

/* Somebody who asked grayd wrote down revision and reason himself. */
static bool asked_for(const struct judge *judge, const struct fact_mark *mark)
{
    return judge->check->journal && mark->reader != RECORD_READER_NONE &&
           mark->reader >= GRAY_READERS_MAX && mark->reason != 0;
}

static bool has_logs(const struct judge *judge)
{
    return judge->check->logs != NULL || judge->check->follows;
}

static void judge_r1(struct judge *judge)
{
    const struct fact_mark *admit = judge->mark.admit;
    const struct fact_decision *other = NULL;
    bool in = admit->state == GRAY_SLOT_IN;

    if (admit->kind == RECORD_IMPORT || admit->kind == RECORD_REPAIR) {
        if (admit->by_hand) {
            judge_good(judge, R1);
        } else {
            judge_say(judge, R1, NULL, admit->at, "no-decision",
                      "the mark was put by hand, and nobody stands with it");
        }
        return;
    }
    for (size_t i = 0; i < judge->facts->decision_count; i++) {
        const struct fact_decision *d = &judge->facts->decisions[i];

        if (d->revision == admit->revision && (d->in != 0) == in) {
            judge_good(judge, R1);
            return;
        }
        other = d;
    }
    if (asked_for(judge, admit)) {
        judge_good(judge, R1);
    } else if (admit->by_row && !has_logs(judge)) {
        judge_unknown(judge, R1, "a mark that its row keeps, and no log");
    } else if (!has_logs(judge)) {
        judge_say(judge, R1, NULL, admit->at, "no-decision",
                  "the mark has no record of whoever asked for it");
    } else if (!may_be_logged(judge->facts->unit)) {
        judge_unknown(judge, R1, "a unit that a log does not write whole");
    } else if (other == NULL) {
        judge_say(judge, R1, NULL, admit->at, "no-decision",
                  "the mark is %s by revision %llu, and no log has a decision "
                  "about the unit",
                  in ? "in" : "out", (unsigned long long)admit->revision);
    } else {
        judge_say(judge, R1, NULL, admit->at, "other-decision",
                  "the mark is %s by revision %llu; the decision logged was "
                  "%s by revision %llu",
                  in ? "in" : "out", (unsigned long long)admit->revision,
                  other->in ? "in" : "out",
                  (unsigned long long)other->revision);
    }
}

/* ---- R2 ------------------------------------------------------------------------ */

bool judge_closed_within(const struct judge *judge, int64_t from,
                         int64_t until, bool all)
{
    const struct rules_span *spans;
    size_t count = rules_spans(judge->rules, &spans);

    for (size_t i = 0; i < count; i++) {
        bool closed = spans[i].word != GRAY_WORD_OPEN;

        if (spans[i].at <= until && spans[i].until > from && closed != all) {
            return closed;
        }
    }
    /* Before its first state there was no release to be open. */
    return all ? true : count == 0 || spans[0].at > from;
}

void judge_decide(struct judge *judge, uint64_t revision, int64_t at,
                  const struct fact_row *row,
                  struct rules_verdict *ret_verdict)
{
    struct rules_attribute attributes[FACTS_VALUES_MAX];
    size_t count = judge->check->attribute_count;

    for (size_t i = 0; row != NULL && i < count && i < FACTS_VALUES_MAX;
         i++) {
        attributes[i].value = row->values[i];
    }
    rules_decide(judge->rules, revision, at, judge->facts->unit,
                 row != NULL ? attributes : NULL, ret_verdict);
}

/* The row of upstream whose moment is nearest; NULL: there is none. */
static const struct fact_row *nearest(const struct judge *judge, int64_t at)
{
    const struct fact_rows *rows = &judge->facts->rows[SIDE_UPSTREAM];
    const struct fact_row *found = NULL;
    uint64_t least = UINT64_MAX;

    for (size_t i = 0; i < rows->count; i++) {
        int64_t created = rows->items[i].created;
        uint64_t off = created > at ? (uint64_t)created - (uint64_t)at
                                    : (uint64_t)at - (uint64_t)created;

        if (off < least) {
            least = off;
            found = &rows->items[i];
        }
    }
    return found;
}

/* Nobody comes in while the word is closed: not by that revision before it was
 * opened again, and not once a freeze has returned. */
static bool is_closed(struct judge *judge, const struct fact_mark *admit)
{
    const struct rules_span *of = rules_of(judge->rules, admit->revision);
    uint32_t lease = rules_lease_ms(judge->rules);
    int64_t slack = judge->check->slack;
    int64_t latest = admit->at + (admit->by_row ? ROW_MARK_MS : 0);

    if (of != NULL && of->word != GRAY_WORD_OPEN && of->until != INT64_MAX &&
        latest >= of->at && latest >= of->until - slack) {
        of = NULL; /* opened meanwhile, and its reader had not heard */
    }
    if (of != NULL && of->word != GRAY_WORD_OPEN) {
        return true;
    }
    return judge_closed_within(judge,
                               admit->at - slack - LATE_MS - (int64_t)lease,
                               latest + slack, true);
}

static void judge_in(struct judge *judge, const struct fact_mark *admit,
                     const struct rules_verdict *verdict)
{
    if (!verdict->in) {
        judge_say(judge, R2, NULL, admit->at, "decision",
                  "the mark is in; by revision %llu the unit is out: %s "
                  "(bucket %lld, share %u)",
                  (unsigned long long)admit->revision,
                  gray_reason_code((enum gray_reason)verdict->reason),
                  verdict->bucket == GRAY_NONE ? -1LL
                                               : (long long)verdict->bucket,
                  verdict->share);
    } else if (verdict->variant != admit->variant) {
        judge_say(judge, R2, NULL, admit->at, "variant",
                  "the mark has variant %u; by revision %llu it is %u",
                  admit->variant, (unsigned long long)admit->revision,
                  verdict->variant);
    } else {
        judge_good(judge, R2);
    }
}

static void say_otherwise(struct judge *judge, const struct fact_mark *admit,
                          const struct rules_verdict *verdict)
{
    judge_say(judge, R2, NULL, admit->at, "decision",
              "the mark is out; by revision %llu the unit is in: %s (bucket "
              "%lld, share %u)",
              (unsigned long long)admit->revision,
              gray_reason_code((enum gray_reason)verdict->reason),
              verdict->bucket == GRAY_NONE ? -1LL
                                           : (long long)verdict->bucket,
              verdict->share);
}

static void judge_out(struct judge *judge, const struct fact_mark *admit,
                      const struct rules_verdict *verdict)
{
    int64_t late = judge->check->slack + LATE_MS;

    if (!verdict->in) {
        judge_good(judge, R2);
        return;
    }
    switch (admit->reason) {
    case GRAY_REASON_NONE: /* rows do not say it */
        if (judge_closed_within(judge, admit->at - late, admit->at + late,
                                false)) {
            judge_good(judge, R2);
        } else {
            say_otherwise(judge, admit, verdict);
        }
        break;
    case GRAY_REASON_NO_ADMIT:
    case GRAY_REASON_STOPPED:
    case GRAY_REASON_KILLED:
        if (judge_closed_within(judge, admit->at - late, admit->at + late,
                                false)) {
            judge_good(judge, R2);
        } else {
            judge_say(judge, R2, NULL, admit->at, "word",
                      "the mark is out because nobody was let in, and the "
                      "release was open");
        }
        break;
    case GRAY_REASON_MARKS_CLOSED:
    case GRAY_REASON_LEASE_OVER:
    case GRAY_REASON_NOT_DURABLE:
    case GRAY_REASON_MARK_UNKNOWN:
        judge_unknown(judge, R2, "out for a reason of that host's moment");
        break;
    default:
        say_otherwise(judge, admit, verdict);
        break;
    }
}

static void judge_r2(struct judge *judge)
{
    const struct fact_mark *admit = judge->mark.admit;
    struct rules_verdict verdict;

    if (admit->kind != RECORD_ADMIT) {
        judge_unknown(judge, R2, "put by hand");
        return;
    }
    if (admit->reason == GRAY_REASON_ALIAS ||
        admit->reason == GRAY_REASON_COOKIE ||
        admit->reason == GRAY_REASON_HANDED) {
        judge_unknown(judge, R2, "by an earlier answer");
        return;
    }
    if (admit->state == GRAY_SLOT_IN && is_closed(judge, admit)) {
        judge_say(judge, R2, NULL, admit->at, "frozen",
                  "the mark is in by revision %llu, made while nobody was let "
                  "in",
                  (unsigned long long)admit->revision);
        return;
    }
    judge_decide(judge, admit->revision, admit->at,
                 nearest(judge, admit->at), &verdict);
    if (!verdict.judged) {
        judge_unknown(judge, R2, verdict.why);
    } else if (admit->state == GRAY_SLOT_IN) {
        judge_in(judge, admit, &verdict);
    } else {
        judge_out(judge, admit, &verdict);
    }
}

/* ---- one unit ----------------------------------------------------------------- */

static bool too_many(const struct facts *facts)
{
    bool many = false;

    for (int i = 0; i < SIDE_COUNT; i++) {
        many |= facts->rows[i].too_many;
    }
    return many;
}

void judge_unit(struct judge *judge, const struct facts *facts)
{
    judge->facts = facts;
    judge->counts.units++;
    read_mark(judge);
    if (judge->mark.held || too_many(facts)) {
        for (int rule = R1; rule < RECON_RULES; rule++) {
            judge_unknown(judge, (enum recon_rule)rule,
                          judge->mark.held ? "a damaged mark"
                                           : "more rows than are looked at");
        }
        return;
    }
    if (is_answer(judge)) {
        judge->counts.pairs++;
        if (judge->check->decisions) {
            judge_r1(judge);
        }
        judge_r2(judge);
        if (is_entity(judge) && facts->rows[SIDE_UPSTREAM].count == 0) {
            judge_say(judge, R3, NULL, judge->mark.admit->at, "no-upstream",
                      "the mark has no upstream row");
        }
    }
    judge_rows(judge);
}
