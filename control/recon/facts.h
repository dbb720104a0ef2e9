/* SPDX-License-Identifier: Apache-2.0
 * facts.h - what is known of one unit, as it lies in the spool and in memory.
 *
 * Why: every source speaks its own language; whoever judges wants marks,
 * decisions and rows.  Packing and unpacking stand side by side, and nothing
 * in a fact is believed that does not fit into it.
 * Read next: facts.c, judge.h.
 */
#ifndef GRAYD_RECON_FACTS_H
#define GRAYD_RECON_FACTS_H

#include "control/checks/check.h"

#define FACTS_MARKS_MAX 64u     /* of one unit; the newest are kept */
#define FACTS_DECISIONS_MAX 64u
#define FACTS_ROWS_MAX 1000u    /* of one unit and side; above: not judged */
#define FACTS_VALUES_MAX 256u   /* of one row */

/* Order of the spool: what the others hang on comes first. */
enum fact_side { FACT_MARK, FACT_DECISION, FACT_ROW }; /* + enum check_side */

struct fact_mark {
    uint64_t sequence, revision;
    int64_t at;
    uint32_t reader;   /* as in a record of the journal */
    uint16_t reason;   /* enum gray_reason; 0: none is known */
    uint8_t state;     /* enum gray_slot_state */
    uint8_t kind;      /* enum record_kind */
    uint8_t attempt, variant;
    uint8_t by_hand;   /* somebody's name stands with it */
    uint8_t damaged;
    uint8_t by_row;    /* it lies in the row itself: row_mark.h */
    uint8_t host;      /* another one told it */
};
struct fact_decision {
    uint64_t revision;
    int64_t at;
    uint8_t in, pad[7];
};
struct fact_row {
    struct gray_str key;
    int64_t created; /* ms; CHECK_NEVER: not known */
    bool inside;     /* the window, that is: to be judged */
    struct gray_str *values; /* data NULL: none */
    unsigned value_count;
};
struct fact_rows {
    struct fact_row *items;
    size_t count;
    bool too_many;
};
struct facts {
    struct gray_str unit;
    struct fact_mark marks[FACTS_MARKS_MAX]; /* oldest first */
    size_t mark_count;
    struct fact_decision decisions[FACTS_DECISIONS_MAX];
    size_t decision_count;
    struct fact_rows rows[SIDE_COUNT];
    /* The memory of all that: facts_clear() keeps it for the next unit. */
    struct fact_row *room[SIDE_COUNT];
    char *bytes;
    size_t used, size;
    struct gray_str *values;
    size_t value_used, value_room;
    bool failed; /* no memory, or a fact that is none */
};

/* Bytes of a packed row, or 0: it has no room in `size`. */
size_t fact_row_pack(const struct fact_row *row, char *buffer, size_t size);
/* Adds what was packed; copies. False: facts->failed. */
bool facts_add(struct facts *facts, int side, const void *data,
               size_t length);
/* Begins another unit; `unit` is copied. */
bool facts_begin(struct facts *facts, struct gray_str unit);
void facts_free(struct facts *facts);

#endif
