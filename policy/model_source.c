/* SPDX-License-Identifier: Apache-2.0
 * model_source.c - canonical JSON of a policy, which snapshots carry.
 *
 * Why: two texts that mean the same must have one source, so that a diff shows
 * changes of meaning alone and a hash of it can be signed.  Keys are sorted,
 * defaults left out, sets sorted, numbers in their shortest form; reading the
 * source back gives an equal model (tests/policy/test_source.c).
 * Read next: model_defaults.c (what is left out), diff.c.
 */
#include "policy/check.h"
#include "policy/model_source.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* Members of most maps: they need no memory of the arena. */
#define ROOM 16u

struct writer {
    struct gray_check *check;
    struct gray_buffer out;
    struct gray_source_place place;
};

struct member {
    const char *key;
    json_t *value;
};

static void write_value(struct writer *w, json_t *value, enum role role);

/* ---- scalars ------------------------------------------------------------- */

static void write_text(struct writer *w, const char *text, size_t length)
{
    static const char hexadecimal[] = "0123456789abcdef";
    size_t start = 0;
    gray_buffer_put(&w->out, "\"", 1);
    for (size_t i = 0; i < length; i++) {
        unsigned char b = (unsigned char)text[i];
        if (b >= 0x20 && b != '"' && b != '\\') {
            continue;
        }
        gray_buffer_put(&w->out, text + start, i - start);
        start = i + 1;
        if (b == '"' || b == '\\') {
            gray_buffer_put(&w->out, "\\", 1);
            gray_buffer_put(&w->out, text + i, 1);
        } else {
            char escape[6] = {'\\', 'u', '0', '0', hexadecimal[b >> 4],
                              hexadecimal[b & 15]};
            gray_buffer_put(&w->out, escape, sizeof(escape));
        }
    }
    gray_buffer_put(&w->out, text + start, length - start);
    gray_buffer_put(&w->out, "\"", 1);
}

/* The shortest decimal that reads back as the same number. */
static void write_number(struct writer *w, const json_t *value)
{
    char text[48];
    if (json_is_integer(value)) {
        snprintf(text, sizeof(text), "%lld",
                 (long long)json_integer_value(value));
        gray_buffer_text(&w->out, text);
        return;
    }
    double number = json_real_value(value);
    if (number >= -1e15 && number <= 1e15 &&
        number == (double)(int64_t)number) {
        snprintf(text, sizeof(text), "%lld", (long long)number);
        gray_buffer_text(&w->out, text);
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, number);
        if (strtod(text, NULL) == number) {
            break;
        }
    }
    bool real = false;
    for (char *b = text; *b != '\0'; b++) {
        if ((*b < '0' || *b > '9') && strchr("+-e", *b) == NULL) {
            *b = '.'; /* whatever the locale's decimal point is */
        }
        real |= *b == '.' || *b == 'e';
    }
    gray_buffer_text(&w->out, text);
    gray_buffer_text(&w->out, real ? "" : ".0");
}

/* ---- roles --------------------------------------------------------------- */

static enum role release_role(const char *key)
{
    return strcmp(key, "admission") == 0   ? ROLE_ADMISSION
           : strcmp(key, "entrances") == 0 ? ROLE_SET
           : strcmp(key, "unit") == 0      ? ROLE_UNIT
           : strcmp(key, "stages") == 0    ? ROLE_STAGES
           : strcmp(key, "strictTimeout") == 0 ||
                   strcmp(key, "admissionLease") == 0
               ? ROLE_DURATION
               : ROLE_PLAIN;
}

static enum role lane_role(const char *key)
{
    return strcmp(key, "rules") == 0 ? ROLE_RULES
           : strcmp(key, "unit") == 0 ? ROLE_UNIT
           : strcmp(key, "services") == 0 || strcmp(key, "entrances") == 0
               ? ROLE_SET
               : ROLE_PLAIN;
}

static enum role cond_role(const char *key)
{
    return strcmp(key, "all") == 0 || strcmp(key, "any") == 0 ? ROLE_CONDS
           : strcmp(key, "not") == 0                          ? ROLE_COND
           : strcmp(key, "idTail") == 0                       ? ROLE_SET
                                                              : ROLE_TEST;
}

static enum role test_role(const char *key)
{
    return strcmp(key, "in") == 0 || strcmp(key, "notIn") == 0 ||
                   strcmp(key, "cidr") == 0 || strcmp(key, "idTail") == 0
               ? ROLE_SET
               : ROLE_PLAIN;
}

static enum role admission_role(const char *key)
{
    if (strcmp(key, "require") == 0) {
        return ROLE_COND;
    }
    return strcmp(key, "deny") == 0 || strcmp(key, "allow") == 0 ||
                   strcmp(key, "match") == 0
               ? ROLE_CONDS
               : ROLE_PLAIN;
}

