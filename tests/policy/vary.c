/* SPDX-License-Identifier: Apache-2.0
 * vary.c - see vary.h.
 *
 * Why: each edit is one that people make, in either direction, so that about
 * half of them narrow.
 * Read next: vary_print.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/policy/vary.h"

static struct piece {
    struct piece *next;
    struct vary_node node;
} *pieces;

static struct vary_node *new_node(void)
{
    struct piece *piece = calloc(1, sizeof(*piece));

    if (piece == NULL) {
        abort();
    }
    piece->next = pieces;
    pieces = piece;
    return &piece->node;
}

void vary_free(void)
{
    while (pieces != NULL) {
        struct piece *next = pieces->next;

        free(pieces);
        pieces = next;
    }
}

uint32_t vary_below(struct vary_dice *dice, uint32_t n)
{
    dice->state += 0x9e3779b97f4a7c15u;
    return (uint32_t)(gray_mix64(dice->state) >> 33) % n;
}

static bool one_in(struct vary_dice *dice, uint32_t n)
{
    return vary_below(dice, n) == 0;
}

/* ---- tests -------------------------------------------------------------------- */

static const char *const texts[VARY_ATTRIBUTES][6] = {
    [VARY_PLAN] = {"gold", "silver", "bronze", "gold-plus", "Gold", "free"},
    [VARY_REGION] = {"hz", "sh", "bj", "sz", "hzx", "s"},
    [VARY_PATH] = {"/cart", "/cart/1", "/order", "/order/9", "/", "/car"},
    [VARY_HOST] = {"a.shop.com", "b.shop.com", "shop.com", "shop.org", "a",
                   "x.a.shop.com"},
    [VARY_QUERY] = {"beta", "alpha", "be", "b", "canary", "off"},
    [VARY_UID] = {"100", "101", "7", "2000", "31", "99999"},
};
static const char *const versions[] = {"1.2.3", "1.2.4", "1.3.0", "2.0.0",
                                       "2.0.0-rc.1", "0.9.9"};
static const char *const signs[] = {">=", ">", "<=", "<", "=", "~", "^", "!="};

static void fill_text(struct vary_dice *d, struct vary_node *test)
{
    const char *text = texts[test->attribute][vary_below(d, 6)];
    size_t length = strlen(text), cut;

    snprintf(test->text, sizeof(test->text), "%s", text);
    cut = length > 1 ? 1 + vary_below(d, (uint32_t)length) : length;
    if (test->op == GRAY_CONDITION_PREFIX ||
        test->op == GRAY_CONDITION_CONTAINS) {
        test->text[cut] = '\0';
    } else if (test->op == GRAY_CONDITION_SUFFIX) {
        memmove(test->text, text + length - cut, cut + 1);
    } else if (test->op == GRAY_CONDITION_GLOB) {
        snprintf(test->text, sizeof(test->text), "%.*s*", (int)cut, text);
    } else if (test->op == GRAY_CONDITION_REGEX) {
        snprintf(test->text, sizeof(test->text), "(%s|%.*s.*)",
                 texts[test->attribute][vary_below(d, 6)], (int)cut, text);
        for (char *c = test->text; *c != '\0'; c++) {
            *c = *c == '.' && c[1] != '*' ? '-' : *c; /* no escapes */
        }
    }
}

static void put_value(struct vary_node *test, int32_t value)
{
    for (uint32_t i = 0; i < test->count; i++) {
        if (test->values[i] == value) {
            return;
        }
    }
    if (test->count < VARY_VALUES) {
        test->values[test->count++] = value;
    }
}

static int32_t tail_below(uint32_t width)
{
    return width == 1 ? 10 : width == 2 ? 100 : 1000;
}

