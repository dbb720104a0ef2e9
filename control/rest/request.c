/* SPDX-License-Identifier: Apache-2.0
 * request.c - one request from its first byte to its answer.
 *
 * Why: libmicrohttpd calls in when headers are there, for each piece of the
 * body, and at its end.  Everything that can be refused by the headers is
 * refused then, before a byte of the body is kept: an answer in that moment
 * ends the connection.  A body that turns out too large later is dropped
 * until its end, or until as much again was dropped.
 * Read next: internal.h (the states), authorize.c, respond.c, planner.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "control/change/counting.h"
#include "control/rest/internal.h"

/* ---- begin and end ----------------------------------------------------------- */

void *request_begin(void *cls, const char *uri,
                    struct MHD_Connection *connection)
{
    const struct door *door = cls;
    struct exchange *exchange = calloc(1, sizeof(*exchange));

    if (exchange == NULL) {
        return NULL;
    }
    exchange->rest = door->rest;
    exchange->local = door->local;
    exchange->connection = connection;
    exchange->begun = rest_clock_ns();
    exchange->target = strdup(uri);
    exchange->target_length = strlen(uri);
    exchange->call.now = grayd_now();
    grayd_random_hex(exchange->call.id);
    return exchange;
}

static void drop_body(struct exchange *exchange)
{
    free(exchange->body);
    exchange->body = NULL;
    exchange->length = 0;
    atomic_fetch_sub(&exchange->rest->bodies, exchange->room);
    exchange->room = 0;
}

void request_end(void *cls, struct MHD_Connection *connection, void **context,
                 enum MHD_RequestTerminationCode why)
{
    struct exchange *exchange = *context;

    (void)cls;
    (void)connection;
    (void)why;
    if (exchange == NULL) {
        return;
    }
    *context = NULL;
    drop_body(exchange);
    reply_clear(&exchange->reply);
    json_decref(exchange->call.query);
    json_decref(exchange->call.body);
    counting_free(exchange->call.counted);
    EVP_MD_CTX_free(exchange->digest);
    free(exchange->target);
    free(exchange);
}

/* ---- headers ------------------------------------------------------------------ */

/* What is wrong with the request before anybody asks who sent it. */
static bool is_plain(struct exchange *exchange)
{
    const struct headers *headers = &exchange->headers;
    const char *host = headers->value[HEADER_HOST];
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(
        exchange->connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);

    if (info != NULL && info->header_size > REST_HEADERS_MAX) {
        reply_problem(&exchange->reply, PROBLEM_HEADERS_TOO_LARGE,
                      "Request line and header fields have at most %u bytes.",
                      REST_HEADERS_MAX);
    } else if (headers->twice != NULL) {
        reply_problem(&exchange->reply, PROBLEM_BAD_REQUEST,
                      "The header %s came twice.", headers->twice);
    } else if (headers->value[HEADER_TRANSFER_ENCODING] != NULL &&
               (headers->value[HEADER_CONTENT_LENGTH] != NULL ||
                strcasecmp(headers->value[HEADER_TRANSFER_ENCODING],
                           "chunked") != 0)) {
        reply_problem(&exchange->reply, PROBLEM_BAD_REQUEST,
                      "A body has a Content-Length, or is chunked.");
    } else if (!exchange->local && exchange->rest->loopback &&
               (host == NULL || !host_is_ours(host, exchange->rest->host))) {
        reply_problem(&exchange->reply, PROBLEM_BAD_REQUEST,
                      "Host names another server: ask for localhost or %s.",
                      exchange->rest->host);
    } else {
        return true;
    }
    exchange->close = true;
    return false;
}

/* SHA-256 over method, path with query, and body, each with its end marked. */
static bool begin_digest(struct exchange *exchange, const char *method)
{
    if (exchange->call.route->where != WHERE_CONTROL) {
        return true;
    }
    exchange->digest = EVP_MD_CTX_new();
    if (exchange->digest == NULL ||
        EVP_DigestInit_ex(exchange->digest, EVP_sha256(), NULL) != 1 ||
        EVP_DigestUpdate(exchange->digest, method, strlen(method) + 1) != 1 ||
        EVP_DigestUpdate(exchange->digest, exchange->target,
                         exchange->target_length + 1) != 1) {
        reply_problem(&exchange->reply, PROBLEM_INTERNAL, "No memory.");
        return false;
    }
    return true;
}

static enum MHD_Result begin(struct exchange *exchange, const char *method)
{
    struct call *call = &exchange->call;
    bool body;

