/* SPDX-License-Identifier: Apache-2.0
 * apply.h - documents into a world: what apply, plan and the schedule share.
 */
#ifndef GRAYD_APPLY_H
#define GRAYD_APPLY_H

#include "control/change/internal.h"

struct application {
    bool plans; /* nothing will be committed */
    bool prune, over_capacity;
    struct gray_documents *texts;
    json_t *changes; /* [{"kind","name","change"}] */
    json_t *impact;  /* "Impact" of schemas.json; NULL: not asked */
};
void application_clear(struct application *application);
/* Reads the body of APPLY or PLAN, puts it into change->world, asks rights and
 * scope for each document, checks and compares (the world compiled is in
 * change->build). 0; 1: nothing would change; -1 with the reply filled. */
int application_read(struct application *application, struct change *change,
                     const struct call *call, struct reply *reply);
/* Every name that a document touches lies in the caller's scope: its own, and
 * those of the services that it steers. False after having filled the reply. */
bool document_covered(const struct call *call, const json_t *document,
                      struct reply *reply);
/* Checks what LIST_IDS asks for, as far as change_build(); 0, or -1 with the
 * reply (documents.c). */
int list_ids_check(struct change *change, const struct call *call,
                   struct reply *reply);
/* Whether the caller may override a gate; `what` begins the refusal. */
bool may_override(const struct call *call, const char *what,
                  struct reply *reply);
/* Releases among the changes, as they stand in a world. New reference. */
json_t *releases_concerned(const json_t *changes, const struct world *world);
/* [{"document":"Kind/name","sha256":...}] of one side, for the audit. */
json_t *digest_changes(const json_t *changes, const struct world *world);

#endif
