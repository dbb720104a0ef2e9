/* SPDX-License-Identifier: Apache-2.0
 * line.c - what one line of a decision log speaks of.
 *
 * Why: the log is written by nginx's workers and may be anybody's file by the
 * time it is read; so a line is bounded, parsed strictly, and only what is
 * looked for by (moment, units, trace) is taken out of it.  The line itself is
 * kept as it stands.
 * Read next: index.c, engine/explain.c (who writes it).
 */
#include <stdio.h>
#include <string.h>

#include "control/call/call.h"
#include "control/decisions/decisions.h"

static const char *text_in(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text != NULL ? text : "";
}

static void add_unit(struct decision *decision, const char *unit)
{
    if (*unit == '\0' || decision->unit_count == DECISION_UNITS_MAX) {
        return;
    }
    for (size_t i = 0; i < decision->unit_count; i++) {
        if (strcmp(decision->units[i], unit) == 0) {
            return;
        }
    }
    decision->units[decision->unit_count++] = unit;
}

/* The unit of each release, and the earlier name whose mark was kept. */
static void find_units(struct decision *decision)
{
    const json_t *row;
    size_t i;

    json_array_foreach(json_object_get(decision->tree, "releases"), i, row) {
        add_unit(decision, text_in(row, "unit"));
    }
    json_array_foreach(json_object_get(decision->tree, "trace"), i, row) {
        if (strcmp(text_in(row, "step"), "alias") == 0) {
            add_unit(decision, text_in(row, "value"));
        }
    }
}

int decision_read(const char *text, size_t length,
                  struct decision *ret_decision, char *ret_sentence,
                  size_t sentence_size)
{
    struct decision decision = { 0 };
    const json_t *time;

    if (length > DECISION_LINE_MAX) {
        snprintf(ret_sentence, sentence_size, "longer than %u bytes",
                 DECISION_LINE_MAX);
        return -1;
    }
    if (body_parse(text, length, &decision.tree, ret_sentence,
                   sentence_size) != 0) {
        return -1;
    }
    time = json_object_get(decision.tree, "time");
    if (!json_is_integer(time) || json_integer_value(time) < 0 ||
        *text_in(decision.tree, "event") == '\0') {
        snprintf(ret_sentence, sentence_size,
                 "no line of a decision log: it has no time and event");
        json_decref(decision.tree);
        return -1;
    }
    decision.time = json_integer_value(time);
    decision.trace = text_in(decision.tree, "trace_id");
    find_units(&decision);
    *ret_decision = decision;
    return 0;
}

void decision_clear(struct decision *decision)
{
    json_decref(decision->tree);
    decision->tree = NULL;
}

bool decision_speaks_of(const struct decision *decision, const char *unit,
                        const char *release)
{
    const json_t *row;
    bool named = unit == NULL;
    size_t i;

    for (i = 0; !named && i < decision->unit_count; i++) {
        named = strcmp(decision->units[i], unit) == 0;
    }
    if (!named || release == NULL) {
        return named;
    }
    json_array_foreach(json_object_get(decision->tree, "releases"), i, row) {
        if (strcmp(text_in(row, "release"), release) == 0) {
            return true;
        }
    }
    return false;
}

void decision_unit(const char *unit, char ret_unit[DECISION_VALUE_BYTES + 1])
{
    size_t length = strlen(unit);

    if (length > DECISION_VALUE_BYTES) {
        length = DECISION_VALUE_BYTES;
        while (length > 0 && ((unsigned char)unit[length] & 0xc0) == 0x80) {
            length--; /* as explain cuts: no half of a character */
        }
    }
    memcpy(ret_unit, unit, length);
    ret_unit[length] = '\0';
}
