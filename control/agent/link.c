/* SPDX-License-Identifier: Apache-2.0
 * link.c - calls by libcurl, that can be ended from outside.
 *
 * Why: curl_easy_perform() gives nobody a turn while a long poll waits, so one
 * easy handle runs in a multi handle of its own: it can be woken, and whoever
 * waits looks after the folder meanwhile.
 * Read next: link.h.
 */
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "control/agent/link.h"

#define TOKEN_MAX 1024
#define WAIT_MS 1000

struct link {
    char *url, *socket, *token_file, *ca;
    char token[TOKEN_MAX];
    CURLM *multi;
    CURL *easy;
    atomic_bool stopped, broken;
    link_tick *tick;
    void *tick_context;
    char error[CURL_ERROR_SIZE];
};

static int refuse(struct gray_problem *problem, int error, const char *code,
                  const char *format, ...)
{
    va_list arguments;

    if (problem != NULL) {
        problem->code = code;
        problem->offset = 0;
        va_start(arguments, format);
        vsnprintf(problem->sentence, sizeof(problem->sentence), format,
                  arguments);
        va_end(arguments);
    }
    return -error;
}

static int64_t clock_ms(clockid_t clock)
{
    struct timespec now = { 0 };

    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t boot_ns(void)
{
    struct timespec now = { 0 };

    clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* ---- who, and where ---------------------------------------------------------- */

/* A token is as good as a password. */
static int read_token(struct link *link, struct gray_problem *problem)
{
    char text[TOKEN_MAX];
    struct stat facts;
    ssize_t got;
    int fd;

    if (link->token_file == NULL) {
        return 0;
    }
    fd = open(link->token_file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &facts) != 0 || !S_ISREG(facts.st_mode)) {
        int error = fd < 0 ? errno : EINVAL;

        if (fd >= 0) {
            close(fd);
        }
        return refuse(problem, error, "no-token", "%.120s: %s.",
                      link->token_file, strerror(error));
    }
    got = read(fd, text, sizeof(text) - 1);
    close(fd);
    if ((facts.st_mode & 077) != 0) {
        return refuse(problem, EPERM, "untrusted-file",
                      "%.120s can be read by others (mode %04o): make a new "
                      "token, and chmod 0600.", link->token_file,
                      facts.st_mode & 07777);
    }
    while (got > 0 && (unsigned char)text[got - 1] <= ' ') {
        got--;
    }
    text[got > 0 ? got : 0] = '\0';
    for (ssize_t i = 0; i < got; i++) {
        if ((unsigned char)text[i] <= ' ' || (unsigned char)text[i] > '~') {
            got = 0;
        }
    }
    if (got <= 0) {
        return refuse(problem, EINVAL, "no-token", "%.120s has no token.",
                      link->token_file);
    }
    memcpy(link->token, text, (size_t)got + 1);
    explicit_bzero(text, sizeof(text));
    return 0;
}

static bool is_this_host(const char *url)
{
    static const char *const names[] = { "http://127.0.0.1", "http://[::1]",
                                         "http://localhost" };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        size_t length = strlen(names[i]);

        if (strncmp(url, names[i], length) == 0 &&
            (url[length] == ':' || url[length] == '\0' ||
             url[length] == '/')) {
            return true;
        }
    }
    return false;
}

static int take_server(struct link *link, const char *server,
                       struct gray_problem *problem)
{
    size_t length = strlen(server);

    while (length > 0 && server[length - 1] == '/') {
        length--;
    }
    if (strncmp(server, "unix:/", 6) == 0) {
        link->socket = strdup(server + 5);
        link->url = strdup("http://localhost");
    } else if (strncmp(server, "https://", 8) == 0 || is_this_host(server)) {
        link->url = strndup(server, length);
    } else if (strncmp(server, "http://", 7) == 0) {
        return refuse(problem, EPERM, "not-secret",
                      "%.120s would send the token and the signing keys in "
                      "clear: https:// is wanted for another host.", server);
    } else {
        return refuse(problem, EINVAL, "bad-server",
                      "--server: https://HOST:PORT or unix:/PATH is wanted, "
                      "not %.120s.", server);
    }
    return 0;
}

