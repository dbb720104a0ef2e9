/* SPDX-License-Identifier: Apache-2.0
 * lists.c - `gray list`, `gray lane` and `gray scheduled`: small changes.
 *
 * Why: a tester is added, an environment is switched off, a change that waits
 * is taken back, without anybody editing documents at night.  Ids of a file go
 * up in parts, each a change of its own, because one body has a limit.
 * Read next: apply.c, control/change/documents.c.
 */
#include <string.h>

#include "cli/remote.h"

#define PART_IDS 50000u /* of one call: grayd counts the values of a body */

static int say(const struct arguments *arguments, const json_t *changed)
{
    if (arguments_json(arguments)) {
        return json_print(json_incref((json_t *)(uintptr_t)changed),
                          JSON_INDENT(2));
    }
    changed_say(changed);
    return CLI_EXIT_OK;
}

/* ---- ids ------------------------------------------------------------------------- */

static int add_id(json_t *ids, const char *text, size_t length,
                  const char *place)
{
    json_t *id = length > 0 && length <= CLI_ID_MAX
                     ? json_stringn(text, length)
                     : NULL;

    if (id == NULL) {
        complain("%s: an id is 1 to %u bytes of UTF-8", place, CLI_ID_MAX);
        return CLI_EXIT_USAGE;
    }
    json_array_append_new(ids, id);
    return 0;
}

static int read_ids(const struct arguments *arguments, json_t *ids)
{
    const char *path = arguments_get(arguments, CLI_IDS);
    CLI_CLEANUP(file_closep) FILE *file = NULL;
    CLI_CLEANUP(line_free) struct line line = { 0 };
    int status = 0, got = 0;

    for (size_t i = 1; i < arguments->operand_count && status == 0; i++) {
        status = add_id(ids, arguments->operands[i],
                        strlen(arguments->operands[i]),
                        arguments->operands[i]);
    }
    if (path == NULL || status != 0) {
        return status;
    }
    file = port_open(path);
    if (file == NULL) {
        return CLI_EXIT_SYSTEM;
    }
    while (status == 0 &&
           (got = port_line(file, path, CLI_ID_MAX, &line)) > 0) {
        if (json_array_size(ids) >= CLI_IDS_MAX) {
            complain("more than %u ids at once", CLI_IDS_MAX);
            return CLI_EXIT_USAGE;
        }
        status = line.length == 0
                     ? 0
                     : add_id(ids, line.text, line.length, path);
    }
    return got < 0 ? CLI_EXIT_SYSTEM : status;
}

static int change_part(struct remote *remote,
                       const struct arguments *arguments, const json_t *ids,
                       size_t first, json_t **ret_changed)
{
    CLI_CLEANUP(json_freep) json_t *body = json_object();
    CLI_CLEANUP(string_freep) char *path =
        remote_path("/v1/lists/%s/ids", arguments->operands[0]);
    json_t *part = json_array();
    uint64_t drop = 0;
    bool drops = false;

    for (size_t i = first;
         i < json_array_size(ids) && i < first + PART_IDS; i++) {
        json_array_append(part, json_array_get(ids, i));
    }
    json_object_set_new(
        body,
        strcmp(arguments->command->words, "list add") == 0 ? "add" : "remove",
        part);
    allow_drop(arguments, &drops, &drop); /* was looked at before */
    if (drops) {
        json_object_set_new(body, "allowDrop",
                            json_integer((json_int_t)drop));
    }
    remote_reason(body, arguments);
    return remote_change(remote, arguments, "POST", path, body, ret_changed);
}

