/* SPDX-License-Identifier: Apache-2.0
 * check.c - values of documents: their types, words and names.
 *
 * Why: every sentence about a value says which key, what is wrong and what to
 * write instead; so the getters are here, once, and a document's check reads
 * like its schema in docs/documents.md.
 * Read next: check.h, model_release.c.
 */
#include "policy/check.h"

#include <stdlib.h>
#include <string.h>

#include "policy/locate.h"
#include "policy/parse.h"

const char *const gray_kind_words[KIND_COUNT] = {"Check", "Lane", "List",
                                                 "Release", "Service"};

/* ---- problems ------------------------------------------------------------ */

static void write_pointer(struct gray_buffer *text, const struct where *at)
{
    if (at == NULL) {
        return;
    }
    write_pointer(text, at->up);
    gray_buffer_put(text, "/", 1);
    if (at->key == NULL) {
        char number[GRAY_DIGITS];
        gray_buffer_text(text, gray_digits(at->index, number));
        return;
    }
    for (const char *c = at->key; *c != '\0'; c++) {
        size_t plain = strcspn(c, "~/");
        gray_buffer_put(text, c, plain);
        c += plain;
        if (*c == '\0') {
            break;
        }
        gray_buffer_text(text, *c == '~' ? "~0" : "~1");
    }
}

const char *gray_check_pointer(struct gray_check *c, const struct where *at)
{
    char room[512];
    size_t used = sizeof(room);
    /* Backwards on the stack: the common case takes just its own bytes. */
    for (const struct where *w = at; w != NULL; w = w->up) {
        char number[GRAY_DIGITS];
        const char *step =
            w->key != NULL ? w->key : gray_digits(w->index, number);
        size_t length = strlen(step);
        if (length + 1 > used || strpbrk(step, "~/") != NULL) {
            struct gray_buffer text = {.arena = c->arena};
            write_pointer(&text, at);
            return text.data;
        }
        used -= length;
        memcpy(room + used, step, length);
        room[--used] = '/';
    }
    return gray_arena_copy(c->arena, room + used, sizeof(room) - used);
}

static void say(struct gray_check *c, enum gray_severity severity,
                enum gray_problem_number problem, const char *pointer,
                const char *format, va_list arguments)
    __attribute__((format(printf, 5, 0)));
static void say(struct gray_check *c, enum gray_severity severity,
                enum gray_problem_number problem, const char *pointer,
                const char *format, va_list arguments)
{
    size_t number = c->findings->count;
    struct gray_finding_head head = {
        .severity = severity,
        .problem = problem,
        .file = c->document == NULL ? NULL : c->document->text->name,
        .pointer = pointer,
        .document = c->document == NULL ? NULL : c->document->label};
    if (gray_findings_addv(c->findings, &head, format, arguments) != NULL &&
        c->document != NULL) {
        c->owners[number] = *c->document;
    }
}

/* A flood of findings must not fill the arena with pointers. */
static const char *pointer_of_problem(struct gray_check *c,
                                      const struct where *at)
{
    return c->findings->count < GRAY_FINDINGS_MAX ? gray_check_pointer(c, at)
                                                  : "";
}

void gray_check_say(struct gray_check *c, enum gray_severity severity,
                    enum gray_problem_number problem, const struct where *at,
                    const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say(c, severity, problem, pointer_of_problem(c, at), format, arguments);
    va_end(arguments);
}

void gray_check_say_at(struct gray_check *c, enum gray_severity severity,
                       enum gray_problem_number problem, const char *pointer,
                       const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say(c, severity, problem, pointer, format, arguments);
    va_end(arguments);
}

bool gray_check_error(struct gray_check *c, enum gray_problem_number problem,
                      const struct where *at, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say(c, GRAY_ERROR, problem, pointer_of_problem(c, at), format, arguments);
    va_end(arguments);
    return false;
}

/* ---- words --------------------------------------------------------------- */

/* How many edits lead from one word to the other (Levenshtein); words beyond
 * 31 bytes are far from everything. */
static size_t distance(const char *a, const char *b)
{
    size_t row[32], m = strlen(a), n = strlen(b);
    if (m > 31 || n > 31) {
        return 99;
    }
    for (size_t j = 0; j <= n; j++) {
        row[j] = j;
    }
    for (size_t i = 1; i <= m; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t change = diagonal + (a[i - 1] != b[j - 1]);
            size_t other = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            diagonal = row[j];
            row[j] = change < other ? change : other;
        }
    }
    return row[n];
}

