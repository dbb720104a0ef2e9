/* SPDX-License-Identifier: Apache-2.0
 * arena.h - memory that is taken in small pieces and given back at once.
 *
 * Why: a model of 100,000 rules is a million small pieces that live and die
 * together; malloc for each would cost more than the checks.  When memory (or
 * the arena's limit) is at its end, control goes to the one place that can
 * say so, by longjmp: no check needs to look at a null pointer.
 * Read next: arena.c, model.c (who owns one).
 */
#ifndef GRAY_POLICY_ARENA_H
#define GRAY_POLICY_ARENA_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gray_arena_chunk;
struct gray_arena {
    struct gray_arena_chunk *chunks;
    char *next, *end;
    size_t taken; /* bytes of all chunks */
    size_t limit; /* 0: none */
    jmp_buf *full; /* where to go when there is no more; NULL: abort() */
};

/* Zeroed, aligned for any type. Never NULL. */
void *gray_arena_take(struct gray_arena *arena, size_t size);
/* Room for `count` things of `size` bytes; an overflow counts as full. */
void *gray_arena_array(struct gray_arena *arena, size_t count, size_t size);
/* A copy that ends in NUL. */
char *gray_arena_copy(struct gray_arena *arena, const char *data,
                      size_t length);
char *gray_arena_print(struct gray_arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void gray_arena_free(struct gray_arena *arena);

/* A growing text in an arena; what it outgrew stays until the arena goes. */
struct gray_buffer {
    struct gray_arena *arena;
    char *data; /* NUL-terminated once anything was put */
    size_t length, capacity;
};
/* Makes room for `length` more bytes. */
void gray_buffer_room(struct gray_buffer *buffer, size_t length);
void gray_buffer_put(struct gray_buffer *buffer, const char *data,
                     size_t length);
void gray_buffer_text(struct gray_buffer *buffer, const char *text);

/* Names to numbers: open addressing, grows by itself. */
struct gray_names {
    struct gray_arena *arena;
    struct gray_names_cell *cells;
    uint32_t capacity, count;
};
/* Puts a name that is not there yet: true.  Else false, and *ret_number (may
 * be NULL) is the one that it has.  The bytes must outlive the table. */
bool gray_names_add(struct gray_names *names, const char *name, size_t length,
                    uint32_t number, uint32_t *ret_number);
/* UINT32_MAX when it is not there. */
uint32_t gray_names_find(const struct gray_names *names, const char *name,
                         size_t length);

/* A 64-bit hash for tables inside one program only (chained gray_mix64). */
uint64_t gray_mix_bytes(uint64_t hash, const void *data, size_t length);

/* A number in decimal, at the end of `room`: a large policy writes a million
 * of them into pointers and names, where snprintf would be felt. */
#define GRAY_DIGITS 24
char *gray_digits(uint64_t number, char room[GRAY_DIGITS]);

#endif
