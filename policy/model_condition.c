/* SPDX-License-Identifier: Apache-2.0
 * model_condition.c - COND of docs/documents.md: a tree of tests.
 *
 * Why: a condition is a map with one key: a combinator, a source with one
 * operator, or a short form over the unit.  Words come from sources.def and
 * conditions.def, so a new row there is read here without a change.
 * Read next: model_operand.c, cond.c.
 */
#include "policy/check.h"

#include <string.h>

/* Keys of a source's map besides the operators. */
#define KEYS_MAX 40u

struct source_word {
    const char *word;
    uint8_t source;
    bool named;
};
static const struct source_word source_words[] = {
#define GRAY_SOURCE(NAME, number, word, named, doc) {word, number, named},
#include "engine/sources.def"
#undef GRAY_SOURCE
};
#define SOURCE_WORDS (sizeof(source_words) / sizeof(*source_words))

struct operator_word {
    const char *word;
    uint8_t op;
};
static const struct operator_word operator_words[] = {
#define GRAY_CONDITION(NAME, number, word, OPERAND, cost, missing, doc) \
    {word, number},
#include "engine/conditions.def"
#undef GRAY_CONDITION
};
#define OPERATOR_WORDS (sizeof(operator_words) / sizeof(*operator_words))

/* `time` is a source of its own, `segment` is a key inside of `path`. */
static const struct source_word *find_source(const char *word)
{
    for (size_t i = 0; i < SOURCE_WORDS; i++) {
        if (source_words[i].source != GRAY_SOURCE_SEGMENT &&
            strcmp(source_words[i].word, word) == 0) {
            return &source_words[i];
        }
    }
    return NULL;
}

static uint8_t find_operator(const char *word)
{
    for (size_t i = 0; i < OPERATOR_WORDS; i++) {
        if (operator_words[i].op != GRAY_CONDITION_TIME &&
            strcmp(operator_words[i].word, word) == 0) {
            return operator_words[i].op;
        }
    }
    return 0;
}

static const char *all_operators(struct gray_check *c)
{
    const char *words[OPERATOR_WORDS];
    size_t count = 0;
    for (size_t i = 0; i < OPERATOR_WORDS; i++) {
        if (operator_words[i].op != GRAY_CONDITION_TIME) {
            words[count++] = operator_words[i].word;
        }
    }
    return gray_check_words(c, words, count);
}

static const char *all_conditions(struct gray_check *c)
{
    const char *words[KEYS_MAX] = {"all", "any", "not", "list", "idTail",
                                   "percent", "mod"};
    size_t count = 7;
    for (size_t i = 0; i < SOURCE_WORDS; i++) {
        if (source_words[i].source != GRAY_SOURCE_SEGMENT) {
            words[count++] = source_words[i].word;
        }
    }
    return gray_check_words(c, words, count);
}

static bool may_ignore_case(uint8_t op)
{
    return op == GRAY_CONDITION_EXACT || op == GRAY_CONDITION_IN ||
           op == GRAY_CONDITION_NOT_IN || op == GRAY_CONDITION_PREFIX ||
           op == GRAY_CONDITION_SUFFIX || op == GRAY_CONDITION_CONTAINS ||
           op == GRAY_CONDITION_GLOB || op == GRAY_CONDITION_REGEX;
}

/* ---- one test ------------------------------------------------------------ */

/* The unit must be known wherever it is asked for; a lane's rules ask for the
 * attribute itself. */
static bool bind_unit(struct gray_check *c, const struct where *at,
                      const struct cond_scope *scope, struct cond *cond)
{
    if (cond->source != GRAY_SOURCE_UNIT) {
        return true;
    }
    if (scope->unit_count == 0) {
        return gray_check_error(c, GRAY_PROBLEM_MISSING_UNIT, at,
                                "this asks for the unit, and the document has "
                                "none; write unit: {cookie: uid}");
    }
    if (scope->lane) {
        cond->source = scope->units[0].source;
        cond->name = scope->units[0].name;
    }
    return true;
}

/* Networks are compared with the client's address alone. */
static bool fits_source(struct gray_check *c, const struct where *at,
                        const struct cond *cond)
{
    if (cond->op == GRAY_CONDITION_CIDR &&
        cond->source != GRAY_SOURCE_ADDRESS) {
        return gray_check_error(c, GRAY_PROBLEM_WRONG_SOURCE, at,
                                "cidr is an operator of `source`; write "
                                "{source: {cidr: [10.0.0.0/8]}}");
    }
    return true;
}

struct test_keys {
    const char *operator_key;
    json_t *operand, *name, *segment, *ignore_case;
};

