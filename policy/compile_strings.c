/* SPDX-License-Identifier: Apache-2.0
 * compile_strings.c - buffers, interned strings, attribute slots, findings.
 *
 * Why: a policy of 100,000 rules names the same headers and versions again and
 * again.  Every string and every attribute is kept once, found by its hash, in
 * the order in which the model first names it: the same model gives the same
 * bytes.
 * Read next: compile.h, compile_program.c.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/compile.h"

/* Offsets in a file are 32 bits wide. */
#define BUFFER_MAX (UINT32_MAX - 4096u)

void *bytes_add(struct build *build, struct bytes *buffer, size_t size)
{
    size_t capacity = buffer->capacity == 0 ? 256 : buffer->capacity;
    uint8_t *data;

    if (size > BUFFER_MAX || buffer->length > BUFFER_MAX - size) {
        build->failed = build->no_memory = true;
        return NULL;
    }
    while (capacity < buffer->length + size) {
        capacity += capacity / 2;
    }
    if (buffer->data == NULL || capacity != buffer->capacity) {
        data = realloc(buffer->data, capacity);
        if (data == NULL) {
            build->failed = build->no_memory = true;
            return NULL;
        }
        buffer->data = data;
        buffer->capacity = capacity;
    }
    data = buffer->data + buffer->length;
    memset(data, 0, size);
    buffer->length += size;
    return data;
}

int bytes_align(struct build *build, struct bytes *buffer)
{
    size_t rest = buffer->length & 7;

    if (rest == 0) {
        return 0;
    }
    return bytes_add(build, buffer, 8 - rest) == NULL ? -1 : 0;
}

void bytes_free(struct bytes *buffer)
{
    free(buffer->data);
    memset(buffer, 0, sizeof(*buffer));
}

uint32_t map_next(const struct map *map, uint32_t hash, uint32_t *cursor)
{
    uint32_t mask = map->size - 1;
    const struct map_cell *cell;

    if (map->size == 0) {
        return GRAY_NONE;
    }
    for (;;) {
        cell = &map->cells[(hash + *cursor) & mask];
        *cursor += 1;
        if (cell->value == GRAY_NONE) {
            return GRAY_NONE;
        }
        if (cell->hash == hash) {
            return cell->value;
        }
    }
}

static void map_put(struct map *map, uint32_t hash, uint32_t value)
{
    uint32_t mask = map->size - 1, at = hash & mask;

    while (map->cells[at].value != GRAY_NONE) {
        at = (at + 1) & mask;
    }
    map->cells[at].hash = hash;
    map->cells[at].value = value;
}

int map_add(struct build *build, struct map *map, uint32_t hash,
            uint32_t value)
{
    struct map old = *map;
    uint32_t i;

    if (map->size == 0 || map->used >= map->size / 2) {
        map->size = old.size == 0 ? 64 : old.size * 2;
        map->cells = malloc((size_t)map->size * sizeof(*map->cells));
        if (map->cells == NULL) {
            *map = old;
            build->failed = build->no_memory = true;
            return -1;
        }
        memset(map->cells, 0xff, (size_t)map->size * sizeof(*map->cells));
        for (i = 0; i < old.size; i++) {
            if (old.cells[i].value != GRAY_NONE) {
                map_put(map, old.cells[i].hash, old.cells[i].value);
            }
        }
        free(old.cells);
    }
    map_put(map, hash, value);
    map->used++;
    return 0;
}

struct gray_str build_text(const struct build *build, struct gray_ref ref)
{
    struct gray_str text = {"", ref.length};

    if (ref.length != 0) {
        text.data = (const char *)build->strings.data +
                    (ref.offset - build->strings_base);
    }
    return text;
}

