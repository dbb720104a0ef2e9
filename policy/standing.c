/* SPDX-License-Identifier: Apache-2.0
 * standing.c - see standing.h.
 *
 * Why: a million units fall into a few sorts, as far as the tests of the unit
 * and its buckets tell them apart; the first of each sort is asked with every
 * sort of request, the others are known by it.  That keeps a plan over a
 * million marks under a second and asks nobody but the engine.
 * Read next: pair.h, exact.c.
 */
#include "policy/standing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONTEXTS_MAX 4096u
#define KNOWN_SIZE 16384u /* sorts of units that are remembered */

enum { DROPS = 1, AT_ONCE = 2, DENIED = 4, KNOWN = 128 };

struct known {
    uint64_t key;
    uint8_t answer;
};
struct context {
    struct pair_request request;
    uint32_t place;  /* attribute in which the unit stands */
    uint8_t space;
};
struct gray_standing {
    struct gray_arena arena;
    struct gray_arena scratch; /* of requests, given back now and then */
    uint32_t asked;
    struct exact_question question;
    struct pair *pair;    /* NULL: everyone drops */
    bool opened;
    const char *incomplete;
    struct context *contexts;
    uint32_t context_count;
    bool by_sort;         /* units may be told apart by their answers */
    struct known *known;
    bool moved[GRAY_VARIANTS_MAX];
    char tails[STANDING_TAILS_MAX][16];
    uint32_t tail_count;
};

/* ---- requests that a unit may come with ------------------------------------------- */

static uint8_t space_of(const struct gray_standing *s, uint32_t stage)
{
    const char *name = s->pair->stages[stage];
    const struct model_release *old = s->question.old;

    for (uint32_t i = 0; name != NULL && i < old->stage_count; i++) {
        if (strcmp(old->stages[i].name, name) == 0) {
            return old->stages[i].space;
        }
    }
    return 0;
}

static bool is_place(const struct gray_standing *s, uint32_t number)
{
    const struct model_release *old = s->question.old;

    for (uint32_t i = 0; i < old->unit_count; i++) {
        if (pair_attribute(s->pair, old->units[i].source,
                           old->units[i].name.data) == number) {
            return true;
        }
    }
    return false;
}

static bool of_unit(const struct gray_standing *s, uint32_t hash,
                    uint32_t place)
{
    return s->pair->hashes[hash].attribute == PAIR_UNIT ||
           s->pair->hashes[hash].attribute == place;
}

/* The next request: the unit's own place has some value, its other places
 * none, and its buckets are what they are. */
static bool next_request(struct gray_standing *s, struct pair_request *at,
                         uint32_t place)
{
    struct pair *pair = s->pair;

    for (uint32_t i = 0; i < pair->attribute_count; i++) {
        bool fixed = is_place(s, i) && i != place;
        uint32_t first = i == place;

        if (!fixed && ++at->choice[i] < pair->attributes[i].choice_count) {
            return true;
        }
        at->choice[i] = fixed ? 0 : first;
    }
    if (++at->instant < pair->instant_count) {
        return true;
    }
    at->instant = 0;
    if (++at->stage < pair->stage_count) {
        return true;
    }
    at->stage = 0;
    for (uint32_t i = 0; i < pair->hash_count; i++) {
        if (of_unit(s, i, place)) {
            continue;
        }
        if (++at->cell[i] <= pair->hashes[i].limit_count) {
            return true;
        }
        at->cell[i] = 0;
    }
    return false;
}

/* One value of the unit's place is as good as another: it is exchanged. */
static bool is_repeated(const struct gray_standing *s,
                        const struct pair_request *at, uint32_t place)
{
    const struct pair_choice *choices = s->pair->attributes[place].choices;
    bool before = false;

    for (uint32_t i = 1; i < at->choice[place]; i++) {
        before |= choices[i].count == 1;
    }
    return before && choices[at->choice[place]].count == 1;
}