/* Sorts the members of a source's map into name, operator and options. */
static bool split_test(struct gray_check *c, const struct where *at,
                       json_t *value, const struct source_word *source,
                       struct test_keys *ret_keys)
{
    const char *key;
    json_t *member;
    bool good = true;
    json_object_foreach (value, key, member) {
        const struct where *inner = AT_KEY(at, key);
        if (json_is_null(member)) {
            good = gray_check_error(c, GRAY_PROBLEM_BLANK, inner,
                                    "%s is blank; write a value", key);
        } else if (source->named && strcmp(key, "name") == 0) {
            ret_keys->name = member;
        } else if (source->source == GRAY_SOURCE_PATH &&
                   strcmp(key, "segment") == 0) {
            ret_keys->segment = member;
        } else if (strcmp(key, "ignoreCase") == 0) {
            ret_keys->ignore_case = member;
        } else if (find_operator(key) == 0) {
            good = gray_check_error(
                c, GRAY_PROBLEM_UNKNOWN_KEY, inner,
                "unknown key \"%.64s\"; write %sone operator: %s", key,
                source->named ? "name, and " : "", all_operators(c));
        } else if (ret_keys->operator_key != NULL) {
            good = gray_check_error(
                c, GRAY_PROBLEM_BAD_CONDITION, inner,
                "two operators, %s and %s; write {all: [..., ...]} with one "
                "each",
                ret_keys->operator_key, key);
        } else {
            ret_keys->operator_key = key;
            ret_keys->operand = member;
        }
    }
    return good;
}

static bool check_test_name(struct gray_check *c, const struct where *at,
                            const struct source_word *source,
                            const struct test_keys *keys, struct cond *cond)
{
    cond->source = source->source;
    cond->name.data = "";
    if (source->named) {
        if (keys->name == NULL) {
            return gray_check_missing(
                c, at, "name",
                gray_arena_print(c->arena, "{%s: {name: x-user, exact: a}}",
                                 source->word));
        }
        return gray_check_attribute(c, AT_KEY(at, "name"), keys->name,
                                    source->source, &cond->name);
    }
    if (keys->segment != NULL) {
        int64_t number;
        if (!gray_check_integer(c, AT_KEY(at, "segment"), keys->segment, 1,
                                64, &number)) {
            return false;
        }
        cond->source = GRAY_SOURCE_SEGMENT;
        cond->name.data = gray_arena_print(c->arena, "%d", (int)number);
        cond->name.length = (uint32_t)strlen(cond->name.data);
    }
    return true;
}

static bool check_test(struct gray_check *c, const struct where *at,
                       json_t *value, const struct source_word *source,
                       const struct cond_scope *scope, struct cond *cond)
{
    struct test_keys keys = {0};
    if (!json_is_object(value)) {
        return gray_check_error(
            c, GRAY_PROBLEM_BAD_CONDITION, at,
            "%s takes a map with one operator; write {%s: {%sexact: a}}",
            source->word, source->word, source->named ? "name: x, " : "");
    }
    bool good = split_test(c, at, value, source, &keys);
    good &= check_test_name(c, at, source, &keys, cond);
    if (keys.operator_key == NULL) {
        return good && gray_check_missing(c, at, "operator",
                                          all_operators(c));
    }
    cond->op = find_operator(keys.operator_key);
    if (keys.ignore_case != NULL) {
        const struct where *inner = AT_KEY(at, "ignoreCase");
        good &= gray_check_bool(c, inner, keys.ignore_case,
                                &cond->ignore_case);
        if (!may_ignore_case(cond->op)) {
            good = gray_check_error(c, GRAY_PROBLEM_UNKNOWN_KEY, inner,
                                    "%s does not look at letters; leave "
                                    "ignoreCase out",
                                    keys.operator_key);
        }
    }
    const struct where *inner = AT_KEY(at, keys.operator_key);
    good &= fits_source(c, inner, cond);
    good &= gray_check_operand(c, inner, keys.operand, cond);
    good &= bind_unit(c, at, scope, cond);
    return good;
}

/* ---- the tree ------------------------------------------------------------ */

static bool check_node(struct gray_check *c, const struct where *at,
                       json_t *value, const struct cond_scope *scope,
                       unsigned depth, struct cond *cond);

