/* SPDX-License-Identifier: Apache-2.0
 * redis.c - the connection, and the question who was first.
 *
 * Why: the marks thread may wait for Redis no longer than for a disk, so every
 * call has a short end, a lost connection is tried again at growing distances,
 * and meanwhile each new mark of a shared scope is void: its reader, which
 * waits as for strict, says no.  A Redis that was emptied is told from one that
 * was not by a key of its own (REDIS_RUN), and looked at with each question.
 * Read next: redis.h, redis_push.c, settle.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/marks/redis.h"

#define KEY_MAX (64u + GRAY_VALUE_MAX)
#define VALUE_MAX 32u

const char *redis_word(const struct redis *redis)
{
    static const char *const words[] = {
        [SHARED_LOST] = "lost",
        [SHARED_PUSHING] = "lost", /* it does not know all of us yet */
        [SHARED_OK] = "ok",
    };

    return redis == NULL ? "none" : words[atomic_load(&redis->state)];
}

/* ---- values and keys ------------------------------------------------------------ */

static const char *const state_words[] = {
    [GRAY_SLOT_IN] = "in",
    [GRAY_SLOT_OUT] = "out",
    [GRAY_SLOT_REVOKED] = "revoked",
};

int redis_value(char *to, size_t size, uint64_t value)
{
    return snprintf(to, size, "%s:%u:%u",
                    state_words[gray_slot_state(value)],
                    gray_slot_variant(value), gray_slot_attempt(value));
}

/* The same back, into what of `value` it says; false: it is none of ours. */
static bool value_read(const char *text, size_t length, uint64_t value,
                       uint64_t *ret_value)
{
    unsigned variant = 256, attempt = 256;
    char word[8] = "";
    int end = 0;

    if (length >= VALUE_MAX || memchr(text, '\0', length) != NULL ||
        sscanf(text, "%7[a-z]:%3u:%3u%n", word, &variant, &attempt, &end) !=
            3 ||
        (size_t)end != length || variant > 255 || attempt > 255) {
        return false;
    }
    for (uint32_t state = GRAY_SLOT_IN; state <= GRAY_SLOT_REVOKED; state++) {
        if (strcmp(word, state_words[state]) == 0) {
            value &= ~(UINT64_C(0xffff) << GRAY_SLOT_ATTEMPT_SHIFT);
            value |= (uint64_t)attempt << GRAY_SLOT_ATTEMPT_SHIFT;
            value |= (uint64_t)variant << GRAY_SLOT_VARIANT_SHIFT;
            *ret_value =
                slot_with(value, (enum gray_slot_state)state, true);
            return true;
        }
    }
    return false;
}

size_t redis_key(char *to, size_t size, uint64_t scope, uint8_t space,
                 struct gray_str unit)
{
    int length = snprintf(to, size, "gray:mark:%016llx:%u:",
                          (unsigned long long)scope, space);

    memcpy(to + length, unit.data, unit.length);
    return (size_t)length + unit.length;
}

/* ---- the connection ---------------------------------------------------------------- */

int redis_new(struct redis **ret_redis, const char *address,
              struct gray_problem *ret_problem)
{
    struct redis *redis = calloc(1, sizeof(*redis));

    if (redis == NULL || strlen(address) >= sizeof(redis->address)) {
        free(redis);
        return runtime_problem_set(ret_problem, EINVAL, "bad-redis",
                                   "The address of Redis is HOST:PORT or "
                                   "unix:/PATH.");
    }
    strcpy(redis->address, address);
    *ret_redis = redis;
    return 0;
}

void redis_free(struct redis *redis)
{
    if (redis != NULL) {
        redisFree(redis->context);
        free(redis);
    }
}

void redis_lose(struct redis *redis, const char *why)
{
    if (atomic_exchange(&redis->state, SHARED_LOST) != SHARED_LOST) {
        grayd_log(LOG_LEVEL_ERROR, "redis-lost",
                  "Redis at %s is lost: %s; releases that share their marks "
                  "admit nobody new",
                  redis->address, why);
    }
    redisFree(redis->context);
    redis->context = NULL;
    redis->backoff = redis->backoff == 0 ? REDIS_BACKOFF_MS
                                         : redis->backoff * 2;
    if (redis->backoff > REDIS_BACKOFF_MOST) {
        redis->backoff = REDIS_BACKOFF_MOST;
    }
    redis->retry_at = marks_monotonic_ms() + redis->backoff;
}

