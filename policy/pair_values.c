/* SPDX-License-Identifier: Apache-2.0
 * pair_values.c - what may stand in each attribute, and when.
 *
 * Why: the classes of an attribute (classes.c) are held against the engine's
 * own answers, and those that it cannot tell apart are one.  A header may have
 * several values of which each is tried, so there every union of answers is a
 * choice.  Windows of time change at their hours and days; a week in winter and
 * one in summer meet every piece, and so do the moments at which they begin and
 * end.
 * Read next: exact.c.
 */
#include "policy/pair.h"

#include <stdlib.h>
#include <string.h>

#include "policy/zone.h"

#define DAY_MS INT64_C(86400000)
#define UNIONS_MAX 512u

/* ---- the engine's answers ----------------------------------------------------------- */

static void give(struct gray_input *in, const struct pair_attribute *attribute,
                 struct model_text value)
{
    struct gray_str name = {attribute->slot,
                            (uint32_t)strlen(attribute->slot)};

    if (attribute->source == GRAY_SOURCE_ADDRESS) {
        uint8_t address[16];

        if (pair_address(value, address)) {
            gray_input_address(in, address);
        }
        return;
    }
    gray_input_named(in, GRAY_SOURCE_ATTR, name,
                     (struct gray_str){value.data, value.length});
}

static void ask_tests(const struct pair_side *tests, struct gray_input *in,
                      struct answers *ret)
{
    static const struct gray_str unit = {"unit", 4}, one = {"1", 1};

    gray_input_named(in, GRAY_SOURCE_ATTR, unit, one);
    memset(ret, 0, sizeof(*ret));
    for (uint32_t i = 0; i < tests->snapshot.policy->releases.count; i++) {
        struct gray_verdict verdict;

        gray_decide_release(&tests->view, i, in, NULL, NULL, &verdict, NULL);
        if (verdict.in) {
            answer_put(ret, i);
        }
    }
}

/* Do engine and automata agree?  The engine's answers in *ret, turned so that
 * a value of several is what any of them is. */
static bool agree(struct pair *pair, const struct pair_attribute *attribute,
                  const struct pair_side *tests,
                  const struct value_class *item, struct answers *ret)
{
    struct gray_input in;

    gray_input_begin(&in, &tests->snapshot, 0, 0);
    give(&in, attribute, item->text);
    ask_tests(tests, &in, ret);
    for (uint32_t i = 0; i < attribute->atom_count; i++) {
        const struct atom *atom = &attribute->atoms[i];
        bool says = answer_of(ret, i);

        if (atom->side.cond->op == GRAY_CONDITION_NOT_IN) {
            says = !says;
            ret->word[i / 64] ^= UINT64_C(1) << (i % 64);
        }
        if ((gray_atom_runs(atom) || atom->kind == ATOM_LIST) &&
            attribute->source != GRAY_SOURCE_ADDRESS &&
            says != answer_of(&item->answers, i)) {
            pair->why = "its values are read otherwise than expected";
            return false;
        }
    }
    if (item->text.length > 0) {
        answer_put(ret, GRAY_ATOMS_MAX);
    }
    return true;
}

/* ---- choices --------------------------------------------------------------------------- */

static void put_choice(struct pair *pair, struct pair_attribute *attribute,
                       const uint32_t *values, uint32_t count)
{
    struct pair_choice *choice;

    if (attribute->choice_count == PAIR_CHOICES_MAX) {
        pair->why = "an attribute has too many sorts of values";
        return;
    }
    if (attribute->choice_count == attribute->choice_capacity) {
        uint32_t capacity = attribute->choice_capacity == 0
                                ? 16
                                : attribute->choice_capacity * 2;
        struct pair_choice *more =
            gray_arena_array(pair->arena, capacity, sizeof(*more));

        if (attribute->choice_count > 0) {
            memcpy(more, attribute->choices,
                   attribute->choice_count * sizeof(*more));
        }
        attribute->choices = more;
        attribute->choice_capacity = capacity;
    }
    choice = &attribute->choices[attribute->choice_count++];
    choice->values = gray_arena_array(pair->arena, count, sizeof(uint32_t));
    choice->count = count;
    if (count > 0) {
        memcpy(choice->values, values, count * sizeof(*values));
    }
}

