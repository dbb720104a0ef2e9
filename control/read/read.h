/* SPDX-License-Identifier: Apache-2.0
 * read.h - handlers that only look.
 *
 * Why: reads never wait for a change and never change anything; each works on
 * its own store_reader, on the thread that it was called on.  Pages are asked
 * for by `after` (the last name seen) and `limit`; a full page carries "next".
 * What lies outside the caller's scope is as if it were not there.
 * Read next: documents.c, releases.c, changes.c, status.c, explain.c.
 */
#ifndef GRAYD_READ_H
#define GRAYD_READ_H

#include "control/call/call.h"
#include "control/grayd.h"

/* Handlers are declared by call.h's table; what they share stands here. */

/* A page's bounds from the query. False after having filled the reply. */
bool read_page(const struct call *call, const char **ret_after,
               size_t *ret_limit, struct reply *reply);
/* A failed read of the store as 503. */
void read_failed(struct reply *reply, const struct gray_problem *problem);

/* Adds "marks" of the writer as a whole to a status. */
void read_marks_writer(struct grayd *grayd, json_t *body);
/* Adds "checks" to a status: those that the call covers. */
void read_checks(struct hand *hand, const struct call *call, json_t *body);
/* {release: marks_status()} of every release that keeps marks, some seconds
 * old. New reference. */
json_t *read_marks_of_all(struct hand *hand);

#endif