static void put_context(struct gray_standing *s,
                        const struct pair_request *from, uint32_t place)
{
    struct pair_request at = *from;

    memset(at.instead, 0, sizeof(at.instead));
    for (uint32_t i = 0; i < s->pair->attribute_count; i++) {
        enum pair_sought sought =
            i == place || at.choice[i] == 0
                ? PAIR_SOUGHT_FOUND
                : pair_seek(s->pair, &at, i, false);

        if (sought == PAIR_SOUGHT_NONE) {
            return;
        }
        if (sought != PAIR_SOUGHT_FOUND) {
            s->incomplete = "a value with the wanted bucket was not found";
            return;
        }
    }
    if (s->context_count == CONTEXTS_MAX) {
        s->incomplete = "units may come with too many sorts of requests";
        return;
    }
    s->contexts[s->context_count++] =
        (struct context){at, place, space_of(s, at.stage)};
}

static void make_contexts(struct gray_standing *s)
{
    s->contexts =
        gray_arena_array(&s->arena, CONTEXTS_MAX, sizeof(*s->contexts));
    for (uint32_t place = 0; place < s->pair->attribute_count; place++) {
        struct pair_request at = {{0}, {0}, 0, 0, {{NULL, 0}}};

        if (!is_place(s, place) ||
            s->pair->attributes[place].choice_count < 2) {
            continue;
        }
        at.choice[place] = 1;
        do {
            if (!is_repeated(s, &at, place)) {
                put_context(s, &at, place);
            }
        } while (s->context_count < CONTEXTS_MAX &&
                 next_request(s, &at, place));
    }
}

/* ---- opening --------------------------------------------------------------------------- */

static bool has_service(const struct gray_model *model,
                        const struct model_variant *variant, const char *name)
{
    for (uint32_t i = 0; i < variant->target_count; i++) {
        if (strcmp(model->services[variant->targets[i].service].name, name) ==
            0) {
            return true;
        }
    }
    return false;
}

/* Variants whose units would be another's, or lose a service. */
static void find_moved(struct gray_standing *s)
{
    const struct exact_question *q = &s->question;

    for (uint32_t i = 0; i < q->old->variant_count; i++) {
        const struct model_variant *old = &q->old->variants[i];
        const struct model_variant *then = &q->then->variants[i];

        if (i >= q->then->variant_count || strcmp(old->name, then->name) != 0) {
            s->moved[i] = true;
            continue;
        }
        for (uint32_t k = 0; k < old->target_count; k++) {
            const char *name =
                q->before->services[old->targets[k].service].name;

            s->moved[i] |= !has_service(q->after, then, name);
        }
    }
}

static void find_sorts(struct gray_standing *s)
{
    s->by_sort = true;
    for (uint32_t i = 0; i < s->pair->attribute_count; i++) {
        const struct pair_attribute *attribute = &s->pair->attributes[i];

        for (uint32_t k = 0; is_place(s, i) && k < attribute->atom_count;
             k++) {
            uint8_t kind = (uint8_t)attribute->atoms[k].kind;

            s->by_sort &= kind != ATOM_ORDER && kind != ATOM_NETWORK &&
                          kind != ATOM_OPAQUE;
        }
    }
    s->known = gray_arena_array(&s->arena, KNOWN_SIZE, sizeof(*s->known));
}

/* Not all sorts of requests can be told apart: those that the rules of one
 * edition alone tell, or the unit alone. Each mark is asked for itself. */
static bool open_less(struct gray_standing *s, const char *why)
{
    const struct exact_question *q = &s->question;
    struct model_release *reduced =
        gray_arena_array(&s->arena, 2, sizeof(*reduced));

    s->incomplete = why;
    if (pair_reduce(&s->arena, q->before, q->old, q->after, q->then,
                    reduced)) {
        pair_close(s->pair);
        if (pair_open_reduced(s->pair, &s->arena, q->before, q->old, q->after,
                              q->then, q->now, reduced)) {
            return true;
        }
    }
    return pair_make_bare(s->pair, q->now);
}

static void open_pair(struct gray_standing *s)
{
    const struct exact_question *q = &s->question;

    s->pair = gray_arena_take(&s->arena, sizeof(*s->pair));
    s->opened = true;
    if (pair_open(s->pair, &s->arena, q->before, q->old, q->after, q->then,
                  q->now)) {
        find_sorts(s);
    } else if (!open_less(s, s->pair->why)) {
        return;
    }
    make_contexts(s);
    s->pair->arena = &s->scratch; /* of requests from now on */
}

