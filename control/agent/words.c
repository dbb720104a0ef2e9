/* SPDX-License-Identifier: Apache-2.0
 * words.c - words of the server and words of people on this host.
 *
 * Why: what a person sets here at three in the morning, the server being away,
 * is newer than anything that the server said; so it stands until the server
 * has been told and answers.  rules.c decides, this file carries it out.
 * Read next: rules.h, control/publish/words.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/agent/internal.h"

#define ACTION_WAIT_MS 500 /* the line about a word comes after the word */

const struct manifest_word *words_find(const struct manifest *manifest,
                                       uint64_t scope)
{
    for (size_t i = 0; i < manifest->word_count; i++) {
        if (manifest->words[i].scope == scope) {
            return &manifest->words[i];
        }
    }
    return NULL;
}

struct publisher_word *words_wanted(struct agent *agent,
                                    const struct manifest *manifest,
                                    size_t *ret_count)
{
    struct publisher_word *words = calloc(
        manifest->word_count + GRAY_WORDS_MAX + 1, sizeof(*words));
    size_t count = 0, at = 0;
    uint64_t scope;
    uint32_t word;

    if (words == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < manifest->word_count; i++) {
        words[count].scope = manifest->words[i].scope;
        words[count++].word = manifest->words[i].word;
    }
    /* What the server does not name is open. */
    while (publisher_next_word(agent->publisher, &at, &scope, &word) == 0) {
        if (words_find(manifest, scope) == NULL && word != GRAY_WORD_OPEN) {
            words[count].scope = scope;
            words[count++].word = GRAY_WORD_OPEN;
        }
    }
    *ret_count = count;
    return words;
}

int words_yield(struct agent *agent, const struct manifest *manifest,
                bool loosen, struct gray_problem *ret_problem)
{
    struct publisher_word words[AGENT_HOST_WORDS_MAX];
    size_t count = 0;
    int error = 0;

    pthread_mutex_lock(&agent->lock);
    for (size_t i = 0; i < agent->said.word_count; i++) {
        const struct host_word *own = &agent->said.words[i].word;
        const struct manifest_word *said = words_find(manifest, own->scope);

        if (host_word_yields(own, said) &&
            (loosen || said->word >= own->word)) {
            words[count++] = (struct publisher_word) {
                .scope = own->scope, .word = said->word
            };
        }
    }
    pthread_mutex_unlock(&agent->lock);
    for (size_t i = 0; error >= 0 && i < count; i++) {
        error = words[i].word == GRAY_WORD_OPEN
                    ? close_open(agent, words[i].scope, ret_problem) : 0;
        if (error == 0) {
            error = publisher_words_force(agent->publisher, &words[i], 1,
                                          ret_problem);
        }
        /* Set again this very moment: the next look finds it. */
        error = error == -EAGAIN ? 0 : error;
    }
    return error < 0 ? error : 0;
}

/* ---- what people did here ------------------------------------------------------ */

static const char *name_of(const struct agent *agent, uint64_t scope)
{
    for (size_t i = 0; i < agent->name_count; i++) {
        if (agent->names[i].scope == scope) {
            return agent->names[i].name;
        }
    }
    return NULL;
}

/* Under the lock. */
static struct agent_word *known_word(struct agent *agent, uint64_t scope)
{
    for (size_t i = 0; i < agent->said.word_count; i++) {
        if (agent->said.words[i].word.scope == scope) {
            return &agent->said.words[i];
        }
    }
    return NULL;
}

/* One word that stands now; true: it is to be reported (anew). Under the lock. */
static bool see_word(struct agent *agent, uint64_t scope, uint32_t word)
{
    struct agent_word *known = known_word(agent, scope);
    const char *name = name_of(agent, scope);
    int64_t now = agent_monotonic_ms();

    if (known != NULL && known->word.word != word) {
        json_decref(known->action); /* set again: that is news, and untold */
        *known = (struct agent_word) { .word = { scope, word, 0 },
                                       .seen = now };
    }
    if (known == NULL) {
        if (agent->said.word_count == AGENT_HOST_WORDS_MAX) {
            return false;
        }
        known = &agent->said.words[agent->said.word_count++];
        *known = (struct agent_word) { .word = { scope, word, 0 },
                                       .seen = now };
    }
    if (known->action != NULL || known->ready) {
        return false;
    }
    if (name != NULL) {
        known->action = publisher_host_action(agent->publisher, name);
    }
    known->ready = known->action != NULL || now - known->seen > ACTION_WAIT_MS;
    return known->ready;
}

void words_look(struct agent *agent)
{
    uint64_t scopes[AGENT_HOST_WORDS_MAX], scope;
    uint32_t word;
    size_t count = 0, at = 0, kept = 0;
    bool news = false;

    pthread_mutex_lock(&agent->lock);
    while (publisher_host_word(agent->publisher, &at, &scope, &word) == 0) {
        news = see_word(agent, scope, word) || news;
        if (count < AGENT_HOST_WORDS_MAX) {
            scopes[count++] = scope;
        }
    }
    for (size_t i = 0; i < agent->said.word_count; i++) {
        bool stands = false;

        for (size_t j = 0; j < count; j++) {
            stands |= scopes[j] == agent->said.words[i].word.scope;
        }
        if (stands) {
            agent->said.words[kept++] = agent->said.words[i];
        } else {
            json_decref(agent->said.words[i].action);
            news = true;
        }
    }
    agent->said.word_count = kept;
    pthread_mutex_unlock(&agent->lock);
    if (news) {
        agent_news(agent);
    }
}
