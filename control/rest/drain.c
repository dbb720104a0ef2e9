/* SPDX-License-Identifier: Apache-2.0
 * drain.c - the connections that are open, and seeing them out.
 *
 * Why: libmicrohttpd 0.9.75 reads a null pointer when it wants to refuse what
 * it cannot parse while its daemon is being stopped. So nothing may be left to
 * parse by then: once no new connection is taken, the reading side of each
 * open one is shut, what was asked is answered, and the daemons are stopped
 * when nobody is there any more, or after a while.
 * Read next: server.c.
 */
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "control/rest/internal.h"

#define DRAIN_MS 3000
#define DRAIN_STEP_NS 2000000L

struct open_connection {
    struct open_connection *next, **at; /* at: what points to it */
    int fd;
    bool host; /* it is one of a host that was let in */
};

bool *drain_host(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(
        connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct open_connection *open = info != NULL ? info->socket_context : NULL;

    return open != NULL ? &open->host : NULL;
}

void drain_notify(void *cls, struct MHD_Connection *connection,
                  void **context, enum MHD_ConnectionNotificationCode code)
{
    struct rest *rest = ((const struct door *)cls)->rest;
    struct open_connection *open = *context;

    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(
            connection, MHD_CONNECTION_INFO_CONNECTION_FD);

        atomic_fetch_add(&rest->connections, 1);
        open = calloc(1, sizeof(*open));
        if (open == NULL || info == NULL) {
            free(open);
            return; /* it is counted, and waited for, all the same */
        }
        open->fd = info->connect_fd;
        *context = open;
        pthread_mutex_lock(&rest->open_lock);
        open->next = rest->open;
        open->at = &rest->open;
        if (open->next != NULL) {
            open->next->at = &open->next;
        }
        rest->open = open;
        pthread_mutex_unlock(&rest->open_lock);
        return;
    }
    atomic_fetch_sub(&rest->connections, 1);
    if (open != NULL) {
        pthread_mutex_lock(&rest->open_lock);
        *open->at = open->next;
        if (open->next != NULL) {
            open->next->at = open->at;
        }
        pthread_mutex_unlock(&rest->open_lock);
        free(open);
        *context = NULL;
    }
}

void drain_connections(struct rest *rest)
{
    struct timespec step = { .tv_nsec = DRAIN_STEP_NS };

    for (int waited = 0; waited < DRAIN_MS &&
                         atomic_load(&rest->connections) > 0;
         waited += DRAIN_STEP_NS / 1000000) {
        /* Again each time: one may have been on its way in. */
        pthread_mutex_lock(&rest->open_lock);
        for (struct open_connection *open = rest->open; open != NULL;
             open = open->next) {
            shutdown(open->fd, SHUT_RD);
        }
        pthread_mutex_unlock(&rest->open_lock);
        nanosleep(&step, NULL);
    }
}
