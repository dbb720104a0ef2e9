/* SPDX-License-Identifier: Apache-2.0
 * text.h - writes text into a buffer that may be too small.
 *
 * Why: explain goes into headers and logs of any size; the engine owns no
 * memory and has no printf.  What does not fit is counted all the same, so
 * that a caller learns how much room is needed.
 * Read next: text.c, explain.c.
 */
#ifndef GRAY_ENGINE_TEXT_H
#define GRAY_ENGINE_TEXT_H

#include "engine/engine.h"

struct text {
    char *buffer;
    size_t size;   /* with room for the NUL */
    size_t length; /* that the whole text has */
    char last;     /* byte written last, kept or not */
};

/* Ends what fits with a NUL. */
void text_end(struct text *text);
void text_byte(struct text *text, char byte);
/* As it is. */
void text_raw(struct text *text, const char *string);
void text_unsigned(struct text *text, uint64_t value);
void text_signed(struct text *text, int64_t value);
/* As the inside of a JSON string, escaped to ASCII; at most `limit` bytes of
 * it, cut before a character that would be cut in two.  What is not UTF-8
 * becomes U+FFFD. */
void text_escaped(struct text *text, struct gray_str string, uint32_t limit);
/* "string", whole. */
void text_quoted(struct text *text, struct gray_str string);
/* ,"key": or {"key": for the first one of an object. */
void text_key(struct text *text, const char *key);

#endif
