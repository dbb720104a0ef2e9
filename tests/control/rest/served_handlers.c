/* SPDX-License-Identifier: Apache-2.0
 * served_handlers.c - one handler for all routes that others build.
 *
 * Why: it answers with the smallest body that the route's schema allows, and
 * ends the process when it was called by somebody who may not: so walking the
 * table shows both what comes through and what does not.
 * Names do things: a lane "hold" waits in the control thread until STATUS is
 * asked for; "large" answers with a megabyte.
 * Read next: served.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/read/read.h"
#include "tests/control/rest/served.h"

static json_t *smallest(const json_t *schema)
{
    const char *ref = json_string_value(json_object_get(schema, "$ref"));
    const json_t *type, *required, *name;
    json_t *made;
    size_t i;

    if (ref != NULL) {
        return smallest(schema_find(strrchr(ref, '/') + 1));
    }
    type = json_object_get(schema, "type");
    if (json_is_array(type)) {
        type = json_array_get(type, 0);
    }
    if (json_object_get(schema, "enum") != NULL) {
        return json_incref(
            json_array_get(json_object_get(schema, "enum"), 0));
    }
    switch (type != NULL ? json_string_value(type)[0] : 's') {
    case 'o':
        made = json_object();
        required = json_object_get(schema, "required");
        json_array_foreach(required, i, name) {
            json_object_set_new(
                made, json_string_value(name),
                smallest(json_object_get(json_object_get(schema, "properties"),
                                         json_string_value(name))));
        }
        return made;
    case 'a':
        return json_array();
    case 'i':
    case 'n':
        return json_integer(1);
    case 'b':
        return json_false();
    default:
        return json_string("x");
    }
}

/* What must have been looked at before a handler runs. */
static void check_call(const struct call *call)
{
    const struct route *route = call->route;
    struct reply reply = {0};

    if (!identity_has(&call->identity, route->right) ||
        (route->resource == RESOURCE_NAME &&
         !identity_covers(&call->identity, call->name)) ||
        (route->resource == RESOURCE_ALL &&
         !identity_covers(&call->identity, NULL)) ||
        !call_check_body(call, &reply) || call->query == NULL) {
        fprintf(stderr, "%s was called by %s\n", route->name,
                call->identity.name);
        abort();
    }
}

struct numbers {
    struct reply_stream stream;
    unsigned next;
};

static int next_number(struct reply_stream *stream, struct hand *hand,
                       char **ret_text, size_t *ret_length)
{
    struct numbers *numbers = (struct numbers *)stream;

    (void)hand;
    if (numbers->next == 10000) {
        return 0;
    }
    *ret_length = (size_t)asprintf(ret_text, "{\"n\":%u}\n", numbers->next++);
    return 1;
}

static void close_numbers(struct reply_stream *stream)
{
    free(stream);
}

static void answer_text(const struct call *call, struct reply *reply)
{
    struct numbers *numbers;

    reply->status = 200;
    reply->type = call->route->response;
    if (call->route->number != ROUTE_AUDIT_EXPORT) {
        reply->text = strdup("text\n");
        reply->length = 5;
        return;
    }
    numbers = calloc(1, sizeof(*numbers));
    numbers->stream.more = next_number;
    numbers->stream.close = close_numbers;
    reply->stream = &numbers->stream;
}

/* A control call: held, or told. */
static void change(struct control *control, const struct call *call)
{
    char resource[STORE_NAME_MAX + 1];

    pthread_mutex_lock(&control->lock);
    control->called++;
    if (strcmp(call->name, "hold") == 0) {
        control->held = true;
        while (control->held) {
            pthread_cond_wait(&control->wake, &control->lock);
        }
    }
    pthread_mutex_unlock(&control->lock);
    if (call->route->number == ROUTE_TOKEN_REVOKE) {
        served_revoke(control, call->item);
        return;
    }
    snprintf(resource, sizeof(resource), "%s%s",
             call->name[0] != '\0' ? "Release/" : "", call->name);
    served_record(control, call->route->name, resource,
                  call->dry_run ? "dry-run" : "done");
}

static void report(struct control *control, struct reply *reply)
{
    pthread_mutex_lock(&control->lock);
    control->held = false;
    pthread_cond_broadcast(&control->wake);
    json_object_set_new(reply->body, "denied",
                        json_integer((json_int_t)control->denied));
    json_object_set_new(reply->body, "called",
                        json_integer((json_int_t)control->called));
    json_object_set_new(reply->body, "lastDenied",
                        json_string(control->last_denied));
    pthread_mutex_unlock(&control->lock);
}

