/* SPDX-License-Identifier: Apache-2.0
 * client_question.c - from a caller's record to the state that answers it.
 *
 * Why: a question may have to wait for a mark, and a thread that sleeps must
 * not keep a policy from being taken: so it lets the state go, and begins with
 * the present one when it wakes.  What it knows of its marks it keeps.
 * Read next: client_ask.c, client_mark.c (who ask), admit.c.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "runtime/client.h"

#define STEP_FIRST_US 50u
#define STEP_MAX_US 1000u

void runtime_client_text(char *ret, size_t size, struct gray_str text)
{
    size_t length = text.length < size ? text.length : size - 1;

    if (length > 0) {
        memcpy(ret, text.data, length);
    }
    ret[length] = '\0';
}

void runtime_client_variant(const struct gray_view *view, uint32_t release,
                            uint32_t variant, char *ret, size_t size)
{
    const struct gray_release *r = gray_release_at(view->policy, release);
    const struct gray_variant *v =
        r != NULL && variant < r->variants.count
            ? gray_variant_at(view->policy, r->variants.first + variant)
            : NULL;

    if (v != NULL) {
        runtime_client_text(ret, size, gray_text(view->policy, v->name));
    }
}

int32_t runtime_client_bucket(uint32_t bucket)
{
    return bucket < GRAY_SHARE_ALL ? (int32_t)bucket : -1;
}

uint64_t runtime_client_revision(struct client_hold hold)
{
    return hold.set != NULL && hold.set->policy != NULL
               ? hold.set->policy->policy.header->revision
               : 0;
}

const struct gray_view *runtime_client_view(struct client_hold hold,
                                            enum gray_reason *ret_reason)
{
    if (__atomic_load_n(&hold.runtime->control->bypass, __ATOMIC_RELAXED)) {
        *ret_reason = GRAY_REASON_BYPASS;
        return NULL;
    }
    *ret_reason = GRAY_REASON_NO_SNAPSHOT;
    return hold.set != NULL && hold.set->policy != NULL ? &hold.set->view
                                                        : NULL;
}

static int look(struct gray_client *client, struct question *q)
{
    q->hold = runtime_client_enter(client);
    q->view = runtime_client_view(q->hold, &q->reason);
    return q->view == NULL ? 0
                           : runtime_client_input(client, q->view->policy,
                                                  &q->request, &q->in);
}

static void begin_marked(struct question *q)
{
    const char *entrance =
        q->request.entrance != NULL ? q->request.entrance : "";

    /* Whatever moment the program asks about, a mark is made now. */
    gray_marked_begin(&q->marked, q->hold.runtime, q->view,
                      q->own_moment ? runtime_client_now_ms()
                                    : q->request.now_ms);
    q->marked.entrance_name =
        gray_hash_name(entrance, strnlen(entrance, GRAY_NAME_MAX));
    q->follows = q->hold.runtime->follows;
}

int runtime_client_begin(struct gray_client *client,
                         const struct gray_client_request *request,
                         struct question *ret_question)
{
    struct question *q = ret_question;
    bool known = request->size == sizeof(*request) ||
                 request->size == offsetof(struct gray_client_request, stage);
    int error;

    memset(&q->request, 0, sizeof(q->request));
    q->own_moment = false;
    if (known) {
        memcpy(&q->request, request, request->size);
        q->request.size = sizeof(q->request);
        q->own_moment = q->request.now_ms != 0;
        /* One request, one moment and one draw, however long it waits. */
        if (q->request.now_ms == 0) {
            q->request.now_ms = runtime_client_now_ms();
        }
        if (q->request.random == 0) {
            q->request.random = runtime_client_random(client);
        }
    }
    error = look(client, q);
    if (q->view != NULL) {
        begin_marked(q);
    }
    return known ? error : -EINVAL;
}

void runtime_client_done(const struct question *question, int error)
{
    if (error == 0) {
        gray_counters_reason(question->hold.runtime, question->reason, false);
    }
    runtime_client_leave(question->hold);
}

bool runtime_client_sleep(struct gray_client *client, struct question *question,
                          uint32_t *step_us)
{
    struct timespec step;

    if (*step_us == 0) {
        *step_us = STEP_FIRST_US;
        gray_counters_event(question->hold.runtime, GRAY_EVENT_MARK_WAITED);
    }
    runtime_client_leave(question->hold);
    step = (struct timespec){.tv_nsec = *step_us * 1000L};
    nanosleep(&step, NULL);
    *step_us = *step_us * 2 < STEP_MAX_US ? *step_us * 2 : STEP_MAX_US;
    look(client, question);
    if (question->view == NULL) {
        return false;
    }
    if (question->follows != question->hold.runtime->follows) {
        begin_marked(question); /* another folder, other marks */
    }
    question->marked.view = question->view;
    return true;
}
