/* SPDX-License-Identifier: Apache-2.0
 * compile_program.c - condition trees become programs, rules become sets.
 *
 * Why: `all`, `any` and `not` need no instructions: each test says where to go
 * when it holds and where when it does not.  Tests stand in the order in which
 * their author wrote them, because explain shows them so, and a test that can
 * no longer matter is jumped over.  All jumps lead forward, so a program ends.
 * Read next: compile_operand.c, compile_index.c, ../engine/program.c.
 */
#include <stdlib.h>

#include "policy/compile.h"

struct program {
    struct build *build;
    uint32_t first;  /* insn of the whole table */
    uint16_t at;     /* next instruction of this program */
};

static uint32_t tests_in(const struct cond *cond)
{
    uint32_t i, sum = 0;

    if (cond->kind == COND_TEST) {
        return 1;
    }
    for (i = 0; i < cond->child_count; i++) {
        sum += tests_in(&cond->children[i]);
    }
    return sum;
}

static int emit_test(struct program *program, const struct cond *test,
                     uint16_t on_true, uint16_t on_false)
{
    struct build *build = program->build;
    uint32_t operand = build_operand(build, test);
    uint32_t slot = build_slot(build, test->source, test->name);
    struct gray_insn *insn;

    insn = bytes_add(build, &build->insns, sizeof(*insn));
    if (insn == NULL) {
        return -1;
    }
    insn->op = test->op;
    insn->flags = test->ignore_case ? GRAY_INSN_IGNORE_CASE : 0;
    insn->on_true = on_true;
    insn->on_false = on_false;
    insn->slot = slot;
    insn->operand = operand;
    program->at++;
    return 0;
}

static int emit(struct program *program, const struct cond *cond,
                uint16_t on_true, uint16_t on_false)
{
    uint16_t next;
    uint32_t i;

    switch (cond->kind) {
    case COND_TEST:
        return emit_test(program, cond, on_true, on_false);
    case COND_NOT:
        return emit(program, &cond->children[0], on_false, on_true);
    case COND_ALL:
    case COND_ANY:
        break;
    }
    for (i = 0; i < cond->child_count; i++) {
        uint16_t yes = on_true, no = on_false;

        next = (uint16_t)(program->at + tests_in(&cond->children[i]));
        if (i + 1 < cond->child_count) {
            *(cond->kind == COND_ALL ? &yes : &no) = next;
        }
        if (emit(program, &cond->children[i], yes, no) != 0) {
            return -1;
        }
    }
    return 0;
}

int build_program(struct build *build, const struct cond *cond,
                  uint32_t *ret_first, uint32_t *ret_count)
{
    struct program program = {build, COUNT(build->insns, struct gray_insn), 0};
    uint32_t count = cond == NULL ? 0 : tests_in(cond);

    if (count > GRAY_PROGRAM_MAX) {
        build_finding(build, GRAY_ERROR, GRAY_PROBLEM_TOO_MANY, cond->pointer,
                      "This rule has %u tests; %u are the most. Use `in` or a "
                      "List in place of many tests of one attribute.",
                      count, GRAY_PROGRAM_MAX);
        return -1;
    }
    if (count != 0 && emit(&program, cond, GRAY_JUMP_TRUE,
                           GRAY_JUMP_FALSE) != 0) {
        return -1;
    }
    *ret_first = program.first;
    *ret_count = count;
    return 0;
}

/* Jumps lead forward, so going backward sees every target before its jump. */
uint32_t build_program_cost(const struct build *build, uint32_t first,
                            uint32_t count, uint8_t *ret_op)
{
    const struct gray_insn *insns = TABLE(build->insns, struct gray_insn);
    uint32_t cost[GRAY_PROGRAM_MAX], i, yes, no, dearest = 0;

    *ret_op = 0;
    for (i = count; i-- > 0;) {
        const struct gray_insn *insn = &insns[first + i];
        uint32_t own = cost_of_condition(insn->op);

        yes = insn->on_true < GRAY_JUMP_FALSE ? cost[insn->on_true] : 0;
        no = insn->on_false < GRAY_JUMP_FALSE ? cost[insn->on_false] : 0;
        cost[i] = own + (yes > no ? yes : no);
        if (own >= dearest) {
            dearest = own;
            *ret_op = insn->op;
        }
    }
    return count == 0 ? 0 : cost[0];
}

