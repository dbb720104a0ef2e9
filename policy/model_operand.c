/* SPDX-License-Identifier: Apache-2.0
 * model_operand.c - what stands behind an operator, checked and typed.
 *
 * Why: one function a shape of operand.  Sets come out sorted and without
 * repetitions, ranges ascending and disjoint, so that the compiler and the
 * gates compare and merge them in one pass.
 * Read next: parse.h, model_condition.c.
 */
#include "policy/check.h"

#include <stdlib.h>
#include <string.h>

#include "policy/parse.h"

static void lower(struct model_text *text)
{
    char *bytes = (char *)text->data;
    for (uint32_t i = 0; i < text->length; i++) {
        if (bytes[i] >= 'A' && bytes[i] <= 'Z') {
            bytes[i] = (char)(bytes[i] + 'a' - 'A');
        }
    }
}

static bool check_true(struct gray_check *c, const struct where *at,
                       json_t *value)
{
    if (!json_is_true(value)) {
        return gray_check_error(c, GRAY_PROBLEM_WRONG_TYPE, at,
                                "%s takes true; write {not: ...} around the "
                                "condition for the opposite",
                                at->key);
    }
    return true;
}

/* Hosts are compared in lower case, so a pattern must be too. */
static void lower_host(struct gray_check *c, const struct where *at,
                       const struct cond *cond, struct model_text *text)
{
    if (cond->source != GRAY_SOURCE_HOST ||
        cond->op == GRAY_CONDITION_REGEX) {
        return;
    }
    for (uint32_t i = 0; i < text->length; i++) {
        if (text->data[i] >= 'A' && text->data[i] <= 'Z') {
            gray_check_say(c, GRAY_WARNING, GRAY_PROBLEM_HOST_CASE, at,
                           "hosts are compared in lower case; \"%.64s\" is "
                           "taken as lower case",
                           text->data);
            lower(text);
            return;
        }
    }
}

static bool check_one_text(struct gray_check *c, const struct where *at,
                           json_t *value, struct cond *cond)
{
    if (!gray_check_text(c, at, value, GRAY_VALUE_MAX, &cond->text)) {
        return false;
    }
    if (cond->text.length == 0 && cond->op != GRAY_CONDITION_EXACT) {
        return gray_check_error(c, GRAY_PROBLEM_EMPTY, at,
                                "%s is empty, so it says nothing; write a "
                                "text, or {present: true}",
                                at->key);
    }
    lower_host(c, at, cond, &cond->text);
    if (cond->ignore_case && cond->op != GRAY_CONDITION_REGEX) {
        lower(&cond->text);
    }
    return true;
}

static int by_bytes(const void *left, const void *right)
{
    return gray_text_compare(left, right);
}

static void sort_texts(struct cond *cond)
{
    uint32_t kept = 0;
    qsort(cond->texts, cond->text_count, sizeof(*cond->texts), by_bytes);
    for (uint32_t i = 0; i < cond->text_count; i++) {
        if (kept == 0 || by_bytes(&cond->texts[kept - 1],
                                  &cond->texts[i]) != 0) {
            cond->texts[kept++] = cond->texts[i];
        }
    }
    cond->text_count = kept;
}

bool gray_check_set(struct gray_check *c, const struct where *at,
                           json_t *value, const char *example)
{
    if (!gray_check_list(c, at, value, GRAY_SET_MAX, example)) {
        return false;
    }
    if (json_array_size(value) == 0) {
        return gray_check_error(c, GRAY_PROBLEM_EMPTY, at,
                                "%s is empty; write at least one item, as in "
                                "%s",
                                at->key, example);
    }
    return true;
}

static bool check_texts(struct gray_check *c, const struct where *at,
                        json_t *value, struct cond *cond)
{
    if (!gray_check_set(c, at, value, "[a, b]")) {
        return false;
    }
    size_t count = json_array_size(value);
    cond->texts = gray_arena_array(c->arena, count, sizeof(*cond->texts));
    bool good = true;
    for (size_t i = 0; i < count; i++) {
        struct model_text *text = &cond->texts[cond->text_count];
        if (!gray_check_text(c, AT_ITEM(at, i), json_array_get(value, i),
                             GRAY_VALUE_MAX, text)) {
            good = false;
            continue;
        }
        lower_host(c, AT_ITEM(at, i), cond, text);
        if (cond->ignore_case) {
            lower(text);
        }
        cond->text_count++;
    }
    sort_texts(cond);
    return good;
}

