/* SPDX-License-Identifier: Apache-2.0
 * server.c - which grayd a command asks, and as whom.
 *
 * Why: whoever has one grayd on this host should have to say nothing, and
 * whoever has several must never ask the wrong one by accident; so the choice
 * is one list, from what was said last to what was said longest ago.  A token
 * is read from files that only their owner reads, and never goes over a
 * network in clear.
 * Read next: contexts.c, remote.c.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/remote.h"
#include "control/grayd.h"

#define SECRET_MAX 4096u

void server_free(struct server *server)
{
    if (server->token != NULL) {
        explicit_bzero(server->token, strlen(server->token));
    }
    free(server->place);
    free(server->url);
    free(server->socket);
    free(server->token);
    free(server->ca);
    *server = (struct server) { 0 };
}

/* ---- secrets ------------------------------------------------------------------ */

static int secret_check(int fd, const char *path)
{
    struct stat facts;

    if (fstat(fd, &facts) != 0 || !S_ISREG(facts.st_mode)) {
        complain("%s: not a file", path);
        return -1;
    }
    if ((facts.st_mode & 077) != 0 ||
        (facts.st_uid != geteuid() && facts.st_uid != 0)) {
        complain("%s: mode %04o of uid %u: others may read or change it; "
                 "chmod 0600 %s, and make a new token if they did", path,
                 facts.st_mode & 07777, (unsigned)facts.st_uid, path);
        return -1;
    }
    return 0;
}

static char *trimmed(const char *text, size_t length)
{
    while (length > 0 && isspace((unsigned char)text[length - 1])) {
        length--;
    }
    while (length > 0 && isspace((unsigned char)*text)) {
        text++;
        length--;
    }
    return strndup(text, length);
}

/* What goes into a header must be one visible word. */
static bool is_word(const char *text)
{
    for (; *text != '\0'; text++) {
        if (!isgraph((unsigned char)*text)) {
            return false;
        }
    }
    return true;
}

char *secret_read(const char *path)
{
    bool input = strcmp(path, "-") == 0;
    char text[SECRET_MAX + 1];
    size_t length = 0;
    ssize_t got = 1;
    char *secret = NULL;
    int fd = input ? STDIN_FILENO
                   : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0) {
        complain("%s: %s", path, strerror(errno));
        return NULL;
    }
    if (input || secret_check(fd, path) == 0) {
        while (length < sizeof(text) && got > 0) {
            got = read(fd, text + length, sizeof(text) - length);
            length += got > 0 ? (size_t)got : 0;
        }
        secret = got == 0 && length <= SECRET_MAX ? trimmed(text, length)
                                                  : NULL;
        if (secret == NULL || *secret == '\0' || !is_word(secret)) {
            complain("%s: no token of one line and at most %u bytes", path,
                     SECRET_MAX);
            free(secret);
            secret = NULL;
        }
    }
    explicit_bzero(text, sizeof(text));
    if (!input) {
        close(fd);
    }
    return secret;
}

/* ---- places ------------------------------------------------------------------- */

static int complain_place(const char *place)
{
    complain("no server: %s (valid: unix:PATH, https://HOST[:PORT], "
             "http://HOST[:PORT])", place);
    return CLI_EXIT_USAGE;
}

int server_parse(struct server *server, const char *place)
{
    size_t length = strlen(place);

    free(server->place);
    free(server->url);
    free(server->socket);
    server->socket = NULL;
    server->url = NULL;
    server->place = strdup(place);
    if (strncmp(place, "unix:", 5) == 0 && place[5] == '/') {
        server->socket = strdup(place + 5);
        server->url = strdup("http://localhost");
        return 0;
    }
    if ((strncmp(place, "http://", 7) != 0 &&
         strncmp(place, "https://", 8) != 0) ||
        !is_word(place) || strpbrk(place, "@?#") != NULL) {
        return complain_place(place);
    }
    while (length > 0 && place[length - 1] == '/') {
        length--;
    }
    server->url = strndup(place, length);
    return 0;
}

