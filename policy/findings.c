/* SPDX-License-Identifier: Apache-2.0
 * findings.c - problems of documents, kept, printed and turned into JSON.
 *
 * Why: whoever writes a policy wants all that is wrong at once, each with its
 * place and with what to write instead.  Texts of users come into sentences,
 * so every byte that is no printable UTF-8 is replaced: a policy must not
 * paint on the terminal of whoever lints it.
 * Read next: findings.h, problems.def.
 */
#include "policy/findings.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/utf8.h"

static const char *const problem_codes[] = {
#define GRAY_PROBLEM(NAME, code, meaning) code,
#include "policy/problems.def"
#undef GRAY_PROBLEM
};
static const char *const problem_meanings[] = {
#define GRAY_PROBLEM(NAME, code, meaning) meaning,
#include "policy/problems.def"
#undef GRAY_PROBLEM
};

size_t gray_problem_codes(const char *const **ret_codes,
                          const char *const **ret_sentences)
{
    *ret_codes = problem_codes;
    *ret_sentences = problem_meanings;
    return GRAY_PROBLEM_COUNT;
}

enum gray_problem_number gray_problem_number(const char *code)
{
    int number = 0;
    while (number < GRAY_PROBLEM_COUNT &&
           strcmp(problem_codes[number], code) != 0) {
        number++;
    }
    return (enum gray_problem_number)number;
}

/* Replaces what is not printable UTF-8. */
static char *clean(char *text)
{
    if (text == NULL) {
        return NULL;
    }
    size_t length = strlen(text);
    for (size_t i = 0; i < length;) {
        size_t step = gray_utf8_step(text + i, length - i);
        if (step == 0) {
            text[i++] = '?';
        } else if (step == 1 &&
                   ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)) {
            text[i++] = '?';
        } else {
            i += step;
        }
    }
    return text;
}

static char *copy(const char *text)
{
    return text == NULL ? NULL : clean(strdup(text));
}

static char *format_text(const char *format, va_list arguments)
    __attribute__((format(printf, 1, 0)));
static char *format_text(const char *format, va_list arguments)
{
    char *text = NULL;
    if (vasprintf(&text, format, arguments) < 0) {
        return NULL;
    }
    return clean(text);
}

static bool room_for_one(struct gray_findings *findings)
{
    if (findings->count < findings->capacity) {
        return true;
    }
    size_t capacity = findings->capacity == 0 ? 16 : findings->capacity * 2;
    void *items =
        realloc(findings->items, capacity * sizeof(*findings->items));
    if (items == NULL) {
        return false;
    }
    findings->items = items;
    findings->capacity = capacity;
    return true;
}

struct gray_finding *gray_findings_addv(struct gray_findings *findings,
                                        const struct gray_finding_head *head,
                                        const char *format, va_list arguments)
{
    if (head->severity == GRAY_ERROR) {
        findings->errors++;
    }
    if (findings->count > GRAY_FINDINGS_MAX || !room_for_one(findings)) {
        return NULL;
    }
    struct gray_finding *item = &findings->items[findings->count];
    memset(item, 0, sizeof(*item));
    item->severity = head->severity;
    if (findings->count == GRAY_FINDINGS_MAX) {
        item->code = problem_codes[GRAY_PROBLEM_TOO_MANY_PROBLEMS];
        item->sentence = strdup("there are more problems than these; mend "
                                "what is said above first");
        item->pointer = strdup("");
    } else {
        item->code = problem_codes[head->problem];
        item->sentence = format_text(format, arguments);
        item->file = copy(head->file);
        item->line = head->line;
        item->column = head->column;
        item->pointer = copy(head->pointer == NULL ? "" : head->pointer);
        item->document = copy(head->document);
    }
    findings->count++;
    return findings->count > GRAY_FINDINGS_MAX ? NULL : item;
}

struct gray_finding *gray_findings_add(struct gray_findings *findings,
                                       const struct gray_finding_head *head,
                                       const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    struct gray_finding *item =
        gray_findings_addv(findings, head, format, arguments);
    va_end(arguments);
    return item;
}

void gray_findings_free(struct gray_findings *findings)
{
    if (findings == NULL) {
        return;
    }
    for (size_t i = 0; i < findings->count; i++) {
        free(findings->items[i].sentence);
        free(findings->items[i].file);
        free(findings->items[i].pointer);
        free(findings->items[i].document);
    }
    free(findings->items);
    memset(findings, 0, sizeof(*findings));
}

static const char *severity_word(enum gray_severity severity)
{
    switch (severity) {
    case GRAY_ERROR:
        return "error";
    case GRAY_WARNING:
        return "warning";
    case GRAY_ADVICE:
        break;
    }
    return "advice";
}

static const char *or_empty(const char *text)
{
    return text == NULL ? "" : text;
}

void gray_findings_print(const struct gray_findings *findings, FILE *out)
{
    for (size_t i = 0; i < findings->count; i++) {
        const struct gray_finding *item = &findings->items[i];
        if (item->file != NULL) {
            fprintf(out, "%s:", item->file);
            if (item->line > 0) {
                fprintf(out, "%u:%u:", item->line, item->column);
            }
            fputc(' ', out);
        }
        fprintf(out, "%s: %s [%s]", severity_word(item->severity),
                or_empty(item->sentence), item->code);
        const char *pointer = or_empty(item->pointer);
        if (item->document != NULL) {
            fprintf(out, " (%s%s%s)", item->document,
                    *pointer == '\0' ? "" : " ", pointer);
        } else if (*pointer != '\0') {
            fprintf(out, " (%s)", pointer);
        }
        fputc('\n', out);
    }
}

static json_t *text_or_null(const char *text)
{
    return text == NULL ? json_null() : json_string(text);
}

static int as_json(json_t *array, const struct gray_finding *item)
{
    json_t *object = json_object();
    int status = json_object_set_new(
        object, "severity", json_string(severity_word(item->severity)));
    status |= json_object_set_new(object, "code", json_string(item->code));
    status |= json_object_set_new(object, "sentence",
                                  json_string(or_empty(item->sentence)));
    status |= json_object_set_new(object, "file", text_or_null(item->file));
    status |= json_object_set_new(object, "line", json_integer(item->line));
    status |=
        json_object_set_new(object, "column", json_integer(item->column));
    status |= json_object_set_new(object, "pointer",
                                  json_string(or_empty(item->pointer)));
    status |=
        json_object_set_new(object, "document", text_or_null(item->document));
    return json_array_append_new(array, object) | status;
}

char *gray_findings_json(const struct gray_findings *findings)
{
    json_t *array = json_array();
    int status = array == NULL ? -1 : 0;
    for (size_t i = 0; i < findings->count && status == 0; i++) {
        status = as_json(array, &findings->items[i]);
    }
    char *text = status == 0 ? json_dumps(array, JSON_COMPACT) : NULL;
    json_decref(array);
    return text;
}
