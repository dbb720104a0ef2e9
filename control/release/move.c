/* SPDX-License-Identifier: Apache-2.0
 * move.c - the one place that says where a verb takes a release.
 *
 * Why: release.def is the table; what a table cannot say stands here once: a
 * share only grows but by abort and undo, what is killed lets nobody in, data
 * that the old version cannot read is frozen where others are aborted, and
 * every refusal says what to do instead.
 * Read next: release.def, reapplied.c (documents), adopt.c (the host's words).
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "control/release/internal.h"

struct move {
    const struct release_status *now;
    const struct release_facts *facts;
    const struct release_event *event;
    struct release_status next;
    struct release_refusal *refusal;
};

/* ---- parts of a move ----------------------------------------------------- */

void release_text(char *buffer, size_t size, const char *text)
{
    size_t length = text != NULL ? strlen(text) : 0;

    if (length >= size) {
        length = size - 1;
        while (length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80) {
            length--;
        }
    }
    memcpy(buffer, text != NULL ? text : "", length);
    memset(buffer + length, 0, size - length); /* equal states, equal bytes */
}

const char *release_percent(uint32_t share, char buffer[RELEASE_PERCENT_MAX])
{
    snprintf(buffer, RELEASE_PERCENT_MAX, "%.10g", share / 10000.0);
    return buffer;
}

int release_refuse(struct release_refusal *ret_refusal, const char *code,
                   const char *advice, const char *format, ...)
{
    va_list arguments;

    ret_refusal->code = code;
    snprintf(ret_refusal->advice, sizeof(ret_refusal->advice), "%s",
             advice != NULL ? advice : "");
    va_start(arguments, format);
    vsnprintf(ret_refusal->sentence, sizeof(ret_refusal->sentence), format,
              arguments);
    va_end(arguments);
    return -1;
}

void release_arrive(struct release_status *status,
                    const struct release_facts *facts,
                    enum release_state_number state, uint32_t share)
{
    bool all = share >= release_share_all(facts) &&
               !release_more_dimensions(status, facts);

    if (status->retreated && share > status->share) {
        status->retreated = false;
        status->attempt += status->attempt < RELEASE_ATTEMPT_MAX;
    }
    status->state = all ? RELEASE_PROMOTED : state;
    status->share = share;
    status->step = release_step_at(facts, share);
    status->keep = false;
    status->frozen_promoted = false;
    release_text(status->completion, sizeof(status->completion),
                 all ? "Promoted" : "");
}

void release_end(struct release_status *status, bool keep)
{
    if (status->state != RELEASE_COMPLETED) {
        status->state = RELEASE_ABORTED;
    }
    status->share = 0;
    status->step = 0;
    status->dimension = 0;
    status->keep = keep;
    status->frozen_promoted = false;
    status->retreated &= keep;
    release_text(status->completion, sizeof(status->completion), "Aborted");
}

void release_freeze(struct release_status *status)
{
    status->frozen_promoted = status->state == RELEASE_PROMOTED;
    status->state = RELEASE_FROZEN;
}

void release_thaw(struct release_status *status)
{
    status->state = status->frozen_promoted ? RELEASE_PROMOTED
                    : status->share == 0    ? RELEASE_INITIALIZED
                                            : RELEASE_PAUSED;
    status->frozen_promoted = false;
}

/* ---- refusals ------------------------------------------------------------ */

/* What does help in a state, when the verb does not. */
static const char *helps(const struct release_status *now, const char *name,
                         char *buffer, size_t size)
{
    static const char *const advice[] = {
        [RELEASE_INITIALIZED] = "gray start %s begins it",
        [RELEASE_PROGRESSING] =
            "gray promote %s goes on, gray pause %s or gray freeze %s holds it",
        [RELEASE_PAUSED] = "gray resume %s or gray promote %s goes on",
        [RELEASE_FROZEN] = "gray thaw %s lets it go on, gray abort %s ends it",
        [RELEASE_PROMOTED] =
            ("gray finish %s retires it, gray abort %s or gray undo %s goes "
             "back"),
        [RELEASE_ABORTED] = "gray retry %s begins a new attempt",
        [RELEASE_COMPLETED] = "a new change needs a release of another name",
    };
    const char *from = advice[now->state];
    size_t at = 0;

    /* As many names as the advice has places for. */
    for (; *from != '\0' && at + GRAY_NAME_MAX + 1 < size; from++) {
        if (from[0] == '%' && from[1] == 's') {
            at += (size_t)snprintf(buffer + at, size - at, "%s", name);
            from++;
        } else {
            buffer[at++] = *from;
        }
    }
    buffer[at] = '\0';
    return buffer;
}

