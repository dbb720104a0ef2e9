/* SPDX-License-Identifier: Apache-2.0
 * client.c - the connections that come in, and what they are answered.
 *
 * Why: a connection is one small machine (READING, DROPPING_BODY, WORKING,
 * WRITING) that goes as far as it can without waiting, so pipelined requests
 * are answered one after the other and nothing is ever read twice.
 * Read next: call.c (what WORKING waits for), shop.c (the loop).
 */
#include "shop.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS_MAX 16384u
#define BODY_MAX 2048u

enum stage { READING, DROPPING_BODY, WORKING, WRITING };

/* One client's connection: one request at a time, in the order they came. */
struct client {
    struct watch watch;
    TAILQ_ENTRY(client) link;    /* of all clients */
    TAILQ_ENTRY(client) delayed; /* while its answer is held back */
    enum stage stage;
    bool readable, is_delayed;
    int64_t due_us;
    struct call *call;
    size_t body_left;
    size_t in_length, out_length, out_sent;
    struct http_head head; /* points into `in` */
    struct text uid;       /* so does this */
    char in[HTTP_HEAD_MAX + 4096];
    char out[BODY_MAX + 512];
};
TAILQ_HEAD(client_list, client);

static struct {
    const struct shop_options *options;
    struct client_list all, delayed;
    unsigned count, fail_sum;
    bool draining;
} clients = {.all = TAILQ_HEAD_INITIALIZER(clients.all),
             .delayed = TAILQ_HEAD_INITIALIZER(clients.delayed)};

void client_setup(const struct shop_options *options)
{
    clients.options = options;
}

/* ---- answering ------------------------------------------------------------
 */

static void client_run(struct client *client);

static void client_close(struct client *client)
{
    if (client->call != NULL) {
        call_forget(client->call);
    }
    if (client->is_delayed) {
        TAILQ_REMOVE(&clients.delayed, client, delayed);
    }
    TAILQ_REMOVE(&clients.all, client, link);
    clients.count--;
    close(client->watch.fd);
    watch_free_later(&client->watch);
}

static const char *status_words(unsigned status)
{
    switch (status) {
    case 200:
        return "OK";
    case 400:
        return "Bad Request";
    case 500:
        return "Internal Server Error";
    default:
        return "Bad Gateway";
    }
}

/* The answer lies ready in `out` from here on; it may still be held back. */
static void client_answer(struct client *client, unsigned status,
                          const char *body)
{
    bool keep = client->head.keep_alive && !clients.draining;
    client->head.keep_alive = keep;
    client->out_sent = 0;
    client->out_length =
        (size_t)snprintf(client->out, sizeof(client->out),
                         "HTTP/1.1 %u %s\r\nContent-Type: application/json\r\n"
                         "Content-Length: %zu\r\n%s\r\n%s",
                         status, status_words(status), strlen(body),
                         keep ? "" : "Connection: close\r\n",
                         text_is(client->head.method, "HEAD") ? "" : body);
    log_request(client->uid, client->head.method, client->head.target, status);
    if (clients.options->delay_ms > 0) {
        client->due_us = http_clock_us() + clients.options->delay_ms * 1000;
        client->is_delayed = true;
        client->stage = WORKING;
        TAILQ_INSERT_TAIL(&clients.delayed, client, delayed);
        return;
    }
    client->stage = WRITING;
}

/* uid as it may stand in JSON and in a log line; else as if it were absent. */
static struct text safe_uid(struct text uid)
{
    static const char safe[] = "abcdefghijklmnopqrstuvwxyz"
                               "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    if (uid.data == NULL || uid.length == 0 || uid.length > 64) {
        return (struct text){NULL, 0};
    }
    for (size_t i = 0; i < uid.length; i++) {
        if (memchr(safe, uid.data[i], sizeof(safe) - 1) == NULL) {
            return (struct text){NULL, 0};
        }
    }
    return uid;
}

static void client_compose(struct client *client, unsigned status,
                           struct text child)
{
    char body[BODY_MAX];
    const char *name = clients.options->service->name;
    const char *extra = clients.options->discount ? "\"discount\":10," : "";
    if (clients.options->service->next == NULL ||
        clients.options->next_url == NULL) {
        snprintf(body, sizeof(body), "{\"%s\":\"%s\",%s\"uid\":\"%.*s\"}\n",
                 name, clients.options->version, extra, (int)client->uid.length,
                 client->uid.data);
    } else if (status == 200 && child.length > 3 && child.data[0] == '{' &&
               child.length < BODY_MAX - 256) {
        snprintf(body, sizeof(body), "{\"%s\":\"%s\",%s%.*s", name,
                 clients.options->version, extra, (int)child.length - 1,
                 child.data + 1);
    } else if (status == 0) {
        snprintf(body, sizeof(body), "{\"%s\":\"%s\",\"error\":\"%s %.*s\"}\n",
                 name, clients.options->version, clients.options->service->next,
                 (int)child.length, child.data);
        status = 502;
    } else {
        snprintf(body, sizeof(body),
                 "{\"%s\":\"%s\",\"error\":\"%s answered %u\"}\n", name,
                 clients.options->version, clients.options->service->next,
                 status);
        status = 502;
    }
    client_answer(client, status, body);
}

static void client_called(void *owner, unsigned status, struct text body)
{
    struct client *client = owner;
    client->call = NULL;
    client_compose(client, status, body);
    client_run(client);
}

/* Exactly `permille` of each 1,000 requests, evenly spread. */
static bool fails_now(void)
{
    clients.fail_sum += (unsigned)clients.options->fail_permille;
    if (clients.fail_sum < 1000) {
        return false;
    }
    clients.fail_sum -= 1000;
    return true;
}

