/* SPDX-License-Identifier: Apache-2.0
 * call.c - asking the next service of the chain.
 *
 * Why: a release follows a user along the whole chain only if each service
 * passes on what identifies the request.  The shop does what any service with
 * tracing does: it forwards cookie, baggage, traceparent and x-gray-lane, and
 * knows nothing else of releases.  The next hop is nginx's inner listener.
 *
 * Connections are kept; a request that met a connection closed while idle,
 * with no byte answered, is sent once more on a fresh one (it is a GET).
 * Read next: shop.c, which waits for the answer.
 */
#include "shop.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#define CALL_IDLE_MAX 256u
#define CALL_TIMEOUT_US 5000000
#define CALL_ANSWER_MAX 16384u

struct call {
    struct watch watch;
    TAILQ_ENTRY(call) link; /* of `active`, by age, or of `idle` */
    call_done done;
    void *owner;
    bool busy, reused, connecting;
    int64_t begun_us;
    size_t in_length, out_length, out_sent;
    char in[CALL_ANSWER_MAX];
    char out[HTTP_HEAD_MAX + 1024];
};
TAILQ_HEAD(call_list, call);

static struct {
    struct sockaddr_storage address;
    socklen_t address_length;
    char authority[80];
    char service[64];
    struct call_list active, idle;
    unsigned idle_count;
} next = {.active = TAILQ_HEAD_INITIALIZER(next.active),
          .idle = TAILQ_HEAD_INITIALIZER(next.idle)};

static const char *const forwarded[] = {"cookie", "baggage", "traceparent",
                                        "x-gray-lane"};

int call_setup(const char *next_url, const char *service)
{
    static const char scheme[] = "http://";
    size_t length = strlen(next_url);
    if (strncmp(next_url, scheme, sizeof(scheme) - 1) != 0 ||
        length - (sizeof(scheme) - 1) >= sizeof(next.authority)) {
        fprintf(stderr, "shop: --next: %s is not http://127.0.0.1:PORT\n",
                next_url);
        return -1;
    }
    snprintf(next.authority, sizeof(next.authority), "%s",
             next_url + sizeof(scheme) - 1);
    snprintf(next.service, sizeof(next.service), "%s", service);
    return http_address("shop", next.authority, &next.address,
                        &next.address_length);
}

static void call_close(struct call *call)
{
    if (call->watch.fd >= 0) {
        close(call->watch.fd);
        call->watch.fd = -1;
    }
}

static void call_free(struct call *call)
{
    if (call->busy) {
        TAILQ_REMOVE(&next.active, call, link);
    } else {
        TAILQ_REMOVE(&next.idle, call, link);
        next.idle_count--;
    }
    call_close(call);
    watch_free_later(&call->watch);
}

static void call_finish(struct call *call, unsigned status, struct text body,
                        bool keep)
{
    call_done done = call->done;
    void *owner = call->owner;
    call->done = NULL;
    if (done != NULL) {
        done(owner, status, body);
    }
    if (!keep || next.idle_count >= CALL_IDLE_MAX) {
        call_free(call);
        return;
    }
    TAILQ_REMOVE(&next.active, call, link);
    call->busy = false;
    TAILQ_INSERT_HEAD(&next.idle, call, link);
    next.idle_count++;
}

static void call_fail(struct call *call, const char *why)
{
    call_finish(call, 0, (struct text){why, strlen(why)}, false);
}

static void call_ready(struct watch *watch, uint32_t events);

