/* SPDX-License-Identifier: Apache-2.0
 * table.c - release.def as functions: words, rights, and the only moves.
 *
 * Why: whatever is not in the table is refused, by everyone who asks.
 * Read next: move.c.
 */
#include <string.h>

#include "control/release/internal.h"

static const struct release_verb_facts verbs[VERB_COUNT] = {
#define RELEASE_VERB(NAME, word, right, reason, widens, summary) \
    [VERB_##NAME] = {word, RIGHT_##right, reason, widens},
#include "control/release/release.def"
};
static const struct {
    const char *word, *phase;
} states[] = {
#define RELEASE_STATE(NAME, word, phase, doc) [RELEASE_##NAME] = {word, phase},
#include "control/release/release.def"
};
#define STATE_COUNT (sizeof(states) / sizeof(states[0]))

static const struct {
    enum release_state_number from;
    enum release_verb verb;
    enum release_state_number to;
} moves[] = {
#define RELEASE_MOVE(FROM, VERB, TO) \
    {RELEASE_##FROM, VERB_##VERB, RELEASE_##TO},
#include "control/release/release.def"
};
#define MOVE_COUNT (sizeof(moves) / sizeof(moves[0]))

const struct release_verb_facts *release_verb_find(enum release_verb verb)
{
    return (size_t)verb < VERB_COUNT ? &verbs[verb] : NULL;
}

bool release_table(enum release_state_number from, enum release_verb verb,
                   enum release_state_number *ret_to)
{
    for (size_t i = 0; i < MOVE_COUNT; i++) {
        if (moves[i].from == from && moves[i].verb == verb) {
            *ret_to = moves[i].to;
            return true;
        }
    }
    return false;
}

bool release_leads_to(enum release_verb verb, enum release_state_number state)
{
    for (size_t i = 0; i < MOVE_COUNT; i++) {
        if (moves[i].verb == verb && moves[i].to == state) {
            return true;
        }
    }
    return false;
}

const char *release_state_word(enum release_state_number state)
{
    return (size_t)state < STATE_COUNT ? states[state].word : "?";
}

const char *release_phase_word(enum release_state_number state)
{
    return (size_t)state < STATE_COUNT ? states[state].phase : "?";
}

const char *release_verb_word(enum release_verb verb)
{
    return (size_t)verb < VERB_COUNT ? verbs[verb].word : "?";
}

int release_verb_parse(const char *word, enum release_verb *ret_verb)
{
    for (size_t i = 0; i < VERB_COUNT; i++) {
        if (strcmp(verbs[i].word, word) == 0) {
            *ret_verb = (enum release_verb)i;
            return 0;
        }
    }
    return -1;
}

unsigned release_verb_right(enum release_verb verb)
{
    /* Unknown asks for what nobody has. */
    return (size_t)verb < VERB_COUNT ? verbs[verb].right : ~0u;
}
