/* SPDX-License-Identifier: Apache-2.0
 * compile_release.c - releases, their variants, and the entrances.
 *
 * Why: these tables are the model's own records with names as references and
 * rules as programs.  The model has them in the order in which they are asked
 * (descending priority), so their numbers are the order of decisions.
 * Read next: compile_routes.c (what a release governs), ../engine/decide.c.
 */
#include <stdlib.h>
#include <string.h>

#include "policy/compile.h"

static uint32_t word_of(struct build *build, const struct gray_release *release,
                        uint32_t number)
{
    const struct gray_compile_options *options = build->options;
    uint32_t word;

    if (options->word_of == NULL) {
        return number;
    }
    word = options->word_of(options->word_context, release->scope);
    if (word == GRAY_NONE) {
        build_finding(build, GRAY_ERROR, GRAY_PROBLEM_TOO_MANY, "",
                      "The runtime folder has no scope word left for this "
                      "release; it keeps one for each release it ever saw.");
    }
    return word;
}

/* Signed priorities in their order as unsigned ones. */
static uint32_t biased(int32_t priority)
{
    return (uint32_t)priority ^ 0x80000000u;
}

static int put_variants(struct build *build, const struct model_release *from,
                        struct gray_span *ret_variants)
{
    struct gray_variant *variant;
    struct gray_ref name;
    uint32_t i;

    ret_variants->first = COUNT(build->variants, struct gray_variant);
    ret_variants->count = from->variant_count;
    for (i = 0; i < from->variant_count; i++) {
        name = build_name(build, from->variants[i].name);
        variant = bytes_add(build, &build->variants, sizeof(*variant));
        if (variant == NULL) {
            return -1;
        }
        variant->name = name;
        variant->upto = from->variants[i].upto;
    }
    return 0;
}

static int put_rules(struct build *build, const struct model_release *from,
                     struct gray_release *out)
{
    if (build_ruleset(build, from->deny, from->deny_count, false,
                      &out->deny) != 0 ||
        build_ruleset(build, from->allow, from->allow_count, false,
                      &out->allow) != 0 ||
        build_program(build, from->require, &out->require_insn,
                      &out->require_count) != 0) {
        return -1;
    }
    return build_ruleset(build, from->match, from->match_count, false,
                         &out->match);
}

/* Stages and the rules that lead to them: rule i to stage i. */
static int put_stages(struct build *build, const struct model_release *from,
                      struct gray_release *out)
{
    struct model_rule *rules;
    struct gray_stage *stage;
    uint32_t i;
    int result = -1;

    out->stages.first = COUNT(build->stages, struct gray_stage);
    out->stages.count = from->stage_count;
    rules = calloc(from->stage_count + 1, sizeof(*rules));
    if (rules == NULL) {
        build->failed = build->no_memory = true;
        return -1;
    }
    for (i = 0; i < from->stage_count; i++) {
        const struct model_stage *own = &from->stages[i];
        struct gray_ref name = build_name(build, own->name);

        rules[i] = (struct model_rule){.name = own->name,
                                       .when = own->when,
                                       .lane = UINT32_MAX};
        stage = bytes_add(build, &build->stages, sizeof(*stage));
        if (stage == NULL) {
            goto done;
        }
        *stage = (struct gray_stage){.name = name,
                                     .share = own->share,
                                     .writes = own->writes,
                                     .on_missing = own->on_missing,
                                     .on_unknown = own->on_unknown,
                                     .space = own->space};
    }
    if (build_ruleset(build, rules, from->stage_count, false,
                      &out->stage_rules) != 0) {
        goto done;
    }
    if (out->stage_rules != GRAY_NONE) {
        struct gray_ruleset *set =
            TABLE(build->rulesets, struct gray_ruleset) + out->stage_rules;
        struct gray_rule *first =
            TABLE(build->rules, struct gray_rule) + set->rules.first;

        for (i = 0; i < set->rules.count; i++) {
            first[i].action = i;
        }
    }
    result = 0;
done:
    free(rules);
    return result;
}

/* Steps that have nothing to ask are left out, so that no request passes
 * them. */
