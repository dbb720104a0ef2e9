/* SPDX-License-Identifier: Apache-2.0
 * agent.h - how the agent of this host stands, as it says in the folder.
 *
 * Read next: agent.c, control/agent/tell.c (who writes it).
 */
#ifndef GRAY_CLI_AGENT_H
#define GRAY_CLI_AGENT_H

#include "cli/doctor.h"

/* What it said last, with "ageMs" and "leaseLeftMs" (0: over; left out: there
 * never was one). NULL: there is no agent here. New reference. */
json_t *agent_told(const char *folder);
void agent_print(const json_t *told, FILE *out);
/* One line a fact. */
void agent_doctor(struct doctor *doctor);

#endif
