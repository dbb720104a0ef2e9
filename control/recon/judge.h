/* SPDX-License-Identifier: Apache-2.0
 * judge.h - one unit's facts, judged by the rules of their day.
 *
 * Why: R1 to R7 are sentences of docs/recon.md; each is a function of a unit's
 * facts and of what the rules said, and of nothing else: no clock, no file, no
 * database.  What cannot be known is counted under its reason and is never
 * called good.
 * Read next: judge.c (marks, R1, R2), judge_rows.c (R3 to R7), bins.h (R5).
 */
#ifndef GRAYD_RECON_JUDGE_H
#define GRAYD_RECON_JUDGE_H

#include "control/recon/bins.h"
#include "control/recon/facts.h"
#include "control/recon/rules.h"

enum recon_rule { R1, R2, R3, R4, R5, R6, R7, RECON_RULES };

struct difference {
    enum recon_rule rule;
    struct gray_str unit, key; /* key length 0: of the unit as a whole */
    const char *what;          /* "amount", "no-mark": part of its id */
    const char *sentence;
    int64_t at;                /* of the row or mark it is about */
};
struct judge;
struct judge_report {
    void (*difference)(void *context, const struct difference *difference);
    void (*not_judged)(void *context, enum recon_rule rule, const char *why);
    void *context;
};
struct judge_counts {
    uint64_t judged[RECON_RULES], differences[RECON_RULES];
    uint64_t not_judged[RECON_RULES];
    uint64_t units, pairs; /* pairs: units, and rows of upstream, looked at */
};
struct judge {
    const struct check *check;
    struct rules *rules;
    struct bins *bins;
    int64_t from, until; /* what is judged: marks and rows of this time */
    struct judge_report report;
    struct judge_counts counts;
    /* Of the unit in turn: */
    const struct facts *facts;
    struct mark_facts {
        const struct fact_mark *now;   /* its state; NULL: ABSENT */
        const struct fact_mark *admit; /* the IN or OUT before; NULL */
        struct { int64_t since, until; } in[8]; /* when it was in */
        unsigned in_count;
        bool held;
    } mark;
};
/* Judges the unit whose facts these are. */
void judge_unit(struct judge *judge, const struct facts *facts);

/* ---- between judge.c and judge_rows.c ------------------------------------------- */

/* Says a difference; a difference counts as judged. */
void judge_say(struct judge *judge, enum recon_rule rule,
               const struct fact_row *row, int64_t at, const char *what,
               const char *format, ...) __attribute__((format(printf, 6, 7)));
void judge_good(struct judge *judge, enum recon_rule rule);
void judge_unknown(struct judge *judge, enum recon_rule rule,
                   const char *why);
/* Whether the release's word was another than OPEN at any time, or at all
 * times, within [from, until]. */
bool judge_closed_within(const struct judge *judge, int64_t from,
                         int64_t until, bool all);
/* The decision for the unit with the attributes of a row (NULL: none). */
void judge_decide(struct judge *judge, uint64_t revision, int64_t at,
                  const struct fact_row *row,
                  struct rules_verdict *ret_verdict);
void judge_rows(struct judge *judge);

#endif
