/* SPDX-License-Identifier: Apache-2.0
 * contexts.c - `gray context`: several grayds, by name.
 *
 * Why: test and production differ by one word on the command line, not by a
 * pasted URL and token.  The file may hold tokens, so one that others may read
 * is refused, not repaired: who read it has them.
 * Read next: server.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/remote.h"

/* $GRAY_CONFIG, else ~/.config/gray/contexts.json; "" without a home. */
static const char *contexts_path(char buffer[4096])
{
    const char *said = getenv("GRAY_CONFIG");
    const char *home = getenv("HOME");

    buffer[0] = '\0';
    if (said != NULL && *said != '\0') {
        snprintf(buffer, 4096, "%s", said);
    } else if (home != NULL && *home == '/') {
        snprintf(buffer, 4096, "%s/.config/gray/contexts.json", home);
    }
    return buffer;
}

/* ---- the file --------------------------------------------------------------------- */

/* NULL with *ret_status: 0 when there is no file. */
static char *read_file(const char *path, int *ret_status)
{
    CLI_CLEANUP(file_closep) FILE *file = NULL;
    struct stat facts;
    char *text;
    size_t got;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0) {
        *ret_status = errno == ENOENT ? 0 : CLI_EXIT_SYSTEM;
        if (errno != ENOENT) {
            complain("%s: %s", path, strerror(errno));
        }
        return NULL;
    }
    *ret_status = CLI_EXIT_USAGE;
    file = fdopen(fd, "r");
    if (file == NULL || fstat(fd, &facts) != 0 || !S_ISREG(facts.st_mode) ||
        facts.st_size > (off_t)CONTEXT_FILE_MAX) {
        complain("%s: not a file of at most %u bytes", path, CONTEXT_FILE_MAX);
        return NULL;
    }
    if ((facts.st_mode & 077) != 0 ||
        (facts.st_uid != geteuid() && facts.st_uid != 0)) {
        complain("%s: mode %04o of uid %u: others may read or change it; "
                 "chmod 0600 %s, and make new tokens if they did", path,
                 facts.st_mode & 07777, (unsigned)facts.st_uid, path);
        return NULL;
    }
    text = malloc(CONTEXT_FILE_MAX + 1);
    got = text != NULL ? fread(text, 1, CONTEXT_FILE_MAX, file) : 0;
    if (text != NULL) {
        text[got] = '\0';
    }
    return text;
}

static bool are_contexts(const json_t *contexts)
{
    const json_t *list = json_object_get(contexts, "contexts"), *context;
    size_t i;

    if (!json_is_array(list) || json_array_size(list) > CONTEXTS_MAX) {
        return false;
    }
    json_array_foreach(list, i, context) {
        if (!json_is_string(json_object_get(context, "name")) ||
            !json_is_string(json_object_get(context, "server"))) {
            return false;
        }
    }
    return true;
}

int contexts_read(json_t **ret_contexts)
{
    CLI_CLEANUP(string_freep) char *text = NULL;
    char path[4096];
    json_error_t error;
    json_t *contexts = NULL;
    int status = 0;

    if (*contexts_path(path) != '\0') {
        text = read_file(path, &status);
    }
    if (text == NULL && status == 0) {
        *ret_contexts = json_pack("{s:[]}", "contexts");
        return 0;
    }
    if (text == NULL) {
        return status;
    }
    contexts = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    if (contexts == NULL || !are_contexts(contexts)) {
        complain("%s:%d: %s", path, contexts == NULL ? error.line : 1,
                 contexts == NULL ? error.text
                                  : "{\"current\": NAME, \"contexts\": "
                                    "[{\"name\", \"server\", ...}]} is wanted");
        json_decref(contexts);
        return CLI_EXIT_USAGE;
    }
    *ret_contexts = contexts;
    return 0;
}

static void make_folders(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash != NULL;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
}

