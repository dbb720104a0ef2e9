/* SPDX-License-Identifier: Apache-2.0
 * words.c - scope words as grayd sets them: never over one of the host's.
 *
 * Why: what a person set on the host is newer than anything that grayd knows,
 * until grayd has read it.  So a word is replaced only where the very word
 * stands that was looked at, and one of the host's only after it was handed
 * out by publisher_host_word().
 * Read next: runtime/words.c, control/release/adopt.c.
 */
#include <errno.h>
#include <string.h>

#include "control/failpoint.h"
#include "control/publish/internal.h"

static uint32_t word_at(const struct publisher *publisher, uint32_t number)
{
    return __atomic_load_n(&publisher->folder.control->words[number].word,
                           __ATOMIC_ACQUIRE);
}

/* The place of a release's word, taken where it has none. */
static int place_of(struct publisher *publisher,
                    const struct publisher_word *word, uint64_t *ret_scope,
                    uint32_t *ret_number, struct gray_problem *ret_problem)
{
    uint64_t scope = word->scope != 0
                         ? word->scope
                         : gray_hash_scope(word->name, strlen(word->name));
    uint32_t number = gray_word_number(&publisher->folder, scope);

    if (number == GRAY_NONE) {
        return publisher_problem(ret_problem, ENOSPC, "words-full",
                                 "The folder has words for %u releases, the "
                                 "most it keeps: make a new folder.",
                                 GRAY_WORDS_MAX);
    }
    *ret_scope = scope;
    *ret_number = number;
    return 0;
}

/* 0; 1: nothing was changed. */
static int set_one(struct publisher *publisher,
                   const struct publisher_word *word, bool tighten,
                   struct gray_problem *ret_problem)
{
    uint64_t scope = 0;
    uint32_t number = 0, found;
    int result =
        place_of(publisher, word, &scope, &number, ret_problem);

    if (result != 0) {
        return result;
    }
    found = word_at(publisher, number);
    do {
        if ((found & GRAY_WORD_HOST) != 0 || found == word->word ||
            (word->word > found) != tighten) {
            return 1;
        }
        result = gray_word_replace(&publisher->folder, scope, found,
                                   word->word, &found, ret_problem);
    } while (result == 1); /* somebody was quicker: look again */
    return result;
}

int publisher_words_set(struct publisher *publisher,
                        const struct publisher_word *words, size_t word_count,
                        bool tighten, bool *ret_changed,
                        struct gray_problem *ret_problem)
{
    for (size_t i = 0; i < word_count; i++) {
        int result;

        if ((words[i].word & ~GRAY_WORD_MASK) != 0) {
            return publisher_problem(ret_problem, EINVAL, "bad-word",
                                     "%u is no scope word.", words[i].word);
        }
        result = set_one(publisher, &words[i], tighten, ret_problem);
        if (result < 0) {
            return result;
        }
        *ret_changed |= result == 0;
    }
    return 0;
}

static int keep_words(struct publisher *publisher,
                      struct gray_problem *ret_problem)
{
    return publisher_keep(publisher, ret_problem) == 0 ? 0 : 1;
}

int publisher_tighten(struct publisher *publisher,
                      const struct publisher_word *words, size_t word_count,
                      struct gray_problem *ret_problem)
{
    bool changed = false;
    int error = publisher_follow(publisher, true, ret_problem);

    if (error == 0) {
        error = publisher_words_set(publisher, words, word_count, true,
                                    &changed, ret_problem);
    }
    if (error != 0) {
        return error;
    }
    failpoint("words-tightened");
    return changed ? keep_words(publisher, ret_problem) : 0;
}

int publisher_words(struct publisher *publisher,
                    const struct publisher_word *words, size_t word_count,
                    struct gray_problem *ret_problem)
{
    bool changed = false;
    int error = publisher_follow(publisher, true, ret_problem);

    if (error == 0) {
        error = publisher_words_set(publisher, words, word_count, true,
                                    &changed, ret_problem);
    }
    if (error == 0) {
        error = publisher_words_set(publisher, words, word_count, false,
                                    &changed, ret_problem);
    }
    return error == 0 && changed ? keep_words(publisher, ret_problem) : error;
}

/* 0; 1: it says so already. */
static int force_one(struct publisher *publisher,
                     const struct publisher_word *word,
                     struct gray_problem *ret_problem)
{
    uint64_t scope = 0;
    uint32_t number = 0, epoch, found;
    int result =
        place_of(publisher, word, &scope, &number, ret_problem);

    if (result != 0) {
        return result;
    }
    epoch = __atomic_load_n(&publisher->folder.control->words[number].epoch,
                            __ATOMIC_ACQUIRE);
    found = word_at(publisher, number);
    while (found != word->word) {
        bool seen = publisher->seen[number].word == found &&
                    publisher->seen[number].epoch == epoch;

        /* What is stricter than both is right whoever came first. */
        if ((found & GRAY_WORD_HOST) != 0 && !seen &&
            word->word <= (found & GRAY_WORD_MASK)) {
            return publisher_problem(ret_problem, EAGAIN, "host-word",
                                     "Somebody set a word for %s on the host "
                                     "just now: look at it first.",
                                     word->name[0] != '\0' ? word->name
                                                           : "a release");
        }
        result = gray_word_replace(&publisher->folder, scope, found,
                                   word->word, &found, ret_problem);
        if (result != 1) {
            return result;
        }
    }
    return 1;
}

