/* SPDX-License-Identifier: Apache-2.0
 * exact.c - see exact.h.
 *
 * Why: each sort of request is tried in the loose form (pair.h), which leaves
 * none out; a drop there is then made into a request that can be sent, with an
 * id whose buckets lie where they must, and asked again for real.  Where only
 * few ids are meant, all of them are tried, so that an id that would have to
 * have two buckets is no drop.
 * Read next: pair_feed.c, gates_rules.c (what is said of it).
 */
#include "policy/exact.h"

#include <string.h>

#define CONFIRM_ROUNDS 48u   /* sorts of requests that are made real */

struct trial {
    struct pair *pair;
    struct exact *result;
    struct pair_request at;
    uint32_t rounds;
    bool doubtful; /* a drop was seen that could not be made real */
};

/* ---- making a drop real ---------------------------------------------------------- */

static bool drops_for_real(struct trial *t, enum pair_outcome wanted,
                           struct gray_verdict *ret_now)
{
    struct pair *pair = t->pair;
    struct gray_verdict old;

    pair_ask_real(pair, 0, &t->at, NULL, NULL, &old);
    pair_ask_real(pair, 1, &t->at, NULL, NULL, ret_now);
    return pair_outcome(&pair->real[0], &old, &pair->real[1], ret_now) ==
           wanted;
}

static enum pair_sought seek_all(struct trial *t)
{
    struct pair *pair = t->pair;
    uint32_t unit = pair_unit_of(pair, 0, &t->at);
    enum pair_sought worst = PAIR_SOUGHT_FOUND;

    memset(t->at.instead, 0, sizeof(t->at.instead));
    for (uint32_t i = 0; i < pair->attribute_count; i++) {
        enum pair_sought one = pair_seek(pair, &t->at, i, i == unit);

        if (one == PAIR_SOUGHT_NONE) {
            return PAIR_SOUGHT_NONE;
        }
        worst = one > worst ? one : worst; /* in the order of the enum */
    }
    return worst;
}

static void tell(struct trial *t, const struct gray_verdict *now, bool told)
{
    struct exact *result = t->result;

    result->answer = EXACT_DROPS;
    result->witness = pair_words(t->pair, &t->at);
    result->because =
        gray_reason_sentence((enum gray_reason)now->reason);
    result->told = told;
}

/* A drop in the loose form. True: it is one. */
static bool confirm(struct trial *t, const struct gray_verdict *loose)
{
    struct gray_verdict now;
    enum pair_sought sought;

    if (t->rounds >= CONFIRM_ROUNDS) {
        t->doubtful = true;
        return false;
    }
    sought = seek_all(t);
    if (sought == PAIR_SOUGHT_NONE) {
        return false; /* no id has all these buckets */
    }
    t->rounds++;
    if (sought == PAIR_SOUGHT_FOUND && drops_for_real(t, PAIR_DROPPED, &now)) {
        tell(t, &now, true);
        return true;
    }
    if (sought == PAIR_SOUGHT_ENDLESS && !t->pair->tangled) {
        tell(t, loose, false);
        return true;
    }
    t->doubtful = true;
    return false;
}

/* ---- all sorts of requests --------------------------------------------------------- */

static void judge(struct trial *t)
{
    struct pair *pair = t->pair;
    struct gray_verdict old, now;

    pair_ask_loose(pair, 0, &t->at, &old);
    if (!old.in) {
        return;
    }
    pair_ask_loose(pair, 1, &t->at, &now);
    switch (pair_outcome(&pair->loose[0], &old, &pair->loose[1], &now)) {
    case PAIR_KEPT:
        break;
    case PAIR_SINGLE:
        t->result->single = true;
        break;
    case PAIR_DENIED:
        t->result->denied = true;
        break;
    case PAIR_DROPPED:
        confirm(t, &now);
        break;
    }
}

/* What a set names: each of its values has its own buckets, so other cells of
 * the unit need not be tried where one value is left. Left to confirm(). */
