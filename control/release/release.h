/* SPDX-License-Identifier: Apache-2.0
 * release.h - where a release stands, and where a verb takes it.
 *
 * Why: "pause", "freeze", "abort" and "kill" are different things, and each
 * must do the same whoever says it: a person, a schedule, or (later) a
 * judgement.  So the machine is pure: a state, facts of the document, an event
 * and the moment go in; the next state or a refusal with advice comes out.
 * Nothing here writes, waits or asks.
 * Read next: release.def (the picture and the table), move.c.
 */
#ifndef GRAYD_RELEASE_H
#define GRAYD_RELEASE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "control/identity/identity.h"
#include "engine/engine.h"
#include "policy/policy.h"

#define RELEASE_STEPS_MAX GRAY_STEPS_MAX
#define RELEASE_REASON_MAX 400u /* bytes of a reason */
#define RELEASE_NO_SHARE UINT32_MAX
#define RELEASE_ATTEMPT_MAX GRAY_ATTEMPT_MAX
#define RELEASE_LEASE_MS 10000u /* admissionLease, where it is not written */
#define RELEASE_UNSAID UINT64_MAX /* a number of marks that nobody said */

enum release_state_number {
#define RELEASE_STATE(NAME, word, phase, doc) RELEASE_##NAME,
#include "control/release/release.def"
};
enum release_verb {
#define RELEASE_VERB(NAME, word, right, reason, widens, summary) VERB_##NAME,
#include "control/release/release.def"
    VERB_COUNT
};

/* What of its document matters to the machine. */
struct release_facts {
    char name[GRAY_NAME_MAX + 1];
    uint8_t data_compat, stickiness; /* GRAY_DATA_*, GRAY_STICKY_* */
    bool on_abort_keep;              /* strategy onAbort: keep */
    bool has_strategy;
    uint32_t declared_share;         /* admission.share, millionths */
    uint32_t holdback; /* admission.holdback: 100 % is all but these */
    struct { uint32_t step, share; } weights[RELEASE_STEPS_MAX]; /* setWeight,
                                        ramp: where it leads; ascending,
                                        those that add nothing left out */
    size_t weight_count;
    uint32_t step_count;
    bool strict;         /* durability: strict */
    uint32_t lease_ms;   /* admissionLease; 0: none */
    uint32_t dimensions; /* how many; 0: none are declared */
};
/* Reads them from a document (as stored). 0, or -1: not a release's, or it has
 * more weights than RELEASE_STEPS_MAX. */
int release_facts_read(const json_t *document,
                       struct release_facts *ret_facts);

struct release_status {
    enum release_state_number state;
    uint32_t share;      /* in force, millionths */
    uint32_t step;       /* of the strategy, whose weight is in force */
    uint32_t attempt;    /* from 1 */
    uint32_t dimension;  /* that moves; those before it are at 100 % */
    bool killed;
    bool keep;           /* Aborted, and those in stay in */
    bool retreated;      /* units were taken out one by one: a larger share is
                            a new attempt, so that it may let them in again */
    bool frozen_promoted; /* Frozen, and was Promoted before */
    uint64_t seen_in;    /* units that were in when the share last grew, */
    uint32_t seen_share; /* and the share until then; 0: nobody counted */
    char completion[20]; /* "", Promoted FastPromoted Aborted RolledBack */
    int64_t since, started; /* of the last move, of this attempt: ms since the
                               epoch; 0: never */
    char by[IDENTITY_NAME_MAX + 1];
    char reason[RELEASE_REASON_MAX + 1];
};
/* The state of a release whose document was just applied for the first time:
 * Initialized at share 0 when it has a strategy, else at its declared share
 * (Progressing, or Promoted at 100 %). */
void release_first(const struct release_facts *facts, int64_t now,
                   const char *by, struct release_status *ret_status);
/* As items of the store. New reference. */
json_t *release_status_json(const struct release_status *status);
int release_status_parse(const json_t *value,
                         struct release_status *ret_status);

/* Who is taken out by retreat. */
enum release_cohort { RELEASE_COHORT_NONE, RELEASE_COHORT_SHARE,
                      RELEASE_COHORT_NEWEST, RELEASE_COHORT_LISTED };
