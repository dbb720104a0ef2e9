/* SPDX-License-Identifier: Apache-2.0
 * rules.c - what is accepted, whose word wins, who has seen what.
 *
 * Read next: rules.h, lease.c.
 */
#include <string.h>

#include "control/agent/rules.h"

enum accept rules_accept(const struct known *known,
                         const struct manifest *manifest,
                         const char sha256[65], bool once)
{
    if (known->server[0] == '\0') {
        return ACCEPT_NEW;
    }
    if (strcmp(known->server, manifest->server) != 0) {
        return once ? ACCEPT_NEW : ACCEPT_STRANGER;
    }
    if (manifest->sequence > known->sequence) {
        return ACCEPT_NEW;
    }
    if (manifest->sequence == known->sequence &&
        (known->sha256[0] == '\0' || strcmp(known->sha256, sha256) == 0)) {
        return ACCEPT_SAME;
    }
    if (once) {
        return ACCEPT_NEW;
    }
    return manifest->sequence < known->sequence ? ACCEPT_BACK : ACCEPT_FORK;
}

const char *rules_refusal(enum accept accept)
{
    switch (accept) {
    case ACCEPT_STRANGER:
        return "stranger";
    case ACCEPT_BACK:
        return "sequence-back";
    case ACCEPT_FORK:
        return "bundle-forked";
    default:
        return NULL;
    }
}

/* ---- epochs ---------------------------------------------------------------- */

void epochs_reached(struct epochs *epochs, uint64_t epoch, uint64_t local)
{
    if (epoch != epochs->epoch) {
        epochs->before = epochs->epoch;
        epochs->epoch = epoch;
        epochs->local = local;
    }
}

uint64_t epochs_of(const struct epochs *epochs, uint64_t acknowledged)
{
    return acknowledged >= epochs->local ? epochs->epoch : epochs->before;
}

/* ---- words of the host ------------------------------------------------------ */

void host_word_told(struct host_word *word, uint64_t sequence)
{
    if (word->told == 0) {
        word->told = sequence > 0 ? sequence : 1;
    }
}

bool host_word_yields(const struct host_word *word,
                      const struct manifest_word *said)
{
    return said != NULL && (said->word >= word->word ||
                            (word->told != 0 && said->epoch > word->told));
}
