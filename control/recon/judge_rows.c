/* SPDX-License-Identifier: Apache-2.0
 * judge_rows.c - the rows of a unit: R3, R4, R6, R7, and what R5 counts.
 *
 * Why: see judge.h.  A row was hit or not at its own moment; near to a change
 * either is right, and then the row itself says which it was.  A missing mark
 * is said once, as the missing hit that it is (R6), and not again as a row
 * that should not be there.
 * Read next: judge.c.
 */
#include <string.h>

#include "control/recon/decimal.h"
#include "control/recon/judge.h"
#include "runtime/marks.h"

#define REVISIONS_MAX 8u /* near one moment */

enum hit { HIT_NO, HIT_YES, HIT_MAYBE };
struct paired {
    const struct fact_row *row; /* of upstream */
    const struct fact_row *gray, *old; /* the first of each; NULL: none */
    unsigned grays, olds;
    enum hit hit;
    bool missing; /* R6: it should have a mark, and has none */
};

static bool same_key(struct gray_str a, struct gray_str b)
{
    return a.length == b.length && memcmp(a.data, b.data, a.length) == 0;
}

static const struct fact_row *find(const struct fact_rows *rows,
                                   struct gray_str key, unsigned *ret_count)
{
    const struct fact_row *found = NULL;

    *ret_count = 0;
    for (size_t i = 0; i < rows->count; i++) {
        if (same_key(rows->items[i].key, key)) {
            found = found == NULL ? &rows->items[i] : found;
            (*ret_count)++;
        }
    }
    return found;
}

/* ---- was it hit? ----------------------------------------------------------------- */

static enum hit by_time(const struct mark_facts *mark, int64_t at,
                        int64_t slack)
{
    enum hit hit = HIT_NO;

    for (unsigned i = 0; i < mark->in_count; i++) {
        int64_t since = mark->in[i].since, until = mark->in[i].until;
        int64_t early = since == CHECK_NEVER ? since : since - slack;
        int64_t sure = since == CHECK_NEVER ? since : since + slack;
        int64_t late = until == INT64_MAX ? until : until + slack;
        int64_t last = until == INT64_MAX ? until : until - slack;

        if (at >= sure && at <= last) {
            return HIT_YES;
        }
        if (at >= early && at <= late) {
            hit = HIT_MAYBE;
        }
    }
    return hit;
}

/* Everyone, whoever was in, goes to the baseline under abort and kill. */
static enum hit overridden(const struct judge *judge, int64_t at,
                           enum hit hit)
{
    const struct rules_span *spans;
    size_t count = rules_spans(judge->rules, &spans);
    int64_t slack = judge->check->slack;

    for (size_t i = 0; i < count && hit != HIT_NO; i++) {
        bool base = spans[i].word == GRAY_WORD_BASELINE ||
                    spans[i].word == GRAY_WORD_KILLED;
        int64_t until = spans[i].until;

        if (!base || at < spans[i].at - slack ||
            (until != INT64_MAX && at > until + slack)) {
            continue;
        }
        hit = at > spans[i].at + slack &&
                      (until == INT64_MAX || at < until - slack)
                  ? HIT_NO
                  : HIT_MAYBE;
    }
    return hit;
}

static enum hit was_hit(const struct judge *judge, const struct fact_row *row)
{
    const struct mark_facts *mark = &judge->mark;

    if (rules_stickiness(judge->rules) == GRAY_STICKY_ENTITY) {
        return mark->now != NULL && mark->now->state == GRAY_SLOT_IN
                   ? HIT_YES
                   : HIT_NO;
    }
    return overridden(judge, row->created,
                      by_time(mark, row->created, judge->check->slack));
}

/* ---- R6: whose decision was IN ----------------------------------------------------- */

/* 1: in by every rule near this moment; 0: not so; -1: not known, *ret_why. */
static int decided_in(struct judge *judge, const struct fact_row *row,
                      struct rules_verdict *ret_verdict)
{
    int64_t at = row->created, slack = judge->check->slack;
    uint64_t revisions[REVISIONS_MAX];
    size_t count;

    if (judge_closed_within(judge, at - slack, at + slack, false)) {
        return 0;
    }
    count = rules_around(judge->rules, at, slack, revisions, REVISIONS_MAX);
    for (size_t i = 0; i < count; i++) {
        judge_decide(judge, revisions[i], at, row, ret_verdict);
        if (!ret_verdict->judged) {
            return -1;
        }
        if (!ret_verdict->in) {
            return 0;
        }
    }
    return count > 0;
}