const char *gray_check_words(struct gray_check *c, const char *const *words,
                             size_t count)
{
    struct gray_buffer text = {.arena = c->arena};
    gray_buffer_put(&text, "", 0);
    for (size_t i = 0; i < count; i++) {
        gray_buffer_text(&text, i == 0 ? "" : ", ");
        gray_buffer_text(&text, words[i]);
    }
    return text.data;
}

/* " (did you mean x?)" or nothing. */
static const char *meant(struct gray_check *c, const char *word,
                         const char *const *words, size_t count)
{
    size_t best = 3;
    const char *found = NULL;
    for (size_t i = 0; i < count; i++) {
        size_t now = distance(word, words[i]);
        if (now < best && now < strlen(words[i])) {
            best = now;
            found = words[i];
        }
    }
    return found == NULL
               ? ""
               : gray_arena_print(c->arena, " (did you mean %s?)", found);
}

static const char *type_word(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "a map";
    case JSON_ARRAY:
        return "a list";
    case JSON_STRING:
        return "a text";
    case JSON_INTEGER:
    case JSON_REAL:
        return "a number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "true or false";
    case JSON_NULL:
        break;
    }
    return "blank";
}

/* "share", "item 3 of match", "the document". */
static const char *what(struct gray_check *c, const struct where *at)
{
    if (at == NULL) {
        return "the document";
    }
    if (at->key != NULL) {
        return at->key;
    }
    const struct where *up = at->up;
    return gray_arena_print(c->arena, "item %zu of %s", at->index,
                            up != NULL && up->key != NULL ? up->key
                                                          : "this list");
}

static bool wrong_type(struct gray_check *c, const struct where *at,
                       const json_t *value, const char *wanted)
{
    if (json_is_null(value)) {
        return gray_check_error(c, GRAY_PROBLEM_BLANK, at,
                                "%s is blank; write %s", what(c, at), wanted);
    }
    return gray_check_error(c, GRAY_PROBLEM_WRONG_TYPE, at,
                            "%s must be %s, not %s", what(c, at), wanted,
                            type_word(value));
}

/* ---- maps and lists ------------------------------------------------------ */

bool gray_check_map(struct gray_check *c, const struct where *at,
                    json_t *value, const char *const *keys, size_t count,
                    json_t **ret_values)
{
    memset(ret_values, 0, count * sizeof(*ret_values));
    if (!json_is_object(value)) {
        return wrong_type(c, at, value,
                          gray_arena_print(c->arena, "a map with %s",
                                           gray_check_words(c, keys, count)));
    }
    const char *key;
    json_t *member;
    json_object_foreach (value, key, member) {
        size_t i = 0;
        while (i < count && strcmp(keys[i], key) != 0) {
            i++;
        }
        if (i == count) {
            gray_check_error(c, GRAY_PROBLEM_UNKNOWN_KEY, AT_KEY(at, key),
                             "unknown key \"%.64s\"%s; write one of %s", key,
                             meant(c, key, keys, count),
                             gray_check_words(c, keys, count));
        } else if (json_is_null(member)) {
            gray_check_error(c, GRAY_PROBLEM_BLANK, AT_KEY(at, key),
                             "%s is blank; write a value, or leave the key "
                             "out",
                             key);
        } else {
            ret_values[i] = member;
        }
    }
    return true;
}

bool gray_check_missing(struct gray_check *c, const struct where *at,
                        const char *key, const char *example)
{
    return gray_check_error(c, GRAY_PROBLEM_MISSING_KEY, at,
                            "%s has no %s; write %s", what(c, at), key,
                            example);
}

bool gray_check_list(struct gray_check *c, const struct where *at,
                     json_t *value, size_t max, const char *example)
{
    if (!json_is_array(value)) {
        return wrong_type(c, at, value,
                          gray_arena_print(c->arena, "a list such as %s",
                                           example));
    }
    if (json_array_size(value) > max) {
        return gray_check_error(c, GRAY_PROBLEM_TOO_MANY, at,
                                "%s has %zu items; at most %zu are allowed",
                                what(c, at), json_array_size(value), max);
    }
    return true;
}

