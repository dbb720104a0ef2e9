/* SPDX-License-Identifier: Apache-2.0
 * pair.c - what two editions of a release look at, together.
 *
 * Why: see pair.h.  Equal tests of both editions are one; what is looked at by
 * neither needs no value.
 * Read next: pair_values.c, pair_compile.c.
 */
#include "policy/pair.h"

#include <stdlib.h>
#include <string.h>

/* ---- attributes ------------------------------------------------------------------- */

uint32_t pair_attribute(const struct pair *pair, uint8_t source,
                        const char *name)
{
    for (uint32_t i = 0; i < pair->attribute_count; i++) {
        if (pair->attributes[i].source == source &&
            strcmp(pair->attributes[i].name.data, name) == 0) {
            return i;
        }
    }
    return PAIR_ATTRIBUTES_MAX;
}

static struct pair_attribute *put_attribute(struct pair *pair, uint8_t source,
                                            struct model_text name)
{
    uint32_t number = pair_attribute(pair, source,
                                     name.data == NULL ? "" : name.data);
    struct pair_attribute *attribute;

    if (number < PAIR_ATTRIBUTES_MAX) {
        return &pair->attributes[number];
    }
    if (pair->attribute_count == PAIR_ATTRIBUTES_MAX) {
        pair->why = "its conditions look at too many attributes";
        return NULL;
    }
    attribute = &pair->attributes[pair->attribute_count];
    attribute->source = source;
    attribute->name =
        name.data == NULL ? (struct model_text){"", 0} : name;
    attribute->slot[0] = 'a';
    attribute->slot[1] = (char)('0' + pair->attribute_count / 10);
    attribute->slot[2] = (char)('0' + pair->attribute_count % 10);
    pair->attribute_count++;
    return attribute;
}

static void put_atom(struct pair *pair, struct pair_attribute *attribute,
                     struct side test)
{
    for (uint32_t i = 0; i < attribute->atom_count; i++) {
        const struct side *known = &attribute->atoms[i].side;

        if (gray_cond_equal(known->cond, known->model, test.cond,
                            test.model) &&
            (test.cond->op != GRAY_CONDITION_LIST ||
             known->model == test.model)) {
            return;
        }
    }
    if (attribute->atoms == NULL) {
        attribute->atoms = gray_arena_array(pair->arena, GRAY_ATOMS_MAX,
                                            sizeof(*attribute->atoms));
    }
    if (attribute->atom_count == GRAY_ATOMS_MAX) {
        pair->why = "too many conditions look at one attribute";
        return;
    }
    switch (gray_atom_make(pair->arena, test,
                           &attribute->atoms[attribute->atom_count])) {
    case 0:
        attribute->atom_count++;
        break;
    case 1:
        break;
    default:
        pair->why = "a pattern cannot be made";
        break;
    }
}

/* ---- buckets ------------------------------------------------------------------------ */

static bool same_text(struct model_text a, struct model_text b)
{
    return a.length == b.length && memcmp(a.data, b.data, a.length) == 0;
}

static uint32_t put_hash(struct pair *pair, uint32_t attribute,
                         struct model_text salt)
{
    for (uint32_t i = 0; i < pair->hash_count; i++) {
        if (pair->hashes[i].attribute == attribute &&
            same_text(pair->hashes[i].salt, salt)) {
            return i;
        }
    }
    if (pair->hash_count == PAIR_HASHES_MAX) {
        pair->why = "its conditions draw too many buckets";
        return 0;
    }
    pair->hashes[pair->hash_count] = (struct pair_hash){
        .attribute = attribute, .salt = salt,
        .slot = {'h', (char)('0' + pair->hash_count / 10),
                 (char)('0' + pair->hash_count % 10)}};
    return pair->hash_count++;
}

static void put_limit(struct pair *pair, uint32_t number, uint32_t limit)
{
    struct pair_hash *hash = &pair->hashes[number];
    uint32_t at = 0;
    uint32_t *limits;

    while (at < hash->limit_count && hash->limits[at] < limit) {
        at++;
    }
    if (limit == 0 || limit >= GRAY_SHARE_ALL ||
        (at < hash->limit_count && hash->limits[at] == limit)) {
        return;
    }
    limits = gray_arena_array(pair->arena, hash->limit_count + 1,
                              sizeof(*limits));
    for (uint32_t i = 0; i < hash->limit_count; i++) {
        limits[i + (i >= at)] = hash->limits[i];
    }
    limits[at] = limit;
    hash->limits = limits;
    hash->limit_count++;
}

/* The only place of the unit, in both editions: a bucket of that attribute is
 * one of the unit. */
