/* SPDX-License-Identifier: Apache-2.0
 * order_gray.c - what the order service asks of libgray.
 *
 * Why: this is all of Graylane that an application sees: one header, one
 * question.  There are two handles, for a freeze promises that nobody new is
 * in once it has returned, and it returns when every reader has acknowledged.
 * The handle that is asked acknowledges by itself, and may do so while another
 * thread has decided and not committed yet.  So a second one is asked nothing:
 * it is polled, and acknowledges, only at moments when no transaction is open.
 * Read next: runtime/gray.h; order_stages.c (what is done with the answer).
 */
#include "order.h"

#include <errno.h>
#include <gray.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static struct gray_client *client, *promise;
static const char *release_name;
static pthread_rwlock_t open_orders; /* read: a transaction is open */

static int open_one(struct gray_client **ret_client, const char *runtime)
{
    struct gray_client_problem problem;
    if (gray_client_open(ret_client, runtime, &problem) != 0) {
        fprintf(stderr, "orders: %s: %s\n", runtime, problem.sentence);
        return -1;
    }
    return 0;
}

int gray_setup(const char *runtime, const char *release)
{
    pthread_rwlockattr_t kind;
    release_name = release;
    pthread_rwlockattr_init(&kind);
    /* who waits to acknowledge is not overtaken for ever */
    pthread_rwlockattr_setkind_np(&kind,
                                  PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&open_orders, &kind);
    pthread_rwlockattr_destroy(&kind);
    return open_one(&client, runtime) == 0 ? open_one(&promise, runtime) : -1;
}

void gray_teardown(void)
{
    gray_client_close(client);
    gray_client_close(promise);
    client = promise = NULL;
}

void gray_begin(void)
{
    pthread_rwlock_rdlock(&open_orders);
}

void gray_end(void)
{
    pthread_rwlock_unlock(&open_orders);
}

void gray_watch(int ret_fds[2])
{
    ret_fds[0] = gray_client_fd(client);
    ret_fds[1] = gray_client_fd(promise);
}

void gray_follow(void)
{
    gray_client_poll(client);
    pthread_rwlock_wrlock(&open_orders);
    gray_client_poll(promise);
    pthread_rwlock_unlock(&open_orders);
}

/* An order that was made while there was nothing to be told (no policy, no such
 * release, the bypass) has no mark: 16 zeros.  It is the old logic's for life,
 * and libgray is never asked as if it were new. */
static bool is_unmarked(const uint8_t *mark)
{
    static const uint8_t zeros[ORDER_MARK_SIZE];
    return memcmp(mark, zeros, ORDER_MARK_SIZE) == 0;
}

void gray_ask(enum order_stage stage, const char *id, enum order_known known,
              const uint8_t *mark, struct order_verdict *ret_verdict)
{
    static const char *const stages[] = {"create", "pay", "refund"};
    static const enum gray_client_had had[] = {
        GRAY_CLIENT_ABSENT, GRAY_CLIENT_MARK, GRAY_CLIENT_UNKNOWN};
    struct gray_client_request request = {
        .size = sizeof(request), .unit = id, .stage = stages[stage]};
    struct gray_client_decision decision = {.size = sizeof(decision)};
    struct gray_client_mark handed = {{0}};
    if (known == KNOWN_MARK) {
        memcpy(handed.bytes, mark, ORDER_MARK_SIZE);
        if (is_unmarked(mark)) {
            *ret_verdict = (struct order_verdict){.reason = "unmarked"};
            return;
        }
    }
    int error = gray_client_decide(client, release_name, &request, had[known],
                                   &handed, &decision);
    if (error != 0 && error != -ENOENT) {
        *ret_verdict = (struct order_verdict){.hold = true, .reason = "asked"};
        return;
    }
    ret_verdict->in = decision.says == GRAY_CLIENT_IN;
    ret_verdict->hold = decision.says == GRAY_CLIENT_HOLD;
    ret_verdict->reason = decision.reason;
    memcpy(ret_verdict->mark, decision.mark.bytes, ORDER_MARK_SIZE);
}
