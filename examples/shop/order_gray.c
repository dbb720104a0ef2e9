/* SPDX-License-Identifier: Apache-2.0
 * order_gray.c - what the order service asks of libgray.
 *
 * Why: this is all of Graylane that an application sees: one header, one
 * handle for all threads, one question.
 * Read next: runtime/gray.h; order_stages.c (what is done with the answer).
 */
#include "order.h"

#include <gray.h>
#include <stdio.h>
#include <string.h>

static struct gray_client *client;
static const char *release_name;

int gray_setup(const char *runtime, const char *release)
{
    struct gray_client_problem problem;
    release_name = release;
    if (gray_client_open(&client, runtime, &problem) != 0) {
        fprintf(stderr, "orders: %s: %s\n", runtime, problem.sentence);
        return -1;
    }
    return 0;
}

void gray_teardown(void)
{
    gray_client_close(client);
    client = NULL;
}

int gray_watch(void)
{
    return gray_client_fd(client);
}

void gray_follow(void)
{
    gray_client_poll(client);
}

/* gray_client_release() decides anew each time, so the first answer is kept:
 * that is the mark.  Its first byte says which logic, the second its form. */
void gray_ask(enum order_stage stage, const char *id, enum order_known known,
              const uint8_t *mark, struct order_verdict *ret_verdict)
{
    struct gray_client_request request = {.size = sizeof(request), .unit = id};
    struct gray_client_verdict verdict = {.size = sizeof(verdict)};
    (void)stage;
    memset(ret_verdict, 0, sizeof(*ret_verdict));
    ret_verdict->mark[1] = 1;
    if (known == KNOWN_NOT) {
        ret_verdict->hold = true;
        ret_verdict->reason = "unknown";
    } else if (known == KNOWN_MARK) {
        ret_verdict->in = mark[0] == 1;
        ret_verdict->hold = mark[0] > 1 || mark[1] != 1;
        memcpy(ret_verdict->mark, mark, ORDER_MARK_SIZE);
        ret_verdict->reason = "mark";
    } else {
        gray_client_release(client, release_name, &request, &verdict);
        ret_verdict->in = verdict.in;
        ret_verdict->mark[0] = verdict.in ? 1 : 0;
        ret_verdict->reason = verdict.reason != NULL ? verdict.reason : "none";
    }
}
