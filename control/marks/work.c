/* SPDX-License-Identifier: Apache-2.0
 * work.c - marks taken back in the background: revoke by cohort.
 *
 * Why: an abort of ten million marks must not stop one admission, so it is
 * done a slice a batch, in the order of the journal, where the units' own
 * texts are: a share is of texts.  A record is looked at where its slot still
 * has its very value, so each mark is met once, by its newest record.
 * Read next: put.c, marks.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/marks/internal.h"

#define SLICE_RECORDS 512u /* revoked with one batch */
#define SLICE_LOOKS 32768u /* records looked at for it */
#define SALT_MAX 255u

struct work {
    struct work *next;
    uint64_t id;
    struct scope *scope;
    enum marks_cohort cohort;
    uint32_t share, attempt;
    uint8_t space;
    uint64_t count;  /* NEWEST: still to be revoked */
    uint64_t cursor; /* sequence, or place in `units` and spaces */
    _Atomic uint64_t left;
    json_t *units;
    char salt[SALT_MAX + 1], actor[RECORD_WORDS_MAX + 1];
    char reason[RECORD_REASON_MAX + 1];
    /* of the slice under way */
    struct marks *marks;
    uint32_t added, looked;
};

/* ---- one mark ------------------------------------------------------------------ */

static struct gray_str str(const char *text)
{
    return (struct gray_str){text, (uint32_t)strlen(text)};
}

/* False: not in this batch any more. */
static bool revoke_one(struct work *work, const struct record *of,
                       uint64_t value)
{
    struct marks *marks = work->marks;
    struct gray_mark_key key = {{of->head.key[0], of->head.key[1]}};
    struct record record = {
        .head = of->head,
        .unit = of->unit,
        .actor = str(work->actor),
        .reason = str(work->reason),
    };
    uint64_t attempt = gray_slot_attempt(value);

    if (work->added == SLICE_RECORDS ||
        batch_has(marks->batch, work->scope, key) ||
        !batch_has_room(marks->batch, record.unit.length +
                                          record.actor.length +
                                          record.reason.length)) {
        return false;
    }
    attempt = work->attempt > attempt ? work->attempt : attempt;
    record.head.value = slot_with(value, GRAY_SLOT_REVOKED, true);
    record.head.value &= ~(UINT64_C(255) << GRAY_SLOT_ATTEMPT_SHIFT);
    record.head.value |= (attempt & 255) << GRAY_SLOT_ATTEMPT_SHIFT;
    record.head.kind = RECORD_REVOKE;
    record.head.at = marks->now_ms();
    record.head.revision = (uint32_t)marks->revision;
    record.head.reader = RECORD_READER_NONE;
    record.head.reason_code = 0;
    batch_add(marks, work->scope, &record, value, true);
    work->added++;
    return true;
}

static bool in_cohort(const struct work *work, const struct record *record)
{
    char digits[24];
    struct gray_mark_key key = {{record->head.key[0], record->head.key[1]}};
    struct gray_str unit = record->unit;
    uint64_t number;

    if (work->cohort != MARKS_OLDER_BUCKETS) {
        return true;
    }
    if (work->space != 0 && record->head.space != work->space) {
        return false; /* of another dimension, which stands at its own share */
    }
    if (unit.length == 0) { /* its text is gone; a number's key has it */
        if (record->head.space != 0 ||
            gray_mark_key_number(key, &number) != 0) {
            return false;
        }
        unit = (struct gray_str){
            digits, (uint32_t)snprintf(digits, sizeof(digits), "%llu",
                                       (unsigned long long)number)};
    }
    return gray_bucket(str(work->salt), unit) >= work->share;
}

/* A record that its unit's business is over says again what an earlier one
 * said, and not when the unit came in. */
static bool is_again(const struct work *work, const struct record *record,
                     struct gray_mark_key key)
{
    return record->head.kind == RECORD_SETTLE &&
           (work->cohort == MARKS_NEWEST ||
            batch_has(work->marks->batch, work->scope, key));
}

static int revoke_visit(void *context, uint64_t sequence,
                        const struct record *record, enum record_belief belief)
{
    struct work *work = context;
    struct gray_mark_key key = {{record->head.key[0], record->head.key[1]}};
    uint64_t value;

    if (work->looked++ == SLICE_LOOKS) {
        return 1;
    }
    work->cursor = sequence;
    if (belief != RECORD_GOOD || record->head.scope != work->scope->scope ||
        gray_slot_state(record->head.value) != GRAY_SLOT_IN) {
        return 0;
    }
    value = scope_peek(work->scope, key);
    if (!slot_is_of(value, record->head.value) || is_again(work, record, key) ||
        !in_cohort(work, record)) {
        return 0;
    }
    if (!revoke_one(work, record, value)) {
        return 1; /* this one is the next slice's first */
    }
    if (work->cohort == MARKS_NEWEST && --work->count == 0) {
        return 2;
    }
    return 0;
}

/* ---- cohorts -------------------------------------------------------------------- */

/* True: the work is done. */
static bool slice_journal(struct work *work)
{
    struct gray_problem problem = {NULL, "", 0};
    struct journal *journal = &work->marks->journal;
    bool backward = work->cohort == MARKS_NEWEST;
    int result;

    if (journal->last == 0 || (backward && work->count == 0)) {
        return true;
    }
    if (work->cursor == 0) {
        work->cursor = backward ? journal->last : 1;
    }
    result = journal_records(journal, work->cursor, backward, revoke_visit,
                             work, &problem);
    atomic_store(&work->left, backward ? work->count
                                       : journal->last + 1 - work->cursor);
    if (result < 0) {
        grayd_log(LOG_LEVEL_ERROR, problem.code,
                  "Not all marks could be taken back: %s", problem.sentence);
    }
    return result != 1;
}

