/* SPDX-License-Identifier: Apache-2.0
 * answer.c - one request, answered by the engine as one line of JSON.
 *
 * Why: an answer has no length that is known before, so the buffer grows to
 * the longest one and is kept: a million requests pass in seconds.  A client
 * without a unit has the id that its cookie was issued with.  Marks are those
 * of the folder, where there is one: looked at, never made, so the answer is
 * what the gateway would say at this moment.
 * Read next: engine/explain.h, evidence.c, runtime/admit.h.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "ask/ask.h"

#define FIRST_BYTES 65536u

static int grow(struct ask *ask, size_t size)
{
    free(ask->buffer);
    ask->buffer = malloc(size);
    ask->size = ask->buffer != NULL ? size : 0;
    return ask->buffer != NULL ? 0 : -ENOMEM;
}

int ask_answer(struct ask *ask, const struct request *request,
               size_t *ret_length)
{
    struct request asked = *request; /* what it owns stays the caller's */
    const struct gray_snapshot *policy = ask->view->policy;
    struct gray_marked marked;
    struct evidence evidence;
    char issued[18]; /* as the gateway writes it */
    uint32_t entrance;
    size_t length;

    if (!evidence_read(&evidence, policy, ask->runtime, request, ask->now)) {
        ask->keyless = true;
    }
    if (evidence.cookie.anonymous != 0 &&
        (asked.anonymous == NULL || asked.anonymous[0] == '\0')) {
        snprintf(issued, sizeof(issued), "a%016llx",
                 (unsigned long long)evidence.cookie.anonymous);
        asked.anonymous = issued;
    }
    gray_marked_begin(&marked, ask->runtime, ask->view, ask->now);
    marked.read_only = true;
    marked.evidence = evidence_mark;
    marked.evidence_context = &evidence;
    if (ask->buffer == NULL && grow(ask, FIRST_BYTES) != 0) {
        return -ENOMEM;
    }
    for (;;) {
        entrance = request_feed(&asked, policy, ask->now, &ask->input);
        length = gray_explain(ask->view, entrance, &ask->input,
                              gray_marked_ask, &marked, ask->buffer,
                              ask->size);
        if (length < ask->size) {
            *ret_length = length;
            return 0;
        }
        if (length >= ASK_ANSWER_MAX) {
            return -E2BIG;
        }
        if (grow(ask, length + 1) != 0) {
            return -ENOMEM;
        }
    }
}

void ask_end(struct ask *ask)
{
    free(ask->buffer);
    ask->buffer = NULL;
    ask->size = 0;
}