static void judge_missing(struct judge *judge, struct paired *pair)
{
    const struct fact_row *row = pair->row;
    const struct mark_facts *mark = &judge->mark;
    struct rules_verdict verdict = {.why = ""};
    int in;

    if (mark->now != NULL &&
        (mark->now->state == GRAY_SLOT_OUT ||
         mark->now->state == GRAY_SLOT_REVOKED)) {
        judge_good(judge, R6); /* it was told so: R2 and R7 */
        return;
    }
    in = decided_in(judge, row, &verdict);
    if (in < 0) {
        judge_unknown(judge, R6, verdict.why);
    } else if (in == 0) {
        judge_good(judge, R6);
    } else {
        pair->missing = true;
        judge_say(judge, R6, row, row->created,
                  mark->now == NULL ? "no-mark" : "late-mark",
                  "the decision at that moment was in (%s, bucket %lld, share "
                  "%u), and the unit %s",
                  gray_reason_code((enum gray_reason)verdict.reason),
                  verdict.bucket == GRAY_NONE ? -1LL
                                              : (long long)verdict.bucket,
                  verdict.share,
                  mark->now == NULL ? "has no mark" : "was marked later");
    }
}

static void judge_r6(struct judge *judge, struct paired *pair)
{
    bool gray = judge->check->rows[SIDE_GRAY].there;

    if (pair->hit == HIT_NO) {
        judge_missing(judge, pair);
    } else if (!gray) {
        judge_good(judge, R6);
    } else if (pair->grays > 0) {
        judge_good(judge, R6);
    } else if (pair->hit == HIT_MAYBE && pair->olds > 0) {
        judge_good(judge, R6); /* just before it came in */
    } else {
        judge_say(judge, R6, pair->row, pair->row->created, "no-gray",
                  "the unit is in, and the new version has no row of it");
    }
}

/* ---- R3: the gray row agrees ---------------------------------------------------------- */

static bool compare_fields(struct judge *judge, const struct paired *pair)
{
    const struct check *check = judge->check;
    bool good = true;

    for (size_t i = 0; i < check->compare_count; i++) {
        const struct check_compare *c = &check->compares[i];
        struct gray_str ours = pair->gray->values[i];
        struct gray_str up =
            pair->row->values[check->attribute_count + i];

        if (decimal_same(up, ours, c->tolerance)) {
            continue;
        }
        good = false;
        judge_say(judge, R3, pair->row, pair->row->created, c->gray,
                  "%.40s is %.64s in the upstream row, and %.40s is %.64s in "
                  "the gray one",
                  c->upstream, up.data != NULL ? up.data : "NULL", c->gray,
                  ours.data != NULL ? ours.data : "NULL");
    }
    return good;
}

static void judge_r3(struct judge *judge, const struct paired *pair,
                     unsigned upstreams)
{
    bool good = true;

    if (upstreams > 1) {
        judge_say(judge, R3, pair->row, pair->row->created, "upstream-twice",
                  "the upstream row stands %u times", upstreams);
        return;
    }
    if (pair->hit == HIT_NO || pair->grays == 0) {
        return; /* R4, R6 */
    }
    if (pair->grays > 1) {
        good = false;
        judge_say(judge, R3, pair->row, pair->row->created, "gray-twice",
                  "the gray row stands %u times", pair->grays);
    }
    if (judge->check->moves && pair->olds > 0) {
        good = false;
        judge_say(judge, R3, pair->row, pair->row->created, "both-sides",
                  "the row is on the old side, too");
    }
    good &= compare_fields(judge, pair);
    if (good) {
        judge_good(judge, R3);
    }
}

/* ---- R4: the old side -------------------------------------------------------------- */

static bool is_among(const json_t *list, struct gray_str value)
{
    const json_t *item;
    size_t i;

    json_array_foreach(list, i, item) {
        struct gray_str text = {json_string_value(item),
                                (uint32_t)json_string_length(item)};

        if (value.data != NULL && decimal_same(text, value, 0)) {
            return true;
        }
    }
    return false;
}

/* A limit of a range: a number or a text, in *ret_text. */
static bool limit_of(const json_t *range, const char *key, char *buffer,
                     size_t size, struct gray_str *ret_text)
{
    const json_t *limit = json_object_get(range, key);
    int length;

    if (json_is_string(limit)) {
        length = snprintf(buffer, size, "%s", json_string_value(limit));
    } else if (json_is_integer(limit)) {
        length = snprintf(buffer, size, "%lld",
                          (long long)json_integer_value(limit));
    } else if (json_is_real(limit)) {
        length = snprintf(buffer, size, "%.12g", json_real_value(limit));
    } else {
        return false;
    }
    *ret_text = (struct gray_str){buffer, (uint32_t)length};
    return length > 0 && (size_t)length < size;
}