    exchange->head = strcmp(method, "HEAD") == 0;
    headers_read(exchange->connection, &exchange->headers);
    body = exchange->headers.value[HEADER_TRANSFER_ENCODING] != NULL ||
           (exchange->headers.value[HEADER_CONTENT_LENGTH] != NULL &&
            strcmp(exchange->headers.value[HEADER_CONTENT_LENGTH], "0") != 0);
    if (exchange->target != NULL && is_plain(exchange) &&
        authorize(exchange, method) &&
        call_check_query(call, &exchange->reply) && headers_take(exchange) &&
        begin_digest(exchange, method)) {
        exchange->state = EXCHANGE_BODY;
        memset(&exchange->headers, 0, sizeof(exchange->headers));
        return MHD_YES;
    }
    memset(&exchange->headers, 0, sizeof(exchange->headers));
    exchange->state = EXCHANGE_REFUSED;
    if (body || exchange->close) {
        exchange->close = true;
        return respond(exchange);
    }
    return MHD_YES; /* answered in the next call; the connection lives on */
}

/* ---- body ---------------------------------------------------------------------- */

static void refuse(struct exchange *exchange)
{
    drop_body(exchange);
    exchange->state = EXCHANGE_REFUSED;
    exchange->close = true;
}

static bool make_room(struct exchange *exchange, size_t more)
{
    size_t room = exchange->room != 0 ? exchange->room : 4096;
    size_t had;
    char *body;

    while (room < exchange->length + more) {
        room *= 2;
    }
    if (room == exchange->room) {
        return true;
    }
    had = atomic_fetch_add(&exchange->rest->bodies, room - exchange->room);
    body = had + room - exchange->room <= REST_BODIES_MAX
               ? realloc(exchange->body, room)
               : NULL;
    if (body == NULL) {
        atomic_fetch_sub(&exchange->rest->bodies, room - exchange->room);
        return false;
    }
    exchange->body = body;
    exchange->room = room;
    return true;
}

/* A piece of the body. MHD_NO cuts the connection off. */
static enum MHD_Result take_body(struct exchange *exchange, const char *data,
                                 size_t size)
{
    uint64_t elapsed = rest_clock_ns() - exchange->begun;

    if (elapsed / 1000000000u >
        REST_BODY_S + (exchange->length + exchange->dropped) / REST_BODY_RATE) {
        return MHD_NO;
    }
    if (exchange->state == EXCHANGE_REFUSED) {
        exchange->dropped += size;
        return exchange->dropped > exchange->most ? MHD_NO : MHD_YES;
    }
    if (exchange->length + size > exchange->most) {
        reply_problem(&exchange->reply, PROBLEM_TOO_LARGE,
                      "A body of this route has at most %zu bytes.",
                      exchange->most);
        refuse(exchange);
    } else if (!make_room(exchange, size)) {
        reply_problem(&exchange->reply, PROBLEM_BUSY,
                      "Too many large bodies at once.");
        refuse(exchange);
    } else {
        memcpy(exchange->body + exchange->length, data, size);
        exchange->length += size;
    }
    return MHD_YES;
}

/* Bytes to JSON of the route's shape. False after having filled the reply. */
static bool read_body(struct exchange *exchange)
{
    struct call *call = &exchange->call;
    char sentence[256];

    exchange->read = true;
    if (exchange->digest != NULL) {
        EVP_DigestUpdate(exchange->digest, exchange->body, exchange->length);
        EVP_DigestFinal_ex(exchange->digest, call->request_hash, NULL);
    }
    if (call->route->request[0] == '\0') {
        return true;
    }
    if (exchange->length == 0) {
        call->body = json_object(); /* what is required is then missing */
    } else if (body_parse(exchange->body, exchange->length, &call->body,
                          sentence, sizeof(sentence)) != 0) {
        reply_problem(&exchange->reply, PROBLEM_BAD_BODY,
                      "The body is no JSON that is read here: %s.", sentence);
        return false;
    }
    /* The text goes; what it may weigh stays counted until the end. */
    free(exchange->body);
    exchange->body = NULL;
    return call_check_body(call, &exchange->reply);
}

/* ---- to a handler ------------------------------------------------------------- */

/* One more exchange waits for another thread; false: grayd is stopping. */
static bool count_in(struct rest *rest, enum route_where where)
{
    bool good;

    pthread_mutex_lock(&rest->lock);
    good = !rest->stopping;
    rest->waiting[where] += good;
    pthread_mutex_unlock(&rest->lock);
    return good;
}

static void count_out(struct rest *rest, enum route_where where)
{
    pthread_mutex_lock(&rest->lock);
    rest->waiting[where]--;
    pthread_cond_broadcast(&rest->none_waits);
    pthread_mutex_unlock(&rest->lock);
}

/* Hands a waiting exchange back to its connection's thread. */
static void finish(struct exchange *exchange)
{
    struct rest *rest = exchange->rest;
    enum route_where where = exchange->call.route->where;

    respond_prepare(exchange);
    exchange->state = EXCHANGE_ANSWERED;
    MHD_resume_connection(exchange->connection);
    /* From here on the exchange may be gone. */
    count_out(rest, where);
}

