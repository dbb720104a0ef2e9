/* SPDX-License-Identifier: Apache-2.0
 * body.c - bytes of a body to JSON, strictly.
 *
 * Why: a tree of values takes up to a hundred times the bytes that spell it,
 * and its reader goes as deep as the text says.  So the text is walked once
 * before: how deep, and how many values at most; then jansson reads it.
 * Read next: schema.c.
 */
#include <stdio.h>
#include <string.h>

#include "control/call/call.h"

/* 0, or -1 with what is too much. A bracket that does not match is left to
 * the reader: here only the bounds count. */
static int check_bounds(const char *text, size_t length,
                        const char **ret_sentence)
{
    size_t i, depth = 0, values = 0;
    bool inside = false;

    for (i = 0; i < length; i++) {
        char c = text[i];

        if (inside) {
            if (c == '\\') {
                i++;
            } else if (c == '"') {
                inside = false;
            }
            continue;
        }
        switch (c) {
        case '"':
            inside = true;
            break;
        case '{':
        case '[':
            depth++;
            values++;
            break;
        case '}':
        case ']':
            depth -= depth != 0;
            break;
        case ',':
        case ':':
            values++;
            break;
        default:
            break;
        }
        if (depth > CALL_DEPTH_MAX || values > CALL_VALUES_MAX) {
            *ret_sentence = depth > CALL_DEPTH_MAX ? "nested too deeply"
                                                   : "too many values";
            return -1;
        }
    }
    return 0;
}

int body_parse(const char *text, size_t length, json_t **ret_body,
               char *ret_sentence, size_t sentence_size)
{
    const char *bound;
    json_error_t error;
    json_t *body;

    if (check_bounds(text, length, &bound) != 0) {
        snprintf(ret_sentence, sentence_size, "%s", bound);
        return -1;
    }
    body = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error);
    if (body == NULL) {
        /* The position is ours, the words are jansson's without the text
         * near it: that may be a secret. */
        char *near = strstr(error.text, " near '");

        if (near != NULL) {
            *near = '\0';
        }
        snprintf(ret_sentence, sentence_size, "line %d, column %d: %s",
                 error.line, error.column, error.text);
        return -1;
    }
    if (!json_is_object(body)) {
        json_decref(body);
        snprintf(ret_sentence, sentence_size, "it is no object");
        return -1;
    }
    *ret_body = body;
    return 0;
}