static void fill_uid(struct vary_dice *d, struct vary_node *test)
{
    static const uint8_t ops[] = {
        GRAY_CONDITION_ID_TAIL, GRAY_CONDITION_ID_TAIL, GRAY_CONDITION_RANGE,
        GRAY_CONDITION_MOD, GRAY_CONDITION_LIST, GRAY_CONDITION_PERCENT,
        GRAY_CONDITION_IN, GRAY_CONDITION_PREFIX, GRAY_CONDITION_SUFFIX,
        GRAY_CONDITION_REGEX};

    test->op = ops[vary_below(d, sizeof(ops))];
    test->unit = one_in(d, 2);
    switch (test->op) {
    case GRAY_CONDITION_ID_TAIL:
        test->width = 1 + vary_below(d, 2);
        for (uint32_t i = 1 + vary_below(d, 5); i > 0; i--) {
            put_value(test, (int32_t)vary_below(
                                d, (uint32_t)tail_below(test->width)));
        }
        break;
    case GRAY_CONDITION_RANGE:
        test->number[0] = vary_below(d, 3000);
        test->number[1] = test->number[0] + 1 + vary_below(d, 15000);
        break;
    case GRAY_CONDITION_MOD:
        test->number[0] = 2 + vary_below(d, 30);
        for (uint32_t i = 1 + vary_below(d, 4); i > 0; i--) {
            put_value(test, (int32_t)vary_below(
                                d, (uint32_t)test->number[0]));
        }
        break;
    case GRAY_CONDITION_LIST:
        put_value(test, (int32_t)vary_below(d, 2));
        break;
    case GRAY_CONDITION_PERCENT:
        test->number[0] = 1 + vary_below(d, 60);
        snprintf(test->text, sizeof(test->text), "s%u", vary_below(d, 3));
        break;
    case GRAY_CONDITION_IN:
        for (uint32_t i = 1 + vary_below(d, 4); i > 0; i--) {
            put_value(test, (int32_t)vary_below(d, 6));
        }
        break;
    default:
        fill_text(d, test);
        break;
    }
}

static void fill_any_text(struct vary_dice *d, struct vary_node *test)
{
    static const uint8_t ops[] = {
        GRAY_CONDITION_EXACT, GRAY_CONDITION_IN, GRAY_CONDITION_IN,
        GRAY_CONDITION_NOT_IN, GRAY_CONDITION_PREFIX, GRAY_CONDITION_SUFFIX,
        GRAY_CONDITION_CONTAINS, GRAY_CONDITION_GLOB, GRAY_CONDITION_REGEX,
        GRAY_CONDITION_PRESENT, GRAY_CONDITION_ABSENT, GRAY_CONDITION_BLANK};

    test->op = ops[vary_below(d, sizeof(ops))];
    if (one_in(d, 12)) { /* buckets of plans and regions */
        test->op = GRAY_CONDITION_PERCENT;
        test->number[0] = 10 + vary_below(d, 60);
        strcpy(test->text, "plans");
        return;
    }
    test->ignore_case = test->attribute == VARY_PLAN && one_in(d, 4);
    if (test->op == GRAY_CONDITION_IN || test->op == GRAY_CONDITION_NOT_IN) {
        for (uint32_t i = 1 + vary_below(d, 3); i > 0; i--) {
            put_value(test, (int32_t)vary_below(d, 6));
        }
    } else {
        fill_text(d, test);
    }
}

static struct vary_node *new_test(struct vary_dice *d)
{
    static const enum vary_attribute common[] = {
        VARY_UID, VARY_UID, VARY_UID, VARY_PLAN, VARY_PLAN, VARY_REGION,
        VARY_REGION, VARY_PATH, VARY_HOST, VARY_QUERY, VARY_VERSION,
        VARY_DATE, VARY_SOURCE, VARY_TIME};
    struct vary_node *test = new_node();

    test->attribute = common[vary_below(d, 14)];
    switch (test->attribute) {
    case VARY_UID:
        fill_uid(d, test);
        break;
    case VARY_VERSION:
        test->op = GRAY_CONDITION_SEMVER;
        snprintf(test->text, sizeof(test->text), "%s%s",
                 signs[vary_below(d, 8)], versions[vary_below(d, 6)]);
        break;
    case VARY_DATE:
        test->op = GRAY_CONDITION_DATE;
        test->number[0] = 1 + vary_below(d, 5);
        test->number[1] = 6 + vary_below(d, 6);
        break;
    case VARY_SOURCE:
        test->op = GRAY_CONDITION_CIDR;
        test->number[0] = vary_below(d, 3);
        test->number[1] = 8 + 4 * vary_below(d, 5);
        break;
    case VARY_TIME:
        test->op = GRAY_CONDITION_TIME;
        test->number[0] = vary_below(d, 12);
        test->number[1] = 12 + vary_below(d, 11);
        put_value(test, (int32_t)vary_below(d, 3));
        break;
    default:
        fill_any_text(d, test);
        break;
    }
    return test;
}

