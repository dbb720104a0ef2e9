/* SPDX-License-Identifier: Apache-2.0
 * classes.h - the values of one attribute, as far as its tests tell them apart.
 *
 * Why: an attribute has endlessly many values, but its tests, run together,
 * answer in a few ways only.  All these ways are found by running the tests'
 * automata side by side from the empty value on; each way is a class, and the
 * shortest value that leads there stands for it.  So "for every value" becomes
 * a short list, and each entry of it is a value that a person can read.
 * Read next: classes.c, order.c, atom.h, exact.h (who asks).
 */
#ifndef GRAY_POLICY_CLASSES_H
#define GRAY_POLICY_CLASSES_H

#include "policy/atom.h"

#define GRAY_ATOMS_MAX 256u      /* tests of one attribute */
#define GRAY_CLASSES_MAX 1024u   /* ways in which they answer */
#define GRAY_CLASS_STATES_MAX (1u << 18)
#define GRAY_CLASS_STEPS_MAX (UINT64_C(1) << 26)

/* Answers by number of the test; the last bit: the value is not empty. */
struct answers {
    uint64_t word[GRAY_ATOMS_MAX / 64 + 1];
};
static inline void answer_put(struct answers *answers, uint32_t number)
{
    answers->word[number / 64] |= UINT64_C(1) << (number % 64);
}
static inline bool answer_of(const struct answers *answers, uint32_t number)
{
    return (answers->word[number / 64] >> (number % 64) & 1) != 0;
}
static inline bool answers_equal(const struct answers *a,
                                 const struct answers *b)
{
    for (uint32_t i = 0; i <= GRAY_ATOMS_MAX / 64; i++) {
        if (a->word[i] != b->word[i]) {
            return false;
        }
    }
    return true;
}

struct value_class {
    struct model_text text;
    struct answers answers; /* of the automata and long lists */
    bool few;  /* a set names all of its values */
    bool apart; /* made by order.c: not told from others by `answers` */
};
struct classes {
    struct gray_arena *arena;
    uint8_t source;      /* GRAY_SOURCE_*: which bytes a value may have */
    struct atom *atoms;  /* by the caller; GRAY_ATOMS_MAX at most */
    uint32_t atom_count;
    struct value_class *items; /* the empty value is among them */
    uint32_t count, capacity;
    uint64_t *steps;     /* that are left, for several searches together; some
                            nanoseconds each */
    const char *incomplete; /* why there may be more; NULL: these are all */
};
/* Finds the classes of the atoms; source, arena, atoms and steps are set
 * before. */
void gray_classes_make(struct classes *classes);
/* The answers of automata and long lists to any value. */
void gray_classes_answers(const struct classes *classes,
                          struct model_text value, struct answers *ret);
/* Adds a value of its own. */
void gray_classes_add(struct classes *classes, struct model_text value,
                      bool apart);
/* Another value of the same class, the `number`th that is tried (from 1);
 * false: this try was none.  Written to `room`. */
#define GRAY_SAMPLE_ROOM 1100u
bool gray_classes_sample(const struct classes *classes, uint32_t number,
                         uint32_t try_number, char room[GRAY_SAMPLE_ROOM],
                         struct model_text *ret_value);

/* ---- order.c ------------------------------------------------------------------ */

/* Adds what lies at, below, above and between the bounds of semver and date
 * tests, and of networks. */
void gray_classes_order(struct classes *classes);
/* RFC 3339 in UTC; NULL: it cannot be written so (year 0 to 9999). */
const char *gray_moment_text(struct gray_arena *arena, int64_t ms);

#endif
