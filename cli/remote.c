/* SPDX-License-Identifier: Apache-2.0
 * remote.c - asking grayd: one call, its answer, and what is tried again.
 *
 * Why: a connection that breaks says nothing about whether a change was made.
 * So whatever changes something carries a key, and is asked again with that
 * key: grayd does it once and answers the same twice.  What it answers is
 * limited in size and in time; redirects are not followed, and nothing but
 * HTTP is spoken.
 * Read next: server.c, problem.c, listen.c.
 */
#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli/client.h"

/* ---- opening ------------------------------------------------------------------ */

void remote_free(struct remote *remote)
{
    if (remote != NULL) {
        curl_easy_cleanup(remote->curl);
        server_free(&remote->server);
        free(remote);
    }
}

void remote_freep(struct remote **remote)
{
    remote_free(*remote);
}

const char *remote_place(const struct remote *remote)
{
    return remote->server.place;
}

bool remote_was_chosen(const struct remote *remote)
{
    return remote->server.chosen;
}

bool remote_is_here(const struct remote *remote)
{
    return remote->server.socket != NULL;
}

int64_t remote_clock_ms(const struct remote *remote)
{
    return remote->date < 0 ? -1 : (int64_t)remote->date * 1000;
}

/* "Date:" of an answer; every other field is of no use here. */
static size_t keep_date(char *line, size_t one, size_t count, void *context)
{
    struct remote *remote = context;
    size_t length = one * count;
    char text[64];

    if (length > 6 && length < sizeof(text) &&
        strncasecmp(line, "date:", 5) == 0) {
        snprintf(text, sizeof(text), "%.*s", (int)length - 5, line + 5);
        remote->date = curl_getdate(text, NULL);
    }
    return length;
}

int remote_open(struct remote **ret_remote, const struct arguments *arguments)
{
    struct remote *remote = calloc(1, sizeof(*remote));
    int status = remote != NULL ? 0 : CLI_EXIT_SYSTEM;

    if (remote != NULL) {
        remote->json = arguments_json(arguments);
        remote->date = -1;
        status = server_choose(&remote->server, arguments);
    }
    if (status == 0) {
        curl_global_init(CURL_GLOBAL_DEFAULT);
        remote->curl = curl_easy_init();
        status = remote->curl != NULL ? 0 : CLI_EXIT_SYSTEM;
    }
    if (status != 0) {
        remote_free(remote);
        return status;
    }
    *ret_remote = remote;
    return 0;
}

/* Limits, place and identity of every call. */
void client_prepare(struct remote *remote)
{
    CURL *curl = remote->curl;
    const struct server *server = &remote->server;

    curl_easy_reset(curl);
    remote->error[0] = '\0';
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, remote->error);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT,
                     (long)REMOTE_CONNECT_SECONDS);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "gray/" GRAY_VERSION);
    curl_easy_setopt(curl, CURLOPT_ACCEPT_ENCODING, NULL);
    if (server->socket != NULL) {
        curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, server->socket);
    }
    if (strncmp(server->url, "https://", 8) != 0) {
        /* What is in clear goes to the server itself, and through nobody. */
        curl_easy_setopt(curl, CURLOPT_PROXY, "");
    }
    if (server->ca != NULL) {
        curl_easy_setopt(curl, CURLOPT_CAINFO, server->ca);
        curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
    }
    if (server->token != NULL) {
        curl_easy_setopt(curl, CURLOPT_HTTPAUTH, CURLAUTH_BEARER);
        curl_easy_setopt(curl, CURLOPT_XOAUTH2_BEARER, server->token);
    }
}

char *remote_path(const char *format, ...)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    va_list list;

    va_start(list, format);
    for (const char *at = format; out != NULL && *at != '\0'; at++) {
        if (at[0] == '%' && at[1] == 's') {
            char *piece = curl_easy_escape(NULL, va_arg(list, const char *),
                                           0);

            fputs(piece != NULL ? piece : "", out);
            curl_free(piece);
            at++;
        } else {
            fputc(*at, out);
        }
    }
    va_end(list);
    if (out != NULL) {
        fclose(out);
    }
    return text;
}

/* ---- one try ---------------------------------------------------------------------- */

struct answer {
    long status; /* 0: none */
    char *text;
    size_t length, room;
    bool too_large;
    CURLcode code;
};

