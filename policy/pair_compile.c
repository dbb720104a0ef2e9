/* SPDX-License-Identifier: Apache-2.0
 * pair_compile.c - a release compiled for itself, as it is or loose.
 *
 * Why: see pair.h.  Loose, an attribute is a trusted one named by its number,
 * a test of a bucket is a test of a number that is given, and the rest of the
 * condition is what it was: compiled by the compiler, run by the engine.
 * Read next: pair_feed.c.
 */
#include "policy/pair.h"

#include <stdlib.h>
#include <string.h>

struct rewrite {
    struct pair *pair;
    const struct gray_model *model;
    bool loose;
    struct gray_model *out; /* gets the lists that are used */
};

/* ---- conditions ------------------------------------------------------------------ */

static uint32_t use_list(struct rewrite *r, uint32_t number)
{
    const struct model_list *list = &r->model->lists[number];

    for (uint32_t i = 0; i < r->out->list_count; i++) {
        if (r->out->lists[i].ids == list->ids &&
            strcmp(r->out->lists[i].name, list->name) == 0) {
            return i;
        }
    }
    r->out->lists[r->out->list_count] = *list;
    return r->out->list_count++;
}

static void loosen(struct rewrite *r, struct cond *test)
{
    uint32_t number;

    if (test->op == GRAY_CONDITION_PERCENT) {
        number = pair_hash_of(r->pair, test);
        test->source = GRAY_SOURCE_ATTR;
        test->name.data = r->pair->hashes[number].slot;
        test->name.length = (uint32_t)strlen(test->name.data);
        test->op = GRAY_CONDITION_RANGE;
        test->start = 0;
        test->end = test->share;
        return;
    }
    number = pair_attribute(r->pair, test->source, test->name.data);
    if (number < PAIR_ATTRIBUTES_MAX && test->source != GRAY_SOURCE_ADDRESS) {
        test->source = GRAY_SOURCE_ATTR;
        test->name.data = r->pair->attributes[number].slot;
        test->name.length = (uint32_t)strlen(test->name.data);
    }
}

static void rewrite(struct rewrite *r, const struct cond *from,
                    struct cond *to)
{
    *to = *from;
    if (from->kind == COND_TEST) {
        if (from->op == GRAY_CONDITION_LIST) {
            to->list = use_list(r, from->list);
        }
        if (r->loose && from->source != GRAY_SOURCE_TIME) {
            loosen(r, to);
        }
        return;
    }
    to->children = gray_arena_array(r->pair->arena, from->child_count,
                                    sizeof(*to->children));
    for (uint32_t i = 0; i < from->child_count; i++) {
        rewrite(r, &from->children[i], &to->children[i]);
    }
}

static struct cond *rewritten(struct rewrite *r, const struct cond *from)
{
    struct cond *to;

    if (from == NULL) {
        return NULL;
    }
    to = gray_arena_take(r->pair->arena, sizeof(*to));
    rewrite(r, from, to);
    return to;
}

static struct model_rule *rewrite_rules(struct rewrite *r,
                                        const struct model_rule *rules,
                                        uint32_t count)
{
    struct model_rule *out =
        gray_arena_array(r->pair->arena, count, sizeof(*out));

    for (uint32_t i = 0; i < count; i++) {
        out[i] = rules[i];
        out[i].when = rewritten(r, rules[i].when);
    }
    return out;
}

/* ---- the model around it ----------------------------------------------------------- */

static struct model_variant only_variant(struct gray_arena *arena)
{
    struct model_variant variant = {.name = "", .upto = GRAY_SHARE_ALL,
                                    .target_count = 1};

    variant.targets = gray_arena_take(arena, sizeof(*variant.targets));
    variant.targets->version = "b";
    return variant;
}

static struct model_service only_service(struct gray_arena *arena)
{
    struct model_service service = {.name = "s", .baseline_version = "a",
                                    .baseline_count = 1,
                                    .endpoint_count = 2};

    service.baseline = gray_arena_take(arena, sizeof(*service.baseline));
    *service.baseline = (struct model_label){"version", "a"};
    service.endpoints =
        gray_arena_array(arena, 2, sizeof(*service.endpoints));
    for (uint16_t i = 0; i < 2; i++) {
        struct model_label *label = gray_arena_take(arena, sizeof(*label));

        *label = (struct model_label){"version", i == 0 ? "a" : "b"};
        service.endpoints[i] = (struct model_endpoint){
            .address = i == 0 ? "127.0.0.1:1" : "127.0.0.1:2",
            .bytes = {127, 0, 0, 1}, .port = (uint16_t)(i + 1),
            .family = GRAY_FAMILY_IPV4, .weight = 1, .labels = label,
            .label_count = 1};
    }
    return service;
}

static struct gray_model *empty_model(struct gray_arena *arena,
                                      uint32_t releases, uint32_t lists)
{
    struct gray_model *model = gray_arena_take(arena, sizeof(*model));

    model->services = gray_arena_take(arena, sizeof(*model->services));
    model->services[0] = only_service(arena);
    model->service_count = 1;
    model->releases =
        gray_arena_array(arena, releases, sizeof(*model->releases));
    model->release_count = releases;
    model->lists = gray_arena_array(arena, lists + 1, sizeof(*model->lists));
    model->entrances = gray_arena_take(arena, sizeof(*model->entrances));
    model->entrances->name = "";
    model->entrance_count = 1;
    model->source = gray_arena_copy(arena, "[]", 2);
    model->source_length = 2;
    return model;
}

/* ---- compiled ------------------------------------------------------------------------ */

