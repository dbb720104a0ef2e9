/* SPDX-License-Identifier: Apache-2.0
 * locate.c - the place of a JSON pointer in a YAML or JSON text.
 *
 * Why: see locate.h.  Both walkers hold a stack of path hashes and look each
 * value's hash up in a small table of those asked for.  The texts were read
 * without errors before, but nothing here relies on it: at anything odd a walk
 * ends, and a place that was not found stays 0.
 * Read next: findings.h, check.c.
 */
#include "policy/locate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "engine/engine.h"
#include "policy/arena.h"

/* ---- paths --------------------------------------------------------------- */

uint64_t gray_path_step(uint64_t path, const char *key, size_t length)
{
    return gray_mix_bytes(gray_mix64(path + 1), key, length);
}

static uint64_t path_index(uint64_t path, size_t index)
{
    char room[GRAY_DIGITS];
    const char *number = gray_digits(index, room);
    return gray_path_step(path, number, strlen(number));
}

static uint64_t path_number(size_t number)
{
    return gray_mix64((uint64_t)number + 1);
}

uint64_t gray_path_root(const struct gray_document *document)
{
    uint64_t path = path_number(document->number);
    return document->item == GRAY_NO_ITEM
               ? path
               : path_index(path, document->item);
}

uint64_t gray_path_pointer(uint64_t path, const char *pointer)
{
    while (*pointer == '/') {
        const char *step = ++pointer;
        size_t raw = strcspn(step, "/");
        char *key = malloc(raw + 1);
        size_t length = 0;
        if (key == NULL) {
            return path;
        }
        for (size_t i = 0; i < raw; i++) {
            if (step[i] == '~' && i + 1 < raw) {
                i++;
                key[length++] = step[i] == '1' ? '/' : '~';
            } else {
                key[length++] = step[i];
            }
        }
        path = gray_path_step(path, key, length);
        free(key);
        pointer += raw;
    }
    return path;
}

/* ---- the places asked for ------------------------------------------------ */

struct walk {
    struct gray_place *places;
    uint32_t *cells; /* number + 1; 0: free; a power of two of them */
    size_t mask;
    size_t open; /* places not found yet */
};

static bool walk_begin(struct walk *walk, struct gray_place *places,
                       size_t count)
{
    size_t capacity = 16;
    while (capacity < 2 * count) {
        capacity *= 2;
    }
    walk->places = places;
    walk->mask = capacity - 1;
    walk->open = count;
    walk->cells = calloc(capacity, sizeof(*walk->cells));
    if (walk->cells == NULL) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        size_t cell = places[i].path & walk->mask;
        while (walk->cells[cell] != 0) {
            cell = (cell + 1) & walk->mask;
        }
        walk->cells[cell] = (uint32_t)i + 1;
    }
    return true;
}

static void seen(struct walk *walk, uint64_t path, bool key, size_t line,
                 size_t column)
{
    for (size_t cell = path & walk->mask; walk->cells[cell] != 0;
         cell = (cell + 1) & walk->mask) {
        struct gray_place *place = &walk->places[walk->cells[cell] - 1];
        if (place->path == path && place->line == 0 && place->key == key) {
            place->line = (uint32_t)line;
            place->column = (uint32_t)column;
            walk->open--;
        }
    }
}

/* ---- YAML ---------------------------------------------------------------- */

struct level {
    uint64_t path, member;
    size_t index;
    bool map, keyed; /* keyed: `member` is the path of the value to come */
};

struct yaml_walk {
    struct walk *walk;
    struct level levels[GRAY_DOCUMENT_DEPTH_MAX];
    size_t depth, number;
};

/* The path of the value that begins here, false for a key. */
static bool yaml_value(struct yaml_walk *y, const yaml_event_t *event,
                       uint64_t *ret_path)
{
    size_t line = event->start_mark.line + 1;
    size_t column = event->start_mark.column + 1;
    if (y->depth == 0) {
        *ret_path = path_number(y->number);
        seen(y->walk, *ret_path, true, line, column);
    } else {
        struct level *top = &y->levels[y->depth - 1];
        if (top->map && !top->keyed) {
            if (event->type != YAML_SCALAR_EVENT) {
                y->walk->open = 0; /* not what was read: stop */
                return false;
            }
            const char *key = (const char *)event->data.scalar.value;
            top->member = gray_path_step(top->path, key, strlen(key));
            top->keyed = true;
            seen(y->walk, top->member, true, line, column);
            return false;
        }
        if (top->map) {
            *ret_path = top->member;
            top->keyed = false;
        } else {
            *ret_path = path_index(top->path, top->index++);
            seen(y->walk, *ret_path, true, line, column);
        }
    }
    seen(y->walk, *ret_path, false, line, column);
    return true;
}

