/* SPDX-License-Identifier: Apache-2.0
 * logged.c - lines of a decision log.
 *
 * Why: see logged.h.  A log is written by workers of nginx beside us: its
 * last line may be half there, a file may be renamed while it is read, and any
 * byte of it may have come from a client.  Lines that speak of other releases,
 * or of another time, are left before they are parsed.
 * Read next: logged.h.
 */
#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "control/decisions/decisions.h"
#include "control/recon/logged.h"

/* "time" stands first in a line: read without parsing it. -1: elsewhere. */
static int64_t time_of(const char *line)
{
    static const char first[] = "{\"time\":";
    char *end;
    long long at;

    if (strncmp(line, first, sizeof(first) - 1) != 0) {
        return -1;
    }
    at = strtoll(line + sizeof(first) - 1, &end, 10);
    return *end == ',' && at >= 0 ? at : -1;
}

static int take(const json_t *root, const char *release,
                char buffer[LOGGED_UNIT_MAX], struct gray_str *ret_unit,
                struct fact_decision *ret_decision)
{
    const json_t *item, *revision = json_object_get(root, "revision");
    const json_t *at = json_object_get(root, "time");
    size_t i;

    json_array_foreach(json_object_get(root, "releases"), i, item) {
        const char *name =
            json_string_value(json_object_get(item, "release"));
        const json_t *unit = json_object_get(item, "unit");
        const json_t *in = json_object_get(item, "in");
        size_t length = json_string_length(unit);

        if (name == NULL || strcmp(name, release) != 0 ||
            !json_is_string(unit) || length == 0) {
            continue;
        }
        if (!json_is_boolean(in) || !json_is_integer(revision) ||
            !json_is_integer(at) || length >= LOGGED_UNIT_MAX) {
            return -1;
        }
        memcpy(buffer, json_string_value(unit), length + 1);
        *ret_unit = (struct gray_str){buffer, (uint32_t)length};
        *ret_decision = (struct fact_decision){
            .revision = (uint64_t)json_integer_value(revision),
            .at = (int64_t)json_integer_value(at),
            .in = json_is_true(in),
        };
        return 1;
    }
    return 0;
}

int logged_parse(const char *line, size_t length, const char *release,
                    char buffer[LOGGED_UNIT_MAX],
                    struct gray_str *ret_unit,
                    struct fact_decision *ret_decision)
{
    struct decision decision;
    char sentence[160];
    int found;

    if (decision_read(line, length, &decision, sentence, sizeof(sentence)) !=
        0) {
        return -1;
    }
    found = take(decision.tree, release, buffer, ret_unit, ret_decision);
    decision_clear(&decision);
    return found;
}

struct reading {
    const char *release;
    char quoted[GRAY_NAME_MAX + 16]; /* as it must stand in a line */
    int64_t from, until;
    logged_visit *visit;
    void *context;
    struct logged_counts *counts;
};

static int read_line(const struct reading *reading, const char *line,
                     size_t length)
{
    char buffer[LOGGED_UNIT_MAX];
    struct fact_decision decision;
    struct gray_str unit;
    int64_t at = time_of(line);
    int found;

    reading->counts->lines++;
    if (strstr(line, reading->quoted) == NULL ||
        (at >= 0 && (at < reading->from || at > reading->until))) {
        return 0;
    }
    found = logged_parse(line, length, reading->release, buffer, &unit,
                            &decision);
    reading->counts->bad += found < 0;
    return found == 1 && decision.at >= reading->from &&
                   decision.at <= reading->until
               ? reading->visit(reading->context, unit, &decision)
               : 0;
}

/* A line without its end is one that is being written. */
static int read_file(const struct reading *reading, FILE *file)
{
    size_t room = 0;
    char *line = NULL;
    ssize_t length;
    int result = 0;

    while (result == 0 && (length = getline(&line, &room, file)) > 0) {
        if (line[length - 1] != '\n') {
            break;
        }
        line[--length] = '\0';
        if ((size_t)length > DECISION_LINE_MAX ||
            strlen(line) != (size_t)length) {
            reading->counts->lines++;
            reading->counts->bad++;
            continue;
        }
        result = read_line(reading, line, (size_t)length);
    }
    free(line);
    return result;
}

static int failed(struct gray_problem *ret_problem, const char *path)
{
    ret_problem->code = "log-failed";
    snprintf(ret_problem->sentence, sizeof(ret_problem->sentence),
             "The decision log %.100s cannot be read: %s.", path,
             strerror(errno));
    return -EIO;
}

static int read_path(const struct reading *reading, const char *path,
                     struct gray_problem *ret_problem)
{
    FILE *file = fopen(path, "re");
    struct stat status;
    int result = 0;

    if (file == NULL) {
        return errno == ENOENT ? 0 : failed(ret_problem, path);
    }
    if (fstat(fileno(file), &status) == 0 && S_ISREG(status.st_mode) &&
        (int64_t)status.st_mtim.tv_sec * 1000 + 1000 >= reading->from) {
        reading->counts->files++;
        result = read_file(reading, file);
        if (result == 0 && ferror(file)) {
            result = failed(ret_problem, path);
        }
    }
    fclose(file);
    return result;
}

int logged_each(const json_t *patterns, const char *release, int64_t from,
                   int64_t until, logged_visit *visit, void *context,
                   struct logged_counts *counts,
                   struct gray_problem *ret_problem)
{
    struct reading reading = {.release = release,
                              .from = from,
                              .until = until,
                              .visit = visit,
                              .context = context,
                              .counts = counts};
    const json_t *pattern;
    int result = 0;
    size_t i;

    snprintf(reading.quoted, sizeof(reading.quoted), "\"%s\"", release);
    json_array_foreach(patterns, i, pattern) {
        glob_t found;

        if (json_string_value(pattern) == NULL ||
            glob(json_string_value(pattern), 0, NULL, &found) != 0) {
            continue;
        }
        for (size_t k = 0; k < found.gl_pathc && result == 0; k++) {
            result = read_path(&reading, found.gl_pathv[k], ret_problem);
        }
        globfree(&found);
    }
    return result;
}
