/* SPDX-License-Identifier: Apache-2.0
 * replay.c - every mark that is IN, asked by the policies of a plan.
 *
 * Why: the table knows who is in and the journal by which name, so both are
 * read, record by record, in a child (contain.h) that may die of a damaged page
 * and that waits for nobody.  Its time is bounded; what it could not look at is
 * said, and never guessed.
 * Read next: ../../policy/standing.h, look.c.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/hex.h"
#include "control/marks/contain.h"
#include "control/marks/internal.h"
#include "policy/standing.h"

#define REPLAY_CLOCK 1024u /* records between two looks at the clock */
#define TEXT_SIZE (2 * sizeof(struct gray_tally) + 2 * sizeof(uint64_t) + 1)

enum { WHOLE, BROKEN, OVER };

struct replay {
    struct marks *marks;
    struct scope *scope;
    struct gray_standing *standing;
    int64_t until;
    uint32_t records;
    struct {
        uint64_t in; /* slots of the table, before the journal was read */
        struct gray_tally tally;
        bool incomplete; /* that came up on the way, which nobody else sees */
    } found;
};

/* ---- in the child ----------------------------------------------------------------- */

static int count_slot(void *context, struct gray_mark_key key, uint64_t value)
{
    struct replay *replay = context;

    (void)key;
    replay->found.in += gray_slot_state(value) == GRAY_SLOT_IN &&
                        (value & GRAY_SLOT_DURABLE) != 0;
    return 0;
}

static int visit_record(void *context, uint64_t sequence,
                        const struct record *record, enum record_belief belief)
{
    struct replay *replay = context;
    const struct record_head *head = &record->head;
    struct gray_mark_key key = {{head->key[0], head->key[1]}};
    struct gray_standing_mark mark = {.unit = record->unit,
                                      .entrance = head->entrance,
                                      .variant = gray_slot_variant(head->value),
                                      .space = head->space};
    uint64_t number;
    char text[24];

    (void)sequence;
    if (++replay->records % REPLAY_CLOCK == 0 &&
        replay->marks->now_ms() > replay->until) {
        return OVER;
    }
    if (head->scope != replay->scope->scope || belief != RECORD_GOOD ||
        gray_slot_state(head->value) != GRAY_SLOT_IN ||
        scope_peek(replay->scope, key) != head->value) {
        return 0;
    }
    if (mark.unit.length == 0) { /* its text was lost; a number is its key */
        if (gray_mark_key_number(key, &number) != 0) {
            return 0;
        }
        snprintf(text, sizeof(text), "%llu", (unsigned long long)number);
        mark.unit = (struct gray_str){text, (uint32_t)strlen(text)};
    }
    gray_standing_add(replay->standing, &mark, &replay->found.tally);
    return 0;
}

static int replay_run(void *context, int out)
{
    struct replay *replay = context;
    struct journal journal = {.lock_fd = -1};
    char text[2 * sizeof(replay->found) + 1];
    int result = journal_reader_open(&journal, replay->marks->state,
                                     replay->marks->map_size, NULL);

    gray_marks_each(&replay->scope->marks, count_slot, replay);
    if (result == 0) {
        result = journal_records(&journal, 1, false, visit_record, replay,
                                 NULL);
    }
    if (result < 0) {
        return BROKEN;
    }
    replay->found.incomplete =
        gray_standing_incomplete(replay->standing) != NULL;
    hex_write((const uint8_t *)&replay->found, sizeof(replay->found), text);
    for (size_t at = 0; at < sizeof(text) - 1;) {
        ssize_t wrote = write(out, text + at, sizeof(text) - 1 - at);

        if (wrote <= 0) {
            return BROKEN;
        }
        at += (size_t)wrote;
    }
    return result;
}

/* ---- what came of it --------------------------------------------------------------- */

static enum gray_counted judge(const struct replay *replay, int result,
                               char ret_why[160])
{
    const struct gray_tally *tally = &replay->found.tally;

    if (result == OVER) {
        snprintf(ret_why, 160, "the time for it was over after %llu marks",
                 (unsigned long long)tally->marks);
        return GRAY_COUNTED_AT_LEAST;
    }
    if (replay->found.incomplete) {
        snprintf(ret_why, 160, "not every sort of request could be asked");
        return GRAY_COUNTED_AT_LEAST;
    }
    if (!scope_ready(replay->scope)) {
        snprintf(ret_why, 160, "its table is being rebuilt");
        return GRAY_COUNTED_AT_LEAST;
    }
    if (tally->marks < replay->found.in) {
        snprintf(ret_why, 160, "the names of %llu units are not known",
                 (unsigned long long)(replay->found.in - tally->marks));
        return GRAY_COUNTED_AT_LEAST;
    }
    return GRAY_COUNTED_EXACT;
}

enum gray_counted marks_replay(struct marks *marks, uint64_t scope,
                               struct gray_standing *standing,
                               int64_t bound_ms, struct gray_tally *ret_tally,
                               char ret_why[160])
{
    struct replay replay = {.marks = marks, .standing = standing,
                            .until = marks->now_ms() + bound_ms};
    struct gray_problem problem = {0};
    struct contained child = {0};
    char *text = NULL;
    int result;

    replay.scope = marks_hold(marks, scope, &problem);
    if (replay.scope == NULL) {
        snprintf(ret_why, 160, "%s", problem.sentence);
        return GRAY_COUNTED_NONE;
    }
    /* Begins under `maps`: the child has what is mapped now. */
    result = contained_start(&child, replay_run, &replay, &problem);
    pthread_rwlock_unlock(&marks->maps);
    if (result == 0) {
        result = contained_text(&child, TEXT_SIZE + 64, &text, &problem);
    }
    if (result == WHOLE || result == OVER) {
        result = strlen(text) == 2 * sizeof(replay.found) &&
                         hex_read(text, (uint8_t *)&replay.found,
                                  sizeof(replay.found)) == 0
                     ? result
                     : BROKEN;
    }
    free(text);
    if (result != WHOLE && result != OVER) {
        snprintf(ret_why, 160, "%s",
                 result < 0 ? problem.sentence
                            : "the journal of marks cannot be read");
        return GRAY_COUNTED_NONE;
    }
    *ret_tally = replay.found.tally;
    return judge(&replay, result, ret_why);
}
