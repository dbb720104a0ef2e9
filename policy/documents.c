/* SPDX-License-Identifier: Apache-2.0
 * documents.c - texts read, checked as texts, and JSON turned into trees.
 *
 * Why: everything a person can type must end in a sentence, not in a crash or
 * a guess: the size, the encoding and the depth of a text are looked at before
 * any parser sees it.  A text with an error gives no documents at all, so that
 * half a file is never put in force.
 * Read next: documents_yaml.c, locate.c, model.c.
 */
#include "policy/documents.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policy/locate.h"
#include "policy/utf8.h"

static void report(struct gray_findings *findings, const char *file,
                   enum gray_problem_number problem, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static void report(struct gray_findings *findings, const char *file,
                   enum gray_problem_number problem, const char *format, ...)
{
    struct gray_finding_head head = {
        .severity = GRAY_ERROR, .problem = problem, .file = file};
    va_list arguments;
    va_start(arguments, format);
    gray_findings_addv(findings, &head, format, arguments);
    va_end(arguments);
}

/* ---- owners -------------------------------------------------------------- */

void gray_text_release(struct gray_text *text)
{
    if (text == NULL || --text->references > 0) {
        return;
    }
    free(text->name);
    free(text->folder);
    free(text->data);
    free(text);
}

struct gray_documents *gray_documents_new(void)
{
    return calloc(1, sizeof(struct gray_documents));
}

static void forget_from(struct gray_documents *docs, size_t first)
{
    while (docs->count > first) {
        json_decref(docs->items[--docs->count].tree);
    }
}

void gray_documents_free(struct gray_documents *docs)
{
    if (docs == NULL) {
        return;
    }
    forget_from(docs, 0);
    for (size_t i = 0; i < docs->text_count; i++) {
        gray_text_release(docs->texts[i]);
    }
    free(docs->items);
    free(docs->texts);
    free(docs);
}

static int push_document(struct gray_documents *docs,
                         const struct gray_document *document)
{
    if (docs->count == docs->capacity) {
        size_t capacity = docs->capacity == 0 ? 16 : docs->capacity * 2;
        void *items = realloc(docs->items, capacity * sizeof(*docs->items));
        if (items == NULL) {
            return -1;
        }
        docs->items = items;
        docs->capacity = capacity;
    }
    docs->items[docs->count++] = *document;
    return 0;
}

int gray_documents_root(struct gray_documents *docs, struct gray_text *text,
                        size_t number, json_t *tree)
{
    struct gray_document document = {
        .text = text, .number = number, .item = GRAY_NO_ITEM, .tree = tree};
    if (!json_is_array(tree)) {
        if (push_document(docs, &document) != 0) {
            json_decref(tree);
            return -1;
        }
        return 0;
    }
    int status = 0;
    for (size_t i = 0; i < json_array_size(tree) && status == 0; i++) {
        document.item = i;
        document.tree = json_incref(json_array_get(tree, i));
        status = push_document(docs, &document);
        if (status != 0) {
            json_decref(document.tree);
        }
    }
    json_decref(tree);
    return status;
}

/* ---- texts as texts ------------------------------------------------------ */

/* Counts lines and characters on the way to `offset`. */
static void place_of(const struct gray_text *text, size_t offset,
                     struct gray_finding_head *head)
{
    head->line = 1;
    head->column = 1;
    for (size_t i = 0; i < offset && i < text->length; i++) {
        if (text->data[i] == '\n') {
            head->line++;
            head->column = 1;
        } else if (((unsigned char)text->data[i] & 0xc0) != 0x80) {
            head->column++;
        }
    }
}

static int check_encoding(const struct gray_text *text,
                          struct gray_findings *findings)
{
    struct gray_finding_head head = {.severity = GRAY_ERROR,
                                     .problem = GRAY_PROBLEM_NOT_UTF8,
                                     .file = text->name};
    for (size_t i = 0; i < text->length;) {
        if (text->data[i] > 0) { /* ASCII: most bytes of most documents */
            i++;
            continue;
        }
        size_t step = gray_utf8_step(text->data + i, text->length - i);
        if (step == 0) {
            place_of(text, i, &head);
            gray_findings_add(findings, &head,
                              "byte 0x%02x is not UTF-8; save the file as "
                              "UTF-8",
                              (unsigned char)text->data[i]);
            return -1;
        }
        if (text->data[i] == '\0') {
            head.problem = GRAY_PROBLEM_BAD_TEXT;
            place_of(text, i, &head);
            gray_findings_add(findings, &head,
                              "a NUL byte; a document is text without any");
            return -1;
        }
        i += step;
    }
    return 0;
}

/* Counts open brackets outside of strings, before any parser recurses. */
static int check_json_depth(const struct gray_text *text,
                            struct gray_findings *findings)
{
    size_t depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < text->length; i++) {
        char c = text->data[i];
        if (quoted) {
            if (c == '\\') {
                i++;
            } else if (c == '"') {
                quoted = false;
            }
        } else if (c == '"') {
            quoted = true;
        } else if (c == '{' || c == '[') {
            if (++depth > GRAY_DOCUMENT_DEPTH_MAX) {
                struct gray_finding_head head = {
                    .severity = GRAY_ERROR,
                    .problem = GRAY_PROBLEM_TOO_DEEP,
                    .file = text->name};
                place_of(text, i, &head);
                gray_findings_add(findings, &head,
                                  "nested deeper than %u; write it flatter",
                                  GRAY_DOCUMENT_DEPTH_MAX);
                return -1;
            }
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
    }
    return 0;
}

/* jansson says where the offending token ends; people look for its start. */
static void place_token(const json_error_t *error,
                        struct gray_finding_head *head)
{
    const char *near = strstr(error->text, " near '");
    size_t characters = 0;
    head->line = error->line < 1 ? 1 : (uint32_t)error->line;
    head->column = error->column < 1 ? 1 : (uint32_t)error->column;
    if (near == NULL) {
        return;
    }
    near += strlen(" near '");
    const char *end = strrchr(near, '\'');
    for (const char *b = near; end != NULL && b < end; b++) {
        characters += ((unsigned char)*b & 0xc0) != 0x80;
    }
    if (characters > 0 && characters <= head->column) {
        head->column -= (uint32_t)characters - 1;
    }
}

static int read_json(struct gray_documents *docs, struct gray_text *text,
                     struct gray_findings *findings)
{
    if (check_json_depth(text, findings) != 0) {
        return -1;
    }
    json_error_t error;
    json_t *tree = json_loadb(text->data, text->length,
                              JSON_REJECT_DUPLICATES, &error);
    if (tree == NULL &&
        json_error_code(&error) == json_error_duplicate_key) {
        /* Once more with duplicates allowed: is all else well-formed?  Then
         * every duplicate can be named, not the first alone. */
        json_error_t other;
        tree = json_loadb(text->data, text->length, 0, &other);
        if (tree != NULL) {
            json_decref(tree);
            if (gray_locate_duplicates(text, findings) > 0) {
                return -1;
            }
        }
        tree = NULL;
    }
    if (tree == NULL) {
        enum json_error_code code = json_error_code(&error);
        struct gray_finding_head head = {
            .severity = GRAY_ERROR,
            .problem = code == json_error_numeric_overflow
                           ? GRAY_PROBLEM_BAD_NUMBER
                       : code == json_error_duplicate_key
                           ? GRAY_PROBLEM_DUPLICATE_KEY
                           : GRAY_PROBLEM_SYNTAX,
            .file = text->name};
        place_token(&error, &head);
        gray_findings_add(findings, &head,
                          "not JSON: %s (a text that begins with { or [ is "
                          "read as JSON, any other as YAML)",
                          error.text);
        return -1;
    }
    if (gray_documents_root(docs, text, 0, tree) != 0) {
        report(findings, text->name, GRAY_PROBLEM_OUT_OF_MEMORY,
               "memory is at its end while reading");
        return -1;
    }
    return 0;
}

static bool looks_like_json(const struct gray_text *text)
{
    size_t i = strspn(text->data, " \t\r\n");
    return text->data[i] == '{' || text->data[i] == '[';
}

int gray_documents_keep(struct gray_documents *docs, struct gray_text *text)
{
    if (docs->text_count == docs->text_capacity) {
        size_t capacity =
            docs->text_capacity == 0 ? 8 : docs->text_capacity * 2;
        void *texts = realloc(docs->texts, capacity * sizeof(*docs->texts));
        if (texts == NULL) {
            return -1;
        }
        docs->texts = texts;
        docs->text_capacity = capacity;
    }
    docs->texts[docs->text_count++] = text;
    return 0;
}

static int read_text(struct gray_documents *docs, struct gray_text *text,
                     struct gray_findings *findings)
{
    if (text->length >= 3 && memcmp(text->data, "\xef\xbb\xbf", 3) == 0) {
        text->length -= 3;
        memmove(text->data, text->data + 3, text->length + 1);
    }
    if (check_encoding(text, findings) != 0) {
        return -1;
    }
    size_t count = docs->count;
    text->json = looks_like_json(text);
    int status = text->json ? read_json(docs, text, findings)
                            : gray_documents_yaml(docs, text, findings);
    if (status == 0 && docs->count == count) {
        report(findings, text->name, GRAY_PROBLEM_NO_DOCUMENT,
               "there is no document in it; write `kind:` and `name:`");
        status = -1;
    }
    if (status != 0) {
        forget_from(docs, count);
    }
    return status;
}

/* Takes over `data`, which ends in NUL after `length` bytes. */
static int add_owned(struct gray_documents *docs, const char *name,
                     char *data, size_t length,
                     struct gray_findings *findings)
{
    struct gray_text *text = calloc(1, sizeof(*text));
    if (text == NULL) {
        free(data);
        goto no_memory;
    }
    const char *slash = strrchr(name, '/');
    text->references = 1;
    text->data = data;
    text->length = length;
    text->name = strdup(name);
    text->folder = slash == NULL ? strdup(".")
                   : slash == name ? strdup("/")
                                   : strndup(name, (size_t)(slash - name));
    if (text->name == NULL || text->folder == NULL ||
        gray_documents_keep(docs, text) != 0) {
        gray_text_release(text);
        goto no_memory;
    }
    return read_text(docs, text, findings);
no_memory:
    report(findings, name, GRAY_PROBLEM_OUT_OF_MEMORY,
           "memory is at its end while reading");
    return -1;
}

static int too_big(struct gray_findings *findings, const char *name)
{
    report(findings, name, GRAY_PROBLEM_TOO_BIG,
           "longer than %u MiB; put ids into the file of a List, or spread "
           "the documents over several files",
           GRAY_DOCUMENT_BYTES_MAX >> 20);
    return -1;
}

int gray_documents_add_text(struct gray_documents *docs, const char *name,
                            const char *text, size_t length,
                            struct gray_findings *findings)
{
    if (length > GRAY_DOCUMENT_BYTES_MAX) {
        return too_big(findings, name);
    }
    char *copy = malloc(length + 1);
    if (copy == NULL) {
        report(findings, name, GRAY_PROBLEM_OUT_OF_MEMORY,
               "memory is at its end while reading");
        return -1;
    }
    if (length > 0) {
        memcpy(copy, text, length);
    }
    copy[length] = '\0';
    return add_owned(docs, name, copy, length, findings);
}

/* ---- files and folders --------------------------------------------------- */

static int add_descriptor(struct gray_documents *docs, const char *name,
                          int fd, struct gray_findings *findings)
{
    size_t length = 0, capacity = 0;
    char *data = NULL;
    for (;;) {
        if (capacity - length < 2) {
            capacity = capacity == 0 ? (size_t)64 << 10 : capacity * 2;
            char *more = realloc(data, capacity);
            if (more == NULL) {
                free(data);
                report(findings, name, GRAY_PROBLEM_OUT_OF_MEMORY,
                       "memory is at its end while reading");
                return -1;
            }
            data = more;
        }
        ssize_t got = read(fd, data + length, capacity - length - 1);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            report(findings, name, GRAY_PROBLEM_CANNOT_READ,
                   "cannot be read: %s", strerror(errno));
            free(data);
            return -1;
        }
        if (got == 0) {
            break;
        }
        length += (size_t)got;
        if (length > GRAY_DOCUMENT_BYTES_MAX) {
            free(data);
            return too_big(findings, name);
        }
    }
    data[length] = '\0';
    return add_owned(docs, name, data, length, findings);
}

