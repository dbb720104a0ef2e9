/* SPDX-License-Identifier: Apache-2.0
 * model_check.c - Check: what is put beside what, to see whether it fits.
 *
 * Why: a Check is carried here and run by grayd (control/recon), where a wrong
 * word would only be found by a run that failed at night.  Names of columns are
 * plain words, for they stand in statements; secrets stand elsewhere.
 * Read next: shape.h, ../docs/recon.md.
 */
#include "policy/check.h"

#include <string.h>

#include "policy/shape.h"

#define COLUMN_MAX 63u
#define CHECK_KEY_COLUMNS_MAX 8u
#define CHECK_SOURCES_MAX 16u
#define CHECK_RECHECKS_MAX 8u

static const char *const mode_words[] = {"adds", "moves"};
static const char *const time_words[] = {"ms", "s", "timestamp"};

/* ---- columns ------------------------------------------------------------- */

static bool column(struct gray_check *c, const struct where *at,
                   json_t *value)
{
    struct model_text text;
    if (!gray_check_text(c, at, value, COLUMN_MAX, &text)) {
        return false;
    }
    bool good = text.length > 0 && (text.data[0] < '0' || text.data[0] > '9');
    for (uint32_t i = 0; i < text.length; i++) {
        char b = text.data[i];
        good &= (b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z') ||
                (b >= '0' && b <= '9') || b == '_';
    }
    return good ||
           gray_check_error(c, GRAY_PROBLEM_BAD_NAME, at,
                            "\"%.64s\" is no column; give it a plain name in "
                            "the query: SELECT ... AS name",
                            text.data);
}

static bool columns(struct gray_check *c, const struct where *at,
                    json_t *value)
{
    if (!gray_check_list(c, at, value, CHECK_KEY_COLUMNS_MAX, "[order_id]")) {
        return false;
    }
    bool good = true;
    for (size_t i = 0; i < json_array_size(value); i++) {
        good &= column(c, AT_ITEM(at, i), json_array_get(value, i));
    }
    if (json_array_size(value) == 0) {
        return gray_check_error(c, GRAY_PROBLEM_EMPTY, at,
                                "a key has at least one column");
    }
    return good;
}

/* ---- shapes -------------------------------------------------------------- */

static bool connection(struct gray_check *c, const struct where *at,
                       json_t *value)
{
    struct model_text text;
    if (!gray_check_text(c, at, value, 1024, &text)) {
        return false;
    }
    return (strstr(text.data, "password") == NULL &&
            strstr(text.data, "://") == NULL) ||
           gray_check_error(c, GRAY_PROBLEM_BAD_CHECK, at,
                            "a connection is key=value words and has no "
                            "password: put it into a file and write "
                            "passwordFile, or name a service=");
}

static const struct shape sqlite_shape[] = {
    {.key = "path", .type = SHAPE_TEXT, .needed = "path: /srv/shop.db"},
    {.key = NULL}};
static const struct shape postgresql_shape[] = {
    {.key = "connection", .type = SHAPE_OWN, .own = connection,
     .needed = "connection: \"service=shop\""},
    {.key = "passwordFile", .type = SHAPE_TEXT},
    {.key = NULL}};
static const struct shape source_shape[] = {
    {.key = "name", .type = SHAPE_NAME, .needed = "name: shop"},
    {.key = "sqlite", .type = SHAPE_MAP, .members = sqlite_shape},
    {.key = "postgresql", .type = SHAPE_MAP, .members = postgresql_shape},
    {.key = NULL}};
static const struct shape created_shape[] = {
    {.key = "column", .type = SHAPE_OWN, .own = column,
     .needed = "{column: created, is: ms}"},
    {.key = "is", .type = SHAPE_WORD, .words = time_words, .word_count = 3,
     .needed = "is: ms"},
    {.key = NULL}};
static const struct shape attribute_shape[] = {
    {.key = "attr", .type = SHAPE_TEXT},
    {.key = "header", .type = SHAPE_TEXT},
    {.key = "cookie", .type = SHAPE_TEXT},
    {.key = "label", .type = SHAPE_TEXT},
    {.key = "method", .type = SHAPE_BOOL},
    {.key = "host", .type = SHAPE_BOOL},
    {.key = "path", .type = SHAPE_BOOL},
    {.key = "source", .type = SHAPE_BOOL},
    {.key = "caller", .type = SHAPE_BOOL},
    {.key = "column", .type = SHAPE_OWN, .own = column},
    {.key = "absent", .type = SHAPE_BOOL},
    {.key = NULL}};
#define ROWS_SHAPE                                                          \
    {.key = "source", .type = SHAPE_NAME, .needed = "source: shop"},        \
    {.key = "query", .type = SHAPE_SQL, .needed = "query: SELECT ..."},     \
    {.key = "key", .type = SHAPE_OWN, .own = columns,                       \
     .needed = "key: [order_id]"},                                          \
    {.key = "separator", .type = SHAPE_TEXT},                               \
    {.key = "unit", .type = SHAPE_OWN, .own = column},                      \
    {.key = "createdAt", .type = SHAPE_MAP, .members = created_shape}
static const struct shape upstream_shape[] = {
    ROWS_SHAPE,
    {.key = "attributes", .type = SHAPE_LIST_MAP, .members = attribute_shape},
    {.key = NULL}};
static const struct shape gray_shape[] = {
    ROWS_SHAPE,
    {.key = "corrected", .type = SHAPE_OWN, .own = column},
    {.key = NULL}};
static const struct shape old_shape[] = {ROWS_SHAPE, {.key = NULL}};
static const struct shape marks_shape[] = {
    ROWS_SHAPE,
    {.key = "mark", .type = SHAPE_OWN, .own = column,
     .needed = "mark: mark"},
    {.key = NULL}};
static const struct shape compare_shape[] = {
    {.key = "upstream", .type = SHAPE_OWN, .own = column,
     .needed = "{upstream: amount, gray: total}"},
    {.key = "gray", .type = SHAPE_OWN, .own = column,
     .needed = "{upstream: amount, gray: total}"},
    {.key = "tolerance", .type = SHAPE_NUMBER},
    {.key = NULL}};
static const struct shape range_shape[] = {
    {.key = "start", .type = SHAPE_ANY}, {.key = "end", .type = SHAPE_ANY},
    {.key = NULL}};
static const struct shape constraint_shape[] = {
    {.key = "old", .type = SHAPE_OWN, .own = column,
     .needed = "{old: state, in: [open]}"},
    {.key = "equals", .type = SHAPE_OWN, .own = column},
    {.key = "tolerance", .type = SHAPE_NUMBER},
    {.key = "in", .type = SHAPE_LIST_TEXT},
    {.key = "notIn", .type = SHAPE_LIST_TEXT},
    {.key = "present", .type = SHAPE_BOOL},
    {.key = "absent", .type = SHAPE_BOOL},
    {.key = "range", .type = SHAPE_MAP, .members = range_shape},
    {.key = NULL}};
static const struct shape decisions_shape[] = {
    {.key = "logs", .type = SHAPE_LIST_TEXT},
    {.key = "grayd", .type = SHAPE_BOOL},
    {.key = "journal", .type = SHAPE_BOOL},
    {.key = NULL}};
static const struct shape document_shape[] = {
    {.key = "kind", .type = SHAPE_ANY},
    {.key = "name", .type = SHAPE_ANY},
    {.key = "release", .type = SHAPE_NAME, .needed = "release: cart-2"},
    {.key = "stage", .type = SHAPE_NAME},
    {.key = "mode", .type = SHAPE_WORD, .words = mode_words, .word_count = 2,
     .needed = "mode: adds, or mode: moves"},
    {.key = "sources", .type = SHAPE_LIST_MAP, .members = source_shape,
     .needed = "[{name: shop, sqlite: {path: /srv/shop.db}}]"},
    {.key = "upstream", .type = SHAPE_MAP, .members = upstream_shape,
     .needed = "upstream: {source: shop, query: SELECT ..., key: [id]}"},
    {.key = "gray", .type = SHAPE_MAP, .members = gray_shape},
    {.key = "old", .type = SHAPE_MAP, .members = old_shape},
    {.key = "marks", .type = SHAPE_MAP, .members = marks_shape},
    {.key = "compare", .type = SHAPE_LIST_MAP, .members = compare_shape},
    {.key = "constraints", .type = SHAPE_LIST_MAP,
     .members = constraint_shape},
    {.key = "decisions", .type = SHAPE_MAP, .members = decisions_shape},
    {.key = "every", .type = SHAPE_DURATION},
    {.key = "overlap", .type = SHAPE_DURATION},
    {.key = "chunk", .type = SHAPE_DURATION},
    {.key = "slack", .type = SHAPE_DURATION},
    {.key = "recheck", .type = SHAPE_LIST_DURATION},
    {.key = "timeout", .type = SHAPE_DURATION},
    {.key = NULL}};

/* ---- what a table cannot say --------------------------------------------- */

/* How many of these keys a map has. */
static size_t count_of(const json_t *map, const char *const *keys,
                       size_t count)
{
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        found += json_object_get(map, keys[i]) != NULL;
    }
    return found;
}

