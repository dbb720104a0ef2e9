/* SPDX-License-Identifier: Apache-2.0
 * check_names.c - names in documents: attributes, labels, lists of names.
 *
 * Why: names end up in headers, selectors and counters; a byte that cannot
 * stand there is refused here, once, with the place.
 * Read next: check.h, model_service.c.
 */
#include "policy/check.h"

#include <stdlib.h>
#include <string.h>

/* RFC 9110, 5.6.2: what a header field's name may have. */
static bool is_token(const char *text, uint32_t length)
{
    static const char marks[] = "!#$%&'*+-.^_`|~";
    for (uint32_t i = 0; i < length; i++) {
        unsigned char b = (unsigned char)text[i];
        bool plain = (b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z') ||
                     (b >= '0' && b <= '9');
        if (!plain && (b == '\0' || strchr(marks, b) == NULL)) {
            return false;
        }
    }
    return length > 0;
}

static bool is_printable(const char *text, uint32_t length)
{
    for (uint32_t i = 0; i < length; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) {
            return false;
        }
    }
    return length > 0;
}

bool gray_check_attribute(struct gray_check *c, const struct where *at,
                          json_t *value, uint8_t source,
                          struct model_text *ret_name)
{
    struct model_text name;
    if (!gray_check_text(c, at, value, GRAY_TEXT_MAX, &name)) {
        return false;
    }
    bool token = source == GRAY_SOURCE_HEADER || source == GRAY_SOURCE_COOKIE;
    if (token ? !is_token(name.data, name.length)
              : !is_printable(name.data, name.length)) {
        return gray_check_error(c, GRAY_PROBLEM_BAD_NAME, at,
                                "\"%.64s\" is no name of a %s; write letters, "
                                "digits and -",
                                name.data, gray_source_word(source));
    }
    if (source == GRAY_SOURCE_HEADER) {
        char *lower = (char *)name.data;
        for (uint32_t i = 0; i < name.length; i++) {
            if (lower[i] >= 'A' && lower[i] <= 'Z') {
                lower[i] = (char)(lower[i] + 'a' - 'A');
            }
        }
    }
    *ret_name = name;
    return true;
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct model_label *)a)->key,
                  ((const struct model_label *)b)->key);
}

static bool check_label(struct gray_check *c, const struct where *at,
                        const char *key, json_t *value, bool absent,
                        struct model_label *ret_label)
{
    struct model_text text;
    size_t length = strlen(key);
    if (length > GRAY_TEXT_MAX ||
        !is_printable(key, (uint32_t)length)) {
        return gray_check_error(c, GRAY_PROBLEM_BAD_NAME, at,
                                "\"%.64s\" is no name of a label; write 1 to "
                                "%u printable bytes",
                                key, GRAY_TEXT_MAX);
    }
    if (absent && json_is_null(value)) {
        ret_label->value = NULL;
    } else {
        if (!gray_check_text(c, at, value, GRAY_TEXT_MAX, &text)) {
            return false;
        }
        if (!is_printable(text.data, text.length)) {
            return gray_check_error(c, GRAY_PROBLEM_EMPTY, at,
                                    "label %s is empty or has control bytes; "
                                    "write a word",
                                    key);
        }
        ret_label->value = text.data;
    }
    ret_label->key = gray_arena_copy(c->arena, key, length);
    return true;
}

bool gray_check_labels(struct gray_check *c, const struct where *at,
                       json_t *value, bool absent,
                       struct model_label **ret_labels, uint32_t *ret_count)
{
    if (!json_is_object(value)) {
        return gray_check_error(c, GRAY_PROBLEM_WRONG_TYPE, at,
                                "%s must be a map of labels such as "
                                "{version: v1}",
                                at->key == NULL ? "this" : at->key);
    }
    size_t size = json_object_size(value);
    if (size == 0 || size > GRAY_TEXT_MAX) {
        return gray_check_error(c, GRAY_PROBLEM_EMPTY, at,
                                "%s has %zu labels; write 1 to %u",
                                at->key == NULL ? "this" : at->key, size,
                                GRAY_TEXT_MAX);
    }
    struct model_label *labels =
        gray_arena_array(c->arena, size, sizeof(*labels));
    uint32_t count = 0;
    bool good = true;
    const char *key;
    json_t *member;
    json_object_foreach (value, key, member) {
        if (check_label(c, AT_KEY(at, key), key, member, absent,
                        &labels[count])) {
            count++;
        } else {
            good = false;
        }
    }
    qsort(labels, count, sizeof(*labels), by_key);
    *ret_labels = labels;
    *ret_count = count;
    return good;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int by_number(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

bool gray_check_names(struct gray_check *c, const struct where *at,
                      json_t *value, const struct gray_names *table,
                      enum gray_problem_number unknown, bool ordered,
                      struct name_list *ret_list)
{
    if (!gray_check_list(c, at, value, GRAY_SET_MAX, "[a, b]")) {
        return false;
    }
    size_t size = json_array_size(value);
    struct name_list list = {
        .names = gray_arena_array(c->arena, size, sizeof(*list.names)),
        .numbers = gray_arena_array(c->arena, size, sizeof(*list.numbers))};
    struct gray_names seen = {.arena = c->arena};
    bool good = true;
    for (size_t i = 0; i < size; i++) {
        const struct where *item = AT_ITEM(at, i);
        const char *name;
        uint32_t number = 0;
        if (!gray_check_name(c, item, json_array_get(value, i), false,
                             &name)) {
            good = false;
        } else if (!gray_names_add(&seen, name, strlen(name), 0, NULL)) {
            good = gray_check_error(c, GRAY_PROBLEM_DUPLICATE, item,
                                    "\"%s\" stands twice in %s; keep one",
                                    name, at->key);
        } else if (table != NULL &&
                   (number = gray_names_find(table, name, strlen(name))) ==
                       UINT32_MAX) {
            good = gray_check_error(c, unknown, item,
                                    "there is no document for \"%s\"; write "
                                    "one, or mend the name",
                                    name);
        } else {
            list.names[list.count] = name;
            list.numbers[list.count++] = number;
        }
    }
    if (!ordered && list.count > 1) {
        /* Numbers are in the order of names, so both orders are one. */
        qsort(list.names, list.count, sizeof(*list.names), by_name);
        qsort(list.numbers, list.count, sizeof(*list.numbers), by_number);
    }
    *ret_list = list;
    return good;
}
