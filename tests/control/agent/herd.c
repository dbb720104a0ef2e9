/* SPDX-License-Identifier: Apache-2.0
 * herd.c - a thousand agents, as far as their server sees them.
 *
 * Why: what a fleet does after an outage cannot be seen with three hosts.  Each
 * agent here has two connections, as a real one has, polls and reports as
 * docs/agent.md says, and waits by the very file that real agents wait by
 * (control/agent/backoff.c).  It says each connection that was accepted:
 *
 *   c MS poll|report    a connection stands, MS after the start
 *   s MS                it was answered 503
 *   all MS              every agent has polled well since the last break
 *
 * usage: herd PORT [SPREAD_MS] < "NAME TOKEN\n"...   (SPREAD_MS: instead of
 * what the server says) ; ends by SIGTERM
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "control/agent/backoff.h"

#define AGENTS_MAX 2000
#define REPORT_MS 3300

enum state { OFF, CONNECTING, ASKING };
struct agent;
struct line {
    struct agent *agent;
    bool reports;
    enum state state;
    int fd;
    size_t got;
    char in[8192];
};
struct agent {
    char name[32], token[96];
    struct backoff backoff;
    struct line poll, report;
    int64_t poll_due, report_due;
    bool well;      /* polled well since it broke last */
    char known[24]; /* sequence */
};
static struct agent *agents;
static size_t count, well;
static int epoll, port;
static unsigned long own_spread;
static int64_t began;

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 - began;
}

static void shut(struct line *line)
{
    if (line->state != OFF) {
        close(line->fd);
        line->state = OFF;
    }
}

static void broke(struct line *line, uint64_t retry_after_ms)
{
    struct agent *agent = line->agent;
    int64_t wait;

    shut(line);
    if (line->reports) { /* the poll finds out when it is back */
        agent->report_due =
            now_ms() + (retry_after_ms > 0
                            ? (int64_t)backoff_next(&agent->backoff,
                                                    retry_after_ms)
                            : REPORT_MS);
        return;
    }
    well -= agent->well;
    agent->well = false;
    shut(&agent->report);
    agent->report_due = INT64_MAX;
    wait = backoff_next(&agent->backoff, retry_after_ms);
    agent->poll_due = now_ms() + wait;
}

static void ask(struct line *line)
{
    struct agent *agent = line->agent;
    char text[1024], body[256];
    int length;

    if (line->reports) {
        snprintf(body, sizeof(body),
                 "{\"host\":\"%s\",\"sequence\":%s,\"epoch\":0,\"readers\":[]}",
                 agent->name, agent->known[0] != '\0' ? agent->known : "0");
        length = snprintf(text, sizeof(text),
                          "POST /v1/hosts/%s/report HTTP/1.1\r\nHost: localhost\r\n"
                          "Authorization: Bearer %s\r\nContent-Type: "
                          "application/json\r\nContent-Length: %zu\r\n\r\n%s",
                          agent->name, agent->token, strlen(body), body);
    } else {
        length = snprintf(text, sizeof(text),
                          "GET /v1/bundle?host=%s&wait=%d HTTP/1.1\r\nHost: localhost"
                          "\r\nAuthorization: Bearer %s\r\nIf-None-Match: "
                          "\"%s\"\r\n\r\n", agent->name, agent->well ? 50 : 0,
                          agent->token, agent->known);
    }
    line->got = 0;
    line->state = ASKING;
    if (send(line->fd, text, (size_t)length, MSG_NOSIGNAL) != length) {
        broke(line, 0);
    }
}

static void dial(struct line *line)
{
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons((uint16_t)port) };
    struct epoll_event event = { .events = EPOLLIN | EPOLLOUT,
                                 .data.ptr = line };

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    line->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    line->state = CONNECTING;
    if (line->fd < 0 || (connect(line->fd, (struct sockaddr *)&to,
                                 sizeof(to)) != 0 && errno != EINPROGRESS)) {
        broke(line, 0);
        return;
    }
    epoll_ctl(epoll, EPOLL_CTL_ADD, line->fd, &event);
}

