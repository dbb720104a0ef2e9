/* SPDX-License-Identifier: Apache-2.0
 * users.c - the users of the shop: a bounded load, each with a uid.
 *
 * Why: shares and stickiness are about users, so every uid comes exactly once
 * in a pass (`Cookie: uid=N`), over keep-alive connections, and every failure
 * is counted by kind.  It ends by itself, after its passes or its seconds, and
 * sends to loopback addresses only.
 *
 * A GET that was sent on a connection which the server had closed while it was
 * idle is sent once more on a fresh one, as RFC 9110 9.2.2 lets clients do; it
 * is counted as `stale_retries`, and as a failure with --no-retry.
 * Read next: tally.c.
 */
#include "users.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS_MAX 1024
#define ANSWER_MAX 65536u
#define EXPECTED_MAX 8u
#define LIVE_US 200000
#define REST_US 20000 /* after a refused connection */

enum link_state { CLOSED, CONNECTING, IDLE, BUSY };

/* One connection; it carries one user's request at a time. */
struct link {
    enum link_state state;
    int fd;
    bool reused, retried;
    long uid;
    int64_t begun_us, not_before_us;
    size_t in_length, out_length, out_sent;
    char in[ANSWER_MAX];
    char out[HTTP_HEAD_MAX];
};

static struct {
    const char *target, *path, *by;
    char headers[8192];
    struct {
        char name[64], value[256];
        bool absent;
    } expected[EXPECTED_MAX];
    unsigned expected_count;
    long users, first, passes, repeats, rate, seconds, timeout_ms;
    long connections, expect_status;
    bool quiet, retry;
    int live;
    struct sockaddr_storage address;
    socklen_t address_length;
    /* where we are */
    int epoll;
    struct link *links;
    long pass, index, repeat, open_requests;
    int64_t begun_us, started;
    bool over;
} users = {.path = "/",
           .users = 1000,
           .first = 1,
           .passes = 1,
           .repeats = 1,
           .seconds = 600,
           .timeout_ms = 5000,
           .connections = 64,
           .retry = true,
           .live = -1,
           .epoll = -1};

static volatile sig_atomic_t stop_asked;

static void on_signal(int number)
{
    (void)number;
    stop_asked = 1;
}

/* ---- who comes next ---------------------------------------------------------
 */

static bool take_uid(long *ret_uid)
{
    if (users.over || (users.passes > 0 && users.pass >= users.passes)) {
        return false;
    }
    *ret_uid = users.first + users.index;
    if (++users.repeat == users.repeats) {
        users.repeat = 0;
        if (++users.index == users.users) {
            users.index = 0;
            users.pass++;
        }
    }
    return true;
}

static bool rate_allows(int64_t now_us)
{
    return users.rate == 0 ||
           (double)users.started <
               (double)(now_us - users.begun_us) * (double)users.rate / 1e6;
}

/* ---- one connection
 * ---------------------------------------------------------- */

static void link_close(struct link *link)
{
    if (link->fd >= 0) {
        close(link->fd);
    }
    link->fd = -1;
    link->state = CLOSED;
}

static void link_over(struct link *link, bool keep)
{
    users.open_requests--;
    if (keep) {
        link->state = IDLE;
        link->reused = true;
    } else {
        link_close(link);
    }
}

static void link_fail(struct link *link, enum failure kind)
{
    tally_failure(kind);
    if (kind == FAILED_CONNECT) {
        link->not_before_us = http_clock_us() + REST_US;
    }
    link_over(link, false);
}

