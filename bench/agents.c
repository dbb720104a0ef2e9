/* SPDX-License-Identifier: Apache-2.0
 * agents.c - thousands of hosts' agents in one process, as the wire has them.
 *
 * Why: whether a server feeds ten thousand hosts is asked of a server, not of
 * a model of one: each agent here has its own connection and token, polls as
 * docs/agent.md says, fetches the policy that a bundle names, and some report
 * on a second connection at the protocol's rate.  They come at the rate at
 * which the server lets them in, and come again when they are turned away.
 * Read next: hosts.py (who starts this, and publishes).
 *
 * usage: bench_agents PORT TOKENS RATE REPORTS
 *   TOKENS: a file of "name token" lines; RATE: connections a second;
 *   REPORTS: how many of them report
 * Prints "waiting N" when all wait, and for each bundle that all have
 * "bundle SEQUENCE NAMED_P50 NAMED_P99 NAMED_LAST HAD_P50 HAD_P99 HAD_LAST":
 * CLOCK_MONOTONIC ms when the manifest was there, and the policy with it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define REPORT_MS 3333
#define EVENTS 512
#define TOKEN_MAX 120

enum doing { DOING_NOTHING, DOING_POLL, DOING_BLOB, DOING_REPORT };
struct link {
    struct agent *agent;
    int fd; /* -1: none */
    bool reports;
    enum doing doing;
    char *in; /* malloc'd; NULL: nothing of an answer yet */
    size_t length, room;
    double again; /* when to connect, or to report, next; ms */
};
struct agent {
    char name[32], token[TOKEN_MAX], server[40], policy[65];
    unsigned long long sequence, epoch;
    double named, had; /* of the newest sequence */
    bool waits;
    struct link poll, report;
};
static struct agent *agents;
static size_t count, waiting, reporting;
static int epoll_fd, port;
static unsigned long long shed, reports_done, said;

static double now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1000 + (double)now.tv_nsec / 1e6;
}

/* ---- one connection --------------------------------------------------------- */

static void drop(struct link *link, double again)
{
    struct agent *agent = link->agent;

    if (link->fd >= 0) {
        close(link->fd);
    }
    if (!link->reports && agent->waits) {
        agent->waits = false;
        waiting--;
    }
    free(link->in);
    *link = (struct link){.agent = agent, .fd = -1,
                          .reports = link->reports, .again = again};
}

static void send_all(struct link *link, const char *text, int length)
{
    if (write(link->fd, text, (size_t)length) != length) {
        drop(link, now_ms() + 1000);
    }
}

static void ask_poll(struct link *link)
{
    struct agent *agent = link->agent;
    char text[512];
    int length = snprintf(
        text, sizeof(text),
        "GET /v1/bundle?host=%s&wait=%d HTTP/1.1\r\nHost: localhost\r\n"
        "Authorization: Bearer %s\r\nIf-None-Match: \"%llu\"\r\n\r\n",
        agent->name, agent->sequence != 0 ? 55 : 0, agent->token,
        agent->sequence);

    link->doing = DOING_POLL;
    if (agent->sequence != 0 && !agent->waits) {
        agent->waits = true;
        waiting++;
    }
    send_all(link, text, length);
}

static void ask_blob(struct link *link)
{
    char text[512];
    int length = snprintf(
        text, sizeof(text),
        "GET /v1/blobs/%s HTTP/1.1\r\nHost: localhost\r\nAuthorization: "
        "Bearer %s\r\n\r\n",
        link->agent->policy, link->agent->token);

    link->doing = DOING_BLOB;
    send_all(link, text, length);
}

static void ask_report(struct link *link)
{
    struct agent *agent = link->agent;
    char body[400], text[900];
    int size = snprintf(body, sizeof(body),
                        "{\"host\":\"%s\",\"server\":\"%s\",\"sequence\":%llu,"
                        "\"epoch\":%llu,\"readers\":[]}",
                        agent->name, agent->server, agent->sequence,
                        agent->epoch);
    int length = snprintf(
        text, sizeof(text),
        "POST /v1/hosts/%s/report HTTP/1.1\r\nHost: localhost\r\n"
        "Authorization: Bearer %s\r\nContent-Type: application/json\r\n"
        "Content-Length: %d\r\n\r\n%s",
        agent->name, agent->token, size, body);

    link->doing = DOING_REPORT;
    send_all(link, text, length);
}

static void connect_link(struct link *link)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = link};
    int one = 1;

    link->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (link->fd < 0 ||
        connect(link->fd, (struct sockaddr *)&to, sizeof(to)) != 0 ||
        setsockopt(link->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) !=
            0 ||
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, link->fd, &event) != 0) {
        fprintf(stderr, "connect: %s\n", strerror(errno));
        drop(link, now_ms() + 1000);
        return;
    }
    if (link->reports) {
        ask_report(link);
    } else {
        ask_poll(link);
    }
}

/* ---- answers ------------------------------------------------------------------ */

static void take_manifest(struct agent *agent, const char *text)
{
    const char *at = strstr(text, "\"sequence\":");

    agent->sequence = at != NULL ? strtoull(at + 11, NULL, 10) : 0;
    at = strstr(text, "\"epoch\":");
    agent->epoch = at != NULL ? strtoull(at + 8, NULL, 10) : 0;
    at = strstr(text, "\"server\":\"");
    if (at != NULL) {
        snprintf(agent->server, sizeof(agent->server), "%.32s", at + 10);
    }
    at = strstr(text, "\"policy\":{\"sha256\":\"");
    agent->named = now_ms();
    if (at != NULL && strncmp(agent->policy, at + 20, 64) != 0) {
        snprintf(agent->policy, sizeof(agent->policy), "%.64s", at + 20);
        ask_blob(&agent->poll);
    } else {
        agent->had = agent->named;
        ask_poll(&agent->poll);
    }
}