int link_open(struct link **ret_link, const struct link_options *options,
              struct gray_problem *ret_problem)
{
    struct link *link = calloc(1, sizeof(*link));
    int error;

    if (link == NULL) {
        return refuse(ret_problem, ENOMEM, "memory", "Out of memory.");
    }
    link->token_file = options->token_file != NULL
                           ? strdup(options->token_file) : NULL;
    link->ca = options->ca != NULL ? strdup(options->ca) : NULL;
    error = take_server(link, options->server, ret_problem);
    if (error == 0) {
        error = read_token(link, ret_problem);
    }
    if (error == 0) {
        curl_global_init(CURL_GLOBAL_DEFAULT);
        link->multi = curl_multi_init();
        link->easy = curl_easy_init();
        if (link->multi == NULL || link->easy == NULL || link->url == NULL) {
            error = refuse(ret_problem, ENOMEM, "memory", "Out of memory.");
        }
    }
    if (error != 0) {
        link_close(link);
        return error;
    }
    *ret_link = link;
    return 0;
}

void link_close(struct link *link)
{
    if (link != NULL) {
        curl_easy_cleanup(link->easy);
        curl_multi_cleanup(link->multi);
        explicit_bzero(link->token, sizeof(link->token));
        free(link->url);
        free(link->socket);
        free(link->token_file);
        free(link->ca);
        free(link);
    }
}

void link_stop(struct link *link)
{
    atomic_store(&link->stopped, true);
    curl_multi_wakeup(link->multi);
}

void link_break(struct link *link)
{
    atomic_store(&link->broken, true);
    curl_multi_wakeup(link->multi);
}

void link_ticking(struct link *link, link_tick *tick, void *context)
{
    link->tick = tick;
    link->tick_context = context;
}

/* ---- one call ------------------------------------------------------------------- */

struct transfer {
    const struct link_call *call;
    struct link_answer *answer;
    size_t room;
    uint64_t bytes; /* of the body */
    bool too_large;
    CURL *easy;
    int64_t began, heard;    /* monotonic ms */
    int64_t window;          /* since then `window_bytes` came */
    uint64_t window_bytes;
};

static size_t keep_header(char *line, size_t one, size_t count, void *context)
{
    struct transfer *transfer = context;
    size_t length = one * count;
    char text[32];
    char *end;

    if (length > 12 && length < sizeof(text) + 12 &&
        strncasecmp(line, "retry-after:", 12) == 0) {
        unsigned long seconds;

        snprintf(text, sizeof(text), "%.*s", (int)length - 12, line + 12);
        seconds = strtoul(text, &end, 10);
        if (end != text && seconds < 86400) {
            transfer->answer->retry_after_ms = seconds * 1000;
        }
    }
    return length;
}

static bool keep_bytes(struct transfer *transfer, const char *data,
                       size_t length)
{
    struct link_answer *answer = transfer->answer;

    if (answer->length + length >= transfer->room) {
        size_t room = 2 * (answer->length + length) + 4096;
        char *text = realloc(answer->text, room);

        if (text == NULL) {
            return false;
        }
        answer->text = text;
        transfer->room = room;
    }
    memcpy(answer->text + answer->length, data, length);
    answer->length += length;
    answer->text[answer->length] = '\0';
    return true;
}

static size_t keep_piece(char *data, size_t one, size_t count, void *context)
{
    struct transfer *transfer = context;
    const struct link_call *call = transfer->call;
    size_t length = one * count, most = call->most;
    long status = 0;

    transfer->bytes += length;
    transfer->window_bytes += length;
    curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    if (most == 0 || status != 200) {
        most = LINK_ANSWER_MAX;
    }
    if (transfer->bytes > most) {
        transfer->too_large = true;
        return 0;
    }
    if (call->piece != NULL && status == 200) {
        return call->piece(call->context, data, length) == 0 ? length : 0;
    }
    return keep_bytes(transfer, data, length) ? length : 0;
}