static bool is_the_unit(const struct pair *pair, uint8_t source,
                        const char *name)
{
    for (int i = 0; i < 2; i++) {
        const struct model_release *release = pair->real[i].release;

        if (release->unit_count != 1 ||
            release->anonymous == GRAY_ANONYMOUS_COOKIE ||
            release->units[0].source != source ||
            strcmp(release->units[0].name.data, name) != 0) {
            return false;
        }
    }
    return true;
}

uint32_t pair_hash_of(const struct pair *pair, const struct cond *percent)
{
    uint32_t attribute = PAIR_UNIT;

    if (percent->source != GRAY_SOURCE_UNIT &&
        !is_the_unit(pair, percent->source, percent->name.data)) {
        attribute =
            pair_attribute(pair, percent->source, percent->name.data);
    }
    for (uint32_t i = 0; i < pair->hash_count; i++) {
        if (pair->hashes[i].attribute == attribute &&
            same_text(pair->hashes[i].salt, percent->salt)) {
            return i;
        }
    }
    return 0;
}

static void put_percent(struct pair *pair, const struct cond *test)
{
    uint32_t attribute = PAIR_UNIT;

    if (test->source != GRAY_SOURCE_UNIT &&
        !is_the_unit(pair, test->source, test->name.data)) {
        attribute = pair_attribute(pair, test->source, test->name.data);
    }
    put_limit(pair, put_hash(pair, attribute, test->salt), test->share);
}

/* The line of the release's own salt. */
static void put_shares(struct pair *pair, int number)
{
    const struct model_release *release = pair->real[number].release;
    struct model_text salt = {release->salt,
                              (uint32_t)strlen(release->salt)};
    uint32_t hash = put_hash(pair, PAIR_UNIT, salt);

    put_limit(pair, hash, release->share);
    for (uint32_t i = 0; i < release->stage_count; i++) {
        put_limit(pair, hash, release->stages[i].share);
    }
    pair->real[number].hash = pair->loose[number].hash = hash;
}

/* ---- conditions ------------------------------------------------------------------------ */

static void collect(struct pair *pair, struct side side);

static void collect_test(struct pair *pair, struct side test)
{
    struct pair_attribute *attribute;

    if (test.cond->source == GRAY_SOURCE_TIME) {
        pair->times[pair->time_count++] = test;
        return;
    }
    if (test.cond->source == GRAY_SOURCE_UNIT) {
        for (uint32_t i = 0; i < pair->attribute_count; i++) {
            if (pair->attributes[i].unit) {
                put_atom(pair, &pair->attributes[i], test);
            }
        }
    } else {
        attribute = put_attribute(pair, test.cond->source, test.cond->name);
        if (attribute != NULL) {
            attribute->tested = true;
            put_atom(pair, attribute, test);
        }
    }
    if (test.cond->op == GRAY_CONDITION_PERCENT && pair->why == NULL) {
        put_percent(pair, test.cond);
    }
}

static void collect(struct pair *pair, struct side side)
{
    if (side.cond == NULL || pair->why != NULL) {
        return;
    }
    if (side.cond->kind == COND_TEST) {
        collect_test(pair, side);
        return;
    }
    for (uint32_t i = 0; i < side.cond->child_count; i++) {
        collect(pair, (struct side){&side.cond->children[i], side.model});
    }
}

static uint32_t count_tests(const struct cond *cond)
{
    uint32_t count = cond != NULL && cond->kind == COND_TEST;

    for (uint32_t i = 0; cond != NULL && i < cond->child_count; i++) {
        count += count_tests(&cond->children[i]);
    }
    return count;
}

static void each_rule(struct pair *pair, int number,
                      void (*visit)(struct pair *pair, struct side side))
{
    const struct model_release *release = pair->loose[number].release;
    const struct gray_model *model = pair->loose[number].model;
    const struct model_rule *lists[] = {release->deny, release->allow,
                                        release->match};
    const uint32_t counts[] = {release->deny_count, release->allow_count,
                               release->match_count};

    visit(pair, (struct side){release->require, model});
    for (int k = 0; k < 3; k++) {
        for (uint32_t i = 0; i < counts[k]; i++) {
            visit(pair, (struct side){lists[k][i].when, model});
        }
    }
}

static void count_visit(struct pair *pair, struct side side)
{
    pair->time_count += count_tests(side.cond);
}

