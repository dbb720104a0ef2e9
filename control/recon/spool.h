/* SPDX-License-Identifier: Apache-2.0
 * spool.h - facts of many sources, put in as they come, taken out by unit.
 *
 * Why: a million pairs do not fit into a bound of memory, and databases sort
 * texts each in its own way.  So everything is written into one file without a
 * name and sorted there, by bytes; what is in memory is one unit's.
 * Threads: one.  Errors: negative with *ret_problem ("spool-failed").
 * Read next: spool.c, run.c.
 */
#ifndef GRAYD_RECON_SPOOL_H
#define GRAYD_RECON_SPOOL_H

#include <stddef.h>
#include <stdint.h>

#include "engine/engine.h"

struct spool;
/* In a folder that the caller owns; the file is gone with the process. */
int spool_open(struct spool **ret_spool, const char *folder,
               struct gray_problem *ret_problem);
void spool_close(struct spool *spool);
int spool_put(struct spool *spool, struct gray_str unit, int side,
              const void *data, size_t length,
              struct gray_problem *ret_problem);
/* Every fact, by unit, then side, then as it was put. Not 0 ends it and is
 * returned. What is pointed to lives as long as the visit. */
typedef int spool_visit(void *context, struct gray_str unit, int side,
                        const void *data, size_t length);
int spool_each(struct spool *spool, spool_visit *visit, void *context,
               struct gray_problem *ret_problem);

#endif
