/* SPDX-License-Identifier: Apache-2.0
 * test_list.c - engine/list.c: membership, and what is refused.
 *
 * Why: a list is a black list too; one id missed or one too many is a user in
 * the wrong version.
 * Read next: craft.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/engine/craft.h"

static struct craft file;

static struct gray_list opened(void)
{
    struct gray_list list;
    struct gray_problem problem;

    assert_int_equal(gray_list_open(&list, file.bytes, file.length, &problem),
                     0);
    return list;
}

static bool has(const struct gray_list *list, const char *id)
{
    return gray_list_has(list, craft_str(id));
}

static void finds_what_is_there(void **state)
{
    static const char *const ids[] = {"0",
                                      "3",
                                      "7",
                                      "1001",
                                      "18446744073709551615",
                                      "18446744073709551616",
                                      "alice",
                                      "007",
                                      "-1",
                                      "+1",
                                      "1e3",
                                      "99999999999999999999",
                                      "\xc3\xa9"};
    static const char *const others[] = {
        "",
        "1",
        "00",
        "01001",
        "1001 ",
        " 1001",
        "18446744073709551614",
        "18446744073709551619", /* 3 and 2^64 */
        "18446744073709551623", /* 7 and 2^64 */
        "Alice",
        "alic",
        "alicea",
        "07",
        "+7",
        "100000000000000000000"};
    uint32_t bits, strict, i;

    (void)state;
    for (bits = 0; bits <= 6; bits += 3) {
        for (strict = 0; strict < 2; strict++) {
            struct gray_list list;

            craft_list(&file, ids, sizeof(ids) / sizeof(*ids), bits,
                       strict != 0);
            list = opened();
            for (i = 0; i < sizeof(ids) / sizeof(*ids); i++) {
                assert_true(has(&list, ids[i]));
            }
            for (i = 0; i < sizeof(others) / sizeof(*others); i++) {
                assert_false(has(&list, others[i]));
            }
        }
    }
}

/* One cell with thousands of keys takes the way by halves. */
static void finds_in_a_crowded_cell(void **state)
{
    static char text[3000][8];
    static const char *ids[3000];
    char other[8];
    struct gray_list list;
    uint32_t bits, i;

    (void)state;
    for (i = 0; i < 3000; i++) {
        snprintf(text[i], sizeof(text[i]), "%s%u", i % 2 ? "u" : "", i);
        ids[i] = text[i];
    }
    for (bits = 0; bits <= 10; bits += 5) {
        craft_list(&file, ids, 3000, bits, bits == 5);
        list = opened();
        for (i = 0; i < 3000; i++) {
            assert_true(has(&list, text[i]));
            snprintf(other, sizeof(other), "%s%u", i % 2 ? "" : "u", i);
            assert_false(has(&list, other));
        }
    }
}

static void an_empty_list_has_nobody(void **state)
{
    struct gray_list list;

    (void)state;
    craft_list(&file, NULL, 0, 0, false);
    list = opened();
    assert_false(has(&list, "1"));
    assert_false(has(&list, "a"));
    assert_false(has(&list, ""));
}

/* Strict lists compare the strings: a stranger whose hash is there stays
 * out.  Where they are not kept, the hash alone is the answer. */
static void strict_compares_the_strings(void **state)
{
    static const char *const ids[] = {"alice"};
    const struct gray_list_file *body =
        (const void *)(file.bytes + sizeof(struct gray_file_header));
    struct gray_list list;
    uint64_t *offsets;

    (void)state;
    craft_list(&file, ids, 1, 0, true);
    list = opened();
    assert_true(has(&list, "alice"));
    offsets = (uint64_t *)(file.bytes + body->strings);
    memcpy(file.bytes + *offsets + 4, "malic", 5);
    assert_false(has(&list, "alice"));
    *offsets = file.length - 3; /* the string's length lies half outside */
    assert_false(has(&list, "alice"));
    *offsets = UINT64_MAX - 1;
    assert_false(has(&list, "alice"));
}

static void damage(struct gray_list_half *half, uint32_t which)
{
    uint32_t *dir = (uint32_t *)(file.bytes + half->dir);

    switch (which) {
    case 0:
        half->count = UINT64_MAX;
        break;
    case 1:
        half->count++;
        break;
    case 2:
        half->keys += 4;
        break;
    case 3:
        half->keys = file.length;
        break;
    case 4:
        half->keys = UINT64_MAX - 7;
        break;
    case 5:
        half->dir = file.length & ~UINT64_C(7);
        break;
    case 6:
        half->dir += 2;
        break;
    case 7:
        half->dir_bits = 32;
        break;
    case 8:
        half->dir_bits = 64;
        break;
    case 9:
        dir[0] = 1;
        break;
    case 10:
        dir[1] = UINT32_MAX;
        break;
    default:
        dir[1u << half->dir_bits]--;
        break;
    }
}

