/* SPDX-License-Identifier: Apache-2.0
 * cost.c - gate 3: how long one decision could take, before it is published.
 *
 * Why: a rule written in a hurry must not slow down every request of a site.
 * The bound is a sum over what the worst request could make the engine try:
 * every rule of a small set, and of an indexed one the rules without a key and
 * the longest list that each of its values could name.  The numbers are those
 * of conditions.def, measured warm; the bound is for judging policies against
 * each other, not a promise about a machine.
 * Read next: compile_index.c, ../engine/conditions.def.
 */
#include <stdlib.h>
#include <string.h>

#include "policy/compile.h"

/* Nanoseconds. */
#define COST_INPUT 60u     /* to find the values that a policy looks at */
#define COST_RELEASE 12u   /* scope word, order, verdict */
#define COST_UNIT_SLOT 3u
#define COST_BUCKET 25u
#define COST_FIND_SLOT 3u
#define COST_PROBE 12u     /* hash of a value, and one bucket */
#define COST_HEAD_BYTES 4u /* of a longer prefix, hashed in one more ns */

#define NAMED_MAX 3u /* rules that a finding names */

static const uint16_t condition_cost[256] = {
#define GRAY_CONDITION(NAME, number, word, OPERAND, cost, missing, doc) \
    [number] = cost,
#include "engine/conditions.def"
#undef GRAY_CONDITION
};

uint32_t cost_of_condition(uint8_t op)
{
    return condition_cost[op];
}

uint32_t cost_add(uint32_t a, uint32_t b)
{
    return a > UINT32_MAX - b ? UINT32_MAX : a + b;
}

/* ---- one index ----------------------------------------------------------- */

/* What a value of one slot can cost; its entries are [first, last). */
struct slot_cost {
    uint32_t ns, first, last;
};

static int by_cost(const void *left, const void *right)
{
    const struct slot_cost *a = left, *b = right;

    if (a->ns != b->ns) {
        return a->ns > b->ns ? -1 : 1;
    }
    return a->first < b->first ? -1 : a->first > b->first;
}

static bool same_probe(const struct index_key *a, const struct index_key *b)
{
    return a->slot == b->slot && a->kind == b->kind && a->prefix == b->prefix;
}

/* A probe finds one posting of its kind: the dearest, [*ret_first, *ret_last).
 * Returns its ns; *ret_next is where the next kind begins. */
static uint32_t probe_cost(const struct build *build,
                           const struct gray_ruleset *set,
                           const struct index_entry *entries, uint32_t at,
                           uint32_t end, uint32_t *ret_first,
                           uint32_t *ret_last, uint32_t *ret_next)
{
    const struct rule_origin *origins =
        TABLE(build->origins, struct rule_origin) + set->rules.first;
    uint32_t start = at, worst = 0, hashed = 0, first, ns;

    *ret_first = *ret_last = at;
    while (at < end && same_probe(&entries[at].key, &entries[start].key)) {
        first = at;
        ns = 0;
        do {
            ns = cost_add(ns, origins[entries[at].rule].ns + COST_CANDIDATE);
            at++;
        } while (at < end &&
                 same_probe(&entries[at].key, &entries[start].key) &&
                 entries[at].key.hash == entries[first].key.hash);
        if (ns > worst) {
            worst = ns;
            *ret_first = first;
            *ret_last = at;
        }
    }
    *ret_next = at;
    /* All prefixes of a value are hashed in one pass, ascending. */
    if (start > 0 && entries[start].key.kind == GRAY_KEY_PREFIX &&
        entries[start - 1].key.kind == GRAY_KEY_PREFIX &&
        entries[start - 1].key.slot == entries[start].key.slot) {
        hashed = entries[start - 1].key.prefix;
    }
    return cost_add(worst, COST_PROBE + (entries[start].key.prefix - hashed) /
                                            COST_HEAD_BYTES);
}

static int add_worst(struct build *build, const struct gray_ruleset *set,
                     uint32_t rule, struct set_cost *cost)
{
    uint32_t *worst = bytes_add(build, &build->worst, sizeof(*worst));

    if (worst == NULL) {
        return -1;
    }
    *worst = set->rules.first + rule;
    cost->worst.count++;
    return 0;
}