struct several {
    struct answers answers;
    uint32_t first, rest; /* a class; the union that it was added to */
    uint32_t count;
};

static struct answers joined(const struct answers *a, const struct answers *b)
{
    struct answers both = *a;

    for (uint32_t i = 0; i <= GRAY_ATOMS_MAX / 64; i++) {
        both.word[i] |= b->word[i];
    }
    return both;
}

/* A union as a choice; where the unit stands there, its first value is the
 * unit, whichever of those it has. */
static void put_several(struct pair *pair, struct pair_attribute *attribute,
                        const struct several *all, uint32_t number,
                        const struct answers *own, const uint32_t *classes,
                        uint32_t class_count)
{
    uint32_t values[GRAY_VALUES_MAX], count = 1;

    if (all[number].count + 1 >= GRAY_VALUES_MAX / 2) {
        pair->why = "a header has too many sorts of values";
        return;
    }
    for (uint32_t at = number; at != UINT32_MAX; at = all[at].rest) {
        values[count++] = all[at].first;
    }
    for (uint32_t i = 0; attribute->unit && i < class_count; i++) {
        struct answers with = joined(&all[number].answers, &own[i]);

        if (answers_equal(&with, &all[number].answers)) {
            bool alone = count == 2 && classes[i] == values[1];

            values[0] = classes[i];
            put_choice(pair, attribute, values, alone ? 1 : count);
        }
    }
    if (!attribute->unit) {
        put_choice(pair, attribute, values + 1, count - 1);
    }
}

static void put_unions(struct pair *pair, struct pair_attribute *attribute,
                       const struct answers *own, const uint32_t *classes,
                       uint32_t class_count)
{
    struct several *all =
        gray_arena_array(pair->arena, UNIONS_MAX + 1, sizeof(*all));
    uint32_t count = 0;

    for (uint32_t i = 0; i < class_count && count < UNIONS_MAX; i++) {
        all[count++] = (struct several){own[i], classes[i], UINT32_MAX, 1};
    }
    for (uint32_t at = 0; at < count; at++) {
        for (uint32_t i = 0; i < class_count && count < UNIONS_MAX; i++) {
            struct answers with = joined(&all[at].answers, &own[i]);
            uint32_t k = 0;

            while (k < count && !answers_equal(&all[k].answers, &with)) {
                k++;
            }
            if (k == count) {
                all[count++] = (struct several){with, classes[i], at,
                                                all[at].count + 1};
            }
        }
    }
    if (count == UNIONS_MAX) {
        pair->why = "a header has too many sorts of values";
    }
    for (uint32_t i = 0; i < count && pair->why == NULL; i++) {
        put_several(pair, attribute, all, i, own, classes, class_count);
    }
}

/* No unit is as one that is absent, and some things are never empty. */
static bool may_be_empty(const struct pair_attribute *attribute)
{
    switch (attribute->source) {
    case GRAY_SOURCE_METHOD:
    case GRAY_SOURCE_HOST:
    case GRAY_SOURCE_PATH:
    case GRAY_SOURCE_UNIT:
        return false;
    default:
        return attribute->tested;
    }
}