static size_t keep_piece(char *data, size_t one, size_t count, void *context)
{
    struct answer *answer = context;
    size_t length = one * count;
    char *text;

    if (answer->length + length > REMOTE_ANSWER_MAX) {
        answer->too_large = true;
        return 0;
    }
    if (answer->length + length >= answer->room) {
        size_t room = 2 * (answer->length + length) + 4096;

        text = realloc(answer->text, room);
        if (text == NULL) {
            return 0;
        }
        answer->text = text;
        answer->room = room;
    }
    memcpy(answer->text + answer->length, data, length);
    answer->length += length;
    answer->text[answer->length] = '\0';
    return length;
}

struct curl_slist *client_header(struct curl_slist *headers, const char *name,
                                 const char *value)
{
    char line[REMOTE_KEY_MAX + 64];

    if (value != NULL) {
        snprintf(line, sizeof(line), "%s: %s", name, value);
        headers = curl_slist_append(headers, line);
    }
    return headers;
}

static void try_once(struct remote *remote, const struct remote_call *call,
                     const char *body, struct answer *ret_answer)
{
    CURL *curl = remote->curl;
    CLI_CLEANUP(string_freep) char *url = NULL;
    struct curl_slist *headers = NULL;
    struct answer answer = { 0 };
    char match[40] = "";

    client_prepare(remote);
    if (asprintf(&url, "%s%s", remote->server.url, call->path) < 0) {
        url = NULL;
    }
    headers = client_header(headers, "Idempotency-Key", call->key);
    if (call->if_match != NULL) {
        snprintf(match, sizeof(match), "\"%s\"", call->if_match);
        headers = client_header(headers, "If-Match", match);
    }
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, call->method);
    if (remote->hurry != 0 || call->seconds != 0) {
        curl_easy_setopt(curl, CURLOPT_TIMEOUT,
                         (long)(remote->hurry != 0 ? remote->hurry
                                                   : call->seconds));
    } else { /* a large answer may take its time, silence may not */
        curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
        curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)REMOTE_SECONDS);
    }
    if (body != NULL) {
        headers = client_header(headers, "Content-Type", "application/json");
        headers = curl_slist_append(headers, "Expect:");
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE,
                         (curl_off_t)strlen(body));
    }
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, keep_date);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, remote);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, keep_piece);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
    answer.code = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer.status);
    curl_slist_free_all(headers);
    *ret_answer = answer;
}

/* ---- trying again ------------------------------------------------------------------ */

bool client_never_arrived(CURLcode code)
{
    return code == CURLE_COULDNT_CONNECT ||
           code == CURLE_COULDNT_RESOLVE_HOST ||
           code == CURLE_COULDNT_RESOLVE_PROXY;
}

static bool is_distrust(CURLcode code)
{
    return code == CURLE_PEER_FAILED_VERIFICATION ||
           code == CURLE_SSL_CONNECT_ERROR ||
           code == CURLE_SSL_CACERT_BADFILE;
}

/* The connection broke, or grayd had no time: nothing was told about the
 * call, so the same may be asked again. */
static bool is_worth_another(const struct answer *answer, bool was_there)
{
    if (answer->too_large || is_distrust(answer->code)) {
        return false;
    }
    if (answer->code == CURLE_OK) {
        return answer->status == 503 && answer->text != NULL &&
               strstr(answer->text, "\"busy\"") != NULL;
    }
    return !client_never_arrived(answer->code) || was_there;
}

static void try_often(struct remote *remote, const struct remote_call *call,
                      const char *body, struct answer *ret_answer,
                      bool *ret_sent)
{
    bool again = call->key != NULL || strcmp(call->method, "GET") == 0 ||
                 call->repeatable;
    int64_t end = port_monotonic_ms() +
                  (remote->hurry != 0 ? 1000 * remote->hurry - 500
                                      : REMOTE_TRY_MS);
    int64_t wait = 50;

    for (unsigned i = 0;; i++) {
        try_once(remote, call, body, ret_answer);
        *ret_sent |= ret_answer->code != CURLE_OK &&
                     !client_never_arrived(ret_answer->code) &&
                     !is_distrust(ret_answer->code);
        wait += (int64_t)port_random((uint32_t)wait);
        if (!again || i + 1 >= REMOTE_TRIES ||
            !is_worth_another(ret_answer, *ret_sent) ||
            port_monotonic_ms() + wait >= end) {
            return;
        }
        free(ret_answer->text);
        port_sleep_ms(wait);
    }
}