/* Sums the dearest postings of one slot, and notes their rules. */
static int slot_worst(struct build *build, const struct gray_ruleset *set,
                      const struct index_entry *entries,
                      const struct slot_cost *slot, struct set_cost *cost)
{
    uint32_t at = slot->first, first, last;

    while (at < slot->last) {
        probe_cost(build, set, entries, at, slot->last, &first, &last, &at);
        for (; first < last; first++) {
            if (add_worst(build, set, entries[first].rule, cost) != 0) {
                return -1;
            }
        }
    }
    return 0;
}

static uint32_t split_slots(const struct build *build,
                            const struct gray_ruleset *set,
                            const struct index_entry *entries, uint32_t count,
                            struct slot_cost *slots)
{
    uint32_t at = 0, used = 0, first, last;
    struct slot_cost *slot = NULL;

    while (at < count) {
        if (slot == NULL ||
            entries[slot->first].key.slot != entries[at].key.slot) {
            slot = &slots[used++];
            *slot = (struct slot_cost){COST_FIND_SLOT, at, at};
        }
        slot->ns = cost_add(slot->ns, probe_cost(build, set, entries, at,
                                                 count, &first, &last, &at));
        slot->last = at;
    }
    return used;
}

int cost_of_index(struct build *build, const struct gray_ruleset *set,
                  const struct index_entry *entries, uint32_t count,
                  const struct gray_span *always, struct set_cost *ret_cost)
{
    const struct rule_origin *origins =
        TABLE(build->origins, struct rule_origin) + set->rules.first;
    const uint32_t *numbers = TABLE(build->numbers, uint32_t) + always->first;
    struct set_cost cost = {0, 0, {COUNT(build->worst, uint32_t), 0}};
    struct slot_cost *slots = malloc((count + 1) * sizeof(*slots));
    uint32_t i, used;
    int result = 0;

    if (slots == NULL) {
        build->failed = build->no_memory = true;
        return -1;
    }
    for (i = 0; i < always->count && result == 0; i++) {
        cost.ns = cost_add(cost.ns, origins[numbers[i]].ns + COST_CANDIDATE);
        result = add_worst(build, set, numbers[i], &cost);
    }
    used = split_slots(build, set, entries, count, slots);
    qsort(slots, used, sizeof(*slots), by_cost);
    /* A request has no more values than this, so no more slots. */
    for (i = 0; i < used && i < GRAY_VALUES_MAX && result == 0; i++) {
        cost.ns = cost_add(cost.ns, slots[i].ns);
        result = slot_worst(build, set, entries, &slots[i], &cost);
    }
    free(slots);
    *ret_cost = cost;
    return result;
}

/* ---- one entrance -------------------------------------------------------- */

/* The dearest rules seen so far, dearest first. */
struct dearest {
    uint32_t rules[NAMED_MAX];
    uint32_t count;
    uint64_t seen;
};

static void note(const struct build *build, uint32_t rule,
                 struct dearest *dearest)
{
    const struct rule_origin *origins =
        TABLE(build->origins, struct rule_origin);
    uint32_t i = dearest->count, k;

    dearest->seen++;
    while (i > 0 && origins[dearest->rules[i - 1]].ns < origins[rule].ns) {
        i--;
    }
    if (i == NAMED_MAX) {
        return;
    }
    dearest->count += dearest->count < NAMED_MAX;
    for (k = dearest->count - 1; k > i; k--) {
        dearest->rules[k] = dearest->rules[k - 1];
    }
    dearest->rules[i] = rule;
}

static uint32_t set_ns(const struct build *build, uint32_t set,
                       struct dearest *dearest)
{
    const struct set_cost *cost;
    const uint32_t *worst;
    uint32_t i;

    if (set == GRAY_NONE) {
        return 0;
    }
    cost = TABLE(build->set_costs, struct set_cost) + set;
    worst = TABLE(build->worst, uint32_t) + cost->worst.first;
    for (i = 0; dearest != NULL && i < cost->worst.count; i++) {
        note(build, worst[i], dearest);
    }
    return cost->ns;
}

static uint32_t release_ns(const struct build *build, uint32_t number,
                           struct dearest *dearest)
{
    const struct gray_release *release =
        TABLE(build->releases, struct gray_release) + number;
    uint32_t i, ns = COST_RELEASE + COST_BUCKET;
    uint8_t op;

