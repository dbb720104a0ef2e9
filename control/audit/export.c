/* SPDX-License-Identifier: Apache-2.0
 * export.c - an export as a source of records.
 *
 * Why: an auditor gets a file and a verifier line, and needs neither a store
 * nor grayd.  Each line is hostile input: what is no record ends the walk as a
 * bad record, not as an error.
 * Read next: walk.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/audit/internal.h"

#define LINE_MAX_BYTES (1u << 20) /* of one record, escaped twice */

struct export {
    FILE *file;
    char *line;
    size_t room;
};

/* One line as a record; *ret_line owns its text. A line that is no record
 * has the sequence number 0, which never comes next. */
static struct store_record read_line(const char *text, size_t length,
                                     json_t **ret_line)
{
    struct store_record record = {.text = "", .sequence = 0};
    json_t *line = json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL);
    json_t *body = json_object_get(line, "record"), *said;
    const char *hash = json_string_value(json_object_get(line, "hash"));
    json_int_t sequence;

    *ret_line = line;
    if (!json_is_string(body) || hash == NULL ||
        strlen(hash) != 2 * AUDIT_HASH ||
        hex_read(hash, record.hash, AUDIT_HASH) != 0) {
        return record;
    }
    said = json_loadb(json_string_value(body), json_string_length(body),
                      JSON_REJECT_DUPLICATES, NULL);
    sequence = json_integer_value(json_object_get(said, "seq"));
    json_decref(said);
    if (sequence > 0) {
        record.sequence = (uint64_t)sequence;
        record.text = json_string_value(body);
        record.length = json_string_length(body);
    }
    return record;
}

/* A line without its newline; -1: the end; more than the limit: cut there, and
 * so no JSON. */
static ssize_t next_line(struct export *export)
{
    size_t length = 0;
    int byte;

    while ((byte = getc_unlocked(export->file)) != EOF && byte != '\n') {
        if (length == export->room) {
            size_t more = export->room == 0 ? 4096 : 2 * export->room;
            char *line = more > LINE_MAX_BYTES ? NULL
                                               : realloc(export->line, more);

            if (line == NULL) {
                return (ssize_t)length;
            }
            export->line = line;
            export->room = more;
        }
        export->line[length++] = (char)byte;
    }
    return byte == EOF && length == 0 ? -1 : (ssize_t)length;
}

static int read_export(void *context, uint64_t from, size_t limit,
                       store_record_visit *visit, void *visit_context,
                       struct gray_problem *ret_problem)
{
    struct export *export = context;
    size_t i;

    (void)from; /* the walk reads on where it stopped */
    for (i = 0; i < limit; i++) {
        ssize_t length = next_line(export);
        struct store_record record;
        json_t *line;
        int stop;

        if (ferror(export->file)) {
            return runtime_problem_set(ret_problem, EIO, "io",
                                       "The export could not be read.");
        }
        if (length < 0) {
            break;
        }
        record = read_line(length == 0 ? "" : export->line, (size_t)length,
                           &line);
        stop = visit(visit_context, &record);
        json_decref(line);
        if (stop != 0) {
            break;
        }
    }
    return 0;
}

int audit_verify_export(const char *path, const char *checkpoints,
                        const char *verifier, struct audit_report *ret_report,
                        struct gray_problem *ret_problem)
{
    struct export export = {NULL, NULL, 0};
    struct audit_source source = {read_export, &export};
    struct audit_verifier line;
    int error = 0;

    if (verifier != NULL) {
        error = audit_verifier_find(verifier, NULL, &line, ret_problem);
    }
    if (error != 0) {
        return error;
    }
    export.file = fopen(path, "re");
    if (export.file == NULL) {
        return runtime_problem_set(ret_problem, errno, "io",
                                   "The export: %s.", strerror(errno));
    }
    error = audit_walk(&source, checkpoints, verifier == NULL ? NULL : &line,
                       ret_report, ret_problem);
    fclose(export.file);
    free(export.line);
    return error;
}