static enum role child_role(enum role role, const char *key)
{
    switch (role) {
    case ROLE_RELEASE:
        return release_role(key);
    case ROLE_LANE:
        return lane_role(key);
    case ROLE_SERVICE:
        return strcmp(key, "versions") == 0 ? ROLE_VERSIONS : ROLE_PLAIN;
    case ROLE_ADMISSION:
        return admission_role(key);
    case ROLE_COND:
        return cond_role(key);
    case ROLE_TEST:
        return test_role(key);
    case ROLE_RULE:
    case ROLE_STAGE:
        return strcmp(key, "when") == 0 ? ROLE_COND : ROLE_PLAIN;
    case ROLE_VERSIONS:
        return ROLE_VERSION;
    case ROLE_VERSION:
        return strcmp(key, "endpoints") == 0 ? ROLE_ENDPOINTS : ROLE_PLAIN;
    default:
        return ROLE_PLAIN;
    }
}

static enum role item_role(enum role role)
{
    switch (role) {
    case ROLE_CONDS:
        return ROLE_COND;
    case ROLE_RULES:
        return ROLE_RULE;
    case ROLE_STAGES:
        return ROLE_STAGE;
    case ROLE_ENDPOINTS:
        return ROLE_ENDPOINT;
    default:
        return ROLE_PLAIN;
    }
}

/* ---- maps and lists ------------------------------------------------------ */

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct member *)a)->key,
                  ((const struct member *)b)->key);
}

/* The members that are written, sorted; in `room` where they fit. */
static size_t members_of(struct writer *w, json_t *value, enum role role,
                         struct member room[ROOM], struct member **ret_members)
{
    size_t count = 0, size = json_object_size(value);
    struct member *members =
        size <= ROOM ? room
                     : gray_arena_array(w->check->arena, size,
                                        sizeof(*members));
    const char *key;
    json_t *inner;
    json_object_foreach (value, key, inner) {
        if (!gray_source_default(&w->place, role, value, key, inner)) {
            members[count++] = (struct member){key, inner};
        }
    }
    if (count > 1) {
        qsort(members, count, sizeof(*members), by_key);
    }
    *ret_members = members;
    return count;
}

/* {unit: {list: x}} is {list: x}. */
static json_t *short_form(json_t *value)
{
    static const char *const words[] = {"list", "idTail", "percent", "mod"};
    json_t *unit = json_object_get(value, "unit");
    if (unit == NULL || json_object_size(unit) != 1) {
        return value;
    }
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
        if (json_object_get(unit, words[i]) != NULL) {
            return unit;
        }
    }
    return value;
}

static void write_map(struct writer *w, json_t *value, enum role role)
{
    struct member room[ROOM], *members;
    value = role == ROLE_COND ? short_form(value) : value;
    size_t count = members_of(w, value, role, room, &members);
    if (role == ROLE_ENDPOINT && count == 1) {
        write_value(w, members[0].value, ROLE_PLAIN);
        return;
    }
    gray_buffer_put(&w->out, "{", 1);
    bool first = true;
    for (size_t i = 0; i < count; i++) {
        size_t before = w->out.length;
        gray_buffer_text(&w->out, first ? "" : ",");
        write_text(w, members[i].key,
                   strlen(members[i].key));
        gray_buffer_put(&w->out, ":", 1);
        size_t start = w->out.length;
        enum role inner = child_role(role, members[i].key);
        write_value(w, members[i].value, inner);
        if (inner == ROLE_ADMISSION && w->out.length - start == 2) {
            w->out.length = before; /* nothing but defaults */
            continue;
        }
        first = false;
    }
    gray_buffer_put(&w->out, "}", 1);
}

static int by_text(const void *left, const void *right)
{
    const json_t *a = *(json_t *const *)left, *b = *(json_t *const *)right;
    return strcmp(json_string_value(a), json_string_value(b));
}

/* A list of texts whose order means nothing. */
static void write_set(struct writer *w, json_t *value)
{
    size_t count = json_array_size(value);
    json_t **items =
        gray_arena_array(w->check->arena, count, sizeof(*items));
    for (size_t i = 0; i < count; i++) {
        items[i] = json_array_get(value, i);
    }
    qsort(items, count, sizeof(*items), by_text);
    gray_buffer_put(&w->out, "[", 1);
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && by_text(&items[i - 1], &items[i]) == 0) {
            continue;
        }
        gray_buffer_text(&w->out, i == 0 ? "" : ",");
        write_text(w, json_string_value(items[i]),
                   json_string_length(items[i]));
    }
    gray_buffer_put(&w->out, "]", 1);
}

