/* SPDX-License-Identifier: Apache-2.0
 * respond.c - from a reply to what goes over the wire.
 *
 * Why: every answer carries the same plain headers (its request's id, not to
 * be stored, not to be guessed at), whoever made it.  JSON is written where
 * the reply was made, so that no connection thread writes megabytes.
 * Built with GRAYD_CHECK_REPLIES each reply is held against its route's
 * schema, and a wrong one ends the process: tests run so.
 * Read next: ../call/reply.c, events.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/rest/internal.h"

#define PIECE_SIZE 16384u

static const char no_memory[] =
    "{\"type\":\"urn:graylane:problem:internal\",\"title\":\"grayd failed; "
    "nothing was changed.\",\"status\":500,\"code\":\"internal\",\"detail\":"
    "\"No memory for the answer.\"}\n";

#ifdef GRAYD_CHECK_REPLIES
static void check_reply(const struct exchange *exchange)
{
    const struct reply *reply = &exchange->reply;
    const struct route *route = exchange->call.route;
    const char *name = reply_is_problem(reply) &&
                               (route == NULL ||
                                route->number != ROUTE_READYZ)
                           ? "Problem"
                           : route->response;
    char pointer[256], sentence[256];
    json_t *body = reply->body != NULL
                       ? json_incref(reply->body)
                       : json_loadb(reply->text != NULL ? reply->text : "",
                                    reply->length, 0, NULL);

    if (body == NULL) {
        if (reply->type == NULL || route == NULL ||
            strcmp(reply->type, route->response) != 0) {
            fprintf(stderr, "%s: answered as %s\n", exchange->target,
                    reply->type != NULL ? reply->type : "nothing");
            abort();
        }
        return;
    }
    if (schema_check(schema_find(name), body, pointer, sizeof(pointer),
                     sentence, sizeof(sentence)) != 0) {
        char *text = json_dumps(body, 0);

        fprintf(stderr, "%s: the answer is no %s: %s %s: %s\n",
                exchange->target, name, pointer, sentence, text);
        abort();
    }
    json_decref(body);
}
#endif

void respond_prepare(struct exchange *exchange)
{
    struct reply *reply = &exchange->reply;
    char *text;

    if (exchange->prepared) {
        return;
    }
    exchange->prepared = true;
    if (reply->body != NULL && reply_is_problem(reply) &&
        json_object_get(reply->body, "code") != NULL) {
        reply_add(reply, "request", json_string(exchange->call.id));
    }
#ifdef GRAYD_CHECK_REPLIES
    check_reply(exchange);
#endif
    if (reply->body == NULL) {
        return;
    }
    text = json_dumps(reply->body, JSON_COMPACT);
    json_decref(reply->body);
    reply->body = NULL;
    reply->length = text != NULL ? strlen(text) : 0;
    reply->text = text;
    if (text != NULL) {
        text[reply->length++] = '\n'; /* in the place of the NUL */
    }
    if (reply->type == NULL) {
        reply->type = "application/json";
    }
}

/* ---- streams -------------------------------------------------------------------- */

struct source {
    struct rest *rest;
    struct MHD_Connection *connection;
    struct reply_stream *stream;
    char *piece;
    size_t length, at;
};

static void source_suspend(struct reply_stream *stream)
{
    struct source *source = stream->transport;

    MHD_suspend_connection(source->connection);
}

static void source_resume(struct reply_stream *stream)
{
    struct source *source = stream->transport;

    MHD_resume_connection(source->connection);
}

static ssize_t source_read(void *context, uint64_t position, char *buffer,
                           size_t size)
{
    struct source *source = context;
    size_t left = source->length - source->at;
    struct hand *hand;
    int done;

    (void)position;
    if (left == 0) {
        hand = rest_hand(source->rest);
        free(source->piece);
        source->piece = NULL;
        source->length = source->at = 0;
        done = hand != NULL && hand->reader != NULL
                   ? source->stream->more(source->stream, hand, &source->piece,
                                          &source->length)
                   : -1;
        if (done == REPLY_WAIT) {
            return 0; /* suspended */
        }
        if (done != 1) {
            return done == 0 ? MHD_CONTENT_READER_END_OF_STREAM
                             : MHD_CONTENT_READER_END_WITH_ERROR;
        }
        left = source->length;
    }
    size = left < size ? left : size;
    memcpy(buffer, source->piece + source->at, size);
    source->at += size;
    return (ssize_t)size;
}

static void source_free(void *context)
{
    struct source *source = context;

    source->stream->close(source->stream);
    free(source->piece);
    free(source);
}

static struct MHD_Response *make_stream(struct exchange *exchange)
{
    struct source *source = calloc(1, sizeof(*source));
    struct reply_stream *stream = exchange->reply.stream;
    struct MHD_Response *response;

