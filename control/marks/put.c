/* SPDX-License-Identifier: Apache-2.0
 * put.c - marks with an author: repair and import.
 *
 * Why: a release's data may be initialised before it starts, and a wrong mark
 * put right, but neither in silence: each is a record with actor and reason.
 * A free slot is claimed first, PENDING, so that no request takes it between
 * the commit and the mark; who finds it waits as for any other.
 * Read next: work.c, settle.c.
 */
#include <errno.h>
#include <string.h>

#include "control/marks/redis.h"

#define CONFLICTS_MAX 1000u

struct put_call {
    uint64_t scope;
    const struct marks_put *puts;
    size_t count;
    bool repair;
    struct gray_str actor, reason;
    uint64_t put, same;
    json_t *conflicts;
};

static const char *state_word(uint64_t value)
{
    static const char *const words[] = {
        [GRAY_SLOT_EMPTY] = "absent",    [GRAY_SLOT_PENDING] = "pending",
        [GRAY_SLOT_IN] = "in",           [GRAY_SLOT_OUT] = "out",
        [GRAY_SLOT_REVOKED] = "revoked", [GRAY_SLOT_HOLD] = "hold",
        [GRAY_SLOT_VOID] = "absent",
    };

    return words[gray_slot_state(value)];
}

static void conflict(struct put_call *call, const struct marks_put *put,
                     uint64_t value)
{
    if (json_array_size(call->conflicts) < CONFLICTS_MAX) {
        json_array_append_new(call->conflicts,
                              json_pack("{s:s,s:s}", "unit", put->unit,
                                        "state", state_word(value)));
    }
}

/* Whether the slot is to be moved from *value, which it then has. */
static bool put_claim(struct put_call *call, struct scope *scope,
                      struct gray_mark_key key, const struct marks_put *put,
                      uint64_t wanted, uint64_t *value)
{
    uint64_t pending = slot_with(wanted, GRAY_SLOT_PENDING, false), found;
    enum gray_slot_state state = gray_slot_state(*value);

    if (state == GRAY_SLOT_EMPTY || state == GRAY_SLOT_VOID) {
        if (put->state == GRAY_SLOT_REVOKED) {
            return true;
        }
        found = *value;
        if (gray_mark_move(&scope->marks, key, *value, pending,
                           GRAY_BY_WRITER, &found) != 0) {
            conflict(call, put, found);
            return false;
        }
        *value = pending;
        return true;
    }
    if (state == (enum gray_slot_state)put->state &&
        gray_slot_variant(*value) == put->variant) {
        call->same++;
        return false;
    }
    /* What waits for its own commit is not put right; what is held is. */
    if (!call->repair ||
        ((*value & GRAY_SLOT_DURABLE) == 0 && state != GRAY_SLOT_HOLD) ||
        !gray_mark_may_move(*value, wanted, GRAY_BY_WRITER)) {
        conflict(call, put, *value);
        return false;
    }
    return true;
}

/* 1 added, 0 nothing to do, -1 the batch has no room for it. */
static int put_one(struct marks *marks, struct put_call *call,
                   struct scope *scope, const struct marks_put *put)
{
    struct gray_str unit = {put->unit, (uint32_t)strlen(put->unit)};
    const struct gray_marks_file *file = scope->marks.table.file;
    struct gray_mark_key key = gray_mark_key(file, put->space, unit);
    int64_t now = marks->now_ms();
    uint64_t value;
    struct record record = {
        .head = {
            .scope = scope->scope,
            .key = {key.k[0], key.k[1]},
            .at = now,
            .revision = (uint32_t)marks->revision,
            .reader = RECORD_READER_NONE,
            .kind = call->repair ? RECORD_REPAIR : RECORD_IMPORT,
            .space = put->space,
        },
        .unit = unit,
        .actor = call->actor,
        .reason = call->reason,
    };