static int link_connect(struct link *link)
{
    int on = 1;
    int fd = socket(users.address.ss_family,
                    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct epoll_event event = {
        .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = link};
    if (fd < 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0 ||
        (connect(fd, (struct sockaddr *)&users.address, users.address_length) !=
             0 &&
         errno != EINPROGRESS) ||
        epoll_ctl(users.epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
        if (fd >= 0) {
            close(fd);
        }
        return -1;
    }
    tally_connection();
    link->fd = fd;
    link->state = CONNECTING;
    link->reused = false;
    link->in_length = link->out_sent = 0;
    return 0;
}

/* The connection ended before the answer did. */
static void link_ended(struct link *link)
{
    if (users.retry && link->reused && !link->retried && link->in_length == 0) {
        tally_stale_retry();
        link->retried = true;
        link_close(link);
        if (link_connect(link) != 0) {
            link_fail(link, FAILED_CONNECT);
        }
        return;
    }
    link_fail(link, FAILED_RESET);
}

static int link_send(struct link *link)
{
    while (link->out_sent < link->out_length) {
        ssize_t n = send(link->fd, link->out + link->out_sent,
                         link->out_length - link->out_sent, MSG_NOSIGNAL);
        if (n >= 0) {
            link->out_sent += (size_t)n;
        } else if (errno == EAGAIN) {
            return 0;
        } else if (errno != EINTR) {
            link_ended(link);
            return -1;
        }
    }
    return 0;
}

static bool as_expected(const struct http_head *head)
{
    if (users.expect_status != 0 && head->status != users.expect_status) {
        return false;
    }
    for (unsigned i = 0; i < users.expected_count; i++) {
        struct text value = http_header(head, users.expected[i].name);
        const char *wanted = users.expected[i].value;
        if (users.expected[i].absent ? value.data != NULL
                                     : value.data == NULL) {
            return false;
        }
        if (*wanted != '\0' && (value.length != strlen(wanted) ||
                                memcmp(value.data, wanted, value.length))) {
            return false;
        }
    }
    return true;
}

/* v2 of {"cart":"v2",...} for --by cart */
static struct text version_in(struct text body)
{
    struct text none = {NULL, 0};
    char key[80];
    if (users.by == NULL) {
        return none;
    }
    int length = snprintf(key, sizeof(key), "\"%.60s\":\"", users.by);
    const char *at = memmem(body.data, body.length, key, (size_t)length);
    if (at == NULL) {
        return none;
    }
    at += length;
    size_t left = body.length - (size_t)(at - body.data);
    const char *end = memchr(at, '"', left);
    return end == NULL ? none : (struct text){at, (size_t)(end - at)};
}

static void link_answered(struct link *link, const struct http_head *head)
{
    struct text body = {link->in + head->length, head->body_length};
    tally_answer(head->status, http_clock_us() - link->begun_us,
                 version_in(body));
    if (head->status >= 500) {
        tally_failure(FAILED_STATUS_5XX);
    } else if (!as_expected(head)) {
        tally_failure(FAILED_UNEXPECTED);
    }
    link_over(link, head->keep_alive &&
                        link->in_length == head->length + head->body_length);
}

static void link_receive(struct link *link)
{
    while (link->state == BUSY) {
        ssize_t n = recv(link->fd, link->in + link->in_length,
                         sizeof(link->in) - link->in_length, 0);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && errno == EAGAIN) {
            return;
        }
        if (n <= 0) {
            link_ended(link);
            return;
        }
        link->in_length += (size_t)n;
        struct http_head head;
        int got = http_parse(link->in, link->in_length, HTTP_ANSWER, &head);
        if (got < 0 ||
            (got > 0 && head.length + head.body_length > sizeof(link->in))) {
            link_fail(link, FAILED_MALFORMED);
        } else if (got > 0 &&
                   link->in_length >= head.length + head.body_length) {
            link_answered(link, &head);
        }
    }
}

static void link_ready(struct link *link, uint32_t events)
{
    if (link->state == IDLE &&
        (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))) {
        link_close(link); /* closed while idle, nothing was asked of it */
        return;
    }
    if (link->state == CONNECTING) {
        int error = 0;
        socklen_t length = sizeof(error);
        getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &error, &length);
        if (error != 0) {
            link_fail(link, FAILED_CONNECT);
            return;
        }
        if (!(events & EPOLLOUT)) {
            return;
        }
        link->state = BUSY;
    }
    if (link->state == BUSY && link_send(link) == 0) {
        link_receive(link);
    }
}