static int wanted_entry(const struct dirent *entry)
{
    const char *dot = strrchr(entry->d_name, '.');
    return entry->d_name[0] != '.' && dot != NULL &&
           (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0 ||
            strcmp(dot, ".json") == 0);
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int add_folder(struct gray_documents *docs, const char *path,
                      struct gray_findings *findings)
{
    struct dirent **entries = NULL;
    int count = scandir(path, &entries, wanted_entry, by_bytes);
    if (count < 0) {
        report(findings, path, GRAY_PROBLEM_CANNOT_READ,
               "cannot be read: %s", strerror(errno));
        return -1;
    }
    int status = 0;
    if (count == 0) {
        report(findings, path, GRAY_PROBLEM_NO_DOCUMENT,
               "there is no *.yaml, *.yml or *.json in this folder");
        status = -1;
    }
    for (int i = 0; i < count; i++) {
        char *name = NULL;
        if (asprintf(&name, "%s/%s", path, entries[i]->d_name) < 0) {
            name = NULL;
            status = -1;
        } else {
            int fd = open(name, O_RDONLY | O_CLOEXEC);
            if (fd < 0) {
                report(findings, name, GRAY_PROBLEM_CANNOT_READ,
                       "cannot be read: %s", strerror(errno));
                status = -1;
            } else {
                if (add_descriptor(docs, name, fd, findings) != 0) {
                    status = -1;
                }
                close(fd);
            }
        }
        free(name);
        free(entries[i]);
    }
    free(entries);
    return status;
}

int gray_documents_add(struct gray_documents *docs, const char *path,
                       struct gray_findings *findings)
{
    if (strcmp(path, "-") == 0) {
        return add_descriptor(docs, "-", STDIN_FILENO, findings);
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat about;
    if (fd < 0 || fstat(fd, &about) != 0) {
        report(findings, path, GRAY_PROBLEM_CANNOT_READ,
               "cannot be read: %s", strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return -1;
    }
    int status = S_ISDIR(about.st_mode)
                     ? add_folder(docs, path, findings)
                     : add_descriptor(docs, path, fd, findings);
    close(fd);
    return status;
}
