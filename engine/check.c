/* SPDX-License-Identifier: Apache-2.0
 * check.c - are the programs, operands and indexes of a policy.snap sound?
 *
 * Why: the interpreter bounds every step again, but a file that needs this is
 * a file that nobody wrote on purpose: it is refused with a sentence, and the
 * last good one goes on.  Orders and hashes are checked too, for a search in a
 * wrong order does not crash, it silently misses.
 * Read next: layout.h, program.c, ruleset.c.
 */
#include "engine/check.h"

enum shape {
    SHAPE_NONE, SHAPE_STRING, SHAPE_SET, SHAPE_DFA, SHAPE_RANGE, SHAPE_MOD,
    SHAPE_TAIL, SHAPE_SHARE, SHAPE_LIST, SHAPE_CIDR, SHAPE_SEMVER, SHAPE_DATE,
    SHAPE_TIME, SHAPE_UNKNOWN
};

static enum shape shape_of(uint8_t op)
{
    switch (op) {
#define GRAY_CONDITION(NAME, number, word, OPERAND, cost, missing, doc)        \
    case number:                                                               \
        return SHAPE_##OPERAND;
#include "engine/conditions.def"
#undef GRAY_CONDITION
    default:
        return SHAPE_UNKNOWN;
    }
}

static size_t size_of(enum shape shape)
{
    static const uint8_t sizes[SHAPE_UNKNOWN] = {
        [SHAPE_STRING] = sizeof(struct gray_operand_string),
        [SHAPE_SET] = sizeof(struct gray_operand_set),
        [SHAPE_DFA] = sizeof(struct gray_operand_dfa),
        [SHAPE_RANGE] = sizeof(struct gray_operand_range),
        [SHAPE_MOD] = sizeof(struct gray_operand_mod),
        [SHAPE_TAIL] = sizeof(struct gray_operand_tail),
        [SHAPE_SHARE] = sizeof(struct gray_operand_share),
        [SHAPE_LIST] = sizeof(struct gray_operand_list),
        [SHAPE_CIDR] = sizeof(struct gray_operand_cidr),
        [SHAPE_SEMVER] = sizeof(struct gray_operand_semver),
        [SHAPE_DATE] = sizeof(struct gray_operand_date),
        [SHAPE_TIME] = sizeof(struct gray_operand_time),
    };
    return sizes[shape];
}

static bool set_is_right(struct check *check,
                         const struct gray_operand_set *set)
{
    const struct gray_snapshot *s = check->s;
    uint32_t used = 0, mask = set->cells.count - 1;
    if (!check_power(set->cells.count) ||
        !check_table(check, set->cells, sizeof(struct gray_set_cell), 8) ||
        check_spend(check, 2 * (uint64_t)set->cells.count) != 0) {
        return false;
    }
    const struct gray_set_cell *cells =
        view_bytes(s, set->cells.offset,
                   (uint64_t)set->cells.count * sizeof(*cells));
    for (uint32_t i = 0; i <= mask; i++) {
        if (cells[i].text.offset == 0) {
            continue;
        }
        struct gray_str text = view_text(s, cells[i].text);
        uint32_t distance = (i - cells[i].hash) & mask;
        if (!check_ref(check, cells[i].text) ||
            check_spend(check, distance + text.length) != 0 ||
            gray_murmur3_32(text.data, text.length, 0) != cells[i].hash) {
            return false;
        }
        while (distance > 0 && cells[(i - distance) & mask].text.offset != 0) {
            distance--;
        }
        if (distance != 0) {
            return false; /* a free cell hides it */
        }
        used++;
    }
    return used == set->count && used <= mask;
}

static bool dfa_is_right(struct check *check,
                         const struct gray_operand_dfa *dfa)
{
    const struct gray_snapshot *s = check->s;
    uint32_t cells = dfa->states * dfa->classes;
    if (dfa->states < 2 || dfa->states > GRAY_DFA_STATES_MAX ||
        dfa->classes < 1 || dfa->classes > 256 || dfa->table % 2 != 0 ||
        dfa->accept % 4 != 0 || !check_ref(check, dfa->pattern) ||
        view_bytes(s, dfa->accept, (dfa->states + 31) / 32 * 4u) == NULL ||
        check_spend(check, 256 + (uint64_t)cells) != 0) {
        return false;
    }
    const uint8_t *class_of = view_bytes(s, dfa->class_of, 256);
    const uint16_t *table = view_bytes(s, dfa->table, 2u * (uint64_t)cells);
    if (class_of == NULL || table == NULL) {
        return false;
    }
    uint32_t wrong = 0;
    for (uint32_t i = 0; i < 256; i++) {
        wrong |= class_of[i] >= dfa->classes;
    }
    for (uint32_t i = 0; i < cells; i++) {
        wrong |= table[i] >= dfa->states;
    }
    return wrong == 0;
}

