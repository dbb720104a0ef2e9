/* SPDX-License-Identifier: Apache-2.0
 * publish.h - the writing side: policies, fleets, lists, words, keys.
 *
 * Why: nothing half written is ever seen: aside, checked, renamed, then one
 * store of a generation. Read next: publish.c, words.c, keys.c.
 */
#ifndef GRAY_RUNTIME_PUBLISH_H
#define GRAY_RUNTIME_PUBLISH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "engine/engine.h"
#include "runtime/folder.h"

struct gray_publish {
    const void *policy;       /* snapshot with generation and checksum 0 */
    uint64_t policy_size;     /* 0: leave the policy as it is */
    const void *fleet;
    uint64_t fleet_size;      /* 0: leave the fleet as it is */
    const struct gray_publish_list {
        const char *name;
        const void *data;
        uint64_t size;
    } *lists;
    size_t list_count;
    gid_t group;              /* of `keys`; (gid_t)-1: of the folder */
    bool allow_any_filesystem; /* tests and bench only: not tmpfs */
    /* A journal has the marks, and grayd makes their tables from it: none is
     * made here.  An empty one would say of everybody who was ever admitted
     * that nobody knows him; without one that is UNKNOWN. */
    bool journalled;
    /* Refused ("overtaken") unless this policy generation is in force: what
     * was compared with is still what is replaced. */
    bool expect_generation;
    uint64_t expected_generation;
};
struct gray_published {
    uint64_t policy_generation, fleet_generation; /* in force */
    uint64_t next_generation; /* what was published, and waits; 0: it does not */
    uint64_t dropped; /* what waited before, and will not come any more */
    uint32_t readers, woken; /* live readers, and those that were woken */
};
/* Creates the folder when it is missing, writes aside, checks with the
 * engine's own open, renames, raises generations, wakes.  One store, of
 * control.policy_generation, is what brings a policy into force; a fleet that
 * was published with it (its generation stands in the policy's header) comes
 * with the same store.  Scope words are assigned here, whatever numbers the
 * compiler gave.  With both sizes 0 it only makes the folder, and keys.
 * Refuses a folder that is not on tmpfs, with advice.  Nothing changes on an
 * error.  Blocks on publish.lock for at most 10 s.
 *
 * A policy whose header has an effective_at (gray_compile_options) after now
 * is published ahead: it lies there checked, with its fleet, lists and tables,
 * readers map it, and each turns at that instant of its own wall clock, with
 * this program gone.  What is in force stays so until then.  There is one at
 * most that waits: the newest publication counts, so a later one replaces it
 * whether it waits itself or comes into force at once.  (An older whole policy
 * that turned afterwards would take back what was published meanwhile.)  An
 * effective_at that is past means at once, and readers say how late they were.
 * A fleet alone never waits. */
int gray_publish(const char *folder, const struct gray_publish *what,
                 struct gray_published *ret_published,
                 struct gray_problem *ret_problem);
/* The number of the scope word for a release, the same for as long as the
 * folder lives; takes a free word when it has none. GRAY_NONE when full. For
 * gray_compile_options.word_of; `context` is a struct gray_folder. */
uint32_t gray_word_number(void *context, uint64_t scope);
/* Sets the word of a release (GRAY_WORD_* | GRAY_WORD_HOST), raises epochs,
 * wakes everyone; *ret_before says what it was. */
struct gray_folder;
int gray_word_set(struct gray_folder *folder, uint64_t scope, uint32_t word,
                  uint32_t *ret_before, struct gray_problem *ret_problem);
/* The same where `expected` stands there and nobody set it meanwhile; 1 and
 * *ret_found where something else does. */
int gray_word_replace(struct gray_folder *folder, uint64_t scope,
                      uint32_t expected, uint32_t word, uint32_t *ret_found,
                      struct gray_problem *ret_problem);
int gray_bypass_set(struct gray_folder *folder, bool on,
                    struct gray_problem *ret_problem);
/* Adds a new signing key and keeps the one before it valid; creates `keys`
 * with one random key when there is none. */
int gray_keys_rotate(const char *folder, gid_t group,
                     struct gray_problem *ret_problem);
/* Puts the bytes of an earlier `keys`, or of another host's, there; where these
 * very keys are in it already nothing changes. */
int gray_keys_restore(const char *folder, gid_t group, const void *bytes,
                      size_t size, struct gray_problem *ret_problem);

#endif