static bool check_children(struct gray_check *c, const struct where *at,
                           json_t *value, const struct cond_scope *scope,
                           unsigned depth, struct cond *cond)
{
    if (depth >= GRAY_CONDITION_DEPTH_MAX) {
        return gray_check_error(c, GRAY_PROBLEM_TOO_NESTED, at,
                                "all, any and not are nested deeper than %u; "
                                "write it flatter",
                                GRAY_CONDITION_DEPTH_MAX);
    }
    if (cond->kind == COND_NOT) {
        cond->child_count = 1;
        cond->children = gray_arena_take(c->arena, sizeof(*cond->children));
        return check_node(c, at, value, scope, depth + 1, cond->children);
    }
    if (!gray_check_list(c, at, value, GRAY_SET_MAX, "[COND, COND]")) {
        return false;
    }
    size_t count = json_array_size(value);
    if (count == 0) {
        return gray_check_error(c, GRAY_PROBLEM_EMPTY, at,
                                "%s has no condition inside; write at least "
                                "one",
                                at->key);
    }
    cond->child_count = (uint32_t)count;
    cond->children =
        gray_arena_array(c->arena, count, sizeof(*cond->children));
    bool good = true;
    for (size_t i = 0; i < count; i++) {
        good &= check_node(c, AT_ITEM(at, i), json_array_get(value, i),
                           scope, depth + 1, &cond->children[i]);
    }
    return good;
}

/* The unit's short forms: {list: testers}. */
static bool is_short_form(uint8_t op)
{
    return op == GRAY_CONDITION_LIST || op == GRAY_CONDITION_ID_TAIL ||
           op == GRAY_CONDITION_PERCENT || op == GRAY_CONDITION_MOD;
}

static bool check_node(struct gray_check *c, const struct where *at,
                       json_t *value, const struct cond_scope *scope,
                       unsigned depth, struct cond *cond)
{
    if (!json_is_object(value) || json_object_size(value) != 1) {
        return gray_check_error(
            c, GRAY_PROBLEM_BAD_CONDITION, at,
            "a condition is a map with one key; write {header: {name: x, "
            "exact: a}}, and {all: [..., ...]} where several must hold");
    }
    void *member = json_object_iter(value);
    const char *key = json_object_iter_key(member);
    json_t *inner = json_object_iter_value(member);
    const struct where *place = AT_KEY(at, key);
    cond->pointer = gray_check_pointer(c, at);
    cond->name.data = "";
    cond->text.data = "";
    cond->pre.data = "";
    cond->salt.data = "";
    if (json_is_null(inner)) {
        return gray_check_error(c, GRAY_PROBLEM_BLANK, place,
                                "%s is blank; write a value", key);
    }
    cond->kind = strcmp(key, "all") == 0   ? COND_ALL
                 : strcmp(key, "any") == 0 ? COND_ANY
                 : strcmp(key, "not") == 0 ? COND_NOT
                                           : COND_TEST;
    if (cond->kind != COND_TEST) {
        return check_children(c, place, inner, scope, depth, cond);
    }
    const struct source_word *source = find_source(key);
    if (source != NULL && source->source == GRAY_SOURCE_TIME) {
        cond->source = GRAY_SOURCE_TIME;
        cond->op = GRAY_CONDITION_TIME;
        return gray_check_time(c, place, inner, cond);
    }
    if (source != NULL) {
        return check_test(c, place, inner, source, scope, cond);
    }
    cond->op = find_operator(key);
    if (is_short_form(cond->op)) {
        cond->source = GRAY_SOURCE_UNIT;
        bool good = gray_check_operand(c, place, inner, cond);
        return bind_unit(c, at, scope, cond) && good;
    }
    return gray_check_error(c, GRAY_PROBLEM_UNKNOWN_CONDITION, place,
                            "unknown condition \"%.64s\"; write one of %s%s",
                            key, all_conditions(c),
                            cond->op == 0 ? ""
                                          : " (an operator stands inside of "
                                            "a source)");
}

bool gray_check_condition(struct gray_check *c, const struct where *at,
                          json_t *value, const struct cond_scope *scope,
                          struct cond *ret_cond)
{
    return check_node(c, at, value, scope, 0, ret_cond);
}

/* "allow[1]" */
static const char *rule_name(struct gray_check *c, const char *key, size_t i)
{
    char room[GRAY_DIGITS];
    const char *number = gray_digits(i, room);
    size_t before = strlen(key), length = strlen(number);
    char *name = gray_arena_take(c->arena, before + length + 3);
    memcpy(name, key, before);
    name[before] = '[';
    memcpy(name + before + 1, number, length);
    name[before + 1 + length] = ']';
    return name;
}

bool gray_check_rules(struct gray_check *c, const struct where *at,
                      json_t *value, const struct cond_scope *scope,
                      struct model_rule **ret_rules, uint32_t *ret_count)
{
    if (value == NULL) {
        return true;
    }
    if (!gray_check_list(c, at, value, GRAY_RULES_MAX, "[{list: testers}]")) {
        return false;
    }
    size_t count = json_array_size(value);
    struct model_rule *rules =
        gray_arena_array(c->arena, count, sizeof(*rules));
    struct cond *conds = gray_arena_array(c->arena, count, sizeof(*conds));
    bool good = true;
    for (size_t i = 0; i < count; i++) {
        rules[i].name = rule_name(c, at->key, i);
        rules[i].when = &conds[i];
        rules[i].lane = UINT32_MAX;
        good &= gray_check_condition(c, AT_ITEM(at, i),
                                     json_array_get(value, i), scope,
                                     &conds[i]);
    }
    *ret_rules = rules;
    *ret_count = (uint32_t)count;
    return good;
}