static bool mod_is_right(struct check *check,
                         const struct gray_operand_mod *mod)
{
    if (mod->divisor == 0 ||
        !check_table(check, mod->ranges, sizeof(struct gray_mod_range), 8) ||
        check_spend(check, mod->ranges.count) != 0) {
        return false;
    }
    const struct gray_mod_range *ranges =
        (const void *)(check->s->base + mod->ranges.offset);
    for (uint32_t i = 0; i < mod->ranges.count; i++) {
        if (ranges[i].first > ranges[i].last ||
            (i > 0 && ranges[i - 1].last >= ranges[i].first)) {
            return false;
        }
    }
    return true;
}

static bool tail_is_right(struct check *check,
                          const struct gray_operand_tail *tail)
{
    uint32_t limit = 1;
    if (tail->width < 1 || tail->width > 9 ||
        !check_table(check, tail->tails, sizeof(uint32_t), 4) ||
        check_spend(check, tail->tails.count) != 0) {
        return false;
    }
    for (uint32_t i = 0; i < tail->width; i++) {
        limit *= 10;
    }
    const uint32_t *tails =
        (const void *)(check->s->base + tail->tails.offset);
    for (uint32_t i = 0; i < tail->tails.count; i++) {
        if (tails[i] >= limit || (i > 0 && tails[i - 1] >= tails[i])) {
            return false;
        }
    }
    return true;
}

static bool cidr_is_right(struct check *check,
                          const struct gray_operand_cidr *cidr)
{
    if (!check_table(check, cidr->ranges, sizeof(struct gray_cidr_range), 8) ||
        check_spend(check, cidr->ranges.count) != 0) {
        return false;
    }
    const struct gray_cidr_range *ranges =
        (const void *)(check->s->base + cidr->ranges.offset);
    for (uint32_t i = 0; i < cidr->ranges.count; i++) {
        if (memcmp(ranges[i].first, ranges[i].last, 16) > 0 ||
            (i > 0 && memcmp(ranges[i - 1].last, ranges[i].first, 16) >= 0)) {
            return false;
        }
    }
    return true;
}

static bool time_is_right(struct check *check,
                          const struct gray_operand_time *time)
{
    if (time->days > 127 || time->start > 86400 || time->end > 86400 ||
        !check_table(check, time->zone, sizeof(struct gray_zone_step), 8) ||
        check_spend(check, time->zone.count) != 0) {
        return false;
    }
    const struct gray_zone_step *steps =
        (const void *)(check->s->base + time->zone.offset);
    for (uint32_t i = 0; i < time->zone.count; i++) {
        if (steps[i].offset < -172800 || steps[i].offset > 172800 ||
            (i == 0 ? steps[i].at != INT64_MIN
                    : steps[i - 1].at >= steps[i].at)) {
            return false;
        }
    }
    return true;
}

static bool operand_is_right(struct check *check, enum shape shape,
                             const void *operand)
{
    switch (shape) {
    case SHAPE_STRING: {
        const struct gray_operand_string *string = operand;
        return check_ref(check, string->text);
    }
    case SHAPE_SET:
        return set_is_right(check, operand);
    case SHAPE_DFA:
        return dfa_is_right(check, operand);
    case SHAPE_MOD:
        return mod_is_right(check, operand);
    case SHAPE_TAIL:
        return tail_is_right(check, operand);
    case SHAPE_SHARE: {
        const struct gray_operand_share *share = operand;
        return check_ref(check, share->salt) && share->share <= GRAY_SHARE_ALL;
    }
    case SHAPE_LIST: {
        const struct gray_operand_list *list = operand;
        return list->list < check->policy->lists.count;
    }
    case SHAPE_CIDR:
        return cidr_is_right(check, operand);
    case SHAPE_SEMVER: {
        const struct gray_operand_semver *semver = operand;
        return semver->op <= GRAY_SEMVER_CARET && check_ref(check, semver->pre);
    }
    case SHAPE_TIME:
        return time_is_right(check, operand);
    case SHAPE_RANGE:
    case SHAPE_DATE:
        return true; /* any two numbers make a range, if an empty one */
    default:
        return false;
    }
}

