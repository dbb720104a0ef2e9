/* SPDX-License-Identifier: Apache-2.0
 * implies.c - see implies.h.
 *
 * Why: a condition is true when any value of its attribute fits it, so
 * "exact a implies in {a, b}" holds for repeated headers too; only what speaks
 * of all values (notIn) needs an attribute with one.  Under `not` the
 * question turns round, and each side takes its model along.
 * Read next: dropped.c (which values are lost), gates.c.
 */
#include "policy/implies.h"

#include <string.h>

#include "policy/parse.h"

bool gray_same_attribute(const struct cond *a, const struct cond *b)
{
    return a->source == b->source && strcmp(a->name.data, b->name.data) == 0;
}

static bool spend(struct proof *proof, uint64_t amount)
{
    if (proof->budget < amount) {
        proof->budget = 0;
        return false;
    }
    proof->budget -= amount;
    return true;
}

/* ---- texts --------------------------------------------------------------- */

static char lower(char byte)
{
    return byte >= 'A' && byte <= 'Z' ? (char)(byte + 'a' - 'A') : byte;
}

/* Compares bytes; `fold` lowers those of `a` (b is lower already). */
static bool bytes_equal(const char *a, const char *b, uint32_t length,
                        bool fold)
{
    for (uint32_t i = 0; i < length; i++) {
        if ((fold ? lower(a[i]) : a[i]) != b[i]) {
            return false;
        }
    }
    return true;
}

static bool has_inside(const struct model_text *whole,
                       const struct model_text *part, bool fold)
{
    for (uint32_t i = 0; i + part->length <= whole->length; i++) {
        if (bytes_equal(whole->data + i, part->data, part->length, fold)) {
            return true;
        }
    }
    return false;
}

/* Whether a value with `text` at its start, end or somewhere fits b's text. */
static bool fits_text(uint8_t a_op, const struct model_text *text,
                      const struct cond *b, bool fold)
{
    bool whole = a_op == GRAY_CONDITION_EXACT;
    if (b->op == GRAY_CONDITION_CONTAINS) {
        return has_inside(text, &b->text, fold);
    }
    if (text->length < b->text.length) {
        return false;
    }
    uint32_t length = b->text.length, rest = text->length - length;
    switch (b->op) {
    case GRAY_CONDITION_EXACT:
        return whole && rest == 0 &&
               bytes_equal(text->data, b->text.data, length, fold);
    case GRAY_CONDITION_PREFIX:
        return (whole || a_op == GRAY_CONDITION_PREFIX) &&
               bytes_equal(text->data, b->text.data, length, fold);
    case GRAY_CONDITION_SUFFIX:
        return (whole || a_op == GRAY_CONDITION_SUFFIX) &&
               bytes_equal(text->data + rest, b->text.data, length, fold);
    default:
        return false;
    }
}

