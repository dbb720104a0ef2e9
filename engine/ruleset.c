/* SPDX-License-Identifier: Apache-2.0
 * ruleset.c - the first rule of a set that holds, without trying them all.
 *
 * Why: a policy may have 100,000 rules and a request has a dozen values.
 * Every rule stands under one condition that it cannot do without; the values
 * of the request name the few lists of rules that can hold at all, and these
 * are merged in order.  More lists than fit are worked off in rounds, each of
 * which can only find an earlier rule, so a hostile request costs time in
 * proportion to what it matches and never a wrong answer.  A small set has a
 * sieve in place of these lists.
 * Read next: layout_policy.h (gray_index, gray_sieve_cell),
 * ../policy/compile_index.c, ../policy/compile_sieve.c.
 */
#include "engine/hash.h"
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
    const struct gray_posting *buckets; /* of the index */
    uint32_t mask;                      /* their count - 1 */
    uint32_t best; /* within the set; GRAY_NONE: none holds so far */
    uint32_t count;
    struct cursor lists[LISTS_MAX];
};

static inline bool rule_holds(struct program *run,
                              const struct gray_ruleset *set,
                              const struct gray_rule *rules, uint32_t number)
{
    run->rule = set->rules.first + number;
    return program_holds(run, rules[number].first_insn,
                         rules[number].insn_count);
}