static int refuse_here(struct move *move)
{
    char advice[300];

    return release_refuse(
        move->refusal, "not-in-this-state",
        helps(move->now, move->facts->name, advice, sizeof(advice)),
        "%s is %s, and %s does not lead on from there.", move->facts->name,
        release_state_word(move->now->state),
        release_verb_word(move->event->verb));
}

int release_refuse_killed(const struct release_facts *facts, const char *what,
                          struct release_refusal *ret_refusal)
{
    char advice[300];

    snprintf(advice, sizeof(advice), "gray unkill %s first", facts->name);
    return release_refuse(ret_refusal, "killed", advice,
                          "%s is killed: %s would let units in.", facts->name,
                          what);
}

int release_refuse_unmarked(const struct release_facts *facts,
                            const char *advice,
                            struct release_refusal *ret_refusal)
{
    return release_refuse(ret_refusal, "no-marks", advice,
                          "%s keeps no marks (stickiness: none), so nobody is "
                          "known to be in.",
                          facts->name);
}

/* What was taken back may look as if it was in, until it is done. */
static int refuse_busy(struct move *move)
{
    char advice[300];

    snprintf(advice, sizeof(advice),
             "gray status %s says how many are left; then gray %s %s again",
             move->facts->name, release_verb_word(move->event->verb),
             move->facts->name);
    return release_refuse(move->refusal, "still-revoking", advice,
                          "Marks of %s are still being revoked: %s would let "
                          "units in again meanwhile.",
                          move->facts->name,
                          release_verb_word(move->event->verb));
}

int release_may_set(const struct release_status *now,
                    const struct release_facts *facts, uint32_t share,
                    struct release_refusal *ret_refusal)
{
    const char *name = facts->name;
    char wanted[RELEASE_PERCENT_MAX], other[RELEASE_PERCENT_MAX];
    char advice[400];

    if (share > release_share_all(facts)) {
        snprintf(advice, sizeof(advice),
                 "gray set-weight %s %s lets everyone in", name,
                 release_percent(release_share_all(facts), other));
        return release_refuse(ret_refusal, "beyond-all", advice,
                              "%s %% is more than everyone: %s %% of %s are "
                              "held back.",
                              release_percent(share, wanted),
                              release_percent(facts->holdback, other), name);
    }
    if (share == now->share && share > 0) {
        return 1;
    }
    if (share < now->share && now->share >= release_share_all(facts) &&
        release_more_dimensions(now, facts)) {
        snprintf(advice, sizeof(advice),
                 "gray promote %s opens the next dimension, gray retreat %s "
                 "--to %s takes units out again",
                 name, name, release_percent(share, wanted));
    } else {
        snprintf(advice, sizeof(advice),
                 "gray freeze %s lets nobody new in, gray retreat %s takes "
                 "units out again, gray abort %s sends everyone to the "
                 "baseline",
                 name, name, name);
    }
    if (share == 0) {
        return release_refuse(ret_refusal, "zero-weight", advice,
                              "A weight of 0 admits nobody new and leaves "
                              "those who are in: say which of the two is "
                              "meant.");
    }
    if (share < now->share) {
        return release_refuse(ret_refusal, "would-shrink", advice,
                              "%s is at %s %%; at %s %% units that are in "
                              "would drop out.",
                              name, release_percent(now->share, other),
                              release_percent(share, wanted));
    }
    return 0;
}

/* ---- one verb each ------------------------------------------------------- */

/* The share that an attempt begins with: said, or of the document. */
static int first_share(struct move *move, uint32_t *ret_share)
{
    const struct release_facts *facts = move->facts;
    const char *verb = release_verb_word(move->event->verb);
    char advice[300];

    if (move->event->share != RELEASE_NO_SHARE) {
        *ret_share = move->event->share;
    } else {
        *ret_share = release_first_share(facts);
    }
    if (*ret_share > 0 || move->event->share == 0) {
        return release_may_set(move->now, facts, *ret_share, move->refusal);
    }
    if (move->event->verb == VERB_START) {
        snprintf(advice, sizeof(advice), "gray set-weight %s 1", facts->name);
    } else {
        snprintf(advice, sizeof(advice),
                 "say a weight: gray %s %s 1; or give it an admission.share",
                 verb, facts->name);
    }
    return release_refuse(move->refusal, "no-weight", advice,
                          "%s has neither steps with a weight nor a share of "
                          "its own, so %s does not know how far to go.",
                          facts->name, verb);
}