/* A whole answer; where its body ends, or 0. */
static size_t whole(const struct line *line)
{
    const char *end = strstr(line->in, "\r\n\r\n");
    const char *length = strcasestr(line->in, "content-length:");
    size_t head;

    if (end == NULL) {
        return 0;
    }
    head = (size_t)(end + 4 - line->in);
    if (length != NULL && length < end) {
        head += strtoul(length + 15, NULL, 10);
    }
    return line->got >= head ? head : 0;
}

static void answered(struct line *line)
{
    struct agent *agent = line->agent;
    int status = atoi(line->in + 9);
    const char *etag = strcasestr(line->in, "etag:");
    const char *spread = strstr(line->in, "\"spreadMs\":");
    const char *retry = strcasestr(line->in, "retry-after:");

    if (status != 200 && status != 304) {
        if (status == 503) {
            printf("s %lld\n", (long long)now_ms());
        } else {
            fprintf(stderr, "herd: %s\n", line->in);
        }
        broke(line, retry != NULL ? strtoul(retry + 12, NULL, 10) * 1000 : 0);
        return;
    }
    if (line->reports) {
        if (spread != NULL) {
            backoff_spread(&agent->backoff,
                           own_spread != 0 ? own_spread
                                           : strtoul(spread + 11, NULL, 10));
        }
        agent->report_due = now_ms() + REPORT_MS;
        line->state = ASKING;
        line->got = 0;
        return;
    }
    if (etag != NULL) {
        sscanf(etag + 5, " \"%23[0-9]\"", agent->known);
    }
    if (!agent->well) {
        agent->well = true;
        well++;
        agent->report_due = now_ms();
        if (well == count) {
            printf("all %lld\n", (long long)now_ms());
        }
    }
    backoff_good(&agent->backoff);
    ask(line);
}

static void event_on(struct line *line, uint32_t events)
{
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = line };
    ssize_t got;
    int error = 0;
    socklen_t size = sizeof(error);

    if (line->state == CONNECTING) {
        getsockopt(line->fd, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error != 0 || (events & EPOLLERR) != 0) {
            broke(line, 0);
        } else if ((events & EPOLLOUT) != 0) {
            printf("c %lld %s\n", (long long)now_ms(),
                   line->reports ? "report" : "poll");
            epoll_ctl(epoll, EPOLL_CTL_MOD, line->fd, &event);
            ask(line);
        }
        return;
    }
    got = recv(line->fd, line->in + line->got,
               sizeof(line->in) - 1 - line->got, 0);
    if (got <= 0) {
        if (got == 0 || errno != EAGAIN) {
            broke(line, 0);
        }
        return;
    }
    line->got += (size_t)got;
    line->in[line->got] = '\0';
    if (whole(line) > 0) {
        answered(line);
    }
}

static void look(struct agent *agent, int64_t now)
{
    if (agent->poll.state == OFF && now >= agent->poll_due) {
        dial(&agent->poll);
    }
    if (agent->well && now >= agent->report_due) {
        agent->report_due = INT64_MAX;
        if (agent->report.state == OFF) {
            dial(&agent->report);
        } else {
            ask(&agent->report);
        }
    }
}

int main(int argc, char **argv)
{
    struct epoll_event events[256];

    agents = calloc(AGENTS_MAX, sizeof(*agents));
    if (argc < 2 || agents == NULL) {
        return 2;
    }
    port = atoi(argv[1]);
    own_spread = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
    began = 0;
    began = now_ms();
    while (count < AGENTS_MAX && scanf("%31s %95s", agents[count].name,
                                       agents[count].token) == 2) {
        struct agent *agent = &agents[count++];

        backoff_init(&agent->backoff, (uint64_t)count * 0x9e3779b97f4a7c15u);
        agent->poll.agent = agent->report.agent = agent;
        agent->report.reports = true;
        agent->report_due = INT64_MAX;
        agent->poll_due = (int64_t)count * 25; /* they begin one by one */
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    epoll = epoll_create1(0);
    for (;;) {
        int found = epoll_wait(epoll, events, 256, 5);
        int64_t now = now_ms();

        for (int i = 0; i < found; i++) {
            struct line *line = events[i].data.ptr;

            if (line->state != OFF) {
                event_on(line, events[i].events);
            }
        }
        for (size_t i = 0; i < count; i++) {
            look(&agents[i], now);
        }
    }
}