/* A whole answer; its body ends in a NUL. */
static void answered(struct link *link, int status, const char *body)
{
    struct agent *agent = link->agent;
    enum doing did = link->doing;

    link->doing = DOING_NOTHING;
    if (status == 503) {
        shed++;
        drop(link, now_ms() + 1000 + (double)(random() % 2000));
    } else if (did == DOING_POLL) {
        if (agent->waits) {
            agent->waits = false;
            waiting--;
        }
        if (status == 200) {
            take_manifest(agent, body);
        } else {
            ask_poll(link);
        }
    } else if (did == DOING_BLOB) {
        agent->had = now_ms();
        ask_poll(link);
    } else {
        reports_done++;
        link->again = now_ms() + REPORT_MS;
    }
}

/* Bytes of an answer that is whole; 0: not yet. */
static size_t whole(const struct link *link, int *ret_status,
                    const char **ret_body)
{
    const char *end = strstr(link->in, "\r\n\r\n"), *at;
    size_t length = 0;

    if (end == NULL) {
        return 0;
    }
    *ret_status = atoi(link->in + 9);
    at = strcasestr(link->in, "content-length:");
    if (at != NULL && at < end && *ret_status != 304) {
        length = strtoul(at + 15, NULL, 10);
    }
    *ret_body = end + 4;
    length += (size_t)(end + 4 - link->in);
    return length <= link->length ? length : 0;
}

static void readable(struct link *link)
{
    const char *body = "";
    int status = 0;
    ssize_t got;

    if (link->room - link->length < 4096) {
        link->room += 8192;
        link->in = realloc(link->in, link->room + 1);
    }
    got = read(link->fd, link->in + link->length, link->room - link->length);
    if (got <= 0) {
        drop(link, now_ms() + (double)(random() % 2000));
        return;
    }
    link->length += (size_t)got;
    link->in[link->length] = '\0';
    if (whole(link, &status, &body) > 0) {
        char *in = link->in;

        link->in = NULL;
        link->length = link->room = 0;
        answered(link, status, body);
        free(in);
    }
}

/* ---- all of them ----------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void say_times(const double *times)
{
    printf(" %.3f %.3f %.3f", times[count / 2], times[count * 99 / 100],
           times[count - 1]);
}

/* When all have the same bundle, and wait for the next. */
static void look(void)
{
    unsigned long long sequence = agents[0].sequence;
    double *named, *had;

    if (waiting < count || sequence == said) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (agents[i].sequence != sequence) {
            return;
        }
    }
    named = malloc(2 * count * sizeof(*named));
    had = named + count;
    for (size_t i = 0; i < count; i++) {
        named[i] = agents[i].named;
        had[i] = agents[i].had;
    }
    qsort(named, count, sizeof(*named), by_value);
    qsort(had, count, sizeof(*had), by_value);
    if (said == 0) {
        printf("waiting %zu shed %llu\n", count, shed);
    }
    said = sequence;
    printf("bundle %llu", sequence);
    say_times(named);
    say_times(had);
    printf(" reports %llu\n", reports_done);
    free(named);
}

static void turn(double *next_connect, double between)
{
    static size_t at;
    double now = now_ms();

    for (size_t i = 0; i < 2 * count && now >= *next_connect; i++) {
        size_t number = at++ % (2 * count);
        struct agent *agent = &agents[number / 2];
        struct link *link = number % 2 ? &agent->report : &agent->poll;

        if (link->fd < 0 && link->again <= now &&
            (!link->reports ||
             (number / 2 < reporting && agent->sequence != 0))) {
            connect_link(link);
            *next_connect = *next_connect + between > now - 1000
                                ? *next_connect + between
                                : now;
        }
    }
    for (size_t i = 0; i < reporting; i++) {
        struct link *link = &agents[i].report;

        if (link->fd >= 0 && link->doing == DOING_NOTHING &&
            link->again <= now) {
            ask_report(link);
        }
    }
}

static void read_tokens(const char *path)
{
    FILE *file = fopen(path, "r");
    char name[32], token[TOKEN_MAX];
    size_t room = 0;

    while (file != NULL && fscanf(file, "%31s %119s", name, token) == 2) {
        if (count == room) {
            room = room * 2 + 1024;
            agents = realloc(agents, room * sizeof(*agents));
        }
        memset(&agents[count], 0, sizeof(*agents));
        strcpy(agents[count].name, name);
        strcpy(agents[count++].token, token);
    }
    for (size_t i = 0; i < count; i++) {
        agents[i].poll = (struct link){.agent = &agents[i], .fd = -1};
        agents[i].report = (struct link){.agent = &agents[i], .fd = -1,
                                         .reports = true};
    }
    if (file != NULL) {
        fclose(file);
    }
}

int main(int argc, char **argv)
{
    static struct epoll_event events[EVENTS];
    struct rlimit limit;
    double next_connect = now_ms(), turned = 0;

    if (argc != 5) {
        fputs("usage: bench_agents PORT TOKENS RATE REPORTS\n", stderr);
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGPIPE, SIG_IGN);
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    port = atoi(argv[1]);
    read_tokens(argv[2]);
    reporting = strtoul(argv[4], NULL, 10);
    reporting = reporting < count ? reporting : count;
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    while (count > 0 && getppid() != 1) {
        int got = epoll_wait(epoll_fd, events, EVENTS, 5);

        for (int i = 0; i < got; i++) {
            struct link *link = events[i].data.ptr;

            if (link->fd >= 0) {
                readable(link);
            }
        }
        if (now_ms() - turned >= 5) {
            turned = now_ms();
            turn(&next_connect, 1000.0 / atof(argv[3]));
            look();
        }
    }
    return 0;
}
