/* SPDX-License-Identifier: Apache-2.0
 * documents_yaml.c - YAML to trees, event by event.
 *
 * Why: YAML has more ways to surprise than a policy can bear.  Read is the
 * core schema (YAML 1.2, 10.3) without anchors, aliases, tags and keys that are
 * no words: `yes` is a text, `0x10` a number, and nothing expands.  A stack of
 * fixed depth stands for recursion.
 * Read next: documents.c, locate.c (walks the same events for places).
 */
#include "policy/documents.h"

#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "policy/arena.h"

struct frame {
    json_t *container;
    char *key; /* of the member to come; NULL: a key is awaited */
    bool map, twice;
    size_t index;
};

struct reader {
    struct gray_documents *docs;
    struct gray_text *text;
    struct gray_findings *findings;
    yaml_parser_t parser;
    locale_t plain; /* strtod must not follow the user's decimal comma */
    struct frame frames[GRAY_DOCUMENT_DEPTH_MAX];
    size_t depth;
    size_t number; /* of the document in the text */
    bool failed;   /* something was reported */
};

/* The JSON pointer of the value that is being read. malloc'd. */
static char *pointer_now(const struct reader *r)
{
    struct gray_arena arena = {0};
    struct gray_buffer text = {.arena = &arena};
    gray_buffer_put(&text, "", 0);
    for (size_t i = 0; i < r->depth; i++) {
        const struct frame *frame = &r->frames[i];
        char number[GRAY_DIGITS];
        const char *step =
            frame->map ? frame->key : gray_digits(frame->index, number);
        if (step == NULL) {
            break;
        }
        gray_buffer_text(&text, "/");
        for (const char *c = step; *c != '\0'; c++) {
            if (*c == '~' || *c == '/') {
                gray_buffer_text(&text, *c == '~' ? "~0" : "~1");
            } else {
                gray_buffer_put(&text, c, 1);
            }
        }
    }
    char *copy = strdup(text.data);
    gray_arena_free(&arena);
    return copy;
}

static void report(struct reader *r, const yaml_mark_t *mark,
                   enum gray_problem_number problem, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static void report(struct reader *r, const yaml_mark_t *mark,
                   enum gray_problem_number problem, const char *format, ...)
{
    char *pointer = pointer_now(r);
    struct gray_finding_head head = {
        .severity = GRAY_ERROR,
        .problem = problem,
        .file = r->text->name,
        .line = (uint32_t)mark->line + 1,
        .column = (uint32_t)mark->column + 1,
        .pointer = pointer};
    va_list arguments;
    va_start(arguments, format);
    gray_findings_addv(r->findings, &head, format, arguments);
    va_end(arguments);
    free(pointer);
    r->failed = true;
}

/* ---- scalars ------------------------------------------------------------- */

static size_t digits(const char *text)
{
    return strspn(text, "0123456789");
}

/* [-+]? [0-9]+ | 0o [0-7]+ | 0x [0-9a-fA-F]+ */
static bool is_integer(const char *text, int *ret_base)
{
    *ret_base = 10;
    if (text[0] == '0' && (text[1] == 'o' || text[1] == 'x')) {
        const char *set =
            text[1] == 'o' ? "01234567" : "0123456789abcdefABCDEF";
        *ret_base = text[1] == 'o' ? 8 : 16;
        return text[2] != '\0' && text[2 + strspn(text + 2, set)] == '\0';
    }
    text += *text == '-' || *text == '+';
    return *text != '\0' && text[digits(text)] == '\0';
}

/* [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )? */
static bool is_float(const char *text)
{
    text += *text == '-' || *text == '+';
    size_t whole = digits(text);
    text += whole;
    if (*text == '.') {
        size_t part = digits(++text);
        if (whole == 0 && part == 0) {
            return false;
        }
        text += part;
    } else if (whole == 0) {
        return false;
    }
    if (*text == 'e' || *text == 'E') {
        text++;
        text += *text == '-' || *text == '+';
        size_t power = digits(text);
        if (power == 0) {
            return false;
        }
        text += power;
    }
    return *text == '\0';
}

static bool is_one_of(const char *text, const char *const *words)
{
    for (; *words != NULL; words++) {
        if (strcmp(text, *words) == 0) {
            return true;
        }
    }
    return false;
}

static json_t *plain_number(struct reader *r, const char *text,
                            const yaml_mark_t *mark)
{
    int base;
    if (is_integer(text, &base)) {
        errno = 0;
        long long value = strtoll(base == 10 ? text : text + 2, NULL, base);
        if (errno == ERANGE) {
            report(r, mark, GRAY_PROBLEM_BAD_NUMBER,
                   "%.64s is too large for a number; quote it if it is a "
                   "text",
                   text);
            value = 0;
        }
        return json_integer(value);
    }
    double value = strtod_l(text, NULL, r->plain);
    json_t *real = json_real(value);
    if (real == NULL) {
        report(r, mark, GRAY_PROBLEM_BAD_NUMBER,
               "%.64s is too large for a number; quote it if it is a text",
               text);
        real = json_real(0);
    }
    return real;
}

/* What an unquoted word stands for. */
static json_t *plain_scalar(struct reader *r, const char *text, size_t length,
                            const yaml_mark_t *mark)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const yes[] = {"true", "True", "TRUE", NULL};
    static const char *const no[] = {"false", "False", "FALSE", NULL};
    static const char *const odd[] = {
        ".inf",  ".Inf",  ".INF",  "-.inf", "-.Inf", "-.INF", "+.inf",
        "+.Inf", "+.INF", ".nan",  ".NaN",  ".NAN",  NULL};
    int base;
    if (is_one_of(text, nulls)) {
        return json_null();
    }
    if (is_one_of(text, yes)) {
        return json_true();
    }
    if (is_one_of(text, no)) {
        return json_false();
    }
    if (is_one_of(text, odd)) {
        report(r, mark, GRAY_PROBLEM_BAD_NUMBER,
               "%s is no number that a policy can use; write a finite one",
               text);
        return json_integer(0);
    }
    if (is_integer(text, &base) || is_float(text)) {
        return plain_number(r, text, mark);
    }
    return json_stringn_nocheck(text, length);
}

