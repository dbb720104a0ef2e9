/* SPDX-License-Identifier: Apache-2.0
 * read_marks.c - marks of a release, from the journal into the spool.
 *
 * Why: the journal is what was told and is durable.  All records of a unit
 * count, whenever they were made, so units of the time that is judged are found
 * first and their records put after that: two passes, for a pass is a sweep of
 * the disk.  What is void was told nobody; a damaged record holds its unit.
 * Read next: ../marks/journal.h, judge.c (what the records mean together).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "control/marks/journal.h"
#include "control/recon/run_parts.h"

struct reading {
    struct run *run;
    uint64_t scope;
    uint8_t space;
    bool first; /* pass: units are found */
};

/* The unit of a record; false: its text was lost. */
static bool unit_of(const struct record *record, char buffer[24],
                    struct gray_str *ret_unit)
{
    struct gray_mark_key key = {{record->head.key[0], record->head.key[1]}};
    uint64_t number;
    int length;

    if (record->unit.length > 0) {
        *ret_unit = record->unit;
        return true;
    }
    if (record->head.space != 0 || gray_mark_key_number(key, &number) != 0) {
        return false;
    }
    length = snprintf(buffer, 24, "%llu", (unsigned long long)number);
    *ret_unit = (struct gray_str){buffer, (uint32_t)length};
    return true;
}

static int put_mark(struct run *run, uint64_t sequence,
                    const struct record *record, bool damaged,
                    struct gray_str unit)
{
    const struct record_head *head = &record->head;
    struct fact_mark mark;

    memset(&mark, 0, sizeof(mark));
    mark.sequence = sequence;
    mark.revision = head->revision;
    mark.at = head->at;
    mark.reader = head->reader;
    mark.reason = head->reason_code;
    mark.state = (uint8_t)gray_slot_state(head->value);
    mark.kind = head->kind;
    mark.attempt = gray_slot_attempt(head->value);
    mark.variant = gray_slot_variant(head->value);
    mark.by_hand = record->actor.length > 0;
    mark.damaged = damaged;
    run->marks++;
    return run_put(run, unit, FACT_MARK, &mark, sizeof(mark));
}

static int visit(void *context, uint64_t sequence,
                 const struct record *record, enum record_belief belief)
{
    struct reading *r = context;
    bool inside = run_is_inside(r->run, record->head.at);
    struct gray_str unit;
    char buffer[24];

    if (belief == RECORD_LOST || record->head.scope != r->scope ||
        (belief != RECORD_BY_KEY && record->head.space != r->space)) {
        return 0;
    }
    if (!unit_of(record, buffer, &unit)) {
        r->run->nameless += inside && !r->first;
        return 0;
    }
    if (r->first) {
        if (inside) {
            run_bloom_add(r->run, unit);
            r->run->revoked |=
                gray_slot_state(record->head.value) == GRAY_SLOT_REVOKED;
        }
        return 0;
    }
    return run_wants(r->run, unit)
               ? put_mark(r->run, sequence, record, belief != RECORD_GOOD,
                          unit)
               : 0;
}

int run_read_marks(struct run *run)
{
    struct reading r = {.run = run,
                        .scope = gray_hash_scope(run->check->release,
                                                 strlen(run->check->release)),
                        .space = rules_space(run->rules),
                        .first = true};
    struct journal journal = {.lock_fd = -1};
    int result;

    if (!run_is_whole(run)) {
        result = run_read_hosts(run, true);
        if (result != 0) {
            return result;
        }
    }
    if (!journal_exists(run->options->state)) {
        return run_read_hosts(run, false); /* nobody was marked here */
    }
    result = journal_reader_open(&journal, run->options->state,
                                 run->options->map_size, run->problem);
    if (result == 0 && !run_is_whole(run)) {
        result = journal_records(&journal, 1, false, visit, &r, run->problem);
    }
    r.first = false;
    if (result == 0) {
        result = journal_records(&journal, 1, false, visit, &r, run->problem);
    }
    journal_close(&journal);
    return result != 0 ? result : run_read_hosts(run, false);
}