static int begin(struct move *move, enum release_state_number to)
{
    struct release_status *next = &move->next;
    uint32_t share = 0;

    if (move->event->verb == VERB_RETRY) {
        if (next->attempt >= RELEASE_ATTEMPT_MAX) {
            return release_refuse_attempts(move->facts, next, move->refusal);
        }
        next->attempt++;
        next->retreated = false;
    }
    if (first_share(move, &share) != 0) {
        return -1;
    }
    next->started = move->event->now;
    release_arrive(next, move->facts, to, share);
    return 0;
}

static int set_weight(struct move *move, enum release_state_number to)
{
    int may;

    if (move->event->share == RELEASE_NO_SHARE) {
        return release_refuse(move->refusal, "weight-missing", NULL,
                              "set-weight needs a percentage.");
    }
    may = release_may_set(move->now, move->facts, move->event->share,
                          move->refusal);
    if (may != 0) {
        return may;
    }
    if (move->now->state == RELEASE_INITIALIZED) {
        move->next.started = move->event->now;
    }
    release_arrive(&move->next, move->facts, to, move->event->share);
    return 0;
}

static int promote(struct move *move, enum release_state_number to)
{
    const struct release_facts *facts = move->facts;
    uint32_t share = release_next_share(move->now, facts);
    char advice[300];

    if (move->event->full) {
        share = release_share_all(facts);
    }
    if (share != RELEASE_NO_SHARE &&
        move->now->share >= release_share_all(facts) &&
        release_more_dimensions(move->now, facts)) {
        move->next.dimension++; /* one at a time, each from its beginning */
        move->next.share = 0;
    }
    if (share == RELEASE_NO_SHARE) {
        snprintf(advice, sizeof(advice),
                 "gray set-weight %s PERCENT, or gray promote %s --full",
                 facts->name, facts->name);
        return release_refuse(move->refusal, "no-weight", advice,
                              "%s has no steps, so promote does not know how "
                              "far to go.",
                              facts->name);
    }
    release_arrive(&move->next, facts, to, share);
    if (move->event->full) {
        release_text(move->next.completion, sizeof(move->next.completion),
                     "FastPromoted");
    }
    return 0;
}

static int freeze(struct move *move)
{
    char advice[300];

    if (move->facts->stickiness == GRAY_STICKY_NONE) {
        snprintf(advice, sizeof(advice),
                 "gray stop %s sends everyone to the baseline",
                 move->facts->name);
        return release_refuse_unmarked(move->facts, advice, move->refusal);
    }
    release_freeze(&move->next);
    return 0;
}

static int abort_it(struct move *move)
{
    bool marks = move->facts->stickiness != GRAY_STICKY_NONE;
    int asked = move->event->on_abort;
    char advice[300];

    if (asked == 1 && !marks) {
        snprintf(advice, sizeof(advice),
                 "gray abort %s sends everyone to the baseline",
                 move->facts->name);
        return release_refuse_unmarked(move->facts, advice, move->refusal);
    }
    release_end(&move->next,
                marks && (asked == 1 ||
                          (asked == 0 && move->facts->on_abort_keep)));
    return 0;
}

/* The one button: what is there to do is done, nothing is asked. */
static int stop(struct move *move)
{
    enum release_state_number to;

    if (move->facts->data_compat != GRAY_DATA_IRREVERSIBLE) {
        release_end(&move->next, false);
        return 0;
    }
    if (move->now->state == RELEASE_FROZEN) {
        return 1;
    }
    if (release_table(move->now->state, VERB_FREEZE, &to)) {
        release_freeze(&move->next);
    } else {
        release_end(&move->next, true); /* nobody new; those in stay in */
    }
    return 0;
}

static int undo(struct move *move)
{
    return move->now->state == RELEASE_COMPLETED
               ? refuse_here(move)
               : release_undo(move->now, move->facts, move->event, &move->next,
                              move->refusal);
}

static int switch_killed(struct move *move, bool killed)
{
    if (move->now->killed == killed) {
        return 1;
    }
    if (move->now->state == RELEASE_COMPLETED) {
        return refuse_here(move);
    }
    move->next.killed = killed;
    return 0;
}

/* ---- the move ------------------------------------------------------------ */

static bool blank(const char *text)
{
    return text == NULL || text[strspn(text, " \t\r\n")] == '\0';
}

static int check_reason(struct move *move)
{
    const char *reason = move->event->reason;
    const char *verb = release_verb_word(move->event->verb);
    char advice[300];

    if (blank(reason) && release_verb_find(move->event->verb)->reason) {
        snprintf(advice, sizeof(advice), "gray %s %s --reason TEXT", verb,
                 move->facts->name);
        return release_refuse(move->refusal, "reason-missing", advice,
                              "%s needs a reason: it is what people will ask "
                              "for later.",
                              verb);
    }
    if (reason != NULL && strlen(reason) > RELEASE_REASON_MAX) {
        return release_refuse(move->refusal, "reason-too-long", NULL,
                              "A reason has at most %u bytes.",
                              RELEASE_REASON_MAX);
    }
    return 0;
}

