/* SPDX-License-Identifier: Apache-2.0
 * world.h - all documents and release states of one revision, in memory.
 *
 * Why: a change is made from the world in force to the world that should be:
 * copy, put, check, compare, compile; and only what differs is committed.
 * Trees are shared between worlds and never written to.
 * Threads: a world belongs to one thread; plan has one of its own.
 * Read next: world.c, build.h.
 */
#ifndef GRAYD_WORLD_H
#define GRAYD_WORLD_H

#include <jansson.h>

#include "control/release/release.h"
#include "control/store/store.h"

struct world {
    uint64_t revision;
    json_t *documents; /* {"Kind/name": tree} */
    json_t *since;     /* {"Kind/name": revision of that version} */
    json_t *releases;  /* {"name": {"status":..., "revision":...}} */
};

/* Reads what stands at the newest revision. */
int world_load(struct world *ret_world, struct store_reader *reader,
               struct gray_problem *ret_problem);
/* What stood at a revision; 0: nothing. */
int world_load_at(struct world *ret_world, struct store_reader *reader,
                  uint64_t revision, struct gray_problem *ret_problem);
/* A shallow copy, whole or NULL: json_copy() leaves out what it has no memory
 * for and says nothing. */
json_t *tree_copy(const json_t *tree);
/* 0, or -1: no memory. */
int world_copy(struct world *ret_copy, const struct world *world);
void world_free(struct world *world);

/* "Kind/name" into a buffer of STORE_NAME_MAX; false: too long. */
bool world_key(const char *kind, const char *name,
               char ret_key[STORE_NAME_MAX + 1]);
/* Borrowed; NULL: there is none. */
json_t *world_document(const struct world *world, const char *kind,
                       const char *name);
/* `tree` NULL takes it out. 0, or -1: no memory. */
int world_put(struct world *world, const char *kind, const char *name,
              json_t *tree);
/* Where a release stands and what of its document matters. False: there is no
 * such release. */
bool world_release(const struct world *world, const char *name,
                   struct release_status *ret_status,
                   struct release_facts *ret_facts);
int world_put_release(struct world *world, const char *name,
                      const struct release_status *status);

/* A number that is another one where somebody may come in, or drop out: of all
 * shares and attempts, and of what stands in releases and lists. */
uint64_t world_admission(const struct world *world);
/* What changed between two worlds as [{"kind","name","change"}]; all of it, or
 * NULL. */
json_t *world_changes(const struct world *before, const struct world *after);
/* Where a release stands, for people: "Release" of schemas.json. NULL: there
 * is none. New references. */
json_t *world_release_view(const struct world *world, const char *name);
/* What of it the audit keeps of each side of a change. */
json_t *world_release_brief(const struct world *world, const char *name);
/* The view from its parts; `document` NULL: no longer there. */
json_t *release_view(const char *name, const struct release_status *status,
                     const json_t *document, uint64_t document_revision,
                     uint64_t revision);

#endif