static void refuses_damage(void **state)
{
    static const char *const ids[] = {"1", "2", "3", "a", "b", "c"};
    struct gray_list_file *body =
        (void *)(file.bytes + sizeof(struct gray_file_header));
    struct gray_file_header *header = (void *)file.bytes;
    struct gray_list list = {NULL, 0, NULL};
    struct gray_problem problem;
    uint32_t which;
    uint64_t length;

    (void)state;
    for (which = 0; which < 24; which++) {
        craft_list(&file, ids, 6, 2, true);
        damage(which % 2 ? &body->text : &body->numeric, which / 2);
        assert_int_equal(
            gray_list_open(&list, file.bytes, file.length, &problem), -1);
        assert_string_equal(problem.code, "bad-list");
        assert_null(list.file);
    }
    craft_list(&file, ids, 6, 2, true);
    body->strings = file.length - 8;
    assert_int_equal(gray_list_open(&list, file.bytes, file.length, &problem),
                     -1);
    craft_list(&file, ids, 6, 2, true);
    for (length = 0; length < file.length; length++) {
        assert_int_equal(gray_list_open(&list, file.bytes, length, &problem),
                         -1);
    }
    header->layout++;
    assert_int_equal(gray_list_open(&list, file.bytes, file.length, NULL), -1);
    header->layout--;
    header->magic[0] = 'X';
    assert_int_equal(gray_list_open(&list, file.bytes, file.length, &problem),
                     -1);
    assert_string_equal(problem.code, "bad-header");
    assert_int_equal(
        gray_list_open(&list, file.bytes + 4, file.length - 4, NULL), -1);
    assert_null(list.file);
}

/* Keys in a wrong order can only miss: every look-up ends inside the file. */
static void a_wrong_order_only_misses(void **state)
{
    static char text[200][8];
    static const char *ids[200];
    const struct gray_list_file *body =
        (const void *)(file.bytes + sizeof(struct gray_file_header));
    struct gray_list list;
    uint64_t *keys;
    uint32_t i;

    (void)state;
    for (i = 0; i < 200; i++) {
        snprintf(text[i], sizeof(text[i]), "%u", i);
        ids[i] = text[i];
    }
    craft_list(&file, ids, 200, 0, false);
    keys = (uint64_t *)(file.bytes + body->numeric.keys);
    for (i = 0; i < 100; i++) {
        uint64_t key = keys[i];

        keys[i] = keys[199 - i];
        keys[199 - i] = key;
    }
    list = opened();
    for (i = 200; i < 400; i++) {
        snprintf(text[0], sizeof(text[0]), "%u", i);
        assert_false(has(&list, text[0]));
    }
}

/* The last key ends the file: what lies behind it is somebody else's. */
static void reads_nothing_behind_the_keys(void **state)
{
    static const char *const ids[] = {"1", "2", "3"};
    struct gray_list_file *body =
        (void *)(file.bytes + sizeof(struct gray_file_header));
    struct gray_list list;
    char text[8];
    uint8_t *exact;
    uint32_t bits, i, found;

    (void)state;
    for (bits = 0; bits <= 6; bits += 6) {
        craft_list(&file, ids, 3, bits, false);
        body->numeric.keys =
            craft_put(&file, file.bytes + body->numeric.keys, 3 * 8);
        craft_end(&file);
        exact = malloc(file.length);
        assert_non_null(exact);
        memcpy(exact, file.bytes, file.length);
        assert_int_equal(gray_list_open(&list, exact, file.length, NULL), 0);
        for (i = 0, found = 0; i < 1000; i++) {
            snprintf(text, sizeof(text), "%u", i);
            found += has(&list, text);
        }
        assert_int_equal(found, 3);
        free(exact);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_is_there),
        cmocka_unit_test(finds_in_a_crowded_cell),
        cmocka_unit_test(an_empty_list_has_nobody),
        cmocka_unit_test(strict_compares_the_strings),
        cmocka_unit_test(refuses_damage),
        cmocka_unit_test(a_wrong_order_only_misses),
        cmocka_unit_test(reads_nothing_behind_the_keys),
    };

    return cmocka_run_group_tests_name("list", tests, NULL, NULL);
}