static bool check_networks(struct gray_check *c, const struct where *at,
                           json_t *value, struct cond *cond)
{
    if (!gray_check_set(c, at, value, "[10.0.0.0/8]")) {
        return false;
    }
    size_t count = json_array_size(value);
    cond->texts = gray_arena_array(c->arena, count, sizeof(*cond->texts));
    bool good = true;
    for (size_t i = 0; i < count; i++) {
        struct model_text *text = &cond->texts[cond->text_count];
        const struct where *item = AT_ITEM(at, i);
        uint8_t first[16], last[16];
        bool loose;
        if (!gray_check_text(c, item, json_array_get(value, i), 63, text)) {
            good = false;
        } else if (!gray_parse_network(text->data, first, last, &loose)) {
            good = gray_check_error(c, GRAY_PROBLEM_BAD_CIDR, item,
                                    "\"%s\" is no network; write one such as "
                                    "10.0.0.0/8 or 2001:db8::/32",
                                    text->data);
        } else if (loose) {
            good = gray_check_error(c, GRAY_PROBLEM_BAD_CIDR, item,
                                    "\"%s\" has bits beside its prefix; write "
                                    "the first address of the network, or "
                                    "/32 or /128 for one address",
                                    text->data);
        } else {
            cond->text_count++;
        }
    }
    sort_texts(cond);
    return good;
}

/* From one value to another, of which either may be missing, not both. */
struct bounds {
    const char *keys[2];
    const char *missing, *example;
    bool (*read)(struct gray_check *c, const struct where *at, json_t *value,
                 int64_t *ret); /* a missing value is none to complain of */
};

static bool check_bounds(struct gray_check *c, const struct where *at,
                         json_t *value, const struct bounds *bounds,
                         struct cond *cond)
{
    json_t *values[2];
    bool good;
    cond->start = INT64_MIN;
    cond->end = INT64_MAX;
    if (!gray_check_map(c, at, value, bounds->keys, 2, values)) {
        return false;
    }
    if (values[0] == NULL && values[1] == NULL) {
        return gray_check_missing(c, at, bounds->missing, bounds->example);
    }
    good = bounds->read(c, AT_KEY(at, bounds->keys[0]), values[0],
                        &cond->start);
    good &= bounds->read(c, AT_KEY(at, bounds->keys[1]), values[1],
                         &cond->end);
    return good;
}

static bool check_number(struct gray_check *c, const struct where *at,
                         json_t *value, int64_t *ret)
{
    return value == NULL ||
           gray_check_integer(c, at, value, INT64_MIN, INT64_MAX, ret);
}

static bool check_range(struct gray_check *c, const struct where *at,
                        json_t *value, struct cond *cond)
{
    static const struct bounds bounds = {{"start", "end"}, "start or end",
                                         "{start: 18, end: 65}", check_number};
    if (!check_bounds(c, at, value, &bounds, cond)) {
        return false;
    }
    if (cond->start >= cond->end) {
        return gray_check_error(c, GRAY_PROBLEM_EMPTY_RANGE, at,
                                "nothing lies in [%lld, %lld); start is "
                                "inside, end is not",
                                (long long)cond->start,
                                (long long)cond->end);
    }
    return true;
}

static int by_first(const void *left, const void *right)
{
    const struct gray_mod_range *a = left, *b = right;
    return (a->first > b->first) - (a->first < b->first);
}

static void merge_ranges(struct cond *cond)
{
    struct gray_mod_range *ranges = cond->ranges;
    uint32_t kept = 0;
    qsort(ranges, cond->range_count, sizeof(*ranges), by_first);
    for (uint32_t i = 0; i < cond->range_count; i++) {
        if (kept > 0 && ranges[i].first <= ranges[kept - 1].last + 1) {
            if (ranges[i].last > ranges[kept - 1].last) {
                ranges[kept - 1].last = ranges[i].last;
            }
        } else {
            ranges[kept++] = ranges[i];
        }
    }
    cond->range_count = kept;
}

static bool check_remainder(struct gray_check *c, const struct where *at,
                            json_t *value, uint64_t divisor,
                            struct gray_mod_range *range)
{
    bool good = false;
    if (json_is_integer(value) && json_integer_value(value) >= 0) {
        range->first = (uint64_t)json_integer_value(value);
        range->last = range->first;
        good = true;
    } else if (json_is_string(value)) {
        good = gray_parse_remainders(json_string_value(value), range);
    }
    if (!good || range->last >= divisor) {
        return gray_check_error(c, GRAY_PROBLEM_BAD_REMAINDER, at,
                                "not a remainder by %llu; write a number from "
                                "0 to %llu, or a range such as \"0~%llu\"",
                                (unsigned long long)divisor,
                                (unsigned long long)(divisor - 1),
                                (unsigned long long)(divisor - 1));
    }
    return true;
}