static void put_order(const struct model_release *from,
                      struct gray_release *out)
{
    bool marks = out->stickiness != GRAY_STICKY_NONE;
    const bool idle[GRAY_STEP_COUNT] = {
        [GRAY_STEP_DENY] = out->deny == GRAY_NONE,
        [GRAY_STEP_ALLOW] = out->allow == GRAY_NONE,
        [GRAY_STEP_MARK] = !marks,
        [GRAY_STEP_EVIDENCE] = !marks,
    };
    uint32_t i, count = 0;

    for (i = 0; i < sizeof(out->order); i++) {
        uint8_t step = from->order[i];

        if (step == GRAY_STEP_END) {
            break;
        }
        if (!idle[step]) {
            out->order[count++] = step;
        }
    }
}

static int put_release(struct build *build, const struct model_release *from,
                       uint32_t number)
{
    struct gray_release out, *room;
    uint32_t i;

    memset(&out, 0, sizeof(out));
    out.name = build_name(build, from->name);
    out.salt = build_name(build, from->salt);
    gray_hash_salt(build_text(build, out.salt), &out.salt_hash,
                   &out.salt_rest);
    out.scope = gray_hash_scope(from->name, strlen(from->name));
    out.word = word_of(build, &out, number);
    out.priority = biased(from->priority);
    out.share = from->share;
    out.holdback = from->holdback;
    out.stickiness = from->stickiness;
    out.data_compat = from->data_compat;
    out.anonymous = from->anonymous;
    out.hash_version = GRAY_HASH_MURMUR3;
    out.attempt = from->attempt;
    for (i = 0; i < GRAY_UNIT_SLOTS; i++) {
        out.unit_slots[i] = i < from->unit_count
                                ? build_slot(build, from->units[i].source,
                                             from->units[i].name)
                                : GRAY_NONE;
    }
    out.alias_slot = from->alias.name.data == NULL
                         ? GRAY_NONE
                         : build_slot(build, from->alias.source,
                                      from->alias.name);
    out.durability = from->durability;
    out.on_unknown = from->on_unknown;
    out.mark_flags = from->mark_flags;
    out.strict_timeout = from->strict_timeout;
    out.admission_lease = from->admission_lease;
    if (put_rules(build, from, &out) != 0 ||
        put_stages(build, from, &out) != 0 ||
        put_variants(build, from, &out.variants) != 0) {
        return -1;
    }
    put_order(from, &out);
    room = bytes_add(build, &build->releases, sizeof(*room));
    if (room == NULL) {
        return -1;
    }
    *room = out;
    return 0;
}

int build_releases(struct build *build)
{
    const struct gray_model *model = build->model;
    uint32_t i;

    for (i = 0; i < model->release_count; i++) {
        build->kind = "Release";
        build->document = model->releases[i].name;
        if (put_release(build, &model->releases[i], i) != 0) {
            return -1;
        }
    }
    build->kind = build->document = NULL;
    return 0;
}

static int put_entrance(struct build *build, const struct model_entrance *from)
{
    struct gray_entrance out = {{0}}, *room;
    uint32_t *numbers;

    out.name = build_name(build, from->name);
    if (build_ruleset(build, from->lane_rules, from->lane_rule_count, true,
                      &out.lane_rules) != 0) {
        return -1;
    }
    out.releases.first = COUNT(build->entrance_releases, uint32_t);
    out.releases.count = from->release_count;
    numbers = bytes_add(build, &build->entrance_releases,
                        from->release_count * sizeof(*numbers));
    if (numbers == NULL) {
        return -1;
    }
    if (from->release_count != 0) {
        memcpy(numbers, from->releases,
               from->release_count * sizeof(*numbers));
    }
    room = bytes_add(build, &build->entrances, sizeof(*room));
    if (room == NULL) {
        return -1;
    }
    *room = out;
    return 0;
}

int build_entrances(struct build *build)
{
    const struct gray_model *model = build->model;
    uint32_t i;

    for (i = 0; i < model->entrance_count; i++) {
        if (put_entrance(build, &model->entrances[i]) != 0) {
            return -1;
        }
    }
    build->kind = build->document = NULL;
    return 0;
}
