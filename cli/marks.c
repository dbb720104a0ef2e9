/* SPDX-License-Identifier: Apache-2.0
 * marks.c - gray marks get, list, export, repair: what units were told.
 *
 * Why: support asks about one unit, an auditor about all of them, and somebody
 * puts one right at night.  With grayd dead the table in memory still knows
 * what a unit is told now, and the host says that much.
 * Read next: marks_import.c, control/read/marks.c, runtime/mark_look.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/remote.h"
#include "runtime/mark_look.h"

#define LIST_COUNT 100u
#define SILENCE_SECONDS 60u

static int space_of(const struct arguments *arguments, double *ret_space)
{
    return arguments_number(arguments, CLI_SPACE, 0, GRAY_STAGES_MAX - 1,
                            ret_space);
}

/* ---- get --------------------------------------------------------------------------- */

static void print_history(const json_t *history)
{
    CLI_CLEANUP(table_freep) struct table *table = table_new(8);
    const char *const heads[] = { "AT", "KIND", "STATE", "VARIANT", "ATTEMPT",
                                  "READER", "BY", "REASON" };
    const json_t *row;
    size_t i;

    if (json_array_size(history) == 0) {
        return;
    }
    for (i = 0; i < 8; i++) {
        table_cell(table, "%s", heads[i]);
    }
    json_array_foreach(history, i, row) {
        table_cell(table, "%s", text_at(row, "at"));
        table_cell(table, "%s", text_at(row, "kind"));
        table_cell(table, "%s", text_at(row, "state"));
        table_cell(table, "%lld", (long long)number_at(row, "variant"));
        table_cell(table, "%lld", (long long)number_at(row, "attempt"));
        table_cell(table, "%s%s%s", text_at(row, "host"),
                   *text_at(row, "host") != '\0' ? " " : "",
                   text_at(row, "reader"));
        table_cell(table, "%s", text_at(row, "actor"));
        table_cell(table, "%s", text_at(row, "reason"));
    }
    table_print(table, stdout);
}

/* "h1 in, h2 out". */
static void say_told(const json_t *told)
{
    const json_t *row;
    size_t i;

    json_array_foreach(told, i, row) {
        printf("%s%s %s", i > 0 ? ", " : "", text_at(row, "host"),
               text_at(row, "state"));
        if (number_at(row, "variant") > 0) {
            printf(" (variant %lld)", (long long)number_at(row, "variant"));
        }
    }
    printf("\n");
}

static int say_mark(const struct arguments *arguments, json_t *mark)
{
    if (arguments_json(arguments)) {
        return json_print(json_incref(mark), JSON_INDENT(2));
    }
    printf("%s: %s%s", text_at(mark, "unit"), text_at(mark, "state"),
           json_is_true(json_object_get(mark, "settled")) ? ", settled" : "");
    if (strcmp(text_at(mark, "state"), "absent") != 0) {
        printf(", variant %lld, attempt %lld, minute %lld of its release%s",
               (long long)number_at(mark, "variant"),
               (long long)number_at(mark, "attempt"),
               (long long)number_at(mark, "minute"),
               json_is_true(json_object_get(mark, "durable"))
                   ? ""
                   : ", not on disk yet");
    }
    printf("\n");
    if (json_object_get(mark, "hosts") != NULL) {
        printf("on other hosts: ");
        say_told(json_object_get(mark, "hosts"));
    }
    print_history(json_object_get(mark, "history"));
    return CLI_EXIT_OK;
}

/* By the table itself. */
static int get_here(const struct arguments *arguments, uint8_t space)
{
    const char *name = arguments->operands[0], *unit = arguments->operands[1];
    struct gray_str text = { unit, (uint32_t)strlen(unit) };
    CLI_CLEANUP(json_freep) json_t *mark = NULL;
    struct gray_problem problem = { 0 };
    struct gray_mark_look look;
    enum gray_mark_found found;
    uint64_t value = 0;
    int error = gray_mark_look_open(&look, arguments_runtime(arguments),
                                    gray_hash_scope(name, strlen(name)),
                                    &problem);

    if (error != 0) {
        complain_problem(name, &problem);
        return error == -ENOENT ? CLI_EXIT_NOT_FOUND : CLI_EXIT_SYSTEM;
    }
    found = gray_mark_look_find(&look, space, text, &value);
    mark = json_pack("{s:s,s:s,s:b,s:b,s:i,s:i,s:I}", "unit", unit, "state",
                     gray_mark_word(found, value), "durable",
                     (int)((value & GRAY_SLOT_DURABLE) != 0), "settled",
                     (int)((value & GRAY_SLOT_SETTLED) != 0), "variant",
                     (int)gray_slot_variant(value), "attempt",
                     (int)gray_slot_attempt(value), "minute",
                     (json_int_t)(value >> GRAY_SLOT_MINUTE_SHIFT));
    gray_mark_look_close(&look);
    if (mark == NULL) {
        complain("the unit is no UTF-8");
        return CLI_EXIT_USAGE;
    }
    return say_mark(arguments, mark);
}

