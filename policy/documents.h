/* SPDX-License-Identifier: Apache-2.0
 * documents.h - documents as read: texts, and the trees inside them.
 *
 * Why: trees carry no places (a place for each of a million values would cost
 * more than the values), so the text is kept beside them and scanned again
 * when a finding needs a place.  Texts are counted: the model holds them too.
 * Read next: documents.c, documents_yaml.c, locate.h.
 */
#ifndef GRAY_POLICY_DOCUMENTS_H
#define GRAY_POLICY_DOCUMENTS_H

#include <jansson.h>
#include <stdbool.h>

#include "policy/findings.h"

struct gray_text {
    unsigned references;
    char *name;   /* of the file, for findings */
    char *folder; /* where relative paths in it begin */
    char *data;   /* without byte order mark */
    size_t length;
    bool json;
};
void gray_text_release(struct gray_text *text);

#define GRAY_NO_ITEM SIZE_MAX
struct gray_document {
    struct gray_text *text;
    size_t number; /* of the YAML document in the text; 0 in JSON */
    size_t item;   /* in the array at the root; GRAY_NO_ITEM: is the root */
    json_t *tree;
};

struct gray_documents {
    struct gray_text **texts;
    size_t text_count, text_capacity;
    struct gray_document *items;
    size_t count, capacity;
    bool no_files; /* a List may not name a file */
};

/* Takes over one reference to the tree of a root value; a root that is an
 * array becomes one document an item.  -1: no memory. */
int gray_documents_root(struct gray_documents *docs, struct gray_text *text,
                        size_t number, json_t *tree);

/* Keeps a text with the others; -1: no memory. */
int gray_documents_keep(struct gray_documents *docs, struct gray_text *text);

/* Reads a YAML text into trees. 0, or -1 with findings. */
int gray_documents_yaml(struct gray_documents *docs, struct gray_text *text,
                        struct gray_findings *findings);

#endif
