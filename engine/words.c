/* SPDX-License-Identifier: Apache-2.0
 * words.c - the words of reasons, conditions and sources.
 *
 * Why: numbers stand in snapshots and logs, people read words, and both come
 * from the same .def tables.
 * Read next: reasons.def, conditions.def, sources.def.
 */
#include "engine/engine.h"

const char *gray_reason_code(enum gray_reason reason)
{
    switch (reason) {
#define GRAY_REASON(NAME, number, code, sentence, advice)                      \
    case GRAY_REASON_##NAME:                                                   \
        return code;
#include "engine/reasons.def"
#undef GRAY_REASON
    }
    return "?";
}

const char *gray_reason_sentence(enum gray_reason reason)
{
    switch (reason) {
#define GRAY_REASON(NAME, number, code, sentence, advice)                      \
    case GRAY_REASON_##NAME:                                                   \
        return sentence;
#include "engine/reasons.def"
#undef GRAY_REASON
    }
    return "A reason that this version does not know.";
}

const char *gray_reason_advice(enum gray_reason reason)
{
    switch (reason) {
#define GRAY_REASON(NAME, number, code, sentence, advice)                      \
    case GRAY_REASON_##NAME:                                                   \
        return advice;
#include "engine/reasons.def"
#undef GRAY_REASON
    }
    return "";
}

const char *gray_condition_word(uint32_t op)
{
    switch (op) {
#define GRAY_CONDITION(NAME, number, word, OPERAND, cost, missing, doc)        \
    case number:                                                               \
        return word;
#include "engine/conditions.def"
#undef GRAY_CONDITION
    default:
        return "?";
    }
}

const char *gray_source_word(uint32_t source)
{
    switch (source) {
#define GRAY_SOURCE(NAME, number, word, named, doc)                            \
    case number:                                                               \
        return word;
#include "engine/sources.def"
#undef GRAY_SOURCE
    default:
        return "?";
    }
}