static redisContext *dial(const char *address)
{
    struct timeval wait = {.tv_usec = REDIS_CONNECT_MS * 1000};
    struct timeval command = {.tv_usec = REDIS_COMMAND_MS * 1000};
    redisContext *context;
    char host[256];
    const char *port;

    if (strncmp(address, "unix:", 5) == 0) {
        context = redisConnectUnixWithTimeout(address + 5, wait);
    } else {
        port = strrchr(address, ':');
        if (port == NULL) {
            return NULL;
        }
        snprintf(host, sizeof(host), "%.*s", (int)(port - address), address);
        context = redisConnectWithTimeout(host, atoi(port + 1), wait);
    }
    if (context != NULL &&
        (context->err != 0 || redisSetTimeout(context, command) != REDIS_OK)) {
        redisFree(context);
        context = NULL;
    }
    return context;
}

/* Some marks may be gone: ours are put back, the newest first. */
static void begin_push(struct marks *marks, struct redis *redis, bool emptied)
{
    redis->cursor = marks->journal.last;
    redis->pushed = 0;
    redis->emptied = redis->emptied || emptied;
    if (emptied) {
        redis->grace_until = marks_monotonic_ms() + REDIS_GRACE_MS;
    }
    atomic_store(&redis->state, SHARED_PUSHING);
}

/* What REDIS_RUN is, made where it is missing. False: lost. */
static bool look(struct marks *marks, struct redis *redis, bool connected)
{
    char fresh[33];
    redisReply *reply;
    bool emptied;

    grayd_random_hex(fresh);
    reply = redisCommand(redis->context, "SET " REDIS_RUN " %s NX GET", fresh);
    if (reply == NULL || (reply->type != REDIS_REPLY_NIL &&
                          (reply->type != REDIS_REPLY_STRING ||
                           reply->len != 32))) {
        freeReplyObject(reply);
        redis_lose(redis, "it does not answer as it should");
        return false;
    }
    emptied = reply->type == REDIS_REPLY_NIL ||
              (redis->run[0] != '\0' && strcmp(reply->str, redis->run) != 0);
    strcpy(redis->run, reply->type == REDIS_REPLY_NIL ? fresh : reply->str);
    freeReplyObject(reply);
    redis->check_at = marks_monotonic_ms() + REDIS_CHECK_MS;
    if (emptied && !connected) {
        grayd_log(LOG_LEVEL_WARN, "redis-emptied",
                  "Redis was emptied: marks are put back into it");
    }
    if (emptied || connected) {
        begin_push(marks, redis, emptied);
    }
    return true;
}

static bool is_shared(const struct scope *scope)
{
    return (scope->kept.flags & GRAY_MARKS_SHARED) != 0;
}

static bool any_shared(const struct marks *marks)
{
    for (size_t i = 0; i < 2 * MARKS_SCOPES_MAX; i++) {
        if (marks->scopes[i] != NULL && is_shared(marks->scopes[i])) {
            return true;
        }
    }
    return false;
}

static bool is_idle(const struct redis *redis, int64_t now)
{
    if (redis->context == NULL) {
        return now < redis->retry_at;
    }
    return redis->cursor == 0 && now < redis->check_at &&
           (atomic_load(&redis->state) == SHARED_OK ||
            now < redis->grace_until);
}

