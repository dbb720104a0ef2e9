/* SPDX-License-Identifier: Apache-2.0
 * model_list.c - List: ids from the document or from a file beside it.
 *
 * Why: a list may have a hundred million ids, so a file is read in one piece,
 * cut in place and sorted by its first eight bytes; nothing is allocated for
 * a single id.
 * Read next: list_build.c, gates.c (what was dropped from a list).
 */
#include "policy/check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policy/utf8.h"

/* An id with its first bytes as a number: most comparisons end there. */
struct sort_item {
    uint64_t first;
    struct model_text text;
};

static uint64_t first_bytes(const struct model_text *text)
{
    uint64_t value = 0;
    for (uint32_t i = 0; i < 8; i++) {
        value = value << 8 |
                (i < text->length ? (uint8_t)text->data[i] : 0);
    }
    return value;
}

static int by_bytes(const void *left, const void *right)
{
    const struct sort_item *a = left, *b = right;
    if (a->first != b->first) {
        return a->first < b->first ? -1 : 1;
    }
    return gray_text_compare(&a->text, &b->text);
}

static bool is_sorted(const struct model_list *list)
{
    for (uint64_t i = 1; i < list->id_count; i++) {
        if (gray_text_compare(&list->ids[i - 1], &list->ids[i]) >= 0) {
            return false;
        }
    }
    return true;
}

static void sort_ids(struct gray_check *c, const struct where *at,
                     struct model_list *list)
{
    uint64_t count = list->id_count, kept = 0;
    if (is_sorted(list)) {
        return;
    }
    /* Given back at once: of a large list this is most of the memory. */
    struct sort_item *items = calloc(count, sizeof(*items));
    if (items == NULL) {
        items = gray_arena_array(c->arena, SIZE_MAX, 2); /* goes to `full` */
    }
    for (uint64_t i = 0; i < count; i++) {
        items[i] = (struct sort_item){first_bytes(&list->ids[i]),
                                      list->ids[i]};
    }
    qsort(items, count, sizeof(*items), by_bytes);
    const char *again = NULL;
    for (uint64_t i = 0; i < count; i++) {
        if (kept > 0 &&
            gray_text_compare(&list->ids[kept - 1], &items[i].text) == 0) {
            again = again == NULL ? items[i].text.data : again;
        } else {
            list->ids[kept++] = items[i].text;
        }
    }
    free(items);
    list->id_count = kept;
    if (kept < count) {
        gray_check_say(c, GRAY_WARNING, GRAY_PROBLEM_REPEATED_ID, at,
                       "ids stand there more than once (%llu times in all, "
                       "\"%.64s\" first); each counts once",
                       (unsigned long long)(count - kept), again);
    }
}

static bool check_ids(struct gray_check *c, const struct where *at,
                      json_t *value, struct model_list *list)
{
    if (!gray_check_list(c, at, value, GRAY_LIST_IDS_MAX,
                         "[\"1001\", \"alice\"]")) {
        return false;
    }
    size_t count = json_array_size(value);
    bool good = true;
    list->ids = gray_arena_array(c->arena, count, sizeof(*list->ids));
    for (size_t i = 0; i < count; i++) {
        struct model_text *id = &list->ids[list->id_count];
        const struct where *item = AT_ITEM(at, i);
        if (!gray_check_text(c, item, json_array_get(value, i),
                             GRAY_VALUE_MAX, id)) {
            good = false;
        } else if (id->length == 0) {
            good = gray_check_error(c, GRAY_PROBLEM_EMPTY, item,
                                    "an empty id; take it out");
        } else {
            list->id_count++;
        }
    }
    sort_ids(c, at, list);
    return good;
}

/* ---- a file of ids ------------------------------------------------------- */

static bool say_line(struct gray_check *c, const char *path, uint64_t line,
                     enum gray_problem_number problem, const char *sentence)
{
    struct gray_finding_head head = {.severity = GRAY_ERROR,
                                     .problem = problem,
                                     .file = path,
                                     .line = (uint32_t)line,
                                     .column = 1,
                                     .document = c->document->label};
    gray_findings_add(c->findings, &head, "%s", sentence);
    return false;
}

static bool is_utf8(const char *text, size_t length)
{
    for (size_t i = 0; i < length;) {
        size_t step = gray_utf8_step(text + i, length - i);
        if (step == 0 || (step == 1 && (unsigned char)text[i] < 0x20)) {
            return false;
        }
        i += step;
    }
    return true;
}