static int call_connect(struct call *call)
{
    call->watch.fd = socket(next.address.ss_family,
                            SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    call->watch.ready = call_ready;
    int on = 1;
    if (call->watch.fd < 0 ||
        setsockopt(call->watch.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) !=
            0 ||
        (connect(call->watch.fd, (struct sockaddr *)&next.address,
                 next.address_length) != 0 &&
         errno != EINPROGRESS) ||
        watch_add(&call->watch) != 0) {
        call_close(call);
        return -1;
    }
    call->connecting = true;
    call->reused = false;
    call->in_length = call->out_sent = 0;
    return 0;
}

/* The connection ended: once more when it had been idle and not one byte of an
 * answer has come, else the call has failed. */
static void call_ended(struct call *call)
{
    if (call->reused && call->in_length == 0) {
        call_close(call);
        if (call_connect(call) == 0) {
            return;
        }
    }
    call_fail(call, "closed the connection");
}

/* 0: nothing more to do now; -1: the call is over. */
static int call_send(struct call *call)
{
    while (call->out_sent < call->out_length) {
        ssize_t n = send(call->watch.fd, call->out + call->out_sent,
                         call->out_length - call->out_sent, MSG_NOSIGNAL);
        if (n >= 0) {
            call->out_sent += (size_t)n;
        } else if (errno == EAGAIN) {
            return 0;
        } else if (errno != EINTR) {
            call_ended(call);
            return -1;
        }
    }
    return 0;
}

static void call_receive(struct call *call)
{
    for (;;) {
        ssize_t n = recv(call->watch.fd, call->in + call->in_length,
                         sizeof(call->in) - call->in_length, 0);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && errno == EAGAIN) {
            return;
        }
        if (n <= 0) {
            call_ended(call);
            return;
        }
        call->in_length += (size_t)n;
        struct http_head head;
        int got = http_parse(call->in, call->in_length, HTTP_ANSWER, &head);
        if (got < 0 ||
            (got > 0 && head.length + head.body_length > sizeof(call->in))) {
            call_fail(call, "answered what is not understood");
            return;
        }
        if (got > 0 && call->in_length >= head.length + head.body_length) {
            bool exact = call->in_length == head.length + head.body_length;
            call_finish(call, head.status,
                        (struct text){call->in + head.length, head.body_length},
                        head.keep_alive && exact);
            return;
        }
    }
}

static void call_ready(struct watch *watch, uint32_t events)
{
    struct call *call = (struct call *)watch;
    if (!call->busy) {
        if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
            call_free(call); /* an idle connection has nothing to say */
        }
        return;
    }
    if (call->connecting) {
        int error = 0;
        socklen_t length = sizeof(error);
        getsockopt(watch->fd, SOL_SOCKET, SO_ERROR, &error, &length);
        if (error != 0) {
            call_fail(call, "refused the connection");
            return;
        }
        if (!(events & EPOLLOUT)) {
            return;
        }
        call->connecting = false;
    }
    if (call_send(call) != 0 || call->connecting) {
        return;
    }
    call_receive(call);
}

/* Length, or 0 when it does not fit. */
static size_t call_write(const struct http_head *request, char *out,
                         size_t size)
{
    size_t length =
        (size_t)snprintf(out, size, "GET /%s HTTP/1.1\r\nHost: %s\r\n",
                         next.service, next.authority);
    for (unsigned i = 0; i < request->header_count; i++) {
        struct text name = request->headers[i].name;
        struct text value = request->headers[i].value;
        bool wanted = false;
        for (size_t k = 0; k < sizeof(forwarded) / sizeof(*forwarded); k++) {
            wanted = wanted || text_is(name, forwarded[k]);
        }
        if (!wanted) {
            continue;
        }
        if (length + name.length + value.length + 8 > size) {
            return 0;
        }
        length +=
            (size_t)sprintf(out + length, "%.*s: %.*s\r\n", (int)name.length,
                            name.data, (int)value.length, value.data);
    }
    memcpy(out + length, "\r\n", 2);
    return length + 2;
}

struct call *call_start(const struct http_head *request, call_done done,
                        void *owner)
{
    struct call *call = TAILQ_FIRST(&next.idle);
    bool reused = call != NULL;
    if (reused) {
        TAILQ_REMOVE(&next.idle, call, link);
        next.idle_count--;
        call->reused = true;
        call->in_length = call->out_sent = 0;
    } else {
        call = calloc(1, sizeof(*call));
        if (call == NULL) {
            return NULL;
        }
        if (call_connect(call) != 0) {
            free(call);
            return NULL;
        }
    }
    call->busy = true;
    TAILQ_INSERT_TAIL(&next.active, call, link);
    call->begun_us = http_clock_us();
    call->out_length = call_write(request, call->out, sizeof(call->out));
    if (call->out_length == 0) {
        call_free(call);
        return NULL;
    }
    call->done = done;
    call->owner = owner;
    if (reused) {
        /* What fails now is seen as an event of its own, never from here. */
        ssize_t n =
            send(call->watch.fd, call->out, call->out_length, MSG_NOSIGNAL);
        call->out_sent = n > 0 ? (size_t)n : 0;
    }
    return call;
}

void call_forget(struct call *call)
{
    call->done = NULL;
}

void call_tick(int64_t now_us, bool all)
{
    struct call *call;
    while ((call = TAILQ_FIRST(&next.active)) != NULL &&
           now_us - call->begun_us >= CALL_TIMEOUT_US) {
        call_fail(call, "did not answer within 5 s");
    }
    while (all && (call = TAILQ_FIRST(&next.idle)) != NULL) {
        call_free(call);
    }
}