    for (i = 0; i < GRAY_UNIT_SLOTS && release->unit_slots[i] != GRAY_NONE;
         i++) {
        ns += COST_UNIT_SLOT;
    }
    ns += release->alias_slot == GRAY_NONE ? 0 : COST_UNIT_SLOT;
    ns = cost_add(ns, set_ns(build, release->stage_rules, dearest));
    ns = cost_add(ns, set_ns(build, release->deny, dearest));
    ns = cost_add(ns, set_ns(build, release->allow, dearest));
    ns = cost_add(ns, set_ns(build, release->match, dearest));
    return cost_add(ns,
                    build_program_cost(build, release->require_insn,
                                       release->require_count, &op));
}

static uint32_t entrance_ns(const struct build *build, uint32_t number,
                            struct dearest *dearest)
{
    const struct gray_entrance *entrance =
        TABLE(build->entrances, struct gray_entrance) + number;
    const uint32_t *releases =
        TABLE(build->entrance_releases, uint32_t) + entrance->releases.first;
    uint32_t i, ns = COST_INPUT;

    for (i = 0; i < entrance->releases.count; i++) {
        ns = cost_add(ns, release_ns(build, releases[i], dearest));
    }
    return cost_add(ns, set_ns(build, entrance->lane_rules, dearest));
}

/* ---- the finding --------------------------------------------------------- */

static const char *advice_for(uint8_t op)
{
    switch (op) {
    case GRAY_CONDITION_REGEX:
    case GRAY_CONDITION_GLOB:
    case GRAY_CONDITION_CONTAINS:
        return "Write exact, in or prefix in their place, or put one such "
               "test beside them under `all`: then only requests with that "
               "value try them.";
    case GRAY_CONDITION_LIST:
        return "Join the lists that one rule set asks for into one List.";
    case GRAY_CONDITION_PERCENT:
        return "Put an exact, in or prefix test beside the share under `all`, "
               "or give the rules entrances of their own.";
    default:
        return "Join rules that look at one attribute into one with `in`, or "
               "give them an exact, in or prefix test under `all`: then only "
               "requests with that value try them.";
    }
}

static void say(struct build *build, const char *entrance, uint32_t ns,
                const struct dearest *dearest)
{
    const struct rule_origin *origins =
        TABLE(build->origins, struct rule_origin);
    char named[NAMED_MAX * 3 * (GRAY_NAME_MAX + 1) + 64];
    const struct rule_origin *top = NULL;
    size_t used = 0;
    uint32_t i;

    named[0] = '\0';
    for (i = 0; i < dearest->count; i++) {
        const struct rule_origin *origin = &origins[dearest->rules[i]];

        top = top == NULL ? origin : top;
        used += (size_t)snprintf(
            named + used, used < sizeof(named) ? sizeof(named) - used : 0,
            "%s%.*s %.*s (%u ns, %s)", i == 0 ? "" : ", ",
            (int)GRAY_NAME_MAX, origin->document, (int)GRAY_NAME_MAX,
            origin->name, origin->ns, gray_condition_word(origin->op));
        used = used < sizeof(named) ? used : sizeof(named) - 1;
    }
    build->kind = top == NULL ? NULL : top->kind;
    build->document = top == NULL ? NULL : top->document;
    if (top == NULL) {
        build_finding(build, GRAY_ERROR, GRAY_PROBLEM_TOO_COSTLY, "",
                      "One decision at entrance \"%s\" could take %u ns; %u "
                      "are the most.  Give the releases entrances of their "
                      "own, so that fewer are decided together.",
                      entrance, ns, GRAY_COST_BOUND_NS);
    } else {
        build_finding(build, GRAY_ERROR, GRAY_PROBLEM_TOO_COSTLY, top->pointer,
                      "One decision at entrance \"%s\" could take %u ns; %u "
                      "are the most.  One request may try %llu rules; the "
                      "dearest: %s.  %s",
                      entrance, ns, GRAY_COST_BOUND_NS,
                      (unsigned long long)dearest->seen, named,
                      advice_for(top->op));
    }
    build->kind = build->document = NULL;
}

int cost_check(struct build *build)
{
    uint32_t i, ns, worst = 0, count;
    struct dearest dearest = {{0}};

    count = COUNT(build->entrances, struct gray_entrance);
    for (i = 0; i < count; i++) {
        ns = entrance_ns(build, i, NULL);
        if (ns > build->cost_bound) {
            build->cost_bound = ns;
            worst = i;
        }
    }
    /* Without an index the bound says nothing about what is published. */
    if (build->cost_bound <= GRAY_COST_BOUND_NS || build->options->no_index) {
        return 0;
    }
    entrance_ns(build, worst, &dearest);
    say(build, build->model->entrances[worst].name, build->cost_bound,
        &dearest);
    return -1;
}
