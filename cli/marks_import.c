/* SPDX-License-Identifier: Apache-2.0
 * marks_import.c - gray marks import: a file of units and what they were told.
 *
 * Why: data that the new logic wrote before this release began must not be
 * decided anew.  The file comes from a database, as CSV or JSON lines, for a
 * moment (--as-of); it goes up in parts, so that it may be larger than memory;
 * a second, newer file puts what came meanwhile, and --verify compares.
 * Read next: marks.c, control/change/marks_put.c.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/marks_line.h"
#include "cli/remote.h"

#define PART_ROWS 2000u
#define PART_BYTES (512u << 10)
#define NAMED_MAX 20u /* conflicts that are printed */

struct importing {
    const struct arguments *arguments;
    struct remote *remote;
    bool verify;
    json_t *part; /* rows */
    size_t bytes; /* of their units */
    json_int_t put, same, conflicts, missing, other, rows;
    json_t *named;
};

static void name_rows(struct importing *importing, const json_t *rows)
{
    json_t *row;
    size_t i;

    json_array_foreach(rows, i, row) {
        if (json_array_size(importing->named) < NAMED_MAX) {
            json_array_append(importing->named, row);
        }
    }
}

static void take_answer(struct importing *importing, const json_t *answer)
{
    importing->same += number_at(answer, "same");
    importing->put += number_at(answer, "put");
    importing->conflicts += number_at(answer, "conflictCount");
    importing->missing += number_at(answer, "missing");
    importing->other += number_at(answer, "other");
    name_rows(importing, json_object_get(answer, "conflicts"));
    name_rows(importing, json_object_get(answer, "otherUnits"));
    name_rows(importing, json_object_get(answer, "missingUnits"));
}

static int send_part(struct importing *importing)
{
    const struct arguments *arguments = importing->arguments;
    const char *as_of = arguments_get(arguments, CLI_AS_OF);
    CLI_CLEANUP(json_freep) json_t *answer = NULL;
    CLI_CLEANUP(json_freep) json_t *body =
        json_pack("{s:O}", "marks", importing->part);
    CLI_CLEANUP(string_freep) char *path =
        remote_path(importing->verify ? "/v1/releases/%s/marks/verify"
                                      : "/v1/releases/%s/marks/import",
                    arguments->operands[0]);
    int status;

    if (json_array_size(importing->part) == 0) {
        return 0;
    }
    if (as_of != NULL) {
        json_object_set_new(body, "asOf", json_string(as_of));
    }
    remote_reason(body, arguments);
    if (importing->verify) {
        struct remote_call call = { .method = "POST", .path = path,
                                    .body = body, .repeatable = true,
                                    .seconds = REMOTE_LONG_SECONDS };

        status = remote_ask(importing->remote, &call, &answer);
    } else {
        status = remote_change(importing->remote, arguments, "POST", path,
                               body, &answer);
    }
    if (status == 0) {
        take_answer(importing, answer);
        importing->rows += (json_int_t)json_array_size(importing->part);
        json_array_clear(importing->part);
        importing->bytes = 0;
    }
    return status;
}

static int add_row(struct importing *importing, const char *path,
                   const struct line *line)
{
    const char *wrong = NULL;
    json_t *row;

    if (line->length > MARKS_LINE_MAX) {
        complain("%s:%llu: a line has at most %u bytes", path,
                 (unsigned long long)line->number, MARKS_LINE_MAX);
        return CLI_EXIT_USAGE;
    }
    row = marks_line(line->text, line->length, &wrong);
    if (row == NULL && wrong == NULL) {
        return 0; /* empty, or the heads of columns */
    }
    if (row == NULL) {
        complain("%s:%llu: %s", path, (unsigned long long)line->number, wrong);
        return CLI_EXIT_USAGE;
    }
    importing->bytes += json_string_length(json_object_get(row, "unit"));
    json_array_append_new(importing->part, row);
    return json_array_size(importing->part) >= PART_ROWS ||
                   importing->bytes >= PART_BYTES
               ? send_part(importing)
               : 0;
}

static int read_all(struct importing *importing, const char *path)
{
    CLI_CLEANUP(file_closep) FILE *file = port_open(path);
    CLI_CLEANUP(line_free) struct line line = { 0 };
    int status = file != NULL ? 0 : CLI_EXIT_SYSTEM, got = 0;

    while (status == 0 &&
           (got = port_line(file, path, MARKS_LINE_MAX, &line)) > 0) {
        status = add_row(importing, path, &line);
    }
    if (status == 0 && got < 0) {
        status = CLI_EXIT_SYSTEM;
    }
    status = status != 0 ? status : send_part(importing);
    if (status != 0 && importing->rows > 0) {
        complain("the first %lld rows are done; said again they are found the "
                 "same", (long long)importing->rows);
    }
    return status;
}

/* ---- what is said -------------------------------------------------------------------- */

static void say_named(const json_t *named)
{
    const json_t *row;
    size_t i;

    json_array_foreach(named, i, row) {
        if (json_is_string(row)) {
            printf("  %s: missing\n", json_string_value(row));
        } else if (json_object_get(row, "wanted") != NULL) {
            printf("  %s: %s here, %s in the file\n", text_at(row, "unit"),
                   text_at(row, "state"), text_at(row, "wanted"));
        } else {
            printf("  %s: %s stands here, and stays\n", text_at(row, "unit"),
                   text_at(row, "state"));
        }
    }
}

static int say(const struct importing *importing)
{
    const char *key = importing->verify ? "other" : "conflicts";
    json_int_t found = importing->verify ? importing->other
                                         : importing->conflicts;
    bool differs = found > 0 || importing->missing > 0;
    int status = 0;

    if (arguments_json(importing->arguments)) {
        status = json_print(
            json_pack("{s:I,s:I,s:I,s:I,s:I,s:O}", "rows", importing->rows,
                      "put", importing->put, "same", importing->same,
                      "missing", importing->missing, key, found, "named",
                      importing->named),
            JSON_INDENT(2));
        return differs ? CLI_EXIT_REFUSED : status;
    }
    if (importing->verify) {
        printf("%lld rows: %lld the same, %lld missing, %lld other\n",
               (long long)importing->rows, (long long)importing->same,
               (long long)importing->missing, (long long)importing->other);
    } else {
        printf("%lld rows: %lld put, %lld the same, %lld conflicts%s\n",
               (long long)importing->rows, (long long)importing->put,
               (long long)importing->same, (long long)importing->conflicts,
               arguments_has(importing->arguments, CLI_DRY_RUN)
                   ? " (nothing was put: --dry-run)"
                   : "");
    }
    say_named(importing->named);
    return differs ? CLI_EXIT_REFUSED : CLI_EXIT_OK;
}

int command_marks_import(const struct arguments *arguments)
{
    CLI_CLEANUP(remote_freep) struct remote *remote = NULL;
    CLI_CLEANUP(json_freep) json_t *part = json_array();
    CLI_CLEANUP(json_freep) json_t *named = json_array();
    struct importing importing = {
        .arguments = arguments, .part = part, .named = named,
        .verify = arguments_has(arguments, CLI_VERIFY),
    };
    int status = remote_open(&remote, arguments);

    importing.remote = remote;
    status = status != 0 ? status
                         : read_all(&importing, arguments->operands[1]);
    return status != 0 ? status : say(&importing);
}