/* Cuts the file into ids, in place. */
static bool split_lines(struct gray_check *c, const char *path, char *data,
                        size_t size, struct model_list *list)
{
    size_t lines = 1;
    bool good = true;
    for (size_t i = 0; i < size; i++) {
        lines += data[i] == '\n';
    }
    if (lines > (size_t)GRAY_LIST_IDS_MAX + 1) {
        return say_line(c, path, GRAY_LIST_IDS_MAX, GRAY_PROBLEM_TOO_MANY,
                        "more than 100,000,000 ids; spread them over lists");
    }
    list->ids = gray_arena_array(c->arena, lines, sizeof(*list->ids));
    uint64_t line = 1;
    for (char *next = data; next < data + size; line++) {
        char *end = memchr(next, '\n', (size_t)(data + size - next));
        char *after = end == NULL ? data + size : end + 1;
        end = end == NULL ? data + size : end;
        if (end > next && end[-1] == '\r') {
            end--;
        }
        size_t length = (size_t)(end - next);
        *end = '\0'; /* one more byte was taken than the file has */
        if (length > GRAY_VALUE_MAX) {
            good = say_line(c, path, line, GRAY_PROBLEM_TOO_LONG,
                            "an id has more than 1024 bytes; no request can "
                            "show it");
        } else if (!is_utf8(next, length)) {
            good = say_line(c, path, line, GRAY_PROBLEM_BAD_TEXT,
                            "an id is not UTF-8, or has control bytes; write "
                            "one id a line");
        } else if (length > 0) {
            list->ids[list->id_count++] =
                (struct model_text){next, (uint32_t)length};
        }
        next = after;
    }
    return good;
}

static bool read_whole(int fd, char *data, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t got = read(fd, data + done, size - done);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return false;
        }
        done += (size_t)got;
    }
    return true;
}

static bool check_file(struct gray_check *c, const struct where *at,
                       json_t *value, struct model_list *list)
{
    struct model_text name;
    if (!gray_check_text(c, at, value, 4095, &name)) {
        return false;
    }
    if (c->docs->no_files) {
        return gray_check_error(c, GRAY_PROBLEM_CANNOT_READ, at,
                                "a file of this host is not read for others; "
                                "write the ids themselves");
    }
    const char *path =
        name.data[0] == '/'
            ? name.data
            : gray_arena_print(c->arena, "%s/%s", c->document->text->folder,
                               name.data);
    struct stat about;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &about) != 0 || !S_ISREG(about.st_mode)) {
        bool odd = fd >= 0;
        const char *why = odd ? "it is no plain file" : strerror(errno);
        if (odd) {
            close(fd);
        }
        return gray_check_error(c, GRAY_PROBLEM_CANNOT_READ, at,
                                "%.200s cannot be read: %s; write a path "
                                "relative to this document",
                                path, why);
    }
    size_t size = (size_t)about.st_size;
    c->open_file = fd; /* closed by model.c when there is no room for it */
    char *data = gray_arena_take(c->arena, size + 1);
    bool good = read_whole(fd, data, size);
    c->open_file = -1;
    close(fd);
    if (!good) {
        return gray_check_error(c, GRAY_PROBLEM_CANNOT_READ, at,
                                "%.200s changed while it was read; try again",
                                path);
    }
    good = split_lines(c, path, data, size, list);
    sort_ids(c, at, list);
    return good;
}

bool gray_check_list_document(struct gray_check *c, struct model_list *list)
{
    static const char *const keys[] = {"kind", "name", "ids", "file",
                                       "strict"};
    json_t *values[5];
    bool good = gray_check_map(c, NULL, c->document->tree, keys, 5, values);
    list->name = c->document->name;
    if (values[4] != NULL) {
        good &= gray_check_bool(c, AT_KEY(NULL, "strict"), values[4],
                                &list->strict);
    }
    if (values[2] != NULL && values[3] != NULL) {
        return gray_check_error(c, GRAY_PROBLEM_DUPLICATE,
                                AT_KEY(NULL, "file"),
                                "ids and file both; write one of them");
    }
    if (values[2] != NULL) {
        return check_ids(c, AT_KEY(NULL, "ids"), values[2], list) && good;
    }
    if (values[3] != NULL) {
        return check_file(c, AT_KEY(NULL, "file"), values[3], list) && good;
    }
    return gray_check_missing(c, NULL, "ids",
                              "ids: [\"1001\"], or file: ids.txt");
}
