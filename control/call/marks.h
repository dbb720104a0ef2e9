/* SPDX-License-Identifier: Apache-2.0
 * marks.h - the states of a mark as words of the API.
 *
 * Why: whoever reads, puts or compares marks over REST means the same five
 * words, which are those of the journal's answers.
 * Read next: schemas.json (Mark), ../../runtime/marks.h.
 */
#ifndef GRAYD_CALL_MARKS_H
#define GRAYD_CALL_MARKS_H

#include <stdint.h>

/* 0 and an enum gray_slot_state, or -1: no word for a mark. */
int mark_state_parse(const char *word, uint8_t *ret_state);

#endif
