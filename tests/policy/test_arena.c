/* SPDX-License-Identifier: Apache-2.0
 * test_arena.c - pieces, growing texts, names, and the end of memory.
 *
 * Why: everything of a model lies in one; a piece that overlaps another, or a
 * limit that does not hold, would be found far away.
 * Read next: ../../policy/arena.c.
 */
#include "tests/policy/read_policy.h"

#include "policy/arena.h"

static void test_pieces_are_zeroed_and_apart(void **state)
{
    struct gray_arena arena = {0};
    unsigned char *pieces[2000];
    (void)state;
    for (size_t i = 0; i < 2000; i++) {
        size_t size = i * 7 % 900;
        pieces[i] = gray_arena_take(&arena, size);
        assert_int_equal((uintptr_t)pieces[i] % 16, 0);
        for (size_t b = 0; b < size; b++) {
            assert_int_equal(pieces[i][b], 0);
        }
        memset(pieces[i], (int)(i & 0xff), size);
    }
    for (size_t i = 0; i < 2000; i++) {
        for (size_t b = 0; b < i * 7 % 900; b++) {
            assert_int_equal(pieces[i][b], i & 0xff);
        }
    }
    unsigned char *large = gray_arena_take(&arena, 10u << 20);
    memset(large, 1, 10u << 20);
    gray_arena_free(&arena);
    gray_arena_free(&arena);
    gray_arena_free(NULL);
}

static void test_the_limit_leads_to_full(void **state)
{
    struct gray_arena arena = {.limit = 64u << 10};
    jmp_buf full;
    volatile size_t taken = 0;
    (void)state;
    if (setjmp(full) == 0) {
        arena.full = &full;
        for (;;) {
            gray_arena_take(&arena, 1024);
            taken = taken + 1;
        }
    }
    assert_true(taken > 8 && taken <= 64);
    if (setjmp(full) == 0) {
        gray_arena_array(&arena, SIZE_MAX / 2, 3);
        fail();
    }
    if (setjmp(full) == 0) {
        gray_arena_take(&arena, SIZE_MAX - 3);
        fail();
    }
    arena.full = NULL;
    gray_arena_free(&arena);
}

static void test_buffers_grow(void **state)
{
    struct gray_arena arena = {0};
    struct gray_buffer buffer = {.arena = &arena};
    (void)state;
    for (int i = 0; i < 10000; i++) {
        gray_buffer_put(&buffer, "0123456789", (size_t)i % 11);
    }
    assert_int_equal(buffer.length, strlen(buffer.data));
    gray_buffer_text(&buffer, "end");
    assert_string_equal(buffer.data + buffer.length - 3, "end");
    gray_arena_free(&arena);
}

static void test_names(void **state)
{
    struct gray_arena arena = {0};
    struct gray_names names = {.arena = &arena};
    uint32_t number = 0;
    (void)state;
    assert_int_equal(gray_names_find(&names, "x", 1), UINT32_MAX);
    for (uint32_t i = 0; i < 50000; i++) {
        char *name = gray_arena_print(&arena, "name-%u", i);
        assert_true(gray_names_add(&names, name, strlen(name), i, NULL));
    }
    assert_false(gray_names_add(&names, "name-77", 7, 1, &number));
    assert_int_equal(number, 77);
    for (uint32_t i = 0; i < 50000; i++) {
        char name[32];
        snprintf(name, sizeof(name), "name-%u", i);
        assert_int_equal(gray_names_find(&names, name, strlen(name)), i);
    }
    assert_int_equal(gray_names_find(&names, "name-50000", 10), UINT32_MAX);
    assert_int_equal(gray_names_find(&names, "name-7", 5), UINT32_MAX);
    gray_arena_free(&arena);
}

static void test_digits(void **state)
{
    static const uint64_t cases[] = {0, 7, 10, 4294967296, UINT64_MAX};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char room[GRAY_DIGITS], want[32];
        snprintf(want, sizeof(want), "%llu", (unsigned long long)cases[i]);
        assert_string_equal(gray_digits(cases[i], room), want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces_are_zeroed_and_apart),
        cmocka_unit_test(test_the_limit_leads_to_full),
        cmocka_unit_test(test_buffers_grow),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_digits),
    };
    return cmocka_run_group_tests_name("arena", tests, NULL, NULL);
}
