/* SPDX-License-Identifier: Apache-2.0
 * shop.c - one service of the example shop: web, cart or order, v1 or v2.
 *
 * Why: a gray release is shown on real services behind real nginx.  web asks
 * cart, cart asks order; every answer says which version of each was met:
 *   {"web":"v1","cart":"v2","discount":10,"order":"v1","uid":"42"}
 * The program knows nothing of releases.  HTTP/1.1 with keep-alive, pipelined
 * requests one after the other, bodies by Content-Length (read and dropped).
 * SIGTERM: finishes what it has begun, then ends.
 * Read next: client.c (a connection), call.c (the next hop), log.c (who was
 * served).
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

#define DRAIN_US 5000000

static const struct shop_service services[] = {
    {"web", "cart"}, {"cart", "order"}, {"order", NULL}};

static struct {
    struct shop_options options;
    int epoll;
    struct watch listener, signals;
    int64_t drain_deadline; /* 0: serving */
    struct watch *doomed;   /* freed after this batch of events */
} shop = {.epoll = -1, .listener.fd = -1, .signals.fd = -1};

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
        client_accept(fd);
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
    listener_ready(&shop.listener, EPOLLIN); /* who stands in the queue */
    shop.drain_deadline = http_clock_us() + DRAIN_US;
    close(shop.listener.fd);
    shop.listener.fd = -1;
    client_drain();
}

static int serve(void)
{
    struct epoll_event events[256];
    for (;;) {
        int64_t now = http_clock_us();
        int count =
            epoll_wait(shop.epoll, events, 256, client_wait_ms(now, 50));
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
        client_tick(now);
        call_tick(now, shop.drain_deadline != 0);
        log_tick(now, false);
        while (shop.doomed != NULL) {
            struct watch *watch = shop.doomed;
            shop.doomed = watch->doomed;
            free(watch);
        }
        if (shop.drain_deadline != 0 &&
            (client_count() == 0 || now >= shop.drain_deadline)) {
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
            shop.options.version = optarg;
            break;
        case 'l':
            *ret_listen = optarg;
            break;
        case 'o':
            *ret_log = optarg;
            break;
        case 'n':
            shop.options.next_url = optarg;
            break;
        case 'f':
            shop.options.fail_permille =
                http_number("shop", "--fail", optarg, 0, 1000);
            break;
        case 'd':
            shop.options.delay_ms =
                http_number("shop", "--delay", optarg, 0, 60000);
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
            shop.options.service = &services[i];
        }
    }
    if (shop.options.service == NULL || shop.options.version == NULL ||
        *ret_listen == NULL || *ret_log == NULL || optind != argc ||
        strlen(shop.options.version) > 60) {
        usage(2);
    }
}

int main(int argc, char **argv)
{
    const char *address = NULL, *log = NULL;
    options(argc, argv, &address, &log);
    shop.options.discount = strcmp(shop.options.service->name, "cart") == 0 &&
                            strcmp(shop.options.version, "v1") != 0;
    client_setup(&shop.options);
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGTERM);
    sigaddset(&mask, SIGINT);
    sigprocmask(SIG_BLOCK, &mask, NULL);
    signal(SIGPIPE, SIG_IGN);
    if (shop.options.next_url != NULL && shop.options.service->next != NULL &&
        call_setup(shop.options.next_url, shop.options.service->next) != 0) {
        return 2;
    }
    if (log_open(log, shop.options.service->name, shop.options.version) != 0) {
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