static struct vary_node *join(enum vary_kind kind, struct vary_node *a,
                              struct vary_node *b)
{
    struct vary_node *node = new_node();

    node->kind = kind;
    node->children[node->child_count++] = a;
    if (b != NULL) {
        node->children[node->child_count++] = b;
    }
    return node;
}

/* Two tests of a header, which two values of it can meet and one cannot. */
static struct vary_node *new_both(struct vary_dice *d)
{
    struct vary_node *two[2];

    for (int i = 0; i < 2; i++) {
        two[i] = new_node();
        two[i]->attribute = VARY_PLAN;
        fill_any_text(d, two[i]);
    }
    return join(VARY_ALL, two[0], two[1]);
}

/* A list over the unit, as testers are let in and customers kept out. */
static struct vary_node *new_list(struct vary_dice *d)
{
    struct vary_node *test = new_node();

    test->op = GRAY_CONDITION_LIST;
    test->unit = true;
    put_value(test, (int32_t)vary_below(d, 2));
    return test;
}

static struct vary_node *new_tree(struct vary_dice *d, uint32_t depth)
{
    if (one_in(d, 12)) {
        return new_both(d);
    }
    uint32_t kind = vary_below(d, depth == 0 ? 4 : depth == 1 ? 8 : 99);

    return kind == 0   ? join(VARY_ALL, new_tree(d, depth + 1),
                              new_tree(d, depth + 1))
           : kind == 1 ? join(VARY_ANY, new_tree(d, depth + 1),
                              new_tree(d, depth + 1))
           : kind == 2 && depth > 0
               ? join(VARY_NOT, new_tree(d, depth + 2), NULL)
               : new_test(d);
}

static struct vary_node *copy_tree(const struct vary_node *from)
{
    struct vary_node *to = new_node();

    *to = *from;
    for (uint32_t i = 0; i < from->child_count; i++) {
        to->children[i] = copy_tree(from->children[i]);
    }
    return to;
}

/* ---- edits of one test ------------------------------------------------------------ */

static void edit_values(struct vary_dice *d, struct vary_node *test,
                        uint32_t below)
{
    if (one_in(d, 2) || test->count < 2) {
        put_value(test, (int32_t)vary_below(d, below));
    } else {
        test->values[vary_below(d, test->count)] =
            test->values[test->count - 1];
        test->count--;
    }
}

static void edit_tails(struct vary_dice *d, struct vary_node *test)
{
    if (one_in(d, 4) && test->width == 2) { /* 07 becomes 7 */
        test->width = 1;
        for (uint32_t i = 0; i < test->count; i++) {
            test->values[i] %= 10;
        }
        for (uint32_t i = test->count; i-- > 1;) {
            for (uint32_t k = 0; k < i; k++) {
                if (test->values[k] == test->values[i]) {
                    test->values[i] = test->values[--test->count];
                    break;
                }
            }
        }
        return;
    }
    if (one_in(d, 4) && test->width == 1) { /* 7 becomes 07, 17, ... 97 */
        int32_t tail = test->values[0];

        test->width = 2;
        for (test->count = 0; test->count < 10; test->count++) {
            test->values[test->count] = (int32_t)test->count * 10 + tail;
        }
        return;
    }
    edit_values(d, test, (uint32_t)tail_below(test->width));
}

static void edit_number(struct vary_dice *d, int64_t *number, int64_t least,
                        int64_t most)
{
    int64_t step = 1 + vary_below(d, (uint32_t)((most - least) / 4 + 1));

    *number += one_in(d, 2) ? step : -step;
    *number = *number < least ? least : *number > most ? most : *number;
}

