/* SPDX-License-Identifier: Apache-2.0
 * lint.c - documents that are allowed and still not what somebody meant.
 *
 * Why: a rule that can never be reached is the trace of a mistake, so it is an
 * error; what only looks odd is a warning; what should be known is advice.
 * Nothing here compares rules in pairs: a rule looks for its own hash, and for
 * those of its conjuncts, among the rules before it.
 * Read next: cond.c, model_operand.c (hosts in upper case).
 */
#include "policy/check.h"

#include <string.h>

/* Children of one `all` that are compared in pairs. */
#define PAIRS_MAX 64u

/* ---- never and always ---------------------------------------------------- */

static bool same_attribute(const struct cond *a, const struct cond *b)
{
    return a->kind == COND_TEST && b->kind == COND_TEST &&
           a->source == b->source && strcmp(a->name.data, b->name.data) == 0;
}

static bool in_texts(const struct cond *set, const struct model_text *text)
{
    for (uint32_t i = 0; i < set->text_count; i++) {
        if (set->texts[i].length == text->length &&
            memcmp(set->texts[i].data, text->data, text->length) == 0) {
            return true;
        }
    }
    return false;
}

/* Values that exact and in allow; both sides look at case or neither does. */
static bool values_disjoint(const struct cond *a, const struct cond *b)
{
    if (a->op == GRAY_CONDITION_EXACT && b->op == GRAY_CONDITION_EXACT) {
        return a->text.length != b->text.length ||
               memcmp(a->text.data, b->text.data, a->text.length) != 0;
    }
    if (a->op == GRAY_CONDITION_EXACT && b->op == GRAY_CONDITION_IN) {
        return !in_texts(b, &a->text);
    }
    if (a->op == GRAY_CONDITION_EXACT && b->op == GRAY_CONDITION_PREFIX) {
        return a->text.length < b->text.length ||
               memcmp(a->text.data, b->text.data, b->text.length) != 0;
    }
    if (a->op == GRAY_CONDITION_IN && b->op == GRAY_CONDITION_IN) {
        for (uint32_t i = 0; i < a->text_count; i++) {
            if (in_texts(b, &a->texts[i])) {
                return false;
            }
        }
        return true;
    }
    return false;
}

static bool contradict(const struct cond *a, const struct cond *b)
{
    /* A header may stand several times, and any of its values will do. */
    if (!same_attribute(a, b)) {
        return false;
    }
    if ((a->op == GRAY_CONDITION_ABSENT) !=
        (b->op == GRAY_CONDITION_ABSENT)) {
        const struct cond *other = a->op == GRAY_CONDITION_ABSENT ? b : a;
        return other->op != GRAY_CONDITION_NOT_IN &&
               other->op != GRAY_CONDITION_BLANK;
    }
    if (a->source == GRAY_SOURCE_HEADER || a->ignore_case != b->ignore_case) {
        return false;
    }
    if (a->op == GRAY_CONDITION_RANGE && b->op == GRAY_CONDITION_RANGE) {
        return a->end <= b->start || b->end <= a->start;
    }
    return values_disjoint(a, b) || values_disjoint(b, a);
}

static bool always_holds(const struct cond *cond);

static bool never_holds(const struct cond *cond)
{
    uint32_t never = 0;
    if (cond->kind == COND_TEST) {
        return cond->op == GRAY_CONDITION_PERCENT && cond->share == 0;
    }
    if (cond->kind == COND_NOT) {
        return always_holds(cond->children);
    }
    for (uint32_t i = 0; i < cond->child_count; i++) {
        never += never_holds(&cond->children[i]);
    }
    if (cond->kind == COND_ANY) {
        return never == cond->child_count;
    }
    for (uint32_t i = 1; i < cond->child_count && i < PAIRS_MAX; i++) {
        for (uint32_t k = 0; k < i && never == 0; k++) {
            never += contradict(&cond->children[k], &cond->children[i]);
        }
    }
    return never > 0;
}

