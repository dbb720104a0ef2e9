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

#endif