/* Not one byte for too long, or hardly any. */
static bool is_dead(struct transfer *transfer, int64_t now)
{
    curl_off_t first = 0;

    if (transfer->heard == 0) {
        curl_easy_getinfo(transfer->easy, CURLINFO_STARTTRANSFER_TIME_T,
                          &first);
        if (first > 0 || transfer->bytes > 0) {
            transfer->heard = transfer->window = now;
            transfer->window_bytes = 0;
        }
        return transfer->heard == 0 &&
               now - transfer->began > transfer->call->first_byte_ms;
    }
    if (now - transfer->window < LINK_SLOW_MS) {
        return false;
    }
    if (transfer->window_bytes <
        (uint64_t)LINK_SLOW_BYTES * (LINK_SLOW_MS / 1000)) {
        return true;
    }
    transfer->window = now;
    transfer->window_bytes = 0;
    return false;
}

static void prepare(struct link *link, struct transfer *transfer,
                    const char *url, struct curl_slist *headers)
{
    const struct link_call *call = transfer->call;
    CURL *easy = link->easy;

    curl_easy_reset(easy);
    link->error[0] = '\0';
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, link->error);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)LINK_CONNECT_MS);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "grayd-agent");
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, 10L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, 5L);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    if (link->socket != NULL) {
        curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, link->socket);
    }
    if (strncmp(link->url, "https://", 8) != 0) {
        curl_easy_setopt(easy, CURLOPT_PROXY, "");
    }
    if (link->ca != NULL) {
        curl_easy_setopt(easy, CURLOPT_CAINFO, link->ca);
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    }
    if (link->token[0] != '\0') {
        curl_easy_setopt(easy, CURLOPT_HTTPAUTH, CURLAUTH_BEARER);
        curl_easy_setopt(easy, CURLOPT_XOAUTH2_BEARER, link->token);
    }
    if (call->body != NULL) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, call->body);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
                         (curl_off_t)strlen(call->body));
    }
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, keep_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, keep_piece);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
}

static struct curl_slist *headers_of(const struct link_call *call)
{
    struct curl_slist *headers = NULL;
    char line[120];

    if (call->if_none_match != NULL) {
        snprintf(line, sizeof(line), "If-None-Match: \"%s\"",
                 call->if_none_match);
        headers = curl_slist_append(headers, line);
    }
    if (call->body != NULL) {
        headers = curl_slist_append(headers, "Content-Type: application/json");
        headers = curl_slist_append(headers, "Expect:");
    }
    return headers;
}

/* One turn of whoever looks after the folder; the time until the next. */
static int turn(struct link *link)
{
    int wait = WAIT_MS;

    if (link->tick != NULL) {
        int wanted = link->tick(link->tick_context);

        wait = wanted >= 0 && wanted < wait ? wanted : wait;
    }
    return wait;
}

static bool is_ended(struct link *link)
{
    return atomic_load(&link->stopped) || atomic_load(&link->broken);
}

/* CURLE_* of a call that ended, or -1: it was ended; -2: it is dead. */
static int run(struct link *link, struct transfer *transfer)
{
    int running = 1, left = 0, result = CURLE_RECV_ERROR;
    CURLMsg *message;

    while (running > 0) {
        if (curl_multi_perform(link->multi, &running) != CURLM_OK) {
            return CURLE_OUT_OF_MEMORY;
        }
        if (running > 0) {
            if (is_ended(link)) {
                return -1;
            }
            if (is_dead(transfer, clock_ms(CLOCK_MONOTONIC))) {
                return -2;
            }
            curl_multi_poll(link->multi, NULL, 0, turn(link), NULL);
        }
    }
    while ((message = curl_multi_info_read(link->multi, &left)) != NULL) {
        if (message->msg == CURLMSG_DONE) {
            result = (int)message->data.result;
        }
    }
    return result;
}

