/* SPDX-License-Identifier: Apache-2.0
 * test_tree.c - the tree is that of RFC 6962, and only true paths lead up.
 *
 * The eight leaves, their roots and paths are those of the reference
 * implementation of Certificate Transparency (merkle_tree_test.cc), which
 * other logs test themselves with too.
 * Read next: control/audit/tree.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control/audit/internal.h"

static const char *const leaves[8] = {
    "",         "00",       "10",
    "2021",     "3031",     "40414243",
    "5051525354555657",     "606162636465666768696a6b6c6d6e6f",
};
static const char *const roots[9] = {
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
};
/* leaf (from 0), size, siblings from the leaf upwards */
static const struct {
    uint64_t leaf, size;
    unsigned count;
    const char *siblings[3];
} paths[] = {
    {0, 1, 0, {NULL}},
    {0, 8, 3,
     {"96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
      "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
      "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"}},
    {5, 8, 3,
     {"bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
      "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
      "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"}},
    {2, 3, 1,
     {"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"}},
    {1, 5, 3,
     {"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
      "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
      "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"}},
};

static void assert_hash(const uint8_t hash[AUDIT_HASH], const char *hex)
{
    char text[2 * AUDIT_HASH + 1];

    hex_write(hash, AUDIT_HASH, text);
    assert_string_equal(text, hex);
}

static void leaf_bytes(size_t i, char ret_bytes[16], size_t *ret_length)
{
    *ret_length = strlen(leaves[i]) / 2;
    assert_int_equal(hex_read(leaves[i], (uint8_t *)ret_bytes, *ret_length),
                     0);
}

static void roots_are_the_published_ones(void **state)
{
    struct audit_tree tree = {0};
    uint8_t root[AUDIT_HASH];
    char bytes[16];
    size_t i, length;

    (void)state;
    for (i = 0; i <= 8; i++) {
        audit_tree_root(&tree, root);
        assert_hash(root, roots[i]);
        assert_int_equal(tree.size, i);
        if (i < 8) {
            leaf_bytes(i, bytes, &length);
            audit_tree_append(&tree, bytes, length);
        }
    }
}

static void paths_are_the_published_ones(void **state)
{
    struct audit_path path;
    uint8_t leaf[AUDIT_HASH];
    char bytes[16];
    size_t p, i, length;

    (void)state;
    for (p = 0; p < sizeof(paths) / sizeof(paths[0]); p++) {
        audit_path_begin(&path, paths[p].leaf, paths[p].size);
        for (i = 0; i < 8; i++) { /* beyond the size too: ignored */
            leaf_bytes(i, bytes, &length);
            audit_leaf(bytes, length, leaf);
            audit_path_add(&path, leaf);
        }
        assert_int_equal(path.count, paths[p].count);
        for (i = 0; i < path.count; i++) {
            assert_hash(path.siblings[i].hash, paths[p].siblings[i]);
        }
    }
}

/* ---- every leaf of every tree up to 200 -------------------------------- */

#define MOST 200u
static uint8_t hashes[MOST][AUDIT_HASH];

static void make_hashes(void)
{
    size_t i;

    for (i = 0; i < MOST; i++) {
        char text[16];

        audit_leaf(text, (size_t)sprintf(text, "record %zu", i), hashes[i]);
    }
}

/* The definition, word for word: MTH of RFC 6962, 2.1. */
static void defined_root(size_t first, size_t end, uint8_t ret_root[AUDIT_HASH])
{
    uint8_t left[AUDIT_HASH], right[AUDIT_HASH];
    size_t half = 1;

    if (end - first == 1) {
        memcpy(ret_root, hashes[first], AUDIT_HASH);
        return;
    }
    while (2 * half < end - first) {
        half *= 2;
    }
    defined_root(first, first + half, left);
    defined_root(first + half, end, right);
    audit_node(left, right, ret_root);
}

