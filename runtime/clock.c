/* SPDX-License-Identifier: Apache-2.0
 * clock.c - the clocks of runtime/, in one place.
 *
 * Why: readers turn at an instant of the wall clock and are on trial for
 * seconds of the boot clock; tests put their own clock here (--wrap) and never
 * sleep.  Nobody else in runtime/ asks the kernel what time it is.
 * Read next: turn.c.
 */
#include <time.h>

#include "runtime/internal.h"

int64_t runtime_clock_ns(int clock)
{
    struct timespec now = {0};

    clock_gettime((clockid_t)clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}
