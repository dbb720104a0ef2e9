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
    const struct gray_posting *buckets; /* of the index */
    uint32_t mask;                      /* their count - 1 */
    uint32_t best; /* within the set; GRAY_NONE: none holds so far */
    uint32_t count;
    struct cursor lists[LISTS_MAX];
};

static inline bool rule_holds(struct program *run,
                              const struct gray_ruleset *set, uint32_t number)
{
    run->rule = set->rules.first + number;
    const struct gray_rule *rule =
        VIEW_AT(run->policy, rules, gray_rule, run->rule);
    return rule != NULL &&
           program_holds(run, rule->first_insn, rule->insn_count);
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
        if (rule_holds(search->run, search->set, number)) {
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
             const struct gray_index *index)
{
    const struct gray_snapshot *s = run->policy;
    struct search search;
    search.run = run;
    search.set = set;
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

/* What a sieve lets through: a bit of each rule. */
struct sifted {
    uint64_t maybe; /* its program must say */
    uint64_t sure;  /* it holds */
};

/* What one value lets through, of cells that are alike. */
static inline void sift_value(const struct gray_sieve_cell *cells,
                              const struct gray_sieve_cell *end,
                              const char *data, uint32_t length,
                              struct sifted *sifted)
{
    if (__builtin_expect(length > GRAY_VALUE_MAX, 0)) {
        return; /* its bytes may not be there */
    }
    uint64_t look = view_look(cells->look, data, length);
    do {
        if (__builtin_expect(((look ^ cells->word) & cells->mask) == 0, 0)) {
            sifted->maybe |= 1ull << (cells->rule & 63);
            sifted->sure |= (uint64_t)(cells->sure & 1) << (cells->rule & 63);
        }
    } while (++cells < end);
}

/* No value is in the slot; it may be the one of the unit. */
static inline void sift_unit(const struct program *run,
                             const struct gray_sieve_cell *cells,
                             const struct gray_sieve_cell *end,
                             struct sifted *sifted)
{
    if (run->unit.length != 0 &&
        cells->slot == run->policy->slot_of[GRAY_SOURCE_UNIT]) {
        sift_value(cells, end, run->unit.data, run->unit.length, sifted);
    }
}

static inline struct sifted sift(const struct program *run,
                                 const struct gray_ruleset *set,
                                 const struct gray_sieve_cell *cells)
{
    const struct gray_input *in = run->in;
    const struct gray_sieve_cell *next;
    struct sifted sifted = { set->unsieved, 0 };
    for (uint32_t left = set->sieve.count, count; left > 0;
         left -= count, cells = next) {
        uint32_t number = view_first(in, cells->slot);
        count = cells->same;
        if (__builtin_expect(count - 1 >= left, 0)) {
            count = left; /* in no file that was checked */
        }
        next = cells + count;
        if (number == GRAY_VALUES_MAX) {
            sift_unit(run, cells, next, &sifted);
            continue;
        }
        do {
            const struct gray_value *value = &in->values[number];
            sift_value(cells, next, value->data, value->length, &sifted);
            number = view_next(in, number);
        } while (__builtin_expect(number != GRAY_VALUES_MAX, 0));
    }
    return sifted;
}

/* Few rules are tried one by one, those that the sieve leaves. */
static inline uint32_t search_sieve(struct program *run,
                                    const struct gray_ruleset *set,
                                    const struct gray_sieve_cell *cells)
{
    struct sifted left = sift(run, set, cells);
    for (; left.maybe != 0; left.maybe &= left.maybe - 1) {
        uint32_t number = (uint32_t)__builtin_ctzll(left.maybe);
        if (number >= set->rules.count) {
            break;
        }
        if ((left.sure >> number & 1) != 0 || rule_holds(run, set, number)) {
            return number;
        }
    }
    return GRAY_NONE;
}

/* A trace shows what each rule of a small set says, so none is left out. */
static __attribute__((noinline)) uint32_t
search_others(struct program *run, const struct gray_ruleset *set)
{
    const struct gray_index *index =
        VIEW_AT(run->policy, indexes, gray_index, set->index);
    if (index != NULL) {
        return search_index(run, set, index);
    }
    for (uint32_t i = 0; i < set->rules.count; i++) {
        if (rule_holds(run, set, i)) {
            return i;
        }
    }
    return GRAY_NONE;
}

uint32_t ruleset_first(struct program *run, uint32_t ruleset)
{
    const struct gray_snapshot *s = run->policy;
    const struct gray_ruleset *set =
        VIEW_AT(s, rulesets, gray_ruleset, ruleset);
    if (set == NULL) {
        return GRAY_NONE;
    }
    const struct gray_sieve_cell *cells =
        view_span(s, s->policy->sieves, set->sieve, sizeof(*cells));
    uint32_t found = cells != NULL && run->trace == NULL
                         ? search_sieve(run, set, cells)
                         : search_others(run, set);
    run->rule = GRAY_NONE;
    return found == GRAY_NONE ? GRAY_NONE : set->rules.first + found;
}
