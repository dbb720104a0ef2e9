/* SPDX-License-Identifier: Apache-2.0
 * hooks.h - something happens between two instructions of an admission.
 *
 * Why: what matters are the moments between record, slot and answer, and no
 * clock hits them.  The linker (--wrap) puts a call before and after every
 * take and before every move; the real one is made all the same.
 * Read next: hooks.c, test_admit.c.
 */
#ifndef GRAY_TESTS_RUNTIME_HOOKS_H
#define GRAY_TESTS_RUNTIME_HOOKS_H

#include <stdint.h>

/* Each is called once, at the next such moment, and forgotten. */
extern void (*before_take)(void), (*after_take)(void), (*before_move)(void);
extern uint32_t clock_reads; /* of runtime_clock_ns() */
void hooks_clear(void);

#endif