/* ---- scalars ------------------------------------------------------------- */

bool gray_check_text(struct gray_check *c, const struct where *at,
                     json_t *value, size_t max, struct model_text *ret_text)
{
    if (!json_is_string(value)) {
        bool quotes = json_is_number(value) || json_is_boolean(value);
        return wrong_type(c, at, value,
                          quotes ? "a text in quotes" : "a text");
    }
    size_t length = json_string_length(value);
    if (length > max) {
        return gray_check_error(c, GRAY_PROBLEM_TOO_LONG, at,
                                "%s has %zu bytes; at most %zu are allowed",
                                what(c, at), length, max);
    }
    ret_text->data =
        gray_arena_copy(c->arena, json_string_value(value), length);
    ret_text->length = (uint32_t)length;
    return true;
}

static bool is_name(const char *text, bool upper)
{
    size_t length = strlen(text);
    if (length == 0 || length > GRAY_NAME_MAX) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        char b = text[i];
        bool plain = (b >= 'a' && b <= 'z') || (b >= '0' && b <= '9') ||
                     (upper && b >= 'A' && b <= 'Z');
        bool inner = i > 0 && (b == '.' || b == '_' || b == '-');
        if (!plain && !inner) {
            return false;
        }
    }
    return true;
}

bool gray_check_name_text(struct gray_check *c, const struct where *at,
                          const char *text, bool upper, const char **ret_name)
{
    if (!is_name(text, upper)) {
        return gray_check_error(
            c, GRAY_PROBLEM_BAD_NAME, at,
            "\"%.64s\" is no name; write 1 to %u of %sa-z 0-9 . _ -, a "
            "letter or digit first",
            text, GRAY_NAME_MAX, upper ? "A-Z " : "");
    }
    *ret_name = gray_arena_copy(c->arena, text, strlen(text));
    return true;
}

bool gray_check_name(struct gray_check *c, const struct where *at,
                     json_t *value, bool upper, const char **ret_name)
{
    struct model_text text = {NULL, 0};
    if (!gray_check_text(c, at, value, SIZE_MAX / 2, &text)) {
        return false;
    }
    return gray_check_name_text(c, at, text.data, upper, ret_name);
}

bool gray_check_bool(struct gray_check *c, const struct where *at,
                     json_t *value, bool *ret_value)
{
    if (!json_is_boolean(value)) {
        return wrong_type(c, at, value, "true or false");
    }
    *ret_value = json_is_true(value);
    return true;
}

bool gray_check_integer(struct gray_check *c, const struct where *at,
                        json_t *value, int64_t min, int64_t max,
                        int64_t *ret_value)
{
    if (!json_is_integer(value)) {
        return wrong_type(c, at, value, "a whole number");
    }
    int64_t number = json_integer_value(value);
    if (number < min || number > max) {
        return gray_check_error(c, GRAY_PROBLEM_OUT_OF_RANGE, at,
                                "%s is %lld; write a number from %lld to %lld",
                                what(c, at), (long long)number,
                                (long long)min, (long long)max);
    }
    *ret_value = number;
    return true;
}

bool gray_check_percent(struct gray_check *c, const struct where *at,
                        json_t *value, uint32_t *ret_share)
{
    if (!json_is_number(value)) {
        return wrong_type(c, at, value,
                          "a percent from 0 to 100, without quotes or %");
    }
    if (!gray_parse_percent(json_number_value(value), ret_share)) {
        return gray_check_error(c, GRAY_PROBLEM_BAD_PERCENT, at,
                                "%s is %.17g; write a percent from 0 to 100 "
                                "with at most 4 decimals",
                                what(c, at), json_number_value(value));
    }
    return true;
}

bool gray_check_word(struct gray_check *c, const struct where *at,
                     json_t *value, const char *const *words, size_t count,
                     uint32_t *ret_number)
{
    const char *list = gray_check_words(c, words, count);
    if (!json_is_string(value)) {
        return wrong_type(c, at, value,
                          gray_arena_print(c->arena, "one of %s", list));
    }
    const char *word = json_string_value(value);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(word, words[i]) == 0) {
            *ret_number = (uint32_t)i;
            return true;
        }
    }
    return gray_check_error(c, GRAY_PROBLEM_UNKNOWN_WORD, at,
                            "%s cannot be \"%.64s\"%s; write one of %s",
                            what(c, at), word, meant(c, word, words, count),
                            list);
}