static void collect(uint64_t leaf, uint64_t size, struct audit_path *ret_path,
                    uint8_t ret_siblings[AUDIT_PATH_MAX][AUDIT_HASH])
{
    size_t i;

    audit_path_begin(ret_path, leaf, size);
    for (i = 0; i < size; i++) {
        audit_path_add(ret_path, hashes[i]);
    }
    assert_memory_equal(ret_path->leaf_hash, hashes[leaf], AUDIT_HASH);
    for (i = 0; i < ret_path->count; i++) {
        memcpy(ret_siblings[i], ret_path->siblings[i].hash, AUDIT_HASH);
    }
}

/* Whether the path leads to this root. */
static bool leads(uint64_t leaf, uint64_t size,
                  uint8_t siblings[AUDIT_PATH_MAX][AUDIT_HASH], size_t count,
                  const uint8_t root[AUDIT_HASH])
{
    uint8_t reached[AUDIT_HASH];

    return audit_path_root(leaf, size, hashes[leaf % MOST],
                           (const uint8_t(*)[AUDIT_HASH])siblings, count,
                           reached) == 0 &&
           memcmp(reached, root, AUDIT_HASH) == 0;
}

static int path_error(uint64_t leaf, uint64_t size,
                      uint8_t siblings[AUDIT_PATH_MAX][AUDIT_HASH],
                      size_t count)
{
    uint8_t reached[AUDIT_HASH];

    return audit_path_root(leaf, size, hashes[leaf],
                           (const uint8_t(*)[AUDIT_HASH])siblings, count,
                           reached);
}

static void every_leaf_is_proved_and_no_other_path_holds(void **state)
{
    uint8_t siblings[AUDIT_PATH_MAX][AUDIT_HASH], root[AUDIT_HASH];
    struct audit_path path;
    struct audit_tree tree = {0};
    uint64_t size, leaf;
    size_t i;

    (void)state;
    make_hashes();
    for (size = 1; size <= MOST; size++) {
        uint8_t defined[AUDIT_HASH];

        audit_tree_append_leaf(&tree, hashes[size - 1]);
        audit_tree_root(&tree, root);
        defined_root(0, size, defined);
        assert_memory_equal(root, defined, AUDIT_HASH);
        for (leaf = 0; leaf < size; leaf++) {
            collect(leaf, size, &path, siblings);
            assert_true(leads(leaf, size, siblings, path.count, root));
            assert_false(leads(leaf, size, siblings, path.count + 1, root));
            assert_false(leads(size, size, siblings, path.count, root));
            assert_false(size > 1 && leads((leaf + 1) % size, size, siblings,
                                           path.count, root));
            /* too few, too many: said, not only another root */
            assert_int_equal(path_error(leaf, size, siblings, path.count), 0);
            assert_int_equal(path_error(leaf, size, siblings, path.count + 1),
                             -1);
            for (i = 0; i < path.count; i++) {
                assert_int_equal(path_error(leaf, size, siblings, i), -1);
                siblings[i][(leaf + i) % AUDIT_HASH] ^= 1;
                assert_false(leads(leaf, size, siblings, path.count, root));
                siblings[i][(leaf + i) % AUDIT_HASH] ^= 1;
                assert_false(leads(leaf, size, siblings, i, root));
            }
        }
    }
    assert_false(leads(0, 0, siblings, 0, root));
}

static void a_path_of_the_largest_tree_fits(void **state)
{
    struct audit_path path;

    (void)state;
    audit_path_begin(&path, UINT64_C(1) << 62, UINT64_MAX);
    assert_in_range(path.count, 63, AUDIT_PATH_MAX);
    audit_path_begin(&path, 0, UINT64_MAX);
    assert_int_equal(path.count, AUDIT_PATH_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(roots_are_the_published_ones),
        cmocka_unit_test(paths_are_the_published_ones),
        cmocka_unit_test(every_leaf_is_proved_and_no_other_path_holds),
        cmocka_unit_test(a_path_of_the_largest_tree_fits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
