/* SPDX-License-Identifier: Apache-2.0
 * hooks.c - see hooks.h.
 *
 * Why: see hooks.h.  Read next: tests/runtime/meson.build (--wrap).
 */
#include "tests/runtime/hooks.h"
#include "runtime/internal.h"

void (*before_take)(void), (*after_take)(void), (*before_move)(void);
uint32_t clock_reads;

int __real_gray_mark_take(const struct gray_marks *marks,
                          struct gray_mark_key key, uint64_t value,
                          uint64_t *ret_found);
int __wrap_gray_mark_take(const struct gray_marks *marks,
                          struct gray_mark_key key, uint64_t value,
                          uint64_t *ret_found);
int __real_gray_mark_move(const struct gray_marks *marks,
                          struct gray_mark_key key, uint64_t from, uint64_t to,
                          enum gray_mark_by by, uint64_t *ret_found);
int __wrap_gray_mark_move(const struct gray_marks *marks,
                          struct gray_mark_key key, uint64_t from, uint64_t to,
                          enum gray_mark_by by, uint64_t *ret_found);
int64_t __real_runtime_clock_ns(int clock);
int64_t __wrap_runtime_clock_ns(int clock);

void hooks_clear(void)
{
    before_take = after_take = before_move = NULL;
    clock_reads = 0;
}

static void once(void (**hook)(void))
{
    void (*call)(void) = *hook;

    *hook = NULL;
    if (call != NULL) {
        call();
    }
}

int __wrap_gray_mark_take(const struct gray_marks *marks,
                          struct gray_mark_key key, uint64_t value,
                          uint64_t *ret_found)
{
    int result;

    once(&before_take);
    result = __real_gray_mark_take(marks, key, value, ret_found);
    once(&after_take);
    return result;
}

int __wrap_gray_mark_move(const struct gray_marks *marks,
                          struct gray_mark_key key, uint64_t from, uint64_t to,
                          enum gray_mark_by by, uint64_t *ret_found)
{
    once(&before_move);
    return __real_gray_mark_move(marks, key, from, to, by, ret_found);
}

int64_t __wrap_runtime_clock_ns(int clock)
{
    clock_reads++;
    return __real_runtime_clock_ns(clock);
}
