/* SPDX-License-Identifier: Apache-2.0
 * marks.c - see marks.h.
 */
#include <string.h>

#include "control/call/marks.h"
#include "runtime/marks.h"

int mark_state_parse(const char *word, uint8_t *ret_state)
{
    static const struct {
        const char *word;
        uint8_t state;
    } states[] = {{"in", GRAY_SLOT_IN},
                  {"out", GRAY_SLOT_OUT},
                  {"revoked", GRAY_SLOT_REVOKED},
                  {"hold", GRAY_SLOT_HOLD}};

    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        if (strcmp(states[i].word, word) == 0) {
            *ret_state = states[i].state;
            return 0;
        }
    }
    return -1;
}
