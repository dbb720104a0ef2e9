/* SPDX-License-Identifier: Apache-2.0
 * admission.h - one record of a host's journal of marks, as read.
 *
 * Why: it comes from another machine; what it says is believed of that host
 * and of nothing else, and only within its limits. Pure.
 * Read next: admission.c, told.h.
 */
#ifndef GRAYD_HOSTS_ADMISSION_H
#define GRAYD_HOSTS_ADMISSION_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/engine.h"

#define ADMISSIONS_MAX 1000u  /* records of one call */
#define ADMISSION_WORD_MAX 63u /* bytes of kind, reader */
#define ADMISSION_TEXT_MAX 1020u /* of reason, actor */

struct admission {
    uint64_t scope;
    uint8_t unit[GRAY_VALUE_MAX];
    uint32_t unit_length; /* 0: its text was lost */
    uint8_t space, state; /* GRAY_SLOT_* */
    uint8_t variant;
    bool settled;         /* it is over */
    uint32_t attempt, revision, stage, entrance;
    int64_t at; /* ms since the epoch */
    char kind[ADMISSION_WORD_MAX + 1], reader[ADMISSION_WORD_MAX + 1];
    char actor[ADMISSION_TEXT_MAX + 1], reason[ADMISSION_TEXT_MAX + 1];
};
/* From a row that has the shape of HostAdmissions.records. 0; -1: it is no
 * record, with a sentence (static). */
int admission_read(const json_t *row, struct admission *ret_admission,
                   const char **ret_sentence);
/* "in", "out", "revoked", "hold", "void"; NULL: none of them. */
const char *admission_state_word(uint8_t state);

#endif