static void control_answered(void *context, struct reply *reply)
{
    struct exchange *exchange = context;

    exchange->reply = *reply;
    memset(reply, 0, sizeof(*reply));
    finish(exchange);
}

static void submit(struct exchange *exchange)
{
    if (!control_submit(exchange->rest->grayd, &exchange->call,
                        control_answered, exchange)) {
        reply_problem(&exchange->reply, PROBLEM_BUSY,
                      "%u changes wait already.", GRAYD_QUEUE_MAX);
        finish(exchange);
    }
}

void request_plan(struct exchange *exchange, struct hand *hand)
{
    const struct route *route = exchange->call.route;

    if (!exchange->read && !read_body(exchange)) {
        finish(exchange);
    } else if (route->where == WHERE_CONTROL) {
        if (counting_is_wanted(&exchange->call)) {
            counting_ahead(hand, &exchange->call);
        }
        submit(exchange);
    } else if (hand == NULL || hand->reader == NULL) {
        reply_problem(&exchange->reply, PROBLEM_STORE,
                      "The store cannot be read.");
        finish(exchange);
    } else {
        route_find_handler(route->number)(hand, &exchange->call,
                                          &exchange->reply);
        finish(exchange);
    }
}

/* Hands an exchange to another thread. True: it is not this thread's any more,
 * and may be answered already; false: its reply is filled. */
static bool wait_for(struct exchange *exchange, bool planner)
{
    struct rest *rest = exchange->rest;

    if (!count_in(rest, exchange->call.route->where)) {
        reply_problem(&exchange->reply, PROBLEM_BUSY, "grayd is stopping.");
        exchange->close = true;
        return false;
    }
    exchange->state = EXCHANGE_WAITS;
    /* First suspended, then handed over: it may be resumed at once. */
    MHD_suspend_connection(exchange->connection);
    if (!planner) {
        submit(exchange);
    } else if (!planner_submit(rest->planner, exchange)) {
        reply_problem(&exchange->reply, PROBLEM_BUSY,
                      "%u calls wait already.", REST_PLANNER_MAX);
        finish(exchange);
    }
    return true;
}

/* The handler's answer comes later. True: see wait_for(). */
static bool wait_for_later(struct exchange *exchange)
{
    struct reply_later *later = exchange->reply.later;

    if (!count_in(exchange->rest, WHERE_HERE)) {
        reply_problem(&exchange->reply, PROBLEM_BUSY, "grayd is stopping.");
        exchange->close = true;
        return false;
    }
    exchange->reply.later = NULL;
    exchange->state = EXCHANGE_WAITS;
    MHD_suspend_connection(exchange->connection);
    later->begin(later, control_answered, exchange);
    return true;
}

/* The request is whole: to its handler. True: see wait_for(). */
static bool dispatch(struct exchange *exchange)
{
    const struct route *route = exchange->call.route;
    struct hand *hand;

    exchange->state = EXCHANGE_ANSWERED;
    if (route->where == WHERE_PLANNER || exchange->length > REST_HERE_MAX) {
        return wait_for(exchange, true);
    } else if (!read_body(exchange)) {
        return false;
    } else if (route->where == WHERE_CONTROL) {
        return wait_for(exchange, counting_is_wanted(&exchange->call));
    } else {
        hand = rest_hand(exchange->rest);
        if (hand == NULL ||
            (hand->reader == NULL && route->right != RIGHT_NONE)) {
            reply_problem(&exchange->reply, PROBLEM_STORE,
                          "The store cannot be read.");
            return false;
        }
        if (route->number == ROUTE_EVENTS &&
            json_object_get(exchange->call.query, "after") == NULL &&
            exchange->last_event[0] != '\0') {
            json_object_set_new(exchange->call.query, "after",
                                json_string(exchange->last_event));
        }
        route_find_handler(route->number)(hand, &exchange->call,
                                          &exchange->reply);
    }
    return exchange->reply.later != NULL && wait_for_later(exchange);
}

enum MHD_Result request_handle(void *cls, struct MHD_Connection *connection,
                               const char *url, const char *method,
                               const char *version, const char *upload,
                               size_t *upload_size, void **context)
{
    struct exchange *exchange = *context;

    (void)cls;
    (void)connection;
    (void)url;
    (void)version;
    if (exchange == NULL) {
        return MHD_NO;
    }
    if (exchange->state == EXCHANGE_BEGUN) {
        return begin(exchange, method);
    }
    if (*upload_size != 0) {
        size_t size = *upload_size;

        *upload_size = 0;
        return take_body(exchange, upload, size);
    }
    if (exchange->state == EXCHANGE_BODY && dispatch(exchange)) {
        return MHD_YES; /* called again when it was resumed */
    }
    return exchange->state == EXCHANGE_SENT ? MHD_YES : respond(exchange);
}
