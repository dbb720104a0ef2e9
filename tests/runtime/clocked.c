/* SPDX-License-Identifier: Apache-2.0
 * clocked.c - see clocked.h.
 *
 * Why: see clocked.h.  Read next: tests/runtime/meson.build (--wrap).
 */
#include <time.h>

#include "tests/runtime/clocked.h"

int64_t clocked_wall_ms, clocked_boot_ms;

int64_t __wrap_runtime_clock_ns(int clock);

void clocked_begin(void)
{
    clocked_wall_ms = CLOCKED_NOON;
    clocked_boot_ms = 100000;
}

void clocked_pass(int64_t ms)
{
    clocked_wall_ms += ms;
    clocked_boot_ms += ms;
}

int64_t __wrap_runtime_clock_ns(int clock)
{
    return (clock == CLOCK_REALTIME ? clocked_wall_ms : clocked_boot_ms) *
           1000000;
}