/* A name of this very host: nobody else is on the wire. */
static bool is_loopback(const char *url)
{
    static const char *const names[] = { "localhost", "[::1]" };
    const char *host = strstr(url, "://") + 3;
    size_t length = *host == '[' ? strcspn(host, "]") + 1
                                 : strcspn(host, ":/");
    char text[64];

    for (size_t i = 0; i < 2; i++) {
        if (strlen(names[i]) == length &&
            strncmp(host, names[i], length) == 0) {
            return true;
        }
    }
    if (length >= sizeof(text) || strncmp(host, "127.", 4) != 0) {
        return false;
    }
    snprintf(text, sizeof(text), "%.*s", (int)length, host);
    return strspn(text, "0123456789.") == length;
}

static int check_clear(const struct server *server)
{
    if (server->socket != NULL || server->token == NULL ||
        strncmp(server->url, "https://", 8) == 0 || is_loopback(server->url)) {
        return 0;
    }
    complain("%s: a token would go over the network in clear; use https://",
             server->place);
    return CLI_EXIT_USAGE;
}

/* ---- the choice ------------------------------------------------------------------ */

static int take_context(struct server *server, const json_t *contexts,
                        const char *name)
{
    const json_t *context = context_find(contexts, name);
    const char *place = json_string_value(json_object_get(context, "server"));
    const char *token = json_string_value(json_object_get(context, "token"));
    const char *file =
        json_string_value(json_object_get(context, "tokenFile"));
    const char *ca = json_string_value(json_object_get(context, "ca"));

    if (context == NULL) {
        return context_unknown(contexts, name);
    }
    if (token != NULL && !is_word(token)) {
        complain("context %s: its token is not one word", name);
        return CLI_EXIT_USAGE;
    }
    server->token = token != NULL  ? strdup(token)
                    : file != NULL ? secret_read(file)
                                   : NULL;
    if (file != NULL && server->token == NULL) {
        return CLI_EXIT_USAGE;
    }
    server->ca = ca != NULL ? strdup(ca) : NULL;
    return server_parse(server, place != NULL ? place : "");
}

/* --context, or the current one; -1: there is none. */
static int choose_context(struct server *server,
                          const struct arguments *arguments)
{
    CLI_CLEANUP(json_freep) json_t *contexts = NULL;
    const char *name = arguments_get(arguments, CLI_CONTEXT);
    int status = contexts_read(&contexts);

    if (status != 0) {
        return status;
    }
    name = name != NULL
               ? name
               : json_string_value(json_object_get(contexts, "current"));
    return name != NULL ? take_context(server, contexts, name) : -1;
}

static int choose_place(struct server *server,
                        const struct arguments *arguments)
{
    const char *place = arguments_get(arguments, CLI_SERVER);
    const char *said = getenv("GRAY_SERVER");
    int status = -1;

    server->chosen = true;
    if (place != NULL && arguments_has(arguments, CLI_CONTEXT)) {
        complain("either --server or --context, not both");
        return CLI_EXIT_USAGE;
    }
    if (place != NULL) {
        return server_parse(server, place);
    }
    if (!arguments_has(arguments, CLI_CONTEXT) && said != NULL &&
        *said != '\0') {
        return server_parse(server, said);
    }
    status = choose_context(server, arguments);
    if (status == -1) {
        server->chosen = false;
        status = server_parse(server, "unix:" GRAYD_SOCKET_DEFAULT);
    }
    return status;
}

int server_choose(struct server *ret_server, const struct arguments *arguments)
{
    struct server server = { 0 };
    const char *file = arguments_get(arguments, CLI_TOKEN_FILE);
    const char *ca = arguments_get(arguments, CLI_CA);
    const char *said = getenv("GRAY_TOKEN");
    int status = choose_place(&server, arguments);

    if (status == 0 && (file != NULL || (said != NULL && *said != '\0'))) {
        free(server.token);
        server.token = file != NULL ? secret_read(file) : trimmed(
                                                          said, strlen(said));
        if (server.token == NULL || !is_word(server.token)) {
            if (server.token != NULL) {
                complain("%s holds no token: gray_ID_SECRET, one word",
                         file != NULL ? file : "$GRAY_TOKEN");
            }
            status = CLI_EXIT_USAGE;
        }
    }
    if (status == 0 && ca != NULL) {
        free(server.ca);
        server.ca = strdup(ca);
    }
    status = status == 0 ? check_clear(&server) : status;
    if (status != 0) {
        server_free(&server);
        return status;
    }
    *ret_server = server;
    return 0;
}
