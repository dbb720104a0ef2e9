/* SPDX-License-Identifier: Apache-2.0
 * tokens.c - `gray token` and `gray whoami`: who may do what.
 *
 * Why: each person and each program has an identity of its own, with a role, a
 * scope and an end; its secret is shown once, to whoever made it, and is
 * written where only the owner reads it when a file is named.
 * Read next: control/identity/identity.h, server.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/remote.h"

#define TTL_DEFAULT "90d"

/* "90s", "15m", "2h", "7d" in seconds; -1: none of them. */
static json_int_t span_seconds(const char *text)
{
    static const struct {
        char letter;
        long long seconds;
    } units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 } };
    char *end;
    long long number = strtoll(text, &end, 10);

    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (end != text && number > 0 && number < 1000000000 &&
            end[0] == units[i].letter && end[1] == '\0') {
            return number * units[i].seconds;
        }
    }
    return -1;
}

static json_t *scopes_of(const struct arguments *arguments)
{
    json_t *scopes = json_array();
    const char *scope;
    size_t at = 0;

    while ((scope = arguments_next(arguments, CLI_SCOPE, &at)) != NULL) {
        json_array_append_new(scopes, json_string(scope));
    }
    if (json_array_size(scopes) == 0) {
        json_array_append_new(scopes, json_string(""));
    }
    return scopes;
}

/* Into a new file of its own; an old one is never written over. */
static int write_secret(const char *path, const char *secret)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool good = fd >= 0 && dprintf(fd, "%s\n", secret) > 0 && fsync(fd) == 0;

    if (fd >= 0 && close(fd) != 0) {
        good = false;
    }
    if (!good) {
        complain("%s: %s", path, strerror(errno));
    }
    return good ? 0 : CLI_EXIT_SYSTEM;
}

/* A file that cannot be made is found before a token is. */
static int check_place(const char *path)
{
    CLI_CLEANUP(string_freep) char *folder =
        path != NULL ? strdup(path) : NULL;

    if (path != NULL && access(path, F_OK) == 0) {
        complain("%s is there already", path);
        return CLI_EXIT_REFUSED;
    }
    if (folder != NULL && access(dirname(folder), W_OK | X_OK) != 0) {
        complain("%s: %s; no token was made", path, strerror(errno));
        return CLI_EXIT_SYSTEM;
    }
    return 0;
}

static int say_made(const struct arguments *arguments, json_t *made)
{
    const char *path = arguments_get(arguments, CLI_INTO);
    const char *secret = text_at(made, "token");
    const json_t *identity = json_object_get(made, "identity");
    int status = 0;

    if (path != NULL && *secret != '\0') {
        status = write_secret(path, secret);
        if (status == 0) {
            json_object_set_new(made, "token", json_string(""));
            json_object_set_new(made, "file", json_string(path));
        }
    }
    if (arguments_json(arguments)) {
        json_print(json_incref(made), JSON_INDENT(2));
        return status;
    }
    printf("%s %s (%s) until %s\n", text_at(identity, "name"),
           text_at(identity, "id"), text_at(identity, "role"),
           text_at(identity, "expires"));
    if (path != NULL && status == 0) {
        printf("its secret is in %s\n", path);
    } else if (*text_at(made, "token") != '\0') {
        printf("%s\nthis is shown once\n", text_at(made, "token"));
    } else {
        printf("nothing was made (--dry-run)\n");
    }
    printf("  undo: gray token revoke %s\n", text_at(identity, "id"));
    return status;
}

int command_token_create(const struct arguments *arguments)
{
    CLI_CLEANUP(remote_freep) struct remote *remote = NULL;
    CLI_CLEANUP(json_freep) json_t *body = NULL;
    CLI_CLEANUP(json_freep) json_t *made = NULL;
    const char *role = arguments_get(arguments, CLI_ROLE);
    const char *ttl = arguments_get(arguments, CLI_TTL);
    json_int_t seconds = span_seconds(ttl != NULL ? ttl : TTL_DEFAULT);
    int status = check_place(arguments_get(arguments, CLI_INTO));

    if (status == 0 && role == NULL) {
        complain("token create needs --role "
                 "viewer|operator|approver|admin|agent");
        status = CLI_EXIT_USAGE;
    }
    if (status == 0 && seconds < 0) {
        complain("--ttl: 90s, 15m, 2h or 7d are wanted, not: %s", ttl);
        status = CLI_EXIT_USAGE;
    }
    status = status != 0 ? status : remote_open(&remote, arguments);
    if (status != 0) {
        return status;
    }
    body = json_pack("{s:s,s:s,s:o,s:I}", "name", arguments->operands[0],
                     "role", role, "scopes", scopes_of(arguments),
                     "ttlSeconds", seconds);
    remote_reason(body, arguments);
    /* No key: an answer that is a secret is not kept. */
    status = remote_ask(
        remote,
        &(struct remote_call) {
            .method = "POST",
            .path = arguments_has(arguments, CLI_DRY_RUN)
                        ? "/v1/tokens?dryRun=true"
                        : "/v1/tokens",
            .body = body },
        &made);
    return status != 0 ? status : say_made(arguments, made);
}