static bool check_mod(struct gray_check *c, const struct where *at,
                      json_t *value, struct cond *cond)
{
    static const char *const keys[] = {"divisor", "in"};
    json_t *values[2];
    int64_t divisor;
    if (!gray_check_map(c, at, value, keys, 2, values)) {
        return false;
    }
    if (values[0] == NULL || values[1] == NULL) {
        return gray_check_missing(c, at, values[0] == NULL ? "divisor" : "in",
                                  "{divisor: 100, in: [0, \"5~9\"]}");
    }
    const struct where *in = AT_KEY(at, "in");
    if (!gray_check_integer(c, AT_KEY(at, "divisor"), values[0], 1,
                            1000000000000000000ll, &divisor) ||
        !gray_check_set(c, in, values[1], "[0, \"5~9\"]")) {
        return false;
    }
    size_t count = json_array_size(values[1]);
    bool good = true;
    cond->divisor = (uint64_t)divisor;
    cond->ranges = gray_arena_array(c->arena, count, sizeof(*cond->ranges));
    for (size_t i = 0; i < count; i++) {
        if (check_remainder(c, AT_ITEM(in, i), json_array_get(values[1], i),
                            cond->divisor,
                            &cond->ranges[cond->range_count])) {
            cond->range_count++;
        } else {
            good = false;
        }
    }
    merge_ranges(cond);
    return good;
}

/* ---- idTail -------------------------------------------------------------- */

static int by_number(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

static bool check_tail(struct gray_check *c, const struct where *at,
                       json_t *value, struct cond *cond)
{
    if (json_is_number(value)) {
        return gray_check_error(
            c, GRAY_PROBLEM_UNQUOTED_TAIL, at,
            "without quotes this is the number %.0f, and 00 is 0; write the "
            "tail in quotes, as in [\"00\", \"01\"]",
            json_number_value(value));
    }
    struct model_text text;
    if (!gray_check_text(c, at, value, SIZE_MAX / 2, &text)) {
        return false;
    }
    size_t digits = strspn(text.data, "0123456789");
    if (digits == 0 || digits != text.length || digits > 9) {
        return gray_check_error(c, GRAY_PROBLEM_BAD_TAIL, at,
                                "\"%.64s\" is no tail; write 1 to 9 digits in "
                                "quotes",
                                text.data);
    }
    if (cond->tail_width != 0 && cond->tail_width != digits) {
        return gray_check_error(c, GRAY_PROBLEM_MIXED_TAILS, at,
                                "\"%s\" has %zu digits, the tails before it "
                                "%u; write all with one width",
                                text.data, digits, cond->tail_width);
    }
    cond->tail_width = (uint32_t)digits;
    cond->tails[cond->tail_count++] = (uint32_t)strtoul(text.data, NULL, 10);
    return true;
}

static bool check_tails(struct gray_check *c, const struct where *at,
                        json_t *value, struct cond *cond)
{
    if (!gray_check_set(c, at, value, "[\"00\", \"01\"]")) {
        return false;
    }
    size_t count = json_array_size(value);
    bool good = true;
    cond->tails = gray_arena_array(c->arena, count, sizeof(*cond->tails));
    for (size_t i = 0; i < count; i++) {
        good &= check_tail(c, AT_ITEM(at, i), json_array_get(value, i), cond);
    }
    qsort(cond->tails, cond->tail_count, sizeof(*cond->tails), by_number);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < cond->tail_count; i++) {
        if (kept == 0 || cond->tails[kept - 1] != cond->tails[i]) {
            cond->tails[kept++] = cond->tails[i];
        }
    }
    cond->tail_count = kept;
    return good;
}

/* ---- the rest ------------------------------------------------------------ */

