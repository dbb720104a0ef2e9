/* SPDX-License-Identifier: Apache-2.0
 * client_mark.c - the mark that an application keeps in its own row.
 *
 * Why: nothing is as strong as a mark that is committed with the very row that
 * it is about.  So this grade writes nothing of ours: it answers by the mark
 * that is handed back, and hands out one that is new (row_mark.h).
 * Read next: gray.h, client_question.c.
 */
#include <errno.h>
#include <string.h>

#include "engine/release.h"
#include "runtime/client.h"
#include "runtime/row_mark.h"

/* ---- asked by the engine
 * ----------------------------------------------------- */

struct handed {
    const struct gray_view *view;
    enum gray_client_had had;
    bool good; /* the mark is one of this unit */
    struct gray_row_mark mark;
    struct gray_mark revoked; /* as it stands in the folder; state 0: none */
};

/* The folder's tables are looked at for one thing only: was this unit's
 * admission revoked since? */
static void look_for_revoked(struct handed *handed,
                             const struct gray_mark_query *query)
{
    const struct gray_marks *marks = handed->view->marks != NULL
                                         ? &handed->view->marks[query->release]
                                         : NULL;
    struct gray_mark mark;
    uint64_t value = 0;

    if (marks == NULL || marks->table.file == NULL ||
        gray_mark_find(
            marks, gray_mark_key(marks->table.file, query->space, query->unit),
            &value) != GRAY_FIND_FOUND) {
        return;
    }
    mark = gray_mark_of(marks->table.file, value);
    if (mark.state == GRAY_MARK_REVOKED) {
        handed->revoked = mark;
    }
}

static struct gray_mark handed_ask(void *context,
                                   const struct gray_mark_query *query)
{
    struct handed *handed = context;
    struct gray_mark none = {.state = GRAY_MARK_ABSENT};

    if (query->step != GRAY_STEP_MARK || query->alias) {
        return none;
    }
    /* Asked only where it can change what is said. */
    if (handed->had == GRAY_CLIENT_ABSENT ||
        (handed->good && handed->mark.state == GRAY_MARK_IN)) {
        look_for_revoked(handed, query);
    }
    switch (handed->had) {
    case GRAY_CLIENT_ABSENT:
        return handed->revoked.state != 0 ? handed->revoked : none;
    case GRAY_CLIENT_MARK:
        return (struct gray_mark){.state = handed->good ? handed->mark.state
                                                        : GRAY_MARK_HOLD,
                                  .variant = handed->mark.variant,
                                  .attempt = handed->mark.attempt,
                                  .revision = handed->mark.revision};
    default:
        return (struct gray_mark){.state = GRAY_MARK_UNKNOWN};
    }
}

/* ---- answers
 * ------------------------------------------------------------------- */

static void say(struct gray_client_decision *answer, enum gray_client_says says,
                enum gray_reason reason)
{
    answer->says = says;
    answer->reason = gray_reason_code(reason);
    answer->sentence = gray_reason_sentence(reason);
}

/* Nobody can be asked whether the release still stands. */
static void say_blind(struct gray_client_decision *answer,
                      enum gray_client_had had,
                      const struct gray_client_mark *mark,
                      enum gray_reason reason)
{
    bool in = had == GRAY_CLIENT_MARK && mark->bytes[1] != GRAY_MARK_OUT;

    say(answer,
        (in || had == GRAY_CLIENT_UNKNOWN) && reason != GRAY_REASON_BYPASS
            ? GRAY_CLIENT_HOLD
            : GRAY_CLIENT_OUT,
        reason);
}

/* What a good mark says, whatever the rules say by now. */
static void say_handed(const struct question *q, uint32_t number,
                       const struct handed *handed,
                       struct gray_client_decision *answer)
{
    const struct gray_release *release =
        gray_release_at(q->view->policy, number);
    enum gray_word word = gray_release_word(q->view, release);

