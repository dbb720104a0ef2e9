/* SPDX-License-Identifier: Apache-2.0
 * text.c - text that grows, and the two ways of quoting it needs.
 *
 * Why: status is written as JSON and as Prometheus text from bytes that
 * strangers may have put into readers/, so everything is escaped to ASCII.
 * Read next: status.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/internal.h"

static bool text_room(struct text *text, size_t more)
{
    size_t wanted = text->length + more + 1;
    size_t capacity = text->capacity == 0 ? 4096 : text->capacity;
    char *grown;

    if (text->failed) {
        return false;
    }
    if (wanted <= text->capacity) {
        return true;
    }
    while (capacity < wanted) {
        capacity *= 2;
    }
    grown = realloc(text->data, capacity);
    if (grown == NULL) {
        text->failed = true;
        return false;
    }
    text->data = grown;
    text->capacity = capacity;
    return true;
}

void runtime_text_add(struct text *text, const char *format, ...)
{
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length < 0 || !text_room(text, (size_t)length)) {
        text->failed = true;
        return;
    }
    va_start(arguments, format);
    vsnprintf(text->data + text->length, (size_t)length + 1, format, arguments);
    va_end(arguments);
    text->length += (size_t)length;
}

void runtime_text_json(struct text *text, const char *bytes, size_t length)
{
    size_t i;

    runtime_text_add(text, "\"");
    for (i = 0; i < length; i++) {
        unsigned char c = (unsigned char)bytes[i];

        if (c == '"' || c == '\\') {
            runtime_text_add(text, "\\%c", c);
        } else if (c < 0x20 || c >= 0x7f) {
            runtime_text_add(text, "\\u%04x", c);
        } else {
            runtime_text_add(text, "%c", c);
        }
    }
    runtime_text_add(text, "\"");
}

/* A label's value may hold any UTF-8; what is not ASCII here is no name of
 * ours and becomes '?'. */
void runtime_text_label(struct text *text, const char *bytes)
{
    for (; *bytes != '\0'; bytes++) {
        unsigned char c = (unsigned char)*bytes;

        if (c == '"' || c == '\\') {
            runtime_text_add(text, "\\%c", c);
        } else {
            runtime_text_add(text, "%c", c < 0x20 || c >= 0x7f ? '?' : c);
        }
    }
}

char *runtime_text_take(struct text *text, size_t *ret_length)
{
    char *data = text->data;

    if (text->failed || data == NULL) {
        free(data);
        data = NULL;
    } else if (ret_length != NULL) {
        *ret_length = text->length;
    }
    memset(text, 0, sizeof(*text));
    return data;
}
