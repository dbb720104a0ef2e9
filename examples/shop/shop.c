/* SPDX-License-Identifier: Apache-2.0
 * shop.c - one service of the example shop: web, cart or order, v1 or v2.
 *
 * Why: a gray release is shown on real services behind real nginx.  web asks
 * cart, cart asks order; every answer says which version of each was met:
 *   {"web":"v1","cart":"v2","discount":10,"order":"v1","uid":"42"}
 * The program knows nothing of releases.  HTTP/1.1 with keep-alive, pipelined
 * requests one after the other, bodies by Content-Length (read and dropped).
 * SIGTERM: finishes what it has begun, then ends.
 * Read next: call.c (the next hop), log.c (who was served).
 */
#include "shop.h"

#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/queue.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS_MAX 16384u
#define DRAIN_US 5000000
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

static const struct service {
    const char *name, *next;
} services[] = {{"web", "cart"}, {"cart", "order"}, {"order", NULL}};

static struct {
    const struct service *service;
    const char *version;
    const char *next_url;
    bool discount;
    long fail_permille, delay_ms;
    unsigned fail_sum;
    int epoll;
    struct watch listener, signals;
    struct client_list clients, delayed;
    unsigned client_count;
    int64_t drain_deadline; /* 0: serving */
    struct watch *doomed;   /* freed after this batch of events */
} shop = {.epoll = -1,
          .listener.fd = -1,
          .signals.fd = -1,
          .clients = TAILQ_HEAD_INITIALIZER(shop.clients),
          .delayed = TAILQ_HEAD_INITIALIZER(shop.delayed)};

/* ---- watching ------------------------------------------------------------ */

int watch_add(struct watch *watch)
{
    struct epoll_event event = {
        .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = watch};
    return epoll_ctl(shop.epoll, EPOLL_CTL_ADD, watch->fd, &event);
}

