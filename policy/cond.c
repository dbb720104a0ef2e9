/* SPDX-License-Identifier: Apache-2.0
 * cond.c - conditions compared with each other.
 *
 * Why: lint asks whether two rules are one, gates whether a condition became
 * narrower.  Sets are sorted in the model, so equality is a walk, and equal
 * conditions have equal hashes, so that 100,000 rules need no pairs.
 * Read next: lint.c, gates.c.
 */
#include "policy/check.h"

#include <string.h>

int gray_text_compare(const struct model_text *a, const struct model_text *b)
{
    uint32_t common = a->length < b->length ? a->length : b->length;
    int order = common == 0 ? 0 : memcmp(a->data, b->data, common);
    return order != 0 ? order
                      : (a->length > b->length) - (a->length < b->length);
}

static bool text_equal(const struct model_text *a, const struct model_text *b)
{
    return a->length == b->length &&
           (a->length == 0 || memcmp(a->data, b->data, a->length) == 0);
}

static bool zone_equal(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool test_equal(const struct cond *a, const struct cond *b)
{
    if (a->source != b->source || a->op != b->op ||
        a->ignore_case != b->ignore_case || !text_equal(&a->name, &b->name) ||
        !text_equal(&a->text, &b->text) || a->text_count != b->text_count ||
        a->start != b->start || a->end != b->end ||
        a->divisor != b->divisor || a->range_count != b->range_count ||
        a->tail_width != b->tail_width || a->tail_count != b->tail_count ||
        a->share != b->share || !text_equal(&a->salt, &b->salt) ||
        a->semver_op != b->semver_op ||
        memcmp(a->version, b->version, sizeof(a->version)) != 0 ||
        !text_equal(&a->pre, &b->pre) || a->from != b->from ||
        a->until != b->until || a->days != b->days ||
        a->day_start != b->day_start || a->day_end != b->day_end ||
        !zone_equal(a->zone, b->zone)) {
        return false;
    }
    for (uint32_t i = 0; i < a->text_count; i++) {
        if (!text_equal(&a->texts[i], &b->texts[i])) {
            return false;
        }
    }
    for (uint32_t i = 0; i < a->range_count; i++) {
        if (a->ranges[i].first != b->ranges[i].first ||
            a->ranges[i].last != b->ranges[i].last) {
            return false;
        }
    }
    for (uint32_t i = 0; i < a->tail_count; i++) {
        if (a->tails[i] != b->tails[i]) {
            return false;
        }
    }
    return true;
}

/* Lists have numbers of their own in each model; their names are the same. */
static bool list_equal(const struct cond *a, const struct gray_model *of_a,
                       const struct cond *b, const struct gray_model *of_b)
{
    return a->op != GRAY_CONDITION_LIST ||
           strcmp(of_a->lists[a->list].name, of_b->lists[b->list].name) == 0;
}

bool gray_cond_equal(const struct cond *a, const struct gray_model *of_a,
                     const struct cond *b, const struct gray_model *of_b)
{
    if (a == NULL || b == NULL) {
        return a == b;
    }
    if (a->kind != b->kind || a->child_count != b->child_count) {
        return false;
    }
    if (a->kind == COND_TEST) {
        return test_equal(a, b) && list_equal(a, of_a, b, of_b);
    }
    for (uint32_t i = 0; i < a->child_count; i++) {
        if (!gray_cond_equal(&a->children[i], of_a, &b->children[i], of_b)) {
            return false;
        }
    }
    return true;
}

static uint64_t add(uint64_t hash, uint64_t value)
{
    return gray_mix64(hash ^ value) + 0x9e3779b97f4a7c15ull;
}

static uint64_t add_text(uint64_t hash, const struct model_text *text)
{
    return gray_mix_bytes(hash, text->data, text->length);
}

uint64_t gray_cond_hash(const struct cond *cond,
                        const struct gray_model *model)
{
    uint64_t hash = add(0, (uint64_t)cond->kind);
    if (cond->kind != COND_TEST) {
        for (uint32_t i = 0; i < cond->child_count; i++) {
            hash = add(hash, gray_cond_hash(&cond->children[i], model));
        }
        return hash;
    }
    hash = add(hash, (uint64_t)cond->source << 16 | cond->op << 1 |
                         (uint64_t)cond->ignore_case);
    hash = add_text(hash, &cond->name);
    hash = add_text(hash, &cond->text);
    for (uint32_t i = 0; i < cond->text_count; i++) {
        hash = add_text(hash, &cond->texts[i]);
    }
    for (uint32_t i = 0; i < cond->range_count; i++) {
        hash = add(hash, cond->ranges[i].first);
    }
    for (uint32_t i = 0; i < cond->tail_count; i++) {
        hash = add(hash, cond->tails[i]);
    }
    if (cond->op == GRAY_CONDITION_RANGE || cond->op == GRAY_CONDITION_DATE) {
        hash = add(add(hash, (uint64_t)cond->start), (uint64_t)cond->end);
    }
    if (cond->op == GRAY_CONDITION_TIME) {
        hash = add(add(hash, (uint64_t)cond->from), (uint64_t)cond->until);
    }
    hash = add(hash, cond->share);
    if (cond->op == GRAY_CONDITION_LIST) {
        const char *name = model->lists[cond->list].name;
        hash = gray_mix_bytes(hash, name, strlen(name));
    }
    return hash;
}

/* ---- with what they name ------------------------------------------------- */

static bool ids_equal(const struct model_list *a, const struct model_list *b)
{
    if (a->id_count != b->id_count) {
        return false;
    }
    for (uint64_t i = 0; i < a->id_count; i++) {
        if (a->ids[i].length != b->ids[i].length ||
            memcmp(a->ids[i].data, b->ids[i].data, a->ids[i].length) != 0) {
            return false;
        }
    }
    return true;
}

/* Conditions that are written alike differ when their lists do. */
static bool lists_equal(const struct cond *a, const struct gray_model *of_a,
                        const struct cond *b, const struct gray_model *of_b)
{
    for (uint32_t i = 0; i < a->child_count; i++) {
        if (!lists_equal(&a->children[i], of_a, &b->children[i], of_b)) {
            return false;
        }
    }
    return a->kind != COND_TEST || a->op != GRAY_CONDITION_LIST ||
           ids_equal(&of_a->lists[a->list], &of_b->lists[b->list]);
}

bool gray_cond_same(const struct cond *a, const struct gray_model *of_a,
                    const struct cond *b, const struct gray_model *of_b)
{
    return gray_cond_equal(a, of_a, b, of_b) &&
           (a == NULL || lists_equal(a, of_a, b, of_b));
}
