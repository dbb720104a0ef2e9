/* SPDX-License-Identifier: Apache-2.0
 * test_moment.c - moments as people are shown them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cli/cli.h"

static void moments_are_written_in_utc(void **state)
{
    char text[40];

    (void)state;
    assert_string_equal(moment_text(1767225600000, text),
                        "2026-01-01T00:00:00Z");
    assert_string_equal(moment_text(1767225600999, text),
                        "2026-01-01T00:00:00Z");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moments_are_written_in_utc),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
