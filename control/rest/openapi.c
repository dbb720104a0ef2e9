/* SPDX-License-Identifier: Apache-2.0
 * openapi.c - the route table as an OpenAPI 3.1 document.
 *
 * Why: what is published is made from what is enforced: routes.def gives
 * paths and rights, schemas.json the shapes, problems.def the refusals; there
 * is no second description that could be wrong.
 * Read next: ../call/routes.def, ../call/schemas.json.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "control/rest/internal.h"
#include "policy/check.h"

static const struct {
    int status;
    const char *code, *title;
} problems[] = {
#define GRAYD_PROBLEM(NAME, status, code, title) {status, code, title},
#include "control/call/problems.def"
#undef GRAYD_PROBLEM
};
#define PROBLEMS (sizeof(problems) / sizeof(problems[0]))

static const char *right_word(unsigned right)
{
#define GRAYD_RIGHT(NAME, word, doc) \
    if (right == RIGHT_##NAME) {     \
        return word;                 \
    }
#include "control/identity/roles.def"
    return "?";
}

static json_t *schema_ref(const char *name)
{
    char ref[96];

    snprintf(ref, sizeof(ref), "#/components/schemas/%s", name);
    return json_pack("{s:s}", "$ref", ref);
}

static json_t *content(const char *type, json_t *schema)
{
    return json_pack("{s:{s:o}}", type, "schema", schema);
}

/* ---- refusals --------------------------------------------------------------------- */

static void problem_name(int status, char ret_name[16])
{
    snprintf(ret_name, 16, "problem-%d", status);
}

/* One response for each status, with all codes that have it. */
static json_t *all_problems(void)
{
    json_t *all = json_object();
    char name[16], text[512];
    size_t i, k;

    for (i = 0; i < PROBLEMS; i++) {
        size_t at = 0;

        problem_name(problems[i].status, name);
        for (k = 0; k < PROBLEMS && at < sizeof(text); k++) {
            if (problems[k].status == problems[i].status) {
                at += (size_t)snprintf(text + at, sizeof(text) - at,
                                       "%s%s: %s", at != 0 ? " " : "",
                                       problems[k].code, problems[k].title);
            }
        }
        json_object_set_new(
            all, name,
            json_pack("{s:s, s:o}", "description", text, "content",
                      content("application/problem+json",
                              schema_ref("Problem"))));
    }
    return all;
}

static void add_problem(json_t *responses, int status)
{
    char key[16], name[16], ref[64];

    snprintf(key, sizeof(key), "%d", status);
    problem_name(status, name);
    snprintf(ref, sizeof(ref), "#/components/responses/%s", name);
    json_object_set_new(responses, key, json_pack("{s:s}", "$ref", ref));
}

static json_t *route_responses(const struct route *route)
{
    static const int always[] = {400, 401, 403, 404, 500, 503};
    static const int bodies[] = {413, 415};
    static const int changes[] = {409, 412, 422};
    json_t *responses = json_object();
    bool text = strchr(route->response, '/') != NULL;
    json_t *good =
        text ? content(route->response, json_pack("{s:s}", "type", "string"))
             : content("application/json", schema_ref(route->response));
    size_t i;

    json_object_set_new(responses, "2XX",
                        json_pack("{s:s, s:o}", "description", route->summary,
                                  "content", good));
    if (route->right == RIGHT_NONE) {
        json_object_set_new(
            responses, "503",
            json_pack("{s:s, s:o}", "description", "not ready", "content",
                      content("application/json",
                              schema_ref(route->response))));
        return responses;
    }
    for (i = 0; i < sizeof(always) / sizeof(always[0]); i++) {
        add_problem(responses, always[i]);
    }
    for (i = 0; i < 2 && route->request[0] != '\0'; i++) {
        add_problem(responses, bodies[i]);
    }
    for (i = 0; i < 3 && route->where != WHERE_HERE; i++) {
        add_problem(responses, changes[i]);
    }
    return responses;
}

/* ---- parameters ------------------------------------------------------------------- */

static void add_parameter(json_t *list, const char *name, size_t length,
                          const char *in, json_int_t most)
{
    json_array_append_new(
        list, json_pack("{s:s%, s:s, s:b, s:{s:s, s:I}}", "name", name, length,
                        "in", in, "required", in[0] == 'p', "schema", "type",
                        "string", "maxLength", most));
}

