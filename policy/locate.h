/* SPDX-License-Identifier: Apache-2.0
 * locate.h - line and column of values, found when somebody asks.
 *
 * Why: see documents.h.  A path (document, keys, numbers) is one 64-bit hash,
 * so that one scan of the text finds the places of a thousand findings.
 * Read next: locate.c.
 */
#ifndef GRAY_POLICY_LOCATE_H
#define GRAY_POLICY_LOCATE_H

#include "policy/documents.h"

struct gray_place {
    uint64_t path;
    bool key;              /* the key's place, not the value's */
    uint32_t line, column; /* from 1; 0 until found */
};

/* Path of a document's root, and of what lies below a path. */
uint64_t gray_path_root(const struct gray_document *document);
uint64_t gray_path_step(uint64_t path, const char *key, size_t length);
/* Path of a JSON pointer below `path`. */
uint64_t gray_path_pointer(uint64_t path, const char *pointer);

/* Finds the places in a text that was read without errors. */
void gray_locate(const struct gray_text *text, struct gray_place *places,
                 size_t count);

/* All keys that stand twice in one map of a JSON text, as findings.  Returns
 * how many. */
size_t gray_locate_duplicates(const struct gray_text *text,
                              struct gray_findings *findings);

#endif
