/* SPDX-License-Identifier: Apache-2.0
 * check.c - the document of a Check as numbers and columns.
 *
 * Why: see check.h.  Nothing is believed blindly: a store may hold what an
 * older grayd accepted, so what is missing is said and not followed.
 * Read next: check.h, ../recon/run.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/checks/check.h"
#include "policy/parse.h"

#define SLACK_MS 2000
#define OVERLAP_MS (10 * 60000)
#define CHUNK_MS (60 * 60000)
#define TIMEOUT_MS 60000

const char *const check_side_words[SIDE_COUNT] = {"upstream", "gray", "old",
                                                  "marks"};

static const char *text_of(const json_t *map, const char *key)
{
    return json_string_value(json_object_get(map, key));
}

static int64_t duration(const json_t *value, int64_t otherwise)
{
    int64_t ms = 0;

    if (json_is_integer(value)) {
        return (int64_t)json_integer_value(value) * 1000;
    }
    return json_is_string(value) &&
                   gray_parse_duration(json_string_value(value), &ms)
               ? ms
               : otherwise;
}

static const json_t *source_named(const json_t *tree, const char *name)
{
    const json_t *item;
    size_t i;

    json_array_foreach(json_object_get(tree, "sources"), i, item) {
        const char *own = text_of(item, "name");

        if (own != NULL && name != NULL && strcmp(own, name) == 0) {
            return item;
        }
    }
    return NULL;
}

static bool read_rows(const json_t *tree, enum check_side side,
                      struct check_rows *rows)
{
    const json_t *map = json_object_get(tree, check_side_words[side]);
    const json_t *keys = json_object_get(map, "key"), *item;
    const json_t *created = json_object_get(map, "createdAt");
    const char *is = text_of(created, "is"), *separator;
    size_t i;

    if (map == NULL) {
        return side != SIDE_UPSTREAM;
    }
    rows->there = true;
    rows->source = source_named(tree, text_of(map, "source"));
    rows->query = text_of(map, "query");
    separator = text_of(map, "separator");
    rows->separator = separator != NULL ? separator : ":";
    rows->unit = text_of(map, "unit");
    rows->created = text_of(created, "column");
    rows->corrected = text_of(map, "corrected");
    rows->mark = text_of(map, "mark");
    rows->time = is == NULL                  ? CHECK_TIME_NONE
                 : strcmp(is, "ms") == 0     ? CHECK_TIME_MS
                 : strcmp(is, "s") == 0      ? CHECK_TIME_S
                                             : CHECK_TIME_STAMP;
    json_array_foreach(keys, i, item) {
        if (rows->key_count < CHECK_KEYS_MAX && json_is_string(item)) {
            rows->keys[rows->key_count++] = json_string_value(item);
        }
    }
    return rows->source != NULL && rows->query != NULL &&
           rows->key_count > 0 && rows->key_count == json_array_size(keys) &&
           (side != SIDE_UPSTREAM || rows->created != NULL) &&
           (side != SIDE_MARKS || rows->mark != NULL);
}

static void read_attribute(const json_t *item, struct check_attribute *into)
{
    static const struct {
        const char *key;
        uint8_t source;
    } places[] = {
        {"attr", GRAY_SOURCE_ATTR},     {"header", GRAY_SOURCE_HEADER},
        {"cookie", GRAY_SOURCE_COOKIE}, {"label", GRAY_SOURCE_LABEL},
        {"method", GRAY_SOURCE_METHOD}, {"host", GRAY_SOURCE_HOST},
        {"path", GRAY_SOURCE_PATH},     {"source", GRAY_SOURCE_ADDRESS},
        {"caller", GRAY_SOURCE_CALLER},
    };

    for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
        const json_t *value = json_object_get(item, places[i].key);

        if (value != NULL) {
            into->source = places[i].source;
            into->name = json_is_string(value) ? json_string_value(value) : "";
        }
    }
    into->column = text_of(item, "column");
}

static int read_lists(struct check *check)
{
    const json_t *attributes = json_object_get(
        json_object_get(check->tree, "upstream"), "attributes");
    const json_t *compare = json_object_get(check->tree, "compare"), *item;
    const json_t *constraints = json_object_get(check->tree, "constraints");
    size_t i;

    check->attributes = calloc(json_array_size(attributes) + 1,
                               sizeof(*check->attributes));
    check->compares =
        calloc(json_array_size(compare) + 1, sizeof(*check->compares));
    check->constraints =
        calloc(json_array_size(constraints) + 1, sizeof(*check->constraints));
    if (check->attributes == NULL || check->compares == NULL ||
        check->constraints == NULL) {
        return -ENOMEM;
    }
    json_array_foreach(attributes, i, item) {
        read_attribute(item, &check->attributes[check->attribute_count++]);
    }
    json_array_foreach(compare, i, item) {
        check->compares[check->compare_count++] = (struct check_compare){
            text_of(item, "upstream"), text_of(item, "gray"),
            json_number_value(json_object_get(item, "tolerance"))};
    }
    json_array_foreach(constraints, i, item) {
        check->constraints[check->constraint_count++] =
            (struct check_constraint){
                .old = text_of(item, "old"),
                .equals = text_of(item, "equals"),
                .tolerance =
                    json_number_value(json_object_get(item, "tolerance")),
                .in = json_object_get(item, "in"),
                .not_in = json_object_get(item, "notIn"),
                .range = json_object_get(item, "range"),
                .present = json_is_true(json_object_get(item, "present")),
                .absent = json_is_true(json_object_get(item, "absent")),
            };
    }
    return 0;
}

static void read_times(struct check *check)
{
    static const int64_t rechecks[] = {5000, 30000, 300000};
    const json_t *recheck = json_object_get(check->tree, "recheck"), *item;
    const json_t *tree = check->tree;
    size_t i;

    check->every = duration(json_object_get(tree, "every"), 0);
    check->overlap = duration(json_object_get(tree, "overlap"), OVERLAP_MS);
    check->chunk = duration(json_object_get(tree, "chunk"), CHUNK_MS);
    check->slack = duration(json_object_get(tree, "slack"), SLACK_MS);
    check->timeout = duration(json_object_get(tree, "timeout"), TIMEOUT_MS);
    if (recheck == NULL) {
        memcpy(check->recheck, rechecks, sizeof(rechecks));
        check->recheck_count = 3;
    }
    json_array_foreach(recheck, i, item) {
        if (check->recheck_count < CHECK_RECHECKS_MAX) {
            check->recheck[check->recheck_count++] = duration(item, 0);
        }
    }
}

/* Every list item must have its columns: what follows trusts them. */
static bool is_whole(const struct check *check)
{
    bool good = check->name != NULL && check->release != NULL;

    for (size_t i = 0; i < check->compare_count; i++) {
        good &= check->compares[i].upstream != NULL &&
                check->compares[i].gray != NULL;
    }
    for (size_t i = 0; i < check->constraint_count; i++) {
        good &= check->constraints[i].old != NULL;
    }
    return good;
}