int command_marks_get(const struct arguments *arguments)
{
    CLI_CLEANUP(remote_freep) struct remote *remote = NULL;
    CLI_CLEANUP(json_freep) json_t *mark = NULL;
    CLI_CLEANUP(string_freep) char *path = NULL;
    double space = 0;
    int status = space_of(arguments, &space);

    status = status != 0 ? status : remote_or_folder(&remote, arguments, true);
    if (status != 0) {
        return status;
    }
    if (remote == NULL) {
        return get_here(arguments, (uint8_t)space);
    }
    path = remote_path("/v1/releases/%s/marks/unit?unit=%s&space=%s",
                       arguments->operands[0], arguments->operands[1],
                       space > 0 ? arguments_get(arguments, CLI_SPACE) : "0");
    status = remote_get(remote, path, &mark);
    return status != 0 ? status : say_mark(arguments, mark);
}

/* ---- list and export ---------------------------------------------------------------- */

static const char *state_wanted(const struct arguments *arguments,
                                char buffer[40])
{
    buffer[0] = '\0';
    if (arguments->operand_count > 1) {
        CLI_CLEANUP(string_freep) char *query =
            remote_path("?state=%s", arguments->operands[1]);

        snprintf(buffer, 40, "%.39s", query != NULL ? query : "");
    }
    return buffer;
}

int command_marks_list(const struct arguments *arguments)
{
    CLI_CLEANUP(remote_freep) struct remote *remote = NULL;
    CLI_CLEANUP(json_freep) json_t *rows = NULL;
    CLI_CLEANUP(string_freep) char *name =
        remote_path("/v1/releases/%s/marks", arguments->operands[0]);
    CLI_CLEANUP(string_freep) char *path = NULL;
    CLI_CLEANUP(table_freep) struct table *table = NULL;
    const char *const heads[] = { "UNIT", "STATE", "SETTLED", "VARIANT",
                                  "ATTEMPT", "AT", "HOST" };
    size_t columns = 6; /* 7 where other hosts told some */
    char state[40];
    double count = LIST_COUNT;
    const json_t *row;
    size_t i;
    int status = arguments_number(arguments, CLI_COUNT, 0, 1e9, &count);

    if (asprintf(&path, "%s%s", name, state_wanted(arguments, state)) < 0) {
        path = NULL;
    }
    status = status != 0 ? status : remote_open(&remote, arguments);
    status = status != 0 ? status
                         : remote_pages(remote, path, "marks", "after",
                                        (size_t)count, &rows);
    if (status != 0) {
        return status;
    }
    if (arguments_json(arguments)) {
        return json_print(json_pack("{s:O}", "marks", rows), JSON_INDENT(2));
    }
    json_array_foreach(rows, i, row) {
        columns = *text_at(row, "host") != '\0' ? 7 : columns;
    }
    table = table_new(columns);
    for (i = 0; i < columns; i++) {
        table_cell(table, "%s", heads[i]);
    }
    json_array_foreach(rows, i, row) {
        table_cell(table, "%s", text_at(row, "unit"));
        table_cell(table, "%s", text_at(row, "state"));
        table_cell(table, "%s",
                   json_is_true(json_object_get(row, "settled")) ? "yes"
                                                                 : "");
        table_cell(table, "%lld", (long long)number_at(row, "variant"));
        table_cell(table, "%lld", (long long)number_at(row, "attempt"));
        table_cell(table, "%s", text_at(row, "at"));
        if (columns == 7) {
            table_cell(table, "%s", text_at(row, "host"));
        }
    }
    table_print(table, stdout);
    return CLI_EXIT_OK;
}

int command_marks_conflicts(const struct arguments *arguments)
{
    CLI_CLEANUP(remote_freep) struct remote *remote = NULL;
    CLI_CLEANUP(json_freep) json_t *found = NULL;
    CLI_CLEANUP(string_freep) char *path = remote_path(
        "/v1/releases/%s/marks/conflicts", arguments->operands[0]);
    const json_t *row;
    json_int_t count;
    size_t i;
    int status = remote_open(&remote, arguments);

    status = status != 0 ? status : remote_get(remote, path, &found);
    if (status != 0) {
        return status;
    }
    count = number_at(found, "count");
    if (arguments_json(arguments)) {
        json_print(json_incref(found), JSON_INDENT(2));
        return count == 0 ? CLI_EXIT_OK : CLI_EXIT_REFUSED;
    }
    json_array_foreach(json_object_get(found, "conflicts"), i, row) {
        printf("%s: ", text_at(row, "unit"));
        say_told(json_object_get(row, "told"));
    }
    printf("%lld unit%s told differently by two hosts\n", (long long)count,
           count == 1 ? " was" : "s were");
    return count == 0 ? CLI_EXIT_OK : CLI_EXIT_REFUSED;
}