/* The same thing, or nearly, by another operator. */
static void edit_text(struct vary_dice *d, struct vary_node *test)
{
    size_t length = strlen(test->text);
    char old[64];

    strcpy(old, test->text);
    if (test->op == GRAY_CONDITION_PREFIX && one_in(d, 3)) {
        test->op = GRAY_CONDITION_GLOB;
        snprintf(test->text, sizeof(test->text), "%.50s*", old);
    } else if (test->op == GRAY_CONDITION_EXACT && one_in(d, 2)) {
        test->op = one_in(d, 2) ? GRAY_CONDITION_PREFIX
                                : GRAY_CONDITION_SUFFIX;
    } else if (test->op == GRAY_CONDITION_PREFIX && length > 1 &&
               one_in(d, 2)) {
        test->text[length - 1] = '\0';
    } else if (test->op == GRAY_CONDITION_SUFFIX && length > 1 &&
               one_in(d, 2)) {
        memmove(test->text, old + 1, length);
    } else {
        fill_text(d, test);
    }
}

static void edit_test(struct vary_dice *d, struct vary_node *test)
{
    switch (test->op) {
    case GRAY_CONDITION_ID_TAIL:
        edit_tails(d, test);
        break;
    case GRAY_CONDITION_RANGE:
        edit_number(d, &test->number[0], 0, test->number[1] - 1);
        edit_number(d, &test->number[1], test->number[0] + 1, 20000);
        break;
    case GRAY_CONDITION_MOD:
        edit_values(d, test, (uint32_t)test->number[0]);
        break;
    case GRAY_CONDITION_PERCENT:
        edit_number(d, &test->number[0], 1, 90);
        break;
    case GRAY_CONDITION_IN:
    case GRAY_CONDITION_NOT_IN:
        edit_values(d, test, 6);
        break;
    case GRAY_CONDITION_CIDR:
        edit_number(d, &test->number[1], 8, 28);
        break;
    case GRAY_CONDITION_SEMVER:
        snprintf(test->text, sizeof(test->text), "%s%s",
                 signs[vary_below(d, 8)], versions[vary_below(d, 6)]);
        break;
    case GRAY_CONDITION_DATE:
        edit_number(d, &test->number[one_in(d, 2)], 1, 12);
        if (test->number[0] >= test->number[1]) {
            test->number[0] = 1;
            test->number[1] = 12;
        }
        break;
    case GRAY_CONDITION_TIME:
        edit_number(d, &test->number[0], 0, 11);
        edit_number(d, &test->number[1], 12, 23);
        break;
    case GRAY_CONDITION_LIST:
    case GRAY_CONDITION_PRESENT:
    case GRAY_CONDITION_ABSENT:
    case GRAY_CONDITION_BLANK:
        break;
    default:
        edit_text(d, test);
        break;
    }
}

/* ---- edits of a tree ----------------------------------------------------------------- */

/* not (any of not a, not b) for (all of a, b), and the other way round. */
static struct vary_node *turned(struct vary_node *node)
{
    struct vary_node *in = new_node();

    if (node->kind != VARY_ALL && node->kind != VARY_ANY) {
        return join(VARY_NOT, join(VARY_NOT, node, NULL), NULL);
    }
    in->kind = node->kind == VARY_ALL ? VARY_ANY : VARY_ALL;
    for (uint32_t i = 0; i < node->child_count; i++) {
        in->children[in->child_count++] =
            join(VARY_NOT, node->children[i], NULL);
    }
    return join(VARY_NOT, in, NULL);
}

static struct vary_node *edit_tree(struct vary_dice *d, struct vary_node *node,
                                   uint32_t depth)
{
    uint32_t what = vary_below(d, 10);

    if (node->kind != VARY_TEST && what < 6) {
        uint32_t i = vary_below(d, node->child_count);

        node->children[i] = edit_tree(d, node->children[i], depth + 1);
        return node;
    }
    switch (what) {
    case 6:
        return depth < 3 ? join(VARY_ANY, node, new_test(d)) : node;
    case 7:
        return depth < 3 && one_in(d, 3) ? join(VARY_ALL, node, new_test(d))
                                         : node;
    case 8:
        return depth < 2 ? turned(node) : node;
    case 9:
        return node->child_count > 1
                   ? node->children[vary_below(d, node->child_count)]
                   : node;
    default:
        if (node->kind == VARY_TEST) {
            edit_test(d, node);
        }
        return node;
    }
}

