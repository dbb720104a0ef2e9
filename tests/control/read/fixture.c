/* SPDX-License-Identifier: Apache-2.0
 * fixture.c - see fixture.h.
 *
 * Why: nothing here may hide a failure: whatever should not happen ends the
 * test.
 * Read next: fixture.h.
 */
#include "tests/control/read/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "tests/runtime/folder.h"

uint64_t last_etag;
char *last_text;

void desk_open(struct desk *desk)
{
    struct gray_problem problem = { 0 };

    memset(desk, 0, sizeof(*desk));
    folder_new(desk->top);
    snprintf(desk->state, sizeof(desk->state), "%s/state", desk->top);
    snprintf(desk->runtime, sizeof(desk->runtime), "%s/run", desk->top);
    if (store_open(&desk->store, desk->state, &problem) != 0 ||
        store_reader_open(&desk->hand.reader, desk->state, &problem) != 0) {
        fail_msg("store: %s: %s", problem.code, problem.sentence);
    }
    desk->grayd.options.state = desk->state;
    desk->grayd.options.runtime = desk->runtime;
    desk->grayd.started = NOW;
    snprintf(desk->grayd.instance, sizeof(desk->grayd.instance), "test");
    desk->hand.grayd = &desk->grayd;
}

void desk_close(struct desk *desk)
{
    store_reader_close(desk->hand.reader);
    store_close(desk->store);
    folder_remove(desk->top);
    free(last_text);
    last_text = NULL;
}

/* ---- what is in the store ------------------------------------------------------ */

static void commit(struct desk *desk, int64_t at, const struct store_put *puts,
                   size_t count, const struct audit_entry *entry)
{
    struct gray_problem problem = { 0 };
    struct store_audit audit = { .sequence = desk->sequence + 1 };
    struct store_batch batch = { .at = at,
                                 .expected_revision = desk->revision,
                                 .puts = puts,
                                 .put_count = count,
                                 .audits = &audit,
                                 .audit_count = 1 };
    char *text = audit_record_text(audit.sequence, entry, &audit.length);

    assert_non_null(text);
    audit.text = text;
    audit_chain(desk->chain, text, audit.length, audit.hash);
    if (store_commit(desk->store, &batch, &desk->revision, &problem) != 0) {
        fail_msg("commit: %s: %s", problem.code, problem.sentence);
    }
    memcpy(desk->chain, audit.hash, STORE_HASH);
    audit_tree_append(&desk->tree, text, audit.length);
    desk->sequence = audit.sequence;
    atomic_store(&desk->grayd.revision, desk->revision);
    atomic_store(&desk->grayd.audit_sequence, desk->sequence);
    free(text);
}

void record(struct desk *desk, int64_t at, const char *action,
            const char *resource, const char *outcome)
{
    struct audit_entry entry = { .at = at,
                                 .actor = "ann",
                                 .role = "operator",
                                 .via = "token",
                                 .action = action,
                                 .resource = resource,
                                 .outcome = outcome };

    commit(desk, at, NULL, 0, &entry);
}

void put(struct desk *desk, int64_t at, enum store_space space,
         const char *name, const char *text)
{
    struct store_put one = { space, name, text,
                             text != NULL ? strlen(text) : 0 };
    char resource[STORE_NAME_MAX + 1];
    struct audit_entry entry = { .at = at,
                                 .actor = desk->actor != NULL ? desk->actor : "ann",
                                 .action = "apply",
                                 .resource = resource,
                                 .outcome = "done",
                                 .revision = desk->revision + 1 };

    snprintf(resource, sizeof(resource), "%s%s",
             space == STORE_RELEASE ? "Release/" : "", name);
    commit(desk, at, &one, 1, &entry);
}

void put_document(struct desk *desk, int64_t at, const char *kind,
                  const char *name, const char *members)
{
    char key[STORE_NAME_MAX + 1], text[4096];

    assert_true(world_key(kind, name, key));
    snprintf(text, sizeof(text), "{\"kind\":\"%s\",\"name\":\"%s\"%s%s}", kind,
             name, members[0] != '\0' ? "," : "", members);
    put(desk, at, STORE_DOCUMENT, key, text);
}

void put_release(struct desk *desk, int64_t at, const char *name,
                 uint32_t share)
{
    struct release_status status = {
        .state = share > 0 ? RELEASE_PROGRESSING : RELEASE_INITIALIZED,
        .share = share,
        .attempt = 1,
        .since = at,
        .started = share > 0 ? at : 0,
        .by = "ann",
    };
    json_t *value = release_status_json(&status);
    char *text = json_dumps(value, JSON_COMPACT);

    put(desk, at, STORE_RELEASE, name, text);
    free(text);
    json_decref(value);
}

void put_shop(struct desk *desk)
{
    put_document(desk, NOW, "Service", "cart",
                 "\"baseline\":{\"version\":\"v1\"},\"versions\":{"
                 "\"v1\":{\"endpoints\":[\"127.0.0.1:9101\"]},"
                 "\"v2\":{\"endpoints\":[\"127.0.0.1:9102\"]}}");
    put_document(desk, NOW, "Release", "cart-2",
                 "\"services\":[{\"service\":\"cart\",\"version\":\"v2\"}],"
                 "\"unit\":{\"cookie\":\"uid\"}");
}

/* ---- asking ---------------------------------------------------------------------- */