/* A socket has no port, of which libcurl speaks. */
static const char *why_failed(struct link *link, int result)
{
    long reason = 0;

    if (link->socket != NULL && result == CURLE_COULDNT_CONNECT &&
        curl_easy_getinfo(link->easy, CURLINFO_OS_ERRNO, &reason) ==
            CURLE_OK && reason != 0) {
        return strerror((int)reason);
    }
    return link->error[0] != '\0' ? link->error
                                  : curl_easy_strerror((CURLcode)result);
}

static int outcome(struct link *link, const struct transfer *transfer,
                   int result)
{
    struct link_answer *answer = transfer->answer;

    if (result == CURLE_OK) {
        return 0;
    }
    answer->status = 0;
    if (result == -1) {
        atomic_store(&link->broken, false);
        return -ECANCELED;
    }
    snprintf(answer->why, sizeof(answer->why), "%.199s",
             transfer->too_large ? "the answer is larger than it may be"
             : result == -2 && transfer->heard == 0
                 ? "nothing came for too long"
             : result == -2 ? "hardly anything came for too long"
                            : why_failed(link, result));
    return transfer->too_large ? -EFBIG : -EIO;
}

int link_ask(struct link *link, const struct link_call *call,
             struct link_answer *ret_answer)
{
    struct transfer transfer = {
        .call = call, .answer = ret_answer, .easy = link->easy,
        .began = clock_ms(CLOCK_MONOTONIC),
    };
    struct curl_slist *headers = headers_of(call);
    char *url = NULL;
    long status = 0;
    int result;

    *ret_answer = (struct link_answer) {
        .sent = boot_ns(), .sent_wall = clock_ms(CLOCK_REALTIME)
    };
    atomic_store(&link->broken, false);
    if (call->path == NULL ||
        asprintf(&url, "%s%s", link->url, call->path) < 0) {
        curl_slist_free_all(headers);
        snprintf(ret_answer->why, sizeof(ret_answer->why), "Out of memory.");
        return -EIO;
    }
    prepare(link, &transfer, url, headers);
    curl_multi_add_handle(link->multi, link->easy);
    result = run(link, &transfer);
    curl_easy_getinfo(link->easy, CURLINFO_RESPONSE_CODE, &status);
    ret_answer->answered_wall = clock_ms(CLOCK_REALTIME);
    ret_answer->status = (int)status;
    /* A call that is ended takes its connection with it. */
    curl_multi_remove_handle(link->multi, link->easy);
    curl_slist_free_all(headers);
    free(url);
    if (result == CURLE_OK && status == 401) {
        read_token(link, NULL); /* it may have been changed */
    }
    return outcome(link, &transfer, result);
}

int link_wait(struct link *link, int64_t ms)
{
    int64_t end = clock_ms(CLOCK_MONOTONIC) + ms;
    int64_t left = ms;

    while (left > 0) {
        int wait;

        if (atomic_load(&link->stopped)) {
            return -ECANCELED;
        }
        wait = turn(link);
        if (left < wait) {
            wait = (int)left;
        }
        curl_multi_poll(link->multi, NULL, 0, wait, NULL);
        left = end - clock_ms(CLOCK_MONOTONIC);
    }
    return atomic_load(&link->stopped) ? -ECANCELED : 0;
}

char *link_path(const char *format, ...)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    va_list list;

    if (out == NULL) {
        return NULL;
    }
    va_start(list, format);
    for (const char *at = format; *at != '\0'; at++) {
        if (at[0] == '%' && at[1] == 's') {
            char *piece = curl_easy_escape(NULL, va_arg(list, const char *), 0);

            fputs(piece != NULL ? piece : "", out);
            curl_free(piece);
            at++;
        } else if (at[0] == '%' && at[1] == 'd') {
            fprintf(out, "%d", va_arg(list, int));
            at++;
        } else {
            fputc(*at, out);
        }
    }
    va_end(list);
    fclose(out);
    return text;
}
