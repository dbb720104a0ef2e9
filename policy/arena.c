/* SPDX-License-Identifier: Apache-2.0
 * arena.c - pieces of memory, growing texts and tables of names in them.
 *
 * Why: see arena.h.  Chunks double up to 4 MiB, so that a small policy stays
 * small and a large one makes few calls; a piece larger than a chunk gets one
 * of its own.
 * Read next: model.c.
 */
#include "policy/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"

#define CHUNK_MIN ((size_t)16 << 10)
#define CHUNK_MAX ((size_t)4 << 20)
#define ALIGNMENT ((size_t)16)

struct gray_arena_chunk {
    struct gray_arena_chunk *next;
    size_t size;
};

static _Noreturn void full(struct gray_arena *arena)
{
    if (arena->full != NULL) {
        longjmp(*arena->full, 1);
    }
    abort();
}

static void grow(struct gray_arena *arena, size_t size)
{
    size_t want = arena->taken < CHUNK_MIN ? CHUNK_MIN : arena->taken;
    if (want > CHUNK_MAX) {
        want = CHUNK_MAX;
    }
    if (size > SIZE_MAX / 2) {
        full(arena);
    }
    size += sizeof(struct gray_arena_chunk) + ALIGNMENT;
    if (want < size) {
        want = size;
    }
    if (arena->limit != 0 && (arena->taken > arena->limit ||
                              want > arena->limit - arena->taken)) {
        full(arena);
    }
    struct gray_arena_chunk *chunk = calloc(1, want);
    if (chunk == NULL) {
        full(arena);
    }
    chunk->next = arena->chunks;
    chunk->size = want;
    arena->chunks = chunk;
    arena->taken += want;
    arena->next = (char *)chunk + sizeof(*chunk);
    arena->end = (char *)chunk + want;
}

void *gray_arena_take(struct gray_arena *arena, size_t size)
{
    if (size > SIZE_MAX - ALIGNMENT) {
        full(arena);
    }
    size = (size + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
    if (arena->next == NULL || (size_t)(arena->end - arena->next) < size) {
        grow(arena, size);
    }
    void *piece = arena->next;
    arena->next += size;
    return piece;
}

void *gray_arena_array(struct gray_arena *arena, size_t count, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total)) {
        full(arena);
    }
    return gray_arena_take(arena, total);
}

char *gray_arena_copy(struct gray_arena *arena, const char *data,
                      size_t length)
{
    char *copy = gray_arena_take(arena, length + 1);
    if (length > 0) {
        memcpy(copy, data, length);
    }
    return copy;
}

char *gray_arena_print(struct gray_arena *arena, const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    size_t size = length < 0 ? 1 : (size_t)length + 1;
    char *text = gray_arena_take(arena, size);
    if (length > 0) {
        vsnprintf(text, size, format, again);
    }
    va_end(again);
    return text;
}

char *gray_digits(uint64_t number, char room[GRAY_DIGITS])
{
    char *text = room + GRAY_DIGITS;
    *--text = '\0';
    do {
        *--text = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    return text;
}

void gray_arena_free(struct gray_arena *arena)
{
    if (arena == NULL) {
        return;
    }
    while (arena->chunks != NULL) {
        struct gray_arena_chunk *chunk = arena->chunks;
        arena->chunks = chunk->next;
        free(chunk);
    }
    arena->next = NULL;
    arena->end = NULL;
    arena->taken = 0;
}

void gray_buffer_room(struct gray_buffer *buffer, size_t length)
{
    if (buffer->capacity - buffer->length > length) {
        return;
    }
    size_t capacity = buffer->capacity < 1024 ? 1024 : buffer->capacity;
    while (capacity - buffer->length <= length) {
        if (capacity > SIZE_MAX / 2) {
            full(buffer->arena);
        }
        capacity *= 2;
    }
    char *data = gray_arena_take(buffer->arena, capacity);
    if (buffer->length > 0) {
        memcpy(data, buffer->data, buffer->length);
    }
    buffer->data = data;
    buffer->capacity = capacity;
}

void gray_buffer_put(struct gray_buffer *buffer, const char *data,
                     size_t length)
{
    gray_buffer_room(buffer, length);
    if (length > 0) {
        memcpy(buffer->data + buffer->length, data, length);
    }
    buffer->length += length;
    buffer->data[buffer->length] = '\0';
}

void gray_buffer_text(struct gray_buffer *buffer, const char *text)
{
    gray_buffer_put(buffer, text, strlen(text));
}

/* ---- names --------------------------------------------------------------- */

struct gray_names_cell {
    const char *name; /* NULL: free */
    uint64_t hash;
    size_t length;
    uint32_t number;
};

uint64_t gray_mix_bytes(uint64_t hash, const void *data, size_t length)
{
    const uint8_t *bytes = data;
    uint64_t word;
    hash ^= length * 0x9e3779b97f4a7c15ull;
    for (; length >= sizeof(word); length -= sizeof(word)) {
        memcpy(&word, bytes, sizeof(word));
        hash = gray_mix64(hash ^ word);
        bytes += sizeof(word);
    }
    word = 0;
    memcpy(&word, bytes, length);
    return gray_mix64(hash ^ word);
}

static struct gray_names_cell *cell_of(const struct gray_names *names,
                                       uint64_t hash, const char *name,
                                       size_t length)
{
    uint32_t mask = names->capacity - 1;
    for (uint32_t i = (uint32_t)(hash ^ (hash >> 32)) & mask;;
         i = (i + 1) & mask) {
        struct gray_names_cell *cell = &names->cells[i];
        if (cell->name == NULL ||
            (cell->hash == hash && cell->length == length &&
             memcmp(cell->name, name, length) == 0)) {
            return cell;
        }
    }
}

static void names_grow(struct gray_names *names)
{
    struct gray_names old = *names;
    if (old.capacity > UINT32_MAX / 4) {
        full(names->arena);
    }
    names->capacity = old.capacity == 0 ? 16 : old.capacity * 2;
    names->cells = gray_arena_array(names->arena, names->capacity,
                                    sizeof(*names->cells));
    for (uint32_t i = 0; i < old.capacity; i++) {
        const struct gray_names_cell *cell = &old.cells[i];
        if (cell->name != NULL) {
            *cell_of(names, cell->hash, cell->name, cell->length) = *cell;
        }
    }
}

bool gray_names_add(struct gray_names *names, const char *name, size_t length,
                    uint32_t number, uint32_t *ret_number)
{
    if (names->count >= names->capacity / 2) {
        names_grow(names);
    }
    uint64_t hash = gray_mix_bytes(0, name, length);
    struct gray_names_cell *cell = cell_of(names, hash, name, length);
    if (cell->name != NULL) {
        if (ret_number != NULL) {
            *ret_number = cell->number;
        }
        return false;
    }
    cell->name = name;
    cell->hash = hash;
    cell->length = length;
    cell->number = number;
    names->count++;
    return true;
}

uint32_t gray_names_find(const struct gray_names *names, const char *name,
                         size_t length)
{
    if (names->capacity == 0) {
        return UINT32_MAX;
    }
    uint64_t hash = gray_mix_bytes(0, name, length);
    const struct gray_names_cell *cell = cell_of(names, hash, name, length);
    return cell->name == NULL ? UINT32_MAX : cell->number;
}