static bool open_lists(struct pair_side *side, struct gray_arena *arena)
{
    const struct gray_policy *policy = side->snapshot.policy;
    const struct gray_list_ref *refs =
        (const void *)(side->snapshot.base + policy->lists.offset);

    side->lists =
        gray_arena_array(arena, policy->lists.count + 1, sizeof(*side->lists));
    for (uint32_t i = 0; i < policy->lists.count; i++) {
        struct gray_str file = gray_text(&side->snapshot, refs[i].file);
        size_t k = 0;

        while (k < side->compiled.list_count &&
               strncmp(side->compiled.lists[k].name, file.data,
                       file.length) != 0) {
            k++;
        }
        if (k == side->compiled.list_count ||
            gray_list_open(&side->lists[i], side->compiled.lists[k].data,
                           side->compiled.lists[k].size, NULL) != 0) {
            return false;
        }
    }
    side->view.lists = side->lists;
    side->view.list_count = policy->lists.count;
    return true;
}

static bool compile(struct pair *pair, const struct gray_model *model,
                    struct pair_side *side)
{
    struct gray_compile_options options = {.revision = 1};
    struct gray_findings findings = {0};
    bool good = gray_compile(model, &options, &side->compiled, &findings) == 0;

    gray_findings_free(&findings);
    good = good && gray_snapshot_open(&side->snapshot,
                                      side->compiled.policy.data,
                                      side->compiled.policy.size, NULL) == 0;
    side->view.policy = &side->snapshot;
    if (!good || !open_lists(side, pair->arena)) {
        pair->why = "it cannot be compiled for itself";
        return false;
    }
    return true;
}

static uint32_t first_rule(const struct pair_side *side, uint32_t set)
{
    const struct gray_ruleset *sets =
        (const void *)(side->snapshot.base +
                       side->snapshot.policy->rulesets.offset);

    return set == GRAY_NONE ? GRAY_NONE : sets[set].rules.first;
}

static void loosen_units(struct pair *pair, struct model_release *release)
{
    for (uint32_t i = 0; i < release->unit_count; i++) {
        struct model_unit *unit = &release->units[i];
        uint32_t number =
            pair_attribute(pair, unit->source, unit->name.data);

        if (unit->source != GRAY_SOURCE_ADDRESS) {
            unit->source = GRAY_SOURCE_ATTR;
            unit->name.data = pair->attributes[number].slot;
            unit->name.length = (uint32_t)strlen(unit->name.data);
        }
    }
}

bool pair_compile(struct pair *pair, struct pair_side *side, bool loose)
{
    const struct model_release *from = side->release;
    struct gray_model *model =
        empty_model(pair->arena, 1, side->model->list_count);
    struct rewrite r = {pair, side->model, loose, model};
    struct model_release *out = model->releases;
    const struct gray_release *release;

    *out = *from;
    out->require = rewritten(&r, from->require);
    out->deny = rewrite_rules(&r, from->deny, from->deny_count);
    out->allow = rewrite_rules(&r, from->allow, from->allow_count);
    out->match = rewrite_rules(&r, from->match, from->match_count);
    out->stages = gray_arena_array(pair->arena, from->stage_count,
                                   sizeof(*out->stages));
    for (uint32_t i = 0; i < from->stage_count; i++) {
        out->stages[i] = from->stages[i];
        out->stages[i].when = NULL; /* it is named */
    }
    out->alias = (struct model_unit){0};
    out->variants = gray_arena_take(pair->arena, sizeof(*out->variants));
    *out->variants = only_variant(pair->arena);
    out->variant_count = 1;
    if (loose) {
        loosen_units(pair, out);
    }
    if (!compile(pair, model, side)) {
        return false;
    }
    release = gray_release_at(&side->snapshot, 0);
    side->first_deny = first_rule(side, release->deny);
    side->first_allow = first_rule(side, release->allow);
    return true;
}

bool pair_compile_tests(struct pair *pair,
                        const struct pair_attribute *attribute,
                        const struct side *tests, uint32_t count)
{
    uint32_t lists = 0;
    struct gray_model *model;

    for (uint32_t i = 0; i < count; i++) {
        lists += tests[i].cond->op == GRAY_CONDITION_LIST;
    }
    model = empty_model(pair->arena, count, lists);
    for (uint32_t i = 0; i < count; i++) {
        struct rewrite r = {pair, tests[i].model, false, model};
        struct model_release *release = &model->releases[i];
        struct model_rule *rule = gray_arena_take(pair->arena, sizeof(*rule));

        rule->name = "match[0]";
        rule->when = rewritten(&r, tests[i].cond);
        if (attribute != NULL && attribute->source != GRAY_SOURCE_ADDRESS) {
            rule->when->source = GRAY_SOURCE_ATTR;
            rule->when->name = (struct model_text){
                attribute->slot, (uint32_t)strlen(attribute->slot)};
        }
        *release = (struct model_release){
            .name = gray_arena_print(pair->arena, "r%u", i),
            .salt = "s", .share = GRAY_SHARE_ALL, .unit_count = 1,
            .order = {GRAY_STEP_RULES, GRAY_STEP_END},
            .units = {{GRAY_SOURCE_ATTR, {"unit", 4}}},
            .match = rule, .match_count = 1, .variant_count = 1};
        release->variants =
            gray_arena_take(pair->arena, sizeof(*release->variants));
        *release->variants = only_variant(pair->arena);
    }
    pair_side_free(&pair->tests);
    return compile(pair, model, &pair->tests);
}

void pair_side_free(struct pair_side *side)
{
    gray_compiled_free(&side->compiled);
    *side = (struct pair_side){0};
}
