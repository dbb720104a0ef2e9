/* SPDX-License-Identifier: Apache-2.0
 * explain.c - `gray explain`: what is decided for requests, and why.
 *
 * Why: the same line comes out here, in the gateway's header and in libgray,
 * for it is the engine that writes it; we only read requests and print.  A
 * million requests pass in seconds: one buffer in, one out.
 * Read next: ask/answer.c, engine/explain.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/remote.h"

#define OUT_BLOCK (1u << 20)

struct explainer {
    struct policy policy;
    bool json;
    bool first;      /* table: no empty line before */
    bool said;       /* that there are no keys */
    struct ask ask;
    FILE *file;
    struct line line;
    const char *name; /* of the file, for messages */
    int status;
    struct remote *remote; /* NULL: decided here */
    json_t *batch;         /* requests to be asked for */
    json_int_t revision;   /* 0: in force */
};

static void explainer_free(struct explainer *e)
{
    policy_free(&e->policy);
    ask_end(&e->ask);
    line_free(&e->line);
    file_closep(&e->file);
    remote_free(e->remote);
    json_decref(e->batch);
}

/* ---- the table form ------------------------------------------------------------ */

static const char *string_in(json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text != NULL ? text : "";
}

static void print_releases(json_t *root)
{
    CLI_CLEANUP(table_freep) struct table *table = table_new(8);
    const char *const heads[] = { "RELEASE", "IN", "REASON", "RULE", "BUCKET",
                                  "SHARE", "UNIT", "WORD" };
    json_t *rows = json_object_get(root, "releases");
    char share[32];
    json_t *row;
    size_t i;

    if (json_array_size(rows) == 0) {
        return;
    }
    for (i = 0; i < 8; i++) {
        table_cell(table, "%s", heads[i]);
    }
    table_right(table, 4);
    table_right(table, 5);
    json_array_foreach(rows, i, row) {
        const char *variant = string_in(row, "variant");
        json_t *bucket = json_object_get(row, "bucket");

        table_cell(table, "%s%s%s", string_in(row, "release"),
                   *variant != '\0' ? ":" : "", variant);
        table_cell(table, "%s",
                   json_is_true(json_object_get(row, "in")) ? "in" : "out");
        table_cell(table, "%s", string_in(row, "reason"));
        table_cell(table, "%s", string_in(row, "rule"));
        if (json_is_integer(bucket)) {
            table_cell(table, "%lld", (long long)json_integer_value(bucket));
        } else {
            table_cell(table, "-");
        }
        table_cell(table, "%s",
                   share_text((uint32_t)json_integer_value(
                                  json_object_get(row, "share")),
                              share));
        table_cell(table, "%s", string_in(row, "unit"));
        table_cell(table, "%s", string_in(row, "word"));
    }
    table_print(table, stdout);
}

static void print_trace(json_t *root)
{
    CLI_CLEANUP(table_freep) struct table *table = table_new(7);
    const char *const heads[] = { "TRIED", "STEP", "RULE", "CONDITION",
                                  "OPERAND", "VALUE", "RESULT" };
    json_t *rows = json_object_get(root, "trace");
    json_t *row;
    size_t i;

    if (json_array_size(rows) == 0) {
        return;
    }
    for (i = 0; i < 7; i++) {
        table_cell(table, "%s", heads[i]);
    }
    json_array_foreach(rows, i, row) {
        const char *name = string_in(row, "name");

        table_cell(table, "%s", string_in(row, "release"));
        table_cell(table, "%s", string_in(row, "step"));
        table_cell(table, "%s", string_in(row, "rule"));
        table_cell(table, "%s%s%s%s%s", string_in(row, "source"),
                   *name != '\0' ? " " : "", name,
                   *string_in(row, "condition") != '\0' ? " " : "",
                   string_in(row, "condition"));
        table_cell(table, "%s", string_in(row, "operand"));
        table_cell(table, "%s", string_in(row, "value"));
        table_cell(table, "%s",
                   json_is_true(json_object_get(row, "result")) ? "yes"
                                                                : "no");
    }
    table_print(table, stdout);
}

void explanation_print(json_t *root)
{
    json_t *versions = json_object_get(root, "version");
    const char *service;
    json_t *version;

    printf("%s [%s] (revision %lld)\n", string_in(root, "sentence"),
           string_in(root, "reason"),
           (long long)json_integer_value(json_object_get(root, "revision")));
    printf("release %s  rule %s  lane %s  arms %s\n",
           *string_in(root, "release") != '\0' ? string_in(root, "release")
                                               : "-",
           *string_in(root, "rule") != '\0' ? string_in(root, "rule") : "-",
           *string_in(root, "lane") != '\0' ? string_in(root, "lane") : "-",
           *string_in(root, "arms") != '\0' ? string_in(root, "arms") : "-");
    printf("served by");
    json_object_foreach(versions, service, version) {
        printf(" %s=%s", service, json_string_value(version));
    }
    printf("%s\n", json_object_size(versions) == 0 ? " baseline" : "");
    print_releases(root);
    print_trace(root);
}

static void print_answer(const char *text)
{
    CLI_CLEANUP(json_freep) json_t *root = json_loads(text, 0, NULL);

    if (root == NULL) {
        complain("an answer that is no JSON: %s", text);
        return;
    }
    explanation_print(root);
}

/* ---- through grayd ---------------------------------------------------------------- */

static void print_line(void *context, const char *text)
{
    struct explainer *e = context;

    if (e->json) {
        printf("%s\n", text);
        return;
    }
    printf("%s", e->first ? "" : "\n");
    e->first = false;
    print_answer(text);
}

