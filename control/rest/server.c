/* SPDX-License-Identifier: Apache-2.0
 * server.c - start and end of the HTTP servers: one on TCP, one on a socket.
 *
 * Why: both speak through the same request.c; they differ in how a caller is
 * known.  Ending goes from the outside in: no new connection, then whatever
 * waits is answered, then watchers are let go, then the threads.  The rest
 * stands until rest_free(), as the control thread still tells news to it.
 * Read next: listen.c, request.c, events.c, planner.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "control/hosts/hosts.h"
#include "control/rest/internal.h"

/* 10,000 hosts, each with a poll and a report, and everybody else. */
#define CONNECTIONS_DEFAULT 24000u
#define CONNECTIONS_FEW 12000u /* below it somebody is told aloud */
#define THREADS_DEFAULT 4u
#define PLANNERS_DEFAULT 2u
#define LOCAL_LEAST 1024u /* connections of the unix socket */
#define FILES_BESIDE 256u /* descriptors for everything but connections */
/* Of a connection: header fields, what is parsed of them, and an answer's
 * header; its pages are touched as they are used. */
#define CONNECTION_MEMORY (REST_HEADERS_MAX * 2 + 8192u)

uint64_t rest_clock_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- a store_reader for each thread ---------------------------------------------- */

static void free_hand(void *context)
{
    struct hand *hand = context;

    if (hand->reader != NULL) {
        store_reader_close(hand->reader);
    }
    free(hand);
}

struct hand *rest_hand(struct rest *rest)
{
    struct hand *hand = pthread_getspecific(rest->hand_key);
    struct gray_problem problem;
    char path[GRAYD_PATH_MAX];

    if (hand == NULL) {
        hand = calloc(1, sizeof(*hand));
        if (hand == NULL || pthread_setspecific(rest->hand_key, hand) != 0) {
            free(hand);
            return NULL;
        }
        hand->grayd = rest->grayd;
    }
    if (hand->reader == NULL &&
        store_reader_open(&hand->reader,
                          grayd_store_path(rest->grayd, path), &problem) != 0) {
        hand->reader = NULL;
        grayd_log(LOG_LEVEL_ERROR, problem.code, "%s", problem.sentence);
    }
    return hand;
}

/* ---- limits ----------------------------------------------------------------------- */

/* As many connections as asked for, and as descriptors allow. */
static unsigned count_connections(const struct grayd *grayd)
{
    unsigned wanted = grayd->options.connections_max != 0
                          ? grayd->options.connections_max
                          : CONNECTIONS_DEFAULT;
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return wanted;
    }
    if (limit.rlim_cur < (rlim_t)wanted + FILES_BESIDE &&
        limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max < (rlim_t)wanted + FILES_BESIDE
                             ? limit.rlim_max
                             : (rlim_t)wanted + FILES_BESIDE;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    if (limit.rlim_cur < (rlim_t)wanted + FILES_BESIDE) {
        rlim_t beside = FILES_BESIDE + LOCAL_LEAST;
        unsigned most = limit.rlim_cur > 2 * beside
                            ? (unsigned)(limit.rlim_cur - beside)
                        : limit.rlim_cur > 2 * FILES_BESIDE
                            ? (unsigned)limit.rlim_cur - FILES_BESIDE
                            : FILES_BESIDE;

        grayd_log(most < CONNECTIONS_FEW && most < wanted ? LOG_LEVEL_WARN
                                                          : LOG_LEVEL_INFO,
                  "few-files",
                  "RLIMIT_NOFILE allows %u connections, not %u.", most,
                  wanted);
        wanted = most;
    }
    return wanted;
}

/* The socket is open to every user of the host: whoever fills it must not shut
 * root out, so it takes as many as the descriptors beside TCP's allow. */
static unsigned local_most(unsigned connections)
{
    struct rlimit limit;
    rlim_t beside = (rlim_t)connections + 2 * FILES_BESIDE;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 ||
        limit.rlim_cur < beside + LOCAL_LEAST) {
        return connections < LOCAL_LEAST ? connections : LOCAL_LEAST;
    }
    return limit.rlim_cur - beside < connections
               ? (unsigned)(limit.rlim_cur - beside)
               : connections;
}

