/* SPDX-License-Identifier: Apache-2.0
 * shape.c - a map against the table of its keys.
 *
 * Why: see shape.h; every finding names its place and says what to write.
 * Read next: shape.h.
 */
#include "policy/shape.h"

#include <string.h>

#include "policy/parse.h"

static bool check_value(struct gray_check *c, const struct where *at,
                        json_t *value, const struct shape *shape);

bool gray_check_shape(struct gray_check *c, const struct where *at,
                      json_t *value, const struct shape *members)
{
    const char *keys[SHAPE_KEYS_MAX] = {NULL};
    json_t *values[SHAPE_KEYS_MAX];
    size_t count = 0;
    while (members[count].key != NULL && count < SHAPE_KEYS_MAX) {
        keys[count] = members[count].key;
        count++;
    }
    if (!gray_check_map(c, at, value, keys, count, values)) {
        return false;
    }
    bool good = true;
    for (size_t i = 0; i < count; i++) {
        if (values[i] == NULL && members[i].needed != NULL) {
            good = gray_check_missing(c, at, keys[i], members[i].needed);
        } else if (values[i] != NULL) {
            good &= check_value(c, AT_KEY(at, keys[i]), values[i],
                                &members[i]);
        }
    }
    return good;
}

static bool check_duration(struct gray_check *c, const struct where *at,
                           json_t *value)
{
    int64_t ms;
    if (json_is_integer(value) && json_integer_value(value) >= 0) {
        return true;
    }
    if (!json_is_string(value) ||
        !gray_parse_duration(json_string_value(value), &ms)) {
        return gray_check_error(c, GRAY_PROBLEM_BAD_DURATION, at,
                                "%s is no duration; write 60s, 10m or 1h30m, "
                                "or a number of seconds",
                                at->key == NULL ? "this" : at->key);
    }
    return true;
}

static bool check_amount(struct gray_check *c, const struct where *at,
                         json_t *value)
{
    if (json_is_integer(value) && json_integer_value(value) >= 0) {
        return true;
    }
    const char *text = json_is_string(value) ? json_string_value(value) : "";
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 3 || strcmp(text + digits, "%") != 0) {
        return gray_check_error(c, GRAY_PROBLEM_WRONG_TYPE, at,
                                "%s must be a whole number of instances or a "
                                "percent in quotes such as \"25%%\"",
                                at->key);
    }
    return true;
}


static bool check_number(struct gray_check *c, const struct where *at,
                         json_t *value)
{
    if (json_is_number(value) && json_number_value(value) >= 0) {
        return true;
    }
    return gray_check_error(c, GRAY_PROBLEM_WRONG_TYPE, at,
                            "%s must be a number from 0", at->key);
}

static bool check_item(struct gray_check *c, const struct where *at,
                       json_t *item, const struct shape *shape)
{
    struct model_text text;
    switch (shape->type) {
    case SHAPE_LIST_TEXT:
        return gray_check_text(c, at, item, GRAY_TEXT_MAX, &text);
    case SHAPE_LIST_MAP:
        return gray_check_shape(c, at, item, shape->members);
    case SHAPE_LIST_DURATION:
        return check_duration(c, at, item);
    default:
        return !json_is_null(item) ||
               gray_check_error(c, GRAY_PROBLEM_BLANK, at,
                                "a blank item; take it out");
    }
}

static bool check_items(struct gray_check *c, const struct where *at,
                        json_t *value, const struct shape *shape)
{
    size_t most = shape->type == SHAPE_LIST_MAP ? SHAPE_ITEMS_MAX
                                                : GRAY_SET_MAX;
    if (!gray_check_list(c, at, value, most,
                         shape->needed != NULL ? shape->needed : "[a, b]")) {
        return false;
    }
    bool good = true;
    for (size_t i = 0; i < json_array_size(value); i++) {
        good &= check_item(c, AT_ITEM(at, i), json_array_get(value, i), shape);
    }
    return good;
}

static bool check_value(struct gray_check *c, const struct where *at,
                        json_t *value, const struct shape *shape)
{
    uint32_t number;
    int64_t count;
    const char *name;
    bool yes;
    struct model_text text;
    switch (shape->type) {
    case SHAPE_PERCENT:
        return gray_check_percent(c, at, value, &number);
    case SHAPE_DURATION:
        return check_duration(c, at, value);
    case SHAPE_COUNT:
        return gray_check_integer(c, at, value, 0, INT64_MAX, &count);
    case SHAPE_AMOUNT:
        return check_amount(c, at, value);
    case SHAPE_NUMBER:
        return check_number(c, at, value);
    case SHAPE_BOOL:
        return gray_check_bool(c, at, value, &yes);
    case SHAPE_TEXT:
        return gray_check_text(c, at, value, GRAY_TEXT_MAX, &text);
    case SHAPE_SQL:
        return gray_check_text(c, at, value, SHAPE_SQL_MAX, &text);
    case SHAPE_NAME:
        return gray_check_name(c, at, value, false, &name);
    case SHAPE_WORD:
        return gray_check_word(c, at, value, shape->words, shape->word_count,
                               &number);
    case SHAPE_MAP:
        return gray_check_shape(c, at, value, shape->members);
    case SHAPE_LIST_TEXT:
    case SHAPE_LIST_ANY:
    case SHAPE_LIST_MAP:
    case SHAPE_LIST_DURATION:
        return check_items(c, at, value, shape);
    case SHAPE_OWN:
        return shape->own(c, at, value);
    case SHAPE_ANY:
        break;
    }
    return true;
}