/* Tries the candidates of all lists in ascending order, up to the best. */
static void work_off(struct search *search)
{
    uint32_t last = GRAY_NONE;
    if (search->count == 0) {
        return;
    }
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
        if (rule_holds(search->run, search->set, search->rules, number)) {
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

static void look_up(struct search *search, uint32_t hash)
{
    const struct gray_snapshot *s = search->run->policy;
    uint32_t mask = search->mask;
    for (uint32_t i = 0; i <= mask; i++) {
        const struct gray_posting *posting =
            &search->buckets[(hash + i) & mask];
        if (posting->used == 0) {
            return;
        }
        if (posting->hash == hash) {
            add_list(search, VIEW_NUMBERS(s, numbers, posting->rules),
                     posting->rules.count);
        }
    }
}

static void probe(struct search *search, uint32_t kind, uint32_t slot,
                  const char *bytes, uint32_t length)
{
    look_up(search, gray_hash_key(kind, slot, bytes, length));
}

static void probe_prefixes(struct search *search,
                           const struct gray_index_slot *keys,
                           const char *data, uint32_t length)
{
    uint32_t hashes[GRAY_PREFIXES_MAX];
    uint32_t count = hash_prefixes(keys->slot, data, length, keys->lengths,
                                   keys->prefix_count, hashes);
    for (uint32_t i = 0; i < count; i++) {
        look_up(search, hashes[i]);
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
        probe_prefixes(search, keys, data, length);
    }
}

static void gather_values(struct search *search,
                          const struct gray_index_slot *keys)
{
    const struct gray_input *in = search->run->in;
    for (uint32_t i = view_first(in, keys->slot); i < GRAY_VALUES_MAX;
         i = view_next(in, i)) {
        gather(search, keys, in->values[i].data, in->values[i].length);
    }
}

/* The unit is a value that no slot of the request holds. */
static void gather_unit(struct search *search,
                        const struct gray_index_slot *slots, uint32_t count)
{
    const struct gray_snapshot *s = search->run->policy;
    uint32_t slot = s->slot_of[GRAY_SOURCE_UNIT];
    if (search->run->unit.length == 0 || slot == GRAY_NONE) {
        return;
    }
    const struct gray_index_slot *keys = find_slot(slots, count, slot);
    if (keys != NULL) {
        gather(search, keys, search->run->unit.data, search->run->unit.length);
    }
}

/* By the slots of the index or by the values of the request, whichever are
 * fewer. */
static void gather_all(struct search *search,
                       const struct gray_index_slot *slots, uint32_t count)
{
    const struct gray_input *in = search->run->in;
    if (count <= 2 * in->value_count + 4) {
        for (uint32_t i = 0; i < count; i++) {
            gather_values(search, &slots[i]);
        }
    } else {
        for (uint32_t i = 0; i < in->value_count; i++) {
            const struct gray_index_slot *keys =
                find_slot(slots, count, in->values[i].slot);
            if (keys != NULL) {
                gather(search, keys, in->values[i].data, in->values[i].length);
            }
        }
    }
    gather_unit(search, slots, count);
}

static __attribute__((noinline)) uint32_t
search_index(struct program *run, const struct gray_ruleset *set,
             const struct gray_rule *rules, const struct gray_index *index)
{
    const struct gray_snapshot *s = run->policy;
    struct search search;
    search.run = run;
    search.set = set;
    search.rules = rules;
    search.best = GRAY_NONE;
    search.count = 0;
    search.mask = index->buckets.count - 1;
    search.buckets = view_span(s, s->policy->postings, index->buckets,
                               sizeof(*search.buckets));
    const struct gray_index_slot *slots =
        view_span(s, s->policy->index_slots, index->slots, sizeof(*slots));
    if (slots != NULL && search.buckets != NULL) {
        gather_all(&search, slots, index->slots.count);
    }
    add_list(&search, VIEW_NUMBERS(s, numbers, index->always),
             index->always.count);
    work_off(&search);
    return search.best;
}

/* Bit of each rule that one value lets through, of cells that are alike. */
static inline uint64_t sift_value(const struct gray_sieve_cell *cells,
                                  uint32_t count, const char *data,
                                  uint32_t length)
{
    uint64_t rules = 0;
    if (length > GRAY_VALUE_MAX) {
        return 0; /* its bytes may not be there */
    }
    uint64_t look = view_look(cells->look, data, length);
    for (uint32_t i = 0; i < count; i++) {
        if (__builtin_expect(((look ^ cells[i].word) & cells[i].mask) == 0,
                             0)) {
            rules |= 1ull << (cells[i].rule & 63);
        }
    }
    return rules;
}

/* Bit of each rule that may hold. */
static inline uint64_t sift(const struct program *run,
                            const struct gray_ruleset *set,
                            const struct gray_sieve_cell *cells)
{
    const struct gray_input *in = run->in;
    uint64_t rules = set->unsieved;
    for (uint32_t left = set->sieve.count, count; left > 0; left -= count) {
        uint32_t slot = cells->slot, number = view_first(in, slot);
        count = cells->same - 1u < left ? cells->same : left;
        if (number == GRAY_VALUES_MAX &&
            slot == run->policy->slot_of[GRAY_SOURCE_UNIT]) {
            rules |= sift_value(cells, count, run->unit.data,
                                run->unit.length);
        }
        for (; number < GRAY_VALUES_MAX; number = view_next(in, number)) {
            rules |= sift_value(cells, count, in->values[number].data,
                                in->values[number].length);
        }
        cells += count;
    }
    return rules;
}

/* Few rules are tried one by one, those that the sieve leaves. */
static inline uint32_t search_sieve(struct program *run,
                                    const struct gray_ruleset *set,
                                    const struct gray_rule *rules,
                                    const struct gray_sieve_cell *cells)
{
    uint64_t left = sift(run, set, cells);
    for (; left != 0; left &= left - 1) {
        uint32_t number = (uint32_t)__builtin_ctzll(left);
        if (number >= set->rules.count) {
            break;
        }
        if (rule_holds(run, set, rules, number)) {
            return number;
        }
    }
    return GRAY_NONE;
}

static uint32_t search_all(struct program *run, const struct gray_ruleset *set,
                           const struct gray_rule *rules)
{
    for (uint32_t i = 0; i < set->rules.count; i++) {
        if (rule_holds(run, set, rules, i)) {
            return i;
        }
    }
    return GRAY_NONE;
}

/* A trace shows what each rule says, so it leaves out none of a small set. */
static inline uint32_t search_set(struct program *run,
                                  const struct gray_ruleset *set,
                                  const struct gray_rule *rules)
{
    const struct gray_snapshot *s = run->policy;
    const struct gray_sieve_cell *cells =
        view_span(s, s->policy->sieves, set->sieve, sizeof(*cells));
    if (cells != NULL && run->trace == NULL) {
        return search_sieve(run, set, rules, cells);
    }
    const struct gray_index *index =
        VIEW_AT(s, indexes, gray_index, set->index);
    return index != NULL ? search_index(run, set, rules, index)
                         : search_all(run, set, rules);
}

uint32_t ruleset_first(struct program *run, uint32_t ruleset)
{
    const struct gray_snapshot *s = run->policy;
    const struct gray_ruleset *set =
        VIEW_AT(s, rulesets, gray_ruleset, ruleset);
    if (set == NULL) {
        return GRAY_NONE;
    }
    const struct gray_rule *rules =
        view_span(s, s->policy->rules, set->rules, sizeof(*rules));
    if (rules == NULL) {
        return GRAY_NONE;
    }
    uint32_t found = search_set(run, set, rules);
    run->rule = GRAY_NONE;
    return found == GRAY_NONE ? GRAY_NONE : set->rules.first + found;
}
