/* SPDX-License-Identifier: Apache-2.0
 * documents_held.c - documents that somebody keeps, and what he knows of them.
 *
 * Why: grayd keeps trees, not texts, and a release that it drives stands at a
 * share and an attempt that no document says.  Both are put in before the
 * check, so that the model, the snapshot and its source say what is in force.
 * Read next: documents.c.
 */
#include "policy/documents.h"

#include <stdlib.h>
#include <string.h>

size_t gray_documents_count(const struct gray_documents *docs)
{
    return docs->count;
}

void gray_documents_at(const struct gray_documents *docs, size_t number,
                       const char **ret_kind, const char **ret_name,
                       json_t **ret_tree)
{
    json_t *tree = docs->items[number].tree;

    *ret_kind = json_string_value(json_object_get(tree, "kind"));
    *ret_name = json_string_value(json_object_get(tree, "name"));
    *ret_tree = tree;
}

void gray_documents_refuse_files(struct gray_documents *docs)
{
    docs->no_files = true;
}

int gray_documents_add_tree(struct gray_documents *docs, const char *name,
                            json_t *tree)
{
    struct gray_text *text = calloc(1, sizeof(*text));

    if (text == NULL) {
        return -1;
    }
    text->references = 1;
    text->json = true;
    text->name = strdup(name);
    text->folder = strdup("/");
    text->data = strdup("");
    if (text->name == NULL || text->folder == NULL || text->data == NULL ||
        gray_documents_keep(docs, text) != 0) {
        gray_text_release(text);
        return -1;
    }
    return gray_documents_root(docs, text, 0, json_incref(tree));
}

/* json_copy() leaves out what it has no memory for, and says nothing. */
static json_t *copy_whole(const json_t *map)
{
    json_t *copy = json_copy((json_t *)(uintptr_t)map);

    if (copy != NULL && json_object_size(copy) != json_object_size(map)) {
        json_decref(copy);
        copy = NULL;
    }
    return copy;
}

/* A copy of the document whose own maps may be written to, and no deeper. */
static json_t *held(const json_t *document, uint32_t share, uint32_t attempt,
                    uint32_t dimension)
{
    json_t *copy = copy_whole(document);
    const json_t *written = json_object_get(document, "admission");
    json_t *moves = json_array_get(json_object_get(document, "dimensions"),
                                   dimension);
    json_t *admission = json_is_object(written)
                            ? copy_whole(written)
                            : json_object();

    /* What is wrong with it is said by the check, not papered over here. */
    if (written != NULL && !json_is_object(written)) {
        json_decref(admission);
        return copy;
    }
    if (copy == NULL || admission == NULL ||
        json_object_set_new(admission, "share",
                            share % 10000 == 0
                                ? json_integer(share / 10000)
                                : json_real(share / 10000.0)) != 0 ||
        (moves != NULL &&
         json_object_set(admission, "dimension", moves) != 0) ||
        json_object_set(copy, "admission", admission) != 0 ||
        json_object_set_new(copy, "attempt", json_integer(attempt)) != 0) {
        json_decref(copy);
        copy = NULL;
    }
    json_decref(admission);
    return copy;
}

int gray_documents_hold(struct gray_documents *docs, const char *release,
                        uint32_t share, uint32_t attempt)
{
    return gray_documents_hold_dimension(docs, release, share, attempt,
                                         UINT32_MAX);
}

int gray_documents_hold_dimension(struct gray_documents *docs,
                                  const char *release, uint32_t share,
                                  uint32_t attempt, uint32_t dimension)
{
    for (size_t i = 0; i < docs->count; i++) {
        const char *kind, *name;
        json_t *tree, *copy;

        gray_documents_at(docs, i, &kind, &name, &tree);
        if (kind == NULL || name == NULL || strcmp(kind, "Release") != 0 ||
            strcmp(name, release) != 0) {
            continue;
        }
        copy = held(tree, share, attempt, dimension);
        if (copy == NULL) {
            return -1;
        }
        json_decref(tree);
        docs->items[i].tree = copy;
    }
    return 0;
}