static int ask_batch(struct explainer *e)
{
    int status = remote_explain(e->remote, e->batch, e->revision, print_line,
                                e);

    json_array_clear(e->batch);
    return status;
}

/* Takes the request over. */
static int push(struct explainer *e, json_t *request)
{
    json_array_append_new(e->batch, request);
    return json_array_size(e->batch) >= REMOTE_REQUESTS ? ask_batch(e) : 0;
}

/* ---- one request ----------------------------------------------------------------- */

static int answer(struct explainer *e, const struct request *request)
{
    size_t length = 0;
    int error = ask_answer(&e->ask, request, &length);

    if (error != 0) {
        complain(error == -E2BIG ? "an answer of more than %u bytes"
                                 : "out of memory", ASK_ANSWER_MAX);
        return CLI_EXIT_SYSTEM;
    }
    if (e->ask.keyless && !e->said) {
        e->said = true;
        complain("there are no keys to verify the request's own cookie with: "
                 "it is as if absent");
    }
    if (e->json) {
        e->ask.buffer[length] = '\n'; /* in the place of the NUL */
        return fwrite(e->ask.buffer, 1, length + 1, stdout) == length + 1
                   ? 0
                   : CLI_EXIT_SYSTEM;
    }
    printf("%s", e->first ? "" : "\n");
    e->first = false;
    print_answer(e->ask.buffer);
    return 0;
}

static int answer_line(struct explainer *e)
{
    struct request request;
    struct request_problem problem;
    int status;

    if (request_parse(&request, e->line.text, e->line.length, &problem) != 0) {
        fprintf(stderr, "%s:%llu: error: %s [%s]\n", e->name,
                (unsigned long long)e->line.number, text_clean(problem.sentence),
                problem.code);
        e->status = CLI_EXIT_REFUSED;
        return 0;
    }
    status = e->remote != NULL
                 ? push(e, json_loadb(e->line.text, e->line.length, 0, NULL))
                 : answer(e, &request);
    request_free(&request);
    return status;
}

static int answer_file(struct explainer *e)
{
    int got, status;

    e->file = port_open(e->name);
    if (e->file == NULL) {
        return CLI_EXIT_SYSTEM;
    }
    setvbuf(e->file, NULL, _IOFBF, OUT_BLOCK);
    while ((got = port_line(e->file, e->name, REQUEST_LINE_MAX, &e->line)) >
           0) {
        if (e->line.length == 0) {
            continue; /* an empty line is no request */
        }
        status = answer_line(e);
        if (status != 0) {
            return status;
        }
    }
    if (e->remote != NULL && got == 0) {
        status = ask_batch(e);
        e->status = status != 0 ? status : e->status;
    }
    return got < 0 ? CLI_EXIT_SYSTEM : e->status;
}

static int answer_options(struct explainer *e,
                          const struct arguments *arguments)
{
    CLI_CLEANUP(json_freep) json_t *root = request_options(arguments);
    CLI_CLEANUP(json_freep) json_t *asked = NULL;
    struct request request;
    struct request_problem problem;
    int status;

    if (root == NULL) {
        return CLI_EXIT_USAGE;
    }
    asked = json_deep_copy(root); /* our cookies are stripped from the other */
    if (request_from_json(&request, root, &problem) != 0) {
        complain("%s [%s]", problem.sentence, problem.code);
        return CLI_EXIT_USAGE;
    }
    if (e->remote != NULL) {
        push(e, json_incref(asked));
        status = ask_batch(e);
    } else {
        status = answer(e, &request);
    }
    request_free(&request);
    return status;
}

/* By documents or the folder here, or by what grayd has in force. */
static int choose_basis(struct explainer *e, const struct arguments *arguments)
{
    double revision = 0;
    int status = arguments_has(arguments, CLI_FILE)
                     ? 0
                     : remote_or_folder(&e->remote, arguments, true);

    if (status != 0) {
        return status;
    }
    if (e->remote != NULL) {
        e->batch = json_array();
        status = arguments_number(arguments, CLI_REVISION, 1, 9e15, &revision);
        e->revision = (json_int_t)revision;
        return status;
    }
    status = policy_load(&e->policy, arguments);
    e->ask.view = e->policy.view;
    e->ask.runtime = e->policy.runtime;
    return status;
}

static bool describes_request(const struct arguments *arguments)
{
    static const uint8_t options[] = { CLI_REQUEST };
    bool found = false;

    for (size_t i = 0; i < sizeof(options); i++) {
        found |= arguments_has(arguments, options[i]);
    }
    return found;
}

int command_explain(const struct arguments *arguments)
{
    CLI_CLEANUP(explainer_free) struct explainer e = {
        .json = arguments_json(arguments),
        .first = true,
        .ask = { .now = port_now_ms() },
        .name = arguments_get(arguments, CLI_REQUESTS),
    };
    int status;

    if (arguments_has(arguments, CLI_UNIT) ||
        arguments_has(arguments, CLI_TRACE)) {
        return decisions_explain(arguments);
    }
    if (e.name != NULL && describes_request(arguments)) {
        complain("--requests names whole requests: no other option of a "
                 "request beside it");
        return CLI_EXIT_USAGE;
    }
    status = choose_basis(&e, arguments);
    if (status == 0) {
        setvbuf(stdout, NULL, _IOFBF, OUT_BLOCK);
        status = e.name != NULL ? answer_file(&e)
                                : answer_options(&e, arguments);
    }
    return status;
}
