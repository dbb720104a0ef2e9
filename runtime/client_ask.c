/* SPDX-License-Identifier: Apache-2.0
 * client_ask.c - the questions of libgray, answered by the engine.
 *
 * Why: every answer is copied into the caller's record while the state it came
 * from cannot go away, so that nothing handed out ever dangles.
 * Read next: client_input.c, libgray.c.
 */
#include <errno.h>
#include <string.h>

#include "runtime/client.h"

static void answer_reason(struct gray_client_answer *answer,
                          enum gray_reason reason)
{
    answer->reason = gray_reason_code(reason);
    answer->sentence = gray_reason_sentence(reason);
}

static void answer_fill(const struct gray_view *view,
                        const struct gray_input *in,
                        const struct gray_colour *colour,
                        struct gray_client_answer *answer)
{
    const struct gray_lane *lane = gray_lane_at(view->policy, colour->lane);
    const struct gray_release *release =
        gray_release_at(view->policy, colour->release);
    size_t length;

    /* A lane that this policy does not know is passed on as it came. */
    runtime_client_text(answer->lane, sizeof(answer->lane),
                        lane != NULL ? gray_text(view->policy, lane->name)
                                     : in->lane);
    length = gray_arms_write(view, colour, in->arms, answer->arms,
                             sizeof(answer->arms) - 1);
    answer->arms[length < sizeof(answer->arms) ? length : 0] = '\0';
    if (release != NULL) {
        runtime_client_text(answer->release, sizeof(answer->release),
                            gray_text(view->policy, release->name));
    }
    answer->bucket = runtime_client_bucket(colour->bucket);
    answer->hold = colour->hold;
    answer_reason(answer, (enum gray_reason)colour->reason);
}

int gray_client_ask(struct gray_client *client,
                    const struct gray_client_request *request,
                    struct gray_client_answer *ret_answer)
{
    struct gray_client_answer answer = {.size = sizeof(answer), .bucket = -1};
    struct gray_colour colour;
    struct question q;
    uint32_t step = 0;
    int error;

    if (ret_answer->size != sizeof(*ret_answer)) {
        return -EINVAL;
    }
    error = runtime_client_begin(client, request, &q);
    if (q.view != NULL && error == 0) {
        while (gray_decide_marked(
                   &q.marked,
                   runtime_client_entrance(q.view->policy, &q.request), &q.in,
                   &colour, NULL) == GRAY_MARKED_WAIT &&
               runtime_client_sleep(client, &q, &step)) {
        }
    }
    answer.revision = runtime_client_revision(q.hold);
    if (q.view == NULL) {
        answer_reason(&answer, q.reason);
    } else if (error == 0) {
        answer_fill(q.view, &q.in, &colour, &answer);
        q.reason = (enum gray_reason)colour.reason;
    }
    runtime_client_done(&q, error);
    if (error == 0) {
        *ret_answer = answer;
    }
    return error;
}

/* The release by its name, in whatever policy there is after a sleep.  False:
 * there is none, or no policy. */
static bool release_decide(struct gray_client *client, struct question *q,
                           struct gray_str name,
                           struct gray_verdict *ret_verdict)
{
    uint32_t step = 0, number;

    while (q->view != NULL) {
        number = gray_find_release(q->view->policy, name);
        if (number == GRAY_NONE) {
            return false;
        }
        if (gray_release_marked(&q->marked, number, &q->in, ret_verdict,
                                NULL) == GRAY_MARKED_DECIDED) {
            return true;
        }
        runtime_client_sleep(client, q, &step);
    }
    return false;
}

int gray_client_release(struct gray_client *client, const char *release,
                        const struct gray_client_request *request,
                        struct gray_client_verdict *ret_verdict)
{
    struct gray_client_verdict answer = {.size = sizeof(answer), .bucket = -1};
    struct gray_str name = {release, (uint32_t)strnlen(release, 4096)};
    struct gray_verdict verdict;
    struct question q;
    int error;

