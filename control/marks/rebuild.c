/* SPDX-License-Identifier: Apache-2.0
 * rebuild.c - tables from the journal, and whether it can be believed at all.
 *
 * Why: a table that is filled by halves would say ABSENT of a unit that is in,
 * so it is REBUILDING, and every look-up UNKNOWN, until the last record was
 * read.  It is read once for all scopes that need it, from the first record to
 * the last, each put over the one before; by a child, for what LMDB maps may be
 * damaged anywhere.  A damaged record whose key or unit holds makes that unit
 * HOLD; one of which nothing holds, or too many, and the tables are BROKEN:
 * UNKNOWN until a person has put the journal right.
 * Read next: contain.h, record.h, scopes.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "control/marks/contain.h"
#include "control/marks/internal.h"

#define AHEAD 32u /* records between asking memory for a slot and using it */
#define HELD_MOST 1000u
#define HELD_SHARE 100u /* and one record in so many */
#define CHECKED_RECORDS 4096u /* at the end of the log, at every start */

struct result { /* in memory that the child shares with us */
    uint64_t records, held, lost;
    struct gray_problem problem;
    char code[32];
};
struct rebuild {
    struct contained child;
    struct result *result;
    struct scope **scopes; /* those of this pass */
    size_t count;
};

/* ---- in the child: filling ------------------------------------------------------ */

struct put {
    const struct scope *scope;
    struct gray_mark_key key;
    uint64_t value;
};
struct filling {
    struct marks *marks;
    struct result *result;
    const struct scope *last; /* records of a scope follow each other */
    struct put ahead[AHEAD];
    uint64_t at; /* records put in `ahead` so far */
};

/* Nobody else writes there: what comes later is true. */
static int slot_put(const struct put *put)
{
    const struct gray_mark_table *table = &put->scope->marks.table;
    uint64_t *slot;

    if (runtime_mark_claim(table, put->key, gray_mark_table_room(table),
                           &slot) != MARK_HERE) {
        return -ENOSPC;
    }
    __atomic_store_n(mark_slot_value(table, slot), put->value,
                     __ATOMIC_RELEASE);
    return 0;
}

static const struct scope *scope_of(struct filling *filling, uint64_t number)
{
    if (filling->last == NULL || filling->last->scope != number) {
        filling->last = scope_find(filling->marks, number);
    }
    return filling->last != NULL && filling->last->rebuild ? filling->last
                                                           : NULL;
}

static int put_later(struct filling *filling, const struct scope *scope,
                     struct gray_mark_key key, uint64_t value)
{
    struct put *place = &filling->ahead[filling->at++ % AHEAD];
    int error = filling->at > AHEAD ? slot_put(place) : 0;

    *place = (struct put){scope, key, value};
    gray_mark_prefetch(&scope->marks, key);
    return error;
}

static int put_rest(struct filling *filling)
{
    uint64_t count = filling->at < AHEAD ? filling->at : AHEAD;
    int error = 0;

    for (uint64_t i = filling->at - count; i < filling->at && error == 0;
         i++) {
        error = slot_put(&filling->ahead[i % AHEAD]);
    }
    return error;
}

static int fill_visit(void *context, uint64_t sequence,
                      const struct record *record, enum record_belief belief)
{
    struct filling *filling = context;
    const struct scope *scope = scope_of(filling, record->head.scope);
    struct gray_mark_key key = {{record->head.key[0], record->head.key[1]}};
    uint64_t value = record->head.value;

    (void)sequence;
    filling->result->records++;
    if (belief == RECORD_LOST) {
        filling->result->lost++;
        return 0;
    }
    if (scope == NULL) {
        return 0;
    }
    if (belief != RECORD_GOOD) {
        filling->result->held++;
        value = GRAY_SLOT_HOLD;
        if (belief == RECORD_BY_UNIT) {
            key = gray_mark_key(scope->marks.table.file, record->head.space,
                                record->unit);
        }
    }
    return put_later(filling, scope, key, value);
}

static void say(struct result *result, const struct gray_problem *problem)
{
    result->problem = *problem;
    snprintf(result->code, sizeof(result->code), "%.31s",
             problem->code != NULL ? problem->code : "marks-corrupt");
    result->problem.code = NULL; /* our copy is where the parent can read it */
}

static int fill_run(void *context, int out)
{
    struct marks *marks = context;
    struct result *result = marks->rebuild->result;
    struct filling filling = {.marks = marks, .result = result};
    struct journal journal = {.lock_fd = -1};
    struct gray_problem problem = {NULL, "", 0};
    int error = journal_reader_open(&journal, marks->state, marks->map_size,
                                    &problem);

    (void)out;
    error = error != 0 ? error
                       : journal_records(&journal, 1, false, fill_visit,
                                         &filling, &problem);
    if (error == 0) {
        error = put_rest(&filling);
    }
    if (error == -ENOSPC && problem.code == NULL) {
        runtime_problem_set(&problem, ENOSPC, "table-full",
                            "A mark table has no room for its journal.");
    }
    say(result, &problem);
    journal_close(&journal);
    return error == 0 ? 0 : 1;
}

/* ---- passes ---------------------------------------------------------------------- */