static void handle(struct hand *hand, const struct call *call,
                   struct reply *reply)
{
    struct control *control = hand->grayd->control;
    json_t *body;

    check_call(call);
    if (call->route->where == WHERE_CONTROL) {
        change(control, call);
    }
    if (strchr(call->route->response, '/') != NULL) {
        answer_text(call, reply);
        return;
    }
    body = smallest(schema_find(call->route->response));
    reply_json(reply, 200, body);
    if (call->route->number == ROUTE_STATUS) {
        report(control, reply);
    } else if (call->route->number == ROUTE_RELEASE) {
        char *text = malloc(1u << 20);

        memset(text, 'r', 1u << 20);
        reply->etag = 7;
        json_object_set_new(
            body, "reason",
            json_stringn(text,
                         strcmp(call->name, "large") == 0 ? 1u << 20 : 1));
        free(text);
    } else if (call->route->number == ROUTE_RELEASE_VERB) {
        char hash[2 * STORE_HASH + 1];
        size_t i;

        for (i = 0; i < STORE_HASH; i++) {
            snprintf(hash + 2 * i, 3, "%02x", call->request_hash[i]);
        }
        json_object_set_new(body, "sentence", json_string(hash));
        json_object_set_new(body, "undo", json_string(call->key));
        json_object_set_new(body, "dryRun", json_boolean(call->dry_run));
        json_object_set_new(body, "notPublished",
                            json_string(call->has_if_match ? "if-match" : ""));
        json_object_set_new(body, "revision",
                            json_integer((json_int_t)call->if_match));
    } else if (call->route->number == ROUTE_DOCUMENT) {
        json_object_set_new(body, "kind", json_string(call->kind));
        json_object_set_new(body, "name", json_string(call->name));
    }
}

/* Marks as a writer that has no room says them. */
void read_marks_writer(struct grayd *grayd, json_t *body)
{
    (void)grayd;
    json_object_set_new(body, "marks",
                        json_pack("{s:s,s:i,s:{s:i,s:i,s:i}}", "writer", "full",
                                  "queued", 3, "journal", "sequence", 17,
                                  "lag", 128, "lagMs", 1500));
}

json_t *read_marks_of_all(struct hand *hand)
{
    (void)hand;
    return json_pack("{s:{s:i,s:i,s:b,s:{s:i}}}", "cart-2", "in", 5, "out", 2,
                     "closed", 1, "table", "bytes", 4096);
}

#define HANDLER(NAME)                                               \
    void route_handle_##NAME(struct hand *hand, const struct call *call, \
                             struct reply *reply)                   \
    {                                                               \
        handle(hand, call, reply);                                  \
    }
HANDLER(DOCUMENTS)
HANDLER(DOCUMENT)
HANDLER(DOCUMENT_HISTORY)
HANDLER(DOCUMENT_DELETE)
HANDLER(APPLY)
HANDLER(PLAN)
HANDLER(LIST_IDS)
HANDLER(LANE_ENABLE)
HANDLER(LANE_DISABLE)
HANDLER(RELEASES)
HANDLER(RELEASE)
HANDLER(RELEASE_HISTORY)
HANDLER(RELEASE_VERB)
HANDLER(REHEARSE)
HANDLER(MARKS)
HANDLER(MARK)
HANDLER(MARKS_EXPORT)
HANDLER(MARKS_IMPORT)
HANDLER(MARKS_VERIFY)
HANDLER(MARKS_SETTLED)
HANDLER(MARK_REPAIR)
HANDLER(STOP_ALL)
HANDLER(BYPASS)
HANDLER(EXPLAIN)
HANDLER(DECISIONS)
HANDLER(HOST_DECISIONS)
HANDLER(STATUS)
HANDLER(CHANGES)
HANDLER(AUDIT)
HANDLER(AUDIT_EXPORT)
HANDLER(AUDIT_CHECKPOINTS)
HANDLER(AUDIT_PROOF)
HANDLER(TOKENS)
HANDLER(TOKEN_MAKE)
HANDLER(TOKEN_REVOKE)
HANDLER(SCHEDULED)
HANDLER(SCHEDULED_CANCEL)
HANDLER(CHECK_RUN)
HANDLER(CHECK_REPORT)
HANDLER(CHECK_EXPLAIN)
HANDLER(HOSTS)
HANDLER(HOST_FORGET)
HANDLER(HOST_REPORT)
HANDLER(HOST_ADMISSIONS)
HANDLER(MARKS_CONFLICTS)
HANDLER(BUNDLE)
HANDLER(BLOB)