int check_read(struct check *ret_check, json_t *tree, char *ret_sentence,
               size_t sentence_size)
{
    struct check check = {.tree = json_incref(tree)};
    const json_t *decisions = json_object_get(tree, "decisions");
    int error;

    check.name = text_of(tree, "name");
    check.release = text_of(tree, "release");
    check.stage = text_of(tree, "stage");
    check.moves = text_of(tree, "mode") != NULL &&
                  strcmp(text_of(tree, "mode"), "moves") == 0;
    check.decisions = decisions != NULL;
    check.logs = json_object_get(decisions, "logs");
    check.follows = json_is_true(json_object_get(decisions, "grayd"));
    check.journal = json_is_true(json_object_get(decisions, "journal"));
    error = read_lists(&check);
    read_times(&check);
    for (int i = 0; error == 0 && i < SIDE_COUNT; i++) {
        if (!read_rows(tree, (enum check_side)i, &check.rows[i])) {
            snprintf(ret_sentence, sentence_size,
                     "`%s` of the Check is not whole: source, query and key "
                     "(and createdAt of upstream) must be there.",
                     check_side_words[i]);
            error = -EINVAL;
        }
    }
    if (error == 0 && !is_whole(&check)) {
        snprintf(ret_sentence, sentence_size, "The Check is not whole.");
        error = -EINVAL;
    }
    if (error != 0) {
        check_free(&check);
        return error;
    }
    *ret_check = check;
    return 0;
}

void check_free(struct check *check)
{
    free(check->attributes);
    free(check->compares);
    free(check->constraints);
    json_decref(check->tree);
    *check = (struct check){0};
}
