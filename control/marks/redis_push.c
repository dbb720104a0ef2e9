/* SPDX-License-Identifier: Apache-2.0
 * redis_push.c - our marks back into a Redis that may have lost some.
 *
 * Why: after a fail-over the newest marks are gone, after a flush all of them,
 * and another host would let Redis decide anew.  So whenever a connection was
 * lost our own durable marks are put there again where nothing stands, the
 * newest first, before (emptied) or while (not) new ones are asked.
 * Read next: redis.c.
 */
#include <errno.h>
#include <string.h>

#include "control/marks/redis.h"

#define LOOKS 16384u /* records looked at in one slice */

struct pushing {
    struct marks *marks;
    const struct scope *last;
    uint32_t sent, looked;
};

static const char revoke_script[] =
    "local old=redis.call('GET',KEYS[1]) "
    "if not old or old==ARGV[1] then redis.call('SET',KEYS[1],ARGV[2]) end "
    "return 1";

static const struct scope *shared_scope(struct pushing *pushing,
                                        uint64_t number)
{
    if (pushing->last == NULL || pushing->last->scope != number) {
        pushing->last = scope_find(pushing->marks, number);
    }
    return pushing->last != NULL &&
                   (pushing->last->kept.flags & GRAY_MARKS_SHARED) != 0
               ? pushing->last
               : NULL;
}

static int push_visit(void *context, uint64_t sequence,
                      const struct record *record, enum record_belief belief)
{
    struct pushing *pushing = context;
    struct redis *redis = pushing->marks->redis;
    const struct scope *scope = shared_scope(pushing, record->head.scope);
    struct gray_mark_key key = {{record->head.key[0], record->head.key[1]}};
    enum gray_slot_state state = gray_slot_state(record->head.value);
    char name[64 + GRAY_VALUE_MAX], value[32], taken_back[32];
    size_t length;

    if (pushing->looked++ == LOOKS || pushing->sent == REDIS_SLICE) {
        return 1;
    }
    redis->cursor = sequence - 1;
    if (belief != RECORD_GOOD || scope == NULL || record->unit.length == 0 ||
        (state != GRAY_SLOT_IN && state != GRAY_SLOT_OUT &&
         state != GRAY_SLOT_REVOKED) ||
        !slot_is_of(scope_peek(scope, key), record->head.value)) {
        return 0;
    }
    length = redis_key(name, sizeof(name), record->head.scope,
                       record->head.space, record->unit);
    redis_value(value, sizeof(value), record->head.value);
    if (state == GRAY_SLOT_REVOKED) {
        /* Over the admission that it took back, and over nothing newer. */
        redis_value(taken_back, sizeof(taken_back),
                    slot_with(record->head.value, GRAY_SLOT_IN, true));
        redisAppendCommand(redis->context, "EVAL %s 1 %b %s %s",
                           revoke_script, name, length, taken_back, value);
    } else {
        redisAppendCommand(redis->context, "SET %b %s NX", name, length,
                           value);
    }
    pushing->sent++;
    return 0;
}

bool redis_push(struct marks *marks)
{
    struct redis *redis = marks->redis;
    struct pushing pushing = {.marks = marks};
    struct gray_problem problem = {NULL, "", 0};

    if (journal_records(&marks->journal, redis->cursor, true, push_visit,
                        &pushing, &problem) < 0) {
        redis_lose(redis, problem.sentence); /* what is ours cannot be said */
        return false;
    }
    for (uint32_t i = 0; i < pushing.sent; i++) {
        redisReply *reply = NULL;

        if (redisGetReply(redis->context, (void **)&reply) != REDIS_OK ||
            reply->type == REDIS_REPLY_ERROR) {
            freeReplyObject(reply);
            redis_lose(redis, "it does not take our marks");
            return false;
        }
        freeReplyObject(reply);
    }
    redis->pushed += pushing.sent;
    return true;
}
