/* SPDX-License-Identifier: Apache-2.0
 * schema.c - JSON against the keywords of JSON Schema that schemas.json uses.
 *
 * Why: the shapes that OpenAPI publishes are the shapes that are enforced:
 * the same file, embedded.  Keywords: $ref into components/schemas, type (one
 * or several), properties, required, additionalProperties (true or false),
 * items, enum, pattern, minLength, maxLength (characters), minItems, maxItems,
 * minimum, maximum.  A test holds that schemas.json uses no others.
 * Read next: schemas.json, ../rest/openapi.c.
 */
#include <pthread.h>
#include <regex.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/call/call.h"
#include "control/call/schemas_text.h"

#define REF "#/components/schemas/"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static json_t *all; /* written once, never freed: reachable, and read-only */

static void load(void)
{
    json_error_t error;

    all = json_loadb((const char *)schemas_text, schemas_text_length,
                     JSON_REJECT_DUPLICATES, &error);
    if (all == NULL) {
        fprintf(stderr, "schemas.json:%d: %s\n", error.line, error.text);
        abort(); /* built in: a build that cannot work */
    }
}

const json_t *schema_all(void)
{
    pthread_once(&once, load);
    return all;
}

const json_t *schema_find(const char *name)
{
    return json_object_get(schema_all(), name);
}

/* Where the check stands: a path of steps back to the root. */
struct place {
    const struct place *above;
    const char *key; /* NULL: index */
    size_t index;
};
struct check {
    char *pointer, *sentence;
    size_t pointer_size, sentence_size;
};

static void add_text(char *buffer, size_t size, size_t *at, const char *text)
{
    for (; *text != '\0' && *at + 2 < size; text++) {
        if (*text == '~' || *text == '/') {
            buffer[(*at)++] = '~';
            buffer[(*at)++] = *text == '~' ? '0' : '1';
        } else {
            buffer[(*at)++] = *text;
        }
    }
}

static void write_pointer(const struct check *check, const struct place *place,
                          size_t *at)
{
    char digits[24];

    if (place == NULL || place->above == NULL) {
        return; /* the root */
    }
    write_pointer(check, place->above, at);
    if (*at + 2 < check->pointer_size) {
        check->pointer[(*at)++] = '/';
    }
    if (place->key != NULL) {
        add_text(check->pointer, check->pointer_size, at, place->key);
    } else {
        snprintf(digits, sizeof(digits), "%zu", place->index);
        add_text(check->pointer, check->pointer_size, at, digits);
    }
}