static bool in_sorted(const struct model_text *texts, uint64_t count,
                      const struct model_text *text)
{
    uint64_t low = 0, high = count;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        int order = gray_text_compare(&texts[middle], text);
        if (order == 0) {
            return true;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return false;
}

static bool in_texts(const struct cond *set, const struct model_text *text,
                     bool fold)
{
    char room[GRAY_VALUE_MAX];
    struct model_text folded = {room, text->length};
    if (fold && text->length <= sizeof(room)) {
        for (uint32_t i = 0; i < text->length; i++) {
            room[i] = lower(text->data[i]);
        }
        text = &folded;
    }
    return in_sorted(set->texts, set->text_count, text);
}

/* Digits at the end of a value, as a tail of b's width. */
static bool in_tails(const struct cond *b, const struct model_text *text)
{
    uint32_t number = 0;
    if (text->length < b->tail_width) {
        return false;
    }
    for (uint32_t i = text->length - b->tail_width; i < text->length; i++) {
        if (text->data[i] < '0' || text->data[i] > '9') {
            return false;
        }
        number = number * 10 + (uint32_t)(text->data[i] - '0');
    }
    for (uint32_t i = 0; i < b->tail_count; i++) {
        if (b->tails[i] == number) {
            return true;
        }
    }
    return false;
}

/* ---- one value ----------------------------------------------------------- */

static bool value_fits_test(const struct cond *b,
                            const struct gray_model *model,
                            const struct cond *attribute,
                            const struct model_text *value)
{
    if (!gray_same_attribute(attribute, b) ||
        (attribute->ignore_case && !b->ignore_case)) {
        return false;
    }
    bool fold = b->ignore_case && !attribute->ignore_case;
    switch (b->op) {
    case GRAY_CONDITION_PRESENT:
        return true;
    case GRAY_CONDITION_IN:
        return in_texts(b, value, fold);
    case GRAY_CONDITION_NOT_IN:
        return b->source != GRAY_SOURCE_HEADER && !in_texts(b, value, fold);
    case GRAY_CONDITION_LIST:
        return in_sorted(model->lists[b->list].ids,
                         model->lists[b->list].id_count, value);
    case GRAY_CONDITION_ID_TAIL:
        return in_tails(b, value);
    default:
        return fits_text(GRAY_CONDITION_EXACT, value, b, fold);
    }
}

bool gray_value_fits(struct proof *proof, struct side b,
                     const struct cond *attribute,
                     const struct model_text *value)
{
    if (b.cond == NULL) {
        return true;
    }
    if (!spend(proof, 1)) {
        return false;
    }
    uint32_t fitting = 0;
    switch (b.cond->kind) {
    case COND_TEST:
        return value_fits_test(b.cond, b.model, attribute, value);
    case COND_NOT:
        return false;
    case COND_ALL:
    case COND_ANY:
        break;
    }
    for (uint32_t i = 0; i < b.cond->child_count; i++) {
        struct side child = {&b.cond->children[i], b.model};
        fitting += gray_value_fits(proof, child, attribute, value);
    }
    return b.cond->kind == COND_ALL ? fitting == b.cond->child_count
                                    : fitting > 0;
}

/* ---- tests --------------------------------------------------------------- */

static bool mod_implies(const struct cond *a, const struct cond *b)
{
    if (a->divisor != b->divisor) {
        return false;
    }
    uint32_t k = 0;
    for (uint32_t i = 0; i < a->range_count; i++) {
        while (k < b->range_count &&
               b->ranges[k].last < a->ranges[i].first) {
            k++;
        }
        if (k == b->range_count || b->ranges[k].first > a->ranges[i].first ||
            b->ranges[k].last < a->ranges[i].last) {
            return false;
        }
    }
    return true;
}

/* Each network of a lies in one of b. */
static bool cidr_implies(struct proof *proof, const struct cond *a,
                         const struct cond *b)
{
    for (uint32_t i = 0; i < a->text_count; i++) {
        uint8_t first[16], last[16], low[16], high[16];
        bool loose, found = false;
        if (!gray_parse_network(a->texts[i].data, first, last, &loose)) {
            return false;
        }
        for (uint32_t k = 0; k < b->text_count && !found; k++) {
            found = spend(proof, 20) &&
                    gray_parse_network(b->texts[k].data, low, high, &loose) &&
                    memcmp(low, first, 16) <= 0 && memcmp(last, high, 16) <= 0;
        }
        if (!found) {
            return false;
        }
    }
    return true;
}

static int compare_versions(const struct cond *a, const struct cond *b)
{
    for (int i = 0; i < 3; i++) {
        if (a->version[i] != b->version[i]) {
            return a->version[i] < b->version[i] ? -1 : 1;
        }
    }
    return 0;
}

/* Only bounds in one direction, without pre-releases. */
static bool semver_implies(const struct cond *a, const struct cond *b)
{
    int order = compare_versions(a, b);
    if (a->pre.length > 0 || b->pre.length > 0) {
        return false;
    }
    switch (b->semver_op) {
    case GRAY_SEMVER_GE:
        return order >= 0 && (a->semver_op == GRAY_SEMVER_GE ||
                              a->semver_op == GRAY_SEMVER_GT ||
                              a->semver_op == GRAY_SEMVER_EQ);
    case GRAY_SEMVER_GT:
        return (order >= 0 && a->semver_op == GRAY_SEMVER_GT) ||
               (order > 0 && (a->semver_op == GRAY_SEMVER_GE ||
                              a->semver_op == GRAY_SEMVER_EQ));
    case GRAY_SEMVER_LE:
        return order <= 0 && (a->semver_op == GRAY_SEMVER_LE ||
                              a->semver_op == GRAY_SEMVER_LT ||
                              a->semver_op == GRAY_SEMVER_EQ);
    case GRAY_SEMVER_LT:
        return (order <= 0 && a->semver_op == GRAY_SEMVER_LT) ||
               (order < 0 && (a->semver_op == GRAY_SEMVER_LE ||
                              a->semver_op == GRAY_SEMVER_EQ));
    default:
        return false;
    }
}

static bool time_implies(const struct cond *a, const struct cond *b)
{
    bool zone = strcmp(a->zone, b->zone) == 0;
    bool all_days = b->days == 0x7f;
    bool all_hours = b->day_start == 0 && b->day_end == 86400;
    bool over = a->day_end <= a->day_start || b->day_end <= b->day_start;
    bool hours = (a->day_start == b->day_start && a->day_end == b->day_end) ||
                 (!over && a->day_start >= b->day_start &&
                  a->day_end <= b->day_end);
    return a->from >= b->from && a->until <= b->until &&
           (zone || (all_days && all_hours)) && (a->days & ~b->days) == 0 &&
           (hours || all_hours);
}

/* Whatever fits the attribute here shows that it is there. */
static bool shows_presence(uint8_t op)
{
    return op != GRAY_CONDITION_ABSENT && op != GRAY_CONDITION_BLANK &&
           op != GRAY_CONDITION_NOT_IN && op != GRAY_CONDITION_TIME;
}

static bool not_in_implies(struct proof *proof, const struct cond *a,
                           const struct cond *b)
{
    if (a->op == GRAY_CONDITION_ABSENT) {
        return true;
    }
    if (a->op != GRAY_CONDITION_NOT_IN || a->ignore_case != b->ignore_case) {
        return false;
    }
    for (uint32_t i = 0; i < b->text_count; i++) {
        if (!spend(proof, 1) || !in_texts(a, &b->texts[i], false)) {
            return false;
        }
    }
    return true;
}

static bool same_op_implies(struct proof *proof, const struct cond *a,
                            const struct cond *b)
{
    switch (b->op) {
    case GRAY_CONDITION_RANGE:
    case GRAY_CONDITION_DATE:
        return a->start >= b->start && a->end <= b->end;
    case GRAY_CONDITION_MOD:
        return mod_implies(a, b);
    case GRAY_CONDITION_CIDR:
        return cidr_implies(proof, a, b);
    case GRAY_CONDITION_SEMVER:
        return semver_implies(a, b);
    case GRAY_CONDITION_TIME:
        return time_implies(a, b);
    case GRAY_CONDITION_PERCENT:
        return a->salt.length == b->salt.length &&
               memcmp(a->salt.data, b->salt.data, a->salt.length) == 0 &&
               a->share <= b->share;
    case GRAY_CONDITION_PREFIX:
    case GRAY_CONDITION_SUFFIX:
    case GRAY_CONDITION_CONTAINS:
        return (b->ignore_case || !a->ignore_case) &&
               fits_text(b->op, &a->text, b,
                         b->ignore_case && !a->ignore_case);
    default:
        return false;
    }
}

static bool test_implies(struct proof *proof, struct side a, struct side b)
{
    if (!gray_same_attribute(a.cond, b.cond)) {
        return false;
    }
    if (b.cond->op == GRAY_CONDITION_PRESENT) {
        return shows_presence(a.cond->op);
    }
    if (b.cond->op == GRAY_CONDITION_BLANK) {
        return a.cond->op == GRAY_CONDITION_ABSENT ||
               a.cond->op == GRAY_CONDITION_BLANK;
    }
    if (b.cond->op == GRAY_CONDITION_NOT_IN &&
        not_in_implies(proof, a.cond, b.cond)) {
        return true;
    }
    if (b.cond->op == GRAY_CONDITION_CONTAINS &&
        (a.cond->op == GRAY_CONDITION_PREFIX ||
         a.cond->op == GRAY_CONDITION_SUFFIX) &&
        a.cond->ignore_case == b.cond->ignore_case) {
        return has_inside(&a.cond->text, &b.cond->text, false);
    }
    if (a.cond->op == b.cond->op &&
        same_op_implies(proof, a.cond, b.cond)) {
        return true;
    }
    struct dropped dropped;
    gray_dropped(proof, a, &b, 1, &dropped);
    if (dropped.known) {
        return dropped.count == 0 && !dropped.shorter;
    }
    return a.cond->op != GRAY_CONDITION_LIST &&
           gray_cond_equal(a.cond, a.model, b.cond, b.model);
}

/* ---- trees --------------------------------------------------------------- */

static struct side child(struct side of, uint32_t number)
{
    return (struct side){&of.cond->children[number], of.model};
}

/* How many of a's children imply b. */
static uint32_t count_left(struct proof *proof, struct side a, struct side b)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < a.cond->child_count; i++) {
        bool yes = gray_implies(proof, child(a, i), b);
        count += yes;
        if (yes == (a.cond->kind == COND_ALL)) {
            break; /* one is enough for all, one missing ends any */
        }
    }
    return count;
}