int publisher_words_force(struct publisher *publisher,
                          const struct publisher_word *words,
                          size_t word_count, struct gray_problem *ret_problem)
{
    bool changed = false;
    int error = publisher_follow(publisher, true, ret_problem);

    if (error != 0) {
        return error;
    }
    for (size_t i = 0; i < word_count; i++) {
        struct gray_problem problem = {0};
        int result = (words[i].word & ~GRAY_WORD_MASK) == 0
                         ? force_one(publisher, &words[i], &problem)
                         : publisher_problem(&problem, EINVAL, "bad-word",
                                             "%u is no scope word.",
                                             words[i].word);

        changed |= result == 0;
        if (result < 0 && error == 0) {
            error = publisher_problem(ret_problem, -result, problem.code, "%s",
                                      problem.sentence);
        }
    }
    if (changed && publisher_keep(publisher, error == 0 ? ret_problem
                                                        : NULL) != 0) {
        return error == 0 ? 1 : error;
    }
    return error;
}

int publisher_word_force(struct publisher *publisher, const char *name,
                         uint32_t word, struct gray_problem *ret_problem)
{
    struct publisher_word one = {.word = word};

    if (strlen(name) > GRAY_NAME_MAX) {
        return publisher_problem(ret_problem, EINVAL, "bad-name",
                                 "A name has at most %u bytes.",
                                 GRAY_NAME_MAX);
    }
    memcpy(one.name, name, strlen(name));
    return publisher_words_force(publisher, &one, 1, ret_problem);
}

int publisher_bypass(struct publisher *publisher, bool on,
                     struct gray_problem *ret_problem)
{
    int error = publisher_follow(publisher, true, ret_problem);

    if (error == 0) {
        error = gray_bypass_set(&publisher->folder, on, ret_problem);
    }
    return error == 0 ? keep_words(publisher, ret_problem) : error;
}

uint64_t publisher_word_epoch(const struct publisher *publisher)
{
    return __atomic_load_n(&publisher->folder.control->word_epoch,
                           __ATOMIC_ACQUIRE);
}

uint64_t publisher_keys(const struct publisher *publisher)
{
    return __atomic_load_n(&publisher->folder.control->keys_generation,
                           __ATOMIC_ACQUIRE);
}

bool publisher_bypassed(struct publisher *publisher)
{
    return __atomic_load_n(&publisher->folder.control->bypass,
                           __ATOMIC_ACQUIRE) != 0;
}

void publisher_clock_offset(struct publisher *publisher, int64_t offset_ms)
{
    gray_clock_offset_set(&publisher->folder, offset_ms);
}

int publisher_host_word(struct publisher *publisher, size_t *at,
                        uint64_t *ret_scope, uint32_t *ret_word)
{
    struct gray_control *control;
    uint32_t count;

    if (*at == 0) {
        publisher_follow(publisher, false, NULL); /* or stay where it is */
    }
    control = publisher->folder.control;
    count = __atomic_load_n(&control->word_count, __ATOMIC_ACQUIRE);
    for (; *at < count && *at < GRAY_WORDS_MAX; (*at)++) {
        struct gray_scope_word *place = &control->words[*at];
        /* The epoch first: whoever changes the word now raises it later, and
         * is then newer than what was seen. */
        uint32_t epoch = __atomic_load_n(&place->epoch, __ATOMIC_ACQUIRE);
        uint32_t word = __atomic_load_n(&place->word, __ATOMIC_ACQUIRE);
        uint64_t scope = __atomic_load_n(&place->scope, __ATOMIC_ACQUIRE);

        if ((word & GRAY_WORD_HOST) != 0 && scope != 0) {
            publisher->seen[*at].word = word;
            publisher->seen[*at].epoch = epoch;
            *ret_scope = scope;
            *ret_word = word & GRAY_WORD_MASK;
            (*at)++;
            return 0;
        }
    }
    return 1;
}

int publisher_next_word(struct publisher *publisher, size_t *at,
                        uint64_t *ret_scope, uint32_t *ret_word)
{
    const struct gray_control *control = publisher->folder.control;
    uint32_t count = __atomic_load_n(&control->word_count, __ATOMIC_ACQUIRE);

    for (; *at < count && *at < GRAY_WORDS_MAX; (*at)++) {
        uint64_t scope =
            __atomic_load_n(&control->words[*at].scope, __ATOMIC_ACQUIRE);

        if (scope != 0) {
            *ret_scope = scope;
            *ret_word = word_at(publisher, (uint32_t)*at) &
                        (GRAY_WORD_MASK | GRAY_WORD_HOST);
            (*at)++;
            return 0;
        }
    }
    return 1;
}