static bool all_texts(const json_t *value)
{
    for (size_t i = 0; i < json_array_size(value); i++) {
        if (!json_is_string(json_array_get(value, i))) {
            return false;
        }
    }
    return true;
}

static void write_list(struct writer *w, json_t *value, enum role role)
{
    if (role == ROLE_SET && all_texts(value)) {
        write_set(w, value);
        return;
    }
    if (role == ROLE_UNIT && json_array_size(value) == 1) {
        write_value(w, json_array_get(value, 0), ROLE_PLAIN);
        return;
    }
    gray_buffer_put(&w->out, "[", 1);
    for (size_t i = 0; i < json_array_size(value); i++) {
        gray_buffer_text(&w->out, i == 0 ? "" : ",");
        write_value(w, json_array_get(value, i), item_role(role));
    }
    gray_buffer_put(&w->out, "]", 1);
}

/* However it was written: "90s". */
static void write_duration(struct writer *w, const json_t *value)
{
    char text[32];
    int64_t ms = gray_source_duration(value);
    snprintf(text, sizeof(text), "\"%lld%s\"",
             (long long)(ms % 1000 == 0 ? ms / 1000 : ms),
             ms % 1000 == 0 ? "s" : "ms");
    gray_buffer_text(&w->out, text);
}

static void write_value(struct writer *w, json_t *value, enum role role)
{
    if (role == ROLE_DURATION) {
        write_duration(w, value);
        return;
    }
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        write_map(w, value, role);
        break;
    case JSON_ARRAY:
        write_list(w, value, role);
        break;
    case JSON_STRING:
        write_text(w, json_string_value(value), json_string_length(value));
        break;
    case JSON_INTEGER:
    case JSON_REAL:
        write_number(w, value);
        break;
    case JSON_TRUE:
        gray_buffer_text(&w->out, "true");
        break;
    case JSON_FALSE:
        gray_buffer_text(&w->out, "false");
        break;
    case JSON_NULL:
        gray_buffer_text(&w->out, "null");
        break;
    }
}

/* ---- lists of ids -------------------------------------------------------- */

static void write_ids(struct writer *w, const struct model_list *list)
{
    gray_buffer_text(&w->out, "{\"ids\":[");
    for (uint64_t i = 0; i < list->id_count; i++) {
        gray_buffer_text(&w->out, i == 0 ? "" : ",");
        write_text(w, list->ids[i].data, list->ids[i].length);
    }
    gray_buffer_text(&w->out, "]");
}

/* A large file is named and not copied: a snapshot must stay small. */
static void write_list_document(struct writer *w,
                                const struct model_document *document,
                                const struct model_list *list)
{
    const char *file =
        json_string_value(json_object_get(document->tree, "file"));
    if (file == NULL || list->id_count <= GRAY_SOURCE_IDS_MAX) {
        write_ids(w, list);
    } else {
        char whole[PATH_MAX];
        const char *path =
            file[0] == '/' ? file
                           : gray_arena_print(w->check->arena, "%s/%s",
                                              document->text->folder, file);
        path = realpath(path, whole) == NULL ? path : whole;
        gray_buffer_text(&w->out, "{\"file\":");
        write_text(w, path, strlen(path));
    }
    gray_buffer_text(&w->out, ",\"kind\":\"List\",\"name\":");
    write_text(w, list->name, strlen(list->name));
    gray_buffer_text(&w->out, list->strict ? ",\"strict\":true}" : "}");
}

void gray_check_source(struct gray_check *c)
{
    static const enum role roles[KIND_COUNT] = {ROLE_PLAIN, ROLE_LANE, ROLE_LIST,
                                                ROLE_RELEASE, ROLE_SERVICE};
    struct writer w = {.check = c, .out = {.arena = c->arena}};
    /* The source is about as long as the texts: room is taken once. */
    size_t room = 0;
    for (size_t i = 0; i < c->owner->text_count; i++) {
        room += c->owner->texts[i]->length;
    }
    gray_buffer_room(&w.out, room);
    gray_buffer_put(&w.out, "[", 1);
    for (size_t i = 0; i < c->owner->document_count; i++) {
        const struct model_document *document = &c->owner->documents[i];
        gray_buffer_text(&w.out, i == 0 ? "\n" : ",\n");
        w.place.document = document->tree;
        w.place.name = document->name;
        if (document->kind == KIND_LIST) {
            uint32_t number = gray_names_find(&c->lists, document->name,
                                              strlen(document->name));
            write_list_document(&w, document, &c->model->lists[number]);
        } else {
            write_value(&w, document->tree, roles[document->kind]);
        }
    }
    gray_buffer_text(&w.out, "\n]\n");
    c->model->source = w.out.data;
    c->model->source_length = w.out.length;
}