bool redis_step(struct marks *marks)
{
    struct redis *redis = marks->redis;
    int64_t now = marks_monotonic_ms();

    if (redis == NULL || is_idle(redis, now) || !any_shared(marks)) {
        return false;
    }
    if (redis->context == NULL) {
        redis->context = dial(redis->address);
        if (redis->context == NULL) {
            redis_lose(redis, "no connection");
            return false;
        }
        if (!look(marks, redis, true)) {
            return false;
        }
    } else if (now >= redis->check_at && !look(marks, redis, false)) {
        return false;
    }
    if (redis->cursor != 0 && !redis_push(marks)) {
        return false;
    }
    if (atomic_load(&redis->state) == SHARED_PUSHING &&
        (redis->cursor == 0 ||
         (!redis->emptied && redis->pushed >= REDIS_NEWEST)) &&
        marks_monotonic_ms() >= redis->grace_until) {
        redis->backoff = 0;
        redis->emptied = false;
        atomic_store(&redis->state, SHARED_OK);
        grayd_log(LOG_LEVEL_INFO, "redis-ok",
                  "Redis at %s answers for shared marks", redis->address);
    }
    return redis->cursor != 0;
}

/* ---- the question --------------------------------------------------------------------- */

struct question {
    struct marks *marks;
    struct redis *redis;
    char key[KEY_MAX];
    bool lost, emptied;
};

static bool is_asked(const struct batch *batch, size_t at)
{
    uint32_t kind = batch->records[at].head.kind;

    return is_shared(batch->entries[at].scope) && kind != RECORD_VOID &&
           kind != RECORD_SETTLE && /* another host was told the same */
           batch->records[at].unit.length > 0;
}

/* Put if absent, unless it was emptied since we looked: then it may have
 * forgotten what others were told, and must not be told anything new. */
static const char first_script[] =
    "if redis.call('GET',KEYS[2])~=ARGV[2] then "
    "return redis.error_reply('EMPTIED') end "
    "return redis.call('SET',KEYS[1],ARGV[1],'NX','GET')";

/* A first admission; or what has an author, which is put. */
static void send_one(struct question *question, size_t at)
{
    const struct record *record = &question->marks->batch->records[at];
    bool first = record->head.kind == RECORD_ADMIT ||
                 record->head.kind == RECORD_IMPORT;
    char value[VALUE_MAX];
    size_t length = redis_key(question->key, sizeof(question->key),
                              record->head.scope, record->head.space,
                              record->unit);

    redis_value(value, sizeof(value), record->head.value);
    if (first) {
        redisAppendCommand(question->redis->context,
                           "EVAL %s 2 %b " REDIS_RUN " %s %s", first_script,
                           question->key, length, value, question->redis->run);
    } else {
        redisAppendCommand(question->redis->context, "SET %b %s",
                           question->key, length, value);
    }
}

/* The slot is void, and the entry leaves the batch. */
static void refuse(struct batch *batch, size_t at)
{
    struct entry *entry = &batch->entries[at];
    uint64_t found;

    if (gray_mark_move(&entry->scope->marks, entry->key, entry->from,
                       slot_with(entry->from, GRAY_SLOT_VOID, false),
                       GRAY_BY_WRITER, &found) == 0) {
        atomic_fetch_add(&entry->scope->counts.voided, 1);
    }
    entry->leaves = true;
    batch->waits = true;
}

/* What another host won: our slot gets the same, where it may. */
static void obey(struct batch *batch, size_t at, uint64_t won)
{
    struct entry *entry = &batch->entries[at];
    struct record *record = &batch->records[at];
    bool in = gray_slot_state(won) == GRAY_SLOT_IN;

    if (won == record->head.value) {
        return;
    }
    if (record->head.kind != RECORD_ADMIT ||
        gray_slot_state(won) == GRAY_SLOT_REVOKED ||
        !gray_mark_may_move(entry->from, won, GRAY_BY_WRITER) ||
        (in && (entry->scope->kept.state & JOURNAL_SCOPE_CLOSED) != 0)) {
        refuse(batch, at);
        return;
    }
    record->head.value = entry->to = won;
    atomic_fetch_add(&entry->scope->counts.overtaken, 1);
}

