/* SPDX-License-Identifier: Apache-2.0
 * fuzz_marks_line.c - any bytes as a line of a file of marks.
 *
 * Why: the file is somebody's export, and what is read from it is told to
 * users for ever: a line is taken whole and good, or refused with a sentence.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/marks_line.h"
#include "engine/engine.h"
#include "tests/fuzz/fuzz.h"

static void check(json_t *row)
{
    const json_t *unit = json_object_get(row, "unit");
    const char *state = json_string_value(json_object_get(row, "state"));
    const char *wrong = NULL;
    json_t *again;
    char *text;

    MUST(json_string_length(unit) > 0 &&
         json_string_length(unit) <= GRAY_VALUE_MAX &&
         json_string_length(unit) == strlen(json_string_value(unit)));
    MUST(strcmp(state, "in") == 0 || strcmp(state, "out") == 0 ||
         strcmp(state, "revoked") == 0);
    /* What was taken is the same when it is written and read again. */
    text = json_dumps(row, JSON_COMPACT);
    again = marks_line(text, strlen(text), &wrong);
    MUST(strlen(text) > MARKS_LINE_MAX || json_equal(row, again));
    json_decref(again);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = malloc(size + 1); /* its end is known to the sanitizer */
    const char *wrong = NULL;
    json_t *row;

    memcpy(copy, data, size);
    row = marks_line(copy, size, &wrong);
    if (row != NULL) {
        check(row);
        MUST(wrong == NULL);
    }
    json_decref(row);
    row = marks_line_unit(copy, size, &wrong);
    if (row != NULL) {
        json_t *unit = json_object_get(row, "unit");

        MUST(wrong == NULL && json_string_length(unit) > 0 &&
             json_string_length(unit) <= GRAY_VALUE_MAX &&
             json_string_length(unit) == strlen(json_string_value(unit)));
    }
    json_decref(row);
    free(copy);
    return 0;
}
