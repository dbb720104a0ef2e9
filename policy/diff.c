/* SPDX-License-Identifier: Apache-2.0
 * diff.c - what changed between two policies.
 *
 * Why: the sources are canonical, so whatever differs in them differs in
 * meaning.  Lists are compared from both ends, so that one rule put in the
 * middle of 100,000 is one line.
 * Read next: model_source.c.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/check.h"

/* Bytes of a value shown to people. */
#define SHOWN_MAX 200u

struct diff {
    json_t *changes; /* of one document: {pointer, before, after} */
    char *pointer;
    size_t length, capacity;
    bool failed; /* memory */
};

static size_t pointer_add(struct diff *d, const char *step)
{
    size_t before = d->length, need = before + 2 * strlen(step) + 2;
    if (need > d->capacity) {
        char *more = realloc(d->pointer, need * 2);
        if (more == NULL) {
            d->failed = true;
            return before;
        }
        d->pointer = more;
        d->capacity = need * 2;
    }
    d->pointer[d->length++] = '/';
    for (; *step != '\0'; step++) {
        if (*step == '~' || *step == '/') {
            d->pointer[d->length++] = '~';
            d->pointer[d->length++] = *step == '~' ? '0' : '1';
        } else {
            d->pointer[d->length++] = *step;
        }
    }
    d->pointer[d->length] = '\0';
    return before;
}

static void pointer_cut(struct diff *d, size_t length)
{
    d->length = length;
    if (d->pointer != NULL) {
        d->pointer[length] = '\0';
    }
}

static void put(struct diff *d, json_t *object, const char *key, json_t *value)
{
    if (value != NULL && json_object_set(object, key, value) != 0) {
        d->failed = true;
    }
}

static void change(struct diff *d, json_t *before, json_t *after)
{
    json_t *item = json_object();
    json_t *pointer = json_string(d->pointer == NULL ? "" : d->pointer);
    put(d, item, "pointer", pointer);
    json_decref(pointer);
    put(d, item, "before", before);
    put(d, item, "after", after);
    if (json_array_append_new(d->changes, item) != 0) {
        d->failed = true;
    }
}

static void compare(struct diff *d, json_t *before, json_t *after);

static void compare_maps(struct diff *d, json_t *before, json_t *after)
{
    const char *key;
    json_t *value;
    json_object_foreach (before, key, value) {
        size_t length = pointer_add(d, key);
        json_t *other = json_object_get(after, key);
        if (other == NULL) {
            change(d, value, NULL);
        } else {
            compare(d, value, other);
        }
        pointer_cut(d, length);
    }
    json_object_foreach (after, key, value) {
        if (json_object_get(before, key) == NULL) {
            size_t length = pointer_add(d, key);
            change(d, NULL, value);
            pointer_cut(d, length);
        }
    }
}

static void compare_item(struct diff *d, size_t number, json_t *before,
                         json_t *after)
{
    char room[GRAY_DIGITS];
    size_t length = pointer_add(d, gray_digits(number, room));
    if (before != NULL && after != NULL) {
        compare(d, before, after);
    } else {
        change(d, before, after);
    }
    pointer_cut(d, length);
}

static void compare_lists(struct diff *d, json_t *before, json_t *after)
{
    size_t b = json_array_size(before), a = json_array_size(after);
    size_t first = 0, tail = 0;
    while (first < b && first < a &&
           json_equal(json_array_get(before, first),
                      json_array_get(after, first))) {
        first++;
    }
    while (tail < b - first && tail < a - first &&
           json_equal(json_array_get(before, b - 1 - tail),
                      json_array_get(after, a - 1 - tail))) {
        tail++;
    }
    size_t b_end = b - tail, a_end = a - tail;
    for (size_t i = first; i < b_end || i < a_end; i++) {
        compare_item(d, i, i < b_end ? json_array_get(before, i) : NULL,
                     i < a_end ? json_array_get(after, i) : NULL);
    }
}

static void compare(struct diff *d, json_t *before, json_t *after)
{
    if (json_is_object(before) && json_is_object(after)) {
        compare_maps(d, before, after);
    } else if (json_is_array(before) && json_is_array(after)) {
        compare_lists(d, before, after);
    } else if (!json_equal(before, after)) {
        change(d, before, after);
    }
}