int contexts_write(const json_t *contexts)
{
    char path[4096], aside[4200];
    int fd, failed;

    if (*contexts_path(path) == '\0') {
        complain("no $HOME and no $GRAY_CONFIG to write contexts to");
        return CLI_EXIT_SYSTEM;
    }
    make_folders(path);
    snprintf(aside, sizeof(aside), "%s.XXXXXX", path);
    fd = mkstemp(aside); /* mode 0600 */
    failed = fd < 0 || json_dumpfd(contexts, fd, JSON_INDENT(2)) != 0 ||
             write(fd, "\n", 1) != 1 || fsync(fd) != 0;
    if (fd >= 0) {
        close(fd);
    }
    if (failed || rename(aside, path) != 0) {
        complain("%s: %s", path, strerror(errno));
        if (fd >= 0) {
            unlink(aside);
        }
        return CLI_EXIT_SYSTEM;
    }
    return 0;
}

json_t *context_find(const json_t *contexts, const char *name)
{
    json_t *context;
    size_t i;

    json_array_foreach(json_object_get(contexts, "contexts"), i, context) {
        if (strcmp(text_at(context, "name"), name) == 0) {
            return context;
        }
    }
    return NULL;
}

int context_unknown(const json_t *contexts, const char *name)
{
    const char *names[CONTEXTS_MAX];
    json_t *context;
    size_t i, count = 0;

    json_array_foreach(json_object_get(contexts, "contexts"), i, context) {
        names[count++] = text_at(context, "name");
    }
    complain("no such context: %s", name);
    words_suggest(name, names, count);
    return CLI_EXIT_NOT_FOUND;
}

/* ---- the commands -------------------------------------------------------------------- */

/* A token is said to be there, and never shown. */
static json_t *shown(const json_t *contexts)
{
    json_t *rows = json_array(), *context;
    const char *current = text_at(contexts, "current");
    size_t i;

    json_array_foreach(json_object_get(contexts, "contexts"), i, context) {
        const char *name = text_at(context, "name");

        json_array_append_new(
            rows,
            json_pack("{s:s,s:s,s:b,s:s,s:s}", "name", name, "server",
                      text_at(context, "server"), "current",
                      strcmp(name, current) == 0, "token",
                      json_object_get(context, "token") != NULL ? "kept here"
                                            : text_at(context, "tokenFile"),
                      "ca", text_at(context, "ca")));
    }
    return rows;
}

int command_context_list(const struct arguments *arguments)
{
    CLI_CLEANUP(json_freep) json_t *contexts = NULL;
    CLI_CLEANUP(json_freep) json_t *rows = NULL;
    CLI_CLEANUP(table_freep) struct table *table = table_new(4);
    const char *said = getenv("GRAY_SERVER");
    json_t *row;
    size_t i;
    int status = contexts_read(&contexts);

    if (status != 0) {
        return status;
    }
    rows = shown(contexts);
    if (arguments_json(arguments)) {
        return json_print(json_pack("{s:O}", "contexts", rows),
                          JSON_INDENT(2));
    }
    table_cell(table, "CONTEXT");
    table_cell(table, "CURRENT");
    table_cell(table, "SERVER");
    table_cell(table, "TOKEN");
    json_array_foreach(rows, i, row) {
        table_cell(table, "%s", text_at(row, "name"));
        table_cell(table, json_is_true(json_object_get(row, "current"))
                              ? "yes" : "");
        table_cell(table, "%s", text_at(row, "server"));
        table_cell(table, "%s", text_at(row, "token"));
    }
    if (json_array_size(rows) == 0) {
        printf("no context; gray context add NAME --server URL\n");
    } else {
        table_print(table, stdout);
        if (said != NULL && *said != '\0') {
            printf("$GRAY_SERVER is %s: commands go there without --context\n",
                   said);
        }
    }
    return CLI_EXIT_OK;
}

/* What was done, in the form that was asked for. */
static int say(const struct arguments *arguments, const json_t *contexts,
               const char *sentence)
{
    if (arguments_json(arguments)) {
        return json_print(json_pack("{s:o}", "contexts", shown(contexts)),
                          JSON_INDENT(2));
    }
    printf("%s: %s\n", arguments->operands[0], sentence);
    return CLI_EXIT_OK;
}

