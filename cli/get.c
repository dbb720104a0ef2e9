/* SPDX-License-Identifier: Apache-2.0
 * get.c - get, describe, delete, history: documents as grayd keeps them.
 *
 * Why: what is in force must be readable as it was applied, with who applied
 * it and when, back to the first version; and what is taken out is taken out
 * under the same gates as any other change.
 * Read next: control/read/documents.c, answers.c.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli/remote.h"
#include "policy/check.h"

#define DESCRIBE_HISTORY 5u /* newest versions that describe shows */
#define HISTORY_COUNT 20u   /* where --count is not given */

/* "release" for "Release": case is no reason to send anybody away. NULL after
 * complaining. */
static const char *kind_of(const char *word)
{
    const char *names[KIND_COUNT];

    for (int i = 0; i < KIND_COUNT; i++) {
        if (strcasecmp(word, gray_kind_words[i]) == 0) {
            return gray_kind_words[i];
        }
        names[i] = gray_kind_words[i];
    }
    complain("no such kind: %s", word);
    words_suggest(word, names, KIND_COUNT);
    return NULL;
}

static int revision_query(const struct arguments *arguments, char query[40])
{
    double revision = 0;
    int status =
        arguments_number(arguments, CLI_REVISION, 1, 9e15, &revision);

    query[0] = '\0';
    if (revision > 0) {
        snprintf(query, 40, "revision=%.0f", revision);
    }
    return status;
}

/* ---- get ------------------------------------------------------------------------- */

static void print_documents(const json_t *documents)
{
    CLI_CLEANUP(table_freep) struct table *table = table_new(4);
    const char *const heads[] = { "KIND", "NAME", "REVISION", "SINCE" };
    const json_t *row;
    size_t i;

    for (i = 0; i < 4; i++) {
        table_cell(table, "%s", heads[i]);
    }
    table_right(table, 2);
    json_array_foreach(documents, i, row) {
        table_cell(table, "%s", text_at(row, "kind"));
        table_cell(table, "%s", text_at(row, "name"));
        table_cell(table, "%lld", (long long)number_at(row, "revision"));
        table_cell(table, "%s", text_at(row, "at"));
    }
    table_print(table, stdout);
}

static int get_all(struct remote *remote, const struct arguments *arguments,
                   const char *kind, const char *query)
{
    CLI_CLEANUP(json_freep) json_t *documents = NULL;
    CLI_CLEANUP(string_freep) char *path = NULL;
    int status;

    if (asprintf(&path, "/v1/documents?%s%s%s%s", kind != NULL ? "kind=" : "",
                 kind != NULL ? kind : "",
                 kind != NULL && *query != '\0' ? "&" : "", query) < 0) {
        path = NULL;
    }
    if (path != NULL && path[strlen(path) - 1] == '?') {
        path[strlen(path) - 1] = '\0';
    }
    status = remote_pages(remote, path, "documents", "after", 0, &documents);
    if (status != 0) {
        return status;
    }
    if (arguments_json(arguments)) {
        return json_print(json_pack("{s:O}", "documents", documents),
                          JSON_INDENT(2));
    }
    if (json_array_size(documents) == 0) {
        printf("no documents (gray apply -f DOCS)\n");
        return CLI_EXIT_OK;
    }
    print_documents(documents);
    return CLI_EXIT_OK;
}

static int ask_one(struct remote *remote, const char *kind, const char *name,
                   const char *query, json_t **ret_document)
{
    CLI_CLEANUP(string_freep) char *path =
        remote_path("/v1/documents/%s/%s", kind, name);
    CLI_CLEANUP(string_freep) char *whole = NULL;

    if (asprintf(&whole, "%s%s%s", path, *query != '\0' ? "?" : "", query) <
        0) {
        whole = NULL;
    }
    return remote_get(remote, whole, ret_document);
}

static void print_document(const json_t *row)
{
    CLI_CLEANUP(string_freep) char *text =
        json_dumps(json_object_get(row, "document"),
                   JSON_INDENT(2) | JSON_REAL_PRECISION(12));

    printf("%s/%s since revision %lld, %s%s%s\n%s\n", text_at(row, "kind"),
           text_at(row, "name"), (long long)number_at(row, "revision"),
           text_at(row, "at"), *text_at(row, "by") != '\0' ? " by " : "",
           text_at(row, "by"), text != NULL ? text : "");
}