static void identity_set(const struct desk *desk, struct identity *identity)
{
    snprintf(identity->name, sizeof(identity->name), "ann");
    identity->role = ROLE_ADMIN;
    identity->scope_count = 1; /* "": every name */
    for (size_t i = 0; i < 4 && desk->scopes[i] != NULL; i++) {
        snprintf(identity->scopes[i], sizeof(identity->scopes[i]), "%s",
                 desk->scopes[i]);
        identity->scope_count = i + 1;
    }
}

/* The pieces of a stream, put together. */
static char *drain(struct desk *desk, struct reply_stream *stream)
{
    char *all = strdup(""), *piece;
    size_t length = 0, more;
    int done;

    while ((done = stream->more(stream, &desk->hand, &piece, &more)) == 1) {
        all = realloc(all, length + more + 1);
        assert_non_null(all);
        memcpy(all + length, piece, more);
        length += more;
        all[length] = '\0';
        free(piece);
    }
    assert_int_equal(done, 0);
    return all;
}

static json_t *body_of(struct desk *desk, const struct route *route,
                       struct reply *reply)
{
    char pointer[256], sentence[256];
    const char *shape = reply_is_problem(reply) ? "Problem" : route->response;
    json_t *body = json_incref(reply->body);

    free(last_text);
    last_text = reply->text != NULL     ? strndup(reply->text, reply->length)
                : reply->stream != NULL ? drain(desk, reply->stream)
                                        : NULL;
    if (body == NULL && schema_find(shape) == NULL) {
        assert_string_equal(reply->type, shape);
        return json_string(last_text);
    }
    if (body == NULL) {
        body = json_loads(last_text, 0, NULL);
    }
    if (schema_check(schema_find(shape), body, pointer, sizeof(pointer),
                     sentence, sizeof(sentence)) != 0) {
        fail_msg("%s is no %s: %s %s\n%s", route->path, shape, pointer,
                 sentence, json_dumps(body, 0));
    }
    return body;
}

static json_t *question(struct desk *desk, const char *method,
                        const char *target, json_t *body, int status)
{
    struct call call = { .now = NOW };
    struct reply reply = { 0 };
    char allow[64];
    const char *why = "?";
    json_t *answer;

    if (route_match(method, target, strlen(target), &call, allow, &why) != 0) {
        fail_msg("%s: %s", target, why);
    }
    identity_set(desk, &call.identity);
    call.body = body;
    if (call_check_query(&call, &reply) && call_check_body(&call, &reply)) {
        route_find_handler(call.route->number)(&desk->hand, &call, &reply);
    }
    answer = body_of(desk, call.route, &reply);
    if (reply.status != status) {
        fail_msg("%s: %d, not %d: %s", target, reply.status, status,
                 json_dumps(answer, JSON_ENCODE_ANY));
    }
    last_etag = reply.etag;
    reply_clear(&reply);
    json_decref(call.query);
    json_decref(body);
    return answer;
}

json_t *ask(struct desk *desk, const char *target, int status)
{
    return question(desk, "GET", target, NULL, status);
}

json_t *post(struct desk *desk, const char *target, json_t *body, int status)
{
    assert_non_null(body);
    return question(desk, "POST", target, body, status);
}

/* ---- looking ----------------------------------------------------------------------- */

const char *text_at(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    if (text == NULL) {
        fail_msg("%s is no text", key);
    }
    return text;
}

json_int_t number_at(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    if (!json_is_integer(value)) {
        fail_msg("%s is no integer", key);
    }
    return json_integer_value(value);
}

static char joined[1u << 20];

static void join(const json_t *rows, const char *key)
{
    const json_t *row;
    size_t i;

    json_array_foreach(rows, i, row) {
        const json_t *value = json_object_get(row, key);
        size_t at = strlen(joined);

        assert_non_null(value);
        if (json_is_integer(value)) {
            snprintf(joined + at, sizeof(joined) - at, "%s%lld",
                     at > 0 ? " " : "",
                     (long long)json_integer_value(value));
        } else {
            snprintf(joined + at, sizeof(joined) - at, "%s%s",
                     at > 0 ? " " : "", json_string_value(value));
        }
    }
}

const char *names_of(const json_t *rows, const char *key)
{
    assert_true(json_is_array(rows));
    joined[0] = '\0';
    join(rows, key);
    return joined;
}

const char *names_paged(struct desk *desk, const char *target,
                        const char *key, const char *name_key,
                        const char *cursor, size_t *ret_pages)
{
    char page[CALL_TARGET_MAX];
    size_t pages = 0;
    json_t *next = NULL;

    joined[0] = '\0';
    do {
        json_t *body;
        char where[STORE_NAME_MAX + 32] = "";

        if (json_is_integer(next)) {
            snprintf(where, sizeof(where), "&%s=%lld", cursor,
                     (long long)json_integer_value(next));
        } else if (next != NULL) {
            snprintf(where, sizeof(where), "&%s=%s", cursor,
                     json_string_value(next));
        }
        snprintf(page, sizeof(page), "%s%s", target, where);
        json_decref(next);
        body = ask(desk, page, 200);
        join(json_object_get(body, key), name_key);
        next = json_incref(json_object_get(body, "next"));
        json_decref(body);
        assert_true(pages++ < 1000);
    } while (next != NULL);
    *ret_pages = pages;
    return joined;
}
