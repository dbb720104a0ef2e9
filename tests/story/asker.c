/* SPDX-License-Identifier: Apache-2.0
 * asker.c - asks for units over many paths at once and writes down each answer.
 *
 * Why: whether a unit was ever told two things is judged from what clients
 * saw, to the nanosecond, by somebody else (tests/oracle/marks.py).  A path is
 * a gateway ("http:PORT") or a program that asks libgray ("unix:FILE", one
 * line a question); every connection keeps to one path.  What was answered is
 * what the service behind says of itself, `"SERVICE":"VERSION"` in its body.
 *
 *   users   each unit again and again; half of the time one that was asked a
 *           moment ago, so that two paths are compared at once
 *   orders  each is created once (again when nobody answered), then updated;
 *           --units is how many there may be at most
 *
 * The log has one struct line an answer, in the order of answers.
 * Ends after --seconds or by SIGTERM; prints its tally as JSON.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define LINKS_MAX 256
#define PATHS_MAX 8
#define IN_MAX 8192
#define RECENT 1024u
#define REST_NS 5000000 /* after a connection that failed */

enum said { SAID_OLD, SAID_NEW, SAID_REFUSED, SAID_FAILED, SAID_ODD, SAIDS };
enum stage { STAGE_USER, STAGE_CREATE, STAGE_UPDATE };

struct line { /* marks.py reads it */
    uint64_t sent, answered, unit;
    uint8_t said, via, stage, zero;
    uint32_t zero_too;
};

struct path {
    struct sockaddr_storage address;
    socklen_t length;
    bool http;
};
enum state { CLOSED, CONNECTING, IDLE, BUSY };
struct link {
    enum state state;
    int fd;
    uint8_t via, stage;
    bool asks; /* a unit is waited for */
    uint64_t unit, sent, not_before;
    size_t in_length, out_length, out_sent;
    char in[IN_MAX], out[512];
};

static struct {
    const char *kind, *service, *cookie, *host;
    bool orders;
    struct path paths[PATHS_MAX];
    unsigned path_count;
    long connections, units, seconds, timeout_ms, rate, first;
    FILE *out;
    int epoll;
    struct link links[LINKS_MAX];
    uint64_t next, begun, dice; /* next: unit of the pass, or new order */
    uint64_t recent[RECENT];    /* units that were answered */
    uint64_t recent_count;
    uint64_t again[LINKS_MAX]; /* orders whose creation nobody answered */
    bool *created;             /* of orders */
    unsigned again_count;
    uint64_t told[SAIDS], asked;
} it = {.kind = "users",
        .service = "cart",
        .cookie = "uid",
        .host = "shop",
        .connections = 64,
        .units = 1000,
        .seconds = 60,
        .timeout_ms = 10000,
        .first = 1,
        .dice = 88172645463325252u};

static volatile sig_atomic_t over;

static void on_signal(int number)
{
    (void)number;
    over = 1;
}

static uint64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Marsaglia's xorshift64 */
static uint64_t draw(uint64_t below)
{
    it.dice ^= it.dice << 13;
    it.dice ^= it.dice >> 7;
    it.dice ^= it.dice << 17;
    return it.dice % below;
}

/* ---- whom to ask about ----------------------------------------------------
 */

static bool next_unit(struct link *link)
{
    uint64_t known = it.recent_count < RECENT ? it.recent_count : RECENT;
    link->stage = it.orders ? STAGE_UPDATE : STAGE_USER;
    if (it.orders && it.again_count > 0) {
        link->unit = it.again[--it.again_count];
        link->stage = STAGE_CREATE;
        return true;
    }
    if (known > 0 && draw(2) == 0) {
        link->unit = it.recent[draw(known)];
        return true;
    }
    if (it.orders && it.next > 0 &&
        (draw(2) == 0 || it.next == (uint64_t)it.units)) {
        uint64_t index = draw(it.next); /* any earlier one */
        link->unit = (uint64_t)it.first + index;
        return it.created[index];
    }
    if (it.orders) {
        link->stage = STAGE_CREATE;
        link->unit = (uint64_t)it.first + it.next++;
        return true;
    }
    /* users in a scattered order; 7919 shares no factor with what is asked */
    link->unit = (uint64_t)it.first + it.next * 7919u % (uint64_t)it.units;
    it.next = (it.next + 1) % (uint64_t)it.units;
    return true;
}

