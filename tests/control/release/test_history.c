/* SPDX-License-Identifier: Apache-2.0
 * test_history.c - a million verbs in any order keep what must never break.
 *
 * Why: the pairs that nobody thought of are found by playing, not by thinking:
 * every pair of verbs comes about many times, from every state.
 * Read next: control/release/move.c.
 */
#include <stdlib.h>

#include "tests/control/release/release_case.h"

#define EVENTS 1000000u

static const char *const documents[] = {
    STEPPED, PLAIN,
    "{'kind':'Release','name':'cart-2','stickiness':'none','admission':"
    "{'share':1}}",
    "{'kind':'Release','name':'cart-2','stickiness':'entity','admission':"
    "{'holdback':20},'strategy':{'canary':{'onAbort':'keep','steps':["
    "{'setWeight':3},{'setWeight':60}]}}}",
    "{'kind':'Release','name':'cart-2','dataCompat':'irreversible',"
    "'strategy':{'blueGreen':{}}}",
    "{'kind':'Release','name':'cart-2','stickiness':'entity','dataCompat':"
    "'reversible','dimensions':['create','pay','confirm'],'strategy':{"
    "'canary':{'steps':[{'setWeight':5},{'setWeight':100}]}}}",
};
static const bool widens_of[] = {
#define RELEASE_VERB(NAME, word, right, reason, widens, summary) widens,
#include "control/release/release.def"
};

struct player {
    uint64_t dice;
    struct release_facts facts;
    struct release_status now, past[16];
    size_t past_count;
    uint32_t revoked; /* the newest attempt of which marks were taken back */
    uint32_t ended; /* attempt that was aborted and not begun anew; 0: none */
    unsigned pairs[VERB_COUNT][VERB_COUNT];
    enum release_verb last;
};

static uint32_t word_meant(const struct release_status *status)
{
    bool ended = strcmp(status->completion, "Aborted") == 0;

    if (status->killed) {
        return GRAY_WORD_KILLED;
    }
    if (ended) {
        return status->keep ? GRAY_WORD_NO_ADMIT : GRAY_WORD_BASELINE;
    }
    return status->state == RELEASE_FROZEN ? GRAY_WORD_NO_ADMIT
                                           : GRAY_WORD_OPEN;
}

static void check_sound(const struct player *player)
{
    const struct release_status *now = &player->now;
    uint32_t all = GRAY_SHARE_ALL - player->facts.holdback;
    struct release_status parsed;
    json_t *stored;

    assert_int_equal(release_word(now), word_meant(now));
    assert_true(now->share <= all);
    assert_true((now->state != RELEASE_PROMOTED) || now->share == all);
    assert_true(now->share < all || now->state == RELEASE_PROMOTED ||
                now->dimension + 1 < player->facts.dimensions ||
                now->state == RELEASE_FROZEN ||
                now->state == RELEASE_COMPLETED);
    assert_true(now->attempt >= 1);
    if (player->facts.step_count == 0) {
        assert_int_equal(now->step, 0);
    } else {
        assert_true(now->step < player->facts.step_count);
    }
    stored = release_status_json(now);
    assert_int_equal(release_status_parse(stored, &parsed), 0);
    assert_memory_equal(&parsed, now, sizeof(parsed));
    json_decref(stored);
}

/* A mark that was taken back lets its unit in only in a later attempt, and
 * what the old version cannot read is given up by nobody who did not say it.
 */
static void check_marks(struct player *player,
                        const struct release_event *event,
                        const struct release_status *before)
{
    const struct release_status *now = &player->now;
    enum release_revokes revokes =
        release_revokes(before, &player->facts, event, now);

    if (player->facts.data_compat == GRAY_DATA_IRREVERSIBLE &&
        player->facts.stickiness != GRAY_STICKY_NONE && event->marks > 0 &&
        (revokes != RELEASE_REVOKES_NONE || (now->killed && !before->killed))) {
        assert_true(event->may_override && event->breaks == event->marks);
    }
    /* What was taken back in this attempt comes in by the next one alone. */
    if (player->revoked == before->attempt && now->share > before->share) {
        assert_true(now->attempt > before->attempt);
    }
    if (revokes != RELEASE_REVOKES_NONE) {
        player->revoked = before->attempt;
        assert_true(revokes != RELEASE_REVOKES_ABOVE ||
                    now->attempt > before->attempt);
    }
}