/* ---- what is said about it ------------------------------------------------------------ */

/* A socket has no port, of which libcurl speaks. */
static const char *why_unreachable(const struct remote *remote, CURLcode code)
{
    long reason = 0;

    if (remote->server.socket != NULL && code == CURLE_COULDNT_CONNECT &&
        curl_easy_getinfo(remote->curl, CURLINFO_OS_ERRNO, &reason) ==
            CURLE_OK && reason != 0) {
        return strerror((int)reason);
    }
    return remote->error[0] != '\0' ? remote->error
                                    : curl_easy_strerror(code);
}

int client_unreachable(const struct remote *remote, CURLcode code)
{
    const char *why = why_unreachable(remote, code);

    if (is_distrust(code)) {
        complain("%s is not believed: %s (--ca FILE names who may sign for "
                 "it)", remote->server.place, why);
        return CLI_EXIT_UNREACHABLE;
    }
    complain("grayd does not answer at %s: %s", remote->server.place, why);
    if (remote->server.socket != NULL) {
        complain("start it (systemctl start grayd), or work without it: gray "
                 "publish, and gray stop NAME --local in an emergency");
    }
    return CLI_EXIT_UNREACHABLE;
}

static int say_lost(const struct remote *remote,
                    const struct remote_call *call, const struct answer *answer,
                    bool sent)
{
    if (answer->too_large) {
        complain("%s: an answer of more than %u bytes", remote->server.place,
                 REMOTE_ANSWER_MAX);
        return CLI_EXIT_SYSTEM;
    }
    if (!call->quiet) {
        client_unreachable(remote, answer->code);
    }
    if (sent && call->key != NULL && !call->quiet) {
        complain("nobody knows whether it was done; say it again with --key "
                 "%s, and it is done once", call->key);
    } else if (sent && strcmp(call->method, "GET") != 0 && !call->quiet) {
        complain("nobody knows whether it was done; look before it is said "
                 "again");
    }
    return CLI_EXIT_UNREACHABLE;
}

static int read_answer(struct remote *remote, const struct remote_call *call,
                       const struct answer *answer, json_t **ret_body)
{
    json_t *body = answer->text != NULL
                       ? json_loadb(answer->text, answer->length, 0, NULL)
                       : NULL;
    int status = 0;

    if (answer->status >= 200 && answer->status < 300) {
        if (body == NULL && answer->length > 0) {
            complain("%s: an answer that is no JSON", remote->server.place);
            return CLI_EXIT_SYSTEM;
        }
        *ret_body = body;
        if (call->ret_text != NULL) {
            *call->ret_text = strndup(answer->text != NULL ? answer->text : "",
                                      answer->length);
        }
        return 0;
    }
    status = problem_exit(answer->status);
    remote->cannot_keep = strcmp(text_at(body, "code"), "store-failed") == 0;
    if (!call->quiet) {
        problem_say(body, answer->status, remote->server.place);
        if (remote->json && body != NULL) {
            json_print(json_incref(body), JSON_INDENT(2));
        }
    }
    json_decref(body);
    return status;
}

int remote_ask(struct remote *remote, const struct remote_call *call,
               json_t **ret_body)
{
    CLI_CLEANUP(string_freep) char *body =
        call->body != NULL ? json_dumps(call->body, JSON_COMPACT) : NULL;
    struct answer answer = { 0 };
    bool sent = false;
    int status;

    if (call->path == NULL || (call->body != NULL && body == NULL)) {
        complain("no memory, or bytes that are no UTF-8");
        return CLI_EXIT_USAGE;
    }
    if (body != NULL && strlen(body) > REMOTE_BODY_MAX) {
        complain("this is %zu bytes, and grayd takes %u: give it in parts "
                 "(gray list add NAME --ids FILE)", strlen(body),
                 REMOTE_BODY_MAX);
        return CLI_EXIT_REFUSED;
    }
    try_often(remote, call, body, &answer, &sent);
    status = answer.code != CURLE_OK || answer.status == 0
                 ? say_lost(remote, call, &answer, sent)
                 : read_answer(remote, call, &answer, ret_body);
    free(answer.text);
    return status;
}

