/* SPDX-License-Identifier: Apache-2.0
 * internal.h - what the files of control/rest/ share among themselves.
 *
 * One exchange is one request and its answer.  It belongs to the connection's
 * own thread, but while it WAITS it belongs to the planner or the control
 * thread, and the connection is suspended; finish() hands it back.
 *
 *   BEGUN -> BODY -> (WAITS ->) ANSWERED -> SENT
 *      '-> REFUSED (the answer stands; what is left of the body is dropped)
 * Read next: request.c, server.c.
 */
#ifndef GRAYD_REST_INTERNAL_H
#define GRAYD_REST_INTERNAL_H

#include <microhttpd.h>
#include <openssl/evp.h>
#include <pthread.h>

#include "control/change/change.h"
#include "control/rest/rest.h"

#define REST_HERE_MAX 65536u   /* bytes of a body read on its connection's
                                  thread; larger ones go to the planner */
#define REST_PLANNER_MAX 256u  /* calls that wait for a planner thread */
#define REST_BODY_S 60u        /* a body may take this long, */
#define REST_BODY_RATE 32768u  /* and a second more for each so many bytes */
#define REST_STATUS_MAX 600u
#define REST_BUCKETS 12u       /* of a histogram, with +Inf */

struct events;
struct planner;
struct metrics; /* metrics.c */
struct known;   /* known.c */

struct rest;
/* One listener. */
struct door {
    struct rest *rest;
    bool local; /* the unix socket */
    struct MHD_Daemon *daemon;
    int fd; /* once it accepts no more */
};

struct rest {
    struct grayd *grayd;
    struct door tcp, local;
    unsigned port;
    bool tls, loopback;
    char host[256];           /* of the listen address, without brackets */
    char socket_path[108];
    uint64_t socket_inode;
    char *certificate, *key;  /* PEM, for the life of the daemon */
    pthread_key_t hand_key;   /* a struct hand of each connection thread */
    bool has_hand_key;
    pthread_mutex_t lock;     /* of the next three */
    pthread_cond_t none_waits;
    unsigned waiting[3];      /* exchanges handed over, by route_where */
    bool stopping;
    _Atomic size_t bodies;    /* bytes of bodies in memory */
    _Atomic unsigned connections;
    pthread_mutex_t open_lock; /* of `open` */
    struct open_connection *open;
    struct planner *planner;
    struct events *events;
    struct metrics *metrics;
    struct known *known;
};

/* ---- drain.c ------------------------------------------------------------------ */

/* MHD_OPTION_NOTIFY_CONNECTION; cls is a struct door. */
void drain_notify(void *cls, struct MHD_Connection *connection,
                  void **context, enum MHD_ConnectionNotificationCode code);
/* Whether this connection was let in as one of a host; NULL: nobody knows. */
bool *drain_host(struct MHD_Connection *connection);
/* Shuts the reading side of every connection and waits, a bounded time, until
 * none is left; after both doors take no more. */
void drain_connections(struct rest *rest);

/* Headers that decide something; each at most once. */
enum header_number {
#define REST_HEADER(NAME, name) HEADER_##NAME,
#include "control/rest/headers.def"
    HEADER_COUNT
};
struct headers {
    const char *value[HEADER_COUNT]; /* NULL: not there */
    const char *twice;               /* name of one that came twice */
};

enum exchange_state { EXCHANGE_BEGUN, EXCHANGE_BODY, EXCHANGE_WAITS,
                      EXCHANGE_ANSWERED, EXCHANGE_REFUSED, EXCHANGE_SENT };
struct exchange {
    struct rest *rest;
    struct MHD_Connection *connection;
    enum exchange_state state;
    bool local;            /* came by the unix socket */
    bool head;             /* HEAD: the answer has no body */
    bool prepared;         /* respond_prepare() was here */
    bool close;            /* the connection ends after the answer */
    bool read;             /* the body was read */
    bool bad_token;        /* something was shown, and believed to be nobody */
    char allow[64];        /* of a 405 */
    struct headers headers; /* valid in the first call of the handler only */
    char *target;
    size_t target_length;
    char none_match[64];   /* If-None-Match */
    char last_event[24];   /* Last-Event-ID */
    struct call call;
    struct reply reply;
    EVP_MD_CTX *digest;    /* of a request that changes something */
    char *body;
    size_t length, room, most; /* room: counted in rest->bodies */
    size_t dropped;
    uint64_t begun;        /* ns, monotonic */
    struct exchange *next; /* in the planner's queue */
};

