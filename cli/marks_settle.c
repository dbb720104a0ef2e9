/* SPDX-License-Identifier: Apache-2.0
 * marks_settle.c - gray marks settle: units whose business is over.
 *
 * Why: an order that began with the old version needs it until it is closed,
 * and only the business knows when that is.  It is said of one unit by hand, or
 * of all that a query found, from a file that goes up in parts; said again it
 * changes nothing, so a nightly job may send the whole list.
 * Read next: marks_line.h, control/change/marks_put.c.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/marks_line.h"
#include "cli/remote.h"

#define PART_UNITS 2000u
#define PART_BYTES (512u << 10)
#define NAMED_MAX 20u /* units that are printed */

struct settling {
    const struct arguments *arguments;
    struct remote *remote;
    json_t *units;    /* of this part */
    json_int_t space; /* that all of it is of; -1: every one */
    size_t bytes;
    json_int_t sent, settled, out, already, unknown, refused;
    json_t *named;
};

/* ---- parts ------------------------------------------------------------------------- */

static void name_units(struct settling *settling, const json_t *units,
                       const char *state)
{
    const json_t *unit;
    size_t i;

    json_array_foreach(units, i, unit) {
        if (json_array_size(settling->named) == NAMED_MAX) {
            return;
        }
        json_array_append_new(
            settling->named,
            json_is_object(unit)
                ? json_incref((json_t *)(uintptr_t)unit)
                : json_pack("{s:s,s:s}", "unit", json_string_value(unit),
                            "state", state));
    }
}

static int send_part(struct settling *settling)
{
    CLI_CLEANUP(json_freep) json_t *answer = NULL;
    CLI_CLEANUP(json_freep) json_t *body =
        json_pack("{s:O}", "units", settling->units);
    CLI_CLEANUP(string_freep) char *path =
        remote_path("/v1/releases/%s/marks/settled",
                    settling->arguments->operands[0]);
    int status;

    if (json_array_size(settling->units) == 0) {
        return 0;
    }
    if (settling->space >= 0) {
        json_object_set_new(body, "space", json_integer(settling->space));
    }
    remote_reason(body, settling->arguments);
    status = remote_change(settling->remote, settling->arguments, "POST", path,
                           body, &answer);
    if (status == 0) {
        settling->sent += (json_int_t)json_array_size(settling->units);
        settling->settled += number_at(answer, "settled");
        settling->out += number_at(answer, "out");
        settling->already += number_at(answer, "already");
        settling->unknown += number_at(answer, "unknown");
        settling->refused += number_at(answer, "refused");
        name_units(settling, json_object_get(answer, "unknownUnits"),
                   "absent");
        name_units(settling, json_object_get(answer, "refusedUnits"), NULL);
        json_array_clear(settling->units);
        settling->bytes = 0;
    }
    return status;
}

/* One more unit; a part is of one space. */
static int add_unit(struct settling *settling, json_t *unit, json_int_t space)
{
    int status = space != settling->space ? send_part(settling) : 0;

    if (status != 0) {
        return status;
    }
    settling->space = space;
    settling->bytes += json_string_length(unit);
    json_array_append(settling->units, unit);
    return json_array_size(settling->units) >= PART_UNITS ||
                   settling->bytes >= PART_BYTES
               ? send_part(settling)
               : 0;
}

/* ---- where units come from ----------------------------------------------------------- */

static int add_operands(struct settling *settling, json_int_t space)
{
    const struct arguments *arguments = settling->arguments;
    int status = 0;

    for (size_t i = 1; i < arguments->operand_count && status == 0; i++) {
        CLI_CLEANUP(json_freep) json_t *unit =
            json_string(arguments->operands[i]);

        status = add_unit(settling, unit, space);
    }
    return status;
}

