/* SPDX-License-Identifier: Apache-2.0
 * run_parts.h - what reading, judging and reporting of a run share.
 *
 * Why: each is a file; this is the run that they are parts of.
 * Read next: run.c, read_rows.c, read_marks.c, report.c.
 */
#ifndef GRAYD_RECON_RUN_PARTS_H
#define GRAYD_RECON_RUN_PARTS_H

#include "control/recon/judge.h"
#include "control/recon/run.h"
#include "control/recon/source.h"
#include "control/recon/spool.h"

#define RUN_BLOOM_BYTES (16u << 20)

/* Where a side's columns are, by number in its rows; -1: there is none. */
struct run_columns {
    int keys[CHECK_KEYS_MAX], unit, created, corrected;
    int values[FACTS_VALUES_MAX];
    unsigned value_count;
    unsigned count; /* of all columns */
    bool covered[SOURCE_COLUMNS_MAX], number[SOURCE_COLUMNS_MAX];
    char names[SOURCE_COLUMNS_MAX][64];
};
struct run {
    const struct check *check;
    const struct run_options *options; /* `window` */
    struct run_options window;
    struct store_reader *reader;
    struct rules *rules;
    struct spool *spool;
    struct source *sources[16];
    size_t source_count;
    struct run_columns columns[SIDE_COUNT];
    uint8_t *bloom;      /* units that are looked at; NULL: all */
    bool revoked;        /* somebody was taken back in the time judged */
    struct judge judge;
    struct bins bins;
    struct gray_problem *problem;
    uint64_t rows[SIDE_COUNT], marks, decisions, bad_lines;
    uint64_t nameless, bad_rows;
    json_t *not_judged;  /* {"R2": {why: count}} */
    json_t *differences; /* named ones */
    bool failed;         /* no memory */
};
static inline bool run_is_whole(const struct run *run)
{
    return run->options->from == CHECK_NEVER;
}
static inline bool run_is_inside(const struct run *run, int64_t at)
{
    return at >= run->options->from && at < run->options->until;
}
/* The window with the overlap around it. */
int64_t run_early(const struct run *run);
int64_t run_late(const struct run *run);
void run_bloom_add(struct run *run, struct gray_str unit);
/* Whether the unit is to be looked at. */
bool run_wants(const struct run *run, struct gray_str unit);
int run_put(struct run *run, struct gray_str unit, int side,
            const void *data, size_t length);

int run_read_rows(struct run *run, enum check_side side); /* read_rows.c */
int run_read_marks(struct run *run);                      /* read_marks.c */
/* Marks that other hosts told; `first`: only which units (read_told.c). And
 * lines of grayd's index of decision logs. */
int run_read_hosts(struct run *run, bool first);
int run_read_index(struct run *run);
/* What the judge says, kept; and the report of it all (report.c). */
void run_difference(void *context, const struct difference *difference);
void run_not_judged(void *context, enum recon_rule rule, const char *why);
void run_judge_bins(struct run *run);
json_t *run_report(struct run *run);

#endif
