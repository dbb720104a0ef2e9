/* SPDX-License-Identifier: Apache-2.0
 * compile_sieve.c - which rules of a small set can hold at all.
 *
 * Why: a few rules are tried faster than looked up, and faster still when most
 * of them are left out after a look at a few bytes of a value.  So each rule
 * gets cells for one condition that it cannot do without.  A cell may let
 * through what its rule then refuses, never the other way round: what holds
 * where nothing stands (absent, notIn) has none, and whatever else needs a
 * value has one that any value passes.  Short texts are decided by it.
 * Read next: ../engine/layout_policy.h (gray_sieve_cell), ../engine/ruleset.c.
 */
#include <stdlib.h>
#include <string.h>

#include "policy/compile.h"

/* Cells of which one must let a rule through; count 0: it has none. */
struct choice {
    uint32_t count;
    uint32_t score; /* smaller lets less through */
    struct gray_sieve_cell cells[SIEVE_CELLS_MAX];
};

_Static_assert(INDEX_RULES_MIN <= GRAY_SIEVE_RULES_MAX,
               "each rule has a bit of its own");
_Static_assert(INDEX_RULES_MIN * SIEVE_CELLS_MAX <= UINT8_MAX,
               "gray_sieve_cell.same counts all cells of a set");

#define SCORE_EXACT 1u
#define SCORE_PREFIX 2u
#define SCORE_ANY 16u

static struct gray_sieve_cell *add_cell(struct choice *choice, uint32_t slot,
                                        uint32_t score)
{
    struct gray_sieve_cell *cell = &choice->cells[choice->count++];

    memset(cell, 0, sizeof(*cell)); /* any value passes */
    cell->slot = slot;
    choice->score += score;
    return cell;
}

/* Texts that differ in the case of letters alone are equal but for 0x20. */
static uint64_t letters(const struct cond *test)
{
    return test->ignore_case ? ~UINT64_C(0x2020202020202020) : UINT64_MAX;
}

static void add_exact(struct choice *choice, uint32_t slot,
                      const struct cond *test, struct model_text text)
{
    struct gray_sieve_cell *cell = add_cell(choice, slot, SCORE_EXACT);

    cell->look = GRAY_LOOK_TAIL;
    cell->word = gray_look(GRAY_LOOK_TAIL, text.data, text.length);
    cell->mask = UINT64_C(0xffffffff00000000) | letters(test);
    cell->sure = !test->ignore_case && text.length <= 4;
}

static void add_prefix(struct choice *choice, uint32_t slot,
                       const struct cond *test, struct model_text text)
{
    struct gray_sieve_cell *cell = add_cell(choice, slot, SCORE_PREFIX);

    cell->look = GRAY_LOOK_HEAD;
    cell->word = gray_look(GRAY_LOOK_HEAD, text.data, text.length);
    cell->mask = letters(test);
    cell->sure = !test->ignore_case && text.length <= 8;
    if (text.length < 8) {
        cell->mask &= (UINT64_C(1) << 8 * text.length) - 1;
    }
}

static void choose_test(struct build *build, const struct cond *test,
                        struct choice *best)
{
    uint32_t slot = build_slot(build, test->source, test->name), i;

    best->count = best->score = 0;
    switch (test->op) {
    case GRAY_CONDITION_EXACT:
        add_exact(best, slot, test, test->text);
        return;
    case GRAY_CONDITION_PREFIX:
        add_prefix(best, slot, test, test->text);
        return;
    case GRAY_CONDITION_IN:
        if (test->text_count <= SIEVE_CELLS_MAX) {
            for (i = 0; i < test->text_count; i++) {
                add_exact(best, slot, test, test->texts[i]);
            }
            return;
        }
        break;
    case GRAY_CONDITION_PRESENT: /* also of a value too long to be looked at */
    case GRAY_CONDITION_ABSENT:
    case GRAY_CONDITION_BLANK:
    case GRAY_CONDITION_NOT_IN:
    case GRAY_CONDITION_CIDR: /* the address and the moment are no values */
    case GRAY_CONDITION_TIME:
        return;
    default:
        break;
    }
    add_cell(best, slot, SCORE_ANY);
}