static bool check_share(struct gray_check *c, const struct where *at,
                        json_t *value, struct cond *cond)
{
    static const char *const keys[] = {"share", "salt"};
    static const char example[] = "{share: 10, salt: spring-2026}";
    json_t *values[2];
    if (!gray_check_map(c, at, value, keys, 2, values)) {
        return false;
    }
    bool good = true;
    if (values[0] == NULL) {
        good = gray_check_missing(c, at, "share", example);
    } else {
        good = gray_check_percent(c, AT_KEY(at, "share"), values[0],
                                  &cond->share);
    }
    if (values[1] == NULL) {
        return gray_check_missing(
            c, at, "salt (its own, not the release's: else always the same "
                   "units are first)",
            example);
    }
    if (!gray_check_text(c, AT_KEY(at, "salt"), values[1], GRAY_TEXT_MAX,
                         &cond->salt)) {
        return false;
    }
    if (cond->salt.length == 0) {
        return gray_check_error(c, GRAY_PROBLEM_EMPTY, AT_KEY(at, "salt"),
                                "the salt is empty; write a word of its own");
    }
    return good;
}

static bool check_list_name(struct gray_check *c, const struct where *at,
                            json_t *value, struct cond *cond)
{
    const char *name;
    if (!gray_check_name(c, at, value, false, &name)) {
        return false;
    }
    cond->list = gray_names_find(&c->lists, name, strlen(name));
    if (cond->list == UINT32_MAX) {
        return gray_check_error(c, GRAY_PROBLEM_UNKNOWN_LIST, at,
                                "there is no List \"%s\"; write `kind: List, "
                                "name: %s, ids: [...]`",
                                name, name);
    }
    c->list_used[cond->list] = true;
    return true;
}

static bool check_semver(struct gray_check *c, const struct where *at,
                         json_t *value, struct cond *cond)
{
    if (!gray_check_text(c, at, value, GRAY_TEXT_MAX, &cond->text)) {
        return false;
    }
    if (!gray_parse_semver(cond->text.data, &cond->semver_op, cond->version,
                           &cond->pre)) {
        return gray_check_error(c, GRAY_PROBLEM_BAD_VERSION, at,
                                "\"%.64s\" compares no semantic version; "
                                "write one of = != < <= > >= ~ ^ and three "
                                "numbers, as in >=1.2.0",
                                cond->text.data);
    }
    /* A text of its own: it ends in NUL. */
    cond->pre.data =
        gray_arena_copy(c->arena, cond->pre.data, cond->pre.length);
    return true;
}

bool gray_check_moment(struct gray_check *c, const struct where *at,
                         json_t *value, int64_t *ret_ms)
{
    struct model_text text;
    if (value == NULL) {
        return true;
    }
    if (!gray_check_text(c, at, value, GRAY_TEXT_MAX, &text)) {
        return false;
    }
    if (!gray_parse_moment(text.data, ret_ms)) {
        return gray_check_error(c, GRAY_PROBLEM_BAD_DATE, at,
                                "\"%.64s\" is no moment; write it as RFC 3339 "
                                "says: 2026-01-31T08:00:00Z or "
                                "2026-01-31T16:00:00+08:00",
                                text.data);
    }
    return true;
}

static bool check_date(struct gray_check *c, const struct where *at,
                       json_t *value, struct cond *cond)
{
    static const struct bounds bounds = {
        {"after", "before"}, "after or before",
        "{after: \"2026-01-31T08:00:00Z\"}", gray_check_moment};
    if (!check_bounds(c, at, value, &bounds, cond)) {
        return false;
    }
    if (cond->start >= cond->end) {
        return gray_check_error(c, GRAY_PROBLEM_EMPTY_RANGE, at,
                                "nothing lies between after and before; "
                                "after must come first");
    }
    return true;
}

bool gray_check_operand(struct gray_check *c, const struct where *at,
                        json_t *value, struct cond *cond)
{
    switch (cond->op) {
    case GRAY_CONDITION_PRESENT:
    case GRAY_CONDITION_ABSENT:
    case GRAY_CONDITION_BLANK:
        return check_true(c, at, value);
    case GRAY_CONDITION_IN:
    case GRAY_CONDITION_NOT_IN:
        return check_texts(c, at, value, cond);
    case GRAY_CONDITION_RANGE:
        return check_range(c, at, value, cond);
    case GRAY_CONDITION_MOD:
        return check_mod(c, at, value, cond);
    case GRAY_CONDITION_ID_TAIL:
        return check_tails(c, at, value, cond);
    case GRAY_CONDITION_PERCENT:
        return check_share(c, at, value, cond);
    case GRAY_CONDITION_LIST:
        return check_list_name(c, at, value, cond);
    case GRAY_CONDITION_CIDR:
        return check_networks(c, at, value, cond);
    case GRAY_CONDITION_SEMVER:
        return check_semver(c, at, value, cond);
    case GRAY_CONDITION_DATE:
        return check_date(c, at, value, cond);
    default:
        return check_one_text(c, at, value, cond);
    }
}