static bool just_one(struct gray_check *c, const struct where *at,
                     const json_t *map, const char *const *keys, size_t count)
{
    return count_of(map, keys, count) == 1 ||
           gray_check_error(c, GRAY_PROBLEM_BAD_CHECK, at,
                            "write just one of %s",
                            gray_check_words(c, keys, count));
}

static const json_t *source_of(const json_t *sources, const char *name)
{
    for (size_t i = 0; name != NULL && i < json_array_size(sources); i++) {
        const json_t *source = json_array_get(sources, i);
        const char *own = json_string_value(json_object_get(source, "name"));
        if (own != NULL && strcmp(own, name) == 0) {
            return source;
        }
    }
    return NULL;
}

static bool check_sources(struct gray_check *c, const json_t *sources)
{
    static const char *const kinds[] = {"sqlite", "postgresql"};
    const struct where *all = AT_KEY(NULL, "sources");
    bool good = true;
    if (json_array_size(sources) > CHECK_SOURCES_MAX) {
        return gray_check_error(c, GRAY_PROBLEM_TOO_MANY, all,
                                "at most %u sources", CHECK_SOURCES_MAX);
    }
    for (size_t i = 0; i < json_array_size(sources); i++) {
        const json_t *source = json_array_get(sources, i);
        const char *name = json_string_value(json_object_get(source, "name"));
        good &= just_one(c, AT_ITEM(all, i), source, kinds, 2);
        if (source_of(sources, name) != source) {
            good = gray_check_error(c, GRAY_PROBLEM_DUPLICATE,
                                    AT_ITEM(all, i),
                                    "two sources are called %s", name);
        }
    }
    return good;
}