static void link_start(struct link *link, long uid, int64_t now_us)
{
    link->uid = uid;
    link->begun_us = now_us;
    link->retried = false;
    link->in_length = link->out_sent = 0;
    link->out_length = (size_t)snprintf(
        link->out, sizeof(link->out),
        "GET %s HTTP/1.1\r\nHost: %s\r\nCookie: uid=%ld\r\n%s\r\n", users.path,
        users.target, uid, users.headers);
    users.open_requests++;
    users.started++;
    tally_request();
    if (link->state == IDLE) {
        link->state = BUSY;
        link_send(link);
    } else if (link_connect(link) != 0) {
        link_fail(link, FAILED_CONNECT);
    }
}

/* ---- the loop
 * ------------------------------------------------------------------ */

static void start_all(int64_t now_us)
{
    for (long i = 0; i < users.connections; i++) {
        struct link *link = &users.links[i];
        long uid;
        if ((link->state != IDLE && link->state != CLOSED) ||
            now_us < link->not_before_us) {
            continue;
        }
        if (!rate_allows(now_us) || !take_uid(&uid)) {
            return;
        }
        link_start(link, uid, now_us);
    }
}

static void end_late(int64_t now_us)
{
    for (long i = 0; i < users.connections; i++) {
        struct link *link = &users.links[i];
        if ((link->state == CONNECTING || link->state == BUSY) &&
            now_us - link->begun_us > users.timeout_ms * 1000) {
            link_fail(link, FAILED_TIMEOUT);
        }
    }
}

static void load(void)
{
    struct epoll_event events[256];
    int64_t next_live = 0, next_late = 0;
    int64_t deadline = users.begun_us + users.seconds * 1000000;
    for (;;) {
        int64_t now = http_clock_us();
        users.over = users.over || stop_asked || now >= deadline;
        start_all(now);
        if (users.open_requests == 0 &&
            (users.over || (users.passes > 0 && users.pass >= users.passes))) {
            return;
        }
        int count =
            epoll_wait(users.epoll, events, 256, users.rate > 0 ? 1 : 20);
        for (int i = 0; i < count; i++) {
            link_ready(events[i].data.ptr, events[i].events);
        }
        if (now >= next_late) {
            end_late(now);
            next_late = now + 100000;
        }
        if (now >= next_live) {
            if (users.live >= 0) {
                tally_live(users.live, now);
            }
            next_live = now + LIVE_US;
        }
    }
}

/* ---- options
 * -------------------------------------------------------------------- */

static void usage(int status)
{
    fputs(
        "usage: users --target 127.0.0.1:PORT [--users N] [--first UID]\n"
        "             [--connections N] [--requests-per-user N] [--passes N]\n"
        "             [--rate RPS] [--seconds S] [--timeout MS] [--path /P]\n"
        "             [--header 'k: v']... [--expect-header 'k: v'|k|!k]...\n"
        "             [--expect-status N] [--by SERVICE] [--no-retry]\n"
        "             [--quiet] [--live FD] [--with-parent]\n"
        "Each uid comes once in a pass; --passes 0 repeats until --seconds\n"
        "(default 600) are over.  Prints JSON.  Exit code: 0 no failure,\n"
        "1 some request failed or time ran out, 2 wrong usage.\n",
        status == 0 ? stdout : stderr);
    exit(status);
}

static void add_header(const char *line)
{
    size_t used = strlen(users.headers);
    if (strchr(line, ':') == NULL || strpbrk(line, "\r\n") != NULL ||
        used + strlen(line) + 3 > sizeof(users.headers)) {
        fprintf(stderr, "users: --header: '%s' is no header, or too long\n",
                line);
        exit(2);
    }
    sprintf(users.headers + used, "%s\r\n", line);
}