struct gray_ref build_string(struct build *build, const char *data,
                             size_t length)
{
    struct gray_ref none = {build->strings_base, 0}, ref, *refs;
    uint32_t hash, cursor = 0, at;
    uint8_t *room;

    if (length == 0) {
        return none;
    }
    hash = gray_murmur3_32(data, length, 0);
    for (;;) {
        at = map_next(&build->string_map, hash, &cursor);
        if (at == GRAY_NONE) {
            break;
        }
        ref = TABLE(build->string_refs, struct gray_ref)[at];
        if (ref.length == length &&
            memcmp(build_text(build, ref).data, data, length) == 0) {
            return ref;
        }
    }
    ref.offset = build->strings_base + (uint32_t)build->strings.length;
    ref.length = (uint32_t)length;
    at = COUNT(build->string_refs, struct gray_ref);
    room = bytes_add(build, &build->strings, length);
    refs = bytes_add(build, &build->string_refs, sizeof(*refs));
    if (room == NULL || refs == NULL ||
        map_add(build, &build->string_map, hash, at) != 0) {
        return none;
    }
    memcpy(room, data, length);
    *refs = ref;
    return ref;
}

struct gray_ref build_name(struct build *build, const char *name)
{
    return build_string(build, name, name == NULL ? 0 : strlen(name));
}

struct gray_ref build_lower(struct build *build, struct model_text text)
{
    struct gray_ref ref = {build->strings_base, 0};
    char small[256], *lower = small;
    uint32_t i;
    char c;

    if (text.length == 0) {
        return ref;
    }
    if (text.length > sizeof(small)) {
        lower = malloc(text.length);
        if (lower == NULL) {
            build->failed = build->no_memory = true;
            return ref;
        }
    }
    for (i = 0; i < text.length; i++) {
        c = text.data[i];
        lower[i] = (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
    }
    ref = build_string(build, lower, text.length);
    if (lower != small) {
        free(lower);
    }
    return ref;
}

uint32_t build_slot(struct build *build, uint8_t source,
                    struct model_text name)
{
    uint32_t hash, cursor = 0, at;
    struct gray_slot *slot;
    struct gray_str known;
    struct gray_ref ref;

    if (source == GRAY_SOURCE_TIME) {
        return GRAY_NONE;
    }
    build->needs |= UINT32_C(1) << source;
    hash = gray_hash_name(name.data, name.length) + source * 0x9e3779b1u;
    for (;;) {
        at = map_next(&build->slot_map, hash, &cursor);
        if (at == GRAY_NONE) {
            break;
        }
        slot = TABLE(build->slots, struct gray_slot) + at;
        known = build_text(build, slot->name);
        if (slot->source == source && known.length == name.length &&
            (name.length == 0 ||
             memcmp(known.data, name.data, name.length) == 0)) {
            return at;
        }
    }
    at = COUNT(build->slots, struct gray_slot);
    ref = build_string(build, name.data, name.length);
    slot = bytes_add(build, &build->slots, sizeof(*slot));
    if (slot == NULL || map_add(build, &build->slot_map, hash, at) != 0) {
        return GRAY_NONE;
    }
    slot->name = ref;
    slot->hash = hash;
    slot->source = source;
    return at;
}

/* "Release/cart-2"; NULL when no document is being compiled. */
static char *document_name(const struct build *build)
{
    char *name = NULL;

    if (build->kind == NULL || build->document == NULL ||
        asprintf(&name, "%s/%s", build->kind, build->document) < 0) {
        return NULL;
    }
    return name;
}

void build_finding(struct build *build, enum gray_severity severity,
                   enum gray_problem_number problem, const char *pointer,
                   const char *format, ...)
{
    struct gray_finding_head head = {severity, problem};
    char *document = document_name(build);
    va_list arguments;

    if (severity == GRAY_ERROR) {
        build->failed = true;
    }
    if (build->findings != NULL) {
        head.pointer = pointer == NULL ? "" : pointer;
        head.document = document;
        va_start(arguments, format);
        gray_findings_addv(build->findings, &head, format, arguments);
        va_end(arguments);
    }
    free(document);
}
