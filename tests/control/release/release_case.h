/* SPDX-License-Identifier: Apache-2.0
 * release_case.h - releases to play with, and one line to say a verb.
 *
 * Why: tests of the machine speak of documents and verbs, not of structs.
 * Read next: test_move.c.
 */
#ifndef GRAYD_TESTS_RELEASE_CASE_H
#define GRAYD_TESTS_RELEASE_CASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "control/release/release.h"

#define PERCENT 10000u
#define STEPPED                                                              \
    "{'kind':'Release','name':'cart-2','strategy':{'canary':{'steps':["      \
    "{'setWeight':1},{'pause':{}},{'setWeight':10},{'ramp':{'to':50,"        \
    "'duration':'1h'}},{'setWeight':100}]}}}"
#define PLAIN "{'kind':'Release','name':'cart-2','admission':{'share':5}}"

/* Text of a document with ' for ". */
static inline json_t *document_of(const char *text)
{
    char buffer[16384];
    json_error_t error;
    json_t *document;
    size_t i;

    assert_true(strlen(text) < sizeof(buffer));
    for (i = 0; text[i] != '\0'; i++) {
        buffer[i] = text[i] == '\'' ? '"' : text[i];
    }
    buffer[i] = '\0';
    document = json_loads(buffer, 0, &error);
    if (document == NULL) {
        fail_msg("%s: %s", error.text, buffer);
    }
    return document;
}

static inline struct release_facts facts_of(const char *text)
{
    json_t *document = document_of(text);
    struct release_facts facts;

    assert_int_equal(release_facts_read(document, &facts), 0);
    json_decref(document);
    return facts;
}

static inline struct release_event event_of(enum release_verb verb)
{
    return (struct release_event) {
        .verb = verb, .share = RELEASE_NO_SHARE, .by = "ann",
        .reason = "because", .now = 2000, .breaks = RELEASE_UNSAID,
    };
}

/* The verb must be carried out. */
static inline void go(struct release_status *status,
                      const struct release_facts *facts,
                      const struct release_event *event)
{
    struct release_refusal refusal = {0};

    if (release_move(status, facts, event, status, &refusal) != 0) {
        fail_msg("%s from %s: %s %s", release_verb_word(event->verb),
                 release_state_word(status->state),
                 refusal.code != NULL ? refusal.code : "(nothing to do)",
                 refusal.sentence);
    }
}

static inline void say(struct release_status *status,
                       const struct release_facts *facts,
                       enum release_verb verb)
{
    struct release_event event = event_of(verb);

    go(status, facts, &event);
}

static inline void weigh(struct release_status *status,
                         const struct release_facts *facts, uint32_t percent)
{
    struct release_event event = event_of(VERB_SET_WEIGHT);

    event.share = percent * PERCENT;
    go(status, facts, &event);
}

/* The event must be refused with this code; nothing may change. */
static inline void refuse_event(const struct release_status *status,
                                const struct release_facts *facts,
                                const struct release_event *event,
                                const char *code, const char *advice)
{
    struct release_status next, untouched;
    struct release_refusal refusal = {0};

    memset(&next, 0x5a, sizeof(next));
    memset(&untouched, 0x5a, sizeof(untouched));
    assert_int_equal(release_move(status, facts, event, &next, &refusal), -1);
    assert_string_equal(refusal.code, code);
    assert_true(strlen(refusal.sentence) > 10);
    if (advice != NULL && strstr(refusal.advice, advice) == NULL) {
        fail_msg("'%s' does not advise '%s'", refusal.advice, advice);
    }
    assert_memory_equal(&next, &untouched, sizeof(next));
}

static inline void refuse(const struct release_status *status,
                          const struct release_facts *facts,
                          enum release_verb verb, const char *code,
                          const char *advice)
{
    struct release_event event = event_of(verb);

    refuse_event(status, facts, &event, code, advice);
}

static inline void nothing(const struct release_status *status,
                           const struct release_facts *facts,
                           enum release_verb verb)
{
    struct release_event event = event_of(verb);
    struct release_status next;

    assert_int_equal(release_move(status, facts, &event, &next, NULL), 1);
    assert_memory_equal(&next, status, sizeof(next));
}

static inline struct release_status begin(const struct release_facts *facts)
{
    struct release_status status;

    release_first(facts, 1000, "eve", &status);
    return status;
}

/* Takes a release into a state by verbs alone. */
static inline struct release_status stand(const struct release_facts *facts,
                                          enum release_state_number state)
{
    struct release_status status = begin(facts);

    if (state == RELEASE_INITIALIZED) {
        return status;
    }
    if (status.state == RELEASE_INITIALIZED) {
        weigh(&status, facts, 1);
    }
    switch (state) {
    case RELEASE_PAUSED:
        say(&status, facts, VERB_PAUSE);
        break;
    case RELEASE_FROZEN:
        say(&status, facts, VERB_FREEZE);
        break;
    case RELEASE_PROMOTED:
    case RELEASE_COMPLETED:
        weigh(&status, facts, 100);
        break;
    case RELEASE_ABORTED:
        say(&status, facts, VERB_ABORT);
        break;
    default:
        break;
    }
    if (state == RELEASE_COMPLETED) {
        say(&status, facts, VERB_FINISH);
    }
    assert_int_equal(status.state, state);
    return status;
}

/* xorshift, so that a run can be repeated. */
static inline uint64_t draw(uint64_t *state, uint64_t below)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state % below;
}

#endif