/* Absent, each class that the engine tells from others, one too long. */
static void put_choices(struct pair *pair, struct pair_attribute *attribute,
                        const struct pair_side *tests)
{
    struct classes *c = &attribute->classes;
    struct answers *own =
        gray_arena_array(pair->arena, c->count, sizeof(*own));
    uint32_t *classes =
        gray_arena_array(pair->arena, c->count, sizeof(*classes));
    uint32_t count = 0;
    const uint32_t too_long = PAIR_LONG;

    put_choice(pair, attribute, NULL, 0);
    for (uint32_t i = 0; i < c->count && pair->why == NULL; i++) {
        uint32_t k = 0;

        if (!agree(pair, attribute, tests, &c->items[i], &own[count])) {
            return;
        }
        if (c->items[i].text.length == 0 && !may_be_empty(attribute)) {
            continue;
        }
        while (k < count && !answers_equal(&own[k], &own[count])) {
            k++;
        }
        if (k == count) {
            classes[count++] = i;
        }
    }
    if (attribute->source == GRAY_SOURCE_HEADER) {
        put_unions(pair, attribute, own, classes, count);
    } else {
        for (uint32_t i = 0; i < count; i++) {
            put_choice(pair, attribute, &classes[i], 1);
        }
    }
    if (attribute->tested && attribute->source != GRAY_SOURCE_ADDRESS) {
        put_choice(pair, attribute, &too_long, 1);
    }
}

static bool fill(struct pair *pair, struct pair_attribute *attribute)
{
    struct side *sides =
        gray_arena_array(pair->arena, attribute->atom_count, sizeof(*sides));
    bool good;

    attribute->classes =
        (struct classes){.arena = pair->arena, .source = attribute->source,
                         .atoms = attribute->atoms,
                         .steps = &pair->steps_left,
                         .atom_count = attribute->atom_count};
    gray_classes_make(&attribute->classes);
    if (attribute->classes.incomplete != NULL) {
        pair->why = attribute->classes.incomplete;
        return false;
    }
    for (uint32_t i = 0; i < attribute->atom_count; i++) {
        sides[i] = attribute->atoms[i].side;
    }
    good = pair_compile_tests(pair, attribute, sides, attribute->atom_count);
    if (good) {
        put_choices(pair, attribute, &pair->tests);
    }
    return good && pair->why == NULL;
}

/* ---- time ---------------------------------------------------------------------------------- */

struct clock {
    struct pair *pair;
    struct answers seen[PAIR_INSTANTS_MAX];
    int64_t now;
};

static void put_instant(struct clock *clock, int64_t at)
{
    struct pair *pair = clock->pair;
    struct answers answers;
    struct gray_input in;

    if (at < clock->now) {
        return;
    }
    gray_input_begin(&in, &pair->tests.snapshot, at, 0);
    ask_tests(&pair->tests, &in, &answers);
    for (uint32_t i = 0; i < pair->instant_count; i++) {
        if (answers_equal(&answers, &clock->seen[i])) {
            return;
        }
    }
    if (pair->instant_count == PAIR_INSTANTS_MAX) {
        pair->why = "its windows of time cut the week into too many pieces";
        return;
    }
    clock->seen[pair->instant_count] = answers;
    pair->instants[pair->instant_count++] = at;
}

static int32_t offset_at(const struct gray_zone_step *steps, uint32_t count,
                         int64_t seconds)
{
    uint32_t i = count;

    while (i > 1 && steps[i - 1].at > seconds) {
        i--;
    }
    return i == 0 ? 0 : steps[i - 1].offset;
}

/* Eight days from `from` on, but not beyond `until`, by one test's hours. */
static void put_week(struct clock *clock, const struct cond *test,
                     const struct gray_zone_step *steps, uint32_t count,
                     int64_t from, int64_t until)
{
    const uint32_t hours[] = {0, test->day_start, test->day_end};

    for (int64_t day = from / DAY_MS - 1; day <= from / DAY_MS + 8; day++) {
        for (int i = 0; i < 3; i++) {
            int64_t local = day * 86400 + hours[i];
            int64_t at =
                (local - offset_at(steps, count, local)) * 1000;

            if (at >= from && at < until) {
                put_instant(clock, at);
            }
        }
    }
}

static int by_moment(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;

    return (left > right) - (left < right);
}