static bool always_holds(const struct cond *cond)
{
    uint32_t always = 0;
    if (cond->kind == COND_TEST) {
        return false;
    }
    if (cond->kind == COND_NOT) {
        return never_holds(cond->children);
    }
    for (uint32_t i = 0; i < cond->child_count; i++) {
        always += always_holds(&cond->children[i]);
    }
    return cond->kind == COND_ALL ? always == cond->child_count : always > 0;
}

/* ---- rules in order ------------------------------------------------------ */

static void lint_never(struct gray_check *c, const struct cond *cond)
{
    if (cond != NULL && never_holds(cond)) {
        gray_check_say_at(c, GRAY_WARNING, GRAY_PROBLEM_NEVER_HOLDS,
                          cond->pointer,
                          "this can never hold: its parts exclude each "
                          "other; mend it, or take it out");
    }
}

/* The earlier rule that holds whenever this one does; UINT32_MAX: none. */
static uint32_t covered_by(const struct gray_model *m,
                           const struct model_rule *rules,
                           const struct gray_names *seen,
                           const struct cond *when)
{
    uint64_t hash = gray_cond_hash(when, m);
    uint32_t number =
        gray_names_find(seen, (const char *)&hash, sizeof(hash));
    if (number != UINT32_MAX &&
        gray_cond_equal(rules[number].when, m, when, m)) {
        return number;
    }
    if (when->kind != COND_ALL) {
        return UINT32_MAX;
    }
    for (uint32_t i = 0; i < when->child_count; i++) {
        number = covered_by(m, rules, seen, &when->children[i]);
        if (number != UINT32_MAX) {
            return number;
        }
    }
    return UINT32_MAX;
}

static void say_unreachable(struct gray_check *c,
                            const struct model_rule *rule,
                            const struct model_rule *earlier)
{
    gray_check_say_at(c, GRAY_ERROR, GRAY_PROBLEM_UNREACHABLE_RULE,
                      rule->when == NULL ? "" : rule->when->pointer,
                      "rule %s is never reached: %s holds whenever this one "
                      "does and is asked first; take it out, or put the "
                      "narrower one first",
                      rule->name, earlier->name);
}

/* Names the Lane a rule belongs to before speaking of it. */
static void speak_of_lane(struct gray_check *c, const struct model_rule *rule)
{
    if (rule->lane != UINT32_MAX) {
        c->document = gray_check_find(c, KIND_LANE,
                                      c->model->lanes[rule->lane].name);
    }
}

static void lint_rules(struct gray_check *c, const struct model_rule *rules,
                       uint32_t count)
{
    struct gray_names seen = {.arena = c->arena};
    uint32_t all = UINT32_MAX; /* the first rule that always holds */
    for (uint32_t i = 0; i < count; i++) {
        const struct cond *when = rules[i].when;
        uint32_t earlier = all;
        speak_of_lane(c, &rules[i]);
        if (earlier == UINT32_MAX && when != NULL) {
            earlier = covered_by(c->model, rules, &seen, when);
        }
        if (earlier != UINT32_MAX) {
            say_unreachable(c, &rules[i], &rules[earlier]);
            continue;
        }
        lint_never(c, when);
        if (when == NULL || always_holds(when)) {
            all = i;
            continue;
        }
        uint64_t hash = gray_cond_hash(when, c->model);
        const char *key =
            gray_arena_copy(c->arena, (const char *)&hash, sizeof(hash));
        gray_names_add(&seen, key, sizeof(hash), i, NULL);
    }
}

/* ---- single conditions --------------------------------------------------- */

static bool is_text_source(uint8_t source)
{
    return source == GRAY_SOURCE_METHOD || source == GRAY_SOURCE_HOST ||
           source == GRAY_SOURCE_PATH || source == GRAY_SOURCE_CALLER ||
           source == GRAY_SOURCE_GRPC_SERVICE ||
           source == GRAY_SOURCE_GRPC_METHOD || source == GRAY_SOURCE_ADDRESS;
}