static bool check_rows(struct gray_check *c, const json_t *tree,
                       const char *side)
{
    const json_t *rows = json_object_get(tree, side);
    const json_t *created = json_object_get(rows, "createdAt");
    const struct where *at = AT_KEY(NULL, side);
    const char *name = json_string_value(json_object_get(rows, "source"));
    const char *is = json_string_value(json_object_get(created, "is"));
    if (rows == NULL) {
        return true;
    }
    const json_t *source = source_of(json_object_get(tree, "sources"), name);
    if (source == NULL) {
        return gray_check_error(c, GRAY_PROBLEM_BAD_CHECK,
                                AT_KEY(at, "source"),
                                "there is no source %.64s in `sources`", name);
    }
    if (created == NULL && strcmp(side, "upstream") == 0) {
        return gray_check_missing(c, at, "createdAt",
                                  "createdAt: {column: created, is: ms}");
    }
    if (is != NULL && strcmp(is, "timestamp") == 0 &&
        json_object_get(source, "postgresql") == NULL) {
        return gray_check_error(c, GRAY_PROBLEM_BAD_CHECK,
                                AT_KEY(at, "createdAt"),
                                "SQLite has no type timestamp: have the query "
                                "give seconds or milliseconds, such as "
                                "unixepoch(created)");
    }
    return true;
}

static bool check_attributes(struct gray_check *c, const json_t *upstream)
{
    static const char *const places[] = {"attr",   "header", "cookie",
                                         "label",  "method", "host",
                                         "path",   "source", "caller"};
    static const char *const values[] = {"column", "absent"};
    const struct where *all =
        AT_KEY(AT_KEY(NULL, "upstream"), "attributes");
    const json_t *list = json_object_get(upstream, "attributes");
    bool good = true;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        good &= just_one(c, AT_ITEM(all, i), item, places, 9) &&
                just_one(c, AT_ITEM(all, i), item, values, 2);
    }
    return good;
}