static bool yaml_event(struct yaml_walk *y, const yaml_event_t *event)
{
    uint64_t path;
    switch (event->type) {
    case YAML_STREAM_END_EVENT:
        return false;
    case YAML_DOCUMENT_END_EVENT:
        y->number++;
        return true;
    case YAML_SCALAR_EVENT:
        yaml_value(y, event, &path);
        return true;
    case YAML_MAPPING_START_EVENT:
    case YAML_SEQUENCE_START_EVENT:
        if (y->depth == GRAY_DOCUMENT_DEPTH_MAX ||
            !yaml_value(y, event, &path)) {
            return false;
        }
        y->levels[y->depth++] = (struct level){
            .path = path, .map = event->type == YAML_MAPPING_START_EVENT};
        return true;
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        y->depth--;
        return true;
    default:
        return true;
    }
}

static void locate_yaml(const struct gray_text *text, struct walk *walk)
{
    struct yaml_walk y = {.walk = walk};
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser)) {
        return;
    }
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(
        &parser, (const unsigned char *)text->data, text->length);
    bool going = true;
    while (going && walk->open > 0) {
        yaml_event_t event;
        if (!yaml_parser_parse(&parser, &event)) {
            break;
        }
        going = yaml_event(&y, &event);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
}

/* ---- JSON ---------------------------------------------------------------- */

struct json_walk {
    const char *next, *end;
    size_t line, column;
    struct walk *walk;               /* NULL: looking for duplicates */
    const struct gray_text *text;
    struct gray_findings *findings;
    char pointer[1024];              /* only when looking for duplicates */
    size_t pointer_length, found;
    char key[256];                   /* the last key, unescaped, cut */
};

static void json_skip(struct json_walk *j, size_t count)
{
    for (; count > 0 && j->next < j->end; count--) {
        if (*j->next == '\n') {
            j->line++;
            j->column = 1;
        } else if (((unsigned char)*j->next & 0xc0) != 0x80) {
            j->column++;
        }
        j->next++;
    }
}

static char json_peek(struct json_walk *j)
{
    while (j->next < j->end && strchr(" \t\r\n", *j->next) != NULL) {
        json_skip(j, 1);
    }
    return j->next < j->end ? *j->next : '\0';
}

/* The bytes between the quotes; unescaped by jansson when there is need. */
static uint64_t json_key(struct json_walk *j, uint64_t path)
{
    const char *start = j->next;
    json_skip(j, 1);
    bool escaped = false;
    while (j->next < j->end && *j->next != '"') {
        if (*j->next == '\\') {
            escaped = true;
            json_skip(j, 1);
        }
        json_skip(j, 1);
    }
    const char *text = start + 1;
    size_t length = (size_t)(j->next - text);
    json_skip(j, 1);
    json_t *plain = NULL;
    if (escaped) {
        plain = json_loadb(start, (size_t)(j->next - start), JSON_DECODE_ANY,
                           NULL);
        if (json_is_string(plain)) {
            text = json_string_value(plain);
            length = json_string_length(plain);
        }
    }
    if (j->walk == NULL) {
        snprintf(j->key, sizeof(j->key), "%.*s", (int)(length & 0xffff), text);
    }
    path = gray_path_step(path, text, length);
    json_decref(plain);
    return path;
}

static void json_value(struct json_walk *j, uint64_t path, unsigned depth);

/* Adds a step to the pointer; returns its former length. */
static size_t pointer_add(struct json_walk *j, const char *key, size_t index)
{
    size_t before = j->pointer_length;
    size_t room = sizeof(j->pointer) - before;
    int length;
    if (j->walk != NULL) {
        return before;
    }
    if (key == NULL) {
        length = snprintf(j->pointer + before, room, "/%zu", index);
    } else {
        char escaped[2 * sizeof(j->key)];
        size_t n = 0;
        for (; *key != '\0'; key++) {
            if (*key == '~' || *key == '/') {
                escaped[n++] = '~';
                escaped[n++] = *key == '~' ? '0' : '1';
            } else {
                escaped[n++] = *key;
            }
        }
        escaped[n] = '\0';
        length = snprintf(j->pointer + before, room, "/%s", escaped);
    }
    if (length < 0 || (size_t)length >= room) {
        j->pointer[before] = '\0';
    } else {
        j->pointer_length += (size_t)length;
    }
    return before;
}