/* Revoked in an attempt that ended: ours is put over it, if it is still so. */
static bool replaced(struct question *question, size_t at, uint64_t won)
{
    static const char script[] =
        "if redis.call('GET',KEYS[1])==ARGV[1] then "
        "redis.call('SET',KEYS[1],ARGV[2]) return 1 end return 0";
    const struct record *record = &question->marks->batch->records[at];
    char old[VALUE_MAX], value[VALUE_MAX];
    size_t length = redis_key(question->key, sizeof(question->key),
                              record->head.scope, record->head.space,
                              record->unit);
    redisReply *reply;
    bool done;

    redis_value(old, sizeof(old), won);
    redis_value(value, sizeof(value), record->head.value);
    reply = redisCommand(question->redis->context, "EVAL %s 1 %b %s %s",
                         script, question->key, length, old, value);
    question->lost = question->lost || reply == NULL;
    done = reply != NULL && reply->type == REDIS_REPLY_INTEGER &&
           reply->integer == 1;
    freeReplyObject(reply);
    return done;
}

struct answer {
    uint64_t won; /* 0: ours was the first */
    bool good;
};

static struct answer hear_one(struct question *question, size_t at)
{
    uint64_t ours = question->marks->batch->records[at].head.value;
    struct answer answer = {0, false};
    redisReply *reply = NULL;

    if (question->lost ||
        redisGetReply(question->redis->context, (void **)&reply) !=
            REDIS_OK) {
        question->lost = true;
        return answer;
    }
    question->emptied = question->emptied ||
                        (reply->type == REDIS_REPLY_ERROR &&
                         strncmp(reply->str, "EMPTIED", 7) == 0);
    answer.good = reply->type == REDIS_REPLY_NIL ||
                  reply->type == REDIS_REPLY_STATUS ||
                  (reply->type == REDIS_REPLY_STRING &&
                   value_read(reply->str, reply->len, ours, &answer.won));
    freeReplyObject(reply);
    return answer;
}

static void ask_all(struct question *question, struct answer *answers)
{
    struct batch *batch = question->marks->batch;

    for (size_t i = 0; i < batch->count; i++) {
        if (is_asked(batch, i)) {
            send_one(question, i);
        }
    }
    for (size_t i = 0; i < batch->count; i++) {
        answers[i] = is_asked(batch, i) ? hear_one(question, i)
                                        : (struct answer){0, false};
    }
    for (size_t i = 0; i < batch->count; i++) {
        uint64_t ours = batch->records[i].head.value;

        if (!question->lost && answers[i].good &&
                   gray_slot_state(answers[i].won) == GRAY_SLOT_REVOKED &&
                   gray_slot_attempt(answers[i].won) <
                       gray_slot_attempt(ours) &&
                   replaced(question, i, answers[i].won)) {
            answers[i].won = 0;
        }
    }
    if (question->lost) {
        redis_lose(question->redis, "no answer");
    } else if (question->emptied) {
        question->redis->check_at = 0;
        atomic_store(&question->redis->state, SHARED_PUSHING);
    }
}

/* Entries that were refused leave; the others move up. */
static void close_up(struct batch *batch)
{
    size_t kept = 0;

    for (size_t i = 0; i < batch->count; i++) {
        if (!batch->entries[i].leaves) {
            batch->records[kept] = batch->records[i];
            batch->entries[kept++] = batch->entries[i];
        }
    }
    batch->count = kept;
}

void redis_ask(struct marks *marks)
{
    struct batch *batch = marks->batch;
    struct question question = {.marks = marks, .redis = marks->redis};
    struct answer answers[JOURNAL_BATCH_MAX];
    bool any = false, ok = question.redis != NULL &&
                           atomic_load(&question.redis->state) == SHARED_OK;

    for (size_t i = 0; i < batch->count; i++) {
        answers[i].good = false;
        any = any || is_shared(batch->entries[i].scope);
    }
    if (any && ok) {
        ask_all(&question, answers);
    }
    for (size_t i = 0; any && i < batch->count; i++) {
        uint32_t kind = batch->records[i].head.kind;

        if (!is_shared(batch->entries[i].scope) ||
            (kind != RECORD_ADMIT && kind != RECORD_IMPORT)) {
            continue; /* what has an author holds here, and is put back */
        }
        if (!answers[i].good) {
            refuse(batch, i);
        } else if (answers[i].won != 0) {
            obey(batch, i, answers[i].won);
        }
    }
    if (any) {
        close_up(batch);
    }
}