static bool slice_listed(struct work *work)
{
    size_t all = json_array_size(work->units) * GRAY_STAGES_MAX;
    const struct gray_marks_file *file = work->scope->marks.table.file;

    for (; work->cursor < all; work->cursor++) {
        uint8_t space = (uint8_t)(work->cursor % GRAY_STAGES_MAX);
        struct gray_str unit = str(json_string_value(json_array_get(
            work->units, work->cursor / GRAY_STAGES_MAX)));
        struct gray_mark_key key = gray_mark_key(file, space, unit);
        uint64_t value = scope_peek(work->scope, key);
        struct record record = {
            .head = {
                .scope = work->scope->scope,
                .key = {key.k[0], key.k[1]},
                .space = space,
            },
            .unit = unit,
        };

        if (gray_slot_state(value) != GRAY_SLOT_IN) {
            continue;
        }
        /* One whose record is in a ring still is taken back before it comes. */
        if (!revoke_one(work, &record, value)) {
            break;
        }
    }
    atomic_store(&work->left, (all - work->cursor) / GRAY_STAGES_MAX);
    return work->cursor == all;
}

/* ---- the queue -------------------------------------------------------------------- */

static void work_drop(struct work *work)
{
    json_decref(work->units);
    free(work);
}

bool work_fill(struct marks *marks)
{
    struct work *work;
    bool done;

    pthread_mutex_lock(&marks->lock);
    work = marks->work;
    pthread_mutex_unlock(&marks->lock);
    if (work == NULL || !scope_ready(work->scope)) {
        return false;
    }
    work->marks = marks;
    work->added = work->looked = 0;
    done = work->cohort == MARKS_LISTED ? slice_listed(work)
                                        : slice_journal(work);
    if (done && work->added > 0) {
        return true; /* only what is committed is done */
    }
    if (done) {
        pthread_mutex_lock(&marks->lock);
        marks->work = work->next;
        pthread_mutex_unlock(&marks->lock);
        work_drop(work);
    }
    return true;
}

uint64_t work_left(struct marks *marks, uint64_t scope)
{
    uint64_t left = 0;

    pthread_mutex_lock(&marks->lock);
    for (struct work *work = marks->work; work != NULL; work = work->next) {
        if (scope == 0 || work->scope->scope == scope) {
            left += 1 + atomic_load(&work->left);
        }
    }
    pthread_mutex_unlock(&marks->lock);
    return left;
}

void work_free(struct marks *marks)
{
    while (marks->work != NULL) {
        struct work *work = marks->work;

        marks->work = work->next;
        work_drop(work);
    }
}

bool marks_busy(struct marks *marks, uint64_t scope)
{
    return work_left(marks, scope) > 0;
}

static bool fits(const char *text, size_t most)
{
    return text == NULL || strlen(text) <= most;
}

static bool listed_well(const json_t *units)
{
    const json_t *unit;
    size_t i;

    json_array_foreach(units, i, unit) {
        if (!json_is_string(unit) || json_string_length(unit) == 0 ||
            json_string_length(unit) > GRAY_VALUE_MAX) {
            return false;
        }
    }
    return json_is_array(units);
}

static int may_revoke(struct marks *marks, const struct marks_revoke *what,
                      struct gray_problem *ret_problem)
{
    if (scope_find(marks, what->scope) == NULL ||
        scope_find(marks, what->scope)->marks.table.file == NULL) {
        return runtime_problem_set(ret_problem, ENOENT, "no-marks",
                                   "The release keeps no marks here.");
    }
    if (!fits(what->actor, RECORD_WORDS_MAX) ||
        !fits(what->reason, RECORD_REASON_MAX) || !fits(what->salt, SALT_MAX) ||
        (what->cohort == MARKS_OLDER_BUCKETS && what->salt == NULL) ||
        (what->cohort == MARKS_LISTED && !listed_well(what->units))) {
        return runtime_problem_set(ret_problem, EINVAL, "bad-cohort",
                                   "An actor has at most %u bytes, a reason "
                                   "%u, a unit 1 to %u.",
                                   RECORD_WORDS_MAX, RECORD_REASON_MAX,
                                   GRAY_VALUE_MAX);
    }
    return 0;
}

static void copy(char *to, const char *text)
{
    if (text != NULL) {
        memcpy(to, text, strlen(text) + 1);
    }
}

int marks_revoke(struct marks *marks, const struct marks_revoke *what,
                 uint64_t *ret_id, struct gray_problem *ret_problem)
{
    struct work *work = calloc(1, sizeof(*work)), **end = &marks->work;
    uint64_t one = 1;
    int error;

    pthread_rwlock_rdlock(&marks->maps);
    error = may_revoke(marks, what, ret_problem);
    if (error == 0 && work != NULL) {
        work->scope = scope_find(marks, what->scope);
    }
    pthread_rwlock_unlock(&marks->maps);
    if (error != 0 || work == NULL) {
        free(work);
        return error != 0 ? error
                          : runtime_problem_set(ret_problem, ENOMEM, "memory",
                                                "Out of memory.");
    }
    work->cohort = what->cohort;
    work->share = what->share;
    work->space = what->space;
    work->count = what->count;
    work->attempt = what->attempt;
    work->units = json_deep_copy(what->units);
    copy(work->salt, what->salt);
    copy(work->actor, what->actor);
    copy(work->reason, what->reason);
    pthread_mutex_lock(&marks->lock);
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = work;
    *ret_id = work->id = ++marks->work_last;
    if (write(marks->event_fd, &one, sizeof(one)) < 0) {
        one = 0; /* it never sleeps long */
    }
    pthread_mutex_unlock(&marks->lock);
    return 0;
}
