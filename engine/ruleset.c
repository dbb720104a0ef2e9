/* SPDX-License-Identifier: Apache-2.0
 * ruleset.c - the first rule of a set that holds, without trying them all.
 *
 * Why: a policy may have 100,000 rules and a request has a dozen values.
 * Every rule stands under one condition that it cannot do without; the values
 * of the request name the few lists of rules that can hold at all, and these
 * are merged in order.  More lists than fit are worked off in rounds, each of
 * which can only find an earlier rule, so a hostile request costs time in
 * proportion to what it matches and never a wrong answer.
 * Read next: layout.h (gray_index), ../policy/compile_index.c.
 */
#include "engine/program.h"
#include "engine/view.h"

#define LISTS_MAX 64u

struct cursor {
    const uint32_t *at, *end;
};

struct search {
    struct program *run;
    const struct gray_ruleset *set;
    const struct gray_rule *rules; /* first of the set */
    const struct gray_index *index;
    uint32_t best; /* within the set; GRAY_NONE: none holds so far */
    uint32_t count;
    struct cursor lists[LISTS_MAX];
};

static bool rule_holds(struct search *search, uint32_t number)
{
    const struct gray_rule *rule = &search->rules[number];
    search->run->rule = search->set->rules.first + number;
    return program_holds(search->run, rule->first_insn, rule->insn_count);
}

/* Tries the candidates of all lists in ascending order, up to the best. */
static void work_off(struct search *search)
{
    uint32_t last = GRAY_NONE;
    for (;;) {
        struct cursor *next = NULL;
        for (uint32_t i = 0; i < search->count; i++) {
            struct cursor *list = &search->lists[i];
            if (list->at < list->end &&
                (next == NULL || *list->at < *next->at)) {
                next = list;
            }
        }
        if (next == NULL || *next->at >= search->best) {
            break; /* all numbers lie below GRAY_NONE */
        }
        uint32_t number = *next->at++;
        if (number == last || number >= search->set->rules.count) {
            continue;
        }
        last = number;
        if (rule_holds(search, number)) {
            search->best = number;
            break;
        }
    }
    search->count = 0;
}

static void add_list(struct search *search, const uint32_t *numbers,
                     uint32_t count)
{
    if (numbers == NULL) {
        return;
    }
    for (uint32_t i = 0; i < search->count; i++) {
        if (search->lists[i].at == numbers) {
            return; /* a repeated value */
        }
    }
    if (search->count == LISTS_MAX) {
        work_off(search);
    }
    search->lists[search->count++] =
        (struct cursor){ numbers, numbers + count };
}

static void probe(struct search *search, uint32_t kind, uint32_t slot,
                  const char *bytes, uint32_t length)
{
    const struct gray_snapshot *s = search->run->policy;
    const struct gray_posting *buckets = view_span(
        s, s->policy->postings, search->index->buckets, sizeof(*buckets));
    if (buckets == NULL) {
        return;
    }
    uint32_t hash = gray_hash_key(kind, slot, bytes, length);
    uint32_t mask = search->index->buckets.count - 1;
    for (uint32_t i = 0; i <= mask; i++) {
        const struct gray_posting *posting = &buckets[(hash + i) & mask];
        if (posting->used == 0) {
            return;
        }
        if (posting->hash == hash) {
            add_list(search, VIEW_NUMBERS(s, numbers, posting->rules),
                     posting->rules.count);
        }
    }
}

static const struct gray_index_slot *
find_slot(const struct gray_index_slot *slots, uint32_t count, uint32_t slot)
{
    uint32_t low = 0, high = count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (slots[middle].slot == slot) {
            return &slots[middle];
        }
        if (slots[middle].slot < slot) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

static void gather(struct search *search, const struct gray_index_slot *keys,
                   const char *data, uint32_t length)
{
    static const uint8_t lengths[8] = GRAY_PREFIX_LENGTHS;
    if ((keys->keys & GRAY_KEY_PRESENT) != 0) {
        probe(search, GRAY_KEY_PRESENT, keys->slot, "", 0);
    }
    if (length > GRAY_VALUE_MAX) {
        return; /* present, and matches nothing */
    }
    if ((keys->keys & GRAY_KEY_EXACT) != 0) {
        probe(search, GRAY_KEY_EXACT, keys->slot, data, length);
    }
    if ((keys->keys & GRAY_KEY_EXACT_NOCASE) != 0) {
        probe(search, GRAY_KEY_EXACT_NOCASE, keys->slot, data, length);
    }
    if ((keys->keys & GRAY_KEY_PREFIX) != 0) {
        for (uint32_t i = 0; i < 8 && lengths[i] <= length; i++) {
            if ((keys->prefixes >> i & 1) != 0) {
                probe(search, GRAY_KEY_PREFIX, keys->slot, data, lengths[i]);
            }
        }
    }
}

/* The unit is a value that no slot of the request holds. */
static void gather_unit(struct search *search,
                        const struct gray_index_slot *slots, uint32_t count)
{
    const struct gray_snapshot *s = search->run->policy;
    if (search->run->unit.length == 0 || !view_needs(s, GRAY_SOURCE_UNIT)) {
        return;
    }
    const struct gray_index_slot *keys =
        find_slot(slots, count, view_slot(s, GRAY_SOURCE_UNIT, 0, "", 0));
    if (keys != NULL) {
        gather(search, keys, search->run->unit.data, search->run->unit.length);
    }
}

static uint32_t search_index(struct search *search)
{
    const struct gray_snapshot *s = search->run->policy;
    const struct gray_input *in = search->run->in;
    struct gray_span span = search->index->slots;
    const struct gray_index_slot *slots =
        view_span(s, s->policy->index_slots, span, sizeof(*slots));
    if (slots != NULL) {
        for (uint32_t i = 0; i < in->value_count; i++) {
            const struct gray_index_slot *keys =
                find_slot(slots, span.count, in->values[i].slot);
            if (keys != NULL) {
                gather(search, keys, in->values[i].data, in->values[i].length);
            }
        }
        gather_unit(search, slots, span.count);
    }
    add_list(search, VIEW_NUMBERS(s, numbers, search->index->always),
             search->index->always.count);
    work_off(search);
    return search->best;
}

uint32_t ruleset_first(struct program *run, uint32_t ruleset)
{
    const struct gray_snapshot *s = run->policy;
    struct search search;
    search.set = VIEW_AT(s, rulesets, gray_ruleset, ruleset);
    if (search.set == NULL) {
        return GRAY_NONE;
    }
    search.rules = view_span(s, s->policy->rules, search.set->rules,
                             sizeof(*search.rules));
    if (search.rules == NULL) {
        return GRAY_NONE;
    }
    search.run = run;
    search.best = GRAY_NONE;
    search.count = 0;
    search.index = VIEW_AT(s, indexes, gray_index, search.set->index);
    uint32_t found = GRAY_NONE;
    if (search.index != NULL) {
        found = search_index(&search);
    } else {
        for (uint32_t i = 0; i < search.set->rules.count; i++) {
            if (rule_holds(&search, i)) {
                found = i;
                break;
            }
        }
    }
    run->rule = GRAY_NONE;
    return found == GRAY_NONE ? GRAY_NONE : search.set->rules.first + found;
}