static void pointer_cut(struct json_walk *j, size_t length)
{
    j->pointer_length = length;
    j->pointer[length] = '\0';
}

static void say_twice(struct json_walk *j, size_t line, size_t column)
{
    struct gray_finding_head head = {.severity = GRAY_ERROR,
                                     .problem = GRAY_PROBLEM_DUPLICATE_KEY,
                                     .file = j->text->name,
                                     .line = (uint32_t)line,
                                     .column = (uint32_t)column,
                                     .pointer = j->pointer};
    gray_findings_add(j->findings, &head,
                      "key \"%.64s\" stands twice in this map; keep one of "
                      "them",
                      j->key);
    j->found++;
}

static void json_object_members(struct json_walk *j, uint64_t path,
                                unsigned depth)
{
    struct gray_arena arena = {0};
    struct gray_names names = {.arena = &arena};
    json_skip(j, 1);
    while (json_peek(j) == '"') {
        size_t line = j->line, column = j->column;
        uint64_t member = json_key(j, path);
        size_t before = pointer_add(j, j->key, 0);
        if (j->walk != NULL) {
            seen(j->walk, member, true, line, column);
        } else {
            const char *key = gray_arena_copy(&arena, (const char *)&member,
                                              sizeof(member));
            if (!gray_names_add(&names, key, sizeof(member), 0, NULL)) {
                say_twice(j, line, column);
            }
        }
        if (json_peek(j) == ':') {
            json_skip(j, 1);
        }
        json_value(j, member, depth);
        pointer_cut(j, before);
        if (json_peek(j) == ',') {
            json_skip(j, 1);
        }
    }
    json_skip(j, 1);
    gray_arena_free(&arena);
}

static void json_array_items(struct json_walk *j, uint64_t path,
                             unsigned depth)
{
    json_skip(j, 1);
    for (size_t i = 0; json_peek(j) != ']' && j->next < j->end; i++) {
        uint64_t item = path_index(path, i);
        if (j->walk != NULL) {
            seen(j->walk, item, true, j->line, j->column);
        }
        size_t before = pointer_add(j, NULL, i);
        json_value(j, item, depth);
        pointer_cut(j, before);
        if (json_peek(j) == ',') {
            json_skip(j, 1);
        }
    }
    json_skip(j, 1);
}

static void json_value(struct json_walk *j, uint64_t path, unsigned depth)
{
    char first = json_peek(j);
    if (j->walk != NULL) {
        seen(j->walk, path, false, j->line, j->column);
        if (j->walk->open == 0) {
            j->next = j->end;
            return;
        }
    }
    if (depth > GRAY_DOCUMENT_DEPTH_MAX) {
        j->next = j->end;
    } else if (first == '{') {
        json_object_members(j, path, depth + 1);
    } else if (first == '[') {
        json_array_items(j, path, depth + 1);
    } else if (first == '"') {
        json_skip(j, 1);
        while (j->next < j->end && *j->next != '"') {
            json_skip(j, *j->next == '\\' ? 2 : 1);
        }
        json_skip(j, 1);
    } else {
        size_t rest = 0;
        size_t length = (size_t)(j->end - j->next);
        while (rest < length && strchr(",]} \t\r\n", j->next[rest]) == NULL) {
            rest++;
        }
        json_skip(j, rest == 0 ? 1 : rest);
    }
}

void gray_locate(const struct gray_text *text, struct gray_place *places,
                 size_t count)
{
    struct walk walk;
    if (count == 0 || !walk_begin(&walk, places, count)) {
        return;
    }
    if (text->json) {
        struct json_walk j = {.next = text->data,
                              .end = text->data + text->length,
                              .line = 1,
                              .column = 1,
                              .walk = &walk,
                              .text = text};
        json_value(&j, path_number(0), 1);
    } else {
        locate_yaml(text, &walk);
    }
    free(walk.cells);
}

size_t gray_locate_duplicates(const struct gray_text *text,
                              struct gray_findings *findings)
{
    struct json_walk j = {.next = text->data,
                          .end = text->data + text->length,
                          .line = 1,
                          .column = 1,
                          .text = text,
                          .findings = findings};
    json_value(&j, path_number(0), 1);
    return j.found;
}