int command_get(const struct arguments *arguments)
{
    CLI_CLEANUP(remote_freep) struct remote *remote = NULL;
    CLI_CLEANUP(json_freep) json_t *row = NULL;
    const char *kind = NULL;
    char query[40];
    int status = revision_query(arguments, query);

    if (status == 0 && arguments->operand_count > 0) {
        kind = kind_of(arguments->operands[0]);
        status = kind != NULL ? 0 : CLI_EXIT_USAGE;
    }
    status = status != 0 ? status : remote_open(&remote, arguments);
    if (status != 0) {
        return status;
    }
    if (arguments->operand_count < 2) {
        return get_all(remote, arguments, kind, query);
    }
    status = ask_one(remote, kind, arguments->operands[1], query, &row);
    if (status != 0) {
        return status;
    }
    if (arguments_json(arguments)) {
        return json_print(json_incref(row), JSON_INDENT(2));
    }
    print_document(row);
    return CLI_EXIT_OK;
}

/* ---- history --------------------------------------------------------------------- */

static void print_states(const json_t *versions)
{
    CLI_CLEANUP(table_freep) struct table *table = table_new(7);
    const char *const heads[] = { "REVISION", "SINCE", "STATE", "SHARE",
                                  "ATTEMPT", "BY", "REASON" };
    char share[32];
    const json_t *row;
    size_t i;

    for (i = 0; i < 7; i++) {
        table_cell(table, "%s", heads[i]);
    }
    table_right(table, 0);
    table_right(table, 3);
    json_array_foreach(versions, i, row) {
        table_cell(table, "%lld", (long long)number_at(row, "revision"));
        table_cell(table, "%s", text_at(row, "since"));
        table_cell(table, "%s%s", text_at(row, "state"),
                   json_is_true(json_object_get(row, "killed")) ? ", killed"
                                                                : "");
        table_cell(table, "%s",
                   percent_text(json_object_get(row, "percent"), share));
        table_cell(table, "%lld", (long long)number_at(row, "attempt"));
        table_cell(table, "%s", text_at(row, "by"));
        table_cell(table, "%s", text_at(row, "reason"));
    }
    table_print(table, stdout);
}

static void print_versions(const json_t *versions)
{
    CLI_CLEANUP(table_freep) struct table *table = table_new(4);
    const char *const heads[] = { "REVISION", "UNTIL", "AT", "BY" };
    const json_t *row;
    size_t i;

    for (i = 0; i < 4; i++) {
        table_cell(table, "%s", heads[i]);
    }
    table_right(table, 0);
    table_right(table, 1);
    json_array_foreach(versions, i, row) {
        table_cell(table, "%lld", (long long)number_at(row, "revision"));
        if (json_object_get(row, "until") != NULL) {
            table_cell(table, "%lld", (long long)number_at(row, "until"));
        } else {
            table_cell(table, "stands");
        }
        table_cell(table, "%s", text_at(row, "at"));
        table_cell(table, "%s", text_at(row, "by"));
    }
    table_print(table, stdout);
}

/* Of a document, or (kind NULL) of where a release stood. */
static int ask_history(struct remote *remote, const char *kind,
                       const char *name, size_t most, json_t **ret_versions)
{
    CLI_CLEANUP(string_freep) char *path =
        kind != NULL ? remote_path("/v1/documents/%s/%s/history", kind, name)
                     : remote_path("/v1/releases/%s/history", name);

    return remote_pages(remote, path, "versions", "before", most,
                        ret_versions);
}

int command_history(const struct arguments *arguments)
{
    CLI_CLEANUP(remote_freep) struct remote *remote = NULL;
    CLI_CLEANUP(json_freep) json_t *versions = NULL;
    bool states = strcmp(arguments->operands[0], "release") == 0;
    const char *kind = states ? NULL : kind_of(arguments->operands[0]);
    double count = HISTORY_COUNT;
    int status = arguments_number(arguments, CLI_COUNT, 0, 1e6, &count);

    if (status != 0 || (!states && kind == NULL)) {
        return CLI_EXIT_USAGE;
    }
    status = remote_open(&remote, arguments);
    status = status != 0 ? status
                         : ask_history(remote, kind, arguments->operands[1],
                                       (size_t)count, &versions);
    if (status != 0) {
        return status;
    }
    if (arguments_json(arguments)) {
        return json_print(json_pack("{s:O}", "versions", versions),
                          JSON_INDENT(2));
    }
    if (states) {
        print_states(versions);
    } else {
        print_versions(versions);
    }
    return CLI_EXIT_OK;
}

