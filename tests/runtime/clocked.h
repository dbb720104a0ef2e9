/* SPDX-License-Identifier: Apache-2.0
 * clocked.h - the clocks of runtime/ in a test's hand.
 *
 * Why: an instant of the wall clock, a step of it by an hour and thirty
 * seconds of a trial are tested in microseconds (--wrap=runtime_clock_ns).
 * Read next: test_turn.c, test_trial.c, runtime/clock.c.
 */
#ifndef GRAY_TESTS_RUNTIME_CLOCKED_H
#define GRAY_TESTS_RUNTIME_CLOCKED_H

#include <stdint.h>

#define CLOCKED_NOON INT64_C(1767268800000) /* 2026-01-01T12:00:00Z */

extern int64_t clocked_wall_ms; /* CLOCK_REALTIME; begins at noon */
extern int64_t clocked_boot_ms; /* every other clock */

/* Both go on. */
void clocked_pass(int64_t ms);
/* Both begin anew. */
void clocked_begin(void);

#endif