static int add_rule(struct build *build, const struct model_rule *rule,
                    bool lanes)
{
    uint32_t first = 0, count = 0;
    struct rule_origin *origin;
    struct gray_rule *out;

    if (build_program(build, rule->when, &first, &count) != 0) {
        return -1;
    }
    out = bytes_add(build, &build->rules, sizeof(*out));
    origin = bytes_add(build, &build->origins, sizeof(*origin));
    if (out == NULL || origin == NULL) {
        return -1;
    }
    out->name = build_name(build, rule->name);
    out->first_insn = first;
    out->insn_count = (uint16_t)count;
    out->flags = !lanes && rule->writes ? GRAY_RULE_WRITES : 0;
    out->action = lanes ? rule->lane : GRAY_NONE;
    origin->kind = build->kind;
    origin->document = build->document;
    origin->name = rule->name;
    origin->pointer = rule->when == NULL ? "" : rule->when->pointer;
    origin->ns =
        COST_RULE + build_program_cost(build, first, count, &origin->op);
    return 0;
}

/* Small sets are cheaper without an index: each rule is a few loads.  Their
 * cost is bounded as if no rule were sieved out. */
static int add_index(struct build *build, struct gray_ruleset *set,
                     const struct cond *const *conds)
{
    struct set_cost *cost =
        bytes_add(build, &build->set_costs, sizeof(*cost));
    const struct rule_origin *origins =
        TABLE(build->origins, struct rule_origin);
    uint32_t i, *worst;

    if (cost == NULL) {
        return -1;
    }
    set->index = GRAY_NONE;
    if (set->rules.count > INDEX_RULES_MIN && !build->options->no_index) {
        return build_index(build, set, conds, cost);
    }
    if (!build->options->no_index && build_sieve(build, set, conds) != 0) {
        return -1;
    }
    cost->worst.first = COUNT(build->worst, uint32_t);
    worst = bytes_add(build, &build->worst, set->rules.count * sizeof(*worst));
    if (worst == NULL) {
        return -1;
    }
    for (i = 0; i < set->rules.count; i++) {
        worst[i] = set->rules.first + i;
        cost->ns = cost_add(cost->ns, origins[worst[i]].ns);
    }
    cost->worst.count = set->rules.count;
    return 0;
}

int build_ruleset(struct build *build, const struct model_rule *rules,
                  uint32_t count, bool lanes, uint32_t *ret_set)
{
    struct gray_ruleset set = {{COUNT(build->rules, struct gray_rule), 0}},
                        *out;
    const struct cond **conds;
    uint32_t i;
    int result = -1;

    conds = malloc((count + 1) * sizeof(*conds));
    if (conds == NULL) {
        build->failed = build->no_memory = true;
        return -1;
    }
    for (i = 0; i < count; i++) {
        const struct model_lane *lane =
            lanes ? &build->model->lanes[rules[i].lane] : NULL;

        if (lane != NULL) {
            if (!lane->enabled) {
                continue;
            }
            build->kind = "Lane";
            build->document = lane->name;
        }
        if (add_rule(build, &rules[i], lanes) != 0) {
            goto done;
        }
        conds[set.rules.count++] = rules[i].when;
    }
    if (set.rules.count == 0) {
        *ret_set = GRAY_NONE;
        result = 0;
        goto done;
    }
    if (add_index(build, &set, conds) != 0) {
        goto done;
    }
    out = bytes_add(build, &build->rulesets, sizeof(*out));
    if (out == NULL) {
        goto done;
    }
    *out = set;
    *ret_set = COUNT(build->rulesets, struct gray_ruleset) - 1;
    result = 0;
done:
    free(conds);
    return result;
}