    if (ret_verdict->size != sizeof(*ret_verdict)) {
        return -EINVAL;
    }
    error = runtime_client_begin(client, request, &q);
    if (q.view != NULL && error == 0) {
        if (release_decide(client, &q, name, &verdict)) {
            answer.in = verdict.in;
            answer.hold = verdict.hold;
            answer.bucket = runtime_client_bucket(verdict.bucket);
            if (verdict.in) {
                runtime_client_variant(q.view, verdict.release, verdict.variant,
                                       answer.variant, sizeof(answer.variant));
            }
            q.reason = (enum gray_reason)verdict.reason;
        } else if (q.view != NULL) {
            q.reason = GRAY_REASON_NONE;
            error = -ENOENT;
        }
    }
    answer.revision = runtime_client_revision(q.hold);
    runtime_client_done(&q, error);
    answer.reason = gray_reason_code(q.reason);
    answer.sentence = gray_reason_sentence(q.reason);
    if (error == 0 || error == -ENOENT) {
        *ret_verdict = answer;
    }
    return error;
}

static void version_fill(const struct gray_view *view,
                         const struct gray_choice *choice, uint64_t random,
                         struct gray_client_version *ret)
{
    const struct gray_route *route = gray_route_at(view->policy, choice->route);
    const struct gray_endpoint *endpoint = NULL;

    ret->refuse = choice->refuse;
    ret->reason = gray_reason_code((enum gray_reason)choice->reason);
    ret->sentence = gray_reason_sentence((enum gray_reason)choice->reason);
    if (route == NULL) {
        return;
    }
    runtime_client_text(ret->version, sizeof(ret->version),
                        gray_text(view->policy, route->version));
    if (view->fleet != NULL) {
        uint32_t picked = gray_pick(view, choice->route, NULL, 0, random);

        endpoint = gray_endpoint_at(view->fleet, picked);
    }
    if (endpoint != NULL) {
        runtime_client_text(ret->endpoint, sizeof(ret->endpoint),
                            gray_fleet_text(view->fleet, endpoint->text));
    }
}

int gray_client_choose(struct gray_client *client, const char *service,
                       const char *lane, const char *arms,
                       struct gray_client_version *ret_version)
{
    struct gray_client_version answer = {.size = sizeof(answer)};
    struct gray_client_request request = {
        .size = sizeof(request), .lane = lane, .arms = arms};
    struct gray_str name = {service, (uint32_t)strnlen(service, 4096)};
    enum gray_reason reason;
    const struct gray_view *view;
    struct gray_choice choice;
    struct gray_colour colour;
    struct client_hold hold;
    struct gray_input in;

    if (ret_version->size != sizeof(*ret_version)) {
        return -EINVAL;
    }
    hold = runtime_client_enter(client);
    view = runtime_client_view(hold, &reason);
    if (view == NULL && reason == GRAY_REASON_BYPASS && hold.set != NULL &&
        hold.set->policy != NULL) {
        /* Bypass decides nothing, but the baseline still has an address. */
        view = &hold.set->view;
        request.lane = request.arms = NULL;
    }
    if (view != NULL) {
        uint32_t number = gray_find_service(view->policy, name);

        runtime_client_input(client, view->policy, &request, &in);
        gray_decide(view, GRAY_NONE, &in, NULL, NULL, &colour, NULL);
        gray_choose(view, number, &colour, &choice);
        version_fill(view, &choice, runtime_client_random(client), &answer);
    } else {
        answer.reason = gray_reason_code(reason);
        answer.sentence = gray_reason_sentence(reason);
    }
    runtime_client_leave(hold);
    *ret_version = answer;
    return 0;
}

size_t gray_client_explain(struct gray_client *client,
                           const struct gray_client_request *request,
                           char *buffer, size_t size)
{
    struct question q;
    size_t length = 0;

    if (runtime_client_begin(client, request, &q) == 0 && q.view != NULL) {
        q.marked.read_only = true;
        length = gray_explain(
            q.view, runtime_client_entrance(q.view->policy, &q.request), &q.in,
            gray_marked_ask, &q.marked, buffer, size);
    }
    runtime_client_leave(q.hold); /* no answer of the kind that is counted */
    return length;
}

size_t gray_client_baggage(const char *incoming, const char *lane,
                           const char *arms, char *buffer, size_t size)
{
    struct gray_str parts[3];
    const char *texts[3] = {incoming, lane, arms};
    size_t length, i;

    for (i = 0; i < 3; i++) {
        parts[i].data = texts[i] != NULL ? texts[i] : "";
        parts[i].length = (uint32_t)strnlen(parts[i].data, 65536);
    }
    if (size == 0) {
        return 0;
    }
    length = gray_baggage_write(parts[0], parts[1], parts[2], GRAY_CLASS_LIVE,
                                buffer, size - 1);
    buffer[length] = '\0';
    return length;
}