static void compose(struct link *link)
{
    static const char *const targets[] = {"/", "/create", "/pay"};
    static const char *const words[] = {"user", "create", "pay"};
    int length =
        it.paths[link->via].http
            ? snprintf(link->out, sizeof(link->out),
                       "GET %s HTTP/1.1\r\nHost: %s\r\nCookie: %s=%llu\r\n\r\n",
                       targets[link->stage], it.host, it.cookie,
                       (unsigned long long)link->unit)
            : snprintf(link->out, sizeof(link->out), "%s %llu\n",
                       words[link->stage], (unsigned long long)link->unit);
    link->out_length = (size_t)length;
    link->out_sent = link->in_length = 0;
}

static void write_down(struct link *link, enum said said)
{
    struct line line = {.sent = link->sent,
                        .answered = clock_ns(),
                        .unit = link->unit,
                        .said = (uint8_t)said,
                        .via = link->via,
                        .stage = link->stage};
    fwrite(&line, sizeof(line), 1, it.out);
    it.told[said]++;
    link->asks = false;
    if (said <= SAID_NEW) {
        it.recent[it.recent_count++ % RECENT] = link->unit;
        if (it.orders) {
            it.created[link->unit - (uint64_t)it.first] = true;
        }
    } else if (link->stage == STAGE_CREATE && it.again_count < LINKS_MAX) {
        it.again[it.again_count++] = link->unit;
    }
}

/* ---- one connection -------------------------------------------------------
 */

static void link_close(struct link *link)
{
    if (link->fd >= 0) {
        close(link->fd);
    }
    link->fd = -1;
    link->state = CLOSED;
}

static void link_fail(struct link *link)
{
    if (link->asks) {
        write_down(link, SAID_FAILED);
    }
    link_close(link);
    link->not_before = clock_ns() + REST_NS;
}