/* ---- daemons ----------------------------------------------------------------------- */

/* What the library has to say: a client's fault, of no interest but when
 * somebody looks for it. */
static void log_library(void *cls, const char *format, va_list arguments)
{
    char line[300];

    (void)cls;
    vsnprintf(line, sizeof(line), format, arguments);
    line[strcspn(line, "\n")] = '\0';
    grayd_log(LOG_LEVEL_DEBUG, "http", "%s", line);
}

static int open_door(struct door *door, int fd, unsigned threads,
                     unsigned connections)
{
    struct rest *rest = door->rest;
    bool tls = !door->local && rest->tls;
    struct MHD_OptionItem secure[] = {
        {MHD_OPTION_HTTPS_MEM_CERT, 0, rest->certificate},
        {MHD_OPTION_HTTPS_MEM_KEY, 0, rest->key},
        {MHD_OPTION_HTTPS_PRIORITIES, 0,
         "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"},
        {MHD_OPTION_END, 0, NULL}};
    struct MHD_OptionItem plain[] = {{MHD_OPTION_END, 0, NULL}};
    struct MHD_OptionItem pool[] = {
        {MHD_OPTION_THREAD_POOL_SIZE, (intptr_t)threads, NULL},
        {MHD_OPTION_END, 0, NULL}};

    door->daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME |
            MHD_USE_ERROR_LOG | (tls ? MHD_USE_TLS : 0),
        0, NULL, NULL, request_handle, door, MHD_OPTION_EXTERNAL_LOGGER,
        log_library, NULL, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_CONNECTION_LIMIT, connections,
        MHD_OPTION_CONNECTION_TIMEOUT, REST_IDLE_S,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
        MHD_OPTION_NOTIFY_COMPLETED, request_end, door,
        MHD_OPTION_NOTIFY_CONNECTION, drain_notify, door,
        MHD_OPTION_URI_LOG_CALLBACK, request_begin, door, MHD_OPTION_ARRAY,
        threads > 1 ? pool : plain, MHD_OPTION_ARRAY, tls ? secure : plain,
        MHD_OPTION_END);
    return door->daemon != NULL ? 0 : -1;
}

/* The certificate and its key, where TLS is asked for. */
static int prepare_tls(struct rest *rest, struct gray_problem *ret_problem)
{
    const struct grayd_options *options = &rest->grayd->options;

    rest->tls = options->tls_certificate != NULL || options->tls_key != NULL;
    if (!rest->tls) {
        return 0;
    }
    if (options->tls_certificate == NULL || options->tls_key == NULL) {
        rest_problem(ret_problem, "bad-tls",
                     "--tls-certificate and --tls-key go together.");
        return -1;
    }
    rest->certificate = listen_read_file(options->tls_certificate);
    rest->key = listen_read_file(options->tls_key);
    if (rest->certificate == NULL || rest->key == NULL) {
        rest_problem(ret_problem, "bad-tls", "%.100s cannot be read.",
                     rest->certificate == NULL ? options->tls_certificate
                                               : options->tls_key);
        return -1;
    }
    return 0;
}

static int open_doors(struct rest *rest, struct gray_problem *ret_problem)
{
    const struct grayd_options *options = &rest->grayd->options;
    unsigned threads =
        options->rest_threads != 0 ? options->rest_threads : THREADS_DEFAULT;
    unsigned connections = count_connections(rest->grayd);
    int fd;

    if (options->listen != NULL && options->listen[0] != '\0') {
        if (prepare_tls(rest, ret_problem) != 0 ||
            listen_tcp(rest, options->listen, &fd, ret_problem) != 0) {
            return -1;
        }
        if (open_door(&rest->tcp, fd, threads, connections) != 0) {
            close(fd);
            rest_problem(ret_problem, rest->tls ? "bad-tls" : "cannot-listen",
                         "%.80s: the server cannot be started%s.",
                         options->listen,
                         rest->tls ? " with this certificate and key" : "");
            return -1;
        }
    }
    if (options->socket != NULL && options->socket[0] != '\0') {
        if (listen_local(rest, options->socket, &fd, ret_problem) != 0) {
            return -1;
        }
        if (open_door(&rest->local, fd, threads, local_most(connections)) !=
            0) {
            close(fd);
            rest_problem(ret_problem, "cannot-listen",
                         "%.90s: the server cannot be started.",
                         options->socket);
            return -1;
        }
    }
    return 0;
}

