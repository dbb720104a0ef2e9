/* SPDX-License-Identifier: Apache-2.0
 * adopt.c - words: what a state means to readers, and what the host said.
 *
 * Why: at three in the morning somebody stops a release on the host, perhaps
 * with grayd dead.  That word is in force already; the state has to follow it,
 * never the other way round.
 * Read next: cli/words.c (who sets such words), move.c.
 */
#include <string.h>

#include "control/release/internal.h"

uint32_t release_word(const struct release_status *status)
{
    if (status->killed) {
        return GRAY_WORD_KILLED;
    }
    switch (status->state) {
    case RELEASE_FROZEN:
        return GRAY_WORD_NO_ADMIT;
    case RELEASE_ABORTED:
        return status->keep ? GRAY_WORD_NO_ADMIT : GRAY_WORD_BASELINE;
    case RELEASE_COMPLETED:
        if (strcmp(status->completion, "Aborted") == 0) {
            return status->keep ? GRAY_WORD_NO_ADMIT : GRAY_WORD_BASELINE;
        }
        return GRAY_WORD_OPEN;
    default:
        return GRAY_WORD_OPEN;
    }
}

static void adopt_open(struct release_status *next)
{
    switch (next->state) {
    case RELEASE_FROZEN:
        release_thaw(next);
        break;
    case RELEASE_ABORTED:
        next->state = RELEASE_INITIALIZED;
        next->keep = next->retreated = false;
        next->started = 0;
        next->completion[0] = '\0';
        if (next->attempt < RELEASE_ATTEMPT_MAX) {
            next->attempt++;
        }
        break;
    default:
        break;
    }
}

static void adopt_no_admit(struct release_status *next)
{
    switch (next->state) {
    case RELEASE_FROZEN:
        break;
    case RELEASE_ABORTED:
        next->retreated |= !next->keep; /* their marks were taken back */
        next->keep = true;
        break;
    case RELEASE_COMPLETED:
        release_end(next, true);
        break;
    default:
        release_freeze(next);
        break;
    }
}

int release_adopt(const struct release_status *now,
                  const struct release_facts *facts, uint32_t word,
                  int64_t moment, const char *by, const char *reason,
                  struct release_status *ret_next)
{
    struct release_status next = *now;

    (void)facts; /* a word in force asks nobody's leave */
    word &= GRAY_WORD_MASK;
    if (word == release_word(now)) {
        *ret_next = *now;
        return 1;
    }
    next.killed = word == GRAY_WORD_KILLED;
    if (word == GRAY_WORD_OPEN) {
        adopt_open(&next);
    } else if (word == GRAY_WORD_NO_ADMIT) {
        adopt_no_admit(&next);
    } else if (word == GRAY_WORD_BASELINE) {
        release_end(&next, false);
    }
    next.since = moment;
    release_text(next.by, sizeof(next.by), by);
    release_text(next.reason, sizeof(next.reason), reason);
    *ret_next = next;
    return 0;
}
