/* SPDX-License-Identifier: Apache-2.0
 * listen.c - where grayd listens: an address, a unix socket.
 *
 * Why: the sockets are opened here, not by the HTTP library, so that a taken
 * port, another grayd behind the socket, or a folder that is not ours is said
 * in a sentence.  A socket file is replaced only when nobody listens on it.
 * Read next: server.c.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "control/rest/internal.h"

#define BACKLOG 4096
#define FILE_MAX (1u << 20)

void rest_problem(struct gray_problem *ret_problem, const char *code,
                  const char *format, ...)
{
    va_list arguments;

    ret_problem->code = code;
    ret_problem->offset = 0;
    va_start(arguments, format);
    vsnprintf(ret_problem->sentence, sizeof(ret_problem->sentence), format,
              arguments);
    va_end(arguments);
}

char *listen_read_file(const char *path)
{
    FILE *file = fopen(path, "re");
    char *text = calloc(1, FILE_MAX + 1);
    size_t length = 0;

    if (file != NULL && text != NULL) {
        length = fread(text, 1, FILE_MAX + 1, file);
    }
    if (file == NULL || text == NULL || ferror(file) || length == 0 ||
        length > FILE_MAX) {
        free(text);
        text = NULL;
    }
    if (file != NULL) {
        fclose(file);
    }
    return text;
}

/* Splits at the last ":"; brackets go. */
static int split_address(const char *text, char *host, size_t size,
                         const char **ret_port)
{
    const char *colon = strrchr(text, ':');
    size_t length = colon != NULL ? (size_t)(colon - text) : 0;

    if (colon == NULL || colon[1] == '\0' || length == 0) {
        return -1;
    }
    if (text[0] == '[' && text[length - 1] == ']') {
        text++;
        length -= 2;
    } else if (memchr(text, ':', length) != NULL) {
        return -1;
    }
    if (length == 0 || length >= size || strlen(colon + 1) > 5 ||
        strspn(colon + 1, "0123456789") != strlen(colon + 1) ||
        atoi(colon + 1) > UINT16_MAX) {
        return -1;
    }
    memcpy(host, text, length);
    host[length] = '\0';
    *ret_port = colon + 1;
    return 0;
}

static bool is_loopback(const struct sockaddr *address)
{
    const struct sockaddr_in *v4 = (const void *)address;
    const struct sockaddr_in6 *v6 = (const void *)address;

    return address->sa_family == AF_INET
               ? ntohl(v4->sin_addr.s_addr) >> 24 == 127
               : IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
}

static unsigned bound_port(int fd)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof(address);
    const struct sockaddr_in *v4 = (const void *)&address;
    const struct sockaddr_in6 *v6 = (const void *)&address;

    if (getsockname(fd, (struct sockaddr *)&address, &size) != 0) {
        return 0;
    }
    return ntohs(address.ss_family == AF_INET ? v4->sin_port : v6->sin6_port);
}

/* A listening socket for one address, or -1 with errno. */
static int open_tcp(const struct addrinfo *address)
{
    static const int on = 1;
    int fd = socket(address->ai_family,
                    SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int failed;

    if (fd < 0) {
        return -1;
    }
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        (address->ai_family == AF_INET6 &&
         setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) != 0) ||
        bind(fd, address->ai_addr, address->ai_addrlen) != 0 ||
        listen(fd, BACKLOG) != 0) {
        failed = errno;
        close(fd);
        errno = failed;
        return -1;
    }
    return fd;
}

int listen_tcp(struct rest *rest, const char *text, int *ret_fd,
               struct gray_problem *ret_problem)
{
    const struct addrinfo wanted = {.ai_family = AF_UNSPEC,
                                    .ai_socktype = SOCK_STREAM,
                                    .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found;
    const char *port;
    int fd;

    if (split_address(text, rest->host, sizeof(rest->host), &port) != 0) {
        rest_problem(ret_problem, "bad-listen",
                     "\"%.80s\" is no address to listen on: write "
                     "127.0.0.1:7170 or [::1]:7170.",
                     text);
        return -1;
    }
    if (getaddrinfo(rest->host, port, &wanted, &found) != 0) {
        rest_problem(ret_problem, "bad-listen",
                     "\"%.80s\" is no address and port of this host.", text);
        return -1;
    }
    rest->loopback = is_loopback(found->ai_addr);
    if (!rest->loopback && !rest->tls) {
        freeaddrinfo(found);
        rest_problem(ret_problem, "tls-missing",
                     "%.60s is no loopback address: give --tls-certificate "
                     "and --tls-key, or listen on 127.0.0.1.",
                     text);
        return -1;
    }
    fd = open_tcp(found);
    freeaddrinfo(found);
    if (fd < 0) {
        rest_problem(ret_problem, "cannot-listen", "%.80s: %s.", text,
                     strerror(errno));
        return -1;
    }
    rest->port = bound_port(fd);
    *ret_fd = fd;
    return 0;
}

/* ---- the unix socket -------------------------------------------------------------- */

/* Makes the socket's own folder, where it is missing. */
static int make_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char folder[108];

    if (slash == NULL || slash == path) {
        return 0;
    }
    snprintf(folder, sizeof(folder), "%.*s", (int)(slash - path), path);
    if (mkdir(folder, 0755) != 0) {
        return errno == EEXIST ? 0 : -1;
    }
    return chmod(folder, 0755);
}

/* Whether somebody answers on this socket. */
static bool somebody_listens(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool answered;

    if (fd < 0) {
        return true; /* unknown never means go */
    }
    answered = connect(fd, (const struct sockaddr *)address,
                       sizeof(*address)) == 0 ||
               (errno != ECONNREFUSED && errno != ENOENT);
    close(fd);
    return answered;
}

int listen_local(struct rest *rest, const char *path, int *ret_fd,
                 struct gray_problem *ret_problem)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat status;
    int fd;

    if (strlen(path) >= sizeof(address.sun_path)) {
        rest_problem(ret_problem, "bad-socket",
                     "The path of the socket is longer than %zu bytes.",
                     sizeof(address.sun_path) - 1);
        return -1;
    }
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    snprintf(rest->socket_path, sizeof(rest->socket_path), "%s", path);
    if (make_folder(path) != 0) {
        rest_problem(ret_problem, "bad-socket",
                     "The folder of %.90s cannot be made: %s.", path,
                     strerror(errno));
        return -1;
    }
    if (lstat(path, &status) == 0) {
        if (!S_ISSOCK(status.st_mode) || somebody_listens(&address)) {
            rest_problem(ret_problem, "in-use",
                         "%.90s is %s: nothing was replaced.", path,
                         S_ISSOCK(status.st_mode) ? "answered by another server"
                                                  : "no socket");
            return -1;
        }
        unlink(path);
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        chmod(path, 0666) != 0 || listen(fd, BACKLOG) != 0 ||
        lstat(path, &status) != 0) {
        rest_problem(ret_problem, "cannot-listen", "%.90s: %s.", path,
                     strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return -1;
    }
    rest->socket_inode = status.st_ino;
    *ret_fd = fd;
    return 0;
}

void listen_local_end(struct rest *rest)
{
    struct stat status;

    if (rest->socket_inode != 0 && lstat(rest->socket_path, &status) == 0 &&
        S_ISSOCK(status.st_mode) && status.st_ino == rest->socket_inode) {
        unlink(rest->socket_path);
    }
    rest->socket_inode = 0;
}