int remote_get(struct remote *remote, const char *path, json_t **ret_body)
{
    return remote_ask(remote,
                      &(struct remote_call) { .method = "GET", .path = path },
                      ret_body);
}

/* ---- pages and changes ------------------------------------------------------------------ */

/* The path with the place where the page before ended. */
static char *page_path(const char *path, const char *asks, const json_t *next,
                       size_t limit)
{
    char number[32];
    const char *text = json_string_value(next);
    CLI_CLEANUP(string_freep) char *more = NULL;
    char *whole = NULL;

    if (json_is_integer(next)) {
        snprintf(number, sizeof(number), "%lld",
                 (long long)json_integer_value(next));
        text = number;
    }
    more = text != NULL ? remote_path("&%s=%s", asks, text) : NULL;
    if (asprintf(&whole, "%s%climit=%zu%s", path,
                 strchr(path, '?') != NULL ? '&' : '?', limit,
                 more != NULL ? more : "") < 0) {
        whole = NULL;
    }
    return whole;
}

int remote_pages(struct remote *remote, const char *path, const char *rows,
                 const char *asks, size_t most, json_t **ret_rows)
{
    CLI_CLEANUP(json_freep) json_t *all = json_array();
    CLI_CLEANUP(json_freep) json_t *next = NULL;

    if (path == NULL) {
        return CLI_EXIT_SYSTEM;
    }
    do {
        size_t left = most != 0 ? most - json_array_size(all) : 1000;
        CLI_CLEANUP(string_freep) char *page =
            page_path(path, asks, next, left < 1000 ? left : 1000);
        CLI_CLEANUP(json_freep) json_t *body = NULL;
        int status = remote_get(remote, page, &body);

        if (status != 0) {
            return status;
        }
        json_array_extend(all, json_object_get(body, rows));
        json_decref(next);
        next = json_incref(json_object_get(body, "next"));
    } while (next != NULL && (most == 0 || json_array_size(all) < most));
    *ret_rows = json_incref(all);
    return 0;
}

void remote_reason(json_t *body, const struct arguments *arguments)
{
    const char *reason = arguments_get(arguments, CLI_REASON);

    if (reason != NULL) {
        json_object_set_new(body, "reason", json_string(reason));
    }
}

static bool is_key(const char *key)
{
    size_t length = 0;

    while (isgraph((unsigned char)key[length])) {
        length++;
    }
    return key[length] == '\0' && length > 0 && length <= REMOTE_KEY_MAX;
}

int remote_change(struct remote *remote, const struct arguments *arguments,
                  const char *method, const char *path, const json_t *body,
                  json_t **ret_body)
{
    bool dry = arguments_has(arguments, CLI_DRY_RUN);
    const char *key = arguments_get(arguments, CLI_KEY);
    const char *revision = arguments_get(arguments, CLI_IF_REVISION);
    CLI_CLEANUP(string_freep) char *whole = NULL;
    char made[40];

    if (key != NULL && !is_key(key)) {
        complain("--key: 1 to %u visible ASCII characters", REMOTE_KEY_MAX);
        return CLI_EXIT_USAGE;
    }
    if (revision != NULL && (strspn(revision, "0123456789") > 18 ||
                             strspn(revision, "0123456789") == 0 ||
                             revision[strspn(revision, "0123456789")] !=
                                 '\0')) {
        complain("--if-revision: a number is wanted, not: %s", revision);
        return CLI_EXIT_USAGE;
    }
    if (key == NULL) {
        snprintf(made, sizeof(made), "gray-%08x%08x%08x%08x",
                 port_random(UINT32_MAX), port_random(UINT32_MAX),
                 port_random(UINT32_MAX), port_random(UINT32_MAX));
        key = made;
    }
    if (path != NULL &&
        asprintf(&whole, "%s%s", path,
                 !dry                        ? ""
                 : strchr(path, '?') != NULL ? "&dryRun=true"
                                             : "?dryRun=true") < 0) {
        whole = NULL;
    }
    return remote_ask(
        remote,
        &(struct remote_call) {
            .method = method,
            .path = whole,
            .body = body,
            .key = key,
            .if_match = revision,
            .seconds = REMOTE_LONG_SECONDS,
        },
        ret_body);
}