int rest_start(struct grayd *grayd, struct gray_problem *ret_problem)
{
    struct rest *rest = calloc(1, sizeof(*rest));
    unsigned planners = grayd->options.planner_threads != 0
                            ? grayd->options.planner_threads
                            : PLANNERS_DEFAULT;

    if (rest == NULL) {
        rest_problem(ret_problem, "no-memory", "No memory for the servers.");
        return -1;
    }
    rest->grayd = grayd;
    rest->tcp.rest = rest->local.rest = rest;
    rest->local.local = true;
    pthread_mutex_init(&rest->lock, NULL);
    pthread_mutex_init(&rest->open_lock, NULL);
    pthread_cond_init(&rest->none_waits, NULL);
    grayd->rest = rest;
    rest->has_hand_key = pthread_key_create(&rest->hand_key, free_hand) == 0;
    if (!rest->has_hand_key || metrics_start(rest) != 0 ||
        known_start(rest) != 0) {
        rest_problem(ret_problem, "no-memory", "No memory for the servers.");
    } else if (planner_start(rest, planners, ret_problem) == 0 &&
               events_start(rest, ret_problem) == 0 &&
               open_doors(rest, ret_problem) == 0) {
        return 0;
    }
    rest_stop(grayd);
    return -1;
}

unsigned rest_port(const struct rest *rest)
{
    return rest != NULL ? rest->port : 0;
}

static void quiesce(struct door *door)
{
    if (door->daemon != NULL) {
        door->fd = MHD_quiesce_daemon(door->daemon);
    }
}

static void close_door(struct door *door)
{
    if (door->daemon != NULL) {
        MHD_stop_daemon(door->daemon);
        door->daemon = NULL;
        if (door->fd >= 0) {
            close(door->fd);
        }
    }
}

/* Until nothing waits there any more. */
static void wait_none(struct rest *rest, enum route_where where)
{
    pthread_mutex_lock(&rest->lock);
    while (rest->waiting[where] != 0) {
        pthread_cond_wait(&rest->none_waits, &rest->lock);
    }
    pthread_mutex_unlock(&rest->lock);
}

void rest_stop(struct grayd *grayd)
{
    struct rest *rest = grayd->rest;

    if (rest == NULL) {
        return;
    }
    quiesce(&rest->tcp);
    quiesce(&rest->local);
    listen_local_end(rest);
    pthread_mutex_lock(&rest->lock);
    rest->stopping = true;
    pthread_mutex_unlock(&rest->lock);
    wait_none(rest, WHERE_PLANNER);
    wait_none(rest, WHERE_CONTROL);
    hosts_end(grayd->hosts);
    wait_none(rest, WHERE_HERE);
    if (rest->events != NULL) {
        events_end(rest->events);
    }
    drain_connections(rest);
    close_door(&rest->tcp);
    close_door(&rest->local);
    planner_stop(rest->planner);
    rest->planner = NULL;
}

void rest_free(struct grayd *grayd)
{
    struct rest *rest = grayd->rest;

    if (rest == NULL) {
        return;
    }
    rest_stop(grayd);
    events_free(rest->events);
    metrics_stop(rest);
    known_end(rest);
    if (rest->has_hand_key) {
        pthread_key_delete(rest->hand_key);
    }
    pthread_cond_destroy(&rest->none_waits);
    pthread_mutex_destroy(&rest->open_lock);
    pthread_mutex_destroy(&rest->lock);
    free(rest->certificate);
    free(rest->key);
    free(rest);
    grayd->rest = NULL;
}
