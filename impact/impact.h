/* SPDX-License-Identifier: Apache-2.0
 * impact.h - what a policy would do to traffic, said before it is in force.
 *
 * Why: whoever widens a release at 3 a.m. wants to know three things: who comes
 * in, what then reaches every version and whatever stands behind it, and
 * whether that is more than it bears.  Three sources answer: counters that
 * readers keep anyway (rates.c), requests that were recorded (records.c,
 * replay.c: decided by old and new policy with the code that readers run), and
 * the documents.  What was not measured is said to be so, never guessed.
 * Everything here is arithmetic on what it is given: no clock, thread or file;
 * memory comes from malloc; an object belongs to one thread at a time.
 * Read next: predict.c (the sums), docs/plan.md.
 */
#ifndef GRAY_IMPACT_H
#define GRAY_IMPACT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ask/ask.h"
#include "policy/findings.h"
#include "policy/model.h"
#include "runtime/counters.h"

#define IMPACT_REQUESTS_MIN 100u /* that a figure stands on */
#define IMPACT_RECORDS_MAX 10000u
#define IMPACT_EXAMPLES 3u
#define IMPACT_UNIT_BYTES 64u /* of an example */
#define IMPACT_NEAR 80u       /* percent of a capacity that is warned of */

/* ---- what is counted (rates.c) ------------------------------------------------ */

/* Live requests between two moments. */
struct impact_traffic {
    double seconds;   /* between them */
    uint64_t entered; /* decided at entrances */
    struct impact_series {
        char service[GRAY_NAME_MAX + 1], version[GRAY_NAME_MAX + 1];
        uint64_t requests; /* sent to it, by whatever arm or lane */
    } *series;
    size_t series_count;
    struct impact_flow {
        char service[GRAY_NAME_MAX + 1]; /* "": at entrances */
        char arm[GRAY_NAME_MAX + 1];
        uint64_t requests;
    } *flows;
    size_t flow_count;
};
void impact_traffic_free(struct impact_traffic *traffic);

/* A ring of samples of a folder's totals. `period_ns`: how far apart those that
 * are kept are at least; the newest one is kept whatever its age. NULL: no
 * memory. */
#define IMPACT_SAMPLES 32u
struct impact_rates;
struct impact_rates *impact_rates_new(int64_t period_ns);
void impact_rates_free(struct impact_rates *rates);
/* Adds what the counters say at `now_ns` (a clock that only grows), when
 * `admission` was in force: a number that is another one where others are let
 * in. A counter that fell was begun anew, and
 * adds nothing this time; a sample in which readers' files could not be
 * believed is left out. 0, or -ENOMEM: this sample is not added. */
int impact_rates_add(struct impact_rates *rates,
                     const struct gray_totals *totals, uint64_t admission,
                     int64_t now_ns);
/* What came within the last `window_ns`; `present`: of that only under the
 * admission in force now. 0; 1: there are no two samples; -ENOMEM. */
int impact_rates_read(const struct impact_rates *rates, int64_t window_ns,
                      bool present, struct impact_traffic *ret_traffic);

/* ---- what was recorded (records.c) -------------------------------------------- */

/* Requests in the form of `gray explain`. */
struct impact_records {
    struct request *items;
    size_t count, capacity;
    uint64_t refused; /* lines that were none */
    int64_t first, last; /* moments of those that name one; 0: none */
};
void impact_records_free(struct impact_records *records);
/* Takes in one request that is parsed; with IMPACT_RECORDS_MAX the oldest one
 * goes. 0, or negative: it is not one, and counted as refused. */
int impact_records_take(struct impact_records *records, json_t *request,
                        struct request_problem *ret_problem);
/* The same from a line. */
int impact_records_line(struct impact_records *records, const char *line,
                        size_t length, struct request_problem *ret_problem);

/* ---- both policies over them (replay.c) ---------------------------------------- */