static void check_move(struct player *player, const struct release_event *event,
                       const struct release_status *before, int result)
{
    const struct release_status *now = &player->now;

    if (result != 0) {
        assert_memory_equal(now, before, sizeof(*now));
        return;
    }
    if (now->share < before->share && now->dimension == before->dimension) {
        assert_true(event->verb == VERB_ABORT || event->verb == VERB_STOP ||
                    event->verb == VERB_UNDO || event->verb == VERB_RETREAT);
    }
    if (now->dimension > before->dimension) {
        /* One at a time, and only from the whole of the one before. */
        assert_true(event->verb == VERB_PROMOTE || event->verb == VERB_UNDO);
        assert_true(event->verb == VERB_UNDO ||
                    (now->dimension == before->dimension + 1 &&
                     before->share == GRAY_SHARE_ALL -
                                          player->facts.holdback));
    }
    check_marks(player, event, before);
    if (before->killed || event->busy) {
        assert_false(widens_of[event->verb]);
        assert_false(event->busy && event->verb == VERB_RETREAT);
        assert_true(now->share <= before->share);
    }
    if (now->state == RELEASE_ABORTED) {
        player->ended = now->attempt;
        assert_int_equal(now->share, 0);
    } else if (event->verb == VERB_RETRY || event->verb == VERB_UNDO) {
        player->ended = 0;
    }
    /* After an abort nobody is let in but by a new attempt or an undo. */
    assert_true(player->ended == 0 || now->share == 0);
    assert_true(now->attempt == before->attempt ||
                now->attempt == before->attempt + 1);
    assert_true(event->verb != VERB_RETRY ||
                now->attempt == before->attempt + 1);
    if (before->state == RELEASE_COMPLETED) {
        assert_int_equal(now->state, RELEASE_COMPLETED);
    }
}

static struct release_event any_event(struct player *player)
{
    uint64_t *dice = &player->dice;
    struct release_event event =
        event_of((enum release_verb)draw(dice, VERB_COUNT));

    /* What ends everything comes seldom, or there would be nothing to see. */
    if (event.verb == VERB_FINISH && draw(dice, 8) != 0) {
        event.verb = VERB_PROMOTE;
    }
    event.share = draw(dice, 3) == 0
                      ? RELEASE_NO_SHARE
                      : (uint32_t)draw(dice, GRAY_SHARE_ALL / 8) * 9;
    if (event.verb == VERB_RETREAT) {
        event.cohort = (enum release_cohort)draw(dice, 4);
    }
    event.marks = draw(dice, 8) == 0 ? RELEASE_UNSAID : draw(dice, 3);
    event.breaks = draw(dice, 4) == 0 ? RELEASE_UNSAID
                   : draw(dice, 4) == 0 ? draw(dice, 3)
                                        : event.marks;
    event.may_override = draw(dice, 4) != 0;
    event.busy = draw(dice, 16) == 0;
    event.full = draw(dice, 16) == 0;
    event.on_abort = (int)draw(dice, 3);
    event.reason = draw(dice, 6) == 0 ? NULL : "because";
    if (player->past_count > 0 && draw(dice, 8) != 0) {
        event.earlier = &player->past[draw(dice, player->past_count)];
    }
    return event;
}

static void play(struct player *player)
{
    struct release_event event = any_event(player);
    struct release_status before = player->now;
    struct release_refusal refusal = {0};
    int result = release_move(&player->now, &player->facts, &event,
                              &player->now, &refusal);

    if (result < 0) {
        assert_true(refusal.code != NULL && refusal.sentence[0] != '\0');
    }
    check_move(player, &event, &before, result);
    check_sound(player);
    if (result == 0) {
        player->pairs[player->last][event.verb]++;
        player->last = event.verb;
        player->past[player->past_count % 16] = player->now;
        player->past_count += player->past_count < 15;
    }
}

static void a_million_verbs(void **state)
{
    struct player *player = calloc(1, sizeof(*player));
    unsigned pairs = 0;

    (void)state;
    assert_non_null(player);
    player->dice = 20261122;
    for (unsigned i = 0; i < EVENTS; i++) {
        if (i % 40 == 0 || player->now.attempt > 240) {
            player->facts =
                facts_of(documents[draw(&player->dice,
                                        sizeof(documents) /
                                            sizeof(documents[0]))]);
            player->now = begin(&player->facts);
            player->past_count = 0;
            player->ended = player->revoked = 0;
        }
        play(player);
    }
    for (int a = 0; a < VERB_COUNT; a++) {
        for (int b = 0; b < VERB_COUNT; b++) {
            pairs += player->pairs[a][b] > 0;
        }
    }
    free(player);
    print_message("%u pairs of verbs were carried out\n", pairs);
    assert_true(pairs > 120);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_million_verbs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