    if (word == GRAY_WORD_BASELINE || word == GRAY_WORD_KILLED) {
        say(answer, GRAY_CLIENT_OUT, gray_release_word_reason(word));
    } else if (!handed->good) {
        say(answer, GRAY_CLIENT_HOLD, GRAY_REASON_MARK_HOLD);
    } else if (handed->mark.state == GRAY_MARK_OUT) {
        say(answer, GRAY_CLIENT_OUT, GRAY_REASON_HANDED);
    } else if (handed->revoked.state != 0 &&
               handed->revoked.attempt >= handed->mark.attempt) {
        say(answer, GRAY_CLIENT_OUT, GRAY_REASON_REVOKED);
    } else if (handed->mark.variant >= release->variants.count) {
        say(answer, GRAY_CLIENT_HOLD, GRAY_REASON_MARK_HOLD);
    } else {
        say(answer, GRAY_CLIENT_IN, GRAY_REASON_HANDED);
        runtime_client_variant(q->view, number, handed->mark.variant,
                               answer->variant, sizeof(answer->variant));
    }
}

static void say_decided(const struct question *q, uint32_t number,
                        const struct gray_verdict *verdict,
                        struct gray_client_decision *answer)
{
    const struct gray_release *release =
        gray_release_at(q->view->policy, number);
    struct gray_row_mark mark = {
        .state = verdict->record,
        .variant = verdict->variant,
        .attempt = (uint8_t)release->attempt,
        .revision = (uint32_t)q->view->policy->header->revision,
        .seconds = (uint32_t)(q->in.now / 1000)};

    say(answer,
        verdict->hold ? GRAY_CLIENT_HOLD
        : verdict->in ? GRAY_CLIENT_IN
                      : GRAY_CLIENT_OUT,
        (enum gray_reason)verdict->reason);
    answer->bucket = runtime_client_bucket(verdict->bucket);
    if (verdict->in) {
        runtime_client_variant(q->view, number, verdict->variant,
                               answer->variant, sizeof(answer->variant));
    }
    if (verdict->record != 0) {
        answer->store = 1;
        gray_row_mark_write(answer->mark.bytes, &mark, release->scope,
                            gray_unit(q->view, number, &q->in));
    }
}

static enum gray_reason decide(struct question *q, uint32_t number,
                               enum gray_client_had had,
                               const struct gray_client_mark *mark,
                               struct gray_client_decision *answer)
{
    struct handed handed = {.view = q->view, .had = had};
    struct gray_verdict verdict;

    if (had == GRAY_CLIENT_MARK) {
        handed.good = gray_row_mark_read(
            mark->bytes, gray_release_at(q->view->policy, number)->scope,
            gray_unit(q->view, number, &q->in), &handed.mark);
    }
    gray_decide_release(q->view, number, &q->in, handed_ask, &handed, &verdict,
                        NULL);
    if (had == GRAY_CLIENT_MARK) {
        say_handed(q, number, &handed, answer);
    } else {
        say_decided(q, number, &verdict, answer);
    }
    return (enum gray_reason)verdict.reason;
}

int gray_client_decide(struct gray_client *client, const char *release,
                       const struct gray_client_request *request,
                       enum gray_client_had had,
                       const struct gray_client_mark *mark,
                       struct gray_client_decision *ret_decision)
{
    struct gray_client_decision answer = {.size = sizeof(answer), .bucket = -1};
    struct gray_str name = {release, (uint32_t)strnlen(release, 4096)};
    struct question q;
    uint32_t number;
    int error;

    if (ret_decision->size != sizeof(*ret_decision) ||
        (unsigned)had > GRAY_CLIENT_UNKNOWN ||
        (had == GRAY_CLIENT_MARK && mark == NULL)) {
        return -EINVAL;
    }
    error = runtime_client_begin(client, request, &q);
    answer.revision = runtime_client_revision(q.hold);
    number = q.view != NULL && error == 0
                 ? gray_find_release(q.view->policy, name)
                 : GRAY_NONE;
    if (error == 0 && number != GRAY_NONE) {
        q.reason = decide(&q, number, had, mark, &answer);
    } else if (error == 0) {
        q.reason = q.view != NULL ? GRAY_REASON_NONE : q.reason;
        say_blind(&answer, had, mark, q.reason);
        error = q.view != NULL ? -ENOENT : 0;
    }
    if (answer.says == GRAY_CLIENT_HOLD && error == 0) {
        gray_counters_event(q.hold.runtime, GRAY_EVENT_HOLDS);
    }
    runtime_client_done(&q, error);
    if (error == 0 || error == -ENOENT) {
        *ret_decision = answer;
    }
    return error;
}
