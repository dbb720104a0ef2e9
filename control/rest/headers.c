/* SPDX-License-Identifier: Apache-2.0
 * headers.c - what a request's headers say, believed only when it is plain.
 *
 * Why: a header that comes twice, a length beside chunks, or a Host that is
 * not ours is how one reader is told one thing and the next another; each is
 * refused and the connection closed.
 * Read next: headers.def, request.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "control/rest/internal.h"

static const char *const names[HEADER_COUNT] = {
#define REST_HEADER(NAME, name) name,
#include "control/rest/headers.def"
};

static enum MHD_Result take_header(void *context, enum MHD_ValueKind kind,
                                   const char *name, const char *value)
{
    struct headers *headers = context;
    size_t i;

    (void)kind;
    for (i = 0; i < HEADER_COUNT; i++) {
        if (strcasecmp(name, names[i]) == 0) {
            if (headers->value[i] != NULL) {
                headers->twice = names[i];
            }
            headers->value[i] = value != NULL ? value : "";
        }
    }
    return MHD_YES;
}

void headers_read(struct MHD_Connection *connection,
                  struct headers *ret_headers)
{
    memset(ret_headers, 0, sizeof(*ret_headers));
    MHD_get_connection_values(connection, MHD_HEADER_KIND, take_header,
                              ret_headers);
}

bool host_is_ours(const char *host, const char *listen_host)
{
    const char *const ours[] = {"localhost", "127.0.0.1", "::1", listen_host};
    const char *end, *port;
    size_t i, length;

    if (host[0] == '[') {
        end = strchr(++host, ']');
        port = end != NULL ? end + 1 : NULL;
    } else {
        end = strchr(host, ':');
        end = end != NULL ? end : host + strlen(host);
        port = end;
    }
    if (port == NULL ||
        (port[0] != '\0' &&
         (port[0] != ':' || strspn(port + 1, "0123456789") == 0 ||
          port[1 + strspn(port + 1, "0123456789")] != '\0'))) {
        return false;
    }
    length = (size_t)(end - host);
    for (i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
        if (strlen(ours[i]) == length && length != 0 &&
            strncasecmp(ours[i], host, length) == 0) {
            return true;
        }
    }
    return false;
}

int etag_parse(const char *text, uint64_t *ret_revision)
{
    uint64_t number = 0;
    size_t i;

    if (text[0] != '"') {
        return -1;
    }
    for (i = 1; text[i] >= '0' && text[i] <= '9' && i < 20; i++) {
        number = number * 10 + (uint64_t)(text[i] - '0');
    }
    if (i == 1 || text[i] != '"' || text[i + 1] != '\0') {
        return -1;
    }
    *ret_revision = number;
    return 0;
}

/* "application/json", alone or with charset=utf-8. */
static bool is_json(const char *type)
{
    static const char json[] = "application/json";
    const char *rest;

    if (type == NULL || strncasecmp(type, json, strlen(json)) != 0) {
        return false;
    }
    rest = type + strlen(json);
    rest += strspn(rest, " \t");
    if (*rest == '\0') {
        return true;
    }
    if (*rest++ != ';') {
        return false;
    }
    rest += strspn(rest, " \t");
    return strcasecmp(rest, "charset=utf-8") == 0 ||
           strcasecmp(rest, "charset=\"utf-8\"") == 0;
}

static bool take_conditions(struct exchange *exchange)
{
    const struct headers *headers = &exchange->headers;
    struct call *call = &exchange->call;
    const char *key = headers->value[HEADER_IDEMPOTENCY_KEY];
    const char *match = headers->value[HEADER_IF_MATCH];
    size_t i;

    if (match != NULL && strcmp(match, "*") != 0) {
        if (etag_parse(match, &call->if_match) != 0) {
            reply_problem(&exchange->reply, PROBLEM_BAD_REQUEST,
                          "If-Match is one revision in quotes: \"12\".");
            return false;
        }
        call->has_if_match = true;
    }
    for (i = 0; key != NULL && key[i] > 0x20 && key[i] < 0x7f; i++) {
    }
    if (key != NULL && (key[i] != '\0' || i == 0 || i > CALL_KEY_MAX)) {
        reply_problem(&exchange->reply, PROBLEM_BAD_REQUEST,
                      "Idempotency-Key is 1 to %u visible ASCII characters.",
                      CALL_KEY_MAX);
        return false;
    }
    snprintf(call->key, sizeof(call->key), "%s", key != NULL ? key : "");
    snprintf(exchange->none_match, sizeof(exchange->none_match), "%s",
             headers->value[HEADER_IF_NONE_MATCH] != NULL
                 ? headers->value[HEADER_IF_NONE_MATCH]
                 : "");
    etag_parse(exchange->none_match, &call->known);
    snprintf(exchange->last_event, sizeof(exchange->last_event), "%s",
             headers->value[HEADER_LAST_EVENT_ID] != NULL
                 ? headers->value[HEADER_LAST_EVENT_ID]
                 : "");
    return true;
}

static size_t most_of(const struct route *route)
{
    if (route->request[0] == '\0') {
        return 0;
    }
    return route->number == ROUTE_APPLY || route->number == ROUTE_PLAN ||
                   route->number == ROUTE_LIST_IDS
               ? CALL_APPLY_BODY_MAX
               : CALL_BODY_MAX;
}

bool headers_take(struct exchange *exchange)
{
    const struct headers *headers = &exchange->headers;
    const char *length = headers->value[HEADER_CONTENT_LENGTH];
    bool chunked = headers->value[HEADER_TRANSFER_ENCODING] != NULL;
    unsigned long long declared =
        length != NULL ? strtoull(length, NULL, 10) : 0;

    exchange->most = most_of(exchange->call.route);
    if (!take_conditions(exchange)) {
        return false;
    }
    if (declared == 0 && !chunked) {
        return true;
    }
    if (exchange->most == 0) {
        reply_problem(&exchange->reply, PROBLEM_BAD_BODY,
                      "This route takes no body.");
        return false;
    }
    if (declared > exchange->most) {
        reply_problem(&exchange->reply, PROBLEM_TOO_LARGE,
                      "A body of this route has at most %zu bytes.",
                      exchange->most);
        return false;
    }
    if (!is_json(headers->value[HEADER_CONTENT_TYPE]) ||
        headers->value[HEADER_CONTENT_ENCODING] != NULL) {
        reply_problem(&exchange->reply, PROBLEM_MEDIA_TYPE,
                      "Content-Type is application/json, as it is: no "
                      "Content-Encoding.");
        return false;
    }
    return true;
}