/* ---- places -------------------------------------------------------------- */

/* Findings about keys are shown at the key, all others at the value. */
static bool about_key(const char *code)
{
    static const char *const codes[] = {"unknown-key", "duplicate-key",
                                        "blank", "unknown-condition"};
    for (size_t i = 0; i < sizeof(codes) / sizeof(*codes); i++) {
        if (strcmp(code, codes[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* The pointer without its last `levels` steps. malloc'd. */
static char *ancestor(const char *pointer, unsigned levels)
{
    char *copy = strdup(pointer);
    for (; copy != NULL && levels > 0; levels--) {
        char *slash = strrchr(copy, '/');
        if (slash == NULL) {
            break;
        }
        *slash = '\0';
    }
    return copy;
}

/* Findings about what is not there are shown where it should be: each pass
 * looks for the next ancestors of those without a place. */
static size_t locate_pass(struct gray_findings *findings, size_t first,
                          size_t count, const struct model_document *owners,
                          const struct gray_text *text, unsigned levels)
{
    struct gray_place *places = calloc(count, sizeof(*places));
    size_t *numbers = calloc(count, sizeof(*numbers));
    size_t used = 0, missing = 0;
    for (size_t i = 0; places != NULL && numbers != NULL && i < count; i++) {
        const struct gray_finding *item = &findings->items[first + i];
        bool open = owners[i].text == text && item->line == 0 &&
                    item->pointer != NULL;
        char *pointer = open ? ancestor(item->pointer, levels) : NULL;
        if (pointer != NULL) {
            struct gray_document document = {.number = owners[i].number,
                                             .item = owners[i].item};
            numbers[used] = first + i;
            places[used++] = (struct gray_place){
                .path = gray_path_pointer(gray_path_root(&document), pointer),
                .key = levels == 0 && about_key(item->code)};
            free(pointer);
        }
    }
    if (used > 0) {
        gray_locate(text, places, used);
    }
    for (size_t i = 0; i < used; i++) {
        findings->items[numbers[i]].line = places[i].line;
        findings->items[numbers[i]].column = places[i].column;
        missing += places[i].line == 0;
    }
    free(places);
    free(numbers);
    return missing;
}

static void locate_in(struct gray_findings *findings, size_t first,
                      size_t count, const struct model_document *owners,
                      const struct gray_text *text)
{
    for (unsigned levels = 0; levels <= GRAY_DOCUMENT_DEPTH_MAX; levels++) {
        if (locate_pass(findings, first, count, owners, text, levels) == 0) {
            return;
        }
    }
}

static void locate_all(const struct model_owner *owner,
                       struct gray_findings *findings, size_t first,
                       const struct model_document *owners)
{
    if (findings->count <= first) {
        return;
    }
    for (size_t t = 0; t < owner->text_count; t++) {
        bool used = false;
        for (size_t i = 0; i < findings->count - first && !used; i++) {
            used = owners[i].text == owner->texts[t];
        }
        if (used) {
            locate_in(findings, first, findings->count - first, owners,
                      owner->texts[t]);
        }
    }
}

void gray_check_locate(struct gray_check *c, size_t first)
{
    locate_all(c->owner, c->findings, first, c->owners + first);
}

void gray_model_locate(const struct gray_model *model,
                       struct gray_findings *findings, size_t first)
{
    const struct model_owner *owner = (const struct model_owner *)model;
    if (findings->count <= first) {
        return;
    }
    struct model_document *owners =
        calloc(findings->count - first, sizeof(*owners));
    if (owners == NULL) {
        return;
    }
    for (size_t i = first; i < findings->count; i++) {
        struct gray_finding *item = &findings->items[i];
        if (item->document == NULL || item->line > 0 ||
            item->pointer == NULL) {
            continue;
        }
        uint32_t number = gray_names_find(&owner->labels, item->document,
                                          strlen(item->document));
        if (number != UINT32_MAX) {
            owners[i - first] = owner->documents[number];
            if (item->file == NULL) {
                item->file = strdup(owners[i - first].text->name);
            }
        }
    }
    locate_all(owner, findings, first, owners);
    free(owners);
}
