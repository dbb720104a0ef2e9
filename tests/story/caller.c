/* SPDX-License-Identifier: Apache-2.0
 * caller.c - a service that calls others, and counts who came.
 *
 * Why: what a plan predicts is judged by what arrives at the services
 * themselves, and what a new version does differently is whom it calls and how
 * often.  A thread a connection, blocking, keep-alive: a request is counted,
 * then each --call is made by GET at the next hop, with cookie and baggage
 * passed on; "/count" answers how many came.
 *
 * usage: caller --listen PORT --next PORT [--call SERVICE[:N]]...
 *   SERVICE:N  not for users whose uid is a multiple of N
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define CALLS_MAX 8
#define HEAD_MAX 8192

static struct {
    const char *service;
    long except;
} calls[CALLS_MAX];
static int call_count, next_port;
static _Atomic long came;

static int dial(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)next_port) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd >= 0 &&
        connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        close(fd);
        return -1;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return fd;
}

/* A whole head, and of the body as much as came along; 0: it ended. */
static size_t read_head(int fd, char *head)
{
    size_t length = 0;

    while (length < HEAD_MAX - 1) {
        ssize_t got = read(fd, head + length, HEAD_MAX - 1 - length);

        if (got <= 0) {
            return 0;
        }
        length += (size_t)got;
        head[length] = '\0';
        if (strstr(head, "\r\n\r\n") != NULL) {
            return length;
        }
    }
    return 0;
}

/* The line of a header, with its end; "": there is none. */
static void header_of(const char *head, const char *name, char *line,
                      size_t size)
{
    const char *at = head;
    size_t length = strlen(name);

    line[0] = '\0';
    while ((at = strstr(at, "\r\n")) != NULL && at[2] != '\r') {
        at += 2;
        if (strncasecmp(at, name, length) == 0 && at[length] == ':') {
            const char *end = strstr(at, "\r\n");

            snprintf(line, size, "%.*s", (int)(end + 2 - at), at);
            return;
        }
    }
}

static bool write_all(int fd, const char *text, size_t length)
{
    while (length > 0) {
        ssize_t put = write(fd, text, length);

        if (put <= 0) {
            return false;
        }
        text += put;
        length -= (size_t)put;
    }
    return true;
}

/* One answer of the next hop, which says how long it is. False: none. */
static bool read_answer(int fd)
{
    char head[HEAD_MAX], line[256];
    size_t length = read_head(fd, head), body;
    const char *end = strstr(head, "\r\n\r\n");

    if (length == 0 || strncmp(head, "HTTP/1.1 200", 12) != 0) {
        return false;
    }
    header_of(head, "content-length", line, sizeof(line));
    body = line[0] != '\0' ? strtoul(strchr(line, ':') + 1, NULL, 10) : 0;
    length -= (size_t)(end + 4 - head);
    while (length < body) {
        ssize_t got = read(fd, head, sizeof(head));

        if (got <= 0) {
            return false;
        }
        length += (size_t)got;
    }
    return true;
}

static bool call_others(int *next, const char *head)
{
    char cookie[2048], baggage[2048], text[HEAD_MAX];
    const char *uid;
    long user;

    header_of(head, "cookie", cookie, sizeof(cookie));
    header_of(head, "baggage", baggage, sizeof(baggage));
    uid = strstr(cookie, "uid=");
    user = uid != NULL ? strtol(uid + 4, NULL, 10) : 1;
    for (int i = 0; i < call_count; i++) {
        int length;

        if (calls[i].except != 0 && user % calls[i].except == 0) {
            continue;
        }
        length = snprintf(text, sizeof(text),
                          "GET /%s HTTP/1.1\r\nHost: inner\r\n%s%s\r\n",
                          calls[i].service, cookie, baggage);
        if (*next < 0) {
            *next = dial();
        }
        if (*next < 0 || !write_all(*next, text, (size_t)length) ||
            !read_answer(*next)) {
            return false;
        }
    }
    return true;
}

static void *serve(void *context)
{
    int fd = (int)(intptr_t)context, next = -1, length;
    char head[HEAD_MAX], text[256], body[64];

    while (read_head(fd, head) > 0) {
        bool asked = strncmp(head, "GET /count ", 11) == 0;
        bool good = true;

        if (!asked) {
            atomic_fetch_add(&came, 1);
            good = call_others(&next, head);
        }
        length = snprintf(body, sizeof(body), "%ld\n", atomic_load(&came));
        length = snprintf(text, sizeof(text),
                          "HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s",
                          good ? "200 OK" : "500 Internal Server Error",
                          length, body);
        if (!write_all(fd, text, (size_t)length) || !good) {
            break;
        }
    }
    if (next >= 0) {
        close(next);
    }
    close(fd);
    return NULL;
}

static void add_call(char *word)
{
    char *colon = strchr(word, ':');

    if (call_count == CALLS_MAX) {
        exit(2);
    }
    if (colon != NULL) {
        *colon = '\0';
        calls[call_count].except = strtol(colon + 1, NULL, 10);
    }
    calls[call_count++].service = word;
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

    prctl(PR_SET_PDEATHSIG, SIGTERM);
    signal(SIGPIPE, SIG_IGN);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--listen") == 0) {
            address.sin_port = htons((uint16_t)atoi(argv[i + 1]));
        } else if (strcmp(argv[i], "--next") == 0) {
            next_port = atoi(argv[i + 1]);
        } else if (strcmp(argv[i], "--call") == 0) {
            add_call(argv[i + 1]);
        }
    }
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(listener, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(listener, 1024) != 0) {
        perror("caller");
        return 1;
    }
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        pthread_t thread;

        if (fd < 0) {
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        if (pthread_create(&thread, NULL, serve, (void *)(intptr_t)fd) != 0) {
            close(fd);
            continue;
        }
        pthread_detach(thread);
    }
}