static uint64_t count_requests(const struct pair *pair)
{
    uint64_t count = (uint64_t)pair->instant_count * pair->stage_count;

    for (uint32_t i = 0; i < pair->attribute_count; i++) {
        if (__builtin_mul_overflow(count, pair->attributes[i].choice_count,
                                   &count)) {
            return UINT64_MAX;
        }
    }
    for (uint32_t i = 0; i < pair->hash_count; i++) {
        if (__builtin_mul_overflow(count, pair->hashes[i].limit_count + 1,
                                   &count)) {
            return UINT64_MAX;
        }
    }
    return count;
}

static void set_cells(struct pair *pair, const struct pair_request *at)
{
    for (int side = 0; side < 2; side++) {
        pair_set_cell(pair, side, at->cell[pair->loose[side].hash]);
    }
}

/* The next one; false: it was the last. Cells turn slowest, for they are set. */
static bool next(struct trial *t)
{
    struct pair *pair = t->pair;

    for (uint32_t i = 0; i < pair->attribute_count; i++) {
        if (++t->at.choice[i] < pair->attributes[i].choice_count) {
            return true;
        }
        t->at.choice[i] = 0;
    }
    if (++t->at.instant < pair->instant_count) {
        return true;
    }
    t->at.instant = 0;
    if (++t->at.stage < pair->stage_count) {
        return true;
    }
    t->at.stage = 0;
    for (uint32_t i = 0; i < pair->hash_count; i++) {
        if (++t->at.cell[i] <= pair->hashes[i].limit_count) {
            set_cells(pair, &t->at);
            return true;
        }
        t->at.cell[i] = 0;
    }
    return false;
}

static void try_all(struct trial *t)
{
    set_cells(t->pair, &t->at);
    do {
        memset(t->at.instead, 0, sizeof(t->at.instead));
        judge(t);
    } while (t->result->answer != EXACT_DROPS && next(t));
}

static void prove(struct trial *t, struct gray_arena *arena,
                  const struct exact_question *q,
                  const struct model_release *reduced)
{
    struct pair *pair = t->pair;
    struct exact *result = t->result;

    *result = (struct exact){.answer = EXACT_SAFE};
    if (!pair_open_reduced(pair, arena, q->before, q->old, q->after, q->then,
                           q->now, reduced)) {
        result->why = pair->why;
    } else if (count_requests(pair) > EXACT_REQUESTS_MAX) {
        result->why = "its conditions tell too many sorts of requests apart";
    } else {
        try_all(t);
        if (result->answer == EXACT_SAFE && t->doubtful) {
            result->why = "a request that falls out was not found";
        }
    }
    if (result->why != NULL) {
        result->answer = EXACT_UNKNOWN;
    }
}

/* The whole first: of what is left out, no warning would be given. */
static void prove_somehow(struct trial *t, struct gray_arena *arena,
                          const struct exact_question *q)
{
    struct model_release *reduced =
        gray_arena_array(arena, 2, sizeof(*reduced));

    prove(t, arena, q, NULL);
    if (t->result->answer == EXACT_UNKNOWN &&
        pair_reduce(arena, q->before, q->old, q->after, q->then, reduced)) {
        pair_close(t->pair);
        *t = (struct trial){.pair = t->pair, .result = t->result};
        prove(t, arena, q, reduced);
    }
}

void gray_exact(struct gray_arena *arena,
                const struct exact_question *question,
                struct exact *ret_exact)
{
    struct pair *pair = gray_arena_take(arena, sizeof(*pair));
    struct trial trial = {.pair = pair, .result = ret_exact};
    jmp_buf full, *before = arena->full;

    arena->full = &full;
    if (setjmp(full) != 0) { /* what lies outside the arena is given back */
        arena->full = before;
        pair_close(pair);
        longjmp(*before, 1);
    }
    prove_somehow(&trial, arena, question);
    arena->full = before;
    pair_close(pair);
}