/* ---- structure ----------------------------------------------------------- */

static void check_properties(struct reader *r, const yaml_mark_t *mark,
                             const yaml_char_t *anchor,
                             const yaml_char_t *tag)
{
    if (anchor != NULL) {
        report(r, mark, GRAY_PROBLEM_YAML_ALIAS,
               "an anchor (&%.40s): write the value out where it is needed",
               (const char *)anchor);
    }
    if (tag != NULL) {
        report(r, mark, GRAY_PROBLEM_YAML_TAG,
               "a tag (%.40s): leave it out, and quote what is a text",
               (const char *)tag);
    }
}

/* Puts a finished value where it belongs. 0, or -1 without memory. */
static int attach(struct reader *r, json_t *value)
{
    if (value == NULL) {
        return -1;
    }
    if (r->depth == 0) {
        return gray_documents_root(r->docs, r->text, r->number, value);
    }
    struct frame *frame = &r->frames[r->depth - 1];
    if (!frame->map) {
        frame->index++;
        return json_array_append_new(frame->container, value);
    }
    int status = 0;
    if (frame->twice) {
        json_decref(value);
    } else {
        status = json_object_set_new_nocheck(frame->container, frame->key,
                                             value);
    }
    free(frame->key);
    frame->key = NULL;
    frame->twice = false;
    return status;
}

static bool awaits_key(const struct reader *r)
{
    return r->depth > 0 && r->frames[r->depth - 1].map &&
           r->frames[r->depth - 1].key == NULL;
}

static int take_key(struct reader *r, const yaml_event_t *event)
{
    struct frame *frame = &r->frames[r->depth - 1];
    const char *text = (const char *)event->data.scalar.value;
    frame->key = strdup(text);
    if (frame->key == NULL) {
        return -1;
    }
    if (json_object_get(frame->container, text) != NULL) {
        frame->twice = true;
        report(r, &event->start_mark, GRAY_PROBLEM_DUPLICATE_KEY,
               "key \"%.64s\" stands twice in this map; keep one of them",
               text);
    }
    return 0;
}

static int take_scalar(struct reader *r, const yaml_event_t *event)
{
    const char *text = (const char *)event->data.scalar.value;
    size_t length = event->data.scalar.length;
    check_properties(r, &event->start_mark, event->data.scalar.anchor,
                     event->data.scalar.tag);
    if (memchr(text, '\0', length) != NULL) {
        report(r, &event->start_mark, GRAY_PROBLEM_BAD_TEXT,
               "a NUL byte; no text of a policy has one");
        length = strlen(text);
    }
    if (awaits_key(r)) {
        return take_key(r, event);
    }
    if (event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE) {
        return attach(r, json_stringn_nocheck(text, length));
    }
    /* A document of comments alone is none. */
    if (r->depth == 0 && length == 0) {
        return 0;
    }
    return attach(r, plain_scalar(r, text, length, &event->start_mark));
}

