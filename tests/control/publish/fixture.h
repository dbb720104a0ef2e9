/* SPDX-License-Identifier: Apache-2.0
 * fixture.h - a runtime folder, a state folder, and revisions to publish.
 *
 * Why: each revision can be told by what it decides: its endpoint's port, its
 * list and its share say the revision, so that a folder put together from two
 * of them is found out.
 * Read next: test_put.c.
 */
#ifndef GRAYD_TESTS_PUBLISH_FIXTURE_H
#define GRAYD_TESTS_PUBLISH_FIXTURE_H

#include "control/publish/publisher.h"
#include "tests/runtime/folder.h"

struct place {
    char top[64];
    char runtime[80], state[80], other[80]; /* not made yet */
};
void place_new(struct place *place);
void place_remove(const struct place *place);

struct publisher *publisher_new(const struct place *place);
/* Services cart with v1, v2; releases cart-2 and pay-7; a list of testers of
 * this revision. */
void revision_compile(uint64_t revision, struct gray_compiled *ret_compiled);
/* What publisher_put() returned. */
int revision_put(struct publisher *publisher, uint64_t revision,
                 const struct publisher_word *words, size_t word_count,
                 struct gray_problem *ret_problem);
/* The same, must succeed. */
void revision_put_well(struct publisher *publisher, uint64_t revision,
                       const struct publisher_word *words, size_t word_count);
/* The revision in force for a fresh reader, checked to be whole: policy, fleet
 * and list of one revision. */
uint64_t revision_found(const char *runtime);
/* The word of a release in a folder, with its flag; 0 when it has none. */
uint32_t word_found(const char *runtime, const char *name);
/* Sets a word as `gray` does on the host. */
void host_says(const char *runtime, const char *name, uint32_t word);
/* Restores last-good into place->other, which must succeed; the revision. */
uint64_t restore_elsewhere(const struct place *place);
/* How many copies lie in the state folder. */
size_t copies_count(const struct place *place);

#endif