static int check_operand(struct check *check, const struct gray_insn *insn)
{
    enum shape shape = shape_of(insn->op);
    if (shape == SHAPE_UNKNOWN) {
        return check_refuse(check, "bad-condition",
                            "An instruction has a condition that this version "
                            "does not know.",
                            insn);
    }
    if (shape == SHAPE_NONE) {
        return 0;
    }
    const void *operand =
        insn->operand % 8 != 0 ||
                insn->operand < sizeof(struct gray_file_header) +
                                    sizeof(struct gray_policy)
            ? NULL
            : view_bytes(check->s, insn->operand, size_of(shape));
    /* Operands are multiples of 8, so their low bits hold half a shape; the
     * other half only costs a second look. */
    uint32_t key = insn->operand | ((uint32_t)shape & 7);
    uint32_t *seen = &check->seen[(insn->operand / 8 + shape) % CHECK_SEEN];
    if (operand != NULL && *seen == key) {
        return 0;
    }
    if (operand == NULL || !operand_is_right(check, shape, operand)) {
        return check_refuse(check, "bad-operand",
                            "The operand of a condition is out of bounds or "
                            "out of order.",
                            insn);
    }
    *seen = key;
    return 0;
}

static int check_insn(struct check *check, const struct gray_insn *insn,
                      uint32_t at, uint32_t count)
{
    const uint16_t jumps[2] = { insn->on_true, insn->on_false };
    for (int i = 0; i < 2; i++) {
        if (jumps[i] != GRAY_JUMP_TRUE && jumps[i] != GRAY_JUMP_FALSE &&
            (jumps[i] <= at || jumps[i] >= count)) {
            return check_refuse(check, "bad-jump",
                                "A jump does not lead forward inside its "
                                "program.",
                                insn);
        }
    }
    const struct gray_slot *slot =
        VIEW_AT(check->s, slots, gray_slot, insn->slot);
    bool timed = insn->op == GRAY_CONDITION_TIME;
    if ((slot == NULL && !(timed && insn->slot == GRAY_NONE)) ||
        (insn->op == GRAY_CONDITION_CIDR && slot != NULL &&
         slot->source != GRAY_SOURCE_ADDRESS) ||
        (insn->flags & ~GRAY_INSN_IGNORE_CASE) != 0) {
        return check_refuse(check, "bad-instruction",
                            "An instruction names no attribute that its "
                            "condition can look at.",
                            insn);
    }
    return check_operand(check, insn);
}

int check_program(struct check *check, uint32_t first, uint32_t count)
{
    const struct gray_insn *insns =
        view_span(check->s, check->policy->insns,
                  (struct gray_span){ first, count }, sizeof(*insns));
    if (count == 0) {
        return 0;
    }
    if (insns == NULL || count > GRAY_PROGRAM_MAX ||
        count > check->policy->insns.count - check->insns_used) {
        return check_refuse(check, "bad-program",
                            "A program lies outside the instructions, is too "
                            "long, or shares instructions with another.",
                            NULL);
    }
    check->insns_used += count;
    for (uint32_t i = 0; i < count; i++) {
        if (check_insn(check, &insns[i], i, count) != 0) {
            return -1;
        }
    }
    return 0;
}

int check_rules(struct check *check)
{
    for (uint32_t i = 0; i < check->policy->rules.count; i++) {
        const struct gray_rule *rule = VIEW_AT(check->s, rules, gray_rule, i);
        if (!check_ref(check, rule->name) ||
            (rule->action != GRAY_NONE &&
             rule->action >= check->policy->lanes.count &&
             rule->action >= GRAY_STAGES_MAX) ||
            (rule->flags & ~GRAY_RULE_WRITES) != 0) {
            return check_refuse(check, "bad-rule",
                                "A rule has no name, an unknown flag, or "
                                "leads to no lane and no stage.",
                                rule);
        }
        if (check_program(check, rule->first_insn, rule->insn_count) != 0) {
            return -1;
        }
    }
    return 0;
}

/* Ascending numbers of rules of one set; an empty span is right. */
static bool numbers_are_right(struct check *check, struct gray_span span,
                              uint32_t rules)
{
    const uint32_t *numbers = VIEW_NUMBERS(check->s, numbers, span);
    if (numbers == NULL) {
        return span.count == 0;
    }
    if (check_spend(check, span.count) != 0) {
        return false;
    }
    for (uint32_t i = 0; i < span.count; i++) {
        if (numbers[i] >= rules || (i > 0 && numbers[i - 1] >= numbers[i])) {
            return false;
        }
    }
    return true;
}