static bool is_stripped(const struct cond *cond)
{
    return cond->source == GRAY_SOURCE_HEADER &&
           strncmp(cond->name.data, "x-gray-", 7) == 0;
}

static void lint_tests(struct gray_check *c, const struct cond *cond,
                       bool text_unit)
{
    if (cond == NULL) {
        return;
    }
    for (uint32_t i = 0; i < cond->child_count; i++) {
        lint_tests(c, &cond->children[i], text_unit);
    }
    if (cond->kind != COND_TEST) {
        return;
    }
    bool text = is_text_source(cond->source) ||
                (cond->source == GRAY_SOURCE_UNIT && text_unit);
    if (text && cond->op == GRAY_CONDITION_MOD) {
        gray_check_say_at(c, GRAY_WARNING, GRAY_PROBLEM_MOD_NOT_NUMERIC,
                          cond->pointer,
                          "mod matches numeric ids alone, and this may be a "
                          "text; write {percent: {share: 10, salt: x}}, which "
                          "takes any");
    }
    if (is_stripped(cond)) {
        gray_check_say_at(c, GRAY_WARNING, GRAY_PROBLEM_STRIPPED_HEADER,
                          cond->pointer,
                          "the edge takes %s away before rules are asked; "
                          "match a header of your own",
                          cond->name.data);
    }
}

/* Whether a list over the unit has ids that are no numbers. */
static bool lists_have_texts(const struct gray_model *model,
                             const struct model_rule *rules, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct cond *when = rules[i].when;
        if (when == NULL || when->kind != COND_TEST ||
            when->op != GRAY_CONDITION_LIST ||
            when->source != GRAY_SOURCE_UNIT) {
            continue;
        }
        const struct model_list *list = &model->lists[when->list];
        uint64_t last = list->id_count;
        /* Letters sort behind digits, so the last id tells. */
        if (last > 0 && (list->ids[last - 1].data[0] > '9' ||
                         list->ids[0].data[0] < '0')) {
            return true;
        }
    }
    return false;
}

static bool unit_is_text(const struct gray_model *model,
                         const struct model_release *release)
{
    for (uint32_t i = 0; i < release->unit_count; i++) {
        if (is_text_source(release->units[i].source)) {
            return true;
        }
    }
    return lists_have_texts(model, release->allow, release->allow_count) ||
           lists_have_texts(model, release->deny, release->deny_count);
}

static void lint_rule_tests(struct gray_check *c,
                            const struct model_rule *rules, uint32_t count,
                            bool text_unit)
{
    for (uint32_t i = 0; i < count; i++) {
        lint_tests(c, rules[i].when, text_unit);
    }
}

/* Stages that only read never find a mark where nothing makes one. */
static void lint_stages(struct gray_check *c,
                        const struct model_release *release)
{
    uint32_t writing = 0;
    for (uint32_t i = 0; i < release->stage_count; i++) {
        const struct model_stage *stage = &release->stages[i];
        writing +=
            stage->writes || stage->on_missing == GRAY_MISSING_BACKFILL;
        lint_never(c, stage->when);
        lint_tests(c, stage->when, false);
    }
    if (release->stage_count != 0 && writing == 0) {
        gray_check_say(c, GRAY_WARNING, GRAY_PROBLEM_NOTHING_WRITES,
                       AT_KEY(NULL, "stages"),
                       "no stage writes, so nobody is ever let in; write "
                       "writes: true where a unit is created");
    }
}