struct release_event {
    enum release_verb verb;
    uint32_t share;        /* set-weight, start, retry, retreat to a share;
                              RELEASE_NO_SHARE: not given */
    bool full;             /* promote */
    int on_abort;          /* 0 by the document, 1 keep, 2 leave */
    enum release_cohort cohort; /* retreat */
    bool may_override;     /* who asks has the right to */
    bool busy;             /* marks are still being revoked */
    uint64_t in, revoked;  /* units that are so; 0: nobody counted */
    uint64_t breaks;       /* marks that it breaks, as said; RELEASE_UNSAID */
    uint64_t marks;        /* and as it is; RELEASE_UNSAID: nobody knows */
    const struct release_status *earlier; /* undo: where it stood then */
    const char *by, *reason; /* reason NULL: none */
    int64_t now;
};
struct release_refusal {
    const char *code;    /* static: "not-in-this-state", "would-shrink",
                            "reason-missing", "killed", "no-marks", ... */
    char sentence[300];
    char advice[400];    /* what to do instead, as commands */
};
/* 0 and *ret_next, or -1 and *ret_refusal. A verb that finds nothing to do
 * (pause of a paused one, kill of a killed one) is 1 with *ret_next unchanged:
 * saying it twice does no harm. */
int release_move(const struct release_status *now,
                 const struct release_facts *facts,
                 const struct release_event *event,
                 struct release_status *ret_next,
                 struct release_refusal *ret_refusal);
/* A document of this release was applied anew: without a strategy its declared
 * share is a set-weight; with one the share in force stays. */
int release_reapplied(const struct release_status *now,
                      const struct release_facts *before,
                      const struct release_facts *after, int64_t moment,
                      const char *by, struct release_status *ret_next,
                      struct release_refusal *ret_refusal);
/* Whether data that the old version cannot read would be left behind by this
 * move: then it needs a person who may override, and the count of marks. */
bool release_harms(const struct release_status *before,
                   const struct release_facts *facts,
                   const struct release_event *event,
                   const struct release_status *after);
/* Which marks a move takes back, in the words of control/marks. */
enum release_revokes { RELEASE_REVOKES_NONE, RELEASE_REVOKES_ALL,
                       RELEASE_REVOKES_ABOVE, /* the share of `after` */
                       RELEASE_REVOKES_COHORT /* newest or listed */ };
enum release_revokes release_revokes(const struct release_status *before,
                                     const struct release_facts *facts,
                                     const struct release_event *event,
                                     const struct release_status *after);
/* Where promote leads; RELEASE_NO_SHARE: nowhere. */
uint32_t release_next_share(const struct release_status *status,
                            const struct release_facts *facts);
/* The scope word that this state means (GRAY_WORD_*). */
uint32_t release_word(const struct release_status *status);
/* Somebody set a word on the host itself, with or without grayd: it wins.
 * KILLED kills, NO_ADMIT freezes, BASELINE aborts, OPEN takes back what held
 * (what was aborted is Initialized again, at share 0, in a new attempt). The
 * word of *ret_next is `word`; only what is Completed and was aborted stays so.
 * 1 when it says what is so already. */
int release_adopt(const struct release_status *now,
                  const struct release_facts *facts, uint32_t word,
                  int64_t moment, const char *by, const char *reason,
                  struct release_status *ret_next);

const char *release_state_word(enum release_state_number state);
const char *release_phase_word(enum release_state_number state);
const char *release_verb_word(enum release_verb verb);
int release_verb_parse(const char *word, enum release_verb *ret_verb);
unsigned release_verb_right(enum release_verb verb);
/* AWS AppConfig's event type for the audit: DEPLOYMENT_STARTED,
 * PERCENTAGE_UPDATED, DEPLOYMENT_COMPLETED, ROLLBACK_STARTED, ...; NULL. */
const char *release_event_type(enum release_verb verb,
                               const struct release_status *before,
                               const struct release_status *after);
/* The command that takes a move back, into a buffer; "" where none does. */
void release_undo_command(const char *name, enum release_verb verb,
                          const struct release_status *before,
                          const struct release_status *after, char *buffer,
                          size_t size);
/* What a retired release leaves behind, as sentences: services whose baseline
 * still is the old version, lists and rules that only it uses. `documents` is
 * an array of all documents. New reference. */
json_t *release_residue(const char *name, const json_t *documents);

#endif