void watch_free_later(struct watch *watch)
{
    watch->fd = -1;
    watch->doomed = shop.doomed;
    shop.doomed = watch;
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
        TAILQ_REMOVE(&shop.delayed, client, delayed);
    }
    TAILQ_REMOVE(&shop.clients, client, link);
    shop.client_count--;
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
    bool keep = client->head.keep_alive && shop.drain_deadline == 0;
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
    if (shop.delay_ms > 0) {
        client->due_us = http_clock_us() + shop.delay_ms * 1000;
        client->is_delayed = true;
        client->stage = WORKING;
        TAILQ_INSERT_TAIL(&shop.delayed, client, delayed);
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
    const char *name = shop.service->name;
    const char *extra = shop.discount ? "\"discount\":10," : "";
    if (shop.service->next == NULL || shop.next_url == NULL) {
        snprintf(body, sizeof(body), "{\"%s\":\"%s\",%s\"uid\":\"%.*s\"}\n",
                 name, shop.version, extra, (int)client->uid.length,
                 client->uid.data);
    } else if (status == 200 && child.length > 3 && child.data[0] == '{' &&
               child.length < BODY_MAX - 256) {
        snprintf(body, sizeof(body), "{\"%s\":\"%s\",%s%.*s", name,
                 shop.version, extra, (int)child.length - 1, child.data + 1);
    } else if (status == 0) {
        snprintf(body, sizeof(body), "{\"%s\":\"%s\",\"error\":\"%s %.*s\"}\n",
                 name, shop.version, shop.service->next, (int)child.length,
                 child.data);
        status = 502;
    } else {
        snprintf(body, sizeof(body),
                 "{\"%s\":\"%s\",\"error\":\"%s answered %u\"}\n", name,
                 shop.version, shop.service->next, status);
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
    shop.fail_sum += (unsigned)shop.fail_permille;
    if (shop.fail_sum < 1000) {
        return false;
    }
    shop.fail_sum -= 1000;
    return true;
}

static void client_work(struct client *client)
{
    client->stage = WORKING;
    if (fails_now()) {
        char body[256];
        snprintf(body, sizeof(body),
                 "{\"%s\":\"%s\",\"error\":\"as told by --fail\"}\n",
                 shop.service->name, shop.version);
        client_answer(client, 500, body);
        return;
    }
    if (shop.service->next == NULL || shop.next_url == NULL) {
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
            if (shop.drain_deadline != 0 && client->in_length == 0) {
                client_close(client);
                return;
            }
            got = client_read(client);
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

static void listener_ready(struct watch *watch, uint32_t events)
{
    (void)events;
    for (;;) {
        int fd = accept4(watch->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EINTR || errno == ECONNABORTED)) {
            continue;
        }
        if (fd < 0) {
            return;
        }
        struct client *client = shop.client_count < CONNECTIONS_MAX
                                    ? calloc(1, sizeof(*client))
                                    : NULL;
        if (client == NULL) {
            close(fd);
            continue;
        }
        client->watch = (struct watch){fd, client_ready, NULL};
        if (watch_add(&client->watch) != 0) {
            close(fd);
            free(client);
            continue;
        }
        TAILQ_INSERT_TAIL(&shop.clients, client, link);
        shop.client_count++;
    }
}

/* ---- the program -----------------------------------------------------------
 */

static void drain_begin(struct watch *watch, uint32_t events)
{
    (void)events;
    struct signalfd_siginfo info;
    if (read(watch->fd, &info, sizeof(info)) != sizeof(info) ||
        shop.drain_deadline != 0) {
        return;
    }
    shop.drain_deadline = http_clock_us() + DRAIN_US;
    close(shop.listener.fd);
    shop.listener.fd = -1;
    for (struct client *at = TAILQ_FIRST(&shop.clients); at != NULL;) {
        struct client *after = TAILQ_NEXT(at, link);
        if (at->stage == READING) {
            client_run(at);
        }
        at = after;
    }
}

static void delayed_run(int64_t now_us)
{
    struct client *client;
    while ((client = TAILQ_FIRST(&shop.delayed)) != NULL &&
           client->due_us <= now_us) {
        TAILQ_REMOVE(&shop.delayed, client, delayed);
        client->is_delayed = false;
        client->stage = WRITING;
        client_run(client);
    }
}

static int wait_ms(int64_t now_us)
{
    int64_t wait = 50;
    struct client *first = TAILQ_FIRST(&shop.delayed);
    if (first != NULL) {
        int64_t due = (first->due_us - now_us + 999) / 1000;
        wait = due < 0 ? 0 : due < wait ? due : wait;
    }
    return (int)wait;
}

static int serve(void)
{
    struct epoll_event events[256];
    for (;;) {
        int64_t now = http_clock_us();
        int count = epoll_wait(shop.epoll, events, 256, wait_ms(now));
        if (count < 0 && errno != EINTR) {
            perror("shop: epoll_wait");
            return 1;
        }
        for (int i = 0; i < count; i++) {
            struct watch *watch = events[i].data.ptr;
            if (watch->fd >= 0) {
                watch->ready(watch, events[i].events);
            }
        }
        now = http_clock_us();
        delayed_run(now);
        call_tick(now, shop.drain_deadline != 0);
        log_tick(now, false);
        while (shop.doomed != NULL) {
            struct watch *watch = shop.doomed;
            shop.doomed = watch->doomed;
            free(watch);
        }
        if (shop.drain_deadline != 0 &&
            (shop.client_count == 0 || now >= shop.drain_deadline)) {
            return 0;
        }
    }
}

static int listen_on(const char *word)
{
    struct sockaddr_storage address;
    socklen_t length;
    int on = 1;
    if (http_address("shop", word, &address, &length) != 0) {
        return -1;
    }
    int fd = socket(address.ss_family,
                    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0 ||
        bind(fd, (struct sockaddr *)&address, length) != 0 ||
        listen(fd, 1024) != 0) {
        fprintf(stderr, "shop: %s: %s\n", word,
                errno == EADDRINUSE ? "another program uses this port"
                                    : strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return -1;
    }
    return fd;
}

static void usage(int status)
{
    fputs("usage: shop --service web|cart|order --version V "
          "--listen 127.0.0.1:PORT --log FILE\n"
          "            [--next http://127.0.0.1:PORT] [--fail PERMILLE]"
          " [--delay MS] [--with-parent]\n"
          "       shop --check 127.0.0.1:PORT...   are these ports free?\n",
          status == 0 ? stdout : stderr);
    exit(status);
}

/* Names every port that is taken; for scripts, before they start anything. */
static int check_ports(char *const *words)
{
    int status = 0;
    for (; *words != NULL; words++) {
        int fd = listen_on(*words);
        if (fd < 0) {
            status = 1;
        } else {
            close(fd);
        }
    }
    return status;
}

static void options(int argc, char **argv, const char **ret_listen,
                    const char **ret_log)
{
    static const struct option known[] = {
        {"service", 1, NULL, 's'}, {"version", 1, NULL, 'v'},
        {"listen", 1, NULL, 'l'},  {"log", 1, NULL, 'o'},
        {"next", 1, NULL, 'n'},    {"fail", 1, NULL, 'f'},
        {"delay", 1, NULL, 'd'},   {"with-parent", 0, NULL, 'p'},
        {"check", 0, NULL, 'c'},   {"help", 0, NULL, 'h'},
        {NULL, 0, NULL, 0}};
    const char *name = "";
    for (int c; (c = getopt_long(argc, argv, "+", known, NULL)) != -1;) {
        switch (c) {
        case 's':
            name = optarg;
            break;
        case 'v':
            shop.version = optarg;
            break;
        case 'l':
            *ret_listen = optarg;
            break;
        case 'o':
            *ret_log = optarg;
            break;
        case 'n':
            shop.next_url = optarg;
            break;
        case 'f':
            shop.fail_permille = http_number("shop", "--fail", optarg, 0, 1000);
            break;
        case 'd':
            shop.delay_ms = http_number("shop", "--delay", optarg, 0, 60000);
            break;
        case 'p':
            prctl(PR_SET_PDEATHSIG, SIGTERM);
            break;
        case 'c':
            exit(check_ports(argv + optind));
        default:
            usage(c == 'h' ? 0 : 2);
        }
    }
    for (size_t i = 0; i < sizeof(services) / sizeof(*services); i++) {
        if (strcmp(services[i].name, name) == 0) {
            shop.service = &services[i];
        }
    }
    if (shop.service == NULL || shop.version == NULL || *ret_listen == NULL ||
        *ret_log == NULL || optind != argc || strlen(shop.version) > 60) {
        usage(2);
    }
}

int main(int argc, char **argv)
{
    const char *address = NULL, *log = NULL;
    options(argc, argv, &address, &log);
    shop.discount = strcmp(shop.service->name, "cart") == 0 &&
                    strcmp(shop.version, "v1") != 0;
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGTERM);
    sigaddset(&mask, SIGINT);
    sigprocmask(SIG_BLOCK, &mask, NULL);
    signal(SIGPIPE, SIG_IGN);
    if (shop.next_url != NULL && shop.service->next != NULL &&
        call_setup(shop.next_url, shop.service->next) != 0) {
        return 2;
    }
    if (log_open(log, shop.service->name, shop.version) != 0) {
        return 1;
    }
    shop.epoll = epoll_create1(EPOLL_CLOEXEC);
    shop.listener = (struct watch){listen_on(address), listener_ready, NULL};
    shop.signals = (struct watch){
        signalfd(-1, &mask, SFD_NONBLOCK | SFD_CLOEXEC), drain_begin, NULL};
    if (shop.listener.fd < 0) {
        return 1;
    }
    if (shop.epoll < 0 || shop.signals.fd < 0 ||
        watch_add(&shop.listener) != 0 || watch_add(&shop.signals) != 0) {
        perror("shop");
        return 1;
    }
    int status = serve();
    log_tick(0, true);
    return status;
}
