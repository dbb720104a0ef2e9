/* SPDX-License-Identifier: Apache-2.0
 * repair.h - clearing up behind publishers; see repair.c.
 */
#ifndef GRAY_RUNTIME_REPAIR_H
#define GRAY_RUNTIME_REPAIR_H

#include "runtime/internal.h"

/* Both under the publisher's lock; what cannot be repaired stays for the next
 * time. */
void runtime_repair(struct gray_folder *folder, int lists_fd);
void runtime_prune(struct gray_folder *folder, int lists_fd);

/* ---- next.c: a policy that waits for its instant -------------------------- */

/* The header of policy.<generation>.snap; false: it cannot be read. */
bool runtime_next_header(int dirfd, uint64_t generation,
                         struct gray_file_header *ret_header);
/* What waits for a moment that has come, or that a reader has turned to, is in
 * force: `control` says so from here on.  What was overtaken is cleared away.
 * Under the publisher's lock. */
void runtime_next_settle(struct gray_folder *folder);
/* Removes the files of one that never comes into force. */
void runtime_next_remove(struct gray_folder *folder, uint64_t generation);

#endif
