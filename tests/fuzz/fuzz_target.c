/* SPDX-License-Identifier: Apache-2.0
 * fuzz_target.c - any path and query.
 *
 * Why: they come from anybody.  What must hold: what was taken has a route
 * whose method and number of segments it has, names within their length, in
 * UTF-8 without control characters; what was refused has a sentence; and the
 * same target without its query leads to the same route.
 * Read next: control/call/routes.c.
 */
#include <string.h>

#include "control/call/call.h"
#include "tests/fuzz/fuzz.h"

static void must_be_plain(const char *text)
{
    json_t *value = json_string(text);
    size_t i;

    MUST(value != NULL);
    for (i = 0; text[i] != '\0'; i++) {
        MUST((unsigned char)text[i] >= 0x20 && text[i] != 0x7f);
    }
    MUST(i <= CALL_VALUE_MAX);
    json_decref(value);
}

static size_t count_slashes(const char *text, size_t length)
{
    size_t i, count = 0;

    for (i = 0; i < length; i++) {
        count += text[i] == '/';
    }
    return count;
}

static void check_taken(const char *method, const char *target, size_t length,
                        struct call *call)
{
    const char *mark = memchr(target, '?', length);
    size_t path = mark != NULL ? (size_t)(mark - target) : length;
    struct call again = {0};
    struct reply reply = {0};
    const char *sentence, *name;
    char allow[64];
    json_t *value;

    MUST(strcmp(call->route->method, method) == 0);
    MUST(count_slashes(target, path) ==
         count_slashes(call->route->path, strlen(call->route->path)));
    must_be_plain(call->kind);
    must_be_plain(call->name);
    must_be_plain(call->verb);
    must_be_plain(call->item);
    json_object_foreach(call->query, name, value) {
        must_be_plain(name);
        must_be_plain(json_string_value(value));
    }
    MUST(json_object_size(call->query) <= CALL_QUERY_MAX);
    MUST(route_match(method, target, path, &again, allow, &sentence) == 0);
    MUST(again.route == call->route);
    MUST(strcmp(again.name, call->name) == 0);
    json_decref(again.query);
    MUST(call_check_query(call, &reply) == !reply_is_problem(&reply));
    reply_clear(&reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const methods[] = {"GET", "POST", "DELETE"};
    const char *method, *sentence = NULL;
    struct call call = {0};
    char allow[64];
    int done;

    if (size == 0) {
        return 0;
    }
    method = methods[data[0] % 3];
    done = route_match(method, (const char *)data + 1, size - 1, &call, allow,
                       &sentence);
    MUST((done == 0) == (sentence == NULL));
    MUST((done == 0) == (call.route != NULL));
    MUST((done == PROBLEM_METHOD + 1) == (done != 0 && allow[0] != '\0') ||
         done == PROBLEM_BAD_QUERY + 1);
    if (done == 0) {
        check_taken(method, (const char *)data + 1, size - 1, &call);
        json_decref(call.query);
    }
    return 0;
}