/* ---- describe ---------------------------------------------------------------------- */

static void print_release(const json_t *release)
{
    CLI_CLEANUP(json_freep) json_t *rows = json_pack("[O]", release);
    CLI_CLEANUP(string_freep) char *moved = NULL;
    const json_t *verb;
    size_t i;

    releases_say(rows);
    printf("may:");
    json_array_foreach(json_object_get(release, "may"), i, verb) {
        printf(" %s", json_string_value(verb));
    }
    printf("\n");
    if (*text_at(release, "by") != '\0' &&
        asprintf(&moved, "last moved by %s%s%s", text_at(release, "by"),
                 *text_at(release, "reason") != '\0' ? ": " : "",
                 text_at(release, "reason")) >= 0) {
        printf("%s\n", text_clean(moved));
    }
}

static int describe(struct remote *remote, const struct arguments *arguments,
                    const char *kind, json_t *whole)
{
    const char *name = arguments->operands[1];
    bool release = strcmp(kind, "Release") == 0;
    CLI_CLEANUP(string_freep) char *path =
        remote_path("/v1/releases/%s", name);
    json_t *part = NULL;
    int status = ask_one(remote, kind, name, "", &part);

    if (status != 0) {
        return status;
    }
    json_object_set_new(whole, "document", part);
    status = release ? remote_get(remote, path, &part) : 0;
    if (status == 0 && release) {
        json_object_set_new(whole, "release", part);
    }
    status = status != 0 ? status
                         : ask_history(remote, kind, name, DESCRIBE_HISTORY,
                                       &part);
    if (status == 0) {
        json_object_set_new(whole, "versions", part);
    }
    return status;
}

int command_describe(const struct arguments *arguments)
{
    CLI_CLEANUP(remote_freep) struct remote *remote = NULL;
    CLI_CLEANUP(json_freep) json_t *whole = json_object();
    const char *kind = kind_of(arguments->operands[0]);
    int status = kind != NULL ? remote_open(&remote, arguments)
                              : CLI_EXIT_USAGE;

    status = status != 0 ? status
                         : describe(remote, arguments, kind, whole);
    if (status != 0) {
        return status;
    }
    if (arguments_json(arguments)) {
        return json_print(json_incref(whole), JSON_INDENT(2));
    }
    /* Where it stands comes first: that is what is asked at night. */
    if (json_object_get(whole, "release") != NULL) {
        print_release(json_object_get(whole, "release"));
        printf("\n");
    }
    print_document(json_object_get(whole, "document"));
    printf("\n");
    print_versions(json_object_get(whole, "versions"));
    return CLI_EXIT_OK;
}

/* ---- delete ------------------------------------------------------------------------- */

int command_delete(const struct arguments *arguments)
{
    CLI_CLEANUP(remote_freep) struct remote *remote = NULL;
    CLI_CLEANUP(string_freep) char *path = NULL;
    CLI_CLEANUP(json_freep) json_t *changed = NULL;
    const char *kind = kind_of(arguments->operands[0]);
    const char *reason = arguments_get(arguments, CLI_REASON);
    int status = kind != NULL ? remote_open(&remote, arguments)
                              : CLI_EXIT_USAGE;

    if (status != 0) {
        return status;
    }
    path = reason != NULL
               ? remote_path("/v1/documents/%s/%s?reason=%s", kind,
                             arguments->operands[1], reason)
               : remote_path("/v1/documents/%s/%s", kind,
                             arguments->operands[1]);
    status = remote_change(remote, arguments, "DELETE", path, NULL, &changed);
    if (status != 0) {
        return status;
    }
    if (arguments_json(arguments)) {
        return json_print(json_incref(changed), JSON_INDENT(2));
    }
    changed_say(changed);
    return CLI_EXIT_OK;
}