/* ---- edits of a release ---------------------------------------------------------------- */

static void edit_rules(struct vary_dice *d, struct vary_node **rules,
                       uint32_t *count)
{
    uint32_t i = *count > 0 ? vary_below(d, *count) : 0;
    struct vary_node *rule = *count > 0 ? rules[i] : NULL;

    switch (vary_below(d, *count > 0 ? 8 : 1)) {
    case 0:
        if (*count < VARY_RULES) {
            rules[(*count)++] = new_tree(d, 1);
        }
        break;
    case 1:
        if (*count > 1) {
            rules[i] = rules[--*count];
        }
        break;
    case 2: /* one rule becomes two, or two become one */
        if (rule->kind == VARY_ANY && rule->child_count == 2 &&
            *count < VARY_RULES) {
            rules[i] = rule->children[0];
            rules[(*count)++] = rule->children[1];
        } else if (*count > 1 && i + 1 < *count) {
            rules[i] = join(VARY_ANY, rules[i], rules[*count - 1]);
            --*count;
        }
        break;
    default:
        rules[i] = edit_tree(d, rule, 1);
        break;
    }
}

static void edit_ids(struct vary_dice *d, struct vary_release *release)
{
    uint32_t list = vary_below(d, 2);
    uint32_t *count = &release->id_count[list];

    if (one_in(d, 2) && *count > 1) {
        release->ids[list][vary_below(d, *count)] =
            release->ids[list][*count - 1];
        --*count;
    } else if (*count < VARY_IDS) {
        release->ids[list][(*count)++] = (int32_t)vary_below(d, 20000);
    }
}

static void edit(struct vary_dice *d, struct vary_release *release)
{
    switch (vary_below(d, 12)) {
    case 0:
        if (one_in(d, 2)) {
            edit_rules(d, release->deny, &release->deny_count);
        }
        break;
    case 1:
    case 2:
        edit_rules(d, release->allow, &release->allow_count);
        break;
    case 3:
    case 4:
        edit_ids(d, release);
        break;
    case 5:
        release->share += 1 + vary_below(d, 100 - release->share + 1);
        release->share = release->share > 100 ? 100 : release->share;
        break;
    case 6:
        if (one_in(d, 4)) {
            release->turned = !release->turned;
        }
        break;
    default:
        edit_rules(d, release->match, &release->match_count);
        break;
    }
}

/* `lists`: every other rule is a list of ids. */
static void make_rules(struct vary_dice *d, struct vary_node **rules,
                       uint32_t *count, uint32_t most, bool lists)
{
    for (*count = 0; *count < most; ++*count) {
        rules[*count] = lists && one_in(d, 2) ? new_list(d) : new_tree(d, 0);
    }
}

static void copy_rules(struct vary_node **rules, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        rules[i] = copy_tree(rules[i]);
    }
}

void vary_pair(uint64_t seed, struct vary_release *ret_old,
               struct vary_release *ret_new)
{
    struct vary_dice d = {seed * 2 + 1};
    struct vary_release *old = ret_old, *now = ret_new;
    uint32_t edits;

    memset(old, 0, sizeof(*old));
    make_rules(&d, old->match, &old->match_count, 1 + vary_below(&d, 3),
               false);
    make_rules(&d, old->allow, &old->allow_count, vary_below(&d, 3), true);
    make_rules(&d, old->deny, &old->deny_count, one_in(&d, 3), true);
    old->require = one_in(&d, 4) ? new_tree(&d, 1) : NULL;
    old->share = 1 + vary_below(&d, 100);
    old->entity = one_in(&d, 5);
    for (uint32_t list = 0; list < 2; list++) {
        for (uint32_t i = 1 + vary_below(&d, 6); i > 0; i--) {
            old->ids[list][old->id_count[list]++] =
                (int32_t)vary_below(&d, 20000);
        }
    }
    *now = *old;
    copy_rules(now->match, now->match_count);
    copy_rules(now->allow, now->allow_count);
    copy_rules(now->deny, now->deny_count);
    for (edits = 1 + vary_below(&d, 3); edits > 0; edits--) {
        edit(&d, now);
    }
}