static bool check_constraints(struct gray_check *c, const json_t *tree)
{
    static const char *const words[] = {"equals", "in", "notIn", "present",
                                        "absent", "range"};
    const json_t *list = json_object_get(tree, "constraints");
    const struct where *all = AT_KEY(NULL, "constraints");
    bool good = true;
    for (size_t i = 0; i < json_array_size(list); i++) {
        good &= just_one(c, AT_ITEM(all, i), json_array_get(list, i), words,
                         6);
    }
    if (list != NULL && json_object_get(tree, "old") == NULL) {
        good = gray_check_missing(c, NULL, "old",
                                  "the rows that constraints speak of");
    }
    if (json_object_get(tree, "compare") != NULL &&
        json_object_get(tree, "gray") == NULL) {
        good = gray_check_missing(c, NULL, "gray",
                                  "the rows that compare speaks of");
    }
    return good;
}

/* The stage must be one that the release has. */
static bool check_stage(struct gray_check *c, const json_t *tree,
                        const json_t *release)
{
    const char *stage = json_string_value(json_object_get(tree, "stage"));
    const json_t *stages = json_object_get(release, "stages");
    size_t count = json_array_size(stages);
    for (size_t i = 0; stage != NULL && i < count; i++) {
        const char *name = json_string_value(
            json_object_get(json_array_get(stages, i), "name"));
        if (name != NULL && strcmp(name, stage) == 0) {
            return true;
        }
    }
    if (stage == NULL && count > 0) {
        return gray_check_missing(c, NULL, "stage",
                                  "the stage whose marks are looked at");
    }
    return stage == NULL ||
           gray_check_error(c, GRAY_PROBLEM_UNKNOWN_STAGE,
                            AT_KEY(NULL, "stage"),
                            "the release has no stage %.64s", stage);
}

static bool check_release(struct gray_check *c, const json_t *tree)
{
    const char *name = json_string_value(json_object_get(tree, "release"));
    const struct model_document *release =
        gray_check_find(c, KIND_RELEASE, name);
    const struct where *at = AT_KEY(NULL, "release");
    if (release == NULL) {
        return gray_check_error(c, GRAY_PROBLEM_UNKNOWN_RELEASE, at,
                                "there is no Release %.64s", name);
    }
    const char *sticky =
        json_string_value(json_object_get(release->tree, "stickiness"));
    if (sticky != NULL && strcmp(sticky, "none") == 0) {
        return gray_check_error(c, GRAY_PROBLEM_NEEDS_MARKS, at,
                                "%.64s keeps no marks: there is nothing to "
                                "compare with",
                                name);
    }
    return check_stage(c, tree, release->tree);
}

bool gray_check_check(struct gray_check *c)
{
    json_t *tree = c->document->tree;
    const json_t *recheck;
    if (!gray_check_shape(c, NULL, tree, document_shape)) {
        return false;
    }
    recheck = json_object_get(tree, "recheck");
    bool good = check_sources(c, json_object_get(tree, "sources"));
    good &= check_rows(c, tree, "upstream");
    good &= check_rows(c, tree, "gray");
    good &= check_rows(c, tree, "old");
    good &= check_rows(c, tree, "marks");
    good &= check_attributes(c, json_object_get(tree, "upstream"));
    good &= check_constraints(c, tree);
    good &= check_release(c, tree);
    if (json_array_size(recheck) > CHECK_RECHECKS_MAX) {
        good = gray_check_error(c, GRAY_PROBLEM_TOO_MANY,
                                AT_KEY(NULL, "recheck"),
                                "at most %u re-checks", CHECK_RECHECKS_MAX);
    }
    if (json_object_get(tree, "gray") == NULL &&
        json_object_get(tree, "old") == NULL &&
        json_object_get(tree, "decisions") == NULL) {
        good = gray_check_missing(c, NULL, "gray, old or decisions",
                                  "something to compare with");
    }
    return good;
}