/* ---- documents ----------------------------------------------------------- */

static const char *word(const json_t *document, const char *key)
{
    return json_string_value(json_object_get(document, key));
}

/* Order of the sources: kind, then name. */
static int order(const json_t *a, const json_t *b)
{
    if (a == NULL || b == NULL) {
        return a == NULL ? 1 : -1;
    }
    int kind = strcmp(word(a, "kind"), word(b, "kind"));
    return kind != 0 ? kind : strcmp(word(a, "name"), word(b, "name"));
}

static void add_entry(struct diff *d, json_t *result, const char *what,
                      const json_t *document, json_t *changes)
{
    json_t *entry = json_object();
    json_t *value = json_string(what);
    put(d, entry, "change", value);
    json_decref(value);
    put(d, entry, "kind", json_object_get(document, "kind"));
    put(d, entry, "name", json_object_get(document, "name"));
    put(d, entry, "changes", changes);
    if (json_array_append_new(result, entry) != 0) {
        d->failed = true;
    }
}

static json_t *source_of(const struct gray_model *model)
{
    return model == NULL ? json_array()
                         : json_loadb(model->source, model->source_length, 0,
                                      NULL);
}

static json_t *diff_documents(struct diff *d, json_t *before, json_t *after)
{
    json_t *result = json_array();
    size_t b = 0, a = 0;
    while (b < json_array_size(before) || a < json_array_size(after)) {
        json_t *old = json_array_get(before, b);
        json_t *now = json_array_get(after, a);
        int which = order(old, now);
        if (which < 0) {
            add_entry(d, result, "removed", old, NULL);
        } else if (which > 0) {
            add_entry(d, result, "added", now, NULL);
        } else {
            d->changes = json_array();
            pointer_cut(d, 0);
            compare(d, old, now);
            if (json_array_size(d->changes) > 0) {
                add_entry(d, result, "changed", now, d->changes);
            }
            json_decref(d->changes);
        }
        b += which <= 0;
        a += which >= 0;
    }
    return result;
}

/* ---- for people ---------------------------------------------------------- */

static void show(FILE *out, const json_t *value)
{
    char *text = value == NULL
                     ? NULL
                     : json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS |
                                             JSON_ENCODE_ANY |
                                             JSON_ENSURE_ASCII);
    size_t length = text == NULL ? 0 : strlen(text);
    fprintf(out, "%.*s%s", (int)(length < SHOWN_MAX ? length : SHOWN_MAX),
            text == NULL ? "" : text, length > SHOWN_MAX ? "..." : "");
    free(text);
}

static void show_change(FILE *out, const json_t *item)
{
    const json_t *before = json_object_get(item, "before");
    const json_t *after = json_object_get(item, "after");
    fprintf(out, "    %s %s: ",
            before == NULL  ? "+"
            : after == NULL ? "-"
                            : "~",
            word(item, "pointer"));
    show(out, before);
    fputs(before != NULL && after != NULL ? " -> " : "", out);
    show(out, after);
    fputc('\n', out);
}

static char *for_people(const json_t *result)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (out == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < json_array_size(result); i++) {
        const json_t *entry = json_array_get(result, i);
        const char *what = word(entry, "change");
        fprintf(out, "%s %s/%s\n",
                *what == 'a'   ? "+"
                : *what == 'r' ? "-"
                               : "~",
                word(entry, "kind"), word(entry, "name"));
        const json_t *changes = json_object_get(entry, "changes");
        for (size_t k = 0; k < json_array_size(changes); k++) {
            show_change(out, json_array_get(changes, k));
        }
    }
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

char *gray_model_diff(const struct gray_model *before,
                      const struct gray_model *after, int as_json)
{
    struct diff d = {0};
    json_t *old = source_of(before), *now = source_of(after);
    json_t *result = diff_documents(&d, old, now);
    char *text = NULL;
    if (!d.failed && old != NULL && now != NULL && result != NULL) {
        text = as_json ? json_dumps(result, JSON_COMPACT) : for_people(result);
    }
    json_decref(result);
    json_decref(old);
    json_decref(now);
    free(d.pointer);
    return text;
}