static void lint_release(struct gray_check *c,
                         const struct model_release *release)
{
    bool text = unit_is_text(c->model, release);
    c->document = gray_check_find(c, KIND_RELEASE, release->name);
    lint_rules(c, release->deny, release->deny_count);
    lint_rules(c, release->allow, release->allow_count);
    lint_rules(c, release->match, release->match_count);
    lint_never(c, release->require);
    lint_stages(c, release);
    lint_rule_tests(c, release->deny, release->deny_count, text);
    lint_rule_tests(c, release->allow, release->allow_count, text);
    lint_rule_tests(c, release->match, release->match_count, text);
    lint_tests(c, release->require, text);
    if (release->share == 0 || release->anonymous == GRAY_ANONYMOUS_COOKIE) {
        return;
    }
    gray_check_say(c, GRAY_ADVICE, GRAY_PROBLEM_ANONYMOUS,
                   AT_KEY(NULL, "admission"),
                   release->anonymous == GRAY_ANONYMOUS_RANDOM
                       ? "requests without a unit are dealt at random, each "
                         "anew: such a user changes sides; write anonymous: "
                         "cookie to keep them"
                       : "requests without a unit stay with the baseline; "
                         "write anonymous: cookie to count them in");
}

void gray_model_warn_durable(const struct gray_model *model,
                             struct gray_findings *findings)
{
    size_t first = findings->count;
    for (uint32_t i = 0; i < model->release_count; i++) {
        const struct model_release *release = &model->releases[i];
        char document[sizeof("Release/") + GRAY_NAME_MAX];
        struct gray_finding_head head = {.severity = GRAY_WARNING,
                                         .problem = GRAY_PROBLEM_ONLY_IN_MEMORY,
                                         .pointer = "/durability",
                                         .document = document};
        if (release->durability != GRAY_DURABLE_STRICT) {
            continue;
        }
        snprintf(document, sizeof(document), "Release/%s", release->name);
        gray_findings_add(findings, &head,
                          "only grayd makes marks durable: without it this "
                          "release admits nobody new (gray apply in place of "
                          "gray publish, or durability: async)");
    }
    gray_model_locate(model, findings, first);
}

/* ---- all together -------------------------------------------------------- */

static void lint_lanes(struct gray_check *c)
{
    const struct gray_model *m = c->model;
    for (uint32_t i = 0; i < m->entrance_count; i++) {
        /* The unnamed entrance has the rules of every other but theirs; what
         * is said there is not said again. */
        size_t errors = c->findings->errors;
        lint_rules(c, m->entrances[i].lane_rules,
                   m->entrances[i].lane_rule_count);
        if (c->findings->errors != errors) {
            break;
        }
    }
    for (uint32_t i = 0; i < m->entrance_count; i++) {
        const struct model_entrance *entrance = &m->entrances[i];
        for (uint32_t r = 0; i == 0 && r < entrance->lane_rule_count; r++) {
            speak_of_lane(c, &entrance->lane_rules[r]);
            lint_tests(c, entrance->lane_rules[r].when, false);
        }
    }
}

static void lint_unused(struct gray_check *c)
{
    for (uint32_t i = 0; i < c->model->list_count; i++) {
        if (!c->list_used[i]) {
            const char *name = c->model->lists[i].name;
            c->document = gray_check_find(c, KIND_LIST, name);
            gray_check_say(c, GRAY_WARNING, GRAY_PROBLEM_UNUSED_LIST,
                           AT_KEY(NULL, "name"),
                           "no rule asks for List %s; write {list: %s} in "
                           "one, or take it out",
                           name, name);
        }
    }
    for (uint32_t i = 0; i < c->model->lane_count; i++) {
        const struct model_lane *lane = &c->model->lanes[i];
        c->document = gray_check_find(c, KIND_LANE, lane->name);
        if (json_object_get(c->document->tree, "rules") == NULL) {
            gray_check_say(c, GRAY_ADVICE, GRAY_PROBLEM_UNUSED_LANE, NULL,
                           "no rule leads into this lane; it is entered by a "
                           "colour that a request brings, or by a fallback, "
                           "alone");
        }
    }
}

void gray_check_lint(struct gray_check *c)
{
    for (uint32_t i = 0; i < c->model->release_count; i++) {
        lint_release(c, &c->model->releases[i]);
    }
    lint_lanes(c);
    lint_unused(c);
    c->document = NULL;
}