int command_list_ids(const struct arguments *arguments)
{
    CLI_CLEANUP(remote_freep) struct remote *remote = NULL;
    CLI_CLEANUP(json_freep) json_t *ids = json_array();
    CLI_CLEANUP(json_freep) json_t *changed = NULL;
    uint64_t drop;
    bool drops;
    int status = allow_drop(arguments, &drops, &drop);

    status = status != 0 ? status : read_ids(arguments, ids);
    if (status == 0 && json_array_size(ids) == 0) {
        complain("%s needs ids, or --ids FILE", arguments->command->words);
        status = CLI_EXIT_USAGE;
    }
    if (status == 0 && json_array_size(ids) > PART_IDS &&
        (drops || arguments_has(arguments, CLI_KEY))) {
        complain("%s is for one call; more than %u ids are several",
                 drops ? "--allow-drop" : "--key", PART_IDS);
        status = CLI_EXIT_USAGE;
    }
    status = status != 0 ? status : remote_open(&remote, arguments);
    for (size_t at = 0; status == 0 && at < json_array_size(ids);
         at += PART_IDS) {
        json_decref(changed);
        changed = NULL;
        status = change_part(remote, arguments, ids, at, &changed);
        if (status != 0 && at > 0) {
            complain("the first %zu ids are done, the others are not", at);
        }
    }
    return status != 0 ? status : say(arguments, changed);
}

/* ---- lanes ------------------------------------------------------------------------- */

int command_lane(const struct arguments *arguments)
{
    CLI_CLEANUP(remote_freep) struct remote *remote = NULL;
    CLI_CLEANUP(json_freep) json_t *body = json_object();
    CLI_CLEANUP(json_freep) json_t *changed = NULL;
    CLI_CLEANUP(string_freep) char *path =
        remote_path("/v1/lanes/%s/%s", arguments->operands[0],
                    strchr(arguments->command->words, ' ') + 1);
    int status = remote_open(&remote, arguments);

    remote_reason(body, arguments);
    status = status != 0 ? status
                         : remote_change(remote, arguments, "POST", path, body,
                                         &changed);
    return status != 0 ? status : say(arguments, changed);
}

/* ---- what waits for its moment -------------------------------------------------------- */

int command_scheduled_list(const struct arguments *arguments)
{
    CLI_CLEANUP(remote_freep) struct remote *remote = NULL;
    CLI_CLEANUP(json_freep) json_t *body = NULL;
    CLI_CLEANUP(table_freep) struct table *table = table_new(5);
    const char *const heads[] = { "ID", "AT", "BY", "CHANGES", "REASON" };
    const json_t *row;
    size_t i;
    int status = remote_open(&remote, arguments);

    status = status != 0 ? status
                         : remote_get(remote, "/v1/scheduled", &body);
    if (status != 0) {
        return status;
    }
    if (arguments_json(arguments)) {
        return json_print(json_incref(body), JSON_INDENT(2));
    }
    for (i = 0; i < 5; i++) {
        table_cell(table, "%s", heads[i]);
    }
    json_array_foreach(json_object_get(body, "scheduled"), i, row) {
        table_cell(table, "%s", text_at(row, "id"));
        table_cell(table, "%s", text_at(row, "at"));
        table_cell(table, "%s", text_at(row, "by"));
        table_cell(table, "%zu",
                   json_array_size(json_object_get(row, "changes")));
        table_cell(table, "%s", text_at(row, "reason"));
    }
    table_print(table, stdout);
    return CLI_EXIT_OK;
}

int command_scheduled_cancel(const struct arguments *arguments)
{
    CLI_CLEANUP(remote_freep) struct remote *remote = NULL;
    CLI_CLEANUP(json_freep) json_t *changed = NULL;
    const char *reason = arguments_get(arguments, CLI_REASON);
    CLI_CLEANUP(string_freep) char *path =
        reason != NULL ? remote_path("/v1/scheduled/%s?reason=%s",
                                     arguments->operands[0], reason)
                       : remote_path("/v1/scheduled/%s",
                                     arguments->operands[0]);
    int status = remote_open(&remote, arguments);

    status = status != 0 ? status
                         : remote_change(remote, arguments, "DELETE", path,
                                         NULL, &changed);
    return status != 0 ? status : say(arguments, changed);
}