static bool open_guarded(struct gray_standing *s)
{
    jmp_buf full;

    if (setjmp(full) != 0) {
        return false;
    }
    s->arena.full = &full;
    find_moved(s);
    open_pair(s);
    s->arena.full = NULL;
    return true;
}

struct gray_standing *
gray_standing_open(const struct exact_question *question,
                   const char *const *tails, uint32_t tail_count)
{
    struct gray_standing *s = calloc(1, sizeof(*s));

    if (s == NULL) {
        return NULL;
    }
    s->question = *question;
    for (uint32_t i = 0; i < tail_count && i < STANDING_TAILS_MAX; i++) {
        snprintf(s->tails[i], sizeof(s->tails[i]), "%s", tails[i]);
        s->tail_count++;
    }
    if (question->then != NULL && !open_guarded(s)) {
        gray_standing_close(s);
        s = NULL;
    }
    return s;
}

void gray_standing_close(struct gray_standing *standing)
{
    if (standing != NULL) {
        if (standing->opened) {
            pair_close(standing->pair);
        }
        gray_arena_free(&standing->scratch);
        gray_arena_free(&standing->arena);
        free(standing);
    }
}

const struct model_release *
gray_standing_release(const struct gray_standing *standing)
{
    return standing->question.old;
}

const char *gray_standing_incomplete(const struct gray_standing *standing)
{
    return standing->incomplete;
}

/* ---- one mark ------------------------------------------------------------------------------ */

struct marked {
    struct gray_str unit;
    uint8_t variant;
    bool found;
};

static struct gray_mark tell_mark(void *context,
                                  const struct gray_mark_query *query)
{
    const struct marked *marked = context;
    bool own = marked->found && query->step == GRAY_STEP_MARK &&
               query->unit.length == marked->unit.length &&
               memcmp(query->unit.data, marked->unit.data,
                      marked->unit.length) == 0;

    return (struct gray_mark){
        .state = own ? GRAY_MARK_IN : GRAY_MARK_ABSENT,
        .variant = marked->variant};
}

/* With its mark in hand: what becomes of it then? */
static enum pair_outcome ask_marked(struct gray_standing *s,
                                    const struct pair_request *at,
                                    const struct gray_standing_mark *mark)
{
    const struct model_release *old = s->question.old;
    const struct model_release *then = s->question.then;
    struct marked marked = {mark->unit, mark->variant, true};
    struct gray_verdict before, after;

    pair_ask_real(s->pair, 0, at, tell_mark, &marked, &before);
    marked.found =
        ((old->mark_flags ^ then->mark_flags) & GRAY_MARKS_WIDE) == 0;
    pair_ask_real(s->pair, 1, at, tell_mark, &marked, &after);
    return pair_outcome(&s->pair->real[0], &before, &s->pair->real[1],
                        &after);
}

static uint8_t ask_all(struct gray_standing *s,
                       const struct gray_standing_mark *mark)
{
    struct pair *pair = s->pair;
    uint8_t answer = 0;

    for (uint32_t i = 0;
         i < s->context_count && (answer & (DROPS | AT_ONCE)) !=
                                     (DROPS | AT_ONCE);
         i++) {
        struct context *context = &s->contexts[i];
        struct gray_verdict old, now;
        enum pair_outcome anew, marked;

        if (context->space != mark->space) {
            continue;
        }
        context->request.instead[context->place] =
            (struct model_text){mark->unit.data, mark->unit.length};
        pair_ask_real(pair, 0, &context->request, NULL, NULL, &old);
        pair_ask_real(pair, 1, &context->request, NULL, NULL, &now);
        anew = pair_outcome(&pair->real[0], &old, &pair->real[1], &now);
        marked = ask_marked(s, &context->request, mark);
        answer |= (uint8_t)((anew == PAIR_DROPPED ? DROPS : 0) |
                            (marked == PAIR_DROPPED ? AT_ONCE : 0) |
                            (anew == PAIR_DENIED || marked == PAIR_DENIED
                                 ? DENIED
                                 : 0));
    }
    if (++s->asked % 64 == 0) {
        gray_arena_free(&s->scratch);
    }
    return answer;
}