static int add_line(struct settling *settling, const char *path,
                    const struct line *line, json_int_t space)
{
    const char *wrong = NULL;
    CLI_CLEANUP(json_freep) json_t *row =
        line->length > MARKS_LINE_MAX
            ? NULL
            : marks_line_unit(line->text, line->length, &wrong);
    const json_t *own = json_object_get(row, "space");

    if (line->length > MARKS_LINE_MAX) {
        complain("%s:%llu: a line has at most %u bytes", path,
                 (unsigned long long)line->number, MARKS_LINE_MAX);
        return CLI_EXIT_USAGE;
    }
    if (row == NULL && wrong != NULL) {
        complain("%s:%llu: %s", path, (unsigned long long)line->number, wrong);
        return CLI_EXIT_USAGE;
    }
    return row == NULL ? 0 /* empty, or the heads of columns */
                       : add_unit(settling, json_object_get(row, "unit"),
                                  own != NULL ? json_integer_value(own)
                                              : space);
}

static int add_file(struct settling *settling, const char *path,
                    json_int_t space)
{
    CLI_CLEANUP(file_closep) FILE *file = port_open(path);
    CLI_CLEANUP(line_free) struct line line = { 0 };
    int status = file != NULL ? 0 : CLI_EXIT_SYSTEM, got = 0;

    while (status == 0 &&
           (got = port_line(file, path, MARKS_LINE_MAX, &line)) > 0) {
        status = add_line(settling, path, &line, space);
    }
    return status == 0 && got < 0 ? CLI_EXIT_SYSTEM : status;
}

static int add_all(struct settling *settling, json_int_t space)
{
    const struct arguments *arguments = settling->arguments;
    const char *path;
    size_t at = 0;
    int status = add_operands(settling, space);

    while (status == 0 &&
           (path = arguments_next(arguments, CLI_FILE, &at)) != NULL) {
        status = add_file(settling, path, space);
    }
    status = status != 0 ? status : send_part(settling);
    if (status != 0 && settling->sent > 0) {
        complain("the first %lld units are settled; said again nothing "
                 "changes of them", (long long)settling->sent);
    }
    return status;
}

/* ---- what is said ---------------------------------------------------------------------- */

static int say(const struct settling *settling)
{
    const struct arguments *arguments = settling->arguments;
    const json_t *row;
    size_t i;
    int status = 0;

    if (arguments_json(arguments)) {
        status = json_print(
            json_pack("{s:I,s:I,s:I,s:I,s:I,s:O}", "settled",
                      settling->settled, "out", settling->out, "already",
                      settling->already, "unknown", settling->unknown,
                      "refused", settling->refused, "named", settling->named),
            JSON_INDENT(2));
    } else {
        printf("%lld settled (%lld of them outside), %lld already, %lld "
               "unknown, %lld refused%s\n",
               (long long)settling->settled, (long long)settling->out,
               (long long)settling->already, (long long)settling->unknown,
               (long long)settling->refused,
               arguments_has(arguments, CLI_DRY_RUN)
                   ? " (nothing was changed: --dry-run)"
                   : "");
        json_array_foreach(settling->named, i, row) {
            if (strcmp(text_at(row, "state"), "absent") == 0) {
                printf("  %s: has no mark here\n", text_at(row, "unit"));
            } else {
                printf("  %s: %s, and stays so\n", text_at(row, "unit"),
                       text_at(row, "state"));
            }
        }
    }
    return settling->unknown + settling->refused > 0 ? CLI_EXIT_REFUSED
                                                     : status;
}

int command_marks_settle(const struct arguments *arguments)
{
    CLI_CLEANUP(remote_freep) struct remote *remote = NULL;
    CLI_CLEANUP(json_freep) json_t *units = json_array();
    CLI_CLEANUP(json_freep) json_t *named = json_array();
    struct settling settling = {
        .arguments = arguments, .units = units, .named = named, .space = -1,
    };
    double space = -1;
    int status = arguments_number(arguments, CLI_SPACE, 0, GRAY_STAGES_MAX - 1,
                                  &space);

    if (status == 0 && arguments->operand_count < 2 &&
        !arguments_has(arguments, CLI_FILE)) {
        complain("marks settle needs units, or -f FILE");
        status = CLI_EXIT_USAGE;
    }
    status = status != 0 ? status : remote_open(&remote, arguments);
    settling.remote = remote;
    status = status != 0 ? status : add_all(&settling, (json_int_t)space);
    return status != 0 ? status : say(&settling);
}