/* As `gray whoami` says them: "cart* pay*", "*" for every name; an agent's is
 * one host. */
static char *scopes_text(const json_t *scopes, bool agent)
{
    char *text = strdup("");
    const json_t *scope;
    size_t i;

    json_array_foreach(scopes, i, scope) {
        char *longer = NULL;

        if (asprintf(&longer, "%s%s%s%s", text != NULL ? text : "",
                     i > 0 ? " " : "", json_string_value(scope),
                     agent ? "" : "*") < 0) {
            longer = NULL;
        }
        free(text);
        text = longer;
    }
    return text;
}

int command_token_list(const struct arguments *arguments)
{
    CLI_CLEANUP(remote_freep) struct remote *remote = NULL;
    CLI_CLEANUP(json_freep) json_t *tokens = NULL;
    CLI_CLEANUP(table_freep) struct table *table = table_new(6);
    const char *const heads[] = { "ID", "NAME", "ROLE", "SCOPES", "EXPIRES",
                                  "MADE BY" };
    const json_t *row;
    size_t i;
    int status = remote_open(&remote, arguments);

    status = status != 0 ? status
                         : remote_pages(remote, "/v1/tokens", "tokens",
                                        "after", 0, &tokens);
    if (status != 0) {
        return status;
    }
    if (arguments_json(arguments)) {
        return json_print(json_pack("{s:O}", "tokens", tokens),
                          JSON_INDENT(2));
    }
    for (i = 0; i < 6; i++) {
        table_cell(table, "%s", heads[i]);
    }
    json_array_foreach(tokens, i, row) {
        CLI_CLEANUP(string_freep) char *scopes =
            scopes_text(json_object_get(row, "scopes"),
                        strcmp(text_at(row, "role"), "agent") == 0);

        table_cell(table, "%s", text_at(row, "id"));
        table_cell(table, "%s", text_at(row, "name"));
        table_cell(table, "%s", text_at(row, "role"));
        table_cell(table, "%s", scopes != NULL ? scopes : "");
        table_cell(table, "%s%s", text_at(row, "expires"),
                   json_is_true(json_object_get(row, "expired")) ? " (over)"
                                                                 : "");
        table_cell(table, "%s", text_at(row, "createdBy"));
    }
    table_print(table, stdout);
    return CLI_EXIT_OK;
}

int command_token_revoke(const struct arguments *arguments)
{
    CLI_CLEANUP(remote_freep) struct remote *remote = NULL;
    CLI_CLEANUP(json_freep) json_t *changed = NULL;
    const char *reason = arguments_get(arguments, CLI_REASON);
    const char *id = arguments->operands[0];
    CLI_CLEANUP(string_freep) char *path =
        reason != NULL ? remote_path("/v1/tokens/%s?reason=%s", id, reason)
                       : remote_path("/v1/tokens/%s", id);
    int status = remote_open(&remote, arguments);

    status = status != 0 ? status
                         : remote_change(remote, arguments, "DELETE", path,
                                         NULL, &changed);
    if (status != 0) {
        return status;
    }
    if (arguments_json(arguments)) {
        return json_print(json_incref(changed), JSON_INDENT(2));
    }
    printf("%s %s\n", id,
           arguments_has(arguments, CLI_DRY_RUN)
               ? "would end (--dry-run)"
               : "has ended; whoever uses it is turned away from now on");
    return CLI_EXIT_OK;
}

int command_whoami(const struct arguments *arguments)
{
    CLI_CLEANUP(remote_freep) struct remote *remote = NULL;
    CLI_CLEANUP(json_freep) json_t *me = NULL;
    const json_t *item;
    size_t i;
    int status = remote_open(&remote, arguments);

    status = status != 0 ? status : remote_get(remote, "/v1/whoami", &me);
    if (status != 0) {
        return status;
    }
    if (arguments_json(arguments)) {
        return json_print(json_incref(me), JSON_INDENT(2));
    }
    printf("%s at %s, %s by %s\nmay:", text_at(me, "name"),
           remote_place(remote), text_at(me, "role"), text_at(me, "via"));
    json_array_foreach(json_object_get(me, "rights"), i, item) {
        printf(" %s", json_string_value(item));
    }
    printf("\nnames:");
    json_array_foreach(json_object_get(me, "scopes"), i, item) {
        printf(" %s*", json_string_value(item));
    }
    printf("\n");
    return CLI_EXIT_OK;
}
