/* SPDX-License-Identifier: Apache-2.0
 * marks_line.c - see marks_line.h.
 *
 * CSV is RFC 4180's: a field may stand in quotes, and a quote in it twice; a
 * line break inside of a field is not taken.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "cli/marks_line.h"
#include "engine/engine.h"

#define FIELDS_MAX 4u

static bool is_state(const char *word)
{
    return strcmp(word, "in") == 0 || strcmp(word, "out") == 0 ||
           strcmp(word, "revoked") == 0;
}

static bool is_unit(const json_t *unit)
{
    return json_is_string(unit) && json_string_length(unit) > 0 &&
           json_string_length(unit) <= GRAY_VALUE_MAX &&
           strlen(json_string_value(unit)) == json_string_length(unit);
}

static bool is_number(const json_t *value, json_int_t below)
{
    return value == NULL || (json_is_integer(value) &&
                             json_integer_value(value) >= 0 &&
                             json_integer_value(value) < below);
}

/* Only what is sent, and only what is good. */
static json_t *checked(const json_t *row, bool told, const char **ret_wrong)
{
    const json_t *unit = json_object_get(row, "unit");
    const json_t *state = json_object_get(row, "state");
    const json_t *variant = json_object_get(row, "variant");
    const json_t *space = json_object_get(row, "space");

    if (!is_unit(unit)) {
        *ret_wrong = "a unit is a text of 1 to 1024 bytes of UTF-8";
    } else if (told && (!json_is_string(state) ||
                        !is_state(json_string_value(state)))) {
        *ret_wrong = "a state is in, out or revoked";
    } else if (!is_number(variant, GRAY_VARIANTS_MAX)) {
        *ret_wrong = "a variant is a number from 0 to 255";
    } else if (!is_number(space, GRAY_STAGES_MAX)) {
        *ret_wrong = "a space is a number from 0 to 15";
    } else if (!told) {
        return json_pack("{s:O,s:O*}", "unit", unit, "space", space);
    } else {
        return json_pack("{s:O,s:O,s:O*,s:O*}", "unit", unit, "state", state,
                         "variant", variant, "space", space);
    }
    return NULL;
}

/* The next field into a buffer as long as the line; *at behind its comma. */
static bool next_field(const char **at, const char *end, char *buffer)
{
    const char *from = *at;
    bool quoted = from < end && *from == '"';

    from += quoted;
    for (;;) {
        if (from == end) {
            if (quoted) {
                return false;
            }
            break;
        }
        if (quoted && *from == '"') {
            if (from + 1 < end && from[1] == '"') {
                from++; /* twice: one of it */
            } else {
                from++;
                quoted = false;
                if (from < end && *from != ',') {
                    return false;
                }
                continue;
            }
        } else if (!quoted && *from == ',') {
            break;
        }
        *buffer++ = *from++;
    }
    *buffer = '\0';
    *at = from < end ? from + 1 : NULL;
    return true;
}

static json_t *number_field(const char *text)
{
    char *end;
    long number = strtol(text, &end, 10);

    return *text >= '0' && *text <= '9' && *end == '\0' ? json_integer(number)
                                                        : json_null();
}

static json_t *csv_row(const char *text, size_t length, const char **ret_wrong)
{
    static const char *const keys[FIELDS_MAX] = {"unit", "state", "variant",
                                                 "space"};
    char buffer[MARKS_LINE_MAX + 1];
    const char *at = text, *end = text + length;
    json_t *row = json_object();

    for (size_t i = 0; i < FIELDS_MAX && at != NULL; i++) {
        if (!next_field(&at, end, buffer)) {
            *ret_wrong = "a quote is not closed, or something stands behind it";
            json_decref(row);
            return NULL;
        }
        if (i < 2) {
            json_object_set_new(row, keys[i], json_string(buffer));
        } else if (buffer[0] != '\0') {
            json_object_set_new(row, keys[i], number_field(buffer));
        }
    }
    if (at != NULL) {
        *ret_wrong = "a line has unit,state[,variant[,space]]";
        json_decref(row);
        return NULL;
    }
    return row;
}

/* `told`: with what the unit was told. */
static json_t *line_read(const char *text, size_t length, bool told,
                         const char **ret_wrong)
{
    json_t *row, *good;

    *ret_wrong = NULL;
    while (length > 0 &&
           (text[length - 1] == '\r' || text[length - 1] == ' ')) {
        length--;
    }
    if (length == 0 ||
        (length >= 10 && memcmp(text, "unit,state", 10) == 0)) {
        return NULL;
    }
    if (length > MARKS_LINE_MAX) {
        *ret_wrong = "the line is too long";
        return NULL;
    }
    if (text[0] == '{') {
        row = json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL);
        if (row == NULL) {
            *ret_wrong = "this is no JSON";
        }
    } else {
        row = csv_row(text, length, ret_wrong);
    }
    good = row != NULL ? checked(row, told, ret_wrong) : NULL;
    json_decref(row);
    return good;
}

json_t *marks_line(const char *text, size_t length, const char **ret_wrong)
{
    return line_read(text, length, true, ret_wrong);
}

json_t *marks_line_unit(const char *text, size_t length,
                        const char **ret_wrong)
{
    return line_read(text, length, false, ret_wrong);
}