    if (source == NULL) {
        return NULL;
    }
    source->rest = exchange->rest;
    source->connection = exchange->connection;
    source->stream = stream;
    stream->transport = source;
    stream->suspend = source_suspend;
    stream->resume = source_resume;
    response = MHD_create_response_from_callback(
        MHD_SIZE_UNKNOWN, PIECE_SIZE, source_read, source, source_free);
    if (response == NULL) {
        free(source);
        return NULL;
    }
    exchange->reply.stream = NULL; /* the response's own now */
    return response;
}

/* ---- headers -------------------------------------------------------------------- */

static void add_headers(const struct exchange *exchange,
                        struct MHD_Response *response, int status)
{
    const struct reply *reply = &exchange->reply;
    char number[32];

    MHD_add_response_header(response, "X-Request-Id", exchange->call.id);
    MHD_add_response_header(response, "Cache-Control", "no-store");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (reply->type != NULL && status != 304) {
        MHD_add_response_header(response, "Content-Type", reply->type);
    }
    if (reply->etag != 0) {
        snprintf(number, sizeof(number), "\"%llu\"",
                 (unsigned long long)reply->etag);
        MHD_add_response_header(response, "ETag", number);
    }
    if (reply->retry_after != 0) {
        snprintf(number, sizeof(number), "%u", reply->retry_after);
        MHD_add_response_header(response, "Retry-After", number);
    }
    if (status == 405) {
        MHD_add_response_header(response, "Allow", exchange->allow);
    }
    if (status == 401) {
        MHD_add_response_header(response, "WWW-Authenticate",
                                exchange->bad_token
                                    ? "Bearer realm=\"grayd\", "
                                      "error=\"invalid_token\""
                                    : "Bearer realm=\"grayd\"");
    }
    if (exchange->close) {
        MHD_add_response_header(response, "Connection", "close");
    }
}

/* Whether the client has this already: If-None-Match is one entity tag, or
 * several by commas; a weak one compares like a strong one (RFC 9110). */
static bool is_known(const struct exchange *exchange)
{
    char tag[32];

    if (exchange->reply.etag == 0 || exchange->reply.status != 200 ||
        exchange->none_match[0] == '\0' ||
        strcmp(exchange->call.route->method, "GET") != 0) {
        return false;
    }
    snprintf(tag, sizeof(tag), "\"%llu\"",
             (unsigned long long)exchange->reply.etag);
    return strstr(exchange->none_match, tag) != NULL ||
           strcmp(exchange->none_match, "*") == 0;
}

/* Of bytes that many share: they are given back when they were sent. */
static struct MHD_Response *make_shared(struct reply *reply)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer_with_free_callback_cls(
            reply->bytes.length, (void *)(uintptr_t)reply->bytes.data,
            reply->bytes.release,
            reply->bytes.owner);

    if (response != NULL) {
        reply->bytes.owner = NULL; /* the response's own now */
    }
    return response;
}

enum MHD_Result respond(struct exchange *exchange)
{
    struct reply *reply = &exchange->reply;
    struct MHD_Response *response;
    enum MHD_Result done;
    int status;

    respond_prepare(exchange);
    status = is_known(exchange) ? 304 : reply->status;
    if (exchange->head && reply->stream != NULL) {
        /* The library would end the chunks of a body that there is not. */
        reply->stream->close(reply->stream);
        reply->stream = NULL;
        reply->text = strdup("");
        reply->length = 0;
        exchange->close = true;
    }
    if (status == 304) {
        response = MHD_create_response_from_buffer(0, NULL,
                                                   MHD_RESPMEM_PERSISTENT);
    } else if (reply->stream != NULL) {
        response = make_stream(exchange);
    } else if (reply->bytes.owner != NULL) {
        response = make_shared(reply);
    } else if (reply->text == NULL) {
        status = reply->status >= 400 ? reply->status : 500;
        reply->type = "application/problem+json";
        response = MHD_create_response_from_buffer(
            sizeof(no_memory) - 1, (void *)no_memory, MHD_RESPMEM_PERSISTENT);
    } else {
        response = MHD_create_response_from_buffer(reply->length, reply->text,
                                                   MHD_RESPMEM_MUST_FREE);
        if (response != NULL) {
            reply->text = NULL; /* the response's own now */
        }
    }
    if (response == NULL) {
        return MHD_NO;
    }
    add_headers(exchange, response, status);
    metrics_count(exchange->rest, exchange->call.route, status,
                  rest_clock_ns() - exchange->begun);
    exchange->state = EXCHANGE_SENT;
    done = MHD_queue_response(exchange->connection, (unsigned)status, response);
    MHD_destroy_response(response);
    return done;
}