static void add_expected(const char *line)
{
    const char *colon = strchr(line, ':');
    bool absent = *line == '!';
    const char *name = line + absent;
    size_t length = colon != NULL ? (size_t)(colon - name) : strlen(name);
    if (users.expected_count == EXPECTED_MAX || length == 0 ||
        length >= sizeof(users.expected[0].name)) {
        fprintf(stderr, "users: --expect-header: '%s'\n", line);
        exit(2);
    }
    memcpy(users.expected[users.expected_count].name, name, length);
    if (colon != NULL) {
        colon += strspn(colon + 1, " ") + 1;
        snprintf(users.expected[users.expected_count].value,
                 sizeof(users.expected[0].value), "%s", colon);
    }
    users.expected[users.expected_count++].absent = absent;
}

static const struct number_option {
    const char *name;
    long *value, low, high;
} numbers[] = {
    {"users", &users.users, 1, 100000000},
    {"first", &users.first, 0, 1000000000},
    {"connections", &users.connections, 1, CONNECTIONS_MAX},
    {"requests-per-user", &users.repeats, 1, 1000000},
    {"passes", &users.passes, 0, 1000000},
    {"rate", &users.rate, 0, 1000000},
    {"seconds", &users.seconds, 1, 86400},
    {"timeout", &users.timeout_ms, 1, 600000},
    {"expect-status", &users.expect_status, 100, 599},
};
#define NUMBERS (sizeof(numbers) / sizeof(*numbers))

static void option_word(int c)
{
    switch (c) {
    case 't':
        users.target = optarg;
        break;
    case 'p':
        users.path = optarg;
        break;
    case 'H':
        add_header(optarg);
        break;
    case 'E':
        add_expected(optarg);
        break;
    case 'b':
        users.by = optarg;
        break;
    case 'L':
        users.live = (int)http_number("users", "--live", optarg, 0, 1023);
        fcntl(users.live, F_SETFL, fcntl(users.live, F_GETFL) | O_NONBLOCK);
        break;
    case 'q':
        users.quiet = true;
        break;
    case 'n':
        users.retry = false;
        break;
    case 'P':
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        break;
    default:
        usage(c == 'h' ? 0 : 2);
    }
}

static void options(int argc, char **argv)
{
    struct option known[NUMBERS + 11] = {
        {"target", 1, NULL, 't'},      {"path", 1, NULL, 'p'},
        {"header", 1, NULL, 'H'},      {"expect-header", 1, NULL, 'E'},
        {"by", 1, NULL, 'b'},          {"live", 1, NULL, 'L'},
        {"quiet", 0, NULL, 'q'},       {"no-retry", 0, NULL, 'n'},
        {"with-parent", 0, NULL, 'P'}, {"help", 0, NULL, 'h'}};
    for (size_t i = 0; i < NUMBERS; i++) {
        known[10 + i] =
            (struct option){numbers[i].name, 1, NULL, 1000 + (int)i};
    }
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        if (c >= 1000) {
            const struct number_option *number = &numbers[c - 1000];
            *number->value = http_number("users", number->name, optarg,
                                         number->low, number->high);
        } else {
            option_word(c);
        }
    }
    if (users.target == NULL || optind != argc || users.path[0] != '/' ||
        strlen(users.path) > 4096 || strpbrk(users.path, " \r\n") != NULL) {
        usage(2);
    }
    if (http_address("users", users.target, &users.address,
                     &users.address_length) != 0) {
        exit(2);
    }
}

int main(int argc, char **argv)
{
    options(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    users.epoll = epoll_create1(EPOLL_CLOEXEC);
    users.links = calloc((size_t)users.connections, sizeof(*users.links));
    if (users.epoll < 0 || users.links == NULL) {
        perror("users");
        return 1;
    }
    for (long i = 0; i < users.connections; i++) {
        users.links[i].fd = -1;
    }
    users.begun_us = http_clock_us();
    load();
    struct tally_end end = {
        .users = users.users,
        .passes = users.pass,
        .complete = users.passes == 0 || users.pass >= users.passes,
        .seconds = (double)(http_clock_us() - users.begun_us) / 1e6};
    tally_print(&end);
    if (!users.quiet && tally_failed() > 0) {
        fprintf(stderr, "users: %llu of the requests failed\n",
                (unsigned long long)tally_failed());
    }
    free(users.links);
    return tally_failed() > 0 || !end.complete ? 1 : 0;
}