    if (batch_has(marks->batch, scope, key) ||
        !batch_has_room(marks->batch, unit.length + call->actor.length +
                                          call->reason.length)) {
        return -1;
    }
    record.head.value =
        slot_with(gray_mark_value(file, (enum gray_slot_state)put->state,
                                  scope->kept.attempt, put->variant,
                                  marks->revision, now),
                  (enum gray_slot_state)put->state, true);
    value = scope_peek(scope, key);
    if (!put_claim(call, scope, key, put, record.head.value, &value)) {
        return 0;
    }
    batch_add(marks, scope, &record, value, true);
    call->put++;
    return 1;
}

static int run_put(struct marks *marks, uint64_t number, const void *context,
                   struct gray_problem *ret_problem)
{
    struct put_call *call = (struct put_call *)(uintptr_t)context;
    struct scope *scope = scope_find(marks, number);
    int error;

    if (scope == NULL || !scope_ready(scope)) {
        return runtime_problem_set(ret_problem, scope == NULL ? ENOENT : EAGAIN,
                                   "no-marks",
                                   "The release keeps no marks here, or they "
                                   "are being read.");
    }
    if ((scope->kept.flags & GRAY_MARKS_SHARED) != 0 &&
        strcmp(redis_word(marks->redis), "ok") != 0) {
        return runtime_problem_set(ret_problem, EAGAIN, "redis-lost",
                                   "The release shares its marks, and Redis "
                                   "does not answer.");
    }
    error = marks_drain_all(marks, ret_problem);
    for (size_t i = 0; i < call->count && error == 0;) {
        if (put_one(marks, call, scope, &call->puts[i]) >= 0) {
            i++;
            continue;
        }
        error = marks_drain_all(marks, ret_problem);
        if (error == 0 && gray_marks_crowded(&scope->marks) &&
            grow_whole(marks, scope) != 0) {
            error = runtime_problem_set(ret_problem, ENOSPC, "table-full",
                                        "The mark table has no room and does "
                                        "not grow.");
        }
    }
    return error != 0 ? error : marks_drain_all(marks, ret_problem);
}

static int may_put(const struct marks_put *puts, size_t count,
                   const char *actor, const char *reason,
                   struct gray_problem *ret_problem)
{
    bool good = strlen(actor) <= RECORD_WORDS_MAX &&
                strlen(reason) <= RECORD_REASON_MAX;

    for (size_t i = 0; i < count && good; i++) {
        size_t length = strlen(puts[i].unit);

        good = length > 0 && length <= GRAY_VALUE_MAX &&
               puts[i].space < GRAY_STAGES_MAX &&
               (puts[i].state == GRAY_SLOT_IN ||
                puts[i].state == GRAY_SLOT_OUT ||
                puts[i].state == GRAY_SLOT_REVOKED);
    }
    return good ? 0
                : runtime_problem_set(ret_problem, EINVAL, "bad-mark",
                                      "A mark has a unit of 1 to %u bytes and "
                                      "is in, out or revoked; an actor has at "
                                      "most %u bytes, a reason %u.",
                                      GRAY_VALUE_MAX, RECORD_WORDS_MAX,
                                      RECORD_REASON_MAX);
}

int marks_put(struct marks *marks, uint64_t scope, const struct marks_put *puts,
              size_t count, bool repair, const char *actor, const char *reason,
              json_t **ret_json, struct gray_problem *ret_problem)
{
    struct put_call call = {
        .scope = scope,
        .puts = puts,
        .count = count,
        .repair = repair,
        .conflicts = json_array(),
    };
    int error = may_put(puts, count, actor, reason, ret_problem);

    if (error == 0) {
        call.actor = (struct gray_str){actor, (uint32_t)strlen(actor)};
        call.reason = (struct gray_str){reason, (uint32_t)strlen(reason)};
        error = marks_ask(marks, run_put, scope, &call, -1, ret_problem);
    }
    if (error != 0) {
        json_decref(call.conflicts);
        return error;
    }
    *ret_json = json_pack("{s:I,s:I,s:o}", "put", (json_int_t)call.put, "same",
                          (json_int_t)call.same, "conflicts", call.conflicts);
    return *ret_json != NULL ? 0
                             : runtime_problem_set(ret_problem, ENOMEM,
                                                   "memory", "Out of memory.");
}
