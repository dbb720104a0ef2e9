/* SPDX-License-Identifier: Apache-2.0
 * fuzz_decision_line.c - any bytes as a line of a decision log.
 *
 * Why: logs are files that others write. What must hold: a line that was read
 * speaks of each of its units and of nobody else; a refusal has a sentence.
 * Read next: control/decisions/line.c.
 */
#include <string.h>

#include "control/decisions/decisions.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct decision decision;
    char sentence[64] = "", unit[DECISION_VALUE_BYTES + 1];
    size_t i;

    if (decision_read((const char *)data, size, &decision, sentence,
                      sizeof(sentence)) != 0) {
        MUST(sentence[0] != '\0');
        return 0;
    }
    MUST(decision.time >= 0 && decision.unit_count <= DECISION_UNITS_MAX);
    for (i = 0; i < decision.unit_count; i++) {
        MUST(decision.units[i][0] != '\0');
        MUST(decision_speaks_of(&decision, decision.units[i], NULL));
        decision_unit(decision.units[i], unit);
        MUST(strlen(unit) <= DECISION_VALUE_BYTES);
        MUST(strncmp(unit, decision.units[i], strlen(unit)) == 0);
    }
    MUST(!decision_speaks_of(&decision, "\x01 nobody", NULL));
    decision_clear(&decision);
    return 0;
}