/* Said a second time, or of a release that stands there anyway. */
static bool nothing_to_do(const struct move *move)
{
    const struct release_status *now = move->now;
    const struct release_event *event = move->event;

    switch (event->verb) {
    case VERB_START:
    case VERB_RETRY:
        return release_leads_to(event->verb, now->state) &&
               (event->share == RELEASE_NO_SHARE ||
                event->share == now->share);
    case VERB_SET_WEIGHT:
    case VERB_PROMOTE:
        return now->state == RELEASE_PROMOTED &&
               (event->verb == VERB_PROMOTE || event->share == now->share);
    case VERB_THAW:
        return now->state == RELEASE_PAUSED || now->state == RELEASE_PROMOTED;
    case VERB_ABORT:
        return now->state == RELEASE_ABORTED &&
               (event->on_abort == 0 || (event->on_abort == 1) == now->keep);
    case VERB_UNDO:
    case VERB_KILL:
    case VERB_UNKILL:
    case VERB_RETREAT:
        return false; /* each says so itself */
    default:
        return release_leads_to(event->verb, now->state);
    }
}

static int go(struct move *move, enum release_state_number to)
{
    switch (move->event->verb) {
    case VERB_START:
    case VERB_RETRY:
        return begin(move, to);
    case VERB_SET_WEIGHT:
        return set_weight(move, to);
    case VERB_PROMOTE:
        return promote(move, to);
    case VERB_FREEZE:
        return freeze(move);
    case VERB_THAW:
        release_thaw(&move->next);
        return 0;
    case VERB_ABORT:
        return abort_it(move);
    case VERB_STOP:
        return stop(move);
    case VERB_RETREAT:
        return release_retreat(move->now, move->facts, move->event,
                               &move->next, move->refusal);
    default:
        move->next.state = to;
        return 0;
    }
}

static int decide(struct move *move)
{
    const struct release_verb_facts *verb =
        release_verb_find(move->event->verb);
    enum release_state_number to;

    if (verb == NULL) {
        return release_refuse(move->refusal, "unknown-verb", NULL,
                              "There is no such verb.");
    }
    if (verb->widens && move->now->killed &&
        move->now->state != RELEASE_COMPLETED) {
        return release_refuse_killed(move->facts, verb->word, move->refusal);
    }
    if (nothing_to_do(move)) {
        return 1;
    }
    if (verb->widens && move->event->busy &&
        move->now->state != RELEASE_COMPLETED) {
        return refuse_busy(move);
    }
    if (check_reason(move) != 0) {
        return -1;
    }
    switch (move->event->verb) {
    case VERB_UNDO:
        return undo(move);
    case VERB_KILL:
        return switch_killed(move, true);
    case VERB_UNKILL:
        return switch_killed(move, false);
    default:
        return release_table(move->now->state, move->event->verb, &to)
                   ? go(move, to)
                   : refuse_here(move);
    }
}

/* How many a share has let in says how many there are: for an estimate. */
static void remember_seen(struct move *move)
{
    const struct release_status *now = move->now;
    struct release_status *next = &move->next;

    if (next->dimension != now->dimension ||
        move->event->verb == VERB_RETRY) {
        next->seen_in = 0;
        next->seen_share = 0;
    } else if (next->share > now->share && now->share > 0 &&
               move->event->in > 0) {
        next->seen_in = move->event->in;
        next->seen_share = now->share;
    }
}

int release_move(const struct release_status *now,
                 const struct release_facts *facts,
                 const struct release_event *event,
                 struct release_status *ret_next,
                 struct release_refusal *ret_refusal)
{
    struct release_refusal ignored;
    struct move move = {.now = now, .facts = facts, .event = event,
                        .next = *now,
                        .refusal = ret_refusal != NULL ? ret_refusal
                                                       : &ignored};
    int result = decide(&move);

    if (result == 0) {
        result = release_harm_allowed(now, facts, event, &move.next,
                                      move.refusal);
    }
    if (result == 0) {
        remember_seen(&move);
        move.next.since = event->now;
        release_text(move.next.by, sizeof(move.next.by), event->by);
        release_text(move.next.reason, sizeof(move.next.reason),
                     event->reason);
    }
    if (result >= 0) {
        *ret_next = result == 0 ? move.next : *now;
    }
    return result;
}
