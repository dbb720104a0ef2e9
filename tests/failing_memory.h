/* SPDX-License-Identifier: Apache-2.0
 * failing_memory.h - allocations that fail when a test says, by --wrap.
 *
 * Why: each test of what happens without memory fails every allocation in its
 * turn. Included once a program, which is linked with -Wl,--wrap=malloc,
 * --wrap=calloc, --wrap=realloc and --wrap=strdup.
 */
#ifndef GRAY_TESTS_FAILING_MEMORY_H
#define GRAY_TESTS_FAILING_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

/* Allocations until one fails; negative: none does. */
static long until = -1;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
char *__wrap_strdup(const char *text);

static bool fails(void)
{
    return until >= 0 && until-- == 0;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return fails() ? NULL : __real_realloc(old, size);
}

char *__wrap_strdup(const char *text)
{
    return fails() ? NULL : __real_strdup(text);
}

#endif