/* Without memory nothing is said of it, but that. */
static uint8_t ask_guarded(struct gray_standing *s,
                           const struct gray_standing_mark *mark)
{
    jmp_buf full;
    uint8_t answer;

    if (setjmp(full) != 0) {
        s->scratch.full = NULL;
        s->incomplete = "memory was at its end";
        return 0;
    }
    s->scratch.full = &full;
    answer = ask_all(s, mark);
    s->scratch.full = NULL;
    return answer;
}

/* What tests of the unit and its buckets say of it, as one number. */
static uint64_t sort_of(const struct gray_standing *s,
                        const struct gray_standing_mark *mark)
{
    const struct pair *pair = s->pair;
    struct model_text unit = {mark->unit.data, mark->unit.length};
    uint64_t key = mark->space + 1u;

    for (uint32_t i = 0; i < pair->attribute_count; i++) {
        struct answers answers;

        if (is_place(s, i)) {
            gray_classes_answers(&pair->attributes[i].classes, unit,
                                 &answers);
            key = gray_mix_bytes(key, &answers, sizeof(answers));
        }
    }
    for (uint32_t i = 0; i < pair->hash_count; i++) {
        const struct pair_hash *hash = &pair->hashes[i];
        uint32_t bucket, cell = 0;

        if (hash->limit_count == 0) {
            continue;
        }
        bucket = gray_bucket(
            (struct gray_str){hash->salt.data, hash->salt.length}, mark->unit);
        while (cell < hash->limit_count && bucket >= hash->limits[cell]) {
            cell++;
        }
        key = gray_mix_bytes(key, &cell, sizeof(cell));
    }
    return key;
}

static uint8_t answer_for(struct gray_standing *s,
                          const struct gray_standing_mark *mark)
{
    struct known *known;
    uint64_t key;

    if (!s->by_sort) {
        return ask_guarded(s, mark);
    }
    key = sort_of(s, mark);
    known = &s->known[key % KNOWN_SIZE];
    if (known->answer == 0 || known->key != key) {
        *known = (struct known){key, (uint8_t)(ask_guarded(s, mark) | KNOWN)};
    }
    return known->answer;
}

/* Would it be asked where it came in? */
static bool loses_entrance(const struct gray_standing *s, uint32_t entrance)
{
    const struct model_release *then = s->question.then;

    for (uint32_t i = 0; i < then->entrance_count; i++) {
        const char *name = then->entrances[i];

        if (entrance == GRAY_STANDING_ANYWHERE ||
            gray_hash_name(name, strlen(name)) == entrance) {
            return false;
        }
    }
    return then->entrance_count > 0;
}

static void add_example(struct gray_tally *tally, struct gray_str unit)
{
    if (tally->example_count < STANDING_EXAMPLES_MAX) {
        snprintf(tally->examples[tally->example_count++],
                 STANDING_EXAMPLE_SIZE, "%.*s", (int)unit.length, unit.data);
    }
}

static void add_tail(const struct gray_standing *s, struct gray_str unit,
                     struct gray_tally *tally)
{
    for (uint32_t i = 0; i < s->tail_count; i++) {
        size_t length = strlen(s->tails[i]);

        if (unit.length >= length &&
            memcmp(unit.data + unit.length - length, s->tails[i], length) ==
                0) {
            tally->by_tail[i]++;
            return;
        }
    }
    tally->others++;
}

void gray_standing_add(struct gray_standing *s,
                       const struct gray_standing_mark *mark,
                       struct gray_tally *tally)
{
    bool gone = s->question.then == NULL ||
                s->moved[mark->variant] || loses_entrance(s, mark->entrance);
    uint8_t answer = gone ? DROPS | AT_ONCE : answer_for(s, mark);

    tally->marks++;
    if ((answer & (DROPS | AT_ONCE)) != 0) {
        tally->drops++;
        tally->at_once += (answer & AT_ONCE) != 0;
        add_example(tally, mark->unit);
        add_tail(s, mark->unit, tally);
    } else if ((answer & DENIED) != 0) {
        tally->denied++;
    }
}