/* ---- server.c ------------------------------------------------------------------ */

/* The hand of the calling connection thread; its reader is NULL when the
 * store cannot be read. */
struct hand *rest_hand(struct rest *rest);
uint64_t rest_clock_ns(void);

/* ---- listen.c ------------------------------------------------------------------- */

/* "127.0.0.1:7170", "[::1]:0", "localhost:80", "0.0.0.0:443". Fills host,
 * loopback; ret_fd listens. What is not loopback needs rest->tls. 0, or -1
 * with *ret_problem. */
int listen_tcp(struct rest *rest, const char *text, int *ret_fd,
               struct gray_problem *ret_problem);
int listen_local(struct rest *rest, const char *path, int *ret_fd,
                 struct gray_problem *ret_problem);
/* Takes the socket's file away, if it still is ours. */
void listen_local_end(struct rest *rest);
/* A small file, whole and NUL-terminated; NULL. malloc'd. */
char *listen_read_file(const char *path);
void rest_problem(struct gray_problem *ret_problem, const char *code,
                  const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- headers.c ------------------------------------------------------------------ */

void headers_read(struct MHD_Connection *connection,
                  struct headers *ret_headers);
/* What a request's headers say about itself: If-Match, Idempotency-Key, the
 * body's type and length. False after having filled the reply. */
bool headers_take(struct exchange *exchange);
/* Whether Host names this server (against DNS rebinding). Pure. */
bool host_is_ours(const char *host, const char *listen_host);
/* "12" in quotes. Pure. 0, or -1. */
int etag_parse(const char *text, uint64_t *ret_revision);

/* ---- authorize.c ---------------------------------------------------------------- */

/* Who calls, and whether they may: the one place. Sets call.route, names,
 * query and identity. False after having filled the reply; the attempt is
 * recorded. */
bool authorize(struct exchange *exchange, const char *method);
/* Whether an identity that was let in still stands. */
bool authorize_still(const struct identity *identity,
                     struct store_reader *reader, int64_t now);

/* ---- known.c -------------------------------------------------------------------- */

int known_start(struct rest *rest);
void known_end(struct rest *rest);
/* Who an agent's token is, where that was looked up at this state of all
 * tokens; false: look it up. */
bool known_find(struct rest *rest, const char *text, size_t length,
                uint64_t changes, int64_t now, struct identity *ret_identity);
/* `changes` is of before the look-up. */
void known_keep(struct rest *rest, const char *text, size_t length,
                uint64_t changes, const struct identity *identity);

/* ---- request.c ------------------------------------------------------------------- */

enum MHD_Result request_handle(void *cls, struct MHD_Connection *connection,
                               const char *url, const char *method,
                               const char *version, const char *upload,
                               size_t *upload_size, void **context);
void *request_begin(void *cls, const char *uri,
                    struct MHD_Connection *connection);
void request_end(void *cls, struct MHD_Connection *connection, void **context,
                 enum MHD_RequestTerminationCode why);
/* On a planner thread: reads the body, calls the handler or hands the call to
 * the control thread. */
void request_plan(struct exchange *exchange, struct hand *hand);

/* ---- respond.c ------------------------------------------------------------------- */

/* Queues exchange->reply on the connection. */
enum MHD_Result respond(struct exchange *exchange);
/* Makes text of a reply's JSON: where there is time. */
void respond_prepare(struct exchange *exchange);

/* ---- planner.c ------------------------------------------------------------------- */

int planner_start(struct rest *rest, unsigned threads,
                  struct gray_problem *ret_problem);
/* False: its queue is full. */
bool planner_submit(struct planner *planner, struct exchange *exchange);
/* When nothing waits any more. NULL is harmless. */
void planner_stop(struct planner *planner);

/* ---- events.c -------------------------------------------------------------------- */

int events_start(struct rest *rest, struct gray_problem *ret_problem);
/* Wakes every watcher, and lets none wait again. */
void events_end(struct events *events);
/* When nothing is told any more. NULL is harmless. */
void events_free(struct events *events);
unsigned events_watchers(struct events *events);
uint64_t events_commits(struct events *events);

/* ---- metrics.c ------------------------------------------------------------------- */

int metrics_start(struct rest *rest);
void metrics_stop(struct rest *rest);
void metrics_count(struct rest *rest, const struct route *route, int status,
                   uint64_t ns);
void metrics_count_denied(struct rest *rest, enum problem_number problem);

#endif
