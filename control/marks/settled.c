/* SPDX-License-Identifier: Apache-2.0
 * settled.c - units whose business is over: said by a person, or a program.
 *
 * Why: an entity that began outside stays outside until it is settled, and the
 * old version is needed until the last one is.  Only the business knows when
 * that is, so it is told: the mark stays what it was, for an update that comes
 * after all must be told the truth, and gets one bit that is counted.  Each is
 * a record of the journal with who and why; said again it is nothing.
 * Read next: put.c (marks with an author), settle.c (what a ring says).
 */
#include <errno.h>
#include <string.h>

#include "control/marks/internal.h"

#define NAMED_MAX 1000u

/* What the marks of one unit were found to be, in all spaces that are meant. */
struct found {
    bool looks; /* and changes nothing */
    uint32_t settled, already, out; /* out: settled ones that were outside */
    uint64_t stuck; /* a mark that cannot be settled as it stands; 0: none */
};

/* ---- one unit -------------------------------------------------------------- */

static bool may_be_settled(uint64_t value)
{
    enum gray_slot_state state = gray_slot_state(value);

    return (value & GRAY_SLOT_DURABLE) != 0 &&
           (state == GRAY_SLOT_IN || state == GRAY_SLOT_OUT ||
            state == GRAY_SLOT_REVOKED);
}

/* The mark of one space.  False: the batch has no room. */
static bool settle_mark(struct marks *marks, struct scope *scope,
                        const struct record *of, uint8_t space,
                        struct found *found)
{
    struct gray_mark_key key =
        gray_mark_key(scope->marks.table.file, space, of->unit);
    uint64_t value = scope_peek(scope, key);
    enum gray_slot_state state = gray_slot_state(value);
    struct record record = *of;

    if (state == GRAY_SLOT_EMPTY || state == GRAY_SLOT_VOID) {
        return true;
    }
    if ((value & GRAY_SLOT_SETTLED) != 0 && state != GRAY_SLOT_HOLD) {
        found->already++;
    } else if (!may_be_settled(value)) {
        found->stuck = value;
    } else if (batch_has(marks->batch, scope, key)) {
        found->already++; /* said twice in one report */
    } else if (!found->looks && !batch_has_room(marks->batch, record_size(of))) {
        return false;
    } else {
        record.head.key[0] = key.k[0];
        record.head.key[1] = key.k[1];
        record.head.space = space;
        record.head.value = value | GRAY_SLOT_SETTLED;
        if (!found->looks) {
            batch_add(marks, scope, &record, value, true);
        }
        found->settled++;
        found->out += state == GRAY_SLOT_OUT ? 1 : 0;
    }
    return true;
}

static bool settle_unit(struct marks *marks, struct scope *scope,
                        const struct record *of, uint8_t space,
                        struct found *found)
{
    uint8_t first = space == MARKS_EVERY_SPACE ? 0 : space;
    uint8_t end =
        space == MARKS_EVERY_SPACE ? GRAY_STAGES_MAX : (uint8_t)(space + 1);
    bool room = true;

    for (uint8_t i = first; i < end && room; i++) {
        room = settle_mark(marks, scope, of, i, found);
    }
    return room;
}

static struct record record_of(const struct marks *marks,
                               const struct scope *scope, struct gray_str unit)
{
    return (struct record){
        .head = {
            .scope = scope->scope,
            .at = marks->now_ms(),
            .revision = (uint32_t)marks->revision,
            .reader = RECORD_READER_NONE,
            .kind = RECORD_SETTLE,
            .stage = GRAY_STAGE_NONE,
        },
        .unit = unit,
    };
}

/* ---- by a program, through its ring --------------------------------------------- */

bool settled_heard(struct marks *marks, struct scope *scope, uint32_t reader,
                   const struct gray_ring_record *r, struct gray_str unit)
{
    struct record record = record_of(marks, scope, unit);
    struct found found = {.looks = false};

    record.head.at = r->now;
    record.head.reader = reader;
    if (!settle_unit(marks, scope, &record, r->space, &found)) {
        return false; /* with the next batch */
    }
    if (found.stuck != 0 && gray_slot_state(found.stuck) != GRAY_SLOT_HOLD) {
        return false; /* its admission is on its way to the disk */
    }
    if (found.settled == 0 && found.already == 0) {
        atomic_fetch_add(&scope->counts.nobody, 1);
    }
    return true;
}

/* ---- by a person ------------------------------------------------------------------ */

