/* SPDX-License-Identifier: Apache-2.0
 * pair_seek.c - a value of a class whose buckets lie where they must.
 *
 * Why: where tests draw buckets, a class of ids is cut by chance; an id of the
 * class that lies in the wanted piece is found by trying.  Of a class that a set
 * names all are tried, so that none can be missed.
 * Read next: exact.c, standing.c.
 */
#include <string.h>

#include "policy/pair.h"

#define TRIES 60000u /* ids, until one has the wanted buckets */

static bool in_cell(const struct pair_hash *hash, uint32_t cell,
                    struct model_text value)
{
    uint32_t bucket =
        gray_bucket((struct gray_str){hash->salt.data, hash->salt.length},
                    (struct gray_str){value.data, value.length});
    uint32_t least = cell == 0 ? 0 : hash->limits[cell - 1];
    uint32_t most =
        cell == hash->limit_count ? GRAY_SHARE_ALL : hash->limits[cell];

    return bucket >= least && bucket < most;
}

/* Do the buckets of this value of an attribute lie where they must? */
static bool fits_cells(const struct pair *pair, const struct pair_request *at,
                       uint32_t attribute, bool unit,
                       struct model_text value)
{
    for (uint32_t i = 0; i < pair->hash_count; i++) {
        const struct pair_hash *hash = &pair->hashes[i];

        if ((hash->attribute == attribute ||
             (unit && hash->attribute == PAIR_UNIT)) &&
            hash->limit_count > 0 && !in_cell(hash, at->cell[i], value)) {
            return false;
        }
    }
    return true;
}

/* All values of a class that a set names. */
static enum pair_sought seek_few(struct pair *pair, struct pair_request *at, uint32_t number, bool unit,
                            const struct value_class *class)
{
    const struct pair_attribute *attribute = &pair->attributes[number];
    bool folded = false;

    for (uint32_t i = 0; i < attribute->atom_count; i++) {
        const struct atom *atom = &attribute->atoms[i];
        const struct cond *test = atom->side.cond;
        const struct model_text *texts = &test->text;
        uint64_t count = 1;

        if ((atom->kind != ATOM_SET && atom->kind != ATOM_LIST) ||
            !answer_of(&class->answers, i)) {
            continue;
        }
        folded |= atom->fold;
        if (test->op == GRAY_CONDITION_LIST) {
            texts = atom->side.model->lists[test->list].ids;
            count = atom->side.model->lists[test->list].id_count;
        } else if (test->op != GRAY_CONDITION_EXACT) {
            texts = test->texts;
            count = test->text_count;
        }
        for (uint64_t k = 0; k < count; k++) {
            struct answers answers;

            gray_classes_answers(&attribute->classes, texts[k], &answers);
            if (answers_equal(&answers, &class->answers) &&
                fits_cells(pair, at, number, unit, texts[k])) {
                at->instead[number] = texts[k];
                return PAIR_SOUGHT_FOUND;
            }
        }
    }
    return folded ? PAIR_SOUGHT_NOT_FOUND : PAIR_SOUGHT_NONE;
}

/* Is a bucket drawn of this attribute itself? */
static bool draws(const struct pair *pair, uint32_t number)
{
    for (uint32_t i = 0; i < pair->hash_count; i++) {
        if (pair->hashes[i].attribute == number &&
            pair->hashes[i].limit_count > 0) {
            return true;
        }
    }
    return false;
}

enum pair_sought pair_seek(struct pair *pair, struct pair_request *at, uint32_t number, bool unit)
{
    const struct pair_attribute *attribute = &pair->attributes[number];
    const struct pair_choice *choice =
        &attribute->choices[at->choice[number]];
    const struct value_class *class;
    char room[GRAY_SAMPLE_ROOM];
    struct model_text value;

    if (choice->count == 0 || choice->values[0] == PAIR_LONG) {
        return PAIR_SOUGHT_FOUND;
    }
    class = &attribute->classes.items[choice->values[0]];
    if (fits_cells(pair, at, number, unit, class->text)) {
        return PAIR_SOUGHT_FOUND;
    }
    if (class->few) {
        enum pair_sought few = seek_few(pair, at, number, unit, class);

        /* Of several values another one may have the bucket. */
        return few == PAIR_SOUGHT_NONE && choice->count > 1 &&
                       draws(pair, number)
                   ? PAIR_SOUGHT_NOT_FOUND
                   : few;
    }
    for (uint32_t i = 1; i < TRIES && !class->apart; i++) {
        if (gray_classes_sample(&attribute->classes, choice->values[0], i,
                                room, &value) &&
            fits_cells(pair, at, number, unit, value)) {
            at->instead[number] = (struct model_text){
                gray_arena_copy(pair->arena, value.data, value.length),
                value.length};
            return PAIR_SOUGHT_FOUND;
        }
    }
    return class->apart ? PAIR_SOUGHT_NOT_FOUND : PAIR_SOUGHT_ENDLESS;
}

