/* SPDX-License-Identifier: Apache-2.0
 * tell.c - a move in other words: the audit's, and the command that undoes it.
 *
 * Why: at three in the morning nobody looks up how to take back what was just
 * done.
 * Read next: move.c.
 */
#include <stdio.h>
#include <string.h>

#include "control/release/internal.h"

const char *release_event_type(enum release_verb verb,
                               const struct release_status *before,
                               const struct release_status *after)
{
    if (verb == VERB_UNDO) {
        return "ROLLBACK_COMPLETED";
    }
    if (after->state == RELEASE_ABORTED && before->state != RELEASE_ABORTED) {
        return "ROLLBACK_STARTED";
    }
    if (after->share <= before->share) {
        return NULL;
    }
    if (after->state == RELEASE_PROMOTED) {
        return "DEPLOYMENT_COMPLETED";
    }
    return before->share == 0 ? "DEPLOYMENT_STARTED" : "PERCENTAGE_UPDATED";
}

/* A verb that leads back to where it stood, or as near as verbs lead. */
static const char *back(enum release_verb verb,
                        const struct release_status *before,
                        const struct release_status *after)
{
    if (before->killed != after->killed) {
        return after->killed ? "unkill" : "kill";
    }
    switch (verb) {
    case VERB_PAUSE:
        return "resume";
    case VERB_RESUME:
        return "pause";
    case VERB_THAW:
        return "freeze";
    case VERB_FREEZE:
    case VERB_STOP:
    case VERB_ABORT:
        return after->state == RELEASE_FROZEN    ? "thaw"
               : after->state == RELEASE_ABORTED ? "retry"
                                                 : NULL;
    case VERB_RETRY:
        return "abort";
    default:
        return NULL; /* what came in goes out by undo alone, see the caller */
    }
}

void release_undo_command(const char *name, enum release_verb verb,
                          const struct release_status *before,
                          const struct release_status *after, char *buffer,
                          size_t size)
{
    const char *word = back(verb, before, after);
    const struct release_verb_facts *facts;
    enum release_verb number;

    if (size == 0) {
        return;
    }
    buffer[0] = '\0';
    if (word == NULL || release_verb_parse(word, &number) != 0) {
        return;
    }
    facts = release_verb_find(number);
    snprintf(buffer, size, "gray %s %s%s", word, name,
             facts->reason ? " --reason TEXT" : "");
}