static bool begin(struct marks *marks)
{
    struct rebuild *rebuild = calloc(1, sizeof(*rebuild));
    struct gray_problem problem = {NULL, "", 0};
    void *shared = mmap(NULL, sizeof(struct result), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (rebuild != NULL) {
        rebuild->scopes = calloc(marks->scope_count + 1,
                                 sizeof(*rebuild->scopes));
    }
    if (rebuild == NULL || rebuild->scopes == NULL || shared == MAP_FAILED) {
        goto failed; /* at the next round */
    }
    rebuild->result = shared;
    for (size_t i = 0; i < 2 * MARKS_SCOPES_MAX; i++) {
        if (marks->scopes[i] != NULL && marks->scopes[i]->rebuild) {
            rebuild->scopes[rebuild->count++] = marks->scopes[i];
        }
    }
    marks->rebuild = rebuild;
    if (contained_start(&rebuild->child, fill_run, marks, &problem) == 0) {
        return true;
    }
    marks->rebuild = NULL;
failed:
    if (shared != MAP_FAILED) {
        munmap(shared, sizeof(struct result));
    }
    if (rebuild != NULL) {
        free(rebuild->scopes);
    }
    free(rebuild);
    return false;
}

static void forget(struct marks *marks)
{
    struct rebuild *rebuild = marks->rebuild;

    contained_end(&rebuild->child);
    munmap(rebuild->result, sizeof(*rebuild->result));
    free(rebuild->scopes);
    free(rebuild);
    marks->rebuild = NULL;
}

static bool too_many(const struct result *result)
{
    return result->lost > 0 ||
           (result->held > HELD_MOST &&
            result->held > result->records / HELD_SHARE);
}

/* Each scope of the pass is READY, or BROKEN. */
static void finish(struct marks *marks, int found,
                   const struct gray_problem *problem)
{
    const struct rebuild *rebuild = marks->rebuild;
    const struct result *result = rebuild->result;
    bool good = problem->code == NULL && found == 0 && !too_many(result);

    for (size_t i = 0; i < rebuild->count; i++) {
        struct scope *scope = rebuild->scopes[i];

        scope->rebuild = false;
        gray_mark_table_state_set(&scope->marks.table,
                                  good ? GRAY_TABLE_READY
                                       : GRAY_TABLE_BROKEN);
    }
    if (good) {
        grayd_log(result->held > 0 ? LOG_LEVEL_ERROR : LOG_LEVEL_INFO,
                  "marks-rebuilt",
                  "%zu mark tables were read from %llu records of the "
                  "journal; %llu of them are damaged, their units are held",
                  rebuild->count, (unsigned long long)result->records,
                  (unsigned long long)result->held);
        return;
    }
    grayd_log(LOG_LEVEL_ERROR, "marks-broken",
              "%zu releases do not know their marks: %s (%llu of %llu records "
              "are damaged, %llu of them beyond telling whose)",
              rebuild->count,
              problem->code != NULL ? problem->sentence
              : found != 0          ? result->problem.sentence
                                    : "too much of the journal is damaged",
              (unsigned long long)(result->held + result->lost),
              (unsigned long long)result->records,
              (unsigned long long)result->lost);
}

bool rebuild_step(struct marks *marks)
{
    struct gray_problem problem = {NULL, "", 0};
    bool wanted = false;
    int found = 0;

    if (marks->rebuild == NULL) {
        for (size_t i = 0; i < 2 * MARKS_SCOPES_MAX && !wanted; i++) {
            wanted = marks->scopes[i] != NULL && marks->scopes[i]->rebuild;
        }
        return wanted && begin(marks);
    }
    if (contained_ended(&marks->rebuild->child, &found, &problem) == 1) {
        return true;
    }
    finish(marks, found, &problem);
    forget(marks);
    return false;
}

void rebuild_end(struct marks *marks)
{
    if (marks->rebuild != NULL) {
        for (size_t i = 0; i < marks->rebuild->count; i++) {
            marks->rebuild->scopes[i]->rebuild = false;
        }
        forget(marks);
    }
}

/* ---- at the start -------------------------------------------------------------------- */

struct check {
    struct marks *marks;
    uint64_t left;
};

static int see_scope(void *context, const struct journal_scope *scope)
{
    (void)context;
    (void)scope;
    return 0;
}

static int see_ring(void *context, const struct journal_ring *ring)
{
    (void)context;
    (void)ring;
    return 0;
}

static int see_record(void *context, uint64_t sequence,
                      const struct record *record, enum record_belief belief)
{
    struct check *check = context;

    (void)sequence;
    (void)record;
    return belief != RECORD_GOOD ? -EILSEQ : --check->left == 0 ? 1 : 0;
}

static int check_run(void *context, int out)
{
    struct check *check = context;
    struct journal journal = {.lock_fd = -1};
    int error = journal_reader_open(&journal, check->marks->state,
                                    check->marks->map_size, NULL);

    (void)out;
    if (error == 0) {
        error = journal_scopes(&journal, see_scope, NULL, NULL);
    }
    if (error == 0) {
        error = journal_rings(&journal, see_ring, NULL, NULL);
    }
    if (error == 0) {
        error = journal_records(&journal, 0, true, see_record, check, NULL);
    }
    return error == -EILSEQ ? 1 : 0;
}

int rebuild_check(struct marks *marks, struct gray_problem *ret_problem)
{
    struct check check = {marks, CHECKED_RECORDS};
    struct contained child = {0};
    char *text = NULL;
    int error;

    if (!journal_exists(marks->state)) {
        return 0;
    }
    error = contained_start(&child, check_run, &check, ret_problem);
    if (error == 0) {
        error = contained_text(&child, 4096, &text, ret_problem);
    }
    free(text);
    return error <= 0 ? error
                      : runtime_problem_set(
                            ret_problem, EILSEQ, "marks-corrupt",
                            "The end of the journal of marks is damaged.");
}