static void choose(struct build *build, const struct cond *cond,
                   struct choice *best);

/* Any one child will do: the one that lets the least through. */
static void choose_all(struct build *build, const struct cond *cond,
                       struct choice *best)
{
    struct choice other;
    uint32_t i;

    for (i = 0; i < cond->child_count; i++) {
        choose(build, &cond->children[i], &other);
        if (other.count != 0 &&
            (best->count == 0 || other.score < best->score)) {
            *best = other;
        }
    }
    for (i = 0; i < best->count && cond->child_count > 1; i++) {
        best->cells[i].sure = 0; /* the other children have a say */
    }
}

/* Every child must have its cells, or the rule could be missed. */
static void choose_any(struct build *build, const struct cond *cond,
                       struct choice *best)
{
    struct choice other;
    uint32_t i;

    for (i = 0; i < cond->child_count; i++) {
        choose(build, &cond->children[i], &other);
        if (other.count == 0 ||
            other.count > SIEVE_CELLS_MAX - best->count) {
            best->count = 0;
            return;
        }
        memcpy(&best->cells[best->count], other.cells,
               other.count * sizeof(other.cells[0]));
        best->count += other.count;
        best->score += other.score;
    }
}

static void choose(struct build *build, const struct cond *cond,
                   struct choice *best)
{
    best->count = best->score = 0;
    switch (cond->kind) {
    case COND_TEST:
        choose_test(build, cond, best);
        break;
    case COND_ALL:
        choose_all(build, cond, best);
        break;
    case COND_ANY:
        choose_any(build, cond, best);
        break;
    case COND_NOT:
        break;
    }
}

static int by_slot(const void *left, const void *right)
{
    const struct gray_sieve_cell *a = left, *b = right;
    const uint64_t x[] = {a->slot, a->look, a->rule, a->word, a->mask};
    const uint64_t y[] = {b->slot, b->look, b->rule, b->word, b->mask};
    uint32_t i;

    for (i = 0; i < 5; i++) {
        if (x[i] != y[i]) {
            return x[i] < y[i] ? -1 : 1;
        }
    }
    return 0;
}

static void sort_cells(struct gray_sieve_cell *cells, uint32_t count)
{
    uint32_t i;

    qsort(cells, count, sizeof(*cells), by_slot);
    for (i = count; i-- > 0;) {
        cells[i].same = 1;
        if (i + 1 < count && cells[i + 1].slot == cells[i].slot &&
            cells[i + 1].look == cells[i].look) {
            cells[i].same = (uint8_t)(cells[i + 1].same + 1);
        }
    }
}

int build_sieve(struct build *build, struct gray_ruleset *set,
                const struct cond *const *conds)
{
    uint32_t first = COUNT(build->sieves, struct gray_sieve_cell), i, k;
    struct gray_sieve_cell *cells;
    struct choice best;

    for (i = 0; i < set->rules.count; i++) {
        best.count = 0;
        if (conds[i] != NULL) {
            choose(build, conds[i], &best);
        }
        if (best.count == 0) {
            set->unsieved |= UINT64_C(1) << i;
            continue;
        }
        cells = bytes_add(build, &build->sieves,
                          best.count * sizeof(*cells));
        if (cells == NULL) {
            return -1;
        }
        for (k = 0; k < best.count; k++) {
            cells[k] = best.cells[k];
            cells[k].rule = (uint8_t)i;
        }
    }
    set->sieve.first = first;
    set->sieve.count = COUNT(build->sieves, struct gray_sieve_cell) - first;
    if (set->sieve.count != 0) {
        sort_cells(TABLE(build->sieves, struct gray_sieve_cell) + first,
                   set->sieve.count);
    }
    return 0;
}
