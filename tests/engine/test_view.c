/* SPDX-License-Identifier: Apache-2.0
 * test_view.c - short cuts over bytes answer as the plain ways do.
 *
 * Why: comparisons that look at eight bytes at a time go wrong at their edges,
 * and then a rule holds for a neighbour of the value that was meant.
 * Read next: ../../engine/view.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include <cmocka.h>

#include "engine/view.h"

#define LONGEST 40u

/* Every length, one differing byte at every place. */
static void same_bytes_are_the_same(void **state)
{
    char a[LONGEST], b[LONGEST];
    (void)state;
    memset(a, 'q', sizeof(a));
    for (uint32_t length = 0; length <= LONGEST; length++) {
        memcpy(b, a, sizeof(a));
        assert_true(view_same(a, b, length));
        assert_true(view_same_nocase(a, b, length));
        for (uint32_t i = 0; i < length; i++) {
            b[i] = 'r';
            assert_false(view_same(a, b, length));
            assert_false(view_same_nocase(a, b, length));
            b[i] = 'Q';
            assert_false(view_same(a, b, length));
            assert_true(view_same_nocase(a, b, length));
            b[i] = 'q';
        }
    }
}

/* Every byte against every other, alone and among eight. */
static void case_is_of_ascii_letters_alone(void **state)
{
    (void)state;
    for (uint32_t x = 0; x < 256; x++) {
        uint8_t lower = x >= 'A' && x <= 'Z' ? (uint8_t)(x + 32) : (uint8_t)x;
        assert_int_equal(view_lower((uint8_t)x), lower);
        for (uint32_t place = 0; place < 8; place++) {
            uint8_t bytes[8], expected[8];
            memset(bytes, 'Z', 8);
            memset(expected, 'z', 8);
            bytes[place] = (uint8_t)x;
            expected[place] = lower;
            uint64_t word = view_lower8(view_load8((const char *)bytes));
            assert_memory_equal(&word, expected, 8);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_bytes_are_the_same),
        cmocka_unit_test(case_is_of_ascii_letters_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