/* From `start` on, before `end`. */
static bool in_range(const json_t *range, struct gray_str value)
{
    struct gray_str text;
    char buffer[64];
    int order;

    if (limit_of(range, "start", buffer, sizeof(buffer), &text) &&
        (!decimal_order(value, text, &order) || order < 0)) {
        return false;
    }
    return !limit_of(range, "end", buffer, sizeof(buffer), &text) ||
           (decimal_order(value, text, &order) && order < 0);
}

static bool obeys(const struct judge *judge, size_t number,
                  const struct paired *pair)
{
    const struct check *check = judge->check;
    const struct check_constraint *c = &check->constraints[number];
    struct gray_str value = pair->old->values[number];

    if (c->equals != NULL) {
        return decimal_same(pair->row->values[check->attribute_count +
                                              check->compare_count + number],
                            value, c->tolerance);
    }
    if (c->in != NULL) {
        return is_among(c->in, value);
    }
    if (c->not_in != NULL) {
        return !is_among(c->not_in, value);
    }
    if (c->range != NULL) {
        return in_range(c->range, value);
    }
    return (c->present && value.data != NULL) ||
           (c->absent && value.data == NULL) || (!c->present && !c->absent);
}

static bool obeys_all(struct judge *judge, const struct paired *pair)
{
    bool good = true;

    for (size_t i = 0; i < judge->check->constraint_count; i++) {
        if (!obeys(judge, i, pair)) {
            const struct check_constraint *c = &judge->check->constraints[i];
            struct gray_str value = pair->old->values[i];

            good = false;
            judge_say(judge, R4, pair->row, pair->row->created, c->old,
                      "%.40s is %.64s in the old row, which constraint %zu "
                      "forbids",
                      c->old, value.data != NULL ? value.data : "NULL", i);
        }
    }
    return good;
}

/* Just one, and as the old side has it. */
static bool old_row_good(struct judge *judge, const struct paired *pair)
{
    if (pair->olds == 1) {
        return obeys_all(judge, pair);
    }
    if (pair->olds == 0) {
        judge_say(judge, R4, pair->row, pair->row->created, "no-old",
                  "the old version has no row of it");
    } else {
        judge_say(judge, R4, pair->row, pair->row->created, "old-twice",
                  "the old row stands %u times", pair->olds);
    }
    return false;
}

/* Where a hit moves a row, whoever was hit is not the old side's; where it adds
 * one, everybody is. */
static void judge_r4(struct judge *judge, const struct paired *pair)
{
    const struct check *check = judge->check;
    bool good = true;
    bool was_in = judge->mark.now != NULL &&
                  judge->mark.now->state == GRAY_SLOT_REVOKED;
    bool hit = pair->hit == HIT_YES ||
               (pair->hit == HIT_MAYBE && pair->grays > 0);
    bool nowhere = pair->hit == HIT_MAYBE && pair->grays + pair->olds == 0;

    if (check->moves && (hit || was_in || nowhere ||
                         (pair->missing && pair->grays > 0))) {
        return; /* R6 and R7 speak of it */
    }
    if (!hit && !was_in && !pair->missing && pair->grays > 0) {
        good = false;
        judge_say(judge, R4, pair->row, pair->row->created, "gray-row",
                  "the unit was not in, and the new version has a row of it");
    }
    if (check->rows[SIDE_OLD].there && (!check->moves || pair->grays == 0)) {
        good &= old_row_good(judge, pair);
    }
    if (good) {
        judge_good(judge, R4);
    }
}

/* Gray rows of nothing: no upstream row has their key. */
static void judge_orphans(struct judge *judge)
{
    const struct fact_rows *grays = &judge->facts->rows[SIDE_GRAY];
    const struct mark_facts *mark = &judge->mark;
    unsigned count;

    if (mark->now != NULL && mark->now->state == GRAY_SLOT_REVOKED) {
        return;
    }
    for (size_t i = 0; i < grays->count; i++) {
        const struct fact_row *gray = &grays->items[i];

        if (!gray->inside ||
            find(&judge->facts->rows[SIDE_UPSTREAM], gray->key, &count) !=
                NULL) {
            continue;
        }
        if (mark->now == NULL || mark->now->state != GRAY_SLOT_IN) {
            judge_say(judge, R4, gray, gray->created, "gray-alone",
                      "the new version has a row of a unit that was not in, "
                      "and that upstream does not know");
        } else if (rules_stickiness(judge->rules) != GRAY_STICKY_ENTITY) {
            judge_say(judge, R3, gray, gray->created, "no-upstream",
                      "the gray row has no upstream row");
        }
    }
}