/* What decides. */
struct impact_side {
    const struct gray_view *view;  /* NULL: nothing is in force */
    struct gray_runtime *runtime;  /* whose marks count; NULL: none */
};
/* One release over all requests. */
struct impact_replayed {
    char release[GRAY_NAME_MAX + 1];
    uint64_t before, after;       /* requests that are in */
    uint64_t comes, drops;        /* requests that change sides */
    uint64_t units_come, units_drop; /* how many units' those are */
    uint32_t come_count, drop_count; /* of examples */
    char come[IMPACT_EXAMPLES][IMPACT_UNIT_BYTES + 1];
    char drop[IMPACT_EXAMPLES][IMPACT_UNIT_BYTES + 1];
};
struct impact_replay {
    uint64_t replayed, refused;
    uint64_t changed; /* requests that would carry other arms */
    int64_t first, last;
    struct impact_replayed *releases; /* by name, of either side */
    size_t release_count;
    struct impact_arm {
        char arm[GRAY_NAME_MAX + 1];
        uint64_t before, after;
    } *arms;
    size_t arm_count;
};
/* Scope words for a view of compiled documents: those that its releases have
 * in `from`, and open where they are new there. Sets to->view.words, which is
 * the caller's to free. 0, or -ENOMEM. */
int impact_words(const struct gray_view *from, struct ask_view *to,
                 struct gray_scope_word **ret_words);
/* Decides every request by both sides; writes no mark. 0, or -ENOMEM. */
int impact_replay(const struct impact_side *before,
                  const struct impact_side *after,
                  const struct impact_records *records, int64_t now_ms,
                  struct impact_replay *ret_replay);
void impact_replay_free(struct impact_replay *replay);

/* ---- what would be (predict.c) -------------------------------------------------- */

struct impact_question {
    const struct gray_model *before;      /* NULL: nothing is in force */
    const struct gray_model *after;
    const struct impact_traffic *traffic; /* NULL: not measured */
    const struct impact_traffic *present; /* under the present policy alone */
    const struct impact_replay *replay;   /* NULL: nothing was recorded */
    bool same_rules; /* it is known that they differ in shares alone */
};
/* What the number of a release's requests stands on. */
enum impact_basis {
    IMPACT_UNKNOWN,   /* no traffic is measured */
    IMPACT_UNCHANGED, /* neither share nor rules are touched */
    IMPACT_REPLAYED,  /* as many as of the recorded requests */
    IMPACT_MEASURED,  /* who is in now, in the measure of the shares */
    IMPACT_BY_SHARE   /* nobody is in yet: the share of all, at most */
};
const char *impact_basis_word(enum impact_basis basis);
struct impact_release {
    const char *name; /* of a model */
    bool was, is;     /* among the documents before, after */
    uint32_t share_before, share_after;
    enum impact_basis basis;
    double now, then; /* entrance requests a second in it; < 0: not known */
};
enum impact_verdict { IMPACT_NO_FIGURE, IMPACT_NO_CAPACITY, IMPACT_FITS,
                      IMPACT_IS_NEAR, IMPACT_IS_OVER };
const char *impact_verdict_word(enum impact_verdict verdict);
struct impact_version {
    const char *service, *version;
    bool baseline;    /* of its service */
    bool touched;     /* a release that changes leads to it or away */
    double now, then; /* requests a second; < 0: not known */
    uint64_t capacity; /* 0: not declared */
    enum impact_verdict verdict;
};
/* A service whose calls do not grow with the share alone. */
enum impact_kind { IMPACT_MORE, IMPACT_LESS, IMPACT_ONLY_NEW, IMPACT_ONLY_OLD };
const char *impact_kind_word(enum impact_kind kind);
struct impact_call {
    char arm[GRAY_NAME_MAX + 1];
    const char *service, *version; /* that would answer */
    enum impact_kind kind;
    double old_ratio, new_ratio; /* calls an entrance request */
    double linear, then; /* requests a second of the arm: by the old ratio, and
                            by its own */
};
struct impact {
    bool measured;
    double seconds, entrance; /* of the traffic; its entrance requests/s */
    uint64_t entered;
    struct impact_release *releases;
    size_t release_count;
    struct impact_version *versions;
    size_t version_count;
    struct impact_call *calls;
    size_t call_count;
    enum impact_verdict worst;
};
/* Borrows both models for as long as *ret_impact lives. 0, or -ENOMEM. */
int impact_predict(const struct impact_question *question,
                   struct impact *ret_impact);
void impact_free(struct impact *impact);

/* ---- how it is told (report.c) ---------------------------------------------------- */

/* "Impact" of schemas.json; `replay` NULL: null. New reference. */
json_t *impact_json(const struct impact *impact,
                    const struct impact_replay *replay);
/* [{"code","release","sentence"}]: what it means for requests without a unit,
 * and for cookies. New reference. */
json_t *impact_notes(const struct gray_model *model);
/* Gate 6: more than a version bears is an error where the change leads more to
 * it, unless `allowed`; what comes near is a warning. */
void impact_findings(const struct impact *impact, bool allowed,
                     struct gray_findings *findings);

#endif
