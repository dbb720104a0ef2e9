/* SPDX-License-Identifier: Apache-2.0
 * listen.c - answers that come in pieces, and whether grayd is there at all.
 *
 * Why: events have no end and an export may be larger than memory, so they are
 * handed on as they come.  And on the host itself a dead grayd must not stop
 * whoever wants to stop a release: those commands go on with the folder.
 * Read next: remote.c, events.c, words.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli/client.h"

/* ---- pieces -------------------------------------------------------------------- */

struct pieces {
    struct remote *remote;
    const struct remote_stream *stream;
    char *problem; /* the body of a refusal */
    size_t length;
    bool ended;    /* by who takes them */
};

#define PROBLEM_MAX 65536u

static size_t take_piece(char *data, size_t one, size_t count, void *context)
{
    struct pieces *pieces = context;
    size_t length = one * count;
    long status = 0;
    char *text;

    curl_easy_getinfo(pieces->remote->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status >= 200 && status < 300) {
        pieces->ended = pieces->stream->piece(pieces->stream->context, data,
                                              length) != 0;
        return pieces->ended ? 0 : length;
    }
    text = pieces->length + length <= PROBLEM_MAX
               ? realloc(pieces->problem, pieces->length + length + 1)
               : NULL;
    if (text == NULL) {
        return 0;
    }
    memcpy(text + pieces->length, data, length);
    pieces->problem = text;
    pieces->length += length;
    return length;
}

int remote_listen(struct remote *remote, const struct remote_stream *stream,
                  bool quiet)
{
    struct pieces pieces = { .remote = remote, .stream = stream };
    CLI_CLEANUP(string_freep) char *url = NULL;
    struct curl_slist *headers = NULL;
    CURLcode code;
    long status = 0;
    int result = 0;

    client_prepare(remote);
    if (asprintf(&url, "%s%s", remote->server.url, stream->path) < 0) {
        url = NULL;
    }
    headers = client_header(headers, "Last-Event-ID", stream->last_event);
    curl_easy_setopt(remote->curl, CURLOPT_URL, url);
    curl_easy_setopt(remote->curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(remote->curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(remote->curl, CURLOPT_LOW_SPEED_TIME,
                     (long)stream->silence);
    curl_easy_setopt(remote->curl, CURLOPT_WRITEFUNCTION, take_piece);
    curl_easy_setopt(remote->curl, CURLOPT_WRITEDATA, &pieces);
    code = curl_easy_perform(remote->curl);
    curl_easy_getinfo(remote->curl, CURLINFO_RESPONSE_CODE, &status);
    curl_slist_free_all(headers);
    if (pieces.ended) {
        result = 0;
    } else if (status >= 300) {
        json_t *problem = json_loadb(pieces.problem != NULL ? pieces.problem
                                                            : "",
                                     pieces.length, 0, NULL);

        result = problem_say(problem, status, remote->server.place);
        json_decref(problem);
    } else if (code != CURLE_OK) {
        result = quiet ? CLI_EXIT_UNREACHABLE
                       : client_unreachable(remote, code);
    }
    free(pieces.problem);
    return result;
}

/* ---- grayd, or the folder ---------------------------------------------------------- */

/* Somebody accepts connections there. */
static bool socket_answers(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd;
    bool answers;

    if (strlen(path) >= sizeof(address.sun_path)) {
        return false;
    }
    memcpy(address.sun_path, path, strlen(path));
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* A queue that is full is somebody's, too. */
    answers = fd >= 0 &&
              (connect(fd, (const struct sockaddr *)&address,
                       sizeof(address)) == 0 || errno == EAGAIN);
    if (fd >= 0) {
        close(fd);
    }
    return answers;
}

/* A grayd has owned this folder, whether it lives or not. */
static bool is_grayds(const char *folder)
{
    char path[4200];
    struct stat facts;

    snprintf(path, sizeof(path), "%s/grayd.lock", folder);
    return lstat(path, &facts) == 0;
}

static void say_fall_back(const struct remote *remote, const char *folder)
{
    complain("grayd does not answer at %s; acting on %s, grayd takes it over "
             "when it returns", remote->server.place, folder);
}

int remote_or_folder(struct remote **ret_remote,
                     const struct arguments *arguments, bool say)
{
    const char *folder = getenv("GRAY_RUNTIME");
    const char *server = getenv("GRAY_SERVER");
    bool chosen = arguments_has(arguments, CLI_SERVER) ||
                  arguments_has(arguments, CLI_CONTEXT) ||
                  (server != NULL && *server != '\0' &&
                   !arguments_has(arguments, CLI_RUNTIME));
    struct remote *remote = NULL;
    int status;

    if (arguments_has(arguments, CLI_LOCAL) ||
        (!chosen && (arguments_has(arguments, CLI_RUNTIME) ||
                     (folder != NULL && *folder != '\0')))) {
        return 0;
    }
    status = remote_open(&remote, arguments);
    if (status != 0) {
        return status;
    }
    if (remote->server.socket == NULL ||
        socket_answers(remote->server.socket)) {
        *ret_remote = remote;
        return 0;
    }
    folder = arguments_runtime(arguments);
    if (!say && remote->server.chosen) {
        status = client_unreachable(remote, CURLE_COULDNT_CONNECT);
    } else if (remote->server.chosen || is_grayds(folder)) {
        say_fall_back(remote, folder);
    }
    remote_free(remote);
    return status;
}

int host_only(const struct arguments *arguments)
{
    static const uint64_t only[] = { CLI_DRY_RUN, CLI_KEY, CLI_IF_REVISION };

    for (size_t i = 0; i < sizeof(only) / sizeof(only[0]); i++) {
        if (arguments_has(arguments, only[i])) {
            complain("--%s needs grayd; nothing was done",
                     cli_options[__builtin_ctzll(only[i])].word);
            return CLI_EXIT_USAGE;
        }
    }
    return 0;
}

void remote_hurry(struct remote *remote)
{
    remote->hurry =
        remote->server.socket != NULL ? REMOTE_HURRY_SECONDS : 0;
}

void remote_patience(struct remote *remote, unsigned seconds)
{
    if (remote->hurry != 0) {
        remote->hurry = REMOTE_HURRY_SECONDS + seconds;
    }
}

bool remote_fall_back(const struct remote *remote, int status)
{
    if ((status != CLI_EXIT_UNREACHABLE && !remote->cannot_keep) ||
        status == 0 || remote->server.socket == NULL) {
        return false;
    }
    complain("going on with the runtime folder; grayd takes it over when it "
             "%s",
             remote->cannot_keep ? "can write again" : "returns");
    return true;
}
