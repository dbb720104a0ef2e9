/* SPDX-License-Identifier: Apache-2.0
 * admission.c - a record from JSON: whole, or refused.
 *
 * Read next: told.c (what becomes of it).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/call/call.h"
#include "control/hex.h"
#include "control/hosts/admission.h"
#include "runtime/marks.h"

static const struct {
    const char *word;
    uint8_t state;
} states[] = {
    { "in", GRAY_SLOT_IN },           { "out", GRAY_SLOT_OUT },
    { "revoked", GRAY_SLOT_REVOKED }, { "hold", GRAY_SLOT_HOLD },
    { "void", GRAY_SLOT_VOID },
};
#define STATES (sizeof(states) / sizeof(states[0]))

const char *admission_state_word(uint8_t state)
{
    for (size_t i = 0; i < STATES; i++) {
        if (states[i].state == state) {
            return states[i].word;
        }
    }
    return NULL;
}

static bool read_state(const json_t *row, uint8_t *ret_state)
{
    const char *word = json_string_value(json_object_get(row, "state"));

    for (size_t i = 0; word != NULL && i < STATES; i++) {
        if (strcmp(states[i].word, word) == 0) {
            *ret_state = states[i].state;
            return true;
        }
    }
    return false;
}

static bool read_scope(const json_t *row, uint64_t *ret_scope)
{
    const char *text = json_string_value(json_object_get(row, "scope"));
    uint8_t bytes[8];

    if (text == NULL || strlen(text) != 16 ||
        hex_read(text, bytes, sizeof(bytes)) != 0) {
        return false;
    }
    *ret_scope = 0;
    for (size_t i = 0; i < sizeof(bytes); i++) {
        *ret_scope = *ret_scope << 8 | bytes[i];
    }
    return *ret_scope != 0;
}

/* "unit", or "unitHex" where it is no text, or neither: it was lost. */
static bool read_unit(const json_t *row, struct admission *admission)
{
    const json_t *unit = json_object_get(row, "unit");
    const char *hex = json_string_value(json_object_get(row, "unitHex"));
    size_t length = json_string_length(unit);

    if (json_is_string(unit)) {
        if (length == 0 || length > sizeof(admission->unit)) {
            return false;
        }
        memcpy(admission->unit, json_string_value(unit), length);
    } else if (hex != NULL) {
        length = strlen(hex) / 2;
        if (length == 0 || length > sizeof(admission->unit) ||
            strlen(hex) % 2 != 0 ||
            hex_read(hex, admission->unit, length) != 0) {
            return false;
        }
    }
    admission->unit_length = (uint32_t)length;
    return true;
}

/* A number of the row within [0, most]; not there: 0. */
static bool read_number(const json_t *row, const char *key, uint64_t most,
                        uint64_t *ret_number)
{
    json_int_t number = json_integer_value(json_object_get(row, key));

    if (number < 0 || (uint64_t)number > most) {
        return false;
    }
    *ret_number = (uint64_t)number;
    return true;
}

static void read_text(const json_t *row, const char *key, char *to,
                      size_t size)
{
    const char *text = json_string_value(json_object_get(row, key));

    snprintf(to, size, "%s", text != NULL ? text : "");
    text_mend(to);
}

static bool read_numbers(const json_t *row, struct admission *admission)
{
    uint64_t space, variant, attempt, revision, stage, entrance, at;

    if (!read_number(row, "space", GRAY_STAGES_MAX - 1, &space) ||
        !read_number(row, "variant", UINT8_MAX, &variant) ||
        !read_number(row, "attempt", GRAY_ATTEMPT_MAX, &attempt) ||
        !read_number(row, "revision", UINT32_MAX, &revision) ||
        !read_number(row, "stage", UINT8_MAX, &stage) ||
        !read_number(row, "entrance", UINT32_MAX, &entrance) ||
        !read_number(row, "at", INT64_MAX, &at)) {
        return false;
    }
    admission->space = (uint8_t)space;
    admission->variant = (uint8_t)variant;
    admission->attempt = (uint32_t)attempt;
    admission->revision = (uint32_t)revision;
    admission->stage = json_is_integer(json_object_get(row, "stage"))
                           ? (uint32_t)stage
                           : GRAY_STAGE_NONE;
    admission->entrance = (uint32_t)entrance;
    admission->at = (int64_t)at;
    admission->settled = json_is_true(json_object_get(row, "settled"));
    return true;
}

int admission_read(const json_t *row, struct admission *ret_admission,
                   const char **ret_sentence)
{
    memset(ret_admission, 0, sizeof(*ret_admission));
    if (!read_scope(row, &ret_admission->scope)) {
        *ret_sentence = "scope is 16 hexadecimal digits.";
        return -1;
    }
    if (!read_state(row, &ret_admission->state)) {
        *ret_sentence = "state is in, out, revoked, hold or void.";
        return -1;
    }
    if (!read_unit(row, ret_admission)) {
        *ret_sentence = "unit is a text, or unitHex its bytes, and not longer "
                        "than a unit may be.";
        return -1;
    }
    if (!read_numbers(row, ret_admission)) {
        *ret_sentence = "a number is not within its range.";
        return -1;
    }
    read_text(row, "kind", ret_admission->kind, sizeof(ret_admission->kind));
    read_text(row, "reader", ret_admission->reader,
              sizeof(ret_admission->reader));
    read_text(row, "actor", ret_admission->actor,
              sizeof(ret_admission->actor));
    read_text(row, "reason", ret_admission->reason,
              sizeof(ret_admission->reason));
    return 0;
}
