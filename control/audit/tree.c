/* SPDX-License-Identifier: Apache-2.0
 * tree.c - the Merkle tree over all records (RFC 6962, 2.1; RFC 9162, 2.1.3).
 *
 * Why: one signed root says which records there were, and in which order; a
 * proof of one record needs only the siblings on its way up.  The tree of any
 * number of leaves is a row of full subtrees (its peaks), so appending costs
 * one hash on average and no node is ever kept on disk.
 * Read next: note.c.
 */
#include <string.h>

#include "control/audit/internal.h"

void audit_leaf(const char *text, size_t length, uint8_t ret_hash[AUDIT_HASH])
{
    static const uint8_t mark = 0x00;
    SHA256_CTX context;

    SHA256_Init(&context);
    SHA256_Update(&context, &mark, 1);
    SHA256_Update(&context, text, length);
    SHA256_Final(ret_hash, &context);
}

void audit_node(const uint8_t left[AUDIT_HASH], const uint8_t right[AUDIT_HASH],
                uint8_t ret_hash[AUDIT_HASH])
{
    uint8_t bytes[1 + 2 * AUDIT_HASH];

    bytes[0] = 0x01;
    memcpy(bytes + 1, left, AUDIT_HASH);
    memcpy(bytes + 1 + AUDIT_HASH, right, AUDIT_HASH);
    SHA256(bytes, sizeof(bytes), ret_hash);
}

void audit_tree_append_leaf(struct audit_tree *tree,
                            const uint8_t leaf[AUDIT_HASH])
{
    uint8_t carried[AUDIT_HASH];
    unsigned k;

    memcpy(carried, leaf, AUDIT_HASH);
    for (k = 0; (tree->size >> k & 1) != 0; k++) {
        audit_node(tree->peaks[k], carried, carried);
    }
    memcpy(tree->peaks[k], carried, AUDIT_HASH);
    tree->size++;
}

void audit_tree_append(struct audit_tree *tree, const char *text,
                       size_t length)
{
    uint8_t leaf[AUDIT_HASH];

    audit_leaf(text, length, leaf);
    audit_tree_append_leaf(tree, leaf);
}

void audit_tree_root(const struct audit_tree *tree,
                     uint8_t ret_root[AUDIT_HASH])
{
    uint8_t root[AUDIT_HASH];
    bool some = false;
    unsigned k;

    SHA256(NULL, 0, root);
    for (k = 0; k < 64; k++) {
        if ((tree->size >> k & 1) == 0) {
            continue;
        }
        if (some) {
            audit_node(tree->peaks[k], root, root);
        } else {
            memcpy(root, tree->peaks[k], AUDIT_HASH);
        }
        some = true;
    }
    memcpy(ret_root, root, AUDIT_HASH);
}

/* ---- proofs ------------------------------------------------------------ */

/* Largest power of two below n; n > 1. */
static uint64_t split(uint64_t n)
{
    return UINT64_C(1) << (63 - __builtin_clzll(n - 1));
}

void audit_path_begin(struct audit_path *path, uint64_t leaf, uint64_t size)
{
    uint64_t first = 0, width = size;
    unsigned i;

    memset(path, 0, sizeof(*path));
    path->leaf = leaf;
    path->size = size;
    while (width > 1) {
        uint64_t left = split(width);
        struct audit_sibling *sibling = &path->siblings[path->count++];

        if (leaf - first < left) {
            sibling->first = first + left;
            sibling->end = first + width;
            width = left;
        } else {
            sibling->first = first;
            sibling->end = first + left;
            first += left;
            width -= left;
        }
    }
    /* found from the root downwards */
    for (i = 0; i < path->count / 2; i++) {
        struct audit_sibling other = path->siblings[i];

        path->siblings[i] = path->siblings[path->count - 1 - i];
        path->siblings[path->count - 1 - i] = other;
    }
}

void audit_path_add(struct audit_path *path, const uint8_t leaf[AUDIT_HASH])
{
    uint64_t at = path->at++;
    unsigned i;

    if (at == path->leaf) {
        memcpy(path->leaf_hash, leaf, AUDIT_HASH);
        return;
    }
    if (at >= path->size) {
        return;
    }
    audit_tree_append_leaf(&path->part, leaf);
    for (i = 0; i < path->count; i++) {
        struct audit_sibling *sibling = &path->siblings[i];

        if (at + 1 == sibling->end) {
            audit_tree_root(&path->part, sibling->hash);
            path->part.size = 0;
        }
    }
}

int audit_path_root(uint64_t leaf, uint64_t size,
                    const uint8_t leaf_hash[AUDIT_HASH],
                    const uint8_t (*siblings)[AUDIT_HASH], size_t count,
                    uint8_t ret_root[AUDIT_HASH])
{
    uint64_t fn = leaf, sn = size - 1;
    uint8_t root[AUDIT_HASH];
    size_t i;

    if (size == 0 || leaf >= size) {
        return -1;
    }
    memcpy(root, leaf_hash, AUDIT_HASH);
    for (i = 0; i < count; i++) {
        if (sn == 0) {
            return -1;
        }
        if ((fn & 1) != 0 || fn == sn) {
            audit_node(siblings[i], root, root);
            while ((fn & 1) == 0 && fn != 0) {
                fn >>= 1;
                sn >>= 1;
            }
        } else {
            audit_node(root, siblings[i], root);
        }
        fn >>= 1;
        sn >>= 1;
    }
    if (sn != 0) {
        return -1;
    }
    memcpy(ret_root, root, AUDIT_HASH);
    return 0;
}