static void client_work(struct client *client)
{
    client->stage = WORKING;
    if (fails_now()) {
        char body[256];
        snprintf(body, sizeof(body),
                 "{\"%s\":\"%s\",\"error\":\"as told by --fail\"}\n",
                 clients.options->service->name, clients.options->version);
        client_answer(client, 500, body);
        return;
    }
    if (clients.options->service->next == NULL ||
        clients.options->next_url == NULL) {
        client_compose(client, 200, (struct text){NULL, 0});
        return;
    }
    client->call = call_start(&client->head, client_called, client);
    if (client->call == NULL) {
        static const char why[] = "could not be asked";
        client_compose(client, 0, (struct text){why, sizeof(why) - 1});
    }
}

/* ---- one connection -------------------------------------------------------
 */

/* 1: something was read, 0: nothing there now, -1: the client has gone. */
static int client_read(struct client *client)
{
    while (client->readable) {
        size_t room = sizeof(client->in) - client->in_length;
        ssize_t n =
            recv(client->watch.fd, client->in + client->in_length, room, 0);
        if (n > 0) {
            client->in_length += (size_t)n;
            return 1;
        }
        if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
            return -1;
        }
        client->readable = errno == EINTR;
    }
    return 0;
}

static void client_bad(struct client *client)
{
    static const struct text none = {"-", 1};
    client->head.keep_alive = false;
    client->head.method = client->head.target = none;
    client->uid = none;
    client_answer(client, 400, "{\"error\":\"not understood\"}\n");
}

/* False: more bytes are needed. */
static bool client_parse(struct client *client)
{
    int got =
        http_parse(client->in, client->in_length, HTTP_REQUEST, &client->head);
    if (got < 0) {
        client_bad(client);
    } else if (got > 0) {
        client->uid = safe_uid(http_cookie(&client->head, "uid"));
        client->body_left = client->head.body_length;
        client->stage = DROPPING_BODY;
    }
    return got != 0;
}

/* Takes the body's bytes from behind the head; true when all have come. */
static bool client_drop_body(struct client *client)
{
    size_t have = client->in_length - client->head.length;
    size_t drop = have < client->body_left ? have : client->body_left;
    char *at = client->in + client->head.length;
    memmove(at, at + drop, have - drop);
    client->in_length -= drop;
    client->body_left -= drop;
    return client->body_left == 0;
}

/* 0: not yet all, 1: all sent, -1: the client has gone. */
static int client_write(struct client *client)
{
    while (client->out_sent < client->out_length) {
        ssize_t n = send(client->watch.fd, client->out + client->out_sent,
                         client->out_length - client->out_sent, MSG_NOSIGNAL);
        if (n >= 0) {
            client->out_sent += (size_t)n;
        } else if (errno == EAGAIN) {
            return 0;
        } else if (errno != EINTR) {
            return -1;
        }
    }
    return 1;
}

/* Goes on as far as it can without waiting. */
static void client_run(struct client *client)
{
    for (;;) {
        int got = 0;
        switch (client->stage) {
        case READING:
            if (client->in_length > 0 && client_parse(client)) {
                continue;
            }
            got = client_read(client);
            if (got == 0 && clients.draining && client->in_length == 0) {
                got = -1;
            }
            break;
        case DROPPING_BODY:
            if (client_drop_body(client)) {
                client_work(client);
                continue;
            }
            got = client_read(client);
            break;
        case WORKING:
            return;
        case WRITING:
            got = client_write(client);
            if (got > 0) {
                if (!client->head.keep_alive) {
                    client_close(client);
                    return;
                }
                client->in_length -= client->head.length;
                memmove(client->in, client->in + client->head.length,
                        client->in_length);
                client->stage = READING;
            }
            break;
        }
        if (got < 0) {
            client_close(client);
            return;
        }
        if (got == 0) {
            return;
        }
    }
}

static void client_ready(struct watch *watch, uint32_t events)
{
    struct client *client = (struct client *)watch;
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
        client->readable = true;
    }
    if ((events & (EPOLLHUP | EPOLLERR)) && client->stage == WORKING) {
        client_close(client);
        return;
    }
    client_run(client);
}

void client_accept(int fd)
{
    struct client *client =
        clients.count < CONNECTIONS_MAX ? calloc(1, sizeof(*client)) : NULL;
    if (client == NULL) {
        close(fd);
        return;
    }
    client->watch = (struct watch){fd, client_ready, NULL};
    if (watch_add(&client->watch) != 0) {
        close(fd);
        free(client);
        return;
    }
    TAILQ_INSERT_TAIL(&clients.all, client, link);
    clients.count++;
}

void client_drain(void)
{
    clients.draining = true;
    for (struct client *at = TAILQ_FIRST(&clients.all); at != NULL;) {
        struct client *after = TAILQ_NEXT(at, link);
        if (at->stage == READING) {
            at->readable = true; /* what has come already is answered */
            client_run(at);
        }
        at = after;
    }
}

unsigned client_count(void)
{
    return clients.count;
}

void client_tick(int64_t now_us)
{
    struct client *client;
    while ((client = TAILQ_FIRST(&clients.delayed)) != NULL &&
           client->due_us <= now_us) {
        TAILQ_REMOVE(&clients.delayed, client, delayed);
        client->is_delayed = false;
        client->stage = WRITING;
        client_run(client);
    }
}

int client_wait_ms(int64_t now_us, int most)
{
    int64_t wait = most;
    struct client *first = TAILQ_FIRST(&clients.delayed);
    if (first != NULL) {
        int64_t due = (first->due_us - now_us + 999) / 1000;
        wait = due < 0 ? 0 : due < wait ? due : wait;
    }
    return (int)wait;
}
