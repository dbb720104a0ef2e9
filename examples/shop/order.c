/* SPDX-License-Identifier: Apache-2.0
 * order.c - the order service: one process, two logics, over HTTP.
 *
 *   POST /orders  {"order_id": "A17", "user": "42", "amount": 1990}
 *   POST /orders/A17/pay
 *   POST /orders/A17/refund
 *   GET  /orders/A17
 *
 * Why: where a release changes what is written, the gateway cannot decide for
 * each request anew: an order belongs to the logic that made it.  The service
 * asks libgray and keeps the answer in the order's own row.  The client names
 * its orders, so that it may ask again whatever happened to the answer.
 * 503 with Retry-After: nobody did anything; ask again.
 * Threads: each serves its own connections (libmicrohttpd's pool), and waits
 * for the database; the main thread waits for signals and for the policy.
 * Read next: order.h, order_stages.c.
 */
#include "order.h"

#include "db.h"
#include "http.h"

#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <microhttpd.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define AMOUNT_MAX 1000000000 /* cents */
#define DRAIN_US 5000000
#define REQUEST_MAX 4096u /* bytes of a body */

static struct {
    const char *listen, *store, *runtime, *release;
    unsigned threads, timeout_ms;
    bool faults;
    enum order_bug bug;
    unsigned busy; /* requests being answered; atomic */
} service = {.runtime = "/run/graylane",
             .release = "orders-2",
             .threads = 8,
             .timeout_ms = 2000};

/* ---- a request
 * ---------------------------------------------------------------- */

struct received {
    size_t length;
    char body[REQUEST_MAX];
};

/* A word as it may stand in JSON, SQL and a path. */
static bool copy_word(const char *from, size_t length,
                      char to[ORDER_ID_MAX + 1])
{
    static const char safe[] = "abcdefghijklmnopqrstuvwxyz"
                               "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    if (length == 0 || length > ORDER_ID_MAX) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        if (memchr(safe, from[i], sizeof(safe) - 1) == NULL) {
            return false;
        }
    }
    memcpy(to, from, length);
    to[length] = '\0';
    return true;
}

static bool read_order(const struct received *received,
                       struct order_request *request)
{
    json_t *tree = json_loadb(received->body, received->length, 0, NULL);
    const char *id = json_string_value(json_object_get(tree, "order_id"));
    const char *user = json_string_value(json_object_get(tree, "user"));
    const json_t *amount = json_object_get(tree, "amount");
    request->amount = json_integer_value(amount);
    bool good = id != NULL && user != NULL && json_is_integer(amount) &&
                request->amount > 0 && request->amount <= AMOUNT_MAX &&
                copy_word(id, strlen(id), request->id) &&
                copy_word(user, strlen(user), request->user);
    json_decref(tree);
    return good;
}

/* 0, or the status that refuses it. */
static unsigned understand(const char *method, const char *path,
                           const struct received *received,
                           struct order_request *request)
{
    static const char prefix[] = "/orders";
    if (strncmp(path, prefix, sizeof(prefix) - 1) != 0) {
        return 404;
    }
    path += sizeof(prefix) - 1;
    bool post = strcmp(method, "POST") == 0;
    if (*path == '\0') {
        request->stage = ORDER_CREATE;
        return !post ? 405 : read_order(received, request) ? 0 : 400;
    }
    size_t length = strcspn(path + 1, "/");
    if (*path != '/' || !copy_word(path + 1, length, request->id)) {
        return 404;
    }
    path += 1 + length;
    if (*path == '\0') {
        request->stage = ORDER_LOOK;
        return strcmp(method, "GET") == 0 ? 0 : 405;
    }
    if (strcmp(path, "/pay") == 0) {
        request->stage = ORDER_PAY;
    } else if (strcmp(path, "/refund") == 0) {
        request->stage = ORDER_REFUND;
    } else {
        return 404;
    }
    return post ? 0 : 405;
}

static enum MHD_Result reply(struct MHD_Connection *connection,
                             const struct order_answer *answer)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(
        strlen(answer->body), (void *)(uintptr_t)answer->body,
        MHD_RESPMEM_MUST_COPY);
    if (response == NULL) {
        return MHD_NO;
    }
    MHD_add_response_header(response, "Content-Type", "application/json");
    if (answer->again) {
        MHD_add_response_header(response, "Retry-After", "1");
    }
    enum MHD_Result result =
        MHD_queue_response(connection, answer->status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result serve(struct MHD_Connection *connection,
                             const char *path, const char *method,
                             const struct received *received)
{
    struct order_request request = {0};
    struct order_answer answer = {0};
    const char *fault =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "x-fault");
    if (service.faults && fault != NULL) {
        request.lookup_is_late = strcmp(fault, "lookup-timeout") == 0;
        request.dies = strcmp(fault, "kill") == 0;
        request.stops = strcmp(fault, "stop") == 0;
        request.stalls = strcmp(fault, "stall") == 0;
    }
    __atomic_add_fetch(&service.busy, 1, __ATOMIC_SEQ_CST);
    answer.status = understand(method, path, received, &request);
    if (answer.status != 0) {
        snprintf(answer.body, sizeof(answer.body),
                 "{\"error\":\"not understood\"}\n");
    } else {
        order_do(&request, &answer);
    }
    enum MHD_Result result = reply(connection, &answer);
    __atomic_sub_fetch(&service.busy, 1, __ATOMIC_SEQ_CST);
    return result;
}

