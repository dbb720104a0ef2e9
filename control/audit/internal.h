/* SPDX-License-Identifier: Apache-2.0
 * internal.h - what the files of control/audit/ share among themselves.
 *
 * Why: whoever signs, verifies and proves must hash the same bytes and read
 * the same notes, so there is one place for each.  Nobody outside this folder
 * and its tests includes this.
 * Read next: tree.c (hashes), note.c (signed notes), walk.c (verifying).
 */
#ifndef GRAYD_AUDIT_INTERNAL_H
#define GRAYD_AUDIT_INTERNAL_H

#include <stdio.h>

#include "control/audit/audit.h"
#include "control/hex.h"
#include "runtime/internal.h"

/* ---- hashes: chain.c, tree.c --------------------------------------------- */

/* RFC 6962, 2.1: 0x00 | record, and 0x01 | left | right. */
void audit_leaf(const char *text, size_t length, uint8_t ret_hash[AUDIT_HASH]);
void audit_node(const uint8_t left[AUDIT_HASH], const uint8_t right[AUDIT_HASH],
                uint8_t ret_hash[AUDIT_HASH]);

/* The siblings on the way from a leaf to the root, collected in one pass over
 * the leaves: each is a range of leaves, and ranges are met in order. */
#define AUDIT_PATH_MAX 64u
struct audit_path {
    uint64_t leaf, size; /* index of the leaf; leaves of the tree */
    uint64_t at;         /* leaves seen */
    unsigned count;      /* siblings */
    struct audit_sibling {
        uint64_t first, end; /* leaves [first, end) */
        uint8_t hash[AUDIT_HASH];
    } siblings[AUDIT_PATH_MAX]; /* from the leaf upwards */
    uint8_t leaf_hash[AUDIT_HASH];
    struct audit_tree part; /* of the sibling being collected */
};
/* leaf < size. */
void audit_path_begin(struct audit_path *path, uint64_t leaf, uint64_t size);
/* The next leaf's hash; beyond the size: ignored. */
void audit_path_add(struct audit_path *path, const uint8_t leaf[AUDIT_HASH]);
/* Appends a hash instead of a text. */
void audit_tree_append_leaf(struct audit_tree *tree,
                            const uint8_t leaf[AUDIT_HASH]);
/* RFC 9162, 2.1.3.2: the root that a leaf and its siblings (from the leaf
 * upwards) lead to. 0, or -1: the number of siblings does not fit. */
int audit_path_root(uint64_t leaf, uint64_t size,
                    const uint8_t leaf_hash[AUDIT_HASH],
                    const uint8_t (*siblings)[AUDIT_HASH], size_t count,
                    uint8_t ret_root[AUDIT_HASH]);

#endif