int command_context_use(const struct arguments *arguments)
{
    CLI_CLEANUP(json_freep) json_t *contexts = NULL;
    const char *name = arguments->operands[0];
    int status = contexts_read(&contexts);

    if (status != 0) {
        return status;
    }
    if (context_find(contexts, name) == NULL) {
        return context_unknown(contexts, name);
    }
    json_object_set_new(contexts, "current", json_string(name));
    status = contexts_write(contexts);
    return status != 0 ? status
                       : say(arguments, contexts, "commands go there from now "
                                                  "on");
}

/* The context of the options; NULL after complaining. */
static json_t *context_of(const struct arguments *arguments)
{
    const char *place = arguments_get(arguments, CLI_SERVER);
    const char *file = arguments_get(arguments, CLI_TOKEN_FILE);
    const char *ca = arguments_get(arguments, CLI_CA);
    CLI_CLEANUP(server_free) struct server server = { 0 };
    CLI_CLEANUP(string_freep) char *token = NULL;
    CLI_CLEANUP(string_freep) char *whole = NULL;
    json_t *context;

    if (place == NULL) {
        complain("context add needs --server URL|unix:PATH");
        return NULL;
    }
    if (server_parse(&server, place) != 0) {
        return NULL;
    }
    token = file != NULL ? secret_read(file) : NULL;
    if (file != NULL && token == NULL) {
        return NULL;
    }
    context = json_pack("{s:s,s:s}", "name", arguments->operands[0], "server",
                        place);
    if (file != NULL && strcmp(file, "-") == 0) {
        json_object_set_new(context, "token", json_string(token));
    } else if (file != NULL) {
        whole = realpath(file, NULL);
        json_object_set_new(context, "tokenFile",
                            json_string(whole != NULL ? whole : file));
    }
    if (ca != NULL) {
        free(whole);
        whole = realpath(ca, NULL);
        json_object_set_new(context, "ca",
                            json_string(whole != NULL ? whole : ca));
    }
    return context;
}

int command_context_add(const struct arguments *arguments)
{
    CLI_CLEANUP(json_freep) json_t *contexts = NULL;
    const char *name = arguments->operands[0];
    json_t *context, *list;
    int status = contexts_read(&contexts);

    if (status != 0) {
        return status;
    }
    list = json_object_get(contexts, "contexts");
    if (context_find(contexts, name) != NULL) {
        complain("there is a context %s already; gray context remove %s", name,
                 name);
        return CLI_EXIT_REFUSED;
    }
    if (json_array_size(list) >= CONTEXTS_MAX) {
        complain("more than %u contexts", CONTEXTS_MAX);
        return CLI_EXIT_USAGE;
    }
    context = context_of(arguments);
    if (context == NULL) {
        return CLI_EXIT_USAGE;
    }
    json_array_append_new(list, context);
    /* Nothing is sent elsewhere, and nobody becomes somebody else, by adding
     * a name: on the host itself root goes on as root. */
    status = contexts_write(contexts);
    return status != 0 ? status
                       : say(arguments, contexts, "added; --context says it, "
                                                  "gray context use makes it "
                                                  "the one commands go to");
}

int command_context_remove(const struct arguments *arguments)
{
    CLI_CLEANUP(json_freep) json_t *contexts = NULL;
    const char *name = arguments->operands[0];
    json_t *list, *context;
    size_t i;
    int status = contexts_read(&contexts);

    if (status != 0) {
        return status;
    }
    if (context_find(contexts, name) == NULL) {
        return context_unknown(contexts, name);
    }
    list = json_object_get(contexts, "contexts");
    json_array_foreach(list, i, context) {
        if (strcmp(text_at(context, "name"), name) == 0) {
            json_array_remove(list, i);
            break;
        }
    }
    if (strcmp(text_at(contexts, "current"), name) == 0) {
        json_object_del(contexts, "current");
    }
    status = contexts_write(contexts);
    return status != 0 ? status : say(arguments, contexts, "removed");
}