/* libmicrohttpd calls: with the head, with pieces of the body, at its end. */
static enum MHD_Result handle(void *context, struct MHD_Connection *connection,
                              const char *path, const char *method,
                              const char *version, const char *data,
                              size_t *length, void **state)
{
    (void)context;
    (void)version;
    struct received *received = *state;
    if (received == NULL) {
        *state = calloc(1, sizeof(*received));
        return *state != NULL ? MHD_YES : MHD_NO;
    }
    if (*length > 0) {
        size_t room = sizeof(received->body) - received->length;
        if (*length > room) {
            return MHD_NO; /* closes the connection */
        }
        memcpy(received->body + received->length, data, *length);
        received->length += *length;
        *length = 0;
        return MHD_YES;
    }
    return serve(connection, path, method, received);
}

static void forget(void *context, struct MHD_Connection *connection,
                   void **state, enum MHD_RequestTerminationCode code)
{
    (void)context;
    (void)connection;
    (void)code;
    free(*state);
    *state = NULL;
}

/* ---- the program
 * ----------------------------------------------------------------
 */

static void usage(int status)
{
    fputs("usage: orders --listen 127.0.0.1:PORT --store sqlite:PATH |"
          " postgres:CONNINFO\n"
          "              [--runtime DIR] [--release NAME] [--threads N]"
          " [--timeout MS]\n"
          "              [--with-parent] [--faults]"
          " [--bug ignore-mark|unknown-as-absent|rewrite-mark]\n",
          status == 0 ? stdout : stderr);
    exit(status);
}

static enum order_bug bug_of(const char *word)
{
    static const char *const words[] = {"none", "ignore-mark",
                                        "unknown-as-absent", "rewrite-mark"};
    for (int i = 0; i < 4; i++) {
        if (strcmp(words[i], word) == 0) {
            return (enum order_bug)i;
        }
    }
    usage(2);
    return BUG_NONE;
}

static void options(int argc, char **argv)
{
    static const struct option known[] = {{"listen", 1, NULL, 'l'},
                                          {"store", 1, NULL, 's'},
                                          {"runtime", 1, NULL, 'r'},
                                          {"release", 1, NULL, 'e'},
                                          {"threads", 1, NULL, 't'},
                                          {"timeout", 1, NULL, 'o'},
                                          {"faults", 0, NULL, 'f'},
                                          {"bug", 1, NULL, 'b'},
                                          {"with-parent", 0, NULL, 'p'},
                                          {"help", 0, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    for (int c; (c = getopt_long(argc, argv, "+", known, NULL)) != -1;) {
        switch (c) {
        case 'l':
            service.listen = optarg;
            break;
        case 's':
            service.store = optarg;
            break;
        case 'r':
            service.runtime = optarg;
            break;
        case 'e':
            service.release = optarg;
            break;
        case 't':
            service.threads =
                (unsigned)http_number("orders", "--threads", optarg, 2, 64);
            break;
        case 'o':
            service.timeout_ms =
                (unsigned)http_number("orders", "--timeout", optarg, 1, 60000);
            break;
        case 'f':
            service.faults = true;
            break;
        case 'b':
            service.bug = bug_of(optarg);
            break;
        case 'p':
            prctl(PR_SET_PDEATHSIG, SIGTERM);
            break;
        default:
            usage(c == 'h' ? 0 : 2);
        }
    }
    if (service.listen == NULL || service.store == NULL || optind != argc) {
        usage(2);
    }
}

/* Until SIGTERM: whatever is new in the runtime folder is taken here, so that
 * who waits for this reader does not wait for a request. */
static void wait_for_the_end(int signals)
{
    for (;;) {
        int fds[2];
        gray_watch(fds);
        struct pollfd watched[3] = {
            {signals, POLLIN, 0}, {fds[0], POLLIN, 0}, {fds[1], POLLIN, 0}};
        int count = poll(watched, 3, 500);
        if (count < 0 && errno != EINTR) {
            return;
        }
        if (watched[0].revents & POLLIN) {
            return;
        }
        gray_follow();
    }
}

static int serve_all(void)
{
    struct sockaddr_storage address;
    socklen_t length;
    if (http_address("orders", service.listen, &address, &length) != 0) {
        return 2;
    }
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGTERM);
    sigaddset(&mask, SIGINT);
    sigprocmask(SIG_BLOCK, &mask, NULL);
    signal(SIGPIPE, SIG_IGN);
    int signals = signalfd(-1, &mask, SFD_CLOEXEC);
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ERROR_LOG;
    if (address.ss_family == AF_INET6) {
        flags |= MHD_USE_IPv6;
    }
    struct MHD_Daemon *daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, handle, NULL, MHD_OPTION_THREAD_POOL_SIZE,
        service.threads, MHD_OPTION_SOCK_ADDR, &address,
        MHD_OPTION_NOTIFY_COMPLETED, forget, NULL, MHD_OPTION_CONNECTION_LIMIT,
        1024u, MHD_OPTION_END);
    if (daemon == NULL || signals < 0) {
        fprintf(stderr, "orders: %s: %s\n", service.listen, strerror(errno));
        return 1;
    }
    wait_for_the_end(signals);
    MHD_socket listener = MHD_quiesce_daemon(daemon);
    int64_t deadline = http_clock_us() + DRAIN_US;
    while (__atomic_load_n(&service.busy, __ATOMIC_SEQ_CST) > 0 &&
           http_clock_us() < deadline) {
        usleep(1000);
    }
    MHD_stop_daemon(daemon);
    if (listener >= 0) {
        close(listener);
    }
    close(signals);
    return 0;
}

int main(int argc, char **argv)
{
    options(argc, argv);
    order_setup(service.bug);
    int status = 1;
    if (db_setup(service.store, service.threads, service.timeout_ms) == 0 &&
        gray_setup(service.runtime, service.release) == 0) {
        status = serve_all();
    }
    gray_teardown();
    db_teardown();
    return status;
}