/* Opens a map or a sequence. 1: go on; 0: give the text up; -1: no memory. */
static int open_container(struct reader *r, const yaml_event_t *event)
{
    bool map = event->type == YAML_MAPPING_START_EVENT;
    check_properties(r, &event->start_mark,
                     map ? event->data.mapping_start.anchor
                         : event->data.sequence_start.anchor,
                     map ? event->data.mapping_start.tag
                         : event->data.sequence_start.tag);
    if (awaits_key(r)) {
        report(r, &event->start_mark, GRAY_PROBLEM_BAD_KEY,
               "a key must be a word, not a map or a list; a value such as "
               "{a} needs quotes");
        return 0;
    }
    if (r->depth == GRAY_DOCUMENT_DEPTH_MAX) {
        report(r, &event->start_mark, GRAY_PROBLEM_TOO_DEEP,
               "nested deeper than %u; write it flatter",
               GRAY_DOCUMENT_DEPTH_MAX);
        return 0;
    }
    struct frame *frame = &r->frames[r->depth];
    *frame = (struct frame){
        .container = map ? json_object() : json_array(), .map = map};
    if (frame->container == NULL) {
        return -1;
    }
    r->depth++;
    return 1;
}

/* 1: go on; 0: the text is at its end or given up; -1: no memory. */
static int take_event(struct reader *r, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_STREAM_END_EVENT:
        return 0;
    case YAML_DOCUMENT_END_EVENT:
        r->number++;
        return 1;
    case YAML_SCALAR_EVENT:
        return take_scalar(r, event) == 0 ? 1 : -1;
    case YAML_ALIAS_EVENT:
        report(r, &event->start_mark, GRAY_PROBLEM_YAML_ALIAS,
               "an alias (*%.40s): write the value out; a text that begins "
               "with * needs quotes",
               (const char *)event->data.alias.anchor);
        return awaits_key(r) ? 0 : attach(r, json_true()) == 0 ? 1 : -1;
    case YAML_MAPPING_START_EVENT:
    case YAML_SEQUENCE_START_EVENT:
        return open_container(r, event);
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT: {
        json_t *value = r->frames[--r->depth].container;
        return attach(r, value) == 0 ? 1 : -1;
    }
    default:
        return 1;
    }
}

static void report_syntax(struct reader *r)
{
    const yaml_parser_t *p = &r->parser;
    const char *problem = p->problem == NULL ? "unreadable" : p->problem;
    const char *advice = "";
    if (strstr(problem, "cannot start any token") != NULL) {
        advice = "; indent with blanks, not tabs, and quote texts that begin "
                 "with @, ` or %";
    } else if (strstr(problem, "mapping values are not allowed") != NULL) {
        advice = "; look at the indentation, and quote texts that have \": \"";
    } else if (strstr(problem, "block") != NULL) {
        advice = "; look at the indentation of this line and the one above";
    }
    if (p->error == YAML_MEMORY_ERROR) {
        report(r, &p->problem_mark, GRAY_PROBLEM_OUT_OF_MEMORY,
               "memory is at its end while reading");
        return;
    }
    report(r, &p->problem_mark, GRAY_PROBLEM_SYNTAX, "not YAML: %s%s%s%s",
           p->context == NULL ? "" : p->context,
           p->context == NULL ? "" : ", ", problem, advice);
}

static void read_events(struct reader *r)
{
    for (int going = 1; going > 0;) {
        yaml_event_t event;
        if (!yaml_parser_parse(&r->parser, &event)) {
            report_syntax(r);
            return;
        }
        going = take_event(r, &event);
        if (going < 0) {
            report(r, &event.start_mark, GRAY_PROBLEM_OUT_OF_MEMORY,
                   "memory is at its end while reading");
        }
        yaml_event_delete(&event);
    }
}

int gray_documents_yaml(struct gray_documents *docs, struct gray_text *text,
                        struct gray_findings *findings)
{
    struct reader r = {.docs = docs, .text = text, .findings = findings};
    r.plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (r.plain == (locale_t)0 || !yaml_parser_initialize(&r.parser)) {
        yaml_mark_t start = {0};
        report(&r, &start, GRAY_PROBLEM_OUT_OF_MEMORY,
               "memory is at its end while reading");
        if (r.plain != (locale_t)0) {
            freelocale(r.plain);
        }
        return -1;
    }
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(
        &r.parser, (const unsigned char *)text->data, text->length);
    read_events(&r);
    while (r.depth > 0) {
        struct frame *frame = &r.frames[--r.depth];
        json_decref(frame->container);
        free(frame->key);
    }
    yaml_parser_delete(&r.parser);
    freelocale(r.plain);
    return r.failed ? -1 : 0;
}