struct settle_call {
    const struct marks_unit *units;
    size_t count;
    bool looks;
    struct gray_str actor, reason;
    json_int_t settled, already, unknown, refused, out;
    json_t *unknown_units, *refused_units;
};

static void tell(struct settle_call *call, const char *unit,
                 const struct found *found)
{
    call->out += found->out;
    if (found->stuck != 0) {
        call->refused++;
        if (json_array_size(call->refused_units) < NAMED_MAX) {
            json_array_append_new(
                call->refused_units,
                json_pack("{s:s,s:s}", "unit", unit, "state",
                          gray_slot_state(found->stuck) == GRAY_SLOT_HOLD
                              ? "hold"
                              : "pending"));
        }
    } else if (found->settled > 0) {
        call->settled++;
    } else if (found->already > 0) {
        call->already++;
    } else {
        call->unknown++;
        if (json_array_size(call->unknown_units) < NAMED_MAX) {
            json_array_append_new(call->unknown_units, json_string(unit));
        }
    }
}

static int run_settle(struct marks *marks, uint64_t number, const void *context,
                      struct gray_problem *ret_problem)
{
    struct settle_call *call = (struct settle_call *)(uintptr_t)context;
    struct scope *scope = scope_find(marks, number);
    int error;

    if (scope == NULL || !scope_ready(scope)) {
        return runtime_problem_set(ret_problem, scope == NULL ? ENOENT : EAGAIN,
                                   "no-marks",
                                   "The release keeps no marks here, or they "
                                   "are being read.");
    }
    /* What was told before now is durable, and may be settled. */
    error = marks_drain_all(marks, ret_problem);
    for (size_t i = 0; i < call->count && error == 0; i++) {
        const struct marks_unit *one = &call->units[i];
        struct gray_str unit = {one->unit, (uint32_t)strlen(one->unit)};
        struct record record = record_of(marks, scope, unit);
        struct found found = {.looks = call->looks};

        record.actor = call->actor;
        record.reason = call->reason;
        while (error == 0 &&
               !settle_unit(marks, scope, &record, one->space, &found)) {
            error = marks_drain_all(marks, ret_problem);
        }
        tell(call, one->unit, &found);
    }
    return error != 0 ? error : marks_drain_all(marks, ret_problem);
}

static int may_settle(const struct marks_unit *units, size_t count,
                      const char *actor, const char *reason,
                      struct gray_problem *ret_problem)
{
    bool good = strlen(actor) <= RECORD_WORDS_MAX &&
                strlen(reason) <= RECORD_REASON_MAX;

    for (size_t i = 0; i < count && good; i++) {
        size_t length = strlen(units[i].unit);

        good = length > 0 && length <= GRAY_VALUE_MAX &&
               (units[i].space < GRAY_STAGES_MAX ||
                units[i].space == MARKS_EVERY_SPACE);
    }
    return good ? 0
                : runtime_problem_set(ret_problem, EINVAL, "bad-unit",
                                      "A unit has 1 to %u bytes; an actor has "
                                      "at most %u bytes, a reason %u.",
                                      GRAY_VALUE_MAX, RECORD_WORDS_MAX,
                                      RECORD_REASON_MAX);
}

int marks_settle(struct marks *marks, uint64_t scope,
                 const struct marks_unit *units, size_t count, bool dry_run,
                 const char *actor, const char *reason, json_t **ret_json,
                 struct gray_problem *ret_problem)
{
    struct settle_call call = {
        .units = units,
        .count = count,
        .looks = dry_run,
        .unknown_units = json_array(),
        .refused_units = json_array(),
    };
    int error = may_settle(units, count, actor, reason, ret_problem);

    if (error == 0) {
        call.actor = (struct gray_str){actor, (uint32_t)strlen(actor)};
        call.reason = (struct gray_str){reason, (uint32_t)strlen(reason)};
        error = marks_ask(marks, run_settle, scope, &call, -1, ret_problem);
    }
    if (error != 0) {
        json_decref(call.unknown_units);
        json_decref(call.refused_units);
        return error;
    }
    *ret_json = json_pack("{s:I,s:I,s:I,s:I,s:I,s:o,s:o}", "settled",
                          call.settled, "out", call.out, "already", call.already, "unknown", call.unknown,
                          "refused", call.refused, "unknownUnits",
                          call.unknown_units, "refusedUnits",
                          call.refused_units);
    return *ret_json != NULL ? 0
                             : runtime_problem_set(ret_problem, ENOMEM,
                                                   "memory", "Out of memory.");
}