static uint32_t count_right(struct proof *proof, struct side a, struct side b)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < b.cond->child_count; i++) {
        bool yes = gray_implies(proof, a, child(b, i));
        count += yes;
        if (yes == (b.cond->kind == COND_ANY)) {
            break;
        }
    }
    return count;
}

bool gray_implies(struct proof *proof, struct side a, struct side b)
{
    if (b.cond == NULL) {
        return true;
    }
    if (a.cond == NULL || !spend(proof, 1)) {
        return false;
    }
    if (a.cond->kind == COND_NOT && b.cond->kind == COND_NOT) {
        return gray_implies(proof, child(b, 0), child(a, 0));
    }
    if (a.cond->kind == COND_TEST && b.cond->kind == COND_TEST) {
        return test_implies(proof, a, b);
    }
    /* First the steps that lose nothing, then those that choose. */
    if (a.cond->kind == COND_ANY) {
        return count_left(proof, a, b) == a.cond->child_count;
    }
    if (b.cond->kind == COND_ALL) {
        return count_right(proof, a, b) == b.cond->child_count;
    }
    if (b.cond->kind == COND_ANY && count_right(proof, a, b) > 0) {
        return true;
    }
    if (a.cond->kind == COND_ALL && count_left(proof, a, b) > 0) {
        return true;
    }
    if (a.cond->kind == COND_TEST && b.cond->kind == COND_ANY) {
        struct dropped dropped;
        gray_dropped(proof, a, &b, 1, &dropped);
        return dropped.known && dropped.count == 0 && !dropped.shorter;
    }
    return false;
}
