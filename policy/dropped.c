/* SPDX-License-Identifier: Apache-2.0
 * dropped.c - which ids and tails a change would leave outside.
 *
 * Why: "{00,01} -> {0} drops 01" is a sentence that somebody understands at
 * once; "the condition became narrower" is not.  So conditions that list
 * values are taken apart, value by value, and the lost ones are named.  Tails
 * are brought to one width first: 0 means 00, 10, ... 90.
 * Read next: implies.c, gates.c.
 */
#include "policy/implies.h"

#include <stdio.h>
#include <string.h>

/* Digits that an old tail may be lengthened by. */
#define WIDEN_MAX 4u
#define NAMES_MAX 10u

static void lose(struct dropped *dropped, const char *name, size_t length)
{
    size_t used = strlen(dropped->names), room = sizeof(dropped->names);
    if (dropped->count < NAMES_MAX && used + length + 8 < room &&
        !dropped->cut) {
        snprintf(dropped->names + used, room - used, "%s%.*s",
                 used == 0 ? "" : ", ", (int)length, name);
    } else if (!dropped->cut) {
        dropped->cut = true;
        snprintf(dropped->names + used, room - used, " ...");
    }
    dropped->count++;
}

/* ---- tails --------------------------------------------------------------- */

static uint32_t power(uint32_t digits)
{
    uint32_t value = 1;
    while (digits-- > 0) {
        value *= 10;
    }
    return value;
}