/* ---- where a unit is found ----------------------------------------------- */

static bool check_unit_place(struct gray_check *c, const struct where *at,
                             json_t *value, struct model_unit *unit,
                             struct model_unit *alias);

/* The name that the unit had before; its place cannot have one again. */
static bool check_alias(struct gray_check *c, const struct where *at,
                        json_t *value, struct model_unit *alias)
{
    if (alias->name.data != NULL) {
        return gray_check_error(c, GRAY_PROBLEM_DUPLICATE, at,
                                "a unit has one earlier name; keep one alias");
    }
    return check_unit_place(c, at, value, alias, NULL);
}

static bool check_unit_place(struct gray_check *c, const struct where *at,
                             json_t *value, struct model_unit *unit,
                             struct model_unit *alias)
{
    static const char example[] =
        "write {cookie: uid}, {header: x-user}, {query: u}, {attr: user}, "
        "{path: {segment: 2}} or source";
    if (json_is_string(value) &&
        strcmp(json_string_value(value), "source") == 0) {
        unit->source = GRAY_SOURCE_ADDRESS;
        unit->name.data = "";
        return true;
    }
    json_t *before = alias == NULL ? NULL : json_object_get(value, "alias");
    if (!json_is_object(value) ||
        json_object_size(value) != 1 + (before != NULL)) {
        return gray_check_error(c, GRAY_PROBLEM_BAD_UNIT, at,
                                "a unit is found in one place; %s", example);
    }
    if (before != NULL &&
        !check_alias(c, AT_KEY(at, "alias"), before, alias)) {
        return false;
    }
    void *member = json_object_iter(value);
    if (before != NULL &&
        strcmp(json_object_iter_key(member), "alias") == 0) {
        member = json_object_iter_next(value, member);
    }
    const char *key = json_object_iter_key(member);
    json_t *inner = json_object_iter_value(member);
    const struct where *place = AT_KEY(at, key);
    const struct source_word *source = find_source(key);
    if (source != NULL && source->source == GRAY_SOURCE_PATH) {
        static const char *const keys[] = {"segment"};
        json_t *segment;
        int64_t number;
        if (!gray_check_map(c, place, inner, keys, 1, &segment) ||
            (segment == NULL
                 ? !gray_check_missing(c, place, "segment", "{segment: 2}")
                 : !gray_check_integer(c, AT_KEY(place, "segment"), segment,
                                       1, 64, &number))) {
            return false;
        }
        unit->source = GRAY_SOURCE_SEGMENT;
        unit->name.data = gray_arena_print(c->arena, "%d", (int)number);
        unit->name.length = (uint32_t)strlen(unit->name.data);
        return true;
    }
    if (source == NULL || !source->named ||
        source->source == GRAY_SOURCE_LABEL) {
        return gray_check_error(c, GRAY_PROBLEM_BAD_UNIT, place,
                                "a unit cannot be found in \"%.64s\"; %s",
                                key, example);
    }
    unit->source = source->source;
    return gray_check_attribute(c, place, inner, source->source, &unit->name);
}

bool gray_check_unit(struct gray_check *c, const struct where *at,
                     json_t *value, uint32_t max,
                     struct model_unit *ret_units, uint32_t *ret_count,
                     struct model_unit *ret_alias)
{
    if (!json_is_array(value)) {
        *ret_count = 1;
        return check_unit_place(c, at, value, ret_units, ret_alias);
    }
    size_t count = json_array_size(value);
    if (count == 0 || count > max) {
        return gray_check_error(c, GRAY_PROBLEM_BAD_UNIT, at,
                                "a unit is found in 1 to %u places here, not "
                                "in %zu",
                                max, count);
    }
    bool good = true;
    for (size_t i = 0; i < count; i++) {
        good &= check_unit_place(c, AT_ITEM(at, i), json_array_get(value, i),
                                 &ret_units[i], ret_alias);
        for (size_t k = 0; k < i && good; k++) {
            if (ret_units[k].source == ret_units[i].source &&
                strcmp(ret_units[k].name.data, ret_units[i].name.data) == 0) {
                good = gray_check_error(c, GRAY_PROBLEM_DUPLICATE,
                                        AT_ITEM(at, i),
                                        "this place stands twice; keep one");
            }
        }
    }
    *ret_count = (uint32_t)count;
    return good;
}