/* ---- R7 ---------------------------------------------------------------------------------- */

static bool is_corrected(const struct judge *judge,
                         const struct fact_row *gray)
{
    struct gray_str value;

    if (judge->check->rows[SIDE_GRAY].corrected == NULL) {
        return false;
    }
    value = gray->values[judge->check->compare_count];
    return value.data != NULL &&
           !(value.length == 1 && strchr("0f", value.data[0]) != NULL) &&
           value.length > 0;
}

static void judge_r7(struct judge *judge)
{
    const struct fact_rows *grays = &judge->facts->rows[SIDE_GRAY];
    const struct mark_facts *mark = &judge->mark;
    bool good = true;

    if (!judge->check->rows[SIDE_GRAY].there || mark->now == NULL ||
        mark->now->state != GRAY_SLOT_REVOKED) {
        return;
    }
    for (size_t i = 0; i < grays->count; i++) {
        if (!is_corrected(judge, &grays->items[i])) {
            good = false;
            judge_say(judge, R7, &grays->items[i], mark->now->at, "gray-row",
                      "the unit was taken back, and its gray row is not "
                      "corrected");
        }
    }
    if (good) {
        judge_good(judge, R7);
    }
}

/* ---- R5 --------------------------------------------------------------------------- */

/* Counts the unit once, at the row that says most of it, where a share and
 * nothing else decided. */
static void count_bins(struct judge *judge, const struct paired *pair)
{
    const struct mark_facts *mark = &judge->mark;
    const struct fact_row *row = pair->row;
    int64_t slack = judge->check->slack;
    struct rules_verdict verdict;
    uint64_t revisions[2];

    if (judge_closed_within(judge, row->created - slack,
                            row->created + slack, false) ||
        rules_around(judge->rules, row->created, slack, revisions, 2) != 1 ||
        (mark->admit != NULL && mark->admit->reason != 0 &&
         mark->admit->reason != GRAY_REASON_SHARE &&
         mark->admit->reason != GRAY_REASON_OUT_OF_SHARE &&
         mark->admit->reason != GRAY_REASON_HOLDBACK)) {
        return;
    }
    judge_decide(judge, revisions[0], row->created, row, &verdict);
    if (verdict.judged && verdict.bucket != GRAY_NONE &&
        (verdict.reason == GRAY_REASON_SHARE ||
         verdict.reason == GRAY_REASON_OUT_OF_SHARE ||
         verdict.reason == GRAY_REASON_HOLDBACK)) {
        bins_add(judge->bins, verdict.share, verdict.bucket,
                 pair->hit != HIT_NO ||
                     (mark->now != NULL &&
                      mark->now->state == GRAY_SLOT_REVOKED));
    }
}

/* ---- together ----------------------------------------------------------------------- */

static struct paired pair_of(struct judge *judge, const struct fact_row *row)
{
    struct paired pair = {.row = row, .hit = was_hit(judge, row)};

    pair.gray = find(&judge->facts->rows[SIDE_GRAY], row->key, &pair.grays);
    pair.old = find(&judge->facts->rows[SIDE_OLD], row->key, &pair.olds);
    return pair;
}

void judge_rows(struct judge *judge)
{
    const struct fact_rows *rows = &judge->facts->rows[SIDE_UPSTREAM];
    struct paired last = {.row = NULL};

    for (size_t i = 0; i < rows->count; i++) {
        const struct fact_row *row = &rows->items[i];
        unsigned upstreams;
        struct paired pair;

        if (!row->inside || find(rows, row->key, &upstreams) != row) {
            continue; /* of another sweep, or said with the first of them */
        }
        pair = pair_of(judge, row);
        judge->counts.pairs++;
        judge_r6(judge, &pair);
        judge_r3(judge, &pair, upstreams);
        judge_r4(judge, &pair);
        if (last.row == NULL || row->created >= last.row->created) {
            last = pair;
        }
    }
    if (last.row != NULL) {
        count_bins(judge, &last);
    }
    judge_orphans(judge);
    judge_r7(judge);
}