static bool in_numbers(const uint32_t *numbers, uint32_t count,
                       uint32_t number)
{
    uint32_t low = 0, high = count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (numbers[middle] == number) {
            return true;
        }
        if (numbers[middle] < number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return false;
}

/* The widest tail over this attribute in a tree. */
static uint32_t widest(const struct cond *cond, const struct cond *attribute,
                       uint32_t width)
{
    if (cond == NULL) {
        return width;
    }
    for (uint32_t i = 0; i < cond->child_count; i++) {
        width = widest(&cond->children[i], attribute, width);
    }
    bool tail = cond->kind == COND_TEST &&
                cond->op == GRAY_CONDITION_ID_TAIL &&
                gray_same_attribute(cond, attribute);
    return tail && cond->tail_width > width ? cond->tail_width : width;
}

static bool tail_fits(struct proof *proof, const struct cond *cond,
                      const struct cond *attribute, uint32_t tail,
                      uint32_t width)
{
    uint32_t fitting = 0;
    if (cond == NULL) {
        return true;
    }
    if (proof->budget == 0) {
        return false;
    }
    proof->budget--;
    if (cond->kind == COND_TEST) {
        bool same = gray_same_attribute(cond, attribute);
        return (same && cond->op == GRAY_CONDITION_PRESENT) ||
               (same && cond->op == GRAY_CONDITION_ID_TAIL &&
                cond->tail_width <= width &&
                in_numbers(cond->tails, cond->tail_count,
                           tail % power(cond->tail_width)));
    }
    if (cond->kind == COND_NOT) {
        return false;
    }
    for (uint32_t i = 0; i < cond->child_count; i++) {
        fitting +=
            tail_fits(proof, &cond->children[i], attribute, tail, width);
    }
    return cond->kind == COND_ALL ? fitting == cond->child_count
                                  : fitting > 0;
}

static bool any_fits(struct proof *proof, const struct side *b,
                     uint32_t count, const struct cond *attribute,
                     uint32_t tail, uint32_t width)
{
    for (uint32_t i = 0; i < count; i++) {
        if (tail_fits(proof, b[i].cond, attribute, tail, width)) {
            return true;
        }
    }
    return false;
}

/* Whether a tree tells ids apart in another way as well: then some that end so
 * may be kept, and no tail is lost as a whole. A few that are named are none. */
static bool tells_otherwise(const struct cond *cond,
                            const struct cond *attribute)
{
    if (cond == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < cond->child_count; i++) {
        if (tells_otherwise(&cond->children[i], attribute)) {
            return true;
        }
    }
    if (cond->kind != COND_TEST || !gray_same_attribute(cond, attribute)) {
        return false;
    }
    switch (cond->op) {
    case GRAY_CONDITION_ID_TAIL:
    case GRAY_CONDITION_PRESENT:
    case GRAY_CONDITION_ABSENT:
    case GRAY_CONDITION_BLANK:
    case GRAY_CONDITION_EXACT:
    case GRAY_CONDITION_IN:
    case GRAY_CONDITION_LIST:
        return false;
    default:
        return true;
    }
}

static void drop_tails(struct proof *proof, const struct cond *a,
                       const struct side *b, uint32_t count,
                       struct dropped *dropped)
{
    uint32_t width = a->tail_width;
    for (uint32_t i = 0; i < count; i++) {
        width = widest(b[i].cond, a, width);
        if (tells_otherwise(b[i].cond, a)) {
            return;
        }
    }
    if (width - a->tail_width > WIDEN_MAX) {
        return;
    }
    dropped->known = true;
    dropped->tails = true;
    uint32_t step = power(a->tail_width);
    uint32_t more = power(width - a->tail_width);
    for (uint32_t i = 0; i < a->tail_count; i++) {
        if (any_fits(proof, b, count, a, a->tails[i], a->tail_width)) {
            continue; /* as it is, without a look at longer ones */
        }
        /* Ids with fewer digits than `width` end in no longer tail. */
        bool whole = more > 1;
        for (uint32_t k = 0; k < more; k++) {
            uint32_t tail = k * step + a->tails[i];
            if (!any_fits(proof, b, count, a, tail, width)) {
                char name[16];
                int length =
                    snprintf(name, sizeof(name), "%0*u", (int)width, tail);
                lose(dropped, name, (size_t)length);
                whole = false;
            }
        }
        dropped->shorter |= whole;
    }
}

/* ---- values -------------------------------------------------------------- */

/* A list and its next edition: both are sorted, so one pass is enough. */
static bool drop_by_merge(struct side a, struct side b,
                          struct dropped *dropped)
{
    if (b.cond == NULL || b.cond->kind != COND_TEST ||
        b.cond->op != GRAY_CONDITION_LIST ||
        !gray_same_attribute(a.cond, b.cond)) {
        return false;
    }
    const struct model_list *old = &a.model->lists[a.cond->list];
    const struct model_list *now = &b.model->lists[b.cond->list];
    uint64_t k = 0;
    for (uint64_t i = 0; i < old->id_count; i++) {
        int order = -1;
        while (k < now->id_count &&
               (order = gray_text_compare(&now->ids[k], &old->ids[i])) < 0) {
            k++;
        }
        if (k == now->id_count || order != 0) {
            lose(dropped, old->ids[i].data, old->ids[i].length);
        }
    }
    dropped->known = true;
    return true;
}

static void drop_values(struct proof *proof, const struct cond *a,
                        const struct model_text *values, uint64_t count,
                        const struct side *b, uint32_t b_count,
                        struct dropped *dropped)
{
    dropped->known = true;
    for (uint64_t i = 0; i < count; i++) {
        bool fits = false;
        for (uint32_t k = 0; k < b_count && !fits; k++) {
            fits = gray_value_fits(proof, b[k], a, &values[i]);
        }
        if (!fits) {
            lose(dropped, values[i].data, values[i].length);
        }
    }
}

void gray_dropped(struct proof *proof, struct side a, const struct side *b,
                  uint32_t count, struct dropped *ret_dropped)
{
    const struct model_list *list;
    memset(ret_dropped, 0, sizeof(*ret_dropped));
    if (a.cond == NULL || a.cond->kind != COND_TEST) {
        return;
    }
    switch (a.cond->op) {
    case GRAY_CONDITION_ID_TAIL:
        drop_tails(proof, a.cond, b, count, ret_dropped);
        break;
    case GRAY_CONDITION_EXACT:
        drop_values(proof, a.cond, &a.cond->text, 1, b, count, ret_dropped);
        break;
    case GRAY_CONDITION_IN:
        drop_values(proof, a.cond, a.cond->texts, a.cond->text_count, b,
                    count, ret_dropped);
        break;
    case GRAY_CONDITION_LIST:
        if (count == 1 && drop_by_merge(a, b[0], ret_dropped)) {
            return;
        }
        list = &a.model->lists[a.cond->list];
        drop_values(proof, a.cond, list->ids, list->id_count, b, count,
                    ret_dropped);
        break;
    default:
        break;
    }
    if (proof->budget == 0) {
        ret_dropped->known = false; /* what was counted may be too much */
    }
}
