/* SPDX-License-Identifier: Apache-2.0
 * dump.h - JSON as text, whole or not at all.
 *
 * Why: jansson's json_dumps() leaves out a key when it has no memory for it,
 * and says nothing; what is committed or chained must not be such a text.
 * json_dumpb() writes into memory that is there already.
 */
#ifndef GRAYD_DUMP_H
#define GRAYD_DUMP_H

#include <jansson.h>
#include <stdlib.h>

/* malloc'd and ended by a NUL; *ret_length (may be NULL) without it. NULL: out
 * of memory, or no JSON. */
static inline char *json_text(const json_t *value, size_t flags,
                              size_t *ret_length)
{
    size_t length = json_dumpb(value, NULL, 0, flags);
    char *text = length > 0 ? malloc(length + 1) : NULL;

    if (text == NULL || json_dumpb(value, text, length, flags) != length) {
        free(text);
        return NULL;
    }
    text[length] = '\0';
    if (ret_length != NULL) {
        *ret_length = length;
    }
    return text;
}

#endif
