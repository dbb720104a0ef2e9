/* SPDX-License-Identifier: Apache-2.0
 * served.h - a small grayd for the tests of rest/: real store, real sockets,
 * and a control thread and handlers that only say that they were called.
 *
 * Why: what is tested is the transport.  A handler here answers with the
 * smallest body that its route's schema allows; one that changes something
 * commits a record of the audit, so that there are events.
 * Read next: served.c, served_control.c, served_handlers.c.
 */
#ifndef GRAY_TESTS_SERVED_H
#define GRAY_TESTS_SERVED_H

#include <pthread.h>

#include "control/audit/audit.h"
#include "control/change/change.h"
#include "control/rest/rest.h"

struct served_job {
    const struct call *call;
    control_done *done;
    void *context;
    struct served_job *next;
};
/* grayd->control points here. */
struct control {
    struct grayd *grayd;
    struct store *store;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_mutex_t commits; /* main() commits too, one at a time */
    pthread_cond_t wake;
    struct served_job *first, **last;
    bool stopping, held; /* held: a call waits until STATUS is asked for */
    control_listener *listener;
    void *listener_context;
    uint64_t denied, called;
    char last_denied[256];
    struct hand hand;
};

/* Opens the store and starts the thread. */
int served_control_start(struct grayd *grayd, struct control *control);
void served_control_stop(struct control *control);
/* A record of the audit, committed and told. */
void served_record(struct control *control, const char *action,
                   const char *resource, const char *outcome);
/* Stores a token; its text. */
void served_token(struct control *control, enum role role, const char *scope,
                  int64_t expires, char ret_text[TOKEN_TEXT_MAX]);
void served_revoke(struct control *control, const char *id);

#endif