static void collect_units(struct pair *pair)
{
    for (int i = 0; i < 2; i++) {
        const struct model_release *release = pair->real[i].release;

        for (uint32_t k = 0; k < release->unit_count; k++) {
            struct pair_attribute *attribute = put_attribute(
                pair, release->units[k].source, release->units[k].name);

            if (attribute != NULL) {
                attribute->unit = true;
            }
        }
        if (release->anonymous == GRAY_ANONYMOUS_COOKIE) {
            /* The id that is issued, which no condition can name. */
            struct pair_attribute *issued = put_attribute(
                pair, GRAY_SOURCE_UNIT, (struct model_text){"", 0});

            if (issued != NULL) {
                issued->unit = true;
            }
        }
    }
}

/* Requests are of the stages that there were; one that is gone only reads. */
static void collect_stages(struct pair *pair)
{
    const struct model_release *old = pair->real[0].release;

    pair->stages = gray_arena_array(pair->arena, old->stage_count + 1,
                                    sizeof(*pair->stages));
    for (uint32_t i = 0; i < old->stage_count; i++) {
        pair->stages[i] = old->stages[i].name;
    }
    pair->stage_count = old->stage_count == 0 ? 1 : old->stage_count;
}

static bool lists_are_small(struct pair *pair)
{
    uint64_t ids = 0;

    for (uint32_t i = 0; i < pair->attribute_count; i++) {
        for (uint32_t k = 0; k < pair->attributes[i].atom_count; k++) {
            const struct side *side = &pair->attributes[i].atoms[k].side;

            if (side->cond->op == GRAY_CONDITION_LIST) {
                ids += side->model->lists[side->cond->list].id_count;
            }
        }
    }
    if (ids > PAIR_IDS_MAX) {
        pair->why = "its lists are too long to be looked through";
    }
    return ids <= PAIR_IDS_MAX;
}

static bool is_tangled(const struct pair *pair)
{
    uint32_t of_path = 0;

    for (uint32_t i = 0; i < pair->attribute_count; i++) {
        uint8_t source = pair->attributes[i].source;

        of_path += source == GRAY_SOURCE_PATH ||
                   source == GRAY_SOURCE_SEGMENT ||
                   source == GRAY_SOURCE_GRPC_SERVICE ||
                   source == GRAY_SOURCE_GRPC_METHOD;
    }
    return of_path > 1;
}

static bool open_pair(struct pair *pair, int64_t now)
{
    struct gray_arena *arena = pair->arena;

    each_rule(pair, 0, count_visit);
    each_rule(pair, 1, count_visit);
    pair->times = gray_arena_array(arena, pair->time_count + 1,
                                   sizeof(*pair->times));
    pair->time_count = 0;
    collect_units(pair);
    put_shares(pair, 0);
    put_shares(pair, 1);
    each_rule(pair, 0, collect);
    each_rule(pair, 1, collect);
    collect_stages(pair);
    pair->tangled = is_tangled(pair);
    if (pair->why != NULL || !lists_are_small(pair)) {
        return false;
    }
    for (int i = 0; i < 2; i++) {
        if (!pair_compile(pair, &pair->loose[i], true) ||
            !pair_compile(pair, &pair->real[i], false)) {
            return false;
        }
    }
    return pair_values(pair, now);
}

bool pair_open_reduced(struct pair *pair, struct gray_arena *arena,
                       const struct gray_model *before,
                       const struct model_release *old,
                       const struct gray_model *after,
                       const struct model_release *now_release, int64_t now,
                       const struct model_release reduced[2])
{
    memset(pair, 0, sizeof(*pair));
    pair->arena = arena;
    pair->steps_left = GRAY_CLASS_STEPS_MAX;
    pair->real[0].model = pair->loose[0].model = before;
    pair->real[1].model = pair->loose[1].model = after;
    pair->real[0].release = old;
    pair->real[1].release = now_release;
    pair->loose[0].release = reduced != NULL ? &reduced[0] : old;
    pair->loose[1].release = reduced != NULL ? &reduced[1] : now_release;
    return open_pair(pair, now);
}

bool pair_open(struct pair *pair, struct gray_arena *arena,
               const struct gray_model *before,
               const struct model_release *old,
               const struct gray_model *after,
               const struct model_release *now_release, int64_t now)
{
    return pair_open_reduced(pair, arena, before, old, after, now_release,
                             now, NULL);
}

void pair_close(struct pair *pair)
{
    for (int i = 0; i < 2; i++) {
        pair_side_free(&pair->loose[i]);
        pair_side_free(&pair->real[i]);
    }
    pair_side_free(&pair->tests);
    free(pair->steps);
    pair->steps = NULL;
    for (uint32_t i = 0; i < pair->attribute_count; i++) {
        for (uint32_t k = 0; k < pair->attributes[i].atom_count; k++) {
            gray_atom_free(&pair->attributes[i].atoms[k]);
        }
    }
}