/* A client that is made from this must not need our sources for the words. */
static void add_words(json_t *list, const char *name)
{
    static const char *const verbs[] = {
#define RELEASE_VERB(NAME, word, right, reason, widens, summary) word,
#include "control/release/release.def"
    };
    bool verb = strncmp(name, "verb}", 5) == 0;
    const char *const *words = verb ? verbs : gray_kind_words;
    size_t count = verb ? sizeof(verbs) / sizeof(verbs[0]) : KIND_COUNT;
    json_t *all = json_array();
    size_t i;

    if (!verb && strncmp(name, "kind}", 5) != 0) {
        json_decref(all);
        return;
    }
    for (i = 0; i < count; i++) {
        json_array_append_new(all, json_string(words[i]));
    }
    json_object_set_new(
        json_object_get(json_array_get(list, json_array_size(list) - 1),
                        "schema"),
        "enum", all);
}

static json_t *route_parameters(const struct route *route)
{
    json_t *list = json_array();
    const char *at;

    for (at = strchr(route->path, '{'); at != NULL; at = strchr(at, '{')) {
        at++;
        add_parameter(list, at, strcspn(at, "}"), "path", CALL_SEGMENT_MAX);
        add_words(list, at);
    }
    for (at = route->query; *at != '\0'; at += strspn(at, " ")) {
        size_t length = strcspn(at, " ");

        add_parameter(list, at, length, "query", CALL_VALUE_MAX);
        at += length;
    }
    if (route->where == WHERE_CONTROL) {
        add_parameter(list, "dryRun", strlen("dryRun"), "query", 5);
        add_parameter(list, "Idempotency-Key", strlen("Idempotency-Key"),
                      "header", CALL_KEY_MAX);
        add_parameter(list, "If-Match", strlen("If-Match"), "header", 24);
    }
    if (route->number == ROUTE_EVENTS) {
        add_parameter(list, "Last-Event-ID", strlen("Last-Event-ID"),
                      "header", 20);
    }
    return list;
}

/* ---- the document ------------------------------------------------------------------ */

static json_t *route_operation(const struct route *route)
{
    static const char *const resources[] = {"none", "name", "each", "all"};
    char id[64];
    size_t i;
    json_t *operation;

    for (i = 0; route->name[i] != '\0' && i < sizeof(id) - 1; i++) {
        id[i] = (char)tolower((unsigned char)route->name[i]);
    }
    id[i] = '\0';
    operation = json_pack(
        "{s:s, s:s, s:s, s:s, s:o, s:o}", "operationId", id, "summary",
        route->summary, "x-right", right_word(route->right), "x-resource",
        resources[route->resource], "parameters", route_parameters(route),
        "responses", route_responses(route));
    if (route->request[0] != '\0') {
        json_object_set_new(
            operation, "requestBody",
            json_pack("{s:o}", "content",
                      content("application/json",
                              schema_ref(route->request))));
    }
    if (route->right == RIGHT_NONE) {
        json_object_set_new(operation, "security", json_array());
    }
    return operation;
}

static json_t *all_paths(void)
{
    json_t *paths = json_object();
    size_t i, k;

    for (i = 0; i < ROUTE_COUNT; i++) {
        json_t *path = json_object_get(paths, routes[i].path);
        char method[16];

        if (path == NULL) {
            path = json_object();
            json_object_set_new(paths, routes[i].path, path);
        }
        for (k = 0; routes[i].method[k] != '\0' && k < 15; k++) {
            method[k] = (char)tolower((unsigned char)routes[i].method[k]);
        }
        method[k] = '\0';
        json_object_set_new(path, method, route_operation(&routes[i]));
    }
    return paths;
}

json_t *openapi_document(void)
{
    return json_pack(
        "{s:s, s:{s:s, s:s, s:s, s:{s:s, s:s}}, s:[{s:[]}], s:o,"
        " s:{s:o, s:o, s:{s:{s:s, s:s, s:s}}}}",
        "openapi", "3.1.0", "info", "title", "grayd", "version", GRAY_VERSION,
        "description", "Gray releases and traffic lanes: documents, releases, "
                       "changes, audit.",
        "license", "name", "Apache-2.0", "identifier", "Apache-2.0",
        "security", "token", "paths", all_paths(), "components", "schemas",
        json_deep_copy(schema_all()), "responses", all_problems(),
        "securitySchemes", "token", "type", "http", "scheme", "bearer",
        "description",
        "gray_ID_SECRET; on the unix socket root needs none");
}

void route_handle_OPENAPI(struct hand *hand, const struct call *call,
                          struct reply *reply)
{
    (void)hand;
    (void)call;
    reply_json(reply, 200, openapi_document());
}
