/* SPDX-License-Identifier: Apache-2.0
 * journal_parts.h - what writing and reading the journal share.
 *
 * Why: both must mean the same by a value that holds.
 * Read next: journal.c, journal_read.c.
 */
#ifndef GRAYD_MARKS_JOURNAL_PARTS_H
#define GRAYD_MARKS_JOURNAL_PARTS_H

#include "control/marks/journal.h"

/* LMDB's error (or an errno) as ours, in a sentence: "cannot be <what>". */
int journal_failed(struct gray_problem *ret_problem, const char *what,
                   int lmdb);
/* -EILSEQ. */
int journal_not_believed(struct gray_problem *ret_problem, const char *what);
/* A value of exactly this size whose sum, its first field, fits; copied. */
bool journal_small_read(const MDB_val *value, void *ret_data, size_t size);
/* 0, or LMDB's error; -1: not to be believed. */
int journal_head_read(struct journal *journal, MDB_txn *txn,
                      struct journal_head *ret_head);

#endif
