/* SPDX-License-Identifier: Apache-2.0
 * operand.h - what a condition compares with, as text.
 *
 * Why: explain shows it beside the value that was looked at.
 * Read next: operand.c.
 */
#ifndef GRAY_ENGINE_OPERAND_H
#define GRAY_ENGINE_OPERAND_H

#include "engine/text.h"

/* Appends the operand of an instruction, not escaped; nothing when it has
 * none. */
void operand_write(struct text *text, const struct gray_snapshot *s,
                   const struct gray_insn *insn);

#endif