static bool postings_are_right(struct check *check,
                               const struct gray_index *index, uint32_t rules)
{
    const struct gray_posting *buckets = view_span(
        check->s, check->policy->postings, index->buckets, sizeof(*buckets));
    uint32_t mask = index->buckets.count - 1, used = 0;
    if (index->buckets.count == 0) {
        return true;
    }
    if (buckets == NULL || !check_power(index->buckets.count) ||
        check_spend(check, index->buckets.count) != 0) {
        return false;
    }
    for (uint32_t i = 0; i <= mask; i++) {
        if (buckets[i].used == 0) {
            continue;
        }
        uint32_t distance = (i - buckets[i].hash) & mask;
        if (check_spend(check, distance) != 0 ||
            !numbers_are_right(check, buckets[i].rules, rules)) {
            return false;
        }
        while (distance > 0 && buckets[(i - distance) & mask].used != 0) {
            distance--;
        }
        if (distance != 0) {
            return false; /* a free bucket hides it */
        }
        used++;
    }
    return used <= mask;
}

/* The engine has room for the hashes of so many. */
static bool lengths_are_right(const struct gray_index_slot *slot)
{
    if (slot->prefix_count > GRAY_PREFIXES_MAX ||
        (slot->prefix_count != 0) != ((slot->keys & GRAY_KEY_PREFIX) != 0)) {
        return false;
    }
    for (uint32_t i = 0; i < slot->prefix_count; i++) {
        if (slot->lengths[i] <= (i == 0 ? 0 : slot->lengths[i - 1])) {
            return false;
        }
    }
    return true;
}

static bool index_is_right(struct check *check, const struct gray_index *index,
                           uint32_t rules)
{
    const struct gray_index_slot *slots = view_span(
        check->s, check->policy->index_slots, index->slots, sizeof(*slots));
    if (slots == NULL && index->slots.count != 0) {
        return false;
    }
    if (check_spend(check, index->slots.count) != 0) {
        return false;
    }
    for (uint32_t i = 0; i < index->slots.count; i++) {
        if (slots[i].slot >= check->policy->slots.count ||
            (i > 0 && slots[i - 1].slot >= slots[i].slot) ||
            !lengths_are_right(&slots[i])) {
            return false;
        }
    }
    return numbers_are_right(check, index->always, rules) &&
           postings_are_right(check, index, rules);
}

/* Cells by slot and look, each of a rule of the set; no rule is left out for ever. */
static bool sieve_is_right(struct check *check, const struct gray_ruleset *set)
{
    uint32_t count = set->sieve.count, rules = set->rules.count;
    const struct gray_sieve_cell *cells = view_span(
        check->s, check->policy->sieves, set->sieve, sizeof(*cells));
    uint64_t seen = set->unsieved;
    if (cells == NULL) {
        return count == 0;
    }
    if (rules > GRAY_SIEVE_RULES_MAX || set->index != GRAY_NONE ||
        check_spend(check, count) != 0) {
        return false;
    }
    for (uint32_t i = count; i-- > 0;) {
        const struct gray_sieve_cell *cell = &cells[i];
        bool more = i + 1 < count && cell[1].slot == cell->slot &&
                    cell[1].look == cell->look;
        if (cell->slot >= check->policy->slots.count || cell->rule >= rules ||
            cell->look >= GRAY_LOOK_COUNT || cell->sure > 1 ||
            cell->same != (more ? cell[1].same + 1 : 1)) {
            return false;
        }
        seen |= UINT64_C(1) << cell->rule;
    }
    return seen == UINT64_MAX >> (GRAY_SIEVE_RULES_MAX - rules);
}

int check_rulesets(struct check *check)
{
    for (uint32_t i = 0; i < check->policy->rulesets.count; i++) {
        const struct gray_ruleset *set =
            VIEW_AT(check->s, rulesets, gray_ruleset, i);
        if (!span_fits(set->rules, check->policy->rules.count)) {
            return check_refuse(check, "bad-ruleset",
                                "A set of rules lies outside the rules.", set);
        }
        if (!sieve_is_right(check, set)) {
            return check_refuse(check, "bad-sieve",
                                "The sieve of a set of rules is out of bounds "
                                "or lets no value reach a rule.",
                                set);
        }
        if (set->index == GRAY_NONE) {
            continue;
        }
        const struct gray_index *index =
            VIEW_AT(check->s, indexes, gray_index, set->index);
        if (index == NULL || !index_is_right(check, index, set->rules.count)) {
            return check_refuse(check, "bad-index",
                                "The index of a set of rules is out of bounds "
                                "or out of order.",
                                set);
        }
    }
    return 0;
}