static int write_piece(void *context, const char *data, size_t length)
{
    return fwrite(data, 1, length, context) == length ? 0 : -1;
}

int command_marks_export(const struct arguments *arguments)
{
    CLI_CLEANUP(remote_freep) struct remote *remote = NULL;
    CLI_CLEANUP(string_freep) char *name =
        remote_path("/v1/releases/%s/marks/export", arguments->operands[0]);
    CLI_CLEANUP(string_freep) char *path = NULL;
    char state[40];
    int status = remote_open(&remote, arguments);

    if (asprintf(&path, "%s%s", name, state_wanted(arguments, state)) < 0) {
        path = NULL;
    }
    return status != 0
               ? status
               : remote_listen(remote,
                               &(struct remote_stream) {
                                   .path = path, .piece = write_piece,
                                   .context = stdout,
                                   .silence = SILENCE_SECONDS },
                               false);
}

/* ---- repair -------------------------------------------------------------------------- */

/* "in", or "in:2". */
static int add_state(json_t *body, const char *text)
{
    const char *colon = strchr(text, ':');
    size_t length = colon != NULL ? (size_t)(colon - text) : strlen(text);
    char *end;

    json_object_set_new(body, "state", json_stringn(text, length));
    if (colon != NULL) {
        unsigned long variant = strtoul(colon + 1, &end, 10);

        if (end == colon + 1 || *end != '\0' || variant >= GRAY_VARIANTS_MAX) {
            complain("a variant is a number: %s", text);
            return CLI_EXIT_USAGE;
        }
        json_object_set_new(body, "variant", json_integer((json_int_t)variant));
    }
    return 0;
}

int command_marks_repair(const struct arguments *arguments)
{
    CLI_CLEANUP(remote_freep) struct remote *remote = NULL;
    CLI_CLEANUP(json_freep) json_t *body = json_object();
    CLI_CLEANUP(json_freep) json_t *answer = NULL;
    CLI_CLEANUP(string_freep) char *path =
        remote_path("/v1/releases/%s/marks/repair", arguments->operands[0]);
    double space = 0;
    int status = space_of(arguments, &space);

    if (status == 0 && arguments_get(arguments, CLI_REASON) == NULL) {
        complain("marks repair needs --reason TEXT: it is kept with the mark");
        status = CLI_EXIT_USAGE;
    }
    json_object_set_new(body, "unit", json_string(arguments->operands[1]));
    json_object_set_new(body, "space", json_integer((json_int_t)space));
    status = status != 0 ? status : add_state(body, arguments->operands[2]);
    remote_reason(body, arguments);
    status = status != 0 ? status : remote_open(&remote, arguments);
    status = status != 0 ? status
                         : remote_change(remote, arguments, "POST", path, body,
                                         &answer);
    if (status != 0) {
        return status;
    }
    if (arguments_json(arguments)) {
        return json_print(json_incref(answer), JSON_INDENT(2));
    }
    printf("%s: %s -> %s%s\n", text_at(answer, "unit"),
           text_at(answer, "before"), text_at(answer, "after"),
           json_is_true(json_object_get(answer, "dryRun"))
               ? " (not done: --dry-run)"
               : "");
    return CLI_EXIT_OK;
}

/* ---- rehearse ------------------------------------------------------------------------ */

int command_rehearse(const struct arguments *arguments)
{
    CLI_CLEANUP(remote_freep) struct remote *remote = NULL;
    CLI_CLEANUP(json_freep) json_t *body = json_object();
    CLI_CLEANUP(json_freep) json_t *answer = NULL;
    CLI_CLEANUP(string_freep) char *path =
        remote_path("/v1/releases/%s/rehearse", arguments->operands[0]);
    const json_t *step;
    bool passed;
    size_t i;
    int status = remote_open(&remote, arguments);

    remote_reason(body, arguments);
    status = status != 0 ? status
                         : remote_ask(remote,
                                      &(struct remote_call) {
                                          .method = "POST", .path = path,
                                          .body = body,
                                          .seconds = REMOTE_LONG_SECONDS },
                                      &answer);
    if (status != 0) {
        return status;
    }
    passed = json_is_true(json_object_get(answer, "passed"));
    if (arguments_json(arguments)) {
        status = json_print(json_incref(answer), JSON_INDENT(2));
        return passed ? status : CLI_EXIT_REFUSED;
    }
    json_array_foreach(json_object_get(answer, "steps"), i, step) {
        printf("%-8s %s: %s (%lld ms)\n", text_at(step, "step"),
               json_is_true(json_object_get(step, "good")) ? "ok" : "FAILED",
               text_at(step, "sentence"), (long long)number_at(step, "ms"));
    }
    printf("%s: %s\n", text_at(answer, "release"),
           passed ? "freeze, rollback and thaw do what they say; nothing live "
                    "was touched"
                  : "the rehearsal FAILED; nothing live was touched");
    return passed ? CLI_EXIT_OK : CLI_EXIT_REFUSED;
}
