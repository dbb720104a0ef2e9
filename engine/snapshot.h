/* SPDX-License-Identifier: Apache-2.0
 * snapshot.h - opened files: a policy, a fleet, a list; and their join.
 *
 * Why: a file comes from another program, so it is checked whole when it is
 * opened, and read by number afterwards. What is opened points into the
 * caller's mapping and is immutable. Read next: snapshot.c, fleet.c, list.c,
 * link.c.
 */
#ifndef GRAY_ENGINE_SNAPSHOT_H
#define GRAY_ENGINE_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/basics.h"

/* A checked policy. Points into the caller's mapping, which must outlive it. */
struct gray_snapshot {
    const uint8_t *base;
    uint64_t size;
    const struct gray_file_header *header;
    const struct gray_policy *policy;
    /* What gray_snapshot_open() found out for the hot path. */
    uint32_t slot_of[GRAY_SOURCE_TIME + 1]; /* of sources without a name */
    struct {
        const char *name; /* inside the mapping */
        uint32_t length;
        uint32_t slot;
    } cookies[4];          /* all COOKIE slots, if so few */
    uint32_t cookie_count; /* 5: more, look them up */
    bool cookie_hash;      /* some header looked at has the hash of Cookie */
};
/* Checks every table, reference, program, automaton and index of `size` bytes
 * at `data` (8-aligned).  0, or -1 with *ret_problem filled and *ret_snapshot
 * untouched.  Does not check the checksum: runtime does.  O(size). */
int gray_snapshot_open(struct gray_snapshot *ret_snapshot, const void *data,
                       uint64_t size, struct gray_problem *ret_problem);

/* A checked fleet. The same rules as for a policy. */
struct gray_fleet {
    const uint8_t *base;
    uint64_t size;
    const struct gray_file_header *header;
    const struct gray_fleet_body *body;
};
/* Checks all of it: bounds, names, addresses, states, weights, labels.  0, or
 * -1 with *ret_problem filled and *ret_fleet untouched. */
int gray_fleet_open(struct gray_fleet *ret_fleet, const void *data,
                    uint64_t size, struct gray_problem *ret_problem);

struct gray_list {
    const uint8_t *base;
    uint64_t size;
    const struct gray_list_file *file;
};
/* Checks offsets and directories (not the order of every key: a wrong order
 * can only miss).  O(directory). */
int gray_list_open(struct gray_list *ret_list, const void *data, uint64_t size,
                   struct gray_problem *ret_problem);
bool gray_list_has(const struct gray_list *list, struct gray_str id);

/* Records by number; NULL when the number is out of the table. Inline in
 * view.h for the engine's own files. */
const struct gray_release *gray_release_at(const struct gray_snapshot *s,
                                           uint32_t number);
const struct gray_service *gray_service_at(const struct gray_snapshot *s,
                                           uint32_t number);
const struct gray_route *gray_route_at(const struct gray_snapshot *s,
                                       uint32_t number);
const struct gray_lane *gray_lane_at(const struct gray_snapshot *s,
                                     uint32_t number);
const struct gray_variant *gray_variant_at(const struct gray_snapshot *s,
                                           uint32_t number);
const struct gray_endpoint *gray_endpoint_at(const struct gray_fleet *f,
                                             uint32_t number);
/* The bytes of a reference; empty when it does not lie in the file. */
struct gray_str gray_text(const struct gray_snapshot *s, struct gray_ref ref);
struct gray_str gray_fleet_text(const struct gray_fleet *f,
                                struct gray_ref ref);
/* Numbers by name; GRAY_NONE when there is none. */
uint32_t gray_find_release(const struct gray_snapshot *s, struct gray_str name);
uint32_t gray_find_service(const struct gray_snapshot *s, struct gray_str name);
uint32_t gray_find_lane(const struct gray_snapshot *s, struct gray_str name);
uint32_t gray_find_entrance(const struct gray_snapshot *s,
                            struct gray_str name);

/* ---- what a decision looks at ------------------------------------------- */

/* Endpoints of one route, in link->members. */
struct gray_subset {
    struct gray_span members;
    uint32_t ready; /* how many may take requests now */
    uint32_t pad;
};
/* Routes of a policy joined with the endpoints of a fleet: the two files have
 * generations of their own, so whoever maps them builds this once per pair,
 * off the request path. */
struct gray_link {
    struct gray_subset *subsets; /* by route */
    uint32_t subset_count;
    uint32_t *members;           /* endpoint numbers */
    uint32_t member_count;
};
/* Bytes of memory that gray_link_build() needs for this pair. */
size_t gray_link_size(const struct gray_snapshot *policy,
                      const struct gray_fleet *fleet);
/* Fills *ret_link inside `memory` (8-aligned, at least gray_link_size()). */
int gray_link_build(struct gray_link *ret_link,
                    const struct gray_snapshot *policy,
                    const struct gray_fleet *fleet, void *memory, size_t size);

struct gray_marks;
/* Everything a decision reads besides the request.  Immutable but `words`,
 * which is read with relaxed atomic loads. */
struct gray_view {
    const struct gray_snapshot *policy;
    const struct gray_fleet *fleet;     /* NULL: choices find nothing */
    const struct gray_link *link;       /* NULL with fleet */
    const struct gray_list *lists;      /* by number of policy.lists */
    uint32_t list_count;
    const struct gray_scope_word *words; /* NULL: all open */
    uint32_t word_count;
    const struct gray_marks *marks; /* runtime/marks.h, by release number; not
                                       read here; NULL: none are mapped */
};

#endif