static void link_connect(struct link *link)
{
    const struct path *path = &it.paths[link->via];
    int on = 1;
    link->fd = socket(path->address.ss_family,
                      SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct epoll_event event = {
        .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = link};
    if (link->fd < 0) {
        link_fail(link);
        return;
    }
    if (path->http) {
        setsockopt(link->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    }
    if ((connect(link->fd, (const struct sockaddr *)&path->address,
                 path->length) != 0 &&
         errno != EINPROGRESS) ||
        epoll_ctl(it.epoll, EPOLL_CTL_ADD, link->fd, &event) != 0) {
        link_fail(link);
        return;
    }
    link->state = CONNECTING;
}

static void link_send(struct link *link)
{
    while (link->out_sent < link->out_length) {
        ssize_t n = send(link->fd, link->out + link->out_sent,
                         link->out_length - link->out_sent, MSG_NOSIGNAL);
        if (n >= 0) {
            link->out_sent += (size_t)n;
        } else if (errno == EAGAIN) {
            return;
        } else if (errno != EINTR) {
            link_fail(link);
            return;
        }
    }
}

/* Which version speaks: the service's own body. */
static enum said version_in(const char *body, size_t length)
{
    char key[80];
    int n = snprintf(key, sizeof(key), "\"%.60s\":\"v", it.service);
    const char *at = memmem(body, length, key, (size_t)n);
    if (at == NULL || at + n >= body + length) {
        return SAID_ODD;
    }
    return at[n] == '1' ? SAID_OLD : at[n] == '2' ? SAID_NEW : SAID_ODD;
}

/* True when the answer is whole; *ret_keep false: the server will close. */
static bool http_answer(struct link *link, enum said *ret_said, bool *ret_keep)
{
    char *end = memmem(link->in, link->in_length, "\r\n\r\n", 4);
    if (end == NULL) {
        return false;
    }
    *end = '\0';
    const char *size = strcasestr(link->in, "\r\ncontent-length:");
    size_t head = (size_t)(end - link->in) + 4;
    size_t body = size != NULL ? (size_t)strtoul(size + 17, NULL, 10) : 0;
    bool whole = link->in_length >= head + body;
    if (whole) {
        int status = atoi(link->in + 9);
        *ret_said = status == 200   ? version_in(link->in + head, body)
                    : status == 503 ? SAID_REFUSED
                                    : SAID_ODD;
        *ret_keep = strcasestr(link->in, "\r\nconnection: close") == NULL;
    }
    *end = '\r';
    return whole;
}

static bool line_answer(struct link *link, enum said *ret_said)
{
    if (memchr(link->in, '\n', link->in_length) == NULL) {
        return false;
    }
    *ret_said = link->in[0] == 'o'   ? SAID_OLD
                : link->in[0] == 'n' ? SAID_NEW
                : link->in[0] == 'h' ? SAID_REFUSED
                                     : SAID_ODD;
    return true;
}

static void link_receive(struct link *link)
{
    while (link->state == BUSY) {
        enum said said;
        bool keep = true;
        ssize_t n = recv(link->fd, link->in + link->in_length,
                         sizeof(link->in) - link->in_length, 0);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && errno == EAGAIN) {
            return;
        }
        if (n <= 0) {
            link_fail(link);
            return;
        }
        link->in_length += (size_t)n;
        if (it.paths[link->via].http ? http_answer(link, &said, &keep)
                                     : line_answer(link, &said)) {
            write_down(link, said);
            link->state = IDLE;
            if (!keep) {
                link_close(link);
            }
        }
    }
}

static void link_ready(struct link *link, uint32_t events)
{
    if (link->state == IDLE &&
        (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))) {
        link_close(link); /* closed while idle: nothing was asked */
        return;
    }
    if (link->state == CONNECTING) {
        int error = 0;
        socklen_t length = sizeof(error);
        getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &error, &length);
        if (error != 0) {
            link_fail(link);
            return;
        }
        if (!(events & EPOLLOUT)) {
            return;
        }
        link->state = IDLE;
        return;
    }
    if (link->state == BUSY) {
        link_send(link);
        link_receive(link);
    }
}

static void link_start(struct link *link, uint64_t now)
{
    if (!next_unit(link)) {
        return;
    }
    compose(link);
    link->asks = true;
    link->sent = now;
    link->state = BUSY;
    it.asked++;
    link_send(link);
}

/* ---- the loop -------------------------------------------------------------
 */

static bool rate_allows(uint64_t now)
{
    return it.rate == 0 ||
           (double)it.asked < (double)(now - it.begun) * (double)it.rate / 1e9;
}

/* False: everything is over. */
static bool look_after_all(bool ending)
{
    uint64_t now = clock_ns();
    bool busy = false;
    for (long i = 0; i < it.connections; i++) {
        struct link *link = &it.links[i];
        if (link->state == CLOSED && !ending && now >= link->not_before) {
            link_connect(link);
        } else if (link->state == IDLE && !ending && rate_allows(now)) {
            link_start(link, clock_ns());
        } else if (link->state == BUSY &&
                   now - link->sent > (uint64_t)it.timeout_ms * 1000000u) {
            link_fail(link);
        }
        busy = busy || link->asks;
    }
    return busy || !ending;
}

static void load(void)
{
    struct epoll_event events[LINKS_MAX];
    uint64_t deadline;
    it.begun = clock_ns();
    deadline = it.begun + (uint64_t)it.seconds * 1000000000u;
    while (look_after_all(over || clock_ns() >= deadline)) {
        int count = epoll_wait(it.epoll, events, LINKS_MAX, 1);
        for (int i = 0; i < count; i++) {
            link_ready(events[i].data.ptr, events[i].events);
        }
    }
}

/* ---- options --------------------------------------------------------------
 */