static int fail(const struct check *check, const struct place *place,
                const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static int fail(const struct check *check, const struct place *place,
                const char *format, ...)
{
    va_list arguments;
    size_t at = 0;

    write_pointer(check, place, &at);
    check->pointer[at] = '\0';
    text_mend(check->pointer);
    va_start(arguments, format);
    vsnprintf(check->sentence, check->sentence_size, format, arguments);
    va_end(arguments);
    text_mend(check->sentence);
    return -1;
}

static bool type_is(const char *type, const json_t *value)
{
    return (strcmp(type, "object") == 0 && json_is_object(value)) ||
           (strcmp(type, "array") == 0 && json_is_array(value)) ||
           (strcmp(type, "string") == 0 && json_is_string(value)) ||
           (strcmp(type, "integer") == 0 && json_is_integer(value)) ||
           (strcmp(type, "number") == 0 && json_is_number(value)) ||
           (strcmp(type, "boolean") == 0 && json_is_boolean(value)) ||
           (strcmp(type, "null") == 0 && json_is_null(value));
}

static int check_type(const struct check *check, const struct place *place,
                      const json_t *schema, const json_t *value)
{
    const json_t *type = json_object_get(schema, "type");
    const json_t *one;
    size_t i;

    if (json_is_string(type) && !type_is(json_string_value(type), value)) {
        return fail(check, place, "must be of type %s",
                    json_string_value(type));
    }
    if (json_is_array(type)) {
        json_array_foreach(type, i, one) {
            if (type_is(json_string_value(one), value)) {
                return 0;
            }
        }
        return fail(check, place, "is of none of its types");
    }
    return 0;
}

static size_t count_characters(const json_t *value)
{
    const char *text = json_string_value(value);
    size_t i, count = 0, length = json_string_length(value);

    for (i = 0; i < length; i++) {
        count += (text[i] & 0xc0) != 0x80;
    }
    return count;
}

static int check_pattern(const struct check *check, const struct place *place,
                         const char *pattern, const json_t *value)
{
    regex_t expression;
    bool found;

    if (regcomp(&expression, pattern, REG_EXTENDED | REG_NOSUB) != 0) {
        return fail(check, place, "its pattern cannot be read");
    }
    /* A NUL inside would hide what stands behind it. */
    found = strlen(json_string_value(value)) == json_string_length(value) &&
            regexec(&expression, json_string_value(value), 0, NULL, 0) == 0;
    regfree(&expression);
    return found ? 0 : fail(check, place, "must look like %s", pattern);
}

static int check_enum(const struct check *check, const struct place *place,
                      const json_t *words, const json_t *value)
{
    char list[160] = "";
    const json_t *one;
    size_t i, at = 0;

    json_array_foreach(words, i, one) {
        if (json_equal(one, value)) {
            return 0;
        }
        if (json_is_string(one) && at < sizeof(list)) {
            at += (size_t)snprintf(list + at, sizeof(list) - at, " %s",
                                   json_string_value(one));
        }
    }
    return fail(check, place, "is none of:%s", list);
}

/* Whether a bound of this name stands in the schema; *ret_bound is it. */
static bool bound(const json_t *schema, const char *name, double *ret_bound)
{
    const json_t *value = json_object_get(schema, name);

    if (!json_is_number(value)) {
        return false;
    }
    *ret_bound = json_number_value(value);
    return true;
}

static int check_bounds(const struct check *check, const struct place *place,
                        const json_t *schema, const json_t *value)
{
    static const struct {
        const char *least, *most, *what;
    } names[] = {{"minLength", "maxLength", "characters"},
                 {"minItems", "maxItems", "items"},
                 {"minimum", "maximum", ""}};
    double least, most, have;
    size_t kind;

    if (json_is_string(value)) {
        kind = 0;
        have = (double)count_characters(value);
    } else if (json_is_array(value)) {
        kind = 1;
        have = (double)json_array_size(value);
    } else if (json_is_number(value)) {
        kind = 2;
        have = json_number_value(value);
    } else {
        return 0;
    }
    if (bound(schema, names[kind].least, &least) && have < least) {
        return fail(check, place, "must be at least %.0f %s", least,
                    names[kind].what);
    }
    if (bound(schema, names[kind].most, &most) && have > most) {
        return fail(check, place, "must be at most %.0f %s", most,
                    names[kind].what);
    }
    return 0;
}

static int check_value(const struct check *check, const struct place *place,
                       const json_t *schema, const json_t *value);

static int check_object(const struct check *check, const struct place *place,
                        const json_t *schema, const json_t *value)
{
    const json_t *properties = json_object_get(schema, "properties");
    const json_t *required = json_object_get(schema, "required");
    bool others = !json_is_false(json_object_get(schema,
                                                 "additionalProperties"));
    const json_t *one;
    const char *key;
    json_t *member;
    size_t i;

    json_array_foreach(required, i, one) {
        if (json_object_get(value, json_string_value(one)) == NULL) {
            return fail(check, place, "\"%s\" is missing",
                        json_string_value(one));
        }
    }
    json_object_foreach((json_t *)value, key, member) {
        const struct place below = {place, key, 0};

        one = json_object_get(properties, key);
        if (one == NULL && !others) {
            return fail(check, &below, "is not known here");
        }
        if (one != NULL && check_value(check, &below, one, member) != 0) {
            return -1;
        }
    }
    return 0;
}

static int check_value(const struct check *check, const struct place *place,
                       const json_t *schema, const json_t *value)
{
    const char *ref = json_string_value(json_object_get(schema, "$ref"));
    const char *pattern;
    const json_t *part;
    size_t i;
    json_t *item;

    if (ref != NULL) {
        schema = strncmp(ref, REF, strlen(REF)) == 0
                     ? schema_find(ref + strlen(REF))
                     : NULL;
        if (schema == NULL) {
            return fail(check, place, "its schema is not there");
        }
    }
    if (check_type(check, place, schema, value) != 0 ||
        check_bounds(check, place, schema, value) != 0) {
        return -1;
    }
    part = json_object_get(schema, "enum");
    if (part != NULL && check_enum(check, place, part, value) != 0) {
        return -1;
    }
    pattern = json_string_value(json_object_get(schema, "pattern"));
    if (pattern != NULL && json_is_string(value) &&
        check_pattern(check, place, pattern, value) != 0) {
        return -1;
    }
    part = json_object_get(schema, "items");
    if (part != NULL && json_is_array(value)) {
        json_array_foreach(value, i, item) {
            const struct place below = {place, NULL, i};

            if (check_value(check, &below, part, item) != 0) {
                return -1;
            }
        }
    }
    return json_is_object(value) ? check_object(check, place, schema, value)
                                 : 0;
}

int schema_check(const json_t *schema, const json_t *value, char *ret_pointer,
                 size_t pointer_size, char *ret_sentence,
                 size_t sentence_size)
{
    const struct check check = {ret_pointer, ret_sentence, pointer_size,
                                sentence_size};
    const struct place root = {NULL, NULL, 0};

    if (schema == NULL) {
        return fail(&check, &root, "there is no schema for it");
    }
    return check_value(&check, &root, schema, value);
}