/* Between two moments at which some window begins or ends for good. */
static void put_piece(struct clock *clock, int64_t from, int64_t until)
{
    struct pair *pair = clock->pair;
    const int64_t winter = INT64_C(1767571200000); /* 2026-01-05 */
    const int64_t half = 182 * DAY_MS;
    int64_t start = from < clock->now ? clock->now : from;

    if (until <= clock->now) {
        return;
    }
    start = start < winter && until > winter ? winter : start;
    put_instant(clock, start);
    for (uint32_t i = 0; i < pair->time_count; i++) {
        const struct cond *test = pair->times[i].cond;
        uint32_t count = 0;

        free(pair->steps);
        pair->steps = NULL;
        if (zone_load(&pair->steps, &count, test->zone, 0) != 0) {
            pair->why = "a time zone cannot be read";
            return;
        }
        put_week(clock, test, pair->steps, count, start, until);
        if (until - half > start) {
            put_week(clock, test, pair->steps, count, start + half, until);
        }
    }
}

static bool fill_instants(struct pair *pair, int64_t now)
{
    struct clock *clock;
    int64_t *moments;
    uint32_t count = 0;

    if (pair->time_count == 0) {
        pair->instants[pair->instant_count++] =
            now > 0 ? now : INT64_C(1767571200000);
        return true;
    }
    if (pair->time_count > GRAY_ATOMS_MAX) {
        pair->why = "too many conditions look at the clock";
        return false;
    }
    clock = gray_arena_take(pair->arena, sizeof(*clock));
    clock->pair = pair;
    clock->now = now;
    moments = gray_arena_array(pair->arena, 2 * (size_t)pair->time_count + 2,
                               sizeof(*moments));
    moments[count++] = 0;
    moments[count++] = INT64_C(4102444800000); /* 2100 */
    for (uint32_t i = 0; i < pair->time_count; i++) {
        const struct cond *test = pair->times[i].cond;

        if (test->from != INT64_MIN) {
            moments[count++] = test->from;
        }
        if (test->until != INT64_MAX) {
            moments[count++] = test->until;
        }
    }
    qsort(moments, count, sizeof(*moments), by_moment);
    if (pair_compile_tests(pair, NULL, pair->times, pair->time_count)) {
        for (uint32_t i = 0; i + 1 < count && pair->why == NULL; i++) {
            put_piece(clock, moments[i], moments[i + 1]);
        }
    }
    return pair->why == NULL;
}

/* What a request would hold of values at most. */
static bool fits_a_request(struct pair *pair)
{
    uint32_t count = pair->hash_count;

    for (uint32_t i = 0; i < pair->attribute_count; i++) {
        const struct pair_attribute *attribute = &pair->attributes[i];
        uint32_t most = 0;

        for (uint32_t k = 0; k < attribute->choice_count; k++) {
            uint32_t values = attribute->choices[k].count;

            most = values > most ? values : most;
        }
        count += most;
    }
    if (count > GRAY_VALUES_MAX) {
        pair->why = "its conditions look at too many values at once";
    }
    return count <= GRAY_VALUES_MAX;
}

bool pair_values(struct pair *pair, int64_t now)
{
    for (uint32_t i = 0; i < pair->attribute_count; i++) {
        if (!fill(pair, &pair->attributes[i])) {
            return false;
        }
    }
    return fits_a_request(pair) && fill_instants(pair, now);
}

bool pair_make_bare(struct pair *pair, int64_t now)
{
    static uint32_t any = PAIR_LONG; /* always exchanged for the unit */

    for (uint32_t i = 0; i < pair->attribute_count; i++) {
        struct pair_attribute *attribute = &pair->attributes[i];

        attribute->choices =
            gray_arena_array(pair->arena, 2, sizeof(*attribute->choices));
        attribute->choice_count = attribute->unit ? 2 : 1;
        attribute->choices[1] = (struct pair_choice){&any, 1};
    }
    for (uint32_t i = 0; i < pair->hash_count; i++) {
        pair->hashes[i].limit_count = 0;
    }
    pair->instants[0] = now > 0 ? now : INT64_C(1767571200000);
    pair->instant_count = 1;
    for (int i = 0; i < 2; i++) {
        if (pair->real[i].compiled.policy.data == NULL &&
            !pair_compile(pair, &pair->real[i], false)) {
            return false;
        }
    }
    return true;
}