static void usage(void)
{
    fputs("usage: asker --out FILE --path http:PORT|unix:FILE ...\n"
          "             [--kind users|orders] [--service NAME] [--units N]\n"
          "             [--first N] [--cookie NAME] [--host NAME]\n"
          "             [--connections N] [--seconds S] [--rate RPS]\n"
          "             [--timeout MS] [--seed N]\n",
          stderr);
    exit(2);
}

static void add_path(const char *text)
{
    if (it.path_count == PATHS_MAX) {
        usage();
    }
    struct path *path = &it.paths[it.path_count++];
    if (strncmp(text, "http:", 5) == 0) {
        struct sockaddr_in in = {.sin_family = AF_INET,
                                 .sin_port = htons((uint16_t)atoi(text + 5)),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        memcpy(&path->address, &in, sizeof(in));
        path->length = sizeof(in);
        path->http = true;
        return;
    }
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    if (strncmp(text, "unix:", 5) != 0 ||
        strlen(text + 5) >= sizeof(un.sun_path)) {
        usage();
    }
    strcpy(un.sun_path, text + 5);
    memcpy(&path->address, &un, sizeof(un));
    path->length = sizeof(un);
}

static void options(int argc, char **argv)
{
    static const struct option known[] = {
        {"out", 1, NULL, 'o'},         {"path", 1, NULL, 'p'},
        {"kind", 1, NULL, 'k'},        {"service", 1, NULL, 's'},
        {"cookie", 1, NULL, 'c'},      {"host", 1, NULL, 'h'},
        {"units", 1, NULL, 'u'},       {"first", 1, NULL, 'f'},
        {"connections", 1, NULL, 'n'}, {"seconds", 1, NULL, 't'},
        {"rate", 1, NULL, 'r'},        {"timeout", 1, NULL, 'm'},
        {"seed", 1, NULL, 'd'},        {NULL, 0, NULL, 0}};
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        switch (c) {
        case 'o':
            it.out = fopen(optarg, "wb");
            break;
        case 'p':
            add_path(optarg);
            break;
        case 'k':
            it.kind = optarg;
            break;
        case 's':
            it.service = optarg;
            break;
        case 'c':
            it.cookie = optarg;
            break;
        case 'h':
            it.host = optarg;
            break;
        case 'u':
            it.units = atol(optarg);
            break;
        case 'f':
            it.first = atol(optarg);
            break;
        case 'n':
            it.connections = atol(optarg);
            break;
        case 't':
            it.seconds = atol(optarg);
            break;
        case 'r':
            it.rate = atol(optarg);
            break;
        case 'm':
            it.timeout_ms = atol(optarg);
            break;
        case 'd':
            it.dice += (uint64_t)atol(optarg) * 7919u;
            break;
        default:
            usage();
        }
    }
    it.orders = strcmp(it.kind, "orders") == 0;
    if (it.out == NULL || it.path_count == 0 || it.connections < 1 ||
        it.connections > LINKS_MAX || it.units < 1) {
        usage();
    }
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = on_signal};
    options(argc, argv);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    it.epoll = epoll_create1(EPOLL_CLOEXEC);
    it.created = calloc((size_t)it.units, sizeof(*it.created));
    if (it.epoll < 0 || it.created == NULL) {
        perror("asker");
        return 1;
    }
    for (long i = 0; i < it.connections; i++) {
        it.links[i].fd = -1;
        it.links[i].via = (uint8_t)((unsigned long)i % it.path_count);
    }
    load();
    printf("{\"asked\": %llu, \"old\": %llu, \"new\": %llu, \"refused\": %llu, "
           "\"failed\": %llu, \"odd\": %llu, \"units\": %llu}\n",
           (unsigned long long)it.asked, (unsigned long long)it.told[SAID_OLD],
           (unsigned long long)it.told[SAID_NEW],
           (unsigned long long)it.told[SAID_REFUSED],
           (unsigned long long)it.told[SAID_FAILED],
           (unsigned long long)it.told[SAID_ODD],
           (unsigned long long)(it.orders ? it.next : (uint64_t)it.units));
    if (fclose(it.out) != 0) {
        perror("asker");
        return 1;
    }
    free(it.created);
    return 0;
}
